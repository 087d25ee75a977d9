/* _spile.Plan.
 *
 * Plan(programs, optional, direct) builds and finishes a plan at once: an object of this type is always a finished
 * plan, so it may be shared by threads as the library allows. Each program is a tuple (form, content, options,
 * is_piped):
 *   ("template", text) and ("vector", words) as they are written;
 *   ("parts", (words, files, variables, ties, is_merged)) for one made without text.
 * options is None or (env, env_mode, cwd, ok_status, standard_output, standard_error).
 */
#include "module.h"

/* ------------------------------------------------------------------------------------- a program's options */

struct options_guard {
    spile_program_options options;
    PyObject *env_owner, *cwd_owner;
    const char **env;
    int *ok_status;
};

static void options_done(struct options_guard *guard) {
    Py_XDECREF(guard->env_owner);
    Py_XDECREF(guard->cwd_owner);
    PyMem_Free(guard->env);
    PyMem_Free(guard->ok_status);
}

static int statuses_from(PyObject *sequence, struct options_guard *guard) {
    if (sequence == Py_None)
        return 0;
    Py_ssize_t count = PySequence_Size(sequence);
    if (count < 0)
        return -1;
    guard->ok_status = PyMem_Calloc((size_t)count + 1, sizeof(int));
    if (!guard->ok_status) {
        PyErr_NoMemory();
        return -1;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *item = PySequence_GetItem(sequence, i);
        long status = item ? PyLong_AsLong(item) : -1;
        Py_XDECREF(item);
        if (status == -1 && PyErr_Occurred())
            return -1;
        guard->ok_status[i] = (int)status;
    }
    guard->options.ok_status = guard->ok_status;
    guard->options.ok_status_count = (size_t)count;
    return 0;
}

static int options_from(PyObject *tuple, struct options_guard *guard) {
    *guard = (struct options_guard){.options.size = sizeof(spile_program_options)};
    if (tuple == Py_None)
        return 0;
    PyObject *env, *cwd, *ok_status;
    int standard_output, standard_error;
    Py_ssize_t env_count;
    if (!PyArg_ParseTuple(tuple, "OiOOii", &env, &guard->options.env_mode, &cwd, &ok_status, &standard_output,
                          &standard_error) ||
        strings_from(env, &guard->env, &env_count, &guard->env_owner) < 0 ||
        (cwd != Py_None && !PyUnicode_FSConverter(cwd, &guard->cwd_owner)) || statuses_from(ok_status, guard) < 0) {
        options_done(guard);
        return -1;
    }
    guard->options.env = guard->env;
    guard->options.cwd = guard->cwd_owner ? PyBytes_AsString(guard->cwd_owner) : NULL;
    guard->options.standard_output = (spile_stdio)standard_output;
    guard->options.standard_error = (spile_stdio)standard_error;
    return 0;
}

/* ------------------------------------------------------------------------------- a program without any text */

/* Parts from a sequence of (type, text, file); handed to `add`, which copies them. */
static int with_parts(PyObject *sequence, int (*add)(void *user, const spile_part *parts, size_t count), void *user) {
    Py_ssize_t count = PySequence_Size(sequence);
    if (count < 0)
        return -1;
    int result = -1;
    spile_part *parts = PyMem_Calloc((size_t)count + 1, sizeof(*parts));
    PyObject *owner = PyList_New(0);
    if (!parts || !owner) {
        PyErr_NoMemory();
        goto out;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *item = PySequence_GetItem(sequence, i);
        PyObject *text = NULL;
        int type = 0;
        Py_ssize_t file = 0;
        int is_kept = item && PyArg_ParseTuple(item, "iO&n", &type, PyUnicode_FSConverter, &text, &file) &&
                      PyList_Append(owner, text) == 0;
        parts[i] = (spile_part){
            .type = (spile_part_type)type, .text = text ? PyBytes_AsString(text) : NULL, .file = (size_t)file};
        Py_XDECREF(text);
        Py_XDECREF(item);
        if (!is_kept)
            goto out;
    }
    result = add(user, parts, (size_t)count);
    if (result < 0)
        raise_errno(result);
out:
    Py_XDECREF(owner);
    PyMem_Free(parts);
    return result < 0 ? -1 : 0;
}

