/* When a program is started on its host's processor (see base/gathering.h): where the host waits for it alone, and the
 * last such programs took a moment. */
#include "base/gathering.h"
#include "cell/pool.h"

enum { BRIEF_ENOUGH = 2 };

static size_t leased_count(const spile_ctx *ctx) {
    size_t count = ctx->cell_count - ctx->idle_count;
    for (const struct cell *cell = ctx->ending; cell; cell = cell->next_idle)
        count--;
    return count;
}

bool cell_gather(struct cell *cell) {
    spile_ctx *ctx = cell->ctx;
    if (cell->supervisor <= 0)
        return false;
    cell->alone_since_ns = time_now_ns();
    forkguard_lock();
    bool is_wanted = ctx->brief_count >= BRIEF_ENOUGH && leased_count(ctx) == 1;
    forkguard_unlock();
    return is_wanted && loop_gather(cell->loop, cell->supervisor);
}

void cell_scatter(struct cell *cell) {
    uint64_t since = TAKE(cell->alone_since_ns, 0);
    if (since == 0)
        return;
    loop_scatter(cell->loop);
    bool is_brief = time_now_ns() < time_add_ns(since, GATHERING_NS);
    FORKGUARD_HOLD();
    cell->ctx->brief_count = is_brief ? MIN(cell->ctx->brief_count + 1, (unsigned)BRIEF_ENOUGH) : 0;
}
