/* The template language: what each template means, what each mistake is told, and that a lack of memory at any point
 * is a clean -ENOMEM. The place that a message must point at is written into the table: '¶' stands before it.
 */
#include "base/fault.h"
#include "call/template.h"

#include <check.h>
#include <glob.h>
#include <malloc.h>

#define PLACE "¶"

/* ------------------------------------------------------------------------------- a program as one string */

static void print_file(struct text *text, const struct file *file) {
    static const char *const signs[] = {
        [SPILE_READ] = "<", [SPILE_WRITE] = ">", [SPILE_CHANGE] = "<>", [SPILE_APPEND] = ">>"};
    text_printf(text, "{%s%s%s%s}", file->flags & SPILE_FILE_SIDE ? "+" : "", signs[file->role], file->name,
                file->kind == SPILE_STREAM ? "|" : "");
}

static void print_word(struct text *text, const spile_program *program, const struct word *word) {
    ck_assert_uint_gt(word->part_count, 0);
    for (size_t i = 0; i < word->part_count; i++) {
        const struct part *part = &word->parts[i];
        switch (part->type) {
        case SPILE_PART_TEXT:
            text_printf(text, "[%s]", part->text);
            break;
        case SPILE_PART_FILE:
            print_file(text, &program->files[part->file]);
            break;
        case SPILE_PART_VALUE:
            text_printf(text, "(%s)", part->text);
            break;
        case SPILE_PART_VALUES:
            text_printf(text, "(%s...)", part->text);
            break;
        }
    }
}

/* Variables, words, then what is not a word: side files, ties. */
static void print_program(struct text *text, const spile_program *program) {
    for (size_t i = 0; i < program->variable_count; i++) {
        text_printf(text, "%s=", program->variables[i].name);
        print_word(text, program, &program->variables[i].value);
        text_puts(text, " ");
    }
    for (size_t i = 0; i < program->word_count; i++) {
        text_puts(text, i ? " " : "");
        print_word(text, program, &program->words[i]);
    }
    for (size_t i = 0; i < program->file_count; i++) {
        if (!(program->files[i].flags & SPILE_FILE_SIDE))
            continue;
        text_puts(text, " ");
        print_file(text, &program->files[i]);
    }
    for (size_t i = 0; i < ARRAY_SIZE(program->tied); i++) {
        if (program->tied[i] < 0)
            continue;
        text_printf(text, " %zu:", i);
        print_file(text, &program->files[program->tied[i]]);
    }
    text_puts(text, program->merge_stderr ? " 2>&1" : "");
}

static char *print_programs(spile_program **programs, size_t count) {
    struct text text = {0};
    for (size_t i = 0; i < count; i++) {
        text_puts(&text, i ? " | " : "");
        print_program(&text, programs[i]);
    }
    return text_take(&text);
}

static void free_programs(spile_program **programs, size_t count) {
    for (size_t i = 0; i < count; i++)
        spile_program_free(programs[i]);
    free(programs);
}

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
    {"x 'a\nb' \"c\nd\\\ne\"", "[x] [a\nb] [c\nde]"},
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

/* ------------------------------------------------------------------------------------------ what is wrong */

