/* What one thread waits for, by the system call it sleeps in and its arguments.
 *
 * The list is closed: a call that is not in it, or an argument that can't be read or is not understood, proves nothing.
 * Each function notes what the wait is and returns whether only the cell or the host can end it. The thread sleeps, so
 * what is read of its memory stays as it is; that it slept on is checked afterwards, by look.c.
 */
#include "cell/look_task.h"

#include <limits.h>
#include <linux/futex.h>
#include <linux/openat2.h>

enum { POLL_MAX = 4096, CHUNK = 64, EPOLL_INFO_SIZE = 32 * 1024, WAITERS_MAX = 128 };

static bool peek(const struct look_task *task, uint64_t address, void *buffer, size_t size) {
    struct iovec ours = {buffer, size},
                 theirs = {(void *)(uintptr_t)address, size}; // NOLINT(performance-no-int-to-ptr)
    return sys_process_vm_readv(task->tid, &ours, &theirs) == (ssize_t)size;
}

/* -------------------------------------------------------------------------------------------------- read and write */

static bool wait_read(struct look *look, const struct look_task *task, struct cell_wait *wait) {
    wait->kind = CELL_WAIT_READ;
    return look_end_is_ours(look, task, (int)task->arguments[0], wait);
}

static bool wait_write(struct look *look, const struct look_task *task, struct cell_wait *wait) {
    wait->kind = CELL_WAIT_WRITE;
    wait->for_writing = true;
    return look_end_is_ours(look, task, (int)task->arguments[0], wait);
}

/* Memory into a pipe or out of one, as the end says. */
static bool wait_vmsplice(struct look *look, const struct look_task *task, struct cell_wait *wait) {
    bool is_ours = look_end_is_ours(look, task, (int)task->arguments[0], wait);
    wait->kind = wait->for_writing ? CELL_WAIT_WRITE : CELL_WAIT_READ;
    return is_ours;
}

/* Between two descriptors: which of them it waits for is not seen. */
static bool wait_copy(struct look *look, const struct look_task *task, int in, int out, struct cell_wait *wait) {
    wait->kind = CELL_WAIT_READ;
    bool in_is_ours = look_end_is_ours(look, task, in, wait) || look_is_file_of_cell(look, task, in);
    bool is_read = wait->inode != 0;
    bool out_is_ours = look_end_is_ours(look, task, out, wait) || look_is_file_of_cell(look, task, out);
    if (!is_read) {
        wait->kind = CELL_WAIT_WRITE;
        wait->for_writing = true;
    }
    return in_is_ours && out_is_ours;
}

static bool wait_splice(struct look *look, const struct look_task *task, struct cell_wait *wait) {
    return wait_copy(look, task, (int)task->arguments[0], (int)task->arguments[2], wait);
}

static bool wait_tee(struct look *look, const struct look_task *task, struct cell_wait *wait) {
    return wait_copy(look, task, (int)task->arguments[0], (int)task->arguments[1], wait);
}

static bool wait_sendfile(struct look *look, const struct look_task *task, struct cell_wait *wait) {
    return wait_copy(look, task, (int)task->arguments[1], (int)task->arguments[0], wait);
}

/* ------------------------------------------------------------------------------------------------------------ open */

static bool peek_path(const struct look_task *task, uint64_t address, char *path) {
    for (size_t size = 0; size < PATH_MAX;) {
        /* To the end of the page at most: what lies behind may not be there. */
        size_t part = MIN(4096 - ((address + size) & 4095), PATH_MAX - size);
        if (!peek(task, address + size, path + size, part))
            return false;
        if (memchr(path + size, '\0', part))
            return true;
        size += part;
    }
    return false;
}

/* A thread in a mount namespace or root of its own names other files than we do. */
static bool sees_our_files(const struct look *look, const struct look_task *task) {
    char theirs[64], ours[64];
    struct stat their_root = {0}, our_root = {0};
    AUTO_FD root = look_open(look, task, "root", O_PATH | O_DIRECTORY);
    if (root < 0 || look_link(look, task, "ns/mnt", theirs, sizeof(theirs)) < 0)
        return false;
    ssize_t size = sys_readlinkat(look->proc, "self/ns/mnt", ours, sizeof(ours) - 1);
    if (size < 0)
        return false;
    ours[size] = '\0';
    return strcmp(theirs, ours) == 0 && sys_fstat(root, &their_root) >= 0 &&
           sys_fstatat(AT_FDCWD, "/", &our_root, 0) >= 0 && their_root.st_dev == our_root.st_dev &&
           their_root.st_ino == our_root.st_ino;
}

