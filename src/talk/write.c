/* What the caller writes: see spile_talk.h. It is queued as bytes, slice by slice, and goes out as far as the other
 * side takes it; whoever waits for that takes in what the other side says. */
#include "talk/talk.h"

enum { SLICE = 64 << 10, LINE_MODE_MAX = 4095, ECHO_LOOK_MS = 5 };

int write_refuse(const spile_talk *talk, spile_error **ret_error) {
    if (talk->error && ret_error) {
        *ret_error = error_copy(talk->error);
        return talk->out_error ? talk->out_error : -EPIPE;
    }
    if (talk->out_error == -EPIPE || !talk->out_error)
        return error_set(ret_error, SPILE_ERROR_ENDED, EPIPE, "'%s' takes nothing any more", talk->endpoint.text);
    return error_set(ret_error, SPILE_ERROR_SYSTEM, -talk->out_error, "writing to '%s' failed: %s", talk->endpoint.text,
                     strerror(-talk->out_error));
}

static int check(const spile_talk *talk, spile_error **ret_error) {
    int result = talk_check(talk);
    if (result < 0)
        return result;
    if (talk->state == SPILE_TALK_STATE_CLOSED || talk->state == SPILE_TALK_STATE_CLOSING || talk->wants_end)
        return error_set(ret_error, SPILE_ERROR_USAGE, EBADF, "'%s' was ended: nothing more can be written",
                         talk->endpoint.text);
    if (talk->state == SPILE_TALK_STATE_FAILED || talk->out_error)
        return write_refuse(talk, ret_error);
    if (talk->state == SPILE_TALK_STATE_OPEN && talk->channel.out_fd < 0)
        return error_set(ret_error, SPILE_ERROR_ENDPOINT, EBADF, "'%s' can only be read", talk->endpoint.text);
    return 0;
}

/* Writes and waits until no more than `most` bytes are queued. */
static int drain(spile_talk *talk, struct talk_wait *wait, size_t most, spile_error **ret_error) {
    const uint64_t lost = talk->bytes_lost;
    talk->quiet_from_ns = 0;
    channel_put_out(talk);
    int result = channel_update(talk);
    while (result >= 0 && buffer_size(&talk->out) > most && !talk->out_error) {
        if (buffer_size(&talk->in) >= talk_keep_limit(talk))
            return error_set(ret_error, SPILE_ERROR_LIMIT, ENOBUFS,
                             "'%s' says more than may be kept while it is written to: read it, or allow more",
                             talk->endpoint.text);
        result = talk_wait_step(wait, NS_FOREVER);
    }
    if (talk->bytes_lost > lost)
        return error_set(ret_error, SPILE_ERROR_ENDED, EPIPE, "'%s' was lost while it was written to",
                         talk->endpoint.text);
    if (result < 0)
        return talk_timed_out(talk, result, "did not take it all", ret_error);
    return talk->out_error ? write_refuse(talk, ret_error) : 0;
}

int spile_talk_flush(spile_talk *talk, uint64_t timeout_ns, spile_error **ret_error) {
    int result = talk_check(talk);
    if (result < 0)
        return result;
    struct talk_wait wait = talk_wait_begin(talk, timeout_ns);
    return drain(talk, &wait, 0, ret_error);
}

/* ------------------------------------------------------------------------------ lines that a terminal would cut */

/* The longest line that the text makes, with what of it was written before; *ret_open is how long the last one is. */
static size_t longest_line(size_t open, const char *text, size_t size, size_t *ret_open) {
    size_t longest = 0;
    const char *end = text + size;
    for (const char *place = text;;) {
        const char *line_end = size ? memchr(place, '\n', (size_t)(end - place)) : NULL;
        open += (size_t)((line_end ? line_end : end) - place);
        longest = MAX(longest, open);
        if (!line_end)
            break;
        open = 0;
        place = line_end + 1;
    }
    *ret_open = open;
    return longest;
}

