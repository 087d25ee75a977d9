/* Talks: what they are held with, and how they end. The peers are real ones. */
#include "talk_support.h"

#include <arpa/inet.h>
#include <spawn.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/un.h>
#include <termios.h>

#define ADD(group, ...)                                                  \
    do {                                                                 \
        const TTest *const tests_[] = {__VA_ARGS__};                     \
        for (size_t i_ = 0; i_ < sizeof(tests_) / sizeof(*tests_); i_++) \
            tcase_add_test(group, tests_[i_]);                           \
    } while (0)

/* ------------------------------------------------------------------------------ programs */

START_TEST(program_on_pipes) {
    size_t fds = open_fds();
    spile_talk *talk = talk_with("pipe: cat", NULL);
    ck_assert_int_gt(talk_info(talk).pid, 0);
    say(talk, "one");
    hear(talk, "one");
    say(talk, "a b'c");
    hear(talk, "a b'c");
    ck_assert_int_eq(spile_talk_end(talk), 0);
    hear_end(talk);
    hear_end(talk);
    ck_assert_int_eq(spile_talk_close(talk, LONG_NS, NULL), 0);
    ck_assert(talk_info(talk).has_exited);
    ck_assert_int_eq(talk_info(talk).exit_status, 0);
    ck_assert_int_eq(spile_talk_close(talk, LONG_NS, NULL), -EALREADY);
    ck_assert_int_eq(spile_talk_write_line(talk, "late", LONG_NS, NULL), -EBADF);
    spile_talk_free(talk);
    ck_assert_uint_eq(open_fds(), fds);
}
END_TEST

START_TEST(program_on_a_terminal) {
    size_t fds = open_fds();
    spile_talk *talk = talk_with("pty: sh -c 'test -t 0 && test -t 1 && stty size && read x && echo $x'",
                                 TALK_OPTIONS(.columns = 132, .rows = 50));
    ck_assert(talk_info(talk).is_terminal);
    hear(talk, "50 132");
    say(talk, "word");
    hear(talk, "word"); /* once: the terminal does not echo */
    hear_end(talk);
    end_talk(talk);
    ck_assert_uint_eq(open_fds(), fds);
}
END_TEST

START_TEST(terminal_echo_and_size) {
    spile_talk *talk = talk_with("pty: sh -c 'read x; stty size; echo $TERM'",
                                 TALK_OPTIONS(.terminal_echo = true, .env = (const char *const[]){"TERM=vt100", NULL}));
    ck_assert_int_eq(spile_talk_resize(talk, 40, 10), 0);
    say(talk, "word");
    hear(talk, "word");
    hear(talk, "10 40");
    hear(talk, "vt100");
    end_talk(talk);
}
END_TEST

START_TEST(words_of_a_program) {
    static const char *const argv[] = {"printf", "%s|", "a b", "$x", "", NULL};
    spile_talk *talk = talk_with("pipe:", TALK_OPTIONS(.argv = argv));
    hear_code(talk, SPILE_TALK_REST, "a b|$x||");
    end_talk(talk);
    talk = talk_with("pipe: printf '%s|' \"a  'b\" c\\ d '' e'f'\"g\" \\\\", NULL);
    hear_code(talk, SPILE_TALK_REST, "a  'b|c d||efg|\\|");
    end_talk(talk);
}
END_TEST

START_TEST(last_words_and_status) {
    spile_talk *talk = talk_with("pty: sh -c 'echo bye; printf rest; exit 3'", NULL);
    hear(talk, "bye");
    hear_code(talk, SPILE_TALK_REST, "rest");
    hear_end(talk);
    ck_assert_int_eq(spile_talk_close(talk, LONG_NS, NULL), 0);
    ck_assert_int_eq(talk_info(talk).exit_status, 3);
    spile_talk_free(talk);
    talk = talk_with("pipe: sh -c 'kill -9 $$'", NULL);
    hear_end(talk);
    ck_assert_int_eq(spile_talk_close(talk, LONG_NS, NULL), 0);
    ck_assert_int_eq(talk_info(talk).exit_status, -1);
    ck_assert_int_eq(talk_info(talk).signal, SIGKILL);
    spile_talk_free(talk);
}
END_TEST

