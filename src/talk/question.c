/* The question under way: from its turn to its result.
 *
 * Questions stand in a queue; the first that is not done is under way. One whose reply did not come in time leaves what
 * would have ended it behind (`late`): until that has come, no other reply can be told from it.
 */
#include "talk/ask.h"

enum { SECRET_LOOK_MS = 5 };

/* ------------------------------------------------------------------------------ ending one */

struct talk_ask *ask_current(const spile_talk *talk) {
    struct talk_ask *ask = talk->asks;
    while (ask && ask->state == ASK_DONE)
        ask = ask->next;
    return ask;
}

void ask_unlink(struct talk_ask *ask) {
    struct talk_ask **place = &ask->talk->asks;
    while (*place != ask)
        place = &(*place)->next;
    *place = ask->next;
    ask->next = NULL;
}

static void tell(struct talk_ask *ask) {
    const spile_reply reply = {.size = sizeof(reply),
                               .text = ask->reply.data ? ask->reply.data : (char *)"",
                               .text_size = ask->reply.size,
                               .lines = ask->lines,
                               .end = ask->end};
    ask->done(ask->user, ask->talk, ask->result, &reply, ask->error);
}

static void deliver(struct loop_timer *timer) {
    struct talk_ask *ask = CONTAINER_OF(timer, struct talk_ask, timer);
    ask_unlink(ask);
    tell(ask);
    ask_free(ask);
}

/* Its result is known. Told from a timer of its own: whoever is told may free the talk. */
static void end_ask(struct talk_ask *ask, int result, spile_error *error) {
    ask->state = ASK_DONE;
    ask->result = result;
    ask->error = error;
    loop_timer_clear(&ask->timer);
    if (ask->done)
        loop_defer(ask->talk->loop, &ask->timer, deliver);
    struct talk_ask *next = ask_current(ask->talk);
    if (next)
        loop_defer(ask->talk->loop, &next->timer, ask_look_later);
}

static int talk_failure(const spile_talk *talk, spile_error **ret_error) {
    const spile_error *error = talk->error;
    if (!error)
        return error_set(ret_error, SPILE_ERROR_ENDED, ENODATA, "'%s' ended before it replied", talk->endpoint.text);
    *ret_error = error_copy(error);
    return error_kind_errno(error->kind, error->number);
}

/* ------------------------------------------------------------------------------ before it is asked */

int ask_set_aside(spile_talk *talk, size_t size) {
    bool is_bad = false;
    if (size == 0)
        return 0;
    if (talk->unasked.size + size > talk_keep_limit(talk))
        return -ENOBUFS;
    return read_add_text(talk, size, 0, true, &talk->unasked, &is_bad);
}

/* The reply to an earlier question: 1 it has come and is set aside, 0 it may still come. */
static int take_late(spile_talk *talk) {
    struct talk_ask *late = talk->late;
    int result = reply_take(late);
    if (result <= 0)
        return result;
    text_add(&talk->unasked, late->reply.data ? late->reply.data : "", late->reply.size);
    text_add(&talk->unasked, "\n", 1);
    talk->late = ask_free(late);
    return talk->unasked.failed ? -ENOMEM : 1;
}

/* The prompt that a talk begins with: 1 it has come, with what stands before it set aside. */
static int take_prompt(struct talk_ask *ask) {
    spile_talk *talk = ask->talk;
    struct delimiter prompt;
    size_t size, end_size;
    int result = delimiter_init(&prompt, &talk->codec, talk->prompt);
    if (result < 0)
        return result;
    while (result == 0) {
        const size_t held = buffer_size(&talk->in);
        enum match match = held ? delimiter_match(&talk->lines, &prompt, buffer_start(&talk->in), held, 0, &size)
                                : MATCH_BEGUN;
        if (match == MATCH_YES) {
            lines_take(&talk->lines, &talk->in, size, false);
            talk->awaits_prompt = false;
            result = 1;
        } else if (match == MATCH_BEGUN || !lines_find(&talk->lines, &talk->in, &size, &end_size)) {
            break;
        } else {
            result = ask_set_aside(talk, size + end_size);
        }
    }
    delimiter_done(&prompt);
    return result;
}

/* Silence since then means that the late reply never comes. */
static uint64_t resync_at(spile_talk *talk) {
    if (!talk->late || !talk->options.resync_ns)
        return NS_FOREVER;
    return time_add_ns(MAX(channel_arrived_ns(talk), talk->late->asked_ns), talk->options.resync_ns);
}

/* 1: it can be asked now. */
static int is_in_step(struct talk_ask *ask) {
    spile_talk *talk = ask->talk;
    int result = 1;
    if (talk->awaits_prompt)
        result = take_prompt(ask);
    if (result > 0 && talk->late) {
        result = take_late(talk);
        if (result == 0 && time_now_ns() >= resync_at(talk)) {
            talk->late = ask_free(talk->late);
            result = 1;
        }
    }
    return result;
}

