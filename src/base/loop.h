/* The event loop. One epoll fd; sources are embedded in their owners.
 *
 * Order of a step: due timers, deferred work, then descriptors, each once and in the order they became ready; what is
 * added while a step dispatches waits for the next one. A source removed during dispatch is not called again. Nothing
 * here is thread-safe but loop_wake.
 */
#pragma once

#include "base/util.h"
#include "spile.h"

struct loop_fd;
typedef void (*loop_fd_fn)(struct loop_fd *source, uint32_t events);
struct loop_fd {
    spile_loop *loop; /* NULL while not added */
    int fd;           /* not owned */
    uint32_t events;  /* EPOLLIN | ...; level-triggered */
    loop_fd_fn function;
};
/* Watches fd. -EPERM: a regular file, which is always ready: use a deferral. */
int loop_fd_add(spile_loop *loop, struct loop_fd *source, int fd, uint32_t events, loop_fd_fn function);
int loop_fd_change(struct loop_fd *source, uint32_t events);
/* Stops watching; call it before the fd is closed. Fine on one that was never added (zeroed). */
void loop_fd_remove(struct loop_fd *source);

/* A ring that its members can leave in constant time. */
struct loop_link {
    struct loop_link *previous, *next; /* NULL while in no ring */
};

struct loop_timer;
typedef void (*loop_timer_fn)(struct loop_timer *timer);
struct loop_timer {
    struct loop_link link;
    spile_loop *loop; /* NULL while not set */
    uint64_t when_ns;
    loop_timer_fn function;
};
/* Calls the function once when the time has come; setting it again moves it. Never fails. NS_FOREVER clears it. */
void loop_timer_set(spile_loop *loop, struct loop_timer *timer, uint64_t when_ns, loop_timer_fn function);
void loop_timer_clear(struct loop_timer *timer);

/* Work for the next step: a timer that is due at once. */
static inline void loop_defer(spile_loop *loop, struct loop_timer *timer, loop_timer_fn function) {
    loop_timer_set(loop, timer, 0, function);
}

/* What keeps the loop alive, and is told of wake-ups: a running call. */
struct loop_user {
    struct loop_link link;
    spile_loop *loop;                       /* NULL while not joined */
    void (*woken)(struct loop_user *user);  /* after loop_wake, in the loop's thread */
    void (*cancel)(struct loop_user *user); /* the loop is about to be freed: end soon, or leave at once */
    bool is_cancelled;
};
void loop_join(spile_loop *loop, struct loop_user *user);
void loop_leave(struct loop_user *user);
/* Makes the loop tell every user. Thread-safe and async-signal-safe. */
void loop_wake(spile_loop *loop);

/* A place in which another room keeps what belongs to the loop (the FIFO watcher); freed with the loop by `free_fn`. */
void **loop_slot(spile_loop *loop, void (*free_fn)(void *data));
/* A loop without an outer fd to be polled (spile_loop_fd): one timer descriptor less. */
int loop_new_inner(spile_loop **ret_loop);
/* For a moment `other`, from which the loop's next event is to come, runs where the calling thread does; see
 * gathering.h. False: not on this loop, because something else waits on it (spile_loop_fd), or it can't be had. */
bool loop_gather(spile_loop *loop, pid_t other);
/* Ends that, if it is on. */
void loop_scatter(spile_loop *loop);
/* In the child of a fork the loop's descriptors are closed without telling epoll, its timers are let go, and everything
 * here does nothing. Whoever frees there what a timer stands in sees to that first. */
void loop_die(spile_loop *loop);
bool loop_is_dead(const spile_loop *loop);
bool loop_is_stepping(const spile_loop *loop);
