/* Control groups of a cell: where the kernel counts the memory and the processes of all its programs together. Made
 * beside the host's own group in the hierarchy of version 2, below it in those of version 1; only where its user may.
 * Each is known to be in use by a lock that its maker holds. They are kept from lease to lease, as long as the next one
 * finds them as if new.
 */
#pragma once

#include "base/util.h"
#include "proc/proc.h"

#include <limits.h>

enum { CGROUP_MEMORY = 1u << 0, CGROUP_PROCESSES = 1u << 1, CGROUP_PATH_SIZE = 2048 };

typedef char cgroup_path[CGROUP_PATH_SIZE];

struct cgroup {
    unsigned controllers;
    bool is_unified;                  /* version 2 */
    cgroup_path path;                 /* "": none */
    char *note;                       /* where the path stands for who cleans up after us; NULL: nowhere */
    int fd, procs;                    /* the directory, locked; cgroup.procs for programs, for writing */
    uint64_t memory_bytes, processes; /* the limits that are set; 0: none */
    uint32_t memory_kills, memory_shortages, processes_refused; /* counted before this lease */
};

struct cgroups {
    struct cgroup items[2];
    size_t count;
    unsigned tried, have, used; /* controllers: asked for so far, those had, those of this lease */
    uint32_t shortages;         /* of memory, that were told */
    int killed;         /* readable once memory was short; -1: nothing tells, or the kernel kills all by itself */
    bool is_watched;    /* its owner's: whether that is waited for */
    cgroup_path *notes; /* two; see note above */
    struct cgroup_refusals {
        struct cgroup_refusal {
            int number;     /* negative errno */
            char what[200]; /* "making a control group in '/sys/...'" */
        } memory, processes;
    } refusals; /* why not the others */
};

/* Has groups with as many of these controllers as can be had, in which nothing is counted so far; returns those.
 * `memory_bytes`: the limit they will get. */
unsigned cgroups_get(struct cgroups *cgroups, unsigned controllers, uint64_t memory_bytes);
/* 0: no limit. */
int cgroups_limit(struct cgroups *cgroups, uint64_t memory_bytes, uint64_t processes);
/* `killed` is readable. False: it is no more. */
bool cgroups_note_shortage(struct cgroups *cgroups);
/* What they have counted in this lease so far. */
void cgroups_usage(const struct cgroups *cgroups, struct proc_usage *usage);
/* Takes away those of a cell in which no process is left, with those in them. */
void cgroups_remove(struct cgroups *cgroups);
/* The same for one whose maker was killed. */
void cgroup_remove_path(const char *path);