START_TEST(program_that_stays_is_killed) {
    size_t fds = open_fds();
    spile_talk *talk = talk_with("pipe: sh -c 'trap \"\" HUP TERM; echo $$; setsid sleep 1000 & sleep 1000'", NULL);
    const char *text;
    size_t size;
    ck_assert_int_eq(spile_talk_read_line(talk, LONG_NS, &text, &size, NULL), SPILE_TALK_WHOLE);
    pid_t pid = (pid_t)atoi(text);
    ck_assert_int_eq(kill(pid, 0), 0);
    spile_error *error = NULL;
    ck_assert_int_eq(spile_talk_close(talk, 50 * NS_PER_MS, &error), -ETIMEDOUT);
    check_error(error, SPILE_ERROR_TIMEOUT, "killed");
    spile_error_free(error);
    ck_assert_int_lt(kill(pid, 0), 0);
    spile_talk_free(talk);
    ck_assert_uint_eq(open_fds(), fds);
    ck_assert_uint_eq(own_processes(), 0);
}
END_TEST

START_TEST(calculator) {
    spile_talk *talk = talk_with("pipe: bc -q", NULL);
    say(talk, "2^64");
    hear(talk, "18446744073709551616");
    end_talk(talk);
}
END_TEST

/* ------------------------------------------------------------------------------ FIFOs */

static pid_t start(const char *script, const char *first, const char *second) {
    char *const argv[] = {(char *)"sh",   (char *)"-c", (char *)script, (char *)"sh", (char *)first,
                          (char *)second, NULL};
    pid_t pid;
    ck_assert_int_eq(posix_spawnp(&pid, "sh", NULL, NULL, argv, environ), 0);
    return pid;
}

static void make_fifos(char *ret_endpoint, size_t size) {
    ck_assert_int_eq(mkfifo(in_scratch("to"), 0600), 0);
    ck_assert_int_eq(mkfifo(in_scratch("from"), 0600), 0);
    snprintf(ret_endpoint, size, "fifo:%s,%s", in_scratch("from"), in_scratch("to"));
}

/* A service opens them in either order, and may come late. */
static const char *const services[] = {
    "exec 3<\"$1\" 4>\"$2\"; while read x <&3; do echo \"re $x\" >&4; done",
    "exec 4>\"$2\" 3<\"$1\"; while read x <&3; do echo \"re $x\" >&4; done",
    "while :; do sleep 0.2; exec 3<\"$1\" 4>\"$2\"; while read x <&3; do echo \"re $x\" >&4; done; exit; done",
};

START_TEST(fifo_pair) {
    char endpoint[512];
    make_fifos(endpoint, sizeof(endpoint));
    pid_t pid = start(services[_i], in_scratch("to"), in_scratch("from"));
    spile_talk *talk = talk_with(endpoint, TALK_OPTIONS(.wait = _i == 2));
    say(talk, "one");
    hear(talk, "re one");
    say(talk, "two");
    hear(talk, "re two");
    ck_assert_int_eq(spile_talk_end(talk), 0);
    hear_end(talk);
    end_talk(talk);
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}
END_TEST

