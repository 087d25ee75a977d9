/* spile_talk.h - hold a text conversation with any character device; part of spile.h, whose conventions hold here too
 *
 * A talk is one full-duplex stream of text with whatever its endpoint names:
 *
 *   /dev/ttyUSB0, ./door     a path, looked at for what it is: terminal, character device, UNIX socket
 *   fifo:IN,OUT              two FIFOs; the talk reads IN and writes OUT
 *   unix:PATH                a UNIX socket, "@NAME" for one of the abstract namespace
 *   tcp:HOST:PORT            "[::1]:23" for an IPv6 address
 *   pty: PROGRAM ARGS        a child program on a terminal of its own; quoting is the shell's
 *   pipe: PROGRAM ARGS       a child program on pipes
 *   fd:N                     a descriptor that is open already
 *   -                        standard input and output
 *
 * How a caller uses it:
 *
 *   1. spile_talk_open. A terminal is locked and made raw (and restored at the end), a socket connected,
 *      a child program started.
 *   2. spile_talk_write_line and spile_talk_read_line; or spile_talk_ask, which does both and keeps them in step; or
 *      spile_talk_expect (spile_expect.h), which waits for one of several things.
 *   3. spile_talk_close, which waits until what was written is out and a child has ended; spile_talk_free.
 *
 * Text is UTF-8 on the caller's side, whatever the endpoint's encoding; it may hold NUL bytes. Lines are ended by LF,
 * CRLF or CR when read, in any mix (a CR ends its line at once, an LF behind it is swallowed), and by `eol` when
 * written.
 *
 * Waiting. Functions that can wait take `timeout_ns`: 0 does not wait, UINT64_MAX waits for ever. It is a deadline for
 * the whole function, which bytes that arrive do not put off. -ETIMEDOUT takes nothing: what had arrived can still be
 * read. While a function waits for whatever it is, both directions go on: a write never waits for room without taking
 * in what the other side says.
 *
 * What reading functions hand out is the talk's, and good until the next function on that talk, but for get_info.
 * Text is NUL-terminated.
 *
 * Errors: beside those of each function, -EPIPE: the other side takes nothing any more; -EIO and others: the device
 * failed; -EBUSY: called from inside the talk's own callback, where nothing can wait (timeouts of 0 are fine); -EBADF:
 * the talk is closed, or belongs to the parent of a fork. Kinds: ENDPOINT, ENDED, REPLY, STEP, TEXT, LIMIT, TIMEOUT,
 * SYSTEM.
 *
 * Threads: a device without poll is read and written by threads of the library's, which end with the talk; nothing of
 * the caller's runs there. Of the caller's: one at a time, but spile_talk_ask may be called from several: they are
 * served in the order they came, each with its own reply. After a fork the child can only free a talk; the endpoint
 * stays as it is.
 */
#ifndef SPILE_TALK_H
#define SPILE_TALK_H

#include "spile.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct spile_talk spile_talk;

/* What becomes of bytes that are no text in the endpoint's encoding, and of characters which that encoding lacks. */
typedef enum spile_talk_errors {
    SPILE_TALK_REPLACE = 0, /* read as U+FFFD, written as '?' */
    SPILE_TALK_STRICT = 1,  /* -EILSEQ of kind TEXT. Read: what the call would have given counts as read, and its bytes
                             * are what spile_talk_bytes hands out. Written: nothing of that call was */
    SPILE_TALK_ESCAPE = 2,  /* read as \xNN, written as \xNN, \uNNNN or \UNNNNNNNN */
} spile_talk_errors;

/* What ends a line when it is read. */
typedef enum spile_talk_ends {
    SPILE_TALK_ENDS_ANY = 0, /* LF, CRLF, CR */
    SPILE_TALK_ENDS_LF = 1,  /* a CR is text, as in the next two whatever is not the end itself */
    SPILE_TALK_ENDS_CRLF = 2,
    SPILE_TALK_ENDS_CR = 3,
} spile_talk_ends;

typedef enum spile_talk_echo {
    SPILE_TALK_ECHO_AUTO = 0, /* a reply's first line that repeats the question is dropped where a child's terminal
                               * echoes or did at the start */
    SPILE_TALK_ECHO_DROP = 1, /* of any endpoint */
    SPILE_TALK_ECHO_KEEP = 2,
} spile_talk_echo;

