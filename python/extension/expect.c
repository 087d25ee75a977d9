/* _spile.Patterns, and Talk.expect: what a talk waits for, and what it found. */
#include "module.h"

enum { AFTER_MAX = 4096 };

typedef struct patterns_object {
    PyObject_HEAD spile_patterns *patterns;
    int is_bytes;
} patterns_object;

/* ------------------------------------------------------------------------------------------------ patterns */

/* (kind, mode, flags, text as bytes or None) */
static int fill_pattern(PyObject *item, spile_pattern *pattern) {
    int kind, mode;
    PyObject *text;
    char *data = NULL;
    Py_ssize_t size = 0;
    if (!item || !PyArg_ParseTuple(item, "iiIO", &kind, &mode, &pattern->flags, &text))
        return -1;
    if (text != Py_None && PyBytes_AsStringAndSize(text, &data, &size) < 0)
        return -1;
    pattern->kind = (spile_pattern_kind)kind;
    pattern->mode = (spile_pattern_mode)mode;
    pattern->text = data;
    pattern->text_size = (size_t)size;
    return 0;
}

static PyObject *patterns_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords) {
    (void)keywords;
    spile_patterns_options options = {.size = sizeof(options)};
    PyObject *items, *self = NULL;
    int is_bytes;
    if (!PyArg_ParseTuple(arguments, "O!pI:Patterns", &PyTuple_Type, &items, &is_bytes, &options.match_limit))
        return NULL;
    options.is_bytes = is_bytes;
    const Py_ssize_t count = PyTuple_Size(items);
    spile_pattern *patterns = PyMem_Calloc((size_t)count + 1, sizeof(*patterns));
    if (!patterns)
        return PyErr_NoMemory();
    Py_ssize_t i = 0;
    while (i < count && fill_pattern(PyTuple_GetItem(items, i), &patterns[i]) == 0)
        i++;
    if (i == count) {
        allocfunc allocate = PyType_GetSlot(type, Py_tp_alloc);
        self = allocate(type, 0);
    }
    if (self) {
        spile_error *error = NULL;
        patterns_object *object = (patterns_object *)self;
        object->is_bytes = is_bytes;
        int result = spile_patterns_new(patterns, (size_t)count, &options, &object->patterns, &error);
        if (result < 0) {
            raise_error(PyType_GetModuleState(type), result, error);
            Py_CLEAR(self);
        }
    }
    PyMem_Free(patterns);
    return self;
}

static void patterns_dealloc(PyObject *object) {
    patterns_object *self = (patterns_object *)object;
    spile_patterns_free(self->patterns);
    object_free(object);
}

/* The groups' names of a pattern, in order; None for those without. */
static PyObject *patterns_names(PyObject *self, PyObject *arguments) {
    Py_ssize_t index, count;
    if (!PyArg_ParseTuple(arguments, "nn", &index, &count))
        return NULL;
    PyObject *names = PyList_New(0);
    for (Py_ssize_t i = 0; names && i < count; i++) {
        PyObject *name = text_or_none(
            spile_patterns_group_name(((patterns_object *)self)->patterns, (size_t)index, (size_t)i));
        if (!name || PyList_Append(names, name) < 0)
            Py_CLEAR(names);
        Py_XDECREF(name);
    }
    return names;
}

