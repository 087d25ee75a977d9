/* Where each input comes from and each output goes: bindings where there are any, else the host's file of that name.
 *
 * Everything is settled, and looked at on the host, before anything starts; what is missing is noted in its tie, so
 * that a dry run can show it.
 */
#include "run.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_pattern(const char *name) {
    return strpbrk(name, "*?[") != NULL;
}

static bool is_tree(const char *name) {
    size_t size = strlen(name);
    return size > 0 && name[size - 1] == '/';
}

/* A descriptor that was handed to this process: the library's own ones are all closed at an exec. */
static const char *check_descriptor(const char *word, int fd, enum direction direction) {
    int flags = fcntl(fd, F_GETFD), mode = fcntl(fd, F_GETFL);
    static const char *const names[] = {"standard input", "standard output", "standard error"};
    const char *subject = fd < 3 ? names[fd] : allocate_format("descriptor %d", fd);
    if (flags < 0 || flags & FD_CLOEXEC || standard_stream_was_closed(fd))
        return allocate_format("'%s': %s is not open", word, subject);
    mode &= O_ACCMODE;
    if (direction == DIRECTION_INPUT && mode == O_WRONLY)
        return allocate_format("'%s': %s is open for writing only", word, subject);
    if (direction == DIRECTION_OUTPUT && mode == O_RDONLY)
        return allocate_format("'%s': %s is open for reading only", word, subject);
    return NULL;
}

const char *binding_add(struct run *run, const char *word, enum direction direction) {
    const char *equals = strchr(word, '=');
    struct binding binding = {.word = word, .fd = -1, .direction = direction};
    if (!equals || equals == word)
        return allocate_format("'%s' lacks %s: write NAME=PATH, NAME=- or NAME=@DESCRIPTOR", word,
                               equals ? "a name" : "'='");
    binding.name = allocate_copy(word, (size_t)(equals - word));
    binding.path = equals + 1;
    if (binding.path[0] == '\0')
        return allocate_format("'%s' lacks its path: write NAME=PATH, NAME=- or NAME=@DESCRIPTOR", word);
    if (binding.path[0] == '@') {
        unsigned long fd;
        if (!parse_count(binding.path + 1, INT32_MAX, &fd))
            return allocate_format("'%s' names no descriptor: write %s=@3, or %s=./%s for a file of that name", word,
                                   binding.name, binding.name, binding.path);
        binding.fd = (int)fd;
        binding.path = NULL;
    } else if (strcmp(binding.path, "-") == 0) {
        binding.path = NULL;
    }
    for (size_t i = 0; i < run->bindings.count; i++)
        if (run->bindings.items[i].direction & direction && strcmp(run->bindings.items[i].name, binding.name) == 0)
            return allocate_format("'%s' is bound twice: by '%s' and by '%s'", binding.name,
                                   run->bindings.items[i].word, word);
    *LIST_ADD(run->bindings) = binding;
    return NULL;
}

static struct binding *find_binding(struct run *run, const char *name, enum direction direction) {
    for (size_t i = 0; i < run->bindings.count; i++)
        if (run->bindings.items[i].direction & direction && strcmp(run->bindings.items[i].name, name) == 0)
            return &run->bindings.items[i];
    return NULL;
}

/* ---------------------------------------------------------------------------------------------------- inputs */

static int standard_input_use(struct run *run, const char *word, int fd) {
    if (fd != 0)
        return 0;
    if (++run->stdin_uses > 1)
        return run_refuse(run, SPILE_ERROR_USAGE, "'%s': standard input is read already, and can't be read twice",
                          word);
    return 0;
}

/* The file in this directory that was most likely meant, or NULL. */
static const char *nearest_here(const char *name) {
    struct nearest nearest = {.word = name};
    word_list names = {0};
    if (!strchr(name, '/') && pattern_find(".", "*", &names) >= 0)
        for (size_t i = 0; i < names.count; i++)
            nearest_offer(&nearest, names.items[i]);
    return nearest.best;
}

static const char *missing_here(const char *name) {
    const char *nearest = nearest_here(name);
    if (is_tree(name))
        return allocate_format("there is no directory '%s' here: say where it is by %s=PATH", name, name);
    if (nearest)
        return allocate_format("there is no file '%s' here: did you mean %s=%s?", name, name, nearest);
    return allocate_format("there is no file '%s' here: say where it is by %s=PATH", name, name);
}

