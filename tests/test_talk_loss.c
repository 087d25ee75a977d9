/* Talks that are lost and opened again: what is read, written and asked before, meanwhile and afterwards. */
#include "talk_support.h"

#include <sys/socket.h>

/* Of the test that runs. */
static spile_loop *loop;

#define AGAIN(...) TALK_OPTIONS(.reconnect = true, __VA_ARGS__)

static void await(const spile_talk *talk, uint64_t losses, spile_talk_state state) {
    const uint64_t until = time_now_ns() + LONG_NS;
    while (talk_info(talk).losses < losses || talk_info(talk).state != state) {
        ck_assert_msg(time_now_ns() < until, "%llu losses, state %d", (unsigned long long)talk_info(talk).losses,
                      (int)talk_info(talk).state);
        ck_assert_int_ge(spile_loop_step(loop, NS_PER_SECOND), 0);
    }
}

static spile_talk *open_again(const char *endpoint, const spile_talk_options *options) {
    if (!loop)
        ck_assert_int_eq(spile_loop_new(&loop), 0);
    spile_talk_options all = *options;
    all.loop = loop;
    spile_talk *talk = talk_with(endpoint, &all);
    await(talk, 0, SPILE_TALK_STATE_OPEN);
    return talk;
}

static void close_again(spile_talk *talk) {
    end_talk(talk);
    while (spile_loop_step(loop, LONG_NS) > 0)
        continue;
    loop = spile_loop_free(loop);
}

/* ------------------------------------------------------------------------------ a terminal that comes and goes */

/* A device under a stable path: a symbolic link to a pseudoterminal, as a service or udev makes it. */
static int plug_in(const char *link) {
    char path[64];
    int master = make_pty(path, sizeof(path));
    ck_assert_int_eq(symlink(path, link), 0);
    return master;
}

static void pull_out(const char *link, int master) {
    ck_assert_int_eq(unlink(link), 0);
    close(master);
}

START_TEST(terminal) {
    const size_t fds = open_fds();
    const char *text, *link = in_scratch("device");
    size_t size;
    spile_error *error = NULL;
    int master = plug_in(link);
    spile_talk *talk = open_again(link, AGAIN(.baud = 9600));
    say(talk, "one");
    peer_read(master, "one\n");
    peer_write(master, "first\nha");
    hear(talk, "first");
    pull_out(link, master);
    hear_code(talk, SPILE_TALK_REST, "ha"); /* told as what it is, and not made part of what comes next */
    ck_assert_uint_eq(talk_info(talk).losses, 1);
    ck_assert_int_eq(talk_info(talk).state, SPILE_TALK_STATE_OPENING);
    ck_assert_int_eq(spile_talk_read_line(talk, 300 * NS_PER_MS, &text, &size, &error), -ETIMEDOUT);
    check_error(error, SPILE_ERROR_TIMEOUT, "it was lost, and there is no");
    spile_error_free(error);
    ck_assert_int_eq(spile_talk_write_line(talk, "meanwhile", 0, NULL), 0); /* waits */
    master = plug_in(link);
    await(talk, 1, SPILE_TALK_STATE_OPEN);
    peer_write(master, "lf\nsecond\n");
    hear(talk, "lf");
    hear(talk, "second");
    peer_read(master, "meanwhile\n");
    say(talk, "again");
    peer_read(master, "again\n");
    ck_assert_int_eq(talk_info(talk).state, SPILE_TALK_STATE_OPEN);
    close_again(talk);
    pull_out(link, master);
    ck_assert_uint_eq(open_fds(), fds);
}
END_TEST

/* Data of the next stream comes while the rest of the one before is unread. */
START_TEST(seam) {
    const char *link = in_scratch("device");
    int master = plug_in(link);
    spile_talk *talk = open_again(link, AGAIN(.ends = SPILE_TALK_ENDS_ANY));
    peer_write(master, "one\rtwo\nha");
    while (talk_info(talk).bytes_in < 10)
        ck_assert_int_ge(spile_loop_step(loop, LONG_NS), 0);
    hear(talk, "one");
    pull_out(link, master);
    await(talk, 0, SPILE_TALK_STATE_OPENING);
    master = plug_in(link);
    await(talk, 0, SPILE_TALK_STATE_OPEN);
    peer_write(master, "\nlf\n");
    say(talk, "x");
    peer_read(master, "x\n");
    hear(talk, "two");
    hear_code(talk, SPILE_TALK_REST, "ha");
    hear(talk, "");
    hear(talk, "lf");
    close_again(talk);
    pull_out(link, master);
}
END_TEST

