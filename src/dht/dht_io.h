#ifndef STOQ_DHT_DHT_IO_H
#define STOQ_DHT_DHT_IO_H
/*
 * What goes into the DHT core and what comes out. Contacts are numbers of the book that the core was given,
 * with earned ids and checked signatures; records are shared and counted. Borrowed: an event's arrays
 * until feed returns, an action's until the next feed or poll; a contact or record that the core keeps it
 * holds itself.
 *
 * Cookies are the core's choice, never 0 and never used twice. CALL is closed by one REPLY with its cookie,
 * CHECK and PROVE by one CHECKED, MAKE by one MADE, in any order, at once or late.
 */
#include "dht/book.h"

/* What one peer asks of another (docs/PROTOCOL.md section 5). */
enum stoq_dht_ask {
    STOQ_DHT_PING,
    STOQ_DHT_FIND_NODE,
    STOQ_DHT_FIND_VALUE,
    STOQ_DHT_STORE,
    STOQ_DHT_RENEW,
    STOQ_DHT_PATCH, /* a CALL; who gets it gives each record as a STORE: stoq_dht_base */
};

/* How a request ends. */
enum stoq_dht_outcome {
    STOQ_DHT_DONE,
    STOQ_DHT_SILENT,   /* no reply in time, or no way there */
    STOQ_DHT_BUSY,     /* no room, or a quota is spent */
    STOQ_DHT_STALE,    /* an older record than the one that is held */
    STOQ_DHT_REJECTED, /* signature, key, time or addresses do not hold */
    STOQ_DHT_REFUSED,  /* not proven to be reachable, or not taking part */
    STOQ_DHT_BROKEN,   /* the reply breaks the protocol, or lies */
};

enum stoq_dht_event_kind {
    STOQ_DHT_MET,      /* u.met: we have just talked with it */
    STOQ_DHT_HINT,     /* u.met: it is said to be there; to be looked at when it would be of use */
    STOQ_DHT_REQUEST,  /* u.request: somebody asks us; ANSWER follows, after a CHECK at most */
    STOQ_DHT_REPLY,    /* u.reply: closes CALL */
    STOQ_DHT_CHECKED,  /* u.checked: closes CHECK and PROVE */
    STOQ_DHT_MADE,     /* u.made: closes MAKE */
    STOQ_DHT_LOOK,     /* u.look: begin a lookup; LOOKED follows */
    STOQ_DHT_STOP,     /* u.stop: end one; no LOOKED follows */
    STOQ_DHT_ANNOUNCE, /* u.announce: we provide what this key stands for, from now on */
    STOQ_DHT_WITHDRAW, /* u.announce: no longer */
    STOQ_DHT_CLOCK, /* u.clock: what the calendar says now; at the start, and when it has moved */
};

struct stoq_dht_event {
    enum stoq_dht_event_kind kind;
    union {
        struct stoq_dht_met {
            stoq_contact_no contact;
            stoq_ns rtt_ns; /* MET; 0: not measured */
        } met;
        struct stoq_dht_request {
            uint64_t request; /* the shell's name for it */
            enum stoq_dht_ask ask;
            struct stoq_hash target;
            uint32_t want;                    /* contacts, or records */
            uint32_t skip;                    /* as many were had before */
            stoq_contact_no sender;           /* as it says it is; 0: it does not say */
            struct stoq_dht_record *record;   /* STORE; its form is checked, its signature is not */
            struct stoq_dht_renewal *renewal; /* RENEW; likewise */
            bool proven;                      /* what is sent back reaches it */
            /* STORE: the record names where it is seen to be, or no address: nothing to PROVE; RENEW: it is
             * said to us. */
            bool own;
            bool patched; /* STORE: it was made out of one that is here */
        } request;
        struct stoq_dht_reply {
            uint64_t cookie;
            enum stoq_dht_outcome outcome;
            const stoq_contact_no *contacts;
            uint32_t contact_count;
            struct stoq_dht_record *const *records; /* of the key asked for, signatures checked */
            uint32_t record_count;
            uint32_t bad_count; /* records and contacts that were none */
            bool more;          /* there was no room for all */
            uint32_t ttl_s;     /* STORE */
            /* RENEW: of each record for how long after the renewal was issued it is kept, in units of
             * STOQ_DHT_KEPT_S; 0: it is not here. PATCH: stoq_dht_patch_kept of each. None: the other end
             * knows no such request. */
            const uint8_t *kept;
            uint32_t kept_count;
            stoq_ns rtt_ns; /* 0: not measured */
        } reply;
        struct stoq_dht_checked {
            uint64_t cookie;
            bool good;
        } checked;
        struct stoq_dht_made {
            uint64_t cookie;
            struct stoq_dht_record *record; /* NULL: could not */
            bool likewise; /* not the one before, but it says the same at another time */
        } made;
        struct stoq_dht_look {
            uint32_t look; /* the shell's name for it, unique among those that run, not 0 */
            struct stoq_hash target;
            bool value;    /* look for records, and stop when there are enough */
            uint32_t want; /* records or contacts; 0: STOQ_DHT_ENOUGH and STOQ_DHT_K */
            bool deep;     /* ask every holder: those found before were no use */
            bool trace;
        } look;
        struct stoq_dht_stop {
            uint32_t look;
        } stop;
        struct stoq_dht_announce {
            struct stoq_hash key;
            stoq_ns in_ns; /* it was announced not long ago: no sooner than this again */
            bool urgent;   /* somebody waits: before the sweep comes by */
        } announce;
        struct stoq_dht_clock {
            uint64_t wall_s; /* since 1970 */
        } clock;
    } u;
};

