/* A lease of a cell: see cell.h. The states are in pool.h; this is the thread of the loop that has leased the cell.
 *
 * One message is taken a dispatch, and nothing of a cell is touched after a callback that may have given it away. What
 * the owner is told comes from a step, always, except where cell_lease and cell_release say it by their result.
 */
#include "cell/cell.h"
#include "cell/pool.h"
#include "cell/promise.h"
#include "proc/plain.h"

enum { SEND_TIMEOUT_MS = 5000 };

static void on_socket(struct loop_fd *source, uint32_t events);

int cell_root_fd(const struct cell *cell) {
    return cell->root;
}

const char *cell_root_path(const struct cell *cell) {
    return cell->path;
}

spile_containment cell_containment(const struct cell *cell) {
    return cell->containment;
}

struct cell_means cell_means(const struct cell *cell) {
    return cell->means;
}

const char *cell_notice(const struct cell *cell) {
    return cell->notice;
}

/* ------------------------------------------------------------------------------------------------------- leasing */

/* Makes a cell of one that has no supervisor. `reason` (taken over) becomes its notice. */
static int become_plain(struct cell *cell, spile_error *reason) {
    AUTO_ERROR error = reason;
    AUTO_TEXT text = {0};
    if (error)
        text_printf(&text, "%s; programs run as plain children: what they leave running is not ended with them",
                    spile_error_get_message(error));
    AUTO_FREE char *notice = error ? text_take(&text) : NULL;
    if (error && !notice)
        return -ENOMEM;
    cell_close(cell);
    int result = tree_make(&cell->tree);
    if (result < 0)
        return result;
    free(cell->path);
    cell->path = memory_string(cell->tree.path);
    cell->root = cell->path ? sys_dup_cloexec(cell->tree.fd, 3) : -ENOMEM;
    if (cell->root < 0) {
        result = TAKE_FD(cell->root);
        tree_remove(&cell->tree);
        return result;
    }
    free(cell->notice);
    cell->notice = TAKE_POINTER(notice);
    cell->containment = SPILE_CONTAINMENT_NONE;
    cell->means.memory = cell->wants.program_memory_bytes ? WANTS_BY_EACH : WANTS_NOT_ASKED;
    cell->is_clean = true;
    cell_set_state(cell, CELL_PLAIN);
    return 0;
}

/* Lack of what the host itself has too little of is no reason to go on with less containment. */
static bool may_fall_back(const struct cell *cell, const spile_error *error) {
    int number = spile_error_get_errno(error);
    return cell->ctx->containment == SPILE_CONTAINMENT_AUTO && number != ENOMEM && number != EMFILE &&
           number != ENFILE && number != EAGAIN;
}

static void tell_lease_failed(struct loop_timer *timer) {
    struct cell *cell = CONTAINER_OF(timer, struct cell, timer);
    struct cell_owner *owner = cell->owner;
    spile_error *error = TAKE_POINTER(cell->error);
    pool_free_cell(cell);
    owner->ready(owner, error);
}

/* The lease is over; its owner hears of it in the next step. */
static void fail_lease(struct cell *cell, spile_error *error) {
    loop_fd_remove(&cell->source);
    cell->error = error;
    loop_defer(cell->loop, &cell->timer, tell_lease_failed);
}

static void tell_lease_ready(struct loop_timer *timer) {
    struct cell *cell = CONTAINER_OF(timer, struct cell, timer);
    cell->owner->ready(cell->owner, NULL);
}

/* No supervisor is to be had (CELL_NEW, CELL_BROKEN): goes on without one where that was allowed. Returns 1 where the
 * cell is ready now, 0 where the owner will be told that it failed. */
static int fall_back(struct cell *cell, spile_error *error) {
    if (!may_fall_back(cell, error)) {
        fail_lease(cell, error);
        return 0;
    }
    int result = become_plain(cell, error);
    spile_error *lack = result < 0 ? NULL : promise_check_plain(&cell->wants, cell->notice);
    if (lack) {
        tree_remove(&cell->tree);
        fail_lease(cell, lack);
        return 0;
    }
    if (result >= 0)
        return 1;
    fail_lease(cell, error_with(error_new(SPILE_ERROR_SYSTEM, "making a directory in '/dev/shm' failed: %s",
                                          strerror(-result)),
                                -result, -1, -1));
    return 0;
}

