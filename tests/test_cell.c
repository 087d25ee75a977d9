/* Cells: what a program is started with, how its end is told, and that leases leave nothing behind. Every test runs
 * with each containment, as root and as a user, where the system has it. */
#include "cell_host.h"

#include <sys/file.h>
#include <sys/statfs.h>
#include <sys/xattr.h>

static char *show(struct host *host, struct lease *lease) {
    struct job job;
    int ends[2];
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    JOB_START(lease, &job, ends[1], "show", "two words", "");
    close(ends[1]);
    char *text = pipe_read(ends[0]);
    close(ends[0]);
    job_wait(host, &job);
    ck_assert(!job.is_failed);
    ck_assert_int_eq(job.status, 0);
    return text;
}

START_TEST(started_exactly) {
    struct host host;
    struct lease lease;
    sigset_t blocked;
    if (!host_open(&host, _i))
        return;
    /* What a host may have, and a program must not: an inheritable descriptor, an ignored and a blocked signal. */
    ck_assert_int_eq(dup2(0, 50), 50);
    ck_assert_int_eq(dup2(0, 3000), 3000);
    signal(SIGUSR1, SIG_IGN);
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGINT);
    sigprocmask(SIG_BLOCK, &blocked, NULL);
    lease_open(&host, &lease, 0);
    char *text = show(&host, &lease), expected[8192];
    int size = snprintf(expected, sizeof(expected),
                        "argv=act\nargv=show\nargv=two words\nargv=\nenv=A=1\nenv=EMPTY=\ncwd=%s\nfd=0\nfd=1\nfd=2\n"
                        "leader=1\nuid=%d euid=%d\n",
                        cell_root_path(lease.cell), (int)getuid(), (int)geteuid());
    ck_assert_msg(strncmp(text, expected, (size_t)size) == 0, "got\n%s, expected\n%s", text, expected);
    if (getuid() != 0)
        ck_assert_msg(strstr(text, "cap=0000000000000000\n") != NULL, "a user's program has capabilities: %s", text);
    sigset_t now;
    sigprocmask(SIG_SETMASK, NULL, &now);
    ck_assert(sigismember(&now, SIGINT) && !sigismember(&now, SIGTERM));
    free(text);
    lease_close(&host, &lease);
    host_close(&host);
}
END_TEST

START_TEST(swapped_streams) {
    struct host host;
    struct lease lease;
    struct job job;
    int ends[2];
    if (!host_open(&host, _i))
        return;
    lease_open(&host, &lease, 0);
    /* The source of standard error is the host's 0, of standard input its 2: each in the other's way. */
    ck_assert_int_eq(pipe2(ends, 0), 0);
    ck_assert_int_eq(dup2(ends[1], 0), 0);
    close(ends[1]);
    char *argv[] = {(char *)"sh", (char *)"-c", (char *)"echo error >&2; readlink /proc/self/fd/0 >&2", NULL};
    char *envp[] = {(char *)"PATH=/usr/bin:/bin", NULL};
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    ck_assert_int_eq(dup2(null, 2), 2);
    close(null);
    job_init(&job);
    const struct proc_spec spec = {
        .path = "/bin/sh", .argv = argv, .envp = envp, .cwd = "/", .stdio = {2, -1, 0}, .flags = PROC_NEW_SESSION};
    ck_assert_int_eq(cell_spawn(lease.cell, &spec, &job.proc), 0);
    job_wait(&host, &job);
    close(0);
    char *text = pipe_read(ends[0]);
    ck_assert_str_eq(text, "error\n/dev/null\n");
    free(text);
    lease_close(&host, &lease);
    host_close(&host);
}
END_TEST

START_TEST(statuses) {
    static const struct {
        const char *act, *value;
        int status;
    } cases[] = {{"exit", "0", 0},          {"exit", "3", 3 << 8},     {"exit", "255", 255 << 8}, {"signal", "9", 9},
                 {"signal", "13", SIGPIPE}, {"signal", "15", SIGTERM}, {"signal", "2", SIGINT}};
    struct host host;
    struct lease lease;
    if (!host_open(&host, _i))
        return;
    lease_open(&host, &lease, 0);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct job job;
        JOB_START(&lease, &job, -1, cases[i].act, cases[i].value);
        ck_assert(!job.is_started && !job.is_ended); /* only from a step */
        job_wait(&host, &job);
        ck_assert(job.is_started && !job.is_failed && job.is_alone);
        ck_assert_int_eq(job.status, cases[i].status);
        ck_assert_int_gt(job.pid, 1);
    }
    lease_close(&host, &lease);
    host_close(&host);
}
END_TEST

