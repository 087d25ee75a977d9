/* Asking: what the caller says, and threads that ask in turn. See spile_talk.h; what becomes of a question is in
 * question.c. */
#include "talk/ask.h"

enum { ASK_S = 10 };

/* ------------------------------------------------------------------------------ making one */

static void free_list(char **list) {
    for (char **item = list; item && *item; item++)
        free(*item);
    free(list);
}

static char **copy_list(const char *const *items, size_t count) {
    char **list = memory_zero(count + 1, sizeof(*list));
    for (size_t i = 0; list && i < count; i++) {
        list[i] = memory_string(items[i]);
        if (!list[i]) {
            free_list(list);
            return NULL;
        }
    }
    return list;
}

struct talk_ask *ask_free(struct talk_ask *ask) {
    if (!ask)
        return NULL;
    loop_timer_clear(&ask->timer);
    delimiter_done(&ask->prompt);
    free_list(ask->ends);
    free_list(ask->errors);
    text_done(&ask->reply);
    spile_error_free(ask->error);
    free(ask->end);
    free(ask->line);
    free(ask);
    return NULL;
}

static bool is_list_right(const char *const *items, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (!items || !items[i])
            return false;
    return true;
}

static bool names_end(const spile_ask_options *options) {
    return options->lines || options->prompt || options->end_count || options->silence_ns;
}

static bool are_options_right(const spile_ask_options *options) {
    return options->size == sizeof(*options) && is_list_right(options->ends, options->end_count) &&
           is_list_right(options->errors, options->error_count) && !(options->prompt && !*options->prompt) &&
           !(options->no_reply && names_end(options));
}

static int ask_fill(struct talk_ask *ask, const char *line) {
    spile_talk *talk = ask->talk;
    spile_ask_options *options = &ask->options;
    const char *prompt = options->prompt;
    bool has_end = names_end(options) || options->no_reply;
    if (!has_end && talk->prompt)
        prompt = talk->prompt;
    else if (!has_end)
        options->lines = 1;
    if (!options->line_size)
        options->line_size = strlen(line);
    ask->line = memory_new(options->line_size + 1);
    if (ask->line) {
        memcpy(ask->line, line, options->line_size);
        ask->line[options->line_size] = '\0';
    }
    ask->ends = copy_list(options->ends, options->end_count);
    ask->errors = copy_list(options->errors, options->error_count);
    if (!ask->line || !ask->ends || !ask->errors)
        return -ENOMEM;
    ask->has_prompt = prompt;
    return prompt ? delimiter_init(&ask->prompt, &talk->codec, prompt) : 0;
}

int ask_new(spile_talk *talk, const char *line, const spile_ask_options *options, struct talk_ask **ret_ask) {
    static const spile_ask_options none = {.size = sizeof(none)};
    if (!options)
        options = &none;
    if (!line || !are_options_right(options))
        return -EINVAL;
    struct talk_ask *ask = memory_zero(1, sizeof(*ask));
    if (!ask)
        return -ENOMEM;
    ask->talk = talk;
    ask->options = *options;
    uint64_t timeout = options->timeout_ns ? options->timeout_ns : ASK_S * NS_PER_SECOND;
    ask->until_ns = time_add_ns(time_now_ns(), timeout);
    int result = ask_fill(ask, line);
    if (result < 0) {
        ask_free(ask);
        return result;
    }
    *ret_ask = ask;
    return 0;
}

void ask_init(spile_talk *talk) {
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_mutex_init(&talk->turn_mutex, NULL);
    pthread_cond_init(&talk->turn_changed, &attributes);
    pthread_condattr_destroy(&attributes);
}

void ask_done(spile_talk *talk) {
    talk->late = ask_free(talk->late);
    text_done(&talk->unasked);
    pthread_cond_destroy(&talk->turn_changed);
    pthread_mutex_destroy(&talk->turn_mutex);
}

/* ------------------------------------------------------------------------------ asking */

static int check(const spile_talk *talk) {
    int result = talk_check(talk);
    if (result < 0)
        return result;
    return talk->is_cancelling || talk->state == SPILE_TALK_STATE_CLOSED ? -EBADF : 0;
}

static void queue(struct talk_ask *ask) {
    struct talk_ask **place = &ask->talk->asks;
    while (*place)
        place = &(*place)->next;
    *place = ask;
}

int spile_talk_ask_start(spile_talk *talk, const char *line, const spile_ask_options *options, spile_ask_fn done,
                         void *user) {
    struct talk_ask *ask;
    int result = done ? check(talk) : -EINVAL;
    if (result >= 0)
        result = ask_new(talk, line, options, &ask);
    if (result < 0)
        return result;
    ask->done = done;
    ask->user = user;
    queue(ask);
    loop_defer(talk->loop, &ask->timer, ask_look_later);
    return 0;
}

