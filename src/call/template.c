/* The template language of DESIGN: text in, programs out; see template.h.
 *
 * Reads commands, words and quoting, as a shell does, in one pass and without looking back. What a shell would act on
 * and this language does not is an error that names its cure, never an argument. A vector (words that are already
 * split) is first written as a template, so that its errors have a text to point into, and then read by the same code,
 * word by word. Must never look at a file, a plan or the environment.
 */
#include "call/template_parser.h"

#define EMPTY_MESSAGE "the template is empty\nwrite a command with its files marked: 'sort {<in} -o {>out}'"
#define UNQUOTED_MESSAGE "the template was not quoted for your shell\nwrite it in single quotes: 'sort {<in} -o {>out}'"

/* ---------------------------------------------------------------------------------------------- the parser */

static void open_word_done(struct open_word *word) {
    word_done(&word->word);
    text_done(&word->literal);
    free(word->variable);
    *word = (struct open_word){.word.offset = -1, .value_offset = -1, .bracket = -1};
}

static void parser_done(struct parser *parser) {
    open_word_done(&parser->word);
    for (size_t i = 0; i < parser->program_count; i++)
        spile_program_free(parser->programs[i]);
    free(parser->programs);
    free(parser->value_offsets);
}

/* `bar_offset`: of the bar before it, or -1. */
static int begin_program(struct parser *parser, ssize_t bar_offset) {
    int result = ARRAY_RESERVE(parser->programs, parser->program_count, parser->program_capacity);
    if (result < 0)
        return result;
    result = spile_program_new(parser->options, &parser->programs[parser->program_count]);
    if (result == -EINVAL)
        return error_set(parser->ret_error, SPILE_ERROR_USAGE, EINVAL, "the program's options are not valid");
    if (result < 0)
        return result;
    parser->program_count++;
    parser->bar_offset = bar_offset;
    parser->has_begun = false;
    parser->merge_offset = -1;
    spile_program *program = parser_program(parser);
    program->template = memory_string(parser->text);
    return program->template ? 0 : -ENOMEM;
}

/* ------------------------------------------------------------------------------------------------ words */

static int end_variable(struct parser *parser) {
    struct open_word *word = &parser->word;
    if (word->alone)
        return parser_fail(parser, word->alone_offset,
                           "%s can't be the value of a variable\nuse marks of one file or one value here", word->alone);
    return program_take_variable(parser_program(parser), word->variable, &word->word);
}

static int check_program_name(struct parser *parser) {
    const struct open_word *word = &parser->word;
    if (word->is_several)
        return parser_fail(parser, word->alone_offset,
                           "%s can't be the program\nname the program first, or use {name} or {<name}", word->alone);
    if (word->word.part_count == 0)
        return parser_fail(parser, (size_t)word->word.offset, "the program's name is empty\nname the program first");
    return 0;
}

static int end_word(struct parser *parser) {
    struct open_word *word = &parser->word;
    int result = parser_flush(parser);
    if (result < 0)
        return result;
    if (word->alone && word->word.part_count + word->side_count > 1)
        return parser_fail(parser, word->alone_offset, "%s must be a word of its own\nput a blank on each side of it",
                           word->alone);
    if (word->variable)
        return end_variable(parser);
    if (word->side_count)
        return 0;
    spile_program *program = parser_program(parser);
    if (program->word_count == 0) {
        result = check_program_name(parser);
        if (result < 0)
            return result;
    }
    result = ARRAY_RESERVE(parser->value_offsets, program->word_count, parser->value_capacity);
    if (result < 0)
        return result;
    parser->value_offsets[program->word_count] = word->value_offset;
    return program_take_word(program, &word->word);
}

static void add_literal(struct parser *parser, size_t size) {
    text_add(&parser->word.literal, parser->text + parser->position, size);
    parser->position += size;
}

