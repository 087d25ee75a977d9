/* Entering namespaces: see contain.h. Root needs no user namespace; a user is mapped onto itself, so that files and
 * programs show the same owner as outside. The attempt is made in a new process, because half of it can't be undone.
 */
#include "cell/contain.h"
#include "cell/ipc.h"
#include "cell/tree.h"

#include <sys/xattr.h>

/* What may be left in a file system that is used again: files to delete, and memory of results that somebody holds. */
enum { WIPE_FILES_MAX = 256, WIPE_MEMORY_PART = 64 };

static int refuse(struct contain_failure *failure, int number, const char *what) {
    failure->number = number;
    snprintf(failure->what, sizeof(failure->what), "%s", what);
    return number;
}

static int write_file(const char *path, const char *text) {
    AUTO_FD fd = sys_openat(AT_FDCWD, path, O_WRONLY, 0);
    return fd < 0 ? fd : fd_write_all(fd, text, strlen(text));
}

static int map_identity(uid_t user, gid_t group) {
    char line[64];
    (void)write_file("/proc/self/setgroups", "deny"); /* unknown before Linux 3.19, and then not asked for */
    snprintf(line, sizeof(line), "%u %u 1\n", user, user);
    int result = write_file("/proc/self/uid_map", line);
    snprintf(line, sizeof(line), "%u %u 1\n", group, group);
    return result < 0 ? result : write_file("/proc/self/gid_map", line);
}

/* Finds where to mount. Inside another cell the directory holds that cell's files, which its programs still need. */
static int mountpoint_find(const char *directory, struct mountpoint *mountpoint) {
    struct stat inside, above;
    char path[PATH_MAX];
    if (snprintf(path, sizeof(path), "%s/..", directory) >= (int)sizeof(path))
        return -ENAMETOOLONG;
    int result = sys_fstatat(AT_FDCWD, directory, &inside, 0);
    if (result >= 0)
        result = sys_fstatat(AT_FDCWD, path, &above, 0);
    if (result < 0)
        return result;
    *mountpoint = (struct mountpoint){.queues = IPC_UNSEEN, .is_ours = inside.st_dev != above.st_dev};
    const char *suffix = mountpoint->is_ours ? "/.spile-XXXXXX" : "";
    if (snprintf(path, sizeof(path), "%s%s", directory, suffix) >= (int)sizeof(path))
        return -ENAMETOOLONG;
    if (mountpoint->is_ours)
        result = sys_mkdtemp(path);
    memcpy(mountpoint->path, path, sizeof(path));
    if (result < 0)
        mountpoint->is_ours = false;
    return result < 0 ? result : 0;
}

int mountpoint_mount(struct mountpoint *mountpoint, int *ret_root) {
    /* The best first. noswap: Linux 6.4, which those before write into their log, and only for root outside; huge
     * pages: not every kernel has them. */
    static const char *const options[] = {"mode=0700,huge=within_size,noswap", "mode=0700,noswap",
                                          "mode=0700,huge=within_size", "mode=0700"};
    int result = -EINVAL;
    if (mountpoint->options < 2 && !kernel_is_at_least(6, 4))
        mountpoint->options = 2;
    for (; mountpoint->options < ARRAY_SIZE(options); mountpoint->options++) {
        result = sys_mount("spile", mountpoint->path, "tmpfs", MS_NOSUID | MS_NODEV, options[mountpoint->options]);
        if (result >= 0 || mountpoint->options == ARRAY_SIZE(options) - 1)
            break; /* what it took once it takes again, so it is not asked for the others any more */
    }
    if (result < 0)
        return result;
    mountpoint->no_swap = mountpoint->options < 2;
    mountpoint->is_mounted = true;
    mountpoint->is_limited = false;
    AUTO_FD root = sys_openat(AT_FDCWD, mountpoint->path, O_RDONLY | O_DIRECTORY, 0);
    result = root < 0 ? root : sys_statx(root, "", AT_EMPTY_PATH, &mountpoint->root);
    if (result >= 0)
        result = sys_fstatfs(root, &mountpoint->system);
    if (result < 0)
        return result;
    *ret_root = TAKE_FD(root);
    return 0;
}

/* A program may have changed it, one of root's mounted over it. */
static bool is_as_mounted(const struct mountpoint *mountpoint) {
    const struct statx *was = &mountpoint->root;
    struct statx now;
    return sys_statx(AT_FDCWD, mountpoint->path, AT_SYMLINK_NOFOLLOW, &now) >= 0 &&
           now.stx_dev_major == was->stx_dev_major && now.stx_dev_minor == was->stx_dev_minor &&
           now.stx_ino == was->stx_ino && now.stx_mode == was->stx_mode && now.stx_uid == was->stx_uid &&
           now.stx_gid == was->stx_gid && now.stx_attributes == was->stx_attributes;
}