/* Finds a file without opening it. The thread has just walked that path, so it is known without asking a file system.
 * Through /proc a path could lead to files of our own. */
static int open_cached(int directory, const char *path) {
    struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_NO_MAGICLINKS | RESOLVE_CACHED};
    int fd = sys_openat2(directory, path, &how);
    if (fd != -EINVAL)
        return fd;
    how.resolve = RESOLVE_NO_MAGICLINKS; /* Linux before 5.12 */
    return sys_openat2(directory, path, &how);
}

/* The file that the thread's path names. */
static int resolve(const struct look *look, const struct look_task *task, int directory, const char *path) {
    char name[32] = "cwd";
    if (path[0] == '/')
        return open_cached(AT_FDCWD, path);
    if (directory != AT_FDCWD)
        snprintf(name, sizeof(name), "fd/%d", directory);
    AUTO_FD from = look_open(look, task, name, O_PATH | O_DIRECTORY);
    return from < 0 ? from : open_cached(from, path);
}

static bool wait_open_path(struct look *look, const struct look_task *task, int directory, uint64_t address,
                           uint64_t flags, struct cell_wait *wait) {
    char path[PATH_MAX], found[PATH_MAX], link[LOOK_PATH_SIZE];
    struct stat status = {0};
    wait->kind = CELL_WAIT_OPEN;
    wait->for_writing = (flags & O_ACCMODE) == O_WRONLY;
    if (!peek_path(task, address, path) || !sees_our_files(look, task))
        return false;
    AUTO_FD fd = resolve(look, task, directory, path);
    if (fd < 0 || sys_fstat(fd, &status) < 0 || !S_ISFIFO(status.st_mode))
        return false;
    wait->device = status.st_dev;
    wait->inode = status.st_ino;
    snprintf(link, sizeof(link), "self/fd/%d", fd);
    ssize_t size = sys_readlinkat(look->proc, link, found, sizeof(found) - 1);
    if (size < 0)
        return false;
    found[size] = '\0';
    return look_fifo_is_ours(look, &status, found);
}

#ifdef SYS_open
static bool wait_open(struct look *look, const struct look_task *task, struct cell_wait *wait) {
    return wait_open_path(look, task, AT_FDCWD, task->arguments[0], task->arguments[1], wait);
}

static bool wait_creat(struct look *look, const struct look_task *task, struct cell_wait *wait) {
    return wait_open_path(look, task, AT_FDCWD, task->arguments[0], O_WRONLY, wait);
}
#endif

static bool wait_openat(struct look *look, const struct look_task *task, struct cell_wait *wait) {
    return wait_open_path(look, task, (int)task->arguments[0], task->arguments[1], task->arguments[2], wait);
}

static bool wait_openat2(struct look *look, const struct look_task *task, struct cell_wait *wait) {
    uint64_t flags = 0; /* the first member of struct open_how */
    return peek(task, task->arguments[2], &flags, sizeof(flags)) &&
           wait_open_path(look, task, (int)task->arguments[0], task->arguments[1], flags, wait);
}

/* ------------------------------------------------------------------------------------------------------------ poll */

static bool wait_pollfds(struct look *look, const struct look_task *task, struct cell_wait *wait) {
    struct pollfd fds[CHUNK] = {0};
    size_t count = task->arguments[1];
    if (count > POLL_MAX)
        return false;
    bool all_ours = true;
    for (size_t i = 0; i < count; i++) {
        if (i % CHUNK == 0 &&
            !peek(task, task->arguments[0] + i * sizeof(*fds), fds, MIN(count - i, (size_t)CHUNK) * sizeof(*fds)))
            return false;
        if (fds[i % CHUNK].fd >= 0 && !look_polled_is_ours(look, task, fds[i % CHUNK].fd, wait))
            all_ours = false;
    }
    return all_ours;
}

#ifdef SYS_poll
static bool wait_poll(struct look *look, const struct look_task *task, struct cell_wait *wait) {
    wait->kind = CELL_WAIT_POLL;
    bool is_ours = wait_pollfds(look, task, wait);
    return is_ours && (int)task->arguments[2] < 0;
}
#endif