/* A cell that has its supervisor: goes on to what the lease needs. Returns 1 ready, 0 more is to come, -errno. */
static int prepare(struct cell *cell) {
    if (cell->state != CELL_READY)
        return 0;
    const struct cell_wants *wants = &cell->wants;
    if (!wants->file_bytes && !wants->program_memory_bytes && !wants->processes && !wants->promises)
        return 1;
    int result = cell_request(cell, WIRE_LEASE);
    return result < 0 ? result : 0;
}

static int start_supervised(struct cell *cell) {
    spile_error *error = NULL;
    int result = pool_start(cell, &error);
    if (result < 0)
        return fall_back(cell, error);
    result = loop_fd_add(cell->loop, &cell->source, cell->socket, EPOLLIN, on_socket);
    if (result < 0) {
        cell_set_state(cell, CELL_BROKEN);
        fail_lease(cell, error_with(error_new(SPILE_ERROR_SYSTEM, "watching a cell failed: %s", strerror(-result)),
                                    -result, -1, -1));
    }
    return 0;
}

static int start_plain(struct cell *cell) {
    int result = become_plain(cell, NULL);
    if (result < 0)
        return result;
    spile_error *lack = promise_check_plain(&cell->wants, cell->notice);
    if (!lack)
        return 1;
    tree_remove(&cell->tree);
    fail_lease(cell, lack);
    return 0;
}

/* A second cell from the second call on: then one empties itself while the other is used. */
static void keep_one_ahead(spile_ctx *ctx) {
    forkguard_lock();
    bool wanted = ctx->cell_count == 1 && ctx->idle_limit > 1;
    forkguard_unlock();
    if (wanted)
        (void)spile_ctx_prepare(ctx, 1); /* only an advantage */
}

static int lease_pooled(struct cell *cell) {
    bool was_resetting = cell->state == CELL_RESETTING;
    int result = loop_fd_add(cell->loop, &cell->source, cell->socket, EPOLLIN, on_socket);
    if (result < 0) {
        pool_give(cell);
        return result;
    }
    result = prepare(cell);
    if (result < 0) { /* it died since it was looked at */
        loop_fd_remove(&cell->source);
        cell_set_state(cell, CELL_BROKEN);
        return start_supervised(cell);
    }
    if (was_resetting)
        keep_one_ahead(cell->ctx);
    return result;
}

int cell_lease(spile_ctx *ctx, spile_loop *loop, struct cell_owner *owner, const struct cell_wants *wants,
               struct cell **ret_cell) {
    if (!ctx && !(ctx = ctx_default()))
        return -ENOMEM;
    bool is_plain = ctx->containment == SPILE_CONTAINMENT_NONE;
    struct cell *pooled = is_plain ? NULL : pool_take(ctx);
    struct cell *cell = pooled ? pooled : pool_new_cell(ctx);
    if (!cell)
        return -ENOMEM;
    cell->loop = loop;
    cell->owner = owner;
    cell->wants = *wants;
    int result = pooled ? lease_pooled(cell) : is_plain ? start_plain(cell) : start_supervised(cell);
    if (result < 0) {
        if (!pooled)
            pool_free_cell(cell);
        return result;
    }
    *ret_cell = cell;
    return result;
}

/* ------------------------------------------------------------------------------------------------------- breaking */

static spile_error *cell_error(int number, const char *what) {
    return error_with(error_new(SPILE_ERROR_SYSTEM, "%s: %s", what, strerror(number)), number, -1, -1);
}

static void tell_released(struct cell *cell, bool keep) {
    struct cell_owner *owner = cell->owner;
    loop_fd_remove(&cell->source);
    loop_timer_clear(&cell->timer);
    if (keep)
        pool_give(cell);
    else
        pool_free_cell(cell);
    owner->released(owner);
}

static void on_keeper_gone(struct loop_fd *source, uint32_t events) {
    (void)events;
    struct cell *cell = CONTAINER_OF(source, struct cell, source);
    cell_remove_groups(cell);
    tell_released(cell, false);
}

static void on_supervisor_gone(struct loop_fd *source, uint32_t events) {
    struct cell *cell = CONTAINER_OF(source, struct cell, source);
    loop_fd_remove(source);
    if (cell->keeper < 0 || loop_fd_add(cell->loop, source, cell->keeper, EPOLLIN, on_keeper_gone) < 0)
        on_keeper_gone(source, events);
}

