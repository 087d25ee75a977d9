/* The streams of a running call: what feeds them and where they go. See flow.h. */
#include "call/flow.h"

enum { FLOW_WINDOW = 256 << 10, FLOW_WINDOW_LEAST = 4 << 10 };

struct flow *flow_find(const spile_call *call, const char *name) {
    for (struct flow *flow = call->flows; flow; flow = flow->next)
        if (strcmp(flow->name, name) == 0)
            return flow;
    return NULL;
}

/* ------------------------------------------------------------------------------ what the streams tell */

static struct flow *flow_of(spile_call *call, const struct stream *stream) {
    struct flow *flow = call->flows;
    while (flow && flow->stream != stream)
        flow = flow->next;
    return flow;
}

/* The program whose end of the stream has that path. */
static int program_at(const struct flow *flow, const char *path) {
    for (size_t i = 0; i < flow->call->program_count; i++)
        if (flow->readers[i] >= 0 && strcmp(stream_end_path(flow->stream, flow->readers[i]), path) == 0)
            return (int)i;
    return MAX(flow->producer, 0);
}

static const char *fault_text(enum stream_fault fault) {
    switch (fault) {
    case STREAM_FAULT_INPUT_AGAIN:
        return "%s opens the stream '%s' again, and what it has read is not held any more";
    case STREAM_FAULT_TWO_READERS:
        return "%s opens the stream '%s' while it still reads it, and a pipe can't be read from two places";
    case STREAM_FAULT_OUTPUT_AGAIN:
        return "%s opens the stream '%s' for writing again after everything stood still and its end was passed on";
    case STREAM_FAULT_OUTPUT_LATE:
        return "what %s left running writes to the stream '%s' after everything stood still and its end was passed on";
    case STREAM_FAULT_OUTPUT_READ:
        return "%s reads from the stream '%s', which is its output";
    case STREAM_FAULT_REPLACED:
        return "%s put something else in the place of the stream '%s'";
    case STREAM_FAULT_SYSTEM:
        break;
    }
    return "%s and the stream '%s': the system refused";
}

static spile_error *fault_error(const struct flow *flow, enum stream_fault fault, int number, int program) {
    bool is_reader = fault == STREAM_FAULT_INPUT_AGAIN || fault == STREAM_FAULT_TWO_READERS;
    AUTO_TEXT text = {0};
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    text_printf(&text, fault_text(fault), flow->call->programs[program].label, flow->name);
#pragma GCC diagnostic pop
    if (fault == STREAM_FAULT_SYSTEM)
        text_printf(&text, " (%s)", strerror(number));
    else
        text_printf(&text, ": drop the bar from the mark, {%s%s}", is_reader ? "<" : ">", flow->name);
    return error_with(error_new(fault == STREAM_FAULT_SYSTEM ? SPILE_ERROR_SYSTEM : SPILE_ERROR_STREAM, "%s",
                                text.data ? text.data : flow->name),
                      number, program, -1);
}

static void on_failed(struct stream_owner *owner, struct stream *stream, enum stream_fault fault, int number,
                      const char *path) {
    spile_call *call = CONTAINER_OF(owner, spile_call, stream_owner);
    const struct flow *flow = flow_of(call, stream);
    if (call->state == CALL_RUNNING && flow)
        run_fail(call, fault_error(flow, fault, number, program_at(flow, path)));
}

static void on_moved(struct stream_owner *owner, struct stream *stream) {
    spile_call *call = CONTAINER_OF(owner, spile_call, stream_owner);
    (void)stream;
    if (call->state == CALL_RUNNING)
        run_advance(call);
}

static void on_opened(struct stream_owner *owner, struct stream *stream, const char *path, unsigned count) {
    spile_call *call = CONTAINER_OF(owner, spile_call, stream_owner);
    const struct flow *flow = flow_of(call, stream);
    if (flow)
        run_trace(call, (spile_event){.kind = SPILE_EVENT_STREAM,
                                      .program = program_at(flow, path),
                                      .name = flow->name,
                                      .text = count > 1 ? "opened again" : "opened",
                                      .bytes = count});
}

