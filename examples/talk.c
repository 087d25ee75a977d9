/* A conversation: asks each line of standard input, and prints what comes back.
 *
 *   talk [ENDPOINT]     "/dev/ttyUSB0", "fifo:IN,OUT", "tcp:HOST:PORT", ...; without one a calculator
 */
#include <spile.h>
#include <stdio.h>
#include <string.h>

static int ask(spile_talk *talk, const char *line) {
    spile_reply reply = {.size = sizeof(reply)};
    spile_error *error = NULL;
    int r = spile_talk_ask(talk, line, NULL, &reply,
                           &error); /* one line within ten seconds: spile_ask_options says else */
    if (r >= 0)
        puts(reply.text);
    else
        fprintf(stderr, "talk: %s\n", error ? spile_error_get_message(error) : strerror(-r));
    spile_error_free(error);
    spile_reply_done(&reply);
    return r;
}

int main(int argc, char **argv) {
    const spile_talk_options options = {.size = sizeof(options), .eol = "\n", .encoding = "UTF-8"};
    spile_talk *talk = NULL;
    spile_error *error = NULL;
    char line[1000];
    int r = spile_talk_open(argc > 1 ? argv[1] : "pipe: bc -q", &options, &talk, &error);
    if (r < 0)
        fprintf(stderr, "talk: %s\n", error ? spile_error_get_message(error) : strerror(-r));
    while (r >= 0 && fgets(line, sizeof(line), stdin)) {
        line[strcspn(line, "\n")] = '\0';
        r = ask(talk, line);
    }
    spile_error_free(error);
    spile_talk_free(talk);
    return r < 0;
}
