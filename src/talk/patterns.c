/* Sets of patterns: see patterns.h. */
#include "talk/patterns.h"
#include "talk/codec.h"

enum { ERROR_TEXT = 160, SHOWN = 60 };

/* PCRE2 has its memory through the door that tests make fail. */
static void *pcre2_new(size_t size, void *unused) {
    (void)unused;
    return memory_new(size);
}

static void pcre2_delete(void *memory, void *unused) {
    (void)unused;
    free(memory);
}

/* ------------------------------------------------------------------------------ one pattern */

/* Whether it asks for the start of the text: for such a one the text begins where reading does. Told by its look, which
 * is enough: what is in brackets or behind a backslash is no anchor. */
static bool asks_for_start(const char *text, size_t size) {
    bool is_in_class = false;
    for (size_t i = 0; i < size; i++) {
        if (text[i] == '\\' && i + 1 < size) {
            if (text[++i] == 'A' && !is_in_class)
                return true;
        } else if (is_in_class) {
            is_in_class = text[i] != ']';
        } else if (text[i] == '[') {
            is_in_class = true;
            i += i + 1 < size && text[i + 1] == '^';
            i += i + 1 < size && text[i + 1] == ']';
        } else if (text[i] == '^') {
            return true;
        }
    }
    return false;
}

static uint32_t compile_flags(const spile_patterns *patterns, const spile_pattern *from) {
    uint32_t flags = PCRE2_NEVER_BACKSLASH_C;
    if (!patterns->is_bytes)
        flags |= PCRE2_UTF | (from->flags & SPILE_PATTERN_ASCII ? 0 : PCRE2_UCP);
    if (from->flags & SPILE_PATTERN_CASELESS)
        flags |= PCRE2_CASELESS;
    if (from->flags & SPILE_PATTERN_MULTILINE)
        flags |= PCRE2_MULTILINE;
    if (from->flags & SPILE_PATTERN_DOTALL)
        flags |= PCRE2_DOTALL;
    if (from->flags & SPILE_PATTERN_EXTENDED)
        flags |= PCRE2_EXTENDED;
    return flags;
}

static int compile(const spile_patterns *patterns, struct pattern *pattern, const spile_pattern *from, size_t index,
                   spile_error **ret_error) {
    PCRE2_UCHAR message[ERROR_TEXT] = "";
    int number = 0;
    size_t place = 0;
    uint32_t behind = 0, captures = 0, options = 0;
    pcre2_compile_context *context = pcre2_compile_context_create(patterns->memory);
    if (!context)
        return -ENOMEM;
    (void)pcre2_set_newline(context, PCRE2_NEWLINE_LF);
    pattern->code = pcre2_compile((PCRE2_SPTR)pattern->text, pattern->text_size, compile_flags(patterns, from), &number,
                                  &place, context);
    pcre2_compile_context_free(context);
    if (!pattern->code && (number == PCRE2_ERROR_NOMEMORY || number == PCRE2_ERROR_HEAP_FAILED))
        return -ENOMEM;
    if (!pattern->code) {
        (void)pcre2_get_error_message(number, message, sizeof(message));
        error_set(ret_error, SPILE_ERROR_USAGE, EINVAL, "pattern %zu, '%.*s', is no regular expression: %s at byte %zu",
                  index, (int)MIN(pattern->text_size, (size_t)SHOWN), pattern->text, (const char *)message, place);
        if (ret_error)
            (*ret_error)->offset = (*ret_error)->offset == -1 ? (ssize_t)place : -1;
        return -EINVAL;
    }
    (void)pcre2_pattern_info(pattern->code, PCRE2_INFO_MAXLOOKBEHIND, &behind);
    (void)pcre2_pattern_info(pattern->code, PCRE2_INFO_CAPTURECOUNT, &captures);
    (void)pcre2_pattern_info(pattern->code, PCRE2_INFO_ALLOPTIONS, &options);
    bool by_lines = options & PCRE2_MULTILINE;
    bool is_at_start = !by_lines && asks_for_start(pattern->text, pattern->text_size);
    pattern->looks_behind = (behind > 0 || by_lines) && !is_at_start && pattern->mode != SPILE_PATTERN_LINE;
    pattern->groups = captures + 1;
    /* Where it can't be compiled further (no memory may be made executable, say), it is interpreted. */
    (void)pcre2_jit_compile(pattern->code, PCRE2_JIT_COMPLETE | PCRE2_JIT_PARTIAL_HARD | PCRE2_JIT_PARTIAL_SOFT);
    return 0;
}

