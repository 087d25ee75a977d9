/* spile_plan: building, counting references, and telling what it holds. The checks are in graph.c. */
#include "call/plan.h"
#include "call/template.h"

int spile_plan_new(spile_plan **ret_plan) {
    if (!ret_plan)
        return -EINVAL;
    spile_plan *plan = memory_zero(1, sizeof(*plan));
    if (!plan)
        return -ENOMEM;
    plan->references = 1;
    *ret_plan = plan;
    return 0;
}

spile_plan *spile_plan_ref(spile_plan *plan) {
    if (plan)
        plan->references++;
    return plan;
}

spile_plan *spile_plan_unref(spile_plan *plan) {
    if (!plan || --plan->references > 0)
        return NULL;
    for (size_t i = 0; i < plan->program_count; i++) {
        spile_program_free(plan->programs[i].program);
        free(plan->programs[i].text);
        free(plan->programs[i].after);
    }
    for (size_t i = 0; i < plan->optional_count; i++)
        free(plan->optional[i]);
    for (size_t i = 0; i < plan->direct_count; i++)
        free(plan->direct[i]);
    free(plan->direct);
    free(plan->programs);
    free(plan->names);
    free(plan->values);
    free(plan->optional);
    free(plan);
    return NULL;
}

static void text_word(struct text *text, const spile_program *program, const struct word *word) {
    for (size_t i = 0; i < word->part_count; i++) {
        const struct part *part = &word->parts[i];
        switch (part->type) {
        case SPILE_PART_TEXT: {
            AUTO_FREE char *quoted = NULL;
            if (spile_quote(part->text, &quoted) < 0)
                text->failed = true;
            else
                text_puts(text, quoted);
            break;
        }
        case SPILE_PART_FILE: {
            static const char *const signs[] = {
                [SPILE_READ] = "<", [SPILE_WRITE] = ">", [SPILE_CHANGE] = "<>", [SPILE_APPEND] = "<>"};
            const struct file *file = &program->files[part->file];
            text_printf(text, "{%s%s%s}", signs[file->role], file->name, file->kind == SPILE_STREAM ? "|" : "");
            break;
        }
        case SPILE_PART_VALUE:
            text_printf(text, "{%s}", part->text);
            break;
        case SPILE_PART_VALUES:
            text_printf(text, "{%s...}", part->text);
            break;
        }
    }
}

/* The command for people: its piece of the template, or its words, quoted. */
static char *program_text(const spile_program *program) {
    AUTO_TEXT text = {0};
    if (program->template && program->text_end > program->text_start) {
        const char *start = program->template + program->text_start, *end = program->template + program->text_end;
        while (start < end && strchr(" \t\n", *start))
            start++;
        while (end > start && strchr(" \t\n", end[-1]))
            end--;
        text_add(&text, start, (size_t)(end - start));
        return text_take(&text);
    }
    for (size_t i = 0; i < program->word_count; i++) {
        if (i > 0)
            text_puts(&text, " ");
        text_word(&text, program, &program->words[i]);
    }
    return text_take(&text);
}

/* Takes the program over, also on failure. */
static int plan_append(spile_plan *plan, spile_program *program, bool is_piped) {
    if (ARRAY_RESERVE(plan->programs, plan->program_count, plan->program_capacity) < 0) {
        spile_program_free(program);
        return -ENOMEM;
    }
    char *text = program_text(program);
    if (!text) {
        spile_program_free(program);
        return -ENOMEM;
    }
    plan->programs[plan->program_count++] = (struct plan_program){
        .program = program, .text = text, .is_piped = is_piped};
    return 0;
}

static int refuse_finished(const spile_plan *plan, spile_error **ret_error) {
    return plan && !plan->is_finished
               ? 0
               : error_set(ret_error, SPILE_ERROR_USAGE, EINVAL, "a plan can't be added to once it is finished");
}

int spile_plan_add_template(spile_plan *plan, const char *text, const spile_program_options *options,
                            spile_error **ret_error) {
    int result = refuse_finished(plan, ret_error);
    if (result < 0)
        return result;
    if (!text)
        return error_set(ret_error, SPILE_ERROR_USAGE, EINVAL, "a template is missing (NULL)");
    AUTO_FREE spile_program **programs = NULL;
    size_t count = 0, old_count = plan->program_count;
    result = template_parse(text, options, &programs, &count, ret_error);
    if (result < 0)
        return result;
    for (size_t i = 0; i < count; i++) {
        if (result >= 0)
            result = plan_append(plan, programs[i], i + 1 < count);
        else
            spile_program_free(programs[i]);
    }
    if (result >= 0)
        return (int)count;
    while (plan->program_count > old_count) {
        struct plan_program *last = &plan->programs[--plan->program_count];
        spile_program_free(last->program);
        free(last->text);
    }
    return error_set(ret_error, SPILE_ERROR_SYSTEM, ENOMEM, "out of memory");
}

