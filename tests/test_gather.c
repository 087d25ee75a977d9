/* A host that waits for a brief program on one processor with its supervisor: who is bound, for how long, and that
 * nobody else is. */
#include "base/affinity.h"
#include "base/gathering.h"
#include "cell_host.h"
#include "proc/exec.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>

/* A host thread's wait, as another thread sees it. Where this machine has other things to do the moment is over before
 * the wait begins: then nothing is seen, and it is tried again. */
struct witness {
    pthread_t thread, host_thread;
    pid_t host, supervisor; /* 0: only the host is looked at */
    spile_loop *loop;
    int go; /* the program ends when this is closed; -1: when `fifo` is */
    bool wakes, signals;
    bool has_seen_it;
};

enum { PATIENCE_MS = 100, TRIES = 200, BUSY = 3 /* looks */ };

static cpu_set_t processors_of(pid_t thread) {
    cpu_set_t set;
    ck_assert_int_eq(affinity_get(thread, &set), 0);
    return set;
}

static bool comes_to(pid_t thread, const cpu_set_t *processors, uint64_t end_ns) {
    do {
        cpu_set_t set = processors_of(thread);
        if (processors ? CPU_EQUAL(&set, processors) : CPU_COUNT(&set) == 1)
            return true;
        sched_yield();
    } while (time_now_ns() < end_ns);
    return false;
}

static bool sees_it(const struct witness *witness, const cpu_set_t *all) {
    uint64_t end = time_now_ns() + PATIENCE_MS * NS_PER_MS;
    if (!comes_to(witness->host, NULL, end))
        return false;
    cpu_set_t here = processors_of(witness->host);
    if (CPU_COUNT(&here) != 1 || (witness->supervisor && !comes_to(witness->supervisor, &here, end)))
        return false;
    if (witness->signals)
        ck_assert_int_eq(pthread_kill(witness->host_thread, SIGUSR1), 0);
    if (!witness->wakes)
        return true;
    for (end = time_now_ns() + 2 * GATHERING_NS; time_now_ns() < end;)
        sched_yield();
    loop_wake(witness->loop);
    end = time_now_ns() + NS_PER_SECOND;
    return comes_to(witness->host, all, end) && comes_to(witness->supervisor, all, end);
}

static void *watch(void *argument) {
    struct witness *witness = argument;
    cpu_set_t all = processors_of(0); /* as many as the host had when it made this thread */
    witness->has_seen_it = sees_it(witness, &all);
    close(witness->go >= 0 ? witness->go : open("fifo", O_WRONLY | O_CLOEXEC));
    return NULL;
}

/* To the one that the calling thread is on. */
static void narrow(cpu_set_t *ret_one) {
    CPU_ZERO(ret_one);
    CPU_SET(sched_getcpu(), ret_one);
    ck_assert_int_eq(sys_setaffinity(0, ret_one), 0);
}

static bool has_two_processors(void) {
    cpu_set_t set = processors_of(0);
    if (CPU_COUNT(&set) < 2)
        printf("# skipped: this needs two processors\n");
    return CPU_COUNT(&set) >= 2;
}

/* Says on which processors it and what it starts may run, once its standard input has ended. */
static void start_teller(struct lease *lease, struct job *job, int input, int output) {
    char *argv[] = {(char *)"sh", (char *)"-c", (char *)"read x; grep Cpus_allowed: /proc/self/status", NULL};
    char *envp[] = {(char *)"PATH=/usr/bin:/bin", NULL};
    job_init(job);
    const struct proc_spec spec = {.path = "/bin/sh",
                                   .argv = argv,
                                   .envp = envp,
                                   .cwd = "/",
                                   .stdio = {input, output, -1},
                                   .flags = PROC_NEW_SESSION | PROC_TELL_LATE | PROC_NEAR};
    ck_assert_int_eq(cell_spawn(lease->cell, &spec, &job->proc), 0);
}

static char *told_by(struct host *host, struct lease *lease, struct witness *witness) {
    struct job job;
    int in[2], out[2];
    ck_assert(pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0);
    start_teller(lease, &job, in[0], out[1]);
    close(in[0]);
    close(out[1]);
    if (witness) {
        witness->go = in[1];
        ck_assert_int_eq(pthread_create(&witness->thread, NULL, watch, witness), 0);
    } else {
        close(in[1]);
    }
    job_wait(host, &job);
    if (witness)
        ck_assert_int_eq(pthread_join(witness->thread, NULL), 0);
    char *text = pipe_read(out[0]);
    close(out[0]);
    ck_assert_int_eq(job.status, 0);
    return text;
}

