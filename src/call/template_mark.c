/* The marks of a template: {...} in words, and the words that tie standard streams, such as 2>{x}.
 *
 * Inside a mark nothing is quoted: the name is everything up to '}'. Each mark is checked here against everything that
 * can be known from one program alone, because here is still known where it stands.
 */
#include "call/template_parser.h"

#define MARKS "marks are {<read} {>written} {<>changed} {+<side file} {value} {list...}; a literal brace is {{"

/* A mark that names a file. */
struct mark {
    size_t start, name_start, end; /* text[start] to text[name_start] is its sign, such as "{+<" or "2>{" */
    struct text name;
    spile_role role;
    bool is_stream, is_side;
    bool is_tie; /* the name stands in a word such as >{x} */
};

static void mark_done(struct mark *mark) {
    text_done(&mark->name);
}

/* For "%.*s": the sign as it was written. */
#define SIGN(parser, mark) (int)((mark)->name_start - (mark)->start), (parser)->text + (mark)->start

size_t parser_identifier(const struct parser *parser, size_t position) {
    size_t size = 0;
    if (!is_name_start(parser_at(parser, position)))
        return 0;
    while (is_name_start(parser_at(parser, position + size)) || is_digit(parser_at(parser, position + size)))
        size++;
    return size;
}

int parser_flush(struct parser *parser) {
    struct text *literal = &parser->word.literal;
    if (literal->failed)
        return -ENOMEM;
    if (literal->size == 0)
        return 0;
    int result = word_add_text(&parser->word.word, literal->data, literal->size);
    text_done(literal);
    return result;
}

/* ------------------------------------------------------------------------------------------------ names */

/* Reads from mark->name_start to behind the closing brace. */
static int read_name(struct parser *parser, struct mark *mark) {
    for (size_t place = mark->name_start;;) {
        char character = parser_at(parser, place), next = parser_at(parser, place + 1);
        if (!character || character == '\n')
            return parser_fail(parser, mark->start, "this mark has no end\nclose it: %.*sname}", SIGN(parser, mark));
        if (character == '{' && next != '{')
            return parser_fail(
                parser, place,
                "a '{' stands inside a mark\nclose the mark before it with '}', or write {{ for a brace");
        if (character == '}' && next != '}') {
            mark->end = place + 1;
            text_add(&mark->name, "", 0);
            if (mark->name.failed)
                return -ENOMEM;
            if (mark->is_stream)
                mark->name.data[--mark->name.size] = '\0'; /* its bar */
            return 0;
        }
        mark->is_stream = character == '|';
        text_add(&mark->name, &character, 1);
        place += character == '{' || character == '}' ? 2 : 1;
    }
}

/* What the caller should have written instead of a name with a fault: without what climbs, and of an absolute name, or
 * one that climbs, the last component only. */
static char *better_name(const char *name) {
    AUTO_TEXT better = {0};
    bool last_only = *name == '/' || strcmp(program_name_fault(name), "climbs out of its directory") == 0;
    for (const char *place = name; *place;) {
        size_t size = strcspn(place, "/");
        bool is_dots = strspn(place, ".") == size && size <= 2; /* the empty component, too */
        if (!is_dots) {
            if (last_only)
                better.size = 0;
            text_printf(&better, "%s%.*s", better.size ? "/" : "", (int)size, place);
        }
        place += size + (place[size] == '/');
    }
    if (better.size == 0)
        text_puts(&better, "name");
    if (name_is_tree(name))
        text_puts(&better, "/");
    return text_take(&better);
}

static int check_name(struct parser *parser, const struct mark *mark) {
    const char *name = mark->name.data;
    assert(name); /* read_name saw to it */
    if (!*name)
        return parser_fail(parser, mark->start, "this mark has no name\nwrite the file's name into it: %.*sname}",
                           SIGN(parser, mark));
    size_t leading = strspn(name, " \t"), end = mark->name.size;
    while (end > leading && is_blank(name[end - 1]))
        end--;
    if (leading || end < mark->name.size)
        return parser_fail(parser, mark->start, "the name '%s' begins or ends with a blank\nwrite %.*s%.*s}", name,
                           SIGN(parser, mark), (int)(end - leading), name + leading);
    const char *fault = program_name_fault(name);
    if (!fault)
        return 0;
    if (strstr(fault, "too long"))
        return parser_fail(parser, mark->start, "the name '%.60s…' %s\nshorten it", name, fault);
    AUTO_FREE char *better = better_name(name);
    if (!better)
        return -ENOMEM;
    if (strstr(fault, "component"))
        return parser_fail(parser, mark->start, "'%s' %s\nwrite %.*s%s}", name, fault, SIGN(parser, mark), better);
    return parser_fail(parser, mark->start, "'%s' %s\nwrite %.*s%s} and %s with %s=%s", name, fault, SIGN(parser, mark),
                       better, mark->role == SPILE_READ ? "give it" : "say where it is", better, name);
}

