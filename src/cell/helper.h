/* spile-cell, seen from the host: where it is, and its start. */
#pragma once

#include "base/error.h"
#include "proc/proc.h"

/* Finds the program. `configured` (may be NULL) is the only place looked at where it is set. Errors name the places. */
int helper_find(const char *configured, char **ret_path, spile_error **ret_error);
/* Starts it, detached from the host: nothing is to be reaped, whatever becomes of it. */
int helper_start(const char *path, spile_containment containment, int *ret_socket, spile_error **ret_error);
