/* _spile.Call: one run of a plan.
 *
 * States: new (it can be told what goes in and out), attached (it runs on a loop), ended (`result` is there). While it
 * is attached it holds a reference to itself and to its loop, so that it is never freed under the library's feet.
 *
 * What it borrows from Python (buffers, callables) is held until it ended. An exception raised in a callback ends the
 * call and is kept in `exception`.
 */
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

/* ------------------------------------------------------------------------------------ callbacks of the library */

/* The exception that stands ends the call; only the first is kept. */
static void keep_exception(call_object *self) {
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    if (value && traceback)
        PyException_SetTraceback(value, traceback);
    if (!self->exception)
        self->exception = Py_XNewRef(value);
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(traceback);
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

static ssize_t read_callback(void *user, void *buffer, size_t size) {
    struct binding *binding = user;
    ssize_t result = -ECANCELED;
    PyGILState_STATE gil = PyGILState_Ensure();
    PyObject *view = PyMemoryView_FromMemory(buffer, (Py_ssize_t)size, PyBUF_WRITE);
    PyObject *value = view ? PyObject_CallFunctionObjArgs(binding->callable, view, NULL) : NULL;
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
    if (PyErr_Occurred())
        keep_exception(binding->call);
    PyGILState_Release(gil);
    return result;
}

static int write_callback(void *user, const char *name, const void *data, size_t size) {
    struct binding *binding = user;
    int result = -ECANCELED;
    PyGILState_STATE gil = PyGILState_Ensure();
    PyObject *text = PyUnicode_DecodeFSDefault(name);
    /* PyBUF_READ: the cast loses a const that the view keeps. */
    PyObject *view = PyMemoryView_FromMemory((char *)(uintptr_t)(size ? data : ""), (Py_ssize_t)size, PyBUF_READ);
    PyObject *value = text && view ? PyObject_CallFunctionObjArgs(binding->callable, text, view, NULL) : NULL;
    if (view && release_view(view) < 0)
        Py_CLEAR(value);
    if (value)
        result = value == Py_False ? -EAGAIN : 0;
    Py_XDECREF(value);
    Py_XDECREF(view);
    Py_XDECREF(text);
    if (PyErr_Occurred())
        keep_exception(binding->call);
    PyGILState_Release(gil);
    return result;
}

static void trace_callback(void *user, const spile_event *event) {
    call_object *self = user;
    PyGILState_STATE gil = PyGILState_Ensure();
    PyObject *tuple = Py_BuildValue("(iKiNNKLi)", (int)event->kind, (unsigned long long)event->time_ns, event->program,
                                    text_or_none(event->name), text_or_none(event->text),
                                    (unsigned long long)event->bytes, (long long)event->pid, event->status);
    PyObject *value = tuple ? PyObject_CallFunctionObjArgs(self->trace, tuple, NULL) : NULL;
    if (!value)
        keep_exception(self);
    Py_XDECREF(value);
    Py_XDECREF(tuple);
    PyGILState_Release(gil);
}

static void release_borrowed(call_object *self) {
    while (self->views) {
        struct view *view = self->views;
        self->views = view->next;
        PyBuffer_Release(&view->buffer);
        PyMem_Free(view);
    }
    for (struct binding *binding = self->bindings; binding; binding = binding->next)
        Py_CLEAR(binding->callable);
}

static void done_callback(void *user, spile_call *call, spile_result *result) {
    (void)call;
    call_object *self = user;
    PyGILState_STATE gil = PyGILState_Ensure();
    self->result = result_wrap(state_of((PyObject *)self), result);
    if (!self->result)
        keep_exception(self);
    self->is_ended = true;
    self->loop->call_count--;
    self->next_ended = self->loop->ended_head;
    self->loop->ended_head = self;
    release_borrowed(self);
    if (self->on_done) {
        PyObject *value = PyObject_CallFunctionObjArgs(self->on_done, (PyObject *)self, NULL);
        if (!value)
            PyErr_WriteUnraisable(self->on_done);
        Py_XDECREF(value);
    }
    PyGILState_Release(gil);
}

/* Frees what the library holds, and lets the context go. The result stays. */
static void call_leave(call_object *self) {
    self->call = spile_call_free(self->call);
    if (self->context && self->is_attached)
        self->context->call_count--;
    Py_CLEAR(self->context);
}

void loop_release_ended(loop_object *loop) {
    while (loop->ended_head) {
        call_object *call = loop->ended_head;
        loop->ended_head = call->next_ended;
        call->next_ended = NULL;
        call_leave(call);
        Py_DECREF((PyObject *)call);
    }
}

/* ------------------------------------------------------------------------------------------------ its life */

static int options_from(PyObject *tuple, spile_call_options *options, const char ***ret_env, PyObject **ret_env_owner,
                        PyObject **ret_cwd) {
    PyObject *env, *cwd;
    Py_ssize_t env_count;
    unsigned long long wall, cpu, file_bytes, output_bytes, grace;
    int keep_going, keep_terminal, standard_output, standard_error;
    if (!PyArg_ParseTuple(tuple, "KKKKIppOiOiiK", &wall, &cpu, &file_bytes, &output_bytes, &options->jobs, &keep_going,
                          &keep_terminal, &env, &options->env_mode, &cwd, &standard_output, &standard_error, &grace))
        return -1;
    options->limits = (spile_limits){wall, cpu, file_bytes, output_bytes};
    options->keep_going = keep_going;
    options->keep_terminal = keep_terminal;
    options->standard_output = (spile_stdio)standard_output;
    options->standard_error = (spile_stdio)standard_error;
    options->grace_ns = grace;
    if (strings_from(env, ret_env, &env_count, ret_env_owner) < 0 ||
        (cwd != Py_None && !PyUnicode_FSConverter(cwd, ret_cwd)))
        return -1;
    options->env = *ret_env;
    options->cwd = *ret_cwd ? PyBytes_AsString(*ret_cwd) : NULL;
    return 0;
}

static PyObject *call_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords) {
    (void)keywords;
    module_state *state = PyType_GetModuleState(type);
    PyObject *plan, *context, *option_tuple, *trace;
    if (!PyArg_ParseTuple(arguments, "O!OO!O:Call", state->plan_type, &plan, &context, &PyTuple_Type, &option_tuple,
                          &trace))
        return NULL;
    if (context != Py_None && !Py_IS_TYPE(context, state->context_type)) {
        PyErr_SetString(PyExc_TypeError, "context is no Context");
        return NULL;
    }
    context_object *pool = context == Py_None ? NULL : (context_object *)context;
    if (pool && !pool->ctx) {
        PyErr_SetString(PyExc_ValueError, "the context is closed");
        return NULL;
    }
    allocfunc allocate = PyType_GetSlot(type, Py_tp_alloc);
    call_object *self = (call_object *)allocate(type, 0);
    if (!self)
        return NULL;
    spile_call_options options = {.size = sizeof(options)};
    const char **env = NULL;
    PyObject *env_owner = NULL, *cwd = NULL;
    int result = options_from(option_tuple, &options, &env, &env_owner, &cwd);
    if (result == 0) {
        self->plan = Py_NewRef(plan);
        if (trace != Py_None) {
            self->trace = Py_NewRef(trace);
            options.trace = trace_callback;
            options.trace_user = self;
        }
        result = spile_call_new(((plan_object *)plan)->plan, pool ? pool->ctx : NULL, &options, &self->call);
        if (result < 0)
            raise_errno(result);
    }
    if (result == 0 && pool)
        self->context = (context_object *)Py_NewRef(context);
    PyMem_Free(env);
    Py_XDECREF(env_owner);
    Py_XDECREF(cwd);
    if (result < 0)
        Py_CLEAR(self);
    return (PyObject *)self;
}

