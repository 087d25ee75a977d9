/* Sockets on their way: see connect.h. A host's name is looked up in a thread of its own, since the system's functions
 * for that block; it and the talk share what is between them, and the last one frees it. */
#include "talk/connect.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdatomic.h>
#include <sys/un.h>

#define REFUSE(number, ...) error_set(ret_error, SPILE_ERROR_ENDPOINT, number, __VA_ARGS__)

/* ------------------------------------------------------------------------------ connecting */

static int refuse_socket(const struct talk_connect *way, int result, spile_error **ret_error) {
    const char *name = way->talk->endpoint.text;
    if (result == -ECONNREFUSED)
        return REFUSE(ECONNREFUSED, "nobody listens at '%s': start the service, or wait for it", name);
    if (result == -ENOENT)
        return REFUSE(ENOENT, "there is no '%s'", name);
    return REFUSE(-result, "'%s' can't be connected: %s", name, strerror(-result));
}

static int socket_done(struct talk_connect *way) {
    int on = 1;
    loop_fd_remove(&way->socket);
    int fd = TAKE_FD(way->socket_fd);
    if (way->talk->endpoint.kind == ENDPOINT_TCP) /* a line is not held back for the answer to the one before */
        (void)sys_setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    way->talk->channel = (struct talk_channel){.in_fd = fd, .out_fd = fd, .in_is_socket = true, .out_is_socket = true};
    way->talk->channel.is_packets = way->is_seqpacket;
    return 1;
}

static void connected(struct loop_fd *source, uint32_t events);

/* Begins to connect; what becomes of it is told by connected() where it takes time. */
static int begin(struct talk_connect *way, int family, int type, const struct sockaddr *address, socklen_t size) {
    loop_fd_remove(&way->socket);
    way->socket_fd = fd_close(way->socket_fd);
    int result = way->socket_fd = sys_socket(family, type | SOCK_NONBLOCK);
    if (result < 0)
        return result;
    result = sys_connect(way->socket_fd, address, size);
    if (result >= 0)
        return socket_done(way);
    if (result == -EINPROGRESS || result == -EINTR)
        result = loop_fd_add(way->talk->loop, &way->socket, way->socket_fd, EPOLLOUT, connected);
    if (result < 0)
        way->socket_fd = fd_close(way->socket_fd);
    return result;
}

static int try_addresses(struct talk_connect *way, spile_error **ret_error) {
    int result = -EHOSTUNREACH;
    for (; way->address; way->address = way->address->ai_next) {
        const struct addrinfo *address = way->address;
        result = begin(way, address->ai_family, SOCK_STREAM, address->ai_addr, address->ai_addrlen);
        if (result >= 0)
            return result;
    }
    way->address = way->addresses; /* from the first one again, should there be another attempt */
    return refuse_socket(way, result, ret_error);
}

static void connected(struct loop_fd *source, uint32_t events) {
    struct talk_connect *way = CONTAINER_OF(source, struct talk_connect, socket);
    (void)events;
    int number = 0;
    socklen_t size = sizeof(number);
    spile_error *error = NULL;
    int result = sys_getsockopt(way->socket_fd, SOL_SOCKET, SO_ERROR, &number, &size);
    if (result >= 0)
        result = -number;
    if (result == 0) {
        connect_done(way, socket_done(way), NULL);
        return;
    }
    loop_fd_remove(source);
    way->socket_fd = fd_close(way->socket_fd);
    if (way->address && (way->address = way->address->ai_next))
        result = try_addresses(way, &error);
    else
        result = refuse_socket(way, result, &error);
    if (result < 0 && way->addresses)
        way->address = way->addresses;
    if (result != 0)
        connect_done(way, result, error);
}

/* ------------------------------------------------------------------------------ UNIX sockets */

/* The address of a path; one that is too long is reached through a descriptor of its directory. */
static int unix_address(const char *path, struct sockaddr_un *address, socklen_t *ret_size, int *ret_directory) {
    size_t size = strlen(path);
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (size < sizeof(address->sun_path)) {
        memcpy(address->sun_path, path, size + 1);
        if (*path == '@')
            address->sun_path[0] = '\0';
        *ret_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size + (*path != '@'));
        return 0;
    }
    const char *slash = strrchr(path, '/');
    if (*path == '@' || !slash || strlen(slash + 1) > 64)
        return -ENAMETOOLONG;
    AUTO_TEXT directory = {0};
    text_add(&directory, path, (size_t)(slash - path) + 1);
    if (directory.failed)
        return -ENOMEM;
    int fd = sys_openat(AT_FDCWD, directory.data, O_PATH | O_DIRECTORY, 0);
    if (fd < 0)
        return fd;
    *ret_directory = fd;
    int written = snprintf(address->sun_path, sizeof(address->sun_path), "/proc/self/fd/%d/%s", fd, slash + 1);
    *ret_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)written + 1);
    return 0;
}