static bool is_text(const char *text, size_t size) {
    int length;
    for (size_t place = 0; place < size; place += (size_t)length)
        if ((length = utf8_length(text + place, size - place)) <= 0)
            return false;
    return true;
}

/* END and TIMEOUT: there once. */
static int note_event(spile_patterns *patterns, size_t index, spile_error **ret_error) {
    bool is_end = patterns->items[index].kind == SPILE_PATTERN_END;
    bool *has = is_end ? &patterns->has_end : &patterns->has_timeout;
    if (*has)
        return error_set(ret_error, SPILE_ERROR_USAGE, EINVAL, "pattern %zu is %s for the second time", index,
                         is_end ? "the end of the stream" : "the time-out");
    *has = true;
    *(is_end ? &patterns->end_index : &patterns->timeout_index) = index;
    return 0;
}

static size_t size_of(const spile_pattern *from) {
    return !from->text ? 0 : from->text_size ? from->text_size : strlen(from->text);
}

static int check_pattern(const spile_patterns *patterns, const spile_pattern *from, size_t index,
                         spile_error **ret_error) {
    const unsigned all = SPILE_PATTERN_CASELESS | SPILE_PATTERN_MULTILINE | SPILE_PATTERN_DOTALL |
                         SPILE_PATTERN_EXTENDED | SPILE_PATTERN_ASCII;
    const size_t size = size_of(from);
    const char *wrong = NULL;
    if (from->kind > SPILE_PATTERN_TIMEOUT || from->mode > SPILE_PATTERN_EAGER || from->flags & ~all)
        wrong = "has a value that it can't have";
    else if (from->kind > SPILE_PATTERN_REGEX)
        wrong = NULL;
    else if (!from->text || (size == 0 && from->kind == SPILE_PATTERN_LITERAL))
        wrong = "is empty";
    else if (from->kind == SPILE_PATTERN_LITERAL && (from->flags || from->mode))
        wrong = "is a literal, which takes no flags and no mode: make it a regular expression";
    else if (!patterns->is_bytes && !is_text(from->text, size))
        wrong = "is not UTF-8: search bytes, or encode it";
    return wrong ? error_set(ret_error, SPILE_ERROR_USAGE, EINVAL, "pattern %zu %s", index, wrong) : 0;
}

static int add_pattern(spile_patterns *patterns, const spile_pattern *from, size_t index, spile_error **ret_error) {
    struct pattern *pattern = &patterns->items[index];
    int result = check_pattern(patterns, from, index, ret_error);
    if (result < 0)
        return result;
    *pattern = (struct pattern){.kind = from->kind, .mode = from->mode, .groups = 1};
    if (pattern->kind > SPILE_PATTERN_REGEX)
        return note_event(patterns, index, ret_error);
    pattern->text_size = size_of(from);
    pattern->text = memory_new(pattern->text_size + 1);
    if (!pattern->text)
        return -ENOMEM;
    memcpy(pattern->text, from->text, pattern->text_size);
    pattern->text[pattern->text_size] = '\0';
    if (pattern->kind == SPILE_PATTERN_LITERAL)
        return 0;
    patterns->regex_count++;
    result = compile(patterns, pattern, from, index, ret_error);
    patterns->looks_behind |= pattern->looks_behind;
    return result;
}

/* ------------------------------------------------------------------------------ a set */