static int add_word(void *user, const spile_part *parts, size_t count) {
    return spile_program_add_word(user, parts, count);
}

struct variable_place {
    spile_program *program;
    const char *name;
};

static int add_variable(void *user, const spile_part *parts, size_t count) {
    struct variable_place *place = user;
    return spile_program_add_variable(place->program, place->name, parts, count);
}

static int fill_file(spile_program *program, PyObject *item) {
    PyObject *name = NULL;
    int role, kind;
    unsigned flags;
    if (!PyArg_ParseTuple(item, "O&iiI", PyUnicode_FSConverter, &name, &role, &kind, &flags))
        return -1;
    int result = spile_program_add_file(program, &(spile_file){
                                                     .size = sizeof(spile_file),
                                                     .name = PyBytes_AsString(name),
                                                     .role = (spile_role)role,
                                                     .kind = (spile_kind)kind,
                                                     .flags = flags,
                                                 });
    Py_DECREF(name);
    if (result < 0)
        raise_errno(result);
    return result < 0 ? -1 : 0;
}

static int fill_word(spile_program *program, PyObject *item) {
    return with_parts(item, add_word, program);
}

static int fill_variable(spile_program *program, PyObject *item) {
    PyObject *name = NULL, *parts;
    if (!PyArg_ParseTuple(item, "O&O", PyUnicode_FSConverter, &name, &parts))
        return -1;
    struct variable_place place = {program, PyBytes_AsString(name)};
    int result = with_parts(parts, add_variable, &place);
    Py_DECREF(name);
    return result;
}

static int fill_tie(spile_program *program, PyObject *item) {
    int stdio_fd;
    Py_ssize_t file;
    if (!PyArg_ParseTuple(item, "in", &stdio_fd, &file))
        return -1;
    int result = spile_program_tie(program, stdio_fd, (size_t)file);
    if (result < 0)
        raise_errno(result);
    return result < 0 ? -1 : 0;
}

static int for_each(PyObject *sequence, int (*fill)(spile_program *program, PyObject *item), spile_program *program) {
    Py_ssize_t count = PySequence_Size(sequence);
    if (count < 0)
        return -1;
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *item = PySequence_GetItem(sequence, i);
        int result = item ? fill(program, item) : -1;
        Py_XDECREF(item);
        if (result < 0)
            return -1;
    }
    return 0;
}

static int program_from(PyObject *content, const spile_program_options *options, spile_program **ret_program) {
    PyObject *words, *files, *variables, *ties;
    int is_merged;
    if (!PyArg_ParseTuple(content, "OOOOp", &words, &files, &variables, &ties, &is_merged))
        return -1;
    spile_program *program = NULL;
    int result = spile_program_new(options, &program);
    if (result < 0) {
        raise_errno(result);
        return -1;
    }
    result = for_each(files, fill_file, program) < 0 || for_each(words, fill_word, program) < 0 ||
             for_each(variables, fill_variable, program) < 0 || for_each(ties, fill_tie, program) < 0;
    if (!result && is_merged && (result = spile_program_merge_stderr(program)) < 0)
        raise_errno(result);
    if (result) {
        spile_program_free(program);
        return -1;
    }
    *ret_program = program;
    return 0;
}

/* --------------------------------------------------------------------------------------------------- the plan */

static int add_vector(spile_plan *plan, PyObject *words, const spile_program_options *options,
                      spile_error **ret_error) {
    const char **strings;
    Py_ssize_t count;
    PyObject *owner;
    if (strings_from(words, &strings, &count, &owner) < 0)
        return 1; /* with an exception set */
    int result = spile_plan_add_vector(plan, strings, (size_t)count, options, ret_error);
    PyMem_Free(strings);
    Py_XDECREF(owner);
    return result < 0 ? result : 0;
}

