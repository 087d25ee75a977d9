/* Text of talks: lines, encodings and delimiters, in pieces of any size. */
#include "talk_support.h"

#include "talk/endpoint.h"
#include "talk/lines.h"

#include <glob.h>

enum { ROUNDS = 400, MUCH = 100000 };

/* ------------------------------------------------------------------------------ any cutting gives the same */

/* Everything that lines_find gives, ends shown as '|', for bytes that come in pieces of at most `most` bytes. */
static void cut(const struct codec *codec, spile_talk_ends ends, const char *data, size_t size, uint32_t most,
                struct text *result) {
    struct lines lines;
    struct buffer buffer = {0};
    size_t line, end;
    lines_init(&lines, codec, ends);
    for (size_t place = 0; place < size || most == 0;) {
        size_t drawn = most ? random_below(most) + 1 : size, piece = MIN(size - place, drawn);
        ck_assert_int_eq(buffer_add(&buffer, data + place, piece), 0);
        lines_arrived(&lines, &buffer);
        place += piece;
        while (lines_find(&lines, &buffer, &line, &end)) {
            text_add(result, buffer_start(&buffer), line);
            text_add(result, "|", 1);
            lines_take(&lines, &buffer, line + end, true);
        }
        buffer_trim(&buffer);
        if (!most)
            break;
    }
    if (buffer_size(&buffer) > 0)
        text_add(result, buffer_start(&buffer), buffer_size(&buffer));
    buffer_done(&buffer);
}

START_TEST(any_cutting_gives_the_same_lines) {
    static const char *const encodings[] = {"UTF-8", "UTF-16LE", "UTF-16BE", "UTF-32LE"};
    static const char alphabet[] = "\r\n\r\nab\0\x0a\x0d";
    struct codec codec;
    ck_assert_int_eq(codec_init(&codec, encodings[_i], SPILE_TALK_REPLACE), 0);
    for (int round = 0; round < ROUNDS; round++) {
        char data[200];
        size_t size = random_below(sizeof(data)) / 4 * (size_t)4;
        for (size_t i = 0; i < size; i++)
            data[i] = alphabet[random_below(sizeof(alphabet) - 1)];
        /* Many line ends, whatever the encoding. */
        for (size_t i = 0; i + codec.unit <= size; i += codec.unit)
            if (random_below(3) == 0)
                memcpy(data + i, random_below(2) ? codec.lf : codec.cr, codec.unit);
        for (int ends = SPILE_TALK_ENDS_ANY; ends <= SPILE_TALK_ENDS_CR; ends++) {
            AUTO_TEXT whole = {0};
            AUTO_TEXT cut_up = {0};
            text_add(&whole, "", 0);
            text_add(&cut_up, "", 0);
            cut(&codec, (spile_talk_ends)ends, data, size, 0, &whole);
            cut(&codec, (spile_talk_ends)ends, data, size, 1 + random_below(7), &cut_up);
            ck_assert_uint_eq(whole.size, cut_up.size);
            ck_assert(memcmp(whole.data, cut_up.data, whole.size) == 0);
        }
    }
    codec_done(&codec);
}
END_TEST

int fuzz_one(const uint8_t *data, size_t size); /* fuzz_talk.c */

START_TEST(what_the_fuzzer_checks_holds_for_random_bytes) {
    for (int round = 0; round < 20 * ROUNDS; round++) {
        uint8_t data[160];
        const size_t size = random_below(sizeof(data));
        for (size_t i = 0; i < size; i++)
            data[i] = (uint8_t)(i < 4 || random_below(3) == 0 ? random_below(256)
                                : random_below(3) == 0        ? (uint32_t) "\r\n\r\n\0\x1b$B"[random_below(8)]
                                                              : 0x20 + random_below(0x60));
        fuzz_one(data, size);
    }
}
END_TEST

START_TEST(corpus) {
    glob_t found;
    ck_assert_int_eq(glob(TEST_SOURCE "/corpus/talk/*", 0, NULL, &found), 0);
    ck_assert_uint_gt(found.gl_pathc, 20);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        uint8_t data[4096];
        FILE *file = fopen(found.gl_pathv[i], "re");
        ck_assert_ptr_nonnull(file);
        const size_t size = fread(data, 1, sizeof(data), file);
        ck_assert_int_eq(fclose(file), 0);
        fuzz_one(data, size);
    }
    globfree(&found);
}
END_TEST

