/* See bytes.h. */
#include "base/bytes.h"

enum { HEAP_FIRST = 64 << 10, HEAP_MOST = 1 << 20, LARGE_PAGE = 2 << 20 };
static const size_t mapped_first = sizeof(size_t) > 4 ? (size_t)1 << 36 : (size_t)1 << 28;

static size_t round_up(size_t size, size_t step) {
    return (size + step - 1) / step * step;
}

static int grow_heap(struct bytes *bytes, size_t needed) {
    size_t wanted = MAX(needed, MIN(MAX(bytes->capacity * 2, (size_t)HEAP_FIRST), (size_t)HEAP_MOST));
    char *grown = memory_grow(bytes->data, wanted);
    if (!grown)
        return -ENOMEM;
    bytes->data = grown;
    bytes->capacity = wanted;
    return 0;
}

/* Out of the heap. Where address space is limited, half as much will do, and so on. */
static int move_to_map(struct bytes *bytes, size_t needed) {
    size_t least = round_up(needed, LARGE_PAGE), size = MAX(bytes->map_first ? bytes->map_first : mapped_first, least);
    char *mapped;
    while ((mapped = sys_mmap(size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)) ==
           MAP_FAILED) {
        if (size == least)
            return -ENOMEM;
        size = MAX(size / 2, least);
    }
    (void)sys_madvise(mapped, size, MADV_HUGEPAGE);
    if (bytes->size > 0)
        memcpy(mapped, bytes->data, bytes->size);
    free(bytes->data);
    bytes->data = mapped;
    bytes->mapped = size;
    bytes->capacity = bytes->size;
    return 0;
}

static int widen_map(struct bytes *bytes, size_t wanted) {
    char *moved = sys_mremap(bytes->data, bytes->mapped, wanted);
    if (moved == MAP_FAILED)
        return -ENOMEM;
    bytes->data = moved;
    bytes->mapped = wanted;
    return 0;
}

static int grow_map(struct bytes *bytes, size_t needed) {
    size_t least = round_up(needed, LARGE_PAGE);
    if (needed > bytes->mapped && widen_map(bytes, MAX(bytes->mapped * 2, least)) < 0 && widen_map(bytes, least) < 0)
        return -ENOMEM;
    /* A step ends where a large page ends, wherever the mapping begins. */
    uintptr_t end = (uintptr_t)bytes->data + needed;
    size_t wanted = MIN(bytes->mapped, needed + round_up(end, LARGE_PAGE) - end);
    size_t page = (size_t)sysconf(_SC_PAGESIZE), ready = bytes->capacity / page * page;
    /* A system that can't do that makes them when they are touched. */
    if (sys_madvise(bytes->data + ready, wanted - ready, MADV_POPULATE_WRITE) == -ENOMEM)
        return -ENOMEM;
    bytes->capacity = wanted;
    return 0;
}

int bytes_reserve(struct bytes *bytes, size_t least, char **ret_place, size_t *ret_size) {
    size_t needed = bytes->size + least;
    if (needed < least)
        return -ENOMEM;
    int result = 0;
    if (needed > bytes->capacity && !bytes->mapped && needed > HEAP_MOST)
        result = move_to_map(bytes, needed);
    if (result == 0 && needed > bytes->capacity)
        result = bytes->mapped ? grow_map(bytes, needed) : grow_heap(bytes, needed);
    if (result < 0)
        return result;
    *ret_place = bytes->data + bytes->size;
    *ret_size = bytes->capacity - bytes->size;
    return 0;
}

void bytes_added(struct bytes *bytes, size_t size) {
    assert(size <= bytes->capacity - bytes->size);
    bytes->size += size;
}

int bytes_append(struct bytes *bytes, const void *data, size_t size) {
    char *place;
    size_t room;
    int result = size > 0 ? bytes_reserve(bytes, size, &place, &room) : 0;
    if (result < 0 || size == 0)
        return result;
    memcpy(place, data, size);
    bytes->size += size;
    return 0;
}

void bytes_trim(struct bytes *bytes) {
    size_t kept = bytes->mapped > 0 ? round_up(bytes->size, (size_t)sysconf(_SC_PAGESIZE)) : 0;
    if (bytes->size == 0)
        bytes_done(bytes);
    if (kept >= bytes->mapped)
        return;
    (void)sys_munmap(bytes->data + kept, bytes->mapped - kept);
    bytes->mapped = kept;
    bytes->capacity = bytes->size;
}

char *bytes_take(struct bytes *bytes, bool *ret_is_mapped) {
    bytes_trim(bytes);
    *ret_is_mapped = bytes->mapped > 0;
    char *data = bytes->data;
    *bytes = (struct bytes){0};
    return data;
}

void bytes_release(void *data, size_t size, bool is_mapped) {
    if (is_mapped)
        (void)sys_munmap(data, size);
    else
        free(data);
}

void bytes_done(struct bytes *bytes) {
    bytes_release(bytes->data, bytes->mapped, bytes->mapped > 0);
    *bytes = (struct bytes){0};
}
