/* NOLINTBEGIN(cert-env33-c,bugprone-implicit-widening-of-multiplication-result,bugprone-suspicious-string-compare) */
/* Injected failures: every system call and allocation that a few representative calls pass, in the library, the
 * supervisor and between clone and exec, is made to fail in every way it can. Whatever fails, a call ends: with the
 * right bytes or with a clean error; never with a hang, a crash, wrong bytes, or anything left behind.
 *
 * Each run is a process of its own, several at a time. What is wrong is told with a key that repeats it:
 *   SPILE_FAULT='graph:store.c:92 mkdirat:1:once:12' test_faults
 * $SPILE_FAULTS=full takes more errnos and later passes.
 */
#include "base/fault.h"
#include "cell/tree.h"
#include "fault_scenarios.h"
#include "support.h"

#include <dirent.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <termios.h>

enum {
    OCCURRENCES = 3,
    OCCURRENCES_FULL = 12,
    PATIENCE_MS = 15000,
    LEFT_MS = 8000,
    CODES = 5,
    WORKERS_MAX = 8,
    PAIRS = 100,
    PAIR_DISTANCES = 5
};

struct task {
    uint32_t key;
    char place[52];
    enum fault_class class;
    unsigned occurrence;
    unsigned also; /* of a pair: which point after it fails, too; 0: none */
    bool is_onward;
    int code;
};

struct tasks {
    struct task *items;
    size_t count, capacity;
};

struct counts {
    _Atomic unsigned right, errors, untouched, wrong;
};

static const struct {
    const char *name;
    spile_containment containment;
} containments[] = {
    {"namespace", SPILE_CONTAINMENT_NAMESPACE}, {"reaper", SPILE_CONTAINMENT_REAPER}, {"none", SPILE_CONTAINMENT_NONE}};

static bool is_full(void) {
    const char *mode = getenv("SPILE_FAULTS");
    return mode && strcmp(mode, "full") == 0;
}

/* ------------------------------------------------------------------------------------------------ one run */

/* What a call may not touch of its host. */
struct manners {
    sigset_t mask;
    struct sigaction actions[NSIG];
    struct termios modes; /* of standard input */
    mode_t umask;
    char directory[PATH_MAX];
};

/* Signals that are blocked, handled and ignored, and a terminal as standard input. */
static void take_manners(void) {
    sigset_t some;
    struct termios modes;
    sigemptyset(&some);
    sigaddset(&some, SIGUSR2);
    sigprocmask(SIG_BLOCK, &some, NULL);
    signal(SIGUSR1, SIG_IGN);
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (master < 0 || grantpt(master) < 0 || unlockpt(master) < 0)
        return;
    int slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (slave < 0 || dup2(slave, STDIN_FILENO) < 0 || tcgetattr(slave, &modes) < 0)
        return;
    modes.c_lflag &= ~(tcflag_t)ECHO;
    tcsetattr(slave, TCSANOW, &modes);
    close(slave);
}

static void look_at_manners(struct manners *manners) {
    memset(manners, 0, sizeof(*manners));
    sigprocmask(SIG_SETMASK, NULL, &manners->mask);
    for (int number = 1; number < NSIG; number++)
        (void)sigaction(number, NULL, &manners->actions[number]);
    (void)tcgetattr(STDIN_FILENO, &manners->modes);
    manners->umask = umask(0);
    umask(manners->umask);
    if (!getcwd(manners->directory, sizeof(manners->directory)))
        wrong("the current directory is lost");
}

static void compare_manners(const struct manners *before) {
    struct manners now;
    look_at_manners(&now);
    if (memcmp(&now.mask, &before->mask, sizeof(now.mask)) != 0)
        wrong("the signal mask is another");
    for (int number = 1; number < NSIG; number++)
        if (now.actions[number].sa_handler != before->actions[number].sa_handler)
            wrong("signal %d is handled otherwise", number);
    const struct termios *is = &now.modes, *was = &before->modes;
    if (is->c_iflag != was->c_iflag || is->c_oflag != was->c_oflag || is->c_cflag != was->c_cflag ||
        is->c_lflag != was->c_lflag || memcmp(is->c_cc, was->c_cc, sizeof(is->c_cc)) != 0)
        wrong("the terminal's modes are others");
    if (now.umask != before->umask || strcmp(now.directory, before->directory) != 0)
        wrong("the umask or the current directory is another");
}

