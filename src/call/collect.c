/* What a program left behind in its directory: outputs that are there, outputs that are missing, inputs that were
 * changed.
 *
 * What counts is what stands at the path after the program ended: programs unlink, rename and recreate their files.
 */
#include "call/run.h"

#include <linux/openat2.h>

struct collector {
    spile_call *call;
    size_t program;
    bool is_accepted;
    spile_error **ret_error;
};

static int refuse(const struct collector *collector, spile_error_kind kind, int number, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
static int refuse(const struct collector *collector, spile_error_kind kind, int number, const char *format, ...) {
    va_list arguments;
    char *message = NULL;
    va_start(arguments, format);
    int size = SYS_FAULT(FAULT_ACQUIRE, "vasprintf") ? -1 : vasprintf(&message, format, arguments);
    va_end(arguments);
    *collector->ret_error = error_with(error_new(kind, "%s", size < 0 ? "out of memory" : message), number,
                                       (int)collector->program, -1);
    if (size >= 0)
        free(message);
    return -number;
}

/* A link that a program made stands for the file it leads to, if that is in the program's own directory. */
static int replace_link(const struct collector *collector, const char *path, const char *name) {
    char directory[24];
    snprintf(directory, sizeof(directory), "%zu", collector->program + 1);
    int root = cell_root_fd(collector->call->cell);
    AUTO_FD base = sys_openat(root, directory, O_PATH | O_DIRECTORY, 0);
    if (base < 0)
        return base;
    struct open_how how = {.flags = O_RDONLY | O_CLOEXEC, .resolve = RESOLVE_BENEATH};
    AUTO_FD in = sys_openat2(base, name, &how);
    if (in < 0)
        return in;
    struct stat status;
    int result = sys_fstat(in, &status);
    if (result < 0)
        return result;
    (void)sys_unlinkat(root, path, 0);
    AUTO_FD out = sys_openat(root, path, O_WRONLY | O_CREAT | O_EXCL, status.st_mode & 0777);
    if (out < 0)
        return out;
    return store_copy(out, in);
}

static bool is_unchanged(const struct stat *before, const struct stat *now) {
    return before->st_ino == now->st_ino && before->st_size == now->st_size &&
           before->st_mtim.tv_sec == now->st_mtim.tv_sec && before->st_mtim.tv_nsec == now->st_mtim.tv_nsec;
}

/* The version of the name that the program was given to read, or NULL. */
static struct item *seen_item(const struct collector *collector, const char *name) {
    for (size_t i = 0; i < collector->call->item_count; i++) {
        struct item *item = collector->call->items[i];
        if (item->producer != (int)collector->program && !item->is_stdin && strcmp(item->name, name) == 0 &&
            store_sees(collector->call, collector->program, item))
            return item;
    }
    return NULL;
}

/* Whether this version leaves the call: it is the last one, and it was asked for, or no program reads it, or what was
 * given was changed in place. */
static bool comes_out(const struct collector *collector, const char *name, const struct file *file) {
    const spile_plan *plan = collector->call->plan;
    int producer = (int)collector->program;
    if (file && plan_source(plan, SIZE_MAX, name) != producer)
        return false;
    if (request_for(collector->call, name))
        return true;
    return file && (!plan_is_read(plan, producer, name) || (role_changes(file->role) && !plan_is_made(plan, name)));
}

static int refuse_twice(const struct collector *collector, const char *name) {
    const spile_call *call = collector->call;
    for (size_t i = 0; i < call->item_count; i++) {
        const struct item *item = call->items[i];
        if (item->producer == PLAN_GIVEN || item->producer == (int)collector->program || !item->is_output ||
            strcmp(item->name, name) != 0)
            continue;
        return refuse(collector, SPILE_ERROR_PROGRAM, EPROTO,
                      "%s and %s both wrote '%s': narrow one of the patterns, or rename the file",
                      call->programs[item->producer].label, call->programs[collector->program].label, name);
    }
    return 0;
}

static int check_size(const struct collector *collector, const char *name, uint64_t bytes, bool is_output) {
    const spile_call *call = collector->call;
    uint64_t limit = call->options.limits.file_bytes;
    if (limit && bytes > limit) { /* holes take no memory here, but elsewhere */
        int result = refuse(
            collector, SPILE_ERROR_LIMIT, ENOSPC, "%s made '%s' %llu bytes long, over the call's memory limit of %llu",
            call->programs[collector->program].label, name, (unsigned long long)bytes, (unsigned long long)limit);
        (void)error_of_limit(*collector->ret_error, SPILE_LIMIT_FILES);
        return result;
    }
    *collector->ret_error = is_output ? limit_output(call, (int)collector->program, name, bytes) : NULL;
    return *collector->ret_error ? -ENOBUFS : 0;
}

/* Makes a version of what stands at the name. `file`: the use that says so, or NULL for a file that was only asked for.
 */
static int collect_found(const struct collector *collector, const char *name, const struct file *file,
                         const struct stat *status) {
    spile_call *call = collector->call;
    char path[PATH_MAX];
    if (store_find(call, name, (int)collector->program))
        return 0;
    bool is_output = comes_out(collector, name, file);
    int result = is_output && collector->is_accepted ? refuse_twice(collector, name) : 0;
    if (result < 0)
        return result;
    result = collector->is_accepted ? check_size(collector, name, (uint64_t)status->st_size, is_output) : 0;
    if (result < 0)
        return result;
    struct item *item = store_add(call, name, (int)collector->program);
    if (!item) {
        *collector->ret_error = run_system_error(-ENOMEM, "collecting", name);
        return -ENOMEM;
    }
    item->state = ITEM_READY;
    item->status = *status;
    item->bytes = (uint64_t)status->st_size;
    item->mode = status->st_mode & 0777;
    item->place = (int)collector->program;
    item->is_output = is_output;
    item->is_partial = !collector->is_accepted;
    if (collector->is_accepted)
        result = store_settle(call, item);
    store_path(item, path);
    if (result >= 0 && item->readers > 0)
        result = sys_fchmodat(cell_root_fd(call->cell), path, item->mode & ~(mode_t)0222);
    if (result < 0) {
        *collector->ret_error = run_system_error(result, "passing on the file", name);
        return result;
    }
    if (item->readers > 0)
        item->mode &= ~(mode_t)0222;
    run_trace(call, (spile_event){.kind = SPILE_EVENT_OUTPUT_READY,
                                  .program = (int)collector->program,
                                  .name = item->name,
                                  .bytes = item->bytes});
    return 0;
}

static int find(const struct collector *collector, const char *name, struct stat *status) {
    char path[PATH_MAX];
    int root = cell_root_fd(collector->call->cell);
    store_program_path(collector->program, name, path);
    int result = sys_fstatat(root, path, status, AT_SYMLINK_NOFOLLOW);
    if (result >= 0 && S_ISLNK(status->st_mode)) {
        result = replace_link(collector, path, name);
        if (result >= 0)
            result = sys_fstatat(root, path, status, AT_SYMLINK_NOFOLLOW);
    }
    return result;
}

/* Names that the program wrote and nobody marked: what a missing output may be called instead. */
static void describe_strays(const struct collector *collector, struct text *text);

static int refuse_missing(const struct collector *collector, const char *name) {
    AUTO_TEXT strays = {0};
    describe_strays(collector, &strays);
    return refuse(collector, SPILE_ERROR_OUTPUT_MISSING, ENOENT,
                  "%s ended well without writing '%s'%s%s: check the name it is told to write, or declare the output "
                  "optional",
                  collector->call->programs[collector->program].label, name, strays.size ? "; it wrote " : "",
                  strays.size ? strays.data : "");
}

static int collect_named(const struct collector *collector, const struct file *file) {
    const char *label = collector->call->programs[collector->program].label;
    const struct plan_name *name = plan_find_name(collector->call->plan, file->name);
    struct stat status;
    int result = find(collector, file->name, &status);
    if (result < 0 && (!collector->is_accepted || (result == -ENOENT && name && name->is_optional)))
        return 0;
    if (result == -ENOENT)
        return refuse_missing(collector, file->name);
    if (result < 0)
        return refuse(collector, SPILE_ERROR_PROGRAM, -result, "'%s', which %s wrote, can't be taken: %s%s", file->name,
                      label, strerror(-result), result == -EXDEV ? " (a link that leads out of its directory)" : "");
    if (S_ISREG(status.st_mode))
        return collect_found(collector, file->name, file, &status);
    if (!collector->is_accepted)
        return 0;
    return refuse(collector, SPILE_ERROR_PROGRAM, EPROTO, "%s made '%s' %s, not a regular file%s", label, file->name,
                  S_ISDIR(status.st_mode) ? "a directory" : "a special file",
                  S_ISDIR(status.st_mode) ? ": mark it as a tree by a slash at its end" : "");
}

/* ------------------------------------------------------------------------------ walking a directory */

typedef int (*walk_fn)(const struct collector *collector, const char *name, void *user);

/* Calls `visit` for each file below; `name` is the path so far, with room for more. */
static int walk(const struct collector *collector, int parent, const char *entry, char *name, walk_fn visit,
                void *user) {
    int fd = sys_openat(parent, entry, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    if (fd < 0)
        return fd;
    DIR *directory = sys_fdopendir(fd);
    if (!directory) {
        fd_close(fd);
        return -errno;
    }
    size_t size = strlen(name);
    int result = 0;
    struct dirent *found;
    while (result >= 0 && (found = readdir(directory))) {
        struct stat status;
        size_t length = strlen(found->d_name);
        if (strcmp(found->d_name, ".") == 0 || strcmp(found->d_name, "..") == 0 || size + length + 2 > PATH_MAX / 2)
            continue;
        memcpy(name + size, found->d_name, length + 1);
        if (found->d_type == DT_DIR ||
            (found->d_type == DT_UNKNOWN && fstatat(fd, found->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
             S_ISDIR(status.st_mode))) {
            memcpy(name + size + length, "/", 2);
            result = walk(collector, fd, found->d_name, name, visit, user);
        } else {
            result = visit(collector, name, user);
        }
        name[size] = '\0';
    }
    closedir(directory);
    return result;
}

static int walk_program(const struct collector *collector, walk_fn visit, void *user) {
    char directory[24], name[PATH_MAX] = "";
    snprintf(directory, sizeof(directory), "%zu", collector->program + 1);
    int result = walk(collector, cell_root_fd(collector->call->cell), directory, name, visit, user);
    if (result < 0 && !*collector->ret_error)
        *collector->ret_error = run_system_error(result, "looking through the directory of",
                                                 collector->call->programs[collector->program].label);
    return result;
}

/* The pattern or tree of the program that takes in a name it made, or NULL. */
static const struct file *pattern_for(const struct collector *collector, const char *name) {
    const spile_program *owner = collector->call->plan->programs[collector->program].program;
    for (size_t i = 0; i < owner->file_count; i++) {
        const struct file *file = &owner->files[i];
        if (role_makes(file->role) && (file->is_pattern || file->is_tree) && pattern_match(file->name, name))
            return file;
    }
    return NULL;
}

static int visit_match(const struct collector *collector, const char *name, void *user) {
    (void)user;
    const struct file *file = pattern_for(collector, name);
    if (!file && !request_for(collector->call, name))
        return 0;
    struct stat status;
    int result = find(collector, name, &status);
    bool is_dangling = result == -ENOENT || result == -ELOOP || result == -EXDEV;
    if (is_dangling || (result >= 0 && !S_ISREG(status.st_mode)))
        return 0; /* a link to nothing or to elsewhere, a socket: no output */
    if (result < 0)
        return refuse(collector, SPILE_ERROR_SYSTEM, -result, "looking at '%s' failed: %s", name, strerror(-result));
    const struct item *seen = seen_item(collector, name);
    if (seen && is_unchanged(&seen->status, &status) && !(file && role_changes(file->role)))
        return 0;
    return collect_found(collector, name, file, &status);
}

static int visit_stray(const struct collector *collector, const char *name, void *user) {
    struct text *text = user;
    if (seen_item(collector, name) || plan_use_of(collector->call->plan, collector->program, name) || text->size > 60)
        return 0;
    text_printf(text, "%s'%s'", text->size ? ", " : "", name);
    return 0;
}

static void describe_strays(const struct collector *collector, struct text *text) {
    spile_error *unused = NULL;
    struct collector quiet = *collector;
    quiet.ret_error = &unused;
    (void)walk_program(&quiet, visit_stray, text);
    spile_error_free(unused);
}

static bool needs_walk(const struct collector *collector) {
    const spile_program *owner = collector->call->plan->programs[collector->program].program;
    for (size_t i = 0; i < owner->file_count; i++)
        if (role_makes(owner->files[i].role) && (owner->files[i].is_pattern || owner->files[i].is_tree))
            return true;
    for (size_t i = 0; i < collector->call->request_count; i++)
        if (!plan_is_made(collector->call->plan, collector->call->requests[i].name))
            return true;
    return false;
}

/* An input that the program removed is its own loss; one that it changed is the caller's. */
static int check_inputs(const struct collector *collector) {
    spile_call *call = collector->call;
    const spile_program *owner = call->plan->programs[collector->program].program;
    for (size_t i = 0; i < call->item_count; i++) {
        const struct item *item = call->items[i];
        struct stat status;
        if (item->producer == (int)collector->program || item->state != ITEM_READY ||
            !store_sees(call, collector->program, item) || pattern_for(collector, item->name))
            continue;
        bool is_changed_in_place = false;
        for (size_t j = 0; j < owner->file_count; j++)
            is_changed_in_place |= role_makes(owner->files[j].role) && strcmp(owner->files[j].name, item->name) == 0;
        if (is_changed_in_place)
            continue;
        char path[PATH_MAX];
        store_program_path(collector->program, item->name, path);
        if (sys_fstatat(cell_root_fd(call->cell), path, &status, AT_SYMLINK_NOFOLLOW) < 0 ||
            is_unchanged(&item->status, &status))
            continue;
        return refuse(collector, SPILE_ERROR_INPUT_CHANGED, EPROTO, "%s changed its input '%s': mark it {<>%s}",
                      call->programs[collector->program].label, item->name, item->name);
    }
    return 0;
}

int collect_program(spile_call *call, size_t program, bool is_accepted, spile_error **ret_error) {
    spile_error *unused = NULL;
    struct collector collector = {
        .call = call, .program = program, .is_accepted = is_accepted, .ret_error = is_accepted ? ret_error : &unused};
    const spile_program *owner = call->plan->programs[program].program;
    int result = is_accepted ? check_inputs(&collector) : 0;
    for (size_t i = 0; i < owner->file_count && result >= 0; i++) {
        const struct file *file = &owner->files[i];
        if (role_makes(file->role) && !file->is_pattern && !file->is_tree && file->kind != SPILE_STREAM)
            result = collect_named(&collector, file);
    }
    if (result >= 0 && needs_walk(&collector))
        result = walk_program(&collector, visit_match, NULL);
    spile_error_free(unused);
    return result;
}
