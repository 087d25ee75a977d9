/* spile_call: what the caller says before the run, and the two ways to run it. The run itself is in run.c. */
#include "base/affinity.h"
#include "call/flow.h"
#include "call/run.h"
#include "cell/ctx.h"
#include "cell/promise.h"

/* In the child of a fork: what the parent still uses is let go, and nothing else. */
static void after_fork(struct forkguard_node *node) {
    spile_call *call = CONTAINER_OF(node, spile_call, guard);
    call->is_dead = true;
    call->wake_loop = NULL;
    if (call->user.loop)
        loop_die(call->user.loop);
    for (size_t i = 0; i < call->program_count; i++) {
        call->programs[i].output.fd = fd_close(call->programs[i].output.fd);
        call->programs[i].error.fd = fd_close(call->programs[i].error.fd);
        call->programs[i].output.sink.fd = fd_close(call->programs[i].output.sink.fd);
        call->programs[i].error.sink.fd = fd_close(call->programs[i].error.sink.fd);
    }
    for (size_t i = 0; i < call->item_count; i++) {
        call->items[i]->input_fd = fd_close(call->items[i]->input_fd);
        call->items[i]->file_fd = fd_close(call->items[i]->file_fd);
    }
    for (size_t i = 0; i < call->delivery_count; i++) {
        call->deliveries[i].file_fd = fd_close(call->deliveries[i].file_fd);
        call->deliveries[i].target_fd = fd_close(call->deliveries[i].target_fd);
        call->deliveries[i].sink.fd = fd_close(call->deliveries[i].sink.fd);
    }
    flow_abandon(call);
    if (call->cell)
        cell_abandon(call->cell);
    call->cell = NULL;
}

static int copy_texts(const char *const *texts, size_t count, char ***ret_copy) {
    char **copy = memory_zero(count + 1, sizeof(*copy));
    int result = copy ? 0 : -ENOMEM;
    for (size_t i = 0; i < count && result >= 0; i++)
        if (!texts[i])
            result = -EINVAL;
        else if (!(copy[i] = memory_string(texts[i])))
            result = -ENOMEM;
    if (result < 0)
        string_list_free(copy);
    else
        *ret_copy = copy;
    return result;
}

static int copy_list(const char *const *from, char ***ret_copy) {
    size_t count = 0;
    while (from[count])
        count++;
    return copy_texts(from, count, ret_copy);
}

static int copy_options(spile_call *call, const spile_call_options *options) {
    call->options = *options;
    if (options->env && copy_list(options->env, &call->env) < 0)
        return -ENOMEM;
    if (options->cwd && !(call->cwd = memory_string(options->cwd)))
        return -ENOMEM;
    if (options->private_path && !(call->private_path = memory_string(options->private_path)))
        return -ENOMEM;
    return 0;
}

static bool are_options_known(const spile_call_options *options) {
    return options->size >= sizeof(*options) && (unsigned)options->standard_output <= SPILE_STDIO_CAPTURE &&
           (unsigned)options->standard_error <= SPILE_STDIO_CAPTURE &&
           (unsigned)options->env_mode <= SPILE_ENV_REPLACE && (options->require & ~(unsigned)PROMISE_ALL) == 0;
}

static int make_programs(spile_call *call) {
    call->programs = memory_zero(call->plan->program_count, sizeof(*call->programs));
    call->group_programs = memory_zero(call->plan->group_count, sizeof(*call->group_programs));
    if (!call->programs || !call->group_programs)
        return -ENOMEM;
    for (size_t i = 0; i < call->plan->program_count; i++) {
        struct run_program *program = &call->programs[i];
        *program = (struct run_program){.call = call, .index = i, .output.fd = -1, .error.fd = -1};
        program->output.sink.fd = program->error.sink.fd = -1;
        program->label = plan_program_label(call->plan, i);
        call->program_count++;
        if (!program->label)
            return -ENOMEM;
    }
    return 0;
}

