/* Many literals in one look: Aho and Corasick's automaton as one table, each byte of the text one step whatever the
 * literals, and a state that goes on over pieces. Immutable once made. */
#pragma once

#include "base/util.h"

struct automaton_literal {
    const char *text;
    size_t size;
    size_t index; /* of its pattern */
};

struct automaton {
    size_t count;                 /* of literals; with one there is no table */
    struct automaton_literal one; /* that one */
    unsigned char classes[256];   /* bytes that no literal holds are all class 0 */
    size_t class_count;
    uint32_t *next;    /* [state * class_count + class]: the next state times class_count; and a bit */
    uint32_t *longest; /* [state]: 1 + the longest literal that ends there, or 0 */
    struct automaton_literal *literals;
    int first; /* the byte that all of them begin with, or -1 */
};

/* The literals' texts stay the caller's. -E2BIG: they are too much text. */
int automaton_init(struct automaton *automaton, const struct automaton_literal *literals, size_t count);
void automaton_done(struct automaton *automaton);

struct automaton_scan {
    size_t seen; /* bytes looked at so far */
    uint32_t state;
};
/* The first literal to be complete in data[0..size), of those the longest, of those the first given. */
bool automaton_find(const struct automaton *automaton, struct automaton_scan *scan, const char *data, size_t size,
                    const struct automaton_literal **ret_literal, size_t *ret_end);
