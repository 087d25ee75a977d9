/* Outputs that go to paths of the host, and that what failed delivers nothing. */
#include "support.h"

static spile_result *to_path(const char *path, unsigned flags, spile_error_kind kind, const char *part) {
    spile_call *call = CALL("printf new >{out}");
    ck_assert_int_eq(spile_call_output_path(call, "out", path, flags), 0);
    return part ? run_badly(call, kind, part) : run_well(call);
}

START_TEST(replaced_files) {
    spile_result_free(to_path(in_scratch("new"), 0, 0, NULL));
    check_text(in_scratch("new"), "new");
    ck_assert_uint_eq(mode_of(in_scratch("new")) & 0600, 0600);
    write_text(in_scratch("old"), "old");
    ck_assert_int_eq(chmod(in_scratch("old"), 0751), 0);
    AUTO_FD fd = open(in_scratch("old"), O_RDONLY | O_CLOEXEC);
    spile_result_free(to_path(in_scratch("old"), 0, 0, NULL));
    check_text(in_scratch("old"), "new");
    ck_assert_uint_eq(mode_of(in_scratch("old")), 0751);
    char text[4] = "";
    ck_assert_int_eq(read(fd, text, 3), 3);
    ck_assert_str_eq(text, "old"); /* whoever has it open still has the old one */
    ck_assert_uint_eq(entries_in(scratch()), 2);
}
END_TEST

START_TEST(links_are_followed) {
    ck_assert_int_eq(mkdir(in_scratch("d"), 0777), 0);
    write_text(in_scratch("d/old"), "old");
    ck_assert_int_eq(symlink("d/old", in_scratch("link")), 0);
    ck_assert_int_eq(symlink("link", in_scratch("link2")), 0);
    ck_assert_int_eq(symlink("d/none", in_scratch("dangling")), 0);
    ck_assert_int_eq(symlink("round", in_scratch("round")), 0);
    spile_result_free(to_path(in_scratch("link2"), 0, 0, NULL));
    check_text(in_scratch("d/old"), "new");
    spile_result_free(to_path(in_scratch("dangling"), 0, 0, NULL));
    check_text(in_scratch("d/none"), "new");
    struct stat status;
    ck_assert(lstat(in_scratch("link"), &status) == 0 && S_ISLNK(status.st_mode));
    ck_assert(lstat(in_scratch("dangling"), &status) == 0 && S_ISLNK(status.st_mode));
    spile_result_free(to_path(in_scratch("round"), 0, SPILE_ERROR_USAGE, "Too many levels of symbolic links"));
}
END_TEST

START_TEST(read_only_targets) {
    write_text(in_scratch("old"), "old");
    ck_assert_int_eq(chmod(in_scratch("old"), 0444), 0);
    spile_result *result = to_path(in_scratch("old"), 0, SPILE_ERROR_USAGE, "it is read-only; force it");
    ck_assert_int_eq(spile_result_exit_status(result), 125);
    ck_assert(!program_of(result, 0).started); /* known before anything starts */
    spile_result_free(result);
    check_text(in_scratch("old"), "old");
    spile_result_free(to_path(in_scratch("old"), SPILE_OUTPUT_FORCE, 0, NULL));
    check_text(in_scratch("old"), "new");
    ck_assert_uint_eq(mode_of(in_scratch("old")), 0444);
}
END_TEST

START_TEST(impossible_targets) {
    spile_result *result = to_path(in_scratch("no/where"), 0, SPILE_ERROR_USAGE, "its directory does not exist");
    ck_assert(!program_of(result, 0).started);
    spile_result_free(result);
    spile_result_free(to_path(scratch(), 0, SPILE_ERROR_USAGE, "that is a directory"));
    spile_result_free(to_path("", 0, SPILE_ERROR_USAGE, "not a file's name"));
    spile_result_free(to_path(in_scratch("x/"), 0, SPILE_ERROR_USAGE, "not a file's name"));
    write_text(in_scratch("file"), "");
    spile_result_free(to_path(in_scratch("file/x"), 0, SPILE_ERROR_USAGE, "can't go to"));
}
END_TEST

