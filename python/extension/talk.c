/* _spile.Talk: one conversation on a loop. Every method that can wait takes nanoseconds and gives None where the time
 * came; the package waits in slices, so that signals are handled, and sees to it that one thread at a time is in here.
 */
#include "module.h"

static void tell(void *user, spile_talk *talk, unsigned news) {
    talk_object *self = user;
    (void)talk;
    PyGILState_STATE gil = PyGILState_Ensure();
    PyObject *callable = self->told;
    Py_XINCREF(callable);
    PyObject *result = callable ? PyObject_CallFunction(callable, "I", news) : NULL;
    if (callable && !result)
        PyErr_WriteUnraisable(callable);
    Py_XDECREF(result);
    Py_XDECREF(callable);
    PyGILState_Release(gil);
}

/* ------------------------------------------------------------------------------------------------ its life */

static int open_talk(talk_object *self, const char *endpoint, spile_talk_options *options, PyObject *argv,
                     PyObject *env, module_state *state) {
    const char **words = NULL, **variables = NULL;
    PyObject *words_owner = NULL, *variables_owner = NULL;
    Py_ssize_t count;
    spile_error *error = NULL;
    int result = -1;
    if (strings_from(argv, &words, &count, &words_owner) == 0 &&
        strings_from(env, &variables, &count, &variables_owner) == 0) {
        options->argv = words;
        options->env = variables;
        Py_BEGIN_ALLOW_THREADS result = spile_talk_open(endpoint, options, &self->talk, &error);
        Py_END_ALLOW_THREADS if (result < 0) raise_error(state, result, error);
    }
    PyMem_Free(words);
    PyMem_Free(variables);
    Py_XDECREF(words_owner);
    Py_XDECREF(variables_owner);
    return result < 0 ? -1 : 0;
}

/* As PyUnicode_FSConverter; NULL for None. */
static int path_or_none(PyObject *path, void *place) {
    return path == Py_None ? 1 : PyUnicode_FSConverter(path, place);
}

static PyObject *talk_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords) {
    (void)keywords;
    spile_talk_options options = {.size = sizeof(options)};
    PyObject *endpoint = NULL, *transcript = NULL, *argv, *env, *told;
    loop_object *loop;
    int errors, ends, parity, flow, dtr, rts, echo, wait, take_fd, cooked, unlocked, no_hangup, terminal_echo;
    int transcript_json, message, reconnect;
    unsigned long long line_limit, keep_limit, open_ns, resync_ns;
    if (!PyArg_ParseTuple(
            arguments, "O&OO(ziizKKKppppp)(IIIiiii)(OOizIIp)(ziK)(O&ppp):Talk", PyUnicode_FSConverter, &endpoint, &loop,
            &told, &options.encoding, &errors, &ends, &options.eol, &line_limit, &keep_limit, &open_ns, &wait, &take_fd,
            &cooked, &unlocked, &no_hangup, &options.baud, &options.data_bits, &options.stop_bits, &parity, &flow, &dtr,
            &rts, &argv, &env, &options.env_mode, &options.cwd, &options.columns, &options.rows, &terminal_echo,
            &options.prompt, &echo, &resync_ns, path_or_none, &transcript, &transcript_json, &message, &reconnect))
        return NULL;
    allocfunc allocate = PyType_GetSlot(type, Py_tp_alloc);
    talk_object *self = (talk_object *)allocate(type, 0);
    if (self) {
        Py_INCREF((PyObject *)loop);
        self->loop = loop;
        self->told = told == Py_None ? NULL : told;
        Py_XINCREF(self->told);
        options.loop = loop->loop;
        options.told = self->told ? tell : NULL;
        options.user = self;
        options.errors = (spile_talk_errors)errors;
        options.ends = (spile_talk_ends)ends;
        options.line_limit_bytes = line_limit;
        options.keep_limit_bytes = keep_limit;
        options.open_ns = open_ns;
        options.wait = wait, options.take_fd = take_fd, options.cooked = cooked, options.unlocked = unlocked;
        options.no_hangup = no_hangup, options.terminal_echo = terminal_echo;
        options.parity = (spile_talk_parity)parity;
        options.flow = (spile_talk_flow)flow;
        options.dtr = (spile_talk_switch)dtr;
        options.rts = (spile_talk_switch)rts;
        options.echo = (spile_talk_echo)echo;
        options.resync_ns = resync_ns;
        options.transcript = transcript ? PyBytes_AsString(transcript) : NULL;
        options.transcript_json = transcript_json;
        options.message = message;
        options.reconnect = reconnect;
        if (open_talk(self, PyBytes_AsString(endpoint), &options, argv, env, PyType_GetModuleState(type)) < 0)
            Py_CLEAR(self);
    }
    Py_DECREF(endpoint);
    Py_XDECREF(transcript);
    return (PyObject *)self;
}

