/* The options of `spile run`. Each function below is one option; NULL is "fine". */
#include "run.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

static const char *apply_input(void *user, const char *value) {
    return binding_add(user, value, DIRECTION_INPUT);
}

static const char *apply_output(void *user, const char *value) {
    return binding_add(user, value, DIRECTION_OUTPUT);
}

static const char *apply_value(void *user, const char *value) {
    struct run *run = user;
    const char *equals = strchr(value, '=');
    const size_t size = strlen(value);
    if (equals == value)
        return allocate_format("'%s' lacks a name: write NAME=TEXT", value);
    if (equals) {
        *LIST_ADD(run->values) = (struct value){.name = allocate_copy(value, (size_t)(equals - value)),
                                                .text = equals + 1};
        return NULL;
    }
    if (size <= 3 || strcmp(value + size - 3, "...") != 0)
        return allocate_format("'%s' lacks '=': write NAME=TEXT, or NAME... for a list that is empty", value);
    *LIST_ADD(run->values) = (struct value){.name = allocate_copy(value, size - 3)};
    return NULL;
}

static const char *apply_file(void *user, const char *value) {
    return template_file_read(user, value);
}

static const char *apply_timeout(void *user, const char *value) {
    return parse_duration(value, &((struct run *)user)->limits.wall_ns)
               ? NULL
               : allocate_format("'%s' is no time: write 10, 1.5s, 200ms, 2m or 1h", value);
}

static const char *apply_cpu(void *user, const char *value) {
    return parse_duration(value, &((struct run *)user)->limits.cpu_ns)
               ? NULL
               : allocate_format("'%s' is no time: write 10, 1.5s, 2m or 1h", value);
}

static const char *apply_memory(void *user, const char *value) {
    return parse_size(value, &((struct run *)user)->limits.file_bytes)
               ? NULL
               : allocate_format("'%s' is no size: write 4096, 64k, 100M or 2G", value);
}

static const char *apply_max_output(void *user, const char *value) {
    return parse_size(value, &((struct run *)user)->limits.output_bytes)
               ? NULL
               : allocate_format("'%s' is no size: write 4096, 64k, 100M or 2G", value);
}

static const char *apply_program_memory(void *user, const char *value) {
    return parse_size(value, &((struct run *)user)->limits.program_memory_bytes)
               ? NULL
               : allocate_format("'%s' is no size: write 4096, 64k, 100M or 2G", value);
}

static const char *parse_limit(const char *value, uint64_t *ret_count, const char *example) {
    unsigned long count;
    if (!parse_count(value, INT_MAX, &count) || count == 0)
        return allocate_format("'%s' is no number of them: write %s", value, example);
    *ret_count = count;
    return NULL;
}

static const char *apply_processes(void *user, const char *value) {
    return parse_limit(value, &((struct run *)user)->limits.processes, "1 or more");
}

static const char *apply_open_files(void *user, const char *value) {
    return parse_limit(value, &((struct run *)user)->limits.open_files, "4 or more");
}

static const char *apply_require(void *user, const char *value) {
    return parse_promises(value, &((struct run *)user)->require);
}

static const char *apply_private_path(void *user, const char *value) {
    ((struct run *)user)->private_path = value;
    return NULL;
}

static const char *apply_jobs(void *user, const char *value) {
    unsigned long count;
    if (!parse_count(value, INT_MAX, &count) || count == 0)
        return allocate_format("'%s' is no number of programs: write 1 or more", value);
    ((struct run *)user)->jobs = (unsigned)count;
    return NULL;
}

static const char *apply_env(void *user, const char *value) {
    struct run *run = user;
    const char *name = value[0] == '-' ? value + 1 : value;
    if (strcmp(value, "-") == 0) {
        run->environment_is_empty = true;
        return NULL;
    }
    if (name[0] == '=' || name[0] == '\0')
        return allocate_format("'%s' lacks a name: write NAME=VALUE, NAME, -NAME or -", value);
    if (name != value && strchr(name, '='))
        return allocate_format("'%s' both removes and sets: write -NAME or NAME=VALUE", value);
    *LIST_ADD(run->environment) = value;
    return NULL;
}

static const char *apply_cwd(void *user, const char *value) {
    ((struct run *)user)->cwd = value;
    return NULL;
}

