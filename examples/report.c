/* What a call did: each program, each output, and, where it failed, the first root cause.
 *
 *   report TEMPLATE...     'sort {<words} >{sorted}' 'false', say; the input is called "words"
 */
#include <spile.h>
#include <stdio.h>

static void show(const spile_result *result) {
    for (size_t i = 0; i < spile_result_program_count(result); i++) {
        spile_program_result program = {.size = sizeof(program)};
        spile_result_program(result, i, &program);
        if (!program.started)
            printf("program %zu: not started\n", i);
        else if (program.signal)
            printf("%s: ended by signal %d\n", program.argv[0], program.signal);
        else
            printf("%s: exit status %d\n", program.argv[0], program.exit_status);
    }
    for (size_t i = 0; i < spile_result_output_count(result); i++) {
        spile_output_info output = {.size = sizeof(output)};
        spile_result_output(result, i, &output);
        printf("%s: %llu bytes%s\n", output.name, (unsigned long long)output.bytes,
               output.is_partial ? ", in part" : "");
    }
    const spile_error *error = spile_result_error(result);
    if (error) /* what to say, and what to act on */
        printf("%s (%s)\n", spile_error_get_message(error), spile_error_kind_name(spile_error_get_kind(error)));
}

int main(int argc, char **argv) {
    const char *templates[] = {"sort {<words} >{sorted}", "sh -c 'exit 3' {+<sorted}"};
    const char *const *chosen = argc > 1 ? (const char *const *)argv + 1 : templates;
    spile_plan *plan = NULL;
    spile_call *call = NULL;
    spile_result *result = NULL;
    spile_error *error = NULL;
    if (spile_plan_from_templates(chosen, argc > 1 ? (size_t)argc - 1 : 2, &plan, &error) < 0) {
        fprintf(stderr, "%s\n", spile_error_get_message(error)); /* with a caret under the place */
        spile_error_free(error);
        return 125;
    }
    int r = spile_call_new(plan, NULL, NULL, &call);
    if (r >= 0)
        r = spile_call_input_fd(call, "words", 0);
    if (r >= 0)
        r = spile_call_output_memory(call, "sorted"); /* which would only pass from one to the other */
    if (r >= 0)
        (void)spile_call_run(call, &result); /* the result comes though the call failed */
    if (result)
        show(result);
    int status = result ? spile_result_exit_status(result) : 125;
    spile_result_free(result);
    spile_call_free(call);
    spile_plan_unref(plan);
    return argc > 1 ? status : 0;
}