/* At '{' or '}', in a bare word or in double quotes. */
static int read_brace(struct parser *parser) {
    char brace = parser_peek(parser, 0);
    if (parser_peek(parser, 1) == brace) {
        parser->position++;
        add_literal(parser, 1);
        return 0;
    }
    if (brace == '{')
        return parser_read_mark(parser);
    return parser_fail(parser, parser->position, "this '}' closes no mark\nwrite }} for a literal brace");
}

/* At a '$'. */
static int read_dollar(struct parser *parser, bool in_quotes) {
    char next = parser_peek(parser, 1);
    size_t name = parser_identifier(parser, parser->position + 1);
    if (name)
        return parser_fail(parser, parser->position,
                           "'$%.*s' is not expanded: there is no shell\n"
                           "write {%.*s} and give it as a value, or make it literal: '$%.*s' in single quotes, or \\$",
                           (int)name, parser->text + parser->position + 1, (int)name,
                           parser->text + parser->position + 1, (int)name, parser->text + parser->position + 1);
    bool expands = next && (is_digit(next) || strchr("{(@*#?-$!", next));
    if (expands || (!in_quotes && (next == '\'' || next == '"')))
        return parser_fail(parser, parser->position,
                           "'$%c' is not expanded: there is no shell\n"
                           "write a value mark, {name}, or make it literal by single quotes or \\$",
                           next);
    add_literal(parser, 1);
    return 0;
}

static int fail_backtick(struct parser *parser) {
    return parser_fail(parser, parser->position,
                       "a backtick runs nothing: there is no shell\n"
                       "write a value mark, {name}, or make it literal by single quotes or \\`");
}

static int read_single_quotes(struct parser *parser) {
    const char *start = parser->text + parser->position + 1, *end = strchr(start, '\'');
    if (!end)
        return parser_fail(parser, parser->position, "this single quote is not closed\nclose it with '");
    parser->position++;
    add_literal(parser, (size_t)(end - start));
    parser->position++;
    return 0;
}

static void read_quoted_backslash(struct parser *parser) {
    char next = parser_peek(parser, 1);
    if (next == '\n') {
        parser->position += 2;
        return;
    }
    if (next && strchr("$`\"\\", next))
        parser->position++;
    add_literal(parser, 1);
}

/* Reads up to a closing quote or the limit. */
static int read_quoted(struct parser *parser) {
    int result = 0;
    while (result == 0 && parser->position < parser->limit) {
        switch (parser_peek(parser, 0)) {
        case '"':
            return 0;
        case '\\':
            read_quoted_backslash(parser);
            break;
        case '{':
        case '}':
            result = read_brace(parser);
            break;
        case '$':
            result = read_dollar(parser, true);
            break;
        case '`':
            result = fail_backtick(parser);
            break;
        default:
            add_literal(parser, 1);
        }
    }
    return result;
}

static int read_double_quotes(struct parser *parser) {
    size_t start = parser->position++;
    int result = read_quoted(parser);
    if (result < 0)
        return result;
    if (parser->position >= parser->limit)
        return parser_fail(parser, start, "this double quote is not closed\nclose it with \"");
    parser->position++;
    return 0;
}

static int read_backslash(struct parser *parser) {
    char next = parser_peek(parser, 1);
    if (!next)
        return parser_fail(parser, parser->position,
                           "this backslash stands before nothing\nwrite \\\\ for a backslash");
    parser->position++;
    if (next == '\n')
        parser->position++;
    else
        add_literal(parser, 1);
    return 0;
}

