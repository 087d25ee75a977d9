/* Whose the pipes are that threads wait for: the host's, the cell's own, or those of the world outside.
 *
 * A named pipe among the files of the cell is the cell's own. An anonymous one is where its other end is held by a
 * process of the cell; else that end leads outside. What is held is collected at the first question only.
 */
#include "cell/look_task.h"

#include <limits.h>
#include <sys/sysmacros.h>

enum { TARGET_SIZE = PATH_MAX };

static bool may_go_on(const struct look *look) {
    return look->fd_count < LOOK_FD_MAX;
}

/* ---------------------------------------------------------------------------------------------- what the cell holds */

static bool is_pipe_target(const char *target, uint64_t *ret_inode) {
    unsigned long long inode;
    if (sscanf(target, "pipe:[%llu]", &inode) != 1)
        return false;
    *ret_inode = inode;
    return true;
}

/* Notes one descriptor. False: it can't be seen, or moves bytes by itself. */
static bool note_fd(struct look *look, int directory, const char *name) {
    char target[64];
    struct stat link = {0};
    struct look_end end;
    ssize_t size = sys_readlinkat(directory, name, target, sizeof(target) - 1);
    if (size < 0)
        return false;
    target[size] = '\0';
    if (strstr(target, "[io_uring]"))
        return false;
    if (!is_pipe_target(target, &end.inode))
        return true;
    /* The link's own permissions tell how it is open. */
    if (sys_fstatat(directory, name, &link, AT_SYMLINK_NOFOLLOW) < 0 ||
        ARRAY_RESERVE(look->ends, look->end_count, look->end_capacity) < 0)
        return false;
    end.can_read = link.st_mode & S_IRUSR;
    end.can_write = link.st_mode & S_IWUSR;
    look->ends[look->end_count++] = end;
    return true;
}

static bool note_fds(struct look *look, const struct look_task *task) {
    char path[LOOK_PATH_SIZE];
    snprintf(path, sizeof(path), "%d/task/%d/fd", (int)task->pid, (int)task->tid);
    AUTO_DIRECTORY list = look_directory(look->proc, path);
    if (!list)
        return false;
    for (const struct dirent *entry; (entry = readdir(list)) && may_go_on(look);) {
        if (entry->d_name[0] == '.')
            continue;
        look->fd_count++;
        if (!note_fd(look, dirfd(list), entry->d_name))
            return false;
    }
    return may_go_on(look);
}

static void collect_ends(struct look *look) {
    const struct look_task *previous = NULL;
    look->has_ends = look->has_all_ends = true;
    for (size_t i = 0; i < look->tasks.count && look->has_all_ends; i++) {
        const struct look_task *task = &look->tasks.items[i];
        if (!look_task_is_live(task))
            continue;
        /* The threads of a process share their descriptors. */
        if (!previous || previous->pid != task->pid)
            look->has_all_ends = note_fds(look, task);
        previous = task;
    }
}

bool look_ends_are_known(struct look *look) {
    if (!look->has_ends)
        collect_ends(look);
    return look->has_all_ends;
}

static bool is_held_inside(struct look *look, uint64_t inode, bool for_writing) {
    if (!look->wants_proof || !look_ends_are_known(look))
        return false;
    for (size_t i = 0; i < look->end_count; i++)
        if (look->ends[i].inode == inode && (for_writing ? look->ends[i].can_write : look->ends[i].can_read))
            return true;
    return false;
}

/* ------------------------------------------------------------------------------------------------------- one of them
 */

static const struct cell_inode *find_known(const struct look *look, uint64_t device, uint64_t inode) {
    for (size_t i = 0; i < look->place->inode_count; i++)
        if (look->place->inodes[i].device == device && look->place->inodes[i].inode == inode)
            return &look->place->inodes[i];
    return NULL;
}

static bool is_in_cell(const struct look *look, uint64_t device, const char *path) {
    return device == look->root_device &&
           (look->place->containment == SPILE_CONTAINMENT_NAMESPACE || look_is_below(path, look->place->path));
}

bool look_fifo_is_ours(const struct look *look, const struct stat *status, const char *path) {
    const struct cell_inode *known = find_known(look, status->st_dev, status->st_ino);
    return known ? !known->is_foreign : is_in_cell(look, status->st_dev, path);
}

struct found_fd {
    mode_t mode;
    uint64_t device, inode;
    char target[TARGET_SIZE];
    bool can_read, can_write;
};

static bool find_fd(const struct look *look, const struct look_task *task, int fd, struct found_fd *ret_found) {
    char name[32];
    struct statx status = {0};
    struct stat link = {0};
    snprintf(name, sizeof(name), "%d", fd);
    AUTO_FD directory = look_open(look, task, "fd", O_RDONLY | O_DIRECTORY);
    if (directory < 0 || sys_statx_cached(directory, name, 0, &status) < 0 ||
        sys_fstatat(directory, name, &link, AT_SYMLINK_NOFOLLOW) < 0)
        return false;
    ret_found->mode = status.stx_mode;
    ret_found->device = makedev(status.stx_dev_major, status.stx_dev_minor);
    ret_found->inode = status.stx_ino;
    ssize_t size = sys_readlinkat(directory, name, ret_found->target, sizeof(ret_found->target) - 1);
    if (size < 0)
        return false;
    ret_found->target[size] = '\0';
    ret_found->can_read = link.st_mode & S_IRUSR;
    ret_found->can_write = link.st_mode & S_IWUSR;
    return true;
}

