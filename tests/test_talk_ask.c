/* Questions and replies: what ends a reply, what is set aside, and staying in step. */
#include "talk_support.h"

#define SHORT_NS (NS_PER_SECOND / 2) /* what must come before it has time enough, also where much else runs */

/* A thread that answers as a device would: each line of its script is "question=reply" with \n for line ends. */
struct device {
    int fd;
    const char *const *script; /* question, reply, question, reply, ..., NULL */
    pthread_t thread;
    unsigned asked;
};

static void *answer(void *argument) {
    struct device *device = argument;
    char line[256];
    size_t size = 0;
    while (read(device->fd, line + size, 1) == 1) {
        size += 1;
        if (line[size - 1] != '\n')
            continue;
        line[size - 1] = '\0';
        size = 0;
        device->asked++;
        for (const char *const *entry = device->script; *entry; entry += 2)
            if (strcmp(entry[0], line) == 0)
                peer_write(device->fd, entry[1]);
    }
    return NULL;
}

static spile_talk *talk_with_device(struct device *device, const spile_talk_options *options,
                                    const char *const *script) {
    *device = (struct device){.script = script};
    spile_talk *talk = talk_with_socket(options, &device->fd);
    ck_assert_int_eq(pthread_create(&device->thread, NULL, answer, device), 0);
    return talk;
}

static void device_end(struct device *device, spile_talk *talk) {
    end_talk(talk);
    pthread_join(device->thread, NULL);
    close(device->fd);
}

static void check_unasked(spile_talk *talk, const char *text) {
    const char *got;
    size_t size;
    int code = spile_talk_read_unasked(talk, &got, &size);
    ck_assert_int_eq(code, *text ? SPILE_TALK_WHOLE : SPILE_TALK_NOTHING);
    ck_assert_str_eq(got, text);
    ck_assert_uint_eq(size, strlen(text));
}

/* ------------------------------------------------------------------------------ what ends a reply */

START_TEST(modem) {
    static const char *const script[] = {"AT",    "\r\nOK\r\n",
                                         "ATI",   "\r\nA modem\r\nof 1998\r\n\r\nOK\r\n",
                                         "AT+X",  "\r\nERROR\r\n",
                                         "ATDT",  "\r\nCONNECT 9600\r\n",
                                         "AT+C?", "\r\n+CME ERROR: 10\r\n",
                                         NULL};
    static const char *const ends[] = {"OK", "CONNECT*"}, *const errors[] = {"ERROR", "*ERROR:*"};
    struct device device;
    spile_talk *talk = talk_with_device(&device, TALK_OPTIONS(0), script);
    const spile_ask_options options = {
        .size = sizeof(options), .ends = ends, .end_count = 2, .errors = errors, .error_count = 2};
    spile_ask_options bare = options;
    bare.skip_empty = true;
    check_reply(talk, "AT", &options, "");
    check_reply(talk, "AT", &bare, "");
    check_reply(talk, "ATI", &options, "\nA modem\nof 1998\n");
    check_reply(talk, "ATI", &bare, "A modem\nof 1998");
    spile_reply reply = {.size = sizeof(reply)};
    ck_assert_int_eq(spile_talk_ask(talk, "ATDT", &bare, &reply, NULL), 0);
    ck_assert_str_eq(reply.end, "CONNECT 9600");
    ck_assert_uint_eq(reply.lines, 0);
    spile_reply_done(&reply);
    check_no_reply(talk, "AT+X", &bare, EPROTO, SPILE_ERROR_REPLY, "replied to 'AT+X' with an error: ERROR", "ERROR");
    check_no_reply(talk, "AT+C?", &bare, EPROTO, SPILE_ERROR_REPLY, "+CME ERROR: 10", "+CME ERROR: 10");
    check_reply(talk, "ATI", &bare, "A modem\nof 1998"); /* an error does not put it out of step */
    device_end(&device, talk);
}
END_TEST

