/* spile.h - call file-based programs as functions
 *
 * How a caller uses it:
 *
 *   1. Make a spile_plan: programs and the files that tie them together, from templates
 *      (spile_plan_add_template) or without any text (spile_program, spile_plan_add_program).
 *      spile_plan_finish checks it; afterwards it never changes and may be run any number of times.
 *   2. Make a spile_call on it, say what goes in (spile_call_input_...) and where outputs go
 *      (spile_call_output_...; what is not said is handed out in memory).
 *   3. Run it: spile_call_run blocks; spile_call_attach puts it on a spile_loop that you drive.
 *   4. Read the spile_result: outputs, what each program did, and, if it failed, the first root cause.
 *
 * Conventions
 *   - Functions that can fail return an int: >= 0, or a negative errno. What they hand out comes through
 *     a `ret_` parameter, which is untouched on failure. Where a failure has more to say than an errno,
 *     the last parameter is a `spile_error **ret_error`; it may be NULL, and what it receives is freed with
 *     spile_error_free. -EINVAL is misuse, -ENOMEM is no memory; others are listed where they can be acted on.
 *   - `free` functions accept NULL and half-built objects, and return NULL.
 *   - Strings are NUL-terminated bytes, copied unless said otherwise; times are nanoseconds (`_ns`).
 *   - Option structs begin with their size: set `.size = sizeof(options)`. Zero is the default of every field.
 *
 * Threads
 *   - A finished plan, and a context, may be used from many threads at once.
 *   - Every other object belongs to one thread at a time. Only spile_call_cancel and spile_call_resume may be called
 *     from another thread than the one that runs the call.
 *   - The library installs no signal handler, never waits for children that are not its own, and leaves the
 *     signal mask as it found it. A SIGPIPE that its own writes raise is consumed in the thread that raised it.
 *   - While spile_call_run or spile_loop_step waits for a brief program, the waiting thread is bound to the processor
 *     it is on (sched_setaffinity), because waking another one can take longer than the program. Nobody notices but
 *     signal handlers and who looks at the thread from outside: no callback runs meanwhile, and programs never are. Not
 *     on a loop whose descriptor was asked for, not where several calls run at once, and not where a filter that stood
 *     before the first call forbids it.
 *
 * fork
 *   - In the child of a fork, finished plans, results and contexts stay usable (a context starts with an empty pool). A
 * call or a loop that was in use at the fork belongs to the parent: in the child it can only be freed; its descriptors
 * are closed there at the fork.
 */
#ifndef SPILE_H
#define SPILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define SPILE_API __attribute__((visibility("default")))
#else
#define SPILE_API
#endif

#define SPILE_VERSION_MAJOR 0
#define SPILE_VERSION_MINOR 1
#define SPILE_VERSION_PATCH 0

/* The version of the library in use, "0.1.0". Never fails; the string is static. */
SPILE_API const char *spile_version(void);

typedef struct spile_error spile_error;
typedef struct spile_program spile_program;
typedef struct spile_plan spile_plan;
typedef struct spile_ctx spile_ctx;
typedef struct spile_loop spile_loop;
typedef struct spile_call spile_call;
typedef struct spile_result spile_result;

/* ------------------------------------------------------------------------------------------------ errors */

typedef enum spile_error_kind {
    SPILE_ERROR_USAGE = 1,      /* the API or the command was used wrongly */
    SPILE_ERROR_TEMPLATE,       /* a template's text; spile_error_offset says where */
    SPILE_ERROR_PLAN,           /* the programs and files do not fit together */
    SPILE_ERROR_MISSING,        /* an input or a value was not given */
    SPILE_ERROR_NOT_FOUND,      /* a program does not exist */
    SPILE_ERROR_NOT_EXECUTABLE, /* a program exists and cannot be executed */
    SPILE_ERROR_PROGRAM,        /* a program ended with a status it was not said to accept, or by a signal */
    SPILE_ERROR_OUTPUT_MISSING, /* a program ended well and its output is not there */
    SPILE_ERROR_INPUT_CHANGED,  /* a program changed a file that is only its input */
    SPILE_ERROR_INPUT,          /* reading what goes in failed */
    SPILE_ERROR_OUTPUT,         /* delivering what comes out failed */
    SPILE_ERROR_LIMIT,          /* a limit other than the wall time was reached */
    SPILE_ERROR_TIMEOUT,        /* the deadline came */
    SPILE_ERROR_CANCELLED,      /* spile_call_cancel */
    SPILE_ERROR_STANDSTILL,     /* everything waits for what will never come */
    SPILE_ERROR_STREAM,         /* a program used a stream as a pipe can't be used; a seekable file would do */
    SPILE_ERROR_SYSTEM,         /* the system refused something; spile_error_errno says what */
    SPILE_ERROR_PROMISE,        /* a promise that was demanded, or a limit, can't be kept on this machine */
    SPILE_ERROR_ENDPOINT,       /* of a talk: what it names can't be talked with */
    SPILE_ERROR_ENDED,          /* of a talk: the other side has ended */
    SPILE_ERROR_REPLY,          /* of a talk: the reply is an error */
    SPILE_ERROR_STEP,           /* of a talk: an earlier reply is still to come */
    SPILE_ERROR_TEXT,           /* of a talk: bytes that are no text, or characters that its encoding lacks */
} spile_error_kind;