/* The end of a broken cell. True: it is over; false: on_supervisor_gone tells. */
static bool end_broken(struct cell *cell) {
    if (cell->containment == SPILE_CONTAINMENT_REAPER && cell->root >= 0) {
        (void)tree_empty(cell->root);
        (void)sys_unlinkat(AT_FDCWD, cell->path, AT_REMOVEDIR);
    }
    if (cell->pidfd < 0) {
        cell_remove_groups(cell);
        return true;
    }
    /* Killed, it takes its whole namespace along, and is seen to be dead only after that. */
    (void)sys_pidfd_kill(cell->pidfd, SIGKILL);
    return loop_fd_add(cell->loop, &cell->source, cell->pidfd, EPOLLIN, on_supervisor_gone) < 0;
}

/* What ran in a broken cell is told as killed. */
static void end_procs(struct cell *cell) {
    static const struct proc_usage no_usage;
    while (cell->procs) {
        struct proc *proc = cell->procs;
        cell->procs = proc->next;
        if (proc->has_started || proc->is_told_late)
            proc->exited(proc, SIGKILL, &no_usage, true);
        else
            proc->failed(proc, PROC_STAGE_START, EPIPE);
    }
}

/* The cell of a lease did not become ready. One that came out of the pool is replaced. */
static void not_ready(struct cell *cell, enum cell_state before, spile_error *error) {
    if (before == CELL_LIMITING) {
        fail_lease(cell, error);
        return;
    }
    int result = 0;
    if (before == CELL_RESETTING) {
        spile_error_free(error);
        result = start_supervised(cell);
    } else {
        result = fall_back(cell, error);
    }
    if (result > 0)
        loop_defer(cell->loop, &cell->timer, tell_lease_ready);
}

/* From a step: the supervisor is gone or can't be relied on. Takes the error over. */
static void cell_break(struct cell *cell, spile_error *error) {
    enum cell_state before = cell->state;
    loop_fd_remove(&cell->source);
    loop_timer_clear(&cell->timer);
    cell->answer = NULL;
    cell_set_state(cell, CELL_BROKEN);
    cell->socket = fd_close(cell->socket);
    if (!cell->is_releasing && before != CELL_READY) {
        not_ready(cell, before, error);
        return;
    }
    cell->is_breaking = true;
    if (cell->is_releasing)
        spile_error_free(error);
    else
        cell->owner->broken(cell->owner, error); /* first: the programs were killed because of it */
    end_procs(cell);
    cell->is_breaking = false;
    if (cell->is_releasing && end_broken(cell))
        tell_released(cell, false);
}

/* ------------------------------------------------------------------------------------------------------- messages */

static struct proc **proc_find(struct cell *cell, uint32_t id) {
    struct proc **link = &cell->procs;
    while (*link && (*link)->id != id)
        link = &(*link)->next;
    return link;
}

static void on_ready(struct cell *cell, struct wire_message *message) {
    bool was_limited = cell->state == CELL_LIMITING;
    int result = cell_take_ready(cell, message);
    if (result > 0 && cell->is_releasing) {
        tell_released(cell, true);
        return;
    }
    if (result > 0 && !was_limited)
        result = prepare(cell);
    if (result < 0)
        cell_break(cell, cell_error(-result, "preparing a cell for programs failed"));
    else if (result > 0)
        cell->owner->ready(cell->owner, NULL);
}

static void on_exited(struct cell *cell, struct proc **link, const struct wire_exited *told) {
    struct proc *proc = *link;
    const struct proc_usage usage = told->usage; /* the callback may give the cell away */
    *link = proc->next;
    cell->is_clean = told->alone;
    if (!proc->has_started)
        proc->started(proc, told->pid);
    proc->exited(proc, told->status, &usage, told->alone);
}

static spile_error *refusal(const struct cell *cell, int number, const char *what) {
    const char *wanted = "";
    if (cell->ctx->containment == SPILE_CONTAINMENT_NAMESPACE)
        wanted = " in namespaces; automatic containment would go on with less";
    return error_with(
        error_new(SPILE_ERROR_SYSTEM, "programs can't be contained%s: %s: %s", wanted, what, strerror(number)), number,
        -1, -1);
}

