/* `spile talk` at a terminal, by line: libedit edits it, and what arrives meanwhile goes above it.
 *
 * A line that the other side has not ended yet, as a prompt is, stands before what is being typed. What is typed is
 * taken off the screen before anything is printed, and put back: where it stands is computed as libedit lays it out. */
#include "interactive.h"

#include <histedit.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

const char *const line_editor_missing = NULL;

enum { PROMPT_MAX = 1024, SECRET_MAX = 4096, LITERAL = 1, ECHOES = 8 };
enum {
    KEY_INTERRUPT = 'C' - '@',
    KEY_END = 'D' - '@',
    KEY_STOP = 'Z' - '@',
    KEY_QUIT = '\\' - '@',
    KEY_WIPE = 'U' - '@'
};

/* A line that was said and may come back. */
struct echo {
    char *line;
    bool is_sure; /* the program's terminal shows it; otherwise only the very next line may be it */
};

static struct editor {
    struct interactive *interactive;
    EditLine *edit;
    HistoryW *history;
    const char *history_path;
    struct builder partial, out;
    bool is_partial_stamped;
    char stamp[32]; /* when the partial line began */
    wchar_t prompt[PROMPT_MAX + 64];
    unsigned columns, rows;
    bool is_editing; /* a line is on the screen, or would be but for `is_hidden` */
    bool is_hidden;
    bool can_move; /* the terminal's cursor */
    struct echo echoes[ECHOES];
    size_t echo_count;
    wchar_t *last; /* what history got last */
} editor;

/* ------------------------------------------------------------------------------ the screen */

/* The visible characters of a text: no control characters, no escape sequences. */
static size_t visible(const char *text, size_t size, wchar_t *out, size_t most) {
    mbstate_t state = {0};
    size_t count = 0;
    for (size_t i = 0; i < size && count < most;) {
        wchar_t character;
        if (text[i] == '\033') {
            for (i += i + 1 < size && text[i + 1] == '[' ? 2 : 1; i < size && (unsigned char)text[i] < '@'; i++)
                continue;
            i += i < size;
            continue;
        }
        size_t used = mbrtowc(&character, text + i, size - i, &state);
        if (used == (size_t)-1 || used == (size_t)-2) {
            state = (mbstate_t){0};
            used = 1;
        } else if (wcwidth(character) >= 0 && used > 0) {
            out[count++] = character;
        }
        i += used ? used : 1;
    }
    return count;
}

/* The other side's unfinished line, in its own colour; the last character brings ours for what follows. */
static wchar_t *make_prompt(EditLine *edit) {
    wchar_t plain[PROMPT_MAX];
    size_t count = visible(editor.stamp, strlen(editor.stamp), plain, PROMPT_MAX);
    (void)edit;
    count += visible(editor.partial.data ? editor.partial.data : "", editor.partial.size, plain + count,
                     PROMPT_MAX - count);
    size_t at = 0;
    for (size_t i = 0; i < count; i++) {
        if (i + 1 == count && editor.interactive->is_colourful)
            at += (size_t)swprintf(editor.prompt + at, 32, L"%lc%s%lc", (wint_t)LITERAL, OUR_COLOUR, (wint_t)LITERAL);
        editor.prompt[at++] = plain[i];
    }
    editor.prompt[at] = L'\0';
    return editor.prompt;
}

/* Where libedit puts the cursor after a character, on a screen that wraps. */
static void lay_out(wchar_t character, size_t *row, size_t *column) {
    int width = wcwidth(character);
    size_t cells = character == L'\t' ? 8 - *column % 8 : width < 0 ? (character < 0x80 ? 2 : 8) : (size_t)width;
    if (width > 1 && *column + cells > editor.columns) {
        ++*row;
        *column = 0;
    }
    *column += cells;
    *row += *column / editor.columns;
    *column %= editor.columns;
}

static size_t cursor_row(void) {
    const LineInfoW *line = el_wline(editor.edit);
    size_t row = 0, column = 0;
    bool is_literal = false;
    for (const wchar_t *place = make_prompt(editor.edit); *place; place++) {
        is_literal ^= *place == LITERAL;
        if (!is_literal && *place != LITERAL)
            lay_out(*place, &row, &column);
    }
    for (const wchar_t *place = line->buffer; place < line->cursor; place++)
        lay_out(*place, &row, &column);
    return row;
}

static bool is_line_empty(void) {
    const LineInfoW *line = el_wline(editor.edit);
    return line->lastchar == line->buffer;
}