/* Takes in what has come. What a stream that was lost still had to say is no reply. */
static int look_anew(spile_talk *talk) {
    int result = talk->has_seam ? ask_set_aside(talk, buffer_size(&talk->in)) : 0;
    loss_rejoin(talk);
    if (result >= 0 && !talk->awaits_prompt && talk->state == SPILE_TALK_STATE_OPEN)
        channel_take_now(talk);
    return result;
}

static int begin(struct talk_ask *ask, spile_error **ret_error) {
    spile_talk *talk = ask->talk;
    if (ask->options.is_secret && write_is_echoing(talk))
        return 0;
    int result = look_anew(talk);
    if (result >= 0)
        result = is_in_step(ask);
    if (result > 0 && talk->in_ended && !ask->options.no_reply)
        return talk_failure(talk, ret_error);
    if (result > 0)
        result = ask_set_aside(talk, buffer_size(&talk->in));
    else if (result == 0)
        return 0;
    if (result == -ENOBUFS)
        return error_set(ret_error, SPILE_ERROR_LIMIT, ENOBUFS,
                         "'%s' has said more unasked than may be kept: read what was set aside", talk->endpoint.text);
    if (result < 0)
        return result;
    ask->drops_echo = talk->options.echo == SPILE_TALK_ECHO_DROP ||
                      (talk->options.echo == SPILE_TALK_ECHO_AUTO && write_may_echo(talk));
    result = write_queue_line(talk, ask->line, ask->options.line_size, ask->options.is_secret, ret_error);
    if (result < 0)
        return result;
    ask->state = ASK_ASKED;
    ask->asked_ns = time_now_ns();
    return 1;
}

/* ------------------------------------------------------------------------------ its way */

static int end_of(struct talk_ask *ask, spile_error **ret_error) {
    const char *name = ask->talk->endpoint.text;
    if (ask->result == -EPROTO)
        return error_set(ret_error, SPILE_ERROR_REPLY, EPROTO, "'%s' replied to '%s' with an error: %s", name,
                         ask->options.is_secret ? "..." : ask->line, ask->end);
    if (ask->is_bad)
        return error_set(ret_error, SPILE_ERROR_TEXT, EILSEQ, "'%s' replied with bytes that are no text in %s", name,
                         ask->talk->codec.name);
    return 0;
}

/* Nothing more need come, or can. */
static bool may_go_on(const struct talk_ask *ask) {
    return !ask->talk->in_ended || (ask->options.no_reply && !ask->talk->out_error);
}

/* Why a question that was asked will get no reply any more; 0: it may. */
static int look_for_failure(struct talk_ask *ask, spile_error **ret_error) {
    spile_talk *talk = ask->talk;
    bool is_asked = ask->state == ASK_ASKED;
    ask->is_out |= is_asked && !talk->out_error && buffer_size(&talk->out) == 0;
    if (is_asked && !ask->is_out && talk->out_error && !talk->error && !talk->in_ended)
        return write_refuse(talk, ret_error);
    if (!talk->error && may_go_on(ask))
        return 0;
    bool is_by_silence = is_asked && ask->options.silence_ns && reply_has_begun(ask) && !talk->error;
    return is_by_silence ? 1 : talk_failure(talk, ret_error);
}

/* What is to be done for the question under way: 1 its result is known, 0 it waits, or -errno. */
static int advance(struct talk_ask *ask, spile_error **ret_error) {
    spile_talk *talk = ask->talk;
    int result = 0;
    if (talk->state == SPILE_TALK_STATE_OPENING)
        return 0;
    if (ask->state == ASK_WAITING)
        result = begin(ask, ret_error);
    if (result < 0)
        return result;
    result = 0;
    if (ask->state == ASK_ASKED)
        result = ask->options.no_reply ? buffer_size(&talk->out) == 0 && !talk->out_error : reply_take(ask);
    return result != 0 ? result : look_for_failure(ask, ret_error);
}

static bool awaits_reply(const struct talk_ask *ask) {
    return ask->state == ASK_ASKED && !ask->options.no_reply;
}

static uint64_t silence_at(const struct talk_ask *ask) {
    if (ask->state != ASK_ASKED || !ask->options.silence_ns || !reply_has_begun(ask))
        return NS_FOREVER;
    return time_add_ns(MAX(channel_arrived_ns(ask->talk), ask->asked_ns), ask->options.silence_ns);
}

