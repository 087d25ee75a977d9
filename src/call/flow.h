/* The streams of a running call: which there are, what feeds them, where they go, and what it means when all stands
 * still. */
#pragma once

#include "call/run.h"
#include "stream/feed.h"

enum flow_target { FLOW_NONE, FLOW_MEMORY, FLOW_DELIVERY, FLOW_CALLBACK };

/* One stream of the call. */
struct flow {
    spile_call *call;
    struct flow *next;
    char *name;
    struct stream *stream; /* NULL before its group starts */
    /* direct: a pipe of the kernel, of which we hold both sides while programs may still open it */
    bool is_direct;
    int direct_read, direct_write;
    uint64_t direct_inode;
    struct stream_info info; /* once the stream is gone */
    struct item *item;       /* what was given, or what comes out */
    int producer;            /* a program, or PLAN_GIVEN */
    int *readers;            /* of each program: its reader's number, or -1 */
    struct feed feed;        /* of what is given and not held */
    /* where it comes out */
    struct stream_sink sink;
    enum flow_target target;
    struct delivery delivery;
    struct bytes kept; /* in memory; the item's once no byte moves any more */
    bool is_end_told, sink_waits_for_resume;
};

/* Makes the streams of a group, before its programs start. */
int flow_begin(spile_call *call, size_t group, spile_error **ret_error);
/* Once they have been asked to start: what the host can do meanwhile. */
void flow_prepare(spile_call *call);
/* The two ends of the bar behind a program: a pipe, or, where a ring leads through it, a stream without a name. */
int flow_join(spile_call *call, size_t program, int *ret_in, int *ret_out);
/* A program has exited. `is_accepted`: an output stream that it never opened is an error. */
void flow_exited(spile_call *call, size_t program);
int flow_check(spile_call *call, size_t program, spile_error **ret_error);
/* Whether something still flows to the host. */
bool flow_is_busy(const spile_call *call);
/* Callbacks that had nothing, or took nothing, can go on. */
void flow_resume(spile_call *call);
/* Hands what the streams brought to the host's side over to the items and deliveries. */
int flow_deliver(spile_call *call, spile_error **ret_error);
/* No byte moves any more. */
void flow_stop(spile_call *call);
void flow_abandon(spile_call *call);
void flow_free(spile_call *call);
/* Opens a program's end for a standard stream that is tied to it. */
int flow_open_tied(spile_call *call, const char *path, bool for_writing);
struct flow *flow_find(const spile_call *call, const char *name);

/* direct.c */
int direct_begin(struct flow *flow);
/* A program's end for a standard stream that is tied to it. */
int direct_open(spile_call *call, const char *path, bool for_writing);
/* Wakes opens of one whose other side is gone for good. Returns whether it did. */
bool direct_poke(spile_call *call, uint64_t inode, bool for_writing);

/* standstill.c */
/* Bytes moved, or a program ended: looks again later. */
void standstill_watch(spile_call *call);
void standstill_stop(spile_call *call);
