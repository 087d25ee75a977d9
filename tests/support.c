/* See support.h. */
#include "support.h"

#include <dirent.h>
#include <ftw.h>
#include <limits.h>
#include <pthread.h>

#define MARK "SPILE_TEST_MARK"

static spile_containment containment;
static spile_ctx *context;
static char scratch_base[32], scratch_path[64];

void support_begin(int argc, char **argv) {
    static const char *const names[] = {[SPILE_CONTAINMENT_AUTO] = "auto",
                                        [SPILE_CONTAINMENT_NAMESPACE] = "namespace",
                                        [SPILE_CONTAINMENT_REAPER] = "reaper",
                                        [SPILE_CONTAINMENT_NONE] = "none"};
    for (size_t i = 0; argc > 1 && i < ARRAY_SIZE(names); i++)
        if (strcmp(argv[1], names[i]) == 0)
            containment = (spile_containment)i;
}

spile_containment support_containment(void) {
    return containment;
}

/* Each test has a process of its own, and so a mark and a context of its own. */
spile_ctx *support_ctx(void) {
    char mark[32];
    if (context)
        return context;
    snprintf(mark, sizeof(mark), "%d", (int)getpid());
    setenv(MARK, mark, 1);
    const spile_ctx_options options = {.size = sizeof(options), .containment = containment};
    ck_assert_int_eq(spile_ctx_new(&options, &context), 0);
    return context;
}

static void free_context(void) {
    context = spile_ctx_free(context);
}

bool support_can(spile_containment kind, const char *mark) {
    static const char *const templates[] = {"true"};
    const spile_ctx_options options = {.size = sizeof(options), .containment = kind};
    spile_ctx *ctx = NULL;
    spile_plan *plan = NULL;
    spile_call *call = NULL;
    spile_result *result = NULL;
    bool is_had = spile_ctx_new(&options, &ctx) == 0 && spile_plan_from_templates(templates, 1, &plan, NULL) == 0 &&
                  spile_call_new(plan, ctx, NULL, &call) == 0 && spile_call_run(call, &result) == 0;
    if (!is_had)
        printf("%s not to be had here: %s\n", mark,
               result ? spile_error_get_message(spile_result_error(result)) : "no call");
    spile_result_free(result);
    spile_call_free(call);
    spile_plan_unref(plan);
    spile_ctx_free(ctx);
    return is_had;
}

static void make_scratch_base(void) {
    strcpy(scratch_base, "/tmp/spile-test-XXXXXX");
    if (!mkdtemp(scratch_base) || chmod(scratch_base, 0777) < 0)
        abort();
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *place) {
    (void)status;
    (void)type;
    (void)place;
    return remove(path);
}

int support_run(Suite *suite) {
    if (containment != SPILE_CONTAINMENT_AUTO && !support_can(containment, "1..0 # SKIP"))
        return EXIT_SUCCESS;
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_FORK);
    srunner_set_tap(runner, "-");
    make_scratch_base(); /* here, where what a test that is killed leaves can be taken away, too */
    srunner_run_all(runner, CK_SILENT);
    nftw(scratch_base, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* ------------------------------------------------------------------------------------------------ plans, calls */

spile_plan *plan_of(const char *const *templates, size_t count) {
    spile_plan *plan = NULL;
    spile_error *error = NULL;
    int result = spile_plan_from_templates(templates, count, &plan, &error);
    ck_assert_msg(result == 0, "plan: %s", error ? spile_error_get_message(error) : strerror(-result));
    return plan;
}

static void free_context_at_exit(void) {
    atexit(free_context);
}

spile_call *call_of(spile_plan *plan, const spile_call_options *options) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    spile_call *call = NULL;
    pthread_once(&once, free_context_at_exit);
    ck_assert_int_eq(spile_call_new(plan, support_ctx(), options, &call), 0);
    spile_plan_unref(plan);
    return call;
}

void give(spile_call *call, const char *name, const char *text) {
    ck_assert_int_eq(spile_call_input_memory(call, name, text, strlen(text)), 0);
}

spile_result *run_well(spile_call *call) {
    spile_result *result = NULL;
    int code = spile_call_run(call, &result);
    const spile_error *error = result ? spile_result_error(result) : NULL;
    ck_assert_msg(code == 0, "run: %d, %s", code, error ? spile_error_get_message(error) : "no result");
    ck_assert_ptr_null(error);
    ck_assert_int_eq(spile_result_exit_status(result), 0);
    spile_call_free(call);
    return result;
}

spile_result *run_badly(spile_call *call, spile_error_kind kind, const char *part) {
    spile_result *result = NULL;
    int code = spile_call_run(call, &result);
    ck_assert_int_lt(code, 0);
    ck_assert_ptr_nonnull(result);
    check_error(spile_result_error(result), kind, part);
    ck_assert_int_ne(spile_result_exit_status(result), 0);
    spile_call_free(call);
    return result;
}

void check_error(const spile_error *error, spile_error_kind kind, const char *part) {
    ck_assert_ptr_nonnull(error);
    const char *message = spile_error_get_message(error);
    ck_assert_msg(spile_error_get_kind(error) == kind && strstr(message, part), "expected %s with '%s', got %s: %s",
                  spile_error_kind_name(kind), part, spile_error_kind_name(spile_error_get_kind(error)), message);
}