static char *own_line(void) {
    char line[4096];
    FILE *file = fopen("/proc/thread-self/status", "re");
    ck_assert_ptr_nonnull(file);
    while (fgets(line, sizeof(line), file) && strncmp(line, "Cpus_allowed:", 13) != 0)
        ;
    fclose(file);
    return strdup(line);
}

/* Looks at the machine are seldom, so that this is what the last ones found. */
static void become_calm(spile_ctx *ctx) {
    ctx->busy_looks = 0;
    ctx->next_look_ns = NS_FOREVER;
}

/* As after brief programs. */
static void become_brief(struct host *host) {
    struct lease lease;
    lease_open(host, &lease, 0); /* a supervisor */
    lease_close(host, &lease);
    host->ctx->brief_count = CELL_BRIEF_ENOUGH;
    become_calm(host->ctx);
}

/* False: the setting has no supervisor, or is not to be had here. */
static bool open_supervised(struct host *host, int setting) {
    return settings[setting].containment != SPILE_CONTAINMENT_NONE && has_two_processors() && host_open(host, setting);
}

static bool check_wait(int setting, struct witness witness) {
    struct host host;
    struct lease lease;
    if (!open_supervised(&host, setting))
        return false;
    cpu_set_t before = processors_of(0), after;
    AUTO_FREE char *line = own_line();
    witness.host = (pid_t)syscall(SYS_gettid);
    witness.host_thread = pthread_self();
    witness.loop = host.loop;
    for (int i = 0; !witness.has_seen_it; i++) {
        ck_assert_int_lt(i, TRIES);
        become_brief(&host);
        lease_open(&host, &lease, 0);
        witness.supervisor = supervisor_pid(lease.cell);
        ck_assert_int_eq(lease.cell->supervisor, witness.supervisor);
        AUTO_FREE char *told = told_by(&host, &lease, &witness);
        ck_assert_str_eq(told, line); /* what a program starts, too, has all processors */
        after = processors_of(0);
        ck_assert(CPU_EQUAL(&before, &after));
        lease_close(&host, &lease);
        after = processors_of(witness.supervisor);
        ck_assert(CPU_EQUAL(&before, &after));
    }
    host_close(&host);
    return true;
}

START_TEST(both_are_bound_while_one_waits) {
    check_wait(_i, (struct witness){.host = 0});
}
END_TEST

static volatile sig_atomic_t forked_as;
static cpu_set_t forks_own;

