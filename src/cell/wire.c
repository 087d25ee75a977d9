/* Messages between host and supervisor: see wire.h. Never leaves a received descriptor behind. */
#include "cell/wire.h"

union control {
    struct cmsghdr align;
    char data[CMSG_SPACE(WIRE_FD_MAX * sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))];
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

static void take_control(struct msghdr *packet, struct wire_message *message) {
    for (struct cmsghdr *entry = CMSG_FIRSTHDR(packet); entry; entry = CMSG_NXTHDR(packet, entry)) {
        if (entry->cmsg_level == SOL_SOCKET && entry->cmsg_type == SCM_CREDENTIALS) {
            struct ucred sender;
            memcpy(&sender, CMSG_DATA(entry), sizeof(sender));
            message->sender = sender.pid;
        }
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
    message->sender = 0;
    message->body = body;
    ssize_t size;
    do
        size = sys_recvmsg(socket, &packet, flags);
    while (size == -EINTR);
    if (size == 0 || size == -ECONNRESET)
        return 0;
    if (size < 0)
        return (int)size;
    take_control(&packet, message);
    if ((size_t)size < sizeof(message->header) || (packet.msg_flags & MSG_TRUNC)) {
        wire_message_done(message);
        return -EBADMSG;
    }
    message->body_size = (size_t)size - sizeof(message->header);
    body[message->body_size] = '\0';
    return 1;
}

static size_t strings_size(char *const *strings, uint32_t *ret_count) {
    size_t size = 0;
    uint32_t count = 0;
    for (; strings[count]; count++)
        size += strlen(strings[count]) + 1;
    *ret_count = count;
    return size;
}

static char *string_pack(char *place, const char *string) {
    size_t size = strlen(string) + 1;
    memcpy(place, string, size);
    return place + size;
}

void wire_pack(const struct proc_spec *spec, char *body) {
    body = string_pack(body, spec->path);
    body = string_pack(body, spec->cwd);
    body = string_pack(body, spec->place ? spec->place : "");
    for (char *const *argument = spec->argv; *argument; argument++)
        body = string_pack(body, *argument);
    for (char *const *variable = spec->envp; *variable; variable++)
        body = string_pack(body, *variable);
}

size_t wire_pack_size(const struct proc_spec *spec, struct wire_spawn *spawn) {
    size_t size = strlen(spec->path) + strlen(spec->cwd) + (spec->place ? strlen(spec->place) : 0) + 3;
    size += strings_size(spec->argv, &spawn->argv_count);
    return size + strings_size(spec->envp, &spawn->envp_count);
}

char **wire_unpack(char *body, const struct wire_spawn *spawn) {
    size_t argv_count = spawn->argv_count, envp_count = spawn->envp_count;
    size_t string_count = WIRE_BEFORE_ARGV + argv_count + envp_count;
    if (spawn->body_size == 0 || body[spawn->body_size - 1] != '\0' || argv_count == 0 ||
        string_count > spawn->body_size)
        return NULL;
    char **strings = memory_new((string_count + 2) * sizeof(*strings));
    char *place = body, *end = body + spawn->body_size;
    size_t used = 0;
    for (size_t i = 0; strings && i < string_count; i++) {
        if (place == end) {
            free(strings);
            return NULL;
        }
        if (i == WIRE_BEFORE_ARGV + argv_count)
            strings[used++] = NULL;
        strings[used++] = place;
        place += strlen(place) + 1;
    }
    if (strings && envp_count == 0)
        strings[used++] = NULL;
    if (strings)
        strings[used] = NULL;
    return strings;
}
