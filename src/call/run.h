/* What the files of a running call share.
 *
 *   call.c     what the caller says before the run, and the blocking and attached ways to run it
 *   run.c      the states of the call, and who starts when
 *   launch.c   the states of its programs: starting one, and what its end means
 *   store.c    the files of the call: which versions there are and in which program's directory they stand
 *   collect.c  what programs left behind: outputs found, inputs found changed
 *   source.c   what comes in:  memory, fd, path, callback -> a file of the store
 *   deliver.c  a file of the store -> memory, fd, path, callback
 *   limit.c    what the call may use, and which limit a program ran into
 *   capture.c  standard output and error of programs
 *   flow.c     what goes through named pipes (flow.h), direct.c those of the kernel, standstill.c when nothing moves
 *   command.c  marks and values -> argv, environment, the file to execute
 *   result.c   what the caller gets
 */
#pragma once

#include "base/bytes.h"
#include "base/forkguard.h"
#include "base/sink.h"
#include "call/plan.h"
#include "cell/cell.h"
#include "stream/stream.h"

/* -------------------------------------------------------------------------------- items: versions of files */

enum source_type { SOURCE_NONE, SOURCE_MEMORY, SOURCE_FD, SOURCE_PATH, SOURCE_CALLBACK };

/* Where the bytes of a given file come from. */
struct source {
    enum source_type type;
    const void *data; /* memory: */
    size_t size;
    spile_free_fn free_fn; /* NULL: borrowed */
    void *user;            /* of free_fn or read_fn */
    int fd;                /* fd: the caller's */
    char *path;            /* path: owned */
    spile_read_fn read_fn;
};

enum item_state {
    ITEM_PENDING, /* its bytes are still coming in */
    ITEM_READY,
};

/* The producer of what was given for one program's standard input: no name, so no program's. */
#define STDIN_PRODUCER(program) (-(int)(program)-2)

enum { PLACE_STORE = -1, PLACE_NOWHERE = -2 };

/* One version of a file: (name, producer). It stands in the directory of one program, or, when several need it, in the
 * store, whence it is linked. */
struct item {
    struct spile_call *call;
    char *name;
    int producer; /* a program, or PLAN_GIVEN */
    enum item_state state;
    bool is_extra;      /* no template names it: every program sees it */
    bool is_stream;     /* goes through a pipe: it stands nowhere */
    bool is_stdin;      /* bytes for one program's standard input; has no name for anyone */
    bool is_executable; /* a program's first word */
    bool is_partial;
    bool is_output; /* comes out of the call */
    int place;      /* a program, PLACE_STORE, PLACE_NOWHERE */
    size_t number;  /* its name in the store */
    size_t readers; /* programs that see it and have not started yet */
    mode_t mode;
    struct stat status; /* as it was when it became ready: tells whether a program changed it */
    uint64_t bytes;
    /* given files only */
    struct source source;
    int input_fd, file_fd; /* while its bytes come in */
    bool input_blocks;     /* reads of input_fd may block: only after an event */
    struct loop_fd watch;
    struct loop_timer turn;
    bool is_waiting; /* for spile_call_resume */
    /* what comes out */
    void *data; /* memory: owned; mapped where data_is_mapped */
    bool data_is_mapped;
};

/* -------------------------------------------------------------------------------- outputs asked for */

enum request_type { REQUEST_MEMORY, REQUEST_FD, REQUEST_PATH, REQUEST_CALLBACK };

struct request {
    char *name; /* plain, pattern or tree */
    enum request_type type;
    int fd;
    char *path;
    unsigned flags;
    spile_write_fn write_fn;
    void *user;
    bool is_met;
};

/* One delivery in progress. */
struct delivery {
    struct item *item;
    const struct request *request;
    char *target;    /* the file that is replaced, links followed */
    char *temporary; /* a named temporary file beside it, where O_TMPFILE is not to be had */
    int file_fd;     /* the item, being read */
    int target_fd;   /* the file that will replace the target */
    struct sink sink;
    uint64_t done_bytes;
    bool is_copied;  /* all bytes are there */
    bool is_special; /* the path is of no regular file: it is written into */
    bool is_waiting; /* a callback: for spile_call_resume */
};

/* -------------------------------------------------------------------------------- standard output and error */

