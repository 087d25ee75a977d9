/* The options of `spile talk` and `spile ask`. Each function below is one option; NULL is "fine". */
#include "chain.h"
#include "interactive.h"

#include <limits.h>
#include <string.h>

#define OPTIONS(user) (&((struct talk_command *)(user))->options)

/* A word that stands for a number; what is wrong names them all. */
struct choice {
    const char *word;
    int value;
};

static const char *choose(const struct choice *choices, size_t count, const char *word, int *ret_value) {
    struct builder all = {0};
    for (size_t i = 0; i < count; i++) {
        if (strcmp(choices[i].word, word) == 0) {
            *ret_value = choices[i].value;
            return NULL;
        }
        builder_printf(&all, "%s%s", i == 0 ? "" : i + 1 < count ? ", " : " or ", choices[i].word);
    }
    return allocate_format("'%s' is none of these: %s", word, all.data);
}
#define CHOICE_OPTION(function, field, type, ...)                                                \
    static const char *function(void *user, const char *value) {                                 \
        static const struct choice choices[] = {__VA_ARGS__};                                    \
        int chosen = 0;                                                                          \
        const char *fault = choose(choices, sizeof(choices) / sizeof(*choices), value, &chosen); \
        if (!fault)                                                                              \
            OPTIONS(user)->field = (type)chosen;                                                 \
        return fault;                                                                            \
    }
CHOICE_OPTION(apply_errors, errors, spile_talk_errors, {"replace", SPILE_TALK_REPLACE}, {"strict", SPILE_TALK_STRICT},
              {"escape", SPILE_TALK_ESCAPE})
CHOICE_OPTION(choose_ends, ends, spile_talk_ends, {"any", SPILE_TALK_ENDS_ANY}, {"lf", SPILE_TALK_ENDS_LF},
              {"crlf", SPILE_TALK_ENDS_CRLF}, {"cr", SPILE_TALK_ENDS_CR})
CHOICE_OPTION(apply_parity, parity, spile_talk_parity, {"none", SPILE_TALK_PARITY_NONE},
              {"even", SPILE_TALK_PARITY_EVEN}, {"odd", SPILE_TALK_PARITY_ODD})
CHOICE_OPTION(apply_flow, flow, spile_talk_flow, {"none", SPILE_TALK_FLOW_NONE}, {"hardware", SPILE_TALK_FLOW_HARDWARE},
              {"software", SPILE_TALK_FLOW_SOFTWARE})
CHOICE_OPTION(apply_dtr, dtr, spile_talk_switch, {"on", SPILE_TALK_ON}, {"off", SPILE_TALK_OFF})
CHOICE_OPTION(apply_rts, rts, spile_talk_switch, {"on", SPILE_TALK_ON}, {"off", SPILE_TALK_OFF})
CHOICE_OPTION(apply_echo, echo, spile_talk_echo, {"auto", SPILE_TALK_ECHO_AUTO}, {"drop", SPILE_TALK_ECHO_DROP},
              {"keep", SPILE_TALK_ECHO_KEEP})

static const char *apply_ends(void *user, const char *value) {
    ((struct talk_command *)user)->has_ends = true;
    return choose_ends(user, value);
}

FLAG_OPTION(apply_help, struct talk_command, help)
FLAG_OPTION(apply_cooked, struct talk_command, options.cooked)
FLAG_OPTION(apply_no_lock, struct talk_command, options.unlocked)
FLAG_OPTION(apply_message, struct talk_command, options.message)
FLAG_OPTION(apply_reconnect, struct talk_command, options.reconnect)
FLAG_OPTION(apply_no_hupcl, struct talk_command, options.no_hangup)
FLAG_OPTION(apply_terminal_echo, struct talk_command, options.terminal_echo)
FLAG_OPTION(apply_raw, struct talk_command, raw)
FLAG_OPTION(apply_timestamps, struct talk_command, timestamps)
FLAG_OPTION(apply_local_echo, struct talk_command, local_echo)
FLAG_OPTION(apply_no_history, struct talk_command, no_history)
FLAG_OPTION(apply_skip_empty, struct talk_command, ask.skip_empty)
FLAG_OPTION(apply_secret, struct talk_command, ask.is_secret)

