/* What the caller reads: see spile_talk.h. What has arrived stays bytes until somebody takes it, so that lines,
 * characters and raw bytes can be asked for in turn, and nothing is taken by what fails. */
#include "talk/ask.h"

enum { NOW_MAX = 64 << 20 }; /* what has arrived "now" ends somewhere, also where it comes without a pause */

/* ------------------------------------------------------------------------------ taking */

int read_refuse_text(const spile_talk *talk, const char *data, size_t size, spile_error **ret_error) {
    char shown[3 * 4 + 1] = "";
    for (size_t i = 0; i < MIN(size, (size_t)4); i++)
        snprintf(shown + 3 * i, 4, " %02x", (unsigned)(unsigned char)data[i]);
    return error_set(ret_error, SPILE_ERROR_TEXT, EILSEQ,
                     "'%s' sent bytes that are no text in %s:%s; they can be replaced or escaped", talk->endpoint.text,
                     talk->codec.name, shown);
}

void read_note_raw(spile_talk *talk, size_t size) {
    talk->raw = size ? buffer_start(&talk->in) : "";
    talk->raw_size = size;
}

/* Takes the line that lines_find found and decodes it; what it hands out is the buffer's own bytes where they are text
 * as they stand. */
static int take_line(spile_talk *talk, size_t size, size_t end_size, const char **ret_text, size_t *ret_size,
                     spile_error **ret_error) {
    read_note_raw(talk, size);
    if (!talk->in.data) {
        *ret_text = "";
        *ret_size = 0;
        return 0;
    }
    char *data = buffer_start(&talk->in);
    if (codec_is_plain(&talk->codec, data, size)) {
        *ret_text = data;
        *ret_size = size;
    } else {
        struct codec_job job = {.data = data, .size = size, .is_final = true, .characters = UINT64_MAX};
        talk->text.size = 0;
        int result = codec_decode(&talk->codec, &job, &talk->text);
        if (result < 0) {
            text_done(&talk->text); /* nothing was taken */
            return result;
        }
        if (job.bad_bytes && talk->codec.errors == SPILE_TALK_STRICT) {
            result = read_refuse_text(talk, data + job.bad_at, job.bad_bytes, ret_error);
            lines_take(&talk->lines, &talk->in, size + end_size, end_size > 0);
            return result;
        }
        *ret_text = talk->text.data;
        *ret_size = talk->text.size;
    }
    lines_take(&talk->lines, &talk->in, size + end_size, end_size > 0);
    data[size] = '\0'; /* the line's end stood here, or nothing */
    return 0;
}

int read_add_text(spile_talk *talk, size_t size, size_t skip, bool ends_line, struct text *text, bool *ret_is_bad) {
    struct codec_job job = {.data = size ? buffer_start(&talk->in) : "",
                            .size = size,
                            .is_final = true,
                            .joins_ends = talk->lines.ends == SPILE_TALK_ENDS_ANY,
                            .characters = UINT64_MAX};
    const spile_talk_errors errors = talk->codec.errors;
    if (errors == SPILE_TALK_STRICT)
        talk->codec.errors = SPILE_TALK_ESCAPE;
    int result = codec_decode(&talk->codec, &job, text);
    talk->codec.errors = errors;
    if (result < 0)
        return result;
    *ret_is_bad |= job.bad_bytes && errors == SPILE_TALK_STRICT;
    lines_take(&talk->lines, &talk->in, size + skip, ends_line);
    return 0;
}

/* ------------------------------------------------------------------------------ beginning and ending */

int read_begin(spile_talk *talk, const void *ret_text, const void *ret_size) {
    int result = ret_text && ret_size ? talk_check(talk) : -EINVAL;
    if (result < 0)
        return result;
    buffer_trim(&talk->in);
    if (talk->text.capacity > 1 << 20)
        text_done(&talk->text);
    talk->text.size = 0;
    talk->raw = "";
    talk->raw_size = 0;
    talk->quiet_from_ns = 0;
    loss_rejoin(talk);
    return 0;
}