/* Waits until the threads that came before have their replies. */
static int take_turn(spile_talk *talk, struct ask_turn *turn, uint64_t until_ns) {
    const struct timespec until = {.tv_sec = (time_t)(until_ns / NS_PER_SECOND),
                                   .tv_nsec = (long)(until_ns % NS_PER_SECOND)};
    struct ask_turn **place = &talk->turns;
    int result = 0;
    pthread_mutex_lock(&talk->turn_mutex);
    while (*place)
        place = &(*place)->next;
    *place = turn;
    while (talk->turns != turn && result == 0)
        result = until_ns == NS_FOREVER ? pthread_cond_wait(&talk->turn_changed, &talk->turn_mutex)
                                        : pthread_cond_timedwait(&talk->turn_changed, &talk->turn_mutex, &until);
    if (talk->turns != turn) {
        for (place = &talk->turns; *place != turn;)
            place = &(*place)->next;
        *place = turn->next;
    } else {
        result = 0;
    }
    pthread_mutex_unlock(&talk->turn_mutex);
    return -result;
}

void ask_let_go(spile_talk *talk) {
    pthread_mutex_lock(&talk->turn_mutex);
    talk->turns = talk->turns->next;
    pthread_cond_broadcast(&talk->turn_changed);
    pthread_mutex_unlock(&talk->turn_mutex);
}

int ask_hold(spile_talk *talk, struct ask_turn *turn) {
    int result = take_turn(talk, turn, 0);
    const struct talk_ask *ask = result < 0 ? NULL : ask_current(talk);
    if (ask && ask->state == ASK_ASKED) {
        ask_let_go(talk);
        result = -EBUSY;
    }
    return result < 0 ? -EBUSY : 0;
}

/* Hands out what a question that is done has brought. */
static int hand_out(struct talk_ask *ask, spile_reply *reply, spile_error **ret_error) {
    int result = ask->result;
    if (reply) {
        reply->lines = ask->lines;
        reply->text_size = ask->reply.size;
        reply->end = TAKE_POINTER(ask->end);
        reply->text = text_take(&ask->reply);
        if (!reply->text)
            result = -ENOMEM;
    }
    if (ret_error)
        *ret_error = TAKE_POINTER(ask->error);
    return result;
}

static int ask_in_turn(spile_talk *talk, struct talk_ask *ask, spile_reply *reply, spile_error **ret_error) {
    int result = 0;
    if (loop_is_stepping(talk->loop))
        return -EBUSY;
    queue(ask);
    ask_look(ask);
    while (ask->state != ASK_DONE && result >= 0)
        result = spile_loop_step(talk->loop, NS_FOREVER);
    if (!talk->is_cancelling || talk->asks)
        ask_unlink(ask);
    return result < 0 ? result : hand_out(ask, reply, ret_error);
}

int spile_talk_ask(spile_talk *talk, const char *line, const spile_ask_options *options, spile_reply *reply,
                   spile_error **ret_error) {
    struct ask_turn turn = {0};
    struct talk_ask *ask;
    int result = reply && reply->size != sizeof(*reply) ? -EINVAL : check(talk);
    if (result >= 0 && reply)
        *reply = (spile_reply){.size = sizeof(*reply)};
    if (result >= 0)
        result = ask_new(talk, line, options, &ask);
    if (result < 0)
        return result;
    result = take_turn(talk, &turn, ask->until_ns);
    if (result < 0) {
        error_set(ret_error, SPILE_ERROR_TIMEOUT, -result, "'%s' was not asked '%s': its turn did not come in time",
                  talk->endpoint.text, line);
    } else {
        result = ask_in_turn(talk, ask, reply, ret_error);
        ask_let_go(talk);
    }
    ask_free(ask);
    return result;
}

void spile_reply_done(spile_reply *reply) {
    if (!reply)
        return;
    free(reply->text);
    free(reply->end);
    *reply = (spile_reply){.size = reply->size};
}

int spile_talk_read_unasked(spile_talk *talk, const char **ret_text, size_t *ret_size) {
    int result = ret_text && ret_size ? talk_check(talk) : -EINVAL;
    if (result < 0)
        return result;
    bool is_empty = talk->unasked.size == 0;
    text_done(&talk->text);
    talk->text = talk->unasked;
    talk->unasked = (struct text){0};
    *ret_text = talk->text.data ? talk->text.data : "";
    *ret_size = talk->text.size;
    return is_empty ? SPILE_TALK_NOTHING : SPILE_TALK_WHOLE;
}

static int set_all_aside(spile_talk *talk) {
    return ask_set_aside(talk, buffer_size(&talk->in));
}

int spile_talk_resync(spile_talk *talk, uint64_t silence_ns, uint64_t timeout_ns, spile_error **ret_error) {
    int result = check(talk);
    if (result >= 0)
        result = read_await_silence(talk, silence_ns, timeout_ns, set_all_aside, ret_error);
    if (result >= 0)
        talk->late = ask_free(talk->late);
    return result;
}
