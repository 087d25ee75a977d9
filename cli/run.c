/* `spile run`: the stages one after the other, and what is said at the end. See run.h. */
#include "run.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

int run_refuse(struct run *run, spile_error_kind kind, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    run->message = allocate_format_of(format, arguments);
    va_end(arguments);
    run->kind = kind;
    run->error_number = 0;
    run->error_program = -1;
    return run->exit_status = EXIT_OWN_ERROR;
}

int run_refuse_error(struct run *run, spile_error *error, const char *place, int result) {
    if (!error)
        return run_refuse(run, SPILE_ERROR_SYSTEM, "%s", strerror(-result));
    const int program = spile_error_get_program(error), number = spile_error_get_errno(error);
    run_refuse(run, spile_error_get_kind(error), "%s%s", place ? place : program_place(run, program),
               spile_error_get_message(error));
    run->error_program = program;
    run->error_number = number;
    spile_error_free(error);
    return run->exit_status;
}

/* Whether something will be started: then a cell is made ready while the words are read. */
static bool words_start_programs(int argc, char **argv) {
    static const char *const others[] = {"-n", "--dry-run", "--dot", "-h", "--help"};
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        for (size_t j = 0; j < sizeof(others) / sizeof(*others); j++)
            if (strcmp(argv[i], others[j]) == 0)
                return false;
    return argc > 1;
}

/* Before the templates are looked at, and once more when it is known where outputs go. */
static int check_options(struct run *run) {
    if (run->operands.count == 0)
        return run_refuse(run, SPILE_ERROR_USAGE, "there is no program to run: see spile run --help");
    if (run->trace && run->report_wanted && run->report_fd == 2)
        return run_refuse(run, SPILE_ERROR_USAGE,
                          "--trace and --json both go to standard error: give the report a file, --json=FILE");
    if (run->report_wanted && run->report_fd == 1 && output_takes_standard_output(run))
        return run_refuse(run, SPILE_ERROR_USAGE,
                          "the report and an output both go to standard output: give one of them a file");
    return 0;
}

/* What ran and failed is told by its error; hints follow, a line each. */
static void tell(const struct run *run) {
    if (run->quiet || !run->message)
        return;
    complain("%s", run->message);
    for (size_t i = 0; i < run->hints.count; i++)
        complain("%s", run->hints.items[i]);
}

static int finish(struct run *run) {
    if (run->message)
        hints_find(run);
    const bool tells_by_report = run->report_wanted && run->report_fd == 2;
    if (!tells_by_report)
        tell(run);
    return run->report_wanted ? report_write(run) : run->exit_status;
}

static int perform(struct run *run) {
    int status = check_options(run);
    if (status == 0)
        status = templates_plan(run);
    if (status == 0)
        status = bindings_resolve(run);
    if (status == 0)
        status = check_options(run);
    if (status == 0)
        status = targets_check(run);
    if (status == 0 && (run->dry_run || run->dot))
        return graph_write(run);
    return status == 0 ? call_run(run) : status;
}

/* The helpers of a cell, which it starts aside, fall to the command: it collects them itself before it ends, for not
 * every system's first process does so at once, and nothing is to be left. */
static void prepare(struct run *run) {
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
    if (spile_ctx_new(NULL, &run->ctx) >= 0)
        (void)spile_ctx_prepare(run->ctx, 1); /* a failure comes back at the call, with its reason */
}

void children_collect(void) {
    static const struct timespec patience = {.tv_sec = 1};
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    sigprocmask(SIG_BLOCK, &child, NULL);
    for (;;) {
        pid_t collected = waitpid(-1, NULL, __WALL | WNOHANG);
        if (collected < 0 || (collected == 0 && sigtimedwait(&child, NULL, &patience) < 0 && errno == EAGAIN))
            return;
    }
}

int command_run(int argc, char **argv) {
    struct run run = {.report_fd = 2, .error_program = -1, .out_fd = 1};
    if (words_start_programs(argc, argv))
        prepare(&run);
    const char *fault = run_options_parse(&run, argv + 1, (size_t)argc - 1);
    if (run.help && !fault)
        return out_write(run_help, strlen(run_help));
    int status = report_open(&run);
    if (status == 0 && fault)
        status = run_refuse(&run, SPILE_ERROR_USAGE, "%s", fault);
    if (status == 0)
        perform(&run);
    status = finish(&run);
    spile_result_free(run.result);
    spile_plan_unref(run.plan);
    run.ctx = spile_ctx_free(run.ctx);
    children_collect();
    return status;
}
