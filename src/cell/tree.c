/* Trees in /dev/shm: see tree.h.
 *
 * A tree is emptied without recursion: a subdirectory that is not empty is renamed into the top, so any depth takes
 * two descriptors. Symbolic links are never followed.
 */
#include "cell/tree.h"

#include <stdalign.h>
#include <sys/file.h>

static const char *const bases[] = {"/dev/shm", "/tmp"};

enum { MAKE_ATTEMPTS = 16, STUCK_WALKS = 3 };

/* The entries of an open directory, one after the other, without an allocation: a cell is emptied after every call. */
struct walk {
    int directory;
    bool has_begun;
    ssize_t place, size;
    alignas(struct sys_entry) char buffer[2048];
};

static bool is_dot(const char *name) {
    return name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
}

/* The next entry, NULL at the end or, with *ret_error set, after a failure. */
static const char *walk_next(struct walk *walk, int *ret_error) {
    if (!walk->has_begun && sys_lseek(walk->directory, 0, SEEK_SET) < 0) {
        *ret_error = -EIO;
        return NULL;
    }
    walk->has_begun = true;
    for (;;) {
        if (walk->place == walk->size) {
            walk->place = 0;
            walk->size = sys_getdents(walk->directory, walk->buffer, sizeof(walk->buffer));
            if (walk->size < 0)
                *ret_error = (int)walk->size;
            if (walk->size <= 0) {
                walk->size = 0;
                return NULL;
            }
        }
        const struct sys_entry *entry = (const void *)(walk->buffer + walk->place);
        walk->place += entry->size;
        if (!is_dot(entry->name))
            return entry->name;
    }
}

/* Deletes what is no directory, or an empty one. */
static int remove_simple(int directory, const char *name) {
    int result = sys_unlinkat(directory, name, 0);
    if (result == -ENOENT)
        return 0;
    return result < 0 ? sys_unlinkat(directory, name, AT_REMOVEDIR) : 0;
}

static int open_for_removal(int directory, const char *name) {
    int fd = sys_openat(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    if (fd == -EACCES && sys_fchmodat(directory, name, 0700) >= 0)
        fd = sys_openat(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    return fd;
}

static int lift(int top, int directory, const char *name, unsigned *counter) {
    char lifted[32];
    for (;;) {
        snprintf(lifted, sizeof(lifted), ".spile-%x", (*counter)++);
        int result = sys_renameat(directory, name, top, lifted);
        if (result == -EACCES && sys_fchmodat(directory, name, 0700) >= 0)
            result = sys_renameat(directory, name, top, lifted);
        if (result != -EEXIST && result != -ENOTEMPTY && result != -ENOTDIR && result != -EISDIR)
            return result;
    }
}

static int take_away(int top, int directory, const char *name, unsigned *counter) {
    int result = remove_simple(directory, name);
    if (result == -EACCES && sys_fchmod(directory, 0700) >= 0) /* entries go only from what can be written */
        result = remove_simple(directory, name);
    return result < 0 ? lift(top, directory, name, counter) : 0;
}

/* Empties and removes one subdirectory of the top; what is deeper becomes a subdirectory of the top. */
static int flatten(int top, const char *name, unsigned *counter) {
    AUTO_FD directory = open_for_removal(top, name);
    if (directory < 0)
        return directory;
    struct walk walk = {.directory = directory};
    int result = 0;
    for (const char *inside; (inside = walk_next(&walk, &result));) {
        result = take_away(top, directory, inside, counter);
        if (result < 0 && result != -ENOENT)
            return result;
    }
    return result < 0 && result != -ENOENT ? result : sys_unlinkat(top, name, AT_REMOVEDIR);
}

/* One walk over the top. Returns how many entries it saw, *ret_done of them it dealt with. */
static int empty_once(int directory, unsigned *counter, int *ret_done) {
    struct walk walk = {.directory = directory};
    int seen = 0, done = 0, error = 0;
    for (const char *name; (name = walk_next(&walk, &error)); seen++) {
        int result = remove_simple(directory, name);
        if (result < 0)
            result = flatten(directory, name, counter);
        if (result >= 0 || result == -ENOENT)
            done++;
        else
            error = result;
    }
    *ret_done = done;
    return done == 0 && error ? error : seen;
}

int tree_empty(int directory) {
    unsigned counter = 0;
    int result = 0;
    /* Walks until one sees nothing: what is lifted may lie where the walk has been. */
    for (int stuck = 0; stuck < STUCK_WALKS;) {
        int done = 0;
        result = empty_once(directory, &counter, &done);
        if (result == 0)
            return 0;
        stuck = done ? 0 : stuck + 1;
    }
    return result < 0 ? result : -ENOTEMPTY;
}

bool tree_is_name(const char *name) {
    size_t size = sizeof(TREE_NAME_START) - 1;
    return strncmp(name, TREE_NAME_START, size) == 0 && strlen(name) == size + 6;
}

int directory_claim(int base, const char *path, int *ret_fd) {
    struct stat status;
    AUTO_FD fd = sys_openat(base, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    int result = fd < 0 ? fd : sys_fstat(fd, &status);
    if (result >= 0 && (status.st_uid != geteuid() || (status.st_mode & 07777) != 0700))
        result = -EACCES;
    if (result >= 0)
        result = sys_flock(fd, LOCK_EX | LOCK_NB);
    if (result >= 0)
        result = sys_fstat(fd, &status);
    if (result >= 0 && status.st_nlink == 0)
        result = -ENOENT;
    if (result < 0)
        return result == -ENOENT || result == -EWOULDBLOCK ? -EAGAIN : result;
    *ret_fd = TAKE_FD(fd);
    return 0;
}

static void remove_stale(const char *base) {
    AUTO_FD directory = sys_openat(AT_FDCWD, base, O_RDONLY | O_DIRECTORY, 0);
    struct walk walk = {.directory = directory};
    int error = 0;
    for (const char *name; directory >= 0 && (name = walk_next(&walk, &error));) {
        AUTO_FD fd = -1;
        if (!tree_is_name(name) || directory_claim(directory, name, &fd) < 0)
            continue;
        (void)tree_empty(fd);
        (void)sys_unlinkat(directory, name, AT_REMOVEDIR);
    }
}

/* Another process may take what was just made for stale before the lock is ours: then a new one is made. */
static int tree_claim(struct tree *tree) {
    int result = directory_claim(AT_FDCWD, tree->path, &tree->fd);
    if (result < 0)
        (void)sys_unlinkat(AT_FDCWD, tree->path, AT_REMOVEDIR);
    return result;
}

int tree_make(struct tree *ret_tree) {
    int result = -ENOENT;
    for (size_t i = 0; i < ARRAY_SIZE(bases); i++) {
        remove_stale(bases[i]);
        for (int attempt = 0; attempt < MAKE_ATTEMPTS; attempt++) {
            struct tree tree = {.fd = -1};
            snprintf(tree.path, sizeof(tree.path), "%s/" TREE_NAME_START "XXXXXX", bases[i]);
            result = sys_mkdtemp(tree.path);
            if (result >= 0)
                result = tree_claim(&tree);
            if (result >= 0) {
                *ret_tree = tree;
                return 0;
            }
            if (result != -EAGAIN)
                break;
        }
    }
    return result;
}

void tree_remove(struct tree *tree) {
    if (tree->fd < 0)
        return;
    (void)tree_empty(tree->fd);
    (void)sys_unlinkat(AT_FDCWD, tree->path, AT_REMOVEDIR);
    fd_close(TAKE_FD(tree->fd));
}
