/* Waiting for one of several things: the functions of spile_expect.h, and the way of one from its turn to its result.
 *
 * What was found is taken only when it is handed out. One that was started on a loop is told from a timer of its own,
 * since whoever is told may free the talk; should somebody have read in between, it is looked for again.
 */
#include "talk/expect.h"

enum { REST_MS = 50, LEFT_MS = 5 };

/* ------------------------------------------------------------------------------ making one */

static struct talk_expect *expect_free(struct talk_expect *expect) {
    if (!expect)
        return NULL;
    loop_timer_clear(&expect->timer);
    view_done(&expect->view);
    for (size_t i = 0; i < expect->scan_count; i++)
        pcre2_match_data_free(expect->scans[i].found);
    free(expect->scans);
    pcre2_match_context_free(expect->means.limits);
    if (expect->means.stack)
        pcre2_jit_stack_free(expect->means.stack);
    spile_patterns_free(expect->patterns);
    spile_error_free(expect->error);
    free(expect);
    return NULL;
}

static int make_scans(struct talk_expect *expect) {
    const spile_patterns *patterns = expect->patterns;
    expect->scans = memory_zero(patterns->regex_count + 1, sizeof(*expect->scans));
    if (!expect->scans)
        return -ENOMEM;
    if (!patterns->regex_count)
        return 0;
    expect->means.limits = pcre2_match_context_copy(patterns->limits);
    if (!expect->means.limits)
        return -ENOMEM;
    for (size_t i = 0; i < patterns->count; i++) {
        const struct pattern *pattern = &patterns->items[i];
        if (pattern->kind != SPILE_PATTERN_REGEX)
            continue;
        struct regex_scan *scan = &expect->scans[expect->scan_count];
        scan->pattern = pattern;
        scan->found = pcre2_match_data_create_from_pattern(pattern->code, patterns->memory);
        if (!scan->found)
            return -ENOMEM;
        expect->scan_count++;
    }
    return 0;
}

/* Begins to look from the first byte that was not read. */
static int begin_look(struct talk_expect *expect) {
    view_done(&expect->view);
    expect->literals = (struct automaton_scan){0};
    expect->settled = SIZE_MAX;
    for (size_t i = 0; i < expect->scan_count; i++)
        expect->scans[i] = (struct regex_scan){.pattern = expect->scans[i].pattern, .found = expect->scans[i].found};
    return view_init(&expect->view, expect->talk, expect->patterns->is_bytes, expect->patterns->looks_behind);
}

static int expect_new(spile_talk *talk, const spile_patterns *patterns, const spile_expect_options *options,
                      struct talk_expect **ret_expect) {
    struct talk_expect *expect = memory_zero(1, sizeof(*expect));
    if (!expect)
        return -ENOMEM;
    expect->talk = talk;
    expect->patterns = patterns_ref(patterns);
    expect->options = *options;
    expect->means = (struct regex_means){.patterns = patterns,
                                         .window = options->window_bytes ? options->window_bytes : UINT64_MAX};
    int result = make_scans(expect);
    if (result >= 0)
        result = begin_look(expect);
    if (result < 0)
        expect_free(expect);
    else
        *ret_expect = expect;
    return result;
}

/* ------------------------------------------------------------------------------ its way */

static int fail_limit(struct talk_expect *expect, spile_error **ret_error) {
    return error_set(
        ret_error, SPILE_ERROR_LIMIT, EMSGSIZE,
        "'%s' has sent %zu bytes without a match, which is more than may be kept: read them, or allow more",
        expect->talk->endpoint.text, buffer_size(&expect->talk->in));
}

/* What a look that failed says. */
static int fail_look(struct talk_expect *expect, int result, spile_error **ret_error) {
    if (result == -EOVERFLOW)
        return error_set(ret_error, SPILE_ERROR_LIMIT, EOVERFLOW,
                         "looking for a regular expression in what '%s' sent takes too many steps: make it simpler, or "
                         "allow more",
                         expect->talk->endpoint.text);
    return result;
}