static int call_traverse(PyObject *object, visitproc visit, void *arg) {
    call_object *self = (call_object *)object;
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->plan);
    Py_VISIT(self->trace);
    Py_VISIT(self->on_done);
    Py_VISIT(self->result);
    Py_VISIT(self->exception);
    Py_VISIT(self->context);
    Py_VISIT(self->loop);
    for (struct binding *binding = self->bindings; binding; binding = binding->next)
        Py_VISIT(binding->callable);
    for (struct view *view = self->views; view; view = view->next)
        Py_VISIT(view->buffer.obj);
    return 0;
}

/* Never reached while the call runs: then it holds itself. */
static int call_clear(PyObject *object) {
    call_object *self = (call_object *)object;
    call_leave(self);
    release_borrowed(self);
    Py_CLEAR(self->plan);
    Py_CLEAR(self->trace);
    Py_CLEAR(self->on_done);
    Py_CLEAR(self->result);
    Py_CLEAR(self->exception);
    Py_CLEAR(self->loop);
    return 0;
}

static void call_dealloc(PyObject *object) {
    call_object *self = (call_object *)object;
    PyObject_GC_UnTrack(object);
    call_clear(object);
    while (self->bindings) {
        struct binding *binding = self->bindings;
        self->bindings = binding->next;
        PyMem_Free(binding);
    }
    object_free(object);
}

