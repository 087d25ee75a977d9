/* Bytes in and out, on the loop: see talk.h.
 *
 * Each direction is watched for only while it is wanted: reading as long as what came may be kept, writing while
 * something is queued. So a device that has gone, which is always "ready", does not turn the loop. What is read is
 * offered to the question under way before it is told.
 */
#include "talk/mover.h"
#include "talk/talk.h"

enum { END_AGAIN_MS = 300 };

uint64_t talk_keep_limit(const spile_talk *talk) {
    return talk->options.keep_limit_bytes ? talk->options.keep_limit_bytes : UINT64_C(1) << 30;
}

/* ------------------------------------------------------------------------------ in */

static void in_ended(spile_talk *talk) {
    if (loss_begins(talk))
        return;
    if (!talk->in_ended)
        transcript_event(talk->transcript, "ended", "");
    talk->in_ended = true;
    talk->news |= SPILE_TALK_ENDED;
}

/* What a read that failed says of the device. */
static void in_failed(spile_talk *talk, int result) {
    if (result == -EINTR || result == -EAGAIN)
        return;
    if (result == -ETIMEDOUT && talk->options.message) { /* an instrument that had nothing to say */
        talk->wants_message = false;
        return;
    }
    if (loss_begins(talk))
        return;
    if (result != -EIO || !talk->channel.is_terminal) /* EIO of a terminal: it was hung up */
        talk_fail(talk, error_with(error_new(SPILE_ERROR_SYSTEM, "reading from '%s' failed: %s", talk->endpoint.text,
                                             strerror(-result)),
                                   -result, -1, -1));
    in_ended(talk);
}

static uint64_t kept(const spile_talk *talk) {
    return (uint64_t)buffer_size(&talk->in) + buffer_size(&talk->next);
}

/* Room for what comes. */
static int reserve(const spile_talk *talk, struct buffer *in) {
    int waiting = 0;
    if (talk->channel.is_packets && sys_ioctl(talk->channel.in_fd, FIONREAD, &waiting) >= 0 && waiting > 0)
        return buffer_reserve(in, (size_t)waiting + 1);
    return buffer_reserve_read(in);
}

/* *ret_more: a message goes on. */
static ssize_t receive(const struct talk_channel *channel, char *data, size_t room, bool *ret_more) {
    if (channel->in_mover)
        return mover_read(channel->in_mover, data, room, ret_more);
    if (channel->is_packets)
        return sys_recv_packet(channel->in_fd, data, room, MSG_DONTWAIT);
    ssize_t count = channel->in_is_socket ? sys_recv(channel->in_fd, data, room, MSG_DONTWAIT)
                                          : sys_read(channel->in_fd, data, room);
    *ret_more = count == (ssize_t)room;
    return count;
}

static void take_in(spile_talk *talk) {
    struct buffer *in = talk->has_seam ? &talk->next : &talk->in;
    if (talk->in_ended || talk->is_losing)
        return;
    int result = reserve(talk, in);
    if (result < 0) {
        in_failed(talk, result);
        return;
    }
    size_t room = (size_t)MIN((uint64_t)buffer_room(in),
                              talk_keep_limit(talk) - MIN(talk_keep_limit(talk), kept(talk)));
    if (talk->channel.is_packets)
        room = buffer_room(in);
    if (room == 0)
        return;
    bool has_more = false;
    ssize_t count = receive(&talk->channel, in->data + in->end, room, &has_more);
    if (count < 0) {
        in_failed(talk, (int)count);
    } else if (count == 0) {
        in_ended(talk);
    } else {
        transcript_bytes(talk->transcript, RECORD_IN, in->data + in->end, (size_t)count);
        transcript_flush(talk->transcript);
        in->end += (size_t)count;
        talk->has_message = talk->options.message && !has_more;
        talk->wants_message &= has_more;
        talk->bytes_in += (uint64_t)count;
        talk->has_just_come = true;
        if (talk->options.told || talk->late)
            (void)channel_arrived_ns(talk);
        talk->news |= SPILE_TALK_ARRIVED;
        lines_arrived(&talk->lines, &talk->in);
    }
}

uint64_t channel_arrived_ns(spile_talk *talk) {
    if (TAKE(talk->has_just_come, false))
        talk->arrived_ns = time_now_ns();
    return talk->arrived_ns;
}

void channel_take_now(spile_talk *talk) {
    struct pollfd poll_fd = {.fd = talk->channel.in_fd, .events = POLLIN};
    if (talk->options.message)
        return;
    if (talk->channel.in_mover)
        take_in(talk);
    else if (poll_fd.fd >= 0 && sys_poll(&poll_fd, 1, 0) == 1 && poll_fd.revents & POLLIN)
        take_in(talk);
}

/* ------------------------------------------------------------------------------ out */