START_TEST(usage_is_told) {
    struct host host;
    struct lease lease;
    struct job job;
    if (!host_open(&host, _i))
        return;
    lease_open(&host, &lease, 0);
    JOB_START(&lease, &job, -1, "burn");
    job_wait(&host, &job);
    ck_assert_int_eq(job.status, 0);
    ck_assert_uint_ge(job.usage.user_ns + job.usage.system_ns, 45 * NS_PER_MS);
    ck_assert_uint_lt(job.usage.user_ns + job.usage.system_ns, 20 * NS_PER_SECOND);
    ck_assert_uint_ge(job.usage.max_rss_bytes, 24 << 20);
    ck_assert_uint_lt(job.usage.max_rss_bytes, 200 << 20);
    lease_close(&host, &lease);
    host_close(&host);
}
END_TEST

static void expect_failure(struct host *host, struct lease *lease, const char *path, const char *cwd,
                           enum proc_stage stage, int number) {
    struct job job;
    char *argv[] = {(char *)"x", NULL}, *envp[] = {NULL};
    job_init(&job);
    const struct proc_spec spec = {.path = path, .argv = argv, .envp = envp, .cwd = cwd, .stdio = {-1, -1, -1}};
    ck_assert_int_eq(cell_spawn(lease->cell, &spec, &job.proc), 0);
    job_wait(host, &job);
    ck_assert(job.is_failed && !job.is_started);
    ck_assert_str_eq(proc_stage_name(job.stage), proc_stage_name(stage));
    ck_assert_int_eq(job.error_number, number);
}

START_TEST(failed_starts) {
    struct host host;
    struct lease lease;
    struct job job;
    if (!host_open(&host, _i))
        return;
    lease_open(&host, &lease, 0);
    const char *root = cell_root_path(lease.cell);
    expect_failure(&host, &lease, "/nowhere/to/be/found", root, PROC_STAGE_EXEC, ENOENT);
    expect_failure(&host, &lease, "/etc/passwd", root, PROC_STAGE_EXEC, EACCES);
    expect_failure(&host, &lease, "/bin/true", "/nowhere", PROC_STAGE_CWD, ENOENT);
    expect_failure(&host, &lease, "true", "/bin/true", PROC_STAGE_CWD, ENOTDIR);
    /* A descriptor that is none: refused at once, or by the start. */
    int result = job_try(&lease, &job, 2999, (const char *const[]){"exit", "0", NULL});
    if (result == 0) {
        job_wait(&host, &job);
        ck_assert(job.is_failed && job.stage == PROC_STAGE_STDIO && job.error_number == EBADF);
    } else {
        ck_assert_int_eq(result, -EBADF);
    }
    /* And the cell is as good as before. */
    JOB_START(&lease, &job, -1, "exit", "7");
    job_wait(&host, &job);
    ck_assert_int_eq(job.status, 7 << 8);
    ck_assert(job.is_alone);
    lease_close(&host, &lease);
    host_close(&host);
}
END_TEST

START_TEST(large_environment) {
    struct host host;
    struct lease lease;
    struct job job;
    int ends[2];
    if (!host_open(&host, _i))
        return;
    lease_open(&host, &lease, 0);
    enum { COUNT = 1000, SIZE = 300 };
    static char values[COUNT][SIZE + 1], *envp[COUNT + 1];
    for (int i = 0; i < COUNT; i++) {
        memset(values[i], 'v', SIZE);
        memcpy(values[i], "N=", 2);
        envp[i] = values[i];
    }
    char *argv[] = {(char *)"act", (char *)"environment", NULL};
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    job_init(&job);
    const struct proc_spec spec = {
        .path = act_path(), .argv = argv, .envp = envp, .cwd = "/", .stdio = {-1, ends[1], ends[1]}};
    ck_assert_int_eq(cell_spawn(lease.cell, &spec, &job.proc), 0);
    close(ends[1]);
    char *text = pipe_read(ends[0]);
    ck_assert_str_eq(text, "1000 301000\n");
    job_wait(&host, &job);
    ck_assert_int_eq(job.status, 0);
    free(text);
    close(ends[0]);
    lease_close(&host, &lease);
    host_close(&host);
}
END_TEST

