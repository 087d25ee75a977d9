/* The module itself: its types, constants and functions, and the helpers its files share.
 *
 * It is refused in a subinterpreter: callbacks find their interpreter by PyGILState_Ensure, which knows only the main
 * one. */
#include "module.h"

module_state *state_of(PyObject *object) {
    return PyType_GetModuleState(Py_TYPE(object));
}

PyObject *raise_errno(int result) {
    if (result == -ENOMEM)
        return PyErr_NoMemory();
    errno = -result;
    return PyErr_SetFromErrno(PyExc_OSError);
}

PyObject *text_or_none(const char *text) {
    if (!text)
        Py_RETURN_NONE;
    return PyUnicode_DecodeFSDefault(text);
}

PyObject *error_tuple(const spile_error *error) {
    const char *message = spile_error_get_message(error);
    PyObject *text = PyUnicode_DecodeUTF8(message, (Py_ssize_t)strlen(message), "replace");
    if (!text)
        return NULL;
    return Py_BuildValue("(siinzN)", spile_error_kind_name(spile_error_get_kind(error)), spile_error_get_errno(error),
                         spile_error_get_program(error), (Py_ssize_t)spile_error_get_offset(error),
                         spile_limit_name(spile_error_get_limit(error)), text);
}

PyObject *raise_error(module_state *state, int result, spile_error *error) {
    if (!error)
        return raise_errno(result);
    PyObject *arguments = error_tuple(error);
    spile_error_free(error);
    if (!arguments)
        return NULL;
    PyErr_SetObject(state->refused, arguments);
    Py_DECREF(arguments);
    return NULL;
}

void raise_usage(module_state *state, int number, const char *format, const char *subject) {
    PyObject *arguments = Py_BuildValue("(siinzN)", spile_error_kind_name(SPILE_ERROR_USAGE), number, -1,
                                        (Py_ssize_t)-1, NULL, PyUnicode_FromFormat(format, subject));
    if (!arguments)
        return;
    PyErr_SetObject(state->refused, arguments);
    Py_DECREF(arguments);
}

int strings_from(PyObject *sequence, const char ***ret_strings, Py_ssize_t *ret_count, PyObject **ret_owner) {
    if (sequence == Py_None) {
        *ret_strings = NULL;
        *ret_count = 0;
        *ret_owner = NULL;
        return 0;
    }
    Py_ssize_t count = PySequence_Size(sequence);
    if (count < 0)
        return -1;
    PyObject *owner = PyList_New(0);
    const char **strings = PyMem_Calloc((size_t)count + 1, sizeof(*strings));
    if (!owner || !strings) {
        Py_XDECREF(owner);
        PyMem_Free(strings);
        PyErr_NoMemory();
        return -1;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *item = PySequence_GetItem(sequence, i);
        PyObject *bytes = NULL;
        int is_converted = item && PyUnicode_FSConverter(item, &bytes);
        Py_XDECREF(item);
        int is_kept = is_converted && PyList_Append(owner, bytes) == 0;
        if (is_kept)
            strings[i] = PyBytes_AsString(bytes);
        Py_XDECREF(bytes);
        if (!is_kept) {
            Py_DECREF(owner);
            PyMem_Free(strings);
            return -1;
        }
    }
    *ret_strings = strings;
    *ret_count = count;
    *ret_owner = owner;
    return 0;
}

void object_free(PyObject *object) {
    PyTypeObject *type = Py_TYPE(object);
    freefunc free_function = PyType_GetSlot(type, Py_tp_free);
    free_function(object);
    Py_DECREF(type);
}

PyDoc_STRVAR(quote_doc, "quote($module, text, /)\n--\n\nText that a template takes literally, as one word.");

