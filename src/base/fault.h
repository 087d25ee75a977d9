/* Injected failures; only in builds with SPILE_FAULTS, never in the library that is installed.
 *
 * A plan lies in a memfd that is shared with the supervisor (its number stands in $SPILE_FAULT_FD): first the rule,
 * then a table of every fault point that was passed. A test records a run, then fails each recorded point in turn.
 */
#pragma once

#include <stdint.h>

enum fault_class { FAULT_ACQUIRE = 1, FAULT_TRANSFER, FAULT_RELEASE };
enum { FAULT_SHORT = -1, FAULT_TABLE_SIZE = 2048 };

struct fault_site {
    enum fault_class class;
    const char *name; /* of the call */
    const char *file;
    int line;
    uint32_t key; /* computed at the first pass */
};

/* One fault point as the table knows it: the same in every process. */
struct fault_entry {
    _Atomic uint32_t key; /* of file, line and name; 0: free */
    _Atomic uint32_t passes;
    uint32_t class;
    char place[52]; /* "call.c:123 openat" */
};

struct fault_plan {
    _Atomic uint32_t key;        /* the point that fails; 0: none, only record */
    _Atomic uint32_t occurrence; /* its first failing pass, from 1 */
    _Atomic uint32_t onward;     /* every later pass fails too */
    _Atomic int32_t code;        /* an errno, or FAULT_SHORT */
    _Atomic uint32_t hits;       /* how often it failed */
    _Atomic uint32_t also;       /* that many points after the first failure another one fails; 0: none */
    _Atomic uint32_t countdown;  /* to it, while it is to come */
    struct fault_entry table[FAULT_TABLE_SIZE];
};

/* What to inject here: 0 nothing, an errno, or FAULT_SHORT. Async-signal-safe. */
int fault_point(struct fault_site *site);
/* For tests: makes the plan and exports it to the environment. Aborts where it can't. */
struct fault_plan *fault_plan_make(void);
/* Clears the rule and the counts of passes; the points that are known stay. */
void fault_plan_reset(struct fault_plan *plan);