static void on_wanted(struct stream_owner *owner, struct stream *stream) {
    struct flow *flow = flow_of(CONTAINER_OF(owner, spile_call, stream_owner), stream);
    if (flow)
        feed_go_on(&flow->feed);
}

/* ------------------------------------------------------------------------------ what feeds them */

static void on_feed_failed(struct feed *feed, int number) {
    struct flow *flow = CONTAINER_OF(feed, struct flow, feed);
    run_fail(flow->call,
             error_with(error_new(SPILE_ERROR_INPUT, "reading input '%s' failed: %s", flow->name, strerror(number)),
                        number, -1, -1));
}

static ssize_t read_callback(struct feed *feed, void *buffer, size_t size) {
    const struct flow *flow = CONTAINER_OF(feed, struct flow, feed);
    const struct source *source = &flow->item->source;
    return flow->call->state == CALL_RUNNING ? source->read_fn(source->user, buffer, size) : -EAGAIN;
}

static int begin_source(struct flow *flow) {
    const struct source *source = &flow->item->source;
    int result = -EINVAL;
    flow->feed.failed = on_feed_failed;
    switch (source->type) {
    case SOURCE_NONE:
        break;
    case SOURCE_MEMORY:
        stream_hold_memory(flow->stream, source->data, source->size);
        return 0;
    case SOURCE_FD:
        result = feed_open_fd(&flow->feed, source->fd);
        break;
    case SOURCE_PATH:
        result = feed_open_path(&flow->feed, source->path);
        break;
    case SOURCE_CALLBACK:
        flow->feed.read = read_callback;
        result = 0;
        break;
    }
    return result < 0 ? result : feed_begin(&flow->feed, flow->stream);
}

/* ------------------------------------------------------------------------------ where they go */

static ssize_t keep(struct flow *flow, const void *data, size_t size) {
    uint64_t limit = flow->call->options.limits.file_bytes;
    if (limit && flow->kept.size + size > limit)
        return -ENOSPC;
    int result = bytes_append(&flow->kept, data, size);
    return result < 0 ? result : (ssize_t)size;
}

/* Near the limit the last bytes are taken, so that the first one too many is seen. */
static ssize_t flow_place(struct stream_sink *sink, char **ret_place) {
    struct flow *flow = CONTAINER_OF(sink, struct flow, sink);
    const spile_limits *limits = &flow->call->options.limits;
    size_t room;
    int result = bytes_reserve(&flow->kept, 1, ret_place, &room);
    if (result < 0)
        return result;
    uint64_t most = flow->kept.size + room;
    bool is_near = (limits->file_bytes && most > limits->file_bytes) ||
                   (limits->output_bytes && most > limits->output_bytes);
    return is_near ? -ENOSPC : (ssize_t)room;
}

static void flow_placed(struct stream_sink *sink, size_t size) {
    struct flow *flow = CONTAINER_OF(sink, struct flow, sink);
    bytes_added(&flow->kept, size);
    flow->item->bytes += size;
}

