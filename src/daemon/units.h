#ifndef STOQ_DAEMON_UNITS_H
#define STOQ_DAEMON_UNITS_H
/* Numbers with a unit, as people write them in the configuration and on the command line. */
#include <stdbool.h>
#include <stdint.h>

/* Bytes: "4096", "64K", "8M", "1G", "2T", powers of 1024, "MiB" and the like too. False: no such
 * number, or it does not fit. */
bool stoq_bytes_parse(const char *text, uint64_t *out);
/* Seconds: "90", "90s", "10m", "12h", "30d", "4w". */
bool stoq_seconds_parse(const char *text, uint64_t *out);

#endif
