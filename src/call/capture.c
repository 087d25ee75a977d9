/* Standard output and error of a program: read while it runs, kept whole or by their tail, and passed on where the
 * caller wants to see them. What can't be passed on yet stops the reading, so that the program waits too. */
#include "call/run.h"

enum { CAPTURE_READ = 64 << 10, CAPTURE_READS = 8, KEPT_READ = 256 << 10, PIPE_BYTES = 1 << 20 };

static void capture_fail(struct capture *capture, int result, const char *what) {
    run_fail(capture->owner->call, run_system_error(result, what, capture->owner->label));
}

static int add(struct capture *capture, const char *data, size_t size) {
    char *place;
    size_t room;
    int result = bytes_reserve(&capture->kept, size + 1, &place, &room);
    if (result < 0)
        return result;
    memcpy(place, data, size);
    place[size] = '\0';
    bytes_added(&capture->kept, size);
    return 0;
}

static int keep(struct capture *capture, const char *data, size_t size) {
    struct bytes *kept = &capture->kept;
    if (capture->keeps_tail) {
        if (size >= capture->limit) {
            capture->is_truncated |= size > capture->limit || kept->size > 0;
            data += size - capture->limit;
            size = capture->limit;
            kept->size = 0;
        } else if (kept->size + size > 2 * capture->limit) {
            size_t left = MIN(capture->limit - size, kept->size);
            memmove(kept->data, kept->data + kept->size - left, left);
            kept->size = left;
            capture->is_truncated = true;
        }
    } else if (size > capture->limit - kept->size) {
        return -EOVERFLOW;
    }
    return add(capture, data, size);
}

/* Where all of it is kept and nothing passed on, it is read to where it stays. */
static ssize_t read_kept(struct capture *capture) {
    struct bytes *kept = &capture->kept;
    char *place;
    size_t room;
    int result = bytes_reserve(kept, 2, &place, &room); /* a NUL comes behind it */
    if (result < 0)
        return result;
    ssize_t size = sys_read(capture->fd, place, MIN(room - 1, (size_t)KEPT_READ));
    if (size <= 0)
        return size;
    if ((size_t)size > capture->limit - kept->size)
        return -EOVERFLOW;
    place[size] = '\0';
    bytes_added(kept, (size_t)size);
    if (kept->size >= PIPE_BYTES / 4 && !capture->is_large) {
        capture->is_large = true;
        (void)fcntl(capture->fd, F_SETPIPE_SZ, PIPE_BYTES); /* past the user's share of pages it stays small */
    }
    return size;
}

/* Sends on what waits; nobody listening any more is no reason to fail the call. */
static void send_on(struct capture *capture) {
    while (capture->unsent_size > 0) {
        ssize_t sent = sink_write(&capture->sink, capture->owner->call->loop, capture->unsent + capture->unsent_start,
                                  capture->unsent_size);
        if (sent == -EAGAIN)
            return;
        if (sent < 0) {
            sink_close(&capture->sink);
            capture->has_sink = false;
            capture->unsent_size = 0;
            return;
        }
        capture->unsent_start += (size_t)sent;
        capture->unsent_size -= (size_t)sent;
    }
}

static int take(struct capture *capture, const char *data, size_t size) {
    int result = keep(capture, data, size);
    if (result < 0 || !capture->has_sink)
        return result;
    /* Only reached with nothing unsent, or at the end with what the pipe still held. */
    size_t total = capture->unsent_size + size;
    char *joined = memory_new(total);
    if (!joined)
        return -ENOMEM;
    if (capture->unsent_size > 0)
        memcpy(joined, capture->unsent + capture->unsent_start, capture->unsent_size);
    memcpy(joined + capture->unsent_size, data, size);
    free(capture->unsent);
    capture->unsent = joined;
    capture->unsent_start = 0;
    capture->unsent_size = total;
    send_on(capture);
    return 0;
}

static void capture_close(struct capture *capture) {
    loop_fd_remove(&capture->watch);
    capture->fd = fd_close(capture->fd);
}