/* What an error is. The strings live as long as the error. */
SPILE_API spile_error_kind spile_error_get_kind(const spile_error *error);
/* A positive errno, or 0 where none applies. */
SPILE_API int spile_error_get_errno(const spile_error *error);
/* The program it is about, counted from 0 in the order given, or -1. */
SPILE_API int spile_error_get_program(const spile_error *error);
/* Bytes from the start of the template to the place it is about, or -1. */
SPILE_API ssize_t spile_error_get_offset(const spile_error *error);
/* Which of a call's limits (spile_limits) was reached, by an error of kind LIMIT or TIMEOUT. */
typedef enum spile_limit {
    SPILE_LIMIT_NONE = 0,
    SPILE_LIMIT_WALL,
    SPILE_LIMIT_CPU,
    SPILE_LIMIT_FILES,
    SPILE_LIMIT_OUTPUT,
    SPILE_LIMIT_PROGRAM_MEMORY,
    SPILE_LIMIT_PROCESSES,
    SPILE_LIMIT_OPEN_FILES,
} spile_limit;
SPILE_API spile_limit spile_error_get_limit(const spile_error *error);
/* Its name, as `spile run` and JSON reports call it: "timeout", "cpu", "memory", "max_output", "program_memory",
 * "processes", "open_files"; NULL for none. Static. */
SPILE_API const char *spile_limit_name(spile_limit limit);
/* What is wrong, where, and what to do; one line or several (a template is shown with a caret), no newline at the end.
 */
SPILE_API const char *spile_error_get_message(const spile_error *error);
/* A kind's name in lower case with underscores, as in JSON reports: "output_missing". Static. */
SPILE_API const char *spile_error_kind_name(spile_error_kind kind);
SPILE_API spile_error *spile_error_free(spile_error *error);

/* ---------------------------------------------------------------------------------------------- programs */

typedef enum spile_role {
    SPILE_READ = 1,   /* {<name}  the program reads the file */
    SPILE_WRITE = 2,  /* {>name}  it writes the file */
    SPILE_CHANGE = 3, /* {<>name} it changes the file in place */
    SPILE_APPEND = 4, /* >>{name} it changes the file in place; it starts empty where nothing was given */
} spile_role;

typedef enum spile_kind {
    SPILE_SEEKABLE = 0, /* a regular file in memory */
    SPILE_STREAM = 1,   /* a named pipe */
} spile_kind;

enum {
    SPILE_FILE_SIDE = 1u << 0,     /* not on the command line: {+<name} */
    SPILE_FILE_OPTIONAL = 1u << 1, /* an output that may be missing afterwards */
    SPILE_FILE_DIRECT = 1u << 2,   /* a stream that is a plain pipe of the kernel: see spile_plan_set_direct */
};

/* One file of one program. The name is the file's name as the program sees it, relative to its directory. A name that
 * ends in '/' is a tree; one that holds '*', '?' or '[' is a pattern ('*' and '?' stay within a path component, '**'
 * does not). */
typedef struct spile_file {
    size_t size; /* sizeof(spile_file) */
    const char *name;
    spile_role role;
    spile_kind kind;
    unsigned flags; /* SPILE_FILE_... */
} spile_file;

