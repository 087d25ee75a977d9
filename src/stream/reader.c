/* A FIFO that a program reads.
 *
 * Not a byte is in a generation's pipe until the name points to the next one: so what is written into it reaches the
 * open that it was made for, and no other. What an open left unread tells how much it took; one that took nothing does
 * not count.
 */
#include "stream/end.h"

static void reader_looked(struct watch *watch);
static void reader_writable(struct loop_fd *ready, uint32_t events);

static bool has_reader(const struct generation *generation) {
    struct pollfd poll_fd = {.fd = generation->fd, .events = 0};
    return poll(&poll_fd, 1, 0) >= 0 && !(poll_fd.revents & POLLERR);
}

static int make(struct stream_reader *reader, struct generation **ret_generation) {
    struct stream_room *room = reader->stream->room;
    struct generation *generation = memory_zero(1, sizeof(*generation));
    if (!generation)
        return -ENOMEM;
    *generation = (struct generation){.end = reader, .fd = -1, .kept = -1};
    AUTO_FD read_fd = -1;
    struct stat status;
    int result = fifo_make(room, generation->name, &read_fd, &generation->fd);
    if (result >= 0)
        result = sys_fstat(generation->fd, &status);
    if (result >= 0)
        result = sys_fchmod(generation->fd, 0400); /* an O_RDWR open would be its own writer and never see the end */
    read_fd = fd_close(read_fd);
    if (result >= 0)
        result = watch_add(room->loop, &generation->watch, generation->fd, reader_looked);
    if (result < 0) {
        generation_free_all(generation);
        return result;
    }
    generation->device = status.st_dev;
    generation->inode = status.st_ino;
    *ret_generation = generation;
    return 0;
}

static int arm(struct stream_reader *reader) {
    struct generation *generation = TAKE_POINTER(reader->spare);
    int result = generation ? 0 : make(reader, &generation);
    return result < 0 ? result : generation_arm(generation, reader->stream->room, reader->path, &reader->generations);
}

void reader_prepare(struct stream_reader *reader) {
    const struct generation *first = reader->generations;
    if (!reader->spare && first && !first->next && first->state == GENERATION_ARMED)
        (void)make(reader, &reader->spare); /* else it is made when it is needed */
}

int reader_make(struct stream *stream, const char *path, struct stream_reader **ret_reader) {
    struct stream_reader *reader = memory_zero(1, sizeof(*reader));
    if (!reader)
        return -ENOMEM;
    reader->stream = stream;
    reader->path = memory_string(path);
    int result = reader->path ? arm(reader) : -ENOMEM;
    if (result < 0) {
        reader_free(reader);
        return result;
    }
    *ret_reader = reader;
    return 0;
}

void reader_free(struct stream_reader *reader) {
    generation_free_all(reader->generations);
    generation_free_all(reader->spare);
    free(reader->path);
    free(reader);
}

/* What the pipe still holds, through a read end of our own. */
static ssize_t take_back(int fd, char **ret_data) {
    int unread = 0;
    if (fd < 0 || ioctl(fd, FIONREAD, &unread) < 0)
        return fd < 0 ? fd : -errno;
    AUTO_FREE char *data = memory_new((size_t)unread + 1);
    if (!data)
        return -ENOMEM;
    ssize_t total = 0;
    while (total < unread) {
        ssize_t size = sys_read(fd, data + total, (size_t)(unread - total));
        if (size == -EINTR)
            continue;
        if (size <= 0)
            break;
        total += size;
    }
    *ret_data = TAKE_POINTER(data);
    return total;
}

/* The same for one that somebody may still have open: a copy, which takes nothing away. */
static ssize_t copy_back(const struct generation *generation, char **ret_data) {
    int fds[2];
    ssize_t size = sys_pipe2(fds, O_NONBLOCK);
    if (size < 0)
        return size;
    AUTO_FD copy = fds[0];
    AUTO_FD end = fds[1];
    (void)fcntl(end, F_SETPIPE_SZ, fcntl(generation->kept, F_GETPIPE_SZ));
    do
        size = sys_tee(generation->kept, end, PIPE_BYTES);
    while (size == -EINTR);
    return size < 0 ? size : take_back(copy, ret_data);
}

