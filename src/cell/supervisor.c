/* spile-cell: the supervisor of one cell. Starts the programs the host asks for, tells how they end, and sees to it
 * that nothing outlives the host: it ends when the host does (a pidfd) or lets go of it (the socket), and everything in
 * the cell ends with it. As the first process of a process namespace the kernel does that; else it kills its
 * descendants.
 *
 * It must never wait for the host (what can't be sent is kept), nor die of a signal of the terminal it shares with the
 * programs (all are blocked; its programs start with none blocked). It does one thing at a time, in one thread.
 *
 * Started with: spile-cell VERSION auto|namespace|reaper DIRECTORY HOST; 3 is the socket, 4 the host's pidfd.
 */
#include "cell/contain.h"
#include "cell/descendants.h"
#include "cell/ipc.h"
#include "cell/look.h"
#include "cell/means.h"
#include "cell/tree.h"
#include "cell/wire.h"
#include "proc/exec.h"

#include <limits.h>

enum { SOCKET_FD = 3, HOST_FD = 4, HIGH_FD = 10, KILL_AGAIN_MS = 10 };
enum { HELD_MAX = 128 }; /* descriptors; the table of all is the host's soft limit */

enum child_state {
    CHILD_RUNNING,
    CHILD_ENDED,  /* to be told: EXITED */
    CHILD_FAILED, /* to be told: FAILED */
};

struct child {
    struct child *next;
    uint32_t id;
    enum child_state state;
    bool start_is_due; /* STARTED is to be told first */
    pid_t pid;
    int held[2]; /* other ends of its standard output and error, until its end is told */
    enum proc_stage stage;
    int error_number;
    struct wire_exited exited;
};

struct supervisor {
    enum spile_containment containment; /* NAMESPACE or REAPER */
    int epoll, signals, null, root;
    struct mountpoint mountpoint; /* NAMESPACE */
    struct keeper keeper;         /* NAMESPACE */
    struct tree tree;             /* REAPER */
    char notice[1024];
    struct means means; /* of the lease */
    struct child *children;
    int held_count;
    bool is_alone;     /* no child at all: as the parent of all orphans, it would have every other process */
    bool ready_is_due; /* to be told: READY */
    bool ready_has_fds;
    uint32_t ready_id; /* of the request it answers */
    bool is_blocked;   /* the host does not take messages: waiting until it does */
    bool look_is_due;  /* to be told: LOOKED, the last look asked for */
    uint32_t look_id;
    struct cell_look look;
    struct cell_wait waits[WIRE_TEXT_MAX / sizeof(struct cell_wait)];
    char body[WIRE_BODY_MAX + 1];
};

/* ------------------------------------------------------------------------------------------------------- ending */

static void reap(struct supervisor *self);

static void signal_all(struct supervisor *self, int signal) {
    if (self->containment == SPILE_CONTAINMENT_NAMESPACE) {
        (void)sys_kill(-1, signal);
        return;
    }
    if (descendants_signal(signal) > 0)
        return;
    /* None was found, perhaps for want of descriptors: then at least those that we started, with their groups. */
    for (const struct child *child = self->children; child; child = child->next)
        if (child->state == CHILD_RUNNING && sys_kill(-child->pid, signal) < 0)
            (void)sys_kill(child->pid, signal);
}

static void kill_all(struct supervisor *self) {
    for (;;) {
        reap(self);
        if (self->is_alone)
            return;
        signal_all(self, SIGKILL);
        /* For the next end of a child, but not for ever: a walk over descendants misses what is just being forked. */
        struct pollfd watched = {.fd = self->signals, .events = POLLIN};
        struct signalfd_siginfo info;
        (void)poll(&watched, 1, KILL_AGAIN_MS);
        (void)!read(self->signals, &info, sizeof(info));
    }
}

