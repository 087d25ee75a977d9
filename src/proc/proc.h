/* One program as a process: what to start, and what is told of it. Two back ends start it: the supervisor of a cell,
 * and plain vfork. */
#pragma once

#include "base/loop.h"

enum {
    PROC_NEW_SESSION = 1u << 0,      /* setsid: no controlling terminal, own process group */
    PROC_CONTROL_TERMINAL = 1u << 6, /* with that: its standard input becomes its controlling terminal */
    /* What spares the host from being woken; a back end may ignore it: */
    PROC_TELL_LATE = 1u << 8,   /* the start may be told with the end */
    PROC_HOLD_OUTPUT = 1u << 9, /* stdio[1] and stdio[2] are pipes that may hang up only once the end was told */
    PROC_HOLD_ERROR = 1u << 10,
    PROC_NEAR = 1u << 11, /* nothing of the host's runs meanwhile: it may begin on the host's processor */
};

/* Rlimits of a program, which its processes inherit, each for itself; 0: as inherited. */
struct proc_limits {
    uint64_t cpu_seconds;
    uint64_t data_bytes; /* private memory that can be written */
    uint64_t processes;  /* of the user, in the user namespace */
    uint64_t open_files;
    uint64_t file_bytes; /* of one file */
};

struct proc_spec {
    const char *path;  /* absolute, or relative to `cwd`; not searched for */
    char *const *argv; /* NULL-terminated, never empty */
    char *const *envp;
    const char *cwd; /* absolute */
    int stdio[3];    /* -1: /dev/null */
    unsigned flags;
    struct proc_limits limits;
    /* Where it sees `cwd`, and starts: a directory that exists, covered for this program alone; NULL: nowhere else.
     * Only in SPILE_CONTAINMENT_NAMESPACE. */
    const char *place;
};

/* Where a start failed. PROC_STAGE_STATUS: the program ran, and the host itself (it ignores SIGCHLD, or waits for every
 * child) took away how it ended; only in SPILE_CONTAINMENT_NONE. */
enum proc_stage {
    PROC_STAGE_START,
    PROC_STAGE_STDIO,
    PROC_STAGE_CWD,
    PROC_STAGE_PLACE,
    PROC_STAGE_LIMIT,
    PROC_STAGE_EXEC,
    PROC_STAGE_STATUS,
};
const char *proc_stage_name(enum proc_stage stage); /* "change to its working directory", ... */

struct proc_usage {
    uint64_t user_ns, system_ns, max_rss_bytes;
    /* Of all that ran in the lease so far, where the kernel counts it (WANTS_BY_GROUP); else 0. */
    uint64_t memory_peak_bytes;
    uint32_t memory_kills;      /* processes that were killed for want of memory */
    uint32_t processes_refused; /* how often there was one too many */
};

struct proc {
    void (*started)(struct proc *proc, int64_t pid); /* pid as the program sees it */
    void (*failed)(struct proc *proc, enum proc_stage stage, int error_number);
    /* `status` as of waitpid. `alone`: no other process of the cell is alive. */
    void (*exited)(struct proc *proc, int status, const struct proc_usage *usage, bool alone);
    /* the back end's own */
    struct proc *next;
    struct cell *cell;
    uint32_t id;
    bool has_started, is_told_late;
    void (*gone)(struct proc *proc); /* told right before `failed` or `exited` */
    /* of plain vfork */
    pid_t pid;
    int pidfd;
    enum proc_stage stage;
    int error_number;
    struct loop_fd source;
    struct loop_timer deferral;
};
