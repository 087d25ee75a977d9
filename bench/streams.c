/* Streams through spile and without it.
 *
 *   streams KIND FLOW BYTES
 *   streams touch FLOW BYTES
 *
 * Does one KIND once, with bytes that bench/flow (at FLOW) makes and looks at, and prints how many nanoseconds it took.
 * A cell is made and a small call run before the clock starts: this is about what passes through, not about starting.
 * `touch` only uses that much memory: to a virtual machine its host may give it at the first touch, at a tenth of the
 * speed, and who happens to come first would pay for all others.
 */
#include "sample.h"
#include "spile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PIPE_BYTES = 1 << 20, READ_BYTES = 256 << 10, STEP_BYTES = 2 << 20 };

struct kind_of_call {
    const char *name;
    const char *templates[3]; /* FLOW and BYTES stand for what was given */
    const char *output;       /* comes out in memory, all BYTES of it; "-": captured standard output */
    bool is_direct;           /* the stream s */
    bool has_input;           /* the file `in`, of BYTES */
};

static const struct kind_of_call calls[] = {
    {.name = "direct", .templates = {"FLOW write {>s|} BYTES", "FLOW read {<s|} BYTES"}, .is_direct = true},
    {.name = "relayed", .templates = {"FLOW write {>s|} BYTES", "FLOW read {<s|} BYTES"}},
    {.name = "through-a-file", .templates = {"FLOW write {>s} BYTES", "FLOW read {<s} BYTES"}},
    {.name = "capture-stream", .templates = {"FLOW write {>out|} BYTES"}, .output = "out"},
    {.name = "capture-file", .templates = {"FLOW write {>out} BYTES"}, .output = "out"},
    {.name = "capture-standard-output", .templates = {"FLOW write - BYTES"}, .output = "-"},
    {.name = "stages-streamed",
     .templates = {"FLOW pass {<in|} {>a|} 40", "FLOW pass {<a|} {>b|} 120", "FLOW pass {<b|} {>out|} 40"},
     .output = "out",
     .has_input = true},
    {.name = "stages-staged",
     .templates = {"FLOW pass {<in} {>a} 40", "FLOW pass {<a} {>b} 120", "FLOW pass {<b} {>out} 40"},
     .output = "out",
     .has_input = true},
    {.name = "light-streamed",
     .templates = {"FLOW pass {<in|} {>a|} 4", "FLOW pass {<a|} {>b|} 12", "FLOW pass {<b|} {>out|} 4"},
     .output = "out",
     .has_input = true},
};

struct setting {
    const char *flow, *bytes;
    char directory[PATH_MAX], from[PATH_MAX + 8], to[PATH_MAX + 8];
};

/* ------------------------------------------------------------------------------ without spile */

static pid_t start(const char *const *argv) {
    extern char **environ;
    /* NOLINTNEXTLINE(clang-analyzer-security.insecureAPI.vfork): as run_bare. */
    pid_t pid = vfork();
    if (pid == 0) {
        execve(argv[0], (char **)(void *)argv, environ);
        _exit(127);
    }
    if (pid < 0)
        fail("vfork");
    return pid;
}

static void finish(pid_t pid, const char *what) {
    int status = 0;
    if (waitpid(pid, &status, 0) != pid || status != 0)
        fail(what);
}

static pid_t start_writer(const struct setting *setting, const char *pipe_bytes) {
    const char *argv[] = {setting->flow, "write", setting->from, setting->bytes, pipe_bytes, NULL};
    return start(argv);
}

static void run_fifo(const struct setting *setting, const char *pipe_bytes) {
    const char *argv[] = {setting->flow, "read", setting->from, setting->bytes, NULL};
    pid_t writer = start_writer(setting, pipe_bytes), reader = start(argv);
    finish(writer, "the writer");
    finish(reader, "the reader");
}

/* What reading into memory is measured against: read and thrown away, or kept in the best way known, which is address
 * space for more than comes, made ready in large pages a step ahead. */
