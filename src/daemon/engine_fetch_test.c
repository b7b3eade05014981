/* Two engines on [::1]: fetches that wait for streams, run side by side, are read while they come. */
#include "daemon/engine_dht_internal.h"
#include "daemon/engine_internal.h"
#include "daemon/held.h"
#include "daemon/local.h"
#include "daemon/publish.h"
#include "os/sys.h"
#include "os/tree_read.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define FILE_BYTES ((size_t)24 << 20)

/* A store, a key, an engine. */
struct side {
    char dir[64];
    struct stoq_store *store;
    struct stoq_key *key;
    struct stoq_engine *engine;
};

struct pair {
    struct side a; /* has the package */
    struct side b; /* wants it */
    char tree[64];
    struct stoq_package_id id;
    struct stoq_fetch_source source; /* a, for b */
};

/* dht_bits: what the id of its node in a DHT is to earn; 0: it takes no part. */
static void start_in_dht(struct side *s, uint8_t salt, const struct stoq_engine_limits *limits,
                         unsigned dht_bits)
{
    uint8_t seed[STOQ_KEY_SEED_BYTES] = {salt};
    struct stoq_addr listen;
    struct stoq_error err;
    (void)snprintf(s->dir, sizeof s->dir, "/tmp/stoq-fetch-XXXXXX");
    assert_non_null(mkdtemp(s->dir));
    assert_int_equal(stoq_key_from_seed(&s->key, seed), STOQ_OK);
    struct stoq_store_config sc = {.dir = s->dir, .create = true};
    assert_int_equal(stoq_store_open(&s->store, &sc, &err), STOQ_OK);
    assert_int_equal(stoq_addr_parse(&listen, stoq_span_str("[::1]:0"), 0), STOQ_OK);
    struct stoq_engine_config cfg = {
        .store = s->store, .key = s->key, .listen = &listen, .listen_count = 1, .limits = *limits};
    cfg.dht.on = dht_bits > 0;
    cfg.dht.work_bits = dht_bits;
    assert_int_equal(stoq_engine_start(&s->engine, &cfg, &err), STOQ_OK);
}

static void start(struct side *s, uint8_t salt, const struct stoq_engine_limits *limits)
{
    start_in_dht(s, salt, limits, 0);
}

static void end(struct side *s)
{
    struct stoq_error err;
    stoq_engine_stop(s->engine, 0);
    assert_int_equal(stoq_store_close(s->store, &err), STOQ_OK);
    stoq_key_free(s->key);
    assert_int_equal(stoq_tree_remove(AT_FDCWD, s->dir, NULL), STOQ_OK);
}

/* a has a package of one file of random bytes; it allows so many streams. */
static void begin(struct pair *p, uint32_t streams)
{
    char path[128];
    struct stoq_publish_report report;
    struct stoq_error err;
    const struct stoq_engine_limits limits = {.streams = streams};
    memset(p, 0, sizeof *p);
    start(&p->a, 1, &limits);
    start(&p->b, 2, &(struct stoq_engine_limits){0});
    (void)snprintf(p->tree, sizeof p->tree, "/tmp/stoq-fetch-XXXXXX");
    assert_non_null(mkdtemp(p->tree));
    (void)snprintf(path, sizeof path, "%s/random", p->tree);
    uint8_t *bytes = malloc(FILE_BYTES);
    assert_non_null(bytes);
    stoq_entropy(bytes, FILE_BYTES);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, FILE_BYTES, f), FILE_BYTES);
    assert_int_equal(fclose(f), 0);
    free(bytes);
    struct stoq_publish_ask ask = {.path = p->tree, .name = "t", .version = "1", .threads = 1};
    assert_int_equal(stoq_publish(p->a.store, &ask, &report, &err), STOQ_OK);
    p->id = report.id;
    p->source.peer = stoq_key_peer_id(p->a.key);
    assert_true(stoq_engine_local_addr(p->a.engine, 0, &p->source.addr));
}

static void release(struct pair *p)
{
    end(&p->b);
    end(&p->a);
    assert_int_equal(stoq_tree_remove(AT_FDCWD, p->tree, NULL), STOQ_OK);
}

static struct stoq_fetch_ask ask_for(const struct pair *p)
{
    return (struct stoq_fetch_ask){
        .id = p->id, .sources = &p->source, .source_count = 1, .timeout_ns = 60 * STOQ_SEC};
}

/* What a has sent of payload. */
static uint64_t sent(const struct pair *p)
{
    struct stoq_engine_stats stats;
    assert_int_equal(stoq_engine_stats(p->a.engine, &stats), STOQ_OK);
    return stats.bytes_served;
}

