/* Runs a program where the system refuses things, as containers and old kernels do, by a seccomp filter:
 *     jail WHAT[,WHAT]... PROGRAM ARGUMENT...
 * namespaces: making any, and entering them; mounts; clone3: unknown; close_range: unknown; memfd; inotify; peeking: at
 * the memory and the system calls of other processes. `docker`: what its default profile refuses of these.
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { NAMESPACE_FLAGS = 0x7e020000 /* each CLONE_NEW... but time */, RULES_MAX = 128 };

static struct sock_filter rules[RULES_MAX];
static unsigned short rule_count;

static void add(unsigned short code, unsigned value, unsigned char if_true, unsigned char if_false) {
    rules[rule_count++] = (struct sock_filter){code, if_true, if_false, value};
}

static void load(size_t offset) {
    add(BPF_LD | BPF_W | BPF_ABS, (unsigned)offset, 0, 0);
}

/* The number of the system call is loaded before and after. */
static void refuse(long call, int number) {
    add(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)call, 0, 1);
    add(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)number, 0, 0);
}

static void refuse_flags(long call) {
    add(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)call, 0, 4);
    load(offsetof(struct seccomp_data, args[0])); /* the lower half, the machine being little-endian */
    add(BPF_JMP | BPF_JSET | BPF_K, NAMESPACE_FLAGS, 0, 1);
    add(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM, 0, 0);
    load(offsetof(struct seccomp_data, nr));
}

static bool wants(const char *list, const char *what) {
    size_t size = strlen(what);
    for (const char *place = list; place; place = strchr(place, ',') ? strchr(place, ',') + 1 : NULL)
        if (strncmp(place, what, size) == 0 && (place[size] == ',' || place[size] == '\0'))
            return true;
    return false;
}

static void make_rules(const char *list) {
    bool is_docker = wants(list, "docker");
    load(offsetof(struct seccomp_data, nr));
    if (is_docker || wants(list, "namespaces")) {
        refuse_flags(SYS_clone);
        refuse_flags(SYS_unshare);
        refuse(SYS_setns, EPERM);
    }
    /* What is in its argument can't be looked at: whoever refuses flags refuses it whole. */
    if (is_docker || wants(list, "namespaces") || wants(list, "clone3"))
        refuse(SYS_clone3, ENOSYS);
    if (is_docker || wants(list, "mounts")) {
        static const long calls[] = {SYS_mount,   SYS_umount2,    SYS_pivot_root, SYS_fsopen,
                                     SYS_fsmount, SYS_move_mount, SYS_open_tree};
        for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++)
            refuse(calls[i], EPERM);
    }
    if (wants(list, "close_range"))
        refuse(SYS_close_range, ENOSYS);
    if (wants(list, "memfd"))
        refuse(SYS_memfd_create, EPERM);
    if (wants(list, "inotify"))
        refuse(SYS_inotify_init1, EMFILE);
    if (wants(list, "peeking")) {
        refuse(SYS_process_vm_readv, EPERM);
        refuse(SYS_ptrace, EPERM);
        refuse(SYS_kcmp, EPERM);
    }
    add(BPF_RET | BPF_K, SECCOMP_RET_ALLOW, 0, 0);
}

int main(int argc, char **argv) {
    if (argc < 3)
        return 2;
    make_rules(argv[1]);
    const struct sock_fprog filter = {.len = rule_count, .filter = rules};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) < 0) {
        perror("jail");
        return 77;
    }
    execvp(argv[2], argv + 2);
    perror(argv[2]);
    return 127;
}
