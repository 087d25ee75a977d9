/* Transcripts: see transcript.h. */
#include "talk/transcript.h"

enum { PIECE_MAX = 64 << 10, ENTRIES_MAX = 1 << 20 };

/* ------------------------------------------------------------------------------ the file */

int transcript_open(struct transcript **ret_transcript, const char *path, bool is_json, const char *encoding) {
    struct transcript *transcript = memory_zero(1, sizeof(*transcript));
    if (!transcript)
        return -ENOMEM;
    transcript->is_json = is_json;
    /* A FIFO that nobody reads must not hold up a talk. */
    int result = transcript->fd = sys_openat(AT_FDCWD, path, O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK | O_NOCTTY,
                                             0666);
    if (result >= 0)
        result = codec_init(&transcript->codec, encoding, SPILE_TALK_STRICT);
    if (result < 0) {
        transcript_close(transcript);
        return result;
    }
    lines_init(&transcript->pending[RECORD_IN].lines, &transcript->codec, SPILE_TALK_ENDS_ANY);
    lines_init(&transcript->pending[RECORD_OUT].lines, &transcript->codec, SPILE_TALK_ENDS_ANY);
    *ret_transcript = transcript;
    return 0;
}

static int write_out(struct transcript *transcript, const char *data, size_t size) {
    while (size > 0) {
        ssize_t count = fd_write_no_sigpipe(transcript->fd, data, size);
        if (count == -EINTR)
            continue;
        if (count <= 0)
            return count < 0 ? (int)count : -EIO;
        data += count;
        size -= (size_t)count;
        transcript->is_torn = data[-1] != '\n';
    }
    return 0;
}

static struct timespec now(void) {
    struct timespec when;
    clock_gettime(CLOCK_REALTIME, &when);
    return when;
}

/* Notes where entries are missing, once the file takes something again. */
static int write_hole(struct transcript *transcript) {
    AUTO_TEXT entry = {0};
    char detail[128];
    snprintf(detail, sizeof(detail), "%llu entries: %s", (unsigned long long)transcript->missing,
             strerror(-transcript->error));
    if (transcript->is_torn)
        text_puts(&entry, "\n");
    record_event(&entry, transcript->is_json, now(), "missing", detail);
    int result = entry.failed ? -ENOMEM : write_out(transcript, entry.data, entry.size);
    if (result >= 0)
        transcript->missing = 0;
    return result;
}

void transcript_flush(struct transcript *transcript) {
    if (!transcript || transcript->entry_count == 0)
        return;
    int result = transcript->entries.failed ? -ENOMEM : transcript->missing ? write_hole(transcript) : 0;
    if (result >= 0)
        result = write_out(transcript, transcript->entries.data, transcript->entries.size);
    if (result < 0) {
        transcript->is_news |= transcript->missing == 0;
        transcript->missing += transcript->entry_count;
        transcript->all_missing += transcript->entry_count;
        transcript->error = transcript->error ? transcript->error : result;
    }
    if (transcript->entries.failed || transcript->entries.capacity > 2 * (size_t)ENTRIES_MAX)
        text_done(&transcript->entries);
    transcript->entries.size = 0;
    transcript->entry_count = 0;
}

/* ------------------------------------------------------------------------------ entries */

static void add_entry(struct transcript *transcript, enum record_way way, size_t size) {
    struct transcript_pending *pending = &transcript->pending[way];
    record_bytes(&transcript->entries, transcript->is_json, pending->since, way, &transcript->codec,
                 buffer_start(&pending->bytes), size, &transcript->secrets);
    transcript->entry_count++;
    buffer_take(&pending->bytes, size);
    pending->lines.taken += size;
    buffer_trim(&pending->bytes);
    if (transcript->entries.size > ENTRIES_MAX)
        transcript_flush(transcript);
}

/* What comes may be what the other side shows of a secret, and more of it is to come. */
static bool is_echo_begun(struct transcript *transcript, const struct buffer *bytes) {
    AUTO_TEXT text = {0};
    struct codec_job job = {
        .data = buffer_start(bytes), .size = buffer_size(bytes), .is_final = true, .characters = UINT64_MAX};
    codec_reset(&transcript->codec);
    return transcript->is_fresh && codec_decode(&transcript->codec, &job, &text) >= 0 && text.size > 0 &&
           secrets_are_begun(&transcript->secrets, text.data, text.size);
}

/* Notes what there is of a line: nothing more of it is waited for. */
static void add_rest(struct transcript *transcript, enum record_way way) {
    const struct buffer *bytes = &transcript->pending[way].bytes;
    if (buffer_size(bytes) > 0 && !is_echo_begun(transcript, bytes))
        add_entry(transcript, way, buffer_size(bytes));
}

static void add_lines(struct transcript *transcript, enum record_way way) {
    struct transcript_pending *pending = &transcript->pending[way];
    size_t size, end_size;
    while (lines_find(&pending->lines, &pending->bytes, &size, &end_size)) {
        const size_t whole = size + end_size, unit = transcript->codec.unit;
        const char *end = buffer_start(&pending->bytes) + size;
        /* An LF may follow it. */
        if (whole == buffer_size(&pending->bytes) && memcmp(end, transcript->codec.cr, unit) == 0 && end_size == unit)
            break;
        add_entry(transcript, way, whole);
        transcript->is_fresh &= way != RECORD_IN;
    }
    if (buffer_size(&pending->bytes) > PIECE_MAX && !is_echo_begun(transcript, &pending->bytes))
        add_entry(transcript, way, buffer_size(&pending->bytes));
}

