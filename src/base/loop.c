/* The event loop: see loop.h for the order of a step.
 *
 * A loop made for an outer loop has a timer descriptor inside its epoll, so that one fd tells of everything. Timers
 * stand in a sorted ring, entered from its far end: deadlines mostly come in rising order.
 */
#include "base/loop.h"
#include "base/forkguard.h"
#include "base/gathering.h"

enum { LOOP_BATCH = 64 };

struct spile_loop {
    int epoll_fd, timer_fd, wake_fd; /* timer_fd -1: an inner loop */
    struct loop_fd timer_source, wake_source;
    struct loop_link timers, users;
    struct loop_link due; /* timers that are being dispatched */
    size_t user_count;
    uint64_t armed_ns; /* what timer_fd is set to */
    bool is_stepping, is_dead;
    bool is_unwanted; /* freed, but still in use */
    bool is_polled;   /* somebody asked for its descriptor: only then timers must make it readable */
    struct epoll_event batch[LOOP_BATCH]; /* being dispatched: removal clears what is still to come */
    int batch_place, batch_count;
    void *slot;
    void (*slot_free)(void *data);
    struct forkguard_node guard;
    struct gathering gathering;
};

static void link_init(struct loop_link *ring) {
    ring->previous = ring->next = ring;
}

static void link_insert_after(struct loop_link *place, struct loop_link *link) {
    link->previous = place;
    link->next = place->next;
    place->next->previous = link;
    place->next = link;
}

static void link_remove(struct loop_link *link) {
    assert(link->previous && link->next);
    link->previous->next = link->next;
    link->next->previous = link->previous;
    link->previous = link->next = NULL;
}

static struct loop_timer *timer_of(struct loop_link *link) {
    return CONTAINER_OF(link, struct loop_timer, link);
}

static void drain_counter(struct loop_fd *source, uint32_t events) {
    (void)events;
    uint64_t count;
    (void)sys_read(source->fd, &count, sizeof(count)); /* nothing there is as good */
}

static void timer_dispatch(struct loop_fd *source, uint32_t events) {
    drain_counter(source, events);
    source->loop->armed_ns = NS_FOREVER; /* it fired: nothing is set now */
}

static void wake_dispatch(struct loop_fd *source, uint32_t events) {
    spile_loop *loop = source->loop;
    drain_counter(source, events);
    for (struct loop_link *link = loop->users.next, *next; link != &loop->users; link = next) {
        next = link->next;
        struct loop_user *user = CONTAINER_OF(link, struct loop_user, link);
        user->woken(user);
    }
}

static void loop_close(spile_loop *loop) {
    loop->epoll_fd = fd_close(loop->epoll_fd);
    loop->timer_fd = fd_close(loop->timer_fd);
    loop->wake_fd = fd_close(loop->wake_fd);
}

static void detach_timers(struct loop_link *ring) {
    while (ring->next != ring) {
        struct loop_timer *timer = timer_of(ring->next);
        link_remove(&timer->link);
        timer->loop = NULL;
    }
}

void loop_die(spile_loop *loop) {
    if (loop->is_dead)
        return;
    loop->is_dead = true;
    gathering_forked(&loop->gathering);
    loop_close(loop);
    /* Their owners may go in any order now. */
    detach_timers(&loop->timers);
    detach_timers(&loop->due);
}

static void loop_after_fork(struct forkguard_node *node) {
    loop_die(CONTAINER_OF(node, spile_loop, guard));
}

static int loop_make(bool has_timer, spile_loop **ret_loop) {
    spile_loop *loop = memory_zero(1, sizeof(*loop));
    if (!loop)
        return -ENOMEM;
    loop->epoll_fd = loop->timer_fd = loop->wake_fd = -1;
    loop->armed_ns = NS_FOREVER;
    link_init(&loop->timers);
    link_init(&loop->due);
    link_init(&loop->users);
    forkguard_add(&loop->guard, loop_after_fork);
    int result = loop->epoll_fd = sys_epoll_create();
    if (result >= 0)
        result = loop->wake_fd = sys_eventfd();
    if (result >= 0)
        result = loop_fd_add(loop, &loop->wake_source, loop->wake_fd, EPOLLIN, wake_dispatch);
    if (result >= 0 && has_timer)
        result = loop->timer_fd = sys_timerfd_create();
    if (result >= 0 && has_timer)
        result = loop_fd_add(loop, &loop->timer_source, loop->timer_fd, EPOLLIN, timer_dispatch);
    if (result < 0) {
        spile_loop_free(loop);
        return result;
    }
    *ret_loop = loop;
    return 0;
}

