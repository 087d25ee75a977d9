/* A talk's life: see talk.h. */
#include "talk/talk.h"
#include "talk/mover.h"

#include <sys/ioctl.h>

enum { PORT_LOOK_MS = 5 };

void talk_set_state(spile_talk *talk, spile_talk_state state) {
    static const unsigned steps[] = {
        [TALK_NEW] = 1u << SPILE_TALK_STATE_OPENING,
        [SPILE_TALK_STATE_OPENING] = 1u << SPILE_TALK_STATE_OPEN | 1u << SPILE_TALK_STATE_FAILED |
                                     1u << SPILE_TALK_STATE_CLOSED,
        [SPILE_TALK_STATE_OPEN] = 1u << SPILE_TALK_STATE_CLOSING | 1u << SPILE_TALK_STATE_CLOSED |
                                  1u << SPILE_TALK_STATE_FAILED | 1u << SPILE_TALK_STATE_OPENING,
        [SPILE_TALK_STATE_CLOSING] = 1u << SPILE_TALK_STATE_CLOSED | 1u << SPILE_TALK_STATE_FAILED,
        [SPILE_TALK_STATE_FAILED] = 1u << SPILE_TALK_STATE_CLOSED,
        [SPILE_TALK_STATE_CLOSED] = 0,
    };
    assert(steps[talk->state] & 1u << state);
    talk->state = state;
}

static char **strings_free(char **strings) {
    for (char **string = strings; string && *string; string++)
        free(*string);
    free(strings);
    return NULL;
}

/* ------------------------------------------------------------------------------ waiting */

struct talk_wait talk_wait_begin(spile_talk *talk, uint64_t timeout_ns) {
    return (struct talk_wait){
        .talk = talk, .timeout_ns = timeout_ns, .until_ns = timeout_ns == NS_FOREVER ? NS_FOREVER : 0};
}

static void set_until(struct talk_wait *wait, uint64_t now) {
    if (!wait->until_ns && wait->timeout_ns)
        wait->until_ns = time_add_ns(now, wait->timeout_ns);
}

uint64_t talk_wait_until(struct talk_wait *wait) {
    if (!wait->until_ns && wait->timeout_ns)
        set_until(wait, time_now_ns());
    return wait->until_ns;
}

int talk_wait_step(struct talk_wait *wait, uint64_t at_ns) {
    spile_talk *talk = wait->talk;
    const uint64_t now = wait->timeout_ns == NS_FOREVER && at_ns == NS_FOREVER ? 0 : time_now_ns();
    set_until(wait, now);
    const uint64_t until = MIN(wait->until_ns, at_ns);
    if (wait->was_stepped && wait->until_ns <= now)
        return wait->timeout_ns ? -ETIMEDOUT : -EAGAIN;
    if (loop_is_stepping(talk->loop))
        return wait->timeout_ns ? -EBUSY : -EAGAIN;
    wait->was_stepped = true;
    int result = spile_loop_step(talk->loop, until == NS_FOREVER ? NS_FOREVER : until > now ? until - now : 0);
    return MIN(result, 0);
}

int talk_timed_out(const spile_talk *talk, int result, const char *what, spile_error **ret_error) {
    const spile_error *last = talk->losses > 0 ? connect_last(talk) : NULL;
    if (last && (result == -EAGAIN || result == -ETIMEDOUT))
        error_set(ret_error, SPILE_ERROR_TIMEOUT, -result, "'%s' %s in time: it was lost, and %s", talk->endpoint.text,
                  what, last->message);
    else if (result == -EAGAIN || result == -ETIMEDOUT)
        error_set(ret_error, SPILE_ERROR_TIMEOUT, -result, "'%s' %s in time", talk->endpoint.text, what);
    return result;
}

int talk_check(const spile_talk *talk) {
    if (!talk)
        return -EINVAL;
    return talk->is_dead ? -EBADF : 0;
}

/* ------------------------------------------------------------------------------ letting go */

/* Lets go of the device; a child is killed. */
static void disconnect(spile_talk *talk) {
    loss_stop(talk);
    loop_timer_clear(&talk->announce);
    connect_stop(talk);
    tty_close(&talk->tty);
    channel_stop(talk);
    child_leave(talk);
    if (!talk->out_error)
        talk->out_error = -EPIPE;
    loop_leave(&talk->loop_user);
}

