/* Looks: what is proved, and how looks are asked for. Programs say when they are about to stand still; from then on
 * they are looked at until they do, so nothing here sleeps or counts on a time. Each test runs with each containment,
 * as root and as a user. */
#include "look_place.h"

/* --------------------------------------------------------------------------------------------------- what is proved */

struct proof {
    const char *act, *file;
    enum cell_wait_kind kind;
    int side; /* 1: for writing; 0: not; -1: no pipe of ours */
};

static void expect_proof(struct place *place, const struct proof *proof, const struct job *job) {
    static const char *const names[] = {"in", "full", "shut"};
    look_until(place, &seen.proved, proof->act);
    const struct cell_wait *wait = find_wait(proof->kind);
    ck_assert_msg(wait != NULL, "'%s' waits otherwise; %s", proof->act, describe());
    ck_assert_msg(wait->is_provable && wait->proc_id == job->proc.id, "'%s'; %s", proof->act, describe());
    if (proof->side < 0)
        return;
    ck_assert_msg(wait->for_writing == proof->side, "'%s'; %s", proof->act, describe());
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (strcmp(names[i], proof->file) == 0)
            ck_assert_msg(wait->inode == place->inodes[i].inode && wait->device == place->inodes[i].device,
                          "'%s' waits for another; %s", proof->act, describe());
}

START_TEST(proved) {
    static const struct proof proofs[] = {
        {"read", "in", CELL_WAIT_READ, 0},         {"readv", "in", CELL_WAIT_READ, 0},
        {"write", "full", CELL_WAIT_WRITE, 1},     {"open-read", "shut", CELL_WAIT_OPEN, 0},
        {"open-write", "shut", CELL_WAIT_OPEN, 1}, {"open-at", "shut", CELL_WAIT_OPEN, 0},
        {"openat2", "shut", CELL_WAIT_OPEN, 1},    {"creat", "shut", CELL_WAIT_OPEN, 1},
        {"splice", "in", CELL_WAIT_READ, 0},       {"tee", "in", CELL_WAIT_READ, 0},
        {"vmsplice", "in", CELL_WAIT_READ, 0},     {"sendfile", "full", CELL_WAIT_WRITE, 1},
        {"own-pipe", "", CELL_WAIT_READ, -1},      {"own-fifo", "", CELL_WAIT_OPEN, -1},
        {"poll", "in", CELL_WAIT_POLL, 0},         {"poll-many", "in", CELL_WAIT_POLL, 0},
        {"ppoll", "in", CELL_WAIT_POLL, 0},        {"select", "in", CELL_WAIT_POLL, 0},
        {"pselect", "full", CELL_WAIT_POLL, 1},    {"epoll", "in", CELL_WAIT_POLL, 0},
        {"epoll-pwait2", "in", CELL_WAIT_POLL, 0}, {"eventfd", "", CELL_WAIT_POLL, -1},
        {"futex", "", CELL_WAIT_LOCK, -1},         {"futex-shared", "", CELL_WAIT_LOCK, -1},
        {"futex-waitv", "", CELL_WAIT_LOCK, -1},   {"join", "in", CELL_WAIT_READ, 0},
        {"leaderless", "in", CELL_WAIT_READ, 0},   {"child", "in", CELL_WAIT_READ, 0},
        {"spawn", "shut", CELL_WAIT_OPEN, 0},      {"suspend-child", "", CELL_WAIT_CHILD, -1},
    };
    struct place place;
    if (!place_open(&place, _i))
        return;
    for (size_t i = 0; i < ARRAY_SIZE(proofs); i++) {
        struct job job;
        ck_assert(start_stand(&place, &job, proofs[i].act, proofs[i].file));
        expect_proof(&place, &proofs[i], &job);
        place_release(&place);
        place_lease(&place);
    }
    place_close(&place);
}
END_TEST

