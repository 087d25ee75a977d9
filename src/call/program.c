/* spile_program: one command as data; see program.h.
 *
 * Every door into it (the public functions, the template parser) ends in the same few functions here, so that no
 * program can hold what a plan could not run: a list inside a word, a pattern as a stream, a stream tied twice.
 * What needs the other programs of a plan, or a message with more than an errno, is not decided here.
 */
#include "call/program.h"

#include <limits.h>

#define VARIABLE_END "=" /* no name of a variable holds it */

/* ------------------------------------------------------------------------------------------------ names */

bool name_is_pattern(const char *name) {
    return strpbrk(name, "*?[") != NULL;
}

bool name_is_tree(const char *name) {
    size_t size = strlen(name);
    return size > 0 && name[size - 1] == '/';
}

static const char *component_fault(const char *component, size_t size) {
    if (size == 0)
        return "has an empty component";
    if (size == 1 && component[0] == '.')
        return "has a '.' component";
    if (size == 2 && component[0] == '.' && component[1] == '.')
        return "climbs out of its directory";
    if (size > NAME_MAX)
        return "has a component that is too long";
    return NULL;
}

const char *program_name_fault(const char *name) {
    if (!*name)
        return "is empty";
    if (*name == '/')
        return "is absolute";
    if (strlen(name) >= PATH_MAX)
        return "is too long";
    const char *place = name;
    for (;;) {
        size_t size = strcspn(place, "/");
        const char *fault = component_fault(place, size);
        if (fault)
            return fault;
        place += size;
        if (!place[0] || !place[1]) /* the end, or the slash that makes it a tree */
            return NULL;
        place++;
    }
}

/* ---------------------------------------------------------------------------------------------- options */

/* Copies what the caller's struct holds, which may be of an older or a newer version than ours: a newer one is fine as
 * long as what we do not know is not used. */
static int struct_copy(void *copy, size_t size, const void *from) {
    size_t given;
    memcpy(&given, from, sizeof(given));
    if (given < sizeof(given))
        return -EINVAL;
    const unsigned char *bytes = from;
    for (size_t i = size; i < given; i++)
        if (bytes[i])
            return -EINVAL;
    memset(copy, 0, size);
    memcpy(copy, from, MIN(size, given));
    return 0;
}

static bool stdio_is_valid(spile_stdio value) {
    return (unsigned)value <= SPILE_STDIO_CAPTURE;
}

static bool options_are_valid(const spile_program_options *options) {
    if (options->env_mode != SPILE_ENV_ADD && options->env_mode != SPILE_ENV_REPLACE)
        return false;
    for (size_t i = 0; options->env && options->env[i]; i++)
        if (!options->env[i][0] || options->env[i][0] == '=')
            return false;
    if (options->cwd && !*options->cwd)
        return false;
    if (options->ok_status_count && !options->ok_status)
        return false;
    for (size_t i = 0; i < options->ok_status_count; i++)
        if (options->ok_status[i] < 0 || options->ok_status[i] > 255)
            return false;
    return stdio_is_valid(options->standard_output) && stdio_is_valid(options->standard_error);
}

static int copy_env(spile_program *program, const char *const *env) {
    size_t count = 0;
    while (env[count])
        count++;
    program->env = memory_zero(count + 1, sizeof(*program->env));
    if (!program->env)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++)
        if (!(program->env[i] = memory_string(env[i])))
            return -ENOMEM;
    return 0;
}

static int copy_options(spile_program *program, const spile_program_options *options) {
    program->env_mode = options->env_mode;
    program->standard_output = options->standard_output;
    program->standard_error = options->standard_error;
    if (options->env) {
        int result = copy_env(program, options->env);
        if (result < 0)
            return result;
    }
    if (options->cwd && !(program->cwd = memory_string(options->cwd)))
        return -ENOMEM;
    if (options->ok_status_count) {
        size_t size = options->ok_status_count * sizeof(*options->ok_status);
        program->ok_status = memory_new(size);
        if (!program->ok_status)
            return -ENOMEM;
        memcpy(program->ok_status, options->ok_status, size);
        program->ok_status_count = options->ok_status_count;
    }
    return 0;
}

