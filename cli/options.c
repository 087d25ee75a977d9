/* Options by table: anywhere among the operands, `--name=value` or `--name value`, letters that may be joined. What
 * stands behind "--" is handed on as it is.
 */
#include "cli.h"

#include <string.h>

struct words {
    char **items;
    size_t count, next;
};

static const char *unknown_option(const struct option_parser *parser, const char *name) {
    struct nearest nearest = {.word = name};
    for (size_t i = 0; i < parser->count; i++)
        if (parser->options[i].name)
            nearest_offer(&nearest, parser->options[i].name);
    return nearest.best ? allocate_format("there is no option '--%s': did you mean '--%s'?", name, nearest.best)
                        : allocate_format("there is no option '--%s': see spile %s --help", name, parser->command);
}

static const char *apply(const struct option_parser *parser, const struct option *option, const char *shown,
                         const char *value) {
    const char *fault = option->apply(parser->user, value);
    return fault ? allocate_format("%s: %s", shown, fault) : NULL;
}

static const char *parse_long(const struct option_parser *parser, const char *word, struct words *words) {
    const char *equals = strchr(word, '=');
    const char *name = allocate_copy(word + 2, equals ? (size_t)(equals - word) - 2 : strlen(word + 2));
    const struct option *option = NULL;
    for (size_t i = 0; i < parser->count && !option; i++)
        if (parser->options[i].name && strcmp(parser->options[i].name, name) == 0)
            option = &parser->options[i];
    if (!option)
        return unknown_option(parser, name);
    const char *value = equals ? equals + 1 : NULL;
    if (value && option->value == OPTION_FLAG)
        return allocate_format("--%s takes no value", name);
    if (!value && option->value == OPTION_VALUE) {
        if (words->next == words->count)
            return allocate_format("--%s lacks its value", name);
        value = words->items[words->next++];
    }
    return apply(parser, option, allocate_format("--%s", name), value);
}

static const char *parse_letters(const struct option_parser *parser, const char *word, struct words *words) {
    for (const char *letter = word + 1; *letter; letter++) {
        const struct option *option = NULL;
        for (size_t i = 0; i < parser->count && !option; i++)
            if (parser->options[i].letter == *letter)
                option = &parser->options[i];
        if (!option)
            return allocate_format("there is no option '-%c': see spile %s --help", *letter, parser->command);
        const char *shown = allocate_format("-%c", *letter);
        if (option->value != OPTION_VALUE) {
            const char *fault = apply(parser, option, shown, NULL);
            if (fault)
                return fault;
            continue;
        }
        if (letter[1])
            return apply(parser, option, shown, letter + 1);
        if (words->next == words->count)
            return allocate_format("%s lacks its value", shown);
        return apply(parser, option, shown, words->items[words->next++]);
    }
    return NULL;
}

const char *options_parse(const struct option_parser *parser, char **words, size_t count) {
    struct words queue = {.items = words, .count = count};
    while (queue.next < queue.count) {
        const char *word = queue.items[queue.next++], *fault;
        if (strcmp(word, "--") == 0)
            return parser->rest(parser->user, queue.items + queue.next, queue.count - queue.next);
        if (word[0] != '-' || word[1] == '\0')
            fault = parser->operand(parser->user, word);
        else if (word[1] == '-')
            fault = parse_long(parser, word, &queue);
        else
            fault = parse_letters(parser, word, &queue);
        if (fault)
            return fault;
    }
    return NULL;
}
