/* `spile run`: what its parts share.
 *
 * Stages, each of which may refuse (run_refuse): options and operands are read (run_options.c); a plan is made of them
 * (templates.c); bindings become inputs and outputs, which are looked at on the host (bindings.c); then the graph is
 * shown (graph.c), or the call is made and run (call.c); at last its outcome is told (hints.c, report.c).
 */
#pragma once

#include "cli.h"

enum operand_type { OPERAND_WORD, OPERAND_LINE /* of a file */, OPERAND_VECTOR };
struct operand {
    enum operand_type type;
    const char *text;         /* a template, or a binding */
    const char *const *words; /* OPERAND_VECTOR */
    size_t word_count;
    const char *file; /* OPERAND_LINE: where it stands */
    unsigned line;
    bool is_binding;
    size_t first_program, program_count;
};

enum direction { DIRECTION_INPUT = 1, DIRECTION_OUTPUT = 2, DIRECTION_BOTH = 3 };
struct binding {
    const char *word; /* as it was written */
    const char *name, *path;
    int fd;                   /* -1: a path */
    enum direction direction; /* what it was said for */
};

struct value {
    const char *name, *text; /* text NULL: a list that is empty */
};

struct ok_status {
    const char *program; /* its first word, without directories; or its number; NULL: each */
    int *statuses;
    size_t count;
    bool used;
};

/* An input or an output as it was settled. */
struct tie {
    const char *name; /* of one file: patterns that are read are expanded */
    const char *path; /* NULL: fd */
    int fd;
    ssize_t file;        /* number of the plan's file, or -1: in no template */
    const char *missing; /* an input that can't be had: what to say of it; or NULL */
};
typedef LIST_OF(struct tie) tie_list;

struct run {
    LIST_OF(struct operand) operands;
    LIST_OF(struct binding) bindings;
    LIST_OF(struct value) values;
    LIST_OF(struct ok_status) ok_statuses;
    word_list optional_names, direct_names;
    word_list environment;
    bool environment_is_empty;
    spile_limits limits;
    unsigned jobs;
    const char *cwd, *private_path;
    unsigned require; /* SPILE_PROMISE_... */
    bool force, keep_going, trace, dry_run, dot, help;
    bool report_wanted;
    const char *report_path; /* NULL: standard error, "-": standard output */
    int report_fd;
    int stdin_uses; /* how many -f - and bindings read standard input */

    spile_ctx *ctx; /* NULL: nothing is to be started */
    spile_plan *plan;
    tie_list inputs, outputs;
    int out_fd; /* where standard output went while an output or the report takes it alone; 1 otherwise */

    spile_result *result;
    /* the outcome; message NULL while all is well */
    spile_error_kind kind;
    spile_limit limit;
    const char *message;
    int error_number, error_program;
    bool quiet; /* ended by a reader that left: nothing to say */
    word_list hints;
    int exit_status;
    LIST_OF(struct file_bytes {
        const char *name;
        uint64_t bytes;
    })
    sizes;
};

/* run.c: notes what is wrong and returns EXIT_OWN_ERROR, for `return run_refuse(...)`. */
int run_refuse(struct run *run, spile_error_kind kind, const char *format, ...) PRINTF_LIKE(3, 4);
/* The same from the library's error, which it frees. `place` stands before the message; may be NULL. */
int run_refuse_error(struct run *run, spile_error *error, const char *place, int result);

/* run_options.c */
const char *run_options_parse(struct run *run, char **words, size_t count);
/* templates.c */
const char *template_file_read(struct run *run, const char *path);
int templates_plan(struct run *run);
/* The file of the plan with that name, or -1. */
ssize_t plan_find_file(const spile_plan *plan, const char *name, spile_file_info *ret_info);
/* The last program that makes the file of that number, or -1. */
int plan_last_maker(const spile_plan *plan, size_t file);
/* "prog.txt:3: " where the program stands in a file, else "". */
const char *program_place(const struct run *run, int program);
/* bindings.c */
const char *binding_add(struct run *run, const char *word, enum direction direction);
int bindings_resolve(struct run *run);
/* Whether an output goes to standard output, as far as outputs are settled. */
bool output_takes_standard_output(const struct run *run);
/* targets.c: looks at where outputs go before anything starts. */
int targets_check(struct run *run);
/* call.c */
int call_run(struct run *run);
/* graph.c: what would be done, as text or for graphviz. */
int graph_write(struct run *run);
/* hints.c: adds to run->hints what may have been meant. */
void hints_find(struct run *run);
/* trace.c: `user` is the run. */
void trace_event(void *user, const spile_event *event);
/* report.c: the outcome as JSON; returns what to exit with. */
int report_open(struct run *run);
int report_write(struct run *run);
