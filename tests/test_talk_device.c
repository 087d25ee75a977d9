/* Devices without poll, which a thread serves; and instruments, which want messages. */
#include "base/fault.h"
#include "talk/mover.h"
#include "talk_support.h"

#include <sys/syscall.h>
#include <sys/un.h>

static size_t threads(void) {
    return entries_in("/proc/self/task");
}

static void *tell_id(void *argument) {
    (void)argument;
    return (void *)(intptr_t)gettid();
}

/* How many there are; a sanitizer starts one of its own with the first of ours. */
static size_t threads_at_rest(void) {
    pthread_t thread;
    void *id;
    char path[64];
    ck_assert_int_eq(pthread_create(&thread, NULL, tell_id, NULL), 0);
    pthread_join(thread, &id);
    snprintf(path, sizeof(path), "/proc/self/task/%d", (int)(intptr_t)id);
    while (access(path, F_OK) == 0)
        sched_yield();
    return threads();
}

/* The system lists a thread that was joined for some moments more. */
static void check_threads(size_t count) {
    const uint64_t until = time_now_ns() + LONG_NS;
    while (threads() != count)
        ck_assert_msg(time_now_ns() < until, "%zu threads instead of %zu", threads(), count);
}

static void read_bytes(spile_talk *talk, uint64_t size, int code, const void **ret_data) {
    size_t got;
    ck_assert_int_eq(spile_talk_read_bytes(talk, size, size, LONG_NS, ret_data, &got, NULL), code);
    ck_assert_uint_eq(got, code == SPILE_TALK_WHOLE ? size : 0);
}

START_TEST(full) {
    const size_t before = threads_at_rest(), fds = open_fds();
    const void *data;
    spile_error *error = NULL;
    spile_talk *talk = talk_with("/dev/full", NULL);
    read_bytes(talk, 100000, SPILE_TALK_WHOLE, &data);
    for (size_t i = 0; i < 100000; i++)
        ck_assert_int_eq(((const char *)data)[i], 0);
    ck_assert_int_eq(spile_talk_write_line(talk, "x", LONG_NS, &error), -ENOSPC);
    check_error(error, SPILE_ERROR_SYSTEM, "No space left on device");
    spile_error_free(error);
    end_talk(talk);
    check_threads(before);
    ck_assert_uint_eq(open_fds(), fds);
}
END_TEST

START_TEST(null) {
    const size_t before = threads_at_rest();
    spile_talk *talk = talk_with("/dev/null", NULL);
    hear_end(talk);
    for (int i = 0; i < 1000; i++)
        say(talk, "x");
    ck_assert_uint_eq(talk_info(talk).bytes_out, 2000);
    end_talk(talk);
    check_threads(before);
}
END_TEST

/* Also those whose reads never end by themselves, and which are read at the very moment. */
START_TEST(endless) {
    static const char *const devices[] = {"/dev/zero", "/dev/urandom", "/dev/random"};
    const size_t before = threads_at_rest(), fds = open_fds();
    const void *data;
    for (int i = 0; i < 20; i++) {
        spile_talk *talk = talk_with(devices[_i], TALK_OPTIONS(.keep_limit_bytes = 1 << 20));
        read_bytes(talk, (uint64_t)i * 50000 + 1, SPILE_TALK_WHOLE, &data);
        if (i % 2)
            end_talk(talk);
        else
            spile_talk_free(talk);
    }
    check_threads(before);
    ck_assert_uint_eq(open_fds(), fds);
}
END_TEST

