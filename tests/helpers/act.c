/* What the tests of cells run: a program that does one small thing, named by its first argument, and otherwise only
 * tells what it was started with. It never outlives a test by itself for longer than a minute. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static int show(int argc, char **argv) {
    char cwd[4096];
    sigset_t mask;
    for (int i = 0; i < argc; i++)
        printf("argv=%s\n", argv[i]);
    for (char **variable = environ; *variable; variable++)
        printf("env=%s\n", *variable);
    printf("cwd=%s\n", getcwd(cwd, sizeof(cwd)) ? cwd : strerror(errno));
    for (int fd = 0; fd < 4096; fd++)
        if (fcntl(fd, F_GETFD) >= 0)
            printf("fd=%d\n", fd);
    sigprocmask(SIG_SETMASK, NULL, &mask);
    for (int signal = 1; signal <= 64; signal++) {
        struct sigaction action;
        if (sigismember(&mask, signal) > 0)
            printf("blocked=%d\n", signal);
        if (sigaction(signal, NULL, &action) == 0 && action.sa_handler != SIG_DFL)
            printf("handled=%d\n", signal);
    }
    printf("leader=%d\n", getsid(0) == getpid());
    printf("uid=%d euid=%d\n", (int)getuid(), (int)geteuid());
    FILE *status = fopen("/proc/self/status", "re");
    for (char line[256]; status && fgets(line, sizeof(line), status);)
        if (strncmp(line, "CapEff:", 7) == 0)
            printf("cap=%s", line + 8);
    return 0;
}

static int count_environment(void) {
    size_t size = 0, count = 0;
    for (char **variable = environ; *variable; variable++, count++)
        size += strlen(*variable) + 1;
    printf("%zu %zu\n", count, size);
    return 0;
}

/* Uses CPU time and memory that can be told apart from nothing. */
static int burn(void) {
    size_t size = 24 << 20;
    char *memory = malloc(size);
    if (!memory)
        return 1;
    memset(memory, 1, size);
    while (clock() < CLOCKS_PER_SEC / 20)
        ;
    return memory[size / 2] - 1;
}

static int wait_long(void) {
    alarm(60);
    while (pause() < 0)
        ;
    return 0;
}

/* Leaves a process that is in a session of its own and no child of ours, and keeps standard output open. */
static int leave_daemon(void) {
    if (fork() == 0) {
        setsid();
        signal(SIGTERM, SIG_IGN);
        signal(SIGHUP, SIG_IGN);
        if (fork() == 0) {
            if (write(STDOUT_FILENO, "d", 1) != 1)
                _exit(1);
            wait_long();
        }
        _exit(0);
    }
    return 0;
}

static int fill(const char *path, size_t size) {
    static char block[65536];
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    for (; size > 0; size -= sizeof(block))
        if (write(fd, block, sizeof(block)) != (ssize_t)sizeof(block))
            return errno == ENOSPC ? 28 : 1;
    return 0;
}

/* How many file systems of cells are mounted where we are. */
static int count_mounts(void) {
    FILE *mounts = fopen("/proc/self/mountinfo", "re");
    int count = 0;
    for (char line[1024]; mounts && fgets(line, sizeof(line), mounts);)
        count += strstr(line, " - tmpfs spile ") != NULL;
    return count;
}

/* Harms the cell's root, which is the directory we are in, in a way that deleting files does not undo. */
static int harm(const char *how) {
    if (strcmp(how, "mode") == 0)
        return chmod(".", 0755) < 0;
    if (strcmp(how, "attribute") == 0)
        return setxattr(".", geteuid() == 0 ? "trusted.spile" : "user.spile", "1", 1, 0) < 0;
    if (strcmp(how, "cover") == 0)
        return mount("spile", ".", "tmpfs", 0, NULL) < 0;
    if (strcmp(how, "read-only") == 0)
        return mount(NULL, ".", NULL, MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV, NULL) < 0;
    return mount(NULL, ".", NULL, MS_REMOUNT | MS_NOSUID | MS_NODEV, "nr_inodes=50") < 0;
}

/* A directory that its owner may not enter, with something in it. */
static int lock_away(void) {
    return mkdir("locked", 0700) < 0 || mkdir("locked/in", 0700) < 0 || chmod("locked", 0) < 0;
}

/* Kills all there is, but only where that is known to be a cell's namespace. */
static int kill_everything(void) {
    char name[16] = "";
    FILE *first = fopen("/proc/1/comm", "re");
    if (getppid() != 1 || !first || !fgets(name, sizeof(name), first) || strncmp(name, "spile-cell", 10) != 0)
        return 77;
    kill(-1, SIGKILL);
    kill(1, SIGKILL);
    kill(1, SIGTERM);
    return 5;
}

/* What concerns the cell, or -1. */
static int act_on_cell(const char *act, char **arguments) {
    if (strcmp(act, "fill") == 0)
        return fill(arguments[0], strtoul(arguments[1], NULL, 10));
    if (strcmp(act, "mounts") == 0)
        return count_mounts();
    if (strcmp(act, "harm") == 0)
        return harm(arguments[0]);
    if (strcmp(act, "lock") == 0)
        return lock_away();
    if (strcmp(act, "kill") == 0)
        return kill_everything();
    return -1;
}

int main(int argc, char **argv) {
    const char *act = argc > 1 ? argv[1] : "show";
    if (strcmp(act, "exit") == 0)
        return atoi(argv[2]);
    if (strcmp(act, "signal") == 0)
        return raise(atoi(argv[2])) + 1;
    if (strcmp(act, "environment") == 0)
        return count_environment();
    if (strcmp(act, "burn") == 0)
        return burn();
    if (strcmp(act, "spin") == 0)
        for (alarm(60);;)
            ;
    if (strcmp(act, "pause") == 0)
        return write(STDOUT_FILENO, "p", 1) == 1 ? wait_long() : 1;
    if (strcmp(act, "daemon") == 0)
        return leave_daemon();
    int result = act_on_cell(act, argv + 2);
    return result >= 0 ? result : show(argc, argv);
}
