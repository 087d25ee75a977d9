/* How an endpoint is reached: see talk.h.
 *
 * An attempt that fails for a reason that time can heal (nothing there yet, nobody who listens or reads) is made again
 * with growing pauses, where the caller said so, or where a service at a FIFO is merely about to open it. */
#include "talk/connect.h"

#include <sys/sysmacros.h>

enum { RETRY_FIRST_MS = 1, RETRY_MAX_MS = 20, AGAIN_MAX_MS = 250, FIFO_GRACE_MS = 1000, OPEN_S = 10 };

#define REFUSE(number, ...) error_set(ret_error, SPILE_ERROR_ENDPOINT, number, __VA_ARGS__)

/* ------------------------------------------------------------------------------ paths */

static int refuse_kind(const char *path, mode_t mode, spile_error **ret_error) {
    if (S_ISFIFO(mode))
        return REFUSE(
            ENOTSUP,
            "'%s' is one FIFO, and who both reads and writes it reads back his own text: a conversation takes "
            "two, fifo:IN,OUT",
            path);
    if (S_ISDIR(mode))
        return REFUSE(ENOTSUP, "'%s' is a directory: name the device in it", path);
    if (S_ISREG(mode))
        return REFUSE(ENOTSUP,
                      "'%s' is a regular file, which answers nothing: open it as a file; or, if it is a program, write "
                      "'pty: %s'",
                      path, path);
    return REFUSE(ENOTSUP, "'%s' is a block device, which holds no conversation: open it as a file", path);
}

static int refuse_open(const char *path, int result, spile_error **ret_error) {
    if (result == -EACCES)
        return REFUSE(EACCES, "'%s' may not be opened: you may lack its group (ls -l shows it)", path);
    if (result == -EBUSY)
        return REFUSE(EBUSY, "'%s' is held by another program for itself alone: end that one (fuser shows it)", path);
    return REFUSE(-result, "'%s' can't be opened: %s", path, strerror(-result));
}

/* Opens a device for both directions, or for the one that is allowed. */
static int open_device(const char *path, int *ret_mode) {
    static const int modes[] = {O_RDWR, O_RDONLY, O_WRONLY};
    int result = -EACCES;
    for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
        *ret_mode = modes[i];
        int fd = sys_openat(AT_FDCWD, path, modes[i] | O_NONBLOCK | O_NOCTTY, 0);
        if (fd != -EACCES && fd != -EROFS)
            return fd;
        if (i == 0)
            result = fd;
    }
    return result;
}

/* The channel of one descriptor, which it takes. */
static void set_channel(struct talk_channel *channel, int fd, int mode, bool is_socket) {
    *channel = (struct talk_channel){.in_fd = mode == O_WRONLY ? -1 : fd,
                                     .out_fd = mode == O_RDONLY ? -1 : fd,
                                     .in_is_socket = is_socket,
                                     .out_is_socket = is_socket};
}

static int open_terminal(spile_talk *talk, int fd, const spile_talk_options *options, spile_error **ret_error) {
    if (!isatty(fd))
        return 0;
    talk->channel.is_terminal = true;
    return tty_open(&talk->tty, fd, talk->endpoint.text, options, ret_error);
}

static int reach_path(struct talk_connect *connect, spile_error **ret_error) {
    spile_talk *talk = connect->talk;
    const char *path = talk->endpoint.name;
    struct stat status;
    int mode, result = sys_fstatat(AT_FDCWD, path, &status, 0);
    if (result == -ENOENT)
        return REFUSE(ENOENT, "there is no '%s'", path);
    if (result < 0)
        return refuse_open(path, result, ret_error);
    if (S_ISSOCK(status.st_mode))
        return socket_connect_unix(connect, path, ret_error);
    if (!S_ISCHR(status.st_mode))
        return refuse_kind(path, status.st_mode, ret_error);
    AUTO_FD fd = open_device(path, &mode);
    if (fd < 0)
        return refuse_open(path, fd, ret_error);
    result = sys_fstat(fd, &status);
    if (result >= 0 && !S_ISCHR(status.st_mode))
        result = -ENXIO; /* another file by now */
    if (result < 0)
        return refuse_open(path, result, ret_error);
    set_channel(&talk->channel, fd, mode, false);
    result = open_terminal(talk, fd, &talk->options, ret_error);
    if (result < 0) {
        set_channel(&talk->channel, -1, O_RDWR, false);
        return result;
    }
    (void)TAKE_FD(fd);
    return 1;
}