static bool wait_ppoll(struct look *look, const struct look_task *task, struct cell_wait *wait) {
    wait->kind = CELL_WAIT_POLL;
    bool is_ours = wait_pollfds(look, task, wait);
    return is_ours && task->arguments[2] == 0;
}

/* select and pselect6: number, three sets, time-out. */
static bool wait_select(struct look *look, const struct look_task *task, struct cell_wait *wait) {
    enum { BITS = 8 * sizeof(unsigned long) };
    size_t count = task->arguments[0];
    wait->kind = CELL_WAIT_POLL;
    if (count > POLL_MAX)
        return false;
    bool all_ours = true;
    for (size_t set = 1; set <= 3; set++) {
        unsigned long words[POLL_MAX / BITS] = {0};
        if (task->arguments[set] == 0)
            continue;
        if (!peek(task, task->arguments[set], words, (count + BITS - 1) / BITS * sizeof(*words)))
            return false;
        for (size_t fd = 0; fd < count; fd++)
            if (words[fd / BITS] >> (fd % BITS) & 1 && !look_polled_is_ours(look, task, (int)fd, wait))
                all_ours = false;
    }
    return all_ours && task->arguments[4] == 0;
}

/* One line of an epoll's description. The number may name another file by now: then the inodes differ. */
static bool watched_is_ours(struct look *look, const struct look_task *task, const char *line, struct cell_wait *wait) {
    int fd;
    unsigned long long inode;
    char path[32];
    struct stat status = {0};
    const char *place = strstr(line, "ino:");
    if (sscanf(line, " %d", &fd) != 1 || !place || sscanf(place + 4, "%llx", &inode) != 1)
        return false;
    snprintf(path, sizeof(path), "fd/%d", fd);
    AUTO_FD file = look_open(look, task, path, O_PATH);
    return file >= 0 && sys_fstat(file, &status) >= 0 && status.st_ino == inode &&
           look_polled_is_ours(look, task, fd, wait);
}

static bool wait_epoll_fd(struct look *look, const struct look_task *task, struct cell_wait *wait) {
    char path[32];
    wait->kind = CELL_WAIT_POLL;
    snprintf(path, sizeof(path), "fdinfo/%d", (int)task->arguments[0]);
    AUTO_FREE char *info = memory_new(EPOLL_INFO_SIZE);
    if (!info || look_read(look, task, path, info, EPOLL_INFO_SIZE) < 0)
        return false;
    bool all_ours = true;
    for (const char *line = info; (line = strstr(line, "tfd:")); line += 4)
        if (!watched_is_ours(look, task, line + 4, wait))
            all_ours = false;
    return all_ours;
}

static bool wait_epoll(struct look *look, const struct look_task *task, struct cell_wait *wait) {
    bool is_ours = wait_epoll_fd(look, task, wait);
    return is_ours && (int)task->arguments[3] < 0;
}

#ifdef SYS_epoll_pwait2
static bool wait_epoll_pwait2(struct look *look, const struct look_task *task, struct cell_wait *wait) {
    bool is_ours = wait_epoll_fd(look, task, wait);
    return is_ours && task->arguments[3] == 0;
}
#endif

/* -------------------------------------------------------------------------------------------------------- children */

/* Children are in the cell; without one it would not wait. */
static bool wait_child(struct look *look, const struct look_task *task, struct cell_wait *wait) {
    (void)look, (void)task;
    wait->kind = CELL_WAIT_CHILD;
    return true;
}

/* For the program it starts by vfork. */
static bool wait_clone(struct look *look, const struct look_task *task, struct cell_wait *wait) {
    (void)look;
    wait->kind = CELL_WAIT_CHILD;
    return task->arguments[0] & CLONE_VFORK;
}

static bool wait_clone3(struct look *look, const struct look_task *task, struct cell_wait *wait) {
    uint64_t flags = 0; /* the first member of struct clone_args */
    (void)look;
    wait->kind = CELL_WAIT_CHILD;
    return peek(task, task->arguments[0], &flags, sizeof(flags)) && flags & CLONE_VFORK;
}

/* A shell's `wait`: for a signal, when that of a child (and of a user's interrupt) is all it handles, and it has one.
 */
