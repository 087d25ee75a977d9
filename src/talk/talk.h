/* What the files of a talk share.
 *
 *   talk.c      life: opening, closing, what it is
 *   endpoint.c  the text that names the other side
 *   connect.c, socket.c   how it is reached: paths, FIFOs, descriptors; sockets
 *   loss.c      what is lost and opened again
 *   tty.c       terminals: modes, locks, serial settings
 *   child.c     child programs
 *   channel.c, mover.c   bytes in and out, on the loop; a thread for devices without poll
 *   codec.c, lines.c, buffer.c   bytes, lines and text
 *   read.c, write.c              what the caller reads and writes
 *   ask.c, question.c, reply.c   questions and their replies
 *   transcript.c, record.c       what was said, in a file
 *   expect.c, look.c, regex.c, view.c, patterns.c, automaton.c   waiting for one of several things
 *
 * All of it runs in the thread that uses the talk, inside a step of its loop or between two. What happens is noted in
 * `news` and told at the very end of whatever the loop called (channel_tell), so that the caller may free the talk
 * there.
 */
#pragma once

#include "base/error.h"
#include "base/forkguard.h"
#include "base/loop.h"
#include "talk/buffer.h"
#include "talk/codec.h"
#include "talk/endpoint.h"
#include "talk/lines.h"
#include "talk/transcript.h"
#include "talk/tty.h"

struct talk_child;
struct talk_connect;
struct talk_ask;
struct talk_expect;
struct mover;

enum { TALK_NEW = 0, QUEUE_MAX = 1 << 20, BEHIND_MAX = 64 };
enum { HEIRS_MS = 100 }; /* so long what a dead program left behind may still speak for it */

/* One or two descriptors that are ours. */
struct talk_channel {
    int in_fd, out_fd; /* -1: none; may be the same */
    bool in_is_socket, out_is_socket;
    bool is_packets;                    /* what is not read of one is lost */
    struct mover *in_mover, *out_mover; /* of a device without poll; or NULL */
    bool out_is_pipe;                   /* a write may raise SIGPIPE */
    bool is_terminal;                   /* what a hang-up says is an end */
    bool is_master;                     /* of a child's terminal */
    struct loop_fd in, out;
};

/* The end of the text that an expect has taken, for what looks behind. */
struct talk_behind {
    uint64_t at; /* lines.taken behind it; else it is of no use any more */
    size_t size;
    bool is_bytes;
    char text[BEHIND_MAX];
};

struct spile_talk {
    struct forkguard_node guard;
    bool is_dead; /* of the parent of a fork */
    struct endpoint endpoint;
    spile_talk_options options; /* its strings are not the caller's any more */
    char *eol, *prompt, *cwd;
    bool writes_as_it_is; /* text goes out with nothing changed */
    char **argv, **env;

    spile_loop *loop;
    bool owns_loop;
    struct loop_user loop_user;
    unsigned news;
    struct loop_timer announce; /* that it was open at once */
    spile_talk_state state;
    spile_error *error; /* why it failed */

    struct talk_connect *connect; /* while it is being opened */
    struct talk_child *child;
    int64_t pid;
    int status; /* as of waitpid */
    bool has_exited;
    struct talk_channel channel;
    struct tty tty;
    bool in_ended;  /* nothing more will come */
    int out_error;  /* negative errno: nothing more can be written */
    bool wants_end; /* nothing more will be written */
    bool has_ended_out;
    struct loop_timer end_again;

    /* with `reconnect` */
    bool is_losing; /* it has gone, and `loss` comes */
    struct loop_timer loss;
    uint64_t losses, bytes_lost; /* how often; what was queued then */
    uint64_t opened_ns, pause_ns;
    bool has_seam;      /* `in` is the rest of a stream that was lost; what comes now goes to `next` */
    struct buffer next; /* empty otherwise */

