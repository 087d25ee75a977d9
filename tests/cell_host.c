/* A host for the tests of cells: see cell_host.h. */
#include "cell_host.h"

#include <grp.h>

enum { NOBODY = 65534, PATIENCE_MS = 20000 };

const struct setting settings[] = {
    {"namespace", SPILE_CONTAINMENT_NAMESPACE, 0},
    {"reaper", SPILE_CONTAINMENT_REAPER, 0},
    {"none", SPILE_CONTAINMENT_NONE, 0},
    {"namespace, user", SPILE_CONTAINMENT_NAMESPACE, NOBODY},
    {"reaper, user", SPILE_CONTAINMENT_REAPER, NOBODY},
    {"none, user", SPILE_CONTAINMENT_NONE, NOBODY},
};
const int setting_count = ARRAY_SIZE(settings);

static char act[4096];

/* Before any thread. */
__attribute__((constructor)) static void find_act(void) {
    const char *build = getenv("SPILE_BUILD");
    snprintf(act, sizeof(act), "%s/tests/act", build ? build : ".");
}

const char *act_path(void) {
    return act;
}

static void on_ready(struct cell_owner *owner, spile_error *error) {
    struct lease *lease = CONTAINER_OF(owner, struct lease, owner);
    ck_assert(!lease->is_ready);
    lease->error = error;
    lease->is_ready = true;
}

static void on_broken(struct cell_owner *owner, spile_error *error) {
    struct lease *lease = CONTAINER_OF(owner, struct lease, owner);
    ck_assert(!lease->is_broken);
    lease->error = error;
    lease->is_broken = true;
}

static void on_released(struct cell_owner *owner) {
    struct lease *lease = CONTAINER_OF(owner, struct lease, owner);
    ck_assert(!lease->is_released);
    lease->is_released = true;
}

static void on_started(struct proc *proc, int64_t pid) {
    struct job *job = CONTAINER_OF(proc, struct job, proc);
    ck_assert(!job->is_started && !job->is_ended);
    job->is_started = true;
    job->pid = pid;
}

static void on_failed(struct proc *proc, enum proc_stage stage, int error_number) {
    struct job *job = CONTAINER_OF(proc, struct job, proc);
    ck_assert(!job->is_ended);
    job->is_failed = job->is_ended = true;
    job->status = -1; /* no status is that */
    job->stage = stage;
    job->error_number = error_number;
}

static void on_exited(struct proc *proc, int status, const struct proc_usage *usage, bool alone) {
    struct job *job = CONTAINER_OF(proc, struct job, proc);
    ck_assert(job->is_started && !job->is_ended);
    job->is_ended = true;
    job->status = status;
    job->usage = *usage;
    job->is_alone = alone;
}

static void never(struct loop_user *user) {
    (void)user;
}

bool host_open(struct host *host, int index) {
    const struct setting *setting = &settings[index];
    *host = (struct host){.user = {.woken = never, .cancel = never}};
    if (setting->user && getuid() != 0)
        return false;
    if (setting->user)
        ck_assert(setgroups(0, NULL) == 0 && setgid(setting->user) == 0 && setuid(setting->user) == 0);
    if (setting->user && access(act, X_OK) != 0) {
        printf("# this directory can only be reached by root\n");
        return false;
    }
    const spile_ctx_options options = {.size = sizeof(options), .containment = setting->containment};
    ck_assert_int_eq(spile_ctx_new(&options, &host->ctx), 0);
    ck_assert_int_eq(loop_new_inner(&host->loop), 0);
    loop_join(host->loop, &host->user);
    if (setting->containment != SPILE_CONTAINMENT_NAMESPACE)
        return true;
    struct lease lease;
    if (lease_try(host, &lease, 0) < 0 || lease.error) {
        printf("# no namespaces here: %s\n", lease.error ? spile_error_get_message(lease.error) : "refused");
        spile_error_free(lease.error);
        host_close(host);
        return false;
    }
    lease_close(host, &lease);
    return true;
}

