/* What the host and a supervisor say to each other, over a SOCK_SEQPACKET pair: one message a packet, a fixed header
 * and a body of NUL-terminated strings. Both come from one build; READY says the version all the same.
 *
 *   host: LEASE -> READY          limits what comes, or REFUSED: it can't
 *         SPAWN -> STARTED, EXITED or FAILED
 *         SIGNAL                  to every process in the cell
 *         LOOK -> LOOKED          whether all stand still
 *         RESET -> READY          kills everything, empties the root
 *         QUIT                    the same, and the supervisor ends
 *   A supervisor begins with READY or REFUSED.
 */
#pragma once

#include "cell/wants.h"
#include "proc/proc.h"

enum {
    WIRE_VERSION = 3,
    WIRE_BODY_MAX = 32 * 1024, /* a larger SPAWN has its body in a memfd, the last descriptor */
    WIRE_TEXT_MAX = 6 * 1024,  /* the body of what a supervisor says */
    WIRE_BEFORE_ARGV = 3,      /* strings of a SPAWN */
    WIRE_FD_MAX = 4,
};

enum wire_type {
    WIRE_LEASE = 1,
    WIRE_SPAWN,
    WIRE_SIGNAL,
    WIRE_RESET,
    WIRE_QUIT,
    WIRE_READY,
    WIRE_REFUSED,
    WIRE_STARTED,
    WIRE_FAILED,
    WIRE_EXITED,
    WIRE_LOOK,
    WIRE_LOOKED,
};

struct wire_spawn {
    uint32_t flags;
    uint32_t argv_count, envp_count;
    int32_t stdio[3];   /* which of the descriptors, or -1 */
    uint32_t in_memory; /* the body is in a memfd */
    uint64_t body_size;
    struct proc_limits limits;
};

struct wire_exited {
    int32_t status;
    uint32_t alone;
    int64_t pid; /* of one whose STARTED was not told (PROC_TELL_LATE) */
    struct proc_usage usage;
};

struct wire_header {
    uint32_t type;
    uint32_t id; /* of a program; of LEASE and RESET, which READY repeats (0: the first); of LOOK and LOOKED */
    union {
        struct cell_wants lease;
        struct wire_spawn spawn; /* body: path, cwd, place, argv..., envp... */
        struct {
            int32_t signal;
        } signal;
        struct {
            uint32_t count;
        } look; /* body: struct cell_inode... */
        struct {
            uint8_t quiet, proved;
            uint32_t count, total;
        } looked; /* body: struct cell_wait... */
        struct {
            uint32_t version, containment;
            uint8_t can_move; /* it and its programs may be bound to processors */
            struct cell_means means;
        } ready; /* body: path of the root, notice; descriptors: the root, a pidfd of the supervisor, at first
                  * one of its keeper. After LEASE none, but the paths of its control groups. */
        struct {
            int32_t number;
            uint32_t promise; /* which one can't be kept; 0: there is no cell at all */
        } refused;            /* body: what was refused */
        struct {
            int64_t pid;
        } started;
        struct {
            uint32_t stage;
            int32_t number;
        } failed;
        struct wire_exited exited;
    };
};

struct wire_message {
    struct wire_header header;
    char *body; /* the receiver's buffer; always NUL-terminated */
    size_t body_size;
    int fds[WIRE_FD_MAX]; /* -1 where taken */
    size_t fd_count;
    bool lost_fds; /* some did not fit in our table of descriptors */
    pid_t sender;  /* as the receiver sees it; 0: not asked for (SO_PASSCRED), or out of sight */
};
void wire_message_done(struct wire_message *message);

/* The body of a SPAWN: its size, with the counts of its strings; and its strings, into a buffer of that size. */
size_t wire_pack_size(const struct proc_spec *spec, struct wire_spawn *spawn);
void wire_pack(const struct proc_spec *spec, char *body);
/* Cuts it into its strings: path, cwd, place, argv, NULL, envp, NULL. NULL: malformed or no memory. */
char **wire_unpack(char *body, const struct wire_spawn *spawn);
/* Sends one message whole, or returns -errno: -EAGAIN, -EPIPE, ... */
int wire_send(int socket, const struct wire_header *header, const void *body, size_t size, const int *fds,
              size_t fd_count, int flags);
/* Receives one into a buffer of `capacity` + 1 bytes. Returns 1, 0 where the other side is gone, -EAGAIN, or -EBADMSG
 * for what is no whole message. */
int wire_receive(int socket, char *body, size_t capacity, struct wire_message *message, int flags);
