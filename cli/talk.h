/* What `spile talk` and `spile ask` share: their options, and what to exit with. */
#pragma once

#include "cli.h"

enum { EXIT_ERROR_REPLY = 1, EXIT_END_OF_STREAM = 3, EXIT_TIMED_OUT = 124 };

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
};

/* NULL, or the complaint about the first word that is wrong. */
const char *talk_options_parse(struct talk_command *command, char **words, size_t count);
/* Opens it; NULL and a complaint, with *ret_status what to exit with, where that failed. */
spile_talk *talk_open(struct talk_command *command, int *ret_status);
/* Tells what went wrong (frees the error), and returns what to exit with. */
int talk_failed(int result, spile_error *error);
/* Asks one line and prints the reply. Returns what to exit with. */
int talk_ask(spile_talk *talk, const spile_ask_options *how, const char *line);
/* Closes it, waiting for what is still to be written and for a program to end. */
int talk_close(spile_talk *talk, uint64_t timeout_ns);

extern const char ask_help[], talk_help[];