void host_close(struct host *host) {
    loop_leave(&host->user);
    spile_loop_free(host->loop);
    spile_ctx_free(host->ctx);
}

void host_wait(struct host *host, const bool *flag) {
    uint64_t end = time_now_ns() + PATIENCE_MS * NS_PER_MS;
    while (!*flag) {
        ck_assert_msg(time_now_ns() < end, "nothing came of it");
        int result = spile_loop_step(host->loop, NS_PER_SECOND);
        ck_assert_int_ge(result, 0);
    }
}

int lease_try(struct host *host, struct lease *lease, uint64_t file_bytes) {
    *lease = (struct lease){.owner = {on_ready, on_broken, on_released}};
    const struct cell_wants wants = {.file_bytes = file_bytes};
    int result = cell_lease(host->ctx, host->loop, &lease->owner, &wants, &lease->cell);
    if (result == 0)
        host_wait(host, &lease->is_ready);
    return result;
}

void lease_open(struct host *host, struct lease *lease, uint64_t file_bytes) {
    int result = lease_try(host, lease, file_bytes);
    ck_assert_msg(result >= 0 && !lease->error, "no cell: %s",
                  lease->error ? spile_error_get_message(lease->error) : strerror(-result));
    ck_assert_int_ge(cell_root_fd(lease->cell), 0);
}

void lease_close(struct host *host, struct lease *lease) {
    if (!cell_release(lease->cell))
        host_wait(host, &lease->is_released);
    lease->cell = NULL;
}

void job_init(struct job *job) {
    *job = (struct job){.proc = {.started = on_started, .failed = on_failed, .exited = on_exited}};
}

int job_try(struct lease *lease, struct job *job, int output, const char *const *words) {
    char *argv[8] = {(char *)"act"};
    char *envp[] = {(char *)"A=1", (char *)"EMPTY=", NULL};
    for (size_t i = 0; words[i]; i++)
        argv[i + 1] = (char *)words[i];
    job_init(job);
    const struct proc_spec spec = {
        .path = act_path(),
        .argv = argv,
        .envp = envp,
        .cwd = cell_root_path(lease->cell),
        .stdio = {-1, output, -1},
        .flags = PROC_NEW_SESSION,
    };
    return cell_spawn(lease->cell, &spec, &job->proc);
}

void job_wait(struct host *host, struct job *job) {
    host_wait(host, &job->is_ended);
}

char *pipe_read(int fd) {
    size_t size = 0, capacity = 1 << 16;
    char *data = malloc(capacity);
    struct pollfd watched = {.fd = fd, .events = POLLIN};
    for (;;) {
        ck_assert_msg(poll(&watched, 1, PATIENCE_MS) == 1, "somebody keeps the pipe open");
        ssize_t count = read(fd, data + size, capacity - size - 1);
        ck_assert_int_ge(count, 0);
        if (count == 0)
            break;
        size += (size_t)count;
        ck_assert_uint_lt(size, capacity - 1);
    }
    data[size] = '\0';
    return data;
}

size_t fd_count(void) {
    size_t count = 0;
    for (int fd = 0; fd < 4096; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

pid_t supervisor_pid(const struct cell *cell) {
    char path[64];
    snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", cell->pidfd);
    FILE *info = fopen(path, "re");
    pid_t pid = -1;
    for (char line[128]; info && fgets(line, sizeof(line), info);)
        sscanf(line, "Pid: %d", &pid);
    if (info)
        fclose(info);
    return pid;
}

bool pidfd_ends(int pidfd) {
    struct pollfd watched = {.fd = pidfd, .events = POLLIN};
    return poll(&watched, 1, PATIENCE_MS) == 1;
}

int run_tests(Suite *suite) {
    SRunner *runner = srunner_create(suite);
    srunner_set_tap(runner, "-");
    srunner_run_all(runner, CK_SILENT);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
