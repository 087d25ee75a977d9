/* The text of an endpoint: see endpoint.h. Words are split as a shell splits them, and nothing else of a shell is done:
 * what it would act on is refused, never handed to a program as an argument. */
#include "talk/endpoint.h"

#define REFUSE(...) error_set(ret_error, SPILE_ERROR_ENDPOINT, EINVAL, __VA_ARGS__)

void endpoint_done(struct endpoint *endpoint) {
    for (size_t i = 0; i < endpoint->word_count; i++)
        free(endpoint->words[i]);
    free(endpoint->words);
    free(endpoint->text);
    free(endpoint->name);
    free(endpoint->other);
    *endpoint = (struct endpoint){.fd = -1};
}

/* ------------------------------------------------------------------------------ words */

static int add_word(struct endpoint *endpoint, size_t *capacity, struct text *word) {
    char *data = text_take(word);
    if (!data)
        return -ENOMEM;
    int result = ARRAY_RESERVE(endpoint->words, endpoint->word_count + 1, *capacity);
    if (result < 0) {
        free(data);
        return result;
    }
    endpoint->words[endpoint->word_count++] = data;
    endpoint->words[endpoint->word_count] = NULL;
    return 0;
}

/* In double quotes; *place is behind the first. */
static int take_quoted(const char **place, struct text *word, spile_error **ret_error) {
    const char *at = *place;
    for (; *at != '"'; at++) {
        if (!*at)
            return REFUSE("the endpoint has a \" that is not closed");
        if (*at == '$' || *at == '`')
            return REFUSE(
                "'%c' in an endpoint means nothing, for no shell reads it: write sh -c '...', or put it in single "
                "quotes",
                *at);
        if (*at == '\\' && at[1] && strchr("\\\"$`", at[1]))
            at++;
        text_add(word, at, 1);
    }
    *place = at + 1;
    return 0;
}

/* One piece of a word; *place is moved behind it. */
static int take_piece(const char **place, struct text *word, spile_error **ret_error) {
    const char *at = (*place)++;
    if (*at == '\'') {
        const char *end = strchr(at + 1, '\'');
        if (!end)
            return REFUSE("the endpoint has a ' that is not closed");
        text_add(word, at + 1, (size_t)(end - at) - 1);
        *place = end + 1;
        return 0;
    }
    if (*at == '"')
        return take_quoted(place, word, ret_error);
    if (*at == '\\') {
        if (!at[1])
            return REFUSE("the endpoint ends in a '\\' that quotes nothing");
        text_add(word, at + 1, 1);
        *place = at + 2;
        return 0;
    }
    if (strchr("|&;<>()$`*?[#~\n", *at) && !(*at == '~' && word->size) && !(*at == '#' && word->size))
        return REFUSE(
            "'%c' in an endpoint means nothing, for no shell reads it: write sh -c '...', or put it in single "
            "quotes",
            *at);
    text_add(word, at, 1);
    return 0;
}

static int split_words(struct endpoint *endpoint, const char *place, spile_error **ret_error) {
    size_t capacity = 0;
    for (;;) {
        AUTO_TEXT word = {0};
        place += strspn(place, " \t");
        if (!*place)
            return 0;
        int result = 0;
        text_add(&word, "", 0);
        while (result >= 0 && *place && *place != ' ' && *place != '\t')
            result = take_piece(&place, &word, ret_error);
        if (result >= 0)
            result = add_word(endpoint, &capacity, &word);
        if (result < 0)
            return result;
    }
}

/* ------------------------------------------------------------------------------ the others */

static int set_name(char **name, const char *text, size_t size) {
    AUTO_TEXT copy = {0};
    text_add(&copy, text, size);
    *name = text_take(&copy);
    return *name ? 0 : -ENOMEM;
}