/* "0,1" or "0-3,7" */
static bool parse_statuses(const char *text, struct ok_status *status) {
    LIST_OF(int) list = {0};
    while (true) {
        size_t size = strcspn(text, ",");
        const char *item = allocate_copy(text, size), *dash = strchr(item, '-');
        const char *first_text = dash ? allocate_copy(item, (size_t)(dash - item)) : item;
        unsigned long first, last;
        if (!parse_count(first_text, 255, &first) || !parse_count(dash ? dash + 1 : item, 255, &last) || last < first)
            return false;
        for (; first <= last; first++)
            *LIST_ADD(list) = (int)first;
        if (text[size] == '\0')
            break;
        text += size + 1;
    }
    status->statuses = list.items;
    status->count = list.count;
    return true;
}

static const char *apply_ok_status(void *user, const char *value) {
    struct ok_status status = {0};
    const char *colon = strrchr(value, ':');
    if (colon)
        status.program = allocate_copy(value, (size_t)(colon - value));
    if ((status.program && !*status.program) || !parse_statuses(colon ? colon + 1 : value, &status))
        return allocate_format("'%s' names no exit statuses: write 0,1 or 0-3 (0 to 255), or PROGRAM:0,1", value);
    *LIST_ADD(((struct run *)user)->ok_statuses) = status;
    return NULL;
}

static const char *apply_direct(void *user, const char *value) {
    *LIST_ADD(((struct run *)user)->direct_names) = value;
    return NULL;
}

static const char *apply_optional(void *user, const char *value) {
    *LIST_ADD(((struct run *)user)->optional_names) = value;
    return NULL;
}

static const char *apply_json(void *user, const char *value) {
    struct run *run = user;
    if (value && !*value)
        return "the file's name is empty: write --json=FILE, or --json for standard error";
    run->report_wanted = true;
    run->report_path = value;
    return NULL;
}

FLAG_OPTION(apply_force, struct run, force)
FLAG_OPTION(apply_keep_going, struct run, keep_going)
FLAG_OPTION(apply_trace, struct run, trace)
FLAG_OPTION(apply_dry_run, struct run, dry_run)
FLAG_OPTION(apply_dot, struct run, dot)
FLAG_OPTION(apply_help, struct run, help)

static const struct option options[] = {
    {'i', "input", OPTION_VALUE, apply_input},
    {'o', "output", OPTION_VALUE, apply_output},
    {'v', "value", OPTION_VALUE, apply_value},
    {'f', "file", OPTION_VALUE, apply_file},
    {'n', "dry-run", OPTION_FLAG, apply_dry_run},
    {0, "dot", OPTION_FLAG, apply_dot},
    {0, "timeout", OPTION_VALUE, apply_timeout},
    {0, "cpu", OPTION_VALUE, apply_cpu},
    {0, "memory", OPTION_VALUE, apply_memory},
    {0, "max-output", OPTION_VALUE, apply_max_output},
    {0, "program-memory", OPTION_VALUE, apply_program_memory},
    {0, "processes", OPTION_VALUE, apply_processes},
    {0, "open-files", OPTION_VALUE, apply_open_files},
    {0, "require", OPTION_VALUE, apply_require},
    {0, "private-path", OPTION_VALUE, apply_private_path},
    {0, "jobs", OPTION_VALUE, apply_jobs},
    {0, "env", OPTION_VALUE, apply_env},
    {0, "cwd", OPTION_VALUE, apply_cwd},
    {0, "ok-status", OPTION_VALUE, apply_ok_status},
    {0, "direct", OPTION_VALUE, apply_direct},
    {0, "optional", OPTION_VALUE, apply_optional},
    {0, "force", OPTION_FLAG, apply_force},
    {0, "keep-going", OPTION_FLAG, apply_keep_going},
    {0, "json", OPTION_MAY_HAVE_VALUE, apply_json},
    {0, "trace", OPTION_FLAG, apply_trace},
    {'h', "help", OPTION_FLAG, apply_help},
};

struct option_list run_option_list(void) {
    return (struct option_list){options, sizeof(options) / sizeof(*options)};
}

static const char *add_operand(void *user, const char *word) {
    struct run *run = user;
    *LIST_ADD(run->operands) = (struct operand){.type = OPERAND_WORD, .text = word};
    return NULL;
}

static const char *add_vector(void *user, char **words, size_t count) {
    struct run *run = user;
    if (count == 0)
        return "no program stands behind '--'";
    *LIST_ADD(run->operands) = (struct operand){
        .type = OPERAND_VECTOR, .words = (const char *const *)words, .word_count = count};
    return NULL;
}

const char *run_options_parse(struct run *run, char **words, size_t count) {
    const struct option_parser parser = {.command = "run",
                                         .options = options,
                                         .count = sizeof(options) / sizeof(*options),
                                         .user = run,
                                         .operand = add_operand,
                                         .rest = add_vector};
    return options_parse(&parser, words, count);
}
