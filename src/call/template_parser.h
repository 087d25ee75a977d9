/* What the files of the template parser share: one parser, which lives as long as one template_parse.
 *
 * template.c reads commands, words and quoting; template_mark.c reads {...} and standard streams; template_shell.c
 * checks `sh -c`; template_error.c shows what is wrong. Every function returns 0 or a negative errno; -EINVAL only ever
 * comes from parser_fail, which made the error.
 */
#pragma once

#include "call/template.h"

/* The word being read. */
struct open_word {
    struct word word;
    struct text literal;  /* text that is not yet a part */
    size_t side_count;    /* side files: they leave no part */
    const char *alone;    /* what a mark is that must be the whole word ("a list of values"), or NULL */
    size_t alone_offset;  /* where it stands */
    bool is_several;      /* it becomes any number of arguments */
    ssize_t value_offset; /* of the first value mark, or -1 */
    char *variable;       /* an assignment's name, or NULL */
    ssize_t bracket;      /* of the first unquoted '[', or -1 */
};

struct parser {
    const char *text;
    size_t position, limit; /* reads text[position] up to text[limit] */
    const spile_program_options *options;
    spile_program **programs; /* the last one is being read */
    size_t program_count, program_capacity;
    struct open_word word;
    ssize_t *value_offsets; /* of the first value mark of each word of this program, or -1 */
    size_t value_capacity;
    ssize_t bar_offset;   /* of the bar this program reads from, or -1 */
    bool has_begun;       /* something of this program was read */
    ssize_t merge_offset; /* of its 2>&1, or -1 */
    spile_error **ret_error;
};

static inline char parser_at(const struct parser *parser, size_t position) {
    return position < parser->limit ? parser->text[position] : '\0';
}
static inline char parser_peek(const struct parser *parser, size_t ahead) {
    return parser_at(parser, parser->position + ahead);
}
static inline bool is_blank(char character) {
    return character == ' ' || character == '\t';
}
static inline bool is_name_start(char character) {
    return (character >= 'a' && character <= 'z') || (character >= 'A' && character <= 'Z') || character == '_';
}
static inline bool is_digit(char character) {
    return character >= '0' && character <= '9';
}
/* Nothing of a word can follow: a blank, a newline, a bar, the end. */
static inline bool is_word_end(char character) {
    return !character || is_blank(character) || character == '\n' || character == '|';
}
static inline spile_program *parser_program(const struct parser *parser) {
    return parser->programs[parser->program_count - 1];
}
/* Whether "{+<", "{<" or "{>" stands here: the name in such a mark may hold doubled braces, that of a value can't. */
static inline bool begins_file_mark(const char *text) {
    const char *sign = text + 1 + (text[1] == '+');
    return *sign == '<' || *sign == '>';
}
/* How many bytes from `position` on make an identifier. */
size_t parser_identifier(const struct parser *parser, size_t position);

/* Makes the error "summary\n...cure" (one format; its first newline parts the two) about the place `offset`. */
int parser_fail(struct parser *parser, size_t offset, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Ends the literal text before a mark. */
int parser_flush(struct parser *parser);
/* At a '{' that is no '{{': reads the mark into the open word. */
int parser_read_mark(struct parser *parser);
/* How many digits stand before a '<' or '>' that makes this word a standard stream; -1: it is an ordinary word. */
ssize_t parser_stream_digits(const struct parser *parser);
/* Reads a word such as 2>{x} or 2>&1. */
int parser_read_stream(struct parser *parser, size_t digits);
/* Refuses a value inside the script of `sh -c`. */
int parser_check_shell(struct parser *parser);