START_TEST(counted_lines) {
    static const char *const script[] = {"two", "1\n2\n", "one", "1\n", "none", "", "empty", "\n", NULL};
    struct device device;
    spile_talk *talk = talk_with_device(&device, TALK_OPTIONS(0), script);
    check_reply(talk, "two", ASK_OPTIONS(.lines = 2), "1\n2");
    check_reply(talk, "one", NULL, "1");
    check_reply(talk, "empty", NULL, "");
    check_reply(talk, "none", ASK_OPTIONS(.no_reply = true), "");
    check_reply(talk, "one", ASK_OPTIONS(.lines = 1), "1");
    ck_assert_int_eq(spile_talk_ask(talk, "x", ASK_OPTIONS(.lines = 1, .no_reply = true), NULL, NULL), -EINVAL);
    ck_assert_int_eq(spile_talk_ask(talk, "x", ASK_OPTIONS(.prompt = ""), NULL, NULL), -EINVAL);
    ck_assert_int_eq(spile_talk_ask(talk, NULL, NULL, NULL, NULL), -EINVAL);
    device_end(&device, talk);
}
END_TEST

START_TEST(silence_ends) {
    static const char *const script[] = {"q", "some\nlines\nand a rest", NULL};
    struct device device;
    spile_talk *talk = talk_with_device(&device, TALK_OPTIONS(0), script);
    check_reply(talk, "q", ASK_OPTIONS(.silence_ns = 50 * NS_PER_MS), "some\nlines\nand a rest");
    check_no_reply(talk, "nothing", ASK_OPTIONS(.silence_ns = 10 * NS_PER_MS, .timeout_ns = 50 * NS_PER_MS), ETIMEDOUT,
                   SPILE_ERROR_TIMEOUT, "did not reply to 'nothing'", "");
    device_end(&device, talk);
}
END_TEST

START_TEST(prompts) {
    static const char *const script[] = {"a", "1\n> 2\n>", "b", " c\r\n> ", NULL};
    struct device device;
    spile_talk *talk = talk_with_device(&device, TALK_OPTIONS(.prompt = "> "), script);
    peer_write(device.fd, "Welcome\n> "); /* is awaited, and set aside */
    /* A prompt in the middle of a line is none; one that comes in pieces is. */
    check_no_reply(talk, "a", ASK_OPTIONS(.prompt = ">>", .timeout_ns = SHORT_NS), ETIMEDOUT, SPILE_ERROR_TIMEOUT,
                   "did not reply", "1\n> 2\n>");
    check_unasked(talk, "Welcome\n");
    peer_write(device.fd, ">\n> ");
    ck_assert_int_eq(spile_talk_resync(talk, 30 * NS_PER_MS, LONG_NS, NULL), 0);
    spile_reply reply = {.size = sizeof(reply)};
    ck_assert_int_eq(spile_talk_ask(talk, "b", NULL, &reply, NULL), 0);
    ck_assert_str_eq(reply.text, " c");
    ck_assert_str_eq(reply.end, "> ");
    spile_reply_done(&reply);
    check_no_reply(talk, "x", ASK_OPTIONS(.timeout_ns = 20 * NS_PER_MS), ETIMEDOUT, SPILE_ERROR_TIMEOUT,
                   "did not reply", "");
    device_end(&device, talk);
}
END_TEST

START_TEST(prompt_that_does_not_come) {
    int peer;
    spile_talk *talk = talk_with_socket(TALK_OPTIONS(.prompt = "$ "), &peer);
    check_no_reply(talk, "x", ASK_OPTIONS(.timeout_ns = 20 * NS_PER_MS), ETIMEDOUT, SPILE_ERROR_TIMEOUT, "its prompt",
                   "");
    ck_assert_uint_eq(talk_info(talk).bytes_out, 0);
    spile_talk_free(talk);
    close(peer);
}
END_TEST

/* ------------------------------------------------------------------------------ programs with prompts of their own */

