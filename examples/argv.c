/* A plan without text: from argument vectors and declared files, for a front end with a language of its own. It is the
 * same as
 *
 *   sort -o {>sorted} {<words}
 *   uniq -c {<sorted} >{counts}
 *
 * and nothing in it is ever parsed.
 */
#include <spile.h>
#include <stdio.h>
#include <string.h>

/* Appends the path of a file as a word of its own, and tells its number. */
static int add_path(spile_program *program, const char *name, spile_role role) {
    const spile_file file = {.size = sizeof(file), .name = name, .role = role};
    int number = spile_program_add_file(program, &file);
    const spile_part part = {.type = SPILE_PART_FILE, .file = (size_t)(number < 0 ? 0 : number)};
    int r = number < 0 ? number : spile_program_add_word(program, &part, 1);
    return r < 0 ? r : number;
}

static int add_sort(spile_plan *plan) {
    spile_program *program = NULL;
    int r = spile_program_new(NULL, &program);
    if (r >= 0)
        r = spile_program_add_text(program, "sort");
    if (r >= 0)
        r = spile_program_add_text(program, "-o");
    if (r >= 0)
        r = add_path(program, "sorted", SPILE_WRITE);
    if (r >= 0)
        r = add_path(program, "words", SPILE_READ);
    if (r >= 0)
        return spile_plan_add_program(plan, program, 0, NULL); /* takes it over, whatever it returns */
    spile_program_free(program);
    return r;
}

static int add_uniq(spile_plan *plan) {
    const spile_file counts = {.size = sizeof(counts), .name = "counts", .role = SPILE_WRITE};
    spile_program *program = NULL;
    int r = spile_program_new(NULL, &program);
    if (r >= 0)
        r = spile_program_add_text(program, "uniq");
    if (r >= 0)
        r = spile_program_add_text(program, "-c");
    if (r >= 0)
        r = add_path(program, "sorted", SPILE_READ);
    int number = r < 0 ? r : spile_program_add_file(program, &counts);
    if (number >= 0)
        number = spile_program_tie(program, 1, (size_t)number);
    if (number >= 0)
        return spile_plan_add_program(plan, program, 0, NULL);
    spile_program_free(program);
    return number;
}

int main(void) {
    static const char words[] = "tap\ncask\ntap\n";
    spile_plan *plan = NULL;
    spile_call *call = NULL;
    spile_result *result = NULL;
    const void *data;
    size_t size;
    int r = spile_plan_new(&plan);
    if (r >= 0)
        r = add_sort(plan);
    if (r >= 0)
        r = add_uniq(plan);
    if (r >= 0)
        r = spile_plan_finish(plan, NULL);
    if (r >= 0)
        r = spile_call_new(plan, NULL, NULL, &call);
    if (r >= 0)
        r = spile_call_input_memory(call, "words", words, strlen(words));
    if (r >= 0)
        r = spile_call_run(call, &result);
    if (r >= 0)
        r = spile_result_get(result, "counts", &data, &size);
    if (r >= 0)
        fwrite(data, 1, size, stdout);
    spile_result_free(result);
    spile_call_free(call);
    spile_plan_unref(plan);
    return r < 0;
}
