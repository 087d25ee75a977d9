/* Expecting in text of any length that comes in any pieces: what is found is what one look at all of it finds. */
#include "talk_support.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

enum { ROUNDS = 1500 };

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
        random_begin(round * 7919u + (uint32_t)_i);
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

static void note_told(void *user, spile_talk *talk, int result, const spile_match *match, const spile_error *error) {
    (void)talk;
    (void)error;
    ck_assert_int_eq(result, 0);
    *(size_t *)user = match->text.size;
}

static uint64_t busy_ns(void) {
    struct timespec busy;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &busy);
    return (uint64_t)busy.tv_sec * NS_PER_SECOND + (uint64_t)busy.tv_nsec;
}

/* A match that grows for long is not looked at anew with each little that comes. */
START_TEST(much_in_small_pieces) {
    enum { COUNT = 8192, PIECE = 1024 };
    char piece[PIECE + 1] = "";
    int peer;
    size_t found = 0;
    spile_loop *loop;
    ck_assert_int_eq(spile_loop_new(&loop), 0);
    spile_talk *talk = talk_with_socket(TALK_OPTIONS(.loop = loop), &peer);
    spile_patterns *patterns = PATTERNS(REGEX("x[^A]*A"));
    const spile_expect_options *options = EXPECT_OPTIONS(.rest_ns = UINT64_MAX);
    ck_assert_int_eq(spile_talk_expect_start(talk, patterns, options, LONG_NS, note_told, &found), 0);
    spile_patterns_free(patterns);
    memset(piece, 'x', PIECE);
    const uint64_t began = busy_ns();
    for (uint64_t i = 1; i <= COUNT; i++) {
        peer_write(peer, piece);
        while (talk_info(talk).bytes_in < i * PIECE)
            ck_assert_int_ge(spile_loop_step(loop, LONG_NS), 0);
    }
    peer_write(peer, "A");
    while (!found)
        ck_assert_int_ge(spile_loop_step(loop, LONG_NS), 0);
    ck_assert_uint_eq(found, COUNT * PIECE + 1);
    ck_assert_uint_lt(busy_ns() - began, 10 * NS_PER_SECOND);
    end_talk(talk);
    spile_loop_free(loop);
    close(peer);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("expect in pieces");
    TCase *group = tcase_create("pieces");
    tcase_add_loop_test(group, any_cutting_finds_the_same, 0, 3);
    tcase_add_loop_test(group, much_text, 0, 10);
    tcase_add_test(group, much_in_small_pieces);
    suite_add_tcase(suite, group);
    return support_run(suite);
}