typedef enum spile_talk_parity {
    SPILE_TALK_PARITY_KEEP = 0, /* as the port is */
    SPILE_TALK_PARITY_NONE = 'N',
    SPILE_TALK_PARITY_EVEN = 'E',
    SPILE_TALK_PARITY_ODD = 'O',
} spile_talk_parity;

typedef enum spile_talk_flow {
    SPILE_TALK_FLOW_KEEP = 0,
    SPILE_TALK_FLOW_NONE = 1,
    SPILE_TALK_FLOW_HARDWARE = 2, /* RTS and CTS */
    SPILE_TALK_FLOW_SOFTWARE = 3, /* XON and XOFF */
} spile_talk_flow;

/* A line of a serial port, or another switch with three positions. */
typedef enum spile_talk_switch { SPILE_TALK_LEAVE = 0, SPILE_TALK_ON = 1, SPILE_TALK_OFF = 2 } spile_talk_switch;

/* What has happened to a talk; bits. */
enum {
    SPILE_TALK_OPENED = 1u << 0,     /* it can be read and written; again after a loss, with `reconnect` */
    SPILE_TALK_ARRIVED = 1u << 1,    /* there is more to read */
    SPILE_TALK_WRITTEN = 1u << 2,    /* all that was queued is out */
    SPILE_TALK_ENDED = 1u << 3,      /* the other side has ended its stream; what it said before can be read */
    SPILE_TALK_EXITED = 1u << 4,     /* the child program has ended */
    SPILE_TALK_FAILED = 1u << 5,     /* it could not be opened, or the device failed: spile_talk_error */
    SPILE_TALK_LOST = 1u << 6,       /* with `reconnect`: it is gone, and is being opened again */
    SPILE_TALK_UNRECORDED = 1u << 7, /* the transcript begins to lack entries: spile_talk_info.transcript_error */
};
/* Called inside spile_loop_step, once for all that has happened. It may do anything to the talk, even free it. */
typedef void (*spile_talk_fn)(void *user, spile_talk *talk, unsigned news);

typedef struct spile_talk_options {
    size_t size; /* sizeof(spile_talk_options) */

    /* the loop: NULL, and the talk has one of its own. On a caller's loop, spile_talk_open returns at once, `told`
     * tells of what happens, and each talk counts among what is running until it is closed. The other functions work as
     * ever; with a time-out, they step that loop. */
    spile_loop *loop;
    spile_talk_fn told;
    void *user;

    /* text */
    const char *encoding; /* a name that iconv knows; NULL: "UTF-8" */
    spile_talk_errors errors;
    spile_talk_ends ends;
    const char *eol;           /* what is written for '\n'; NULL: "\n" */
    uint64_t line_limit_bytes; /* a longer line is -EMSGSIZE; 0: only what may be kept limits it */
    uint64_t keep_limit_bytes; /* what has arrived and was not read; then no more is taken in; 0: 1 GiB */

    /* opening */
    uint64_t open_ns; /* how long it may take in all; 0: 10 seconds */
    bool wait;        /* so long also for a path to appear, and for a service that refuses or does not read yet */
    /* Opened again whenever it is lost, for as long as it takes, with pauses up to a second; a child program is started
     * again. What had come is read first: half a line as SPILE_TALK_REST, and the next function reads what comes from
     * then on; there is no end but after spile_talk_end. What was queued is lost: -EPIPE of kind ENDED for who waits
     * for it; what is written from then on waits. A question whose reply was awaited fails with -ENODATA of kind ENDED,
     * others wait, and first for the prompt. Not of "fd:" and "-". */
    bool reconnect;
    bool take_fd; /* of "fd:N": the descriptor becomes the talk's, which closes it */

    /* terminals: a path or descriptor that is one */
    bool cooked; /* its modes stay as they are, but for what is asked for below; of a child's: as the system makes it */
    bool unlocked;  /* without the exclusive lock that keeps a second talk away */
    bool no_hangup; /* a serial port's DTR is not dropped when it is closed (HUPCL off) */
    unsigned baud;  /* 0, as in the next four: as it is */
    unsigned data_bits, stop_bits;
    spile_talk_parity parity;
    spile_talk_flow flow;
    spile_talk_switch dtr, rts; /* set right after it is opened */

    /* child programs */
    const char *const *argv; /* the program's words; the endpoint is "pty:" or "pipe:" then */
    const char *const *env;  /* as in spile_program_options; on a terminal TERM is "dumb" unless said here */
    int env_mode;
    const char *cwd;            /* NULL: the caller's */
    unsigned columns, rows;     /* of its terminal; 0: 80, 24 */
    bool terminal_echo;         /* its terminal starts with ECHO on */
    spile_stdio standard_error; /* of one on pipes: DEFAULT is INHERIT, else NULL; on a terminal it is the terminal */

    /* asking */
    const char *prompt; /* says that the other side is ready; awaited before the first question */
    spile_talk_echo echo;
    uint64_t
        resync_ns; /* after a reply that did not come in time: so much silence means that it never will; 0: never */

    /* What instruments want (usbtmc and the like): each line is one write, and so is what else one writing function is
     * given; the end of a message that comes ends its line, too. Nothing is read before a reading function awaits
     * something or a question its reply. */
    bool message;

    /* A file that gets both directions with their times (in UTC), appended; or NULL. An entry is a line with its end,
     * or what there is of one when the other side begins to speak; "TIME > TEXT" what was written, "TIME < TEXT" what
     * came, "TIME - EVENT: DETAIL" what happened, with control characters as in C and what is no text as \xNN. As JSON
     * an object a line: "time", and "way" ("out", "in"), "text", "hex" (all of it, where some is no text); or "event",
     * "detail". Secrets that were written as such are "***", in what comes, too. Where the file takes nothing (a full
     * disk) the talk goes on, SPILE_TALK_UNRECORDED is told, and an event "missing" says how much once it takes
     * something again. */
    const char *transcript;
    bool transcript_json;
} spile_talk_options;

