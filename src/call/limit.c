/* Limits of a call: whether they make sense, what the cell is asked for, and which one a program ran into.
 *
 * What the kernel tells of a limit is said as that. Of an rlimit it tells nothing: a program finds that it gets no
 * more, and mostly says so and fails; so a program that failed under such a limit, and said what one says of it, is
 * taken at its word.
 */
#include "call/run.h"

enum { OPEN_FILES_MIN = 4 };

/* ------------------------------------------------------------------------------ before the start */

/* Far more than any machine has: what comes of a minus sign or of an overflow. */
static const uint64_t bytes_max = UINT64_C(1) << 60, count_max = UINT64_C(1) << 31;

#define USAGE(...) error_with(error_new(SPILE_ERROR_USAGE, __VA_ARGS__), EINVAL, -1, -1)

static spile_error *check_figures(const spile_call *call) {
    const spile_limits *limits = &call->options.limits;
    const struct {
        uint64_t value, maximum;
        const char *what;
    } figures[] = {
        {limits->file_bytes, bytes_max, "bytes in files"},
        {limits->output_bytes, bytes_max, "bytes an output"},
        {limits->program_memory_bytes, bytes_max, "bytes of memory"},
        {limits->processes, count_max, "processes"},
        {limits->open_files, count_max, "open files"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(figures); i++)
        if (figures[i].value > figures[i].maximum)
            return USAGE("a limit of %llu %s is none: no machine has so many", (unsigned long long)figures[i].value,
                         figures[i].what);
    if (limits->open_files && limits->open_files < OPEN_FILES_MIN)
        return USAGE("with %llu open files no program starts, which has three from the beginning: allow 4 or more",
                     (unsigned long long)limits->open_files);
    return NULL;
}

spile_error *limit_check(const spile_call *call) {
    spile_error *error = check_figures(call);
    if (error)
        return error;
    if (!call->private_path)
        return NULL;
    struct stat status;
    if (call->cwd)
        return USAGE("a private path is where programs start, so there can't be a directory to start in beside it: "
                     "leave out one of '%s' and '%s'",
                     call->private_path, call->cwd);
    int result = *call->private_path == '/' ? sys_fstatat(AT_FDCWD, call->private_path, &status, 0) : -EINVAL;
    if (result < 0 || !S_ISDIR(status.st_mode) || strcmp(call->private_path, "/") == 0)
        return USAGE("the private path '%s' is no directory that can be covered: give the absolute path of one that "
                     "exists, '/mnt' say",
                     call->private_path);
    return NULL;
}

struct cell_wants limit_wants(const spile_call *call) {
    const spile_limits *limits = &call->options.limits;
    return (struct cell_wants){
        .file_bytes = limits->file_bytes,
        .program_memory_bytes = limits->program_memory_bytes,
        .processes = limits->processes,
        .promises = call->options.require | (call->private_path ? SPILE_PROMISE_PRIVATE_PATH : 0u),
    };
}

static bool is_regular_file(int fd) {
    struct stat status;
    return fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
}

struct proc_limits limit_of_programs(const spile_call *call, int host_fd) {
    const spile_limits *limits = &call->options.limits;
    /* Without a file system of its own each file can be limited, at least; but not what is the host's own. */
    bool is_shared = limits->file_bytes && call->cell && !call->cwd && !is_regular_file(host_fd) &&
                     cell_containment(call->cell) != SPILE_CONTAINMENT_NAMESPACE;
    return (struct proc_limits){
        .cpu_seconds = limits->cpu_ns / NS_PER_SECOND + (limits->cpu_ns % NS_PER_SECOND != 0),
        .open_files = limits->open_files,
        .file_bytes = is_shared ? limits->file_bytes : 0,
    };
}

/* ------------------------------------------------------------------------------ after the end */

static bool used_cpu(const struct run_program *program, struct text *text) {
    uint64_t limit = limit_of_programs(program->call, -1).cpu_seconds;
    uint64_t used = program->usage.user_ns + program->usage.system_ns;
    /* What ignores XCPU is killed a second later. The kernel counts more finely than it limits. */
    bool is_sure = run_died_of(program, SIGXCPU);
    bool is_likely = run_died_of(program, SIGKILL) && used >= limit * NS_PER_SECOND / 4 * 3;
    if (!limit || !(is_sure || is_likely))
        return false;
    text_printf(text, "%s used more CPU time than its limit of %llu s: %.2f s", program->label,
                (unsigned long long)limit, (double)used / 1e9);
    return true;
}

static bool filled_files(const struct run_program *program, struct text *text) {
    const spile_call *call = program->call;
    uint64_t limit = call->options.limits.file_bytes;
    struct statfs status;
    bool is_namespace = cell_containment(call->cell) == SPILE_CONTAINMENT_NAMESPACE;
    if (limit && !is_namespace && run_died_of(program, SIGXFSZ)) {
        text_printf(text, "%s wrote a file that is larger than the memory limit of %llu bytes", program->label,
                    (unsigned long long)limit);
        return true;
    }
    if ((!limit && is_namespace) || fstatfs(cell_root_fd(call->cell), &status) < 0 || status.f_bavail > 0)
        return false;
    if (!is_namespace) {
        text_printf(text,
                    "%s failed with '%s' full, which holds the files of the call here (%llu MB; see spile doctor)",
                    program->label, cell_root_path(call->cell),
                    (unsigned long long)status.f_blocks * (unsigned long long)status.f_bsize >> 20);
        return true;
    }
    text_printf(text, "%s failed with the call's files at their memory limit of %llu bytes", program->label,
                (unsigned long long)limit);
    return true;
}

/* Since that was told last. */
static bool was_killed(const struct run_program *program) {
    return program->usage.memory_kills > program->call->memory_kills;
}

bool limit_left_short(const struct run_program *program) {
    return was_killed(program) && program->call->running_count == 0;
}

static bool used_memory(const struct run_program *program, struct text *text) {
    if (!was_killed(program))
        return false;
    text_printf(
        text,
        "%s: the programs used more memory than their limit of %llu bytes, all together and with the files that "
        "they wrote into memory (by control group), and were killed; they had %llu",
        program->label, (unsigned long long)program->call->options.limits.program_memory_bytes,
        (unsigned long long)program->usage.memory_peak_bytes);
    program->call->memory_kills = program->usage.memory_kills;
    return true;
}

static bool was_refused_processes(const struct run_program *program, struct text *text) {
    spile_call *call = program->call;
    if (program->usage.processes_refused <= call->processes_refused)
        return false;
    text_printf(text,
                "%s failed with %llu processes and threads in the call, its limit, and was refused %u more (by control "
                "group)",
                program->label, (unsigned long long)call->options.limits.processes,
                program->usage.processes_refused - call->processes_refused);
    call->processes_refused = program->usage.processes_refused;
    return true;
}

/* Whether the last that it said on standard error has one of the words. */
static bool said(const struct run_program *program, const char *const *words) {
    const struct capture *error = &program->error;
    for (; error->kept.data && *words; words++)
        if (memmem(error->kept.data, error->kept.size, *words, strlen(*words)))
            return true;
    return false;
}

static spile_limit said_so(const struct run_program *program, struct text *text) {
    static const char *const of_files[] = {"Too many open files", "EMFILE", NULL};
    static const char *const of_memory[] = {
        "annot allocate memory", "emory exhausted", "ut of memory", "MemoryError", "bad_alloc", "ENOMEM", NULL};
    static const char *const of_processes[] = {
        "Resource temporarily unavailable", "annot fork", "can't fork", "an't start new thread", "EAGAIN", NULL};
    const spile_limits *limits = &program->call->options.limits;
    struct cell_means means = cell_means(program->call->cell);
    const struct {
        spile_limit which;
        uint64_t limit;
        const char *const *words, *what;
    } cases[] = {
        {SPILE_LIMIT_OPEN_FILES, limits->open_files, of_files, "open files, each process by itself"},
        {SPILE_LIMIT_PROGRAM_MEMORY, means.memory == WANTS_BY_EACH ? limits->program_memory_bytes : 0, of_memory,
         "bytes of memory, each process by itself (by rlimit, there being no control group)"},
        {SPILE_LIMIT_PROCESSES, means.processes == WANTS_BY_USER ? limits->processes : 0, of_processes,
         "processes and threads, all together (by rlimit)"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        if (!cases[i].limit || !said(program, cases[i].words))
            continue;
        text_printf(text, "%s failed at its limit of %llu %s", program->label, (unsigned long long)cases[i].limit,
                    cases[i].what);
        return cases[i].which;
    }
    return SPILE_LIMIT_NONE;
}

spile_limit limit_verdict(const struct run_program *program, struct text *text) {
    if (used_memory(program, text))
        return SPILE_LIMIT_PROGRAM_MEMORY;
    if (used_cpu(program, text))
        return SPILE_LIMIT_CPU;
    if (filled_files(program, text))
        return SPILE_LIMIT_FILES;
    return was_refused_processes(program, text) ? SPILE_LIMIT_PROCESSES : said_so(program, text);
}

void limit_hint(const struct run_program *program, struct text *text) {
    const spile_limits *limits = &program->call->options.limits;
    if (limits->program_memory_bytes && cell_means(program->call->cell).memory == WANTS_BY_EACH)
        text_printf(text, "; each process had %llu bytes of memory (by rlimit)",
                    (unsigned long long)limits->program_memory_bytes);
    if (limits->processes && cell_means(program->call->cell).processes == WANTS_BY_USER)
        text_printf(text, "; there could be %llu processes", (unsigned long long)limits->processes);
    if (limits->open_files)
        text_printf(text, "; each process could open %llu files", (unsigned long long)limits->open_files);
}

spile_error *limit_output(const spile_call *call, int program, const char *name, uint64_t bytes) {
    uint64_t limit = call->options.limits.output_bytes;
    if (!limit || bytes <= limit)
        return NULL;
    return error_of_limit(
        error_with(error_new(SPILE_ERROR_LIMIT,
                             "%s%soutput '%s' is %llu bytes long or longer, over the limit of %llu bytes an output",
                             program >= 0 ? call->programs[program].label : "", program >= 0 ? ": " : "", name,
                             (unsigned long long)bytes, (unsigned long long)limit),
                   ENOBUFS, program, -1),
        SPILE_LIMIT_OUTPUT);
}
