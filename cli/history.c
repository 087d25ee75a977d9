/* Lines that were said at a terminal, a line each, the latest last. Each is added at once, so that neither another talk
 * nor an end by force loses any; a file that has grown long is cut when it is read. */
#include "interactive.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { KEPT = 1000, CUT_AT = 2 * KEPT };

const char *history_path(const struct talk_command *command) {
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    if (command->no_history)
        return NULL;
    if (command->history)
        return command->history;
    if (state && *state == '/')
        return allocate_format("%s/spile/talk_history", state);
    return home && *home == '/' ? allocate_format("%s/.local/state/spile/talk_history", home) : NULL;
}

/* The last ones are written to a file beside it, which takes its place. */
static void cut(const char *path, char *const *lines, size_t count) {
    const char *beside = allocate_format("%s.%d", path, (int)getpid());
    int fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return;
    struct builder text = {0};
    for (size_t i = count - KEPT; i < count; i++)
        builder_printf(&text, "%s\n", lines[i]);
    int result = write_all(fd, text.data, text.size);
    (void)close(fd);
    if (result < 0 || rename(beside, path) < 0)
        (void)unlink(beside);
}

void history_load(const char *path, void (*add)(void *user, const char *line), void *user) {
    LIST_OF(char *) lines = {0};
    char *line = NULL;
    size_t capacity = 0;
    FILE *file = fopen(path, "re");
    if (!file)
        return;
    for (ssize_t size; (size = getline(&line, &capacity, file)) > 0;)
        *LIST_ADD(lines) = allocate_copy(line, (size_t)size - (line[size - 1] == '\n'));
    free(line);
    (void)fclose(file);
    for (size_t i = lines.count > KEPT ? lines.count - KEPT : 0; i < lines.count; i++)
        add(user, lines.items[i]);
    if (lines.count >= CUT_AT)
        cut(path, lines.items, lines.count);
}

static void make_directories(const char *path) {
    char *copy = allocate_copy(path, strlen(path));
    for (char *slash = strchr(copy + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void)mkdir(copy, 0700);
        *slash = '/';
    }
}

int history_append(const char *path, const char *line) {
    enum { HOW = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC };
    int fd = open(path, HOW, 0600); /* O_CLOEXEC is in HOW */
    if (fd < 0 && errno == ENOENT) {
        make_directories(path);
        fd = open(path, HOW, 0600); /* O_CLOEXEC is in HOW */
    }
    if (fd < 0)
        return -errno;
    static struct builder text;
    text.size = 0;
    builder_printf(&text, "%s\n", line);
    int result = write_all(fd, text.data, text.size);
    (void)close(fd);
    return result;
}
