/* The extension module spile._spile: the public C API as a few Python types, and nothing more.
 *
 * What is pleasant about the package (conversions, errors as classes, asyncio, functions) is written in Python above
 * it. Built for the limited API of Python 3.11, so that one build serves every later version. It sees no header of the
 * library but spile.h.
 *
 * The GIL: held everywhere but inside spile_loop_step, spile_call_attach, spile_ctx_free, spile_doctor_new,
 * spile_pipe_start, _wait and _free, and the functions of a talk that wait; the library's callbacks take it again. An
 * exception raised in a callback is kept in its Call, which ends; the package raises it.
 */
#pragma once

#define PY_SSIZE_T_CLEAN
#ifndef Py_DEBUG /* a debug build of the interpreter counts references through its own macros */
#define Py_LIMITED_API 0x030B0000
#endif
#include <Python.h>

#include <errno.h>
#include <spile.h>
#include <stdlib.h>
#include <string.h>

typedef struct module_state {
    PyTypeObject *plan_type, *context_type, *loop_type, *call_type, *result_type, *buffer_type, *pipe_type, *talk_type,
        *patterns_type;
    PyObject *refused; /* the exception that carries a spile_error */
} module_state;

module_state *state_of(PyObject *object); /* of an object of one of the module's types */

typedef struct plan_object {
    PyObject_HEAD spile_plan *plan;
} plan_object;

typedef struct context_object {
    PyObject_HEAD spile_ctx *ctx;
    size_t call_count; /* calls that need it to stay */
} context_object;

struct call_object;
typedef struct loop_object {
    PyObject_HEAD spile_loop *loop;
    unsigned long stepping_thread;  /* which is inside a step, or 0 */
    struct call_object *ended_head; /* to be let go once the step is over: a call can't be freed from its callback */
    size_t call_count;              /* attached and not ended */
} loop_object;

typedef struct result_object {
    PyObject_HEAD spile_result *result;
} result_object;

typedef struct talk_object {
    PyObject_HEAD spile_talk *talk;
    loop_object *loop;
    PyObject *told; /* called with the news, or NULL */
} talk_object;

/* Raises ValueError where it is closed. */
spile_talk *talk_of(PyObject *object);
/* expect.c */
PyObject *talk_expect(PyObject *self, PyObject *arguments);
PyObject *talk_expect_cancel(PyObject *self, PyObject *argument);

extern PyType_Spec plan_spec, context_spec, loop_spec, call_spec, result_spec, buffer_spec, pipe_spec, talk_spec,
    patterns_spec;

/* Raises what fits a negative errno: MemoryError, or OSError with that errno. Returns NULL. */
PyObject *raise_errno(int result);
/* Raises _spile.Refused with what the error says, or as raise_errno where there is none; frees the error. */
PyObject *raise_error(module_state *state, int result, spile_error *error);
/* Raises _spile.Refused for misuse; `format` holds one %s, the subject. */
void raise_usage(module_state *state, int number, const char *format, const char *subject);
/* (kind, errno, program, offset, message) */
PyObject *error_tuple(const spile_error *error);
/* str from the system's bytes, or None for NULL. */
PyObject *text_or_none(const char *text);
/* A NULL-terminated array of C strings from a sequence of str, bytes or paths; *ret_owner keeps their bytes alive and
 * is released with the array (PyMem_Free). None gives NULL. Returns -1 with an exception set. */
int strings_from(PyObject *sequence, const char ***ret_strings, Py_ssize_t *ret_count, PyObject **ret_owner);
/* Takes over a result the library handed out. */
PyObject *result_wrap(module_state *state, spile_result *result);
/* The exception that stands goes to the slot, unless there is one already. */
void take_exception(PyObject **slot);
/* Calls Python for bytes, or with some; the GIL is held. What it returned in the library's terms; an exception may be
 * set. */
ssize_t call_reader(PyObject *callable, void *buffer, size_t size);
int call_writer(PyObject *callable, const char *name, const void *data, size_t size);
/* Lets go of the calls that ended in the last step. */
void loop_release_ended(loop_object *loop);
/* doctor.c */
PyObject *module_promises(PyObject *module, PyObject *unused);
PyObject *module_doctor(PyObject *module, PyObject *argument);
/* Frees an object of a type made from a spec. */
void object_free(PyObject *object);
