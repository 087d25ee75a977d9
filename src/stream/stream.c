/* One stream: what lies between its ends. See stream.h. */
#include "stream/end.h"

/* ------------------------------------------------------------------------------ what the ends share */

void stream_set_generation(struct generation *generation, enum generation_state next) {
    static const unsigned allowed[] = {
        [GENERATION_ARMED] = 1u << GENERATION_IDLE | 1u << GENERATION_OPEN,
        [GENERATION_IDLE] = 1u << GENERATION_OPEN,
        [GENERATION_OPEN] = 1u << GENERATION_IDLE | 1u << GENERATION_CLOSED,
        [GENERATION_CLOSED] = 1u << GENERATION_IDLE | 1u << GENERATION_OPEN,
    };
    assert(allowed[generation->state] & 1u << next);
    generation->state = next;
}

void generation_close(struct generation *generation) {
    watch_remove(&generation->watch);
    loop_fd_remove(&generation->ready);
    generation->fd = fd_close(generation->fd);
}

struct generation *generation_free_all(struct generation *generation) {
    while (generation) {
        struct generation *next = generation->next;
        generation_close(generation);
        fd_close(generation->kept);
        free(generation);
        generation = next;
    }
    return NULL;
}

int fifo_make(struct stream_room *room, char name[32], int *ret_read, int *ret_write) {
    if (room->serial == 0) {
        int made = sys_mkdirat(room->root, "s", 0700);
        if (made < 0 && made != -EEXIST)
            return made;
    }
    snprintf(name, 32, "s/%llu", (unsigned long long)room->serial++);
    int result = sys_mkfifoat(room->root, name, 0600);
    if (result < 0)
        return result;
    AUTO_FD read_fd = sys_openat(room->root, name, O_RDONLY | O_NONBLOCK, 0);
    if (read_fd < 0)
        return read_fd;
    int write_fd = sys_openat(room->root, name, O_WRONLY | O_NONBLOCK, 0);
    if (write_fd < 0)
        return write_fd;
    *ret_read = TAKE_FD(read_fd);
    *ret_write = write_fd;
    return 0;
}

int generation_open(void *end, bool for_writing, struct generation **ret_generation, int *ret_fd) {
    int fds[2];
    struct stat status;
    int result = sys_pipe2(fds, 0);
    if (result < 0)
        return result;
    AUTO_FD ours = fds[for_writing ? 0 : 1];
    AUTO_FD theirs = fds[for_writing ? 1 : 0];
    result = sys_fcntl(ours, F_SETFL, O_NONBLOCK);
    if (result >= 0)
        result = sys_fstat(ours, &status);
    struct generation *generation = result < 0 ? NULL : memory_zero(1, sizeof(*generation));
    if (!generation)
        return result < 0 ? result : -ENOMEM;
    *generation = (struct generation){
        .end = end, .fd = TAKE_FD(ours), .kept = -1, .device = status.st_dev, .inode = status.st_ino, .is_pipe = true};
    *ret_generation = generation;
    *ret_fd = TAKE_FD(theirs);
    return 0;
}

int generation_arm(struct generation *generation, struct stream_room *room, const char *path,
                   struct generation **list) {
    int result = sys_renameat(room->root, generation->name, room->root, path);
    if (result < 0) {
        generation_free_all(generation);
        return result;
    }
    while (*list)
        list = &(*list)->next;
    *list = generation;
    return 0;
}

void stream_fail(struct stream *stream, enum stream_fault fault, int number, const char *path) {
    stream->room->owner->failed(stream->room->owner, stream, fault, number, path);
}

void stream_note_open(struct stream *stream, struct stream_side *side, const char *path) {
    side->opens++;
    stream->room->owner->opened(stream->room->owner, stream, path, side->opens);
}

void stream_tell_let_go(struct stream *stream) {
    if (stream->room->owner->let_go)
        stream->room->owner->let_go(stream->room->owner, stream);
}

void stream_note(struct stream *stream, struct stream_side *side, size_t bytes) {
    side->last_ns = time_now_ns();
    if (side->bytes == 0)
        side->first_ns = side->last_ns;
    side->bytes += bytes;
    stream->room->progress++;
}