/* In a process of its own. The rule is taken back before what is left is counted. */
static void run_here(const struct scenario *scenario, spile_containment containment, const char *directory,
                     struct fault_plan *plan, const struct task *task, int complaints) {
    dup2(complaints, STDERR_FILENO);
    close(complaints);
    struct manners before;
    take_manners();
    look_at_manners(&before);
    size_t fds = open_fds();
    if (task) {
        plan->occurrence = task->occurrence;
        plan->onward = task->is_onward;
        plan->also = task->also;
        plan->code = task->code;
        plan->key = task->key;
    }
    int outcome = scenario_run(scenario, containment, directory);
    plan->key = plan->countdown = 0;
    if (open_fds() != fds)
        wrong("%zu descriptors are left, before there were %zu", open_fds(), fds);
    compare_manners(&before);
    exit(outcome);
}

/* Takes all children there are, ours and those that orphans have made ours. Returns how many stay. */
static unsigned take_children(unsigned limit_ms) {
    uint64_t limit = time_now_ns() + limit_ms * NS_PER_MS;
    for (;;) {
        pid_t taken = waitpid(-1, NULL, WNOHANG | __WALL);
        if (taken < 0)
            return 0;
        if (taken == 0 && time_now_ns() > limit)
            break;
        if (taken == 0)
            (void)poll(NULL, 0, 1); /* nothing to poll for: they are no children's descriptors we hold */
    }
    unsigned left = 0;
    char path[64], name[32];
    snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
    FILE *children = fopen(path, "re");
    for (int pid; children && fscanf(children, "%d", &pid) == 1; left++) {
        snprintf(path, sizeof(path), "/proc/%d/comm", pid);
        FILE *comm = fopen(path, "re");
        fprintf(stderr, "process %d stays: %s", pid, comm && fgets(name, sizeof(name), comm) ? name : "?\n");
        if (comm)
            fclose(comm);
        kill(pid, SIGKILL);
    }
    if (children)
        fclose(children);
    return left;
}

/* Where files lie without a mount of their own. A worker that may has that place for itself. */
static bool has_own_place;

static unsigned shared_files(void) {
    unsigned count = 0;
    struct tree tree;
    /* What could not be deleted then, for want of descriptors, is by whoever makes the next one. */
    if (has_own_place && tree_make(&tree) >= 0)
        tree_remove(&tree);
    DIR *directory = has_own_place ? opendir("/dev/shm") : NULL;
    for (struct dirent *entry; directory && (entry = readdir(directory));)
        if (strncmp(entry->d_name, "spile", 5) == 0) {
            fprintf(stderr, "'/dev/shm/%s' is left\n", entry->d_name);
            count++;
        }
    if (directory)
        closedir(directory);
    return count;
}

/* Control groups of version 1 that a worker has for itself, and so what is left in them; "": it has none. */
static char own_groups[2][2200];

/* Below the group the tests are in, which may be nobody's to change. */
static void enter_groups(void) {
    static const char *const controllers[] = {"memory", "pids"};
    char line[PATH_MAX], names[64], path[2048], procs[2300];
    FILE *own = fopen("/proc/self/cgroup", "re");
    while (own && fgets(line, sizeof(line), own)) {
        int number;
        path[0] = '\0';
        if (sscanf(line, "%d:%63[^:]:%2047s", &number, names, path) < 2)
            continue;
        for (size_t i = 0; i < ARRAY_SIZE(controllers); i++) {
            if (strcmp(names, controllers[i]) != 0)
                continue;
            snprintf(own_groups[i], sizeof(own_groups[i]), "/sys/fs/cgroup/%s%s/faults-%d", names, path, getpid());
            snprintf(procs, sizeof(procs), "/sys/fs/cgroup/%s%s/faults-%d/cgroup.procs", names, path, getpid());
            AUTO_FD fd = mkdir(own_groups[i], 0755) < 0 ? -1 : open(procs, O_WRONLY | O_CLOEXEC);
            if (fd < 0 || write(fd, "0", 1) != 1) {
                (void)rmdir(own_groups[i]);
                own_groups[i][0] = '\0';
            }
        }
    }
    if (own)
        fclose(own);
}

