/* By what means a supervisor keeps the limits of a lease, and whether it can keep the promises that were demanded. */
#pragma once

#include "cell/cgroup.h"
#include "cell/wants.h"
#include "proc/exec.h"

struct means {
    struct cell_wants wants;
    struct cell_means kinds;
    struct cgroups groups;
    /* What the cell is, set once. */
    bool is_namespace;
    bool counts_users;  /* in a user namespace of its own that counts its processes */
    bool no_swap;       /* its file system is kept out of swap */
    const char *notice; /* why it is no namespace; "": that was declined */
    bool can_move;      /* programs that begin on the host's processor may have these */
    cpu_set_t processors;
};

struct means_refusal {
    int number;       /* positive errno, or 0 */
    unsigned promise; /* SPILE_PROMISE_..., or 0: a limit could not be set */
    const char *what;
};

/* What every program has, whatever the lease: no core dumps, and which processors. */
void means_begin(struct means *means);
/* False: *ret_refusal says what can't be. */
bool means_find(struct means *means, const struct cell_wants *wants, struct means_refusal *ret_refusal);
/* Puts a program under them. */
void means_apply(const struct means *means, struct exec_plan *plan);
/* The lease is over and no process is left; the next one may find the same. */
void means_rest(struct means *means);
/* So is the cell. */
void means_done(struct means *means);
