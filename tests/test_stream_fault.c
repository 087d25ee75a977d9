/* Streamed calls under injected failures: every call of the rooms that streams go through is made to fail, once and
 * from there on. Whatever fails: nothing hangs, nothing is left, and what is said to have ended well has its bytes.
 */
#include "fault_walk.h"
#include "support.h"

enum { BYTES = 3000000 };

static struct fault_plan *plan;
static unsigned char *bytes;
static char *scenarios_of_user[2];

struct outcome {
    int result;
    spile_error_kind kind;
    char *message;
    bool is_right;
};

static bool has_bytes(const spile_result *result, const char *name) {
    const void *data;
    size_t size;
    return spile_result_get(result, name, &data, &size) == 0 && size == BYTES && memcmp(data, bytes, BYTES) == 0;
}

/* In a context of its own, so that what is left can be counted. */
static spile_ctx *ctx;

static spile_call *make(spile_plan *plan_to_run) {
    const spile_ctx_options ctx_options = {.size = sizeof(ctx_options), .containment = support_containment()};
    const spile_call_options options = {.size = sizeof(options), .limits.wall_ns = 20 * NS_PER_SECOND};
    spile_call *call = NULL;
    ck_assert_int_eq(spile_ctx_new(&ctx_options, &ctx), 0);
    ck_assert_int_eq(spile_call_new(plan_to_run, ctx, &options, &call), 0);
    spile_plan_unref(plan_to_run);
    return call;
}

static void finish(spile_call *call, const char *name, struct outcome *outcome) {
    spile_result *result = NULL;
    outcome->result = spile_call_run(call, &result);
    outcome->is_right = outcome->result == 0 && has_bytes(result, name);
    const spile_error *error = result ? spile_result_error(result) : NULL;
    outcome->kind = error ? spile_error_get_kind(error) : 0;
    outcome->message = error ? strdup(spile_error_get_message(error)) : NULL;
    spile_result_free(result);
    spile_call_free(call);
    ctx = spile_ctx_free(ctx);
}

/* Windows grow, and programs check what they read. */
static void run_crossed(struct outcome *outcome) {
    spile_call *call = make(PLAN(scenarios_of_user[0], scenarios_of_user[1], "cat {<in|} >{out|}"));
    ck_assert_int_eq(spile_call_input_memory(call, "in", bytes, BYTES), 0);
    finish(call, "out", outcome);
}

/* Both ends are opened again, and one writer has two readers. */
static void run_reopened(struct outcome *outcome) {
    spile_call *call = make(PLAN("sh -c 'head -c 1 $1 >$2; tail -c +2 $1 >>$2' sh {<in|} {>x|}", "cat <{x|} >{out|}",
                                 "cat {<x|} >{twice|}"));
    ck_assert_int_eq(spile_call_input_memory(call, "in", bytes, BYTES), 0);
    finish(call, "out", outcome);
}

struct rest {
    size_t size;
};

static ssize_t read_rest(void *user, void *buffer, size_t size) {
    struct rest *rest = user;
    size = MIN(size, rest->size);
    memcpy(buffer, bytes + BYTES - rest->size, size);
    rest->size -= size;
    return (ssize_t)size;
}

/* What is given as it comes, through a bar. */
static void run_given(struct outcome *outcome) {
    struct rest rest = {BYTES};
    spile_call *call = make(PLAN("cat {<in|} | cat >{out|}"));
    ck_assert_int_eq(spile_call_input_callback(call, "in", read_rest, &rest), 0);
    finish(call, "out", outcome);
}

/* Spliced from a file, read again from its start, and cut off by a reader that has had enough. */
static void run_from_file(struct outcome *outcome) {
    spile_call *call = make(PLAN("sh -c 'head -c 1 $1 >/dev/null; cat $1 >$2' sh {<in|} {>out|}"));
    int fd = memfd_create("in", MFD_CLOEXEC);
    ck_assert(fd >= 0 && write(fd, bytes, BYTES) == BYTES && lseek(fd, 0, SEEK_SET) == 0);
    ck_assert_int_eq(spile_call_input_fd(call, "in", fd), 0);
    finish(call, "out", outcome);
    close(fd);
}

static void (*const scenarios[])(struct outcome *outcome) = {run_crossed, run_reopened, run_given, run_from_file};

static void live(int scenario, const char *where) {
    struct outcome outcome = {0};
    size_t fds = open_fds();
    scenarios[scenario](&outcome);
    plan->key = 0;
    const char *message = outcome.message ? outcome.message : "";
    ck_assert_msg(where || outcome.result == 0, "%d: %s", outcome.result, message);
    ck_assert_msg(outcome.kind != SPILE_ERROR_TIMEOUT && outcome.kind != SPILE_ERROR_STANDSTILL, "%s: hangs: %s", where,
                  message);
    ck_assert_msg(outcome.result < 0 || outcome.is_right, "%s: said to be well, and is not", where);
    ck_assert_msg(outcome.result >= 0 || outcome.message || outcome.result == -ENOMEM, "%s: %d without a message",
                  where, outcome.result);
    ck_assert_msg(!where || open_fds() == fds, "%s: %zu descriptors instead of %zu", where, open_fds(), fds);
    free(outcome.message);
}

/* Calls in general have their own test of this kind. */
static bool is_of_streams(const struct fault_entry *entry) {
    static const char *const files[] = {"reader.c:", "writer.c:", "stream.c:",     "window.c:",   "watch.c:", "feed.c:",
                                        "held.c:",   "flow.c:",   "standstill.c:", "look_ask.c:", "bytes.c:"};
    for (size_t i = 0; i < ARRAY_SIZE(files); i++)
        if (strncmp(entry->place, files[i], strlen(files[i])) == 0)
            return true;
    return false;
}

/* A read of inotify can't fail for ever: there is no such error. Without memory for a look nothing can be told. */
static bool may_last(const struct fault_entry *entry) {
    return !(entry->class == FAULT_TRANSFER && strncmp(entry->place, "watch.c:", 8) == 0) &&
           strncmp(entry->place, "look_ask.c:", 11) != 0;
}

START_TEST(every_point) {
    const struct fault_walk walk = {.live = live, .is_wanted = is_of_streams, .may_last = may_last};
    bytes = pattern_bytes(BYTES);
    ck_assert_uint_gt(fault_walk(plan, _i, &walk), 40);
    free(bytes);
}
END_TEST

static char *user(const char *steps) {
    const char *build = getenv("SPILE_BUILD");
    char *text = NULL;
    if (!build || asprintf(&text, "%s/tests/pipe_user %s", build, steps) < 0)
        abort();
    return text;
}

int main(int argc, char **argv) {
    plan = fault_plan_make();
    support_begin(argc, argv);
    scenarios_of_user[0] = user("write {>a|} write {>b|} put 0 3000000 put 1 10");
    scenarios_of_user[1] = user("read {<b|} read {<a|} get 0 10 get 1 3000000 end 0 end 1");
    Suite *suite = suite_create("stream faults");
    TCase *group = tcase_create("each");
    tcase_add_loop_test(group, every_point, 0, (int)ARRAY_SIZE(scenarios));
    tcase_set_timeout(group, 60);
    suite_add_tcase(suite, group);
    int status = support_run(suite);
    free(scenarios_of_user[0]);
    free(scenarios_of_user[1]);
    return status;
}
