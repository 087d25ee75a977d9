/* What the tests of talks share: talks in a line, and peers for them. Everything here ends the test where it fails. */
#pragma once

#include "support.h"

#define LONG_NS (60 * NS_PER_SECOND)
#define TALK_OPTIONS(...) (&(spile_talk_options){.size = sizeof(spile_talk_options), __VA_ARGS__})
#define ASK_OPTIONS(...) (&(spile_ask_options){.size = sizeof(spile_ask_options), __VA_ARGS__})

spile_talk *talk_with(const char *endpoint, const spile_talk_options *options);
/* It must be refused with this error. */
void refused(const char *endpoint, const spile_talk_options *options, int number, spile_error_kind kind,
             const char *part);
void say(spile_talk *talk, const char *line);
/* The next line is this one. */
void hear(spile_talk *talk, const char *line);
void hear_code(spile_talk *talk, int code, const char *line);
void hear_bytes(spile_talk *talk, int code, const void *data, size_t size);
/* Nothing more comes. */
void hear_end(spile_talk *talk);
void check_reply(spile_talk *talk, const char *line, const spile_ask_options *options, const char *reply);
/* It must fail with this error; what came of the reply is `reply`, NULL: whatever. */
void check_no_reply(spile_talk *talk, const char *line, const spile_ask_options *options, int number,
                    spile_error_kind kind, const char *part, const char *reply);
void end_talk(spile_talk *talk);
spile_talk_info talk_info(const spile_talk *talk);

/* A talk with a descriptor whose other end is *ret_peer. */
spile_talk *talk_with_socket(const spile_talk_options *options, int *ret_peer);
void peer_write(int fd, const char *text);
/* Reads until it has this text. */
void peer_read(int fd, const char *text);
/* A socket that listens there, whatever was there before. */
int listen_at(const char *path);
/* A pseudoterminal: its master, and its slave's path. */
int make_pty(char *ret_path, size_t size);

/* Sets of patterns. */
#define LITERAL(string) \
    { .kind = SPILE_PATTERN_LITERAL, .text = (string) }
#define REGEX(string, ...) \
    { .kind = SPILE_PATTERN_REGEX, .text = (string), __VA_ARGS__ }
#define END \
    { .kind = SPILE_PATTERN_END }
#define TIMEOUT \
    { .kind = SPILE_PATTERN_TIMEOUT }
#define EXPECT_OPTIONS(...) (&(spile_expect_options){.size = sizeof(spile_expect_options), __VA_ARGS__})
#define PATTERNS_OPTIONS(...) (&(spile_patterns_options){.size = sizeof(spile_patterns_options), __VA_ARGS__})
#define PATTERNS(...)                                 \
    patterns_of((const spile_pattern[]){__VA_ARGS__}, \
                sizeof((const spile_pattern[]){__VA_ARGS__}) / sizeof(spile_pattern), NULL)
spile_patterns *patterns_of(const spile_pattern *items, size_t count, const spile_patterns_options *options);
/* Waits for them, of which this one must come. */
spile_match expect_with(spile_talk *talk, const spile_patterns *patterns, const spile_expect_options *options,
                        int index);

/* The same numbers in each run, from 0 up to but not `limit`. */
void random_begin(uint32_t seed);
uint32_t random_below(uint32_t limit);