/* ------------------------------------------------------------------------------------------------ files */

static int check_stream(struct parser *parser, const struct mark *mark) {
    const char *name = mark->name.data;
    if (name_is_pattern(name))
        return parser_fail(parser, mark->start, "the pattern '%s' can't be a stream\ndrop the bar: %.*s%s}", name,
                           SIGN(parser, mark), name);
    if (name_is_tree(name))
        return parser_fail(parser, mark->start, "the tree '%s' can't be a stream\ndrop the bar: %.*s%s}", name,
                           SIGN(parser, mark), name);
    if (mark->role == SPILE_CHANGE)
        return parser_fail(parser, mark->start, "'%s' can't be changed in place as a stream\ndrop the bar: %.*s%s}",
                           name, SIGN(parser, mark), name);
    if (mark->role == SPILE_APPEND)
        return parser_fail(parser, mark->start,
                           "'%s' can't be a stream that is appended to\nwrite >{%s|} for a stream, or drop the bar",
                           name, name);
    return 0;
}

static int check_kind(struct parser *parser, const struct mark *mark) {
    const char *name = mark->name.data;
    bool is_pattern = name_is_pattern(name), is_tree = name_is_tree(name);
    if (is_pattern && is_tree)
        return parser_fail(parser, mark->start, "'%s' is a pattern and a tree\nwrite %.*s%s**} for all that is in them",
                           name, SIGN(parser, mark), name);
    if (mark->is_tie && is_pattern)
        return parser_fail(parser, mark->start,
                           "a standard stream can't be tied to the pattern '%s'\nname one file: %.*sname}", name,
                           SIGN(parser, mark));
    if (mark->is_tie && is_tree)
        return parser_fail(parser, mark->start,
                           "a standard stream can't be tied to the tree '%s'\nname one file: %.*sname}", name,
                           SIGN(parser, mark));
    if (is_pattern && mark->role == SPILE_WRITE && !mark->is_side)
        return parser_fail(parser, mark->start,
                           "what '%s' matches is not known before the program has run\n"
                           "make it a side file, which is not an argument: {+>%s}",
                           name, name);
    return mark->is_stream ? check_stream(parser, mark) : 0;
}

static int check_conflict(struct parser *parser, const struct mark *mark, const spile_file *file) {
    const char *name = file->name;
    switch (program_file_conflict(parser_program(parser), file)) {
    case FILE_AGREES:
        return 0;
    case FILE_STREAM_AND_SEEKABLE:
        return parser_fail(parser, mark->start,
                           "'%s' is a stream in one mark and none in another\n"
                           "write the bar in all marks of '%s', or in none",
                           name, name);
    case FILE_READ_AND_WRITTEN:
        return parser_fail(parser, mark->start,
                           "'%s' is read and written by one program\n"
                           "write {<>%s} if it is changed in place, or give one of the two another name",
                           name, name);
    case FILE_WRITTEN_AND_CHANGED:
        return parser_fail(parser, mark->start,
                           "'%s' is written and changed in place by one program\n"
                           "write {<>%s} everywhere, or give one of the two another name",
                           name, name);
    case FILE_APPENDED_AND_USED:
        return parser_fail(parser, mark->start,
                           "'%s' is appended to and used otherwise by one program\n"
                           "give one of the two another name",
                           name);
    }
    return 0;
}

/* Checks the file of a mark and declares it; returns its number. */
static int declare_file(struct parser *parser, const struct mark *mark) {
    int result = check_name(parser, mark);
    if (result < 0)
        return result;
    result = check_kind(parser, mark);
    if (result < 0)
        return result;
    const spile_file file = {
        .size = sizeof(file),
        .name = mark->name.data,
        .role = mark->role,
        .kind = mark->is_stream ? SPILE_STREAM : SPILE_SEEKABLE,
        .flags = mark->is_side ? SPILE_FILE_SIDE : 0,
    };
    result = check_conflict(parser, mark, &file);
    if (result < 0)
        return result;
    return program_add_file(parser_program(parser), &file, (ssize_t)mark->start);
}

