/* The template language: what each template means; as words that are already split; quoting; what lies on disk. */
#include "template_support.h"

#include <glob.h>

/* ------------------------------------------------------------------------------------------ what is right */

static const struct {
    const char *text, *meaning;
} right[] = {
    {"cp {<a} {>b}", "[cp] {<a} {>b}"},
    {"  cp\t{<a}   {>b} \n\n", "[cp] {<a} {>b}"},
    {"\n\ncp {<a} {>b}", "[cp] {<a} {>b}"},
    {"cp {<a} \\\n  {>b}\\\n", "[cp] {<a} {>b}"},
    {"c\\\np x", "[cp] [x]"},
    {"strip {<>prog}", "[strip] {<>prog}"},
    {"gcc -c {<a.c} {+<inc/a.h} -o {>a.o} {+>a.d} {+<>a.gcda}",
     "[gcc] [-c] {<a.c} [-o] {>a.o} {+<inc/a.h} {+>a.d} {+<>a.gcda}"},
    {"x {<in|} {>out|} {+<side|} {+>made|}", "[x] {<in|} {>out|} {+<side|} {+>made|}"},
    {"convert -resize {size} a{x}b{y_1}", "[convert] [-resize] (size) [a](x)[b](y_1)"},
    {"ls {args...} \"{more...}\"", "[ls] (args...) (more...)"},
    {"{tool} {<x}", "(tool) {<x}"},
    {"{<tool} {<x}", "{<tool} {<x}"},
    {"./{<tool} -o{>x.map} -Wl,-Map={>y.map}", "[./]{<tool} [-o]{>x.map} [-Wl,-Map=]{>y.map}"},
    {"gcc {<*.o} {<src/**/?[ab].o} -o {>prog}", "[gcc] {<*.o} {<src/**/?[ab].o} [-o] {>prog}"},
    {"x {<>*.png} {+>*.o} {+<*.h} {+<>*.x}", "[x] {<>*.png} {+>*.o} {+<*.h} {+<>*.x}"},
    {"cc -I{<inc/} {>out/}", "[cc] [-I]{<inc/} {>out/}"},
    {"x {<a b.c} {<a'b\"c\\d$e.c}", "[x] {<a b.c} {<a'b\"c\\d$e.c}"},
    {"x {<a|b} {<|c|}", "[x] {<a|b} {<|c|}"},
    {"x {<a{{b}}c}", "[x] {<a{b}c}"},
    {"x {{y}} {{{v}}} \"{{{v}}}\"", "[x] [{y}] [{](v)[}] [{](v)[}]"},
    {"x \\{a\\} \\}", "[x] [{a}] [}]"},
    /* standard streams */
    {"sort <{a} >{b}", "[sort] 0:{<a} 1:{>b}"},
    {"sort 0<{a} 1>{b} 2>{c}", "[sort] 0:{<a} 1:{>b} 2:{>c}"},
    {"sort <{a|} >{b|} 2>{c|}", "[sort] 0:{<a|} 1:{>b|} 2:{>c|}"},
    {"sort >>{log} 2>>{log}", "[sort] 1:{>>log} 2:{>>log}"},
    {"<{a} sort >{b} 2>&1", "[sort] 0:{<a} 1:{>b} 2>&1"},
    {"sort 2>&1", "[sort] 2>&1"},
    {"x 2>{a} b>c", NULL},
    {"x '2'\\>\\{y\\}", "[x] [2>{y}]"},
    {"x 12 2 22", "[x] [12] [2] [22]"},
    {"x {+>log} >{log}", "[x] 1:{>log}"},
    /* bars */
    {"a {<x} | b {v} | c >{z}", "[a] {<x} | [b] (v) | [c] 1:{>z}"},
    {"a|b", "[a] | [b]"},
    {"a 2>&1|b", "[a] 2>&1 | [b]"},
    {"a 2>{e}|b", "[a] 2:{>e} | [b]"},
    {"a '|' \"|\" \\|", "[a] [|] [|] [|]"},
    {"A=1 a | B=2 b", "A=[1] [a] | B=[2] [b]"},
    /* variables */
    {"A=1 B= C=x{v}y D={<f} prog A=2", "A=[1] B=[] C=[x](v)[y] D={<f} [prog] [A=2]"},
    {"A=1 A='2 3' p", "A=[2 3] [p]"},
    {"<{in} A=1 p", "A=[1] [p] 0:{<in}"},
    {"'A'=1 p", "[A=1] [p]"},
    {"A\\=1 p", "[A=1] [p]"},
    {"1A=1 p", "[1A=1] [p]"},
    {"A=a~ p", "A=[a~] [p]"},
    /* quoting */
    {"awk '{print $1}' {<x}", "[awk] [{print $1}] {<x}"},
    {"x '' \"\" a''b", "[x] [] [] [ab]"},
    {"x 'a\nb' \"c\nz\\\ne\"", "[x] [a\nb] [c\nze]"},
    {"x \"a\\$b\\`c\\\"d\\\\e\\f\\{v}\"", "[x] [a$b`c\"d\\e\\f\\](v)"},
    {"x \"{<a b} and {v}\"", "[x] {<a b}[ and ](v)"},
    {"x a\\ b \\'\\\"\\\\\\$\\`", "[x] [a b] ['\"\\$`]"},
    {"x '*?~#;&()<>|`$a' \"*?~#;&()<>|'\"", "[x] [*?~#;&()<>|`$a] [*?~#;&()<>|']"},
    {"x \\*\\?\\~\\#\\;\\&\\(\\)\\<\\>\\[a]", "[x] [*?~#;&()<>[a]]"},
    {"x a# a~ [ ] a[]b -[", "[x] [a#] [a~] [[] []] [a[]b] [-[]"},
    {"x $ a$ $. $, \"$\" \"$ \" $%", "[x] [$] [a$] [$.] [$,] [$] [$ ] [$%]"},
    {"x \\\n ~y", NULL},
    {"x a=~ -o=#", "[x] [a=~] [-o=#]"},
    {"x é\xff", "[x] [é\xff]"},
    /* one name, several marks */
    {"sort -o {<>t} {<>t}", "[sort] [-o] {<>t} {<>t}"},
    {"x {<a} {<a} {+<a}", "[x] {<a} {<a}"},
    {"x {+<a} {<a}", "[x] {<a}"},
    {"x {+<a} {+<>a}", "[x] {+<>a}"},
    {"x {<a} {<>a} {<a}", "[x] {<>a} {<>a} {<>a}"},
    {"x {<a} <{a}", "[x] {<a} 0:{<a}"},
    {"x {<>a} <{a}", "[x] {<>a} 0:{<>a}"},
    {"x {<a} | y {>a}", "[x] {<a} | [y] {>a}"},
    /* sh -c */
    {"sh -c 'grep \"$1\"' sh {pat}", "[sh] [-c] [grep \"$1\"] [sh] (pat)"},
    {"sh -c \"cmp {<a} {<b} > {>r}\" {v}", "[sh] [-c] [cmp ]{<a}[ ]{<b}[ > ]{>r} (v)"},
    {"sh {script} -c {x}", "[sh] (script) [-c] (x)"},
    {"bash -o pipefail {x}", "[bash] [-o] [pipefail] (x)"},
    {"grep sh -c {x}", "[grep] [sh] [-c] (x)"},
    {"env A={x} sh -e {y}", "[env] [A=](x) [sh] [-e] (y)"},
    {"busybox grep -c {x}", "[busybox] [grep] [-c] (x)"},
    {"sh -- -c {x}", "[sh] [--] [-c] (x)"},
};

