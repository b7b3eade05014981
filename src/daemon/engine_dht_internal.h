#ifndef STOQ_DAEMON_ENGINE_DHT_INTERNAL_H
#define STOQ_DAEMON_ENGINE_DHT_INTERNAL_H
/*
 * The DHT between the node's half of it and the engine, all on the network thread:
 *   engine_dht.c        its life: our id, our addresses, ways in, its file
 *   engine_dht_calls.c  calls out, answers in, and what comes of them
 *   engine_dht_link.c   calls on connections
 *   engine_dht_wait.c   what other threads ask and wait for
 *   engine_dht_say.c    what records of ours say besides where we are
 */
#include "daemon/dht_file.h"
#include "daemon/engine_call.h"
#include "daemon/engine_dht.h"
#include "daemon/engine_internal.h"
#include "discover/cache.h"
#include "discover/early_keys.h"
#include "node/node_dht.h"

#include <string.h>

#define DHT_JOINS_MAX 16
#define DHT_EARLY_MAX STOQ_DHT_OWN_MAX /* no more can be announced anyway */
#define DHT_SAID_MAX 65536             /* values under keys of ours, 32 MiB at most */
#define DHT_CALLS_MAX 512              /* on connections, at a time */
#define DHT_SEEKS_MAX STOQ_DHT_LOOKS_MAX
#define DHT_REJOIN_FIRST (1 * STOQ_SEC)

/* What our record of a key says. */
struct said {
    uint32_t n;
    uint8_t bytes[];
};

/* Somebody waits for a lookup or an announcement. */
struct dht_wait {
    struct engine_wait wait; /* first */
    uint32_t look;           /* 0: an announcement, or it has not begun */
    bool started;
    stoq_ns begun_at;
    bool seek;          /* for fetches that run; it is the engine's own */
    uint32_t providers; /* found */
    struct stoq_hash key;
    const struct stoq_engine_dht_ask *ask; /* NULL: an announcement */
    struct stoq_engine_dht_found *found;   /* NULL: nobody wants to know more */
    struct stoq_dht_announced *announced;
};

struct dht_call;

struct engine_dht {
    struct stoq_engine *engine;
    bool client;              /* it asks, and is asked nothing: no id is searched for */
    struct stoq_node_dht *nd; /* NULL: not yet */
    struct stoq_job job;      /* the search */
    struct stoq_dht_search search;
    bool found;
    bool searching;
    struct stoq_buf file; /* as read */
    struct stoq_dht_file remembered;
    struct stoq_fetch_source ways[DHT_JOINS_MAX]; /* into the DHT */
    size_t way_count;
    bool dialled[DHT_JOINS_MAX]; /* it goes on when the peer is up */
    bool joined[DHT_JOINS_MAX];  /* it has let us in */
    stoq_ns rejoin_at;
    stoq_ns rejoin_after;    /* doubles */
    struct stoq_early early; /* to be announced once there is a DHT */
    struct engine_waits waits;
    struct dht_call *calls; /* on connections */
    size_t call_count;
    uint32_t look_last;
    struct stoq_discovery cache;
    struct stoq_map said; /* key -> struct said */
    bool saving;          /* a worker writes the file */
    stoq_ns save_at;
    stoq_ns clock_at;
};

static inline struct stoq_node_dht_addr to_dht(const struct stoq_addr *a)
{
    struct stoq_node_dht_addr out;
    memcpy(out.b, a->ip, sizeof a->ip);
    out.b[16] = (uint8_t)a->port;
    out.b[17] = (uint8_t)(a->port >> 8);
    return out;
}

static inline struct stoq_addr from_dht(const struct stoq_node_dht_addr *a)
{
    struct stoq_addr out = {.port = (uint16_t)(a->b[16] | a->b[17] << 8)};
    memcpy(out.ip, a->b, sizeof out.ip);
    return out;
}

/* engine_dht.c */
uint64_t dht_wall_us(void); /* since 1970 */
/* Get an id, where we have none, and begin. */
void dht_begin(struct engine_dht *ed);
void dht_join_all(struct engine_dht *ed);

/* engine_dht_calls.c */
void dht_act(struct engine_dht *ed, const struct stoq_node_dht_action *a);
void dht_fill_contact(struct engine_dht *ed, stoq_contact_no no,
                      struct stoq_engine_dht_contact *out);

/* engine_dht_link.c */
/* Does its Hello say that it answers no such request? Then it is not asked. */
bool dht_link_lacks(const struct engine_dht *ed, const struct stoq_node_dht_call *call);
/* Is this call to go on a connection? */
bool dht_link_is_better(const struct engine_dht *ed, const struct stoq_node_dht_call *call);
/* STOQ_OK: stoq_node_dht_replied closes it, perhaps at once; STOQ_NOMEM. */
enum stoq_status dht_link_call(struct engine_dht *ed, const struct stoq_node_dht_call *call);
void dht_link_up(struct engine_dht *ed, const struct peer *p);
void dht_link_down(struct engine_dht *ed, const struct peer *p);
void dht_link_run(struct engine_dht *ed, stoq_ns now); /* end those whose time is over */
stoq_ns dht_link_deadline(const struct engine_dht *ed);
void dht_link_cut(struct engine_dht *ed); /* all of them */

/* engine_dht_say.c */
struct stoq_span dht_said(void *user, const struct stoq_hash *key); /* stoq_node_dht_config's */
void dht_said_release(struct engine_dht *ed);

/* engine_dht_wait.c */
void dht_announce(struct engine_dht *ed, const struct stoq_hash *key, bool urgent);
void dht_withdraw(struct engine_dht *ed, const struct stoq_hash *key);
/* As dht_announce, or once there is a DHT. */
void dht_announce_early(struct engine_dht *ed, const struct stoq_hash *key);
/* Those that may be started now; when to look again. */
stoq_ns dht_waits_start(struct engine_dht *ed, stoq_ns now);
void dht_wait_end(struct engine_dht *ed, struct dht_wait *w, enum stoq_status status);

#endif
