/* What a conversation costs, against poll, read and write by hand.
 *
 *   talks serve COUNT          devices that say again what they are told: prints their paths, until its input ends
 *   talks trips LINES DEVICE DEVICE DEVICE      round trips of a line: by hand, by talk, by question
 *   talks through COMMAND LINES                 by hand, through a program on pipes
 *   talks lines COUNT          lines of a large stream
 *   talks open TURNS DEVICE DEVICE              from nothing to the first reply
 *   talks idle COUNT           talks in one process that wait: memory of each, and a round trip of one among them
 *
 * Prints "name nanoseconds" (of one trip, line, opening, turn) or "name bytes".
 */
#include "sample.h"
#include "spile.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#define FOREVER UINT64_MAX
static const char line[] = "a line as devices say it, 40 characters";

static void check(int result, const char *what, spile_error *error) {
    if (result >= 0)
        return;
    errno = -result;
    if (error)
        fprintf(stderr, "bench: %s\n", spile_error_get_message(error));
    fail(what);
}

/* ------------------------------------------------------------------------------ devices */

static void write_whole(int fd, const char *data, size_t size) {
    while (size > 0) {
        ssize_t count = write(fd, data, size);
        if (count < 0)
            fail("write");
        data += count;
        size -= (size_t)count;
    }
}

static void serve(size_t count) {
    struct pollfd *fds = calloc(count + 1, sizeof(*fds));
    char block[64 << 10], path[128];
    if (!fds)
        fail("calloc");
    fds[0] = (struct pollfd){.fd = 0, .events = POLLIN};
    for (size_t i = 1; i <= count; i++) {
        int slave;
        struct termios modes;
        if (openpty(&fds[i].fd, &slave, path, NULL, NULL) < 0 || tcgetattr(slave, &modes) < 0)
            fail("openpty");
        cfmakeraw(&modes);
        if (tcsetattr(slave, TCSANOW, &modes) < 0)
            fail("tcsetattr");
        fds[i].events = POLLIN; /* the other end stays open, or it would hang up */
        printf("%s\n", path);
    }
    fflush(stdout);
    for (;;) {
        if (poll(fds, count + 1, -1) < 0)
            fail("poll");
        if (fds[0].revents)
            exit(0);
        for (size_t i = 1; i <= count; i++) {
            ssize_t size = fds[i].revents ? read(fds[i].fd, block, sizeof(block)) : 0;
            if (size > 0)
                write_whole(fds[i].fd, block, (size_t)size);
        }
    }
}

/* ------------------------------------------------------------------------------ round trips */

static unsigned batch;

struct by_hand {
    int in, out;
    char block[4096];
};

static int open_by_hand(const char *path) {
    struct termios modes;
    int fd = open(path, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || tcgetattr(fd, &modes) < 0)
        fail(path);
    cfmakeraw(&modes);
    if (tcsetattr(fd, TCSANOW, &modes) < 0)
        fail(path);
    return fd;
}

static void trip_by_hand(struct by_hand *hand) {
    char said[sizeof(line)];
    size_t size = 0;
    memcpy(said, line, sizeof(line) - 1);
    said[sizeof(line) - 1] = '\n';
    if (write(hand->out, said, sizeof(said)) != (ssize_t)sizeof(said))
        fail("write");
    while (!memchr(hand->block, '\n', size)) {
        struct pollfd poll_fd = {.fd = hand->in, .events = POLLIN};
        if (poll(&poll_fd, 1, -1) < 0)
            fail("poll");
        ssize_t count = read(hand->in, hand->block + size, sizeof(hand->block) - size);
        if (count <= 0)
            fail("read");
        size += (size_t)count;
    }
}

static void trips_by_hand(void *context) {
    for (unsigned i = 0; i < batch; i++)
        trip_by_hand(context);
}

static spile_talk *open_talk(const char *endpoint, const spile_talk_options *options) {
    spile_talk *talk = NULL;
    spile_error *error = NULL;
    check(spile_talk_open(endpoint, options, &talk, &error), endpoint, error);
    return talk;
}

static void trips_by_talk(void *context) {
    const char *text;
    size_t size;
    spile_error *error = NULL;
    for (unsigned i = 0; i < batch; i++) {
        check(spile_talk_write_line(context, line, FOREVER, &error), "write_line", error);
        check(spile_talk_read_line(context, FOREVER, &text, &size, &error), "read_line", error);
    }
}

static void trips_with_deadline(void *context) {
    const uint64_t timeout_ns = UINT64_C(10000000000);
    const char *text;
    size_t size;
    spile_error *error = NULL;
    for (unsigned i = 0; i < batch; i++) {
        check(spile_talk_write_line(context, line, timeout_ns, &error), "write_line", error);
        check(spile_talk_read_line(context, timeout_ns, &text, &size, &error), "read_line", error);
    }
}

