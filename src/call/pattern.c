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

/* ------------------------------------------------------------------------------ overlap */

/* What a place of a pattern takes next. */
enum taking { TAKES_NOTHING, TAKES_ONE, TAKES_RUN };
struct place {
    enum taking taking;
    char character;    /* the one it takes; '\0': any */
    bool takes_slash;  /* where any */
    size_t next, skip; /* the places behind it; `skip` where it may take nothing, else 0 */
};

/* The size of the bracket expression at the start of the text; 0: it is none. */
static size_t bracket_size(const char *text) {
    size_t place = 1;
    if (text[0] != '[')
        return 0;
    place += text[place] == '!' || text[place] == '^';
    place += text[place] == ']'; /* the first one is a member */
    while (text[place] && text[place] != ']') {
        char kind = text[place] == '[' ? text[place + 1] : '\0';
        const char end[] = {kind, ']', '\0'};
        const char *closed = kind && strchr(":.=", kind) ? strstr(text + place + 2, end) : NULL;
        place = closed ? (size_t)(closed - text) + 2 : place + 1;
    }
    return text[place] ? place + 1 : 0;
}

struct overlap_side {
    const char *pattern;
    size_t size;
    bool is_tree;
    bool crosses; /* a "**" within a component lets every wildcard take slashes: see components_match */
};

static struct overlap_side side_of(const char *pattern) {
    struct overlap_side side = {.pattern = pattern, .size = strlen(pattern), .is_tree = name_is_tree(pattern)};
    for (const char *across = pattern; (across = strstr(across, "**")); across += 2)
        side.crosses |= across[2] != '/' || (across > pattern && across[-1] != '/');
    return side;
}

static struct place place_of(const struct overlap_side *side, size_t at) {
    const char *text = side->pattern + at;
    if (at == side->size)
        return (struct place){.taking = side->is_tree ? TAKES_RUN : TAKES_NOTHING, .takes_slash = true, .next = at};
    if (strncmp(text, "**/", 3) == 0 && (at == 0 || text[-1] == '/'))
        return (struct place){.taking = TAKES_RUN, .takes_slash = true, .next = at + 2, .skip = at + 3};
    if (strncmp(text, "**", 2) == 0)
        return (struct place){.taking = TAKES_RUN, .takes_slash = true, .next = at + 2};
    if (*text == '*')
        return (struct place){.taking = TAKES_RUN, .takes_slash = side->crosses, .next = at + 1};
    size_t bracket = bracket_size(text);
    if (*text == '?' || bracket)
        return (struct place){.taking = TAKES_ONE, .takes_slash = side->crosses, .next = at + (bracket ? bracket : 1)};
    return (struct place){.taking = TAKES_ONE, .character = *text, .next = at + 1};
}

static bool takes_alike(const struct place *a, const struct place *b) {
    if (a->character && b->character)
        return a->character == b->character;
    char character = a->character ? a->character : b->character;
    return character != '/' || (a->character ? b->takes_slash : a->takes_slash);
}

struct overlap {
    struct overlap_side a, b;
    unsigned char *seen; /* pairs of places that were looked at */
};

static bool rests_overlap(struct overlap *overlap, size_t a, size_t b);

/* The same once the run at this place of `a` has taken all it will. */
static bool ends_in_a(struct overlap *overlap, const struct place *run, size_t a, size_t b) {
    return run->taking == TAKES_RUN && run->next > a &&
           (rests_overlap(overlap, run->next, b) || (run->skip && rests_overlap(overlap, run->skip, b)));
}

static bool ends_in_b(struct overlap *overlap, const struct place *run, size_t a, size_t b) {
    return run->taking == TAKES_RUN && run->next > b &&
           (rests_overlap(overlap, a, run->next) || (run->skip && rests_overlap(overlap, a, run->skip)));
}

/* Whether the rests of both patterns from these places on can match the same text. */
static bool rests_overlap(struct overlap *overlap, size_t a, size_t b) {
    unsigned char *seen = &overlap->seen[a * (overlap->b.size + 1) + b];
    if (*seen)
        return false;
    *seen = 1;
    if (a == overlap->a.size && b == overlap->b.size)
        return true;
    struct place in_a = place_of(&overlap->a, a), in_b = place_of(&overlap->b, b);
    if (ends_in_a(overlap, &in_a, a, b) || ends_in_b(overlap, &in_b, a, b))
        return true;
    if (in_a.taking == TAKES_NOTHING || in_b.taking == TAKES_NOTHING || !takes_alike(&in_a, &in_b))
        return false;
    return rests_overlap(overlap, in_a.taking == TAKES_RUN ? a : in_a.next, in_b.taking == TAKES_RUN ? b : in_b.next);
}

bool pattern_overlap(const char *a, const char *b) {
    bool a_plain = !name_is_pattern(a) && !name_is_tree(a), b_plain = !name_is_pattern(b) && !name_is_tree(b);
    if (b_plain)
        return pattern_match(a, b);
    if (a_plain)
        return pattern_match(b, a);
    struct overlap overlap = {.a = side_of(a), .b = side_of(b)};
    AUTO_FREE unsigned char *seen = memory_zero(overlap.a.size + 1, overlap.b.size + 1);
    overlap.seen = seen;
    return !seen || rests_overlap(&overlap, 0, 0); /* without memory: perhaps, which errs on the side of an order */
}
