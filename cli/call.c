/* The call itself: what goes in, what comes out, the signals that end it. */
#include "run.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ----------------------------------------------------------------------------------------------------- signals */

static const int ending_signals[] = {SIGINT, SIGTERM, SIGHUP};
enum { ENDING_SIGNAL_COUNT = sizeof(ending_signals) / sizeof(*ending_signals) };

static volatile sig_atomic_t signal_seen;
static spile_call *_Atomic signal_call;

static void on_signal(int number) {
    const int saved = errno;
    if (!signal_seen)
        signal_seen = number;
    spile_call *call = signal_call;
    if (call)
        spile_call_cancel(call);
    errno = saved;
}

/* Until the call is there, a signal does what it always does: nothing is left behind by then. One that was ignored
 * (nohup) stays so. */
static void signals_catch(spile_call *call, struct sigaction *old) {
    signal_call = call;
    for (size_t i = 0; i < ENDING_SIGNAL_COUNT; i++) {
        const struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
        if (sigaction(ending_signals[i], NULL, &old[i]) == 0 && old[i].sa_handler != SIG_IGN)
            sigaction(ending_signals[i], &action, NULL);
    }
}

/* Where one has ended the call, another that comes just now must not keep us from saying so. */
static void signals_release(const struct sigaction *old) {
    signal_call = NULL;
    for (size_t i = 0; i < ENDING_SIGNAL_COUNT && !signal_seen; i++)
        if (old[i].sa_handler != SIG_IGN)
            sigaction(ending_signals[i], &old[i], NULL);
}

/* ------------------------------------------------------------------------------------------------------ values */

static int give_value(struct run *run, spile_call *call, const char *name, bool is_list) {
    LIST_OF(const char *) texts = {0};
    size_t said = 0;
    for (size_t i = 0; i < run->values.count; i++) {
        if (strcmp(run->values.items[i].name, name) != 0)
            continue;
        said++;
        if (run->values.items[i].text)
            *LIST_ADD(texts) = run->values.items[i].text;
        else if (!is_list)
            return run_refuse(run, SPILE_ERROR_USAGE, "'%s' is one value, not a list: write -v %s=TEXT", name, name);
    }
    if (said == 0)
        return run_refuse(run, SPILE_ERROR_MISSING, "the value '%s' is not given: write -v %s=TEXT", name, name);
    if (!is_list && said > 1)
        return run_refuse(run, SPILE_ERROR_USAGE,
                          "the value '%s' is given twice, and it is no list: for a list write {%s...}", name, name);
    int result = is_list ? spile_call_values(call, name, texts.items, texts.count)
                         : spile_call_value(call, name, texts.items[0]);
    return result < 0 ? run_refuse(run, SPILE_ERROR_SYSTEM, "the value '%s': %s", name, strerror(-result)) : 0;
}

static int refuse_unknown_value(struct run *run, const char *name) {
    struct nearest nearest = {.word = name};
    const char *value;
    for (size_t i = 0; (value = spile_plan_value(run->plan, i, NULL)); i++) {
        if (strcmp(value, name) == 0)
            return 0;
        nearest_offer(&nearest, value);
    }
    if (plan_find_file(run->plan, name, NULL) >= 0)
        return run_refuse(run, SPILE_ERROR_USAGE, "'%s' is a file, not a value: write %s=PATH without -v", name, name);
    if (nearest.best)
        return run_refuse(run, SPILE_ERROR_USAGE, "no template has a value '%s': did you mean '%s'?", name,
                          nearest.best);
    return run_refuse(run, SPILE_ERROR_USAGE, "no template has a value '%s': mark it {%s} where it belongs", name,
                      name);
}

static int give_values(struct run *run, spile_call *call) {
    const char *name;
    bool is_list;
    int status = 0;
    for (size_t i = 0; i < run->values.count && status == 0; i++)
        status = refuse_unknown_value(run, run->values.items[i].name);
    for (size_t i = 0; status == 0 && (name = spile_plan_value(run->plan, i, &is_list)); i++)
        status = give_value(run, call, name, is_list);
    return status;
}

/* ------------------------------------------------------------------------------------------------------- files */

static const char *refusal(int result) {
    switch (-result) {
    case EINVAL:
        return "a file's name stays inside its directory: no '..', no leading slash";
    case EEXIST:
        return "it is given twice";
    case EPERM:
        return "a program makes that file";
    default:
        return strerror(-result);
    }
}

static int give_inputs(struct run *run, spile_call *call) {
    for (size_t i = 0; i < run->inputs.count; i++) {
        const struct tie *input = &run->inputs.items[i];
        int result = input->path ? spile_call_input_path(call, input->name, input->path)
                                 : spile_call_input_fd(call, input->name, input->fd);
        if (result < 0)
            return run_refuse(run, SPILE_ERROR_USAGE, "input '%s': %s", input->name, refusal(result));
    }
    return 0;
}

static int ask_outputs(struct run *run, spile_call *call) {
    const unsigned flags = run->force ? SPILE_OUTPUT_FORCE : 0;
    for (size_t i = 0; i < run->outputs.count; i++) {
        const struct tie *output = &run->outputs.items[i];
        int fd = output->fd == 1 ? run->out_fd : output->fd;
        int result = output->path ? spile_call_output_path(call, output->name, output->path, flags)
                                  : spile_call_output_fd(call, output->name, fd);
        if (result < 0)
            return run_refuse(run, SPILE_ERROR_USAGE, "output '%s': %s", output->name, refusal(result));
    }
    return 0;
}

/* Where an output or the report goes to standard output it goes there alone: what programs print goes to standard
 * error. */
