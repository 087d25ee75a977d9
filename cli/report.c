/* The outcome as JSON: its schema is in spile-run(1). Bytes that are no UTF-8 become U+FFFD. */
#include "run.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { REPORT_VERSION = 1 };

int report_open(struct run *run) {
    run->report_fd = 2;
    if (!run->report_wanted || !run->report_path)
        return 0;
    run->report_fd = strcmp(run->report_path, "-") == 0
                         ? 1
                         : open(run->report_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (run->report_fd >= 0)
        return 0;
    const char *reason = strerror(errno);
    run->report_wanted = false;
    return run_refuse(run, SPILE_ERROR_USAGE, "--json: '%s' can't be written: %s", run->report_path, reason);
}

static json_t *string_of(const char *bytes, size_t size) {
    size_t length;
    const char *text = utf8_clean(bytes, size, &length);
    return json_stringn(text, length);
}

static json_t *string_or_null(const char *text) {
    return text ? string_of(text, strlen(text)) : json_null();
}

static json_t *index_or_null(int index) {
    return index < 0 ? json_null() : json_integer(index);
}

static json_t *seconds(uint64_t ns) {
    return json_real((double)ns / 1e9);
}

static json_t *outcome_of(const struct run *run) {
    json_t *hints = json_array();
    for (size_t i = 0; i < run->hints.count; i++)
        json_array_append_new(hints, string_or_null(run->hints.items[i]));
    return json_pack("{s:b, s:o, s:o, s:o, s:o, s:o, s:o}", "ok", run->message == NULL, "kind",
                     run->message ? json_string(spile_error_kind_name(run->kind)) : json_null(), "limit",
                     string_or_null(spile_limit_name(run->limit)), "message", string_or_null(run->message), "errno",
                     run->error_number ? json_integer(run->error_number) : json_null(), "program",
                     run->message ? index_or_null(run->error_program) : json_null(), "hints", hints);
}

static json_t *program_of(const struct run *run, size_t index) {
    spile_program_info info = {.size = sizeof(info)};
    spile_program_result ran = {.size = sizeof(ran), .exit_status = -1};
    spile_plan_program(run->plan, index, &info);
    if (!run->result || spile_result_program(run->result, index, &ran) < 0)
        ran = (spile_program_result){.exit_status = -1};
    json_t *argv = ran.argv ? json_array() : json_null();
    for (size_t i = 0; ran.argv && ran.argv[i]; i++)
        json_array_append_new(argv, string_or_null(ran.argv[i]));
    return json_pack(
        "{s:I, s:o, s:o, s:o, s:o, s:b, s:o, s:o, s:o, s:o, s:I, s:o, s:b}", "index", (json_int_t)index, "text",
        string_or_null(info.text), "argv", argv, "status", ran.ended ? index_or_null(ran.exit_status) : json_null(),
        "signal", ran.signal ? json_integer(ran.signal) : json_null(), "accepted", ran.accepted, "start_seconds",
        ran.started ? seconds(ran.start_ns) : json_null(), "end_seconds", ran.ended ? seconds(ran.end_ns) : json_null(),
        "user_seconds", seconds(ran.user_ns), "system_seconds", seconds(ran.system_ns), "max_rss_bytes",
        (json_int_t)ran.max_rss_bytes, "stderr_tail",
        ran.standard_error ? string_of(ran.standard_error, ran.standard_error_size) : json_string(""),
        "stderr_truncated", ran.standard_error_truncated);
}

/* ------------------------------------------------------------------------------------------------------- files */

struct file_entry {
    const char *name, *flow;
    spile_kind kind;
    int producer;
    bool is_many; /* a pattern or tree: it has no size of its own */
};

static const char *tie_place(const struct tie *tie) {
    if (tie->path)
        return tie->path;
    return tie->fd <= 1 ? "-" : allocate_format("@%d", tie->fd);
}

static json_t *place_of(const tie_list *list, const char *name) {
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->items[i].name, name) == 0 && !list->items[i].missing)
            return string_or_null(tie_place(&list->items[i]));
    return json_null();
}

static json_t *bytes_of(const struct run *run, const struct file_entry *entry) {
    for (size_t i = 0; i < run->sizes.count && !entry->is_many; i++)
        if (strcmp(run->sizes.items[i].name, entry->name) == 0)
            return json_integer((json_int_t)run->sizes.items[i].bytes);
    return json_null();
}

