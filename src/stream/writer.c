/* A FIFO that a program writes.
 *
 * A generation begins as a pipe of one page that is full (the gate): an open succeeds, and the first write waits until
 * we know of the open and have put the next generation at the name. Then the gate is read away. So each open has a pipe
 * of its own, and what several opens one after the other write is read in that order.
 */
#include "stream/end.h"

static void writer_looked(struct watch *watch);
static void writer_readable(struct loop_fd *ready, uint32_t events);

/* No byte of it is like the ones around: what is left of it when some were taken is known. */
static void make_gate(unsigned char gate[GATE_BYTES]) {
    for (unsigned i = 0; i < GATE_BYTES; i++)
        gate[i] = (unsigned char)(i * 167 + i / 256 + 1);
}

static int shut_gate(int fd) {
    unsigned char gate[GATE_BYTES];
    make_gate(gate);
    int result = sys_fcntl(fd, F_SETPIPE_SZ, GATE_BYTES);
    return result < 0 ? result : fd_write_all(fd, gate, sizeof(gate));
}

/* Past the user's share of pages it stays small. */
static void grow_pipe(struct generation *generation) {
    generation->is_large = fcntl(generation->fd, F_SETPIPE_SZ, PIPE_BYTES) >= PIPE_BYTES;
}

/* Reads the gate away; what the program writes from now on is data. -ESPIPE: a program that opened its output for
 * reading too has read some of it. */
static int open_gate(struct generation *generation) {
    unsigned char gate[GATE_BYTES], found[GATE_BYTES];
    size_t size = 0;
    make_gate(gate);
    while (size < sizeof(found)) {
        ssize_t count = sys_read(generation->fd, found + size, sizeof(found) - size);
        if (count == -EINTR)
            continue;
        if (count <= 0)
            return count == -EAGAIN || count == 0 ? -ESPIPE : (int)count;
        size += (size_t)count;
    }
    if (memcmp(gate, found, sizeof(gate)) != 0)
        return -ESPIPE;
    generation->has_gate = false;
    grow_pipe(generation);
    return 0;
}

static int make(struct stream_writer *writer, struct generation **ret_generation) {
    struct stream_room *room = writer->stream->room;
    struct generation *generation = memory_zero(1, sizeof(*generation));
    if (!generation)
        return -ENOMEM;
    *generation = (struct generation){.end = writer, .fd = -1, .kept = -1, .has_gate = true};
    AUTO_FD first_read = -1;
    AUTO_FD write_fd = -1;
    struct stat status;
    int result = fifo_make(room, generation->name, &first_read, &write_fd);
    if (result >= 0)
        result = shut_gate(write_fd);
    write_fd = fd_close(write_fd);
    /* A read end that never saw a writer reports no hang-up before the first one has come and gone: pipe_poll in
     * fs/pipe.c. */
    if (result >= 0)
        result = generation->fd = fd_reopen_nonblocking(first_read, O_RDONLY);
    first_read = fd_close(first_read);
    if (result >= 0)
        result = sys_fstat(generation->fd, &status);
    /* Only now, for our own opens and closes would be events too. */
    if (result >= 0)
        result = watch_add(room->loop, &generation->watch, generation->fd, writer_looked);
    if (result < 0) {
        generation_free_all(generation);
        return result;
    }
    generation->device = status.st_dev;
    generation->inode = status.st_ino;
    *ret_generation = generation;
    return 0;
}

static int arm(struct stream_writer *writer) {
    struct generation *generation = TAKE_POINTER(writer->spare);
    int result = generation ? 0 : make(writer, &generation);
    return result < 0 ? result : generation_arm(generation, writer->stream->room, writer->path, &writer->generations);
}

void writer_prepare(struct stream_writer *writer) {
    const struct generation *first = writer->generations;
    if (!writer->spare && first && !first->next && first->state == GENERATION_ARMED)
        (void)make(writer, &writer->spare);
}

int writer_make(struct stream *stream, const char *path, struct stream_writer **ret_writer) {
    struct stream_writer *writer = memory_zero(1, sizeof(*writer));
    if (!writer)
        return -ENOMEM;
    writer->stream = stream;
    writer->path = memory_string(path);
    int result = writer->path ? arm(writer) : -ENOMEM;
    if (result < 0) {
        writer_free(writer);
        return result;
    }
    *ret_writer = writer;
    return 0;
}

void writer_free(struct stream_writer *writer) {
    generation_free_all(writer->generations);
    generation_free_all(writer->spare);
    free(writer->path);
    free(writer);
}

