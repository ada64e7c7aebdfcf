// Adds the nanoseconds that stand in the file $ROLLCALL_FAULTS_CLOCK to every answer about the wall clock.
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *offset;

__attribute__((constructor)) static void map_offset(void) {
    const char *path = getenv("ROLLCALL_FAULTS_CLOCK");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *at = mmap(NULL, sizeof *offset, PROT_READ, MAP_SHARED, file, 0);
    if (at != MAP_FAILED) offset = at;
    close(file);
}

static void read_wall(struct timespec *now) {
    syscall(SYS_clock_gettime, CLOCK_REALTIME, now);
    if (!offset) return;
    int64_t nanos = now->tv_nsec + *offset % 1000000000;
    int64_t carry = nanos < 0 ? -1 : nanos / 1000000000;
    now->tv_sec += *offset / 1000000000 + carry;
    now->tv_nsec = nanos - carry * 1000000000;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    if (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE) return (int)syscall(SYS_clock_gettime, clock, now);
    read_wall(now);
    return 0;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec wall;
    (void)zone;
    read_wall(&wall);
    now->tv_sec = wall.tv_sec;
    now->tv_usec = wall.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *now) {
    struct timespec wall;
    read_wall(&wall);
    if (now) *now = wall.tv_sec;
    return wall.tv_sec;
}