/* In the child it has what the thread had before it waited. */
static void fork_here(int signal) {
    (void)signal;
    pid_t pid = fork();
    if (pid == 0) {
        cpu_set_t set;
        _exit(affinity_get(0, &set) < 0 || !CPU_EQUAL(&set, &forks_own));
    }
    int status;
    forked_as = waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

START_TEST(a_handler_that_forks) {
#ifdef __SANITIZE_THREAD__
    printf("# skipped: ThreadSanitizer takes what a fork does for unsafe in a handler\n");
    return;
#endif
    forks_own = processors_of(0);
    forked_as = -2;
    const struct sigaction action = {.sa_handler = fork_here};
    ck_assert_int_eq(sigaction(SIGUSR1, &action, NULL), 0);
    if (!check_wait(_i, (struct witness){.signals = true}))
        return;
    ck_assert_int_eq(forked_as, 0);
}
END_TEST

START_TEST(a_wake_up_after_a_while_ends_it) {
    check_wait(_i, (struct witness){.wakes = true});
}
END_TEST

/* Whether a program that is started now is waited for in that way. */
static bool is_gathered(struct lease *lease) {
    bool result = cell_gather(lease->cell);
    lease->cell->alone_since_ns += NS_PER_SECOND; /* brief, however long it takes us to come here */
    cell_scatter(lease->cell);
    return result;
}

START_TEST(only_after_brief_ones) {
    struct host host;
    struct lease lease;
    if (!open_supervised(&host, _i))
        return;
    become_calm(host.ctx);
    for (int i = 0; i < CELL_BRIEF_ENOUGH; i++) {
        lease_open(&host, &lease, 0);
        ck_assert(!is_gathered(&lease));
        lease_close(&host, &lease);
    }
    lease_open(&host, &lease, 0);
    ck_assert(is_gathered(&lease));
    lease.cell->alone_since_ns = time_now_ns() - 2 * GATHERING_NS; /* one that took too long */
    cell_scatter(lease.cell);
    for (int i = 0; i < CELL_BRIEF_ENOUGH; i++)
        ck_assert(!is_gathered(&lease));
    ck_assert(is_gathered(&lease));
    lease_close(&host, &lease);
    host_close(&host);
}
END_TEST

START_TEST(only_while_nothing_else_runs) {
    struct host host;
    struct lease lease, other;
    if (!open_supervised(&host, _i))
        return;
    become_brief(&host);
    lease_open(&host, &lease, 0);
    lease_open(&host, &other, 0);
    ck_assert(!is_gathered(&lease) && !is_gathered(&other));
    lease_close(&host, &other);
    cpu_set_t all = processors_of(lease.cell->supervisor), now;
    ck_assert(cell_gather(lease.cell));
    (void)spile_loop_fd(host.loop); /* from now on somebody else may wait */
    now = processors_of(lease.cell->supervisor);
    ck_assert(CPU_EQUAL(&now, &all));
    ck_assert(!is_gathered(&lease));
    lease_close(&host, &lease);
    host_close(&host);
}
END_TEST

START_TEST(only_on_a_calm_machine) {
    struct host host;
    struct lease lease;
    pid_t hogs[CPU_SETSIZE] = {0};
    cpu_set_t all = processors_of(0);
    if (!open_supervised(&host, _i))
        return;
    become_brief(&host);
    lease_open(&host, &lease, 0);
    host.ctx->processors = 1; /* and more than one wants to run, which is to be seen now */
    for (int i = 0; i < CPU_COUNT(&all); i++) {
        hogs[i] = fork();
        ck_assert_int_ge(hogs[i], 0);
        while (hogs[i] == 0)
            ;
    }
    for (int look = 1; look <= BUSY; look++) {
        host.ctx->next_look_ns = 0;
        ck_assert_int_eq(is_gathered(&lease), look < BUSY);
    }
    for (int i = 0; i < CPU_COUNT(&all); i++) {
        kill(hogs[i], SIGKILL);
        ck_assert_int_eq(waitpid(hogs[i], NULL, 0), hogs[i]);
    }
    host.ctx->processors = 1 << 20;
    host.ctx->next_look_ns = 0;
    ck_assert(is_gathered(&lease));
    lease_close(&host, &lease);
    host_close(&host);
}
END_TEST

/* A thread that has but one processor keeps that, and its programs what their supervisor has. */
START_TEST(narrowed_hosts) {
    struct host host;
    struct lease lease;
    cpu_set_t one, now;
    if (!open_supervised(&host, _i))
        return;
    AUTO_FREE char *line = own_line();
    become_brief(&host);
    narrow(&one);
    lease_open(&host, &lease, 0);
    AUTO_FREE char *told = told_by(&host, &lease, NULL);
    ck_assert_str_eq(told, line);
    now = processors_of(0);
    ck_assert(CPU_EQUAL(&now, &one));
    lease_close(&host, &lease);
    host_close(&host);
}
END_TEST

/* Programs of a supervisor that was started on one processor stay there. */
START_TEST(narrowed_supervisors) {
    struct host host;
    struct lease lease;
    cpu_set_t one, all = processors_of(0);
    if (settings[_i].containment == SPILE_CONTAINMENT_NONE || !has_two_processors())
        return;
    narrow(&one);
    AUTO_FREE char *line = own_line();
    if (!host_open(&host, _i))
        return;
    become_brief(&host);
    lease_open(&host, &lease, 0);
    ck_assert_int_eq(sys_setaffinity(0, &all), 0);
    ck_assert(!is_gathered(&lease));
    AUTO_FREE char *told = told_by(&host, &lease, NULL);
    ck_assert_str_eq(told, line);
    lease_close(&host, &lease);
    host_close(&host);
}
END_TEST

static void run_call(spile_ctx *ctx, const char *template) {
    spile_plan *plan;
    spile_call *call;
    spile_result *result;
    ck_assert_int_eq(spile_plan_from_templates(&template, 1, &plan, NULL), 0);
    ck_assert_int_eq(spile_call_new(plan, ctx, NULL, &call), 0);
    ck_assert_int_eq(spile_call_run(call, &result), 0);
    spile_result_free(result);
    spile_call_free(call);
    spile_plan_unref(plan);
}

START_TEST(calls_are_waited_for_so) {
    char directory[] = "/tmp/spile-gather-XXXXXX", waiting[sizeof(directory) + 32];
    struct witness witness = {.host = (pid_t)syscall(SYS_gettid), .go = -1};
    spile_ctx *ctx;
    if (!has_two_processors())
        return;
    ck_assert(mkdtemp(directory) && chdir(directory) == 0 && mkfifo("fifo", 0600) == 0);
    snprintf(waiting, sizeof(waiting), "cat %s/fifo", directory);
    ck_assert_int_eq(spile_ctx_new(NULL, &ctx), 0);
    run_call(ctx, "true");
    for (int i = 0; !witness.has_seen_it; i++) {
        ck_assert_int_lt(i, TRIES);
        ctx->brief_count = CELL_BRIEF_ENOUGH;
        become_calm(ctx);
        ck_assert_int_eq(pthread_create(&witness.thread, NULL, watch, &witness), 0);
        run_call(ctx, waiting);
        ck_assert_int_eq(pthread_join(witness.thread, NULL), 0);
    }
    spile_ctx_free(ctx);
    ck_assert(unlink("fifo") == 0 && rmdir(directory) == 0);
}
END_TEST

/* As a service may be confined (SystemCallFilter=~@resources of systemd): who asks dies. */
START_TEST(a_filter_that_kills) {
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_sched_setaffinity, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {ARRAY_SIZE(filter), filter};
    struct host host;
    struct lease lease;
    ck_assert_int_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    ck_assert_int_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
    if (!open_supervised(&host, _i))
        return;
    become_brief(&host);
    lease_open(&host, &lease, 0);
    ck_assert_int_ge(supervisor_pid(lease.cell), 1);
    ck_assert_int_eq(lease.cell->supervisor, 0);
    AUTO_FREE char *line = own_line(), *told = told_by(&host, &lease, NULL);
    ck_assert_str_eq(told, line);
    lease_close(&host, &lease);
    host_close(&host);
}
END_TEST

/* ------------------------------------------------------------------------------------------ without a cell */

static pid_t start_sleeper(void) {
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0)
        for (;;)
            pause();
    return pid;
}