typedef enum spile_part_type {
    SPILE_PART_TEXT = 1,   /* `text`, as it stands */
    SPILE_PART_FILE = 2,   /* the path of the program's file number `file` */
    SPILE_PART_VALUE = 3,  /* the value called `text`, whatever it holds */
    SPILE_PART_VALUES = 4, /* the list called `text`, one argument each; the only part of its word */
} spile_part_type;

/* A piece of a word. A word is the concatenation of its parts. */
typedef struct spile_part {
    spile_part_type type;
    const char *text;
    size_t file;
} spile_part;

enum {
    SPILE_ENV_ADD = 0,     /* `env` is added to what is inherited; "NAME" without '=' removes it */
    SPILE_ENV_REPLACE = 1, /* `env` is all there is */
};

/* What a program's standard stream is, where no file is tied to it. */
typedef enum spile_stdio {
    SPILE_STDIO_DEFAULT = 0, /* as the call says; there: input null, output captured, error captured (its tail) */
    SPILE_STDIO_NULL = 1,
    SPILE_STDIO_INHERIT = 2, /* the host's own; of standard error the tail is kept all the same */
    SPILE_STDIO_CAPTURE = 3, /* all of it, handed out by the result */
} spile_stdio;

typedef struct spile_program_options {
    size_t size;            /* sizeof(spile_program_options) */
    const char *const *env; /* "NAME=value" strings, NULL-terminated, on top of the call's; or NULL */
    int env_mode;           /* SPILE_ENV_... */
    const char *cwd;        /* working directory; NULL: the call's, or else its private directory */
    const int *ok_status;   /* exit statuses that are a success; NULL: only 0 */
    size_t ok_status_count; /* of those */
    spile_stdio standard_output;
    spile_stdio standard_error;
} spile_program_options;

/* A program without any text: made, filled, and given to a plan. `options` may be NULL and is copied. */
SPILE_API int spile_program_new(const spile_program_options *options, spile_program **ret_program);
SPILE_API spile_program *spile_program_free(spile_program *program);
/* Declares a file the program uses; returns its number, for parts and ties. A name that was
 * declared before is the same file. -EINVAL: a name that is empty, absolute or climbs out, or mentions that contradict
 * each other (read and written, a stream and none). */
SPILE_API int spile_program_add_file(spile_program *program, const spile_file *file);
/* Appends one word to the argument vector; the first one is the program. A pattern that is read, or a list of values,
 * must be the only part of its word (-EINVAL): it becomes one argument for each match. */
SPILE_API int spile_program_add_word(spile_program *program, const spile_part *parts, size_t count);
/* The same for a word that is plain text. */
SPILE_API int spile_program_add_text(spile_program *program, const char *text);
/* Sets an environment variable to the concatenation of the parts. */
SPILE_API int spile_program_add_variable(spile_program *program, const char *name, const spile_part *parts,
                                         size_t count);
/* Ties standard stream `stdio_fd` (0 reads, 1 and 2 write) to file number `file`. */
SPILE_API int spile_program_tie(spile_program *program, int stdio_fd, size_t file);
/* Sends standard error where standard output goes. */
SPILE_API int spile_program_merge_stderr(spile_program *program);

/* -------------------------------------------------------------------------------------------------- plans */

/* A plan is built by one thread, finished once, and then immutable: shared by threads and run any number of times.
 * It is counted: `new` hands out one reference, each call holds its own. */
SPILE_API int spile_plan_new(spile_plan **ret_plan);
SPILE_API spile_plan *spile_plan_ref(spile_plan *plan);
SPILE_API spile_plan *spile_plan_unref(spile_plan *plan);

/* Adds the program, or the programs joined by bars, of one template. `options` (may be NULL) hold for each of them.
 * Returns how many programs it added. -EINVAL with an error of kind TEMPLATE or PLAN. */
SPILE_API int spile_plan_add_template(spile_plan *plan, const char *text, const spile_program_options *options,
                                      spile_error **ret_error);
/* Adds a program whose words are already split; in them only {...} marks live, and {{ }} are literal braces. Returns 1.
 */
SPILE_API int spile_plan_add_vector(spile_plan *plan, const char *const *words, size_t count,
                                    const spile_program_options *options, spile_error **ret_error);
