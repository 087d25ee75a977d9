/* What follows from the names alone: who feeds whom, in which order programs run, and what can never work.
 *
 * Every refusal here comes before anything starts, shows the mark in its template, and names the cure.
 */
#include "call/graph.h"

/* -------------------------------------------------------------------------------- refusals */

/* An error that shows `file`'s mark in the template of `program`. */
int graph_refuse(const spile_plan *plan, size_t program, const struct file *file, int number, spile_error **ret_error,
                 char *summary, char *cure) {
    AUTO_FREE char *owned_summary = summary;
    AUTO_FREE char *owned_cure = cure;
    if (!ret_error)
        return -number;
    if (!summary || !cure)
        return error_set(ret_error, SPILE_ERROR_SYSTEM, ENOMEM, "out of memory");
    ssize_t offset = file ? file->offset : -1;
    const char *template = plan->programs[program].program->template;
    *ret_error = template_error(SPILE_ERROR_PLAN, template, offset, summary, cure);
    *ret_error = error_with(*ret_error, number, (int)program, offset);
    return -number;
}

char *graph_format(const char *form, ...) {
    char *made = NULL;
    va_list arguments;
    va_start(arguments, form);
    int size = SYS_FAULT(FAULT_ACQUIRE, "vasprintf") ? -1 : vasprintf(&made, form, arguments);
    va_end(arguments);
    return size < 0 ? NULL : made;
}

static char *cure_of_two_writers(const struct file *file) {
    if (file->kind == SPILE_STREAM) /* it can't be changed in place */
        return graph_format("give one of the two files another name");
    return graph_format("give one of the two files another name, or mark it {<>%s} where it is changed in place",
                        file->name);
}

/* One writer a name, none after a change of it, and no name that is both a file and a directory. */
static int check_writer(const spile_plan *plan, size_t program, const struct file *file, spile_error **ret_error) {
    for (size_t i = 0; i < plan->program_count; i++) {
        const spile_program *other = plan->programs[i].program;
        for (size_t j = 0; i != program && j < other->file_count; j++) {
            if (strcmp(other->files[j].name, file->name) != 0 || !role_makes(other->files[j].role))
                continue;
            AUTO_FREE char *label = plan_program_label(plan, MIN(i, program));
            if (other->files[j].role == SPILE_WRITE && !file->is_pattern && !file->is_tree)
                return graph_refuse(
                    plan, MAX(i, program), i > program ? &other->files[j] : file, EINVAL, ret_error,
                    graph_format("'%s' has two writers, %s and another", file->name, label ? label : "one program"),
                    cure_of_two_writers(file));
            if (role_changes(other->files[j].role) && i < program)
                return graph_refuse(
                    plan, program, file, EINVAL, ret_error,
                    graph_format("'%s' is written here after %s changes it in place", file->name,
                                 label ? label : "another"),
                    graph_format("the written order counts for a file that is changed in place: put its writer "
                                 "before the programs that change it"));
        }
    }
    return 0;
}

static int check_directories(const spile_plan *plan, size_t program, spile_error **ret_error) {
    const spile_program *owner = plan->programs[program].program;
    for (size_t i = 0; i < owner->file_count; i++)
        for (size_t j = 0; j < owner->file_count; j++) {
            const struct file *file = &owner->files[i], *under = &owner->files[j];
            size_t size = strlen(file->name);
            if (!file->is_tree && !file->is_pattern && strncmp(under->name, file->name, size) == 0 &&
                under->name[size] == '/')
                return graph_refuse(
                    plan, program, under, EINVAL, ret_error,
                    graph_format("'%s' is a file here, and '%s' needs it to be a directory", file->name, under->name),
                    graph_format("rename one of them, or mark the directory as a tree: {%s%s/}",
                                 file->role == SPILE_READ ? "<" : ">", file->name));
        }
    return 0;
}

/* A read name that only patterns can make must have one pattern that does. */
static int check_ambiguous(const spile_plan *plan, size_t reader, const struct file *file, spile_error **ret_error) {
    if (file->is_pattern || file->is_tree || !role_reads(file->role))
        return 0;
    int source = plan_source(plan, reader, file->name);
    if (source == PLAN_GIVEN)
        return 0;
    const struct file *first = graph_file_writing(plan->programs[source].program, file->name);
    bool is_changed = (size_t)source < reader &&
                      graph_file_matching(plan->programs[source].program, file->name, role_changes);
    if (is_changed || !first || (!first->is_pattern && !first->is_tree))
        return 0;
    for (size_t i = (size_t)source + 1; i < plan->program_count; i++)
        if (i != reader && graph_file_writing(plan->programs[i].program, file->name))
            return graph_refuse(plan, reader, file, EINVAL, ret_error,
                                graph_format("'%s' may come from programs %d and %zu, whose patterns both match it",
                                             file->name, source + 1, i + 1),
                                graph_format("mark it {+>%s} in the program that writes it", file->name));
    return 0;
}

