/* How the programs of a call run: real ones, bars, captured streams, limits, environment, order and number at a time.
 */
#include "support.h"

static const char hello_source[] = ".globl _start\n"
                                   "_start: mov $60, %rax\n"
                                   " mov $42, %rdi\n"
                                   " syscall\n";

START_TEST(assemble_link_run) {
#if defined(__x86_64__)
    spile_plan *plan = NULL;
    spile_program_options options = {.size = sizeof(options), .ok_status = (const int[]){42}, .ok_status_count = 1};
    ck_assert_int_eq(spile_plan_new(&plan), 0);
    ck_assert_int_eq(spile_plan_add_template(plan, "./{<hello}", &options, NULL), 1);
    ck_assert_int_eq(spile_plan_add_template(plan, "ld {<hello.o} -o {>hello}", NULL, NULL), 1);
    ck_assert_int_eq(spile_plan_add_template(plan, "as {<hello.s} -o {>hello.o}", NULL, NULL), 1);
    ck_assert_int_eq(spile_plan_finish(plan, NULL), 0);
    spile_call *call = call_of(plan, NULL);
    give(call, "hello.s", hello_source);
    spile_result *result = run_well(call);
    spile_program_result program = program_of(result, 0);
    ck_assert_int_eq(program.exit_status, 42);
    ck_assert(program.started && program.ended && program.accepted && program.signal == 0);
    ck_assert_uint_gt(program.end_ns, program.start_ns);
    ck_assert_uint_ge(program.start_ns, program_of(result, 1).end_ns);
    ck_assert_uint_gt(program_of(result, 1).max_rss_bytes, 100000);
    ck_assert_str_eq(program_of(result, 1).argv[0], "ld");
    ck_assert_str_eq(program_of(result, 1).argv[3], "hello");
    ck_assert_ptr_null(program_of(result, 1).argv[4]);
    spile_result_free(result);
#else
    (void)hello_source;
#endif
}
END_TEST

START_TEST(values) {
    static const char *const list[] = {"one", "", "two words"};
    spile_call *call = CALL("V=x{v}y printf '%s|' {v} a={v} {list...} {none...} end", "sh -c 'echo $W' sh",
                            "W={v} sh -c 'printf %s \"$W\"'");
    ck_assert_int_eq(spile_call_value(call, "v", "-n $(id) 'q' *"), 0);
    ck_assert_int_eq(spile_call_value(call, "v", "again"), -EEXIST);
    ck_assert_int_eq(spile_call_values(call, "list", list, 3), 0);
    ck_assert_int_eq(spile_call_values(call, "none", NULL, 0), 0);
    spile_result *result = run_well(call);
    ck_assert_str_eq(program_of(result, 0).standard_output, "-n $(id) 'q' *|a=-n $(id) 'q' *|one||two words|end|");
    ck_assert_str_eq(program_of(result, 2).standard_output, "-n $(id) 'q' *");
    spile_result_free(result);
}
END_TEST

START_TEST(names_that_look_like_options) {
    spile_call *call = CALL("cat {<-n} >{out}", "cp {<-n} {>-o}");
    give(call, "-n", "text");
    spile_result *result = run_well(call);
    check_output(result, "out", "text");
    check_output(result, "-o", "text");
    ck_assert_str_eq(program_of(result, 0).argv[1], "./-n");
    spile_result_free(result);
}
END_TEST

/* ------------------------------------------------------------------------------------------------ bars */

START_TEST(bars) {
    spile_call *call = CALL("cat {<in} | sort -r | tee {>copy} | head -n 2 >{out}");
    give(call, "in", "b\na\nc\n");
    spile_result *result = run_well(call);
    check_output(result, "out", "c\nb\n");
    check_output(result, "copy", "c\nb\na\n");
    spile_result_free(result);
    /* Standard error goes along where it is merged. */
    result = run_well(CALL("sh -c 'echo a; echo b >&2' 2>&1 | sort -r"));
    ck_assert_str_eq(program_of(result, 1).standard_output, "b\na\n");
    spile_result_free(result);
}
END_TEST

