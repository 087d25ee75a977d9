/* What `spile talk` and `spile ask` both do: see talk.h. */
#include "talk.h"

#include <errno.h>
#include <string.h>
#include <time.h>

uint64_t talk_now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

spile_talk_info talk_info(const spile_talk *talk) {
    spile_talk_info info = {.size = sizeof(info)};
    (void)spile_talk_get_info(talk, &info);
    return info;
}

int talk_poll_ms(uint64_t until_ns) {
    enum { MOST = 86400000 };
    const uint64_t now = talk_now_ns();
    if (until_ns == UINT64_MAX)
        return -1;
    return until_ns > now ? (int)((until_ns - now) / 1000000 < MOST ? (until_ns - now) / 1000000 + 1 : MOST) : 0;
}

uint64_t talk_silence_ns(const struct talk_command *command, const spile_talk *talk) {
    const spile_talk_info info = talk_info(talk);
    bool shows_no_end = info.is_terminal && info.pid == 0;
    return command->ask.silence_ns || !shows_no_end ? command->ask.silence_ns : SILENCE_MS * UINT64_C(1000000);
}

int talk_failed(int result, spile_error *error) {
    int status = EXIT_OWN_ERROR;
    if (error)
        complain("%s", spile_error_get_message(error));
    else
        complain("%s", strerror(-result));
    if (error && spile_error_get_kind(error) == SPILE_ERROR_REPLY)
        status = EXIT_ERROR_REPLY;
    else if (error && spile_error_get_kind(error) == SPILE_ERROR_ENDED)
        status = EXIT_END_OF_STREAM;
    else if (result == -ETIMEDOUT || result == -ESTALE)
        status = EXIT_TIMED_OUT;
    spile_error_free(error);
    return status;
}

spile_talk *talk_open(struct talk_command *command, int *ret_status) {
    spile_talk *talk = NULL;
    spile_error *error = NULL;
    *LIST_ADD(command->environment) = NULL;
    command->options.env = command->environment.items;
    int result = spile_talk_open(command->endpoint, &command->options, &talk, &error);
    if (result >= 0)
        return talk;
    *ret_status = talk_failed(result, error);
    return NULL;
}

int talk_ask(spile_talk *talk, const spile_ask_options *how, const char *line) {
    spile_reply reply = {.size = sizeof(reply)};
    spile_error *error = NULL;
    int result = spile_talk_ask(talk, line, how, &reply, &error), status = 0;
    /* What came is printed however it ended, for whoever wants to know. */
    if (reply.text && (reply.lines > 0 || reply.text_size > 0)) {
        struct builder text = {0};
        builder_add(&text, reply.text, reply.text_size);
        builder_puts(&text, "\n");
        status = out_write(text.data, text.size);
    }
    if (result < 0)
        status = talk_failed(result, error);
    spile_reply_done(&reply);
    return status;
}

const char *talk_loss_news(struct talk_command *command, const spile_talk *talk) {
    const spile_talk_info info = talk_info(talk);
    if (info.losses > command->losses) {
        command->losses = info.losses;
        command->is_lost = true;
        return "is gone; it is opened again as soon as it is there";
    }
    if (!command->is_lost || info.state != SPILE_TALK_STATE_OPEN)
        return NULL;
    command->is_lost = false;
    return "is there again";
}

int talk_close(const struct talk_command *command, spile_talk *talk, uint64_t timeout_ns) {
    spile_talk_info info = {.size = sizeof(info)};
    int result = spile_talk_close(talk, timeout_ns, NULL);
    if (spile_talk_get_info(talk, &info) >= 0 && info.transcript_error)
        complain("the transcript '%s' lacks %llu entries: %s", command->options.transcript,
                 (unsigned long long)info.entries_missing, strerror(-info.transcript_error));
    spile_talk_free(talk);
    children_collect();
    return result;
}
