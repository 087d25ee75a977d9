/* The terminal we are run from: its modes while somebody types to a talk, and back again however that ends.
 *
 * A small process, the guard, holds the terminal too: where we are killed with nothing said, it sets back the modes,
 * if they are still one of the two that were set here last. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <termios.h>

struct own_terminal {
    struct termios before, ours;
    bool is_ours; /* its modes are `ours` now */
    int guard_fd; /* -1: no guard */
    pid_t guard;
};

/* Whether somebody sits at both of standard input and output. */
bool own_terminal_is_there(void);
/* Keys come one by one, unseen, and signal nothing. `is_raw`: what is written is shown as it is, too. */
int own_terminal_begin(struct own_terminal *terminal, bool is_raw);
void own_terminal_end(struct own_terminal *terminal);
/* Between the two: as it was before, and as it is to be again. */
void own_terminal_restore(struct own_terminal *terminal);
void own_terminal_resume(struct own_terminal *terminal);
/* Its modes of this moment are ours, too: set by the line editor. */
void own_terminal_tell_guard(const struct own_terminal *terminal);
/* False where that is not known. */
bool own_terminal_size(unsigned *ret_columns, unsigned *ret_rows);
