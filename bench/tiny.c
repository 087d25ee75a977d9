/* The smallest program that does what file-based programs do: reads argv[1], at most 12 KB, and writes it to argv[2].
 * Without arguments it ends at once: that is the unit of all measurements. */
#include <fcntl.h>
#include <unistd.h>

int main(int argc, char **argv) {
    static char buffer[12 * 1024];
    if (argc < 3)
        return 0;
    int in = open(argv[1], O_RDONLY | O_CLOEXEC);
    ssize_t size = in < 0 ? -1 : read(in, buffer, sizeof(buffer));
    if (size < 0)
        return 1;
    int out = open(argv[2], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (out < 0 || write(out, buffer, (size_t)size) != size || close(out) < 0)
        return 2;
    return 0;
}