int spile_call_new(spile_plan *plan, spile_ctx *ctx, const spile_call_options *options, spile_call **ret_call) {
    static const spile_call_options defaults = {.size = sizeof(defaults)};
    if (!options)
        options = &defaults;
    if (!plan || !plan->is_finished || !ret_call || !are_options_known(options))
        return -EINVAL;
    spile_call *call = memory_zero(1, sizeof(*call));
    if (!call)
        return -ENOMEM;
    call->plan = spile_plan_ref(plan);
    call->ctx = ctx;
    forkguard_add(&call->guard, after_fork);
    int result = copy_options(call, options);
    if (!call->options.jobs)
        call->options.jobs = plan->group_count > 1 ? affinity_count() : 1;
    if (result >= 0)
        result = make_programs(call);
    if (result < 0) {
        spile_call_free(call);
        return result;
    }
    *ret_call = call;
    return 0;
}

static void free_parts(spile_call *call) {
    for (size_t i = 0; i < call->item_count; i++) {
        struct item *item = call->items[i];
        item->state = ITEM_READY;
        source_stop(item);
        source_done(&item->source);
        bytes_release(item->data, item->bytes, item->data_is_mapped);
        free(item->name);
        free(item);
    }
    for (size_t i = 0; i < call->request_count; i++) {
        free(call->requests[i].name);
        free(call->requests[i].path);
    }
    for (size_t i = 0; i < call->value_count; i++) {
        string_list_free(call->values[i].texts);
        free(call->values[i].name);
    }
    for (size_t i = 0; i < call->program_count; i++) {
        capture_done(&call->programs[i].output);
        capture_done(&call->programs[i].error);
        string_list_free(call->programs[i].argv);
        free(call->programs[i].path);
        free(call->programs[i].label);
    }
}

static void ignore_result(void *user, spile_call *call, spile_result *result) {
    (void)user;
    (void)call;
    spile_result_free(result);
}

spile_call *spile_call_free(spile_call *call) {
    if (!call)
        return NULL;
    if (call->state != CALL_NEW && call->state != CALL_ENDED && !call->is_dead) {
        if (loop_is_stepping(call->loop))
            return NULL; /* from inside a callback: it may not */
        call->done_fn = ignore_result;
        spile_call_cancel(call);
        while (call->state != CALL_ENDED)
            (void)spile_loop_step(call->loop, NS_FOREVER);
    }
    forkguard_remove(&call->guard);
    flow_free(call);
    free(call->seems_stuck);
    free_parts(call);
    spile_result_free(call->result);
    spile_error_free(call->error);
    string_list_free(call->env);
    free(call->cwd);
    free(call->private_path);
    free(call->host_cwd);
    free(call->items);
    free(call->requests);
    free(call->values);
    free(call->programs);
    free(call->group_programs);
    free(call->deliveries);
    spile_plan_unref(call->plan);
    loop_leave(&call->user); /* of a loop that died in a fork */
    free(call);
    return NULL;
}

/* ------------------------------------------------------------------------------ what goes in */

static bool is_program_word(const spile_call *call, const char *name) {
    for (size_t i = 0; i < call->program_count; i++) {
        const spile_program *owner = call->plan->programs[i].program;
        const struct word *first = &owner->words[0];
        for (size_t j = 0; j < first->part_count; j++)
            if (first->parts[j].type == SPILE_PART_FILE && strcmp(owner->files[first->parts[j].file].name, name) == 0)
                return true;
    }
    return false;
}

static bool is_seen(const spile_call *call, const struct item *item) {
    for (size_t i = 0; i < call->program_count; i++)
        if (store_sees(call, i, item))
            return true;
    return false;
}

/* A pattern is not a file's name; but a file may be called like one, and patterns match it. */
static bool is_marked_pattern(const spile_plan *plan, const char *name) {
    const struct plan_name *known = plan_find_name(plan, name);
    return known && known->is_pattern;
}