/* ------------------------------------------------------------------------------ life */

int stream_new(struct stream_room *room, struct stream **ret_stream) {
    struct stream *stream = memory_zero(1, sizeof(*stream));
    if (!stream)
        return -ENOMEM;
    stream->room = room;
    stream->file = -1;
    stream->window_limit = room->window;
    *ret_stream = stream;
    return 0;
}

struct stream *stream_free(struct stream *stream) {
    if (!stream)
        return NULL;
    if (stream->writer)
        writer_free(stream->writer);
    while (stream->readers) {
        struct stream_reader *next = stream->readers->next;
        reader_free(stream->readers);
        stream->readers = next;
    }
    stream->room->held_bytes -= stream->window.size;
    window_done(&stream->window);
    fd_close(stream->file);
    free(stream->scratch);
    free(stream);
    return NULL;
}

static void abandon_generations(struct generation *generation) {
    for (; generation; generation = generation->next) {
        generation->fd = fd_close(generation->fd);
        generation->kept = fd_close(generation->kept);
    }
}

void stream_abandon(struct stream *stream) {
    if (stream->writer) {
        abandon_generations(stream->writer->generations);
        abandon_generations(stream->writer->spare);
    }
    for (struct stream_reader *reader = stream->readers; reader; reader = reader->next) {
        abandon_generations(reader->generations);
        abandon_generations(reader->spare);
    }
    stream->file = fd_close(stream->file);
}

void stream_get_info(const struct stream *stream, struct stream_info *info) {
    *info = (struct stream_info){.writer = stream->writer_side,
                                 .reader = stream->reader_side,
                                 .window_bytes = stream->is_held ? 0 : stream->window_limit,
                                 .window_growths = stream->window_growths};
    uint64_t now = time_now_ns();
    info->writer.blocked_ns += stream->full_since_ns ? now - stream->full_since_ns : 0;
    info->reader.blocked_ns += stream->empty_since_ns ? now - stream->empty_since_ns : 0;
}

void stream_expect_given(struct stream *stream) {
    stream->is_given = true;
}

int stream_make_writer(struct stream *stream, const char *path) {
    return writer_make(stream, path, &stream->writer);
}

int stream_make_reader(struct stream *stream, const char *path) {
    struct stream_reader *reader = NULL, **place = &stream->readers;
    int number = 0;
    int result = reader_make(stream, path, &reader);
    if (result < 0)
        return result;
    for (; *place; place = &(*place)->next)
        number++;
    reader->number = number;
    *place = reader;
    return number;
}

void stream_prepare(struct stream *stream) {
    if (stream->writer)
        writer_prepare(stream->writer);
    for (struct stream_reader *reader = stream->readers; reader; reader = reader->next)
        reader_prepare(reader);
}

int stream_open_reader(struct stream *stream, int number, int *ret_fd) {
    struct stream_reader *reader = stream->readers;
    while (reader && reader->number != number)
        reader = reader->next;
    return reader ? reader_open(reader, ret_fd) : -EINVAL;
}

int stream_open_writer(struct stream *stream, int *ret_fd) {
    return writer_open(stream->writer, ret_fd);
}

void stream_set_sink(struct stream *stream, struct stream_sink *sink) {
    stream->sink = sink;
}

/* ------------------------------------------------------------------------------ bytes */

int stream_fetch(struct stream *stream, uint64_t offset, const char **ret_data, size_t *ret_size) {
    if (stream->is_held)
        return held_fetch(stream, offset, ret_data, ret_size);
    if (offset < stream->window.base)
        return -ESTALE;
    if (offset >= window_end(&stream->window))
        return stream->is_ended ? -ENODATA : 0;
    window_at(&stream->window, offset, ret_data, ret_size);
    return 1;
}

size_t stream_room_left(const struct stream *stream) {
    return stream->window_limit - MIN(stream->window_limit, stream->window.size);
}

int stream_add(struct stream *stream, const char *data, size_t size) {
    int result = window_append(&stream->window, data, size);
    if (result >= 0)
        stream->room->held_bytes += size;
    return result;
}

