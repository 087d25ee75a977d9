/* Talks: both directions at once, deadlines, loops, forks, and hosts that are killed. */
#include "talk_support.h"

#include <sys/socket.h>
#include <termios.h>

#define ADD(group, ...)                                                  \
    do {                                                                 \
        const TTest *const tests_[] = {__VA_ARGS__};                     \
        for (size_t i_ = 0; i_ < sizeof(tests_) / sizeof(*tests_); i_++) \
            tcase_add_test(group, tests_[i_]);                           \
    } while (0)

static void make_fifos(char *ret_endpoint, size_t size) {
    ck_assert_int_eq(mkfifo(in_scratch("to"), 0600), 0);
    ck_assert_int_eq(mkfifo(in_scratch("from"), 0600), 0);
    snprintf(ret_endpoint, size, "fifo:%s,%s", in_scratch("from"), in_scratch("to"));
}

/* ------------------------------------------------------------------------------ both directions, limits */

/* More than all buffers on the way hold, echoed by a peer that stops reading when nobody reads it. */
static void echo_much(const char *endpoint, size_t size) {
    spile_talk *talk = talk_with(endpoint, NULL);
    unsigned char *bytes = pattern_bytes(size);
    for (size_t i = 0; i < size; i++)
        bytes[i] = i % 101 == 100 ? '\n' : (unsigned char)('!' + bytes[i] % 90);
    bytes[size - 1] = '\n';
    ck_assert_int_eq(spile_talk_write(talk, (char *)bytes, size, LONG_NS, NULL), (ssize_t)size);
    const void *data;
    size_t got;
    ck_assert_int_eq(spile_talk_read_bytes(talk, size, size, LONG_NS, &data, &got, NULL), SPILE_TALK_WHOLE);
    ck_assert_uint_eq(got, size);
    ck_assert(memcmp(data, bytes, size) == 0);
    end_talk(talk);
    free(bytes);
}

START_TEST(much_at_once) {
    static const char *const endpoints[] = {"pipe: cat", "pty: cat"};
    echo_much(endpoints[_i], _i ? 4000000 : 100000000);
}
END_TEST

START_TEST(more_than_may_be_kept) {
    size_t size = 3000000;
    char *bytes = calloc(1, size);
    spile_error *error = NULL;
    spile_talk *talk = talk_with("pipe: cat", TALK_OPTIONS(.keep_limit_bytes = 100000));
    ssize_t written = spile_talk_write(talk, bytes, size, LONG_NS, &error);
    ck_assert_int_gt(written, 0);
    ck_assert_int_lt(written, (ssize_t)size);
    ck_assert_ptr_null(error);
    ck_assert_int_eq(spile_talk_write(talk, bytes, size, LONG_NS, &error), -ENOBUFS);
    check_error(error, SPILE_ERROR_LIMIT, "read it");
    error = spile_error_free(error);
    ck_assert_uint_eq(talk_info(talk).bytes_kept, 100000);
    /* A line's end never comes, and what is kept is full; but it can be read in pieces, and then all goes on. */
    const char *text;
    size_t got;
    ck_assert_int_eq(spile_talk_read_line(talk, LONG_NS, &text, &got, &error), -EMSGSIZE);
    check_error(error, SPILE_ERROR_LIMIT, "pieces");
    spile_error_free(error);
    size_t seen = 0;
    while (seen < (size_t)written) {
        ck_assert_int_eq(spile_talk_read(talk, 1, UINT64_MAX, LONG_NS, &text, &got, NULL), SPILE_TALK_WHOLE);
        seen += got;
    }
    ck_assert_uint_eq(seen, (size_t)written);
    end_talk(talk);
    free(bytes);
}
END_TEST

START_TEST(deadlines) {
    int peer;
    const char *text;
    size_t size;
    spile_error *error = NULL;
    spile_talk *talk = talk_with_socket(TALK_OPTIONS(0), &peer);
    ck_assert_int_eq(spile_talk_read_line(talk, 0, &text, &size, &error), -EAGAIN);
    error = spile_error_free(error);
    peer_write(peer, "par");
    uint64_t begin = time_now_ns();
    ck_assert_int_eq(spile_talk_read_line(talk, 30 * NS_PER_MS, &text, &size, &error), -ETIMEDOUT);
    check_error(error, SPILE_ERROR_TIMEOUT, "no whole line");
    spile_error_free(error);
    ck_assert_uint_ge(time_now_ns() - begin, 30 * NS_PER_MS);
    peer_write(peer, "tial\nnext\n");
    hear(talk, "partial");
    ck_assert_int_eq(spile_talk_read_line(talk, 0, &text, &size, NULL), SPILE_TALK_WHOLE);
    ck_assert_int_eq(spile_talk_read_bytes(talk, 1, 9, 10 * NS_PER_MS, (const void **)&text, &size, NULL), -ETIMEDOUT);
    ck_assert_int_eq(spile_talk_read(talk, 0, UINT64_MAX, 0, &text, &size, NULL), SPILE_TALK_WHOLE);
    ck_assert_uint_eq(size, 0);
    spile_talk_free(talk);
    close(peer);
}
END_TEST