struct capture {
    struct run_program *owner;
    int fd; /* read end, nonblocking; -1: none or at its end */
    struct loop_fd watch;
    struct bytes kept; /* and a NUL behind it, where there is anything */
    size_t limit;
    bool keeps_tail, is_truncated;
    bool is_large; /* the pipe was to be */
    /* where it is passed on as well */
    struct sink sink;
    bool has_sink;
    size_t unsent_size, unsent_start;
    char *unsent;
};

/* -------------------------------------------------------------------------------- programs */

enum program_state {
    PROGRAM_WAITING,  /* for its inputs, or its turn */
    PROGRAM_STARTING, /* asked of the cell */
    PROGRAM_RUNNING,
    PROGRAM_EXITED, /* its verdict is open: it died of SIGPIPE and its consumer still runs */
    PROGRAM_DONE,   /* ended well, its outputs collected */
    PROGRAM_FAILED,
    PROGRAM_SKIPPED, /* never started: something before it failed */
};

struct run_program {
    struct spile_call *call;
    size_t index;
    enum program_state state;
    struct proc proc;
    char *path;  /* the file to execute; found before anything starts, NULL where a mark names it */
    char **argv; /* as started */
    char *label; /* for messages */
    bool has_directory;
    bool is_exited, is_killed; /* by us */
    int status;
    struct proc_usage usage;
    uint64_t start_ns, end_ns;
    unsigned exec_tries;
    struct loop_timer retry;
    struct capture output, error;
};

/* -------------------------------------------------------------------------------- the call */

enum call_state {
    CALL_NEW,
    CALL_LEASING, /* waits for its cell */
    CALL_RUNNING,
    CALL_STOPPING,   /* failed or cancelled: programs are told to end */
    CALL_DELIVERING, /* all ended well: bytes go where they were asked */
    CALL_RELEASING,  /* waits until the cell has nothing of it left */
    CALL_ENDED,
};

struct call_value {
    char *name;
    char **texts;
    size_t count, capacity;
};

struct spile_call {
    spile_plan *plan;
    spile_ctx *ctx;
    spile_call_options options;
    char **env; /* owned copies of what the options point to */
    char *cwd, *private_path;

    enum call_state state;
    spile_loop *loop;
    _Atomic(spile_loop *) wake_loop; /* the same, for other threads; see call_wake */
    _Atomic unsigned wakers;
    _Atomic bool cancel_asked, resume_asked;
    bool is_dead; /* in the child of a fork */
    struct loop_user user;
    struct forkguard_node guard;
    spile_done_fn done_fn;
    void *done_user;

    struct cell *cell;
    struct cell_owner owner;
    struct loop_timer deadline, grace, end;
    uint64_t begin_ns;
    struct timespec begin_time; /* on the clock of files */
    char *host_cwd;             /* NULL: it is gone */
    char *path_buffer;

    struct item **items;
    size_t item_count, item_capacity;
    struct request *requests;
    size_t request_count, request_capacity;
    struct call_value *values;
    size_t value_count, value_capacity;
    struct run_program *programs;
    size_t program_count, running_count, pending_items;
    size_t *group_programs; /* how many of each group run */
    size_t groups_running, first_group;

    struct delivery *deliveries;
    size_t delivery_count;
    bool delivery_waits; /* the end of a stream, told to a callback: for spile_call_resume */
    struct loop_timer delivery_turn;

    struct flow *flows;
    struct stream_room stream_room;
    struct stream_owner stream_owner;
    struct loop_timer look; /* for a standstill */
    uint64_t look_progress, look_step_ns, still_since_ns;
    bool is_looking, was_proved;              /* by the look before */
    char *seems_stuck;                        /* what the last look saw, for the deadline */
    uint32_t memory_kills, processes_refused; /* of which a program's failure has told already */

    spile_error *error; /* the first root cause */
    struct spile_result *result;
};

/* run.c */
int run_start(spile_call *call);
/* Notes the first root cause (owns the error) and stops what runs. */
void run_fail(spile_call *call, spile_error *error);
/* Something became ready: start what can start, or end. */
void run_advance(spile_call *call);
/* Whether a program waits for nothing but to be started. */
bool run_has_ready_group(const spile_call *call);
void run_trace(spile_call *call, spile_event event);
/* A lack of memory or a refusal of the system, said as such. */
spile_error *run_system_error(int result, const char *what, const char *name);

