/* Calls under injected failures: every call of the rooms that a staged call goes through is made to fail, once and from
 * there on. Whatever fails: nothing hangs, nothing is left, and what is said to have ended well has its bytes.
 */
#include "base/fault.h"
#include "support.h"

enum { BYTES = 300000, PASSES = 3 };

static struct fault_plan *plan;
static unsigned char *bytes;
static uint32_t armed_key; /* of the point that fails once the plan is made */
static spile_ctx *ctx;     /* of its own for each call, so that what is left can be counted */

struct outcome {
    int made, result; /* what was set up; what the run said */
    spile_error_kind kind;
    char *message;
    bool is_right;
};

static spile_call *make(spile_plan *plan_to_run, struct outcome *outcome) {
    const spile_ctx_options ctx_options = {.size = sizeof(ctx_options), .containment = support_containment()};
    const spile_call_options options = {.size = sizeof(options), .limits.wall_ns = 20 * NS_PER_SECOND};
    spile_call *call = NULL;
    plan->key = armed_key;
    outcome->made = spile_ctx_new(&ctx_options, &ctx);
    if (outcome->made >= 0)
        outcome->made = spile_call_new(plan_to_run, ctx, &options, &call);
    spile_plan_unref(plan_to_run);
    return call;
}

static spile_result *finish(spile_call *call, struct outcome *outcome) {
    spile_result *result = NULL;
    outcome->result = outcome->made < 0 ? outcome->made : spile_call_run(call, &result);
    const spile_error *error = result ? spile_result_error(result) : NULL;
    outcome->kind = error ? spile_error_get_kind(error) : 0;
    outcome->message = error ? strdup(spile_error_get_message(error)) : NULL;
    spile_call_free(call);
    ctx = spile_ctx_free(ctx);
    plan->key = 0;
    return result;
}

static bool has_bytes(const spile_result *result, const char *name) {
    const void *data;
    size_t size;
    return result && spile_result_get(result, name, &data, &size) == 0 && size == BYTES &&
           memcmp(data, bytes, BYTES) == 0;
}

static void give_input(spile_call *call, struct outcome *outcome) {
    if (outcome->made >= 0)
        outcome->made = spile_call_input_copy(call, "in", bytes, BYTES);
}

static void end_in_memory(spile_call *call, struct outcome *outcome) {
    spile_result *result = finish(call, outcome);
    outcome->is_right = outcome->result == 0 && has_bytes(result, "out");
    spile_result_free(result);
}

/* A graph: a file for two, a move, a change in place, a bar, patterns. */
static void run_graph(struct outcome *outcome) {
    spile_call *call = make(PLAN("sh -c 'head -c 100000 $1 >p1; tail -c +100001 $1 >p2' sh {<in} {+>p*}",
                                 "cat {<p*} >{whole}", "cp {<whole} {>copy}", "sh -c 'cat >>$1 </dev/null' sh {<>copy}",
                                 "cat {<copy} {+<whole} | cat >{out}"),
                            outcome);
    give_input(call, outcome);
    end_in_memory(call, outcome);
}

static ssize_t write_pieces(unsigned char *place, size_t *done, void *buffer, size_t size) {
    size = MIN(size, BYTES - *done);
    memcpy(buffer, place + *done, size);
    *done += size;
    return (ssize_t)size;
}

static ssize_t read_input(void *user, void *buffer, size_t size) {
    return write_pieces(bytes, user, buffer, size);
}

struct taken {
    size_t size;
    bool is_wrong;
};

static int take_output(void *user, const char *name, const void *data, size_t size) {
    struct taken *taken = user;
    (void)name;
    taken->is_wrong |= taken->size + size > BYTES || (size && memcmp(bytes + taken->size, data, size) != 0);
    taken->size += size;
    return 0;
}

/* Every way in and out: a callback, a path; a path, a callback. */
static void run_delivered(struct outcome *outcome) {
    const char *directory = scratch();
    char source[PATH_MAX], target[PATH_MAX];
    size_t done = 0;
    struct taken taken = {0};
    struct stat status;
    snprintf(source, sizeof(source), "%s/source", directory);
    snprintf(target, sizeof(target), "%s/target", directory);
    unlink(target);
    spile_call *call = make(PLAN("cp {<in} {>out}", "cp {<other} {>taken}"), outcome);
    if (outcome->made >= 0)
        outcome->made = spile_call_input_callback(call, "in", read_input, &done);
    if (outcome->made >= 0)
        outcome->made = spile_call_input_path(call, "other", source);
    if (outcome->made >= 0)
        outcome->made = spile_call_output_path(call, "out", target, 0);
    if (outcome->made >= 0)
        outcome->made = spile_call_output_callback(call, "taken", take_output, &taken);
    spile_result_free(finish(call, outcome));
    bool is_there = stat(target, &status) == 0;
    outcome->is_right = outcome->result == 0 && is_there && status.st_size == BYTES && taken.size == BYTES &&
                        !taken.is_wrong;
    ck_assert_msg(!is_there || status.st_size == BYTES, "a half written output");
}

