/* Plans: who feeds whom, what is refused and with which cure, and what a finished plan tells of itself. That the rules
 * hold for graphs nobody thought of is in test_plan_random.c. */
#include "support.h"

enum { TEMPLATES_MAX = 5 };

/* ------------------------------------------------------------------------------------------------ refusals */

struct refusal {
    const char *templates[TEMPLATES_MAX];
    int code;
    const char *problem, *cure;
};

static const struct refusal refusals[] = {
    {{"a {>x}", "b {>x}"}, -EINVAL, "'x' has two writers", "another name"},
    {{"a {>x}", "b {<>x}", "c {>x}"}, -EINVAL, "'x' has two writers", "another name"},
    {{"a >{x}", "b {+>x}"}, -EINVAL, "'x' has two writers", "another name"},
    {{"a >{x}", "b 2>{x}"}, -EINVAL, "'x' has two writers", "another name"},
    {{"a {<>x}", "b {>x}"}, -EINVAL, "'x' is written here after 'a' changes it", "put its writer before"},
    {{"a >>{x}", "b {>x}"}, -EINVAL, "'x' is written here after 'a' changes it", "put its writer before"},
    /* rings */
    {{"a {<y} {>x}", "b {<x} {>y}"}, -EINVAL, "wait for one another's files", "break the ring"},
    {{"a {<z} {>x}", "b {<x} {>y}", "c {<y} {>z}"}, -EINVAL, "wait for one another's files", "break the ring"},
    {{"p", "a {<y} {>x}", "b {<x} {>y}"}, -EINVAL, "'a' waits for 'y'", "break the ring"},
    {{"a {<y} | b", "c {<x} {>y}", "d | e {>x}", "f {<x}"}, 0, NULL, NULL},
    {{"a {<y} | b {>x}", "c {<x} {>y}"}, -EINVAL, "wait for one another's files", "break the ring"},
    {{"a {>x} {<y}", "b | c {<x} | d {>y}"}, -EINVAL, "wait for one another's files", "break the ring"},
    {{"a {<*.o} {>x}", "b {<x} {>y.o}"}, -EINVAL, "wait for one another's files", "break the ring"},
    {{"a {<y.o} {>x}", "b {<x} {+>*.o}"}, -EINVAL, "wait for one another's files", "break the ring"},
    {{"a {<out/} {>x}", "b {<x} {>out/y}"}, -EINVAL, "wait for one another's files", "break the ring"},
    {{"a {<>x} {<y}", "b {<x} {>y}"}, -EINVAL, "wait for one another's files", "break the ring"},
    {{"a {<>x} {<y}", "b {<>x} {>y}"}, -EINVAL, "wait for one another's files", "break the ring"},
    /* inside a group */
    {{"a {>x} | b {<x}"}, -EINVAL, "'x' can't be complete before this program starts", "drop the bar"},
    {{"a {<x} | b {>x}"}, -EINVAL, "'x' can't be complete before this program starts", "drop the bar"},
    {{"a {<>x} | b {<x}"}, -EINVAL, "'x' can't be complete before this program starts", "drop the bar"},
    {{"a {+>*.o} | b {<x.o}"}, -EINVAL, "'x.o' can't be complete before this program starts", "drop the bar"},
    {{"a {>x.o} | b | c {<*.o}"}, -EINVAL, "'*.o' can't be complete before this program starts", "drop the bar"},
    /* patterns */
    {{"a {+>*.o}", "b {+>x*}", "c {<x.o}"}, -EINVAL, "'x.o' may come from programs 1 and 2", "{+>x.o}"},
    {{"a {>out/}", "b {+>*/x}", "c {<out/x}"}, -EINVAL, "may come from programs 1 and 2", "{+>out/x}"},
    {{"a {+>*.o}", "b {+>x*} {+>x.o}", "c {<x.o}"}, 0, NULL, NULL},
    {{"a {+>*.o}", "b {+>*.o}"}, 0, NULL, NULL},
    /* both file and directory */
    {{"a {<x} {<x/y}"}, -EINVAL, "'x' is a file here, and 'x/y' needs it to be a directory", "{<x/}"},
    {{"a {>x} {<x/y}"}, -EINVAL, "'x' is a file here, and 'x/y' needs it to be a directory", "{>x/}"},
    {{"a {<x/y} {<x}"}, -EINVAL, "'x' is a file here", "rename one of them"},
    {{"a {<x} {<x/y/z}"}, -EINVAL, "'x' is a file here", "rename one of them"},
    {{"a {<x} {<xy} {<x.y/z}"}, 0, NULL, NULL},
    {{"a {<x}", "b {<x/y}"}, 0, NULL, NULL},
    /* values */
    {{"a {v} {v...}"}, -EINVAL, "'v' is one value in one place and a list in another", "{v} or {v...}"},
    {{"a {v...}", "V={v} b"}, -EINVAL, "'v' is one value in one place and a list in another", "{v} or {v...}"},
    {{"a {v}", "b {v} {w...}"}, 0, NULL, NULL},
    /* right */
    {{"a {<>x}", "b {<>x}", "c {<x}"}, 0, NULL, NULL},
    {{"a {<x}", "b {<>x}", "c {<x}"}, 0, NULL, NULL},
    {{"b {<x}", "a {>x}"}, 0, NULL, NULL},
    {{"a {>x}", "b {<>x}", "c >>{x}"}, 0, NULL, NULL},
    {{"a >>{x}", "b >>{x}"}, 0, NULL, NULL},
    {{"a {<x.o} {+>*.o}"}, 0, NULL, NULL},
};