static void trips_by_question(void *context) {
    spile_error *error = NULL;
    for (unsigned i = 0; i < batch; i++) {
        spile_reply reply = {.size = sizeof(reply)};
        check(spile_talk_ask(context, line, NULL, &reply, &error), "ask", error);
        spile_reply_done(&reply);
    }
}

static void measure_trips(unsigned lines, char **devices) {
    enum { TURNS = 400 };
    const int fd = open_by_hand(devices[0]);
    struct by_hand hand = {.in = fd, .out = fd};
    spile_talk *talks[] = {open_talk(devices[1], NULL), open_talk(devices[2], NULL)};
    struct kind kinds[] = {{"raw", trips_by_hand, &hand, NULL},
                           {"talk", trips_by_talk, talks[0], NULL},
                           {"deadline", trips_with_deadline, talks[0], NULL},
                           {"question", trips_by_question, talks[1], NULL}};
    batch = lines / TURNS + 1;
    sample_kinds(kinds, sizeof(kinds) / sizeof(*kinds), TURNS, 20);
    spile_talk_free(talks[0]);
    spile_talk_free(talks[1]);
}

/* Through a program that has the device: it is told by its standard input. What it says at first is passed over. */
static void measure_through(char *command, unsigned lines) {
    int to[2], from[2];
    if (pipe2(to, O_CLOEXEC) < 0 || pipe2(from, O_CLOEXEC) < 0)
        fail("pipe");
    pid_t pid = fork();
    if (pid == 0) {
        if (dup2(to[0], 0) < 0 || dup2(from[1], 1) < 0)
            fail("dup2");
        (void)close(to[1]);
        (void)close(from[0]);
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)setsid(); /* so that a program it starts goes with it */
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    struct by_hand hand = {.in = from[0], .out = to[1]};
    struct pollfd poll_fd = {.fd = from[0], .events = POLLIN};
    /* The first trip shows that it is there: what it said before came, and then nothing for a while. */
    trip_by_hand(&hand);
    while (poll(&poll_fd, 1, 300) > 0)
        if (read(from[0], hand.block, sizeof(hand.block)) <= 0)
            fail(command);
    uint64_t begin = now_ns();
    for (unsigned i = 0; i < lines; i++)
        trip_by_hand(&hand);
    lines += lines == 0;
    printf("through %llu\n", (unsigned long long)((now_ns() - begin) / lines));
    (void)kill(-pid, SIGKILL);
    (void)waitpid(pid, NULL, 0);
}

/* ------------------------------------------------------------------------------ a large stream */

static pid_t start_stream(uint64_t count, int *ret_fd) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        fail("pipe");
    pid_t pid = fork();
    if (pid == 0) {
        static char block[64 * sizeof(line)];
        for (size_t i = 0; i < 64; i++) {
            memcpy(block + i * sizeof(line), line, sizeof(line));
            block[(i + 1) * sizeof(line) - 1] = '\n';
        }
        for (uint64_t done = 0; done < count; done += 64)
            write_whole(ends[1], block, sizeof(block));
        _exit(0);
    }
    (void)close(ends[1]);
    *ret_fd = ends[0];
    return pid;
}

static uint64_t count_by_hand(int fd) {
    static char block[64 << 10];
    uint64_t count = 0;
    for (ssize_t size; (size = read(fd, block, sizeof(block))) > 0;)
        for (const char *place = block; (place = memchr(place, '\n', (size_t)(block + size - place))); place++)
            count++;
    return count;
}

static uint64_t count_by_talk(int fd) {
    const spile_talk_options options = {.size = sizeof(options), .take_fd = true};
    char endpoint[32];
    const char *text;
    size_t size;
    uint64_t count = 0;
    snprintf(endpoint, sizeof(endpoint), "fd:%d", fd);
    spile_talk *talk = open_talk(endpoint, &options);
    while (spile_talk_read_line(talk, FOREVER, &text, &size, NULL) == SPILE_TALK_WHOLE)
        count++;
    spile_talk_free(talk);
    return count;
}

static void measure_lines(uint64_t count) {
    static const struct {
        const char *name;
        uint64_t (*count)(int fd);
    } kinds[] = {{"lines-raw", count_by_hand}, {"lines-talk", count_by_talk}};
    for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
        int fd, status;
        pid_t pid = start_stream(count, &fd);
        uint64_t begin = now_ns(), counted = kinds[i].count(fd), took = now_ns() - begin;
        if (i == 0)
            (void)close(fd);
        if (counted == 0 || counted < count || waitpid(pid, &status, 0) != pid)
            fail("lines were lost");
        printf("%s %llu\n", kinds[i].name, (unsigned long long)(took * 1000 / counted)); /* of 1000 lines */
    }
}

/* ------------------------------------------------------------------------------ opening */