#define TEXT_OPTION(function, place)                             \
    static const char *function(void *user, const char *value) { \
        struct talk_command *command = user;                     \
        command->place = value;                                  \
        return NULL;                                             \
    }
TEXT_OPTION(apply_encoding, options.encoding)
TEXT_OPTION(apply_cwd, options.cwd)
TEXT_OPTION(apply_history, history)

static const char *apply_escape(void *user, const char *value) {
    struct talk_command *command = user;
    command->escape = key_parse(value);
    return command->escape >= 0 ? NULL : allocate_format("'%s' is no key: write ^A, ^], ~ or none", value);
}

static const char *apply_colour(void *user, const char *value) {
    static const struct choice choices[] = {{"auto", COLOUR_AUTO}, {"always", COLOUR_ALWAYS}, {"never", COLOUR_NEVER}};
    int chosen = COLOUR_AUTO;
    const char *fault = choose(choices, sizeof(choices) / sizeof(*choices), value, &chosen);
    ((struct talk_command *)user)->colour = (enum talk_colour)chosen;
    return fault;
}

TEXT_OPTION(apply_transcript, options.transcript)

static const char *apply_transcript_json(void *user, const char *value) {
    OPTIONS(user)->transcript_json = true;
    return apply_transcript(user, value);
}

static const char *apply_prompt(void *user, const char *value) {
    if (!*value)
        return "the prompt is empty";
    OPTIONS(user)->prompt = value;
    return NULL;
}

static const char *apply_time(const char *value, uint64_t *ret_ns) {
    return parse_duration(value, ret_ns) ? NULL
                                         : allocate_format("'%s' is no time: write 10, 1.5s, 200ms or 2m", value);
}

static const char *apply_timeout(void *user, const char *value) {
    struct talk_command *command = user;
    command->has_timeout = true;
    return apply_time(value, &command->timeout_ns);
}

static const char *apply_silence(void *user, const char *value) {
    return apply_time(value, &((struct talk_command *)user)->ask.silence_ns);
}

static const char *apply_resync(void *user, const char *value) {
    return apply_time(value, &OPTIONS(user)->resync_ns);
}

static const char *apply_wait(void *user, const char *value) {
    OPTIONS(user)->wait = true;
    if (!value)
        OPTIONS(user)->open_ns = UINT64_MAX;
    return value ? apply_time(value, &OPTIONS(user)->open_ns) : NULL;
}

static const char *apply_eol(void *user, const char *value) {
    static const struct {
        const char *word, *eol;
    } eols[] = {{"lf", "\n"}, {"crlf", "\r\n"}, {"cr", "\r"}, {"none", ""}};
    for (size_t i = 0; i < sizeof(eols) / sizeof(*eols); i++)
        if (strcmp(value, eols[i].word) == 0) {
            OPTIONS(user)->eol = eols[i].eol;
            return NULL;
        }
    return allocate_format("'%s' is none of these: lf, crlf, cr or none", value);
}

static const char *apply_number(const char *value, unsigned least, unsigned most, unsigned *ret_number) {
    unsigned long number;
    if (!parse_count(value, most, &number) || number < least)
        return allocate_format("'%s' is no number from %u to %u", value, least, most);
    *ret_number = (unsigned)number;
    return NULL;
}

static const char *apply_baud(void *user, const char *value) {
    return apply_number(value, 1, INT_MAX, &OPTIONS(user)->baud);
}

static const char *apply_bits(void *user, const char *value) {
    return apply_number(value, 5, 8, &OPTIONS(user)->data_bits);
}

static const char *apply_stop(void *user, const char *value) {
    return apply_number(value, 1, 2, &OPTIONS(user)->stop_bits);
}

static const char *apply_size(void *user, const char *value) {
    const char *cross = strchr(value, 'x');
    if (!cross || apply_number(allocate_copy(value, (size_t)(cross - value)), 1, 65535, &OPTIONS(user)->columns) ||
        apply_number(cross + 1, 1, 65535, &OPTIONS(user)->rows))
        return allocate_format("'%s' is no size of a terminal: write COLUMNSxROWS, 80x24", value);
    return NULL;
}

