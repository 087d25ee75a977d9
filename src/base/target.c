/* Files of the host that are replaced as a whole: see target.h. */
#include "base/target.h"

#include <sys/random.h>

enum { LINK_DEPTH = 40 };

char *target_directory(const char *path) {
    const char *slash = strrchr(path, '/');
    if (!slash)
        return memory_string(".");
    AUTO_TEXT text = {0};
    text_add(&text, path, slash == path ? 1 : (size_t)(slash - path));
    return text_take(&text);
}

int target_follow(const char *path, char **ret_target) {
    AUTO_FREE char *target = memory_string(path);
    for (int depth = 0; target && depth < LINK_DEPTH; depth++) {
        char link[PATH_MAX];
        ssize_t size = sys_readlinkat(AT_FDCWD, target, link, sizeof(link));
        if (size == -EINVAL || size == -ENOENT) {
            *ret_target = TAKE_POINTER(target);
            return 0;
        }
        if (size < 0 || size == sizeof(link))
            return size < 0 ? (int)size : -ENAMETOOLONG;
        AUTO_FREE char *directory = target_directory(target);
        AUTO_TEXT next = {0};
        if (*link != '/')
            text_printf(&next, "%s/", directory ? directory : ".");
        text_add(&next, link, (size_t)size);
        free(target);
        target = text_take(&next);
    }
    return target ? -ELOOP : -ENOMEM;
}

static char *temporary_name(const char *target) {
    uint64_t number;
    if (getrandom(&number, sizeof(number), 0) != sizeof(number))
        number = time_now_ns();
    const char *slash = strrchr(target, '/');
    AUTO_TEXT name = {0};
    text_add(&name, target, slash ? (size_t)(slash + 1 - target) : 0);
    text_printf(&name, ".spile-%016llx", (unsigned long long)number);
    return text_take(&name);
}

int target_open(const char *target, char **ret_temporary, int *ret_fd) {
    AUTO_FREE char *directory = target_directory(target);
    if (!directory)
        return -ENOMEM;
    int fd = sys_openat(AT_FDCWD, directory, O_WRONLY | O_TMPFILE, 0600);
    if (fd >= 0) {
        *ret_fd = fd;
        return 0;
    }
    if (fd != -EOPNOTSUPP && fd != -EISDIR && fd != -ENOENT && fd != -EPERM)
        return fd;
    AUTO_FREE char *temporary = temporary_name(target);
    if (!temporary)
        return -ENOMEM;
    fd = sys_openat(AT_FDCWD, temporary, O_WRONLY | O_CREAT | O_EXCL, 0600);
    if (fd < 0)
        return fd;
    *ret_temporary = TAKE_POINTER(temporary);
    *ret_fd = fd;
    return 0;
}

int target_commit(const char *target, char **temporary, int fd, mode_t mode) {
    struct stat old;
    int result = sys_fstatat(AT_FDCWD, target, &old, 0);
    if (result >= 0) {
        /* Another's file stays another's where we may say so; its mode comes after, for chown clears set-id bits. */
        if (fchown(fd, old.st_uid, old.st_gid) < 0 && errno != EPERM)
            return -errno;
        result = sys_fchmod(fd, old.st_mode & 07777);
    } else if (result == -ENOENT) {
        result = sys_fchmod(fd, mode);
    }
    if (result >= 0 && !*temporary) {
        char source[32];
        snprintf(source, sizeof(source), "/proc/self/fd/%d", fd);
        char *name = temporary_name(target);
        result = name ? sys_linkat(AT_FDCWD, source, AT_FDCWD, name, AT_SYMLINK_FOLLOW) : -ENOMEM;
        *temporary = result < 0 ? (free(name), NULL) : name;
    }
    if (result >= 0)
        result = sys_renameat(AT_FDCWD, *temporary, AT_FDCWD, target);
    if (result >= 0)
        free(TAKE_POINTER(*temporary));
    return result;
}

void target_drop(char **target, char **temporary, int *fd) {
    *fd = fd_close(*fd);
    if (*temporary)
        (void)sys_unlinkat(AT_FDCWD, *temporary, 0);
    free(TAKE_POINTER(*temporary));
    free(TAKE_POINTER(*target));
}
