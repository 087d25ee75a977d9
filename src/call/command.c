/* What a program is started with: its file, argument vector, environment and working directory, made of marks, values
 * and what matches there are by now. */
#include "call/run.h"

extern char **environ;

struct string_list {
    char **items;
    size_t count, capacity;
    bool failed;
};

/* Takes the string over; NULL is a lack of memory. */
static void list_add(struct string_list *list, char *string) {
    if (!string || ARRAY_RESERVE(list->items, list->count + 1, list->capacity) < 0) {
        free(string);
        list->failed = true;
        return;
    }
    list->items[list->count++] = string;
    list->items[list->count] = NULL;
}

void string_list_free(char **list) {
    for (size_t i = 0; list && list[i]; i++)
        free(list[i]);
    free(list);
}

static void list_done(struct string_list *list) {
    string_list_free(list->items);
}

static char **list_take(struct string_list *list) {
    if (list->failed || (!list->items && ARRAY_RESERVE(list->items, list->count + 1, list->capacity) < 0))
        return NULL;
    list->items[list->count] = NULL;
    return TAKE_POINTER(list->items);
}

/* ------------------------------------------------------------------------------ working directory */

/* Whether it leads from a directory that the host no longer has. */
static bool leads_nowhere(const spile_call *call, const char *path) {
    return *path != '/' && !call->host_cwd;
}

static int refuse_directory(size_t program, const char *path, spile_error **ret_error) {
    *ret_error = error_with(error_new(SPILE_ERROR_NOT_FOUND,
                                      "'%s' can't be found: the current directory, from which it leads, is gone; "
                                      "give an absolute path, or change to a directory that exists",
                                      path),
                            ENOENT, (int)program, -1);
    return -ENOENT;
}

char *command_directory(const spile_call *call, size_t program, bool *ret_is_private) {
    const char *cwd = call->plan->programs[program].program->cwd;
    if (!cwd)
        cwd = call->cwd;
    AUTO_TEXT path = {0};
    *ret_is_private = !cwd;
    if (!cwd)
        text_printf(&path, "%s/%zu", cell_root_path(call->cell), program + 1);
    else if (*cwd == '/')
        text_puts(&path, cwd);
    else
        text_printf(&path, "%s/%s", call->host_cwd, cwd);
    return text_take(&path);
}

/* ------------------------------------------------------------------------------ words */

struct wording {
    spile_call *call;
    size_t program;
    bool is_private; /* names are relative to the program's directory */
};

static const struct call_value *value_of(const spile_call *call, const char *name) {
    for (size_t i = 0; i < call->value_count; i++)
        if (strcmp(call->values[i].name, name) == 0)
            return &call->values[i];
    return NULL;
}

/* A name at the start of a word that begins with a dash would be read as an option. */
static void text_name(const struct wording *wording, struct text *text, const char *name) {
    if (!wording->is_private) {
        if (text->size == 2 && memcmp(text->data, "./", 2) == 0)
            text->size = 0; /* ./{<tool}: the path is absolute now */
        text_printf(text, "%s/%zu/%s", cell_root_path(wording->call->cell), wording->program + 1, name);
    } else {
        text_printf(text, "%s%s", text->size == 0 && *name == '-' ? "./" : "", name);
    }
}

static char *word_text(const struct wording *wording, const struct word *word) {
    const spile_program *owner = wording->call->plan->programs[wording->program].program;
    AUTO_TEXT text = {0};
    for (size_t i = 0; i < word->part_count; i++) {
        const struct part *part = &word->parts[i];
        const struct call_value *value;
        switch (part->type) {
        case SPILE_PART_TEXT:
            text_puts(&text, part->text);
            break;
        case SPILE_PART_FILE:
            text_name(wording, &text, owner->files[part->file].name);
            break;
        case SPILE_PART_VALUE:
        case SPILE_PART_VALUES:
            value = value_of(wording->call, part->text);
            if (value && value->count > 0)
                text_puts(&text, value->texts[0]);
            break;
        }
    }
    return text_take(&text);
}