/* Lost again before anything was read: each half line ends where its stream did, and no line is made of nothing. */
START_TEST(seams) {
    static const struct {
        spile_talk_ends ends;
        const char *words[4];
    } cases[] = {
        {SPILE_TALK_ENDS_ANY, {"ha", "lf\n", "an", "other\n"}},
        {SPILE_TALK_ENDS_LF, {"ha", "lf\n", "an", "other\n"}},
        {SPILE_TALK_ENDS_CRLF, {"ha", "lf\r\n", "an", "other\r\n"}},
        {SPILE_TALK_ENDS_CR, {"ha", "lf\r", "an", "other\r"}},
    };
    const char *link = in_scratch("device");
    spile_talk *talk = NULL;
    uint64_t come = 0;
    for (size_t i = 0; i < ARRAY_SIZE(cases[_i].words); i++) {
        const char *word = cases[_i].words[i];
        int master = plug_in(link);
        talk = talk ? talk : open_again(link, AGAIN(.ends = cases[_i].ends));
        await(talk, i, SPILE_TALK_STATE_OPEN);
        peer_write(master, word);
        come += strlen(word);
        while (talk_info(talk).bytes_in < come)
            ck_assert_int_ge(spile_loop_step(loop, LONG_NS), 0);
        pull_out(link, master);
        await(talk, i + 1, SPILE_TALK_STATE_OPENING);
    }
    hear_code(talk, SPILE_TALK_REST, "ha");
    hear(talk, "lf");
    hear(talk, "an");
    hear(talk, "other");
    ck_assert_uint_eq(talk_info(talk).bytes_kept, 0);
    (void)spile_talk_free(talk);
    loop = spile_loop_free(loop);
}
END_TEST

/* Who awaited a message of the device that was lost awaits none of the one that came. */
START_TEST(awaited_message) {
    const char *path = in_scratch("socket"), *text;
    size_t size;
    int listener = listen_at(path);
    spile_talk *talk = open_again(path, AGAIN(.message = true));
    int peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    ck_assert_int_eq(spile_talk_read_line(talk, NS_PER_MS, &text, &size, NULL), -ETIMEDOUT);
    close(peer);
    await(talk, 1, SPILE_TALK_STATE_OPENING);
    await(talk, 1, SPILE_TALK_STATE_OPEN);
    peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    peer_write(peer, "one\n");
    for (int i = 0; i < 5; i++)
        ck_assert_int_ge(spile_loop_step(loop, 0), 0);
    ck_assert_uint_eq(talk_info(talk).bytes_in, 0);
    hear(talk, "one");
    close_again(talk);
    close(peer);
    close(listener);
}
END_TEST

/* ------------------------------------------------------------------------------ expecting */

struct told {
    int result;
    size_t count;
    char before[16], text[16];
};

static void note_told(void *user, spile_talk *talk, int result, const spile_match *match, const spile_error *error) {
    struct told *told = user;
    (void)talk;
    (void)error;
    told->result = result;
    told->count++;
    snprintf(told->before, sizeof(told->before), "%.*s", match ? (int)match->before.size : 0,
             match ? match->before.text : "");
    snprintf(told->text, sizeof(told->text), "%.*s", match ? (int)match->text.size : 0, match ? match->text.text : "");
}

static void await_told(const struct told *told, size_t count, int result, const char *before, const char *text) {
    const uint64_t until = time_now_ns() + LONG_NS;
    while (told->count < count) {
        ck_assert_msg(time_now_ns() < until, "%zu of %zu were told", told->count, count);
        ck_assert_int_ge(spile_loop_step(loop, NS_PER_SECOND), 0);
    }
    ck_assert_int_eq(told->result, result);
    ck_assert_str_eq(told->before, before);
    ck_assert_str_eq(told->text, text);
}

/* What had come is looked at though the device is not there; its end is told once, and to who waits at once. */
START_TEST(expected) {
    const char *link = in_scratch("device");
    int master = plug_in(link);
    struct told told = {0};
    spile_patterns *patterns = PATTERNS(LITERAL("two"), LITERAL("ha"), END);
    spile_talk *talk = open_again(link, AGAIN(.baud = 9600));
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(spile_talk_expect_start(talk, patterns, NULL, UINT64_MAX, note_told, &told), 0);
    peer_write(master, "one\nha-");
    await_told(&told, 1, 1, "one\n", "ha");
    pull_out(link, master);
    await_told(&told, 2, 2, "-", "");
    ck_assert_int_eq(talk_info(talk).state, SPILE_TALK_STATE_OPENING);
    master = plug_in(link);
    await(talk, 1, SPILE_TALK_STATE_OPEN);
    ck_assert_uint_eq(told.count, 2);
    peer_write(master, "one two ha");
    await_told(&told, 3, 0, "one ", "two");
    await_told(&told, 4, 1, " ", "ha");
    peer_write(master, "last ha");
    while (talk_info(talk).bytes_kept < 7)
        ck_assert_int_ge(spile_loop_step(loop, LONG_NS), 0);
    pull_out(link, master);
    await(talk, 2, SPILE_TALK_STATE_OPENING);
    ck_assert_int_eq(spile_talk_expect(talk, patterns, NULL, LONG_NS, NULL, NULL), 1);
    spile_patterns_free(patterns);
    close_again(talk);
}
END_TEST