START_TEST(refused) {
    const struct refusal *refusal = &refusals[_i];
    size_t count = 0;
    while (count < TEMPLATES_MAX && refusal->templates[count])
        count++;
    spile_plan *plan = NULL;
    spile_error *error = NULL;
    int code = spile_plan_from_templates(refusal->templates, count, &plan, &error);
    const char *message = error ? spile_error_get_message(error) : "";
    ck_assert_msg(code == refusal->code, "%d, expected %d: %s", code, refusal->code, message);
    if (code < 0) {
        ck_assert_ptr_null(plan);
        ck_assert_int_eq(spile_error_get_kind(error), SPILE_ERROR_PLAN);
        ck_assert_int_eq(spile_error_get_errno(error), -code);
        ck_assert_msg(strstr(message, refusal->problem) && strstr(message, refusal->cure), "expected '%s' and '%s': %s",
                      refusal->problem, refusal->cure, message);
        ck_assert_int_eq(spile_plan_from_templates(refusal->templates, count, &plan, NULL), code);
    } else {
        ck_assert_ptr_null(error);
    }
    spile_error_free(error);
    spile_plan_unref(plan);
}
END_TEST

/* The error points at the mark. */
START_TEST(refusal_says_where) {
    static const char *const templates[] = {"one {>x}", "two {<y} {>x}"};
    spile_plan *plan = NULL;
    spile_error *error = NULL;
    ck_assert_int_eq(spile_plan_from_templates(templates, 2, &plan, &error), -EINVAL);
    ck_assert_int_eq(spile_error_get_program(error), 1);
    ck_assert_int_eq(spile_error_get_offset(error), 9);
    ck_assert_ptr_nonnull(strstr(spile_error_get_message(error), "two {<y} {>x}\n"));
    ck_assert_ptr_nonnull(strstr(spile_error_get_message(error), "'one'"));
    spile_error_free(error);
}
END_TEST

START_TEST(same_words_are_numbered) {
    static const char *const templates[] = {"cc {<b} {>a}", "cc {<a} {>b}"};
    spile_plan *plan = NULL;
    spile_error *error = NULL;
    ck_assert_int_eq(spile_plan_from_templates(templates, 2, &plan, &error), -EINVAL);
    ck_assert_ptr_nonnull(strstr(spile_error_get_message(error), "'cc' (program 1) waits for 'b'"));
    ck_assert_ptr_nonnull(strstr(spile_error_get_message(error), "'cc' (program 2) waits for 'a'"));
    spile_error_free(error);
}
END_TEST

/* ------------------------------------------------------------------------------------------------ what it holds */

static spile_file_info file_of(const spile_plan *plan, const char *name) {
    spile_file_info info = {.size = sizeof(info)};
    for (size_t i = 0; i < spile_plan_file_count(plan); i++) {
        ck_assert_int_eq(spile_plan_file(plan, i, &info), 0);
        if (strcmp(info.name, name) == 0)
            return info;
    }
    ck_abort_msg("no file '%s'", name);
}

struct flow {
    const char *templates[TEMPLATES_MAX];
    const char *name;
    spile_flow flow;
};

