/* Control groups: see cgroup.h. Nothing of a group that is somebody else's is ever changed, so a host in a group whose
 * parents do not hand on their controllers has none.
 *
 * In version 2 a group that hands on controllers has no processes of its own. So programs are in a group in the one
 * that has the limits, which hands them on: a call that a program makes finds it, and is held to them too.
 */
#include "cell/cgroup.h"
#include "cell/tree.h"

#include <sys/random.h>

enum { REMOVE_TRIES = 50, REMOVE_WAIT_MS = 2 };

static const char of_programs[] = "programs", refused_programs[] = "programs/pids.events"; /* in that with the limits */

static const struct {
    unsigned bit;
    const char *name;
} controllers[] = {{CGROUP_MEMORY, "memory"}, {CGROUP_PROCESSES, "pids"}};

/* ------------------------------------------------------------------------------------------------------- files */

static int read_whole(int directory, const char *path, struct text *text) {
    char block[4096];
    AUTO_FD fd = sys_openat(directory, path, O_RDONLY, 0);
    if (fd < 0)
        return fd;
    for (;;) {
        ssize_t size = sys_read(fd, block, sizeof(block));
        if (size == -EINTR || size == -EAGAIN)
            continue;
        if (size <= 0)
            return (int)size;
        text_add(text, block, (size_t)size);
        if (text->failed)
            return -ENOMEM;
    }
}

/* A limit; `none` is what takes it away. */
static int write_limit(int directory, const char *path, uint64_t value, const char *none) {
    char digits[24];
    AUTO_FD fd = sys_openat(directory, path, O_WRONLY, 0);
    if (fd < 0)
        return fd;
    snprintf(digits, sizeof(digits), "%llu", (unsigned long long)value);
    const char *text = value ? digits : none;
    return sys_write_control(fd, text, strlen(text));
}

/* The number alone in a file, or behind a word of it. */
static int find_number(int directory, const char *path, const char *word, uint64_t *ret_number) {
    AUTO_TEXT text = {0};
    int result = read_whole(directory, path, &text);
    if (result < 0)
        return result;
    for (const char *line = text.data; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        size_t size = strlen(word);
        if (strncmp(line, word, size) == 0 && (size == 0 || line[size] == ' ')) {
            *ret_number = strtoull(line + size, NULL, 10);
            return 0;
        }
    }
    return -ENODATA;
}

/* The same; 0 where it is not there. */
static uint64_t read_number(int directory, const char *path, const char *word) {
    uint64_t number = 0;
    (void)find_number(directory, path, word, &number);
    return number;
}

/* Whether a word stands in a list that `separators` part. */
static bool has_word(const char *list, const char *separators, const char *word) {
    while (*list) {
        size_t size = strcspn(list, separators);
        if (size == strlen(word) && strncmp(list, word, size) == 0)
            return true;
        list += size;
        list += strspn(list, separators);
    }
    return false;
}

/* ------------------------------------------------------------------------------------------------------- places */

/* Where the hierarchy of a controller is mounted (NULL: that of version 2), and this process's own group in it. */
struct place {
    char mount[PATH_MAX], own[PATH_MAX];
};

/* A line of /proc/self/mountinfo: "36 35 98:0 ROOT MOUNT OPTIONS OPTIONAL... - TYPE SOURCE OPTIONS". */
static bool parse_mount(char *line, const char *controller, struct place *place, char **ret_root) {
    char *fields[5], *rest = strstr(line, " - ");
    if (!rest)
        return false;
    *rest = '\0';
    rest += 3;
    char *type = strsep(&rest, " ");
    (void)strsep(&rest, " ");
    if (!rest || strcmp(type, controller ? "cgroup" : "cgroup2") != 0 ||
        (controller && !has_word(rest, ",", controller)))
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
        fields[i] = strsep(&line, " ");
    if (!fields[4] || strlen(fields[4]) >= sizeof(place->mount) || strchr(fields[4], '\\'))
        return false;
    memcpy(place->mount, fields[4], strlen(fields[4]) + 1);
    *ret_root = fields[3];
    return true;
}

/* A line of /proc/self/cgroup: "4:memory:/path", of version 2 "0::/path". */
static bool parse_own(char *line, const char *controller, const char *root, struct place *place) {
    (void)strsep(&line, ":");
    const char *names = strsep(&line, ":");
    if (!names || !line || (controller ? !has_word(names, ",", controller) : *names != '\0'))
        return false;
    size_t size = strcmp(root, "/") == 0 ? 0 : strlen(root); /* of another group than the topmost only that is seen */
    if (strncmp(line, root, size) != 0 || strlen(line) >= sizeof(place->own))
        return false;
    memcpy(place->own, line + size, strlen(line + size) + 1);
    return true;
}