static int fail_text(struct talk_expect *expect, spile_error **ret_error) {
    spile_talk *talk = expect->talk;
    const struct view *view = &expect->view;
    int result = read_refuse_text(talk, buffer_start(&talk->in) + view->raw_size, view->bad_bytes, ret_error);
    read_note_raw(talk, view->raw_size + view->bad_bytes);
    lines_take(&talk->lines, &talk->in, view->raw_size + view->bad_bytes, false);
    return result;
}

static int find_event(struct talk_expect *expect, size_t index, struct finding *ret_finding) {
    const size_t size = view_size(&expect->view);
    *ret_finding = (struct finding){.pattern = &expect->patterns->items[index], .start = size, .end = size};
    return 1;
}

static int at_end(struct talk_expect *expect, struct finding *ret_finding, spile_error **ret_error) {
    const spile_error *error = expect->talk->error;
    int result = look_at_rest(expect, true, ret_finding);
    if (result != 0)
        return result;
    if (error) {
        if (ret_error)
            *ret_error = error_copy(error);
        return error_kind_errno(error->kind, error->number);
    }
    if (expect->patterns->has_end)
        return find_event(expect, expect->patterns->end_index, ret_finding);
    return error_set(ret_error, SPILE_ERROR_ENDED, ENODATA, "'%s' ended before what was expected came",
                     expect->talk->endpoint.text);
}

/* Whether nothing has come for so long; *ret_at is when that will be. */
static bool is_quiet(struct talk_expect *expect, uint64_t duration_ns) {
    const uint64_t at = time_add_ns(channel_arrived_ns(expect->talk), duration_ns);
    bool is_now = at != NS_FOREVER && time_now_ns() >= at;
    if (!is_now)
        expect->look_at_ns = MIN(expect->look_at_ns, at);
    return is_now;
}

/* What rest gives: 1, 0, -errno. */
static int at_rest(struct talk_expect *expect, struct finding *ret_finding) {
    const uint64_t rest_ns = expect->options.rest_ns ? expect->options.rest_ns : REST_MS * NS_PER_MS;
    int result = 0;
    if (look_has_left(expect) && is_quiet(expect, LEFT_MS * NS_PER_MS))
        result = look_for_match(expect, false, true, ret_finding);
    if (result == 0 && look_needs_rest(expect) && is_quiet(expect, rest_ns))
        result = look_at_rest(expect, false, ret_finding);
    return result;
}

static int at_deadline(struct talk_expect *expect, struct finding *ret_finding, spile_error **ret_error) {
    int result = expect->until_ns ? look_at_rest(expect, false, ret_finding) : 0;
    if (result != 0)
        return result;
    if (expect->patterns->has_timeout)
        return find_event(expect, expect->patterns->timeout_index, ret_finding);
    return error_set(ret_error, SPILE_ERROR_TIMEOUT, expect->until_ns ? ETIMEDOUT : EAGAIN,
                     "'%s' did not send what was expected in time", expect->talk->endpoint.text);
}

/* 1: *ret_finding is what came; 0: it waits, until `look_at_ns` at most; or -errno. */
static int look(struct talk_expect *expect, bool is_late, struct finding *ret_finding, spile_error **ret_error) {
    spile_talk *talk = expect->talk;
    const bool is_over = read_is_over(talk);
    expect->look_at_ns = NS_FOREVER;
    if (talk->state == SPILE_TALK_STATE_OPENING && !talk->has_seam)
        return is_late ? at_deadline(expect, ret_finding, ret_error) : 0;
    int result = look_for_match(expect, is_over, is_over || is_late, ret_finding);
    if (result == 0 && expect->view.bad_bytes)
        return fail_text(expect, ret_error);
    if (result == 0 && is_over)
        return at_end(expect, ret_finding, ret_error);
    if (result == 0 && buffer_size(&talk->in) >= talk_keep_limit(talk)) {
        result = look_for_match(expect, false, true, ret_finding);
        return result ? result : fail_limit(expect, ret_error);
    }
    if (result == 0)
        result = at_rest(expect, ret_finding);
    return result == 0 && is_late ? at_deadline(expect, ret_finding, ret_error) : result;
}