static ssize_t flow_take(struct stream_sink *sink, const void *data, size_t size) {
    struct flow *flow = CONTAINER_OF(sink, struct flow, sink);
    ssize_t taken = -EINVAL;
    spile_error *error = limit_output(flow->call, flow->producer, flow->name, flow->item->bytes + size);
    if (error) {
        run_fail(flow->call, error);
        return -ENOBUFS;
    }
    switch (flow->target) {
    case FLOW_NONE:
        break;
    case FLOW_MEMORY:
        taken = keep(flow, data, size);
        break;
    case FLOW_DELIVERY:
        taken = deliver_piece(&flow->delivery, data, size);
        break;
    case FLOW_CALLBACK:
        taken = flow->delivery.request->write_fn(flow->delivery.request->user, flow->name, data, size);
        flow->sink_waits_for_resume = taken == -EAGAIN;
        if (taken >= 0)
            taken = (ssize_t)size;
        break;
    }
    if (taken > 0)
        flow->item->bytes += (uint64_t)taken;
    if (taken < 0 && taken != -EAGAIN) {
        bool is_limit = taken == -ENOSPC && flow->target == FLOW_MEMORY;
        error = error_with(error_new(is_limit ? SPILE_ERROR_LIMIT : SPILE_ERROR_OUTPUT,
                                     "passing on the stream '%s' failed: %s", flow->name, strerror((int)-taken)),
                           (int)-taken, flow->producer, -1);
        run_fail(flow->call, error_of_limit(error, is_limit ? SPILE_LIMIT_FILES : SPILE_LIMIT_NONE));
    }
    return taken;
}

static void flow_writable(struct sink *sink) {
    struct flow *flow = CONTAINER_OF(CONTAINER_OF(sink, struct delivery, sink), struct flow, delivery);
    stream_sink_ready(flow->stream);
    run_advance(flow->call);
}

static int begin_sink(struct flow *flow) {
    spile_call *call = flow->call;
    const struct request *request = request_for(call, flow->name);
    bool is_read = plan_is_read(call->plan, flow->producer, flow->name);
    if (is_read && !request)
        return 0;
    flow->item = store_add(call, flow->name, flow->producer);
    if (!flow->item)
        return -ENOMEM;
    flow->item->state = ITEM_READY;
    flow->item->is_output = flow->item->is_stream = true;
    flow->item->mode = 0644;
    flow->sink.take = flow_take;
    flow->delivery = (struct delivery){.item = flow->item,
                                       .request = request,
                                       .file_fd = -1,
                                       .target_fd = -1,
                                       .sink = {.fd = -1, .writable = flow_writable}};
    flow->target = !request || request->type == REQUEST_MEMORY ? FLOW_MEMORY
                   : request->type == REQUEST_CALLBACK         ? FLOW_CALLBACK
                                                               : FLOW_DELIVERY;
    int result = flow->target == FLOW_DELIVERY ? deliver_open(&flow->delivery) : 0;
    flow->delivery.sink.writable = flow_writable;
    if (flow->target == FLOW_MEMORY) {
        flow->sink.place = flow_place;
        flow->sink.placed = flow_placed;
    }
    if (result >= 0)
        stream_set_sink(flow->stream, &flow->sink);
    return result;
}

/* ------------------------------------------------------------------------------ the streams of a group */

static struct flow *add_flow(spile_call *call, const char *name) {
    struct flow *flow = memory_zero(1, sizeof(*flow));
    AUTO_FREE char *copy = memory_string(name);
    int *readers = memory_new(call->program_count * sizeof(*readers));
    if (!flow || !copy || !readers) {
        free(flow);
        free(readers);
        return NULL;
    }
    for (size_t i = 0; i < call->program_count; i++)
        readers[i] = -1;
    *flow = (struct flow){
        .call = call, .next = call->flows, .name = TAKE_POINTER(copy), .readers = readers, .feed.fd = -1};
    flow->delivery.file_fd = flow->delivery.target_fd = flow->delivery.sink.fd = -1;
    flow->direct_read = flow->direct_write = -1;
    call->flows = flow;
    return flow;
}

static int make_ends(struct flow *flow) {
    spile_call *call = flow->call;
    char path[PATH_MAX];
    int result = 0;
    for (size_t i = 0; i < call->program_count && result >= 0; i++) {
        const struct file *file = plan_use_of(call->plan, i, flow->name);
        if (!file)
            continue;
        store_program_path(i, flow->name, path);
        result = store_make_directory(call, i);
        if (result >= 0)
            result = store_make_parents(call, path);
        if (result >= 0 && file->role == SPILE_WRITE)
            result = stream_make_writer(flow->stream, path);
        else if (result >= 0)
            result = flow->readers[i] = stream_make_reader(flow->stream, path);
    }
    return result;
}