static int check_lines(const spile_talk *talk, const char *text, size_t size, size_t *ret_open,
                       spile_error **ret_error) {
    struct termios modes = {0};
    size_t longest = longest_line(talk->line_out, text, size, ret_open);
    if (longest < LINE_MODE_MAX || !talk->channel.is_master || sys_tcgetattr(talk->channel.out_fd, &modes) < 0 ||
        !(modes.c_lflag & ICANON))
        return 0;
    return error_set(
        ret_error, SPILE_ERROR_LIMIT, EMSGSIZE,
        "a line of %zu bytes is longer than the %d that a terminal in line mode takes: it would be cut; use "
        "'pipe:', or let the program leave line mode first",
        longest, LINE_MODE_MAX - 1);
}

/* ------------------------------------------------------------------------------ writing */

static int refuse_character(const spile_talk *talk, const char *text, size_t size, size_t bad,
                            spile_error **ret_error) {
    int length = utf8_length(text + bad, size - bad);
    if (length <= 0)
        return error_set(ret_error, SPILE_ERROR_TEXT, EILSEQ, "what is written is no UTF-8, from byte %zu on", bad);
    return error_set(ret_error, SPILE_ERROR_TEXT, EILSEQ,
                     "'%.*s' can't be written in %s; it can be replaced or escaped", length, text + bad,
                     talk->codec.name);
}

/* Where a slice ends: not in the middle of a character. */
static size_t slice_of(const char *text, size_t size, bool is_text) {
    if (size <= SLICE)
        return size;
    size_t end = SLICE;
    while (is_text && end > SLICE - 4 && ((unsigned char)text[end] & 0xc0) == 0x80)
        end--;
    return end;
}

static int queue_text(spile_talk *talk, const char *text, size_t size, spile_error **ret_error) {
    struct text *bytes = &talk->coded;
    size_t bad;
    if (talk->writes_as_it_is)
        return buffer_add(&talk->out, text, size);
    bytes->size = 0;
    int result = codec_encode(&talk->codec, text, size, talk->eol, bytes, &bad);
    if (result == -EILSEQ)
        return refuse_character(talk, text, size, bad, ret_error);
    if (result >= 0)
        result = buffer_add(&talk->out, bytes->data, bytes->size);
    if (result < 0 || bytes->capacity > 4 * (size_t)SLICE)
        text_done(bytes);
    return result;
}

static int queue(spile_talk *talk, const char *data, size_t size, bool is_text, spile_error **ret_error) {
    return is_text ? queue_text(talk, data, size, ret_error) : buffer_add(&talk->out, data, size);
}

/* A strict encoding must refuse before anything is written. */
static int check_text(spile_talk *talk, const char *text, size_t size, spile_error **ret_error) {
    AUTO_TEXT bytes = {0};
    size_t bad;
    if (talk->codec.errors != SPILE_TALK_STRICT || codec_is_plain(&talk->codec, text, size))
        return 0;
    int result = codec_encode(&talk->codec, text, size, talk->eol, &bytes, &bad);
    return result == -EILSEQ ? refuse_character(talk, text, size, bad, ret_error) : result;
}

/* What is written. */
struct writing {
    const char *data;
    size_t size;
    bool is_text, is_line; /* as bytes otherwise; its end is still to be added */
};

/* Queues a message: all of it or nothing. */
static int queue_message(spile_talk *talk, const char *data, size_t size, bool is_text, bool adds_end,
                         spile_error **ret_error) {
    const size_t before = buffer_size(&talk->out);
    int result = queue(talk, data, size, is_text, ret_error);
    if (result >= 0 && adds_end)
        result = queue_text(talk, "\n", 1, ret_error);
    if (result >= 0)
        result = channel_end_message(talk);
    if (result < 0)
        talk->out.end = talk->out.start + before;
    return result;
}

static size_t message_size(const struct writing *writing, const char *place, const char *end) {
    const char *line_end = writing->is_text && place < end ? memchr(place, '\n', (size_t)(end - place)) : NULL;
    return (size_t)((line_end ? line_end + 1 : end) - place);
}

