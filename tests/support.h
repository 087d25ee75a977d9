/* What the tests of plans and calls share: making both in a line, looking at results, places on disk that go away, and
 * counts of what may not be left behind. Everything here ends the test where it fails.
 */
#pragma once

#include "base/util.h"
#include "spile.h"

#include <check.h>

/* "namespace", "reaper" or "none", the test program's first argument; without one, the best there is. */
void support_begin(int argc, char **argv);
spile_ctx *support_ctx(void);
/* Whether calls can be contained in that way here; else why not is printed, behind the mark. */
bool support_can(spile_containment kind, const char *mark);
spile_containment support_containment(void);
/* Runs the suite as TAP; the exit status of the test program. */
int support_run(Suite *suite);

/* ------------------------------------------------------------------------------------------------ plans, calls */

spile_plan *plan_of(const char *const *templates, size_t count);
#define PLAN(...) \
    plan_of((const char *const[]){__VA_ARGS__}, sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *))
/* A call that alone holds its plan. */
spile_call *call_of(spile_plan *plan, const spile_call_options *options);
#define CALL(...) call_of(PLAN(__VA_ARGS__), NULL)
#define CALL_WITH(options, ...) call_of(PLAN(__VA_ARGS__), options)
#define OPTIONS(...) (&(spile_call_options){.size = sizeof(spile_call_options), __VA_ARGS__})

void give(spile_call *call, const char *name, const char *text);
/* Runs the call, frees it and hands out the result; says what went wrong where it failed. */
spile_result *run_well(spile_call *call);
/* The same for one that must fail with this kind, with `part` in its message. */
spile_result *run_badly(spile_call *call, spile_error_kind kind, const char *part);

spile_program_result program_of(const spile_result *result, size_t program);
spile_output_info output_of(const spile_result *result, const char *name);
bool has_output(const spile_result *result, const char *name);
void check_output(const spile_result *result, const char *name, const char *text);
void check_bytes(const spile_result *result, const char *name, const void *data, size_t size);
void check_error(const spile_error *error, spile_error_kind kind, const char *part);

/* `size` bytes that no slice of a wrong place or length equals. */
unsigned char *pattern_bytes(size_t size);

/* ------------------------------------------------------------------------------------------------ places on disk */

/* A directory of the test, made by the first use and removed by support_run. */
const char *scratch(void);
/* The path of a name in it; good for the next eight uses. */
const char *in_scratch(const char *name);
void write_text(const char *path, const char *text);
/* The caller frees it. */
char *read_text(const char *path);
void check_text(const char *path, const char *text);
mode_t mode_of(const char *path);

/* ------------------------------------------------------------------------------------------------ leftovers */

/* Of a directory, without "." and "..". */
size_t entries_in(const char *path);
size_t open_fds(void);
/* Processes that were started by this test program's calls and still are. */
size_t own_processes(void);
/* Frees the context; then nothing is left but the descriptors that were there before it was made. */
void check_nothing_left(size_t fds_before);
