/* Whether the programs of a call stand still, and what follows.
 *
 * No event tells of it. When no byte has moved for a while (1 ms, then longer and longer), the cell looks. Quiet
 * permits what can do no harm: a writer's close becomes the end its reader waits for; else the smallest full window
 * grows (Parks: only an artificial deadlock is mended so). Only proof permits a verdict; short of it what was seen is
 * kept for the deadline's message.
 */
#include "call/flow.h"

static const uint64_t first_step_ns = NS_PER_MS, longest_step_ns = 100 * NS_PER_MS, idle_step_ns = NS_PER_SECOND;
/* What is quiet and can't be proved to stand still may only sleep. A window grows all the same, for the programs of
 * which nothing can be proved, but the wait for it is as long as the window is large: so much memory for so much time.
 */
static const uint64_t patience_ns_per_byte = 400, reopen_ns = NS_PER_SECOND;
/* What the host starts in another thread has a copy of an end that we close until it executes, and longer where the
 * kernel closes something slow (inotify) for it first: that is nowhere to be seen. */
static const uint64_t let_go_ns = NS_PER_SECOND;
enum { LOOK_INODES = 1300, STUCK_LINES = 6 };

static void look_due(struct loop_timer *timer);

/* A stream can be waited for though all of it was passed on: by who opened it for writing too, or too late. */
enum streams_left { STREAMS_NONE, STREAMS_PASSED_ON, STREAMS_FLOW };

static enum streams_left streams_left(const spile_call *call) {
    enum streams_left left = STREAMS_NONE;
    for (const struct flow *flow = call->flows; flow; flow = flow->next) {
        if (flow->is_direct || (flow->stream && !stream_is_over(flow->stream)))
            return STREAMS_FLOW;
        for (size_t i = 0; i < call->program_count; i++)
            if (!call->programs[i].is_exited && (flow->readers[i] >= 0 || flow->producer == (int)i))
                left = STREAMS_PASSED_ON;
    }
    return left;
}

static void look_again(spile_call *call, bool has_moved) {
    if (has_moved) {
        call->still_since_ns = time_now_ns();
        call->was_proved = false;
    }
    if (has_moved || call->look_step_ns == 0) {
        call->look_step_ns = first_step_ns;
    } else {
        call->look_step_ns = MIN(call->look_step_ns * 2,
                                 streams_left(call) == STREAMS_FLOW ? longest_step_ns : idle_step_ns);
    }
    call->look_progress = call->stream_room.progress;
    loop_timer_set(call->loop, &call->look, time_now_ns() + call->look_step_ns, look_due);
}

void standstill_watch(spile_call *call) {
    if (!call->look.loop && !call->is_looking)
        look_again(call, true);
}

void standstill_stop(spile_call *call) {
    loop_timer_clear(&call->look);
}

/* ------------------------------------------------------------------------------ what the cell has to know */

struct inode_list {
    struct cell_inode items[LOOK_INODES];
    size_t count;
    bool is_foreign; /* of what is added next */
    bool is_full;
};

static void add_inode(struct inode_list *list, uint64_t device, uint64_t inode, bool is_foreign) {
    if (list->count == LOOK_INODES) {
        list->is_full = true;
        return;
    }
    list->items[list->count++] = (struct cell_inode){.device = device, .inode = inode, .is_foreign = is_foreign};
}

/* Every named pipe among its files the cell takes for ours by itself. */
static void add_pipe(void *user, const struct stream_pipe *pipe) {
    struct inode_list *list = user;
    if (list->is_foreign || !pipe->has_name)
        add_inode(list, pipe->device, pipe->inode, list->is_foreign);
}

static void add_descriptor(struct inode_list *list, int fd, bool is_foreign) {
    struct stat status;
    if (fd >= 0 && fstat(fd, &status) == 0 && (S_ISFIFO(status.st_mode) || is_foreign))
        add_inode(list, status.st_dev, status.st_ino, is_foreign);
}

/* What the cell can't know by itself. */
static void list_inodes(const spile_call *call, struct inode_list *list) {
    for (const struct flow *flow = call->flows; flow; flow = flow->next) {
        list->is_foreign = flow->stream && stream_waits_for_host(flow->stream);
        if (flow->stream)
            stream_visit_pipes(flow->stream, add_pipe, list);
    }
    for (size_t i = 0; i < call->program_count; i++) {
        const struct capture *captures[] = {&call->programs[i].output, &call->programs[i].error};
        for (size_t j = 0; j < ARRAY_SIZE(captures); j++)
            add_descriptor(list, captures[j]->fd, captures[j]->unsent_size > 0);
    }
    add_descriptor(list, STDOUT_FILENO, true); /* inherited: who reads it is not for us to say */
}

/* ------------------------------------------------------------------------------ what it looks like */

struct stuck {
    const spile_call *call;
    struct text text;
    uint64_t device, inode; /* looked for */
    const struct flow *flow;
    int reader;
    bool is_let_go; /* one of the pipes that are waited for */
    size_t lines;
};

