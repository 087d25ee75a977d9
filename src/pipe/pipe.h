/* What the files of a pipe share.
 *
 *   pipe.c    what the caller says before the start, and asks afterwards
 *   serve.c   the pipe on its loop: what happens at either end, and when it has ended
 *   drain.c   where an output goes
 *   thread.c  a thread that serves it; waiting
 *
 * A pipe is served by the thread of its loop alone. Others leave requests, which a wake-up of the loop makes it look
 * at; what they may read is under the mutex.
 */
#pragma once

#include "base/bytes.h"
#include "base/error.h"
#include "base/forkguard.h"
#include "base/sink.h"
#include "base/target.h"
#include "cell/tree.h"
#include "stream/feed.h"

#include <stdatomic.h>

enum pipe_state {
    PIPE_NEW,     /* is told what it is */
    PIPE_OPEN,    /* processes may open it */
    PIPE_HANDING, /* its end has come; the caller's side is still being told */
    PIPE_ENDED,   /* the verdict is known; nothing is left of it but what it brought */
};

enum pipe_feed { PIPE_FEED_NONE, PIPE_FEED_MEMORY, PIPE_FEED_READ };
enum pipe_drain { PIPE_DRAIN_MEMORY, PIPE_DRAIN_FD, PIPE_DRAIN_FILE, PIPE_DRAIN_CALLBACK };

struct spile_pipe {
    struct forkguard_node guard;
    bool is_dead; /* of the parent of a fork */
    bool is_input, is_optional, ends_by_exit;
    char *name, *path;
    uint64_t limit_bytes;

    /* an input's other side */
    enum pipe_feed feed_type;
    const void *memory;
    size_t memory_size;
    void *copy;
    struct feed feed;
    spile_read_fn read_fn;
    /* an output's other side */
    enum pipe_drain drain_type;
    struct stream_sink sink;  /* what the stream sees */
    struct sink out;          /* a descriptor */
    char *target, *temporary; /* a file that is replaced */
    int target_fd;
    spile_write_fn write_fn;
    struct bytes kept; /* memory */
    uint64_t bytes;    /* that came */
    bool sink_waits_for_resume;
    void *user; /* of read_fn or write_fn */

    /* while it is served */
    spile_loop *loop;
    struct loop_user loop_user;
    struct loop_timer check;
    struct tree tree;
    int last_fd; /* the pipe that stood at the path last, once it has ended; only to be opened again */
    struct stream_room room;
    struct stream_owner owner;
    struct stream *stream;
    int reader;
    struct loop_fd process;
    int process_fd;
    bool is_exited; /* its process, or so it was said */
    bool is_in_callback;
    spile_pipe_done_fn done_fn;
    void *done_user;

    /* thread.c */
    bool has_thread; /* the loop is ours, too */
    pthread_t thread;

    /* requests */
    atomic_bool wants_finish, wants_cancel, wants_resume;
    atomic_bool is_named;            /* something will tell when the process has exited */
    _Atomic(spile_loop *) wake_loop; /* NULL once nobody looks at requests */
    atomic_uint wakers;

    /* under the mutex; only the loop's thread writes them (asked_fd: anyone) */
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    enum pipe_state state;
    int asked_fd; /* of a process just named */
    spile_error *error;
    struct {
        uint64_t bytes;
        unsigned opens;
        bool is_exited;
    } seen;
};

/* The one setter; tells those who wait. */
void pipe_set_state(spile_pipe *pipe, enum pipe_state state);

/* serve.c */
/* Makes the directory and the pipe, and serves it on the loop. On failure the pipe has ended. */
int pipe_open(spile_pipe *pipe, spile_loop *loop);
/* Ends the pipe with this error, which it takes over; only the first one counts. Not at once: it may be in use. */
void pipe_fail(spile_pipe *pipe, spile_error *error);
/* Ends it at once. Not from inside a function of its stream. */
void pipe_end(spile_pipe *pipe);
/* Lets go of a process that has found the path just before it went, and now waits for us in its open. */
void pipe_release_late(const spile_pipe *pipe);
/* Looks again whether its end has come, in the next step. */
void pipe_look_again(spile_pipe *pipe);
/* Puts down what others may want to know. */
void pipe_publish(spile_pipe *pipe);

/* drain.c */
ssize_t pipe_take(struct stream_sink *sink, const void *data, size_t size);
ssize_t pipe_place(struct stream_sink *sink, char **ret_place);
void pipe_placed(struct stream_sink *sink, size_t size);
void pipe_writable(struct sink *out);
/* All bytes have come: tells the other side. 1: done, 0: later, -errno with an error. */
int pipe_hand_over(spile_pipe *pipe, spile_error **ret_error);
void pipe_drain_close(spile_pipe *pipe);

/* thread.c */
bool pipe_is_own_thread(const spile_pipe *pipe);
void pipe_join(spile_pipe *pipe);
