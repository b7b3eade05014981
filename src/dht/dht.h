#ifndef STOQ_DHT_DHT_H
#define STOQ_DHT_DHT_H
/*
 * The DHT core: a Kademlia routing table, lookups, the records that others leave here and those of our
 * own that are left with others. Decisions only; see dht_io.h for what it asks of its shell, dht.c for
 * how the parts go together.
 */
#include "dht/dht_io.h"
#include "dht/id.h"

#define STOQ_DHT_K 20          /* holders of a record */
#define STOQ_DHT_ALPHA 10      /* calls of a lookup that are waited for at a time */
#define STOQ_DHT_SLOT 8        /* contacts of one digit at one level */
#define STOQ_DHT_PATHS 2       /* disjoint ones a lookup begins with ... */
#define STOQ_DHT_PATHS_MAX 8   /* ... and goes up to when it finds nothing */
#define STOQ_DHT_ENOUGH 8      /* providers after which a lookup is content */
#define STOQ_DHT_WANT_MAX 64   /* contacts a lookup may be asked for */
#define STOQ_DHT_ANSWER_MAX 20 /* contacts in an answer */
#define STOQ_DHT_VALUES_MAX 64 /* records in an answer */

/* A network of which no more than so many are known is small: a provider keeps its own records, and a lookup
 * that finds none asks everybody. */
#define STOQ_DHT_SMALL STOQ_DHT_WANT_MAX

#define STOQ_DHT_GROUP_SLOT 2   /* contacts of one subnet in a slot: it cannot fill one ... */
#define STOQ_DHT_GROUP_TABLE 10 /* ... nor the table */
#define STOQ_DHT_GROUP_HOLD 2   /* holders of one subnet that count among a record's K */

#define STOQ_DHT_KEY_RECORDS 256                /* providers of one key */
#define STOQ_DHT_KEY_GROUP 16                   /* of them from one subnet */
#define STOQ_DHT_PUBLISHER_RECORDS 4096         /* live ones of one publisher */
#define STOQ_DHT_PUBLISHER_BURST 400            /* stores of one publisher at once ... */
#define STOQ_DHT_PUBLISHER_EVERY (1 * STOQ_SEC) /* ... and then one in so long ... */
#define STOQ_DHT_RENEWAL_S 900u   /* ... but for those of which one was taken in so long ago */
#define STOQ_DHT_RECORDS 65536    /* [config] held for others; some 20 MiB, with values 60 */
#define STOQ_DHT_GROUP_SHARE 8    /* one subnet may have this part of them */
#define STOQ_DHT_TTL_S 3600u      /* what a newcomer's record lives ... */
#define STOQ_DHT_TTL_MAX_S 86400u /* ... and that of one who has been there as long */
#define STOQ_DHT_SKEW_S 300u      /* clocks may differ by this */
#define STOQ_DHT_SIGNED_S STOQ_DHT_TTL_MAX_S /* what a record is signed for */
#define STOQ_DHT_ANEW_PART 12 /* one with a smaller part of that left is signed anew ... */
#define STOQ_DHT_ANEW_S 720u  /* ... and one with less */

#define STOQ_DHT_QUIET                                                                             \
    (900 * STOQ_SEC)                 /* a contact silent for so long is asked whether it is there */
#define STOQ_DHT_HARD (2 * STOQ_SEC) /* no call takes longer */
#define STOQ_DHT_SOFT_FIRST (400 * STOQ_MS) /* a contact never measured is waited for so long */
/* A call goes again after this and then after twice as long as before: not sooner to who is near, since a
 * busy holder would be given every record twice; and once, after longer, to who did not answer the last. */
#define STOQ_DHT_RESEND (250 * STOQ_MS)
#define STOQ_DHT_RESEND_FAILED (1 * STOQ_SEC)
#define STOQ_DHT_LOOKS_MAX 64     /* lookups at a time, our own upkeep included */
#define STOQ_DHT_OWN_MAX 1000000u /* keys announced */