/* What a shell acts on and a template does not. */
static int check_character(struct parser *parser) {
    static const struct {
        const char *text;
        bool begins_word; /* it means something only there */
        const char *message;
    } operators[] = {
        {"&&", false,
         "'&&' is a shell's\ngive each command as a template of its own (one that reads what another "
         "writes waits for it), or quote it: '&&'"},
        {"&>", false, "'&>' is a shell's\nwrite >{name} 2>&1"},
        {"&", false,
         "'&' is a shell's\ngive each command as a template of its own (they run side by side where they "
         "can), or quote it: '&'"},
        {";", false, "';' is a shell's\ngive each command as a template of its own, or quote it: ';'"},
        {"(", false, "'(' is a shell's\nquote it: '('"},
        {")", false, "')' is a shell's\nquote it: ')'"},
        {"*", false,
         "'*' would be expanded by a shell\nwrite a pattern, {<*.c}, as a word of its own, or quote it: "
         "'*'"},
        {"?", false,
         "'?' would be expanded by a shell\nwrite a pattern, {<a?.c}, as a word of its own, or quote it: "
         "'?'"},
        {"<", false, "'<' stands inside a word\nput a blank before <{name}, or quote it: '<'"},
        {">", false, "'>' stands inside a word\nput a blank before >{name}, or quote it: '>'"},
        {"~", true, "'~' would be expanded by a shell\nwrite the directory's path, or quote it: '~'"},
        {"#", true, "'#' begins a comment in a shell\ndrop the comment, or quote it: '#'"},
        {"\r", false, "a carriage return stands here\nend lines with a newline only, or quote it"},
    };
    bool begins_word = (size_t)parser->word.word.offset == parser->position;
    for (size_t i = 0; i < ARRAY_SIZE(operators); i++) {
        if (strncmp(parser->text + parser->position, operators[i].text, strlen(operators[i].text)) != 0)
            continue;
        if (begins_word || !operators[i].begins_word)
            return parser_fail(parser, parser->position, "%s", operators[i].message);
    }
    return 0;
}

/* [...] is a pattern of a shell only when it is closed, and not empty: `[` alone is a program. */
static int check_bracket(struct parser *parser) {
    struct open_word *word = &parser->word;
    char character = parser_peek(parser, 0);
    if (character == '[' && word->bracket < 0)
        word->bracket = (ssize_t)parser->position;
    if (character == ']' && word->bracket >= 0 && parser->position > (size_t)word->bracket + 1)
        return parser_fail(parser, (size_t)word->bracket,
                           "'[...]' would be expanded by a shell\n"
                           "write a pattern, {<[ab].c}, as a word of its own, or quote it: '[...]'");
    return 0;
}

static int read_bare(struct parser *parser) {
    int result = check_character(parser);
    if (result == 0)
        result = check_bracket(parser);
    if (result == 0)
        add_literal(parser, 1);
    return result;
}

static int read_word_piece(struct parser *parser) {
    switch (parser_peek(parser, 0)) {
    case '\'':
        return read_single_quotes(parser);
    case '"':
        return read_double_quotes(parser);
    case '\\':
        return read_backslash(parser);
    case '{':
    case '}':
        return read_brace(parser);
    case '$':
        return read_dollar(parser, false);
    case '`':
        return fail_backtick(parser);
    default:
        return read_bare(parser);
    }
}

/* NAME= before the program's name; leaves the position behind it. */
static int read_assignment(struct parser *parser) {
    size_t size = parser_identifier(parser, parser->position);
    if (parser_program(parser)->word_count || !size || parser_peek(parser, size) != '=')
        return 0;
    AUTO_TEXT name = {0};
    text_add(&name, parser->text + parser->position, size);
    parser->word.variable = text_take(&name);
    if (!parser->word.variable)
        return -ENOMEM;
    parser->position += size + 1;
    if (parser_peek(parser, 0) == '~')
        parser->word.word.offset = (ssize_t)parser->position; /* is expanded here, too: read_bare refuses it */
    return 0;
}

static int read_word(struct parser *parser) {
    open_word_done(&parser->word);
    parser->word.word.offset = (ssize_t)parser->position;
    ssize_t digits = parser_stream_digits(parser);
    if (digits >= 0)
        return parser_read_stream(parser, (size_t)digits);
    int result = read_assignment(parser);
    while (result == 0 && !is_word_end(parser_peek(parser, 0)))
        result = read_word_piece(parser);
    return result < 0 ? result : end_word(parser);
}

/* --------------------------------------------------------------------------------------------- commands */

