#ifndef STOQ_DHT_DHT_INTERNAL_H
#define STOQ_DHT_DHT_INTERNAL_H
/*
 * The core's insides, a part per file:
 *
 *   dht.c      life, events in, actions out, deadlines
 *   table.c    the routing table, and the upkeep of its contacts
 *   near.c     the nearest to a target, and how large the network is
 *   lookup.c   lookups
 *   held.c     records held for others, their quotas
 *   serve.c    what is answered to others
 *   hand.c     copies of what is held for those who come near later
 *   own.c      our keys, in order
 *   provide.c  records of our own: the sweep, holders, retries
 *   renew.c    what is said of them to who has them
 *   patch.c    those that are signed anew, to who has the ones before
 *   here.c     those of them that are kept here too: made for who asks
 *   around.c   who answered the sweep's last lookup
 *   holders.c  who is to hold one
 *   spent.c    who said Busy, and is left alone for a minute
 */
#include "base/heap.h"
#include "base/map.h"
#include "base/prng.h"
#include "dht/dht.h"

#define DHT_LEVELS 64
#define DHT_DIGITS 16
#define DHT_SPARES 3       /* of a slot: who takes the place of one that is gone */
#define DHT_CANDIDATES 200 /* of one lookup: 8 paths of 20, and room for liars */
#define DHT_TOLD_MAX 64   /* records of a lookup's answers that are remembered with who told them */
#define DHT_CHECKS_MAX 16 /* contacts being looked at at a time */
#define OWN_LATE_MAX 256  /* keys of ours that are not in order yet */
#define DHT_PROVES_MAX 32 /* records whose provider is being asked */
#define DHT_ACTIONS_MAX                                                                            \
    4096 /* not polled yet; reached by no honest peer: requests are dropped then */

struct lookup;
struct own;
struct job;

/* table.c. A contact in 8 bytes: a million tables live in one process. */
struct entry {
    stoq_contact_no contact;
    uint16_t seen; /* ticks of 4 s, wrapping */
    uint8_t rtt;   /* see rtt_put */
    uint8_t fails;
};
struct slot {
    uint8_t count;
    uint8_t spare_count;
    uint8_t cap;
    struct entry v[]; /* count contacts, then spare_count others that would be */
};
struct row {
    struct slot *slots[DHT_DIGITS];
};
struct table {
    struct row *rows[DHT_LEVELS];
    uint32_t count;
    uint32_t spare_count;
    uint32_t checks;      /* pings of the upkeep under way */
    uint64_t near_radius; /* within this of us are STOQ_DHT_K contacts; UINT64_MAX: fewer */
    uint64_t key_radius;  /* within this of any key K nodes are expected; UINT64_MAX: all */
    uint64_t size;        /* of the network, estimated */
    bool near_known;
};

/* What waits for its closing event. */
enum pending_kind {
    PENDING_CALL,
    PENDING_CHECK, /* a record's signature, before it is taken in */
    PENDING_PROVE,
    PENDING_MAKE,
};
struct pending {
    enum pending_kind kind;
    uint64_t cookie;
    struct pending *next;
    struct pending *prev;
    /* CALL */
    enum stoq_dht_ask ask;
    stoq_contact_no to;    /* held */
    struct lookup *lookup; /* NULL: upkeep, or its lookup is over */
    uint8_t page;          /* what its candidate had when it was asked */
    bool upkeep;
    bool heard; /* it has answered another call meanwhile */
    stoq_ns sent_at;
    stoq_ns soft_at; /* from then on nobody waits for it; STOQ_NEVER: nobody does */
    /* CALL of a STORE, MAKE; the job lives until they are closed */
    struct job *job;
    struct own *own;
    bool alone;            /* MAKE: for the one holder `to`, which has it no more */
    struct remake *remake; /* MAKE of what is here; NULL: it is a job's */
    /* CALL of a RENEW: as many of the job's; NULL: none. The renewal is held */
    struct own **owns;
    struct stoq_dht_renewal *renewal; /* of a CHECK likewise */
    struct stoq_dht_patch *patch;     /* CALL of a PATCH: likewise, instead of the renewal */
    /* CALL of a STORE that hands over: how often it was tried, this time included; 0: none */
    uint32_t hands;
    /* CHECK, PROVE */
    uint64_t request;
    bool answer;
    bool patched;
    struct stoq_dht_record *record; /* held; of a hand-over likewise */
    uint32_t ttl_s;
};

