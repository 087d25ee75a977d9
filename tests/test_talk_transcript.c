/* Transcripts: what was said, by whom and when; exactly that, whatever the pieces; no secret; and holes that are told.
 */
#include "talk_support.h"

#include <ctype.h>
#include <sys/resource.h>

static char path[PATH_MAX];

static void begin(void) {
    snprintf(path, sizeof(path), "%s", in_scratch("transcript"));
    (void)unlink(path);
}

/* What the file has, without the times; each must look like one. */
static char *entries(bool is_json) {
    static char text[1 << 20];
    char *to = text, line[1 << 17];
    FILE *file = fopen(path, "re");
    ck_assert_ptr_nonnull(file);
    while (fgets(line, sizeof(line), file)) {
        char *start = is_json ? line + strlen("{\"time\": \"") : line;
        ck_assert_msg(strlen(start) > 27 && start[10] == 'T' && start[26] == 'Z' && isdigit((unsigned char)start[25]),
                      "no time: %s", line);
        to = stpcpy(to, start + 27 + (is_json ? strlen("\", ") : 1));
    }
    ck_assert_int_eq(fclose(file), 0);
    *to = '\0';
    return text;
}

static void check_entries(bool is_json, const char *expected) {
    const char *text = entries(is_json);
    ck_assert_msg(strcmp(text, expected) == 0, "the transcript is\n%s\ninstead of\n%s", text, expected);
}

#define WITH_TRANSCRIPT(...) TALK_OPTIONS(.transcript = path, __VA_ARGS__)

START_TEST(both_ways) {
    int peer;
    begin();
    spile_talk *talk = talk_with_socket(WITH_TRANSCRIPT(.eol = "\r\n"), &peer);
    say(talk, "one");
    say(talk, "two");
    peer_write(peer, "a\r\nb\nlogin: ");
    hear(talk, "a");
    say(talk, "root\\");
    peer_write(peer, "\x1b[1m\t\"\xc2\x9b\xc3\xa4\xff\r");
    hear(talk, "b");
    hear(talk, "login: \x1b[1m\t\"\xc2\x9b\xc3\xa4\xef\xbf\xbd");
    peer_write(peer, "\nrest");
    ck_assert_int_eq(shutdown(peer, SHUT_WR), 0);
    hear_code(talk, SPILE_TALK_REST, "rest");
    end_talk(talk);
    ck_assert_ptr_eq(strstr(entries(false), "- opened: fd:"), entries(false));
    ck_assert_str_eq(strchr(entries(false), '\n') + 1,
                     "> one\\r\\n\n> two\\r\\n\n< a\\r\\n\n< b\\n\n< login: \n> root\\\\\\r\\n\n"
                     "< \\x1b[1m\\t\"\\u009b\xc3\xa4\\xff\\r\\n\n< rest\n- ended\n- closed\n");
}
END_TEST

START_TEST(as_json) {
    begin();
    spile_talk *talk = talk_with("pipe: cat", WITH_TRANSCRIPT(.transcript_json = true, .encoding = "UTF-16LE"));
    say(talk, "\xc3\xa4\"\\");
    hear(talk, "\xc3\xa4\"\\");
    ck_assert_int_eq(spile_talk_write_bytes(talk, "\0\xd8\n\0", 4, LONG_NS, NULL), 4);
    hear(talk, "\xef\xbf\xbd");
    end_talk(talk);
    check_entries(true, "\"event\": \"opened\", \"detail\": \"pipe: cat\"}\n"
                        "\"way\": \"out\", \"text\": \"\xc3\xa4\\\"\\\\\\n\"}\n"
                        "\"way\": \"in\", \"text\": \"\xc3\xa4\\\"\\\\\\n\"}\n"
                        "\"way\": \"out\", \"text\": \"\xef\xbf\xbd\\n\", \"hex\": \"00d80a00\"}\n"
                        "\"way\": \"in\", \"text\": \"\xef\xbf\xbd\\n\", \"hex\": \"00d80a00\"}\n"
                        "\"event\": \"ended\"}\n"
                        "\"event\": \"exited\", \"detail\": \"with status 0\"}\n"
                        "\"event\": \"closed\"}\n");
}
END_TEST

/* In pieces of every size: a line is one entry. */
START_TEST(any_pieces) {
    static const char said[] = "one\r\ntwo\nthree\r\r\n\n";
    int peer;
    begin();
    spile_talk *talk = talk_with_socket(WITH_TRANSCRIPT(.transcript_json = false), &peer);
    for (size_t place = 0; place < sizeof(said) - 1; place += (size_t)_i) {
        size_t size = MIN((size_t)_i, sizeof(said) - 1 - place);
        ck_assert_int_eq(write(peer, said + place, size), (ssize_t)size);
        const char *text;
        size_t got;
        while (talk_info(talk).bytes_in < place + size)
            ck_assert_int_ge(spile_talk_read(talk, 0, UINT64_MAX, LONG_NS, &text, &got, NULL), 0);
    }
    close(peer);
    const char *rest;
    size_t size;
    while (!talk_info(talk).is_ended)
        ck_assert_int_ge(spile_talk_read(talk, 1, UINT64_MAX, LONG_NS, &rest, &size, NULL), 0);
    end_talk(talk);
    ck_assert_str_eq(strchr(entries(false), '\n') + 1,
                     "< one\\r\\n\n< two\\n\n< three\\r\n< \\r\\n\n< \\n\n- ended\n- closed\n");
}
END_TEST

