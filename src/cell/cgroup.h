/* Control groups of a cell: where the kernel counts the memory and the processes of all its programs together. Made
 * beside the host's own group in the hierarchy of version 2, below it in those of version 1; only where its user may.
 * Each is known to be in use by a lock that its maker holds.
 */
#pragma once

#include "base/util.h"
#include "proc/proc.h"

#include <limits.h>

enum { CGROUP_MEMORY = 1u << 0, CGROUP_PROCESSES = 1u << 1, CGROUP_PATH_SIZE = 2048 };

struct cgroup {
    unsigned controllers;
    bool is_unified;             /* version 2 */
    char path[CGROUP_PATH_SIZE]; /* "": none */
    int fd, procs;               /* the directory, locked; its cgroup.procs, for writing */
};

struct cgroups {
    struct cgroup items[2];
    size_t count;
    uint32_t shortages; /* of memory, that were told */
    int killed;         /* readable once memory was short; -1: nothing tells, or the kernel kills all by itself */
};

struct cgroup_refusals {
    struct cgroup_refusal {
        int number;     /* negative errno */
        char what[200]; /* "making a control group in '/sys/...'" */
    } memory, processes;
};

/* Makes groups with as many of these controllers as can be had; returns those. *ret_refusals says why not the others.
 */
unsigned cgroups_make(struct cgroups *cgroups, unsigned controllers, struct cgroup_refusals *ret_refusals);
/* 0: no limit. */
int cgroups_limit(struct cgroups *cgroups, uint64_t memory_bytes, uint64_t processes);
/* `killed` is readable. */
void cgroups_note_shortage(struct cgroups *cgroups);
/* What they have counted so far. */
void cgroups_usage(const struct cgroups *cgroups, struct proc_usage *usage);
/* Takes away those of a cell in which no process is left. */
void cgroups_remove(struct cgroups *cgroups);
/* The same for one whose maker was killed. */
void cgroup_remove_path(const char *path);