/* Makes the given file; the source is the item's afterwards, or freed on failure. */
static int add_input(spile_call *call, const char *name, struct source source) {
    int result = 0;
    if (!call || !name || call->state != CALL_NEW || program_name_fault(name) || is_marked_pattern(call->plan, name) ||
        name_is_tree(name))
        result = -EINVAL;
    else if (store_find(call, name, PLAN_GIVEN))
        result = -EEXIST;
    else if (plan_is_made(call->plan, name))
        result = -EPERM;
    struct item *item = result < 0 ? NULL : store_add(call, name, PLAN_GIVEN);
    if (!item) {
        source_done(&source);
        return result < 0 ? result : -ENOMEM;
    }
    item->source = source;
    item->is_executable = is_program_word(call, name);
    const struct plan_name *known = plan_find_name(call->plan, name);
    item->is_extra = !is_seen(call, item);
    item->is_stream = known && known->kind == SPILE_STREAM;
    return 0;
}

int spile_call_input_memory(spile_call *call, const char *name, const void *data, size_t size) {
    if (!data && size)
        return -EINVAL;
    return add_input(call, name, (struct source){.type = SOURCE_MEMORY, .data = data, .size = size, .fd = -1});
}

static void free_copy(void *user, void *data) {
    (void)user;
    free(data);
}

int spile_call_input_copy(spile_call *call, const char *name, const void *data, size_t size) {
    if (!data && size)
        return -EINVAL;
    void *copy = memory_new(MAX(size, (size_t)1));
    if (!copy)
        return -ENOMEM;
    if (size)
        memcpy(copy, data, size);
    return spile_call_input_give(call, name, copy, size, free_copy, NULL);
}

int spile_call_input_give(spile_call *call, const char *name, void *data, size_t size, spile_free_fn free_fn,
                          void *user) {
    struct source source = {
        .type = SOURCE_MEMORY, .data = data, .size = size, .free_fn = free_fn, .user = user, .fd = -1};
    if (data || !size)
        return add_input(call, name, source);
    source_done(&source);
    return -EINVAL;
}

int spile_call_input_fd(spile_call *call, const char *name, int fd) {
    int flags = fd < 0 ? -1 : fcntl(fd, F_GETFL);
    if (flags < 0 || (flags & O_ACCMODE) == O_WRONLY)
        return -EBADF;
    return add_input(call, name, (struct source){.type = SOURCE_FD, .fd = fd});
}

static int add_path(spile_call *call, const char *name, const char *path) {
    char *copy = memory_string(path);
    if (!copy)
        return -ENOMEM;
    return add_input(call, name, (struct source){.type = SOURCE_PATH, .path = copy, .fd = -1});
}

static int add_tree(spile_call *call, const char *name, const char *path);

/* One entry of a tree; a link to a directory is not followed, one to nothing is left out. */
static int add_entry(spile_call *call, const char *tree, const char *path, const struct dirent *found) {
    struct stat status;
    AUTO_TEXT file_name = {0};
    AUTO_TEXT file_path = {0};
    text_printf(&file_path, "%s/%s", path, found->d_name);
    if (file_path.failed)
        return -ENOMEM;
    int result = sys_fstatat(AT_FDCWD, file_path.data, &status, 0);
    if (result < 0)
        return result == -ENOENT ? 0 : result;
    text_printf(&file_name, "%s%s%s", tree, found->d_name, S_ISDIR(status.st_mode) ? "/" : "");
    if (file_name.failed)
        return -ENOMEM;
    if (S_ISDIR(status.st_mode))
        return found->d_type == DT_LNK ? 0 : add_tree(call, file_name.data, file_path.data);
    return S_ISREG(status.st_mode) ? add_path(call, file_name.data, file_path.data) : 0;
}

