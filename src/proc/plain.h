/* Programs as plain children of the host, watched by its loop: the back end of SPILE_CONTAINMENT_NONE. */
#pragma once

#include "proc/proc.h"

/* Starts it; every callback comes from a step. `proc->gone` must be set. Returns 0 or -errno (then there is no
 * callback). */
int plain_spawn(spile_loop *loop, const struct proc_spec *spec, struct proc *proc);
/* Only while it has not ended. */
void plain_signal(struct proc *proc, int signal);
/* In the child of a fork: lets go of it. */
void plain_forget(struct proc *proc);
