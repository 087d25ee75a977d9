/* Who opened or closed a FIFO: inotify, one instance a loop, made at its first use and kept with the loop.
 *
 * An event is only a reason to look: equal ones coalesce, an open has no direction, and our own opens count too. Where
 * inotify is not to be had (a user may have 128 instances) or has lost events (16384 wait, where nobody takes them),
 * every watch is told to look by the clock, until none of those is left.
 */
#pragma once

#include "base/loop.h"

struct watch;
typedef void (*watch_fn)(struct watch *watch);
struct watch {
    spile_loop *loop; /* NULL while not watching */
    int descriptor;   /* of inotify; -1: by the clock */
    watch_fn function;
    struct loop_link link;
};
/* Watches the file behind fd, which stays the caller's. */
int watch_add(spile_loop *loop, struct watch *watch, int fd, watch_fn function);
/* Fine on one that was never added (zeroed). */
void watch_remove(struct watch *watch);
/* Takes in every event there is by now: before the exit of a program is judged. */
void watch_drain(spile_loop *loop);
/* Whether the loop has to look by the clock, which is slower and worth a notice. */
bool watch_is_by_clock(const spile_loop *loop);