/* lookup.c */
enum candidate_state {
    CANDIDATE_FRESH,
    CANDIDATE_ASKED,
    CANDIDATE_SLOW, /* its time is over; it may still answer */
    CANDIDATE_GOOD,
    CANDIDATE_BAD,
};
struct candidate {
    stoq_contact_no contact; /* held */
    uint8_t state;
    uint8_t path;
    uint8_t hop;
    uint8_t asks;   /* for the page that is wanted now */
    uint8_t had;    /* contacts or records of its answers, for the next page */
    bool more;      /* there is a next page */
    bool gave;      /* a record */
    uint8_t told;   /* records of its answers, one of each provider */
    uint64_t reach; /* distance of the farthest it named */
};
/* Who has told which record: some turn out to be older than what others have. */
struct told {
    stoq_contact_no contact;        /* held */
    struct stoq_dht_record *record; /* held */
};
enum lookup_use {
    LOOKUP_SHELL,
    LOOKUP_UPKEEP,
    LOOKUP_JOB,
};
struct lookup {
    struct lookup *next;
    uint32_t number; /* the shell's; 0: ours */
    enum lookup_use use;
    struct job *job;
    struct stoq_hash target;
    bool value;
    bool deep;
    bool trace;
    bool over;
    bool pages;     /* answers are read to their ends */
    bool everybody; /* is asked, not only who is near */
    uint32_t want;
    uint32_t paths;
    uint32_t turn;      /* the path whose turn it is */
    uint32_t in_flight; /* waited for */
    uint32_t calls;
    uint32_t silent;
    uint32_t hops;
    uint32_t deepest; /* hop of all that answered */
    stoq_ns began_at;
    stoq_ns soft; /* longest honest answer so far, for contacts never measured; 0: none */
    uint32_t count;
    struct candidate v[DHT_CANDIDATES]; /* nearest first */
    uint32_t record_count;
    struct stoq_dht_record *records[STOQ_DHT_VALUES_MAX]; /* held */
    uint32_t told_count;
    struct told told[DHT_TOLD_MAX];
};

/* held.c */
struct held;
struct store {
    struct stoq_map keys;       /* key -> its records, a chain */
    struct stoq_map publishers; /* peer id -> what it has here */
    struct stoq_map groups;     /* subnet -> count, as a pointer */
    struct stoq_map digests;    /* publisher and digest -> its record */
    struct stoq_heap expiry;
    uint32_t count; /* of others */
    uint32_t proves;
    uint64_t taken;
    uint64_t renewed;
    uint64_t patched; /* of those taken */
    uint64_t signatures;
    uint64_t refused[STOQ_DHT_REFUSALS];
};

/* Goes through all that is held. */
struct held_walk {
    size_t at;
    const struct held *held;
};

/* hand.c */
struct hands {
    struct hand *first;
    struct hand **last;
    uint32_t count;
    uint32_t flying;
    stoq_ns again_at;
    uint64_t given;
};

