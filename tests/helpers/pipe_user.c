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
 *
 * What a script is made of whose bytes somebody else checks (tests/stress):
 *
 *   create PATH | standard FD | dup N    further descriptors: of a new file, standard input or output, a second one
 *   send N FROM COUNT CHUNK              writes COUNT bytes of the pattern, from FROM on, CHUNK at a time
 *   take N COUNT CHUNK                   reads COUNT bytes, or to the end, and tells on standard error how many and
 * their sum pass N M COUNT CHUNK                 the same, and writes them to M deaf SIGPIPE is ignored from here on,
 * and what nobody reads is written no more doze MICROSECONDS fork NAME | forked                   a child, which tells
 * by that name, does what stands between, and ends with 0
 *
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
#include <time.h>
#include <unistd.h>

enum { SLOTS = 512, CHUNK = 64 << 10, LARGEST_CHUNK = 1 << 20 };

static struct {
    int fd;
    uint64_t written, read;
    int has_no_reader;
} slots[SLOTS];
static size_t slot_count;
static char **next;
static const char *name = "main";
static int is_deaf;

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

static void add_slot(int fd, const char *what) {
    if (fd < 0 || slot_count == SLOTS)
        fail(what);
    slots[slot_count++].fd = fd;
}

static void open_slot(int flags) {
    const char *path = argument();
    int fd = open(path, flags, 0644);
    add_slot(fd, path);
    if (flags & O_NONBLOCK && fcntl(fd, F_SETFL, 0) < 0)
        fail(path);
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

/* Of a slot whose readers have left nothing more is written; in vain or not, the script goes on. */
static void write_all(size_t slot, const unsigned char *data, size_t size) {
    while (size > 0 && !slots[slot].has_no_reader) {
        ssize_t written = write(slots[slot].fd, data, size);
        slots[slot].has_no_reader = written < 0 && errno == EPIPE && is_deaf;
        if (slots[slot].has_no_reader)
            return;
        if (written < 0)
            fail("send");
        data += written;
        size -= (size_t)written;
    }
}

static unsigned char large[LARGEST_CHUNK];

static size_t chunk_size(void) {
    size_t size = number();
    return size < 1 ? 1 : size < LARGEST_CHUNK ? size : LARGEST_CHUNK;
}

static void send(size_t slot) {
    uint64_t place = number(), count = number();
    size_t chunk = chunk_size();
    while (count > 0) {
        size_t size = count < chunk ? count : chunk;
        for (size_t i = 0; i < size; i++)
            large[i] = pattern(place + i);
        write_all(slot, large, size);
        place += size;
        count -= size;
    }
}

static uint32_t sum(uint32_t crc, const unsigned char *data, size_t size) {
    static uint32_t table[256];
    for (uint32_t i = 0; !table[255] && i < 256; i++) {
        table[i] = i;
        for (int bit = 0; bit < 8; bit++)
            table[i] = table[i] & 1 ? table[i] >> 1 ^ 0xedb88320 : table[i] >> 1;
    }
    crc = ~crc;
    for (size_t i = 0; i < size; i++)
        crc = table[(crc ^ data[i]) & 255] ^ crc >> 8;
    return ~crc;
}

static void take(size_t from, size_t to, int is_passed_on) {
    uint64_t count = number(), total = 0;
    size_t chunk = chunk_size();
    uint32_t crc = 0;
    char line[128];
    while (total < count) {
        size_t wanted = count - total < chunk ? count - total : chunk;
        ssize_t size = read(slots[from].fd, large, wanted);
        if (size < 0)
            fail("take");
        if (size == 0)
            break;
        crc = sum(crc, large, (size_t)size);
        total += (uint64_t)size;
        if (is_passed_on)
            write_all(to, large, (size_t)size);
    }
    int length = snprintf(line, sizeof(line), "%s took %llu %08x\n", name, (unsigned long long)total, (unsigned)crc);
    if (write(STDERR_FILENO, line, (size_t)length) != length)
        fail("telling");
}

static void fork_child(void) {
    const char *child = argument();
    pid_t pid = fork();
    if (pid < 0)
        fail("fork");
    if (pid == 0) {
        name = child;
        return;
    }
    for (int depth = 1; depth > 0;) {
        const char *word = argument();
        depth += strcmp(word, "fork") == 0;
        depth -= strcmp(word, "forked") == 0;
    }
}

static void doze(void) {
    size_t microseconds = number();
    struct timespec time = {.tv_sec = (time_t)(microseconds / 1000000),
                            .tv_nsec = (long)(microseconds % 1000000 * 1000)};
    nanosleep(&time, NULL);
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
    else if (strcmp(step, "dup") == 0)
        add_slot(dup(slots[slot].fd), step);
    else if (strcmp(step, "send") == 0)
        send(slot);
    else if (strcmp(step, "take") == 0)
        take(slot, slot, 0);
    else if (strcmp(step, "pass") == 0)
        take(slot, number(), 1);
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

static int act_for_script(const char *step) {
    if (strcmp(step, "deaf") == 0)
        is_deaf = signal(SIGPIPE, SIG_IGN) != SIG_ERR;
    else if (strcmp(step, "doze") == 0)
        doze();
    else if (strcmp(step, "fork") == 0)
        fork_child();
    else if (strcmp(step, "forked") == 0)
        exit(0);
    else
        return 0;
    return 1;
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
    } else if (!act_for_script(step)) {
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
        else if (strcmp(step, "create") == 0)
            open_slot(O_WRONLY | O_CREAT | O_TRUNC);
        else if (strcmp(step, "standard") == 0)
            add_slot((int)number(), step);
        else if (strcmp(step, "echo") == 0) {
            size_t from = number(), to = number();
            echo(from, to, number());
        } else if (is_one_of(step, "put drip get end some again close dup send take pass"))
            act_on_slot(step);
        else if (is_one_of(step, "unlink rename link make"))
            act_on_path(step);
        else
            act_on_itself(step);
    }
    return 0;
}
