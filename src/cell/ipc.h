/* Objects of System V and POSIX message queues, shared memory and semaphores: they belong to no process and to no file
 * system that a call has, so a cell has a namespace of its own for them, which is made anew where a call has left any.
 */
#pragma once

#include "base/util.h"

/* A descriptor by which the namespace's message queues are seen, or one of these. */
enum { IPC_UNSEEN = -1, IPC_NO_QUEUES = -2 };

/* Enters a fresh namespace. */
int ipc_enter(void);
/* Whether there may be any objects. `place`: a directory that a file system may cover for an instant; *queues begins as
 * IPC_UNSEEN. */
bool ipc_is_used(const char *place, int *queues);
