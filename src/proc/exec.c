/* The child side of a spawn: see exec.h.
 *
 * Between clone and exec only system calls are made: the child shares memory with a parent that stands still, and
 * possibly with other threads that do not. It reports a failure by writing into its parent's frame. Every signal is
 * blocked meanwhile, also those that glibc keeps to itself, because a handler would run in the shared memory.
 *
 * Of a detached start a short-lived process in between is the parent. It never executes anything, so it keeps the exit
 * signal 0: the host gets no SIGCHLD, and a host that waits for all its children does not see it.
 */
#include "proc/exec.h"
#include "base/affinity.h"

#ifdef __has_feature
#if __has_feature(address_sanitizer) && !defined(__SANITIZE_ADDRESS__)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define ASAN_UNPOISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#endif

enum { STACK_SIZE = 16 * 1024, SIGNAL_LAST = 64, MASK_SIZE = SIGNAL_LAST / 8 };

struct child {
    const struct exec_plan *plan;
    char *stack; /* of the program's own start, where a process in between starts it */
    int result;  /* 0 or a negative errno; written by the child */
    enum proc_stage stage;
};

const char *proc_stage_name(enum proc_stage stage) {
    switch (stage) {
    case PROC_STAGE_START:
        return "make a process";
    case PROC_STAGE_STDIO:
        return "set up its standard streams";
    case PROC_STAGE_CWD:
        return "change to its working directory";
    case PROC_STAGE_PLACE:
        return "show it its directory at the private path";
    case PROC_STAGE_LIMIT:
        return "put it under its limits";
    case PROC_STAGE_EXEC:
        return "execute it";
    case PROC_STAGE_STATUS:
        return "learn how it ended";
    }
    return "start it";
}

static void set_mask(const unsigned char *mask, unsigned char *ret_old) {
    (void)syscall(SYS_rt_sigprocmask, SIG_SETMASK, mask, ret_old, (size_t)MASK_SIZE);
}

static void reset_signals(void) {
    /* Exec turns handlers into defaults, not what is ignored; and a signal that is pending when the mask is lifted must
     * find no handler. KILL and STOP are refused, which is fine. In the kernel's form of the structure, too, all zero
     * is the default. */
    static const char action[64];
    for (int signal = 1; signal <= SIGNAL_LAST; signal++)
        (void)syscall(SYS_rt_sigaction, signal, action, NULL, (size_t)MASK_SIZE);
}