int spile_loop_new(spile_loop **ret_loop) {
    return loop_make(true, ret_loop);
}

int loop_new_inner(spile_loop **ret_loop) {
    return loop_make(false, ret_loop);
}

static void loop_destroy(spile_loop *loop) {
    forkguard_remove(&loop->guard);
    if (loop->slot)
        loop->slot_free(loop->slot);
    loop_close(loop);
    free(loop);
}

/* Each once; some leave at that, and take others along. */
static void cancel_users(spile_loop *loop) {
    for (struct loop_link *link = loop->users.next; link != &loop->users;) {
        struct loop_user *user = CONTAINER_OF(link, struct loop_user, link);
        link = link->next;
        if (!user->is_cancelled) {
            user->is_cancelled = true;
            user->cancel(user);
            link = loop->users.next;
        }
    }
}

spile_loop *spile_loop_free(spile_loop *loop) {
    if (!loop)
        return NULL;
    if (loop->is_stepping || (loop->is_dead && loop->user_count > 0)) {
        loop->is_unwanted = true; /* the end of the step does it, or the last call of a dead one */
        return NULL;
    }
    if (!loop->is_dead) {
        cancel_users(loop);
        while (loop->user_count > 0)
            (void)spile_loop_step(loop, NS_FOREVER);
    }
    loop_destroy(loop);
    return NULL;
}

/* Keeps timer_fd in step with the earliest timer, for an outer loop that sleeps on our fd. Not before there is one: in
 * a virtual machine arming a timer costs more than all else a step does. */
static void loop_arm(spile_loop *loop) {
    if (loop->timer_fd < 0 || loop->is_stepping || !loop->is_polled)
        return;
    bool is_empty = loop->timers.next == &loop->timers;
    uint64_t when = is_empty ? NS_FOREVER : MAX(timer_of(loop->timers.next)->when_ns, UINT64_C(1));
    if (when == loop->armed_ns)
        return;
    struct itimerspec value = {0};
    if (!is_empty)
        value.it_value = (struct timespec){.tv_sec = (time_t)(when / NS_PER_SECOND),
                                           .tv_nsec = (long)(when % NS_PER_SECOND)};
    if (sys_timerfd_settime(loop->timer_fd, TFD_TIMER_ABSTIME, &value) >= 0)
        loop->armed_ns = when;
}

int spile_loop_fd(spile_loop *loop) {
    loop->is_polled = true;
    loop_scatter(loop);
    loop_arm(loop);
    return loop->epoll_fd;
}

void **loop_slot(spile_loop *loop, void (*free_fn)(void *data)) {
    loop->slot_free = free_fn;
    return &loop->slot;
}

bool loop_gather(spile_loop *loop, pid_t other) {
    return !loop->is_polled && gathering_begin(&loop->gathering, other);
}

void loop_scatter(spile_loop *loop) {
    gathering_end(&loop->gathering);
}

bool loop_is_stepping(const spile_loop *loop) {
    return loop->is_stepping;
}

bool loop_is_dead(const spile_loop *loop) {
    return loop->is_dead;
}

int loop_fd_add(spile_loop *loop, struct loop_fd *source, int fd, uint32_t events, loop_fd_fn function) {
    assert(!source->loop);
    struct epoll_event event = {.events = events, .data.ptr = source};
    if (loop->is_dead)
        return -EBADF;
    int result = sys_epoll_add(loop->epoll_fd, fd, &event);
    if (result < 0)
        return result;
    *source = (struct loop_fd){.loop = loop, .fd = fd, .events = events, .function = function};
    return 0;
}

int loop_fd_change(struct loop_fd *source, uint32_t events) {
    if (!source->loop || source->loop->is_dead || source->events == events)
        return 0;
    struct epoll_event event = {.events = events, .data.ptr = source};
    int result = sys_epoll_mod(source->loop->epoll_fd, source->fd, &event);
    if (result < 0)
        return result;
    source->events = events;
    return 0;
}

void loop_fd_remove(struct loop_fd *source) {
    spile_loop *loop = source->loop;
    if (!loop)
        return;
    source->loop = NULL;
    if (loop->is_dead)
        return;
    (void)sys_epoll_del(loop->epoll_fd, source->fd);
    for (int i = loop->batch_place; i < loop->batch_count; i++)
        if (loop->batch[i].data.ptr == source)
            loop->batch[i].data.ptr = NULL;
}

