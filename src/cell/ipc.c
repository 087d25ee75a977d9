/* A namespace for what belongs to no process: see ipc.h. Looking costs four small calls; a new namespace ten times
 * that.
 */
#include "cell/ipc.h"

#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>

enum { EMPTY_BYTES = 2 * 20 }; /* ipc/mqueue.c: DIRENT_SIZE, for a directory of no queues */

int ipc_enter(void) {
    return sys_unshare(CLONE_NEWIPC);
}

/* Only when it is asked for the first time: taking the file system from its place again costs a grace period of RCU,
 * which a cell of a single call has no use for. */
static int open_queues(const char *place) {
    if (sys_mount("spile", place, "mqueue", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
        return IPC_NO_QUEUES; /* a kernel without them */
    int queues = sys_openat(AT_FDCWD, place, O_RDONLY | O_DIRECTORY, 0);
    (void)sys_umount(place);
    return queues < 0 ? IPC_UNSEEN : queues;
}

bool ipc_is_used(const char *place, int *queues) {
    union {
        struct shm_info memory;
        struct seminfo semaphores;
        struct msginfo messages;
        struct shmid_ds *align;
    } info;
    struct stat status;
    union semun {
        struct seminfo *info;
    } argument = {&info.semaphores};
    /* The directory's size counts its entries, "." and ".." among them. */
    if (*queues == IPC_UNSEEN)
        *queues = open_queues(place);
    if (*queues == IPC_UNSEEN || (*queues >= 0 && (sys_fstat(*queues, &status) < 0 || status.st_size > EMPTY_BYTES)))
        return true;
    if (shmctl(0, SHM_INFO, (struct shmid_ds *)&info) >= 0 && info.memory.used_ids > 0)
        return true;
    if (semctl(0, 0, SEM_INFO, argument) >= 0 && info.semaphores.semusz > 0)
        return true;
    return msgctl(0, MSG_INFO, (struct msqid_ds *)&info) >= 0 && info.messages.msgpool > 0;
}
