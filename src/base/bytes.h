/* Bytes in memory that come piece by piece, nobody knows how many.
 *
 * Few are in the heap. Many are in a mapping that is far larger than they are: address space costs nothing, and what
 * stays where it is need not be copied. Its pages are made ready a step ahead of what comes, large ones where the
 * system has them, so that reading into it stops for no page fault.
 */
#pragma once

#include "base/util.h"

struct bytes {
    char *data;
    size_t size;
    size_t capacity;  /* what can be written to */
    size_t mapped;    /* of address space; 0: in the heap */
    size_t map_first; /* what is mapped at first; 0: the usual, more than nearly all need */
};

/* Room at the end for at least `least` more; there may be much more. -ENOMEM. */
int bytes_reserve(struct bytes *bytes, size_t least, char **ret_place, size_t *ret_size);
/* So many were written there. */
void bytes_added(struct bytes *bytes, size_t size);
int bytes_append(struct bytes *bytes, const void *data, size_t size);
/* Nothing will be added: gives back what was too much. */
void bytes_trim(struct bytes *bytes);
/* The same, and hands the data out, NULL where there is none. */
char *bytes_take(struct bytes *bytes, bool *ret_is_mapped);
/* What was taken; `size` is what it had then. */
void bytes_release(void *data, size_t size, bool is_mapped);
/* What was not taken. */
void bytes_done(struct bytes *bytes);
