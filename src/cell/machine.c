/* Looking at the machine: see machine.h. Each thing is tried, not deduced from a version, and undone at once. */
#include "cell/machine.h"
#include "cell/cgroup.h"
#include "cell/promise.h"
#include "cell/tree.h"
#include "proc/exec.h"

#include <stdarg.h>
#include <sys/utsname.h>

#ifndef SYS_clone3
#define SYS_clone3 435
#endif

enum { SMALL_MB = 256, FEW_INSTANCES = 16 };

__attribute__((format(printf, 3, 4))) static void tell(struct machine_finding *finding, bool holds, const char *format,
                                                       ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(finding->text, sizeof(finding->text), format, arguments);
    va_end(arguments);
    finding->holds = holds;
}

__attribute__((format(printf, 2, 3))) static void advise(struct machine_finding *finding, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(finding->cure, sizeof(finding->cure), format, arguments);
    va_end(arguments);
}

/* Of a system call that was tried. */
static void tell_result(struct machine_finding *finding, int result, const char *what) {
    if (result >= 0)
        tell(finding, true, "%s", what);
    else
        tell(finding, false, "%s: refused: %s", what, strerror(-result));
}

/* The number in a file; -1 where there is none. */
static long long number_in(const char *path, const char *word) {
    char text[4096];
    AUTO_FD fd = sys_openat(AT_FDCWD, path, O_RDONLY, 0);
    ssize_t size = fd < 0 ? -1 : sys_read(fd, text, sizeof(text) - 1);
    if (size <= 0)
        return -1;
    text[size] = '\0';
    const char *place = strstr(text, word);
    return place ? strtoll(place + strlen(word), NULL, 10) : -1;
}

