/* The only door to the system calls and allocations that tests make fail.
 *
 * Each sys_x(...) is x(...) that returns >= 0 or a negative errno (memory_* return NULL). In a build with SPILE_FAULTS
 * every use is a fault point, addressed by its place in the source and how often it was passed; a plan in shared
 * memory, which children and the supervisor obey too, says which one fails (see fault.h). Three classes: acquire fails
 * without effect; transfer is interrupted, would block, is short, or fails; release always takes effect, and may
 * then report an error.
 */
#pragma once

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>
#ifndef __GLIBC__
#include <linux/stat.h> /* struct statx, which musl has only since 1.2.4 */
#ifndef AT_STATX_DONT_SYNC
#define AT_STATX_DONT_SYNC 0x4000
#endif
#endif

#ifdef SPILE_FAULTS
#include "base/fault.h"
#define SYS_FAULT(class, name)                                                       \
    ({                                                                               \
        static struct fault_site fault_site_ = {class, name, __FILE__, __LINE__, 0}; \
        fault_point(&fault_site_);                                                   \
    })
#else
#define SYS_FAULT(class, name) 0
#endif

#define SYS_RESULT(value) ((value) < 0 ? -errno : (value))

#define SYS_ACQUIRE(name, call)                          \
    ({                                                   \
        int fault_ = SYS_FAULT(FAULT_ACQUIRE, name);     \
        __typeof__(call) result_ = fault_ ? -1 : (call); \
        fault_ ? -fault_ : SYS_RESULT(result_);          \
    })
/* `count` is the length that a short transfer cuts to one. */
#define SYS_TRANSFER(name, count, call)                                     \
    ({                                                                      \
        int fault_ = SYS_FAULT(FAULT_TRANSFER, name);                       \
        size_t count_ = fault_ == FAULT_SHORT && (count) > 1 ? 1 : (count); \
        (void)count_;                                                       \
        ssize_t result_ = fault_ > 0 ? -1 : (ssize_t)(call);                \
        fault_ > 0 ? -(ssize_t)fault_ : SYS_RESULT(result_);                \
    })
#define SYS_RELEASE(name, call)                      \
    ({                                               \
        int fault_ = SYS_FAULT(FAULT_RELEASE, name); \
        __typeof__(call) result_ = (call);           \
        fault_ ? -fault_ : SYS_RESULT(result_);      \
    })
#ifndef SPILE_FAULTS
#define FAULT_SHORT (-1)
#endif

/* As getdents64(2) fills them in. */
struct sys_entry {
    uint64_t inode;
    int64_t offset;
    unsigned short size;
    unsigned char type;
    char name[];
};

/* acquire */
#define sys_openat(dir, path, flags, mode) SYS_ACQUIRE("openat", openat(dir, path, (flags) | O_CLOEXEC, mode))
#define sys_mkdirat(dir, path, mode) SYS_ACQUIRE("mkdirat", mkdirat(dir, path, mode))
#define sys_mkfifoat(dir, path, mode) SYS_ACQUIRE("mkfifoat", mkfifoat(dir, path, mode))
#define sys_linkat(odir, old, ndir, new, flags) SYS_ACQUIRE("linkat", linkat(odir, old, ndir, new, flags))
#define sys_renameat(odir, old, ndir, new) SYS_ACQUIRE("renameat", renameat(odir, old, ndir, new))
#define sys_readlinkat(dir, path, buffer, size) SYS_ACQUIRE("readlinkat", readlinkat(dir, path, buffer, size))
#define sys_fchmod(fd, mode) SYS_ACQUIRE("fchmod", fchmod(fd, mode))
#define sys_fchmodat(dir, path, mode) SYS_ACQUIRE("fchmodat", fchmodat(dir, path, mode, 0))
#define sys_futimens(fd, times) SYS_ACQUIRE("futimens", futimens(fd, times))
#define sys_fstat(fd, status) SYS_ACQUIRE("fstat", fstat(fd, status))
#define sys_fstatat(dir, path, status, flags) SYS_ACQUIRE("fstatat", fstatat(dir, path, status, flags))
#define sys_statx(dir, path, flags, status) \
    SYS_ACQUIRE("statx", (int)syscall(SYS_statx, dir, path, flags, STATX_BASIC_STATS, status))