/* What was not out is lost, and that is told. */
START_TEST(queued) {
    const char *link = in_scratch("device");
    static char much[1 << 20];
    spile_error *error = NULL;
    int master = plug_in(link);
    memset(much, 'x', sizeof(much));
    spile_talk *talk = open_again(link, AGAIN(.baud = 9600));
    ssize_t taken = spile_talk_write_bytes(talk, much, sizeof(much), 0, NULL);
    ck_assert_int_gt(taken, 0);
    ck_assert_uint_gt(talk_info(talk).bytes_queued, 0);
    pull_out(link, master);
    ck_assert_int_eq(spile_talk_flush(talk, LONG_NS, &error), -EPIPE);
    check_error(error, SPILE_ERROR_ENDED, "was lost while it was written to");
    error = spile_error_free(error);
    ck_assert_uint_eq(talk_info(talk).bytes_queued, 0);
    ck_assert_int_eq(spile_talk_write_line(talk, "x", NS_PER_MS, &error), -ETIMEDOUT);
    error = spile_error_free(error);
    ck_assert_int_eq(spile_talk_close(talk, LONG_NS, &error), -EPIPE);
    check_error(error, SPILE_ERROR_ENDED, "was lost, and what was written since is, too");
    spile_error_free(error);
    spile_talk_free(talk);
    loop = spile_loop_free(loop);
}
END_TEST

/* A secret that never went out masks nothing of what is written afterwards. */
START_TEST(queued_secret) {
    const char *link = in_scratch("device");
    char *path = strdup(in_scratch("transcript")), line[512], some[1024];
    bool is_there = false;
    int master = plug_in(link);
    spile_talk *talk = open_again(link, AGAIN(.transcript = path));
    memset(some, 'x', sizeof(some));
    while (talk_info(talk).bytes_queued == 0)
        ck_assert_int_ge(spile_talk_write_bytes(talk, some, sizeof(some), 0, NULL), 0);
    const uint64_t first = talk_info(talk).bytes_queued;
    ck_assert_int_eq(spile_talk_write_secret(talk, "hush", 0, NULL), 0);
    pull_out(link, master);
    await(talk, 1, SPILE_TALK_STATE_OPENING);
    master = plug_in(link);
    await(talk, 1, SPILE_TALK_STATE_OPEN);
    ck_assert_int_eq(spile_talk_write_bytes(talk, some, first, LONG_NS, NULL), (ssize_t)first);
    say(talk, "plain");
    close_again(talk);
    pull_out(link, master);
    FILE *file = fopen(path, "re");
    while (fgets(line, sizeof(line), file))
        is_there |= strstr(line, "xplain\\n") != NULL;
    ck_assert_int_eq(fclose(file), 0);
    ck_assert(is_there);
    free(path);
}
END_TEST

/* A line that was begun is not gone on with. */
START_TEST(begun_line) {
    char line[3000];
    memset(line, 'x', sizeof(line) - 1);
    line[sizeof(line) - 1] = '\0';
    spile_talk *talk = open_again("pty: cat", AGAIN(.cwd = NULL)); /* in line mode, where a line has its limit */
    ck_assert_int_gt(spile_talk_write(talk, line, strlen(line), LONG_NS, NULL), 0);
    ck_assert_int_eq(kill((pid_t)talk_info(talk).pid, SIGKILL), 0);
    await(talk, 1, SPILE_TALK_STATE_OPENING);
    await(talk, 1, SPILE_TALK_STATE_OPEN);
    say(talk, line);
    hear(talk, line);
    spile_talk_free(talk);
    while (spile_loop_step(loop, LONG_NS) > 0)
        continue;
    loop = spile_loop_free(loop);
}
END_TEST

/* ------------------------------------------------------------------------------ asking */