START_TEST(any_text_is_an_endpoint_or_refused) {
    static const char alphabet[] = "pty: ipef:dfoatcnu[]@,'\"\\$|x 19/-";
    unsigned right = 0;
    for (int round = 0; round < 50 * ROUNDS; round++) {
        static const char *const starts[] = {"", "pty:", "pipe: ", "tcp:", "fifo:", "fd:", "unix:"};
        struct endpoint endpoint;
        spile_error *error = NULL;
        char text[40];
        snprintf(text, sizeof(text), "%s", starts[random_below(ARRAY_SIZE(starts))]);
        for (size_t i = strlen(text), size = i + random_below(20); i < size; i++) {
            text[i] = alphabet[random_below(sizeof(alphabet) - 1)];
            text[i + 1] = '\0';
        }
        int result = endpoint_parse(text, &endpoint, &error);
        ck_assert_msg(result == 0 ? !error : result == -EINVAL && error, "'%s'", text);
        if (result == 0) {
            ck_assert_str_eq(endpoint.text, text);
            endpoint_done(&endpoint);
            right++;
        }
        spile_error_free(error);
    }
    ck_assert_uint_gt(right, 1000);
}
END_TEST

START_TEST(line_ends) {
    static const struct {
        spile_talk_ends ends;
        const char *data, *lines;
    } cases[] = {
        {SPILE_TALK_ENDS_ANY, "a\nb\r\nc\rd\n\re\r\r\n\n", "a|b|c|d||e|||"},
        {SPILE_TALK_ENDS_LF, "a\nb\r\nc\rd\n", "a|b\r|c\rd|"},
        {SPILE_TALK_ENDS_CRLF, "a\nb\r\nc\rd\r\r\n\r\n", "a\nb|c\rd\r||"},
        {SPILE_TALK_ENDS_CR, "a\nb\r\nc\r", "a\nb|\nc|"},
    };
    struct codec codec;
    ck_assert_int_eq(codec_init(&codec, NULL, SPILE_TALK_REPLACE), 0);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        for (uint32_t most = 0; most < 4; most++) {
            AUTO_TEXT text = {0};
            cut(&codec, cases[i].ends, cases[i].data, strlen(cases[i].data), most, &text);
            ck_assert_str_eq(text.data, cases[i].lines);
        }
    codec_done(&codec);
}
END_TEST

/* Decodes in pieces; what is not used waits for the next. */
static void decode(const char *encoding, spile_talk_errors errors, const char *data, size_t size, uint32_t most,
                   uint64_t characters, struct text *text) {
    struct codec codec;
    size_t have = 0, used = 0;
    ck_assert_int_eq(codec_init(&codec, encoding, errors), 0);
    while (used < size) {
        size_t drawn = most ? random_below(most) + 1 : size;
        have = MIN(size, have + drawn);
        struct codec_job job = {.data = data + used,
                                .size = have - used,
                                .is_final = have == size,
                                .characters = characters ? characters : UINT64_MAX};
        ck_assert_int_eq(codec_decode(&codec, &job, text), 0);
        ck_assert(!characters || job.done <= characters);
        used += job.used;
    }
    codec_done(&codec);
}

START_TEST(any_cutting_gives_the_same_text) {
    static const char *const encodings[] = {"UTF-8",    "ASCII",  "latin-1", "ISO-8859-15",  "SHIFT_JIS",
                                            "UTF-16LE", "EUC-JP", "GB18030", "windows-1252", "ISO-2022-JP"};
    for (int round = 0; round < ROUNDS; round++) {
        char data[120];
        size_t size = random_below(sizeof(data));
        for (size_t i = 0; i < size; i++)
            data[i] = (char)(random_below(2) ? 0x20 + random_below(0x60) : random_below(256));
        AUTO_TEXT whole = {0};
        AUTO_TEXT cut_up = {0};
        AUTO_TEXT singly = {0};
        text_add(&whole, "", 0);
        text_add(&cut_up, "", 0);
        text_add(&singly, "", 0);
        decode(encodings[_i], SPILE_TALK_ESCAPE, data, size, 0, 0, &whole);
        decode(encodings[_i], SPILE_TALK_ESCAPE, data, size, 4, 0, &cut_up);
        decode(encodings[_i], SPILE_TALK_ESCAPE, data, size, 0, 1, &singly);
        ck_assert_str_eq(whole.data, cut_up.data);
        ck_assert_str_eq(whole.data, singly.data);
        for (size_t i = 0; i < whole.size;) {
            int length = utf8_length(whole.data + i, whole.size - i);
            ck_assert_int_gt(length, 0); /* whatever came, it is text */
            i += (size_t)length;
        }
    }
}
END_TEST

