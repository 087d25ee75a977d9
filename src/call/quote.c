/* spile_quote: text that a template takes literally. Only what can't mean anything in any place of a template is left
 * bare; '=' can (an assignment), a digit can't (a word's digits mean something only right before '<' or '>', and the
 * quoted text is a word of its own). */
#include "call/template.h"

#define BARE_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./:@%+,-"

int spile_quote(const char *text, char **ret_quoted) {
    if (!text || !ret_quoted)
        return -EINVAL;
    AUTO_TEXT quoted = {0};
    if (*text && !text[strspn(text, BARE_CHARACTERS)]) {
        text_puts(&quoted, text);
    } else {
        text_puts(&quoted, "'");
        for (const char *place = text; *place; place++) {
            if (*place == '\'')
                text_puts(&quoted, "'\\''");
            else
                text_add(&quoted, place, 1);
        }
        text_puts(&quoted, "'");
    }
    char *result = text_take(&quoted);
    if (!result)
        return -ENOMEM;
    *ret_quoted = result;
    return 0;
}
