/* How a message shows a place in a template: the summary, the template with a caret under the place, the cure.
 *
 * One column a character, so that the caret stands right in a terminal; what is no printable character (a tab, a
 * newline, a broken byte) is shown as one column, too, and a long template through a window around the place.
 */
#include "call/template_parser.h"

enum { WINDOW_COLUMNS = 70 };

/* The length of the UTF-8 character at `place`, or 0 where there is none. */
static size_t character_size(const char *place) {
    const unsigned char *bytes = (const unsigned char *)place;
    static const struct {
        unsigned char mask, lead, second_low, second_high;
        size_t size;
    } forms[] = {
        {0x80, 0x00, 0x00, 0x00, 1}, {0xff, 0xe0, 0xa0, 0xbf, 3}, {0xff, 0xed, 0x80, 0x9f, 3},
        {0xff, 0xf0, 0x90, 0xbf, 4}, {0xff, 0xf4, 0x80, 0x8f, 4}, {0xe0, 0xc0, 0x80, 0xbf, 2},
        {0xf0, 0xe0, 0x80, 0xbf, 3}, {0xfc, 0xf0, 0x80, 0xbf, 4},
    };
    if ((bytes[0] & 0xfe) == 0xc0) /* would be one byte written as two */
        return 0;
    for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
        if ((bytes[0] & forms[i].mask) != forms[i].lead)
            continue;
        if (forms[i].size > 1 && (bytes[1] < forms[i].second_low || bytes[1] > forms[i].second_high))
            return 0;
        for (size_t k = 2; k < forms[i].size; k++)
            if ((bytes[k] & 0xc0) != 0x80)
                return 0;
        return forms[i].size;
    }
    return 0;
}

static void add_character(struct text *message, const char *place, size_t size) {
    unsigned char first = (unsigned char)*place;
    if (size == 0)
        text_puts(message, "?");
    else if (first == '\t' || first == '\n' || first == '\r')
        text_puts(message, " ");
    else if (first < 0x20 || first == 0x7f)
        text_puts(message, "?");
    else
        text_add(message, place, size);
}

struct columns {
    size_t total, at_offset;
};

static struct columns count_columns(const char *template, size_t offset) {
    struct columns columns = {0};
    for (const char *place = template; *place;) {
        size_t size = MAX(character_size(place), (size_t)1);
        if ((size_t)(place - template) + size <= offset)
            columns.at_offset++;
        columns.total++;
        place += size;
    }
    return columns;
}

static void add_picture(struct text *message, const char *template, ssize_t offset) {
    struct columns columns = count_columns(template, offset < 0 ? 0 : (size_t)offset);
    /* A caret after the last character needs a column, too. */
    size_t total = MAX(columns.total, columns.at_offset + 1);
    size_t start = 0, end = total;
    if (total > WINDOW_COLUMNS) {
        size_t half = WINDOW_COLUMNS / 2;
        start = MIN(columns.at_offset > half ? columns.at_offset - half : 0, total - WINDOW_COLUMNS);
        end = start + WINDOW_COLUMNS;
    }
    text_puts(message, "\n  ");
    size_t column = 0;
    for (const char *place = template; *place && column < end; column++) {
        size_t size = character_size(place);
        bool is_cut = (start > 0 && column == start) || (end < total && column + 1 == end);
        if (is_cut)
            text_puts(message, "…");
        else if (column >= start)
            add_character(message, place, size);
        place += MAX(size, (size_t)1);
    }
    if (offset >= 0)
        text_printf(message, "\n  %*s^", (int)(columns.at_offset - start), "");
}

spile_error *template_error(spile_error_kind kind, const char *template, ssize_t offset, const char *summary,
                            const char *cure) {
    AUTO_TEXT message = {0};
    text_puts(&message, summary);
    if (template && *template)
        add_picture(&message, template, offset);
    if (cure && *cure) {
        text_puts(&message, "\n");
        text_puts(&message, cure);
    }
    AUTO_FREE char *text = text_take(&message);
    if (!text) /* says at least what is wrong, if there is memory for that */
        return error_with(error_new(SPILE_ERROR_SYSTEM, "out of memory"), ENOMEM, -1, -1);
    spile_error *error = error_new(kind, "%s", text);
    if (spile_error_get_kind(error) != kind)
        return error;
    return error_with(error, EINVAL, -1, offset);
}

int parser_fail(struct parser *parser, size_t offset, const char *format, ...) {
    AUTO_FREE char *summary = NULL;
    va_list arguments;
    va_start(arguments, format);
    int size = SYS_FAULT(FAULT_ACQUIRE, "vasprintf") ? -1 : vasprintf(&summary, format, arguments);
    va_end(arguments);
    if (size < 0) {
        summary = NULL; /* vasprintf leaves it undefined */
        return -ENOMEM;
    }
    char *cure = strchr(summary, '\n');
    if (cure)
        *cure++ = '\0';
    AUTO_ERROR error = template_error(SPILE_ERROR_TEMPLATE, parser->text, (ssize_t)offset, summary, cure);
    if (spile_error_get_kind(error) != SPILE_ERROR_TEMPLATE)
        return -ENOMEM;
    if (parser->ret_error)
        *parser->ret_error = TAKE_POINTER(error);
    return -EINVAL;
}
