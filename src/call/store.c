/* The files of a call: which versions there are and where each stands, under the root directory of its cell.
 *
 * "<number>" is the directory of program number - 1; "0" is the store, out of every program's sight, where a version
 * stands that several need: they get links, and the last one gets the file itself, because gzip, xz and bzip2 refuse a
 * file with two links.
 */
#include "call/run.h"

enum { COPY_STEP = 1 << 30 };

struct item *store_add(spile_call *call, const char *name, int producer) {
    if (ARRAY_RESERVE(call->items, call->item_count, call->item_capacity) < 0)
        return NULL;
    struct item *item = memory_zero(1, sizeof(*item));
    char *copy = item ? memory_string(name) : NULL;
    if (!copy) {
        free(item);
        return NULL;
    }
    *item = (struct item){.call = call,
                          .name = copy,
                          .producer = producer,
                          .place = PLACE_NOWHERE,
                          .number = call->item_count,
                          .input_fd = -1,
                          .file_fd = -1,
                          .source.fd = -1};
    call->items[call->item_count++] = item;
    return item;
}

struct item *store_find(const spile_call *call, const char *name, int producer) {
    for (size_t i = 0; i < call->item_count; i++) {
        struct item *item = call->items[i];
        if (item->producer == producer && !item->is_stdin && strcmp(item->name, name) == 0)
            return item;
    }
    return NULL;
}

void store_program_path(size_t program, const char *name, char *buffer) {
    snprintf(buffer, PATH_MAX, "%zu%s%s", program + 1, *name ? "/" : "", name);
}

void store_path(const struct item *item, char *buffer) {
    if (item->place == PLACE_STORE)
        snprintf(buffer, PATH_MAX, "0/%zu", item->number);
    else
        store_program_path((size_t)item->place, item->name, buffer);
}

bool store_sees(const spile_call *call, size_t program, const struct item *item) {
    if (item->is_stdin || item->is_stream)
        return false;
    if (item->is_extra)
        return true;
    const struct file *file = plan_use_of(call->plan, program, item->name);
    if (file && !role_reads(file->role)) {
        /* An output pattern may stand beside an input pattern: look for a file that reads. */
        const spile_program *owner = call->plan->programs[program].program;
        file = NULL;
        for (size_t i = 0; i < owner->file_count && !file; i++)
            if (role_reads(owner->files[i].role) && pattern_match(owner->files[i].name, item->name))
                file = &owner->files[i];
    }
    return file && plan_source(call->plan, program, item->name) == item->producer;
}

static bool program_changes(const spile_call *call, size_t program, const char *name) {
    const spile_program *owner = call->plan->programs[program].program;
    for (size_t i = 0; i < owner->file_count; i++)
        if (role_changes(owner->files[i].role) && pattern_match(owner->files[i].name, name))
            return true;
    return false;
}

static int make_directory(spile_call *call, const char *path) {
    int result = sys_mkdirat(cell_root_fd(call->cell), path, 0700);
    return result == -EEXIST ? 0 : result;
}

int store_make_directory(spile_call *call, size_t program) {
    char name[24];
    if (call->programs[program].has_directory)
        return 0;
    snprintf(name, sizeof(name), "%zu", program + 1);
    int result = make_directory(call, name);
    call->programs[program].has_directory = result >= 0;
    return result;
}

int store_make_parents(spile_call *call, char *path) {
    /* The first component is the program's directory or the store. */
    char *slash = strchr(path, '/');
    for (slash = slash ? strchr(slash + 1, '/') : NULL; slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        int result = make_directory(call, path);
        *slash = '/';
        if (result < 0)
            return result;
    }
    return 0;
}

static int make_place(spile_call *call, int place, char *path) {
    int result = place == PLACE_STORE ? make_directory(call, "0") : store_make_directory(call, (size_t)place);
    return result < 0 ? result : store_make_parents(call, path);
}

