#ifndef STOQ_OS_SYS_H
#define STOQ_OS_SYS_H
/* Clocks and entropy: the two things a core must be handed. */
#include "base/bytes.h"

/* CLOCK_MONOTONIC. Any thread. */
stoq_ns stoq_now(void);
/* CLOCK_REALTIME in whole seconds since 1970. Any thread. */
uint64_t stoq_wall_seconds(void);
/* ... and in milliseconds. */
uint64_t stoq_wall_ms(void);
/* Minutes of the day by the local clock, 0 .. 1439. Any thread. */
unsigned stoq_wall_minute(void);
/* CPU time of this process, user and system, in nanoseconds. */
stoq_ns stoq_cpu_ns(void);
/* n bytes from the kernel's generator; cannot fail on a running Linux system (our bug otherwise). */
void stoq_entropy(void *p, size_t n);

/* Open files of this process, and how many it may have. STOQ_IO. */
STOQ_WARN_UNUSED enum stoq_status stoq_open_files(uint64_t *used, uint64_t *max);
/* Allow this process max of them; no more than the system lets it: STOQ_RANGE says how many that is. */
STOQ_WARN_UNUSED enum stoq_status stoq_open_files_limit(uint64_t max, struct stoq_error *err);

#endif
