/* What is said of promises that can't be kept; and those of a cell without a supervisor. */
#include "cell/promise.h"

spile_error *promise_error(unsigned promise, int number, const char *why) {
    return error_with(error_new(SPILE_ERROR_PROMISE,
                                promise == SPILE_PROMISE_PROCESSES
                                    ? "the promise '%s' can't be kept here, which limits of processes need: %s%s%s"
                                    : "the promise '%s' can't be kept here: %s%s%s",
                                spile_promise_name((spile_promise)promise), why, number ? ": " : "",
                                number ? strerror(number) : ""),
                      number, -1, -1);
}

spile_error *promise_check_plain(const struct cell_wants *wants, const char *notice) {
    const uint64_t lacks = SPILE_PROMISE_CONTAINED | SPILE_PROMISE_PRIVATE | SPILE_PROMISE_FILES |
                           SPILE_PROMISE_PROGRAM_MEMORY | SPILE_PROMISE_PROCESSES | SPILE_PROMISE_PRIVATE_PATH;
    const char *why = notice ? notice : "programs are plain children of the host, as the context says";
    uint64_t broken = wants->promises & lacks;
    if (wants->processes)
        broken |= SPILE_PROMISE_PROCESSES;
    if (wants->promises & SPILE_PROMISE_NO_SWAP && !promise_has_no_swap())
        broken |= SPILE_PROMISE_NO_SWAP;
    if (wants->promises & SPILE_PROMISE_STANDSTILL && promise_sees_waits() < 0)
        broken |= SPILE_PROMISE_STANDSTILL;
    return broken ? promise_error((unsigned)(broken & ~(broken - 1)), 0, why) : NULL;
}
