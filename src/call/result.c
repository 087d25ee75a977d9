/* spile_result: what a call came to, as data. Outlives the call; owns all it hands out. */
#include "call/flow.h"

struct result_output {
    char *name;
    void *data;
    uint64_t bytes;
    bool is_mapped, is_partial;
    int program;
    mode_t mode;
};

struct result_program {
    char **argv;
    spile_program_result data;
    struct bytes output, error;
};

struct result_stream {
    char *name;
    spile_stream_result data;
};

struct spile_result {
    struct result_stream *streams;
    size_t stream_count, stream_capacity;
    spile_error *error;
    uint64_t wall_ns;
    spile_containment containment;
    struct result_output *outputs;
    size_t output_count, output_capacity;
    struct result_program *programs;
    size_t program_count;
};

int result_new(spile_call *call, spile_result **ret_result) {
    spile_result *result = memory_zero(1, sizeof(*result));
    if (!result)
        return -ENOMEM;
    result->programs = memory_zero(call->program_count, sizeof(*result->programs));
    if (!result->programs)
        return spile_result_free(result), -ENOMEM;
    result->program_count = call->program_count;
    *ret_result = result;
    return 0;
}

spile_result *spile_result_free(spile_result *result) {
    if (!result)
        return NULL;
    for (size_t i = 0; i < result->output_count; i++) {
        struct result_output *output = &result->outputs[i];
        bytes_release(output->data, output->bytes, output->is_mapped);
        free(output->name);
    }
    for (size_t i = 0; i < result->program_count; i++) {
        string_list_free(result->programs[i].argv);
        bytes_done(&result->programs[i].output);
        bytes_done(&result->programs[i].error);
    }
    for (size_t i = 0; i < result->stream_count; i++)
        free(result->streams[i].name);
    free(result->streams);
    spile_error_free(result->error);
    free(result->outputs);
    free(result->programs);
    free(result);
    return NULL;
}

static void fill_program(struct result_program *filled, struct run_program *program) {
    bool started = program->start_ns > 0;
    filled->argv = TAKE_POINTER(program->argv);
    filled->output = capture_hand_over(&program->output);
    filled->error = capture_hand_over(&program->error);
    size_t tail = program->error.keeps_tail && filled->error.size > program->error.limit
                      ? filled->error.size - program->error.limit
                      : 0;
    filled->data = (spile_program_result){
        .size = sizeof(filled->data),
        .argv = started ? (const char *const *)filled->argv : NULL,
        .started = started,
        .ended = program->is_exited,
        .accepted = program->state == PROGRAM_DONE,
        .exit_status = program->is_exited && WIFEXITED(program->status) ? WEXITSTATUS(program->status) : -1,
        .signal = program->is_exited && WIFSIGNALED(program->status) ? WTERMSIG(program->status) : 0,
        .start_ns = program->start_ns,
        .end_ns = program->end_ns,
        .user_ns = program->usage.user_ns,
        .system_ns = program->usage.system_ns,
        .max_rss_bytes = program->usage.max_rss_bytes,
        .standard_output = filled->output.data ? filled->output.data : "",
        .standard_output_size = filled->output.size,
        .standard_error = filled->error.data ? filled->error.data + tail : "",
        .standard_error_size = filled->error.size - tail,
        .standard_error_truncated = program->error.is_truncated || tail > 0};
}

static int fill_stream(spile_result *result, struct flow *flow, uint64_t begin_ns) {
    const struct stream_info *info = &flow->info;
    if (ARRAY_RESERVE(result->streams, result->stream_count, result->stream_capacity) < 0)
        return -ENOMEM;
    struct result_stream *stream = &result->streams[result->stream_count++];
    stream->name = TAKE_POINTER(flow->name);
    stream->data = (spile_stream_result){
        .size = sizeof(stream->data),
        .name = stream->name,
        .producer = flow->producer,
        .direct = flow->is_direct,
        .writer_opens = info->writer.opens,
        .reader_opens = info->reader.opens,
        .bytes_in = info->writer.bytes ? info->writer.bytes : info->reader.bytes, /* what is held does not come in */
        .bytes_out = info->reader.bytes,
        .first_ns = info->reader.first_ns ? info->reader.first_ns - begin_ns : 0,
        .last_ns = info->reader.last_ns ? info->reader.last_ns - begin_ns : 0,
        .writer_blocked_ns = info->writer.blocked_ns,
        .reader_blocked_ns = info->reader.blocked_ns,
        .window_bytes = info->window_bytes,
        .window_growths = info->window_growths};
    return 0;
}