static int talk_traverse(PyObject *object, visitproc visit, void *arg) {
    talk_object *self = (talk_object *)object;
    Py_VISIT(Py_TYPE(object));
    Py_VISIT((PyObject *)self->loop);
    Py_VISIT(self->told);
    return 0;
}

static int talk_clear(PyObject *object) {
    talk_object *self = (talk_object *)object;
    spile_talk *talk = self->talk;
    self->talk = NULL;
    Py_BEGIN_ALLOW_THREADS spile_talk_free(talk);
    Py_END_ALLOW_THREADS Py_CLEAR(self->told);
    Py_CLEAR(self->loop);
    return 0;
}

static void talk_dealloc(PyObject *object) {
    PyObject_GC_UnTrack(object);
    talk_clear(object);
    object_free(object);
}

spile_talk *talk_of(PyObject *object) {
    spile_talk *talk = ((talk_object *)object)->talk;
    if (!talk)
        PyErr_SetString(PyExc_ValueError, "I/O operation on closed file.");
    return talk;
}

/* What a function that could wait has come to: NULL with an exception; else *ret_is_late, or go on. */
static int is_failed(PyObject *self, int result, spile_error *error) {
    if (result == -EAGAIN || result == -ETIMEDOUT) {
        spile_error_free(error);
        return 0;
    }
    if (result >= 0)
        return 0;
    raise_error(state_of(self), result, error);
    return 1;
}

/* ------------------------------------------------------------------------------------------------ reading */

/* str; "" at the end, None where nothing came in time. */
static PyObject *give_text(PyObject *self, int result, const char *text, size_t size, spile_error *error) {
    if (is_failed(self, result, error))
        return NULL;
    if (result < 0)
        Py_RETURN_NONE;
    return PyUnicode_DecodeUTF8(text, (Py_ssize_t)size, "strict");
}

static PyObject *talk_read_line(PyObject *self, PyObject *argument) {
    spile_talk *talk = talk_of(self);
    unsigned long long timeout = PyLong_AsUnsignedLongLong(argument);
    const char *text = "";
    size_t size = 0;
    spile_error *error = NULL;
    int result;
    if (!talk || PyErr_Occurred())
        return NULL;
    Py_BEGIN_ALLOW_THREADS result = spile_talk_read_line(talk, timeout, &text, &size, &error);
    Py_END_ALLOW_THREADS if (result == SPILE_TALK_WHOLE) {
        ((char *)text)[size] = '\n'; /* where its end or a NUL stands */
        PyObject *line = PyUnicode_DecodeUTF8(text, (Py_ssize_t)size + 1, "strict");
        ((char *)text)[size] = '\0';
        return line;
    }
    return give_text(self, result, text, size, error);
}

static PyObject *talk_read(PyObject *self, PyObject *arguments) {
    spile_talk *talk = talk_of(self);
    unsigned long long least, most, timeout;
    const char *text = "";
    size_t size = 0;
    spile_error *error = NULL;
    int result;
    if (!talk || !PyArg_ParseTuple(arguments, "KKK", &least, &most, &timeout))
        return NULL;
    Py_BEGIN_ALLOW_THREADS result = spile_talk_read(talk, least, most, timeout, &text, &size, &error);
    Py_END_ALLOW_THREADS return give_text(self, result, text, size, error);
}

