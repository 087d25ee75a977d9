/* Where lines end, and where a delimiter stands, in bytes that come piece by piece: what was looked at once is not
 * looked at again, and any cutting into pieces gives the same lines.
 */
#pragma once

#include "talk/buffer.h"
#include "talk/codec.h"

struct lines {
    const struct codec *codec;
    spile_talk_ends ends;
    uint64_t taken; /* bytes taken from the start of the buffer so far: what the places below count from */
    /* The next LF and CR at or behind the start, as far as was looked. */
    uint64_t lf_at, cr_at;     /* UINT64_MAX: none before... */
    uint64_t lf_seen, cr_seen; /* ...this place */
    uint64_t delimiter_seen;   /* the delimiter that lines_search looks for does not begin before */
    bool swallows_lf; /* a CR that ended a line was the last byte there was: an LF that comes next belongs to it */
};

void lines_init(struct lines *lines, const struct codec *codec, spile_talk_ends ends);
/* What comes next is the start of another stream. */
void lines_restart(struct lines *lines);
/* The first line: true where its end is there, with the bytes of the line and those of its end. */
bool lines_find(struct lines *lines, const struct buffer *buffer, size_t *ret_size, size_t *ret_end_size);
/* Takes bytes; `ends_line`: the last of them are a line's end. */
void lines_take(struct lines *lines, struct buffer *buffer, size_t size, bool ends_line);
/* Bytes were put before the first. */
void lines_put_back(struct lines *lines, size_t size);
/* Bytes have come behind what there was: drops an LF that belongs to a line that was taken. */
void lines_arrived(struct lines *lines, struct buffer *buffer);

/* A delimiter in the bytes of the encoding; '\n' in it is any line's end. */
struct delimiter {
    struct text bytes; /* between line ends */
    size_t *pieces;    /* where a line's end stands: offsets in `bytes`, rising */
    size_t piece_count;
};
int delimiter_init(struct delimiter *delimiter, struct codec *codec, const char *text);
void delimiter_done(struct delimiter *delimiter);
enum match { MATCH_NO, MATCH_YES, MATCH_BEGUN /* it may still become one */ };
/* Whether it stands at `place` of these bytes; *ret_size is how long it is there. */
enum match delimiter_match(const struct lines *lines, const struct delimiter *delimiter, const char *data, size_t size,
                           size_t place, size_t *ret_size);
/* The first place where it stands. Begins anew after lines_take, or lines->delimiter_seen = 0. */
bool lines_search(struct lines *lines, const struct buffer *buffer, const struct delimiter *delimiter,
                  size_t *ret_place, size_t *ret_size);
