/* Writes to a descriptor that is the caller's, without blocking and without touching its flags. */
#pragma once

#include "base/loop.h"

struct sink {
    int fd; /* a description or at least a descriptor of our own; -1: closed */
    bool is_socket, is_always_ready;
    size_t largest; /* a write that cannot block once poll says writable */
    struct loop_fd watch;
    void (*writable)(struct sink *sink);
};
int sink_open(struct sink *sink, int fd);
/* Bytes written, or -EAGAIN: `writable` will be called once there is room. */
ssize_t sink_write(struct sink *sink, spile_loop *loop, const void *data, size_t size);
void sink_close(struct sink *sink);