START_TEST(fifo_pair_without_service) {
    char endpoint[512];
    make_fifos(endpoint, sizeof(endpoint));
    refused(endpoint, TALK_OPTIONS(.open_ns = 30 * NS_PER_MS), ETIMEDOUT, SPILE_ERROR_TIMEOUT, "nobody reads");
    snprintf(endpoint, sizeof(endpoint), "fifo:%s,%s", in_scratch("to"), in_scratch("to"));
    refused(endpoint, NULL, ENOTSUP, SPILE_ERROR_ENDPOINT, "same FIFO");
    snprintf(endpoint, sizeof(endpoint), "fifo:%s,/dev/null", in_scratch("to"));
    refused(endpoint, NULL, ENOTSUP, SPILE_ERROR_ENDPOINT, "no FIFO");
    refused(in_scratch("to"), NULL, ENOTSUP, SPILE_ERROR_ENDPOINT, "fifo:IN,OUT");
}
END_TEST

START_TEST(reader_that_goes) {
    char endpoint[512];
    make_fifos(endpoint, sizeof(endpoint));
    pid_t pid = start("exec 3<\"$1\" 4>\"$2\"; read x <&3", in_scratch("to"), in_scratch("from"));
    spile_talk *talk = talk_with(endpoint, NULL);
    say(talk, "one");
    hear_end(talk);
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid); /* it may end what it writes before what it reads */
    spile_error *error = NULL;
    ck_assert_int_eq(spile_talk_write_line(talk, "two", LONG_NS, &error), -EPIPE); /* and no SIGPIPE */
    check_error(error, SPILE_ERROR_ENDED, "nothing any more");
    spile_error_free(error);
    end_talk(talk);
}
END_TEST

/* ------------------------------------------------------------------------------ sockets */

static int listen_unix(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_uint_lt(strlen(path), sizeof(address.sun_path));
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    ck_assert_int_eq(listen(fd, 1), 0);
    return fd;
}

START_TEST(unix_socket) {
    char endpoint[512], *path = strdup(in_scratch("socket"));
    int listener = listen_unix(path);
    snprintf(endpoint, sizeof(endpoint), "%s%s", _i ? "unix:" : "", path);
    spile_talk *talk = talk_with(endpoint, NULL);
    int peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    say(talk, "hello");
    peer_read(peer, "hello\n");
    peer_write(peer, "world\n");
    hear(talk, "world");
    ck_assert_int_eq(spile_talk_end(talk), 0);
    char byte;
    ck_assert_int_eq(read(peer, &byte, 1), 0);
    peer_write(peer, "more");
    close(peer);
    hear_code(talk, SPILE_TALK_REST, "more");
    end_talk(talk);
    close(listener);
    refused(endpoint, NULL, ECONNREFUSED, SPILE_ERROR_ENDPOINT, "nobody listens");
    refused(endpoint, TALK_OPTIONS(.wait = true, .open_ns = 20 * NS_PER_MS), ETIMEDOUT, SPILE_ERROR_TIMEOUT,
            "nobody listens");
    free(path);
}
END_TEST

START_TEST(unix_socket_far_away) {
    char path[600], endpoint[700];
    snprintf(path, sizeof(path), "%s", scratch());
    for (int i = 0; i < 4; i++) {
        const size_t size = strlen(path);
        snprintf(path + size, sizeof(path) - size, "/a-directory-with-a-name-of-forty-characters");
        ck_assert_int_eq(mkdir(path, 0700), 0);
    }
    ck_assert_int_eq(chdir(path), 0);
    int listener = listen_unix("socket");
    snprintf(endpoint, sizeof(endpoint), "unix:%s/socket", path);
    spile_talk *talk = talk_with(endpoint, NULL);
    int peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    say(talk, "hello");
    peer_read(peer, "hello\n");
    end_talk(talk);
    close(peer);
    close(listener);
}
END_TEST

