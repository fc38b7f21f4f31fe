/* Preloaded into a daemon: notes what it does to the files below $MESHER_TEST_FILES, and that it sends a datagram, one line each
   in $MESHER_TEST_FILES.log; and kills it before the call of number $MESHER_TEST_KILL_AT, counted from 1. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char *below;
static long kill_at, calls;
static int log_fd = -1;

__attribute__((constructor)) static void begin(void) {
    const char *number = getenv("MESHER_TEST_KILL_AT");
    char path[PATH_MAX];
    below = getenv("MESHER_TEST_FILES");
    kill_at = number ? atol(number) : 0;
    snprintf(path, sizeof path, "%s.log", below ? below : "");
    log_fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (!below || log_fd < 0)
        _exit(99);
}

static void note(const char *what, const char *path) {
    char line[PATH_MAX + 32];
    size_t length = strlen(below);
    if (path && strncmp(path, below, length) != 0)
        return;
    if (path && ++calls == kill_at)
        kill(getpid(), SIGKILL);
    snprintf(line, sizeof line, "%s %s\n", what, path ? path + length : "");
    if (syscall(SYS_write, log_fd, line, strlen(line)) < 0)
        _exit(99);
}

static void note_open(const char *what, int fd) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0)
        return;
    path[length] = 0;
    note(what, path);
}

int fsync(int fd) {
    note_open("sync", fd);
    return (int)syscall(SYS_fsync, fd);
}

ssize_t write(int fd, const void *bytes, size_t length) {
    note_open("write", fd);
    return syscall(SYS_write, fd, bytes, length);
}

int linkat(int from_fd, const char *from, int to_fd, const char *to, int flags) {
    note("link", to);
    return (int)syscall(SYS_linkat, from_fd, from, to_fd, to, flags);
}

int link(const char *from, const char *to) {
    note("link", to);
    return (int)syscall(SYS_linkat, AT_FDCWD, from, AT_FDCWD, to, 0);
}

int unlink(const char *path) {
    note("unlink", path);
    return (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}

int rename(const char *from, const char *to) {
    note("rename", to);
    return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}

ssize_t sendto(int fd, const void *bytes, size_t length, int flags, const struct sockaddr *to, socklen_t to_length) {
    if (to && (to->sa_family == AF_INET || to->sa_family == AF_INET6))
        note("send", NULL);
    return syscall(SYS_sendto, fd, bytes, length, flags, to, to_length);
}
