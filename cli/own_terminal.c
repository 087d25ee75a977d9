/* The terminal we are run from: see own_terminal.h. */
#include "own_terminal.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

bool own_terminal_is_there(void) {
    return isatty(0) && isatty(1);
}

bool own_terminal_size(unsigned *ret_columns, unsigned *ret_rows) {
    struct winsize size;
    if (ioctl(1, TIOCGWINSZ, &size) < 0 || size.ws_col == 0 || size.ws_row == 0)
        return false;
    *ret_columns = size.ws_col;
    *ret_rows = size.ws_row;
    return true;
}

static bool are_equal(const struct termios *one, const struct termios *other) {
    return one->c_iflag == other->c_iflag && one->c_oflag == other->c_oflag && one->c_lflag == other->c_lflag;
}

/* In the guard: a byte says that all is well, an end without one that we are dead. Which modes are ours is told, for
 * the line editor has its own. A session of its own keeps signals of the terminal away, and lets it be set. */
static _Noreturn void keep_guard(int told_fd, const struct termios *before) {
    struct termios told[2] = {*before, *before}, now;
    (void)setsid();
    (void)dup2(told_fd, 3);
    (void)syscall(SYS_close_range, 4u, ~0u, 0u);
    (void)close(1);
    (void)close(2);
    (void)prctl(PR_SET_NAME, "spile-guard");
    for (;;) {
        struct termios next;
        ssize_t size = read(3, &next, sizeof(next));
        if (size == (ssize_t)sizeof(next)) {
            told[0] = told[1];
            told[1] = next;
        } else if (size > 0)
            _exit(0);
        else if (size == 0 || errno != EINTR)
            break;
    }
    if (tcgetattr(0, &now) == 0 && (are_equal(&now, &told[0]) || are_equal(&now, &told[1])) && !are_equal(&now, before))
        (void)tcsetattr(0, TCSADRAIN, before);
    _exit(0);
}

static void start_guard(struct own_terminal *terminal) {
    int ends[2];
    sigset_t all, old;
    terminal->guard_fd = -1;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &old);
    terminal->guard = fork();
    if (terminal->guard == 0)
        keep_guard(ends[0], &terminal->before); /* every signal stays blocked */
    sigprocmask(SIG_SETMASK, &old, NULL);
    (void)close(ends[0]);
    if (terminal->guard < 0)
        (void)close(ends[1]);
    else
        terminal->guard_fd = ends[1];
}

/* A guard that was killed is no reason to end. */
static void tell_guard(const struct own_terminal *terminal, const void *data, size_t size) {
    if (terminal->guard_fd >= 0)
        (void)send(terminal->guard_fd, data, size, MSG_NOSIGNAL);
}

int own_terminal_begin(struct own_terminal *terminal, bool is_raw) {
    *terminal = (struct own_terminal){.guard_fd = -1};
    if (tcgetattr(0, &terminal->before) < 0)
        return -errno;
    terminal->ours = terminal->before;
    if (is_raw) {
        cfmakeraw(&terminal->ours);
    } else {
        terminal->ours.c_lflag &= ~(tcflag_t)(ICANON | ECHO | ISIG | IEXTEN);
        terminal->ours.c_iflag &= ~(tcflag_t)(IXON | IXOFF);
        terminal->ours.c_oflag |= OPOST | ONLCR;
    }
    terminal->ours.c_cc[VMIN] = 1;
    terminal->ours.c_cc[VTIME] = 0;
    start_guard(terminal);
    own_terminal_resume(terminal);
    return 0;
}

void own_terminal_restore(struct own_terminal *terminal) {
    if (!terminal->is_ours)
        return;
    terminal->is_ours = false;
    (void)tcsetattr(0, TCSADRAIN, &terminal->before);
}

void own_terminal_tell_guard(const struct own_terminal *terminal) {
    struct termios now;
    if (tcgetattr(0, &now) == 0)
        tell_guard(terminal, &now, sizeof(now));
}

void own_terminal_resume(struct own_terminal *terminal) {
    terminal->is_ours = true;
    if (tcsetattr(0, TCSADRAIN, &terminal->ours) == 0)
        tell_guard(terminal, &terminal->ours, sizeof(terminal->ours));
}

void own_terminal_end(struct own_terminal *terminal) {
    static const char well = 'w';
    own_terminal_restore(terminal);
    if (terminal->guard_fd < 0)
        return;
    tell_guard(terminal, &well, 1);
    (void)close(terminal->guard_fd);
    terminal->guard_fd = -1;
    while (waitpid(terminal->guard, NULL, 0) < 0 && errno == EINTR)
        continue;
}