static PyObject *talk_read_until(PyObject *self, PyObject *arguments) {
    spile_talk *talk = talk_of(self);
    const char *delimiter, *text = "";
    unsigned long long timeout;
    size_t size = 0;
    spile_error *error = NULL;
    int result;
    if (!talk || !PyArg_ParseTuple(arguments, "sK", &delimiter, &timeout))
        return NULL;
    Py_BEGIN_ALLOW_THREADS result = spile_talk_read_until(talk, delimiter, timeout, &text, &size, &error);
    Py_END_ALLOW_THREADS PyObject *string = give_text(self, result, text, size, error);
    if (!string || string == Py_None)
        return string;
    return Py_BuildValue("(Ni)", string, result);
}

static PyObject *talk_read_silence(PyObject *self, PyObject *arguments) {
    spile_talk *talk = talk_of(self);
    unsigned long long silence, timeout;
    const char *text = "";
    size_t size = 0;
    spile_error *error = NULL;
    int result;
    if (!talk || !PyArg_ParseTuple(arguments, "KK", &silence, &timeout))
        return NULL;
    Py_BEGIN_ALLOW_THREADS result = spile_talk_read_silence(talk, silence, timeout, &text, &size, &error);
    Py_END_ALLOW_THREADS return give_text(self, result, text, size, error);
}

static PyObject *talk_read_bytes(PyObject *self, PyObject *arguments) {
    spile_talk *talk = talk_of(self);
    unsigned long long least, most, timeout;
    const void *data = NULL;
    size_t size = 0;
    spile_error *error = NULL;
    int result;
    if (!talk || !PyArg_ParseTuple(arguments, "KKK", &least, &most, &timeout))
        return NULL;
    Py_BEGIN_ALLOW_THREADS result = spile_talk_read_bytes(talk, least, most, timeout, &data, &size, &error);
    Py_END_ALLOW_THREADS if (is_failed(self, result, error)) return NULL;
    if (result < 0)
        Py_RETURN_NONE;
    return PyBytes_FromStringAndSize(data, (Py_ssize_t)size);
}

static PyObject *talk_bytes(PyObject *self, PyObject *unused) {
    (void)unused;
    spile_talk *talk = talk_of(self);
    const void *data = NULL;
    size_t size = 0;
    if (!talk)
        return NULL;
    (void)spile_talk_bytes(talk, &data, &size);
    return PyBytes_FromStringAndSize(data, (Py_ssize_t)size);
}

static PyObject *talk_unasked(PyObject *self, PyObject *unused) {
    (void)unused;
    spile_talk *talk = talk_of(self);
    const char *text = "";
    size_t size = 0;
    return talk ? give_text(self, spile_talk_read_unasked(talk, &text, &size), text, size, NULL) : NULL;
}

static PyObject *talk_unread(PyObject *self, PyObject *text) {
    spile_talk *talk = talk_of(self);
    Py_ssize_t size = 0;
    const char *bytes = talk ? PyUnicode_AsUTF8AndSize(text, &size) : NULL;
    int result = bytes ? spile_talk_unread(talk, bytes, (size_t)size) : 0;
    if (!bytes || result < 0)
        return bytes ? raise_errno(result) : NULL;
    Py_RETURN_NONE;
}

/* ------------------------------------------------------------------------------------------------ writing */

static PyObject *talk_write(PyObject *self, PyObject *arguments) {
    spile_talk *talk = talk_of(self);
    Py_buffer data;
    int is_text;
    unsigned long long timeout;
    spile_error *error = NULL;
    ssize_t result;
    if (!talk || !PyArg_ParseTuple(arguments, "y*pK", &data, &is_text, &timeout))
        return NULL;
    Py_BEGIN_ALLOW_THREADS result = is_text ? spile_talk_write(talk, data.buf, (size_t)data.len, timeout, &error)
                                            : spile_talk_write_bytes(talk, data.buf, (size_t)data.len, timeout, &error);
    Py_END_ALLOW_THREADS PyBuffer_Release(&data);
    if (is_failed(self, result < 0 ? (int)result : 0, error))
        return NULL;
    return PyLong_FromSsize_t(result < 0 ? 0 : result);
}