/* ------------------------------------------------------------------------------ FIFOs */

static int check_fifo(const char *path, spile_error **ret_error) {
    struct stat status;
    int result = sys_fstatat(AT_FDCWD, path, &status, 0);
    if (result == -ENOENT)
        return REFUSE(ENOENT, "there is no '%s'", path);
    if (result < 0)
        return refuse_open(path, result, ret_error);
    if (!S_ISFIFO(status.st_mode))
        return REFUSE(ENOTSUP, "'%s' is no FIFO: name a device or a socket by its path alone", path);
    return 0;
}

/* The end that reads releases a service that waits to write; then the other end can be had once the service reads. */
static int reach_fifos(struct talk_connect *connect, spile_error **ret_error) {
    spile_talk *talk = connect->talk;
    const char *in = talk->endpoint.name, *out = talk->endpoint.other;
    struct stat in_status, out_status;
    int result = check_fifo(in, ret_error);
    if (result >= 0)
        result = check_fifo(out, ret_error);
    if (result < 0)
        return result;
    if (sys_fstatat(AT_FDCWD, in, &in_status, 0) >= 0 && sys_fstatat(AT_FDCWD, out, &out_status, 0) >= 0 &&
        in_status.st_dev == out_status.st_dev && in_status.st_ino == out_status.st_ino)
        return REFUSE(ENOTSUP, "'%s' and '%s' are the same FIFO: what is written would be read back", in, out);
    if (connect->fifo_fd < 0)
        connect->fifo_fd = sys_openat(AT_FDCWD, in, O_RDONLY | O_NONBLOCK, 0);
    if (connect->fifo_fd < 0)
        return refuse_open(in, connect->fifo_fd, ret_error);
    int fd = sys_openat(AT_FDCWD, out, O_WRONLY | O_NONBLOCK, 0);
    if (fd == -ENXIO)
        return REFUSE(ENXIO, "nobody reads '%s': start the service, or wait for it", out);
    if (fd < 0)
        return refuse_open(out, fd, ret_error);
    talk->channel = (struct talk_channel){.in_fd = TAKE_FD(connect->fifo_fd), .out_fd = fd, .out_is_pipe = true};
    return 1;
}

/* ------------------------------------------------------------------------------ descriptors */

static int refuse_fd(int fd, int result, spile_error **ret_error) {
    if (result == -EBADF)
        return REFUSE(EBADF, "descriptor %d is not open", fd);
    return REFUSE(-result, "descriptor %d can't be used: %s", fd, strerror(-result));
}

/* A descriptor of our own on what is open as `fd`, whose flags are not touched: a new description where one can be had.
 */
static int own_fd(const spile_talk *talk, int fd, const struct stat *status, int mode, spile_error **ret_error) {
    if (talk->options.take_fd && talk->endpoint.kind == ENDPOINT_FD) {
        int flags = sys_fcntl(fd, F_GETFL, 0);
        int result = flags < 0 ? flags : sys_fcntl(fd, F_SETFL, flags | O_NONBLOCK);
        if (result >= 0)
            result = sys_fcntl(fd, F_SETFD, FD_CLOEXEC);
        return result < 0 ? refuse_fd(fd, result, ret_error) : fd;
    }
    bool is_master = S_ISCHR(status->st_mode) && major(status->st_rdev) == 5 && minor(status->st_rdev) == 2;
    int own = is_master                   ? -ENOTSUP
              : S_ISSOCK(status->st_mode) ? sys_dup_cloexec(fd, 3)
                                          : fd_reopen_nonblocking(fd, mode);
    if (own == -ENOTSUP)
        return REFUSE(
            ENOTSUP,
            "descriptor %d is the master of a terminal, which can't be shared with its owner: give it to the talk "
            "(take_fd)",
            fd);
    return own < 0 ? refuse_fd(fd, own, ret_error) : own;
}

static bool is_stream(int fd) {
    int type = SOCK_STREAM;
    socklen_t size = sizeof(type);
    return sys_getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0 || type == SOCK_STREAM;
}