enum {
    SPILE_PLAN_PIPED = 1u << 0, /* its standard output is the next program's standard input, by an anonymous pipe */
};
/* Adds a program made without text and takes it over (also on failure). Returns 1. */
SPILE_API int spile_plan_add_program(spile_plan *plan, spile_program *program, unsigned flags, spile_error **ret_error);
/* Says that the output of this name may be missing afterwards. -ENOENT: no program writes it. */
SPILE_API int spile_plan_set_optional(spile_plan *plan, const char *name);
/* Sets the exit statuses that are a success of one program, as in its options: a template's programs share those. */
SPILE_API int spile_plan_set_ok_status(spile_plan *plan, size_t program, const int *ok_status, size_t count);
/* Says that the stream of this name is a plain pipe of the kernel between its writer and its only reader, which spile
 * does not touch: the fastest there is. It gives up what comes of passing everything on: nothing is counted or limited,
 * what one open left unread the next one gets, an input opened again does not begin anew, and misuse is not seen.
 * Refused by spile_plan_finish where it has not exactly one program at either end or lies on a ring of streams and
 * bars, where it could hang. -ENOENT: no program uses it. */
SPILE_API int spile_plan_set_direct(spile_plan *plan, const char *name);
/* Checks everything that can be checked from the names alone, and freezes the plan. -EINVAL with an error of kind PLAN,
 * -EOPNOTSUPP for what this version cannot do. */
SPILE_API int spile_plan_finish(spile_plan *plan, spile_error **ret_error);
/* All of the above: the plan of some templates. */
SPILE_API int spile_plan_from_templates(const char *const *templates, size_t count, spile_plan **ret_plan,
                                        spile_error **ret_error);

/* Text that a template takes literally, as one word. The caller frees it with free(). */
SPILE_API int spile_quote(const char *text, char **ret_quoted);

/* What a finished plan holds; indices count from 0, strings live as long as the plan. */
typedef enum spile_flow {
    SPILE_INPUT = 1,        /* only read: must be given (a file that is changed in place is input and output) */
    SPILE_OUTPUT = 2,       /* only written: comes out */
    SPILE_INTERMEDIATE = 3, /* passed from one program to another */
    SPILE_INPUT_OUTPUT = 4, /* given, changed in place, comes out */
} spile_flow;

typedef struct spile_file_info {
    size_t size; /* sizeof(spile_file_info), set by the caller */
    const char *name;
    spile_flow flow;
    spile_kind kind;
    bool is_pattern, is_tree, is_optional;
    bool is_given_optional; /* an input that need not be given (>>{x}) */
} spile_file_info;

typedef struct spile_use_info {
    size_t size;    /* sizeof(spile_use_info), set by the caller */
    size_t program; /* which program */
    size_t file;    /* which file of the plan */
    spile_role role;
    spile_kind kind;
    unsigned flags; /* SPILE_FILE_... */
    int stdio_fd;   /* 0, 1 or 2 where it is tied to one, else -1 */
    ssize_t offset; /* of its mark in the template, or -1 */
    int producer;   /* for a use that reads: the program whose version it sees, or -1: what was given */
} spile_use_info;

typedef struct spile_program_info {
    size_t size;      /* sizeof(spile_program_info), set by the caller */
    const char *text; /* its command as it was written (a vector's words are quoted) */
    const char *name; /* the first word */
    size_t group;     /* programs of one group run at the same time */
    bool is_piped;    /* a bar follows */
} spile_program_info;

SPILE_API size_t spile_plan_program_count(const spile_plan *plan);
SPILE_API size_t spile_plan_file_count(const spile_plan *plan); /* distinct names, in order of appearance */
SPILE_API size_t spile_plan_use_count(const spile_plan *plan);  /* one a file and program, in written order */
SPILE_API size_t spile_plan_value_count(const spile_plan *plan);
SPILE_API int spile_plan_program(const spile_plan *plan, size_t index, spile_program_info *info);
SPILE_API int spile_plan_file(const spile_plan *plan, size_t index, spile_file_info *info);
SPILE_API int spile_plan_use(const spile_plan *plan, size_t index, spile_use_info *info);
/* The name of a value mark; *ret_is_list says whether it is {name...}. NULL past the end. */
SPILE_API const char *spile_plan_value(const spile_plan *plan, size_t index, bool *ret_is_list);
/* The unmarked words of a program that are plain text, for a front end that wants to point out that one names a
 * file. NULL past the end. */
SPILE_API const char *spile_plan_plain_word(const spile_plan *plan, size_t program, size_t index);

