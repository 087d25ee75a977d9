/* How calls end: by time, by being cancelled from anywhere, in a host that forks, has threads or ignores signals; and
 * that nothing is left behind. Run in a loop of another's is in test_loop.c. */
#include "support.h"

#include <sys/time.h>

/* A program that says when it runs, and then stays. */
#define STAYS "sh -c 'echo up; sleep 60; sleep 60'"
#define IGNORES_TERM "sh -c 'trap \"\" TERM; echo up; sleep 60; sleep 60'"

static uint64_t elapsed_ns(uint64_t since) {
    return time_now_ns() - since;
}

/* ------------------------------------------------------------------------------------------------ time */

START_TEST(wall_timeout) {
    uint64_t begin = time_now_ns();
    spile_call *call = CALL_WITH(OPTIONS(.limits.wall_ns = 500 * NS_PER_MS), STAYS, "cat {<never} >{out}",
                                 "echo >{never}");
    spile_result *result = run_badly(call, SPILE_ERROR_TIMEOUT, "did not end within 0.5 s; still running: 'sh'");
    ck_assert_int_eq(spile_result_exit_status(result), 124);
    ck_assert_uint_lt(elapsed_ns(begin), 1300 * NS_PER_MS); /* before the grace is over: TERM was enough */
    ck_assert_uint_ge(spile_result_wall_ns(result), 500 * NS_PER_MS);
    ck_assert_int_eq(program_of(result, 0).signal, SIGTERM);
    ck_assert_str_eq(program_of(result, 0).standard_output, "up\n");
    spile_result_free(result);
}
END_TEST

START_TEST(grace_then_kill) {
    uint64_t begin = time_now_ns();
    spile_call *call = CALL_WITH(OPTIONS(.limits.wall_ns = 200 * NS_PER_MS, .grace_ns = 150 * NS_PER_MS), IGNORES_TERM);
    spile_result *result = run_badly(call, SPILE_ERROR_TIMEOUT, "did not end within 0.2 s");
    ck_assert_uint_ge(elapsed_ns(begin), 350 * NS_PER_MS);
    ck_assert_int_eq(program_of(result, 0).signal, SIGKILL);
    spile_result_free(result);
}
END_TEST

static ssize_t never_ready(void *user, void *buffer, size_t size) {
    (void)user;
    (void)buffer;
    (void)size;
    return -EAGAIN;
}

START_TEST(timeout_while_an_input_is_awaited) {
    int ends[2];
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    spile_call *call = CALL_WITH(OPTIONS(.limits.wall_ns = 50 * NS_PER_MS), "cat {<a} {<b}");
    ck_assert_int_eq(spile_call_input_fd(call, "a", ends[0]), 0);
    ck_assert_int_eq(spile_call_input_callback(call, "b", never_ready, NULL), 0);
    spile_result_free(run_badly(call, SPILE_ERROR_TIMEOUT, "still coming in: 'a'"));
    close(ends[0]);
    close(ends[1]);
}
END_TEST

START_TEST(timeout_while_delivering) {
    int ends[2];
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    write_text(in_scratch("kept"), "old");
    spile_call *call = CALL_WITH(OPTIONS(.limits.wall_ns = 200 * NS_PER_MS), "head -c 200000 /dev/zero >{out}",
                                 "echo >{b}");
    ck_assert_int_eq(spile_call_output_fd(call, "out", ends[1]), 0); /* nobody reads */
    ck_assert_int_eq(spile_call_output_path(call, "b", in_scratch("kept"), 0), 0);
    spile_result_free(run_badly(call, SPILE_ERROR_TIMEOUT, "did not end within"));
    check_text(in_scratch("kept"), "old");
    close(ends[0]);
    close(ends[1]);
}
END_TEST

/* ------------------------------------------------------------------------------------------------ cancelling */

struct cancel {
    spile_call *call;
    int at; /* an event's kind */
    pthread_t thread;
    bool in_thread, is_done;
};

static void *cancel_now(void *user) {
    spile_call_cancel(((struct cancel *)user)->call);
    return NULL;
}

static void cancel_at(void *user, const spile_event *event) {
    struct cancel *self = user;
    if (self->is_done || (int)event->kind != self->at || (event->kind == SPILE_EVENT_EXITED && event->program != 0))
        return;
    self->is_done = true;
    if (self->in_thread)
        ck_assert_int_eq(pthread_create(&self->thread, NULL, cancel_now, self), 0);
    else
        spile_call_cancel(self->call);
}

