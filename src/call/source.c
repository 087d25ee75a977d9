/* What comes in: memory, a descriptor, a path or a callback becomes a file of the store.
 *
 * Memory and regular files are always ready and get a bounded slice a turn; pipes, sockets and terminals are read when
 * the loop says so, by a description of our own, so that the flags of the caller's stay as they are.
 */
#include "call/run.h"

enum { SLICE_BYTES = 8 << 20, READ_BYTES = 64 << 10, READS_A_TURN = 16 };

void source_done(struct source *source) {
    if (source->free_fn)
        source->free_fn(source->user, (void *)source->data);
    free(source->path);
    *source = (struct source){.fd = -1};
}

void source_stop(struct item *item) {
    loop_fd_remove(&item->watch);
    loop_timer_clear(&item->turn);
    item->input_fd = fd_close(item->input_fd);
    item->file_fd = fd_close(item->file_fd);
    item->is_waiting = false;
    if (item->state == ITEM_PENDING && item->call->pending_items > 0)
        item->call->pending_items--;
    item->state = ITEM_READY;
    source_done(&item->source);
}

static spile_error *source_error(const struct item *item, int result) {
    if (result == -ENOSPC)
        return error_of_limit(
            error_with(error_new(SPILE_ERROR_LIMIT,
                                 "the files of the call are larger than its memory limit, met at input '%s'",
                                 item->name),
                       ENOSPC, -1, -1),
            SPILE_LIMIT_FILES);
    const char *path = item->source.path;
    return error_with(error_new(SPILE_ERROR_INPUT, "reading input '%s'%s%s%s failed: %s", item->name,
                                path ? " from '" : "", path ? path : "", path ? "'" : "", strerror(-result)),
                      -result, -1, -1);
}

/* The file is whole: what it looks like now tells later whether a program changed it. */
static int source_complete(struct item *item) {
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, item->status.st_mtim};
    int result = sys_futimens(item->file_fd, times);
    if (result >= 0)
        result = sys_fstat(item->file_fd, &item->status);
    if (result < 0)
        return result;
    item->bytes = (uint64_t)item->status.st_size;
    source_stop(item);
    run_trace(item->call,
              (spile_event){.kind = SPILE_EVENT_INPUT_READY, .program = -1, .name = item->name, .bytes = item->bytes});
    return 1;
}

/* Each of these brings in what it can: 1 at the end, 0 to be called again, -EAGAIN to wait, or another -errno. */
static int turn_memory(struct item *item) {
    size_t slice = MIN(item->source.size - item->bytes, (size_t)SLICE_BYTES);
    int result = fd_write_all(item->file_fd, (const char *)item->source.data + item->bytes, slice);
    item->bytes += slice;
    return result < 0 ? result : item->bytes == item->source.size;
}

static int turn_file(struct item *item) {
    ssize_t copied = sys_sendfile(item->file_fd, item->input_fd, NULL, SLICE_BYTES);
    if (copied == -EINTR || copied == -EAGAIN)
        return 0;
    return copied < 0 ? (int)copied : copied == 0;
}

static int turn_stream(struct item *item) {
    char buffer[READ_BYTES];
    for (int i = 0; i < READS_A_TURN; i++) {
        ssize_t size = sys_read(item->input_fd, buffer, sizeof(buffer));
        if (size == -EINTR)
            continue;
        if (size <= 0)
            return size < 0 ? (int)size : 1;
        int result = fd_write_all(item->file_fd, buffer, (size_t)size);
        if (result < 0)
            return result;
        if (item->input_blocks)
            return 0; /* one read for one event */
    }
    return 0;
}

static int turn_socket(struct item *item) {
    char buffer[READ_BYTES];
    ssize_t size = sys_recv(item->input_fd, buffer, sizeof(buffer), MSG_DONTWAIT);
    if (size == -EINTR)
        return 0;
    return size <= 0 ? (size < 0 ? (int)size : 1) : fd_write_all(item->file_fd, buffer, (size_t)size);
}

static int turn_callback(struct item *item) {
    char buffer[READ_BYTES];
    ssize_t size = item->source.read_fn(item->source.user, buffer, sizeof(buffer));
    if (size <= 0)
        return size < 0 ? (int)size : 1;
    if ((size_t)size > sizeof(buffer))
        return -EOVERFLOW;
    return fd_write_all(item->file_fd, buffer, (size_t)size);
}