/* By a descriptor, whose flags stay as they are; and as one half of standard input and output. */
START_TEST(by_descriptor) {
    char endpoint[32];
    const void *data;
    int fd = open("/dev/zero", O_RDONLY | O_NONBLOCK | O_CLOEXEC), pipe_fds[2];
    snprintf(endpoint, sizeof(endpoint), "fd:%d", fd);
    spile_talk *talk = talk_with(endpoint, NULL);
    read_bytes(talk, 10, SPILE_TALK_WHOLE, &data);
    ck_assert_int_eq(spile_talk_write_line(talk, "x", LONG_NS, NULL), -EBADF);
    end_talk(talk);
    ck_assert_int_ne(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
    ck_assert_int_eq(dup2(fd, 0), 0);
    ck_assert_int_eq(pipe2(pipe_fds, O_CLOEXEC), 0);
    int out = dup(1);
    ck_assert_int_eq(dup2(pipe_fds[1], 1), 1);
    talk = talk_with("-", NULL);
    read_bytes(talk, 10, SPILE_TALK_WHOLE, &data);
    say(talk, "hello");
    peer_read(pipe_fds[0], "hello\n");
    end_talk(talk);
    ck_assert_int_eq(dup2(out, 1), 1);
    close(out);
}
END_TEST

/* ------------------------------------------------------------------------------ the thread itself */

static void note(void *user) {
    ++*(int *)user;
}

/* It waits in a read or a write that never ends: stopping it takes no time, and leaves nothing. */
START_TEST(stopped_while_it_waits) {
    const size_t before = threads_at_rest(), fds = open_fds();
    int ends[2], told = 0;
    char byte;
    bool has_more;
    spile_loop *loop;
    static char much[1 << 20];
    ck_assert_int_eq(spile_loop_new(&loop), 0);
    for (int i = 0; i < 50; i++) {
        struct mover *reader, *writer;
        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
        ck_assert_int_eq(mover_start(&reader, loop, ends[0], false, note, &told), 0);
        ck_assert_int_eq(mover_start(&writer, loop, ends[0], true, note, &told), 0);
        mover_want(reader);
        if (i % 2)
            ck_assert_int_eq(mover_write(writer, much, sizeof(much)), -EAGAIN);
        ck_assert_int_eq(mover_read(reader, &byte, 1, &has_more), -EAGAIN);
        if (i % 3 == 0)
            sched_yield();
        const uint64_t start = time_now_ns();
        mover_stop(reader);
        mover_stop(writer);
        ck_assert_uint_lt(time_now_ns() - start, NS_PER_SECOND);
        close(ends[0]);
        close(ends[1]);
    }
    spile_loop_free(loop);
    check_threads(before);
    ck_assert_uint_eq(open_fds(), fds);
}
END_TEST

START_TEST(moves_all) {
    int ends[2], told = 0;
    char got[100] = "";
    bool has_more;
    spile_loop *loop;
    struct mover *mover;
    ck_assert_int_eq(spile_loop_new(&loop), 0);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    ck_assert_int_eq(mover_start(&mover, loop, ends[0], false, note, &told), 0);
    mover_want(mover);
    peer_write(ends[1], "hello");
    while (told == 0)
        ck_assert_int_ge(spile_loop_step(loop, NS_FOREVER), 0);
    ck_assert_int_eq(mover_read(mover, got, 2, &has_more), 2);
    ck_assert(has_more);
    mover_want(mover); /* what is left is told again */
    while (told == 1)
        ck_assert_int_ge(spile_loop_step(loop, NS_FOREVER), 0);
    ck_assert_int_eq(mover_read(mover, got + 2, 98, &has_more), 3);
    ck_assert(!has_more);
    ck_assert_str_eq(got, "hello");
    close(ends[1]);
    mover_want(mover);
    while (told == 2)
        ck_assert_int_ge(spile_loop_step(loop, NS_FOREVER), 0);
    ck_assert_int_eq(mover_read(mover, got, 100, &has_more), 0);
    mover_stop(mover);
    spile_loop_free(loop);
    close(ends[0]);
}
END_TEST

/* The first point of the file that was passed and is called so: what comes of it from its next pass on. */
static void fail_from_now(struct fault_plan *plan, const char *file, const char *name, int code, bool onward) {
    const struct fault_entry *first = NULL;
    const size_t skip = strlen(file);
    for (size_t i = 0; i < FAULT_TABLE_SIZE; i++) {
        const struct fault_entry *entry = &plan->table[i];
        const char *space = strchr(entry->place, ' ');
        if (entry->key && strncmp(entry->place, file, skip) == 0 && strcmp(space + 1, name) == 0 &&
            (!first || atoi(entry->place + skip + 1) < atoi(first->place + skip + 1)))
            first = entry;
    }
    ck_assert_ptr_nonnull(first);
    plan->occurrence = first->passes + 1;
    plan->onward = onward;
    plan->code = code;
    plan->hits = 0;
    plan->key = first->key;
}

/* A driver may say "try again" though the descriptor may wait: so it is, with pauses, and nobody is told. */
START_TEST(tries_again) {
    int ends[2], told = 0;
    char byte;
    bool has_more;
    spile_loop *loop;
    struct mover *mover;
    struct fault_plan *plan = fault_plan_make();
    ck_assert_int_eq(spile_loop_new(&loop), 0);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    ck_assert_int_eq(mover_start(&mover, loop, ends[0], false, note, &told), 0);
    for (int i = 1; i <= 2; i++) {
        mover_want(mover);
        peer_write(ends[1], "x");
        while (i == 2 && plan->hits < 4)
            ck_assert_int_ge(spile_loop_step(loop, 0), 0);
        ck_assert(told < i);
        plan->key = 0;
        while (told < i)
            ck_assert_int_ge(spile_loop_step(loop, 0), 0);
        ck_assert_int_eq(mover_read(mover, &byte, 1, &has_more), 1);
        if (i == 1)
            fail_from_now(plan, "mover.c", "read", EAGAIN, true);
    }
    mover_stop(mover);
    spile_loop_free(loop);
    close(ends[0]);
    close(ends[1]);
}
END_TEST

/* The child has no such thread, and frees what there is of it. */
START_TEST(forked) {
    const void *data;
    spile_talk *talk = talk_with("/dev/zero", TALK_OPTIONS(.keep_limit_bytes = 1 << 20));
    read_bytes(talk, 10, SPILE_TALK_WHOLE, &data);
    pid_t pid = fork();
    if (pid == 0) {
        bool is_dead = spile_talk_end(talk) == -EBADF;
        spile_talk_free(talk);
        _exit(is_dead ? 0 : 1);
    }
    int status;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    read_bytes(talk, 300000, SPILE_TALK_WHOLE, &data);
    end_talk(talk);
}
END_TEST

/* ------------------------------------------------------------------------------ an instrument */

/* One that takes messages, as they come by USB: each is one command with its line's end, or it goes into the error
 * queue. It answers with a message, whose end is the end of its text. */
struct instrument {
    int listener;
    char name[64];
    char errors[8][64];
    size_t error_count;
    unsigned commands;
};

static void instrument_error(struct instrument *instrument, const char *text) {
    if (instrument->error_count < 8)
        snprintf(instrument->errors[instrument->error_count++], 64, "%s", text);
}

/* Returns how much of `reply` is the answer. */
static size_t instrument_obey(struct instrument *instrument, char *message, size_t size, char *reply, size_t most) {
    char *end = size ? memchr(message, '\n', size) : NULL;
    instrument->commands++;
    if (size > 1 && message[0] == '#') { /* a block: as many bytes as its head says, whatever they are */
        const size_t length = (size_t)(message[2] - '0') * 10 + (size_t)(message[3] - '0');
        if (size != 4 + length)
            instrument_error(instrument, "-161,\"Invalid block data\"");
        return 0;
    }
    if (!end || end != message + size - 1) {
        instrument_error(instrument, end ? "-102,\"Syntax error: two commands in a message\""
                                         : "-102,\"Syntax error: a message without its end\"");
        return 0;
    }
    *end = '\0';
    if (strcmp(message, "*IDN?") == 0)
        return (size_t)snprintf(reply, most, "ACME,Model 1,0,1.0\n");
    if (strcmp(message, "MEAS:VOLT?") == 0)
        return (size_t)snprintf(reply, most, "+1.2345E+00"); /* no line's end: the message's end is it */
    if (strcmp(message, "DATA?") == 0) {
        static const char head[8] = {'#', '6', '1', '4', '9', '9', '9', '2'};
        memset(reply, 'x', 150000);
        memcpy(reply, head, sizeof(head));
        return 150000;
    }
    if (strcmp(message, "SYST:ERR?") == 0) {
        const char *first = instrument->error_count > 0 ? instrument->errors[0] : "+0,\"No error\"";
        int length = snprintf(reply, most, "%s\n", first);
        if (instrument->error_count > 0)
            memmove(instrument->errors, instrument->errors + 1, --instrument->error_count * 64);
        return (size_t)length;
    }
    if (strcmp(message, "*RST") != 0)
        instrument_error(instrument, "-113,\"Undefined header\"");
    return 0;
}

static void *instrument_run(void *argument) {
    struct instrument *instrument = argument;
    static char message[1 << 20], reply[1 << 18];
    int fd = accept4(instrument->listener, NULL, NULL, SOCK_CLOEXEC);
    for (ssize_t size; (size = recv(fd, message, sizeof(message), 0)) > 0;) {
        const size_t length = instrument_obey(instrument, message, (size_t)size, reply, sizeof(reply));
        if (length > 0 && send(fd, reply, length, MSG_NOSIGNAL) < 0)
            break;
    }
    close(fd);
    return NULL;
}

static pthread_t instrument_start(struct instrument *instrument) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    pthread_t thread;
    instrument->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    const char *path = in_scratch("instrument");
    (void)unlink(path);
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    snprintf(instrument->name, sizeof(instrument->name), "%s", path);
    ck_assert_int_eq(bind(instrument->listener, (struct sockaddr *)&address, sizeof(address)), 0);
    ck_assert_int_eq(listen(instrument->listener, 1), 0);
    ck_assert_int_eq(pthread_create(&thread, NULL, instrument_run, instrument), 0);
    return thread;
}