static unsigned groups_left(void) {
    unsigned count = 0;
    for (size_t i = 0; i < ARRAY_SIZE(own_groups); i++) {
        DIR *directory = own_groups[i][0] ? opendir(own_groups[i]) : NULL;
        for (struct dirent *entry; directory && (entry = readdir(directory));)
            if (strncmp(entry->d_name, "spile", 5) == 0) {
                fprintf(stderr, "'%s/%s' is left\n", own_groups[i], entry->d_name);
                (void)unlinkat(dirfd(directory), entry->d_name, AT_REMOVEDIR);
                count++;
            }
        if (directory)
            closedir(directory);
    }
    return count;
}

/* A group goes when nobody is in it any more: by who waited for the worker. */
static void remove_groups_of(pid_t worker) {
    char command[160];
    snprintf(command, sizeof(command), "find /sys/fs/cgroup -depth -type d -name faults-%d -exec rmdir '{}' ';'",
             worker);
    (void)!system(command);
}

/* FAULT_RIGHT, FAULT_ERROR, or FAULT_WRONG with what is wrong in `complaint`. */
static int run_apart(const struct scenario *scenario, spile_containment containment, struct fault_plan *plan,
                     const struct task *task, char *complaint, size_t size) {
    char directory[64];
    int said[2];
    snprintf(directory, sizeof(directory), "%s/XXXXXX", scratch());
    ck_assert(mkdtemp(directory) && pipe2(said, O_CLOEXEC | O_NONBLOCK) == 0);
    fault_plan_reset(plan);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0)
        run_here(scenario, containment, directory, plan, task, said[1]);
    close(said[1]);
    AUTO_FD pidfd = (int)syscall(SYS_pidfd_open, child, 0);
    struct pollfd watched = {.fd = pidfd, .events = POLLIN};
    bool is_over = poll(&watched, 1, PATIENCE_MS) == 1;
    if (!is_over)
        kill(child, SIGKILL);
    int status = 0;
    waitpid(child, &status, 0);
    plan->key = plan->countdown = 0;
    unsigned left = take_children(LEFT_MS) + (task ? shared_files() + groups_left() : 0);
    ssize_t got = read(said[0], complaint, size - 1);
    complaint[MAX(got, (ssize_t)0)] = '\0';
    close(said[0]);
    char command[80];
    snprintf(command, sizeof(command), "rm -rf %s", directory);
    int removed = system(command);
    size_t used = strlen(complaint);
    if (!is_over)
        snprintf(complaint + used, size - used, "it hangs");
    else if (WIFSIGNALED(status))
        snprintf(complaint + used, size - used, "it is killed by signal %d", WTERMSIG(status));
    else if (left > 0 || removed != 0)
        snprintf(complaint + used, size - used, "%u processes, directories or control groups are left", left);
    else if (WEXITSTATUS(status) == FAULT_RIGHT || WEXITSTATUS(status) == FAULT_ERROR)
        return WEXITSTATUS(status);
    return FAULT_WRONG;
}

/* ------------------------------------------------------------------------------------------------ what can fail how */

static bool is_named(const struct fault_entry *entry, const char *name) {
    const char *blank = strchr(entry->place, ' ');
    return blank && strcmp(blank + 1, name) == 0;
}

static size_t acquire_codes(const struct fault_entry *entry, int *codes) {
    static const char *const descriptors[] = {"openat",     "openat2",      "dup",          "pipe2",
                                              "socketpair", "memfd_create", "eventfd",      "timerfd_create",
                                              "pidfd_open", "epoll_create", "inotify_init", "signalfd"};
    size_t count = 0;
    for (size_t i = 0; i < ARRAY_SIZE(descriptors); i++)
        if (is_named(entry, descriptors[i]))
            codes[count++] = EMFILE;
    if (is_named(entry, "clone"))
        codes[count++] = EAGAIN;
    if (count == 0 || is_full())
        codes[count++] = ENOMEM;
    if (is_full() && (is_named(entry, "mkdirat") || is_named(entry, "linkat") || is_named(entry, "ftruncate")))
        codes[count++] = ENOSPC;
    return count;
}

static size_t codes_of(const struct fault_entry *entry, int *codes) {
    bool is_wait = is_named(entry, "epoll_wait") || is_named(entry, "poll");
    bool is_whole = is_named(entry, "sendmsg") || is_named(entry, "recvmsg");
    /* Fails only for misuse, and a loop that could not set it would have nobody to tell. */
    if (is_named(entry, "timerfd_settime"))
        return 0;
    if (entry->class == FAULT_ACQUIRE)
        return acquire_codes(entry, codes);
    if (entry->class == FAULT_RELEASE)
        return codes[0] = EIO, 1;
    /* Events of inotify are whole, and reading them fails for misuse only. */
    if (strncmp(entry->place, "watch.c:", 8) == 0)
        return codes[0] = EAGAIN, 1;
    codes[0] = EINTR;
    codes[1] = EAGAIN;
    codes[2] = EIO;
    codes[3] = FAULT_SHORT;
    return is_wait ? 2 : is_whole ? 3 : 4;
}

