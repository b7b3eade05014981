#ifndef STOQ_SIM_DHT_INTERNAL_H
#define STOQ_SIM_DHT_INTERNAL_H
/*
 * The DHT simulator's insides, one file per concern:
 *
 *   dht_run.c    the world: making it, the loop over events, draws, the trace
 *   dht_life.c   nodes: tables from the true population, coming and leaving
 *   dht_net.c    calls, answers, signatures
 *   dht_foe.c    what those do who are not honest
 *   dht_bulk.c   one node with very many packages
 *   dht_trial.c  what is measured: lookups, announcements, finds
 */
#include "base/prng.h"
#include "base/wheel.h"
#include "sim/dht_run.h"
#include "sim/pool.h"

#define SIM_DHT_WALL_S 1700000000u
#define SIM_DHT_RECORD_ROOM 4           /* of an answer; a record takes a contact's room */
#define SIM_DHT_CANDIDATES_MAX 16u      /* for one place in a first table */
#define SIM_DHT_SETTLED (30 * STOQ_SEC) /* after that a newcomer is expected to be known */

enum sim_dht_event {
    DHT_EV_REQUEST, /* what: letter */
    DHT_EV_REPLY,   /* what: letter */
    DHT_EV_PROVED,  /* what: letter */
    DHT_EV_WAKE,
    DHT_EV_JOIN,
    DHT_EV_LEAVE,
    DHT_EV_RETURN,
    DHT_EV_SHOW,     /* a foe shows itself to others */
    DHT_EV_TURN,     /* some are foes from now on */
    DHT_EV_TWINS,    /* what: key. Foes leave good records with its holders ... */
    DHT_EV_ATTACK,   /* what: key. ... and others */
    DHT_EV_ANNOUNCE, /* what: key */
    DHT_EV_MEASURE,
    DHT_EV_LOOK, /* what: trial */
    DHT_EV_SURVIVED,
    DHT_EV_BULK,
    DHT_EV_BULK_STEP,
};

/* A call on its way there and back. */
struct sim_dht_letter {
    struct stoq_dht_call call; /* its record, renewal or patch is held */
    stoq_ns sent_at;
    uint32_t sends; /* in vain so far */
    uint32_t life;  /* of the caller: a new core knows nothing of it */
    bool is_answered;
    bool is_good;     /* PROVED */
    bool is_unproven; /* from nobody knows where */
    enum stoq_dht_outcome outcome;
    bool more;
    uint32_t ttl_s;
    uint32_t contact_count;
    uint32_t record_count;
    uint8_t *kept; /* of a renewal or patch; NULL: nothing is */
    uint32_t kept_count;
    stoq_contact_no contacts[STOQ_DHT_ANSWER_MAX];        /* held; w->cfg.room at most */
    struct stoq_dht_record *records[SIM_DHT_RECORD_ROOM]; /* held */
};

struct sim_dht_node {
    struct stoq_dht *dht; /* NULL: gone for good, or never needed yet */
    stoq_contact_no contact;
    struct stoq_hash id;
    struct stoq_peer_id peer;
    struct stoq_prng prng;
    stoq_ns came_at;
    stoq_ns left_at; /* STOQ_NEVER: has not */
    stoq_ns wake_at;
    stoq_ns line_rtt_ns;
    uint64_t sequence; /* of its last record */
    uint32_t life;     /* how many cores it had */
    uint8_t region;
    bool is_ready;   /* it has a core, and a table if it is one of the first */
    bool has_joined; /* it does what it wants; before that it answers and no more */
    bool is_foe;
    bool stays; /* until the end: it announces something that is measured */
};

struct sim_dht_trial {
    struct stoq_hash key;
    uint32_t node;
    uint32_t of; /* finds: whose key */
    bool is_find;
    bool is_over;
    bool is_exact;
    bool is_untrue;
    bool is_replayed; /* an older record than its publisher's last was given */
    bool is_current;  /* and that one */
    stoq_ns began_at;
    stoq_ns first_at; /* a record was found; 0: none */
    struct stoq_dht_looked end;
};
struct sim_dht_key {
    struct stoq_hash key;
    uint32_t node;
    stoq_ns began_at;
    stoq_ns told_at; /* 0: not yet */
    struct stoq_dht_announced told;
};

/* Who holds a record of a key. */
struct sim_dht_holder {
    uint32_t key;
    uint32_t node;
};

struct sim_dht_bulk {
    uint32_t node;
    struct stoq_hash *keys;
    uint8_t *done; /* of each package: held by enough when it was killed */
    uint32_t kills;
    uint32_t told; /* tenths */
    uint32_t saves;
    struct stoq_hash saved_at; /* the cursor */
    uint64_t lookups_before;
    stoq_ns began_at;
};

/* What a record says, and what is wrong with it. A record's bytes tell both (sim_dht_says). */
struct sim_dht_says {
    const struct stoq_hash *key;
    uint32_t publisher; /* node */
    uint64_t sequence;
    uint64_t issued_at_s;
    uint32_t ttl_s;
    bool withdrawn;
    enum sim_dht_wrong wrong;
    bool is_unsigned;
};

/* Ids in order, as first bits and node. */
struct sim_dht_place {
    uint64_t at;
    uint32_t node;
};

