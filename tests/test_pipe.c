/* Pipes for processes that spile does not start: everything that feeds an input, and everywhere an output goes. */
#include "pipe_support.h"

#include <sys/un.h>

/* ------------------------------------------------------------------------------------------------ feeds */

enum { FILE_START = 10 };
static const size_t sizes[] = {0, 1, 65537, 3000000};

START_TEST(feed_memory) {
    size_t size = sizes[_i];
    unsigned char *bytes = pattern_bytes(size);
    spile_pipe *in = input_of(bytes, size), *out = output_new();
    copy_through(in, out, "exec cat \"$1\" >\"$2\"");
    check_came(out, bytes, size);
    ck_assert_uint_eq(info_of(in).bytes, size);
    ck_assert_uint_eq(info_of(out).bytes, size);
    ck_assert_uint_eq(info_of(out).opens, 1);
    ck_assert(info_of(out).ended);
    spile_pipe_free(in);
    spile_pipe_free(out);
    free(bytes);
}
END_TEST

START_TEST(feed_copy) {
    char text[] = "copied";
    spile_pipe *in = input_of(NULL, 0), *out = output_new();
    ck_assert_int_eq(spile_pipe_feed_copy(in, text, 6), 0);
    memset(text, 'x', 6);
    copy_through(in, out, "cat \"$1\" >\"$2\"");
    check_came(out, "copied", 6);
    spile_pipe_free(in);
    spile_pipe_free(out);
}
END_TEST

static void *write_all(void *argument) {
    int fd = *(int *)argument;
    unsigned char *bytes = pattern_bytes(3000000);
    ck_assert_int_eq(fd_write_all(fd, bytes, 3000000), 0);
    close(fd);
    free(bytes);
    return NULL;
}

enum { FROM_FILE, FROM_PIPE, FROM_SOCKET, FROM_PATH, FROM_FIFO, FROM_COUNT };

struct place {
    char *path;
    int fd, filled_fd; /* -1: none */
    bool is_threaded;  /* a thread fills it */
    pthread_t thread;
};