static void find_flow(void *user, const struct stream_pipe *pipe) {
    struct stuck *stuck = user;
    if (pipe->inode != stuck->inode || pipe->device != stuck->device)
        return;
    for (const struct flow *flow = stuck->call->flows; flow; flow = flow->next)
        if (flow->stream == pipe->stream)
            stuck->flow = flow;
    stuck->reader = pipe->reader;
    stuck->is_let_go |= pipe->is_let_go;
}

static const struct run_program *program_of(const spile_call *call, const struct cell_wait *wait) {
    for (size_t i = 0; i < call->program_count; i++)
        if (wait->proc_id && call->programs[i].start_ns && call->programs[i].proc.id == wait->proc_id)
            return &call->programs[i];
    return NULL;
}

static void text_other_side(struct text *text, const spile_call *call, const struct flow *flow) {
    if (flow->producer == PLAN_GIVEN && !stream_is_over(flow->stream)) {
        text_puts(text, ", which the caller gives");
        return;
    }
    if (stream_is_over(flow->stream)) {
        text_puts(text, ", of which it was given all: it must have opened it for writing too, and waits for itself");
        return;
    }
    const struct run_program *writer = &call->programs[flow->producer];
    bool is_opened = stream_was_opened_by_writer(flow->stream);
    if (!writer->is_exited)
        text_printf(text, ", which %s %s", writer->label, is_opened ? "has open" : "has not opened");
    else if (WIFEXITED(writer->status))
        text_printf(text, "; %s exited with %d%s", writer->label, WEXITSTATUS(writer->status),
                    is_opened ? "" : " without opening it");
    else
        text_printf(text, "; %s was killed by signal %d", writer->label, WTERMSIG(writer->status));
}

static void text_why(struct stuck *stuck, const struct cell_wait *wait) {
    if (stuck->reader >= 0)
        text_other_side(&stuck->text, stuck->call, stuck->flow);
    else if (wait->kind == CELL_WAIT_OPEN && !wait->for_writing)
        text_puts(&stuck->text, ", its output, for reading");
    else if (wait->kind == CELL_WAIT_READ || (wait->kind == CELL_WAIT_POLL && !wait->for_writing))
        text_puts(&stuck->text, ", which is its output");
    else if (stream_is_full(stuck->flow->stream))
        text_puts(&stuck->text, ", which is full: nobody reads it");
}

static void text_wait(struct stuck *stuck, const struct cell_wait *wait) {
    static const char *const verbs[] = {
        [CELL_WAIT_OPEN] = "open", [CELL_WAIT_READ] = "read", [CELL_WAIT_WRITE] = "write", [CELL_WAIT_POLL] = "read"};
    const spile_call *call = stuck->call;
    const struct run_program *program = program_of(call, wait);
    bool is_transfer = wait->kind < ARRAY_SIZE(verbs) && verbs[wait->kind];
    stuck->device = wait->device;
    stuck->inode = wait->inode;
    stuck->flow = NULL;
    for (const struct flow *flow = call->flows; flow && wait->inode; flow = flow->next)
        if (flow->stream)
            stream_visit_pipes(flow->stream, find_flow, stuck);
    if (!is_transfer || !stuck->flow || stuck->lines++ >= STUCK_LINES)
        return;
    const char *verb = wait->kind == CELL_WAIT_POLL && wait->for_writing ? "write" : verbs[wait->kind];
    text_printf(&stuck->text, "%s%s waits to %s '%s'", stuck->text.size ? "; " : "",
                program ? program->label : wait->name, verb, stuck->flow->name);
    text_why(stuck, wait);
}

/* Who waits for what; NULL where no wait has to do with a stream. *ret_is_let_go: a wait is for what we closed. */
static char *describe(const spile_call *call, const struct cell_look *look, bool *ret_is_let_go) {
    struct stuck stuck = {.call = call};
    for (size_t i = 0; i < look->count; i++)
        text_wait(&stuck, &look->waits[i]);
    *ret_is_let_go = stuck.is_let_go;
    if (!stuck.text.size) {
        text_done(&stuck.text);
        return NULL;
    }
    return text_take(&stuck.text);
}

/* ------------------------------------------------------------------------------ what follows */

/* A program that has closed its output may be about to open it again, and what it left running to write on; either may
 * only sleep in between. */
static bool settle(spile_call *call, bool is_proved) {
    bool has_changed = false;
    if (!is_proved && time_now_ns() - call->still_since_ns < reopen_ns)
        return false;
    for (struct flow *flow = call->flows; flow; flow = flow->next)
        if (flow->stream && !has_changed)
            has_changed = stream_settle(flow->stream) == 1;
    return has_changed;
}

static struct flow *smallest_full(const spile_call *call) {
    struct flow *smallest = NULL;
    size_t smallest_bytes = SIZE_MAX;
    for (struct flow *flow = call->flows; flow; flow = flow->next) {
        struct stream_info info;
        if (!flow->stream || !stream_is_full(flow->stream) || stream_waits_for_host(flow->stream))
            continue;
        stream_get_info(flow->stream, &info);
        if (info.window_bytes < smallest_bytes) {
            smallest = flow;
            smallest_bytes = info.window_bytes;
        }
    }
    return smallest;
}

