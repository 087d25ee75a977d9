/* Limits, promises and private paths through the C API: what each tells when it is reached, and that it holds. Run with
 * each containment. */
#include "support.h"

#include <sys/resource.h>

static bool is_namespace(void) {
    return support_containment() == SPILE_CONTAINMENT_NAMESPACE;
}

/* Whether a promise holds here, as the doctor says. */
static bool holds(spile_promise promise) {
    spile_doctor *doctor;
    spile_finding finding = {.size = sizeof(finding)};
    ck_assert_int_eq(spile_doctor_new(support_ctx(), &doctor), 0);
    size_t index = 0;
    while (spile_doctor_finding(doctor, index, &finding) == 0 && finding.promise != promise)
        index++;
    ck_assert_int_eq(finding.promise, promise);
    bool is_held = finding.holds;
    ck_assert_ptr_nonnull(finding.text);
    ck_assert(is_held || strlen(finding.text) > 0);
    ck_assert_ptr_null(spile_doctor_free(doctor));
    return is_held;
}

static spile_result *run_over(const spile_call_options *options, const char *template, spile_limit limit,
                              const char *part) {
    spile_result *result = run_badly(CALL_WITH(options, template), SPILE_ERROR_LIMIT, part);
    ck_assert_int_eq(spile_error_get_limit(spile_result_error(result)), limit);
    ck_assert_int_eq(spile_result_exit_status(result), 123);
    return result;
}

/* ------------------------------------------------------------------------------------------------ each limit */

START_TEST(outputs) {
    const spile_call_options *options = OPTIONS(.limits.output_bytes = 1000);
    spile_result_free(run_over(options, "head -c 1001 /dev/zero >{out}", SPILE_LIMIT_OUTPUT,
                               "output 'out' is 1001 bytes long or longer, over the limit of 1000 bytes an output"));
    spile_result_free(run_well(CALL_WITH(options, "head -c 1000 /dev/zero >{out}")));
    spile_result_free(run_over(options, "head -c 5000000 /dev/zero >{out|}", SPILE_LIMIT_OUTPUT,
                               "over the limit of 1000 bytes an output"));
    spile_result_free(run_well(CALL_WITH(options, "head -c 1000 /dev/zero >{out|}")));
    /* What only passes between programs is no output. */
    spile_result_free(run_well(CALL_WITH(options, "head -c 5000 /dev/zero >{mid}", "wc -c <{mid} >{out}")));
}
END_TEST

START_TEST(open_files) {
    const spile_call_options *options = OPTIONS(.limits.open_files = 12);
    spile_result *result = run_over(
        options, "python3 -c 'import os\nwhile True: assert os.open(\"/dev/null\", 0) < 12'", SPILE_LIMIT_OPEN_FILES,
        "failed at its limit of 12 open files, each process by itself\n");
    ck_assert_ptr_nonnull(strstr(spile_error_get_message(spile_result_error(result)), "Too many open files"));
    spile_result_free(result);
    spile_result_free(run_well(CALL_WITH(options, "true")));
    /* Where a program says nothing of it, it is told as a failure of its own, with the limit beside it. */
    spile_result_free(run_badly(CALL_WITH(options, "sh -c 'exit 3'"), SPILE_ERROR_PROGRAM,
                                "failed with exit status 3; each process could open 12 files"));
}
END_TEST

START_TEST(no_core_dumps) {
    struct rlimit all;
    ck_assert_int_eq(getrlimit(RLIMIT_CORE, &all), 0);
    all.rlim_cur = all.rlim_max; /* a host that wants its own */
    ck_assert_int_eq(setrlimit(RLIMIT_CORE, &all), 0);
    spile_result *result = run_well(CALL_WITH(OPTIONS(.jobs = 0), "sh -c 'ulimit -c' >{out}"));
    check_output(result, "out", "0\n");
    spile_result_free(result);
}
END_TEST

