/* The calls that test_faults.c makes fail at every point: what each does, and what may come of it. They use nothing of
 * libcheck's, for they run in processes of their own: what is wrong ends the process with FAULT_WRONG. */
#pragma once

#include "base/util.h"
#include "spile.h"

/* Exit statuses that are nobody else's, not even a sanitizer's. */
enum { FAULT_RIGHT = 40, FAULT_ERROR = 41, FAULT_WRONG = 42 };

struct scenario {
    const char *name;
    const char *templates[4];
    spile_call_options options;
    bool must_fail;
    /* Says what goes in and out; `directory` is empty and the run's own. */
    int (*prepare)(spile_call *call, const char *directory);
    /* Looks at what came of it; result is NULL where the call could not even be made. */
    void (*check)(const spile_result *result, bool is_well, const char *directory);
    bool is_polled; /* driven by a poll loop */
    bool is_brief;  /* as after others that were brief: on the host's processor */
};
extern const struct scenario scenarios[];
extern const int scenario_count;

/* Runs it in this process, in a context of its own; FAULT_RIGHT or FAULT_ERROR. */
int scenario_run(const struct scenario *scenario, spile_containment containment, const char *directory);
/* Says what is wrong and ends the process. */
void wrong(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