/* provide.c */
struct own {
    struct stoq_hash key;
    stoq_ns due_at;
    stoq_ns held_until; /* who took the last announcement has it */
    stoq_ns here_until; /* we too, until then; it is not stored */
    /* The record that is out; digest 0: none. */
    uint64_t digest;
    uint64_t sequence;
    uint64_t issued_at_s;
    struct job *job; /* under way */
    /* As the last announcement ended: */
    uint32_t wanted;
    uint32_t got;
    uint32_t known; /* contacts we had */
    /* Of the one under way: */
    uint32_t asked; /* as wanted */
    uint32_t taken; /* as got */
    uint32_t busy;  /* holders that had no room, or asked us to go slower */
    uint32_t open;  /* stores not closed yet */
    uint32_t ttl_s; /* the shortest granted */
    uint32_t tries; /* in a row that did not reach enough */
    bool urgent;
    bool enough;
    bool beside; /* it is kept here though we are not one of the K */
    bool withdrawn;
    bool taken_back; /* the record that is being left names no address */
    bool lost;       /* of the one under way: a holder is not there, or takes no part any more */
    bool unheard;    /* a holder has not said whether it took a new signature */
};
/* For whom a record that is here is made again. */
enum remake_for {
    REMAKE_ANSWER, /* `request` */
    REMAKE_LOOK,   /* the pending's lookup, which waits */
    REMAKE_HAND,   /* who is new near its key: the pending's `to` */
};
struct remake {
    enum remake_for what;
    uint64_t digest;
    struct stoq_dht_request request; /* its sender is held */
};
/* One holder is told of several at once. */
struct batch {
    struct batch *next;
    stoq_contact_no to; /* the job holds it */
    uint32_t count;
    struct own *v[STOQ_DHT_RENEW_MAX];
};
/* One holder gets the new signatures of several. */
struct anew {
    struct anew *next;
    stoq_contact_no to;           /* the job holds it */
    struct stoq_dht_patch *patch; /* NULL: of none */
    struct own *v[STOQ_DHT_PATCH_MAX];
};
/* How a record goes to its holders: whole, unless ... */
struct telling {
    struct stoq_dht_record *record;
    bool renews;     /* it is the one that they have, some at least besides us */
    uint64_t before; /* what they have says the same, and this is its digest; 0: it does not */
};
/* A holder that has a record no more: it goes there whole. */
struct miss {
    struct own *own;
    stoq_contact_no to; /* the job holds it */
};
struct job {
    struct job *next;
    uint32_t open;  /* makes, stores and renewals not closed */
    uint32_t makes; /* of them, of its keys */
    bool looked;
    bool remembers; /* `near` is an earlier lookup's: some may be gone */
    struct stoq_hash key;
    struct own **v; /* to be made and stored */
    uint32_t count;
    uint32_t done;
    struct batch *batches;
    struct anew *anew;
    uint64_t anew_s; /* when what it signs anew was issued */
    struct miss *misses;
    uint32_t miss_count;
    uint32_t miss_cap;
    uint32_t near_count;
    stoq_contact_no near[DHT_CANDIDATES]; /* that answered, nearest to key first; held */
};
/* Who answered a lookup not long ago: keys with the same first bits need none of their own. */
struct around {
    struct stoq_hash key;
    unsigned bits;
    stoq_ns at;
    uint32_t count;
    stoq_contact_no near[DHT_CANDIDATES]; /* held */
};
#define HOLDERS_MAX 64
struct holders {
    stoq_contact_no v[HOLDERS_MAX];
    uint32_t count;
    uint32_t wanted; /* the first so many are the K, or all; we may be one of them */
    bool self;
};
/* Holders that say Busy. */
#define SPENT_MAX 256
struct spent_holder {
    uint64_t id;   /* its first bits */
    stoq_ns until; /* it is sent nothing before */
    uint32_t in_a_row;
};
struct spent {
    uint32_t count;
    struct spent_holder v[SPENT_MAX];
};
struct provide {
    struct around *around; /* NULL: none */
    struct spent *spent;   /* NULL: none */
    struct own **v;        /* the first `sorted` in the order of their keys, then late ones */
    uint32_t count;
    uint32_t capacity;
    uint32_t sorted;
    struct stoq_hash cursor; /* everything up to there has been announced */
    struct job *jobs;
    uint32_t job_count;
    uint32_t stores; /* records under way, each in a STORE or with others in a PATCH */
    uint64_t sent;
    uint64_t kept;
    uint64_t anew;
    uint32_t makes;   /* records being signed */
    uint32_t remakes; /* of what is here, for others */
    stoq_ns next_at;  /* nothing is due before */
    stoq_ns began_at;
    /* Somebody has come or gone: what all hold is looked through then. */
    stoq_ns changed_at;
    stoq_ns changed_wait;
    stoq_ns changed_last;
};

