/* Talks under injected failures: every call that can fail is made to, once and from there on, with a peer of each kind.
 * Whatever fails: nothing hangs, nothing is left, and what is said to have gone well has. */
#include "fault_walk.h"
#include "talk_support.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <termios.h>

enum { PATIENCE_S = 20 };

static struct fault_plan *plan;

struct outcome {
    int result;    /* the first failure, or 0 */
    bool is_right; /* what was heard is what was to be */
    bool has_hung, may_time_out;
    char message[300];
};

static void note(struct outcome *outcome, int result, spile_error **error) {
    if (result < 0 && outcome->result == 0) {
        outcome->result = result;
        snprintf(outcome->message, sizeof(outcome->message), "%s",
                 *error ? spile_error_get_message(*error) : strerror(-result));
    }
    outcome->has_hung |= result == -ETIMEDOUT && !outcome->may_time_out;
    *error = spile_error_free(*error);
}

/* Says something of which a part is expected. */
static int expect_part(spile_talk *talk, struct outcome *outcome) {
    static const spile_pattern parts[] = {{.kind = SPILE_PATTERN_LITERAL, .text = "no"},
                                          {.kind = SPILE_PATTERN_LITERAL, .text = "never"},
                                          {.kind = SPILE_PATTERN_REGEX, .text = "(\\d+)=\\w;"}};
    spile_patterns *patterns = NULL;
    spile_error *error = NULL;
    spile_match match = {.size = sizeof(match)};
    int result = spile_patterns_new(parts, 3, NULL, &patterns, &error);
    if (result >= 0)
        result = spile_talk_write_line(talk, "and 3=\xc3\xa4;", PATIENCE_S * NS_PER_SECOND, &error);
    if (result >= 0)
        result = spile_talk_expect(talk, patterns, NULL, PATIENCE_S * NS_PER_SECOND, &match, &error);
    outcome->is_right &= result == 2 && match.group_count == 2 && match.groups[1].size == 1 && match.before.size == 4 &&
                         match.text.size == 5;
    note(outcome, result, &error);
    spile_patterns_free(patterns);
    return result;
}

/* Opens it, asks a question, says a line and hears it, and expects something, closes it. */
static void converse(const char *endpoint, const spile_talk_options *options, struct outcome *outcome) {
    spile_talk *talk = NULL;
    spile_error *error = NULL;
    spile_reply reply = {.size = sizeof(reply)};
    const char *text = "";
    size_t size = 0;
    int result = spile_talk_open(endpoint, options, &talk, &error);
    note(outcome, result, &error);
    if (result < 0)
        return;
    const spile_ask_options patient = {.size = sizeof(patient), .timeout_ns = PATIENCE_S * NS_PER_SECOND};
    result = spile_talk_ask(talk,
                            "\xc3\xa4"
                            "1",
                            &patient, &reply, &error);
    note(outcome, result, &error);
    outcome->is_right = result == 0 && strcmp(reply.text, "\xc3\xa4"
                                                          "1") == 0;
    spile_reply_done(&reply);
    if (result == 0) {
        result = spile_talk_write_line(talk, "two", PATIENCE_S * NS_PER_SECOND, &error);
        note(outcome, result, &error);
    }
    if (result == 0) {
        result = spile_talk_read_line(talk, PATIENCE_S * NS_PER_SECOND, &text, &size, &error);
        outcome->is_right &= result == SPILE_TALK_WHOLE && strcmp(text, "two") == 0;
        note(outcome, result == SPILE_TALK_NOTHING ? -ENODATA : result, &error);
    }
    if (result >= 0)
        (void)expect_part(talk, outcome);
    result = spile_talk_close(talk, PATIENCE_S * NS_PER_SECOND, &error);
    note(outcome, result, &error);
    spile_talk_free(talk);
}

/* ------------------------------------------------------------------------------ peers */

static void run_pipe(struct outcome *outcome) {
    converse("pipe: cat", TALK_OPTIONS(.encoding = "latin-1", .transcript = in_scratch("transcript")), outcome);
}

static void run_pty(struct outcome *outcome) {
    converse("pty: cat", TALK_OPTIONS(.echo = SPILE_TALK_ECHO_KEEP), outcome);
}

/* Sends back what comes, until the end. */
static void *give_back(void *argument) {
    int fd = *(int *)argument;
    char bytes[256];
    for (ssize_t count; (count = read(fd, bytes, sizeof(bytes))) > 0;)
        if (write(fd, bytes, (size_t)count) != count)
            break;
    return NULL;
}

