/* Bytes that wait: see buffer.h. */
#include "talk/buffer.h"

enum { SMALLEST = 4096, KEPT = 256 << 10, READ_MAX = 256 << 10 };

int buffer_reserve(struct buffer *buffer, size_t size) {
    size_t held = buffer_size(buffer);
    if (buffer->capacity && size <= buffer->capacity - buffer->end - 1)
        return 0;
    /* Moving is cheap where it frees at least as much as it moves. */
    if (buffer->capacity && buffer->start >= held && held + size < buffer->capacity) {
        memmove(buffer->data, buffer_start(buffer), held);
        buffer->start = 0;
        buffer->end = held;
        return 0;
    }
    size_t wanted = MAX(buffer->capacity, (size_t)SMALLEST);
    while (wanted - 1 - held < size || wanted <= held + 1)
        if (__builtin_mul_overflow(wanted, 2, &wanted))
            return -ENOMEM;
    if (buffer->start == 0) {
        char *grown = memory_grow(buffer->data, wanted);
        if (!grown)
            return -ENOMEM;
        buffer->data = grown;
    } else {
        char *fresh = memory_new(wanted);
        if (!fresh)
            return -ENOMEM;
        memcpy(fresh, buffer_start(buffer), held);
        free(buffer->data);
        buffer->data = fresh;
        buffer->start = 0;
        buffer->end = held;
    }
    buffer->capacity = wanted;
    return 0;
}

int buffer_reserve_read(struct buffer *buffer) {
    size_t held = buffer_size(buffer);
    size_t wanted = MIN(MAX(held, buffer->capacity / 4), (size_t)READ_MAX);
    return buffer_reserve(buffer, MAX(wanted, (size_t)SMALLEST - 1));
}

int buffer_add(struct buffer *buffer, const void *data, size_t size) {
    int result = buffer_reserve(buffer, size);
    if (result < 0)
        return result;
    if (size)
        memcpy(buffer->data + buffer->end, data, size);
    buffer->end += size;
    return 0;
}

int buffer_put_back(struct buffer *buffer, const void *data, size_t size) {
    const size_t held = buffer_size(buffer);
    if (buffer->start < size || !buffer->capacity) {
        int result = buffer_reserve(buffer, size);
        if (result < 0)
            return result;
        memmove(buffer_start(buffer) + size, buffer_start(buffer), held);
        buffer->end += size;
        buffer->start += size;
    }
    buffer->start -= size;
    memcpy(buffer_start(buffer), data, size);
    return 0;
}

void buffer_insert(struct buffer *buffer, const void *data, size_t size) {
    assert(size <= buffer_room(buffer));
    memmove(buffer_start(buffer) + size, buffer_start(buffer), buffer_size(buffer));
    memcpy(buffer_start(buffer), data, size);
    buffer->end += size;
}

void buffer_take(struct buffer *buffer, size_t size) {
    assert(size <= buffer_size(buffer));
    buffer->start += size;
}

void buffer_trim(struct buffer *buffer) {
    if (buffer->start < buffer->end || !buffer->capacity)
        return;
    if (buffer->capacity > KEPT)
        buffer_done(buffer);
    buffer->start = buffer->end = 0;
}
