/* Pipes for processes that spile does not start: every order of opening, every kind of end, use and misuse, many at
 * once, forks and kills of the host. */
#include "pipe_support.h"

#include <spawn.h>

/* ------------------------------------------------------------------------------------------------ orders and ends */

/* With mkfifo and two open calls in the host each of these hangs. */
START_TEST(orders) {
    static const char *const scripts[] = {
        "exec 3<\"$1\" 4>\"$2\"; cat <&3 >&4",
        "exec 4>\"$2\" 3<\"$1\"; cat <&3 >&4",
        "(cat \"$1\" >/dev/null; head -c 2000000 /dev/zero >\"$2\") & wait",
        "(head -c 2000000 /dev/zero >\"$2\"; cat \"$1\" >/dev/null) & wait",
        "cat <\"$1\" | cat >\"$2\"",
    };
    unsigned char *bytes = pattern_bytes(2000000);
    spile_pipe *in = input_of(bytes, 2000000), *out = output_new();
    copy_through(in, out, scripts[_i]);
    ck_assert_uint_eq(info_of(in).bytes, 2000000);
    ck_assert_uint_eq(info_of(out).bytes, 2000000);
    spile_pipe_free(in);
    spile_pipe_free(out);
    free(bytes);
}
END_TEST

START_TEST(opposite_orders) {
    unsigned char *bytes = pattern_bytes(1000000);
    spile_pipe *first = input_of(bytes, 1000000), *second = input_of(bytes, 1000000);
    copy_through(first, second, "cat \"$2\" \"$1\" | wc -c | grep -q 2000000");
    spile_pipe_free(first);
    spile_pipe_free(second);
    first = output_new();
    second = output_new();
    copy_through(first, second, "exec 3>\"$1\" 4>\"$2\"; head -c 1000000 /dev/zero >&4; head -c 1000000 /dev/zero >&3");
    ck_assert_uint_eq(info_of(first).bytes + info_of(second).bytes, 2000000);
    spile_pipe_free(first);
    spile_pipe_free(second);
    free(bytes);
}
END_TEST

START_TEST(input_again) {
    unsigned char *bytes = pattern_bytes(300000);
    spile_pipe *in = input_of(bytes, 300000), *out = output_new();
    copy_through(in, out, "head -c 10 \"$1\" >\"$2\"; cat \"$1\" >>\"$2\"; cat \"$1\" >>\"$2\"");
    const void *data;
    size_t size;
    ck_assert_int_eq(spile_pipe_output(out, &data, &size), 0);
    ck_assert_uint_eq(size, 600010);
    ck_assert_mem_eq(data, bytes, 10);
    ck_assert_mem_eq((const char *)data + 300010, bytes, 300000);
    spile_pipe_free(in);
    spile_pipe_free(out);
    in = input_of(NULL, 0);
    struct giver giver = {.pipe = in, .bytes = bytes, .size = 300000};
    ck_assert_int_eq(spile_pipe_feed_callback(in, give_some, &giver), 0);
    pid_t pid = spawn("head -c 10 \"$1\" >/dev/null; cat \"$1\"", start_pipe(in), NULL);
    ck_assert_int_eq(spile_pipe_set_process(in, pid), 0);
    wait_badly(in, LONG_NS, SPILE_ERROR_STREAM, "the pipe 'in.txt' was opened again");
    status_of(pid);
    spile_pipe_free(in);
    free(bytes);
}
END_TEST

START_TEST(output_again) {
    spile_pipe *out = output_new();
    drain_one(out, "printf a >\"$1\"; printf b >>\"$1\"; (printf c) >\"$1\"");
    check_came(out, "abc", 3);
    ck_assert_uint_eq(info_of(out).opens, 3);
    spile_pipe_free(out);
    /* Where no process is named, the first hang-up is the end, and the path is gone. */
    out = output_new();
    pid_t pid = spawn("printf a >\"$1\"", start_pipe(out), NULL);
    wait_well(out);
    check_came(out, "a", 1);
    ck_assert_int_eq(access(spile_pipe_path(out), F_OK), -1);
    ck_assert_int_eq(status_of(pid), 0);
    spile_pipe_free(out);
    /* But where only the exit counts, it does not. */
    const spile_pipe_options options = {.size = sizeof(options), .ends_by_exit = true};
    ck_assert_int_eq(spile_pipe_new_output(&options, &out), 0);
    pid = spawn("printf a >\"$1\"; printf b >\"$1\"", start_pipe(out), NULL);
    wait_badly(out, LONG_NS, SPILE_ERROR_USAGE, "nothing tells when the pipe 'pipe' has ended: name its process");
    ck_assert_int_eq(status_of(pid), 0);
    ck_assert_int_eq(spile_pipe_finish(out), 0);
    wait_well(out);
    check_came(out, "ab", 2);
    spile_pipe_free(out);
}
END_TEST

