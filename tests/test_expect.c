/* Waiting for one of several things: which one wins, what is kept, and that no cutting into pieces changes it. */
#include "talk_support.h"

#include <sys/socket.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

enum { ROUNDS = 1500 };

static spile_match expect_with(spile_talk *talk, const spile_patterns *patterns, const spile_expect_options *options,
                               int index) {
    spile_match match = {.size = sizeof(match)};
    spile_error *error = NULL;
    int result = spile_talk_expect(talk, patterns, options, LONG_NS, &match, &error);
    ck_assert_msg(result == index, "%d instead of %d, %s", result, index, error ? spile_error_get_message(error) : "");
    return match;
}

static void check_span(spile_span span, const char *text) {
    ck_assert_msg(span.text && span.size == strlen(text) && memcmp(span.text, text, span.size) == 0,
                  "'%.*s' instead of '%s'", (int)span.size, span.text ? span.text : "", text);
}

/* Expects, once, with patterns that are gone afterwards; what came before, and the match. */
static void check_match(spile_talk *talk, spile_patterns *patterns, int index, const char *before, const char *text) {
    spile_match match = expect_with(talk, patterns, NULL, index);
    ck_assert_uint_eq(match.index, (size_t)index);
    check_span(match.before, before);
    check_span(match.text, text);
    spile_patterns_free(patterns);
}

static void check_failure(spile_talk *talk, spile_patterns *patterns, const spile_expect_options *options,
                          uint64_t timeout_ns, int number, spile_error_kind kind, const char *part) {
    spile_error *error = NULL;
    int result = spile_talk_expect(talk, patterns, options, timeout_ns, NULL, &error);
    ck_assert_msg(result == -number, "%d instead of %d, %s", result, -number,
                  error ? spile_error_get_message(error) : "");
    check_error(error, kind, part);
    spile_error_free(error);
    spile_patterns_free(patterns);
}

/* ------------------------------------------------------------------------------ what is found */

START_TEST(first_to_become_complete) {
    int peer;
    spile_talk *talk = talk_with_socket(TALK_OPTIONS(), &peer);
    peer_write(peer, "one two three four login: ");
    check_match(talk, PATTERNS(LITERAL("three"), LITERAL("two")), 1, "one ", "two");
    check_match(talk, PATTERNS(LITERAL("re"), LITERAL("three")), 0, " th", "re");
    /* Two that end with the same character: the one that starts earlier, whatever the order. */
    check_match(talk, PATTERNS(LITERAL("ur"), REGEX("f\\w{2}r"), LITERAL("four")), 1, "e ", "four");
    check_match(talk, PATTERNS(TIMEOUT, REGEX("(?<what>log\\w+): ")), 1, " ", "login: ");
    peer_write(peer, "abc");
    check_match(talk, PATTERNS(LITERAL("abc"), LITERAL("abc")), 0, "", "abc");
    close(peer);
    check_match(talk, PATTERNS(LITERAL("x"), END), 1, "", "");
    end_talk(talk);
}
END_TEST

START_TEST(groups_by_number_and_name) {
    int peer;
    spile_talk *talk = talk_with_socket(TALK_OPTIONS(), &peer);
    spile_patterns *patterns = PATTERNS(LITERAL("nothing"), REGEX("(?<key>\\w+)(?:=(\\d+)|(!));"));
    peer_write(peer, "a line\nspeed=12;rest");
    spile_match match = expect_with(talk, patterns, NULL, 1);
    ck_assert_uint_eq(match.group_count, 4);
    check_span(match.groups[0], "speed=12;");
    check_span(match.groups[1], "speed");
    check_span(match.groups[2], "12");
    ck_assert_ptr_null(match.groups[3].text);
    check_span(match.before, "a line\n");
    check_span(match.after, "rest");
    ck_assert_int_eq(spile_patterns_group(patterns, 1, "key"), 1);
    ck_assert_int_eq(spile_patterns_group(patterns, 1, "none"), -ENOENT);
    ck_assert_int_eq(spile_patterns_group(patterns, 0, "key"), -ENOENT);
    ck_assert_str_eq(spile_patterns_group_name(patterns, 1, 1), "key");
    ck_assert_ptr_null(spile_patterns_group_name(patterns, 1, 2));
    spile_patterns_free(patterns);
    close(peer);
    hear_code(talk, SPILE_TALK_REST, "rest");
    end_talk(talk);
}
END_TEST