void talk_fail(spile_talk *talk, spile_error *error) {
    if (talk->state == SPILE_TALK_STATE_FAILED || talk->state == SPILE_TALK_STATE_CLOSED) {
        spile_error_free(error);
        return;
    }
    bool was_opening = talk->state == SPILE_TALK_STATE_OPENING;
    talk->error = error;
    talk->out_error = -EPIPE;
    transcript_event(talk->transcript, "failed", error ? error->message : strerror(ENOMEM));
    talk->news |= SPILE_TALK_FAILED;
    talk_set_state(talk, SPILE_TALK_STATE_FAILED);
    if (was_opening)
        disconnect(talk);
}

static void woken(struct loop_user *user) {
    (void)user;
}

static void loop_ends(struct loop_user *user) {
    spile_talk *talk = CONTAINER_OF(user, spile_talk, loop_user);
    ask_cancel_all(talk);
    expect_cancel_all(talk);
    disconnect(talk);
    if (talk->state != SPILE_TALK_STATE_CLOSED)
        talk_set_state(talk, SPILE_TALK_STATE_CLOSED);
    talk->loop = NULL;
}

/* Only the descriptors go, and a terminal stays as it is: all of it is the parent's. */
static void after_fork(struct forkguard_node *node) {
    spile_talk *talk = CONTAINER_OF(node, spile_talk, guard);
    struct talk_channel *channel = &talk->channel;
    talk->is_dead = true;
    if (channel->out_fd != channel->in_fd)
        fd_close(channel->out_fd);
    fd_close(channel->in_fd);
    channel->in_fd = channel->out_fd = -1;
    mover_abandon(channel->in_mover);
    mover_abandon(channel->out_mover);
    child_abandon(talk);
    transcript_abandon(talk->transcript);
}

/* ------------------------------------------------------------------------------ opening */

int talk_opened(spile_talk *talk) {
    int result = channel_begin(talk);
    if (result < 0) {
        talk_fail(talk, error_with(error_new(SPILE_ERROR_ENDPOINT, "'%s' can't be talked with: %s", talk->endpoint.text,
                                             strerror(-result)),
                                   -result, -1, -1));
        return result;
    }
    talk_set_state(talk, SPILE_TALK_STATE_OPEN);
    talk->news |= SPILE_TALK_OPENED;
    talk->has_just_come = true;
    talk->opened_ns = time_now_ns();
    transcript_event(talk->transcript, "opened", talk->endpoint.text);
    return 0;
}

static int check_options(const char *endpoint, const spile_talk_options *options, spile_error **ret_error) {
    if (!endpoint || options->size != sizeof(*options))
        return error_set(ret_error, SPILE_ERROR_USAGE, EINVAL, "spile_talk_open was used wrongly");
    if (options->errors > SPILE_TALK_ESCAPE || options->ends > SPILE_TALK_ENDS_CR ||
        options->echo > SPILE_TALK_ECHO_KEEP)
        return error_set(ret_error, SPILE_ERROR_USAGE, EINVAL, "an option has a value that it can't have");
    if (options->standard_error == SPILE_STDIO_CAPTURE)
        return error_set(ret_error, SPILE_ERROR_USAGE, EINVAL, "standard error of a talk's program can't be captured");
    return 0;
}

static int check_words(const spile_talk *talk, spile_error **ret_error) {
    const enum endpoint_kind kind = talk->endpoint.kind;
    const char *const *argv = talk->options.argv;
    bool is_program = kind == ENDPOINT_PTY || kind == ENDPOINT_PIPE;
    if (argv && (!is_program || talk->endpoint.word_count > 0 || !argv[0]))
        return error_set(ret_error, SPILE_ERROR_ENDPOINT, EINVAL,
                         "a program given as words goes with the endpoint 'pty:' or 'pipe:'");
    if (is_program && !argv && talk->endpoint.word_count == 0)
        return error_set(ret_error, SPILE_ERROR_ENDPOINT, EINVAL, "'%s' lacks its program: write %s PROGRAM ARGS",
                         talk->endpoint.text, talk->endpoint.text);
    if (talk->options.reconnect && (kind == ENDPOINT_FD || kind == ENDPOINT_STDIO))
        return error_set(ret_error, SPILE_ERROR_ENDPOINT, EINVAL,
                         "'%s' can't be opened again once it is lost: reconnect goes with what has a name",
                         talk->endpoint.text);
    return 0;
}

