/* Signals for every descendant of this process, for a supervisor that has no process namespace of its own. */
#pragma once

/* Sends it to all that are found; one that is being forked meanwhile may be missed, so for an end repeat it until no
 * child is left. Returns how many it reached, or -errno. */
int descendants_signal(int signal);