START_TEST(a_thread_that_may_not_be_there) {
    struct gathering gathering = {0};
    if (!has_two_processors())
        return;
    pid_t other = start_sleeper();
    cpu_set_t all = processors_of(0), others = all, now;
    ck_assert(gathering_begin(&gathering, other));
    CPU_XOR(&others, &others, &gathering.here);
    ck_assert_int_eq(sys_setaffinity(0, &others), 0);
    ck_assert(!gathering_enter(&gathering));
    now = processors_of(0);
    ck_assert(CPU_EQUAL(&now, &others));
    now = processors_of(other);
    ck_assert(CPU_EQUAL(&now, &all));
    kill(other, SIGKILL);
    ck_assert_int_eq(waitpid(other, NULL, 0), other);
}
END_TEST

START_TEST(a_thread_that_is_there_anyway) {
    struct gathering gathering = {0};
    cpu_set_t one, all = processors_of(0), now;
    if (!has_two_processors())
        return;
    pid_t other = start_sleeper();
    narrow(&one);
    ck_assert(gathering_begin(&gathering, other));
    ck_assert(!gathering_enter(&gathering)); /* nothing to set, nor to put back */
    now = processors_of(other);
    ck_assert(CPU_EQUAL(&now, &one));
    gathering_end(&gathering);
    now = processors_of(other);
    ck_assert(CPU_EQUAL(&now, &all));
    kill(other, SIGKILL);
    ck_assert_int_eq(waitpid(other, NULL, 0), other);
}
END_TEST

/* All there are, also those that its cpuset may get; but what somebody has chosen for it stays. */
START_TEST(processors_of_programs) {
    cpu_set_t one, processors;
    if (!has_two_processors())
        return;
    ck_assert_int_eq(exec_processors(&processors), 0);
    ck_assert_int_eq(CPU_COUNT(&processors), CPU_SETSIZE);
    narrow(&one);
    ck_assert_int_eq(exec_processors(&processors), 0);
    ck_assert(CPU_EQUAL(&processors, &one));
}
END_TEST

START_TEST(what_others_set_meanwhile_stays) {
    struct gathering gathering = {0};
    if (!has_two_processors())
        return;
    pid_t other = start_sleeper();
    cpu_set_t others = processors_of(0), now;
    ck_assert(gathering_begin(&gathering, other) && gathering_enter(&gathering));
    CPU_XOR(&others, &others, &gathering.here);
    ck_assert_int_eq(sys_setaffinity(0, &others), 0);
    ck_assert_int_eq(sys_setaffinity(other, &others), 0);
    gathering_leave(&gathering);
    gathering_end(&gathering);
    now = processors_of(0);
    ck_assert(CPU_EQUAL(&now, &others));
    now = processors_of(other);
    ck_assert(CPU_EQUAL(&now, &others));
    kill(other, SIGKILL);
    ck_assert_int_eq(waitpid(other, NULL, 0), other);
}
END_TEST