/* Whoever looks the name up just before the next generation stands there opens the one before, when that has ended
 * already. O_PATH looks a name up, and what it gives can be opened later. */
START_TEST(output_opened_late) {
    static const spile_pipe_options options = {.size = sizeof(options), .ends_by_exit = true};
    spile_loop *loop = NULL;
    spile_pipe *out = NULL;
    char late[32];
    ck_assert_int_eq(spile_loop_new(&loop), 0);
    ck_assert_int_eq(spile_pipe_new_output(&options, &out), 0);
    ck_assert_int_eq(spile_pipe_attach(out, loop, NULL, NULL), 0);
    AUTO_FD looked_up = open(spile_pipe_path(out), O_PATH | O_CLOEXEC);
    ck_assert_int_ge(looked_up, 0);
    snprintf(late, sizeof(late), "/proc/self/fd/%d", looked_up);
    close(open(spile_pipe_path(out), O_WRONLY | O_CLOEXEC));
    while (info_of(out).opens == 0)
        ck_assert_int_ge(spile_loop_step(loop, LONG_NS), 0);
    int fd = open(late, O_WRONLY | O_CLOEXEC);
    ck_assert_int_eq(write(fd, "late", 4), 4);
    close(fd);
    ck_assert_int_eq(spile_pipe_finish(out), 0);
    while (spile_loop_step(loop, LONG_NS) > 0)
        ;
    wait_well(out);
    check_came(out, "late", 4);
    spile_loop_free(loop);
    spile_pipe_free(out);
}
END_TEST

static int refuse_all(void *user, const char *name, const void *data, size_t size) {
    (void)user;
    (void)name;
    (void)data;
    return size > 0 ? -EIO : 0;
}

/* Nobody wants what was written, and who wrote it has gone. */
START_TEST(output_refused_at_its_end) {
    spile_loop *loop = NULL;
    spile_pipe *out = output_new();
    ck_assert_int_eq(spile_loop_new(&loop), 0);
    ck_assert_int_eq(spile_pipe_drain_callback(out, refuse_all, NULL), 0);
    ck_assert_int_eq(spile_pipe_attach(out, loop, NULL, NULL), 0);
    int fd = open(spile_pipe_path(out), O_WRONLY | O_CLOEXEC);
    while (info_of(out).opens == 0)
        ck_assert_int_ge(spile_loop_step(loop, LONG_NS), 0);
    ck_assert_int_eq(write(fd, "in vain", 7), 7);
    close(fd);
    while (spile_loop_step(loop, LONG_NS) > 0)
        ;
    wait_badly(out, LONG_NS, SPILE_ERROR_OUTPUT, "");
    spile_loop_free(loop);
    spile_pipe_free(out);
}
END_TEST

/* A process that a shell left behind still writes: the output has not ended. */
START_TEST(output_of_a_descendant) {
    spile_pipe *out = output_new();
    int fds[2];
    char held[16];
    ck_assert_int_eq(pipe(fds), 0); /* direct: the descendant inherits it, and ends when it is closed here */
    snprintf(held, sizeof(held), "%d", fds[0]);
    ck_assert_int_eq(fcntl(fds[1], F_SETFD, FD_CLOEXEC), 0);
    pid_t pid = spawn("exec 3>\"$1\"; { eval \"cat <&$2\"; echo late >&3; } & printf early >&3", start_pipe(out), held);
    ck_assert_int_eq(spile_pipe_set_process(out, pid), 0);
    ck_assert_int_eq(status_of(pid), 0);
    wait_badly(out, 20 * NS_PER_MS, SPILE_ERROR_TIMEOUT, "a process still has it open");
    close(fds[0]);
    close(fds[1]);
    wait_well(out);
    check_came(out, "earlylate\n", 10);
    spile_pipe_free(out);
}
END_TEST