START_TEST(test_right) {
    spile_program **programs = NULL;
    size_t count = 0;
    spile_error *error = NULL;
    int result = template_parse(right[_i].text, NULL, &programs, &count, &error);
    if (!right[_i].meaning) {
        ck_assert_int_eq(result, -EINVAL);
        spile_error_free(error);
        return;
    }
    ck_assert_msg(result == 0, "'%s': %s", right[_i].text, error ? spile_error_get_message(error) : "no error");
    ck_assert_ptr_null(error);
    char *meaning = print_programs(programs, count);
    ck_assert_str_eq(meaning, right[_i].meaning);
    free(meaning);
    free_programs(programs, count);
}
END_TEST

/* Every program knows its own part of the text; every word and file its place. */
START_TEST(test_places) {
    const char *text = " \nA=1 cp {<a} -o{>b} {+<side} 'q' 2>&1 |\tsort >{c}  ";
    spile_program **programs;
    size_t count;
    ck_assert_int_eq(template_parse(text, NULL, &programs, &count, NULL), 0);
    ck_assert_uint_eq(count, 2);
    static const struct {
        const char *text;
        const char *words[5], *files[4];
    } expected[] = {
        {"A=1 cp {<a} -o{>b} {+<side} 'q' 2>&1", {"cp", "{<a}", "-o{", "'q'"}, {"{<a}", "{>b}", "{+<side}"}},
        {"sort >{c}", {"sort"}, {">{c}"}},
    };
    for (size_t i = 0; i < count; i++) {
        const spile_program *program = programs[i];
        ck_assert_str_eq(program->template, text);
        size_t size = program->text_end - program->text_start;
        ck_assert_uint_eq(size, strlen(expected[i].text));
        ck_assert_mem_eq(text + program->text_start, expected[i].text, size);
        for (size_t k = 0; k < program->word_count; k++)
            ck_assert_ptr_eq(text + program->words[k].offset, strstr(text, expected[i].words[k]));
        for (size_t k = 0; k < program->file_count; k++)
            ck_assert_ptr_eq(text + program->files[k].offset, strstr(text, expected[i].files[k]));
    }
    free_programs(programs, count);
}
END_TEST

