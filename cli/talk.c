/* `spile talk`; in a pipeline: standard input is said, what comes back is printed. At a terminal: interactive.c.
 *
 * Both directions go on at once, one poll for both: standard input is read only while what was read before is on its
 * way, and what comes is written out before more is taken in. */
#include "chain.h"
#include "interactive.h"

#include <errno.h>
#include <linux/major.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum { BLOCK = 64 << 10, CLOSE_S = 5 };

const char talk_help[] = "usage: spile talk [OPTION]... ENDPOINT [-- PROGRAM ARGUMENT...]\n"
                         "  spile talk /dev/ttyUSB0 -b 115200                    at a terminal: type lines\n"
                         "  printf 'AT\\nATI\\n' | spile talk /dev/ttyUSB0        in a pipeline\n"
                         "Says what is typed, or standard input, and prints what comes back.\n"
                         "Endpoints: PATH fifo:IN,OUT unix:PATH tcp:HOST:PORT 'pty: PROGRAM' 'pipe: ...'\n"
                         "      --silence TIME   ends once all is said and nothing came for so long\n"
                         "                       (1s where the end can't be told: a terminal)\n"
                         "  -p, --prompt TEXT    says a line each time this stands at the start of one\n"
                         "  -t, --timeout TIME   200ms, 5s, 2m; of all of it, with --prompt of each line\n"
                         "      --wait[=TIME]    for the endpoint to be there;  --reconnect: again\n"
                         "A dialogue, step by step (then it ends, or with --go-on is as above):\n"
                         "      --expect REGEX  --expect-text TEXT  --fail REGEX  --send TEXT\n"
                         "      --send-secret-file FILE  --send-secret-env NAME  --script FILE\n"
                         "At a terminal (^] ? tells all keys):\n"
                         "      --raw  --local-echo  --timestamps  --escape KEY|none\n"
                         "      --color auto|always|never  --history FILE  --no-history\n"
                         "Of the other side:\n"
                         "      --eol lf|crlf|cr|none  --ends any|lf|crlf|cr  --line-limit SIZE\n"
                         "      --encoding NAME  --errors replace|strict|escape  --cooked  --no-lock\n"
                         "  -b, --baud N  --bits N  --parity P  --stop N  --flow F  --dtr on|off\n"
                         "      --rts on|off  --no-hupcl  --size 80x24  --terminal-echo  --env NAME=VALUE\n"
                         "      --cwd DIR  --transcript FILE  --transcript-json FILE  --message\n"
                         "Exit status: 0; 1 --fail; 3 it ended before all was said; 124 timed out;\n"
                         "125 usage, own error. More: spile help talk\n";

struct talking {
    struct talk_command *command;
    spile_talk *talk;
    spile_loop *loop;
    bool has_said_all; /* standard input has ended */
    bool is_over;
    int status;
    char begun[4]; /* of a character that standard input has not ended yet */
    size_t begun_size;
    uint64_t until_ns, silence_ns, heard_ns;
};

static void stop(struct talking *talking, int status) {
    talking->is_over = true;
    talking->status = status;
}

/* Prints all that has come. */
static void hear(struct talking *talking) {
    for (;;) {
        const char *text;
        size_t size;
        spile_error *error = NULL;
        int result = spile_talk_read(talking->talk, 0, UINT64_MAX, 0, &text, &size, &error);
        if (result < 0) {
            stop(talking, talk_failed(result, error));
            return;
        }
        if (size > 0) {
            talking->heard_ns = talk_now_ns();
            int status = out_write(text, size);
            if (status != 0) {
                stop(talking, status);
                return;
            }
        }
        if (result != SPILE_TALK_WHOLE && !talk_info(talking->talk).is_ended)
            return; /* it is opened again */
        if (result != SPILE_TALK_WHOLE)
            stop(talking, talking->has_said_all && talk_info(talking->talk).bytes_queued == 0 ? 0 : EXIT_END_OF_STREAM);
        if (result != SPILE_TALK_WHOLE || size == 0 || talking->is_over)
            return;
    }
}

/* It takes nothing any more: its last words say why, if anything does. */
static void say_failed(struct talking *talking, int result, spile_error *error) {
    hear(talking);
    if (!talking->is_over || talking->status == EXIT_END_OF_STREAM)
        stop(talking, talk_failed(result, error));
    else
        spile_error_free(error);
}

static int input_failed(void) {
    complain("standard input can't be read: %s", strerror(errno));
    return EXIT_OWN_ERROR;
}

