/* Promises that a call may demand: their names, and whether those hold that are not the cell's own doing. */
#pragma once

#include "base/error.h"
#include "cell/wants.h"

/* All that are known. */
#define PROMISE_ALL ((SPILE_PROMISE_LAST << 1) - 1)
/* Whether nothing in memory can reach a disk, there being no swap device. */
bool promise_has_no_swap(void);
/* 0 where /proc tells what a process waits for, which proves a standstill; else -errno. */
int promise_sees_waits(void);

/* In the library only (promise_error.c). */

/* The error of a call whose cell can't keep it. */
spile_error *promise_error(unsigned promise, int number, const char *why);
/* The same for the first that a cell without a supervisor lacks; NULL: none. `notice`: why it has none, or NULL. */
spile_error *promise_check_plain(const struct cell_wants *wants, const char *notice);
