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
    if (gathering->other == 0)
        return false;
    cpu_set_t allowed;
    if (time_now_ns() < gathering->end_ns && affinity_get(0, &gathering->own) >= 0) {
        CPU_AND(&allowed, &gathering->own, &gathering->here); /* another thread may step the loop by now */
        if (CPU_EQUAL(&allowed, &gathering->here) && sys_setaffinity(0, &gathering->here) >= 0)
            return true;
    }
    gathering_end(gathering);
    return false;
}

void gathering_leave(const struct gathering *gathering) {
    affinity_restore(0, &gathering->here, &gathering->own);
}

void gathering_end(struct gathering *gathering) {
    pid_t other = TAKE(gathering->other, 0);
    if (other != 0)
        affinity_restore(other, &gathering->here, &gathering->others);
}
