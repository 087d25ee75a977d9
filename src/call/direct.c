/* Direct streams: one FIFO of the kernel under the names of both ends. See flow.h. */
#include "call/flow.h"

enum { DIRECT_BYTES = 1 << 20 };

/* While we hold both its sides no open of it waits, and nothing written is lost; its reader sees the end when the
 * writing program has exited, and its writer a broken pipe when the reading one has. */
int direct_begin(struct flow *flow) {
    spile_call *call = flow->call;
    int root = cell_root_fd(call->cell);
    char name[32], path[PATH_MAX];
    struct stat status;
    int result = fifo_make(&call->stream_room, name, &flow->direct_read, &flow->direct_write);
    if (result >= 0)
        result = sys_fstat(flow->direct_read, &status);
    if (result >= 0)
        (void)fcntl(flow->direct_read, F_SETPIPE_SZ, DIRECT_BYTES); /* past the user's share of pages it stays small */
    flow->direct_inode = result < 0 ? 0 : status.st_ino;
    flow->is_direct = true;
    for (size_t i = 0; i < call->program_count && result >= 0; i++) {
        const struct file *file = plan_use_of(call->plan, i, flow->name);
        if (!file)
            continue;
        flow->readers[i] = file->role == SPILE_READ ? 0 : -1;
        store_program_path(i, flow->name, path);
        result = store_make_directory(call, i);
        if (result >= 0)
            result = store_make_parents(call, path);
        if (result >= 0)
            result = sys_linkat(root, name, root, path, 0);
    }
    return result;
}

int direct_open(spile_call *call, const char *path, bool for_writing) {
    /* Nonblocking, for our other side is open and so the open succeeds at once; the program gets it as it expects it.
     */
    int fd = sys_openat(cell_root_fd(call->cell), path, (for_writing ? O_WRONLY : O_RDONLY) | O_NONBLOCK, 0);
    if (fd < 0)
        return fd;
    int result = sys_fcntl(fd, F_SETFL, 0);
    if (result < 0)
        fd_close(fd);
    return result < 0 ? result : fd;
}

bool direct_poke(spile_call *call, uint64_t inode, bool for_writing) {
    for (struct flow *flow = call->flows; flow; flow = flow->next) {
        if (!flow->is_direct || flow->direct_inode != inode)
            continue;
        /* Whoever is at the other side has gone. An open that comes now is let go on by one of ours that comes and
         * leaves: it sees the end, or a broken pipe. */
        bool has_gone = (for_writing ? flow->direct_read : flow->direct_write) < 0;
        for (size_t i = 0; has_gone && i < call->program_count; i++) {
            char path[PATH_MAX];
            if (for_writing ? flow->producer != (int)i : flow->readers[i] < 0)
                continue;
            store_program_path(i, flow->name, path);
            AUTO_FD fd = sys_openat(cell_root_fd(call->cell), path, (for_writing ? O_RDONLY : O_WRONLY) | O_NONBLOCK,
                                    0);
            return fd >= 0;
        }
    }
    return false;
}