int read_finish(spile_talk *talk, int result) {
    int update = channel_update(talk);
    return result < 0 || update >= 0 ? result : update;
}

/* Nothing is left, and a failure is why. */
static int failure(const spile_talk *talk, spile_error **ret_error) {
    const spile_error *error = talk->error;
    if (!error || buffer_size(&talk->in) > 0)
        return 0;
    if (ret_error)
        *ret_error = error_copy(error);
    return error_kind_errno(error->kind, error->number);
}

bool read_is_over(const spile_talk *talk) {
    return talk->in_ended || talk->has_seam || talk->state == SPILE_TALK_STATE_FAILED ||
           talk->state == SPILE_TALK_STATE_CLOSED;
}

/* Whether a line of which there are `size` bytes is too long. */
static int check_line(const spile_talk *talk, size_t size, bool is_whole, spile_error **ret_error) {
    const uint64_t limit = talk->options.line_limit_bytes;
    if (limit && size > limit)
        return error_set(ret_error, SPILE_ERROR_LIMIT, EMSGSIZE,
                         "'%s' sent a line of more than %llu bytes: read it in pieces", talk->endpoint.text,
                         (unsigned long long)limit);
    if (!is_whole && size >= talk_keep_limit(talk))
        return error_set(
            ret_error, SPILE_ERROR_LIMIT, EMSGSIZE,
            "'%s' has sent %zu bytes with no line's end among them, which is more than may be kept: read them "
            "in pieces, or allow more",
            talk->endpoint.text, size);
    return 0;
}

/* ------------------------------------------------------------------------------ lines */

bool read_find_line(spile_talk *talk, size_t *ret_size, size_t *ret_end_size) {
    if (lines_find(&talk->lines, &talk->in, ret_size, ret_end_size))
        return true;
    *ret_size = buffer_size(&talk->in);
    *ret_end_size = 0;
    return talk->has_message && *ret_size > 0;
}

int read_step(struct talk_wait *wait, uint64_t at_ns) {
    int result = channel_want_message(wait->talk);
    return result < 0 ? result : talk_wait_step(wait, at_ns);
}

/* What there still is where nothing more comes. */
static int read_rest(spile_talk *talk, const char **ret_text, size_t *ret_size, spile_error **ret_error) {
    const size_t size = buffer_size(&talk->in);
    int result = failure(talk, ret_error);
    if (result >= 0)
        result = take_line(talk, size, 0, ret_text, ret_size, ret_error);
    return result < 0 ? result : size ? SPILE_TALK_REST : SPILE_TALK_NOTHING;
}

int spile_talk_read_line(spile_talk *talk, uint64_t timeout_ns, const char **ret_text, size_t *ret_size,
                         spile_error **ret_error) {
    size_t size, end_size;
    int result = read_begin(talk, ret_text, ret_size);
    if (result < 0)
        return result;
    struct talk_wait wait = talk_wait_begin(talk, timeout_ns);
    for (;;) {
        bool is_whole = read_find_line(talk, &size, &end_size);
        result = check_line(talk, is_whole ? size : buffer_size(&talk->in), is_whole, ret_error);
        if (result < 0)
            return result;
        if (is_whole) {
            result = take_line(talk, size, end_size, ret_text, ret_size, ret_error);
            return read_finish(talk, result < 0 ? result : SPILE_TALK_WHOLE);
        }
        if (read_is_over(talk))
            return read_rest(talk, ret_text, ret_size, ret_error);
        result = read_step(&wait, NS_FOREVER);
        if (result < 0)
            return talk_timed_out(talk, result, "sent no whole line", ret_error);
    }
}

/* ------------------------------------------------------------------------------ characters */

/* Decodes what is there, as many characters as that is, and takes it: 1, or 0 where it is less than `least` or nothing.
 */
