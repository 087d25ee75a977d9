/* Waiting for one of several things: which one wins, what is kept. */
#include "talk_support.h"

#include <sys/socket.h>

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
    talk = talk_with_socket(TALK_OPTIONS(.ends = SPILE_TALK_ENDS_CRLF), &peer);
    peer_write(peer, "ax\r\n");
    check_match(talk, PATTERNS(REGEX("x$", .mode = SPILE_PATTERN_LINE)), 0, "a", "x");
    close(peer);
    end_talk(talk);
}
END_TEST

START_TEST(what_was_taken_is_seen_behind) {
    int peer;
    spile_talk *talk = talk_with_socket(TALK_OPTIONS(), &peer);
    peer_write(peer, "xfoo foo1 bar=baz; a\nb");
    check_match(talk, PATTERNS(LITERAL("x")), 0, "", "x");
    check_match(talk, PATTERNS(REGEX("\\bfoo")), 0, "foo ", "foo");
    check_match(talk, PATTERNS(REGEX("^\\b1 bar")), 0, "", "1 bar"); /* where reading begins */
    check_match(talk, PATTERNS(REGEX("(?<=[r^])=")), 0, "", "=");
    check_match(talk, PATTERNS(REGEX("^\\w", .flags = SPILE_PATTERN_MULTILINE), TIMEOUT), 0, "baz; a\n", "b");
    /* No more of it than is kept, in whole characters: 64 bytes would begin in the middle of one. */
    for (int i = 0; i < 40; i++)
        peer_write(peer, "\xc3\xa4");
    peer_write(peer, "xyz");
    spile_patterns *patterns = PATTERNS(LITERAL("x"));
    (void)expect_with(talk, patterns, NULL, 0);
    spile_patterns_free(patterns);
    patterns = PATTERNS(REGEX("(?<=.{33})y"));
    ck_assert_int_eq(spile_talk_expect(talk, patterns, NULL, 0, NULL, NULL), -EAGAIN);
    spile_patterns_free(patterns);
    check_match(talk, PATTERNS(REGEX("(?<=.{32})y")), 0, "", "y");
    /* Bytes are not seen behind text: they may be none. */
    peer_write(peer, "\xff"
                     "1");
    const spile_pattern byte = LITERAL("\xff");
    patterns = patterns_of(&byte, 1, PATTERNS_OPTIONS(.is_bytes = true));
    (void)expect_with(talk, patterns, NULL, 0);
    spile_patterns_free(patterns);
    check_match(talk, PATTERNS(REGEX("(?<!.)1")), 0, "", "1");
    close(peer);
    end_talk(talk);
}
END_TEST

/* What is text as it stands is shown where it came, also where a character came in two pieces. */
START_TEST(nothing_is_copied) {
    int peer;
    const void *data;
    size_t size;
    spile_talk *talk = talk_with_socket(TALK_OPTIONS(), &peer);
    spile_patterns *patterns = PATTERNS(LITERAL("x"));
    peer_write(peer, "a\xc3");
    ck_assert_int_eq(spile_talk_expect(talk, patterns, NULL, 0, NULL, NULL), -EAGAIN);
    peer_write(peer, "\xa4x.");
    spile_match match = expect_with(talk, patterns, NULL, 0);
    check_span(match.before, "a\xc3\xa4");
    ck_assert_int_eq(spile_talk_bytes(talk, &data, &size), 0);
    ck_assert_ptr_eq(match.before.text, data);
    spile_patterns_free(patterns);
    close(peer);
    end_talk(talk);
}
END_TEST

/* Free it. */
static char *repeated(char character, size_t count) {
    char *text = memory_zero(1, count + 1);
    return memset(text, character, count);
}

/* What was left for later, since much would have been looked at again, is found where it became complete. */
START_TEST(left_for_later) {
    enum { MUCH = 40000 };
    int peer;
    spile_talk *talk = talk_with_socket(TALK_OPTIONS(.keep_limit_bytes = _i == 2 ? MUCH + 4 : 0), &peer);
    spile_patterns *patterns = PATTERNS(REGEX("x[^A]*A"), REGEX("B\\."));
    const spile_expect_options *options = EXPECT_OPTIONS(.rest_ns = UINT64_MAX);
    char *much = repeated('x', MUCH);
    peer_write(peer, much);
    do /* until all of it was looked at */
        ck_assert_int_eq(spile_talk_expect(talk, patterns, options, 0, NULL, NULL), -EAGAIN);
    while (talk_info(talk).bytes_kept < MUCH);
    peer_write(peer, (const char *const[]){"yAzB. ", "yAz", "yzzA"}[_i]);
    ck_assert_uint_eq(expect_with(talk, patterns, options, 0).text.size, MUCH + (_i == 2 ? 4 : 2));
    close(peer);
    spile_patterns_free(patterns);
    end_talk(talk);
    free(much);
}
END_TEST