/* One descriptor for the directions it has. */
static int adopt(spile_talk *talk, int fd, struct talk_channel *channel, spile_error **ret_error) {
    struct stat status;
    int result = sys_fstat(fd, &status);
    int flags = result < 0 ? result : sys_fcntl(fd, F_GETFL, 0);
    if (flags < 0)
        return refuse_fd(fd, flags, ret_error);
    if (S_ISREG(status.st_mode) || S_ISDIR(status.st_mode) || S_ISBLK(status.st_mode))
        return REFUSE(ENOTSUP, "descriptor %d is open on a %s, which holds no conversation", fd,
                      S_ISREG(status.st_mode)   ? "regular file"
                      : S_ISDIR(status.st_mode) ? "directory"
                                                : "block device");
    if (S_ISFIFO(status.st_mode) && (flags & O_ACCMODE) == O_RDWR)
        return REFUSE(ENOTSUP, "descriptor %d both reads and writes one FIFO, and would read back its own text", fd);
    int own = own_fd(talk, fd, &status, flags & O_ACCMODE, ret_error);
    if (own < 0)
        return own;
    set_channel(channel, own, flags & O_ACCMODE, S_ISSOCK(status.st_mode));
    channel->out_is_pipe = S_ISFIFO(status.st_mode);
    channel->is_packets = S_ISSOCK(status.st_mode) && !is_stream(own);
    return 1;
}

static int reach_fd(spile_talk *talk, spile_error **ret_error) {
    int result = adopt(talk, talk->endpoint.fd, &talk->channel, ret_error);
    if (result > 0 &&
        open_terminal(talk, MAX(talk->channel.in_fd, talk->channel.out_fd), &talk->options, ret_error) < 0) {
        fd_close(MAX(talk->channel.in_fd, talk->channel.out_fd));
        set_channel(&talk->channel, -1, O_RDWR, false);
        return -EBUSY;
    }
    return result;
}

static int reach_stdio(spile_talk *talk, spile_error **ret_error) {
    struct talk_channel in = {.in_fd = -1, .out_fd = -1}, out = in;
    int result = adopt(talk, 0, &in, ret_error);
    if (result >= 0)
        result = adopt(talk, 1, &out, ret_error);
    if (result >= 0 && (in.in_fd < 0 || out.out_fd < 0))
        result = REFUSE(EBADF, "standard %s", in.in_fd < 0 ? "input can't be read" : "output can't be written");
    if (result < 0) {
        fd_close(MAX(in.in_fd, in.out_fd));
        fd_close(MAX(out.in_fd, out.out_fd));
        return result;
    }
    talk->channel = (struct talk_channel){.in_fd = in.in_fd,
                                          .out_fd = out.out_fd,
                                          .in_is_socket = in.in_is_socket,
                                          .out_is_socket = out.out_is_socket,
                                          .out_is_pipe = out.out_is_pipe,
                                          .is_packets = in.is_packets,
                                          .is_terminal = isatty(0)};
    return 1;
}

/* ------------------------------------------------------------------------------ attempts */

static int reach(struct talk_connect *connect, spile_error **ret_error) {
    spile_talk *talk = connect->talk;
    switch (talk->endpoint.kind) {
    case ENDPOINT_PATH:
        return reach_path(connect, ret_error);
    case ENDPOINT_FIFO:
        return reach_fifos(connect, ret_error);
    case ENDPOINT_UNIX:
        return socket_connect_unix(connect, talk->endpoint.name, ret_error);
    case ENDPOINT_TCP:
        return socket_connect_tcp(connect, ret_error);
    case ENDPOINT_PTY:
    case ENDPOINT_PIPE:
        return child_start(talk, ret_error);
    case ENDPOINT_FD:
        return reach_fd(talk, ret_error);
    case ENDPOINT_STDIO:
        break;
    }
    return reach_stdio(talk, ret_error);
}

static bool is_worth_waiting(const struct talk_connect *connect, int result) {
    const spile_talk *talk = connect->talk;
    if (talk->losses > 0 && result != -ENOMEM)
        return true;
    if (result == -EAGAIN || (result == -ENXIO && talk->endpoint.kind == ENDPOINT_FIFO))
        return true;
    return talk->options.wait &&
           (result == -ENOENT || result == -ECONNREFUSED || result == -EBUSY || result == -ENXIO ||
            result == -EHOSTUNREACH || result == -ENETUNREACH || result == -ENODEV);
}

static void attempt(struct loop_timer *timer) {
    struct talk_connect *connect = CONTAINER_OF(timer, struct talk_connect, retry);
    spile_error *error = NULL;
    int result = reach(connect, &error);
    if (result != 0)
        connect_done(connect, result, error);
}