/* ------------------------------------------------------------------------------ secrets */

/* Waits until so much has come, and takes it. */
static void take_in(spile_talk *talk, uint64_t bytes) {
    const char *text;
    size_t size;
    while (talk_info(talk).bytes_in < bytes)
        ck_assert_int_ge(spile_talk_read(talk, 1, UINT64_MAX, LONG_NS, &text, &size, NULL), 0);
}

/* ASCII in units of so many bytes. */
static void show(int peer, const char *text, size_t unit) {
    for (; *text; text++)
        ck_assert_int_eq(write(peer, (char[]){*text, '\0'}, unit), (ssize_t)unit);
}

/* The other side shows what it gets, in pieces. */
START_TEST(secrets_are_masked) {
    const size_t unit = _i ? 2 : 1;
    int peer;
    begin();
    spile_talk *talk = talk_with_socket(WITH_TRANSCRIPT(.encoding = _i ? "UTF-16LE" : "UTF-8"), &peer);
    ck_assert_int_eq(spile_talk_write_secret(talk, "hush", LONG_NS, NULL), 0);
    show(peer, "ok: hu", unit);
    take_in(talk, 6 * unit);
    say(talk, "in between"); /* its echo is not whole */
    show(peer, "sh\n", unit);
    take_in(talk, 9 * unit);
    check_reply(talk, "hush!", ASK_OPTIONS(.no_reply = true, .is_secret = true), "");
    show(peer, "hush!hush\nhush.", unit);
    take_in(talk, 24 * unit);
    ck_assert_int_eq(spile_talk_write_secret(talk, "", LONG_NS, NULL), 0);
    ck_assert_int_eq(spile_talk_write_secret(talk, "psst", LONG_NS, NULL), 0);
    show(peer, "pss", unit);
    take_in(talk, 27 * unit);
    end_talk(talk);
    close(peer);
    ck_assert_str_eq(
        strchr(entries(false), '\n') + 1,
        "> ***\\n\n> in between\\n\n< ok: ***\\n\n> ***\\n\n< ******\\n\n< ***.\n> ***\\n\n> ***\\n\n- masked\n"
        "- closed\n");
}
END_TEST

/* Bytes that are no text stand beside an entry, but not beside one with a secret: it would be among them. */
START_TEST(secret_beside_what_is_no_text) {
    int peer;
    begin();
    spile_talk *talk = talk_with_socket(WITH_TRANSCRIPT(.transcript_json = true), &peer);
    ck_assert_int_eq(spile_talk_write_secret(talk, "hush", LONG_NS, NULL), 0);
    peer_write(peer, "a\xff\nhush\xff\n");
    take_in(talk, 9);
    end_talk(talk);
    close(peer);
    ck_assert_str_eq(strchr(entries(true), '\n') + 1,
                     "\"way\": \"out\", \"text\": \"***\\n\"}\n"
                     "\"way\": \"in\", \"text\": \"a\xef\xbf\xbd\\n\", \"hex\": \"61ff0a\"}\n"
                     "\"way\": \"in\", \"text\": \"***\xef\xbf\xbd\\n\"}\n"
                     "\"event\": \"closed\"}\n");
}
END_TEST

/* Through a terminal whose echo is on: the terminal shows it, and so does the program. */
START_TEST(asked_secret) {
    begin();
    spile_talk *talk = talk_with(
        "pty: sh -c 'stty -echo; read x; echo \"got $x\"; stty echo; echo on; read y; echo end'",
        WITH_TRANSCRIPT(.transcript_json = _i != 0));
    check_reply(talk, "hush", ASK_OPTIONS(.is_secret = true), "got hush");
    hear(talk, "on");
    say(talk, "more");
    hear(talk, "more");
    hear(talk, "end");
    end_talk(talk);
    ck_assert_ptr_null(strstr(entries(_i), "hush"));
    ck_assert_ptr_nonnull(strstr(entries(_i), _i ? "\"in\", \"text\": \"got ***\\n\"" : "< got ***\\n"));
}
END_TEST

/* ------------------------------------------------------------------------------ files that take nothing */

static void told(void *user, spile_talk *talk, unsigned news) {
    (void)talk;
    *(unsigned *)user |= news;
}