/* More is to be asked at a time than the peer allows streams for: what waits is asked in its turn. */
static void few_streams_are_enough(void **state)
{
    static const uint32_t streams[] = {1, 2, 3};
    (void)state;
    for (size_t i = 0; i < STOQ_COUNT(streams); i++) {
        struct pair p;
        struct stoq_error err;
        struct stoq_fetch_report *report = calloc(1, sizeof *report);
        begin(&p, streams[i]);
        struct stoq_fetch_ask ask = ask_for(&p);
        assert_int_equal(stoq_engine_fetch(p.b.engine, &ask, report, &err), STOQ_OK);
        assert_true(report->bytes_from_peers == report->bytes && report->bytes > FILE_BYTES);
        assert_true(stoq_local_has(p.b.store, &p.id));
        release(&p);
        free(report);
    }
}

static void count_lookups(struct stoq_engine *e, void *arg)
{
    for (const struct engine_wait *w = e->dht->waits.first; w != NULL; w = w->next) {
        ++*(size_t *)arg;
    }
}

/* Who is named is asked while the DHT is looked through: that lookup has not even begun when the package is
 * here, since so many bits are never earned. */
static void nobody_waits_for_the_dht(void **state)
{
    (void)state;
    struct pair p;
    struct stoq_error err;
    struct stoq_fetch_report *report = calloc(1, sizeof *report);
    size_t lookups = 0;
    begin(&p, 16);
    end(&p.b);
    start_in_dht(&p.b, 2, &(struct stoq_engine_limits){0}, STOQ_DHT_WORK_MAX);
    struct stoq_fetch_source nowhere = p.source;
    nowhere.peer.h.b[0] ^= 1;
    stoq_engine_dht_join(p.b.engine, &nowhere);
    struct stoq_fetch_ask ask = ask_for(&p);
    ask.dht = true;
    assert_int_equal(stoq_engine_fetch(p.b.engine, &ask, report, &err), STOQ_OK);
    assert_true(stoq_local_has(p.b.store, &p.id));
    engine_call(p.b.engine, count_lookups, &lookups);
    assert_int_equal(lookups, 1);
    release(&p);
    free(report);
}

/* Asks that wait for a stream when their fetch is stopped, or their connection lost. */
static void what_waits_ends_with_its_fetch(void **state)
{
    (void)state;
    struct pair p;
    struct stoq_error err;
    struct stoq_fetch *f;
    struct stoq_fetch_report *report = calloc(1, sizeof *report);
    begin(&p, 1);
    struct stoq_fetch_ask ask = ask_for(&p);
    assert_int_equal(stoq_fetch_begin(p.b.engine, &ask, report, &f, &err), STOQ_OK);
    enum stoq_status st = stoq_fetch_end(f, true, &err);
    assert_true(st == STOQ_CANCELLED || st == STOQ_OK);

    /* Held back, so that it is under way when the other side goes. */
    ask.until = 300000;
    assert_int_equal(stoq_fetch_begin(p.b.engine, &ask, report, &f, &err), STOQ_OK);
    assert_int_equal(stoq_fetch_wait(f, 200000, 0, &err), STOQ_OK);
    stoq_engine_stop(p.a.engine, 0);
    p.a.engine = NULL;
    stoq_fetch_want(f, UINT64_MAX);
    st = stoq_fetch_end(f, true, &err);
    assert_true(st == STOQ_CANCELLED || st == STOQ_NET || st == STOQ_TIMEOUT);
    assert_false(stoq_local_has(p.b.store, &p.id));
    release(&p);
    free(report);
}

struct caller {
    struct pair *p;
    struct stoq_fetch_report report;
    enum stoq_status status;
};

static void *call(void *arg)
{
    struct caller *c = arg;
    struct stoq_fetch_ask ask = ask_for(c->p);
    struct stoq_error err;
    c->status = stoq_engine_fetch(c->p->b.engine, &ask, &c->report, &err);
    return NULL;
}