/* False: it says what it may not. */
static bool on_message(struct cell *cell, struct wire_message *message) {
    const struct wire_header *header = &message->header;
    struct proc **link = proc_find(cell, header->id);
    struct proc *proc = *link;
    switch ((enum wire_type)header->type) {
    case WIRE_READY:
        on_ready(cell, message);
        return true;
    case WIRE_REFUSED:
        cell_break(cell, header->refused.promise
                             ? promise_error(header->refused.promise, header->refused.number, message->body)
                             : refusal(cell, header->refused.number, message->body));
        return true;
    case WIRE_STARTED:
        if (!proc)
            return false;
        proc->has_started = true;
        cell->is_clean = false;
        proc->started(proc, header->started.pid);
        return true;
    case WIRE_FAILED:
        if (!proc)
            return false;
        *link = proc->next;
        proc->failed(proc, (enum proc_stage)header->failed.stage, header->failed.number);
        return true;
    case WIRE_EXITED:
        if (!proc)
            return false;
        on_exited(cell, link, &header->exited);
        return true;
    case WIRE_LOOKED:
        return cell_take_look(cell, message);
    case WIRE_LEASE:
    case WIRE_SPAWN:
    case WIRE_SIGNAL:
    case WIRE_RESET:
    case WIRE_QUIT:
    case WIRE_LOOK:
        return false;
    }
    return false;
}

static void on_socket(struct loop_fd *source, uint32_t events) {
    (void)events;
    struct cell *cell = CONTAINER_OF(source, struct cell, source);
    char body[WIRE_TEXT_MAX + 1];
    struct wire_message message;
    int result = wire_receive(cell->socket, body, WIRE_TEXT_MAX, &message, MSG_DONTWAIT);
    if (result == -EAGAIN)
        return;
    if (result <= 0) {
        cell_break(cell, cell_error(result ? -result : EPIPE, "the supervisor of the programs ended unexpectedly"));
        return;
    }
    if (!on_message(cell, &message))
        cell_break(cell, cell_error(EBADMSG, "the supervisor of the programs broke its protocol"));
    wire_message_done(&message);
}

/* ------------------------------------------------------------------------------------------------------ programs */

int cell_send(struct cell *cell, const struct wire_header *header, const void *body, size_t size, const int *fds,
              size_t fd_count) {
    uint64_t deadline = 0;
    for (;;) {
        int result = wire_send(cell->socket, header, body, size, fds, fd_count, MSG_DONTWAIT);
        if (result != -EAGAIN)
            return result;
        uint64_t now = time_now_ns();
        if (deadline == 0)
            deadline = now + SEND_TIMEOUT_MS * NS_PER_MS;
        if (now >= deadline)
            return -EAGAIN;
        struct pollfd watched = {.fd = cell->socket, .events = POLLOUT};
        (void)sys_poll(&watched, 1, (int)((deadline - now) / NS_PER_MS) + 1);
    }
}

static int spec_to_memory(const struct cell *cell, const struct proc_spec *spec, size_t size, int *ret_fd) {
    AUTO_FREE char *body = memory_new(size);
    if (!body)
        return -ENOMEM;
    AUTO_FD memory = sys_memfd_create("spile-spawn");
    if (memory == -EPERM || memory == -ENOSYS) /* a seccomp filter */
        memory = sys_openat(cell->root, ".", O_TMPFILE | O_RDWR, 0600);
    if (memory < 0)
        return memory;
    wire_pack(spec, body);
    int result = fd_write_all(memory, body, size);
    if (result < 0)
        return result;
    *ret_fd = TAKE_FD(memory);
    return 0;
}

static int spawn_supervised(struct cell *cell, const struct proc_spec *spec, uint32_t id) {
    struct wire_header header = {.type = WIRE_SPAWN, .id = id};
    struct wire_spawn *spawn = &header.spawn;
    int fds[WIRE_FD_MAX];
    size_t fd_count = 0;
    size_t size = wire_pack_size(spec, spawn);
    cell_scatter(cell);
    for (int i = 0; i < 3; i++) {
        spawn->stdio[i] = spec->stdio[i] < 0 ? -1 : (int)fd_count;
        if (spec->stdio[i] >= 0)
            fds[fd_count++] = spec->stdio[i];
    }
    spawn->flags = spec->flags;
    if (spawn->flags & PROC_NEAR && !cell_gather(cell))
        spawn->flags &= ~(uint32_t)PROC_NEAR;
    spawn->limits = spec->limits;
    spawn->body_size = size;
    spawn->in_memory = size > WIRE_BODY_MAX;
    if (!spawn->in_memory) {
        char body[WIRE_BODY_MAX];
        wire_pack(spec, body);
        return cell_send(cell, &header, body, size, fds, fd_count);
    }
    AUTO_FD memory = -1;
    int result = spec_to_memory(cell, spec, size, &memory);
    if (result < 0)
        return result;
    fds[fd_count++] = memory;
    return cell_send(cell, &header, NULL, 0, fds, fd_count);
}