/* The same for an input: nobody's data is cut off. */
START_TEST(input_of_a_descendant) {
    unsigned char *bytes = pattern_bytes(2000000);
    spile_pipe *in = input_of(bytes, 2000000);
    char *path = strdup(in_scratch("copy"));
    pid_t pid = spawn("exec 3<\"$1\"; cat <&3 >\"$2\" & :", start_pipe(in), path);
    ck_assert_int_eq(spile_pipe_set_process(in, pid), 0);
    ck_assert_int_eq(status_of(pid), 0);
    wait_well(in);
    ck_assert_uint_eq(info_of(in).bytes, 2000000);
    spile_pipe_free(in);
    free(bytes);
    free(path);
}
END_TEST

START_TEST(never_opened) {
    spile_pipe *in = input_of("text", 4), *out = output_new();
    const char *in_path = start_pipe(in), *out_path = start_pipe(out);
    pid_t pid = spawn("exit 3", in_path, out_path);
    ck_assert_int_eq(spile_pipe_set_process(in, pid), 0);
    ck_assert_int_eq(spile_pipe_set_process(in, pid), -EALREADY);
    wait_well(in);
    ck_assert_uint_eq(info_of(in).opens, 0);
    wait_badly(out, 0, SPILE_ERROR_TIMEOUT, "no process has opened it");
    status_of(pid);
    ck_assert_int_eq(spile_pipe_set_process(out, pid), -ESRCH); /* it is gone: then this says so */
    ck_assert_int_eq(spile_pipe_finish(out), 0);
    wait_badly(out, LONG_NS, SPILE_ERROR_OUTPUT_MISSING, "no process opened the pipe 'out.txt' for writing");
    wait_badly(out, 0, SPILE_ERROR_OUTPUT_MISSING, "no process opened"); /* and says it again */
    spile_pipe_free(in);
    spile_pipe_free(out);
    const spile_pipe_options options = {.size = sizeof(options), .is_optional = true};
    ck_assert_int_eq(spile_pipe_new_output(&options, &out), 0);
    write_text(in_scratch("target"), "old");
    ck_assert_int_eq(spile_pipe_drain_path(out, in_scratch("target")), 0);
    start_pipe(out);
    ck_assert_int_eq(spile_pipe_finish(out), 0);
    wait_well(out);
    spile_pipe_free(out);
    check_text(in_scratch("target"), "old");
}
END_TEST

START_TEST(killed) {
    unsigned char *bytes = pattern_bytes(5000000);
    spile_pipe *in = input_of(bytes, 5000000), *out = output_new();
    const char *in_path = start_pipe(in), *out_path = start_pipe(out);
    pid_t pid = spawn("exec 3<\"$1\" 4>\"$2\"; head -c 100000 <&3 >&4; kill -9 $$", in_path, out_path);
    ck_assert_int_eq(spile_pipe_set_process(in, pid) + spile_pipe_set_process(out, pid), 0);
    wait_well(out); /* the pipe did what it could; the exit is the caller's to judge */
    check_came(out, bytes, 100000);
    int status = status_of(pid);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    wait_well(in);
    spile_pipe_free(in);
    spile_pipe_free(out);
    free(bytes);
}
END_TEST

START_TEST(replaced) {
    spile_pipe *out = output_new();
    pid_t pid = spawn("rm \"$1\"; echo text >\"$1\"", start_pipe(out), NULL);
    ck_assert_int_eq(spile_pipe_set_process(out, pid), 0);
    wait_badly(out, LONG_NS, SPILE_ERROR_STREAM, "the process put something else in its place");
    status_of(pid);
    spile_pipe_free(out);
}
END_TEST