static void out_flush(void) {
    interactive_print(editor.interactive, editor.out.data, editor.out.size);
    editor.out.size = 0;
}

static void hide(struct interactive *interactive) {
    (void)interactive;
    if (!editor.is_editing || editor.is_hidden)
        return;
    editor.is_hidden = true;
    (void)fflush(stdout);
    size_t row = editor.can_move ? cursor_row() : 0;
    if (editor.interactive->is_colourful)
        builder_puts(&editor.out, NO_COLOUR);
    const bool is_blank = is_line_empty() && !*make_prompt(editor.edit);
    builder_puts(&editor.out, editor.can_move || is_blank ? "\r" : "\r\n");
    if (row > 0)
        builder_printf(&editor.out, "\033[%zuA", row);
    if (editor.can_move)
        builder_puts(&editor.out, "\033[J");
    out_flush();
}

static void set_our_colour(void) {
    if (editor.interactive->is_colourful && !*make_prompt(editor.edit))
        interactive_print(editor.interactive, OUR_COLOUR, strlen(OUR_COLOUR));
}

static void show(struct interactive *interactive) {
    (void)interactive;
    if (!editor.is_editing || !editor.is_hidden)
        return;
    editor.is_hidden = false;
    set_our_colour();
    el_wset(editor.edit, EL_REFRESH);
}

static void leave(struct interactive *interactive) {
    (void)interactive;
    (void)fflush(stdout);
    el_wset(editor.edit, EL_PREP_TERM, 0);
}

static void enter(struct interactive *interactive) {
    el_wset(editor.edit, EL_PREP_TERM, 0);
    el_wset(editor.edit, EL_PREP_TERM, 1);
    own_terminal_tell_guard(&interactive->terminal);
}

static void resized(struct interactive *interactive) {
    hide(interactive);
    el_resize(editor.edit);
    editor.columns = 80;
    editor.rows = 24;
    (void)own_terminal_size(&editor.columns, &editor.rows);
    show(interactive);
}

/* ------------------------------------------------------------------------------ hearing */

static void forget_echo(size_t place) {
    free(editor.echoes[place].line);
    editor.echo_count--;
    memmove(editor.echoes + place, editor.echoes + place + 1, (editor.echo_count - place) * sizeof(*editor.echoes));
}

static void expect_echo(const char *line) {
    const spile_talk_info info = talk_info(editor.interactive->talk);
    const spile_talk_echo wanted = editor.interactive->command->options.echo;
    bool is_sure = info.is_echoing;
    if (wanted == SPILE_TALK_ECHO_KEEP || !*line ||
        (wanted == SPILE_TALK_ECHO_AUTO && !is_sure && !(info.pid && info.is_terminal && !info.is_line_mode)))
        return;
    if (editor.echo_count == ECHOES)
        forget_echo(0);
    editor.echoes[editor.echo_count++] = (struct echo){.line = strdup(line), .is_sure = is_sure};
}

static bool is_echo(const char *line, size_t size) {
    for (size_t i = 0; i < editor.echo_count;) {
        const struct echo *echo = &editor.echoes[i];
        if (echo->line && strlen(echo->line) == size && memcmp(echo->line, line, size) == 0) {
            forget_echo(i);
            return true;
        }
        if (echo->is_sure)
            i++;
        else
            forget_echo(i);
    }
    return false;
}

static void stamp_partial(void) {
    editor.is_partial_stamped = true;
    editor.stamp[0] = '\0';
    (void)interactive_stamp(editor.interactive, false, editor.stamp);
}

static void end_partial(void) {
    editor.partial.size = 0;
    editor.is_partial_stamped = false;
    editor.stamp[0] = '\0';
}

/* The whole line that `partial` has become. */
static void print_line(void) {
    const bool is_colourful = editor.interactive->is_colourful;
    if (!is_echo(editor.partial.data ? editor.partial.data : "", editor.partial.size)) {
        if (editor.stamp[0])
            builder_printf(&editor.out, "%s%s%s", is_colourful ? NOTE_COLOUR : "", editor.stamp,
                           is_colourful ? NO_COLOUR : "");
        builder_add(&editor.out, editor.partial.data, editor.partial.size);
        builder_puts(&editor.out, "\n");
    }
    end_partial();
}

