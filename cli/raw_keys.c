/* `spile talk --raw`: each key goes out as it is typed, and what comes is shown as it is. */
#include "interactive.h"

#include <string.h>

static bool is_at_line_start;

/* With --ends lines are shown as this terminal ends them; otherwise every byte is the other side's business. */
static void heard(struct interactive *interactive, const char *text, size_t size) {
    bool ends_lines = interactive->command->has_ends;
    char stamp[32];
    if (!ends_lines && !interactive->has_stamps) {
        interactive_print(interactive, text, size);
        return;
    }
    for (const char *end = text + size; text < end;) {
        const char *line_end = memchr(text, '\n', (size_t)(end - text));
        const char *stamped = is_at_line_start ? interactive_stamp(interactive, true, stamp) : "";
        interactive_print(interactive, stamped, strlen(stamped));
        interactive_print(interactive, text, (size_t)((line_end ? line_end : end) - text));
        if (line_end)
            interactive_print(interactive, ends_lines ? "\r\n" : "\n", ends_lines ? 2 : 1);
        is_at_line_start = line_end;
        text = line_end ? line_end + 1 : end;
    }
}

static void nothing(struct interactive *interactive) {
    (void)interactive;
}

static const struct interactive_mode raw_mode = {
    .heard = heard, .hide = nothing, .show = nothing, .leave = nothing, .enter = nothing, .resized = nothing};

static void show_local(struct interactive *interactive, const char *text, size_t size) {
    if (interactive->is_colourful)
        interactive_print(interactive, OUR_COLOUR, strlen(OUR_COLOUR));
    for (size_t i = 0; i < size; i++) {
        bool is_end = text[i] == '\r' || text[i] == '\n';
        interactive_print(interactive, is_end ? "\r\n" : text + i, is_end ? 2 : 1);
    }
    if (interactive->is_colourful)
        interactive_print(interactive, NO_COLOUR, strlen(NO_COLOUR));
}

/* What Enter sends: a carriage return to what expects a terminal's key; a line's end where that was chosen, and to what
 * is none. */
static void say(struct interactive *interactive, char *keys, size_t size) {
    if (interactive->has_local_echo)
        show_local(interactive, keys, size);
    if (interactive->command->options.eol || !interactive_with_terminal(interactive))
        for (size_t i = 0; i < size; i++)
            if (keys[i] == '\r')
                keys[i] = '\n';
    (void)interactive_say(interactive, keys, size, true);
}

int raw_keys_run(struct interactive *interactive) {
    char keys[KEY_BUFFER];
    size_t size = 0;
    const int escape = interactive->command->escape;
    interactive->mode = &raw_mode;
    is_at_line_start = true;
    interactive_greet(interactive);
    for (;;) {
        int key = interactive_key(interactive);
        if (key == NO_KEY)
            return interactive->status;
        bool is_escape = escape && key == escape;
        if (!is_escape)
            keys[size++] = (char)key;
        bool is_more_there = interactive->key_next < interactive->key_count;
        if (is_escape || size == sizeof(keys) || (!is_more_there && utf8_begun(keys, size) == 0)) {
            if (size > 0)
                say(interactive, keys, size);
            size = 0;
        }
        if (is_escape)
            menu_open(interactive);
    }
}