static int fail(struct talk_connect *connect, int result, spile_error *error) {
    spile_talk *talk = connect->talk;
    if (!error)
        error = error_with(
            error_new(SPILE_ERROR_SYSTEM, "'%s' can't be opened: %s", talk->endpoint.text, strerror(-result)), -result,
            -1, -1);
    connect_stop(talk);
    talk_fail(talk, error);
    return result;
}

/* The time has come, `last` says what was waited for. */
static int fail_late(struct talk_connect *connect) {
    spile_error *error =
        connect->last ? error_new(SPILE_ERROR_TIMEOUT, "%s (waited for as long as was allowed)", connect->last->message)
                      : error_new(SPILE_ERROR_TIMEOUT, "'%s' did not open in time", connect->talk->endpoint.text);
    return fail(connect, -ETIMEDOUT, error_with(error, ETIMEDOUT, -1, -1));
}

/* Without telling: for the first attempt, too. */
static int settle(struct talk_connect *connect, int result, spile_error *error) {
    spile_talk *talk = connect->talk;
    if (result > 0) {
        connect_stop(talk);
        return talk_opened(talk);
    }
    if (!is_worth_waiting(connect, result))
        return fail(connect, result, error);
    spile_error_free(connect->last);
    connect->last = error;
    if (time_now_ns() >= connect->until_ns)
        return fail_late(connect);
    loop_timer_set(talk->loop, &connect->retry, time_now_ns() + connect->retry_ns, attempt);
    const uint64_t most_ms = talk->losses > 0 ? AGAIN_MAX_MS : RETRY_MAX_MS;
    connect->retry_ns = MIN(connect->retry_ns * 2, most_ms * NS_PER_MS);
    return 0;
}

void connect_done(struct talk_connect *connect, int result, spile_error *error) {
    spile_talk *talk = connect->talk;
    (void)settle(connect, result, error);
    ask_arrived(talk);
    expect_arrived(talk);
    channel_tell(talk);
}

static void deadline(struct loop_timer *timer) {
    struct talk_connect *connect = CONTAINER_OF(timer, struct talk_connect, deadline);
    spile_talk *talk = connect->talk;
    (void)fail_late(connect);
    ask_arrived(talk);
    expect_arrived(talk);
    channel_tell(talk);
}

static struct talk_connect *make(spile_talk *talk, uint64_t open_ns) {
    struct talk_connect *connect = memory_zero(1, sizeof(*connect));
    if (!connect)
        return NULL;
    *connect = (struct talk_connect){.talk = talk,
                                     .until_ns = time_add_ns(time_now_ns(), open_ns),
                                     .retry_ns = RETRY_FIRST_MS * NS_PER_MS,
                                     .fifo_fd = -1,
                                     .socket_fd = -1};
    talk->connect = connect;
    return connect;
}

int connect_start(spile_talk *talk) {
    uint64_t open_ns = talk->options.open_ns ? talk->options.open_ns : OPEN_S * NS_PER_SECOND;
    if (talk->endpoint.kind == ENDPOINT_FIFO && !talk->options.wait)
        open_ns = MIN(open_ns, FIFO_GRACE_MS * NS_PER_MS);
    struct talk_connect *connect = make(talk, open_ns);
    if (!connect)
        return -ENOMEM;
    spile_error *error = NULL;
    int result = reach(connect, &error);
    if (result != 0)
        result = settle(connect, result, error);
    if (talk->connect)
        loop_timer_set(talk->loop, &talk->connect->deadline, talk->connect->until_ns, deadline);
    return result;
}

int connect_again(spile_talk *talk, uint64_t pause_ns) {
    struct talk_connect *connect = make(talk, NS_FOREVER);
    if (!connect)
        return -ENOMEM;
    loop_timer_set(talk->loop, &connect->retry, time_now_ns() + pause_ns, attempt);
    return 0;
}

const spile_error *connect_last(const spile_talk *talk) {
    return talk->connect ? talk->connect->last : NULL;
}

void connect_stop(spile_talk *talk) {
    struct talk_connect *connect = TAKE_POINTER(talk->connect);
    if (!connect)
        return;
    loop_timer_clear(&connect->retry);
    loop_timer_clear(&connect->deadline);
    socket_stop(connect);
    fd_close(connect->fifo_fd);
    spile_error_free(connect->last);
    free(connect);
}
