/* Programs that try to outlive their call, or to take more than they were given:
 *     hostile bomb|daemons|filler|files|memory|stopped|zombies|fifo|ipc
 * Each says "r" on standard output once it is at work, and never ends by itself before two minutes are over.
 */
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <unistd.h>

static void work(void) {
    static char once;
    if (!once)
        once = write(STDOUT_FILENO, "r", 1) == 1;
}

static void endure(void) {
    alarm(120);
    for (;;)
        pause();
}

static void ignore_all(void) {
    for (int number = 1; number < 32; number++)
        if (number != SIGALRM)
            signal(number, SIG_IGN);
}

/* Each process starts others, in sessions of their own: 64 where nothing holds them, which is more than any limit of
 * the tests, and not so many that a machine without one is lost. */
static void bomb(void) {
    enum { GENERATIONS = 6 };
    ignore_all();
    for (int i = 0; i < GENERATIONS; i++)
        if (fork() == 0)
            setsid();
    work();
    endure();
}

static void daemons(void) {
    for (int i = 0; i < 4; i++) {
        if (fork() == 0) {
            ignore_all();
            setsid();
            if (fork() != 0)
                _exit(0);
            for (int fd = 0; fd < 64; fd++)
                close(fd);
            (void)!chdir("/");
            endure();
        }
    }
    work();
    endure();
}

static void filler(void) {
    static char block[1 << 16];
    memset(block, 1, sizeof(block));
    (void)mkdir("deep", 0700);
    int fd = open("deep/full", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    while (write(fd, block, sizeof(block)) > 0)
        ;
    for (char name[32] = "deep/0"; mkdir(name, 0) == 0 && name[5] < 'z'; name[5]++)
        ;
    chmod("deep", 0);
    work();
    endure();
}

static void files(void) {
    int count = 0;
    while (open("/dev/null", O_RDONLY) >= 0 && count < 100000)
        count++;
    close(10);
    work();
    endure();
}

static void memory(void) {
    enum { STEP = 4 << 20 };
    work(); /* first: what comes may be the end of it */
    for (int i = 0; i < 64; i++) {
        char *place = mmap(NULL, STEP, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (place == MAP_FAILED)
            break;
        memset(place, 1, STEP);
    }
    endure();
}

static void stopped(void) {
    for (int i = 0; i < 3; i++) {
        pid_t child = fork();
        if (child == 0) {
            ignore_all();
            setsid();
            raise(SIGSTOP);
            endure();
        }
    }
    work();
    raise(SIGSTOP);
    endure();
}

static void zombies(void) {
    for (int i = 0; i < 20; i++)
        if (fork() == 0)
            _exit(0);
    work();
    endure();
}

static void fifo(void) {
    (void)mkfifo("f", 0600);
    (void)symlink("/dev", "link");
    for (int i = 0; i < 3; i++)
        if (fork() == 0) {
            ignore_all();
            (void)!open("f", i ? O_RDONLY : O_WRONLY); /* the last ones stay in there */
            (void)!open("f", O_WRONLY);
            endure();
        }
    work();
    endure();
}

/* What belongs to no process: queues, shared memory, semaphores, System V's and POSIX's. */
static void ipc(void) {
    struct mq_attr shape = {.mq_maxmsg = 2, .mq_msgsize = 16};
    for (int i = 0; i < 4; i++) {
        char name[32];
        (void)shmget(IPC_PRIVATE, 1 << 16, IPC_CREAT | 0666);
        (void)semget(IPC_PRIVATE, 4, IPC_CREAT | 0666);
        (void)msgget(IPC_PRIVATE, IPC_CREAT | 0666);
        snprintf(name, sizeof(name), "/hostile-%d-%d", (int)getppid(), i);
        (void)mq_open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0666, &shape);
    }
    work();
    endure();
}

int main(int argc, char **argv) {
    static const struct {
        const char *name;
        void (*function)(void);
    } kinds[] = {{"bomb", bomb},       {"daemons", daemons}, {"filler", filler}, {"files", files}, {"memory", memory},
                 {"stopped", stopped}, {"zombies", zombies}, {"fifo", fifo},     {"ipc", ipc}};
    for (size_t i = 0; argc > 1 && i < sizeof(kinds) / sizeof(*kinds); i++)
        if (strcmp(argv[1], kinds[i].name) == 0)
            kinds[i].function();
    return 2;
}