static const struct flow flows[] = {
    {{"a {<x}"}, "x", SPILE_INPUT},
    {{"a {>x}"}, "x", SPILE_OUTPUT},
    {{"a {<>x}"}, "x", SPILE_INPUT_OUTPUT},
    {{"a >>{x}"}, "x", SPILE_INPUT_OUTPUT},
    {{"a {>x}", "b {<x}"}, "x", SPILE_INTERMEDIATE},
    {{"b {<x}", "a {>x}"}, "x", SPILE_INTERMEDIATE},
    {{"a {<>x}", "b {<x}"}, "x", SPILE_INPUT_OUTPUT},
    {{"b {<x}", "a {<>x}"}, "x", SPILE_INPUT_OUTPUT},
    {{"a {>x}", "b {<>x}"}, "x", SPILE_OUTPUT},
    {{"a {>x}", "b {<>x}", "c {<x}"}, "x", SPILE_INTERMEDIATE},
    {{"a {>x}", "b {<x}", "c {<>x}"}, "x", SPILE_OUTPUT},
    {{"a {+>*.o}"}, "*.o", SPILE_OUTPUT},
    {{"a {<*.o}"}, "*.o", SPILE_INPUT},
    {{"a {>x.o}", "b {<*.o}"}, "*.o", SPILE_INTERMEDIATE},
    {{"a {>x.o}", "b {<*.o}"}, "x.o", SPILE_INTERMEDIATE},
    {{"a {+>*.o}", "b {<x.o}"}, "x.o", SPILE_INTERMEDIATE},
    {{"a {+>*.o}", "b {<*.o}"}, "*.o", SPILE_INTERMEDIATE},
    {{"a {<>*.o}"}, "*.o", SPILE_INPUT_OUTPUT},
    {{"a {<d/}"}, "d/", SPILE_INPUT},
    {{"a {>d/}", "b {<d/x}"}, "d/x", SPILE_INTERMEDIATE},
};

START_TEST(flow_of_names) {
    const struct flow *flow = &flows[_i];
    size_t count = 0;
    while (count < TEMPLATES_MAX && flow->templates[count])
        count++;
    spile_plan *plan = plan_of(flow->templates, count);
    spile_file_info info = file_of(plan, flow->name);
    ck_assert_msg(info.flow == flow->flow, "'%s' of '%s' is %d, expected %d", flow->name, flow->templates[0],
                  (int)info.flow, (int)flow->flow);
    spile_plan_unref(plan);
}
END_TEST