spile_program_result program_of(const spile_result *result, size_t program) {
    spile_program_result info = {.size = sizeof(info)};
    ck_assert_int_eq(spile_result_program(result, program, &info), 0);
    return info;
}

bool has_output(const spile_result *result, const char *name) {
    const void *data;
    size_t size;
    return spile_result_get(result, name, &data, &size) == 0;
}

spile_output_info output_of(const spile_result *result, const char *name) {
    spile_output_info info = {.size = sizeof(info)};
    for (size_t i = 0; i < spile_result_output_count(result); i++) {
        ck_assert_int_eq(spile_result_output(result, i, &info), 0);
        if (strcmp(info.name, name) == 0)
            return info;
    }
    ck_abort_msg("there is no output '%s'", name);
}

void check_bytes(const spile_result *result, const char *name, const void *data, size_t size) {
    const void *got = NULL;
    size_t got_size = 0;
    ck_assert_msg(spile_result_get(result, name, &got, &got_size) == 0, "there is no output '%s'", name);
    ck_assert_msg(got_size == size && (size == 0 || memcmp(got, data, size) == 0),
                  "output '%s' is %zu bytes: '%.*s', expected %zu: '%.*s'", name, got_size, (int)MIN(got_size, 80u),
                  got ? (const char *)got : "", size, (int)MIN(size, 80u), (const char *)data);
}

void check_output(const spile_result *result, const char *name, const char *text) {
    check_bytes(result, name, text, strlen(text));
}

unsigned char *pattern_bytes(size_t size) {
    unsigned char *bytes = malloc(MAX(size, (size_t)1));
    uint32_t state = 12345;
    ck_assert_ptr_nonnull(bytes);
    for (size_t i = 0; i < size; i++) {
        state = state * 1664525u + 1013904223u;
        bytes[i] = (unsigned char)(state >> 24);
    }
    return bytes;
}

/* ------------------------------------------------------------------------------------------------ places on disk */

const char *scratch(void) {
    if (!*scratch_path) {
        snprintf(scratch_path, sizeof(scratch_path), "%s/XXXXXX", scratch_base);
        ck_assert_ptr_nonnull(mkdtemp(scratch_path));
        ck_assert_int_eq(chmod(scratch_path, 0777), 0);
    }
    return scratch_path;
}

const char *in_scratch(const char *name) {
    static _Thread_local char paths[8][PATH_MAX];
    static _Thread_local unsigned next;
    char *path = paths[next++ % ARRAY_SIZE(paths)];
    snprintf(path, PATH_MAX, "%s/%s", scratch(), name);
    return path;
}

void write_text(const char *path, const char *text) {
    FILE *file = fopen(path, "we");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_ge(fputs(text, file), 0);
    ck_assert_int_eq(fclose(file), 0);
}

char *read_text(const char *path) {
    FILE *file = fopen(path, "re");
    ck_assert_msg(file != NULL, "'%s': %s", path, strerror(errno));
    char *text = NULL;
    size_t size = 0;
    if (getdelim(&text, &size, '\0', file) < 0) {
        free(text);
        text = strdup("");
    }
    fclose(file);
    return text;
}

void check_text(const char *path, const char *text) {
    char *got = read_text(path);
    ck_assert_str_eq(got, text);
    free(got);
}

mode_t mode_of(const char *path) {
    struct stat status;
    ck_assert_int_eq(stat(path, &status), 0);
    return status.st_mode & 07777;
}

/* ------------------------------------------------------------------------------------------------ leftovers */

size_t entries_in(const char *path) {
    size_t count = 0;
    DIR *directory = opendir(path);
    ck_assert_ptr_nonnull(directory);
    while (readdir(directory))
        count++;
    closedir(directory);
    return count - 2; /* "." and ".." */
}

size_t open_fds(void) {
    return entries_in("/proc/self/fd") - 1; /* that of the directory */
}

static bool is_marked(const char *pid, const char *mark) {
    char path[64];
    snprintf(path, sizeof(path), "/proc/%.20s/environ", pid);
    FILE *file = fopen(path, "re");
    char *variable = NULL;
    size_t size = 0;
    bool is_found = false;
    while (file && !is_found && getdelim(&variable, &size, '\0', file) > 0)
        is_found = strcmp(variable, mark) == 0;
    free(variable);
    if (file)
        fclose(file);
    return is_found;
}

size_t own_processes(void) {
    char mark[64];
    const char *value = getenv(MARK);
    size_t count = 0;
    snprintf(mark, sizeof(mark), MARK "=%s", value ? value : "");
    DIR *directory = opendir("/proc");
    ck_assert_ptr_nonnull(directory);
    for (struct dirent *entry; (entry = readdir(directory));)
        if (*entry->d_name >= '1' && *entry->d_name <= '9' && atoi(entry->d_name) != getpid() &&
            is_marked(entry->d_name, mark))
            count++;
    closedir(directory);
    return count;
}

void check_nothing_left(size_t fds_before) {
    context = spile_ctx_free(context);
    ck_assert_uint_eq(open_fds(), fds_before);
    /* What was killed is gone a moment later. */
    uint64_t limit = time_now_ns() + 5 * NS_PER_SECOND;
    while (own_processes() > 0 && time_now_ns() < limit)
        ;
    ck_assert_uint_eq(own_processes(), 0);
    siginfo_t info = {0};
    ck_assert_msg(waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 && errno == ECHILD,
                  "a child of the host is left");
}
