/* _spile.Pipe: a named pipe for a process that Python starts itself.
 *
 * States: new (it is told what it is; the methods that tell have a call's names and take the name first, as those do),
 * started, closed. What it borrows from Python is held until it is closed. A thread that waits keeps the pipe: one that
 * is closed meanwhile is freed when the last of them has returned. An exception raised in a callback ends the pipe and
 * is kept in `exception`.
 */
#include "module.h"

typedef struct pipe_object {
    PyObject_HEAD spile_pipe *pipe;
    PyObject *callable, *exception, *path;
    Py_buffer buffer; /* obj NULL: none */
    unsigned long callback_thread;
    unsigned waiting;
    bool is_closing;
} pipe_object;

/* ------------------------------------------------------------------------------------------------ its life */

static PyObject *pipe_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords) {
    (void)keywords;
    spile_pipe_options options = {.size = sizeof(options)};
    int is_input, is_optional;
    unsigned long long limit;
    PyObject *name = NULL;
    if (!PyArg_ParseTuple(arguments, "pO&Kp:Pipe", &is_input, PyUnicode_FSConverter, &name, &limit, &is_optional))
        return NULL;
    options.name = PyBytes_AsString(name);
    options.limit_bytes = limit;
    options.is_optional = is_optional;
    options.ends_by_exit = true;
    allocfunc allocate = PyType_GetSlot(type, Py_tp_alloc);
    pipe_object *self = (pipe_object *)allocate(type, 0);
    int result = !self      ? 0
                 : is_input ? spile_pipe_new_input(&options, &self->pipe)
                            : spile_pipe_new_output(&options, &self->pipe);
    Py_DECREF(name);
    if (result < 0) {
        Py_CLEAR(self);
        raise_errno(result);
    }
    return (PyObject *)self;
}

/* Its callbacks may run until the library has let it go, so what they use comes last. */
static void let_go(pipe_object *self) {
    spile_pipe *pipe = self->pipe;
    self->pipe = NULL;
    Py_BEGIN_ALLOW_THREADS spile_pipe_free(pipe);
    Py_END_ALLOW_THREADS Py_CLEAR(self->callable);
    PyBuffer_Release(&self->buffer);
}

static void close_pipe(pipe_object *self) {
    if (!self->pipe || self->is_closing)
        return;
    spile_pipe_cancel(self->pipe);
    if (self->callback_thread == PyThread_get_thread_ident())
        return; /* from its own callback: whoever has it closes it later */
    self->is_closing = true;
    if (self->waiting == 0)
        let_go(self);
}

static int pipe_traverse(PyObject *object, visitproc visit, void *arg) {
    pipe_object *self = (pipe_object *)object;
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->callable);
    Py_VISIT(self->exception);
    Py_VISIT(self->buffer.obj);
    return 0;
}

static int pipe_clear(PyObject *object) {
    pipe_object *self = (pipe_object *)object;
    close_pipe(self);
    Py_CLEAR(self->exception);
    return 0;
}

static void pipe_dealloc(PyObject *object) {
    PyObject_GC_UnTrack(object);
    pipe_clear(object);
    Py_CLEAR(((pipe_object *)object)->path);
    object_free(object);
}

static spile_pipe *open_pipe(pipe_object *self) {
    if (self->pipe && !self->is_closing)
        return self->pipe;
    PyErr_SetString(PyExc_ValueError, "the pipe is closed");
    return NULL;
}

static PyObject *none_or_errno(int result) {
    if (result < 0)
        return raise_errno(result);
    Py_RETURN_NONE;
}

/* -------------------------------------------------------------------------------------- what goes in and out */

static ssize_t read_for_pipe(void *user, void *buffer, size_t size) {
    pipe_object *self = user;
    PyGILState_STATE gil = PyGILState_Ensure();
    self->callback_thread = PyThread_get_thread_ident();
    ssize_t result = call_reader(self->callable, buffer, size);
    if (PyErr_Occurred())
        take_exception(&self->exception);
    self->callback_thread = 0;
    PyGILState_Release(gil);
    return result;
}

static int write_for_pipe(void *user, const char *name, const void *data, size_t size) {
    pipe_object *self = user;
    PyGILState_STATE gil = PyGILState_Ensure();
    self->callback_thread = PyThread_get_thread_ident();
    int result = call_writer(self->callable, name, data, size);
    if (PyErr_Occurred())
        take_exception(&self->exception);
    self->callback_thread = 0;
    PyGILState_Release(gil);
    return result;
}

static int tell_input_memory(pipe_object *self, PyObject *data) {
    if (self->buffer.obj)
        return -EEXIST;
    if (PyObject_GetBuffer(data, &self->buffer, PyBUF_SIMPLE) < 0)
        return -EINVAL;
    return spile_pipe_feed_memory(self->pipe, self->buffer.buf, (size_t)self->buffer.len);
}