/* The same, where nothing that has come meanwhile is missed. */
static int advance(struct talk_expect *expect, bool is_late, struct finding *ret_finding, spile_error **ret_error) {
    spile_talk *talk = expect->talk;
    if (talk->lines.taken != expect->view.base) {
        int result = begin_look(expect);
        if (result < 0)
            return result;
    }
    if (talk->state == SPILE_TALK_STATE_OPEN && buffer_size(&talk->in) < talk_keep_limit(talk))
        channel_take_now(talk);
    int result = look(expect, is_late, ret_finding, ret_error);
    return result < 0 ? fail_look(expect, result, ret_error) : result;
}

/* ------------------------------------------------------------------------------ handing out */

static void note_behind(spile_talk *talk, const struct regex_text *text, size_t end) {
    struct talk_behind *behind = &talk->behind;
    size_t start = end - MIN(end, (size_t)BEHIND_MAX);
    while (!text->is_bytes && start < end && ((unsigned char)text->data[start] & 0xc0) == 0x80)
        start++;
    behind->size = end - start;
    behind->is_bytes = text->is_bytes;
    memcpy(behind->text, text->data + start, behind->size);
}

static size_t show_groups(const struct finding *found, const struct regex_text *text, spile_span *groups) {
    groups[0] = (spile_span){text->data + found->start, found->end - found->start};
    const size_t *offsets = found->scan ? pcre2_get_ovector_pointer(found->scan->found) : NULL;
    const size_t behind = found->scan && found->pattern->looks_behind ? text->behind : 0;
    const size_t count = found->scan ? pcre2_get_ovector_count(found->scan->found) : 1;
    for (size_t i = 1; i < count; i++) {
        bool is_set = offsets[2 * i] != PCRE2_UNSET && offsets[2 * i + 1] != PCRE2_UNSET;
        groups[i] = is_set ? (spile_span){text->data - behind + offsets[2 * i], offsets[2 * i + 1] - offsets[2 * i]}
                           : (spile_span){NULL, 0};
    }
    return count;
}

/* What is left of an escaped byte stays to be read, as the characters that it is. Makes sure that there is room for it,
 * before anything is taken. */
static int encode_rest(spile_talk *talk, const struct text *rest, struct text *ret_bytes) {
    size_t bad;
    if (rest->size == 0)
        return 0;
    int result = codec_encode(&talk->codec, rest->data, rest->size, "\n", ret_bytes, &bad);
    return result < 0 ? result : buffer_reserve(&talk->in, ret_bytes->size);
}

/* Takes what was found. Its index, or -errno. */
static int take(struct talk_expect *expect, const struct finding *found) {
    spile_talk *talk = expect->talk;
    const struct regex_text text = look_text(expect);
    AUTO_TEXT rest = {0};
    AUTO_TEXT rest_bytes = {0};
    ssize_t raw = view_raw(&expect->view, found->end, &rest);
    int result = raw < 0 ? (int)raw : encode_rest(talk, &rest, &rest_bytes);
    if (result < 0)
        return result;
    spile_span *groups = memory_new(found->pattern->groups * sizeof(*groups));
    if (!groups)
        return -ENOMEM;
    expect->match = (spile_match){
        .size = sizeof(expect->match),
        .index = (size_t)(found->pattern - expect->patterns->items),
        .before = {text.data, found->start},
        .text = {text.data + found->start, found->end - found->start},
        .after = {text.data + found->end, text.size - found->end},
        .groups = groups,
        .group_count = show_groups(found, &text, groups),
    };
    free(talk->groups);
    talk->groups = groups;
    if (found->pattern->kind == SPILE_PATTERN_TIMEOUT)
        return (int)expect->match.index;
    bool ends_line = found->end > 0 && text.data[found->end - 1] == '\n';
    read_note_raw(talk, (size_t)raw);
    if (found->end > 0)
        note_behind(talk, &text, found->end);
    lines_take(&talk->lines, &talk->in, (size_t)raw, ends_line);
    if (rest_bytes.size > 0) {
        buffer_insert(&talk->in, rest_bytes.data, rest_bytes.size);
        lines_put_back(&talk->lines, 0); /* `taken` stays: it is another place than any that was there before */
    }
    talk->behind.at = talk->lines.taken;
    return (int)expect->match.index;
}

