/* The programs of the stream benchmarks: what they do costs as little as it can, so that what lies between them is
 * seen.
 *
 *   flow write TO BYTES [PIPE_BYTES]   writes a pattern; PIPE_BYTES is what the pipe is made to hold
 *   flow read FROM BYTES               reads it, and fails where it is shorter, longer or another
 *   flow pass FROM TO WORK             passes on what comes, after WORK times going through it
 *   flow relay FROM TO                 the same by an unbounded copy in memory that never makes its writer wait
 *   flow many-write COUNT BYTES        writes s0, s1, ... in turn, a piece each
 *   flow many-read COUNT BYTES
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CHUNK = 64 << 10, WORDS = CHUNK / sizeof(uint64_t) };

static uint64_t chunk[WORDS];

static _Noreturn void fail(const char *what) {
    fprintf(stderr, "flow: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int open_file(const char *path, int flags) {
    int fd = open(path, flags | O_CLOEXEC, 0666);
    if (fd < 0)
        fail(path);
    return fd;
}

static size_t read_some(int fd, void *data, size_t size) {
    ssize_t count = read(fd, data, size);
    if (count < 0)
        fail("read");
    return (size_t)count;
}

static void write_all(int fd, const void *data, size_t size) {
    while (size > 0) {
        ssize_t count = write(fd, data, size);
        if (count < 0)
            fail("write");
        data = (const char *)data + count;
        size -= (size_t)count;
    }
}

/* The same in every chunk: looking at it costs nothing beside moving it. */
static void make_pattern(void) {
    for (size_t i = 0; i < WORDS; i++)
        chunk[i] = i * 0x9e3779b97f4a7c15U;
}

static void write_pattern(int fd, uint64_t bytes) {
    for (uint64_t left = bytes; left > 0;) {
        size_t size = left < CHUNK ? (size_t)left : CHUNK;
        write_all(fd, chunk, size);
        left -= size;
    }
}

/* The first and last byte of each piece that was read. */
static void check_piece(const char *piece, size_t size, uint64_t offset) {
    const char *expected = (const char *)chunk;
    if (piece[0] != expected[offset % CHUNK] || piece[size - 1] != expected[(offset + size - 1) % CHUNK]) {
        fprintf(stderr, "flow: other bytes came than were written, at %llu\n", (unsigned long long)offset);
        exit(1);
    }
}

static void read_pattern(int fd, uint64_t bytes) {
    static char piece[CHUNK];
    uint64_t offset = 0;
    size_t size;
    while ((size = read_some(fd, piece, sizeof(piece))) > 0) {
        check_piece(piece, size, offset);
        offset += size;
    }
    if (offset != bytes) {
        fprintf(stderr, "flow: %llu bytes came, not %llu\n", (unsigned long long)offset, (unsigned long long)bytes);
        exit(1);
    }
}

/* Something that can't be left out and takes its time. */
static uint64_t work(const uint64_t *data, size_t words, unsigned times) {
    uint64_t sum = 0;
    for (unsigned i = 0; i < times; i++)
        for (size_t j = 0; j < words; j++)
            sum = (sum ^ data[j]) * 0x100000001b3U;
    return sum;
}

static volatile uint64_t kept; /* or the compiler would see that nobody needs it */

static void pass(int from, int to, unsigned times) {
    size_t size;
    while ((size = read_some(from, chunk, CHUNK)) > 0) {
        kept = work(chunk, size / sizeof(*chunk), times);
        write_all(to, chunk, size);
    }
}

struct eager {
    char *data;
    size_t start, end, capacity;
};

static bool take_in(struct eager *eager, int from) {
    if (eager->start == eager->end)
        eager->start = eager->end = 0;
    if (eager->capacity - eager->end < CHUNK) {
        eager->capacity = eager->capacity ? 2 * eager->capacity : (size_t)16 * CHUNK;
        eager->data = realloc(eager->data, eager->capacity);
        if (!eager->data)
            fail("realloc");
    }
    size_t size = read_some(from, eager->data + eager->end, CHUNK);
    eager->end += size;
    return size > 0;
}