START_TEST(processes) {
    const spile_call_options *options = OPTIONS(.limits.processes = 6);
    const char *bomb = "sh -c 'for i in 1 2 3 4 5 6 7 8 9; do sleep 1000 & done; wait'";
    if (!holds(SPILE_PROMISE_PROCESSES)) {
        spile_result *result = run_badly(CALL_WITH(options, "true"), SPILE_ERROR_PROMISE,
                                         "the promise 'processes' can't be kept here");
        ck_assert_int_eq(spile_result_exit_status(result), 125);
        spile_result_free(result);
        return;
    }
    spile_result *result = run_over(options, bomb, SPILE_LIMIT_PROCESSES, "6 processes and threads");
    spile_result_free(result);
    /* Exactly so many: the shell and five. */
    spile_result_free(run_well(CALL_WITH(options, "sh -c 'for i in 1 2 3 4 5; do sleep 1000 & done'")));
    /* The one before has left nothing that counts, nor its limit. */
    spile_result_free(run_well(CALL_WITH(NULL, "sh -c 'for i in 1 2 3 4 5 6 7 8; do sleep 1000 & done'")));
}
END_TEST

START_TEST(program_memory) {
    const spile_call_options *options = OPTIONS(.limits.program_memory_bytes = 48 << 20);
    bool is_grouped = holds(SPILE_PROMISE_PROGRAM_MEMORY);
    spile_result *result = run_over(options, "python3 -c 'bytearray(200 << 20)'", SPILE_LIMIT_PROGRAM_MEMORY,
                                    is_grouped ? "the programs used more memory than their limit of 50331648 bytes"
                                               : "failed at its limit of 50331648 bytes of memory, each process by "
                                                 "itself");
    spile_result_free(result);
    spile_result_free(run_well(CALL_WITH(options, "python3 -c 'bytearray(4 << 20)'")));
    if (!is_grouped)
        return;
    /* All together, and though the program that was started ends well. */
    spile_result_free(run_over(options, "sh -c 'python3 -c \"bytearray(200 << 20)\"; true'", SPILE_LIMIT_PROGRAM_MEMORY,
                               "and were killed"));
    spile_result_free(run_over(
        options,
        "sh -c 'for i in 1 2 3; do python3 -c \"import time; x = bytearray(20 << 20); time.sleep(1000)\" & done; "
        "wait; true'",
        SPILE_LIMIT_PROGRAM_MEMORY, "all together"));
}
END_TEST

START_TEST(file_bytes_without_a_mount) {
    if (is_namespace())
        return;
    const spile_call_options *options = OPTIONS(.limits.file_bytes = 1 << 20);
    spile_result_free(run_over(options, "head -c 2000000 /dev/zero >{out}", SPILE_LIMIT_FILES,
                               "wrote a file that is larger than the memory limit of 1048576 bytes"));
    spile_result_free(run_well(CALL_WITH(options, "head -c 1000000 /dev/zero >{out}")));
}
END_TEST

START_TEST(cpu_time_of_who_ignores_it) {
    spile_result *result = run_over(OPTIONS(.limits.cpu_ns = 1), "sh -c 'trap \"\" XCPU; while :; do :; done'",
                                    SPILE_LIMIT_CPU, "used more CPU time than its limit of 1 s: ");
    spile_result_free(result);
    result = run_over(OPTIONS(.limits.cpu_ns = 1), "sh -c 'sh -c \"while :; do :; done\"; exit $?'", SPILE_LIMIT_CPU,
                      "used more CPU time than its limit of 1 s: ");
    spile_result_free(result);
}
END_TEST

/* TERM, a grace, KILL, to everything: also to what ignores TERM and has left the program that started it. */
START_TEST(all_is_ended) {
    if (support_containment() == SPILE_CONTAINMENT_NONE)
        return; /* which says that it does not */
    size_t fds = open_fds();
    uint64_t begin = time_now_ns();
    const spile_call_options *options = OPTIONS(.limits.wall_ns = 300 * NS_PER_MS, .grace_ns = 200 * NS_PER_MS);
    spile_result *result = run_badly(
        CALL_WITH(options,
                  "sh -c 'trap \"\" TERM; setsid sh -c \"trap \\\"\\\" TERM HUP; while :; do sleep 1000; done\" & "
                  "while :; do sleep 1000; done'"),
        SPILE_ERROR_TIMEOUT, "did not end within 0.3 s; still running: 'sh'");
    ck_assert_int_eq(spile_result_exit_status(result), 124);
    ck_assert_int_eq(spile_error_get_limit(spile_result_error(result)), SPILE_LIMIT_WALL);
    ck_assert_uint_ge(time_now_ns() - begin, 500 * NS_PER_MS);
    spile_result_free(result);
    check_nothing_left(fds);
}
END_TEST

