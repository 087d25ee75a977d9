/* From operands to a plan: which of them are bindings, the lines of -f files, the options that belong to programs.
 *
 * An operand is a binding only if what stands before its first '=' is a name in a template of this command line, so
 * the templates come first: whatever can't be a binding makes a plan, whose names settle the others.
 */
#include "run.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Adds the program of a line, whose continuations are joined. */
static const char *add_line(struct run *run, const char *file, unsigned line, const struct builder *text) {
    if (memchr(text->data, '\0', text->size))
        return allocate_format("%s:%u: a NUL byte stands in this line", file, line);
    const char *start = text->data + strspn(text->data, " \t");
    if (*start == '\0' || *start == '#')
        return NULL;
    *LIST_ADD(run->operands) = (struct operand){.type = OPERAND_LINE, .text = text->data, .file = file, .line = line};
    return NULL;
}

static bool ends_in_backslash(const char *bytes, size_t size) {
    size_t backslashes = 0;
    while (backslashes < size && bytes[size - 1 - backslashes] == '\\')
        backslashes++;
    return backslashes % 2 == 1;
}

/* The line without what ends it. */
static size_t line_size(const char *line, ssize_t size) {
    while (size > 0 && (line[size - 1] == '\n' || line[size - 1] == '\r'))
        size--;
    return (size_t)size;
}

static bool is_comment(const char *line, size_t size) {
    size_t blanks = strspn(line, " \t");
    return blanks < size && line[blanks] == '#';
}

static const char *read_lines(struct run *run, const char *path, FILE *stream) {
    char *buffer = NULL;
    size_t capacity = 0;
    ssize_t length;
    unsigned number = 0, first = 0;
    struct builder text = {0};
    const char *fault = NULL;
    bool goes_on = false;
    while (!fault && (length = getline(&buffer, &capacity, stream)) >= 0) {
        const size_t size = line_size(buffer, length);
        number++;
        if (!goes_on) {
            text = (struct builder){0};
            first = number;
        }
        /* A comment ends at its line, whatever it ends in. */
        goes_on = (goes_on || !is_comment(buffer, size)) && ends_in_backslash(buffer, size);
        builder_add(&text, buffer, size - goes_on);
        if (!goes_on)
            fault = add_line(run, path, first, &text);
    }
    if (!fault && ferror(stream))
        fault = allocate_format("'%s' can't be read: %s", path, strerror(errno));
    if (!fault && goes_on)
        fault = allocate_format("%s:%u: the last line ends in a backslash, and nothing follows", path, number);
    free(buffer);
    return fault;
}

const char *template_file_read(struct run *run, const char *path) {
    if (strcmp(path, "-") == 0) {
        run->stdin_uses++;
        if (standard_stream_was_closed(0))
            return "standard input is closed";
        return read_lines(run, "-", stdin);
    }
    FILE *stream = fopen(path, "re");
    if (!stream)
        return allocate_format("'%s' can't be opened: %s", path, strerror(errno));
    const char *fault = read_lines(run, path, stream);
    fclose(stream);
    return fault;
}

/* ------------------------------------------------------------------------------------------- which is which */

/* Whether `text` holds a mark of this name, as far as that can be seen without its grammar. */
static bool text_marks(const char *text, const char *name, size_t size) {
    for (const char *found = text; (found = memmem(found, strlen(found), name, size)); found++) {
        const char *after = found + size;
        if (found > text && strchr("{<>+", found[-1]) &&
            (*after == '}' || strncmp(after, "|}", 2) == 0 || strncmp(after, "...}", 4) == 0))
            return true;
    }
    return false;
}

static bool operand_marks(const struct operand *operand, const char *name, size_t size) {
    if (operand->type != OPERAND_VECTOR)
        return text_marks(operand->text, name, size);
    for (size_t i = 0; i < operand->word_count; i++)
        if (text_marks(operand->words[i], name, size))
            return true;
    return false;
}

/* One bare word with an equals sign that is no file: more likely a slip of a binding than a program of that name. */
static bool looks_like_binding(const struct operand *operand) {
    return operand->type == OPERAND_WORD && strchr(operand->text, '=') && !strpbrk(operand->text, " \t\n{'\"\\") &&
           access(operand->text, F_OK) != 0;
}