START_TEST(writer_that_dies_of_sigpipe) {
    spile_result *result = run_well(CALL("yes | head -n 1"));
    ck_assert_int_eq(program_of(result, 0).signal, SIGPIPE);
    ck_assert(program_of(result, 0).accepted);
    ck_assert_str_eq(program_of(result, 1).standard_output, "y\n");
    spile_result_free(result);
    result = run_well(CALL("yes | cat | head -n 1"));
    spile_result_free(result);
    /* One whose reader failed is not the cause; one that only exits with a failure is, with a hint. */
    result = run_badly(CALL("yes | sh -c 'exit 4'"), SPILE_ERROR_PROGRAM, "'sh' failed with exit status 4");
    ck_assert_int_eq(spile_error_get_program(spile_result_error(result)), 1);
    ck_assert_int_eq(spile_result_exit_status(result), 4);
    spile_result_free(result);
    result = run_badly(CALL("sh -c 'trap \"\" PIPE; while echo; do :; done 2>/dev/null; exit 1' | true"),
                       SPILE_ERROR_PROGRAM, "accept its status");
    ck_assert_int_eq(spile_result_exit_status(result), 1);
    spile_result_free(result);
    /* A signal of another kind is a failure. */
    result = run_badly(CALL("sh -c 'kill -9 $$'"), SPILE_ERROR_PROGRAM, "was killed by signal 9 (SIGKILL)");
    ck_assert_int_eq(spile_result_exit_status(result), 137);
    spile_result_free(result);
}
END_TEST

/* ------------------------------------------------------------------------------------------------ captured streams */

START_TEST(both_streams_at_once) {
    static const char script[] = "sh -c 'head -c 10000000 /dev/zero | tr \"\\0\" o & "
                                 "head -c 10000000 /dev/zero | tr \"\\0\" e >&2; wait'";
    spile_result *result = run_well(CALL_WITH(OPTIONS(.standard_error = SPILE_STDIO_CAPTURE), script));
    spile_program_result program = program_of(result, 0);
    ck_assert_uint_eq(program.standard_output_size, 10000000);
    ck_assert_uint_eq(program.standard_error_size, 10000000);
    ck_assert(!program.standard_error_truncated);
    ck_assert(memchr(program.standard_output, 'e', 10000000) == NULL && program.standard_output[10000000] == '\0');
    ck_assert(memchr(program.standard_error, 'o', 10000000) == NULL);
    spile_result_free(result);
    /* By default, of standard error the tail is kept. */
    result = run_well(CALL("sh -c '(seq 100000; echo last) >&2'"));
    program = program_of(result, 0);
    ck_assert(program.standard_error_truncated);
    ck_assert_uint_ge(program.standard_error_size, 1000);
    ck_assert_uint_le(program.standard_error_size, 1 << 17);
    ck_assert_str_eq(program.standard_error + program.standard_error_size - 12, "100000\nlast\n");
    spile_result_free(result);
}
END_TEST