/* Without close_range (a kernel or a seccomp profile older than it) everything open is looked up. */
static int close_listed(int first, int keep) {
    _Alignas(struct sys_entry) char buffer[2048];
    int directory = sys_raw_open("/proc/self/fd", O_RDONLY | O_DIRECTORY);
    if (directory < 0)
        return directory;
    for (;;) {
        long size = syscall(SYS_getdents64, directory, buffer, sizeof(buffer));
        if (size <= 0)
            break;
        for (long place = 0; place < size;) {
            const struct sys_entry *entry = (const void *)(buffer + place);
            int fd = 0;
            for (const char *c = entry->name; *c >= '0' && *c <= '9'; c++)
                fd = fd * 10 + (*c - '0');
            /* Marked, not closed: closing would disturb the walk. The directory itself is marked from birth. */
            if (fd >= first && fd != keep)
                (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
            place += entry->size;
        }
    }
    return 0; /* it closes itself at the exec */
}

static int close_rest(const struct exec_plan *plan) {
    unsigned first = (unsigned)plan->fd_count;
    int result = 0;
    if (plan->keep > 0) {
        result = sys_close_range(first, (unsigned)plan->keep - 1, 0u);
        first = (unsigned)plan->keep + 1;
    }
    if (result >= 0)
        result = sys_close_range(first, ~0u, 0u);
    return result >= 0 ? 0 : close_listed((int)plan->fd_count, plan->keep);
}

/* Puts every source out of the way of the targets first, so that none is overwritten before it is used. */
static int place_fds(const struct exec_plan *plan) {
    int sources[EXEC_FD_MAX], null = -1, count = (int)plan->fd_count;
    for (int i = 0; i < count; i++) {
        sources[i] = plan->fds[i];
        if (sources[i] < 0) {
            if (null < 0)
                null = sys_raw_open("/dev/null", O_RDWR);
            if (null < 0)
                return null;
            sources[i] = null;
        }
        if (sources[i] < count && sources[i] != i)
            sources[i] = sys_dup_cloexec(sources[i], count);
        if (sources[i] < 0)
            return sources[i];
    }
    for (int i = 0; i < count; i++) {
        int result = sources[i] == i ? sys_fcntl(i, F_SETFD, 0) : sys_raw_dup(sources[i], i);
        if (result < 0)
            return result;
    }
    return close_rest(plan);
}

/* Never raises what was inherited. `margin`: how much later comes what can't be caught. */
static int limit_one(int resource, uint64_t value, uint64_t margin) {
    struct rlimit limit;
    if (value == 0)
        return 0;
    if (getrlimit(resource, &limit) < 0)
        return -errno;
    limit.rlim_max = MIN(limit.rlim_max, (rlim_t)(value + margin));
    limit.rlim_cur = MIN(limit.rlim_max, (rlim_t)value);
    return sys_setrlimit(resource, &limit);
}

/* While their descriptors are still there. */
static int join_groups(const struct exec_plan *plan) {
    int result = 0;
    for (size_t i = 0; i < plan->group_count && result >= 0; i++)
        result = sys_write_control(plan->groups[i], "0", 1); /* 0 is who writes it */
    return result;
}

static int limit_all(const struct exec_plan *plan) {
    const struct proc_limits *limits = &plan->limits;
    int result = 0;
    /* XCPU first, which says what happened; a program that ignores it is killed a second later. */
    if (result >= 0)
        result = limit_one(RLIMIT_CPU, limits->cpu_seconds, 1);
    if (result >= 0)
        result = limit_one(RLIMIT_DATA, limits->data_bytes, 0);
    if (result >= 0)
        result = limit_one(RLIMIT_NPROC, limits->processes, 0);
    if (result >= 0)
        result = limit_one(RLIMIT_FSIZE, limits->file_bytes, 0);
    if (result >= 0)
        result = limit_one(RLIMIT_NOFILE, limits->open_files, 0);
    if (result >= 0 && plan->flags & EXEC_NO_CORE)
        result = limit_one(RLIMIT_CORE, EXEC_CORE_BYTES, 0);
    return result;
}

/* In mounts of its own, so that other programs may have theirs at the same path. */
static int show_at_place(const struct exec_plan *plan) {
    int result = sys_unshare(CLONE_NEWNS);
    if (result >= 0)
        result = sys_mount(".", plan->place, NULL, MS_BIND, NULL);
    return result < 0 ? result : sys_chdir(plan->place);
}

/* Back to all its processors, still on this one. Exec looks for another one where somebody else is on this one's queue
 * (sched_exec, find_idlest_cpu of kernel/sched), and moving a program that is about to end costs more than it runs.
 * Since Linux 6.12 who has gone to sleep with more than its share used up stays on the queue until it would be its turn
 * ("sched/eevdf: Implement delayed dequeue"): the host and we. Yielding gives them their turn. */
static void choose_processors(const struct exec_plan *plan) {
    enum { OTHERS = 3 };
    if (syscall(SYS_sched_setaffinity, 0, sizeof(*plan->processors), plan->processors) < 0) {
        cpu_set_t all; /* a cpuset has left it none of these */
        affinity_all(&all);
        (void)syscall(SYS_sched_setaffinity, 0, sizeof(all), &all);
    }
    for (int i = 0; i < OTHERS; i++)
        (void)syscall(SYS_sched_yield);
}

/* What never returns in our memory may leave no trace in a sanitizer's books, which are the parent's. */
#define NO_RETURN_SEEN __attribute__((no_sanitize_thread, no_sanitize_address))

NO_RETURN_SEEN _Noreturn static void leave(int status) {
    for (;;)
        (void)syscall(SYS_exit_group, status);
}

NO_RETURN_SEEN static int child_prepare(struct child *child) {
    static const unsigned char no_signals[MASK_SIZE];
    const struct exec_plan *plan = child->plan;
    int result = 0;
    child->stage = PROC_STAGE_START;
    if (plan->flags & EXEC_DIE_WITH_PARENT)
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (plan->flags & EXEC_NEW_SESSION)
        result = sys_setsid();
    if (result < 0)
        return result;
    child->stage = PROC_STAGE_LIMIT;
    if ((result = join_groups(plan)) < 0)
        return result;
    child->stage = PROC_STAGE_STDIO;
    result = place_fds(plan);
    if (result >= 0 && plan->flags & EXEC_CONTROL_TERMINAL)
        result = sys_raw_control(0);
    if (result < 0)
        return result;
    child->stage = PROC_STAGE_CWD;
    if (plan->cwd && (result = sys_chdir(plan->cwd)) < 0)
        return result;
    child->stage = PROC_STAGE_PLACE;
    if (plan->place && (result = show_at_place(plan)) < 0)
        return result;
    child->stage = PROC_STAGE_LIMIT;
    if ((result = limit_all(plan)) < 0)
        return result;
    child->stage = PROC_STAGE_EXEC;
    if (plan->processors)
        choose_processors(plan);
    if (plan->flags & EXEC_RESET_SIGNALS)
        reset_signals();
    set_mask(no_signals, NULL);
    return sys_execve(plan->path, plan->argv, plan->envp);
}

NO_RETURN_SEEN static int child_main(void *argument) {
    struct child *child = argument;
    child->result = child_prepare(child);
    leave(127);
}

NO_RETURN_SEEN static int child_between(void *argument) {
    struct child *child = argument;
    int result = sys_clone(child_main, child->stack, CLONE_VM | CLONE_VFORK | SIGCHLD, child, (int *)NULL);
    if (result < 0) {
        child->stage = PROC_STAGE_START;
        child->result = result;
    }
    leave(0);
}

struct choice {
    cpu_set_t *processors;
    int result;
};

NO_RETURN_SEEN static int child_choose(void *argument) {
    struct choice *choice = argument;
    cpu_set_t own;
    int result = affinity_get(0, &own);
    affinity_all(choice->processors);
    if (result >= 0)
        result = sys_setaffinity(0, choice->processors);
    if (result >= 0)
        result = affinity_get(0, choice->processors);
    if (result >= 0 && CPU_EQUAL(&own, choice->processors))
        affinity_all(choice->processors); /* nobody but the cpuset has narrowed them: they follow it */
    else
        *choice->processors = own;
    choice->result = result;
    leave(0);
}

NO_RETURN_SEEN static int child_leave(void *argument) {
    (void)argument;
    leave(0);
}

/* Takes a child that ended before it executed anything out of the process table. A host that ignores SIGCHLD has none
 * left to be taken. */
static void child_reap(pid_t pid) {
    while (waitpid(pid, NULL, __WALL) < 0 && errno == EINTR)
        ;
}

int exec_start(const struct exec_plan *plan, pid_t *ret_pid, int *ret_pidfd, enum proc_stage *ret_stage) {
    static const unsigned char all_signals[MASK_SIZE] = {255, 255, 255, 255, 255, 255, 255, 255};
    _Alignas(64) char stacks[2][STACK_SIZE];
    unsigned char old_mask[MASK_SIZE];
    bool detached = plan->flags & EXEC_DETACHED;
    struct child child = {.plan = plan, .stack = stacks[1] + STACK_SIZE, .stage = PROC_STAGE_START};
    int pidfd = -1;
    /* Who has a pidfd needs no signal before the exec (which restores it): a failure stays unseen by the host. */
    int flags = CLONE_VM | CLONE_VFORK | (ret_pidfd ? CLONE_PIDFD : detached ? 0 : SIGCHLD);
    set_mask(all_signals, old_mask);
    int result = sys_clone(detached ? child_between : child_main, stacks[0] + STACK_SIZE, flags, &child,
                           ret_pidfd ? &pidfd : NULL);
    pid_t pid = result;
    ASAN_UNPOISON_MEMORY_REGION(stacks, sizeof(stacks)); /* the children's frames never returned */
    if (result >= 0) {
        result = child.result;
        if (detached || result < 0)
            child_reap(pid);
    }
    set_mask(old_mask, NULL);
    if (result < 0) {
        fd_close(pidfd);
        *ret_stage = child.stage;
        return result;
    }
    if (ret_pid && !detached)
        *ret_pid = pid;
    if (ret_pidfd && !detached)
        *ret_pidfd = pidfd;
    return 0;
}

static uint64_t timeval_ns(const struct timeval *time) {
    return (uint64_t)time->tv_sec * NS_PER_SECOND + (uint64_t)time->tv_usec * 1000;
}

struct proc_usage exec_usage(const struct rusage *usage) {
    return (struct proc_usage){
        .user_ns = timeval_ns(&usage->ru_utime),
        .system_ns = timeval_ns(&usage->ru_stime),
        .max_rss_bytes = (uint64_t)usage->ru_maxrss * 1024,
    };
}

/* Runs it in a process of its own, with our memory, that leaves. */
static int run_child(int (*function)(void *argument), int flags, void *argument) {
    static const unsigned char all_signals[MASK_SIZE] = {255, 255, 255, 255, 255, 255, 255, 255};
    _Alignas(64) char stack[STACK_SIZE];
    unsigned char old_mask[MASK_SIZE];
    set_mask(all_signals, old_mask);
    /* Without an exit signal the host does not see it. */
    int result = sys_clone(function, stack + STACK_SIZE, CLONE_VM | CLONE_VFORK | flags, argument, (int *)NULL);
    ASAN_UNPOISON_MEMORY_REGION(stack, sizeof(stack));
    if (result >= 0)
        child_reap(result);
    set_mask(old_mask, NULL);
    return result < 0 ? result : 0;
}

int exec_probe(int flags) {
    return run_child(child_leave, flags, NULL);
}

int exec_processors(cpu_set_t *ret_processors) {
    cpu_set_t processors;
    struct choice choice = {&processors, -EPERM};
    /* Before Linux 5.16 ("coredump: Limit coredumps to a single thread group") all who share the memory of one that is
     * dumped are killed with it. */
    bool is_dumpable = prctl(PR_GET_DUMPABLE) == 1 && prctl(PR_SET_DUMPABLE, 0) == 0;
    int result = run_child(child_choose, 0, &choice);
    if (is_dumpable)
        (void)prctl(PR_SET_DUMPABLE, 1);
    if (result >= 0)
        result = choice.result;
    if (result >= 0)
        *ret_processors = processors;
    return result;
}
