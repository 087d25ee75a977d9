/* What the tests of the template language share: a program as one string, and the check of a message. */
#pragma once

#include "call/template.h"

#include <check.h>

/* Stands in the tables before the place that a message must point at. */
#define PLACE "¶"

/* All programs, joined by bars: variables, words, side files, ties. The caller frees it. */
char *print_programs(spile_program **programs, size_t count);
void free_programs(spile_program **programs, size_t count);
/* Takes the mark of the place out of the text and returns where it stood. */
ssize_t take_place(char *text);
/* How many columns precede `bytes` bytes of UTF-8. */
size_t columns_of(const char *text, size_t bytes);
/* The error is about that place of `text`, says so in its first line and the cure in its last, and the caret between
 * them stands right. */
void check_error(spile_error *error, const char *text, ssize_t place, const char *summary, const char *cure);

TCase *template_wrong_cases(void);
TCase *template_program_cases(void);
TCase *template_memory_cases(void);