START_TEST(freed_at_once) {
    spile_pipe *in = input_of("text", 4), *out = output_new();
    char *path = strdup(start_pipe(in));
    start_pipe(out);
    spile_pipe_free(in);
    spile_pipe_free(out);
    ck_assert_int_eq(access(path, F_OK), -1);
    *strstr(path, "/pipe/") = '\0';
    ck_assert_int_eq(access(path, F_OK), -1);
    free(path);
    ck_assert_ptr_null(spile_pipe_free(NULL));
}
END_TEST

/* ------------------------------------------------------------------------------------------------ misuse */

START_TEST(misuse) {
    static const char *const names[] = {"", ".", "..", "a/b", "/a"};
    spile_pipe *in = NULL, *out = output_new();
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        ck_assert_int_eq(
            spile_pipe_new_input(&(spile_pipe_options){.size = sizeof(spile_pipe_options), .name = names[i]}, &in),
            -EINVAL);
    ck_assert_int_eq(spile_pipe_new_input(&(spile_pipe_options){.size = 1}, &in), -EINVAL);
    ck_assert_ptr_null(in);
    in = input_of(NULL, 0);
    ck_assert_int_eq(spile_pipe_start(in), -EINVAL); /* nothing feeds it */
    ck_assert_int_eq(spile_pipe_feed_path(in, in_scratch("none")), -ENOENT);
    ck_assert_int_eq(spile_pipe_feed_path(in, scratch()), -EISDIR);
    ck_assert_int_eq(spile_pipe_feed_fd(in, -1), -EBADF);
    ck_assert_int_eq(spile_pipe_drain_fd(in, 1), -EINVAL);
    ck_assert_int_eq(spile_pipe_feed_memory(in, "text", 4), 0);
    ck_assert_int_eq(spile_pipe_feed_copy(in, "text", 4), -EEXIST);
    wait_badly(in, 0, SPILE_ERROR_USAGE, "the pipe 'in.txt' was not started");
    start_pipe(in);
    ck_assert_int_eq(spile_pipe_start(in), -EALREADY);
    ck_assert_int_eq(spile_pipe_feed_copy(in, "text", 4), -EALREADY);
    wait_badly(in, LONG_NS, SPILE_ERROR_USAGE, "nothing tells when the pipe 'in.txt' has ended");
    ck_assert_int_eq(spile_pipe_feed_memory(out, "text", 4), -EINVAL);
    ck_assert_int_eq(spile_pipe_set_process(out, 0), -EINVAL);
    start_pipe(out);
    const void *data;
    size_t size;
    ck_assert_int_eq(spile_pipe_output(out, &data, &size), -EBUSY);
    spile_pipe_free(in);
    spile_pipe_free(out);
}
END_TEST

static ssize_t misuse_from_inside(void *user, void *buffer, size_t size) {
    spile_pipe *pipe = *(spile_pipe **)user;
    (void)buffer;
    (void)size;
    ck_assert_int_eq(spile_pipe_wait(pipe, NS_FOREVER, NULL), -EBUSY);
    ck_assert_ptr_null(spile_pipe_free(pipe));
    spile_pipe_cancel(pipe);
    return 0;
}

START_TEST(from_its_own_callback) {
    spile_pipe *in = input_of(NULL, 0);
    ck_assert_int_eq(spile_pipe_feed_callback(in, misuse_from_inside, &in), 0);
    start_pipe(in);
    ck_assert_int_eq(spile_pipe_set_process(in, getpid()), 0);
    wait_badly(in, LONG_NS, SPILE_ERROR_CANCELLED, "was cancelled");
    spile_pipe_free(in);
}
END_TEST

/* ------------------------------------------------------------------------------------------------ on a loop */

struct done {
    unsigned count;
    spile_error_kind kind;
};

static void on_done(void *user, spile_pipe *pipe, const spile_error *error) {
    struct done *done = user;
    done->count++;
    done->kind = error ? spile_error_get_kind(error) : 0;
    ck_assert_ptr_null(spile_pipe_free(pipe)); /* does nothing here */
    ck_assert_int_eq(spile_pipe_wait(pipe, 0, NULL), -EBUSY);
}