/* The open of the only reader, where nobody else is to get the data. */
static struct generation *only_open(const struct stream *stream) {
    struct generation *open = NULL;
    if (!stream->readers || stream->readers->next || stream->sink)
        return NULL;
    for (struct generation *generation = stream->readers->generations; generation; generation = generation->next)
        if (generation->state == GENERATION_OPEN)
            open = generation;
    return open;
}

static bool is_ready(const struct generation *generation, short events) {
    struct pollfd poll_fd = {.fd = generation->fd, .events = events};
    return generation->state == GENERATION_OPEN && generation->fd >= 0 && poll(&poll_fd, 1, 0) != 0;
}

ssize_t stream_splice(struct stream *stream, const struct generation *from) {
    struct generation *to = only_open(stream);
    if (!to)
        return -EOPNOTSUPP;
    ssize_t size = -EAGAIN;
    assert(stream->window.size > 0 || to->offset == stream->window.base);
    if (stream->window.size == 0)
        size = sys_splice(from->fd, to->fd, PIPE_BYTES, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
    if (size > 0) {
        to->offset += (uint64_t)size;
        stream->window.base += (uint64_t)size;
        stream_note(stream, &stream->reader_side, (size_t)size);
        if (!to->is_large) {
            to->is_large = true;
            (void)fcntl(to->fd, F_SETPIPE_SZ, PIPE_BYTES);
        }
        return size;
    }
    /* Both an empty and a full pipe say EAGAIN. Through the window every byte is copied twice: what a large pipe holds
     * can stay there. */
    struct pollfd poll_fd = {.fd = from->fd, .events = POLLIN};
    if (size == -EAGAIN && from->is_large && !stream->is_spilling && poll(&poll_fd, 1, 0) > 0 &&
        poll_fd.revents & POLLIN)
        return -EBUSY;
    return size == -EAGAIN || size == -EPIPE ? -EOPNOTSUPP : size;
}

ssize_t stream_read_through(struct stream *stream, const struct generation *from) {
    struct stream_sink *sink = stream->sink;
    bool is_alone = sink && !stream->readers && !stream->sink_waits && !stream->sink_left && stream->window.size == 0;
    char *place;
    ssize_t room = is_alone && sink->place ? sink->place(sink, &place) : -EOPNOTSUPP;
    if (room <= 0)
        return -EOPNOTSUPP;
    ssize_t size = sys_read(from->fd, place, MIN((size_t)room, (size_t)READ_BYTES));
    if (size <= 0)
        return size;
    sink->placed(sink, (size_t)size);
    stream->sink_offset += (uint64_t)size;
    stream->window.base += (uint64_t)size;
    stream_note(stream, &stream->reader_side, (size_t)size);
    return size;
}

bool stream_is_wanted(const struct stream *stream) {
    bool is_wanted = stream->sink && !stream->sink_left;
    for (const struct stream_reader *reader = stream->readers; reader; reader = reader->next)
        is_wanted |= !reader_is_served(reader);
    return is_wanted;
}

size_t stream_give(struct stream *stream, const void *data, size_t size) {
    size_t total = 0;
    stream->wants_given = false;
    /* What is passed on makes room: only a window that stays full is a reason to come again. */
    while (total < size && stream_room_left(stream) > 0) {
        if (!stream_is_wanted(stream))
            return size; /* nobody reads it any more */
        size_t taken = MIN(size - total, stream_room_left(stream));
        int result = stream_add(stream, (const char *)data + total, taken);
        if (result < 0) {
            stream_fail(stream, STREAM_FAULT_SYSTEM, -result, "");
            break;
        }
        total += taken;
        stream_note(stream, &stream->writer_side, taken);
        stream_pump(stream);
    }
    stream->wants_given = total < size;
    return total;
}

void stream_give_end(struct stream *stream) {
    stream->is_ended = true;
    stream_pump(stream);
}

static void sink_pump(struct stream *stream) {
    while (stream->sink && !stream->sink_waits && !stream->sink_left) {
        const char *data;
        size_t size;
        if (stream_fetch(stream, stream->sink_offset, &data, &size) <= 0)
            return;
        ssize_t taken = stream->sink->take(stream->sink, data, size);
        stream->sink_waits = taken == -EAGAIN;
        stream->sink_left = taken < 0 && taken != -EAGAIN;
        if (taken < 0)
            return;
        stream->sink_offset += (uint64_t)taken;
        stream_note(stream, &stream->reader_side, (size_t)taken);
    }
}

void stream_sink_ready(struct stream *stream) {
    stream->sink_waits = false;
    stream_pump(stream);
}

void stream_pump(struct stream *stream) {
    for (struct stream_reader *reader = stream->readers; reader; reader = reader->next)
        reader_pump(reader);
    sink_pump(stream);
    stream_consumed(stream);
}

static void count(bool is_blocked, uint64_t *since_ns, struct stream_side *side) {
    if (is_blocked && !*since_ns)
        *since_ns = time_now_ns();
    else if (!is_blocked && *since_ns)
        side->blocked_ns += time_now_ns() - TAKE(*since_ns, 0);
}

static void count_blocked(struct stream *stream) {
    bool is_flowing = !stream->is_held && !stream->is_ended;
    bool is_full = stream->is_held_back || stream_room_left(stream) == 0;
    count(is_flowing && is_full, &stream->full_since_ns, &stream->writer_side);
    count(is_flowing && !is_full && stream->window.size == 0, &stream->empty_since_ns, &stream->reader_side);
}

void stream_hold_back(struct stream *stream, bool is_held_back) {
    if (stream->is_held_back == is_held_back)
        return;
    stream->is_held_back = is_held_back;
    stream->room->progress++; /* a look that began before does not know of it */
    count_blocked(stream);
    if (stream->readers)
        reader_pump(stream->readers); /* waits for room, or no longer */
}

static bool may_go_on(const struct stream *stream, bool was_full) {
    bool may_pass = stream->is_held_back ? stream->window.size == 0 || !only_open(stream) : was_full;
    return may_pass && stream_room_left(stream) > 0;
}

void stream_consumed(struct stream *stream) {
    uint64_t lowest = stream->sink && !stream->sink_left ? stream->sink_offset : UINT64_MAX;
    for (const struct stream_reader *reader = stream->readers; reader; reader = reader->next)
        lowest = MIN(lowest, reader_needs(reader));
    size_t before = stream->window.size;
    bool was_full = !stream->is_held && stream_room_left(stream) == 0;
    window_trim(&stream->window, lowest);
    stream->room->held_bytes -= before - stream->window.size;
    count_blocked(stream);
    if (lowest == UINT64_MAX && stream->writer && !stream->is_ended)
        writer_refuse(stream->writer);
    if (stream->writer && may_go_on(stream, was_full))
        writer_pump(stream->writer);
    if (stream->wants_given && stream_room_left(stream) > 0) {
        stream->wants_given = false;
        stream->room->owner->wanted(stream->room->owner, stream);
    }
    if (stream_is_over(stream))
        stream->room->owner->moved(stream->room->owner, stream);
}

/* ------------------------------------------------------------------------------ the end */

void stream_check_end(struct stream *stream) {
    if (stream->is_ended || !stream->writer->is_exited || !writer_is_closed(stream->writer))
        return;
    stream->is_ended = true;
    stream->room->progress++;
    stream_pump(stream);
}

void stream_writer_exited(struct stream *stream) {
    writer_exited(stream->writer);
    stream_consumed(stream);
}

void stream_reader_exited(struct stream *stream, int number) {
    for (struct stream_reader *reader = stream->readers; reader; reader = reader->next)
        if (reader->number == number)
            reader_exited(reader);
    stream_consumed(stream);
}

bool stream_is_being_read(const struct stream *stream, int number) {
    for (const struct stream_reader *reader = stream->readers; reader; reader = reader->next)
        for (const struct generation *generation = reader->generations; generation; generation = generation->next)
            if (reader->number == number && generation->state == GENERATION_OPEN)
                return true;
    return false;
}

int stream_settle(struct stream *stream) {
    const struct stream_writer *writer = stream->writer;
    if (!writer || stream->is_ended || !writer->is_opened || writer->is_refused)
        return 0;
    if (!writer_is_closed(writer) && (!writer->is_exited || writer_has_more(writer)))
        return 0;
    /* Its opens are closed, or what holds one after the program's exit stands still too, with nothing written. */
    stream->is_ended = true;
    stream_pump(stream);
    return 1;
}

bool stream_has_work(const struct stream *stream) {
    uint64_t end = stream->is_held ? stream->held_size : window_end(&stream->window);
    const struct generation *generation = stream->writer ? stream->writer->generations : NULL;
    for (; generation && !stream->is_held_back && stream_room_left(stream) > 0; generation = generation->next)
        if (is_ready(generation, POLLIN))
            return true;
    for (const struct stream_reader *reader = stream->readers; reader; reader = reader->next)
        for (generation = reader->generations; generation; generation = generation->next)
            if (is_ready(generation,
                         stream->is_ended || stream->is_held_back || generation->offset < end ? POLLOUT : 0))
                return true;
    return false;
}

static void spill(struct stream *stream) {
    stream->is_spilling = true;
    if (stream->writer)
        writer_pump(stream->writer);
    stream->is_spilling = false;
}

int stream_spill(struct stream *stream) {
    uint64_t progress = stream->room->progress;
    if (stream->is_held_back)
        spill(stream);
    return stream->room->progress != progress;
}

bool stream_is_full(const struct stream *stream) {
    return !stream->is_held && !stream->is_ended && stream_room_left(stream) == 0;
}

int stream_grow(struct stream *stream) {
    if (stream->window_limit > stream->room->limit_bytes - MIN(stream->room->limit_bytes, stream->room->held_bytes))
        return -ENOBUFS;
    stream->window_limit *= 2;
    stream->window_growths++;
    stream->room->progress++;
    spill(stream);
    stream_consumed(stream);
    return 0;
}

bool stream_was_opened_by_writer(const struct stream *stream) {
    return stream->writer && stream->writer->is_opened;
}

bool stream_is_refused(const struct stream *stream) {
    return stream->writer && stream->writer->is_refused;
}

bool stream_is_replaced(const struct stream *stream) {
    return stream->writer && writer_is_replaced(stream->writer);
}

bool stream_is_over(const struct stream *stream) {
    if (!stream->is_ended && !(stream->writer && stream->writer->is_refused && stream->writer->is_exited))
        return false;
    if (stream->sink && !stream->sink_left) {
        uint64_t end = stream->is_held ? stream->held_size : window_end(&stream->window);
        if (stream->sink_offset < end)
            return false;
    }
    for (const struct stream_reader *reader = stream->readers; reader; reader = reader->next)
        if (!reader_is_served(reader))
            return false;
    return true;
}

bool stream_waits_for_host(const struct stream *stream) {
    bool is_starved = stream->is_given && !stream->is_ended && stream_room_left(stream) > 0;
    return is_starved || (stream->sink_waits && stream_room_left(stream) == 0);
}

static void visit_generations(const struct generation *generation, struct stream_pipe pipe,
                              void (*visit)(void *, const struct stream_pipe *), void *user) {
    for (; generation; generation = generation->next) {
        pipe.device = generation->device;
        pipe.inode = generation->inode;
        pipe.has_name = !generation->is_pipe;
        pipe.is_let_go = generation->fd < 0;
        visit(user, &pipe);
    }
}

void stream_visit_pipes(const struct stream *stream, void (*visit)(void *user, const struct stream_pipe *pipe),
                        void *user) {
    if (stream->writer)
        visit_generations(stream->writer->generations, (struct stream_pipe){.stream = stream, .reader = -1}, visit,
                          user);
    for (const struct stream_reader *reader = stream->readers; reader; reader = reader->next)
        visit_generations(reader->generations, (struct stream_pipe){.stream = stream, .reader = reader->number}, visit,
                          user);
}

const char *stream_end_path(const struct stream *stream, int number) {
    if (number < 0)
        return stream->writer ? stream->writer->path : "";
    for (const struct stream_reader *reader = stream->readers; reader; reader = reader->next)
        if (reader->number == number)
            return reader->path;
    return "";
}
