/* One expect: what the files that look for it share (expect.c, look.c). */
#pragma once

#include "talk/regex.h"
#include "talk/view.h"

struct talk_expect {
    struct talk_expect *next;
    spile_talk *talk;
    spile_patterns *patterns;
    spile_expect_options options;
    uint64_t until_ns;
    uint64_t look_at_ns; /* when to look again though nothing came */

    struct view view;
    struct automaton_scan literals;
    struct regex_means means;
    struct regex_scan *scans; /* of each regular expression, in the order of the patterns */
    size_t scan_count;
    size_t settled; /* with so much of the text, what is there at rest was looked at */

    struct loop_timer timer; /* when to look again, and to tell what was found */
    int result;
    spile_match match;
    spile_error *error;
    spile_expect_fn done; /* NULL: someone waits for it */
    void *user;
};

/* What was found: of the patterns one, and where. */
struct finding {
    const struct pattern *pattern; /* NULL: nothing yet */
    struct regex_scan *scan;       /* of a regular expression */
    size_t start, end, completion;
    bool is_complete_known;
};

/* Looks through what has arrived. 1: *ret_finding; 0: nothing is complete. `is_forced`: nothing is left for later. */
int look_for_match(struct talk_expect *expect, bool is_final, bool is_forced, struct finding *ret_finding);
/* What there is, with nothing to follow for now, or for good (`is_end`). */
int look_at_rest(struct talk_expect *expect, bool is_end, struct finding *ret_finding);
/* Whether something is there that only rest, the deadline or the end can complete; and whether something was left for
 * later. */
bool look_needs_rest(const struct talk_expect *expect);
bool look_has_left(const struct talk_expect *expect);
struct regex_text look_text(const struct talk_expect *expect);