int spile_plan_add_vector(spile_plan *plan, const char *const *words, size_t count,
                          const spile_program_options *options, spile_error **ret_error) {
    int result = refuse_finished(plan, ret_error);
    if (result < 0)
        return result;
    spile_program *program = NULL;
    result = template_parse_vector(words, count, options, &program, ret_error);
    if (result >= 0 && plan_append(plan, program, false) < 0)
        result = error_set(ret_error, SPILE_ERROR_SYSTEM, ENOMEM, "out of memory");
    return result < 0 ? result : 1;
}

int spile_plan_add_program(spile_plan *plan, spile_program *program, unsigned flags, spile_error **ret_error) {
    int result = refuse_finished(plan, ret_error);
    if (result >= 0 && (!program || flags & ~(unsigned)SPILE_PLAN_PIPED))
        result = error_set(ret_error, SPILE_ERROR_USAGE, EINVAL, "a program is missing, or its flags are unknown");
    if (result >= 0 && program->word_count == 0)
        result = error_set(ret_error, SPILE_ERROR_USAGE, EINVAL,
                           "a program has no words: add the program's name with spile_program_add_text");
    if (result < 0) {
        spile_program_free(program);
        return result;
    }
    if (plan_append(plan, program, flags & SPILE_PLAN_PIPED) < 0)
        return error_set(ret_error, SPILE_ERROR_SYSTEM, ENOMEM, "out of memory");
    return 1;
}

/* Remembers a name of which something was said. */
static int add_name(char ***names, size_t *count, size_t *capacity, const char *name) {
    if (ARRAY_RESERVE(*names, *count, *capacity) < 0)
        return -ENOMEM;
    char *copy = memory_string(name);
    if (!copy)
        return -ENOMEM;
    (*names)[(*count)++] = copy;
    return 0;
}

static bool has_file(const spile_plan *plan, const char *name, bool is_made) {
    for (size_t i = 0; i < plan->program_count; i++) {
        const spile_program *program = plan->programs[i].program;
        for (size_t j = 0; j < program->file_count; j++)
            if ((!is_made || role_makes(program->files[j].role)) && strcmp(program->files[j].name, name) == 0)
                return true;
    }
    return false;
}

int spile_plan_set_optional(spile_plan *plan, const char *name) {
    if (!plan || !name || plan->is_finished)
        return -EINVAL;
    if (!has_file(plan, name, true))
        return -ENOENT;
    return add_name(&plan->optional, &plan->optional_count, &plan->optional_capacity, name);
}

int spile_plan_set_direct(spile_plan *plan, const char *name) {
    if (!plan || !name || plan->is_finished)
        return -EINVAL;
    if (!has_file(plan, name, false))
        return -ENOENT;
    return add_name(&plan->direct, &plan->direct_count, &plan->direct_capacity, name);
}

int spile_plan_set_ok_status(spile_plan *plan, size_t program, const int *ok_status, size_t count) {
    if (!plan || plan->is_finished || program >= plan->program_count || !ok_status || count == 0)
        return -EINVAL;
    for (size_t i = 0; i < count; i++)
        if (ok_status[i] < 0 || ok_status[i] > 255)
            return -EINVAL;
    int *copy = memory_new(count * sizeof(*copy));
    if (!copy)
        return -ENOMEM;
    memcpy(copy, ok_status, count * sizeof(*copy));
    spile_program *owner = plan->programs[program].program;
    free(owner->ok_status);
    owner->ok_status = copy;
    owner->ok_status_count = count;
    return 0;
}

int spile_plan_finish(spile_plan *plan, spile_error **ret_error) {
    int result = refuse_finished(plan, ret_error);
    if (result < 0)
        return result;
    result = plan_check(plan, ret_error);
    if (result >= 0)
        plan->is_finished = true;
    return result;
}

int spile_plan_from_templates(const char *const *templates, size_t count, spile_plan **ret_plan,
                              spile_error **ret_error) {
    spile_plan *plan = NULL;
    int result = !templates || !ret_plan ? -EINVAL : spile_plan_new(&plan);
    if (result < 0)
        return error_set(ret_error, result == -ENOMEM ? SPILE_ERROR_SYSTEM : SPILE_ERROR_USAGE, -result, "%s",
                         result == -ENOMEM ? "out of memory" : "the templates are missing (NULL)");
    for (size_t i = 0; i < count && result >= 0; i++)
        result = spile_plan_add_template(plan, templates[i], NULL, ret_error);
    if (result >= 0)
        result = spile_plan_finish(plan, ret_error);
    if (result < 0) {
        spile_plan_unref(plan);
        return result;
    }
    *ret_plan = plan;
    return 0;
}

