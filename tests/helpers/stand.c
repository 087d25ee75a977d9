/* What the tests of looks run: a program that says it is ready (one byte on standard output) and then stands still in
 * the way its first argument names; the second is a file. It never outlives a test by itself for longer than two
 * minutes. */
#include "stand.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/openat2.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

const struct timespec far = {.tv_sec = 100};
char byte[8];

void check(bool is_fine, const char *what) {
    if (is_fine)
        return;
    fprintf(stderr, "stand: %s: %s\n", what, strerror(errno));
    _exit(99);
}

void ready(void) {
    check(write(1, "!", 1) == 1, "standard output");
}

int file_open(const char *path, int flags) {
    int fd = open(path, flags | O_CLOEXEC, 0600);
    check(fd >= 0, path);
    return fd;
}

void read_on(const char *path) {
    int fd = file_open(path, O_RDONLY);
    ready();
    while (read(fd, byte, 1) > 0)
        ;
}

/* ---------------------------------------------------------------------------------------------- pipes, one by one */

static void act_readv(const char *path) {
    struct iovec part = {byte, 1};
    int fd = file_open(path, O_RDONLY);
    ready();
    (void)!readv(fd, &part, 1);
}

static void act_write(const char *path) {
    int fd = file_open(path, O_WRONLY);
    ready();
    while (write(fd, byte, 1) == 1)
        ;
}

static void act_open_read(const char *path) {
    ready();
    file_open(path, O_RDONLY);
}

static void act_open_write(const char *path) {
    ready();
    file_open(path, O_WRONLY);
}

static void act_open_at(const char *path) {
    char name[4096];
    check(mkdir("below", 0700) == 0, "below");
    int directory = file_open("below", O_RDONLY | O_DIRECTORY);
    snprintf(name, sizeof(name), "../%s", path);
    ready();
    (void)openat(directory, name, O_RDONLY | O_CLOEXEC);
}

static void act_openat2(const char *path) {
    struct open_how how = {.flags = O_WRONLY};
    ready();
    syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));
}

static void act_creat(const char *path) {
    ready();
    (void)creat(path, 0600);
}

static void act_splice(const char *path) {
    int ends[2], fd = file_open(path, O_RDONLY);
    check(pipe2(ends, O_CLOEXEC) == 0, "pipe");
    ready();
    (void)splice(fd, NULL, ends[1], NULL, 100, 0);
}

static void act_tee(const char *path) {
    int ends[2], fd = file_open(path, O_RDONLY);
    check(pipe2(ends, O_CLOEXEC) == 0, "pipe");
    ready();
    (void)tee(fd, ends[1], 100, 0);
}

static void act_vmsplice(const char *path) {
    struct iovec part = {byte, 1};
    int fd = file_open(path, O_RDONLY);
    ready();
    (void)vmsplice(fd, &part, 1, 0);
}

static void act_sendfile(const char *path) {
    int fd = file_open(path, O_WRONLY), file = file_open("some", O_RDWR | O_CREAT);
    check(write(file, "some", 4) == 4, "some");
    ready();
    off_t offset = 0;
    (void)sendfile(fd, file, &offset, 4);
}

/* Nobody else has the other end. */
static void act_own_pipe(const char *path) {
    int ends[2];
    (void)path;
    check(pipe2(ends, O_CLOEXEC) == 0, "pipe");
    ready();
    (void)!read(ends[0], byte, 1);
}

static void act_own_fifo(const char *path) {
    (void)path;
    check(mkfifo("own", 0600) == 0, "own");
    act_open_read("own");
}

static void act_read_input(const char *path) {
    (void)path;
    ready();
    (void)!read(0, byte, 1);
}

static void act_write_output(const char *path) {
    (void)path;
    for (;;)
        ready();
}

/* ------------------------------------------------------------------------------------------------------------ sets */

static void poll_on(const char *path, int timeout_ms) {
    struct pollfd fds[2] = {{.fd = -1}, {.fd = file_open(path, O_RDONLY), .events = POLLIN}};
    ready();
    poll(fds, 2, timeout_ms);
}

static void act_poll(const char *path) {
    poll_on(path, -1);
}

static void act_poll_timeout(const char *path) {
    poll_on(path, 100000);
}

static void act_poll_many(const char *path) {
    struct pollfd fds[100];
    int fd = file_open(path, O_RDONLY);
    for (size_t i = 0; i < 100; i++)
        fds[i] = (struct pollfd){.fd = fcntl(fd, F_DUPFD_CLOEXEC, 10), .events = POLLIN};
    ready();
    poll(fds, 100, -1);
}

static void act_ppoll(const char *path) {
    struct pollfd watched = {.fd = file_open(path, O_RDONLY), .events = POLLIN};
    ready();
    ppoll(&watched, 1, NULL, NULL);
}

static void act_ppoll_timeout(const char *path) {
    struct pollfd watched = {.fd = file_open(path, O_RDONLY), .events = POLLIN};
    ready();
    ppoll(&watched, 1, &far, NULL);
}

