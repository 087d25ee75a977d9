/* One look from inside: the threads as they were collected, and what is asked of /proc about them. */
#pragma once

#include "cell/look.h"

enum {
    LOOK_TASK_MAX = 4096,
    LOOK_FD_MAX = 65536, /* descriptors of all processes together */
    LOOK_PATH_SIZE = 64, /* of a path under /proc */
};

struct look_task {
    pid_t pid, tid, parent, session;
    char state;
    char name[16];
    uint64_t switches[2]; /* voluntary, involuntary: equal counts and asleep both times: it did not run */
    uint64_t caught;      /* mask of signals with a handler */
    bool has_call;        /* the next two are known */
    long number;          /* -1: asleep outside a system call */
    uint64_t arguments[6];
};

struct look_tasks {
    struct look_task *items;
    size_t count, capacity;
};

/* An end of an anonymous pipe that a process of the cell holds. */
struct look_end {
    uint64_t inode;
    bool can_read, can_write;
};

struct look {
    const struct look_place *place;
    int proc; /* /proc */
    uint64_t root_device;
    struct look_tasks tasks;
    bool wants_proof; /* false: waits are only described, as far as that is cheap */
    bool uses_eventfd;
    bool has_ends, has_all_ends; /* collected; without a gap, and nothing found that moves bytes by itself */
    struct look_end *ends;
    size_t end_count, end_capacity, fd_count;
};

/* Reads a file of a thread whole, NUL-terminated; returns its size, or -errno (-EFBIG: it does not fit). */
ssize_t look_read(const struct look *look, const struct look_task *task, const char *name, char *buffer,
                  size_t capacity);
/* The target of a link of a thread, cut to the buffer. */
int look_link(const struct look *look, const struct look_task *task, const char *name, char *buffer, size_t capacity);
/* Opens a file or directory of a thread; `flags` as for open. */
int look_open(const struct look *look, const struct look_task *task, const char *name, int flags);
DIR *look_directory(int directory, const char *path);
static inline void look_directory_close(DIR **list) {
    if (*list)
        (void)closedir(*list);
}
#define AUTO_DIRECTORY CLEANUP(look_directory_close) DIR *
bool look_task_is_live(const struct look_task *task);
bool look_is_below(const char *path, const char *directory);

/* What a thread waits for. Returns whether only the cell or the host can end that. */
bool look_wait(struct look *look, const struct look_task *task, struct cell_wait *wait);

/* Whether descriptor `fd` of a thread is a pipe whose other side only the cell or the host can move. Notes the pipe in
 * `wait` where that has none yet. */
bool look_end_is_ours(struct look *look, const struct look_task *task, int fd, struct cell_wait *wait);
/* The same for what such a set of descriptors may hold beside pipes: an eventfd. */
bool look_polled_is_ours(struct look *look, const struct look_task *task, int fd, struct cell_wait *wait);
/* Whether a named pipe that was found is known to the host, or lies among the files of the cell. */
bool look_fifo_is_ours(const struct look *look, const struct stat *status, const char *path);
bool look_is_file_of_cell(const struct look *look, const struct look_task *task, int fd);
/* Whether all that is held open in the cell is known, and nothing in it moves bytes without a thread. */
bool look_ends_are_known(struct look *look);
/* NONE: whether a process that is not seen to belong to the cell may belong to it all the same. */
bool look_has_strangers(const struct look *look, const struct cell_wait *waits, size_t count);

/* The mapping that holds `address`, or, where that is 0, the first with this name: its permissions and name.
 * 1 found, 0 none, -errno. */
struct look_mapping {
    bool is_shared, is_deleted;
};
int look_mapping(const struct look *look, const struct look_task *task, uint64_t address, const char *name,
                 struct look_mapping *ret_mapping);
