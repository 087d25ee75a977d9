/* Two looks at every thread of a cell: see look.h. What the threads wait for is told by look_wait.c.
 *
 * Why two are enough: a thread that is asleep and off its processor at the end of the first look, and again at the
 * beginning of the second, with the same counts of context switches read before and after that, did not run between.
 * So between the looks nothing ran at all. That takes an order: counts, then call, in the first; call, then counts, in
 * the second (/proc/TID/syscall answers only once the thread is off its processor). And all threads are listed before
 * the first is asked, or one that dies during the second look could wake another behind our back.
 */
#include "cell/look_task.h"

#include <link.h>

enum { STATUS_SIZE = 16 * 1024 };

struct process {
    pid_t pid, parent;
    bool is_seen;
};

struct processes {
    struct process *items;
    size_t count, capacity;
};

static void processes_done(struct processes *processes) {
    free(processes->items);
}

static void look_done(struct look *look) {
    free(look->tasks.items);
    free(look->ends);
    fd_close(look->proc);
}

/* -------------------------------------------------------------------------------------------------- reading /proc */

static ssize_t read_whole(int directory, const char *path, char *buffer, size_t capacity) {
    AUTO_FD fd = sys_openat(directory, path, O_RDONLY, 0);
    if (fd < 0)
        return fd;
    size_t size = 0;
    for (;;) {
        ssize_t count = sys_read(fd, buffer + size, capacity - size - 1);
        if (count == -EINTR)
            continue;
        if (count < 0)
            return count;
        if (count == 0)
            break;
        size += (size_t)count;
        if (size + 1 >= capacity)
            return -EFBIG;
    }
    buffer[size] = '\0';
    return (ssize_t)size;
}

#define TASK_PATH(path, task, name) \
    snprintf(path, sizeof(path), "%d/task/%d/%s", (int)(task)->pid, (int)(task)->tid, name)

ssize_t look_read(const struct look *look, const struct look_task *task, const char *name, char *buffer,
                  size_t capacity) {
    char path[LOOK_PATH_SIZE];
    TASK_PATH(path, task, name);
    return read_whole(look->proc, path, buffer, capacity);
}

int look_link(const struct look *look, const struct look_task *task, const char *name, char *buffer, size_t capacity) {
    char path[LOOK_PATH_SIZE];
    TASK_PATH(path, task, name);
    ssize_t size = sys_readlinkat(look->proc, path, buffer, capacity - 1);
    if (size < 0)
        return (int)size;
    buffer[size] = '\0';
    return 0;
}

int look_open(const struct look *look, const struct look_task *task, const char *name, int flags) {
    char path[LOOK_PATH_SIZE];
    TASK_PATH(path, task, name);
    return sys_openat(look->proc, path, flags, 0);
}

DIR *look_directory(int directory, const char *path) {
    int fd = sys_openat(directory, path, O_RDONLY | O_DIRECTORY, 0);
    DIR *list = fd < 0 ? NULL : sys_fdopendir(fd);
    if (!list)
        fd_close(fd);
    return list;
}

bool look_task_is_live(const struct look_task *task) {
    return task->state != 'Z' && task->state != 'X';
}

bool look_is_below(const char *path, const char *directory) {
    size_t size = strlen(directory);
    return strncmp(path, directory, size) == 0 && (path[size] == '/' || path[size] == '\0');
}

/* -------------------------------------------------------------------------------------------------------- listing */

static int read_parent(const struct look *look, pid_t pid, pid_t *ret_parent) {
    char path[32], line[1024];
    snprintf(path, sizeof(path), "%d/stat", (int)pid);
    ssize_t size = read_whole(look->proc, path, line, sizeof(line));
    if (size < 0)
        return (int)size;
    const char *rest = strrchr(line, ')'); /* a program's name may hold anything */
    return rest && sscanf(rest + 1, " %*c %d", ret_parent) == 1 ? 0 : -EBADMSG;
}

static bool is_program(const struct look *look, pid_t pid) {
    for (size_t i = 0; i < look->place->program_count; i++)
        if (look->place->programs[i].pid == pid)
            return true;
    return false;
}

/* Marks what belongs to the cell. In a namespace that is everything else in it. */
static void mark_seen(const struct look *look, struct processes *processes) {
    pid_t self = getpid();
    for (bool again = true; again;) {
        again = false;
        for (size_t i = 0; i < processes->count; i++) {
            struct process *process = &processes->items[i];
            bool is_seen = process->pid != self;
            if (look->place->containment == SPILE_CONTAINMENT_REAPER)
                is_seen = process->parent == self;
            else if (look->place->containment == SPILE_CONTAINMENT_NONE)
                is_seen = is_program(look, process->pid);
            for (size_t j = 0; !is_seen && j < processes->count; j++)
                is_seen = processes->items[j].is_seen && processes->items[j].pid == process->parent;
            if (is_seen && !process->is_seen)
                process->is_seen = again = true;
        }
    }
}