static void talk_to_pair(int type, const spile_talk_options *options, struct outcome *outcome) {
    int fds[2];
    char endpoint[32];
    pthread_t thread;
    ck_assert_int_eq(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fds), 0);
    ck_assert_int_eq(pthread_create(&thread, NULL, give_back, &fds[1]), 0);
    snprintf(endpoint, sizeof(endpoint), "fd:%d", fds[0]);
    converse(endpoint, options, outcome);
    shutdown(fds[0], SHUT_RDWR);
    pthread_join(thread, NULL);
    close(fds[0]);
    close(fds[1]);
}

static void run_socket(struct outcome *outcome) {
    talk_to_pair(SOCK_STREAM, TALK_OPTIONS(.encoding = "ISO-8859-15", .eol = "\r\n"), outcome);
}

static void run_messages(struct outcome *outcome) {
    talk_to_pair(SOCK_SEQPACKET, TALK_OPTIONS(.message = true), outcome);
}

static void run_tcp(struct outcome *outcome) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    char endpoint[64];
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(listener, (struct sockaddr *)&address, size), 0);
    ck_assert_int_eq(listen(listener, 1), 0);
    ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    snprintf(endpoint, sizeof(endpoint), "tcp:127.0.0.1:%d", ntohs(address.sin_port));
    pid_t pid = fork();
    if (pid == 0) {
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        give_back(&fd);
        _exit(0);
    }
    close(listener);
    converse(endpoint, NULL, outcome);
    kill(pid, SIGKILL);
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}

static void talk_to_terminal(bool by_descriptor, struct outcome *outcome) {
    char path[64];
    struct termios before, after;
    pthread_t thread;
    int master = make_pty(path, sizeof(path)), slave = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
    ck_assert_int_eq(tcgetattr(slave, &before), 0);
    ck_assert_int_eq(pthread_create(&thread, NULL, give_back, &master), 0);
    if (by_descriptor)
        snprintf(path, sizeof(path), "fd:%d", slave);
    converse(path, TALK_OPTIONS(.baud = 9600), outcome);
    ck_assert_int_eq(tcgetattr(slave, &after), 0);
    /* Where putting it back was not made to fail, it is as it was. */
    ck_assert(plan->key || after.c_lflag == before.c_lflag);
    close(slave);
    pthread_join(thread, NULL);
    close(master);
}

static void run_terminal(struct outcome *outcome) {
    talk_to_terminal(false, outcome);
}

static void run_descriptor(struct outcome *outcome) {
    talk_to_terminal(true, outcome);
}

/* What says zeros without end may be faster than the thread that writes to it. */
static int unless_full(int result, spile_error **error) {
    if (result != -ENOBUFS)
        return result;
    spile_error_free(*error);
    *error = NULL;
    return 0;
}

/* Served by threads. */
static void run_without_poll(struct outcome *outcome) {
    spile_talk *talk = NULL;
    spile_error *error = NULL;
    const void *data = "x";
    size_t size = 0;
    int result = spile_talk_open("/dev/zero", TALK_OPTIONS(.keep_limit_bytes = 4096), &talk, &error);
    note(outcome, result, &error);
    if (result < 0)
        return;
    result = unless_full(spile_talk_write_line(talk, "x", PATIENCE_S * NS_PER_SECOND, &error), &error);
    note(outcome, result, &error);
    result = spile_talk_read_bytes(talk, 100, 100, PATIENCE_S * NS_PER_SECOND, &data, &size, &error);
    note(outcome, result, &error);
    outcome->is_right = result == SPILE_TALK_WHOLE && size == 100 && *(const char *)data == 0;
    result = unless_full(spile_talk_close(talk, PATIENCE_S * NS_PER_SECOND, &error), &error);
    note(outcome, result, &error);
    spile_talk_free(talk);
}

/* Hangs up on who comes first, and greets the others. */
static void *hang_up_once(void *argument) {
    const int listener = *(int *)argument;
    bool is_first = true;
    for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0; is_first = false) {
        if (!is_first && write(fd, "> ", 2) == 2)
            give_back(&fd);
        close(fd);
    }
    return NULL;
}

struct asked {
    struct outcome *outcome;
    bool was_told;
};