/* Each file below `path` becomes one of `name`. */
static int add_tree(spile_call *call, const char *name, const char *path) {
    AUTO_FD fd = sys_openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0)
        return fd;
    DIR *directory = sys_fdopendir(fd);
    if (!directory)
        return -errno;
    (void)TAKE_FD(fd); /* the directory's now */
    int result = 0;
    struct dirent *found;
    while (result >= 0 && (found = readdir(directory)))
        if (strcmp(found->d_name, ".") != 0 && strcmp(found->d_name, "..") != 0)
            result = add_entry(call, name, path, found);
    closedir(directory);
    return result < 0 ? result : 0;
}

int spile_call_input_path(spile_call *call, const char *name, const char *path) {
    if (!call || !name || !path || call->state != CALL_NEW)
        return -EINVAL;
    if (!name_is_tree(name))
        return add_path(call, name, path);
    return program_name_fault(name) ? -EINVAL : add_tree(call, name, path);
}

int spile_call_input_callback(spile_call *call, const char *name, spile_read_fn read_fn, void *user) {
    if (!read_fn)
        return -EINVAL;
    return add_input(call, name, (struct source){.type = SOURCE_CALLBACK, .read_fn = read_fn, .user = user, .fd = -1});
}

int spile_call_stdin_memory(spile_call *call, size_t program, const void *data, size_t size) {
    if (!call || call->state != CALL_NEW || program >= call->program_count || (!data && size))
        return -EINVAL;
    bool is_piped_into = program > 0 && call->plan->programs[program - 1].is_piped;
    if (call->plan->programs[program].program->tied[0] >= 0 || is_piped_into)
        return -EINVAL;
    for (size_t i = 0; i < call->item_count; i++)
        if (call->items[i]->producer == STDIN_PRODUCER(program))
            return -EEXIST;
    struct item *item = store_add(call, "standard input", STDIN_PRODUCER(program));
    if (!item)
        return -ENOMEM;
    item->is_stdin = true;
    item->source = (struct source){.type = SOURCE_MEMORY, .data = data, .size = size, .fd = -1};
    return 0;
}

/* ------------------------------------------------------------------------------ what comes out */

static int add_request(spile_call *call, const char *name, struct request request) {
    if (!call || !name || call->state != CALL_NEW)
        return -EINVAL;
    if (program_name_fault(name))
        return -EINVAL;
    for (size_t i = 0; i < call->request_count; i++)
        if (strcmp(call->requests[i].name, name) == 0)
            return -EEXIST;
    const struct plan_name *known = plan_find_name(call->plan, name);
    if (known && known->flow == SPILE_INPUT)
        return -EPERM;
    if (ARRAY_RESERVE(call->requests, call->request_count, call->request_capacity) < 0)
        return -ENOMEM;
    request.name = memory_string(name);
    if (!request.name)
        return -ENOMEM;
    call->requests[call->request_count++] = request;
    return 0;
}

int spile_call_output_memory(spile_call *call, const char *name) {
    return add_request(call, name, (struct request){.type = REQUEST_MEMORY});
}

int spile_call_output_fd(spile_call *call, const char *name, int fd) {
    int flags = fd < 0 ? -1 : fcntl(fd, F_GETFL);
    if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY)
        return -EBADF;
    return add_request(call, name, (struct request){.type = REQUEST_FD, .fd = fd});
}

int spile_call_output_path(spile_call *call, const char *name, const char *path, unsigned flags) {
    if (!path || flags & ~(unsigned)SPILE_OUTPUT_FORCE)
        return -EINVAL;
    char *copy = memory_string(path);
    if (!copy)
        return -ENOMEM;
    int result = add_request(call, name, (struct request){.type = REQUEST_PATH, .path = copy, .flags = flags});
    if (result < 0)
        free(copy);
    return result;
}

int spile_call_output_callback(spile_call *call, const char *name, spile_write_fn write_fn, void *user) {
    if (!write_fn)
        return -EINVAL;
    return add_request(call, name, (struct request){.type = REQUEST_CALLBACK, .write_fn = write_fn, .user = user});
}

