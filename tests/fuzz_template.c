/* What holds for any template and any vector: no crash, no leak, an error that says where, and words that, quoted, read
 * the same. Built as a libFuzzer harness, which calls fuzz_one by another name, and into test_template, which
 * replays corpus/template.
 */
#include "call/template.h"

#include <limits.h>

int fuzz_one(const uint8_t *data, size_t size);

static void require(bool condition) {
    if (!condition)
        abort();
}

static void check_error(const spile_error *error, size_t size) {
    require(error && spile_error_get_kind(error) == SPILE_ERROR_TEMPLATE);
    require(spile_error_get_offset(error) >= 0 && (size_t)spile_error_get_offset(error) <= size);
    require(*spile_error_get_message(error) && strchr(spile_error_get_message(error), '\n'));
}

static void check_text(const char *text) {
    AUTO_FREE char *quoted = NULL;
    require(spile_quote(text, &quoted) == 0);
    AUTO_TEXT template = {0};
    text_printf(&template, "x %s", quoted);
    spile_program **programs;
    size_t count;
    require(template_parse(template.data, NULL, &programs, &count, NULL) == 0);
    require(count == 1 && programs[0]->word_count == 2);
    require(strcmp(programs[0]->words[1].parts[0].text, text) == 0);
    spile_program_free(programs[0]);
    free(programs);
}

static void check_program(const spile_program *program) {
    size_t size = strlen(program->template);
    require(program->word_count > 0);
    require(program->text_start <= program->text_end && program->text_end <= size);
    for (size_t i = 0; i < program->word_count; i++) {
        const struct word *word = &program->words[i];
        require(word->part_count > 0 && word->offset >= 0 && (size_t)word->offset <= size);
        for (size_t k = 0; k < word->part_count; k++) {
            if (word->parts[k].type == SPILE_PART_TEXT)
                check_text(word->parts[k].text);
            if (word->parts[k].type == SPILE_PART_FILE)
                require(word->parts[k].file < program->file_count);
        }
    }
    for (size_t i = 0; i < program->file_count; i++) {
        require(!program_name_fault(program->files[i].name));
        require(program->files[i].offset >= 0 && (size_t)program->files[i].offset < size);
    }
}

static void try_template(const char *text) {
    spile_program **programs;
    size_t count;
    spile_error *error = NULL;
    int result = template_parse(text, NULL, &programs, &count, &error);
    if (result < 0) {
        require(result == -EINVAL);
        check_error(error, strlen(text));
        spile_error_free(error);
        return;
    }
    require(count > 0 && !error);
    for (size_t i = 0; i < count; i++) {
        check_program(programs[i]);
        spile_program_free(programs[i]);
    }
    free(programs);
}

/* The words of a vector lie between newlines. */
static void try_vector(char *text) {
    const char *words[16];
    size_t count = 0;
    for (char *place = text; place && count < ARRAY_SIZE(words);)
        words[count++] = strsep(&place, "\n");
    spile_program *program;
    spile_error *error = NULL;
    int result = template_parse_vector(words, count, NULL, &program, &error);
    if (result < 0) {
        require(result == -EINVAL);
        check_error(error, SSIZE_MAX);
        spile_error_free(error);
        return;
    }
    check_program(program);
    /* Its text, read as a template, is the same program. */
    spile_program **again;
    size_t again_count;
    require(template_parse(program->template, NULL, &again, &again_count, NULL) == 0);
    require(again_count == 1 && again[0]->word_count == program->word_count);
    require(again[0]->file_count == program->file_count && again[0]->variable_count == 0);
    for (size_t i = 0; i < program->word_count; i++)
        require(again[0]->words[i].part_count == program->words[i].part_count);
    spile_program_free(again[0]);
    free(again);
    spile_program_free(program);
}

int fuzz_one(const uint8_t *data, size_t size) {
    char *text = malloc(size + 1);
    require(text);
    if (size)
        memcpy(text, data, size);
    text[size] = '\0';
    try_template(text);
    try_vector(text);
    free(text);
    return 0;
}
