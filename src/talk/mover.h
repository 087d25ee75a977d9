/* A thread that reads or writes for a talk: of a device without poll nothing tells when it is ready, and a read may
 * block. One read or write at a time, of a buffer that talk and thread pass to one another; the loop is told by an
 * eventfd. */
#pragma once

#include "base/loop.h"

struct mover;
typedef void (*mover_fn)(void *user);

/* `fd` stays the caller's, and must not be nonblocking. `moved` is called inside a step. */
int mover_start(struct mover **ret_mover, spile_loop *loop, int fd, bool writes, mover_fn moved, void *user);
/* Ends the thread, also one that waits in a read or write. A device that does not let itself be interrupted keeps
 * it until it does. Returns NULL. */
struct mover *mover_stop(struct mover *mover);
/* In the child of a fork, where the thread is not: closes its descriptor, and frees it later. */
void mover_abandon(struct mover *mover);
struct mover *mover_free_abandoned(struct mover *mover);

/* Begins a read, unless one is under way; what was read and not taken is told again. */
void mover_want(struct mover *mover);
/* What was read, as read(2); -EAGAIN: nothing yet. *ret_more: there is more of the same read. */
ssize_t mover_read(struct mover *mover, void *data, size_t size, bool *ret_more);
/* What came of the write before, of the same bytes; or begins one: -EAGAIN. -ENOMEM. */
ssize_t mover_write(struct mover *mover, const void *data, size_t size);
