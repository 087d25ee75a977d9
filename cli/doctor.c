/* `spile doctor`: what this machine grants, which promises hold, how to get the others; for a person, or as JSON. */
#include "cli.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { REPORT_VERSION = 1, NAME_WIDTH = 19 };

struct doctor {
    bool json, help;
    unsigned require;
    spile_containment containment;
};

const char doctor_help[] = "usage: spile doctor [--json] [--require PROMISE[,...]] [--containment KIND]\n"
                           "Tells what this machine grants, which promises calls can rely on, and how to get\n"
                           "the others.\n"
                           "  --json              the same as a JSON object\n"
                           "  --require PROMISE   125 where one of these does not hold: contained,\n"
                           "                      private, files, program_memory, processes, no_swap,\n"
                           "                      standstill, private_path\n"
                           "  --containment KIND  of calls that may only have namespace, reaper or none\n"
                           "Exit status: 0; 125 a promise does not hold. More: spile help doctor\n";

const char *containment_kind(spile_containment containment) {
    static const char *const names[] = {[SPILE_CONTAINMENT_AUTO] = "auto",
                                        [SPILE_CONTAINMENT_NAMESPACE] = "namespace",
                                        [SPILE_CONTAINMENT_REAPER] = "reaper",
                                        [SPILE_CONTAINMENT_NONE] = "none"};
    return names[containment];
}

const char *parse_promises(const char *text, unsigned *promises) {
    for (;;) {
        size_t size = strcspn(text, ",");
        const char *item = allocate_copy(text, size), *name = NULL;
        struct nearest nearest = {.word = item};
        unsigned bit = 1;
        for (; bit <= SPILE_PROMISE_LAST; bit <<= 1) {
            name = spile_promise_name((spile_promise)bit);
            if (strcmp(name, item) == 0)
                break;
            nearest_offer(&nearest, name);
        }
        if (bit > SPILE_PROMISE_LAST && nearest.best)
            return allocate_format("there is no promise '%s': did you mean '%s'?", item, nearest.best);
        if (bit > SPILE_PROMISE_LAST)
            return allocate_format("there is no promise '%s': see spile doctor", item);
        *promises |= bit;
        if (text[size] == '\0')
            return NULL;
        text += size + 1;
    }
}

static const char *apply_require(void *user, const char *value) {
    return parse_promises(value, &((struct doctor *)user)->require);
}

static const char *apply_containment(void *user, const char *value) {
    struct doctor *doctor = user;
    for (int kind = SPILE_CONTAINMENT_AUTO; kind <= SPILE_CONTAINMENT_NONE; kind++) {
        doctor->containment = (spile_containment)kind;
        if (strcmp(value, containment_kind(doctor->containment)) == 0)
            return NULL;
    }
    return allocate_format("there is no containment '%s': auto, namespace, reaper, none", value);
}

FLAG_OPTION(apply_json, struct doctor, json)
FLAG_OPTION(apply_help, struct doctor, help)

static const char *refuse_operand(void *user, const char *word) {
    (void)user;
    return allocate_format("'%s' is one word too many: see spile doctor --help", word);
}

static const char *refuse_rest(void *user, char **words, size_t count) {
    (void)words;
    return count ? refuse_operand(user, words[0]) : NULL;
}

/* Text in lines of a terminal's width, the second and later ones indented. */
static void add_wrapped(struct builder *text, const char *string, size_t indent) {
    enum { WIDTH = 96 };
    size_t column = indent;
    while (*string) {
        size_t size = strcspn(string, " ");
        if (column + size > WIDTH && column > indent) {
            builder_printf(text, "\n%*s", (int)indent, "");
            column = indent;
        } else if (column > indent) {
            builder_puts(text, " ");
        }
        builder_add(text, string, size);
        column += size + 1;
        string += size + (string[size] == ' ');
    }
    builder_puts(text, "\n");
}

static void add_finding(struct builder *text, const spile_finding *finding) {
    builder_printf(text, "  %-4s%-*s ", finding->holds ? "yes" : "no", NAME_WIDTH, finding->name);
    add_wrapped(text, finding->text, NAME_WIDTH + 7);
    if (!finding->cure)
        return;
    builder_printf(text, "%*s", NAME_WIDTH + 7, "");
    add_wrapped(text, allocate_format("to get it: %s", finding->cure), NAME_WIDTH + 7);
}

