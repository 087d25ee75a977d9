/* spile_error: see error.h. */
#include "base/error.h"

/* Handed out where even the error finds no memory; freeing it does nothing. */
static const spile_error no_memory = {
    .kind = SPILE_ERROR_SYSTEM,
    .number = ENOMEM,
    .program = -1,
    .offset = -1,
    .message = (char *)"out of memory",
};

spile_error *error_new(spile_error_kind kind, const char *format, ...) {
    va_list arguments;
    char *message = NULL;
    va_start(arguments, format);
    int size = SYS_FAULT(FAULT_ACQUIRE, "vasprintf") ? -1 : vasprintf(&message, format, arguments);
    va_end(arguments);
    spile_error *error = size < 0 ? NULL : memory_new(sizeof(*error));
    if (!error) {
        if (size >= 0)
            free(message);
        return (spile_error *)&no_memory;
    }
    *error = (spile_error){.kind = kind, .program = -1, .offset = -1, .message = message};
    return error;
}

spile_error *error_with(spile_error *error, int number, int program, ssize_t offset) {
    if (error == &no_memory)
        return error;
    error->number = number;
    error->program = program;
    error->offset = offset;
    return error;
}

spile_error *error_copy(const spile_error *error) {
    spile_error *copy = error_new(error->kind, "%s", error->message);
    return error_of_limit(error_with(copy, error->number, error->program, error->offset), error->limit);
}

spile_error *error_of_limit(spile_error *error, spile_limit limit) {
    if (error != &no_memory)
        error->limit = limit;
    return error;
}

int error_kind_errno(spile_error_kind kind, int number) {
    switch (kind) {
    case SPILE_ERROR_USAGE:
    case SPILE_ERROR_TEMPLATE:
    case SPILE_ERROR_PLAN:
        return -EINVAL;
    case SPILE_ERROR_MISSING:
    case SPILE_ERROR_NOT_FOUND:
        return -ENOENT;
    case SPILE_ERROR_NOT_EXECUTABLE:
        return -ENOEXEC;
    case SPILE_ERROR_PROGRAM:
    case SPILE_ERROR_OUTPUT_MISSING:
    case SPILE_ERROR_INPUT_CHANGED:
    case SPILE_ERROR_STREAM:
        return -EPROTO;
    case SPILE_ERROR_LIMIT:
        return -ENOBUFS;
    case SPILE_ERROR_TIMEOUT:
        return -ETIMEDOUT;
    case SPILE_ERROR_CANCELLED:
        return -ECANCELED;
    case SPILE_ERROR_STANDSTILL:
        return -EDEADLK;
    case SPILE_ERROR_INPUT:
    case SPILE_ERROR_OUTPUT:
    case SPILE_ERROR_SYSTEM:
    case SPILE_ERROR_ENDPOINT:
    case SPILE_ERROR_ENDED:
    case SPILE_ERROR_REPLY:
    case SPILE_ERROR_STEP:
    case SPILE_ERROR_TEXT:
        break;
    case SPILE_ERROR_PROMISE:
        return -EOPNOTSUPP;
    }
    return number ? -number : -EIO;
}

spile_error_kind spile_error_get_kind(const spile_error *error) {
    return error->kind;
}

int spile_error_get_errno(const spile_error *error) {
    return error->number;
}

int spile_error_get_program(const spile_error *error) {
    return error->program;
}

ssize_t spile_error_get_offset(const spile_error *error) {
    return error->offset;
}

spile_limit spile_error_get_limit(const spile_error *error) {
    return error->limit;
}

const char *spile_limit_name(spile_limit limit) {
    static const char *const names[] = {
        [SPILE_LIMIT_WALL] = "timeout",
        [SPILE_LIMIT_CPU] = "cpu",
        [SPILE_LIMIT_FILES] = "memory",
        [SPILE_LIMIT_OUTPUT] = "max_output",
        [SPILE_LIMIT_PROGRAM_MEMORY] = "program_memory",
        [SPILE_LIMIT_PROCESSES] = "processes",
        [SPILE_LIMIT_OPEN_FILES] = "open_files",
    };
    return (size_t)limit < ARRAY_SIZE(names) ? names[limit] : NULL;
}

const char *spile_error_get_message(const spile_error *error) {
    return error->message;
}

const char *spile_error_kind_name(spile_error_kind kind) {
    static const char *const names[] = {
        [SPILE_ERROR_USAGE] = "usage",
        [SPILE_ERROR_TEMPLATE] = "template",
        [SPILE_ERROR_PLAN] = "plan",
        [SPILE_ERROR_MISSING] = "missing",
        [SPILE_ERROR_NOT_FOUND] = "not_found",
        [SPILE_ERROR_NOT_EXECUTABLE] = "not_executable",
        [SPILE_ERROR_PROGRAM] = "program",
        [SPILE_ERROR_OUTPUT_MISSING] = "output_missing",
        [SPILE_ERROR_INPUT_CHANGED] = "input_changed",
        [SPILE_ERROR_INPUT] = "input",
        [SPILE_ERROR_OUTPUT] = "output",
        [SPILE_ERROR_LIMIT] = "limit",
        [SPILE_ERROR_TIMEOUT] = "timeout",
        [SPILE_ERROR_CANCELLED] = "cancelled",
        [SPILE_ERROR_STANDSTILL] = "standstill",
        [SPILE_ERROR_STREAM] = "stream",
        [SPILE_ERROR_SYSTEM] = "system",
        [SPILE_ERROR_PROMISE] = "promise",
        [SPILE_ERROR_ENDPOINT] = "endpoint",
        [SPILE_ERROR_ENDED] = "ended",
        [SPILE_ERROR_REPLY] = "reply",
        [SPILE_ERROR_STEP] = "step",
        [SPILE_ERROR_TEXT] = "text",
    };
    return (size_t)kind < ARRAY_SIZE(names) && names[kind] ? names[kind] : "unknown";
}

spile_error *spile_error_free(spile_error *error) {
    if (error && error != &no_memory) {
        free(error->message);
        free(error);
    }
    return NULL;
}

const char *spile_version(void) {
    return SPILE_VERSION;
}
