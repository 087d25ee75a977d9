/* See sample.h. */
#include "sample.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

void fail(const char *what) {
    fprintf(stderr, "bench: %s: %s\n", what, strerror(errno));
    exit(1);
}

uint64_t now_ns(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000U + (uint64_t)time.tv_nsec;
}

static int compare(const void *left, const void *right) {
    uint64_t a = *(const uint64_t *)left;
    uint64_t b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

/* Another order each turn: what one leaves behind (a process that still ends, a cold cache) must not always be the
 * same one's burden. */
static void shuffle(struct kind *kinds, size_t count) {
    static uint64_t state = 0x9e3779b97f4a7c15U;
    for (size_t i = count; i > 1; i--) {
        state = state * 6364136223846793005U + 1442695040888963407U;
        size_t other = (size_t)((state >> 33) % i);
        struct kind kept = kinds[i - 1];
        kinds[i - 1] = kinds[other];
        kinds[other] = kept;
    }
}

void sample_kinds(struct kind *kinds, size_t count, size_t turns, size_t warm_up) {
    for (size_t i = 0; i < count; i++) {
        kinds[i].samples_ns = calloc(turns, sizeof(uint64_t));
        if (!kinds[i].samples_ns)
            fail("calloc");
    }
    for (size_t turn = 0; turn < warm_up + turns; turn++) {
        shuffle(kinds, count);
        for (size_t i = 0; i < count; i++) {
            struct kind *kind = &kinds[i];
            uint64_t start = now_ns();
            kind->run(kind->context);
            if (turn >= warm_up)
                kind->samples_ns[turn - warm_up] = now_ns() - start;
        }
    }
    for (size_t i = 0; i < count; i++) {
        uint64_t *samples = kinds[i].samples_ns;
        qsort(samples, turns, sizeof(*samples), compare);
        printf("%s %llu %llu %llu\n", kinds[i].name, (unsigned long long)samples[turns / 2],
               (unsigned long long)samples[turns / 4], (unsigned long long)samples[turns * 3 / 4]);
        free(samples);
    }
}

void run_bare(const char *const *argv, const char *directory) {
    extern char **environ;
    /* NOLINTNEXTLINE(clang-analyzer-security.insecureAPI.vfork): the way to start a program that the unit is about. */
    pid_t pid = vfork();
    if (pid == 0) {
        /* NOLINTNEXTLINE(clang-analyzer-unix.Vfork): chdir is a system call that shares nothing with the parent. */
        if (!directory || chdir(directory) == 0)
            execve(argv[0], (char **)(void *)argv, environ);
        _exit(127);
    }
    int status = 0;
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
        fail(argv[0]);
}