/* launch.c */
void run_set_program_state(struct run_program *program, enum program_state next);
/* Whether a signal ended it or, as a shell says of a command of its own, its status is 128 + that. */
bool run_died_of(const struct run_program *program, int signal);
/* Starts every program of the group, joined by its pipes. */
void run_start_group(spile_call *call, size_t group);

/* limit.c */
/* What makes no sense among the limits; NULL: all does. */
spile_error *limit_check(const spile_call *call);
struct cell_wants limit_wants(const spile_call *call);
/* `host_fd`: of the host, that the program writes to; or -1. */
struct proc_limits limit_of_programs(const spile_call *call, int host_fd);
/* Whether something it started was killed for want of memory, and nobody else is left to tell that. */
bool limit_left_short(const struct run_program *program);
/* Of a program that failed: by which limit, and what to say of it. */
spile_limit limit_verdict(const struct run_program *program, struct text *text);
/* The limits that may be why, where nothing tells. */
void limit_hint(const struct run_program *program, struct text *text);
/* NULL: an output may be so long. */
spile_error *limit_output(const spile_call *call, int program, const char *name, uint64_t bytes);

/* store.c */
struct item *store_add(spile_call *call, const char *name, int producer);
struct item *store_find(const spile_call *call, const char *name, int producer);
/* Path of the item relative to the cell's root, into a buffer of at least PATH_MAX. */
void store_path(const struct item *item, char *buffer);
void store_program_path(size_t program, const char *name, char *buffer);
/* Whether program `program` sees this version. */
bool store_sees(const spile_call *call, size_t program, const struct item *item);
/* Decides where a given file will stand and how many programs see it; makes the directories above it. */
int store_settle(spile_call *call, struct item *item);
/* Gives program `program` its directory with exactly its files. */
int store_furnish(spile_call *call, size_t program, spile_error **ret_error);
/* Copies what is left of a file. */
int store_copy(int out, int in);
int store_make_parents(spile_call *call, char *path);
int store_make_directory(spile_call *call, size_t program);

/* collect.c: after a program ended. `is_accepted`: a missing output or a changed input is an error. */
int collect_program(spile_call *call, size_t program, bool is_accepted, spile_error **ret_error);

/* source.c */
int source_begin(struct item *item);
void source_stop(struct item *item);
void source_done(struct source *source);
/* A callback that had nothing has something now. */
void source_resume(struct item *item);

/* deliver.c */
/* Before anything starts: whether each path can be delivered to. */
int deliver_check(spile_call *call, spile_error **ret_error);
/* Reads into memory, or maps, what is to be handed out in memory. */
int deliver_to_memory(struct item *item);
int deliver_begin(spile_call *call, spile_error **ret_error);
/* Goes on; 1: all is delivered, 0: waits, -errno with an error. */
int deliver_continue(spile_call *call, spile_error **ret_error);
/* Callbacks that had no room have some now. */
void deliver_resume(spile_call *call);
void deliver_done(spile_call *call);
/* The same in pieces, for what arrives while programs run: open, pieces (bytes taken or -EAGAIN), finish; or drop. */
int deliver_open(struct delivery *delivery);
ssize_t deliver_piece(struct delivery *delivery, const void *data, size_t size);
int deliver_finish(struct delivery *delivery);
void deliver_drop(struct delivery *delivery);
const struct request *request_for(const spile_call *call, const char *name);

/* capture.c */
int capture_open(struct capture *capture, struct run_program *owner, bool keeps_tail, size_t limit, int tee_fd,
                 int *ret_write_fd);
/* Takes what is still in the pipe and closes it: nobody will write any more, or nobody who counts. */
void capture_finish(struct capture *capture);
/* What was kept, with a NUL behind it; for bytes_done. */
struct bytes capture_hand_over(struct capture *capture);
void capture_done(struct capture *capture);

/* command.c */
int command_find(spile_call *call, size_t program, spile_error **ret_error);
int command_make(spile_call *call, size_t program, char ***ret_argv, spile_error **ret_error);
int command_environment(spile_call *call, size_t program, char ***ret_env);
/* Absolute working directory of a program; *ret_is_private where it is its own directory. Owned by the caller. */
char *command_directory(const spile_call *call, size_t program, bool *ret_is_private);
void string_list_free(char **list);

/* result.c */
int result_new(spile_call *call, spile_result **ret_result);
/* Moves everything over that the result hands out. */
void result_fill(spile_call *call);