START_TEST(delimiters_in_pieces) {
    static const char *const delimiters[] = {"aab", "ab\naa", "\n\n", "\nb", "a"};
    struct codec codec;
    ck_assert_int_eq(codec_init(&codec, NULL, SPILE_TALK_REPLACE), 0);
    for (int round = 0; round < ROUNDS; round++) {
        struct delimiter delimiter;
        char data[100];
        size_t size = random_below(sizeof(data)), place[2] = {0, 0}, length[2] = {0, 0};
        bool found[2] = {false, false};
        for (size_t i = 0; i < size; i++)
            data[i] = "ab\r\n"[random_below(4)];
        ck_assert_int_eq(delimiter_init(&delimiter, &codec, delimiters[random_below(ARRAY_SIZE(delimiters))]), 0);
        for (int way = 0; way < 2; way++) {
            struct lines lines;
            struct buffer buffer = {0};
            lines_init(&lines, &codec, SPILE_TALK_ENDS_ANY);
            for (size_t have = 0; have < size && !found[way];) {
                size_t drawn = way ? random_below(4) + 1 : size, piece = MIN(drawn, size - have);
                ck_assert_int_eq(buffer_add(&buffer, data + have, piece), 0);
                have += piece;
                found[way] = lines_search(&lines, &buffer, &delimiter, &place[way], &length[way]);
            }
            buffer_done(&buffer);
        }
        ck_assert_int_eq(found[0], found[1]);
        ck_assert_uint_eq(place[0], place[1]);
        delimiter_done(&delimiter);
    }
    codec_done(&codec);
}
END_TEST

/* ------------------------------------------------------------------------------ through a talk */

static void send_to(int peer, const char *data, size_t size) {
    ck_assert_int_eq(write(peer, data, size), (ssize_t)size);
}

START_TEST(carriage_return_at_a_pieces_end) {
    int peer;
    const char *text;
    size_t size;
    spile_talk *talk = talk_with_socket(TALK_OPTIONS(0), &peer);
    peer_write(peer, "one\r");
    hear(talk, "one"); /* at once: nothing may come behind it */
    peer_write(peer, "\ntwo\n");
    hear(talk, "two");
    peer_write(peer, "three\r");
    hear(talk, "three");
    peer_write(peer, "\n");
    ck_assert_int_eq(spile_talk_read_line(talk, 20 * NS_PER_MS, &text, &size, NULL), -ETIMEDOUT);
    peer_write(peer, "\n");
    hear(talk, "");
    spile_talk_free(talk);
    close(peer);
}
END_TEST

START_TEST(nul_bytes_and_much) {
    int peer;
    spile_talk *talk = talk_with_socket(TALK_OPTIONS(0), &peer);
    send_to(peer, "a\0b\n\0\n", 6);
    hear_bytes(talk, SPILE_TALK_WHOLE, "a\0b", 3);
    hear_bytes(talk, SPILE_TALK_WHOLE, "\0", 1);
    spile_talk_free(talk);
    close(peer);
}
END_TEST

START_TEST(line_of_100_mb) {
    const char *text = NULL;
    size_t size = 0;
    uint64_t begin = time_now_ns();
    spile_talk *talk = talk_with("pipe: sh -c 'head -c 100000000 /dev/zero; echo; echo end'", NULL);
    ck_assert_int_eq(spile_talk_read_line(talk, LONG_NS, &text, &size, NULL), SPILE_TALK_WHOLE);
    ck_assert_uint_eq(size, 100000000);
    ck_assert_int_eq(text[0] | text[size - 1], 0);
    hear(talk, "end");
    end_talk(talk);
    ck_assert_uint_lt(time_now_ns() - begin, 20 * NS_PER_SECOND);
}
END_TEST

