/* Looks: what is quiet and never proved, what never is quiet, and looks that something fails for. */
#include "look_place.h"

#include <sys/stat.h>

/* ------------------------------------------------------------------------------------------------ what never is */

START_TEST(quiet_not_proved) {
    static const struct {
        const char *act, *file;
        enum cell_wait_kind kind;
    } cases[] = {
        {"sleep", "", CELL_WAIT_SLEEP},          {"poll-timeout", "in", CELL_WAIT_POLL},
        {"ppoll-timeout", "in", CELL_WAIT_POLL}, {"select-timeout", "in", CELL_WAIT_POLL},
        {"epoll-timeout", "in", CELL_WAIT_POLL}, {"epoll-pwait2-timeout", "in", CELL_WAIT_POLL},
        {"poll-socket", "in", CELL_WAIT_POLL},   {"select-socket", "in", CELL_WAIT_POLL},
        {"epoll-socket", "in", CELL_WAIT_POLL},  {"epoll-moved", "in", CELL_WAIT_POLL},
        {"futex-timeout", "", CELL_WAIT_LOCK},   {"futex-waitv-timeout", "", CELL_WAIT_LOCK},
        {"futex-file", "", CELL_WAIT_LOCK},      {"join-sleeper", "in", CELL_WAIT_SLEEP},
        {"suspend", "", CELL_WAIT_OTHER},        {"suspend-user", "", CELL_WAIT_OTHER},
        {"alarm", "in", CELL_WAIT_READ},         {"profiled", "in", CELL_WAIT_READ},
        {"io-signal", "in", CELL_WAIT_READ},     {"timer", "in", CELL_WAIT_READ},
        {"timerfd", "", CELL_WAIT_READ},         {"socket", "", CELL_WAIT_READ},
        {"terminal", "", CELL_WAIT_READ},        {"flock", "", CELL_WAIT_OTHER},
        {"inotify", "", CELL_WAIT_READ},         {"ring", "in", CELL_WAIT_READ},
        {"chroot", "shut", CELL_WAIT_OPEN},      {"elsewhere", "", CELL_WAIT_READ},
    };
    struct place place;
    if (!place_open(&place, _i))
        return;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct job job;
        if (start_stand(&place, &job, cases[i].act, cases[i].file))
            expect_no_proof(&place, cases[i].act, cases[i].kind);
        else
            printf("# skipped: '%s' can't be had here\n", cases[i].act);
        place_release(&place);
        place_lease(&place);
    }
    place_close(&place);
}
END_TEST

/* One that may not be looked at proves nothing, unless we are root and may. */
START_TEST(quiet_undumpable) {
    struct place place;
    struct job job;
    if (!place_open(&place, _i))
        return;
    ck_assert(start_stand(&place, &job, "undumpable", "in"));
    if (getuid() == 0)
        look_until(&place, &seen.proved, "undumpable");
    else
        expect_no_proof(&place, "undumpable", CELL_WAIT_OTHER);
    place_close(&place);
}
END_TEST

/* The numbers of its system calls mean other calls. */
START_TEST(quiet_narrow) {
    struct place place;
    struct job job;
    char *argv[] = {(char *)"narrow", NULL}, byte;
    struct stat status;
    int ends[2], input[2];
    if (access(program_path("narrow"), X_OK) < 0) {
        printf("# skipped: no 32-bit programs can be built here\n");
        return;
    }
    if (!place_open(&place, _i))
        return;
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    ck_assert_int_eq(pipe2(input, O_CLOEXEC), 0);
    ck_assert_int_eq(fstat(input[0], &status), 0);
    place.inodes[place.inode_count++] = (struct cell_inode){.device = status.st_dev, .inode = status.st_ino};
    start(&place, &job, program_path("narrow"), argv, input[0], ends[1]);
    close(input[0]);
    close(ends[1]);
    ck_assert_int_eq(read(ends[0], &byte, 1), 1);
    close(ends[0]);
    expect_no_proof(&place, "narrow", CELL_WAIT_POLL); /* what it looks like */
    close(input[1]);
    place_close(&place);
}
END_TEST

/* A pipe is what we say of it: ours, a stranger's, or, unknown, one that leads out of the cell. */
START_TEST(pipes_of_others) {
    struct place place;
    struct job job, second;
    struct stat status;
    int ends[2];
    if (!place_open(&place, _i))
        return;
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    char *argv[] = {(char *)"cat", NULL};
    start(&place, &job, "/bin/cat", argv, ends[0], -1);
    expect_no_proof(&place, "cat", CELL_WAIT_READ);
    ck_assert_int_eq(fstat(ends[0], &status), 0);
    struct cell_inode *inode = &place.inodes[place.inode_count++];
    *inode = (struct cell_inode){.device = status.st_dev, .inode = status.st_ino};
    look_until(&place, &seen.proved, "cat");
    inode->is_foreign = true;
    expect_no_proof(&place, "cat", CELL_WAIT_READ);
    place.inodes[0].is_foreign = true;
    start_shell(&place, &second, "exec cat in");
    expect_no_proof(&place, "cat in", CELL_WAIT_READ);
    place_release(&place);
    place_lease(&place);
    place.inodes[2].is_foreign = true;
    start_shell(&place, &job, "exec cat <shut");
    expect_no_proof(&place, "cat <shut", CELL_WAIT_OPEN);
    close(ends[0]);
    close(ends[1]);
    place_close(&place);
}
END_TEST