/* From a callback and from another thread, in each state the call can be in. */
START_TEST(cancelled_at_any_time) {
    static const int kinds[] = {0, SPILE_EVENT_INPUT_READY, SPILE_EVENT_STARTED, SPILE_EVENT_EXITED,
                                SPILE_EVENT_OUTPUT_READY};
    struct cancel self = {.at = kinds[_i / 2], .in_thread = _i % 2};
    size_t fds = open_fds();
    self.call = CALL_WITH(OPTIONS(.trace = cancel_at, .trace_user = &self), "cat {<in} >{mid}", "cat {<mid} >{out}",
                          STAYS);
    give(self.call, "in", "text");
    if (_i == 0)
        spile_call_cancel(self.call); /* before it runs */
    else if (_i == 1)
        ck_assert_int_eq(pthread_create(&self.thread, NULL, cancel_now, &self), 0);
    uint64_t begin = time_now_ns();
    spile_result *result = NULL;
    ck_assert_int_eq(spile_call_run(self.call, &result), -ECANCELED);
    check_error(spile_result_error(result), SPILE_ERROR_CANCELLED, "the call was cancelled");
    ck_assert_int_eq(spile_result_exit_status(result), 123);
    ck_assert_uint_lt(elapsed_ns(begin), 900 * NS_PER_MS);
    if (self.in_thread)
        pthread_join(self.thread, NULL);
    spile_call_cancel(self.call); /* afterwards it does nothing */
    spile_call_free(self.call);
    spile_result_free(result);
    check_nothing_left(fds);
}
END_TEST

static spile_call *handled_call;

static void cancel_in_handler(int number) {
    (void)number;
    spile_call_cancel(handled_call);
}

static void raise_alarm(void *user, const spile_event *event) {
    (void)user;
    if (event->kind == SPILE_EVENT_STARTED) {
        const struct itimerval soon = {.it_value.tv_usec = 20000};
        setitimer(ITIMER_REAL, &soon, NULL);
    }
}

START_TEST(cancelled_by_a_handler) {
    const struct sigaction action = {.sa_handler = cancel_in_handler, .sa_flags = _i ? SA_RESTART : 0};
    sigaction(SIGALRM, &action, NULL);
    handled_call = CALL_WITH(OPTIONS(.trace = raise_alarm), STAYS);
    spile_result *result = NULL;
    ck_assert_int_eq(spile_call_run(handled_call, &result), -ECANCELED);
    spile_call_free(handled_call);
    spile_result_free(result);
}
END_TEST

struct grace {
    bool is_started, is_exited;
    struct text signals;
};

static void note_grace(void *user, const spile_event *event) {
    struct grace *self = user;
    self->is_started |= event->kind == SPILE_EVENT_STARTED;
    self->is_exited |= event->kind == SPILE_EVENT_EXITED;
    if (event->kind == SPILE_EVENT_KILLED)
        text_printf(&self->signals, "%d;", event->status);
}

static void keep_result(void *user, spile_call *call, spile_result *result) {
    (void)call;
    *(spile_result **)user = result;
}

/* The grace is over in the very step in which the end of the last program is handled. */
START_TEST(grace_ends_with_the_call) {
    struct grace self = {0};
    spile_loop *loop = NULL;
    spile_result *result = NULL;
    spile_call *call = CALL_WITH(OPTIONS(.grace_ns = 200 * NS_PER_MS, .trace = note_grace, .trace_user = &self),
                                 "sleep 60");
    ck_assert_int_eq(spile_loop_new(&loop), 0);
    ck_assert_int_eq(spile_call_attach(call, loop, keep_result, &result), 0);
    while (!self.is_started)
        ck_assert_int_eq(spile_loop_step(loop, UINT64_MAX), 1);
    spile_call_cancel(call);
    uint64_t over = time_now_ns() + 250 * NS_PER_MS;
    while (!self.is_exited)
        ck_assert_int_eq(spile_loop_step(loop, UINT64_MAX), 1);
    while (time_now_ns() < over)
        ;
    while (!result)
        ck_assert_int_ge(spile_loop_step(loop, UINT64_MAX), 0);
    ck_assert_str_eq(self.signals.data, "15;");
    text_done(&self.signals);
    spile_result_free(result);
    spile_call_free(call);
    spile_loop_free(loop);
}
END_TEST