/* -------------------------------------------------------------------------------- names, values, flows */

static int collect_values(spile_plan *plan, const struct word *word, spile_error **ret_error) {
    for (size_t i = 0; i < word->part_count; i++) {
        const struct part *part = &word->parts[i];
        if (part->type != SPILE_PART_VALUE && part->type != SPILE_PART_VALUES)
            continue;
        bool is_list = part->type == SPILE_PART_VALUES;
        size_t j = 0;
        while (j < plan->value_count && strcmp(plan->values[j].name, part->text) != 0)
            j++;
        if (j < plan->value_count && plan->values[j].is_list != is_list)
            return error_set(ret_error, SPILE_ERROR_PLAN, EINVAL,
                             "'%s' is one value in one place and a list in another: write {%s} or {%s...} in both",
                             part->text, part->text, part->text);
        if (j < plan->value_count)
            continue;
        if (ARRAY_RESERVE(plan->values, plan->value_count, plan->value_capacity) < 0)
            return error_set(ret_error, SPILE_ERROR_SYSTEM, ENOMEM, "out of memory");
        plan->values[plan->value_count++] = (struct plan_value){.name = part->text, .is_list = is_list};
    }
    return 0;
}

static bool is_said_optional(const spile_plan *plan, const struct file *file) {
    for (size_t i = 0; i < plan->optional_count; i++)
        if (strcmp(plan->optional[i], file->name) == 0)
            return true;
    return file->flags & SPILE_FILE_OPTIONAL;
}

/* Whether anything that is given under this name may be missing: every program that sees it only appends to it. */
static bool is_given_optional(const spile_plan *plan, const char *name) {
    for (size_t i = 0; i < plan->program_count; i++) {
        const struct file *file = graph_file_matching(plan->programs[i].program, name, role_reads);
        if (file && plan_source(plan, i, name) == PLAN_GIVEN && file->role != SPILE_APPEND)
            return false;
    }
    return true;
}

static spile_flow pattern_flow(const spile_plan *plan, const struct plan_name *name) {
    bool is_read = false, is_changed = false, is_written = false, is_fed = false;
    for (size_t i = 0; i < plan->program_count; i++)
        for (size_t j = 0; j < plan->programs[i].program->file_count; j++) {
            const struct file *file = &plan->programs[i].program->files[j];
            bool is_same = strcmp(file->name, name->name) == 0;
            is_read |= is_same && file->role == SPILE_READ;
            is_changed |= is_same && role_changes(file->role);
            is_written |= is_same && file->role == SPILE_WRITE;
            is_fed |= file->role == SPILE_WRITE && pattern_overlap(file->name, name->name);
        }
    if (is_written)
        return is_read ? SPILE_INTERMEDIATE : SPILE_OUTPUT;
    if (is_changed)
        return is_fed ? SPILE_OUTPUT : SPILE_INPUT_OUTPUT;
    return is_fed ? SPILE_INTERMEDIATE : SPILE_INPUT;
}

static spile_flow name_flow(const spile_plan *plan, const struct plan_name *name) {
    if (name->is_pattern || name->is_tree)
        return pattern_flow(plan, name);
    int last = plan_source(plan, SIZE_MAX, name->name);
    if (last == PLAN_GIVEN)
        return SPILE_INPUT;
    if (graph_writer_of(plan, SIZE_MAX, name->name) == PLAN_GIVEN)
        return SPILE_INPUT_OUTPUT;
    return plan_is_read(plan, last, name->name) ? SPILE_INTERMEDIATE : SPILE_OUTPUT;
}