/* Opens the endpoint. `options` may be NULL. Of kind ENDPOINT, with the reason and the way out: -EINVAL the text is no
 * endpoint, -ENOTSUP what it names can't hold a conversation (a regular file, a directory, one FIFO for both ways),
 * -EBUSY a terminal that someone holds; and what the system says, -ENOENT, -ECONNREFUSED, .... -ETIMEDOUT. */
SPILE_API int spile_talk_open(const char *endpoint, const spile_talk_options *options, spile_talk **ret_talk,
                              spile_error **ret_error);
/* Says that nothing more is written: what is queued goes out, then the other side sees the end (on a terminal: its end
 * of file character, where it has one). Reading goes on. */
SPILE_API int spile_talk_end(spile_talk *talk);
/* Waits until what was written is out, ends, restores a terminal, waits for a child to exit. -ETIMEDOUT: some of it did
 * not come in time; all is closed all the same, and a child with all its processes killed. What arrived can still be
 * read. -EPIPE of kind ENDED: it is not open, and what was written meanwhile is lost. -EALREADY. */
SPILE_API int spile_talk_close(spile_talk *talk, uint64_t timeout_ns, spile_error **ret_error);
/* Closes it at once where that was not done. */
SPILE_API spile_talk *spile_talk_free(spile_talk *talk);

/* ----------------------------------------------------------------------------------------------- reading */

/* What a reading function returns, where it did not fail. */
enum {
    SPILE_TALK_NOTHING = 0, /* the stream has ended and all was read */
    SPILE_TALK_WHOLE = 1,   /* what was asked for */
    SPILE_TALK_REST = 2,    /* what there still was when the stream ended */
};

/* A line, without its end. -EMSGSIZE of kind LIMIT: it is longer than allowed, and can be read in pieces. */
SPILE_API int spile_talk_read_line(spile_talk *talk, uint64_t timeout_ns, const char **ret_text, size_t *ret_size,
                                   spile_error **ret_error);
/* At least `least` characters, and what else is there, at most `most`. A line's end is one '\n'. With `most` UINT64_MAX
 * and `least` 0 that is everything which has arrived. */
SPILE_API int spile_talk_read(spile_talk *talk, uint64_t least, uint64_t most, uint64_t timeout_ns,
                              const char **ret_text, size_t *ret_size, spile_error **ret_error);
