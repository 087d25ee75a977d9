/* A thousand streams at once in one process.
 *
 *   many COUNT FLOW BYTES
 *
 * One call of two programs (bench/flow) between which COUNT streams of BYTES each are open from the first to the last
 * byte. Prints nanoseconds, and for each stream: how much larger this process was at its largest than before, and how
 * many descriptors it had.
 */
#include "sample.h"
#include "spile.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { DESCRIPTORS_EACH = 8 }; /* more than it takes */

static size_t most_descriptors;

static long status_kilobytes(const char *field) {
    char line[256];
    long found = -1;
    FILE *file = fopen("/proc/self/status", "re");
    while (file && found < 0 && fgets(line, sizeof(line), file))
        if (strncmp(line, field, strlen(field)) == 0)
            found = strtol(line + strlen(field) + 1, NULL, 10);
    if (file)
        fclose(file);
    if (found < 0)
        fail(field);
    return found;
}

/* `.`, `..` and the one that reads the directory are too few to matter. */
static size_t count_descriptors(void) {
    DIR *directory = opendir("/proc/self/fd");
    size_t count = 0;
    while (directory && readdir(directory))
        count++;
    if (directory)
        closedir(directory);
    return count;
}

/* When a program ends, all streams are still open. */
static void trace(void *user, const spile_event *event) {
    (void)user;
    if (event->kind != SPILE_EVENT_EXITED)
        return;
    size_t count = count_descriptors();
    if (count > most_descriptors)
        most_descriptors = count;
}

static void add_program(spile_plan *plan, const char *flow, const char *what, size_t count, const char *bytes) {
    spile_program *program = NULL;
    spile_error *error = NULL;
    char name[32], number[32];
    snprintf(number, sizeof(number), "%zu", count);
    int result = spile_program_new(NULL, &program);
    const char *words[] = {flow, what, number, bytes};
    for (size_t i = 0; i < 4 && result >= 0; i++)
        result = spile_program_add_text(program, words[i]);
    for (size_t i = 0; i < count && result >= 0; i++) {
        snprintf(name, sizeof(name), "s%zu", i);
        spile_file file = {.size = sizeof(file),
                           .name = name,
                           .role = strcmp(what, "many-write") == 0 ? SPILE_WRITE : SPILE_READ,
                           .kind = SPILE_STREAM,
                           .flags = SPILE_FILE_SIDE};
        result = spile_program_add_file(program, &file);
    }
    if (result < 0 || spile_plan_add_program(plan, program, 0, &error) < 0)
        fail(error ? spile_error_get_message(error) : "a program");
}

static void run(const char *flow, size_t count, const char *bytes) {
    spile_plan *plan = NULL;
    spile_call *call = NULL;
    spile_result *result = NULL;
    spile_error *error = NULL;
    spile_call_options options = {.size = sizeof(options), .trace = trace};
    if (spile_plan_new(&plan) < 0)
        fail("a plan");
    add_program(plan, flow, "many-write", count, bytes);
    add_program(plan, flow, "many-read", count, bytes);
    if (spile_plan_finish(plan, &error) < 0)
        fail(spile_error_get_message(error));
    if (spile_call_new(plan, NULL, &options, &call) < 0)
        fail("a call");
    if (spile_call_run(call, &result) < 0)
        fail(result ? spile_error_get_message(spile_result_error(result)) : "a call");
    spile_result_free(result);
    spile_call_free(call);
    spile_plan_unref(plan);
}

int main(int argc, char **argv) {
    if (argc != 4) {
        fprintf(stderr, "usage: many COUNT FLOW BYTES\n");
        return 2;
    }
    size_t count = strtoul(argv[1], NULL, 10);
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        fail("getrlimit");
    limit.rlim_cur = limit.rlim_max;
    if (limit.rlim_max < count * DESCRIPTORS_EACH || setrlimit(RLIMIT_NOFILE, &limit) < 0) {
        fprintf(stderr, "bench: %zu streams need a limit of %zu descriptors (ulimit -Hn)\n", count,
                count * DESCRIPTORS_EACH);
        return 3;
    }
    run(argv[2], 1, "1"); /* a cell is there, and what is the same for one stream and a thousand is taken */
    long before = status_kilobytes("VmHWM:");
    size_t descriptors_before = count_descriptors();
    uint64_t start_ns = now_ns();
    run(argv[2], count, argv[3]);
    printf("many-streams %llu\n", (unsigned long long)(now_ns() - start_ns));
    printf("many-streams-bytes-each %llu\n",
           (unsigned long long)(status_kilobytes("VmHWM:") - before) * 1024 / (count ? count : 1));
    printf("many-streams-descriptors-each %zu\n", (most_descriptors - descriptors_before) / (count ? count : 1));
    return 0;
}
