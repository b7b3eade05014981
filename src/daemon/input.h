#ifndef STOQ_DAEMON_INPUT_H
#define STOQ_DAEMON_INPUT_H
/*
 * Bytes that come in order and may end: a file, or what another program writes.
 */
#include "base/bytes.h"

struct stoq_input {
    /*
     * Up to n bytes into p; *got 0: the end. May block, for a fraction of a second at a time where it
     * can be stopped. STOQ_OK; STOQ_IO; STOQ_CANCELLED; STOQ_TRUNC: it broke off before its end.
     */
    enum stoq_status (*read)(void *user, uint8_t *p, size_t n, size_t *got, struct stoq_error *err);
    void *user;
    uint64_t bytes; /* how many there are, where that is known; else UINT64_MAX */
};

/* n bytes, or as many as come before the end: *got tells. */
STOQ_WARN_UNUSED enum stoq_status stoq_input_fill(const struct stoq_input *in, uint8_t *p, size_t n,
                                                  size_t *got, struct stoq_error *err);

#endif
