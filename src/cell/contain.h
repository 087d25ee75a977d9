/* The namespaces of a cell, and the file system in memory that only they see. */
#pragma once

#include "base/util.h"

#include <limits.h>

/* Where the cell's files are mounted. */
struct mountpoint {
    char path[PATH_MAX];
    bool is_ours;    /* made by us inside another cell's files */
    bool no_huge;    /* the kernel refused huge pages once */
    bool is_mounted; /* now */
};

struct contain_failure {
    int number;     /* negative errno */
    char what[100]; /* what was refused: "making a process namespace" */
};

/* Makes a process in namespaces of its own and returns there, with 0, once its root is mounted and *ret_root open. The
 * calling process does not return then, it exits. Returns -errno in the calling process where something is refused. */
int contain_enter(const char *directory, bool in_user_namespace, struct mountpoint *mountpoint, int *ret_root,
                  struct contain_failure *ret_failure);
/* A fresh file system at the mountpoint, over nothing. */
int mountpoint_mount(struct mountpoint *mountpoint, int *ret_root);
int mountpoint_limit(const struct mountpoint *mountpoint, uint64_t bytes);
/* Takes the file system away; what has files of it open keeps those. */
void mountpoint_unmount(struct mountpoint *mountpoint);
void mountpoint_done(struct mountpoint *mountpoint);
