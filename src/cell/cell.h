/* A cell: the supervised place one call's programs live in, and the pool they are leased from (spile_ctx).
 *
 * A cell has a root directory in memory that the host reaches by a descriptor and the programs by a path; the
 * call makes and fills directories under it. Programs started in it are not children of the host (but in the announced
 * fallback SPILE_CONTAINMENT_NONE). When a cell is released, every process in it is killed and its files are gone.
 *
 * Life of a lease: cell_lease -> (ready callback) -> cell_spawn ... -> cell_release -> (released callback).
 * Everything here runs in the thread of the loop it was given; the pool itself is thread-safe.
 */
#pragma once

#include "base/error.h"
#include "base/loop.h"
#include "cell/look.h"
#include "cell/wants.h"
#include "proc/proc.h"

struct cell;

struct cell_owner {
    /* The cell can be used, or it failed to start (error is the owner's, and the lease is over). */
    void (*ready)(struct cell_owner *owner, spile_error *error);
    /* The supervisor died or broke the protocol: every proc of the cell has had its exited/failed callback; only
     * release is left. */
    void (*broken)(struct cell_owner *owner, spile_error *error);
    /* After cell_release: no process and no file of the lease is left, `cell` is gone. */
    void (*released)(struct cell_owner *owner);
};

/* Takes an idle cell or starts one, never blocking for longer than a vfork + exec. Returns 1 where it is ready now (no
 * callback follows), 0 where `ready` will come from inside a step, or -errno. `ctx` NULL: the library's own.
 * Where a promise among the wants can't be kept the error is of kind PROMISE. */
int cell_lease(spile_ctx *ctx, spile_loop *loop, struct cell_owner *owner, const struct cell_wants *wants,
               struct cell **ret_cell);
struct cell_means cell_means(const struct cell *cell); /* by which its limits are kept */
int cell_root_fd(const struct cell *cell);             /* O_DIRECTORY, owned by the cell; for openat and its like */
const char *cell_root_path(const struct cell *cell);   /* absolute, as programs see it */
spile_containment cell_containment(const struct cell *cell);
const char *cell_notice(const struct cell *cell); /* why a better containment is not to be had, or NULL */

/* Starts a program. `proc` is the caller's and must stay until one of its callbacks `failed` or `exited` came (always
 * from a step). The fds in `spec` stay the caller's and may be closed at once. Returns 0 or -errno (then there is no
 * callback). */
int cell_spawn(struct cell *cell, const struct proc_spec *spec, struct proc *proc);
/* Sends a signal to every process in the cell. */
void cell_signal_all(struct cell *cell, int signal);
/* Asks whether all that runs in the cell stands still (look.h). `inodes` (copied) are the pipes and named pipes that
 * the host knows: whose other end it holds and has nothing to move in, or that lead to strangers. `answer` comes once,
 * from a step; not any more once the cell is broken or released. -EBUSY: one look is under way; -E2BIG: too many. */
int cell_look(struct cell *cell, const struct cell_inode *inodes, size_t count,
              void (*answer)(struct cell_owner *owner, const struct cell_look *look));
/* Ends the lease: kills what is left, gives the cell back to the pool. Returns 1 where nothing was left alive and all
 * is done (no callback follows), 0 where `released` will come. NULL is fine (1). Descriptors opened in its root stay
 * valid. */
int cell_release(struct cell *cell);
/* After a fork, in the child: forgets the cell without touching what the parent still uses. */
void cell_abandon(struct cell *cell);