static bool found_is_ours(struct look *look, const struct found_fd *found, struct cell_wait *wait) {
    uint64_t inode;
    if (!S_ISFIFO(found->mode))
        return false;
    /* One open both ways is used as the call says. */
    bool for_writing = found->can_write && (!found->can_read || wait->kind == CELL_WAIT_WRITE);
    if (wait->inode == 0) {
        wait->device = found->device;
        wait->inode = found->inode;
        wait->for_writing = for_writing;
    }
    const struct cell_inode *known = find_known(look, found->device, found->inode);
    if (known)
        return !known->is_foreign;
    if (is_pipe_target(found->target, &inode))
        return is_held_inside(look, inode, !for_writing);
    return is_in_cell(look, found->device, found->target);
}

bool look_end_is_ours(struct look *look, const struct look_task *task, int fd, struct cell_wait *wait) {
    struct found_fd found;
    return find_fd(look, task, fd, &found) && found_is_ours(look, &found, wait);
}

bool look_polled_is_ours(struct look *look, const struct look_task *task, int fd, struct cell_wait *wait) {
    struct found_fd found;
    if (!find_fd(look, task, fd, &found))
        return false;
    if (strcmp(found.target, "anon_inode:[eventfd]") == 0)
        return look->uses_eventfd = true;
    return found_is_ours(look, &found, wait);
}

bool look_is_file_of_cell(const struct look *look, const struct look_task *task, int fd) {
    struct found_fd found;
    return find_fd(look, task, fd, &found) && S_ISREG(found.mode) && found.device == look->root_device;
}

/* --------------------------------------------------------------------------------------------------------- mappings */

/* Takes one line of /proc/PID/maps. */
static bool mapping_matches(const char *line, uint64_t address, const char *name, struct look_mapping *ret_mapping) {
    unsigned long long begin, end;
    char permissions[8];
    if (sscanf(line, "%llx-%llx %7s", &begin, &end, permissions) != 3)
        return false;
    if (address ? address < begin || address >= end : !strstr(line, name))
        return false;
    ret_mapping->is_shared = permissions[3] == 's';
    ret_mapping->is_deleted = strstr(line, " (deleted)") != NULL;
    return true;
}

int look_mapping(const struct look *look, const struct look_task *task, uint64_t address, const char *name,
                 struct look_mapping *ret_mapping) {
    char buffer[PATH_MAX + 256]; /* a line, and what came with it of the next */
    size_t have = 0;
    AUTO_FD fd = look_open(look, task, "maps", O_RDONLY);
    if (fd < 0)
        return fd;
    for (;;) {
        ssize_t count = sys_read(fd, buffer + have, sizeof(buffer) - have - 1);
        if (count == -EINTR)
            continue;
        if (count <= 0)
            return (int)count;
        have += (size_t)count;
        buffer[have] = '\0';
        char *line = buffer;
        for (char *end; (end = strchr(line, '\n')); line = end + 1) {
            *end = '\0';
            if (mapping_matches(line, address, name, ret_mapping))
                return 1;
        }
        have = (size_t)(buffer + have - line);
        if (have + 1 >= sizeof(buffer))
            return -EFBIG;
        memmove(buffer, line, have);
    }
}

/* -------------------------------------------------------------------------------------------------------- strangers */

static bool holds_known(const struct look *look, const struct cell_wait *waits, size_t count, const char *target) {
    uint64_t inode;
    if (!is_pipe_target(target, &inode))
        return look_is_below(target, look->place->path);
    for (size_t i = 0; i < count; i++)
        if (waits[i].inode == inode)
            return true;
    for (size_t i = 0; i < look->place->inode_count; i++)
        if (look->place->inodes[i].inode == inode && !look->place->inodes[i].is_foreign)
            return true;
    return false;
}

/* One that may not be looked at is no orphan of ours, nor one that is gone. */
static bool is_none_of_ours(ssize_t result) {
    return result == -EACCES || result == -EPERM || result == -ENOENT || result == -ESRCH;
}

static bool is_stranger(const struct look *look, pid_t pid, const struct cell_wait *waits, size_t count) {
    char path[LOOK_PATH_SIZE], target[TARGET_SIZE];
    snprintf(path, sizeof(path), "%d/cwd", (int)pid);
    ssize_t size = sys_readlinkat(look->proc, path, target, sizeof(target) - 1);
    if (size < 0)
        return !is_none_of_ours(size);
    target[size] = '\0';
    if (look_is_below(target, look->place->path))
        return true;
    snprintf(path, sizeof(path), "%d/fd", (int)pid);
    AUTO_FD fds = sys_openat(look->proc, path, O_RDONLY | O_DIRECTORY, 0);
    if (fds < 0)
        return !is_none_of_ours(fds);
    AUTO_DIRECTORY list = look_directory(fds, ".");
    if (!list)
        return true;
    for (const struct dirent *entry; (entry = readdir(list));) {
        if (entry->d_name[0] == '.')
            continue;
        size = sys_readlinkat(dirfd(list), entry->d_name, target, sizeof(target) - 1);
        target[MAX(size, 0)] = '\0';
        if (size < 0 ? !is_none_of_ours(size) : holds_known(look, waits, count, target))
            return true;
    }
    return false;
}

static bool is_seen(const struct look *look, pid_t pid) {
    for (size_t i = 0; i < look->tasks.count; i++)
        if (look->tasks.items[i].pid == pid)
            return true;
    return false;
}

bool look_has_strangers(const struct look *look, const struct cell_wait *waits, size_t count) {
    if (look->place->containment != SPILE_CONTAINMENT_NONE)
        return false;
    AUTO_DIRECTORY list = look_directory(look->proc, ".");
    if (!list)
        return true;
    for (const struct dirent *entry; (entry = readdir(list));) {
        pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
        if (pid > 0 && pid != getpid() && !is_seen(look, pid) && is_stranger(look, pid, waits, count))
            return true;
    }
    return false;
}
