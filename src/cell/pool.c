/* The pool of cells: see pool.h. It must never wait for a supervisor but in spile_ctx_free, and there for a bounded
 * time. A cell that was just used is given back while it still empties itself; the next lease prefers another one.
 */
#include "cell/pool.h"
#include "base/affinity.h"
#include "cell/helper.h"

enum { IDLE_DEFAULT_MIN = 2, IDLE_DEFAULT_MAX = 8, END_TIMEOUT_S = 1 };

static void context_after_fork(struct forkguard_node *node);

/* -------------------------------------------------------------------------------------------------------- cells */

#define STEP(state) (1u << (state))

void cell_set_state(struct cell *cell, enum cell_state state) {
    static const unsigned steps[] = {
        [CELL_NEW] = STEP(CELL_STARTING) | STEP(CELL_PLAIN),
        [CELL_STARTING] = STEP(CELL_READY) | STEP(CELL_BROKEN) | STEP(CELL_ENDING),
        [CELL_READY] = STEP(CELL_LIMITING) | STEP(CELL_RESETTING) | STEP(CELL_BROKEN) | STEP(CELL_ENDING),
        [CELL_LIMITING] = STEP(CELL_READY) | STEP(CELL_RESETTING) | STEP(CELL_BROKEN) | STEP(CELL_ENDING),
        [CELL_RESETTING] = STEP(CELL_READY) | STEP(CELL_BROKEN) | STEP(CELL_ENDING),
        [CELL_PLAIN] = 0,
        [CELL_BROKEN] = STEP(CELL_STARTING) | STEP(CELL_PLAIN) | STEP(CELL_ENDING),
        [CELL_ENDING] = 0,
        [CELL_ABANDONED] = 0,
    };
    static_assert(ARRAY_SIZE(steps) == CELL_STATE_COUNT, "every state has its row");
    assert(state == CELL_ABANDONED || steps[cell->state] & STEP(state));
    cell->state = state;
}

/* Orphans go to a host that is a subreaper or the init of a container: then it is ours to reap. Mostly it is not, and
 * that is no failure. */
static void reap(int *pidfd) {
    siginfo_t info;
    if (*pidfd >= 0)
        (void)sys_waitid(P_PIDFD, (id_t)*pidfd, &info, WEXITED | WNOHANG | __WALL, NULL);
    fd_close(TAKE_FD(*pidfd));
}

void cell_close(struct cell *cell) {
    fd_close(TAKE_FD(cell->socket));
    fd_close(TAKE_FD(cell->root));
    reap(&cell->pidfd);
    reap(&cell->keeper);
}

void cell_remove_groups(const struct cell *cell) {
    for (size_t i = 0; i < ARRAY_SIZE(cell->groups); i++)
        if (cell->groups[i][0])
            cgroup_remove_path(cell->groups[i]);
}

struct cell *pool_new_cell(spile_ctx *ctx) {
    struct cell *cell = memory_zero(1, sizeof(*cell));
    if (!cell)
        return NULL;
    cell->ctx = ctx;
    cell->socket = cell->root = cell->pidfd = cell->keeper = cell->tree.fd = -1;
    cell->containment = ctx->containment;
    FORKGUARD_HOLD();
    cell->next = &ctx->ring;
    cell->previous = ctx->ring.previous;
    ctx->ring.previous->next = cell;
    ctx->ring.previous = cell;
    ctx->cell_count++;
    return cell;
}

static void free_unlinked(struct cell *cell) {
    cell_close(cell);
    fd_close(TAKE_FD(cell->tree.fd));
    spile_error_free(cell->error);
    free(cell->path);
    free(cell->notice);
    free(cell->inodes);
    free(cell);
}

static void unlink_locked(struct cell *cell) {
    cell->previous->next = cell->next;
    cell->next->previous = cell->previous;
    cell->ctx->cell_count--;
}

void pool_free_cell(struct cell *cell) {
    forkguard_lock();
    unlink_locked(cell);
    forkguard_unlock();
    free_unlinked(cell);
}