static bool place_find(const char *controller, struct place *place) {
    AUTO_TEXT mounts = {0};
    AUTO_TEXT own = {0};
    char *root = NULL;
    if (read_whole(AT_FDCWD, "/proc/self/mountinfo", &mounts) < 0 || !mounts.data ||
        read_whole(AT_FDCWD, "/proc/self/cgroup", &own) < 0 || !own.data)
        return false;
    char *rest = mounts.data;
    while (rest && !root) {
        char *line = strsep(&rest, "\n");
        (void)parse_mount(line, controller, place, &root);
    }
    for (rest = own.data; root && rest;) {
        char *line = strsep(&rest, "\n");
        if (parse_own(line, controller, root, place))
            return true;
    }
    return false;
}

/* ------------------------------------------------------------------------------------------------------- removing */

static bool find_below(int group, char name[NAME_MAX + 1]) {
    AUTO_FD fd = sys_openat(group, ".", O_RDONLY | O_DIRECTORY, 0);
    DIR *list = fd < 0 ? NULL : sys_fdopendir(fd);
    bool is_found = false;
    if (!list)
        return false;
    (void)TAKE_FD(fd); /* the stream's now */
    for (const struct dirent *entry; !is_found && (entry = readdir(list));) {
        is_found = entry->d_type == DT_DIR && strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
        if (is_found)
            memcpy(name, entry->d_name, strlen(entry->d_name) + 1);
    }
    (void)closedir(list);
    return is_found;
}

/* Removes one of the groups below that has none below it. */
static int remove_below(const char *path) {
    char name[NAME_MAX + 1];
    AUTO_FD above = sys_openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);
    if (above < 0)
        return above;
    if (!find_below(above, name))
        return -ENOENT;
    for (;;) {
        char deeper[NAME_MAX + 1];
        AUTO_FD group = sys_openat(above, name, O_RDONLY | O_DIRECTORY, 0);
        if (group == -EACCES && sys_fchmodat(above, name, 0700) >= 0)
            group = sys_openat(above, name, O_RDONLY | O_DIRECTORY, 0);
        if (group < 0)
            return group;
        if (!find_below(group, deeper))
            return sys_unlinkat(above, name, AT_REMOVEDIR);
        fd_close(above);
        above = TAKE_FD(group);
        memcpy(name, deeper, strlen(deeper) + 1);
    }
}

/* A group with those in it: ours for programs, and what programs made or calls of theirs that were killed left. */
static int remove_all(const char *path) {
    int result;
    do
        result = sys_unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
    while (result == -EBUSY && remove_below(path) >= 0);
    return result;
}

void cgroup_remove_path(const char *path) {
    /* A process that has just been killed may still be on its way out of it. */
    for (int attempt = 0; attempt < REMOVE_TRIES; attempt++) {
        if (remove_all(path) != -EBUSY)
            return;
        (void)poll(NULL, 0, REMOVE_WAIT_MS);
    }
}

/* ------------------------------------------------------------------------------------------------------- making */

/* Takes away what dead cells have left. */
static void remove_stale(const char *base) {
    AUTO_FD directory = sys_openat(AT_FDCWD, base, O_RDONLY | O_DIRECTORY, 0);
    DIR *list = directory < 0 ? NULL : sys_fdopendir(directory);
    if (!list)
        return;
    (void)TAKE_FD(directory); /* the directory's now */
    for (const struct dirent *entry; (entry = readdir(list));) {
        if (!tree_is_name(entry->d_name))
            continue;
        AUTO_FD fd = -1;
        cgroup_path path;
        if (directory_claim(dirfd(list), entry->d_name, &fd) >= 0 &&
            snprintf(path, sizeof(path), "%s/%s", base, entry->d_name) < (int)sizeof(path))
            (void)remove_all(path); /* not while it has processes */
    }
    (void)closedir(list);
}

/* The first character last: whoever finds it finds all. */
static void write_note(struct cgroup *cgroup) {
    if (!cgroup->note)
        return;
    __atomic_store_n(cgroup->note, '\0', __ATOMIC_RELEASE);
    if (cgroup->path[0] == '\0')
        return;
    memcpy(cgroup->note + 1, cgroup->path + 1, strlen(cgroup->path + 1) + 1);
    __atomic_store_n(cgroup->note, cgroup->path[0], __ATOMIC_RELEASE);
}

