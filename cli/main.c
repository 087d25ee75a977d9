/* The command `spile`: finds the subcommand. */
#include "cli.h"

#include <string.h>

static int print_version(void) {
    const char *line = allocate_format("spile %s\n", spile_version());
    return out_write(line, strlen(line));
}

static int help(int argc, char **argv) {
    if (argc > 2) {
        complain("help takes one command: see spile help");
        return EXIT_OWN_ERROR;
    }
    return command_help(argc > 1 ? argv[1] : NULL);
}

static int version(int argc, char **argv) {
    (void)argc, (void)argv;
    return print_version();
}

static int general_help(int argc, char **argv) {
    (void)argc, (void)argv;
    return command_help(NULL);
}

static const struct command {
    const char *name;
    int (*function)(int argc, char **argv);
} commands[] = {
    {"run", command_run}, {"talk", command_talk},         {"ask", command_ask}, {"doctor", command_doctor},
    {"help", help},       {"--help", general_help},       {"-h", general_help}, {"--version", version},
    {"-V", version},      {"complete", command_complete},
};

int main(int argc, char **argv) {
    standard_streams_check();
    if (argc < 2) {
        complain("a command is missing: see spile --help");
        return EXIT_OWN_ERROR;
    }
    struct nearest nearest = {.word = argv[1]};
    for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++) {
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].function(argc - 1, argv + 1);
        nearest_offer(&nearest, commands[i].name);
    }
    if (nearest.best)
        complain("there is no command '%s': did you mean 'spile %s'?", argv[1], nearest.best);
    else if (strpbrk(argv[1], "{ "))
        complain("there is no command '%s': to run a template write spile run '%s'", argv[1], argv[1]);
    else
        complain("there is no command '%s': see spile --help", argv[1]);
    return EXIT_OWN_ERROR;
}
