/* Regular expressions: see regex.h.
 *
 * PCRE2's hard partial matching says whether more text could change the outcome. Where it can't, no match begins in
 * what was looked at (`from` moves on), or the match stands for good. Where it can, `from` is where that match has
 * begun, and everything from there on is looked at again when more has come.
 */
#include "talk/regex.h"

enum { SMALL = 16 << 10, WINDOW_LEAST = 16, STACK_MAX = 16 << 20 };
#define WASTE_MAX (UINT64_C(64) << 20)

static size_t next_character(const struct regex_text *text, size_t place) {
    for (place++; !text->is_bytes && place < text->size && ((unsigned char)text->data[place] & 0xc0) == 0x80;)
        place++;
    return place;
}

static size_t character_start(const struct regex_text *text, size_t place) {
    while (!text->is_bytes && place > 0 && place < text->size && ((unsigned char)text->data[place] & 0xc0) == 0x80)
        place--;
    return place;
}

static int code_of(int result) {
    switch (result) {
    case PCRE2_ERROR_MATCHLIMIT:
    case PCRE2_ERROR_DEPTHLIMIT:
    case PCRE2_ERROR_HEAPLIMIT:
    case PCRE2_ERROR_JIT_STACKLIMIT:
        return -EOVERFLOW;
    case PCRE2_ERROR_NOMEMORY:
        return -ENOMEM;
    default:
        return -EINVAL;
    }
}

/* 1, 0, PCRE2_ERROR_PARTIAL, or -errno - 1000, which is none of PCRE2's. */
enum { NOT_PCRE2 = -1000 };
static int match(struct regex_means *means, struct regex_scan *scan, const struct regex_text *text, size_t size,
                 size_t from, uint32_t flags) {
    const size_t behind = scan->pattern->looks_behind ? text->behind : 0;
    PCRE2_SPTR subject = (PCRE2_SPTR)text->data - behind;
    if (!text->is_bytes)
        flags |= PCRE2_NO_UTF_CHECK;
    int result = pcre2_match(scan->pattern->code, subject, size + behind, from + behind, flags, scan->found,
                             means->limits);
    if (result == PCRE2_ERROR_JIT_STACKLIMIT && !means->stack) {
        means->stack = pcre2_jit_stack_create(32 << 10, STACK_MAX, means->patterns->memory);
        if (!means->stack)
            return NOT_PCRE2 - ENOMEM;
        pcre2_jit_stack_assign(means->limits, NULL, means->stack);
        result = pcre2_match(scan->pattern->code, subject, size + behind, from + behind, flags, scan->found,
                             means->limits);
    }
    if (result > 0 || result == PCRE2_ERROR_PARTIAL)
        return MIN(result, 1);
    return result == PCRE2_ERROR_NOMATCH ? 0 : NOT_PCRE2 + code_of(result);
}

void regex_place(const struct regex_scan *scan, const struct regex_text *text, size_t *ret_start, size_t *ret_end) {
    const size_t *offsets = pcre2_get_ovector_pointer(scan->found);
    const size_t behind = scan->pattern->looks_behind ? text->behind : 0;
    *ret_start = offsets[0] - behind;
    *ret_end = offsets[1] - behind;
}

/* ------------------------------------------------------------------------------ lines */

/* The first line that ends within `size` bytes: where it ends, and where the next one begins. */
static bool next_line(const struct regex_text *text, size_t from, size_t size, size_t *ret_end, size_t *ret_next) {
    const char *end = from < size ? memchr(text->data + from, '\n', size - from) : NULL;
    if (!end)
        return false;
    *ret_end = *ret_next = (size_t)(end - text->data);
    *ret_next += 1;
    if (*ret_end > from && text->data[*ret_end - 1] == '\r')
        *ret_end -= 1;
    return true;
}

/* One line, as a subject of its own. */
static int look_in_line(struct regex_means *means, struct regex_scan *scan, const struct regex_text *text, size_t end) {
    const struct regex_text line = {
        .data = text->data + scan->from, .size = end - scan->from, .is_bytes = text->is_bytes};
    bool is_start = scan->from > 0 || !text->is_mid_line;
    int result = match(means, scan, &line, line.size, 0, is_start ? 0 : PCRE2_NOTBOL);
    if (result == 1) {
        size_t *offsets = pcre2_get_ovector_pointer(scan->found);
        for (uint32_t i = 0; i < 2 * scan->pattern->groups; i++)
            if (offsets[i] != PCRE2_UNSET)
                offsets[i] += scan->from;
    }
    return result;
}