enum stoq_dht_action_kind {
    STOQ_DHT_CALL,      /* u.call: ask this of a contact */
    STOQ_DHT_ANSWER,    /* u.answer */
    STOQ_DHT_CHECK,     /* u.check: is the record, or the renewal, signed by its publisher? */
    STOQ_DHT_PROVE,     /* u.check: does its publisher answer at an address that it names? */
    STOQ_DHT_MAKE,      /* u.make: sign a record of ours */
    STOQ_DHT_FOUND,     /* u.found: a record, not told before by this lookup */
    STOQ_DHT_TRACE,     /* u.trace: a contact has answered a lookup, or not */
    STOQ_DHT_LOOKED,    /* u.looked: a lookup is over */
    STOQ_DHT_ANNOUNCED, /* u.announced: how many hold it now */
};

struct stoq_dht_action {
    enum stoq_dht_action_kind kind;
    union {
        struct stoq_dht_call {
            uint64_t cookie;
            stoq_contact_no to;
            enum stoq_dht_ask ask;
            struct stoq_hash target;
            uint32_t want;
            uint32_t skip;
            struct stoq_dht_record *record;
            struct stoq_dht_renewal *renewal;
            struct stoq_dht_patch *patch;
            stoq_ns timeout_ns; /* REPLY comes until then */
            stoq_ns resend_ns;  /* a datagram without one goes again after this, twice this ... */
        } call;
        struct stoq_dht_answer {
            uint64_t request;
            enum stoq_dht_outcome outcome;
            const stoq_contact_no *contacts; /* nearest first */
            uint32_t contact_count;
            struct stoq_dht_record *const *records;
            uint32_t record_count;
            bool more;
            uint32_t ttl_s;
            const uint8_t *kept;
            uint32_t kept_count;
        } answer;
        struct stoq_dht_check {
            uint64_t cookie;
            struct stoq_dht_record *record;   /* or ... */
            struct stoq_dht_renewal *renewal; /* CHECK */
        } check;
        struct stoq_dht_make {
            uint64_t cookie;
            struct stoq_hash key;
            uint32_t ttl_s;
            bool withdrawn;       /* without addresses */
            uint64_t digest;      /* of the one before; 0: there was none */
            uint64_t sequence;    /* of that */
            uint64_t issued_at_s; /* likewise */
            bool again; /* that one is wanted, if what it says still holds; else a new one */
            /* A new one that says what the one before said: issued then, with that time in microseconds as
             * its sequence where that is a later one, so that it has both in common with others. */
            uint64_t anew_s;
        } make;
        struct stoq_dht_found {
            uint32_t look;
            struct stoq_dht_record *record;
        } found;
        struct stoq_dht_trace {
            uint32_t look;
            stoq_contact_no contact;
            enum stoq_dht_outcome outcome;
            uint32_t hop; /* 1: it was in our table */
            uint32_t path;
            uint32_t contacts; /* it named */
            uint32_t records;
            stoq_ns took_ns;
        } trace;
        struct stoq_dht_looked {
            uint32_t look;
            const stoq_contact_no *contacts; /* the nearest that answered, nearest first */
            uint32_t contact_count;
            uint32_t records;
            uint32_t calls;
            uint32_t silent;
            uint32_t hops;      /* to the nearest, or to the first that had a record */
            uint32_t hops_all;  /* to the last of `contacts` */
            uint32_t hops_walk; /* to the last that answered: nobody nearer was left to ask */
            uint32_t paths;
            stoq_ns took_ns;
        } looked;
        struct stoq_dht_announced {
            struct stoq_hash key;
            uint32_t wanted; /* STOQ_DHT_K, or all there are */
            uint32_t got;    /* this node among them where it is near enough */
            bool enough;     /* a majority; else it is tried again by itself */
            bool withdrawn;
            stoq_ns again_in_ns;
        } announced;
    } u;
};

#endif