START_TEST(introspection) {
    spile_plan *plan = PLAN("  as {<a.s} -o {>a.o} {+<inc.h} ",
                            "V={v} ld {<a.o} {<b.o} -o {>prog} {flags...} x | tee {+>log}",
                            "{<prog} <{data} >{out} 2>&1", "strip {<>prog}");
    spile_program_info program = {.size = sizeof(program)};
    spile_file_info file = {.size = sizeof(file)};
    spile_use_info use = {.size = sizeof(use)};
    bool is_list = false;
    ck_assert_uint_eq(spile_plan_program_count(plan), 5);
    ck_assert_uint_eq(spile_plan_file_count(plan), 8);
    ck_assert_uint_eq(spile_plan_use_count(plan), 11);
    ck_assert_uint_eq(spile_plan_value_count(plan), 2);
    static const struct {
        const char *text, *name;
        size_t group;
        bool is_piped;
    } programs[] = {
        {"as {<a.s} -o {>a.o} {+<inc.h}", "as", 0, false},
        {"V={v} ld {<a.o} {<b.o} -o {>prog} {flags...} x", "ld", 1, true},
        {"tee {+>log}", "tee", 1, false},
        {"{<prog} <{data} >{out} 2>&1", "prog", 2, false},
        {"strip {<>prog}", "strip", 3, false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(programs); i++) {
        ck_assert_int_eq(spile_plan_program(plan, i, &program), 0);
        ck_assert_str_eq(program.text, programs[i].text);
        ck_assert_str_eq(program.name, programs[i].name);
        ck_assert_uint_eq(program.group, programs[i].group);
        ck_assert_int_eq(program.is_piped, programs[i].is_piped);
    }
    static const char *const names[] = {"a.s", "a.o", "inc.h", "b.o", "prog", "log", "data", "out"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        ck_assert_int_eq(spile_plan_file(plan, i, &file), 0);
        ck_assert_str_eq(file.name, names[i]);
        ck_assert(!file.is_pattern && !file.is_tree && !file.is_optional && !file.is_given_optional);
    }
    static const struct {
        size_t program, file;
        spile_role role;
        unsigned flags;
        int stdio_fd, producer;
        ssize_t offset;
    } uses[] = {
        {0, 0, SPILE_READ, 0, -1, -1, 5},
        {0, 1, SPILE_WRITE, 0, -1, -1, 15},
        {0, 2, SPILE_READ, SPILE_FILE_SIDE, -1, -1, 22},
        {1, 1, SPILE_READ, 0, -1, 0, 9},
        {1, 3, SPILE_READ, 0, -1, -1, 16},
        {1, 4, SPILE_WRITE, 0, -1, -1, 26},
        {2, 5, SPILE_WRITE, SPILE_FILE_SIDE, -1, -1, 53},
        {3, 4, SPILE_READ, 0, -1, 1, 0},
        {3, 6, SPILE_READ, 0, 0, -1, 8},
        {3, 7, SPILE_WRITE, 0, 1, -1, 16},
        {4, 4, SPILE_CHANGE, 0, -1, 1, 6},
    };
    for (size_t i = 0; i < ARRAY_SIZE(uses); i++) {
        ck_assert_int_eq(spile_plan_use(plan, i, &use), 0);
        ck_assert_msg(use.program == uses[i].program && use.file == uses[i].file && use.role == uses[i].role &&
                          use.flags == uses[i].flags && use.stdio_fd == uses[i].stdio_fd &&
                          use.producer == uses[i].producer && use.kind == SPILE_SEEKABLE,
                      "use %zu: program %zu, file %zu, role %d, flags %u, stdio %d, producer %d", i, use.program,
                      use.file, (int)use.role, use.flags, use.stdio_fd, use.producer);
        ck_assert_int_eq(use.offset, uses[i].offset);
    }
    ck_assert_str_eq(spile_plan_value(plan, 0, &is_list), "flags");
    ck_assert(is_list);
    ck_assert_str_eq(spile_plan_value(plan, 1, &is_list), "v");
    ck_assert(!is_list);
    ck_assert_ptr_null(spile_plan_value(plan, 2, &is_list));
    ck_assert_str_eq(spile_plan_plain_word(plan, 0, 0), "-o");
    ck_assert_ptr_null(spile_plan_plain_word(plan, 0, 1));
    ck_assert_str_eq(spile_plan_plain_word(plan, 1, 1), "x");
    ck_assert_ptr_null(spile_plan_plain_word(plan, 9, 0));
    ck_assert_int_eq(spile_plan_program(plan, 5, &program), -EINVAL);
    ck_assert_int_eq(spile_plan_file(plan, 8, &file), -EINVAL);
    ck_assert_int_eq(spile_plan_use(plan, 11, &use), -EINVAL);
    program.size = 1;
    ck_assert_int_eq(spile_plan_program(plan, 0, &program), -EINVAL);
    spile_plan_unref(plan);
}
END_TEST

/* Readers before, between and behind the changes each see the version that the written order says. */
START_TEST(versions_in_written_order) {
    spile_plan *plan = PLAN("r0 {<x}", "c1 {<>x}", "r2 {<x}", "w3 {>y}", "c4 {<>x} {<y}", "r5 {<x}", "a6 >>{x}",
                            "r7 {<x}");
    static const int producers[] = {-1, -1, 1, -1, 1, 3, 4, 4, 6};
    ck_assert_uint_eq(spile_plan_use_count(plan), ARRAY_SIZE(producers));
    for (size_t i = 0; i < ARRAY_SIZE(producers); i++) {
        spile_use_info use = {.size = sizeof(use)};
        ck_assert_int_eq(spile_plan_use(plan, i, &use), 0);
        ck_assert_msg(use.producer == producers[i], "use %zu: %d", i, use.producer);
    }
    spile_plan_unref(plan);
    /* A writer stands behind its changers' input, wherever its readers are written. */
    plan = PLAN("r0 {<x}", "w1 {>x}", "c2 {<>x}", "r3 {<x}");
    static const int others[] = {1, -1, 1, 2};
    for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
        spile_use_info use = {.size = sizeof(use)};
        ck_assert_int_eq(spile_plan_use(plan, i, &use), 0);
        ck_assert_msg(use.producer == others[i], "use %zu: %d", i, use.producer);
    }
    spile_plan_unref(plan);
}
END_TEST