/* ------------------------------------------------------------------------------------------------ context */

/* How much of "nothing is left behind" the system allows. */
typedef enum spile_containment {
    SPILE_CONTAINMENT_AUTO = 0,      /* the best there is */
    SPILE_CONTAINMENT_NAMESPACE = 1, /* own process and mount namespace: the kernel ends everything with the cell */
    SPILE_CONTAINMENT_REAPER = 2,    /* a supervisor collects and kills descendants; files in /dev/shm */
    SPILE_CONTAINMENT_NONE = 3,      /* plain children of the host; files in /dev/shm */
} spile_containment;

/* What a call can rely on where the machine grants it. spile_doctor_new tells which hold, and how to get the others. */
typedef enum spile_promise {
    SPILE_PROMISE_CONTAINED = 1u << 0,      /* all processes of a call end with it, whoever is killed (SIGKILL) */
    SPILE_PROMISE_PRIVATE = 1u << 1,        /* its files are in a mount that nobody else sees, and vanish with it */
    SPILE_PROMISE_FILES = 1u << 2,          /* limits.file_bytes holds for all files together, at any moment */
    SPILE_PROMISE_PROGRAM_MEMORY = 1u << 3, /* limits.program_memory_bytes holds for all programs together */
    SPILE_PROMISE_PROCESSES = 1u << 4,      /* limits.processes can be kept */
    SPILE_PROMISE_NO_SWAP = 1u << 5,        /* its files never reach a disk by being swapped out */
    SPILE_PROMISE_STANDSTILL = 1u << 6,     /* programs that wait for what can't come are found and told */
    SPILE_PROMISE_PRIVATE_PATH = 1u << 7,   /* a private directory can be had at a path that is chosen */
    SPILE_PROMISE_LAST = SPILE_PROMISE_PRIVATE_PATH,
} spile_promise;

/* A promise's name, as the command and the reports have it: "contained". Static; NULL: there is no such promise. */
SPILE_API const char *spile_promise_name(spile_promise promise);

typedef struct spile_ctx_options {
    size_t size;                   /* sizeof(spile_ctx_options) */
    spile_containment containment; /* at most this; AUTO falls back, any other does not */
    unsigned idle_cells;           /* cells kept for the next call; 0: one for each processor, at most 8 */
    const char *cell_path;         /* the spile-cell helper; NULL: $SPILE_CELL, then where it was installed */
} spile_ctx_options;

/* The pool of cells in which calls run. Where a function takes a context, NULL means one that the library makes at its
 * first use and keeps. May be used from many threads; must outlive its calls. */
SPILE_API int spile_ctx_new(const spile_ctx_options *options, spile_ctx **ret_ctx);
SPILE_API spile_ctx *spile_ctx_free(spile_ctx *ctx);
/* Starts cells ahead of the first call, without waiting for them: `count` in all. */
SPILE_API int spile_ctx_prepare(spile_ctx *ctx, unsigned count);

/* ------------------------------------------------------------------------------------------------- doctor */

/* What this machine grants to calls in a context, which promises hold, and how to get the others. Making one starts and
 * ends some cells; nothing is left of them. */
typedef struct spile_doctor spile_doctor;

typedef struct spile_finding {
    size_t size;           /* sizeof(spile_finding), set by the caller */
    spile_promise promise; /* that it is about, or 0: something that the machine grants or not */
    const char *name;      /* the promise's, or the thing's: "user_namespaces" */
    bool holds;
    const char *text; /* what is the case, for a person */
    const char *cure; /* how to get it; NULL where it holds, or nothing is known to help */
} spile_finding;

/* `ctx` may be NULL. */
SPILE_API int spile_doctor_new(spile_ctx *ctx, spile_doctor **ret_doctor);
SPILE_API spile_doctor *spile_doctor_free(spile_doctor *doctor);
/* How calls are contained. */
SPILE_API spile_containment spile_doctor_containment(const spile_doctor *doctor);
/* All promises, in the order of their values, then what the machine grants. Strings are the doctor's. */
SPILE_API size_t spile_doctor_count(const spile_doctor *doctor);
SPILE_API int spile_doctor_finding(const spile_doctor *doctor, size_t index, spile_finding *info);

/* --------------------------------------------------------------------------------------------------- loop */