int store_settle(spile_call *call, struct item *item) {
    size_t only = 0;
    item->readers = 0;
    for (size_t i = 0; i < call->program_count; i++)
        if ((int)i != item->producer && store_sees(call, i, item)) {
            item->readers++;
            only = i;
        }
    int old_place = item->place;
    char old_path[PATH_MAX], path[PATH_MAX];
    if (old_place != PLACE_NOWHERE) {
        if (item->readers + item->is_output <= 1)
            return 0;
        store_path(item, old_path);
    }
    item->place = item->readers == 1 && !item->is_output ? (int)only : PLACE_STORE;
    store_path(item, path);
    int result = make_place(call, item->place, path);
    if (result >= 0 && old_place != PLACE_NOWHERE)
        result = sys_renameat(cell_root_fd(call->cell), old_path, cell_root_fd(call->cell), path);
    return result;
}

int store_copy(int out, int in) {
    ssize_t copied;
    do
        copied = sys_sendfile(out, in, NULL, COPY_STEP);
    while (copied > 0 || copied == -EINTR || copied == -EAGAIN);
    return (int)copied;
}

static int copy_file(int root, const char *from, const char *to, mode_t mode) {
    AUTO_FD in = sys_openat(root, from, O_RDONLY, 0);
    if (in < 0)
        return in;
    AUTO_FD out = sys_openat(root, to, O_WRONLY | O_CREAT | O_EXCL, mode);
    return out < 0 ? out : store_copy(out, in);
}

/* Whether another program has a link to the file at this path: it may still be reading it. */
static bool is_shared(int root, const char *path) {
    struct stat status;
    return sys_fstatat(root, path, &status, AT_SYMLINK_NOFOLLOW) < 0 || status.st_nlink > 1;
}

/* Brings one version into the directory of a program that is about to start. */
static int place_item(spile_call *call, size_t program, struct item *item) {
    int root = cell_root_fd(call->cell);
    bool changes = program_changes(call, program, item->name);
    bool is_last = item->readers-- == 1 && !item->is_output;
    char from[PATH_MAX], to[PATH_MAX];
    store_path(item, from);
    store_program_path(program, item->name, to);
    int result = 0;
    if (item->place != (int)program) {
        result = store_make_parents(call, to);
        if (result >= 0 && is_last && !(changes && is_shared(root, from)))
            result = sys_renameat(root, from, root, to);
        else if (result >= 0 && changes)
            return copy_file(root, from, to, item->mode | S_IWUSR);
        else if (result >= 0)
            return sys_linkat(root, from, root, to, 0);
        item->place = (int)program;
    }
    if (result >= 0 && changes) {
        result = sys_fchmodat(root, to, item->mode | S_IWUSR);
        item->place = PLACE_NOWHERE;
    }
    return result;
}

/* Parents of what will be written, and trees themselves: most programs that take a directory want it to be there. */
static int make_directories(spile_call *call, size_t program) {
    const spile_program *owner = call->plan->programs[program].program;
    for (size_t i = 0; i < owner->file_count; i++) {
        char path[PATH_MAX];
        const struct file *file = &owner->files[i];
        if (!strchr(file->name, '/'))
            continue;
        store_program_path(program, file->name, path);
        char *wild = path + strcspn(path, "*?[");
        if (file->is_pattern && *wild) {
            *wild = '\0'; /* only what stands before the first wildcard is known */
        }
        int result = store_make_parents(call, path);
        if (result < 0)
            return result;
    }
    return 0;
}

int store_furnish(spile_call *call, size_t program, spile_error **ret_error) {
    int result = store_make_directory(call, program);
    if (result >= 0)
        result = make_directories(call, program);
    if (result < 0) {
        *ret_error = run_system_error(result, "making the directory of", call->programs[program].label);
        return result;
    }
    for (size_t i = 0; i < call->item_count; i++) {
        struct item *item = call->items[i];
        if ((int)program == item->producer || !store_sees(call, program, item))
            continue;
        result = place_item(call, program, item);
        if (result < 0) {
            *ret_error = run_system_error(result, "placing the file", item->name);
            return result;
        }
    }
    return 0;
}