/* Runs the call with our own 1 and 2 in files; hands out what was in them. */
static spile_result *run_with_stdio(spile_call *call, char **ret_output, char **ret_error) {
    fflush(stdout);
    AUTO_FD old_out = dup(1), old_error = dup(2);
    AUTO_FD out = open(in_scratch("stdout"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    AUTO_FD error = open(in_scratch("stderr"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    dup2(out, 1);
    dup2(error, 2);
    spile_result *result = run_well(call);
    dup2(old_out, 1);
    dup2(old_error, 2);
    *ret_output = read_text(in_scratch("stdout"));
    *ret_error = read_text(in_scratch("stderr"));
    return result;
}

START_TEST(inherited_null_and_merged) {
    char *output = NULL, *error = NULL;
    spile_plan *plan = NULL;
    spile_program_options null = {
        .size = sizeof(null), .standard_output = SPILE_STDIO_NULL, .standard_error = SPILE_STDIO_NULL};
    ck_assert_int_eq(spile_plan_new(&plan), 0);
    ck_assert_int_eq(spile_plan_add_template(plan, "sh -c 'echo 1; echo 2 >&2'", NULL, NULL), 1);
    ck_assert_int_eq(spile_plan_add_template(plan, "sh -c 'echo 3; echo 4 >&2'", &null, NULL), 1);
    ck_assert_int_eq(spile_plan_finish(plan, NULL), 0);
    spile_call *call = call_of(
        plan, OPTIONS(.standard_output = SPILE_STDIO_INHERIT, .standard_error = SPILE_STDIO_INHERIT, .jobs = 1));
    spile_result *result = run_with_stdio(call, &output, &error);
    ck_assert_str_eq(output, "1\n");
    ck_assert_str_eq(error, "2\n");
    ck_assert_uint_eq(program_of(result, 0).standard_output_size, 0);
    ck_assert_str_eq(program_of(result, 0).standard_error, "2\n"); /* the tail is kept all the same */
    ck_assert_str_eq(program_of(result, 1).standard_output, "");
    spile_result_free(result);
    free(output);
    free(error);
    result = run_well(CALL("sh -c 'echo o; echo e >&2; echo p' 2>&1", "sh -c 'echo o; echo e >&2' >{both} 2>&1"));
    ck_assert_str_eq(program_of(result, 0).standard_output, "o\ne\np\n");
    ck_assert_str_eq(program_of(result, 0).standard_error, "");
    check_output(result, "both", "o\ne\n");
    spile_result_free(result);
}
END_TEST

/* ------------------------------------------------------------------------------------------------ limits */

START_TEST(output_limit) {
    spile_result *result = run_badly(CALL_WITH(OPTIONS(.limits.output_bytes = 1000), "yes"), SPILE_ERROR_LIMIT,
                                     "'yes' wrote more than the limit of 1000 bytes");
    ck_assert_int_eq(spile_result_exit_status(result), 123);
    spile_result_free(result);
    result = run_well(CALL_WITH(OPTIONS(.limits.output_bytes = 1000), "sh -c 'head -c 1000 /dev/zero'"));
    ck_assert_uint_eq(program_of(result, 0).standard_output_size, 1000);
    spile_result_free(result);
}
END_TEST

START_TEST(cpu_limit) {
    spile_result *result = run_badly(CALL_WITH(OPTIONS(.limits.cpu_ns = 1), "sh -c 'while :; do :; done'"),
                                     SPILE_ERROR_LIMIT, "used more CPU time than its limit");
    ck_assert_int_eq(spile_result_exit_status(result), 123);
    ck_assert_uint_ge(program_of(result, 0).user_ns + program_of(result, 0).system_ns, NS_PER_SECOND / 2);
    spile_result_free(result);
}
END_TEST

START_TEST(file_limit) {
    if (support_containment() != SPILE_CONTAINMENT_NAMESPACE)
        return; /* the others have no file system of their own */
    const spile_call_options *options = OPTIONS(.limits.file_bytes = 1 << 20);
    spile_result *result = run_badly(CALL_WITH(options, "sh -c 'head -c 2000000 /dev/zero >$1' sh {>out}"),
                                     SPILE_ERROR_LIMIT, "memory limit of 1048576 bytes");
    ck_assert_int_eq(spile_result_exit_status(result), 123);
    spile_result_free(result);
    unsigned char *bytes = pattern_bytes(2000000);
    spile_call *call = CALL_WITH(options, "cat {<in}");
    ck_assert_int_eq(spile_call_input_memory(call, "in", bytes, 2000000), 0);
    spile_result_free(run_badly(call, SPILE_ERROR_LIMIT, "met at input 'in'"));
    free(bytes);
    spile_result_free(run_well(CALL_WITH(options, "sh -c 'head -c 900000 /dev/zero >$1' sh {>out}")));
}
END_TEST

/* ------------------------------------------------------------------------------------------------ environment */

START_TEST(environment) {
    size_t fds = open_fds();
    setenv("FROM_HOST", "host", 1);
    setenv("GONE", "host", 1);
    spile_plan *plan = NULL;
    const char *const own[] = {"B=program", "GONE", NULL}, *const all[] = {"A=call", "B=call", NULL};
    const char *const exact[] = {"ONLY=1", "PATH=/usr/bin:/bin", NULL};
    spile_program_options added = {.size = sizeof(added), .env = own};
    spile_program_options replaced = {.size = sizeof(replaced), .env = exact, .env_mode = SPILE_ENV_REPLACE};
    static const char script[] = "C=template sh -c 'echo $FROM_HOST $GONE $A $B $C'";
    ck_assert_int_eq(spile_plan_new(&plan), 0);
    ck_assert_int_eq(spile_plan_add_template(plan, script, &added, NULL), 1);
    ck_assert_int_eq(spile_plan_add_template(plan, "env", &replaced, NULL), 1);
    ck_assert_int_eq(spile_plan_add_template(plan, "sh -c 'echo $TMPDIR; mktemp' ", NULL, NULL), 1);
    ck_assert_int_eq(spile_plan_finish(plan, NULL), 0);
    spile_result *result = run_well(call_of(plan, OPTIONS(.env = all)));
    ck_assert_str_eq(program_of(result, 0).standard_output, "host call program template\n");
    ck_assert_str_eq(program_of(result, 1).standard_output, "ONLY=1\nPATH=/usr/bin:/bin\n");
    const char *text = program_of(result, 2).standard_output, *end = strchr(text, '\n');
    ck_assert_ptr_nonnull(end);
    ck_assert_msg(strncmp(text, end + 1, (size_t)(end - text)) == 0 && end[1 + (end - text)] == '/', "%s", text);
    char path[4096];
    snprintf(path, sizeof(path), "%.*s", (int)strcspn(end + 1, "\n"), end + 1);
    spile_result_free(result);
    result = run_well(CALL_WITH(OPTIONS(.env = exact, .env_mode = SPILE_ENV_REPLACE), "env"));
    ck_assert_str_eq(program_of(result, 0).standard_output, "ONLY=1\nPATH=/usr/bin:/bin\n");
    spile_result_free(result);
    check_nothing_left(fds);
    ck_assert_int_lt(access(path, F_OK), 0); /* temporary files went with the call */
}
END_TEST

START_TEST(working_directory) {
    spile_call *call = CALL_WITH(OPTIONS(.cwd = scratch()), "sh -c 'pwd; cat $1; echo x >here' sh {<in}",
                                 "pwd >{where}");
    give(call, "in", "text");
    spile_result *result = run_well(call);
    char expected[256];
    snprintf(expected, sizeof(expected), "%s\ntext", scratch());
    ck_assert_str_eq(program_of(result, 0).standard_output, expected);
    ck_assert_int_eq(*program_of(result, 0).argv[4], '/');
    check_text(in_scratch("here"), "x\n");
    spile_result_free(result);
    /* A program's own goes before; a relative one is the host's. */
    spile_plan *plan = NULL;
    spile_program_options options = {.size = sizeof(options), .cwd = "sub"};
    ck_assert_int_eq(mkdir(in_scratch("sub"), 0777), 0);
    ck_assert_int_eq(chdir(scratch()), 0);
    ck_assert_int_eq(spile_plan_new(&plan), 0);
    ck_assert_int_eq(spile_plan_add_template(plan, "pwd", &options, NULL), 1);
    ck_assert_int_eq(spile_plan_finish(plan, NULL), 0);
    result = run_well(call_of(plan, OPTIONS(.cwd = "/")));
    snprintf(expected, sizeof(expected), "%s/sub\n", scratch());
    ck_assert_str_eq(program_of(result, 0).standard_output, expected);
    spile_result_free(result);
    result = run_badly(CALL_WITH(OPTIONS(.cwd = "/nowhere"), "pwd"), SPILE_ERROR_SYSTEM, "'pwd' can't be started");
    spile_result_free(result);
    ck_assert_int_eq(chdir("/"), 0);
}
END_TEST

START_TEST(directory_that_is_gone) {
    ck_assert_int_eq(mkdir(in_scratch("gone"), 0777), 0);
    ck_assert_int_eq(chdir(in_scratch("gone")), 0);
    ck_assert_int_eq(rmdir(in_scratch("gone")), 0);
    spile_call *call = CALL_WITH(OPTIONS(.env = (const char *const[]){"PATH=:here:/usr/bin:/bin", NULL}), "cat {<in}");
    give(call, "in", "x");
    spile_result *result = run_well(call);
    ck_assert_str_eq(program_of(result, 0).standard_output, "x");
    spile_result_free(result);
    spile_result_free(run_well(CALL_WITH(OPTIONS(.cwd = "/"), "cat /dev/null")));
    result = run_badly(CALL("./program"), SPILE_ERROR_NOT_FOUND, "the current directory, from which it leads, is gone");
    ck_assert_int_eq(spile_result_exit_status(result), 127);
    spile_result_free(result);
    spile_result_free(
        run_badly(CALL_WITH(OPTIONS(.cwd = "sub"), "true"), SPILE_ERROR_NOT_FOUND, "'sub' can't be found"));
    call = CALL("echo x >{out}");
    ck_assert_int_eq(spile_call_output_path(call, "out", "out", 0), 0);
    spile_result_free(run_badly(call, SPILE_ERROR_USAGE, "its directory does not exist"));
    ck_assert_int_eq(chdir("/"), 0);
}
END_TEST

START_TEST(programs_that_are_not_there) {
    spile_result *result = run_badly(CALL("no-such-program-at-all {>x}"), SPILE_ERROR_NOT_FOUND,
                                     "'no-such-program-at-all' was not found: no directory of PATH");
    ck_assert_int_eq(spile_result_exit_status(result), 127);
    spile_result_free(result);
    result = run_badly(CALL("./no-such"), SPILE_ERROR_NOT_FOUND, "looked for from the caller's directory");
    ck_assert_int_eq(spile_result_exit_status(result), 127);
    spile_result_free(result);
    result = run_badly(CALL("/etc"), SPILE_ERROR_NOT_EXECUTABLE, "'/etc' can't be executed");
    ck_assert_int_eq(spile_result_exit_status(result), 126);
    spile_result_free(result);
    write_text(in_scratch("script"), "echo no line\n");
    ck_assert_int_eq(chmod(in_scratch("script"), 0755), 0);
    char command[256];
    snprintf(command, sizeof(command), "%s", in_scratch("script"));
    result = run_badly(CALL(command), SPILE_ERROR_NOT_EXECUTABLE, "a script needs a #! line");
    ck_assert_int_eq(spile_result_exit_status(result), 126);
    spile_result_free(result);
    write_text(in_scratch("script"), "#!/no/such/interpreter\n");
    result = run_badly(CALL(command), SPILE_ERROR_NOT_EXECUTABLE, "its interpreter");
    spile_result_free(result);
    /* Found in PATH, but not to be executed; a directory that may not be searched does not count. */
    ck_assert_int_eq(mkdir(in_scratch("closed"), 0), 0);
    snprintf(command, sizeof(command), "%s:%s", in_scratch("closed"), scratch());
    setenv("PATH", command, 1);
    write_text(in_scratch("plain"), "");
    result = run_badly(CALL("plain"), SPILE_ERROR_NOT_EXECUTABLE, "'plain' can't be executed: Permission denied");
    ck_assert_int_eq(spile_result_exit_status(result), 126);
    spile_result_free(result);
    spile_result_free(run_badly(CALL("nowhere"), SPILE_ERROR_NOT_FOUND, "no directory of PATH has it"));
    setenv("PATH", "/usr/bin:/bin", 1);
    ck_assert_int_eq(rmdir(in_scratch("closed")), 0);
    /* One that the call makes, and that can't be executed. */
    spile_result_free(
        run_badly(CALL("sh -c 'echo >$1' sh {>tool}", "./{<tool}"), SPILE_ERROR_NOT_EXECUTABLE, "must be executable"));
}
END_TEST

/* ------------------------------------------------------------------------------------------------ order and number */

START_TEST(accepted_statuses) {
    spile_plan *plan = NULL;
    ck_assert_int_eq(spile_plan_new(&plan), 0);
    ck_assert_int_eq(spile_plan_add_template(plan, "sh -c 'exit 1' | sh -c 'exit 2'", NULL, NULL), 2);
    ck_assert_int_eq(spile_plan_set_ok_status(plan, 0, (const int[]){0, 1}, 2), 0);
    ck_assert_int_eq(spile_plan_set_ok_status(plan, 1, (const int[]){2}, 1), 0);
    ck_assert_int_eq(spile_plan_finish(plan, NULL), 0);
    spile_result *result = run_well(call_of(plan, NULL));
    ck_assert_int_eq(program_of(result, 1).exit_status, 2);
    ck_assert(program_of(result, 1).accepted);
    spile_result_free(result);
    ck_assert_int_eq(spile_plan_new(&plan), 0);
    ck_assert_int_eq(spile_plan_add_template(plan, "true", NULL, NULL), 1);
    ck_assert_int_eq(spile_plan_set_ok_status(plan, 0, (const int[]){1}, 1), 0);
    ck_assert_int_eq(spile_plan_finish(plan, NULL), 0);
    result = run_badly(call_of(plan, NULL), SPILE_ERROR_PROGRAM, "'true' failed with exit status 0");
    ck_assert_int_eq(spile_result_exit_status(result), 123); /* not 0: it did fail */
    spile_result_free(result);
}
END_TEST

START_TEST(keep_going) {
    spile_call *call = CALL_WITH(OPTIONS(.keep_going = true, .jobs = 1), "sh -c 'echo a >$1; exit 3' sh {>a}",
                                 "cat {<a} >{b}", "cat {<b} >{c}", "echo d >{d}", "cat {<d} >{e}", "sh -c 'exit 4'");
    spile_result *result = run_badly(call, SPILE_ERROR_PROGRAM, "'sh' (program 1) failed with exit status 3");
    ck_assert_int_eq(spile_result_exit_status(result), 3);
    check_output(result, "e", "d\n");
    ck_assert(output_of(result, "e").is_partial);
    ck_assert(!program_of(result, 1).started && !program_of(result, 2).started);
    ck_assert(program_of(result, 4).accepted);
    ck_assert_int_eq(program_of(result, 5).exit_status, 4);
    spile_result_free(result);
    call = CALL_WITH(OPTIONS(.jobs = 1), "sh -c 'exit 3'", "echo never");
    result = run_badly(call, SPILE_ERROR_PROGRAM, "exit status 3");
    ck_assert(!program_of(result, 1).started);
    ck_assert_ptr_null(program_of(result, 1).argv);
    spile_result_free(result);
}
END_TEST

struct watch {
    int running, most, started, exited;
};

static void count_running(void *user, const spile_event *event) {
    struct watch *self = user;
    self->started += event->kind == SPILE_EVENT_STARTED;
    self->exited += event->kind == SPILE_EVENT_EXITED;
    self->running = self->started - self->exited;
    self->most = MAX(self->most, self->running);
}

START_TEST(jobs_at_a_time) {
    struct watch self = {0};
    spile_call *call = CALL_WITH(OPTIONS(.jobs = 2, .trace = count_running, .trace_user = &self), "true", "sleep 0.02",
                                 "true", "sleep 0.02", "true | sleep 0.02", "true");
    spile_result_free(run_well(call));
    ck_assert_int_eq(self.started, 7);
    ck_assert_int_eq(self.exited, 7);
    ck_assert_int_le(self.most, 3); /* a group counts as one */
    ck_assert_int_ge(self.most, 2);
    self = (struct watch){0};
    call = CALL_WITH(OPTIONS(.jobs = 1, .trace = count_running, .trace_user = &self), "true", "true", "true");
    spile_result_free(run_well(call));
    ck_assert_int_eq(self.most, 1);
}
END_TEST

/* ------------------------------------------------------------------------------------------------ events */

static void note_event(void *user, const spile_event *event) {
    static const char *const names[] = {
        [SPILE_EVENT_INPUT_READY] = "input",   [SPILE_EVENT_STARTED] = "started",     [SPILE_EVENT_EXITED] = "exited",
        [SPILE_EVENT_OUTPUT_READY] = "output", [SPILE_EVENT_DELIVERED] = "delivered", [SPILE_EVENT_KILLED] = "killed",
        [SPILE_EVENT_NOTICE] = "notice",       [SPILE_EVENT_ENDED] = "ended",
    };
    ck_assert_uint_eq(event->size, sizeof(*event));
    if (event->kind != SPILE_EVENT_NOTICE)
        text_printf(user, "%s%s%s %d;", names[event->kind], event->name ? " " : "", event->name ? event->name : "",
                    event->program);
}

START_TEST(events) {
    AUTO_TEXT text = {0};
    spile_call *call = CALL_WITH(OPTIONS(.trace = note_event, .trace_user = &text), "cat {<in} >{mid}",
                                 "cat {<mid} >{out}");
    give(call, "in", "x");
    ck_assert_int_eq(spile_call_output_path(call, "out", in_scratch("out"), 0), 0);
    spile_result_free(run_well(call));
    ck_assert_str_eq(text.data, "input in -1;started 0;exited 0;output mid 0;started 1;exited 1;output out 1;"
                                "delivered out 1;ended -1;");
}
END_TEST

int main(int argc, char **argv) {
    Suite *suite = suite_create("call running");
    TCase *tests = tcase_create("call running");
    support_begin(argc, argv);
    tcase_set_timeout(tests, 20);
    tcase_add_test(tests, assemble_link_run);
    tcase_add_test(tests, values);
    tcase_add_test(tests, names_that_look_like_options);
    tcase_add_test(tests, bars);
    tcase_add_test(tests, writer_that_dies_of_sigpipe);
    tcase_add_test(tests, both_streams_at_once);
    tcase_add_test(tests, inherited_null_and_merged);
    tcase_add_test(tests, output_limit);
    tcase_add_test(tests, cpu_limit);
    tcase_add_test(tests, file_limit);
    tcase_add_test(tests, environment);
    tcase_add_test(tests, working_directory);
    tcase_add_test(tests, directory_that_is_gone);
    tcase_add_test(tests, programs_that_are_not_there);
    tcase_add_test(tests, accepted_statuses);
    tcase_add_test(tests, keep_going);
    tcase_add_test(tests, jobs_at_a_time);
    tcase_add_test(tests, events);
    suite_add_tcase(suite, tests);
    return support_run(suite);
}
