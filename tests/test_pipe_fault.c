/* Pipes under injected failures: every call that can fail is made to, once and from there on, in a pipe that is fed and
 * in one that is drained. Whatever fails: nothing hangs, nothing is left, and what is said to have ended well has. */
#include "base/fault.h"
#include "pipe_support.h"

enum { BYTES = 300000, PASSES = 3 };

static struct fault_plan *plan;
static unsigned char *bytes;

struct outcome {
    int start, end; /* of start and wait; end is 1 where it never began */
    bool is_right;  /* all bytes arrived */
    char *message;
};

static void judge(spile_pipe *pipe, pid_t pid, struct outcome *outcome) {
    spile_error *error = NULL;
    if (spile_pipe_set_process(pipe, pid) < 0)
        spile_pipe_cancel(pipe); /* else nothing would tell the end */
    outcome->end = spile_pipe_wait(pipe, 20 * NS_PER_SECOND, &error);
    outcome->message = error ? strdup(spile_error_get_message(error)) : NULL;
    spile_error_free(error);
}

static void run_fed(struct outcome *outcome) {
    spile_pipe *pipe = NULL;
    int fds[2], status;
    char *copy = strdup(in_scratch("copy"));
    unlink(copy);
    ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
    ck_assert_int_eq(fcntl(fds[1], F_SETPIPE_SZ, BYTES) >= BYTES, 1);
    ck_assert_int_eq(write(fds[1], bytes, BYTES), BYTES);
    close(fds[1]);
    outcome->start = spile_pipe_new_input(NULL, &pipe);
    if (outcome->start >= 0)
        outcome->start = spile_pipe_feed_fd(pipe, fds[0]);
    if (outcome->start >= 0)
        outcome->start = spile_pipe_start(pipe);
    if (outcome->start >= 0) {
        pid_t pid = spawn("exec 2>/dev/null; cat \"$1\" >\"$2\"", spile_pipe_path(pipe), copy);
        judge(pipe, pid, outcome);
        spile_pipe_free(pipe);
        waitpid(pid, &status, 0);
        struct stat copied;
        outcome->is_right = stat(copy, &copied) == 0 && copied.st_size == BYTES;
    } else {
        spile_pipe_free(pipe);
    }
    close(fds[0]);
    free(copy);
}

static void run_held(struct outcome *outcome) {
    spile_pipe *pipe = NULL;
    int status;
    char *copy = strdup(in_scratch("copy"));
    unlink(copy);
    outcome->start = spile_pipe_new_input(NULL, &pipe);
    if (outcome->start >= 0)
        outcome->start = spile_pipe_feed_path(pipe, in_scratch("source"));
    if (outcome->start >= 0)
        outcome->start = spile_pipe_start(pipe);
    if (outcome->start >= 0) {
        pid_t pid = spawn("exec 2>/dev/null; head -c 1 \"$1\" >/dev/null; cat \"$1\" >\"$2\"", spile_pipe_path(pipe),
                          copy);
        judge(pipe, pid, outcome);
        spile_pipe_free(pipe);
        waitpid(pid, &status, 0);
        struct stat copied;
        outcome->is_right = stat(copy, &copied) == 0 && copied.st_size == BYTES;
    } else {
        spile_pipe_free(pipe);
    }
    free(copy);
}

static void run_drained(struct outcome *outcome, const char *target) {
    /* It opens the pipe twice, and may have closed it once before it is named. */
    const spile_pipe_options options = {.size = sizeof(options), .ends_by_exit = true};
    spile_pipe *pipe = NULL;
    int status;
    outcome->start = spile_pipe_new_output(&options, &pipe);
    if (outcome->start >= 0 && target)
        outcome->start = spile_pipe_drain_path(pipe, target);
    if (outcome->start >= 0)
        outcome->start = spile_pipe_start(pipe);
    if (outcome->start >= 0) {
        pid_t pid = spawn("exec 2>/dev/null; head -c 1 \"$2\" >\"$1\"; tail -c +2 \"$2\" >>\"$1\"",
                          spile_pipe_path(pipe), in_scratch("source"));
        const void *data = NULL;
        size_t size = 0;
        judge(pipe, pid, outcome);
        if (!target && spile_pipe_output(pipe, &data, &size) == 0)
            outcome->is_right = size == BYTES && memcmp(data, bytes, BYTES) == 0;
        spile_pipe_free(pipe);
        waitpid(pid, &status, 0);
    } else {
        spile_pipe_free(pipe);
    }
    struct stat written;
    if (target)
        outcome->is_right = stat(target, &written) == 0 && written.st_size == BYTES;
}

