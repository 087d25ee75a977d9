/* A terminal that is not ours: its modes and locks, and putting both back as they were. */
#pragma once

#include "base/error.h"
#include "spile.h"

#include <termios.h>

struct tty {
    int fd;       /* -1: none; not owned */
    bool is_port; /* a real one, not a pseudoterminal */
    bool is_exclusive, is_changed, is_locked;
    struct termios saved;
};

/* Locks it and makes it what the options ask for; all of it is taken back where something is refused. */
int tty_open(struct tty *tty, int fd, const char *name, const spile_talk_options *options, spile_error **ret_error);
/* Puts all back. */
void tty_close(struct tty *tty);
