/* The template language of DESIGN: text in, programs out. Knows nothing of plans, files that exist, or processes. */
#pragma once

#include "call/program.h"

/* Parses one template into the programs that its bars join (each but the last is piped to the next). On success hands
 * out an array that the caller frees, with its programs. -EINVAL with an error of kind TEMPLATE (offset set; the
 * message shows the template with a caret). */
int template_parse(const char *text, const spile_program_options *options, spile_program ***ret_programs,
                   size_t *ret_count, spile_error **ret_error);
/* One program whose words are already split: in them only {...} marks live. */
int template_parse_vector(const char *const *words, size_t count, const spile_program_options *options,
                          spile_program **ret_program, spile_error **ret_error);
/* "summary\n  template\n      ^\ncure": the way every message shows a place in a template. Puts offset into the error.
 * Used by the plan, too. `template` may be NULL (a program without text): then there is no picture. */
spile_error *template_error(spile_error_kind kind, const char *template, ssize_t offset, const char *summary,
                            const char *cure);