static int end_program(struct parser *parser) {
    spile_program *program = parser_program(parser);
    if (program->word_count == 0 && parser->has_begun)
        return parser_fail(parser, program->text_start,
                           "this command names no program\nwrite the program's name after its variables");
    if (program->word_count == 0 && parser->position < parser->limit)
        return parser_fail(parser, parser->position, "no command stands before this bar\nwrite one, or drop the bar");
    if (program->word_count == 0 && parser->bar_offset >= 0)
        return parser_fail(parser, (size_t)parser->bar_offset,
                           "no command stands after this bar\nwrite one, or drop the bar");
    if (program->word_count == 0)
        return parser_fail(parser, 0, EMPTY_MESSAGE);
    return parser_check_shell(parser);
}

/* At an unquoted bar. */
static int read_bar(struct parser *parser) {
    if (parser_peek(parser, 1) == '|')
        return parser_fail(parser, parser->position,
                           "'||' is a shell's\nwrite one bar to join two programs, or quote it: '||'");
    if (parser_peek(parser, 1) == '&')
        return parser_fail(parser, parser->position, "'|&' is a shell's\nwrite 2>&1 |");
    int result = end_program(parser);
    if (result < 0)
        return result;
    const spile_program *program = parser_program(parser);
    if (program->tied[STDOUT_FILENO] >= 0)
        return parser_fail(parser, parser->position,
                           "standard output is tied twice: to '%s' and to the bar\ndrop one of the two",
                           program->files[program->tied[STDOUT_FILENO]].name);
    return begin_program(parser, (ssize_t)parser->position++);
}

static bool is_rest_blank(const struct parser *parser) {
    return parser->text[parser->position + strspn(parser->text + parser->position, " \t\n")] == '\0';
}

/* Blanks, newlines around the whole, and backslash-newline anywhere. */
static int skip_blanks(struct parser *parser) {
    for (;;) {
        char character = parser_peek(parser, 0);
        if (is_blank(character)) {
            parser->position++;
        } else if (character == '\\' && parser_peek(parser, 1) == '\n') {
            parser->position += 2;
        } else if (character != '\n') {
            return 0;
        } else {
            bool is_leading = parser->program_count == 1 && !parser->has_begun;
            if (!is_leading && !is_rest_blank(parser))
                return parser_fail(parser, parser->position,
                                   "a newline ends a command in a shell\n"
                                   "one template a command; to go on in the next line, end this one with a backslash");
            parser->position++;
        }
    }
}

static int read_template(struct parser *parser) {
    const char *text = parser->text + strspn(parser->text, " \t\n");
    if (text[0] == '{' && !text[1 + strspn(text + 1, " \t\n")])
        return parser_fail(parser, (size_t)(text - parser->text), UNQUOTED_MESSAGE);
    int result = begin_program(parser, -1);
    while (result == 0) {
        result = skip_blanks(parser);
        if (result < 0)
            break;
        if (parser->position == parser->limit)
            return end_program(parser);
        if (parser_peek(parser, 0) == '|') {
            result = read_bar(parser);
            continue;
        }
        spile_program *program = parser_program(parser);
        if (!parser->has_begun)
            program->text_start = parser->position;
        parser->has_begun = true;
        result = read_word(parser);
        program->text_end = parser->position;
    }
    return result;
}

/* Every failure carries an error, a lack of memory too. */
static int parser_result(struct parser *parser, int result) {
    if (result == -ENOMEM)
        return error_set(parser->ret_error, SPILE_ERROR_SYSTEM, ENOMEM, "out of memory");
    return result;
}

int template_parse(const char *text, const spile_program_options *options, spile_program ***ret_programs,
                   size_t *ret_count, spile_error **ret_error) {
    if (!text || !ret_programs || !ret_count)
        return error_set(ret_error, SPILE_ERROR_USAGE, EINVAL, "no template was given");
    CLEANUP(parser_done)
    struct parser parser = {.text = text, .limit = strlen(text), .options = options, .ret_error = ret_error};
    int result = parser_result(&parser, read_template(&parser));
    if (result < 0)
        return result;
    *ret_count = TAKE(parser.program_count, 0);
    *ret_programs = TAKE_POINTER(parser.programs);
    return 0;
}