START_TEST(full_disk) {
    unsigned news = 0;
    spile_loop *loop;
    const char *text;
    size_t size;
    ck_assert_int_eq(spile_loop_new(&loop), 0);
    spile_talk *talk = talk_with("pipe: cat",
                                 TALK_OPTIONS(.transcript = "/dev/full", .loop = loop, .told = told, .user = &news));
    check_reply(talk, "one", NULL, "one");
    ck_assert_int_eq(spile_talk_read(talk, 0, UINT64_MAX, 0, &text, &size, NULL), SPILE_TALK_WHOLE);
    ck_assert_uint_ne(news & SPILE_TALK_UNRECORDED, 0);
    ck_assert_int_eq(talk_info(talk).transcript_error, -ENOSPC);
    ck_assert_uint_eq(talk_info(talk).entries_missing, 3);
    news = 0;
    check_reply(talk, "two", NULL, "two");
    ck_assert_uint_eq(news & SPILE_TALK_UNRECORDED, 0); /* once */
    ck_assert_uint_eq(talk_info(talk).entries_missing, 5);
    end_talk(talk);
    spile_loop_free(loop);
}
END_TEST

/* A limit that is lifted again: the hole is told where it is, behind a line that was cut. */
START_TEST(a_hole) {
    struct rlimit all, little = {0};
    begin();
    signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &all), 0);
    spile_talk *talk = talk_with("pipe: cat", WITH_TRANSCRIPT(.transcript_json = false));
    struct stat status;
    ck_assert_int_eq(stat(path, &status), 0);
    little = all;
    little.rlim_cur = (rlim_t)status.st_size + 32;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &little), 0);
    check_reply(talk, "one", NULL, "one");
    ck_assert_int_eq(talk_info(talk).transcript_error, -EFBIG);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &all), 0);
    check_reply(talk, "two", NULL, "two");
    end_talk(talk);
    FILE *file = fopen(path, "re");
    char line[300];
    ck_assert_ptr_nonnull(file);
    static const char *const expected[] = {
        "- opened: pipe: cat", "> on", "- missing: 2 entries: File too large", "> two\\n", "< two\\n", "- ended"};
    for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
        ck_assert_ptr_nonnull(fgets(line, sizeof(line), file));
        line[strcspn(line, "\n")] = '\0';
        ck_assert_str_eq(line + 28, expected[i]);
    }
    ck_assert_int_eq(fclose(file), 0);
}
END_TEST

START_TEST(refused_files) {
    begin();
    refused("pipe: cat", TALK_OPTIONS(.transcript = "/no/such/file"), ENOENT, SPILE_ERROR_SYSTEM,
            "the transcript '/no/such/file' can't be written");
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    refused("pipe: cat", WITH_TRANSCRIPT(.transcript_json = true), ENXIO, SPILE_ERROR_SYSTEM, "nobody reads that FIFO");
    ck_assert_int_eq(unlink(path), 0);
    spile_talk *talk = talk_with("pipe: cat", WITH_TRANSCRIPT(.transcript_json = false));
    end_talk(talk);
    talk = talk_with("pipe: cat", WITH_TRANSCRIPT(.transcript_json = false)); /* appended */
    end_talk(talk);
    check_entries(false, "- opened: pipe: cat\n- ended\n- exited: with status 0\n- closed\n"
                         "- opened: pipe: cat\n- ended\n- exited: with status 0\n- closed\n");
}
END_TEST

/* 100 MB through it, line by line, and no talk that waits for its transcript. */
START_TEST(much) {
    enum { LINES = 1000000 };
    begin();
    char *text = malloc((size_t)16 * LINES + 1), *to = text;
    for (int i = 0; i < LINES; i++)
        to += sprintf(to, "line %d\n", i);
    spile_talk *talk = talk_with("pipe: cat", WITH_TRANSCRIPT(.transcript_json = false));
    ck_assert_int_eq(spile_talk_write(talk, text, (size_t)(to - text), LONG_NS, NULL), to - text);
    ck_assert_int_eq(spile_talk_end(talk), 0);
    for (int i = 0; i < LINES; i++) {
        char line[32];
        sprintf(line, "line %d", i);
        hear(talk, line);
    }
    hear_end(talk);
    end_talk(talk);
    free(text);
    FILE *file = fopen(path, "re");
    size_t counts[2] = {0};
    char line[100];
    while (fgets(line, sizeof(line), file))
        if (line[28] != '-')
            counts[line[28] == '<']++;
    ck_assert_int_eq(fclose(file), 0);
    /* A line whose end came after the other side spoke is in two. */
    ck_assert_uint_ge(counts[0], LINES);
    ck_assert_uint_ge(counts[1], LINES);
    ck_assert_uint_le(counts[0] + counts[1], (uintmax_t)3 * LINES);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("transcripts");
    TCase *group = tcase_create("what they say");
    signal(SIGPIPE, SIG_IGN); /* of the peers here */
    tcase_add_test(group, both_ways);
    tcase_add_test(group, as_json);
    tcase_add_loop_test(group, any_pieces, 1, 8);
    tcase_add_loop_test(group, secrets_are_masked, 0, 2);
    tcase_add_test(group, secret_beside_what_is_no_text);
    tcase_add_loop_test(group, asked_secret, 0, 2);
    tcase_add_test(group, full_disk);
    tcase_add_test(group, a_hole);
    tcase_add_test(group, refused_files);
    tcase_add_test(group, much);
    tcase_set_timeout(group, 60);
    suite_add_tcase(suite, group);
    return support_run(suite);
}