START_TEST(interpreters) {
    static const struct {
        const char *endpoint, *prompt, *question, *reply;
    } cases[] = {
        {"pty: python3 -i", ">>> ", "print(6 * 7)", "42"},
        {"pty: python3 -i", ">>> ", "for i in [1]: print(i)\n", "1"},
        {"pty: sqlite3", "sqlite> ", "select 1; select 'a' || 'b';", "1\nab"},
        {"pty: env PS1='ready> ' sh", "ready> ", "echo one; echo two", "one\ntwo"},
        {"pty: env PS1='ready> ' sh", "ready> ", "true", ""},
    };
    if (access("/usr/bin/sqlite3", X_OK) < 0 && strstr(cases[_i].endpoint, "sqlite3"))
        return;
    spile_talk *talk = talk_with(cases[_i].endpoint, TALK_OPTIONS(.prompt = cases[_i].prompt));
    for (int round = 0; round < 3; round++) {
        if (strchr(cases[_i].question, '\n')) { /* its second prompt is another one */
            const char *text;
            size_t size;
            check_reply(talk, "for i in [1]: print(i)", ASK_OPTIONS(.prompt = "... "), "");
            ck_assert_int_eq(spile_talk_write_line(talk, "", LONG_NS, NULL), 0);
            ck_assert_int_eq(spile_talk_read_until(talk, ">>> ", LONG_NS, &text, &size, NULL), SPILE_TALK_WHOLE);
            ck_assert_ptr_nonnull(strstr(text, "1\n"));
        } else {
            check_reply(talk, cases[_i].question, NULL, cases[_i].reply);
        }
    }
    end_talk(talk);
}
END_TEST

START_TEST(echo) {
    static const char *const script[] = {"q", "q\nreply\n", "r", "r\n", NULL};
    struct device device;
    spile_talk *talk = talk_with_device(&device, TALK_OPTIONS(.echo = SPILE_TALK_ECHO_DROP), script);
    check_reply(talk, "q", NULL, "reply");
    device_end(&device, talk);
    talk = talk_with_device(&device, TALK_OPTIONS(0), script);
    check_reply(talk, "q", ASK_OPTIONS(.lines = 2), "q\nreply"); /* elsewhere only when told */
    device_end(&device, talk);
    talk = talk_with("pty: cat", NULL); /* its terminal shows nothing: this is a reply */
    check_reply(talk, "same", NULL, "same");
    end_talk(talk);
    talk = talk_with("pty: cat", TALK_OPTIONS(.terminal_echo = true));
    check_reply(talk, "same", NULL, "same");
    check_reply(talk, "again", NULL, "again");
    end_talk(talk);
    talk = talk_with("pty: cat", TALK_OPTIONS(.terminal_echo = true, .echo = SPILE_TALK_ECHO_KEEP));
    check_reply(talk, "same", ASK_OPTIONS(.lines = 2), "same\nsame");
    end_talk(talk);
}
END_TEST

/* ------------------------------------------------------------------------------ in step */

START_TEST(what_came_unasked) {
    static const char *const script[] = {"q", "reply\n", NULL};
    struct device device;
    spile_talk *talk = talk_with_device(&device, TALK_OPTIONS(0), script);
    check_unasked(talk, "");
    peer_write(device.fd, "RING\r\nRI");
    check_reply(talk, "q", NULL, "reply");
    check_unasked(talk, "RING\nRI");
    check_unasked(talk, "");
    device_end(&device, talk);
}
END_TEST

START_TEST(late_reply_is_no_answer) {
    int peer;
    spile_talk *talk = talk_with_socket(TALK_OPTIONS(0), &peer);
    check_no_reply(talk, "first", ASK_OPTIONS(.timeout_ns = 20 * NS_PER_MS), ETIMEDOUT, SPILE_ERROR_TIMEOUT,
                   "did not reply to 'first'", "");
    ck_assert(talk_info(talk).is_out_of_step);
    peer_read(peer, "first\n");
    check_no_reply(talk, "second", ASK_OPTIONS(.timeout_ns = 20 * NS_PER_MS), ESTALE, SPILE_ERROR_STEP,
                   "its reply to 'first'", "");
    ck_assert_uint_eq(talk_info(talk).bytes_out, 6); /* it was not even asked */
    peer_write(peer, "late\n");
    struct device device = {.fd = peer, .script = (const char *const[]){"third", "3\n", NULL}};
    ck_assert_int_eq(pthread_create(&device.thread, NULL, answer, &device), 0);
    check_reply(talk, "third", NULL, "3");
    check_unasked(talk, "late\n");
    ck_assert(!talk_info(talk).is_out_of_step);
    device_end(&device, talk);
}
END_TEST