/* All that was queued is out, and nothing follows. */
static void end_out(spile_talk *talk) {
    struct talk_channel *channel = &talk->channel;
    if (!talk->wants_end || talk->has_ended_out || buffer_size(&talk->out) > 0 || channel->is_master)
        return;
    talk->has_ended_out = true;
    if (channel->out_is_socket) {
        (void)shutdown(channel->out_fd, SHUT_WR);
    } else if (channel->out_fd != channel->in_fd) {
        loop_fd_remove(&channel->out);
        channel->out_fd = fd_close(channel->out_fd);
    }
}

static void end_again(struct loop_timer *timer) {
    spile_talk *talk = CONTAINER_OF(timer, spile_talk, end_again);
    if (talk->in_ended || talk->has_exited)
        return;
    talk->has_ended_out = false;
    channel_put_out(talk);
    (void)channel_update(talk);
}

/* Nothing else tells a terminal's program that nothing will come. One that goes from line mode to editing lines itself
 * loses it, as any input of that moment: it is told again until it ends. */
static void queue_end_of_file(spile_talk *talk) {
    struct termios modes;
    if (!talk->wants_end || talk->has_ended_out || !talk->channel.is_master)
        return;
    talk->has_ended_out = true;
    loop_timer_set(talk->loop, &talk->end_again, time_now_ns() + END_AGAIN_MS * NS_PER_MS, end_again);
    if (sys_tcgetattr(talk->channel.out_fd, &modes) < 0 || buffer_add(&talk->out, &modes.c_cc[VEOF], 1) < 0)
        talk->out_error = -EPIPE;
}

static void out_failed(spile_talk *talk, int result) {
    if (loss_begins(talk))
        return;
    bool is_gone = result == -ECONNRESET || (result == -EIO && talk->channel.is_terminal);
    talk->out_error = is_gone ? -EPIPE : result;
    talk->out.start = talk->out.end; /* nobody takes it any more */
    talk->messages.count = 0;
    transcript_dropped(talk->transcript);
    buffer_trim(&talk->out);
}

static ssize_t transmit(const struct talk_channel *channel, const char *data, size_t size) {
    if (channel->out_mover)
        return mover_write(channel->out_mover, data, size);
    if (channel->is_packets && channel->out_is_socket)
        return sys_send_packet(channel->out_fd, data, size, MSG_DONTWAIT);
    return channel->out_is_socket ? sys_send(channel->out_fd, data, size, MSG_DONTWAIT)
           : channel->out_is_pipe ? fd_write_no_sigpipe(channel->out_fd, data, size)
                                  : sys_write(channel->out_fd, data, size);
}

/* How much may go out in one write. */
static size_t sendable(const spile_talk *talk) {
    if (!talk->options.message)
        return buffer_size(&talk->out);
    return talk->messages.count > 0 ? (size_t)(talk->messages.ends[0] - talk->bytes_out) : 0;
}

static void drop_messages(spile_talk *talk) {
    struct messages *messages = &talk->messages;
    if (messages->count == 0 || messages->ends[0] > talk->bytes_out)
        return;
    messages->count--;
    memmove(messages->ends, messages->ends + 1, messages->count * sizeof(*messages->ends));
}

int channel_end_message(spile_talk *talk) {
    struct messages *messages = &talk->messages;
    if (!talk->options.message)
        return 0;
    int result = ARRAY_RESERVE(messages->ends, messages->count, messages->capacity);
    if (result >= 0)
        messages->ends[messages->count++] = talk->bytes_out + buffer_size(&talk->out);
    return result;
}

void channel_put_out(spile_talk *talk) {
    struct buffer *out = &talk->out;
    struct talk_channel *channel = &talk->channel;
    if (channel->out_fd < 0)
        return;
    queue_end_of_file(talk);
    bool was_queued = buffer_size(out) > 0;
    for (size_t size; (size = sendable(talk)) > 0 && !talk->out_error && !talk->is_losing;) {
        const char *data = buffer_start(out);
        ssize_t count = transmit(channel, data, size);
        if (count == -EAGAIN || count == -EINTR)
            break;
        if (count < 0) {
            out_failed(talk, (int)count);
        } else {
            transcript_bytes(talk->transcript, RECORD_OUT, data, (size_t)count);
            buffer_take(out, (size_t)count);
            talk->bytes_out += (uint64_t)count;
            drop_messages(talk);
        }
    }
    if (was_queued && buffer_size(out) == 0) {
        buffer_trim(out);
        talk->news |= SPILE_TALK_WRITTEN;
    }
    transcript_flush(talk->transcript);
    end_out(talk);
}

/* ------------------------------------------------------------------------------ the loop */

static bool is_reading(const spile_talk *talk) {
    if (talk->options.message && !talk->wants_message)
        return false;
    return !talk->in_ended && !talk->is_losing && kept(talk) < talk_keep_limit(talk);
}

static int watch(spile_talk *talk, struct loop_fd *source, int fd, uint32_t events, loop_fd_fn function) {
    if (source->loop && source->events == events) /* as a rule: nothing is to be done for a line */
        return 0;
    if (!events || fd < 0) {
        loop_fd_remove(source);
        return 0;
    }
    return source->loop ? loop_fd_change(source, events) : loop_fd_add(talk->loop, source, fd, events, function);
}

