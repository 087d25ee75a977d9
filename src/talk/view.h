/* What an expect looks at: the text of what has arrived, which grows. As long as the bytes are text as they stand, it
 * is the buffer itself; else it is decoded, block by block, no further than it is looked at. Before it stands a piece
 * of what was taken last, where that is asked for.
 */
#pragma once

#include "talk/talk.h"

struct view_mark { /* that byte of what arrived is this one of the text */
    size_t raw, text;
};

struct view {
    spile_talk *talk;
    bool is_bytes;    /* nothing is decoded */
    bool is_raw;      /* it is the buffer's own */
    bool is_whole;    /* all that has arrived is in it, but for half a character */
    bool joins_ends;  /* CR, LF and CRLF are one '\n' */
    bool was_cr;      /* the last line's end was a CR: an LF that follows belongs to it */
    size_t bad_bytes; /* so many that come next are no text, under SPILE_TALK_STRICT */
    uint64_t base;    /* lines.taken when it began */
    size_t raw_size;  /* bytes of what has arrived that are in it */
    size_t step;      /* how many are taken in next */
    size_t behind;    /* bytes of `text` that stand before its start */
    struct text text;
    struct view_mark *marks;
    size_t mark_count, mark_capacity;
};

int view_init(struct view *view, spile_talk *talk, bool is_bytes, bool looks_behind);
void view_done(struct view *view);
/* The text, its start at 0; view->behind bytes stand before it. Good until the talk steps. */
const char *view_data(const struct view *view);
size_t view_size(const struct view *view);
/* Takes in a block more. 1: it has grown; 0: that is all for now. `is_final`: no more will come. */
int view_extend(struct view *view, bool is_final);
/* How many of the bytes that arrived make up this much of the text. -ENOMEM. What they give beyond it, as of a byte
 * that is no text and was escaped, is added to `rest`. */
ssize_t view_raw(struct view *view, size_t size, struct text *rest);