static int gather_literals(spile_patterns *patterns) {
    size_t count = 0;
    AUTO_FREE struct automaton_literal *literals = memory_zero(patterns->count + 1, sizeof(*literals));
    if (!literals)
        return -ENOMEM;
    for (size_t i = 0; i < patterns->count; i++) {
        const struct pattern *pattern = &patterns->items[i];
        if (pattern->kind == SPILE_PATTERN_LITERAL)
            literals[count++] = (struct automaton_literal){
                .text = pattern->text, .size = pattern->text_size, .index = i};
    }
    return automaton_init(&patterns->automaton, literals, count);
}

static int fill(spile_patterns *patterns, const spile_pattern *from, const spile_patterns_options *options,
                spile_error **ret_error) {
    int result = 0;
    patterns->memory = pcre2_general_context_create(pcre2_new, pcre2_delete, NULL);
    patterns->limits = patterns->memory ? pcre2_match_context_create(patterns->memory) : NULL;
    patterns->items = memory_zero(patterns->count + 1, sizeof(*patterns->items));
    if (!patterns->limits || !patterns->items)
        return -ENOMEM;
    if (options && options->match_limit)
        (void)pcre2_set_match_limit(patterns->limits, options->match_limit);
    for (size_t i = 0; i < patterns->count && result >= 0; i++)
        result = add_pattern(patterns, &from[i], i, ret_error);
    return result < 0 ? result : gather_literals(patterns);
}

int spile_patterns_new(const spile_pattern *from, size_t count, const spile_patterns_options *options,
                       spile_patterns **ret_patterns, spile_error **ret_error) {
    if (!from || !count || count > INT_MAX || !ret_patterns || (options && options->size != sizeof(*options)))
        return error_set(ret_error, SPILE_ERROR_USAGE, EINVAL, "spile_patterns_new was used wrongly");
    spile_patterns *patterns = memory_zero(1, sizeof(*patterns));
    if (!patterns)
        return -ENOMEM;
    atomic_init(&patterns->users, 1);
    patterns->count = count;
    patterns->is_bytes = options && options->is_bytes;
    int result = fill(patterns, from, options, ret_error);
    if (result < 0)
        spile_patterns_free(patterns);
    else
        *ret_patterns = patterns;
    return result;
}

spile_patterns *patterns_ref(const spile_patterns *patterns) {
    spile_patterns *shared = (spile_patterns *)patterns;
    atomic_fetch_add(&shared->users, 1);
    return shared;
}

spile_patterns *spile_patterns_free(spile_patterns *patterns) {
    if (!patterns || atomic_fetch_sub(&patterns->users, 1) > 1)
        return NULL;
    for (size_t i = 0; patterns->items && i < patterns->count; i++) {
        pcre2_code_free(patterns->items[i].code);
        free(patterns->items[i].text);
    }
    free(patterns->items);
    automaton_done(&patterns->automaton);
    pcre2_match_context_free(patterns->limits);
    pcre2_general_context_free(patterns->memory);
    free(patterns);
    return NULL;
}

int spile_patterns_group(const spile_patterns *patterns, size_t index, const char *name) {
    if (!patterns || !name || index >= patterns->count)
        return -EINVAL;
    const pcre2_code *code = patterns->items[index].code;
    int number = code ? pcre2_substring_number_from_name(code, (PCRE2_SPTR)name) : -1;
    return number < 0 ? -ENOENT : number;
}

const char *spile_patterns_group_name(const spile_patterns *patterns, size_t index, size_t group) {
    uint32_t count = 0, width = 0;
    PCRE2_SPTR table = NULL;
    if (!patterns || index >= patterns->count || !patterns->items[index].code)
        return NULL;
    const pcre2_code *code = patterns->items[index].code;
    (void)pcre2_pattern_info(code, PCRE2_INFO_NAMECOUNT, &count);
    (void)pcre2_pattern_info(code, PCRE2_INFO_NAMEENTRYSIZE, &width);
    (void)pcre2_pattern_info(code, PCRE2_INFO_NAMETABLE, &table);
    for (uint32_t i = 0; i < count; i++, table += width)
        if (((size_t)table[0] << 8 | table[1]) == group)
            return (const char *)table + 2;
    return NULL;
}