static void run_read(const struct setting *setting, bool is_kept) {
    static char buffer[READ_BYTES];
    const size_t reserved = (size_t)64 << 30;
    char pipe_bytes[16], *place = buffer, *ready = NULL;
    if (is_kept) {
        place = mmap(NULL, reserved, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (place == MAP_FAILED || madvise(place, reserved, MADV_HUGEPAGE) < 0)
            fail("mmap");
        ready = place;
    }
    snprintf(pipe_bytes, sizeof(pipe_bytes), "%d", PIPE_BYTES);
    pid_t writer = start_writer(setting, pipe_bytes);
    int fd = open(setting->from, O_RDONLY | O_CLOEXEC);
    uint64_t total = 0;
    for (ssize_t count = 1; count > 0; total += (uint64_t)count) {
        if (is_kept && place + READ_BYTES > ready) {
            if (madvise(ready, STEP_BYTES, MADV_POPULATE_WRITE) < 0)
                fail("madvise");
            ready += STEP_BYTES;
        }
        count = read(fd, place, READ_BYTES);
        if (count < 0)
            fail("read");
        place += is_kept ? count : 0;
    }
    close(fd);
    finish(writer, "the writer");
    if (total != strtoull(setting->bytes, NULL, 10))
        fail("not all came");
}

static void run_stage_alone(const struct setting *setting, const char *work) {
    const char *argv[] = {setting->flow, "pass", setting->from, setting->to, work, NULL};
    finish(start(argv), "the stage");
}

static bool is_bare_kind(const char *name) {
    static const char *const names[] = {"raw-fifo",     "raw-fifo-64k", "discard",
                                        "keep-by-hand", "stage-alone",  "light-alone"};
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

static void run_bare_kind(const char *name, const struct setting *setting) {
    if (strcmp(name, "raw-fifo") == 0)
        run_fifo(setting, "1048576");
    else if (strcmp(name, "raw-fifo-64k") == 0)
        run_fifo(setting, NULL);
    else if (strcmp(name, "discard") == 0)
        run_read(setting, false);
    else if (strcmp(name, "keep-by-hand") == 0)
        run_read(setting, true);
    else
        run_stage_alone(setting, strcmp(name, "stage-alone") == 0 ? "120" : "12");
}

/* ------------------------------------------------------------------------------ through spile */

static char *make_template(const char *text, const char *flow, const char *bytes) {
    char *quoted = NULL, *made = NULL;
    const char *place = strstr(text, "BYTES");
    if (spile_quote(flow, &quoted) < 0 ||
        asprintf(&made, "%s%.*s%s", quoted, (int)(place ? place - text : (int)strlen(text)) - 4, text + 4,
                 place ? bytes : "") < 0)
        fail("a template");
    free(quoted);
    return made;
}

static spile_plan *make_plan(const struct kind_of_call *kind, const char *flow, const char *bytes) {
    spile_plan *plan = NULL;
    spile_error *error = NULL;
    if (spile_plan_new(&plan) < 0)
        fail("a plan");
    int result = 0;
    for (size_t i = 0; i < 3 && kind->templates[i] && result >= 0; i++) {
        char *text = make_template(kind->templates[i], flow, bytes);
        result = spile_plan_add_template(plan, text, NULL, &error);
        free(text);
    }
    if (result >= 0 && kind->is_direct)
        result = spile_plan_set_direct(plan, "s");
    if (result < 0 || spile_plan_finish(plan, &error) < 0) {
        fprintf(stderr, "bench: %s\n", error ? spile_error_get_message(error) : "a plan");
        exit(1);
    }
    return plan;
}

static void check_output(const struct kind_of_call *kind, const spile_result *result, uint64_t bytes) {
    spile_program_result program = {.size = sizeof(program)};
    const void *data = NULL;
    size_t size = 0;
    if (!kind->output)
        return;
    if (strcmp(kind->output, "-") != 0) {
        spile_result_get(result, kind->output, &data, &size);
    } else if (spile_result_program(result, 0, &program) >= 0) {
        size = program.standard_output_size;
    }
    if (size != bytes)
        fail("other bytes came out than went in");
}

static void run_call(const struct kind_of_call *kind, const struct setting *setting, const char *bytes) {
    spile_plan *plan = make_plan(kind, setting->flow, bytes);
    spile_call *call = NULL;
    spile_result *result = NULL;
    int r = spile_call_new(plan, NULL, NULL, &call);
    if (r >= 0 && kind->has_input)
        r = spile_call_input_path(call, "in", setting->from);
    if (r >= 0)
        r = spile_call_run(call, &result);
    if (r < 0) {
        fprintf(stderr, "bench: %s\n", result ? spile_error_get_message(spile_result_error(result)) : strerror(-r));
        exit(1);
    }
    check_output(kind, result, strtoull(bytes, NULL, 10));
    spile_result_free(result);
    spile_call_free(call);
    spile_plan_unref(plan);
}

/* ------------------------------------------------------------------------------ */

static int touch(uint64_t bytes) {
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        fail("mmap");
    (void)madvise(memory, bytes, MADV_HUGEPAGE);
    memset(memory, 1, bytes);
    munmap(memory, bytes);
    return 0;
}

static void prepare(struct setting *setting, bool has_file) {
    snprintf(setting->directory, sizeof(setting->directory), "/dev/shm/bench-XXXXXX");
    if (!mkdtemp(setting->directory))
        fail(setting->directory);
    snprintf(setting->from, sizeof(setting->from), "%s/from", setting->directory);
    snprintf(setting->to, sizeof(setting->to), "%s/to", setting->directory);
    if (!has_file && mkfifo(setting->from, 0600) < 0)
        fail(setting->from);
    if (has_file)
        finish(start_writer(setting, NULL), "the writer");
}

static void clean_up(const struct setting *setting) {
    unlink(setting->from);
    unlink(setting->to);
    rmdir(setting->directory);
}

int main(int argc, char **argv) {
    static struct setting setting;
    if (argc == 4 && strcmp(argv[1], "touch") == 0)
        return touch(strtoull(argv[3], NULL, 10));
    const struct kind_of_call *kind = NULL;
    for (size_t i = 0; argc == 4 && i < sizeof(calls) / sizeof(*calls); i++)
        if (strcmp(calls[i].name, argv[1]) == 0)
            kind = &calls[i];
    bool is_stage = argc == 4 && strstr(argv[1], "-alone") != NULL;
    if (argc != 4 || (!kind && !is_bare_kind(argv[1]))) {
        fprintf(stderr, "usage: streams KIND FLOW BYTES\n");
        return 2;
    }
    setting.flow = argv[2];
    setting.bytes = argv[3];
    prepare(&setting, is_stage || (kind && kind->has_input));
    static const struct kind_of_call first = {.name = "first", .templates = {"FLOW write {>s|} BYTES"}, .output = "s"};
    if (kind)
        run_call(&first, &setting, "1");
    uint64_t start_ns = now_ns();
    if (kind)
        run_call(kind, &setting, setting.bytes);
    else
        run_bare_kind(argv[1], &setting);
    printf("%s %llu\n", argv[1], (unsigned long long)(now_ns() - start_ns));
    clean_up(&setting);
    return 0;
}
