/* Cells at their ends: daemons, kills, forks, missing helpers, injected failures. What must be gone is waited for. */
#include "cell_host.h"

#include <dirent.h>

static const struct setting *setting_of(int index) {
    return &settings[index];
}

/* Gives this program a /dev/shm of its own, so that what is left there is its own doing. False: not allowed. */
static bool isolate(void) {
    return unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) == 0 &&
           mount("none", "/dev/shm", "tmpfs", 0, "mode=1777") == 0;
}

static bool is_isolated;

/* How many directories of this user stand in /dev/shm. */
static int tree_count(void) {
    DIR *list = opendir("/dev/shm");
    int count = 0;
    struct stat status;
    ck_assert_ptr_nonnull(list);
    for (const struct dirent *entry; (entry = readdir(list));)
        count += strncmp(entry->d_name, "spile-", 6) == 0 &&
                 fstatat(dirfd(list), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0 && status.st_uid == geteuid();
    closedir(list);
    return count;
}

/* The last writer of a pipe is gone already. */
static bool is_at_end(int fd) {
    struct pollfd watched = {.fd = fd, .events = POLLIN};
    char byte;
    return poll(&watched, 1, 0) == 1 && read(fd, &byte, 1) == 0;
}

static bool is_idle(const struct host *host, const struct cell *cell) {
    const struct cell *idle = host->ctx->idle;
    while (idle && idle != cell)
        idle = idle->next_idle;
    return idle;
}

START_TEST(daemons_end_with_the_lease) {
    struct host host;
    struct lease lease;
    struct job job;
    int ends[2];
    char byte;
    if (setting_of(_i)->containment == SPILE_CONTAINMENT_NONE || !host_open(&host, _i))
        return;
    lease_open(&host, &lease, 0);
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    JOB_START(&lease, &job, ends[1], "daemon");
    close(ends[1]);
    ck_assert_int_eq(read(ends[0], &byte, 1), 1); /* it lives */
    job_wait(&host, &job);
    ck_assert_int_eq(job.status, 0);
    ck_assert(!job.is_alone);
    const struct cell *cell = lease.cell;
    ck_assert_int_eq(cell_release(lease.cell), 0);
    host_wait(&host, &lease.is_released);
    ck_assert(is_at_end(ends[0]));   /* it was gone when that was told */
    ck_assert(is_idle(&host, cell)); /* and the cell is as good as new */
    close(ends[0]);
    host_close(&host);
}
END_TEST

START_TEST(release_kills_what_runs) {
    struct host host;
    struct lease lease;
    struct job job;
    int ends[2];
    char byte;
    if (!host_open(&host, _i))
        return;
    lease_open(&host, &lease, 0);
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    JOB_START(&lease, &job, ends[1], "pause");
    close(ends[1]);
    ck_assert_int_eq(read(ends[0], &byte, 1), 1);
    lease_close(&host, &lease);
    ck_assert(job.is_ended);
    ck_assert_int_eq(job.status, SIGKILL);
    ck_assert(is_at_end(ends[0]));
    close(ends[0]);
    host_close(&host);
}
END_TEST

START_TEST(program_that_kills_everything) {
    struct host host;
    struct lease lease;
    struct job job, other;
    if (setting_of(_i)->containment != SPILE_CONTAINMENT_NAMESPACE || !host_open(&host, _i))
        return;
    lease_open(&host, &lease, 0);
    JOB_START(&lease, &other, -1, "pause");
    host_wait(&host, &other.is_started);
    JOB_START(&lease, &job, -1, "kill");
    job_wait(&host, &other);
    ck_assert_int_eq(other.status, SIGKILL);
    job_wait(&host, &job);
    ck_assert_int_eq(job.status, 5 << 8);
    JOB_START(&lease, &job, -1, "exit", "0"); /* the supervisor took no notice */
    job_wait(&host, &job);
    ck_assert_int_eq(job.status, 0);
    lease_close(&host, &lease);
    host_close(&host);
}
END_TEST

/* A host that is killed with programs and daemons running; what it tells its parent first is its root's path. */
_Noreturn static void doomed_host(int index, int tell, int keep) {
    struct host host;
    struct lease lease;
    struct job daemon, job;
    if (!host_open(&host, index))
        _exit(0);
    lease_open(&host, &lease, 0);
    close(openat(cell_root_fd(lease.cell), "left", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    JOB_START(&lease, &daemon, keep, "daemon");
    JOB_START(&lease, &job, keep, "pause");
    close(keep);
    job_wait(&host, &daemon);
    host_wait(&host, &job.is_started);
    struct {
        pid_t supervisor;
        char path[200];
    } told = {.supervisor = supervisor_pid(lease.cell)};
    snprintf(told.path, sizeof(told.path), "%s", cell_root_path(lease.cell));
    ck_assert_int_eq(write(tell, &told, sizeof(told)), sizeof(told));
    for (;;)
        pause();
}

START_TEST(killed_host_leaves_nothing) {
    int tell[2], keep[2];
    struct {
        pid_t supervisor;
        char path[200];
    } told;
    if (setting_of(_i)->containment == SPILE_CONTAINMENT_NONE)
        return;
    ck_assert_int_eq(pipe2(tell, O_CLOEXEC), 0);
    ck_assert_int_eq(pipe2(keep, O_CLOEXEC), 0);
    pid_t host = fork();
    if (host == 0)
        doomed_host(_i, tell[1], keep[1]);
    close(tell[1]);
    close(keep[1]);
    if (read(tell[0], &told, sizeof(told)) != sizeof(told))
        return; /* said why not */
    ck_assert_int_gt(told.supervisor, 1);
    int pidfd = (int)syscall(SYS_pidfd_open, told.supervisor, 0);
    ck_assert_int_ge(pidfd, 0);
    kill(host, SIGKILL);
    free(pipe_read(keep[0])); /* ends when the last program has */
    ck_assert(pidfd_ends(pidfd));
    waitpid(host, NULL, 0);
    char left[256];
    snprintf(left, sizeof(left), "%s/left", told.path);
    ck_assert_int_lt(access(left, F_OK), 0);
    if (setting_of(_i)->containment == SPILE_CONTAINMENT_REAPER)
        ck_assert_int_lt(access(told.path, F_OK), 0);
    close(pidfd);
    close(tell[0]);
    close(keep[0]);
}
END_TEST

START_TEST(killed_supervisor_is_told) {
    struct host host;
    struct lease lease;
    struct job job;
    int ends[2];
    if (setting_of(_i)->containment == SPILE_CONTAINMENT_NONE || !host_open(&host, _i))
        return;
    lease_open(&host, &lease, 0);
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    JOB_START(&lease, &job, ends[1], "pause");
    close(ends[1]);
    host_wait(&host, &job.is_started);
    char *path = strdup(cell_root_path(lease.cell));
    ck_assert_int_eq(mkdirat(cell_root_fd(lease.cell), "left", 0700), 0);
    ck_assert_int_eq(kill(supervisor_pid(lease.cell), SIGKILL), 0);
    host_wait(&host, &lease.is_broken);
    ck_assert(job.is_ended && job.status == SIGKILL);
    ck_assert_ptr_nonnull(strstr(spile_error_get_message(lease.error), "supervisor"));
    spile_error_free(lease.error);
    ck_assert_int_eq(cell_spawn(lease.cell, &(struct proc_spec){.path = "x"}, &job.proc), -EPIPE);
    lease_close(&host, &lease);
    free(pipe_read(ends[0]));
    if (setting_of(_i)->containment == SPILE_CONTAINMENT_REAPER)
        ck_assert_int_lt(access(path, F_OK), 0);
    free(path);
    lease_open(&host, &lease, 0); /* another one */
    JOB_START(&lease, &job, -1, "exit", "0");
    job_wait(&host, &job);
    ck_assert_int_eq(job.status, 0);
    lease_close(&host, &lease);
    close(ends[0]);
    host_close(&host);
}
END_TEST

/* An idle supervisor that was killed is found out by the next lease. */
START_TEST(idle_supervisor_dies) {
    struct host host;
    struct lease lease;
    if (setting_of(_i)->containment == SPILE_CONTAINMENT_NONE || !host_open(&host, _i))
        return;
    for (int round = 0; round < 5; round++) {
        lease_open(&host, &lease, 0);
        struct job job;
        int pidfd = fcntl(lease.cell->pidfd, F_DUPFD_CLOEXEC, 3);
        pid_t supervisor = supervisor_pid(lease.cell);
        lease_close(&host, &lease);
        kill(supervisor, SIGKILL);
        ck_assert(pidfd_ends(pidfd));
        close(pidfd);
        lease_open(&host, &lease, 0);
        JOB_START(&lease, &job, -1, "exit", "0");
        job_wait(&host, &job);
        ck_assert_int_eq(job.status, 0);
        lease_close(&host, &lease);
    }
    host_close(&host);
}
END_TEST

START_TEST(stopped_supervisor_is_given_up) {
    struct host host;
    struct lease lease;
    struct job job;
    if (setting_of(_i)->containment != SPILE_CONTAINMENT_NAMESPACE || setting_of(_i)->user || !host_open(&host, _i))
        return;
    lease_open(&host, &lease, 0);
    JOB_START(&lease, &job, -1, "pause");
    host_wait(&host, &job.is_started);
    kill(supervisor_pid(lease.cell), SIGSTOP);
    ck_assert_int_eq(cell_release(lease.cell), 0);
    host_wait(&host, &lease.is_released);
    ck_assert_int_eq(job.status, SIGKILL);
    ck_assert_uint_eq(host.ctx->cell_count, host.ctx->idle_count);
    host_close(&host);
}
END_TEST

START_TEST(context_ends_its_supervisors) {
    struct host host;
    struct lease leases[5];
    int pidfds[ARRAY_SIZE(leases)];
    if (setting_of(_i)->containment == SPILE_CONTAINMENT_NONE || !host_open(&host, _i))
        return;
    ck_assert_int_eq(spile_ctx_prepare(host.ctx, 2), 0);
    for (size_t i = 0; i < ARRAY_SIZE(leases); i++) {
        lease_open(&host, &leases[i], 0);
        pidfds[i] = fcntl(leases[i].cell->pidfd, F_DUPFD_CLOEXEC, 3);
        ck_assert_int_ge(pidfds[i], 0);
    }
    for (size_t i = 0; i < ARRAY_SIZE(leases); i++)
        lease_close(&host, &leases[i]);
    ck_assert_uint_le(host.ctx->idle_count, host.ctx->idle_limit);
    host_close(&host);
    for (size_t i = 0; i < ARRAY_SIZE(leases); i++) {
        struct pollfd watched = {.fd = pidfds[i], .events = POLLIN};
        ck_assert_int_eq(poll(&watched, 1, 0), 1);
        close(pidfds[i]);
    }
}
END_TEST

START_TEST(lease_given_up_early) {
    struct host host;
    if (!host_open(&host, _i))
        return;
    for (int i = 0; i < 6; i++) {
        struct lease lease = {.is_ready = false};
        const struct cell_wants wants = {.file_bytes = i % 2 ? 1 << 20 : 0};
        if (cell_lease(host.ctx, host.loop, &lease.owner, &wants, &lease.cell) >= 0)
            ck_assert_int_eq(cell_release(lease.cell), 1);
    }
    struct lease lease;
    struct job job;
    lease_open(&host, &lease, 1 << 20);
    JOB_START(&lease, &job, -1, "exit", "0");
    job_wait(&host, &job);
    lease_close(&host, &lease);
    host_close(&host);
}
END_TEST

START_TEST(fork_of_a_host) {
    struct host host;
    struct lease lease;
    struct job job;
    if (!host_open(&host, _i))
        return;
    lease_open(&host, &lease, 0);
    JOB_START(&lease, &job, -1, "pause");
    host_wait(&host, &job.is_started);
    const struct cell *cell = lease.cell;
    const int fds[] = {cell->socket, cell->root, cell->pidfd, spile_loop_fd(host.loop), job.proc.pidfd};
    pid_t child = fork();
    if (child == 0) {
        alarm(30);
        for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
            ck_assert(fds[i] < 0 || fcntl(fds[i], F_GETFD) < 0);
        cell_abandon(lease.cell);
        loop_leave(&host.user);
        spile_loop_free(host.loop);
        ck_assert_int_eq(loop_new_inner(&host.loop), 0);
        loop_join(host.loop, &host.user);
        for (int i = 0; i < 3; i++) { /* the same context serves the child with cells of its own */
            lease_open(&host, &lease, 0);
            JOB_START(&lease, &job, -1, "exit", "6");
            job_wait(&host, &job);
            ck_assert_int_eq(job.status, 6 << 8);
            lease_close(&host, &lease);
        }
        host_close(&host);
        _exit(42);
    }
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 42 << 8);
    ck_assert(!job.is_ended); /* the parent's goes on as before */
    cell_signal_all(lease.cell, SIGTERM);
    job_wait(&host, &job);
    ck_assert_int_eq(job.status, SIGTERM);
    lease_close(&host, &lease);
    host_close(&host);
}
END_TEST

START_TEST(helper_that_is_missing) {
    static const char *const places[] = {"/nowhere/spile-cell", "/etc/passwd"};
    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        for (int kind = SPILE_CONTAINMENT_AUTO; kind < SPILE_CONTAINMENT_NONE; kind++) {
            struct host host;
            struct lease lease;
            const spile_ctx_options options = {
                .size = sizeof(options), .containment = (spile_containment)kind, .cell_path = places[i]};
            ck_assert(host_open(&host, 2));
            spile_ctx_free(host.ctx);
            ck_assert_int_eq(spile_ctx_new(&options, &host.ctx), 0);
            int result = lease_try(&host, &lease, 0);
            ck_assert_int_ge(result, 0);
            if (kind == SPILE_CONTAINMENT_AUTO) {
                ck_assert_ptr_null(lease.error);
                ck_assert_int_eq(cell_containment(lease.cell), SPILE_CONTAINMENT_NONE);
                ck_assert_ptr_nonnull(strstr(cell_notice(lease.cell), places[i]));
                lease_close(&host, &lease);
            } else {
                ck_assert_ptr_nonnull(lease.error);
                ck_assert_ptr_nonnull(strstr(spile_error_get_message(lease.error), places[i]));
                spile_error_free(lease.error);
            }
            host_close(&host);
        }
    }
}
END_TEST

/* A helper that is something else: it ends without a word. */
START_TEST(helper_that_is_no_helper) {
    struct host host;
    struct lease lease;
    const spile_ctx_options options = {.size = sizeof(options), .cell_path = "/bin/true"};
    ck_assert(host_open(&host, 2));
    spile_ctx_free(host.ctx);
    ck_assert_int_eq(spile_ctx_new(&options, &host.ctx), 0);
    lease_open(&host, &lease, 0);
    ck_assert_int_eq(cell_containment(lease.cell), SPILE_CONTAINMENT_NONE);
    ck_assert_ptr_nonnull(cell_notice(lease.cell));
    lease_close(&host, &lease);
    host_close(&host);
}
END_TEST

/* A cell of a host that then changes its user serves that host no more: its programs would be the old user's. */
START_TEST(host_that_changes_its_user) {
    struct host host;
    struct lease lease;
    struct job job;
    int ends[2];
    if (getuid() != 0 || !host_open(&host, 0))
        return;
    lease_open(&host, &lease, 0);
    lease_close(&host, &lease);
    ck_assert(setgid(65534) == 0 && setuid(65534) == 0);
    if (lease_try(&host, &lease, 0) < 0 || lease.error)
        return;
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    JOB_START(&lease, &job, ends[1], "show");
    close(ends[1]);
    char *text = pipe_read(ends[0]);
    ck_assert_ptr_nonnull(strstr(text, "uid=65534 euid=65534"));
    free(text);
    job_wait(&host, &job);
    lease_close(&host, &lease);
    close(ends[0]);
    host_close(&host);
}
END_TEST

/* This program run in a cell: it makes cells of its own there. Its exit status says what went wrong. */
static int nested_main(void) {
    struct cell_owner owner = {.ready = NULL};
    struct cell *cell;
    spile_ctx *ctx;
    spile_loop *loop;
    const spile_ctx_options options = {.size = sizeof(options), .containment = SPILE_CONTAINMENT_NAMESPACE};
    if (spile_ctx_new(&options, &ctx) < 0 || loop_new_inner(&loop) < 0)
        return 10;
    if (cell_lease(ctx, loop, &owner, &(struct cell_wants){0}, &cell) < 0)
        return 11;
    /* READY is waited for in the pool: nothing here may assert. */
    struct pollfd watched = {.fd = cell->socket, .events = POLLIN};
    if (poll(&watched, 1, 20000) != 1 || cell_release(cell) != 1 ||
        cell_lease(ctx, loop, &owner, &(struct cell_wants){0}, &cell) != 1)
        return 12;
    if (!strstr(cell_root_path(cell), "/files/.spile-") || access(cell_root_path(cell), F_OK) < 0)
        return 13;
    if (cell_release(cell) != 1)
        return 14;
    spile_loop_free(loop);
    spile_ctx_free(ctx);
    return 0;
}

START_TEST(cell_in_a_cell) {
    struct host host;
    struct lease lease;
    struct job job;
    char self[4096], helper[4096];
    if (setting_of(_i)->containment != SPILE_CONTAINMENT_NAMESPACE || !host_open(&host, _i))
        return;
    ck_assert_ptr_nonnull(realpath("/proc/self/exe", self));
    snprintf(helper, sizeof(helper), "SPILE_CELL=%s", getenv("SPILE_CELL"));
    char *argv[] = {self, (char *)"nested", NULL}, *envp[] = {helper, NULL};
    lease_open(&host, &lease, 0);
    job_init(&job);
    const struct proc_spec spec = {
        .path = self, .argv = argv, .envp = envp, .cwd = cell_root_path(lease.cell), .stdio = {-1, -1, -1}};
    ck_assert_int_eq(cell_spawn(lease.cell, &spec, &job.proc), 0);
    job_wait(&host, &job);
    ck_assert_int_eq(job.status, 0);
    DIR *list = fdopendir(fcntl(cell_root_fd(lease.cell), F_DUPFD_CLOEXEC, 3));
    for (const struct dirent *entry; (entry = readdir(list));)
        ck_assert_msg(entry->d_name[0] == '.' && strlen(entry->d_name) < 3, "'%s' is left", entry->d_name);
    closedir(list);
    lease_close(&host, &lease);
    host_close(&host);
}
END_TEST

/* The whole life of a lease, whatever fails on the way. Only what ends badly in another way than by a clean error ends
 * the test: a hang, an abort, something left. */
static void live(struct host *host) {
    struct lease lease;
    struct job job, daemon;
    int result = lease_try(host, &lease, 1 << 22);
    if (result < 0 || lease.error) {
        spile_error_free(lease.error);
        return;
    }
    job_init(&job);
    job_init(&daemon);
    const char *words[] = {"exit", "0", NULL};
    if (job_try(&lease, &job, 1, words) >= 0)
        job_wait(host, &job);
    words[0] = "daemon";
    if (job_try(&lease, &daemon, -1, words) >= 0)
        job_wait(host, &daemon);
    ck_assert(job.is_ended || !job.is_started);
    lease_close(host, &lease);
    spile_error_free(lease.error);
}

static void live_twice(int index) {
    struct host host;
    const struct setting *setting = setting_of(index);
    host = (struct host){.ctx = NULL};
    const spile_ctx_options options = {.size = sizeof(options),
                                       .containment = setting->containment == SPILE_CONTAINMENT_NAMESPACE
                                                          ? SPILE_CONTAINMENT_AUTO
                                                          : setting->containment};
    if (spile_ctx_new(&options, &host.ctx) < 0)
        return;
    if (loop_new_inner(&host.loop) >= 0) {
        loop_join(host.loop, &host.user);
        live(&host);
        live(&host);
        loop_leave(&host.user);
        spile_loop_free(host.loop);
    }
    spile_ctx_free(host.ctx);
}

static void inject(struct fault_plan *plan, int index, uint32_t key, int code, uint32_t occurrence, bool onward) {
    size_t fds = fd_count();
    uint64_t begin = time_now_ns();
    plan->key = 0;
    for (size_t i = 0; i < FAULT_TABLE_SIZE; i++)
        plan->table[i].passes = 0;
    plan->hits = 0;
    plan->code = code;
    plan->occurrence = occurrence;
    plan->onward = onward;
    plan->key = key;
    live_twice(index);
    plan->key = 0;
    if (time_now_ns() - begin > NS_PER_SECOND)
        printf("# slow: %d at pass %u%s: %.1f s\n", code, occurrence, onward ? " and onward" : "",
               (double)(time_now_ns() - begin) / 1e9);
    ck_assert_uint_eq(fd_count(), fds);
    ck_assert_int_eq(waitpid(-1, NULL, __WALL | WNOHANG), -1);
}

START_TEST(injected_failures) {
    struct fault_plan *plan = fault_plan_make();
    static struct fault_entry entries[FAULT_TABLE_SIZE];
    static uint32_t passes[FAULT_TABLE_SIZE];
    if (setting_of(_i)->user)
        return;
    size_t count = 0;
    live_twice(_i);
    for (size_t i = 0; i < FAULT_TABLE_SIZE; i++) {
        /* A loop that can't wait is the end of everything; that is not what is looked for here. */
        if (!plan->table[i].key || strstr(plan->table[i].place, " epoll_wait"))
            continue;
        passes[count] = plan->table[i].passes;
        entries[count++] = plan->table[i];
    }
    ck_assert_uint_gt(count, 20);
    int trees = tree_count();
    for (size_t i = 0; i < count; i++) {
        int code = entries[i].class == FAULT_TRANSFER ? EINTR : entries[i].class == FAULT_RELEASE ? EIO : EMFILE;
        printf("# %s, %u times\n", entries[i].place, passes[i]);
        fflush(stdout);
        for (uint32_t occurrence = 1; occurrence <= MIN(passes[i], 3u); occurrence++)
            inject(plan, _i, entries[i].key, code, occurrence, false);
        /* A reaper that can never look at /proc ends by the host's patience, which is tested elsewhere. */
        if (strncmp(entries[i].place, "descendants.c", 13) != 0)
            inject(plan, _i, entries[i].key, entries[i].class == FAULT_ACQUIRE ? EPERM : EIO, 1, true);
    }
    fault_plan_reset(plan);
    live_twice(_i); /* deletes what a killed supervisor could not */
    ck_assert(!is_isolated || tree_count() <= trees);
}
END_TEST

int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "nested") == 0)
        return nested_main();
    is_isolated = isolate();
    Suite *suite = suite_create("cell_end");
    TCase *tests = tcase_create("cell_end");
    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, daemons_end_with_the_lease, 0, setting_count);
    tcase_add_loop_test(tests, release_kills_what_runs, 0, setting_count);
    tcase_add_loop_test(tests, program_that_kills_everything, 0, setting_count);
    tcase_add_loop_test(tests, killed_host_leaves_nothing, 0, setting_count);
    tcase_add_loop_test(tests, killed_supervisor_is_told, 0, setting_count);
    tcase_add_loop_test(tests, idle_supervisor_dies, 0, setting_count);
    tcase_add_loop_test(tests, stopped_supervisor_is_given_up, 0, setting_count);
    tcase_add_loop_test(tests, context_ends_its_supervisors, 0, setting_count);
    tcase_add_loop_test(tests, lease_given_up_early, 0, setting_count);
    tcase_add_loop_test(tests, fork_of_a_host, 0, setting_count);
    tcase_add_loop_test(tests, cell_in_a_cell, 0, setting_count);
    tcase_add_test(tests, helper_that_is_missing);
    tcase_add_test(tests, helper_that_is_no_helper);
    tcase_add_test(tests, host_that_changes_its_user);
    tcase_add_loop_test(tests, injected_failures, 0, setting_count);
    suite_add_tcase(suite, tests);
    return run_tests(suite);
}