static void instrument_end(struct instrument *instrument, pthread_t thread) {
    pthread_join(thread, NULL);
    close(instrument->listener);
}

/* A read that brings nothing within the driver's own time is no failure, and made again. */
START_TEST(nothing_to_say) {
    int peer;
    struct fault_plan *plan = fault_plan_make();
    spile_talk *talk = talk_with_socket(TALK_OPTIONS(.message = true), &peer);
    peer_write(peer, "one\n");
    hear(talk, "one");
    fail_from_now(plan, "channel.c", "recv", ETIMEDOUT, false);
    peer_write(peer, "two\n");
    hear(talk, "two");
    ck_assert_uint_eq(plan->hits, 1);
    end_talk(talk);
    close(peer);
}
END_TEST

/* A message that was begun is read to its end, though nobody asks for more of it. */
START_TEST(read_to_its_end) {
    enum { MUCH = 50000 };
    char *much = calloc(1, MUCH + 1);
    int peer;
    const void *data;
    spile_loop *loop;
    ck_assert_int_eq(spile_loop_new(&loop), 0);
    spile_talk *talk = talk_with_socket(TALK_OPTIONS(.message = true, .loop = loop), &peer);
    memset(much, 'x', MUCH);
    peer_write(peer, much);
    read_bytes(talk, 1, SPILE_TALK_WHOLE, &data);
    while (talk_info(talk).bytes_in < MUCH)
        ck_assert_int_ge(spile_loop_step(loop, LONG_NS), 0);
    end_talk(talk);
    spile_loop_free(loop);
    close(peer);
    free(much);
}
END_TEST

