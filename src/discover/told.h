#ifndef STOQ_DISCOVER_TOLD_H
#define STOQ_DISCOVER_TOLD_H
/*
 * What peers have announced to us on their connections (docs/PROTOCOL.md, Announce): of each peer and package
 * the newest sequence, until its time is over. One that was taken back is kept as that, so that an older one
 * does not count again. Grows with what is told, up to its caps; values in, values out.
 */
#include "discover/neighbours.h"

#define STOQ_TOLD_MAX 4096     /* of all peers */
#define STOQ_TOLD_PEER_MAX 256 /* of one: a peer that has more is found by other ways */

struct stoq_told_item {
    struct stoq_peer_id peer;
    struct stoq_package_id id;
    uint64_t sequence;
    uint64_t digest; /* of its bytes */
    stoq_ns until;
    bool gone;     /* taken back */
    bool has_addr; /* where it was seen; else it is asked while it is connected */
    struct stoq_place_addr addr;
};

enum stoq_told_verdict {
    STOQ_TOLD_WANTED,
    STOQ_TOLD_SAME,  /* it is here */
    STOQ_TOLD_STALE, /* a newer one is, or another of this sequence */
    STOQ_TOLD_FULL,
};

/* The caps above, or lower ones where they are to be met soon (told_fuzz). */
struct stoq_told_caps {
    size_t all;
    size_t of_peer;
};

struct stoq_told;

struct stoq_told *stoq_told_new(struct stoq_told_caps caps); /* NULL: no memory */
void stoq_told_free(struct stoq_told *t);                    /* NULL is fine */
/* Before its signature is looked at: is it worth that? */
enum stoq_told_verdict stoq_told_judge(const struct stoq_told *t, const struct stoq_told_item *item,
                                       stoq_ns now);
/* Keep it, as judge says; what it says is proven. STOQ_TOLD_FULL also without memory. */
enum stoq_told_verdict stoq_told_take(struct stoq_told *t, const struct stoq_told_item *item,
                                      stoq_ns now);
/* Who has announced this package, the latest taken first; how many. */
size_t stoq_told_of(const struct stoq_told *t, const struct stoq_package_id *id, stoq_ns now,
                    struct stoq_told_item *out, size_t out_max);
size_t stoq_told_count(const struct stoq_told *t, stoq_ns now); /* announcements that hold */

#endif