START_TEST(many_at_a_time) {
    enum { COUNT = 40 };
    static struct job jobs[COUNT];
    struct host host;
    struct lease lease;
    int ends[2];
    if (!host_open(&host, _i))
        return;
    lease_open(&host, &lease, 0);
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    for (int i = 0; i < COUNT; i++)
        JOB_START(&lease, &jobs[i], ends[1], "pause");
    close(ends[1]);
    char buffer[COUNT];
    for (int have = 0; have < COUNT;) {
        ssize_t count = read(ends[0], buffer, sizeof(buffer));
        ck_assert_int_gt(count, 0);
        have += (int)count;
    }
    cell_signal_all(lease.cell, SIGTERM);
    int alone = 0;
    for (int i = 0; i < COUNT; i++) {
        job_wait(&host, &jobs[i]);
        ck_assert_int_eq(jobs[i].status, SIGTERM);
        alone += jobs[i].is_alone;
    }
    ck_assert_int_ge(alone, 1);
    ck_assert_int_eq(cell_release(lease.cell), 1);
    close(ends[0]);
    host_close(&host);
}
END_TEST

START_TEST(cpu_limit) {
    struct host host;
    struct lease lease;
    struct job job;
    char *argv[] = {(char *)"act", (char *)"spin", NULL}, *envp[] = {NULL};
    if (!host_open(&host, _i))
        return;
    lease_open(&host, &lease, 0);
    job_init(&job);
    const struct proc_spec spec = {
        .path = act_path(), .argv = argv, .envp = envp, .cwd = "/", .stdio = {-1, -1, -1}, .limits.cpu_seconds = 1};
    ck_assert_int_eq(cell_spawn(lease.cell, &spec, &job.proc), 0);
    job_wait(&host, &job);
    ck_assert_int_eq(job.status & 0x7f, SIGXCPU);
    lease_close(&host, &lease);
    host_close(&host);
}
END_TEST