/* Which refusals a store counts, in the order in which they are looked at. */
enum stoq_dht_refusal {
    STOQ_DHT_NOT_PROVEN, /* no return path shown */
    STOQ_DHT_WRONG_TIME, /* expired, from the future, or a TTL that cannot be */
    STOQ_DHT_OLD,        /* a newer one is here, or an equal one with other bytes */
    STOQ_DHT_RATE,       /* the publisher's bucket is empty */
    STOQ_DHT_PUBLISHER,  /* the publisher's quota */
    STOQ_DHT_KEY,        /* the key's */
    STOQ_DHT_SUBNET,     /* the subnet's */
    STOQ_DHT_ALL,        /* everybody's */
    STOQ_DHT_FORGED,     /* the first that costs a signature check */
    STOQ_DHT_NOT_THERE,  /* nobody answers at the address that it names */
    STOQ_DHT_NOT_TO_US,  /* a renewal that was said to another holder */
    STOQ_DHT_NOT_HELD,   /* a record named by a renewal is not here, or not its signer's */
    STOQ_DHT_REFUSALS,
};
/* "not proven", ...; static. */
const char *stoq_dht_refusal_str(enum stoq_dht_refusal r);

/* How other networks are made, so that the simulator can be held against what was measured there. Ours is
 * all zeroes. */
struct stoq_dht_shape {
    uint8_t digit_bits; /* of a level: 1, 2 or 4 [4] */
    uint8_t slot;       /* contacts of one, K at most [STOQ_DHT_SLOT] */
    uint8_t k;          /* [STOQ_DHT_K], which is the most */
    uint8_t alpha;      /* [STOQ_DHT_ALPHA] */
    uint8_t paths;      /* [STOQ_DHT_PATHS] */
    bool any_rtt;       /* near contacts are not preferred to far ones */
    bool patient;       /* a call is waited for until it fails */
    bool plain; /* as the Kademlia paper has it: K holders and no more, nobody is asked twice, alpha
                         * calls to the end, the first record ends a lookup, no copies on the path */
    bool still; /* its table is what it was told: no upkeep, no lookups of its own */
    uint32_t ttl_s;    /* of a newcomer's record [STOQ_DHT_TTL_S] */
    uint32_t signed_s; /* what a record is signed for [STOQ_DHT_SIGNED_S] */
};

/* Zero means the default in brackets. */
struct stoq_dht_config {
    struct stoq_dht_book *book; /* kept; may be shared with other nodes */
    struct stoq_hash id;        /* our node id */
    stoq_contact_no self;       /* 0: a client, which answers nothing and holds nothing */
    struct stoq_peer_id peer;   /* our own records come from ourselves and from nobody else */
    uint64_t seed;
    uint32_t records_max;        /* [STOQ_DHT_RECORDS] */
    uint64_t wall_s;             /* what the calendar says at time 0 */
    struct stoq_hash sweep_from; /* where the last sweep stood */
    struct stoq_dht_shape shape;
    /* Defences that a test may leave out to show what they are for. */
    enum stoq_dht_without {
        STOQ_DHT_WITH_ALL = 0,
        STOQ_DHT_NO_TOKEN = 1,     /* anybody may store */
        STOQ_DHT_NO_CAPS = 2,      /* no quota, no subnet counts */
        STOQ_DHT_NO_SIGNATURE = 4, /* no record is checked */
        STOQ_DHT_ONE_PATH = 8,     /* lookups do not part */
        STOQ_DHT_NO_CLOCK = 16,    /* no record is too old or too new */
        STOQ_DHT_NO_ORDER = 32,    /* an older record takes the place of a newer one */
        STOQ_DHT_NO_PROOF = 64,    /* nobody is asked whether he is where a record says */
        STOQ_DHT_NO_KEY = 128,     /* answers may bring records of other keys */
        STOQ_DHT_NO_CROWD = 256,   /* so many as sit around a key are believed */
    } without;                     /* a set of them */
};

struct stoq_dht;

/* STOQ_OK, STOQ_NOMEM. */
STOQ_WARN_UNUSED enum stoq_status stoq_dht_new(struct stoq_dht **out,
                                               const struct stoq_dht_config *cfg);
void stoq_dht_free(struct stoq_dht *dht); /* NULL is fine */
/* STOQ_OK; STOQ_NOMEM, STOQ_FULL (STOQ_DHT_LOOKS_MAX, STOQ_DHT_OWN_MAX): not taken in. Events that close an
 * action are always taken in. */
STOQ_WARN_UNUSED enum stoq_status stoq_dht_feed(struct stoq_dht *dht,
                                                const struct stoq_dht_event *ev, stoq_ns now);