static void *drip(void *argument) {
    const struct timespec pause = {.tv_nsec = 5000000};
    while (write(*(int *)argument, ".", 1) ==
           1) /* the signal comes of it in this thread: see deadline_is_not_put_off */
        nanosleep(&pause, NULL);
    return NULL;
}

START_TEST(deadline_is_not_put_off) {
    int peer;
    pthread_t thread;
    const char *text;
    size_t size;
    signal(SIGPIPE, SIG_IGN);
    spile_talk *talk = talk_with_socket(TALK_OPTIONS(0), &peer);
    ck_assert_int_eq(pthread_create(&thread, NULL, drip, &peer), 0);
    uint64_t begin = time_now_ns();
    ck_assert_int_eq(spile_talk_read_line(talk, 100 * NS_PER_MS, &text, &size, NULL), -ETIMEDOUT);
    ck_assert_uint_lt(time_now_ns() - begin, 20 * NS_PER_SECOND);
    /* Nor is it silent. */
    ck_assert_int_eq(spile_talk_read_silence(talk, NS_PER_SECOND, 100 * NS_PER_MS, &text, &size, NULL), -ETIMEDOUT);
    spile_talk_free(talk);
    pthread_join(thread, NULL);
    close(peer);
}
END_TEST

START_TEST(silence) {
    int peer;
    const char *text;
    size_t size;
    spile_talk *talk = talk_with_socket(TALK_OPTIONS(0), &peer);
    peer_write(peer, "a\r\nb");
    ck_assert_int_eq(spile_talk_read_silence(talk, 30 * NS_PER_MS, LONG_NS, &text, &size, NULL), SPILE_TALK_WHOLE);
    ck_assert_str_eq(text, "a\nb");
    /* It goes on where a deadline came in between. */
    int result = -ETIMEDOUT, calls = 0;
    for (; result == -ETIMEDOUT && calls < 100; calls++)
        result = spile_talk_read_silence(talk, 150 * NS_PER_MS, 20 * NS_PER_MS, &text, &size, NULL);
    ck_assert_int_eq(result, SPILE_TALK_WHOLE);
    close(peer);
    ck_assert_int_eq(spile_talk_read_silence(talk, LONG_NS, LONG_NS, &text, &size, NULL), SPILE_TALK_NOTHING);
    spile_talk_free(talk);
}
END_TEST

START_TEST(write_without_waiting) {
    int peer;
    char block[65536];
    memset(block, 'x', sizeof(block));
    spile_talk *talk = talk_with_socket(TALK_OPTIONS(0), &peer);
    ssize_t total = 0, count;
    while ((count = spile_talk_write_bytes(talk, block, sizeof(block), 0, NULL)) > 0)
        total += count;
    ck_assert_int_eq(count, -EAGAIN);
    ck_assert_uint_le(talk_info(talk).bytes_queued, 1 << 20);
    ck_assert_int_eq(spile_talk_flush(talk, 10 * NS_PER_MS, NULL), -ETIMEDOUT);
    for (ssize_t got = 0; got < total;) {
        count = recv(peer, block, sizeof(block), MSG_DONTWAIT);
        if (count > 0)
            got += count;
        else
            (void)spile_talk_flush(talk, 0, NULL);
    }
    ck_assert_int_eq(spile_talk_flush(talk, LONG_NS, NULL), 0);
    ck_assert_uint_eq(talk_info(talk).bytes_queued, 0);
    end_talk(talk);
    close(peer);
}
END_TEST

/* ------------------------------------------------------------------------------ loops, forks */

