/* Steps of a dialogue: see chain.h. */
#include "chain.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TIMEOUT_S = 10, SECRET_MAX = 4096 };

/* ------------------------------------------------------------------------------------------------ making them */

static const char *add_case(struct chain *chain, spile_pattern_kind kind, const char *text) {
    struct chain_step *step = LIST_ADD(chain->steps);
    *step = (struct chain_step){.kind = CHAIN_EXPECT};
    *LIST_ADD(step->cases) = (struct chain_case){
        .pattern = {.kind = kind, .text = text, .flags = kind == SPILE_PATTERN_REGEX ? SPILE_PATTERN_MULTILINE : 0}};
    return NULL;
}

const char *chain_expect(struct chain *chain, const char *expression) {
    return add_case(chain, SPILE_PATTERN_REGEX, expression);
}

const char *chain_expect_text(struct chain *chain, const char *text) {
    return *text ? add_case(chain, SPILE_PATTERN_LITERAL, text) : "no text to expect";
}

const char *chain_fail(struct chain *chain, const char *expression) {
    *LIST_ADD(chain->always) = (struct chain_case){
        .pattern = {.kind = SPILE_PATTERN_REGEX, .text = expression, .flags = SPILE_PATTERN_MULTILINE},
        .then = {.action = CHAIN_EXIT, .status = EXIT_ERROR_REPLY}};
    return NULL;
}

static const char *add_text(struct chain *chain, enum chain_kind kind, const char *text) {
    if (strchr(text, '\n'))
        return "what is sent is one line";
    *LIST_ADD(chain->steps) = (struct chain_step){.kind = kind, .text = text};
    return NULL;
}

const char *chain_send(struct chain *chain, const char *text) {
    return add_text(chain, CHAIN_SEND, text);
}

/* The first line of a file: nobody sees it in a list of processes. */
const char *chain_secret_file(struct chain *chain, const char *path) {
    char line[SECRET_MAX + 2] = "";
    FILE *file = fopen(path, "re");
    if (!file)
        return allocate_format("the secret in '%s' can't be read: %s", path, strerror(errno));
    const char *got = fgets(line, sizeof(line), file);
    bool has_failed = ferror(file);
    fclose(file);
    if (has_failed || !got)
        return allocate_format("'%s' has no first line that could be a secret", path);
    line[strcspn(line, "\r\n")] = '\0';
    if (strlen(line) > SECRET_MAX)
        return allocate_format("the first line of '%s' is too long for a secret", path);
    return add_text(chain, CHAIN_SECRET, allocate_copy(line, strlen(line)));
}

const char *chain_secret_variable(struct chain *chain, const char *name) {
    const char *secret = getenv(name);
    if (!secret)
        return allocate_format("the environment has no variable '%s' with the secret", name);
    secret = allocate_copy(secret, strlen(secret));
    (void)unsetenv(name); /* programs that are started need not see it */
    return add_text(chain, CHAIN_SECRET, secret);
}

/* ------------------------------------------------------------------------------------------------ checking them */

static const char *compile(struct chain *chain, struct chain_step *step) {
    LIST_OF(spile_pattern) patterns = {0};
    spile_error *error = NULL;
    for (size_t i = 0; i < chain->always.count; i++)
        *LIST_ADD(step->cases) = chain->always.items[i];
    for (size_t i = 0; i < step->cases.count; i++)
        *LIST_ADD(patterns) = step->cases.items[i].pattern;
    int result = spile_patterns_new(patterns.items, patterns.count, NULL, &step->patterns, &error);
    if (result >= 0)
        return NULL;
    const char *why = error ? spile_error_get_message(error) : strerror(-result);
    why = step->line ? allocate_format("%s, line %u: %s", chain->script, step->line, why)
                     : allocate_copy(why, strlen(why));
    spile_error_free(error);
    return why;
}

const char *chain_check(struct chain *chain) {
    if (chain->steps.count == 0)
        return chain->always.count ? "--fail goes with --expect or --script"
               : chain->goes_on    ? "--go-on goes with --expect, --send or --script"
                                   : NULL;
    for (size_t i = 0; i < chain->steps.count; i++) {
        struct chain_step *step = &chain->steps.items[i];
        const char *fault = step->kind == CHAIN_EXPECT ? compile(chain, step) : NULL;
        if (fault)
            return fault;
    }
    return NULL;
}