/* A number that comes in two pieces is one number, where it is not taken eagerly; what can still grow is taken at rest.
 */
START_TEST(modes) {
    int peer;
    spile_talk *talk = talk_with_socket(TALK_OPTIONS(), &peer);
    spile_match match = {.size = sizeof(match)};
    spile_patterns *patterns = PATTERNS(REGEX("value=(\\d+)"));
    peer_write(peer, "value=12");
    ck_assert_int_eq(spile_talk_expect(talk, patterns, NULL, 0, &match, NULL), -EAGAIN);
    peer_write(peer, "345\n");
    match = expect_with(talk, patterns, NULL, 0);
    check_span(match.groups[1], "12345");
    peer_write(peer, "value=67"); /* and then it rests */
    match = expect_with(talk, patterns, NULL, 0);
    check_span(match.groups[1], "67");
    spile_patterns_free(patterns);
    peer_write(peer, "8\nvalue=1");
    check_match(talk, PATTERNS(REGEX("value=(\\d+)", .mode = SPILE_PATTERN_EAGER)), 0, "8\n", "value=1");
    peer_write(peer, "2 x=1\r\nx=2\r\n");
    check_match(talk, PATTERNS(REGEX("^x=.*$", .mode = SPILE_PATTERN_LINE)), 0, "2 x=1\n", "x=2");
    peer_write(peer, "prompt> ");
    check_match(talk, PATTERNS(REGEX("> *$")), 0, "\nprompt", "> ");
    peer_write(peer, "x=3"); /* no whole line but at the end */
    patterns = PATTERNS(REGEX("x=3", .mode = SPILE_PATTERN_LINE));
    ck_assert_int_eq(spile_talk_expect(talk, patterns, NULL, NS_PER_MS, NULL, NULL), -ETIMEDOUT);
    close(peer);
    check_match(talk, patterns, 0, "", "x=3");
    end_talk(talk);
}
END_TEST

START_TEST(what_was_taken_is_seen_behind) {
    int peer;
    spile_talk *talk = talk_with_socket(TALK_OPTIONS(), &peer);
    peer_write(peer, "xfoo foo; bar=baz; a\nb");
    check_match(talk, PATTERNS(LITERAL("x")), 0, "", "x");
    check_match(talk, PATTERNS(REGEX("\\bfoo")), 0, "foo ", "foo");
    check_match(talk, PATTERNS(REGEX("^; bar")), 0, "", "; bar"); /* where reading begins */
    check_match(talk, PATTERNS(REGEX("(?<=bar)=")), 0, "", "=");
    check_match(talk, PATTERNS(REGEX("^\\w", .flags = SPILE_PATTERN_MULTILINE), TIMEOUT), 0, "baz; a\n", "b");
    close(peer);
    end_talk(talk);
}
END_TEST

START_TEST(end_and_time_out) {
    int peer;
    spile_talk *talk = talk_with_socket(TALK_OPTIONS(), &peer);
    peer_write(peer, "some");
    check_failure(talk, PATTERNS(LITERAL("else")), NULL, NS_PER_MS, ETIMEDOUT, SPILE_ERROR_TIMEOUT, "in time");
    check_failure(talk, PATTERNS(LITERAL("else")), NULL, 0, EAGAIN, SPILE_ERROR_TIMEOUT, "in time");
    spile_match match = {.size = sizeof(match)};
    spile_patterns *patterns = PATTERNS(LITERAL("else"), TIMEOUT);
    ck_assert_int_eq(spile_talk_expect(talk, patterns, NULL, NS_PER_MS, &match, NULL), 1);
    check_span(match.before, "some");
    spile_patterns_free(patterns);
    peer_write(peer, "thing");
    check_match(talk, PATTERNS(LITERAL("something")), 0, "", "something"); /* nothing was taken */
    peer_write(peer, "last");
    close(peer);
    check_failure(talk, PATTERNS(LITERAL("else")), NULL, LONG_NS, ENODATA, SPILE_ERROR_ENDED, "ended before");
    check_match(talk, PATTERNS(LITERAL("else"), END), 1, "last", "");
    check_match(talk, PATTERNS(END), 0, "", "");
    end_talk(talk);
}
END_TEST

