/* Programs that run at the same time because a pipe joins them: streams, bars, and the groups they make. */
#include "call/graph.h"

/* A name is a stream everywhere or nowhere: whoever reads a pipe runs together with whoever writes it. */
static int check_kind(const spile_plan *plan, size_t program, const struct file *file, spile_error **ret_error) {
    for (size_t i = 0; i < program; i++) {
        const struct file *other = graph_file_matching(plan->programs[i].program, file->name, graph_role_any);
        if (!other || other->kind == file->kind)
            continue;
        AUTO_FREE char *label = plan_program_label(plan, i);
        bool is_stream = file->kind == SPILE_STREAM;
        return graph_refuse(plan, program, file, EINVAL, ret_error,
                            graph_format("'%s' is %s here, and %s for %s", file->name,
                                         is_stream ? "a stream" : "a seekable file",
                                         is_stream ? "a seekable file" : "a stream", label ? label : "another program"),
                            graph_format("mark it the same in both: {%s%s%s}", file->role == SPILE_READ ? "<" : ">",
                                         file->name, is_stream ? "" : "|"));
    }
    return 0;
}

int ties_check_streams(const spile_plan *plan, spile_error **ret_error) {
    int result = 0;
    for (size_t i = 0; i < plan->program_count; i++)
        for (size_t j = 0; j < plan->programs[i].program->file_count && result >= 0; j++) {
            const struct file *file = &plan->programs[i].program->files[j];
            if (!file->is_pattern && !file->is_tree)
                result = check_kind(plan, i, file, ret_error);
        }
    return result;
}

/* Whether the two must run at the same time: a stream leads from one to the other, or both read the same one. */
static bool are_tied(const spile_plan *plan, size_t a, size_t b) {
    const spile_program *program = plan->programs[a].program;
    if (b == a + 1 && plan->programs[a].is_piped)
        return true;
    for (size_t i = 0; i < program->file_count; i++)
        if (program->files[i].kind == SPILE_STREAM &&
            graph_file_matching(plan->programs[b].program, program->files[i].name, graph_role_any))
            return true;
    return false;
}

/* Programs that are tied, however far around, get the number of the first of them; then the numbers are made dense. */
void ties_make_groups(spile_plan *plan) {
    for (size_t i = 0; i < plan->program_count; i++)
        plan->programs[i].group = i;
    for (size_t i = 0; i < plan->program_count; i++)
        for (size_t j = i + 1; j < plan->program_count; j++) {
            size_t from = plan->programs[j].group, to = plan->programs[i].group;
            if (from == to || !are_tied(plan, i, j))
                continue;
            for (size_t k = 0; k < plan->program_count; k++)
                if (plan->programs[k].group == MAX(from, to))
                    plan->programs[k].group = MIN(from, to);
        }
    plan->group_count = 0;
    for (size_t i = 0; i < plan->program_count; i++) {
        size_t first = plan->programs[i].group;
        plan->programs[i].group = first == i ? plan->group_count++ : plan->programs[first].group;
    }
}

bool plan_is_direct(const spile_plan *plan, const char *name) {
    for (size_t i = 0; i < plan->direct_count; i++)
        if (strcmp(plan->direct[i], name) == 0)
            return true;
    for (size_t i = 0; i < plan->program_count; i++)
        for (size_t j = 0; j < plan->programs[i].program->file_count; j++) {
            const struct file *file = &plan->programs[i].program->files[j];
            if (file->flags & SPILE_FILE_DIRECT && strcmp(file->name, name) == 0)
                return true;
        }
    return false;
}

/* Pipes between the programs of a group. */
static size_t count_pipes(const spile_plan *plan, size_t group) {
    size_t pipes = 0;
    for (size_t i = 0; i < plan->program_count; i++) {
        if (plan->programs[i].group != group)
            continue;
        pipes += plan->programs[i].is_piped;
        for (size_t j = 0; j < plan->programs[i].program->file_count; j++) {
            const struct file *file = &plan->programs[i].program->files[j];
            pipes += file->kind == SPILE_STREAM && file->role == SPILE_READ &&
                     graph_writer_of(plan, i, file->name) != PLAN_GIVEN;
        }
    }
    return pipes;
}

/* A group hangs together: as many pipes as programs, or more, and somewhere they go round. */
static bool has_ring(const spile_plan *plan, size_t group) {
    size_t programs = 0;
    for (size_t i = 0; i < plan->program_count; i++)
        programs += plan->programs[i].group == group;
    return count_pipes(plan, group) >= programs;
}

int ties_check_direct(const spile_plan *plan, size_t program, const struct file *file, spile_error **ret_error) {
    size_t readers = 0;
    if (!plan_is_direct(plan, file->name))
        return 0;
    for (size_t i = 0; i < plan->program_count; i++) {
        const struct file *other = graph_file_matching(plan->programs[i].program, file->name, role_reads);
        readers += other != NULL;
    }
    const char *cure = "let it not be direct: spile then passes the bytes on";
    if (file->kind != SPILE_STREAM)
        return graph_refuse(
            plan, program, file, EINVAL, ret_error, graph_format("'%s' is direct, and no stream", file->name),
            graph_format("mark it as a stream: {%s%s|}", file->role == SPILE_READ ? "<" : ">", file->name));
    if (readers != 1 || graph_writer_of(plan, SIZE_MAX, file->name) == PLAN_GIVEN)
        return graph_refuse(
            plan, program, file, EINVAL, ret_error,
            graph_format("'%s' is direct, and has not exactly one program that writes it and one that reads it",
                         file->name),
            graph_format("%s", cure));
    if (has_ring(plan, plan->programs[program].group))
        return graph_refuse(
            plan, program, file, EINVAL, ret_error,
            graph_format("'%s' is direct, and the streams and bars around it form a ring, on which it could hang",
                         file->name),
            graph_format("%s", cure));
    return 0;
}

int ties_check_bars(const spile_plan *plan, spile_error **ret_error) {
    for (size_t i = 0; i < plan->program_count; i++) {
        const struct plan_program *program = &plan->programs[i];
        if (!program->is_piped)
            continue;
        const spile_program *next = i + 1 < plan->program_count ? plan->programs[i + 1].program : NULL;
        if (!next)
            return error_set(ret_error, SPILE_ERROR_PLAN, EINVAL,
                             "the last program is piped into the next, and there is none");
        if (program->program->tied[1] >= 0 || next->tied[0] >= 0)
            return error_set(ret_error, SPILE_ERROR_PLAN, EINVAL,
                             "programs %zu and %zu are joined by a bar, and one of them ties that stream to a file: "
                             "drop the bar or the tie",
                             i + 1, i + 2);
    }
    return 0;
}