/* ---------------------------------------------------------------------------------------------- vectors */

static const struct {
    const char *words[6];
    const char *meaning; /* NULL: wrong */
    const char *text;    /* as a template; wrong: with the place */
    const char *summary, *cure;
} vectors[] = {
    {{"cp", "{<a}", "{>b}"}, "[cp] {<a} {>b}", "cp {<a} {>b}", NULL, NULL},
    {{"A=1", "|", "a;b", "'x'", "2>&1"},
     "[A=1] [|] [a;b] ['x'] [2>&1]",
     "\"A=1\" \"|\" \"a;b\" \"'x'\" \"2>&1\"",
     NULL,
     NULL},
    {{"x", "", "a b", "$HOME`\"\\", "\n"},
     "[x] [] [a b] [$HOME`\"\\] [\n]",
     "x \"\" \"a b\" \"\\$HOME\\`\\\"\\\\\" \"\n\"",
     NULL,
     NULL},
    {{"x", "${v}", ">{v}", "{{}}", "{<a b}", "{+<s}"},
     "[x] [$](v) [>](v) [{}] {<a b} {+<s}",
     "x \"\\${v}\" \">{v}\" {{}} {<a b} {+<s}",
     NULL,
     NULL},
    {{"x", "{l...}", "{<*.c}", "a={<q\"$}", "~", "*"},
     "[x] (l...) {<*.c} [a=]{<q\"$} [~] [*]",
     "x {l...} {<*.c} \"a={<q\"$}\" \"~\" \"*\"",
     NULL,
     NULL},
    {{"cp", "{", "{"}, NULL, "cp \"" PLACE "{\" \"{\"", "not quoted for your shell", "single quotes"},
    {{"cp", "{<a", "b}"}, NULL, "cp \"" PLACE "{<a\" \"b}\"", "no end", "{<name}"},
    {{"cp", "a b{<../x}"}, NULL, "cp \"a b" PLACE "{<../x}\"", "climbs out", "x=../x"},
    {{"cp", "a$\"}"}, NULL, "cp \"a\\$\\\"" PLACE "}\"", "closes no mark", "}}"},
    {{"cp", "a{+<x}"}, NULL, "cp a" PLACE "{+<x}", "must be a word of its own", "blank"},
    {{"cp", "{x", "y}"}, NULL, "cp \"" PLACE "{x\" \"y}\"", "starts no mark", "{<read}"},
    {{"cp", "{>*.c}"}, NULL, "cp " PLACE "{>*.c}", "not known", "{+>*.c}"},
    {{"sh", "-c", "grep {p}"}, NULL, "sh -c \"grep " PLACE "{p}\"", "'p'", "sh {p}"},
    {{"{+<x}"}, NULL, PLACE "{+<x}", "names no program", "name"},
    {{""}, NULL, "\"" PLACE "\"", "name is empty", "name"},
    {{NULL}, NULL, PLACE "", "empty", "write"},
};