static int look_in_lines(struct regex_means *means, struct regex_scan *scan, const struct regex_text *text,
                         size_t size) {
    size_t end, next;
    while (next_line(text, scan->from, size, &end, &next)) {
        int result = look_in_line(means, scan, text, end);
        if (result != 0) {
            scan->seen = next; /* where it is complete */
            return result;
        }
        scan->from = next;
    }
    scan->seen = size;
    return 0;
}

/* ------------------------------------------------------------------------------ looking */

/* A match that began at `from` has outgrown the window: the next place. */
static int give_up_start(struct regex_scan *scan, const struct regex_text *text, size_t limit) {
    scan->wasted += limit - scan->from;
    scan->from = next_character(text, scan->from);
    return scan->wasted > WASTE_MAX + 16 * (uint64_t)limit ? -EOVERFLOW : 0;
}

static int look(struct regex_means *means, struct regex_scan *scan, const struct regex_text *text, size_t size,
                uint32_t flags) {
    const uint64_t window = MAX(means->window, (uint64_t)WINDOW_LEAST);
    for (;;) {
        const size_t whole = size - MIN(size, scan->from) > window ? scan->from + (size_t)window : size;
        const size_t limit = whole < size ? character_start(text, whole) : size;
        int result = match(means, scan, text, limit, scan->from, flags);
        if (result == 1)
            return 1;
        if (result == 0) {
            scan->is_partial = false;
            scan->from = limit;
        } else if (result == PCRE2_ERROR_PARTIAL) {
            size_t start, end, before = scan->from;
            regex_place(scan, text, &start, &end);
            scan->is_partial = true;
            scan->from = MAX(start, before);
            if (scan->from == before && limit < size && give_up_start(scan, text, limit) < 0)
                return -EOVERFLOW;
        } else {
            return result - NOT_PCRE2;
        }
        if (limit == size)
            break;
    }
    scan->seen = size;
    return 0;
}

int regex_look(struct regex_means *means, struct regex_scan *scan, const struct regex_text *text, size_t size,
               bool is_all) {
    const spile_pattern_mode mode = scan->pattern->mode;
    if (mode == SPILE_PATTERN_LINE) {
        int result = look_in_lines(means, scan, text, size);
        return result < NOT_PCRE2 / 2 ? result - NOT_PCRE2 : result;
    }
    return look(means, scan, text, size,
                mode == SPILE_PATTERN_EAGER && is_all ? PCRE2_PARTIAL_SOFT : PCRE2_PARTIAL_HARD);
}

int regex_settle(struct regex_means *means, struct regex_scan *scan, const struct regex_text *text, bool is_end) {
    int result;
    if (scan->pattern->mode != SPILE_PATTERN_LINE)
        result = match(means, scan, text, text->size, scan->from, 0);
    else if (is_end && scan->from < text->size)
        result = look_in_line(means, scan, text, text->size);
    else
        return 0;
    return result < NOT_PCRE2 / 2 ? result - NOT_PCRE2 : result;
}

int regex_completion(struct regex_means *means, const struct regex_scan *before, const struct regex_text *text,
                     size_t size, size_t *ret_completion) {
    size_t low = MIN(before->seen, size), high = size; /* not complete with `low`, or not known; with `high` it is */
    if (before->pattern->mode == SPILE_PATTERN_LINE) {
        struct regex_scan scan = *before;
        int result = regex_look(means, &scan, text, size, false);
        *ret_completion = scan.seen;
        return MIN(result, 0);
    }
    while (low < high) {
        size_t middle = character_start(text, low + (high - low) / 2);
        struct regex_scan scan = *before;
        int result = regex_look(means, &scan, text, middle, false);
        if (result < 0)
            return result;
        if (result > 0)
            high = middle;
        else
            low = next_character(text, middle);
    }
    *ret_completion = high;
    struct regex_scan scan = *before;
    int result = regex_look(means, &scan, text, size, false); /* the offsets of the match again */
    return MIN(result, 0);
}

bool regex_can_wait(const struct regex_scan *scan, size_t size) {
    const size_t known = scan->seen - MIN(scan->seen, scan->from);
    return scan->is_partial && scan->pattern->mode != SPILE_PATTERN_LINE && known > SMALL &&
           size - scan->from < known + known / 4;
}