static void add_file(const struct run *run, json_t *files, const struct file_entry *entry) {
    json_array_append_new(files,
                          json_pack("{s:o, s:s, s:s, s:o, s:o, s:o, s:o}", "name", string_or_null(entry->name), "flow",
                                    entry->flow, "kind", entry->kind == SPILE_STREAM ? "stream" : "seekable",
                                    "producer", index_or_null(entry->producer), "bytes", bytes_of(run, entry), "from",
                                    place_of(&run->inputs, entry->name), "to", place_of(&run->outputs, entry->name)));
}

static json_t *files_of(const struct run *run) {
    static const char *const flows[] = {[SPILE_INPUT] = "input",
                                        [SPILE_OUTPUT] = "output",
                                        [SPILE_INTERMEDIATE] = "intermediate",
                                        [SPILE_INPUT_OUTPUT] = "input_output"};
    json_t *files = json_array();
    spile_file_info info = {.size = sizeof(info)};
    spile_output_info output = {.size = sizeof(output)};
    for (size_t i = 0; run->plan && spile_plan_file(run->plan, i, &info) >= 0; i++)
        add_file(run, files,
                 &(struct file_entry){.name = info.name,
                                      .flow = flows[info.flow],
                                      .kind = info.kind,
                                      .producer = plan_last_maker(run->plan, i),
                                      .is_many = info.is_pattern || info.is_tree});
    for (size_t i = 0; i < run->inputs.count; i++) {
        const struct tie *input = &run->inputs.items[i];
        if (!input->missing && plan_find_file(run->plan, input->name, NULL) < 0)
            add_file(run, files, &(struct file_entry){.name = input->name, .flow = "input", .producer = -1});
    }
    for (size_t i = 0; run->result && spile_result_output(run->result, i, &output) >= 0; i++)
        if (plan_find_file(run->plan, output.name, NULL) < 0)
            add_file(run, files,
                     &(struct file_entry){.name = output.name, .flow = "output", .producer = output.program});
    return files;
}

static void add_stream(json_t *streams, const spile_stream_result *stream) {
    json_array_append_new(
        streams,
        json_pack("{s:o, s:o, s:b, s:i, s:i, s:I, s:I, s:o, s:o, s:o, s:o, s:I, s:i}", "name",
                  string_or_null(stream->name), "producer", index_or_null(stream->producer), "direct", stream->direct,
                  "writer_opens", (int)stream->writer_opens, "reader_opens", (int)stream->reader_opens, "bytes_in",
                  (json_int_t)stream->bytes_in, "bytes_out", (json_int_t)stream->bytes_out, "first_seconds",
                  seconds(stream->first_ns), "last_seconds", seconds(stream->last_ns), "writer_blocked_seconds",
                  seconds(stream->writer_blocked_ns), "reader_blocked_seconds", seconds(stream->reader_blocked_ns),
                  "window_bytes", (json_int_t)stream->window_bytes, "window_growths", (int)stream->window_growths));
}

static json_t *streams_of(const struct run *run) {
    json_t *streams = json_array();
    spile_stream_result stream = {.size = sizeof(stream)};
    for (size_t i = 0; run->result && spile_result_stream(run->result, i, &stream) >= 0; i++)
        add_stream(streams, &stream);
    return streams;
}

int report_write(struct run *run) {
    json_t *programs = json_array();
    for (size_t i = 0; run->plan && i < spile_plan_program_count(run->plan); i++)
        json_array_append_new(programs, program_of(run, i));
    json_t *report = json_pack(
        "{s:i, s:s, s:o, s:i, s:o, s:o, s:o, s:o, s:o}", "version", REPORT_VERSION, "spile", spile_version(), "outcome",
        outcome_of(run), "exit_status", run->exit_status, "wall_seconds",
        run->result ? seconds(spile_result_wall_ns(run->result)) : json_null(), "containment",
        run->result ? json_string(containment_kind(spile_result_containment(run->result))) : json_null(), "programs",
        programs, "files", files_of(run), "streams", streams_of(run));
    char *json = report ? json_dumps(report, JSON_INDENT(2) | JSON_REAL_PRECISION(9)) : NULL;
    json_decref(report);
    if (!json) {
        complain("the report can't be made: out of memory");
        return EXIT_OWN_ERROR;
    }
    int result = write_all(run->report_fd, json, strlen(json));
    if (result >= 0)
        result = write_all(run->report_fd, "\n", 1);
    free(json);
    /* A network file system says it at the close. */
    if (result >= 0 && run->report_fd > 2 && close(run->report_fd) < 0)
        result = -errno;
    if (result >= 0)
        return run->exit_status;
    complain("the report can't be written to '%s': %s", run->report_path ? run->report_path : "standard error",
             strerror(-result));
    return run->exit_status ? run->exit_status : EXIT_OWN_ERROR;
}
