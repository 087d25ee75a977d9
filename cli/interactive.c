/* `spile talk` at a terminal: see interactive.h.
 *
 * Signals come as events, so that the terminal is set back before any of them has its way. */
#include "interactive.h"

#include <errno.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

enum { QUEUE_MAX = 128 << 10, SHOWN_MAX = 64 << 10, KEEP_MAX = 256 << 10 };

/* ------------------------------------------------------------------------------ the screen */

void interactive_stop(struct interactive *interactive, int status) {
    if (!interactive->is_over)
        interactive->status = status;
    interactive->is_over = true;
}

static void stop_by_signal(struct interactive *interactive, int signal) {
    interactive->signal = signal;
    interactive_stop(interactive, EXIT_BY_SIGNAL + signal);
}

void interactive_print(struct interactive *interactive, const char *text, size_t size) {
    if (size > 0 && write_all(1, text, size) < 0)
        stop_by_signal(interactive, SIGHUP); /* the terminal has gone */
}

void interactive_note(struct interactive *interactive, const char *format, ...) {
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    static struct builder line;
    line.size = 0;
    const bool is_colourful = interactive->is_colourful;
    builder_printf(&line, "\r%s-- %s%s\r\n", is_colourful ? NOTE_COLOUR : "", text, is_colourful ? NO_COLOUR : "");
    interactive->mode->hide(interactive);
    interactive_print(interactive, line.data, line.size);
    interactive->mode->show(interactive);
}

const char *interactive_stamp(const struct interactive *interactive, bool with_colour, char stamp[32]) {
    struct timespec now;
    struct tm parts;
    if (!interactive->has_stamps)
        return "";
    clock_gettime(CLOCK_REALTIME, &now);
    localtime_r(&now.tv_sec, &parts);
    with_colour &= interactive->is_colourful;
    snprintf(stamp, 32, "%s[%02d:%02d:%02d.%03d]%s ", with_colour ? NOTE_COLOUR : "", parts.tm_hour, parts.tm_min,
             parts.tm_sec, (int)(now.tv_nsec / 1000000), with_colour ? NO_COLOUR : "");
    return stamp;
}

static void note_error(struct interactive *interactive, int result, spile_error *error) {
    interactive_note(interactive, "%s", error ? spile_error_get_message(error) : strerror(-result));
    spile_error_free(error);
}

/* ------------------------------------------------------------------------------ saying, hearing */

bool interactive_with_terminal(const struct interactive *interactive) {
    return talk_info(interactive->talk).is_terminal;
}

bool interactive_say(struct interactive *interactive, const char *text, size_t size, bool is_text) {
    spile_error *error = NULL;
    ssize_t done = is_text ? spile_talk_write(interactive->talk, text, size, 0, &error)
                           : spile_talk_write_bytes(interactive->talk, text, size, 0, &error);
    interactive->awaits_reply |= size > 0 && memchr(text, '?', size);
    if (done == (ssize_t)size)
        return true;
    if (done == -EAGAIN || done >= 0) {
        interactive_note(interactive, "the other side takes nothing at the moment: not all of that was said");
        spile_error_free(error);
    } else {
        note_error(interactive, (int)done, error);
    }
    return false;
}

bool interactive_say_secret(struct interactive *interactive, const char *line) {
    spile_error *error = NULL;
    int result = spile_talk_write_secret(interactive->talk, line, 0, &error);
    if (result >= 0)
        return true;
    if (result == -EAGAIN) {
        interactive_note(interactive, "not said, for the program's terminal would show it");
        spile_error_free(error);
    } else {
        note_error(interactive, result, error);
    }
    return false;
}

void interactive_end(struct interactive *interactive) {
    int result = interactive->has_ended ? 0 : spile_talk_end(interactive->talk);
    interactive->has_ended = true;
    interactive->heard_ns = talk_now_ns();
    interactive->silence_ns = talk_silence_ns(interactive->command, interactive->talk);
    if (result < 0)
        note_error(interactive, result, NULL);
    else
        interactive_note(interactive, "all is said; what comes is shown until the other side ends");
}

