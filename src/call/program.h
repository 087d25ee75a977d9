/* spile_program: one command as data, without any text of the template language. The template parser and other front
 * ends fill it; a plan takes it over. */
#pragma once

#include "base/error.h"

struct part {
    spile_part_type type;
    char *text;  /* text or a value's name; owned */
    size_t file; /* PART_FILE: index into files */
};

struct word {
    struct part *parts;
    size_t part_count, part_capacity;
    ssize_t offset; /* in the template, or -1 */
};

struct file {
    char *name;
    spile_role role;
    spile_kind kind;
    unsigned flags;
    bool is_pattern, is_tree;
    ssize_t offset; /* of the mark in the template, or -1 */
};

struct variable {
    char *name;
    struct word value;
};

struct spile_program {
    struct word *words;
    size_t word_count, word_capacity;
    struct variable *variables;
    size_t variable_count, variable_capacity;
    struct file *files;
    size_t file_count, file_capacity;
    ssize_t tied[3];             /* file tied to the standard stream, or -1 */
    bool merge_stderr;           /* standard error goes where standard output goes */
    char *template;              /* the whole template it stands in, for messages, or NULL */
    size_t text_start, text_end; /* its part of the template */
    /* options, owned */
    char **env; /* NULL-terminated or NULL */
    int env_mode;
    char *cwd;
    int *ok_status;
    size_t ok_status_count;
    spile_stdio standard_output, standard_error;
};

/* As the public functions, but with the place in the template (-1: none). */
int program_add_file(spile_program *program, const spile_file *file, ssize_t offset);
int program_add_word(spile_program *program, const spile_part *parts, size_t count, ssize_t offset);
/* Takes the word over where it succeeds. program_take_variable replaces an earlier value of the name, as a shell does.
 */
int program_take_word(spile_program *program, struct word *word);
int program_take_variable(spile_program *program, const char *name, struct word *word);
int word_add_text(struct word *word, const char *text, size_t size);
int word_add_part(struct word *word, spile_part_type type, const char *text, size_t file);
void word_done(struct word *word);

/* A name is one file of a program, however often it is mentioned. Whether a second mention goes with the first: */
enum file_conflict {
    FILE_AGREES = 0,
    FILE_STREAM_AND_SEEKABLE,
    FILE_READ_AND_WRITTEN,
    FILE_WRITTEN_AND_CHANGED,
    FILE_APPENDED_AND_USED,
};
enum file_conflict program_file_conflict(const spile_program *program, const spile_file *file);

/* Whether a file's name is one that may be used: relative, not climbing out, no empty or "." component, not longer than
 * the system takes. Returns NULL, or what is wrong with it ("climbs out of its directory"). */
const char *program_name_fault(const char *name);
bool name_is_pattern(const char *name);
bool name_is_tree(const char *name);
