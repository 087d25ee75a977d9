/* Pipes for processes that spile does not start: what the caller says and asks. See pipe.h. */
#include "pipe/pipe.h"

void pipe_set_state(spile_pipe *pipe, enum pipe_state state) {
    static const unsigned allowed[] = {
        [PIPE_NEW] = 1u << PIPE_OPEN | 1u << PIPE_ENDED,
        [PIPE_OPEN] = 1u << PIPE_HANDING | 1u << PIPE_ENDED,
        [PIPE_HANDING] = 1u << PIPE_ENDED,
        [PIPE_ENDED] = 0,
    };
    pthread_mutex_lock(&pipe->mutex);
    assert(allowed[pipe->state] & 1u << state);
    pipe->state = state;
    pthread_cond_broadcast(&pipe->changed);
    pthread_mutex_unlock(&pipe->mutex);
}

/* ------------------------------------------------------------------------------ life */

static void init_locks(spile_pipe *pipe) {
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_mutex_init(&pipe->mutex, NULL);
    pthread_cond_init(&pipe->changed, &attributes);
    pthread_condattr_destroy(&attributes);
}

/* Only the descriptors go, for a write end that stayed open would keep the end from a reader. The stream and the loop
 * of a thread that was in the middle of them are left as they are, for good. */
static void after_fork(struct forkguard_node *node) {
    spile_pipe *pipe = CONTAINER_OF(node, spile_pipe, guard);
    pipe->is_dead = true;
    init_locks(pipe);
    feed_abandon(&pipe->feed);
    if (pipe->stream)
        stream_abandon(pipe->stream);
    pipe->target_fd = fd_close(pipe->target_fd);
    pipe->out.fd = fd_close(pipe->out.fd);
    pipe->process_fd = fd_close(pipe->process_fd);
    pipe->asked_fd = fd_close(pipe->asked_fd);
    pipe->tree.fd = fd_close(pipe->tree.fd);
}

static int check_options(const spile_pipe_options *options) {
    if (options->size != sizeof(*options))
        return -EINVAL;
    const char *name = options->name;
    if (name && (!*name || strchr(name, '/') || strcmp(name, ".") == 0 || strcmp(name, "..") == 0))
        return -EINVAL;
    return name && strlen(name) > NAME_MAX ? -ENAMETOOLONG : 0;
}

static int pipe_new(const spile_pipe_options *options, bool is_input, spile_pipe **ret_pipe) {
    static const spile_pipe_options none = {.size = sizeof(none)};
    if (!options)
        options = &none;
    int result = ret_pipe ? check_options(options) : -EINVAL;
    if (result < 0)
        return result;
    spile_pipe *pipe = memory_zero(1, sizeof(*pipe));
    if (!pipe)
        return -ENOMEM;
    pipe->is_input = is_input;
    pipe->is_optional = options->is_optional;
    pipe->ends_by_exit = is_input || options->ends_by_exit;
    pipe->limit_bytes = options->limit_bytes;
    pipe->feed.fd = pipe->out.fd = pipe->target_fd = pipe->process_fd = pipe->asked_fd = pipe->last_fd = pipe->tree.fd =
        -1;
    init_locks(pipe);
    forkguard_add(&pipe->guard, after_fork);
    pipe->name = memory_string(options->name ? options->name : "pipe");
    if (!pipe->name) {
        spile_pipe_free(pipe);
        return -ENOMEM;
    }
    *ret_pipe = pipe;
    return 0;
}

int spile_pipe_new_input(const spile_pipe_options *options, spile_pipe **ret_pipe) {
    return pipe_new(options, true, ret_pipe);
}

int spile_pipe_new_output(const spile_pipe_options *options, spile_pipe **ret_pipe) {
    return pipe_new(options, false, ret_pipe);
}

spile_pipe *spile_pipe_free(spile_pipe *pipe) {
    if (!pipe || (!pipe->is_dead && (pipe->has_thread ? pipe_is_own_thread(pipe) : pipe->is_in_callback)))
        return NULL;
    if (!pipe->is_dead) {
        pipe_join(pipe);
        if (pipe->loop && pipe->state != PIPE_ENDED)
            pipe_end(pipe);
        feed_stop(&pipe->feed);
        pipe_drain_close(pipe);
        fd_close(pipe->asked_fd);
        pipe_release_late(pipe);
    }
    fd_close(pipe->last_fd);
    forkguard_remove(&pipe->guard);
    spile_error_free(pipe->error);
    pthread_cond_destroy(&pipe->changed);
    pthread_mutex_destroy(&pipe->mutex);
    free(pipe->feed.pending);
    free(pipe->temporary);
    free(pipe->target);
    free(pipe->copy);
    bytes_done(&pipe->kept);
    free(pipe->name);
    free(pipe->path);
    free(pipe);
    return NULL;
}

