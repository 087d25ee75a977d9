/* See affinity.h. Straight to the kernel: a sanitizer's interceptor has no business between clone and exec. */
#include "base/affinity.h"

int affinity_get(pid_t thread, cpu_set_t *ret_processors) {
    CPU_ZERO(ret_processors); /* the kernel writes no more than it has */
    int result = sys_getaffinity(thread, ret_processors);
    return result < 0 ? result : 0;
}

void affinity_all(cpu_set_t *ret_processors) {
    memset(ret_processors, 0xff, sizeof(*ret_processors));
}

/* No fault points: what was set must be put back. */
static bool is_now(pid_t thread, const cpu_set_t *processors) {
    cpu_set_t now;
    CPU_ZERO(&now);
    return syscall(SYS_sched_getaffinity, thread, sizeof(now), &now) > 0 && CPU_EQUAL(&now, processors);
}

void affinity_restore(pid_t thread, const cpu_set_t *set, const cpu_set_t *was) {
    cpu_set_t now, all;
    CPU_ZERO(&now);
    if (syscall(SYS_sched_getaffinity, thread, sizeof(now), &now) <= 0)
        return;
    const cpu_set_t *wanted = CPU_EQUAL(&now, set) ? was : &now;
    affinity_all(&all);
    (void)syscall(SYS_sched_setaffinity, thread, sizeof(all), &all);
    if (!is_now(thread, wanted))
        (void)syscall(SYS_sched_setaffinity, thread, sizeof(*wanted), wanted);
}
