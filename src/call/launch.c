/* The programs of a running call: how one is started, and what its end means. */
#include "call/flow.h"

enum { TAIL_BYTES = 64 << 10, TAIL_LINES = 12, EXEC_TRIES = 8 };

static bool is_running(enum program_state state) {
    return state == PROGRAM_STARTING || state == PROGRAM_RUNNING || state == PROGRAM_EXITED;
}

void run_set_program_state(struct run_program *program, enum program_state next) {
    static const unsigned allowed[] = {
        [PROGRAM_WAITING] = 1u << PROGRAM_STARTING | 1u << PROGRAM_SKIPPED | 1u << PROGRAM_FAILED,
        [PROGRAM_STARTING] = 1u << PROGRAM_RUNNING | 1u << PROGRAM_FAILED | 1u << PROGRAM_EXITED | 1u << PROGRAM_DONE,
        [PROGRAM_RUNNING] = 1u << PROGRAM_EXITED | 1u << PROGRAM_DONE | 1u << PROGRAM_FAILED,
        [PROGRAM_EXITED] = 1u << PROGRAM_DONE | 1u << PROGRAM_FAILED,
        [PROGRAM_DONE] = 0,
        [PROGRAM_FAILED] = 0,
        [PROGRAM_SKIPPED] = 0,
    };
    assert(allowed[program->state] & 1u << next);
    spile_call *call = program->call;
    size_t *count = &call->group_programs[call->plan->programs[program->index].group];
    bool was_running = is_running(program->state);
    program->state = next;
    if (!was_running && is_running(next))
        call->groups_running += (*count)++ == 0;
    else if (was_running && !is_running(next))
        call->groups_running -= --*count == 0;
}

static const struct plan_program *plan_of(const struct run_program *program) {
    return &program->call->plan->programs[program->index];
}

/* ------------------------------------------------------------------------------ verdicts */

static bool is_accepted(const struct run_program *program) {
    const spile_program *owner = plan_of(program)->program;
    if (!WIFEXITED(program->status))
        return false;
    int status = WEXITSTATUS(program->status);
    if (!owner->ok_status)
        return status == 0;
    for (size_t i = 0; i < owner->ok_status_count; i++)
        if (owner->ok_status[i] == status)
            return true;
    return false;
}

bool run_died_of(const struct run_program *program, int signal) {
    int status = program->status;
    return (WIFSIGNALED(status) && WTERMSIG(status) == signal) ||
           (WIFEXITED(status) && WEXITSTATUS(status) == 128 + signal);
}

/* The last lines of what it said on standard error, wherever that went, unless the user has seen them already. */
static void text_tail(struct text *text, const struct run_program *program) {
    const struct capture *capture = plan_of(program)->program->merge_stderr ? &program->output : &program->error;
    if (!capture->kept.data || capture->sink.writable)
        return;
    size_t start, end = capture->kept.size, lines = 0;
    while (end > 0 && strchr("\n ", capture->kept.data[end - 1]))
        end--;
    for (start = end; start > 0; start--)
        if (capture->kept.data[start - 1] == '\n' && ++lines == TAIL_LINES)
            break;
    while (start < end) {
        size_t size = strcspn(capture->kept.data + start, "\n");
        text_printf(text, "\n  %.*s", (int)MIN(size, end - start), capture->kept.data + start);
        start += size + 1;
    }
}

/* Whether `reader` takes what `writer` writes while both run: by a bar or a stream. */
static bool feeds(const struct run_program *writer, const struct run_program *reader) {
    const spile_program *from = plan_of(writer)->program;
    if (reader->index == writer->index + 1 && plan_of(writer)->is_piped)
        return true;
    for (size_t i = 0; i < from->file_count; i++) {
        const struct file *file = &from->files[i];
        const struct flow *flow = file->kind == SPILE_STREAM ? flow_find(writer->call, file->name) : NULL;
        if (flow && flow->producer == (int)writer->index && flow->readers[reader->index] >= 0)
            return true;
    }
    return false;
}

