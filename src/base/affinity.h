/* On which processors a thread may run. */
#pragma once

#include "base/util.h"

/* 0 stands for the calling thread. Between clone and exec, too. -EINVAL: more processors than the set has room for. */
int affinity_get(pid_t thread, cpu_set_t *ret_processors);
/* How many the calling thread has, at least one. */
unsigned affinity_count(void);
/* What it was before it was set, unless somebody else has set it since. Where nobody but the cpuset had narrowed it, it
 * follows the cpuset again: since Linux 6.2 the kernel keeps what sched_setaffinity asked for, and takes each later
 * cpuset's part of that. Which is why something is asked for where `set` is gone, too: it would come back with the
 * next cpuset that has it. */
void affinity_restore(pid_t thread, const cpu_set_t *set, const cpu_set_t *was);
/* All there are, which the kernel takes as all that the cpuset allows. */
void affinity_all(cpu_set_t *ret_processors);