static int part_standard_output(struct run *run) {
    run->out_fd = 1;
    if (!(run->report_wanted && run->report_fd == 1) && !output_takes_standard_output(run))
        return 0;
    int fd = fcntl(1, F_DUPFD_CLOEXEC, 3);
    if (fd < 0 || dup2(2, 1) < 0)
        return run_refuse(run, SPILE_ERROR_SYSTEM, "standard output can't be duplicated: %s", strerror(errno));
    run->out_fd = fd;
    if (run->report_fd == 1)
        run->report_fd = fd;
    return 0;
}

/* ----------------------------------------------------------------------------------------------------- options */

/* The environment as the library takes it: "NAME=value" sets, "NAME" removes. */
static const char *const *environment_of(const struct run *run) {
    LIST_OF(const char *) list = {0};
    for (size_t i = 0; i < run->environment.count; i++) {
        const char *word = run->environment.items[i], *value;
        if (word[0] == '-') {
            if (!run->environment_is_empty)
                *LIST_ADD(list) = word + 1;
        } else if (strchr(word, '=')) {
            *LIST_ADD(list) = word;
        } else if (run->environment_is_empty && (value = getenv(word))) {
            *LIST_ADD(list) = allocate_format("%s=%s", word, value);
        }
    }
    *LIST_ADD(list) = NULL;
    return list.items;
}

static int make_call(struct run *run, spile_call **ret_call) {
    char *cwd = NULL;
    if (run->cwd && !(cwd = realpath(run->cwd, NULL)))
        return run_refuse(run, SPILE_ERROR_USAGE, "--cwd: '%s': %s", run->cwd, strerror(errno));
    const bool keeps_standard_error = run->report_wanted && run->report_fd == 2;
    spile_call_options options = {
        .size = sizeof(options),
        .limits = run->limits,
        .jobs = run->jobs,
        .keep_going = run->keep_going,
        .keep_terminal = true,
        .env = environment_of(run),
        .env_mode = run->environment_is_empty ? SPILE_ENV_REPLACE : SPILE_ENV_ADD,
        .cwd = cwd,
        .require = run->require,
        .private_path = run->private_path,
        .standard_output = SPILE_STDIO_INHERIT,
        .standard_error = keeps_standard_error ? SPILE_STDIO_DEFAULT : SPILE_STDIO_INHERIT,
        .trace = run->trace || run->report_wanted ? trace_event : NULL,
        .trace_user = run,
    };
    int result = spile_call_new(run->plan, run->ctx, &options, ret_call);
    free(cwd);
    return result < 0 ? run_refuse(run, SPILE_ERROR_SYSTEM, "the call can't be made: %s", strerror(-result)) : 0;
}

/* ------------------------------------------------------------------------------------------------------ outcome */

/* Whether the program's standard output was the command's own. */
static bool program_prints(const struct run *run, size_t program) {
    spile_program_info info = {.size = sizeof(info)};
    spile_use_info use = {.size = sizeof(use)};
    if (spile_plan_program(run->plan, program, &info) < 0 || info.is_piped)
        return false;
    for (size_t i = 0; spile_plan_use(run->plan, i, &use) >= 0; i++)
        if (use.program == program && use.stdio_fd == 1)
            return false;
    return true;
}

/* A reader of our standard output that left (`spile run ... | head`) is no news. */
static bool reader_left(const struct run *run, const spile_error *error) {
    spile_program_result program = {.size = sizeof(program)};
    int index = spile_error_get_program(error);
    if (spile_error_get_kind(error) == SPILE_ERROR_OUTPUT)
        return spile_error_get_errno(error) == EPIPE && output_takes_standard_output(run);
    return spile_error_get_kind(error) == SPILE_ERROR_PROGRAM && index >= 0 &&
           spile_result_program(run->result, (size_t)index, &program) >= 0 && program.signal == SIGPIPE &&
           program_prints(run, (size_t)index);
}

static int note_outcome(struct run *run, int result) {
    const spile_error *error = run->result ? spile_result_error(run->result) : NULL;
    if (!run->result)
        return run_refuse(run, SPILE_ERROR_SYSTEM, "the call can't be run: %s", strerror(-result));
    run->exit_status = spile_result_exit_status(run->result);
    if (!error)
        return run->exit_status;
    run->kind = spile_error_get_kind(error);
    run->limit = spile_error_get_limit(error);
    run->message = spile_error_get_message(error);
    run->error_number = spile_error_get_errno(error);
    run->error_program = spile_error_get_program(error);
    if (signal_seen) {
        run->kind = SPILE_ERROR_CANCELLED;
        run->limit = SPILE_LIMIT_NONE;
        run->message = allocate_format("ended by SIG%s: no output was written", sigabbrev_np(signal_seen));
        run->exit_status = EXIT_BY_SIGNAL + signal_seen;
    } else if (reader_left(run, error)) {
        run->quiet = true;
        run->exit_status = EXIT_BY_SIGNAL + SIGPIPE;
    } else {
        const char *place = program_place(run, run->error_program);
        if (*place)
            run->message = allocate_format("%s%s", place, run->message);
    }
    return run->exit_status;
}

int call_run(struct run *run) {
    spile_call *call = NULL;
    struct sigaction old[ENDING_SIGNAL_COUNT];
    int status = part_standard_output(run);
    if (status == 0)
        status = make_call(run, &call);
    if (status == 0)
        status = give_values(run, call);
    if (status == 0)
        status = give_inputs(run, call);
    if (status == 0)
        status = ask_outputs(run, call);
    if (status == 0) {
        signals_catch(call, old);
        int result = spile_call_run(call, &run->result);
        signals_release(old);
        status = note_outcome(run, result);
    }
    spile_call_free(call);
    return status;
}