START_TEST(line_limit) {
    int peer;
    const char *text;
    size_t size;
    spile_error *error = NULL;
    spile_talk *talk = talk_with_socket(TALK_OPTIONS(.line_limit_bytes = 5), &peer);
    peer_write(peer, "12345\n123456\nok\n");
    hear(talk, "12345");
    ck_assert_int_eq(spile_talk_read_line(talk, LONG_NS, &text, &size, &error), -EMSGSIZE);
    check_error(error, SPILE_ERROR_LIMIT, "more than 5 bytes");
    spile_error_free(error);
    ck_assert_int_eq(spile_talk_read(talk, 7, 7, LONG_NS, &text, &size, NULL), SPILE_TALK_WHOLE);
    ck_assert_str_eq(text, "123456\n");
    hear(talk, "ok");
    spile_talk_free(talk);
    close(peer);
}
END_TEST

START_TEST(bytes_that_are_no_text) {
    static const struct {
        spile_talk_errors errors;
        const char *lines[2];
    } cases[] = {{SPILE_TALK_REPLACE,
                  {"a\xef\xbf\xbd"
                   "b",
                   "\xc3\xa4\xef\xbf\xbd"}},
                 {SPILE_TALK_ESCAPE, {"a\\xffb", "\xc3\xa4\\xe2\\x82"}}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        int peer;
        spile_talk *talk = talk_with_socket(TALK_OPTIONS(.errors = cases[i].errors), &peer);
        peer_write(peer, "a\xff"
                         "b\n\xc3\xa4\xe2\x82\nplain\n");
        hear(talk, cases[i].lines[0]);
        hear(talk, cases[i].lines[1]);
        hear(talk, "plain");
        spile_talk_free(talk);
        close(peer);
    }
}
END_TEST

START_TEST(strictly) {
    int peer;
    const char *text;
    const void *data;
    size_t size;
    spile_error *error = NULL;
    spile_talk *talk = talk_with_socket(TALK_OPTIONS(.errors = SPILE_TALK_STRICT), &peer);
    peer_write(peer, "before\na\xff"
                     "b\nafter\nx\xfey");
    hear(talk, "before");
    ck_assert_int_eq(spile_talk_read_line(talk, LONG_NS, &text, &size, &error), -EILSEQ);
    check_error(error, SPILE_ERROR_TEXT, "UTF-8: ff");
    error = spile_error_free(error);
    ck_assert_int_eq(spile_talk_bytes(talk, &data, &size), 0);
    ck_assert_uint_eq(size, 3);
    ck_assert(memcmp(data,
                     "a\xff"
                     "b",
                     3) == 0);
    hear(talk, "after");
    ck_assert_int_eq(spile_talk_read(talk, 1, 9, LONG_NS, &text, &size, NULL), SPILE_TALK_WHOLE);
    ck_assert_str_eq(text, "x");
    ck_assert_int_eq(spile_talk_read(talk, 1, 9, LONG_NS, &text, &size, NULL), -EILSEQ);
    ck_assert_int_eq(spile_talk_read(talk, 1, 9, LONG_NS, &text, &size, NULL), SPILE_TALK_WHOLE);
    ck_assert_str_eq(text, "y");
    /* What can't be written is refused before anything is. */
    spile_talk_free(talk);
    close(peer);
    talk = talk_with_socket(TALK_OPTIONS(.errors = SPILE_TALK_STRICT, .encoding = "latin-1"), &peer);
    ck_assert_int_eq(spile_talk_write(talk, "ab\xe2\x82\xac", 5, LONG_NS, &error), -EILSEQ);
    check_error(error, SPILE_ERROR_TEXT, "\xe2\x82\xac");
    spile_error_free(error);
    ck_assert_uint_eq(talk_info(talk).bytes_out, 0);
    char *much = calloc(1, MUCH + 4);
    memset(much, 'x', MUCH);
    snprintf(much + MUCH, 4, "\xe2\x82\xac");
    ck_assert_int_eq(spile_talk_write(talk, much, MUCH + 3, LONG_NS, NULL), -EILSEQ);
    ck_assert_uint_eq(talk_info(talk).bytes_out + talk_info(talk).bytes_queued, 0);
    free(much);
    spile_talk_free(talk);
    close(peer);
}
END_TEST