START_TEST(on_a_loop) {
    unsigned char *bytes = pattern_bytes(1000000);
    spile_loop *loop = NULL;
    spile_pipe *in = input_of(bytes, 1000000), *out = output_new();
    struct done in_done = {0}, out_done = {0};
    ck_assert_int_eq(spile_loop_new(&loop), 0);
    ck_assert_int_eq(spile_pipe_attach(in, loop, on_done, &in_done), 0);
    ck_assert_int_eq(spile_pipe_attach(out, loop, on_done, &out_done), 0);
    pid_t pid = spawn("cat \"$1\" >\"$2\"", spile_pipe_path(in), spile_pipe_path(out));
    ck_assert_int_eq(spile_pipe_set_process(in, pid), 0);
    ck_assert_int_eq(spile_pipe_set_process(out, pid), 0);
    wait_badly(out, LONG_NS, SPILE_ERROR_TIMEOUT, "no process has opened it"); /* only looks */
    while (spile_loop_step(loop, NS_FOREVER) > 0)
        ;
    ck_assert_uint_eq(in_done.count, 1);
    ck_assert_uint_eq(out_done.count, 1);
    wait_well(in);
    wait_well(out);
    check_came(out, bytes, 1000000);
    status_of(pid);
    spile_loop_free(loop);
    spile_pipe_free(in);
    spile_pipe_free(out);
    free(bytes);
}
END_TEST

START_TEST(loop_freed_first) {
    spile_loop *loop = NULL;
    spile_pipe *out = output_new();
    struct done done = {0};
    ck_assert_int_eq(spile_loop_new(&loop), 0);
    ck_assert_int_eq(spile_pipe_attach(out, loop, on_done, &done), 0);
    spile_loop_free(loop);
    ck_assert_uint_eq(done.count, 1);
    ck_assert_int_eq(done.kind, SPILE_ERROR_CANCELLED);
    spile_pipe_cancel(out);
    spile_pipe_free(out);
}
END_TEST

/* ------------------------------------------------------------------------------------------------ many, forks, kills
 */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define IS_SANITIZED
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define IS_SANITIZED
#endif
#endif

static size_t resident_pages(void) {
    char *text = read_text("/proc/self/statm");
    size_t pages = strtoul(strchr(text, ' '), NULL, 10);
    free(text);
    return pages;
}

static void one_of_many(void) {
    spile_pipe *in = input_of("text", 4), *out = output_new();
    const char *in_path = start_pipe(in), *out_path = start_pipe(out);
    char text[8] = "";
    int from = open(in_path, O_RDONLY | O_CLOEXEC), to = open(out_path, O_WRONLY | O_CLOEXEC);
    ck_assert(from >= 0 && to >= 0);
    ck_assert_int_eq(read(from, text, sizeof(text)), 4);
    ck_assert_int_eq(write(to, text, 4), 4);
    close(from);
    close(to);
    ck_assert_int_eq(spile_pipe_finish(in) + spile_pipe_finish(out), 0);
    wait_well(in);
    wait_well(out);
    check_came(out, "text", 4);
    spile_pipe_free(in);
    spile_pipe_free(out);
}

START_TEST(many) {
    for (int i = 0; i < 20; i++)
        one_of_many();
    size_t fds = open_fds(), threads = entries_in("/proc/self/task"), directories = entries_in("/dev/shm"),
           pages = resident_pages();
    for (int i = 0; i < 500; i++)
        one_of_many();
    ck_assert_uint_eq(open_fds(), fds);
    ck_assert_uint_eq(entries_in("/proc/self/task"), threads);
    ck_assert_uint_le(entries_in("/dev/shm"), directories + 8); /* others use it too */
#ifndef IS_SANITIZED                                            /* which keeps what was freed */
    ck_assert_uint_le(resident_pages(), pages + 1024);
#else
    (void)pages;
#endif
}
END_TEST