/* ------------------------------------------------------------------------------------------------ going through */

static int print_span(spile_span span) {
    return span.size ? out_write(span.text, span.size) : 0;
}

/* Prints what has come of what was expected, for whoever wants to know why it did not. */
static void print_rest(spile_talk *talk) {
    const char *text;
    size_t size;
    if (spile_talk_read(talk, 0, UINT64_MAX, 0, &text, &size, NULL) >= 0 && size > 0)
        (void)out_write(text, size);
}

static int fail_expect(const struct chain *chain, const struct chain_step *step, const char *endpoint, spile_talk *talk,
                       int result, spile_error *error) {
    const spile_error_kind kind = error ? spile_error_get_kind(error) : SPILE_ERROR_SYSTEM;
    bool is_late = kind == SPILE_ERROR_TIMEOUT;
    if (kind != SPILE_ERROR_ENDED && !is_late)
        return talk_failed(result, error);
    print_rest(talk);
    const struct chain_case *first = &step->cases.items[0];
    const char *where = step->line ? allocate_format(" (%s, line %u)", chain->script, step->line) : "";
    const char *wanted = first->pattern.text ? allocate_format("'%s'", first->pattern.text) : "what was expected";
    if (is_late)
        complain("'%s' did not send %s in time%s", endpoint, wanted, where);
    else
        complain("'%s' ended before %s came%s", endpoint, wanted, where);
    spile_error_free(error);
    return is_late ? EXIT_TIMED_OUT : EXIT_END_OF_STREAM;
}

/* What comes next: *ret_then. Returns 0, or what to exit with. */
static int run_expect(const struct chain *chain, const struct chain_step *step, const char *endpoint, spile_talk *talk,
                      uint64_t timeout_ns, struct chain_then *ret_then) {
    spile_match match = {.size = sizeof(match)};
    spile_error *error = NULL;
    if (step->timeout_ns)
        timeout_ns = step->timeout_ns;
    int result = spile_talk_expect(talk, step->patterns, NULL, timeout_ns, &match, &error);
    if (result < 0)
        return fail_expect(chain, step, endpoint, talk, result, error);
    *ret_then = step->cases.items[result].then;
    if (step->cases.items[result].pattern.kind == SPILE_PATTERN_TIMEOUT)
        return 0; /* what there is stays for the next */
    int status = print_span(match.before);
    return status ? status : print_span(match.text);
}

static int run_step(const struct chain *chain, const struct chain_step *step, const char *endpoint, spile_talk *talk,
                    uint64_t timeout_ns, struct chain_then *ret_then) {
    spile_error *error = NULL;
    int result = 0;
    *ret_then = step->then;
    if (step->kind == CHAIN_EXPECT)
        return run_expect(chain, step, endpoint, talk, timeout_ns, ret_then);
    if (step->kind == CHAIN_SEND)
        result = spile_talk_write_line(talk, step->text, timeout_ns, &error);
    else if (step->kind == CHAIN_SECRET)
        result = spile_talk_write_secret(talk, step->text, timeout_ns, &error);
    return result < 0 ? talk_failed(result, error) : 0;
}

int chain_run(struct chain *chain, const char *endpoint, spile_talk *talk, uint64_t timeout_ns, bool *ret_lingers) {
    int status = 0;
    timeout_ns = timeout_ns ? timeout_ns : TIMEOUT_S * UINT64_C(1000000000);
    *ret_lingers = false;
    for (size_t place = 0; place < chain->steps.count && status == 0;) {
        const struct chain_step *step = &chain->steps.items[place];
        struct chain_then then;
        status = run_step(chain, step, endpoint, talk, timeout_ns, &then);
        if (status == 0 && then.action == CHAIN_EXIT) {
            print_rest(talk);
            *ret_lingers = false;
            chain->goes_on = false;
            status = then.status;
            break;
        }
        *ret_lingers = step->kind == CHAIN_SEND || step->kind == CHAIN_SECRET;
        place = then.action == CHAIN_GOTO ? then.target : place + 1;
    }
    for (size_t i = 0; i < chain->steps.count; i++)
        spile_patterns_free(chain->steps.items[i].patterns);
    return status;
}
