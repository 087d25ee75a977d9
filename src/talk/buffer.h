/* Bytes that wait: put in at the end, taken from the start. One byte behind the end is always there once it has memory,
 * for a NUL. Nothing is held while it is empty and large. */
#pragma once

#include "base/util.h"

struct buffer {
    char *data;
    size_t start, end, capacity;
};

static inline size_t buffer_size(const struct buffer *buffer) {
    return buffer->end - buffer->start;
}
static inline char *buffer_start(const struct buffer *buffer) {
    return buffer->data + buffer->start;
}
/* Makes room for `size` more bytes behind the end. May move what is there. */
int buffer_reserve(struct buffer *buffer, size_t size);
/* Room for bytes that are read: more of it the more came so far. */
int buffer_reserve_read(struct buffer *buffer);
static inline size_t buffer_room(const struct buffer *buffer) {
    return buffer->capacity ? buffer->capacity - buffer->end - 1 : 0;
}
int buffer_add(struct buffer *buffer, const void *data, size_t size);
/* Puts bytes before the first; what was taken is gone. */
int buffer_put_back(struct buffer *buffer, const void *data, size_t size);
/* The same where there is room for it behind the end (buffer_reserve); what was taken stays where it is. */
void buffer_insert(struct buffer *buffer, const void *data, size_t size);
/* What is taken stays where it is until the buffer is put into again. */
void buffer_take(struct buffer *buffer, size_t size);
/* Lets go of memory that is not worth keeping; what was taken before is gone then. */
void buffer_trim(struct buffer *buffer);
static inline void buffer_done(struct buffer *buffer) {
    free(buffer->data);
    *buffer = (struct buffer){0};
}
