/* Where the bytes of an output go: memory, a descriptor, a file that is replaced, a callback. */
#include "pipe/pipe.h"

enum { NEW_FILE_MODE = 0644 };

static int call_write(spile_pipe *pipe, const void *data, size_t size) {
    pipe->is_in_callback = true;
    int result = pipe->write_fn(pipe->user, pipe->name, data, size);
    pipe->is_in_callback = false;
    pipe->sink_waits_for_resume = result == -EAGAIN;
    return result;
}

static ssize_t pass_on(spile_pipe *pipe, const void *data, size_t size) {
    ssize_t taken = -EINVAL;
    switch (pipe->drain_type) {
    case PIPE_DRAIN_MEMORY:
        taken = bytes_append(&pipe->kept, data, size);
        taken = taken < 0 ? taken : (ssize_t)size;
        break;
    case PIPE_DRAIN_FD:
        taken = sink_write(&pipe->out, pipe->loop, data, size);
        break;
    case PIPE_DRAIN_FILE:
        taken = sys_write(pipe->target_fd, data, size);
        if (taken == -EAGAIN)
            taken = 0; /* nothing would say when a file can be written again */
        break;
    case PIPE_DRAIN_CALLBACK:
        taken = call_write(pipe, data, size);
        if (taken >= 0)
            taken = (ssize_t)size;
        break;
    }
    return taken == -EINTR ? 0 : taken;
}

static spile_error *drain_error(const spile_pipe *pipe, int result) {
    return error_with(error_new(SPILE_ERROR_OUTPUT, "passing on what came through the pipe '%s'%s%s%s failed: %s",
                                pipe->name, pipe->target ? " to '" : "", pipe->target ? pipe->target : "",
                                pipe->target ? "'" : "", strerror(-result)),
                      -result, -1, -1);
}

ssize_t pipe_take(struct stream_sink *sink, const void *data, size_t size) {
    spile_pipe *pipe = CONTAINER_OF(sink, spile_pipe, sink);
    if (pipe->limit_bytes)
        size = MIN(size, (size_t)(pipe->limit_bytes - pipe->bytes));
    if (size == 0) {
        pipe_fail(pipe, error_with(error_new(SPILE_ERROR_LIMIT,
                                             "more than the limit of %llu bytes came through the pipe '%s'",
                                             (unsigned long long)pipe->limit_bytes, pipe->name),
                                   ENOBUFS, -1, -1));
        return -ENOBUFS;
    }
    ssize_t taken = pass_on(pipe, data, size);
    if (taken > 0)
        pipe->bytes += (uint64_t)taken;
    else if (taken < 0 && taken != -EAGAIN)
        pipe_fail(pipe, drain_error(pipe, (int)taken));
    return taken;
}

/* Near the limit the last bytes are taken, so that the first one too many is seen. */
ssize_t pipe_place(struct stream_sink *sink, char **ret_place) {
    spile_pipe *pipe = CONTAINER_OF(sink, spile_pipe, sink);
    size_t room;
    int result = pipe->drain_type == PIPE_DRAIN_MEMORY ? bytes_reserve(&pipe->kept, 1, ret_place, &room) : -EOPNOTSUPP;
    if (result < 0)
        return result;
    return pipe->limit_bytes && room > pipe->limit_bytes - pipe->bytes ? -ENOSPC : (ssize_t)room;
}

void pipe_placed(struct stream_sink *sink, size_t size) {
    spile_pipe *pipe = CONTAINER_OF(sink, spile_pipe, sink);
    bytes_added(&pipe->kept, size);
    pipe->bytes += size;
}

void pipe_writable(struct sink *out) {
    spile_pipe *pipe = CONTAINER_OF(out, spile_pipe, out);
    stream_sink_ready(pipe->stream);
    pipe_look_again(pipe);
}

int pipe_hand_over(spile_pipe *pipe, spile_error **ret_error) {
    int result = 0;
    if (pipe->drain_type == PIPE_DRAIN_FILE && stream_was_opened_by_writer(pipe->stream))
        result = target_commit(pipe->target, &pipe->temporary, pipe->target_fd, NEW_FILE_MODE);
    else if (pipe->drain_type == PIPE_DRAIN_CALLBACK && !pipe->sink_waits_for_resume)
        result = call_write(pipe, NULL, 0);
    else if (pipe->drain_type == PIPE_DRAIN_CALLBACK)
        return 0;
    if (result == -EAGAIN)
        return 0;
    if (result < 0)
        *ret_error = drain_error(pipe, result);
    return result < 0 ? result : 1;
}

void pipe_drain_close(spile_pipe *pipe) {
    bytes_trim(&pipe->kept);
    sink_close(&pipe->out);
    target_drop(&pipe->target, &pipe->temporary, &pipe->target_fd);
}