/* --------------------------------------------------------------------------------------- marks in a word */

static void mark_alone(struct parser *parser, const char *what, size_t offset) {
    if (parser->word.alone)
        return;
    parser->word.alone = what;
    parser->word.alone_offset = offset;
}

static int read_file_mark(struct parser *parser, struct mark *mark) {
    char first = parser_at(parser, mark->name_start);
    if (first == '<' || first == '>')
        return parser_fail(parser, mark->start,
                           "'%.*s%c' starts no mark\n" MARKS "; to append standard output, write >>{name}",
                           SIGN(parser, mark), first);
    int result = read_name(parser, mark);
    if (result < 0)
        return result;
    result = declare_file(parser, mark);
    if (result < 0)
        return result;
    if (mark->is_side) {
        parser->word.side_count++;
        mark_alone(parser, "a side file", mark->start);
    } else {
        if (name_is_pattern(mark->name.data)) {
            parser->word.is_several = true;
            mark_alone(parser, "a pattern", mark->start);
        }
        result = word_add_part(&parser->word.word, SPILE_PART_FILE, NULL, (size_t)result);
        if (result < 0)
            return result;
    }
    parser->position = mark->end;
    return 0;
}

/* A '{' that is none of our marks: says the likeliest thing that was meant. */
static int fail_no_mark(struct parser *parser) {
    size_t start = parser->position, end = start + 1;
    if (parser_at(parser, end) == '}')
        return parser_fail(parser, start, "'{}' is no mark\nwrite {{}} for two braces; " MARKS);
    size_t name = parser_identifier(parser, end);
    if (name && parser_at(parser, end + name) == '|' && parser_at(parser, end + name + 1) == '}')
        return parser_fail(parser, start,
                           "a value can't be a stream\nwrite {<%.*s|} for a file that is read, {>%.*s|} for one that "
                           "is written",
                           (int)name, parser->text + end, (int)name, parser->text + end);
    size_t size = strcspn(parser->text + end, " \t\n{}|<>\"'");
    if (size && end + size < parser->limit && parser->text[end + size] == '}')
        return parser_fail(parser, start,
                           "'{%.*s}' is no mark\nwrite {<%.*s} for a file that is read, {>%.*s} for one that is "
                           "written; a literal brace is {{",
                           (int)size, parser->text + end, (int)size, parser->text + end, (int)size, parser->text + end);
    return parser_fail(parser, start, "this '{' starts no mark\n" MARKS);
}

static int read_value_mark(struct parser *parser) {
    size_t start = parser->position, size = parser_identifier(parser, start + 1), end = start + 1 + size;
    bool is_list = false;
    if (size && parser_at(parser, end) == '.' && parser_at(parser, end + 1) == '.' &&
        parser_at(parser, end + 2) == '.') {
        is_list = true;
        end += 3;
    }
    if (!size || parser_at(parser, end) != '}')
        return fail_no_mark(parser);
    if (is_list) {
        parser->word.is_several = true;
        mark_alone(parser, "a list of values", start);
    }
    if (parser->word.value_offset < 0)
        parser->word.value_offset = (ssize_t)start;
    AUTO_TEXT name = {0};
    text_add(&name, parser->text + start + 1, size);
    if (name.failed)
        return -ENOMEM;
    parser->position = end + 1;
    return word_add_part(&parser->word.word, is_list ? SPILE_PART_VALUES : SPILE_PART_VALUE, name.data, 0);
}

int parser_read_mark(struct parser *parser) {
    int result = parser_flush(parser);
    if (result < 0)
        return result;
    CLEANUP(mark_done) struct mark mark = {.start = parser->position};
    size_t sign = 1;
    if (parser_peek(parser, sign) == '+') {
        mark.is_side = true;
        sign++;
    }
    if (parser_peek(parser, sign) == '<' && parser_peek(parser, sign + 1) == '>') {
        mark.role = SPILE_CHANGE;
        sign++;
    } else if (parser_peek(parser, sign) == '<') {
        mark.role = SPILE_READ;
    } else if (parser_peek(parser, sign) == '>') {
        mark.role = SPILE_WRITE;
    } else {
        return read_value_mark(parser);
    }
    mark.name_start = mark.start + sign + 1;
    return read_file_mark(parser, &mark);
}

