/* Files of the host that are replaced as a whole: written in full beside the target, without a name where the file
 * system can, so that a kill leaves nothing, and then renamed over it. Nobody ever sees half of one. */
#pragma once

#include "base/util.h"

/* Its directory, to be freed by the caller; NULL: no memory. */
char *target_directory(const char *path);
/* The path with its last component's links followed, also where they lead to nothing yet. */
int target_follow(const char *path, char **ret_target);
/* A new file in the target's directory. `ret_temporary` is set where it has a name. */
int target_open(const char *target, char **ret_temporary, int *ret_fd);
/* Puts it in the target's place, with the owner and mode of what was there, or `mode` where nothing was. */
int target_commit(const char *target, char **temporary, int fd, mode_t mode);
/* Forgets all of it, and deletes what has a name. */
void target_drop(char **target, char **temporary, int *fd);
