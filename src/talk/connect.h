/* How an endpoint is reached: what the files that do it share (connect.c, socket.c). */
#pragma once

#include "talk/talk.h"

#include <netdb.h>

struct resolver;

/* An endpoint on its way; in socket.c, where connect is the system's, it is called `way`. */
struct talk_connect {
    spile_talk *talk;
    struct loop_timer retry, deadline;
    uint64_t until_ns, retry_ns; /* when to give up; how long until the next attempt */
    spile_error *last;           /* why the last attempt failed */
    int fifo_fd;                 /* the one that is read, waiting for the other; -1: none */
    /* a socket */
    int socket_fd; /* -1: none */
    struct loop_fd socket;
    struct resolver *resolver;
    struct addrinfo *addresses, *address; /* all, and the one that is tried */
    bool is_seqpacket;
};

/* An attempt: 1 the channel is there, 0 it is under way (connect_done will be called), or -errno. */
int socket_connect_unix(struct talk_connect *connect, const char *path, spile_error **ret_error);
int socket_connect_tcp(struct talk_connect *connect, spile_error **ret_error);
void socket_stop(struct talk_connect *connect);

/* From inside a step: an attempt has succeeded or failed; takes the error over. */
void connect_done(struct talk_connect *connect, int result, spile_error *error);
