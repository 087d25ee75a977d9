/* The text that is looked at: see view.h. */
#include "talk/view.h"

enum { FIRST_STEP = 4096, LAST_STEP = 1 << 20, MARK_STEP = 4096 };

int view_init(struct view *view, spile_talk *talk, bool is_bytes, bool looks_behind) {
    bool has_behind = looks_behind && talk->behind.size > 0 && talk->behind.at == talk->lines.taken &&
                      talk->behind.is_bytes == is_bytes;
    *view = (struct view){
        .talk = talk,
        .is_bytes = is_bytes,
        .is_raw = !has_behind && (is_bytes || talk->codec.kind != CODEC_ICONV),
        .joins_ends = !is_bytes && talk->lines.ends == SPILE_TALK_ENDS_ANY,
        .base = talk->lines.taken,
        .step = FIRST_STEP,
    };
    if (has_behind) {
        text_add(&view->text, talk->behind.text, talk->behind.size);
        view->behind = view->text.size;
    }
    if (!is_bytes)
        codec_reset(&talk->codec);
    return view->text.failed ? -ENOMEM : 0;
}

void view_done(struct view *view) {
    text_done(&view->text);
    free(view->marks);
    view->marks = NULL;
}

const char *view_data(const struct view *view) {
    if (!view->is_raw)
        return view->text.data ? view->text.data + view->behind : "";
    return view->talk->in.data ? buffer_start(&view->talk->in) : "";
}

size_t view_size(const struct view *view) {
    return view->is_raw ? view->raw_size : view->text.size - view->behind;
}

/* How many bytes at the start are text as they stand. */
static size_t plain_run(const struct view *view, const char *data, size_t size) {
    if (view->is_bytes)
        return size;
    const char *cr = view->joins_ends ? memchr(data, '\r', size) : NULL;
    if (cr)
        size = (size_t)(cr - data);
    if (codec_is_plain(&view->talk->codec, data, size))
        return size;
    size_t place = 0;
    while (place < size) {
        int length = view->talk->codec.kind == CODEC_UTF8 ? utf8_length(data + place, size - place)
                                                          : !(data[place] & 0x80);
        if (length <= 0)
            break;
        place += (size_t)length;
    }
    return place;
}

static int add_mark(struct view *view) {
    int result = ARRAY_RESERVE(view->marks, view->mark_count, view->mark_capacity);
    if (result >= 0)
        view->marks[view->mark_count++] = (struct view_mark){view->raw_size, view->text.size};
    return result;
}

static int become_text(struct view *view) {
    view->is_raw = false;
    text_add(&view->text, view->raw_size ? buffer_start(&view->talk->in) : "", view->raw_size);
    return view->text.failed ? -ENOMEM : 0;
}

static bool is_unit(const struct view *view, size_t place, const unsigned char *unit) {
    const size_t size = view->talk->codec.unit;
    return place + size <= buffer_size(&view->talk->in) &&
           memcmp(buffer_start(&view->talk->in) + place, unit, size) == 0;
}

/* Decodes at most `size` bytes more. 1: there was something; 0: nothing, or half a character. */
static int decode(struct view *view, size_t size, bool is_final) {
    spile_talk *talk = view->talk;
    const size_t unit = talk->codec.unit;
    if (view->is_bytes) {
        text_add(&view->text, buffer_start(&talk->in) + view->raw_size, size);
        view->raw_size += size;
        return view->text.failed ? -ENOMEM : 1;
    }
    if (view->was_cr && is_unit(view, view->raw_size, talk->codec.lf)) {
        view->was_cr = false;
        view->raw_size += unit;
        return 1;
    }
    int result = add_mark(view);
    if (result < 0)
        return result;
    struct codec_job job = {.data = buffer_start(&talk->in) + view->raw_size,
                            .size = size,
                            .is_final = is_final,
                            .joins_ends = view->joins_ends,
                            .characters = UINT64_MAX};
    result = codec_decode(&talk->codec, &job, &view->text);
    if (result < 0)
        return result;
    if (talk->codec.errors == SPILE_TALK_STRICT)
        view->bad_bytes = job.bad_bytes;
    view->raw_size += job.used;
    if (job.used > 0)
        view->was_cr = view->joins_ends && job.used >= unit && is_unit(view, view->raw_size - unit, talk->codec.cr);
    return job.used > 0;
}

