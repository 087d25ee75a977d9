/* Objects of System V and POSIX message queues, shared memory and semaphores: they belong to no process and to no file
 * system that a call has, so a cell has a namespace of its own for them, which is made anew where a call has left any.
 */
#pragma once

#include "base/util.h"

/* Enters a fresh namespace. *ret_queues: a descriptor by which queues are seen, or -1. `place`: a directory that a file
 * system may cover for an instant. */
int ipc_enter(const char *place, int *ret_queues);
bool ipc_is_used(int queues);