int socket_connect_unix(struct talk_connect *way, const char *path, spile_error **ret_error) {
    struct sockaddr_un address;
    socklen_t size = 0;
    AUTO_FD directory = -1;
    int result = unix_address(path, &address, &size, &directory);
    if (result >= 0)
        result = begin(way, AF_UNIX, way->is_seqpacket ? SOCK_SEQPACKET : SOCK_STREAM, (struct sockaddr *)&address,
                       size);
    if (result == -EPROTOTYPE && !way->is_seqpacket) {
        way->is_seqpacket = true;
        result = begin(way, AF_UNIX, SOCK_SEQPACKET, (struct sockaddr *)&address, size);
    }
    return result < 0 ? refuse_socket(way, result, ret_error) : result;
}

/* ------------------------------------------------------------------------------ hosts */

struct resolver {
    atomic_int holders;
    struct talk_connect *way; /* the loop's side only */
    char *host, *port;
    int done_fd; /* an eventfd */
    struct loop_fd source;
    struct addrinfo *addresses;
    int code, number; /* of getaddrinfo, and errno */
};

static void resolver_leave(struct resolver *resolver) {
    if (atomic_fetch_sub(&resolver->holders, 1) > 1)
        return;
    fd_close(resolver->done_fd);
    if (resolver->addresses)
        freeaddrinfo(resolver->addresses);
    free(resolver->host);
    free(resolver->port);
    free(resolver);
}

static int look_up(const char *host, const char *port, int flags, struct addrinfo **ret_addresses) {
    const struct addrinfo wanted = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = flags};
    return getaddrinfo(host, port, &wanted, ret_addresses);
}

static void *resolve(void *argument) {
    struct resolver *resolver = argument;
    const uint64_t one = 1;
    resolver->code = look_up(resolver->host, resolver->port, 0, &resolver->addresses);
    resolver->number = errno;
    (void)sys_write(resolver->done_fd, &one, sizeof(one));
    resolver_leave(resolver);
    return NULL;
}

static int refuse_host(const spile_talk *talk, int code, int number, spile_error **ret_error) {
    if (code == EAI_SYSTEM || code == EAI_MEMORY)
        return REFUSE(code == EAI_MEMORY ? ENOMEM : number, "'%s' can't be looked up: %s", talk->endpoint.name,
                      strerror(code == EAI_MEMORY ? ENOMEM : number));
    if (code == EAI_SERVICE)
        return REFUSE(EINVAL, "'%s' is no port: write a number, or a name of /etc/services", talk->endpoint.other);
    return REFUSE(EHOSTUNREACH, "the host '%s' was not found: %s", talk->endpoint.name, gai_strerror(code));
}

static void resolved(struct loop_fd *source, uint32_t events) {
    struct resolver *resolver = CONTAINER_OF(source, struct resolver, source);
    struct talk_connect *way = resolver->way;
    spile_error *error = NULL;
    uint64_t count;
    int result;
    (void)events;
    (void)sys_read(source->fd, &count, sizeof(count)); /* what comes before the thread's word is seen after it */
    loop_fd_remove(source);
    way->resolver = NULL;
    if (resolver->code != 0) {
        result = refuse_host(way->talk, resolver->code, resolver->number, &error);
    } else {
        way->addresses = way->address = TAKE_POINTER(resolver->addresses);
        result = try_addresses(way, &error);
    }
    resolver_leave(resolver);
    if (result != 0)
        connect_done(way, result, error);
}

static int resolver_start(struct talk_connect *way) {
    const spile_talk *talk = way->talk;
    struct resolver *resolver = memory_zero(1, sizeof(*resolver));
    if (!resolver)
        return -ENOMEM;
    resolver->holders = 1;
    resolver->way = way;
    int result = resolver->done_fd = sys_eventfd();
    resolver->host = memory_string(talk->endpoint.name);
    resolver->port = memory_string(talk->endpoint.other);
    if (result >= 0 && (!resolver->host || !resolver->port))
        result = -ENOMEM;
    if (result >= 0)
        result = loop_fd_add(talk->loop, &resolver->source, resolver->done_fd, EPOLLIN, resolved);
    if (result >= 0) {
        pthread_t thread;
        sigset_t all, old;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &old);
        resolver->holders = 2;
        result = sys_thread_create(&thread, resolve, resolver);
        pthread_sigmask(SIG_SETMASK, &old, NULL);
        if (result >= 0)
            pthread_detach(thread);
        else
            resolver->holders = 1;
    }
    if (result < 0) {
        loop_fd_remove(&resolver->source);
        resolver_leave(resolver);
        return result;
    }
    way->resolver = resolver;
    return 0;
}

int socket_connect_tcp(struct talk_connect *way, spile_error **ret_error) {
    const spile_talk *talk = way->talk;
    if (way->addresses)
        return try_addresses(way, ret_error);
    int code = look_up(talk->endpoint.name, talk->endpoint.other, AI_NUMERICHOST | AI_NUMERICSERV, &way->addresses);
    way->address = way->addresses;
    if (code == 0)
        return try_addresses(way, ret_error);
    way->addresses = NULL;
    int result = resolver_start(way);
    return result < 0 ? refuse_socket(way, result, ret_error) : 0;
}

void socket_stop(struct talk_connect *way) {
    loop_fd_remove(&way->socket);
    way->socket_fd = fd_close(way->socket_fd);
    if (way->resolver) {
        loop_fd_remove(&way->resolver->source);
        resolver_leave(TAKE_POINTER(way->resolver));
    }
    if (way->addresses)
        freeaddrinfo(TAKE_POINTER(way->addresses));
}
