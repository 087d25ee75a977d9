/* The states of a running call, and who starts when: the scheduler.
 *
 *   NEW -> LEASING -> RUNNING -> DELIVERING -> RELEASING -> ENDED
 *              \________\___________\--> STOPPING --^
 *
 * Programs of one group start together, once the programs they wait for have ended well and their own inputs are there.
 * Nothing ends inside a callback of something else: the last steps are taken from a deferral of the call's own.
 */
#include "call/flow.h"

#include <sched.h>

static const uint64_t default_grace_ns = NS_PER_SECOND;

static void set_state(spile_call *call, enum call_state next) {
    static const unsigned allowed[] = {
        [CALL_NEW] = 1u << CALL_LEASING | 1u << CALL_STOPPING,
        [CALL_LEASING] = 1u << CALL_RUNNING | 1u << CALL_STOPPING,
        [CALL_RUNNING] = 1u << CALL_DELIVERING | 1u << CALL_STOPPING | 1u << CALL_RELEASING,
        [CALL_STOPPING] = 1u << CALL_RELEASING,
        [CALL_DELIVERING] = 1u << CALL_STOPPING | 1u << CALL_RELEASING,
        [CALL_RELEASING] = 1u << CALL_ENDED,
        [CALL_ENDED] = 0,
    };
    static_assert(ARRAY_SIZE(allowed) == CALL_ENDED + 1, "a state is missing");
    assert(allowed[call->state] & 1u << next);
    call->state = next;
}

void run_trace(spile_call *call, spile_event event) {
    if (!call->options.trace)
        return;
    event.size = sizeof(event);
    event.time_ns = time_now_ns() - call->begin_ns;
    call->options.trace(call->options.trace_user, &event);
}

spile_error *run_system_error(int result, const char *what, const char *name) {
    const char *quote = *name == '\'' ? "" : "'"; /* a label has its own */
    if (result == -ENOSPC)
        return error_of_limit(
            error_with(error_new(SPILE_ERROR_LIMIT, "%s %s%s%s: the files of the call reached its memory limit", what,
                                 quote, name, quote),
                       ENOSPC, -1, -1),
            SPILE_LIMIT_FILES);
    const char *cure = result == -EMFILE ? ": raise the limit of open files (ulimit -n)" : "";
    return error_with(
        error_new(SPILE_ERROR_SYSTEM, "%s %s%s%s failed: %s%s", what, quote, name, quote, strerror(-result), cure),
        -result, -1, -1);
}

/* ------------------------------------------------------------------------------ ending */

static void end_timer(struct loop_timer *timer);

static void defer_end(spile_call *call) {
    loop_defer(call->loop, &call->end, end_timer);
}

static void finish(spile_call *call) {
    const spile_error *error = spile_result_error(call->result);
    /* Before the state: while this callback runs, the call can't be freed. */
    run_trace(call,
              (spile_event){.kind = SPILE_EVENT_ENDED, .program = -1, .text = error ? error->message : "success"});
    set_state(call, CALL_ENDED);
    loop_timer_clear(&call->deadline);
    loop_timer_clear(&call->grace);
    loop_timer_clear(&call->end);
    loop_leave(&call->user);
    /* A thread that cancels may be about to wake this loop, which its owner frees once we return. */
    call->wake_loop = NULL;
    while (call->wakers > 0)
        sched_yield();
    /* The callback may free the call. */
    call->done_fn(call->done_user, call, TAKE_POINTER(call->result));
}

static void on_released(struct cell_owner *owner) {
    spile_call *call = CONTAINER_OF(owner, spile_call, owner);
    call->cell = NULL;
    defer_end(call);
}

static void release(spile_call *call) {
    flow_stop(call);
    for (size_t i = 0; i < call->item_count; i++) {
        struct item *item = call->items[i];
        /* Of a call that failed, what there is can be looked at; if that fails too, it is not there. */
        if (call->error && item->is_output)
            (void)deliver_to_memory(item);
        source_stop(item);
    }
    deliver_done(call);
    for (size_t i = 0; i < call->program_count; i++)
        loop_timer_clear(&call->programs[i].retry);
    loop_timer_clear(&call->grace); /* it may be due in this very step, when there is no cell any more */
    set_state(call, CALL_RELEASING);
    result_fill(call);
    if (!call->cell || cell_release(call->cell) == 1) {
        call->cell = NULL;
        defer_end(call);
    }
}

static bool has_last_words(const spile_call *call) {
    for (size_t i = 0; i < call->program_count; i++)
        if (call->programs[i].output.unsent_size > 0 || call->programs[i].error.unsent_size > 0)
            return true;
    return false;
}