static int copy_texts(spile_talk *talk, spile_error **ret_error) {
    const spile_talk_options *options = &talk->options;
    int result = codec_init(&talk->codec, options->encoding, options->errors);
    if (result == -EINVAL || result == -ENOTSUP)
        return error_set(ret_error, SPILE_ERROR_USAGE, -result,
                         result == -EINVAL
                             ? "the encoding '%s' is not known here (iconv -l lists them)"
                             : "the encoding '%s' does not tell its byte order: write UTF-16LE or its like",
                         options->encoding);
    if (result < 0)
        return result;
    lines_init(&talk->lines, &talk->codec, options->ends);
    talk->awaits_prompt = options->prompt;
    talk->eol = memory_string(options->eol ? options->eol : "\n");
    if (options->prompt)
        talk->prompt = memory_string(options->prompt);
    if (!talk->eol || (options->prompt && !talk->prompt))
        return -ENOMEM;
    for (const char *c = talk->eol; *c; c++)
        if (*c & 0x80)
            return error_set(ret_error, SPILE_ERROR_USAGE, EINVAL, "a line's end is made of ASCII characters");
    if (talk->prompt && !*talk->prompt)
        return error_set(ret_error, SPILE_ERROR_USAGE, EINVAL, "a prompt can't be empty");
    return 0;
}

static char **copy_strings(const char *const *strings) {
    size_t count = 0;
    while (strings[count])
        count++;
    char **copy = memory_zero(count + 1, sizeof(*copy));
    for (size_t i = 0; copy && i < count; i++)
        if (!(copy[i] = memory_string(strings[i])))
            return strings_free(copy);
    return copy;
}

/* A program may be started after the function that said so has returned, and again. */
static int copy_program(spile_talk *talk) {
    spile_talk_options *options = &talk->options;
    if (options->argv && !(talk->argv = copy_strings(options->argv)))
        return -ENOMEM;
    if (options->env && !(talk->env = copy_strings(options->env)))
        return -ENOMEM;
    if (options->cwd && !(talk->cwd = memory_string(options->cwd)))
        return -ENOMEM;
    options->argv = (const char *const *)talk->argv;
    options->env = (const char *const *)talk->env;
    options->cwd = talk->cwd;
    return 0;
}

static int begin_transcript(spile_talk *talk, spile_error **ret_error) {
    spile_talk_options *options = &talk->options;
    const char *path = TAKE_POINTER(options->transcript);
    if (!path)
        return 0;
    int result = transcript_open(&talk->transcript, path, options->transcript_json, options->encoding);
    if (result >= 0 || result == -ENOMEM)
        return result;
    return error_set(ret_error, SPILE_ERROR_SYSTEM, -result, "the transcript '%s' can't be written: %s", path,
                     result == -ENXIO ? "nobody reads that FIFO" : strerror(-result));
}

static void announce(struct loop_timer *timer) {
    channel_tell(CONTAINER_OF(timer, spile_talk, announce));
}

static int begin(spile_talk *talk, const char *endpoint, spile_error **ret_error) {
    int result = endpoint_parse(endpoint, &talk->endpoint, ret_error);
    if (result >= 0)
        result = check_words(talk, ret_error);
    if (result >= 0)
        result = copy_texts(talk, ret_error);
    if (result >= 0)
        result = copy_program(talk);
    if (result >= 0)
        result = begin_transcript(talk, ret_error);
    talk->writes_as_it_is = result >= 0 && codec_writes_utf8(&talk->codec) && strcmp(talk->eol, "\n") == 0;
    if (result >= 0 && !talk->options.loop) {
        result = loop_new_inner(&talk->loop);
        talk->owns_loop = result >= 0;
    } else {
        talk->loop = talk->options.loop;
    }
    if (result < 0)
        return result;
    talk->loop_user = (struct loop_user){.woken = woken, .cancel = loop_ends};
    loop_join(talk->loop, &talk->loop_user);
    talk_set_state(talk, SPILE_TALK_STATE_OPENING);
    result = connect_start(talk);
    if (result >= 0 && !talk->owns_loop)
        loop_defer(talk->loop, &talk->announce, announce);
    return MIN(result, 0);
}

static int wait_open(spile_talk *talk) {
    struct talk_wait wait = talk_wait_begin(talk, NS_FOREVER);
    while (talk->state == SPILE_TALK_STATE_OPENING) {
        int result = talk_wait_step(&wait, NS_FOREVER);
        if (result < 0)
            return result;
    }
    return talk->error ? error_kind_errno(talk->error->kind, talk->error->number) : 0;
}

static int open_failed(spile_talk *talk, int result, spile_error **ret_error) {
    if (talk->error && ret_error && !*ret_error)
        *ret_error = TAKE_POINTER(talk->error);
    if (ret_error && !*ret_error)
        error_set(ret_error, SPILE_ERROR_SYSTEM, -result, "'%s' can't be opened: %s",
                  talk->endpoint.text ? talk->endpoint.text : "the endpoint", strerror(-result));
    spile_talk_free(talk);
    return result;
}