START_TEST(tcp_socket) {
    static const char *const hosts[] = {"127.0.0.1", "localhost"};
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    char endpoint[64];
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(listener, (struct sockaddr *)&address, size), 0);
    ck_assert_int_eq(listen(listener, 1), 0);
    ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    snprintf(endpoint, sizeof(endpoint), "tcp:%s:%d", hosts[_i], ntohs(address.sin_port));
    spile_talk *talk = talk_with(endpoint, NULL);
    int peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    say(talk, "hello");
    peer_read(peer, "hello\n");
    peer_write(peer, "world\r\n");
    hear(talk, "world");
    end_talk(talk);
    close(peer);
    close(listener);
    if (_i == 0) /* the thread that looks names up may still hold a descriptor for a moment */
        refused(endpoint, NULL, ECONNREFUSED, SPILE_ERROR_ENDPOINT, "nobody listens");
}
END_TEST

START_TEST(host_that_is_not_there) {
    spile_talk *talk = NULL;
    spile_error *error = NULL;
    ck_assert_int_eq(spile_talk_open("tcp:no-such-host.invalid:7", NULL, &talk, &error), -EHOSTUNREACH);
    check_error(error, SPILE_ERROR_ENDPOINT, "no-such-host.invalid");
    spile_error_free(error);
}
END_TEST

START_TEST(path_that_appears) {
    char *path = strdup(in_scratch("socket"));
    pid_t pid = start("sleep 0.1; exec socat UNIX-LISTEN:\"$1\" EXEC:cat", path, "");
    spile_talk *talk = talk_with(path, TALK_OPTIONS(.wait = true));
    say(talk, "hello");
    hear(talk, "hello");
    end_talk(talk);
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
    free(path);
}
END_TEST

/* ------------------------------------------------------------------------------ terminals */

START_TEST(terminal_is_raw_and_restored) {
    char path[64];
    struct termios before, during, after;
    int master = make_pty(path, sizeof(path)), slave = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
    ck_assert_int_eq(tcgetattr(slave, &before), 0);
    ck_assert(before.c_lflag & ECHO);
    spile_talk *talk = talk_with(path, NULL);
    ck_assert_int_eq(tcgetattr(slave, &during), 0);
    ck_assert(!(during.c_lflag & (ECHO | ICANON)));
    peer_write(master, "error\n"); /* a cooked one would send this back */
    hear(talk, "error");
    say(talk, "ok");
    peer_read(master, "ok\n");
    int waiting = -1;
    ck_assert_int_eq(ioctl(master, FIONREAD, &waiting), 0);
    ck_assert_int_eq(waiting, 0);
    refused(path, NULL, EBUSY, SPILE_ERROR_ENDPOINT, "held by another program");
    spile_talk *other = talk_with(path, TALK_OPTIONS(.unlocked = true, .cooked = true));
    spile_talk_free(other);
    end_talk(talk);
    ck_assert_int_eq(tcgetattr(slave, &after), 0);
    ck_assert_uint_eq(after.c_lflag, before.c_lflag);
    ck_assert_uint_eq(after.c_iflag, before.c_iflag);
    ck_assert_uint_eq(after.c_oflag, before.c_oflag);
    ck_assert_int_eq(flock(slave, LOCK_EX | LOCK_NB), 0);
    close(slave);
    close(master);
}
END_TEST

START_TEST(terminal_settings) {
    char path[64];
    struct termios modes;
    int master = make_pty(path, sizeof(path)), slave = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
    spile_talk *talk = talk_with(path, TALK_OPTIONS(.baud = 9600, .data_bits = 7, .stop_bits = 2,
                                                    .flow = SPILE_TALK_FLOW_SOFTWARE, .no_hangup = true));
    ck_assert_int_eq(tcgetattr(slave, &modes), 0);
    ck_assert_uint_eq(cfgetospeed(&modes), B9600);
    ck_assert(modes.c_cflag & CSTOPB);
    ck_assert(modes.c_iflag & IXON);
    ck_assert(!(modes.c_cflag & HUPCL));
    spile_talk_free(talk);
    refused(path, TALK_OPTIONS(.baud = 12345), EINVAL, SPILE_ERROR_USAGE, "no speed");
    refused(path, TALK_OPTIONS(.data_bits = 9), EINVAL, SPILE_ERROR_USAGE, "data bits");
    close(slave);
    close(master);
}
END_TEST