/* Several callers at once: the content travels once. */
static void callers_share(void **state)
{
    (void)state;
    struct pair p;
    struct caller *callers = calloc(3, sizeof *callers);
    pthread_t thread[3];
    begin(&p, 0);
    for (size_t i = 0; i < 3; i++) {
        callers[i].p = &p;
        assert_int_equal(pthread_create(&thread[i], NULL, call, &callers[i]), 0);
    }
    uint64_t brought = 0;
    for (size_t i = 0; i < 3; i++) {
        pthread_join(thread[i], NULL);
        const struct stoq_fetch_report *r = &callers[i].report;
        assert_int_equal(callers[i].status, STOQ_OK);
        assert_true(r->bytes_had + r->bytes_shared + r->bytes_from_peers == r->bytes ||
                    r->complete_before);
        brought += r->bytes_from_peers;
    }
    assert_int_equal(brought, callers[0].report.bytes);
    /* Lists and heads of items are a hundredth of it. */
    assert_true(sent(&p) < FILE_BYTES + FILE_BYTES / 20);
    release(&p);
    free(callers);
}

/* A reader pulls the fetch along, and what it is told to be here is. */
static void it_is_read_while_it_comes(void **state)
{
    (void)state;
    struct pair p;
    struct stoq_error err;
    struct stoq_fetch *f;
    struct stoq_held *held;
    struct stoq_cursor *c;
    struct stoq_fetch_report *report = calloc(1, sizeof *report);
    begin(&p, 0);
    struct stoq_fetch_ask ask = ask_for(&p);
    ask.until = 1;
    assert_int_equal(stoq_fetch_begin(p.b.engine, &ask, report, &f, &err), STOQ_OK);
    assert_int_equal(stoq_fetch_wait(f, 0, 1, &err), STOQ_OK);
    assert_int_equal(stoq_held_open(&held, p.b.store, &p.id, &err), STOQ_OK);
    assert_int_equal(stoq_cursor_new(&c, stoq_held_stream(held)), STOQ_OK);
    uint64_t bytes = stoq_held_manifest(held)->bytes;
    struct stoq_span got = {0};
    for (uint64_t at = 0; at < bytes; at = stoq_cursor_offset(c)) {
        assert_int_equal(stoq_fetch_wait(f, at, at + 1000000, &err), STOQ_OK);
        assert_int_equal(stoq_cursor_next(c, SIZE_MAX, &got, &err), STOQ_OK);
        if (at < bytes / 2) {
            assert_true(sent(&p) < at + 4000000);
        }
    }
    assert_int_equal(stoq_fetch_end(f, false, &err), STOQ_OK);
    assert_true(stoq_local_has(p.b.store, &p.id));
    stoq_cursor_free(c);
    stoq_held_close(held);
    release(&p);
    free(report);
}

/* Peers at an address that takes datagrams and says nothing, dialled for an hour. */
struct dead {
    struct stoq_addr addr;
    uint8_t count;
    bool all_dialled;
};

static void dial_dead(struct stoq_engine *e, void *arg)
{
    struct dead *d = arg;
    d->all_dialled = true;
    for (uint8_t i = 0; i < d->count; i++) {
        const struct stoq_peer_id id = {.h.b = {i, 1}};
        struct peer *p = engine_peer(e, &id); /* a reference that stays: somebody wants it */
        d->all_dialled = d->all_dialled && p != NULL;
        if (p != NULL) {
            engine_peer_address(p, &d->addr);
            engine_peer_dial(e, p, 3600 * STOQ_SEC);
        }
    }
}

/* True: as many were under way at a time as may be. */
static bool dials_to_the_cap(const struct stoq_addr *hole)
{
    struct pair p;
    struct stoq_error err;
    struct stoq_engine_stats stats;
    struct dead dead = {.count = ENGINE_DIALS_MAX + 8, .addr = *hole};
    struct stoq_fetch_report *report = calloc(1, sizeof *report);
    assert_non_null(report);
    begin(&p, 0);
    engine_call(p.b.engine, dial_dead, &dead);
    assert_true(dead.all_dialled);
    assert_int_equal(stoq_engine_stats(p.b.engine, &stats), STOQ_OK);
    assert_true(stats.dials_most <= ENGINE_DIALS_MAX);
    struct stoq_fetch_ask ask = ask_for(&p);
    assert_int_equal(stoq_engine_fetch(p.b.engine, &ask, report, &err), STOQ_OK);
    assert_int_equal(stoq_engine_stats(p.b.engine, &stats), STOQ_OK);
    assert_int_equal(stats.dials, dead.count); /* none of them has ended */
    assert_true(stats.dials_most <= ENGINE_DIALS_MAX);
    release(&p);
    free(report);
    return stats.dials_most == ENGINE_DIALS_MAX;
}

/* As many dead ones as may be dialled at a time, and more: another fetch's peer has its turn. On a busy
 * machine the first count as silent before the last are begun: the cap is reached in some try. */