/* As it stands: 1: it has grown; 0: that is all, or it is to be decoded from here on. */
static int extend_raw(struct view *view, size_t size, bool is_final) {
    const char *data = buffer_start(&view->talk->in) + view->raw_size;
    const size_t held = buffer_size(&view->talk->in), run = plain_run(view, data, size);
    view->raw_size += run;
    view->is_whole = view->raw_size == held;
    if (run > 0) {
        view->step = MIN(view->step * 2, (size_t)LAST_STEP);
        return 1;
    }
    view->is_whole = true;
    /* Half a character, perhaps, that the next bytes make whole. */
    bool is_begun = !is_final && view->talk->codec.kind == CODEC_UTF8 && view->raw_size + size == held &&
                    utf8_length(data, size) < 0;
    return is_begun ? 0 : become_text(view);
}

int view_extend(struct view *view, bool is_final) {
    const size_t held = buffer_size(&view->talk->in), rest = held - view->raw_size, size = MIN(rest, view->step);
    view->is_whole = true;
    if (rest == 0 || view->bad_bytes)
        return 0;
    if (view->is_raw) {
        int result = extend_raw(view, size, is_final);
        if (result != 0 || view->is_raw)
            return result;
    }
    const size_t end = view->raw_size + size;
    int result = 1, grown = 0;
    while (result > 0 && view->raw_size < end && !view->bad_bytes) {
        size_t part = MIN(end - view->raw_size, (size_t)MARK_STEP);
        result = decode(view, part, is_final && view->raw_size + part == held);
        grown |= result;
    }
    view->step = MIN(view->step * 2, (size_t)LAST_STEP);
    view->is_whole = view->raw_size == held || view->bad_bytes || grown == 0;
    return result < 0 ? result : grown != 0;
}

/* One character at `raw`, as text. Returns its bytes; 0 for the second one where iconv makes two of one. */
static ssize_t step_over(struct view *view, size_t raw, struct text *text) {
    spile_talk *talk = view->talk;
    struct codec_job job = {
        .data = buffer_start(&talk->in) + raw, .size = view->raw_size - raw, .is_final = true, .characters = 1};
    text->size = 0;
    int result = codec_decode(&talk->codec, &job, text);
    return result < 0 ? result : (ssize_t)job.used;
}

/* How many bytes from `raw` on are characters of one byte and no line's end that is joined; at most `most`. */
static size_t simple_run(const struct view *view, size_t raw, size_t most) {
    const char *data = buffer_start(&view->talk->in) + raw;
    size_t run = 0;
    if (view->talk->codec.kind != CODEC_ICONV)
        while (run < most && !(data[run] & 0x80) && data[run] != '\r')
            run++;
    return run;
}

/* The last mark at or before that place of the text. */
static struct view_mark mark_before(const struct view *view, size_t text) {
    for (size_t i = view->mark_count; i-- > 0;)
        if (view->marks[i].text <= text)
            return view->marks[i];
    return (struct view_mark){.raw = 0, .text = view->behind};
}

/* Goes on to that place of the text, or to the end of the character (in `piece`) in whose middle it is. */
static int walk_to(struct view *view, size_t wanted, struct view_mark *at, struct text *piece) {
    while (at->text < wanted && at->raw < view->raw_size) {
        size_t run = simple_run(view, at->raw, MIN(wanted - at->text, view->raw_size - at->raw));
        at->raw += run;
        at->text += run;
        if (run > 0)
            continue;
        ssize_t used = step_over(view, at->raw, piece);
        if (used < 0)
            return (int)used;
        if (used == 0 && piece->size == 0)
            return -EIO;
        at->raw += (size_t)used;
        at->text += piece->size;
        if (view->joins_ends && piece->size == 1 && *piece->data == '\r' &&
            is_unit(view, at->raw, view->talk->codec.lf))
            at->raw += view->talk->codec.unit;
    }
    return 0;
}

ssize_t view_raw(struct view *view, size_t size, struct text *rest) {
    spile_talk *talk = view->talk;
    if (view->is_raw || view->is_bytes || size == 0)
        return (ssize_t)size;
    AUTO_TEXT piece = {0};
    const size_t wanted = size + view->behind;
    struct view_mark at = {.raw = 0, .text = view->behind};
    if (talk->codec.kind == CODEC_ICONV) /* its state leads from the start */
        codec_reset(&talk->codec);
    else
        at = mark_before(view, wanted);
    int result = walk_to(view, wanted, &at, &piece);
    if (result < 0)
        return result;
    if (at.text > wanted)
        text_add(rest, piece.data + piece.size - (at.text - wanted), at.text - wanted);
    return rest->failed ? -ENOMEM : (ssize_t)at.raw;
}