/* What is interrupted or has to wait goes on in the end, so it does not fail for ever. */
static bool may_last(const struct fault_entry *entry, int code) {
    return entry->class != FAULT_TRANSFER || code == EIO || code == FAULT_SHORT;
}

static void add_tasks(struct tasks *tasks, const struct fault_entry *entry) {
    int codes[CODES];
    unsigned occurrences = is_full() ? OCCURRENCES_FULL : OCCURRENCES;
    size_t code_count = codes_of(entry, codes);
    for (size_t i = 0; i < code_count; i++)
        for (unsigned occurrence = 1; occurrence <= MIN(entry->passes, occurrences); occurrence++)
            for (int is_onward = 0; is_onward <= (occurrence == 1 && may_last(entry, codes[i])); is_onward++) {
                if (occurrence > 1 && !is_full() && entry->class == FAULT_TRANSFER && codes[i] != EIO)
                    continue;
                ck_assert_int_eq(ARRAY_RESERVE(tasks->items, tasks->count, tasks->capacity), 0);
                struct task *task = &tasks->items[tasks->count++];
                *task = (struct task){.key = entry->key,
                                      .class = entry->class,
                                      .occurrence = occurrence,
                                      .is_onward = is_onward,
                                      .code = codes[i]};
                memcpy(task->place, entry->place, sizeof(task->place));
            }
}

/* Pairs, of the first hundred: what fails while a failure is being dealt with. */
static void add_pairs(struct tasks *tasks) {
    size_t count = tasks->count, pairs = 0;
    for (size_t i = 0; i < count && pairs < PAIRS; i++) {
        struct task pair = tasks->items[i];
        if (pair.class != FAULT_ACQUIRE || pair.is_onward)
            continue;
        pair.also = 1 + (unsigned)pairs++ % PAIR_DISTANCES;
        ck_assert_int_eq(ARRAY_RESERVE(tasks->items, tasks->count, tasks->capacity), 0);
        tasks->items[tasks->count++] = pair;
    }
}

static struct tasks record(const struct scenario *scenario, spile_containment containment, struct fault_plan *plan) {
    struct tasks tasks = {0};
    char complaint[4096];
    int outcome = run_apart(scenario, containment, plan, NULL, complaint, sizeof(complaint));
    ck_assert_msg(outcome == (scenario->must_fail ? FAULT_ERROR : FAULT_RIGHT), "%s without any failure: %s",
                  scenario->name, complaint);
    for (size_t i = 0; i < FAULT_TABLE_SIZE; i++)
        if (plan->table[i].key && plan->table[i].passes > 0)
            add_tasks(&tasks, &plan->table[i]);
    add_pairs(&tasks);
    return tasks;
}

/* ------------------------------------------------------------------------------------------------ all of them */

/* What comes and goes by itself must be survived, not only told. */
static bool must_be_survived(const struct scenario *scenario, const struct task *task) {
    return !scenario->must_fail && task->class == FAULT_TRANSFER && (task->code == EINTR || task->code == FAULT_SHORT);
}

static void run_task(const struct scenario *scenario, size_t kind, struct fault_plan *plan, const struct task *task,
                     struct counts *counts) {
    char complaint[4096];
    int outcome = run_apart(scenario, containments[kind].containment, plan, task, complaint, sizeof(complaint));
    bool is_hit = plan->hits > 0;
    if (outcome == FAULT_ERROR && (!is_hit ? !scenario->must_fail : must_be_survived(scenario, task))) {
        outcome = FAULT_WRONG;
        snprintf(complaint + strlen(complaint), sizeof(complaint) - strlen(complaint), "it fails, %s",
                 is_hit ? "though this must be survived" : "though nothing was injected");
    }
    counts->untouched += !is_hit;
    counts->right += outcome == FAULT_RIGHT;
    counts->errors += outcome == FAULT_ERROR;
    counts->wrong += outcome == FAULT_WRONG;
    if (outcome == FAULT_WRONG || getenv("SPILE_FAULT_VERBOSE"))
        printf("# SPILE_FAULT='%s:%s:%s:%u:%s:%d:%u': %.600s\n", scenario->name, containments[kind].name, task->place,
               task->occurrence, task->is_onward ? "onward" : "once", task->code, task->also, complaint);
    fflush(stdout);
}

