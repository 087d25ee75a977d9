/* What a talk is with: the text that names it, taken apart. Looks at nothing but the text. */
#pragma once

#include "base/error.h"

enum endpoint_kind {
    ENDPOINT_PATH,
    ENDPOINT_FIFO, /* name: read, other: written */
    ENDPOINT_UNIX, /* name: path, "@..." abstract */
    ENDPOINT_TCP,  /* name: host, other: port */
    ENDPOINT_PTY,  /* words, or none: they come apart from the text */
    ENDPOINT_PIPE,
    ENDPOINT_FD, /* fd */
    ENDPOINT_STDIO,
};

struct endpoint {
    enum endpoint_kind kind;
    char *text; /* as it was written */
    char *name, *other;
    char **words; /* NULL-terminated */
    size_t word_count;
    int fd;
};

/* -EINVAL with an error of kind ENDPOINT that says what is wrong where. */
int endpoint_parse(const char *text, struct endpoint *endpoint, spile_error **ret_error);
void endpoint_done(struct endpoint *endpoint);
