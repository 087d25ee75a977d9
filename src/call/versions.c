/* Which version of a file each program sees: see plan.h. */
#include "call/graph.h"

const struct file *graph_file_matching(const spile_program *program, const char *name, bool (*role_fits)(spile_role)) {
    for (int is_loose = 0; is_loose < 2; is_loose++)
        for (size_t i = 0; i < program->file_count; i++) {
            const struct file *file = &program->files[i];
            bool is_plain = !file->is_pattern && !file->is_tree;
            if (is_plain == !is_loose && role_fits(file->role) && pattern_match(file->name, name))
                return file;
        }
    return NULL;
}

bool graph_role_writes(spile_role role) {
    return role == SPILE_WRITE;
}

bool graph_role_any(spile_role role) {
    (void)role;
    return true;
}

const struct file *plan_use_of(const spile_plan *plan, size_t program, const char *name) {
    return graph_file_matching(plan->programs[program].program, name, graph_role_any);
}

/* The file by which the program may write the name. What it says of the name itself goes before its patterns: one that
 * reads "a" and writes "*" does not write "a". */
const struct file *graph_file_writing(const spile_program *program, const char *name) {
    for (size_t i = 0; i < program->file_count; i++)
        if (strcmp(program->files[i].name, name) == 0)
            return program->files[i].role == SPILE_WRITE ? &program->files[i] : NULL;
    return graph_file_matching(program, name, graph_role_writes);
}

/* The program that writes the name first, before any change of it: one that names it, or else the first whose pattern
 * matches. */
int graph_writer_of(const spile_plan *plan, size_t except, const char *name) {
    int by_pattern = PLAN_GIVEN;
    for (size_t i = 0; i < plan->program_count; i++) {
        const struct file *file = i == except ? NULL : graph_file_writing(plan->programs[i].program, name);
        if (file && !file->is_pattern && !file->is_tree)
            return (int)i;
        if (file && by_pattern == PLAN_GIVEN)
            by_pattern = (int)i;
    }
    return by_pattern;
}

int plan_source(const spile_plan *plan, size_t reader, const char *name) {
    for (size_t i = MIN(reader, plan->program_count); i-- > 0;)
        if (graph_file_matching(plan->programs[i].program, name, role_changes))
            return (int)i;
    return graph_writer_of(plan, reader, name);
}

bool plan_is_read(const spile_plan *plan, int producer, const char *name) {
    for (size_t i = 0; i < plan->program_count; i++)
        if ((int)i != producer && graph_file_matching(plan->programs[i].program, name, role_reads) &&
            plan_source(plan, i, name) == producer)
            return true;
    return false;
}

bool plan_is_made(const spile_plan *plan, const char *name) {
    int writer = graph_writer_of(plan, SIZE_MAX, name);
    if (writer == PLAN_GIVEN)
        return false;
    const struct file *file = graph_file_writing(plan->programs[writer].program, name);
    return !file->is_pattern && !file->is_tree;
}

int plan_producer(const spile_plan *plan, size_t reader, const struct file *file) {
    if (!role_reads(file->role))
        return PLAN_GIVEN;
    if (!file->is_pattern && !file->is_tree)
        return plan_source(plan, reader, file->name);
    for (size_t i = 0; i < plan->program_count; i++)
        for (size_t j = 0; i != reader && j < plan->programs[i].program->file_count; j++) {
            const struct file *other = &plan->programs[i].program->files[j];
            if (role_makes(other->role) && (i < reader || other->role == SPILE_WRITE) &&
                pattern_overlap(file->name, other->name))
                return (int)i;
        }
    return PLAN_GIVEN;
}

const struct plan_name *plan_find_name(const spile_plan *plan, const char *name) {
    for (size_t i = 0; i < plan->name_count; i++)
        if (strcmp(plan->names[i].name, name) == 0)
            return &plan->names[i];
    return NULL;
}
