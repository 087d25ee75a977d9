/* File names that stand for several: patterns ('*', '?', '[]' within a path component, '**' across) and trees
 * ("name/"). */
#pragma once

#include <stdbool.h>

/* Whether `name`, a plain name, is one that `pattern` (a pattern, a tree, or itself a plain name) stands for. As in a
 * shell, a leading dot is matched by a dot only. */
bool pattern_match(const char *pattern, const char *name);
/* Whether some name might be matched by both. Never wrongly false; true may be too cautious. */
bool pattern_overlap(const char *a, const char *b);