static ssize_t read_and_take(struct capture *capture) {
    char buffer[CAPTURE_READ];
    if (!capture->keeps_tail && !capture->has_sink)
        return read_kept(capture);
    ssize_t size = sys_read(capture->fd, buffer, sizeof(buffer));
    int result = size > 0 ? take(capture, buffer, (size_t)size) : 0;
    return result < 0 ? result : size;
}

/* Reads up to `reads` times; returns 1 where there is nothing more for now. */
static int drain(struct capture *capture, int reads, bool waits_for_sink) {
    while (reads-- > 0 && capture->fd >= 0) {
        if (waits_for_sink && capture->unsent_size > 0)
            return 1;
        ssize_t size = read_and_take(capture);
        if (size == -EINTR)
            continue;
        if (size == -EAGAIN)
            return 1;
        if (size <= 0)
            capture_close(capture);
        if (size == -EOVERFLOW)
            run_fail(
                capture->owner->call,
                error_of_limit(error_with(error_new(SPILE_ERROR_LIMIT,
                                                    "%s wrote more than the limit of %zu bytes to a captured stream",
                                                    capture->owner->label, capture->limit),
                                          ENOBUFS, (int)capture->owner->index, -1),
                               SPILE_LIMIT_OUTPUT));
        else if (size < 0)
            capture_fail(capture, (int)size, "reading what was written by");
    }
    return 0;
}

static void capture_readable(struct loop_fd *watch, uint32_t events) {
    (void)events;
    struct capture *capture = CONTAINER_OF(watch, struct capture, watch);
    (void)drain(capture, CAPTURE_READS, true);
    if (capture->unsent_size > 0)
        loop_fd_remove(watch);
}

static void capture_writable(struct sink *sink) {
    struct capture *capture = CONTAINER_OF(sink, struct capture, sink);
    spile_call *call = capture->owner->call;
    send_on(capture);
    if (capture->unsent_size > 0)
        return;
    if (capture->fd < 0) {
        run_advance(call); /* the end may have waited for the last words */
    } else if (!capture->watch.loop) {
        int result = loop_fd_add(call->loop, &capture->watch, capture->fd, EPOLLIN, capture_readable);
        if (result < 0)
            capture_fail(capture, result, "watching the output of");
    }
}

int capture_open(struct capture *capture, struct run_program *owner, bool keeps_tail, size_t limit, int tee_fd,
                 int *ret_write_fd) {
    *capture = (struct capture){.owner = owner, .fd = -1, .keeps_tail = keeps_tail, .limit = limit, .sink.fd = -1};
    int fds[2];
    int result = sys_pipe2(fds, 0);
    if (result < 0)
        return result;
    capture->fd = fds[0];
    AUTO_FD write_fd = fds[1];
    result = sys_fcntl(capture->fd, F_SETFL, O_NONBLOCK);
    if (result >= 0 && tee_fd >= 0 && sink_open(&capture->sink, tee_fd) >= 0) {
        capture->has_sink = true; /* a host without that descriptor just sees nothing */
        capture->sink.writable = capture_writable;
    }
    if (result >= 0)
        result = loop_fd_add(owner->call->loop, &capture->watch, capture->fd, EPOLLIN, capture_readable);
    if (result < 0)
        return result;
    *ret_write_fd = TAKE_FD(write_fd);
    return 0;
}

void capture_finish(struct capture *capture) {
    if (capture->fd < 0)
        return;
    /* A pipe holds 1 MiB at most; a survivor that goes on writing is not waited for. */
    (void)drain(capture, (1 << 20) / CAPTURE_READ + 256, false);
    capture_close(capture);
}

struct bytes capture_hand_over(struct capture *capture) {
    struct bytes kept = capture->kept;
    capture->kept = (struct bytes){0};
    if (kept.size == 0) {
        bytes_done(&kept);
        return kept;
    }
    kept.size++;
    bytes_trim(&kept);
    kept.size--;
    return kept;
}

void capture_done(struct capture *capture) {
    if (!capture->owner)
        return;
    capture_close(capture);
    sink_close(&capture->sink);
    bytes_done(&capture->kept);
    free(capture->unsent);
    *capture = (struct capture){.fd = -1, .sink.fd = -1};
}
