/* Patterns and trees: see pattern.h. fnmatch(3) does the work within a component. */
#include "call/pattern.h"
#include "call/program.h"

#include <fnmatch.h>

static bool components_match(const char *pattern, const char *name);

/* "**": every rest of the name that begins a component, hidden ones left out. */
static bool any_depth_match(const char *pattern, const char *name) {
    for (;;) {
        if (components_match(pattern, name))
            return true;
        const char *slash = strchr(name, '/');
        if (!slash || name[0] == '.')
            return false;
        name = slash + 1;
    }
}

static bool components_match(const char *pattern, const char *name) {
    if (strncmp(pattern, "**/", 3) == 0)
        return any_depth_match(pattern + 3, name);
    const char *pattern_end = strchrnul(pattern, '/');
    const char *across = strstr(pattern, "**");
    if (across && across < pattern_end)
        return fnmatch(pattern, name, FNM_PERIOD) == 0; /* without FNM_PATHNAME a star crosses slashes */
    const char *name_end = strchrnul(name, '/');
    if ((*pattern_end == '/') != (*name_end == '/'))
        return false;
    char component[2][NAME_MAX + 1];
    size_t sizes[2] = {(size_t)(pattern_end - pattern), (size_t)(name_end - name)};
    if (sizes[0] > NAME_MAX || sizes[1] > NAME_MAX)
        return false;
    memcpy(component[0], pattern, sizes[0]);
    memcpy(component[1], name, sizes[1]);
    component[0][sizes[0]] = component[1][sizes[1]] = '\0';
    if (fnmatch(component[0], component[1], FNM_PERIOD) != 0)
        return false;
    return *pattern_end == '\0' || components_match(pattern_end + 1, name_end + 1);
}

bool pattern_match(const char *pattern, const char *name) {
    if (name_is_tree(pattern))
        return strncmp(pattern, name, strlen(pattern)) == 0;
    if (name_is_pattern(pattern))
        return components_match(pattern, name);
    return strcmp(pattern, name) == 0;
}

/* Both as sequences of characters, "any character" and "any run"; brackets count as any character. A run that ends a
 * tree is its final slash. */
static bool runs_overlap(const char *a, const char *b) {
    bool a_run = *a == '*' || (*a == '/' && a[1] == '\0'), b_run = *b == '*' || (*b == '/' && b[1] == '\0');
    if (*a == '\0' || *b == '\0')
        return a_run ? runs_overlap(a + 1, b) : b_run ? runs_overlap(a, b + 1) : *a == *b;
    if (a_run)
        return runs_overlap(a + 1, b) ||
               runs_overlap(a, *b == '[' ? strchrnul(b, ']') + (strchr(b, ']') != NULL) : b + 1);
    if (b_run)
        return runs_overlap(b, a);
    bool a_any = *a == '?' || *a == '[', b_any = *b == '?' || *b == '[';
    if (!a_any && !b_any && *a != *b)
        return false;
    a = *a == '[' && strchr(a, ']') ? strchr(a, ']') : a;
    b = *b == '[' && strchr(b, ']') ? strchr(b, ']') : b;
    return runs_overlap(a + 1, b + 1);
}

bool pattern_overlap(const char *a, const char *b) {
    bool a_plain = !name_is_pattern(a) && !name_is_tree(a), b_plain = !name_is_pattern(b) && !name_is_tree(b);
    if (b_plain)
        return pattern_match(a, b);
    return a_plain ? pattern_match(b, a) : runs_overlap(a, b);
}