static void begin_worker(struct fault_plan **ret_plan) {
    ck_assert_int_eq(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    has_own_place = unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
                    mount("tmpfs", "/dev/shm", "tmpfs", 0, NULL) == 0;
    *ret_plan = fault_plan_make();
}

static void run_all(const struct scenario *scenario, size_t kind, const struct tasks *tasks, struct counts *counts) {
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    size_t workers = (size_t)MIN(MAX(processors, 1L), (long)WORKERS_MAX);
    pid_t pids[WORKERS_MAX];
    for (size_t i = 0; i < workers; i++) {
        fflush(NULL);
        pids[i] = fork();
        if (pids[i] != 0)
            continue;
        struct fault_plan *plan;
        begin_worker(&plan);
        enter_groups();
        for (size_t j = i; j < tasks->count; j += workers)
            run_task(scenario, kind, plan, &tasks->items[j], counts);
        _exit(0);
    }
    for (size_t i = 0; i < workers; i++) {
        int status = -1;
        waitpid(pids[i], &status, 0);
        remove_groups_of(pids[i]);
        ck_assert_int_eq(status, 0);
    }
}

/* The recording is done by a worker too: a plan once made belongs to its process. */
static struct tasks record_apart(const struct scenario *scenario, size_t kind) {
    enum { TASKS_MAX = 20000 };
    struct shared {
        size_t count;
        struct task items[TASKS_MAX];
    } *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(shared, MAP_FAILED);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        struct fault_plan *plan;
        begin_worker(&plan);
        struct tasks tasks = record(scenario, containments[kind].containment, plan);
        ck_assert_uint_le(tasks.count, TASKS_MAX);
        memcpy(shared->items, tasks.items, tasks.count * sizeof(*tasks.items));
        shared->count = tasks.count;
        _exit(0);
    }
    int status = -1;
    waitpid(child, &status, 0);
    ck_assert_int_eq(status, 0);
    return (struct tasks){.items = shared->items, .count = shared->count};
}

static bool is_wanted(const struct task *task, const struct scenario *scenario, const char *containment,
                      const char *key) {
    char own[256];
    snprintf(own, sizeof(own), "%s:%s:%s:%u:%s:%d:%u", scenario->name, containment, task->place, task->occurrence,
             task->is_onward ? "onward" : "once", task->code, task->also);
    return strcmp(own, key) == 0;
}

START_TEST(faults) {
    const struct scenario *scenario = &scenarios[_i % scenario_count];
    size_t kind = (size_t)(_i / scenario_count);
    const char *key = getenv("SPILE_FAULT");
    struct counts *counts = mmap(NULL, sizeof(*counts), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct tasks tasks = record_apart(scenario, kind);
    if (key) {
        size_t kept = 0;
        for (size_t i = 0; i < tasks.count; i++)
            if (is_wanted(&tasks.items[i], scenario, containments[kind].name, key))
                tasks.items[kept++] = tasks.items[i];
        tasks.count = kept;
    }
    run_all(scenario, kind, &tasks, counts);
    printf("# %s, %s: %zu failures, %u survived, %u told, %u never met, %u wrong\n", scenario->name,
           containments[kind].name, tasks.count, counts->right, counts->errors, counts->untouched, counts->wrong);
    fflush(stdout);
    ck_assert_uint_eq(counts->wrong, 0);
    ck_assert(key || counts->errors > 20);
}
END_TEST

int main(int argc, char **argv) {
    Suite *suite = suite_create("faults");
    TCase *tests = tcase_create("faults");
    support_begin(1, argv);
    tcase_set_timeout(tests, 3600);
    int last = (int)ARRAY_SIZE(containments) * scenario_count;
    int first = support_can(SPILE_CONTAINMENT_NAMESPACE, "# skipped, containment in namespaces:") ? 0 : scenario_count;
    int only = argc > 1 ? atoi(argv[1]) : -1;
    tcase_add_loop_test(tests, faults, only >= 0 ? only : first, only >= 0 ? only + 1 : last);
    suite_add_tcase(suite, tests);
    return support_run(suite);
}
/* NOLINTEND(cert-env33-c,bugprone-implicit-widening-of-multiplication-result,bugprone-suspicious-string-compare) */
