/* Text of one encoding: see codec.h.
 *
 * What is no text is told apart by its longest part that could begin a character, as Unicode recommends: each is
 * replaced, or its bytes are escaped. The state of iconv goes on over the pieces; a failure costs the bytes it names
 * and nothing around them.
 */
#include "talk/codec.h"

#include <strings.h>

/* ------------------------------------------------------------------------------ UTF-8 */

/* The least and the greatest second byte behind a first one, which rule out overlong forms, surrogates and what lies
 * beyond U+10FFFF. */
static int utf8_shape(unsigned char first, unsigned char *ret_least, unsigned char *ret_most) {
    *ret_least = 0x80;
    *ret_most = 0xbf;
    if (first < 0x80)
        return 1;
    if (first < 0xc2 || first > 0xf4)
        return 0;
    if (first < 0xe0)
        return 2;
    if (first == 0xe0)
        *ret_least = 0xa0;
    if (first == 0xed)
        *ret_most = 0x9f;
    if (first == 0xf0)
        *ret_least = 0x90;
    if (first == 0xf4)
        *ret_most = 0x8f;
    return first < 0xf0 ? 3 : 4;
}

/* The same as utf8_length; where there is no character, *ret_bad is how many bytes are none. */
static int utf8_look(const char *data, size_t size, size_t *ret_bad) {
    unsigned char least, most;
    int length = size > 0 ? utf8_shape((unsigned char)*data, &least, &most) : -1;
    if (length == 1 || size == 0)
        return length;
    *ret_bad = 1;
    for (int i = 1; i < length; i++) {
        if ((size_t)i == size) {
            *ret_bad = size;
            return -1;
        }
        unsigned char byte = (unsigned char)data[i];
        if (byte < (i == 1 ? least : 0x80) || byte > (i == 1 ? most : 0xbf)) {
            *ret_bad = (size_t)i;
            return 0;
        }
    }
    return length;
}

int utf8_length(const char *data, size_t size) {
    size_t bad;
    return utf8_look(data, size, &bad);
}

/* How many bytes at the start are ASCII. */
static size_t ascii_run(const char *data, size_t size) {
    size_t place = 0;
    for (; size - place >= 8; place += 8) {
        uint64_t word;
        memcpy(&word, data + place, 8);
        if (word & UINT64_C(0x8080808080808080))
            break;
    }
    while (place < size && !(data[place] & 0x80))
        place++;
    return place;
}

bool codec_is_plain(const struct codec *codec, const char *data, size_t size) {
    if (codec->kind == CODEC_ICONV)
        return false;
    for (size_t place = ascii_run(data, size); place < size; place += ascii_run(data + place, size - place)) {
        int length = codec->kind == CODEC_UTF8 ? utf8_length(data + place, size - place) : 0;
        if (length <= 0)
            return false;
        place += (size_t)length;
    }
    return true;
}

/* ------------------------------------------------------------------------------ a codec */

/* How the character looks in the encoding, without a mark of the byte order before it. */
static int encode_one(iconv_t out, char character, unsigned char *ret_bytes, size_t *ret_size) {
    char twice[2] = {character, character}, bytes[32], *from = twice, *to = bytes;
    size_t from_size = 2, to_size = sizeof(bytes);
    (void)iconv(out, NULL, NULL, NULL, NULL);
    if (iconv(out, &from, &from_size, &to, &to_size) == (size_t)-1)
        return -EINVAL;
    size_t size = sizeof(bytes) - to_size, mark = 0;
    if (size >= 6 && (memcmp(bytes, "\xff\xfe\0\0", 4) == 0 || memcmp(bytes, "\0\0\xfe\xff", 4) == 0) && size % 4 == 0)
        mark = 4;
    else if (size == 6 && (memcmp(bytes, "\xff\xfe", 2) == 0 || memcmp(bytes, "\xfe\xff", 2) == 0))
        mark = 2;
    size_t unit = (size - mark) / 2;
    if (unit == 0 || unit > CODEC_UNIT_MAX || unit == 3)
        return -EINVAL;
    memcpy(ret_bytes, bytes + size - unit, unit);
    *ret_size = unit;
    (void)iconv(out, NULL, NULL, NULL, NULL);
    return mark > 0;
}

