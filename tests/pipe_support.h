/* What the tests of pipes share: processes as a host would start them, and pipes in a line. Everything here ends the
 * test where it fails. */
#pragma once

#include "support.h"

#define LONG_NS (60 * NS_PER_SECOND)

/* A shell with this script; the pipes' paths are $1 and $2. */
pid_t spawn(const char *script, const char *first, const char *second);
int status_of(pid_t pid);

spile_pipe *input_of(const void *data, size_t size); /* data NULL: nothing feeds it yet */
spile_pipe *output_new(void);
/* Starts it and returns its path. */
const char *start_pipe(spile_pipe *pipe);
void wait_well(spile_pipe *pipe);
void wait_badly(spile_pipe *pipe, uint64_t timeout_ns, spile_error_kind kind, const char *part);
/* What came out in memory. */
void check_came(const spile_pipe *pipe, const void *data, size_t size);
spile_pipe_info info_of(const spile_pipe *pipe);
/* A shell copies the first pipe into the second, both being served; both must end well. */
void copy_through(spile_pipe *in, spile_pipe *out, const char *script);

/* A shell writes what it likes to $1; both must end well. */
void drain_one(spile_pipe *out, const char *script);

/* Gives its bytes in pieces, says now and then that it has none yet, and ends with `error`. */
struct giver {
    spile_pipe *pipe;
    unsigned char *bytes;
    size_t size, given;
    unsigned calls;
    int error;
    bool is_signal_seen;
};
ssize_t give_some(void *giver, void *buffer, size_t size);
void *resume_later(void *pipe);

/* Adds a test case of these. */
#define ADD(suite, name, ...)                                   \
    add_tests(suite, name, (const TTest *const[]){__VA_ARGS__}, \
              sizeof((const TTest *const[]){__VA_ARGS__}) / sizeof(TTest *))
void add_tests(Suite *suite, const char *name, const TTest *const *tests, size_t count);
