/* Small things every room uses: cleanup attributes, times, arrays, strings, descriptors. Prints nothing, keeps nothing.
 */
#pragma once

#include "base/sys.h"

#include <assert.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define CLEANUP(function) __attribute__((cleanup(function), unused))
#define ARRAY_SIZE(array) (sizeof(array) / sizeof(*(array)))
/* One of the two is evaluated twice: no place for a call that has an effect. */
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))
/* Takes the value out of a variable that has a cleanup. */
#define TAKE(variable, empty)                     \
    ({                                            \
        __typeof__(variable) taken_ = (variable); \
        (variable) = (empty);                     \
        taken_;                                   \
    })
#define TAKE_POINTER(variable) TAKE(variable, NULL)
#define TAKE_FD(variable) TAKE(variable, -1)
#define CONTAINER_OF(pointer, type, member) ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

#define NS_PER_SECOND UINT64_C(1000000000)
#define NS_PER_MS UINT64_C(1000000)
#define NS_FOREVER UINT64_MAX

uint64_t time_now_ns(void);                             /* CLOCK_MONOTONIC */
uint64_t time_add_ns(uint64_t time, uint64_t duration); /* saturates at NS_FOREVER */

/* Closes fd if it is one; returns -1. Keeps errno. */
int fd_close(int fd);
static inline void fd_close_cleanup(int *fd) {
    *fd = fd_close(*fd);
}
#define AUTO_FD CLEANUP(fd_close_cleanup) int

static inline void free_cleanup(void *pointer) {
    free(*(void **)pointer);
}
#define AUTO_FREE CLEANUP(free_cleanup)

/* Writes all of it to a file in memory or on disk; retries what is short or interrupted. */
int fd_write_all(int fd, const void *data, size_t size);
/* write(2) that raises no SIGPIPE in the host: one that comes of it is consumed in this thread. May be short; -EPIPE.
 */
ssize_t fd_write_no_sigpipe(int fd, const void *data, size_t size);
/* Keeps SIGPIPE away from the host while several such writes are made in a row; one that came of them is consumed at
 * the end. */
struct sigpipe_guard {
    sigset_t old_set;
    bool was_pending;
};
void sigpipe_guard_init(struct sigpipe_guard *guard);
void sigpipe_guard_done(struct sigpipe_guard *guard);
/* A new description of the same file that is nonblocking, so that the caller's own is left alone; -errno where it has
 * none. */
int fd_reopen_nonblocking(int fd, int flags);

/* Of the kernel, by what it calls itself; false where that is no version. */
bool kernel_is_at_least(unsigned major, unsigned minor);

/* Its reads and writes wait. */
int fd_set_blocking(int fd);

/* Arrays that grow: makes room for one more element of a plain pointer/count/capacity triple; the new place is not
 * counted yet. */
#define ARRAY_RESERVE(items, count, capacity) array_reserve((void **)&(items), count, &(capacity), sizeof(*(items)))
int array_reserve(void **items, size_t count, size_t *capacity, size_t size);

/* A string that grows. `failed` latches the first lack of memory, so that one check at the end is enough. */
struct text {
    char *data; /* NUL-terminated, or NULL while empty */
    size_t size, capacity;
    bool failed;
};
void text_add(struct text *text, const char *data, size_t size);
void text_puts(struct text *text, const char *string);
void text_printf(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Hands out the string and empties the text; NULL where memory lacked. */
char *text_take(struct text *text);
static inline void text_done(struct text *text) {
    free(text->data);
    *text = (struct text){0};
}
#define AUTO_TEXT CLEANUP(text_done) struct text
