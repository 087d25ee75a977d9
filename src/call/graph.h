/* What graph.c, ties.c and versions.c share; for them alone. */
#pragma once

#include "call/plan.h"
#include "call/template.h"

/* versions.c: a file of the program that stands for the name in a fitting role, a plain name before a pattern; or NULL.
 */
const struct file *graph_file_matching(const spile_program *program, const char *name, bool (*role_fits)(spile_role));
/* The file by which the program may write the name; what it says of the name itself goes before its patterns. */
const struct file *graph_file_writing(const spile_program *program, const char *name);
bool graph_role_writes(spile_role role);
bool graph_role_any(spile_role role);
/* The program that writes the name first, before any change of it: one that names it, or else the first whose pattern
 * matches. */
int graph_writer_of(const spile_plan *plan, size_t except, const char *name);

/* graph.c: an error that shows the file's mark in the template of the program; summary and cure are made by
 * graph_format and freed. */
int graph_refuse(const spile_plan *plan, size_t program, const struct file *file, int number, spile_error **ret_error,
                 char *summary, char *cure);
char *graph_format(const char *form, ...) __attribute__((format(printf, 1, 2)));

/* ties.c */
int ties_check_streams(const spile_plan *plan, spile_error **ret_error);
int ties_check_bars(const spile_plan *plan, spile_error **ret_error);
int ties_check_direct(const spile_plan *plan, size_t program, const struct file *file, spile_error **ret_error);
/* Says for each program which group it is of. */
void ties_make_groups(spile_plan *plan);
