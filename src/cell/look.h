/* Whether the programs of a cell stand still, and whether they must: two full looks at every thread of every process.
 *
 * Quiet: both looks saw the same threads, all asleep, and none ran in between. Proved: quiet, and nothing but the host
 * can end it: each thread waits without a time-out, in a system call of a closed list, for what only the cell or the
 * host can bring. Quiet may be said of programs that sleep or wait for the world outside; proved never.
 */
#pragma once

#include "base/util.h"
#include "spile.h"

enum cell_wait_kind {
    CELL_WAIT_NONE, /* it runs */
    CELL_WAIT_OPEN, /* for the other side of a named pipe to be opened */
    CELL_WAIT_READ,
    CELL_WAIT_WRITE,
    CELL_WAIT_POLL,
    CELL_WAIT_CHILD,
    CELL_WAIT_LOCK,
    CELL_WAIT_SLEEP,
    CELL_WAIT_OTHER, /* anything else, or not to be known */
};

/* One thread, as it was seen. */
struct cell_wait {
    uint32_t proc_id;       /* of the program it descends from, as in proc->id; 0: not known */
    int32_t pid, tid;       /* as programs of the cell see them */
    uint8_t kind;           /* enum cell_wait_kind */
    bool for_writing;       /* OPEN, READ, WRITE, POLL: the side of the pipe it holds or wants */
    bool is_provable;       /* only the cell or the host can end this wait */
    char name[16];          /* the thread's name */
    uint64_t device, inode; /* of the first pipe or named pipe it waits for; 0: none */
};

/* A pipe or named pipe that the host knows. */
struct cell_inode {
    uint64_t device, inode;
    bool is_foreign; /* false: the host holds its other end, and has nothing to move; true: a stranger holds it */
};

struct cell_look {
    bool quiet, proved;
    const struct cell_wait *waits; /* until the callback returns; those for pipes first */
    size_t count, total;           /* given here, and in all */
};

/* ------------------------------------------------------------------------------- for the supervisor and cell.c */

struct look_program {
    uint32_t id;
    pid_t pid;
};

/* Where to look. */
struct look_place {
    spile_containment containment;
    const struct look_program *programs; /* NONE: these and their descendants are all that is seen */
    size_t program_count;
    int root;         /* directory of the cell's files */
    const char *path; /* its path; not needed in a namespace, where nobody else can reach it */
    const struct cell_inode *inodes;
    size_t inode_count;
};

/* Looks, for some milliseconds at most. What can't be seen is neither quiet nor proved. */
void look_twice(const struct look_place *place, struct cell_wait *waits, size_t capacity, struct cell_look *ret_look);