enum readers_fate { READERS_NONE, READERS_RUN, READERS_FAILED, READERS_ENDED_WELL };

static enum readers_fate fate_of_readers(const struct run_program *writer) {
    enum readers_fate fate = READERS_NONE;
    for (size_t i = 0; i < writer->call->program_count; i++) {
        const struct run_program *reader = &writer->call->programs[i];
        if (reader == writer || !feeds(writer, reader))
            continue;
        if (!reader->is_exited || reader->state == PROGRAM_EXITED)
            return READERS_RUN;
        if (reader->state != PROGRAM_DONE)
            fate = READERS_FAILED;
        else if (fate == READERS_NONE)
            fate = READERS_ENDED_WELL;
    }
    return fate;
}

/* What a program that died of SIGPIPE had still to write, for others than the readers that left: its name, or NULL. */
static const char *cut_short(const struct run_program *program) {
    const spile_program *owner = plan_of(program)->program;
    for (size_t i = 0; i < owner->file_count; i++) {
        const struct file *file = &owner->files[i];
        const struct plan_name *name = plan_find_name(program->call->plan, file->name);
        const struct flow *flow = file->kind == SPILE_STREAM ? flow_find(program->call, file->name) : NULL;
        bool is_left = file->kind == SPILE_STREAM && (!flow || !flow->stream || stream_is_refused(flow->stream));
        if (role_makes(file->role) && !is_left && (ssize_t)i != owner->tied[STDERR_FILENO] &&
            !(name && name->is_optional))
            return file->name;
    }
    return NULL;
}

/* A pipe can't be sought in, mapped, or taken for a regular file: programs say that in many words, if at all. */
static void text_stream_hint(struct text *text, const struct run_program *program) {
    const spile_program *owner = plan_of(program)->program;
    AUTO_TEXT names = {0}, marks = {0};
    size_t count = 0;
    for (size_t i = 0; i < owner->file_count; i++) {
        const struct file *file = &owner->files[i];
        if (file->kind != SPILE_STREAM)
            continue;
        text_printf(&names, "%s'%s'", count > 0 ? ", " : "", file->name);
        text_printf(&marks, "%s{%s%s}", count > 0 ? " or " : "", file->role == SPILE_READ ? "<" : ">", file->name);
        count++;
    }
    if (count > 0 && names.data && marks.data)
        text_printf(text, "; %s %s here: if it seeks in %s, maps it or wants a regular file, drop the bar: %s",
                    names.data, count == 1 ? "is a pipe" : "are pipes", count == 1 ? "it" : "one", marks.data);
}

static spile_error *program_error(const struct run_program *program) {
    AUTO_TEXT text = {0};
    spile_error_kind kind = SPILE_ERROR_PROGRAM;
    int signal = WIFSIGNALED(program->status) ? WTERMSIG(program->status) : 0;
    spile_limit limit = limit_verdict(program, &text);
    if (limit) {
        kind = SPILE_ERROR_LIMIT;
    } else if (signal) {
        const char *name = sigabbrev_np(signal);
        text_printf(&text, "%s was killed by signal %d%s%s%s", program->label, signal, name ? " (SIG" : "",
                    name ? name : "", name ? ")" : "");
    } else {
        text_printf(&text, "%s failed with exit status %d", program->label, WEXITSTATUS(program->status));
    }
    bool reader_ended = fate_of_readers(program) == READERS_ENDED_WELL;
    const char *short_name = reader_ended && run_died_of(program, SIGPIPE) ? cut_short(program) : NULL;
    if (short_name)
        text_printf(
            &text,
            "; what reads from it had ended well before, but '%s', which it writes too, is cut short: mark what "
            "both need as one stream with two readers, or let it go on writing (tee -p)",
            short_name);
    else if (reader_ended && !signal)
        text_puts(&text, "; what reads from it had ended well before: if that is why, accept its status");
    else if (kind == SPILE_ERROR_PROGRAM)
        text_stream_hint(&text, program);
    if (kind == SPILE_ERROR_PROGRAM)
        limit_hint(program, &text);
    text_tail(&text, program);
    spile_error *error = error_new(kind, "%s", text.data ? text.data : program->label);
    return error_of_limit(error_with(error, 0, (int)program->index, -1), limit);
}

