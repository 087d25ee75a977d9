/* What all commands of `spile` share: memory that lives as long as the process, text, messages, options.
 *
 * The command is a short-lived process: what it allocates stays until it ends, so nothing here is freed. Only objects
 * of the library are. Nothing is printed but through out_write and complain.
 */
#pragma once

#include "spile.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { EXIT_OWN_ERROR = 125, EXIT_BY_SIGNAL = 128 };

#define PRINTF_LIKE(place, arguments) __attribute__((format(printf, place, arguments)))

/* memory.c: never NULL; ends the process where there is none. Zeroed. */
void *allocate(size_t size);
char *allocate_format(const char *format, ...) PRINTF_LIKE(1, 2);
char *allocate_format_of(const char *format, va_list arguments) PRINTF_LIKE(1, 0);
char *allocate_copy(const char *bytes, size_t size); /* NUL-terminated */

/* A list: LIST_OF(int) numbers = {0}; *LIST_ADD(numbers) = 7; */
#define LIST_OF(type)           \
    struct {                    \
        type *items;            \
        size_t count, capacity; \
    }
#define LIST_ADD(list)                                                                              \
    ((list).items = list_room((list).items, (list).count, &(list).capacity, sizeof(*(list).items)), \
     &(list).items[(list).count++])
void *list_room(void *items, size_t count, size_t *capacity, size_t size);

struct builder {
    char *data; /* NUL-terminated; NULL while empty */
    size_t size, capacity;
};
void builder_add(struct builder *text, const char *bytes, size_t size);
void builder_puts(struct builder *text, const char *string);
void builder_printf(struct builder *text, const char *format, ...) PRINTF_LIKE(2, 3);
/* The bytes as valid UTF-8: each byte that is not part of a character becomes U+FFFD. */
const char *utf8_clean(const char *bytes, size_t size, size_t *ret_size);

/* How many bytes at the end are only the begin of a character. */
size_t utf8_begun(const char *bytes, size_t size);

/* output.c */
/* Opens the null device where a standard stream was closed, so that no file takes its number. Call it first. */
void standard_streams_check(void);
bool standard_stream_was_closed(int fd);
/* Writes all of it. A reader that left is -EPIPE. */
int write_all(int fd, const char *data, size_t size);
/* Writes to standard output for a command that has nothing else to do: returns what to exit with. */
int out_write(const char *data, size_t size);
/* "spile: MESSAGE" on standard error, in one write. */
void complain(const char *format, ...) PRINTF_LIKE(1, 2);

/* nearest.c: how far apart two words are, in typing errors; and whether that is near enough to be meant. */
struct nearest {
    const char *word; /* what was written */
    const char *best; /* the likeliest that was offered, or NULL */
    size_t distance;
};
void nearest_offer(struct nearest *nearest, const char *candidate);

/* options.c */
enum option_value { OPTION_FLAG, OPTION_VALUE, OPTION_MAY_HAVE_VALUE /* only behind '=' */ };
struct option {
    char letter;      /* or 0 */
    const char *name; /* without dashes, or NULL */
    enum option_value value;
    /* NULL where the value is fine, else what is wrong with it */
    const char *(*apply)(void *user, const char *value);
};
/* A flag's function, which sets a member of the struct that is the parser's `user`. */
#define FLAG_OPTION(function, type, member)                      \
    static const char *function(void *user, const char *value) { \
        (void)value;                                             \
        ((type *)user)->member = true;                           \
        return NULL;                                             \
    }
struct option_list {
    const struct option *items;
    size_t count;
};
struct option_parser {
    const char *command; /* whose help tells of them */
    const struct option *options;
    size_t count;
    void *user;
    const char *(*operand)(void *user, const char *word);
    const char *(*rest)(void *user, char **words, size_t count); /* what stands behind "--" */
};
/* Goes through the words; returns NULL, or the complaint about the first that is wrong. */
const char *options_parse(const struct option_parser *parser, char **words, size_t count);
/* The options of each command. */
struct option_list run_option_list(void), talk_option_list(bool is_ask), doctor_option_list(void);

/* number.c: "1.5s", "64M", "3"; false where it is none. */
bool parse_duration(const char *text, uint64_t *ret_ns);
bool parse_size(const char *text, uint64_t *ret_bytes);
bool parse_count(const char *text, unsigned long maximum, unsigned long *ret_count);

/* pattern.c: the regular files under `directory` that a pattern matches, sorted, named relative to it, as a shell
 * finds them. Returns 0 or a negative errno (the directory can't be read). */
typedef LIST_OF(const char *) word_list;
int pattern_find(const char *directory, const char *pattern, word_list *ret_names);

/* The commands; each returns what to exit with. */
int command_run(int argc, char **argv);
int command_talk(int argc, char **argv);
int command_ask(int argc, char **argv);
int command_doctor(int argc, char **argv);
int command_help(const char *topic);
int command_complete(int argc, char **argv);
/* Collects what processes fell to this one when what had started them ended: not every system's first process does so
 * at once, and nothing is to be left. */
void children_collect(void);
extern const char run_help[], doctor_help[];

/* doctor.c */
const char *containment_kind(spile_containment containment);
/* Adds the promises of a list "contained,files"; returns NULL, or what is wrong with it. */
const char *parse_promises(const char *text, unsigned *promises);