static void add_bytes(struct transcript *transcript, enum record_way way, const void *data, size_t size) {
    struct transcript_pending *pending = &transcript->pending[way];
    if (size == 0)
        return;
    if (buffer_size(&pending->bytes) == 0)
        pending->since = now();
    if (buffer_add(&pending->bytes, data, size) < 0) {
        transcript->entries.failed = true;
        transcript->entry_count++;
        return;
    }
    add_lines(transcript, way);
}

void transcript_event(struct transcript *transcript, const char *event, const char *detail) {
    if (!transcript)
        return;
    add_rest(transcript, RECORD_OUT);
    add_rest(transcript, RECORD_IN);
    record_event(&transcript->entries, transcript->is_json, now(), event, detail);
    transcript->entry_count++;
    transcript_flush(transcript);
}

/* ------------------------------------------------------------------------------ secrets */

static void drop_span(struct transcript *transcript) {
    transcript->span_count--;
    memmove(transcript->spans, transcript->spans + 1, transcript->span_count * sizeof(*transcript->spans));
    transcript->is_masked = false;
}

int transcript_secret_begin(struct transcript *transcript, const char *line, uint64_t start) {
    if (!transcript)
        return 0;
    transcript->is_fresh = true;
    int result = secrets_add(&transcript->secrets, line);
    if (result >= 0)
        result = ARRAY_RESERVE(transcript->spans, transcript->span_count, transcript->span_capacity);
    if (result >= 0)
        transcript->spans[transcript->span_count++] = (struct transcript_span){.start = start, .end = UINT64_MAX};
    return result;
}

void transcript_secret_end(struct transcript *transcript, uint64_t end) {
    if (!transcript || transcript->span_count == 0)
        return;
    struct transcript_span *last = &transcript->spans[transcript->span_count - 1];
    last->end = end;
    if (last->end == last->start)
        transcript->span_count--;
    else if (transcript->written >= end)
        drop_span(transcript);
}

void transcript_dropped(struct transcript *transcript) {
    while (transcript && transcript->span_count > 0)
        drop_span(transcript);
}

/* The mask instead of a span that has begun. */
static void add_mask(struct transcript *transcript) {
    AUTO_TEXT mask = {0};
    size_t bad;
    if (transcript->is_masked)
        return;
    transcript->is_masked = true;
    if (codec_encode(&transcript->codec, RECORD_MASK "\n", strlen(RECORD_MASK) + 1, "\n", &mask, &bad) >= 0)
        add_bytes(transcript, RECORD_OUT, mask.data, mask.size);
}

static void add_out(struct transcript *transcript, const char *data, size_t size) {
    while (size > 0) {
        const struct transcript_span *span = transcript->span_count > 0 ? transcript->spans : NULL;
        const uint64_t at = transcript->written;
        size_t run = size;
        if (span && at >= span->start) {
            add_mask(transcript);
            run = (size_t)MIN((uint64_t)size, span->end - at);
        } else {
            if (span)
                run = (size_t)MIN((uint64_t)size, span->start - at);
            add_bytes(transcript, RECORD_OUT, data, run);
        }
        transcript->written += run;
        data += run;
        size -= run;
        if (span && transcript->written >= span->end)
            drop_span(transcript);
    }
}

/* ------------------------------------------------------------------------------ both ways */

void transcript_bytes(struct transcript *transcript, enum record_way way, const void *data, size_t size) {
    if (!transcript)
        return;
    add_rest(transcript, way == RECORD_IN ? RECORD_OUT : RECORD_IN);
    if (way == RECORD_OUT)
        add_out(transcript, data, size);
    else
        add_bytes(transcript, RECORD_IN, data, size);
}

/* What may be the begun echo of a secret goes, too. */
void transcript_settle(struct transcript *transcript) {
    if (!transcript || transcript->fd < 0)
        return;
    struct transcript_pending *in = &transcript->pending[RECORD_IN];
    if (buffer_size(&in->bytes) > 0 && is_echo_begun(transcript, &in->bytes)) {
        buffer_take(&in->bytes, buffer_size(&in->bytes));
        record_event(&transcript->entries, transcript->is_json, in->since, "masked", "");
        transcript->entry_count++;
    }
    add_rest(transcript, RECORD_OUT);
    add_rest(transcript, RECORD_IN);
    transcript_flush(transcript);
}

static void free_all(struct transcript *transcript) {
    fd_close(transcript->fd);
    for (size_t i = 0; i < ARRAY_SIZE(transcript->pending); i++)
        buffer_done(&transcript->pending[i].bytes);
    codec_done(&transcript->codec);
    text_done(&transcript->entries);
    secrets_done(&transcript->secrets);
    free(transcript->spans);
    free(transcript);
}

struct transcript *transcript_close(struct transcript *transcript) {
    if (!transcript)
        return NULL;
    transcript_settle(transcript);
    free_all(transcript);
    return NULL;
}

void transcript_abandon(struct transcript *transcript) {
    if (transcript)
        transcript->fd = fd_close(transcript->fd);
}