static void tell_plain_released(struct loop_timer *timer) {
    struct cell *cell = CONTAINER_OF(timer, struct cell, timer);
    tree_remove(&cell->tree);
    tell_released(cell, false);
}

static void on_plain_gone(struct proc *proc) {
    struct cell *cell = proc->cell;
    *proc_find(cell, proc->id) = proc->next;
    if (cell->is_releasing && !cell->procs)
        loop_defer(cell->loop, &cell->timer, tell_plain_released);
}

int cell_spawn(struct cell *cell, const struct proc_spec *spec, struct proc *proc) {
    if (cell->state != CELL_READY && cell->state != CELL_PLAIN)
        return cell->state == CELL_BROKEN ? -EPIPE : -EINVAL;
    proc->cell = cell;
    proc->id = ++cell->last_id;
    proc->has_started = false;
    proc->is_told_late = spec->flags & PROC_TELL_LATE;
    proc->pidfd = -1;
    proc->gone = on_plain_gone;
    int result;
    if (cell->state == CELL_PLAIN) {
        struct proc_spec limited = *spec;
        limited.limits.data_bytes = cell->wants.program_memory_bytes;
        result = plain_spawn(cell->loop, &limited, proc);
    } else {
        result = spawn_supervised(cell, spec, proc->id);
    }
    if (result < 0)
        return result;
    proc->next = cell->procs;
    cell->procs = proc;
    return 0;
}

void cell_signal_all(struct cell *cell, int signal) {
    if (cell->state == CELL_PLAIN) {
        for (struct proc *proc = cell->procs; proc; proc = proc->next)
            plain_signal(proc, signal);
    } else if (cell->state == CELL_READY) {
        struct wire_header header = {.type = WIRE_SIGNAL};
        header.signal.signal = signal;
        (void)cell_send(cell, &header, NULL, 0, NULL, 0); /* one that is gone has nothing to be signalled */
    }
}

/* ----------------------------------------------------------------------------------------------------- releasing */

static int release_plain(struct cell *cell) {
    loop_timer_clear(&cell->timer);
    if (cell->procs) {
        cell->is_releasing = true;
        cell_signal_all(cell, SIGKILL);
        return 0;
    }
    tree_remove(&cell->tree);
    pool_free_cell(cell);
    return 1;
}

static int release_broken(struct cell *cell) {
    cell_scatter(cell);
    cell->is_releasing = true;
    if (cell->is_breaking || !end_broken(cell))
        return 0;
    pool_free_cell(cell);
    return 1;
}

static void on_reset_overdue(struct loop_timer *timer) {
    struct cell *cell = CONTAINER_OF(timer, struct cell, timer);
    cell_break(cell, cell_error(ETIMEDOUT, "the supervisor of the programs does not answer"));
}

static int release_supervised(struct cell *cell) {
    cell_scatter(cell);
    bool is_used = cell->state == CELL_READY || cell->state == CELL_LIMITING;
    bool is_clean = cell->is_clean && !cell->procs;
    int result = is_used ? cell_request(cell, WIRE_RESET) : 0;
    if (result >= 0 && is_clean) {
        loop_fd_remove(&cell->source);
        pool_give(cell);
        return 1;
    }
    /* What can't be asked is as one that does not answer: from the next step on. */
    uint64_t when = result < 0 ? 0 : time_add_ns(time_now_ns(), CELL_RESET_TIMEOUT_S * NS_PER_SECOND);
    cell->is_releasing = true;
    loop_timer_set(cell->loop, &cell->timer, when, on_reset_overdue);
    return 0;
}

int cell_release(struct cell *cell) {
    if (!cell)
        return 1;
    cell_end_look(cell);
    if (cell->error || cell->state == CELL_ABANDONED) {
        loop_timer_clear(&cell->timer);
        pool_free_cell(cell);
        return 1;
    }
    if (cell->state == CELL_PLAIN)
        return release_plain(cell);
    if (cell->state == CELL_BROKEN)
        return release_broken(cell);
    return release_supervised(cell);
}

void cell_let_go(struct cell *cell) {
    for (struct proc *proc = cell->procs; proc; proc = proc->next)
        plain_forget(proc);
    cell_close(cell);
    fd_close(TAKE_FD(cell->tree.fd));
    cell_set_state(cell, CELL_ABANDONED);
}

void cell_abandon(struct cell *cell) {
    if (cell)
        pool_free_cell(cell);
}