/* The supervisor before it, broken or killed in the middle of something, is seen to its end as others are. */
static void leave_behind(struct cell *cell) {
    struct cell *husk = cell->pidfd >= 0 ? pool_new_cell(cell->ctx) : NULL;
    if (!husk)
        return;
    husk->pidfd = TAKE_FD(cell->pidfd);
    husk->keeper = TAKE_FD(cell->keeper);
    memcpy(husk->groups, cell->groups, sizeof(husk->groups));
    cell_set_state(husk, CELL_STARTING);
    pool_end(husk, cell->containment == SPILE_CONTAINMENT_NAMESPACE); /* else it has to clean up first */
}

int pool_start(struct cell *cell, spile_error **ret_error) {
    spile_ctx *ctx = cell->ctx;
    leave_behind(cell);
    cell_close(cell);
    free(TAKE_POINTER(cell->path));
    free(TAKE_POINTER(cell->notice));
    cell->user = geteuid();
    cell->group = getegid();
    cell->request = 0;
    cell->is_clean = true;
    cell->groups[0][0] = cell->groups[1][0] = '\0';
    /* Held over the start, so that no fork takes the supervisor's end of the socket along: its end would go unseen. */
    FORKGUARD_HOLD();
    int result = 0;
    if (!ctx->helper)
        result = helper_find(ctx->cell_path, &ctx->helper, ret_error);
    if (result >= 0)
        result = helper_start(ctx->helper, ctx->containment, &cell->socket, ret_error);
    if (result >= 0)
        cell_set_state(cell, CELL_STARTING);
    return result;
}

int cell_request(struct cell *cell, enum wire_type type) {
    struct wire_header header = {.type = type, .id = cell->request + 1};
    if (type == WIRE_LEASE)
        header.lease = cell->wants;
    int result = wire_send(cell->socket, &header, NULL, 0, NULL, 0, MSG_DONTWAIT);
    if (result < 0)
        return result;
    cell->request++;
    cell->reset_ns = type == WIRE_RESET ? time_now_ns() : 0;
    cell_set_state(cell, type == WIRE_RESET ? CELL_RESETTING : CELL_LIMITING);
    return 0;
}

/* What READY brings after the start and after RESET. */
static int take_place(struct cell *cell, struct wire_message *message) {
    size_t path_size = strlen(message->body) + 1;
    if (message->fd_count == 0 || path_size >= message->body_size)
        return -EBADMSG;
    const char *notice = message->body + path_size;
    if (!cell->path)
        cell->path = memory_string(message->body);
    if (!cell->notice && *notice)
        cell->notice = memory_string(notice);
    if (!cell->path || (*notice && !cell->notice))
        return -ENOMEM;
    fd_close(cell->root);
    cell->root = TAKE_FD(message->fds[0]);
    if (message->fd_count > 1) {
        fd_close(cell->pidfd);
        cell->pidfd = TAKE_FD(message->fds[1]);
    }
    if (message->fd_count > 2) {
        fd_close(cell->keeper);
        cell->keeper = TAKE_FD(message->fds[2]);
    }
    cell->containment = (spile_containment)message->header.ready.containment;
    cell->supervisor = message->header.ready.can_move ? message->sender : 0;
    cell->is_clean = true;
    return 0;
}

/* And after LEASE. */
static int take_means(struct cell *cell, const struct wire_message *message) {
    const char *place = message->body, *end = message->body + message->body_size;
    for (size_t i = 0; i < ARRAY_SIZE(cell->groups) && place < end; i++, place += strlen(place) + 1) {
        if (strlen(place) >= sizeof(cell->groups[i]))
            return -EBADMSG;
        memcpy(cell->groups[i], place, strlen(place) + 1);
    }
    cell->means = message->header.ready.means;
    return 0;
}

int cell_take_ready(struct cell *cell, struct wire_message *message) {
    const struct wire_header *header = &message->header;
    if (header->id != cell->request)
        return 0;
    if (header->ready.version != WIRE_VERSION || cell->state == CELL_READY)
        return -EBADMSG;
    if (message->lost_fds)
        return -EMFILE;
    int result = 0;
    if (cell->state == CELL_LIMITING)
        result = take_means(cell, message);
    else if (cell->state == CELL_RESETTING && message->fd_count == 0)
        cell->is_clean = true; /* it was emptied; the root is the same */
    else
        result = take_place(cell, message);
    if (result < 0)
        return result;
    cell_set_state(cell, CELL_READY);
    return 1;
}

