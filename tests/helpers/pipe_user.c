/* A program that does with its files exactly what its arguments say, one step after the other:
 *
 *   read PATH | write PATH | both PATH   opens it; descriptors are numbered from 0 in the order of opening
 *   try-read PATH | try-write PATH       the same, without waiting for the other side
 *   put N COUNT                          writes COUNT bytes of the pattern, from where N stands in it
 *   drip N COUNT                         the same byte by byte
 *   get N COUNT                          reads COUNT bytes, which must be the pattern's
 *   end N                                reads, and there must be nothing any more
 *   some N                               reads once, whatever comes
 *   again N                              the next get of N begins at the start of the pattern
 *   close N
 *   echo N M COUNT                       COUNT times: a byte from N, then one to M
 *   child | rest                         forks: the child goes on behind the word `rest`, the parent with the next one
 *   daemon                               becomes one: the parent exits with 0 at once
 *   link FROM TO | unlink PATH | rename FROM TO | make PATH
 *   say TEXT | wait | pause | stop | spin | exit N | signal N
 *
 * A step that fails says so and ends with 1; SIGPIPE is as it was at the start, which is the default.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SLOTS = 512, CHUNK = 64 << 10 };

static struct {
    int fd;
    uint64_t written, read;
} slots[SLOTS];
static size_t slot_count;
static char **next;

static void fail(const char *what) {
    fprintf(stderr, "pipe_user: '%s' failed: %s\n", what, strerror(errno));
    exit(1);
}

static char *argument(void) {
    if (!*next) {
        errno = EINVAL;
        fail("an argument that is missing");
    }
    return *next++;
}

static size_t number(void) {
    return strtoull(argument(), NULL, 10);
}

/* Any piece of it is unlike any other: a byte that is lost, doubled or moved shows. */
static unsigned char pattern(uint64_t offset) {
    uint64_t word = (offset / 8 + 1) * 0x9e3779b97f4a7c15;
    return (unsigned char)(word >> (offset % 8 * 8));
}

static void open_slot(int flags) {
    const char *path = argument();
    int fd = open(path, flags);
    if (fd < 0 || slot_count == SLOTS)
        fail(path);
    if (flags & O_NONBLOCK && fcntl(fd, F_SETFL, 0) < 0)
        fail(path);
    slots[slot_count++].fd = fd;
}

static void put(size_t slot, uint64_t count, size_t piece) {
    unsigned char buffer[CHUNK];
    while (count > 0) {
        size_t size = count < piece ? count : piece;
        for (size_t i = 0; i < size; i++)
            buffer[i] = pattern(slots[slot].written + i);
        ssize_t written = write(slots[slot].fd, buffer, size);
        if (written < 0)
            fail("put");
        slots[slot].written += (uint64_t)written;
        count -= (uint64_t)written;
    }
}

static void get(size_t slot, uint64_t count) {
    unsigned char buffer[CHUNK];
    while (count > 0) {
        ssize_t size = read(slots[slot].fd, buffer, count < CHUNK ? count : CHUNK);
        if (size < 0)
            fail("get");
        if (size == 0) {
            fprintf(stderr, "pipe_user: the end after %llu bytes\n", (unsigned long long)slots[slot].read);
            exit(1);
        }
        for (ssize_t i = 0; i < size; i++)
            if (buffer[i] != pattern(slots[slot].read + (uint64_t)i)) {
                fprintf(stderr, "pipe_user: another byte at %llu\n", (unsigned long long)slots[slot].read + i);
                exit(1);
            }
        slots[slot].read += (uint64_t)size;
        count -= (uint64_t)size;
    }
}

static void end(size_t slot) {
    char byte;
    ssize_t size = read(slots[slot].fd, &byte, 1);
    if (size < 0)
        fail("end");
    if (size > 0) {
        fprintf(stderr, "pipe_user: more after %llu bytes\n", (unsigned long long)slots[slot].read);
        exit(1);
    }
}

