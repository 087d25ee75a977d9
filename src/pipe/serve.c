/* A pipe on its loop.
 *
 * Everything that happens (an end is opened or closed, the process exits, a request comes) is only a reason to look
 * again in the next step: what the look finds decides, so no function of the stream is ever left by freeing it.
 */
#include "pipe/pipe.h"

enum { WINDOW_BYTES = 256 << 10 };

void pipe_publish(spile_pipe *pipe) {
    struct stream_info info;
    if (!pipe->stream)
        return;
    stream_get_info(pipe->stream, &info);
    const struct stream_side *side = pipe->is_input ? &info.reader : &info.writer;
    pthread_mutex_lock(&pipe->mutex);
    pipe->seen.bytes = side->bytes;
    pipe->seen.opens = side->opens;
    pipe->seen.is_exited = pipe->is_exited;
    pthread_mutex_unlock(&pipe->mutex);
}

/* ------------------------------------------------------------------------------ the end */

void pipe_release_late(const spile_pipe *pipe) {
    char path[32];
    if (pipe->last_fd < 0)
        return;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", pipe->last_fd);
    fd_close(sys_openat(AT_FDCWD, path, O_RDWR | O_NONBLOCK, 0));
}

/* The path goes first: with nobody at our end, who opens it would wait for ever. */
static void close_all(spile_pipe *pipe) {
    pipe_publish(pipe);
    feed_stop(&pipe->feed);
    if (pipe->path)
        pipe->last_fd = sys_openat(AT_FDCWD, pipe->path, O_PATH | O_NOFOLLOW, 0);
    tree_remove(&pipe->tree);
    pipe->stream = stream_free(pipe->stream);
    pipe_release_late(pipe);
    pipe_drain_close(pipe);
    loop_fd_remove(&pipe->process);
    pipe->process_fd = fd_close(pipe->process_fd);
    loop_timer_clear(&pipe->check);
    loop_leave(&pipe->loop_user);
    pipe->wake_loop = NULL;
    while (pipe->wakers > 0)
        sched_yield();
}

void pipe_end(spile_pipe *pipe) {
    close_all(pipe);
    pipe_set_state(pipe, PIPE_ENDED);
    if (pipe->done_fn) {
        pipe->is_in_callback = true;
        pipe->done_fn(pipe->done_user, pipe, pipe->error);
        pipe->is_in_callback = false;
    }
}

void pipe_fail(spile_pipe *pipe, spile_error *error) {
    pthread_mutex_lock(&pipe->mutex);
    bool is_first = !pipe->error;
    if (is_first)
        pipe->error = error;
    pthread_mutex_unlock(&pipe->mutex);
    if (!is_first)
        spile_error_free(error);
    pipe_look_again(pipe);
}

static void fail_system(spile_pipe *pipe, int number) {
    pipe_fail(pipe, error_with(
                        error_new(SPILE_ERROR_SYSTEM, "serving the pipe '%s' failed: %s", pipe->name, strerror(number)),
                        number, -1, -1));
}

/* The output is complete. */
static void hand_over(spile_pipe *pipe) {
    spile_error *error = NULL;
    if (pipe->is_exited && !pipe->is_optional && !stream_was_opened_by_writer(pipe->stream))
        pipe_fail(pipe,
                  error_with(error_new(SPILE_ERROR_OUTPUT_MISSING,
                                       "no process opened the pipe '%s' for writing: check the path it was told to "
                                       "write to, or make the output optional",
                                       pipe->name),
                             ENOENT, -1, -1));
    else if (pipe_hand_over(pipe, &error) == 0)
        return;
    if (error)
        pipe_fail(pipe, error);
    pipe_end(pipe);
}