static int begin_flow(spile_call *call, const char *name) {
    struct flow *flow = add_flow(call, name);
    if (!flow)
        return -ENOMEM;
    flow->producer = plan_source(call->plan, SIZE_MAX, name);
    if (plan_is_direct(call->plan, name) && !request_for(call, name))
        return direct_begin(flow);
    int result = stream_new(&call->stream_room, &flow->stream);
    if (result >= 0 && flow->producer == PLAN_GIVEN) {
        flow->item = store_find(call, name, PLAN_GIVEN);
        result = flow->item ? begin_source(flow) : -ENOENT;
    } else if (result >= 0) {
        result = begin_sink(flow);
    }
    return result < 0 ? result : make_ends(flow);
}

/* Whether what joins the programs of a group, the caller's own ends among it, goes round somewhere. There each of its
 * pipes may have to hold more than a kernel pipe does. The group hangs together, so that counting is enough: a tree has
 * one edge less than nodes. */
static bool has_ring(const spile_call *call, size_t group) {
    size_t nodes = 0, edges = 0, host_edges = 0;
    for (size_t i = 0; i < call->program_count; i++) {
        nodes += call->plan->programs[i].group == group;
        edges += call->plan->programs[i].group == group && call->plan->programs[i].is_piped;
    }
    for (const struct flow *flow = call->flows; flow; flow = flow->next) {
        size_t readers = 0, in_group = 0;
        for (size_t i = 0; i < call->program_count; i++) {
            readers += flow->readers[i] >= 0;
            in_group += call->plan->programs[i].group == group && (flow->readers[i] >= 0 || flow->producer == (int)i);
        }
        if (in_group == 0)
            continue;
        edges += flow->producer == PLAN_GIVEN ? 0 : readers;
        host_edges += flow->producer == PLAN_GIVEN ? readers
                                                   : flow->target == FLOW_CALLBACK || flow->target == FLOW_DELIVERY;
    }
    return edges + host_edges >= nodes + (host_edges > 0);
}

int flow_join(spile_call *call, size_t program, int *ret_in, int *ret_out) {
    int fds[2];
    int result;
    if (!has_ring(call, call->plan->programs[program].group)) {
        result = sys_pipe2(fds, 0);
        if (result < 0)
            return result;
        *ret_in = fds[0];
        *ret_out = fds[1];
        return 0;
    }
    AUTO_TEXT name = {0};
    char paths[2][32];
    text_printf(&name, "standard output of %s", call->programs[program].label);
    struct flow *flow = name.failed ? NULL : add_flow(call, name.data);
    if (!flow)
        return -ENOMEM;
    flow->producer = (int)program;
    snprintf(paths[0], sizeof(paths[0]), "s/from-%zu", program);
    snprintf(paths[1], sizeof(paths[1]), "s/to-%zu", program + 1);
    result = stream_new(&call->stream_room, &flow->stream);
    if (result >= 0)
        result = stream_make_writer(flow->stream, paths[0]);
    if (result >= 0)
        result = flow->readers[program + 1] = stream_make_reader(flow->stream, paths[1]);
    AUTO_FD out = result < 0 ? -1 : flow_open_tied(call, paths[0], true);
    AUTO_FD in = out < 0 ? -1 : flow_open_tied(call, paths[1], false);
    if (result < 0 || out < 0 || in < 0)
        return result < 0 ? result : out < 0 ? out : in;
    *ret_in = TAKE_FD(in);
    *ret_out = TAKE_FD(out);
    return 0;
}

static size_t half_of_memory(void) {
    long pages = sysconf(_SC_PHYS_PAGES), page_bytes = sysconf(_SC_PAGESIZE);
    return pages > 0 && page_bytes > 0 ? (size_t)pages / 2 * (size_t)page_bytes : SIZE_MAX / 4;
}

