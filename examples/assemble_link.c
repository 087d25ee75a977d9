/* An assembler and a linker as one function: assembly text goes in, an executable comes out, and no file is seen.
 *
 *   cc assemble_link.c $(pkg-config --cflags --libs spile) && ./a.out >program
 *
 * The plan is made once and may be run by any number of threads. What went wrong is told as the tools say it.
 */
#include <errno.h>
#include <spile.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static spile_plan *plan;

/* The caller frees *ret_program. 0, or a negative errno with a message. */
static int assemble_and_link(const char *source, void **ret_program, size_t *ret_size) {
    spile_call *call = NULL;
    spile_result *result = NULL;
    const void *program;
    int r = spile_call_new(plan, NULL, NULL, &call);
    if (r >= 0)
        r = spile_call_input_memory(call, "main.s", source, strlen(source));
    if (r >= 0)
        r = spile_call_run(call, &result);
    if (r >= 0)
        r = spile_result_get(result, "main", &program, ret_size);
    if (r >= 0) {
        *ret_program = malloc(*ret_size);
        r = *ret_program ? 0 : -ENOMEM;
    }
    if (r >= 0)
        memcpy(*ret_program, program, *ret_size);
    else if (result)
        fprintf(stderr, "%s\n", spile_error_get_message(spile_result_error(result)));
    spile_result_free(result);
    spile_call_free(call);
    return r;
}

int main(void) {
    const char *templates[] = {"as {<main.s} -o {>main.o}", "ld {<main.o} -o {>main}"};
    spile_error *error = NULL;
    void *program = NULL;
    size_t size = 0;
    if (spile_plan_from_templates(templates, 2, &plan, &error) < 0) {
        fprintf(stderr, "%s\n", spile_error_get_message(error));
        return 1;
    }
    int r = assemble_and_link(".globl _start\n_start:\n\tnop\n", &program, &size);
    if (r >= 0)
        fwrite(program, 1, size, stdout);
    free(program);
    /* A mistake in the source: the assembler's own words. */
    if (assemble_and_link("\tnonsense\n", &program, &size) >= 0)
        r = -EPROTO;
    spile_plan_unref(plan);
    return r < 0;
}