static const char *path_fault(const char *name, const char *path) {
    struct stat status;
    if (stat(path, &status) < 0) {
        bool is_default = strcmp(name, path) == 0;
        if (errno != ENOENT && errno != ENOTDIR)
            return allocate_format("'%s' can't be read: %s", path, strerror(errno));
        return is_default ? missing_here(name)
                          : allocate_format("there is no %s '%s', which '%s=%s' names",
                                            is_tree(name) ? "directory" : "file", path, name, path);
    }
    if (is_tree(name) && !S_ISDIR(status.st_mode))
        return allocate_format("'%s' is no directory, and '%s' is a tree: drop the slash for a file", path, name);
    if (!is_tree(name) && S_ISDIR(status.st_mode))
        return allocate_format("'%s' is a directory: mark it as a tree, {<%s/}", path, name);
    if (S_ISSOCK(status.st_mode))
        return allocate_format("'%s' is a socket: connect to it and write %s=@DESCRIPTOR", path, name);
    if (access(path, is_tree(name) ? R_OK | X_OK : R_OK) < 0)
        return allocate_format("'%s' can't be read: %s", path, strerror(errno));
    return NULL;
}

static void add_input(struct run *run, const char *name, const char *path, int fd, ssize_t file) {
    *LIST_ADD(run->inputs) = (struct tie){.name = name, .path = path, .fd = fd, .file = file};
}

/* Whether a pattern that a program writes stands for this name: then it is the program's to make. */
static bool may_be_made(const spile_plan *plan, const char *name) {
    spile_use_info use = {.size = sizeof(use)};
    spile_file_info file = {.size = sizeof(file)};
    for (size_t i = 0; spile_plan_use(plan, i, &use) >= 0; i++)
        if (use.role == SPILE_WRITE && spile_plan_file(plan, use.file, &file) >= 0 && file.is_pattern &&
            fnmatch(file.name, name, FNM_PERIOD) == 0)
            return true;
    return false;
}

/* Every file of a directory that the pattern matches, under the name it has there. */
static int add_matches(struct run *run, const char *pattern, const char *directory, ssize_t file) {
    word_list names = {0};
    int result = pattern_find(directory, pattern, &names);
    bool is_here = strcmp(directory, ".") == 0;
    if (result < 0 || names.count == 0) {
        const char *missing =
            result == -ENOTDIR ? allocate_format("'%s' is a pattern, so '%s' must be a directory", pattern, directory)
            : result < 0       ? allocate_format("'%s' can't be read: %s", directory, strerror(-result))
            : is_here
                ? allocate_format("no file here matches '%s': say where they are by '%s=DIRECTORY'", pattern, pattern)
                : allocate_format("no file in '%s' matches '%s'", directory, pattern);
        *LIST_ADD(run->inputs) = (struct tie){.name = pattern, .fd = -1, .file = file, .missing = missing};
        return 0;
    }
    for (size_t i = 0; i < names.count; i++) {
        const char *name = names.items[i];
        const char *path = is_here ? name : allocate_format("%s/%s", directory, name);
        /* A name that is marked by itself as well comes by that mark. */
        if (plan_find_file(run->plan, name, NULL) >= 0 || find_binding(run, name, DIRECTION_INPUT) ||
            may_be_made(run->plan, name))
            continue;
        *LIST_ADD(run->inputs) = (struct tie){
            .name = name, .path = path, .fd = -1, .file = file, .missing = path_fault(name, path)};
    }
    return 0;
}

static int add_bound_input(struct run *run, const struct binding *binding, ssize_t file) {
    if (is_pattern(binding->name) && !binding->path)
        return run_refuse(run, SPILE_ERROR_USAGE, "'%s': a pattern is bound to a directory", binding->word);
    if (is_pattern(binding->name))
        return add_matches(run, binding->name, binding->path, file);
    if (binding->path) {
        add_input(run, binding->name, binding->path, -1, file);
        run->inputs.items[run->inputs.count - 1].missing = path_fault(binding->name, binding->path);
        return 0;
    }
    int fd = binding->fd < 0 ? 0 : binding->fd;
    if (is_tree(binding->name))
        return run_refuse(run, SPILE_ERROR_USAGE, "'%s': a tree is bound to a directory", binding->word);
    const char *fault = check_descriptor(binding->word, fd, DIRECTION_INPUT);
    if (fault)
        return run_refuse(run, SPILE_ERROR_USAGE, "%s", fault);
    for (size_t i = 0; i < run->inputs.count; i++)
        if (fd != 0 && !run->inputs.items[i].path && run->inputs.items[i].fd == fd)
            return run_refuse(run, SPILE_ERROR_USAGE, "'%s': descriptor %d is read already, and can't be read twice",
                              binding->word, fd);
    add_input(run, binding->name, NULL, fd, file);
    return standard_input_use(run, binding->word, fd);
}