static int try_text(spile_talk *talk, uint64_t least, uint64_t most, bool is_final, size_t *ret_size,
                    spile_error **ret_error) {
    struct codec_job job = {.data = buffer_size(&talk->in) ? buffer_start(&talk->in) : "",
                            .size = buffer_size(&talk->in),
                            .is_final = is_final,
                            .joins_ends = talk->lines.ends == SPILE_TALK_ENDS_ANY,
                            .characters = most};
    /* What is less than can possibly be enough is not decoded again and again. */
    if (!is_final && job.size < MIN(least, most))
        return 0;
    talk->text.size = 0;
    int result = codec_decode(&talk->codec, &job, &talk->text);
    if (result < 0) {
        text_done(&talk->text);
        return result;
    }
    bool is_strict = job.bad_bytes && talk->codec.errors == SPILE_TALK_STRICT;
    if (!is_final && !is_strict && job.done < MIN(least, most) && buffer_size(&talk->in) < talk_keep_limit(talk)) {
        codec_reset(&talk->codec);
        return 0;
    }
    if (is_strict && job.used == 0) {
        read_note_raw(talk, job.bad_bytes);
        result = read_refuse_text(talk, job.data + job.bad_at, job.bad_bytes, ret_error);
        lines_take(&talk->lines, &talk->in, job.bad_bytes, false);
        return result;
    }
    read_note_raw(talk, job.used);
    lines_take(&talk->lines, &talk->in, job.used, job.joins_ends);
    *ret_size = talk->text.size;
    return 1;
}

/* Takes in what has arrived by now, which may be more than one read brings. */
static int take_in_now(spile_talk *talk) {
    struct talk_wait wait = talk_wait_begin(talk, 0);
    uint64_t before;
    int result;
    do {
        before = talk->bytes_in;
        wait.was_stepped = false;
        result = talk_wait_step(&wait, NS_FOREVER);
    } while (result == 0 && talk->bytes_in > before && buffer_size(&talk->in) < NOW_MAX);
    return result == -EAGAIN ? 0 : result;
}

/* 1: *ret_code is what to return; 0: wait. */
static int look_for_text(spile_talk *talk, uint64_t least, uint64_t most, const char **ret_text, size_t *ret_size,
                         int *ret_code, spile_error **ret_error) {
    bool is_final = read_is_over(talk);
    if (buffer_size(&talk->in) == 0 && least > 0 && !is_final)
        return 0;
    int result = is_final ? failure(talk, ret_error) : 0;
    if (result >= 0)
        result = try_text(talk, least, most, is_final, ret_size, ret_error);
    if (result <= 0)
        return result;
    *ret_text = talk->text.data;
    *ret_code = !is_final                     ? SPILE_TALK_WHOLE
                : talk->text.size == 0        ? SPILE_TALK_NOTHING
                : buffer_size(&talk->in) == 0 ? SPILE_TALK_REST
                                              : SPILE_TALK_WHOLE;
    return 1;
}

int spile_talk_read(spile_talk *talk, uint64_t least, uint64_t most, uint64_t timeout_ns, const char **ret_text,
                    size_t *ret_size, spile_error **ret_error) {
    int code, result = least > most ? -EINVAL : read_begin(talk, ret_text, ret_size);
    if (result >= 0 && least == 0)
        result = take_in_now(talk);
    if (result < 0)
        return result;
    struct talk_wait wait = talk_wait_begin(talk, timeout_ns);
    for (;;) {
        result = look_for_text(talk, least, most, ret_text, ret_size, &code, ret_error);
        if (result != 0)
            return read_finish(talk, result < 0 ? result : code);
        result = read_step(&wait, NS_FOREVER);
        if (result < 0)
            return talk_timed_out(talk, result, "sent no more text", ret_error);
    }
}

/* ------------------------------------------------------------------------------ delimiters, silence */

