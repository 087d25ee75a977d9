/* What becomes of a talk that is lost and opened again (the option `reconnect`): see talk.h.
 *
 * The other side that is there afterwards knows nothing of what was said before. So nothing that was begun goes on:
 * what was queued is dropped, and who waits for it is told; a question whose reply was awaited fails; the prompt is
 * awaited anew. What had come and was not read is the rest of a stream that has ended: it is read first, by itself, so
 * that half a line never becomes part of the next one.
 */
#include "talk/talk.h"

enum { PAUSE_FIRST_MS = 10, PAUSE_MAX_MS = 1000, STEADY_S = 1, CHILD_GRACE_MS = 1000 };

/* What has come from now on belongs to another stream than what is there. */
static void begin_stream(spile_talk *talk) {
    lines_restart(&talk->lines);
    codec_reset(&talk->codec);
}

/* Ends the line that the bytes end in the middle of, if they do. */
static void end_line(const spile_talk *talk, struct buffer *bytes) {
    const struct codec *codec = &talk->codec;
    const size_t size = buffer_size(bytes), unit = codec->unit;
    const unsigned char *last = talk->lines.ends == SPILE_TALK_ENDS_CR ? codec->cr : codec->lf;
    if (size == 0 || (size >= unit && memcmp(buffer_start(bytes) + size - unit, last, unit) == 0))
        return;
    if (talk->lines.ends == SPILE_TALK_ENDS_CRLF)
        (void)buffer_add(bytes, codec->cr, unit);
    (void)buffer_add(bytes, last, unit);
}

static void part(spile_talk *talk) {
    talk->line_out = 0;
    talk->wants_message = false;
    if (buffer_size(&talk->in) == 0)
        begin_stream(talk);
    else if (!talk->has_seam)
        talk->has_seam = true;
    else
        end_line(talk, &talk->next); /* lost twice before anything was read */
}

void loss_rejoin(spile_talk *talk) {
    if (!talk->has_seam || buffer_size(&talk->in) > 0)
        return;
    buffer_done(&talk->in);
    talk->in = talk->next;
    talk->next = (struct buffer){0};
    talk->has_seam = false;
    begin_stream(talk);
}

static void drop_queue(spile_talk *talk) {
    talk->bytes_lost += buffer_size(&talk->out);
    talk->out.start = talk->out.end;
    buffer_trim(&talk->out);
    talk->messages.count = 0;
    transcript_dropped(talk->transcript);
}

static void lose(struct loop_timer *timer) {
    spile_talk *talk = CONTAINER_OF(timer, spile_talk, loss);
    const uint64_t now = time_now_ns();
    const bool was_steady = now - talk->opened_ns >= STEADY_S * NS_PER_SECOND;
    transcript_event(talk->transcript, "lost", "");
    tty_close(&talk->tty);
    channel_stop(talk);
    child_leave(talk);
    drop_queue(talk);
    part(talk);
    talk->in_ended = talk->is_losing = talk->has_ended_out = false;
    talk->out_error = 0;
    talk->news |= SPILE_TALK_LOST;
    talk_set_state(talk, SPILE_TALK_STATE_OPENING);
    talk->pause_ns = was_steady || !talk->pause_ns ? PAUSE_FIRST_MS * NS_PER_MS
                                                   : MIN(2 * talk->pause_ns, PAUSE_MAX_MS * NS_PER_MS);
    int result = connect_again(talk, talk->pause_ns);
    if (result < 0)
        talk_fail(talk, error_with(error_new(SPILE_ERROR_SYSTEM, "'%s' can't be opened again: %s", talk->endpoint.text,
                                             strerror(-result)),
                                   -result, -1, -1));
    ask_lost(talk);
    ask_arrived(talk);
    expect_arrived(talk);
    channel_tell(talk);
}

bool loss_begins(spile_talk *talk) {
    if (!talk->options.reconnect || talk->state != SPILE_TALK_STATE_OPEN || talk->wants_end)
        return false;
    if (!talk->is_losing)
        talk->losses++;
    talk->is_losing = true;
    /* A program's exit status comes with its end, or a little later. */
    const uint64_t grace = talk->child && !talk->has_exited ? CHILD_GRACE_MS * NS_PER_MS : 0;
    loop_timer_set(talk->loop, &talk->loss, grace ? time_now_ns() + grace : 0, lose);
    return true;
}

static void heirs_are_late(struct loop_timer *timer) {
    (void)loss_begins(CONTAINER_OF(timer, spile_talk, loss));
}

void loss_child_exited(spile_talk *talk) {
    if (!talk->options.reconnect || talk->state != SPILE_TALK_STATE_OPEN || talk->wants_end)
        return;
    if (talk->is_losing)
        (void)loss_begins(talk);
    else /* its last words, or what it left behind may say something */
        loop_timer_set(talk->loop, &talk->loss, time_now_ns() + HEIRS_MS * NS_PER_MS, heirs_are_late);
}

void loss_stop(spile_talk *talk) {
    loop_timer_clear(&talk->loss);
    talk->in_ended |= talk->is_losing;
    talk->is_losing = false;
}

int loss_close(spile_talk *talk, spile_error **ret_error) {
    loss_stop(talk);
    if (talk->state != SPILE_TALK_STATE_OPENING || buffer_size(&talk->out) == 0)
        return 0;
    return error_set(ret_error, SPILE_ERROR_ENDED, EPIPE,
                     talk->losses > 0 ? "'%s' was lost, and what was written since is, too"
                                      : "'%s' was not open yet, and what was written is lost",
                     talk->endpoint.text);
}