static void echo(size_t from, size_t to, uint64_t count) {
    for (uint64_t i = 0; i < count; i++) {
        get(from, 1);
        put(to, 1, 1);
    }
}

static void split(void) {
    char **rest = next;
    while (*rest && strcmp(*rest, "rest") != 0)
        rest++;
    pid_t pid = fork();
    if (pid < 0)
        fail("child");
    if (pid == 0)
        next = *rest ? rest + 1 : rest;
    else
        *rest = NULL;
}

static void become_daemon(void) {
    pid_t pid = fork();
    if (pid < 0)
        fail("daemon");
    if (pid > 0)
        _exit(0);
    setsid();
}

static void act_on_slot(const char *step) {
    size_t slot = number();
    char buffer[CHUNK];
    if (strcmp(step, "put") == 0)
        put(slot, number(), CHUNK);
    else if (strcmp(step, "drip") == 0)
        put(slot, number(), 1);
    else if (strcmp(step, "get") == 0)
        get(slot, number());
    else if (strcmp(step, "end") == 0)
        end(slot);
    else if (strcmp(step, "some") == 0 && read(slots[slot].fd, buffer, sizeof(buffer)) < 0)
        fail(step);
    else if (strcmp(step, "again") == 0)
        slots[slot].read = 0;
    else if (strcmp(step, "close") == 0)
        close(slots[slot].fd);
}

static void act_on_path(const char *step) {
    const char *path = argument();
    int result = 0;
    if (strcmp(step, "unlink") == 0)
        result = unlink(path);
    else if (strcmp(step, "rename") == 0)
        result = rename(path, argument());
    else if (strcmp(step, "link") == 0)
        result = link(path, argument());
    else
        result = open(path, O_WRONLY | O_CREAT | O_EXCL, 0644);
    if (result < 0)
        fail(step);
}

static void act_on_itself(const char *step) {
    if (strcmp(step, "child") == 0) {
        split();
    } else if (strcmp(step, "daemon") == 0) {
        become_daemon();
    } else if (strcmp(step, "say") == 0) {
        const char *text = argument();
        if (write(STDOUT_FILENO, text, strlen(text)) < 0)
            fail(step);
    } else if (strcmp(step, "wait") == 0) {
        int status = 0;
        while (wait(&status) > 0)
            if (status)
                exit(1);
    } else if (strcmp(step, "stop") == 0) {
        raise(SIGSTOP);
    } else if (strcmp(step, "pause") == 0) {
        pause();
    } else if (strcmp(step, "spin") == 0) {
        for (volatile unsigned i = 0;; i++)
            ;
    } else if (strcmp(step, "exit") == 0) {
        exit((int)number());
    } else if (strcmp(step, "signal") == 0) {
        raise((int)number());
    } else {
        errno = EINVAL;
        fail(step);
    }
}

static int is_one_of(const char *step, const char *words) {
    size_t size = strlen(step);
    for (const char *place = words; (place = strstr(place, step)); place += size)
        if ((place == words || place[-1] == ' ') && (place[size] == ' ' || !place[size]))
            return 1;
    return 0;
}

int main(int count, char **arguments) {
    next = arguments + (count > 0);
    while (*next) {
        const char *step = argument();
        if (strcmp(step, "read") == 0)
            open_slot(O_RDONLY);
        else if (strcmp(step, "write") == 0)
            open_slot(O_WRONLY);
        else if (strcmp(step, "both") == 0)
            open_slot(O_RDWR);
        else if (strcmp(step, "try-read") == 0)
            open_slot(O_RDONLY | O_NONBLOCK);
        else if (strcmp(step, "try-write") == 0)
            open_slot(O_WRONLY | O_NONBLOCK);
        else if (strcmp(step, "echo") == 0) {
            size_t from = number(), to = number();
            echo(from, to, number());
        } else if (is_one_of(step, "put drip get end some again close"))
            act_on_slot(step);
        else if (is_one_of(step, "unlink rename link make"))
            act_on_path(step);
        else
            act_on_itself(step);
    }
    return 0;
}
