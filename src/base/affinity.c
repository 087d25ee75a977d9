/* See affinity.h. Straight to the kernel: a sanitizer's interceptor has no business between clone and exec. */
#include "base/affinity.h"

int affinity_get(pid_t thread, cpu_set_t *ret_processors) {
    CPU_ZERO(ret_processors); /* the kernel writes no more than it has */
    int result = sys_getaffinity(thread, ret_processors);
    return result < 0 ? result : 0;
}

unsigned affinity_count(void) {
    cpu_set_t own;
    return affinity_get(0, &own) < 0 ? 1 : (unsigned)CPU_COUNT(&own);
}

void affinity_all(cpu_set_t *ret_processors) {
    memset(ret_processors, 0xff, sizeof(*ret_processors));
}

/* No fault points: what was set must be put back. */
static bool look(pid_t thread, cpu_set_t *ret_processors) {
    CPU_ZERO(ret_processors);
    return syscall(SYS_sched_getaffinity, thread, sizeof(*ret_processors), ret_processors) > 0;
}

void affinity_restore(pid_t thread, const cpu_set_t *set, const cpu_set_t *was) {
    cpu_set_t wanted, now;
    if (!look(thread, &wanted))
        return;
    if (CPU_EQUAL(&wanted, set))
        wanted = *was;
    affinity_all(&now);
    (void)syscall(SYS_sched_setaffinity, thread, sizeof(now), &now);
    if (!look(thread, &now) || !CPU_EQUAL(&now, &wanted))
        (void)syscall(SYS_sched_setaffinity, thread, sizeof(wanted), &wanted);
}