static int list_processes(const struct look *look, struct processes *processes) {
    AUTO_DIRECTORY list = look_directory(look->proc, ".");
    if (!list)
        return -ENOMEM;
    for (const struct dirent *entry; (entry = readdir(list));) {
        struct process process = {.pid = (pid_t)strtol(entry->d_name, NULL, 10)};
        if (process.pid <= 0)
            continue;
        if (look->place->containment != SPILE_CONTAINMENT_NAMESPACE &&
            read_parent(look, process.pid, &process.parent) < 0)
            continue;
        int result = ARRAY_RESERVE(processes->items, processes->count, processes->capacity);
        if (result < 0)
            return result;
        processes->items[processes->count++] = process;
    }
    mark_seen(look, processes);
    return 0;
}

static int list_threads(const struct look *look, pid_t pid, struct look_tasks *tasks) {
    char path[32];
    snprintf(path, sizeof(path), "%d/task", (int)pid);
    AUTO_DIRECTORY list = look_directory(look->proc, path);
    if (!list)
        return -ESRCH;
    for (const struct dirent *entry; (entry = readdir(list));) {
        struct look_task task = {.pid = pid, .tid = (pid_t)strtol(entry->d_name, NULL, 10)};
        if (task.tid <= 0)
            continue;
        int result = ARRAY_RESERVE(tasks->items, tasks->count, tasks->capacity);
        if (result < 0 || tasks->count == LOOK_TASK_MAX)
            return result < 0 ? result : -E2BIG;
        tasks->items[tasks->count++] = task;
    }
    return 0;
}

static int list_tasks(const struct look *look, struct look_tasks *tasks) {
    CLEANUP(processes_done) struct processes processes = {0};
    int result = list_processes(look, &processes);
    for (size_t i = 0; result >= 0 && i < processes.count; i++)
        if (processes.items[i].is_seen)
            result = list_threads(look, processes.items[i].pid, tasks);
    return result;
}

/* ------------------------------------------------------------------------------------------------------ collecting */

static const char *status_field(const char *status, const char *name) {
    const char *place = strstr(status, name);
    return place ? place + strlen(name) : NULL;
}

/* What /proc/TID/status says, in the order of its lines. */
static int read_status(const struct look *look, struct look_task *task) {
    static const char *const names[] = {"Name:\t",
                                        "\nState:\t",
                                        "\nPPid:\t",
                                        "\nNSsid:\t",
                                        "\nSigCgt:\t",
                                        "\nvoluntary_ctxt_switches:\t",
                                        "\nnonvoluntary_ctxt_switches:\t"};
    const char *fields[ARRAY_SIZE(names)];
    char status[STATUS_SIZE];
    ssize_t size = look_read(look, task, "status", status, sizeof(status));
    if (size < 0)
        return (int)size;
    const char *place = status;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        const char *field = status_field(place, names[i]);
        if (!field && i != 3) /* not every kernel knows process namespaces */
            return -EBADMSG;
        fields[i] = field;
        place = field ? field : place;
    }
    size_t length = strcspn(fields[0], "\n");
    memset(task->name, 0, sizeof(task->name));
    memcpy(task->name, fields[0], MIN(length, sizeof(task->name) - 1));
    task->state = *fields[1];
    task->parent = (pid_t)strtol(fields[2], NULL, 10);
    task->session = fields[3] ? (pid_t)strtol(fields[3], NULL, 10) : 0;
    task->caught = strtoull(fields[4], NULL, 16);
    task->switches[0] = strtoull(fields[5], NULL, 10);
    task->switches[1] = strtoull(fields[6], NULL, 10);
    return 0;
}

/* The call it sleeps in. One that may not be read is no failure; 0 where it runs. */
static int read_call(const struct look *look, struct look_task *task) {
    char line[256];
    task->has_call = false;
    ssize_t size = look_read(look, task, "syscall", line, sizeof(line));
    if (size == -EACCES || size == -EPERM || size == -ENOENT)
        return 1;
    if (size < 0)
        return (int)size;
    if (strncmp(line, "running", 7) == 0)
        return 0;
    char *place = line;
    task->number = strtol(place, &place, 10);
    for (size_t i = 0; i < ARRAY_SIZE(task->arguments); i++)
        task->arguments[i] = strtoull(place, &place, 16);
    task->has_call = true;
    return 1;
}

