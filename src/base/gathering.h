/* How a thread waits for a process on one processor with it.
 *
 * A processor with nothing to do sleeps, and waking one takes longer than a small program runs: some 30 us in a virtual
 * machine, against 2 us where who is woken follows on the processor of the one who goes to sleep. The scheduler always
 * takes an idle one (select_idle_sibling of kernel/sched/fair.c), whatever a wake-up's hint says; only a narrower mask
 * keeps it from that. So both have such a mask while the one waits for the other, the other also before. Where that
 * lasts it costs nothing either: both sleep. But who then works must find another processor than his neighbour, so it
 * ends with the first wake-up after a few milliseconds; no timer, because setting one costs as much as a wake-up.
 */
#pragma once

#include "base/util.h"

#include <pthread.h>

#define GATHERING_NS (5 * NS_PER_MS)

struct gathering {
    pid_t other; /* who is waited for; 0: none */
    uint64_t end_ns;
    cpu_set_t here, own, others; /* the processor; as they were */
    bool is_waiting;             /* from enter to leave: this thread */
    pthread_t waiting;
};

/* From now on `other` runs where the calling thread does. False: it can't be had, or there is but one processor. */
bool gathering_begin(struct gathering *gathering, pid_t other);
/* Around the wait. False: it is over, or the thread has but this processor anyway. */
bool gathering_enter(struct gathering *gathering);
void gathering_leave(struct gathering *gathering);
/* In the child of a fork, which a signal handler may have made in the wait. */
void gathering_forked(struct gathering *gathering);
/* Lets the other go where it will. */
void gathering_end(struct gathering *gathering);