static void relay(int from, int to) {
    struct eager eager = {0};
    bool is_open = true;
    if (fcntl(to, F_SETFL, O_NONBLOCK) < 0)
        fail("fcntl");
    while (is_open || eager.start < eager.end) {
        struct pollfd fds[] = {{.fd = is_open ? from : -1, .events = POLLIN},
                               {.fd = eager.start < eager.end ? to : -1, .events = POLLOUT}};
        if (poll(fds, 2, -1) < 0)
            fail("poll");
        if (fds[0].revents)
            is_open = take_in(&eager, from);
        if (fds[1].revents) {
            ssize_t count = write(to, eager.data + eager.start, eager.end - eager.start);
            if (count < 0 && errno != EAGAIN)
                fail("write");
            eager.start += count > 0 ? (size_t)count : 0;
        }
    }
    free(eager.data);
}

/* Every one is open from the first to the last byte, and all go on together. */
static void many(size_t count, uint64_t bytes, bool is_writer) {
    static char piece[4096];
    int *fds = calloc(count, sizeof(*fds));
    if (!fds)
        fail("calloc");
    for (size_t i = 0; i < count; i++) {
        char name[32];
        snprintf(name, sizeof(name), "s%zu", i);
        fds[i] = open_file(name, is_writer ? O_WRONLY : O_RDONLY);
    }
    for (uint64_t left = bytes; left > 0;) {
        size_t size = left < sizeof(piece) ? (size_t)left : sizeof(piece);
        for (size_t i = 0; i < count; i++) {
            if (is_writer)
                write_all(fds[i], piece, size);
            for (size_t done = 0, got; !is_writer && done < size; done += got)
                if ((got = read_some(fds[i], piece, size - done)) == 0)
                    fail("the end came early");
        }
        left -= size;
    }
    for (size_t i = 0; i < count; i++)
        if (!is_writer && read_some(fds[i], piece, 1) != 0)
            fail("the end came late");
    free(fds);
}

static int usage(void) {
    fprintf(stderr, "usage: flow write TO BYTES [PIPE_BYTES] | read FROM BYTES | pass FROM TO WORK | relay FROM TO | "
                    "many-write COUNT BYTES | many-read COUNT BYTES\n");
    return 2;
}

int main(int argc, char **argv) {
    const char *what = argc > 3 ? argv[1] : "";
    uint64_t number = argc > 3 ? strtoull(argv[argc > 4 && strcmp(what, "write") != 0 ? 4 : 3], NULL, 10) : 0;
    make_pattern();
    if (strcmp(what, "write") == 0) {
        int to = strcmp(argv[2], "-") == 0 ? STDOUT_FILENO : open_file(argv[2], O_WRONLY | O_CREAT | O_TRUNC);
        if (argc > 4 && fcntl(to, F_SETPIPE_SZ, atoi(argv[4])) < 0)
            fail("F_SETPIPE_SZ");
        write_pattern(to, number);
    } else if (strcmp(what, "read") == 0) {
        read_pattern(open_file(argv[2], O_RDONLY), number);
    } else if (strcmp(what, "pass") == 0 && argc > 4) {
        int from = open_file(argv[2], O_RDONLY);
        pass(from, open_file(argv[3], O_WRONLY | O_CREAT | O_TRUNC), (unsigned)number);
    } else if (strcmp(what, "relay") == 0) {
        int from = open_file(argv[2], O_RDONLY);
        relay(from, open_file(argv[3], O_WRONLY));
    } else if (strncmp(what, "many-", 5) == 0) {
        many(strtoul(argv[2], NULL, 10), number, strcmp(what, "many-write") == 0);
    } else {
        return usage();
    }
    return 0;
}