START_TEST(asked) {
    const char *link = in_scratch("device"), *text;
    size_t size;
    int master = plug_in(link);
    spile_talk *talk = open_again(link, AGAIN(.prompt = "> "));
    peer_write(master, "> ");
    check_no_reply(talk, "late", ASK_OPTIONS(.timeout_ns = 50 * NS_PER_MS), ETIMEDOUT, SPILE_ERROR_TIMEOUT, "", NULL);
    ck_assert(talk_info(talk).is_out_of_step);
    pull_out(link, master);
    await(talk, 0, SPILE_TALK_STATE_OPENING);
    ck_assert(!talk_info(talk).is_out_of_step); /* that reply never comes */
    master = plug_in(link);
    await(talk, 0, SPILE_TALK_STATE_OPEN);
    peer_write(master, "welcome\n> ");
    check_no_reply(talk, "x", ASK_OPTIONS(.timeout_ns = 50 * NS_PER_MS), ETIMEDOUT, SPILE_ERROR_TIMEOUT,
                   "did not reply", NULL); /* its prompt was awaited again, and came: it was asked */
    peer_read(master, "x\n");
    ck_assert_int_eq(spile_talk_read_unasked(talk, &text, &size), SPILE_TALK_WHOLE);
    ck_assert_str_eq(text, "welcome\n");
    close_again(talk);
    pull_out(link, master);
}
END_TEST

static void note_reply(void *user, spile_talk *talk, int result, const spile_reply *reply, const spile_error *error) {
    (void)talk;
    (void)error;
    ck_assert_int_eq(result, 0);
    ck_assert_str_eq(reply->text, "reply");
    *(bool *)user = true;
}

/* What the device that was lost still had to say is no reply of the one that came. */
START_TEST(asked_after_half_a_line) {
    const char *link = in_scratch("device"), *text;
    size_t size;
    bool was_told = false;
    int master = plug_in(link);
    spile_talk *talk = open_again(link, AGAIN(.baud = 9600));
    peer_write(master, "ha");
    while (talk_info(talk).bytes_kept < 2)
        ck_assert_int_ge(spile_loop_step(loop, LONG_NS), 0);
    pull_out(link, master);
    await(talk, 1, SPILE_TALK_STATE_OPENING);
    master = plug_in(link);
    await(talk, 1, SPILE_TALK_STATE_OPEN);
    ck_assert_int_eq(spile_talk_ask_start(talk, "x", NULL, note_reply, &was_told), 0);
    ck_assert_int_ge(spile_loop_step(loop, 0), 0);
    peer_read(master, "x\n");
    peer_write(master, "reply\n");
    while (!was_told)
        ck_assert_int_ge(spile_loop_step(loop, LONG_NS), 0);
    ck_assert_int_eq(spile_talk_read_unasked(talk, &text, &size), SPILE_TALK_WHOLE);
    ck_assert_str_eq(text, "ha");
    close_again(talk);
    pull_out(link, master);
}
END_TEST

/* A program that says a line and exits at each question. */
START_TEST(program) {
    spile_talk *talk = open_again("pipe: sh -c 'printf \"ready\\n\"; read x; test \"$x\" = quit || echo re $x; exit 3'",
                                  AGAIN(.env = NULL));
    const char *text;
    size_t size;
    for (int i = 0; i < 3; i++) {
        hear(talk, "ready");
        say(talk, "x");
        hear(talk, "re x");
        await(talk, (uint64_t)i + 1, SPILE_TALK_STATE_OPENING);
        ck_assert(talk_info(talk).has_exited);
        ck_assert_int_eq(talk_info(talk).exit_status, 3);
    }
    hear(talk, "ready");
    check_no_reply(talk, "quit", NULL, ENODATA, SPILE_ERROR_ENDED, "was lost before it replied", "");
    hear(talk, "ready");
    ck_assert_int_eq(spile_talk_end(talk), 0);
    ck_assert_int_eq(spile_talk_read_line(talk, LONG_NS, &text, &size, NULL), SPILE_TALK_WHOLE);
    hear_end(talk); /* the end that was wanted is one */
    ck_assert_uint_eq(talk_info(talk).losses, 4);
    close_again(talk);
}
END_TEST

/* Its end is a loss also where what it started holds its output open. */
START_TEST(program_with_heirs) {
    spile_talk *talk = open_again("pipe: sh -c 'echo up; sleep 100 & exit'", AGAIN(.cwd = NULL));
    hear(talk, "up");
    await(talk, 1, SPILE_TALK_STATE_OPENING);
    hear(talk, "up");
    spile_talk_free(talk);
    while (spile_loop_step(loop, LONG_NS) > 0)
        continue;
    loop = spile_loop_free(loop);
}
END_TEST

