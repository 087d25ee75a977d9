/* What the host gives to a stream and keeps until its end, memory or a file: any reader can have it from its start. */
#include "stream/end.h"

void stream_hold_memory(struct stream *stream, const void *data, size_t size) {
    stream->is_held = stream->is_ended = true;
    stream->memory = data;
    stream->held_size = size;
}

void stream_hold_file(struct stream *stream, int fd, uint64_t base, uint64_t size) {
    stream->file_base = base;
    stream->is_held = stream->is_ended = true;
    stream->file = fd;
    stream->held_size = size;
}

static int fetch_from_file(struct stream *stream, uint64_t offset, const char **ret_data, size_t *ret_size) {
    bool is_here = offset >= stream->scratch_offset && offset < stream->scratch_offset + stream->scratch_size;
    if (!stream->scratch && !(stream->scratch = memory_new(CHUNK_BYTES)))
        return -ENOMEM;
    if (!is_here) {
        size_t wanted = MIN(stream->held_size - offset, (uint64_t)CHUNK_BYTES); /* it may have become longer */
        ssize_t size = sys_pread(stream->file, stream->scratch, wanted, (off_t)(stream->file_base + offset));
        if (size == -EINTR || size == -EAGAIN)
            return fetch_from_file(stream, offset, ret_data, ret_size);
        if (size <= 0)
            return size < 0 ? (int)size : -ENODATA; /* it became shorter while it was read */
        stream->scratch_offset = offset;
        stream->scratch_size = (size_t)size;
    }
    *ret_data = stream->scratch + (offset - stream->scratch_offset);
    *ret_size = stream->scratch_size - (size_t)(offset - stream->scratch_offset);
    return 1;
}

int held_fetch(struct stream *stream, uint64_t offset, const char **ret_data, size_t *ret_size) {
    if (offset >= stream->held_size)
        return -ENODATA;
    if (!stream->memory)
        return fetch_from_file(stream, offset, ret_data, ret_size);
    *ret_data = stream->memory + offset;
    *ret_size = (size_t)(stream->held_size - offset);
    return 1;
}

ssize_t held_send(struct stream *stream, uint64_t offset, int fd) {
    if (stream->file < 0 || stream->must_be_read || offset >= stream->held_size)
        return -EOPNOTSUPP;
    off_t place = (off_t)(stream->file_base + offset);
    ssize_t size = sys_splice_file(stream->file, &place, fd, MIN(stream->held_size - offset, (uint64_t)PIPE_BYTES),
                                   SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
    if (size > 0 || size == -EINTR || size == -EAGAIN || size == -EPIPE)
        return size;
    stream->must_be_read = true; /* a file of /proc, say, or one that has become shorter; a read says what is wrong */
    return -EOPNOTSUPP;
}