/* Of what stands in /proc: never asks another file system, which could wait for the very process that is looked at. */
#define sys_statx_cached(dir, path, flags, status) \
    SYS_ACQUIRE("statx", (int)syscall(SYS_statx, dir, path, (flags) | AT_STATX_DONT_SYNC, STATX_BASIC_STATS, status))
#define sys_openat2(dir, path, how) SYS_ACQUIRE("openat2", (int)syscall(SYS_openat2, dir, path, how, sizeof(*(how))))
#define sys_process_vm_readv(pid, ours, theirs) \
    SYS_ACQUIRE("process_vm_readv", process_vm_readv(pid, ours, 1, theirs, 1, 0))
#define sys_faccessat(dir, path, mode, flags) SYS_ACQUIRE("faccessat", faccessat(dir, path, mode, flags))
#define sys_statfs(path, status) SYS_ACQUIRE("statfs", statfs(path, status))
#define sys_fstatfs(fd, status) SYS_ACQUIRE("fstatfs", fstatfs(fd, status))
#define sys_flistxattr(fd, list, size) SYS_ACQUIRE("flistxattr", flistxattr(fd, list, size))
#define sys_getdents(fd, buffer, size) SYS_ACQUIRE("getdents", (ssize_t)syscall(SYS_getdents64, fd, buffer, size))
#define sys_lseek(fd, offset, whence) SYS_ACQUIRE("lseek", lseek(fd, offset, whence))
#define sys_dup_cloexec(fd, lowest) SYS_ACQUIRE("dup", fcntl(fd, F_DUPFD_CLOEXEC, lowest))
#define sys_fcntl(fd, command, argument) SYS_ACQUIRE("fcntl", fcntl(fd, command, argument))
#define sys_ioctl(fd, request, argument) SYS_ACQUIRE("ioctl", ioctl(fd, request, argument))
#define sys_tcgetattr(fd, modes) SYS_ACQUIRE("tcgetattr", tcgetattr(fd, modes))
#define sys_tcsetattr(fd, modes) SYS_ACQUIRE("tcsetattr", tcsetattr(fd, TCSANOW, modes))
#define sys_socket(family, type) SYS_ACQUIRE("socket", socket(family, (type) | SOCK_CLOEXEC, 0))
#define sys_connect(fd, address, size) SYS_ACQUIRE("connect", connect(fd, address, size))
#define sys_getsockopt(fd, level, name, value, size) SYS_ACQUIRE("getsockopt", getsockopt(fd, level, name, value, size))
#define sys_setsockopt(fd, level, name, value, size) SYS_ACQUIRE("setsockopt", setsockopt(fd, level, name, value, size))
#define sys_flock(fd, operation) SYS_ACQUIRE("flock", flock(fd, operation))
#define sys_pipe2(fds, flags) SYS_ACQUIRE("pipe2", pipe2(fds, (flags) | O_CLOEXEC))
#define sys_socketpair(type, fds) SYS_ACQUIRE("socketpair", socketpair(AF_UNIX, (type) | SOCK_CLOEXEC, 0, fds))
#define sys_memfd_create(name) SYS_ACQUIRE("memfd_create", memfd_create(name, MFD_CLOEXEC))
#define sys_eventfd() SYS_ACQUIRE("eventfd", eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK))
#define sys_timerfd_create() SYS_ACQUIRE("timerfd_create", timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK))
#define sys_timerfd_settime(fd, flags, value) SYS_ACQUIRE("timerfd_settime", timerfd_settime(fd, flags, value, NULL))
#define sys_epoll_create() SYS_ACQUIRE("epoll_create", epoll_create1(EPOLL_CLOEXEC))
#define sys_epoll_add(epoll, fd, event) SYS_ACQUIRE("epoll_add", epoll_ctl(epoll, EPOLL_CTL_ADD, fd, event))
#define sys_epoll_mod(epoll, fd, event) SYS_ACQUIRE("epoll_mod", epoll_ctl(epoll, EPOLL_CTL_MOD, fd, event))
#define sys_inotify_init() SYS_ACQUIRE("inotify_init", inotify_init1(IN_CLOEXEC | IN_NONBLOCK))
#define sys_inotify_add(fd, path, mask) SYS_ACQUIRE("inotify_add_watch", inotify_add_watch(fd, path, mask))
#define sys_pidfd_open(pid) SYS_ACQUIRE("pidfd_open", (int)syscall(SYS_pidfd_open, pid, 0))
/* ThreadSanitizer takes every clone for a fork, which it gives up after; its interceptor is passed by. */
#ifdef __SANITIZE_THREAD__
int __clone(int (*function)(void *), void *stack, int flags, void *argument, ...);
#define SYS_CLONE __clone
#else
#define SYS_CLONE clone
#endif
#define sys_clone(function, stack, flags, argument, ret_pidfd) \
    SYS_ACQUIRE("clone", SYS_CLONE(function, stack, flags, argument, ret_pidfd))