/* ------------------------------------------------------------------------------------- standard streams */

ssize_t parser_stream_digits(const struct parser *parser) {
    size_t digits = 0;
    while (is_digit(parser_peek(parser, digits)))
        digits++;
    char sign = parser_peek(parser, digits);
    return sign == '<' || sign == '>' ? (ssize_t)digits : -1;
}

/* What a shell has beside the words that tie a standard stream to a mark. */
static int check_operator(struct parser *parser, size_t at) {
    static const struct {
        const char *operator, * message;
    } operators[] = {
        {"<<", "'<<' takes its text from a shell's script\ngive the text as a file: <{name}"},
        {"<(", "'<(' starts a program in a shell\ngive that program a template of its own and join the two by a name: "
               "{>name|} and {<name|}"},
        {">(", "'>(' starts a program in a shell\ngive that program a template of its own and join the two by a name: "
               "{>name|} and {<name|}"},
        {"<>", "'<>' can't be tied to a standard stream\nwrite {<>name} for a file that is changed in place"},
        {"<&", "'<&' copies a descriptor\nwrite <{name} to tie standard input to a file"},
        {">&", "'>&' copies a descriptor, and only 2>&1 can be, as a word of its own\n"
               "write >{name} 2>&1 to send both into one file"},
        {">|", "'>|' is a shell's\nwrite >{name}"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(operators); i++)
        if (parser_at(parser, at) == operators[i].operator[0] && parser_at(parser, at + 1) == operators[i].operator[1])
            return parser_fail(parser, at, "%s", operators[i].message);
    return 0;
}

static int check_mark_follows(struct parser *parser, const struct mark *mark) {
    size_t brace = mark->name_start - 1;
    int sign_size = (int)(brace - mark->start);
    const char *sign = parser->text + mark->start;
    if (parser_at(parser, brace) == '{' && parser_at(parser, brace + 1) != '{')
        return 0;
    size_t place = brace;
    while (is_blank(parser_at(parser, place)))
        place++;
    if (parser_at(parser, place) == '{' && place > brace)
        return parser_fail(parser, mark->start,
                           "a blank stands between '%.*s' and its mark\nwrite them as one word: %.*s{name}", sign_size,
                           sign, sign_size, sign);
    size_t size = strcspn(parser->text + place, " \t\n{}|<>\"'\\$`;&()");
    if (size == 0)
        return parser_fail(parser, mark->start, "no mark follows '%.*s'\nwrite %.*s{name}, or quote it: '%.*s'",
                           sign_size, sign, sign_size, sign, sign_size, sign);
    return parser_fail(parser, mark->start,
                       "the file after '%.*s' is not marked\nwrite %.*s{%.*s}, or quote it: '%.*s'", sign_size, sign,
                       sign_size, sign, (int)size, parser->text + place, sign_size, sign);
}

/* The number of the stream that `digits` name. */
static int read_stream_number(struct parser *parser, const struct mark *mark, size_t digits, bool reads) {
    char digit = digits ? parser_at(parser, mark->start + digits - 1) : reads ? '0' : '1';
    bool leads = false; /* by digits other than 0 */
    for (size_t i = 0; i + 1 < digits; i++)
        leads = leads || parser_at(parser, mark->start + i) != '0';
    if (leads || digit > '2')
        return parser_fail(parser, mark->start,
                           "only the standard streams 0, 1 and 2 can be tied\n"
                           "write <{name}, >{name} or 2>{name}; a program opens other files by name: {<name}");
    if (reads != (digit == '0'))
        return parser_fail(parser, mark->start, "standard %s is %s\nwrite %s",
                           reads ? (digit == '1' ? "output" : "error") : "input", reads ? "written" : "read",
                           !reads         ? "<{name}"
                           : digit == '1' ? ">{name}"
                                          : "2>{name}");
    return digit - '0';
}

static int check_tie(struct parser *parser, const struct mark *mark, int stdio_fd, size_t file) {
    static const char *const names[] = {"input", "output", "error"};
    const spile_program *program = parser_program(parser);
    const char *name = mark->name.data;
    if (stdio_fd == STDIN_FILENO && parser->bar_offset >= 0)
        return parser_fail(parser, mark->start,
                           "standard input is tied twice: to '%s' and to the bar\ndrop one of the two", name);
    if (program->tied[stdio_fd] >= 0)
        return parser_fail(parser, mark->start, "standard %s is tied twice: to '%s' and to '%s'\ndrop one of the two",
                           names[stdio_fd], program->files[program->tied[stdio_fd]].name, name);
    if (stdio_fd == STDERR_FILENO && parser->merge_offset >= 0)
        return parser_fail(parser, mark->start,
                           "standard error is tied twice: by 2>&1 and to '%s'\ndrop one of the two", name);
    if (stdio_fd == STDOUT_FILENO && parser->merge_offset >= 0)
        return parser_fail(parser, (size_t)parser->merge_offset,
                           "2>&1 stands before standard output is tied: in a shell, standard error would not go to "
                           "'%s'\nput 2>&1 after it",
                           name);
    int other = stdio_fd == STDOUT_FILENO ? STDERR_FILENO : STDOUT_FILENO;
    if (stdio_fd != STDIN_FILENO && program->tied[other] == (ssize_t)file && mark->role == SPILE_WRITE)
        return parser_fail(parser, mark->start,
                           "standard output and standard error would overwrite each other in '%s'\n"
                           "write >{%s} 2>&1",
                           name, name);
    return 0;
}

static int merge_stderr(struct parser *parser, size_t size) {
    size_t start = parser->position;
    spile_program *program = parser_program(parser);
    if (program->merge_stderr)
        return parser_fail(parser, start, "2>&1 stands here twice\ndrop one of the two");
    if (program->tied[STDERR_FILENO] >= 0)
        return parser_fail(parser, start, "standard error is tied twice: to '%s' and by 2>&1\ndrop one of the two",
                           program->files[program->tied[STDERR_FILENO]].name);
    parser->merge_offset = (ssize_t)start;
    parser->position += size;
    return spile_program_merge_stderr(program);
}

static int read_tie(struct parser *parser, struct mark *mark, int stdio_fd) {
    size_t sign = mark->name_start + (parser_at(parser, mark->name_start) == '+');
    if (parser_at(parser, sign) == '<' || parser_at(parser, sign) == '>') {
        int size = (int)(mark->name_start - mark->start);
        return parser_fail(parser, mark->start,
                           "the mark after '%.*s' takes no sign of its own\nwrite the bare name: %.*sname}", size - 1,
                           parser->text + mark->start, size, parser->text + mark->start);
    }
    int result = read_name(parser, mark);
    if (result < 0)
        return result;
    if (!is_word_end(parser_at(parser, mark->end)))
        return parser_fail(parser, mark->end, "'%.*s' must be a word of its own\nput a blank after it",
                           (int)(mark->end - mark->start), parser->text + mark->start);
    int file = declare_file(parser, mark);
    if (file < 0)
        return file;
    result = check_tie(parser, mark, stdio_fd, (size_t)file);
    if (result < 0)
        return result;
    parser->position = mark->end;
    return spile_program_tie(parser_program(parser), stdio_fd, (size_t)file);
}

int parser_read_stream(struct parser *parser, size_t digits) {
    static const char merge[] = "2>&1";
    size_t start = parser->position, sign = start + digits;
    if (strncmp(parser->text + start, merge, strlen(merge)) == 0 && is_word_end(parser_peek(parser, strlen(merge))))
        return merge_stderr(parser, strlen(merge));
    int result = check_operator(parser, sign);
    if (result < 0)
        return result;
    bool reads = parser_at(parser, sign) == '<';
    bool appends = !reads && parser_at(parser, sign + 1) == '>';
    CLEANUP(mark_done)
    struct mark mark = {
        .start = start,
        .name_start = sign + (appends ? 3 : 2),
        .role = reads     ? SPILE_READ
                : appends ? SPILE_APPEND
                          : SPILE_WRITE,
        .is_tie = true,
    };
    result = check_mark_follows(parser, &mark);
    if (result < 0)
        return result;
    int stdio_fd = read_stream_number(parser, &mark, digits, reads);
    return stdio_fd < 0 ? stdio_fd : read_tie(parser, &mark, stdio_fd);
}