_Noreturn static void finish(struct supervisor *self) {
    bool is_namespace = self->containment == SPILE_CONTAINMENT_NAMESPACE;
    if (!is_namespace ||
        self->means.groups.count > 0) /* the kernel would do it, but a group goes only when it is empty */
        kill_all(self);
    means_done(&self->means);
    if (is_namespace)
        mountpoint_done(&self->mountpoint);
    else
        tree_remove(&self->tree);
    _exit(0);
}

/* ------------------------------------------------------------------------------------------------------ telling */

static void set_blocked(struct supervisor *self, bool blocked) {
    struct epoll_event event = {.events = EPOLLIN | (blocked ? EPOLLOUT : 0), .data.fd = SOCKET_FD};
    if (self->is_blocked == blocked)
        return;
    if (epoll_ctl(self->epoll, EPOLL_CTL_MOD, SOCKET_FD, &event) < 0) /* direct: it needs no memory, so can't fail */
        finish(self);
    self->is_blocked = blocked;
}

/* False: the host does not take it now; it is said again later. */
static bool tell(struct supervisor *self, const struct wire_header *header, const char *body, size_t size,
                 const int *fds, size_t fd_count) {
    int result = wire_send(SOCKET_FD, header, body, size, fds, fd_count, MSG_DONTWAIT);
    if (result >= 0)
        return true;
    if (result != -EAGAIN && result != -ENOBUFS && result != -ENOMEM)
        finish(self);
    set_blocked(self, true);
    return false;
}

static bool tell_child(struct supervisor *self, struct child *child) {
    struct wire_header header = {.id = child->id};
    if (child->start_is_due) {
        header.type = WIRE_STARTED;
        header.started.pid = child->pid;
        if (!tell(self, &header, NULL, 0, NULL, 0))
            return false;
        child->start_is_due = false;
    }
    switch (child->state) {
    case CHILD_RUNNING:
        return true;
    case CHILD_ENDED:
        header.type = WIRE_EXITED;
        header.exited = child->exited;
        header.exited.alone = self->is_alone;
        break;
    case CHILD_FAILED:
        header.type = WIRE_FAILED;
        header.failed.stage = child->stage;
        header.failed.number = child->error_number;
        break;
    }
    return tell(self, &header, NULL, 0, NULL, 0);
}

static bool tell_ready(struct supervisor *self) {
    const char *path = self->containment == SPILE_CONTAINMENT_NAMESPACE ? self->mountpoint.path : self->tree.path;
    char body[WIRE_TEXT_MAX];
    int size = 0;
    if (self->ready_has_fds)
        size = snprintf(body, sizeof(body), "%s%c%s", path, '\0', self->notice) + 1;
    for (size_t i = 0; !self->ready_has_fds && i < self->means.groups.count; i++)
        size += snprintf(body + size, sizeof(body) - (size_t)size, "%s", self->means.groups.items[i].path) + 1;
    struct wire_header header = {.type = WIRE_READY, .id = self->ready_id};
    header.ready.version = WIRE_VERSION;
    header.ready.containment = self->containment;
    header.ready.can_move = self->means.can_move;
    header.ready.means = self->means.kinds;
    if (!self->ready_has_fds)
        return tell(self, &header, body, (size_t)size, NULL, 0);
    AUTO_FD pidfd = sys_pidfd_open(getpid());
    const int fds[3] = {self->root, pidfd, self->keeper.self};
    if (!tell(self, &header, body, (size_t)size, fds, pidfd < 0 ? 1 : self->keeper.self < 0 ? 2 : 3))
        return false;
    fd_close(TAKE_FD(self->keeper.self)); /* once is enough */
    return true;
}

static bool tell_look(struct supervisor *self) {
    const struct cell_look *look = &self->look;
    struct wire_header header = {.type = WIRE_LOOKED, .id = self->look_id};
    header.looked.quiet = look->quiet;
    header.looked.proved = look->proved;
    header.looked.count = (uint32_t)look->count;
    header.looked.total = (uint32_t)look->total;
    return tell(self, &header, (const char *)self->waits, look->count * sizeof(*self->waits), NULL, 0);
}