static const struct {
    const char *text, *summary, *cure;
} wrong[] = {
    {PLACE "", "empty", "write a command"},
    {PLACE " \n\t ", "empty", "write a command"},
    {PLACE "{", "not quoted for your shell", "single quotes"},
    {" \n" PLACE "{ \n", "not quoted for your shell", "single quotes"},
    {"cp " PLACE "{ b", "starts no mark", "{<read}"},
    {"cp " PLACE "{", "starts no mark", "{value}"},
    {"cp " PLACE "{a,b}", "'{a,b}' is no mark", "{<a,b}"},
    {"find -exec rm " PLACE "{}", "'{}' is no mark", "{{}}"},
    {"cp " PLACE "{a.c}", "'{a.c}' is no mark", "{>a.c}"},
    {"cp " PLACE "{1a}", "is no mark", "{<1a}"},
    {"cp " PLACE "{a|}", "a value can't be a stream", "{<a|}"},
    {"cp " PLACE "{a..}", "is no mark", "{<a..}"},
    {"cp " PLACE "{a....}", "is no mark", "{<a....}"},
    {"cp " PLACE "{>>a}", "starts no mark", ">>{name}"},
    {"cp " PLACE "{<<a}", "starts no mark", "{<read}"},
    {"cp " PLACE "{<>>a}", "starts no mark", "{<read}"},
    {"cp " PLACE "{<a", "no end", "{<name}"},
    {"cp " PLACE "{+>a\n}", "no end", "{+>name}"},
    {"cp " PLACE "{<a}}", "no end", "{<name}"},
    {"cp {<a " PLACE "{>b}", "inside a mark", "{{"},
    {"cp " PLACE "}", "closes no mark", "}}"},
    {"cp \"" PLACE "}\"", "closes no mark", "}}"},
    {"cp {v}" PLACE "}", "closes no mark", "}}"},
    /* names */
    {"cc " PLACE "{<}", "no name", "{<name}"},
    {"cc " PLACE "{>|}", "no name", "{>name}"},
    {"cc >{b} " PLACE "<{}", "no name", "<{name}"},
    {"cc " PLACE "{<../a.c}", "'../a.c' climbs out of its directory", "write {<a.c} and give it with a.c=../a.c"},
    {"cc " PLACE "{>x/../../a.o}", "climbs out", "write {>a.o} and say where it is with a.o=x/../../a.o"},
    {"cc " PLACE "{<..}", "climbs out", "{<name}"},
    {"cc " PLACE "{+</usr/x.h}", "'/usr/x.h' is absolute", "write {+<x.h} and give it with x.h=/usr/x.h"},
    {"cc " PLACE "{</}", "is absolute", "{<name/}"},
    {"cc " PLACE "2>{/dev/null}", "is absolute", "write 2>{null} and say"},
    {"cc " PLACE "{<./a.c}", "'.' component", "write {<a.c}"},
    {"cc " PLACE "{<inc/./a//b.h}", "component", "write {<inc/a/b.h}"},
    {"cc " PLACE "{<inc//}", "empty component", "write {<inc/}"},
    {"cc " PLACE "{< a.c}", "begins or ends with a blank", "write {<a.c}"},
    {"cc " PLACE "{>a.o }", "begins or ends with a blank", "write {>a.o}"},
    {"cc " PLACE "{>  }", "begins or ends with a blank", "{>"},
    /* kinds */
    {"cc " PLACE "{<*.c|}", "the pattern '*.c' can't be a stream", "{<*.c}"},
    {"cc " PLACE "{<inc/|}", "the tree 'inc/' can't be a stream", "{<inc/}"},
    {"cc " PLACE "{<>a|}", "can't be changed in place as a stream", "{<>a}"},
    {"cc " PLACE ">>{a|}", "appended", ">{a|}"},
    {"cc " PLACE "<{*.c}", "pattern '*.c'", "<{name}"},
    {"cc " PLACE "2>>{d/}", "tree 'd/'", "2>>{name}"},
    {"cc " PLACE "{<*/}", "a pattern and a tree", "{<*/**}"},
    {"cc " PLACE "{>*.o}", "not known before the program has run", "{+>*.o}"},
    {"cc -o" PLACE "{<*.o}", "a pattern must be a word of its own", "blank"},
    {"cc " PLACE "{<>*.o}x", "a pattern must be a word of its own", "blank"},
    {"cc " PLACE "{v...}{w}", "a list of values must be a word of its own", "blank"},
    {"cc {w}" PLACE "{v...}", "a list of values must be a word of its own", "blank"},
    {"cc \"a " PLACE "{v...}\"", "a list of values must be a word of its own", "blank"},
    {"cc x" PLACE "{+<a.h}", "a side file must be a word of its own", "blank"},
    {"cc " PLACE "{+<a.h}{+<b.h}", "a side file must be a word of its own", "blank"},
    {"A=" PLACE "{v...} p", "a list of values can't be the value of a variable", "one value"},
    {"A=" PLACE "{<*.c} p", "a pattern can't be the value of a variable", "one value"},
    {"A=" PLACE "{+<c} p", "a side file can't be the value of a variable", "one value"},
    {PLACE "{v...} p", "a list of values can't be the program", "first"},
    {PLACE "{<*.c} p", "a pattern can't be the program", "first"},
    {PLACE "'' p", "name is empty", "first"},
    /* one name, several marks */
    {"x {<a} " PLACE "{>a}", "'a' is read and written", "{<>a}"},
    {"sort {<a} " PLACE ">{a}", "'a' is read and written", "{<>a}"},
    {"x {>a} " PLACE "{<>a}", "'a' is written and changed", "{<>a}"},
    {"x {<>a} " PLACE ">{a}", "'a' is written and changed", "{<>a}"},
    {"x {<a} " PLACE ">>{a}", "'a' is appended to", "another name"},
    {"x {<a} " PLACE "{<a|}", "stream in one mark", "or in none"},
    {"x {>a|} " PLACE ">{a}", "stream in one mark", "or in none"},
    /* standard streams */
    {"x " PLACE ">{a} 2>{b} >{c}", NULL, NULL},
    {"x >{a} " PLACE ">{c}", "standard output is tied twice: to 'a' and to 'c'", "drop one"},
    {"x <{a} " PLACE "0<{c}", "standard input is tied twice", "drop one"},
    {"x 2>{a} " PLACE "2>>{c}", "standard error is tied twice", "drop one"},
    {"x >{a} " PLACE "2>{a}", "overwrite each other in 'a'", "write >{a} 2>&1"},
    {"x 2>{a} " PLACE ">{a}", "overwrite each other in 'a'", "write >{a} 2>&1"},
    {"x " PLACE "2>&1 >{a}", "2>&1 stands before", "put 2>&1 after it"},
    {"x 2>{a} " PLACE "2>&1", "standard error is tied twice", "drop one"},
    {"x 2>&1 " PLACE "2>{a}", "standard error is tied twice", "drop one"},
    {"x 2>&1 " PLACE "2>&1", "twice", "drop one"},
    {"a >{x} " PLACE "| b", "standard output is tied twice: to 'x' and to the bar", "drop one"},
    {"a | b " PLACE "<{x}", "standard input is tied twice: to 'x' and to the bar", "drop one"},
    {"x " PLACE "3>{a}", "only the standard streams", "{<name}"},
    {"x " PLACE "12<{a}", "only the standard streams", "{<name}"},
    {"x " PLACE "0>{a}", "standard input is read", "<{name}"},
    {"x " PLACE "1<{a}", "standard output is written", "write >{name}"},
    {"x " PLACE "2<{a}", "standard error is written", "2>{name}"},
    {"x " PLACE "> {a}", "a blank stands between '>' and its mark", ">{name}"},
    {"x " PLACE "2>>\t{a}", "a blank stands between '2>>' and its mark", "2>>{name}"},
    {"x " PLACE "<", "no mark follows '<'", "quote it"},
    {"x " PLACE ">{{a}}", "no mark follows '>'", "quote it"},
    {"x " PLACE ">out.txt", "the file after '>' is not marked", ">{out.txt}"},
    {"x " PLACE "> out.txt", "the file after '>' is not marked", ">{out.txt}"},
    {"x " PLACE "<{<a}", "takes no sign", "<{name}"},
    {"x " PLACE "2>>{+>a}", "takes no sign", "2>>{name}"},
    {"x >{a}" PLACE "b", "must be a word of its own", "blank"},
    {"x <{a}" PLACE ">{b}", "must be a word of its own", "blank"},
    {"x " PLACE "<<EOF", "'<<'", "<{name}"},
    {"x " PLACE "<<<word", "'<<'", "<{name}"},
    {"x " PLACE "<(ls)", "'<('", "{>name|}"},
    {"x " PLACE ">(ls)", "'>('", "{>name|}"},
    {"x " PLACE "<>{a}", "'<>'", "{<>name}"},
    {"x " PLACE "<&3", "'<&'", "<{name}"},
    {"x 1" PLACE ">&2", "'>&'", "2>&1"},
    {"x 2" PLACE ">&1x", "'>&'", "2>&1"},
    {"x " PLACE ">|{a}", "'>|'", ">{name}"},
    {"x a" PLACE ">{b}", "'>' stands inside a word", "put a blank before"},
    {"x a" PLACE "<b", "'<' stands inside a word", "quote it"},
    /* bars */
    {PLACE "| b", "before this bar", "drop the bar"},
    {"a | " PLACE "| b", "before this bar", "drop the bar"},
    {"a " PLACE "|", "after this bar", "drop the bar"},
    {"a " PLACE "| \n", "after this bar", "drop the bar"},
    {"a " PLACE "|| b", "'||'", "one bar"},
    {"a " PLACE "|& b", "'|&'", "2>&1 |"},
    {PLACE "A=1", "names no program", "name"},
    {"a | " PLACE "A=1 <{x}", NULL, NULL},
    {"a | " PLACE "A=1 >{x}", "names no program", "name"},
    {PLACE "{+<a} | b", "names no program", "name"},
    /* what a shell would do */
    {"a " PLACE "&& b", "'&&'", "template of its own"},
    {"a" PLACE "&&b", "'&&'", "template of its own"},
    {"a " PLACE "&", "'&'", "template of its own"},
    {"a " PLACE "&>{x}", "'&>'", ">{name} 2>&1"},
    {"a" PLACE "; b", "';'", "template of its own"},
    {PLACE "(a)", "'('", "quote it"},
    {"a b" PLACE ")", "')'", "quote it"},
    {"a " PLACE "*.c", "'*'", "{<*.c}"},
    {"a b" PLACE "?", "'?'", "{<a?.c}"},
    {"a b" PLACE "[xy]", "'[...]'", "{<[ab].c}"},
    {"a b" PLACE "[{v}]", "'[...]'", "quote it"},
    {"a " PLACE "~/x", "'~'", "quote it"},
    {"A=" PLACE "~ x", "'~'", "quote it"},
    {"a " PLACE "# c", "'#'", "quote it"},
    {"a b" PLACE "\r\n", "carriage return", "newline"},
    {"a " PLACE "$HOME", "'$HOME' is not expanded", "{HOME}"},
    {"a \"" PLACE "$HOME\"", "'$HOME' is not expanded", "single quotes"},
    {"a " PLACE "${x}", "'${'", "{name}"},
    {"a " PLACE "$(x)", "'$('", "{name}"},
    {"a \"x" PLACE "$(x)\"", "'$('", "{name}"},
    {"a " PLACE "$1", "'$1'", "{name}"},
    {"a " PLACE "$?", "'$?'", "{name}"},
    {"a " PLACE "$$", "'$$'", "{name}"},
    {"a " PLACE "$'x'", "'$''", "{name}"},
    {"a " PLACE "`x`", "backtick", "{name}"},
    {"a \"" PLACE "`x`\"", "backtick", "{name}"},
    {"a " PLACE "'x", "single quote is not closed", "close it"},
    {"a " PLACE "\"x", "double quote is not closed", "close it"},
    {"a " PLACE "\"x\\\"", "double quote is not closed", "close it"},
    {"a " PLACE "\\", "backslash", "\\\\"},
    {"a" PLACE "\nb", "a newline ends a command", "one template a command"},
    {"a |" PLACE "\nb", "a newline ends a command", "one template a command"},
    /* sh -c */
    {"sh -c \"grep " PLACE "{pat}\"", "'pat'", "sh -c 'grep \"$1\"' sh {pat}"},
    {"/bin/bash -ec " PLACE "{pat}", "'pat'", "sh {pat}"},
    {"dash -c " PLACE "{pat...}", "'pat'", "sh {pat...}"},
    {"bash -o pipefail -x -c -e -- \"a " PLACE "{p}\"", "'p'", "sh {p}"},
    {"env -i -u A A={x} sh -lc " PLACE "{p}", "'p'", "sh {p}"},
    {"env env ksh -c " PLACE "{p}", "'p'", "sh {p}"},
    {"busybox ash -c " PLACE "{p}", "'p'", "sh {p}"},
    {"a | zsh -c \"{<f} " PLACE "{p}\"", "'p'", "sh {p}"},
    {"A=1 mksh -c x" PLACE "{p}", "'p'", "sh {p}"},
};

