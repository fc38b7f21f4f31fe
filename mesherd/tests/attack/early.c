/* Preloaded into a daemon: it gets the signal of number $MESHER_TEST_SIGNAL at the moment at which a Unix socket of its listens,
   as from somebody who waits for just that. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

int listen(int fd, int backlog) {
    const char *number = getenv("MESHER_TEST_SIGNAL");
    struct sockaddr_storage name;
    socklen_t length = sizeof name;
    int result = (int)syscall(SYS_listen, fd, backlog);
    if (!number)
        _exit(99);
    if (result == 0 && getsockname(fd, (struct sockaddr *)&name, &length) == 0 && name.ss_family == AF_UNIX)
        kill(getpid(), atoi(number));
    return result;
}