/* Text, as far as that goes at once: None where all of it is out, else how many bytes of it were taken. What is wrong
 * with it or the talk shows when the rest is written. */
static PyObject *talk_write_now(PyObject *self, PyObject *string) {
    spile_talk *talk = talk_of(self);
    Py_ssize_t size = 0;
    bool is_out;
    ssize_t result;
    if (!talk)
        return NULL;
    const char *text = PyUnicode_AsUTF8AndSize(string, &size);
    if (!text) {
        PyErr_Clear();
        return PyLong_FromLong(0);
    }
    Py_BEGIN_ALLOW_THREADS result = spile_talk_write(talk, text, (size_t)size, 0, NULL);
    is_out = result == size && spile_talk_flush(talk, 0, NULL) >= 0;
    Py_END_ALLOW_THREADS if (is_out) Py_RETURN_NONE;
    return PyLong_FromSsize_t(result < 0 ? 0 : result);
}

typedef int (*wait_fn)(spile_talk *talk, uint64_t timeout_ns, spile_error **ret_error);

/* True, or False where it did not come in time. */
static PyObject *wait_for(PyObject *self, PyObject *argument, wait_fn function) {
    spile_talk *talk = talk_of(self);
    unsigned long long timeout = PyLong_AsUnsignedLongLong(argument);
    spile_error *error = NULL;
    int result;
    if (!talk || PyErr_Occurred())
        return NULL;
    Py_BEGIN_ALLOW_THREADS result = function(talk, timeout, &error);
    Py_END_ALLOW_THREADS return is_failed(self, result, error) ? NULL : PyBool_FromLong(result >= 0);
}

static PyObject *talk_flush(PyObject *self, PyObject *argument) {
    return wait_for(self, argument, spile_talk_flush);
}

static PyObject *talk_close(PyObject *self, PyObject *argument) {
    return wait_for(self, argument, spile_talk_close);
}

static PyObject *talk_resync(PyObject *self, PyObject *arguments) {
    spile_talk *talk = talk_of(self);
    unsigned long long silence, timeout;
    spile_error *error = NULL;
    int result;
    if (!talk || !PyArg_ParseTuple(arguments, "KK", &silence, &timeout))
        return NULL;
    Py_BEGIN_ALLOW_THREADS result = spile_talk_resync(talk, silence, timeout, &error);
    Py_END_ALLOW_THREADS return is_failed(self, result, error) ? NULL : PyBool_FromLong(result >= 0);
}

static PyObject *talk_end(PyObject *self, PyObject *unused) {
    (void)unused;
    spile_talk *talk = talk_of(self);
    int result = talk ? spile_talk_end(talk) : 0;
    if (!talk || result < 0)
        return talk ? raise_errno(result) : NULL;
    Py_RETURN_NONE;
}

/* ------------------------------------------------------------------------------------------------ asking */

static void take_reply(void *user, spile_talk *talk, int result, const spile_reply *reply, const spile_error *error) {
    PyObject *callable = user;
    (void)talk;
    PyGILState_STATE gil = PyGILState_Ensure();
    PyObject *told = error ? error_tuple(error) : Py_NewRef(Py_None);
    PyObject *answer = told ? PyObject_CallFunction(callable, "is#zN", result, reply->text,
                                                    (Py_ssize_t)reply->text_size, reply->end, told)
                            : NULL;
    if (!answer)
        PyErr_WriteUnraisable(callable);
    Py_XDECREF(answer);
    Py_DECREF(callable);
    PyGILState_Release(gil);
}

