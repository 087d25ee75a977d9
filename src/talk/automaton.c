/* Literals: see automaton.h. One alone is the C library's memmem, which knows the processor better. */
#include "talk/automaton.h"

enum { CELLS_MAX = 1 << 28 };
#define ENDS_ONE (UINT32_C(1) << 31) /* in a cell: a literal ends with this step */

void automaton_done(struct automaton *automaton) {
    free(automaton->next);
    free(automaton->longest);
    free(automaton->literals);
    *automaton = (struct automaton){0};
}

/* Gives each byte that occurs a class, and says how many states there can be. */
static size_t classify(struct automaton *automaton) {
    size_t states = 1;
    automaton->class_count = 1;
    automaton->first = (unsigned char)automaton->literals[0].text[0];
    for (size_t i = 0; i < automaton->count; i++) {
        const struct automaton_literal *literal = &automaton->literals[i];
        states += literal->size;
        if ((unsigned char)literal->text[0] != automaton->first)
            automaton->first = -1;
        for (size_t j = 0; j < literal->size; j++) {
            unsigned char *class = &automaton->classes[(unsigned char)literal->text[j]];
            if (*class == 0 && automaton->class_count < 256)
                *class = (unsigned char)automaton->class_count++;
        }
    }
    return states;
}

/* The trie, with states by number; 0 is the root, and in a cell "none". Returns how many states there are. */
static uint32_t plant(struct automaton *automaton) {
    uint32_t states = 1;
    for (size_t i = 0; i < automaton->count; i++) {
        const struct automaton_literal *literal = &automaton->literals[i];
        uint32_t state = 0;
        for (size_t j = 0; j < literal->size; j++) {
            uint32_t *cell =
                &automaton->next[state * automaton->class_count + automaton->classes[(unsigned char)literal->text[j]]];
            if (!*cell)
                *cell = states++;
            state = *cell;
        }
        if (!automaton->longest[state])
            automaton->longest[state] = (uint32_t)i + 1;
    }
    return states;
}

/* Fills the cells that the trie leaves empty with those of the longest suffix, level by level. */
static void link_suffixes(struct automaton *automaton, uint32_t *queue, uint32_t *suffix) {
    const size_t width = automaton->class_count;
    size_t head = 0, tail = 0;
    for (size_t class = 0; class < width; class ++) {
        uint32_t state = automaton->next[class];
        if (state) {
            suffix[state] = 0;
            queue[tail++] = state;
        }
    }
    while (head < tail) {
        uint32_t state = queue[head++], *row = automaton->next + state * width;
        const uint32_t *other = automaton->next + suffix[state] * width;
        if (!automaton->longest[state])
            automaton->longest[state] = automaton->longest[suffix[state]];
        for (size_t class = 0; class < width; class ++) {
            if (row[class]) {
                suffix[row[class]] = other[class];
                queue[tail++] = row[class];
            } else {
                row[class] = other[class];
            }
        }
    }
}

static int build(struct automaton *automaton) {
    const size_t states = classify(automaton), width = automaton->class_count;
    if (states > CELLS_MAX / width)
        return -E2BIG;
    automaton->next = memory_zero(states * width, sizeof(*automaton->next));
    automaton->longest = memory_zero(states, sizeof(*automaton->longest));
    AUTO_FREE uint32_t *queue = memory_zero(states, sizeof(*queue));
    AUTO_FREE uint32_t *suffix = memory_zero(states, sizeof(*suffix));
    if (!automaton->next || !automaton->longest || !queue || !suffix)
        return -ENOMEM;
    const size_t used = plant(automaton);
    link_suffixes(automaton, queue, suffix);
    for (size_t cell = 0; cell < used * width; cell++) {
        uint32_t state = automaton->next[cell];
        automaton->next[cell] = state * (uint32_t)width | (automaton->longest[state] ? ENDS_ONE : 0);
    }
    return 0;
}

int automaton_init(struct automaton *automaton, const struct automaton_literal *literals, size_t count) {
    *automaton = (struct automaton){.count = count, .first = -1};
    if (count <= 1) {
        if (count)
            automaton->one = *literals;
        return 0;
    }
    automaton->literals = memory_new(count * sizeof(*literals));
    if (!automaton->literals)
        return -ENOMEM;
    memcpy(automaton->literals, literals, count * sizeof(*literals));
    int result = build(automaton);
    if (result < 0)
        automaton_done(automaton);
    return result;
}

static bool find_one(const struct automaton_literal *one, struct automaton_scan *scan, const char *data, size_t size,
                     size_t *ret_end) {
    const size_t overlap = MIN(scan->seen, one->size - 1), from = scan->seen - overlap;
    const char *found = size > from ? memmem(data + from, size - from, one->text, one->size) : NULL;
    scan->seen = size;
    if (found)
        *ret_end = (size_t)(found - data) + one->size;
    return found;
}

bool automaton_find(const struct automaton *automaton, struct automaton_scan *scan, const char *data, size_t size,
                    const struct automaton_literal **ret_literal, size_t *ret_end) {
    if (automaton->count <= 1) {
        *ret_literal = &automaton->one;
        return automaton->count && find_one(&automaton->one, scan, data, size, ret_end);
    }
    const uint32_t *const next = automaton->next;
    const uint32_t width = (uint32_t)automaton->class_count;
    uint32_t state = scan->state;
    size_t place = scan->seen;
    while (place < size) {
        if (state == 0 && automaton->first >= 0) { /* nothing has begun: jump to where something can */
            const char *begin = memchr(data + place, automaton->first, size - place);
            if (!begin)
                break;
            place = (size_t)(begin - data);
        }
        state = next[state + automaton->classes[(unsigned char)data[place++]]];
        if (state & ENDS_ONE) {
            state -= ENDS_ONE;
            scan->seen = place;
            scan->state = state;
            *ret_literal = &automaton->literals[automaton->longest[state / width] - 1];
            *ret_end = place;
            return true;
        }
    }
    scan->seen = size;
    scan->state = state;
    return false;
}
