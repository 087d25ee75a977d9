/* A dialogue in a file, line by line:
 *
 *   expect PATTERN [within TIME] [THEN]      PATTERN: /EXPRESSION/, "TEXT", timeout or end
 *   or PATTERN [THEN]                        one more thing that may come instead
 *   send TEXT                                the rest of the line; in quotes where spaces at its ends matter
 *   send-secret-file FILE, send-secret-env NAME
 *   goto NAME, exit STATUS
 *   NAME:                                    a place to go to
 *
 * THEN is goto NAME, exit STATUS, or next. Empty lines and those that begin with # say nothing.
 */
#include "chain.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct label {
    const char *name;
    size_t step;
};

struct script {
    struct chain *chain;
    LIST_OF(struct label) labels;
    unsigned line;
};

static char *skip_spaces(char *text) {
    return text + strspn(text, " \t");
}

/* Takes a word off; the rest begins behind the spaces that follow it. */
static char *take_word(char **rest) {
    char *word = skip_spaces(*rest);
    char *end = word + strcspn(word, " \t");
    *rest = *end ? skip_spaces(end + 1) : end;
    *end = '\0';
    return word;
}

static bool is_name(const char *word) {
    return *word && word[strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")] == '\0';
}

/* What stands between two of the same sign, with that sign behind a backslash in it. NULL: there is no second one. */
static char *take_quoted(char **rest) {
    char quote = **rest, *from = *rest + 1, *start = from, *to = from;
    for (; *from && *from != quote; from++) {
        if (*from == '\\' && from[1] == quote)
            from++;
        *to++ = *from;
    }
    if (!*from)
        return NULL;
    *rest = skip_spaces(from + 1);
    *to = '\0';
    return start;
}

/* ------------------------------------------------------------------------------------------------ what follows */

static const char *parse_then(char *rest, struct chain_then *ret_then) {
    unsigned long status;
    const char *word = take_word(&rest), *argument = take_word(&rest);
    if (*rest)
        return allocate_format("'%s' is too much", rest);
    if (!*word || (strcmp(word, "next") == 0 && !*argument))
        return NULL;
    if (strcmp(word, "goto") == 0 && is_name(argument)) {
        *ret_then = (struct chain_then){.action = CHAIN_GOTO, .label = argument};
        return NULL;
    }
    if (strcmp(word, "exit") == 0 && parse_count(argument, 255, &status)) {
        *ret_then = (struct chain_then){.action = CHAIN_EXIT, .status = (int)status};
        return NULL;
    }
    return allocate_format("'%s %s' is none of these: goto NAME, exit STATUS, next", word, argument);
}

static const char *parse_pattern(char **rest, spile_pattern *ret_pattern) {
    if (**rest == '/' || **rest == '"') {
        bool is_text = **rest == '"';
        const char *text = take_quoted(rest);
        if (!text)
            return is_text ? "the closing \" is missing" : "the closing / is missing";
        *ret_pattern = (spile_pattern){.kind = is_text ? SPILE_PATTERN_LITERAL : SPILE_PATTERN_REGEX,
                                       .flags = is_text ? 0 : SPILE_PATTERN_MULTILINE,
                                       .text = text};
        return NULL;
    }
    const char *word = take_word(rest);
    bool is_end = strcmp(word, "end") == 0;
    if (!is_end && strcmp(word, "timeout") != 0)
        return allocate_format("'%s' is no pattern: write /EXPRESSION/, \"TEXT\", timeout or end", word);
    *ret_pattern = (spile_pattern){.kind = is_end ? SPILE_PATTERN_END : SPILE_PATTERN_TIMEOUT};
    return NULL;
}

/* ------------------------------------------------------------------------------------------------ lines */

static const char *parse_case(struct script *script, char *rest, bool is_first) {
    struct chain *chain = script->chain;
    struct chain_step *last = chain->steps.count ? &chain->steps.items[chain->steps.count - 1] : NULL;
    struct chain_case item = {0};
    if (!is_first && (!last || last->kind != CHAIN_EXPECT || !last->line))
        return "'or' follows 'expect'";
    const char *fault = parse_pattern(&rest, &item.pattern);
    if (fault)
        return fault;
    if (is_first) {
        last = LIST_ADD(chain->steps);
        *last = (struct chain_step){.kind = CHAIN_EXPECT, .line = script->line};
    }
    if (is_first && strncmp(rest, "within", 6) == 0 && (rest[6] == ' ' || rest[6] == '\t')) {
        (void)take_word(&rest);
        const char *time = take_word(&rest);
        if (!parse_duration(time, &last->timeout_ns) || !last->timeout_ns)
            return allocate_format("'%s' is no time: write 200ms, 5s or 2m", time);
    }
    fault = parse_then(rest, &item.then);
    if (!fault)
        *LIST_ADD(last->cases) = item;
    return fault;
}

static const char *parse_send(struct script *script, char *rest) {
    if (*rest == '"') {
        char *text = take_quoted(&rest);
        if (!text || *rest)
            return text ? allocate_format("'%s' is too much", rest) : "the closing \" is missing";
        return chain_send(script->chain, text);
    }
    return chain_send(script->chain, rest);
}

static const char *parse_jump(struct script *script, char *line) {
    struct chain_step step = {.kind = CHAIN_JUMP, .line = script->line};
    const char *fault = parse_then(line, &step.then);
    if (!fault)
        *LIST_ADD(script->chain->steps) = step;
    return fault;
}

static const char *add_label(struct script *script, const char *name) {
    if (!is_name(name))
        return allocate_format("'%s' is no name for a place: letters, digits, _ and -", name);
    for (size_t i = 0; i < script->labels.count; i++)
        if (strcmp(script->labels.items[i].name, name) == 0)
            return allocate_format("there is a place '%s' already", name);
    *LIST_ADD(script->labels) = (struct label){.name = name, .step = script->chain->steps.count};
    return NULL;
}

static const char *parse_line(struct script *script, char *line) {
    line = skip_spaces(line);
    size_t size = strlen(line);
    while (size > 0 && strchr(" \t\r", line[size - 1]))
        line[--size] = '\0';
    if (size == 0 || *line == '#')
        return NULL;
    char *rest = allocate_copy(line, size);
    const char *word = take_word(&rest);
    if (line[size - 1] == ':' && !*rest) {
        line[size - 1] = '\0';
        return add_label(script, line);
    }
    if (strcmp(word, "expect") == 0 || strcmp(word, "or") == 0)
        return parse_case(script, rest, *word == 'e');
    if (strcmp(word, "send") == 0)
        return parse_send(script, rest);
    if (strcmp(word, "send-secret-file") == 0)
        return chain_secret_file(script->chain, rest);
    if (strcmp(word, "send-secret-env") == 0)
        return chain_secret_variable(script->chain, rest);
    if (strcmp(word, "goto") == 0 || strcmp(word, "exit") == 0)
        return parse_jump(script, line);
    return allocate_format("'%s' is none of these: expect, or, send, send-secret-file, send-secret-env, goto, exit",
                           word);
}

/* ------------------------------------------------------------------------------------------------ labels */

static const char *find_label(const struct script *script, struct chain_then *then, unsigned line) {
    if (then->action != CHAIN_GOTO)
        return NULL;
    for (size_t i = 0; i < script->labels.count; i++)
        if (strcmp(script->labels.items[i].name, then->label) == 0) {
            then->target = script->labels.items[i].step;
            return NULL;
        }
    return allocate_format("%s, line %u: there is no place '%s'", script->chain->script, line, then->label);
}

static const char *find_labels(const struct script *script, size_t first) {
    const char *fault = NULL;
    for (size_t i = first; i < script->chain->steps.count && !fault; i++) {
        struct chain_step *step = &script->chain->steps.items[i];
        fault = find_label(script, &step->then, step->line);
        for (size_t j = 0; j < step->cases.count && !fault; j++)
            fault = find_label(script, &step->cases.items[j].then, step->line);
    }
    return fault;
}

const char *chain_script(struct chain *chain, const char *path) {
    struct script script = {.chain = chain};
    const size_t first = chain->steps.count;
    char *line = NULL;
    size_t capacity = 0;
    const char *fault = NULL;
    if (chain->script)
        return "one --script is enough";
    FILE *file = fopen(path, "re");
    if (!file)
        return allocate_format("'%s' can't be read: %s", path, strerror(errno));
    chain->script = path;
    for (ssize_t size; !fault && (size = getline(&line, &capacity, file)) > 0;) {
        script.line++;
        if (line[size - 1] == '\n')
            line[--size] = '\0';
        fault = strlen(line) == (size_t)size ? parse_line(&script, allocate_copy(line, (size_t)size)) : "a NUL byte";
        if (fault)
            fault = allocate_format("%s, line %u: %s", path, script.line, fault);
    }
    if (!fault && ferror(file))
        fault = allocate_format("'%s' can't be read: %s", path, strerror(errno));
    free(line);
    fclose(file);
    if (!fault && chain->steps.count == first)
        fault = allocate_format("'%s' says nothing to do", path);
    return fault ? fault : find_labels(&script, first);
}