static void fail_program(struct run_program *program, spile_error *error) {
    spile_call *call = program->call;
    spile_error *unused = NULL;
    run_set_program_state(program, PROGRAM_FAILED);
    if (program->has_directory)
        (void)collect_program(call, program->index, false, &unused);
    spile_error_free(unused);
    if (!call->options.keep_going || call->state != CALL_RUNNING)
        run_fail(call, error);
    else if (call->error)
        spile_error_free(error);
    else
        call->error = error;
}

static void accept_program(struct run_program *program) {
    spile_error *error = NULL;
    bool had_enough = !is_accepted(program); /* it died of SIGPIPE: what it never came to open is not missing */
    if ((had_enough || flow_check(program->call, program->index, &error) >= 0) &&
        collect_program(program->call, program->index, true, &error) >= 0)
        run_set_program_state(program, PROGRAM_DONE);
    else
        fail_program(program, error);
}

static void judge(struct run_program *program) {
    spile_call *call = program->call;
    enum readers_fate fate = run_died_of(program, SIGPIPE) ? fate_of_readers(program) : READERS_NONE;
    if (is_accepted(program) && call->state == CALL_RUNNING && !limit_left_short(program)) {
        accept_program(program);
    } else if (fate == READERS_RUN && call->state == CALL_RUNNING) {
        if (program->state != PROGRAM_EXITED)
            run_set_program_state(program, PROGRAM_EXITED);
        return; /* its readers decide: those that ended well have had enough */
    } else if (fate == READERS_ENDED_WELL && !cut_short(program)) {
        accept_program(program);
    } else {
        fail_program(program, program_error(program));
    }
    for (size_t i = 0; i < call->program_count; i++)
        if (call->programs[i].state == PROGRAM_EXITED && feeds(&call->programs[i], program))
            judge(&call->programs[i]);
}

/* ------------------------------------------------------------------------------ programs */

static void on_started(struct proc *proc, int64_t pid) {
    struct run_program *program = CONTAINER_OF(proc, struct run_program, proc);
    if (program->state == PROGRAM_STARTING)
        run_set_program_state(program, PROGRAM_RUNNING);
    run_trace(program->call, (spile_event){.kind = SPILE_EVENT_STARTED, .program = (int)program->index, .pid = pid});
}

static void on_exited(struct proc *proc, int status, const struct proc_usage *usage, bool alone) {
    struct run_program *program = CONTAINER_OF(proc, struct run_program, proc);
    spile_call *call = program->call;
    (void)alone;
    program->is_exited = true;
    program->status = status;
    program->usage = *usage;
    program->end_ns = time_now_ns() - call->begin_ns;
    call->running_count--;
    capture_finish(&program->output);
    capture_finish(&program->error);
    run_trace(call, (spile_event){.kind = SPILE_EVENT_EXITED, .program = (int)program->index, .status = status});
    if (call->flows)
        watch_drain(call->loop);
    judge(program);
    flow_exited(call, program->index);
    run_advance(call);
}

static int spawn(struct run_program *program);

static void retry_spawn(struct loop_timer *timer) {
    struct run_program *program = CONTAINER_OF(timer, struct run_program, retry);
    spile_call *call = program->call;
    int result = call->state == CALL_RUNNING ? spawn(program) : -ECANCELED;
    if (result >= 0)
        return;
    call->running_count--;
    fail_program(program, run_system_error(result, "starting", program->label));
    run_advance(call);
}

