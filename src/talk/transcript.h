/* The transcript of a talk: both directions with their times, appended to a file. See spile_talk.h.
 *
 * An entry is a line with its end; or what there is of one when the other side begins to speak, so that entries stand
 * in the order in which things were said. A file that takes nothing (a full disk) costs entries and nothing else: the
 * talk goes on, is told once, and the hole is noted as soon as the file takes something again.
 */
#pragma once

#include "talk/lines.h"
#include "talk/record.h"

/* What went one way and makes no whole line yet. */
struct transcript_pending {
    struct lines lines;
    struct buffer bytes;
    struct timespec since; /* its first byte */
};

struct transcript {
    int fd;
    bool is_json;
    struct codec codec;                   /* strict */
    struct transcript_pending pending[2]; /* of each enum record_way */
    struct text entries;                  /* to be written */
    uint64_t entry_count;
    /* a hole */
    uint64_t missing, all_missing; /* entries: in this one, and ever */
    int error;                     /* why, the first time; stays */
    bool is_torn;                  /* the last entry is there in part */
    bool is_news;                  /* it has begun, and was not told */
    /* secrets */
    struct secrets secrets;
    bool is_fresh;    /* one was said, and no whole line has come since: what comes may be its echo */
    uint64_t written; /* bytes that went out */
    struct transcript_span {
        uint64_t start, end;
    } * spans; /* of them, that are secret: those that are to come, in order */
    size_t span_count, span_capacity;
    bool is_masked; /* the first span's mask is noted */
};

/* -EINVAL, -ENXIO and whatever open says. */
int transcript_open(struct transcript **ret_transcript, const char *path, bool is_json, const char *encoding);
/* Notes what is left. */
struct transcript *transcript_close(struct transcript *transcript);
/* In the child of a fork: the file is the parent's. */
void transcript_abandon(struct transcript *transcript);

/* All of these take NULL for "there is none". Bytes went one way; they are noted at the next flush. */
void transcript_bytes(struct transcript *transcript, enum record_way way, const void *data, size_t size);
void transcript_event(struct transcript *transcript, const char *event, const char *detail);
/* The line is secret from now on, and so are the bytes of what is written from `start` on, up to `end`, which is said
 * once they are queued. */
int transcript_secret_begin(struct transcript *transcript, const char *line, uint64_t start);
void transcript_secret_end(struct transcript *transcript, uint64_t end);
/* What is queued and never goes out any more is counted as if it had not been there. */
void transcript_dropped(struct transcript *transcript);
/* Notes what there is of lines that are not whole: nothing more comes. */
void transcript_settle(struct transcript *transcript);
/* Writes whole entries. */
void transcript_flush(struct transcript *transcript);
