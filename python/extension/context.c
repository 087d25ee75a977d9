/* _spile.Context, the pool of cells, and _spile.Loop, which drives calls.
 *
 * A loop is stepped by one thread at a time, which is checked here: the library must never see two. Calls that end in a
 * step are let go after it, because the library does not free a call from its own callback.
 */
#include "module.h"

static PyObject *context_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords) {
    (void)keywords;
    spile_ctx_options options = {.size = sizeof(options)};
    int containment;
    PyObject *cell_path, *path = NULL;
    if (!PyArg_ParseTuple(arguments, "iIO:Context", &containment, &options.idle_cells, &cell_path) ||
        (cell_path != Py_None && !PyUnicode_FSConverter(cell_path, &path)))
        return NULL;
    options.containment = (spile_containment)containment;
    options.cell_path = path ? PyBytes_AsString(path) : NULL;
    allocfunc allocate = PyType_GetSlot(type, Py_tp_alloc);
    context_object *self = (context_object *)allocate(type, 0);
    if (self) {
        int result = spile_ctx_new(&options, &self->ctx);
        if (result < 0) {
            Py_CLEAR(self);
            raise_errno(result);
        }
    }
    Py_XDECREF(path);
    return (PyObject *)self;
}

static void context_free(context_object *self) {
    spile_ctx *ctx = self->ctx;
    self->ctx = NULL;
    if (!ctx)
        return;
    Py_BEGIN_ALLOW_THREADS spile_ctx_free(ctx);
    Py_END_ALLOW_THREADS
}

static void context_dealloc(PyObject *object) {
    context_free((context_object *)object);
    object_free(object);
}

static PyObject *context_prepare(PyObject *self, PyObject *argument) {
    unsigned long count = PyLong_AsUnsignedLong(argument);
    if (count == (unsigned long)-1 && PyErr_Occurred())
        return NULL;
    spile_ctx *ctx = ((context_object *)self)->ctx;
    int result = ctx ? spile_ctx_prepare(ctx, (unsigned)count) : -EBADF;
    if (result < 0)
        return raise_errno(result);
    Py_RETURN_NONE;
}

static PyObject *context_close(PyObject *self, PyObject *unused) {
    (void)unused;
    context_object *context = (context_object *)self;
    if (context->call_count > 0) {
        PyErr_SetString(PyExc_RuntimeError, "the context still has calls: let them end first");
        return NULL;
    }
    context_free(context);
    Py_RETURN_NONE;
}

static PyMethodDef context_methods[] = {
    {"prepare", context_prepare, METH_O, NULL},
    {"close", context_close, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot context_slots[] = {
    {Py_tp_new, context_new},
    {Py_tp_dealloc, context_dealloc},
    {Py_tp_methods, context_methods},
    {0, NULL},
};

PyType_Spec context_spec = {
    .name = "spile._spile.Context",
    .basicsize = sizeof(context_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = context_slots,
};

/* --------------------------------------------------------------------------------------------------- the loop */

static PyObject *loop_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords) {
    (void)keywords;
    if (!PyArg_ParseTuple(arguments, ":Loop"))
        return NULL;
    allocfunc allocate = PyType_GetSlot(type, Py_tp_alloc);
    loop_object *self = (loop_object *)allocate(type, 0);
    if (!self)
        return NULL;
    int result = spile_loop_new(&self->loop);
    if (result < 0) {
        Py_DECREF(self);
        return raise_errno(result);
    }
    return (PyObject *)self;
}

static void loop_dealloc(PyObject *object) {
    /* Running calls hold the loop, so there are none. */
    spile_loop_free(((loop_object *)object)->loop);
    object_free(object);
}

static PyObject *loop_fileno(PyObject *self, PyObject *unused) {
    (void)unused;
    return PyLong_FromLong(spile_loop_fd(((loop_object *)self)->loop));
}

PyDoc_STRVAR(loop_step_doc,
             "step($self, timeout_ns, /)\n--\n\n"
             "Does what can be done, waiting at most so long (negative: for ever) for something to do;\n"
             "a signal ends the wait, and what its handler raises is raised. Returns how many calls run.");

static PyObject *loop_step(PyObject *object, PyObject *argument) {
    loop_object *self = (loop_object *)object;
    long long timeout = PyLong_AsLongLong(argument);
    if (timeout == -1 && PyErr_Occurred())
        return NULL;
    if (self->stepping_thread) {
        PyErr_SetString(PyExc_RuntimeError, "the loop is being stepped already");
        return NULL;
    }
    Py_INCREF(object);
    self->stepping_thread = PyThread_get_thread_ident();
    int result;
    Py_BEGIN_ALLOW_THREADS result = spile_loop_step(self->loop, timeout < 0 ? UINT64_MAX : (uint64_t)timeout);
    Py_END_ALLOW_THREADS self->stepping_thread = 0;
    loop_release_ended(self);
    Py_DECREF(object);
    if (result < 0)
        return raise_errno(result);
    return PyLong_FromLong(result);
}

static PyObject *loop_call_count(PyObject *self, void *unused) {
    (void)unused;
    return PyLong_FromSize_t(((loop_object *)self)->call_count);
}

static PyMethodDef loop_methods[] = {
    {"fileno", loop_fileno, METH_NOARGS, NULL},
    {"step", loop_step, METH_O, loop_step_doc},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef loop_getset[] = {
    {"call_count", loop_call_count, NULL, "Calls attached that have not ended.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot loop_slots[] = {
    {Py_tp_new, loop_new},
    {Py_tp_dealloc, loop_dealloc},
    {Py_tp_methods, loop_methods},
    {Py_tp_getset, loop_getset},
    {0, NULL},
};

PyType_Spec loop_spec = {
    .name = "spile._spile.Loop",
    .basicsize = sizeof(loop_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = loop_slots,
};