static void free_child(struct supervisor *self, struct child *child) {
    for (size_t i = 0; i < ARRAY_SIZE(child->held); i++) {
        self->held_count -= child->held[i] >= 0;
        fd_close(child->held[i]);
    }
    free(child);
}

static void tell_all(struct supervisor *self) {
    for (struct child **link = &self->children; *link;) {
        struct child *child = *link;
        if (!tell_child(self, child))
            return;
        if (child->state == CHILD_RUNNING) {
            link = &child->next;
        } else {
            *link = child->next;
            free_child(self, child);
        }
    }
    if (self->ready_is_due && !tell_ready(self))
        return;
    self->ready_is_due = false;
    /* After the ends of programs, which it has not seen. */
    if (self->look_is_due && !tell_look(self))
        return;
    self->look_is_due = false;
    set_blocked(self, false);
}

_Noreturn static void refuse(struct supervisor *self, int number, const char *what, unsigned promise) {
    struct wire_header header = {.type = WIRE_REFUSED};
    header.refused.number = number;
    header.refused.promise = promise;
    (void)wire_send(SOCKET_FD, &header, what, strlen(what) + 1, NULL, 0, MSG_DONTWAIT);
    finish(self);
}

/* ------------------------------------------------------------------------------------------------------ reaping */

/* Takes every child that has ended. wait4 without waiting fails only where there is no child: no fault point. */
static void reap(struct supervisor *self) {
    struct rusage usage;
    int status;
    pid_t pid;
    while ((pid = wait4(-1, &status, WNOHANG | __WALL, &usage)) > 0) {
        for (struct child *child = self->children; child; child = child->next) {
            if (child->pid != pid || child->state != CHILD_RUNNING)
                continue;
            child->state = CHILD_ENDED;
            child->exited = (struct wire_exited){
                .status = status,
                .pid = pid,
                .usage = exec_usage(&usage),
            };
            cgroups_usage(&self->means.groups, &child->exited.usage);
            break;
        }
    }
    self->is_alone = pid < 0 && errno == ECHILD;
}

/* ----------------------------------------------------------------------------------------------------- starting */

static int start_child(struct supervisor *self, struct child *child, struct wire_message *message, char *body) {
    const struct wire_spawn *spawn = &message->header.spawn;
    AUTO_FREE char **strings = wire_unpack(body, spawn);
    if (!strings)
        return -EBADMSG;
    struct exec_plan plan = {
        .path = strings[0],
        .cwd = strings[1],
        .argv = strings + WIRE_BEFORE_ARGV,
        .envp = strings + WIRE_BEFORE_ARGV + spawn->argv_count + 1,
        .fd_count = 3,
        .flags = spawn->flags & (EXEC_NEW_SESSION | EXEC_CONTROL_TERMINAL | EXEC_NEAR),
        .limits = spawn->limits,
        .place = *strings[2] ? strings[2] : NULL,
    };
    means_apply(&self->means, &plan);
    if (self->containment == SPILE_CONTAINMENT_REAPER)
        plan.flags |= EXEC_DIE_WITH_PARENT;
    for (int i = 0; i < 3; i++) {
        if (spawn->stdio[i] >= (int)message->fd_count)
            return -EBADMSG;
        plan.fds[i] = spawn->stdio[i] < 0 ? self->null : message->fds[spawn->stdio[i]];
    }
    int result = exec_start(&plan, &child->pid, NULL, &child->stage);
    for (int i = 0; i < 2 && result >= 0 && self->held_count < HELD_MAX; i++) {
        int place = spawn->stdio[i + 1];
        if (!(spawn->flags & (i == 0 ? PROC_HOLD_OUTPUT : PROC_HOLD_ERROR)) || place < 0 || message->fds[place] < 0)
            continue;
        child->held[i] = TAKE_FD(message->fds[place]);
        self->held_count++;
    }
    return result;
}

