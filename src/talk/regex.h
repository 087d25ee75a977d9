/* One regular expression on its way through a text that grows. */
#pragma once

#include "talk/patterns.h"

/* A text, whose start is at 0; `behind` bytes before it can be seen and are no part of a match. */
struct regex_text {
    const char *data;
    size_t size, behind;
    bool is_bytes;
    bool is_mid_line; /* its start is not that of a line */
};

struct regex_scan {
    const struct pattern *pattern;
    pcre2_match_data *found; /* offsets count from the data's start, behind included */
    size_t from;             /* no match begins before */
    size_t seen;             /* not complete with so much of the text */
    bool is_partial;         /* a match has begun at `from` */
    uint64_t wasted;         /* bytes that were looked at in vain */
};

struct regex_means { /* what they share */
    const spile_patterns *patterns;
    pcre2_match_context *limits;
    pcre2_jit_stack *stack; /* once the usual one was too small */
    uint64_t window;
};

/* Whether a match is complete within the first `size` bytes: 1, 0, or -EOVERFLOW, -ENOMEM, .... `is_all`: no more is
 * there right now, which matters to an eager one. */
int regex_look(struct regex_means *means, struct regex_scan *scan, const struct regex_text *text, size_t size,
               bool is_all);
/* What there is, with nothing to follow. */
int regex_settle(struct regex_means *means, struct regex_scan *scan, const struct regex_text *text, bool is_end);
/* With how many bytes the match that regex_look found in the first `size` became complete; `before` is the scan as it
 * was before that look. */
int regex_completion(struct regex_means *means, const struct regex_scan *before, const struct regex_text *text,
                     size_t size, size_t *ret_completion);
/* Whether it may be left for later: so much would be looked at again. */
bool regex_can_wait(const struct regex_scan *scan, size_t size);
/* Where the match is, from the text's start on. */
void regex_place(const struct regex_scan *scan, const struct regex_text *text, size_t *ret_start, size_t *ret_end);
