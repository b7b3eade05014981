#ifndef STOQ_API_ERROR_H
#define STOQ_API_ERROR_H
/*
 * How a failure is told to the outside: a code (the specification's names first), one sentence, an exit
 * code. One table serves the command line, the API's replies and docs/CLI.md.
 */
#include "api/json.h"

enum stoq_exit {
    STOQ_EXIT_OK = 0,
    STOQ_EXIT_FAILED = 1,
    STOQ_EXIT_USAGE = 2,
    STOQ_EXIT_NOT_FOUND = 3,
    STOQ_EXIT_INTEGRITY = 4,
    STOQ_EXIT_NETWORK = 5,
    STOQ_EXIT_NO_DAEMON = 6,
    STOQ_EXIT_INTERRUPTED = 130,
};

/* The code of err: its own where it names one, else the generic one of its status and errno. */
const char *stoq_error_code(const struct stoq_error *err);
enum stoq_exit stoq_error_exit(const struct stoq_error *err);

/* {"code","message","status","exit"}; status is the enum's number. NULL: no memory. */
json_t *stoq_error_to_json(const struct stoq_error *err);
/* The reverse, for a reply of the daemon: an unknown code falls back to the status's. */
void stoq_error_from_json(struct stoq_error *err, const json_t *value);

/* The i-th known code with its exit code and meaning; false past the last. */
bool stoq_error_at(size_t i, const char **code, enum stoq_exit *exit_code, const char **meaning);

#endif