/* --------------------------------------------------------------------------------------------------------- ends */

/* One that was ended before it was READY says so all the same, and by what to see its end. */
static void take_processes(struct cell *cell, int timeout_ms) {
    char body[WIRE_TEXT_MAX + 1];
    struct wire_message message;
    struct pollfd watched = {.fd = cell->socket, .events = POLLIN};
    if (cell->pidfd >= 0 || cell->socket < 0 || poll(&watched, 1, timeout_ms) <= 0 ||
        wire_receive(cell->socket, body, WIRE_TEXT_MAX, &message, MSG_DONTWAIT) <= 0)
        return;
    if (message.header.type == WIRE_READY && message.fd_count > 1)
        cell->pidfd = TAKE_FD(message.fds[1]);
    if (message.header.type == WIRE_READY && message.fd_count > 2)
        cell->keeper = TAKE_FD(message.fds[2]);
    wire_message_done(&message);
}

/* Whether the supervisor is gone, with it (in a namespace) all of the cell, and its keeper after it. */
static bool is_gone(struct cell *cell, int timeout_ms) {
    take_processes(cell, timeout_ms);
    struct pollfd watched = {.fd = cell->pidfd >= 0 ? cell->pidfd : cell->socket, .events = POLLIN};
    struct pollfd keeper = {.fd = cell->keeper, .events = POLLIN};
    if (watched.fd < 0)
        return true;
    if (poll(&watched, 1, timeout_ms) <= 0) /* no fault point: an early return would leave the cell behind */
        return false;
    /* A socket is readable for what its supervisor said last, too. */
    bool is_over = cell->pidfd >= 0 || (watched.revents & POLLHUP);
    return is_over && (keeper.fd < 0 || poll(&keeper, 1, timeout_ms) > 0);
}

/* Frees what has gone; waits until `deadline_ns` for what has not. Returns what is left. */
static struct cell *sweep(struct cell *ending, uint64_t deadline_ns) {
    struct cell *left = NULL;
    for (struct cell *cell = ending, *next; cell; cell = next) {
        next = cell->next_idle;
        uint64_t now = deadline_ns ? time_now_ns() : 0;
        if (is_gone(cell, now < deadline_ns ? (int)((deadline_ns - now) / NS_PER_MS) + 1 : 0)) {
            cell_remove_groups(cell);
            pool_free_cell(cell);
        } else {
            cell->next_idle = left;
            left = cell;
        }
    }
    return left;
}

static struct cell *take_ending(spile_ctx *ctx) {
    FORKGUARD_HOLD();
    return TAKE_POINTER(ctx->ending);
}

static void put_ending(spile_ctx *ctx, struct cell *cells) {
    FORKGUARD_HOLD();
    while (cells) {
        struct cell *cell = cells;
        cells = cell->next_idle;
        cell->next_idle = ctx->ending;
        ctx->ending = cell;
    }
}

static void sweep_ending(spile_ctx *ctx, uint64_t deadline_ns) {
    put_ending(ctx, sweep(take_ending(ctx), deadline_ns));
}

void pool_end(struct cell *cell, bool kill) {
    struct wire_header header = {.type = WIRE_QUIT};
    cell_set_state(cell, CELL_ENDING);
    if (kill && cell->pidfd >= 0)
        (void)sys_pidfd_kill(cell->pidfd, SIGKILL);
    else
        (void)wire_send(cell->socket, &header, NULL, 0, NULL, 0, MSG_DONTWAIT);
    fd_close(TAKE_FD(cell->root));
    /* With a pidfd its end is seen by that; hanging up is heard even by one that took no QUIT. */
    if (cell->pidfd >= 0)
        fd_close(TAKE_FD(cell->socket));
    else
        (void)shutdown(cell->socket, SHUT_WR);
    cell->next_idle = NULL;
    put_ending(cell->ctx, cell);
}

/* --------------------------------------------------------------------------------------------------------- pool */