/* Each line is a message, and what there is behind the last; of bytes all are one. */
static size_t write_messages(spile_talk *talk, const struct writing *writing, struct talk_wait *wait, int *ret_result,
                             spile_error **ret_error) {
    const char *place = writing->data, *end = place + writing->size;
    int result = 0;
    do {
        const size_t size = message_size(writing, place, end);
        const bool is_ended = writing->is_text && size > 0 && place[size - 1] == '\n';
        if (buffer_size(&talk->out) > 0 && buffer_size(&talk->out) + size > QUEUE_MAX)
            result = drain(talk, wait, QUEUE_MAX / 2, ret_error);
        if (result >= 0 && (size > 0 || writing->is_line))
            result = queue_message(talk, place, size, writing->is_text, !is_ended && writing->is_line, ret_error);
        place += result < 0 ? 0 : size;
    } while (result >= 0 && place < end);
    if (result >= 0)
        result = drain(talk, wait, 0, ret_error);
    *ret_result = result == -EAGAIN && place == end ? 0 : result;
    return writing->size - (size_t)(end - place);
}

/* Bytes that were taken; *ret_result is why it was not all, or why not all of it is out. */
static size_t write_slices(spile_talk *talk, const struct writing *writing, struct talk_wait *wait, int *ret_result,
                           spile_error **ret_error) {
    const char *data = writing->data;
    const size_t size = writing->size;
    const bool is_text = writing->is_text;
    const size_t limit = wait->timeout_ns ? QUEUE_MAX / 4 : QUEUE_MAX;
    size_t done = 0;
    int result = wait->timeout_ns && buffer_size(&talk->out) > 0 ? drain(talk, wait, 0, ret_error) : 0;
    while (done < size && result >= 0) {
        const size_t slice = slice_of(data + done, size - done, is_text);
        if (buffer_size(&talk->out) + slice > limit)
            result = drain(talk, wait, limit / 2, ret_error);
        if (result >= 0)
            result = queue(talk, data + done, slice, is_text, ret_error);
        if (result < 0)
            break;
        done += slice;
    }
    if (result >= 0 && writing->is_line)
        result = queue_text(talk, "\n", 1, ret_error);
    if (result >= 0)
        result = drain(talk, wait, 0, ret_error);
    *ret_result = result == -EAGAIN && done == size ? 0 : result; /* it is queued, and nobody wanted to wait */
    return done;
}

/* *ret_result as above. */
static ssize_t write_any(spile_talk *talk, const struct writing *writing, struct talk_wait *wait, int *ret_result,
                         spile_error **ret_error) {
    const char *data = writing->data;
    const size_t size = writing->size;
    size_t line_open = 0;
    int result = data || !size ? check(talk, ret_error) : -EINVAL;
    if (result >= 0)
        result = check_lines(talk, data, size, &line_open, ret_error);
    if (result >= 0 && writing->is_text)
        result = check_text(talk, data, size, ret_error);
    if (result >= 0 && wait->timeout_ns && loop_is_stepping(talk->loop))
        result = -EBUSY;
    if (result < 0)
        return result;
    talk->line_out = writing->is_line ? 0 : line_open;
    if (talk->options.message)
        return (ssize_t)write_messages(talk, writing, wait, ret_result, ret_error);
    return (ssize_t)write_slices(talk, writing, wait, ret_result, ret_error);
}

/* As write(2): what was taken counts, and only where nothing was the reason does. */
static ssize_t write_counted(spile_talk *talk, const struct writing *writing, uint64_t timeout_ns,
                             spile_error **ret_error) {
    spile_error *error = NULL;
    int result = talk_check(talk);
    if (result < 0)
        return result;
    struct talk_wait wait = talk_wait_begin(talk, timeout_ns);
    ssize_t done = write_any(talk, writing, &wait, &result, ret_error ? &error : NULL);
    bool is_gone = result < 0 && (talk->out_error || result == -EPIPE); /* what was taken is lost */
    if (done >= 0 && result < 0 && (done == 0 || is_gone))
        done = result;
    if (done < 0 && ret_error)
        *ret_error = TAKE_POINTER(error);
    spile_error_free(error);
    return done;
}