/* An open took nothing (it was a look at the type, say): the next one begins where it did. */
static void begin_again(struct stream_reader *reader, struct generation *generation, const char *unread) {
    struct stream *stream = reader->stream;
    stream_set_generation(generation, GENERATION_IDLE);
    if (stream->window.base > generation->start) {
        size_t back = (size_t)(stream->window.base - generation->start);
        if (window_prepend(&stream->window, unread, back) < 0)
            stream_fail(stream, STREAM_FAULT_SYSTEM, ENOMEM, reader->path);
        else
            stream->room->held_bytes += back;
    }
    reader->offset = generation->offset = generation->start;
}

/* An open that was told the end while all of it lay in its pipe: where it read none of that, it does not count either.
 */
static void recover(struct stream_reader *reader, struct generation *generation) {
    AUTO_FREE char *unread = NULL;
    uint64_t given = generation->offset - generation->start;
    ssize_t size = given > 0 ? copy_back(generation, &unread) : 0;
    generation->kept = fd_close(generation->kept);
    if (size >= 0 && (uint64_t)size == given)
        begin_again(reader, generation, unread);
}

/* Its program closed it before the end. */
static void left(struct stream_reader *reader, struct generation *generation) {
    struct stream *stream = reader->stream;
    loop_fd_remove(&generation->ready);
    stream->room->progress++;
    stream_tell_let_go(stream);
    if (stream->is_held) {
        stream_set_generation(generation, GENERATION_CLOSED);
        generation_close(generation);
        return;
    }
    AUTO_FD fd = fd_reopen_nonblocking(generation->fd, O_RDONLY);
    AUTO_FREE char *unread = NULL;
    ssize_t size = take_back(fd, &unread);
    if (size < 0) {
        stream_fail(stream, STREAM_FAULT_SYSTEM, (int)-size, reader->path);
        return;
    }
    if (generation->offset - generation->start > (uint64_t)size) {
        stream_set_generation(generation, GENERATION_CLOSED);
        generation_close(generation);
        reader->is_finished = true;
        stream_consumed(stream);
        return;
    }
    begin_again(reader, generation, unread);
}

static void begin(struct stream_reader *reader, struct generation *generation) {
    struct stream *stream = reader->stream;
    stream_note_open(stream, &stream->reader_side, reader->path);
    for (struct generation *other = reader->generations; other && !stream->is_held; other = other->next) {
        if (other->kept >= 0)
            recover(reader, other);
        if (other->state != GENERATION_OPEN || other == generation)
            continue;
        if (has_reader(other)) {
            stream_fail(stream, STREAM_FAULT_TWO_READERS, 0, reader->path);
            return;
        }
        left(reader, other);
    }
    if (!stream->is_held && (reader->is_finished || reader->offset > 0)) {
        stream_fail(stream, STREAM_FAULT_INPUT_AGAIN, 0, reader->path);
        return;
    }
    stream_set_generation(generation, GENERATION_OPEN);
    generation->start = generation->offset = stream->is_held ? 0 : reader->offset;
    reader_pump(reader);
}

int reader_open(struct stream_reader *reader, int *ret_fd) {
    struct generation *generation;
    int result = generation_open(reader, false, &generation, ret_fd);
    if (result < 0)
        return result;
    generation->next = reader->generations;
    reader->generations = generation;
    begin(reader, generation);
    return 0;
}

/* Something opened or closed this generation: what matters is how it is now. */
static void reader_looked(struct watch *watch) {
    struct generation *generation = CONTAINER_OF(watch, struct generation, watch);
    struct stream_reader *reader = generation->end;
    struct stream *stream = reader->stream;
    bool is_by_clock = watch->descriptor < 0;
    bool is_read = generation->fd >= 0 && has_reader(generation);
    bool is_as_before = generation->state == GENERATION_OPEN ? is_read : is_by_clock && !is_read;
    if (generation->fd < 0 || is_as_before || generation == reader->spare)
        return;
    stream->room->progress++;
    switch (generation->state) {
    case GENERATION_ARMED: {
        int result = arm(reader);
        if (result < 0) {
            stream_fail(stream, STREAM_FAULT_SYSTEM, -result, reader->path);
            return;
        }
        is_read = has_reader(generation);
        stream_set_generation(generation, GENERATION_IDLE);
        if (is_read)
            begin(reader, generation);
        else
            stream_note_open(stream, &stream->reader_side, reader->path);
        break;
    }
    case GENERATION_IDLE:
        if (is_read)
            begin(reader, generation);
        break;
    case GENERATION_OPEN:
        if (!is_read)
            left(reader, generation);
        break;
    case GENERATION_CLOSED:
        break;
    }
    stream_consumed(stream); /* one that has just opened may have taken all of a full window at once */
}