static int source_turn(struct item *item) {
    int result = -EINVAL;
    switch (item->source.type) {
    case SOURCE_NONE:
        break;
    case SOURCE_MEMORY:
        result = turn_memory(item);
        break;
    case SOURCE_CALLBACK:
        result = turn_callback(item);
        break;
    case SOURCE_FD:
    case SOURCE_PATH:
        result = S_ISREG(item->status.st_mode)    ? turn_file(item)
                 : S_ISSOCK(item->status.st_mode) ? turn_socket(item)
                                                  : turn_stream(item);
        break;
    }
    return result == 1 ? source_complete(item) : result;
}

static void source_timer(struct loop_timer *timer);

static void source_watch(struct loop_fd *watch, uint32_t events);

/* Waits for what the source's kind waits for. */
static int source_wait(struct item *item, int result) {
    spile_loop *loop = item->call->loop;
    bool is_pollable = item->input_fd >= 0 && !S_ISREG(item->status.st_mode);
    if (is_pollable && item->watch.loop)
        return 0;
    if (is_pollable) {
        int added = loop_fd_add(loop, &item->watch, item->input_fd, EPOLLIN, source_watch);
        if (added != -EPERM)
            return added;
    }
    if (result == -EAGAIN)
        item->is_waiting = true; /* a callback: until spile_call_resume */
    else
        loop_defer(loop, &item->turn, source_timer);
    return 0;
}

static void source_go_on(struct item *item) {
    spile_call *call = item->call;
    int result = source_turn(item);
    if (result == 0 || result == -EAGAIN)
        result = source_wait(item, result);
    if (result == 1)
        run_advance(call);
    else if (result < 0)
        run_fail(call, source_error(item, result));
}

void source_resume(struct item *item) {
    item->is_waiting = false;
    source_go_on(item);
}

static void source_timer(struct loop_timer *timer) {
    source_go_on(CONTAINER_OF(timer, struct item, turn));
}

static void source_watch(struct loop_fd *watch, uint32_t events) {
    (void)events;
    source_go_on(CONTAINER_OF(watch, struct item, watch));
}

/* A description of our own where the caller's flags matter, else another descriptor of the same. */
static int source_open(struct item *item) {
    struct source *source = &item->source;
    if (source->type == SOURCE_PATH) {
        item->input_fd = sys_openat(AT_FDCWD, source->path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
        if (item->input_fd < 0)
            return item->input_fd;
    }
    int fd = source->type == SOURCE_PATH ? item->input_fd : source->fd;
    int result = sys_fstat(fd, &item->status);
    if (result >= 0 && S_ISDIR(item->status.st_mode))
        result = -EISDIR;
    if (result < 0 || source->type == SOURCE_PATH)
        return result;
    if (S_ISFIFO(item->status.st_mode) || S_ISCHR(item->status.st_mode))
        item->input_fd = fd_reopen_nonblocking(fd, O_RDONLY);
    if (item->input_fd >= 0)
        return 0;
    item->input_blocks = !S_ISREG(item->status.st_mode) && !S_ISSOCK(item->status.st_mode);
    return item->input_fd = sys_dup_cloexec(fd, 3);
}

/* Makes the file that the source fills, in its place. */
static int make_file(struct item *item) {
    spile_call *call = item->call;
    char path[PATH_MAX];
    item->bytes = 0;
    item->mode = item->is_executable ? 0555 : 0444;
    if (S_ISREG(item->status.st_mode) && item->source.type == SOURCE_PATH)
        item->mode |= item->status.st_mode & 0111;
    else
        item->status.st_mtim = (struct timespec){.tv_sec = call->begin_time.tv_sec};
    int result = store_settle(call, item);
    if (result < 0)
        return result;
    store_path(item, path);
    return item->file_fd = sys_openat(cell_root_fd(call->cell), path, O_WRONLY | O_CREAT | O_EXCL, item->mode);
}

int source_begin(struct item *item) {
    spile_call *call = item->call;
    enum source_type type = item->source.type;
    item->state = ITEM_PENDING;
    call->pending_items++;
    int result = type == SOURCE_FD || type == SOURCE_PATH ? source_open(item) : 0;
    if (result >= 0)
        result = make_file(item);
    /* A named FIFO reads as ended before its first writer comes: only an event tells. */
    bool is_event_first = item->input_blocks || (type == SOURCE_PATH && S_ISFIFO(item->status.st_mode));
    if (result >= 0)
        result = is_event_first ? 0 : source_turn(item);
    if (result == 0 || result == -EAGAIN)
        result = source_wait(item, result);
    if (result < 0)
        run_fail(call, source_error(item, result));
    return result;
}
