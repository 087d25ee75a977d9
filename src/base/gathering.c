/* See gathering.h. */
#include "base/gathering.h"
#include "base/affinity.h"

bool gathering_begin(struct gathering *gathering, pid_t other) {
    gathering_end(gathering);
    int here = sched_getcpu();
    if (here < 0 || affinity_get(other, &gathering->others) < 0 || !CPU_ISSET(here, &gathering->others) ||
        CPU_COUNT(&gathering->others) < 2)
        return false;
    CPU_ZERO(&gathering->here);
    CPU_SET(here, &gathering->here);
    if (sys_setaffinity(other, &gathering->here) < 0)
        return false;
    gathering->other = other;
    gathering->end_ns = time_add_ns(time_now_ns(), GATHERING_NS);
    return true;
}

bool gathering_enter(struct gathering *gathering) {
    cpu_set_t allowed;
    if (gathering->other == 0)
        return false;
    if (time_now_ns() < gathering->end_ns && affinity_get(0, &gathering->own) >= 0) {
        if (CPU_EQUAL(&gathering->own, &gathering->here))
            return false;
        CPU_AND(&allowed, &gathering->own, &gathering->here); /* another thread may step the loop by now */
        gathering->waiting = pthread_self();
        gathering->is_waiting = true; /* before it is: a handler may fork in between */
        if (!CPU_EQUAL(&allowed, &gathering->here) || sys_setaffinity(0, &gathering->here) < 0)
            gathering->is_waiting = false;
    }
    if (!gathering->is_waiting)
        gathering_end(gathering);
    return gathering->is_waiting;
}

void gathering_leave(struct gathering *gathering) {
    affinity_restore(0, &gathering->here, &gathering->own);
    gathering->is_waiting = false;
}

void gathering_forked(struct gathering *gathering) {
    if (gathering->is_waiting && pthread_equal(gathering->waiting, pthread_self()))
        gathering_leave(gathering);
    gathering->other = 0; /* the parent's */
}

void gathering_end(struct gathering *gathering) {
    pid_t other = TAKE(gathering->other, 0);
    if (other != 0)
        affinity_restore(other, &gathering->here, &gathering->others);
}
