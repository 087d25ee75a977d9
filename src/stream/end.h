/* What the two kinds of ends share: FIFOs made one for each open (generations). Private to this room. */
#pragma once

#include "stream/stream.h"

enum {
    GATE_BYTES = 4096,       /* fills a pipe of one page: the program can't write before we know that it is there */
    PIPE_BYTES = 1 << 20,    /* of a pipe that carries much */
    CHUNK_BYTES = 128 << 10, /* moved at a time */
    READ_BYTES = 256 << 10,  /* where it is moved only once */
    CHUNKS_A_TURN = 16,
};

enum generation_state {
    GENERATION_ARMED,  /* at the name; nobody opened it yet */
    GENERATION_IDLE,   /* opened and left again, nothing read or written */
    GENERATION_OPEN,   /* a program has it */
    GENERATION_CLOSED, /* let go by every process that had it, and drained */
};

struct generation {
    struct generation *next; /* newer */
    void *end;               /* its reader or writer */
    enum generation_state state;
    int fd;        /* our side; -1 once it can't matter any more */
    int kept;      /* readers: what an open that had all of it has not read yet, lest it only looked; or -1 */
    char name[32]; /* before it is put at the path */
    uint64_t device, inode;
    struct watch watch;
    struct loop_fd ready;
    uint64_t start, offset; /* readers: where in the stream it began, and how far it was written */
    bool has_gate;          /* writers: see make_gate */
    bool is_large;          /* readers: its pipe was to be PIPE_BYTES; writers: it is */
    bool is_pipe;           /* no FIFO: opened by us for a standard stream */
};

/* A FIFO that a program reads. */
struct stream_reader {
    struct stream *stream;
    struct stream_reader *next;
    int number;
    char *path;
    struct generation *generations; /* oldest first; the last one is armed */
    struct generation *spare;       /* see reader_prepare */
    uint64_t offset;                /* where the next open begins */
    bool is_exited, is_finished;    /* finished: wants nothing more, though its program still runs */
    uint64_t blocked_since_ns;
};

/* A FIFO that a program writes. */
struct stream_writer {
    struct stream *stream;
    char *path;
    struct generation *generations;
    struct generation *spare;
    bool is_pumping;
    bool is_exited, is_opened, is_refused; /* refused: our side was closed, nobody wants the data */
};

struct stream {
    struct stream_room *room;
    struct window window;
    size_t window_limit;
    unsigned window_growths;
    bool is_ended;     /* no byte will be added */
    bool is_given;     /* by stream_give */
    bool wants_given;  /* stream_give took less than all */
    bool is_held_back; /* there are bytes in the writer's pipe, and the reader's is full: see stream_splice */
    bool is_spilling;  /* they are taken into the window all the same */
    bool is_held;
    const char *memory; /* held: this, or file */
    int file;
    uint64_t file_base; /* where in the file the data begins */
    uint64_t held_size;
    bool must_be_read; /* its file can't be spliced */
    char *scratch;     /* of it: what was read last */
    uint64_t scratch_offset;
    size_t scratch_size;
    struct stream_writer *writer;
    struct stream_reader *readers;
    struct stream_sink *sink;
    uint64_t sink_offset;
    bool sink_waits, sink_left;
    struct stream_side writer_side, reader_side;
    uint64_t full_since_ns, empty_since_ns;
};

void stream_set_generation(struct generation *generation, enum generation_state next);
void stream_fail(struct stream *stream, enum stream_fault fault, int number, const char *path);
void stream_note_open(struct stream *stream, struct stream_side *side, const char *path);
void stream_tell_let_go(struct stream *stream);
void stream_note(struct stream *stream, struct stream_side *side, size_t bytes);

/* Puts it at the path, in the place of the one before, and behind it in the list; frees it where it can't. */
int generation_arm(struct generation *generation, struct stream_room *room, const char *path, struct generation **list);
/* One that has no name and is open: its other side, whose descriptor is the caller's. */
int generation_open(void *end, bool for_writing, struct generation **ret_generation, int *ret_fd);
void generation_close(struct generation *generation);
struct generation *generation_free_all(struct generation *generation);

/* What of the stream there is at `offset`: 1 and a piece, 0 nothing yet, -ENODATA the end, -ESTALE not held any more.
 */
int stream_fetch(struct stream *stream, uint64_t offset, const char **ret_data, size_t *ret_size);
/* How many bytes may be added now. */
size_t stream_room_left(const struct stream *stream);
/* Moves straight from a writer's pipe into the only reader's, where nothing lies between: bytes, 0 the end, -EBUSY
 * where they are to wait until the reader's pipe has room, -EOPNOTSUPP where it can't at all. With SIGPIPE kept away.
 */
ssize_t stream_splice(struct stream *stream, const struct generation *from);
/* Reads straight into the memory of the only consumer, a sink: bytes, 0 the end, -EAGAIN nothing now, -EOPNOTSUPP. */
ssize_t stream_read_through(struct stream *stream, const struct generation *from);
void stream_hold_back(struct stream *stream, bool is_held_back);
int stream_add(struct stream *stream, const char *data, size_t size);
/* The end is there once the program at the writer's end has exited and no process holds an open any more. */
void stream_check_end(struct stream *stream);
/* After bytes were added, or the end was decided. */
void stream_pump(struct stream *stream);
/* After a consumer went on or left: lets go of what nobody needs, and takes more in. */
void stream_consumed(struct stream *stream);

/* held.c: as stream_fetch, of a stream that is held. */
int held_fetch(struct stream *stream, uint64_t offset, const char **ret_data, size_t *ret_size);
/* Moves what there is of a held file straight into a pipe: bytes, what splice says of that, or -EOPNOTSUPP where it
 * must be fetched. With SIGPIPE kept away. */
ssize_t held_send(struct stream *stream, uint64_t offset, int fd);

int reader_make(struct stream *stream, const char *path, struct stream_reader **ret_reader);
int reader_open(struct stream_reader *reader, int *ret_fd);
void reader_free(struct stream_reader *reader);
/* Makes what the first open will put at the path, so that it needn't wait for that. */
void reader_prepare(struct stream_reader *reader);
/* Writes what there is into the pipes of those that read. */
void reader_pump(struct stream_reader *reader);
/* The lowest offset it may still ask for; UINT64_MAX: none. */
uint64_t reader_needs(const struct stream_reader *reader);
void reader_exited(struct stream_reader *reader);
bool reader_is_served(const struct stream_reader *reader);

int writer_make(struct stream *stream, const char *path, struct stream_writer **ret_writer);
int writer_open(struct stream_writer *writer, int *ret_fd);
void writer_free(struct stream_writer *writer);
void writer_prepare(struct stream_writer *writer);
/* Takes in what there is and there is room for. */
void writer_pump(struct stream_writer *writer);
/* Nobody wants the data: closes our side, so that the program learns of it as from any pipe. */
void writer_refuse(struct stream_writer *writer);
void writer_exited(struct stream_writer *writer);
bool writer_is_closed(const struct stream_writer *writer);
/* Whether bytes lie in a pipe of its own that were not taken in. */
bool writer_has_more(const struct stream_writer *writer);
/* What stands at the name must be what we put there. */
bool writer_is_replaced(const struct stream_writer *writer);
