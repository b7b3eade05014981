#include "os/sys.h"

#include <dirent.h>
#include <errno.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <time.h>

static stoq_ns read_clock(clockid_t id)
{
    struct timespec ts;
    STOQ_ASSERT(clock_gettime(id, &ts) == 0);
    return (stoq_ns)ts.tv_sec * STOQ_SEC + (stoq_ns)ts.tv_nsec;
}

stoq_ns stoq_now(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

uint64_t stoq_wall_seconds(void)
{
    return read_clock(CLOCK_REALTIME) / STOQ_SEC;
}

uint64_t stoq_wall_ms(void)
{
    return read_clock(CLOCK_REALTIME) / STOQ_MS;
}

unsigned stoq_wall_minute(void)
{
    struct tm tm;
    time_t now = (time_t)stoq_wall_seconds();
    STOQ_ASSERT(localtime_r(&now, &tm) != NULL);
    return (unsigned)(tm.tm_hour * 60 + tm.tm_min);
}

stoq_ns stoq_cpu_ns(void)
{
    return read_clock(CLOCK_PROCESS_CPUTIME_ID);
}

void stoq_entropy(void *p, size_t n)
{
    uint8_t *at = p;
    while (n > 0) {
        ssize_t got = getrandom(at, n, 0);
        if (got < 0) {
            STOQ_ASSERT(errno == EINTR);
            continue;
        }
        at += got;
        n -= (size_t)got;
    }
}

enum stoq_status stoq_open_files(uint64_t *used, uint64_t *max)
{
    struct rlimit limit;
    uint64_t count = 0;
    DIR *dir = opendir("/proc/self/fd");
    if (dir == NULL || getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        if (dir != NULL) {
            closedir(dir);
        }
        return STOQ_IO;
    }
    const struct dirent *entry;
    while ((entry = readdir(dir)) != NULL) { /* NOLINT(concurrency-mt-unsafe): our own stream */
        count += entry->d_name[0] != '.';
    }
    closedir(dir);
    *used = count - 1; /* dir's own */
    *max = limit.rlim_cur;
    return STOQ_OK;
}

enum stoq_status stoq_open_files_limit(uint64_t max, struct stoq_error *err)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return stoq_fail(err, STOQ_IO, errno, "limit of open files");
    }
    if (max > limit.rlim_max) {
        return stoq_fail(err, STOQ_RANGE, 0,
                         "limits.open_files is %llu; the system allows this process %llu",
                         (unsigned long long)max, (unsigned long long)limit.rlim_max);
    }
    limit.rlim_cur = max;
    return setrlimit(RLIMIT_NOFILE, &limit) == 0
               ? STOQ_OK
               : stoq_fail(err, STOQ_IO, errno, "limit of open files");
}