static spile_error *check_requests(const spile_call *call) {
    for (size_t i = 0; i < call->request_count; i++) {
        const struct request *request = &call->requests[i];
        const struct plan_name *name = plan_find_name(call->plan, request->name);
        bool is_met = name_is_pattern(request->name) || name_is_tree(request->name) || (name && name->is_optional);
        for (size_t j = 0; j < call->item_count && !is_met; j++)
            is_met = call->items[j]->is_output && strcmp(call->items[j]->name, request->name) == 0;
        if (!is_met)
            return error_with(error_new(SPILE_ERROR_OUTPUT_MISSING,
                                        "no program wrote '%s', which was asked for: check the name", request->name),
                              ENOENT, -1, -1);
    }
    return NULL;
}

static void go_on_delivering(spile_call *call) {
    spile_error *error = NULL;
    int result = deliver_continue(call, &error);
    if (result == 1)
        result = flow_deliver(call, &error);
    if (result == 1)
        release(call);
    else if (result < 0)
        run_fail(call, error);
}

static void begin_delivering(spile_call *call) {
    spile_error *error = check_requests(call);
    if (!error && deliver_begin(call, &error) >= 0) {
        set_state(call, CALL_DELIVERING);
        go_on_delivering(call);
    } else {
        run_fail(call, error);
    }
}

static void end_timer(struct loop_timer *timer) {
    spile_call *call = CONTAINER_OF(timer, spile_call, end);
    if (call->state == CALL_RELEASING) {
        if (!call->cell)
            finish(call);
        return;
    }
    if (call->running_count > 0 || ((has_last_words(call) || flow_is_busy(call)) && call->state == CALL_RUNNING))
        return;
    if (call->state == CALL_RUNNING && !call->error)
        begin_delivering(call);
    else if (call->state == CALL_STOPPING || call->state == CALL_RUNNING)
        release(call);
}

static void grace_over(struct loop_timer *timer) {
    spile_call *call = CONTAINER_OF(timer, spile_call, grace);
    cell_signal_all(call->cell, SIGKILL);
    run_trace(call, (spile_event){.kind = SPILE_EVENT_KILLED, .program = -1, .status = SIGKILL});
}

static void skip_waiting(spile_call *call) {
    for (size_t i = 0; i < call->program_count; i++)
        if (call->programs[i].state == PROGRAM_WAITING)
            run_set_program_state(&call->programs[i], PROGRAM_SKIPPED);
}

void run_fail(spile_call *call, spile_error *error) {
    if (call->error || call->state >= CALL_RELEASING)
        spile_error_free(error);
    else
        call->error = error;
    if (call->state == CALL_STOPPING || call->state >= CALL_RELEASING)
        return;
    set_state(call, CALL_STOPPING);
    for (size_t i = 0; i < call->item_count; i++)
        if (!call->items[i]->is_stream)
            source_stop(call->items[i]); /* a stream may be at work right now */
    deliver_done(call);
    skip_waiting(call);
    if (call->running_count > 0) {
        cell_signal_all(call->cell, SIGTERM);
        run_trace(call, (spile_event){.kind = SPILE_EVENT_KILLED, .program = -1, .status = SIGTERM});
        uint64_t grace_ns = call->options.grace_ns ? call->options.grace_ns : default_grace_ns;
        loop_timer_set(call->loop, &call->grace, time_add_ns(time_now_ns(), grace_ns), grace_over);
    }
    defer_end(call);
}

/* ------------------------------------------------------------------------------ who starts when */

enum readiness { GROUP_STARTED, GROUP_WAITS, GROUP_READY, GROUP_HOPELESS };

static bool waits_for_input(const spile_call *call, size_t program) {
    for (size_t i = 0; call->pending_items > 0 && i < call->item_count; i++) {
        const struct item *item = call->items[i];
        if (item->state == ITEM_PENDING &&
            (item->producer == STDIN_PRODUCER(program) || store_sees(call, program, item)))
            return true;
    }
    return false;
}

static enum readiness group_readiness(const spile_call *call, size_t group) {
    enum readiness readiness = GROUP_READY;
    for (size_t i = 0; i < call->program_count; i++) {
        const struct plan_program *program = &call->plan->programs[i];
        if (program->group != group)
            continue;
        if (call->programs[i].state != PROGRAM_WAITING)
            return GROUP_STARTED;
        for (size_t j = 0; j < program->after_count; j++) {
            enum program_state state = call->programs[program->after[j]].state;
            if (state == PROGRAM_FAILED || state == PROGRAM_SKIPPED)
                return GROUP_HOPELESS;
            if (state != PROGRAM_DONE)
                readiness = GROUP_WAITS;
        }
        if (waits_for_input(call, i))
            readiness = GROUP_WAITS;
    }
    return readiness;
}

