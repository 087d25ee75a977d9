/* Memory that lives until the process ends. Blocks are chained, so that they are never lost to a leak checker. */
#include "cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BLOCK_SIZE = 16 * 1024 - 64, ALIGNMENT = 16 };

struct block {
    struct block *previous;
    size_t used, size;
};
static struct block *last_block;

static _Noreturn void no_memory(void) {
    static const char message[] = "spile: out of memory\n";
    ssize_t ignored = write(2, message, sizeof(message) - 1);
    (void)ignored;
    _exit(EXIT_OWN_ERROR);
}

void *allocate(size_t size) {
    const size_t head = (sizeof(struct block) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    if (size > PTRDIFF_MAX - head - ALIGNMENT)
        no_memory();
    size = (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    if (!last_block || last_block->size - last_block->used < size) {
        size_t block_size = head + (size > BLOCK_SIZE ? size : BLOCK_SIZE);
        struct block *block = calloc(1, block_size);
        if (!block)
            no_memory();
        *block = (struct block){.previous = last_block, .used = head, .size = block_size};
        last_block = block;
    }
    void *memory = (char *)last_block + last_block->used;
    last_block->used += size;
    return memory;
}

char *allocate_copy(const char *bytes, size_t size) {
    char *copy = allocate(size + 1);
    if (size > 0)
        memcpy(copy, bytes, size);
    return copy;
}

/* Takes the arguments twice: to measure, and to write. */
char *allocate_format_of(const char *format, va_list arguments) {
    va_list again;
    va_copy(again, arguments);
    int size = vsnprintf(NULL, 0, format, again);
    va_end(again);
    if (size < 0)
        no_memory();
    char *text = allocate((size_t)size + 1);
    vsnprintf(text, (size_t)size + 1, format, arguments);
    return text;
}

char *allocate_format(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    char *text = allocate_format_of(format, arguments);
    va_end(arguments);
    return text;
}

void *list_room(void *items, size_t count, size_t *capacity, size_t size) {
    if (count < *capacity)
        return items;
    size_t more = *capacity ? *capacity * 2 : 8;
    void *bigger = allocate(more * size);
    if (count > 0)
        memcpy(bigger, items, count * size);
    *capacity = more;
    return bigger;
}

void builder_add(struct builder *text, const char *bytes, size_t size) {
    if (text->capacity - text->size <= size) {
        size_t capacity = (text->capacity + size) * 2 + 64;
        char *bigger = allocate(capacity);
        if (text->size > 0)
            memcpy(bigger, text->data, text->size);
        text->data = bigger;
        text->capacity = capacity;
    }
    if (size > 0)
        memcpy(text->data + text->size, bytes, size);
    text->size += size;
    text->data[text->size] = '\0';
}

void builder_puts(struct builder *text, const char *string) {
    builder_add(text, string, strlen(string));
}

void builder_printf(struct builder *text, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    builder_puts(text, allocate_format_of(format, arguments));
    va_end(arguments);
}

/* The length of the character that begins at `bytes`, or 0 where none does (overlong forms and surrogates are none). */
static size_t utf8_length(const unsigned char *bytes, size_t size) {
    static const struct {
        unsigned char mask, lead;
        uint32_t least;
    } forms[] = {{0x80, 0x00, 0}, {0xe0, 0xc0, 0x80}, {0xf0, 0xe0, 0x800}, {0xf8, 0xf0, 0x10000}};
    for (size_t length = 1; length <= 4 && length <= size; length++) {
        if ((bytes[0] & forms[length - 1].mask) != forms[length - 1].lead)
            continue;
        uint32_t code = bytes[0] & (unsigned char)~forms[length - 1].mask;
        for (size_t i = 1; i < length; i++) {
            if ((bytes[i] & 0xc0) != 0x80)
                return 0;
            code = code << 6 | (bytes[i] & 0x3f);
        }
        return code < forms[length - 1].least || code > 0x10ffff || (code >= 0xd800 && code < 0xe000) ? 0 : length;
    }
    return 0;
}

const char *utf8_clean(const char *bytes, size_t size, size_t *ret_size) {
    struct builder text = {0};
    builder_add(&text, "", 0);
    for (size_t i = 0; i < size;) {
        size_t length = utf8_length((const unsigned char *)bytes + i, size - i);
        if (length > 0)
            builder_add(&text, bytes + i, length);
        else
            builder_puts(&text, "\xef\xbf\xbd");
        i += length > 0 ? length : 1;
    }
    if (ret_size)
        *ret_size = text.size;
    return text.data;
}

size_t utf8_begun(const char *bytes, size_t size) {
    for (size_t back = 1; back <= 3 && back <= size; back++) {
        unsigned char byte = (unsigned char)bytes[size - back];
        if (byte >= 0xc0)
            return back < (byte >= 0xf0 ? 4u : byte >= 0xe0 ? 3u : 2u) ? back : 0;
        if (byte < 0x80)
            return 0;
    }
    return 0;
}