static void say_block(struct talking *talking) {
    char block[BLOCK];
    spile_error *error = NULL;
    memcpy(block, talking->begun, talking->begun_size);
    ssize_t count = read(0, block + talking->begun_size, sizeof(block) - talking->begun_size);
    if (count < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (count < 0) {
        stop(talking, input_failed());
        return;
    }
    size_t size = talking->begun_size + (size_t)count;
    talking->begun_size = count > 0 ? utf8_begun(block, size) : 0;
    size -= talking->begun_size;
    memcpy(talking->begun, block + size, talking->begun_size);
    ssize_t done = size > 0 ? spile_talk_write(talking->talk, block, size, 0, &error) : 0;
    if (done < (ssize_t)size) {
        say_failed(talking, done < 0 ? (int)done : -ENOBUFS, error);
    } else if (count == 0) {
        talking->has_said_all = true;
        talking->heard_ns = talk_now_ns();
        (void)spile_talk_end(talking->talk);
    }
}

/* How long nothing may happen. */
static int patience_ms(const struct talking *talking) {
    uint64_t until = talking->until_ns;
    if (talking->has_said_all && talking->silence_ns && talking->heard_ns + talking->silence_ns < until)
        until = talking->heard_ns + talking->silence_ns;
    return talk_poll_ms(until);
}

static void check_time(struct talking *talking) {
    uint64_t now = talk_now_ns();
    if (talking->has_said_all && talking->silence_ns && now >= talking->heard_ns + talking->silence_ns) {
        stop(talking, 0);
    } else if (now >= talking->until_ns) {
        complain("'%s' did not end in time", talking->command->endpoint);
        stop(talking, EXIT_TIMED_OUT);
    }
}

static int talk_on(struct talking *talking) {
    while (!talking->is_over) {
        bool takes_input = !talking->has_said_all && talk_info(talking->talk).bytes_queued < (uint64_t)2 * BLOCK;
        struct pollfd fds[2] = {{.fd = spile_loop_fd(talking->loop), .events = POLLIN},
                                {.fd = takes_input ? 0 : -1, .events = POLLIN}};
        if (poll(fds, 2, patience_ms(talking)) < 0 && errno != EINTR) {
            complain("waiting failed: %s", strerror(errno));
            return EXIT_OWN_ERROR;
        }
        if (fds[1].revents)
            say_block(talking);
        (void)spile_loop_step(talking->loop, 0);
        if (!talking->is_over)
            hear(talking);
        const char *news = talk_loss_news(talking->command, talking->talk);
        if (news)
            complain("'%s' %s", talking->command->endpoint, news);
        /* Nothing is left to say to whoever comes back. */
        if (!talking->is_over && talking->has_said_all && talking->command->is_lost &&
            talk_info(talking->talk).bytes_queued == 0)
            stop(talking, 0);
        if (!talking->is_over)
            check_time(talking);
    }
    return talking->status;
}

/* Standard input, line by line, for what takes each only when the one before has had its reply. */
struct input {
    struct builder held; /* read, and what of it was taken */
    size_t taken, looked;
    bool has_ended;
};

/* Waits for more of it, or for the end of the other side; returns what to exit with, or 0. */
static int read_more(struct input *input, spile_talk *talk, spile_loop *loop) {
    struct builder *held = &input->held;
    if (input->taken > 0) {
        held->size -= input->taken;
        memmove(held->data, held->data + input->taken, held->size);
        input->taken = 0;
    }
    for (;;) {
        struct pollfd fds[2] = {{.fd = 0, .events = POLLIN}, {.fd = spile_loop_fd(loop), .events = POLLIN}};
        char block[BLOCK];
        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            return input_failed();
        (void)spile_loop_step(loop, 0);
        if (fds[0].revents) {
            ssize_t size = read(0, block, sizeof(block));
            if (size < 0 && errno != EINTR && errno != EAGAIN)
                return input_failed();
            input->has_ended = size == 0;
            builder_add(held, block, size > 0 ? (size_t)size : 0);
            if (size >= 0)
                return 0;
        } else if (talk_info(talk).is_ended) {
            return EXIT_END_OF_STREAM;
        }
    }
}

/* The next line; *ret_line NULL where there is none any more. */
static int next_line(struct input *input, spile_talk *talk, spile_loop *loop, char **ret_line, size_t *ret_size) {
    int status = 0;
    *ret_line = NULL;
    for (; status == 0; status = read_more(input, talk, loop)) {
        size_t size = input->held.size - input->taken;
        char *start = size ? input->held.data + input->taken : NULL;
        char *end = size > input->looked ? memchr(start + input->looked, '\n', size - input->looked) : NULL;
        if (!end && !input->has_ended) {
            input->looked = size;
            continue;
        }
        input->looked = 0;
        *ret_line = start;
        *ret_size = end ? (size_t)(end - start) : size;
        input->taken += *ret_size + (end != NULL);
        return 0;
    }
    return status;
}

/* With a prompt each line is a question; of messages those that ask something. */
static int ask_lines(struct talk_command *command, spile_talk *talk, spile_loop *loop) {
    struct input input = {0};
    char *line;
    size_t size;
    for (;;) {
        int status = next_line(&input, talk, loop, &line, &size);
        if (status != 0 || !line)
            return status;
        spile_ask_options how = command->ask;
        how.no_reply = command->options.message && !memchr(line, '?', size);
        how.line_size = size;
        status = talk_ask(talk, &how, size ? line : "");
        if (status != 0)
            return status;
    }
}

static int in_a_pipeline(struct talk_command *command, spile_talk *talk, spile_loop *loop) {
    struct talking talking = {.command = command, .talk = talk, .loop = loop, .heard_ns = talk_now_ns()};
    talking.until_ns = command->has_timeout ? talk_now_ns() + command->timeout_ns : UINT64_MAX;
    talking.silence_ns = talk_silence_ns(command, talk);
    return talk_on(&talking);
}

/* The answer to the last that was said: until there is silence. */
static int hear_the_rest(struct talk_command *command, spile_talk *talk, spile_loop *loop) {
    struct talking talking = {.command = command, .talk = talk, .loop = loop, .has_said_all = true};
    talking.heard_ns = talk_now_ns();
    talking.until_ns = UINT64_MAX;
    talking.silence_ns = command->ask.silence_ns ? command->ask.silence_ns : SILENCE_MS * UINT64_C(1000000);
    return talk_on(&talking);
}

static int converse(struct talk_command *command, spile_talk *talk, spile_loop *loop, bool is_interactive) {
    struct chain *chain = command->chain;
    if (chain->steps.count) {
        bool lingers = false;
        int status = chain_run(chain, command->endpoint, talk, command->timeout_ns, &lingers);
        if (status != 0 || !chain->goes_on)
            return status == 0 && lingers ? hear_the_rest(command, talk, loop) : status;
    }
    bool asks_lines = command->options.prompt || command->options.message;
    return is_interactive ? interactive_run(command, talk, loop)
           : asks_lines   ? ask_lines(command, talk, loop)
                          : in_a_pipeline(command, talk, loop);
}

/* On the caller's loop opening goes on in steps. */
static int wait_open(spile_talk *talk, spile_loop *loop) {
    while (talk_info(talk).state == SPILE_TALK_STATE_OPENING)
        if (spile_loop_step(loop, UINT64_MAX) < 0)
            return EXIT_OWN_ERROR;
    const spile_error *error = spile_talk_error(talk);
    if (!error)
        return 0;
    complain("%s", spile_error_get_message(error));
    return spile_error_get_kind(error) == SPILE_ERROR_TIMEOUT ? EXIT_TIMED_OUT : EXIT_OWN_ERROR;
}

/* What goes only at a terminal, and what does not go there. */
static const char *check_place(const struct talk_command *command, bool is_interactive) {
    struct stat here, there;
    if (strcmp(command->endpoint, "-") == 0)
        return "'-' is where the lines to say come from: name another endpoint, or use spile ask";
    if (!is_interactive)
        return command->raw ? "--raw: standard input and output are no terminal; a pipeline passes on what it is given"
                            : NULL;
    if (!command->raw && line_editor_missing)
        return line_editor_missing;
    if (fstat(0, &here) == 0 && stat(command->endpoint, &there) == 0 && S_ISCHR(there.st_mode) &&
        (there.st_rdev == here.st_rdev || there.st_rdev == makedev(TTYAUX_MAJOR, 0)))
        return allocate_format("'%s' is the terminal at which you type", command->endpoint);
    return NULL;
}

int command_talk(int argc, char **argv) {
    struct chain chain = {0};
    struct talk_command command = {.name = "talk", .escape = ']' - '@', .chain = &chain};
    spile_loop *loop = NULL;
    const char *fault = talk_options_parse(&command, argv + 1, (size_t)argc - 1);
    if (fault) {
        complain("%s", fault);
        return EXIT_OWN_ERROR;
    }
    if (command.help)
        return out_write(talk_help, strlen(talk_help));
    const bool is_interactive = own_terminal_is_there() && (chain.steps.count == 0 || chain.goes_on);
    fault = check_place(&command, is_interactive);
    if (fault) {
        complain("%s", fault);
        return EXIT_OWN_ERROR;
    }
    if (is_interactive)
        interactive_prepare(&command);
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
    int status = 0, result = spile_loop_new(&loop);
    if (result < 0) {
        complain("%s", strerror(-result));
        return EXIT_OWN_ERROR;
    }
    command.options.loop = loop;
    command.ask.timeout_ns = command.timeout_ns;
    spile_talk *talk = talk_open(&command, &status);
    if (talk)
        status = wait_open(talk, loop);
    if (talk && status == 0)
        status = converse(&command, talk, loop, is_interactive);
    if (talk)
        (void)talk_close(&command, talk, status == 0 ? CLOSE_S * UINT64_C(1000000000) : 0);
    spile_loop_free(loop);
    children_collect();
    if (command.ended_by) {
        (void)signal(command.ended_by, SIG_DFL);
        (void)raise(command.ended_by);
    }
    return status;
}
