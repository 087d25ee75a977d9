/* spile_pipe.h - named pipes for processes that spile does not start; part of spile.h, whose conventions hold here too
 *
 * Process substitution for any fork and exec, without its hangs.
 * The pipe has a path in a private directory; a process of this user opens it as a file that it reads (an input) or
 * writes (an output), and the library is at the other end, as in a call:
 *
 *   1. spile_pipe_new_input and what feeds it, or spile_pipe_new_output and where it goes (nothing said: memory).
 *   2. spile_pipe_start, which serves it in a thread of its own, or spile_pipe_attach to a loop that you drive.
 *   3. Start the process with spile_pipe_path among its arguments; name it with spile_pipe_set_process, or wait for it
 *      yourself and say spile_pipe_finish.
 *   4. spile_pipe_wait tells how it ended. Believe it rather than the process: a pipe can't tell its reader that what
 *      it got was not all.
 *
 * The end. An input has ended when its process has exited (or spile_pipe_finish said so) and nobody is in the middle of
 * reading it; it may never be opened. An output has ended when its process has exited and every process that opened it
 * has closed it; that none did is an error, unless it is optional. Where neither was said, an output ends at the first
 * moment at which all who opened it have closed it (but see `ends_by_exit`), and an input does not end. With the end
 * the path is gone. Memory, copies and regular files can be opened and read any number of times, each from the start;
 * everything else once. A process that seeks, or replaces the file, needs a call and a seekable file.
 *
 * The directory is in /dev/shm, mode 0700. After SIGKILL of the host it stays until spile makes another one there.
 *
 * Threads: one thread at a time tells a pipe what it is; from then on finish, set_process, wait, cancel, resume and
 * get_info may be called from any. With spile_pipe_start, callbacks run in the library's thread, in which all signals
 * are blocked. In the child of a fork a pipe can only be freed. */
#ifndef SPILE_PIPE_H
#define SPILE_PIPE_H

#include "spile.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct spile_pipe spile_pipe;

typedef struct spile_pipe_options {
    size_t size;          /* sizeof(spile_pipe_options) */
    const char *name;     /* of the file, as the process sees it; NULL: "pipe" */
    uint64_t limit_bytes; /* of an output: more is an error of kind LIMIT; 0: none */
    bool is_optional;     /* an output that no process need open */
    bool ends_by_exit;    /* an output too ends only once its process is known to have exited */
} spile_pipe_options;

/* `options` may be NULL. -EINVAL: the name is empty or holds a '/'. */
SPILE_API int spile_pipe_new_input(const spile_pipe_options *options, spile_pipe **ret_pipe);
SPILE_API int spile_pipe_new_output(const spile_pipe_options *options, spile_pipe **ret_pipe);
/* One that has not ended is cancelled first; joins the thread. Not from its own callbacks (does nothing). */
SPILE_API spile_pipe *spile_pipe_free(spile_pipe *pipe);

/* What an input is fed from, one of these, as for calls (spile_call_input_...). -EEXIST: it was said already.
 * -EALREADY: it was started. What has to be opened is opened here. */
SPILE_API int spile_pipe_feed_memory(spile_pipe *pipe, const void *data, size_t size);
SPILE_API int spile_pipe_feed_copy(spile_pipe *pipe, const void *data, size_t size);
SPILE_API int spile_pipe_feed_fd(spile_pipe *pipe, int fd);
SPILE_API int spile_pipe_feed_path(spile_pipe *pipe, const char *path);
SPILE_API int spile_pipe_feed_callback(spile_pipe *pipe, spile_read_fn read_fn, void *user);

/* Where an output goes, as for calls (spile_call_output_...), while it comes. A regular file at `path` is replaced once
 * the output has ended well; `write_fn` is given the pipe's name. */
SPILE_API int spile_pipe_drain_fd(spile_pipe *pipe, int fd);
SPILE_API int spile_pipe_drain_path(spile_pipe *pipe, const char *path);
SPILE_API int spile_pipe_drain_callback(spile_pipe *pipe, spile_write_fn write_fn, void *user);

/* Makes the pipe and serves it in a thread of the library's own. -EINVAL: nothing feeds it. */
SPILE_API int spile_pipe_start(spile_pipe *pipe);
/* Makes the pipe and serves it on a loop. `done_fn` (or NULL) is called once from inside a step, when it has ended; the
 * error, NULL where it ended well, is the pipe's. The loop counts the pipe among what is running until then. */
typedef void (*spile_pipe_done_fn)(void *user, spile_pipe *pipe, const spile_error *error);
SPILE_API int spile_pipe_attach(spile_pipe *pipe, spile_loop *loop, spile_pipe_done_fn done_fn, void *user);
/* Absolute; NULL before the pipe is started or attached. Owned by the pipe. */
SPILE_API const char *spile_pipe_path(const spile_pipe *pipe);

/* Names the process whose exit decides the end: a child that was not waited for yet, or any other. -ESRCH: there is
 * none; -EALREADY: one was named. */
SPILE_API int spile_pipe_set_process(spile_pipe *pipe, int64_t pid);
/* Says that the process has exited. */
SPILE_API int spile_pipe_finish(spile_pipe *pipe);
/* Ends it as it is. Any number of times; asynchronous, safe in a signal handler. */
SPILE_API void spile_pipe_cancel(spile_pipe *pipe);
/* A callback that said -EAGAIN can go on. */
SPILE_API void spile_pipe_resume(spile_pipe *pipe);

/* Waits until the pipe has ended, at most `timeout_ns` (UINT64_MAX: for ever). 0: it ended well; the negative errno
 * that fits its error; -ETIMEDOUT, with an error of that kind that says what it waits for: it goes on. -EINVAL: it was
 * not started, or nothing tells when it ends (set_process, finish). A pipe on a loop is only
 * looked at: step the loop. Not from its own callbacks (-EBUSY). May be called again. */
SPILE_API int spile_pipe_wait(spile_pipe *pipe, uint64_t timeout_ns, spile_error **ret_error);
/* What an output in memory has brought, also where it failed; the pipe's until it is freed. -EBUSY: it has not ended.
 * -EINVAL: it went elsewhere. */
SPILE_API int spile_pipe_output(const spile_pipe *pipe, const void **ret_data, size_t *ret_size);

typedef struct spile_pipe_info {
    size_t size;    /* sizeof(spile_pipe_info), set by the caller */
    uint64_t bytes; /* that processes took from an input (or were on their way to), or wrote to an output */
    unsigned opens; /* by processes */
    bool ended;
} spile_pipe_info;

SPILE_API int spile_pipe_get_info(const spile_pipe *pipe, spile_pipe_info *info);

#ifdef __cplusplus
}
#endif
#endif