static bool may_be_binding(const struct run *run, size_t index) {
    const struct operand *operand = &run->operands.items[index];
    const char *equals = operand->type == OPERAND_WORD ? strchr(operand->text, '=') : NULL;
    for (size_t i = 0; equals && i < run->operands.count; i++)
        if (i != index && operand_marks(&run->operands.items[i], operand->text, (size_t)(equals - operand->text)))
            return true;
    return run->operands.count > 1 && looks_like_binding(operand);
}

ssize_t plan_find_file(const spile_plan *plan, const char *name, spile_file_info *ret_info) {
    spile_file_info info = {.size = sizeof(info)};
    for (size_t i = 0; spile_plan_file(plan, i, &info) >= 0; i++)
        if (strcmp(info.name, name) == 0) {
            if (ret_info)
                *ret_info = info;
            return (ssize_t)i;
        }
    return -1;
}

int plan_last_maker(const spile_plan *plan, size_t file) {
    spile_use_info use = {.size = sizeof(use)};
    int maker = -1;
    for (size_t i = 0; spile_plan_use(plan, i, &use) >= 0; i++)
        if (use.file == file && use.role != SPILE_READ)
            maker = (int)use.program;
    return maker;
}

static bool plan_has_value(const spile_plan *plan, const char *name) {
    const char *value;
    for (size_t i = 0; (value = spile_plan_value(plan, i, NULL)); i++)
        if (strcmp(value, name) == 0)
            return true;
    return false;
}

static int refuse_stray_binding(struct run *run, const char *name, const char *rest) {
    struct nearest nearest = {.word = name};
    spile_file_info info = {.size = sizeof(info)};
    for (size_t i = 0; spile_plan_file(run->plan, i, &info) >= 0; i++)
        nearest_offer(&nearest, info.name);
    if (nearest.best)
        return run_refuse(run, SPILE_ERROR_USAGE, "'%s' is no name in a template: did you mean '%s%s'?", name,
                          nearest.best, rest);
    return run_refuse(run, SPILE_ERROR_USAGE,
                      "'%s' is no name in a template: mark it {<%s} or {>%s}, or say -i or -o %s%s if no program "
                      "names it",
                      name, name, name, name, rest);
}

/* Bindings among the candidates; tells how many candidates are templates after all. */
static int settle_candidates(struct run *run, size_t *ret_templates) {
    size_t templates = 0;
    for (size_t i = 0; i < run->operands.count; i++) {
        struct operand *operand = &run->operands.items[i];
        if (!operand->is_binding)
            continue;
        const char *name = allocate_copy(operand->text, (size_t)(strchr(operand->text, '=') - operand->text));
        if (plan_find_file(run->plan, name, NULL) >= 0) {
            const char *fault = binding_add(run, operand->text, DIRECTION_BOTH);
            if (fault)
                return run_refuse(run, SPILE_ERROR_USAGE, "%s", fault);
        } else if (plan_has_value(run->plan, name)) {
            return run_refuse(run, SPILE_ERROR_USAGE, "'%s' is a value, not a file: write -v %s", name, operand->text);
        } else if (looks_like_binding(operand)) {
            return refuse_stray_binding(run, name, strchr(operand->text, '='));
        } else {
            operand->is_binding = false;
            templates++;
        }
    }
    *ret_templates = templates;
    return 0;
}

/* ------------------------------------------------------------------------------------------- making the plan */

const char *program_place(const struct run *run, int program) {
    for (size_t i = 0; program >= 0 && i < run->operands.count; i++) {
        const struct operand *operand = &run->operands.items[i];
        if (operand->file && (size_t)program >= operand->first_program &&
            (size_t)program - operand->first_program < operand->program_count)
            return allocate_format("%s:%u: ", operand->file, operand->line);
    }
    return "";
}

static const char *base_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static bool status_is_for(const struct ok_status *status, const spile_program_info *info, size_t program) {
    unsigned long number;
    if (!status->program)
        return true;
    if (parse_count(status->program, UINT32_MAX, &number))
        return number == program + 1;
    return strcmp(status->program, info->name) == 0 || strcmp(status->program, base_name(info->name)) == 0;
}