START_TEST(hang_up_is_the_end) {
    char path[64];
    int master = make_pty(path, sizeof(path));
    spile_talk *talk = talk_with(path, NULL);
    peer_write(master, "last\n");
    hear(talk, "last");
    close(master);
    hear_end(talk);
    ck_assert_int_eq(spile_talk_write_line(talk, "x", LONG_NS, NULL), -EPIPE);
    end_talk(talk);
}
END_TEST

START_TEST(line_too_long_for_line_mode) {
    char *line = malloc(5001), *rest = NULL;
    memset(line, 'x', 5000);
    line[5000] = '\0';
    spile_talk *talk = talk_with("pty: sh -c 'read x; echo ${#x}; stty -icanon; echo ready; read x; echo ${#x}'", NULL);
    spile_error *error = NULL;
    ck_assert_int_eq(spile_talk_write_line(talk, line, LONG_NS, &error), -EMSGSIZE);
    check_error(error, SPILE_ERROR_LIMIT, "line mode");
    spile_error_free(error);
    say(talk, line + 1000); /* as long as it takes */
    hear(talk, "4000");
    hear(talk, "ready");
    rest = line;
    say(talk, rest);
    hear(talk, "5000");
    end_talk(talk);
    free(line);
}
END_TEST

START_TEST(secret_waits_for_the_echo) {
    spile_talk *talk = talk_with("pty: sh -c 'printf Password:; sleep 0.1; stty -echo; read x; stty echo; echo got $x'",
                                 TALK_OPTIONS(.terminal_echo = true));
    const char *text;
    size_t size;
    ck_assert_int_eq(spile_talk_read_until(talk, "word:", LONG_NS, &text, &size, NULL), SPILE_TALK_WHOLE);
    ck_assert_str_eq(text, "Pass");
    ck_assert_int_eq(spile_talk_write_secret(talk, "sesame", LONG_NS, NULL), 0);
    hear(talk, "got sesame");
    end_talk(talk);
}
END_TEST

/* ------------------------------------------------------------------------------ descriptors, wrong kinds */

START_TEST(descriptor_stays_the_callers) {
    int fds[2];
    char endpoint[32];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    snprintf(endpoint, sizeof(endpoint), "fd:%d", fds[0]);
    spile_talk *talk = talk_with(endpoint, NULL);
    ck_assert(!(fcntl(fds[0], F_GETFL) & O_NONBLOCK));
    say(talk, "x");
    peer_read(fds[1], "x\n");
    peer_write(fds[1], "y\n");
    hear(talk, "y");
    end_talk(talk);
    peer_write(fds[0], "still");
    peer_read(fds[1], "still");
    close(fds[0]);
    close(fds[1]);
}
END_TEST

START_TEST(one_way_descriptor) {
    int fds[2];
    char endpoint[32];
    spile_error *error = NULL;
    ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
    snprintf(endpoint, sizeof(endpoint), "fd:%d", fds[0]);
    spile_talk *talk = talk_with(endpoint, NULL);
    peer_write(fds[1], "x\n");
    hear(talk, "x");
    ck_assert_int_eq(spile_talk_write_line(talk, "y", LONG_NS, &error), -EBADF);
    check_error(error, SPILE_ERROR_ENDPOINT, "only be read");
    spile_error_free(error);
    spile_talk_free(talk);
    close(fds[0]);
    close(fds[1]);
}
END_TEST

