/* Replies: what arrives, line by line, until the reply is whole. Each line is looked at once, in the order it came, so
 * that cutting what arrives into pieces changes no reply. */
#include "talk/ask.h"

#include <fnmatch.h>

static bool matches(char *const *patterns, const char *line) {
    for (; *patterns; patterns++)
        if (fnmatch(*patterns, line, 0) == 0)
            return true;
    return false;
}

static int keep_end(struct talk_ask *ask, const char *line) {
    ask->end = memory_string(line);
    return ask->end ? 1 : -ENOMEM;
}

static int add_line(struct talk_ask *ask, size_t start) {
    const char *line = ask->reply.data + start;
    const size_t size = ask->reply.size - start;
    bool is_echo = ask->drops_echo && !ask->is_echo_over && size == ask->options.line_size &&
                   memcmp(line, ask->line, size) == 0;
    bool has_come = !(is_echo || (size == 0 && ask->options.skip_empty));
    ask->is_echo_over |= has_come || is_echo;
    if (!has_come) {
        ask->reply.size = start - (ask->lines > 0);
        ask->reply.data[ask->reply.size] = '\0';
        return 0;
    }
    if (matches(ask->errors, line)) {
        ask->lines++;
        ask->result = -EPROTO;
        return keep_end(ask, line);
    }
    if (matches(ask->ends, line)) {
        int result = keep_end(ask, line);
        ask->reply.size = start - (ask->lines > 0);
        ask->reply.data[ask->reply.size] = '\0';
        return result;
    }
    ask->lines++;
    return ask->options.lines && ask->lines == ask->options.lines;
}

/* Takes the first `size` bytes as one more line of the reply. 1: that was all of it. */
static int take_line(struct talk_ask *ask, size_t size, size_t end_size) {
    spile_talk *talk = ask->talk;
    if (ask->lines > 0)
        text_add(&ask->reply, "\n", 1);
    else
        text_add(&ask->reply, "", 0);
    const size_t start = ask->reply.size;
    int result = ask->reply.failed ? -ENOMEM
                                   : read_add_text(talk, size, end_size, end_size > 0, &ask->reply, &ask->is_bad);
    return result < 0 ? result : add_line(ask, start);
}

bool reply_has_begun(const struct talk_ask *ask) {
    return ask->lines > 0 || buffer_size(&ask->talk->in) > 0;
}

int reply_take(struct talk_ask *ask) {
    spile_talk *talk = ask->talk;
    size_t size, end_size;
    for (;;) {
        const size_t held = buffer_size(&talk->in);
        if (ask->has_prompt && held > 0) {
            enum match match = delimiter_match(&talk->lines, &ask->prompt, buffer_start(&talk->in), held, 0, &size);
            if (match == MATCH_YES) {
                lines_take(&talk->lines, &talk->in, size, false);
                return keep_end(ask, ask->options.prompt ? ask->options.prompt : talk->prompt);
            }
            if (match == MATCH_BEGUN && !talk->has_message)
                return 0;
        }
        if (!read_find_line(talk, &size, &end_size))
            return 0;
        int result = take_line(ask, size, end_size);
        if (result != 0)
            return result;
    }
}

/* What has come of a reply that is not whole, for whoever is told that it did not come: a line without its end stays.
 */
void reply_show_rest(struct talk_ask *ask) {
    spile_talk *talk = ask->talk;
    const size_t size = buffer_size(&talk->in);
    if (size == 0)
        return;
    struct codec_job job = {
        .data = buffer_start(&talk->in), .size = size, .is_final = true, .joins_ends = true, .characters = UINT64_MAX};
    if (ask->lines > 0)
        text_add(&ask->reply, "\n", 1);
    (void)codec_decode(&talk->codec, &job, &ask->reply);
    codec_reset(&talk->codec);
}

void reply_take_silence(struct talk_ask *ask) {
    const size_t size = buffer_size(&ask->talk->in);
    if (size > 0)
        (void)take_line(ask, size, 0);
}