static bool wait_signal(struct look *look, const struct look_task *task, struct cell_wait *wait) {
    const uint64_t child = UINT64_C(1) << (SIGCHLD - 1), interrupt = UINT64_C(1) << (SIGINT - 1);
    if ((task->caught & ~interrupt) != child)
        return false;
    for (size_t i = 0; i < look->tasks.count; i++) {
        if (look->tasks.items[i].parent == task->pid && look_task_is_live(&look->tasks.items[i])) {
            wait->kind = CELL_WAIT_CHILD;
            return true;
        }
    }
    return false;
}

/* ----------------------------------------------------------------------------------------------------------- locks */

/* Memory that can be shared is the cell's only where its file has no name any more. */
static bool lock_is_ours(const struct look *look, const struct look_task *task, uint64_t address) {
    struct look_mapping mapping;
    return look->wants_proof && look_mapping(look, task, address, NULL, &mapping) == 1 &&
           (!mapping.is_shared || mapping.is_deleted);
}

static bool wait_futex(struct look *look, const struct look_task *task, struct cell_wait *wait) {
    wait->kind = CELL_WAIT_LOCK;
    switch ((int)task->arguments[1] & FUTEX_CMD_MASK) {
    case FUTEX_WAIT:
    case FUTEX_WAIT_BITSET:
    case FUTEX_LOCK_PI:
    case FUTEX_LOCK_PI2:
        break;
    default:
        return false;
    }
    if (task->arguments[3] != 0)
        return false;
    return task->arguments[1] & FUTEX_PRIVATE_FLAG || lock_is_ours(look, task, task->arguments[0]);
}

#ifdef SYS_futex_waitv
static bool wait_futex_waitv(struct look *look, const struct look_task *task, struct cell_wait *wait) {
    struct futex_waitv waiters[WAITERS_MAX] = {0};
    size_t count = task->arguments[1];
    wait->kind = CELL_WAIT_LOCK;
    if (task->arguments[3] != 0 || count > WAITERS_MAX ||
        !peek(task, task->arguments[0], waiters, count * sizeof(*waiters)))
        return false;
    for (size_t i = 0; i < count; i++)
        if (!(waiters[i].flags & FUTEX_PRIVATE_FLAG) && !lock_is_ours(look, task, waiters[i].uaddr))
            return false;
    return true;
}
#endif

static bool wait_sleep(struct look *look, const struct look_task *task, struct cell_wait *wait) {
    (void)look, (void)task;
    wait->kind = CELL_WAIT_SLEEP;
    return false;
}

/* -------------------------------------------------------------------------------------------------------- the list */

bool look_wait(struct look *look, const struct look_task *task, struct cell_wait *wait) {
    static const struct {
        long number;
        bool (*function)(struct look *look, const struct look_task *task, struct cell_wait *wait);
    } calls[] = {
        {SYS_read, wait_read},
        {SYS_readv, wait_read},
        {SYS_write, wait_write},
        {SYS_writev, wait_write},
        {SYS_vmsplice, wait_vmsplice},
        {SYS_splice, wait_splice},
        {SYS_tee, wait_tee},
        {SYS_sendfile, wait_sendfile},
        {SYS_openat, wait_openat},
        {SYS_openat2, wait_openat2},
        {SYS_ppoll, wait_ppoll},
        {SYS_pselect6, wait_select},
        {SYS_epoll_pwait, wait_epoll},
        {SYS_wait4, wait_child},
        {SYS_waitid, wait_child},
        {SYS_clone, wait_clone},
        {SYS_clone3, wait_clone3},
        {SYS_rt_sigsuspend, wait_signal},
        {SYS_futex, wait_futex},
        {SYS_nanosleep, wait_sleep},
        {SYS_clock_nanosleep, wait_sleep},
#ifdef SYS_open /* calls that younger machines never had */
        {SYS_open, wait_open},
        {SYS_creat, wait_creat},
#endif
#ifdef SYS_poll
        {SYS_poll, wait_poll},
#endif
#ifdef SYS_select
        {SYS_select, wait_select},
#endif
#ifdef SYS_epoll_wait
        {SYS_epoll_wait, wait_epoll},
#endif
#ifdef SYS_vfork
        {SYS_vfork, wait_child},
#endif
#ifdef SYS_epoll_pwait2 /* and those that older headers don't know */
        {SYS_epoll_pwait2, wait_epoll_pwait2},
#endif
#ifdef SYS_futex_waitv
        {SYS_futex_waitv, wait_futex_waitv},
#endif
    };
    for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
        if (calls[i].number == task->number)
            return calls[i].function(look, task, wait);
    return false;
}