/* Takes `size` bytes as text, and `skip` more. */
static int take_as_text(spile_talk *talk, size_t size, size_t skip, bool ends_line, const char **ret_text,
                        size_t *ret_size, spile_error **ret_error) {
    struct codec_job job = {.data = size ? buffer_start(&talk->in) : "",
                            .size = size,
                            .is_final = true,
                            .joins_ends = talk->lines.ends == SPILE_TALK_ENDS_ANY,
                            .characters = UINT64_MAX};
    talk->text.size = 0;
    int result = codec_decode(&talk->codec, &job, &talk->text);
    if (result < 0) {
        text_done(&talk->text);
        return result;
    }
    read_note_raw(talk, size);
    if (job.bad_bytes && talk->codec.errors == SPILE_TALK_STRICT)
        result = read_refuse_text(talk, job.data + job.bad_at, job.bad_bytes, ret_error);
    lines_take(&talk->lines, &talk->in, size + skip, ends_line);
    if (result < 0)
        return result;
    *ret_text = talk->text.data;
    *ret_size = talk->text.size;
    return 0;
}

static int read_until(spile_talk *talk, const struct delimiter *delimiter, uint64_t timeout_ns, const char **ret_text,
                      size_t *ret_size, spile_error **ret_error) {
    size_t place, length;
    struct talk_wait wait = talk_wait_begin(talk, timeout_ns);
    talk->lines.delimiter_seen = 0;
    for (;;) {
        int result;
        if (lines_search(&talk->lines, &talk->in, delimiter, &place, &length)) {
            bool ends_line = delimiter->piece_count &&
                             delimiter->pieces[delimiter->piece_count - 1] == delimiter->bytes.size;
            result = take_as_text(talk, place, length, ends_line, ret_text, ret_size, ret_error);
            return read_finish(talk, result < 0 ? result : SPILE_TALK_WHOLE);
        }
        const size_t size = buffer_size(&talk->in);
        if (read_is_over(talk)) {
            result = failure(talk, ret_error);
            if (result >= 0)
                result = take_as_text(talk, size, 0, true, ret_text, ret_size, ret_error);
            return result < 0 ? result : size ? SPILE_TALK_REST : SPILE_TALK_NOTHING;
        }
        if (size >= talk_keep_limit(talk))
            return error_set(ret_error, SPILE_ERROR_LIMIT, EMSGSIZE,
                             "'%s' has sent %zu bytes without the delimiter, which is more than may be kept",
                             talk->endpoint.text, size);
        result = read_step(&wait, NS_FOREVER);
        if (result < 0)
            return talk_timed_out(talk, result, "did not send the delimiter", ret_error);
    }
}

int spile_talk_read_until(spile_talk *talk, const char *text, uint64_t timeout_ns, const char **ret_text,
                          size_t *ret_size, spile_error **ret_error) {
    struct delimiter delimiter;
    int result = text && *text ? read_begin(talk, ret_text, ret_size) : -EINVAL;
    if (result >= 0)
        result = delimiter_init(&delimiter, &talk->codec, text);
    if (result < 0)
        return result;
    result = read_until(talk, &delimiter, timeout_ns, ret_text, ret_size, ret_error);
    delimiter_done(&delimiter);
    return result;
}

int read_await_silence(spile_talk *talk, uint64_t silence_ns, uint64_t timeout_ns, int (*take)(spile_talk *talk),
                       spile_error **ret_error) {
    const uint64_t before = TAKE(talk->quiet_from_ns, 0), began = before ? before : time_now_ns();
    struct talk_wait wait = talk_wait_begin(talk, timeout_ns);
    for (;;) {
        uint64_t quiet_at = time_add_ns(MAX(began, channel_arrived_ns(talk)), silence_ns);
        int result = take ? take(talk) : 0;
        if (result < 0)
            return result;
        if (read_is_over(talk) || (wait.was_stepped && time_now_ns() >= quiet_at))
            return 0;
        result = read_step(&wait, quiet_at);
        if (result == -ETIMEDOUT || result == -EAGAIN)
            talk->quiet_from_ns = began;
        if (result < 0)
            return talk_timed_out(talk, result, "was not silent", ret_error);
    }
}