static void heard(struct interactive *interactive, const char *text, size_t size) {
    hide(interactive);
    for (const char *end = text + size; text < end;) {
        const char *line_end = memchr(text, '\n', (size_t)(end - text));
        const char *piece_end = line_end ? line_end : end;
        if (!editor.is_partial_stamped)
            stamp_partial();
        builder_add(&editor.partial, text, (size_t)(piece_end - text));
        /* What never ends is no prompt. */
        if (line_end || editor.partial.size > PROMPT_MAX / 2)
            print_line();
        text = piece_end + (line_end != NULL);
    }
    out_flush();
    show(interactive);
}

static const struct interactive_mode line_mode = {
    .heard = heard, .hide = hide, .show = show, .leave = leave, .enter = enter, .resized = resized};

/* ------------------------------------------------------------------------------ keys */

static void drop_secret(struct interactive *interactive) {
    static const char interrupt = KEY_INTERRUPT;
    if (interactive_with_terminal(interactive))
        (void)interactive_say(interactive, &interrupt, 1, false);
    interactive_note(interactive, "the secret was not said");
}

/* What a key makes of it: its size. */
static size_t edit_secret(char *line, size_t size, int key) {
    if (key == KEY_WIPE)
        return 0;
    if (key == 0x7f || key == '\b') {
        while (size > 0 && ((unsigned char)line[--size] & 0xc0) == 0x80)
            continue;
        return size;
    }
    if (key > 0 && size + 1 < SECRET_MAX)
        line[size++] = (char)key;
    return size;
}

/* Nothing that is typed appears. */
static void type_secret(struct interactive *interactive, int key) {
    char line[SECRET_MAX];
    size_t size = 0;
    interactive->wants_secret = false;
    for (; key != NO_KEY && key != '\r' && key != '\n' && key != KEY_INTERRUPT; key = interactive_key(interactive)) {
        if (key == interactive->command->escape && key)
            menu_open(interactive);
        else
            size = edit_secret(line, size, key);
    }
    line[size] = '\0';
    if (key == '\r' || key == '\n')
        (void)interactive_say_secret(interactive, line);
    else if (key == KEY_INTERRUPT)
        drop_secret(interactive);
    explicit_bzero(line, sizeof(line));
    explicit_bzero(interactive->keys, interactive->key_next);
}

static void drop_line(struct interactive *interactive) {
    el_cursor(editor.edit, INT_MAX / 2);
    hide(interactive);
    const LineInfoW *line = el_wline(editor.edit);
    el_deletestr(editor.edit, (int)(line->lastchar - line->buffer));
    show(interactive);
}

/* Keys that are for the other side where it is a terminal, and for spile where it is none. */
static bool take_control(struct interactive *interactive, int key) {
    const char byte = (char)key;
    if (key == KEY_INTERRUPT && !is_line_empty()) {
        drop_line(interactive);
        return true;
    }
    if (key == KEY_END && !is_line_empty())
        return false;
    if (key != KEY_INTERRUPT && key != KEY_END && key != KEY_STOP && key != KEY_QUIT)
        return false;
    if (interactive_with_terminal(interactive))
        (void)interactive_say(interactive, &byte, 1, false);
    else if (key == KEY_INTERRUPT || key == KEY_QUIT)
        interactive_stop(interactive, EXIT_INTERRUPTED);
    else if (key == KEY_END)
        interactive_end(interactive);
    else
        interactive_suspend(interactive);
    return true;
}

static bool is_secret(struct interactive *interactive) {
    const spile_talk_info info = talk_info(interactive->talk);
    return interactive->wants_secret ||
           (info.pid && info.is_terminal && info.is_line_mode && !info.is_echoing && is_line_empty());
}

/* NO_KEY: it is over; 0: a key that another has taken. */
static int next_key(struct interactive *interactive) {
    int key = interactive_key(interactive);
    if (key == NO_KEY)
        return NO_KEY;
    if (key == interactive->command->escape && key) {
        menu_open(interactive);
        return 0;
    }
    if (take_control(interactive, key))
        return 0;
    if (is_secret(interactive)) {
        type_secret(interactive, key);
        return 0;
    }
    return key;
}

static int get_character(EditLine *edit, wchar_t *ret_character) {
    mbstate_t state = {0};
    (void)edit;
    for (;;) {
        int key = next_key(editor.interactive);
        if (key == NO_KEY)
            return 0;
        if (key == 0)
            continue;
        const char byte = (char)key;
        size_t used = mbrtowc(ret_character, &byte, 1, &state);
        if (used == 1)
            return 1;
        if (used == (size_t)-1)
            state = (mbstate_t){0};
    }
}

/* ------------------------------------------------------------------------------ lines */

