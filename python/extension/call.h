/* What the files of _spile.Call share: call.c its life and its running, told.c what goes in and out, callback.c what
 * the library calls. */
#pragma once

#include "module.h"

struct binding {
    struct binding *next;
    struct call_object *call;
    PyObject *callable;
};

struct view {
    struct view *next;
    Py_buffer buffer;
};

typedef struct call_object {
    PyObject_HEAD spile_call *call;
    PyObject *plan, *trace, *on_done, *result, *exception;
    context_object *context;
    loop_object *loop;
    struct binding *bindings;
    struct view *views;
    struct call_object *next_ended;
    bool is_attached, is_ended;
} call_object;

/* callback.c */
/* The exception that stands ends the call; only the first is kept. */
void keep_exception(call_object *self);
/* `user` is a binding, of trace_callback the call. */
ssize_t read_callback(void *user, void *buffer, size_t size);
int write_callback(void *user, const char *name, const void *data, size_t size);
void trace_callback(void *user, const spile_event *event);

/* told.c: the methods of a call that is not attached yet. */
PyObject *call_input_memory(PyObject *self, PyObject *arguments);
PyObject *call_input_fd(PyObject *self, PyObject *arguments);
PyObject *call_input_path(PyObject *self, PyObject *arguments);
PyObject *call_input_callback(PyObject *self, PyObject *arguments);
PyObject *call_stdin(PyObject *self, PyObject *arguments);
PyObject *call_output_memory(PyObject *self, PyObject *arguments);
PyObject *call_output_fd(PyObject *self, PyObject *arguments);
PyObject *call_output_path(PyObject *self, PyObject *arguments);
PyObject *call_output_callback(PyObject *self, PyObject *arguments);
PyObject *call_value(PyObject *self, PyObject *arguments);
PyObject *call_values(PyObject *self, PyObject *arguments);