bool mountpoint_wipe(const struct mountpoint *mountpoint, int root) {
    const struct statfs *was = &mountpoint->system;
    struct statfs now;
    if (mountpoint->is_limited || sys_fstatfs(root, &now) < 0 || now.f_flags != was->f_flags ||
        now.f_blocks != was->f_blocks || now.f_files != was->f_files)
        return false;
    return now.f_files - now.f_ffree <= WIPE_FILES_MAX &&
           now.f_blocks - now.f_bfree <= now.f_blocks / WIPE_MEMORY_PART && tree_empty(root) >= 0 &&
           is_as_mounted(mountpoint) && sys_flistxattr(root, NULL, 0) == 0;
}

int mountpoint_limit(struct mountpoint *mountpoint, uint64_t bytes) {
    char option[40];
    mountpoint->is_limited = true;
    snprintf(option, sizeof(option), "size=%llu", (unsigned long long)bytes);
    return sys_mount(NULL, mountpoint->path, NULL, MS_REMOUNT | MS_NOSUID | MS_NODEV, option);
}

void mountpoint_unmount(struct mountpoint *mountpoint) {
    while (mountpoint->is_mounted && sys_umount(mountpoint->path) >= 0)
        ; /* what a program mounted over it, too */
    mountpoint->is_mounted = false;
}

void mountpoint_done(struct mountpoint *mountpoint) {
    mountpoint_unmount(mountpoint);
    if (mountpoint->is_ours)
        (void)sys_unlinkat(AT_FDCWD, mountpoint->path, AT_REMOVEDIR);
    mountpoint->is_ours = false;
}

/* In the new process, the init of its namespace. */
static int contain_set_up(const char *directory, struct mountpoint *mountpoint, int *ret_root,
                          struct contain_failure *failure) {
    /* Slave, not private: what the host mounts later is still seen. */
    int result = sys_mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL);
    if (result < 0)
        return refuse(failure, result, "keeping mounts to itself");
    /* Without a /proc of its own a program only sees the outer one. */
    (void)sys_mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
    result = mountpoint_find(directory, mountpoint);
    if (result >= 0) {
        mountpoint->has_ipc = ipc_enter() >= 0; /* not every kernel has it */
        result = mountpoint_mount(mountpoint, ret_root);
    }
    if (result < 0) {
        char what[sizeof(failure->what)];
        snprintf(what, sizeof(what), "mounting files in memory at '%.60s'", directory);
        mountpoint_done(mountpoint);
        return refuse(failure, result, what);
    }
    return 0;
}

static int contain_inside(const char *directory, bool in_user_namespace, uid_t user, gid_t group,
                          struct mountpoint *mountpoint, int *ret_root, struct contain_failure *failure) {
    int result = in_user_namespace ? map_identity(user, group) : 0;
    if (result < 0)
        return refuse(failure, result, "mapping the user into a namespace");
    return contain_set_up(directory, mountpoint, ret_root, failure);
}

int contain_enter(const char *directory, bool in_user_namespace, const struct keeper *keeper,
                  struct mountpoint *mountpoint, int *ret_root, struct contain_failure *ret_failure) {
    uid_t user = geteuid();
    gid_t group = getegid();
    int report[2];
    int result = sys_pipe2(report, 0);
    if (result < 0)
        return refuse(ret_failure, result, "making a pipe");
    unsigned long flags = CLONE_NEWNS | CLONE_NEWPID | (in_user_namespace ? CLONE_NEWUSER : 0);
    pid_t pid = SYS_ACQUIRE("clone", (pid_t)syscall(SYS_clone, flags | SIGCHLD, NULL, NULL, NULL, NULL));
    if (pid == 0) {
        struct contain_failure failure = {0};
        fd_close(report[0]);
        result = contain_inside(directory, in_user_namespace, user, group, mountpoint, ret_root, &failure);
        if (result < 0) {
            (void)fd_write_all(report[1], &failure, sizeof(failure));
            _exit(1);
        }
        fd_close(report[1]);
        return 0;
    }
    fd_close(report[1]);
    if (pid < 0) {
        fd_close(report[0]);
        return refuse(ret_failure, pid, "making namespaces");
    }
    ssize_t size;
    do
        size = read(report[0], ret_failure, sizeof(*ret_failure));
    while (size < 0 && errno == EINTR);
    if (size == 0)
        keeper_keep(keeper, pid);
    fd_close(report[0]);
    while (waitpid(pid, NULL, __WALL) < 0 && errno == EINTR)
        ;
    if (size != (ssize_t)sizeof(*ret_failure))
        return refuse(ret_failure, -EIO, "making namespaces");
    return ret_failure->number;
}