struct stoq_dht {
    struct stoq_dht_config cfg;
    struct stoq_prng prng;
    stoq_ns now;
    uint64_t wall_s; /* at wall_at */
    stoq_ns wall_at;
    uint64_t last_cookie;
    struct stoq_map pending_map;
    struct pending *pending_first;
    stoq_ns soft_at; /* no call's soft time is over before */
    struct table table;
    struct lookup *lookups;
    uint32_t lookup_count;
    uint64_t lookups_done;
    uint64_t mended;
    struct store store;
    struct hands hands;
    struct provide provide;
    stoq_ns upkeep_at;
    stoq_ns refresh_at;
    uint32_t refreshes; /* so far; the first ones follow each other quickly */
    struct action_node *out_first;
    struct action_node **out_last;
    struct action_node *taken;
    uint32_t out_count;
};

/* An action with what it lends. */
struct action_node {
    struct action_node *next;
    struct stoq_dht_action action;
    struct stoq_dht_renewal *renewal; /* held; NULL: none */
    struct stoq_dht_patch *patch;     /* held; NULL: none */
    uint8_t *kept;                    /* they lie behind the contacts */
    bool answers;                     /* a MAKE that a request waits for */
    uint32_t contact_count;
    uint32_t record_count;
    stoq_contact_no *contacts;         /* held; they lie behind the records */
    struct stoq_dht_record *records[]; /* held; room for both is by the action's kind */
};

/* dht.c */
struct action_node *dht_out(struct stoq_dht *d, enum stoq_dht_action_kind kind); /* NULL: no room */
void dht_out_contact(struct stoq_dht *d, struct action_node *o, stoq_contact_no contact);
void dht_out_record(struct action_node *o, struct stoq_dht_record *record);
struct pending *dht_pending(struct stoq_dht *d, enum pending_kind kind); /* NULL: no memory */
void dht_pending_free(struct stoq_dht *d, struct pending *p);
/* Ask a contact; when it goes again is for the table to say, unless the call does. NULL: no memory or no
 * room, as if it were silent. */
struct pending *dht_call(struct stoq_dht *d, stoq_contact_no to, const struct stoq_dht_call *call);
static inline const struct stoq_hash *dht_id_of(const struct stoq_dht *d, stoq_contact_no contact)
{
    return &stoq_dht_book_get(d->cfg.book, contact)->id;
}
static inline uint64_t dht_group_of(const struct stoq_dht *d, stoq_contact_no contact)
{
    return stoq_dht_book_get(d->cfg.book, contact)->group;
}
uint64_t dht_wall(const struct stoq_dht *d);
static inline struct stoq_map_key dht_map_key(const uint8_t *b)
{
    return (struct stoq_map_key){stoq_le64(b), stoq_le64(b + 8)};
}

/* table.c */
/* It has answered; rtt_ns 0: how quickly is not known. */
void table_seen(struct stoq_dht *d, stoq_contact_no contact, stoq_ns rtt_ns);
/* It has not; gone: out with it whatever it did before. */
void table_failed(struct stoq_dht *d, stoq_contact_no contact, bool gone);
/* Is it worth a ping: unknown, and there is a place for it? Then it is asked. */
void table_hint(struct stoq_dht *d, stoq_contact_no contact);
/* How long to wait for it before another is asked; 0: it was never measured. */
stoq_ns table_rtt(const struct stoq_dht *d, stoq_contact_no contact);
/* It is there, and did not answer when it was asked last. */
bool table_has_failed(const struct stoq_dht *d, stoq_contact_no contact);
/* Look after a contact that has been silent for long. Returns when to come again. */
stoq_ns table_upkeep(struct stoq_dht *d);
uint32_t table_levels(const struct stoq_dht *d);
uint64_t table_bytes(const struct stoq_dht *d);
void table_release(struct stoq_dht *d);

/* The digit of an id at a level. */
unsigned table_digit(const struct stoq_dht *d, const struct stoq_hash *id, unsigned level);

/* near.c */
/* The nearest to target, nearest first, but for `without` (0: none). */
uint32_t table_nearest(const struct stoq_dht *d, const struct stoq_hash *target,
                       stoq_contact_no without, stoq_contact_no *out, uint32_t max);
/* Within this of us are the K nearest that we know. */
uint64_t table_near_radius(struct stoq_dht *d);
/* Within this of any key K nodes are to be expected. */
uint64_t table_key_radius(struct stoq_dht *d);
uint64_t table_size(const struct stoq_dht *d);

