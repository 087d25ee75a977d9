/* Who opened or closed a FIFO: see watch.h. */
#include "stream/watch.h"

#include <sys/inotify.h>

enum { WATCH_BUCKETS = 256 };
static const uint64_t clock_step_ns = NS_PER_MS;

struct watcher {
    int fd; /* of inotify, or -1 */
    struct loop_fd source;
    struct loop_timer clock;
    struct loop_link buckets[WATCH_BUCKETS]; /* by descriptor; those by the clock are in the last */
    size_t by_clock_count;
};

static void link_init(struct loop_link *ring) {
    ring->previous = ring->next = ring;
}

static struct loop_link *bucket_of(struct watcher *watcher, int descriptor) {
    return &watcher->buckets[descriptor < 0 ? WATCH_BUCKETS - 1 : descriptor % (WATCH_BUCKETS - 1)];
}

static void unlink_watch(struct watch *watch) {
    watch->link.previous->next = watch->link.next;
    watch->link.next->previous = watch->link.previous;
}

/* Tells all of a bucket that have this descriptor, or all there are. A watch may leave, and others may come, meanwhile:
 * hence the ring is emptied into one of our own first. */
static void tell(struct loop_link *bucket, int descriptor, bool is_all) {
    struct loop_link ring;
    if (bucket->next == bucket)
        return;
    ring = *bucket;
    ring.next->previous = ring.previous->next = &ring;
    link_init(bucket);
    while (ring.next != &ring) {
        struct loop_link *link = ring.next;
        struct watch *watch = CONTAINER_OF(link, struct watch, link);
        link->next->previous = &ring;
        ring.next = link->next;
        link->next = bucket;
        link->previous = bucket->previous;
        bucket->previous->next = link;
        bucket->previous = link;
        if (is_all || watch->descriptor == descriptor)
            watch->function(watch);
    }
}

static void clock_ticks(struct loop_timer *clock) {
    struct watcher *watcher = CONTAINER_OF(clock, struct watcher, clock);
    spile_loop *loop = watcher->source.loop;
    struct loop_link *bucket = bucket_of(watcher, -1);
    if (bucket->next != bucket)
        loop = CONTAINER_OF(bucket->next, struct watch, link)->loop;
    tell(bucket, -1, true);
    if (watcher->by_clock_count > 0 && loop)
        loop_timer_set(loop, clock, time_now_ns() + clock_step_ns, clock_ticks);
}

static void put(struct watcher *watcher, struct watch *watch, int descriptor) {
    struct loop_link *bucket = bucket_of(watcher, descriptor);
    watch->descriptor = descriptor;
    watch->link = (struct loop_link){.previous = bucket->previous, .next = bucket};
    bucket->previous->next = &watch->link;
    bucket->previous = &watch->link;
    if (descriptor < 0 && watcher->by_clock_count++ == 0)
        loop_timer_set(watch->loop, &watcher->clock, time_now_ns() + clock_step_ns, clock_ticks);
}

/* Events were lost: each watch may have had one or not, which nobody can tell from how things are now. By the clock
 * that is not asked. */
static void fall_back(struct watcher *watcher) {
    loop_fd_remove(&watcher->source);
    watcher->fd = fd_close(watcher->fd);
    for (size_t i = 0; i < WATCH_BUCKETS - 1; i++) {
        struct loop_link *bucket = &watcher->buckets[i];
        while (bucket->next != bucket) {
            struct watch *watch = CONTAINER_OF(bucket->next, struct watch, link);
            unlink_watch(watch);
            put(watcher, watch, -1);
        }
    }
}

/* Reads once; false where nothing was there. */
static bool take_events(struct watcher *watcher) {
    _Alignas(struct inotify_event) char buffer[4096];
    ssize_t size = sys_read(watcher->fd, buffer, sizeof(buffer));
    for (ssize_t place = 0; place < size;) {
        const struct inotify_event *event = (const void *)(buffer + place);
        place += (ssize_t)(sizeof(*event) + event->len);
        if (event->mask & IN_Q_OVERFLOW) {
            fall_back(watcher);
            return true;
        }
        if (!(event->mask & IN_IGNORED))
            tell(bucket_of(watcher, event->wd), event->wd, false);
    }
    return size > 0 || size == -EINTR;
}

static void events_come(struct loop_fd *source, uint32_t events) {
    (void)events;
    (void)take_events(CONTAINER_OF(source, struct watcher, source));
}

/* Where there is none for this user now, or events were lost, it is tried again once nothing is looked at by the clock.
 */
static void watcher_listen(spile_loop *loop, struct watcher *watcher) {
    watcher->fd = sys_inotify_init();
    if (watcher->fd >= 0 && loop_fd_add(loop, &watcher->source, watcher->fd, EPOLLIN, events_come) < 0)
        watcher->fd = fd_close(watcher->fd);
}

static void watcher_free(void *pointer) {
    struct watcher *watcher = pointer;
    loop_fd_remove(&watcher->source);
    loop_timer_clear(&watcher->clock);
    fd_close(watcher->fd);
    free(watcher);
}

static struct watcher *watcher_of(spile_loop *loop) {
    void **slot = loop_slot(loop, watcher_free);
    if (*slot)
        return *slot;
    struct watcher *watcher = memory_zero(1, sizeof(*watcher));
    if (!watcher)
        return NULL;
    for (size_t i = 0; i < WATCH_BUCKETS; i++)
        link_init(&watcher->buckets[i]);
    watcher->fd = -1;
    *slot = watcher;
    return watcher;
}

int watch_add(spile_loop *loop, struct watch *watch, int fd, watch_fn function) {
    struct watcher *watcher = watcher_of(loop);
    if (!watcher)
        return -ENOMEM;
    if (watcher->fd < 0 && watcher->by_clock_count == 0)
        watcher_listen(loop, watcher);
    char path[32];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    int descriptor = watcher->fd < 0 ? -1 : sys_inotify_add(watcher->fd, path, IN_OPEN | IN_CLOSE);
    *watch = (struct watch){.loop = loop, .function = function};
    put(watcher, watch, MAX(descriptor, -1));
    return 0;
}

void watch_remove(struct watch *watch) {
    if (!watch->loop)
        return;
    struct watcher *watcher = watcher_of(watch->loop);
    unlink_watch(watch);
    if (watch->descriptor < 0)
        watcher->by_clock_count--;
    else if (!loop_is_dead(watch->loop)) /* in the child of a fork it is the parent's, who still watches */
        (void)sys_inotify_remove(watcher->fd, watch->descriptor);
    watch->loop = NULL;
}

bool watch_is_by_clock(const spile_loop *loop) {
    struct watcher *watcher = *loop_slot((spile_loop *)loop, watcher_free);
    return watcher && watcher->by_clock_count > 0;
}

void watch_drain(spile_loop *loop) {
    struct watcher *watcher = *loop_slot(loop, watcher_free);
    if (!watcher)
        return;
    while (watcher->fd >= 0 && take_events(watcher))
        ;
    tell(bucket_of(watcher, -1), -1, true);
}