/* The same for a body in a memfd, the last descriptor. */
static int start_from_memory(struct supervisor *self, struct child *child, struct wire_message *message) {
    size_t size = message->header.spawn.body_size;
    struct stat status;
    if (message->fd_count == 0)
        return -EBADMSG;
    AUTO_FD memory = TAKE_FD(message->fds[message->fd_count - 1]);
    message->fd_count--;
    int result = sys_fstat(memory, &status);
    if (result < 0)
        return result;
    if (size == 0 || (uint64_t)status.st_size < size)
        return -EBADMSG;
    char *body = sys_mmap(size, PROT_READ, MAP_PRIVATE, memory, 0);
    if (body == MAP_FAILED)
        return -errno;
    result = start_child(self, child, message, body);
    (void)sys_munmap(body, size);
    return result;
}

static void on_spawn(struct supervisor *self, struct wire_message *message) {
    struct child *child = memory_zero(1, sizeof(*child));
    int result;
    if (!child) {
        struct wire_header header = {.type = WIRE_FAILED, .id = message->header.id};
        header.failed.stage = PROC_STAGE_START;
        header.failed.number = ENOMEM;
        /* Said at once, without a place to keep it; a host that does not listen now is given up. */
        if (!tell(self, &header, NULL, 0, NULL, 0))
            finish(self);
        return;
    }
    child->id = message->header.id;
    child->held[0] = child->held[1] = -1;
    child->stage = PROC_STAGE_START;
    child->next = self->children;
    self->children = child;
    if (message->lost_fds)
        result = -EMFILE;
    else if (message->header.spawn.in_memory)
        result = start_from_memory(self, child, message);
    else if (message->header.spawn.body_size != message->body_size)
        result = -EBADMSG;
    else
        result = start_child(self, child, message, message->body);
    child->start_is_due = result >= 0 && !(message->header.spawn.flags & PROC_TELL_LATE);
    child->state = result >= 0 ? CHILD_RUNNING : CHILD_FAILED;
    child->error_number = -result;
    if (result >= 0)
        self->is_alone = false;
    tell_all(self);
}

/* ------------------------------------------------------------------------------------------------------ serving */

/* As if no call had been there. */
static int renew_namespaces(struct supervisor *self) {
    struct mountpoint *mountpoint = &self->mountpoint;
    bool has_objects = mountpoint->has_ipc && ipc_is_used(mountpoint->path, &mountpoint->queues);
    if (!has_objects && mountpoint_wipe(mountpoint, self->root))
        return 0;
    self->root = fd_close(self->root);
    mountpoint_unmount(mountpoint);
    int result = has_objects ? ipc_enter() : 0;
    if (has_objects) {
        fd_close(mountpoint->queues);
        mountpoint->queues = IPC_UNSEEN;
    }
    if (result >= 0)
        result = mountpoint_mount(mountpoint, &self->root);
    self->ready_has_fds = true;
    return result;
}

static void on_reset(struct supervisor *self, uint32_t id) {
    /* Woken by the host we may have taken its processor away: it goes on first, with what the call is waited for. */
    (void)sched_yield();
    if (!self->is_alone)
        kill_all(self);
    means_rest(&self->means);
    int result = 0;
    self->ready_has_fds = false;
    if (self->containment == SPILE_CONTAINMENT_REAPER)
        result = tree_empty(self->tree.fd);
    else
        result = renew_namespaces(self);
    if (result < 0)
        finish(self); /* the host takes another cell */
    self->ready_is_due = true;
    self->ready_id = id;
    tell_all(self);
}

static int watch(struct supervisor *self, int fd) {
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    return sys_epoll_add(self->epoll, fd, &event);
}

static void on_lease(struct supervisor *self, uint32_t id, const struct cell_wants *wants) {
    struct means_refusal refusal = {0};
    if (!means_find(&self->means, wants, &refusal))
        refuse(self, refusal.number, refusal.what, refusal.promise);
    struct cgroups *groups = &self->means.groups;
    int result = 0;
    if (groups->killed >= 0 && !groups->is_watched)
        result = watch(self, groups->killed);
    groups->is_watched = groups->killed >= 0;
    if (result >= 0 && self->containment == SPILE_CONTAINMENT_NAMESPACE && wants->file_bytes)
        result = mountpoint_limit(&self->mountpoint, wants->file_bytes);
    if (result < 0)
        refuse(self, -result, "limiting what programs may use", 0);
    self->ready_is_due = true;
    self->ready_has_fds = false;
    self->ready_id = id;
    tell_all(self);
}