/* The last of a hundred is one that nobody of the cell brings to life. */
static void act_poll_socket(const char *path) {
    struct pollfd fds[100];
    int ends[2], fd = file_open(path, O_RDONLY);
    check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0, "socketpair");
    for (size_t i = 0; i < 100; i++)
        fds[i] = (struct pollfd){.fd = i == 99 ? ends[0] : fd, .events = POLLIN};
    ready();
    poll(fds, 100, -1);
}

static void select_on(int fd, struct timeval *timeout) {
    fd_set set;
    FD_ZERO(&set);
    FD_SET(fd, &set);
    ready();
    select(fd + 1, &set, NULL, NULL, timeout);
}

static void act_select(const char *path) {
    select_on(fcntl(file_open(path, O_RDONLY), F_DUPFD_CLOEXEC, 100), NULL);
}

static void act_select_timeout(const char *path) {
    struct timeval timeout = {.tv_sec = 100};
    select_on(file_open(path, O_RDONLY), &timeout);
}

static void act_select_socket(const char *path) {
    int ends[2];
    (void)path;
    check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0, "socketpair");
    select_on(ends[0], NULL);
}

static void act_pselect(const char *path) {
    fd_set set;
    int fd = file_open(path, O_WRONLY);
    FD_ZERO(&set);
    FD_SET(fd, &set);
    ready();
    pselect(fd + 1, NULL, &set, NULL, NULL, NULL);
}

static int epoll_of(int fd, uint32_t events) {
    struct epoll_event event = {.events = events};
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    check(epoll >= 0 && epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0, "epoll");
    return epoll;
}

static void epoll_on(int fd, int timeout_ms) {
    struct epoll_event event;
    int epoll = epoll_of(fd, EPOLLIN);
    ready();
    epoll_wait(epoll, &event, 1, timeout_ms);
}

static void act_epoll(const char *path) {
    epoll_on(file_open(path, O_RDONLY), -1);
}

static void act_epoll_timeout(const char *path) {
    epoll_on(file_open(path, O_RDONLY), 100000);
}

static void act_epoll_socket(const char *path) {
    int ends[2];
    (void)path;
    check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0, "socketpair");
    epoll_on(ends[0], -1);
}

/* What is watched is a socket; its number is that of a pipe by now. */
static void act_epoll_moved(const char *path) {
    struct epoll_event event;
    int ends[2];
    check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0, "socketpair");
    int epoll = epoll_of(ends[0], EPOLLIN);
    check(dup(ends[0]) >= 0 && dup2(file_open(path, O_RDONLY), ends[0]) >= 0, "dup");
    ready();
    epoll_wait(epoll, &event, 1, -1);
}

static void act_epoll_pwait2(const char *path) {
    struct epoll_event event;
    int epoll = epoll_of(file_open(path, O_RDONLY), EPOLLIN);
    ready();
    syscall(SYS_epoll_pwait2, epoll, &event, 1, NULL, NULL, 8);
}

static void act_epoll_pwait2_timeout(const char *path) {
    struct epoll_event event;
    int epoll = epoll_of(file_open(path, O_RDONLY), EPOLLIN);
    ready();
    syscall(SYS_epoll_pwait2, epoll, &event, 1, &far, NULL, 8);
}

static void act_eventfd(const char *path) {
    (void)path;
    epoll_on(eventfd(0, EFD_CLOEXEC), -1);
}

/* --------------------------------------------------------------------------------------------- locks and children */

static void futex_on(void *word, int operation, const struct timespec *timeout) {
    ready();
    syscall(SYS_futex, word, operation, 0, timeout, NULL, FUTEX_BITSET_MATCH_ANY);
}

static void act_futex(const char *path) {
    static int word;
    (void)path;
    futex_on(&word, FUTEX_WAIT_PRIVATE, NULL);
}

static void act_futex_timeout(const char *path) {
    static int word;
    (void)path;
    futex_on(&word, FUTEX_WAIT_PRIVATE, &far);
}

static void *memory_map(int flags, int fd) {
    void *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, flags, fd, 0);
    check(memory != MAP_FAILED, "mmap");
    return memory;
}

static void act_futex_shared(const char *path) {
    (void)path;
    futex_on(memory_map(MAP_SHARED | MAP_ANONYMOUS, -1), FUTEX_WAIT_BITSET, NULL);
}

/* Anybody who knows the file could wake it. */
static void act_futex_file(const char *path) {
    (void)path;
    int fd = file_open("lock", O_RDWR | O_CREAT);
    check(ftruncate(fd, 4096) == 0, "lock");
    futex_on(memory_map(MAP_SHARED, fd), FUTEX_WAIT, NULL);
}

static void futex_waitv_on(uint32_t flags, const struct timespec *timeout) {
    static uint32_t word;
    struct futex_waitv waiter = {.uaddr = (uintptr_t)&word, .flags = flags};
    ready();
    syscall(SYS_futex_waitv, &waiter, 1, 0, timeout, CLOCK_MONOTONIC);
}

static void act_futex_waitv(const char *path) {
    (void)path;
    futex_waitv_on(FUTEX_32 | FUTEX_PRIVATE_FLAG, NULL);
}

