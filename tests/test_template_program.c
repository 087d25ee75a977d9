/* Programs made without any text: what they hold, and what they refuse. */
#include "template_support.h"

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

TCase *template_program_cases(void) {
    TCase *cases = tcase_create("program");
    tcase_add_test(cases, test_program);
    tcase_add_test(cases, test_options);
    return cases;
}
