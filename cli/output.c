/* What the command itself writes: checked, so that a full disk is an error and a reader that left is quiet. */
#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

static bool was_closed[3];

void standard_streams_check(void) {
    for (int fd = 0; fd < 3; fd++) {
        if (fcntl(fd, F_GETFD) >= 0)
            continue;
        was_closed[fd] = true;
        /* The lowest free number is fd itself, as those below are open by now. */
        if (open("/dev/null", fd == 0 ? O_RDONLY : O_WRONLY) < 0)
            _exit(EXIT_OWN_ERROR);
    }
}

bool standard_stream_was_closed(int fd) {
    return fd >= 0 && fd < 3 && was_closed[fd];
}

int write_all(int fd, const char *data, size_t size) {
    while (size > 0) {
        ssize_t written = write(fd, data, size);
        if (written < 0 && errno == EAGAIN) { /* a terminal or pipe that some other process made nonblocking */
            struct pollfd poll_fd = {.fd = fd, .events = POLLOUT};
            poll(&poll_fd, 1, -1);
            continue;
        }
        if (written < 0 && errno != EINTR)
            return -errno;
        if (written > 0) {
            data += written;
            size -= (size_t)written;
        }
    }
    return 0;
}

int out_write(const char *data, size_t size) {
    int result = was_closed[1] ? -EBADF : write_all(1, data, size);
    if (result == -EPIPE)
        return EXIT_BY_SIGNAL + SIGPIPE;
    if (result < 0) {
        complain("standard output can't be written: %s", strerror(-result));
        return EXIT_OWN_ERROR;
    }
    return 0;
}

void complain(const char *format, ...) {
    struct builder text = {0};
    va_list arguments;
    va_start(arguments, format);
    builder_printf(&text, "spile: %s\n", allocate_format_of(format, arguments));
    va_end(arguments);
    write_all(2, text.data, text.size); /* nobody is left to be told of a failure */
}
