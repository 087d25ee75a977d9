/* `spile complete WORD...`: what the last word may become, a line each. The completions of the shells (completions/)
 * ask it, so that what is known of options, of their values and of the names in templates is known once.
 *
 * What a word that is begun can't be completed to is left out, and nothing is ever complained about. A candidate that
 * goes on ends in '=', ':', ',' or '/'. Nothing is opened but directories.
 */
#include "cli.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct completion {
    const char *word;    /* so far */
    word_list templates; /* before it, of `spile run` */
    word_list found;
};

static void offer(struct completion *completion, const char *prefix, const char *candidate, const char *suffix) {
    const char *whole = allocate_format("%s%s%s", prefix, candidate, suffix);
    if (strncmp(whole, completion->word, strlen(completion->word)) == 0)
        *LIST_ADD(completion->found) = whole;
}

/* Each of the words, separated by blanks, behind `prefix`. */
static void offer_each(struct completion *completion, const char *prefix, const char *words) {
    for (size_t size; *words; words += size + (words[size] == ' ')) {
        size = strcspn(words, " ");
        offer(completion, prefix, allocate_copy(words, size), "");
    }
}

static void offer_entry(struct completion *completion, const char *prefix, DIR *directory, const char *name,
                        bool directories_only) {
    struct stat status;
    const bool is_directory = fstatat(dirfd(directory), name, &status, 0) == 0 && S_ISDIR(status.st_mode);
    if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0 && (is_directory || !directories_only))
        offer(completion, prefix, name, is_directory ? "/" : "");
}

/* Files whose path begins as the word does behind `prefix`; hidden ones only where their dot is there. */
static void offer_paths(struct completion *completion, const char *prefix, bool directories_only) {
    if (strncmp(completion->word, prefix, strlen(prefix)) != 0)
        return;
    const char *path = completion->word + strlen(prefix), *slash = strrchr(path, '/'), *home = getenv("HOME");
    const char *place = slash ? allocate_copy(path, (size_t)(slash + 1 - path)) : "";
    const char *opened = strncmp(place, "~/", 2) == 0 && home ? allocate_format("%s%s", home, place + 1) : place;
    const bool is_hidden = path[strlen(place)] == '.';
    DIR *directory = opendir(*opened ? opened : ".");
    if (!directory)
        return;
    for (struct dirent *entry; (entry = readdir(directory));)
        if (is_hidden || entry->d_name[0] != '.')
            offer_entry(completion, allocate_format("%s%s", prefix, place), directory, entry->d_name, directories_only);
    (void)closedir(directory);
}

/* ------------------------------------------------------------------------------ what templates hold */

/* What stands in the templates of the command line so far: of files, or of values. */
static void offer_names(struct completion *completion, const char *prefix, const char *suffix, bool of_values) {
    spile_plan *plan = NULL;
    if (spile_plan_new(&plan) < 0)
        return;
    for (size_t i = 0; i < completion->templates.count; i++)
        (void)spile_plan_add_template(plan, completion->templates.items[i], NULL, NULL);
    if (spile_plan_finish(plan, NULL) >= 0) {
        spile_file_info file = {.size = sizeof(file)};
        for (size_t i = 0; !of_values && spile_plan_file(plan, i, &file) >= 0; i++)
            offer(completion, prefix, file.name, suffix);
        bool is_list;
        const char *value;
        for (size_t i = 0; of_values && (value = spile_plan_value(plan, i, &is_list)); i++)
            offer(completion, prefix, value, suffix);
    }
    spile_plan_unref(plan);
}

/* NAME=PATH behind `prefix`: the name, and then the path. */
static void offer_bindings(struct completion *completion, const char *prefix) {
    const char *equals = strchr(completion->word + strlen(prefix), '=');
    if (equals)
        offer_paths(completion, allocate_copy(completion->word, (size_t)(equals + 1 - completion->word)), false);
    else
        offer_names(completion, prefix, "=", false);
}

/* ------------------------------------------------------------------------------ values of options */

/* The words that an option takes; it complains about any other. */
static const struct {
    const char *option, *words;
} choices[] = {
    {"color", "auto always never"},
    {"errors", "replace strict escape"},
    {"eol", "lf crlf cr none"},
    {"ends", "any lf crlf cr"},
    {"parity", "none even odd"},
    {"flow", "none hardware software"},
    {"dtr", "on off"},
    {"rts", "on off"},
    {"echo", "auto drop keep"},
    {"bits", "5 6 7 8"},
    {"stop", "1 2"},
    {"baud", "1200 2400 4800 9600 19200 38400 57600 115200 230400 460800 921600"},
    {"containment", "auto namespace reaper none"},
};
static const char *const path_options[] = {
    "file", "json", "history", "transcript", "transcript-json", "script", "send-secret-file"};
static const char *const directory_options[] = {"cwd", "private-path"};

static bool is_among(const char *word, const char *const *words, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(word, words[i]) == 0)
            return true;
    return false;
}
#define IS_AMONG(word, words) is_among(word, words, sizeof(words) / sizeof(*(words)))

/* A list of promises; those before the last comma stay. */
static void offer_promises(struct completion *completion, const char *prefix) {
    const char *comma = strrchr(completion->word, ',');
    if (comma)
        prefix = allocate_copy(completion->word, (size_t)(comma + 1 - completion->word));
    for (unsigned bit = 1; bit <= SPILE_PROMISE_LAST; bit <<= 1)
        if (spile_promise_name((spile_promise)bit))
            offer(completion, prefix, spile_promise_name((spile_promise)bit), "");
}

