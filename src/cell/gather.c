/* When a program is started on its host's processor (see base/gathering.h): where the host waits for it alone, the
 * last such programs took a moment, and nobody else wants the processor. */
#include "base/gathering.h"
#include "cell/pool.h"

#define LOOK_AGAIN_NS (10 * NS_PER_MS) /* a look costs several microseconds */
enum { BUSY_ENOUGH = 3 };

static size_t leased_count(const spile_ctx *ctx) {
    size_t count = ctx->cell_count - ctx->idle_count;
    for (const struct cell *cell = ctx->ending; cell; cell = cell->next_idle)
        count--;
    return count;
}

/* Whether more want to run than there are processors: then some may wait for this one, and we would behind them. */
static bool looks_busy(unsigned processors) {
    char text[64];
    unsigned running;
    AUTO_FD fd = sys_openat(AT_FDCWD, "/proc/loadavg", O_RDONLY, 0);
    ssize_t size = fd < 0 ? fd : sys_read(fd, text, sizeof(text) - 1);
    text[MAX(size, 0)] = '\0';
    return sscanf(text, "%*f %*f %*f %u/", &running) != 1 || running > processors;
}

/* Under the lock. One busy look says little: who has just gone to sleep may still be counted (see proc/exec.c). */
static bool is_calm(spile_ctx *ctx, uint64_t now) {
    if (now >= ctx->next_look_ns) {
        ctx->busy_looks = looks_busy(ctx->processors) ? ctx->busy_looks + 1 : 0;
        ctx->next_look_ns = now + LOOK_AGAIN_NS;
    }
    return ctx->busy_looks < BUSY_ENOUGH;
}

bool cell_gather(struct cell *cell) {
    spile_ctx *ctx = cell->ctx;
    if (cell->supervisor <= 0)
        return false;
    uint64_t now = cell->alone_since_ns = time_now_ns();
    forkguard_lock();
    bool is_wanted = ctx->brief_count >= CELL_BRIEF_ENOUGH && leased_count(ctx) == 1 && is_calm(ctx, now);
    forkguard_unlock();
    /* Its number is its own as long as it lives. */
    return is_wanted && sys_pidfd_kill(cell->pidfd, 0) >= 0 && loop_gather(cell->loop, cell->supervisor);
}

void cell_scatter(struct cell *cell) {
    uint64_t since = TAKE(cell->alone_since_ns, 0);
    if (since == 0)
        return;
    loop_scatter(cell->loop);
    bool is_brief = time_now_ns() < time_add_ns(since, GATHERING_NS);
    FORKGUARD_HOLD();
    cell->ctx->brief_count = is_brief ? MIN(cell->ctx->brief_count + 1, (unsigned)CELL_BRIEF_ENOUGH) : 0;
}