static void note_match(void *user, spile_talk *talk, int result, const spile_match *match, const spile_error *error) {
    (void)talk;
    (void)error;
    ck_assert_int_eq(result, 0);
    ck_assert_uint_eq(match->text.size, 3);
    *(bool *)user = true;
}

/* Nothing is read before it is wanted: expecting on a loop is wanting it. */
START_TEST(expected_message) {
    struct instrument device = {0};
    pthread_t thread = instrument_start(&device);
    spile_loop *loop;
    bool was_told = false;
    ck_assert_int_eq(spile_loop_new(&loop), 0);
    spile_talk *talk = talk_with(device.name, TALK_OPTIONS(.message = true, .loop = loop));
    spile_patterns *patterns = PATTERNS(LITERAL("1.0"));
    ck_assert_int_eq(spile_talk_expect_start(talk, patterns, NULL, LONG_NS, note_match, &was_told), 0);
    spile_patterns_free(patterns);
    say(talk, "*IDN?");
    while (!was_told)
        ck_assert_int_ge(spile_loop_step(loop, LONG_NS), 0);
    end_talk(talk);
    spile_loop_free(loop);
    instrument_end(&device, thread);
}
END_TEST

#define NO_REPLY ASK_OPTIONS(.no_reply = true)

START_TEST(instrument) {
    struct instrument device = {0};
    pthread_t thread = instrument_start(&device);
    spile_talk *talk = talk_with(device.name, TALK_OPTIONS(.message = true));
    check_reply(talk, "*IDN?", NULL, "ACME,Model 1,0,1.0");
    check_reply(talk, "*RST", NO_REPLY, "");
    check_reply(talk, "MEAS:VOLT?", NULL, "+1.2345E+00");
    check_reply(talk, "SYST:ERR?", NULL, "+0,\"No error\"");
    check_reply(talk, "NONSENSE", NO_REPLY, "");
    check_reply(talk, "SYST:ERR?", NULL, "-113,\"Undefined header\"");
    /* Several lines in one write are as many messages; bytes are one, whatever is in them. */
    const char lines[] = "*RST\n*RST\n*IDN?\n";
    ck_assert_int_eq(spile_talk_write(talk, lines, strlen(lines), LONG_NS, NULL), (ssize_t)strlen(lines));
    hear(talk, "ACME,Model 1,0,1.0");
    ck_assert_int_eq(spile_talk_write_bytes(talk, "#216a\nb\nc\nd\ne\nf\ng\nh\n", 20, LONG_NS, NULL), 20);
    check_reply(talk, "SYST:ERR?", NULL, "+0,\"No error\"");
    say(talk, "MEAS:VOLT?");
    hear(talk, "+1.2345E+00");
    /* A message that is longer than what is commonly read at once is whole. */
    const void *data;
    say(talk, "DATA?");
    read_bytes(talk, 150000, SPILE_TALK_WHOLE, &data);
    ck_assert_int_eq(memcmp(data, "#6149992x", 9), 0);
    check_no_reply(talk, "NONSENSE", ASK_OPTIONS(.timeout_ns = NS_PER_SECOND / 20), ETIMEDOUT, SPILE_ERROR_TIMEOUT,
                   "did not reply", "");
    end_talk(talk);
    instrument_end(&device, thread);
    ck_assert_uint_eq(device.error_count, 1);
    ck_assert_uint_eq(device.commands, 14);
}
END_TEST