/* What people write, and what the programs they have make of it. */
START_TEST(proved_for_real_programs) {
    static const struct {
        const char *program, *script;
        enum cell_wait_kind kind;
        size_t pipe; /* which of ours it waits for; 9: none */
    } cases[] = {
        {"sh", "cat in", CELL_WAIT_READ, 0},
        {"sh", "cat <shut", CELL_WAIT_OPEN, 2},
        {"sh", "cat <shut; true", CELL_WAIT_OPEN, 2},
        {"sh", "echo x >shut; true", CELL_WAIT_OPEN, 2},
        {"sh", "cat in & wait", CELL_WAIT_READ, 0},
        {"sh", "(sh -c 'cat in | wc -c; true'; true) & cat <shut & wait", CELL_WAIT_READ, 0},
        {"sh", "while read -r line; do echo $line; done <in", CELL_WAIT_READ, 0},
        {"sh", "yes >full", CELL_WAIT_WRITE, 1},
        {"sh", "yes | cat | cat >full", CELL_WAIT_WRITE, 1},
        {"bash", "exec bash -c 'cat <(cat in) | cat'", CELL_WAIT_READ, 0},
        {"make", "printf 'a:\\n\\tcat in\\nb:\\n\\tcat shut\\n' >m; make -s -j2 -f m a b", CELL_WAIT_READ, 0},
        {"python3", "python3 -S -c 'open(\"in\").read()'", CELL_WAIT_READ, 0},
        {"python3", "python3 -S -c 'import os; os.open(\"shut\", os.O_WRONLY)'", CELL_WAIT_OPEN, 2},
        {"python3", "python3 -S -c 'import subprocess; subprocess.run([\"cat\", \"in\"])'", CELL_WAIT_READ, 0},
        {"python3",
         "python3 -S -c 'import threading as t; a = [t.Thread(target=lambda: open(\"in\").read())"
         " for i in range(5)]; [x.start() for x in a]; [x.join() for x in a]'",
         CELL_WAIT_READ, 0},
        {"python3", "python3 -S -c 'import threading as t; a = t.Lock(); a.acquire(); a.acquire()'", CELL_WAIT_LOCK, 9},
        {"python3",
         "python3 -S -c 'import select; f = open(\"in\", \"rb\", 0); p = select.poll(); p.register(f);"
         " p.poll()'",
         CELL_WAIT_POLL, 0},
        {"python3", "python3 -S -c 'import select; select.select([open(\"in\", \"rb\", 0)], [], [])'", CELL_WAIT_POLL,
         0},
        {"node", "node -e 'require(\"fs\").readFileSync(\"in\")'", CELL_WAIT_READ, 0},
        {"node", "node -e 'require(\"fs\").readFile(\"in\", () => 0)'", CELL_WAIT_READ, 0},
        {"gs", "gs -q -dNOPAUSE -dBATCH -sDEVICE=nullpage in", CELL_WAIT_READ, 0},
        {"ffmpeg", "ffmpeg -nostdin -v quiet -f u8 -i in -f null -", CELL_WAIT_READ, 0},
    };
    struct place place;
    if (!place_open(&place, _i))
        return;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct job job;
        char path[100];
        snprintf(path, sizeof(path), "/usr/bin/%s", cases[i].program);
        if (access(path, X_OK) < 0) {
            printf("# skipped, no '%s' here: %s\n", cases[i].program, cases[i].script);
            continue;
        }
        start_shell(&place, &job, cases[i].script);
        uint64_t inode = cases[i].pipe < 9 ? place.inodes[cases[i].pipe].inode : 0;
        const struct cell_wait *wait = look_until_proved(&place, cases[i].kind, inode, cases[i].script);
        ck_assert_msg(wait->proc_id == job.proc.id, "'%s'; %s", cases[i].script, describe());
        place_release(&place);
        place_lease(&place);
    }
    place_close(&place);
}
END_TEST

/* ------------------------------------------------------------------------------------------------- whose it is */

START_TEST(programs_are_told_apart) {
    struct place place;
    struct job jobs[3];
    if (!place_open(&place, _i))
        return;
    start_shell(&place, &jobs[0], "sh -c 'cat in; true'; true");
    start_shell(&place, &jobs[1], "cat <shut; true");
    start_shell(&place, &jobs[2], "yes >full; true");
    const struct cell_wait *waits[3];
    do {
        look_until(&place, &seen.proved, "three programs");
        waits[0] = find_wait(CELL_WAIT_READ);
        waits[1] = find_wait(CELL_WAIT_OPEN);
        waits[2] = find_wait(CELL_WAIT_WRITE);
    } while (!waits[0] || !waits[1] || !waits[2]);
    for (size_t i = 0; i < ARRAY_SIZE(waits); i++)
        ck_assert_msg(waits[i]->proc_id == jobs[i].proc.id, "program %zu; %s", i, describe());
    ck_assert_str_eq(waits[0]->name, "cat");
    ck_assert_uint_eq(seen.total, seen.count);
    /* It changed nothing: what comes now is read, and all goes on. */
    ck_assert_int_eq(write(place.in, "x", 1), 1);
    int out = openat(cell_root_fd(place.lease.cell), "shut", O_RDWR | O_CLOEXEC);
    close(out);
    job_wait(&place.host, &jobs[1]);
    ck_assert_int_eq(jobs[1].status, 0);
    look_until(&place, &seen.proved, "the two that are left");
    place_close(&place);
}
END_TEST

START_TEST(an_end_is_news) {
    struct place place;
    struct job jobs[2];
    if (!place_open(&place, _i))
        return;
    start_shell(&place, &jobs[0], "exec cat in");
    start_shell(&place, &jobs[1], "exec cat <shut");
    look_until_proved(&place, CELL_WAIT_OPEN, 0, "two programs");
    /* Its end was told of before the look that did not see it. */
    cell_signal_all(place.lease.cell, SIGTERM);
    do
        look(&place);
    while (seen.total > 0);
    ck_assert(!seen.proved);
    job_wait(&place.host, &jobs[0]);
    job_wait(&place.host, &jobs[1]);
    place_close(&place);
}
END_TEST

static char state_of(pid_t pid) {
    char path[64], state = 'Z';
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    FILE *stat = fopen(path, "re");
    if (stat && fscanf(stat, "%*d (%*[^)]) %c", &state) != 1)
        state = 'Z';
    if (stat)
        fclose(stat);
    return state;
}