int spile_talk_open(const char *endpoint, const spile_talk_options *options, spile_talk **ret_talk,
                    spile_error **ret_error) {
    static const spile_talk_options none = {.size = sizeof(none)};
    spile_error *error = NULL, **place = ret_error ? &error : NULL;
    if (!options)
        options = &none;
    int result = ret_talk ? check_options(endpoint, options, ret_error) : -EINVAL;
    if (result < 0)
        return result;
    spile_talk *talk = memory_zero(1, sizeof(*talk));
    if (!talk)
        return error_set(ret_error, SPILE_ERROR_SYSTEM, ENOMEM, "out of memory");
    talk->options = *options;
    talk->channel.in_fd = talk->channel.out_fd = talk->tty.fd = talk->endpoint.fd = -1;
    ask_init(talk);
    forkguard_add(&talk->guard, after_fork);
    result = begin(talk, endpoint, place);
    if (result >= 0 && talk->owns_loop)
        result = wait_open(talk);
    if (result < 0)
        result = open_failed(talk, result, place);
    if (result < 0 && ret_error)
        *ret_error = error;
    if (result >= 0)
        *ret_talk = talk;
    return result;
}

/* ------------------------------------------------------------------------------ closing */

int spile_talk_end(spile_talk *talk) {
    int result = talk_check(talk);
    if (result < 0)
        return result;
    if (talk->state != SPILE_TALK_STATE_OPEN && talk->state != SPILE_TALK_STATE_OPENING)
        return -EBADF;
    talk->wants_end = true;
    if (talk->state == SPILE_TALK_STATE_OPEN) {
        channel_put_out(talk);
        result = channel_update(talk);
    }
    return result;
}

/* What is still to come before a talk can be closed with nothing lost. */
static bool is_settled(const spile_talk *talk) {
    int unsent = 0;
    if (buffer_size(&talk->out) > 0 && !talk->out_error)
        return false;
    if (talk->child)
        return talk->has_exited && talk->in_ended;
    return !talk->tty.is_port || sys_ioctl(talk->channel.out_fd, TIOCOUTQ, &unsent) < 0 || unsent == 0;
}

static int wait_settled(spile_talk *talk, uint64_t timeout_ns) {
    struct talk_wait wait = talk_wait_begin(talk, timeout_ns);
    uint64_t until_ns = NS_FOREVER;
    while (!is_settled(talk) && talk->state != SPILE_TALK_STATE_FAILED) {
        /* A dead program's heirs are not waited for long; nor is a program that can't be told the end. */
        uint64_t patience = talk->has_exited                                  ? HEIRS_MS * NS_PER_MS
                            : talk->channel.is_master && talk->out_error != 0 ? NS_PER_SECOND
                                                                              : NS_FOREVER;
        uint64_t now = time_now_ns();
        until_ns = MIN(until_ns, time_add_ns(now, patience));
        if (now >= until_ns)
            return 0;
        /* A port's driver does not tell when it has sent all. */
        uint64_t at_ns = talk->tty.is_port ? now + PORT_LOOK_MS * NS_PER_MS : until_ns;
        int result = talk_wait_step(&wait, at_ns);
        if (result < 0)
            return result;
    }
    return 0;
}

int spile_talk_close(spile_talk *talk, uint64_t timeout_ns, spile_error **ret_error) {
    int result = talk_check(talk);
    if (result < 0)
        return result;
    if (talk->state == SPILE_TALK_STATE_CLOSED)
        return -EALREADY;
    if (timeout_ns && loop_is_stepping(talk->loop))
        return -EBUSY;
    /* A descriptor that stays the caller's is not at its end. */
    bool is_borrowed = (talk->endpoint.kind == ENDPOINT_FD && !talk->options.take_fd) ||
                       talk->endpoint.kind == ENDPOINT_STDIO;
    talk->wants_end |= !is_borrowed;
    ask_cancel_all(talk);
    expect_cancel_all(talk);
    result = loss_close(talk, ret_error);
    if (talk->state == SPILE_TALK_STATE_OPEN) {
        talk_set_state(talk, SPILE_TALK_STATE_CLOSING);
        channel_put_out(talk);
        result = channel_update(talk);
        if (result >= 0)
            result = wait_settled(talk, timeout_ns);
        if (result < 0)
            error_set(ret_error, SPILE_ERROR_TIMEOUT, -result, "'%s' did not end in time: %s", talk->endpoint.text,
                      talk->child ? "its program was killed" : "what was still to be written is lost");
    }
    disconnect(talk);
    if (talk->owns_loop) /* a killed child is gone before this returns */
        while (spile_loop_step(talk->loop, NS_FOREVER) > 0)
            continue;
    talk_set_state(talk, SPILE_TALK_STATE_CLOSED);
    transcript_settle(talk->transcript);
    transcript_event(talk->transcript, "closed", "");
    return result == -EAGAIN ? -ETIMEDOUT : result;
}