/* Takes the mark of the place out of the text; -1: the table wants no more than an error. */
static ssize_t take_place(char *text) {
    char *place = strstr(text, PLACE);
    ck_assert_ptr_nonnull(place);
    memmove(place, place + strlen(PLACE), strlen(place + strlen(PLACE)) + 1);
    return place - text;
}

/* How many columns precede `bytes` bytes of UTF-8. */
static size_t columns_of(const char *text, size_t bytes) {
    size_t columns = 0;
    for (size_t i = 0; i < bytes; i++)
        columns += ((unsigned char)text[i] & 0xc0) != 0x80;
    return columns;
}

static void check_error(spile_error *error, const char *text, ssize_t place, const char *summary, const char *cure) {
    ck_assert_ptr_nonnull(error);
    ck_assert_int_eq(spile_error_get_kind(error), SPILE_ERROR_TEMPLATE);
    ck_assert_int_eq(spile_error_get_errno(error), EINVAL);
    const char *message = spile_error_get_message(error);
    ck_assert_msg(spile_error_get_offset(error) == place, "offset %zd, not %zd: %s", spile_error_get_offset(error),
                  place, message);
    const char *picture = strchr(message, '\n');
    const char *found = strstr(message, summary);
    ck_assert_msg(found && (!picture || found < picture), "summary '%s' not in: %s", summary, message);
    ck_assert_ptr_nonnull(picture);
    const char *last = strrchr(message, '\n') + 1;
    ck_assert_msg(strstr(last, cure) != NULL, "cure '%s' not in: %s", cure, message);
    if (!*text)
        return;
    ck_assert_mem_eq(picture, "\n  ", 3);
    const char *caret = strchr(picture + 1, '\n') + 1;
    ck_assert_msg(strspn(caret, " ") == 2 + columns_of(text, (size_t)place), "caret: %s", message);
    ck_assert_int_eq(caret[strspn(caret, " ")], '^');
}