/* A loop drives calls inside another event loop: wait until the fd is readable (it is level-triggered; timers and
 * program exits make it readable too), then step. */
SPILE_API int spile_loop_new(spile_loop **ret_loop);
/* Calls still attached are cancelled first: blocks until they ended; from inside a callback, once the step is over. */
SPILE_API spile_loop *spile_loop_free(spile_loop *loop);
SPILE_API int spile_loop_fd(spile_loop *loop); /* owned by the loop */
/* Does what can be done now, waiting at most `timeout_ns` for something to do (0: not at all; UINT64_MAX: for ever).
 * Returns how many calls are still running. Not from inside a callback (-EBUSY). */
SPILE_API int spile_loop_step(spile_loop *loop, uint64_t timeout_ns);

/* --------------------------------------------------------------------------------------------------- call */

typedef enum spile_event_kind {
    SPILE_EVENT_INPUT_READY = 1, /* name: all of an input is there; bytes */
    SPILE_EVENT_STARTED,         /* program, pid */
    SPILE_EVENT_EXITED,          /* program, status as of waitpid */
    SPILE_EVENT_OUTPUT_READY,    /* program, name, bytes */
    SPILE_EVENT_DELIVERED,       /* name, bytes */
    SPILE_EVENT_KILLED,          /* program: a signal was sent; status is the signal */
    SPILE_EVENT_STREAM, /* program, name: an end was opened (bytes: how often so far) or text: what happened to it */
    SPILE_EVENT_NOTICE, /* text: a promise that can't be kept here, and why */
    SPILE_EVENT_ENDED,  /* text: the outcome */
} spile_event_kind;

typedef struct spile_event {
    size_t size;
    spile_event_kind kind;
    uint64_t time_ns; /* since the call began */
    int program;      /* or -1 */
    const char *name; /* a file's, or NULL */
    const char *text; /* or NULL */
    uint64_t bytes;
    int64_t pid;
    int status;
} spile_event;

/* What a call may use. Reaching one fails the call with an error of its own that has the figures: kind TIMEOUT for the
 * wall time, LIMIT for the others; everything that runs gets TERM, and KILL after the grace. How well one can be kept
 * depends on the machine: spile_doctor_new tells beforehand. A figure that makes no sense is an error of kind USAGE,
 * before anything starts. */
typedef struct spile_limits {
    uint64_t wall_ns;      /* from the start of the call; 0: none */
    uint64_t cpu_ns;       /* of each process of a program, in whole seconds rounded up; 0: none */
    uint64_t file_bytes;   /* all files of the call together, and each window of a stream; 0: half of the machine's
                              memory. Without a mount of the call's own only each single file is limited. */
    uint64_t output_bytes; /* each output and each captured standard stream; 0: none */
    /* Memory of all programs together; 0: none. Where no control group is to be had, the private memory of each process
     * by itself: its allocations fail then, and what is shared is not counted. A group counts files in memory too. */
    uint64_t program_memory_bytes;
    uint64_t processes;  /* of all programs together, threads too; 0: none. An error of kind PROMISE where neither a
                            control group nor a user namespace is to be had to count them. */
    uint64_t open_files; /* descriptors of each process, at least 4; 0: as the host's */
} spile_limits;

typedef struct spile_call_options {
    size_t size; /* sizeof(spile_call_options) */
    spile_limits limits;
    unsigned jobs;          /* programs at a time, a group counting as one; 0: one for each processor */
    bool keep_going;        /* after a failure, still run what does not depend on it */
    bool keep_terminal;     /* programs stay in the host's session and process group */
    const char *const *env; /* as in spile_program_options, for every program */
    int env_mode;
    const char *cwd;             /* for every program that has none of its own */
    spile_stdio standard_output; /* where a program says nothing else */
    spile_stdio standard_error;
    unsigned require; /* SPILE_PROMISE_...: the call fails with an error of kind PROMISE rather than run without them */
    /* Each program sees its private directory at this path and is started there, so that what it writes its path into
     * is the same each time, on every machine. A directory that exists; it is covered, for that program alone. Needs
     * SPILE_PROMISE_PRIVATE_PATH, and cwd not set. */
    const char *private_path;
    uint64_t grace_ns;                                   /* between TERM and KILL; 0: one second */
    void (*trace)(void *user, const spile_event *event); /* told of each event, inside run or step */
    void *trace_user;
} spile_call_options;