/* lookup.c */
/* NULL: no memory, or too many. */
struct lookup *lookup_new(struct stoq_dht *d, const struct stoq_hash *target, enum lookup_use use);
/* It is told this record; false: not of its key, over, older than one it knows, or no room. */
bool lookup_record(struct stoq_dht *d, struct lookup *l, struct stoq_dht_record *r);
void lookup_drive(struct stoq_dht *d, struct lookup *l);
void lookup_reply(struct stoq_dht *d, struct pending *p, const struct stoq_dht_reply *reply);
/* Its soft time is over. */
void lookup_slow(struct stoq_dht *d, struct pending *p);
void lookup_stop(struct stoq_dht *d, uint32_t number);
void lookup_free_over(struct stoq_dht *d);
void lookup_free(struct stoq_dht *d, struct lookup *l);

/* held.c */
enum stoq_dht_outcome held_offer(struct stoq_dht *d, const struct stoq_dht_request *q,
                                 uint32_t *ttl_s); /* DONE: may be taken in once it is checked */
/* Checked: in with it. False: no memory, or what was free is not any more. */
bool held_take(struct stoq_dht *d, struct stoq_dht_record *record, uint32_t ttl_s);
void held_refuse(struct stoq_dht *d, enum stoq_dht_refusal why);
/* Its signature is not its publisher's: what was taken from his bucket goes back. */
void held_forged(struct stoq_dht *d, const struct stoq_peer_id *publisher);
/* May a renewal be answered? DONE; *ripe: it would keep something on, and its signature is to be checked. */
enum stoq_dht_outcome held_renew_offer(struct stoq_dht *d, const struct stoq_dht_request *q,
                                       bool *ripe);
/* Into out, of each that it names, what REPLY says as `kept`; good: it is checked, and keeps them on. */
void held_renew(struct stoq_dht *d, const struct stoq_dht_renewal *renewal, bool good,
                uint8_t *out);
uint32_t held_list(const struct stoq_dht *d, const struct stoq_hash *key, bool withdrawn,
                   struct stoq_dht_record **out, uint32_t max);
/* The next that is held and lives, none taken back; NULL: no more. Nothing may be taken in or removed in
 * between. */
struct stoq_dht_record *held_next(const struct stoq_dht *d, struct held_walk *walk);
void held_expire(struct stoq_dht *d);
uint64_t held_bytes(const struct stoq_dht *d);
void held_release(struct stoq_dht *d);
/* Seconds that are left of a record by its own account; 0: none, or its times do not hold. */
uint32_t held_time_left(const struct stoq_dht *d, const struct stoq_dht_record *record);

/* serve.c */
void serve_request(struct stoq_dht *d, const struct stoq_dht_request *r);
void serve_checked(struct stoq_dht *d, struct pending *p, bool good);
/* Answer a FIND_VALUE; ours: that of its key that is here, NULL: none. */
void serve_value(struct stoq_dht *d, const struct stoq_dht_request *r,
                 struct stoq_dht_record *ours);

/* hand.c */
/* A contact has come into the table. */
void hand_met(struct stoq_dht *d, stoq_contact_no newcomer);
void hand_run(struct stoq_dht *d);
/* What was made again for it; NULL: nothing was. */
void hand_made(struct stoq_dht *d, const struct pending *p, struct stoq_dht_record *record);
void hand_closed(struct stoq_dht *d, const struct pending *p, enum stoq_dht_outcome outcome);
stoq_ns hand_deadline(const struct stoq_dht *d);
void hand_release(struct stoq_dht *d);

/* provide.c */
enum stoq_status provide_add(struct stoq_dht *d, const struct stoq_dht_announce *a);
void provide_withdraw(struct stoq_dht *d, const struct stoq_hash *key);
void provide_looked(struct stoq_dht *d, struct lookup *l);
void provide_made(struct stoq_dht *d, struct pending *p, const struct stoq_dht_made *made);
void provide_stored(struct stoq_dht *d, struct pending *p, const struct stoq_dht_reply *reply);
void provide_run(struct stoq_dht *d);
/* May another record be signed or sent whole? */
bool provide_has_room(const struct stoq_dht *d);
/* own.c. first_from: of those in order, the first whose key is not less than this (up 0), or is more (1). */
uint32_t own_first_from(const struct provide *pr, const struct stoq_hash *key, int up);
void own_sort_in(struct provide *pr);
STOQ_WARN_UNUSED enum stoq_status own_make_room(struct provide *pr); /* STOQ_NOMEM */
/* A key of ours; NULL: it is none. */
struct own *provide_own(const struct stoq_dht *d, const struct stoq_hash *key);
void provide_due(struct stoq_dht *d, struct own *o, stoq_ns at);
/* All but its cookie; again: the same as before. */
void provide_fill_make(const struct stoq_dht *d, struct stoq_dht_make *make, const struct own *o,
                       bool again);