void loop_timer_set(spile_loop *loop, struct loop_timer *timer, uint64_t when_ns, loop_timer_fn function) {
    loop_timer_clear(timer);
    if (when_ns == NS_FOREVER)
        return;
    timer->loop = loop;
    timer->when_ns = when_ns;
    timer->function = function;
    struct loop_link *place = loop->timers.previous;
    while (place != &loop->timers && timer_of(place)->when_ns > when_ns)
        place = place->previous;
    link_insert_after(place, &timer->link);
    loop_arm(loop);
}

void loop_timer_clear(struct loop_timer *timer) {
    spile_loop *loop = timer->loop;
    if (!loop)
        return;
    link_remove(&timer->link);
    timer->loop = NULL;
    loop_arm(loop);
}

void loop_join(spile_loop *loop, struct loop_user *user) {
    user->loop = loop;
    link_insert_after(&loop->users, &user->link);
    loop->user_count++;
}

void loop_leave(struct loop_user *user) {
    spile_loop *loop = user->loop;
    if (!loop)
        return;
    link_remove(&user->link);
    loop->user_count--;
    user->loop = NULL;
    if (loop->is_dead && loop->is_unwanted && loop->user_count == 0 && !loop->is_stepping)
        loop_destroy(loop);
}

void loop_wake(spile_loop *loop) {
    static const uint64_t one = 1;
    /* Straight to write(2): an errno may not change under a signal's feet, and a full counter wakes too. */
    int saved = errno;
    if (!loop->is_dead && write(loop->wake_fd, &one, sizeof(one)) < 0)
        errno = saved;
}

/* Runs what was due when the step began; what that sets anew waits for the next step, even if it is due at once. */
static void dispatch_timers(spile_loop *loop) {
    uint64_t now = loop->timers.next == &loop->timers ? 0 : time_now_ns();
    while (loop->timers.next != &loop->timers && timer_of(loop->timers.next)->when_ns <= now) {
        struct loop_link *link = loop->timers.next;
        link_remove(link);
        link_insert_after(loop->due.previous, link);
    }
    while (loop->due.next != &loop->due) {
        struct loop_timer *timer = timer_of(loop->due.next);
        link_remove(&timer->link);
        timer->loop = NULL;
        timer->function(timer);
    }
}

/* How long the step may sleep, in epoll's milliseconds: rounded up, so that a timer is due when it wakes. */
static int step_timeout_ms(const spile_loop *loop, uint64_t timeout_ns) {
    if (loop->timers.next != &loop->timers) {
        uint64_t when = timer_of(loop->timers.next)->when_ns;
        uint64_t now = when ? time_now_ns() : 0;
        timeout_ns = MIN(timeout_ns, when > now ? when - now : 0);
    }
    if (timeout_ns == NS_FOREVER)
        return -1;
    uint64_t timeout_ms = timeout_ns / NS_PER_MS + (timeout_ns % NS_PER_MS != 0);
    return (int)MIN(timeout_ms, UINT64_C(86400000));
}

static ssize_t loop_wait(spile_loop *loop, int timeout_ms) {
    bool is_gathered = timeout_ms != 0 && gathering_enter(&loop->gathering);
    ssize_t count = sys_epoll_wait(loop->epoll_fd, loop->batch, LOOP_BATCH, timeout_ms);
    if (is_gathered)
        gathering_leave(&loop->gathering);
    return count;
}

int spile_loop_step(spile_loop *loop, uint64_t timeout_ns) {
    if (loop->is_stepping)
        return -EBUSY;
    if (loop->is_dead)
        return -EBADF;
    if (loop->user_count == 0)
        timeout_ns = 0;
    ssize_t count = loop_wait(loop, step_timeout_ms(loop, timeout_ns));
    if (count < 0 && count != -EINTR && count != -EAGAIN)
        return (int)count;
    loop->is_stepping = true;
    loop->batch_place = 0;
    loop->batch_count = count < 0 ? 0 : (int)count;
    dispatch_timers(loop);
    while (loop->batch_place < loop->batch_count && !loop->is_dead) { /* a callback may have forked */
        struct epoll_event event = loop->batch[loop->batch_place++];
        struct loop_fd *source = event.data.ptr;
        if (source)
            source->function(source, event.events);
    }
    loop->batch_count = 0;
    loop->is_stepping = false;
    if (TAKE(loop->is_unwanted, false)) {
        spile_loop_free(loop);
        return 0;
    }
    loop_arm(loop);
    return (int)loop->user_count;
}