static void look(struct loop_timer *timer) {
    spile_pipe *pipe = CONTAINER_OF(timer, spile_pipe, check);
    if (pipe->error) {
        pipe_end(pipe);
        return;
    }
    if (pipe->is_input) {
        if (pipe->is_exited && !stream_is_being_read(pipe->stream, pipe->reader))
            pipe_end(pipe);
        return;
    }
    if (pipe->state == PIPE_OPEN && !pipe->is_named && !pipe->ends_by_exit)
        (void)stream_settle(pipe->stream);
    if (pipe->state == PIPE_OPEN && !pipe->error && stream_is_over(pipe->stream))
        pipe_set_state(pipe, PIPE_HANDING);
    if (pipe->state == PIPE_HANDING)
        hand_over(pipe);
}

void pipe_look_again(spile_pipe *pipe) {
    if (pipe->state != PIPE_ENDED)
        loop_defer(pipe->loop, &pipe->check, look);
}

/* ------------------------------------------------------------------------------ what the stream tells */

static spile_pipe *pipe_of(struct stream_owner *owner) {
    return CONTAINER_OF(owner, spile_pipe, owner);
}

static const char *fault_text(enum stream_fault fault) {
    switch (fault) {
    case STREAM_FAULT_INPUT_AGAIN:
        return "was opened again, and what had been read of it is not held any more: feed it from memory or a file";
    case STREAM_FAULT_TWO_READERS:
        return "was opened again while it was still being read, and a pipe can't be read from two places: feed it from "
               "memory or a file";
    case STREAM_FAULT_OUTPUT_AGAIN:
        return "was opened again after its end had come: name the process that writes it, so that only its exit is the "
               "end";
    case STREAM_FAULT_OUTPUT_LATE:
        return "was written to after its end had come";
    case STREAM_FAULT_OUTPUT_READ:
        return "was read by the process that is to write it";
    case STREAM_FAULT_REPLACED:
        return "is gone: the process put something else in its place; such a program needs a call and a seekable file";
    case STREAM_FAULT_SYSTEM:
        break;
    }
    return "can't be served: the system refused";
}

static void on_failed(struct stream_owner *owner, struct stream *stream, enum stream_fault fault, int number,
                      const char *path) {
    spile_pipe *pipe = pipe_of(owner);
    bool is_system = fault == STREAM_FAULT_SYSTEM;
    (void)stream;
    (void)path;
    pipe_fail(pipe, error_with(error_new(is_system ? SPILE_ERROR_SYSTEM : SPILE_ERROR_STREAM, "the pipe '%s' %s%s%s",
                                         pipe->name, fault_text(fault), is_system ? ": " : "",
                                         is_system ? strerror(number) : ""),
                               number, -1, -1));
}

static void on_opened(struct stream_owner *owner, struct stream *stream, const char *path, unsigned count) {
    (void)stream;
    (void)path;
    (void)count;
    pipe_look_again(pipe_of(owner));
}

static void on_change(struct stream_owner *owner, struct stream *stream) {
    (void)stream;
    pipe_look_again(pipe_of(owner));
}

static void on_wanted(struct stream_owner *owner, struct stream *stream) {
    (void)stream;
    feed_go_on(&pipe_of(owner)->feed);
}

static void feed_failed(struct feed *feed, int number) {
    spile_pipe *pipe = CONTAINER_OF(feed, spile_pipe, feed);
    pipe_fail(pipe, error_with(error_new(SPILE_ERROR_INPUT, "reading what feeds the pipe '%s' failed: %s", pipe->name,
                                         strerror(number)),
                               number, -1, -1));
}

/* ------------------------------------------------------------------------------ what others tell */

static void process_exited(spile_pipe *pipe) {
    if (pipe->is_exited)
        return;
    pipe->is_exited = true;
    if (pipe->is_input)
        watch_drain(pipe->loop); /* whether somebody reads it is known only with all that happened before */
    else
        stream_writer_exited(pipe->stream);
    pipe_look_again(pipe);
}

static void pidfd_readable(struct loop_fd *source, uint32_t events) {
    (void)events;
    loop_fd_remove(source);
    process_exited(CONTAINER_OF(source, spile_pipe, process));
}