START_TEST(append_need_not_be_given) {
    spile_plan *plan = PLAN("a >>{x}", "b >>{x}", "c {<>y} ", "d >>{y}");
    ck_assert(file_of(plan, "x").is_given_optional);
    ck_assert(!file_of(plan, "y").is_given_optional);
    spile_plan_unref(plan);
    plan = PLAN("b {<x}", "a >>{x}");
    ck_assert(!file_of(plan, "x").is_given_optional);
    spile_plan_unref(plan);
    plan = PLAN("a {>x}"); /* is never given */
    ck_assert(!file_of(plan, "x").is_given_optional);
    spile_plan_unref(plan);
}
END_TEST

START_TEST(optional_outputs) {
    spile_plan *plan = NULL;
    ck_assert_int_eq(spile_plan_new(&plan), 0);
    ck_assert_int_eq(spile_plan_add_template(plan, "a {<i} {>x} {>y}", NULL, NULL), 1);
    ck_assert_int_eq(spile_plan_set_optional(plan, "x"), 0);
    ck_assert_int_eq(spile_plan_set_optional(plan, "i"), -ENOENT);
    ck_assert_int_eq(spile_plan_set_optional(plan, "z"), -ENOENT);
    ck_assert_int_eq(spile_plan_set_optional(plan, NULL), -EINVAL);
    ck_assert_int_eq(spile_plan_finish(plan, NULL), 0);
    ck_assert(file_of(plan, "x").is_optional);
    ck_assert(!file_of(plan, "y").is_optional);
    ck_assert_int_eq(spile_plan_set_optional(plan, "y"), -EINVAL);
    spile_plan_unref(plan);
}
END_TEST

/* ------------------------------------------------------------------------------------------------ without text */

static size_t add_file(spile_program *program, const char *name, spile_role role, unsigned flags) {
    const spile_file file = {.size = sizeof(file), .name = name, .role = role, .flags = flags};
    int number = spile_program_add_file(program, &file);
    ck_assert_int_ge(number, 0);
    return (size_t)number;
}

static void add_mark(spile_program *program, const char *before, size_t file) {
    const spile_part parts[] = {{.type = SPILE_PART_TEXT, .text = before}, {.type = SPILE_PART_FILE, .file = file}};
    ck_assert_int_eq(spile_program_add_word(program, *before ? parts : parts + 1, *before ? 2 : 1), 0);
}

static void check_same_plan(const spile_plan *a, const spile_plan *b) {
    ck_assert_uint_eq(spile_plan_program_count(a), spile_plan_program_count(b));
    ck_assert_uint_eq(spile_plan_file_count(a), spile_plan_file_count(b));
    ck_assert_uint_eq(spile_plan_use_count(a), spile_plan_use_count(b));
    ck_assert_uint_eq(spile_plan_value_count(a), spile_plan_value_count(b));
    for (size_t i = 0; i < spile_plan_program_count(a); i++) {
        spile_program_info in_a = {.size = sizeof(in_a)}, in_b = in_a;
        ck_assert_int_eq(spile_plan_program(a, i, &in_a), 0);
        ck_assert_int_eq(spile_plan_program(b, i, &in_b), 0);
        ck_assert_str_eq(in_a.name, in_b.name);
        ck_assert(in_a.group == in_b.group && in_a.is_piped == in_b.is_piped);
    }
    for (size_t i = 0; i < spile_plan_file_count(a); i++) {
        spile_file_info in_a = {.size = sizeof(in_a)}, in_b = in_a;
        ck_assert_int_eq(spile_plan_file(a, i, &in_a), 0);
        ck_assert_int_eq(spile_plan_file(b, i, &in_b), 0);
        ck_assert_str_eq(in_a.name, in_b.name);
        ck_assert(in_a.flow == in_b.flow && in_a.is_optional == in_b.is_optional);
    }
    for (size_t i = 0; i < spile_plan_use_count(a); i++) {
        spile_use_info in_a = {.size = sizeof(in_a)}, in_b = in_a;
        ck_assert_int_eq(spile_plan_use(a, i, &in_a), 0);
        ck_assert_int_eq(spile_plan_use(b, i, &in_b), 0);
        ck_assert(in_a.program == in_b.program && in_a.file == in_b.file && in_a.role == in_b.role &&
                  in_a.flags == in_b.flags && in_a.stdio_fd == in_b.stdio_fd && in_a.producer == in_b.producer);
    }
}

