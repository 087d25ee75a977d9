/* A program whose words are half as wide, built without any library: starts `cat`, says that it is ready, and waits for
 * it. In a wide program the number and the arguments of that call are those of a poll of nothing, without a time-out.
 */
static const char path[] = "/bin/cat";

static int call(int number, int first, const void *second, const void *third) {
    int result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(first), "c"(second), "d"(third) : "memory");
    return result;
}

void _start(void);
void _start(void) {
    static const char *const argv[] = {path, 0};
    static const char *const envp[] = {0};
    if (call(2, 0, 0, 0) == 0)                 /* fork */
        call(11, (int)path, argv, envp);       /* execve */
    call(4, 1, path, (const void *)1);         /* write */
    call(7, -1, 0, (const void *)0xc0000000u); /* waitpid, for every kind of child */
    call(1, 0, 0, 0);                          /* exit */
}