START_TEST(never_quiet) {
    static const struct {
        const char *act;
        int looks;
    } cases[] = {{"spin", NEVER_LOOKS}, {"stop", NEVER_LOOKS}, {"token", TOKEN_LOOKS}};
    struct place place;
    if (!place_open(&place, _i))
        return;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct job job;
        ck_assert(start_stand(&place, &job, cases[i].act, ""));
        if (strcmp(cases[i].act, "stop") == 0) { /* it may have been a moment before that */
            do
                look(&place);
            while (seen.quiet);
        }
        for (int j = 0; j < cases[i].looks; j++) {
            look(&place);
            ck_assert_msg(!seen.quiet, "'%s' was quiet; %s", cases[i].act, describe());
        }
        place_release(&place);
        place_lease(&place);
    }
    place_close(&place);
}
END_TEST

/* What an ended program left behind is seen where its end is told of, and never proved where it can't be seen. */
START_TEST(orphans) {
    struct place place;
    struct job job;
    if (!place_open(&place, _i))
        return;
    bool sees_orphans = settings[_i].containment != SPILE_CONTAINMENT_NONE;
    ck_assert(start_stand(&place, &job, "hidden-writer", ""));
    look_until(&place, &seen.quiet, "hidden-writer");
    ck_assert(find_wait(CELL_WAIT_READ) != NULL);
    ck_assert_msg(!!find_wait(CELL_WAIT_SLEEP) == sees_orphans, "%s", describe());
    for (int i = 0; i < NEVER_LOOKS; i++) {
        look(&place);
        ck_assert_msg(!seen.proved, "%s", describe());
    }
    place_release(&place);
    place_lease(&place);
    ck_assert(start_stand(&place, &job, "orphan", "in"));
    job_wait(&place.host, &job);
    if (sees_orphans) {
        look_until(&place, &seen.proved, "orphan");
        ck_assert(find_wait(CELL_WAIT_READ) != NULL);
    }
    place_close(&place);
}
END_TEST

/* -------------------------------------------------------------------------------------------------------- faults */

static size_t points_of_looks(const struct fault_plan *plan, size_t *points, size_t capacity) {
    size_t count = 0;
    for (size_t i = 0; i < FAULT_TABLE_SIZE; i++)
        if (plan->table[i].key && strncmp(plan->table[i].place, "look", 4) == 0 && plan->table[i].passes > 0) {
            ck_assert_uint_lt(count, capacity);
            points[count++] = i;
        }
    return count;
}

/* A look that something fails for is not proved, and the next is as good as ever. */
START_TEST(faults) {
    static const int codes[] = {EIO, ENOMEM, EINTR, FAULT_SHORT};
    static const char *const acts[][2] = {{"epoll", "in"}, {"select", "in"},     {"open-read", "shut"},
                                          {"sleep", ""},   {"futex-shared", ""}, {"own-pipe", ""}};
    struct fault_plan *plan = fault_plan_make();
    struct place place;
    size_t points[200];
    if (!place_open(&place, _i))
        return;
    for (size_t act = 0; act < ARRAY_SIZE(acts); act++) {
        struct job job;
        bool is_sleeper = strcmp(acts[act][0], "sleep") == 0;
        ck_assert(start_stand(&place, &job, acts[act][0], acts[act][1]));
        look_until(&place, is_sleeper ? &seen.quiet : &seen.proved, acts[act][0]);
        fault_plan_reset(plan);
        look(&place);
        size_t count = points_of_looks(plan, points, ARRAY_SIZE(points));
        ck_assert_uint_ge(count, is_sleeper ? 7 : 10);
        for (size_t i = 0; i < count * ARRAY_SIZE(codes); i++) {
            const struct fault_entry *entry = &plan->table[points[i / ARRAY_SIZE(codes)]];
            int code = codes[i % ARRAY_SIZE(codes)];
            if (code == FAULT_SHORT && entry->class != FAULT_TRANSFER)
                continue;
            fault_plan_reset(plan);
            plan->occurrence = 1;
            plan->onward = code != EINTR;
            plan->code = code;
            plan->key = entry->key;
            bool is_asked = look_try(&place);
            plan->key = 0;
            if (!is_asked)
                continue;
            ck_assert_msg(!is_sleeper || !seen.proved, "a sleeper was proved when '%s' failed", entry->place);
            ck_assert_msg(entry->class != FAULT_ACQUIRE || !seen.proved || !plan->onward || plan->hits == 0,
                          "%s was proved when '%s' failed", acts[act][0], entry->place);
        }
        look_until(&place, is_sleeper ? &seen.quiet : &seen.proved, acts[act][0]);
        place_release(&place);
        place_lease(&place);
    }
    place_close(&place);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("look_never");
    add_test(suite, quiet_not_proved, "quiet_not_proved");
    add_test(suite, quiet_undumpable, "quiet_undumpable");
    add_test(suite, quiet_narrow, "quiet_narrow");
    add_test(suite, pipes_of_others, "pipes_of_others");
    add_test(suite, never_quiet, "never_quiet");
    add_test(suite, orphans, "orphans");
    add_test(suite, faults, "faults");
    return run_tests(suite);
}
