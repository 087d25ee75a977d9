/* Child programs, on a terminal of their own or on pipes: see talk.h.
 *
 * A child lives in a cell of its own whose supervisor collects and kills all that comes of it, also when the host is
 * killed; without namespaces, since a conversation is with a program of this system (sudo, gdb, ssh must be what they
 * are). The object outlives its talk until the cell is gone. */
#include "cell/cell.h"
#include "talk/connect.h"

#include <sys/ioctl.h>

enum child_state {
    CHILD_LEASING,  /* the cell is to come */
    CHILD_STARTING, /* `started` or `failed` is to come */
    CHILD_RUNNING,
    CHILD_ENDED,   /* it exited, or never was */
    CHILD_LEAVING, /* the talk is done with it; `released` is to come */
};

struct talk_child {
    enum child_state state;
    spile_talk *talk;      /* NULL: left */
    struct loop_user user; /* the loop must turn until it is gone */
    spile_ctx *ctx;
    struct cell *cell;
    struct cell_owner owner;
    struct proc proc;
    int ends[3]; /* the child's standard streams; ends[2] may be the host's own */
    int ours[2]; /* read, write; the same for a terminal */
    char *path, *cwd;
    char **env;
    size_t env_count;
};

static void set_state(struct talk_child *child, enum child_state state) {
    static const unsigned steps[] = {
        [CHILD_LEASING] = 1u << CHILD_STARTING | 1u << CHILD_ENDED | 1u << CHILD_LEAVING,
        [CHILD_STARTING] = 1u << CHILD_RUNNING | 1u << CHILD_ENDED | 1u << CHILD_LEAVING,
        [CHILD_RUNNING] = 1u << CHILD_ENDED | 1u << CHILD_LEAVING,
        [CHILD_ENDED] = 1u << CHILD_LEAVING,
        [CHILD_LEAVING] = 0,
    };
    assert(steps[child->state] & 1u << state);
    child->state = state;
}

static void close_ends(struct talk_child *child) {
    if (child->ends[1] != child->ends[0])
        fd_close(child->ends[1]);
    fd_close(child->ends[0]); /* ends[2] is one of these, or the host's */
    child->ends[0] = child->ends[1] = child->ends[2] = -1;
}

static void close_ours(struct talk_child *child) {
    if (child->ours[1] != child->ours[0])
        fd_close(child->ours[1]);
    fd_close(child->ours[0]);
    child->ours[0] = child->ours[1] = -1;
}

static void child_free(struct talk_child *child) {
    close_ends(child);
    close_ours(child);
    loop_leave(&child->user);
    spile_ctx_free(child->ctx);
    for (size_t i = 0; i < child->env_count; i++)
        free(child->env[i]);
    free(child->env);
    free(child->path);
    free(child->cwd);
    free(child);
}

/* ------------------------------------------------------------------------------ what to start */

static int add_variable(struct talk_child *child, size_t *capacity, const char *variable) {
    const size_t size = strcspn(variable, "=");
    for (size_t i = 0; child->env && i < child->env_count; i++)
        if (child->env[i] && strncmp(child->env[i], variable, size) == 0 && child->env[i][size] == '=') {
            free(child->env[i]);
            child->env[i] = child->env[--child->env_count];
            child->env[child->env_count] = NULL;
            break;
        }
    if (variable[size] != '=')
        return 0; /* a removal */
    int result = ARRAY_RESERVE(child->env, child->env_count + 1, *capacity);
    if (result < 0)
        return result;
    char *copy = memory_string(variable);
    if (!copy)
        return -ENOMEM;
    child->env[child->env_count++] = copy;
    child->env[child->env_count] = NULL;
    return 0;
}

static int make_environment(struct talk_child *child) {
    const spile_talk_options *options = &child->talk->options;
    size_t capacity = 0;
    int result = ARRAY_RESERVE(child->env, 1, capacity);
    if (result < 0)
        return result;
    child->env[0] = NULL;
    bool is_whole = options->env && options->env_mode == SPILE_ENV_REPLACE;
    for (char **variable = is_whole ? NULL : environ; variable && *variable && result >= 0; variable++)
        result = add_variable(child, &capacity, *variable);
    if (result >= 0 && !is_whole && child->talk->endpoint.kind == ENDPOINT_PTY)
        result = add_variable(child, &capacity, "TERM=dumb");
    for (const char *const *variable = options->env; variable && *variable && result >= 0; variable++)
        result = add_variable(child, &capacity, *variable);
    return result;
}

