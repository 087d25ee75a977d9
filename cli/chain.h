/* Dialogues of `spile talk`: what is waited for and what is said then, from options or a file.
 *
 *   chain.c         the steps: made, checked, gone through
 *   chain_script.c  a file of steps, with branches
 */
#pragma once

#include "talk.h"

enum chain_action { CHAIN_NEXT = 0, CHAIN_GOTO, CHAIN_EXIT };

/* What to do then. */
struct chain_then {
    enum chain_action action;
    const char *label;
    size_t target; /* of a label: a step */
    int status;
};

struct chain_case {
    spile_pattern pattern;
    struct chain_then then;
};

enum chain_kind { CHAIN_EXPECT, CHAIN_SEND, CHAIN_SECRET, CHAIN_JUMP };

struct chain_step {
    enum chain_kind kind;
    unsigned line; /* of the file, or 0 */
    LIST_OF(struct chain_case) cases;
    spile_patterns *patterns; /* of them */
    uint64_t timeout_ns;      /* 0: that of the command */
    const char *text;         /* what is said */
    struct chain_then then;   /* of a jump */
};

struct chain {
    LIST_OF(struct chain_step) steps;
    LIST_OF(struct chain_case) always; /* --fail */
    const char *script;                /* the file's name, or NULL */
    bool goes_on;                      /* --go-on */
};

/* The options, one each; NULL, or a complaint. */
const char *chain_expect(struct chain *chain, const char *expression);
const char *chain_expect_text(struct chain *chain, const char *text);
const char *chain_fail(struct chain *chain, const char *expression);
const char *chain_send(struct chain *chain, const char *text);
const char *chain_secret_file(struct chain *chain, const char *path);
const char *chain_secret_variable(struct chain *chain, const char *name);
/* chain_script.c */
const char *chain_script(struct chain *chain, const char *path);

/* Whether all of it makes sense: NULL, or a complaint. */
const char *chain_check(struct chain *chain);
/* Goes through it. Returns what to exit with; *ret_lingers: the last was said, and its answer is still to come. */
int chain_run(struct chain *chain, const char *endpoint, spile_talk *talk, uint64_t timeout_ns, bool *ret_lingers);