/* ------------------------------------------------------------------------------ values */

static const struct plan_value *find_value(const spile_plan *plan, const char *name) {
    for (size_t i = 0; i < plan->value_count; i++)
        if (strcmp(plan->values[i].name, name) == 0)
            return &plan->values[i];
    return NULL;
}

static int check_value(const spile_call *call, const char *name, bool is_list) {
    const struct plan_value *known = find_value(call->plan, name);
    if (!known || known->is_list != is_list)
        return known ? -EINVAL : -ENOENT;
    for (size_t i = 0; i < call->value_count; i++)
        if (strcmp(call->values[i].name, name) == 0)
            return -EEXIST;
    return 0;
}

static int add_values(spile_call *call, const char *name, const char *const *texts, size_t count, bool is_list) {
    if (!call || !name || call->state != CALL_NEW || (!texts && count))
        return -EINVAL;
    int result = check_value(call, name, is_list);
    if (result >= 0)
        result = ARRAY_RESERVE(call->values, call->value_count, call->value_capacity);
    struct call_value value = {.count = count};
    if (result >= 0)
        result = copy_texts(texts, count, &value.texts);
    if (result < 0)
        return result;
    value.name = memory_string(name);
    if (!value.name) {
        string_list_free(value.texts);
        return -ENOMEM;
    }
    call->values[call->value_count++] = value;
    return 0;
}

int spile_call_value(spile_call *call, const char *name, const char *text) {
    return add_values(call, name, &text, 1, false);
}

int spile_call_values(spile_call *call, const char *name, const char *const *texts, size_t count) {
    return add_values(call, name, texts, count, true);
}

/* ------------------------------------------------------------------------------ running */

int spile_call_attach(spile_call *call, spile_loop *loop, spile_done_fn done_fn, void *user) {
    if (!call || !loop || !done_fn)
        return -EINVAL;
    if (call->state != CALL_NEW)
        return -EALREADY;
    if (loop_is_dead(loop) || call->is_dead)
        return -EBADF;
    call->loop = loop;
    call->done_fn = done_fn;
    call->done_user = user;
    call->wake_loop = loop;
    int result = run_start(call);
    if (result < 0)
        call->wake_loop = NULL;
    return result;
}

static void keep_result(void *user, spile_call *call, spile_result *result) {
    (void)call;
    *(spile_result **)user = result;
}

int spile_call_run(spile_call *call, spile_result **ret_result) {
    if (!call || !ret_result)
        return -EINVAL;
    if (call->state != CALL_NEW)
        return -EALREADY;
    spile_ctx *ctx = call->ctx ? call->ctx : ctx_default();
    if (!ctx)
        return -ENOMEM;
    spile_loop *loop = ctx_take_loop(ctx);
    int result = loop ? 0 : loop_new_inner(&loop);
    if (result < 0)
        return result;
    spile_result *ended = NULL;
    result = spile_call_attach(call, loop, keep_result, &ended);
    while (result >= 0 && !ended) {
        int stepped = spile_loop_step(loop, NS_FOREVER);
        if (stepped < 0)
            result = stepped;
    }
    call->loop = NULL;
    ctx_give_loop(ctx, loop);
    if (!ended)
        return result;
    const spile_error *error = spile_result_error(ended);
    *ret_result = ended;
    return error ? error_kind_errno(error->kind, error->number) : 0;
}

/* The counter keeps the run from letting its loop go while another thread writes to it; no lock, so that a signal
 * handler may cancel. */
static void call_wake(spile_call *call) {
    call->wakers++;
    spile_loop *loop = call->wake_loop;
    if (loop)
        loop_wake(loop);
    call->wakers--;
}

void spile_call_cancel(spile_call *call) {
    call->cancel_asked = true;
    call_wake(call);
}

void spile_call_resume(spile_call *call) {
    call->resume_asked = true;
    call_wake(call);
}