static int collect_names(spile_plan *plan, const spile_program *program, spile_error **ret_error) {
    for (size_t i = 0; i < program->file_count; i++) {
        const struct file *file = &program->files[i];
        struct plan_name *name = (struct plan_name *)plan_find_name(plan, file->name);
        if (!name) {
            if (ARRAY_RESERVE(plan->names, plan->name_count, plan->name_capacity) < 0)
                return error_set(ret_error, SPILE_ERROR_SYSTEM, ENOMEM, "out of memory");
            name = &plan->names[plan->name_count++];
            *name = (struct plan_name){
                .name = file->name, .kind = file->kind, .is_pattern = file->is_pattern, .is_tree = file->is_tree};
        }
        if (role_makes(file->role))
            name->is_optional |= is_said_optional(plan, file);
    }
    return 0;
}

static int collect(spile_plan *plan, spile_error **ret_error) {
    plan->name_count = plan->value_count = 0;
    for (size_t i = 0; i < plan->program_count; i++) {
        const spile_program *program = plan->programs[i].program;
        int result = collect_names(plan, program, ret_error);
        for (size_t j = 0; j < program->word_count && result >= 0; j++)
            result = collect_values(plan, &program->words[j], ret_error);
        for (size_t j = 0; j < program->variable_count && result >= 0; j++)
            result = collect_values(plan, &program->variables[j].value, ret_error);
        if (result < 0)
            return result;
    }
    for (size_t i = 0; i < plan->name_count; i++) {
        struct plan_name *name = &plan->names[i];
        name->flow = name_flow(plan, name);
        bool is_given = name->flow == SPILE_INPUT || name->flow == SPILE_INPUT_OUTPUT;
        name->is_given_optional = is_given && is_given_optional(plan, name->name);
    }
    return 0;
}

/* -------------------------------------------------------------------------------- order */

/* Program `reader` starts after `writer` has ended well, because of its file `file`. */
static int add_edge(spile_plan *plan, size_t writer, size_t reader, const struct file *file, spile_error **ret_error) {
    struct plan_program *program = &plan->programs[reader];
    if (plan->programs[writer].group == program->group) {
        AUTO_FREE char *label = plan_program_label(plan, writer);
        return graph_refuse(
            plan, reader, file, EINVAL, ret_error,
            graph_format("'%s' can't be complete before this program starts: %s, which writes it, runs at the "
                         "same time (a bar or a stream joins them)",
                         file->name, label ? label : "its writer"),
            graph_format("drop the bar or the stream between the two programs, or make a stream of this file too: "
                         "{<%s|} and {>%s|}",
                         file->name, file->name));
    }
    for (size_t i = 0; i < program->after_count; i++)
        if (program->after[i] == writer)
            return 0;
    if (ARRAY_RESERVE(program->after, program->after_count, program->after_capacity) < 0)
        return error_set(ret_error, SPILE_ERROR_SYSTEM, ENOMEM, "out of memory");
    program->after[program->after_count++] = writer;
    return 0;
}

static int add_pattern_edges(spile_plan *plan, size_t reader, const struct file *file, spile_error **ret_error) {
    for (size_t i = 0; i < plan->program_count; i++)
        for (size_t j = 0; i != reader && j < plan->programs[i].program->file_count; j++) {
            const struct file *other = &plan->programs[i].program->files[j];
            bool comes_before = other->role == SPILE_WRITE || (role_changes(other->role) && i < reader);
            if (!comes_before || !pattern_overlap(file->name, other->name))
                continue;
            int result = add_edge(plan, i, reader, file, ret_error);
            if (result < 0)
                return result;
        }
    return 0;
}

static int add_edges(spile_plan *plan, size_t reader, spile_error **ret_error) {
    const spile_program *program = plan->programs[reader].program;
    for (size_t i = 0; i < program->file_count; i++) {
        const struct file *file = &program->files[i];
        int result = 0;
        if (!role_reads(file->role) || file->kind == SPILE_STREAM)
            continue;
        if (file->is_pattern || file->is_tree) {
            result = add_pattern_edges(plan, reader, file, ret_error);
        } else {
            int source = plan_source(plan, reader, file->name);
            if (source != PLAN_GIVEN)
                result = add_edge(plan, (size_t)source, reader, file, ret_error);
        }
        if (result < 0)
            return result;
    }
    return 0;
}

/* Searches the groups depth first. `path` holds the programs by which the search came; a group met again on it is a
 * ring. */
struct ring_search {
    const spile_plan *plan;
    char *state; /* of each group: 0 not seen, 1 on the path, 2 done */
    size_t *path;
    size_t depth;
};

