/* Lines in bytes: see lines.h.
 *
 * A unit is as many bytes as a line's end has in the encoding, and stands at a multiple of that from the start of the
 * stream: 0x0a may well be half of another character. */
#include "talk/lines.h"

#define NONE UINT64_MAX

void lines_init(struct lines *lines, const struct codec *codec, spile_talk_ends ends) {
    *lines = (struct lines){.codec = codec, .ends = ends, .lf_at = NONE, .cr_at = NONE};
}

void lines_restart(struct lines *lines) {
    const uint64_t taken = lines->taken; /* a place that was not there before, and the start of a unit */
    lines_init(lines, lines->codec, lines->ends);
    lines->taken = taken + CODEC_UNIT_MAX - taken % CODEC_UNIT_MAX;
}

/* Offset of the first such unit at or behind `from`, or `size` where there is none. */
static size_t find_unit(const struct lines *lines, const unsigned char *unit, const char *data, size_t from,
                        size_t size) {
    const size_t width = lines->codec->unit;
    if (width == 1) {
        const char *found = from < size ? memchr(data + from, unit[0], size - from) : NULL;
        return found ? (size_t)(found - data) : size;
    }
    from += (size_t)((width - (lines->taken + from) % width) % width); /* to the start of a unit */
    for (; from + width <= size; from += width)
        if (memcmp(data + from, unit, width) == 0)
            return from;
    return size;
}

/* Where the next such unit is, looked for only where it was not yet. */
static uint64_t next_unit(const struct lines *lines, const unsigned char *unit, const char *data, size_t size,
                          uint64_t *at, uint64_t *seen) {
    const uint64_t start = lines->taken, end = start + size;
    if (*at != NONE && *at >= start)
        return *at;
    uint64_t from = MAX(*seen, start);
    size_t found = from < end ? find_unit(lines, unit, data, (size_t)(from - start), size) : size;
    *at = found < size ? start + found : NONE;
    /* A unit that is there in part only is looked at again. */
    *seen = found < size ? *at : end - end % lines->codec->unit;
    return *at;
}

bool lines_find(struct lines *lines, const struct buffer *buffer, size_t *ret_size, size_t *ret_end_size) {
    const struct codec *codec = lines->codec;
    const size_t size = buffer_size(buffer), unit = codec->unit;
    if (size == 0)
        return false;
    const char *data = buffer_start(buffer);
    uint64_t lf = NONE, cr = NONE;
    if (lines->ends != SPILE_TALK_ENDS_CR)
        lf = next_unit(lines, codec->lf, data, size, &lines->lf_at, &lines->lf_seen);
    if (lines->ends == SPILE_TALK_ENDS_ANY || lines->ends == SPILE_TALK_ENDS_CR)
        cr = next_unit(lines, codec->cr, data, size, &lines->cr_at, &lines->cr_seen);
    while (lines->ends == SPILE_TALK_ENDS_CRLF && lf != NONE) {
        size_t place = (size_t)(lf - lines->taken);
        if (place >= unit && memcmp(data + place - unit, codec->cr, unit) == 0) {
            *ret_size = place - unit;
            *ret_end_size = 2 * unit;
            return true;
        }
        lines->lf_at = NONE;
        lines->lf_seen = lf + unit;
        lf = next_unit(lines, codec->lf, data, size, &lines->lf_at, &lines->lf_seen);
    }
    if (lf == NONE && cr == NONE)
        return false;
    *ret_size = (size_t)(MIN(lf, cr) - lines->taken);
    *ret_end_size = cr < lf && cr + unit == lf ? 2 * unit : unit;
    return true;
}

void lines_arrived(struct lines *lines, struct buffer *buffer) {
    const size_t unit = lines->codec->unit;
    if (!lines->swallows_lf || buffer_size(buffer) < unit)
        return;
    lines->swallows_lf = false;
    if (memcmp(buffer_start(buffer), lines->codec->lf, unit) == 0) {
        buffer_take(buffer, unit);
        lines->taken += unit;
    }
}

void lines_take(struct lines *lines, struct buffer *buffer, size_t size, bool ends_line) {
    const size_t unit = lines->codec->unit;
    if (ends_line && lines->ends == SPILE_TALK_ENDS_ANY && size >= unit &&
        memcmp(buffer_start(buffer) + size - unit, lines->codec->cr, unit) == 0)
        lines->swallows_lf = true;
    buffer_take(buffer, size);
    lines->taken += size;
    lines->delimiter_seen = 0;
    lines_arrived(lines, buffer);
}