/* More of it than PCRE2's machine code finds room for at first. */
START_TEST(deep) {
    enum { MUCH = 100000 };
    int peer;
    spile_talk *talk = talk_with_socket(TALK_OPTIONS(), &peer);
    char *much = repeated('x', MUCH);
    peer_write(peer, much);
    peer_write(peer, "A.");
    spile_patterns *patterns = PATTERNS(REGEX("(?:(x)|y)+A"));
    ck_assert_uint_eq(expect_with(talk, patterns, NULL, 0).text.size, MUCH + 1);
    spile_patterns_free(patterns);
    close(peer);
    end_talk(talk);
    free(much);
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
    /* At the deadline what could still grow is taken. */
    patterns = PATTERNS(REGEX("so(\\w*)"));
    ck_assert_int_eq(spile_talk_expect(talk, patterns, EXPECT_OPTIONS(.rest_ns = UINT64_MAX), NS_PER_MS, &match, NULL),
                     0);
    check_span(match.groups[1], "me");
    spile_patterns_free(patterns);
    peer_write(peer, "something");
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
    /* One that is cut is there in whole, too. */
    const void *data;
    size_t size;
    talk = talk_with_socket(TALK_OPTIONS(.errors = SPILE_TALK_ESCAPE), &peer);
    peer_write(peer, "one\r\xff\xfe.\n");
    hear(talk, "one"); /* and where the next line ends is known */
    spile_patterns *patterns = PATTERNS(LITERAL("x"));
    for (int i = 0; i < 2; i++) {
        spile_match match = expect_with(talk, patterns, NULL, 0);
        check_span(match.before, i ? "ff\\" : "\\");
        check_span(match.after, i ? "fe.\n" : "ff\\xfe.\n");
    }
    ck_assert_int_eq(spile_talk_bytes(talk, &data, &size), 0);
    ck_assert_uint_eq(size, 3);
    ck_assert_int_eq(memcmp(data, "ff\xfe", 3), 0);
    hear(talk, "fe.");
    /* Where there is no room behind it, too: all that a first read brings. */
    char much[4096] = "\xff";
    memset(much + 1, '.', sizeof(much) - 3);
    much[sizeof(much) - 2] = '\n';
    end_talk(talk);
    close(peer);
    talk = talk_with_socket(TALK_OPTIONS(.errors = SPILE_TALK_ESCAPE), &peer);
    peer_write(peer, much);
    (void)expect_with(talk, patterns, NULL, 0);
    check_match(talk, PATTERNS(LITERAL("ff.")), 0, "", "ff.");
    spile_patterns_free(patterns);
    close(peer);
    end_talk(talk);
}
END_TEST

/* Some encodings have characters that are two in UTF-8. */
START_TEST(two_for_one) {
    int peer;
    spile_talk *talk = talk_with_socket(TALK_OPTIONS(.encoding = "BIG5-HKSCS"), &peer);
    peer_write(peer, "\x88\x62x\n\x88\x62x\nafter\n");
    check_match(talk, PATTERNS(LITERAL("x")), 0, "\xc3\x8a\xcc\x84", "x");
    hear(talk, "");
    spile_patterns *patterns = PATTERNS(LITERAL("\xc3\x8a"), LITERAL("x"));
    for (int i = 0; i < 2; i++)
        (void)expect_with(talk, patterns, NULL, i);
    spile_patterns_free(patterns);
    hear(talk, "");
    hear(talk, "after");
    close(peer);
    end_talk(talk);
}
END_TEST

/* Where bytes mean what was said before them, it goes on with what they meant, whatever looked at them meanwhile. */
START_TEST(shift_states) {
    int peer;
    const char *text;
    size_t size;
    spile_talk *talk = talk_with_socket(TALK_OPTIONS(.encoding = "ISO-2022-JP"), &peer);
    spile_patterns *patterns = PATTERNS(LITERAL("x"));
    peer_write(peer, "\x1b$B$\"");
    ck_assert_int_eq(spile_talk_expect(talk, patterns, NULL, 0, NULL, NULL), -EAGAIN);
    ck_assert_int_eq(spile_talk_read(talk, 2, 2, 0, &text, &size, NULL), -EAGAIN);
    peer_write(peer, "$$\x1b(Bx");
    check_match(talk, patterns, 0, "\xe3\x81\x82\xe3\x81\x84", "x");
    close(peer);
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
    char *much = repeated('a', 1000);
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
    char *much = repeated('a', MUCH);
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
    /* The next one does not wait for what has come already. */
    struct told other = {0};
    spile_patterns *never = PATTERNS(LITERAL("never"));
    patterns = PATTERNS(LITERAL("x"));
    ck_assert_int_eq(spile_talk_expect_start(talk, never, NULL, LONG_NS, note_told, &other), 0);
    ck_assert_int_eq(spile_talk_expect_start(talk, patterns, NULL, LONG_NS, note_told, &told), 0);
    spile_patterns_free(never);
    ck_assert_int_ge(spile_loop_step(loop, 0), 0);
    ck_assert_int_eq(spile_talk_expect_cancel(talk, &other), 0);
    ck_assert_int_eq(other.results[0], -ECANCELED);
    ck_assert_int_eq(spile_talk_expect_cancel(talk, &other), -ENOENT);
    while (told.count < 4)
        ck_assert_int_ge(spile_loop_step(loop, NS_FOREVER), 0);
    ck_assert_str_eq(told.texts[3], "; |x");
    told.count = 3;
    spile_patterns_free(patterns);
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

int main(void) {
    Suite *suite = suite_create("expect");
    TCase *group = tcase_create("expect");
    const TTest *const tests[] = {first_to_become_complete,
                                  groups_by_number_and_name,
                                  modes,
                                  what_was_taken_is_seen_behind,
                                  deep,
                                  nothing_is_copied,
                                  end_and_time_out,
                                  bytes_and_text,
                                  bytes_that_are_no_text,
                                  two_for_one,
                                  shift_states,
                                  text_that_is_put_back,
                                  limits_are_told,
                                  match_limit_is_told,
                                  window,
                                  wrong_patterns,
                                  started_on_a_loop};
    for (size_t i = 0; i < ARRAY_SIZE(tests); i++)
        tcase_add_test(group, tests[i]);
    tcase_add_loop_test(group, left_for_later, 0, 3);
    suite_add_tcase(suite, group);
    return support_run(suite);
}