static bool ring_visit(struct ring_search *search, size_t group) {
    const spile_plan *plan = search->plan;
    search->state[group] = 1;
    for (size_t i = 0; i < plan->program_count; i++) {
        const struct plan_program *program = &plan->programs[i];
        if (program->group != group)
            continue;
        for (size_t j = 0; j < program->after_count; j++) {
            size_t before = plan->programs[program->after[j]].group;
            search->path[search->depth++] = i;
            if (search->state[before] == 1 || (search->state[before] == 0 && ring_visit(search, before)))
                return true;
            search->depth--;
        }
    }
    search->state[group] = 2;
    return false;
}

/* The first file by which program `reader` waits for a program of group `group`. */
static const struct file *waited_file(const spile_plan *plan, size_t reader, size_t group) {
    const spile_program *program = plan->programs[reader].program;
    for (size_t i = 0; i < program->file_count; i++) {
        int source = plan_producer(plan, reader, &program->files[i]);
        if (source != PLAN_GIVEN && plan->programs[source].group == group)
            return &program->files[i];
    }
    return NULL;
}

static int refuse_ring(const struct ring_search *search, spile_error **ret_error) {
    const spile_plan *plan = search->plan;
    /* The last step leads back into the group where the ring begins. */
    size_t last = search->path[search->depth - 1], start = search->depth - 1;
    while (start > 0) {
        bool closes = false;
        for (size_t i = 0; i < plan->programs[last].after_count; i++)
            closes |= plan->programs[plan->programs[last].after[i]].group == plan->programs[search->path[start]].group;
        if (closes)
            break;
        start--;
    }
    AUTO_TEXT ring = {0};
    for (size_t i = start; i < search->depth; i++) {
        size_t next = search->path[i + 1 < search->depth ? i + 1 : start];
        const struct file *file = waited_file(plan, search->path[i], plan->programs[next].group);
        AUTO_FREE char *label = plan_program_label(plan, search->path[i]);
        text_printf(&ring, "%s%s waits for '%s'", i > start ? ", " : "", label ? label : "a program",
                    file ? file->name : "a file");
    }
    const struct file *file = waited_file(plan, last, plan->programs[search->path[start]].group);
    return graph_refuse(
        plan, last, file, EINVAL, ret_error,
        graph_format("these programs wait for one another's files: %s", ring.data ? ring.data : ""),
        graph_format("a seekable file is read when its writer has ended: break the ring by other file names, or "
                     "mark what is changed in place {<>name}"));
}

static int check_rings(const spile_plan *plan, spile_error **ret_error) {
    AUTO_FREE char *state = memory_zero(plan->group_count, 1);
    AUTO_FREE size_t *path = memory_zero(plan->group_count + 1, sizeof(*path));
    if (!state || !path)
        return error_set(ret_error, SPILE_ERROR_SYSTEM, ENOMEM, "out of memory");
    struct ring_search search = {.plan = plan, .state = state, .path = path};
    for (size_t i = 0; i < plan->group_count; i++)
        if (state[i] == 0 && ring_visit(&search, i))
            return refuse_ring(&search, ret_error);
    return 0;
}

static int check_files(const spile_plan *plan, size_t program, spile_error **ret_error) {
    const spile_program *owner = plan->programs[program].program;
    int result = check_directories(plan, program, ret_error);
    for (size_t i = 0; i < owner->file_count && result >= 0; i++) {
        const struct file *file = &owner->files[i];
        if (file->role == SPILE_WRITE)
            result = check_writer(plan, program, file, ret_error);
        if (result >= 0)
            result = check_ambiguous(plan, program, file, ret_error);
        if (result >= 0)
            result = ties_check_direct(plan, program, file, ret_error);
    }
    return result;
}

int plan_check(spile_plan *plan, spile_error **ret_error) {
    if (plan->program_count == 0)
        return error_set(ret_error, SPILE_ERROR_PLAN, EINVAL, "there is no program to run");
    for (size_t i = 0; i < plan->program_count; i++)
        plan->programs[i].after_count = 0;
    ties_make_groups(plan);
    int result = ties_check_streams(plan, ret_error);
    if (result >= 0)
        result = ties_check_bars(plan, ret_error);
    for (size_t i = 0; i < plan->program_count && result >= 0; i++)
        result = check_files(plan, i, ret_error);
    if (result >= 0)
        result = collect(plan, ret_error);
    for (size_t i = 0; i < plan->program_count && result >= 0; i++)
        result = add_edges(plan, i, ret_error);
    return result < 0 ? result : check_rings(plan, ret_error);
}