/* One run of a plan. Holds a reference to the plan; `ctx` may be NULL. */
SPILE_API int spile_call_new(spile_plan *plan, spile_ctx *ctx, const spile_call_options *options,
                             spile_call **ret_call);
/* A call that still runs is cancelled first: blocks until it ended. Not from a callback while it runs (does nothing);
 * its own spile_done_fn may. */
SPILE_API spile_call *spile_call_free(spile_call *call);

/* What goes in. A name that no template holds becomes an extra file in every program's directory. All return -EINVAL
 * for a name that climbs out ("../x", absolute), -EEXIST where it was given already, -EPERM where a program makes that
 * file. A name that ends in '/' is a tree: only spile_call_input_path takes it. */
typedef void (*spile_free_fn)(void *user, void *data);
/* Borrowed: `data` must stay as it is until the call has ended. */
SPILE_API int spile_call_input_memory(spile_call *call, const char *name, const void *data, size_t size);
/* Copied. */
SPILE_API int spile_call_input_copy(spile_call *call, const char *name, const void *data, size_t size);
/* Given: `free_fn(user, data)` is called once it is no longer needed (also when this function fails). */
SPILE_API int spile_call_input_give(spile_call *call, const char *name, void *data, size_t size, spile_free_fn free_fn,
                                    void *user);
/* Read from `fd` (file, pipe, socket, ...) from where it stands to its end. The descriptor stays the caller's and must
 * stay open until the call has ended; its flags are not touched. */
SPILE_API int spile_call_input_fd(spile_call *call, const char *name, int fd);
/* A file of the host; for a name that ends in '/', a directory with all that is in it. */
SPILE_API int spile_call_input_path(spile_call *call, const char *name, const char *path);
/* `read_fn` is called for up to `size` bytes: it returns how many it wrote, 0 at the end, -EAGAIN when it has none yet
 * (call spile_call_resume when it has), or another negative errno, which ends the call. */
typedef ssize_t (*spile_read_fn)(void *user, void *buffer, size_t size);
SPILE_API int spile_call_input_callback(spile_call *call, const char *name, spile_read_fn read_fn, void *user);
/* Standard input of the program number `program`, from memory that stays the caller's (as spile_call_input_memory). */
SPILE_API int spile_call_stdin_memory(spile_call *call, size_t program, const void *data, size_t size);

/* What comes out. Unless said otherwise, every output of the plan is in the result's memory. A name that no template
 * holds, an intermediate, or a pattern may be asked for too. Delivery begins when the call has succeeded; a call that
 * failed delivers nothing. */
SPILE_API int spile_call_output_memory(spile_call *call, const char *name);
/* Written to `fd`, which stays the caller's; its flags are not touched. */
SPILE_API int spile_call_output_fd(spile_call *call, const char *name, int fd);
enum {
    SPILE_OUTPUT_FORCE = 1u << 0, /* replace a file that is read-only */
};
/* Renamed over the file at `path` (links followed, its mode kept), or written into what exists there and is no regular
 * file. For a pattern or a tree, `path` is the directory under which every match is put, named as it is. */
SPILE_API int spile_call_output_path(spile_call *call, const char *name, const char *path, unsigned flags);
/* `write_fn` is given all bytes in order, then once size 0. It returns 0, -EAGAIN to get the same again after
 * spile_call_resume, or another negative errno, which fails the call. A pattern's matches come one after the other,
 * each with its name. */
typedef int (*spile_write_fn)(void *user, const char *name, const void *data, size_t size);
SPILE_API int spile_call_output_callback(spile_call *call, const char *name, spile_write_fn write_fn, void *user);

/* The value of {name}; the list of {name...}. -ENOENT: no template has it. */
SPILE_API int spile_call_value(spile_call *call, const char *name, const char *text);
SPILE_API int spile_call_values(spile_call *call, const char *name, const char *const *texts, size_t count);

/* Runs the call and blocks until it ended. Returns 0 where it succeeded, and else the negative errno that fits its
 * error (-ECANCELED, -ETIMEDOUT, -ENOENT a missing input or program, -EPROTO a program failed, ...); the result comes
 * either way. Only where the call could not begin (-EINVAL, -EALREADY: it was run before, or what its loop lacks:
 * -ENOMEM, -EMFILE) *ret_result is untouched: set it to NULL before. */