/* A late open of an older generation is only possible for one that looked the name up just before the next one was put
 * there. */
static void forget_old(struct stream_writer *writer) {
    struct generation *generation = writer->generations;
    for (; generation && generation->next && generation->next->next && generation->next->next->next;
         generation = generation->next)
        if (generation->state == GENERATION_CLOSED)
            generation_close(generation);
}

/* Who has it open learns that nobody wants the data. Where nobody has, somebody may be on the way who looked the name
 * up before the next one stood there: that open would wait for ever. */
static void refuse(struct generation *generation) {
    struct pollfd poll_fd = {.fd = generation->fd, .events = POLLIN};
    bool is_left = !generation->is_pipe && poll(&poll_fd, 1, 0) > 0 && poll_fd.revents == POLLHUP;
    if (!is_left) {
        generation_close(generation);
        return;
    }
    loop_fd_remove(&generation->ready);
    if (generation->state == GENERATION_OPEN)
        stream_set_generation(generation, GENERATION_CLOSED);
}

static void begin(struct stream_writer *writer, struct generation *generation) {
    struct stream *stream = writer->stream;
    stream_note_open(stream, &stream->writer_side, writer->path);
    writer->is_opened = true;
    if (stream->is_ended && !writer->is_exited && !writer->is_refused) {
        stream_fail(stream, STREAM_FAULT_OUTPUT_AGAIN, 0, writer->path);
        return;
    }
    stream_set_generation(generation, GENERATION_OPEN);
    if (writer->is_refused)
        refuse(generation);
    else
        writer_pump(writer);
}

int writer_open(struct stream_writer *writer, int *ret_fd) {
    struct generation *generation;
    int result = generation_open(writer, true, &generation, ret_fd);
    if (result < 0)
        return result;
    grow_pipe(generation);
    generation->next = writer->generations;
    writer->generations = generation;
    begin(writer, generation);
    return 0;
}

static bool has_failed(struct stream_writer *writer, int result) {
    if (result < 0)
        stream_fail(writer->stream, result == -ESPIPE ? STREAM_FAULT_OUTPUT_READ : STREAM_FAULT_SYSTEM, -result,
                    writer->path);
    return result < 0;
}

/* Whether there is anything to do about it. By the clock an open is only seen by its bytes, which a gate would keep
 * away. */
static bool has_news(struct stream_writer *writer, struct generation *generation, short *ret_events) {
    struct pollfd poll_fd = {.fd = generation->fd, .events = POLLIN};
    bool is_by_clock = generation->watch.descriptor < 0;
    if (generation == writer->spare || generation->fd < 0)
        return false;
    if (is_by_clock && generation->has_gate && has_failed(writer, open_gate(generation)))
        return false;
    if (poll(&poll_fd, 1, 0) < 0 || (is_by_clock && poll_fd.revents == 0))
        return false;
    *ret_events = poll_fd.revents;
    return true;
}

static void writer_looked(struct watch *watch) {
    struct generation *generation = CONTAINER_OF(watch, struct generation, watch);
    struct stream_writer *writer = generation->end;
    short events;
    if (!has_news(writer, generation, &events))
        return;
    if (generation->state == GENERATION_ARMED) {
        if (has_failed(writer, arm(writer)) || (generation->has_gate && has_failed(writer, open_gate(generation))))
            return;
        writer->stream->room->progress++;
        forget_old(writer);
        begin(writer, generation);
    } else if (generation->state == GENERATION_CLOSED && events != POLLHUP) {
        /* Opened late, by who looked the name up before the next one stood there; and maybe left again already. */
        writer->stream->room->progress++;
        begin(writer, generation);
    }
}

/* Moves a piece straight on or, where that can't be, into the window. -EBUSY: it is held back in its pipe; -ENOBUFS:
 * the window is full. *ret_is_past: it never was in the window. */
static ssize_t take_piece(struct stream *stream, struct generation *generation, bool *ret_is_past) {
    char buffer[CHUNK_BYTES];
    size_t room = stream_room_left(stream);
    ssize_t size = stream_splice(stream, generation);
    if (size == -EOPNOTSUPP)
        size = stream_read_through(stream, generation);
    *ret_is_past = size >= 0;
    if (size != -EOPNOTSUPP)
        return size;
    if (room == 0)
        return -ENOBUFS;
    size = sys_read(generation->fd, buffer, MIN(room, sizeof(buffer)));
    int added = size > 0 ? stream_add(stream, buffer, (size_t)size) : 0;
    return added < 0 ? added : size;
}

