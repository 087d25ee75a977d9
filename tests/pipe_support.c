/* See pipe_support.h. */
#include "pipe_support.h"

#include <spawn.h>

extern char **environ;

pid_t spawn(const char *script, const char *first, const char *second) {
    const char *const words[] = {"sh", "-c", script, "sh", first, second, NULL};
    pid_t pid;
    ck_assert_int_eq(posix_spawn(&pid, "/bin/sh", NULL, NULL, (char *const *)(uintptr_t)words, environ), 0);
    return pid;
}

/* It begins only once both know its process: an output that is closed before may have ended. */
static pid_t spawn_known(const char *script, spile_pipe *first, spile_pipe *second) {
    char *whole = NULL;
    int status;
    ck_assert_int_ge(asprintf(&whole, "kill -STOP $$; %s", script), 0);
    const char *first_path = start_pipe(first), *second_path = second ? start_pipe(second) : NULL;
    pid_t pid = spawn(whole, first_path, second_path);
    free(whole);
    ck_assert_int_eq(waitpid(pid, &status, WUNTRACED), pid);
    ck_assert(WIFSTOPPED(status));
    ck_assert_int_eq(spile_pipe_set_process(first, pid), 0);
    if (second)
        ck_assert_int_eq(spile_pipe_set_process(second, pid), 0);
    kill(pid, SIGCONT);
    return pid;
}

int status_of(pid_t pid) {
    int status;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    return status;
}

spile_pipe *input_of(const void *data, size_t size) {
    const spile_pipe_options options = {.size = sizeof(options), .name = "in.txt"};
    spile_pipe *pipe = NULL;
    ck_assert_int_eq(spile_pipe_new_input(&options, &pipe), 0);
    if (data)
        ck_assert_int_eq(spile_pipe_feed_memory(pipe, data, size), 0);
    return pipe;
}

spile_pipe *output_new(void) {
    const spile_pipe_options options = {.size = sizeof(options), .name = "out.txt"};
    spile_pipe *pipe = NULL;
    ck_assert_int_eq(spile_pipe_new_output(&options, &pipe), 0);
    return pipe;
}

const char *start_pipe(spile_pipe *pipe) {
    ck_assert_ptr_null(spile_pipe_path(pipe));
    ck_assert_int_eq(spile_pipe_start(pipe), 0);
    ck_assert_ptr_nonnull(spile_pipe_path(pipe));
    return spile_pipe_path(pipe);
}

void wait_well(spile_pipe *pipe) {
    spile_error *error = NULL;
    int result = spile_pipe_wait(pipe, LONG_NS, &error);
    ck_assert_msg(result == 0 && !error, "wait: %d, %s", result, error ? spile_error_get_message(error) : "no error");
}

void wait_badly(spile_pipe *pipe, uint64_t timeout_ns, spile_error_kind kind, const char *part) {
    spile_error *error = NULL;
    ck_assert_int_lt(spile_pipe_wait(pipe, timeout_ns, &error), 0);
    check_error(error, kind, part);
    spile_error_free(error);
}

void check_came(const spile_pipe *pipe, const void *data, size_t size) {
    const void *got = NULL;
    size_t got_size = 0;
    ck_assert_int_eq(spile_pipe_output(pipe, &got, &got_size), 0);
    ck_assert_uint_eq(got_size, size);
    ck_assert_int_eq(size ? memcmp(got, data, size) : 0, 0);
}

spile_pipe_info info_of(const spile_pipe *pipe) {
    spile_pipe_info info = {.size = sizeof(info)};
    ck_assert_int_eq(spile_pipe_get_info(pipe, &info), 0);
    return info;
}

/* The shell copies the first pipe into the second, both being served; both must end well. */
void copy_through(spile_pipe *in, spile_pipe *out, const char *script) {
    pid_t pid = spawn_known(script, in, out);
    wait_well(in);
    wait_well(out);
    ck_assert_int_eq(status_of(pid), 0);
    ck_assert_int_eq(access(spile_pipe_path(in), F_OK), -1);
}

void drain_one(spile_pipe *out, const char *script) {
    pid_t pid = spawn_known(script, out, NULL);
    wait_well(out);
    ck_assert_int_eq(status_of(pid), 0);
}

void *resume_later(void *pipe) {
    spile_pipe_resume(pipe);
    return NULL;
}

ssize_t give_some(void *user, void *buffer, size_t size) {
    struct giver *giver = user;
    pthread_t thread;
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    giver->is_signal_seen |= !sigismember(&mask, SIGINT) || !sigismember(&mask, SIGUSR1);
    if (giver->calls++ % 3 == 1) { /* nothing yet: another thread says when */
        ck_assert_int_eq(pthread_create(&thread, NULL, resume_later, giver->pipe), 0);
        pthread_detach(thread);
        return -EAGAIN;
    }
    if (giver->given == giver->size)
        return giver->error;
    size_t count = MIN(giver->size - giver->given, MIN(size, (size_t)10007));
    memcpy(buffer, giver->bytes + giver->given, count);
    giver->given += count;
    return (ssize_t)count;
}

void add_tests(Suite *suite, const char *name, const TTest *const *tests, size_t count) {
    TCase *group = tcase_create(name);
    for (size_t i = 0; i < count; i++)
        tcase_add_test(group, tests[i]);
    tcase_set_timeout(group, 20);
    suite_add_tcase(suite, group);
}
