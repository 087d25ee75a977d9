/* What comes out of a call: into memory, descriptors and callbacks; which versions, which names. Paths are in
 * test_call_paths.c. */
#include "support.h"

#include <stdatomic.h>

/* ------------------------------------------------------------------------------------------------ memory */

START_TEST(memory_of_every_size) {
    static const size_t sizes[] = {0, 1, (256 << 10) - 1, 256 << 10, (256 << 10) + 1, 5 << 20};
    size_t size = sizes[_i];
    unsigned char *bytes = pattern_bytes(size);
    spile_call *call = CALL("cat >{out}");
    ck_assert_int_eq(spile_call_stdin_memory(call, 0, size ? bytes : NULL, size), 0);
    ck_assert_int_eq(spile_call_output_memory(call, "out"), 0);
    spile_result *result = run_well(call);
    check_bytes(result, "out", bytes, size);
    spile_output_info info = output_of(result, "out");
    ck_assert_int_eq(info.program, 0);
    ck_assert(!info.is_partial && (info.data || size == 0));
    ck_assert_uint_eq(info.mode & 0600, 0600);
    spile_result_free(result);
    free(bytes);
}
END_TEST

START_TEST(unasked_and_asked) {
    spile_call *call = CALL(
        "sh -c 'mkdir -p deep; echo o >$1; echo i >$2; echo e >extra; echo n >deep/er; echo z >a.z; echo y >b.z; "
        "echo no >other' sh {>out} {>mid}",
        "cat {<mid} >{end}");
    static const char *const asked[] = {"mid", "extra", "deep/", "*.z"};
    for (size_t i = 0; i < ARRAY_SIZE(asked); i++)
        ck_assert_int_eq(spile_call_output_memory(call, asked[i]), 0);
    spile_result *result = run_well(call);
    check_output(result, "out", "o\n");
    check_output(result, "mid", "i\n");
    check_output(result, "end", "i\n");
    check_output(result, "extra", "e\n");
    check_output(result, "deep/er", "n\n");
    check_output(result, "a.z", "z\n");
    check_output(result, "b.z", "y\n");
    ck_assert_uint_eq(spile_result_output_count(result), 7);
    spile_result_free(result);
    /* Unasked, an intermediate stays inside. */
    result = run_well(CALL("echo 1 >{mid}", "cat {<mid} >{end}"));
    ck_assert(!has_output(result, "mid"));
    ck_assert_uint_eq(spile_result_output_count(result), 1);
    spile_result_free(result);
}
END_TEST

START_TEST(output_is_missing) {
    spile_result *result = run_badly(CALL("sh -c 'echo x >other' sh {>out}"), SPILE_ERROR_OUTPUT_MISSING,
                                     "'sh' ended well without writing 'out'; it wrote 'other'");
    ck_assert_int_eq(spile_result_exit_status(result), 123);
    ck_assert_int_eq(spile_error_get_program(spile_result_error(result)), 0);
    spile_result_free(result);
    spile_call *call = CALL("true");
    ck_assert_int_eq(spile_call_output_memory(call, "never"), 0);
    spile_result_free(run_badly(call, SPILE_ERROR_OUTPUT_MISSING, "no program wrote 'never', which was asked for"));
    spile_result_free(run_badly(CALL("true {+>*.o}", "cat {<a.o}"), SPILE_ERROR_OUTPUT_MISSING,
                                "'true' ended well without writing 'a.o', which 'cat' reads"));
    spile_result_free(run_badly(CALL("true {+>*.o}", "cat {<*.o}"), SPILE_ERROR_MISSING, "no file matches '*.o'"));
}
END_TEST

