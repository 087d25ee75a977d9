/* _spile.Call: one run of a plan.
 *
 * States: new (it can be told what goes in and out), attached (it runs on a loop), ended (`result` is there). While it
 * is attached it holds a reference to itself and to its loop, so that it is never freed under the library's feet.
 *
 * What it borrows from Python (buffers, callables) is held until it ended. An exception raised in a callback ends the
 * call and is kept in `exception`.
 */
#include "call.h"

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
                        PyObject **ret_cwd, PyObject **ret_private_path) {
    PyObject *env, *cwd, *private_path;
    Py_ssize_t env_count;
    unsigned long long wall, cpu, file_bytes, output_bytes, memory, processes, open_files, grace;
    int keep_going, keep_terminal, standard_output, standard_error;
    if (!PyArg_ParseTuple(tuple, "(KKKKKKK)IppOiOiiKIO", &wall, &cpu, &file_bytes, &output_bytes, &memory, &processes,
                          &open_files, &options->jobs, &keep_going, &keep_terminal, &env, &options->env_mode, &cwd,
                          &standard_output, &standard_error, &grace, &options->require, &private_path))
        return -1;
    options->limits = (spile_limits){wall, cpu, file_bytes, output_bytes, memory, processes, open_files};
    options->keep_going = keep_going;
    options->keep_terminal = keep_terminal;
    options->standard_output = (spile_stdio)standard_output;
    options->standard_error = (spile_stdio)standard_error;
    options->grace_ns = grace;
    if (strings_from(env, ret_env, &env_count, ret_env_owner) < 0 ||
        (cwd != Py_None && !PyUnicode_FSConverter(cwd, ret_cwd)) ||
        (private_path != Py_None && !PyUnicode_FSConverter(private_path, ret_private_path)))
        return -1;
    options->private_path = *ret_private_path ? PyBytes_AsString(*ret_private_path) : NULL;
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
    PyObject *env_owner = NULL, *cwd = NULL, *private_path = NULL;
    int result = options_from(option_tuple, &options, &env, &env_owner, &cwd, &private_path);
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
    Py_XDECREF(private_path);
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