ssize_t spile_talk_write(spile_talk *talk, const char *text, size_t size, uint64_t timeout_ns,
                         spile_error **ret_error) {
    return write_counted(talk, &(struct writing){.data = text, .size = size, .is_text = true}, timeout_ns, ret_error);
}

ssize_t spile_talk_write_bytes(spile_talk *talk, const void *data, size_t size, uint64_t timeout_ns,
                               spile_error **ret_error) {
    return write_counted(talk, &(struct writing){.data = data, .size = size}, timeout_ns, ret_error);
}

static int write_line(spile_talk *talk, const char *line, struct talk_wait *wait, spile_error **ret_error) {
    int result = 0;
    if (!line)
        return -EINVAL;
    const struct writing writing = {.data = line, .size = strlen(line), .is_text = true, .is_line = true};
    ssize_t done = write_any(talk, &writing, wait, &result, ret_error);
    return done < 0 ? (int)done : result;
}

int spile_talk_write_line(spile_talk *talk, const char *line, uint64_t timeout_ns, spile_error **ret_error) {
    int result = talk_check(talk);
    if (result < 0)
        return result;
    struct talk_wait wait = talk_wait_begin(talk, timeout_ns);
    return write_line(talk, line, &wait, ret_error);
}

bool write_is_echoing(const spile_talk *talk) {
    struct termios modes = {0};
    return talk->channel.is_master && sys_tcgetattr(talk->channel.out_fd, &modes) >= 0 && modes.c_lflag & ECHO;
}

bool write_may_echo(const spile_talk *talk) {
    /* Programs that edit their lines show them where the terminal did when they began, and turn its echo off. */
    return write_is_echoing(talk) || (talk->channel.is_master && talk->options.terminal_echo);
}

/* What is written from here on, up to end_secret, is masked in the transcript. */
static int begin_secret(spile_talk *talk, const char *line) {
    return line ? transcript_secret_begin(talk->transcript, line, talk->bytes_out + buffer_size(&talk->out)) : -EINVAL;
}

static void end_secret(spile_talk *talk) {
    transcript_secret_end(talk->transcript, talk->bytes_out + buffer_size(&talk->out));
}

int spile_talk_write_secret(spile_talk *talk, const char *line, uint64_t timeout_ns, spile_error **ret_error) {
    int result = talk_check(talk);
    if (result < 0)
        return result;
    struct talk_wait wait = talk_wait_begin(talk, timeout_ns);
    while (write_is_echoing(talk)) { /* nothing tells when that changes */
        result = talk_wait_step(&wait, time_now_ns() + ECHO_LOOK_MS * NS_PER_MS);
        if (result < 0)
            return talk_timed_out(talk, result, "did not turn its echo off", ret_error);
    }
    result = begin_secret(talk, line);
    if (result < 0)
        return result;
    result = write_line(talk, line, &wait, ret_error);
    end_secret(talk);
    return result;
}

static int queue_line(spile_talk *talk, const char *line, size_t size, spile_error **ret_error) {
    size_t line_open = 0;
    int result = check_lines(talk, line, size, &line_open, ret_error);
    if (result >= 0)
        result = queue_message(talk, line, size, true, true, ret_error);
    if (result >= 0)
        talk->line_out = 0;
    return result;
}

int write_queue_line(spile_talk *talk, const char *line, size_t size, bool is_secret, spile_error **ret_error) {
    int result = check(talk, ret_error);
    if (result >= 0 && is_secret)
        result = begin_secret(talk, line);
    if (result < 0)
        return result;
    result = queue_line(talk, line, size, ret_error);
    if (is_secret)
        end_secret(talk);
    if (result < 0)
        return result;
    channel_put_out(talk);
    return channel_update(talk);
}