void machine_namespace_cure(char *text, size_t size) {
    const char *cure;
    if (number_in("/proc/sys/user/max_user_namespaces", "") == 0)
        cure = "sysctl user.max_user_namespaces=10000";
    else if (number_in("/proc/sys/kernel/unprivileged_userns_clone", "") == 0)
        cure = "sysctl kernel.unprivileged_userns_clone=1";
    else if (number_in("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "") == 1)
        cure = "an AppArmor profile with 'userns,' for spile-cell, or sysctl "
               "kernel.apparmor_restrict_unprivileged_userns=0";
    else if (number_in("/proc/self/status", "\nSeccomp:") > 0)
        cure =
            "a seccomp filter is at work, a container's mostly: allow it namespaces and mounts (docker run "
            "--security-opt seccomp=unconfined --security-opt apparmor=unconfined --cap-add SYS_ADMIN; podman allows "
            "them)";
    else
        cure = "run as root, or as a user who may make user namespaces";
    snprintf(text, size, "%s", cure);
}

static void look_at_kernel(struct machine_finding *finding) {
    struct utsname system;
    int major = 0, minor = 0;
    finding->name = "kernel";
    if (uname(&system) < 0 || sscanf(system.release, "%d.%d", &major, &minor) != 2) {
        tell(finding, false, "the kernel does not say its version");
        return;
    }
    tell(finding, major > 5 || (major == 5 && minor >= 10), "%.30s %.60s as %s; 5.10 is the oldest that is meant to do",
         system.sysname, system.release, geteuid() == 0 ? "root" : "an ordinary user");
    if (!finding->holds)
        advise(finding, "a newer kernel");
}

static void look_at_user_namespaces(struct machine_finding *finding) {
    finding->name = "user_namespaces";
    tell_result(finding, exec_probe(CLONE_NEWUSER), "user namespaces, which ordinary users need for all other kinds");
    if (!finding->holds)
        machine_namespace_cure(finding->cure, sizeof(finding->cure));
}

static void look_at_process_namespaces(struct machine_finding *finding) {
    finding->name = "process_namespaces";
    int result = geteuid() == 0 ? exec_probe(CLONE_NEWPID | CLONE_NEWNS) : -EPERM;
    if (result < 0)
        result = exec_probe(CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS);
    tell_result(finding, result, "process and mount namespaces, in which the kernel ends everything at once");
    if (!finding->holds)
        machine_namespace_cure(finding->cure, sizeof(finding->cure));
}

static void look_at_clone3(struct machine_finding *finding) {
    finding->name = "clone3";
    long result = syscall(SYS_clone3, NULL, (size_t)0);
    bool is_there = result < 0 && errno != ENOSYS && errno != EPERM;
    tell(finding, is_there, is_there ? "clone3 (not needed: clone serves)" : "clone3 is refused; clone serves as well");
}

static void look_at_pidfd(struct machine_finding *finding) {
    finding->name = "pidfd";
    AUTO_FD fd = sys_pidfd_open(getpid());
    tell_result(finding, fd, "process descriptors, without which no program can be started safely");
    if (fd < 0)
        advise(finding, "Linux 5.3 or later, and a seccomp filter that allows pidfd_open");
}

static void look_at_memfd(struct machine_finding *finding) {
    finding->name = "memfd";
    AUTO_FD fd = sys_memfd_create("spile-doctor");
    tell_result(finding, fd, "files in memory without a name, for large command lines");
    if (fd < 0)
        advise(finding, "a seccomp filter that allows memfd_create");
}

static void look_at_inotify(struct machine_finding *finding) {
    finding->name = "inotify";
    AUTO_FD fd = sys_inotify_init();
    long long limit = number_in("/proc/sys/fs/inotify/max_user_instances", "");
    if (fd < 0) {
        tell(finding, false, "inotify, which tells who opens a stream: refused: %s; streams are polled", strerror(-fd));
        advise(finding, "sysctl fs.inotify.max_user_instances=1024, if other programs of this user have all there are");
        return;
    }
    tell(finding, true,
         "inotify, which tells who opens a stream; a user may have %lld instances, each process needs one", limit);
    if (limit >= 0 && limit < FEW_INSTANCES)
        advise(finding, "sysctl fs.inotify.max_user_instances=128");
}

static void look_at_shared_memory(struct machine_finding *finding) {
    struct statfs status;
    struct tree tree;
    finding->name = "shared_memory";
    int result = sys_statfs("/dev/shm", &status);
    unsigned long long size = result < 0 ? 0 : (unsigned long long)status.f_blocks * (unsigned long long)status.f_bsize;
    if (result >= 0)
        result = tree_make(&tree);
    if (result < 0) {
        tell(finding, false, "/dev/shm, for files where there are no mounts of one's own, and for pipes: %s",
             strerror(-result));
        advise(finding, "mount -t tmpfs tmpfs /dev/shm; in a container, make it writable (docker run --shm-size 1g)");
        return;
    }
    bool is_there = strncmp(tree.path, "/dev/shm/", 9) == 0;
    tree_remove(&tree);
    if (!is_there) {
        tell(finding, false, "/dev/shm can't be written; files lie in /tmp where there are no mounts of one's own");
        advise(finding, "mount -o remount,rw /dev/shm");
        return;
    }
    tell(finding, true, "/dev/shm, %llu MB, for files where there are no mounts of one's own, and for pipes",
         size >> 20);
    if (size >> 20 < SMALL_MB)
        advise(finding, "it is small: mount -o remount,size=1g /dev/shm; in a container, docker run --shm-size 1g");
}

static void look_at_control_groups(struct machine_finding *finding) {
    struct cgroups groups = {.killed = -1};
    finding->name = "control_groups";
    unsigned have = cgroups_get(&groups, CGROUP_MEMORY | CGROUP_PROCESSES, 0);
    bool is_unified = groups.count > 0 && groups.items[0].is_unified;
    cgroups_remove(&groups);
    const struct cgroup_refusal *refusal = have & CGROUP_MEMORY ? &groups.refusals.processes : &groups.refusals.memory;
    tell(finding, have == (CGROUP_MEMORY | CGROUP_PROCESSES), "control groups that count memory: %s, processes: %s",
         have & CGROUP_MEMORY ? "yes" : "no", have & CGROUP_PROCESSES ? "yes" : "no");
    size_t size = strlen(finding->text);
    if (finding->holds)
        snprintf(finding->text + size, sizeof(finding->text) - size, " (version %d)", is_unified ? 2 : 1);
    else
        snprintf(finding->text + size, sizeof(finding->text) - size, "; %s: %s", refusal->what,
                 strerror(-refusal->number));
    if (!finding->holds)
        advise(finding, "systemd-run --user --scope COMMAND under systemd, or root; in a container, /sys/fs/cgroup "
                        "writable, in version 2 with COMMAND in a group below one that hands on memory and pids "
                        "(cgroup.subtree_control)");
}

static void look_at_waits(struct machine_finding *finding) {
    finding->name = "waits";
    tell_result(finding, promise_sees_waits(),
                "/proc/PID/syscall, which tells what a program waits for and so proves a standstill");
    if (!finding->holds)
        advise(finding, "a kernel with CONFIG_HAVE_ARCH_TRACEHOOK, /proc mounted, and sysctl kernel.yama.ptrace_scope "
                        "below 3");
}

static void look_at_swap(struct machine_finding *finding) {
    finding->name = "swap_free";
    bool is_free = promise_has_no_swap();
    tell(finding, is_free, is_free ? "no swap: what is in memory stays there" : "this machine swaps");
    if (!is_free)
        advise(finding, "swapoff -a; or root on Linux 6.4 or later, where the files of a call are kept out of it");
}

size_t machine_look(struct machine_finding findings[MACHINE_FINDINGS]) {
    static void (*const looks[])(struct machine_finding * finding) = {
        look_at_kernel, look_at_user_namespaces, look_at_process_namespaces, look_at_clone3,         look_at_pidfd,
        look_at_memfd,  look_at_inotify,         look_at_shared_memory,      look_at_control_groups, look_at_waits,
        look_at_swap,
    };
    static_assert(ARRAY_SIZE(looks) <= MACHINE_FINDINGS, "there is room for all");
    for (size_t i = 0; i < ARRAY_SIZE(looks); i++) {
        findings[i] = (struct machine_finding){0};
        looks[i](&findings[i]);
    }
    return ARRAY_SIZE(looks);
}