static void program_cleanup(spile_program **program) {
    *program = spile_program_free(*program);
}

int spile_program_new(const spile_program_options *options, spile_program **ret_program) {
    if (!ret_program)
        return -EINVAL;
    spile_program_options copy = {0};
    if (options) {
        int result = struct_copy(&copy, sizeof(copy), options);
        if (result < 0)
            return result;
        if (!options_are_valid(&copy))
            return -EINVAL;
    }
    CLEANUP(program_cleanup) spile_program *program = memory_zero(1, sizeof(*program));
    if (!program)
        return -ENOMEM;
    for (size_t i = 0; i < ARRAY_SIZE(program->tied); i++)
        program->tied[i] = -1;
    int result = copy_options(program, &copy);
    if (result < 0)
        return result;
    *ret_program = TAKE_POINTER(program);
    return 0;
}

spile_program *spile_program_free(spile_program *program) {
    if (!program)
        return NULL;
    for (size_t i = 0; i < program->word_count; i++)
        word_done(&program->words[i]);
    for (size_t i = 0; i < program->variable_count; i++) {
        free(program->variables[i].name);
        word_done(&program->variables[i].value);
    }
    for (size_t i = 0; i < program->file_count; i++)
        free(program->files[i].name);
    for (size_t i = 0; program->env && program->env[i]; i++)
        free(program->env[i]);
    free(program->words);
    free(program->variables);
    free(program->files);
    free(program->env);
    free(program->template);
    free(program->cwd);
    free(program->ok_status);
    free(program);
    return NULL;
}

/* ------------------------------------------------------------------------------------------------ files */

static struct file *find_file(const spile_program *program, const char *name) {
    for (size_t i = 0; i < program->file_count; i++)
        if (strcmp(program->files[i].name, name) == 0)
            return &program->files[i];
    return NULL;
}

enum file_conflict program_file_conflict(const spile_program *program, const spile_file *file) {
    const struct file *first = find_file(program, file->name);
    if (!first)
        return FILE_AGREES;
    if (first->kind != file->kind)
        return FILE_STREAM_AND_SEEKABLE;
    if (first->role == file->role)
        return FILE_AGREES;
    if (first->role == SPILE_APPEND || file->role == SPILE_APPEND)
        return FILE_APPENDED_AND_USED;
    if (first->role != SPILE_WRITE && file->role != SPILE_WRITE)
        return FILE_AGREES; /* read and changed: changed */
    if (first->role == SPILE_CHANGE || file->role == SPILE_CHANGE)
        return FILE_WRITTEN_AND_CHANGED;
    return FILE_READ_AND_WRITTEN;
}

static bool file_is_valid(const spile_file *file) {
    if (!file->name || program_name_fault(file->name))
        return false;
    if (file->role < SPILE_READ || file->role > SPILE_APPEND || (unsigned)file->kind > SPILE_STREAM)
        return false;
    if (file->flags & ~(unsigned)(SPILE_FILE_SIDE | SPILE_FILE_OPTIONAL))
        return false;
    bool is_pattern = name_is_pattern(file->name), is_tree = name_is_tree(file->name);
    if (is_pattern && is_tree)
        return false;
    if (file->kind == SPILE_STREAM && (is_pattern || is_tree || file->role > SPILE_WRITE))
        return false;
    return file->role != SPILE_APPEND || (!is_pattern && !is_tree);
}