SPILE_API int spile_call_run(spile_call *call, spile_result **ret_result);
/* Starts the call on a loop and returns. `done_fn` is called once from inside a step, when it has ended; it owns
 * `result`. */
typedef void (*spile_done_fn)(void *user, spile_call *call, spile_result *result);
SPILE_API int spile_call_attach(spile_call *call, spile_loop *loop, spile_done_fn done_fn, void *user);
/* Ends the call: TERM, after the grace KILL. From any thread, from a callback, any number of times; asynchronous, safe
 * in a signal handler. */
SPILE_API void spile_call_cancel(spile_call *call);
/* A callback that said -EAGAIN can go on. From any thread. */
SPILE_API void spile_call_resume(spile_call *call);

/* -------------------------------------------------------------------------------------------------- result */

/* A result owns everything it hands out, until it is freed. It outlives its call, plan and context. */
SPILE_API spile_result *spile_result_free(spile_result *result);
/* The first root cause, or NULL where the call succeeded. */
SPILE_API const spile_error *spile_result_error(const spile_result *result);
/* What `spile run` exits with: 0; the first failed program's status, 128 + n by signal n; 123 the call failed though no
 * program did; 124 time-out; 125 bad usage or spile's own error; 126, 127 cannot execute, not found. */
SPILE_API int spile_result_exit_status(const spile_result *result);
SPILE_API spile_containment spile_result_containment(const spile_result *result);
SPILE_API uint64_t spile_result_wall_ns(const spile_result *result);

typedef struct spile_output_info {
    size_t size; /* sizeof(spile_output_info), set by the caller */
    const char *name;
    const void *data; /* NULL only when bytes is 0 or it was delivered elsewhere */
    uint64_t bytes;
    int program;     /* which made it, or -1 */
    bool is_partial; /* its program failed or was killed, or the call failed before all was done */
    unsigned mode;   /* permission bits */
} spile_output_info;

SPILE_API size_t spile_result_output_count(const spile_result *result);
SPILE_API int spile_result_output(const spile_result *result, size_t index, spile_output_info *info);
/* The output of that name: its bytes through ret_data and ret_size. -ENOENT: there is none. */
SPILE_API int spile_result_get(const spile_result *result, const char *name, const void **ret_data, size_t *ret_size);

typedef struct spile_program_result {
    size_t size;             /* sizeof(spile_program_result), set by the caller */
    const char *const *argv; /* as it was started, NULL-terminated; NULL where it never was */
    bool started, ended, accepted;
    int exit_status;             /* or -1 */
    int signal;                  /* that ended it, or 0 */
    uint64_t start_ns, end_ns;   /* since the call began */
    uint64_t user_ns, system_ns; /* CPU time */
    uint64_t max_rss_bytes;
    const char *standard_output; /* what was captured; NUL-terminated */
    size_t standard_output_size;
    const char *standard_error; /* what was captured, or its tail; NUL-terminated */
    size_t standard_error_size;
    bool standard_error_truncated; /* only the tail is here */
} spile_program_result;

/* What went through a stream; of a direct one nothing is known but its name. Times since the call began. */
typedef struct spile_stream_result {
    size_t size; /* sizeof(spile_stream_result), set by the caller */
    const char *name;
    int producer; /* a program, or -1: given */
    bool direct;
    unsigned writer_opens, reader_opens; /* of programs, reopens included */
    uint64_t bytes_in, bytes_out;        /* written; and read, by all readers together */
    uint64_t first_ns, last_ns;          /* when the first and the last byte came out, or 0 */
    uint64_t writer_blocked_ns;          /* time in which the window was full */
    uint64_t reader_blocked_ns;          /* time in which it was empty, with a reader there */
    uint64_t window_bytes;               /* what the window could hold in the end */
    unsigned window_growths;             /* how often it grew, all standing still */
} spile_stream_result;

SPILE_API size_t spile_result_stream_count(const spile_result *result);
SPILE_API int spile_result_stream(const spile_result *result, size_t index, spile_stream_result *info);

SPILE_API size_t spile_result_program_count(const spile_result *result);
SPILE_API int spile_result_program(const spile_result *result, size_t index, spile_program_result *info);

#ifdef __cplusplus
}
#endif

/* Named pipes for processes of your own, and conversations with devices. */
#include "spile_pipe.h"
#include "spile_talk.h"
#endif