/* NULL: no memory; it goes on with the next event that frees something. */
struct pending *provide_ask_make(struct stoq_dht *d, struct job *j, struct own *o, bool again);
/* Whole, to a holder that is counted as open already. False: no memory, or no room. */
bool provide_store(struct stoq_dht *d, struct job *j, struct own *o, stoq_contact_no to,
                   struct stoq_dht_record *record);
/* How a holder answered: is it there no more? */
void provide_missed(struct stoq_dht *d, struct own *o, enum stoq_dht_outcome outcome);
/* One holder less is waited for. */
void provide_closed(struct stoq_dht *d, struct job *j, struct own *o);
/* All jobs go on where they can. */
void provide_drive(struct stoq_dht *d);
/* A contact has come into the table, or left it. */
void provide_changed(struct stoq_dht *d);
void provide_init(struct stoq_dht *d);
/* As far as the cursor may go: what is due or under way is not announced. */
struct stoq_hash provide_swept(const struct stoq_dht *d);
stoq_ns provide_deadline(const struct stoq_dht *d);
void provide_release(struct stoq_dht *d);

/* renew.c */
/* Is the record that is out good for another round? */
bool renew_is_lasting(const struct stoq_dht *d, const struct own *o);
/* Say to a holder, together with others, that this still holds. False: no memory. */
bool renew_tell(struct stoq_dht *d, struct job *j, struct own *o, stoq_contact_no to);
/* A record was made again for a holder that has it no more. */
void renew_made(struct stoq_dht *d, struct pending *p, struct stoq_dht_record *record);
/* A RENEW or a PATCH of ours is closed. */
void renew_told(struct stoq_dht *d, struct pending *p, const struct stoq_dht_reply *reply);
/* What waits for the job's other keys, or for room. */
void renew_drive(struct stoq_dht *d, struct job *j);
void renew_release(struct job *j);

/* patch.c */
/* Give a holder, together with others, the new signature of what it has as `before`. False: no memory. */
bool patch_tell(struct stoq_dht *d, struct job *j, struct own *o, stoq_contact_no to,
                const struct telling *t);
/* What waits for more: all of the job's are signed. */
void patch_drive(struct stoq_dht *d, struct job *j);
void patch_release(struct job *j);

/* here.c */
bool here_is(const struct own *o, stoq_ns now); /* NULL: no */
/* Each is false where none of ours is here, or cannot be made now: then it goes on without. */
bool here_answer(struct stoq_dht *d, const struct stoq_dht_request *r);
bool here_look(struct stoq_dht *d, struct lookup *l);
bool here_hand(struct stoq_dht *d, const struct stoq_hash *key, stoq_contact_no to, uint32_t hands);
void here_made(struct stoq_dht *d, struct pending *p, struct stoq_dht_record *record);
void here_release(struct stoq_dht *d, struct remake *r); /* NULL is fine */

/* holders.c */
void holders_choose(struct stoq_dht *d, const struct job *j, const struct stoq_hash *key,
                    struct holders *h);

/* spent.c */
/* How a holder answered a record that was sent to it. */
void spent_told(struct stoq_dht *d, stoq_contact_no to, enum stoq_dht_outcome outcome);
/* It takes none now, as it has said several times. */
bool spent_is(const struct stoq_dht *d, stoq_contact_no to);

/* around.c */
void around_drop(struct stoq_dht *d);
/* Without memory for it the next job looks for itself. */
void around_keep(struct stoq_dht *d, const struct job *j, unsigned bits);
/* Of the last lookup, where that says enough of this key; NULL: it does not. */
const struct around *around_of(const struct stoq_dht *d, const struct stoq_hash *key);

#endif