START_TEST(optional_outputs) {
    spile_plan *plan = NULL;
    ck_assert_int_eq(spile_plan_new(&plan), 0);
    ck_assert_int_eq(spile_plan_add_template(plan, "sh -c 'echo x >$1' sh {>x} {>y}", NULL, NULL), 1);
    ck_assert_int_eq(spile_plan_set_optional(plan, "x"), 0);
    ck_assert_int_eq(spile_plan_set_optional(plan, "y"), 0);
    ck_assert_int_eq(spile_plan_finish(plan, NULL), 0);
    spile_call *call = call_of(plan, NULL);
    ck_assert_int_eq(spile_call_output_path(call, "y", in_scratch("y"), 0), 0);
    spile_result *result = run_well(call);
    check_output(result, "x", "x\n");
    ck_assert(!has_output(result, "y"));
    ck_assert_int_lt(access(in_scratch("y"), F_OK), 0);
    spile_result_free(result);
}
END_TEST

START_TEST(strange_outputs) {
    spile_result *result = run_well(CALL("sh -c 'echo real >a; ln -s a $1' sh {>out}"));
    check_output(result, "out", "real\n");
    spile_result_free(result);
    spile_result_free(run_badly(CALL("sh -c 'ln -s /etc/passwd $1' sh {>out}"), SPILE_ERROR_PROGRAM,
                                "a link that leads out of its directory"));
    spile_result_free(run_badly(CALL("sh -c 'mkdir $1' sh {>out}"), SPILE_ERROR_PROGRAM,
                                "made 'out' a directory, not a regular file"));
    spile_result_free(run_badly(CALL("sh -c 'mkfifo $1' sh {>out}"), SPILE_ERROR_PROGRAM, "made 'out' a special file"));
}
END_TEST

START_TEST(patterns_and_trees) {
    spile_call *call = CALL("sh -c 'mkdir -p out/sub; echo 1 >out/a; echo 2 >out/sub/b; cp in.c copy.c; ln -s a out/l; "
                            "ln -s gone out/dangling' sh {>out/} {+>*.c} {<in.c}");
    give(call, "in.c", "c");
    spile_result *result = run_well(call);
    check_output(result, "out/a", "1\n");
    check_output(result, "out/sub/b", "2\n");
    check_output(result, "out/l", "1\n");
    check_output(result, "copy.c", "c");
    ck_assert_uint_eq(spile_result_output_count(result), 4); /* the unchanged input is left out */
    spile_result_free(result);
    /* On disk, under a directory each; that of a tree stands for the tree. */
    call = CALL("sh -c 'mkdir -p out/sub d; echo 1 >out/a; echo 2 >out/sub/b; echo 3 >d/x.c' sh {>out/} {+>d/*.c}");
    ck_assert_int_eq(spile_call_output_path(call, "out/", in_scratch("tree"), 0), 0);
    ck_assert_int_eq(spile_call_output_path(call, "d/*.c", in_scratch("many/"), 0), 0);
    result = run_well(call);
    check_text(in_scratch("tree/a"), "1\n");
    check_text(in_scratch("tree/sub/b"), "2\n");
    check_text(in_scratch("many/d/x.c"), "3\n");
    spile_result_free(result);
}
END_TEST

START_TEST(patterns_pass_on) {
    spile_call *call = CALL("sh -c 'for i in 1 2 3; do echo $i >$i.o; done' sh {+>*.o}", "cat {<*.o} >{out}",
                            "cat {<2.o}", "sh -c 'for f; do echo changed >$f; done' sh {<>*.o}", "cat {<*.o} >{late}");
    spile_result *result = run_well(call);
    check_output(result, "out", "1\n2\n3\n");
    check_output(result, "late", "changed\nchanged\nchanged\n");
    ck_assert_str_eq(program_of(result, 2).standard_output, "2\n");
    spile_result_free(result);
}
END_TEST

/* ------------------------------------------------------------------------------------------------ versions */

