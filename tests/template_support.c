/* What the tests of the template language share: see template_support.h. */
#include "template_support.h"

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

char *print_programs(spile_program **programs, size_t count) {
    struct text text = {0};
    for (size_t i = 0; i < count; i++) {
        text_puts(&text, i ? " | " : "");
        print_program(&text, programs[i]);
    }
    return text_take(&text);
}

void free_programs(spile_program **programs, size_t count) {
    for (size_t i = 0; i < count; i++)
        spile_program_free(programs[i]);
    free(programs);
}

ssize_t take_place(char *text) {
    char *place = strstr(text, PLACE);
    ck_assert_ptr_nonnull(place);
    memmove(place, place + strlen(PLACE), strlen(place + strlen(PLACE)) + 1);
    return place - text;
}

size_t columns_of(const char *text, size_t bytes) {
    size_t columns = 0;
    for (size_t i = 0; i < bytes; i++)
        columns += ((unsigned char)text[i] & 0xc0) != 0x80;
    return columns;
}

void check_error(spile_error *error, const char *text, ssize_t place, const char *summary, const char *cure) {
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
