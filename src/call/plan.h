/* spile_plan: programs and the files that tie them together, checked from the names alone.
 *
 * Each program makes at most one version of a name, so a version is known by (name, program), and what was given by
 * (name, PLAN_GIVEN). Which version a program sees follows from plan_source; nothing about it is stored.
 */
#pragma once

#include "call/pattern.h"
#include "call/program.h"

enum { PLAN_GIVEN = -1 };

struct plan_name {
    char *name; /* first in written order; borrowed from a program's file */
    spile_flow flow;
    spile_kind kind;
    bool is_pattern, is_tree, is_optional, is_given_optional;
};

struct plan_value {
    const char *name;
    bool is_list;
};

struct plan_program {
    spile_program *program;
    char *text;    /* the command, for people */
    bool is_piped; /* a bar follows */
    size_t group;
    size_t *after; /* programs that must have ended well before this one starts */
    size_t after_count, after_capacity;
};

struct spile_plan {
    _Atomic unsigned references;
    bool is_finished;
    struct plan_program *programs;
    size_t program_count, program_capacity;
    struct plan_name *names;
    size_t name_count, name_capacity;
    struct plan_value *values;
    size_t value_count, value_capacity;
    char **direct; /* names said to be direct */
    size_t direct_count, direct_capacity;
    char **optional; /* names said to be optional before the plan was finished */
    size_t optional_count, optional_capacity;
    size_t group_count;
};

/* The program whose version of the plain name `name` program `reader` sees, or PLAN_GIVEN. A reader of SIZE_MAX stands
 * behind all programs: its version is the last one. */
int plan_source(const spile_plan *plan, size_t reader, const char *name);
/* Whether some program other than `producer` reads that version of the name. */
bool plan_is_read(const spile_plan *plan, int producer, const char *name);
/* Whether a program makes this plain name (so that it can't be given), and none changes what was given. */
bool plan_is_made(const spile_plan *plan, const char *name);
/* How program `program` uses the plain name: a file of its own, plain before pattern, or NULL. */
const struct file *plan_use_of(const spile_plan *plan, size_t program, const char *name);
/* The name's entry in the plan, a plain name, pattern or tree as it was written; or NULL. */
const struct plan_name *plan_find_name(const spile_plan *plan, const char *name);
/* The program whose version a file of `reader` shows, or PLAN_GIVEN; of a pattern, the first program that may feed it.
 */
int plan_producer(const spile_plan *plan, size_t reader, const struct file *file);
/* Whether the stream of this name is a plain pipe of the kernel. */
bool plan_is_direct(const spile_plan *plan, const char *name);
/* graph.c: everything spile_plan_finish checks. */
int plan_check(spile_plan *plan, spile_error **ret_error);
/* "'ld'" with its number where the same word starts several programs: the way messages name a program. Owned by the
 * caller; NULL without memory. */
char *plan_program_label(const spile_plan *plan, size_t program);

static inline bool role_reads(spile_role role) {
    return role != SPILE_WRITE;
}
static inline bool role_changes(spile_role role) {
    return role == SPILE_CHANGE || role == SPILE_APPEND;
}
static inline bool role_makes(spile_role role) {
    return role != SPILE_READ;
}