void result_fill(spile_call *call) {
    spile_result *result = call->result;
    result->wall_ns = time_now_ns() - call->begin_ns;
    result->containment = call->cell ? cell_containment(call->cell) : SPILE_CONTAINMENT_AUTO;
    for (size_t i = 0; i < call->program_count; i++)
        fill_program(&result->programs[i], &call->programs[i]);
    for (size_t i = 0; i < call->item_count; i++) {
        struct item *item = call->items[i];
        if (!item->is_output)
            continue;
        if (ARRAY_RESERVE(result->outputs, result->output_count, result->output_capacity) < 0) {
            if (!call->error)
                call->error = run_system_error(-ENOMEM, "handing out", item->name);
            break;
        }
        result->outputs[result->output_count++] = (struct result_output){.name = TAKE_POINTER(item->name),
                                                                         .data = TAKE_POINTER(item->data),
                                                                         .bytes = item->bytes,
                                                                         .is_mapped = TAKE(item->data_is_mapped, false),
                                                                         .is_partial = item->is_partial || call->error,
                                                                         .program = item->producer,
                                                                         .mode = item->mode};
    }
    for (struct flow *flow = call->flows; flow; flow = flow->next)
        if (fill_stream(result, flow, call->begin_ns) < 0 && !call->error)
            call->error = run_system_error(-ENOMEM, "telling of", flow->name);
    result->error = TAKE_POINTER(call->error);
}

const spile_error *spile_result_error(const spile_result *result) {
    return result->error;
}

static int failed_program_status(const spile_result *result, int program) {
    const spile_program_result *data = &result->programs[program].data;
    return data->signal ? 128 + data->signal : data->exit_status > 0 ? data->exit_status : 123;
}

int spile_result_exit_status(const spile_result *result) {
    const spile_error *error = result->error;
    if (!error)
        return 0;
    switch (error->kind) {
    case SPILE_ERROR_PROGRAM:
        if (error->program >= 0 && result->programs[error->program].data.ended)
            return failed_program_status(result, error->program);
        return 123;
    case SPILE_ERROR_TIMEOUT:
        return 124;
    case SPILE_ERROR_NOT_EXECUTABLE:
        return 126;
    case SPILE_ERROR_NOT_FOUND:
        return 127;
    case SPILE_ERROR_OUTPUT_MISSING:
    case SPILE_ERROR_INPUT_CHANGED:
    case SPILE_ERROR_INPUT:
    case SPILE_ERROR_OUTPUT:
    case SPILE_ERROR_LIMIT:
    case SPILE_ERROR_CANCELLED:
    case SPILE_ERROR_STANDSTILL:
    case SPILE_ERROR_STREAM:
        return 123;
    case SPILE_ERROR_USAGE:
    case SPILE_ERROR_TEMPLATE:
    case SPILE_ERROR_PLAN:
    case SPILE_ERROR_MISSING:
    case SPILE_ERROR_SYSTEM:
    case SPILE_ERROR_PROMISE:
    case SPILE_ERROR_ENDPOINT: /* these and what follows are no call's */
    case SPILE_ERROR_ENDED:
    case SPILE_ERROR_REPLY:
    case SPILE_ERROR_STEP:
    case SPILE_ERROR_TEXT:
        break;
    }
    return 125;
}

spile_containment spile_result_containment(const spile_result *result) {
    return result->containment;
}

uint64_t spile_result_wall_ns(const spile_result *result) {
    return result->wall_ns;
}

size_t spile_result_output_count(const spile_result *result) {
    return result->output_count;
}

int spile_result_output(const spile_result *result, size_t index, spile_output_info *info) {
    if (!info || info->size < sizeof(*info) || index >= result->output_count)
        return -EINVAL;
    const struct result_output *output = &result->outputs[index];
    *info = (spile_output_info){.size = info->size,
                                .name = output->name,
                                .data = output->data,
                                .bytes = output->bytes,
                                .program = output->program,
                                .is_partial = output->is_partial,
                                .mode = output->mode};
    return 0;
}

int spile_result_get(const spile_result *result, const char *name, const void **ret_data, size_t *ret_size) {
    for (size_t i = 0; i < result->output_count; i++)
        if (strcmp(result->outputs[i].name, name) == 0) {
            *ret_data = result->outputs[i].data;
            *ret_size = result->outputs[i].bytes;
            return 0;
        }
    return -ENOENT;
}

size_t spile_result_program_count(const spile_result *result) {
    return result->program_count;
}

int spile_result_program(const spile_result *result, size_t index, spile_program_result *info) {
    if (!info || info->size < sizeof(*info) || index >= result->program_count)
        return -EINVAL;
    size_t size = info->size;
    *info = result->programs[index].data;
    info->size = size;
    return 0;
}

size_t spile_result_stream_count(const spile_result *result) {
    return result->stream_count;
}

int spile_result_stream(const spile_result *result, size_t index, spile_stream_result *info) {
    if (!info || info->size < sizeof(*info) || index >= result->stream_count)
        return -EINVAL;
    size_t size = info->size;
    *info = result->streams[index].data;
    info->size = size;
    return 0;
}