static int apply_ok_statuses(struct run *run) {
    if (run->ok_statuses.count == 0)
        return 0;
    for (size_t i = 0; i < spile_plan_program_count(run->plan); i++) {
        spile_program_info info = {.size = sizeof(info)};
        LIST_OF(int) accepted = {0};
        bool is_named = false;
        spile_plan_program(run->plan, i, &info);
        for (size_t j = 0; j < run->ok_statuses.count; j++) {
            struct ok_status *status = &run->ok_statuses.items[j];
            if (!status_is_for(status, &info, i) || (is_named && !status->program))
                continue;
            if (status->program && !is_named)
                accepted.count = 0; /* what is said of this program replaces what is said of all */
            is_named |= status->program != NULL;
            status->used = true;
            for (size_t k = 0; k < status->count; k++)
                *LIST_ADD(accepted) = status->statuses[k];
        }
        if (accepted.count > 0 && spile_plan_set_ok_status(run->plan, i, accepted.items, accepted.count) < 0)
            return run_refuse(run, SPILE_ERROR_SYSTEM, "out of memory");
    }
    for (size_t j = 0; j < run->ok_statuses.count; j++) {
        const struct ok_status *status = &run->ok_statuses.items[j];
        if (!status->used && status->program)
            return run_refuse(
                run, SPILE_ERROR_USAGE,
                "--ok-status: no program is called '%s': give its first word, or its number from 1 to %zu",
                status->program, spile_plan_program_count(run->plan));
    }
    return 0;
}

/* What an option says of files by their names. */
static int apply_names(struct run *run, const char *option, const word_list *names,
                       int (*apply)(spile_plan *plan, const char *name), const char *unknown) {
    for (size_t i = 0; i < names->count; i++) {
        int result = apply(run->plan, names->items[i]);
        if (result == -ENOENT)
            return run_refuse(run, SPILE_ERROR_USAGE, "--%s: %s '%s'", option, unknown, names->items[i]);
        if (result < 0)
            return run_refuse(run, SPILE_ERROR_SYSTEM, "--%s %s: %s", option, names->items[i], strerror(-result));
    }
    return 0;
}

static int add_operand(struct run *run, struct operand *operand) {
    spile_error *error = NULL;
    int result = operand->type == OPERAND_VECTOR
                     ? spile_plan_add_vector(run->plan, operand->words, operand->word_count, NULL, &error)
                     : spile_plan_add_template(run->plan, operand->text, NULL, &error);
    if (result < 0)
        return run_refuse_error(
            run, error, operand->file ? allocate_format("%s:%u: ", operand->file, operand->line) : NULL, result);
    operand->program_count = (size_t)result;
    return 0;
}

static int make_plan(struct run *run) {
    spile_error *error = NULL;
    int status = 0, result;
    run->plan = spile_plan_unref(run->plan);
    result = spile_plan_new(&run->plan);
    if (result < 0)
        return run_refuse(run, SPILE_ERROR_SYSTEM, "a plan can't be made: %s", strerror(-result));
    for (size_t i = 0; i < run->operands.count && status == 0; i++) {
        struct operand *operand = &run->operands.items[i];
        operand->first_program = spile_plan_program_count(run->plan);
        if (!operand->is_binding)
            status = add_operand(run, operand);
    }
    if (status == 0)
        status = apply_ok_statuses(run);
    if (status == 0)
        status = apply_names(run, "optional", &run->optional_names, spile_plan_set_optional, "no program writes");
    if (status == 0)
        status = apply_names(run, "direct", &run->direct_names, spile_plan_set_direct, "no program uses");
    if (status)
        return status;
    result = spile_plan_finish(run->plan, &error);
    return result < 0 ? run_refuse_error(run, error, NULL, result) : 0;
}

int templates_plan(struct run *run) {
    size_t candidates = 0, templates = 0;
    for (size_t i = 0; i < run->operands.count; i++) {
        run->operands.items[i].is_binding = may_be_binding(run, i);
        candidates += run->operands.items[i].is_binding;
    }
    if (candidates == run->operands.count)
        return run_refuse(run, SPILE_ERROR_USAGE, "there is no program to run: see spile run --help");
    int status = make_plan(run);
    if (status == 0 && candidates > 0)
        status = settle_candidates(run, &templates);
    if (status == 0 && templates > 0)
        status = make_plan(run);
    return status;
}