bool run_has_ready_group(const spile_call *call) {
    for (size_t group = call->first_group; group < call->plan->group_count; group++)
        if (group_readiness(call, group) == GROUP_READY)
            return true;
    return false;
}

static void skip_group(spile_call *call, size_t group) {
    for (size_t i = 0; i < call->program_count; i++)
        if (call->plan->programs[i].group == group)
            run_set_program_state(&call->programs[i], PROGRAM_SKIPPED);
}

static void start_what_can(spile_call *call) {
    bool is_first = true;
    if (call->groups_running >= call->options.jobs && !call->error)
        return;
    for (size_t group = call->first_group; group < call->plan->group_count && call->state == CALL_RUNNING; group++) {
        enum readiness readiness = group_readiness(call, group);
        if (readiness == GROUP_READY && call->groups_running < call->options.jobs)
            run_start_group(call, group);
        is_first &= readiness == GROUP_STARTED;
        if (is_first)
            call->first_group = group + 1; /* nothing before it will ever be started */
        if (readiness == GROUP_HOPELESS) {
            skip_group(call, group);
            group = call->first_group - 1; /* others may wait for this one: look again */
        }
    }
}

static bool has_open_programs(const spile_call *call) {
    for (size_t i = 0; i < call->program_count; i++)
        if (call->programs[i].state < PROGRAM_DONE)
            return true;
    return false;
}

void run_advance(spile_call *call) {
    if (call->state == CALL_RUNNING)
        start_what_can(call);
    if (call->state == CALL_DELIVERING)
        go_on_delivering(call);
    else if (call->running_count == 0 && (call->state == CALL_STOPPING || !has_open_programs(call)))
        defer_end(call);
}

/* ------------------------------------------------------------------------------ beginning */

static bool is_given(const spile_call *call, const struct file *file) {
    for (size_t i = 0; i < call->item_count; i++)
        if (call->items[i]->producer == PLAN_GIVEN && pattern_match(file->name, call->items[i]->name))
            return true;
    return false;
}

static spile_error *check_files(const spile_call *call, size_t program) {
    const spile_program *owner = call->plan->programs[program].program;
    for (size_t i = 0; i < owner->file_count; i++) {
        const struct file *file = &owner->files[i];
        bool needs_given = role_reads(file->role) && file->role != SPILE_APPEND &&
                           plan_producer(call->plan, program, file) == PLAN_GIVEN;
        if (needs_given && !is_given(call, file))
            return error_with(error_new(SPILE_ERROR_MISSING,
                                        file->is_pattern || file->is_tree
                                            ? "no file was given that matches '%s', which %s reads"
                                            : "input '%s', which %s reads, was not given",
                                        file->name, call->programs[program].label),
                              ENOENT, (int)program, file->offset);
    }
    return NULL;
}

static spile_error *check_values(const spile_call *call) {
    for (size_t i = 0; i < call->plan->value_count; i++) {
        const struct plan_value *value = &call->plan->values[i];
        bool has_text = false;
        for (size_t j = 0; j < call->value_count && !has_text; j++)
            has_text = strcmp(call->values[j].name, value->name) == 0;
        if (!has_text)
            return error_with(error_new(SPILE_ERROR_MISSING, "the value of {%s%s} was not given", value->name,
                                        value->is_list ? "..." : ""),
                              ENOENT, -1, -1);
    }
    return NULL;
}

static spile_error *check_given(const spile_call *call) {
    spile_error *error = NULL;
    for (size_t i = 0; i < call->program_count && !error; i++)
        error = check_files(call, i);
    return error ? error : check_values(call);
}

/* Everything that can be known before anything starts. */
static spile_error *check_before(spile_call *call) {
    spile_error *error = limit_check(call);
    if (!error)
        error = check_given(call);
    for (size_t i = 0; i < call->program_count && !error; i++) {
        int result = command_find(call, i, &error);
        if (result < 0 && !error)
            error = run_system_error(result, "looking for", call->programs[i].label);
    }
    if (!error) {
        int result = deliver_check(call, &error);
        if (result < 0 && !error)
            error = run_system_error(result, "checking the targets of", "outputs");
    }
    return error;
}

static void begin_running(spile_call *call) {
    set_state(call, CALL_RUNNING);
    if (cell_notice(call->cell))
        run_trace(call, (spile_event){.kind = SPILE_EVENT_NOTICE, .program = -1, .text = cell_notice(call->cell)});
    if (cell_means(call->cell).memory == WANTS_BY_EACH)
        run_trace(call, (spile_event){.kind = SPILE_EVENT_NOTICE,
                                      .program = -1,
                                      .text = "memory is limited for each process by itself (by rlimit): no control "
                                              "group is to be had that counts all together"});
    for (size_t i = 0; i < call->item_count && call->state == CALL_RUNNING; i++)
        if (call->items[i]->source.type != SOURCE_NONE && !call->items[i]->is_stream)
            (void)source_begin(call->items[i]);
    run_advance(call);
}