START_TEST(test_vector) {
    size_t count = 0;
    while (count < ARRAY_SIZE(vectors[_i].words) && vectors[_i].words[count])
        count++;
    spile_program *program = NULL;
    spile_error *error = NULL;
    int result = template_parse_vector(vectors[_i].words, count, NULL, &program, &error);
    char text[256];
    snprintf(text, sizeof(text), "%s", vectors[_i].text);
    if (!vectors[_i].meaning) {
        ck_assert_int_eq(result, -EINVAL);
        ck_assert_ptr_null(program);
        ssize_t place = take_place(text);
        check_error(error, text, place, vectors[_i].summary, vectors[_i].cure);
        ck_assert(!*text || strstr(spile_error_get_message(error), text));
        spile_error_free(error);
        return;
    }
    ck_assert_msg(result == 0, "%s", error ? spile_error_get_message(error) : "no error");
    char *meaning = print_programs(&program, 1);
    ck_assert_str_eq(meaning, vectors[_i].meaning);
    ck_assert_str_eq(program->template, text);
    ck_assert_uint_eq(program->text_start, 0);
    ck_assert_uint_eq(program->text_end, strlen(text));
    /* The text means the same as a template. */
    spile_program **programs;
    size_t program_count;
    ck_assert_int_eq(template_parse(text, NULL, &programs, &program_count, NULL), 0);
    char *again = print_programs(programs, program_count);
    ck_assert_str_eq(again, meaning);
    free(again);
    free(meaning);
    free_programs(programs, program_count);
    spile_program_free(program);
}
END_TEST

/* ---------------------------------------------------------------------------------------------- quoting */

static void check_quoted(const char *text) {
    char *quoted = NULL;
    ck_assert_int_eq(spile_quote(text, &quoted), 0);
    AUTO_TEXT template = {0};
    text_printf(&template, "%s %s\t%s", *text ? quoted : "x", quoted, quoted);
    spile_program **programs;
    size_t count;
    spile_error *error = NULL;
    int result = template_parse(template.data, NULL, &programs, &count, &error);
    ck_assert_msg(result == 0, "%s", error ? spile_error_get_message(error) : "");
    ck_assert_uint_eq(count, 1);
    ck_assert_uint_eq(programs[0]->word_count, 3);
    for (size_t i = *text ? 0 : 1; i < 3; i++) {
        ck_assert_uint_eq(programs[0]->words[i].part_count, 1);
        ck_assert_int_eq(programs[0]->words[i].parts[0].type, SPILE_PART_TEXT);
        ck_assert_str_eq(programs[0]->words[i].parts[0].text, text);
    }
    free_programs(programs, count);
    free(quoted);
}

