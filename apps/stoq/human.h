#ifndef STOQ_APPS_STOQ_HUMAN_H
#define STOQ_APPS_STOQ_HUMAN_H
/* Figures for people; --json has the exact ones. */
#include "api/json.h"

#define HUMAN_CAP 32

/* "17 B", "1.4 MiB"; returns out. */
const char *human_bytes(char out[HUMAN_CAP], uint64_t bytes);
/* "0:07", "1:02:03", "9 d"; returns out. */
const char *human_time(char out[HUMAN_CAP], double seconds);
/* Print the path under key, or key_b64. Names may hold any bytes: a newline or an escape does not reach
 * the terminal as such. */
void human_path(const json_t *o, const char *key);

#endif
