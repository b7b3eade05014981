#ifndef STOQ_BASE_TYPES_H
#define STOQ_BASE_TYPES_H
/*
 * Small values that several cores exchange.
 */
#include "base/bytes.h"

/* A remote peer, by the number its shell gave it: as an array index, never as an identity. The same
 * number means the same peer for as long as anything refers to it. */
typedef uint32_t stoq_peer;
#define STOQ_PEER_NONE UINT32_MAX

/* How much a transfer matters, to those who share a path with it. */
enum stoq_priority {
    STOQ_PRIORITY_NORMAL,
    STOQ_PRIORITY_INTERACTIVE, /* somebody waits for it */
    STOQ_PRIORITY_BACKGROUND,  /* takes what others leave, and yields to strangers on the path */
    STOQ_PRIORITIES,
};

/* Consecutive chunks of a package: first .. first + count - 1. */
struct stoq_range {
    uint64_t first;
    uint32_t count;
};

#endif