/* After either direction moved. */
static void moved(spile_talk *talk) {
    int result = channel_update(talk);
    if (result < 0) {
        talk_fail(talk, error_with(error_new(SPILE_ERROR_SYSTEM, "'%s' can't be watched: %s", talk->endpoint.text,
                                             strerror(-result)),
                                   -result, -1, -1));
        in_ended(talk);
    }
    ask_arrived(talk);
    expect_arrived(talk);
    channel_tell(talk);
}

static void in_ready(struct loop_fd *source, uint32_t events) {
    spile_talk *talk = CONTAINER_OF(source, spile_talk, channel.in);
    /* Never without an event: a FIFO that no one writes yet reads as ended. */
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR) && source->events & EPOLLIN)
        take_in(talk);
    if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR) && talk->channel.out_fd == talk->channel.in_fd)
        channel_put_out(talk);
    moved(talk);
}

static void out_ready(struct loop_fd *source, uint32_t events) {
    spile_talk *talk = CONTAINER_OF(source, spile_talk, channel.out);
    (void)events;
    channel_put_out(talk);
    moved(talk);
}

int channel_update(spile_talk *talk) {
    struct talk_channel *channel = &talk->channel;
    if (channel->in_fd < 0 && channel->out_fd < 0)
        return 0;
    uint32_t in = is_reading(talk) ? EPOLLIN : 0,
             out = sendable(talk) > 0 && !talk->out_error && !talk->is_losing ? EPOLLOUT : 0;
    if (channel->in_mover && in)
        mover_want(channel->in_mover);
    in = channel->in_mover ? 0 : in;
    out = channel->out_mover ? 0 : out;
    if (channel->in_fd == channel->out_fd)
        return watch(talk, &channel->in, channel->in_fd, in | out, in_ready);
    int result = watch(talk, &channel->in, channel->in_fd, in, in_ready);
    return result < 0 ? result : watch(talk, &channel->out, channel->out_fd, out, out_ready);
}

int channel_want_message(spile_talk *talk) {
    if (!talk->options.message || talk->wants_message || talk->state != SPILE_TALK_STATE_OPEN)
        return 0;
    talk->wants_message = true;
    return channel_update(talk);
}

/* ------------------------------------------------------------------------------ devices without poll */

static void mover_moved(void *user) {
    spile_talk *talk = user;
    if (is_reading(talk))
        take_in(talk);
    channel_put_out(talk);
    moved(talk);
}

/* Whether nothing tells when it is ready. 1, 0 or -errno. */
static int lacks_poll(spile_talk *talk, int fd) {
    struct talk_channel *channel = &talk->channel;
    bool has_poll = channel->is_terminal || channel->in_is_socket || channel->out_is_socket ||
                    (fd == channel->out_fd && channel->out_is_pipe);
    if (fd < 0 || has_poll)
        return 0;
    int result = loop_fd_add(talk->loop, &channel->in, fd, EPOLLIN, in_ready);
    loop_fd_remove(&channel->in);
    return result == -EPERM ? 1 : result;
}

/* A device without poll is read and written by threads, and waits there. */
static int start_movers(spile_talk *talk) {
    struct talk_channel *channel = &talk->channel;
    int in = lacks_poll(talk, channel->in_fd), out = in;
    if (channel->out_fd != channel->in_fd && in >= 0)
        out = lacks_poll(talk, channel->out_fd);
    int result = MIN(in, out);
    if (in > 0)
        result = fd_set_blocking(channel->in_fd);
    if (in > 0 && result >= 0)
        result = mover_start(&channel->in_mover, talk->loop, channel->in_fd, false, mover_moved, talk);
    if (out > 0 && result >= 0)
        result = fd_set_blocking(channel->out_fd);
    if (out > 0 && result >= 0)
        result = mover_start(&channel->out_mover, talk->loop, channel->out_fd, true, mover_moved, talk);
    return result;
}

int channel_begin(spile_talk *talk) {
    int result = start_movers(talk);
    if (result < 0)
        return result;
    channel_put_out(talk);
    return channel_update(talk);
}

void channel_stop(spile_talk *talk) {
    struct talk_channel *channel = &talk->channel;
    loop_timer_clear(&talk->end_again);
    loop_fd_remove(&channel->in);
    loop_fd_remove(&channel->out);
    mover_stop(channel->in_mover);
    mover_stop(channel->out_mover);
    if (channel->out_fd != channel->in_fd)
        fd_close(channel->out_fd);
    fd_close(channel->in_fd);
    *channel = (struct talk_channel){.in_fd = -1, .out_fd = -1};
    talk->in_ended = true;
}

void channel_tell(spile_talk *talk) {
    unsigned news = TAKE(talk->news, 0u);
    if (talk->transcript && TAKE(talk->transcript->is_news, false))
        news |= SPILE_TALK_UNRECORDED;
    if (news && talk->options.told)
        talk->options.told(talk->options.user, talk, news);
}