START_TEST(half_a_late_reply) {
    int peer;
    spile_talk *talk = talk_with_socket(TALK_OPTIONS(0), &peer);
    peer_write(peer, "");
    spile_reply reply = {.size = sizeof(reply)};
    struct device device = {.fd = peer, .script = (const char *const[]){"q", "1\n2", "r", "4\n", NULL}};
    ck_assert_int_eq(pthread_create(&device.thread, NULL, answer, &device), 0);
    ck_assert_int_eq(spile_talk_ask(talk, "q", ASK_OPTIONS(.lines = 3, .timeout_ns = SHORT_NS), &reply, NULL),
                     -ETIMEDOUT);
    ck_assert_str_eq(reply.text, "1\n2");
    ck_assert_uint_eq(reply.lines, 1);
    spile_reply_done(&reply);
    peer_write(peer, "\n3\n");
    check_reply(talk, "r", NULL, "4");
    check_unasked(talk, "2\n3\n");
    device_end(&device, talk);
}
END_TEST

/* An echo is no late reply, but one that came is none any more: what looks like it then is the reply. */
START_TEST(late_reply_behind_an_echo) {
    static const char *const script[] = {"r", "r\nfresh\n", "echoed", "echoed\n", NULL};
    static const struct {
        const char *question, *late, *unasked;
    } cases[] = {{"q", "q\nlate\n", "late\n"}, {"echoed", "echoed\n", "echoed\n"}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct device device;
        spile_talk *talk = talk_with_device(&device, TALK_OPTIONS(.echo = SPILE_TALK_ECHO_DROP), script);
        check_no_reply(talk, cases[i].question, ASK_OPTIONS(.timeout_ns = SHORT_NS), ETIMEDOUT, SPILE_ERROR_TIMEOUT,
                       "did not reply", "");
        peer_write(device.fd, cases[i].late);
        check_reply(talk, "r", NULL, "fresh");
        check_unasked(talk, cases[i].unasked);
        device_end(&device, talk);
    }
}
END_TEST

START_TEST(in_step_by_silence) {
    static const char *const script[] = {"q", "reply\n", NULL};
    struct device device;
    spile_talk *talk = talk_with_device(&device, TALK_OPTIONS(.resync_ns = 20 * NS_PER_MS), script);
    check_no_reply(talk, "lost", ASK_OPTIONS(.timeout_ns = 20 * NS_PER_MS), ETIMEDOUT, SPILE_ERROR_TIMEOUT, "lost", "");
    check_reply(talk, "q", NULL, "reply");
    ck_assert(!talk_info(talk).is_out_of_step);
    device_end(&device, talk);
    talk = talk_with_device(&device, TALK_OPTIONS(0), script);
    check_no_reply(talk, "lost", ASK_OPTIONS(.timeout_ns = 20 * NS_PER_MS), ETIMEDOUT, SPILE_ERROR_TIMEOUT, "lost", "");
    ck_assert_int_eq(spile_talk_resync(talk, 20 * NS_PER_MS, LONG_NS, NULL), 0);
    check_reply(talk, "q", NULL, "reply");
    device_end(&device, talk);
}
END_TEST

START_TEST(end_instead_of_a_reply) {
    spile_talk *talk = talk_with("pipe: sh -c 'read x; printf half'", NULL);
    check_no_reply(talk, "q", NULL, ENODATA, SPILE_ERROR_ENDED, "ended before it replied", NULL);
    check_no_reply(talk, "q", NULL, ENODATA, SPILE_ERROR_ENDED, "ended", NULL);
    end_talk(talk);
}
END_TEST

START_TEST(reply_that_is_no_text) {
    static const char *const script[] = {"q", "a\377b\n", "r", "fine\n", NULL};
    struct device device;
    spile_talk *talk = talk_with_device(&device, TALK_OPTIONS(.errors = SPILE_TALK_STRICT), script);
    check_no_reply(talk, "q", NULL, EILSEQ, SPILE_ERROR_TEXT, "no text", "a\\xffb");
    check_reply(talk, "r", NULL, "fine");
    device_end(&device, talk);
}
END_TEST

