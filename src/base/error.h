/* spile_error: what went wrong, as data and as a message. Making one never fails: without memory it is a static one. */
#pragma once

#include "base/util.h"
#include "spile.h"

struct spile_error {
    spile_error_kind kind;
    int number;     /* positive errno or 0 */
    int program;    /* or -1 */
    ssize_t offset; /* or -1 */
    spile_limit limit;
    char *message;
};

/* Makes an error, with a printf message. Never NULL. */
spile_error *error_new(spile_error_kind kind, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Sets *ret_error (when asked for) to a new error and returns `number` negated, for `return error_set(...)`. */
#define error_set(ret_error, kind, number, ...)                                      \
    ({                                                                               \
        if (ret_error)                                                               \
            *(ret_error) = error_with(error_new(kind, __VA_ARGS__), number, -1, -1); \
        -(number);                                                                   \
    })
spile_error *error_with(spile_error *error, int number, int program, ssize_t offset);
/* Another that says the same. */
spile_error *error_copy(const spile_error *error);
/* Says that it is about a limit of a call that was reached. */
spile_error *error_of_limit(spile_error *error, spile_limit limit);
/* The negative errno with which a blocking call reports an error of this kind. */
int error_kind_errno(spile_error_kind kind, int number);
static inline void error_free_cleanup(spile_error **error) {
    *error = spile_error_free(*error);
}
#define AUTO_ERROR CLEANUP(error_free_cleanup) spile_error *