static int tell_input_fd(pipe_object *self, PyObject *number) {
    long fd = PyLong_AsLong(number);
    return PyErr_Occurred() ? -EINVAL : spile_pipe_feed_fd(self->pipe, (int)fd);
}

/* An error of a path says which. */
static int path_result(int result, PyObject *path) {
    if (result < 0 && result != -EEXIST && result != -EALREADY) {
        errno = -result;
        PyErr_SetFromErrnoWithFilenameObject(PyExc_OSError, path);
    }
    return result;
}

static int tell_input_path(pipe_object *self, PyObject *path) {
    PyObject *bytes = NULL;
    if (!PyUnicode_FSConverter(path, &bytes))
        return -EINVAL;
    int result = spile_pipe_feed_path(self->pipe, PyBytes_AsString(bytes));
    Py_DECREF(bytes);
    return path_result(result, path);
}

static int tell_input_callback(pipe_object *self, PyObject *callable) {
    int result = spile_pipe_feed_callback(self->pipe, read_for_pipe, self);
    if (result >= 0)
        self->callable = Py_NewRef(callable);
    return result;
}

static int tell_output_memory(pipe_object *self, PyObject *unused) {
    (void)self;
    (void)unused;
    return 0;
}

static int tell_output_fd(pipe_object *self, PyObject *number) {
    long fd = PyLong_AsLong(number);
    return PyErr_Occurred() ? -EINVAL : spile_pipe_drain_fd(self->pipe, (int)fd);
}

static int tell_output_path(pipe_object *self, PyObject *pair) {
    PyObject *bytes = NULL;
    int is_forced;
    if (!PyArg_ParseTuple(pair, "O&p", PyUnicode_FSConverter, &bytes, &is_forced))
        return -EINVAL;
    int result = spile_pipe_drain_path(self->pipe, PyBytes_AsString(bytes));
    PyObject *path = PyUnicode_DecodeFSDefault(PyBytes_AsString(bytes));
    Py_DECREF(bytes);
    if (path)
        result = path_result(result, path);
    Py_XDECREF(path);
    return result;
}

static int tell_output_callback(pipe_object *self, PyObject *callable) {
    int result = spile_pipe_drain_callback(self->pipe, write_for_pipe, self);
    if (result >= 0)
        self->callable = Py_NewRef(callable);
    return result;
}

static PyObject *tell(PyObject *object, PyObject *arguments,
                      int (*tell_function)(pipe_object *self, PyObject *second)) {
    PyObject *name, *second = Py_None;
    pipe_object *self = (pipe_object *)object;
    if (!PyArg_ParseTuple(arguments, "O|O", &name, &second) || !open_pipe(self))
        return NULL;
    int result = tell_function(self, second);
    return PyErr_Occurred() ? NULL : none_or_errno(result);
}

#define TELL(what)                                                      \
    static PyObject *pipe_##what(PyObject *self, PyObject *arguments) { \
        return tell(self, arguments, tell_##what);                      \
    }
TELL(input_memory)
TELL(input_fd)
TELL(input_path)
TELL(input_callback)
TELL(output_memory)
TELL(output_fd)
TELL(output_path)
TELL(output_callback)
#undef TELL

/* ------------------------------------------------------------------------------------------------ running */