START_TEST(names_of_limits) {
    static const char *const names[] = {NULL,        "timeout",    "cpu", "memory", "max_output", "program_memory",
                                        "processes", "open_files", NULL};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        ck_assert_pstr_eq(spile_limit_name((spile_limit)i), names[i]);
    spile_result *result = run_badly(CALL("false"), SPILE_ERROR_PROGRAM, "");
    ck_assert_int_eq(spile_error_get_limit(spile_result_error(result)), SPILE_LIMIT_NONE);
    spile_result_free(result);
}
END_TEST

START_TEST(figures_that_make_no_sense) {
    static const struct {
        spile_limits limits;
        const char *part;
    } cases[] = {
        {{.file_bytes = UINT64_MAX}, "a limit of 18446744073709551615 bytes in files is none"},
        {{.output_bytes = UINT64_MAX - 1}, "bytes an output is none"},
        {{.program_memory_bytes = UINT64_C(1) << 62}, "bytes of memory is none"},
        {{.processes = UINT64_MAX}, "a limit of 18446744073709551615 processes is none"},
        {{.open_files = UINT64_MAX}, "open files is none"},
        {{.open_files = 3}, "with 3 open files no program starts"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        spile_result *result = run_badly(CALL_WITH(OPTIONS(.limits = cases[i].limits), "true"), SPILE_ERROR_USAGE,
                                         cases[i].part);
        ck_assert_int_eq(spile_result_exit_status(result), 125);
        spile_result_free(result);
    }
    spile_call *call;
    spile_plan *plan = PLAN("true");
    ck_assert_int_eq(spile_call_new(plan, NULL, OPTIONS(.require = SPILE_PROMISE_LAST << 1), &call), -EINVAL);
    spile_plan_unref(plan);
}
END_TEST

/* ------------------------------------------------------------------------------------------------ promises */

START_TEST(promises) {
    for (unsigned bit = 1; bit <= SPILE_PROMISE_LAST; bit <<= 1) {
        char part[96];
        const char *name = spile_promise_name((spile_promise)bit);
        ck_assert_ptr_nonnull(name);
        if (holds((spile_promise)bit)) {
            spile_result_free(run_well(CALL_WITH(OPTIONS(.require = bit), "true")));
            continue;
        }
        snprintf(part, sizeof(part), "the promise '%s' can't be kept here", name);
        spile_result *result = run_badly(CALL_WITH(OPTIONS(.require = bit), "true"), SPILE_ERROR_PROMISE, part);
        ck_assert_int_eq(spile_result_exit_status(result), 125);
        ck_assert(!program_of(result, 0).started);
        spile_result_free(result);
    }
    static const spile_promise of_namespaces[] = {SPILE_PROMISE_CONTAINED, SPILE_PROMISE_PRIVATE, SPILE_PROMISE_FILES,
                                                  SPILE_PROMISE_PRIVATE_PATH};
    for (size_t i = 0; i < ARRAY_SIZE(of_namespaces); i++)
        ck_assert(holds(of_namespaces[i]) == is_namespace());
    ck_assert_ptr_null(spile_promise_name((spile_promise)0));
    ck_assert_ptr_null(spile_promise_name((spile_promise)(SPILE_PROMISE_LAST << 1)));
}
END_TEST

START_TEST(doctor) {
    size_t fds = open_fds(), promised = 0;
    spile_doctor *found;
    spile_finding finding = {.size = sizeof(finding)};
    ck_assert_int_eq(spile_doctor_new(support_ctx(), NULL), -EINVAL);
    ck_assert_int_eq(spile_doctor_new(support_ctx(), &found), 0);
    ck_assert_int_eq(spile_doctor_containment(found), support_containment());
    for (size_t i = 0; i < spile_doctor_count(found); i++) {
        ck_assert_int_eq(spile_doctor_finding(found, i, &finding), 0);
        ck_assert(finding.name && *finding.name && finding.text && *finding.text);
        promised += finding.promise != 0;
        ck_assert_msg(!finding.cure || !finding.holds || strcmp(finding.name, "inotify") == 0 ||
                          strcmp(finding.name, "shared_memory") == 0,
                      "a cure for what holds: %s", finding.name);
    }
    ck_assert_uint_eq(promised, 8);
    ck_assert_uint_gt(spile_doctor_count(found), promised + 5);
    ck_assert_int_eq(spile_doctor_finding(found, spile_doctor_count(found), &finding), -EINVAL);
    spile_doctor_free(found);
    ck_assert_ptr_null(spile_doctor_free(NULL));
    check_nothing_left(fds);
}
END_TEST

/* ------------------------------------------------------------------------------------------------ the same path */

START_TEST(private_path) {
    const spile_call_options *options = OPTIONS(.private_path = "/mnt");
    if (!is_namespace()) {
        spile_result_free(run_badly(CALL_WITH(options, "pwd"), SPILE_ERROR_PROMISE, "the promise 'private_path'"));
        return;
    }
    /* One after the other, each in its own, and what was there before is covered for them alone. */
    spile_call *call = CALL_WITH(options, "sh -c 'pwd -P >here; cp $1 /mnt/copy' sh {<in} {+>here} {+>copy}",
                                 "sh -c 'pwd -P; cat /mnt/copy; ls /mnt' sh {+<copy} >{listing}");
    give(call, "in", "x\n");
    spile_result *result = run_well(call);
    check_output(result, "here", "/mnt\n");
    check_output(result, "listing", "/mnt\nx\ncopy\nlisting\n");
    spile_result_free(result);
    ck_assert_int_lt(access("/mnt/copy", F_OK), 0);
    /* Two at a time: the first one writes by its path when the second one has its own there. */
    result = run_well(CALL_WITH(options, "sh -c 'cat $1; echo x >/mnt/mine' sh {<s|} {+>mine}",
                                "sh -c 'echo >/mnt/other; echo >$1' sh {>s|} {+>other}"));
    check_output(result, "mine", "x\n");
    spile_result_free(result);
    spile_result_free(run_badly(CALL_WITH(OPTIONS(.private_path = "/nowhere/at/all"), "true"), SPILE_ERROR_USAGE,
                                "the private path '/nowhere/at/all' is no directory that can be covered"));
    spile_result_free(run_badly(CALL_WITH(OPTIONS(.private_path = "mnt"), "true"), SPILE_ERROR_USAGE, "'mnt'"));
    spile_result_free(run_badly(CALL_WITH(OPTIONS(.private_path = "/"), "true"), SPILE_ERROR_USAGE, "'/'"));
    spile_result_free(run_badly(CALL_WITH(OPTIONS(.private_path = "/mnt", .cwd = "/tmp"), "true"), SPILE_ERROR_USAGE,
                                "leave out one of '/mnt' and '/tmp'"));
}
END_TEST

int main(int argc, char **argv) {
    Suite *suite = suite_create("call limits");
    TCase *tests = tcase_create("call limits");
    support_begin(argc, argv);
    tcase_set_timeout(tests, 30);
    tcase_add_test(tests, outputs);
    tcase_add_test(tests, no_core_dumps);
    tcase_add_test(tests, open_files);
    tcase_add_test(tests, processes);
    tcase_add_test(tests, program_memory);
    tcase_add_test(tests, file_bytes_without_a_mount);
    tcase_add_test(tests, cpu_time_of_who_ignores_it);
    tcase_add_test(tests, all_is_ended);
    tcase_add_test(tests, names_of_limits);
    tcase_add_test(tests, figures_that_make_no_sense);
    tcase_add_test(tests, promises);
    tcase_add_test(tests, doctor);
    tcase_add_test(tests, private_path);
    suite_add_tcase(suite, tests);
    return support_run(suite);
}