static void grow_pipe(struct generation *generation) {
    if (generation->is_large || generation->offset - generation->start < PIPE_BYTES / 4)
        return;
    generation->is_large = true;
    (void)fcntl(generation->fd, F_SETPIPE_SZ, PIPE_BYTES); /* past the user's share of pages it stays small */
}

/* Nobody tells that a pipe without a name was closed, but an error at our side, which always counts as an event. */
static int wait_for(struct stream_reader *reader, struct generation *generation, bool is_for_room) {
    if (!is_for_room && !generation->is_pipe) {
        loop_fd_remove(&generation->ready);
        return 0;
    }
    uint32_t events = is_for_room ? EPOLLOUT : 0;
    return generation->ready.loop
               ? loop_fd_change(&generation->ready, events)
               : loop_fd_add(reader->stream->room->loop, &generation->ready, generation->fd, events, reader_writable);
}

/* Writes what comes next: bytes, 0 where that is not there yet, -ENODATA at the end. */
static ssize_t write_piece(struct stream *stream, const struct generation *generation) {
    const char *data;
    size_t size;
    ssize_t written = held_send(stream, generation->offset, generation->fd);
    if (written != -EOPNOTSUPP)
        return written;
    int result = stream_fetch(stream, generation->offset, &data, &size);
    return result <= 0 ? result : sys_write(generation->fd, data, MIN(size, (size_t)CHUNK_BYTES));
}

static void serve(struct stream_reader *reader, struct generation *generation) {
    struct stream *stream = reader->stream;
    ssize_t written = 0;
    bool waits_for_room = false;
    for (int i = 0; i < CHUNKS_A_TURN; i++) {
        written = write_piece(stream, generation);
        if (written == -ENODATA) {
            stream_set_generation(generation, GENERATION_CLOSED);
            if (!stream->is_held && !generation->is_pipe)
                generation->kept = fd_reopen_nonblocking(generation->fd, O_RDONLY);
            generation_close(generation);
            reader->offset = generation->offset;
            stream->room->progress++;
            stream_tell_let_go(stream);
            return;
        }
        waits_for_room = written != 0; /* after so many chunks others have their turn */
        if (written == -EINTR)
            continue;
        if (written <= 0)
            break;
        generation->offset += (uint64_t)written;
        stream_note(stream, &stream->reader_side, (size_t)written);
        grow_pipe(generation);
        waits_for_room = i == CHUNKS_A_TURN - 1;
    }
    if (written == -EPIPE) {
        left(reader, generation);
        return;
    }
    if (written < 0 && written != -EAGAIN && written != -EINTR) {
        stream_fail(stream, STREAM_FAULT_SYSTEM, (int)-written, reader->path);
        return;
    }
    int result = wait_for(reader, generation, waits_for_room || stream->is_held_back);
    if (result < 0)
        stream_fail(stream, STREAM_FAULT_SYSTEM, -result, reader->path);
}

void reader_pump(struct stream_reader *reader) {
    CLEANUP(sigpipe_guard_done) struct sigpipe_guard guard;
    bool has_open = false;
    for (const struct generation *generation = reader->generations; generation; generation = generation->next)
        has_open |= generation->state == GENERATION_OPEN;
    sigpipe_guard_init(&guard);
    for (struct generation *generation = reader->generations; generation && has_open; generation = generation->next)
        if (generation->state == GENERATION_OPEN)
            serve(reader, generation);
}

static void reader_writable(struct loop_fd *ready, uint32_t events) {
    struct generation *generation = CONTAINER_OF(ready, struct generation, ready);
    struct stream_reader *reader = generation->end;
    if (events & EPOLLERR && generation->state == GENERATION_OPEN)
        left(reader, generation);
    reader_pump(reader);
    stream_consumed(reader->stream);
}

uint64_t reader_needs(const struct stream_reader *reader) {
    uint64_t lowest = reader->is_finished || reader->is_exited ? UINT64_MAX : reader->offset;
    for (const struct generation *generation = reader->generations; generation; generation = generation->next)
        if (generation->state == GENERATION_OPEN)
            return generation->offset;
        else if (generation->state == GENERATION_CLOSED)
            lowest = UINT64_MAX; /* it had all of it */
    return lowest;
}

bool reader_is_served(const struct stream_reader *reader) {
    return reader_needs(reader) == UINT64_MAX;
}

void reader_exited(struct stream_reader *reader) {
    reader->is_exited = true;
    reader->generations = generation_free_all(reader->generations);
    reader->spare = generation_free_all(reader->spare);
}