static void a_live_peer_does_not_wait_for_dead_ones(void **state)
{
    (void)state;
    struct stoq_addr hole = {0};
    struct sockaddr_in6 sa = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    socklen_t sa_len = sizeof sa;
    int fd = socket(AF_INET6, SOCK_DGRAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&sa, sa_len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &sa_len), 0);
    memcpy(hole.ip, &sa.sin6_addr, sizeof hole.ip);
    hole.port = ntohs(sa.sin6_port);
    bool reached = false;
    for (int tries = 0; tries < 20 && !reached; tries++) {
        reached = dials_to_the_cap(&hole);
    }
    assert_true(reached);
    (void)close(fd);
}

#define MANY_PACKAGES 5000u /* more than there are flows for */

struct metas {
    struct peer *peers[2];
    struct inbound *asked; /* MANY_PACKAGES of each peer */
    size_t went[2];
};

static void ask_for_metadata(struct stoq_engine *e, void *arg)
{
    struct metas *m = arg;
    for (uint32_t k = 0; k < 2; k++) {
        struct stoq_peer_id id = {.h.b = {1, (uint8_t)k}};
        m->peers[k] = engine_peer(e, &id);
        STOQ_ASSERT(m->peers[k] != NULL);
        engine_peer_ref(m->peers[k]);
        for (uint32_t i = 0; i < MANY_PACKAGES; i++) {
            struct inbound *in = &m->asked[k * MANY_PACKAGES + i];
            in->engine = e;
            in->peer = m->peers[k];
            stoq_le32_put(in->id.h.b, i);
            m->went[k] += engine_budget_meta(in, 20000);
        }
    }
}

static void stop_asking(struct stoq_engine *e, void *arg)
{
    struct metas *m = arg;
    for (size_t i = 0; i < (size_t)2 * MANY_PACKAGES; i++) {
        engine_budget_end(&m->asked[i]);
    }
    engine_peer_unref(e, m->peers[0]);
    engine_peer_unref(e, m->peers[1]);
}

/* Metadata goes ahead of what it owes a cap for, but not of thousands of packages: who asks for so many
 * waits, another peer does not wait for it, and no more is kept than of as many as are fetched at a time. */
static void a_peer_owes_for_so_many_packages(void **state)
{
    struct pair p;
    struct metas m = {.asked = calloc((size_t)2 * MANY_PACKAGES, sizeof *m.asked)};
    const struct stoq_qos_whose all = {.scope = STOQ_QOS_ALL};
    const uint64_t rate = 1;
    (void)state;
    assert_non_null(m.asked);
    begin(&p, 16);
    assert_int_equal(stoq_engine_limit(p.a.engine, &all, &rate, NULL), STOQ_OK);
    engine_call(p.a.engine, ask_for_metadata, &m);
    for (size_t k = 0; k < 2; k++) { /* and one in place of what the burst let go */
        assert_in_range(m.went[k], ENGINE_META_SHARES_MAX, ENGINE_META_SHARES_MAX + 1);
    }
    struct stoq_engine_budget *budget = malloc(sizeof *budget);
    assert_non_null(budget);
    stoq_engine_budget(p.a.engine, budget);
    assert_int_equal(budget->flow_count, 2 * ENGINE_META_SHARES_MAX);
    free(budget);
    engine_call(p.a.engine, stop_asking, &m);
    release(&p);
    free(m.asked);
}

/* A source that was found out has other requests under way: what it answers to those, before its connection
 * is closed, is not why it was left. */
static void who_forged_is_named_for_that(void **state)
{
    struct peer p = {0};
    (void)state;
    engine_peer_why(&p, "Busy: %s", "too much waits for its line");
    assert_string_equal(p.why, "Busy: too much waits for its line");
    engine_peer_why(&p, "the bytes it sent for chunk %d do not have the hash", 7);
    p.forged = true;
    engine_peer_why(&p, "Busy: %s", "too much waits for its line");
    assert_string_equal(p.why, "the bytes it sent for chunk 7 do not have the hash");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(few_streams_are_enough),
        cmocka_unit_test(nobody_waits_for_the_dht),
        cmocka_unit_test(what_waits_ends_with_its_fetch),
        cmocka_unit_test(callers_share),
        cmocka_unit_test(it_is_read_while_it_comes),
        cmocka_unit_test(a_live_peer_does_not_wait_for_dead_ones),
        cmocka_unit_test(a_peer_owes_for_so_many_packages),
        cmocka_unit_test(who_forged_is_named_for_that),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
