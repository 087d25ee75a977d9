/* The smallest program that does what file-based programs do: reads argv[1], at most 12 KB, and writes it to argv[2].
 * Without arguments it ends at once: that is the unit of all measurements.
 *
 * On x86-64 it goes without a C library, whose own start (in a virtual machine ten times the rest, as each CPUID leaves
 * the guest) would hide what is measured.
 */
#include <fcntl.h>
#include <stddef.h>
#include <unistd.h>

static char buffer[12 * 1024];

#ifdef __x86_64__
#include <sys/syscall.h>

static long call_kernel(long number, long first, long second, long third) {
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(first), "S"(second), "d"(third)
                     : "rcx", "r11", "memory");
    return result;
}
#define open(path, flags, mode) (int)call_kernel(SYS_open, (long)(path), flags, mode)
#define read(fd, data, size) call_kernel(SYS_read, fd, (long)(data), (long)(size))
#define write(fd, data, size) call_kernel(SYS_write, fd, (long)(data), (long)(size))
#endif

static int copy(const char *from, const char *to) {
    int in = open(from, O_RDONLY | O_CLOEXEC, 0);
    long size = 0, got = in < 0 ? -1 : 1;
    while (got > 0 && size < (long)sizeof(buffer)) { /* a pipe may bring it in pieces */
        got = read(in, buffer + size, sizeof(buffer) - (unsigned long)size);
        size += got > 0 ? got : 0;
    }
    if (got < 0)
        return 1;
    int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    return out < 0 || write(out, buffer, (size_t)size) != size ? 2 : 0;
}

#ifdef __x86_64__
__attribute__((used)) static void begin(const long *stack) {
    /* What the kernel puts there: argc, then argv. */
    const char *const *argv = (const char *const *)(stack + 1);
    call_kernel(SYS_exit_group, stack[0] < 3 ? 0 : copy(argv[1], argv[2]), 0, 0);
}
__asm__(".globl _start\n_start: mov %rsp, %rdi\n and $-16, %rsp\n call begin\n");
#else
int main(int argc, char **argv) {
    return argc < 3 ? 0 : copy(argv[1], argv[2]);
}
#endif