static void never_ended(void *user, spile_call *call, spile_result *result) {
    (void)user;
    (void)call;
    (void)result;
    ck_abort_msg("a call that was freed has told its end");
}

START_TEST(freed_while_it_runs) {
    size_t fds = open_fds();
    struct grace self = {0};
    spile_loop *loop = NULL;
    ck_assert_int_eq(spile_loop_new(&loop), 0);
    spile_call *call = CALL_WITH(OPTIONS(.trace = note_grace, .trace_user = &self), STAYS);
    ck_assert_int_eq(spile_call_attach(call, loop, never_ended, NULL), 0);
    while (!self.is_started)
        ck_assert_int_eq(spile_loop_step(loop, UINT64_MAX), 1);
    ck_assert_ptr_null(spile_call_free(call));
    ck_assert(self.is_exited);
    ck_assert_int_eq(spile_loop_step(loop, 0), 0);
    spile_loop_free(loop);
    text_done(&self.signals);
    check_nothing_left(fds);
}
END_TEST

/* ------------------------------------------------------------------------------------------------ hosts */

static void on_child(int number) {
    (void)number;
}

/* 0: children are ignored; 1: reaped by whoever is first; 2: a handler without restart. */
START_TEST(host_with_signals_of_its_own) {
    const struct sigaction action = {.sa_handler = on_child};
    if (_i == 0)
        signal(SIGCHLD, SIG_IGN);
    else if (_i == 1)
        sigaction(SIGCHLD, &(struct sigaction){.sa_handler = SIG_DFL, .sa_flags = SA_NOCLDWAIT}, NULL);
    else
        sigaction(SIGCHLD, &action, NULL);
    signal(SIGPIPE, _i == 2 ? SIG_DFL : SIG_IGN);
    if (support_containment() == SPILE_CONTAINMENT_NONE && _i < 2)
        return; /* the announced fallback has plain children */
    spile_result *result = run_well(CALL("sh -c 'exit 0'", "yes | head -n 1"));
    ck_assert_int_eq(program_of(result, 1).signal, SIGPIPE); /* programs get the default */
    spile_result_free(result);
    spile_result_free(run_badly(CALL("sh -c 'exit 9'"), SPILE_ERROR_PROGRAM, "exit status 9"));
}
END_TEST

static void fork_at_start(void *user, const spile_event *event) {
    pid_t *child = user;
    if (event->kind == SPILE_EVENT_STARTED && *child < 0)
        *child = fork();
}

/* In the child the run that was under way fails, and what is left can be freed; the context serves on. */
START_TEST(fork_in_the_middle) {
    pid_t child = -1;
    spile_result *result = NULL;
    spile_call *call = CALL_WITH(OPTIONS(.trace = fork_at_start, .trace_user = &child), "cat {<in} >{out}", "true",
                                 "true");
    give(call, "in", "text");
    int code = spile_call_run(call, &result);
    if (child == 0) {
        ck_assert_int_eq(code, -EBADF);
        ck_assert_ptr_null(result);
        spile_call_free(call);
        result = run_well(CALL("echo child >{out}"));
        check_output(result, "out", "child\n");
        spile_result_free(result);
        exit(0);
    }
    ck_assert_int_eq(code, 0);
    check_output(result, "out", "text");
    spile_result_free(result);
    spile_call_free(call);
    int status = -1;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
}
END_TEST

/* The same with a loop of the host's own, freed before or behind the call. */
START_TEST(fork_between_steps) {
    spile_loop *loop = NULL;
    spile_result *result = NULL;
    int ends[2];
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    struct grace self = {0};
    spile_call *call = CALL_WITH(OPTIONS(.trace = note_grace, .trace_user = &self, .jobs = 2), "cat {<in} >{out}",
                                 STAYS);
    ck_assert_int_eq(spile_call_input_fd(call, "in", ends[0]), 0);
    ck_assert_int_eq(spile_loop_new(&loop), 0);
    ck_assert_int_eq(spile_call_attach(call, loop, keep_result, &result), 0);
    while (!self.is_started)
        ck_assert_int_eq(spile_loop_step(loop, UINT64_MAX), 1);
    pid_t child = fork();
    if (child == 0) {
        ck_assert_int_eq(spile_loop_step(loop, 0), -EBADF);
        spile_call_cancel(call);
        if (_i == 0)
            spile_loop_free(loop);
        spile_call_free(call);
        if (_i == 1)
            spile_loop_free(loop);
        exit(0);
    }
    int status = -1;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    ck_assert_int_eq(write(ends[1], "text", 4), 4);
    close(ends[1]);
    self.is_exited = false;
    while (!self.is_exited) /* "cat" goes on: the child's end has not ended it */
        ck_assert_int_eq(spile_loop_step(loop, UINT64_MAX), 1);
    spile_call_cancel(call);
    while (!result)
        ck_assert_int_ge(spile_loop_step(loop, UINT64_MAX), 0);
    check_error(spile_result_error(result), SPILE_ERROR_CANCELLED, "");
    spile_result_free(result);
    spile_call_free(call);
    spile_loop_free(loop);
    text_done(&self.signals);
    close(ends[0]);
}
END_TEST