static void time_out(struct talk_ask *ask) {
    spile_talk *talk = ask->talk;
    spile_error *error = NULL, **place = &error;
    int result;
    const char *line = ask->options.is_secret ? "..." : ask->line;
    if (talk->late && ask->state == ASK_WAITING) {
        result = error_set(place, SPILE_ERROR_STEP, ESTALE,
                           "'%s' was not asked '%s': it is out of step, for its reply to '%s' is still to come",
                           talk->endpoint.text, line, talk->late->options.is_secret ? "..." : talk->late->line);
    } else if (ask->state == ASK_WAITING) {
        result = error_set(place, SPILE_ERROR_TIMEOUT, ETIMEDOUT, "'%s' was not asked '%s': %s", talk->endpoint.text,
                           line,
                           talk->awaits_prompt ? "its prompt did not come in time"
                                               : "its turn did not come in time, or its echo was not turned off");
    } else {
        result = error_set(place, SPILE_ERROR_TIMEOUT, ETIMEDOUT, "'%s' did not reply to '%s' in time",
                           talk->endpoint.text, line);
    }
    if (awaits_reply(ask))
        reply_show_rest(ask);
    end_ask(ask, result, error);
}

/* What it waits for next, should nothing arrive. */
static void set_timer(struct talk_ask *ask) {
    spile_talk *talk = ask->talk;
    uint64_t when = MIN(ask->until_ns, silence_at(ask));
    if (ask->state == ASK_WAITING && ask == ask_current(talk)) {
        when = MIN(when, resync_at(talk));
        if (ask->options.is_secret && talk->state == SPILE_TALK_STATE_OPEN)
            when = MIN(when, time_now_ns() + SECRET_LOOK_MS * NS_PER_MS); /* nothing tells when an echo is turned off */
    }
    loop_timer_set(talk->loop, &ask->timer, when, ask_look_later);
}

/* Keeps what would have ended a reply, for the next question. */
static int keep_late(struct talk_ask *ask) {
    struct talk_ask *late = NULL;
    spile_talk *talk = ask->talk;
    spile_ask_options options = ask->options;
    options.ends = (const char *const *)ask->ends;
    options.errors = (const char *const *)ask->errors;
    options.prompt = !ask->has_prompt ? NULL : options.prompt ? options.prompt : talk->prompt;
    if (options.lines)
        options.lines -= (unsigned)MIN(ask->lines, (size_t)options.lines - 1);
    int result = ask_new(talk, ask->line, &options, &late);
    if (result < 0)
        return result;
    late->state = ASK_ASKED;
    late->is_echo_over = ask->is_echo_over;
    late->drops_echo = ask->drops_echo;
    late->asked_ns = time_now_ns();
    talk->late = late;
    return 0;
}

void ask_look(struct talk_ask *ask) {
    spile_error *error = NULL;
    int result = ask == ask_current(ask->talk) ? advance(ask, &error) : 0;
    uint64_t now = result == 0 ? time_now_ns() : 0;
    bool is_held_up = ask->state == ASK_WAITING && (ask->talk->late || ask->talk->awaits_prompt);
    if (result == 0 && (is_held_up || awaits_reply(ask)))
        result = channel_want_message(ask->talk);
    if (result == 0 && now >= silence_at(ask)) {
        reply_take_silence(ask);
        result = 1;
    }
    if (result > 0) {
        spile_error_free(error);
        error = NULL;
        result = end_of(ask, &error);
        end_ask(ask, result, error);
    } else if (result < 0) {
        end_ask(ask, result, error);
    } else if (now >= ask->until_ns) {
        if (awaits_reply(ask))
            (void)keep_late(ask);
        time_out(ask);
    } else {
        set_timer(ask);
    }
}

void ask_look_later(struct loop_timer *timer) {
    ask_look(CONTAINER_OF(timer, struct talk_ask, timer));
}

void ask_arrived(spile_talk *talk) {
    struct talk_ask *ask = ask_current(talk);
    if (ask && !talk->is_cancelling)
        ask_look(ask);
}

void ask_lost(spile_talk *talk) {
    struct talk_ask *ask = ask_current(talk);
    spile_error *error = NULL, **place = &error;
    talk->late = ask_free(talk->late); /* whoever it was, its reply does not come any more */
    talk->awaits_prompt = talk->prompt;
    if (!ask || ask->state != ASK_ASKED)
        return;
    int result = error_set(place, SPILE_ERROR_ENDED, ENODATA, "'%s' was lost before it replied", talk->endpoint.text);
    reply_show_rest(ask);
    end_ask(ask, result, error);
}

void ask_cancel_all(spile_talk *talk) {
    talk->is_cancelling = true;
    while (talk->asks) {
        struct talk_ask *ask = talk->asks;
        spile_error **place = &ask->error;
        if (ask->state != ASK_DONE)
            ask->result = error_set(place, SPILE_ERROR_CANCELLED, ECANCELED, "'%s' was closed", talk->endpoint.text);
        ask->state = ASK_DONE;
        ask_unlink(ask);
        loop_timer_clear(&ask->timer);
        if (!ask->done)
            continue; /* whoever waits for it frees it */
        tell(ask);
        ask_free(ask);
    }
}