static void (*const scenarios[])(struct outcome *outcome) = {run_graph, run_delivered};

static void fail_at(int scenario, const struct fault_entry *entry, int code, unsigned occurrence, bool is_onward) {
    struct outcome outcome = {0};
    size_t fds = open_fds();
    char where[128];
    snprintf(where, sizeof(where), "scenario %d, %s, pass %u%s, %d", scenario, entry->place, occurrence,
             is_onward ? " and on" : "", code);
    fault_plan_reset(plan);
    plan->code = code;
    plan->occurrence = occurrence;
    plan->onward = is_onward;
    armed_key = entry->key;
    if (getenv("SPILE_TEST_VERBOSE"))
        fprintf(stderr, "%s\n", where); /* of a crash, too, the place is known then */
    scenarios[scenario](&outcome);
    armed_key = 0;
    const char *message = outcome.message ? outcome.message : "";
    ck_assert_msg(outcome.kind != SPILE_ERROR_TIMEOUT, "%s: hangs: %s", where, message);
    ck_assert_msg(outcome.result < 0 || outcome.is_right, "%s: said to be well, and is not", where);
    ck_assert_msg(open_fds() == fds, "%s: %zu descriptors instead of %zu", where, open_fds(), fds);
    free(outcome.message);
}

/* Plans, cells and streams have tests of their own of this kind. */
static bool is_of_calls(const struct fault_entry *entry) {
    static const char *const files[] = {
        "call.c:", "capture.c:", "collect.c:", "command.c:", "deliver.c:", "launch.c:", "result.c:",
        "run.c:",  "sink.c:",    "source.c:",  "store.c:",   "target.c:",  "error.c:",  "util.c:"};
    for (size_t i = 0; i < ARRAY_SIZE(files); i++)
        if (strncmp(entry->place, files[i], strlen(files[i])) == 0)
            return true;
    return false;
}

static void fail_in_all_ways(int scenario, const struct fault_entry *entry, unsigned occurrence) {
    bool is_transfer = entry->class == FAULT_TRANSFER;
    fail_at(scenario, entry, is_transfer || entry->class == FAULT_RELEASE ? EIO : EMFILE, occurrence, false);
    fail_at(scenario, entry, is_transfer || entry->class == FAULT_RELEASE ? EIO : ENOMEM, occurrence, true);
    if (!is_transfer)
        return;
    fail_at(scenario, entry, EINTR, occurrence, false);
    fail_at(scenario, entry, EAGAIN, occurrence, false);
    fail_at(scenario, entry, FAULT_SHORT, occurrence, false);
}

START_TEST(every_point) {
    struct outcome outcome = {0};
    unsigned points = 0, passes[FAULT_TABLE_SIZE];
    char source[PATH_MAX];
    bytes = pattern_bytes(BYTES);
    snprintf(source, sizeof(source), "%s/source", scratch());
    FILE *file = fopen(source, "we");
    ck_assert(file && fwrite(bytes, 1, BYTES, file) == BYTES && fclose(file) == 0);
    for (int i = 0; i < 2; i++) { /* whatever is made once is there after the first */
        fault_plan_reset(plan);
        scenarios[_i](&outcome);
        ck_assert_msg(outcome.result == 0 && outcome.is_right, "%d: %s", outcome.result, outcome.message);
    }
    for (size_t i = 0; i < FAULT_TABLE_SIZE; i++)
        passes[i] = plan->table[i].passes;
    for (size_t i = 0; i < FAULT_TABLE_SIZE; i++) {
        const struct fault_entry *entry = &plan->table[i];
        for (unsigned pass = 1; entry->key && is_of_calls(entry) && pass <= MIN(passes[i], (unsigned)PASSES); pass++) {
            points++;
            fail_in_all_ways(_i, entry, pass);
        }
    }
    ck_assert_uint_gt(points, 40);
    free(bytes);
    scratch_remove();
}
END_TEST

int main(int argc, char **argv) {
    plan = fault_plan_make();
    support_begin(argc, argv);
    Suite *suite = suite_create("call faults");
    TCase *group = tcase_create("each");
    tcase_add_loop_test(group, every_point, 0, (int)ARRAY_SIZE(scenarios));
    tcase_set_timeout(group, 100);
    suite_add_tcase(suite, group);
    return support_run(suite);
}