/* The parent of one that started a program by vfork sleeps uninterruptibly until that executes. */
static bool may_wait_for_vfork(const struct look_task *task) {
    if (!task->has_call)
        return false;
#ifdef SYS_vfork
    if (task->number == SYS_vfork)
        return true;
#endif
    return task->number == SYS_clone || task->number == SYS_clone3;
}

static bool is_asleep(const struct look_task *task) {
    return task->state == 'S' || !look_task_is_live(task) || (task->state == 'D' && may_wait_for_vfork(task));
}

/* A program that ended and was not told of yet: there is news. Its first thread alone may end before the others. */
static bool is_news(const struct look *look, const struct look_tasks *tasks, size_t index) {
    const struct look_task *task = &tasks->items[index];
    if (look_task_is_live(task) || task->tid != task->pid ||
        (index + 1 < tasks->count && tasks->items[index + 1].pid == task->pid))
        return false;
    if (look->place->containment == SPILE_CONTAINMENT_NONE)
        return is_program(look, task->pid);
    return task->parent == getpid();
}

/* Asks one thread. 1 asleep, 0 not, -errno where it is gone. */
static int sample(const struct look *look, struct look_task *task, bool call_first) {
    int result = call_first ? read_call(look, task) : 1;
    int status = read_status(look, task);
    if (status < 0)
        return status;
    if (!look_task_is_live(task))
        return 1;
    if (!call_first)
        result = read_call(look, task);
    return result > 0 ? is_asleep(task) : result;
}

/* One look. Returns 1 where all sleep, 0 where not, -errno where something could not be seen. */
static int collect(const struct look *look, bool call_first, struct look_tasks *tasks) {
    tasks->count = 0;
    int result = list_tasks(look, tasks);
    bool all_asleep = true;
    for (size_t i = 0; result >= 0 && i < tasks->count; i++) {
        result = sample(look, &tasks->items[i], call_first);
        all_asleep = all_asleep && result > 0 && !is_news(look, tasks, i);
    }
    return result < 0 ? result : all_asleep;
}

static bool is_same(const struct look_task *a, const struct look_task *b) {
    if (a->pid != b->pid || a->tid != b->tid || a->state != b->state)
        return false;
    if (!look_task_is_live(a))
        return true;
    return a->switches[0] == b->switches[0] && a->switches[1] == b->switches[1] && a->has_call == b->has_call &&
           (!a->has_call || (a->number == b->number && memcmp(a->arguments, b->arguments, sizeof(a->arguments)) == 0));
}

/* Whether nothing ran since `before` was collected. */
static bool stands_still(const struct look *look, const struct look_tasks *before) {
    struct look_tasks now = {0};
    bool is_still = collect(look, true, &now) > 0 && now.count == before->count;
    for (size_t i = 0; is_still && i < now.count; i++)
        is_still = is_same(&now.items[i], &before->items[i]);
    free(now.items);
    return is_still;
}

/* The number that the namespace gave last: unchanged, nothing was started in it. -1 where it is not to be known. */
static long last_pid(const struct look *look) {
    char line[128];
    if (look->place->containment != SPILE_CONTAINMENT_NAMESPACE ||
        read_whole(look->proc, "loadavg", line, sizeof(line)) < 0)
        return -1;
    const char *place = strrchr(line, ' ');
    return place ? strtol(place, NULL, 10) : -1;
}

/* ----------------------------------------------------------------------------------------------------------- proof */

/* Whether its words are as wide as ours, told by what the kernel gave it at its start: that holds the size of an entry
 * of its program header. */
static bool is_native(const struct look *look, const struct look_task *task) {
    ElfW(auxv_t) entries[64];
    ssize_t size = look_read(look, task, "auxv", (char *)entries, sizeof(entries));
    for (ssize_t i = 0; i < size / (ssize_t)sizeof(*entries); i++)
        if (entries[i].a_type == AT_PHENT)
            return entries[i].a_un.a_val == sizeof(ElfW(Phdr));
    return false;
}

/* Whether nothing in the process is due by itself: no timer, none of the signals that tell of one or of a descriptor,
 * and system calls that have the numbers we know. */
static bool is_inert(const struct look *look, const struct look_task *task) {
    static const int signals[] = {SIGALRM, SIGVTALRM, SIGPROF, SIGIO};
    char path[32], timers[256];
    for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
        if (task->caught & UINT64_C(1) << (signals[i] - 1))
            return false;
    snprintf(path, sizeof(path), "%d/timers", (int)task->pid);
    if (read_whole(look->proc, path, timers, sizeof(timers)) != 0)
        return false;
    struct look_mapping mapping;
    if (look->uses_eventfd && look_mapping(look, task, 0, "/[aio]", &mapping) != 0)
        return false;
    return strncmp(task->name, "iou-", 4) != 0 && is_native(look, task);
}

