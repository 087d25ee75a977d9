/* Terminals: see tty.h. They are raw before the first byte goes out, for a cooked one sends a device its own lines
 * back. */
#include "talk/tty.h"

#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>

enum { PTS_FIRST_MAJOR = 136, PTS_LAST_MAJOR = 143 };

/* Bytes as they are, one at a time. */
static void make_raw(struct termios *modes) {
    cfmakeraw(modes);
    modes->c_cc[VMIN] = 1;
    modes->c_cc[VTIME] = 0;
}

static bool is_pseudoterminal(int fd) {
    struct stat status;
    if (sys_fstat(fd, &status) < 0)
        return false;
    unsigned number = major(status.st_rdev);
    return number >= PTS_FIRST_MAJOR && number <= PTS_LAST_MAJOR;
}

/* ------------------------------------------------------------------------------ settings */

static bool find_speed(unsigned baud, speed_t *ret_speed) {
    static const struct {
        unsigned baud;
        speed_t speed;
    } speeds[] = {
        {50, B50},           {75, B75},           {110, B110},         {134, B134},         {150, B150},
        {200, B200},         {300, B300},         {600, B600},         {1200, B1200},       {1800, B1800},
        {2400, B2400},       {4800, B4800},       {9600, B9600},       {19200, B19200},     {38400, B38400},
        {57600, B57600},     {115200, B115200},   {230400, B230400},   {460800, B460800},   {500000, B500000},
        {576000, B576000},   {921600, B921600},   {1000000, B1000000}, {1152000, B1152000}, {1500000, B1500000},
        {2000000, B2000000}, {2500000, B2500000}, {3000000, B3000000}, {3500000, B3500000}, {4000000, B4000000},
    };
    for (size_t i = 0; i < ARRAY_SIZE(speeds); i++)
        if (speeds[i].baud == baud) {
            *ret_speed = speeds[i].speed;
            return true;
        }
    return false;
}

static int set_frame(struct termios *modes, const spile_talk_options *options) {
    static const tcflag_t sizes[] = {[5] = CS5, [6] = CS6, [7] = CS7, [8] = CS8};
    if (options->data_bits) {
        if (options->data_bits < 5 || options->data_bits > 8)
            return -EINVAL;
        modes->c_cflag = (modes->c_cflag & ~(tcflag_t)CSIZE) | sizes[options->data_bits];
    }
    if (options->stop_bits > 2)
        return -EINVAL;
    if (options->stop_bits)
        modes->c_cflag = options->stop_bits == 2 ? modes->c_cflag | CSTOPB : modes->c_cflag & ~(tcflag_t)CSTOPB;
    switch (options->parity) {
    case SPILE_TALK_PARITY_KEEP:
        break;
    case SPILE_TALK_PARITY_NONE:
        modes->c_cflag &= ~(tcflag_t)(PARENB | PARODD);
        break;
    case SPILE_TALK_PARITY_EVEN:
        modes->c_cflag = (modes->c_cflag & ~(tcflag_t)PARODD) | PARENB;
        break;
    case SPILE_TALK_PARITY_ODD:
        modes->c_cflag |= PARENB | PARODD;
        break;
    }
    return 0;
}

static void set_flow(struct termios *modes, spile_talk_flow flow) {
    if (flow == SPILE_TALK_FLOW_KEEP)
        return;
    modes->c_cflag &= ~(tcflag_t)CRTSCTS;
    modes->c_iflag &= ~(tcflag_t)(IXON | IXOFF);
    if (flow == SPILE_TALK_FLOW_HARDWARE)
        modes->c_cflag |= CRTSCTS;
    if (flow == SPILE_TALK_FLOW_SOFTWARE)
        modes->c_iflag |= IXON | IXOFF;
}

static int set_modes(struct tty *tty, const char *name, const spile_talk_options *options, spile_error **ret_error) {
    struct termios modes = tty->saved, got;
    speed_t speed = B0;
    if (!options->cooked)
        make_raw(&modes);
    if (tty->is_port)
        modes.c_cflag |= CLOCAL | CREAD; /* without, a line that is not there holds up everything */
    if (options->no_hangup)
        modes.c_cflag &= ~(tcflag_t)HUPCL;
    int result = set_frame(&modes, options);
    if (result < 0)
        return error_set(ret_error, SPILE_ERROR_USAGE, EINVAL, "a port has 5 to 8 data bits and 1 or 2 stop bits");
    set_flow(&modes, options->flow);
    if (options->baud) {
        if (!find_speed(options->baud, &speed))
            return error_set(ret_error, SPILE_ERROR_USAGE, EINVAL, "%u is no speed that a port has: 9600, 115200, ...",
                             options->baud);
        (void)cfsetispeed(&modes, speed);
        (void)cfsetospeed(&modes, speed);
    }
    result = sys_tcsetattr(tty->fd, &modes);
    if (result < 0)
        return error_set(ret_error, SPILE_ERROR_ENDPOINT, -result, "'%s' can't be set up: %s", name, strerror(-result));
    tty->is_changed = true;
    /* A driver takes what it can and reports success. */
    if (options->baud && sys_tcgetattr(tty->fd, &got) >= 0 && cfgetospeed(&got) != speed)
        return error_set(ret_error, SPILE_ERROR_ENDPOINT, EINVAL, "'%s' does not take %u baud", name, options->baud);
    return 0;
}

static void set_line(int fd, spile_talk_switch wanted, int line) {
    if (wanted != SPILE_TALK_LEAVE)
        (void)sys_ioctl(fd, wanted == SPILE_TALK_ON ? TIOCMBIS : TIOCMBIC, &line);
}

/* ------------------------------------------------------------------------------ locks */

static int lock(struct tty *tty, const char *name, spile_error **ret_error) {
    int result = sys_flock(tty->fd, LOCK_EX | LOCK_NB);
    if (result == -EWOULDBLOCK)
        return error_set(ret_error, SPILE_ERROR_ENDPOINT, EBUSY,
                         "'%s' is held by another program: end that one (fuser shows it), or talk without the lock",
                         name);
    tty->is_locked = result >= 0;
    /* A pseudoterminal would stay exclusive for as long as its other side lives, also after we were killed. */
    if (tty->is_port)
        tty->is_exclusive = sys_ioctl(tty->fd, TIOCEXCL, NULL) >= 0;
    return 0;
}

void tty_close(struct tty *tty) {
    if (tty->fd < 0)
        return;
    if (tty->is_changed)
        (void)sys_tcsetattr(tty->fd, &tty->saved);
    if (tty->is_exclusive)
        (void)sys_ioctl(tty->fd, TIOCNXCL, NULL);
    if (tty->is_locked)
        (void)sys_flock(tty->fd, LOCK_UN);
    *tty = (struct tty){.fd = -1};
}

int tty_open(struct tty *tty, int fd, const char *name, const spile_talk_options *options, spile_error **ret_error) {
    *tty = (struct tty){.fd = fd, .is_port = !is_pseudoterminal(fd)};
    int result = options->unlocked ? 0 : lock(tty, name, ret_error);
    if (result >= 0) {
        result = sys_tcgetattr(fd, &tty->saved);
        if (result < 0)
            error_set(ret_error, SPILE_ERROR_ENDPOINT, -result, "'%s' does not tell its modes: %s", name,
                      strerror(-result));
    }
    if (result >= 0)
        result = set_modes(tty, name, options, ret_error);
    if (result < 0) {
        tty_close(tty);
        return result;
    }
    set_line(fd, options->dtr, TIOCM_DTR);
    set_line(fd, options->rts, TIOCM_RTS);
    return 0;
}
