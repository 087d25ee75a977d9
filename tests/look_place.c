/* A place to look at, for the tests of looks: see look_place.h. */
#include "look_place.h"

#include <sys/stat.h>

struct seen seen;
const struct job *awaited_end;

void on_answer(struct cell_owner *owner, const struct cell_look *look) {
    (void)owner;
    ck_assert(!seen.is_there);
    ck_assert_uint_le(look->count, ARRAY_SIZE(seen.waits));
    ck_assert(look->quiet || !look->proved);
    seen = (struct seen){
        true, look->quiet, look->proved, {{0}}, look->count, look->total, awaited_end && awaited_end->is_ended};
    memcpy(seen.waits, look->waits, look->count * sizeof(*look->waits));
}

static int fifo_make(struct place *place, const char *name) {
    struct stat status;
    int root = cell_root_fd(place->lease.cell);
    ck_assert_int_eq(mkfifoat(root, name, 0600), 0);
    ck_assert_int_eq(fstatat(root, name, &status, 0), 0);
    place->inodes[place->inode_count++] = (struct cell_inode){.device = status.st_dev, .inode = status.st_ino};
    return openat(root, name, O_RDWR | O_NONBLOCK | O_CLOEXEC);
}

void place_lease(struct place *place) {
    char bytes[4096] = {0};
    lease_open(&place->host, &place->lease, 0);
    place->inode_count = 0;
    place->in = fifo_make(place, "in");
    place->full = fifo_make(place, "full");
    while (write(place->full, bytes, sizeof(bytes)) > 0)
        ;
    ck_assert_int_eq(errno, EAGAIN);
    close(fifo_make(place, "shut"));
}

bool place_open(struct place *place, int setting) {
    if (!host_open(&place->host, setting))
        return false;
    place_lease(place);
    return true;
}

void place_release(struct place *place) {
    close(place->in);
    close(place->full);
    lease_close(&place->host, &place->lease);
}

void place_close(struct place *place) {
    place_release(place);
    host_close(&place->host);
}

bool look_try(struct place *place) {
    seen.is_there = false;
    int result = cell_look(place->lease.cell, place->inodes, place->inode_count, on_answer);
    ck_assert(!seen.is_there); /* only from a step */
    if (result == -ENOMEM)
        return false;
    ck_assert_int_eq(result, 0);
    host_wait(&place->host, &seen.is_there);
    return true;
}

void look(struct place *place) {
    ck_assert(look_try(place));
}

const char *program_path(const char *name) {
    static char path[4096];
    const char *build = getenv("SPILE_BUILD");
    snprintf(path, sizeof(path), "%s/tests/%s", build ? build : ".", name);
    return path;
}

void start(struct place *place, struct job *job, const char *path, char **argv, int input, int output) {
    char *envp[] = {(char *)"PATH=/usr/bin:/bin", NULL};
    job_init(job);
    const struct proc_spec spec = {
        .path = path,
        .argv = argv,
        .envp = envp,
        .cwd = cell_root_path(place->lease.cell),
        .stdio = {input, output, 2},
        .flags = PROC_NEW_SESSION,
    };
    ck_assert_int_eq(cell_spawn(place->lease.cell, &spec, &job->proc), 0);
    host_wait(&place->host, &job->is_started);
}

bool start_stand(struct place *place, struct job *job, const char *act, const char *file) {
    char *argv[] = {(char *)"stand", (char *)act, (char *)file, NULL}, byte;
    int ends[2];
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    start(place, job, program_path("stand"), argv, -1, ends[1]);
    close(ends[1]);
    bool is_ready = read(ends[0], &byte, 1) == 1;
    close(ends[0]);
    if (!is_ready) {
        job_wait(&place->host, job);
        ck_assert_msg(job->status == 77 << 8, "'%s' ended with %d", act, job->status);
    }
    return is_ready;
}

void start_shell(struct place *place, struct job *job, const char *script) {
    char *argv[] = {(char *)"sh", (char *)"-c", (char *)script, NULL};
    start(place, job, "/bin/sh", argv, -1, -1);
}

const char *describe(void) {
    static const char *const kinds[] = {"runs",  "opens", "reads",  "writes", "polls",
                                        "child", "lock",  "sleeps", "other"};
    static char text[4096];
    size_t size = (size_t)snprintf(text, sizeof(text), "quiet %d, proved %d:", seen.quiet, seen.proved);
    for (size_t i = 0; i < seen.count && size < sizeof(text) - 100; i++)
        size += (size_t)snprintf(text + size, sizeof(text) - size, " [%u %s(%d) %s%s %llu%s]", seen.waits[i].proc_id,
                                 seen.waits[i].name, seen.waits[i].tid, kinds[seen.waits[i].kind],
                                 seen.waits[i].for_writing ? " w" : "", (unsigned long long)seen.waits[i].inode,
                                 seen.waits[i].is_provable ? "" : " not provable");
    return text;
}

void look_until(struct place *place, const bool *flag, const char *what) {
    uint64_t end = time_now_ns() + PATIENCE_S * NS_PER_SECOND;
    do {
        look(place);
        ck_assert_msg(time_now_ns() < end, "'%s' never was; %s", what, describe());
    } while (!*flag);
}

const struct cell_wait *find_wait(enum cell_wait_kind kind) {
    for (size_t i = 0; i < seen.count; i++)
        if (seen.waits[i].kind == kind)
            return &seen.waits[i];
    return NULL;
}

const struct cell_wait *look_until_proved(struct place *place, enum cell_wait_kind kind, uint64_t inode,
                                          const char *what) {
    uint64_t end = time_now_ns() + PATIENCE_S * NS_PER_SECOND;
    for (;;) {
        look_until(place, &seen.proved, what);
        for (size_t i = 0; i < seen.count; i++)
            if (seen.waits[i].kind == kind && (inode == 0 || seen.waits[i].inode == inode))
                return &seen.waits[i];
        ck_assert_msg(time_now_ns() < end, "'%s' waits otherwise; %s", what, describe());
    }
}

void expect_no_proof(struct place *place, const char *act, enum cell_wait_kind kind) {
    for (int i = 0; i < NEVER_LOOKS; i++) {
        look(place);
        ck_assert_msg(!seen.proved, "'%s' was proved; %s", act, describe());
    }
    look_until(place, &seen.quiet, act);
    ck_assert_msg(!seen.proved, "'%s' was proved; %s", act, describe());
    ck_assert_msg(find_wait(kind) != NULL, "'%s' waits otherwise; %s", act, describe());
}

void add_test(Suite *suite, const TTest *test, const char *name) {
    TCase *tests = tcase_create(name);
    tcase_set_timeout(tests, 150);
    tcase_add_loop_test(tests, test, 0, setting_count);
    suite_add_tcase(suite, tests);
}
