/* Directories in memory where no mount of our own is to be had: /dev/shm/spile-cell-XXXXXX, mode 0700, known to be in
 * use by a lock that its maker holds. */
#pragma once

#include "base/util.h"

enum { TREE_PATH_SIZE = 64 };

struct tree {
    char path[TREE_PATH_SIZE];
    int fd; /* of the directory, locked; -1: none */
};
#define TREE_NAME_START "spile-cell-"

/* Exactly the form that tree_make gives: what else begins like it may be somebody's own. */
bool tree_is_name(const char *name);
/* Opens and locks a directory of this user's. -EAGAIN: it is in use, or gone. */
int directory_claim(int base, const char *path, int *ret_fd);
/* Makes one, after deleting what dead processes of this user left. */
int tree_make(struct tree *ret_tree);
/* Deletes all that is in a directory, however deep or closed to its owner; -errno of the first thing that stayed. */
int tree_empty(int directory);
/* Deletes the directory with all that is in it, and forgets it. Fine on one that has none. */
void tree_remove(struct tree *tree);