/* The text before the next `delimiter`, which is taken, too. A '\n' in it is any line's end. */
SPILE_API int spile_talk_read_until(spile_talk *talk, const char *delimiter, uint64_t timeout_ns, const char **ret_text,
                                    size_t *ret_size, spile_error **ret_error);
/* What comes until nothing has come for `silence_ns`. After -ETIMEDOUT the same function goes on counting. */
SPILE_API int spile_talk_read_silence(spile_talk *talk, uint64_t silence_ns, uint64_t timeout_ns, const char **ret_text,
                                      size_t *ret_size, spile_error **ret_error);
/* Bytes as they arrived, with no decoding and no line ends; between the others as it pleases. */
SPILE_API int spile_talk_read_bytes(spile_talk *talk, uint64_t least, uint64_t most, uint64_t timeout_ns,
                                    const void **ret_data, size_t *ret_size, spile_error **ret_error);
/* Puts text before all that is still to be read. -EBUSY: an expect is under way, or a question, whose reply it
 * would become. */
SPILE_API int spile_talk_unread(spile_talk *talk, const char *text, size_t size);
/* The bytes of which the last reading function made its text, or could not. */
SPILE_API int spile_talk_bytes(const spile_talk *talk, const void **ret_data, size_t *ret_size);

/* ----------------------------------------------------------------------------------------------- writing */

/* Writes `size` bytes of UTF-8, each '\n' as `eol`. Returns how many were taken: all, but for a deadline or a limit
 * that came in between. What is taken and not out yet is queued, and goes out while any function waits or the loop
 * steps. With `timeout_ns` 0 up to 1 MiB is queued, then it is -EAGAIN. Otherwise it returns once all is out, or at the
 * deadline. -ENOBUFS of kind LIMIT: what the other side says meanwhile can't be kept: read it. -EMSGSIZE of kind LIMIT,
 * and nothing is written: a line that is longer than a terminal in line mode takes. */
SPILE_API ssize_t spile_talk_write(spile_talk *talk, const char *text, size_t size, uint64_t timeout_ns,
                                   spile_error **ret_error);
/* The line, and its end. Returns 0; -ETIMEDOUT: what is not out yet is queued. */
SPILE_API int spile_talk_write_line(spile_talk *talk, const char *line, uint64_t timeout_ns, spile_error **ret_error);
/* The same for what nobody shall see: waits until a child's terminal does not echo; it is masked in transcripts. */
SPILE_API int spile_talk_write_secret(spile_talk *talk, const char *line, uint64_t timeout_ns, spile_error **ret_error);
SPILE_API ssize_t spile_talk_write_bytes(spile_talk *talk, const void *data, size_t size, uint64_t timeout_ns,
                                         spile_error **ret_error);
/* Waits until what is queued is out. */
SPILE_API int spile_talk_flush(spile_talk *talk, uint64_t timeout_ns, spile_error **ret_error);
/* A break of `duration_ns` (0: a quarter of a second) on a serial port; blocks for that long. -ENOTTY. */
SPILE_API int spile_talk_break(spile_talk *talk, uint64_t duration_ns);

/* ------------------------------------------------------------------------------------------------ asking */

/* What ends a reply: the first of what is said here; where nothing is, the talk's prompt, and else one line. */
typedef struct spile_ask_options {
    size_t size;               /* sizeof(spile_ask_options) */
    uint64_t timeout_ns;       /* for all of it, waiting for one's turn too; 0: 10 seconds; UINT64_MAX: none */
    unsigned lines;            /* so many lines */
    bool no_reply;             /* none is awaited */
    const char *prompt;        /* this at the start of a line; not part of the reply */
    const char *const *ends;   /* a line that one of these patterns of fnmatch(3) matches; not part of the reply */
    size_t end_count;          /* of those */
    uint64_t silence_ns;       /* nothing for so long, once something came */
    const char *const *errors; /* a line that one of these matches ends the reply, too, and makes it an error */
    size_t error_count;        /* of those */
    bool skip_empty;           /* empty lines are no part of a reply */
    bool is_secret;            /* the question is written as by spile_talk_write_secret */
    size_t line_size;          /* bytes of the question, which may hold NUL bytes then; 0: up to its NUL */
} spile_ask_options;

