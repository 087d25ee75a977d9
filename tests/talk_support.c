/* See talk_support.h. */
#include "talk_support.h"

#include <sys/ioctl.h>
#include <sys/un.h>
#include <termios.h>

spile_talk *talk_with(const char *endpoint, const spile_talk_options *options) {
    spile_talk *talk = NULL;
    spile_error *error = NULL;
    int result = spile_talk_open(endpoint, options, &talk, &error);
    ck_assert_msg(result >= 0, "'%s': %d, %s", endpoint, result, error ? spile_error_get_message(error) : "no error");
    ck_assert_ptr_null(error);
    return talk;
}

void refused(const char *endpoint, const spile_talk_options *options, int number, spile_error_kind kind,
             const char *part) {
    spile_talk *talk = NULL;
    spile_error *error = NULL;
    size_t fds = open_fds();
    int result = spile_talk_open(endpoint, options, &talk, &error);
    ck_assert_msg(result == -number, "'%s' gave %d, expected %d: %s", endpoint, result, -number,
                  error ? spile_error_get_message(error) : "no error");
    ck_assert_ptr_null(talk);
    check_error(error, kind, part);
    spile_error_free(error);
    ck_assert_uint_eq(open_fds(), fds);
}

void say(spile_talk *talk, const char *line) {
    spile_error *error = NULL;
    int result = spile_talk_write_line(talk, line, LONG_NS, &error);
    ck_assert_msg(result == 0, "write: %d, %s", result, error ? spile_error_get_message(error) : "");
}

void hear_bytes(spile_talk *talk, int code, const void *data, size_t size) {
    const char *text = NULL;
    size_t got = 0;
    spile_error *error = NULL;
    int result = spile_talk_read_line(talk, LONG_NS, &text, &got, &error);
    ck_assert_msg(result == code, "read_line: %d instead of %d, %s", result, code,
                  error  ? spile_error_get_message(error)
                  : text ? text
                         : "");
    ck_assert_msg(got == size && memcmp(text, data, size) == 0, "heard '%s' (%zu) instead of '%s' (%zu)", text, got,
                  (const char *)data, size);
    ck_assert_int_eq(text[got], '\0');
}

void hear_code(spile_talk *talk, int code, const char *line) {
    hear_bytes(talk, code, line, strlen(line));
}

void hear(spile_talk *talk, const char *line) {
    hear_code(talk, SPILE_TALK_WHOLE, line);
}

void hear_end(spile_talk *talk) {
    hear_code(talk, SPILE_TALK_NOTHING, "");
}

void check_reply(spile_talk *talk, const char *line, const spile_ask_options *options, const char *text) {
    spile_reply reply = {.size = sizeof(reply)};
    spile_error *error = NULL;
    int result = spile_talk_ask(talk, line, options, &reply, &error);
    ck_assert_msg(result == 0, "asked '%s': %d, %s; came '%s'", line, result,
                  error ? spile_error_get_message(error) : "", reply.text ? reply.text : "");
    ck_assert_str_eq(reply.text, text);
    ck_assert_uint_eq(reply.text_size, strlen(text));
    spile_reply_done(&reply);
}

void check_no_reply(spile_talk *talk, const char *line, const spile_ask_options *options, int number,
                    spile_error_kind kind, const char *part, const char *text) {
    spile_reply reply = {.size = sizeof(reply)};
    spile_error *error = NULL;
    int result = spile_talk_ask(talk, line, options, &reply, &error);
    ck_assert_msg(result == -number, "asked '%s': %d, %s", line, result, error ? spile_error_get_message(error) : "");
    check_error(error, kind, part);
    if (text)
        ck_assert_str_eq(reply.text, text);
    spile_error_free(error);
    spile_reply_done(&reply);
}

void end_talk(spile_talk *talk) {
    spile_error *error = NULL;
    int result = spile_talk_close(talk, LONG_NS, &error);
    ck_assert_msg(result == 0, "close: %d, %s", result, error ? spile_error_get_message(error) : "");
    ck_assert_ptr_null(spile_talk_free(talk));
}

spile_talk_info talk_info(const spile_talk *talk) {
    spile_talk_info info = {.size = sizeof(info)};
    ck_assert_int_eq(spile_talk_get_info(talk, &info), 0);
    return info;
}

spile_talk *talk_with_socket(const spile_talk_options *options, int *ret_peer) {
    int fds[2];
    char endpoint[32];
    spile_talk_options taking = *options;
    taking.take_fd = true;
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    snprintf(endpoint, sizeof(endpoint), "fd:%d", fds[0]);
    *ret_peer = fds[1];
    return talk_with(endpoint, &taking);
}

void peer_write(int fd, const char *text) {
    ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

void peer_read(int fd, const char *text) {
    char got[4096] = "";
    size_t size = 0, wanted = strlen(text);
    while (size < wanted) {
        ssize_t count = read(fd, got + size, wanted - size);
        ck_assert_msg(count > 0, "the peer got '%s' instead of '%s'", got, text);
        size += (size_t)count;
        got[size] = '\0';
    }
    ck_assert_str_eq(got, text);
}

int make_pty(char *ret_path, size_t size) {
    int unlock = 0, master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
    ck_assert_int_ge(master, 0);
    ck_assert_int_eq(ioctl(master, TIOCSPTLCK, &unlock), 0);
    ck_assert_int_eq(ptsname_r(master, ret_path, size), 0);
    return master;
}

int listen_at(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)unlink(path);
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    ck_assert_int_eq(listen(fd, 1), 0);
    return fd;
}

spile_patterns *patterns_of(const spile_pattern *items, size_t count, const spile_patterns_options *options) {
    spile_patterns *patterns = NULL;
    spile_error *error = NULL;
    int result = spile_patterns_new(items, count, options, &patterns, &error);
    ck_assert_msg(result == 0, "%d, %s", result, error ? spile_error_get_message(error) : "no error");
    return patterns;
}

spile_match expect_with(spile_talk *talk, const spile_patterns *patterns, const spile_expect_options *options,
                        int index) {
    spile_match match = {.size = sizeof(match)};
    spile_error *error = NULL;
    int result = spile_talk_expect(talk, patterns, options, LONG_NS, &match, &error);
    ck_assert_msg(result == index, "%d instead of %d, %s", result, index, error ? spile_error_get_message(error) : "");
    return match;
}

static uint32_t random_state = 1;

void random_begin(uint32_t seed) {
    random_state = seed;
}

uint32_t random_below(uint32_t limit) {
    random_state = random_state * 1664525u + 1013904223u;
    return (uint32_t)(((uint64_t)random_state * limit) >> 32);
}