/* ------------------------------------------------------------------------------------------------ many */

START_TEST(a_thousand_in_a_row) {
    size_t fds = open_fds();
    spile_plan *plan = PLAN("sort {<in} | tac >{mid}", "cat {<mid} {<fix} >{out}");
    unsigned char *big = pattern_bytes(300000);
    for (int i = 0; i < 1000; i++) {
        spile_call *call = call_of(spile_plan_ref(plan), NULL);
        give(call, "in", "b\na\nc\n");
        ck_assert_int_eq(spile_call_input_memory(call, "fix", big, 300000), 0);
        spile_result *result = run_well(call);
        spile_output_info info = output_of(result, "out");
        ck_assert_uint_eq(info.bytes, 300006);
        ck_assert(memcmp(info.data, "c\nb\na\n", 6) == 0 && memcmp((const char *)info.data + 6, big, 300000) == 0);
        ck_assert_uint_eq(spile_result_output_count(result), 1);
        spile_result_free(result);
    }
    free(big);
    spile_plan_unref(plan);
    check_nothing_left(fds);
}
END_TEST

static void *run_many(void *user) {
    spile_plan *plan = user;
    for (int i = 0; i < 100; i++) {
        char text[32], expected[64];
        snprintf(text, sizeof(text), "%lx %d\n", (unsigned long)pthread_self(), i);
        snprintf(expected, sizeof(expected), "%s%s", text, text);
        spile_call *call = call_of(spile_plan_ref(plan), NULL);
        give(call, "in", text);
        spile_result *result = run_well(call);
        check_output(result, "out", expected);
        spile_result_free(result);
    }
    return NULL;
}

START_TEST(eight_threads_on_one_plan) {
    size_t fds = open_fds();
    pthread_t threads[8];
    spile_plan *plan = PLAN("cat {<in} | tee {>copy} >{mid}", "cat {<mid} {<copy} >{out}");
    spile_call_free(call_of(spile_plan_ref(plan), NULL)); /* the context is made in one thread */
    for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, run_many, plan), 0);
    for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
        pthread_join(threads[i], NULL);
    spile_plan_unref(plan);
    check_nothing_left(fds);
}
END_TEST

/* What programs leave running ends with the call. */
START_TEST(daemons_end_with_the_call) {
    if (support_containment() == SPILE_CONTAINMENT_NONE)
        return;
    size_t fds = open_fds();
    spile_result_free(run_well(CALL("sh -c 'setsid sleep 60 & (sleep 60 &) ; exit 0'")));
    spile_result_free(run_badly(CALL("sh -c 'setsid sh -c \"trap : TERM; sleep 60; sleep 60\" & exit 1'"),
                                SPILE_ERROR_PROGRAM, "exit status 1"));
    check_nothing_left(fds);
}
END_TEST

START_TEST(result_outlives_everything) {
    size_t size = 400000;
    unsigned char *bytes = pattern_bytes(size);
    size_t fds = open_fds();
    spile_call *call = CALL("sh -c 'echo said; cat $1 >$2' sh {<in} {>big}", "echo little >{small}");
    ck_assert_int_eq(spile_call_input_copy(call, "in", bytes, size), 0);
    spile_result *result = run_well(call);
    check_nothing_left(fds);
    check_bytes(result, "big", bytes, size);
    check_output(result, "small", "little\n");
    ck_assert_str_eq(program_of(result, 0).standard_output, "said\n");
    ck_assert_str_eq(program_of(result, 0).argv[5], "big");
    spile_result_free(result);
    free(bytes);
}
END_TEST