static void act_futex_waitv_timeout(const char *path) {
    static const struct timespec forever = {.tv_sec = INT32_MAX};
    (void)path;
    futex_waitv_on(FUTEX_32 | FUTEX_PRIVATE_FLAG, &forever);
}

static void *thread_reads(void *path) {
    read_on(path);
    return NULL;
}

static void act_join(const char *path) {
    pthread_t thread;
    check(pthread_create(&thread, NULL, thread_reads, (void *)path) == 0, "thread");
    pthread_join(thread, NULL);
}

static void *thread_sleeps(void *path) {
    (void)path;
    ready();
    nanosleep(&far, NULL);
    return NULL;
}

static void act_join_sleeper(const char *path) {
    pthread_t thread;
    int fd = file_open(path, O_RDONLY);
    check(pthread_create(&thread, NULL, thread_sleeps, NULL) == 0, "thread");
    (void)!read(fd, byte, 1);
}

/* Its first thread has ended; the process lives. */
static void act_leaderless(const char *path) {
    pthread_t thread;
    check(pthread_create(&thread, NULL, thread_reads, (void *)path) == 0, "thread");
    pthread_exit(NULL);
}

static void act_child(const char *path) {
    if (fork() == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        read_on(path);
        _exit(0);
    }
    wait(NULL);
}

/* Started the way a library does: the opening of its file keeps the parent waiting for it, too. */
static void act_spawn(const char *path) {
    posix_spawn_file_actions_t actions;
    char *argv[] = {(char *)"true", NULL};
    pid_t pid;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, path, O_RDONLY, 0);
    ready();
    posix_spawn(&pid, "/bin/true", &actions, NULL, argv, environ);
}

void on_signal(int signal) {
    (void)signal;
}

static void suspend(bool with_child, int more) {
    sigset_t none, children;
    struct sigaction action = {.sa_handler = on_signal};
    sigemptyset(&none);
    sigemptyset(&children);
    sigaddset(&children, SIGCHLD);
    sigprocmask(SIG_BLOCK, &children, NULL);
    sigaction(SIGCHLD, &action, NULL);
    if (more)
        sigaction(more, &action, NULL);
    if (with_child && fork() == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        int ends[2];
        check(pipe2(ends, O_CLOEXEC) == 0, "pipe");
        (void)!read(ends[0], byte, 1);
        _exit(0);
    }
    ready();
    sigsuspend(&none);
}

static void act_suspend_child(const char *path) {
    (void)path;
    suspend(true, 0);
}

static void act_suspend(const char *path) {
    (void)path;
    suspend(false, 0);
}

static void act_suspend_user(const char *path) {
    (void)path;
    suspend(true, SIGUSR1);
}

static const struct act acts[] = {
    {"read", read_on},
    {"readv", act_readv},
    {"write", act_write},
    {"open-read", act_open_read},
    {"open-write", act_open_write},
    {"open-at", act_open_at},
    {"openat2", act_openat2},
    {"creat", act_creat},
    {"splice", act_splice},
    {"tee", act_tee},
    {"vmsplice", act_vmsplice},
    {"sendfile", act_sendfile},
    {"own-pipe", act_own_pipe},
    {"own-fifo", act_own_fifo},
    {"read-input", act_read_input},
    {"write-output", act_write_output},
    {"poll", act_poll},
    {"poll-timeout", act_poll_timeout},
    {"poll-many", act_poll_many},
    {"poll-socket", act_poll_socket},
    {"ppoll", act_ppoll},
    {"ppoll-timeout", act_ppoll_timeout},
    {"select", act_select},
    {"select-timeout", act_select_timeout},
    {"select-socket", act_select_socket},
    {"pselect", act_pselect},
    {"epoll", act_epoll},
    {"epoll-timeout", act_epoll_timeout},
    {"epoll-socket", act_epoll_socket},
    {"epoll-moved", act_epoll_moved},
    {"epoll-pwait2", act_epoll_pwait2},
    {"epoll-pwait2-timeout", act_epoll_pwait2_timeout},
    {"eventfd", act_eventfd},
    {"futex", act_futex},
    {"futex-timeout", act_futex_timeout},
    {"futex-shared", act_futex_shared},
    {"futex-file", act_futex_file},
    {"futex-waitv", act_futex_waitv},
    {"futex-waitv-timeout", act_futex_waitv_timeout},
    {"join", act_join},
    {"join-sleeper", act_join_sleeper},
    {"leaderless", act_leaderless},
    {"child", act_child},
    {"spawn", act_spawn},
    {"suspend", act_suspend},
    {"suspend-child", act_suspend_child},
    {"suspend-user", act_suspend_user},
    {0},
};

static void act(const struct act *list, const char *name, const char *path) {
    for (; list->name; list++) {
        if (strcmp(list->name, name) == 0) {
            list->function(path);
            exit(0);
        }
    }
}

int main(int argc, char **argv) {
    alarm(120);
    if (argc > 1) {
        act(acts, argv[1], argc > 2 ? argv[2] : "");
        act(other_acts, argv[1], argc > 2 ? argv[2] : "");
    }
    fprintf(stderr, "stand: no such way\n");
    return 99;
}
