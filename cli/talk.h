/* What `spile talk` and `spile ask` share: their options, and what to exit with. */
#pragma once

#include "cli.h"

/* So much silence is an end where nothing else tells one. */
enum { SILENCE_MS = 1000 };
enum { EXIT_ERROR_REPLY = 1, EXIT_END_OF_STREAM = 3, EXIT_TIMED_OUT = 124, EXIT_INTERRUPTED = 130 };

struct chain;

enum talk_colour { COLOUR_AUTO = 0, COLOUR_ALWAYS, COLOUR_NEVER };

struct talk_command {
    const char *name; /* "talk" or "ask" */
    bool help;
    const char *endpoint;
    word_list lines;
    spile_talk_options options;
    spile_ask_options ask;
    bool has_timeout;
    uint64_t timeout_ns; /* of each question, or of all of it */
    word_list environment, ends, errors;
    uint64_t losses; /* that were told */
    bool is_lost;
    bool has_ends;       /* --ends was given */
    struct chain *chain; /* never NULL in `spile talk` */

    /* at a terminal */
    bool raw, timestamps, local_echo, no_history;
    int escape; /* a key; 0: none */
    enum talk_colour colour;
    const char *history; /* a file, or NULL */
    int ended_by;        /* a signal, or 0 */
};

/* talk_options.c: NULL, or the complaint about the first word that is wrong. */
const char *talk_options_parse(struct talk_command *command, char **words, size_t count);

/* talk_both.c */
/* Opens it; NULL and a complaint, with *ret_status what to exit with, where that failed. */
spile_talk *talk_open(struct talk_command *command, int *ret_status);
/* Tells what went wrong (frees the error), and returns what to exit with. */
int talk_failed(int result, spile_error *error);
/* Asks one line and prints the reply. Returns what to exit with. */
int talk_ask(spile_talk *talk, const spile_ask_options *how, const char *line);
/* What is to be told of a loss of the endpoint, or of its return; NULL: nothing. */
const char *talk_loss_news(struct talk_command *command, const spile_talk *talk);
/* Closes it, waiting for what is still to be written and for a program to end. */
int talk_close(const struct talk_command *command, spile_talk *talk, uint64_t timeout_ns);

spile_talk_info talk_info(const spile_talk *talk);
/* What counts as an end once all is said; 0: nothing does. */
uint64_t talk_silence_ns(const struct talk_command *command, const spile_talk *talk);
uint64_t talk_now_ns(void);
/* Until then, in poll's milliseconds; UINT64_MAX: any time. */
int talk_poll_ms(uint64_t until_ns);

extern const char ask_help[], talk_help[];