static void fail_at_limit(spile_call *call, const struct flow *flow, const char *stuck) {
    run_fail(call,
             error_of_limit(
                 error_with(error_new(SPILE_ERROR_LIMIT,
                                      "the streams stand still with their windows at the call's memory limit; '%s' is "
                                      "full%s%s: give the call more memory, or make a seekable file of it: {>%s}",
                                      flow->name, stuck ? "; " : "", stuck ? stuck : "", flow->name),
                            ENOBUFS, flow->producer, -1),
                 SPILE_LIMIT_FILES));
}

/* Returns whether something changed. */
static bool grow(spile_call *call, struct flow *flow, bool is_proved, const char *stuck) {
    struct stream_info info;
    stream_get_info(flow->stream, &info);
    if (!is_proved && time_now_ns() - call->still_since_ns < patience_ns_per_byte * info.window_bytes)
        return false;
    int result = stream_grow(flow->stream);
    if (result == -ENOBUFS && is_proved)
        fail_at_limit(call, flow, stuck);
    if (result < 0)
        return result == -ENOBUFS && is_proved;
    stream_get_info(flow->stream, &info);
    run_trace(call, (spile_event){.kind = SPILE_EVENT_STREAM,
                                  .program = flow->producer,
                                  .name = flow->name,
                                  .text = "window grew, all stood still",
                                  .bytes = info.window_bytes});
    return true;
}

static bool poke(spile_call *call, const struct cell_look *look) {
    bool has_poked = false;
    for (size_t i = 0; i < look->count && !has_poked; i++)
        has_poked = look->waits[i].kind == CELL_WAIT_OPEN &&
                    direct_poke(call, look->waits[i].inode, look->waits[i].for_writing);
    return has_poked;
}

/* The look was taken while what programs did before it may not have come to us yet. */
static bool has_moved_meanwhile(spile_call *call) {
    watch_drain(call->loop);
    for (const struct flow *flow = call->flows; flow && call->state == CALL_RUNNING; flow = flow->next)
        if (flow->stream && stream_has_work(flow->stream))
            return true;
    return call->stream_room.progress != call->look_progress;
}

/* All is quiet: what may follow does. */
static void conclude(spile_call *call, const struct cell_look *look, bool is_proved) {
    bool is_let_go;
    AUTO_FREE char *stuck = describe(call, look, &is_let_go);
    struct flow *full = smallest_full(call);
    if (is_let_go && time_now_ns() - call->still_since_ns < let_go_ns)
        is_proved = false;
    bool has_changed = poke(call, look) || settle(call, is_proved);
    if (!has_changed && full)
        has_changed = grow(call, full, is_proved, stuck);
    if (!has_changed && is_proved && stuck) {
        run_fail(call, error_with(error_new(SPILE_ERROR_STANDSTILL,
                                            "the call stands still, and nothing can end that: %s", stuck),
                                  EDEADLK, -1, -1));
        return;
    }
    if (!has_changed) {
        free(call->seems_stuck);
        call->seems_stuck = TAKE_POINTER(stuck);
    }
    look_again(call, has_changed);
}

static void answered(struct cell_owner *owner, const struct cell_look *look) {
    spile_call *call = CONTAINER_OF(owner, spile_call, owner);
    call->is_looking = false;
    bool has_moved = call->state == CALL_RUNNING && has_moved_meanwhile(call);
    if (call->state != CALL_RUNNING)
        return;
    bool was_proved = TAKE(call->was_proved, look->proved && !has_moved);
    if (has_moved || !look->quiet) {
        look_again(call, has_moved);
        return;
    }
    /* The exit of a program may still be on its way: only what holds for two looks counts as proved. */
    bool is_proved = look->proved && was_proved;
    if (look->proved && !was_proved) {
        call->look_step_ns = 0;
        look_again(call, false);
        return;
    }
    conclude(call, look, is_proved);
}

static void look_due(struct loop_timer *timer) {
    spile_call *call = CONTAINER_OF(timer, spile_call, look);
    if (call->state != CALL_RUNNING)
        return;
    bool has_moved = call->stream_room.progress != call->look_progress;
    for (struct flow *flow = call->flows; flow && !has_moved; flow = flow->next)
        has_moved = flow->stream && stream_spill(flow->stream) == 1;
    if (call->state != CALL_RUNNING)
        return; /* because of what came of it */
    if (has_moved || streams_left(call) == STREAMS_NONE) {
        look_again(call, has_moved);
        return;
    }
    struct inode_list list = {0};
    list_inodes(call, &list);
    int result = list.is_full ? -E2BIG : cell_look(call->cell, list.items, list.count, answered);
    call->is_looking = result >= 0;
    if (result < 0)
        look_again(call, false);
}