static PyMethodDef patterns_methods[] = {
    {"names", patterns_names, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot patterns_slots[] = {
    {Py_tp_new, patterns_new},
    {Py_tp_dealloc, patterns_dealloc},
    {Py_tp_methods, patterns_methods},
    {0, NULL},
};

PyType_Spec patterns_spec = {
    .name = "spile._spile.Patterns",
    .basicsize = sizeof(patterns_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = patterns_slots,
};

/* ------------------------------------------------------------------------------------------------ expecting */

struct expectation {
    PyObject *callable;
    int is_bytes;
};

static PyObject *span_object(spile_span span, int is_bytes) {
    if (!span.text)
        Py_RETURN_NONE;
    return is_bytes ? PyBytes_FromStringAndSize(span.text, (Py_ssize_t)span.size)
                    : PyUnicode_DecodeUTF8(span.text, (Py_ssize_t)span.size, "strict");
}

/* Not more than is cheap, and no half of a character. */
static spile_span some_of(spile_span span, int is_bytes) {
    if (span.size <= AFTER_MAX)
        return span;
    span.size = AFTER_MAX;
    while (!is_bytes && span.size > 0 && ((unsigned char)span.text[span.size] & 0xc0) == 0x80)
        span.size--;
    return span;
}

/* (before, after, [groups]) */
static PyObject *match_object(const spile_match *match, int is_bytes) {
    PyObject *groups = PyList_New(0);
    for (size_t i = 0; groups && i < match->group_count; i++) {
        PyObject *group = span_object(match->groups[i], is_bytes);
        if (!group || PyList_Append(groups, group) < 0)
            Py_CLEAR(groups);
        Py_XDECREF(group);
    }
    PyObject *before = groups ? span_object(match->before, is_bytes) : NULL;
    PyObject *after = before ? span_object(some_of(match->after, is_bytes), is_bytes) : NULL;
    if (after)
        return Py_BuildValue("(NNN)", before, after, groups);
    Py_XDECREF(before);
    Py_XDECREF(groups);
    return NULL;
}

static void take_match(void *user, spile_talk *talk, int result, const spile_match *match, const spile_error *error) {
    struct expectation *expectation = user;
    (void)talk;
    PyGILState_STATE gil = PyGILState_Ensure();
    PyObject *told = error ? error_tuple(error) : Py_NewRef(Py_None);
    PyObject *found = match ? match_object(match, expectation->is_bytes) : Py_NewRef(Py_None);
    PyObject *answer = NULL;
    if (match && !found) { /* no memory for it, say: whoever waits is told */
        PyObject *kind, *value, *traceback;
        PyErr_Fetch(&kind, &value, &traceback);
        PyErr_NormalizeException(&kind, &value, &traceback);
        found = value ? value : Py_NewRef(Py_None);
        Py_XDECREF(kind);
        Py_XDECREF(traceback);
    }
    if (told && found)
        answer = PyObject_CallFunction(expectation->callable, "iOO", result, found, told);
    if (!answer)
        PyErr_WriteUnraisable(expectation->callable);
    Py_XDECREF(answer);
    Py_XDECREF(found);
    Py_XDECREF(told);
    Py_DECREF(expectation->callable);
    PyMem_Free(expectation);
    PyGILState_Release(gil);
}

PyObject *talk_expect(PyObject *self, PyObject *arguments) {
    spile_talk *talk = talk_of(self);
    spile_expect_options options = {.size = sizeof(options)};
    unsigned long long window, rest, timeout;
    PyObject *object, *callable;
    if (!talk || !PyArg_ParseTuple(arguments, "O!OKKK", state_of(self)->patterns_type, &object, &callable, &window,
                                   &rest, &timeout))
        return NULL;
    struct expectation *expectation = PyMem_Malloc(sizeof(*expectation));
    if (!expectation)
        return PyErr_NoMemory();
    const patterns_object *patterns = (patterns_object *)object;
    *expectation = (struct expectation){.callable = Py_NewRef(callable), .is_bytes = patterns->is_bytes};
    options.window_bytes = window;
    options.rest_ns = rest;
    int result = spile_talk_expect_start(talk, patterns->patterns, &options, timeout, take_match, expectation);
    if (result < 0) {
        Py_DECREF(callable);
        PyMem_Free(expectation);
        return raise_errno(result);
    }
    return PyLong_FromVoidPtr(expectation);
}

/* What talk_expect returned, of one that has not been told. */
PyObject *talk_expect_cancel(PyObject *self, PyObject *argument) {
    spile_talk *talk = talk_of(self);
    const void *user = PyLong_AsVoidPtr(argument);
    if (!talk || PyErr_Occurred())
        return NULL;
    (void)spile_talk_expect_cancel(talk, user);
    Py_RETURN_NONE;
}
