/* What goes into a call: from memory, descriptors, paths and callbacks, as files, trees and standard input; and what
 * programs may and may not do to it. */
#include "support.h"

#include <sys/un.h>

/* ------------------------------------------------------------------------------------------------ memory */

START_TEST(memory_of_every_size) {
    static const size_t sizes[] = {0, 1, 4095, 4096, (256 << 10) - 1, 256 << 10, (8 << 20) - 1, 8 << 20, (8 << 20) + 1};
    size_t size = sizes[_i];
    unsigned char *bytes = pattern_bytes(size);
    spile_call *call = CALL("cat {<in} >{out}");
    ck_assert_int_eq(spile_call_input_memory(call, "in", size ? bytes : NULL, size), 0);
    spile_result *result = run_well(call);
    check_bytes(result, "out", bytes, size);
    spile_result_free(result);
    free(bytes);
}
END_TEST

static void count_free(void *user, void *data) {
    ++*(int *)user;
    free(data);
}

START_TEST(copied_and_given) {
    char text[] = "copied";
    int freed = 0, refused = 0;
    spile_call *call = CALL("cat {<a} {<b} >{out}");
    ck_assert_int_eq(spile_call_input_copy(call, "a", text, 6), 0);
    memset(text, 'x', 6);
    ck_assert_int_eq(spile_call_input_give(call, "b", strdup(" given"), 6, count_free, &freed), 0);
    /* What is refused is freed as well. */
    ck_assert_int_eq(spile_call_input_give(call, "b", strdup("again"), 5, count_free, &refused), -EEXIST);
    ck_assert_int_eq(spile_call_input_give(call, "../b", strdup("again"), 5, count_free, &refused), -EINVAL);
    ck_assert_int_eq(spile_call_input_give(call, "out", strdup("again"), 5, count_free, &refused), -EPERM);
    ck_assert_int_eq(spile_call_input_give(call, "c", NULL, 5, count_free, &refused), -EINVAL);
    ck_assert_int_eq(refused, 4);
    spile_result *result = run_well(call);
    check_output(result, "out", "copied given");
    ck_assert_int_eq(freed, 1);
    spile_result_free(result);
    /* A call that never ran gives back too. */
    call = CALL("cat {<b}");
    ck_assert_int_eq(spile_call_input_give(call, "b", strdup(""), 0, count_free, &freed), 0);
    spile_call_free(call);
    ck_assert_int_eq(freed, 2);
}
END_TEST

START_TEST(standard_input) {
    spile_call *call = CALL("cat", "sh -c 'cat; cat >&2'", "cat <{in}", "cat");
    unsigned char *bytes = pattern_bytes(300000);
    ck_assert_int_eq(spile_call_stdin_memory(call, 0, "text", 4), 0);
    ck_assert_int_eq(spile_call_stdin_memory(call, 0, "text", 4), -EEXIST);
    ck_assert_int_eq(spile_call_stdin_memory(call, 1, bytes, 300000), 0);
    ck_assert_int_eq(spile_call_stdin_memory(call, 2, "text", 4), -EINVAL); /* tied */
    ck_assert_int_eq(spile_call_stdin_memory(call, 4, "text", 4), -EINVAL);
    give(call, "in", "tied");
    spile_result *result = run_well(call);
    ck_assert_str_eq(program_of(result, 0).standard_output, "text");
    ck_assert_uint_eq(program_of(result, 1).standard_output_size, 300000);
    ck_assert_mem_eq(program_of(result, 1).standard_output, bytes, 300000);
    ck_assert_uint_eq(program_of(result, 1).standard_error_size, 0);
    ck_assert_str_eq(program_of(result, 2).standard_output, "tied");
    ck_assert_uint_eq(program_of(result, 3).standard_output_size, 0); /* null */
    spile_result_free(result);
    free(bytes);
    call = CALL("cat | cat");
    ck_assert_int_eq(spile_call_stdin_memory(call, 1, "text", 4), -EINVAL); /* behind a bar */
    ck_assert_int_eq(spile_call_stdin_memory(call, 0, "text", 4), 0);
    result = run_well(call);
    ck_assert_str_eq(program_of(result, 1).standard_output, "text");
    spile_result_free(result);
}
END_TEST