START_TEST(in_place) {
    spile_call *call = CALL("cat {<x} >{first}", "sh -c 'echo 1 >>$1' sh {<>x}", "cat {<x} >{second}",
                            "sh -c 'cat $1 >t; echo 2 >>t; mv t $1' sh {<>x}", "cat {<x} >{third}", "echo 3 >>{x}");
    give(call, "x", "0\n");
    spile_result *result = run_well(call);
    check_output(result, "first", "0\n");
    check_output(result, "second", "0\n1\n");
    check_output(result, "third", "0\n1\n2\n");
    check_output(result, "x", "0\n1\n2\n3\n");
    ck_assert_int_eq(output_of(result, "x").program, 5);
    ck_assert_uint_eq(spile_result_output_count(result), 4);
    spile_result_free(result);
    /* With a writer in the plan, and read afterwards: stays inside. */
    result = run_well(CALL("cat {<x} >{end}", "echo 0 >{x}"));
    check_output(result, "end", "0\n");
    spile_result_free(result);
    result = run_well(CALL("echo 0 >{x}", "sh -c 'echo 1 >>$1' sh {<>x}", "cat {<x} >{end}"));
    check_output(result, "end", "0\n1\n");
    ck_assert_uint_eq(spile_result_output_count(result), 1);
    spile_result_free(result);
    result = run_well(CALL("echo 1 >>{x}", "echo 2 >>{x}"));
    check_output(result, "x", "1\n2\n");
    spile_result_free(result);
}
END_TEST

/* gzip refuses what has a second link. */
START_TEST(sole_readers_get_the_file) {
    spile_call *call = CALL("echo text >{x}", "gzip {<x} {+>x.gz}", "gzip -dc {<x.gz}", "stat -c %h {<given}");
    give(call, "given", "");
    spile_result *result = run_well(call);
    ck_assert_str_eq(program_of(result, 2).standard_output, "text\n");
    ck_assert_str_eq(program_of(result, 3).standard_output, "1\n");
    spile_result_free(result);
}
END_TEST

/* ------------------------------------------------------------------------------------------------ descriptors */

struct drain {
    int fd;
    size_t size;
    unsigned char *bytes;
};

static void *drain(void *user) {
    struct drain *self = user;
    size_t capacity = 4 << 20;
    self->bytes = malloc(capacity);
    for (ssize_t size; (size = read(self->fd, self->bytes + self->size, capacity - self->size)) > 0;)
        self->size += (size_t)size;
    return NULL;
}

