#ifndef STOQ_TRUST_TRUST_H
#define STOQ_TRUST_TRUST_H
/*
 * The reputation core: what peers did to us, in; a score, and peers to be left, out. First-hand evidence
 * only; nothing is told to others or believed from them. What is stored or shown never depends on it:
 * every byte is compared with its hash whoever sent it. See trust.c for the formula.
 */
#include "base/fixed.h"

#define STOQ_TRUST_MAX 4096u /* peers remembered; 100 bytes each */
#define STOQ_TRUST_GOOD_HALF_LIFE (86400 * STOQ_SEC)
#define STOQ_TRUST_BAD_HALF_LIFE (7 * 86400 * STOQ_SEC)
#define STOQ_TRUST_QUARANTINE (86400 * STOQ_SEC) /* after forged data; doubles each time ... */
#define STOQ_TRUST_QUARANTINES_MAX 5u            /* ... so often at most */
#define STOQ_TRUST_NEIGHBOURS_FREE 2u            /* of one public subnet; more cost score */

/* The specification's TrustEvent. */
enum stoq_trust_event_kind {
    STOQ_TRUST_SUCCESSFUL_TRANSFER, /* bytes: of chunks that verified */
    STOQ_TRUST_FAILED_TRANSFER,     /* broke off, or refused what it had offered */
    STOQ_TRUST_INVALID_DATA,        /* bytes that do not have their hash: quarantine */
    STOQ_TRUST_TIMEOUT,             /* silence */
    STOQ_TRUST_VIOLATION,           /* broke the protocol; counts as a failed transfer too */
    STOQ_TRUST_KINDS,
};

struct stoq_trust_event {
    enum stoq_trust_event_kind kind;
    const struct stoq_peer_id *peer;
    uint64_t bytes;
};

/* Fractions of 2^-32. Zero means the default in brackets. */
struct stoq_trust_config {
    uint64_t minimum_reputation;      /* below it a peer that sent wrong things is left [0.10] */
    uint64_t minimum_trust_threshold; /* from it on a peer is trusted [0.30] */
    struct stoq_alloc alloc;
};

struct stoq_trust;

/* STOQ_OK, STOQ_NOMEM. */
STOQ_WARN_UNUSED enum stoq_status stoq_trust_new(struct stoq_trust **out,
                                                 const struct stoq_trust_config *cfg,
                                                 uint64_t seed);
void stoq_trust_free(struct stoq_trust *trust); /* NULL is fine */

/* What a peer in quarantine does is not counted: it has been left already. Past STOQ_TRUST_MAX the
 * peer of which least is known is forgotten. STOQ_OK; STOQ_NOMEM: not taken in. */
STOQ_WARN_UNUSED enum stoq_status stoq_trust_feed(struct stoq_trust *trust,
                                                  const struct stoq_trust_event *ev, stoq_ns now);
/* The next peer to disconnect from; false: none. */
bool stoq_trust_poll(struct stoq_trust *trust, struct stoq_peer_id *out);

/* What is known of a peer; all zero of one that is not known. Decayed to now. */
struct stoq_trust_record {
    struct stoq_peer_id peer;
    uint64_t successful_transfers;
    uint64_t failed_transfers;
    uint64_t invalid_data_count;
    uint64_t timeout_count;
    uint64_t violations;
    uint64_t good; /* g and b of the formula, in 2^-32 */
    uint64_t bad;
    uint64_t proven;    /* the part of bad that was no silence or broken connection */
    uint64_t behaviour; /* violations, decayed, in 2^-32 */
    uint64_t allowance; /* credit left this hour, in 2^-32 MiB */
    uint32_t quarantines;
    stoq_ns quarantine_ns; /* left of it */
};
void stoq_trust_record(const struct stoq_trust *trust, const struct stoq_peer_id *peer, stoq_ns now,
                       struct stoq_trust_record *out);
/* S in 2^-32, may be negative. neighbours: peers of its public subnet, itself included. */
int64_t stoq_trust_score(const struct stoq_trust_record *record, uint32_t neighbours);
bool stoq_trust_is_trusted(const struct stoq_trust *trust, const struct stoq_trust_record *record,
                           uint32_t neighbours);
/* To be left: in quarantine, or below the minimum by what it sent, not by silence alone. */
bool stoq_trust_is_cut(const struct stoq_trust *trust, const struct stoq_trust_record *record,
                       uint32_t neighbours);

/* How often something was counted or restored: when it differs, so do the records. */
uint64_t stoq_trust_changes(const struct stoq_trust *trust);
/* Everything, for a file: the i-th record, false past the last. */
bool stoq_trust_at(const struct stoq_trust *trust, size_t i, stoq_ns now,
                   struct stoq_trust_record *out);
/* Take a record of passed ns ago back in; instead of what is known of this peer. A record that is all
 * zero but for the peer forgives. STOQ_OK, STOQ_NOMEM; STOQ_RANGE: no such record can be. */
STOQ_WARN_UNUSED enum stoq_status stoq_trust_restore(struct stoq_trust *trust,
                                                     const struct stoq_trust_record *record,
                                                     stoq_ns passed, stoq_ns now);

#endif
