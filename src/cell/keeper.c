/* What is left to do when a supervisor has ended: see keeper.h. */
#include "cell/keeper.h"

#include <sys/mman.h>
#include <sys/wait.h>

enum { NOTES_SIZE = 2 * sizeof(cgroup_path) };

void keeper_prepare(struct keeper *keeper) {
    int self = sys_pidfd_open(getpid());
    void *notes = sys_mmap(NOTES_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    *keeper = (struct keeper){.self = self < 0 ? -1 : self, .notes = notes == MAP_FAILED ? NULL : notes};
}

void keeper_done(struct keeper *keeper) {
    fd_close(TAKE_FD(keeper->self));
    if (keeper->notes)
        (void)sys_munmap(keeper->notes, NOTES_SIZE);
    keeper->notes = NULL;
}

/* Whoever waits for one of them to be closed must not wait for us. */
static void close_all(void) {
    enum { FD_MAX = 64 };
    if (sys_close_range(0, ~0u, 0u) >= 0)
        return;
    for (int fd = 0; fd < FD_MAX; fd++)
        (void)sys_close(fd);
}

void keeper_keep(const struct keeper *keeper, pid_t supervisor) {
    close_all();
    (void)setsid();
    while (waitpid(supervisor, NULL, __WALL) < 0 && errno == EINTR)
        ;
    for (size_t i = 0; keeper->notes && i < NOTES_SIZE / sizeof(*keeper->notes); i++)
        if (__atomic_load_n(keeper->notes[i], __ATOMIC_ACQUIRE) != '\0')
            cgroup_remove_path(keeper->notes[i]);
    _exit(0);
}
