/* The bytes of a stream that are between its two sides: a ring of bounded size, addressed by their offset in the
 * stream. */
#pragma once

#include "base/util.h"

struct window {
    char *data;
    size_t capacity; /* of the ring; grows up to the limit as needed */
    size_t start, size;
    uint64_t base; /* offset of the first byte that is held */
};

static inline void window_done(struct window *window) {
    free(window->data);
    *window = (struct window){0};
}
static inline uint64_t window_end(const struct window *window) {
    return window->base + window->size;
}
/* Appends; the caller has seen to the limit. -ENOMEM. */
int window_append(struct window *window, const char *data, size_t size);
/* Puts bytes back before the first: what was taken and not read after all. */
int window_prepend(struct window *window, const char *data, size_t size);
/* The longest piece at `offset` that lies in one run; the offset is one that is held. */
void window_at(const struct window *window, uint64_t offset, const char **ret_data, size_t *ret_size);
/* Lets go of everything before `offset`. */
void window_trim(struct window *window, uint64_t offset);