/* ------------------------------------------------------------------------------ waiting for it */

static bool is_same(const struct talk_expect *expect, const spile_patterns *patterns,
                    const spile_expect_options *options) {
    return expect->patterns == patterns && expect->options.window_bytes == options->window_bytes &&
           expect->options.rest_ns == options->rest_ns && expect->talk->codec.kind != CODEC_ICONV;
}

static int check(const spile_talk *talk, const spile_patterns *patterns, const spile_expect_options *options) {
    return patterns && options->size == sizeof(*options) ? talk_check(talk) : -EINVAL;
}

static int wait_for(struct talk_expect *expect, uint64_t timeout_ns, struct finding *ret_finding,
                    spile_error **ret_error) {
    struct talk_wait wait = talk_wait_begin(expect->talk, timeout_ns);
    bool is_late = false;
    expect->until_ns = talk_wait_until(&wait);
    for (;;) {
        int result = advance(expect, is_late, ret_finding, ret_error);
        if (result != 0)
            return result;
        result = read_step(&wait, expect->look_at_ns);
        is_late = result == -ETIMEDOUT || result == -EAGAIN;
        if (result < 0 && !is_late)
            return result;
    }
}

/* A fresh one, or that which is to go on. */
static int begin(spile_talk *talk, const spile_patterns *patterns, const spile_expect_options *options,
                 struct talk_expect **ret_expect) {
    int result = check(talk, patterns, options);
    if (result >= 0 && talk->expects)
        result = -EBUSY;
    if (result >= 0)
        result = read_begin(talk, patterns, options);
    if (result < 0)
        return result;
    struct talk_expect *expect = TAKE_POINTER(talk->resumable);
    if (expect && is_same(expect, patterns, options)) {
        *ret_expect = expect;
        return 0;
    }
    expect_free(expect);
    return expect_new(talk, patterns, options, ret_expect);
}

/* What took nothing may go on. Else the match is shown where it was found. */
static void leave(struct talk_expect *expect, bool has_taken) {
    spile_talk *talk = expect->talk;
    if (!has_taken) {
        talk->resumable = expect;
        return;
    }
    text_done(&talk->text);
    talk->text = TAKE(expect->view.text, (struct text){0});
    expect_free(expect);
}

int spile_talk_expect(spile_talk *talk, const spile_patterns *patterns, const spile_expect_options *options,
                      uint64_t timeout_ns, spile_match *match, spile_error **ret_error) {
    static const spile_expect_options none = {.size = sizeof(none)};
    struct finding finding = {0};
    struct talk_expect *expect;
    int result = match && match->size != sizeof(*match) ? -EINVAL : 0;
    if (result >= 0)
        result = begin(talk, patterns, options ? options : &none, &expect);
    if (result < 0)
        return result;
    result = wait_for(expect, timeout_ns, &finding, ret_error);
    if (result > 0)
        result = take(expect, &finding);
    if (result >= 0 && match)
        *match = expect->match;
    bool is_late = result >= 0 ? finding.pattern->kind == SPILE_PATTERN_TIMEOUT
                               : result == -EAGAIN || result == -ETIMEDOUT;
    leave(expect, !is_late);
    return read_finish(talk, result);
}