static int compare_names(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* One argument for each file the program sees that matches, sorted. */
static int add_matches(const struct wording *wording, struct string_list *list, const struct file *file) {
    spile_call *call = wording->call;
    size_t start = list->count;
    for (size_t i = 0; i < call->item_count; i++) {
        const struct item *item = call->items[i];
        if (item->producer == (int)wording->program || item->is_stdin || !pattern_match(file->name, item->name) ||
            !store_sees(call, wording->program, item))
            continue;
        AUTO_TEXT text = {0};
        text_name(wording, &text, item->name);
        list_add(list, text_take(&text));
    }
    if (list->count > start)
        qsort(list->items + start, list->count - start, sizeof(*list->items), compare_names);
    return (int)(list->count - start);
}

static int add_word(const struct wording *wording, struct string_list *list, const struct word *word,
                    spile_error **ret_error) {
    const spile_program *owner = wording->call->plan->programs[wording->program].program;
    const struct part *only = word->part_count == 1 ? &word->parts[0] : NULL;
    if (only && only->type == SPILE_PART_VALUES) {
        const struct call_value *value = value_of(wording->call, only->text);
        for (size_t i = 0; value && i < value->count; i++)
            list_add(list, memory_string(value->texts[i]));
        return 0;
    }
    const struct file *file = only && only->type == SPILE_PART_FILE ? &owner->files[only->file] : NULL;
    if (!file || !file->is_pattern) {
        list_add(list, word_text(wording, word));
        return 0;
    }
    if (add_matches(wording, list, file) > 0 || list->failed)
        return 0;
    *ret_error = error_with(error_new(SPILE_ERROR_MISSING,
                                      "no file matches '%s', which %s reads: give one, or let a program write one",
                                      file->name, wording->call->programs[wording->program].label),
                            ENOENT, (int)wording->program, file->offset);
    return -ENOENT;
}

int command_make(spile_call *call, size_t program, char ***ret_argv, spile_error **ret_error) {
    const spile_program *owner = call->plan->programs[program].program;
    CLEANUP(list_done) struct string_list list = {0};
    struct wording wording = {.call = call, .program = program};
    AUTO_FREE char *directory = command_directory(call, program, &wording.is_private);
    int result = directory ? 0 : -ENOMEM;
    for (size_t i = 0; i < owner->word_count && result >= 0; i++)
        result = add_word(&wording, &list, &owner->words[i], ret_error);
    if (result < 0)
        return result;
    char **argv = list_take(&list);
    if (!argv)
        return -ENOMEM;
    *ret_argv = argv;
    return 0;
}

/* ------------------------------------------------------------------------------ environment */

static void environment_remove(struct string_list *list, const char *name, size_t size) {
    for (size_t i = 0; i < list->count; i++) {
        if (strncmp(list->items[i], name, size) != 0 || list->items[i][size] != '=')
            continue;
        free(list->items[i]);
        list->items[i] = list->items[--list->count];
        list->items[list->count] = NULL;
        i--;
    }
}

static void environment_apply(struct string_list *list, const char *const *changes, int mode) {
    if (mode == SPILE_ENV_REPLACE && changes)
        while (list->count > 0) {
            free(list->items[--list->count]);
            list->items[list->count] = NULL;
        }
    for (size_t i = 0; changes && changes[i]; i++) {
        size_t size = strcspn(changes[i], "=");
        environment_remove(list, changes[i], size);
        if (changes[i][size] == '=')
            list_add(list, memory_string(changes[i]));
    }
}

static bool environment_has(const struct string_list *list, const char *name) {
    size_t size = strlen(name);
    for (size_t i = 0; i < list->count; i++)
        if (strncmp(list->items[i], name, size) == 0 && list->items[i][size] == '=')
            return true;
    return false;
}

/* Temporary files belong to the call as well: in memory, and gone with it; unless somebody chose a place for them. */
static void add_temporary_directory(const spile_call *call, const spile_program *owner, struct string_list *list) {
    bool is_exact = (call->env && call->options.env_mode == SPILE_ENV_REPLACE) ||
                    (owner->env && owner->env_mode == SPILE_ENV_REPLACE);
    if (is_exact || !call->cell || environment_has(list, "TMPDIR"))
        return;
    int result = sys_mkdirat(cell_root_fd(call->cell), "tmp", 0700);
    if (result < 0 && result != -EEXIST)
        return; /* the program's own default is there */
    AUTO_TEXT text = {0};
    text_printf(&text, "TMPDIR=%s/tmp", cell_root_path(call->cell));
    list_add(list, text_take(&text));
}

int command_environment(spile_call *call, size_t program, char ***ret_env) {
    const spile_program *owner = call->plan->programs[program].program;
    CLEANUP(list_done) struct string_list list = {0};
    struct wording wording = {.call = call, .program = program};
    if (!call->env || call->options.env_mode != SPILE_ENV_REPLACE)
        for (char **variable = environ; variable && *variable; variable++)
            list_add(&list, memory_string(*variable));
    environment_apply(&list, (const char *const *)call->env, call->options.env_mode);
    environment_apply(&list, (const char *const *)owner->env, owner->env_mode);
    add_temporary_directory(call, owner, &list);
    if (owner->variable_count > 0 && call->cell) {
        AUTO_FREE char *directory = command_directory(call, program, &wording.is_private);
        if (!directory)
            return -ENOMEM;
        for (size_t i = 0; i < owner->variable_count; i++) {
            AUTO_FREE char *value = word_text(&wording, &owner->variables[i].value);
            AUTO_TEXT text = {0};
            text_printf(&text, "%s=%s", owner->variables[i].name, value ? value : "");
            environment_remove(&list, owner->variables[i].name, strlen(owner->variables[i].name));
            list_add(&list, value ? text_take(&text) : NULL);
        }
    }
    char **env = list_take(&list);
    if (!env)
        return -ENOMEM;
    *ret_env = env;
    return 0;
}

/* ------------------------------------------------------------------------------ the file to execute */

/* The last word on a variable before the program starts, without making its whole environment. A leading assignment
 * that holds marks is not looked into: nobody searches programs in the directory of a mark. */
static const char *variable_of(const spile_call *call, const spile_program *owner, const char *name) {
    size_t size = strlen(name);
    for (size_t i = owner->variable_count; i-- > 0;) {
        const struct variable *variable = &owner->variables[i];
        if (strcmp(variable->name, name) == 0 && variable->value.part_count == 1 &&
            variable->value.parts[0].type == SPILE_PART_TEXT)
            return variable->value.parts[0].text;
    }
    struct {
        char **env;
        int mode;
    } layers[] = {{owner->env, owner->env_mode}, {call->env, call->options.env_mode}, {environ, SPILE_ENV_REPLACE}};
    for (size_t i = 0; i < ARRAY_SIZE(layers); i++) {
        for (char **entry = layers[i].env; entry && *entry; entry++)
            if (strncmp(*entry, name, size) == 0 && ((*entry)[size] == '=' || (*entry)[size] == '\0'))
                return (*entry)[size] == '=' ? *entry + size + 1 : NULL;
        if (layers[i].env && layers[i].mode == SPILE_ENV_REPLACE)
            return NULL;
    }
    return NULL;
}

/* 0 executable, or why not. */
static int try_path(const char *path) {
    struct stat status;
    int result = sys_fstatat(AT_FDCWD, path, &status, 0);
    if (result < 0)
        return result;
    if (S_ISDIR(status.st_mode))
        return -EISDIR;
    return sys_faccessat(AT_FDCWD, path, X_OK, AT_EACCESS);
}

static char *join(const spile_call *call, const char *directory, size_t size, const char *name) {
    AUTO_TEXT path = {0};
    if (size == 0 || *directory != '/')
        text_printf(&path, "%s/", call->host_cwd);
    text_add(&path, directory, size);
    if (size > 0)
        text_puts(&path, "/");
    text_puts(&path, name);
    return text_take(&path);
}

static int refuse_program(size_t program, const char *word, int result, const char *cure, spile_error **ret_error) {
    bool is_missing = result == -ENOENT || result == -ENOTDIR;
    *ret_error = error_with(error_new(is_missing ? SPILE_ERROR_NOT_FOUND : SPILE_ERROR_NOT_EXECUTABLE,
                                      is_missing ? "'%s' was not found: %s" : "'%s' can't be executed: %s", word,
                                      is_missing ? cure : strerror(-result)),
                            -result, (int)program, -1);
    return result;
}

static int search_path(spile_call *call, size_t program, const char *word, spile_error **ret_error) {
    const char *path = variable_of(call, call->plan->programs[program].program, "PATH");
    int worst = -ENOENT;
    for (const char *place = path ? path : "/bin:/usr/bin"; place;
         place = strchr(place, ':') ? strchr(place, ':') + 1 : NULL) {
        if (leads_nowhere(call, place))
            continue;
        char *candidate = join(call, place, strcspn(place, ":"), word);
        int result = candidate ? try_path(candidate) : -ENOMEM;
        if (result == 0) {
            call->programs[program].path = candidate;
            return 0;
        }
        /* A directory that may not be searched has nothing for us, as for a shell. */
        if (result == -EACCES && sys_faccessat(AT_FDCWD, candidate, F_OK, AT_EACCESS) >= 0)
            worst = result;
        free(candidate);
        if (result == -ENOMEM)
            return result;
    }
    return refuse_program(program, word, worst,
                          "no directory of PATH has it; check the spelling, or install the package it comes in",
                          ret_error);
}

int command_find(spile_call *call, size_t program, spile_error **ret_error) {
    const spile_program *owner = call->plan->programs[program].program;
    const struct word *first = &owner->words[0];
    const char *cwd = owner->cwd ? owner->cwd : call->cwd;
    if (cwd && leads_nowhere(call, cwd))
        return refuse_directory(program, cwd, ret_error);
    for (size_t i = 0; i < first->part_count; i++)
        if (first->parts[i].type == SPILE_PART_FILE)
            return 0; /* it is in the program's directory, by the time it starts */
    struct wording wording = {.call = call, .program = program, .is_private = true};
    AUTO_FREE char *word = word_text(&wording, first);
    if (!word)
        return -ENOMEM;
    if (!strchr(word, '/'))
        return *word ? search_path(call, program, word, ret_error)
                     : refuse_program(program, word, -ENOENT, "its name is empty", ret_error);
    if (leads_nowhere(call, word))
        return refuse_directory(program, word, ret_error);
    AUTO_FREE char *path = *word == '/' ? memory_string(word) : join(call, "", 0, word);
    int result = path ? try_path(path) : -ENOMEM;
    if (result == -ENOMEM)
        return result;
    if (result < 0)
        return refuse_program(
            program, word, result,
            "a program named with a slash is looked for from the caller's directory; one that the call "
            "makes or gets is a mark: ./{<name}",
            ret_error);
    call->programs[program].path = TAKE_POINTER(path);
    return 0;
}
