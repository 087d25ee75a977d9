/* What a lease asks of its cell beside being one, and by what means it is had. */
#pragma once

#include <stdint.h>

/* All zero asks nothing, and costs nothing. */
struct cell_wants {
    uint64_t file_bytes;           /* of all files together, at most */
    uint64_t program_memory_bytes; /* of all programs together */
    uint64_t processes;            /* and threads, of all programs together */
    uint64_t promises;             /* SPILE_PROMISE_...: no cell rather than one without */
};

enum wants_means {
    WANTS_NOT_ASKED,
    WANTS_BY_GROUP, /* a control group: all together, and it tells when they reached it */
    WANTS_BY_USER,  /* an rlimit that counts in the cell's user namespace: all together */
    WANTS_BY_EACH,  /* an rlimit: each process by itself */
};

struct cell_means {
    uint8_t memory, processes; /* enum wants_means */
};
