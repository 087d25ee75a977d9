/* Calls inside a poll loop: many of them share the thread, and its loop sees one descriptor for all.
 *
 * Each line of standard input is sorted by its words, by a call of its own that starts when the line comes. The loop
 * goes on reading while they run.
 */
#include <poll.h>
#include <spile.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static spile_plan *plan;

static void on_done(void *user, spile_call *call, spile_result *result) {
    int *failed = user;
    const void *data;
    size_t size;
    if (spile_result_get(result, "sorted", &data, &size) == 0 && !spile_result_error(result)) {
        fwrite(data, 1, size, stdout);
    } else {
        fprintf(stderr, "%s\n", spile_error_get_message(spile_result_error(result)));
        ++*failed;
    }
    spile_result_free(result);
    spile_call_free(call);
}

static int start(spile_loop *loop, const char *line, size_t size, int *failed) {
    spile_call *call = NULL;
    int r = spile_call_new(plan, NULL, NULL, &call);
    if (r >= 0)
        r = spile_call_stdin_memory(call, 0, line, size);
    if (r >= 0)
        r = spile_call_attach(call, loop, on_done, failed);
    if (r < 0)
        spile_call_free(call);
    return r;
}

int main(void) {
    const char *templates[] = {"tr ' ' '\\n' | sort | tr '\\n' ' ' >{sorted}"};
    char text[4096];
    size_t size = 0, place = 0;
    int failed = 0, running = 0;
    spile_loop *loop = NULL;
    if (spile_plan_from_templates(templates, 1, &plan, NULL) < 0 || spile_loop_new(&loop) < 0)
        return 1;
    struct pollfd watched[2] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.fd = spile_loop_fd(loop), .events = POLLIN}};
    while (watched[0].fd >= 0 || running > 0) {
        if (poll(watched, 2, -1) < 0)
            return 1;
        if (watched[0].revents) {
            ssize_t got = read(STDIN_FILENO, text + size, sizeof(text) - size);
            if (got <= 0)
                watched[0].fd = -1; /* the end: poll looks at the calls only */
            size += got > 0 ? (size_t)got : 0;
            for (char *end; (end = memchr(text + place, '\n', size - place)); place = (size_t)(end + 1 - text))
                if (start(loop, text + place, (size_t)(end - text) - place, &failed) < 0)
                    return 1;
        }
        running = spile_loop_step(loop, 0);
    }
    spile_loop_free(loop);
    spile_plan_unref(plan);
    return failed > 0;
}