typedef struct spile_reply {
    size_t size; /* sizeof(spile_reply), set by the caller */
    char *text;  /* the lines, with '\n' between them; NUL-terminated */
    size_t text_size;
    size_t lines;
    char *end; /* the line or prompt that ended it and is not part of it, or NULL. Of an error reply: its line, which is
                  the last of the text, too */
} spile_reply;
/* Frees what spile_talk_ask has filled in. */
SPILE_API void spile_reply_done(spile_reply *reply);

/* Writes the line and returns what comes back. What had arrived unasked is set aside first: spile_talk_read_unasked.
 * The reply is the caller's: spile_reply_done; it is filled in on failure too, with what had come of it. -EPROTO of
 * kind REPLY: it is an error; -ETIMEDOUT; -ENODATA of kind ENDED: the stream ended before; -EILSEQ of kind TEXT, under
 * SPILE_TALK_STRICT: what is no text in it stands there escaped.
 * After a time-out the talk is out of step: what comes next may be the late reply. The next question waits until that
 * has come in whole, and sets it aside; or, with `resync_ns`, until there was silence. Where neither happens in its
 * time it is not written: -ESTALE of kind STEP. spile_talk_resync ends this, too. `options` may be NULL. */
SPILE_API int spile_talk_ask(spile_talk *talk, const char *line, const spile_ask_options *options, spile_reply *reply,
                             spile_error **ret_error);
/* The same on a loop: asked in turn; `done` is called from inside a step, once, with 0 or what spile_talk_ask would
 * return. Reply and error are the talk's, and good while it runs. -ECANCELED: the talk was closed. It may do anything
 * to the talk, even free it. */
typedef void (*spile_ask_fn)(void *user, spile_talk *talk, int result, const spile_reply *reply,
                             const spile_error *error);
SPILE_API int spile_talk_ask_start(spile_talk *talk, const char *line, const spile_ask_options *options,
                                   spile_ask_fn done, void *user);
/* All text that was set aside so far, which is handed out once. NOTHING or WHOLE. */
SPILE_API int spile_talk_read_unasked(spile_talk *talk, const char **ret_text, size_t *ret_size);
/* Sets aside what comes until nothing has come for `silence_ns`: then the talk is in step again. */
SPILE_API int spile_talk_resync(spile_talk *talk, uint64_t silence_ns, uint64_t timeout_ns, spile_error **ret_error);

/* --------------------------------------------------------------------------------------------- what it is */

typedef enum spile_talk_state {
    SPILE_TALK_STATE_OPENING = 1,
    SPILE_TALK_STATE_OPEN,
    SPILE_TALK_STATE_CLOSING,
    SPILE_TALK_STATE_CLOSED,
    SPILE_TALK_STATE_FAILED,
} spile_talk_state;

typedef struct spile_talk_info {
    size_t size; /* sizeof(spile_talk_info), set by the caller */
    spile_talk_state state;
    const char *endpoint;          /* as it was written; the talk's */
    uint64_t bytes_in, bytes_out;  /* since it was opened */
    uint64_t bytes_kept;           /* arrived and not read */
    uint64_t bytes_queued;         /* to be written */
    bool is_terminal, is_ended;    /* a terminal of either kind; the other side has ended its stream */
    bool is_out_of_step;           /* see spile_talk_ask */
    bool is_echoing, is_line_mode; /* a child's terminal shows what is typed; takes it by line, not key by key */
    int64_t pid;                   /* of the child program, or 0 */
    bool has_exited;               /* then one of the next two is set */
    int exit_status;               /* or -1 */
    int signal;                    /* that ended it, or 0 */
    int transcript_error;          /* why entries are missing in the transcript, a negative errno; or 0 */
    uint64_t losses;               /* how often it was lost, with `reconnect` */
    uint64_t entries_missing;      /* how many */
} spile_talk_info;

SPILE_API int spile_talk_get_info(const spile_talk *talk, spile_talk_info *info);
/* Why it failed (its state is FAILED), or NULL. The talk's. */
SPILE_API const spile_error *spile_talk_error(const spile_talk *talk);
/* A child terminal's size from now on. -ENOTTY. */
SPILE_API int spile_talk_resize(spile_talk *talk, unsigned columns, unsigned rows);

#ifdef __cplusplus
}
#endif

/* Waiting for one of several things. */
#include "spile_expect.h"
#endif
