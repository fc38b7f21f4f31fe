/* What the tests put between a daemon and the C library: a wall clock that is wrong, and a kernel that runs out of random
 * numbers while the file named by MESHER_TEST_NO_RANDOM is there. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *time)
{
    static int (*real)(clockid_t, struct timespec *);
    if (!real)
        real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, time);
    const char *off = getenv("MESHER_TEST_CLOCK_OFF_S");
    if (result == 0 && off && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        time->tv_sec += atol(off);
    return result;
}

ssize_t getrandom(void *buffer, size_t length, unsigned flags)
{
    static ssize_t (*real)(void *, size_t, unsigned);
    if (!real)
        real = (ssize_t (*)(void *, size_t, unsigned))dlsym(RTLD_NEXT, "getrandom");
    const char *switched = getenv("MESHER_TEST_NO_RANDOM");
    if (switched && access(switched, F_OK) == 0) {
        errno = EIO;
        return -1;
    }
    return real(buffer, length, flags);
}