    struct codec codec;
    struct lines lines;
    struct buffer in;  /* arrived and not read */
    struct buffer out; /* to be written */
    struct messages {
        uint64_t *ends; /* where each ends, in bytes written; what lies behind the last is not whole yet */
        size_t count, capacity;
    } messages;
    bool wants_message, has_message; /* with `message`: something is to be read; what has come ends with one's end */
    struct text text;                /* what was read last, decoded */
    struct text coded;               /* what is being written, encoded */
    const char *raw;                 /* its bytes */
    size_t raw_size;
    uint64_t bytes_in, bytes_out;
    uint64_t arrived_ns;    /* when something came last: see channel_arrived_ns */
    bool has_just_come;     /* that is still to be noted */
    uint64_t quiet_from_ns; /* when the wait for a silence began that timed out last; 0: none */

    size_t line_out;               /* bytes of a line that was written without its end */
    struct transcript *transcript; /* or NULL */

    /* asking */
    struct talk_ask *asks; /* in turn; those that are done wait to be told */
    struct talk_ask *late; /* one whose reply did not come in time */
    struct text unasked;
    bool awaits_prompt; /* the one that it begins with */
    bool is_cancelling; /* it is closed: no more questions, and nothing more is expected */

    /* expecting */
    struct talk_expect *expects;   /* in turn */
    struct talk_expect *resumable; /* one that timed out, and may go on */
    spile_span *groups;            /* of the last match */
    struct talk_behind behind;

    pthread_mutex_t turn_mutex;
    pthread_cond_t turn_changed;
    struct ask_turn *turns; /* threads in turn, the first one asks */
};

/* talk.c */
/* The one setter. */
void talk_set_state(spile_talk *talk, spile_talk_state state);
/* It has a channel: it is open. */
int talk_opened(spile_talk *talk);
/* It failed for good; takes the error over. */
void talk_fail(spile_talk *talk, spile_error *error);
/* Fails a function on a talk that can't be used any more; 0 where it can. */
int talk_check(const spile_talk *talk);

/* Waiting: a function looks whether it has what it wants, else waits for the loop. */
struct talk_wait {
    spile_talk *talk;
    uint64_t timeout_ns; /* 0: not at all */
    uint64_t until_ns;   /* 0: not looked at yet, for asking the time costs */
    bool was_stepped;
};
struct talk_wait talk_wait_begin(spile_talk *talk, uint64_t timeout_ns);
/* Its deadline from now on, or 0: it does not wait. */
uint64_t talk_wait_until(struct talk_wait *wait);
/* Steps once. 0: look again. -EAGAIN, -ETIMEDOUT, -EBUSY, or the loop's error. `at_ns`: a moment at which to look again
 * anyhow, or NS_FOREVER. */
int talk_wait_step(struct talk_wait *wait, uint64_t at_ns);
int talk_timed_out(const spile_talk *talk, int result, const char *what, spile_error **ret_error);

/* connect.c */
/* Begins to reach the endpoint; it ends in talk_opened or talk_fail, maybe at once. */
int connect_start(spile_talk *talk);
/* The same after a pause, for as long as it takes. */
int connect_again(spile_talk *talk, uint64_t pause_ns);
void connect_stop(spile_talk *talk);
/* Why it is not open yet, or NULL. */
const spile_error *connect_last(const spile_talk *talk);

/* loss.c */
/* The device has gone, or fails: whether that is a loss, after which it is opened again. Else it is an end. */
bool loss_begins(spile_talk *talk);
void loss_child_exited(spile_talk *talk);
/* A loss that has begun is an end after all. */
void loss_stop(spile_talk *talk);
/* The same before it is closed; -EPIPE: it is not open, and what was written meanwhile is lost. */
int loss_close(spile_talk *talk, spile_error **ret_error);
/* Before a function looks at what has come: the next stream, once the one before it was read. */
void loss_rejoin(spile_talk *talk);

