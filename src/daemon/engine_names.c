/*
 * Asking peers for a release pointer: MetadataQuery of kind 8, to those whose Hello says NAMES. Who is
 * connected is asked at once, who is named or a neighbour when it is connected; neighbours that are heard of
 * meanwhile are asked too. It is over when all have answered or failed and nobody else is waited for.
 */
#include "daemon/engine_names.h"
#include "daemon/engine_internal.h"

#include "os/sys.h"
#include "package/pointer.h"

#include <stdlib.h>
#include <string.h>

#define ASKED_MAX 64  /* peers for one name */
#define ASKED_BITS 16 /* of an ask's tag; the rest is the number */
#define ANSWERS_BYTES_MAX ((size_t)ASKED_MAX * (STOQ_POINTER_SEALED_MAX + 2))

enum asked_state { ASKED_DIALLED, ASKED_HELLO, ASKED_POINTER, ASKED_OVER };

struct asked {
    struct peer *peer;
    enum asked_state state;
    stoq_node_cookie cookie; /* of the ask under way; 0: none */
};

struct stoq_names {
    struct engine_wait wait; /* first */
    struct stoq_engine *engine;
    const struct stoq_names_ask *ask;
    stoq_ns limit;
    stoq_ns lan_until; /* neighbours may yet be heard of */
    struct asked asked[ASKED_MAX];
    uint32_t count;
    uint32_t open;           /* of them, not over */
    struct stoq_buf answers; /* u16 length and bytes of each; the caller's when it is over */
};

static struct stoq_names *next(const struct stoq_names *n)
{
    return (struct stoq_names *)n->wait.next;
}

static void over(struct stoq_names *n, struct asked *a)
{
    STOQ_ASSERT(a->state != ASKED_OVER);
    a->state = ASKED_OVER;
    n->open--;
}

static void finish(struct stoq_names *n, enum stoq_status status)
{
    struct stoq_engine *e = n->engine;
    for (uint32_t i = 0; i < n->count; i++) {
        if (n->asked[i].cookie != 0) {
            engine_ask_cancel(e, n->asked[i].cookie);
        }
        engine_peer_unref(e, n->asked[i].peer);
    }
    engine_wait_end(&e->names, &n->wait, status);
}

/* Whose ask has ended; NULL: nobody waits any more. */
static struct asked *asked_of(const struct ask *ask, struct stoq_names **names)
{
    *names = engine_wait_find(&ask->engine->names, ask->own_tag >> ASKED_BITS);
    if (*names == NULL) {
        return NULL;
    }
    struct asked *a = &(*names)->asked[ask->own_tag & ((1u << ASKED_BITS) - 1)];
    a->cookie = 0;
    return a;
}

static void on_pointer(struct ask *ask)
{
    struct stoq_names *n;
    struct asked *a = asked_of(ask, &n);
    if (a == NULL) {
        return;
    }
    const struct stoq_message *m = &ask->reply;
    bool some = ask->status == STOQ_OK && m->type == STOQ_MSG_RESPONSE &&
                m->u.response.kind == STOQ_META_POINTER && ask->payload.n > 0 &&
                ask->payload.n <= STOQ_POINTER_SEALED_MAX &&
                stoq_buf_reserve(&n->answers, ask->payload.n + 2) == STOQ_OK;
    if (some) {
        const uint8_t head[2] = {(uint8_t)ask->payload.n, (uint8_t)(ask->payload.n >> 8)};
        (void)!stoq_buf_add(&n->answers, stoq_span(head, sizeof head));
        (void)!stoq_buf_add(&n->answers, stoq_buf_span(&ask->payload));
    }
    over(n, a);
}

/* end may be called before this returns, but n stays: it ends in engine_names_run alone. */
static void ask_peer(struct stoq_names *n, struct asked *a, struct stoq_message *msg,
                     void (*end)(struct ask *ask))
{
    uint64_t tag = n->wait.number << ASKED_BITS | (uint64_t)(a - n->asked);
    enum asked_state state = a->state;
    stoq_node_cookie cookie = engine_ask_own(n->engine, a->peer, msg, 0, end, tag);
    if (cookie == 0) {
        over(n, a);
    } else if (a->state == state) {
        a->cookie = cookie;
    }
}

static void query(struct stoq_names *n, struct asked *a, uint64_t features)
{
    struct stoq_message msg = {
        .type = STOQ_MSG_METADATA_QUERY,
        .u.metadata_query = {.id = {n->ask->key}, .kind = STOQ_META_POINTER}};
    if ((features & STOQ_FEATURE_NAMES) == 0) {
        over(n, a);
        return;
    }
    a->state = ASKED_POINTER;
    ask_peer(n, a, &msg, on_pointer);
}

static void on_hello(struct ask *ask)
{
    struct stoq_names *n;
    struct asked *a = asked_of(ask, &n);
    if (a == NULL) {
        return;
    }
    if (ask->status == STOQ_OK && ask->reply.type == STOQ_MSG_HELLO) {
        query(n, a, ask->reply.u.hello.features);
    } else {
        over(n, a);
    }
}

/* It is connected: ask, after a Hello where it has not said one. */
static void greet(struct stoq_names *n, struct asked *a)
{
    struct stoq_msg_hello hello;
    struct stoq_message msg = {.type = STOQ_MSG_HELLO, .u.hello = stoq_node_hello(n->engine->node)};
    if (stoq_node_peer_hello(n->engine->node, a->peer->number, &hello)) {
        query(n, a, hello.features);
        return;
    }
    a->state = ASKED_HELLO;
    ask_peer(n, a, &msg, on_hello);
}

