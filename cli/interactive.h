/* What the files of `spile talk` at a terminal share.
 *
 *   interactive.c   what both ways of typing have in common: waiting, signals, keys, what is said and heard
 *   line_editor.c   typing by line, with libedit
 *   raw_keys.c      each key goes out as it is typed
 *   menu.c          what may follow the escape key
 *   history.c       lines that were said, kept in a file
 *   own_terminal.c  our terminal's modes
 *
 * All of it waits in one place, interactive_key. What arrives meanwhile is shown by the mode, which knows what of its
 * own is on the screen. */
#pragma once

#include "own_terminal.h"
#include "talk.h"

enum { NO_KEY = -1, KEY_BUFFER = 4096 };
/* What we say, what they say, and what spile says. */
#define OUR_COLOUR "\033[36m"
#define NOTE_COLOUR "\033[33m"
#define NO_COLOUR "\033[0m"

struct interactive;
struct interactive_mode {
    /* Shows text of the other side. */
    void (*heard)(struct interactive *interactive, const char *text, size_t size);
    /* Takes what is being typed off the screen, and puts it back. */
    void (*hide)(struct interactive *interactive);
    void (*show)(struct interactive *interactive);
    /* Around a stop: the terminal is no longer ours, and is again. */
    void (*leave)(struct interactive *interactive);
    void (*enter)(struct interactive *interactive);
    void (*resized)(struct interactive *interactive);
};

struct interactive {
    struct talk_command *command;
    spile_talk *talk;
    spile_loop *loop;
    const struct interactive_mode *mode;
    struct own_terminal terminal;
    int signal_fd;
    bool is_colourful, has_stamps, has_local_echo;
    bool wants_secret; /* the next line is not shown, and not kept */
    bool has_ended;    /* nothing more will be said */
    bool is_over;
    int status, signal; /* what to exit with, or by */
    uint64_t until_ns, heard_ns;
    bool awaits_reply;   /* of messages: something was asked */
    uint64_t silence_ns; /* that is an end once all is said; 0: none is */
    unsigned char keys[KEY_BUFFER];
    size_t key_next, key_count;
};

/* interactive.c */
int interactive_run(struct talk_command *command, spile_talk *talk, spile_loop *loop);
/* Says what it is talking with, and which key leads out. */
void interactive_greet(struct interactive *interactive);
/* How the other side is to be opened for it. */
void interactive_prepare(struct talk_command *command);
/* The next byte from the terminal, or NO_KEY: it is over. */
int interactive_key(struct interactive *interactive);
void interactive_stop(struct interactive *interactive, int status);
/* Prints as it is; a terminal that takes nothing ends it. */
void interactive_print(struct interactive *interactive, const char *text, size_t size);
/* A line of our own, between those of the two sides. */
void interactive_note(struct interactive *interactive, const char *format, ...) PRINTF_LIKE(2, 3);
/* "[12:34:56.789] ", with colour only where that is wanted, or "". */
const char *interactive_stamp(const struct interactive *interactive, bool with_colour, char stamp[32]);
/* Text, or bytes as they are; what can't be said is noted, and false. */
bool interactive_say(struct interactive *interactive, const char *text, size_t size, bool is_text);
bool interactive_say_secret(struct interactive *interactive, const char *line);
void interactive_end(struct interactive *interactive); /* all is said */
void interactive_suspend(struct interactive *interactive);
/* Whether the other side is a terminal that gives keys like ^C a meaning: a child's, or a port. */
bool interactive_with_terminal(const struct interactive *interactive);

/* menu.c */
/* The escape key was pressed. */
void menu_open(struct interactive *interactive);
/* "^]" and the like: the key, or -1 where that is none; "none" is 0. And back. */
int key_parse(const char *text);
const char *key_name(int key);

/* line_editor.c, or no_line_editor.c */
extern const char *const line_editor_missing; /* NULL, or why there is none */
int line_editor_run(struct interactive *interactive);
/* raw_keys.c */
int raw_keys_run(struct interactive *interactive);

/* history.c: where the lines are kept; NULL where nowhere. */
const char *history_path(const struct talk_command *command);
void history_load(const char *path, void (*add)(void *user, const char *line), void *user);
/* Returns 0 or a negative errno. */
int history_append(const char *path, const char *line);