/* One program ended, and that was not yet told when the look was: so it is not quiet. (Which of the two a supervisor
 * that goes on sees first is open: where it told the end first, all is well.) */
START_TEST(an_untold_end_is_news) {
    struct place place;
    struct job jobs[2];
    if (settings[_i].containment == SPILE_CONTAINMENT_NAMESPACE || !place_open(&place, _i))
        return;
    pid_t supervisor = settings[_i].containment == SPILE_CONTAINMENT_REAPER ? supervisor_pid(place.lease.cell) : 0;
    ck_assert(start_stand(&place, &jobs[0], "read", "in"));
    ck_assert(start_stand(&place, &jobs[1], "open-read", "shut"));
    look_until_proved(&place, CELL_WAIT_OPEN, place.inodes[2].inode, "two programs");
    if (supervisor)
        ck_assert_int_eq(kill(supervisor, SIGSTOP), 0);
    seen.is_there = false;
    awaited_end = &jobs[0];
    ck_assert_int_eq(cell_look(place.lease.cell, place.inodes, place.inode_count, on_answer), 0);
    ck_assert_int_eq(kill((pid_t)jobs[0].pid, SIGKILL), 0);
    while (state_of((pid_t)jobs[0].pid) != 'Z')
        sched_yield();
    if (supervisor)
        ck_assert_int_eq(kill(supervisor, SIGCONT), 0);
    host_wait(&place.host, &seen.is_there);
    ck_assert_msg(!seen.quiet || seen.is_after_end, "%s", describe());
    awaited_end = NULL;
    place_close(&place);
}
END_TEST

/* ------------------------------------------------------------------------------------------------ how it is asked */

START_TEST(misuse_and_release) {
    struct place place;
    struct job job;
    static struct cell_inode many[5000];
    if (!place_open(&place, _i))
        return;
    ck_assert_int_eq(cell_look(place.lease.cell, many, ARRAY_SIZE(many), on_answer), -E2BIG);
    look(&place);
    ck_assert(!seen.proved); /* nothing to prove of nobody */
    ck_assert_uint_eq(seen.total, 0);
    seen.is_there = false;
    ck_assert_int_eq(cell_look(place.lease.cell, NULL, 0, on_answer), 0);
    ck_assert_int_eq(cell_look(place.lease.cell, NULL, 0, on_answer), -EBUSY);
    host_wait(&place.host, &seen.is_there);
    for (int i = 0; i < 50; i++) { /* an answer that nobody waits for any more goes nowhere */
        seen.is_there = false;
        ck_assert_int_eq(cell_look(place.lease.cell, NULL, 0, on_answer), 0);
        place_release(&place);
        ck_assert(!seen.is_there);
        place_lease(&place);
        ck_assert(start_stand(&place, &job, "read", "in"));
        ck_assert(!seen.is_there);
        look_until(&place, &seen.proved, "read");
    }
    place_close(&place);
}
END_TEST

START_TEST(supervisor_dies) {
    struct place place;
    struct job job;
    if (settings[_i].containment == SPILE_CONTAINMENT_NONE || !place_open(&place, _i))
        return;
    ck_assert(start_stand(&place, &job, "read", "in"));
    seen.is_there = false;
    ck_assert_int_eq(kill(supervisor_pid(place.lease.cell), SIGSTOP), 0);
    ck_assert_int_eq(cell_look(place.lease.cell, place.inodes, place.inode_count, on_answer), 0);
    ck_assert_int_eq(kill(supervisor_pid(place.lease.cell), SIGKILL), 0);
    host_wait(&place.host, &place.lease.is_broken);
    ck_assert(!seen.is_there);
    ck_assert_int_eq(cell_look(place.lease.cell, place.inodes, place.inode_count, on_answer), -EPIPE);
    spile_error_free(place.lease.error);
    place_close(&place);
}
END_TEST

/* More threads than a message tells of: those at our pipes are told. */
START_TEST(more_than_is_told) {
    struct place place;
    struct job job;
    if (!place_open(&place, _i))
        return;
    start_shell(&place, &job,
                "i=0; while [ $i -lt 150 ]; do sh -c 'read -r x <shut; true' & i=$((i + 1)); done; cat in");
    do
        look_until(&place, &seen.proved, "many");
    while (seen.total < 152);
    ck_assert_uint_eq(seen.total, 152);
    ck_assert_uint_eq(seen.count, WIRE_TEXT_MAX / sizeof(struct cell_wait));
    for (size_t i = 0; i < seen.count; i++)
        ck_assert_uint_ne(seen.waits[i].inode, 0);
    place_close(&place);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("look");
    add_test(suite, proved, "proved");
    add_test(suite, proved_for_real_programs, "proved_for_real_programs");
    add_test(suite, programs_are_told_apart, "programs_are_told_apart");
    add_test(suite, an_end_is_news, "an_end_is_news");
    add_test(suite, an_untold_end_is_news, "an_untold_end_is_news");
    add_test(suite, misuse_and_release, "misuse_and_release");
    add_test(suite, supervisor_dies, "supervisor_dies");
    add_test(suite, more_than_is_told, "more_than_is_told");
    return run_tests(suite);
}
