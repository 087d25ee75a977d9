/* Where outputs go once the call has succeeded: memory, a path, a descriptor, a callback.
 *
 * Nothing is half delivered: files that will replace others are written in full first, without a name where the file
 * system can, then descriptors and callbacks get theirs, and only then are the files renamed over their targets.
 */
#include "base/target.h"
#include "call/run.h"

enum { MAP_FROM = 256 << 10, COPY_SLICE = 32 << 20, SINK_CHUNK = 64 << 10, CHUNKS_A_TURN = 64 };
static const uint64_t reader_retry_ns = 10 * NS_PER_MS;

const struct request *request_for(const spile_call *call, const char *name) {
    const struct request *found = NULL;
    for (size_t i = 0; i < call->request_count; i++) {
        if (strcmp(call->requests[i].name, name) == 0)
            return &call->requests[i];
        if (!found && pattern_match(call->requests[i].name, name))
            found = &call->requests[i];
    }
    return found;
}

/* ------------------------------------------------------------------------------ memory */

static int read_whole(int fd, void *data, uint64_t size) {
    uint64_t done = 0;
    while (done < size) {
        ssize_t count = sys_read(fd, (char *)data + done, size - done);
        if (count == -EINTR || count == -EAGAIN)
            continue;
        if (count <= 0)
            return count < 0 ? (int)count : -EIO;
        done += (uint64_t)count;
    }
    return 0;
}

int deliver_to_memory(struct item *item) {
    char path[PATH_MAX];
    if (item->bytes == 0 || item->data || item->place == PLACE_NOWHERE)
        return 0;
    store_path(item, path);
    AUTO_FD fd = sys_openat(cell_root_fd(item->call->cell), path, O_RDONLY | O_NOFOLLOW, 0);
    if (fd < 0)
        return fd;
    if (item->bytes >= MAP_FROM) {
        void *mapped = sys_mmap(item->bytes, PROT_READ, MAP_PRIVATE, fd, 0);
        if (mapped == MAP_FAILED)
            return -errno;
        item->data = mapped;
        item->data_is_mapped = true;
        return 0;
    }
    AUTO_FREE void *data = memory_new(item->bytes);
    int result = data ? read_whole(fd, data, item->bytes) : -ENOMEM;
    if (result >= 0)
        item->data = TAKE_POINTER(data);
    return result;
}

/* ------------------------------------------------------------------------------ targets */

static int refuse_target(const struct request *request, const char *problem, int number, spile_error **ret_error) {
    return error_set(ret_error, SPILE_ERROR_USAGE, number, "output '%s' can't go to '%s': %s", request->name,
                     request->path, problem);
}

static int check_directory(const struct request *request, const char *directory, spile_error **ret_error) {
    struct stat status;
    int result = sys_fstatat(AT_FDCWD, directory, &status, 0);
    if (result == -ENOENT || (result >= 0 && status.st_nlink == 0)) /* the current one may be gone, too */
        return refuse_target(request, "its directory does not exist; make it first", ENOENT, ret_error);
    if (result >= 0 && !S_ISDIR(status.st_mode))
        return refuse_target(request, "what should be its directory is none", ENOTDIR, ret_error);
    if (result >= 0)
        result = sys_faccessat(AT_FDCWD, directory, W_OK | X_OK, AT_EACCESS);
    return result < 0 ? refuse_target(request, strerror(-result), -result, ret_error) : 0;
}

/* A file that is replaced, or comes new into its directory. */
static int check_file(const struct request *request, const char *target, const struct stat *old,
                      spile_error **ret_error) {
    bool is_forced = request->flags & SPILE_OUTPUT_FORCE;
    if (old && !is_forced && (!(old->st_mode & 0222) || sys_faccessat(AT_FDCWD, target, W_OK, AT_EACCESS) < 0))
        return refuse_target(request, "it is read-only; force it to replace it all the same", EACCES, ret_error);
    AUTO_FREE char *directory = target_directory(target);
    return directory ? check_directory(request, directory, ret_error) : -ENOMEM;
}