static int add_template(spile_plan *plan, PyObject *text, const spile_program_options *options,
                        spile_error **ret_error) {
    PyObject *bytes = NULL;
    if (!PyUnicode_FSConverter(text, &bytes))
        return 1;
    int result = spile_plan_add_template(plan, PyBytes_AsString(bytes), options, ret_error);
    Py_DECREF(bytes);
    return result < 0 ? result : 0;
}

static int add_parts(spile_plan *plan, PyObject *content, const spile_program_options *options, bool is_piped,
                     spile_error **ret_error) {
    spile_program *program;
    if (program_from(content, options, &program) < 0)
        return 1;
    int result = spile_plan_add_program(plan, program, is_piped ? SPILE_PLAN_PIPED : 0, ret_error);
    return result < 0 ? result : 0;
}

static int add_program(module_state *state, spile_plan *plan, PyObject *item) {
    PyObject *content, *options;
    const char *form;
    int is_piped;
    struct options_guard guard;
    if (!PyArg_ParseTuple(item, "sOOi", &form, &content, &options, &is_piped) || options_from(options, &guard) < 0)
        return -1;
    spile_error *error = NULL;
    int result;
    if (strcmp(form, "template") == 0)
        result = add_template(plan, content, &guard.options, &error);
    else if (strcmp(form, "vector") == 0)
        result = add_vector(plan, content, &guard.options, &error);
    else
        result = add_parts(plan, content, &guard.options, is_piped, &error);
    options_done(&guard);
    if (result < 0)
        raise_error(state, result, error);
    return result ? -1 : 0;
}

/* Says something of each name; -ENOENT is misuse that `format` explains. */
static int set_names(module_state *state, spile_plan *plan, PyObject *names,
                     int (*set)(spile_plan *plan, const char *name), const char *format) {
    const char **strings;
    Py_ssize_t count;
    PyObject *owner;
    if (strings_from(names, &strings, &count, &owner) < 0)
        return -1;
    int result = 0;
    for (Py_ssize_t i = 0; i < count && result >= 0; i++) {
        result = set(plan, strings[i]);
        if (result == -ENOENT)
            raise_usage(state, ENOENT, format, strings[i]);
        else if (result < 0)
            raise_errno(result);
    }
    PyMem_Free(strings);
    Py_XDECREF(owner);
    return result < 0 ? -1 : 0;
}

static PyObject *plan_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords) {
    (void)keywords;
    PyObject *programs, *optional, *direct;
    if (!PyArg_ParseTuple(arguments, "OOO:Plan", &programs, &optional, &direct))
        return NULL;
    module_state *state = PyType_GetModuleState(type);
    Py_ssize_t count = PySequence_Size(programs);
    if (count < 0)
        return NULL;
    allocfunc allocate = PyType_GetSlot(type, Py_tp_alloc);
    plan_object *self = (plan_object *)allocate(type, 0);
    if (!self)
        return NULL;
    int result = spile_plan_new(&self->plan);
    if (result < 0) {
        raise_errno(result);
        goto fail;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *item = PySequence_GetItem(programs, i);
        result = item ? add_program(state, self->plan, item) : -1;
        Py_XDECREF(item);
        if (result < 0)
            goto fail;
    }
    if (set_names(state, self->plan, optional, spile_plan_set_optional,
                  "no program writes '%s': it can't be optional") < 0 ||
        set_names(state, self->plan, direct, spile_plan_set_direct, "no program uses '%s': it can't be direct") < 0)
        goto fail;
    spile_error *error = NULL;
    result = spile_plan_finish(self->plan, &error);
    if (result < 0) {
        raise_error(state, result, error);
        goto fail;
    }
    return (PyObject *)self;
fail:
    Py_DECREF(self);
    return NULL;
}

static void plan_dealloc(PyObject *object) {
    spile_plan_unref(((plan_object *)object)->plan);
    object_free(object);
}

/* ---------------------------------------------------------------------------------------------- what it holds */