/* A pipe takes 64 KiB; the reader comes slowly. */
START_TEST(to_pipes_and_sockets) {
    size_t size = 3000001;
    unsigned char *bytes = pattern_bytes(size);
    int ends[2];
    pthread_t thread;
    ck_assert_int_eq(_i == 0 ? pipe2(ends, O_CLOEXEC) : socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    struct drain reader = {.fd = ends[0]};
    ck_assert_int_eq(pthread_create(&thread, NULL, drain, &reader), 0);
    spile_call *call = CALL("cat >{out}");
    ck_assert_int_eq(spile_call_stdin_memory(call, 0, bytes, size), 0);
    ck_assert_int_eq(spile_call_output_fd(call, "out", ends[1]), 0);
    int flags = fcntl(ends[1], F_GETFL);
    spile_result *result = run_well(call);
    ck_assert_int_eq(fcntl(ends[1], F_GETFL), flags);
    close(ends[1]);
    pthread_join(thread, NULL);
    ck_assert_uint_eq(reader.size, size);
    ck_assert_mem_eq(reader.bytes, bytes, size);
    ck_assert_ptr_null(output_of(result, "out").data);
    ck_assert_uint_eq(output_of(result, "out").bytes, size);
    spile_result_free(result);
    free(reader.bytes);
    free(bytes);
}
END_TEST

/* Wants all of the second before it looks at the first, and says so once it has both. */
struct backwards {
    int first, second;
    size_t size;
    spile_call *resumed;
    atomic_bool *has_both;
};

static void drain_exactly(int fd, size_t size) {
    char buffer[4096];
    while (fd >= 0 && size > 0) {
        ssize_t count = read(fd, buffer, MIN(size, sizeof(buffer)));
        if (count <= 0)
            return;
        size -= (size_t)count;
    }
}

static void *drain_backwards(void *user) {
    struct backwards *self = user;
    drain_exactly(self->second, self->size);
    drain_exactly(self->first, self->size);
    if (self->resumed) {
        *self->has_both = true;
        spile_call_resume(self->resumed);
    }
    return NULL;
}

START_TEST(to_two_pipes_in_any_order) {
    size_t size = 500000;
    unsigned char *bytes = pattern_bytes(size);
    int first[2], second[2];
    pthread_t thread;
    ck_assert(pipe2(first, O_CLOEXEC) == 0 && pipe2(second, O_CLOEXEC) == 0);
    struct backwards reader = {.first = first[0], .second = second[0], .size = size};
    ck_assert_int_eq(pthread_create(&thread, NULL, drain_backwards, &reader), 0);
    spile_call *call = CALL_WITH(OPTIONS(.limits.wall_ns = 10 * NS_PER_SECOND), "tee {>a} >{b}");
    ck_assert_int_eq(spile_call_stdin_memory(call, 0, bytes, size), 0);
    ck_assert_int_eq(spile_call_output_fd(call, "a", first[1]), 0);
    ck_assert_int_eq(spile_call_output_fd(call, "b", second[1]), 0);
    spile_result_free(run_well(call));
    pthread_join(thread, NULL);
    free(bytes);
}
END_TEST

/* The same with a FIFO by its path, which nobody opens before the other is read. */
static void *drain_fifo_last(void *user) {
    struct backwards *self = user;
    drain_exactly(self->second, self->size);
    AUTO_FD fd = open(in_scratch("fifo"), O_RDONLY | O_CLOEXEC);
    drain_exactly(fd, self->size);
    return NULL;
}

START_TEST(to_a_fifo_that_is_opened_last) {
    size_t size = 300000;
    unsigned char *bytes = pattern_bytes(size);
    int ends[2];
    pthread_t thread;
    ck_assert_int_eq(mkfifo(in_scratch("fifo"), 0600), 0);
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    struct backwards reader = {.second = ends[0], .size = size};
    ck_assert_int_eq(pthread_create(&thread, NULL, drain_fifo_last, &reader), 0);
    spile_call *call = CALL_WITH(OPTIONS(.limits.wall_ns = 10 * NS_PER_SECOND), "tee {>a} >{b}");
    ck_assert_int_eq(spile_call_stdin_memory(call, 0, bytes, size), 0);
    ck_assert_int_eq(spile_call_output_path(call, "a", in_scratch("fifo"), 0), 0);
    ck_assert_int_eq(spile_call_output_fd(call, "b", ends[1]), 0);
    spile_result_free(run_well(call));
    pthread_join(thread, NULL);
    free(bytes);
}
END_TEST

/* Neither the signal nor the end of the other side harms the host. */
START_TEST(to_a_closed_pipe) {
    int ends[2];
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    close(ends[0]);
    spile_call *call = CALL("echo x >{out}");
    ck_assert_int_eq(spile_call_output_fd(call, "out", ends[1]), 0);
    spile_result *result = run_badly(call, SPILE_ERROR_OUTPUT, "delivering output 'out' failed: Broken pipe");
    ck_assert_int_eq(spile_result_exit_status(result), 123);
    sigset_t pending;
    sigpending(&pending);
    ck_assert(!sigismember(&pending, SIGPIPE));
    spile_result_free(result);
    close(ends[1]);
}
END_TEST

START_TEST(to_files_by_descriptor) {
    write_text(in_scratch("file"), "0123456789");
    AUTO_FD fd = open(in_scratch("file"), O_WRONLY | O_CLOEXEC), null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    ck_assert_int_eq(lseek(fd, 2, SEEK_SET), 2);
    spile_call *call = CALL("printf abc >{out}", "printf x >{gone}");
    ck_assert_int_eq(spile_call_output_fd(call, "out", fd), 0);
    ck_assert_int_eq(spile_call_output_fd(call, "gone", null), 0);
    spile_result_free(run_well(call));
    check_text(in_scratch("file"), "01abc56789");
}
END_TEST

/* ------------------------------------------------------------------------------------------------ callbacks */

struct take {
    spile_call *call;
    char text[256];
    size_t size, calls, ends;
    int busy, fails_at;
    atomic_bool may_go_on;
    pthread_t thread;
};

static void *resume(void *user) {
    spile_call_resume(((struct take *)user)->call);
    return NULL;
}

static int take(void *user, const char *name, const void *data, size_t size) {
    struct take *self = user;
    size_t number = self->calls++;
    if (self->fails_at && number + 1 == (size_t)self->fails_at)
        return -EREMOTEIO;
    if (self->busy > 0 && number % 2 == 0) { /* every other time, and once more for the end */
        self->busy--;
        if (self->thread)
            pthread_join(self->thread, NULL);
        ck_assert_int_eq(pthread_create(&self->thread, NULL, resume, self), 0);
        return -EAGAIN;
    }
    self->ends += size == 0;
    int written = snprintf(self->text + self->size, sizeof(self->text) - self->size, "%s:%.*s;", name,
                           (int)MIN(size, 20u), size ? (const char *)data : "");
    self->size += (size_t)written;
    return 0;
}

START_TEST(to_callbacks) {
    struct take self = {.busy = _i};
    self.call = CALL("printf abc >{out}");
    ck_assert_int_eq(spile_call_output_callback(self.call, "out", take, &self), 0);
    spile_result_free(run_well(self.call));
    ck_assert_str_eq(self.text, "out:abc;out:;");
    ck_assert_int_eq((int)self.calls, 2 + _i);
    if (self.thread)
        pthread_join(self.thread, NULL);
}
END_TEST

START_TEST(patterns_to_callbacks) {
    struct take self = {0};
    spile_call *call = CALL("sh -c 'echo 1 >1.o; echo 2 >2.o; : >3.o' sh {+>*.o}");
    ck_assert_int_eq(spile_call_output_callback(call, "*.o", take, &self), 0);
    spile_result_free(run_well(call));
    ck_assert_uint_eq(self.ends, 3);
    ck_assert_ptr_nonnull(strstr(self.text, "1.o:1\n;1.o:;"));
    ck_assert_ptr_nonnull(strstr(self.text, "2.o:2\n;2.o:;"));
    ck_assert_ptr_nonnull(strstr(self.text, "3.o:;"));
}
END_TEST

START_TEST(callbacks_that_fail) {
    struct take self = {.fails_at = _i + 1};
    spile_call *call = CALL("printf abc >{out}");
    ck_assert_int_eq(spile_call_output_callback(call, "out", take, &self), 0);
    spile_result *result = run_badly(call, SPILE_ERROR_OUTPUT, "delivering output 'out' failed: Remote I/O error");
    ck_assert_int_eq(spile_error_get_errno(spile_result_error(result)), EREMOTEIO);
    ck_assert_uint_eq(self.calls, (size_t)_i + 1);
    spile_result_free(result);
}
END_TEST

/* While one callback waits, what happens to another output does not call it again. */
static int take_once_resumed(void *user, const char *name, const void *data, size_t size) {
    struct take *self = user;
    (void)name;
    (void)data;
    self->size += size;
    self->calls++;
    return self->may_go_on ? 0 : -EAGAIN;
}

START_TEST(waiting_callback_is_left_alone) {
    size_t size = 1000000, chunks = size / (64 << 10) + 1;
    unsigned char *bytes = pattern_bytes(size);
    struct take self = {0};
    int ends[2];
    pthread_t thread;
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    self.call = CALL_WITH(OPTIONS(.limits.wall_ns = 10 * NS_PER_SECOND), "tee {>a} >{b}");
    ck_assert_int_eq(spile_call_stdin_memory(self.call, 0, bytes, size), 0);
    ck_assert_int_eq(spile_call_output_callback(self.call, "a", take_once_resumed, &self), 0);
    ck_assert_int_eq(spile_call_output_fd(self.call, "b", ends[1]), 0);
    struct backwards reader = {
        .first = -1, .second = ends[0], .size = size, .resumed = self.call, .has_both = &self.may_go_on};
    ck_assert_int_eq(pthread_create(&thread, NULL, drain_backwards, &reader), 0);
    spile_result_free(run_well(self.call));
    pthread_join(thread, NULL);
    ck_assert_uint_eq(self.calls, 1 + chunks + 1);
    free(bytes);
}
END_TEST

/* ------------------------------------------------------------------------------------------------ misuse */

START_TEST(refused_outputs) {
    spile_call *call = CALL("cat {<in} >{out}");
    ck_assert_int_eq(spile_call_output_memory(NULL, "out"), -EINVAL);
    ck_assert_int_eq(spile_call_output_memory(call, NULL), -EINVAL);
    ck_assert_int_eq(spile_call_output_memory(call, "../out"), -EINVAL);
    ck_assert_int_eq(spile_call_output_memory(call, "in"), -EPERM);
    ck_assert_int_eq(spile_call_output_fd(call, "out", -1), -EBADF);
    AUTO_FD fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    ck_assert_int_eq(spile_call_output_fd(call, "out", fd), -EBADF);
    ck_assert_int_eq(spile_call_output_path(call, "out", NULL, 0), -EINVAL);
    ck_assert_int_eq(spile_call_output_path(call, "out", "x", 1u << 5), -EINVAL);
    ck_assert_int_eq(spile_call_output_callback(call, "out", NULL, NULL), -EINVAL);
    ck_assert_int_eq(spile_call_output_memory(call, "out"), 0);
    ck_assert_int_eq(spile_call_output_memory(call, "out"), -EEXIST);
    give(call, "in", "x");
    spile_result *result = run_well(call);
    spile_output_info info = {.size = 3};
    ck_assert_int_eq(spile_result_output(result, 0, &info), -EINVAL);
    info.size = sizeof(info);
    ck_assert_int_eq(spile_result_output(result, 1, &info), -EINVAL);
    const void *data = "untouched";
    size_t size = 77;
    ck_assert_int_eq(spile_result_get(result, "in", &data, &size), -ENOENT);
    ck_assert(size == 77 && strcmp(data, "untouched") == 0);
    spile_result_free(result);
}
END_TEST

int main(int argc, char **argv) {
    Suite *suite = suite_create("call outputs");
    TCase *tests = tcase_create("call outputs");
    support_begin(argc, argv);
    tcase_set_timeout(tests, 20);
    tcase_add_loop_test(tests, memory_of_every_size, 0, 6);
    tcase_add_test(tests, unasked_and_asked);
    tcase_add_test(tests, output_is_missing);
    tcase_add_test(tests, optional_outputs);
    tcase_add_test(tests, strange_outputs);
    tcase_add_test(tests, patterns_and_trees);
    tcase_add_test(tests, patterns_pass_on);
    tcase_add_test(tests, in_place);
    tcase_add_test(tests, sole_readers_get_the_file);
    tcase_add_loop_test(tests, to_pipes_and_sockets, 0, 2);
    tcase_add_test(tests, to_two_pipes_in_any_order);
    tcase_add_test(tests, to_a_fifo_that_is_opened_last);
    tcase_add_test(tests, to_a_closed_pipe);
    tcase_add_test(tests, to_files_by_descriptor);
    tcase_add_loop_test(tests, to_callbacks, 0, 3);
    tcase_add_test(tests, patterns_to_callbacks);
    tcase_add_loop_test(tests, callbacks_that_fail, 0, 2);
    tcase_add_test(tests, waiting_callback_is_left_alone);
    tcase_add_test(tests, refused_outputs);
    suite_add_tcase(suite, tests);
    return support_run(suite);
}