/* What was taken and can't go out any more is not counted: it is lost. */
START_TEST(reader_that_goes_in_the_middle) {
    enum { MUCH = 4 << 20, READ = 100000 };
    char *much = calloc(1, MUCH);
    int peer;
    spile_talk *talk = talk_with_socket(TALK_OPTIONS(0), &peer);
    pid_t pid = fork();
    if (pid == 0)
        _exit(recv(peer, much, READ, MSG_WAITALL) == READ ? 0 : 1);
    close(peer);
    ck_assert_int_eq(spile_talk_write_bytes(talk, much, MUCH, LONG_NS, NULL), -EPIPE);
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
    ck_assert_uint_ge(talk_info(talk).bytes_out, READ);
    spile_talk_free(talk);
    free(much);
}
END_TEST

struct told {
    unsigned news, calls;
    bool frees;
};

static void note(void *user, spile_talk *talk, unsigned news) {
    struct told *told = user;
    const char *text;
    size_t size;
    told->news |= news;
    told->calls++;
    if (news & SPILE_TALK_FAILED)
        return;
    /* Nothing can wait in here. */
    int result = spile_talk_read_line(talk, LONG_NS, &text, &size, NULL);
    ck_assert(result == SPILE_TALK_WHOLE || result == (talk_info(talk).is_ended ? SPILE_TALK_NOTHING : -EBUSY));
    ck_assert_int_eq(result == SPILE_TALK_WHOLE, !!(news & SPILE_TALK_ARRIVED));
    if (news & SPILE_TALK_ARRIVED)
        ck_assert_int_eq(spile_talk_write_line(talk, "x", LONG_NS, NULL), -EBUSY);
    if (told->frees)
        spile_talk_free(talk);
}

START_TEST(many_on_a_loop) {
    enum { COUNT = 200 };
    spile_loop *loop;
    spile_talk *talks[COUNT];
    int peers[COUNT];
    struct told told[COUNT];
    memset(told, 0, sizeof(told));
    ck_assert_int_eq(spile_loop_new(&loop), 0);
    size_t fds = open_fds();
    for (int i = 0; i < COUNT; i++)
        talks[i] = talk_with_socket(TALK_OPTIONS(.loop = loop, .told = note, .user = &told[i]), &peers[i]);
    ck_assert_uint_eq(open_fds(), fds + (size_t)2 * COUNT); /* one for each talk, no more */
    ck_assert_int_eq(spile_loop_step(loop, 0), COUNT);
    for (int i = 0; i < COUNT; i += 2)
        peer_write(peers[i], "x\n");
    while (!(told[COUNT - 2].news & SPILE_TALK_ARRIVED))
        ck_assert_int_eq(spile_loop_step(loop, LONG_NS), COUNT);
    for (int i = 0; i < COUNT; i++)
        ck_assert_uint_eq(!!(told[i].news & SPILE_TALK_ARRIVED), i % 2 == 0);
    for (int i = 0; i < COUNT; i++) {
        told[i].frees = i % 2;
        close(peers[i]);
    }
    while (!(told[COUNT - 1].news & SPILE_TALK_ENDED) || !(told[COUNT - 2].news & SPILE_TALK_ENDED))
        ck_assert_int_ge(spile_loop_step(loop, LONG_NS), 0);
    for (int i = 0; i < COUNT; i += 2)
        spile_talk_free(talks[i]);
    ck_assert_uint_eq(open_fds(), fds);
    spile_loop_free(loop);
}
END_TEST

START_TEST(loop_is_freed_first) {
    spile_loop *loop;
    int peer;
    const char *text;
    size_t size;
    ck_assert_int_eq(spile_loop_new(&loop), 0);
    spile_talk *talk = talk_with_socket(TALK_OPTIONS(.loop = loop), &peer);
    spile_talk *child = talk_with("pipe: cat", TALK_OPTIONS(.loop = loop));
    spile_loop_free(loop);
    ck_assert_int_eq(talk_info(talk).state, SPILE_TALK_STATE_CLOSED);
    ck_assert_int_eq(spile_talk_read_line(talk, LONG_NS, &text, &size, NULL), SPILE_TALK_NOTHING);
    ck_assert_int_eq(spile_talk_write_line(talk, "x", LONG_NS, NULL), -EBADF);
    spile_talk_free(talk);
    spile_talk_free(child);
    close(peer);
}
END_TEST

