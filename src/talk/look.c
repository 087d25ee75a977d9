/* Which of the patterns is the first to become complete: see spile_expect.h.
 *
 * Literals say so themselves. An expression's look at a text says only that it is complete somewhere in it; where
 * exactly is asked (regex_completion) only when something else is complete there too. So what is found does not depend
 * on how the text was cut into pieces.
 */
#include "talk/expect.h"

struct regex_text look_text(const struct talk_expect *expect) {
    const struct view *view = &expect->view;
    const struct talk_behind *behind = &expect->talk->behind;
    bool is_mid_line = behind->size > 0 && behind->at == view->base && behind->text[behind->size - 1] != '\n';
    return (struct regex_text){.data = view_data(view),
                               .size = view_size(view),
                               .behind = view->behind,
                               .is_bytes = view->is_bytes,
                               .is_mid_line = is_mid_line};
}

static bool is_eager(const struct finding *finding) {
    return finding->pattern->mode == SPILE_PATTERN_EAGER;
}

/* Where the finding became complete, which is within the first `size` bytes. */
static int know_completion(struct talk_expect *expect, struct finding *finding, const struct regex_scan *before,
                           const struct regex_text *text, size_t size) {
    int result = 0;
    if (finding->is_complete_known)
        return 0;
    finding->completion = finding->end;
    if (!is_eager(finding))
        result = regex_completion(&expect->means, before, text, size, &finding->completion);
    finding->is_complete_known = true;
    return result;
}

static bool is_before(const struct finding *one, const struct finding *other) {
    if (one->completion != other->completion)
        return one->completion < other->completion;
    return one->start != other->start ? one->start < other->start : one->pattern < other->pattern;
}

/* Looks for one expression within *cut bytes, where `best` became complete if there is one. */
static int look_for_one(struct talk_expect *expect, struct regex_scan *scan, const struct regex_text *text,
                        struct finding *best, struct regex_scan *best_before, size_t *cut) {
    if (scan == best->scan || (scan->seen >= *cut && *cut < text->size))
        return 0;
    const struct regex_scan before = *scan;
    bool is_all = expect->view.is_whole && *cut == text->size;
    int result = regex_look(&expect->means, scan, text, *cut, is_all);
    if (result <= 0)
        return result;
    struct finding found = {.pattern = scan->pattern, .scan = scan};
    if (best->pattern) {
        struct regex_scan again = before;
        result = know_completion(expect, best, best_before, text, *cut);
        *cut = best->completion;
        if (result >= 0) /* it may have been complete only behind that */
            result = regex_look(&expect->means, &again, text, *cut, is_all);
        if (result <= 0)
            return result;
    }
    regex_place(scan, text, &found.start, &found.end);
    if (!best->pattern) {
        *best = found;
        *best_before = before;
        return 0;
    }
    result = know_completion(expect, &found, &before, text, *cut);
    if (result >= 0 && is_before(&found, best)) {
        *best = found;
        *best_before = before;
        *cut = found.completion;
    }
    return result;
}

/* Looks through the text as far as it is there. */
static int look_through(struct talk_expect *expect, bool is_forced, struct finding *best) {
    const struct regex_text text = look_text(expect);
    const struct automaton_literal *literal;
    struct regex_scan best_before = {0};
    size_t cut = text.size, end;
    int result = 0;
    if (automaton_find(&expect->patterns->automaton, &expect->literals, text.data, text.size, &literal, &end)) {
        *best = (struct finding){.pattern = &expect->patterns->items[literal->index],
                                 .start = end - literal->size,
                                 .end = end,
                                 .completion = end,
                                 .is_complete_known = true};
        cut = end;
        is_forced = true;
    }
    for (size_t i = 0; i < expect->scan_count && result >= 0; i++) {
        struct regex_scan *scan = &expect->scans[i];
        if (is_forced || !regex_can_wait(scan, cut)) {
            result = look_for_one(expect, scan, &text, best, &best_before, &cut);
            if (best->pattern && !is_forced) { /* what was left for later may have been earlier */
                is_forced = true;
                i = SIZE_MAX;
            }
        }
    }
    return result < 0 ? result : best->pattern != NULL;
}

int look_for_match(struct talk_expect *expect, bool is_final, bool is_forced, struct finding *ret_finding) {
    int result, grown;
    do {
        grown = view_extend(&expect->view, is_final);
        if (grown < 0)
            return grown;
        *ret_finding = (struct finding){0};
        result = grown > 0 || is_forced ? look_through(expect, is_forced && !grown, ret_finding) : 0;
    } while (result == 0 && grown > 0);
    return result;
}

int look_at_rest(struct talk_expect *expect, bool is_end, struct finding *ret_finding) {
    const struct regex_text text = look_text(expect);
    struct finding *best = ret_finding;
    *best = (struct finding){0};
    for (size_t i = 0; i < expect->scan_count; i++) {
        struct finding found = {.pattern = expect->scans[i].pattern, .scan = &expect->scans[i]};
        int result = regex_settle(&expect->means, found.scan, &text, is_end);
        if (result < 0)
            return result;
        if (result > 0)
            regex_place(found.scan, &text, &found.start, &found.end);
        if (result > 0 && (!best->pattern || found.start < best->start))
            *best = found;
    }
    expect->settled = text.size;
    return best->pattern != NULL;
}

bool look_needs_rest(const struct talk_expect *expect) {
    if (expect->settled == view_size(&expect->view))
        return false;
    for (size_t i = 0; i < expect->scan_count; i++)
        if (expect->scans[i].is_partial && expect->scans[i].pattern->mode != SPILE_PATTERN_LINE)
            return true;
    return false;
}

bool look_has_left(const struct talk_expect *expect) {
    for (size_t i = 0; i < expect->scan_count; i++)
        if (expect->scans[i].seen < view_size(&expect->view) && expect->scans[i].is_partial)
            return true;
    return false;
}
