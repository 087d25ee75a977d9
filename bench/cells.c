/* What a cell costs, made anew and kept warm, by each containment and with limits; against starting the program bare,
 * and in bubblewrap; from a small host and from one with much memory in use.
 *
 *   cells TINY BWRAP TURNS MEGABYTES
 *
 * TINY is bench/tiny; BWRAP may be "", then it is left out. MEGABYTES of memory are in use meanwhile. Prints a line a
 * kind, as calls.c does; what can't be had here is left out.
 */
#include "sample.h"
#include "spile.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

struct setting {
    const char *tiny, *bwrap;
    spile_plan *plan;
};

struct way {
    const struct setting *setting;
    spile_containment containment;
    spile_limits limits;
    spile_ctx *ctx; /* NULL: a new one each time */
};

static spile_ctx *context_of(spile_containment containment) {
    const spile_ctx_options options = {.size = sizeof(options), .containment = containment};
    spile_ctx *ctx = NULL;
    if (spile_ctx_new(&options, &ctx) < 0)
        fail("a context");
    return ctx;
}

/* Negative: such a call can't be had here. */
static int try_call(const struct way *way) {
    const spile_call_options options = {.size = sizeof(options), .limits = way->limits};
    spile_ctx *ctx = way->ctx ? way->ctx : context_of(way->containment);
    spile_call *call = NULL;
    spile_result *result = NULL;
    int r = spile_call_new(way->setting->plan, ctx, &options, &call);
    if (r >= 0)
        r = spile_call_run(call, &result);
    spile_result_free(result);
    spile_call_free(call);
    if (!way->ctx)
        spile_ctx_free(ctx);
    return r;
}

static void run_call(void *context) {
    if (try_call(context) < 0)
        fail("a call");
}

static void run_unit(void *context) {
    const char *argv[] = {((const struct setting *)context)->tiny, NULL};
    run_bare(argv, NULL);
}

static void run_bwrap(void *context) {
    const struct setting *setting = context;
    const char *argv[] = {setting->bwrap,
                          "--die-with-parent",
                          "--unshare-pid",
                          "--dev-bind",
                          "/",
                          "/",
                          "--tmpfs",
                          "/mnt",
                          setting->tiny,
                          NULL};
    run_bare(argv, NULL);
}

static spile_plan *make_plan(const char *tiny) {
    spile_plan *plan = NULL;
    if (spile_plan_new(&plan) < 0 || spile_plan_add_vector(plan, &tiny, 1, NULL, NULL) < 0 ||
        spile_plan_finish(plan, NULL) < 0)
        fail("a plan");
    return plan;
}

static void use_memory(size_t bytes) {
    char *memory = bytes ? mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) : NULL;
    if (memory == MAP_FAILED)
        fail("memory");
    if (memory)
        memset(memory, 1, bytes);
}

int main(int argc, char **argv) {
    if (argc != 5) {
        fprintf(stderr, "usage: cells TINY BWRAP TURNS MEGABYTES\n");
        return 2;
    }
    struct setting setting = {.tiny = argv[1], .bwrap = argv[2], .plan = make_plan(argv[1])};
    size_t turns = strtoul(argv[3], NULL, 10), count = 0;
    struct way ways[] = {
        {.containment = SPILE_CONTAINMENT_NAMESPACE},
        {.containment = SPILE_CONTAINMENT_REAPER},
        {.containment = SPILE_CONTAINMENT_NONE},
        {.containment = SPILE_CONTAINMENT_NAMESPACE,
         .limits = {.wall_ns = UINT64_C(60000000000), .cpu_ns = UINT64_C(60000000000), .file_bytes = 1 << 26}},
        {.containment = SPILE_CONTAINMENT_NAMESPACE,
         .limits = {.program_memory_bytes = 1 << 28, .processes = 100, .open_files = 64}},
        {.containment = SPILE_CONTAINMENT_NAMESPACE},
        {.containment = SPILE_CONTAINMENT_REAPER},
    };
    static const char *const names[] = {"warm-namespace", "warm-reaper",    "warm-none",  "warm-limits",
                                        "warm-groups",    "cold-namespace", "cold-reaper"};
    enum { WARM = 5, WAYS = sizeof(ways) / sizeof(*ways) };
    struct kind kinds[WAYS + 2] = {{.name = "unit", .run = run_unit, .context = &setting}};
    use_memory(strtoul(argv[4], NULL, 10) << 20);
    count = 1;
    for (size_t i = 0; i < WAYS; i++) {
        ways[i].setting = &setting;
        ways[i].ctx = i < WARM ? context_of(ways[i].containment) : NULL;
        if (try_call(&ways[i]) >= 0)
            kinds[count++] = (struct kind){.name = names[i], .run = run_call, .context = &ways[i]};
    }
    if (*setting.bwrap)
        kinds[count++] = (struct kind){.name = "bwrap", .run = run_bwrap, .context = &setting};
    sample_kinds(kinds, count, turns, turns / 10 + 5);
    for (size_t i = 0; i < WARM; i++)
        spile_ctx_free(ways[i].ctx);
    spile_plan_unref(setting.plan);
    return 0;
}
