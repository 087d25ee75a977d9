/* Bytes in and out, on the loop: see talk.h.
 *
 * Each direction is watched for only while it is wanted: reading as long as what came may be kept, writing while
 * something is queued. So a peer that has gone, which is always "ready", does not turn the loop. What is read is
 * offered to the question under way before it is told.
 */
#include "talk/talk.h"

enum { END_AGAIN_MS = 300 };

uint64_t talk_keep_limit(const spile_talk *talk) {
    return talk->options.keep_limit_bytes ? talk->options.keep_limit_bytes : UINT64_C(1) << 30;
}

/* ------------------------------------------------------------------------------ in */

static void in_ended(spile_talk *talk) {
    if (!talk->in_ended)
        transcript_event(talk->transcript, "ended", "");
    talk->in_ended = true;
    talk->news |= SPILE_TALK_ENDED;
}

/* What a read that failed says of the device. */
static void in_failed(spile_talk *talk, int result) {
    if (result == -EINTR || result == -EAGAIN)
        return;
    if (result != -EIO || !talk->channel.is_terminal) /* EIO of a terminal: it was hung up */
        talk_fail(talk, error_with(error_new(SPILE_ERROR_SYSTEM, "reading from '%s' failed: %s", talk->endpoint.text,
                                             strerror(-result)),
                                   -result, -1, -1));
    in_ended(talk);
}

static void take_in(spile_talk *talk) {
    struct buffer *in = &talk->in;
    if (talk->in_ended)
        return;
    int result = buffer_reserve_read(in);
    if (result < 0) {
        in_failed(talk, result);
        return;
    }
    size_t room = (size_t)MIN((uint64_t)buffer_room(in),
                              talk_keep_limit(talk) - MIN(talk_keep_limit(talk), buffer_size(in)));
    if (room == 0)
        return;
    int fd = talk->channel.in_fd;
    ssize_t count = talk->channel.in_is_socket ? sys_recv(fd, in->data + in->end, room, MSG_DONTWAIT)
                                               : sys_read(fd, in->data + in->end, room);
    if (count < 0) {
        in_failed(talk, (int)count);
    } else if (count == 0) {
        in_ended(talk);
    } else {
        transcript_bytes(talk->transcript, RECORD_IN, in->data + in->end, (size_t)count);
        transcript_flush(talk->transcript);
        in->end += (size_t)count;
        talk->bytes_in += (uint64_t)count;
        talk->arrived_ns = time_now_ns();
        talk->news |= SPILE_TALK_ARRIVED;
        lines_arrived(&talk->lines, in);
    }
}

void channel_take_now(spile_talk *talk) {
    struct pollfd poll_fd = {.fd = talk->channel.in_fd, .events = POLLIN};
    if (poll_fd.fd >= 0 && sys_poll(&poll_fd, 1, 0) == 1 && poll_fd.revents & POLLIN)
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
    bool is_gone = result == -ECONNRESET || (result == -EIO && talk->channel.is_terminal);
    talk->out_error = is_gone ? -EPIPE : result;
    talk->out.start = talk->out.end; /* nobody takes it any more */
    transcript_dropped(talk->transcript);
    buffer_trim(&talk->out);
}

void channel_put_out(spile_talk *talk) {
    struct buffer *out = &talk->out;
    struct talk_channel *channel = &talk->channel;
    if (channel->out_fd < 0)
        return;
    queue_end_of_file(talk);
    bool was_queued = buffer_size(out) > 0;
    while (buffer_size(out) > 0 && !talk->out_error) {
        const char *data = buffer_start(out);
        const size_t size = buffer_size(out);
        ssize_t count = channel->out_is_socket ? sys_send(channel->out_fd, data, size, MSG_DONTWAIT)
                        : channel->out_is_pipe ? fd_write_no_sigpipe(channel->out_fd, data, size)
                                               : sys_write(channel->out_fd, data, size);
        if (count == -EAGAIN || count == -EINTR)
            break;
        if (count < 0) {
            out_failed(talk, (int)count);
        } else {
            transcript_bytes(talk->transcript, RECORD_OUT, data, (size_t)count);
            buffer_take(out, (size_t)count);
            talk->bytes_out += (uint64_t)count;
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
    return !talk->in_ended && buffer_size(&talk->in) < talk_keep_limit(talk);
}

static int watch(spile_talk *talk, struct loop_fd *source, int fd, uint32_t events, loop_fd_fn function) {
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
    uint32_t in = is_reading(talk) ? EPOLLIN : 0, out = buffer_size(&talk->out) > 0 && !talk->out_error ? EPOLLOUT : 0;
    if (channel->in_fd == channel->out_fd)
        return watch(talk, &channel->in, channel->in_fd, in | out, in_ready);
    int result = watch(talk, &channel->in, channel->in_fd, in, in_ready);
    return result < 0 ? result : watch(talk, &channel->out, channel->out_fd, out, out_ready);
}

int channel_begin(spile_talk *talk) {
    channel_put_out(talk);
    return channel_update(talk);
}

void channel_stop(spile_talk *talk) {
    struct talk_channel *channel = &talk->channel;
    loop_timer_clear(&talk->end_again);
    loop_fd_remove(&channel->in);
    loop_fd_remove(&channel->out);
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