static int open_iconv(struct codec *codec) {
    size_t unit = 0;
    codec->kind = CODEC_ICONV;
    codec->in = SYS_FAULT(FAULT_ACQUIRE, "iconv_open") ? (errno = ENOMEM, (iconv_t)-1)
                                                       : iconv_open("UTF-8", codec->name);
    codec->has_in = codec->in != (iconv_t)-1;
    if (!codec->has_in)
        return -errno;
    codec->out = SYS_FAULT(FAULT_ACQUIRE, "iconv_open") ? (errno = ENOMEM, (iconv_t)-1)
                                                        : iconv_open(codec->name, "UTF-8");
    codec->has_out = codec->out != (iconv_t)-1;
    if (!codec->has_out)
        return -errno;
    int result = encode_one(codec->out, '\n', codec->lf, &codec->unit);
    if (result < 0)
        return result;
    if (result > 0)
        return -ENOTSUP;
    result = encode_one(codec->out, '\r', codec->cr, &unit);
    return result < 0 ? result : unit == codec->unit ? 0 : -EINVAL;
}

static bool is_one_of(const char *name, const char *const *names) {
    while (*names && strcasecmp(name, *names) != 0)
        names++;
    return *names;
}

int codec_init(struct codec *codec, const char *name, spile_talk_errors errors) {
    static const char *const utf8[] = {"UTF-8", "UTF8", NULL};
    static const char *const ascii[] = {"ASCII", "US-ASCII", NULL};
    static const char *const latin1[] = {"ISO-8859-1", "ISO8859-1", "LATIN1", "LATIN-1", "L1", NULL};
    if (!name)
        name = utf8[0];
    *codec = (struct codec){.errors = errors, .unit = 1, .lf = "\n", .cr = "\r"};
    codec->name = memory_string(name);
    if (!codec->name)
        return -ENOMEM;
    if (is_one_of(name, utf8))
        codec->kind = CODEC_UTF8;
    else if (is_one_of(name, ascii))
        codec->kind = CODEC_ASCII;
    else if (is_one_of(name, latin1))
        codec->kind = CODEC_LATIN1;
    else
        return strchr(name, '/') ? -EINVAL : open_iconv(codec); /* "//IGNORE" and its like would lose bytes */
    return 0;
}

void codec_reset(struct codec *codec) {
    if (codec->has_in)
        (void)iconv(codec->in, NULL, NULL, NULL, NULL);
}

void codec_done(struct codec *codec) {
    if (codec->has_in)
        (void)iconv_close(codec->in);
    if (codec->has_out)
        (void)iconv_close(codec->out);
    free(codec->name);
    *codec = (struct codec){0};
}

/* ------------------------------------------------------------------------------ reading */

/* Adds what stands for bytes that are no text. */
static void add_bad(const struct codec *codec, const char *data, size_t size, struct text *text) {
    if (codec->errors != SPILE_TALK_ESCAPE) {
        text_add(text, "\xef\xbf\xbd", 3);
        return;
    }
    for (size_t i = 0; i < size; i++) {
        static const char digits[] = "0123456789abcdef";
        unsigned char byte = (unsigned char)data[i];
        const char escape[4] = {'\\', 'x', digits[byte >> 4], digits[byte & 15]};
        text_add(text, escape, sizeof(escape));
    }
}

/* Takes note of bytes that are no text; false where decoding stops before them. */
static bool take_bad(const struct codec *codec, struct codec_job *job, size_t size, struct text *text) {
    if (!job->bad_bytes) {
        job->bad_at = job->used;
        job->bad_bytes = size;
    }
    if (codec->errors == SPILE_TALK_STRICT)
        return false;
    add_bad(codec, job->data + job->used, size, text);
    job->used += size;
    job->done++;
    return true;
}