static const char *path_variable(const struct talk_child *child) {
    for (size_t i = 0; child->env && i < child->env_count; i++)
        if (child->env[i] && strncmp(child->env[i], "PATH=", 5) == 0)
            return child->env[i] + 5;
    return "/bin:/usr/bin";
}

static int try_program(const char *path) {
    struct stat status;
    int result = sys_fstatat(AT_FDCWD, path, &status, 0);
    if (result < 0)
        return result;
    return S_ISDIR(status.st_mode) ? -EISDIR : sys_faccessat(AT_FDCWD, path, X_OK, AT_EACCESS);
}

static int find_program(struct talk_child *child, const char *word) {
    int worst = -ENOENT;
    bool has_slash = strchr(word, '/');
    const char *place = has_slash ? "" : path_variable(child);
    for (; place; place = strchr(place, ':') ? strchr(place, ':') + 1 : NULL) {
        AUTO_TEXT path = {0};
        text_add(&path, place, strcspn(place, ":"));
        if (path.size == 0 && *word != '/')
            text_puts(&path, child->cwd); /* from the caller's directory, whatever the child's is */
        if (path.size > 0)
            text_puts(&path, "/");
        text_puts(&path, word);
        if (path.failed)
            return -ENOMEM;
        int result = try_program(path.data);
        if (result == 0) {
            child->path = text_take(&path);
            return child->path ? 0 : -ENOMEM;
        }
        if (result != -ENOENT && result != -ENOTDIR && result != -EACCES)
            worst = result;
        if (result == -EACCES && sys_faccessat(AT_FDCWD, path.data, F_OK, AT_EACCESS) >= 0)
            worst = result;
    }
    return worst;
}

static int refuse_program(const spile_talk *talk, int result, spile_error **ret_error) {
    const char *word = talk->options.argv ? talk->options.argv[0] : talk->endpoint.words[0];
    bool is_missing = result == -ENOENT || result == -ENOTDIR;
    return error_set(ret_error, is_missing ? SPILE_ERROR_NOT_FOUND : SPILE_ERROR_NOT_EXECUTABLE, -result,
                     is_missing ? "'%s' was not found: check the spelling, or install the package it comes in%.0s"
                                : "'%s' can't be started: %s",
                     word, strerror(-result));
}

/* ------------------------------------------------------------------------------ terminals and pipes */

static int set_terminal(int fd, const spile_talk_options *options) {
    struct termios modes;
    const struct winsize size = {.ws_col = (unsigned short)(options->columns ? options->columns : 80),
                                 .ws_row = (unsigned short)(options->rows ? options->rows : 24)};
    if (options->cooked)
        return sys_ioctl(fd, TIOCSWINSZ, &size);
    int result = sys_tcgetattr(fd, &modes);
    if (result < 0)
        return result;
    if (!options->terminal_echo)
        modes.c_lflag &= ~(tcflag_t)(ECHO | ECHOE | ECHOK | ECHONL | ECHOCTL | ECHOKE);
    modes.c_oflag &= ~(tcflag_t)ONLCR;
    modes.c_iflag &= ~(tcflag_t)(IXON | IXOFF);
    modes.c_iflag |= IUTF8;
    result = sys_tcsetattr(fd, &modes);
    return result < 0 ? result : sys_ioctl(fd, TIOCSWINSZ, &size);
}

static int make_terminal(struct talk_child *child) {
    int unlock = 0;
    AUTO_FD master = sys_openat(AT_FDCWD, "/dev/ptmx", O_RDWR | O_NONBLOCK | O_NOCTTY, 0);
    if (master < 0)
        return master;
    int result = sys_ioctl(master, TIOCSPTLCK, &unlock);
    if (result < 0)
        return result;
    AUTO_FD slave = sys_ioctl(master, TIOCGPTPEER, (void *)(intptr_t)(O_RDWR | O_NOCTTY | O_CLOEXEC));
    if (slave < 0)
        return slave;
    result = set_terminal(slave, &child->talk->options);
    if (result < 0)
        return result;
    child->ours[0] = child->ours[1] = TAKE_FD(master);
    child->ends[0] = child->ends[1] = child->ends[2] = TAKE_FD(slave);
    return 0;
}