START_TEST(secret_question) {
    spile_talk *talk = talk_with("pty: sh -c 'sleep 0.1; stty -echo; read x; echo got $x'",
                                 TALK_OPTIONS(.terminal_echo = true));
    check_reply(talk, "sesame", ASK_OPTIONS(.is_secret = true), "got sesame");
    end_talk(talk);
}
END_TEST

/* ------------------------------------------------------------------------------ several at once */

struct asker {
    spile_talk *talk;
    pthread_t thread;
    int number;
};

static void *ask_often(void *argument) {
    struct asker *asker = argument;
    for (int i = 0; i < 50; i++) {
        char question[32];
        snprintf(question, sizeof(question), "%d.%d", asker->number, i);
        check_reply(asker->talk, question, ASK_OPTIONS(.timeout_ns = LONG_NS), question);
    }
    return NULL;
}

START_TEST(threads_in_turn) {
    struct asker askers[8];
    spile_talk *talk = talk_with("pipe: cat", NULL);
    for (int i = 0; i < 8; i++) {
        askers[i] = (struct asker){.talk = talk, .number = i};
        ck_assert_int_eq(pthread_create(&askers[i].thread, NULL, ask_often, &askers[i]), 0);
    }
    for (int i = 0; i < 8; i++)
        pthread_join(askers[i].thread, NULL);
    end_talk(talk);
}
END_TEST

struct heard {
    char text[64];
    int result, calls;
    bool frees, asks_again;
};

static void take_reply(void *user, spile_talk *talk, int result, const spile_reply *reply, const spile_error *error) {
    struct heard *heard = user;
    heard->calls++;
    heard->result = result;
    ck_assert_int_eq(result < 0, error != NULL);
    snprintf(heard->text, sizeof(heard->text), "%s", reply->text);
    if (TAKE(heard->asks_again, false))
        ck_assert_int_eq(spile_talk_ask_start(talk, "again", NULL, take_reply, heard), 0);
    if (heard->frees)
        spile_talk_free(talk);
}

START_TEST(questions_on_a_loop) {
    spile_loop *loop;
    struct heard heard[5] = {[1] = {.asks_again = true}, [4] = {.frees = true}};
    ck_assert_int_eq(spile_loop_new(&loop), 0);
    spile_talk *talk = talk_with("pipe: cat", TALK_OPTIONS(.loop = loop));
    for (int i = 0; i < 4; i++) {
        const char question[2] = {(char)('a' + i), '\0'};
        ck_assert_int_eq(spile_talk_ask_start(talk, question, NULL, take_reply, &heard[i]), 0);
    }
    ck_assert_int_eq(heard[0].calls, 0); /* never from inside the function that starts it */
    while (heard[1].calls < 2)
        ck_assert_int_gt(spile_loop_step(loop, LONG_NS), 0);
    ck_assert_str_eq(heard[0].text, "a");
    ck_assert_str_eq(heard[1].text, "again");
    ck_assert_str_eq(heard[3].text, "d");
    ck_assert_int_eq(spile_talk_ask_start(talk, "e", NULL, take_reply, &heard[4]), 0);
    while (!heard[4].calls)
        ck_assert_int_ge(spile_loop_step(loop, LONG_NS), 0);
    ck_assert_str_eq(heard[4].text, "e");
    spile_loop_free(loop);
}
END_TEST

/* A question that is out can be replied to by who takes nothing any more. */
START_TEST(reply_of_one_that_is_deaf) {
    spile_loop *loop;
    int peer;
    struct heard heard = {0};
    ck_assert_int_eq(spile_loop_new(&loop), 0);
    spile_talk *talk = talk_with_socket(TALK_OPTIONS(.loop = loop), &peer);
    ck_assert_int_eq(spile_talk_ask_start(talk, "q", NULL, take_reply, &heard), 0);
    ck_assert_int_ge(spile_loop_step(loop, 0), 0);
    peer_read(peer, "q\n");
    ck_assert_int_eq(shutdown(peer, SHUT_RD), 0);
    ck_assert_int_eq(spile_talk_write_line(talk, "x", 0, NULL), -EPIPE);
    peer_write(peer, "half");
    while (talk_info(talk).bytes_in < 4)
        ck_assert_int_ge(spile_loop_step(loop, LONG_NS), 0);
    peer_write(peer, " a reply\n");
    while (!heard.calls)
        ck_assert_int_ge(spile_loop_step(loop, LONG_NS), 0);
    ck_assert_str_eq(heard.text, "half a reply");
    spile_talk_free(talk);
    spile_loop_free(loop);
    close(peer);
}
END_TEST