struct sim_dht_world {
    struct sim_dht_config cfg;
    struct sim_dht_result *result;
    struct stoq_wheel *wheel;
    struct stoq_dht_book *book;
    struct stoq_prng prng;
    stoq_ns now;
    uint64_t seq;
    uint64_t trace;
    uint64_t draws;
    struct sim_dht_node *nodes;
    uint32_t node_count;
    uint32_t node_cap;
    struct sim_dht_place *places; /* of the first population */
    struct sim_dht_place *foes;   /* in order likewise */
    uint32_t foe_count;
    struct sim_pool letters;
    struct sim_dht_trial *trials;
    uint32_t trial_count;
    uint32_t trials_left;
    struct sim_dht_key *keys;
    struct sim_dht_holder *holders; /* when measuring begins, where survival is measured */
    uint32_t holder_count;
    struct sim_dht_bulk bulk;
    uint32_t asker; /* of the request that is being answered */
    struct stoq_dht_answer
        *patched; /* it is one of a patch, and this is the answer to it; NULL: none */
    stoq_ns ends_at;
};

/* dht_run.c */
void sim_dht_put(struct sim_dht_world *w, stoq_ns at, uint32_t to, uint32_t from,
                 enum sim_dht_event kind, uint32_t what);
/* A node's next random number. */
uint64_t sim_dht_draw(struct sim_dht_world *w, uint32_t node);
/* The world's own, below n. */
uint64_t sim_dht_any(struct sim_dht_world *w, uint64_t n);
void sim_dht_note(struct sim_dht_world *w, uint64_t a, uint64_t b);

/* dht_life.c */
/* It has come, and has not left. */
static inline bool sim_dht_is_here(const struct sim_dht_node *n)
{
    return n->came_at != STOQ_NEVER && n->left_at == STOQ_NEVER;
}
/* It is asked: make its core and its table, if it has none. */
void sim_dht_need(struct sim_dht_world *w, uint32_t node);
void sim_dht_populate(struct sim_dht_world *w);
/* The node's core, new; its sweep goes on from there. */
void sim_dht_core(struct sim_dht_world *w, uint32_t node, const struct stoq_hash *sweep_from);
void sim_dht_join(struct sim_dht_world *w, uint32_t node);
void sim_dht_leave(struct sim_dht_world *w, uint32_t node, bool is_replaced);
void sim_dht_return(struct sim_dht_world *w, uint32_t node);
/* Put the foes in order; after is_foe was set. */
void sim_dht_rank_foes(struct sim_dht_world *w);
/* One that is there, drawn at random; an honest one. */
uint32_t sim_dht_some(struct sim_dht_world *w);
void sim_dht_add_sybils(struct sim_dht_world *w, const struct stoq_hash *key);
void sim_dht_life_release(struct sim_dht_world *w);

/* dht_net.c */
stoq_ns sim_dht_rtt(const struct sim_dht_world *w, uint32_t a, uint32_t b);
/* The node of a contact. */
uint32_t sim_dht_of(const struct sim_dht_world *w, stoq_contact_no contact);
void sim_dht_letter_free(struct sim_dht_world *w, uint32_t letter);
void sim_dht_request(struct sim_dht_world *w, uint32_t node, uint32_t from, uint32_t letter);
void sim_dht_reply(struct sim_dht_world *w, uint32_t node, uint32_t from, uint32_t letter);
void sim_dht_proved(struct sim_dht_world *w, uint32_t node, uint32_t letter);
/* Send a call; is_unproven: from an address at which the node cannot be reached. */
void sim_dht_call(struct sim_dht_world *w, uint32_t node, const struct stoq_dht_call *c,
                  bool is_unproven);
/* The letter's answer goes to its sender. */
void sim_dht_answer(struct sim_dht_world *w, uint32_t node, uint32_t to, uint32_t letter,
                    const struct stoq_dht_answer *a);
/* A new record, held once. */
struct stoq_dht_record *sim_dht_record(const struct sim_dht_world *w, const struct sim_dht_says *s);
enum sim_dht_wrong sim_dht_wrong_of(const struct stoq_dht_record *r);
void sim_dht_feed(struct sim_dht_world *w, uint32_t node, const struct stoq_dht_event *ev);
/* Carry out what the core wants, and wake it in time. */
void sim_dht_drain(struct sim_dht_world *w, uint32_t node);

/* dht_foe.c */
void sim_dht_turn(struct sim_dht_world *w);
void sim_dht_show(struct sim_dht_world *w, uint32_t node);
void sim_dht_lie(struct sim_dht_world *w, uint32_t node, uint32_t from, uint32_t letter);
void sim_dht_twins(struct sim_dht_world *w, uint32_t key);
void sim_dht_attack(struct sim_dht_world *w, uint32_t key);
void sim_dht_count_attacks(struct sim_dht_world *w);

/* dht_bulk.c */
void sim_dht_bulk(struct sim_dht_world *w);
void sim_dht_bulk_step(struct sim_dht_world *w);

/* dht_trial.c */
void sim_dht_plan(struct sim_dht_world *w);
void sim_dht_announce(struct sim_dht_world *w, uint32_t key);
void sim_dht_measure(struct sim_dht_world *w);
void sim_dht_look(struct sim_dht_world *w, uint32_t trial);
void sim_dht_found(struct sim_dht_world *w, const struct stoq_dht_found *f);
void sim_dht_looked(struct sim_dht_world *w, const struct stoq_dht_looked *l);
void sim_dht_announced(struct sim_dht_world *w, uint32_t node, const struct stoq_dht_announced *a);
void sim_dht_survived(struct sim_dht_world *w);
void sim_dht_sum_up(struct sim_dht_world *w);

#endif
