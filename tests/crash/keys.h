#ifndef STOQ_CRASH_KEYS_H
#define STOQ_CRASH_KEYS_H
/* The chunks of the workloads: number i always has the same bytes. */
#include "log.h"

#include "base/bytes.h"

struct crash_key {
    uint8_t id[32]; /* BLAKE3 of the bytes */
    struct stoq_span bytes;
};

struct crash_keys {
    struct crash_key key[CRASH_KEYS];
};

struct crash_keys *crash_keys_new(void); /* NULL: no memory */
void crash_keys_free(struct crash_keys *keys);

#endif