static bool is_alone_in_group(const struct run_program *program) {
    size_t count = 0;
    for (size_t i = 0; i < program->call->program_count; i++)
        count += program->call->plan->programs[i].group == plan_of(program)->group;
    return count == 1;
}

static bool runs_alone(const struct run_program *program) {
    return program->call->running_count == 1 && is_alone_in_group(program) && !run_has_ready_group(program->call);
}

/* `was_found`: the file is there and executable, as a search has shown. */
static const char *exec_hint(int error_number, bool was_found, spile_error_kind *ret_kind) {
    *ret_kind = error_number == ENOENT && !was_found ? SPILE_ERROR_NOT_FOUND : SPILE_ERROR_NOT_EXECUTABLE;
    if (error_number == ENOENT && was_found)
        return "; it exists, so its interpreter (the #! line) or loader must be what is missing";
    if (error_number == ENOEXEC)
        return "; a script needs a #! line";
    if (error_number == EACCES && !was_found)
        return "; the file must be executable: give it with its mode, or let the program that writes it set it";
    return "";
}

static void on_failed(struct proc *proc, enum proc_stage stage, int error_number) {
    struct run_program *program = CONTAINER_OF(proc, struct run_program, proc);
    spile_call *call = program->call;
    /* A host that forks at the wrong moment keeps the file open for writing for an instant. */
    if (error_number == ETXTBSY && program->exec_tries++ < EXEC_TRIES && call->state == CALL_RUNNING &&
        is_alone_in_group(program)) {
        loop_timer_set(call->loop, &program->retry, time_now_ns() + (NS_PER_MS << program->exec_tries), retry_spawn);
        return;
    }
    call->running_count--;
    capture_finish(&program->output);
    capture_finish(&program->error);
    spile_error_kind kind = SPILE_ERROR_SYSTEM;
    const char *hint = "";
    if (stage == PROC_STAGE_EXEC)
        hint = exec_hint(error_number, program->path != NULL, &kind);
    fail_program(program, error_with(error_new(kind, "%s can't be started: could not %s: %s%s", program->label,
                                               proc_stage_name(stage), strerror(error_number), hint),
                                     error_number, (int)program->index, -1));
    run_advance(call);
}

static int open_tied(struct run_program *program, int stdio_fd) {
    const spile_program *owner = plan_of(program)->program;
    const struct file *file = &owner->files[owner->tied[stdio_fd]];
    char path[PATH_MAX];
    store_program_path(program->index, file->name, path);
    if (file->kind == SPILE_STREAM)
        return flow_open_tied(program->call, path, file->role != SPILE_READ);
    int flags = file->role == SPILE_READ     ? O_RDONLY
                : file->role == SPILE_APPEND ? O_WRONLY | O_CREAT | O_APPEND
                : file->role == SPILE_WRITE  ? O_WRONLY | O_CREAT | O_TRUNC
                                             : O_RDWR;
    return sys_openat(cell_root_fd(program->call->cell), path, flags, 0666);
}

static int open_stdin(struct run_program *program) {
    spile_call *call = program->call;
    for (size_t i = 0; i < call->item_count; i++) {
        char path[PATH_MAX];
        const struct item *item = call->items[i];
        if (!item->is_stdin || item->producer != STDIN_PRODUCER(program->index))
            continue;
        store_path(item, path);
        return sys_openat(cell_root_fd(call->cell), path, O_RDONLY, 0);
    }
    return -1;
}

static spile_stdio stdio_of(const struct run_program *program, int stdio_fd) {
    const spile_program *owner = plan_of(program)->program;
    const spile_call_options *options = &program->call->options;
    spile_stdio own = stdio_fd == 1 ? owner->standard_output : owner->standard_error;
    spile_stdio all = stdio_fd == 1 ? options->standard_output : options->standard_error;
    return own != SPILE_STDIO_DEFAULT ? own : all;
}

