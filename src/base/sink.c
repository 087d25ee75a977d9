/* Writes to a descriptor of the caller's without blocking and without touching its flags: through a nonblocking
 * description of our own where one can be had (pipes, FIFOs, terminals), by MSG_DONTWAIT on sockets, and else in pieces
 * that fit once poll says writable. */
#include "base/sink.h"

enum { SINK_SLICE = 1 << 20 };

int sink_open(struct sink *sink, int fd) {
    struct stat status;
    *sink = (struct sink){.fd = -1, .largest = SINK_SLICE};
    int result = sys_fstat(fd, &status);
    if (result < 0)
        return result;
    sink->is_always_ready = S_ISREG(status.st_mode);
    sink->is_socket = S_ISSOCK(status.st_mode);
    if (S_ISFIFO(status.st_mode) || S_ISCHR(status.st_mode))
        sink->fd = fd_reopen_nonblocking(fd, O_WRONLY);
    if (sink->fd >= 0)
        return 0;
    if (!sink->is_always_ready && !sink->is_socket)
        sink->largest = PIPE_BUF; /* pipe(7): poll promises room for that much */
    sink->fd = sys_dup_cloexec(fd, 3);
    return sink->fd < 0 ? sink->fd : 0;
}

static void sink_ready(struct loop_fd *watch, uint32_t events) {
    (void)events;
    struct sink *sink = CONTAINER_OF(watch, struct sink, watch);
    loop_fd_remove(watch);
    sink->writable(sink);
}

static bool is_writable_now(int fd) {
    struct pollfd poll_fd = {.fd = fd, .events = POLLOUT};
    return sys_poll(&poll_fd, 1, 0) == 1 && poll_fd.revents;
}

ssize_t sink_write(struct sink *sink, spile_loop *loop, const void *data, size_t size) {
    ssize_t written = -EAGAIN;
    size = MIN(size, sink->largest);
    if (sink->watch.loop)
        return -EAGAIN;
    if (sink->is_socket)
        written = sys_send(sink->fd, data, size, MSG_DONTWAIT);
    else if (sink->largest != PIPE_BUF || is_writable_now(sink->fd))
        written = fd_write_no_sigpipe(sink->fd, data, size);
    if (written == -EINTR)
        return 0;
    if (written != -EAGAIN)
        return written;
    int result = loop_fd_add(loop, &sink->watch, sink->fd, EPOLLOUT, sink_ready);
    return result < 0 ? result : -EAGAIN;
}

void sink_close(struct sink *sink) {
    loop_fd_remove(&sink->watch);
    sink->fd = fd_close(sink->fd);
}
