#ifndef STOQ_DHT_BOOK_H
#define STOQ_DHT_BOOK_H
/*
 * The contacts that a process knows, each once: tables and lookups name them by number. A simulator
 * shares one book among all its nodes, a daemon has one. How a contact is reached, and the record that
 * it signed, is the owner's and rides along as data.
 *
 * And location records, and what renews them, likewise kept once and counted.
 */
#include "base/map.h"

/* A contact by its number in a book; 0: none. The same number means the same contact for as long as
 * somebody holds it. */
typedef uint32_t stoq_contact_no;

struct stoq_dht_about {
    struct stoq_hash id; /* its node id, earned: the owner has checked */
    uint64_t group;      /* its subnet, as a number; 0: of nobody's, no cap is counted */
    void *data;          /* the owner's */
};

struct stoq_dht_book;

/*
 * max        contacts at a time; past it add refuses
 * drop, user called with a contact's data when nobody holds it any more; drop may be NULL
 * STOQ_OK, STOQ_NOMEM.
 */
STOQ_WARN_UNUSED enum stoq_status stoq_dht_book_new(struct stoq_dht_book **out, uint32_t max,
                                                    uint64_t seed,
                                                    void (*drop)(void *user, void *data),
                                                    void *user);
/* Whoever held contacts is gone or will not look. NULL is fine. */
void stoq_dht_book_free(struct stoq_dht_book *book);
/* The number of the contact with this id, 0: none. Nobody holds it by that. */
stoq_contact_no stoq_dht_book_find(const struct stoq_dht_book *book, const struct stoq_hash *id);
/* A new contact, held once; data is taken. STOQ_OK; STOQ_EXISTS: its id is there; STOQ_FULL; STOQ_NOMEM. */
STOQ_WARN_UNUSED enum stoq_status stoq_dht_book_add(struct stoq_dht_book *book,
                                                    const struct stoq_dht_about *about,
                                                    stoq_contact_no *out);
/* Of a number that is held; the pointer is good until the next add. */
const struct stoq_dht_about *stoq_dht_book_get(const struct stoq_dht_book *book,
                                               stoq_contact_no contact);
/* It is somewhere else now. */
void stoq_dht_book_regroup(struct stoq_dht_book *book, stoq_contact_no contact, uint64_t group);
void stoq_dht_book_hold(struct stoq_dht_book *book, stoq_contact_no contact);
/* 0 is fine. */
void stoq_dht_book_drop(struct stoq_dht_book *book, stoq_contact_no contact);
uint32_t stoq_dht_book_count(const struct stoq_dht_book *book);

/* A location record: who provides what a key stands for. The owner has decoded it; whether its signature
 * holds is asked for by an action when that counts. */
struct stoq_dht_record {
    uint32_t holds;
    uint32_t ttl_s;
    struct stoq_hash key;
    struct stoq_peer_id publisher;
    uint64_t group; /* the subnet of its first address; 0 as above */
    uint64_t sequence;
    uint64_t issued_at_s; /* since 1970 */
    bool withdrawn;       /* it names no address: it takes the announcement back */
    uint64_t digest;      /* of its bytes: the first 8 of their hash */
    uint32_t n;
    uint8_t bytes[]; /* as signed; two records are equal when these are */
};

/* held once; NULL: no memory. */
struct stoq_dht_record *stoq_dht_record_new(struct stoq_span bytes);
struct stoq_dht_record *stoq_dht_record_hold(struct stoq_dht_record *record);
void stoq_dht_record_drop(struct stoq_dht_record *record); /* NULL is fine */

#define STOQ_DHT_RENEW_MAX 112 /* records in a renewal: it fits a datagram */
#define STOQ_DHT_KEPT_S 360u   /* the unit in which its answer counts */

/* A publisher says to one holder that records of his which it holds are as good as before. */
struct stoq_dht_renewal {
    uint32_t holds;
    uint32_t count;
    struct stoq_peer_id publisher;
    uint64_t issued_at_s; /* since 1970: what is granted is granted from then on */
    uint64_t digests[STOQ_DHT_RENEW_MAX];
    uint32_t n;
    uint8_t bytes[]; /* as signed; of one that is not signed yet, none */
};

#define STOQ_DHT_PATCH_MAX 14 /* records in a patch: it fits a datagram */

/* Records that their publisher has signed anew, all with one sequence and time, for who holds them as they
 * were before: nothing else in them has changed. */
struct stoq_dht_patch {
    uint32_t holds;
    uint32_t count;
    uint64_t before[STOQ_DHT_PATCH_MAX];                 /* digests of those that are there */
    struct stoq_dht_record *records[STOQ_DHT_PATCH_MAX]; /* held */
};

/* Of nothing yet, held once; NULL: no memory. */
struct stoq_dht_patch *stoq_dht_patch_new(void);
/* There is room for it. */
void stoq_dht_patch_add(struct stoq_dht_patch *patch, uint64_t before,
                        struct stoq_dht_record *record);
struct stoq_dht_patch *stoq_dht_patch_hold(struct stoq_dht_patch *patch);
void stoq_dht_patch_drop(struct stoq_dht_patch *patch); /* NULL is fine */

/* held once; NULL: no memory. */
struct stoq_dht_renewal *stoq_dht_renewal_new(struct stoq_span bytes);
struct stoq_dht_renewal *stoq_dht_renewal_hold(struct stoq_dht_renewal *renewal);
void stoq_dht_renewal_drop(struct stoq_dht_renewal *renewal); /* NULL is fine */

#endif