START_TEST(test_wrong) {
    char text[256];
    snprintf(text, sizeof(text), "%s", wrong[_i].text);
    ssize_t place = take_place(text);
    spile_program **programs = NULL;
    size_t count = 77;
    spile_error *error = NULL;
    ck_assert_msg(template_parse(text, NULL, &programs, &count, &error) == -EINVAL, "'%s' is taken", text);
    ck_assert_ptr_null(programs);
    ck_assert_uint_eq(count, 77);
    if (wrong[_i].summary)
        check_error(error, text, place, wrong[_i].summary, wrong[_i].cure);
    spile_error_free(error);
    ck_assert_int_eq(template_parse(text, NULL, &programs, &count, NULL), -EINVAL);
}
END_TEST

START_TEST(test_long_names) {
    char component[300], text[5000] = "x {<", long_path[4200];
    memset(component, 'a', 256);
    component[256] = '\0';
    spile_error *error = NULL;
    spile_program **programs;
    size_t count;
    ck_assert_str_eq(program_name_fault(component), "has a component that is too long");
    component[255] = '\0';
    ck_assert_ptr_null(program_name_fault(component));
    for (size_t i = 0; i < 4096; i++)
        long_path[i] = i % 2 ? '/' : 'a';
    long_path[4096] = '\0';
    ck_assert_str_eq(program_name_fault(long_path), "is too long");
    long_path[4095] = '\0';
    ck_assert_ptr_null(program_name_fault(long_path));
    memset(text + 4, 'b', 300);
    strcpy(text + 304, "}");
    ck_assert_int_eq(template_parse(text, NULL, &programs, &count, &error), -EINVAL);
    ck_assert_ptr_nonnull(strstr(spile_error_get_message(error), "too long\n"));
    ck_assert_ptr_nonnull(strstr(spile_error_get_message(error), "\nshorten it"));
    spile_error_free(error);
}
END_TEST