/* The next thing to do; false: nothing. */
bool stoq_dht_poll(struct stoq_dht *dht, stoq_ns now, struct stoq_dht_action *out);
/* The next ANSWER or CHECK, or MAKE for an answer, before what else is to be done: for a request that must be
 * answered at once. */
bool stoq_dht_poll_answer(struct stoq_dht *dht, struct stoq_dht_action *out);
/*
 * A patch has come: the record that it is of.
 *
 * publisher, digest  whose, and the first 8 bytes of its hash
 * proven             what is sent back reaches its sender
 * out                borrowed until the next feed; NULL: none such is here
 *
 * STOQ_DHT_DONE; STOQ_DHT_REFUSED: the patch is not to be looked at any further. What its sender made out
 * of the record is given as a STORE, and behind one that is rejected no other of the same message is.
 */
enum stoq_dht_outcome stoq_dht_base(struct stoq_dht *dht, const struct stoq_peer_id *publisher,
                                    uint64_t digest, bool proven, stoq_ns now,
                                    struct stoq_dht_record **out);
#define STOQ_DHT_PATCH_BUSY UINT8_MAX
/* What a patch's sender is told of a record that was given so: for how long it is kept from now on, in
 * units of STOQ_DHT_KEPT_S, one at least; STOQ_DHT_PATCH_BUSY: not now; 0: it is to be sent whole. */
uint8_t stoq_dht_patch_kept(enum stoq_dht_outcome outcome, uint32_t ttl_s);
/* When to poll though nothing happened; STOQ_NEVER: only events wake it. */
stoq_ns stoq_dht_deadline(const struct stoq_dht *dht);

struct stoq_dht_stats {
    uint32_t contacts;     /* in the table */
    uint32_t spare;        /* that would take a place there */
    uint32_t levels;       /* of the table in use */
    uint32_t looks;        /* under way */
    uint64_t network_size; /* as the distances to the nearest tell */
    uint32_t records;      /* held for others */
    uint32_t own;          /* keys we announce */
    uint32_t own_held;     /* of them, enough hold them */
    uint32_t own_due;      /* of them, to be announced now */
    uint32_t own_fresh;    /* of them, held by enough and not due: what the sweep has done */
    struct stoq_hash sweep_at;
    uint64_t lookups;    /* since new */
    uint64_t stores;     /* records taken in */
    uint64_t renewed;    /* that were renewed by their digest */
    uint64_t patched;    /* of the stores, made out of the one before */
    uint64_t sent;       /* records of ours that went out whole ... */
    uint64_t kept;       /* ... that a holder kept by their digest ... */
    uint64_t anew;       /* ... and that it took by their new signatures alone */
    uint64_t handed;     /* copies that newcomers took from us */
    uint64_t mended;     /* newer records sent to holders that told an older one */
    uint64_t signatures; /* asked to be checked */
    uint64_t refused[STOQ_DHT_REFUSALS];
    uint64_t bytes; /* of memory that is its own: the book's contacts and the records' are not */
};
void stoq_dht_stats(const struct stoq_dht *dht, struct stoq_dht_stats *out);

/* One contact of the table. */
struct stoq_dht_contact {
    stoq_contact_no contact;
    uint32_t level;  /* bits of its id that are ours, in digits of 4 */
    stoq_ns rtt_ns;  /* to one part in eight; 0: not measured */
    stoq_ns seen_ns; /* since it was last heard, to 4 s */
    uint32_t fails;  /* calls in a row without an answer */
    bool spare;
};
/* The i-th; false past the last. */
bool stoq_dht_at(const struct stoq_dht *dht, size_t i, stoq_ns now, struct stoq_dht_contact *out);
/* The records that are held of a key for others; at most max. */
size_t stoq_dht_held(const struct stoq_dht *dht, const struct stoq_hash *key, stoq_ns now,
                     struct stoq_dht_record **out, size_t max);
/* How many there are here of a key, ours included: that is made for whoever asks. */
size_t stoq_dht_count(const struct stoq_dht *dht, const struct stoq_hash *key, stoq_ns now);
/* How far the announcing of a key is; false: it is not ours. */
bool stoq_dht_own(const struct stoq_dht *dht, const struct stoq_hash *key, stoq_ns now,
                  struct stoq_dht_announced *out);
/* The nearest contacts that we know, nearest first. */
size_t stoq_dht_nearest(const struct stoq_dht *dht, const struct stoq_hash *target,
                        stoq_contact_no *out, size_t max);

#endif