/* child.c */
/* An attempt, as in connect.h: 0 (connect_done will be called), or -errno. */
int child_start(spile_talk *talk, spile_error **ret_error);
/* The talk is done with it: it is killed if it is still there, and frees itself once all of it is gone. */
void child_leave(spile_talk *talk);
/* In the child of a fork: lets its descriptors go. */
void child_abandon(spile_talk *talk);

/* channel.c */
int channel_begin(spile_talk *talk);
void channel_stop(spile_talk *talk);
/* Watches for what is wanted now. */
int channel_update(spile_talk *talk);
/* Writes what is queued, as far as it goes. */
void channel_put_out(spile_talk *talk);
/* Tells the caller what has happened; the talk may be gone afterwards. */
void channel_tell(spile_talk *talk);
/* When something came last. Noted when it is asked for first where nobody waited for it but a function that has
 * returned at once: the time costs as much as all else that is done for a line. */
uint64_t channel_arrived_ns(spile_talk *talk);
/* Takes in what has arrived by now. */
void channel_take_now(spile_talk *talk);
/* With `message`: something is awaited, and may be read. */
int channel_want_message(spile_talk *talk);
/* With `message`: what was queued up to here is one. */
int channel_end_message(spile_talk *talk);
uint64_t talk_keep_limit(const spile_talk *talk);

/* read.c */
/* Begins a reading function: what the last one handed out is gone. */
int read_begin(spile_talk *talk, const void *ret_text, const void *ret_size);
/* More may be watched for, now that there is room. Returns `result`, or why not. */
int read_finish(spile_talk *talk, int result);
/* Nothing more comes. */
bool read_is_over(const spile_talk *talk);
/* What spile_talk_bytes hands out. */
void read_note_raw(spile_talk *talk, size_t size);
int read_refuse_text(const spile_talk *talk, const char *data, size_t size, spile_error **ret_error);
/* As talk_wait_step, for what is to come. */
int read_step(struct talk_wait *wait, uint64_t at_ns);
/* Waits until nothing has come for so long, or the stream has ended. `take` is called for what comes. A wait that
 * timed out goes on with the next one. */
int read_await_silence(spile_talk *talk, uint64_t silence_ns, uint64_t timeout_ns, int (*take)(spile_talk *talk),
                       spile_error **ret_error);
/* The first line: as lines_find; with `message` what there is of one where its message has ended, too. */
bool read_find_line(spile_talk *talk, size_t *ret_size, size_t *ret_end_size);
/* Decodes `size` bytes at the start and takes them with `skip` more; the text is added. Under SPILE_TALK_STRICT what is
 * no text is escaped, and *ret_is_bad set. */
int read_add_text(spile_talk *talk, size_t size, size_t skip, bool ends_line, struct text *text, bool *ret_is_bad);

/* write.c */
/* Queues a line, and writes what goes at once. */
int write_queue_line(spile_talk *talk, const char *line, size_t size, bool is_secret, spile_error **ret_error);
/* Why nothing can be written any more. */
int write_refuse(const spile_talk *talk, spile_error **ret_error);
/* Whether a child's terminal shows what is typed. */
bool write_is_echoing(const spile_talk *talk);
/* Whether a line that is written may come back: shown by its terminal, or by a program that edits lines. */
bool write_may_echo(const spile_talk *talk);

/* ask.c */
void ask_init(spile_talk *talk);
void ask_done(spile_talk *talk);
/* Bytes came, or the end, or it is open now. */
void ask_arrived(spile_talk *talk);
/* The talk was lost: the question whose reply was awaited fails; others wait until it is open again. */
void ask_lost(spile_talk *talk);
/* Ends all questions, and tells who asked; no more are taken. */
void ask_cancel_all(spile_talk *talk);

/* expect.c */
void expect_arrived(spile_talk *talk);
/* Ends all of them, and tells who waits. */
void expect_cancel_all(spile_talk *talk);
void expect_done(spile_talk *talk);
/* What was looked at is not what will be read. */
void expect_forget(spile_talk *talk);