/* The window of a long template: the caret stands under the place, and what is cut is shown as cut. */
START_TEST(test_window) {
    char text[301];
    for (size_t place = 0; place <= 300; place += place == 299 ? 1 : 13) {
        memset(text, '.', 300);
        text[300] = '\0';
        if (place < 300)
            text[place] = '#';
        spile_error *error = template_error(SPILE_ERROR_PLAN, text, (ssize_t)place, "s", "c");
        const char *message = spile_error_get_message(error);
        const char *line = strchr(message, '\n') + 3, *end = strchr(line, '\n'), *caret = strchr(line, '^');
        ck_assert_uint_le(columns_of(line, (size_t)(end - line)), 70);
        size_t column = (size_t)(caret - end) - 3;
        const char *shown = strchr(line, '#');
        if (place < 300)
            ck_assert_uint_eq(columns_of(line, (size_t)(shown - line)), column);
        ck_assert_int_eq(strncmp(line, "…", 3) == 0, place > 35);
        ck_assert_int_eq(strncmp(end - 3, "…", 3) == 0, place < 265);
        ck_assert_int_eq(spile_error_get_kind(error), SPILE_ERROR_PLAN);
        spile_error_free(error);
        if (place + 13 > 299 && place < 299)
            place = 299 - 13;
    }
}
END_TEST

