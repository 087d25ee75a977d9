/* The bytes between a stream's two sides: see window.h. */
#include "stream/window.h"

enum { WINDOW_FIRST = 16 << 10 };

/* Room for `size` more; what is held is then one run from the start of the ring. */
static int make_room(struct window *window, size_t size) {
    if (window->capacity - window->size >= size)
        return 0;
    size_t wanted = MAX(window->capacity, (size_t)WINDOW_FIRST);
    while (wanted < window->size + size)
        wanted *= 2;
    char *grown = memory_new(wanted);
    if (!grown)
        return -ENOMEM;
    size_t first = MIN(window->size, window->capacity - window->start);
    if (window->size > 0) {
        memcpy(grown, window->data + window->start, first);
        memcpy(grown + first, window->data, window->size - first);
    }
    free(window->data);
    window->data = grown;
    window->capacity = wanted;
    window->start = 0;
    return 0;
}

static void write_ring(struct window *window, size_t place, const char *data, size_t size) {
    size_t first = MIN(size, window->capacity - place);
    memcpy(window->data + place, data, first);
    memcpy(window->data, data + first, size - first);
}

int window_append(struct window *window, const char *data, size_t size) {
    int result = size > 0 ? make_room(window, size) : 0;
    if (result < 0 || size == 0)
        return result;
    write_ring(window, (window->start + window->size) % window->capacity, data, size);
    window->size += size;
    return 0;
}

int window_prepend(struct window *window, const char *data, size_t size) {
    int result = size > 0 ? make_room(window, size) : 0;
    if (result < 0 || size == 0)
        return result;
    window->start = (window->start + window->capacity - size) % window->capacity;
    write_ring(window, window->start, data, size);
    window->size += size;
    window->base -= size;
    return 0;
}

void window_at(const struct window *window, uint64_t offset, const char **ret_data, size_t *ret_size) {
    assert(offset >= window->base && offset <= window_end(window));
    size_t skipped = (size_t)(offset - window->base);
    size_t place = window->capacity ? (window->start + skipped) % window->capacity : 0;
    *ret_data = window->data + place;
    *ret_size = MIN(window->size - skipped, window->capacity - place);
}

void window_trim(struct window *window, uint64_t offset) {
    if (offset <= window->base)
        return;
    size_t gone = (size_t)MIN(offset - window->base, (uint64_t)window->size);
    window->start = window->capacity ? (window->start + gone) % window->capacity : 0;
    window->size -= gone;
    window->base += gone;
}
