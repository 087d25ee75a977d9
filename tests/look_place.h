/* What the tests of looks share: a cell with named pipes of the host's, programs in it, and looks at them. Aborts the
 * test where the ground under it gives way. */
#pragma once

#include "cell_host.h"

enum { PATIENCE_S = 60, NEVER_LOOKS = 20, TOKEN_LOOKS = 500 };

/* Three named pipes of ours: `in`, empty, which we hold; `full`; `shut`, which nobody holds. */
struct place {
    struct host host;
    struct lease lease;
    int in, full;
    struct cell_inode inodes[4];
    size_t inode_count;
};

/* The last answer. Of one test at a time: each runs in a process of its own. */
struct seen {
    bool is_there, quiet, proved;
    struct cell_wait waits[200];
    size_t count, total;
    bool is_after_end; /* of `awaited_end`, where that is set */
};
extern struct seen seen;
extern const struct job *awaited_end;
void on_answer(struct cell_owner *owner, const struct cell_look *look);

/* False: the setting is not to be had here. */
bool place_open(struct place *place, int setting);
void place_close(struct place *place);
void place_lease(struct place *place);
void place_release(struct place *place);

/* False: there is no memory for it. */
bool look_try(struct place *place);
void look(struct place *place);
/* Looks until it is quiet, or proved, for as long as anybody would wait. */
void look_until(struct place *place, const bool *flag, const char *what);
/* Until it is proved and one waits for this (inode 0: whatever it is); what was started may stand still on its way. */
const struct cell_wait *look_until_proved(struct place *place, enum cell_wait_kind kind, uint64_t inode,
                                          const char *what);
/* Looks some times: never proved; then until it is quiet, and somebody waits like that. */
void expect_no_proof(struct place *place, const char *act, enum cell_wait_kind kind);
const struct cell_wait *find_wait(enum cell_wait_kind kind);
/* The last answer, for people. */
const char *describe(void);

/* Of those that are built for the tests. */
const char *program_path(const char *name);
/* Starts a program in the directory of the pipes. */
void start(struct place *place, struct job *job, const char *path, char **argv, int input, int output);
void start_shell(struct place *place, struct job *job, const char *script);
/* Starts `stand` and waits until it is ready. False: it says that it can't. */
bool start_stand(struct place *place, struct job *job, const char *act, const char *file);

/* A test of one name for each setting. */
void add_test(Suite *suite, const TTest *test, const char *name);