static int check_path(const struct request *request, spile_error **ret_error) {
    struct stat status;
    size_t size = strlen(request->path);
    if (size == 0 || request->path[size - 1] == '/')
        return refuse_target(request, "that is not a file's name", EISDIR, ret_error);
    AUTO_FREE char *target = NULL;
    int result = target_follow(request->path, &target);
    if (result >= 0)
        result = sys_fstatat(AT_FDCWD, target, &status, 0);
    if (target && result == -ENOENT)
        return check_file(request, target, NULL, ret_error);
    if (result >= 0 && S_ISREG(status.st_mode))
        return check_file(request, target, &status, ret_error);
    if (result >= 0 && S_ISDIR(status.st_mode))
        return refuse_target(request, "that is a directory", EISDIR, ret_error);
    if (result >= 0)
        result = sys_faccessat(AT_FDCWD, target, W_OK, AT_EACCESS);
    return result < 0 ? refuse_target(request, strerror(-result), -result, ret_error) : 0;
}

/* The directory of a pattern's matches may be new; the one above it may not. */
static int check_many(const struct request *request, spile_error **ret_error) {
    struct stat status;
    if (sys_fstatat(AT_FDCWD, request->path, &status, 0) != -ENOENT)
        return check_directory(request, request->path, ret_error);
    AUTO_FREE char *path = memory_string(request->path);
    size_t size = path ? strlen(path) : 0;
    while (size > 1 && path[size - 1] == '/')
        path[--size] = '\0';
    AUTO_FREE char *directory = path ? target_directory(path) : NULL;
    return directory ? check_directory(request, directory, ret_error) : -ENOMEM;
}

int deliver_check(spile_call *call, spile_error **ret_error) {
    for (size_t i = 0; i < call->request_count; i++) {
        const struct request *request = &call->requests[i];
        if (request->type != REQUEST_PATH)
            continue;
        bool is_many = name_is_pattern(request->name) || name_is_tree(request->name);
        int result = is_many ? check_many(request, ret_error) : check_path(request, ret_error);
        if (result < 0)
            return result;
    }
    return 0;
}

/* ------------------------------------------------------------------------------ files that replace others */

