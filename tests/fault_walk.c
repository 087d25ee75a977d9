/* See fault_walk.h. */
#include "fault_walk.h"

enum { PASSES = 3 };

static void fail_at(struct fault_plan *plan, int scenario, const struct fault_walk *walk,
                    const struct fault_entry *entry, unsigned pass, int code, bool is_onward) {
    uint32_t key = entry->key;
    char where[128];
    snprintf(where, sizeof(where), "scenario %d, %s, pass %u%s, %d", scenario, entry->place, pass,
             is_onward ? " and on" : "", code);
    if (getenv("SPILE_TEST_VERBOSE"))
        fprintf(stderr, "%s\n", where); /* of a crash, too, the place is known then */
    fault_plan_reset(plan);
    plan->code = code;
    plan->occurrence = pass;
    plan->onward = is_onward;
    plan->key = key;
    walk->live(scenario, where);
}

static void fail_in_all_ways(struct fault_plan *plan, int scenario, const struct fault_walk *walk,
                             const struct fault_entry *entry, unsigned pass) {
    bool is_transfer = entry->class == FAULT_TRANSFER;
    fail_at(plan, scenario, walk, entry, pass, is_transfer || entry->class == FAULT_RELEASE ? EIO : EMFILE, false);
    if (!walk->may_last || walk->may_last(entry))
        fail_at(plan, scenario, walk, entry, pass, is_transfer ? EIO : ENOMEM, true);
    if (!is_transfer)
        return;
    fail_at(plan, scenario, walk, entry, pass, EINTR, false);
    fail_at(plan, scenario, walk, entry, pass, EAGAIN, false);
    fail_at(plan, scenario, walk, entry, pass, FAULT_SHORT, false);
}

unsigned fault_walk(struct fault_plan *plan, int scenario, const struct fault_walk *walk) {
    unsigned count = 0, passes[FAULT_TABLE_SIZE];
    walk->live(scenario, NULL); /* whatever is made once is there now */
    fault_plan_reset(plan);
    walk->live(scenario, NULL);
    for (size_t i = 0; i < FAULT_TABLE_SIZE; i++)
        passes[i] = plan->table[i].passes;
    for (size_t i = 0; i < FAULT_TABLE_SIZE; i++) {
        const struct fault_entry *entry = &plan->table[i];
        if (!entry->key || (walk->is_wanted && !walk->is_wanted(entry)))
            continue;
        for (unsigned pass = 1; pass <= MIN(passes[i], (unsigned)PASSES); pass++, count++)
            fail_in_all_ways(plan, scenario, walk, entry, pass);
    }
    return count;
}