/* What the program's descriptors 0, 1 and 2 are; each is the caller's to close but where it is the host's own. */
struct stdio {
    int in, out, error;
    bool out_is_host, error_is_out;
};

static void stdio_done(struct stdio *stdio) {
    fd_close(stdio->in);
    if (!stdio->out_is_host)
        fd_close(stdio->out);
    if (!stdio->error_is_out)
        fd_close(stdio->error);
}

static size_t capture_limit(const struct run_program *program) {
    uint64_t limit = program->call->options.limits.output_bytes;
    return limit ? limit : SIZE_MAX / 4;
}

static int open_input(struct run_program *program, struct stdio *stdio) {
    if (plan_of(program)->program->tied[0] >= 0)
        stdio->in = open_tied(program, 0);
    else if (stdio->in < 0)
        stdio->in = open_stdin(program);
    return stdio->in < -1 ? TAKE_FD(stdio->in) : 0; /* -1 is none, an errno is less */
}

static int open_output(struct run_program *program, struct stdio *stdio) {
    spile_stdio output = stdio_of(program, 1);
    int result = 0;
    if (plan_of(program)->program->tied[1] >= 0) {
        result = stdio->out = open_tied(program, 1);
    } else if (stdio->out < 0 && output == SPILE_STDIO_INHERIT) {
        stdio->out_is_host = true;
        stdio->out = fcntl(STDOUT_FILENO, F_GETFD) < 0 ? -1 : STDOUT_FILENO;
    } else if (stdio->out < 0 && output != SPILE_STDIO_NULL) {
        result = capture_open(&program->output, program, false, capture_limit(program), -1, &stdio->out);
    }
    return result < 0 ? stdio->out = -1, result : 0;
}

static int open_error(struct run_program *program, struct stdio *stdio) {
    const spile_program *owner = plan_of(program)->program;
    if (owner->merge_stderr || (owner->tied[2] >= 0 && owner->tied[2] == owner->tied[1])) {
        stdio->error_is_out = true;
        stdio->error = stdio->out;
        return 0;
    }
    int result;
    if (owner->tied[2] >= 0) {
        result = stdio->error = open_tied(program, 2);
    } else {
        spile_stdio error = stdio_of(program, 2);
        bool keeps_all = error == SPILE_STDIO_CAPTURE;
        result = capture_open(&program->error, program, !keeps_all, keeps_all ? capture_limit(program) : TAIL_BYTES,
                              error == SPILE_STDIO_INHERIT ? STDERR_FILENO : -1, &stdio->error);
    }
    return result < 0 ? stdio->error = -1, result : 0;
}

static int open_stdio(struct run_program *program, struct stdio *stdio) {
    int result = open_input(program, stdio);
    if (result >= 0)
        result = open_output(program, stdio);
    return result < 0 ? result : open_error(program, stdio);
}

static unsigned flags_of(const struct run_program *program) {
    const spile_call_options *options = &program->call->options;
    return (options->keep_terminal ? 0 : PROC_NEW_SESSION) | (options->trace ? 0 : PROC_TELL_LATE) |
           (program->output.fd >= 0 ? PROC_HOLD_OUTPUT : 0) | (program->error.fd >= 0 ? PROC_HOLD_ERROR : 0) |
           (runs_alone(program) ? PROC_NEAR : 0);
}

