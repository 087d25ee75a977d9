/* NOLINTBEGIN(cert-env33-c,bugprone-implicit-widening-of-multiplication-result,bugprone-suspicious-string-compare) */
/* Streams through the C API, in each containment: fed by callbacks that have nothing yet, taken by ones that have no
 * room, handed out in memory and to descriptors; and what a call tells of them. What goes through the command is tested
 * there (test_streams_*.py).
 */
#include "support.h"

#include <pthread.h>

enum { BYTES = 3000000 };

/* A callback that says "not yet" every other time, and a thread that then says "now". */
struct halting {
    spile_call *call;
    const unsigned char *bytes;
    size_t offset, size;
    unsigned halts;
    bool has_halted, is_ended;
    int asked[2]; /* a pipe: a byte for each "not yet" */
};

static void *resume_again_and_again(void *user) {
    struct halting *halting = user;
    char byte;
    while (read(halting->asked[0], &byte, 1) == 1)
        spile_call_resume(halting->call);
    return NULL;
}

static bool halts_now(struct halting *halting) {
    halting->has_halted = !halting->has_halted;
    if (halting->has_halted) {
        halting->halts++;
        ck_assert_int_eq(write(halting->asked[1], "", 1), 1);
    }
    return halting->has_halted;
}

static ssize_t read_haltingly(void *user, void *buffer, size_t size) {
    struct halting *halting = user;
    if (halts_now(halting))
        return -EAGAIN;
    size = MIN(size, MIN(halting->size - halting->offset, (size_t)50000));
    memcpy(buffer, halting->bytes + halting->offset, size);
    halting->offset += size;
    return (ssize_t)size;
}

static int write_haltingly(void *user, const char *name, const void *data, size_t size) {
    struct halting *halting = user;
    ck_assert_str_eq(name, "out");
    if (halts_now(halting))
        return -EAGAIN;
    ck_assert(!halting->is_ended && halting->offset + size <= halting->size);
    ck_assert_int_eq(memcmp(data ? data : "", halting->bytes + halting->offset, size), 0);
    halting->offset += size;
    halting->is_ended = size == 0;
    return 0;
}

static pthread_t begin_halting(struct halting *halting, spile_call *call, const unsigned char *bytes) {
    pthread_t thread;
    *halting = (struct halting){.call = call, .bytes = bytes, .size = BYTES};
    ck_assert_int_eq(pipe2(halting->asked, O_CLOEXEC), 0);
    ck_assert_int_eq(pthread_create(&thread, NULL, resume_again_and_again, halting), 0);
    return thread;
}

static void end_halting(struct halting *halting, pthread_t thread) {
    close(halting->asked[1]);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    close(halting->asked[0]);
}

START_TEST(callbacks_that_halt) {
    unsigned char *bytes = pattern_bytes(BYTES);
    struct halting from, to;
    spile_result *result = NULL;
    spile_call *call = CALL("cat {<in|} >{mid|}", "cat <{mid|} >{out|}");
    pthread_t threads[] = {begin_halting(&from, call, bytes), begin_halting(&to, call, bytes)};
    ck_assert_int_eq(spile_call_input_callback(call, "in", read_haltingly, &from), 0);
    ck_assert_int_eq(spile_call_output_callback(call, "out", write_haltingly, &to), 0);
    int ran = spile_call_run(call, &result);
    ck_assert_msg(ran == 0, "%s", spile_error_get_message(spile_result_error(result)));
    end_halting(&from, threads[0]);
    end_halting(&to, threads[1]);
    ck_assert_uint_eq(to.offset, BYTES);
    ck_assert(to.is_ended && from.halts > 10 && to.halts > 10);
    spile_result_free(result);
    spile_call_free(call);
    free(bytes);
}
END_TEST

static ssize_t fail_to_read(void *user, void *buffer, size_t size) {
    (void)user;
    (void)buffer;
    (void)size;
    return -EIO;
}

static int fail_to_write(void *user, const char *name, const void *data, size_t size) {
    (void)user;
    (void)name;
    (void)data;
    return size > 0 ? -ENOSPC : 0;
}

START_TEST(callbacks_that_fail) {
    spile_call *call = CALL("cat {<in|} >{out|}");
    ck_assert_int_eq(spile_call_input_callback(call, "in", fail_to_read, NULL), 0);
    spile_result_free(run_badly(call, SPILE_ERROR_INPUT, "reading input 'in' failed: Input/output error"));
    call = CALL("yes >{out|}");
    ck_assert_int_eq(spile_call_output_callback(call, "out", fail_to_write, NULL), 0);
    spile_result_free(run_badly(call, SPILE_ERROR_OUTPUT, "No space left on device"));
}
END_TEST

