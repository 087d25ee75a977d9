/* Finding and starting spile-cell: see helper.h. */
#include "cell/helper.h"
#include "cell/wire.h"
#include "proc/exec.h"

#include <dlfcn.h>
#include <limits.h>

#ifndef SPILE_HELPER_DIR
#define SPILE_HELPER_DIR "/usr/libexec/spile"
#endif

/* Beside the library or the executable: in a build tree, or relocated with its prefix; the last two for the library
 * inside a Python package. */
static const char *const library_places[] = {"", "/../libexec/spile", "/../../libexec/spile", "/../../src",
                                             "/../../../../libexec/spile"};
static const char *const executable_places[] = {"", "/../src", "/../libexec/spile"};

struct search {
    char *found;
    struct text looked; /* the places, for the error */
};

static bool try_directory(struct search *search, const char *directory, const char *suffix) {
    char path[PATH_MAX], real[PATH_MAX];
    if (search->found || snprintf(path, sizeof(path), "%s%s/spile-cell", directory, suffix) >= (int)sizeof(path))
        return search->found;
    if (sys_faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) >= 0 && realpath(path, real)) {
        search->found = memory_string(real);
        return true;
    }
    text_printf(&search->looked, "%s'%s'", search->looked.size ? ", " : "", path);
    return false;
}

static void search_around(struct search *search, const char *file, const char *const *suffixes, size_t count) {
    char real[PATH_MAX];
    if (!realpath(file, real))
        return;
    char *slash = strrchr(real, '/');
    *slash = '\0';
    for (size_t i = 0; i < count; i++)
        try_directory(search, real, suffixes[i]);
}

/* A path that somebody chose: right or an error, nothing else is tried. */
static int use_chosen(const char *path, const char *chooser, char **ret_path, spile_error **ret_error) {
    char real[PATH_MAX];
    int result = sys_faccessat(AT_FDCWD, path, X_OK, AT_EACCESS);
    if (result >= 0 && !realpath(path, real))
        result = -errno;
    if (result < 0)
        return error_set(ret_error, SPILE_ERROR_SYSTEM, -result, "the helper '%s' that %s names can't be executed: %s",
                         path, chooser, strerror(-result));
    char *copy = memory_string(real);
    if (!copy)
        return error_set(ret_error, SPILE_ERROR_SYSTEM, ENOMEM, "out of memory");
    *ret_path = copy;
    return 0;
}

int helper_find(const char *configured, char **ret_path, spile_error **ret_error) {
    if (configured)
        return use_chosen(configured, "the option cell_path", ret_path, ret_error);
    const char *chosen = secure_getenv("SPILE_CELL");
    if (chosen && *chosen)
        return use_chosen(chosen, "$SPILE_CELL", ret_path, ret_error);
    struct search search = {0};
    Dl_info library;
    if (dladdr((const void *)helper_find, &library) && library.dli_fname)
        search_around(&search, library.dli_fname, library_places, ARRAY_SIZE(library_places));
    search_around(&search, "/proc/self/exe", executable_places, ARRAY_SIZE(executable_places));
    try_directory(&search, SPILE_HELPER_DIR, "");
    AUTO_FREE char *looked = text_take(&search.looked);
    if (!search.found)
        return error_set(
            ret_error, SPILE_ERROR_SYSTEM, ENOENT,
            "the helper 'spile-cell' was not found (looked for %s); install it, or set SPILE_CELL to its path",
            looked ? looked : "it where it is installed");
    *ret_path = search.found;
    return 0;
}

static const char *mode_name(spile_containment containment) {
    switch (containment) {
    case SPILE_CONTAINMENT_NAMESPACE:
        return "namespace";
    case SPILE_CONTAINMENT_REAPER:
        return "reaper";
    case SPILE_CONTAINMENT_AUTO:
    case SPILE_CONTAINMENT_NONE:
        break;
    }
    return "auto";
}

int helper_start(const char *path, spile_containment containment, int *ret_socket, spile_error **ret_error) {
    char version[12], host[12], directory[PATH_MAX];
    const char *slash = strrchr(path, '/');
    if (!slash || snprintf(directory, sizeof(directory), "%.*s/files", (int)(slash - path), path) >= PATH_MAX)
        return error_set(ret_error, SPILE_ERROR_SYSTEM, ENAMETOOLONG, "the path of the helper '%s' is too long", path);
    snprintf(version, sizeof(version), "%d", WIRE_VERSION);
    snprintf(host, sizeof(host), "%d", getpid());
    char *argv[] = {(char *)"spile-cell", version, (char *)mode_name(containment), directory, host, NULL};
    char *no_environment[] = {NULL};
    struct exec_plan plan = {
        .path = path,
        .argv = argv,
        .envp = no_environment, /* what the host's holds is no business of a process that anyone may look at */
        .fds = {-1, -1, -1, -1, -1},
        .fd_count = 5,
        .flags = EXEC_DETACHED | EXEC_RESET_SIGNALS,
    };
#ifdef SPILE_FAULTS
    const char *faults = getenv("SPILE_FAULT_FD");
    plan.envp = environ;
    plan.keep = faults ? atoi(faults) : 0;
#endif
    int pair[2];
    int result = sys_socketpair(SOCK_SEQPACKET, pair);
    if (result < 0)
        return error_set(ret_error, SPILE_ERROR_SYSTEM, -result, "making a socket failed: %s", strerror(-result));
    AUTO_FD ours = pair[0], theirs = pair[1];
    const int on = 1;
    (void)sys_setsockopt(ours, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)); /* else it can't be bound to a processor */
    AUTO_FD self = sys_pidfd_open(getpid());
    if (self < 0)
        return error_set(ret_error, SPILE_ERROR_SYSTEM, -self, "making a process descriptor failed: %s",
                         strerror(-self));
    plan.fds[3] = theirs;
    plan.fds[4] = self;
    enum proc_stage stage;
    result = exec_start(&plan, NULL, NULL, &stage);
    if (result < 0)
        return error_set(ret_error, SPILE_ERROR_SYSTEM, -result, "the helper '%s' can't be started: %s: %s", path,
                         proc_stage_name(stage), strerror(-result));
    *ret_socket = TAKE_FD(ours);
    return 0;
}