spile_talk *spile_talk_free(spile_talk *talk) {
    if (!talk)
        return NULL;
    if (!talk->is_dead && talk->loop) {
        ask_cancel_all(talk);
        expect_cancel_all(talk);
        disconnect(talk);
    }
    mover_free_abandoned(talk->channel.in_mover);
    mover_free_abandoned(talk->channel.out_mover);
    if (talk->owns_loop)
        spile_loop_free(talk->loop);
    forkguard_remove(&talk->guard);
    talk->transcript = transcript_close(talk->transcript);
    spile_error_free(talk->error);
    codec_done(&talk->codec);
    buffer_done(&talk->in);
    buffer_done(&talk->next);
    buffer_done(&talk->out);
    free(talk->messages.ends);
    text_done(&talk->text);
    text_done(&talk->coded);
    ask_done(talk);
    expect_done(talk);
    endpoint_done(&talk->endpoint);
    strings_free(talk->argv);
    strings_free(talk->env);
    free(talk->cwd);
    free(talk->eol);
    free(talk->prompt);
    free(talk);
    return NULL;
}

/* ------------------------------------------------------------------------------ what it is */

int spile_talk_get_info(const spile_talk *talk, spile_talk_info *info) {
    int result = talk_check(talk);
    if (result < 0 || !info || info->size != sizeof(*info))
        return result < 0 ? result : -EINVAL;
    struct termios modes = {0};
    bool is_tty = talk->channel.is_master && sys_tcgetattr(talk->channel.out_fd, &modes) >= 0;
    *info = (spile_talk_info){
        .size = sizeof(*info),
        .state = talk->state,
        .endpoint = talk->endpoint.text,
        .bytes_in = talk->bytes_in,
        .bytes_out = talk->bytes_out,
        .bytes_kept = buffer_size(&talk->in) + buffer_size(&talk->next),
        .losses = talk->losses,
        .bytes_queued = buffer_size(&talk->out),
        .is_terminal = talk->channel.is_terminal,
        .is_ended = talk->in_ended,
        .is_out_of_step = talk->late,
        .is_echoing = is_tty && modes.c_lflag & ECHO,
        .is_line_mode = is_tty && modes.c_lflag & ICANON,
        .pid = talk->pid,
        .has_exited = talk->has_exited,
        .exit_status = talk->has_exited && WIFEXITED(talk->status) ? WEXITSTATUS(talk->status) : -1,
        .signal = talk->has_exited && WIFSIGNALED(talk->status) ? WTERMSIG(talk->status) : 0,
        .transcript_error = talk->transcript ? talk->transcript->error : 0,
        .entries_missing = talk->transcript ? talk->transcript->all_missing : 0,
    };
    return 0;
}

const spile_error *spile_talk_error(const spile_talk *talk) {
    return talk ? talk->error : NULL;
}

/* ------------------------------------------------------------------------------ its terminal */

int spile_talk_resize(spile_talk *talk, unsigned columns, unsigned rows) {
    int result = talk_check(talk);
    if (result < 0)
        return result;
    if (!talk->channel.is_master)
        return -ENOTTY;
    const struct winsize size = {.ws_col = (unsigned short)columns, .ws_row = (unsigned short)rows};
    return sys_ioctl(talk->channel.out_fd, TIOCSWINSZ, &size);
}

int spile_talk_break(spile_talk *talk, uint64_t duration_ns) {
    int result = talk_check(talk);
    if (result < 0)
        return result;
    if (talk->tty.fd < 0)
        return -ENOTTY;
    if (!duration_ns)
        duration_ns = NS_PER_SECOND / 4;
    struct timespec rest = {.tv_sec = (time_t)(duration_ns / NS_PER_SECOND),
                            .tv_nsec = (long)(duration_ns % NS_PER_SECOND)};
    result = sys_ioctl(talk->tty.fd, TIOCSBRK, NULL);
    if (result < 0)
        return result;
    while (nanosleep(&rest, &rest) < 0 && errno == EINTR)
        continue;
    return sys_ioctl(talk->tty.fd, TIOCCBRK, NULL);
}