static void take_requests(struct loop_user *user) {
    spile_pipe *pipe = CONTAINER_OF(user, spile_pipe, loop_user);
    pthread_mutex_lock(&pipe->mutex);
    int fd = TAKE_FD(pipe->asked_fd);
    pthread_mutex_unlock(&pipe->mutex);
    if (fd >= 0) {
        pipe->process_fd = fd;
        int result = loop_fd_add(pipe->loop, &pipe->process, fd, EPOLLIN, pidfd_readable);
        if (result < 0)
            fail_system(pipe, -result);
    }
    if (pipe->wants_cancel)
        pipe_fail(pipe, error_with(error_new(SPILE_ERROR_CANCELLED, "the pipe '%s' was cancelled", pipe->name),
                                   ECANCELED, -1, -1));
    if (pipe->wants_finish)
        process_exited(pipe);
    if (atomic_exchange(&pipe->wants_resume, false)) {
        feed_resume(&pipe->feed);
        if (TAKE(pipe->sink_waits_for_resume, false))
            stream_sink_ready(pipe->stream);
        pipe_look_again(pipe);
    }
}

static void loop_ends(struct loop_user *user) {
    spile_pipe *pipe = CONTAINER_OF(user, spile_pipe, loop_user);
    pipe->wants_cancel = true;
    take_requests(user);
}

/* ------------------------------------------------------------------------------ the beginning */

static int make_path(spile_pipe *pipe) {
    AUTO_TEXT path = {0};
    int result = tree_make(&pipe->tree);
    if (result >= 0)
        result = sys_mkdirat(pipe->tree.fd, "pipe", 0700); /* nothing of ours beside the file that the process sees */
    if (result < 0)
        return result;
    text_printf(&path, "%s/pipe/%s", pipe->tree.path, pipe->name);
    pipe->path = text_take(&path);
    return pipe->path ? 0 : -ENOMEM;
}

static int make_input(spile_pipe *pipe, const char *path) {
    int result = stream_make_reader(pipe->stream, path);
    if (result < 0)
        return result;
    pipe->reader = result;
    if (pipe->feed_type == PIPE_FEED_MEMORY) {
        stream_hold_memory(pipe->stream, pipe->memory, pipe->memory_size);
        return 0;
    }
    pipe->feed.failed = feed_failed;
    return feed_begin(&pipe->feed, pipe->stream);
}

static int make_output(spile_pipe *pipe, const char *path) {
    pipe->sink.take = pipe_take;
    pipe->sink.place = pipe_place;
    pipe->sink.placed = pipe_placed;
    pipe->out.writable = pipe_writable;
    stream_set_sink(pipe->stream, &pipe->sink);
    return stream_make_writer(pipe->stream, path);
}

static int make_stream(spile_pipe *pipe) {
    const char *path = pipe->path + strlen(pipe->tree.path) + 1;
    pipe->owner = (struct stream_owner){
        .moved = on_change, .opened = on_opened, .failed = on_failed, .wanted = on_wanted, .let_go = on_change};
    pipe->room = (struct stream_room){.loop = pipe->loop,
                                      .owner = &pipe->owner,
                                      .root = pipe->tree.fd,
                                      .window = WINDOW_BYTES,
                                      .limit_bytes = WINDOW_BYTES};
    int result = stream_new(&pipe->room, &pipe->stream);
    if (result < 0)
        return result;
    return pipe->is_input ? make_input(pipe, path) : make_output(pipe, path);
}

int pipe_open(spile_pipe *pipe, spile_loop *loop) {
    pipe->loop = loop;
    int result = make_path(pipe);
    if (result >= 0)
        result = make_stream(pipe);
    if (result < 0) {
        fail_system(pipe, -result);
        pipe_end(pipe);
        free(TAKE_POINTER(pipe->path));
        return result;
    }
    pipe->loop_user = (struct loop_user){.woken = take_requests, .cancel = loop_ends};
    loop_join(loop, &pipe->loop_user);
    pipe_set_state(pipe, PIPE_OPEN);
    pipe->wake_loop = loop;
    take_requests(&pipe->loop_user);
    return 0;
}