static void run_memory(struct outcome *outcome) {
    run_drained(outcome, NULL);
}

static void run_file(struct outcome *outcome) {
    char *target = strdup(in_scratch("target"));
    unlink(target);
    run_drained(outcome, target);
    if (outcome->start < 0 || outcome->end != 0)
        ck_assert_msg(access(target, F_OK) < 0, "a failed output is there: %s", outcome->message);
    free(target);
}

static void (*const scenarios[])(struct outcome *outcome) = {run_fed, run_held, run_memory, run_file};

static void check_one(int scenario, const char *place, int code, unsigned occurrence, bool is_onward) {
    size_t fds = open_fds();
    struct outcome outcome = {.end = 1};
    scenarios[scenario](&outcome);
    bool is_failed = outcome.start < 0 || outcome.end < 0;
    ck_assert_msg(outcome.end != -ETIMEDOUT, "%s (%d, %u%s): hangs: %s", place, code, occurrence, is_onward ? "+" : "",
                  outcome.message);
    ck_assert_msg(is_failed || outcome.is_right, "%s (%d, %u%s): said to be well, and is not", place, code, occurrence,
                  is_onward ? "+" : "");
    ck_assert_msg(outcome.end >= 0 || outcome.message, "%s: an error without a message", place);
    ck_assert_msg(open_fds() == fds, "%s (%d, %u%s): %zu descriptors instead of %zu", place, code, occurrence,
                  is_onward ? "+" : "", open_fds(), fds);
    free(outcome.message);
}

static void fail_at(int scenario, const struct fault_entry *entry, int code, unsigned occurrence, bool is_onward) {
    uint32_t key = entry->key;
    fault_plan_reset(plan);
    plan->code = code;
    plan->occurrence = occurrence;
    plan->onward = is_onward;
    plan->key = key;
    check_one(scenario, entry->place, code, occurrence, is_onward);
    plan->key = 0;
}

START_TEST(every_point) {
    struct outcome outcome = {.end = 1};
    unsigned points = 0, passes[FAULT_TABLE_SIZE];
    plan = fault_plan_make();
    bytes = pattern_bytes(BYTES);
    FILE *source = fopen(in_scratch("source"), "we");
    ck_assert(fwrite(bytes, 1, BYTES, source) == BYTES && fclose(source) == 0);
    fault_plan_reset(plan);
    scenarios[_i](&outcome);
    ck_assert_msg(outcome.start == 0 && outcome.end == 0 && outcome.is_right, "%s", outcome.message);
    for (size_t i = 0; i < FAULT_TABLE_SIZE; i++)
        passes[i] = plan->table[i].passes;
    free(outcome.message);
    for (size_t i = 0; i < FAULT_TABLE_SIZE; i++) {
        const struct fault_entry *entry = &plan->table[i];
        bool is_transfer = entry->class == FAULT_TRANSFER;
        for (unsigned occurrence = 1; entry->key && occurrence <= MIN(passes[i], (unsigned)PASSES); occurrence++) {
            points++;
            fail_at(_i, entry, is_transfer ? EIO : EMFILE, occurrence, false);
            /* A read of inotify can't fail for ever: there is no such error. */
            if (strncmp(entry->place, "watch.c", 7) != 0 || !is_transfer)
                fail_at(_i, entry, is_transfer ? EIO : ENOMEM, occurrence, true);
            if (is_transfer) {
                fail_at(_i, entry, EINTR, occurrence, false);
                fail_at(_i, entry, EAGAIN, occurrence, false);
                fail_at(_i, entry, FAULT_SHORT, occurrence, false);
            }
        }
    }
    ck_assert_uint_gt(points, 60);
    free(bytes);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("pipe faults");
    TCase *group = tcase_create("each");
    tcase_add_loop_test(group, every_point, 0, (int)ARRAY_SIZE(scenarios));
    tcase_set_timeout(group, 60);
    suite_add_tcase(suite, group);
    atexit(scratch_remove);
    return support_run(suite);
}