/* These run between clone and exec, where an interceptor of a sanitizer would note it as the parent's doing. */
#define sys_raw_dup(from, to) SYS_ACQUIRE("dup3", (int)syscall(SYS_dup3, from, to, 0))
#define sys_raw_open(path, flags) SYS_ACQUIRE("openat", (int)syscall(SYS_openat, AT_FDCWD, path, (flags) | O_CLOEXEC))
#define sys_chdir(path) SYS_ACQUIRE("chdir", chdir(path))
/* A file of the kernel's own, which takes all or nothing. */
#define sys_write_control(fd, text, size) SYS_ACQUIRE("write_control", (int)write(fd, text, size))
#define sys_unshare(flags) SYS_ACQUIRE("unshare", unshare(flags))
#define sys_setsid() SYS_ACQUIRE("setsid", setsid())
/* Of a session's first process: descriptor `fd` becomes what hangs it up, and what its terminal's keys interrupt. */
#define sys_raw_control(fd) SYS_ACQUIRE("TIOCSCTTY", (int)syscall(SYS_ioctl, fd, TIOCSCTTY, 0))
#define sys_setrlimit(resource, limit) SYS_ACQUIRE("setrlimit", setrlimit(resource, limit))
#define sys_execve(path, argv, envp) SYS_ACQUIRE("execve", execve(path, argv, envp))
#define sys_close_range(first, last, flags) \
    SYS_ACQUIRE("close_range", (int)syscall(SYS_close_range, first, last, flags))
#define sys_mount(source, target, type, flags, data) SYS_ACQUIRE("mount", mount(source, target, type, flags, data))
#define sys_signalfd(mask) SYS_ACQUIRE("signalfd", signalfd(-1, mask, SFD_CLOEXEC | SFD_NONBLOCK))
#define sys_thread_create(thread, function, argument)                                        \
    ({                                                                                       \
        int thread_fault_ = SYS_FAULT(FAULT_ACQUIRE, "pthread_create");                      \
        -(thread_fault_ ? thread_fault_ : pthread_create(thread, NULL, function, argument)); \
    })
#define sys_getaffinity(thread, set) \
    SYS_ACQUIRE("sched_getaffinity", (int)syscall(SYS_sched_getaffinity, thread, sizeof(*(set)), set))
#define sys_setaffinity(thread, set) \
    SYS_ACQUIRE("sched_setaffinity", (int)syscall(SYS_sched_setaffinity, thread, sizeof(*(set)), set))
#define sys_mkdtemp(path) SYS_ACQUIRE("mkdtemp", mkdtemp(path) ? 0 : -1)
#define sys_fdopendir(fd) (SYS_FAULT(FAULT_ACQUIRE, "fdopendir") ? (errno = ENOMEM, (DIR *)NULL) : fdopendir(fd))
#define sys_mmap(size, protection, flags, fd, offset) \
    (SYS_FAULT(FAULT_ACQUIRE, "mmap") ? (errno = ENOMEM, MAP_FAILED) : mmap(NULL, size, protection, flags, fd, offset))