/* False: it is not to be had here. */
static bool make_cpuset(char path[64]) {
    static const char *const places[] = {"/sys/fs/cgroup/cpuset", "/sys/fs/cgroup"};
    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        snprintf(path, 64, "%s/spile-gather-%d", places[i], getpid());
        char file[128];
        snprintf(file, sizeof(file), "%s/cpuset.cpus", path);
        if (mkdir(path, 0755) == 0 && access(file, W_OK) == 0)
            return true;
        rmdir(path);
    }
    printf("# skipped: this needs a cpuset of its own\n");
    return false;
}

static bool cpuset_write(const char *cpuset, const char *name, const char *text) {
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", cpuset, name);
    FILE *file = fopen(path, "we");
    return file && (fputs(text, file) >= 0) + (fclose(file) == 0) == 2;
}

static bool cpuset_choose(const char *cpuset, const cpu_set_t *set) {
    char text[CPU_SETSIZE * 6] = "";
    for (int i = 0; i < CPU_SETSIZE; i++)
        if (CPU_ISSET(i, set))
            snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%d", *text ? "," : "", i);
    return cpuset_write(cpuset, "cpuset.cpus", text);
}

/* Since Linux 6.2 what was asked for comes back with a cpuset that has it. */
START_TEST(a_cpuset_that_changes_meanwhile) {
    struct gathering gathering = {0};
    char path[64], pid[16];
    if (!has_two_processors() || !make_cpuset(path))
        return;
    pid_t other = start_sleeper();
    cpu_set_t all = processors_of(0), others = all, now = all;
    snprintf(pid, sizeof(pid), "%d", other);
    (void)cpuset_write(path, "cpuset.mems", "0"); /* version 1 wants it, version 2 takes the parent's */
    bool can = cpuset_choose(path, &all) && cpuset_write(path, "cgroup.procs", pid);
    if (can) {
        ck_assert(gathering_begin(&gathering, other));
        CPU_XOR(&others, &all, &gathering.here);
        ck_assert(cpuset_choose(path, &others));
        gathering_end(&gathering);
        ck_assert(cpuset_choose(path, &all));
        now = processors_of(other);
    }
    kill(other, SIGKILL);
    ck_assert_int_eq(waitpid(other, NULL, 0), other);
    while (rmdir(path) < 0 && errno == EBUSY)
        sched_yield();
    ck_assert(CPU_EQUAL(&now, &all));
}
END_TEST

START_TEST(one_that_is_gone) {
    struct gathering gathering = {0};
    pid_t other = start_sleeper();
    kill(other, SIGKILL);
    ck_assert_int_eq(waitpid(other, NULL, 0), other);
    ck_assert(!gathering_begin(&gathering, other));
    ck_assert(!gathering_enter(&gathering));
}
END_TEST

int main(void) {
    Suite *suite = suite_create("gather");
    TCase *tests = tcase_create("gather");
    tcase_set_timeout(tests, 60);
    tcase_add_loop_test(tests, both_are_bound_while_one_waits, 0, setting_count);
    tcase_add_loop_test(tests, a_wake_up_after_a_while_ends_it, 0, setting_count);
    tcase_add_loop_test(tests, a_handler_that_forks, 0, setting_count);
    tcase_add_loop_test(tests, only_after_brief_ones, 0, setting_count);
    tcase_add_loop_test(tests, only_while_nothing_else_runs, 0, setting_count);
    tcase_add_loop_test(tests, only_on_a_calm_machine, 0, setting_count);
    tcase_add_loop_test(tests, narrowed_hosts, 0, setting_count);
    tcase_add_loop_test(tests, narrowed_supervisors, 0, setting_count);
    tcase_add_test(tests, calls_are_waited_for_so);
    tcase_add_loop_test(tests, a_filter_that_kills, 0, setting_count);
    tcase_add_test(tests, a_thread_that_may_not_be_there);
    tcase_add_test(tests, a_thread_that_is_there_anyway);
    tcase_add_test(tests, processors_of_programs);
    tcase_add_test(tests, what_others_set_meanwhile_stays);
    tcase_add_test(tests, a_cpuset_that_changes_meanwhile);
    tcase_add_test(tests, one_that_is_gone);
    suite_add_tcase(suite, tests);
    return run_tests(suite);
}