static int make_pipes(struct talk_child *child) {
    int in[2], out[2];
    int result = sys_pipe2(in, 0);
    if (result < 0)
        return result;
    child->ends[0] = in[0];
    child->ours[1] = in[1];
    result = sys_pipe2(out, 0);
    if (result < 0)
        return result;
    child->ours[0] = out[0];
    child->ends[1] = out[1];
    child->ends[2] = child->talk->options.standard_error == SPILE_STDIO_NULL ? -1 : 2;
    for (int i = 0; i < 2 && result >= 0; i++)
        result = sys_fcntl(child->ours[i], F_SETFL, O_NONBLOCK);
    return result;
}

/* ------------------------------------------------------------------------------ its life */

static struct talk_child *child_of(struct cell_owner *owner) {
    return CONTAINER_OF(owner, struct talk_child, owner);
}

static void fail(struct talk_child *child, int result, spile_error *error) {
    set_state(child, CHILD_ENDED);
    if (!child->talk) {
        spile_error_free(error);
        return;
    }
    connect_done(child->talk->connect, result, error);
}

static void started(struct proc *proc, int64_t pid) {
    struct talk_child *child = CONTAINER_OF(proc, struct talk_child, proc);
    spile_talk *talk = child->talk;
    close_ends(child);
    if (child->state != CHILD_STARTING)
        return;
    set_state(child, CHILD_RUNNING);
    bool is_terminal = talk->endpoint.kind == ENDPOINT_PTY;
    talk->pid = pid;
    talk->has_exited = false;
    talk->channel = (struct talk_channel){.in_fd = child->ours[0],
                                          .out_fd = child->ours[1],
                                          .out_is_pipe = !is_terminal,
                                          .is_terminal = is_terminal,
                                          .is_master = is_terminal};
    child->ours[0] = child->ours[1] = -1;
    connect_done(talk->connect, 1, NULL);
}

static void failed(struct proc *proc, enum proc_stage stage, int number) {
    struct talk_child *child = CONTAINER_OF(proc, struct talk_child, proc);
    spile_error *error = NULL, **place = &error;
    close_ends(child);
    if (child->state != CHILD_STARTING)
        return;
    if (stage == PROC_STAGE_EXEC)
        refuse_program(child->talk, -number, place);
    else
        error_set(place, SPILE_ERROR_SYSTEM, number, "the program of '%s' was not started: it failed to %s: %s",
                  child->talk->endpoint.text, proc_stage_name(stage), strerror(number));
    fail(child, -number, error);
}

static void note_exit(spile_talk *talk) {
    char status[32];
    bool is_killed = WIFSIGNALED(talk->status);
    snprintf(status, sizeof(status), is_killed ? "by signal %d" : "with status %d",
             is_killed ? WTERMSIG(talk->status) : WEXITSTATUS(talk->status));
    transcript_event(talk->transcript, "exited", status);
}

static void exited(struct proc *proc, int status, const struct proc_usage *usage, bool alone) {
    struct talk_child *child = CONTAINER_OF(proc, struct talk_child, proc);
    (void)usage;
    (void)alone;
    if (child->state != CHILD_RUNNING)
        return;
    set_state(child, CHILD_ENDED);
    spile_talk *talk = child->talk;
    talk->has_exited = true;
    talk->status = status;
    talk->news |= SPILE_TALK_EXITED;
    note_exit(talk);
    loss_child_exited(talk);
    channel_tell(talk);
}

static void gone(struct proc *proc) {
    (void)proc;
}