/* ------------------------------------------------------------------------------------------------ descriptors */

static void *write_slowly(void *user) {
    int fd = *(int *)user;
    for (int i = 0; i < 1000; i++)
        ck_assert_int_eq(write(fd, "0123456789abcde\n", 16), 16);
    close(fd);
    return NULL;
}

static spile_result *cat_fd(int fd) {
    spile_call *call = CALL("cat {<in} >{out}");
    int flags = fcntl(fd, F_GETFL);
    ck_assert_int_eq(spile_call_input_fd(call, "in", fd), 0);
    spile_result *result = run_well(call);
    ck_assert_int_eq(fcntl(fd, F_GETFL), flags); /* the caller's stays as it was */
    return result;
}

START_TEST(from_pipes_and_sockets) {
    int ends[2];
    pthread_t thread;
    ck_assert_int_eq(_i == 0 ? pipe2(ends, O_CLOEXEC) : socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    ck_assert_int_eq(pthread_create(&thread, NULL, write_slowly, &ends[1]), 0);
    spile_result *result = cat_fd(ends[0]);
    pthread_join(thread, NULL);
    ck_assert_uint_eq(output_of(result, "out").bytes, 16000);
    ck_assert_mem_eq((const char *)output_of(result, "out").data + 15984, "0123456789abcde\n", 16);
    spile_result_free(result);
    close(ends[0]);
}
END_TEST

START_TEST(from_files) {
    write_text(in_scratch("file"), "0123456789");
    AUTO_FD fd = open(in_scratch("file"), O_RDONLY | O_CLOEXEC);
    ck_assert_int_eq(lseek(fd, 4, SEEK_SET), 4);
    spile_result *result = cat_fd(fd);
    check_output(result, "out", "456789");
    spile_result_free(result);
    AUTO_FD null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    result = cat_fd(null);
    check_output(result, "out", "");
    spile_result_free(result);
    spile_call *call = CALL("cat {<in}");
    AUTO_FD writable = open("/dev/null", O_WRONLY | O_CLOEXEC), directory = open("/", O_RDONLY | O_CLOEXEC);
    ck_assert_int_eq(spile_call_input_fd(call, "in", -1), -EBADF);
    ck_assert_int_eq(spile_call_input_fd(call, "in", 9999), -EBADF);
    ck_assert_int_eq(spile_call_input_fd(call, "in", writable), -EBADF);
    ck_assert_int_eq(spile_call_input_fd(call, "in", directory), 0);
    spile_result_free(run_badly(call, SPILE_ERROR_INPUT, "reading input 'in' failed: Is a directory"));
}
END_TEST

/* ------------------------------------------------------------------------------------------------ paths */

START_TEST(from_paths) {
    struct timespec times[2] = {{.tv_sec = 1000}, {.tv_sec = 1234567, .tv_nsec = 500000000}};
    write_text(in_scratch("data"), "data");
    ck_assert_int_eq(chmod(in_scratch("data"), 0640), 0);
    ck_assert_int_eq(utimensat(AT_FDCWD, in_scratch("data"), times, 0), 0);
    write_text(in_scratch("tool"), "#!/bin/sh\necho made by $0 >$1\n");
    ck_assert_int_eq(chmod(in_scratch("tool"), 0755), 0);
    spile_call *call = CALL("stat -c '%a %Y' {<data} {<tool}", "./{<tool} {>made}");
    ck_assert_int_eq(spile_call_input_path(call, "data", in_scratch("data")), 0);
    ck_assert_int_eq(spile_call_input_path(call, "tool", in_scratch("tool")), 0);
    spile_result *result = run_well(call);
    ck_assert_ptr_nonnull(strstr(program_of(result, 0).standard_output, "444 1234567\n555 "));
    check_output(result, "made", "made by ./tool\n");
    spile_result_free(result);
    /* From memory it may be executed too, where it is a program. */
    call = CALL("./{<tool} {>made}");
    give(call, "tool", "#!/bin/sh\necho hello >$1\n");
    result = run_well(call);
    check_output(result, "made", "hello\n");
    spile_result_free(result);
}
END_TEST

START_TEST(from_a_fifo) {
    ck_assert_int_eq(mkfifo(in_scratch("fifo"), 0600), 0);
    spile_call *call = CALL("cat {<in} >{out}");
    ck_assert_int_eq(spile_call_input_path(call, "in", in_scratch("fifo")), 0);
    pid_t writer = fork();
    if (writer == 0) {
        int fd = open(in_scratch("fifo"), O_WRONLY);
        _exit(write(fd, "through it", 10) == 10 ? 0 : 1);
    }
    spile_result *result = run_well(call);
    check_output(result, "out", "through it");
    spile_result_free(result);
    waitpid(writer, NULL, 0);
}
END_TEST

START_TEST(paths_that_fail) {
    spile_call *call = CALL("cat {<in}");
    ck_assert_int_eq(spile_call_input_path(call, "in", in_scratch("nothing")), 0);
    spile_result_free(run_badly(call, SPILE_ERROR_INPUT, "failed: No such file or directory"));
    call = CALL("cat {<in}");
    ck_assert_int_eq(spile_call_input_path(call, "in", scratch()), 0);
    spile_result_free(run_badly(call, SPILE_ERROR_INPUT, "failed: Is a directory"));
    call = CALL("cat {<in}");
    ck_assert_int_eq(spile_call_input_path(call, "in/", in_scratch("nothing")), -ENOENT);
    spile_call_free(call);
}
END_TEST

START_TEST(trees_and_patterns) {
    ck_assert_int_eq(mkdir(in_scratch("t"), 0777), 0);
    ck_assert_int_eq(mkdir(in_scratch("t/sub"), 0777), 0);
    write_text(in_scratch("t/b"), "B");
    write_text(in_scratch("t/a"), "A");
    write_text(in_scratch("t/sub/c"), "C");
    write_text(in_scratch("t/.hidden"), "H");
    ck_assert_int_eq(symlink("a", in_scratch("t/link")), 0);
    ck_assert_int_eq(symlink("sub", in_scratch("t/dirlink")), 0);
    ck_assert_int_eq(symlink("nowhere", in_scratch("t/dangling")), 0);
    spile_call *call = CALL("sh -c 'cd $1 && find . -type f | sort && cat sub/c link' sh {<src/}",
                            "echo {<src/**/?} {<*.z}");
    ck_assert_int_eq(spile_call_input_path(call, "src/", in_scratch("t")), 0);
    give(call, "b.z", "");
    give(call, "a.z", "");
    spile_result *result = run_well(call);
    ck_assert_str_eq(program_of(result, 0).standard_output, "./.hidden\n./a\n./b\n./link\n./sub/c\nCA");
    ck_assert_str_eq(program_of(result, 1).standard_output, "src/a src/b src/sub/c a.z b.z\n");
    spile_result_free(result);
}
END_TEST

START_TEST(extra_files) {
    spile_call *call = CALL("cat {<a} inc/b", "cat inc/b");
    give(call, "a", "A");
    give(call, "inc/b", "B");
    spile_result *result = run_well(call);
    ck_assert_str_eq(program_of(result, 0).standard_output, "AB");
    ck_assert_str_eq(program_of(result, 1).standard_output, "B");
    ck_assert_uint_eq(spile_result_output_count(result), 0);
    spile_result_free(result);
}
END_TEST

/* ------------------------------------------------------------------------------------------------ callbacks */

struct feed {
    spile_call *call;
    int calls, waits_at, fails_at, code;
    bool resumes_at_once;
    pthread_t thread;
};

static void *resume(void *user) {
    spile_call_resume(((struct feed *)user)->call);
    return NULL;
}

/* Three pieces, then the end. */
static ssize_t feed(void *user, void *buffer, size_t size) {
    struct feed *self = user;
    int number = self->calls++;
    ck_assert_uint_ge(size, 4096);
    if (self->fails_at && number == self->fails_at)
        return self->code;
    if (self->waits_at && number == self->waits_at) {
        if (self->resumes_at_once)
            spile_call_resume(self->call);
        else
            ck_assert_int_eq(pthread_create(&self->thread, NULL, resume, self), 0);
        return -EAGAIN;
    }
    if (number >= 3 + (self->waits_at > 0))
        return 0;
    memset(buffer, 'x', 1000);
    return 1000;
}

START_TEST(from_callbacks) {
    struct feed self = {.waits_at = _i % 4, .resumes_at_once = _i >= 4};
    self.call = CALL("cat {<in} >{out}");
    ck_assert_int_eq(spile_call_input_callback(self.call, "in", feed, &self), 0);
    spile_result *result = run_well(self.call);
    ck_assert_uint_eq(output_of(result, "out").bytes, 3000);
    ck_assert_int_eq(self.calls, self.waits_at ? 5 : 4);
    if (self.thread)
        pthread_join(self.thread, NULL);
    spile_result_free(result);
}
END_TEST

START_TEST(callbacks_that_fail) {
    struct feed self = {.fails_at = 2, .code = -EREMOTEIO};
    spile_call *call = CALL("cat {<in} >{out}");
    ck_assert_int_eq(spile_call_input_callback(call, "in", feed, &self), 0);
    spile_result *result = run_badly(call, SPILE_ERROR_INPUT, "reading input 'in' failed: Remote I/O error");
    ck_assert_int_eq(spile_error_get_errno(spile_result_error(result)), EREMOTEIO);
    ck_assert(!program_of(result, 0).started);
    spile_result_free(result);
    self = (struct feed){.fails_at = 2, .code = INT32_MAX}; /* more than there was room for */
    call = CALL("cat {<in} >{out}");
    ck_assert_int_eq(spile_call_input_callback(call, "in", feed, &self), 0);
    spile_result_free(run_badly(call, SPILE_ERROR_INPUT, "reading input 'in' failed"));
}
END_TEST

/* Callbacks run inside a step, not where the call is attached. */
static void count_end(void *user, spile_call *call, spile_result *result) {
    ck_assert_ptr_null(spile_result_error(result));
    ++*(int *)user;
    spile_result_free(result);
    spile_call_free(call);
}

START_TEST(callbacks_from_steps_only) {
    struct feed self = {0};
    int ended = 0;
    spile_loop *loop = NULL;
    spile_result_free(run_well(CALL("true"))); /* now a cell is there at once */
    self.call = CALL("cat {<in} >{out}");
    ck_assert_int_eq(spile_call_input_callback(self.call, "in", feed, &self), 0);
    ck_assert_int_eq(spile_loop_new(&loop), 0);
    ck_assert_int_eq(spile_call_attach(self.call, loop, count_end, &ended), 0);
    ck_assert_int_eq(self.calls, 0);
    while (spile_loop_step(loop, UINT64_MAX) > 0)
        ;
    ck_assert_int_eq(ended, 1);
    ck_assert_int_eq(self.calls, 4);
    spile_loop_free(loop);
}
END_TEST

/* ------------------------------------------------------------------------------------------------ what programs do */

START_TEST(input_is_changed) {
    static const char *const scripts[] = {
        "sh -c 'chmod u+w $1; echo more >>$1' sh {<in}",
        "sh -c 'echo other >new; mv -f new $1' sh {<in}",
        "sh -c 'rm -f $1; echo again >$1' sh {<in}",
    };
    spile_call *call = CALL(scripts[_i]);
    give(call, "in", "text");
    spile_result *result = run_badly(call, SPILE_ERROR_INPUT_CHANGED, "changed its input 'in': mark it {<>in}");
    ck_assert_int_eq(spile_result_exit_status(result), 123);
    spile_result_free(result);
}
END_TEST

START_TEST(input_is_removed_or_read) {
    spile_call *call = CALL("sh -c 'cat $1; rm -f $1' sh {<in}", "cat {<in}");
    give(call, "in", "text");
    spile_result *result = run_well(call);
    ck_assert_str_eq(program_of(result, 1).standard_output, "text");
    ck_assert_uint_eq(spile_result_output_count(result), 0);
    spile_result_free(result);
}
END_TEST

/* ------------------------------------------------------------------------------------------------ misuse */

START_TEST(refused_inputs) {
    spile_call *call = CALL("cat {<in} >{out}", "cat {<out} {<many*} {v} >{last}");
    static const char *const bad[] = {"", "/abs", "../up", "a/../../b", "a//b", "./a", "tree/"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        ck_assert_msg(spile_call_input_memory(call, bad[i], "x", 1) == -EINVAL, "'%s'", bad[i]);
    ck_assert_int_eq(spile_call_input_memory(call, NULL, "x", 1), -EINVAL);
    ck_assert_int_eq(spile_call_input_memory(NULL, "in", "x", 1), -EINVAL);
    ck_assert_int_eq(spile_call_input_memory(call, "in", NULL, 1), -EINVAL);
    ck_assert_int_eq(spile_call_input_copy(call, "in", NULL, 1), -EINVAL);
    ck_assert_int_eq(spile_call_input_path(call, "in", NULL), -EINVAL);
    ck_assert_int_eq(spile_call_input_path(call, "../t/", scratch()), -EINVAL);
    ck_assert_int_eq(spile_call_input_callback(call, "in", NULL, NULL), -EINVAL);
    ck_assert_int_eq(spile_call_input_memory(call, "out", "x", 1), -EPERM);
    ck_assert_int_eq(spile_call_input_memory(call, "last", "x", 1), -EPERM);
    give(call, "in", "x");
    ck_assert_int_eq(spile_call_input_memory(call, "in", "y", 1), -EEXIST);
    ck_assert_int_eq(spile_call_value(call, "w", "x"), -ENOENT);
    ck_assert_int_eq(spile_call_values(call, "v", (const char *const[]){"x"}, 1), -EINVAL);
    ck_assert_int_eq(spile_call_value(call, "v", NULL), -EINVAL);
    spile_call_free(call);
}
END_TEST

START_TEST(missing) {
    spile_call *call = CALL("cat {<in}");
    spile_result *result = run_badly(call, SPILE_ERROR_MISSING, "input 'in', which 'cat' reads, was not given");
    ck_assert_int_eq(spile_error_get_program(spile_result_error(result)), 0);
    ck_assert_int_eq(spile_error_get_offset(spile_result_error(result)), 4);
    ck_assert_int_eq(spile_result_exit_status(result), 125);
    spile_result_free(result);
    spile_result_free(run_badly(CALL("strip {<>in}"), SPILE_ERROR_MISSING, "input 'in'"));
    spile_result_free(run_badly(CALL("cat {<*.c}"), SPILE_ERROR_MISSING, "no file was given that matches '*.c'"));
    spile_result_free(run_badly(CALL("cat {v}"), SPILE_ERROR_MISSING, "the value of {v} was not given"));
    spile_result_free(run_badly(CALL("cat {v...}"), SPILE_ERROR_MISSING, "the value of {v...} was not given"));
}
END_TEST

int main(int argc, char **argv) {
    Suite *suite = suite_create("call inputs");
    TCase *tests = tcase_create("call inputs");
    support_begin(argc, argv);
    tcase_set_timeout(tests, 20);
    tcase_add_loop_test(tests, memory_of_every_size, 0, 9);
    tcase_add_test(tests, copied_and_given);
    tcase_add_test(tests, standard_input);
    tcase_add_loop_test(tests, from_pipes_and_sockets, 0, 2);
    tcase_add_test(tests, from_files);
    tcase_add_test(tests, from_paths);
    tcase_add_test(tests, from_a_fifo);
    tcase_add_test(tests, paths_that_fail);
    tcase_add_test(tests, trees_and_patterns);
    tcase_add_test(tests, extra_files);
    tcase_add_loop_test(tests, from_callbacks, 0, 8);
    tcase_add_test(tests, callbacks_that_fail);
    tcase_add_test(tests, callbacks_from_steps_only);
    tcase_add_loop_test(tests, input_is_changed, 0, 3);
    tcase_add_test(tests, input_is_removed_or_read);
    tcase_add_test(tests, refused_inputs);
    tcase_add_test(tests, missing);
    suite_add_tcase(suite, tests);
    return support_run(suite);
}