/* A piece at a time, so that keys are looked at in between; what is left comes with the next one. */
static void hear(struct interactive *interactive) {
    const char *text;
    size_t size;
    spile_error *error = NULL;
    /* A message is read only when it is awaited. */
    uint64_t least = interactive->command->options.message && interactive->awaits_reply;
    int result = spile_talk_read(interactive->talk, least, SHOWN_MAX, 0, &text, &size, &error);
    interactive->awaits_reply = false;
    if (result == -EAGAIN) {
        spile_error_free(error);
        return;
    }
    if (result < 0) {
        interactive->mode->hide(interactive);
        interactive->mode->leave(interactive);
        own_terminal_restore(&interactive->terminal);
        interactive_stop(interactive, talk_failed(result, error));
        return;
    }
    if (size > 0) {
        interactive->heard_ns = talk_now_ns();
        interactive->mode->heard(interactive, text, size);
    }
    const char *news = talk_loss_news(interactive->command, interactive->talk);
    if (news)
        interactive_note(interactive, "'%s' %s", interactive->command->endpoint, news);
    if (result == SPILE_TALK_WHOLE || !talk_info(interactive->talk).is_ended)
        return;
    interactive_note(interactive, "'%s' has ended", interactive->command->endpoint);
    interactive_stop(interactive, 0);
}

/* ------------------------------------------------------------------------------ signals */

static void caught_signals(sigset_t *set) {
    static const int caught[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGWINCH, SIGCONT};
    sigemptyset(set);
    for (size_t i = 0; i < sizeof(caught) / sizeof(*caught); i++)
        sigaddset(set, caught[i]);
}

/* As if it had never been caught. */
static void have_its_way(int signal) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, signal);
    (void)raise(signal);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    sigprocmask(SIG_BLOCK, &set, NULL);
}

/* The signal that ended a stop is no news where the stop was ours. */
static void take_continue(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCONT);
    const struct timespec at_once = {0};
    while (sigtimedwait(&set, NULL, &at_once) > 0)
        continue;
}

void interactive_suspend(struct interactive *interactive) {
    interactive->mode->hide(interactive);
    interactive->mode->leave(interactive);
    own_terminal_restore(&interactive->terminal);
    have_its_way(SIGTSTP);
    take_continue();
    own_terminal_resume(&interactive->terminal);
    interactive->mode->enter(interactive);
    interactive->mode->resized(interactive);
    interactive->mode->show(interactive);
}

static void resize(struct interactive *interactive) {
    unsigned columns, rows;
    if (own_terminal_size(&columns, &rows))
        (void)spile_talk_resize(interactive->talk, columns, rows);
    interactive->mode->resized(interactive);
}

