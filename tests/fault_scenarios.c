/* See fault_scenarios.h. */
#include "fault_scenarios.h"
#include "cell/pool.h"

#include <dirent.h>
#include <limits.h>

enum { LARGE = 300000, SMALL = 20000 };

void wrong(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    _exit(FAULT_WRONG);
}

static char *letters(size_t size) {
    static char text[LARGE + 1];
    for (size_t i = 0; i < size; i++)
        text[i] = (char)('a' + i % 23);
    text[size] = '\0';
    return text;
}

static const char *path_in(const char *directory, const char *name) {
    static char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    return path;
}

static void expect_output(const spile_result *result, const char *name, const char *text, size_t size) {
    const void *data = NULL;
    size_t got = 0;
    if (spile_result_get(result, name, &data, &got) < 0)
        wrong("success without the output '%s'", name);
    if (got != size || memcmp(data, text, size) != 0)
        wrong("success with wrong bytes in '%s': %zu, expected %zu", name, got, size);
}

/* ------------------------------------------------------------------------------------------------ simple */

static int prepare_simple(spile_call *call, const char *directory) {
    (void)directory;
    return spile_call_input_memory(call, "in", letters(LARGE), LARGE);
}

static void check_simple(const spile_result *result, bool is_well, const char *directory) {
    (void)directory;
    if (is_well) {
        expect_output(result, "out", letters(LARGE), LARGE);
        expect_output(result, "small", "small\n", 6);
    }
}

/* ------------------------------------------------------------------------------------------------ graph */

static int prepare_graph(spile_call *call, const char *directory) {
    (void)directory;
    int r = spile_call_input_memory(call, "in", "b\na\n", 4);
    if (r >= 0)
        r = spile_call_value(call, "v", "value");
    if (r >= 0)
        r = spile_call_input_copy(call, "extra", "x", 1);
    if (r >= 0)
        r = spile_call_output_memory(call, "*.y");
    return r < 0 ? r : spile_call_output_memory(call, "mid");
}

static void check_graph(const spile_result *result, bool is_well, const char *directory) {
    (void)directory;
    if (!is_well)
        return;
    expect_output(result, "mid", "a\nb\n", 4);
    expect_output(result, "1.y", "value\n", 6);
    expect_output(result, "out", "a\nb\na\nb\nvalue\n", 14);
    if (spile_result_output_count(result) != 3)
        wrong("success with %zu outputs", spile_result_output_count(result));
}

/* ------------------------------------------------------------------------------------------------ delivery */

static struct {
    int in[2], out[2];
    char taken[SMALL + 1];
    size_t taken_size;
    int reads, writes;
} ends;

static ssize_t read_letters(void *user, void *buffer, size_t size) {
    if (ends.reads++ == 0) {
        spile_call_resume(user);
        return -EAGAIN;
    }
    size_t count = MIN(size, (size_t)SMALL);
    memcpy(buffer, letters(SMALL), count);
    return ends.reads == 2 ? (ssize_t)count : 0;
}

static int write_letters(void *user, const char *name, const void *data, size_t size) {
    (void)name;
    if (ends.writes++ == 0) {
        spile_call_resume(user);
        return -EAGAIN;
    }
    if (size > SMALL - ends.taken_size)
        wrong("a callback is given more than there is");
    if (size)
        memcpy(ends.taken + ends.taken_size, data, size);
    ends.taken_size += size;
    return 0;
}

static void write_file(const char *path, const char *text, mode_t mode) {
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, mode);
    if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text) || fchmod(fd, mode) < 0)
        wrong("the test can't write '%s'", path);
    close(fd);
}

static int prepare_delivery(spile_call *call, const char *directory) {
    if (pipe2(ends.in, O_CLOEXEC) < 0 || pipe2(ends.out, O_CLOEXEC) < 0 || write(ends.in[1], "pipe", 4) != 4)
        wrong("the test has no pipes");
    ends.in[1] = fd_close(ends.in[1]);
    write_file(path_in(directory, "old"), "old", 0640);
    write_file(path_in(directory, "given"), "path", 0600);
    int r = spile_call_input_fd(call, "a", ends.in[0]);
    if (r >= 0)
        r = spile_call_input_path(call, "b", path_in(directory, "given"));
    if (r >= 0)
        r = spile_call_input_callback(call, "c", read_letters, call);
    if (r >= 0)
        r = spile_call_output_path(call, "x", path_in(directory, "old"), 0);
    if (r >= 0)
        r = spile_call_output_fd(call, "y", ends.out[1]);
    return r < 0 ? r : spile_call_output_callback(call, "z", write_letters, call);
}