static void cgroup_close(struct cgroup *cgroup) {
    fd_close(TAKE_FD(cgroup->procs));
    fd_close(TAKE_FD(cgroup->fd));
    cgroup->path[0] = '\0';
    write_note(cgroup);
}

static int choose_name(cgroup_path path, const char *base) {
    unsigned number;
    if (getrandom(&number, sizeof(number), 0) != sizeof(number))
        number = (unsigned)time_now_ns();
    return snprintf(path, CGROUP_PATH_SIZE, "%s/" TREE_NAME_START "%06x", base, number & 0xffffff) < CGROUP_PATH_SIZE
               ? 0
               : -ENAMETOOLONG;
}

/* It hands on all that it can, for a call in the call. In a threaded group it can't. */
static int hand_on(const struct cgroup *cgroup) {
    AUTO_TEXT list = {0};
    AUTO_FD control = sys_openat(cgroup->fd, "cgroup.subtree_control", O_WRONLY, 0);
    int result = control < 0 ? control : read_whole(cgroup->fd, "cgroup.controllers", &list);
    for (size_t i = 0; i < ARRAY_SIZE(controllers) && result >= 0; i++) {
        char line[16];
        snprintf(line, sizeof(line), "+%s", controllers[i].name);
        if (list.data && has_word(list.data, " \n", controllers[i].name))
            result = sys_write_control(control, line, strlen(line));
    }
    return result;
}

/* Where programs enter it. */
static int open_procs(const struct cgroup *cgroup) {
    if (!cgroup->is_unified)
        return sys_openat(cgroup->fd, "cgroup.procs", O_WRONLY, 0);
    int result = hand_on(cgroup);
    if (result >= 0)
        result = sys_mkdirat(cgroup->fd, of_programs, 0700);
    if (result < 0)
        return result;
    AUTO_FD programs = sys_openat(cgroup->fd, of_programs, O_RDONLY | O_DIRECTORY, 0);
    return programs < 0 ? programs : sys_openat(programs, "cgroup.procs", O_WRONLY, 0);
}

static int cgroup_make(struct cgroup *cgroup, unsigned with, bool is_unified, const char *base, char *note) {
    enum { ATTEMPTS = 16 };
    int result = -EEXIST;
    *cgroup = (struct cgroup){.controllers = with, .is_unified = is_unified, .fd = -1, .procs = -1, .note = note};
    remove_stale(base);
    for (int attempt = 0; attempt < ATTEMPTS && (result == -EEXIST || result == -EAGAIN); attempt++) {
        result = choose_name(cgroup->path, base);
        if (result < 0)
            break;
        write_note(cgroup); /* before there is something that could stay */
        result = sys_mkdirat(AT_FDCWD, cgroup->path, 0700);
        if (result < 0)
            continue;
        result = directory_claim(AT_FDCWD, cgroup->path, &cgroup->fd);
        if (result >= 0)
            result = cgroup->procs = open_procs(cgroup);
        if (result < 0)
            (void)remove_all(cgroup->path);
        if (result == -ENODEV || result == -ENOENT)
            result = -EAGAIN; /* another process took it for stale before the lock was ours */
        if (result == -EAGAIN)
            cgroup->fd = fd_close(cgroup->fd);
    }
    if (result < 0)
        cgroup_close(cgroup);
    return result < 0 ? result : 0;
}

static void refuse(struct cgroup_refusals *refusals, unsigned which, int number, const char *what, const char *object) {
    struct cgroup_refusal *const each[] = {which & CGROUP_MEMORY ? &refusals->memory : NULL,
                                           which & CGROUP_PROCESSES ? &refusals->processes : NULL};
    for (size_t i = 0; i < ARRAY_SIZE(each); i++) {
        if (!each[i])
            continue;
        each[i]->number = number;
        snprintf(each[i]->what, sizeof(each[i]->what), "%s '%.100s'", what, object);
    }
}

/* Which of the wanted controllers a group of version 2 hands on to groups in it, if we may move processes there. */
static unsigned handed_on(const char *base, unsigned wanted) {
    AUTO_TEXT list = {0};
    AUTO_FD directory = sys_openat(AT_FDCWD, base, O_RDONLY | O_DIRECTORY, 0);
    unsigned have = 0;
    if (directory < 0 || read_whole(directory, "cgroup.subtree_control", &list) < 0 || !list.data)
        return 0;
    for (size_t i = 0; i < ARRAY_SIZE(controllers); i++)
        if (wanted & controllers[i].bit && has_word(list.data, " \n", controllers[i].name))
            have |= controllers[i].bit;
    return have;
}