/* What an idle cell's socket has to say. False: it is of no use any more. */
static bool idle_look(struct cell *cell) {
    char body[WIRE_TEXT_MAX + 1];
    for (;;) {
        struct wire_message message;
        int result = wire_receive(cell->socket, body, WIRE_TEXT_MAX, &message, MSG_DONTWAIT);
        if (result == -EAGAIN)
            return cell->state != CELL_RESETTING ||
                   time_now_ns() < time_add_ns(cell->reset_ns, CELL_RESET_TIMEOUT_S * NS_PER_SECOND);
        if (result <= 0)
            return false;
        result = -EBADMSG;
        if (message.header.type == WIRE_READY)
            result = cell_take_ready(cell, &message);
        else if (message.header.type == WIRE_LOOKED) /* nobody asks any more */
            result = 0;
        wire_message_done(&message);
        if (result < 0)
            return false;
    }
}

static bool is_same_user(const struct cell *cell) {
    return cell->user == geteuid() && cell->group == getegid();
}

/* Ranks an idle cell for a lease: 0 of no use. */
static int idle_rank(struct cell *cell) {
    if (!is_same_user(cell) || !idle_look(cell))
        return 0;
    return cell->state == CELL_READY ? 3 : cell->state == CELL_RESETTING ? 2 : 1;
}

struct cell *pool_take(spile_ctx *ctx) {
    struct cell *best = NULL, *useless = NULL;
    int best_rank = 0;
    forkguard_lock();
    struct cell *ending = TAKE_POINTER(ctx->ending);
    for (struct cell **link = &ctx->idle; *link && best_rank < 3;) {
        struct cell *cell = *link;
        int rank = idle_rank(cell);
        if (rank == 0) {
            *link = cell->next_idle;
            cell->next_idle = useless;
            useless = cell;
            ctx->idle_count--;
            continue;
        }
        if (rank > best_rank) {
            best = cell;
            best_rank = rank;
        }
        link = &cell->next_idle;
    }
    for (struct cell **link = &ctx->idle; best && *link; link = &(*link)->next_idle) {
        if (*link == best) {
            *link = best->next_idle;
            ctx->idle_count--;
            break;
        }
    }
    forkguard_unlock();
    while (useless) {
        struct cell *cell = useless;
        useless = cell->next_idle;
        pool_end(cell, is_same_user(cell)); /* one of another user works, and may be beyond our signals */
    }
    if (ending)
        put_ending(ctx, sweep(ending, 0));
    return best;
}

void pool_give(struct cell *cell) {
    spile_ctx *ctx = cell->ctx;
    cell->loop = NULL;
    cell->owner = NULL;
    cell->next_idle = NULL;
    cell->wants = (struct cell_wants){0};
    cell->means = (struct cell_means){0};
    cell->is_releasing = false;
    forkguard_lock();
    bool keep = ctx->idle_count < ctx->idle_limit;
    if (keep) {
        struct cell **link = &ctx->idle;
        while (*link) /* at the end: the one that rested longest goes first */
            link = &(*link)->next_idle;
        *link = cell;
        ctx->idle_count++;
    }
    forkguard_unlock();
    if (!keep)
        pool_end(cell, false);
}

/* ------------------------------------------------------------------------------------------------------ context */

static unsigned default_idle(void) {
    return MIN(MAX(affinity_count(), (unsigned)IDLE_DEFAULT_MIN), (unsigned)IDLE_DEFAULT_MAX);
}

int spile_ctx_new(const spile_ctx_options *options, spile_ctx **ret_ctx) {
    spile_ctx_options chosen = {0};
    if (!ret_ctx || (options && options->size == 0))
        return -EINVAL;
    if (options)
        memcpy(&chosen, options, MIN(options->size, sizeof(chosen)));
    if ((int)chosen.containment < SPILE_CONTAINMENT_AUTO || chosen.containment > SPILE_CONTAINMENT_NONE)
        return -EINVAL;
    spile_ctx *ctx = memory_zero(1, sizeof(*ctx));
    if (!ctx)
        return -ENOMEM;
    ctx->containment = chosen.containment;
    ctx->idle_limit = chosen.idle_cells ? chosen.idle_cells : default_idle();
    ctx->processors = (unsigned)MAX(sysconf(_SC_NPROCESSORS_ONLN), 1L);
    ctx->ring.previous = ctx->ring.next = &ctx->ring;
    ctx->cell_path = chosen.cell_path ? memory_string(chosen.cell_path) : NULL;
    if (chosen.cell_path && !ctx->cell_path) {
        free(ctx);
        return -ENOMEM;
    }
    forkguard_add(&ctx->guard, context_after_fork);
    *ret_ctx = ctx;
    return 0;
}