static PyObject *pipe_start(PyObject *object, PyObject *unused) {
    (void)unused;
    pipe_object *self = (pipe_object *)object;
    spile_pipe *pipe = open_pipe(self);
    if (!pipe)
        return NULL;
    int result;
    Py_BEGIN_ALLOW_THREADS result = spile_pipe_start(pipe);
    Py_END_ALLOW_THREADS if (result < 0) return raise_errno(result);
    self->path = text_or_none(spile_pipe_path(pipe));
    if (!self->path)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *pipe_set_process(PyObject *self, PyObject *argument) {
    long long pid = PyLong_AsLongLong(argument);
    if (pid == -1 && PyErr_Occurred())
        return NULL;
    spile_pipe *pipe = open_pipe((pipe_object *)self);
    return pipe ? none_or_errno(spile_pipe_set_process(pipe, pid)) : NULL;
}

static PyObject *pipe_finish(PyObject *self, PyObject *unused) {
    (void)unused;
    spile_pipe *pipe = open_pipe((pipe_object *)self);
    return pipe ? none_or_errno(spile_pipe_finish(pipe)) : NULL;
}

PyDoc_STRVAR(pipe_wait_doc, "wait($self, timeout_ns, /)\n--\n\n"
                            "Waits for the end. Raises Refused for a failure, and of kind 'timeout' where it goes on.");

static PyObject *pipe_wait(PyObject *object, PyObject *argument) {
    pipe_object *self = (pipe_object *)object;
    unsigned long long timeout = PyLong_AsUnsignedLongLong(argument);
    if (timeout == (unsigned long long)-1 && PyErr_Occurred())
        return NULL;
    spile_pipe *pipe = open_pipe(self);
    if (!pipe)
        return NULL;
    spile_error *error = NULL;
    int result;
    self->waiting++;
    Py_INCREF(object);
    Py_BEGIN_ALLOW_THREADS result = spile_pipe_wait(pipe, timeout, &error);
    Py_END_ALLOW_THREADS self->waiting--;
    if (self->is_closing && self->waiting == 0)
        let_go(self);
    module_state *state = state_of(object);
    Py_DECREF(object);
    if (result < 0)
        return raise_error(state, result, error);
    Py_RETURN_NONE;
}

static PyObject *pipe_cancel(PyObject *self, PyObject *unused) {
    (void)unused;
    spile_pipe_cancel(((pipe_object *)self)->pipe);
    Py_RETURN_NONE;
}

static PyObject *pipe_resume(PyObject *self, PyObject *unused) {
    (void)unused;
    spile_pipe_resume(((pipe_object *)self)->pipe);
    Py_RETURN_NONE;
}

static PyObject *pipe_close(PyObject *self, PyObject *unused) {
    (void)unused;
    Py_INCREF(self);
    close_pipe((pipe_object *)self);
    Py_DECREF(self);
    Py_RETURN_NONE;
}

static PyObject *pipe_bytes(PyObject *self, PyObject *unused) {
    (void)unused;
    spile_pipe *pipe = open_pipe((pipe_object *)self);
    const void *data = NULL;
    size_t size = 0;
    if (!pipe)
        return NULL;
    int result = spile_pipe_output(pipe, &data, &size);
    return result < 0 ? raise_errno(result) : PyBytes_FromStringAndSize(data, (Py_ssize_t)size);
}

static PyObject *pipe_info(PyObject *self, PyObject *unused) {
    (void)unused;
    spile_pipe *pipe = open_pipe((pipe_object *)self);
    spile_pipe_info info = {.size = sizeof(info)};
    if (!pipe)
        return NULL;
    int result = spile_pipe_get_info(pipe, &info);
    return result < 0 ? raise_errno(result)
                      : Py_BuildValue("(KIi)", (unsigned long long)info.bytes, info.opens, (int)info.ended);
}

static PyObject *pipe_path(PyObject *self, void *unused) {
    (void)unused;
    PyObject *path = ((pipe_object *)self)->path;
    return Py_NewRef(path ? path : Py_None);
}

static PyObject *pipe_exception(PyObject *self, void *unused) {
    (void)unused;
    PyObject *exception = ((pipe_object *)self)->exception;
    return Py_NewRef(exception ? exception : Py_None);
}

static PyMethodDef pipe_methods[] = {
    {"input_memory", pipe_input_memory, METH_VARARGS, NULL},
    {"input_fd", pipe_input_fd, METH_VARARGS, NULL},
    {"input_path", pipe_input_path, METH_VARARGS, NULL},
    {"input_callback", pipe_input_callback, METH_VARARGS, NULL},
    {"output_memory", pipe_output_memory, METH_VARARGS, NULL},
    {"output_fd", pipe_output_fd, METH_VARARGS, NULL},
    {"output_path", pipe_output_path, METH_VARARGS, NULL},
    {"output_callback", pipe_output_callback, METH_VARARGS, NULL},
    {"start", pipe_start, METH_NOARGS, NULL},
    {"set_process", pipe_set_process, METH_O, NULL},
    {"finish", pipe_finish, METH_NOARGS, NULL},
    {"wait", pipe_wait, METH_O, pipe_wait_doc},
    {"cancel", pipe_cancel, METH_NOARGS, NULL},
    {"resume", pipe_resume, METH_NOARGS, NULL},
    {"close", pipe_close, METH_NOARGS, NULL},
    {"bytes", pipe_bytes, METH_NOARGS, NULL},
    {"info", pipe_info, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef pipe_getset[] = {
    {"path", pipe_path, NULL, NULL, NULL},
    {"exception", pipe_exception, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot pipe_slots[] = {
    {Py_tp_new, pipe_new},
    {Py_tp_dealloc, pipe_dealloc},
    {Py_tp_traverse, pipe_traverse},
    {Py_tp_clear, pipe_clear},
    {Py_tp_methods, pipe_methods},
    {Py_tp_getset, pipe_getset},
    {0, NULL},
};

PyType_Spec pipe_spec = {
    .name = "spile._spile.Pipe",
    .basicsize = sizeof(pipe_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = pipe_slots,
};