static const char *apply_line_limit(void *user, const char *value) {
    return parse_size(value, &OPTIONS(user)->line_limit_bytes)
               ? NULL
               : allocate_format("'%s' is no size: write 4096, 64k or 1M", value);
}

static const char *apply_env(void *user, const char *value) {
    if (*value == '=' || !strchr(value, '='))
        return allocate_format("'%s' is no variable: write NAME=VALUE", value);
    *LIST_ADD(((struct talk_command *)user)->environment) = value;
    return NULL;
}

static const char *apply_lines(void *user, const char *value) {
    struct talk_command *command = user;
    const char *fault = apply_number(value, 0, INT_MAX, &command->ask.lines);
    command->ask.no_reply = !fault && command->ask.lines == 0;
    return fault;
}

static const char *apply_end(void *user, const char *value) {
    *LIST_ADD(((struct talk_command *)user)->ends) = value;
    return NULL;
}

static const char *apply_error(void *user, const char *value) {
    *LIST_ADD(((struct talk_command *)user)->errors) = value;
    return NULL;
}

#define CHAIN_OPTION(function, act)                              \
    static const char *function(void *user, const char *value) { \
        return act(((struct talk_command *)user)->chain, value); \
    }
CHAIN_OPTION(apply_expect, chain_expect)
CHAIN_OPTION(apply_expect_text, chain_expect_text)
CHAIN_OPTION(apply_fail, chain_fail)
CHAIN_OPTION(apply_send, chain_send)
CHAIN_OPTION(apply_secret_file, chain_secret_file)
CHAIN_OPTION(apply_secret_variable, chain_secret_variable)
CHAIN_OPTION(apply_script, chain_script)

static const char *apply_go_on(void *user, const char *value) {
    (void)value;
    ((struct talk_command *)user)->chain->goes_on = true;
    return NULL;
}

/* The first are of `spile talk` alone, the last of `spile ask`. */
static const struct option options[] = {
    {0, "expect", OPTION_VALUE, apply_expect},
    {0, "expect-text", OPTION_VALUE, apply_expect_text},
    {0, "fail", OPTION_VALUE, apply_fail},
    {0, "send", OPTION_VALUE, apply_send},
    {0, "send-secret-file", OPTION_VALUE, apply_secret_file},
    {0, "send-secret-env", OPTION_VALUE, apply_secret_variable},
    {0, "script", OPTION_VALUE, apply_script},
    {0, "go-on", OPTION_FLAG, apply_go_on},
    {0, "raw", OPTION_FLAG, apply_raw},
    {0, "escape", OPTION_VALUE, apply_escape},
    {0, "color", OPTION_VALUE, apply_colour},
    {0, "timestamps", OPTION_FLAG, apply_timestamps},
    {0, "local-echo", OPTION_FLAG, apply_local_echo},
    {0, "history", OPTION_VALUE, apply_history},
    {0, "no-history", OPTION_FLAG, apply_no_history},
    {'t', "timeout", OPTION_VALUE, apply_timeout},
    {'p', "prompt", OPTION_VALUE, apply_prompt},
    {0, "silence", OPTION_VALUE, apply_silence},
    {0, "wait", OPTION_MAY_HAVE_VALUE, apply_wait},
    {0, "encoding", OPTION_VALUE, apply_encoding},
    {0, "errors", OPTION_VALUE, apply_errors},
    {0, "eol", OPTION_VALUE, apply_eol},
    {0, "ends", OPTION_VALUE, apply_ends},
    {0, "line-limit", OPTION_VALUE, apply_line_limit},
    {'b', "baud", OPTION_VALUE, apply_baud},
    {0, "bits", OPTION_VALUE, apply_bits},
    {0, "parity", OPTION_VALUE, apply_parity},
    {0, "stop", OPTION_VALUE, apply_stop},
    {0, "flow", OPTION_VALUE, apply_flow},
    {0, "no-hupcl", OPTION_FLAG, apply_no_hupcl},
    {0, "dtr", OPTION_VALUE, apply_dtr},
    {0, "rts", OPTION_VALUE, apply_rts},
    {0, "cooked", OPTION_FLAG, apply_cooked},
    {0, "no-lock", OPTION_FLAG, apply_no_lock},
    {0, "message", OPTION_FLAG, apply_message},
    {0, "reconnect", OPTION_FLAG, apply_reconnect},
    {0, "size", OPTION_VALUE, apply_size},
    {0, "terminal-echo", OPTION_FLAG, apply_terminal_echo},
    {0, "env", OPTION_VALUE, apply_env},
    {0, "cwd", OPTION_VALUE, apply_cwd},
    {0, "echo", OPTION_VALUE, apply_echo},
    {0, "transcript", OPTION_VALUE, apply_transcript},
    {0, "transcript-json", OPTION_VALUE, apply_transcript_json},
    {'h', "help", OPTION_FLAG, apply_help},
    {'n', "lines", OPTION_VALUE, apply_lines},
    {'e', "end", OPTION_VALUE, apply_end},
    {0, "error", OPTION_VALUE, apply_error},
    {0, "skip-empty", OPTION_FLAG, apply_skip_empty},
    {0, "secret", OPTION_FLAG, apply_secret},
    {0, "resync", OPTION_VALUE, apply_resync},
};
enum { TALK_ONLY = 15, ASK_ONLY = 6 };

