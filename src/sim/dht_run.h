#ifndef STOQ_SIM_DHT_RUN_H
#define STOQ_SIM_DHT_RUN_H
/*
 * The simulator's wide mode for the DHT: the daemon's own src/dht, a core per node, on a virtual network of
 * up to some 100,000 nodes. Messages go as they are, in the room of a datagram; signatures are played:
 * what a forger writes is marked as such, and a check finds the mark. docs/SIMULATOR.md section 6.
 */
#include "dht/dht.h"
#include "sim/cost.h"
#include "sim/model.h"

/* What nodes that are not honest do. They are a share of all, or sit around one key. */
enum sim_dht_foe {
    SIM_DHT_FOE_NONE,
    SIM_DHT_FOE_LIARS,   /* when measuring begins: name only each other, withhold, keep nothing */
    SIM_DHT_FOE_POISON,  /* from the start the same, and each shows itself to others all the time */
    SIM_DHT_FOE_SYBILS,  /* there before the announcements, nearer to the first key than anybody */
    SIM_DHT_FOE_FORGERS, /* as liars, and they offer and answer records of all kinds below */
    SIM_DHT_FOES,
};
/* What is wrong with a record. */
enum sim_dht_wrong {
    SIM_DHT_RIGHT,
    SIM_DHT_FORGED,      /* newer than its publisher's, and not signed by him */
    SIM_DHT_REPLAYED,    /* its publisher's, of before */
    SIM_DHT_EXPIRED,     /* its publisher's, newer, and past its time */
    SIM_DHT_THIRD_PARTY, /* its publisher's own, and the address is somebody else's */
    SIM_DHT_WRONG_KEY,   /* somebody's, of another key */
    SIM_DHT_UNPROVEN,    /* as it should be, from where nothing sent back arrives */
    SIM_DHT_WRONGS,
};
/* "forged", ...; static. */
const char *sim_dht_wrong_str(enum sim_dht_wrong wrong);
/* "none", "liars", ...; -1: none of that name. */
int sim_dht_foe_of(const char *name);

/* Zero means what the brackets say. */
struct sim_dht_config {
    uint64_t seed;
    uint32_t nodes;      /* that are there at all times; at the beginning, if they return */
    bool is_still;       /* a core is made when somebody needs it, with the table of one that has
                            * been there for long, and does nothing by itself: for a million */
    uint32_t candidates; /* a first table's contact is the nearest of so many by round trip [any] */
    bool is_returning;   /* who leaves comes back after another session's time, as he was */
    enum sim_law law;    /* of sessions; who leaves is replaced by somebody new at once */
    stoq_ns warm_ns;     /* from the first table until something is measured [900 s] */
    uint32_t dead_percent; /* of all nodes, gone without a word when measuring begins */
    uint32_t lookups;      /* for the nearest of random keys */
    uint32_t keys;         /* announced by nodes drawn at random, who stay */
    uint32_t finds;        /* lookups for records of these keys, after the deaths */
    uint32_t per_s;        /* lookups begun in a second [20] */
    stoq_ns survive_ns;    /* who announced is gone; count the holders left after this time [no] */
    uint32_t packages;     /* that one node announces all at once when measuring begins */
    uint32_t kill_percent; /* it is killed when so many are announced, and starts again [never] */
    stoq_ns save_ns;       /* its cursor is saved so often [60 s, as the daemon does] */
    uint32_t loss_ppm;     /* of messages */
    enum sim_cost_kind by; /* what every call goes by [sealed datagrams, as the daemon's] */
    uint32_t extra_rtts;   /* of a call, for networks that shake hands on each */
    uint32_t room;         /* contacts in an answer [5, as in a datagram] */
    struct stoq_dht_shape shape;
    enum stoq_dht_without without;
    enum sim_dht_foe foe;
    uint32_t foe_percent;
    uint32_t sybils;
    uint64_t ids;       /* other node ids, on the same paths [none] */
    uint64_t flip_draw; /* which random draw comes out the other way round [none] */
    /* At the end, for whoever compares the world with another one: every pair's round trip, and how long each
     * lookup took that ended. NULL: nobody does. */
    void (*path)(void *user, uint32_t a, uint32_t b, stoq_ns rtt);
    void (*looked)(void *user, stoq_ns took);
    void *user;
};

/* Of one thing that can be wrong with a record. */
struct sim_dht_attack {
    uint32_t twins;    /* the same without it: were taken before */
    uint32_t sent;     /* to holders of the key */
    uint32_t answered; /* to those who look for it */
    uint32_t accepted; /* are held in the end */
    uint32_t returned; /* were given to a lookup's owner */
};

struct sim_dht_times {
    uint32_t count;
    stoq_ns p50;
    stoq_ns p90;
    stoq_ns p99;
};

struct sim_dht_result {
    uint64_t trace; /* of everything that happened, in order */
    uint64_t events;
    uint64_t bytes;  /* on lines, heads of IP and UDP included, of calls that are over */
    uint64_t resent; /* calls' datagrams that went once more */
    uint32_t live;
    uint32_t came; /* nodes that there ever were */
    uint64_t
        core_bytes; /* that cores have, when measuring begins; records and contacts not counted */
    uint32_t cores; /* then */
    uint64_t contacts; /* of all tables, then */
    uint64_t contacts_dead;
    uint64_t contacts_foe;
    uint32_t foes; /* of the live ones, then */
    uint32_t others;

    uint32_t lookups;
    uint32_t exact; /* that gave the true k nearest */
    uint64_t calls; /* of all lookups */
    uint64_t silent;
    uint64_t hops;
    /* To the nearest, to the last of the k nearest, to the last that answered. */
    struct sim_dht_hops {
        uint32_t p50;
        uint32_t p90;
        uint32_t p95;
    } nearest, all, walk;
    struct sim_dht_times look; /* to their ends */

    uint32_t keys;
    uint32_t enough;   /* announced to a majority */
    uint64_t got;      /* holders told */
    uint64_t holding;  /* live nodes that hold one when measuring begins */
    uint64_t survived; /* after survive_ns */
    struct sim_dht_times announce;

    uint64_t bulk_lookups;     /* of the node with the packages, its upkeep included */
    stoq_ns bulk_ns;           /* until the last one was held by enough */
    stoq_ns bulk_tenth_ns[10]; /* when so many tenths were, as the node told */
    uint32_t bulk_at_kill;     /* announced by then */
    uint32_t bulk_again;       /* of these, announced again before 95 % of the others were */
    uint32_t bulk_kept_right;  /* kept or not kept here, as one says who sees all nodes */

    uint32_t finds;
    uint32_t found;
    uint32_t untrue; /* lookups that gave a record with something wrong */
    struct sim_dht_attack attacks[SIM_DHT_WRONGS];
    uint64_t bad_answers;                /* dropped before the core saw them: a signature */
    uint64_t refused[STOQ_DHT_REFUSALS]; /* of stores, by all nodes, honest ones' among them */
    uint64_t find_calls;
    uint64_t find_hops;
    struct sim_dht_times find; /* to the first record */
};

/* Run it. STOQ_OK, or STOQ_RANGE: the configuration makes no sense. */
STOQ_WARN_UNUSED enum stoq_status sim_dht_run(const struct sim_dht_config *cfg,
                                              struct sim_dht_result *out);

#endif
