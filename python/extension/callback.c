/* What the library calls while a call runs: each takes the GIL, calls Python and gives it back.
 *
 * Memory that the library lends is shown as a view that dies with the callback. An exception ends the call. */
#include "call.h"

void take_exception(PyObject **slot) {
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    if (value && traceback)
        PyException_SetTraceback(value, traceback);
    if (!*slot)
        *slot = Py_XNewRef(value);
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(traceback);
}

void keep_exception(call_object *self) {
    take_exception(&self->exception);
    spile_call_cancel(self->call);
}

/* The memory behind a view is gone after the callback: a view that someone kept must not see it. */
static int release_view(PyObject *view) {
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyObject *done = PyObject_CallMethod(view, "release", NULL);
    Py_XDECREF(done);
    if (!done && type)
        PyErr_Clear();
    if (type)
        PyErr_Restore(type, value, traceback);
    return done ? 0 : -1;
}

ssize_t call_reader(PyObject *callable, void *buffer, size_t size) {
    ssize_t result = -ECANCELED;
    PyObject *view = PyMemoryView_FromMemory(buffer, (Py_ssize_t)size, PyBUF_WRITE);
    PyObject *value = view ? PyObject_CallFunctionObjArgs(callable, view, NULL) : NULL;
    if (view && release_view(view) < 0)
        Py_CLEAR(value);
    if (value == Py_None)
        result = -EAGAIN;
    else if (value) {
        Py_ssize_t count = PyLong_AsSsize_t(value);
        if (!PyErr_Occurred() && count >= 0 && (size_t)count <= size)
            result = count;
        else if (!PyErr_Occurred())
            PyErr_Format(PyExc_ValueError, "a reader returned %zd for a buffer of %zu bytes", count, size);
    }
    Py_XDECREF(value);
    Py_XDECREF(view);
    return result;
}

int call_writer(PyObject *callable, const char *name, const void *data, size_t size) {
    int result = -ECANCELED;
    PyObject *text = PyUnicode_DecodeFSDefault(name);
    /* PyBUF_READ: the cast loses a const that the view keeps. */
    PyObject *view = PyMemoryView_FromMemory((char *)(uintptr_t)(size ? data : ""), (Py_ssize_t)size, PyBUF_READ);
    PyObject *value = text && view ? PyObject_CallFunctionObjArgs(callable, text, view, NULL) : NULL;
    if (view && release_view(view) < 0)
        Py_CLEAR(value);
    if (value)
        result = value == Py_False ? -EAGAIN : 0;
    Py_XDECREF(value);
    Py_XDECREF(view);
    Py_XDECREF(text);
    return result;
}

ssize_t read_callback(void *user, void *buffer, size_t size) {
    struct binding *binding = user;
    PyGILState_STATE gil = PyGILState_Ensure();
    ssize_t result = call_reader(binding->callable, buffer, size);
    if (PyErr_Occurred())
        keep_exception(binding->call);
    PyGILState_Release(gil);
    return result;
}

int write_callback(void *user, const char *name, const void *data, size_t size) {
    struct binding *binding = user;
    PyGILState_STATE gil = PyGILState_Ensure();
    int result = call_writer(binding->callable, name, data, size);
    if (PyErr_Occurred())
        keep_exception(binding->call);
    PyGILState_Release(gil);
    return result;
}

static const char *const event_names[] = {
    [SPILE_EVENT_INPUT_READY] = "input_ready",
    [SPILE_EVENT_STARTED] = "started",
    [SPILE_EVENT_EXITED] = "exited",
    [SPILE_EVENT_OUTPUT_READY] = "output_ready",
    [SPILE_EVENT_DELIVERED] = "delivered",
    [SPILE_EVENT_KILLED] = "killed",
    [SPILE_EVENT_STREAM] = "stream",
    [SPILE_EVENT_NOTICE] = "notice",
    [SPILE_EVENT_ENDED] = "ended",
};

void trace_callback(void *user, const spile_event *event) {
    call_object *self = user;
    PyGILState_STATE gil = PyGILState_Ensure();
    PyObject *tuple = Py_BuildValue("(sKiNNKLi)", event_names[event->kind], (unsigned long long)event->time_ns,
                                    event->program, text_or_none(event->name), text_or_none(event->text),
                                    (unsigned long long)event->bytes, (long long)event->pid, event->status);
    PyObject *value = tuple ? PyObject_CallFunctionObjArgs(self->trace, tuple, NULL) : NULL;
    if (!value)
        keep_exception(self);
    Py_XDECREF(value);
    Py_XDECREF(tuple);
    PyGILState_Release(gil);
}