/* More than a user may have of what tells of opens: the rest is served by the clock. */
START_TEST(many_at_once) {
    enum { COUNT = 200 };
    spile_pipe *pipes[COUNT];
    size_t fds = open_fds();
    for (int i = 0; i < COUNT; i++) {
        pipes[i] = i % 2 ? input_of("text", 4) : output_new();
        start_pipe(pipes[i]);
    }
    for (int i = 0; i < COUNT; i += 2) {
        pid_t pid = spawn("cat \"$1\" >\"$2\"", spile_pipe_path(pipes[i + 1]), spile_pipe_path(pipes[i]));
        ck_assert_int_eq(spile_pipe_set_process(pipes[i], pid), 0);
        ck_assert_int_eq(spile_pipe_set_process(pipes[i + 1], pid), 0);
        wait_well(pipes[i]);
        wait_well(pipes[i + 1]);
        check_came(pipes[i], "text", 4);
        status_of(pid);
    }
    for (int i = 0; i < COUNT; i++)
        spile_pipe_free(pipes[i]);
    ck_assert_uint_eq(open_fds(), fds);
}
END_TEST

START_TEST(forked) {
    int go[2], told[2];
    char byte;
    spile_pipe *in = input_of("text", 4), *out = output_new();
    const char *in_path = start_pipe(in), *out_path = start_pipe(out);
    ck_assert_int_eq(pipe2(go, O_CLOEXEC) + pipe2(told, O_CLOEXEC), 0);
    pid_t child = fork();
    if (child == 0) { /* lives until the parent has seen its pipes end, and touches them in vain */
        bool is_dead = spile_pipe_wait(in, NS_FOREVER, NULL) == -EBADF && spile_pipe_finish(out) == -EBADF &&
                       spile_pipe_set_process(in, getpid()) == -EBADF;
        spile_pipe_cancel(in);
        spile_pipe_free(in);
        spile_pipe_free(out);
        if (write(told[1], "x", 1) != 1 || read(go[0], &byte, 1) != 1)
            _exit(1);
        _exit(!is_dead);
    }
    ck_assert_int_eq(read(told[0], &byte, 1), 1);
    pid_t pid = spawn("cat \"$1\" >\"$2\"", in_path, out_path);
    ck_assert_int_eq(spile_pipe_set_process(in, pid), 0);
    ck_assert_int_eq(spile_pipe_set_process(out, pid), 0);
    wait_well(in);
    wait_well(out);
    check_came(out, "text", 4);
    ck_assert_int_eq(status_of(pid), 0);
    ck_assert_int_eq(write(go[1], "x", 1), 1);
    ck_assert_int_eq(status_of(child), 0);
    spile_pipe_free(in);
    spile_pipe_free(out);
}
END_TEST

/* What a killed host leaves is one directory, which the next pipe's start deletes. */
START_TEST(host_killed) {
    int told[2];
    char path[256] = "";
    ck_assert_int_eq(pipe2(told, O_CLOEXEC), 0);
    pid_t child = fork();
    if (child == 0) {
        spile_pipe *out = output_new();
        const char *own = start_pipe(out);
        if (write(told[1], own, strlen(own)) < 0)
            _exit(1);
        for (;;)
            pause();
    }
    ck_assert_int_gt(read(told[0], path, sizeof(path) - 1), 0);
    ck_assert_int_eq(mkfifo(in_scratch("opened"), 0600), 0);
    pid_t writer = spawn("exec 3>\"$1\"; echo >\"$2\"; while printf x >&3; do :; done", path, in_scratch("opened"));
    free(read_text(in_scratch("opened")));
    kill(child, SIGKILL);
    status_of(child);
    status_of(writer); /* a broken pipe, not a hang */
    spile_pipe *out = output_new();
    start_pipe(out);
    ck_assert_int_eq(access(path, F_OK), -1); /* whoever starts one next, of all that run here, takes it away */
    spile_pipe_free(out);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("pipe ends");
    TCase *loops = tcase_create("each");
    tcase_add_loop_test(loops, orders, 0, 5);
    tcase_set_timeout(loops, 20);
    suite_add_tcase(suite, loops);
    ADD(suite, "end", opposite_orders, input_again, output_again, output_opened_late, output_refused_at_its_end,
        output_of_a_descendant, input_of_a_descendant, never_opened, killed, replaced, freed_at_once);
    ADD(suite, "use", misuse, from_its_own_callback, on_a_loop, loop_freed_first);
    ADD(suite, "host", many, many_at_once, forked, host_killed);
    return support_run(suite);
}