int program_add_file(spile_program *program, const spile_file *file, ssize_t offset) {
    if (!file_is_valid(file) || program_file_conflict(program, file) != FILE_AGREES)
        return -EINVAL;
    struct file *first = find_file(program, file->name);
    if (first) {
        if (file->role == SPILE_CHANGE)
            first->role = SPILE_CHANGE;
        first->flags &= file->flags;
        return (int)(first - program->files);
    }
    if (program->file_count == INT_MAX)
        return -ENOMEM;
    int result = ARRAY_RESERVE(program->files, program->file_count, program->file_capacity);
    if (result < 0)
        return result;
    char *name = memory_string(file->name);
    if (!name)
        return -ENOMEM;
    program->files[program->file_count] = (struct file){
        .name = name,
        .role = file->role,
        .kind = file->kind,
        .flags = file->flags,
        .is_pattern = name_is_pattern(name),
        .is_tree = name_is_tree(name),
        .offset = offset,
    };
    return (int)program->file_count++;
}

int spile_program_add_file(spile_program *program, const spile_file *file) {
    if (!program || !file)
        return -EINVAL;
    spile_file copy;
    int result = struct_copy(&copy, sizeof(copy), file);
    return result < 0 ? result : program_add_file(program, &copy, -1);
}

/* ------------------------------------------------------------------------------------------------ words */

void word_done(struct word *word) {
    for (size_t i = 0; i < word->part_count; i++)
        free(word->parts[i].text);
    free(word->parts);
    *word = (struct word){.offset = -1};
}

static int add_owned_part(struct word *word, spile_part_type type, char *text, size_t file) {
    int result = ARRAY_RESERVE(word->parts, word->part_count, word->part_capacity);
    if (result < 0) {
        free(text);
        return result;
    }
    word->parts[word->part_count++] = (struct part){.type = type, .text = text, .file = file};
    return 0;
}

int word_add_text(struct word *word, const char *text, size_t size) {
    char *copy = memory_new(size + 1);
    if (!copy)
        return -ENOMEM;
    if (size)
        memcpy(copy, text, size);
    copy[size] = '\0';
    return add_owned_part(word, SPILE_PART_TEXT, copy, 0);
}

int word_add_part(struct word *word, spile_part_type type, const char *text, size_t file) {
    if (type == SPILE_PART_FILE)
        return add_owned_part(word, type, NULL, file);
    char *copy = memory_string(text);
    return copy ? add_owned_part(word, type, copy, 0) : -ENOMEM;
}

/* Makes one argument each for several things. */
static bool part_is_several(const spile_program *program, const struct part *part) {
    return part->type == SPILE_PART_VALUES || (part->type == SPILE_PART_FILE && program->files[part->file].is_pattern);
}

static bool part_is_valid(const spile_program *program, const struct part *part) {
    if (part->type != SPILE_PART_FILE)
        return true;
    if (part->file >= program->file_count)
        return false;
    const struct file *file = &program->files[part->file];
    if (file->flags & SPILE_FILE_SIDE)
        return false;
    return !(file->is_pattern && file->role == SPILE_WRITE); /* nothing matches before the program has run */
}

static bool parts_are_valid(const spile_program *program, const struct word *word, bool may_be_several) {
    for (size_t i = 0; i < word->part_count; i++) {
        if (!part_is_valid(program, &word->parts[i]))
            return false;
        if (part_is_several(program, &word->parts[i]) && (word->part_count > 1 || !may_be_several))
            return false;
    }
    return true;
}

/* No word is without a part: an empty one holds an empty text. */
static int fill_empty(struct word *word) {
    return word->part_count ? 0 : word_add_text(word, "", 0);
}

int program_take_word(spile_program *program, struct word *word) {
    if (!parts_are_valid(program, word, program->word_count > 0))
        return -EINVAL;
    int result = fill_empty(word);
    if (result < 0)
        return result;
    result = ARRAY_RESERVE(program->words, program->word_count, program->word_capacity);
    if (result < 0)
        return result;
    program->words[program->word_count++] = TAKE(*word, (struct word){.offset = -1});
    return 0;
}

