/* Means of a supervisor: see means.h. Nothing is looked for that no lease has asked for. */
#include "cell/means.h"
#include "cell/promise.h"

static bool refuse(struct means_refusal *refusal, unsigned promise, int number, const char *what) {
    refusal->promise = promise;
    refusal->number = number;
    refusal->what = what;
    return false;
}

static bool check_promises(const struct means *means, struct means_refusal *refusal) {
    const unsigned of_namespaces = SPILE_PROMISE_CONTAINED | SPILE_PROMISE_PRIVATE | SPILE_PROMISE_FILES |
                                   SPILE_PROMISE_PRIVATE_PATH;
    unsigned wanted = (unsigned)means->wants.promises, of_these = wanted & of_namespaces;
    if (of_these && !means->is_namespace)
        return refuse(refusal, of_these & ~(of_these - 1), 0,
                      *means->notice ? means->notice : "namespaces were declined");
    if (wanted & SPILE_PROMISE_PROGRAM_MEMORY && means->kinds.memory != WANTS_BY_GROUP)
        return refuse(refusal, SPILE_PROMISE_PROGRAM_MEMORY, -means->groups.refusals.memory.number,
                      means->groups.refusals.memory.what);
    if ((wanted & SPILE_PROMISE_PROCESSES || means->wants.processes) && means->kinds.processes == WANTS_NOT_ASKED)
        return refuse(refusal, SPILE_PROMISE_PROCESSES, -means->groups.refusals.processes.number,
                      means->groups.refusals.processes.what);
    if (wanted & SPILE_PROMISE_NO_SWAP && !(means->is_namespace && means->no_swap) && !promise_has_no_swap())
        return refuse(refusal, SPILE_PROMISE_NO_SWAP, 0,
                      "this machine swaps, and files in memory can't be kept out of that here");
    int result = wanted & SPILE_PROMISE_STANDSTILL ? promise_sees_waits() : 0;
    return result >= 0 ||
           refuse(refusal, SPILE_PROMISE_STANDSTILL, -result, "/proc does not tell what a process waits for");
}

/* The controllers that the wants need. */
static unsigned controllers_for(const struct cell_wants *wants) {
    unsigned controllers = 0;
    if (wants->program_memory_bytes || wants->promises & SPILE_PROMISE_PROGRAM_MEMORY)
        controllers |= CGROUP_MEMORY;
    if (wants->processes || wants->promises & SPILE_PROMISE_PROCESSES)
        controllers |= CGROUP_PROCESSES;
    return controllers;
}

void means_begin(struct means *means) {
    const struct rlimit no_core = {EXEC_CORE_BYTES, EXEC_CORE_BYTES};
    struct rlimit core;
    if (getrlimit(RLIMIT_CORE, &core) == 0 && core.rlim_max >= EXEC_CORE_BYTES)
        (void)sys_setrlimit(RLIMIT_CORE, &no_core); /* they inherit it */
    means->can_move = exec_processors(&means->processors) >= 0;
}

bool means_find(struct means *means, const struct cell_wants *wants, struct means_refusal *ret_refusal) {
    unsigned controllers = controllers_for(wants);
    means_rest(means);
    means->wants = *wants;
    unsigned have = controllers ? cgroups_get(&means->groups, controllers, wants->program_memory_bytes) : 0;
    if (controllers & CGROUP_MEMORY)
        means->kinds.memory = have & CGROUP_MEMORY ? WANTS_BY_GROUP : WANTS_BY_EACH;
    if (have & CGROUP_PROCESSES)
        means->kinds.processes = WANTS_BY_GROUP;
    else if (controllers & CGROUP_PROCESSES && means->counts_users)
        means->kinds.processes = WANTS_BY_USER;
    if (!check_promises(means, ret_refusal))
        return false;
    int result = have ? cgroups_limit(&means->groups, wants->program_memory_bytes, wants->processes) : 0;
    return result >= 0 || refuse(ret_refusal, 0, -result, "limiting a control group");
}

void means_apply(const struct means *means, struct exec_plan *plan) {
    if (means->can_move && plan->flags & EXEC_NEAR)
        plan->processors = &means->processors;
    for (size_t i = 0; i < means->groups.count; i++)
        if (means->groups.items[i].controllers & means->groups.used)
            plan->groups[plan->group_count++] = means->groups.items[i].procs;
    if (means->kinds.memory == WANTS_BY_EACH)
        plan->limits.data_bytes = means->wants.program_memory_bytes;
    if (means->kinds.processes == WANTS_BY_USER)
        plan->limits.processes = means->wants.processes + 1; /* the supervisor counts too */
}

void means_rest(struct means *means) {
    means->groups.used = 0;
    means->wants = (struct cell_wants){0};
    means->kinds = (struct cell_means){0};
}

void means_done(struct means *means) {
    cgroups_remove(&means->groups);
    means_rest(means);
}
