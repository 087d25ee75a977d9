/* What may have been meant, once a program failed: words that name a file of the host and are not marked, and a program
 * that stands in this directory.
 */
#include "run.h"

#include <string.h>
#include <sys/stat.h>

enum { HINT_LIMIT = 5 };

static bool is_host_file(const char *path) {
    struct stat status;
    return *path && stat(path, &status) == 0 && !S_ISDIR(status.st_mode);
}

static bool is_said(const struct run *run, const char *hint) {
    for (size_t i = 0; i < run->hints.count; i++)
        if (strcmp(run->hints.items[i], hint) == 0)
            return true;
    return false;
}

static void hint_at_word(struct run *run, const char *word) {
    /* An absolute path is seen by the program as it is. */
    if (word[0] == '/' || !is_host_file(word) || run->hints.count >= HINT_LIMIT)
        return;
    const char *slash = strrchr(word, '/'), *hint;
    const char *plain = strncmp(word, "./", 2) == 0 ? word + 2 : word;
    if (strncmp(word, "../", 3) == 0 || strstr(word, "/../"))
        hint = allocate_format("'%s' exists here but is not marked: write {<%s} and %s=%s", word, slash + 1, slash + 1,
                               word);
    else
        hint = allocate_format("'%s' exists here but is not marked: write {<%s}", word, plain);
    if (!is_said(run, hint))
        *LIST_ADD(run->hints) = hint;
}

/* The word itself, what stands behind its '=', and what follows a one-letter option (-ofile). */
static void hint_at(struct run *run, const char *word) {
    const char *equals = strchr(word, '=');
    hint_at_word(run, word);
    if (equals)
        hint_at_word(run, equals + 1);
    if (word[0] == '-' && word[1] && word[1] != '-' && word[2])
        hint_at_word(run, word + 2);
}

void hints_find(struct run *run) {
    if (run->error_program < 0 || run->quiet || !run->plan)
        return;
    const size_t program = (size_t)run->error_program;
    spile_program_info info = {.size = sizeof(info)};
    const char *word;
    if (run->kind == SPILE_ERROR_NOT_FOUND && spile_plan_program(run->plan, program, &info) >= 0 &&
        !strchr(info.name, '/') && is_host_file(info.name))
        *LIST_ADD(run->hints) = allocate_format("'%s' exists here: write ./%s", info.name, info.name);
    if (run->kind != SPILE_ERROR_PROGRAM && run->kind != SPILE_ERROR_OUTPUT_MISSING)
        return;
    if (run->kind == SPILE_ERROR_OUTPUT_MISSING)
        *LIST_ADD(run->hints) = "an output that may be missing is said so by --optional NAME";
    if (run->cwd) /* there, relative words are what they say */
        return;
    for (size_t i = 0; (word = spile_plan_plain_word(run->plan, program, i)); i++)
        hint_at(run, word);
}
