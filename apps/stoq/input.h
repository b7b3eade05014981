#ifndef STOQ_APPS_STOQ_INPUT_H
#define STOQ_APPS_STOQ_INPUT_H
/* Input of the plumbing: a file, or `-` for standard input, read once from its start to its end. */
#include "base/bytes.h"

#define INPUT_READ_BYTES ((size_t)1 << 20) /* of one system call, where memory allows */

struct input {
    int fd;
    const char *name; /* borrowed; for messages */
};

/* STOQ_OK; STOQ_NOTFOUND; STOQ_IO: it cannot be opened, or is a directory. */
STOQ_WARN_UNUSED enum stoq_status input_open(struct input *in, const char *path,
                                             struct stoq_error *err);
/* Closes what was opened; harmless after a failed open. */
void input_close(struct input *in);

/* Fill p: *got is less than n only at the end of the input. STOQ_OK or STOQ_IO. */
STOQ_WARN_UNUSED enum stoq_status input_read(struct input *in, void *p, size_t n, size_t *got,
                                             struct stoq_error *err);

#endif