/* One step of those encodings that are at home here; false: no further. */
static bool decode_home(const struct codec *codec, struct codec_job *job, struct text *text) {
    const char *data = job->data + job->used;
    size_t size = job->size - job->used, bad = 1;
    size_t run = ascii_run(data, (size_t)MIN((uint64_t)size, job->characters - job->done));
    if (run > 0) {
        text_add(text, data, run);
        job->used += run;
        job->done += run;
        return true;
    }
    if (codec->kind == CODEC_LATIN1) {
        unsigned char byte = (unsigned char)*data;
        const char pair[2] = {(char)(0xc0 | byte >> 6), (char)(0x80 | (byte & 0x3f))};
        text_add(text, pair, 2);
        job->used++;
        job->done++;
        return true;
    }
    int length = codec->kind == CODEC_UTF8 ? utf8_look(data, size, &bad) : 0;
    if (length < 0 && !job->is_final)
        return false;
    if (length <= 0)
        return take_bad(codec, job, bad, text);
    text_add(text, data, (size_t)length);
    job->used += (size_t)length;
    job->done++;
    return true;
}

static uint64_t count_characters(const char *text, size_t size) {
    uint64_t count = 0;
    for (size_t i = 0; i < size; i++)
        count += ((unsigned char)text[i] & 0xc0) != 0x80;
    return count;
}

/* Decodes into `bytes`, of which `whole` are there; where only some characters are wanted they are taken one by one:
 * iconv leaves what does not fit where it is. Returns 0 or an errno. */
static int convert(struct codec *codec, struct codec_job *job, bool is_limited, char *bytes, size_t whole,
                   size_t *ret_made) {
    char *from = (char *)job->data + job->used, *to = bytes;
    size_t from_size = job->size - job->used;
    for (size_t size = is_limited ? 1 : whole;; size++) {
        size_t to_size = size - (size_t)(to - bytes);
        bool is_done = iconv(codec->in, &from, &from_size, &to, &to_size) != (size_t)-1;
        const int number = errno;
        job->used = job->size - from_size;
        *ret_made = (size_t)(to - bytes);
        if (is_done || number != E2BIG || to > bytes || size >= 4)
            return is_done ? 0 : number;
    }
}

/* One step of iconv's. */
static bool decode_iconv(struct codec *codec, struct codec_job *job, struct text *text) {
    char bytes[4096];
    size_t made = 0;
    const size_t before = job->used;
    int number = convert(codec, job, job->characters - job->done < sizeof(bytes), bytes, sizeof(bytes), &made);
    text_add(text, bytes, made);
    job->done += count_characters(bytes, made);
    if (number == 0 || number == E2BIG)
        return made > 0 || job->used > before;
    if (made > 0 && job->done >= job->characters)
        return true;
    if (number == EINVAL && !job->is_final)
        return false; /* the rest of a character is to come */
    const size_t rest = job->size - job->used;
    return take_bad(codec, job, number == EINVAL ? rest : MIN(codec->unit, rest), text);
}

/* Makes each line's end in the text from `start` on one '\n'. */
static void join_ends(struct text *text, size_t start) {
    char *data = text->data;
    if (text->failed || !data || !memchr(data + start, '\r', text->size - start))
        return;
    size_t to = start;
    for (size_t from = start; from < text->size; from++) {
        char byte = data[from];
        if (byte == '\r') {
            byte = '\n';
            if (from + 1 < text->size && data[from + 1] == '\n')
                from++;
        }
        data[to++] = byte;
    }
    text->size = to;
    data[to] = '\0';
}

int codec_decode(struct codec *codec, struct codec_job *job, struct text *text) {
    size_t start = text->size;
    bool goes_on = true;
    text_add(text, "", 0);
    while (goes_on && job->used < job->size && job->done < job->characters && !text->failed)
        goes_on = codec->kind == CODEC_ICONV ? decode_iconv(codec, job, text) : decode_home(codec, job, text);
    if (job->joins_ends)
        join_ends(text, start);
    return text->failed ? -ENOMEM : 0;
}

/* ------------------------------------------------------------------------------ writing */

