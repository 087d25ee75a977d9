/* What a mistake in a template is told, and how its place is shown. */
#include "template_support.h"

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
    char component[300], text[400] = "x {<", long_path[4200];
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
    text[304] = '}'; /* zeros follow */
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

TCase *template_wrong_cases(void) {
    TCase *cases = tcase_create("wrong");
    tcase_add_loop_test(cases, test_wrong, 0, (int)ARRAY_SIZE(wrong));
    tcase_add_test(cases, test_long_names);
    tcase_add_test(cases, test_window);
    tcase_add_test(cases, test_picture);
    return cases;
}