START_TEST(without_text) {
    spile_plan *with = PLAN("V={v} cpp {<a.c} {+<a.h} | as - -o {>a.o}", "ld {<a.o} -Map={>m} {rest...} >{log} 2>&1");
    spile_plan *without = NULL;
    spile_program *program = NULL;
    ck_assert_int_eq(spile_plan_new(&without), 0);
    ck_assert_int_eq(spile_program_new(NULL, &program), 0);
    const spile_part value = {.type = SPILE_PART_VALUE, .text = "v"},
                     list = {.type = SPILE_PART_VALUES, .text = "rest"};
    ck_assert_int_eq(spile_program_add_variable(program, "V", &value, 1), 0);
    ck_assert_int_eq(spile_program_add_text(program, "cpp"), 0);
    add_mark(program, "", add_file(program, "a.c", SPILE_READ, 0));
    add_file(program, "a.h", SPILE_READ, SPILE_FILE_SIDE);
    ck_assert_int_eq(spile_plan_add_program(without, program, SPILE_PLAN_PIPED, NULL), 1);
    ck_assert_int_eq(spile_program_new(NULL, &program), 0);
    ck_assert_int_eq(spile_program_add_text(program, "as"), 0);
    ck_assert_int_eq(spile_program_add_text(program, "-"), 0);
    ck_assert_int_eq(spile_program_add_text(program, "-o"), 0);
    add_mark(program, "", add_file(program, "a.o", SPILE_WRITE, 0));
    ck_assert_int_eq(spile_plan_add_program(without, program, 0, NULL), 1);
    ck_assert_int_eq(spile_program_new(NULL, &program), 0);
    ck_assert_int_eq(spile_program_add_text(program, "ld"), 0);
    add_mark(program, "", add_file(program, "a.o", SPILE_READ, 0));
    add_mark(program, "-Map=", add_file(program, "m", SPILE_WRITE, 0));
    ck_assert_int_eq(spile_program_add_word(program, &list, 1), 0);
    ck_assert_int_eq(spile_program_tie(program, 1, add_file(program, "log", SPILE_WRITE, 0)), 0);
    ck_assert_int_eq(spile_program_merge_stderr(program), 0);
    ck_assert_int_eq(spile_plan_add_program(without, program, 0, NULL), 1);
    ck_assert_int_eq(spile_plan_finish(without, NULL), 0);
    check_same_plan(with, without);
    spile_plan_unref(with);
    spile_plan_unref(without);
}
END_TEST

START_TEST(vectors) {
    static const char *const words[] = {"cc", "-c", "{<a.c}", "-o", "{>a.o}", "{{}}"};
    spile_plan *plan = NULL, *with = PLAN("cc -c {<a.c} -o {>a.o} '{}'");
    ck_assert_int_eq(spile_plan_new(&plan), 0);
    ck_assert_int_eq(spile_plan_add_vector(plan, words, ARRAY_SIZE(words), NULL, NULL), 1);
    ck_assert_int_eq(spile_plan_finish(plan, NULL), 0);
    check_same_plan(plan, with);
    ck_assert_str_eq(spile_plan_plain_word(plan, 0, 2), "{}");
    spile_plan_unref(plan);
    spile_plan_unref(with);
}
END_TEST

/* ------------------------------------------------------------------------------------------------ misuse */

static void check_usage(int code, spile_error *error, const char *part) {
    ck_assert_int_eq(code, -EINVAL);
    check_error(error, SPILE_ERROR_USAGE, part);
    spile_error_free(error);
}

