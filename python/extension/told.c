/* What a call is told before it runs: what goes in and where outputs go. What it borrows is held until it ended. */
#include "call.h"

static PyObject *none_or_errno(int result) {
    if (result < 0)
        return raise_errno(result);
    Py_RETURN_NONE;
}

static struct view *view_new(call_object *self, PyObject *data) {
    struct view *view = PyMem_Calloc(1, sizeof(*view));
    if (!view) {
        PyErr_NoMemory();
        return NULL;
    }
    if (PyObject_GetBuffer(data, &view->buffer, PyBUF_SIMPLE) < 0) {
        PyMem_Free(view);
        return NULL;
    }
    view->next = self->views;
    self->views = view;
    return view;
}

static struct binding *binding_new(call_object *self, PyObject *callable) {
    struct binding *binding = PyMem_Calloc(1, sizeof(*binding));
    if (!binding) {
        PyErr_NoMemory();
        return NULL;
    }
    *binding = (struct binding){.next = self->bindings, .call = self, .callable = Py_NewRef(callable)};
    self->bindings = binding;
    return binding;
}

/* Parses (name, second) and calls `tell` with the name's bytes. */
static PyObject *tell(PyObject *self, PyObject *arguments,
                      int (*tell_function)(call_object *call, const char *name, PyObject *second)) {
    PyObject *name = NULL, *second = Py_None;
    call_object *call = (call_object *)self;
    if (!PyArg_ParseTuple(arguments, "O&|O", PyUnicode_FSConverter, &name, &second))
        return NULL;
    int result = call->is_attached ? -EALREADY : tell_function(call, PyBytes_AsString(name), second);
    Py_DECREF(name);
    if (PyErr_Occurred())
        return NULL;
    return none_or_errno(result);
}

static int tell_input_memory(call_object *self, const char *name, PyObject *data) {
    struct view *view = view_new(self, data);
    return view ? spile_call_input_memory(self->call, name, view->buffer.buf, (size_t)view->buffer.len) : -ENOMEM;
}

static int tell_input_fd(call_object *self, const char *name, PyObject *number) {
    long fd = PyLong_AsLong(number);
    return PyErr_Occurred() ? -EINVAL : spile_call_input_fd(self->call, name, (int)fd);
}

static int tell_input_path(call_object *self, const char *name, PyObject *path) {
    PyObject *bytes = NULL;
    if (!PyUnicode_FSConverter(path, &bytes))
        return -EINVAL;
    int result = spile_call_input_path(self->call, name, PyBytes_AsString(bytes));
    Py_DECREF(bytes);
    return result;
}

static int tell_input_callback(call_object *self, const char *name, PyObject *callable) {
    struct binding *binding = binding_new(self, callable);
    return binding ? spile_call_input_callback(self->call, name, read_callback, binding) : -ENOMEM;
}

static int tell_output_memory(call_object *self, const char *name, PyObject *unused) {
    (void)unused;
    return spile_call_output_memory(self->call, name);
}

static int tell_output_fd(call_object *self, const char *name, PyObject *number) {
    long fd = PyLong_AsLong(number);
    return PyErr_Occurred() ? -EINVAL : spile_call_output_fd(self->call, name, (int)fd);
}

static int tell_output_path(call_object *self, const char *name, PyObject *pair) {
    PyObject *bytes = NULL;
    int is_forced;
    if (!PyArg_ParseTuple(pair, "O&p", PyUnicode_FSConverter, &bytes, &is_forced))
        return -EINVAL;
    int result = spile_call_output_path(self->call, name, PyBytes_AsString(bytes), is_forced ? SPILE_OUTPUT_FORCE : 0);
    Py_DECREF(bytes);
    return result;
}

static int tell_output_callback(call_object *self, const char *name, PyObject *callable) {
    struct binding *binding = binding_new(self, callable);
    return binding ? spile_call_output_callback(self->call, name, write_callback, binding) : -ENOMEM;
}

static int tell_value(call_object *self, const char *name, PyObject *text) {
    PyObject *bytes = NULL;
    if (!PyUnicode_FSConverter(text, &bytes))
        return -EINVAL;
    int result = spile_call_value(self->call, name, PyBytes_AsString(bytes));
    Py_DECREF(bytes);
    return result;
}

static int tell_values(call_object *self, const char *name, PyObject *texts) {
    const char **strings;
    Py_ssize_t count;
    PyObject *owner;
    if (strings_from(texts, &strings, &count, &owner) < 0)
        return -EINVAL;
    int result = spile_call_values(self->call, name, strings, (size_t)count);
    PyMem_Free(strings);
    Py_XDECREF(owner);
    return result;
}

#define TELL(what)                                               \
    PyObject *call_##what(PyObject *self, PyObject *arguments) { \
        return tell(self, arguments, tell_##what);               \
    }
TELL(input_memory)
TELL(input_fd)
TELL(input_path)
TELL(input_callback)
TELL(output_memory)
TELL(output_fd)
TELL(output_path)
TELL(output_callback)
TELL(value)
TELL(values)
#undef TELL

PyObject *call_stdin(PyObject *object, PyObject *arguments) {
    call_object *self = (call_object *)object;
    Py_ssize_t program;
    PyObject *data;
    if (!PyArg_ParseTuple(arguments, "nO", &program, &data))
        return NULL;
    if (self->is_attached)
        return raise_errno(-EALREADY);
    struct view *view = view_new(self, data);
    if (!view)
        return NULL;
    return none_or_errno(
        spile_call_stdin_memory(self->call, (size_t)program, view->buffer.buf, (size_t)view->buffer.len));
}
