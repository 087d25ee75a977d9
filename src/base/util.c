/* Small things every room uses: see util.h. */
#include "base/util.h"

#include <sys/utsname.h>

uint64_t time_now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_SECOND + (uint64_t)now.tv_nsec;
}

uint64_t time_add_ns(uint64_t time, uint64_t duration) {
    return duration > NS_FOREVER - time ? NS_FOREVER : time + duration;
}

bool kernel_is_at_least(unsigned major, unsigned minor) {
    struct utsname system;
    unsigned its_major, its_minor;
    return uname(&system) == 0 && sscanf(system.release, "%u.%u", &its_major, &its_minor) == 2 &&
           (its_major > major || (its_major == major && its_minor >= minor));
}

int fd_close(int fd) {
    if (fd >= 0) {
        int saved = errno;
        (void)sys_close(fd); /* Linux frees the number whatever close says: close(2), never retried */
        errno = saved;
    }
    return -1;
}

int fd_write_all(int fd, const void *data, size_t size) {
    const char *place = data;
    while (size > 0) {
        ssize_t written = sys_write(fd, place, size);
        if (written == -EINTR || written == -EAGAIN)
            continue;
        if (written < 0)
            return (int)written;
        place += written;
        size -= (size_t)written;
    }
    return 0;
}

void sigpipe_guard_init(struct sigpipe_guard *guard) {
    sigset_t pipe_set, pending;
    sigemptyset(&pipe_set);
    sigaddset(&pipe_set, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_set, &guard->old_set);
    /* A signal that was pending before is somebody else's and stays; only one that was blocked can be. */
    guard->was_pending = sigismember(&guard->old_set, SIGPIPE) && sigpending(&pending) == 0 &&
                         sigismember(&pending, SIGPIPE);
}

void sigpipe_guard_done(struct sigpipe_guard *guard) {
    static const struct timespec no_wait;
    sigset_t pipe_set;
    sigemptyset(&pipe_set);
    sigaddset(&pipe_set, SIGPIPE);
    if (!guard->was_pending)
        while (sigtimedwait(&pipe_set, NULL, &no_wait) < 0 && errno == EINTR)
            ;
    pthread_sigmask(SIG_SETMASK, &guard->old_set, NULL);
}

ssize_t fd_write_no_sigpipe(int fd, const void *data, size_t size) {
    CLEANUP(sigpipe_guard_done) struct sigpipe_guard guard;
    sigpipe_guard_init(&guard);
    return sys_write(fd, data, size);
}

int fd_reopen_nonblocking(int fd, int flags) {
    char path[32];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return sys_openat(AT_FDCWD, path, flags | O_NONBLOCK | O_NOCTTY, 0);
}

int fd_set_blocking(int fd) {
    int flags = sys_fcntl(fd, F_GETFL, 0);
    return flags < 0 ? flags : sys_fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
}

int array_reserve(void **items, size_t count, size_t *capacity, size_t size) {
    if (count < *capacity)
        return 0;
    size_t wanted = *capacity ? *capacity * 2 : 8;
    void *grown = memory_grow(*items, wanted * size);
    if (!grown)
        return -ENOMEM;
    *items = grown;
    *capacity = wanted;
    return 0;
}

void text_add(struct text *text, const char *data, size_t size) {
    if (text->failed)
        return;
    if (text->size + size + 1 > text->capacity) {
        size_t wanted = MAX(text->capacity * 2, text->size + size + 32);
        char *grown = memory_grow(text->data, wanted);
        if (!grown) {
            text->failed = true;
            return;
        }
        text->data = grown;
        text->capacity = wanted;
    }
    if (size)
        memcpy(text->data + text->size, data, size);
    text->size += size;
    text->data[text->size] = '\0';
}

void text_puts(struct text *text, const char *string) {
    text_add(text, string, strlen(string));
}

void text_printf(struct text *text, const char *format, ...) {
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int size = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    AUTO_FREE char *formatted = size < 0 ? NULL : memory_new((size_t)size + 1);
    if (formatted) {
        vsnprintf(formatted, (size_t)size + 1, format, again);
        text_add(text, formatted, (size_t)size);
    } else {
        text->failed = true;
    }
    va_end(again);
}

char *text_take(struct text *text) {
    text_add(text, "", 0);
    char *data = text->failed ? NULL : TAKE_POINTER(text->data);
    text_done(text);
    return data;
}
