/* Promises: see promise.h. In the library and in the supervisor. */
#include "cell/promise.h"

static const char *const names[] = {"contained", "private", "files",      "program_memory",
                                    "processes", "no_swap", "standstill", "private_path"};

const char *spile_promise_name(spile_promise promise) {
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if ((unsigned)promise == 1u << i)
            return names[i];
    return NULL;
}

/* As much as there is room for. */
static ssize_t read_start(int fd, char *text, size_t size) {
    size_t used = 0;
    while (used < size) {
        ssize_t got = sys_read(fd, text + used, size - used);
        if (got == -EINTR || got == -EAGAIN)
            continue;
        if (got < 0)
            return got;
        if (got == 0)
            break;
        used += (size_t)got;
    }
    return (ssize_t)used;
}

bool promise_has_no_swap(void) {
    char text[4096];
    AUTO_FD fd = sys_openat(AT_FDCWD, "/proc/swaps", O_RDONLY, 0);
    if (fd < 0)
        return fd == -ENOENT; /* a kernel that can't swap */
    ssize_t size = read_start(fd, text, sizeof(text) - 1);
    if (size <= 0)
        return false;
    text[size] = '\0';
    const char *first = strchr(text, '\n'); /* behind the heading, one line a device */
    return first && first[1] == '\0';
}

int promise_sees_waits(void) {
    char text[256];
    AUTO_FD fd = sys_openat(AT_FDCWD, "/proc/self/syscall", O_RDONLY, 0);
    if (fd < 0)
        return fd;
    ssize_t size = read_start(fd, text, sizeof(text));
    return size < 0 ? (int)size : 0;
}