/* The caller's functions are called from a step, not where the call is attached. */
static void begin_timer(struct loop_timer *timer) {
    begin_running(CONTAINER_OF(timer, spile_call, end));
}

static void on_ready(struct cell_owner *owner, spile_error *error) {
    spile_call *call = CONTAINER_OF(owner, spile_call, owner);
    if (error)
        call->cell = NULL;
    if (call->state == CALL_LEASING && !error) {
        begin_running(call);
        return;
    }
    if (error)
        run_fail(call, error);
    defer_end(call);
}

static void on_broken(struct cell_owner *owner, spile_error *error) {
    run_fail(CONTAINER_OF(owner, spile_call, owner), error);
}

/* What the call waits for: programs, or else what comes in or goes out. */
static void text_unfinished(struct text *text, const spile_call *call) {
    for (size_t i = 0; i < call->program_count; i++)
        if (call->programs[i].state == PROGRAM_STARTING || call->programs[i].state == PROGRAM_RUNNING)
            text_printf(text, "%s%s", text->size ? ", " : "; still running: ", call->programs[i].label);
    for (size_t i = 0; i < call->item_count && call->running_count == 0; i++)
        if (call->items[i]->state == ITEM_PENDING)
            text_printf(text, "%s'%s'", text->size ? ", " : "; still coming in: ", call->items[i]->name);
    for (size_t i = 0; i < call->delivery_count && call->state == CALL_DELIVERING; i++)
        if (!call->deliveries[i].is_copied)
            text_printf(text, "%s'%s'", text->size ? ", " : "; still going out: ", call->deliveries[i].item->name);
}

static void on_deadline(struct loop_timer *timer) {
    spile_call *call = CONTAINER_OF(timer, spile_call, deadline);
    AUTO_TEXT text = {0};
    text_unfinished(&text, call);
    run_fail(call,
             error_of_limit(error_with(error_new(SPILE_ERROR_TIMEOUT, "the call did not end within %g s%s%s%s",
                                                 (double)call->options.limits.wall_ns / 1e9, text.data ? text.data : "",
                                                 call->seems_stuck ? "; it seems stuck: " : "",
                                                 call->seems_stuck ? call->seems_stuck : ""),
                                       ETIMEDOUT, -1, -1),
                            SPILE_LIMIT_WALL));
}

static void on_cancel(struct loop_user *user) {
    spile_call *call = CONTAINER_OF(user, spile_call, user);
    run_fail(call, error_with(error_new(SPILE_ERROR_CANCELLED, "the call was cancelled"), ECANCELED, -1, -1));
}

static void on_woken(struct loop_user *user) {
    spile_call *call = CONTAINER_OF(user, spile_call, user);
    if (call->cancel_asked)
        on_cancel(user);
    if (!call->resume_asked)
        return;
    call->resume_asked = false;
    for (size_t i = 0; i < call->item_count; i++)
        if (call->items[i]->is_waiting)
            source_resume(call->items[i]);
    if (call->state == CALL_RUNNING)
        flow_resume(call);
    else
        deliver_resume(call);
}

int run_start(spile_call *call) {
    int result = result_new(call, &call->result);
    if (result < 0)
        return result;
    call->begin_ns = time_now_ns();
    clock_gettime(CLOCK_REALTIME, &call->begin_time);
    call->user.woken = on_woken;
    call->user.cancel = on_cancel;
    call->owner = (struct cell_owner){.ready = on_ready, .broken = on_broken, .released = on_released};
    loop_join(call->loop, &call->user);
    call->host_cwd = getcwd(NULL, 0);
    /* One that is gone is missed only by what leads from it. */
    spile_error *error = call->host_cwd || errno == ENOENT
                             ? check_before(call)
                             : run_system_error(-errno, "finding", "the current directory");
    if (error) {
        run_fail(call, error);
        return 0;
    }
    if (call->options.limits.wall_ns)
        loop_timer_set(call->loop, &call->deadline, time_add_ns(call->begin_ns, call->options.limits.wall_ns),
                       on_deadline);
    set_state(call, CALL_LEASING);
    const struct cell_wants wants = limit_wants(call);
    result = cell_lease(call->ctx, call->loop, &call->owner, &wants, &call->cell);
    if (result < 0)
        run_fail(call, run_system_error(result, "getting", "a cell"));
    else if (result == 1)
        loop_defer(call->loop, &call->end, begin_timer);
    if (call->cancel_asked)
        on_cancel(&call->user);
    return 0;
}
