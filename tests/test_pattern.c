/* Patterns and trees: which names they match, and whether two of them can match the same name; the latter against all
 * short names there are. */
#include "call/pattern.h"
#include "support.h"

struct match {
    const char *pattern, *name;
    bool is_match;
};

static const struct match matches[] = {
    {"a", "a", true},
    {"a", "ab", false},
    {"*", "a", true},
    {"*", "", true},
    {"*", "a/b", false},
    {"*", ".a", false}, /* hidden, as in a shell */
    {".*", ".a", true},
    {"*.o", "a.o", true},
    {"*.o", "a.o.c", false},
    {"*.o", "x/a.o", false},
    {"x/*.o", "x/a.o", true},
    {"x/*.o", "x/y/a.o", false},
    {"?", "a", true},
    {"?", "ab", false},
    {"a?c", "a/c", false},
    {"[ab].c", "b.c", true},
    {"[!ab].c", "c.c", true},
    {"[!ab].c", "b.c", false},
    {"[a-c]", "b", true},
    {"**/*.o", "a.o", true},
    {"**/*.o", "x/a.o", true},
    {"**/*.o", "x/y/a.o", true},
    {"**/*.o", "x/y/a.c", false},
    {"**/*.o", ".x/a.o", false},
    {"x/**/a", "x/a", true},
    {"x/**/a", "x/y/z/a", true},
    {"x/**/a", "y/a", false},
    {"**", "x/y", true},
    {"x/**", "x/y/z", true},
    {"out/", "out/a", true},
    {"out/", "out/b/c", true},
    {"out/", "out", false},
    {"out/", "outer/a", false},
    {"a.o", "a.o/x", false},
};

START_TEST(matched) {
    const struct match *match = &matches[_i];
    ck_assert_msg(pattern_match(match->pattern, match->name) == match->is_match, "'%s' on '%s'", match->pattern,
                  match->name);
}
END_TEST

static const char *const patterns[] = {
    "a",   "b",   "ab", "a.b",  "a/b", "*",  "?",    "*.b",  "a.*", "a*",  "?b", "*a*",   "[ab]", "[ab].b",
    "a/*", "*/b", "a/", "a/b/", "**",  "b/", "a/**", "**/b", "?/?", "*.a", "??", "a[ab]", "*b",   "/*",
};

/* Whether some name of up to four characters that may be a file's matches both. */
static bool overlap_by_trial(const char *a, const char *b) {
    static const char letters[] = "ab./";
    for (unsigned number = 0; number < 4 * 4 * 4 * 4 * 4; number++) {
        char name[6] = "";
        unsigned rest = number;
        for (size_t size = 0; rest > 0 && size < 5; size++, rest /= 5)
            if (rest % 5 > 0)
                name[strlen(name)] = letters[rest % 5 - 1];
        size_t size = strlen(name);
        bool is_file = size > 0 && name[0] != '/' && name[size - 1] != '/' && !strstr(name, "//") && name[0] != '.' &&
                       !strstr(name, "/.");
        if (is_file && pattern_match(a, name) && pattern_match(b, name))
            return true;
    }
    return false;
}

/* What names can show must be said. The reverse only where it is certain: brackets count as any character. */
START_TEST(overlapped) {
    size_t seen = 0;
    for (size_t i = 0; i < ARRAY_SIZE(patterns); i++)
        for (size_t j = 0; j < ARRAY_SIZE(patterns); j++) {
            const char *a = patterns[i], *b = patterns[j];
            bool is_found = overlap_by_trial(a, b), is_said = pattern_overlap(a, b);
            seen += is_found;
            ck_assert_msg(!is_found || is_said, "'%s' and '%s' overlap", a, b);
            ck_assert_msg(is_said == pattern_overlap(b, a), "'%s' and '%s' one way only", a, b);
        }
    ck_assert_uint_gt(seen, 100);
}
END_TEST

static const char *const apart[][2] = {
    {"*.o", "*.c"}, {"*.o", "x/*.o"}, {"a*", "b*"},   {"a", "b"},     {"a/", "b/"},    {"out/", "*.o"},
    {"?", "??"},    {"a?", "?b?"},    {"x/*", "y/*"}, {"*.o", "a.c"}, {"out/", "out"}, {"[ab].c", "x.o"},
};

START_TEST(kept_apart) {
    ck_assert_msg(!pattern_overlap(apart[_i][0], apart[_i][1]), "'%s' and '%s'", apart[_i][0], apart[_i][1]);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("pattern");
    TCase *tests = tcase_create("pattern");
    tcase_add_loop_test(tests, matched, 0, (int)ARRAY_SIZE(matches));
    tcase_add_test(tests, overlapped);
    tcase_add_loop_test(tests, kept_apart, 0, (int)ARRAY_SIZE(apart));
    suite_add_tcase(suite, tests);
    return support_run(suite);
}
