/* How an entry of a transcript looks: a line of text or a JSON object, with what is secret masked. Writes nothing. */
#pragma once

#include "talk/codec.h"

#define RECORD_MASK "***"

/* What must never stand in a transcript. */
struct secrets {
    char **items;
    size_t count, capacity;
};
/* Adds each line of the text. -ENOMEM. */
int secrets_add(struct secrets *secrets, const char *text);
/* Wipes them. */
void secrets_done(struct secrets *secrets);
/* Whether the text ends with the beginning of one, whose rest may be to come. */
bool secrets_are_begun(const struct secrets *secrets, const char *text, size_t size);

enum record_way { RECORD_IN, RECORD_OUT };

/* Adds an entry with what went one way: `size` bytes in the encoding, first seen at `when`. The codec must be STRICT.
 */
void record_bytes(struct text *entries, bool is_json, struct timespec when, enum record_way way, struct codec *codec,
                  const char *data, size_t size, const struct secrets *secrets);
/* Adds one with what happened: "opened", and what with. */
void record_event(struct text *entries, bool is_json, struct timespec when, const char *event, const char *detail);