spile_ctx *spile_ctx_free(spile_ctx *ctx) {
    if (!ctx)
        return NULL;
    while (ctx->idle) {
        struct cell *cell = ctx->idle;
        ctx->idle = cell->next_idle;
        ctx->idle_count--;
        pool_end(cell, !idle_look(cell));
    }
    sweep_ending(ctx, time_now_ns() + END_TIMEOUT_S * NS_PER_SECOND);
    for (struct cell *cell = ctx->ending; cell; cell = cell->next_idle)
        if (cell->pidfd >= 0)
            (void)sys_pidfd_kill(cell->pidfd, SIGKILL);
    if (ctx->ending)
        sweep_ending(ctx, time_now_ns() + END_TIMEOUT_S * NS_PER_SECOND);
    while (ctx->ending) { /* what can't even be killed hangs in the kernel */
        struct cell *cell = ctx->ending;
        ctx->ending = cell->next_idle;
        pool_free_cell(cell);
    }
    assert(ctx->cell_count == 0); /* a call outlived its context */
    while (ctx->loop_count > 0)
        spile_loop_free(ctx->loops[--ctx->loop_count]);
    forkguard_remove(&ctx->guard);
    free(ctx->helper);
    free(ctx->cell_path);
    free(ctx);
    return NULL;
}

int spile_ctx_prepare(spile_ctx *ctx, unsigned count) {
    if (!ctx && !(ctx = ctx_default()))
        return -ENOMEM;
    if (ctx->containment == SPILE_CONTAINMENT_NONE)
        return 0;
    forkguard_lock();
    unsigned existing = ctx->idle_count, limit = ctx->idle_limit;
    forkguard_unlock();
    for (; existing < MIN(count, limit); existing++) {
        struct cell *cell = pool_new_cell(ctx);
        int result = cell ? pool_start(cell, NULL) : -ENOMEM;
        if (result < 0) {
            if (cell)
                pool_free_cell(cell);
            return result;
        }
        pool_give(cell);
    }
    return 0;
}

/* In the child of a fork: what is idle goes, what is leased is only let go of; its owner frees it. */
static void context_after_fork(struct forkguard_node *node) {
    spile_ctx *ctx = CONTAINER_OF(node, spile_ctx, guard);
    struct cell *lists[] = {TAKE_POINTER(ctx->idle), TAKE_POINTER(ctx->ending)};
    ctx->idle_count = 0;
    for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
        for (struct cell *cell = lists[i], *next; cell; cell = next) {
            next = cell->next_idle;
            unlink_locked(cell);
            free_unlinked(cell);
        }
    }
    for (struct cell *cell = ctx->ring.next; cell != &ctx->ring; cell = cell->next)
        cell_let_go(cell);
}

static spile_ctx *default_context;
static pthread_once_t default_once = PTHREAD_ONCE_INIT;

static void make_default(void) {
    (void)spile_ctx_new(NULL, &default_context);
}

spile_ctx *ctx_default(void) {
    pthread_once(&default_once, make_default);
    return default_context;
}

spile_loop *ctx_take_loop(spile_ctx *ctx) {
    if (!ctx && !(ctx = ctx_default()))
        return NULL;
    for (;;) {
        forkguard_lock();
        spile_loop *loop = ctx->loop_count > 0 ? ctx->loops[--ctx->loop_count] : NULL;
        forkguard_unlock();
        if (!loop || !loop_is_dead(loop))
            return loop;
        spile_loop_free(loop); /* the parent of a fork has it */
    }
}

void ctx_give_loop(spile_ctx *ctx, spile_loop *loop) {
    if (!ctx)
        ctx = ctx_default();
    if (!ctx || loop_is_dead(loop)) {
        spile_loop_free(loop);
        return;
    }
    forkguard_lock();
    bool keep = ctx->loop_count < ARRAY_SIZE(ctx->loops);
    if (keep)
        ctx->loops[ctx->loop_count++] = loop;
    forkguard_unlock();
    if (!keep)
        spile_loop_free(loop);
}