/* ------------------------------------------------------------------------------ the other side */

static int check_new(const spile_pipe *pipe, bool is_input) {
    if (!pipe || pipe->is_input != is_input)
        return -EINVAL;
    if (pipe->is_dead)
        return -EBADF;
    if (pipe->state != PIPE_NEW)
        return -EALREADY;
    bool is_said = is_input ? pipe->feed_type != PIPE_FEED_NONE : pipe->drain_type != PIPE_DRAIN_MEMORY;
    return is_said ? -EEXIST : 0;
}

int spile_pipe_feed_memory(spile_pipe *pipe, const void *data, size_t size) {
    int result = !data && size ? -EINVAL : check_new(pipe, true);
    if (result < 0)
        return result;
    pipe->feed_type = PIPE_FEED_MEMORY;
    pipe->memory = data ? data : "";
    pipe->memory_size = size;
    return 0;
}

int spile_pipe_feed_copy(spile_pipe *pipe, const void *data, size_t size) {
    int result = !data && size ? -EINVAL : check_new(pipe, true);
    if (result < 0)
        return result;
    void *copy = memory_new(MAX(size, (size_t)1));
    if (!copy)
        return -ENOMEM;
    if (size)
        memcpy(copy, data, size);
    pipe->copy = copy;
    return spile_pipe_feed_memory(pipe, copy, size);
}

int spile_pipe_feed_fd(spile_pipe *pipe, int fd) {
    int result = check_new(pipe, true);
    if (result >= 0)
        result = feed_open_fd(&pipe->feed, fd);
    if (result >= 0)
        pipe->feed_type = PIPE_FEED_READ;
    return result;
}

int spile_pipe_feed_path(spile_pipe *pipe, const char *path) {
    int result = path ? check_new(pipe, true) : -EINVAL;
    if (result >= 0)
        result = feed_open_path(&pipe->feed, path);
    if (result >= 0)
        pipe->feed_type = PIPE_FEED_READ;
    return result;
}

static ssize_t read_callback(struct feed *feed, void *buffer, size_t size) {
    spile_pipe *pipe = CONTAINER_OF(feed, spile_pipe, feed);
    pipe->is_in_callback = true;
    ssize_t result = pipe->read_fn(pipe->user, buffer, size);
    pipe->is_in_callback = false;
    return result;
}

int spile_pipe_feed_callback(spile_pipe *pipe, spile_read_fn read_fn, void *user) {
    int result = read_fn ? check_new(pipe, true) : -EINVAL;
    if (result < 0)
        return result;
    pipe->feed_type = PIPE_FEED_READ;
    pipe->feed.read = read_callback;
    pipe->read_fn = read_fn;
    pipe->user = user;
    return 0;
}

int spile_pipe_drain_fd(spile_pipe *pipe, int fd) {
    int result = check_new(pipe, false);
    if (result >= 0)
        result = sink_open(&pipe->out, fd);
    if (result >= 0)
        pipe->drain_type = PIPE_DRAIN_FD;
    return result;
}

int spile_pipe_drain_path(spile_pipe *pipe, const char *path) {
    struct stat status;
    AUTO_FREE char *target = NULL;
    int result = path ? check_new(pipe, false) : -EINVAL;
    if (result >= 0)
        result = target_follow(path, &target);
    if (result < 0)
        return result;
    result = sys_fstatat(AT_FDCWD, target, &status, 0);
    if (result < 0 && result != -ENOENT)
        return result;
    if (result >= 0 && !S_ISREG(status.st_mode)) { /* written into: a FIFO needs its reader by now, as for open(2) */
        AUTO_FD fd = sys_openat(AT_FDCWD, target, O_WRONLY | O_NONBLOCK | O_NOCTTY, 0);
        return fd < 0 ? fd : spile_pipe_drain_fd(pipe, fd);
    }
    result = target_open(target, &pipe->temporary, &pipe->target_fd);
    if (result < 0)
        return result;
    pipe->target = TAKE_POINTER(target);
    pipe->drain_type = PIPE_DRAIN_FILE;
    return 0;
}