/* Version 2: a group can be made for a controller only where the parent hands it on, which one with processes of its
 * own does not. So beside or above the host's own, as near as it may be; who may move processes at the place where
 * both meet may move them from the one to the other. *ret_fewer: what the last looked at hands on that does not hand on
 * all that is wanted. */
static unsigned make_above(struct cgroup *cgroup, const struct place *place, unsigned wanted, char *note,
                           struct cgroup_refusals *refusals, unsigned *ret_fewer) {
    char base[2 * PATH_MAX], procs[2 * PATH_MAX + 16];
    size_t mount_size = strlen(place->mount);
    snprintf(base, sizeof(base), "%s%s", place->mount, strcmp(place->own, "/") == 0 ? "" : place->own);
    for (;;) {
        unsigned have = handed_on(base, wanted);
        if (have == wanted) {
            snprintf(procs, sizeof(procs), "%s/cgroup.procs", base);
            int result = sys_faccessat(AT_FDCWD, procs, W_OK, AT_EACCESS);
            if (result >= 0)
                result = cgroup_make(cgroup, have, true, base, note);
            if (result >= 0)
                return have;
            refuse(refusals, have, result, "making a control group in", base);
        } else if (have) {
            *ret_fewer = have;
        }
        char *slash = strrchr(base, '/');
        if (!slash || (size_t)(slash - base) < mount_size || tree_is_name(slash + 1)) /* a cell's limits hold in it */
            return 0;
        *slash = '\0';
    }
}

/* A process is in one group of version 2, so rather in one farther off that has all controllers. */
static unsigned make_unified(struct cgroup *cgroup, unsigned wanted, char *note, struct cgroup_refusals *refusals) {
    struct place place;
    unsigned fewer = 0, none = 0;
    if (!place_find(NULL, &place))
        return 0;
    unsigned have = make_above(cgroup, &place, wanted, note, refusals, &fewer);
    return have || !fewer ? have : make_above(cgroup, &place, fewer, note, refusals, &none);
}

static unsigned make_legacy(struct cgroup *cgroup, size_t index, char *note, struct cgroup_refusals *refusals) {
    struct place place;
    char base[2 * PATH_MAX];
    if (!place_find(controllers[index].name, &place))
        return 0;
    snprintf(base, sizeof(base), "%s%s", place.mount, strcmp(place.own, "/") == 0 ? "" : place.own);
    int result = cgroup_make(cgroup, controllers[index].bit, false, base, note);
    if (result >= 0)
        return cgroup->controllers;
    refuse(refusals, controllers[index].bit, result, "making a control group in", base);
    return 0;
}

static char *next_note(const struct cgroups *cgroups) {
    return cgroups->notes ? cgroups->notes[cgroups->count] : NULL;
}

static void make_all(struct cgroups *cgroups, unsigned wanted) {
    *cgroups = (struct cgroups){.killed = -1, .tried = wanted, .notes = cgroups->notes};
    for (size_t i = 0; i < ARRAY_SIZE(controllers); i++)
        refuse(&cgroups->refusals, wanted & controllers[i].bit, -EOPNOTSUPP,
               "finding a control group that can be used and has the controller", controllers[i].name);
    cgroups->have = make_unified(&cgroups->items[0], wanted, next_note(cgroups), &cgroups->refusals);
    cgroups->count += cgroups->have != 0;
    for (size_t i = 0; i < ARRAY_SIZE(controllers); i++) {
        if (!(wanted & ~cgroups->have & controllers[i].bit))
            continue;
        unsigned made = make_legacy(&cgroups->items[cgroups->count], i, next_note(cgroups), &cgroups->refusals);
        cgroups->have |= made;
        cgroups->count += made != 0;
    }
}

/* ------------------------------------------------------------------------------------------------------- using */

/* The limit with swap is never below the one without, so it goes out of the way first. A limit of memory that lets it
 * go to swap is none; kernels without swap have no such file. */