/* One that ends at once is not started again and again without a pause. */
START_TEST(pauses) {
    spile_talk *talk = open_again("pipe: true", AGAIN(.cwd = NULL));
    const uint64_t start = time_now_ns();
    await(talk, 7, SPILE_TALK_STATE_OPENING);
    ck_assert_uint_ge(time_now_ns() - start, (10 + 20 + 40 + 80 + 160 + 320) * NS_PER_MS);
    spile_talk_free(talk);
    while (spile_loop_step(loop, LONG_NS) > 0)
        continue;
    loop = spile_loop_free(loop);
}
END_TEST

/* ------------------------------------------------------------------------------ sockets, FIFOs */

START_TEST(socket_again) {
    const char *path = in_scratch("socket");
    int listener = listen_at(path);
    spile_talk *talk = open_again(path, AGAIN(.eol = "\n"));
    int peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    peer_write(peer, "one\n");
    hear(talk, "one");
    close(peer);
    close(listener);
    await(talk, 0, SPILE_TALK_STATE_OPENING);
    listener = listen_at(path);
    await(talk, 0, SPILE_TALK_STATE_OPEN);
    peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    peer_write(peer, "two\n");
    hear(talk, "two");
    /* A reset is a loss like any other. */
    say(talk, "unread");
    close(peer);
    await(talk, 0, SPILE_TALK_STATE_OPENING);
    await(talk, 0, SPILE_TALK_STATE_OPEN);
    peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    peer_write(peer, "three\n");
    hear(talk, "three");
    ck_assert_uint_eq(talk_info(talk).losses, 2);
    close_again(talk);
    close(peer);
    close(listener);
}
END_TEST

START_TEST(fifos_again) {
    char in[PATH_MAX], out[PATH_MAX], endpoint[2 * PATH_MAX + 8];
    snprintf(in, sizeof(in), "%s", in_scratch("says"));
    snprintf(out, sizeof(out), "%s", in_scratch("hears"));
    ck_assert_int_eq(mkfifo(in, 0600), 0);
    ck_assert_int_eq(mkfifo(out, 0600), 0);
    snprintf(endpoint, sizeof(endpoint), "fifo:%s,%s", in, out);
    int hears = open(out, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    spile_talk *talk = open_again(endpoint, AGAIN(.eol = "\n"));
    for (int i = 0; i < 3; i++) {
        await(talk, 0, SPILE_TALK_STATE_OPEN);
        int says = open(in, O_WRONLY | O_CLOEXEC);
        peer_write(says, "hello\n");
        hear(talk, "hello");
        say(talk, "x");
        fcntl(hears, F_SETFL, 0);
        peer_read(hears, "x\n");
        close(says);
        close(hears);
        await(talk, 0, SPILE_TALK_STATE_OPENING);
        hears = open(out, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    }
    await(talk, 0, SPILE_TALK_STATE_OPEN);
    ck_assert_uint_eq(talk_info(talk).losses, 3);
    close_again(talk);
    close(hears);
}
END_TEST

START_TEST(refused_ones) {
    refused("fd:0", TALK_OPTIONS(.reconnect = true, .cooked = true), EINVAL, SPILE_ERROR_ENDPOINT,
            "can't be opened again");
    refused("-", TALK_OPTIONS(.reconnect = true, .cooked = true), EINVAL, SPILE_ERROR_ENDPOINT,
            "can't be opened again");
    refused("/no/such/device", TALK_OPTIONS(.reconnect = true, .cooked = true), ENOENT, SPILE_ERROR_ENDPOINT,
            "there is no"); /* the first time */
}
END_TEST

int main(void) {
    Suite *suite = suite_create("losses");
    TCase *group = tcase_create("opened again");
    signal(SIGPIPE, SIG_IGN); /* of the peers here */
    tcase_add_test(group, terminal);
    tcase_add_test(group, seam);
    tcase_add_loop_test(group, seams, 0, 4);
    tcase_add_test(group, awaited_message);
    tcase_add_test(group, expected);
    tcase_add_test(group, queued);
    tcase_add_test(group, queued_secret);
    tcase_add_test(group, begun_line);
    tcase_add_test(group, asked);
    tcase_add_test(group, asked_after_half_a_line);
    tcase_add_test(group, program);
    tcase_add_test(group, program_with_heirs);
    tcase_add_test(group, pauses);
    tcase_add_test(group, socket_again);
    tcase_add_test(group, fifos_again);
    tcase_add_test(group, refused_ones);
    suite_add_tcase(suite, group);
    return support_run(suite);
}