int spile_talk_read_silence(spile_talk *talk, uint64_t silence_ns, uint64_t timeout_ns, const char **ret_text,
                            size_t *ret_size, spile_error **ret_error) {
    if (!talk)
        return -EINVAL;
    const uint64_t quiet_from_ns = talk->quiet_from_ns;
    int result = read_begin(talk, ret_text, ret_size);
    if (result < 0)
        return result;
    talk->quiet_from_ns = quiet_from_ns;
    result = read_await_silence(talk, silence_ns, timeout_ns, NULL, ret_error);
    if (result < 0)
        return result;
    const size_t size = buffer_size(&talk->in);
    bool is_ended = read_is_over(talk);
    result = is_ended ? failure(talk, ret_error) : 0;
    if (result >= 0)
        result = take_as_text(talk, size, 0, true, ret_text, ret_size, ret_error);
    int code = !is_ended ? SPILE_TALK_WHOLE : size ? SPILE_TALK_REST : SPILE_TALK_NOTHING;
    return read_finish(talk, result < 0 ? result : code);
}

/* ------------------------------------------------------------------------------ bytes */

int spile_talk_read_bytes(spile_talk *talk, uint64_t least, uint64_t most, uint64_t timeout_ns, const void **ret_data,
                          size_t *ret_size, spile_error **ret_error) {
    int result = least > most ? -EINVAL : read_begin(talk, ret_data, ret_size);
    if (result >= 0 && least == 0)
        result = take_in_now(talk);
    if (result < 0)
        return result;
    struct talk_wait wait = talk_wait_begin(talk, timeout_ns);
    while (buffer_size(&talk->in) < MIN(least, talk_keep_limit(talk)) && !read_is_over(talk)) {
        result = read_step(&wait, NS_FOREVER);
        if (result < 0)
            return talk_timed_out(talk, result, "did not send so many bytes", ret_error);
    }
    result = read_is_over(talk) ? failure(talk, ret_error) : 0;
    if (result < 0)
        return result;
    const size_t size = (size_t)MIN((uint64_t)buffer_size(&talk->in), most);
    read_note_raw(talk, size);
    *ret_data = talk->raw;
    *ret_size = size;
    lines_take(&talk->lines, &talk->in, size, false);
    if (size < least || (size == 0 && read_is_over(talk)))
        return size ? SPILE_TALK_REST : SPILE_TALK_NOTHING;
    return read_finish(talk, SPILE_TALK_WHOLE);
}

int spile_talk_bytes(const spile_talk *talk, const void **ret_data, size_t *ret_size) {
    if (!talk || !ret_data || !ret_size)
        return -EINVAL;
    *ret_data = talk->raw ? talk->raw : "";
    *ret_size = talk->raw_size;
    return 0;
}

static int put_back(spile_talk *talk, const char *text, size_t size) {
    AUTO_TEXT bytes = {0};
    size_t bad;
    /* Where an LF may still follow that belongs to a line's end, that end is a CR again. */
    bool ends_in_cr = talk->lines.swallows_lf && text[size - 1] == '\n';
    int result = codec_encode(&talk->codec, text, size - ends_in_cr, "\n", &bytes, &bad);
    if (ends_in_cr)
        text_add(&bytes, (const char *)talk->codec.cr, talk->codec.unit);
    if (result >= 0)
        result = bytes.failed ? -ENOMEM : buffer_put_back(&talk->in, bytes.data, bytes.size);
    if (result >= 0)
        lines_put_back(&talk->lines, bytes.size);
    if (result >= 0)
        expect_forget(talk);
    return result;
}

int spile_talk_unread(spile_talk *talk, const char *text, size_t size) {
    struct ask_turn turn = {0};
    int result = text ? talk_check(talk) : -EINVAL;
    if (result < 0 || size == 0)
        return result;
    result = ask_hold(talk, &turn);
    if (result < 0)
        return result;
    result = talk->expects ? -EBUSY : put_back(talk, text, size);
    ask_let_go(talk);
    return result;
}
