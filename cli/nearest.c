/* Which word was meant: the offered one that is the fewest typing errors away, if few enough. */
#include "cli.h"

#include <string.h>

enum { LONGEST_WORD = 48 };

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

/* Insertions, deletions, replacements, and swaps of neighbours that lead from `a` to `b`. */
static size_t typing_errors(const char *a, const char *b) {
    size_t rows[3][LONGEST_WORD + 1]; /* the row before the last, the last, and this one */
    const size_t a_size = strlen(a), b_size = strlen(b);
    for (size_t j = 0; j <= b_size; j++)
        rows[1][j] = j;
    for (size_t i = 1; i <= a_size; i++) {
        size_t *const before = rows[(i + 2) % 3], *const above = rows[i % 3], *const row = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= b_size; j++) {
            row[j] = least(least(above[j], row[j - 1]) + 1, above[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = least(row[j], before[j - 2] + 1);
        }
    }
    return rows[(a_size + 1) % 3][b_size];
}

void nearest_offer(struct nearest *nearest, const char *candidate) {
    const size_t size = strlen(nearest->word);
    if (size == 0 || size > LONGEST_WORD || strlen(candidate) > LONGEST_WORD)
        return;
    size_t distance = typing_errors(nearest->word, candidate);
    bool is_prefix = size >= 3 && strncmp(nearest->word, candidate, size) == 0;
    if (is_prefix)
        distance = least(distance, 1);
    if (distance > 2 || distance >= size || (nearest->best && distance >= nearest->distance))
        return;
    nearest->best = candidate;
    nearest->distance = distance;
}
