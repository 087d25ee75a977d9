/* A question: what the files that ask share (ask.c, reply.c, question.c). */
#pragma once

#include "talk/talk.h"

enum ask_state {
    ASK_WAITING, /* for its turn, for the talk to open, for a prompt, for a late reply */
    ASK_ASKED,   /* its line is written or queued */
    ASK_DONE,    /* its result is known */
};

struct talk_ask {
    struct talk_ask *next;
    spile_talk *talk;
    enum ask_state state;
    char *line;
    spile_ask_options options; /* its lists and strings are not the caller's any more */
    char **ends, **errors;
    struct delimiter prompt;
    bool has_prompt, drops_echo, is_echo_over;
    uint64_t until_ns, asked_ns;
    struct loop_timer timer; /* its deadline, a silence; or to tell its result */
    struct text reply;
    size_t lines;
    char *end;
    bool is_bad; /* not all of it is text */
    bool is_out; /* all of its line is written */
    int result;
    spile_error *error;
    spile_ask_fn done; /* NULL: someone waits for it */
    void *user;
};

/* ask.c */
int ask_new(spile_talk *talk, const char *line, const spile_ask_options *options, struct talk_ask **ret_ask);
struct talk_ask *ask_free(struct talk_ask *ask);

/* A thread that asks, or waits for its turn. */
struct ask_turn {
    struct ask_turn *next;
};
/* Keeps the questions of all threads away until it lets them go. -EBUSY: one is under way. */
int ask_hold(spile_talk *talk, struct ask_turn *turn);
void ask_let_go(spile_talk *talk);

/* question.c */
/* The first that is not done, or NULL. */
struct talk_ask *ask_current(const spile_talk *talk);
/* Does what can be done for it now. */
void ask_look(struct talk_ask *ask);
/* The same, as a timer. */
void ask_look_later(struct loop_timer *timer);
void ask_unlink(struct talk_ask *ask);
/* Sets the first `size` bytes aside, as text that came unasked. -ENOBUFS: there is too much of it. */
int ask_set_aside(spile_talk *talk, size_t size);

/* reply.c */
/* Takes what has arrived as far as it belongs to the reply. 1: it is whole, 0: more is to come. */
int reply_take(struct talk_ask *ask);
/* Takes the rest as its last line: it ended by silence. */
void reply_take_silence(struct talk_ask *ask);
bool reply_has_begun(const struct talk_ask *ask);
/* Adds what has come of a reply that is not whole, for whoever is told that it did not come; it stays to be read. */
void reply_show_rest(struct talk_ask *ask);
