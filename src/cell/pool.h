/* A context from inside: its cells, idle and leased. The rings and lists are under the lock of base/forkguard.h; what a
 * cell itself holds belongs to whoever has leased it, and under the lock to the pool while it is idle.
 */
#pragma once

#include "base/forkguard.h"
#include "cell/cell.h"
#include "cell/cgroup.h"
#include "cell/ctx.h"
#include "cell/look.h"
#include "cell/tree.h"
#include "cell/wire.h"

enum cell_state {
    CELL_NEW,       /* nothing behind it yet */
    CELL_STARTING,  /* the helper runs; READY is to come */
    CELL_READY,     /* can be used */
    CELL_LIMITING,  /* LEASE was sent; READY is to come */
    CELL_RESETTING, /* RESET was sent; READY is to come */
    CELL_PLAIN,     /* has no supervisor: SPILE_CONTAINMENT_NONE */
    CELL_BROKEN,    /* its supervisor is gone, or no longer listened to */
    CELL_ENDING,    /* QUIT was sent or it was killed; waits to be gone */
    CELL_ABANDONED, /* belongs to the parent of a fork */
    CELL_STATE_COUNT,
};

struct cell {
    spile_ctx *ctx;
    struct cell *previous, *next; /* all of the context */
    struct cell *next_idle;       /* in the pool or among those that end */
    enum cell_state state;
    spile_containment containment; /* known from READY on */
    int socket, root;              /* the supervisor's */
    int pidfd, keeper;             /* processes: the supervisor, and who ends after it; either may be -1 */
    pid_t supervisor;              /* as the host sees it; 0: unknown, or it can't be bound to a processor */
    char *path, *notice;
    uid_t user; /* whose programs it runs: those the host had when it was started */
    gid_t group;
    uint32_t request; /* the READY that is awaited */
    uint64_t reset_ns;
    bool is_clean;         /* no process in it */
    cgroup_path groups[2]; /* of the supervisor, to be removed where neither it nor its keeper can; "": none */
    /* of a lease */
    spile_loop *loop;
    struct cell_owner *owner;
    struct loop_fd source;
    struct loop_timer timer;
    spile_error *error; /* to be told by the timer: the lease failed */
    struct proc *procs;
    uint32_t last_id;
    struct cell_wants wants;
    struct cell_means means;
    bool is_releasing, is_breaking;
    uint64_t alone_since_ns; /* the last program was started with nothing beside it; 0: it was not */
    struct tree tree;        /* PLAIN */
    /* of a look under way */
    void (*answer)(struct cell_owner *owner, const struct cell_look *look); /* NULL: none is */
    uint32_t look_id;
    struct loop_timer look_timer; /* PLAIN: looks from it */
    struct cell_inode *inodes;    /* for that, by then */
    size_t inode_count;
};

struct spile_ctx {
    struct forkguard_node guard;
    spile_containment containment;
    unsigned idle_limit;
    char *cell_path;
    struct cell ring; /* of all its cells: only the links are used */
    struct cell *idle, *ending;
    unsigned cell_count, idle_count;
    char *helper; /* where spile-cell was found */
    unsigned processors;
    unsigned brief_count; /* of the last programs that ran alone in a call: how many took but a moment */
    unsigned busy_looks;  /* how many in a row found more who want to run than processors */
    uint64_t next_look_ns;
    spile_loop *loops[8];
    size_t loop_count;
};

enum { CELL_RESET_TIMEOUT_S = 5, CELL_BRIEF_ENOUGH = 2 };

/* The one setter of a cell's state; asserts that the step is one the table allows. */
void cell_set_state(struct cell *cell, enum cell_state state);
/* A cell with nothing behind it, in the context's ring. NULL: no memory. */
struct cell *pool_new_cell(spile_ctx *ctx);
/* Starts a supervisor for it: NEW or BROKEN becomes STARTING. */
int pool_start(struct cell *cell, spile_error **ret_error);
/* An idle cell, best a READY one, else one that soon is (RESETTING, STARTING); NULL: none. */
struct cell *pool_take(spile_ctx *ctx);
/* Takes a cell back that is READY, RESETTING or STARTING; one too many is ended. */
void pool_give(struct cell *cell);
/* Ends the supervisor, if there is one, and frees the cell once it is gone; `kill`: it does not listen. */
void pool_end(struct cell *cell, bool kill);
/* Removes what a supervisor and its keeper that were killed could not. */
void cell_remove_groups(const struct cell *cell);
/* Closes all that is behind it, and frees it. */
void pool_free_cell(struct cell *cell);
void cell_close(struct cell *cell);
/* In the child of a fork. */
void cell_let_go(struct cell *cell);

/* Sends what a supervisor takes as soon as it has time; waits where much is under way, for a bounded time. */
int cell_send(struct cell *cell, const struct wire_header *header, const void *body, size_t size, const int *fds,
              size_t fd_count);
/* LOOKED came. False: it says what it may not. */
bool cell_take_look(struct cell *cell, const struct wire_message *message);
/* Nobody waits for an answer any more. */
void cell_end_look(struct cell *cell);

/* Before a program is sent that nothing else runs beside: binds the supervisor to the calling thread's processor, and
 * its loop with it, for the first moment. False: not now. */
bool cell_gather(struct cell *cell);
/* Ends that, before anything else is sent. */
void cell_scatter(struct cell *cell);

/* Asks for READY: LEASE or RESET. */
int cell_request(struct cell *cell, enum wire_type type);
/* Takes what READY says and brings. 1: it is the one awaited, the cell is READY; 0: an older one; -errno. */
int cell_take_ready(struct cell *cell, struct wire_message *message);