static spile_error *begin_error(int result, const char *name) {
    if (result != -ENXIO)
        return run_system_error(result, "making the stream", name);
    return error_with(
        error_new(SPILE_ERROR_OUTPUT, "the stream '%s' goes to a FIFO that nobody reads: start its reader first", name),
        ENXIO, -1, -1);
}

int flow_begin(spile_call *call, size_t group, spile_error **ret_error) {
    struct stream_room *room = &call->stream_room;
    if (!room->owner) {
        call->stream_owner = (struct stream_owner){
            .moved = on_moved, .failed = on_failed, .opened = on_opened, .wanted = on_wanted};
        size_t limit = call->options.limits.file_bytes ? call->options.limits.file_bytes : half_of_memory();
        /* With little memory a window is no larger than that, but for a page. */
        size_t window = MIN((size_t)FLOW_WINDOW, MAX(limit, (size_t)FLOW_WINDOW_LEAST));
        *room = (struct stream_room){.loop = call->loop,
                                     .owner = &call->stream_owner,
                                     .root = cell_root_fd(call->cell),
                                     .window = window,
                                     .limit_bytes = limit};
    }
    for (size_t i = 0; i < call->program_count; i++) {
        const spile_program *owner = call->plan->programs[i].program;
        for (size_t j = 0; call->plan->programs[i].group == group && j < owner->file_count; j++) {
            if (owner->files[j].kind != SPILE_STREAM || flow_find(call, owner->files[j].name))
                continue;
            int result = begin_flow(call, owner->files[j].name);
            if (result < 0) {
                *ret_error = begin_error(result, owner->files[j].name);
                return result;
            }
            standstill_watch(call);
        }
    }
    if (watch_is_by_clock(call->loop))
        run_trace(call, (spile_event){.kind = SPILE_EVENT_NOTICE,
                                      .program = -1,
                                      .text = "no inotify instance is left for this user, or events were lost: "
                                              "streams are looked at by the clock, which is slower"});
    return 0;
}

void flow_prepare(spile_call *call) {
    for (struct flow *flow = call->flows; flow; flow = flow->next)
        if (flow->stream)
            stream_prepare(flow->stream);
}

/* The stream whose end has that path. */
static struct flow *flow_at(const spile_call *call, const char *path, int *ret_reader) {
    for (struct flow *flow = call->flows; flow; flow = flow->next) {
        *ret_reader = -1;
        if (flow->stream && flow->producer >= 0 && strcmp(stream_end_path(flow->stream, -1), path) == 0)
            return flow;
        for (size_t i = 0; flow->stream && i < call->program_count; i++) {
            *ret_reader = flow->readers[i];
            if (flow->readers[i] >= 0 && strcmp(stream_end_path(flow->stream, flow->readers[i]), path) == 0)
                return flow;
        }
    }
    return NULL;
}

int flow_open_tied(spile_call *call, const char *path, bool for_writing) {
    int reader, fd;
    struct flow *flow = flow_at(call, path, &reader);
    if (flow) {
        int opened = reader < 0 ? stream_open_writer(flow->stream, &fd) : stream_open_reader(flow->stream, reader, &fd);
        return opened < 0 ? opened : fd;
    }
    return direct_open(call, path, for_writing);
}

void flow_exited(spile_call *call, size_t program) {
    for (struct flow *flow = call->flows; flow; flow = flow->next) {
        if (flow->is_direct && flow->producer == (int)program)
            flow->direct_write = fd_close(flow->direct_write);
        if (flow->is_direct && flow->readers[program] >= 0)
            flow->direct_read = fd_close(flow->direct_read);
        if (!flow->stream)
            continue;
        if (flow->producer == (int)program)
            stream_writer_exited(flow->stream);
        if (flow->readers[program] >= 0)
            stream_reader_exited(flow->stream, flow->readers[program]);
    }
}

