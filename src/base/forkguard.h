/* What must be told of a fork of the host: objects with descriptors of their own, which the child must let go.
 *
 * The registry and its lock are state of the whole process, because fork is; with the default context they are all the
 * library has of that kind. The lock is held over a fork: what runs under it is never seen half done by the child, so
 * the pool of cells has no lock of its own. It is held for moments only, at the longest for the start of a helper.
 */
#pragma once

#include "base/util.h"

struct forkguard_node {
    struct forkguard_node *previous, *next;
    /* Runs in the child, alone and without the lock; may remove its own node. It closes descriptors and marks objects
     * dead: no epoll_ctl, kill or unlink there, for these would reach what the parent uses. */
    void (*child)(struct forkguard_node *node);
};

void forkguard_add(struct forkguard_node *node, void (*child)(struct forkguard_node *node));
/* Fine for a node that was never added (zeroed). */
void forkguard_remove(struct forkguard_node *node);

/* Not recursive; not held while the two above are called. */
void forkguard_lock(void);
void forkguard_unlock(void);
static inline void forkguard_unlock_cleanup(const int *unused) {
    (void)unused;
    forkguard_unlock();
}
/* Holds the lock to the end of the block. */
#define FORKGUARD_HOLD()                                             \
    CLEANUP(forkguard_unlock_cleanup) const int forkguard_held_ = 0; \
    (void)forkguard_held_;                                           \
    forkguard_lock()