START_TEST(a_callback_can_not_give_it_again) {
    unsigned char *bytes = pattern_bytes(BYTES);
    struct halting from;
    spile_call *call = CALL("sh -c 'head -c 1 $1; head -c 1 $1' sh {<in|}");
    pthread_t thread = begin_halting(&from, call, bytes);
    ck_assert_int_eq(spile_call_input_callback(call, "in", read_haltingly, &from), 0);
    spile_result_free(run_badly(call, SPILE_ERROR_STREAM, "opens the stream 'in' again"));
    end_halting(&from, thread);
    free(bytes);
}
END_TEST

START_TEST(memory_can) {
    unsigned char *bytes = pattern_bytes(BYTES);
    spile_call *call = CALL("cat {<in|} {<in|} >{out|}");
    ck_assert_int_eq(spile_call_input_memory(call, "in", bytes, BYTES), 0);
    spile_result *result = run_well(call);
    const void *data;
    size_t size;
    ck_assert_int_eq(spile_result_get(result, "out", &data, &size), 0);
    ck_assert_uint_eq(size, 2 * BYTES);
    ck_assert_int_eq(memcmp(data, bytes, BYTES) || memcmp((const char *)data + BYTES, bytes, BYTES), 0);
    spile_result_free(result);
    free(bytes);
}
END_TEST

static void check_stream(const spile_result *result, const char *name, int producer, uint64_t bytes, unsigned opens) {
    for (size_t i = 0; i < spile_result_stream_count(result); i++) {
        spile_stream_result info = {.size = sizeof(info)};
        ck_assert_int_eq(spile_result_stream(result, i, &info), 0);
        if (strcmp(info.name, name) != 0)
            continue;
        ck_assert_int_eq(info.producer, producer);
        ck_assert_uint_eq(info.bytes_out, bytes);
        ck_assert_uint_eq(info.reader_opens, opens);
        ck_assert(info.first_ns > 0 && info.first_ns <= info.last_ns && info.last_ns <= spile_result_wall_ns(result));
        return;
    }
    ck_abort_msg("no stream '%s'", name);
}

START_TEST(what_went_through) {
    unsigned char *bytes = pattern_bytes(BYTES);
    spile_call *call = CALL("sh -c 'cat $1 $1 >$2' sh {<in|} {>x|}", "cat {<x|} >{y|}", "wc -c {<x|}");
    ck_assert_int_eq(spile_call_input_memory(call, "in", bytes, BYTES), 0);
    spile_result *result = run_well(call);
    check_stream(result, "in", -1, 2 * BYTES, 2);
    check_stream(result, "x", 0, 4 * BYTES, 2);
    check_stream(result, "y", 1, 2 * BYTES, 0);
    spile_result_free(result);
    free(bytes);
}
END_TEST

/* The bytes come while the program runs, in memory that the caller never asked for. */
START_TEST(memory_has_what_came_before_a_failure) {
    spile_call *call = CALL("sh -c 'echo part >$1; exit 3' sh {>x|}");
    spile_result *result = run_badly(call, SPILE_ERROR_PROGRAM, "failed with exit status 3");
    ck_assert(output_of(result, "x").is_partial);
    check_output(result, "x", "part\n");
    spile_result_free(result);
}
END_TEST

START_TEST(a_socket_at_both_ends) {
    int in[2], out[2];
    char buffer[16] = "";
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, in), 0);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, out), 0);
    ck_assert_int_eq(write(in[1], "through", 7), 7);
    shutdown(in[1], SHUT_WR);
    spile_call *call = CALL("cat {<in|} >{out|}");
    ck_assert_int_eq(spile_call_input_fd(call, "in", in[0]), 0);
    ck_assert_int_eq(spile_call_output_fd(call, "out", out[0]), 0);
    spile_result_free(run_well(call));
    ck_assert_int_eq(fcntl(out[0], F_GETFL) & O_NONBLOCK, 0);
    ck_assert_int_eq(read(out[1], buffer, sizeof(buffer)), 7);
    ck_assert_str_eq(buffer, "through");
    for (int i = 0; i < 2; i++) {
        close(in[i]);
        close(out[i]);
    }
}
END_TEST