static int tell_person(const spile_doctor *found) {
    static const char *const meanings[] = {
        [SPILE_CONTAINMENT_AUTO] = "",
        [SPILE_CONTAINMENT_NAMESPACE] =
            "namespace: programs run in namespaces of their own, which the kernel ends with the call",
        [SPILE_CONTAINMENT_REAPER] =
            "reaper: a supervisor collects and ends what programs leave; files are in /dev/shm",
        [SPILE_CONTAINMENT_NONE] = "none: programs are plain children; files are in /dev/shm",
    };
    struct builder text = {0};
    spile_finding finding = {.size = sizeof(finding)};
    builder_printf(&text, "spile %s\ncontainment ", spile_version());
    builder_printf(&text, "%s\n\nPromises that calls can rely on:\n", meanings[spile_doctor_containment(found)]);
    for (size_t i = 0; spile_doctor_finding(found, i, &finding) >= 0; i++) {
        spile_finding before = {.size = sizeof(before)};
        if (!finding.promise && i > 0 && spile_doctor_finding(found, i - 1, &before) >= 0 && before.promise)
            builder_puts(&text, "\nWhat this machine grants:\n");
        add_finding(&text, &finding);
    }
    return out_write(text.data, text.size);
}

static json_t *text_or_null(const char *text) {
    size_t size;
    if (!text)
        return json_null();
    text = utf8_clean(text, strlen(text), &size);
    return json_stringn(text, size);
}

static int tell_program(const spile_doctor *found) {
    json_t *promises = json_array(), *machine = json_array();
    spile_finding finding = {.size = sizeof(finding)};
    for (size_t i = 0; spile_doctor_finding(found, i, &finding) >= 0; i++)
        json_array_append_new(finding.promise ? promises : machine,
                              json_pack("{s:s, s:b, s:o, s:o}", "name", finding.name, "holds", finding.holds, "text",
                                        text_or_null(finding.text), "cure", text_or_null(finding.cure)));
    json_t *report = json_pack("{s:i, s:s, s:s, s:o, s:o}", "version", REPORT_VERSION, "spile", spile_version(),
                               "containment", containment_kind(spile_doctor_containment(found)), "promises", promises,
                               "machine", machine);
    char *text = report ? json_dumps(report, JSON_INDENT(2)) : NULL;
    json_decref(report);
    if (!text) {
        complain("out of memory");
        return EXIT_OWN_ERROR;
    }
    const char *line = allocate_format("%s\n", text);
    free(text);
    return out_write(line, strlen(line));
}

static int check_required(const struct doctor *doctor, const spile_doctor *found) {
    spile_finding finding = {.size = sizeof(finding)};
    int status = 0;
    for (size_t i = 0; spile_doctor_finding(found, i, &finding) >= 0; i++) {
        if (finding.holds || !(doctor->require & (unsigned)finding.promise))
            continue;
        complain("%s", finding.text);
        status = EXIT_OWN_ERROR;
    }
    return status;
}

static int examine(const struct doctor *doctor) {
    const spile_ctx_options options = {.size = sizeof(options), .containment = doctor->containment};
    spile_ctx *ctx = NULL;
    spile_doctor *found = NULL;
    /* What it starts aside falls to it, and is collected before it ends. */
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
    int result = spile_ctx_new(&options, &ctx);
    if (result >= 0)
        result = spile_doctor_new(ctx, &found);
    int status = EXIT_OWN_ERROR;
    if (result < 0)
        complain("this machine can't be looked at: %s", strerror(-result));
    else
        status = doctor->json ? tell_program(found) : tell_person(found);
    if (found && status == 0)
        status = check_required(doctor, found);
    spile_doctor_free(found);
    spile_ctx_free(ctx);
    while (waitpid(-1, NULL, __WALL) > 0)
        continue;
    return status;
}

static const struct option options[] = {
    {0, "json", OPTION_FLAG, apply_json},
    {0, "require", OPTION_VALUE, apply_require},
    {0, "containment", OPTION_VALUE, apply_containment},
    {'h', "help", OPTION_FLAG, apply_help},
};

struct option_list doctor_option_list(void) {
    return (struct option_list){options, sizeof(options) / sizeof(*options)};
}

int command_doctor(int argc, char **argv) {
    struct doctor doctor = {.containment = SPILE_CONTAINMENT_AUTO};
    const struct option_parser parser = {.command = "doctor",
                                         .options = options,
                                         .count = sizeof(options) / sizeof(*options),
                                         .user = &doctor,
                                         .operand = refuse_operand,
                                         .rest = refuse_rest};
    const char *fault = options_parse(&parser, argv + 1, (size_t)argc - 1);
    if (fault) {
        complain("%s", fault);
        return EXIT_OWN_ERROR;
    }
    if (doctor.help)
        return out_write(doctor_help, strlen(doctor_help));
    return examine(&doctor);
}
