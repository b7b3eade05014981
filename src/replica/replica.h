#ifndef STOQ_REPLICA_REPLICA_H
#define STOQ_REPLICA_REPLICA_H
/*
 * One placement: which peers are to keep a package, in which order they are offered it, who takes the
 * place of one that fails, and when there are enough. See replica.c for the rules.
 *
 * Candidates are indexes into the caller's list, domains its numbers: what fails together has one number.
 * Shards are offered in slices of STOQ_REPLICA_SLICE_SHARDS, one after the other to each replica; a
 * replica is verified when a receipt for every slice came.
 */
#include "base/bytes.h"

#define STOQ_REPLICA_COUNT_MAX 64u        /* replicas of a placement */
#define STOQ_REPLICA_CANDIDATES_MAX 4096u /* peers it may choose among */
#define STOQ_REPLICA_SLICE_SHARDS 256u /* some 1.3 GB: what is lost of work when a replica dies */
#define STOQ_REPLICA_NO_DOMAIN UINT32_MAX /* a candidate of which no domain is known */

#define STOQ_REPLICA_LOOK_EVERY (1 * STOQ_SEC)  /* a replica at work is asked how it is */
#define STOQ_REPLICA_BUSY_EVERY (250 * STOQ_MS) /* after an answer of Busy */
#define STOQ_REPLICA_BUSY_MAX 120u              /* of them in a row: half a minute */
#define STOQ_REPLICA_LOST_AGAIN (250 * STOQ_MS) /* a connection broke: ask once more */
#define STOQ_REPLICA_LOST_MAX 2u                /* in a row */
#define STOQ_REPLICA_ANSWER_TIMEOUT                                                                \
    (5 * STOQ_SEC)                                /* for an offer; to be connected, as long again */
#define STOQ_REPLICA_SILENT_AFTER (60 * STOQ_SEC) /* at work, and nothing moves, plus ... */
#define STOQ_REPLICA_REREAD_RATE                                                                   \
    (8 * STOQ_MIB) /* ... the time to read a slice at this rate a second */

struct stoq_replica;

/* Why a candidate is out. */
enum stoq_replica_why {
    STOQ_REPLICA_FINE,
    STOQ_REPLICA_UNREACHABLE, /* no connection could be made */
    STOQ_REPLICA_LOST,        /* the connection broke, again */
    STOQ_REPLICA_REFUSED,     /* its policy */
    STOQ_REPLICA_QUOTA,       /* its quota is used up */
    STOQ_REPLICA_DISK_FULL,   /* its disk is */
    STOQ_REPLICA_BUSY,        /* too often in a row */
    STOQ_REPLICA_UNABLE,      /* it does not take offers */
    STOQ_REPLICA_DAMAGED,     /* what it read again was not what it had stored */
    STOQ_REPLICA_BAD_RECEIPT, /* its receipt does not hold */
    STOQ_REPLICA_SILENT,      /* no answer, or nothing moved */
    STOQ_REPLICA_FAILED,      /* anything else it said */
    STOQ_REPLICA_WHYS,
};
/* A specification's or our error name, "" for FINE; static. */
const char *stoq_replica_why_code(enum stoq_replica_why why);

enum stoq_replica_event_kind {
    STOQ_REPLICA_REACHED,  /* it had to be connected for an OFFER, and is */
    STOQ_REPLICA_ACCEPTED, /* closes an OFFER: it will try, or is at it */
    STOQ_REPLICA_DECLINED, /* closes an OFFER, with u.why */
    STOQ_REPLICA_RECEIPT, /* u.receipt: for a slice; of another than the one offered last it is nothing */
    STOQ_REPLICA_MOVED, /* u.bytes more went to it */
    STOQ_REPLICA_STOP,  /* end now, with what there is */
};

struct stoq_replica_event {
    enum stoq_replica_event_kind kind;
    uint32_t candidate;
    uint64_t cookie; /* REACHED, ACCEPTED, DECLINED: the OFFER's; others: 0 */
    union {
        enum stoq_replica_why why;
        uint64_t bytes;
        struct {
            uint32_t slice;
            enum stoq_replica_why why; /* FINE: it was checked and holds */
        } receipt;
    } u;
};

enum stoq_replica_action_kind {
    STOQ_REPLICA_OFFER, /* offer it this slice, or ask how that goes: the same message */
    STOQ_REPLICA_LEAVE, /* no more is wanted of it: forget what is outstanding */
    STOQ_REPLICA_ENDED, /* nothing follows */
};

struct stoq_replica_action {
    enum stoq_replica_action_kind kind;
    uint32_t candidate;
    uint64_t cookie;
    uint32_t slice;
    uint64_t first_shard;
    uint64_t shard_count; /* 0: the package is one slice */
};

struct stoq_replica_config {
    uint32_t wanted;          /* 1 .. STOQ_REPLICA_COUNT_MAX */
    uint64_t shards;          /* of the package; 0 counts as 1 */
    uint64_t bytes;           /* of the package */
    const uint32_t *domains;  /* of each candidate, in order of preference; copied */
    uint32_t candidate_count; /* at most STOQ_REPLICA_CANDIDATES_MAX */
    struct stoq_alloc alloc;
};

/* STOQ_OK, STOQ_NOMEM, STOQ_RANGE. */
STOQ_WARN_UNUSED enum stoq_status stoq_replica_new(struct stoq_replica **out,
                                                   const struct stoq_replica_config *cfg);
void stoq_replica_free(struct stoq_replica *r); /* NULL is fine */

/* Events about a candidate that is out, or with an old cookie, are nothing. */
void stoq_replica_feed(struct stoq_replica *r, const struct stoq_replica_event *ev, stoq_ns now);
/* The next thing to do; false: nothing. */
bool stoq_replica_poll(struct stoq_replica *r, stoq_ns now, struct stoq_replica_action *out);
/* STOQ_NEVER: only events wake it. */
stoq_ns stoq_replica_deadline(const struct stoq_replica *r);

enum stoq_replica_state {
    STOQ_REPLICA_SPARE,    /* not asked */
    STOQ_REPLICA_OFFERED,  /* no answer yet */
    STOQ_REPLICA_AT_WORK,  /* it has accepted */
    STOQ_REPLICA_VERIFIED, /* its receipts cover the package */
    STOQ_REPLICA_OUT,      /* and why */
};
/* "spare", "offered", ...; static. */
const char *stoq_replica_state_str(enum stoq_replica_state state);

struct stoq_replica_view {
    enum stoq_replica_state state;
    enum stoq_replica_why why;
    uint32_t slices_done;
    uint64_t bytes_sent;
    stoq_ns began_at; /* first offer; 0: none */
    stoq_ns ended_at; /* verified or out; 0: neither */
};
void stoq_replica_at(const struct stoq_replica *r, uint32_t candidate,
                     struct stoq_replica_view *out);

struct stoq_replica_sum {
    uint32_t verified;
    uint32_t active; /* offered or at work */
    bool over;
};
void stoq_replica_sum(const struct stoq_replica *r, struct stoq_replica_sum *out);
/* Slices of a package with so many shards. */
uint32_t stoq_replica_slices(uint64_t shards);

#endif