int flow_check(spile_call *call, size_t program, spile_error **ret_error) {
    for (const struct flow *flow = call->flows; flow; flow = flow->next) {
        const struct plan_name *name = plan_find_name(call->plan, flow->name);
        if (flow->producer != (int)program || !flow->stream || stream_was_opened_by_writer(flow->stream) ||
            (name && name->is_optional))
            continue;
        if (stream_is_replaced(flow->stream)) {
            *ret_error = fault_error(flow, STREAM_FAULT_REPLACED, 0, (int)program);
            return -EPROTO;
        }
        *ret_error = error_with(error_new(SPILE_ERROR_OUTPUT_MISSING,
                                          "%s ended well without opening the stream '%s': check the name it is told to "
                                          "write, or declare the output optional",
                                          call->programs[program].label, flow->name),
                                ENOENT, (int)program, -1);
        return -ENOENT;
    }
    return 0;
}

bool flow_is_busy(const spile_call *call) {
    for (const struct flow *flow = call->flows; flow; flow = flow->next)
        if (flow->target != FLOW_NONE && flow->stream && !stream_is_over(flow->stream))
            return true;
    return false;
}

void flow_resume(spile_call *call) {
    for (struct flow *flow = call->flows; flow; flow = flow->next) {
        feed_resume(&flow->feed);
        if (TAKE(flow->sink_waits_for_resume, false))
            stream_sink_ready(flow->stream);
    }
    run_advance(call);
}

int flow_deliver(spile_call *call, spile_error **ret_error) {
    if (call->delivery_waits)
        return 0;
    for (struct flow *flow = call->flows; flow; flow = flow->next) {
        int result = 0;
        if (flow->target == FLOW_CALLBACK && !flow->is_end_told)
            result = flow->delivery.request->write_fn(flow->delivery.request->user, flow->name, NULL, 0);
        flow->is_end_told = flow->target == FLOW_CALLBACK && result >= 0;
        if (result == -EAGAIN) {
            call->delivery_waits = true;
            return 0;
        }
        if (result >= 0 && flow->target == FLOW_DELIVERY)
            result = deliver_finish(&flow->delivery);
        if (result < 0) {
            *ret_error = error_with(
                error_new(SPILE_ERROR_OUTPUT, "delivering the stream '%s' failed: %s", flow->name, strerror(-result)),
                -result, flow->producer, -1);
            return result;
        }
    }
    return 1;
}

void flow_stop(spile_call *call) {
    standstill_stop(call);
    for (struct flow *flow = call->flows; flow; flow = flow->next) {
        feed_stop(&flow->feed);
        deliver_drop(&flow->delivery);
        flow->direct_read = fd_close(flow->direct_read);
        flow->direct_write = fd_close(flow->direct_write);
        if (flow->stream)
            stream_get_info(flow->stream, &flow->info);
        flow->stream = stream_free(flow->stream);
        if (flow->kept.size > 0)
            flow->item->data = bytes_take(&flow->kept, &flow->item->data_is_mapped);
        bytes_done(&flow->kept);
    }
}

void flow_abandon(spile_call *call) {
    for (struct flow *flow = call->flows; flow; flow = flow->next) {
        feed_abandon(&flow->feed);
        flow->direct_read = fd_close(flow->direct_read);
        flow->direct_write = fd_close(flow->direct_write);
        flow->delivery.target_fd = fd_close(flow->delivery.target_fd);
        flow->delivery.sink.fd = fd_close(flow->delivery.sink.fd);
        if (flow->stream)
            stream_abandon(flow->stream);
    }
}

void flow_free(spile_call *call) {
    flow_stop(call);
    while (call->flows) {
        struct flow *next = call->flows->next;
        free(call->flows->name);
        free(call->flows->readers);
        free(call->flows);
        call->flows = next;
    }
}