/* Makes a place of that kind and has it fed to the pipe. */
static void place_open(struct place *place, int kind, spile_pipe *in) {
    int fds[2] = {-1, -1};
    *place = (struct place){.path = strdup(in_scratch("source")),
                            .is_threaded = kind != FROM_FILE && kind != FROM_PATH};
    if (kind == FROM_PIPE)
        ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
    else if (kind == FROM_SOCKET)
        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    else if (kind == FROM_FIFO)
        ck_assert_int_eq(mkfifo(place->path, 0600), 0);
    else
        fds[0] = open(place->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (!place->is_threaded) {
        fds[1] = fcntl(fds[0], F_DUPFD_CLOEXEC, 3);
        write_all(&fds[1]);
        ck_assert_int_eq(lseek(fds[0], FILE_START, SEEK_SET), FILE_START);
    }
    bool is_named = kind == FROM_PATH || kind == FROM_FIFO;
    ck_assert_int_eq(is_named ? spile_pipe_feed_path(in, place->path) : spile_pipe_feed_fd(in, fds[0]), 0);
    if (kind == FROM_FIFO)
        ck_assert_int_ge(fds[1] = open(place->path, O_WRONLY | O_CLOEXEC), 0);
    place->fd = fds[0];
    place->filled_fd = fds[1];
    if (place->is_threaded)
        ck_assert_int_eq(pthread_create(&place->thread, NULL, write_all, &place->filled_fd), 0);
}

static void place_close(struct place *place) {
    if (place->is_threaded)
        pthread_join(place->thread, NULL);
    if (place->fd >= 0) {
        ck_assert_int_eq(fcntl(place->fd, F_GETFL) & O_NONBLOCK, 0);
        close(place->fd);
    }
    free(place->path);
}

START_TEST(feed_descriptor) {
    unsigned char *bytes = pattern_bytes(3000000);
    spile_pipe *in = input_of(NULL, 0), *out = output_new();
    struct place place;
    place_open(&place, _i, in);
    copy_through(in, out, "cat \"$1\" >\"$2\"");
    place_close(&place);
    size_t from = _i == FROM_FILE ? FILE_START : 0; /* from where it stands */
    check_came(out, bytes + from, 3000000 - from);
    spile_pipe_free(in);
    spile_pipe_free(out);
    free(bytes);
}
END_TEST

START_TEST(feed_callback) {
    spile_pipe *in = input_of(NULL, 0), *out = output_new();
    struct giver giver = {.pipe = in, .bytes = pattern_bytes(1000000), .size = 1000000};
    ck_assert_int_eq(spile_pipe_feed_callback(in, give_some, &giver), 0);
    copy_through(in, out, "cat \"$1\" >\"$2\"");
    check_came(out, giver.bytes, giver.size);
    ck_assert(!giver.is_signal_seen);
    spile_pipe_free(in);
    spile_pipe_free(out);
    free(giver.bytes);
}
END_TEST

START_TEST(feed_fails) {
    spile_pipe *in = input_of(NULL, 0);
    struct giver giver = {.pipe = in, .bytes = pattern_bytes(100), .size = 100, .error = -EIO};
    ck_assert_int_eq(spile_pipe_feed_callback(in, give_some, &giver), 0);
    pid_t pid = spawn("cat \"$1\" >/dev/null 2>&1", start_pipe(in), NULL);
    ck_assert_int_eq(spile_pipe_set_process(in, pid), 0);
    wait_badly(in, LONG_NS, SPILE_ERROR_INPUT, "reading what feeds the pipe 'in.txt' failed: Input/output error");
    status_of(pid); /* the reader is not left waiting */
    spile_pipe_free(in);
    free(giver.bytes);
}
END_TEST

/* ------------------------------------------------------------------------------------------------ drains */

START_TEST(drain_descriptor) {
    spile_pipe *out = output_new();
    int fds[2];
    char text[4] = "";
    ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
    ck_assert_int_eq(spile_pipe_drain_fd(out, fds[1]), 0);
    drain_one(out, "printf abc >\"$1\"");
    ck_assert_int_eq(read(fds[0], text, sizeof(text)), 3);
    ck_assert_str_eq(text, "abc");
    const void *data;
    size_t size;
    ck_assert_int_eq(spile_pipe_output(out, &data, &size), -EINVAL);
    spile_pipe_free(out);
    close(fds[0]);
    close(fds[1]);
}
END_TEST

static void *read_all(void *argument) {
    static char buffer[65536];
    size_t total = 0;
    for (ssize_t size; (size = read(*(int *)argument, buffer, sizeof(buffer))) > 0;)
        total += (size_t)size;
    return (void *)total;
}

/* More than the pipe holds, and a reader that comes late: everything waits for it and nothing is lost. */
START_TEST(drain_descriptor_waits) {
    spile_pipe *out = output_new();
    int fds[2];
    pthread_t thread;
    void *total;
    ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
    ck_assert_int_eq(spile_pipe_drain_fd(out, fds[1]), 0);
    pid_t pid = spawn("head -c 5000000 /dev/zero >\"$1\"", start_pipe(out), NULL);
    ck_assert_int_eq(spile_pipe_set_process(out, pid), 0);
    wait_badly(out, 50 * NS_PER_MS, SPILE_ERROR_TIMEOUT, "has not ended in time: its process has not exited");
    ck_assert_int_eq(pthread_create(&thread, NULL, read_all, &fds[0]), 0);
    wait_well(out);
    close(fds[1]);
    spile_pipe_free(out);
    pthread_join(thread, &total);
    ck_assert_uint_eq((size_t)total, 5000000);
    status_of(pid);
    close(fds[0]);
}
END_TEST

START_TEST(drain_path) {
    spile_pipe *out = output_new();
    write_text(in_scratch("target"), "old");
    ck_assert_int_eq(chmod(in_scratch("target"), 0640), 0);
    ck_assert_int_eq(symlink("target", in_scratch("link")), 0);
    ck_assert_int_eq(spile_pipe_drain_path(out, in_scratch("link")), 0);
    drain_one(out, "printf new >\"$1\"");
    check_text(in_scratch("target"), "new");
    ck_assert_uint_eq(mode_of(in_scratch("target")), 0640);
    spile_pipe_free(out);
    /* What is no regular file is written into. */
    out = output_new();
    ck_assert_int_eq(spile_pipe_drain_path(out, "/dev/null"), 0);
    drain_one(out, "printf new >\"$1\"");
    spile_pipe_free(out);
    out = output_new();
    ck_assert_int_eq(spile_pipe_drain_path(out, scratch()), -EISDIR);
    ck_assert_int_eq(spile_pipe_drain_path(out, in_scratch("none/there")), -ENOENT);
    spile_pipe_free(out);
}
END_TEST

/* A failure leaves the file as it was, and nothing beside it. */
START_TEST(drain_path_fails) {
    spile_pipe *out = output_new();
    write_text(in_scratch("target"), "old");
    ck_assert_int_eq(spile_pipe_drain_path(out, in_scratch("target")), 0);
    const char *path = start_pipe(out);
    ck_assert_int_eq(spile_pipe_set_process(out, getpid()), 0);
    status_of(spawn("printf new >\"$1\"", path, NULL));
    spile_pipe_cancel(out);
    wait_badly(out, LONG_NS, SPILE_ERROR_CANCELLED, "the pipe 'out.txt' was cancelled");
    spile_pipe_free(out);
    check_text(in_scratch("target"), "old");
    ck_assert_uint_eq(entries_in(scratch()), 1);
}
END_TEST

struct taker {
    spile_pipe *pipe;
    size_t taken;
    unsigned calls, ends;
    int error;
};

static int take_some(void *user, const char *name, const void *data, size_t size) {
    struct taker *taker = user;
    pthread_t thread;
    ck_assert_str_eq(name, "out.txt");
    if (taker->error)
        return taker->error;
    if (taker->calls++ % 3 == 0) {
        ck_assert_int_eq(pthread_create(&thread, NULL, resume_later, taker->pipe), 0);
        pthread_detach(thread);
        return -EAGAIN;
    }
    ck_assert(size > 0 || !data);
    taker->taken += size;
    taker->ends += size == 0;
    return 0;
}

START_TEST(drain_callback) {
    spile_pipe *out = output_new();
    struct taker taker = {.pipe = out, .calls = (unsigned)_i}; /* each of the calls is put off once */
    ck_assert_int_eq(spile_pipe_drain_callback(out, take_some, &taker), 0);
    drain_one(out, "head -c 1000000 /dev/zero >\"$1\"");
    ck_assert_uint_eq(taker.taken, 1000000);
    ck_assert_uint_eq(taker.ends, 1);
    spile_pipe_free(out);
}
END_TEST

START_TEST(drain_fails) {
    spile_pipe *out = output_new();
    struct taker taker = {.pipe = out, .error = -ENOSPC};
    ck_assert_int_eq(spile_pipe_drain_callback(out, take_some, &taker), 0);
    pid_t pid = spawn("exec head -c 10000000 /dev/zero >\"$1\"", start_pipe(out), NULL);
    ck_assert_int_eq(spile_pipe_set_process(out, pid), 0);
    wait_badly(out, LONG_NS, SPILE_ERROR_OUTPUT, "through the pipe 'out.txt' failed: No space left on device");
    int status = status_of(pid);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGPIPE); /* the writer is not left waiting */
    spile_pipe_free(out);
}
END_TEST

