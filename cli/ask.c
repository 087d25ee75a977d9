/* `spile ask`: says each line, and prints what comes back. */
#include "talk.h"

#include <errno.h>
#include <string.h>
#include <sys/prctl.h>

enum { CLOSE_MS = 500 };

const char ask_help[] = "usage: spile ask [OPTION]... ENDPOINT LINE... [-- PROGRAM ARGUMENT...]\n"
                        "  spile ask /dev/ttyUSB0 -b 115200 '*IDN?'\n"
                        "Says each line and prints its reply: a line within 10 seconds, or as said here.\n"
                        "Endpoints: PATH  fifo:IN,OUT  unix:PATH  tcp:HOST:PORT  fd:N  'pty: PROGRAM ...'\n"
                        "           'pipe: PROGRAM ...'\n"
                        "  -n, --lines N        so many lines; 0: none is awaited\n"
                        "  -e, --end PATTERN    up to a line that matches, OK say\n"
                        "  -p, --prompt TEXT    up to this at the start of a line; awaited first, too\n"
                        "      --silence TIME   until nothing more has come for so long\n"
                        "      --error PATTERN  a line that makes it an error, 'ERR*' say\n"
                        "  -t, --timeout TIME   200ms, 5s, 2m; of each question\n"
                        "      --skip-empty     empty lines are no part of a reply\n"
                        "      --echo drop|keep the line that repeats the question; --secret: hide it\n"
                        "      --resync TIME    so much silence means that a late reply never comes\n"
                        "      --wait[=TIME]    for the endpoint to be there\n"
                        "      --eol lf|crlf|cr|none  --ends any|lf|crlf|cr  --line-limit SIZE\n"
                        "      --encoding NAME  --errors replace|strict|escape\n"
                        "  -b, --baud N  --bits N  --parity P  --stop N  --flow F  --dtr on|off\n"
                        "      --rts on|off  --no-hupcl\n"
                        "      --cooked  --no-lock  --size 80x24  --terminal-echo  --env NAME=VALUE\n"
                        "      --cwd DIR  --transcript FILE  --transcript-json FILE\n"
                        "      --message  --reconnect\n"
                        "Exit status: 0; 1 an error reply; 3 its end; 124 timed out; 125 usage, own\n"
                        "error. More: spile help ask\n";

int command_ask(int argc, char **argv) {
    struct talk_command command = {.name = "ask"};
    int status = 0;
    const char *fault = talk_options_parse(&command, argv + 1, (size_t)argc - 1);
    if (fault) {
        complain("%s", fault);
        return EXIT_OWN_ERROR;
    }
    if (command.help)
        return out_write(ask_help, strlen(ask_help));
    command.ask.timeout_ns = command.timeout_ns;
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
    spile_talk *talk = talk_open(&command, &status);
    for (size_t i = 0; talk && i < command.lines.count && status == 0; i++)
        status = talk_ask(talk, &command.ask, command.lines.items[i]);
    if (talk)
        (void)talk_close(&command, talk, CLOSE_MS * UINT64_C(1000000));
    else
        children_collect();
    return status;
}