/* -------------------------------------------------------------------------------- what a plan holds */

static void text_program_word(struct text *text, const spile_program *program) {
    for (size_t i = 0; i < program->words[0].part_count; i++) {
        const struct part *part = &program->words[0].parts[i];
        text_puts(text, part->type == SPILE_PART_FILE ? program->files[part->file].name : part->text);
    }
}

char *plan_program_label(const spile_plan *plan, size_t program) {
    AUTO_TEXT name = {0};
    text_program_word(&name, plan->programs[program].program);
    bool is_repeated = false;
    for (size_t i = 0; i < plan->program_count; i++) {
        AUTO_TEXT other = {0};
        if (i == program)
            continue;
        text_program_word(&other, plan->programs[i].program);
        is_repeated |= other.data && name.data && strcmp(other.data, name.data) == 0;
    }
    AUTO_TEXT label = {0};
    text_printf(&label, "'%s'", name.data ? name.data : "");
    if (is_repeated)
        text_printf(&label, " (program %zu)", program + 1);
    return text_take(&label);
}

size_t spile_plan_program_count(const spile_plan *plan) {
    return plan->program_count;
}

size_t spile_plan_file_count(const spile_plan *plan) {
    return plan->name_count;
}

size_t spile_plan_use_count(const spile_plan *plan) {
    size_t count = 0;
    for (size_t i = 0; i < plan->program_count; i++)
        count += plan->programs[i].program->file_count;
    return count;
}

size_t spile_plan_value_count(const spile_plan *plan) {
    return plan->value_count;
}

int spile_plan_program(const spile_plan *plan, size_t index, spile_program_info *info) {
    if (!info || info->size < sizeof(*info) || index >= plan->program_count)
        return -EINVAL;
    const struct plan_program *program = &plan->programs[index];
    const struct word *first = &program->program->words[0];
    const struct part *part = &first->parts[0];
    const char *name = first->part_count == 0          ? ""
                       : part->type == SPILE_PART_FILE ? program->program->files[part->file].name
                                                       : part->text;
    if (first->part_count > 1 && first->parts[1].type == SPILE_PART_FILE)
        name = program->program->files[first->parts[1].file].name; /* ./{<tool} */
    *info = (spile_program_info){.size = info->size,
                                 .text = program->text,
                                 .name = name,
                                 .group = program->group,
                                 .is_piped = program->is_piped};
    return 0;
}

int spile_plan_file(const spile_plan *plan, size_t index, spile_file_info *info) {
    if (!info || info->size < sizeof(*info) || index >= plan->name_count)
        return -EINVAL;
    const struct plan_name *name = &plan->names[index];
    *info = (spile_file_info){.size = info->size,
                              .name = name->name,
                              .flow = name->flow,
                              .kind = name->kind,
                              .is_pattern = name->is_pattern,
                              .is_tree = name->is_tree,
                              .is_optional = name->is_optional,
                              .is_given_optional = name->is_given_optional};
    return 0;
}

int spile_plan_use(const spile_plan *plan, size_t index, spile_use_info *info) {
    if (!info || info->size < sizeof(*info) || !plan->is_finished)
        return -EINVAL;
    size_t owner = 0;
    while (owner < plan->program_count && index >= plan->programs[owner].program->file_count)
        index -= plan->programs[owner++].program->file_count;
    if (owner >= plan->program_count)
        return -EINVAL;
    const spile_program *program = plan->programs[owner].program;
    const struct file *file = &program->files[index];
    int stdio_fd = -1;
    for (int i = 0; i < 3; i++)
        if (program->tied[i] == (ssize_t)index)
            stdio_fd = i;
    *info = (spile_use_info){.size = info->size,
                             .program = owner,
                             .file = (size_t)(plan_find_name(plan, file->name) - plan->names),
                             .role = file->role,
                             .kind = file->kind,
                             .flags = file->flags | (plan_is_direct(plan, file->name) ? SPILE_FILE_DIRECT : 0),
                             .stdio_fd = stdio_fd,
                             .offset = file->offset,
                             .producer = plan_producer(plan, owner, file)};
    return 0;
}

const char *spile_plan_value(const spile_plan *plan, size_t index, bool *ret_is_list) {
    if (index >= plan->value_count)
        return NULL;
    if (ret_is_list)
        *ret_is_list = plan->values[index].is_list;
    return plan->values[index].name;
}

const char *spile_plan_plain_word(const spile_plan *plan, size_t program, size_t index) {
    if (program >= plan->program_count)
        return NULL;
    const spile_program *owner = plan->programs[program].program;
    for (size_t i = 1; i < owner->word_count; i++) {
        const struct word *word = &owner->words[i];
        if (word->part_count == 1 && word->parts[0].type == SPILE_PART_TEXT && index-- == 0)
            return word->parts[0].text;
    }
    return NULL;
}