/* The naive way: lines that are queued go out together, which such an instrument does not take. */
START_TEST(instrument_naively) {
    struct instrument device = {0};
    pthread_t thread = instrument_start(&device);
    spile_talk *talk = talk_with(device.name, NULL);
    const char lines[] = "*RST\n*IDN?\n";
    ck_assert_int_eq(spile_talk_write(talk, lines, strlen(lines), LONG_NS, NULL), (ssize_t)strlen(lines));
    check_reply(talk, "SYST:ERR?", NULL, "-102,\"Syntax error: two commands in a message\"");
    end_talk(talk);
    instrument_end(&device, thread);
}
END_TEST

/* What nobody awaits is not read. */
START_TEST(reads_only_when_asked) {
    int fds[2];
    char endpoint[32];
    const char *text;
    size_t size;
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
    snprintf(endpoint, sizeof(endpoint), "fd:%d", fds[0]);
    spile_talk *talk = talk_with(endpoint, TALK_OPTIONS(.message = true, .take_fd = true));
    peer_write(fds[1], "one");
    peer_write(fds[1], "two");
    say(talk, "x");
    ck_assert_int_eq(spile_talk_read(talk, 0, UINT64_MAX, 0, &text, &size, NULL), SPILE_TALK_WHOLE);
    ck_assert_uint_eq(size, 0);
    ck_assert_uint_eq(talk_info(talk).bytes_in, 0);
    hear(talk, "one");
    ck_assert_uint_eq(talk_info(talk).bytes_in, 3);
    hear(talk, "two");
    ck_assert_int_eq(spile_talk_read_line(talk, 0, &text, &size, NULL), -EAGAIN);
    peer_write(fds[1], "ok"); /* a whole message, though a prompt begins so */
    check_reply(talk, "y", ASK_OPTIONS(.lines = 1, .prompt = "ok>"), "ok");
    peer_write(fds[1], "three\nfour");
    hear(talk, "three");
    hear(talk, "four");
    peer_read(fds[1], "x\n");
    peer_read(fds[1], "y\n");
    close(fds[1]);
    hear_end(talk);
    end_talk(talk);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("devices");
    TCase *group = tcase_create("without poll");
    tcase_add_test(group, full);
    tcase_add_test(group, null);
    tcase_add_loop_test(group, endless, 0, 3);
    tcase_add_test(group, by_descriptor);
    tcase_add_test(group, stopped_while_it_waits);
    tcase_add_test(group, moves_all);
    tcase_add_test(group, tries_again);
    tcase_add_test(group, forked);
    suite_add_tcase(suite, group);
    group = tcase_create("messages");
    tcase_add_test(group, instrument);
    tcase_add_test(group, nothing_to_say);
    tcase_add_test(group, read_to_its_end);
    tcase_add_test(group, expected_message);
    tcase_add_test(group, instrument_naively);
    tcase_add_test(group, reads_only_when_asked);
    suite_add_tcase(suite, group);
    return support_run(suite);
}
