/* One stream: a named pipe of a call, with spile between its two sides.
 *
 *   source                     held bytes (memory, a file) | given bytes (stream_give) | a program's writer end
 *     -> window                bounded; held bytes need none
 *       -> consumers           reader ends of programs, and at most one sink; each gets everything
 *
 * A program's end is a FIFO at its name; every open of it gets a pipe of its own (a generation), so that reopening,
 * leaving early and two opens at once are seen. The end of the data is decided by knowledge, never by a hang-up alone:
 * see stream_writer_exited and stream_settle.
 *
 * Nothing here blocks, waits for time, or knows of calls and programs.
 */
#pragma once

#include "base/error.h"
#include "stream/watch.h"
#include "stream/window.h"

struct stream;

enum stream_fault {
    STREAM_FAULT_SYSTEM,       /* number says what */
    STREAM_FAULT_INPUT_AGAIN,  /* opened again, and what it had read is not held any more */
    STREAM_FAULT_TWO_READERS,  /* opened while an earlier open still reads, and the data is not held */
    STREAM_FAULT_OUTPUT_AGAIN, /* opened again after its readers were told the end */
    STREAM_FAULT_OUTPUT_LATE,  /* written by who still held it when its readers were told the end */
    STREAM_FAULT_OUTPUT_READ,  /* a program reads from the end that it was to write */
    STREAM_FAULT_REPLACED,     /* what stands at the name is no FIFO of ours any more */
};

struct stream_owner {
    /* Bytes or an end moved: something that waits for the stream may go on. Not from inside a function of this header.
     */
    void (*moved)(struct stream_owner *owner, struct stream *stream);
    /* `path` is the name under the root at which it happened. */
    void (*failed)(struct stream_owner *owner, struct stream *stream, enum stream_fault fault, int number,
                   const char *path);
    /* A program opened the end at `path`, for the `count`-th time. */
    void (*opened)(struct stream_owner *owner, struct stream *stream, const char *path, unsigned count);
    /* A given stream has room again after stream_give took less than all. */
    void (*wanted)(struct stream_owner *owner, struct stream *stream);
    /* A program let go of an end, or was given all there is. From inside functions of this header, too. May be NULL. */
    void (*let_go)(struct stream_owner *owner, struct stream *stream);
};

/* Where the host itself takes the data. */
struct stream_sink {
    /* Returns how many bytes it took, -EAGAIN (then stream_sink_ready when it can take more), or another -errno: it
     * wants no more. */
    ssize_t (*take)(struct stream_sink *sink, const void *data, size_t size);
    /* May be NULL: memory of its own that can be read into, how much; then how much was. -errno: it is to be taken. */
    ssize_t (*place)(struct stream_sink *sink, char **ret_place);
    void (*placed)(struct stream_sink *sink, size_t size);
};

/* Common to the streams of one call. */
struct stream_room {
    spile_loop *loop;
    struct stream_owner *owner;
    int root;           /* directory of the call */
    uint64_t serial;    /* FIFOs made so far */
    uint64_t progress;  /* changes with every byte that moves and every open or close that is seen */
    size_t window;      /* what a window may hold at first */
    size_t held_bytes;  /* in windows, all together */
    size_t limit_bytes; /* of that */
};

struct stream_side {
    unsigned opens;
    uint64_t bytes, first_ns, last_ns, blocked_ns;
};

struct stream_info {
    struct stream_side writer, reader; /* of several readers, all together */
    size_t window_bytes;               /* what the window may hold now */
    unsigned window_growths;
};

int stream_new(struct stream_room *room, struct stream **ret_stream);
struct stream *stream_free(struct stream *stream);
/* In the child of a fork: closes the descriptors, and that is all. */
void stream_abandon(struct stream *stream);
void stream_get_info(const struct stream *stream, struct stream_info *info);

/* The source is one of these four. Memory that stays as it is until the stream is freed: */
void stream_hold_memory(struct stream *stream, const void *data, size_t size);
/* A piece of a regular file; takes fd over. */
void stream_hold_file(struct stream *stream, int fd, uint64_t base, uint64_t size);
/* What stream_give gives. */
void stream_expect_given(struct stream *stream);
/* The FIFO that a program writes, at path under the root. */
int stream_make_writer(struct stream *stream, const char *path);

/* Gives bytes; returns how many were taken, which may be none. */
size_t stream_give(struct stream *stream, const void *data, size_t size);
void stream_give_end(struct stream *stream);
/* Whether anybody may still read it: what is given otherwise goes nowhere, and need not be fetched. */
bool stream_is_wanted(const struct stream *stream);

/* A FIFO that a program reads; returns its number. */
int stream_make_reader(struct stream *stream, const char *path);
/* Makes what the first opens of its ends will need, while their programs start. */
void stream_prepare(struct stream *stream);
/* The same ends as open descriptors, for a program's standard stream: a pipe without a name, which is the caller's to
 * close. Unlike a named one it can be opened again (as /dev/stdin) when its other side has gone. */
int stream_open_reader(struct stream *stream, int reader, int *ret_fd);
int stream_open_writer(struct stream *stream, int *ret_fd);
void stream_set_sink(struct stream *stream, struct stream_sink *sink);
void stream_sink_ready(struct stream *stream);

/* The program at the writer's end has exited. The end comes once no process holds an open of it any more. */
void stream_writer_exited(struct stream *stream);
/* The program of that reader has exited: it needs nothing any more. */
void stream_reader_exited(struct stream *stream, int reader);
/* Whether somebody is in the middle of reading it. */
bool stream_is_being_read(const struct stream *stream, int reader);
/* Everything stands still: lets what can do no harm happen. A writer that has closed is taken to have ended. Returns 1
 * where something changed. */
int stream_settle(struct stream *stream);
/* Whether a pipe is ready for what waits to go through it, though no step has come to it yet: nothing is to be
 * concluded from a program that waits for that. Who opened or closed one is known after watch_drain. */
bool stream_has_work(const struct stream *stream);
/* Takes into the window what waits for room in a reader's pipe: it costs copies, so that it is done only when nothing
 * moves. Returns 1 where something changed. */
int stream_spill(struct stream *stream);
/* Whether the window is what holds the writer up. */
bool stream_is_full(const struct stream *stream);
/* Doubles what the window may hold. -ENOBUFS: the room's limit is reached. */
int stream_grow(struct stream *stream);

/* A FIFO out of sight, at name under the root: our descriptors of both sides, nonblocking. */
int fifo_make(struct stream_room *room, char name[32], int *ret_read, int *ret_write);

bool stream_was_opened_by_writer(const struct stream *stream);
/* Whether all that read it have left, so that its writer was told as by any pipe. */
bool stream_is_refused(const struct stream *stream);
/* Whether something else stands at the writer's name. */
bool stream_is_replaced(const struct stream *stream);
/* The end has come and everything was passed on. */
bool stream_is_over(const struct stream *stream);
/* Whether the host side is what this stream waits for: given bytes that do not come, a sink that does not take. */
bool stream_waits_for_host(const struct stream *stream);

/* For the account of a standstill: a pipe that is or will be behind an end. */
struct stream_pipe {
    const struct stream *stream;
    int reader; /* -1: the writer's end */
    uint64_t device, inode;
    bool has_name;
    bool is_let_go; /* our end of it is closed */
};
void stream_visit_pipes(const struct stream *stream, void (*visit)(void *user, const struct stream_pipe *pipe),
                        void *user);
const char *stream_end_path(const struct stream *stream, int reader);