static void first_by_hand(void *context) {
    int fd = open_by_hand(context);
    struct by_hand hand = {.in = fd, .out = fd};
    trip_by_hand(&hand);
    (void)close(fd);
}

static void first_by_talk(void *context) {
    spile_talk *talk = open_talk(context, NULL);
    spile_reply reply = {.size = sizeof(reply)};
    spile_error *error = NULL;
    check(spile_talk_ask(talk, line, NULL, &reply, &error), "ask", error);
    spile_reply_done(&reply);
    spile_talk_free(talk);
}

static void measure_open(unsigned turns, char **devices) {
    struct kind kinds[] = {{"open-raw", first_by_hand, devices[0], NULL},
                           {"open-talk", first_by_talk, devices[1], NULL}};
    sample_kinds(kinds, 2, turns, 4);
}

/* ------------------------------------------------------------------------------ many that are idle */

static uint64_t memory_in_use(void) {
    char text[256];
    unsigned long pages, resident;
    FILE *file = fopen("/proc/self/statm", "re");
    if (!file || !fgets(text, sizeof(text), file) || sscanf(text, "%lu %lu", &pages, &resident) != 2)
        fail("/proc/self/statm");
    (void)fclose(file);
    return (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* Says again what comes on any of them, in a process of its own. */
static void start_peers(const int *fds, size_t count) {
    if (fork() != 0)
        return;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    const int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    for (size_t i = 0; i < count; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fds[i]};
        if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fds[i], &event) < 0)
            fail("epoll_ctl");
    }
    for (;;) {
        struct epoll_event event;
        char block[4096];
        if (epoll_wait(epoll_fd, &event, 1, -1) != 1)
            continue;
        ssize_t size = read(event.data.fd, block, sizeof(block));
        if (size <= 0)
            _exit(0);
        write_whole(event.data.fd, block, (size_t)size);
    }
}

/* Sockets whose other ends processes have, so many each: descriptors are limited. */
static int *make_sockets(size_t count) {
    enum { EACH = 4000 };
    int *ours = calloc(count, sizeof(*ours)), others[EACH];
    if (!ours)
        fail("calloc");
    for (size_t done = 0, size; done < count; done += size) {
        for (size = 0; size < EACH && done + size < count; size++) {
            int ends[2];
            if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
                fail("socketpair");
            ours[done + size] = ends[0];
            others[size] = ends[1];
        }
        start_peers(others, size);
        for (size_t i = 0; i < size; i++)
            (void)close(others[i]);
    }
    return ours;
}

static void measure_idle(size_t count) {
    enum { TURNS = 2000 };
    int *sockets = make_sockets(count);
    spile_talk **talks = calloc(count, sizeof(spile_talk *));
    spile_loop *loop = NULL;
    if (!talks || spile_loop_new(&loop) < 0)
        fail("memory");
    const spile_talk_options options = {.size = sizeof(options), .take_fd = true, .loop = loop};
    const uint64_t before = memory_in_use(), begin = now_ns();
    char endpoint[32];
    const char *text;
    size_t size;
    spile_error *error = NULL;
    for (size_t i = 0; i < count; i++) {
        snprintf(endpoint, sizeof(endpoint), "fd:%d", sockets[i]);
        talks[i] = open_talk(endpoint, &options);
    }
    while (spile_loop_step(loop, 0) < 0)
        fail("step");
    const uint64_t opened = now_ns(), after = memory_in_use();
    for (size_t i = 0; i < TURNS; i++) {
        spile_talk *talk = talks[i * 7919 % count];
        check(spile_talk_write_line(talk, line, FOREVER, &error), "write_line", error);
        check(spile_talk_read_line(talk, FOREVER, &text, &size, &error), "read_line", error);
    }
    printf("idle-open %llu\nidle-memory %llu\nidle-trip %llu\n", (unsigned long long)((opened - begin) / count),
           (unsigned long long)((after - before) / count), (unsigned long long)((now_ns() - opened) / TURNS));
    for (size_t i = 0; i < count; i++)
        spile_talk_free(talks[i]);
    spile_loop_free(loop);
}

int main(int argc, char **argv) {
    const char *what = argc > 2 ? argv[1] : "";
    const unsigned long number = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
    if (strcmp(what, "serve") == 0)
        serve(number);
    else if (strcmp(what, "trips") == 0 && argc == 6)
        measure_trips((unsigned)number, argv + 3);
    else if (strcmp(what, "through") == 0 && argc == 4)
        measure_through(argv[2], (unsigned)strtoul(argv[3], NULL, 10));
    else if (strcmp(what, "lines") == 0)
        measure_lines(number);
    else if (strcmp(what, "open") == 0 && argc == 5)
        measure_open((unsigned)number, argv + 3);
    else if (strcmp(what, "idle") == 0)
        measure_idle(number);
    else
        return 2;
    return 0;
}
