/* Callbacks in and out: a program as a filter between two functions of yours, which may say "not now".
 *
 *   filter 'gzip -c {<in} >{out}' <file >file.gz
 *
 * The template's input is called "in", its output "out".
 */
#include <errno.h>
#include <spile.h>
#include <stdio.h>

static ssize_t read_some(void *user, void *buffer, size_t size) {
    FILE *from = user;
    size_t got = fread(buffer, 1, size, from);
    return got == 0 && ferror(from) ? -EIO : (ssize_t)got; /* 0 is the end; -EAGAIN: later, after spile_call_resume */
}

static int write_some(void *user, const char *name, const void *data, size_t size) {
    FILE *to = user;
    (void)name; /* of a pattern's match: which one */
    if (size == 0)
        return fflush(to) == 0 ? 0 : -EIO; /* that was all */
    return fwrite(data, 1, size, to) == size ? 0 : -EIO;
}

int main(int argc, char **argv) {
    const char *templates[] = {argc > 1 ? argv[1] : "tr a-z A-Z <{in} >{out}"};
    spile_plan *plan = NULL;
    spile_call *call = NULL;
    spile_result *result = NULL;
    spile_error *error = NULL;
    int r = spile_plan_from_templates(templates, 1, &plan, &error);
    if (r >= 0)
        r = spile_call_new(plan, NULL, NULL, &call);
    if (r >= 0)
        r = spile_call_input_callback(call, "in", read_some, stdin);
    if (r >= 0)
        r = spile_call_output_callback(call, "out", write_some, stdout);
    if (r >= 0)
        r = spile_call_run(call, &result);
    if (error || (result && spile_result_error(result)))
        fprintf(stderr, "%s\n", spile_error_get_message(error ? error : spile_result_error(result)));
    int status = result ? spile_result_exit_status(result) : r < 0;
    spile_result_free(result);
    spile_call_free(call);
    spile_plan_unref(plan);
    spile_error_free(error);
    return status;
}