START_TEST(special_targets) {
    struct stat before, after;
    ck_assert_int_eq(stat("/dev/null", &before), 0);
    spile_result_free(to_path("/dev/null", 0, 0, NULL));
    ck_assert_int_eq(stat("/dev/null", &after), 0);
    ck_assert(before.st_ino == after.st_ino && before.st_rdev == after.st_rdev);
    /* A FIFO is written into, and waited for until somebody reads it. */
    ck_assert_int_eq(mkfifo(in_scratch("fifo"), 0600), 0);
    pid_t reader = fork();
    if (reader == 0) {
        char text[8] = "";
        int fd = open(in_scratch("fifo"), O_RDONLY);
        while (fd >= 0 && read(fd, text + strlen(text), 4) > 0)
            ;
        _exit(strcmp(text, "new") == 0 ? 0 : 1);
    }
    spile_result_free(to_path(in_scratch("fifo"), 0, 0, NULL));
    int status = -1;
    ck_assert_int_eq(waitpid(reader, &status, 0), reader);
    ck_assert_int_eq(status, 0);
    ck_assert(stat(in_scratch("fifo"), &after) == 0 && S_ISFIFO(after.st_mode));
}
END_TEST

/* All or nothing: a call that fails leaves what was there. */
START_TEST(failure_delivers_nothing) {
    write_text(in_scratch("old"), "old");
    spile_call *call = CALL("printf new >{out}", "sh -c 'cat $1; exit 3' sh {<out}");
    ck_assert_int_eq(spile_call_output_path(call, "out", in_scratch("old"), 0), 0);
    spile_result *result = run_badly(call, SPILE_ERROR_PROGRAM, "'sh' failed with exit status 3");
    ck_assert_int_eq(spile_result_exit_status(result), 3);
    check_text(in_scratch("old"), "old");
    check_output(result, "out", "new"); /* what there is can be looked at */
    ck_assert(output_of(result, "out").is_partial);
    spile_result_free(result);
    /* One of the deliveries fails: the file stays as it was. */
    int ends[2];
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    close(ends[0]);
    call = CALL("printf new >{a}", "printf x >{b}");
    ck_assert_int_eq(spile_call_output_path(call, "a", in_scratch("old"), 0), 0);
    ck_assert_int_eq(spile_call_output_fd(call, "b", ends[1]), 0);
    spile_result_free(run_badly(call, SPILE_ERROR_OUTPUT, "'b' failed: Broken pipe"));
    check_text(in_scratch("old"), "old");
    ck_assert_uint_eq(entries_in(scratch()), 1);
    close(ends[1]);
}
END_TEST

START_TEST(failure_keeps_partial_outputs) {
    spile_result *result = run_badly(CALL("sh -c 'printf half >$1; echo sorry >&2; exit 7' sh {>out}"),
                                     SPILE_ERROR_PROGRAM, "failed with exit status 7\n  sorry");
    check_output(result, "out", "half");
    ck_assert(output_of(result, "out").is_partial);
    ck_assert_str_eq(program_of(result, 0).standard_error, "sorry\n");
    ck_assert_int_eq(spile_result_exit_status(result), 7);
    spile_result_free(result);
}
END_TEST

int main(int argc, char **argv) {
    Suite *suite = suite_create("call paths");
    TCase *tests = tcase_create("call paths");
    support_begin(argc, argv);
    tcase_set_timeout(tests, 20);
    tcase_add_test(tests, replaced_files);
    tcase_add_test(tests, links_are_followed);
    tcase_add_test(tests, read_only_targets);
    tcase_add_test(tests, impossible_targets);
    tcase_add_test(tests, special_targets);
    tcase_add_test(tests, failure_delivers_nothing);
    tcase_add_test(tests, failure_keeps_partial_outputs);
    suite_add_tcase(suite, tests);
    return support_run(suite);
}