/* Takes the reference to p. */
static void add_peer(struct stoq_names *n, struct peer *p)
{
    struct stoq_engine *e = n->engine;
    bool known = n->count == ASKED_MAX;
    for (uint32_t i = 0; i < n->count; i++) {
        known = known || n->asked[i].peer == p;
    }
    if (known) {
        engine_peer_unref(e, p);
        return;
    }
    struct asked *a = &n->asked[n->count++];
    *a = (struct asked){.peer = p, .state = ASKED_DIALLED};
    n->open++;
    if (p->state == PEER_UP) {
        greet(n, a);
    } else if (p->state == PEER_IDLE) {
        engine_peer_dial(e, p, 0);
    }
}

static void add_source(struct stoq_names *n, const struct stoq_fetch_source *source)
{
    struct peer *p = engine_peer(n->engine, &source->peer);
    if (p != NULL) {
        engine_peer_address(p, &source->addr);
        add_peer(n, p);
    }
}

/* Those with whom we talk already; neighbours; those named. */
static void add_all(struct stoq_names *n)
{
    struct stoq_engine *e = n->engine;
    struct stoq_fetch_source found[ASKED_MAX];
    for (uint32_t i = 0; i < e->peer_slots; i++) {
        if (e->peers[i]->live && e->peers[i]->state == PEER_UP) {
            engine_peer_ref(e->peers[i]);
            add_peer(n, e->peers[i]);
        }
    }
    for (size_t i = 0; i < n->ask->source_count; i++) {
        add_source(n, &n->ask->sources[i]);
    }
    if (n->ask->lan) {
        n->lan_until = stoq_now() + engine_lan_ask(e);
        size_t count = engine_lan_sources(e, found, STOQ_COUNT(found));
        for (size_t i = 0; i < count; i++) {
            add_source(n, &found[i]);
        }
    }
}

void engine_names_offer(struct stoq_engine *e, const struct stoq_fetch_source *source)
{
    for (struct stoq_names *n = (struct stoq_names *)e->names.first; n != NULL; n = next(n)) {
        if (n->ask->lan) {
            add_source(n, source);
        }
    }
}

static void each_dialled(struct stoq_engine *e, const struct peer *p,
                         void (*fn)(struct stoq_names *n, struct asked *a))
{
    for (struct stoq_names *n = (struct stoq_names *)e->names.first; n != NULL; n = next(n)) {
        for (uint32_t i = 0; i < n->count; i++) {
            if (n->asked[i].peer == p && n->asked[i].state == ASKED_DIALLED) {
                fn(n, &n->asked[i]);
            }
        }
    }
}

void engine_names_up(struct stoq_engine *e, struct peer *p)
{
    each_dialled(e, p, greet);
}

void engine_names_down(struct stoq_engine *e, struct peer *p)
{
    each_dialled(e, p, over);
}

void engine_names_run(struct stoq_engine *e, stoq_ns now)
{
    for (struct stoq_names *n = (struct stoq_names *)e->names.first, *after; n != NULL; n = after) {
        after = next(n);
        if ((n->open == 0 && now >= n->lan_until) || now >= n->limit) {
            finish(n, STOQ_OK);
        }
    }
}

stoq_ns engine_names_deadline(const struct stoq_engine *e)
{
    stoq_ns at = STOQ_NEVER;
    for (const struct stoq_names *n = (const struct stoq_names *)e->names.first; n != NULL;
         n = next(n)) {
        stoq_ns mine = n->open == 0 && n->lan_until < n->limit ? n->lan_until : n->limit;
        at = mine < at ? mine : at;
    }
    return at;
}

void engine_names_cut(struct stoq_engine *e)
{
    while (e->names.first != NULL) {
        finish((struct stoq_names *)e->names.first, STOQ_CANCELLED);
    }
}

static void begin(struct stoq_engine *e, void *arg)
{
    struct stoq_names *n = arg;
    engine_wait_add(&e->names, &n->wait);
    if (e->draining) {
        finish(n, STOQ_CANCELLED);
    } else {
        add_all(n);
    }
}

static void stop(struct stoq_engine *e, void *arg)
{
    struct stoq_names *n = arg;
    if (engine_wait_is_open(&e->names, &n->wait)) {
        finish(n, STOQ_CANCELLED);
    }
}

enum stoq_status stoq_names_begin(struct stoq_engine *e, const struct stoq_names_ask *ask,
                                  struct stoq_names **out)
{
    struct stoq_names *n = calloc(1, sizeof *n);
    if (n == NULL) {
        return STOQ_NOMEM;
    }
    n->engine = e;
    n->ask = ask;
    n->limit = stoq_now() + ask->timeout_ns;
    stoq_buf_init(&n->answers, ANSWERS_BYTES_MAX);
    engine_wait_init(&n->wait);
    engine_call(e, begin, n);
    *out = n;
    return STOQ_OK;
}

enum stoq_status stoq_names_end(struct stoq_names *n)
{
    if (n == NULL) {
        return STOQ_OK;
    }
    const struct engine_patience how = {.timeout_ns = 2 * n->ask->timeout_ns,
                                        .cancelled = n->ask->cancelled,
                                        .user = n->ask->user,
                                        .stop = stop};
    (void)engine_wait_watch(n->engine, &n->wait, &how);
    enum stoq_status st = n->wait.status;
    struct stoq_rd r = stoq_rd(stoq_buf_span(&n->answers));
    while (st == STOQ_OK && r.n > 0) {
        size_t bytes = stoq_rd_u16(&r);
        n->ask->found(n->ask->user, stoq_rd_bytes(&r, bytes));
    }
    engine_wait_release(&n->wait);
    stoq_buf_release(&n->answers);
    free(n);
    return st;
}
