/* The namespaces of a cell, and the file system in memory that only they see. */
#pragma once

#include "cell/keeper.h"

#include <limits.h>
#include <sys/statfs.h>

/* Where the cell's files are mounted. */
struct mountpoint {
    char path[PATH_MAX];
    bool is_ours;    /* made by us inside another cell's files */
    bool no_swap;    /* what is written there never reaches a swap device */
    uint8_t options; /* the kernel took these once; see mountpoint_mount */
    bool is_mounted; /* now */
    bool is_limited; /* mountpoint_limit was called since */
    bool has_ipc;    /* a namespace of its own for what belongs to no process (ipc.h) */
    int queues;      /* of that: see ipc.h */
    struct statx root;
    struct statfs system; /* both as they were when it was mounted */
};

struct contain_failure {
    int number;     /* negative errno */
    char what[100]; /* what was refused: "making a process namespace" */
};

/* Makes a process in namespaces of its own and returns there, with 0, once its root is mounted and *ret_root open. The
 * calling process does not return then, it becomes the keeper. Returns -errno in the calling process where something is
 * refused. */
int contain_enter(const char *directory, bool in_user_namespace, const struct keeper *keeper,
                  struct mountpoint *mountpoint, int *ret_root, struct contain_failure *ret_failure);
/* A fresh file system at the mountpoint, over nothing. */
int mountpoint_mount(struct mountpoint *mountpoint, int *ret_root);
int mountpoint_limit(struct mountpoint *mountpoint, uint64_t bytes);
/* Empties the file system where that is cheaper than a fresh one (taking one away costs a grace period of RCU). False:
 * there is much in it, or it is no longer as it was mounted; some may be gone. No program may run. */
bool mountpoint_wipe(const struct mountpoint *mountpoint, int root);
/* Takes the file system away; what has files of it open keeps those. */
void mountpoint_unmount(struct mountpoint *mountpoint);
void mountpoint_done(struct mountpoint *mountpoint);
