/* What the host gives to a stream: see feed.h. */
#include "stream/feed.h"
#include "stream/end.h"

enum { READS_A_TURN = 16 };

int feed_open_fd(struct feed *feed, int fd) {
    struct stat status;
    int own = -1, result = sys_fstat(fd, &status);
    if (result >= 0 && S_ISDIR(status.st_mode))
        result = -EISDIR;
    if (result < 0)
        return result;
    feed->is_socket = S_ISSOCK(status.st_mode);
    if (S_ISFIFO(status.st_mode) || S_ISCHR(status.st_mode))
        own = fd_reopen_nonblocking(fd, O_RDONLY);
    feed->is_blocking = own < 0 && !S_ISREG(status.st_mode) && !feed->is_socket;
    feed->is_event_first = feed->is_blocking;
    if (own < 0)
        own = sys_dup_cloexec(fd, 3);
    if (own < 0)
        return own;
    feed->fd = own;
    return 0;
}

int feed_open_path(struct feed *feed, const char *path) {
    struct stat status;
    AUTO_FD fd = sys_openat(AT_FDCWD, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
    int result = fd < 0 ? fd : sys_fstat(fd, &status);
    if (result >= 0 && S_ISDIR(status.st_mode))
        result = -EISDIR;
    if (result < 0)
        return result;
    /* A named FIFO reads as ended before its first writer comes. */
    feed->is_event_first = S_ISFIFO(status.st_mode);
    feed->fd = TAKE_FD(fd);
    return 0;
}

static void turn_comes(struct loop_timer *timer) {
    struct feed *feed = CONTAINER_OF(timer, struct feed, turn);
    feed->is_ready = true;
    feed_go_on(feed);
}

static void readable(struct loop_fd *watch, uint32_t events) {
    (void)events;
    struct feed *feed = CONTAINER_OF(watch, struct feed, watch);
    loop_fd_remove(watch);
    feed->is_ready = true;
    feed_go_on(feed);
}

static void wait_for_more(struct feed *feed) {
    spile_loop *loop = feed->stream->room->loop;
    if (feed->read) {
        feed->waits_for_resume = true;
        return;
    }
    int result = feed->watch.loop ? 0 : loop_fd_add(loop, &feed->watch, feed->fd, EPOLLIN, readable);
    if (result == -EPERM)
        loop_defer(loop, &feed->turn, turn_comes);
    else if (result < 0)
        feed->failed(feed, -result);
}

/* Gives the stream what waits; false where it has no room, or nobody wants more. */
static bool give_pending(struct feed *feed) {
    while (feed->pending_size > 0) {
        size_t taken = stream_give(feed->stream, feed->pending + feed->pending_start, feed->pending_size);
        if (taken == 0)
            return false;
        feed->pending_start += taken;
        feed->pending_size -= taken;
    }
    if (stream_is_wanted(feed->stream))
        return true;
    stream_give_end(feed->stream);
    return false;
}

static ssize_t read_some(struct feed *feed) {
    if (feed->read)
        return feed->read(feed, feed->pending, FEED_BYTES);
    if (feed->is_socket)
        return sys_recv(feed->fd, feed->pending, FEED_BYTES, MSG_DONTWAIT);
    return sys_read(feed->fd, feed->pending, FEED_BYTES);
}

static void end(struct feed *feed, ssize_t size) {
    loop_fd_remove(&feed->watch);
    feed->fd = fd_close(feed->fd);
    feed->is_ended = true;
    if (size == 0)
        stream_give_end(feed->stream);
    else
        feed->failed(feed, size < 0 ? (int)-size : EOVERFLOW);
}

static void take_turn(struct feed *feed) {
    for (int i = 0; i < READS_A_TURN; i++) {
        if (!give_pending(feed))
            return;
        if (feed->is_blocking && !TAKE(feed->is_ready, false)) {
            wait_for_more(feed);
            return;
        }
        ssize_t size = read_some(feed);
        if (size == -EINTR)
            continue;
        if (size == -EAGAIN) {
            wait_for_more(feed);
            return;
        }
        if (size <= 0 || size > FEED_BYTES) {
            end(feed, size);
            return;
        }
        feed->pending_start = 0;
        feed->pending_size = (size_t)size;
    }
    loop_defer(feed->stream->room->loop, &feed->turn, turn_comes);
}

void feed_go_on(struct feed *feed) {
    if (!feed->stream || feed->is_ended || feed->is_feeding || feed->watch.loop || feed->waits_for_resume)
        return; /* while it feeds, the stream has room again because of what it gave: the turn sees it */
    feed->is_feeding = true;
    take_turn(feed);
    feed->is_feeding = false;
}

void feed_resume(struct feed *feed) {
    if (TAKE(feed->waits_for_resume, false))
        feed_go_on(feed);
}

/* Returns whether it is held: a file of /proc, which only a read knows the size of, is not. */
static int hold_file(struct feed *feed, struct stream *stream, off_t size) {
    char byte;
    off_t place = sys_lseek(feed->fd, 0, SEEK_CUR);
    if (place < 0)
        return (int)place;
    if (size == 0 && sys_pread(feed->fd, &byte, 1, place) > 0)
        return 0;
    stream_hold_file(stream, TAKE_FD(feed->fd), (uint64_t)place, (uint64_t)MAX(size - place, (off_t)0));
    return 1;
}

int feed_begin(struct feed *feed, struct stream *stream) {
    struct stat status;
    int result = feed->fd < 0 ? 0 : sys_fstat(feed->fd, &status);
    if (result >= 0 && feed->fd >= 0 && S_ISREG(status.st_mode))
        result = hold_file(feed, stream, status.st_size);
    if (result != 0)
        return MIN(result, 0);
    feed->pending = memory_new(FEED_BYTES);
    if (!feed->pending)
        return -ENOMEM;
    stream_expect_given(stream);
    feed->stream = stream;
    if (feed->is_event_first)
        wait_for_more(feed);
    else
        loop_defer(stream->room->loop, &feed->turn, turn_comes);
    return 0;
}

void feed_stop(struct feed *feed) {
    loop_fd_remove(&feed->watch);
    loop_timer_clear(&feed->turn);
    feed->fd = fd_close(feed->fd);
    feed->stream = NULL;
    free(TAKE_POINTER(feed->pending));
}

void feed_abandon(struct feed *feed) {
    feed->fd = fd_close(feed->fd);
}
