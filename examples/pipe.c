/* A pipe for a process of your own: fork and exec as ever, with memory at both ends of its file names.
 *
 *   pipe <text >sorted     runs `sort -o OUT IN`, where IN and OUT are pipes
 */
#include <spawn.h>
#include <spile.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

extern char **environ;

static int run_sort(spile_pipe *in, spile_pipe *out) {
    char *words[] = {(char *)"sort", (char *)"-o", (char *)spile_pipe_path(out), (char *)spile_pipe_path(in), NULL};
    pid_t pid;
    int number = posix_spawnp(&pid, words[0], NULL, NULL, words, environ);
    if (number != 0)
        return -number;
    int r = spile_pipe_set_process(in, pid); /* its exit decides when either has ended */
    if (r >= 0)
        r = spile_pipe_set_process(out, pid);
    int status;
    waitpid(pid, &status, 0);
    return r;
}

static int end_well(spile_pipe *pipe) {
    spile_error *error = NULL;
    int r = spile_pipe_wait(pipe, UINT64_MAX, &error);
    if (error)
        fprintf(stderr, "pipe: %s\n", spile_error_get_message(error));
    spile_error_free(error);
    return r;
}

int main(void) {
    spile_pipe *in = NULL, *out = NULL;
    const void *data;
    size_t size;

    int r = spile_pipe_new_input(NULL, &in);
    if (r >= 0)
        r = spile_pipe_feed_fd(in, 0); /* or from memory, a path, a callback */
    if (r >= 0)
        r = spile_pipe_start(in); /* a thread of the library's own serves it; spile_pipe_attach: your loop */
    if (r >= 0)
        r = spile_pipe_new_output(NULL, &out);
    if (r >= 0)
        r = spile_pipe_start(out);
    if (r >= 0)
        r = run_sort(in, out);
    if (r >= 0)
        r = end_well(in);
    if (r >= 0)
        r = end_well(out);
    if (r >= 0)
        r = spile_pipe_output(out, &data, &size);
    if (r >= 0 && fwrite(data, 1, size, stdout) != size)
        r = -1;
    if (r < 0)
        fprintf(stderr, "pipe: %s\n", strerror(-r));
    spile_pipe_free(in);
    spile_pipe_free(out);
    return r < 0;
}
