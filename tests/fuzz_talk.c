/* What holds for any bytes from any device: cut into pieces in any way they give the same lines and the same text,
 * which is well-formed; and any text is an endpoint, or refused with a reason. Built as a libFuzzer harness,
 * which calls fuzz_one by another name, and into test_talk_text, which replays corpus/talk.
 *
 * The first four bytes choose: encoding, policy, line ends, how it is cut.
 */
#include "talk/codec.h"
#include "talk/endpoint.h"
#include "talk/lines.h"

#include <stdlib.h>
#include <string.h>

int fuzz_one(const uint8_t *data, size_t size);

static void require(bool condition) {
    if (!condition)
        abort();
}

/* Sizes of pieces; whole where `state` is 0. */
static size_t next_piece(uint32_t *state, size_t left) {
    if (!*state)
        return left;
    *state = *state * 1664525u + 1013904223u;
    *state |= 1;
    return MIN(left, (size_t)1 + (*state >> 8) % ((*state >> 4) % 4 == 0 ? 64 : 4));
}

struct found {
    struct text lines, text; /* each line with its size before it; all of it decoded */
    size_t bad_at;           /* under the strict policy; SIZE_MAX: nowhere */
};

static void note_line(struct text *lines, const char *data, size_t size, size_t end_size) {
    text_printf(lines, "%zu %d:", size, end_size > 0);
    text_add(lines, size ? data : "", size);
}

static void find_lines(const struct codec *codec, spile_talk_ends ends, const char *data, size_t size, uint32_t state,
                       struct text *found) {
    struct lines lines;
    struct buffer buffer = {0};
    size_t line, end;
    lines_init(&lines, codec, ends);
    for (size_t place = 0, piece; place < size; place += piece) {
        piece = next_piece(&state, size - place);
        require(buffer_add(&buffer, data + place, piece) == 0);
        lines_arrived(&lines, &buffer);
        while (lines_find(&lines, &buffer, &line, &end)) {
            require(line + end <= buffer_size(&buffer) && end > 0);
            note_line(found, buffer_start(&buffer), line, end);
            lines_take(&lines, &buffer, line + end, true);
        }
        buffer_trim(&buffer);
    }
    if (buffer_size(&buffer) > 0)
        note_line(found, buffer_start(&buffer), buffer_size(&buffer), 0);
    buffer_done(&buffer);
}

/* As spile_talk_read does it. */
static void decode(struct codec *codec, const char *data, size_t size, uint32_t state, struct found *found) {
    struct lines lines;
    struct buffer buffer = {0};
    found->bad_at = SIZE_MAX;
    codec_reset(codec);
    lines_init(&lines, codec, SPILE_TALK_ENDS_ANY);
    for (size_t have = 0; have < size && found->bad_at == SIZE_MAX;) {
        const size_t piece = next_piece(&state, size - have);
        require(buffer_add(&buffer, data + have, piece) == 0);
        have += piece;
        lines_arrived(&lines, &buffer);
        struct codec_job job = {.data = buffer_start(&buffer),
                                .size = buffer_size(&buffer),
                                .is_final = have == size,
                                .joins_ends = true,
                                .characters = UINT64_MAX};
        require(codec_decode(codec, &job, &found->text) == 0 && job.used <= job.size);
        if (job.bad_bytes && codec->errors == SPILE_TALK_STRICT)
            found->bad_at = (size_t)lines.taken + job.bad_at;
        else
            require(have < size || job.used == job.size);
        lines_take(&lines, &buffer, job.used, true);
    }
    buffer_done(&buffer);
}

static void check_utf8(const struct text *text) {
    for (size_t i = 0; i < text->size;) {
        int length = utf8_length(text->data + i, text->size - i);
        require(length > 0);
        i += (size_t)length;
    }
}

static void require_same(const struct text *one, const struct text *other) {
    require(!one->failed && !other->failed && one->size == other->size);
    require(one->size == 0 || memcmp(one->data, other->data, one->size) == 0);
}

static void try_bytes(const uint8_t *how, const char *data, size_t size) {
    static const char *const encodings[] = {"UTF-8",    "UTF-8",        "ASCII",       "latin-1",
                                            "UTF-16LE", "UTF-16BE",     "UTF-32LE",    "EUC-JP",
                                            "GB18030",  "windows-1252", "ISO-2022-JP", "SHIFT_JIS"};
    struct codec codec;
    struct found whole = {0}, pieces = {0};
    require(codec_init(&codec, encodings[how[0] % ARRAY_SIZE(encodings)], (spile_talk_errors)(how[1] % 3)) == 0);
    const spile_talk_ends ends = (spile_talk_ends)(how[2] % 4);
    const uint32_t state = 2u * how[3] + 1;
    find_lines(&codec, ends, data, size, 0, &whole.lines);
    find_lines(&codec, ends, data, size, state, &pieces.lines);
    require_same(&whole.lines, &pieces.lines);
    decode(&codec, data, size, 0, &whole);
    decode(&codec, data, size, state, &pieces);
    require_same(&whole.text, &pieces.text);
    require(whole.bad_at == pieces.bad_at);
    check_utf8(&whole.text);
    text_done(&whole.lines);
    text_done(&whole.text);
    text_done(&pieces.lines);
    text_done(&pieces.text);
    codec_done(&codec);
}

static void try_endpoint(const char *data, size_t size) {
    struct endpoint endpoint;
    spile_error *error = NULL;
    char *text = malloc(size + 1);
    require(text);
    if (size > 0)
        memcpy(text, data, size);
    text[size] = '\0';
    int result = endpoint_parse(text, &endpoint, &error);
    if (result < 0) {
        require(result == -EINVAL && error && *spile_error_get_message(error));
        require(spile_error_get_kind(error) == SPILE_ERROR_ENDPOINT);
    } else {
        require(!error && strcmp(endpoint.text, text) == 0);
        for (size_t i = 0; i < endpoint.word_count; i++)
            require(endpoint.words[i]);
        require(endpoint.word_count == 0 || !endpoint.words[endpoint.word_count]);
        endpoint_done(&endpoint);
    }
    spile_error_free(error);
    free(text);
}

int fuzz_one(const uint8_t *data, size_t size) {
    enum { HOW = 4 };
    if (size >= HOW)
        try_bytes(data, (const char *)data + HOW, size - HOW);
    try_endpoint((const char *)data, size);
    return 0;
}
