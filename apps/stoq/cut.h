#ifndef STOQ_APPS_STOQ_CUT_H
#define STOQ_APPS_STOQ_CUT_H
/* Plain FastCDC over a whole input, chunk by chunk, in a bounded buffer. */
#include "chunk/fastcdc.h"
#include "cmd.h"
#include "input.h"

struct cut {
    struct input in;
    struct stoq_chunker chunker;
    uint8_t *buf;
    size_t cap;
    size_t begin; /* of the bytes not yet given out */
    size_t end;
    bool at_end; /* of the input */
};

/* The options that say how to cut, for a row's option table. */
/* clang-format off */
#define CUT_OPTIONS                                                                                \
    {"min", 0, "BYTES", "shortest chunk, 64..1048576 [16384]", false},                             \
    {"avg", 0, "BYTES", "average chunk, 256..4194304 [65536]", false},                             \
    {"max", 0, "BYTES", "longest chunk, 1024..16777216 [262144]", false},                          \
    {"norm", 0, "LEVEL", "normalisation level, 0..3 [2]", false}
/* clang-format on */

/* Profile 1's sizes, changed by the options given. False after the usage error was told. */
bool cut_options(const struct cmd *cmd, struct stoq_chunk_params *out);

/* STOQ_OK, and as input_open; STOQ_NOMEM. params are in range. On failure nothing is held. */
STOQ_WARN_UNUSED enum stoq_status cut_open(struct cut *c, const char *path,
                                           const struct stoq_chunk_params *params,
                                           struct stoq_error *err);
void cut_close(struct cut *c);

/* The next chunk, borrowed until the next call. STOQ_OK; STOQ_NOTFOUND: the input is used up (err is
 * not filled); STOQ_IO. */
STOQ_WARN_UNUSED enum stoq_status cut_next(struct cut *c, struct stoq_span *out,
                                           struct stoq_error *err);

#endif
