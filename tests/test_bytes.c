/* Bytes that come piece by piece: whole in the heap and in a mapping, where that has to move, and where address space
 * is short; what is handed out is theirs who took it. */
#include "base/bytes.h"
#include "support.h"

#include <sys/resource.h>

#define MB ((size_t)1 << 20)

static unsigned char byte_at(size_t offset) {
    return (unsigned char)(offset * 31 + offset / 4096);
}

/* Appends up to `total` in pieces of odd sizes, half of them written in place. */
static int fill(struct bytes *bytes, size_t total) {
    static unsigned char piece[100003];
    for (bool is_in_place = false; bytes->size < total; is_in_place = !is_in_place) {
        size_t size = MIN(total - bytes->size, sizeof(piece)), room = 0;
        char *place = NULL;
        for (size_t i = 0; i < size; i++)
            piece[i] = byte_at(bytes->size + i);
        int result = is_in_place ? bytes_reserve(bytes, size, &place, &room) : bytes_append(bytes, piece, size);
        if (result < 0)
            return result;
        if (!is_in_place)
            continue;
        ck_assert_uint_ge(room, size);
        memcpy(place, piece, size);
        bytes_added(bytes, size);
    }
    return 0;
}

static void check(const char *data, size_t size) {
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)data[i] != byte_at(i))
            ck_abort_msg("byte %zu of %zu is another", i, size);
}

static void fill_and_take(size_t total, size_t map_first, bool is_to_be_mapped) {
    struct bytes bytes = {.map_first = map_first};
    bool is_mapped;
    ck_assert_int_eq(fill(&bytes, total), 0);
    char *data = bytes_take(&bytes, &is_mapped);
    ck_assert(is_mapped == is_to_be_mapped && !bytes.data && !bytes.size && !bytes.mapped);
    check(data, total);
    bytes_release(data, total, is_mapped);
}

START_TEST(few_are_in_the_heap) {
    bool is_mapped = true;
    struct bytes bytes = {0};
    ck_assert_ptr_null(bytes_take(&bytes, &is_mapped));
    ck_assert(!is_mapped);
    fill_and_take(1, 0, false);
    fill_and_take(MB, 0, false);
}
END_TEST

START_TEST(many_are_mapped) {
    fill_and_take(MB + 1, 0, true);
    fill_and_take(20 * MB + 12345, 0, true);
}
END_TEST

START_TEST(a_mapping_moves) {
    fill_and_take(20 * MB + 1, 2 * MB, true);
}
END_TEST

#ifndef __SANITIZE_ADDRESS__ /* takes the address space itself */
static size_t address_space(void) {
    size_t pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    ck_assert(file && fscanf(file, "%zu", &pages) == 1);
    (void)fclose(file);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

START_TEST(what_was_too_much_is_given_back) {
    size_t before = address_space();
    struct bytes bytes = {0};
    ck_assert_int_eq(fill(&bytes, 5 * MB + 1), 0);
    ck_assert_uint_gt(address_space() - before, 1000 * MB);
    bytes_trim(&bytes);
    ck_assert_uint_lt(address_space() - before, 6 * MB);
    check(bytes.data, bytes.size);
    bytes_done(&bytes);
    ck_assert_uint_lt(address_space() - before, MB);
}
END_TEST

START_TEST(little_address_space) {
    struct bytes bytes = {0};
    struct rlimit old, tight;
    ck_assert_int_eq(getrlimit(RLIMIT_AS, &old), 0);
    tight = old;
    tight.rlim_cur = address_space() + 100 * MB;
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &tight), 0);
    ck_assert_int_eq(fill(&bytes, 60 * MB), 0);
    ck_assert_int_eq(fill(&bytes, 200 * MB), -ENOMEM);
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &old), 0);
    ck_assert_uint_ge(bytes.size, 60 * MB);
    check(bytes.data, bytes.size);
    bytes_done(&bytes);
}
END_TEST
#endif

int main(int argc, char **argv) {
    Suite *suite = suite_create("bytes");
    TCase *all = tcase_create("all");
    support_begin(argc, argv);
    tcase_add_test(all, few_are_in_the_heap);
    tcase_add_test(all, many_are_mapped);
    tcase_add_test(all, a_mapping_moves);
#ifndef __SANITIZE_ADDRESS__
    tcase_add_test(all, what_was_too_much_is_given_back);
    tcase_add_test(all, little_address_space);
#endif
    suite_add_tcase(suite, all);
    return support_run(suite);
}