/* ------------------------------------------------------------------------------ on a loop */

static void unlink_expect(struct talk_expect *expect) {
    struct talk_expect **place = &expect->talk->expects;
    while (*place != expect)
        place = &(*place)->next;
    *place = expect->next;
}

static void look_later(struct loop_timer *timer);

static void tell(struct talk_expect *expect) {
    expect->done(expect->user, expect->talk, expect->result, expect->result >= 0 ? &expect->match : NULL,
                 expect->error);
    expect_free(expect);
}

/* Looks for it, and tells: from a timer, so that nothing is touched behind it. */
static void look_and_tell(struct talk_expect *expect) {
    spile_talk *talk = expect->talk;
    struct finding finding;
    loss_rejoin(talk);
    int result = advance(expect, time_now_ns() >= expect->until_ns, &finding, &expect->error);
    if (result > 0) {
        result = take(expect, &finding);
    } else if (result == 0 && (result = channel_want_message(talk)) == 0) {
        loop_timer_set(talk->loop, &expect->timer, MIN(expect->until_ns, expect->look_at_ns), look_later);
        return;
    }
    expect->result = result;
    unlink_expect(expect);
    (void)channel_update(talk);
    if (talk->expects)
        loop_defer(talk->loop, &talk->expects->timer, look_later);
    tell(expect);
}

static void look_later(struct loop_timer *timer) {
    look_and_tell(CONTAINER_OF(timer, struct talk_expect, timer));
}

void expect_arrived(spile_talk *talk) {
    struct talk_expect *expect = talk->expects;
    if (expect && !talk->is_cancelling)
        loop_defer(talk->loop, &expect->timer, look_later);
}

int spile_talk_expect_start(spile_talk *talk, const spile_patterns *patterns, const spile_expect_options *options,
                            uint64_t timeout_ns, spile_expect_fn done, void *user) {
    static const spile_expect_options none = {.size = sizeof(none)};
    struct talk_expect *expect, **place;
    options = options ? options : &none;
    int result = done ? check(talk, patterns, options) : -EINVAL;
    if (result >= 0 && (talk->is_cancelling || talk->state == SPILE_TALK_STATE_CLOSED))
        result = -EBADF;
    if (result >= 0)
        result = expect_new(talk, patterns, options, &expect);
    if (result < 0)
        return result;
    expect->done = done;
    expect->user = user;
    expect->until_ns = time_add_ns(time_now_ns(), timeout_ns);
    for (place = &talk->expects; *place; place = &(*place)->next)
        continue;
    *place = expect;
    if (talk->expects == expect)
        loop_defer(talk->loop, &expect->timer, look_later);
    return 0;
}

static void cancel(struct talk_expect *expect, const char *why) {
    spile_error **place = &expect->error;
    expect->result = error_set(place, SPILE_ERROR_CANCELLED, ECANCELED, "'%s' %s", expect->talk->endpoint.text, why);
    unlink_expect(expect);
    tell(expect);
}

void expect_cancel_all(spile_talk *talk) {
    talk->is_cancelling = true;
    while (talk->expects)
        cancel(talk->expects, "was closed");
}

int spile_talk_expect_cancel(spile_talk *talk, const void *user) {
    int result = talk_check(talk), found = -ENOENT;
    struct talk_expect *expect = result < 0 ? NULL : talk->expects;
    while (expect) {
        struct talk_expect *next = expect->next;
        if (expect->user == user) {
            cancel(expect, "is waited for no longer");
            found = 0;
        }
        expect = next;
    }
    if (result >= 0 && talk->expects)
        loop_defer(talk->loop, &talk->expects->timer, look_later);
    return result < 0 ? result : found;
}

void expect_forget(spile_talk *talk) {
    talk->resumable = expect_free(talk->resumable);
    talk->behind.size = 0;
}

void expect_done(spile_talk *talk) {
    expect_forget(talk);
    free(talk->groups);
    talk->groups = NULL;
}