/* ---------------------------------------------------------------------------------------------- vectors */

/* How long the mark is that begins here; 0 where it has no end. */
static size_t mark_size(const char *text) {
    if (!begins_file_mark(text)) {
        const char *end = strchr(text, '}');
        return end ? (size_t)(end - text) + 1 : 0;
    }
    for (const char *place = text + 1; *place; place++) {
        if (place[0] == '}' && place[1] != '}')
            return (size_t)(place - text) + 1;
        if (place[0] == '}' || (place[0] == '{' && place[1] == '{'))
            place++;
    }
    return 0;
}

/* How much from here on reads the same bare, in double quotes and in a vector: a mark, a doubled brace, or a character
 * that means nothing. 0: none of them. */
static size_t plain_size(const char *text) {
    if (text[0] == '{' && text[1] != '{')
        return mark_size(text);
    if (text[0] == '{' || (text[0] == '}' && text[1] == '}'))
        return 2;
    return is_name_start(text[0]) || is_digit(text[0]) || strchr("_./:@%+,-", text[0]) ? 1 : 0;
}

static bool is_plain(const char *word) {
    size_t size = 1;
    const char *place = word;
    for (; *place && size; place += size)
        size = plain_size(place);
    return *word && size && !*place;
}

struct span {
    size_t start, end;
};

/* Writes a word as a template has it: in double quotes where it needs any. */
static struct span write_word(struct text *text, const char *word) {
    const char *quote = is_plain(word) ? "" : "\"";
    text_puts(text, text->size ? " " : "");
    text_puts(text, quote);
    struct span span = {.start = text->size};
    for (const char *place = word; *place;) {
        size_t size = MAX(plain_size(place), (size_t)1);
        if (*place == '{' && plain_size(place) == 0)
            size = strlen(place); /* a mark without an end: is shown as it is, and refused */
        else if (strchr("$`\"\\", *place))
            text_puts(text, "\\");
        text_add(text, place, size);
        place += size;
    }
    span.end = text->size;
    text_puts(text, quote);
    return span;
}

static int read_vector(struct parser *parser, const char *const *words, const struct span *spans, size_t count) {
    int result = begin_program(parser, -1);
    if (result < 0)
        return result;
    spile_program *program = parser_program(parser);
    program->text_end = parser->limit;
    for (size_t i = 0; i < count; i++) {
        parser->position = spans[i].start;
        parser->limit = spans[i].end;
        parser->has_begun = true;
        if (strcmp(words[i], "{") == 0)
            return parser_fail(parser, parser->position, UNQUOTED_MESSAGE);
        open_word_done(&parser->word);
        parser->word.word.offset = (ssize_t)parser->position;
        result = read_quoted(parser);
        if (result == 0)
            result = end_word(parser);
        if (result < 0)
            return result;
    }
    return end_program(parser);
}

int template_parse_vector(const char *const *words, size_t count, const spile_program_options *options,
                          spile_program **ret_program, spile_error **ret_error) {
    for (size_t i = 0; i < count; i++)
        if (!words || !words[i])
            return error_set(ret_error, SPILE_ERROR_USAGE, EINVAL, "word %zu of the command is missing", i);
    if (!ret_program)
        return error_set(ret_error, SPILE_ERROR_USAGE, EINVAL, "there is no place for the program");
    AUTO_TEXT text = {0};
    AUTO_FREE struct span *spans = memory_zero(count + 1, sizeof(*spans));
    for (size_t i = 0; spans && i < count; i++)
        spans[i] = write_word(&text, words[i]);
    text_puts(&text, "");
    CLEANUP(parser_done)
    struct parser parser = {.text = text.data, .limit = text.size, .options = options, .ret_error = ret_error};
    int result = text.failed || !spans ? -ENOMEM : read_vector(&parser, words, spans, count);
    result = parser_result(&parser, result);
    if (result < 0)
        return result;
    *ret_program = TAKE_POINTER(parser.programs[0]);
    return 0;
}