/* Takes in what one generation has. Returns false where there is more than there is room for. With SIGPIPE kept away.
 */
static bool take(struct stream_writer *writer, struct generation *generation, bool *ret_held_back) {
    struct stream *stream = writer->stream;
    for (int i = 0; i < CHUNKS_A_TURN; i++) {
        bool is_past;
        ssize_t size = take_piece(stream, generation, &is_past);
        *ret_held_back = size == -EBUSY;
        if (size == -EBUSY || size == -ENOBUFS)
            return false;
        if (size == -EINTR)
            continue;
        if (size == -EAGAIN)
            return true;
        if (size <= 0) {
            loop_fd_remove(&generation->ready);
            stream_set_generation(generation, GENERATION_CLOSED);
            stream->room->progress++;
            if (size < 0)
                stream_fail(stream, STREAM_FAULT_SYSTEM, (int)-size, writer->path);
            return true;
        }
        if (stream->is_ended) {
            stream_fail(stream, STREAM_FAULT_OUTPUT_LATE, 0, writer->path);
            return true;
        }
        stream_note(stream, &stream->writer_side, (size_t)size);
        if (!is_past)
            stream_pump(stream);
        if (generation->fd < 0 || generation->state != GENERATION_OPEN)
            return true; /* the last one who wanted it has just left */
    }
    return false;
}

void writer_pump(struct stream_writer *writer) {
    struct stream *stream = writer->stream;
    bool goes_on = true, is_held_back = false;
    if (writer->is_pumping)
        return; /* a consumer went on because of us: the pump below sees it */
    writer->is_pumping = true;
    CLEANUP(sigpipe_guard_done) struct sigpipe_guard guard;
    sigpipe_guard_init(&guard);
    for (struct generation *generation = writer->generations; generation && goes_on; generation = generation->next) {
        if (generation->state != GENERATION_OPEN || generation->fd < 0)
            continue;
        goes_on = take(writer, generation, &is_held_back);
        if (generation->state != GENERATION_OPEN || generation->fd < 0)
            continue;
        bool is_full = is_held_back || stream_room_left(stream) == 0;
        int result = 0;
        if (is_full)
            loop_fd_remove(&generation->ready);
        else if (!generation->ready.loop)
            result = loop_fd_add(stream->room->loop, &generation->ready, generation->fd, EPOLLIN, writer_readable);
        if (result < 0)
            stream_fail(stream, STREAM_FAULT_SYSTEM, -result, writer->path);
    }
    writer->is_pumping = false;
    stream_hold_back(stream, is_held_back);
    if (writer->is_opened && writer_is_closed(writer))
        stream_tell_let_go(stream);
    stream_check_end(stream);
}

static void writer_readable(struct loop_fd *ready, uint32_t events) {
    (void)events;
    writer_pump(CONTAINER_OF(ready, struct generation, ready)->end);
}

void writer_refuse(struct stream_writer *writer) {
    if (writer->is_refused)
        return;
    writer->is_refused = true;
    for (struct generation *generation = writer->generations; generation; generation = generation->next)
        if (generation->state != GENERATION_ARMED && generation->fd >= 0)
            refuse(generation);
}

bool writer_is_closed(const struct stream_writer *writer) {
    for (const struct generation *generation = writer->generations; generation; generation = generation->next)
        if (generation->state == GENERATION_OPEN && generation->fd >= 0)
            return false;
    return true;
}

bool writer_has_more(const struct stream_writer *writer) {
    for (const struct generation *generation = writer->generations; generation; generation = generation->next) {
        struct pollfd poll_fd = {.fd = generation->fd, .events = POLLIN};
        if (generation->state == GENERATION_OPEN && poll(&poll_fd, 1, 0) > 0 && poll_fd.revents & POLLIN)
            return true;
    }
    return false;
}

bool writer_is_replaced(const struct stream_writer *writer) {
    struct stat status;
    if (sys_fstatat(writer->stream->room->root, writer->path, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return true;
    for (const struct generation *generation = writer->generations; generation; generation = generation->next)
        if (!generation->next && generation->inode == status.st_ino)
            return false;
    return true;
}

void writer_exited(struct stream_writer *writer) {
    watch_drain(writer->stream->room->loop);
    writer->is_exited = true;
    writer->spare = generation_free_all(writer->spare);
    if (writer_is_replaced(writer))
        stream_fail(writer->stream, STREAM_FAULT_REPLACED, 0, writer->path);
    writer_pump(writer);
}