static bool all_inert(const struct look *look) {
    const struct look_task *previous = NULL;
    for (size_t i = 0; i < look->tasks.count; i++) {
        const struct look_task *task = &look->tasks.items[i];
        if (!look_task_is_live(task))
            continue;
        if (!previous || previous->pid != task->pid || strncmp(task->name, "iou-", 4) == 0)
            if (!is_inert(look, task))
                return false;
        previous = task;
    }
    return true;
}

static const struct look_task *find_process(const struct look *look, pid_t pid) {
    for (size_t i = 0; i < look->tasks.count; i++)
        if (look->tasks.items[i].pid == pid)
            return &look->tasks.items[i];
    return NULL;
}

static uint32_t program_id(const struct look *look, pid_t pid) {
    for (size_t i = 0; i < look->place->program_count; i++)
        if (look->place->programs[i].pid == pid)
            return look->place->programs[i].id;
    return 0;
}

/* The program a thread descends from; one whose parents ended is known by its session. */
static uint32_t find_program(const struct look *look, const struct look_task *task) {
    const struct look_task *process = task;
    for (int depth = 0; process && depth < 1000; depth++) {
        uint32_t id = program_id(look, process->pid);
        if (id)
            return id;
        process = find_process(look, process->parent);
    }
    return program_id(look, task->session);
}

/* Describes every wait; returns how many live threads there are, in *ret_proved whether each can be proved. */
static size_t describe(struct look *look, struct cell_wait *waits, bool *ret_proved) {
    size_t count = 0;
    bool all_proved = true;
    for (size_t i = 0; i < look->tasks.count; i++) {
        const struct look_task *task = &look->tasks.items[i];
        if (!look_task_is_live(task))
            continue;
        struct cell_wait *wait = &waits[count++];
        *wait = (struct cell_wait){.proc_id = find_program(look, task),
                                   .pid = task->pid,
                                   .tid = task->tid,
                                   .kind = is_asleep(task) ? CELL_WAIT_OTHER : CELL_WAIT_NONE};
        memcpy(wait->name, task->name, sizeof(wait->name));
        if (task->has_call && is_asleep(task))
            wait->is_provable = look_wait(look, task, wait);
        all_proved = all_proved && wait->is_provable;
    }
    *ret_proved = all_proved && count > 0; /* of nobody there is nothing to prove */
    return count;
}

/* Those that wait for a pipe first, as many as there is room for. */
static size_t pick(const struct cell_wait *all, size_t count, struct cell_wait *waits, size_t capacity) {
    size_t used = 0;
    for (int pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < count && used < capacity; i++)
            if ((all[i].inode == 0) == pass)
                waits[used++] = all[i];
    return used;
}

static int look_begin(struct look *look) {
    struct stat root = {0};
    look->proc = sys_openat(AT_FDCWD, "/proc", O_RDONLY | O_DIRECTORY, 0);
    if (look->proc < 0)
        return look->proc;
    int result = sys_fstat(look->place->root, &root);
    look->root_device = root.st_dev;
    return result;
}

void look_twice(const struct look_place *place, struct cell_wait *waits, size_t capacity, struct cell_look *ret_look) {
    CLEANUP(look_done) struct look look = {.place = place, .proc = -1};
    *ret_look = (struct cell_look){.waits = waits};
    if (look_begin(&look) < 0)
        return;
    long first_pid = last_pid(&look);
    int result = collect(&look, false, &look.tasks);
    if (result < 0)
        return;
    bool quiet = result > 0 && stands_still(&look, &look.tasks);
    AUTO_FREE struct cell_wait *all = memory_zero(look.tasks.count + 1, sizeof(*all));
    if (!all)
        return;
    look.wants_proof = quiet;
    bool proved = false;
    ret_look->total = describe(&look, all, &proved);
    proved = proved && quiet && look_ends_are_known(&look) && all_inert(&look) &&
             !look_has_strangers(&look, all, ret_look->total);
    /* What was read meanwhile of memory and descriptors holds only if they did not go on. */
    if (proved)
        quiet = proved = stands_still(&look, &look.tasks);
    if (last_pid(&look) != first_pid)
        quiet = proved = false;
    ret_look->quiet = quiet;
    ret_look->proved = proved;
    ret_look->count = pick(all, ret_look->total, waits, capacity);
}