static void offer_value(struct completion *completion, const char *option, const char *prefix) {
    for (size_t i = 0; i < sizeof(choices) / sizeof(*choices); i++)
        if (strcmp(option, choices[i].option) == 0)
            offer_each(completion, prefix, choices[i].words);
    if (IS_AMONG(option, path_options))
        offer_paths(completion, prefix, false);
    else if (IS_AMONG(option, directory_options))
        offer_paths(completion, prefix, true);
    else if (strcmp(option, "require") == 0)
        offer_promises(completion, prefix);
    else if (strcmp(option, "input") == 0 || strcmp(option, "output") == 0)
        offer_bindings(completion, prefix);
    else if (strcmp(option, "direct") == 0 || strcmp(option, "optional") == 0)
        offer_names(completion, prefix, "", false);
    else if (strcmp(option, "value") == 0)
        offer_names(completion, prefix, "=", true);
}

/* ------------------------------------------------------------------------------ words of a command */

static const struct option *find_option(struct option_list list, const char *word) {
    const size_t size = strlen(word);
    for (size_t i = 0; i < list.count; i++) {
        const struct option *option = &list.items[i];
        if (size > 2 && strncmp(word, "--", 2) == 0 && option->name && strcmp(word + 2, option->name) == 0)
            return option;
        if (size > 1 && word[1] != '-' && option->letter == word[size - 1])
            return option;
    }
    return NULL;
}

static void offer_options(struct completion *completion, struct option_list list) {
    for (size_t i = 0; i < list.count; i++) {
        const struct option *option = &list.items[i];
        if (!option->name)
            continue;
        offer(completion, "--", option->name, "");
        if (option->value == OPTION_MAY_HAVE_VALUE)
            offer(completion, "--", option->name, "=");
    }
}

static void offer_endpoints(struct completion *completion) {
    static const char *const with_paths[] = {"fifo:", "unix:"};
    offer_each(completion, "", "pty: pipe: fifo: unix: tcp: fd:");
    offer_paths(completion, "", false);
    for (size_t i = 0; i < sizeof(with_paths) / sizeof(*with_paths); i++)
        offer_paths(completion, with_paths[i], false);
    const char *comma = strchr(completion->word, ',');
    if (comma && strncmp(completion->word, "fifo:", 5) == 0)
        offer_paths(completion, allocate_copy(completion->word, (size_t)(comma + 1 - completion->word)), false);
}

/* What the words before the last one mean for it. */
struct place {
    const struct option *awaiting; /* its value comes, or NULL */
    size_t operands;
    bool is_rest; /* behind "--" */
};

static struct place find_place(struct completion *completion, struct option_list list, char **words, size_t count) {
    struct place place = {0};
    for (size_t i = 0; i < count && !place.is_rest; i++) {
        const struct option *option = NULL;
        if (place.awaiting) {
            place.awaiting = NULL;
        } else if (words[i][0] == '-') {
            place.is_rest = strcmp(words[i], "--") == 0;
            option = find_option(list, words[i]);
            place.awaiting = option && option->value == OPTION_VALUE ? option : NULL;
        } else {
            place.operands++;
            if (strchr(words[i], '{'))
                *LIST_ADD(completion->templates) = words[i];
        }
    }
    return place;
}

static void offer_option(struct completion *completion, struct option_list list) {
    const char *equals = strchr(completion->word, '=');
    if (!equals)
        return offer_options(completion, list);
    const char *name = allocate_copy(completion->word, (size_t)(equals - completion->word));
    const struct option *option = find_option(list, name);
    if (option && option->value != OPTION_FLAG)
        offer_value(completion, option->name, allocate_format("%s=", name));
}

/* The words of one command, before the last, which is to be completed. */
static void complete_command(struct completion *completion, const char *command, char **words, size_t count) {
    const bool is_run = strcmp(command, "run") == 0, is_doctor = strcmp(command, "doctor") == 0;
    const struct option_list list = is_run      ? run_option_list()
                                    : is_doctor ? doctor_option_list()
                                                : talk_option_list(strcmp(command, "ask") == 0);
    const struct place place = find_place(completion, list, words, count);
    if (place.is_rest)
        offer_paths(completion, "", false); /* arguments of a program */
    else if (place.awaiting)
        offer_value(completion, place.awaiting->name, "");
    else if (completion->word[0] == '-')
        offer_option(completion, list);
    else if (is_run)
        offer_bindings(completion, "");
    else if (!is_doctor && place.operands == 0)
        offer_endpoints(completion);
}

int command_complete(int argc, char **argv) {
    struct completion completion = {.word = argc > 1 ? argv[argc - 1] : ""};
    static const char *const with_words[] = {"run", "ask", "talk", "doctor"};
    if (argc <= 2)
        offer_each(&completion, "", "run ask talk doctor help --help --version");
    else if (IS_AMONG(argv[1], with_words))
        complete_command(&completion, argv[1], argv + 2, (size_t)argc - 3);
    else if (argc == 3 && strcmp(argv[1], "help") == 0)
        offer_each(&completion, "", "run ask talk doctor spile");
    struct builder text = {0};
    for (size_t i = 0; i < completion.found.count; i++)
        builder_printf(&text, "%s\n", completion.found.items[i]);
    return text.size ? out_write(text.data, text.size) : 0;
}