static void take_reply(void *user, spile_talk *talk, int result, const spile_reply *reply, const spile_error *error) {
    struct asked *asked = user;
    spile_error *none = NULL;
    asked->was_told = true;
    asked->outcome->is_right = result == 0 && strcmp(reply->text, "one") == 0 && talk_info(talk).losses > 0;
    note(asked->outcome, result, &none);
    ck_assert(result == 0 || result == -ENOMEM || error);
}

/* Lost while a question waits, which is asked once it is open again. It is tried again and again until then: where that
 * fails for ever it is the caller who ends it. */
static void lose_and_ask(spile_loop *loop, const char *path, uint64_t patience, struct outcome *outcome) {
    spile_talk *talk = NULL;
    spile_error *error = NULL;
    struct asked asked = {.outcome = outcome};
    const uint64_t until = time_now_ns() + patience;
    int result = spile_talk_open(
        path, TALK_OPTIONS(.loop = loop, .reconnect = true, .prompt = "> ", .open_ns = patience), &talk, &error);
    if (result >= 0)
        result = spile_talk_ask_start(talk, "one", ASK_OPTIONS(.timeout_ns = patience, .lines = 1), take_reply, &asked);
    for (int step = result; result >= 0 && !asked.was_told && step >= 0;) {
        step = spile_loop_step(loop, NS_FOREVER);
        note(outcome, MIN(step, 0), &error);
    }
    outcome->has_hung |= !outcome->may_time_out && time_now_ns() >= until; /* the question failed only then */
    note(outcome, result, &error);
    if (!talk)
        return;
    result = spile_talk_close(talk, patience, &error);
    note(outcome, result, &error);
    spile_talk_free(talk);
}

static void run_again(struct outcome *outcome) {
    const uint64_t patience = plan->key && plan->onward ? 50 * NS_PER_MS : PATIENCE_S * NS_PER_SECOND;
    const char *path = in_scratch("again");
    int listener = listen_at(path);
    pthread_t thread;
    spile_loop *loop = NULL;
    spile_error *error = NULL;
    ck_assert_int_eq(pthread_create(&thread, NULL, hang_up_once, &listener), 0);
    outcome->may_time_out = patience < NS_PER_SECOND;
    int result = spile_loop_new(&loop);
    note(outcome, result, &error);
    if (result >= 0)
        lose_and_ask(loop, path, patience, outcome);
    spile_loop_free(loop);
    shutdown(listener, SHUT_RDWR);
    pthread_join(thread, NULL);
    close(listener);
}

static void (*const scenarios[])(struct outcome *outcome) = {
    run_pipe, run_pty, run_socket, run_tcp, run_terminal, run_descriptor, run_without_poll, run_messages, run_again};

/* ------------------------------------------------------------------------------ failures */

static void live(int scenario, const char *where) {
    size_t fds = open_fds();
    struct outcome outcome = {0};
    scenarios[scenario](&outcome);
    ck_assert_msg(where || outcome.result == 0, "%s", outcome.message);
    ck_assert_msg(!outcome.has_hung, "%s: hangs: %s", where, outcome.message);
    ck_assert_msg(outcome.result < 0 || outcome.is_right, "%s: said to be well, and is not", where);
    ck_assert_msg(outcome.result == 0 || *outcome.message, "%s: an error without a message", where);
    plan->key = 0;
    ck_assert_msg(!where || open_fds() == fds, "%s: %zu descriptors instead of %zu", where, open_fds(), fds);
    siginfo_t info = {0};
    ck_assert_msg(waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 && errno == ECHILD, "%s: a child is left",
                  where);
}

/* What the supervisor does with its failures is tested with calls. */
static bool is_wanted(const struct fault_entry *entry) {
    return strncmp(entry->place, "supervisor.c", 12) != 0;
}

/* Nor can waiting fail for ever: there is no such error. */
static bool may_last(const struct fault_entry *entry) {
    return !strstr(entry->place, "epoll_wait");
}

START_TEST(every_point) {
    const struct fault_walk walk = {.live = live, .is_wanted = is_wanted, .may_last = may_last};
    signal(SIGPIPE, SIG_IGN); /* of the peers here */
    plan = fault_plan_make();
    ck_assert_uint_gt(fault_walk(plan, _i, &walk), 30);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("talk faults");
    TCase *group = tcase_create("each");
    tcase_add_loop_test(group, every_point, 0, (int)ARRAY_SIZE(scenarios));
    tcase_set_timeout(group, 60);
    suite_add_tcase(suite, group);
    return support_run(suite);
}
