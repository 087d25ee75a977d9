/* The `sh -c` rule: a value inside a script would be read by the shell as code, so it is refused, in vectors too.
 *
 * Options are read as a shell reads them; where a word can't be told (it holds a value itself) it counts as the script.
 */
#include "call/template_parser.h"

/* The word's text where it is text alone; else NULL. */
static const char *plain_text(const spile_program *program, size_t index) {
    if (index >= program->word_count)
        return NULL;
    const struct word *word = &program->words[index];
    if (word->part_count == 0)
        return "";
    return word->part_count == 1 && word->parts[0].type == SPILE_PART_TEXT ? word->parts[0].text : NULL;
}

static const char *base_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static bool is_one_of(const char *text, const char *const *list, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(text, list[i]) == 0)
            return true;
    return false;
}

/* Steps over `env`, its options and its assignments. */
static size_t skip_env(const spile_program *program, size_t index) {
    static const char *const with_argument[] = {"-u", "--unset", "-C", "--chdir"};
    for (index++; index < program->word_count; index++) {
        const struct word *word = &program->words[index];
        /* The beginning is enough: A={value} is an assignment, too. */
        const char *text = word->part_count && word->parts[0].type == SPILE_PART_TEXT ? word->parts[0].text : "";
        if (is_one_of(text, with_argument, ARRAY_SIZE(with_argument)))
            index++;
        else if (text[0] != '-' && !strchr(text, '='))
            break;
    }
    return index;
}

/* The word after the shell's name, or 0 where the program is no shell. */
static size_t after_shell(const spile_program *program) {
    static const char *const shells[] = {"sh", "bash", "dash", "ash", "zsh", "ksh", "mksh"};
    static const char *const applets[] = {"sh", "ash"};
    size_t index = 0;
    const char *name = plain_text(program, index);
    while (name && strcmp(base_name(name), "env") == 0) {
        index = skip_env(program, index);
        name = plain_text(program, index);
    }
    if (!name)
        return 0;
    if (strcmp(base_name(name), "busybox") == 0) {
        name = plain_text(program, ++index);
        return name && is_one_of(name, applets, ARRAY_SIZE(applets)) ? index + 1 : 0;
    }
    return is_one_of(base_name(name), shells, ARRAY_SIZE(shells)) ? index + 1 : 0;
}

static bool is_option(const char *text) {
    return (text[0] == '-' || text[0] == '+') && text[1];
}

/* The first option word that holds a `c`, or 0. */
static size_t find_command_option(const spile_program *program, size_t index) {
    static const char *const with_argument[] = {"-o", "+o", "-O", "+O", "--rcfile", "--init-file"};
    for (; index < program->word_count; index++) {
        const char *text = plain_text(program, index);
        if (!text || !is_option(text) || strcmp(text, "--") == 0)
            return 0;
        if (text[0] == '-' && text[1] != '-' && strchr(text, 'c'))
            return index;
        if (is_one_of(text, with_argument, ARRAY_SIZE(with_argument)))
            index++;
    }
    return 0;
}

static const struct part *first_value(const struct word *word) {
    for (size_t i = 0; i < word->part_count; i++)
        if (word->parts[i].type == SPILE_PART_VALUE || word->parts[i].type == SPILE_PART_VALUES)
            return &word->parts[i];
    return NULL;
}

int parser_check_shell(struct parser *parser) {
    const spile_program *program = parser_program(parser);
    size_t index = after_shell(program);
    if (index)
        index = find_command_option(program, index);
    if (!index)
        return 0;
    /* Further options may stand between -c and the script. */
    for (index++; index < program->word_count; index++) {
        const struct part *value = first_value(&program->words[index]);
        if (value)
            return parser_fail(parser, (size_t)parser->value_offsets[index],
                               "the value '%s' stands in a script that a shell would read as code\n"
                               "pass it as an argument: sh -c 'grep \"$1\"' sh {%s%s}",
                               value->text, value->text, value->type == SPILE_PART_VALUES ? "..." : "");
        const char *text = plain_text(program, index);
        if (!text || !is_option(text))
            return 0;
    }
    return 0;
}