static void *ask_in_thread(void *talk) {
    check_reply(talk, "q", ASK_OPTIONS(.lines = 2), "one\ntwo");
    return NULL;
}

/* What is put back must not become a part of a reply. */
START_TEST(nothing_is_put_into_a_reply) {
    spile_loop *loop;
    int peer;
    struct heard heard = {0};
    pthread_t thread;
    ck_assert_int_eq(spile_loop_new(&loop), 0);
    spile_talk *talk = talk_with_socket(TALK_OPTIONS(.loop = loop), &peer);
    ck_assert_int_eq(spile_talk_ask_start(talk, "q", NULL, take_reply, &heard), 0);
    ck_assert_int_eq(spile_talk_unread(talk, "before\n", 7), 0); /* it was not asked yet */
    ck_assert_int_ge(spile_loop_step(loop, 0), 0);
    peer_read(peer, "q\n");
    ck_assert_int_eq(spile_talk_unread(talk, "x\n", 2), -EBUSY);
    ck_assert_int_eq(spile_talk_unread(talk, "", 0), 0);
    peer_write(peer, "reply\n");
    while (!heard.calls)
        ck_assert_int_ge(spile_loop_step(loop, LONG_NS), 0);
    ck_assert_str_eq(heard.text, "reply");
    ck_assert_int_eq(spile_talk_unread(talk, "x\n", 2), 0);
    hear(talk, "x");
    spile_talk_free(talk);
    spile_loop_free(loop);
    close(peer);
    talk = talk_with_socket(TALK_OPTIONS(0), &peer);
    ck_assert_int_eq(pthread_create(&thread, NULL, ask_in_thread, talk), 0);
    peer_read(peer, "q\n");
    ck_assert_int_eq(spile_talk_unread(talk, "x\n", 2), -EBUSY);
    peer_write(peer, "one\n");
    ck_assert_int_eq(spile_talk_unread(talk, "x\n", 2), -EBUSY);
    peer_write(peer, "two\n");
    pthread_join(thread, NULL);
    end_talk(talk);
    close(peer);
}
END_TEST

START_TEST(questions_of_a_talk_that_goes) {
    spile_loop *loop;
    int peer;
    struct heard heard[2] = {0};
    ck_assert_int_eq(spile_loop_new(&loop), 0);
    spile_talk *talk = talk_with_socket(TALK_OPTIONS(.loop = loop), &peer);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(spile_talk_ask_start(talk, "q", NULL, take_reply, &heard[i]), 0);
    ck_assert_int_ge(spile_loop_step(loop, 0), 0);
    spile_talk_free(talk);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(heard[i].calls, 1);
        ck_assert_int_eq(heard[i].result, -ECANCELED);
    }
    spile_loop_free(loop);
    close(peer);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("talk ask");
    TCase *group = tcase_create("replies");
    const TTest *const tests[] = {modem,
                                  counted_lines,
                                  silence_ends,
                                  prompts,
                                  prompt_that_does_not_come,
                                  echo,
                                  what_came_unasked,
                                  late_reply_is_no_answer,
                                  half_a_late_reply,
                                  late_reply_behind_an_echo,
                                  in_step_by_silence,
                                  end_instead_of_a_reply,
                                  reply_that_is_no_text,
                                  secret_question,
                                  threads_in_turn,
                                  questions_on_a_loop,
                                  reply_of_one_that_is_deaf,
                                  nothing_is_put_into_a_reply,
                                  questions_of_a_talk_that_goes};
    for (size_t i = 0; i < ARRAY_SIZE(tests); i++)
        tcase_add_test(group, tests[i]);
    tcase_add_loop_test(group, interpreters, 0, 5);
    suite_add_tcase(suite, group);
    return support_run(suite);
}