static int parse_fifo(struct endpoint *endpoint, const char *rest, spile_error **ret_error) {
    const char *comma = strchr(rest, ',');
    if (!comma || comma == rest || !comma[1])
        return REFUSE("'%s' names no two FIFOs: write fifo:IN,OUT; the talk reads IN and writes OUT", endpoint->text);
    if (strchr(comma + 1, ','))
        return REFUSE("'%s' has more than one comma: two FIFOs are named, and no comma can be in their names",
                      endpoint->text);
    int result = set_name(&endpoint->name, rest, (size_t)(comma - rest));
    return result < 0 ? result : set_name(&endpoint->other, comma + 1, strlen(comma + 1));
}

static int parse_tcp(struct endpoint *endpoint, const char *rest, spile_error **ret_error) {
    const char *colon = strrchr(rest, ':');
    if (!colon || colon == rest || !colon[1])
        return REFUSE("'%s' lacks a host or a port: write tcp:HOST:PORT", endpoint->text);
    size_t size = (size_t)(colon - rest);
    bool is_bracketed = *rest == '[' && rest[size - 1] == ']';
    if (!is_bracketed && memchr(rest, ':', size))
        return REFUSE("'%s' is ambiguous: write an IPv6 address in brackets, tcp:[::1]:PORT", endpoint->text);
    if (is_bracketed && size == 2)
        return REFUSE("'%s' lacks a host: write tcp:HOST:PORT", endpoint->text);
    int result = set_name(&endpoint->name, rest + is_bracketed, size - (is_bracketed ? 2 : 0));
    return result < 0 ? result : set_name(&endpoint->other, colon + 1, strlen(colon + 1));
}

static int parse_fd(struct endpoint *endpoint, const char *rest, spile_error **ret_error) {
    size_t digits = strspn(rest, "0123456789");
    if (digits == 0 || rest[digits] || digits > 7)
        return REFUSE("'%s' names no descriptor: write fd:3", endpoint->text);
    endpoint->fd = atoi(rest);
    return 0;
}

static int parse_kind(struct endpoint *endpoint, const char *rest, spile_error **ret_error) {
    switch (endpoint->kind) {
    case ENDPOINT_PATH:
    case ENDPOINT_UNIX:
        if (!*rest || (*rest == '@' && !rest[1] && endpoint->kind == ENDPOINT_UNIX))
            return REFUSE("the endpoint names nothing: write a path, such as /dev/ttyUSB0, or see the kinds there are");
        return set_name(&endpoint->name, rest, strlen(rest));
    case ENDPOINT_FIFO:
        return parse_fifo(endpoint, rest, ret_error);
    case ENDPOINT_TCP:
        return parse_tcp(endpoint, rest, ret_error);
    case ENDPOINT_PTY:
    case ENDPOINT_PIPE:
        return split_words(endpoint, rest, ret_error);
    case ENDPOINT_FD:
        return parse_fd(endpoint, rest, ret_error);
    case ENDPOINT_STDIO:
        break;
    }
    return 0;
}

int endpoint_parse(const char *text, struct endpoint *endpoint, spile_error **ret_error) {
    static const struct {
        const char *prefix;
        enum endpoint_kind kind;
    } kinds[] = {{"fifo:", ENDPOINT_FIFO}, {"unix:", ENDPOINT_UNIX}, {"tcp:", ENDPOINT_TCP},
                 {"pty:", ENDPOINT_PTY},   {"pipe:", ENDPOINT_PIPE}, {"fd:", ENDPOINT_FD}};
    *endpoint = (struct endpoint){.kind = ENDPOINT_PATH, .fd = -1};
    const char *rest = text;
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        if (strncmp(text, kinds[i].prefix, strlen(kinds[i].prefix)) == 0) {
            endpoint->kind = kinds[i].kind;
            rest = text + strlen(kinds[i].prefix);
        }
    if (strcmp(text, "-") == 0)
        endpoint->kind = ENDPOINT_STDIO;
    int result = set_name(&endpoint->text, text, strlen(text));
    if (result >= 0)
        result = parse_kind(endpoint, rest, ret_error);
    if (result < 0)
        endpoint_done(endpoint);
    return result;
}