START_TEST(misuse) {
    spile_plan *plan = NULL;
    spile_error *error = NULL;
    spile_program *program = NULL;
    ck_assert_int_eq(spile_plan_new(NULL), -EINVAL);
    ck_assert_int_eq(spile_plan_new(&plan), 0);
    int code = spile_plan_finish(plan, &error);
    ck_assert_int_eq(code, -EINVAL);
    check_error(error, SPILE_ERROR_PLAN, "there is no program to run");
    error = spile_error_free(error);
    code = spile_plan_add_template(plan, NULL, NULL, &error);
    check_usage(code, error, "a template is missing");
    code = spile_plan_add_program(plan, NULL, 0, &error);
    check_usage(code, error, "a program is missing");
    ck_assert_int_eq(spile_program_new(NULL, &program), 0);
    code = spile_plan_add_program(plan, program, 0, &error);
    check_usage(code, error, "a program has no words");
    ck_assert_int_eq(spile_program_new(NULL, &program), 0);
    ck_assert_int_eq(spile_program_add_text(program, "a"), 0);
    code = spile_plan_add_program(plan, program, 1u << 7, &error);
    check_usage(code, error, "flags are unknown");
    /* A bar at the end, and one that meets a tie. */
    ck_assert_int_eq(spile_program_new(NULL, &program), 0);
    ck_assert_int_eq(spile_program_add_text(program, "a"), 0);
    ck_assert_int_eq(spile_plan_add_program(plan, program, SPILE_PLAN_PIPED, NULL), 1);
    ck_assert_int_eq(spile_plan_finish(plan, &error), -EINVAL);
    check_error(error, SPILE_ERROR_PLAN, "piped into the next, and there is none");
    error = spile_error_free(error);
    ck_assert_int_eq(spile_plan_add_template(plan, "b <{x}", NULL, NULL), 1);
    ck_assert_int_eq(spile_plan_finish(plan, &error), -EINVAL);
    check_error(error, SPILE_ERROR_PLAN, "drop the bar or the tie");
    error = spile_error_free(error);
    spile_plan_unref(plan);
    static const char *const one[] = {"a {<x}"};
    code = spile_plan_from_templates(NULL, 1, &plan, &error);
    check_usage(code, error, "missing");
    code = spile_plan_from_templates(one, 1, NULL, &error);
    check_usage(code, error, "missing");
    plan = plan_of(one, 1);
    code = spile_plan_add_template(plan, "b", NULL, &error);
    check_usage(code, error, "once it is finished");
    code = spile_plan_finish(plan, &error);
    check_usage(code, error, "once it is finished");
    ck_assert_int_eq(spile_plan_set_ok_status(plan, 0, (const int[]){1}, 1), -EINVAL);
    ck_assert_ptr_eq(spile_plan_ref(plan), plan);
    ck_assert_ptr_null(spile_plan_unref(plan));
    ck_assert_uint_eq(spile_plan_program_count(plan), 1);
    ck_assert_ptr_null(spile_plan_unref(plan));
    ck_assert_ptr_null(spile_plan_unref(NULL));
}
END_TEST

START_TEST(unfinished_plan) {
    spile_plan *plan = NULL;
    spile_use_info use = {.size = sizeof(use)};
    ck_assert_int_eq(spile_plan_new(&plan), 0);
    ck_assert_int_eq(spile_plan_add_template(plan, "a {<x}", NULL, NULL), 1);
    ck_assert_int_eq(spile_plan_use(plan, 0, &use), -EINVAL);
    ck_assert_int_eq(spile_plan_set_ok_status(plan, 0, (const int[]){1, 256}, 2), -EINVAL);
    ck_assert_int_eq(spile_plan_set_ok_status(plan, 1, (const int[]){1}, 1), -EINVAL);
    ck_assert_int_eq(spile_plan_set_ok_status(plan, 0, (const int[]){0, 255}, 2), 0);
    spile_call *call = NULL;
    ck_assert_int_eq(spile_call_new(plan, NULL, NULL, &call), -EINVAL);
    spile_plan_unref(plan);
}
END_TEST

int main(int argc, char **argv) {
    Suite *suite = suite_create("plan");
    TCase *tests = tcase_create("plan");
    support_begin(argc, argv);
    tcase_add_loop_test(tests, refused, 0, (int)ARRAY_SIZE(refusals));
    tcase_add_test(tests, refusal_says_where);
    tcase_add_test(tests, same_words_are_numbered);
    tcase_add_loop_test(tests, flow_of_names, 0, (int)ARRAY_SIZE(flows));
    tcase_add_test(tests, introspection);
    tcase_add_test(tests, versions_in_written_order);
    tcase_add_test(tests, append_need_not_be_given);
    tcase_add_test(tests, optional_outputs);
    tcase_add_test(tests, without_text);
    tcase_add_test(tests, vectors);
    tcase_add_test(tests, misuse);
    tcase_add_test(tests, unfinished_plan);
    suite_add_tcase(suite, tests);
    return support_run(suite);
}