static int make_host_parents(const char *path, size_t from) {
    AUTO_FREE char *copy = memory_string(path);
    if (!copy)
        return -ENOMEM;
    for (char *slash = strchr(copy + from, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        int result = *copy ? sys_mkdirat(AT_FDCWD, copy, 0777) : 0;
        *slash = '/';
        if (result < 0 && result != -EEXIST)
            return result;
    }
    return 0;
}

/* Where one file of an output goes; the directories above a match of many are made. */
static int place_of(const struct delivery *delivery, struct text *path) {
    const struct request *request = delivery->request;
    const char *name = delivery->item->name;
    text_puts(path, request->path);
    if (strcmp(request->name, name) == 0)
        return path->failed ? -ENOMEM : 0;
    if (path->size > 0 && path->data[path->size - 1] != '/')
        text_puts(path, "/");
    size_t from = path->size;
    /* A tree's own name stands for its directory: "out/=there" puts out/a at there/a. */
    text_puts(path, name_is_tree(request->name) ? name + strlen(request->name) : name);
    return path->failed ? -ENOMEM : make_host_parents(path->data, from > 1 ? from - 1 : 0);
}

/* Finds what is at the target: a file to be replaced, or something to be written into (target_fd is then its own). */
static int open_target(struct delivery *delivery) {
    struct stat status;
    AUTO_TEXT path = {0};
    int result = place_of(delivery, &path);
    free(TAKE_POINTER(delivery->target)); /* of an earlier try: a FIFO that nobody read */
    if (result >= 0)
        result = target_follow(path.data, &delivery->target);
    if (result < 0)
        return result;
    result = sys_fstatat(AT_FDCWD, delivery->target, &status, 0);
    if (result < 0 && result != -ENOENT)
        return result;
    if (result < 0 || S_ISREG(status.st_mode))
        return target_open(delivery->target, &delivery->temporary, &delivery->target_fd);
    delivery->is_special = true;
    AUTO_FD fd = sys_openat(AT_FDCWD, delivery->target, O_WRONLY | O_NONBLOCK | O_NOCTTY, 0);
    if (fd < 0)
        return fd == -ENXIO ? -EAGAIN : fd; /* a FIFO that nobody reads yet: fifo(7) */
    return sink_open(&delivery->sink, fd);
}

static int copy_slice(struct delivery *delivery) {
    ssize_t copied = sys_sendfile(delivery->target_fd, delivery->file_fd, NULL, COPY_SLICE);
    if (copied == -EINTR || copied == -EAGAIN)
        return 0;
    if (copied < 0)
        return (int)copied;
    delivery->done_bytes += (uint64_t)copied;
    return copied == 0;
}

/* The program's umask is in its file's mode already. */
static int commit(struct delivery *delivery) {
    return target_commit(delivery->target, &delivery->temporary, delivery->target_fd,
                         (delivery->item->mode & 0777) | S_IWUSR);
}

/* ------------------------------------------------------------------------------ descriptors and callbacks */

static ssize_t pass_on(struct delivery *delivery, const void *data, size_t size) {
    const struct request *request = delivery->request;
    if (request->type != REQUEST_CALLBACK)
        return size ? sink_write(&delivery->sink, delivery->item->call->loop, data, size) : 0;
    int result = request->write_fn(request->user, delivery->item->name, size ? data : NULL, size);
    delivery->is_waiting = result == -EAGAIN;
    return result < 0 ? result : (ssize_t)size;
}

static int pass_on_slice(struct delivery *delivery) {
    char buffer[SINK_CHUNK];
    for (int i = 0; i < CHUNKS_A_TURN; i++) {
        ssize_t size = pread(delivery->file_fd, buffer, sizeof(buffer), (off_t)delivery->done_bytes);
        if (size < 0)
            return errno == EINTR ? 0 : -errno;
        ssize_t passed = pass_on(delivery, buffer, (size_t)size);
        if (passed < 0)
            return (int)passed;
        if (size == 0)
            return 1;
        delivery->done_bytes += (uint64_t)passed;
    }
    return 0;
}

static void delivery_go_on(struct loop_timer *timer) {
    run_advance(CONTAINER_OF(timer, spile_call, delivery_turn));
}

static void delivery_writable(struct sink *sink) {
    run_advance(CONTAINER_OF(sink, struct delivery, sink)->item->call);
}

static void delivery_done(struct delivery *delivery) {
    sink_close(&delivery->sink);
    delivery->file_fd = fd_close(delivery->file_fd);
    target_drop(&delivery->target, &delivery->temporary, &delivery->target_fd);
}

/* ------------------------------------------------------------------------------ in pieces */

int deliver_open(struct delivery *delivery) {
    int result = delivery->request->type == REQUEST_PATH ? open_target(delivery)
                                                         : sink_open(&delivery->sink, delivery->request->fd);
    return result == -EAGAIN ? -ENXIO : result;
}

ssize_t deliver_piece(struct delivery *delivery, const void *data, size_t size) {
    ssize_t written = delivery->target_fd >= 0 ? sys_write(delivery->target_fd, data, size)
                                               : sink_write(&delivery->sink, delivery->item->call->loop, data, size);
    return written == -EINTR ? 0 : written;
}

int deliver_finish(struct delivery *delivery) {
    int result = delivery->target_fd >= 0 ? commit(delivery) : 0;
    if (result >= 0)
        deliver_drop(delivery);
    return result;
}

void deliver_drop(struct delivery *delivery) {
    delivery_done(delivery);
}

/* ------------------------------------------------------------------------------ all of them */

static int delivery_open(struct delivery *delivery) {
    char path[PATH_MAX];
    store_path(delivery->item, path);
    if (delivery->file_fd < 0)
        delivery->file_fd = sys_openat(cell_root_fd(delivery->item->call->cell), path, O_RDONLY | O_NOFOLLOW, 0);
    if (delivery->file_fd < 0)
        return delivery->file_fd;
    if (delivery->request->type == REQUEST_PATH && delivery->target_fd < 0 && delivery->sink.fd < 0)
        return open_target(delivery);
    if (delivery->request->type == REQUEST_FD && delivery->sink.fd < 0)
        return sink_open(&delivery->sink, delivery->request->fd);
    return 0;
}

void deliver_done(spile_call *call) {
    loop_timer_clear(&call->delivery_turn);
    for (size_t i = 0; i < call->delivery_count; i++)
        delivery_done(&call->deliveries[i]);
    free(TAKE_POINTER(call->deliveries));
    call->delivery_count = 0;
}

static int fail_delivery(const struct delivery *delivery, int result, spile_error **ret_error) {
    const struct request *request = delivery->request;
    *ret_error = error_with(error_new(SPILE_ERROR_OUTPUT, "delivering output '%s'%s%s%s failed: %s",
                                      delivery->item->name, request->type == REQUEST_PATH ? " to '" : "",
                                      request->type == REQUEST_PATH ? request->path : "",
                                      request->type == REQUEST_PATH ? "'" : "", strerror(-result)),
                            -result, delivery->item->producer, -1);
    return result;
}

int deliver_begin(spile_call *call, spile_error **ret_error) {
    call->deliveries = memory_zero(call->item_count + 1, sizeof(*call->deliveries));
    if (!call->deliveries) {
        *ret_error = run_system_error(-ENOMEM, "delivering", "outputs");
        return -ENOMEM;
    }
    for (size_t i = 0; i < call->item_count; i++) {
        struct item *item = call->items[i];
        const struct request *request = item->is_output ? request_for(call, item->name) : NULL;
        if (item->is_stream)
            continue; /* delivered while it came */
        if (request && request->type != REQUEST_MEMORY) {
            struct delivery *delivery = &call->deliveries[call->delivery_count++];
            *delivery = (struct delivery){
                .item = item, .request = request, .file_fd = -1, .target_fd = -1, .sink.fd = -1};
            delivery->sink.writable = delivery_writable;
            continue;
        }
        int result = item->is_output ? deliver_to_memory(item) : 0;
        if (result < 0) {
            *ret_error = run_system_error(result, "handing out", item->name);
            return result;
        }
    }
    return 0;
}

/* One turn: 1 at its end, 0 or -EAGAIN to be continued, or another -errno. */
static int deliver_one(struct delivery *delivery) {
    int result = delivery_open(delivery);
    /* sink_open wiped the callback of a fresh sink. */
    delivery->sink.writable = delivery_writable;
    if (result >= 0)
        result = delivery->target_fd >= 0 ? copy_slice(delivery) : pass_on_slice(delivery);
    delivery->is_copied = result == 1;
    if (result == 1 && delivery->target_fd < 0)
        sink_close(&delivery->sink);
    if (result == 1)
        delivery->file_fd = fd_close(delivery->file_fd);
    return result;
}

/* When a delivery that is not at its end is to go on by itself; NS_FOREVER: something will tell. */
static uint64_t turn_time(const struct delivery *delivery, int result) {
    if (result == 0)
        return 0;
    bool is_told = delivery->is_waiting || delivery->sink.watch.loop;
    return is_told ? NS_FOREVER : time_now_ns() + reader_retry_ns; /* a FIFO that nobody reads yet */
}

/* What can be undone comes before what can't. */
static bool is_of_phase(struct delivery *delivery, int phase, int *ret_result) {
    if (delivery->request->type != REQUEST_PATH || phase == 1)
        return phase == 1;
    *ret_result = delivery_open(delivery);
    return !delivery->is_special;
}

/* Gives each delivery of the phase a turn, so that none waits for another's reader. 1: all are at their end. */
static int deliver_phase(spile_call *call, int phase, spile_error **ret_error) {
    uint64_t next = NS_FOREVER;
    bool is_over = true;
    for (size_t i = 0; i < call->delivery_count; i++) {
        struct delivery *delivery = &call->deliveries[i];
        int result = 0;
        if (delivery->is_copied || !is_of_phase(delivery, phase, &result))
            continue;
        if (result >= 0)
            result = delivery->is_waiting || delivery->sink.watch.loop ? -EAGAIN : deliver_one(delivery);
        if (result < 0 && result != -EAGAIN)
            return fail_delivery(delivery, result, ret_error);
        if (result != 1) {
            next = MIN(next, turn_time(delivery, result));
            is_over = false;
        }
    }
    loop_timer_set(call->loop, &call->delivery_turn, next, delivery_go_on);
    return is_over;
}

void deliver_resume(spile_call *call) {
    bool was_waiting = TAKE(call->delivery_waits, false);
    for (size_t i = 0; i < call->delivery_count; i++) {
        was_waiting |= call->deliveries[i].is_waiting;
        call->deliveries[i].is_waiting = false;
    }
    if (was_waiting)
        run_advance(call);
}

int deliver_continue(spile_call *call, spile_error **ret_error) {
    int result = deliver_phase(call, 0, ret_error);
    if (result == 1)
        result = deliver_phase(call, 1, ret_error);
    if (result != 1)
        return result;
    for (size_t i = 0; i < call->delivery_count; i++) {
        struct delivery *delivery = &call->deliveries[i];
        result = delivery->target_fd >= 0 ? commit(delivery) : 0;
        if (result < 0)
            return fail_delivery(delivery, result, ret_error);
        run_trace(call, (spile_event){.kind = SPILE_EVENT_DELIVERED,
                                      .program = delivery->item->producer,
                                      .name = delivery->item->name,
                                      .bytes = delivery->item->bytes});
    }
    deliver_done(call);
    return 1;
}