static int limit_legacy_memory(const struct cgroup *cgroup, uint64_t bytes) {
    static const char with_swap[] = "memory.memsw.limit_in_bytes";
    if (cgroup->memory_bytes)
        (void)write_limit(cgroup->fd, with_swap, 0, "-1");
    int result = write_limit(cgroup->fd, "memory.limit_in_bytes", bytes, "-1");
    if (result < 0 || !bytes)
        return result;
    result = write_limit(cgroup->fd, with_swap, bytes, "-1");
    return result == -ENOENT ? 0 : result;
}

/* Kernels without swap have no limit of it. */
static int limit_unified_memory(const struct cgroup *cgroup, uint64_t bytes) {
    int result = write_limit(cgroup->fd, "memory.max", bytes, "max");
    if (result < 0)
        return result;
    result = write_limit(cgroup->fd, "memory.swap.max", 0, bytes ? "0" : "max");
    if (result < 0 && result != -ENOENT)
        return result;
    /* All or none: half a pipeline is of no use. Since Linux 4.19. */
    (void)write_limit(cgroup->fd, "memory.oom.group", bytes != 0, "0");
    return 0;
}

/* Version 1 kills one process only; that it does is told by an eventfd. */
static int watch_kills(struct cgroups *cgroups, const struct cgroup *cgroup) {
    char line[32];
    AUTO_FD source = sys_openat(cgroup->fd, "memory.oom_control", O_RDONLY, 0);
    AUTO_FD control = sys_openat(cgroup->fd, "cgroup.event_control", O_WRONLY, 0);
    AUTO_FD event = sys_eventfd();
    if (source < 0 || control < 0 || event < 0)
        return source < 0 ? source : control < 0 ? control : event;
    snprintf(line, sizeof(line), "%d %d", event, source);
    int result = sys_write_control(control, line, strlen(line));
    if (result >= 0)
        cgroups->killed = TAKE_FD(event);
    return result;
}

static int limit_memory(struct cgroups *cgroups, struct cgroup *cgroup, uint64_t bytes) {
    int result = 0;
    if (bytes == cgroup->memory_bytes)
        return 0;
    result = cgroup->is_unified ? limit_unified_memory(cgroup, bytes) : limit_legacy_memory(cgroup, bytes);
    if (result >= 0 && !cgroup->is_unified && cgroups->killed < 0)
        result = watch_kills(cgroups, cgroup);
    if (result >= 0)
        cgroup->memory_bytes = bytes;
    return result;
}

static int limit_processes(struct cgroup *cgroup, uint64_t processes) {
    int result = processes == cgroup->processes ? 0 : write_limit(cgroup->fd, "pids.max", processes, "max");
    if (result >= 0)
        cgroup->processes = processes;
    return result;
}

int cgroups_limit(struct cgroups *cgroups, uint64_t memory_bytes, uint64_t processes) {
    int result = 0;
    for (size_t i = 0; i < cgroups->count && result >= 0; i++) {
        struct cgroup *cgroup = &cgroups->items[i];
        if (cgroup->controllers & CGROUP_MEMORY)
            result = limit_memory(cgroups, cgroup, memory_bytes);
        if (result >= 0 && cgroup->controllers & CGROUP_PROCESSES)
            result = limit_processes(cgroup, processes);
    }
    return result;
}

bool cgroups_note_shortage(struct cgroups *cgroups) {
    uint64_t count;
    bool is_one = sys_read(cgroups->killed, &count, sizeof(count)) > 0;
    cgroups->shortages += is_one;
    return is_one;
}

static uint32_t memory_kills(const struct cgroup *cgroup) {
    return (uint32_t)read_number(cgroup->fd, cgroup->is_unified ? "memory.events" : "memory.oom_control", "oom_kill");
}

/* How often its own limit was reached: a group around it has one too, perhaps, and a call that a program made. Version
 * 1 does not tell them apart. */
static uint32_t memory_shortages(const struct cgroup *cgroup) {
    return cgroup->is_unified ? (uint32_t)read_number(cgroup->fd, "memory.events.local", "oom") : 0;
}

static uint32_t processes_refused(const struct cgroup *cgroup) {
    uint64_t count;
    if (!cgroup->is_unified)
        return (uint32_t)read_number(cgroup->fd, "pids.events", "max");
    if (find_number(cgroup->fd, "pids.events.local", "max", &count) >= 0)
        return (uint32_t)count;
    /* Before Linux 6.11 all that is known is how often who is in a group was refused. */
    return (uint32_t)read_number(cgroup->fd, refused_programs, "max");
}