/* Whatever the place in a long text at which a character stands. */
START_TEST(much_in_another_encoding) {
    int peer;
    char *much = calloc(1, MUCH + 1);
    spile_talk *talk = talk_with_socket(TALK_OPTIONS(.encoding = "latin-1"), &peer);
    *much = 'x';
    for (size_t i = 1; i < MUCH; i += 2)
        memcpy(much + i, i + 1 < MUCH ? "\xc3\xa4" : "x", i + 1 < MUCH ? 2 : 1);
    ck_assert_int_eq(spile_talk_write(talk, much, MUCH, LONG_NS, NULL), MUCH);
    ck_assert_int_eq(recv(peer, much, MUCH / 2 + 1, MSG_WAITALL), MUCH / 2 + 1);
    for (size_t i = 1; i < MUCH / 2; i++)
        ck_assert_msg(much[i] == '\xe4', "%02x at %zu", (unsigned)(unsigned char)much[i], i);
    free(much);
    spile_talk_free(talk);
    close(peer);
}
END_TEST

START_TEST(encodings) {
    static const struct {
        const char *encoding, *text, *bytes;
        size_t size;
    } cases[] = {
        {"latin-1", "\xc3\xa4=\xe2\x82\xac\n", "\xe4=?\r\n", 5},
        {"ISO-8859-15", "\xc3\xa4=\xe2\x82\xac\n", "\xe4=\xa4\r\n", 5},
        {"UTF-16LE", "\xc3\xa4\n", "\xe4\0\r\0\n\0", 6},
        {"UTF-16BE", "\xc3\xa4\n", "\0\xe4\0\r\0\n", 6},
        {"ASCII", "\xc3\xa4\n", "?\r\n", 3},
        {"SHIFT_JIS", "\xe3\x81\x82\n", "\x82\xa0\r\n", 4},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        int peer;
        char got[32], back[32];
        spile_talk *talk = talk_with_socket(TALK_OPTIONS(.encoding = cases[i].encoding, .eol = "\r\n"), &peer);
        const ssize_t length = (ssize_t)strlen(cases[i].text);
        ck_assert_int_eq(spile_talk_write(talk, cases[i].text, (size_t)length, LONG_NS, NULL), length);
        ck_assert_int_eq(read(peer, got, sizeof(got)), (ssize_t)cases[i].size);
        ck_assert_msg(memcmp(got, cases[i].bytes, cases[i].size) == 0, "%s", cases[i].encoding);
        for (size_t part = 0; part < cases[i].size; part++) /* byte by byte */
            send_to(peer, got + part, 1);
        snprintf(back, sizeof(back), "%s", cases[i].text);
        back[length - 1] = '\0';
        if (memchr(got, '?', cases[i].size) == NULL)
            hear(talk, back);
        spile_talk_free(talk);
        close(peer);
    }
}
END_TEST

START_TEST(escapes_when_written) {
    int peer;
    spile_talk *talk = talk_with_socket(TALK_OPTIONS(.encoding = "ASCII", .errors = SPILE_TALK_ESCAPE), &peer);
    say(talk, "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80");
    peer_read(peer, "\\xe4\\u20ac\\U0001f600\n");
    spile_talk_free(talk);
    close(peer);
}
END_TEST

