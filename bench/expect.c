/* A marker behind much text: read and kept by hand and looked for with memmem (the limit), and expected.
 *
 *   expect MEGABYTES TURNS
 *
 * A child writes the text into a socket, anew for each turn. */
#include "sample.h"
#include "spile.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MEGABYTE = 1 << 20, READ_SIZE = 256 << 10, NAME_SIZE = 64 };
#define MARKER "the marker 42"

static size_t megabytes;
static char *text; /* one megabyte */

static int begin(pid_t *ret_child) {
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0 || (*ret_child = fork()) < 0)
        fail("socket");
    if (*ret_child > 0) {
        close(pair[1]);
        return pair[0];
    }
    close(pair[0]);
    for (size_t i = 0; i < megabytes; i++)
        for (size_t done = 0; done < MEGABYTE;) {
            ssize_t count = write(pair[1], text + done, MEGABYTE - done);
            if (count < 0)
                _exit(1);
            done += (size_t)count;
        }
    _exit(write(pair[1], MARKER "\n", sizeof(MARKER)) != sizeof(MARKER));
}

static void end(int fd, pid_t child) {
    close(fd);
    waitpid(child, NULL, 0);
}

static void by_hand(void *unused) {
    (void)unused;
    pid_t child;
    int fd = begin(&child);
    size_t size = 0, capacity = MEGABYTE;
    char *kept = malloc(capacity);
    for (const char *found = NULL; !found;) {
        if (capacity - size < READ_SIZE && !(kept = realloc(kept, capacity *= 2)))
            fail("memory");
        ssize_t count = read(fd, kept + size, READ_SIZE);
        if (count <= 0)
            fail("read");
        size_t from = size > sizeof(MARKER) ? size - sizeof(MARKER) : 0;
        size += (size_t)count;
        found = memmem(kept + from, size - from, MARKER, sizeof(MARKER) - 1);
    }
    free(kept);
    end(fd, child);
}

static void expected(void *context) {
    const spile_pattern *pattern = context;
    pid_t child;
    int fd = begin(&child);
    char endpoint[NAME_SIZE];
    spile_talk *talk = NULL;
    spile_patterns *patterns = NULL;
    spile_match match = {.size = sizeof(match)};
    const spile_talk_options options = {.size = sizeof(options), .keep_limit_bytes = UINT64_C(4) << 30};
    snprintf(endpoint, sizeof(endpoint), "fd:%d", fd);
    if (spile_talk_open(endpoint, &options, &talk, NULL) < 0 ||
        spile_patterns_new(pattern, 2, NULL, &patterns, NULL) < 0 ||
        spile_talk_expect(talk, patterns, NULL, UINT64_MAX, &match, NULL) != 0 ||
        match.before.size != megabytes * MEGABYTE)
        fail("expect");
    spile_patterns_free(patterns);
    spile_talk_free(talk);
    end(fd, child);
}

int main(int argc, char **argv) {
    if (argc != 3)
        fail("usage: expect MEGABYTES TURNS");
    megabytes = strtoul(argv[1], NULL, 10);
    text = malloc(MEGABYTE);
    for (size_t i = 0; i < MEGABYTE; i++)
        text[i] = i % 64 == 63 ? '\n' : (char)(' ' + (i * 7 + i / 64) % 95);
#define BESIDE \
    { .kind = SPILE_PATTERN_END }
    static spile_pattern literal[] = {{.text = MARKER}, BESIDE};
    static spile_pattern literals[] = {{.text = MARKER}, {.text = "nowhere to be seen"}};
    static spile_pattern regex[] = {{.kind = SPILE_PATTERN_REGEX, .text = "the marker \\d+"}, BESIDE};
    static spile_pattern class[] = {{.kind = SPILE_PATTERN_REGEX, .text = "\\bthe \\w+ker \\d{2}"}, BESIDE};
    static spile_pattern wild[] = {{.kind = SPILE_PATTERN_REGEX, .text = ".*marker \\d+", .mode = SPILE_PATTERN_FINAL},
                                   BESIDE};
    struct kind kinds[] = {{.name = "memmem", .run = by_hand},
                           {.name = "literal", .run = expected, .context = literal},
                           {.name = "literals", .run = expected, .context = literals},
                           {.name = "regex", .run = expected, .context = regex},
                           {.name = "classes", .run = expected, .context = class},
                           {.name = "wild", .run = expected, .context = wild}};
    sample_kinds(kinds, sizeof(kinds) / sizeof(*kinds), strtoul(argv[2], NULL, 10), 1);
    return 0;
}