/* Asks the cell to start a program that has been prepared; on a retry the standard streams are made anew. */
static int spawn_with(struct run_program *program, struct stdio *stdio) {
    spile_call *call = program->call;
    char **env = NULL;
    bool is_private;
    int result = open_stdio(program, stdio);
    if (result >= 0 && call->state != CALL_RUNNING)
        result = -ECANCELED; /* a stream failed at once */
    if (result >= 0)
        result = command_environment(call, program->index, &env);
    AUTO_FREE char *directory = result < 0 ? NULL : command_directory(call, program->index, &is_private);
    if (result >= 0 && !directory)
        result = -ENOMEM;
    if (result >= 0) {
        struct proc_spec spec = {.path = program->path ? program->path : program->argv[0],
                                 .argv = program->argv,
                                 .envp = env,
                                 .cwd = directory,
                                 .stdio = {stdio->in, stdio->out, stdio->error},
                                 .flags = flags_of(program),
                                 .limits = limit_of_programs(call, stdio->out_is_host ? stdio->out : -1),
                                 .place = is_private ? call->private_path : NULL};
        program->proc = (struct proc){.started = on_started, .failed = on_failed, .exited = on_exited};
        result = cell_spawn(call->cell, &spec, &program->proc);
    }
    string_list_free(env);
    return result;
}

static int spawn(struct run_program *program) {
    CLEANUP(stdio_done) struct stdio stdio = {.in = -1, .out = -1, .error = -1};
    capture_done(&program->output);
    capture_done(&program->error);
    return spawn_with(program, &stdio);
}

/* A name that only another's output pattern could have made is known to be there, or not, only now. */
static spile_error *check_patterns_gave(const struct run_program *program) {
    const spile_call *call = program->call;
    const spile_program *owner = plan_of(program)->program;
    for (size_t i = 0; i < owner->file_count; i++) {
        const struct file *file = &owner->files[i];
        if (!role_reads(file->role) || file->is_pattern || file->is_tree || file->kind == SPILE_STREAM)
            continue;
        int source = plan_source(call->plan, program->index, file->name);
        if (source == PLAN_GIVEN || store_find(call, file->name, source))
            continue;
        return error_with(error_new(SPILE_ERROR_OUTPUT_MISSING, "%s ended well without writing '%s', which %s reads",
                                    call->programs[source].label, file->name, program->label),
                          ENOENT, source, file->offset);
    }
    return NULL;
}

static void start_program(struct run_program *program, int in, int out) {
    spile_call *call = program->call;
    CLEANUP(stdio_done) struct stdio stdio = {.in = in, .out = out, .error = -1};
    spile_error *error = check_patterns_gave(program);
    int result = error ? -ENOENT : store_furnish(call, program->index, &error);
    if (result >= 0)
        result = command_make(call, program->index, &program->argv, &error);
    if (result >= 0) {
        /* From here on it counts as running: streams are at work while it starts, and may fail the call. */
        run_set_program_state(program, PROGRAM_STARTING);
        call->running_count++;
        result = spawn_with(program, &stdio);
        if (result >= 0) {
            program->start_ns = MAX(time_now_ns() - call->begin_ns, UINT64_C(1));
            if (call->state != CALL_RUNNING)
                cell_signal_all(call->cell, SIGTERM); /* it came too late for the first one */
            return;
        }
        call->running_count--;
    }
    if (program->state == PROGRAM_WAITING)
        run_set_program_state(program, PROGRAM_FAILED);
    run_fail(call, error ? error : run_system_error(result, "starting", program->label));
}

void run_start_group(spile_call *call, size_t group) {
    AUTO_FD next_in = -1;
    spile_error *error = NULL;
    if (flow_begin(call, group, &error) < 0) {
        run_fail(call, error);
        return;
    }
    for (size_t i = 0; i < call->program_count && call->state == CALL_RUNNING; i++) {
        struct run_program *program = &call->programs[i];
        if (call->plan->programs[i].group != group)
            continue;
        int fds[2] = {-1, -1};
        int result = call->plan->programs[i].is_piped ? flow_join(call, i, &fds[0], &fds[1]) : 0;
        if (result < 0) {
            run_fail(call, run_system_error(result, "making the pipe behind", program->label));
            return;
        }
        start_program(program, TAKE_FD(next_in), fds[1]);
        next_in = fds[0];
    }
    if (call->state == CALL_RUNNING)
        flow_prepare(call);
}
