#ifndef STOQ_DAEMON_RATE_H
#define STOQ_DAEMON_RATE_H
/* Rates as people write them: in the configuration, on the command line. */
#include "base/bytes.h"

/*
 * Bytes per second from a number, with at most 6 decimals, and a unit: none or B, kB MB GB, KiB MiB GiB,
 * or kbit Mbit Gbit; an appended "/s" is fine. False: not that, or over 10^15.
 */
bool stoq_rate_parse(const char *text, uint64_t *out);

#endif