START_TEST(bytes_and_text) {
    int peer;
    spile_talk *talk = talk_with_socket(TALK_OPTIONS(.encoding = "UTF-16LE"), &peer);
    static const char text[] = "\xe4\0\r\0\n\0x\0=\0y\0";
    ck_assert_int_eq(write(peer, text, sizeof(text) - 1), sizeof(text) - 1);
    check_match(talk, PATTERNS(REGEX("\\w\nx")), 0, "", "\xc3\xa4\nx");
    const spile_pattern bytes = {.text = "=\0", .text_size = 2};
    spile_patterns *patterns = patterns_of(&bytes, 1, PATTERNS_OPTIONS(.is_bytes = true));
    ck_assert_uint_eq(expect_with(talk, patterns, NULL, 0).text.size, 2);
    spile_patterns_free(patterns);
    const void *data;
    size_t size;
    ck_assert_int_eq(spile_talk_bytes(talk, &data, &size), 0);
    ck_assert_uint_eq(size, 2);
    close(peer);
    check_match(talk, PATTERNS(LITERAL("y")), 0, "", "y");
    end_talk(talk);
}
END_TEST

START_TEST(bytes_that_are_no_text) {
    int peer;
    spile_talk *talk = talk_with_socket(TALK_OPTIONS(.errors = SPILE_TALK_STRICT), &peer);
    peer_write(peer, "good bad\xff more");
    check_match(talk, PATTERNS(LITERAL("good")), 0, "", "good");
    check_failure(talk, PATTERNS(LITERAL("more")), NULL, LONG_NS, EILSEQ, SPILE_ERROR_TEXT, "no text in UTF-8: ff");
    check_match(talk, PATTERNS(LITERAL("more")), 0, " ", "more");
    close(peer);
    end_talk(talk);
    talk = talk_with_socket(TALK_OPTIONS(.errors = SPILE_TALK_ESCAPE), &peer);
    peer_write(peer, "\xff\xfe.\xc3");
    check_match(talk, PATTERNS(LITERAL("xfe.")), 0, "\\xff\\", "xfe.");
    close(peer);
    check_match(talk, PATTERNS(END), 0, "\\xc3", "");
    end_talk(talk);
}
END_TEST

START_TEST(text_that_is_put_back) {
    int peer;
    spile_talk *talk = talk_with_socket(TALK_OPTIONS(.encoding = "UTF-16LE"), &peer);
    static const char text[] = "a\0\r\0", rest[] = "\n\0b\0\n\0";
    ck_assert_int_eq(write(peer, text, 4), 4);
    hear(talk, "a");
    ck_assert_int_eq(spile_talk_unread(talk, "x\xc3\xa4\n", 4), 0);
    ck_assert_int_eq(write(peer, rest, 6), 6);
    check_match(talk, PATTERNS(REGEX("\\w\nb\n")), 0, "x", "\xc3\xa4\nb\n");
    ck_assert_int_eq(spile_talk_unread(talk, "y\nz", 3), 0);
    hear(talk, "y");
    ck_assert_int_eq(spile_talk_unread(talk, "much more than was ever read, and a line\n", 41), 0);
    hear(talk, "much more than was ever read, and a line");
    close(peer);
    hear_code(talk, SPILE_TALK_REST, "z");
    end_talk(talk);
}
END_TEST

/* ------------------------------------------------------------------------------ limits */

START_TEST(limits_are_told) {
    int peer;
    spile_talk *talk = talk_with_socket(TALK_OPTIONS(.keep_limit_bytes = 1000), &peer);
    char *much = memory_zero(1, 1001);
    memset(much, 'a', 1000);
    peer_write(peer, much);
    check_failure(talk, PATTERNS(LITERAL("b")), NULL, LONG_NS, EMSGSIZE, SPILE_ERROR_LIMIT, "1000 bytes without");
    check_match(talk, PATTERNS(LITERAL(much)), 0, "", much); /* nothing was lost */
    close(peer);
    end_talk(talk);
    free(much);
}
END_TEST