START_TEST(what_is_refused) {
    static const struct {
        const char *endpoint;
        int number;
        spile_error_kind kind;
        const char *part;
    } cases[] = {
        {"", EINVAL, SPILE_ERROR_ENDPOINT, "names nothing"},
        {"/", ENOTSUP, SPILE_ERROR_ENDPOINT, "is a directory"},
        {"/etc/passwd", ENOTSUP, SPILE_ERROR_ENDPOINT, "regular file"},
        {"/no/such/device", ENOENT, SPILE_ERROR_ENDPOINT, "there is no"},
        {"fifo:a", EINVAL, SPILE_ERROR_ENDPOINT, "fifo:IN,OUT"},
        {"fifo:a,b,c", EINVAL, SPILE_ERROR_ENDPOINT, "more than one comma"},
        {"tcp:host", EINVAL, SPILE_ERROR_ENDPOINT, "tcp:HOST:PORT"},
        {"tcp:::1:23", EINVAL, SPILE_ERROR_ENDPOINT, "brackets"},
        {"tcp:[]:23", EINVAL, SPILE_ERROR_ENDPOINT, "lacks a host"},
        {"unix:@", EINVAL, SPILE_ERROR_ENDPOINT, "names nothing"},
        {"fd:x", EINVAL, SPILE_ERROR_ENDPOINT, "fd:3"},
        {"fd:987654", EBADF, SPILE_ERROR_ENDPOINT, "not open"},
        {"pty:", EINVAL, SPILE_ERROR_ENDPOINT, "lacks its program"},
        {"pipe: a | b", EINVAL, SPILE_ERROR_ENDPOINT, "'|'"},
        {"pipe: a 'b", EINVAL, SPILE_ERROR_ENDPOINT, "not closed"},
        {"pipe: a \"b", EINVAL, SPILE_ERROR_ENDPOINT, "not closed"},
        {"pipe: a \"$b\"", EINVAL, SPILE_ERROR_ENDPOINT, "'$'"},
        {"pipe: a \\", EINVAL, SPILE_ERROR_ENDPOINT, "quotes nothing"},
        {"pipe: no-such-program-anywhere", ENOENT, SPILE_ERROR_NOT_FOUND, "not found"},
        {"pipe: /etc/passwd", EACCES, SPILE_ERROR_NOT_EXECUTABLE, "can't be started"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        refused(cases[i].endpoint, NULL, cases[i].number, cases[i].kind, cases[i].part);
    refused("pipe: cat", TALK_OPTIONS(.encoding = "no-such"), EINVAL, SPILE_ERROR_USAGE, "iconv -l");
    refused("pipe: cat", TALK_OPTIONS(.encoding = "UTF-16"), ENOTSUP, SPILE_ERROR_USAGE, "UTF-16LE");
    refused("pipe: cat", TALK_OPTIONS(.argv = (const char *const[]){"cat", NULL}), EINVAL, SPILE_ERROR_ENDPOINT,
            "words");
    ck_assert_int_eq(spile_talk_open(NULL, NULL, &(spile_talk *){NULL}, NULL), -EINVAL);
    ck_assert_int_eq(spile_talk_open("pipe: cat", &(spile_talk_options){.size = 1}, &(spile_talk *){NULL}, NULL),
                     -EINVAL);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("talk");
    TCase *group = tcase_create("endpoints");
    ADD(group, program_on_pipes, program_on_a_terminal, terminal_echo_and_size, words_of_a_program,
        last_words_and_status, program_that_stays_is_killed, calculator, fifo_pair_without_service, reader_that_goes,
        unix_socket_far_away, host_that_is_not_there, path_that_appears, descriptor_stays_the_callers,
        one_way_descriptor, what_is_refused);
    tcase_add_loop_test(group, fifo_pair, 0, (int)ARRAY_SIZE(services));
    tcase_add_loop_test(group, unix_socket, 0, 2);
    tcase_add_loop_test(group, tcp_socket, 0, 2);
    suite_add_tcase(suite, group);
    group = tcase_create("terminals");
    ADD(group, terminal_is_raw_and_restored, terminal_settings, hang_up_is_the_end, line_too_long_for_line_mode,
        secret_waits_for_the_echo);
    suite_add_tcase(suite, group);
    return support_run(suite);
}