int program_take_variable(spile_program *program, const char *name, struct word *word) {
    if (!*name || strpbrk(name, VARIABLE_END) || !parts_are_valid(program, word, false))
        return -EINVAL;
    int result = fill_empty(word);
    if (result < 0)
        return result;
    for (size_t i = 0; i < program->variable_count; i++) {
        if (strcmp(program->variables[i].name, name) == 0) {
            word_done(&program->variables[i].value);
            program->variables[i].value = TAKE(*word, (struct word){.offset = -1});
            return 0;
        }
    }
    result = ARRAY_RESERVE(program->variables, program->variable_count, program->variable_capacity);
    if (result < 0)
        return result;
    char *copy = memory_string(name);
    if (!copy)
        return -ENOMEM;
    program->variables[program->variable_count++] = (struct variable){
        .name = copy, .value = TAKE(*word, (struct word){.offset = -1})};
    return 0;
}

static int copy_part(struct word *word, const spile_part *part) {
    switch (part->type) {
    case SPILE_PART_TEXT:
        return part->text ? word_add_text(word, part->text, strlen(part->text)) : -EINVAL;
    case SPILE_PART_FILE:
        return word_add_part(word, part->type, NULL, part->file);
    case SPILE_PART_VALUE:
    case SPILE_PART_VALUES:
        return part->text && *part->text ? word_add_part(word, part->type, part->text, 0) : -EINVAL;
    }
    return -EINVAL;
}

static int copy_parts(struct word *word, const spile_part *parts, size_t count) {
    if (count && !parts)
        return -EINVAL;
    for (size_t i = 0; i < count; i++) {
        int result = copy_part(word, &parts[i]);
        if (result < 0)
            return result;
    }
    return 0;
}

int program_add_word(spile_program *program, const spile_part *parts, size_t count, ssize_t offset) {
    CLEANUP(word_done) struct word word = {.offset = offset};
    int result = copy_parts(&word, parts, count);
    return result < 0 ? result : program_take_word(program, &word);
}

int spile_program_add_word(spile_program *program, const spile_part *parts, size_t count) {
    return program ? program_add_word(program, parts, count, -1) : -EINVAL;
}

int spile_program_add_text(spile_program *program, const char *text) {
    const spile_part part = {.type = SPILE_PART_TEXT, .text = text};
    return spile_program_add_word(program, &part, 1);
}

int spile_program_add_variable(spile_program *program, const char *name, const spile_part *parts, size_t count) {
    if (!program || !name)
        return -EINVAL;
    CLEANUP(word_done) struct word word = {.offset = -1};
    int result = copy_parts(&word, parts, count);
    return result < 0 ? result : program_take_variable(program, name, &word);
}

/* ------------------------------------------------------------------------------------- standard streams */

static bool role_fits(spile_role role, int stdio_fd) {
    if (stdio_fd == STDIN_FILENO)
        return role == SPILE_READ || role == SPILE_CHANGE;
    return role == SPILE_WRITE || role == SPILE_APPEND;
}

int spile_program_tie(spile_program *program, int stdio_fd, size_t file) {
    if (!program || stdio_fd < STDIN_FILENO || stdio_fd > STDERR_FILENO || file >= program->file_count)
        return -EINVAL;
    const struct file *tied = &program->files[file];
    if (tied->is_pattern || tied->is_tree || (tied->flags & SPILE_FILE_SIDE) || !role_fits(tied->role, stdio_fd))
        return -EINVAL;
    if (program->tied[stdio_fd] >= 0 || (stdio_fd == STDERR_FILENO && program->merge_stderr))
        return -EINVAL;
    /* Opened twice, each would overwrite the other; appending is fine. */
    for (int other = STDOUT_FILENO; other <= STDERR_FILENO; other++)
        if (program->tied[other] == (ssize_t)file && tied->role == SPILE_WRITE)
            return -EINVAL;
    program->tied[stdio_fd] = (ssize_t)file;
    return 0;
}

int spile_program_merge_stderr(spile_program *program) {
    if (!program || program->tied[STDERR_FILENO] >= 0)
        return -EINVAL;
    program->merge_stderr = true;
    return 0;
}
