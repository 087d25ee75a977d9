/* The host's files that a pattern matches: '*', '?' and '[]' within a component, '**' across; a leading dot only by a
 * dot. Directories are walked without following their links, so a walk always ends.
 */
#include "cli.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct walk {
    const char *root; /* the directory that names are relative to */
    word_list names;
};

static const char *host_path(const struct walk *walk, const char *name) {
    return *name ? allocate_format("%s/%s", walk->root, name) : walk->root;
}

static void add_regular(struct walk *walk, const char *name) {
    struct stat status;
    if (stat(host_path(walk, name), &status) == 0 && S_ISREG(status.st_mode))
        *LIST_ADD(walk->names) = name;
}

typedef void (*visit_fn)(struct walk *walk, const char *name, const char *entry, bool is_directory,
                         const char *pattern);

/* Calls `visit` for each entry of the directory `prefix` (empty, or ending in '/'). */
static int each_entry(struct walk *walk, const char *prefix, const char *pattern, visit_fn visit) {
    DIR *directory = opendir(host_path(walk, prefix));
    if (!directory)
        return -errno;
    struct dirent *entry;
    while ((entry = readdir(directory))) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        const char *name = allocate_format("%s%s", prefix, entry->d_name);
        bool is_directory = entry->d_type == DT_DIR;
        struct stat status;
        if (entry->d_type == DT_UNKNOWN)
            is_directory = lstat(host_path(walk, name), &status) == 0 && S_ISDIR(status.st_mode);
        visit(walk, name, name + strlen(prefix), is_directory, pattern);
    }
    closedir(directory);
    return 0;
}

static void match_component(struct walk *walk, const char *prefix, const char *pattern);

/* "**" in front of a slash: the rest of the pattern here and in every directory below. */
static void visit_any_depth(struct walk *walk, const char *name, const char *entry, bool is_directory,
                            const char *pattern) {
    if (!is_directory || entry[0] == '.')
        return;
    const char *prefix = allocate_format("%s/", name);
    match_component(walk, prefix, pattern);
    each_entry(walk, prefix, pattern, visit_any_depth);
}

/* "**" within a component: what follows may hold slashes. `pattern` is for the whole name from its prefix on. */
struct across {
    struct walk walk;
    size_t prefix_size;
};
static void visit_across(struct walk *walk, const char *name, const char *entry, bool is_directory,
                         const char *pattern) {
    const struct across *across = (const struct across *)walk;
    if (is_directory && entry[0] != '.')
        each_entry(walk, allocate_format("%s/", name), pattern, visit_across);
    else if (!is_directory && fnmatch(pattern, name + across->prefix_size, FNM_PERIOD) == 0)
        add_regular(walk, name);
}

static void visit_component(struct walk *walk, const char *name, const char *entry, bool is_directory,
                            const char *pattern) {
    (void)is_directory; /* a link to a directory is followed where the pattern has something to find in it */
    const char *end = strchrnul(pattern, '/');
    if (fnmatch(allocate_copy(pattern, (size_t)(end - pattern)), entry, FNM_PERIOD) != 0)
        return;
    if (*end)
        match_component(walk, allocate_format("%s/", name), end + 1);
    else
        add_regular(walk, name);
}

static void match_component(struct walk *walk, const char *prefix, const char *pattern) {
    const char *end = strchrnul(pattern, '/');
    const char *component = allocate_copy(pattern, (size_t)(end - pattern));
    if (strncmp(pattern, "**/", 3) == 0) {
        match_component(walk, prefix, pattern + 3);
        each_entry(walk, prefix, pattern + 3, visit_any_depth);
    } else if (strstr(component, "**")) {
        struct across across = {.walk = *walk, .prefix_size = strlen(prefix)};
        each_entry(&across.walk, prefix, pattern, visit_across);
        *walk = across.walk;
    } else if (!strpbrk(component, "*?[")) {
        const char *name = allocate_format("%s%s", prefix, component);
        if (*end)
            match_component(walk, allocate_format("%s/", name), end + 1);
        else
            add_regular(walk, name);
    } else {
        each_entry(walk, prefix, pattern, visit_component);
    }
}

static int compare_names(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

int pattern_find(const char *directory, const char *pattern, word_list *ret_names) {
    DIR *probe = opendir(directory);
    if (!probe)
        return -errno;
    closedir(probe);
    struct walk walk = {.root = directory};
    match_component(&walk, "", pattern);
    if (walk.names.count > 1)
        qsort(walk.names.items, walk.names.count, sizeof(*walk.names.items), compare_names);
    size_t kept = 0; /* "**" may find the same file by two ways */
    for (size_t i = 0; i < walk.names.count; i++)
        if (kept == 0 || strcmp(walk.names.items[kept - 1], walk.names.items[i]) != 0)
            walk.names.items[kept++] = walk.names.items[i];
    walk.names.count = kept;
    *ret_names = walk.names;
    return 0;
}