START_TEST(test_picture) {
    static const struct {
        const char *text;
        ssize_t offset;
        const char *message;
    } pictures[] = {
        {"a\té\xff\x1b#b", 6, "s\n  a é??#b\n       ^\nc"},
        {"a\tb\nc#", 5, "s\n  a b c#\n       ^\nc"},
        {"\xe2\x82\xac#", 3, "s\n  €#\n   ^\nc"},
        {"ab", 2, "s\n  ab\n    ^\nc"},
        {"ab", -1, "s\n  ab\nc"},
        {NULL, 3, "s\nc"},
        {"\xed\xa0\x80#", 3, "s\n  ???#\n     ^\nc"},
        {"\xf0\x9f\x98\x80\xf5#", 5, "s\n  😀?#\n    ^\nc"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(pictures); i++) {
        spile_error *error = template_error(SPILE_ERROR_TEMPLATE, pictures[i].text, pictures[i].offset, "s", "c");
        ck_assert_str_eq(spile_error_get_message(error), pictures[i].message);
        ck_assert_int_eq(spile_error_get_offset(error), pictures[i].offset);
        spile_error_free(error);
    }
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

/* --------------------------------------------------------------------------------------- without any text */

static int add_file(spile_program *program, const char *name, spile_role role, spile_kind kind, unsigned flags) {
    const spile_file file = {.size = sizeof(file), .name = name, .role = role, .kind = kind, .flags = flags};
    return spile_program_add_file(program, &file);
}

START_TEST(test_program) {
    spile_program *program;
    ck_assert_int_eq(spile_program_new(NULL, &program), 0);
    int pattern = add_file(program, "*.c", SPILE_READ, SPILE_SEEKABLE, 0);
    int made = add_file(program, "*.o", SPILE_WRITE, SPILE_SEEKABLE, 0);
    int input = add_file(program, "in", SPILE_READ, SPILE_SEEKABLE, 0);
    int side = add_file(program, "side", SPILE_READ, SPILE_SEEKABLE, SPILE_FILE_SIDE);
    int output = add_file(program, "out", SPILE_WRITE, SPILE_STREAM, SPILE_FILE_OPTIONAL);
    int log = add_file(program, "log", SPILE_APPEND, SPILE_SEEKABLE, 0);
    int err = add_file(program, "err", SPILE_WRITE, SPILE_SEEKABLE, 0);
    ck_assert_int_eq(pattern, 0);
    ck_assert_int_eq(err, 6);
    ck_assert_int_eq(add_file(program, "in", SPILE_CHANGE, SPILE_SEEKABLE, 0), input);
    ck_assert_int_eq(program->files[input].role, SPILE_CHANGE);
    ck_assert_int_eq(add_file(program, "in", SPILE_WRITE, SPILE_SEEKABLE, 0), -EINVAL);
    ck_assert_int_eq(add_file(program, "", SPILE_READ, SPILE_SEEKABLE, 0), -EINVAL);
    ck_assert_int_eq(add_file(program, "../x", SPILE_READ, SPILE_SEEKABLE, 0), -EINVAL);
    ck_assert_int_eq(add_file(program, "/x", SPILE_WRITE, SPILE_SEEKABLE, 0), -EINVAL);
    ck_assert_int_eq(add_file(program, NULL, SPILE_READ, SPILE_SEEKABLE, 0), -EINVAL);
    ck_assert_int_eq(add_file(program, "x", 0, SPILE_SEEKABLE, 0), -EINVAL);
    ck_assert_int_eq(add_file(program, "x", 5, SPILE_SEEKABLE, 0), -EINVAL);
    ck_assert_int_eq(add_file(program, "x", SPILE_READ, 2, 0), -EINVAL);
    ck_assert_int_eq(add_file(program, "x", SPILE_READ, SPILE_SEEKABLE, 4), -EINVAL);
    ck_assert_int_eq(add_file(program, "*.x", SPILE_READ, SPILE_STREAM, 0), -EINVAL);
    ck_assert_int_eq(add_file(program, "d/", SPILE_READ, SPILE_STREAM, 0), -EINVAL);
    ck_assert_int_eq(add_file(program, "*/", SPILE_READ, SPILE_SEEKABLE, 0), -EINVAL);
    ck_assert_int_eq(add_file(program, "x", SPILE_CHANGE, SPILE_STREAM, 0), -EINVAL);
    ck_assert_int_eq(add_file(program, "d/", SPILE_APPEND, SPILE_SEEKABLE, 0), -EINVAL);
    spile_file small = {.size = 4, .name = "x", .role = SPILE_READ};
    ck_assert_int_eq(spile_program_add_file(program, &small), -EINVAL);

    const spile_part text = {.type = SPILE_PART_TEXT, .text = "t"};
    const spile_part list = {.type = SPILE_PART_VALUES, .text = "l"};
    const spile_part sources = {.type = SPILE_PART_FILE, .file = (size_t)pattern};
    ck_assert_int_eq(spile_program_add_word(program, &list, 1), -EINVAL); /* can't be the program */
    ck_assert_int_eq(spile_program_add_word(program, &sources, 1), -EINVAL);
    ck_assert_int_eq(spile_program_add_text(program, "prog"), 0);
    ck_assert_int_eq(spile_program_add_word(program, &list, 1), 0);
    ck_assert_int_eq(spile_program_add_word(program, &sources, 1), 0);
    ck_assert_int_eq(spile_program_add_word(program, (spile_part[]){text, list}, 2), -EINVAL);
    ck_assert_int_eq(spile_program_add_word(program, (spile_part[]){sources, text}, 2), -EINVAL);
    ck_assert_int_eq(spile_program_add_word(program, &(spile_part){.type = SPILE_PART_FILE, .file = (size_t)made}, 1),
                     -EINVAL);
    ck_assert_int_eq(spile_program_add_word(program, &(spile_part){.type = SPILE_PART_FILE, .file = (size_t)side}, 1),
                     -EINVAL);
    ck_assert_int_eq(spile_program_add_word(program, &(spile_part){.type = SPILE_PART_FILE, .file = 7}, 1), -EINVAL);
    ck_assert_int_eq(spile_program_add_word(program, &(spile_part){.type = 9}, 1), -EINVAL);
    ck_assert_int_eq(spile_program_add_word(program, &(spile_part){.type = SPILE_PART_TEXT}, 1), -EINVAL);
    ck_assert_int_eq(spile_program_add_word(program, &(spile_part){.type = SPILE_PART_VALUE, .text = ""}, 1), -EINVAL);
    ck_assert_int_eq(spile_program_add_word(program, NULL, 1), -EINVAL);
    ck_assert_int_eq(spile_program_add_word(program, NULL, 0), 0);

    ck_assert_int_eq(spile_program_add_variable(program, "A", &text, 1), 0);
    ck_assert_int_eq(spile_program_add_variable(program, "A", NULL, 0), 0);
    ck_assert_int_eq(spile_program_add_variable(program, "", &text, 1), -EINVAL);
    ck_assert_int_eq(spile_program_add_variable(program, "A=", &text, 1), -EINVAL);
    ck_assert_int_eq(spile_program_add_variable(program, "B", &list, 1), -EINVAL);

    ck_assert_int_eq(spile_program_tie(program, 0, (size_t)err), -EINVAL);
    ck_assert_int_eq(spile_program_tie(program, 0, (size_t)side), -EINVAL);
    ck_assert_int_eq(spile_program_tie(program, 0, (size_t)pattern), -EINVAL);
    ck_assert_int_eq(spile_program_tie(program, 3, (size_t)log), -EINVAL);
    ck_assert_int_eq(spile_program_tie(program, 1, 7), -EINVAL);
    ck_assert_int_eq(spile_program_tie(program, 1, (size_t)input), -EINVAL);
    ck_assert_int_eq(spile_program_tie(program, 0, (size_t)input), 0);
    ck_assert_int_eq(spile_program_tie(program, 0, (size_t)input), -EINVAL);
    ck_assert_int_eq(spile_program_tie(program, 1, (size_t)err), 0);
    ck_assert_int_eq(spile_program_tie(program, 2, (size_t)err), -EINVAL);
    ck_assert_int_eq(spile_program_merge_stderr(program), 0);
    ck_assert_int_eq(spile_program_tie(program, 2, (size_t)log), -EINVAL);

    char *meaning = print_programs(&program, 1);
    ck_assert_str_eq(meaning, "A=[] [prog] (l...) {<*.c} [] {+<side} 0:{<>in} 1:{>err} 2>&1");
    ck_assert_uint_eq(program->files[output].flags, SPILE_FILE_OPTIONAL);
    free(meaning);
    spile_program_free(program);
    ck_assert_ptr_null(spile_program_free(NULL));
    ck_assert_int_eq(spile_program_add_text(NULL, "x"), -EINVAL);
}
END_TEST

START_TEST(test_options) {
    const char *const env[] = {"A=1", "B", NULL}, *const bad_env[] = {"=1", NULL};
    const int statuses[] = {0, 1, 255}, bad_status = 256;
    const spile_program_options right_options = {
        .size = sizeof(right_options),
        .env = env,
        .env_mode = SPILE_ENV_REPLACE,
        .cwd = "/",
        .ok_status = statuses,
        .ok_status_count = 3,
        .standard_error = SPILE_STDIO_CAPTURE,
    };
    spile_program *program;
    ck_assert_int_eq(spile_program_new(&right_options, &program), 0);
    ck_assert_str_eq(program->env[1], "B");
    ck_assert_ptr_null(program->env[2]);
    ck_assert_str_eq(program->cwd, "/");
    ck_assert_int_eq(program->ok_status[2], 255);
    ck_assert_uint_eq(program->ok_status_count, 3);
    ck_assert_int_eq(program->env_mode, SPILE_ENV_REPLACE);
    ck_assert_int_eq(program->standard_error, SPILE_STDIO_CAPTURE);
    program = spile_program_free(program);

    const spile_program_options bad[] = {
        {0},
        {.size = sizeof(*bad), .env_mode = 2},
        {.size = sizeof(*bad), .env = bad_env},
        {.size = sizeof(*bad), .cwd = ""},
        {.size = sizeof(*bad), .ok_status_count = 1},
        {.size = sizeof(*bad), .ok_status = &bad_status, .ok_status_count = 1},
        {.size = sizeof(*bad), .standard_output = 4},
        {.size = sizeof(*bad), .standard_error = -1},
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        ck_assert_int_eq(spile_program_new(&bad[i], &program), -EINVAL);
    ck_assert_ptr_null(program);
    spile_program **programs;
    size_t count;
    spile_error *error = NULL;
    ck_assert_int_eq(template_parse("x", &bad[0], &programs, &count, &error), -EINVAL);
    ck_assert_int_eq(spile_error_get_kind(error), SPILE_ERROR_USAGE);
    spile_error_free(error);

    /* Of an older and of a newer version. */
    struct {
        spile_program_options options;
        char more[16];
    } newer = {.options = right_options};
    newer.options.size = sizeof(newer);
    ck_assert_int_eq(spile_program_new(&newer.options, &program), 0);
    program = spile_program_free(program);
    newer.more[3] = 1;
    ck_assert_int_eq(spile_program_new(&newer.options, &program), -EINVAL);
    newer.options.size = offsetof(spile_program_options, cwd);
    ck_assert_int_eq(spile_program_new(&newer.options, &program), 0);
    ck_assert_ptr_null(program->cwd);
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

/* ------------------------------------------------------------------------------------------ lack of memory */

static int parse_everything(void) {
    static const char *const words[] = {"sh", "-c", "x {<a b}", "{+<y}", "{l...}", NULL};
    static const char template[] = "A={v} ./{<tool} x'y'\"z{<a}\" {<*.c} {l...} {+>s} <{i} 2>&1 -- a b c d e f g h "
                                   "{<1} {<2} {<3} {<4} {<5} {<6} {<7} | b | c | d | e | f | g | h | i";
    const char *const env[] = {"A=1", NULL};
    const spile_program_options options = {
        .size = sizeof(options), .env = env, .cwd = "/", .ok_status = (int[]){1}, .ok_status_count = 1};
    spile_program **programs, *program;
    size_t count;
    spile_error *error = NULL;
    int result = template_parse(template, &options, &programs, &count, &error);
    ck_assert_int_eq(result < 0, error != NULL);
    if (result >= 0) {
        free_programs(programs, count);
        result = template_parse_vector(words, 5, &options, &program, &error);
    }
    if (result >= 0) {
        spile_program_free(program);
        /* An error that is not about memory must not hide that there was none. */
        result = template_parse("cc {<../a b/*.c}", NULL, &programs, &count, &error);
        ck_assert_int_lt(result, 0);
        result = result == -EINVAL ? 0 : result;
    }
    if (result >= 0) {
        error = spile_error_free(error);
        result = template_parse("cc {<a} }", NULL, &programs, &count, &error);
        result = result == -EINVAL ? 0 : result;
    }
    if (result < 0) {
        ck_assert_ptr_nonnull(error);
        ck_assert_msg(spile_error_get_kind(error) == SPILE_ERROR_SYSTEM, "%d: %s", result,
                      spile_error_get_message(error));
        ck_assert_int_eq(spile_error_get_errno(error), ENOMEM);
    }
    spile_error_free(error);
    char *quoted;
    if (result >= 0 && (result = spile_quote("a'b", &quoted)) >= 0)
        free(quoted);
    return result;
}

START_TEST(test_no_memory) {
    struct fault_plan *plan = fault_plan_make();
    ck_assert_int_eq(parse_everything(), 0);
    size_t points = 0;
    for (size_t i = 0; i < FAULT_TABLE_SIZE; i++) {
        uint32_t key = plan->table[i].key;
        if (!key)
            continue;
        for (uint32_t occurrence = 1;; occurrence++) {
            size_t used = 0;
            int result = 0, rounds_of_growth = 0;
            /* What malloc keeps for itself settles after some rounds; what leaks grows in each. */
            for (int round = 0; round < 10; round++) {
                fault_plan_reset(plan);
                plan->code = ENOMEM;
                plan->occurrence = occurrence;
                plan->key = key;
                result = parse_everything();
                rounds_of_growth = mallinfo2().uordblks > used ? rounds_of_growth + 1 : 0;
                used = mallinfo2().uordblks;
            }
            if (plan->hits == 0)
                break;
            ck_assert_msg(result == -ENOMEM, "%s pass %u: %d", plan->table[i].place, occurrence, result);
            ck_assert_msg(rounds_of_growth < 10, "%s pass %u leaks", plan->table[i].place, occurrence);
            points++;
        }
    }
    ck_assert_uint_gt(points, 150);
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
    TCase *tables = tcase_create("tables"), *rest = tcase_create("rest");
    tcase_add_loop_test(tables, test_right, 0, (int)ARRAY_SIZE(right));
    tcase_add_loop_test(tables, test_wrong, 0, (int)ARRAY_SIZE(wrong));
    tcase_add_loop_test(tables, test_vector, 0, (int)ARRAY_SIZE(vectors));
    suite_add_tcase(suite, tables);
    tcase_add_test(rest, test_places);
    tcase_add_test(rest, test_long_names);
    tcase_add_test(rest, test_window);
    tcase_add_test(rest, test_picture);
    tcase_add_test(rest, test_program);
    tcase_add_test(rest, test_options);
    tcase_add_test(rest, test_quote);
    tcase_add_test(rest, test_no_memory);
    tcase_add_test(rest, test_cases);
    tcase_add_test(rest, test_manual);
    tcase_add_test(rest, test_corpus);
    suite_add_tcase(suite, rest);
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_FORK);
    srunner_set_tap(runner, "-");
    srunner_run_all(runner, CK_SILENT);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
