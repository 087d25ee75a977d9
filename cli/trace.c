/* Events as they happen: lines on standard error, and sizes for the report. Called from inside the run. */
#include "run.h"

#include <inttypes.h>
#include <string.h>
#include <sys/wait.h>

static void note_size(struct run *run, const char *name, uint64_t bytes) {
    for (size_t i = 0; i < run->sizes.count; i++)
        if (strcmp(run->sizes.items[i].name, name) == 0) {
            run->sizes.items[i].bytes = bytes;
            return;
        }
    *LIST_ADD(run->sizes) = (struct file_bytes){.name = allocate_copy(name, strlen(name)), .bytes = bytes};
}

static const char *ending(int status) {
    if (!WIFSIGNALED(status))
        return allocate_format("exited with %d", WEXITSTATUS(status));
    const char *name = sigabbrev_np(WTERMSIG(status));
    return name ? allocate_format("ended by SIG%s", name) : allocate_format("ended by signal %d", WTERMSIG(status));
}

static const char *describe(const spile_event *event) {
    const char *name = event->name ? event->name : "";
    switch (event->kind) {
    case SPILE_EVENT_INPUT_READY:
        return allocate_format("input '%s' is there: %" PRIu64 " bytes", name, event->bytes);
    case SPILE_EVENT_STARTED:
        return allocate_format("started as process %" PRId64, event->pid);
    case SPILE_EVENT_EXITED:
        return ending(event->status);
    case SPILE_EVENT_OUTPUT_READY:
        return allocate_format("output '%s' is there: %" PRIu64 " bytes", name, event->bytes);
    case SPILE_EVENT_DELIVERED:
        return allocate_format("output '%s' delivered: %" PRIu64 " bytes", name, event->bytes);
    case SPILE_EVENT_KILLED:
        return allocate_format("sent signal %d", event->status);
    case SPILE_EVENT_STREAM:
        return allocate_format("stream '%s' %s", name, event->text ? event->text : "");
    case SPILE_EVENT_NOTICE:
        return allocate_format("notice: %s", event->text ? event->text : "");
    case SPILE_EVENT_ENDED:
        return allocate_format("ended: %s", event->text ? event->text : "");
    }
    return "unknown event";
}

void trace_event(void *user, const spile_event *event) {
    struct run *run = user;
    if (event->name && (event->kind == SPILE_EVENT_INPUT_READY || event->kind == SPILE_EVENT_OUTPUT_READY ||
                        event->kind == SPILE_EVENT_DELIVERED))
        note_size(run, event->name, event->bytes);
    if (!run->trace)
        return;
    spile_program_info info = {.size = sizeof(info)};
    const char *subject = "";
    if (event->program >= 0 && spile_plan_program(run->plan, (size_t)event->program, &info) >= 0)
        subject = allocate_format("program %d '%s' ", event->program + 1, info.name);
    complain("%4" PRIu64 ".%06" PRIu64 " %s%s", event->time_ns / 1000000000, event->time_ns / 1000 % 1000000, subject,
             describe(event));
}