static PyObject *talk_ask(PyObject *self, PyObject *arguments) {
    spile_talk *talk = talk_of(self);
    spile_ask_options options = {.size = sizeof(options)};
    const char *line, **ends = NULL, **errors = NULL;
    unsigned long long timeout, silence;
    PyObject *end_list, *error_list, *callable, *ends_owner = NULL, *errors_owner = NULL;
    int no_reply, skip_empty, is_secret;
    Py_ssize_t end_count = 0, error_count = 0;
    if (!talk || !PyArg_ParseTuple(arguments, "sO(KIpzOKOpp)", &line, &callable, &timeout, &options.lines, &no_reply,
                                   &options.prompt, &end_list, &silence, &error_list, &skip_empty, &is_secret))
        return NULL;
    int result = -1;
    if (strings_from(end_list, &ends, &end_count, &ends_owner) == 0 &&
        strings_from(error_list, &errors, &error_count, &errors_owner) == 0) {
        options.timeout_ns = timeout;
        options.silence_ns = silence;
        options.no_reply = no_reply, options.skip_empty = skip_empty, options.is_secret = is_secret;
        options.ends = ends;
        options.end_count = (size_t)end_count;
        options.errors = errors;
        options.error_count = (size_t)error_count;
        result = spile_talk_ask_start(talk, line, &options, take_reply, Py_NewRef(callable));
        if (result < 0) {
            Py_DECREF(callable);
            raise_errno(result);
        }
    }
    PyMem_Free(ends);
    PyMem_Free(errors);
    Py_XDECREF(ends_owner);
    Py_XDECREF(errors_owner);
    if (result < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* ------------------------------------------------------------------------------------------------ what it is */

static PyObject *talk_info(PyObject *self, PyObject *unused) {
    (void)unused;
    spile_talk *talk = talk_of(self);
    spile_talk_info info = {.size = sizeof(info)};
    if (!talk)
        return NULL;
    int result = spile_talk_get_info(talk, &info);
    if (result < 0)
        return raise_errno(result);
    return Py_BuildValue(
        "(iKKKKiiiLiiiiKK)", (int)info.state, (unsigned long long)info.bytes_in, (unsigned long long)info.bytes_out,
        (unsigned long long)info.bytes_kept, (unsigned long long)info.bytes_queued, (int)info.is_terminal,
        (int)info.is_ended, (int)info.is_out_of_step, (long long)info.pid, (int)info.has_exited, info.exit_status,
        info.signal, info.transcript_error, (unsigned long long)info.entries_missing, (unsigned long long)info.losses);
}

static PyObject *talk_error(PyObject *self, PyObject *unused) {
    (void)unused;
    spile_talk *talk = talk_of(self);
    const spile_error *error = talk ? spile_talk_error(talk) : NULL;
    if (!talk)
        return NULL;
    if (!error)
        Py_RETURN_NONE;
    return error_tuple(error);
}

static PyMethodDef talk_methods[] = {
    {"read_line", talk_read_line, METH_O, NULL},
    {"read", talk_read, METH_VARARGS, NULL},
    {"read_until", talk_read_until, METH_VARARGS, NULL},
    {"read_silence", talk_read_silence, METH_VARARGS, NULL},
    {"read_bytes", talk_read_bytes, METH_VARARGS, NULL},
    {"bytes", talk_bytes, METH_NOARGS, NULL},
    {"unasked", talk_unasked, METH_NOARGS, NULL},
    {"write", talk_write, METH_VARARGS, NULL},
    {"write_now", talk_write_now, METH_O, NULL},
    {"flush", talk_flush, METH_O, NULL},
    {"end", talk_end, METH_NOARGS, NULL},
    {"close", talk_close, METH_O, NULL},
    {"resync", talk_resync, METH_VARARGS, NULL},
    {"unread", talk_unread, METH_O, NULL},
    {"expect", talk_expect, METH_VARARGS, NULL},
    {"expect_cancel", talk_expect_cancel, METH_O, NULL},
    {"ask", talk_ask, METH_VARARGS, NULL},
    {"info", talk_info, METH_NOARGS, NULL},
    {"error", talk_error, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot talk_slots[] = {
    {Py_tp_new, talk_new},     {Py_tp_dealloc, talk_dealloc}, {Py_tp_traverse, talk_traverse},
    {Py_tp_clear, talk_clear}, {Py_tp_methods, talk_methods}, {0, NULL},
};

PyType_Spec talk_spec = {
    .name = "spile._spile.Talk",
    .basicsize = sizeof(talk_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = talk_slots,
};