START_TEST(opening_on_a_loop) {
    spile_loop *loop;
    struct told told = {0};
    char endpoint[512];
    ck_assert_int_eq(spile_loop_new(&loop), 0);
    refused("pipe: no-such-program", TALK_OPTIONS(.loop = loop), ENOENT, SPILE_ERROR_NOT_FOUND, "not found");
    make_fifos(endpoint, sizeof(endpoint));
    spile_talk *talk = talk_with(endpoint,
                                 TALK_OPTIONS(.loop = loop, .open_ns = 20 * NS_PER_MS, .told = note, .user = &told));
    ck_assert_int_eq(talk_info(talk).state, SPILE_TALK_STATE_OPENING);
    /* What is written by then is queued. */
    ck_assert_int_eq(spile_talk_write_line(talk, "x", 0, NULL), 0);
    ck_assert_uint_eq(talk_info(talk).bytes_queued, 2);
    while (talk_info(talk).state == SPILE_TALK_STATE_OPENING)
        ck_assert_int_ge(spile_loop_step(loop, LONG_NS), 0);
    ck_assert_uint_eq(told.news, SPILE_TALK_FAILED);
    check_error(spile_talk_error(talk), SPILE_ERROR_TIMEOUT, "nobody reads");
    spile_talk_free(talk);
    spile_error *error = NULL;
    talk = talk_with(endpoint, TALK_OPTIONS(.loop = loop));
    ck_assert_int_eq(spile_talk_write_line(talk, "x", 0, NULL), 0);
    ck_assert_int_eq(spile_talk_close(talk, LONG_NS, &error), -EPIPE);
    check_error(error, SPILE_ERROR_ENDED, "was not open yet, and what was written is lost");
    spile_error_free(error);
    spile_talk_free(talk);
    char *word = strdup("cat"), *words[2] = {word, NULL};
    talk = talk_with("pipe:", TALK_OPTIONS(.loop = loop, .argv = (const char *const *)words));
    free(word); /* what is said stays the caller's */
    words[0] = NULL;
    ck_assert_int_eq(spile_talk_write_line(talk, "x", 0, NULL), 0);
    hear(talk, "x"); /* outside of steps, waiting steps the loop */
    spile_talk_free(talk);
    spile_loop_free(loop);
}
END_TEST

START_TEST(after_a_fork) {
    char path[64];
    struct termios modes;
    int master = make_pty(path, sizeof(path)), slave = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
    spile_talk *talk = talk_with(path, NULL), *child = talk_with("pipe: cat", NULL);
    pid_t pid = fork();
    if (pid == 0) {
        bool is_refused = spile_talk_write_line(talk, "x", LONG_NS, NULL) == -EBADF;
        spile_talk_free(talk);
        spile_talk_free(child);
        _exit(is_refused ? 0 : 1);
    }
    int status = -1;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    ck_assert_int_eq(tcgetattr(slave, &modes), 0);
    ck_assert(!(modes.c_lflag & ECHO)); /* the parent's talk goes on */
    say(talk, "x");
    peer_read(master, "x\n");
    say(child, "y");
    hear(child, "y");
    end_talk(talk);
    end_talk(child);
    close(slave);
    close(master);
}
END_TEST

START_TEST(killed_host_leaves_nothing) {
    int fds[2];
    char text[32] = "";
    ck_assert_int_eq(pipe(fds), 0);
    pid_t pid = fork();
    if (pid == 0) {
        const char *line;
        size_t size;
        spile_talk *talk = talk_with("pty: sh -c 'trap \"\" HUP; setsid sleep 1000 & echo $!; wait'", NULL);
        ck_assert_int_eq(spile_talk_read_line(talk, LONG_NS, &line, &size, NULL), SPILE_TALK_WHOLE);
        ck_assert_int_gt(write(fds[1], line, size), 0);
        raise(SIGKILL);
    }
    close(fds[1]);
    ck_assert_int_gt(read(fds[0], text, sizeof(text) - 1), 0);
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
    uint64_t limit = time_now_ns() + 10 * NS_PER_SECOND;
    while (kill((pid_t)atoi(text), 0) == 0 && time_now_ns() < limit)
        sched_yield();
    ck_assert_int_lt(kill((pid_t)atoi(text), 0), 0);
    close(fds[0]);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("talk host");
    TCase *group;
    group = tcase_create("both ways");
    tcase_set_timeout(group, 30);
    tcase_add_loop_test(group, much_at_once, 0, 2);
    ADD(group, more_than_may_be_kept, deadlines, deadline_is_not_put_off, silence, write_without_waiting,
        reader_that_goes_in_the_middle);
    suite_add_tcase(suite, group);
    group = tcase_create("hosts");
    ADD(group, many_on_a_loop, loop_is_freed_first, opening_on_a_loop, after_a_fork, killed_host_leaves_nothing);
    suite_add_tcase(suite, group);
    return support_run(suite);
}
