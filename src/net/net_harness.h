#ifndef STOQ_NET_NET_HARNESS_H
#define STOQ_NET_NET_HARNESS_H
/* Two endpoints on one loop, and what their callbacks told, for the tests of this folder. */
#include "net/net_internal.h"
#include "os/loop.h"
#include "os/sys.h"
#include "sign/sign.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define LIMIT (60 * STOQ_SEC) /* of any wait: a failure, not a pace */

struct side {
    struct stoq_net *net;
    struct stoq_key *key;
    struct stoq_peer_id id;
    struct world *world;
    stoq_net_conn conn; /* the latest opened */
    struct stoq_net_opened opened_info;
    int opened;
    int closed;
    int refused;
    struct stoq_net_closed closed_info;
    char closed_text[STOQ_NET_CLOSE_TEXT_MAX];
    int streams;
    int streams_closed;
    uint64_t stream_code;
    int ended;
    bool ended_stop;
    uint64_t ended_code;
    int writable;
    int may_open;
    uint64_t received;
    int fins;
    int released;
    /* What a test wants done with data and streams. */
    void (*on_data)(struct side *s, stoq_net_conn conn, stoq_net_stream stream,
                    struct stoq_span bytes, bool fin);
    void (*on_writable)(struct side *s, stoq_net_conn conn, stoq_net_stream stream);
    void (*on_may_open)(struct side *s, stoq_net_conn conn);
    void (*on_stream_closed)(struct side *s, stoq_net_conn conn, stoq_net_stream stream);
    void *test;
};

struct world {
    struct stoq_loop *loop;
    struct stoq_hook hook;
    struct stoq_timer *limit;
    bool late;
    bool (*done)(struct world *w);
    struct side a; /* dials */
    struct side b; /* listens on addr */
    struct stoq_addr addr;
};

/* What endpoints that do not say otherwise have; as many tests as can run with each. */
extern unsigned world_threads;
int two_threads(void **state);
int one_thread(void **state);
#define ON_TWO_THREADS(test)                                                                       \
    {                                                                                              \
#test " on two threads", test, two_threads, one_thread, NULL                               \
    }

/* a dialling endpoint and a listening one with these settings (loop, key, callbacks are filled in).
 * NULL: defaults. */
void world_init(struct world *w, const struct stoq_net_config *a, const struct stoq_net_config *b);
void world_release(struct world *w);
/* One side's endpoint; keys are made from the seed byte. */
void side_init(struct side *s, struct world *w, uint8_t seed, const struct stoq_net_config *cfg);
void side_release(struct side *s);
/* Serve the loop until done says so; false: LIMIT passed. */
bool world_run(struct world *w, bool (*done)(struct world *w));
/* Serve it for a while whatever happens. */
void world_idle(struct world *w, stoq_ns ns);
/* a dials b, with b's id pinned, and both opened. */
void world_connect(struct world *w);
stoq_net_conn world_dial(struct world *w, const struct stoq_peer_id *pin, stoq_ns timeout_ns);
bool both_opened(struct world *w);
bool a_closed(struct world *w);
bool b_closed(struct world *w);
bool both_closed(struct world *w);
void count_release(void *user);
/* With what the other threads say by now. */
void side_stats(struct side *s, struct stoq_net_stats *out);
/* A sink for net_tx: as if every datagram were lost. */
void swallow(void *user, const struct net_out *out, const uint8_t *p);

#endif