START_TEST(characters_and_bytes) {
    int peer;
    const char *text;
    const void *data;
    size_t size;
    spile_talk *talk = talk_with_socket(TALK_OPTIONS(0), &peer);
    peer_write(peer, "\xc3\xa4\xc3\xb6\xc3\xbc\r\nx\r\nOK\r\n\xff\xfe\x00");
    ck_assert_int_eq(spile_talk_read(talk, 2, 2, LONG_NS, &text, &size, NULL), SPILE_TALK_WHOLE);
    ck_assert_str_eq(text, "\xc3\xa4\xc3\xb6");
    ck_assert_int_eq(spile_talk_read(talk, 1, 2, LONG_NS, &text, &size, NULL), SPILE_TALK_WHOLE);
    ck_assert_str_eq(text, "\xc3\xbc\n"); /* half of a line's end counts for all of it */
    hear(talk, "x");
    hear(talk, "OK");
    ck_assert_int_eq(spile_talk_read_bytes(talk, 2, 2, LONG_NS, &data, &size, NULL), SPILE_TALK_WHOLE);
    ck_assert(memcmp(data, "\xff\xfe", 2) == 0);
    peer_write(peer, "\xe2\x82"); /* the start of a character is none yet */
    ck_assert_int_eq(spile_talk_read(talk, 1, 9, 20 * NS_PER_MS, &text, &size, NULL), -ETIMEDOUT);
    peer_write(peer, "\xac");
    ck_assert_int_eq(spile_talk_read(talk, 1, 9, LONG_NS, &text, &size, NULL), SPILE_TALK_WHOLE);
    ck_assert_str_eq(text, "\xe2\x82\xac");
    peer_write(peer, "all\rof\r\nit");
    ck_assert_int_eq(spile_talk_read(talk, 0, UINT64_MAX, 0, &text, &size, NULL), SPILE_TALK_WHOLE);
    ck_assert_str_eq(text, "all\nof\nit");
    close(peer);
    ck_assert_int_eq(spile_talk_read(talk, 1, 9, LONG_NS, &text, &size, NULL), SPILE_TALK_NOTHING);
    spile_talk_free(talk);
}
END_TEST

START_TEST(until_a_delimiter) {
    int peer;
    const char *text;
    size_t size;
    spile_talk *talk = talk_with_socket(TALK_OPTIONS(0), &peer);
    peer_write(peer, "login: x\r\ny\r\n>> rest");
    ck_assert_int_eq(spile_talk_read_until(talk, ": ", LONG_NS, &text, &size, NULL), SPILE_TALK_WHOLE);
    ck_assert_str_eq(text, "login");
    ck_assert_int_eq(spile_talk_read_until(talk, "\n>> ", LONG_NS, &text, &size, NULL), SPILE_TALK_WHOLE);
    ck_assert_str_eq(text, "x\ny");
    ck_assert_int_eq(spile_talk_read_until(talk, "no", 10 * NS_PER_MS, &text, &size, NULL), -ETIMEDOUT);
    ck_assert_int_eq(spile_talk_read_until(talk, "", LONG_NS, &text, &size, NULL), -EINVAL);
    close(peer);
    ck_assert_int_eq(spile_talk_read_until(talk, "no", LONG_NS, &text, &size, NULL), SPILE_TALK_REST);
    ck_assert_str_eq(text, "rest");
    ck_assert_int_eq(spile_talk_read_until(talk, "no", LONG_NS, &text, &size, NULL), SPILE_TALK_NOTHING);
    spile_talk_free(talk);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("talk text");
    TCase *group = tcase_create("pieces");
    tcase_add_loop_test(group, any_cutting_gives_the_same_lines, 0, 4);
    tcase_add_loop_test(group, any_cutting_gives_the_same_text, 0, 10);
    tcase_add_test(group, line_ends);
    tcase_add_test(group, any_text_is_an_endpoint_or_refused);
    tcase_add_test(group, delimiters_in_pieces);
    tcase_add_test(group, what_the_fuzzer_checks_holds_for_random_bytes);
    tcase_add_test(group, corpus);
    suite_add_tcase(suite, group);
    group = tcase_create("talks");
    tcase_set_timeout(group, 30);
    const TTest *const tests[] = {carriage_return_at_a_pieces_end,
                                  nul_bytes_and_much,
                                  line_of_100_mb,
                                  line_limit,
                                  bytes_that_are_no_text,
                                  strictly,
                                  much_in_another_encoding,
                                  encodings,
                                  escapes_when_written,
                                  characters_and_bytes,
                                  until_a_delimiter};
    for (size_t i = 0; i < ARRAY_SIZE(tests); i++)
        tcase_add_test(group, tests[i]);
    suite_add_tcase(suite, group);
    return support_run(suite);
}