START_TEST(a_standstill_is_told) {
    spile_call *call = CALL("sh -c 'exec 3<$1 4>$2; cat <&3' sh {<a|} {>b|}",
                            "sh -c 'exec 4>$2 3<$1; cat <&3' sh {<b|} {>a|}");
    spile_result *result = run_badly(call, SPILE_ERROR_STANDSTILL, "waits to read 'a'");
    ck_assert_int_eq(spile_result_exit_status(result), 123);
    ck_assert_int_eq(spile_error_get_errno(spile_result_error(result)), EDEADLK);
    spile_result_free(result);
}
END_TEST

/* Gives some bytes, and then the end, while a child that knows nothing of spile has copies of all that is open, as one
 * has that another thread is starting. It is there for longer than it takes to prove anything. */
static ssize_t read_beside_a_child(void *user, void *buffer, size_t size) {
    pid_t *child = user;
    ck_assert_uint_gt(size, 4);
    if (*child == 0) {
        *child = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL,
                                NULL); /* no handler of pthread_atfork is called */
        if (*child == 0) {
            const struct timespec while_ends_are_awaited = {.tv_nsec = 200 * NS_PER_MS};
            (void)syscall(SYS_nanosleep, &while_ends_are_awaited, NULL);
            syscall(SYS_exit_group, 0);
        }
        memcpy(buffer, "here", 4);
        return 4;
    }
    return 0;
}

START_TEST(an_end_that_others_hold_for_a_moment) {
    pid_t child = 0;
    spile_call *call = CALL("cat {<in|}");
    ck_assert_int_eq(spile_call_input_callback(call, "in", read_beside_a_child, &child), 0);
    spile_result_free(run_well(call));
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
}
END_TEST

START_TEST(windows_grow_to_the_limit) {
    const spile_call_options *options = OPTIONS(.limits.file_bytes = 4 << 20);
    spile_call *call = CALL_WITH(options,
                                 "sh -c 'exec 3>$1 4>$2; head -c 50000000 /dev/zero >&3; echo >&4' sh {>a|} {>b|}",
                                 "sh -c 'exec 3<$1 4<$2; cat <&4; cat <&3' sh {<a|} {<b|}");
    spile_result_free(run_badly(call, SPILE_ERROR_LIMIT, "'a' is full"));
}
END_TEST

/* The same call again and again, by several threads, leaves nothing and gives the same. */
enum { THREADS = 4, TIMES = 25 };

static void *call_often(void *user) {
    for (int i = 0; i < TIMES; i++) {
        spile_call *call = call_of(spile_plan_ref(user), NULL);
        give(call, "in", "the same each time");
        spile_result *result = run_well(call);
        check_output(result, "out", "the same each time");
        spile_result_free(result);
    }
    return NULL;
}

START_TEST(again_and_again) {
    size_t fds = open_fds();
    (void)support_ctx();
    spile_plan *plan = PLAN("cat {<in|} >{a|}", "cat <{a|} | cat >{b|}", "cat {<b|} >{out|}");
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, call_often, plan), 0);
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    spile_plan_unref(plan);
    check_nothing_left(fds);
}
END_TEST

int main(int argc, char **argv) {
    support_begin(argc, argv);
    Suite *suite = suite_create("streams");
    TCase *callbacks = tcase_create("callbacks"), *ends = tcase_create("ends"), *still = tcase_create("still");
    tcase_add_test(callbacks, callbacks_that_halt);
    tcase_add_test(callbacks, callbacks_that_fail);
    tcase_add_test(callbacks, a_callback_can_not_give_it_again);
    tcase_add_test(ends, memory_can);
    tcase_add_test(ends, what_went_through);
    tcase_add_test(ends, memory_has_what_came_before_a_failure);
    tcase_add_test(ends, a_socket_at_both_ends);
    tcase_add_test(still, a_standstill_is_told);
    tcase_add_test(still, an_end_that_others_hold_for_a_moment);
    tcase_add_test(still, windows_grow_to_the_limit);
    tcase_add_test(still, again_and_again);
    suite_add_tcase(suite, callbacks);
    suite_add_tcase(suite, ends);
    suite_add_tcase(suite, still);
    return support_run(suite);
}
/* NOLINTEND(cert-env33-c,bugprone-implicit-widening-of-multiplication-result,bugprone-suspicious-string-compare) */
