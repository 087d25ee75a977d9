/* Plain children: see plain.h. Waited for by pidfd only, so that no other child of the host is ever touched. What the
 * host does to all its children (ignores SIGCHLD, waits for any) can take the status away: then that is what is told.
 * States of a proc: deferral set (started or failed is to be told), source added (running), neither (ended).
 */
#include "proc/plain.h"
#include "proc/exec.h"

static void plain_end(struct proc *proc) {
    loop_timer_clear(&proc->deferral);
    loop_fd_remove(&proc->source);
    fd_close(TAKE_FD(proc->pidfd));
    proc->gone(proc);
}

/* The status as of waitpid that a siginfo stands for. */
static int status_of(const siginfo_t *info) {
    if (info->si_code == CLD_EXITED)
        return (info->si_status & 0xff) << 8;
    return (info->si_status & 0x7f) | (info->si_code == CLD_DUMPED ? 0x80 : 0);
}

static void on_exit_seen(struct loop_fd *source, uint32_t events) {
    (void)events;
    struct proc *proc = CONTAINER_OF(source, struct proc, source);
    siginfo_t info = {0};
    struct rusage usage = {0};
    int result = sys_waitid(P_PIDFD, proc->pidfd, &info, WEXITED | WNOHANG | __WALL, &usage);
    if (info.si_pid == 0 && (result >= 0 || result == -EINTR))
        return; /* level-triggered: asked again */
    plain_end(proc);
    if (info.si_pid == 0) {
        proc->failed(proc, PROC_STAGE_STATUS, -result);
        return;
    }
    struct proc_usage told = exec_usage(&usage);
    proc->exited(proc, status_of(&info), &told, true);
}

static void tell_started(struct loop_timer *timer) {
    struct proc *proc = CONTAINER_OF(timer, struct proc, deferral);
    proc->has_started = true;
    proc->started(proc, proc->pid);
}

static void tell_failed(struct loop_timer *timer) {
    struct proc *proc = CONTAINER_OF(timer, struct proc, deferral);
    plain_end(proc);
    proc->failed(proc, proc->stage, proc->error_number);
}

static void plain_kill_and_reap(int pidfd) {
    siginfo_t info;
    (void)sys_pidfd_kill(pidfd, SIGKILL);
    (void)sys_waitid(P_PIDFD, pidfd, &info, WEXITED | __WALL, NULL);
}

int plain_spawn(spile_loop *loop, const struct proc_spec *spec, struct proc *proc) {
    const struct exec_plan plan = {
        .path = spec->path,
        .argv = spec->argv,
        .envp = spec->envp,
        .cwd = spec->cwd,
        .fds = {spec->stdio[0], spec->stdio[1], spec->stdio[2]},
        .fd_count = 3,
        .flags = (spec->flags & (PROC_NEW_SESSION | PROC_CONTROL_TERMINAL)) | EXEC_RESET_SIGNALS | EXEC_NO_CORE,
        .limits = spec->limits,
    };
    AUTO_FD pidfd = -1;
    enum proc_stage stage = PROC_STAGE_START;
    proc->pidfd = -1;
    proc->has_started = false;
    proc->source = (struct loop_fd){0};
    proc->deferral = (struct loop_timer){0};
    int result = exec_start(&plan, &proc->pid, &pidfd, &stage);
    if (result < 0) {
        proc->stage = stage;
        proc->error_number = -result;
        loop_defer(loop, &proc->deferral, tell_failed);
        return 0;
    }
    result = loop_fd_add(loop, &proc->source, pidfd, EPOLLIN, on_exit_seen);
    if (result < 0) {
        plain_kill_and_reap(pidfd);
        return result;
    }
    proc->pidfd = TAKE_FD(pidfd);
    loop_defer(loop, &proc->deferral, tell_started);
    return 0;
}

void plain_signal(struct proc *proc, int signal) {
    if (proc->pidfd < 0)
        return;
    (void)sys_pidfd_kill(proc->pidfd, signal);
    /* Its group too, if it leads one: as long as it is not reaped, the number can be nobody else's. */
    if (proc->pid > 1)
        (void)sys_kill(-(pid_t)proc->pid, signal);
}

void plain_forget(struct proc *proc) {
    fd_close(TAKE_FD(proc->pidfd));
}