static void take_signal(struct interactive *interactive) {
    struct signalfd_siginfo info;
    if (read(interactive->signal_fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
        return;
    switch ((int)info.ssi_signo) {
    case SIGWINCH:
        resize(interactive);
        break;
    case SIGTSTP:
        interactive_suspend(interactive);
        break;
    case SIGCONT: /* stopped by what can't be caught: who knows what became of the terminal */
        own_terminal_resume(&interactive->terminal);
        interactive->mode->enter(interactive);
        interactive->mode->resized(interactive);
        interactive->mode->show(interactive);
        break;
    default:
        stop_by_signal(interactive, (int)info.ssi_signo);
        break;
    }
}

/* ------------------------------------------------------------------------------ waiting */

/* How long nothing may happen. */
static int patience_ms(const struct interactive *interactive) {
    const uint64_t silence_ns = interactive->silence_ns;
    uint64_t until = interactive->until_ns;
    if (interactive->has_ended && silence_ns && interactive->heard_ns + silence_ns < until)
        until = interactive->heard_ns + silence_ns;
    if (talk_info(interactive->talk).bytes_kept > 0)
        return 0;
    return talk_poll_ms(until);
}

static void check_time(struct interactive *interactive) {
    const uint64_t silence_ns = interactive->silence_ns, now = talk_now_ns();
    if (interactive->has_ended && silence_ns && now >= interactive->heard_ns + silence_ns) {
        interactive_stop(interactive, 0);
    } else if (now >= interactive->until_ns) {
        interactive_note(interactive, "'%s' did not end in time", interactive->command->endpoint);
        interactive_stop(interactive, EXIT_TIMED_OUT);
    }
}

static void take_keys(struct interactive *interactive) {
    ssize_t count = read(0, interactive->keys, sizeof(interactive->keys));
    interactive->key_next = 0;
    interactive->key_count = count > 0 ? (size_t)count : 0;
    if (count == 0 || (count < 0 && errno != EINTR && errno != EAGAIN))
        stop_by_signal(interactive, SIGHUP);
}

static void wait_once(struct interactive *interactive) {
    const bool takes_keys = talk_info(interactive->talk).bytes_queued < QUEUE_MAX;
    struct pollfd fds[] = {{.fd = spile_loop_fd(interactive->loop), .events = POLLIN},
                           {.fd = interactive->signal_fd, .events = POLLIN},
                           {.fd = takes_keys ? 0 : -1, .events = POLLIN}};
    if (poll(fds, 3, patience_ms(interactive)) < 0 && errno != EINTR) {
        interactive_stop(interactive, EXIT_OWN_ERROR);
        return;
    }
    if (fds[1].revents)
        take_signal(interactive);
    (void)spile_loop_step(interactive->loop, 0);
    if (!interactive->is_over)
        hear(interactive);
    if (!interactive->is_over)
        check_time(interactive);
    if (!interactive->is_over && fds[2].revents)
        take_keys(interactive);
}

int interactive_key(struct interactive *interactive) {
    while (!interactive->is_over && interactive->key_next == interactive->key_count)
        wait_once(interactive);
    return interactive->is_over ? NO_KEY : interactive->keys[interactive->key_next++];
}

/* ------------------------------------------------------------------------------ all of it */

static bool has_colour(enum talk_colour wanted) {
    const char *no_colour = getenv("NO_COLOR"), *kind = getenv("TERM");
    if (wanted != COLOUR_AUTO)
        return wanted == COLOUR_ALWAYS;
    return !(no_colour && *no_colour) && kind && strcmp(kind, "dumb") != 0;
}

void interactive_prepare(struct talk_command *command) {
    spile_talk_options *options = &command->options;
    unsigned columns, rows;
    if (!options->columns && own_terminal_size(&columns, &rows)) {
        options->columns = columns;
        options->rows = rows;
    }
    options->terminal_echo = true; /* as of every terminal at which somebody sits: so what is secret can be told */
    if (!options->keep_limit_bytes)
        options->keep_limit_bytes = KEEP_MAX; /* what nobody has seen yet does not run far ahead */
    if (!command->raw)
        return;
    if (!command->has_ends)
        options->ends = SPILE_TALK_ENDS_LF;
    if (strncmp(command->endpoint, "pty:", 4) == 0) {
        options->cooked = true;
        const char *kind = getenv("TERM");
        bool is_said = false;
        for (size_t i = 0; i < command->environment.count; i++)
            is_said |= strncmp(command->environment.items[i], "TERM=", 5) == 0;
        if (kind && *kind && !is_said)
            *LIST_ADD(command->environment) = allocate_format("TERM=%s", kind);
    }
}

void interactive_greet(struct interactive *interactive) {
    const int escape = interactive->command->escape;
    const char *name = escape ? key_name(escape) : "";
    if (escape)
        interactive_note(interactive, "'%s': %s q ends, %s ? tells all keys", interactive->command->endpoint, name,
                         name);
    else
        interactive_note(interactive, "'%s': there is no escape key", interactive->command->endpoint);
}

static int run(struct interactive *interactive) {
    int (*const type)(struct interactive *) = interactive->command->raw ? raw_keys_run : line_editor_run;
    int result = own_terminal_begin(&interactive->terminal, interactive->command->raw);
    if (result < 0) {
        complain("the terminal can't be set up: %s", strerror(-result));
        return EXIT_OWN_ERROR;
    }
    int status = type(interactive);
    own_terminal_end(&interactive->terminal);
    return status;
}

int interactive_run(struct talk_command *command, spile_talk *talk, spile_loop *loop) {
    struct interactive interactive = {.command = command, .talk = talk, .loop = loop, .heard_ns = talk_now_ns()};
    sigset_t set, old;
    interactive.is_colourful = has_colour(command->colour);
    interactive.has_stamps = command->timestamps;
    interactive.has_local_echo = command->local_echo;
    interactive.until_ns = command->has_timeout ? interactive.heard_ns + command->timeout_ns : UINT64_MAX;
    (void)setlocale(LC_CTYPE, "C.UTF-8"); /* text of talks is UTF-8 wherever we are */
    caught_signals(&set);
    sigprocmask(SIG_BLOCK, &set, &old);
    interactive.signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    int status = EXIT_OWN_ERROR;
    if (interactive.signal_fd < 0)
        complain("signals can't be waited for: %s", strerror(errno));
    else
        status = run(&interactive);
    (void)close(interactive.signal_fd);
    command->ended_by = interactive.signal;
    sigprocmask(SIG_SETMASK, &old, NULL);
    return status;
}