int spile_pipe_drain_callback(spile_pipe *pipe, spile_write_fn write_fn, void *user) {
    int result = write_fn ? check_new(pipe, false) : -EINVAL;
    if (result < 0)
        return result;
    pipe->drain_type = PIPE_DRAIN_CALLBACK;
    pipe->write_fn = write_fn;
    pipe->user = user;
    return 0;
}

/* ------------------------------------------------------------------------------ while it runs */

const char *spile_pipe_path(const spile_pipe *pipe) {
    return pipe ? pipe->path : NULL;
}

/* The loop may be gone as soon as the pipe has ended: its end waits for those who are in here. No lock, for a signal
 * handler may cancel. */
static void wake(spile_pipe *pipe) {
    pipe->wakers++;
    spile_loop *loop = pipe->wake_loop;
    if (loop)
        loop_wake(loop);
    pipe->wakers--;
}

int spile_pipe_set_process(spile_pipe *pipe, int64_t pid) {
    if (!pipe || pid <= 0 || pid > INT32_MAX)
        return -EINVAL;
    if (pipe->is_dead)
        return -EBADF;
    AUTO_FD fd = sys_pidfd_open((pid_t)pid);
    if (fd < 0)
        return fd;
    pthread_mutex_lock(&pipe->mutex);
    int result = atomic_exchange(&pipe->is_named, true) ? -EALREADY : 0;
    if (result >= 0)
        pipe->asked_fd = TAKE_FD(fd);
    pthread_mutex_unlock(&pipe->mutex);
    wake(pipe);
    return result;
}

int spile_pipe_finish(spile_pipe *pipe) {
    if (!pipe)
        return -EINVAL;
    if (pipe->is_dead)
        return -EBADF;
    pipe->is_named = true;
    pipe->wants_finish = true;
    wake(pipe);
    return 0;
}

void spile_pipe_cancel(spile_pipe *pipe) {
    if (!pipe || pipe->is_dead)
        return;
    pipe->wants_cancel = true;
    wake(pipe);
}

void spile_pipe_resume(spile_pipe *pipe) {
    if (!pipe || pipe->is_dead)
        return;
    pipe->wants_resume = true;
    wake(pipe);
}

int spile_pipe_attach(spile_pipe *pipe, spile_loop *loop, spile_pipe_done_fn done_fn, void *user) {
    if (!pipe || !loop)
        return -EINVAL;
    if (pipe->is_dead)
        return -EBADF;
    if (pipe->state != PIPE_NEW)
        return -EALREADY;
    if (pipe->is_input && pipe->feed_type == PIPE_FEED_NONE)
        return -EINVAL;
    int result = pipe_open(pipe, loop);
    if (result < 0)
        return result;
    pipe->done_fn = done_fn;
    pipe->done_user = user;
    return 0;
}

int spile_pipe_output(const spile_pipe *pipe, const void **ret_data, size_t *ret_size) {
    if (!pipe || !ret_data || !ret_size || pipe->is_input || pipe->drain_type != PIPE_DRAIN_MEMORY)
        return -EINVAL;
    if (pipe->is_dead)
        return -EBADF;
    pthread_mutex_lock((pthread_mutex_t *)&pipe->mutex);
    bool is_ended = pipe->state == PIPE_ENDED;
    pthread_mutex_unlock((pthread_mutex_t *)&pipe->mutex);
    if (!is_ended)
        return -EBUSY;
    *ret_data = pipe->kept.data;
    *ret_size = (size_t)pipe->bytes;
    return 0;
}

int spile_pipe_get_info(const spile_pipe *pipe, spile_pipe_info *info) {
    if (!pipe || !info || info->size != sizeof(*info))
        return -EINVAL;
    if (pipe->is_dead)
        return -EBADF;
    if (!pipe->has_thread)
        pipe_publish((spile_pipe *)pipe);
    pthread_mutex_lock((pthread_mutex_t *)&pipe->mutex);
    info->bytes = pipe->seen.bytes;
    info->opens = pipe->seen.opens;
    info->ended = pipe->state == PIPE_ENDED;
    pthread_mutex_unlock((pthread_mutex_t *)&pipe->mutex);
    return 0;
}