static void add_memory_usage(const struct cgroups *cgroups, const struct cgroup *cgroup, struct proc_usage *usage) {
    uint32_t kills = MAX(memory_kills(cgroup) - cgroup->memory_kills, cgroups->shortages);
    if (kills == 0 || (cgroup->is_unified && memory_shortages(cgroup) == cgroup->memory_shortages))
        return;
    usage->memory_kills = kills;
    /* Of all leases so far: of one whose limit was higher, perhaps, but this one could not have more than its own. */
    usage->memory_peak_bytes = MIN(
        read_number(cgroup->fd, cgroup->is_unified ? "memory.peak" : "memory.max_usage_in_bytes", ""),
        cgroup->memory_bytes);
}

/* Without a limit it was one of somebody else's that was reached. */
void cgroups_usage(const struct cgroups *cgroups, struct proc_usage *usage) {
    for (size_t i = 0; i < cgroups->count; i++) {
        const struct cgroup *cgroup = &cgroups->items[i];
        unsigned used = cgroup->controllers & cgroups->used;
        if (used & CGROUP_MEMORY && cgroup->memory_bytes)
            add_memory_usage(cgroups, cgroup, usage);
        if (used & CGROUP_PROCESSES && cgroup->processes)
            usage->processes_refused = processes_refused(cgroup) - cgroup->processes_refused;
    }
}

/* ------------------------------------------------------------------------------------------------------- keeping */

/* Whether a program, or a call that it made, has left groups in it. */
static bool has_others(const struct cgroup *cgroup) {
    enum { LINKS_ALONE = 2 };
    struct stat whole = {0}, programs = {.st_nlink = LINKS_ALONE};
    int result = sys_fstat(cgroup->fd, &whole);
    if (result >= 0 && cgroup->is_unified)
        result = sys_fstatat(cgroup->fd, of_programs, &programs, 0);
    return result < 0 || whole.st_nlink > (cgroup->is_unified ? LINKS_ALONE + 1u : LINKS_ALONE) ||
           programs.st_nlink > LINKS_ALONE;
}

/* Begins to count anew. False: memory of the lease before is still there, of results that somebody holds say, or
 * processes or groups are; a new group would have none. Or a controller was taken away. */
static bool cgroup_renew(struct cgroup *cgroup, uint64_t memory_bytes) {
    enum { BYTES_MAX = 1 << 20, PART_MAX = 32 };
    uint64_t bytes, processes;
    if (has_others(cgroup))
        return false;
    if (cgroup->controllers & CGROUP_MEMORY) {
        const char *current = cgroup->is_unified ? "memory.current" : "memory.usage_in_bytes";
        if (find_number(cgroup->fd, current, "", &bytes) < 0 ||
            bytes > MIN((uint64_t)BYTES_MAX, (memory_bytes ? memory_bytes : UINT64_MAX) / PART_MAX))
            return false;
        cgroup->memory_kills = memory_kills(cgroup);
        cgroup->memory_shortages = memory_shortages(cgroup);
    }
    if (cgroup->controllers & CGROUP_PROCESSES) {
        if (find_number(cgroup->fd, "pids.current", "", &processes) < 0 || processes > 0)
            return false;
        cgroup->processes_refused = processes_refused(cgroup);
    }
    return true;
}

static bool renew_all(struct cgroups *cgroups, uint64_t memory_bytes) {
    uint64_t count;
    cgroups->shortages = 0;
    if (cgroups->killed >= 0)
        (void)sys_read(cgroups->killed, &count, sizeof(count));
    for (size_t i = 0; i < cgroups->count; i++)
        if (!cgroup_renew(&cgroups->items[i], memory_bytes))
            return false;
    return true;
}

unsigned cgroups_get(struct cgroups *cgroups, unsigned wanted, uint64_t memory_bytes) {
    if (wanted & ~cgroups->tried || !renew_all(cgroups, memory_bytes)) {
        unsigned all = wanted | cgroups->tried;
        cgroups_remove(cgroups);
        make_all(cgroups, all);
    }
    return cgroups->used = cgroups->have & wanted;
}

void cgroups_remove(struct cgroups *cgroups) {
    if (cgroups->count > 0)
        fd_close(TAKE_FD(cgroups->killed));
    while (cgroups->count > 0) {
        struct cgroup *cgroup = &cgroups->items[--cgroups->count];
        cgroup_remove_path(cgroup->path);
        cgroup_close(cgroup);
    }
    cgroups->tried = cgroups->have = cgroups->used = 0;
}
