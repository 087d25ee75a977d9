/* What would be done: per program its command and each file with where it comes from and goes to; or the same for
 * graphviz. Nothing is started. An input that can't be had is marked, and makes the exit status 125.
 */
#include "run.h"

#include <fnmatch.h>
#include <string.h>

static const char *place_name(const struct tie *tie, bool is_input) {
    if (tie->path)
        return allocate_format("'%s'", tie->path);
    if (tie->fd <= 1)
        return is_input ? "standard input" : "standard output";
    return allocate_format("descriptor %d", tie->fd);
}

/* Whether two entries of the plan stand for a common file: as far as a picture needs to know. */
static bool names_meet(const spile_file_info *a, const spile_file_info *b) {
    if (strcmp(a->name, b->name) == 0)
        return true;
    if (a->is_tree || b->is_tree) {
        size_t sizes[2] = {strlen(a->name), strlen(b->name)};
        return strncmp(a->name, b->name, sizes[0] < sizes[1] ? sizes[0] : sizes[1]) == 0;
    }
    if (a->is_pattern && b->is_pattern)
        return true;
    return (a->is_pattern && fnmatch(a->name, b->name, FNM_PERIOD) == 0) ||
           (b->is_pattern && fnmatch(b->name, a->name, FNM_PERIOD) == 0);
}

static void join(struct builder *text, const char *piece) {
    builder_puts(text, text->size > 0 ? ", " : "");
    builder_puts(text, piece);
}

static const char *sources(const struct run *run, const spile_use_info *use, const spile_file_info *file) {
    struct builder text = {0};
    if (use->producer >= 0)
        return allocate_format("program %d", use->producer + 1);
    for (size_t i = 0; i < run->inputs.count; i++) {
        const struct tie *input = &run->inputs.items[i];
        if (input->file == (ssize_t)use->file)
            join(&text, input->missing ? allocate_format("MISSING (%s)", input->missing) : place_name(input, true));
    }
    if (text.size == 0)
        join(&text, file->is_given_optional ? "nothing (starts empty)" : "nothing");
    return text.data;
}

static const char *sinks(const struct run *run, const spile_use_info *made, const spile_file_info *file) {
    struct builder text = {0};
    spile_use_info use = {.size = sizeof(use)};
    spile_file_info other = {.size = sizeof(other)};
    for (size_t i = 0; spile_plan_use(run->plan, i, &use) >= 0; i++)
        if (use.producer == (int)made->program && spile_plan_file(run->plan, use.file, &other) >= 0 &&
            names_meet(file, &other))
            join(&text, allocate_format("program %zu", use.program + 1));
    for (size_t i = 0; i < run->outputs.count; i++)
        if (run->outputs.items[i].file == (ssize_t)made->file &&
            plan_last_maker(run->plan, made->file) == (int)made->program)
            join(&text, place_name(&run->outputs.items[i], false));
    return text.size > 0 ? text.data : "nobody";
}

static const char *remarks(const spile_use_info *use, const spile_file_info *file) {
    static const char *const streams[] = {"standard input", "standard output", "standard error"};
    struct builder text = {0};
    if (use->stdio_fd >= 0)
        join(&text, streams[use->stdio_fd]);
    if (use->kind == SPILE_STREAM)
        join(&text, use->flags & SPILE_FILE_DIRECT ? "direct stream" : "stream");
    if (use->flags & SPILE_FILE_SIDE)
        join(&text, "side file");
    if (file->is_optional && use->role == SPILE_WRITE)
        join(&text, "optional");
    return text.size > 0 ? allocate_format(" [%s]", text.data) : "";
}

static void add_use(const struct run *run, struct builder *out, const spile_use_info *use) {
    static const char *const verbs[] = {
        [SPILE_READ] = "reads", [SPILE_WRITE] = "writes", [SPILE_CHANGE] = "changes", [SPILE_APPEND] = "appends to"};
    spile_file_info file = {.size = sizeof(file)};
    if (spile_plan_file(run->plan, use->file, &file) < 0)
        return;
    builder_printf(out, "    %s %s%s", verbs[use->role], file.name, remarks(use, &file));
    if (use->role != SPILE_WRITE)
        builder_printf(out, " from %s", sources(run, use, &file));
    if (use->role != SPILE_READ)
        builder_printf(out, " to %s", sinks(run, use, &file));
    builder_puts(out, "\n");
}

static void add_extras(const struct run *run, struct builder *out) {
    for (size_t i = 0; i < run->inputs.count; i++) {
        const struct tie *input = &run->inputs.items[i];
        if (input->file < 0)
            builder_printf(out, "every program finds %s from %s\n", input->name,
                           input->missing ? allocate_format("MISSING (%s)", input->missing) : place_name(input, true));
    }
    for (size_t i = 0; i < run->outputs.count; i++)
        if (run->outputs.items[i].file < 0)
            builder_printf(out, "asked for besides: %s to %s\n", run->outputs.items[i].name,
                           place_name(&run->outputs.items[i], false));
}