static size_t list_running(const struct supervisor *self, struct look_program *programs) {
    size_t count = 0;
    for (const struct child *child = self->children; child; child = child->next) {
        if (child->state != CHILD_RUNNING)
            continue;
        if (programs)
            programs[count] = (struct look_program){child->id, child->pid};
        count++;
    }
    return count;
}

static void on_look(struct supervisor *self, const struct wire_message *message) {
    size_t count = message->header.look.count;
    if (message->body_size != count * sizeof(struct cell_inode))
        finish(self);
    AUTO_FREE struct look_program *programs = memory_new((list_running(self, NULL) + 1) * sizeof(*programs));
    AUTO_FREE struct cell_inode *inodes = memory_new(message->body_size + 1);
    self->look = (struct cell_look){0};
    if (programs && inodes) {
        memcpy(inodes, message->body, message->body_size);
        const struct look_place place = {
            .containment = self->containment,
            .programs = programs,
            .program_count = list_running(self, programs),
            .root = self->root,
            .path = self->tree.path,
            .inodes = inodes,
            .inode_count = count,
        };
        look_twice(&place, self->waits, ARRAY_SIZE(self->waits), &self->look);
    }
    self->look_is_due = true;
    self->look_id = message->header.id;
    tell_all(self);
}

static void on_message(struct supervisor *self) {
    struct wire_message message;
    int result = wire_receive(SOCKET_FD, self->body, WIRE_BODY_MAX, &message, MSG_DONTWAIT);
    if (result == -EAGAIN)
        return;
    if (result <= 0)
        finish(self);
    switch ((enum wire_type)message.header.type) {
    case WIRE_LEASE:
        on_lease(self, message.header.id, &message.header.lease);
        break;
    case WIRE_SPAWN:
        on_spawn(self, &message);
        break;
    case WIRE_SIGNAL:
        signal_all(self, message.header.signal.signal);
        break;
    case WIRE_LOOK:
        on_look(self, &message);
        break;
    case WIRE_RESET:
        on_reset(self, message.header.id);
        break;
    case WIRE_QUIT:
    case WIRE_READY:
    case WIRE_REFUSED:
    case WIRE_STARTED:
    case WIRE_FAILED:
    case WIRE_EXITED:
    case WIRE_LOOKED:
        finish(self);
    }
    wire_message_done(&message);
}

static void on_child(struct supervisor *self) {
    struct signalfd_siginfo info;
    (void)sys_read(self->signals, &info, sizeof(info)); /* one: CHLD does not queue */
    reap(self);
    tell_all(self);
}

static void serve(struct supervisor *self) {
    struct epoll_event events[4];
    struct cgroups *groups = &self->means.groups;
    ssize_t count = sys_epoll_wait(self->epoll, events, ARRAY_SIZE(events), -1);
    if (count < 0 && count != -EINTR && count != -EAGAIN)
        finish(self);
    for (ssize_t i = 0; i < count; i++) {
        if (events[i].data.fd == HOST_FD || (events[i].events & (EPOLLHUP | EPOLLERR)))
            finish(self);
        if (events[i].data.fd == self->signals)
            on_child(self);
        else if (events[i].data.fd == groups->killed && cgroups_note_shortage(groups))
            signal_all(self, SIGKILL); /* the limit of memory was reached: all or none */
        else if (events[i].events & EPOLLOUT)
            tell_all(self);
        if (events[i].data.fd == SOCKET_FD && (events[i].events & EPOLLIN))
            on_message(self);
    }
}

/* ---------------------------------------------------------------------------------------------------- beginning */