/* ------------------------------------------------------------------------------------------------ misuse */

static void free_from_within(void *user, const spile_event *event) {
    (void)event;
    ck_assert_ptr_null(spile_call_free(*(spile_call **)user));
}

START_TEST(misuse) {
    spile_plan *plan = PLAN("cat {<in}");
    spile_call *call = NULL;
    spile_result *result = NULL;
    spile_call_options options = {.size = 8};
    ck_assert_int_eq(spile_call_new(NULL, NULL, NULL, &call), -EINVAL);
    ck_assert_int_eq(spile_call_new(plan, NULL, NULL, NULL), -EINVAL);
    ck_assert_int_eq(spile_call_new(plan, NULL, &options, &call), -EINVAL);
    options = (spile_call_options){.size = sizeof(options), .env_mode = 7};
    ck_assert_int_eq(spile_call_new(plan, NULL, &options, &call), -EINVAL);
    options = (spile_call_options){.size = sizeof(options), .standard_output = (spile_stdio)9};
    ck_assert_int_eq(spile_call_new(plan, NULL, &options, &call), -EINVAL);
    ck_assert_ptr_null(call);
    ck_assert_ptr_null(spile_call_free(NULL));
    ck_assert_ptr_null(spile_result_free(NULL));
    call = call_of(plan, NULL);
    ck_assert_int_eq(spile_call_run(NULL, &result), -EINVAL);
    ck_assert_int_eq(spile_call_run(call, NULL), -EINVAL);
    ck_assert_int_eq(spile_call_attach(call, NULL, keep_result, NULL), -EINVAL);
    give(call, "in", "x");
    ck_assert_int_eq(spile_call_run(call, &result), 0);
    spile_result *again = NULL;
    ck_assert_int_eq(spile_call_run(call, &again), -EALREADY);
    ck_assert_ptr_null(again);
    /* A call that ran takes nothing any more. */
    ck_assert_int_eq(spile_call_input_memory(call, "b", "x", 1), -EINVAL);
    ck_assert_int_eq(spile_call_output_memory(call, "b"), -EINVAL);
    ck_assert_int_eq(spile_call_stdin_memory(call, 0, "x", 1), -EINVAL);
    ck_assert_int_eq(spile_call_value(call, "v", "x"), -EINVAL);
    spile_program_result info = {.size = 4};
    ck_assert_int_eq(spile_result_program(result, 0, &info), -EINVAL);
    info.size = sizeof(info);
    ck_assert_int_eq(spile_result_program(result, 1, &info), -EINVAL);
    spile_call_free(call);
    spile_result_free(result);
}
END_TEST

/* As the header says: it does nothing. */
START_TEST(freed_from_within) {
    spile_call *call = NULL;
    spile_result *result = NULL;
    call = CALL_WITH(OPTIONS(.trace = free_from_within, .trace_user = &call), "echo x >{out}");
    ck_assert_int_eq(spile_call_run(call, &result), 0);
    check_output(result, "out", "x\n");
    spile_call_free(call);
    spile_result_free(result);
}
END_TEST

int main(int argc, char **argv) {
    Suite *suite = suite_create("call ending");
    TCase *tests = tcase_create("call ending");
    support_begin(argc, argv);
    tcase_set_timeout(tests, 40);
    tcase_add_test(tests, wall_timeout);
    tcase_add_test(tests, grace_then_kill);
    tcase_add_test(tests, timeout_while_an_input_is_awaited);
    tcase_add_test(tests, timeout_while_delivering);
    tcase_add_loop_test(tests, cancelled_at_any_time, 0, 10);
    tcase_add_loop_test(tests, cancelled_by_a_handler, 0, 2);
    tcase_add_test(tests, grace_ends_with_the_call);
    tcase_add_test(tests, freed_while_it_runs);
    tcase_add_loop_test(tests, host_with_signals_of_its_own, 0, 3);
    tcase_add_test(tests, fork_in_the_middle);
    tcase_add_loop_test(tests, fork_between_steps, 0, 2);
    tcase_add_test(tests, a_thousand_in_a_row);
    tcase_add_test(tests, eight_threads_on_one_plan);
    tcase_add_test(tests, daemons_end_with_the_call);
    tcase_add_test(tests, result_outlives_everything);
    tcase_add_test(tests, misuse);
    tcase_add_test(tests, freed_from_within);
    suite_add_tcase(suite, tests);
    return support_run(suite);
}
