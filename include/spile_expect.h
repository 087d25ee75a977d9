/* spile_expect.h - wait in a talk for one of several things; part of spile_talk.h, whose conventions hold here too
 *
 *   1. spile_patterns_new, once: literals, regular expressions, the end, the time-out, in the order of their indexes.
 *   2. spile_talk_expect, any number of times, on any talk: says which of them it is, with what came before it.
 *
 * Which one wins. Text is looked at in the order in which it comes. The first pattern that becomes complete wins; of
 * those that do at the same character the one that starts earlier; then the order given. A literal is complete with its
 * last character. A regular expression finds, as everywhere, the first place where it matches; whether it is complete
 * depends on its mode:
 *
 *   FINAL   where nothing that may still come could change the match. One that could still grow, as `(\d+)` behind
 *           "value=12" or `[$#] $` behind a prompt, is taken at rest: when nothing has come for `rest_ns`, at the
 *           deadline, or at the end. So no cutting into pieces changes what is found, as long as no rest comes between.
 *   LINE    with the end of its line: each line is looked at by itself when its end is there (the last one, at the end
 *           of the stream). What matches is a part of the line without its end.
 *   EAGER   with whatever is there: what is found depends on how the other side's words happen to arrive.
 *
 * What it costs. Literals: linear, all of them together, whatever the pieces. Lines: each is looked at once. FINAL: a
 * place where no match can begin is never looked at again; one where it has begun is looked at anew as more comes, but
 * where that is much only when it has grown by a quarter or nothing more is there. So it is linear for what begins with
 * something definite, and a small multiple of that for what begins with `.*`. `window_bytes` bounds how long a match
 * may be; `match_limit` how hard one look may try.
 *
 * Text is that of spile_talk_read: UTF-8, a line's end is one '\n'. What is left of an escaped byte (\xNN) in the
 * middle of which a match ends stays to be read, as those characters. In an encoding with shift states (ISO-2022-JP)
 * each expect begins in the first of them. With `is_bytes` it is the bytes as they came.
 * `^` without MULTILINE stands where reading begins; `\b` and what looks behind see the text that the last expect took.
 */
#ifndef SPILE_EXPECT_H
#define SPILE_EXPECT_H

#include "spile_talk.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct spile_patterns spile_patterns;

typedef enum spile_pattern_kind {
    SPILE_PATTERN_LITERAL = 0,
    SPILE_PATTERN_REGEX = 1,   /* of PCRE2 */
    SPILE_PATTERN_END = 2,     /* the end of the stream; all there was is `before` */
    SPILE_PATTERN_TIMEOUT = 3, /* the deadline; `before` shows what there is, which stays to be read */
} spile_pattern_kind;

typedef enum spile_pattern_mode {
    SPILE_PATTERN_FINAL = 0,
    SPILE_PATTERN_LINE = 1,
    SPILE_PATTERN_EAGER = 2,
} spile_pattern_mode;

enum { /* of a regular expression; bits */
       SPILE_PATTERN_CASELESS = 1u << 0,
       SPILE_PATTERN_MULTILINE = 1u << 1, /* ^ and $ stand at each line's ends */
       SPILE_PATTERN_DOTALL = 1u << 2,    /* . is a line's end, too */
       SPILE_PATTERN_EXTENDED = 1u << 3,  /* spaces and comments in it mean nothing */
       SPILE_PATTERN_ASCII = 1u << 4,     /* \w, \d, \s and \b know ASCII only */
};

typedef struct spile_pattern {
    spile_pattern_kind kind;
    spile_pattern_mode mode;
    unsigned flags;
    const char *text;
    size_t text_size; /* 0: up to its NUL */
} spile_pattern;

typedef struct spile_patterns_options {
    size_t size;          /* sizeof(spile_patterns_options) */
    bool is_bytes;        /* they are bytes, and so is what is searched */
    uint32_t match_limit; /* of PCRE2, for each look; 0: its own, ten million */
} spile_patterns_options;

/* Makes a set. It never changes, so that threads and talks can share it. `options` may be NULL. -EINVAL of kind USAGE:
 * a regular expression is wrong (the error tells where), a literal is empty or no text, END or TIMEOUT is there twice.
 */
SPILE_API int spile_patterns_new(const spile_pattern *patterns, size_t count, const spile_patterns_options *options,
                                 spile_patterns **ret_patterns, spile_error **ret_error);
/* Talks that are looking for them keep them as long. */
SPILE_API spile_patterns *spile_patterns_free(spile_patterns *patterns);
/* The number of a group by its name. -ENOENT. */
SPILE_API int spile_patterns_group(const spile_patterns *patterns, size_t index, const char *name);
/* The name of such a group, or NULL where it has none. */
SPILE_API const char *spile_patterns_group_name(const spile_patterns *patterns, size_t index, size_t group);

typedef struct spile_expect_options {
    size_t size;           /* sizeof(spile_expect_options) */
    uint64_t window_bytes; /* no match of a FINAL expression is longer; 0: as long as what may be kept */
    uint64_t rest_ns;      /* 0: 50 ms; UINT64_MAX: only the deadline and the end */
} spile_expect_options;

typedef struct spile_span {
    const char *text; /* NULL: that group took no part */
    size_t size;
} spile_span;

/* The talk's, as what its reading functions hand out; none of it is NUL-terminated. */
typedef struct spile_match {
    size_t size; /* sizeof(spile_match), set by the caller */
    size_t index;
    spile_span before, text;  /* all that came before it, and the match; both are taken */
    spile_span after;         /* what stood behind it, as far as it was looked at; stays to be read */
    const spile_span *groups; /* the first is the match itself */
    size_t group_count;
} spile_match;

/* Waits for the first of them, and returns its index. `options` and `match` may be NULL. Where it is not in the set:
 * -ETIMEDOUT (-EAGAIN where `timeout_ns` is 0) and -ENODATA of kind ENDED, and nothing is taken. -EMSGSIZE of kind
 * LIMIT: so much has come without a match that no more may be kept. -EOVERFLOW of kind LIMIT: an expression reached
 * its match limit, or matches of it began over and over that outgrew the window. -EILSEQ of kind TEXT, under
 * SPILE_TALK_STRICT. -EBUSY: one is under way that was started on the loop. With `timeout_ns` 0 a
 * match that could still grow is taken only at rest. A call with the same patterns and options after one that timed out
 * goes on where that was. */
SPILE_API int spile_talk_expect(spile_talk *talk, const spile_patterns *patterns, const spile_expect_options *options,
                                uint64_t timeout_ns, spile_match *match, spile_error **ret_error);
/* The same on a loop: `done` is called from inside a step, once, with what spile_talk_expect would return; match and
 * error are good while it runs. Those that are started while one is under way take their turns. -ECANCELED: the talk
 * was closed. It may do anything to the talk, even free it. */
typedef void (*spile_expect_fn)(void *user, spile_talk *talk, int result, const spile_match *match,
                                const spile_error *error);
SPILE_API int spile_talk_expect_start(spile_talk *talk, const spile_patterns *patterns,
                                      const spile_expect_options *options, uint64_t timeout_ns, spile_expect_fn done,
                                      void *user);
/* Calls off those that were started with this `user`: they are told now, -ECANCELED. -ENOENT: there is none. */
SPILE_API int spile_talk_expect_cancel(spile_talk *talk, const void *user);

#ifdef __cplusplus
}
#endif
#endif
