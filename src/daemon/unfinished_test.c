/* The sources of a fetch that did not end: kept over the store's closing, gone with their reason. */
#include "daemon/packages_harness.h"

#include "daemon/collect.h"
#include "daemon/unfinished.h"

static const struct stoq_package_id package = {{{5}}};

static struct stoq_fetch_source source_of(uint8_t peer, uint16_t port)
{
    struct stoq_fetch_source s = {.peer = {{{peer}}}, .addr = {.ip = {[15] = 1}, .port = port}};
    return s;
}

static void they_outlast_the_store_s_closing(void **state)
{
    (void)state;
    struct stoq_fetch_source noted[STOQ_FETCH_SOURCES_MAX];
    struct stoq_fetch_source got[STOQ_FETCH_SOURCES_MAX];
    for (uint8_t i = 0; i < STOQ_FETCH_SOURCES_MAX; i++) {
        noted[i] = source_of(i, 1000 + i);
    }
    assert_int_equal(stoq_unfinished_sources(store, &package, got, 0), 0);
    stoq_unfinished_note(store, &package, noted, STOQ_FETCH_SOURCES_MAX);
    close_store();
    open_store();
    assert_int_equal(stoq_unfinished_sources(store, &package, got, 0), STOQ_FETCH_SOURCES_MAX);
    for (size_t i = 0; i < STOQ_FETCH_SOURCES_MAX; i++) {
        assert_true(stoq_hash_eq(&got[i].peer.h, &noted[i].peer.h));
        assert_true(stoq_addr_eq(&got[i].addr, &noted[i].addr));
    }
    /* Behind others: each peer once, and no more than there is room for. */
    got[0] = source_of(200, 1);
    got[1] = source_of(3, 1);
    assert_int_equal(stoq_unfinished_sources(store, &package, got, 2), STOQ_FETCH_SOURCES_MAX);
    assert_int_equal(got[1].addr.port, 1);
    assert_true(stoq_hash_eq(&got[5].peer.h, &noted[4].peer.h)); /* 3 is left out */
    /* Again the same: nothing is written. Others take their place. */
    uint64_t before = stats_now().appended_bytes;
    stoq_unfinished_note(store, &package, noted, STOQ_FETCH_SOURCES_MAX);
    assert_int_equal(stats_now().appended_bytes, before);
    stoq_unfinished_note(store, &package, noted + 7, 1);
    assert_int_equal(stoq_unfinished_sources(store, &package, got, 0), 1);
    assert_int_equal(got[0].addr.port, 1007);
}

static void what_may_go_on_keeps_them(void **state)
{
    (void)state;
    static const struct {
        enum stoq_status status;
        size_t left;
    } ends[] = {
        {STOQ_CANCELLED, 1}, {STOQ_TIMEOUT, 1}, {STOQ_NET, 1},      {STOQ_FULL, 1},
        {STOQ_OK, 0},        {STOQ_PROOF, 0},   {STOQ_NOTFOUND, 0}, {STOQ_VERSION, 0},
    };
    const struct stoq_fetch_source source = source_of(1, 1);
    struct stoq_fetch_source got[STOQ_FETCH_SOURCES_MAX];
    for (size_t i = 0; i < STOQ_COUNT(ends); i++) {
        stoq_unfinished_note(store, &package, &source, 1);
        stoq_unfinished_end(store, &package, ends[i].status);
        assert_int_equal(stoq_unfinished_sources(store, &package, got, 0), ends[i].left);
        assert_int_equal(records_of(STOQ_RECORD_TRANSFER), ends[i].left);
    }
}

/* Rubbish in the record harms nobody; what is a source among it counts. */
static void lines_that_are_none_are_passed_over(void **state)
{
    (void)state;
    char text[6000];
    char good[STOQ_ID_TEXT_CAP];
    const struct stoq_fetch_source source = source_of(9, 4433);
    struct stoq_fetch_source got[STOQ_FETCH_SOURCES_MAX];
    stoq_peer_id_put(good, &source.peer);
    memset(text, 'x', sizeof text);
    (void)snprintf(text + 4000, 1000, "\n\n@\n%s\n%s@[::1]:4433\n%s@[::1]:0\n%s@[::1]:4433", good,
                   good, good, good);
    const struct stoq_span record = stoq_span(text, 4000 + strlen(text + 4000));
    assert_int_equal(stoq_store_put(store, STOQ_RECORD_TRANSFER,
                                    stoq_span(package.h.b, sizeof package.h.b), 0, record, NULL,
                                    &err),
                     STOQ_OK);
    assert_int_equal(stoq_unfinished_sources(store, &package, got, 0), 1);
    assert_true(stoq_hash_eq(&got[0].peer.h, &source.peer.h) && got[0].addr.port == 4433);
}

static void a_collection_takes_them_with_the_rest(void **state)
{
    (void)state;
    const struct stoq_fetch_source source = source_of(1, 1);
    struct stoq_collect_report r;
    struct stoq_collect_ask ask = {.grace_seconds = 3600};
    stoq_unfinished_note(store, &package, &source, 1);
    assert_int_equal(stoq_collect(store, &ask, &r, &err), STOQ_OK);
    assert_int_equal(records_of(STOQ_RECORD_TRANSFER), 1); /* young, like its chunks */
    ask.grace_seconds = 0;
    assert_int_equal(stoq_collect(store, &ask, &r, &err), STOQ_OK);
    assert_int_equal(records_of(STOQ_RECORD_TRANSFER), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_STORE(they_outlast_the_store_s_closing),
        WITH_STORE(what_may_go_on_keeps_them),
        WITH_STORE(lines_that_are_none_are_passed_over),
        WITH_STORE(a_collection_takes_them_with_the_rest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
