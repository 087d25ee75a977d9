/* Text of one encoding, read and written piece by piece. UTF-8, ASCII and Latin-1 are at home here; all others are
 * iconv's. What is in the middle of a character at the end of a piece waits for the next one.
 */
#pragma once

#include "base/error.h"
#include "spile.h"

#include <iconv.h>

enum codec_kind { CODEC_UTF8, CODEC_ASCII, CODEC_LATIN1, CODEC_ICONV };
enum { CODEC_UNIT_MAX = 4 };

struct codec {
    enum codec_kind kind;
    spile_talk_errors errors;
    char *name;
    iconv_t in, out; /* of iconv's */
    bool has_in, has_out;
    /* How line ends look: `unit` bytes each, at places that are multiples of it. */
    size_t unit;
    unsigned char lf[CODEC_UNIT_MAX], cr[CODEC_UNIT_MAX];
};

/* `name` NULL: UTF-8. -EINVAL: iconv does not know it; -ENOTSUP: its byte order is told by a mark at the start, so that
 * nobody knows how line ends look. */
int codec_init(struct codec *codec, const char *name, spile_talk_errors errors);
/* What was decoded last was not taken: the next piece begins anew. */
void codec_reset(struct codec *codec);
void codec_done(struct codec *codec);

struct codec_job {
    const char *data; /* what is decoded */
    size_t size;
    bool is_final;       /* nothing follows: half a character is none */
    bool joins_ends;     /* CR, LF and CRLF become '\n' */
    uint64_t characters; /* at most */
    /* what came of it */
    size_t used;              /* bytes */
    uint64_t done;            /* characters */
    size_t bad_at, bad_bytes; /* where bytes were first no text; bad_bytes 0: nowhere */
};
/* Adds the text to `text`. Under SPILE_TALK_STRICT it stops before what is no text. -ENOMEM. */
int codec_decode(struct codec *codec, struct codec_job *job, struct text *text);
/* Whether all of it is text as it stands: UTF-8 and nothing to be replaced. */
bool codec_is_plain(const struct codec *codec, const char *data, size_t size);
/* Whether what is written needs no look: UTF-8, whatever it is. */
static inline bool codec_writes_utf8(const struct codec *codec) {
    return codec->kind == CODEC_UTF8 && codec->errors != SPILE_TALK_STRICT;
}
/* The bytes of one well-formed character at the start, 0 where there is none, -1 where it is only begun. */
int utf8_length(const char *data, size_t size);

/* Adds the bytes of text to `bytes`, '\n' as `eol`. Under SPILE_TALK_STRICT -EILSEQ, with the place of the character,
 * and nothing added. */
int codec_encode(struct codec *codec, const char *text, size_t size, const char *eol, struct text *bytes,
                 size_t *ret_bad);
