/* What a call costs beyond the program it runs.
 *
 *   calls TINY SPILE DISK TURNS
 *
 * TINY is bench/tiny, SPILE the command, DISK a directory on a disk. Prints a line a kind: name, median and quartiles
 * in nanoseconds. The kinds run in turn; each run that fails ends the measurement.
 */
#include "sample.h"
#include "spile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { INPUT_SIZE = 12 * 1024 };
static char input[INPUT_SIZE];

struct setting {
    const char *tiny, *spile;
    char memory[PATH_MAX]; /* a directory in memory that holds the file `in` */
    const char *disk;
    spile_plan *plan, *stream_plan;
};

static void save(const char *path) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0 || write(fd, input, INPUT_SIZE) != INPUT_SIZE || close(fd) < 0)
        fail(path);
}

static void load(const char *path) {
    static char buffer[INPUT_SIZE + 1];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || read(fd, buffer, sizeof(buffer)) != INPUT_SIZE || close(fd) < 0)
        fail(path);
    if (memcmp(buffer, input, INPUT_SIZE) != 0)
        fail("other bytes came out than went in");
}

static void run_unit(void *context) {
    const struct setting *setting = context;
    const char *argv[] = {setting->tiny, NULL};
    run_bare(argv, NULL);
}

static void run_plain_files(void *context) {
    const struct setting *setting = context;
    const char *argv[] = {setting->tiny, "in", "out", NULL};
    run_bare(argv, setting->memory);
}

static void run_plan(spile_plan *plan) {
    spile_call *call = NULL;
    spile_result *result = NULL;
    const void *data = NULL;
    size_t size = 0;
    int r = spile_call_new(plan, NULL, NULL, &call);
    if (r >= 0)
        r = spile_call_input_memory(call, "in", input, INPUT_SIZE);
    if (r >= 0)
        r = spile_call_run(call, &result);
    if (r < 0 && result)
        fprintf(stderr, "bench: %s\n", spile_error_get_message(spile_result_error(result)));
    if (r < 0 || spile_result_get(result, "out", &data, &size) < 0 || size != INPUT_SIZE ||
        memcmp(data, input, INPUT_SIZE) != 0) {
        errno = r < 0 ? -r : EPROTO;
        fail("a call");
    }
    spile_result_free(result);
    spile_call_free(call);
}

static void run_call(void *context) {
    run_plan(((const struct setting *)context)->plan);
}

static void run_streamed_call(void *context) {
    run_plan(((const struct setting *)context)->stream_plan);
}

/* What one writes by hand: a directory, the file, the program, its output, and everything away again. */
static void run_directory(const char *parent, const char *tiny) {
    char directory[PATH_MAX], path[PATH_MAX + 8];
    snprintf(directory, sizeof(directory), "%s/bench-XXXXXX", parent);
    if (!mkdtemp(directory))
        fail(directory);
    snprintf(path, sizeof(path), "%s/in", directory);
    save(path);
    const char *argv[] = {tiny, "in", "out", NULL};
    run_bare(argv, directory);
    unlink(path);
    snprintf(path, sizeof(path), "%s/out", directory);
    load(path);
    unlink(path);
    rmdir(directory);
}

static void run_memory_directory(void *context) {
    run_directory("/dev/shm", ((const struct setting *)context)->tiny);
}

static void run_disk_directory(void *context) {
    run_directory(((const struct setting *)context)->disk, ((const struct setting *)context)->tiny);
}

static void run_shell(void *context) {
    const char *argv[] = {"/bin/sh", "-c", "cat <in >out", NULL};
    run_bare(argv, ((const struct setting *)context)->memory);
}

static void run_command(void *context) {
    const struct setting *setting = context;
    const char *argv[] = {setting->spile, "run", "cat <{in} >{out}", NULL};
    run_bare(argv, setting->memory);
}

static spile_plan *make_plan(const char *tiny, const char *files) {
    char *quoted = NULL;
    char template[PATH_MAX + 32];
    const char *templates[] = {template};
    spile_plan *plan = NULL;
    spile_error *error = NULL;
    if (spile_quote(tiny, &quoted) < 0)
        fail("spile_quote");
    snprintf(template, sizeof(template), "%s %s", quoted, files);
    free(quoted);
    if (spile_plan_from_templates(templates, 1, &plan, &error) < 0) {
        fprintf(stderr, "bench: %s\n", spile_error_get_message(error));
        exit(1);
    }
    return plan;
}

int main(int argc, char **argv) {
    if (argc != 5) {
        fprintf(stderr, "usage: calls TINY SPILE DISK TURNS\n");
        return 2;
    }
    static struct setting setting;
    setting.tiny = argv[1];
    setting.spile = argv[2];
    setting.disk = argv[3];
    size_t turns = strtoul(argv[4], NULL, 10);
    if (turns == 0)
        return 2;
    for (size_t i = 0; i < INPUT_SIZE; i++)
        input[i] = (char)(i * 7 + i / 251);

    char path[PATH_MAX + 8];
    snprintf(setting.memory, sizeof(setting.memory), "/dev/shm/bench-XXXXXX");
    if (!mkdtemp(setting.memory))
        fail(setting.memory);
    snprintf(path, sizeof(path), "%s/in", setting.memory);
    save(path);

    setting.plan = make_plan(setting.tiny, "{<in} {>out}");
    setting.stream_plan = make_plan(setting.tiny, "{<in|} {>out|}");

    struct kind kinds[] = {
        {"unit", run_unit, &setting, NULL},
        {"plain-files", run_plain_files, &setting, NULL},
        {"call", run_call, &setting, NULL},
        {"streamed-call", run_streamed_call, &setting, NULL},
        {"directory-in-memory", run_memory_directory, &setting, NULL},
        {"directory-on-disk", run_disk_directory, &setting, NULL},
    };
    /* Apart from the others: a whole process that makes a cell is still being taken down when the next one runs. */
    struct kind processes[] = {
        {"shell", run_shell, &setting, NULL},
        {"command", run_command, &setting, NULL},
    };
    sample_kinds(kinds, sizeof(kinds) / sizeof(*kinds), turns, turns / 10 + 5);
    sample_kinds(processes, sizeof(processes) / sizeof(*processes), turns / 2, 5);

    unlink(path);
    snprintf(path, sizeof(path), "%s/out", setting.memory);
    unlink(path);
    rmdir(setting.memory);
    spile_plan_unref(setting.plan);
    spile_plan_unref(setting.stream_plan);
    return 0;
}
