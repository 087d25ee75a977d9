/* What must not be proved: sleepers, timers, the world outside, those that run, those that can't be looked at. And two
 * whose own kin is hard to find. */
#include "stand.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void act_sleep(const char *path) {
    (void)path;
    ready();
    nanosleep(&far, NULL);
}

static void act_handles(const char *path, int signal) {
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(signal, &action, NULL);
    read_on(path);
}

static void act_alarm(const char *path) {
    struct itimerval timer = {.it_value.tv_sec = 100};
    setitimer(ITIMER_REAL, &timer, NULL);
    act_handles(path, SIGALRM);
}

static void act_profiled(const char *path) {
    act_handles(path, SIGPROF);
}

static void act_io_signal(const char *path) {
    act_handles(path, SIGIO);
}

static void act_timer(const char *path) {
    struct sigevent event = {.sigev_notify = SIGEV_NONE};
    timer_t timer;
    check(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0, "timer");
    read_on(path);
}

static void act_timerfd(const char *path) {
    struct itimerspec value = {.it_value = far};
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    (void)path;
    check(fd >= 0 && timerfd_settime(fd, 0, &value, NULL) == 0, "timerfd");
    ready();
    (void)!read(fd, byte, 8);
}

static void act_socket(const char *path) {
    int ends[2];
    (void)path;
    check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0, "socketpair");
    ready();
    (void)!read(ends[0], byte, 1);
}

static void act_terminal(const char *path) {
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    (void)path;
    check(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0, "pty");
    int slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
    check(slave >= 0, "pty");
    ready();
    (void)!read(slave, byte, 1);
}

static void act_flock(const char *path) {
    (void)path;
    int first = file_open("locked", O_RDWR | O_CREAT), second = file_open("locked", O_RDWR);
    check(flock(first, LOCK_EX) == 0, "flock");
    ready();
    flock(second, LOCK_EX);
}

static void act_inotify(const char *path) {
    int fd = inotify_init1(IN_CLOEXEC);
    (void)path;
    check(fd >= 0 && inotify_add_watch(fd, ".", IN_CREATE) >= 0, "inotify");
    ready();
    (void)!read(fd, byte, 1);
}

static void act_undumpable(const char *path) {
    prctl(PR_SET_DUMPABLE, 0);
    read_on(path);
}

static void act_ring(const char *path) {
    char parameters[120] = {0};
    int fd = (int)syscall(SYS_io_uring_setup, 4, parameters);
    if (fd < 0)
        _exit(77); /* not to be had here */
    read_on(path);
}

static void act_chroot(const char *path) {
    if (chroot(".") < 0)
        _exit(77);
    ready();
    (void)open(path, O_RDONLY | O_CLOEXEC);
}

static void act_elsewhere(const char *path) {
    char name[] = "/tmp/stand-XXXXXX";
    (void)path;
    check(mkdtemp(name) && chdir(name) == 0 && mkfifo("fifo", 0600) == 0, "fifo");
    int fd = open("fifo", O_RDWR | O_CLOEXEC);
    check(unlink("fifo") == 0 && rmdir(name) == 0 && chdir("/") == 0, "unlink");
    ready();
    (void)!read(fd, byte, 1);
}

static void act_stop(const char *path) {
    (void)path;
    ready();
    raise(SIGSTOP);
}

static void act_spin(const char *path) {
    (void)path;
    ready();
    for (volatile unsigned turns = 0;; turns++)
        ;
}

/* Processes in a circle that pass one byte on for ever: all but one always sleep. */
static void act_token(const char *path) {
    enum { COUNT = 6 };
    int ends[COUNT][2];
    (void)path;
    for (int i = 0; i < COUNT; i++)
        check(pipe2(ends[i], O_CLOEXEC) == 0, "pipe");
    for (int i = 0; i < COUNT; i++) {
        if (i > 0 && fork() != 0)
            continue;
        if (i > 0)
            prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (i > 0)
            while (read(ends[i - 1][0], byte, 1) == 1 && write(ends[i][1], byte, 1) == 1)
                ;
        if (i > 0)
            _exit(0);
    }
    ready();
    check(write(ends[0][1], byte, 1) == 1, "token");
    while (read(ends[COUNT - 1][0], byte, 1) == 1 && write(ends[0][1], byte, 1) == 1)
        ;
}

/* It ends, and leaves a reader behind. */
static void act_orphan(const char *path) {
    if (fork() != 0)
        _exit(0);
    read_on(path);
}

/* A reader whose pipe is written, some day, by one that is no child of anybody here. */
static void act_hidden_writer(const char *path) {
    int ends[2];
    (void)path;
    check(pipe2(ends, O_CLOEXEC) == 0, "pipe");
    pid_t child = fork();
    if (child == 0) {
        if (fork() == 0) {
            setsid();
            nanosleep(&far, NULL);
        }
        _exit(0);
    }
    waitpid(child, NULL, 0);
    ready();
    (void)!read(ends[0], byte, 1);
}

const struct act other_acts[] = {
    {"sleep", act_sleep},
    {"alarm", act_alarm},
    {"profiled", act_profiled},
    {"io-signal", act_io_signal},
    {"timer", act_timer},
    {"timerfd", act_timerfd},
    {"socket", act_socket},
    {"terminal", act_terminal},
    {"flock", act_flock},
    {"inotify", act_inotify},
    {"undumpable", act_undumpable},
    {"ring", act_ring},
    {"chroot", act_chroot},
    {"elsewhere", act_elsewhere},
    {"stop", act_stop},
    {"spin", act_spin},
    {"token", act_token},
    {"orphan", act_orphan},
    {"hidden-writer", act_hidden_writer},
    {0},
};
