/* A lack of memory at any point of reading a template is a clean -ENOMEM, and nothing leaks. */
#include "base/fault.h"
#include "template_support.h"

#include <malloc.h>

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

/* More than the caches of malloc, which count as used, take to fill. */
enum { ROUNDS = 60 };

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
            for (int round = 0; round < ROUNDS; round++) {
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
            ck_assert_msg(rounds_of_growth < ROUNDS, "%s pass %u leaks", plan->table[i].place, occurrence);
            points++;
        }
    }
    ck_assert_uint_gt(points, 150);
}
END_TEST

TCase *template_memory_cases(void) {
    TCase *cases = tcase_create("memory");
    tcase_add_test(cases, test_no_memory);
    return cases;
}