START_TEST(files_go_with_the_lease) {
    struct host host;
    struct lease lease;
    struct job job;
    if (!host_open(&host, _i))
        return;
    lease_open(&host, &lease, 0);
    char *path = strdup(cell_root_path(lease.cell));
    int root = cell_root_fd(lease.cell);
    ck_assert_int_eq(mkdirat(root, "sub", 0700), 0);
    int file = openat(root, "sub/file", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    ck_assert_int_eq(write(file, "kept", 4), 4);
    JOB_START(&lease, &job, -1, "lock");
    job_wait(&host, &job);
    ck_assert_int_eq(job.status, 0);
    lease_close(&host, &lease);
    char bytes[8];
    ck_assert_int_eq(pread(file, bytes, sizeof(bytes), 0), 4); /* what is open stays */
    close(file);
    for (int i = 0; i < 3; i++) { /* whichever cell it is */
        lease_open(&host, &lease, 0);
        struct stat status;
        ck_assert_int_lt(fstatat(cell_root_fd(lease.cell), "sub", &status, 0), 0);
        ck_assert_int_lt(fstatat(cell_root_fd(lease.cell), "locked", &status, 0), 0);
        JOB_START(&lease, &job, -1, "mounts"); /* the old one lies under no new one */
        job_wait(&host, &job);
        ck_assert_int_eq(job.status, settings[_i].containment == SPILE_CONTAINMENT_NAMESPACE ? 1 << 8 : 0);
        lease_close(&host, &lease);
    }
    host_close(&host);
    ck_assert(settings[_i].containment == SPILE_CONTAINMENT_NAMESPACE || access(path, F_OK) < 0);
    free(path);
}
END_TEST

/* Whichever cell is leased: its root is as new, and what is at its path. */
static void expect_fresh(struct host *host, const char *harm) {
    struct lease lease;
    struct job job;
    struct stat status;
    struct statfs system;
    lease_open(host, &lease, 0);
    int root = cell_root_fd(lease.cell);
    ck_assert_int_eq(fstat(root, &status), 0);
    ck_assert_msg((status.st_mode & 07777) == 0700, "after %s", harm);
    ck_assert_msg(flistxattr(root, NULL, 0) <= 0, "after %s", harm);
    ck_assert_int_eq(fstatfs(root, &system), 0);
    ck_assert_msg(system.f_files > 1000, "after %s", harm);
    JOB_START(&lease, &job, -1, "mounts");
    job_wait(host, &job);
    ck_assert_msg(job.status == 1 << 8, "after %s", harm);
    JOB_START(&lease, &job, -1, "fill", "file", "65536");
    job_wait(host, &job);
    ck_assert_msg(job.status == 0, "after %s", harm);
    ck_assert_msg(fstatat(root, "file", &status, 0) == 0, "after %s", harm);
    lease_close(host, &lease);
}

/* A cell's files are deleted where there are few; what that does not undo must be seen. */
START_TEST(harmed_root_is_replaced) {
    static const char *const harms[] = {"mode", "attribute", "cover", "files", "read-only"};
    struct host host;
    struct lease lease;
    struct job job;
    if (settings[_i].containment != SPILE_CONTAINMENT_NAMESPACE || !host_open(&host, _i))
        return;
    for (size_t i = 0; i < ARRAY_SIZE(harms); i++) {
        lease_open(&host, &lease, 0);
        JOB_START(&lease, &job, -1, "harm", harms[i]);
        job_wait(&host, &job);
        ck_assert_msg(job.status == 0 || settings[_i].user != 0, "harming by %s", harms[i]);
        lease_close(&host, &lease);
        for (int round = 0; round < 3; round++)
            expect_fresh(&host, harms[i]);
    }
    host_close(&host);
}
END_TEST

START_TEST(file_limit) {
    struct host host;
    struct lease lease;
    struct job job;
    if (!host_open(&host, _i))
        return;
    bool has_limits = settings[_i].containment == SPILE_CONTAINMENT_NAMESPACE;
    for (int round = 0; round < 4; round++) {
        bool is_limited = round % 2 == 0;
        lease_open(&host, &lease, is_limited ? 1 << 20 : 0);
        JOB_START(&lease, &job, -1, "fill", "file", "4194304");
        job_wait(&host, &job);
        ck_assert_int_eq(job.status, has_limits && is_limited ? 28 << 8 : 0);
        lease_close(&host, &lease);
    }
    host_close(&host);
}
END_TEST

START_TEST(thousand_leases) {
    struct host host;
    size_t before = 0, at_first = fd_count();
    if (!host_open(&host, _i))
        return;
    for (int i = 0; i < 1000; i++) {
        struct lease lease;
        struct job job;
        lease_open(&host, &lease, 0);
        if (i % 20 == 0) {
            JOB_START(&lease, &job, -1, "exit", "0");
            job_wait(&host, &job);
            ck_assert_int_eq(job.status, 0);
        }
        lease_close(&host, &lease);
        if (i == 10)
            before = fd_count();
    }
    /* A second cell may have come since, with its three. */
    ck_assert_uint_le(fd_count(), before + 3);
    ck_assert_uint_le(host.ctx->cell_count, 2);
    host_close(&host);
    ck_assert_uint_eq(fd_count(), at_first);
    ck_assert_int_eq(waitpid(-1, NULL, __WALL | WNOHANG), -1);
    ck_assert_int_eq(errno, ECHILD);
}
END_TEST

static void *thread_of_leases(void *argument) {
    struct host host = *(struct host *)argument;
    ck_assert_int_eq(loop_new_inner(&host.loop), 0);
    loop_join(host.loop, &host.user);
    for (int i = 0; i < 40; i++) {
        struct lease lease;
        struct job job;
        lease_open(&host, &lease, 0);
        JOB_START(&lease, &job, -1, "exit", "4");
        job_wait(&host, &job);
        ck_assert_int_eq(job.status, 4 << 8);
        lease_close(&host, &lease);
    }
    loop_leave(&host.user);
    spile_loop_free(host.loop);
    return NULL;
}

START_TEST(threads_share_a_context) {
    struct host host;
    pthread_t threads[8];
    if (!host_open(&host, _i))
        return;
    for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, thread_of_leases, &host), 0);
    for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
        pthread_join(threads[i], NULL);
    ck_assert_uint_le(host.ctx->idle_count, host.ctx->idle_limit);
    host_close(&host);
}
END_TEST

START_TEST(prepared_but_never_used) {
    struct host host;
    ck_assert_int_eq(prctl(PR_SET_CHILD_SUBREAPER, 1), 0); /* as the first process of a container */
    if (!host_open(&host, _i))
        return;
    size_t before = fd_count();
    ck_assert_int_eq(spile_ctx_prepare(host.ctx, 2), 0);
    spile_ctx_free(host.ctx); /* while they start */
    ck_assert_uint_le(fd_count(), before);
    host.ctx = NULL;
    host_close(&host);
    ck_assert(waitpid(-1, NULL, __WALL | WNOHANG) < 0 && errno == ECHILD);
}
END_TEST

