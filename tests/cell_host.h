/* What the tests of cells share: a host that leases cells, starts programs and waits for what is told of them. Aborts
 * the test where the ground under it gives way. */
#pragma once

#include "cell/pool.h"

#include <check.h>

struct setting {
    const char *name;
    spile_containment containment;
    uid_t user;
};
extern const struct setting settings[];
extern const int setting_count;

struct host {
    spile_ctx *ctx;
    spile_loop *loop;
    struct loop_user user;
};

struct lease {
    struct cell_owner owner;
    struct cell *cell;
    bool is_ready, is_broken, is_released;
    spile_error *error;
};

struct job {
    struct proc proc;
    bool is_started, is_failed, is_ended;
    enum proc_stage stage;
    int error_number, status;
    struct proc_usage usage;
    bool is_alone;
    int64_t pid;
};

/* Becomes the user of the setting, and makes a context of its kind. False: it is not to be had here. */
bool host_open(struct host *host, int setting);
void host_close(struct host *host);
/* Steps the loop until the flag is set. */
void host_wait(struct host *host, const bool *flag);

int lease_try(struct host *host, struct lease *lease, uint64_t file_bytes);
void lease_open(struct host *host, struct lease *lease, uint64_t file_bytes);
void lease_close(struct host *host, struct lease *lease);

/* The helper program with these words; standard output goes to `output` (-1: nowhere). */
int job_try(struct lease *lease, struct job *job, int output, const char *const *words);
#define JOB_START(lease, job, output, ...) \
    ck_assert_int_eq(job_try(lease, job, output, (const char *const[]){__VA_ARGS__, NULL}), 0)
void job_init(struct job *job);
void job_wait(struct host *host, struct job *job);
/* All that comes out of a pipe until its last writer is gone. */
char *pipe_read(int fd);

/* Runs the suite as TAP; the exit status of the test program. */
int run_tests(Suite *suite);

const char *act_path(void);
size_t fd_count(void);
/* The supervisor's process, as we see it; -1: none. */
pid_t supervisor_pid(const struct cell *cell);
/* Waits until the process of a pidfd is gone; false: it stays. */
bool pidfd_ends(int pidfd);
