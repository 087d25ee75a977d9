/* Messages between host and supervisor: see wire.h. Never leaves a received descriptor behind. */
#include "cell/wire.h"

union control {
    struct cmsghdr align;
    char data[CMSG_SPACE(WIRE_FD_MAX * sizeof(int))];
};

void wire_message_done(struct wire_message *message) {
    for (size_t i = 0; i < message->fd_count; i++)
        fd_close(TAKE_FD(message->fds[i]));
    message->fd_count = 0;
}

int wire_send(int socket, const struct wire_header *header, const void *body, size_t size, const int *fds,
              size_t fd_count, int flags) {
    assert(fd_count <= WIRE_FD_MAX);
    struct iovec parts[2] = {{(void *)header, sizeof(*header)}, {(void *)body, size}};
    union control control;
    struct msghdr packet = {.msg_iov = parts, .msg_iovlen = size ? 2 : 1};
    if (fd_count) {
        memset(&control, 0, sizeof(control));
        packet.msg_control = control.data;
        packet.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
        struct cmsghdr *entry = CMSG_FIRSTHDR(&packet);
        entry->cmsg_level = SOL_SOCKET;
        entry->cmsg_type = SCM_RIGHTS;
        entry->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
        memcpy(CMSG_DATA(entry), fds, fd_count * sizeof(int));
    }
    ssize_t sent;
    do
        sent = sys_sendmsg(socket, &packet, flags);
    while (sent == -EINTR);
    return sent < 0 ? (int)sent : 0;
}

static void take_fds(struct msghdr *packet, struct wire_message *message) {
    for (struct cmsghdr *entry = CMSG_FIRSTHDR(packet); entry; entry = CMSG_NXTHDR(packet, entry)) {
        if (entry->cmsg_level != SOL_SOCKET || entry->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (entry->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        memcpy(message->fds, CMSG_DATA(entry), MIN(count, (size_t)WIRE_FD_MAX) * sizeof(int));
        message->fd_count = MIN(count, (size_t)WIRE_FD_MAX);
    }
    message->lost_fds = packet->msg_flags & MSG_CTRUNC;
}

int wire_receive(int socket, char *body, size_t capacity, struct wire_message *message, int flags) {
    struct iovec parts[2] = {{&message->header, sizeof(message->header)}, {body, capacity}};
    union control control;
    struct msghdr packet = {
        .msg_iov = parts, .msg_iovlen = 2, .msg_control = control.data, .msg_controllen = sizeof(control)};
    message->fd_count = 0;
    message->body = body;
    ssize_t size;
    do
        size = sys_recvmsg(socket, &packet, flags);
    while (size == -EINTR);
    if (size == 0 || size == -ECONNRESET)
        return 0;
    if (size < 0)
        return (int)size;
    take_fds(&packet, message);
    if ((size_t)size < sizeof(message->header) || (packet.msg_flags & MSG_TRUNC)) {
        wire_message_done(message);
        return -EBADMSG;
    }
    message->body_size = (size_t)size - sizeof(message->header);
    body[message->body_size] = '\0';
    return 1;
}