/* The file at the path is the old or the new one, and nothing else is left in its directory. */
static void check_old(const char *directory, const char *text) {
    char got[64] = "";
    struct stat status;
    int fd = open(path_in(directory, "old"), O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return; /* the call could not even be made */
    if (read(fd, got, sizeof(got) - 1) < 0 || fstat(fd, &status) < 0 || (status.st_mode & 07777) != 0640)
        wrong("the file at the path has lost its mode");
    close(fd);
    if (text && strcmp(got, text) != 0)
        wrong("success with wrong bytes in the file at the path: '%s'", got);
    if (strcmp(got, "old") != 0 && strcmp(got, "pathpipe") != 0)
        wrong("the file at the path is half written: '%s'", got);
    DIR *files = opendir(directory);
    for (struct dirent *entry; files && (entry = readdir(files));)
        if (*entry->d_name == '.' && entry->d_name[1] != '\0' && strcmp(entry->d_name, "..") != 0)
            wrong("'%s' is left beside the file at the path", entry->d_name);
    if (files)
        closedir(files);
}

static void check_delivery(const spile_result *result, bool is_well, const char *directory) {
    char got[16] = "";
    check_old(directory, is_well ? "pathpipe" : NULL);
    if (is_well && (read(ends.out[0], got, sizeof(got) - 1) != 4 || strcmp(got, "pipe") != 0))
        wrong("success with wrong bytes in the pipe: '%s'", got);
    if (is_well && (ends.taken_size != SMALL || memcmp(ends.taken, letters(SMALL), SMALL) != 0))
        wrong("success, and the callback got %zu bytes of %d", ends.taken_size, SMALL);
    if (is_well && spile_result_output_count(result) != 3)
        wrong("success with %zu outputs", spile_result_output_count(result));
    for (int i = 0; i < 2; i++) {
        if (ends.in[i] > 0)
            close(ends.in[i]);
        if (ends.out[i] > 0)
            close(ends.out[i]);
    }
}

/* ------------------------------------------------------------------------------------------------ failing */

static int prepare_nothing(spile_call *call, const char *directory) {
    (void)call;
    (void)directory;
    return 0;
}

static void check_failing(const spile_result *result, bool is_well, const char *directory) {
    (void)directory;
    (void)is_well;
    const spile_error *error = result ? spile_result_error(result) : NULL;
    if (error && spile_error_get_kind(error) == SPILE_ERROR_PROGRAM && spile_error_get_program(error) == 0 &&
        spile_result_exit_status(result) != 7)
        wrong("the program's failure is told with exit status %d", spile_result_exit_status(result));
}

static void check_nothing(const spile_result *result, bool is_well, const char *directory) {
    (void)result;
    (void)is_well;
    (void)directory;
}

const struct scenario scenarios[] = {
    {.name = "simple",
     .templates = {"cat {<in} >{out}", "echo small >{small}"},
     .prepare = prepare_simple,
     .check = check_simple},
    {.name = "graph",
     .templates = {"sort {<in} | cat >{mid}", "sh -c 'echo $2 >1.y' sh {<mid} {v} {+>*.y}",
                   "cat {<mid} {<mid} {<*.y} >{end}", "cat {<end} >>{out}"},
     .prepare = prepare_graph,
     .check = check_graph},
    {.name = "delivery",
     .templates = {"cat {<b} {<a} >{x}", "cat {<a} >{y}", "cat {<c} >{z}"},
     .prepare = prepare_delivery,
     .check = check_delivery},
    {.name = "polled",
     .templates = {"cat {<in} >{out}", "echo small >{small}"},
     .prepare = prepare_simple,
     .check = check_simple,
     .is_polled = true},
    {.name = "brief",
     .templates = {"sh -c 'cat $1 >$2; echo small >small' sh {<in} {>out} {+>small}"},
     .prepare = prepare_simple,
     .check = check_simple,
     .is_brief = true},
    {.name = "limits",
     .templates = {"cat {<in} >{out}", "echo small >{small}"},
     .options = {.limits = {.wall_ns = 60 * NS_PER_SECOND,
                            .cpu_ns = 60 * NS_PER_SECOND,
                            .file_bytes = 64 << 20,
                            .output_bytes = 1 << 20,
                            .program_memory_bytes = 256 << 20,
                            .open_files = 64},
                 .require = SPILE_PROMISE_STANDSTILL},
     .prepare = prepare_simple,
     .check = check_simple},
    {.name = "streams",
     .templates = {"cat {<in|} >{s|}", "cat {<s|} >{out}", "echo small >{small|}"},
     .prepare = prepare_simple,
     .check = check_simple},
    {.name = "failing",
     .templates = {"sh -c 'echo half >$1; echo why >&2; exit 7' sh {>out}", "cat {<out}"},
     .options = {.keep_terminal = true},
     .must_fail = true,
     .prepare = prepare_nothing,
     .check = check_failing},
    {.name = "timeout",
     .templates = {"sleep 60 | sleep 60"},
     .options = {.limits.wall_ns = 20 * NS_PER_MS, .grace_ns = 100 * NS_PER_MS},
     .must_fail = true,
     .prepare = prepare_nothing,
     .check = check_nothing},
};
const int scenario_count = ARRAY_SIZE(scenarios);

/* ------------------------------------------------------------------------------------------------ running */

static void keep_result(void *user, spile_call *call, spile_result *result) {
    (void)call;
    *(spile_result **)user = result;
}

static int run_polled(spile_call *call, spile_result **ret_result) {
    spile_loop *loop = NULL;
    spile_result *result = NULL;
    int r = spile_loop_new(&loop);
    if (r >= 0)
        r = spile_call_attach(call, loop, keep_result, &result);
    while (r >= 0 && !result) {
        struct pollfd watched = {.fd = spile_loop_fd(loop), .events = POLLIN};
        if (poll(&watched, 1, 5000) == 0)
            wrong("the loop's descriptor tells nothing any more");
        r = spile_loop_step(loop, 0);
    }
    spile_loop_free(loop);
    if (!result)
        return r;
    *ret_result = result;
    return spile_result_error(result) ? -EPROTO : 0;
}

static void check_error(int code, const spile_error *error) {
    if (error && (!spile_error_get_message(error) || !*spile_error_get_message(error)))
        wrong("an error without a message");
    if (error && code >= 0)
        wrong("success with an error: %s", spile_error_get_message(error));
}

static void tell(int code, const spile_error *error, const spile_result *result) {
    if (!error && result)
        error = spile_result_error(result);
    if (getenv("SPILE_FAULT_VERBOSE"))
        fprintf(stderr, "%d: %s\n", code, error ? spile_error_get_message(error) : "-");
}

static void check_outcome(const struct scenario *scenario, int code, const spile_error *error,
                          const spile_result *result) {
    if (code >= 0 && scenario->must_fail)
        wrong("success of what must fail");
    if (code >= 0 && !result)
        wrong("success without a result");
    check_error(code, error);
    check_error(code, result ? spile_result_error(result) : NULL);
    if (result && code < 0 && !spile_result_error(result))
        wrong("failed with %d, and the result has no error", code);
    tell(code, error, result);
}

static size_t template_count(const struct scenario *scenario) {
    size_t count = 0;
    while (count < ARRAY_SIZE(scenario->templates) && scenario->templates[count])
        count++;
    return count;
}

int scenario_run(const struct scenario *scenario, spile_containment containment, const char *directory) {
    const spile_ctx_options ctx_options = {.size = sizeof(ctx_options), .containment = containment};
    spile_call_options options = scenario->options;
    spile_ctx *ctx = NULL;
    spile_plan *plan = NULL;
    spile_call *call = NULL;
    spile_result *result = NULL;
    spile_error *error = NULL;
    options.size = sizeof(options);
    int code = spile_plan_from_templates(scenario->templates, template_count(scenario), &plan, &error);
    if (code < 0 && !error)
        wrong("a plan is refused without an error");
    if (code >= 0)
        code = spile_ctx_new(&ctx_options, &ctx);
    if (code >= 0 && scenario->is_brief) {
        ctx->brief_count = CELL_BRIEF_ENOUGH;
        ctx->next_look_ns = NS_FOREVER;
    }
    if (code >= 0)
        code = spile_call_new(plan, ctx, &options, &call);
    if (code >= 0)
        code = scenario->prepare(call, directory);
    if (code >= 0)
        code = scenario->is_polled ? run_polled(call, &result) : spile_call_run(call, &result);
    check_outcome(scenario, code, error, result);
    scenario->check(result, code >= 0, directory);
    spile_error_free(error);
    spile_call_free(call);
    spile_plan_unref(plan);
    spile_ctx_free(ctx);
    spile_result_free(result);
    return code < 0 ? FAULT_ERROR : FAULT_RIGHT;
}
