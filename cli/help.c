/* Help: a screenful that is printed, and the way to the manual pages. */
#include "talk.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const char general_help[] = "usage: spile COMMAND ...\n"
                                   "Calls programs that want files as if they were functions; talks with devices.\n"
                                   "\n"
                                   "  spile run 'as {<a.s} -o {>a.o}' 'ld {<a.o} -o {>prog}'\n"
                                   "                 runs programs on files in memory: a.s comes from here, prog\n"
                                   "                 goes here, a.o is nobody's business\n"
                                   "  spile ask /dev/ttyUSB0 '*IDN?'\n"
                                   "                 says a line to a device and prints its reply\n"
                                   "  spile talk 'pty: bc -q' <lines\n"
                                   "                 says what standard input has, prints what comes back\n"
                                   "  spile doctor   tells what this machine grants to calls\n"
                                   "  spile help [COMMAND]\n"
                                   "                 this text, or the command's manual page\n"
                                   "  spile --version\n"
                                   "\n"
                                   "spile COMMAND --help prints what fits on a screen.\n";

const char run_help[] = "usage: spile run [OPTION | TEMPLATE | NAME=PATH]... [-- PROGRAM ARGUMENT...]\n"
                        "  spile run 'as {<a.s} -o {>a.o}' 'ld {<a.o} -o {>prog}'\n"
                        "Marks: {<x} read  {>x} written  {<>x} changed  {+<x} not an argument  {x} value\n"
                        "  {x...} list  {<*.c} pattern  {<x/} tree  {<x|} stream  {{ }} braces  a | b bar\n"
                        "  <{x} >{x} >>{x} 2>{x} 2>&1 standard streams  VAR=x prog ... environment\n"
                        "Files come from and go to here; NAME=PATH, NAME=- or NAME=@FD say otherwise.\n"
                        "  -i, -o NAME=PATH    the same, for names in no template too\n"
                        "  -v NAME=TEXT        a value; again for each element of a list\n"
                        "  -f FILE             templates, one a line\n"
                        "  -n, --dry-run       show who feeds whom, start nothing; --dot: for graphviz\n"
                        "  --timeout TIME      200ms, 1.5s, 2m, 1h;  --cpu TIME: for each process\n"
                        "  --memory SIZE       of all files, 64M;  --max-output SIZE: of each output\n"
                        "  --program-memory SIZE, --processes N: of all programs;  --open-files N: of one\n"
                        "  --require PROMISE   see spile doctor;  --private-path DIR: their directory\n"
                        "  --jobs N            at a time;  --keep-going: run what a failure leaves\n"
                        "  --ok-status [PROGRAM:]0,1   exit statuses that are a success\n"
                        "  --direct NAME       a stream as a plain pipe of the kernel\n"
                        "  --optional NAME     an output that may be missing;  --force: replace read-only\n"
                        "  --env NAME=VALUE | NAME | -NAME | -     set, pass, remove, start empty\n"
                        "  --cwd DIR           where programs run, not in a directory in memory\n"
                        "  --trace             events on standard error\n"
                        "  --json[=FILE]       a report on standard error or in a file (-: stdout)\n"
                        "Exit status: 0; the failed program's, 128+signal; 123 no program's fault; 124\n"
                        "timed out; 125 usage; 126, 127 can't execute, not found. More: spile help run\n";

/* Whether man knows the page; its own complaints are nobody's. */
static bool has_page(const char *page) {
    char *const words[] = {(char *)"man", (char *)"-w", (char *)page, NULL};
    posix_spawn_file_actions_t actions;
    pid_t child = -1;
    int status = -1;
    if (posix_spawn_file_actions_init(&actions) != 0)
        return false;
    if (posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0) == 0 &&
        posix_spawn_file_actions_adddup2(&actions, 1, 2) == 0 &&
        posix_spawnp(&child, "man", &actions, NULL, words, environ) == 0)
        while (waitpid(child, &status, 0) < 0 && errno == EINTR)
            continue;
    posix_spawn_file_actions_destroy(&actions);
    return status >= 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

int command_help(const char *topic) {
    if (!topic)
        return out_write(general_help, strlen(general_help));
    const struct {
        const char *topic, *page, *text;
    } topics[] = {{"run", "spile-run", run_help},
                  {"talk", "spile-talk", talk_help},
                  {"ask", "spile-ask", ask_help},
                  {"doctor", "spile-doctor", doctor_help},
                  {"spile", "spile", general_help}};
    for (size_t i = 0; i < sizeof(topics) / sizeof(*topics); i++) {
        if (strcmp(topic, topics[i].topic) != 0)
            continue;
        if (has_page(topics[i].page))
            execlp("man", "man", topics[i].page, (char *)NULL);
        return out_write(topics[i].text, strlen(topics[i].text));
    }
    complain("there is no help on '%s': spile help run, talk, ask, doctor, or spile", topic);
    return EXIT_OWN_ERROR;
}