static int spawn(struct talk_child *child) {
    spile_talk *talk = child->talk;
    const char *const *argv = talk->options.argv ? talk->options.argv : (const char *const *)talk->endpoint.words;
    bool is_terminal = talk->endpoint.kind == ENDPOINT_PTY;
    const struct proc_spec spec = {
        .path = child->path,
        .argv = (char *const *)argv,
        .envp = child->env,
        .cwd = talk->options.cwd ? talk->options.cwd : child->cwd,
        .stdio = {child->ends[0], child->ends[1], child->ends[2]},
        .flags = PROC_NEW_SESSION | (is_terminal ? PROC_CONTROL_TERMINAL : 0),
    };
    child->proc = (struct proc){.started = started, .failed = failed, .exited = exited, .gone = gone};
    int result = cell_spawn(child->cell, &spec, &child->proc);
    if (result >= 0)
        set_state(child, CHILD_STARTING);
    return result;
}

static void ready(struct cell_owner *owner, spile_error *error) {
    struct talk_child *child = child_of(owner);
    if (error) {
        child->cell = NULL;
        if (child->state == CHILD_LEAVING) {
            spile_error_free(error);
            child_free(child);
            return;
        }
        fail(child, error_kind_errno(error->kind, error->number), error);
        return;
    }
    if (child->state != CHILD_LEASING)
        return;
    int result = spawn(child);
    if (result < 0)
        fail(child, result, NULL);
}

static void broken(struct cell_owner *owner, spile_error *error) {
    (void)owner; /* its program is dead, which it was told */
    spile_error_free(error);
}

static void released(struct cell_owner *owner) {
    child_free(child_of(owner));
}

static void nothing(struct loop_user *user) {
    (void)user;
}

static int prepare(struct talk_child *child) {
    const spile_talk *talk = child->talk;
    const spile_ctx_options options = {
        .size = sizeof(options), .containment = SPILE_CONTAINMENT_REAPER, .idle_cells = 1};
    const char *word = talk->options.argv ? talk->options.argv[0] : talk->endpoint.words[0];
    child->cwd = SYS_FAULT(FAULT_ACQUIRE, "getcwd") ? (errno = ENOMEM, NULL) : getcwd(NULL, 0);
    if (!child->cwd)
        return -errno;
    int result = make_environment(child);
    if (result >= 0)
        result = find_program(child, word);
    if (result >= 0)
        result = talk->endpoint.kind == ENDPOINT_PTY ? make_terminal(child) : make_pipes(child);
    return result < 0 ? result : spile_ctx_new(&options, &child->ctx);
}

int child_start(spile_talk *talk, spile_error **ret_error) {
    static const struct cell_wants wants;
    child_leave(talk); /* of an attempt before */
    struct talk_child *child = memory_zero(1, sizeof(*child));
    if (!child)
        return -ENOMEM;
    *child = (struct talk_child){.talk = talk,
                                 .ends = {-1, -1, -1},
                                 .ours = {-1, -1},
                                 .owner = {.ready = ready, .broken = broken, .released = released},
                                 .user = {.woken = nothing, .cancel = nothing}};
    int result = prepare(child);
    if (result < 0) {
        if (!child->path && child->env_count > 0 && result != -ENOMEM)
            refuse_program(talk, result, ret_error);
        else if (!child->cwd && result == -ENOENT)
            error_set(ret_error, SPILE_ERROR_SYSTEM, ENOENT,
                      "the program of '%s' is started in the current directory, which is gone: change to one that "
                      "exists",
                      talk->endpoint.text);
        child_free(child);
        return result;
    }
    loop_join(talk->loop, &child->user);
    talk->child = child;
    result = cell_lease(child->ctx, talk->loop, &child->owner, &wants, &child->cell);
    if (result > 0)
        result = spawn(child);
    if (result < 0)
        child_leave(talk);
    return result;
}

void child_leave(spile_talk *talk) {
    struct talk_child *child = TAKE_POINTER(talk->child);
    if (!child)
        return;
    child->talk = NULL;
    close_ours(child);
    set_state(child, CHILD_LEAVING);
    if (cell_release(child->cell) > 0)
        child_free(child);
}

void child_abandon(spile_talk *talk) {
    struct talk_child *child = TAKE_POINTER(talk->child);
    if (!child)
        return;
    close_ends(child);
    close_ours(child);
}
