/* The parent of a supervisor in namespaces, outside of them. It outlives it, and takes away what the kernel does not:
 * control groups. It does nothing else, hears no signal but KILL, is in a session of its own, which a shell's job is
 * not killed with, and needs nobody: without it all works, but for a group that stays where host and supervisor are
 * killed at once.
 */
#pragma once

#include "cell/cgroup.h"

struct keeper {
    int self;           /* its pidfd, of which the host sees that all is over, and can reap it; -1: none */
    cgroup_path *notes; /* shared with the supervisor, which writes there what is to be taken away; NULL: none */
};

/* Before the supervisor is made, which inherits it. */
void keeper_prepare(struct keeper *keeper);
/* In the process that has made the supervisor. */
_Noreturn void keeper_keep(const struct keeper *keeper, pid_t supervisor);
/* There is no supervisor to be kept. */
void keeper_done(struct keeper *keeper);