/* -------------------------------------------------------------------------------------- what goes in and out */

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

#define TELL(what)                                                      \
    static PyObject *call_##what(PyObject *self, PyObject *arguments) { \
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
TELL(value)
TELL(values)
#undef TELL

static PyObject *call_stdin(PyObject *object, PyObject *arguments) {
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

/* --------------------------------------------------------------------------------------------------- running */

/* Starts the call; on success it holds itself until it ended. Returns -1 with an exception set. */
static int attach(call_object *self, PyObject *loop_argument) {
    module_state *state = state_of((PyObject *)self);
    if (!Py_IS_TYPE(loop_argument, state->loop_type)) {
        PyErr_SetString(PyExc_TypeError, "a call is attached to a Loop");
        return -1;
    }
    loop_object *loop = (loop_object *)loop_argument;
    if (self->is_attached || (loop->stepping_thread && loop->stepping_thread != PyThread_get_thread_ident())) {
        PyErr_SetString(PyExc_RuntimeError,
                        self->is_attached ? "a call runs only once" : "the loop belongs to another thread");
        return -1;
    }
    if (self->context && !self->context->ctx) {
        PyErr_SetString(PyExc_ValueError, "the context is closed");
        return -1;
    }
    self->loop = (loop_object *)Py_NewRef(loop_argument);
    self->is_attached = true;
    loop->call_count++;
    if (self->context)
        self->context->call_count++;
    Py_INCREF((PyObject *)self);
    int result;
    Py_BEGIN_ALLOW_THREADS result = spile_call_attach(self->call, loop->loop, done_callback, self);
    Py_END_ALLOW_THREADS if (result >= 0) return 0;
    loop->call_count--;
    Py_DECREF(self);
    raise_errno(result);
    return -1;
}

PyDoc_STRVAR(call_attach_doc, "attach($self, loop, on_done, /)\n--\n\n"
                              "Starts the call on a loop. on_done(call) is called in the step in which it ended.");

static PyObject *call_attach(PyObject *object, PyObject *arguments) {
    call_object *self = (call_object *)object;
    PyObject *loop, *on_done;
    if (!PyArg_ParseTuple(arguments, "OO", &loop, &on_done))
        return NULL;
    if (on_done != Py_None && !self->on_done)
        self->on_done = Py_NewRef(on_done);
    if (attach(self, loop) < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* One step without a look at signals; returns -1 with an exception set. */
static int step(loop_object *loop, uint64_t timeout_ns) {
    int result;
    loop->stepping_thread = PyThread_get_thread_ident();
    Py_BEGIN_ALLOW_THREADS result = spile_loop_step(loop->loop, timeout_ns);
    Py_END_ALLOW_THREADS loop->stepping_thread = 0;
    loop_release_ended(loop);
    if (result >= 0)
        return 0;
    raise_errno(result);
    return -1;
}

/* Ends the call whatever comes; an exception that stands is kept. A second Ctrl-C does not cut the clean-up short: it
 * is raised by the interpreter afterwards. */
static void end_call(call_object *self) {
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    spile_call_cancel(self->call);
    while (!self->is_ended && step(self->loop, UINT64_MAX) == 0)
        ;
    PyErr_Clear();
    PyErr_Restore(type, value, traceback);
}

PyDoc_STRVAR(call_run_doc,
             "run($self, loop, slice_ns, /)\n--\n\n"
             "Runs the call to its end, alone on the loop. Looks for signals when one interrupts the wait\n"
             "and at least every slice_ns; what their handlers raise ends the call, and is raised.");

static PyObject *call_run(PyObject *object, PyObject *arguments) {
    call_object *self = (call_object *)object;
    PyObject *loop;
    unsigned long long slice;
    if (!PyArg_ParseTuple(arguments, "OK", &loop, &slice) || attach(self, loop) < 0)
        return NULL;
    Py_INCREF(object);
    int result = PyErr_CheckSignals();
    while (result == 0 && !self->is_ended) {
        result = step(self->loop, slice);
        if (result == 0)
            result = PyErr_CheckSignals();
    }
    if (result < 0 && !self->is_ended)
        end_call(self);
    Py_DECREF(self);
    if (result < 0)
        return NULL;
    Py_RETURN_NONE;
}

PyDoc_STRVAR(call_finish_doc,
             "finish($self, /)\n--\n\nCancels the call and steps its loop until it ended, whatever signals come.");

static PyObject *call_finish(PyObject *object, PyObject *unused) {
    (void)unused;
    call_object *self = (call_object *)object;
    if (!self->is_attached || self->is_ended)
        Py_RETURN_NONE;
    if (self->loop->stepping_thread) {
        PyErr_SetString(PyExc_RuntimeError, "the call's loop is being stepped");
        return NULL;
    }
    Py_INCREF(object);
    end_call(self);
    Py_DECREF(self);
    Py_RETURN_NONE;
}

static PyObject *call_cancel(PyObject *self, PyObject *unused) {
    (void)unused;
    call_object *call = (call_object *)self;
    if (call->call)
        spile_call_cancel(call->call);
    Py_RETURN_NONE;
}

static PyObject *call_resume(PyObject *self, PyObject *unused) {
    (void)unused;
    call_object *call = (call_object *)self;
    if (call->call)
        spile_call_resume(call->call);
    Py_RETURN_NONE;
}

static PyObject *call_ended(PyObject *self, void *unused) {
    (void)unused;
    return PyBool_FromLong(((call_object *)self)->is_ended);
}

static PyObject *call_result(PyObject *self, void *unused) {
    (void)unused;
    PyObject *result = ((call_object *)self)->result;
    return Py_NewRef(result ? result : Py_None);
}

static PyObject *call_exception(PyObject *self, void *unused) {
    (void)unused;
    PyObject *exception = ((call_object *)self)->exception;
    return Py_NewRef(exception ? exception : Py_None);
}

static PyMethodDef call_methods[] = {
    {"input_memory", call_input_memory, METH_VARARGS, NULL},
    {"input_fd", call_input_fd, METH_VARARGS, NULL},
    {"input_path", call_input_path, METH_VARARGS, NULL},
    {"input_callback", call_input_callback, METH_VARARGS, NULL},
    {"stdin", call_stdin, METH_VARARGS, NULL},
    {"output_memory", call_output_memory, METH_VARARGS, NULL},
    {"output_fd", call_output_fd, METH_VARARGS, NULL},
    {"output_path", call_output_path, METH_VARARGS, NULL},
    {"output_callback", call_output_callback, METH_VARARGS, NULL},
    {"value", call_value, METH_VARARGS, NULL},
    {"values", call_values, METH_VARARGS, NULL},
    {"attach", call_attach, METH_VARARGS, call_attach_doc},
    {"run", call_run, METH_VARARGS, call_run_doc},
    {"finish", call_finish, METH_NOARGS, call_finish_doc},
    {"cancel", call_cancel, METH_NOARGS, NULL},
    {"resume", call_resume, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef call_getset[] = {
    {"ended", call_ended, NULL, NULL, NULL},
    {"result", call_result, NULL, NULL, NULL},
    {"exception", call_exception, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot call_slots[] = {
    {Py_tp_new, call_new},
    {Py_tp_dealloc, call_dealloc},
    {Py_tp_traverse, call_traverse},
    {Py_tp_clear, call_clear},
    {Py_tp_methods, call_methods},
    {Py_tp_getset, call_getset},
    {0, NULL},
};

PyType_Spec call_spec = {
    .name = "spile._spile.Call",
    .basicsize = sizeof(call_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = call_slots,
};