START_TEST(limited) {
    const spile_pipe_options options = {.size = sizeof(options), .limit_bytes = 1000};
    spile_pipe *out = NULL;
    ck_assert_int_eq(spile_pipe_new_output(&options, &out), 0);
    drain_one(out, "head -c 1000 /dev/zero >\"$1\"");
    spile_pipe_free(out);
    ck_assert_int_eq(spile_pipe_new_output(&options, &out), 0);
    pid_t pid = spawn("head -c 1001 /dev/zero >\"$1\"", start_pipe(out), NULL);
    ck_assert_int_eq(spile_pipe_set_process(out, pid), 0);
    wait_badly(out, LONG_NS, SPILE_ERROR_LIMIT, "more than the limit of 1000 bytes came through the pipe 'pipe'");
    const void *data;
    size_t size;
    ck_assert_int_eq(spile_pipe_output(out, &data, &size), 0);
    ck_assert_uint_eq(size, 1000);
    status_of(pid);
    spile_pipe_free(out);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("pipe");
    TCase *loops = tcase_create("each");
    tcase_add_loop_test(loops, feed_memory, 0, (int)ARRAY_SIZE(sizes));
    tcase_add_loop_test(loops, feed_descriptor, 0, FROM_COUNT);
    tcase_add_loop_test(loops, drain_callback, 0, 3);
    tcase_set_timeout(loops, 20);
    suite_add_tcase(suite, loops);
    ADD(suite, "feed", feed_copy, feed_callback, feed_fails);
    ADD(suite, "drain", drain_descriptor, drain_descriptor_waits, drain_path, drain_path_fails, drain_fails, limited);
    return support_run(suite);
}
