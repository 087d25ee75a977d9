/* Entries of a transcript: see record.h.
 *
 * Both forms show exactly what went over the wire, line ends too: as text control characters are escaped as in C and
 * what is no text as \xNN, so that an entry is a line whatever a device sends, and reading it plays no tricks with a
 * terminal. In JSON what is no text is U+FFFD, and all bytes of such an entry stand beside it in "hex".
 */
#include "talk/record.h"

/* ------------------------------------------------------------------------------ secrets */

int secrets_add(struct secrets *secrets, const char *text) {
    while (*text) {
        const size_t size = strcspn(text, "\n");
        if (size > 0) {
            int result = ARRAY_RESERVE(secrets->items, secrets->count, secrets->capacity);
            char *copy = result < 0 ? NULL : memory_new(size + 1);
            if (!copy)
                return -ENOMEM;
            memcpy(copy, text, size);
            copy[size] = '\0';
            secrets->items[secrets->count++] = copy;
        }
        text += size + (text[size] == '\n');
    }
    return 0;
}

void secrets_done(struct secrets *secrets) {
    for (size_t i = 0; i < secrets->count; i++) {
        explicit_bzero(secrets->items[i], strlen(secrets->items[i]));
        free(secrets->items[i]);
    }
    free(secrets->items);
    *secrets = (struct secrets){0};
}

bool secrets_are_begun(const struct secrets *secrets, const char *text, size_t size) {
    for (size_t i = 0; i < secrets->count; i++) {
        const char *secret = secrets->items[i];
        const size_t length = strlen(secret);
        for (size_t begun = MIN(length - 1, size); begun > 0; begun--)
            if (memcmp(text + size - begun, secret, begun) == 0)
                return true;
    }
    return false;
}

/* The first place where one stands, `size` where none does. */
static size_t find_secret(const struct secrets *secrets, const char *text, size_t size, size_t *ret_length) {
    size_t place = size;
    for (size_t i = 0; i < secrets->count; i++) {
        const size_t length = strlen(secrets->items[i]);
        const char *found = memmem(text, size, secrets->items[i], length);
        if (!found || (size_t)(found - text) > place || ((size_t)(found - text) == place && length <= *ret_length))
            continue;
        place = (size_t)(found - text);
        *ret_length = length;
    }
    return place;
}

/* ------------------------------------------------------------------------------ characters */

/* Adds one character that may have to be escaped; returns how many bytes it has. Of C1 controls: two. */
static size_t add_special(struct text *entry, bool is_json, const char *text, size_t left) {
    static const char names[] = "\nn\rr\tt\\\\";
    const unsigned char byte = (unsigned char)*text;
    const char *name = memchr(names, *text, sizeof(names) - 1);
    if (byte == 0xc2 && left > 1 && (unsigned char)text[1] < 0xa0) {
        text_printf(entry, "\\u%04x", (unsigned)(unsigned char)text[1]);
        return 2;
    }
    if (name && !((name - names) & 1))
        text_printf(entry, "\\%c", name[1]);
    else if (byte == '"' && is_json)
        text_puts(entry, "\\\"");
    else if (byte < 0x20 || byte == 0x7f)
        text_printf(entry, is_json ? "\\u%04x" : "\\x%02x", (unsigned)byte);
    else
        text_add(entry, text, 1);
    return 1;
}

static bool is_plain(char character) {
    const unsigned char byte = (unsigned char)character;
    return byte >= 0x20 && byte != 0x7f && byte != '\\' && byte != '"' && byte != 0xc2;
}

static void add_escaped(struct text *entry, bool is_json, const char *text, size_t size) {
    for (size_t place = 0, run; place < size;) {
        for (run = 0; place + run < size && is_plain(text[place + run]);)
            run++;
        text_add(entry, text + place, run);
        place += run;
        if (place < size)
            place += add_special(entry, is_json, text + place, size - place);
    }
}

/* Returns whether something was masked. */
static bool add_masked(struct text *entry, bool is_json, const char *text, size_t size, const struct secrets *secrets) {
    bool is_masked = false;
    while (size > 0) {
        size_t length = 0, place = find_secret(secrets, text, size, &length);
        add_escaped(entry, is_json, text, place);
        if (place < size)
            text_puts(entry, RECORD_MASK);
        is_masked |= place < size;
        text += place + length;
        size -= place + length;
    }
    return is_masked;
}

static void add_bad(struct text *entry, bool is_json, const char *data, size_t size) {
    if (is_json)
        text_puts(entry, "\xef\xbf\xbd");
    for (size_t i = 0; i < size && !is_json; i++)
        text_printf(entry, "\\x%02x", (unsigned)(unsigned char)data[i]);
}

/* Returns whether its bytes must stand beside it: not all of it is text, and nothing of it is secret. */
static bool add_text(struct text *entry, bool is_json, struct codec *codec, const char *data, size_t size,
                     const struct secrets *secrets) {
    bool is_text = true, is_masked = false;
    while (size > 0) {
        AUTO_TEXT piece = {0};
        struct codec_job job = {.data = data, .size = size, .is_final = true, .characters = UINT64_MAX};
        codec_reset(codec);
        entry->failed |= codec_decode(codec, &job, &piece) < 0;
        if (piece.size > 0)
            is_masked |= add_masked(entry, is_json, piece.data, piece.size, secrets);
        if (job.bad_bytes > 0)
            add_bad(entry, is_json, data + job.used, job.bad_bytes);
        is_text &= job.bad_bytes == 0;
        const size_t used = job.used + job.bad_bytes;
        if (used == 0 || entry->failed)
            break;
        data += used;
        size -= used;
    }
    return !is_text && !is_masked;
}

/* ------------------------------------------------------------------------------ entries */

/* The time in UTC: "2026-11-22T12:30:01.123456Z". */
static void add_time(struct text *entry, struct timespec when) {
    struct tm parts;
    char day[32];
    if (!gmtime_r(&when.tv_sec, &parts) || strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &parts) == 0)
        *day = '\0';
    text_printf(entry, "%s.%06ldZ", day, when.tv_nsec / 1000);
}

void record_bytes(struct text *entries, bool is_json, struct timespec when, enum record_way way, struct codec *codec,
                  const char *data, size_t size, const struct secrets *secrets) {
    if (is_json)
        text_puts(entries, "{\"time\": \"");
    add_time(entries, when);
    if (!is_json) {
        text_puts(entries, way == RECORD_OUT ? " > " : " < ");
        (void)add_text(entries, false, codec, data, size, secrets);
        text_puts(entries, "\n");
        return;
    }
    text_printf(entries, "\", \"way\": \"%s\", \"text\": \"", way == RECORD_OUT ? "out" : "in");
    bool wants_bytes = add_text(entries, true, codec, data, size, secrets);
    text_puts(entries, wants_bytes ? "\", \"hex\": \"" : "");
    for (size_t i = 0; i < size && wants_bytes; i++)
        text_printf(entries, "%02x", (unsigned)(unsigned char)data[i]);
    text_puts(entries, "\"}\n");
}

void record_event(struct text *entries, bool is_json, struct timespec when, const char *event, const char *detail) {
    if (is_json)
        text_puts(entries, "{\"time\": \"");
    add_time(entries, when);
    text_printf(entries, is_json ? "\", \"event\": \"%s\"" : " - %s", event);
    if (*detail) {
        text_puts(entries, is_json ? ", \"detail\": \"" : ": ");
        add_escaped(entries, is_json, detail, strlen(detail));
        text_puts(entries, is_json ? "\"" : "");
    }
    text_puts(entries, is_json ? "}\n" : "\n");
}
