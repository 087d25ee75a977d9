/* _spile.Result and the buffers it hands out.
 *
 * A buffer lends memory of its result without copying, and keeps the result alive for as long as a view of it is. */
#include "module.h"

typedef struct buffer_object {
    PyObject_HEAD PyObject *result;
    const void *data;
    Py_ssize_t size;
} buffer_object;

static int buffer_get(PyObject *object, Py_buffer *view, int flags) {
    buffer_object *self = (buffer_object *)object;
    /* The view is read-only, which the cast does not change. */
    return PyBuffer_FillInfo(view, object, (void *)(uintptr_t)self->data, self->size, 1, flags);
}

static void buffer_dealloc(PyObject *object) {
    Py_XDECREF(((buffer_object *)object)->result);
    object_free(object);
}

static PyType_Slot buffer_slots[] = {
    {Py_bf_getbuffer, buffer_get},
    {Py_tp_dealloc, buffer_dealloc},
    {0, NULL},
};

PyType_Spec buffer_spec = {
    .name = "spile._spile.Buffer",
    .basicsize = sizeof(buffer_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = buffer_slots,
};

PyObject *result_wrap(module_state *state, spile_result *result) {
    allocfunc allocate = PyType_GetSlot(state->result_type, Py_tp_alloc);
    result_object *self = (result_object *)allocate(state->result_type, 0);
    if (!self) {
        spile_result_free(result);
        return NULL;
    }
    self->result = result;
    return (PyObject *)self;
}

static void result_dealloc(PyObject *object) {
    spile_result_free(((result_object *)object)->result);
    object_free(object);
}

static const spile_result *result_of(PyObject *object) {
    return ((result_object *)object)->result;
}

static PyObject *result_error(PyObject *self, PyObject *unused) {
    (void)unused;
    const spile_error *error = spile_result_error(result_of(self));
    if (!error)
        Py_RETURN_NONE;
    return error_tuple(error);
}

/* A list of what `describe` makes of each index. */
static PyObject *list_of(const spile_result *result, size_t count,
                         PyObject *(*describe)(const spile_result *result, size_t index)) {
    PyObject *list = PyList_New((Py_ssize_t)count);
    for (size_t i = 0; list && i < count; i++) {
        PyObject *item = describe(result, i);
        if (!item)
            Py_CLEAR(list);
        else
            PyList_SetItem(list, (Py_ssize_t)i, item);
    }
    return list;
}

static PyObject *describe_output(const spile_result *result, size_t index) {
    spile_output_info info = {.size = sizeof(info)};
    int outcome = spile_result_output(result, index, &info);
    if (outcome < 0)
        return raise_errno(outcome);
    return Py_BuildValue("(NKiiIi)", text_or_none(info.name), (unsigned long long)info.bytes, info.program,
                         (int)info.is_partial, info.mode, info.data ? 1 : 0);
}

static PyObject *result_outputs(PyObject *self, PyObject *unused) {
    (void)unused;
    return list_of(result_of(self), spile_result_output_count(result_of(self)), describe_output);
}

/* The bytes of output `index`. */
static int output_data(PyObject *self, PyObject *argument, const void **ret_data, Py_ssize_t *ret_size) {
    size_t index = PyLong_AsSize_t(argument);
    if (PyErr_Occurred())
        return -1;
    spile_output_info info = {.size = sizeof(info)};
    int outcome = spile_result_output(result_of(self), index, &info);
    if (outcome < 0) {
        raise_errno(outcome);
        return -1;
    }
    *ret_data = info.data ? info.data : "";
    *ret_size = info.data ? (Py_ssize_t)info.bytes : 0;
    return 0;
}

static PyObject *result_bytes(PyObject *self, PyObject *argument) {
    const void *data;
    Py_ssize_t size;
    return output_data(self, argument, &data, &size) < 0 ? NULL : PyBytes_FromStringAndSize(data, size);
}

static PyObject *result_buffer(PyObject *self, PyObject *argument) {
    const void *data;
    Py_ssize_t size;
    if (output_data(self, argument, &data, &size) < 0)
        return NULL;
    module_state *state = state_of(self);
    allocfunc allocate = PyType_GetSlot(state->buffer_type, Py_tp_alloc);
    buffer_object *buffer = (buffer_object *)allocate(state->buffer_type, 0);
    if (!buffer)
        return NULL;
    buffer->result = Py_NewRef(self);
    buffer->data = data;
    buffer->size = size;
    PyObject *view = PyMemoryView_FromObject((PyObject *)buffer);
    Py_DECREF(buffer);
    return view;
}

static PyObject *argv_of(const char *const *argv) {
    PyObject *list = PyList_New(0);
    for (; list && argv && *argv; argv++) {
        PyObject *word = PyUnicode_DecodeFSDefault(*argv);
        if (!word || PyList_Append(list, word) < 0)
            Py_CLEAR(list);
        Py_XDECREF(word);
    }
    return list;
}

static PyObject *describe_program(const spile_result *result, size_t index) {
    spile_program_result info = {.size = sizeof(info)};
    int outcome = spile_result_program(result, index, &info);
    if (outcome < 0)
        return raise_errno(outcome);
    return Py_BuildValue("(NiiiiiKKKKKy#y#i)", argv_of(info.argv), (int)info.started, (int)info.ended,
                         (int)info.accepted, info.exit_status, info.signal, (unsigned long long)info.start_ns,
                         (unsigned long long)info.end_ns, (unsigned long long)info.user_ns,
                         (unsigned long long)info.system_ns, (unsigned long long)info.max_rss_bytes,
                         info.standard_output ? info.standard_output : "", (Py_ssize_t)info.standard_output_size,
                         info.standard_error ? info.standard_error : "", (Py_ssize_t)info.standard_error_size,
                         (int)info.standard_error_truncated);
}

static PyObject *result_programs(PyObject *self, PyObject *unused) {
    (void)unused;
    return list_of(result_of(self), spile_result_program_count(result_of(self)), describe_program);
}

static PyObject *describe_stream(const spile_result *result, size_t index) {
    spile_stream_result info = {.size = sizeof(info)};
    int outcome = spile_result_stream(result, index, &info);
    if (outcome < 0)
        return raise_errno(outcome);
    return Py_BuildValue("(NiiIIKKKKKKKI)", text_or_none(info.name), info.producer, (int)info.direct, info.writer_opens,
                         info.reader_opens, (unsigned long long)info.bytes_in, (unsigned long long)info.bytes_out,
                         (unsigned long long)info.first_ns, (unsigned long long)info.last_ns,
                         (unsigned long long)info.writer_blocked_ns, (unsigned long long)info.reader_blocked_ns,
                         (unsigned long long)info.window_bytes, info.window_growths);
}

static PyObject *result_streams(PyObject *self, PyObject *unused) {
    (void)unused;
    return list_of(result_of(self), spile_result_stream_count(result_of(self)), describe_stream);
}

/* (exit_status, containment, wall_ns) */
static PyObject *result_summary(PyObject *self, PyObject *unused) {
    (void)unused;
    const spile_result *result = result_of(self);
    return Py_BuildValue("(iiK)", spile_result_exit_status(result), (int)spile_result_containment(result),
                         (unsigned long long)spile_result_wall_ns(result));
}

static PyMethodDef result_methods[] = {
    {"error", result_error, METH_NOARGS, NULL},
    {"outputs", result_outputs, METH_NOARGS, NULL},
    {"bytes", result_bytes, METH_O, NULL},
    {"buffer", result_buffer, METH_O, NULL},
    {"programs", result_programs, METH_NOARGS, NULL},
    {"streams", result_streams, METH_NOARGS, NULL},
    {"summary", result_summary, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot result_slots[] = {
    {Py_tp_dealloc, result_dealloc},
    {Py_tp_methods, result_methods},
    {0, NULL},
};

PyType_Spec result_spec = {
    .name = "spile._spile.Result",
    .basicsize = sizeof(result_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = result_slots,
};