static void add_history(void *user, const char *line) {
    HistEventW event;
    (void)user;
    size_t size = mbstowcs(NULL, line, 0);
    if (size == (size_t)-1)
        return;
    wchar_t *wide = calloc(size + 1, sizeof(*wide));
    if (!wide)
        return;
    (void)mbstowcs(wide, line, size + 1);
    history_w(editor.history, &event, H_ENTER, wide);
    free(editor.last);
    editor.last = wide;
}

/* Not what repeats the line before, nor what begins with a space. */
static void remember(const char *line, const wchar_t *wide) {
    if (!*line || *line == ' ' || (editor.last && wcscmp(editor.last, wide) == 0))
        return;
    add_history(NULL, line);
    int result = editor.history_path ? history_append(editor.history_path, line) : 0;
    if (result < 0) {
        interactive_note(editor.interactive, "lines are not kept in '%s': %s", editor.history_path, strerror(-result));
        editor.history_path = NULL;
    }
}

/* A line that was typed, with its end. */
static void take_line(struct interactive *interactive, const wchar_t *typed, size_t count) {
    wchar_t *wide = calloc(count + 1, sizeof(*wide));
    char *line = calloc(count + 2, MB_LEN_MAX);
    if (!wide || !line)
        goto end;
    wmemcpy(wide, typed, count);
    while (count > 0 && (wide[count - 1] == L'\n' || wide[count - 1] == L'\r'))
        wide[--count] = L'\0';
    size_t size = wcstombs(line, wide, (count + 1) * MB_LEN_MAX);
    if (size == (size_t)-1)
        goto end;
    end_partial(); /* it is on the screen, and stays there */
    expect_echo(line);
    remember(line, wide);
    line[size] = '\n';
    (void)interactive_say(interactive, line, size + 1, true);
end:
    free(wide);
    free(line);
}

/* What was being typed goes; what the other side had begun stays. */
static void leave_screen(struct interactive *interactive) {
    hide(interactive);
    if (editor.partial.size > 0)
        print_line();
    out_flush();
}

static void edit_lines(struct interactive *interactive) {
    for (;;) {
        int count = 0;
        editor.is_editing = true;
        set_our_colour();
        const wchar_t *typed = el_wgets(editor.edit, &count);
        (void)fflush(stdout);
        if (interactive->is_over)
            leave_screen(interactive);
        editor.is_editing = editor.is_hidden = false;
        if (interactive->is_colourful)
            interactive_print(interactive, NO_COLOUR, strlen(NO_COLOUR));
        if (!typed || count <= 0 || interactive->is_over)
            return;
        take_line(interactive, typed, (size_t)count);
    }
}

static bool start(struct interactive *interactive) {
    HistEventW event;
    const char *kind = getenv("TERM");
    editor = (struct editor){.interactive = interactive, .can_move = kind && *kind && strcmp(kind, "dumb") != 0};
    editor.edit = el_init("spile", stdin, stdout, stderr);
    editor.history = history_winit();
    if (!editor.edit || !editor.history)
        return false;
    interactive->mode = &line_mode;
    history_w(editor.history, &event, H_SETSIZE, 1000);
    el_wset(editor.edit, EL_HIST, history_w, editor.history);
    el_wset(editor.edit, EL_PROMPT_ESC, make_prompt, (wchar_t)LITERAL);
    el_wset(editor.edit, EL_EDITOR, L"emacs");
    el_wset(editor.edit, EL_SIGNAL, 0);
    el_wset(editor.edit, EL_GETCFN, get_character);
    el_wset(editor.edit, EL_SETTY, L"-d", L"-isig", NULL);
    el_wset(editor.edit, EL_BIND, L"\\t", L"ed-insert", NULL);
    el_wset(editor.edit, EL_BIND, L"^R", L"em-inc-search-prev", NULL);
    (void)el_source(editor.edit, NULL); /* ~/.editrc has the last word */
    editor.history_path = history_path(interactive->command);
    if (editor.history_path)
        history_load(editor.history_path, add_history, NULL);
    resized(interactive);
    enter(interactive);
    return true;
}

int line_editor_run(struct interactive *interactive) {
    bool is_started = start(interactive);
    if (is_started) {
        interactive_greet(interactive);
        edit_lines(interactive);
        leave(interactive);
    }
    while (editor.echo_count > 0)
        forget_echo(0);
    free(editor.last);
    if (editor.history)
        history_wend(editor.history);
    if (editor.edit)
        el_end(editor.edit);
    return is_started ? interactive->status : EXIT_OWN_ERROR;
}