static int add_default_input(struct run *run, const spile_file_info *info, ssize_t file) {
    if (info->is_pattern)
        return add_matches(run, info->name, ".", file);
    const char *fault = path_fault(info->name, info->name);
    if (fault && info->is_given_optional && access(info->name, F_OK) < 0)
        return 0;
    add_input(run, info->name, info->name, -1, file);
    run->inputs.items[run->inputs.count - 1].missing = fault;
    return 0;
}

/* --------------------------------------------------------------------------------------------------- outputs */

static int add_bound_output(struct run *run, const struct binding *binding, ssize_t file) {
    struct tie tie = {.name = binding->name, .path = binding->path, .fd = -1, .file = file};
    if (!binding->path) {
        tie.fd = binding->fd < 0 ? 1 : binding->fd;
        if (is_tree(binding->name))
            return run_refuse(run, SPILE_ERROR_USAGE, "'%s': a tree is bound to a directory", binding->word);
        const char *fault = check_descriptor(binding->word, tie.fd, DIRECTION_OUTPUT);
        if (fault)
            return run_refuse(run, SPILE_ERROR_USAGE, "%s", fault);
    }
    *LIST_ADD(run->outputs) = tie;
    return 0;
}

bool output_takes_standard_output(const struct run *run) {
    for (size_t i = 0; i < run->outputs.count; i++)
        if (!run->outputs.items[i].path && run->outputs.items[i].fd == 1)
            return true;
    return false;
}

static void add_default_output(struct run *run, const spile_file_info *info, ssize_t file) {
    *LIST_ADD(run->outputs) = (struct tie){
        .name = info->name, .path = info->is_pattern ? "." : info->name, .fd = -1, .file = file};
}

/* -------------------------------------------------------------------------------------------------- together */

static bool flow_takes(spile_flow flow) {
    return flow == SPILE_INPUT || flow == SPILE_INPUT_OUTPUT;
}

static bool flow_gives(spile_flow flow) {
    return flow == SPILE_OUTPUT || flow == SPILE_INPUT_OUTPUT;
}

static bool is_said_only_for(const struct binding *binding, enum direction direction) {
    return binding && binding->direction == direction;
}

static int resolve_file(struct run *run, size_t index, const spile_file_info *info) {
    struct binding *in = find_binding(run, info->name, DIRECTION_INPUT);
    struct binding *out = find_binding(run, info->name, DIRECTION_OUTPUT);
    bool is_several = info->is_pattern || info->is_tree;
    /* Files of a pattern that programs feed may be given all the same. */
    bool takes = flow_takes(info->flow) || (is_several && is_said_only_for(in, DIRECTION_INPUT));
    int status = 0;
    if (is_said_only_for(in, DIRECTION_INPUT) && !takes)
        return run_refuse(run, SPILE_ERROR_USAGE, "-i %s: '%s' is made by a program: write -o to say where it goes",
                          in->word, info->name);
    if (is_said_only_for(out, DIRECTION_OUTPUT) && info->flow == SPILE_INPUT)
        return run_refuse(run, SPILE_ERROR_USAGE, "-o %s: '%s' is only read: write -i to say where it comes from",
                          out->word, info->name);
    if (takes)
        status = in ? add_bound_input(run, in, (ssize_t)index) : add_default_input(run, info, (ssize_t)index);
    if (status || info->flow == SPILE_INPUT)
        return status;
    if (out)
        return add_bound_output(run, out, (ssize_t)index);
    if (flow_gives(info->flow))
        add_default_output(run, info, (ssize_t)index);
    return 0;
}

static int resolve_extra(struct run *run, const struct binding *binding) {
    if (binding->direction == DIRECTION_INPUT)
        return add_bound_input(run, binding, -1);
    return add_bound_output(run, binding, -1);
}

int bindings_resolve(struct run *run) {
    spile_file_info info = {.size = sizeof(info)};
    int status = 0;
    for (size_t i = 0; status == 0 && spile_plan_file(run->plan, i, &info) >= 0; i++)
        status = resolve_file(run, i, &info);
    for (size_t i = 0; status == 0 && i < run->bindings.count; i++)
        if (plan_find_file(run->plan, run->bindings.items[i].name, NULL) < 0)
            status = resolve_extra(run, &run->bindings.items[i]);
    for (size_t i = 0; status == 0 && !run->dry_run && !run->dot && i < run->inputs.count; i++)
        if (run->inputs.items[i].missing)
            *LIST_ADD(run->hints) = run->inputs.items[i].missing;
    if (status || run->hints.count == 0)
        return status;
    const char *first = run->hints.items[0];
    run->hints.items++; /* each further one has a line of its own */
    run->hints.count--;
    run->hints.capacity--;
    return run_refuse(run, SPILE_ERROR_MISSING, "%s", first);
}