#define sys_mremap(memory, size, wanted) \
    (SYS_FAULT(FAULT_ACQUIRE, "mremap") ? (errno = ENOMEM, MAP_FAILED) : mremap(memory, size, wanted, MREMAP_MAYMOVE))
#define sys_madvise(memory, size, advice) SYS_ACQUIRE("madvise", madvise(memory, size, advice))

/* transfer */
#define sys_read(fd, buffer, size) SYS_TRANSFER("read", size, read(fd, buffer, count_))
#define sys_write(fd, buffer, size) SYS_TRANSFER("write", size, write(fd, buffer, count_))
#define sys_pread(fd, buffer, size, offset) SYS_TRANSFER("pread", size, pread(fd, buffer, count_, offset))
#define sys_recv(fd, buffer, size, flags) SYS_TRANSFER("recv", size, recv(fd, buffer, count_, flags))
#define sys_send(fd, buffer, size, flags) SYS_TRANSFER("send", size, send(fd, buffer, count_, (flags) | MSG_NOSIGNAL))
#define sys_sendfile(out, in, offset, size) SYS_TRANSFER("sendfile", size, sendfile(out, in, offset, count_))
#define sys_tee(in, out, size) SYS_TRANSFER("tee", size, tee(in, out, count_, SPLICE_F_NONBLOCK))
#define sys_splice(in, out, size, flags) SYS_TRANSFER("splice", size, splice(in, NULL, out, NULL, count_, flags))
#define sys_splice_file(in, offset, out, size, flags) \
    SYS_TRANSFER("splice", size, splice(in, offset, out, NULL, count_, flags))
/* Messages are whole or not at all: never short. */
#define sys_recv_packet(fd, buffer, size, flags) SYS_TRANSFER("recv", 0, recv(fd, buffer, size, flags))
#define sys_send_packet(fd, buffer, size, flags) SYS_TRANSFER("send", 0, send(fd, buffer, size, (flags) | MSG_NOSIGNAL))
#define sys_recvmsg(fd, message, flags) SYS_TRANSFER("recvmsg", 0, recvmsg(fd, message, (flags) | MSG_CMSG_CLOEXEC))
#define sys_sendmsg(fd, message, flags) SYS_TRANSFER("sendmsg", 0, sendmsg(fd, message, (flags) | MSG_NOSIGNAL))
#define sys_epoll_wait(epoll, events, count, timeout_ms) \
    SYS_TRANSFER("epoll_wait", count, epoll_wait(epoll, events, (int)count_, timeout_ms))
#define sys_poll(fds, count, timeout_ms) SYS_TRANSFER("poll", 0, poll(fds, count, timeout_ms))

/* release */
#define sys_inotify_remove(fd, watch) SYS_RELEASE("inotify_rm_watch", inotify_rm_watch(fd, watch))
#define sys_close(fd) SYS_RELEASE("close", close(fd))
#define sys_epoll_del(epoll, fd) SYS_RELEASE("epoll_del", epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL))
#define sys_unlinkat(dir, path, flags) SYS_RELEASE("unlinkat", unlinkat(dir, path, flags))
#define sys_umount(path) SYS_RELEASE("umount", umount2(path, MNT_DETACH))
#define sys_munmap(address, size) SYS_RELEASE("munmap", munmap(address, size))
#define sys_kill(pid, signal) SYS_RELEASE("kill", kill(pid, signal))
#define sys_pidfd_kill(pidfd, signal) \
    SYS_RELEASE("pidfd_send_signal", (int)syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0))
#define sys_waitid(type, id, info, options, usage) \
    SYS_RELEASE("waitid", (int)syscall(SYS_waitid, type, id, info, options, usage))

/* allocation; NULL when there is no memory */
#define memory_new(size) (SYS_FAULT(FAULT_ACQUIRE, "malloc") ? NULL : malloc(size))
#define memory_zero(count, size) (SYS_FAULT(FAULT_ACQUIRE, "calloc") ? NULL : calloc(count, size))
#define memory_grow(memory, size) (SYS_FAULT(FAULT_ACQUIRE, "realloc") ? NULL : realloc(memory, size))
#define memory_string(text) (SYS_FAULT(FAULT_ACQUIRE, "strdup") ? NULL : strdup(text))