static const char *add_operand(void *user, const char *word) {
    struct talk_command *command = user;
    if (!command->endpoint)
        command->endpoint = word;
    else if (strcmp(command->name, "ask") == 0)
        *LIST_ADD(command->lines) = word;
    else
        return allocate_format("'%s' is one word too many: quote an endpoint that holds spaces", word);
    return NULL;
}

struct option_list talk_option_list(bool is_ask) {
    const size_t all = sizeof(options) / sizeof(*options);
    return is_ask ? (struct option_list){options + TALK_ONLY, all - TALK_ONLY}
                  : (struct option_list){options, all - ASK_ONLY};
}

/* Behind "--": the program of an endpoint that names none; else lines. */
static const char *add_rest(void *user, char **words, size_t count) {
    struct talk_command *command = user;
    bool is_program = command->endpoint &&
                      (strcmp(command->endpoint, "pty:") == 0 || strcmp(command->endpoint, "pipe:") == 0);
    if (is_program && count == 0)
        return "no program stands behind '--'";
    if (is_program) {
        const char **argv = allocate((count + 1) * sizeof(*argv));
        memcpy(argv, words, count * sizeof(*argv));
        command->options.argv = argv;
        return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        const char *fault = add_operand(user, words[i]);
        if (fault)
            return fault;
    }
    return NULL;
}

const char *talk_options_parse(struct talk_command *command, char **words, size_t count) {
    bool is_ask = strcmp(command->name, "ask") == 0;
    const struct option_list list = talk_option_list(is_ask);
    const struct option_parser parser = {.command = command->name,
                                         .options = list.items,
                                         .count = list.count,
                                         .user = command,
                                         .operand = add_operand,
                                         .rest = add_rest};
    command->options.size = sizeof(command->options);
    command->ask.size = sizeof(command->ask);
    const char *fault = options_parse(&parser, words, count);
    if (fault || command->help)
        return fault;
    if (!command->endpoint)
        return allocate_format("the endpoint is missing: see spile %s --help", command->name);
    if (is_ask && command->lines.count == 0)
        return "there is no line to ask: write spile ask ENDPOINT LINE";
    fault = is_ask ? NULL : chain_check(command->chain);
    if (fault)
        return fault;
    if (command->ask.no_reply && (command->ask.silence_ns || command->ends.count))
        return "--lines 0 awaits no reply, and something else says when it ends";
    command->ask.ends = command->ends.items;
    command->ask.end_count = command->ends.count;
    command->ask.errors = command->errors.items;
    command->ask.error_count = command->errors.count;
    return NULL;
}
