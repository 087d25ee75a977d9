/* _spile.doctor and the names of promises. */
#include "module.h"

PyObject *module_promises(PyObject *module, PyObject *unused) {
    (void)module, (void)unused;
    PyObject *names = PyList_New(0);
    for (unsigned bit = 1; names && bit <= SPILE_PROMISE_LAST; bit <<= 1) {
        PyObject *name = PyUnicode_FromString(spile_promise_name((spile_promise)bit));
        if (!name || PyList_Append(names, name) < 0)
            Py_CLEAR(names);
        Py_XDECREF(name);
    }
    return names;
}

static PyObject *findings_of(const spile_doctor *doctor) {
    spile_finding info = {.size = sizeof(info)};
    PyObject *findings = PyList_New(0);
    for (size_t i = 0; findings && spile_doctor_finding(doctor, i, &info) >= 0; i++) {
        PyObject *text = PyUnicode_DecodeUTF8(info.text, (Py_ssize_t)strlen(info.text), "replace");
        PyObject *finding =
            text ? Py_BuildValue("(isiNz)", info.promise != 0, info.name, (int)info.holds, text, info.cure) : NULL;
        if (!finding || PyList_Append(findings, finding) < 0)
            Py_CLEAR(findings);
        Py_XDECREF(finding);
    }
    return findings;
}

PyObject *module_doctor(PyObject *module, PyObject *argument) {
    module_state *state = PyModule_GetState(module);
    spile_ctx *ctx = NULL;
    spile_doctor *doctor = NULL;
    context_object *context = NULL;
    if (argument != Py_None) {
        if (!Py_IS_TYPE(argument, state->context_type)) {
            PyErr_SetString(PyExc_TypeError, "context is no Context");
            return NULL;
        }
        context = (context_object *)argument;
        if (!context->ctx) {
            PyErr_SetString(PyExc_ValueError, "the context is closed");
            return NULL;
        }
        ctx = context->ctx;
        context->call_count++; /* it can't be closed meanwhile */
    }
    int result;
    Py_BEGIN_ALLOW_THREADS result = spile_doctor_new(ctx, &doctor);
    Py_END_ALLOW_THREADS if (context) context->call_count--;
    if (result < 0)
        return raise_errno(result);
    PyObject *findings = findings_of(doctor);
    int containment = (int)spile_doctor_containment(doctor);
    spile_doctor_free(doctor);
    return findings ? Py_BuildValue("(iN)", containment, findings) : NULL;
}
