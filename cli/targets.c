/* Where outputs go, looked at before anything starts: directories that are there and can be written, no two outputs to
 * one place. What can only be known at the delivery is the library's. Never creates or opens anything.
 */
#include "run.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct place {
    bool exists;
    struct stat status;
    const char *target;   /* its last component's links followed */
    const char *absolute; /* the same, so that two can be compared; NULL: a directory */
};

static const char *parent_of(const char *path) {
    const char *slash = strrchr(path, '/');
    return !slash ? "." : slash == path ? "/" : allocate_copy(path, (size_t)(slash - path));
}

/* Follows the links of the last component, which need not exist. */
static const char *follow_links(const char *path) {
    char target[PATH_MAX];
    for (int links = 0; links < 40; links++) {
        ssize_t size = readlink(path, target, sizeof(target) - 1);
        if (size < 0)
            break;
        target[size] = '\0';
        path = target[0] == '/' ? allocate_copy(target, (size_t)size)
                                : allocate_format("%s/%s", parent_of(path), target);
    }
    return path;
}

static const char *absolute_path(const char *path) {
    char *parent = realpath(parent_of(path), NULL);
    const char *slash = strrchr(path, '/');
    const char *absolute = parent ? allocate_format("%s/%s", parent, slash ? slash + 1 : path) : path;
    free(parent);
    return absolute;
}

static int check_directory(struct run *run, const char *name, const char *path, const char *directory) {
    struct stat status;
    const bool exists = stat(directory, &status) == 0;
    if (!exists && errno == ENOENT)
        return run_refuse(run, SPILE_ERROR_OUTPUT,
                          "'%s' can't be written: there is no directory '%s': mkdir -p it first, or write %s=PATH",
                          path, directory, name);
    if (exists && !S_ISDIR(status.st_mode))
        return run_refuse(run, SPILE_ERROR_OUTPUT, "'%s' can't be written: '%s' is no directory", path, directory);
    if (!exists || access(directory, W_OK | X_OK) < 0)
        return run_refuse(run, SPILE_ERROR_OUTPUT, "'%s' can't be written: directory '%s': %s", path, directory,
                          strerror(errno));
    return 0;
}

static int check_existing(struct run *run, const struct tie *output, const struct place *place) {
    if (S_ISDIR(place->status.st_mode))
        return run_refuse(run, SPILE_ERROR_OUTPUT, "'%s' can't be written: it is a directory: write %s=%s%sFILE",
                          output->path, output->name, output->path,
                          output->path[strlen(output->path) - 1] == '/' ? "" : "/");
    bool is_regular = S_ISREG(place->status.st_mode);
    bool is_read_only = is_regular && (place->status.st_mode & 0222) == 0;
    if (is_regular && run->force)
        return 0;
    if (is_read_only || access(output->path, W_OK) < 0)
        return run_refuse(run, SPILE_ERROR_OUTPUT, "'%s' can't be written: %s", output->path,
                          is_regular ? "it is read-only: give --force to replace it" : strerror(errno));
    return 0;
}

/* A pattern or a tree goes to a directory, which may be new; the library makes it and those below it. */
static bool goes_to_directory(const struct tie *output) {
    return strpbrk(output->name, "*?[") || output->name[strlen(output->name) - 1] == '/';
}

static int check_output(struct run *run, const struct tie *output, struct place *place) {
    place->exists = stat(output->path, &place->status) == 0;
    if (goes_to_directory(output)) {
        size_t size = strlen(output->path);
        while (size > 1 && output->path[size - 1] == '/')
            size--;
        const char *directory = allocate_copy(output->path, size);
        return check_directory(run, output->name, output->path, place->exists ? directory : parent_of(directory));
    }
    place->target = follow_links(output->path);
    place->absolute = absolute_path(place->target);
    int status = place->exists ? check_existing(run, output, place) : 0;
    if (status == 0 && (!place->exists || S_ISREG(place->status.st_mode)))
        status = check_directory(run, output->name, output->path, parent_of(place->target));
    return status;
}

/* A character device such as /dev/null may take any number of outputs. */
static bool is_same_place(const struct tie *a, const struct place *at, const struct tie *b, const struct place *bt) {
    if (!a->path || !b->path)
        return !a->path && !b->path && a->fd == b->fd;
    if (!at->absolute || !bt->absolute)
        return false;
    if (at->exists && bt->exists)
        return at->status.st_dev == bt->status.st_dev && at->status.st_ino == bt->status.st_ino &&
               !S_ISCHR(at->status.st_mode);
    return !at->exists && !bt->exists && strcmp(at->absolute, bt->absolute) == 0;
}

int targets_check(struct run *run) {
    struct place *places = allocate(sizeof(*places) * (run->outputs.count + 1));
    for (size_t i = 0; i < run->outputs.count; i++) {
        const struct tie *output = &run->outputs.items[i];
        int status = output->path ? check_output(run, output, &places[i]) : 0;
        if (status)
            return status;
        for (size_t j = 0; j < i; j++) {
            const struct tie *other = &run->outputs.items[j];
            if (!is_same_place(other, &places[j], output, &places[i]))
                continue;
            const char *target = output->path      ? allocate_format("'%s'", output->path)
                                 : output->fd == 1 ? "standard output"
                                                   : allocate_format("descriptor %d", output->fd);
            return run_refuse(run, SPILE_ERROR_USAGE, "outputs '%s' and '%s' both go to %s", other->name, output->name,
                              target);
        }
    }
    return 0;
}
