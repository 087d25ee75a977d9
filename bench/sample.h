/* Timing of one thing against another: every kind is run once a turn, so that what else the machine does hits all
 * alike. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct kind {
    const char *name;
    void (*run)(void *context); /* once; aborts where it fails */
    void *context;
    uint64_t *samples_ns;
};

/* Runs `warm_up` turns unmeasured and `turns` measured ones, and prints for each kind "name median_ns low_ns high_ns"
 * (the quartiles). */
void sample_kinds(struct kind *kinds, size_t count, size_t turns, size_t warm_up);
/* Starts a program by vfork and waits for it; aborts unless it exits with 0. */
void run_bare(const char *const *argv, const char *directory);
_Noreturn void fail(const char *what);
uint64_t now_ns(void);