static PyObject *module_quote(PyObject *module, PyObject *argument) {
    (void)module;
    PyObject *bytes = NULL;
    if (!PyUnicode_FSConverter(argument, &bytes))
        return NULL;
    char *quoted = NULL;
    int result = spile_quote(PyBytes_AsString(bytes), &quoted);
    Py_DECREF(bytes);
    if (result < 0)
        return raise_errno(result);
    PyObject *text = PyUnicode_DecodeFSDefault(quoted);
    free(quoted);
    return text;
}

static PyMethodDef module_methods[] = {
    {"quote", module_quote, METH_O, quote_doc},
    {"promises", module_promises, METH_NOARGS, NULL},
    {"doctor", module_doctor, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static int add_type(PyObject *module, PyType_Spec *spec, PyTypeObject **ret_type) {
    PyObject *type = PyType_FromModuleAndSpec(module, spec, NULL);
    if (!type)
        return -1;
    *ret_type = (PyTypeObject *)type;
    return PyModule_AddType(module, *ret_type);
}

static int module_exec(PyObject *module) {
    if (PyInterpreterState_GetID(PyInterpreterState_Get()) != 0) {
        PyErr_SetString(PyExc_ImportError, "spile cannot be used in a subinterpreter: import it in the main one");
        return -1;
    }
    module_state *state = PyModule_GetState(module);
    state->refused = PyErr_NewExceptionWithDoc(
        "spile._spile.Refused", "What a spile_error says: kind, errno, program, offset, limit, message.", NULL, NULL);
    if (!state->refused || PyModule_AddObjectRef(module, "Refused", state->refused) < 0)
        return -1;
    if (add_type(module, &plan_spec, &state->plan_type) < 0 ||
        add_type(module, &context_spec, &state->context_type) < 0 ||
        add_type(module, &loop_spec, &state->loop_type) < 0 || add_type(module, &call_spec, &state->call_type) < 0 ||
        add_type(module, &result_spec, &state->result_type) < 0 ||
        add_type(module, &buffer_spec, &state->buffer_type) < 0 ||
        add_type(module, &pipe_spec, &state->pipe_type) < 0 || add_type(module, &talk_spec, &state->talk_type) < 0 ||
        add_type(module, &patterns_spec, &state->patterns_type) < 0)
        return -1;
    return PyModule_AddStringConstant(module, "version", spile_version());
}

static int module_traverse(PyObject *module, visitproc visit, void *arg) {
    module_state *state = PyModule_GetState(module);
    Py_VISIT(state->plan_type);
    Py_VISIT(state->context_type);
    Py_VISIT(state->loop_type);
    Py_VISIT(state->call_type);
    Py_VISIT(state->result_type);
    Py_VISIT(state->buffer_type);
    Py_VISIT(state->pipe_type);
    Py_VISIT(state->talk_type);
    Py_VISIT(state->patterns_type);
    Py_VISIT(state->refused);
    return 0;
}

static int module_clear(PyObject *module) {
    module_state *state = PyModule_GetState(module);
    Py_CLEAR(state->plan_type);
    Py_CLEAR(state->context_type);
    Py_CLEAR(state->loop_type);
    Py_CLEAR(state->call_type);
    Py_CLEAR(state->result_type);
    Py_CLEAR(state->buffer_type);
    Py_CLEAR(state->pipe_type);
    Py_CLEAR(state->talk_type);
    Py_CLEAR(state->patterns_type);
    Py_CLEAR(state->refused);
    return 0;
}

static void module_free(void *module) {
    module_clear(module);
}

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, module_exec},
    {0, NULL},
};

static struct PyModuleDef module_definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "spile._spile",
    .m_doc = "The C API of spile. Use the package spile instead.",
    .m_size = sizeof(module_state),
    .m_methods = module_methods,
    .m_slots = module_slots,
    .m_traverse = module_traverse,
    .m_clear = module_clear,
    .m_free = module_free,
};

PyMODINIT_FUNC PyInit__spile(void);

PyMODINIT_FUNC PyInit__spile(void) {
    return PyModuleDef_Init(&module_definition);
}