START_TEST(host_that_ignores_children) {
    struct host host;
    struct lease lease;
    struct job job;
    signal(SIGCHLD, SIG_IGN);
    if (!host_open(&host, _i))
        return;
    lease_open(&host, &lease, 0);
    JOB_START(&lease, &job, -1, "exit", "3");
    job_wait(&host, &job);
    if (settings[_i].containment == SPILE_CONTAINMENT_NONE)
        ck_assert(job.is_failed && job.stage == PROC_STAGE_STATUS && job.error_number == ECHILD);
    else
        ck_assert_int_eq(job.status, 3 << 8);
    lease_close(&host, &lease);
    host_close(&host);
}
END_TEST

static volatile sig_atomic_t children_seen;

static void on_child(int signal) {
    (void)signal;
    children_seen++;
}

START_TEST(host_that_waits_for_everything) {
    struct host host;
    struct lease lease;
    struct job job;
    if (settings[_i].containment == SPILE_CONTAINMENT_NONE)
        return;
    signal(SIGCHLD, on_child);
    if (!host_open(&host, _i))
        return;
    lease_open(&host, &lease, 0);
    JOB_START(&lease, &job, -1, "pause");
    host_wait(&host, &job.is_started);
    ck_assert_int_eq(waitpid(-1, NULL, __WALL), -1); /* neither cell nor program is its child */
    ck_assert_int_eq(errno, ECHILD);
    ck_assert_int_eq(children_seen, 0);
    lease_close(&host, &lease);
    ck_assert(job.is_ended);
    host_close(&host);
    ck_assert_int_eq(children_seen, 0);
}
END_TEST

START_TEST(default_context_and_loops) {
    spile_ctx *ctx = ctx_default();
    ck_assert_ptr_nonnull(ctx);
    ck_assert_ptr_eq(ctx, ctx_default());
    spile_loop *loops[10];
    ck_assert_ptr_null(ctx_take_loop(NULL));
    for (size_t i = 0; i < ARRAY_SIZE(loops); i++)
        ck_assert_int_eq(loop_new_inner(&loops[i]), 0);
    for (size_t i = 0; i < ARRAY_SIZE(loops); i++)
        ctx_give_loop(NULL, loops[i]);
    for (int i = 0; i < 8; i++) {
        spile_loop *loop = ctx_take_loop(NULL);
        ck_assert_ptr_nonnull(loop);
        spile_loop_free(loop);
    }
    ck_assert_ptr_null(ctx_take_loop(NULL));
}
END_TEST

START_TEST(options_are_checked) {
    spile_ctx *ctx = NULL;
    spile_ctx_options options = {0};
    ck_assert_int_eq(spile_ctx_new(&options, &ctx), -EINVAL);
    options.size = sizeof(options);
    options.containment = (spile_containment)9;
    ck_assert_int_eq(spile_ctx_new(&options, &ctx), -EINVAL);
    ck_assert_ptr_null(ctx);
    ck_assert_int_eq(spile_ctx_new(NULL, &ctx), 0);
    ck_assert_uint_ge(ctx->idle_limit, 2);
    ck_assert_ptr_null(spile_ctx_free(ctx));
    ck_assert_ptr_null(spile_ctx_free(NULL));
}
END_TEST

int main(void) {
    Suite *suite = suite_create("cell");
    TCase *tests = tcase_create("cell");
    tcase_set_timeout(tests, 60);
    tcase_add_loop_test(tests, started_exactly, 0, setting_count);
    tcase_add_loop_test(tests, swapped_streams, 0, setting_count);
    tcase_add_loop_test(tests, statuses, 0, setting_count);
    tcase_add_loop_test(tests, usage_is_told, 0, setting_count);
    tcase_add_loop_test(tests, failed_starts, 0, setting_count);
    tcase_add_loop_test(tests, large_environment, 0, setting_count);
    tcase_add_loop_test(tests, many_at_a_time, 0, setting_count);
    tcase_add_loop_test(tests, cpu_limit, 0, setting_count);
    tcase_add_loop_test(tests, files_go_with_the_lease, 0, setting_count);
    tcase_add_loop_test(tests, harmed_root_is_replaced, 0, setting_count);
    tcase_add_loop_test(tests, file_limit, 0, setting_count);
    tcase_add_loop_test(tests, thousand_leases, 0, setting_count);
    tcase_add_loop_test(tests, threads_share_a_context, 0, setting_count);
    tcase_add_loop_test(tests, prepared_but_never_used, 0, setting_count);
    tcase_add_loop_test(tests, host_that_ignores_children, 0, setting_count);
    tcase_add_loop_test(tests, host_that_waits_for_everything, 0, setting_count);
    tcase_add_test(tests, default_context_and_loops);
    tcase_add_test(tests, options_are_checked);
    suite_add_tcase(suite, tests);
    return run_tests(suite);
}