/* A list of what `describe` makes of each index. */
static PyObject *list_of(plan_object *self, size_t count, PyObject *(*describe)(const spile_plan *plan, size_t index)) {
    PyObject *list = PyList_New((Py_ssize_t)count);
    for (size_t i = 0; list && i < count; i++) {
        PyObject *item = describe(self->plan, i);
        if (!item)
            Py_CLEAR(list);
        else
            PyList_SetItem(list, (Py_ssize_t)i, item);
    }
    return list;
}

static PyObject *words_of(const spile_plan *plan, size_t program) {
    PyObject *list = PyList_New(0);
    const char *word;
    for (size_t i = 0; list && (word = spile_plan_plain_word(plan, program, i)); i++) {
        PyObject *text = PyUnicode_DecodeFSDefault(word);
        if (!text || PyList_Append(list, text) < 0)
            Py_CLEAR(list);
        Py_XDECREF(text);
    }
    return list;
}

static PyObject *describe_program(const spile_plan *plan, size_t index) {
    spile_program_info info = {.size = sizeof(info)};
    int result = spile_plan_program(plan, index, &info);
    if (result < 0)
        return raise_errno(result);
    return Py_BuildValue("(NNniN)", text_or_none(info.text), text_or_none(info.name), (Py_ssize_t)info.group,
                         (int)info.is_piped, words_of(plan, index));
}

static PyObject *describe_file(const spile_plan *plan, size_t index) {
    spile_file_info info = {.size = sizeof(info)};
    int result = spile_plan_file(plan, index, &info);
    if (result < 0)
        return raise_errno(result);
    return Py_BuildValue("(Niiiiii)", text_or_none(info.name), (int)info.flow, (int)info.kind, (int)info.is_pattern,
                         (int)info.is_tree, (int)info.is_optional, (int)info.is_given_optional);
}

static PyObject *describe_use(const spile_plan *plan, size_t index) {
    spile_use_info info = {.size = sizeof(info)};
    int result = spile_plan_use(plan, index, &info);
    if (result < 0)
        return raise_errno(result);
    return Py_BuildValue("(nniiIini)", (Py_ssize_t)info.program, (Py_ssize_t)info.file, (int)info.role, (int)info.kind,
                         info.flags, info.stdio_fd, (Py_ssize_t)info.offset, info.producer);
}

static PyObject *describe_value(const spile_plan *plan, size_t index) {
    bool is_list = false;
    const char *name = spile_plan_value(plan, index, &is_list);
    return Py_BuildValue("(Ni)", text_or_none(name), (int)is_list);
}

static PyObject *plan_programs(PyObject *self, PyObject *unused) {
    (void)unused;
    plan_object *plan = (plan_object *)self;
    return list_of(plan, spile_plan_program_count(plan->plan), describe_program);
}

static PyObject *plan_files(PyObject *self, PyObject *unused) {
    (void)unused;
    plan_object *plan = (plan_object *)self;
    return list_of(plan, spile_plan_file_count(plan->plan), describe_file);
}

static PyObject *plan_uses(PyObject *self, PyObject *unused) {
    (void)unused;
    plan_object *plan = (plan_object *)self;
    return list_of(plan, spile_plan_use_count(plan->plan), describe_use);
}

static PyObject *plan_values(PyObject *self, PyObject *unused) {
    (void)unused;
    plan_object *plan = (plan_object *)self;
    return list_of(plan, spile_plan_value_count(plan->plan), describe_value);
}

static PyMethodDef plan_methods[] = {
    {"programs", plan_programs, METH_NOARGS, NULL},
    {"files", plan_files, METH_NOARGS, NULL},
    {"uses", plan_uses, METH_NOARGS, NULL},
    {"values", plan_values, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot plan_slots[] = {
    {Py_tp_new, plan_new},
    {Py_tp_dealloc, plan_dealloc},
    {Py_tp_methods, plan_methods},
    {0, NULL},
};

PyType_Spec plan_spec = {
    .name = "spile._spile.Plan",
    .basicsize = sizeof(plan_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = plan_slots,
};
