/* A thread that serves one pipe, so that its owner may block elsewhere; and waiting for a pipe's end.
 *
 * The thread takes no signals. It lives until the pipe has ended and is joined when the pipe is freed.
 */
#include "pipe/pipe.h"

static void *serve(void *argument) {
    spile_pipe *pipe = argument;
    while (pipe->state != PIPE_ENDED) { /* which only this thread sets */
        int result = spile_loop_step(pipe->loop, NS_FOREVER);
        pipe_publish(pipe);
        if (result < 0 && pipe->state != PIPE_ENDED) {
            pipe_fail(pipe, error_with(error_new(SPILE_ERROR_SYSTEM, "waiting for the pipe '%s' failed: %s", pipe->name,
                                                 strerror(-result)),
                                       -result, -1, -1));
            pipe_end(pipe);
        }
    }
    return NULL;
}

static int start_thread(spile_pipe *pipe) {
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int result = sys_thread_create(&pipe->thread, serve, pipe);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return result;
}

int spile_pipe_start(spile_pipe *pipe) {
    spile_loop *loop = NULL;
    if (!pipe)
        return -EINVAL;
    int result = loop_new_inner(&loop);
    if (result >= 0)
        result = spile_pipe_attach(pipe, loop, NULL, NULL);
    if (result >= 0) {
        /* Before the thread runs: it and others look at it. */
        pipe->has_thread = true;
        result = start_thread(pipe);
        if (result < 0) {
            pipe->has_thread = false;
            pipe_end(pipe);
            free(TAKE_POINTER(pipe->path));
        }
    }
    if (result < 0)
        spile_loop_free(loop);
    return result;
}

bool pipe_is_own_thread(const spile_pipe *pipe) {
    return pthread_equal(pthread_self(), pipe->thread);
}

void pipe_join(spile_pipe *pipe) {
    if (!pipe->has_thread)
        return;
    spile_pipe_cancel(pipe);
    pthread_join(pipe->thread, NULL);
    pipe->loop = spile_loop_free(pipe->loop);
    pipe->has_thread = false;
}

/* ------------------------------------------------------------------------------ waiting */

static int say_waiting(const spile_pipe *pipe, spile_error **ret_error) {
    const char *why = "its process has not exited";
    if (!pipe->seen.opens)
        why = "no process has opened it";
    else if (pipe->seen.is_exited || !pipe->is_named)
        why = "a process still has it open";
    return error_set(ret_error, SPILE_ERROR_TIMEOUT, ETIMEDOUT, "the pipe '%s' has not ended in time: %s", pipe->name,
                     why);
}

/* The verdict of one that has ended. */
static int say_end(const spile_pipe *pipe, spile_error **ret_error) {
    const spile_error *error = pipe->error;
    if (!error)
        return 0;
    if (ret_error)
        *ret_error = error_copy(error);
    return error_kind_errno(error->kind, error->number);
}

static void wait_for_end(spile_pipe *pipe, uint64_t until_ns) {
    const struct timespec until = {.tv_sec = (time_t)(until_ns / NS_PER_SECOND),
                                   .tv_nsec = (long)(until_ns % NS_PER_SECOND)};
    int result = 0;
    while (pipe->state != PIPE_ENDED && result == 0)
        result = until_ns == NS_FOREVER ? pthread_cond_wait(&pipe->changed, &pipe->mutex)
                                        : pthread_cond_timedwait(&pipe->changed, &pipe->mutex, &until);
}

static int wait_locked(spile_pipe *pipe, uint64_t timeout_ns, spile_error **ret_error) {
    if (pipe->state == PIPE_NEW)
        return error_set(ret_error, SPILE_ERROR_USAGE, EINVAL, "the pipe '%s' was not started", pipe->name);
    if (pipe->ends_by_exit && !pipe->is_named && pipe->state != PIPE_ENDED && !pipe->wants_cancel)
        return error_set(ret_error, SPILE_ERROR_USAGE, EINVAL,
                         "nothing tells when the pipe '%s' has ended: name its process, or say that it has "
                         "finished",
                         pipe->name);
    if (pipe->has_thread && timeout_ns > 0)
        wait_for_end(pipe, time_add_ns(time_now_ns(), timeout_ns));
    return pipe->state == PIPE_ENDED ? say_end(pipe, ret_error) : say_waiting(pipe, ret_error);
}

int spile_pipe_wait(spile_pipe *pipe, uint64_t timeout_ns, spile_error **ret_error) {
    if (!pipe)
        return -EINVAL;
    if (pipe->is_dead)
        return -EBADF;
    if (pipe->has_thread ? pipe_is_own_thread(pipe) : pipe->is_in_callback)
        return -EBUSY;
    if (!pipe->has_thread)
        pipe_publish(pipe);
    pthread_mutex_lock(&pipe->mutex);
    int result = wait_locked(pipe, timeout_ns, ret_error);
    pthread_mutex_unlock(&pipe->mutex);
    return result;
}