void lines_put_back(struct lines *lines, size_t size) {
    lines->taken -= MIN(lines->taken, (uint64_t)size);
    lines->lf_at = lines->cr_at = NONE;
    lines->lf_seen = lines->cr_seen = lines->delimiter_seen = 0;
    lines->swallows_lf = false;
}

/* ------------------------------------------------------------------------------ delimiters */

void delimiter_done(struct delimiter *delimiter) {
    text_done(&delimiter->bytes);
    free(delimiter->pieces);
    *delimiter = (struct delimiter){0};
}

static int delimiter_fill(struct delimiter *delimiter, struct codec *codec, const char *text) {
    size_t capacity = 0, bad;
    for (;; text++) {
        size_t run = strcspn(text, "\n");
        int result = codec_encode(codec, text, run, "", &delimiter->bytes, &bad);
        text += run;
        if (result < 0 || !*text)
            return result;
        result = ARRAY_RESERVE(delimiter->pieces, delimiter->piece_count, capacity);
        if (result < 0)
            return result;
        delimiter->pieces[delimiter->piece_count++] = delimiter->bytes.size;
    }
}

int delimiter_init(struct delimiter *delimiter, struct codec *codec, const char *text) {
    *delimiter = (struct delimiter){0};
    int result = delimiter_fill(delimiter, codec, text);
    if (result >= 0 && delimiter->bytes.size == 0 && delimiter->piece_count == 0)
        result = -EINVAL;
    if (result < 0)
        delimiter_done(delimiter);
    return result;
}

/* A line's end at `place`: its bytes, 0 where there is none, -1 where it may be begun. */
static int match_end(const struct lines *lines, const char *data, size_t size, size_t place) {
    const size_t unit = lines->codec->unit;
    if (size - place < unit)
        return -1;
    bool is_lf = memcmp(data + place, lines->codec->lf, unit) == 0;
    bool is_cr = memcmp(data + place, lines->codec->cr, unit) == 0;
    if (is_lf)
        return lines->ends == SPILE_TALK_ENDS_ANY || lines->ends == SPILE_TALK_ENDS_LF ? (int)unit : 0;
    if (!is_cr || lines->ends == SPILE_TALK_ENDS_LF)
        return 0;
    if (lines->ends == SPILE_TALK_ENDS_CR)
        return (int)unit;
    bool has_next = size - place >= 2 * unit;
    if (has_next && memcmp(data + place + unit, lines->codec->lf, unit) == 0)
        return (int)(2 * unit);
    return lines->ends == SPILE_TALK_ENDS_ANY ? (int)unit : has_next ? 0 : -1;
}

enum match delimiter_match(const struct lines *lines, const struct delimiter *delimiter, const char *data, size_t size,
                           size_t place, size_t *ret_size) {
    size_t at = place, done = 0;
    for (size_t i = 0; i <= delimiter->piece_count; i++) {
        size_t run = (i < delimiter->piece_count ? delimiter->pieces[i] : delimiter->bytes.size) - done;
        size_t there = MIN(run, size - at);
        if (there && memcmp(data + at, delimiter->bytes.data + done, there) != 0)
            return MATCH_NO;
        if (there < run)
            return MATCH_BEGUN;
        done += run;
        at += run;
        if (i == delimiter->piece_count)
            break;
        int end = match_end(lines, data, size, at);
        if (end <= 0)
            return end < 0 ? MATCH_BEGUN : MATCH_NO;
        at += (size_t)end;
    }
    *ret_size = at - place;
    return MATCH_YES;
}

bool lines_search(struct lines *lines, const struct buffer *buffer, const struct delimiter *delimiter,
                  size_t *ret_place, size_t *ret_size) {
    const size_t size = buffer_size(buffer), unit = lines->codec->unit;
    const char *data = size ? buffer_start(buffer) : "";
    /* Where every match has the same first byte, jump to it. */
    const bool jumps = unit == 1 && (delimiter->piece_count == 0 || delimiter->pieces[0] > 0);
    size_t place = lines->delimiter_seen > lines->taken ? (size_t)(lines->delimiter_seen - lines->taken) : 0;
    for (; place < size; place++) {
        if (jumps) {
            const char *next = memchr(data + place, delimiter->bytes.data[0], size - place);
            place = next ? (size_t)(next - data) : size;
            if (!next)
                break;
        } else if ((lines->taken + place) % unit != 0) {
            continue;
        }
        enum match match = delimiter_match(lines, delimiter, data, size, place, ret_size);
        if (match == MATCH_YES) {
            *ret_place = place;
            return true;
        }
        if (match == MATCH_BEGUN)
            break;
    }
    lines->delimiter_seen = lines->taken + place;
    return false;
}