static void add_text_graph(const struct run *run, struct builder *out) {
    spile_program_info info = {.size = sizeof(info)};
    spile_use_info use = {.size = sizeof(use)};
    for (size_t i = 0; spile_plan_program(run->plan, i, &info) >= 0; i++) {
        builder_printf(out, "program %zu, group %zu: %s\n", i + 1, info.group + 1, info.text);
        for (size_t j = 0; spile_plan_use(run->plan, j, &use) >= 0; j++)
            if (use.program == i)
                add_use(run, out, &use);
        if (info.is_piped)
            builder_printf(out, "    standard output to program %zu by a bar\n", i + 2);
    }
    add_extras(run, out);
}

/* ---------------------------------------------------------------------------------------------------- graphviz */

static const char *dot_string(const char *text) {
    struct builder quoted = {0};
    builder_puts(&quoted, "\"");
    for (text = utf8_clean(text, strlen(text), NULL); *text; text++) {
        if (*text == '"' || *text == '\\')
            builder_puts(&quoted, "\\");
        if ((unsigned char)*text < ' ')
            builder_puts(&quoted, *text == '\n' ? "\\n" : " ");
        else
            builder_add(&quoted, text, 1);
    }
    builder_puts(&quoted, "\"");
    return quoted.data;
}

static void dot_programs(const struct run *run, struct builder *out) {
    spile_program_info info = {.size = sizeof(info)}, other = {.size = sizeof(other)};
    for (size_t i = 0; spile_plan_program(run->plan, i, &info) >= 0; i++) {
        builder_printf(out, "  p%zu [shape=box, label=%s];\n", i + 1, dot_string(info.text));
        if (info.is_piped)
            builder_printf(out, "  p%zu -> p%zu [label=\"|\"];\n", i + 1, i + 2);
        bool is_first = true, is_alone = true;
        for (size_t j = 0; spile_plan_program(run->plan, j, &other) >= 0; j++) {
            is_first &= j >= i || other.group != info.group;
            is_alone &= j == i || other.group != info.group;
        }
        if (!is_first || is_alone)
            continue;
        builder_printf(out, "  subgraph cluster_%zu { style=dashed;", info.group + 1);
        for (size_t j = i; spile_plan_program(run->plan, j, &other) >= 0; j++)
            if (other.group == info.group)
                builder_printf(out, " p%zu;", j + 1);
        builder_puts(out, " }\n");
    }
}

static void dot_between(const struct run *run, struct builder *out) {
    spile_use_info use = {.size = sizeof(use)};
    spile_file_info file = {.size = sizeof(file)};
    for (size_t i = 0; spile_plan_use(run->plan, i, &use) >= 0; i++)
        if (use.producer >= 0 && spile_plan_file(run->plan, use.file, &file) >= 0)
            builder_printf(out, "  p%d -> p%zu [label=%s%s];\n", use.producer + 1, use.program + 1,
                           dot_string(file.name), use.kind == SPILE_STREAM ? ", style=dashed" : "");
}

static const char *node_label(const struct tie *tie, bool is_input) {
    const char *place = tie->missing ? "missing" : place_name(tie, is_input);
    bool is_plain = !tie->missing && tie->path && strcmp(tie->path, tie->name) == 0;
    return dot_string(is_plain ? tie->name : allocate_format("%s\n%s", tie->name, place));
}

static void dot_inputs(const struct run *run, struct builder *out) {
    spile_use_info use = {.size = sizeof(use)};
    for (size_t i = 0; i < run->inputs.count; i++) {
        const struct tie *input = &run->inputs.items[i];
        builder_printf(out, "  i%zu [label=%s%s];\n", i + 1, node_label(input, true),
                       input->missing ? ", color=red" : "");
        for (size_t j = 0; spile_plan_use(run->plan, j, &use) >= 0; j++)
            if (input->file == (ssize_t)use.file && use.producer < 0 && use.role != SPILE_WRITE)
                builder_printf(out, "  i%zu -> p%zu;\n", i + 1, use.program + 1);
    }
}

static void dot_outputs(const struct run *run, struct builder *out) {
    spile_use_info use = {.size = sizeof(use)};
    for (size_t i = 0; i < run->outputs.count; i++) {
        const struct tie *output = &run->outputs.items[i];
        builder_printf(out, "  o%zu [label=%s];\n", i + 1, node_label(output, false));
        for (size_t j = 0; spile_plan_use(run->plan, j, &use) >= 0; j++)
            if (output->file == (ssize_t)use.file && use.role != SPILE_READ &&
                plan_last_maker(run->plan, use.file) == (int)use.program)
                builder_printf(out, "  p%zu -> o%zu;\n", use.program + 1, i + 1);
    }
}

int graph_write(struct run *run) {
    struct builder out = {0};
    if (run->dot) {
        builder_puts(&out, "digraph spile {\n  rankdir=LR;\n");
        dot_programs(run, &out);
        dot_between(run, &out);
        dot_inputs(run, &out);
        dot_outputs(run, &out);
        builder_puts(&out, "}\n");
    } else {
        add_text_graph(run, &out);
    }
    run->exit_status = out_write(out.data, out.size);
    if (run->exit_status)
        return run->exit_status;
    for (size_t i = 0; i < run->inputs.count; i++)
        if (run->inputs.items[i].missing)
            return run_refuse(run, SPILE_ERROR_MISSING, "%s", run->inputs.items[i].missing);
    return 0;
}