static int open_events(struct supervisor *self) {
    sigset_t children;
    sigemptyset(&children);
    sigaddset(&children, SIGCHLD);
    int result = self->null = sys_dup_cloexec(STDIN_FILENO, HIGH_FD);
    if (result >= 0)
        result = self->signals = sys_signalfd(&children);
    if (result >= 0)
        result = self->epoll = sys_epoll_create();
    if (result >= 0)
        result = watch(self, SOCKET_FD);
    if (result >= 0)
        result = watch(self, HOST_FD);
    if (result >= 0)
        result = watch(self, self->signals);
    return result;
}

static int become_reaper(struct supervisor *self) {
    self->containment = SPILE_CONTAINMENT_REAPER;
    keeper_done(&self->keeper);
    int result = prctl(PR_SET_CHILD_SUBREAPER, 1) < 0 ? -errno : 0;
    if (result >= 0)
        result = tree_make(&self->tree);
    self->root = self->tree.fd;
    return result;
}

static int become_init(struct supervisor *self, const char *directory, struct contain_failure *failure) {
    self->containment = SPILE_CONTAINMENT_NAMESPACE;
    int result = -EPERM;
    keeper_prepare(&self->keeper);
    if (geteuid() == 0)
        result = contain_enter(directory, false, &self->keeper, &self->mountpoint, &self->root, failure);
    if (result < 0) {
        result = contain_enter(directory, true, &self->keeper, &self->mountpoint, &self->root, failure);
        /* Before Linux 5.14 the limit counts all that the user has, in any namespace; root is exempt. */
        self->means.counts_users = geteuid() != 0 && kernel_is_at_least(5, 14);
    }
    return result;
}

static void enter(struct supervisor *self, const char *mode, const char *directory) {
    struct contain_failure failure = {.number = 0};
    int result = -EPERM;
    if (strcmp(mode, "reaper") != 0) {
        result = become_init(self, directory, &failure);
        if (result < 0 && strcmp(mode, "namespace") == 0)
            refuse(self, -result, failure.what, 0);
        if (result < 0)
            snprintf(self->notice, sizeof(self->notice),
                     "programs have no namespaces of their own here (%s: %s): their files lie in memory that all users "
                     "share, without a limit, and killing their supervisor may leave some behind",
                     failure.what, strerror(-result));
    }
    if (result < 0)
        result = become_reaper(self);
    if (result < 0)
        refuse(self, -result, "making a directory in '/dev/shm'", 0);
}

static struct supervisor supervisor = {
    .epoll = -1, .signals = -1, .null = -1, .root = -1, .tree.fd = -1, .keeper.self = -1, .means.groups.killed = -1};

int main(int argc, char **argv) {
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    if (argc != 5 || atoi(argv[1]) != WIRE_VERSION || fcntl(SOCKET_FD, F_SETFD, FD_CLOEXEC) < 0 ||
        fcntl(HOST_FD, F_SETFD, FD_CLOEXEC) < 0) {
        static const char usage[] = "spile-cell: is started by spile, and of no use by itself\n";
        (void)!write(STDERR_FILENO, usage, sizeof(usage) - 1);
        return 125;
    }
    if (chdir("/") < 0)
        refuse(&supervisor, errno, "changing to '/'", 0);
    enter(&supervisor, argv[2], argv[3]);
    supervisor.means.is_namespace = supervisor.containment == SPILE_CONTAINMENT_NAMESPACE;
    supervisor.means.no_swap = supervisor.mountpoint.no_swap;
    supervisor.means.notice = supervisor.notice;
    supervisor.means.groups.notes = supervisor.keeper.notes;
    means_begin(&supervisor.means);
    int result = open_events(&supervisor);
    if (result < 0)
        refuse(&supervisor, -result, "watching the host", 0);
    supervisor.is_alone = supervisor.ready_is_due = supervisor.ready_has_fds = true;
    tell_all(&supervisor);
    for (;;)
        serve(&supervisor);
}
