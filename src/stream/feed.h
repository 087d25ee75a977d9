/* What a descriptor, a path or a callback of the host's gives, on its way into a stream.
 *
 * Regular files are held by the stream, so that they can be read again; everything else is given as it comes, never
 * read ahead of what the stream has room for. The flags of the caller's descriptors stay as they are. Nothing here
 * blocks, but a callback that does.
 */
#pragma once

#include "stream/stream.h"

enum { FEED_BYTES = 64 << 10 };

struct feed {
    struct stream *stream;                                         /* NULL: not begun */
    void (*failed)(struct feed *feed, int number);                 /* reading failed */
    ssize_t (*read)(struct feed *feed, void *buffer, size_t size); /* a callback's; NULL: the descriptor is read */
    int fd;                                                        /* our own; -1: none */
    bool is_socket, is_feeding, is_ended, waits_for_resume;
    bool is_blocking;    /* a read may block: one for each event */
    bool is_event_first; /* even the first read needs one */
    bool is_ready;       /* there was one */
    struct loop_fd watch;
    struct loop_timer turn;
    char *pending; /* read, and not taken by the stream yet */
    size_t pending_start, pending_size;
};

/* Opens what is to be read: a description of our own where the caller's flags matter, else another descriptor. */
int feed_open_fd(struct feed *feed, int fd);
int feed_open_path(struct feed *feed, const char *path);
/* The stream's source is what was opened, or the callback. */
int feed_begin(struct feed *feed, struct stream *stream);
/* The stream has room again, or the callback has something. */
void feed_go_on(struct feed *feed);
/* Like feed_go_on, for a callback that said -EAGAIN. */
void feed_resume(struct feed *feed);
void feed_stop(struct feed *feed);
/* In the child of a fork: closes the descriptor, and that is all. */
void feed_abandon(struct feed *feed);
