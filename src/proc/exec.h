/* Starting one process from a program of any size: the child side of a spawn, shared by the supervisor, the plain back
 * end and the start of the helper. Never fork: the child runs in the parent's memory until it has executed. */
#pragma once

#include "proc/proc.h"

enum { EXEC_FD_MAX = 5, EXEC_GROUP_MAX = 2 };

enum {
    EXEC_NEW_SESSION = PROC_NEW_SESSION,
    EXEC_CONTROL_TERMINAL = PROC_CONTROL_TERMINAL,
    EXEC_RESET_SIGNALS = 1u << 1,   /* all dispositions become default: the parent has handlers or ignores some */
    EXEC_DIE_WITH_PARENT = 1u << 2, /* killed when the starting thread ends */
    EXEC_NO_CORE = 1u << 4,         /* no core dump: a supervisor has its programs inherit that */
    EXEC_NEAR = PROC_NEAR,
    EXEC_DETACHED = 1u << 3, /* not our child: its parent is gone before this returns, nothing is to be reaped */
};

struct exec_plan {
    const char *path;
    char *const *argv, *const *envp;
    const char *cwd; /* NULL: stays */
    /* fds[i] becomes descriptor i (-1: /dev/null); every other one is closed but `keep` (0: none). */
    int fds[EXEC_FD_MAX];
    size_t fd_count;
    int keep;
    unsigned flags; /* EXEC_... */
    struct proc_limits limits;
    const char *place;           /* as in proc_spec */
    const cpu_set_t *processors; /* of EXEC_NEAR: where it may run; NULL: as inherited */
    int groups[EXEC_GROUP_MAX];  /* open cgroup.procs that it puts itself into */
    size_t group_count;
};

/* The processors that a program started by the calling thread may have, for exec_plan; -errno where a process may not
 * choose. A process is sent to try: a seccomp filter may kill who asks. */
int exec_processors(cpu_set_t *ret_processors);
/* 0 where a process can be made with these flags (CLONE_NEW...), else -errno. */
int exec_probe(int flags);
/* The size that leaves no core dump: less than any, and the one with which a program that the kernel would hand it to
 * is not asked either. */
enum { EXEC_CORE_BYTES = 1 };

/* Returns once the program is executing, or -errno with the stage that failed (then nothing is left to be reaped).
 * `ret_pid` and `ret_pidfd` may be NULL; neither is set for EXEC_DETACHED. */
int exec_start(const struct exec_plan *plan, pid_t *ret_pid, int *ret_pidfd, enum proc_stage *ret_stage);
struct rusage;
/* What the kernel counted of a process that has ended. */
struct proc_usage exec_usage(const struct rusage *usage);