static uint32_t character_at(const char *text, int length) {
    unsigned char first = (unsigned char)*text;
    uint32_t value = length == 1 ? first : first & (0xffu >> (length + 1));
    for (int i = 1; i < length; i++)
        value = value << 6 | ((unsigned char)text[i] & 0x3f);
    return value;
}

/* Adds ASCII in the encoding. */
static void encode_ascii(struct codec *codec, const char *text, size_t size, struct text *bytes) {
    if (codec->kind != CODEC_ICONV) {
        text_add(bytes, text, size);
        return;
    }
    char out[128], *from = (char *)text, *to = out;
    size_t from_size = size, to_size = sizeof(out);
    if (iconv(codec->out, &from, &from_size, &to, &to_size) != (size_t)-1)
        text_add(bytes, out, sizeof(out) - to_size);
}

/* What stands for a character that the encoding lacks; `length` 0: a byte that is no UTF-8. */
static void encode_bad(struct codec *codec, const char *text, int length, struct text *bytes) {
    char escape[16] = "?";
    uint32_t value = length > 0 ? character_at(text, length) : (unsigned char)*text;
    if (codec->errors == SPILE_TALK_ESCAPE)
        snprintf(escape, sizeof(escape), value < 0x100 ? "\\x%02x" : value < 0x10000 ? "\\u%04x" : "\\U%08x", value);
    encode_ascii(codec, escape, strlen(escape), bytes);
}

/* Adds one character; false where the encoding lacks it. */
static bool encode_character(struct codec *codec, const char *text, int length, struct text *bytes) {
    if (codec->kind == CODEC_UTF8 || (codec->kind == CODEC_LATIN1 && length == 2 && character_at(text, 2) < 0x100)) {
        const char latin1 = (char)character_at(text, length);
        text_add(bytes, codec->kind == CODEC_UTF8 ? text : &latin1, codec->kind == CODEC_UTF8 ? (size_t)length : 1);
        return true;
    }
    if (codec->kind != CODEC_ICONV)
        return false;
    char out[32], *from = (char *)text, *to = out;
    size_t from_size = (size_t)length, to_size = sizeof(out);
    if (iconv(codec->out, &from, &from_size, &to, &to_size) == (size_t)-1)
        return false;
    text_add(bytes, out, sizeof(out) - to_size);
    return true;
}

/* A run of text that holds no line's end. Returns how many bytes were done before one that can't be. */
static size_t encode_run(struct codec *codec, const char *text, size_t size, struct text *bytes) {
    size_t place = 0;
    if (codec_writes_utf8(codec)) {
        text_add(bytes, text, size); /* as it is, whatever it is */
        return size;
    }
    while (place < size) {
        size_t run = codec->kind == CODEC_ICONV ? 0 : ascii_run(text + place, size - place);
        text_add(bytes, text + place, run);
        place += run;
        if (place == size)
            break;
        int length = utf8_length(text + place, size - place);
        if (length <= 0 || !encode_character(codec, text + place, length, bytes)) {
            if (codec->errors == SPILE_TALK_STRICT)
                break;
            encode_bad(codec, text + place, MAX(length, 0), bytes);
        }
        place += length > 0 ? (size_t)length : 1;
    }
    return place;
}

int codec_encode(struct codec *codec, const char *text, size_t size, const char *eol, struct text *bytes,
                 size_t *ret_bad) {
    const size_t before = bytes->size;
    const char *end = text + size;
    for (const char *place = text; place < end;) {
        const char *line_end = memchr(place, '\n', (size_t)(end - place));
        size_t run = (size_t)((line_end ? line_end : end) - place);
        size_t done = encode_run(codec, place, run, bytes);
        if (done < run) {
            bytes->size = before;
            *ret_bad = (size_t)(place - text) + done;
            return -EILSEQ;
        }
        place += run;
        if (line_end) {
            encode_ascii(codec, eol, strlen(eol), bytes);
            place++;
        }
    }
    return bytes->failed ? -ENOMEM : 0;
}