START_TEST(test_quote) {
    static const struct {
        const char *text, *quoted;
    } table[] = {
        {"", "''"}, {"a b", "'a b'"}, {"it's", "'it'\\''s'"}, {"-o", "-o"}, {"A=1", "'A=1'"}, {"{<a}", "'{<a}'"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        char *quoted;
        ck_assert_int_eq(spile_quote(table[i].text, &quoted), 0);
        ck_assert_str_eq(quoted, table[i].quoted);
        free(quoted);
        check_quoted(table[i].text);
    }
    ck_assert_int_eq(spile_quote(NULL, &(char *){NULL}), -EINVAL);
    unsigned seed = 12345;
    for (int round = 0; round < 3000; round++) {
        static const char special[] = "'\"\\{}|<>$`*?[]~#;&()= \t\n\r2a";
        char text[24];
        size_t size = (size_t)rand_r(&seed) % sizeof(text);
        for (size_t i = 0; i < size; i++)
            text[i] = rand_r(&seed) % 2 ? special[(size_t)rand_r(&seed) % (sizeof(special) - 1)]
                                        : (char)(1 + rand_r(&seed) % 255);
        text[size == sizeof(text) ? size - 1 : size] = '\0';
        check_quoted(text);
    }
}
END_TEST

/* --------------------------------------------------------------------------------------- what lies on disk */

/* Line by line, as `spile run -f` takes it; where there is a prefix, only the lines that have it. Returns how many. */
static int check_lines(const char *path, const char *prefix) {
    FILE *file = fopen(path, "re");
    ck_assert_ptr_nonnull(file);
    char *line = NULL;
    size_t capacity = 0;
    int lines = 0;
    while (getline(&line, &capacity, file) > 0) {
        if (strncmp(line, prefix, strlen(prefix)) != 0)
            continue;
        lines++;
        spile_program **programs;
        size_t count;
        spile_error *error = NULL;
        int result = template_parse(line, NULL, &programs, &count, &error);
        ck_assert_msg(result == 0, "%s: %s", path, error ? spile_error_get_message(error) : "");
        free_programs(programs, count);
    }
    free(line);
    fclose(file);
    return lines;
}

static void check_cases(const char *directory, const char *below) {
    glob_t found;
    char pattern[4096];
    snprintf(pattern, sizeof(pattern), "%s/%s", directory, below);
    if (glob(pattern, 0, NULL, &found) != 0) {
        fprintf(stderr, "SKIPPED: no cases in %s\n", pattern);
        return;
    }
    for (size_t i = 0; i < found.gl_pathc; i++)
        ck_assert_int_gt(check_lines(found.gl_pathv[i], ""), 0);
    globfree(&found);
}

START_TEST(test_cases) {
    check_cases(TEST_SOURCE, "cases/*/*/template");
    const char *more = getenv("SPILE_CASES");
    if (more)
        check_cases(more, "*/template");
    else
        fprintf(stderr, "SKIPPED: the cases in $SPILE_CASES, which is not set\n");
}
END_TEST

/* The manual page's examples are indented by a tab. */
START_TEST(test_manual) {
    ck_assert_int_gt(check_lines(TEST_SOURCE "/../man/spile-template.7.scd", "\t"), 7);
}
END_TEST

int fuzz_one(const uint8_t *data, size_t size);

START_TEST(test_corpus) {
    glob_t found;
    ck_assert_int_eq(glob(TEST_SOURCE "/corpus/template/*", 0, NULL, &found), 0);
    ck_assert_uint_gt(found.gl_pathc, 20);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        uint8_t data[4096];
        AUTO_FD fd = open(found.gl_pathv[i], O_RDONLY | O_CLOEXEC);
        ssize_t size = read(fd, data, sizeof(data));
        ck_assert_int_ge(size, 0);
        ck_assert_int_eq(fuzz_one(data, (size_t)size), 0);
    }
    globfree(&found);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("template");
    TCase *cases = tcase_create("right");
    tcase_add_loop_test(cases, test_right, 0, (int)ARRAY_SIZE(right));
    tcase_add_loop_test(cases, test_vector, 0, (int)ARRAY_SIZE(vectors));
    tcase_add_test(cases, test_places);
    tcase_add_test(cases, test_quote);
    tcase_add_test(cases, test_cases);
    tcase_add_test(cases, test_manual);
    tcase_add_test(cases, test_corpus);
    suite_add_tcase(suite, cases);
    suite_add_tcase(suite, template_wrong_cases());
    suite_add_tcase(suite, template_program_cases());
    suite_add_tcase(suite, template_memory_cases());
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_FORK);
    srunner_set_tap(runner, "-");
    srunner_run_all(runner, CK_SILENT);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
