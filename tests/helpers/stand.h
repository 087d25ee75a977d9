/* The two halves of `stand`: waits that only others can end, and all else that looks like it. */
#pragma once

#include <stdbool.h>
#include <time.h>

struct act {
    const char *name; /* NULL: the end */
    void (*function)(const char *path);
};
extern const struct act other_acts[];

extern const struct timespec far;
extern char byte[8];

/* Ends the program where it is not fine. */
void check(bool is_fine, const char *what);
void ready(void);
int file_open(const char *path, int flags);
void read_on(const char *path);
void on_signal(int signal);