START_TEST(match_limit_is_told) {
    int peer;
    spile_talk *talk = talk_with_socket(TALK_OPTIONS(), &peer);
    const spile_pattern slow = REGEX("(a+)+b");
    peer_write(peer, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaac");
    check_failure(talk, patterns_of(&slow, 1, PATTERNS_OPTIONS(.match_limit = 1000)), NULL, LONG_NS, EOVERFLOW,
                  SPILE_ERROR_LIMIT, "too many steps");
    close(peer);
    check_match(talk, PATTERNS(LITERAL("ac")), 0, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "ac");
    end_talk(talk);
}
END_TEST

START_TEST(window) {
    int peer;
    spile_talk *talk = talk_with_socket(TALK_OPTIONS(), &peer);
    spile_patterns *patterns = PATTERNS(REGEX("a[^b]*b"));
    peer_write(peer, "a2345678901234567890123a45b");
    spile_match match = expect_with(talk, patterns, EXPECT_OPTIONS(.window_bytes = 20), 0);
    check_span(match.text, "a45b");
    check_span(match.before, "a2345678901234567890123");
    /* What outgrows it over and over is an error: there is no end of that. */
    spile_patterns_free(patterns);
    enum { MUCH = 512 << 10 };
    char *much = memory_zero(1, MUCH + 1);
    memset(much, 'a', MUCH);
    pid_t child = fork();
    if (child == 0) {
        peer_write(peer, much);
        _exit(0);
    }
    check_failure(talk, PATTERNS(REGEX("[^b]*b")), EXPECT_OPTIONS(.window_bytes = 4096), LONG_NS, EOVERFLOW,
                  SPILE_ERROR_LIMIT, "too many steps");
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    free(much);
    close(peer);
    end_talk(talk);
}
END_TEST

static void check_refused(const spile_pattern *items, size_t count, const char *part) {
    spile_patterns *patterns = NULL;
    spile_error *error = NULL;
    ck_assert_int_eq(spile_patterns_new(items, count, NULL, &patterns, &error), -EINVAL);
    ck_assert_ptr_null(patterns);
    check_error(error, SPILE_ERROR_USAGE, part);
    spile_error_free(error);
}

START_TEST(wrong_patterns) {
    check_refused((const spile_pattern[]){LITERAL("a"), REGEX("a(")}, 2, "pattern 1, 'a(', is no regular expression");
    check_refused((const spile_pattern[]){LITERAL("")}, 1, "is empty");
    check_refused((const spile_pattern[]){LITERAL("\xff")}, 1, "not UTF-8");
    check_refused((const spile_pattern[]){END, LITERAL("a"), END}, 3,
                  "pattern 2 is the end of the stream for the second");
    check_refused((const spile_pattern[]){{.kind = SPILE_PATTERN_LITERAL, .text = "a", .flags = 1}}, 1,
                  "takes no flags");
    check_refused((const spile_pattern[]){{.kind = (spile_pattern_kind)9, .text = "a"}}, 1, "can't have");
    check_refused(NULL, 0, "used wrongly");
    ck_assert_int_eq(spile_talk_expect(NULL, NULL, NULL, 0, NULL, NULL), -EINVAL);
}
END_TEST

/* ------------------------------------------------------------------------------ on a loop */

struct told {
    int results[4];
    char texts[4][32];
    size_t count;
    bool frees;
};

static void note_told(void *user, spile_talk *talk, int result, const spile_match *match, const spile_error *error) {
    struct told *told = user;
    ck_assert(match || error);
    told->results[told->count] = result;
    if (match)
        snprintf(told->texts[told->count], sizeof(told->texts[0]), "%.*s|%.*s", (int)match->before.size,
                 match->before.text, (int)match->text.size, match->text.text);
    told->count++;
    if (told->frees)
        spile_talk_free(talk);
}

START_TEST(started_on_a_loop) {
    spile_loop *loop;
    int pair[2];
    struct told told = {0};
    ck_assert_int_eq(spile_loop_new(&loop), 0);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    char endpoint[16];
    snprintf(endpoint, sizeof(endpoint), "fd:%d", pair[0]);
    spile_talk *talk = talk_with(endpoint, TALK_OPTIONS(.loop = loop, .take_fd = true));
    spile_patterns *patterns = PATTERNS(LITERAL("one"), REGEX("t\\w+"));
    ck_assert_int_eq(spile_talk_expect_start(talk, patterns, NULL, LONG_NS, note_told, &told), 0);
    ck_assert_int_eq(spile_talk_expect_start(talk, patterns, NULL, LONG_NS, note_told, &told), 0);
    ck_assert_int_eq(spile_talk_expect_start(talk, patterns, NULL, 1, note_told, &told), 0);
    spile_patterns_free(patterns);
    peer_write(pair[1], "a two one; x");
    while (told.count < 3)
        ck_assert_int_ge(spile_loop_step(loop, NS_FOREVER), 0);
    ck_assert_int_eq(told.results[0], 1);
    ck_assert_str_eq(told.texts[0], "a |two");
    ck_assert_int_eq(told.results[1], 0);
    ck_assert_str_eq(told.texts[1], " |one");
    ck_assert_int_eq(told.results[2], -ETIMEDOUT);
    /* The talk goes while two wait, or from inside. */
    patterns = PATTERNS(LITERAL("never"));
    ck_assert_int_eq(spile_talk_expect_start(talk, patterns, NULL, LONG_NS, note_told, &told), 0);
    ck_assert_int_eq(spile_talk_expect(talk, patterns, NULL, LONG_NS, NULL, NULL), -EBUSY);
    spile_talk_free(talk);
    ck_assert_uint_eq(told.count, 4);
    ck_assert_int_eq(told.results[3], -ECANCELED);
    close(pair[1]);
    told = (struct told){.frees = true};
    talk = talk_with("pipe: echo never", TALK_OPTIONS(.loop = loop));
    ck_assert_int_eq(spile_talk_expect_start(talk, patterns, NULL, LONG_NS, note_told, &told), 0);
    while (told.count < 1)
        ck_assert_int_ge(spile_loop_step(loop, NS_FOREVER), 0);
    ck_assert_str_eq(told.texts[0], "|never");
    spile_patterns_free(patterns);
    spile_loop_free(loop);
}
END_TEST

/* ------------------------------------------------------------------------------ any cutting gives the same */

static uint32_t random_state;

static uint32_t random_below(uint32_t limit) {
    random_state = random_state * 1664525u + 1013904223u;
    return (uint32_t)(((uint64_t)random_state * limit) >> 32);
}

static const spile_pattern pool[] = {
    LITERAL("ab"),
    LITERAL("b1"),
    LITERAL("\n"),
    LITERAL("aab"),
    LITERAL("\xc3\xa4"),
    LITERAL("a\nb"),
    LITERAL("\xef\xbf\xbd"),
    REGEX("a+"),
    REGEX("(\\d+)"),
    REGEX("b.*1"),
    REGEX("[ab]+\\n"),
    REGEX("\\bab\\b"),
    REGEX("(?<=a)b"),
    REGEX("a(?=b)"),
    REGEX("1$"),
    REGEX("^a", .flags = SPILE_PATTERN_MULTILINE),
    REGEX("a|ab"),
    REGEX(".\xc3\xa4."),
    REGEX("(a)(?:b|(1))"),
    REGEX("a(?=.*1)", .flags = SPILE_PATTERN_DOTALL),
    REGEX("^[^1]+1"),
    REGEX("^.*b", .mode = SPILE_PATTERN_LINE),
    REGEX("1.*$", .mode = SPILE_PATTERN_LINE),
    REGEX("a*?b", .flags = SPILE_PATTERN_CASELESS),
};

struct want {
    int index;
    size_t start, end;
};

static bool look_in_lines(const pcre2_code *code, pcre2_match_data *data, const char *text, size_t size, size_t from,
                          bool is_settled, struct want *want) {
    const size_t *offsets = pcre2_get_ovector_pointer(data);
    size_t length;
    for (size_t start = from; start < size; start += length + 1) {
        const char *end = memchr(text + start, '\n', size - start);
        if (!end && !is_settled)
            break;
        length = end ? (size_t)(end - text) - start : size - start;
        bool is_mid = start == from && from > 0 && text[from - 1] != '\n';
        if (pcre2_match(code, (PCRE2_SPTR)text + start, length, 0, is_mid ? PCRE2_NOTBOL : 0, data, NULL) > 0) {
            *want = (struct want){want->index, start + offsets[0], start + offsets[1]};
            return true;
        }
    }
    return false;
}

/* What one look at so much of the text finds: with a match that can't change any more, or, settled, any. */
static bool look(const spile_pattern *pattern, const char *text, size_t size, size_t from, bool is_settled,
                 struct want *want) {
    if (pattern->kind == SPILE_PATTERN_LITERAL) {
        const char *found = memmem(text + from, size - from, pattern->text, strlen(pattern->text));
        want->start = found ? (size_t)(found - text) : 0;
        want->end = want->start + strlen(pattern->text);
        return found;
    }
    static pcre2_code *codes[ARRAY_SIZE(pool)];
    pcre2_code **code = &codes[pattern - pool];
    int number;
    size_t place;
    const uint32_t flags = PCRE2_UTF | PCRE2_UCP | (pattern->flags & SPILE_PATTERN_MULTILINE ? PCRE2_MULTILINE : 0) |
                           (pattern->flags & SPILE_PATTERN_DOTALL ? PCRE2_DOTALL : 0) |
                           (pattern->flags & SPILE_PATTERN_CASELESS ? PCRE2_CASELESS : 0);
    if (!*code)
        *code = pcre2_compile((PCRE2_SPTR)pattern->text, PCRE2_ZERO_TERMINATED, flags, &number, &place, NULL);
    pcre2_match_data *data = pcre2_match_data_create_from_pattern(*code, NULL);
    const size_t *offsets = pcre2_get_ovector_pointer(data);
    bool is_at_start = pattern->text[0] == '^' && !(pattern->flags & SPILE_PATTERN_MULTILINE);
    const size_t skip = is_at_start ? from : 0;
    bool is_found = false;
    if (pattern->mode == SPILE_PATTERN_LINE) {
        is_found = look_in_lines(*code, data, text, size, from, is_settled, want);
    } else {
        is_found = pcre2_match(*code, (PCRE2_SPTR)text + skip, size - skip, from - skip,
                               is_settled ? 0 : PCRE2_PARTIAL_HARD, data, NULL) > 0;
        *want = (struct want){want->index, skip + offsets[0], skip + offsets[1]};
    }
    pcre2_match_data_free(data);
    return is_found;
}

/* What is to come next: looked for with one character more at a time, and everything there is in the end. */
static struct want reference(const size_t *chosen, size_t count, const char *text, size_t size, size_t from) {
    for (size_t seen = from; seen <= size + 1; seen++) {
        struct want best = {-1, 0, 0};
        bool is_settled = seen == size + 1;
        if (!is_settled && seen < size && ((unsigned char)text[seen] & 0xc0) == 0x80)
            continue;
        for (size_t i = 0; i < count; i++) {
            struct want want = {(int)i, 0, 0};
            if (look(&pool[chosen[i]], text, MIN(seen, size), from, is_settled, &want) &&
                (best.index < 0 || want.start < best.start))
                best = want;
        }
        if (best.index >= 0)
            return best;
    }
    return (struct want){(int)count, size, size};
}

/* Text, and bytes that are it: line ends of every kind, and some that are no text. */
static void make_text(struct text *text, struct text *raw) {
    static const char *const characters[] = {"a", "a", "b", "1", " ", "\n", "\xc3\xa4", "\xef\xbf\xbd", "ab", "B"};
    const size_t size = random_below(60);
    for (size_t i = 0; i < size; i++) {
        const char *character = characters[random_below(ARRAY_SIZE(characters))];
        text_puts(text, character);
        bool has_cr = raw->size > 0 && raw->data[raw->size - 1] == '\r';
        if (*character == '\n')
            text_puts(raw, random_below(2) ? "\r\n" : has_cr || random_below(2) ? "\r" : "\n");
        else
            text_puts(raw, *character == '\xef' ? "\xff" : character);
    }
}

static int expect_in_pieces(spile_talk *talk, const spile_patterns *patterns, int *peer, const struct text *raw,
                            size_t *place, uint32_t most, spile_match *match) {
    for (;;) {
        spile_error *error = NULL;
        int result = spile_talk_expect(talk, patterns, EXPECT_OPTIONS(.rest_ns = UINT64_MAX), 0, match, &error);
        ck_assert_msg(result >= 0 || result == -EAGAIN, "%d, %s", result, error ? spile_error_get_message(error) : "");
        spile_error_free(error);
        if (result >= 0)
            return result;
        const size_t drawn = random_below(most) + 1, piece = MIN(raw->size - *place, drawn);
        if (piece > 0)
            ck_assert_int_eq(write(*peer, raw->data + *place, piece), (ssize_t)piece);
        else
            *peer = fd_close(*peer);
        *place += piece;
    }
}

START_TEST(any_cutting_finds_the_same) {
    for (uint32_t round = 0; round < ROUNDS; round++) {
        random_state = round * 7919u + (uint32_t)_i;
        struct text text = {0}, raw = {0};
        size_t chosen[4], count = random_below(4) + 1, place = 0, from = 0;
        spile_pattern items[5];
        for (size_t i = 0; i < count; i++)
            items[i] = pool[chosen[i] = random_below(ARRAY_SIZE(pool))];
        items[count] = (spile_pattern)END;
        make_text(&text, &raw);
        const char *all = text.data ? text.data : "";
        int peer;
        spile_talk *talk = talk_with_socket(TALK_OPTIONS(), &peer);
        spile_patterns *patterns = patterns_of(items, count + 1, NULL);
        for (struct want want = {0}; want.index < (int)count; from = want.end) {
            spile_match match = {.size = sizeof(match)};
            want = reference(chosen, count, all, text.size, from);
            int result = expect_in_pieces(talk, patterns, &peer, &raw, &place, (uint32_t[]){1, 5, 100}[_i], &match);
            ck_assert_msg(result == want.index && match.before.size == want.start - from &&
                              match.text.size == want.end - want.start &&
                              memcmp(match.before.text, all + from, match.before.size) == 0 &&
                              memcmp(match.text.text, all + want.start, match.text.size) == 0,
                          "round %u: in '%s' from %zu: %d (%s), %zu long behind %zu; not %d (%s), %zu long behind %zu",
                          round, all, from, result, result < (int)count ? items[result].text : "end", match.text.size,
                          match.before.size, want.index, want.index < (int)count ? items[want.index].text : "end",
                          want.end - want.start, want.start - from);
        }
        spile_patterns_free(patterns);
        end_talk(talk);
        fd_close(peer);
        text_done(&text);
        text_done(&raw);
    }
}
END_TEST

/* Much text in blocks: the same, and no slower the more of it there is. */
START_TEST(much_text) {
    enum { SIZE = 8 << 20 };
    static const spile_pattern patterns[] = {LITERAL("the marker"), REGEX("the mark(er)"), REGEX(".*the marker"),
                                             REGEX("(?s).*the marker"), REGEX("\\bthe marker")};
    char *much = memory_new(SIZE + 1);
    for (size_t i = 0; i < SIZE; i++)
        much[i] = i % 80 == 79 ? '\n' : (char)('a' + i % 23);
    if (_i % 2)
        much[100] = '\r', much[200] = '\xff';
    memcpy(much + SIZE - 11, "\nthe marker", 12);
    int peer;
    spile_talk *talk = talk_with_socket(TALK_OPTIONS(), &peer);
    pid_t child = fork();
    if (child == 0) {
        peer_write(peer, much);
        _exit(0);
    }
    spile_patterns *set = patterns_of(&patterns[_i / 2], 1, NULL);
    uint64_t began = time_now_ns();
    spile_match match = expect_with(talk, set, NULL, 0);
    ck_assert_uint_eq(match.before.size + match.text.size, SIZE + (_i % 2 ? 2 : 0));
    ck_assert_uint_lt(time_now_ns() - began, 20 * NS_PER_SECOND);
    waitpid(child, NULL, 0);
    spile_patterns_free(set);
    close(peer);
    end_talk(talk);
    free(much);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("expect");
    TCase *group = tcase_create("expect");
    const TTest *const tests[] = {first_to_become_complete,
                                  groups_by_number_and_name,
                                  modes,
                                  what_was_taken_is_seen_behind,
                                  end_and_time_out,
                                  bytes_and_text,
                                  bytes_that_are_no_text,
                                  text_that_is_put_back,
                                  limits_are_told,
                                  match_limit_is_told,
                                  window,
                                  wrong_patterns,
                                  started_on_a_loop};
    for (size_t i = 0; i < ARRAY_SIZE(tests); i++)
        tcase_add_test(group, tests[i]);
    tcase_add_loop_test(group, any_cutting_finds_the_same, 0, 3);
    tcase_add_loop_test(group, much_text, 0, 10);
    suite_add_tcase(suite, group);
    return support_run(suite);
}
