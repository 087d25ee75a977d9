/* Pipes under injected failures: every call that can fail is made to, once and from there on, in a pipe that is fed and
 * in one that is drained. Whatever fails: nothing hangs, nothing is left, and what is said to have ended well has. */
#include "fault_walk.h"
#include "pipe_support.h"

enum { BYTES = 300000 };

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

static void live(int scenario, const char *where) {
    size_t fds = open_fds();
    struct outcome outcome = {.end = 1};
    scenarios[scenario](&outcome);
    bool is_failed = outcome.start < 0 || outcome.end < 0;
    plan->key = 0;
    ck_assert_msg(where || !is_failed, "%s", outcome.message);
    ck_assert_msg(outcome.end != -ETIMEDOUT, "%s: hangs: %s", where, outcome.message);
    ck_assert_msg(is_failed || outcome.is_right, "%s: said to be well, and is not", where);
    ck_assert_msg(outcome.end >= 0 || outcome.message, "%s: an error without a message", where);
    ck_assert_msg(!where || open_fds() == fds, "%s: %zu descriptors instead of %zu", where, open_fds(), fds);
    free(outcome.message);
}

/* A read of inotify can't fail for ever: there is no such error. */
static bool may_last(const struct fault_entry *entry) {
    return entry->class != FAULT_TRANSFER || strncmp(entry->place, "watch.c", 7) != 0;
}

START_TEST(every_point) {
    plan = fault_plan_make();
    bytes = pattern_bytes(BYTES);
    FILE *source = fopen(in_scratch("source"), "we");
    ck_assert(fwrite(bytes, 1, BYTES, source) == BYTES && fclose(source) == 0);
    ck_assert_uint_gt(fault_walk(plan, _i, &(struct fault_walk){.live = live, .may_last = may_last}), 60);
    free(bytes);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("pipe faults");
    TCase *group = tcase_create("each");
    tcase_add_loop_test(group, every_point, 0, (int)ARRAY_SIZE(scenarios));
    tcase_set_timeout(group, 60);
    suite_add_tcase(suite, group);
    return support_run(suite);
}
