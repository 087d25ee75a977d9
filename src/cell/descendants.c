/* Descendants by a walk over /proc: see descendants.h. A number may be given to a stranger between the walk and the
 * signal, so each process is held by a pidfd and must still have the start time it was found with. */
#include "cell/descendants.h"
#include "base/util.h"

struct process {
    pid_t pid, parent;
    unsigned long long start; /* clock ticks since boot; with the number it is unique */
    bool descends;
};

struct processes {
    struct process *items;
    size_t count, capacity;
};

static int process_read(int proc, pid_t pid, struct process *ret_process) {
    char path[32], line[512];
    snprintf(path, sizeof(path), "%d/stat", pid);
    AUTO_FD fd = sys_openat(proc, path, O_RDONLY, 0);
    ssize_t size = fd < 0 ? fd : sys_read(fd, line, sizeof(line) - 1);
    if (size <= 0)
        return size < 0 ? (int)size : -ESRCH;
    line[size] = '\0';
    const char *rest = strrchr(line, ')'); /* a program's name may hold anything */
    struct process process = {.pid = pid};
    if (!rest || sscanf(rest + 1, " %*c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
                        &process.parent, &process.start) != 2)
        return -EBADMSG;
    *ret_process = process;
    return 0;
}

static void directory_close(DIR **list) {
    if (*list)
        (void)closedir(*list);
}

static int processes_read(int proc, struct processes *processes) {
    int fd = sys_openat(proc, ".", O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0)
        return fd;
    CLEANUP(directory_close) DIR *list = sys_fdopendir(fd);
    if (!list) {
        fd_close(fd);
        return -ENOMEM;
    }
    for (const struct dirent *entry; (entry = readdir(list));) {
        pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
        if (pid <= 0)
            continue;
        int result = ARRAY_RESERVE(processes->items, processes->count, processes->capacity);
        if (result < 0)
            return result;
        if (process_read(proc, pid, &processes->items[processes->count]) >= 0)
            processes->count++;
    }
    return 0;
}

static bool is_parent(const struct processes *processes, pid_t pid) {
    if (pid == getpid())
        return true;
    for (size_t i = 0; i < processes->count; i++)
        if (processes->items[i].pid == pid)
            return processes->items[i].descends;
    return false;
}

static void mark_descendants(struct processes *processes) {
    for (bool again = true; again;) {
        again = false;
        for (size_t i = 0; i < processes->count; i++) {
            struct process *process = &processes->items[i];
            if (!process->descends && is_parent(processes, process->parent))
                process->descends = again = true;
        }
    }
}

static bool signal_exactly(int proc, const struct process *process, int signal) {
    struct process now;
    AUTO_FD pidfd = sys_pidfd_open(process->pid);
    if (pidfd < 0 || process_read(proc, process->pid, &now) < 0 || now.start != process->start)
        return false;
    return sys_pidfd_kill(pidfd, signal) >= 0;
}

int descendants_signal(int signal) {
    struct processes processes = {0};
    AUTO_FD proc = sys_openat(AT_FDCWD, "/proc", O_RDONLY | O_DIRECTORY, 0);
    if (proc < 0)
        return proc;
    int result = processes_read(proc, &processes);
    if (result >= 0) {
        mark_descendants(&processes);
        for (size_t i = 0; i < processes.count; i++)
            if (processes.items[i].descends && signal_exactly(proc, &processes.items[i], signal))
                result++;
    }
    free(processes.items);
    return result;
}
