/* How often and when a node asks again, what it takes for an answer, and when it stops asking. */
#include "node/node_alone_harness.h"
#include "wire/opening.h"

static stoq_fetch_id fetch; /* the last one begun */

/* Begin a fetch from so many connected sources, 1 and 2; its first question. */
static struct wishes begin_of(const struct stoq_package_id *id, uint32_t sources)
{
    static const stoq_peer peers[] = {1, 2};
    for (uint32_t i = 0; i < sources; i++) {
        link_up(peers[i]);
    }
    feed((struct stoq_node_event){
        .kind = STOQ_NODE_FETCH,
        .u.fetch = {.fetch = ++fetch, .id = *id, .sources = peers, .source_count = sources}});
    return poll_all();
}

static struct wishes begin(uint32_t sources)
{
    return begin_of(&package, sources);
}

static void stop(void)
{
    feed((struct stoq_node_event){.kind = STOQ_NODE_STOP, .u.stop = {fetch}});
    (void)poll_all();
}

static void fail_once(stoq_node_cookie asked, bool is_busy)
{
    if (is_busy) {
        answer_error(asked, STOQ_ERR_BUSY);
    } else {
        answer_status(asked, STOQ_NET);
    }
}

/* Let time pass until the node asks again or is done; how long that took. */
static stoq_ns until_asked(struct wishes *w)
{
    stoq_ns from = now;
    do {
        now = stoq_node_deadline(node);
        assert_true(now != STOQ_NEVER && now - from < 60 * STOQ_SEC);
        *w = poll_all();
    } while (w->asked == 0 && w->count[STOQ_NODE_DONE] == 0);
    return now - from;
}

static void a_source_that_stays_busy_is_given_up(void **state)
{
    (void)state;
    struct wishes w = begin(1);
    unsigned asked = 0;
    while (w.count[STOQ_NODE_DONE] == 0) {
        assert_true(w.asked != 0 && asked < 100);
        asked++;
        answer_error(w.asked, STOQ_ERR_BUSY);
        w = poll_all();
        assert_true(w.asked == 0); /* not at once */
        if (w.count[STOQ_NODE_DONE] == 0) {
            assert_true(until_asked(&w) >= 100 * STOQ_MS);
        }
    }
    assert_int_equal(asked, 20);
    assert_true(w.done != STOQ_OK);
}

/* Streams that break off without a word are no reason to hammer a peer that may be in trouble. */
static void a_source_whose_streams_break_is_asked_ever_later(void **state)
{
    (void)state;
    struct wishes w = begin(1);
    stoq_ns before = 0;
    stoq_ns longest = 0;
    unsigned asked = 0;
    while (w.count[STOQ_NODE_DONE] == 0) {
        assert_true(w.asked != 0 && asked < 100);
        asked++;
        answer_status(w.asked, STOQ_NET);
        w = poll_all();
        assert_true(w.asked == 0);
        if (w.count[STOQ_NODE_DONE] == 0) {
            stoq_ns waited = until_asked(&w);
            assert_true(asked == 1 ? waited <= 100 * STOQ_MS : waited >= before);
            before = waited;
            longest = waited > longest ? waited : longest;
        }
    }
    assert_true(longest >= 2 * STOQ_SEC && longest <= 5 * STOQ_SEC);
    assert_true(asked >= 8 && asked <= 20);
    assert_int_equal(w.done, STOQ_NET);
    assert_int_equal(w.source_status[0], STOQ_NET);
}

/* A manifest of one shard with three chunks, and its lists. */
struct made {
    struct stoq_package_id id;
    struct stoq_buf manifest;
    struct stoq_buf shard_list;
    struct stoq_buf chunk_list;
};

static void make(struct made *m)
{
    const struct stoq_merkle_config cfg = {.chunk_bytes_max = STOQ_MERKLE_CHUNK_BYTES_MAX};
    struct stoq_merkle *tree;
    struct stoq_merkle_closed closed;
    struct stoq_merkle_root root;
    bool is_closed;
    uint8_t entry[STOQ_MERKLE_SHARD_ENTRY_BYTES];
    stoq_buf_init(&m->shard_list, 1000);
    stoq_buf_init(&m->chunk_list, 1000);
    assert_int_equal(stoq_merkle_new(&tree, &cfg), STOQ_OK);
    for (uint8_t i = 0; i < 3; i++) {
        const struct stoq_merkle_chunk chunk = {{{i, 9}}, 100};
        assert_int_equal(stoq_merkle_add(tree, &chunk, &closed, &is_closed), STOQ_OK);
        assert_false(is_closed);
    }
    stoq_merkle_finish(tree, &closed, &is_closed, &root);
    assert_true(is_closed);
    stoq_merkle_shard_put(entry, &closed.shard);
    assert_int_equal(stoq_buf_add(&m->shard_list, stoq_span(entry, sizeof entry)), STOQ_OK);
    assert_int_equal(stoq_buf_add(&m->chunk_list, closed.list), STOQ_OK);
    stoq_merkle_free(tree);
    m->id = make_manifest(&m->manifest, &root);
}

static void unmake(struct made *m)
{
    stoq_buf_release(&m->manifest);
    stoq_buf_release(&m->shard_list);
    stoq_buf_release(&m->chunk_list);
}

/* While others are looked for a fetch waits for them, with sources that failed or without any. */
static void it_does_not_end_while_sources_are_looked_for(void **state)
{
    (void)state;
    struct made m;
    static const stoq_peer peers[] = {1};
    make(&m);
    for (uint32_t sources = 0; sources <= 1; sources++) {
        struct stoq_node_event begin_with = {.kind = STOQ_NODE_FETCH,
                                             .u.fetch = {.fetch = ++fetch,
                                                         .id = m.id,
                                                         .sources = peers,
                                                         .source_count = sources,
                                                         .more = true}};
        feed(begin_with);
        struct wishes w = poll_all();
        assert_int_equal(w.count[STOQ_NODE_DIAL], sources);
        if (sources > 0) {
            feed((struct stoq_node_event){.kind = STOQ_NODE_LINK_DOWN,
                                          .u.link = {.peer = 1, .status = STOQ_NET}});
            w = poll_all();
        }
        assert_int_equal(w.count[STOQ_NODE_DONE], 0);
        link_up(2);
        feed((struct stoq_node_event){.kind = STOQ_NODE_ADD_SOURCE, .u.source = {fetch, 2}});
        w = poll_all();
        assert_int_equal(w.asked_kind, STOQ_META_MANIFEST);
        answer_error(w.asked, STOQ_ERR_CONTENT_NOT_FOUND);
        w = poll_all();
        assert_int_equal(w.count[STOQ_NODE_DONE], 0);
        feed((struct stoq_node_event){.kind = STOQ_NODE_NO_MORE, .u.stop = {fetch}});
        w = poll_all();
        assert_int_equal(w.count[STOQ_NODE_DONE], 1);
        assert_int_equal(w.done, sources == 0 ? STOQ_NOTFOUND : STOQ_NET);
    }
    unmake(&m);
}

/* What came to be right after failures counts them anew: thrice fifteen are not one row of 45. */
static void an_answer_ends_a_row_of_failures(void **state)
{
    (void)state;
    struct made m;
    make(&m);
    for (int busy = 0; busy < 2; busy++) {
        unsigned row = busy ? 15 : 8;
        struct wishes w = begin_of(&m.id, 1);
        const struct stoq_span payload[] = {
            stoq_buf_span(&m.manifest), stoq_buf_span(&m.shard_list), stoq_buf_span(&m.chunk_list)};
        for (size_t k = 0; k < STOQ_COUNT(payload); k++) {
            for (unsigned i = 0; i < row; i++) {
                assert_true(w.asked != 0 && w.asked_kind == (enum stoq_meta_kind)(k + 1));
                fail_once(w.asked, busy != 0);
                w = poll_all();
                (void)until_asked(&w);
            }
            w = answer(w.asked, w.asked_kind, payload[k]);
        }
        assert_int_equal(w.count[STOQ_NODE_DONE], 0);
        stop();
    }
    unmake(&m);
}

/* Bytes behind the lists that were asked for are as wrong as others in them. */
static void a_reply_is_no_longer_than_asked(void **state)
{
    (void)state;
    struct made m;
    make(&m);
    struct wishes w = begin_of(&m.id, 1);
    w = answer(w.asked, STOQ_META_MANIFEST, stoq_buf_span(&m.manifest));
    w = answer(w.asked, STOQ_META_SHARD_LIST, stoq_buf_span(&m.shard_list));
    assert_int_equal(w.asked_kind, STOQ_META_CHUNK_LISTS);
    assert_int_equal(stoq_buf_add(&m.chunk_list, stoq_span("x", 1)), STOQ_OK);
    w = answer(w.asked, STOQ_META_CHUNK_LISTS, stoq_buf_span(&m.chunk_list));
    assert_true(w.count[STOQ_NODE_CHARGE] == 1 && w.charged == STOQ_NODE_BAD_METADATA);
    assert_int_equal(w.count[STOQ_NODE_CLOSE], 1);
    /* The shell stopped reading what was longer than the question allows. */
    w = begin_of(&package, 1);
    answer_status(w.asked, STOQ_FULL);
    w = poll_all();
    assert_true(w.count[STOQ_NODE_CHARGE] == 1 && w.charged == STOQ_NODE_BAD_REPLY);
    assert_int_equal(w.count[STOQ_NODE_CLOSE], 1);
    assert_int_equal(w.count[STOQ_NODE_DONE], 1);
    unmake(&m);
}

/* Durable means all of it: the sync comes behind what was learned, not beside it. */
static void the_sync_waits_for_what_is_saved(void **state)
{
    (void)state;
    struct made m;
    make(&m);
    saves_wait = true;
    struct wishes w = begin_of(&m.id, 1);
    w = answer(w.asked, STOQ_META_MANIFEST, stoq_buf_span(&m.manifest));
    w = answer(w.asked, STOQ_META_SHARD_LIST, stoq_buf_span(&m.shard_list));
    w = answer(w.asked, STOQ_META_CHUNK_LISTS, stoq_buf_span(&m.chunk_list));
    assert_int_equal(save_count, 3); /* manifest and two lists; the chunks were here */
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(w.count[STOQ_NODE_SYNC], 0);
        feed((struct stoq_node_event){.kind = STOQ_NODE_SAVED, .u.ended = {saves[i], STOQ_OK}});
        w = poll_all();
    }
    assert_int_equal(w.count[STOQ_NODE_SYNC], 1);
    assert_int_equal(w.count[STOQ_NODE_SAVE_PACKAGE], 0);
    unmake(&m);
}

static void say_hello(stoq_node_cookie cookie, uint32_t version)
{
    struct stoq_message msg = {.type = STOQ_MSG_HELLO,
                               .request_id = cookie,
                               .u.hello = {.version_count = 1,
                                           .versions = {version},
                                           .agent = stoq_span_str("x"),
                                           .ranges_max = 4,
                                           .chunks_max = 4,
                                           .frame_bytes_max = 4096}};
    feed(
        (struct stoq_node_event){.kind = STOQ_NODE_REPLY, .u.reply = {cookie, STOQ_OK, &msg, {0}}});
}

static void a_source_of_another_version_is_none(void **state)
{
    (void)state;
    struct wishes w = begin(1);
    assert_true(w.hello != 0);
    say_hello(w.hello, STOQ_PROTOCOL_VERSION + 1);
    w = poll_all();
    assert_int_equal(w.count[STOQ_NODE_DONE], 1);
    assert_int_equal(w.source_status[0], STOQ_VERSION);
    struct stoq_msg_hello hello;
    assert_false(stoq_node_peer_hello(node, 1, &hello));
}

/* A dead source whose connection does not know it yet holds up nothing for long. */
static void another_is_asked_soon(void **state)
{
    (void)state;
    struct wishes w = begin(2);
    stoq_node_cookie first = w.asked;
    assert_true(until_asked(&w) <= 200 * STOQ_MS);
    assert_true(w.asked != first);
    assert_true(until_asked(&w) >= 500 * STOQ_MS); /* both were asked: they are slow, not dead */
    stop();
}

static void who_comes_later_is_asked_at_once(void **state)
{
    (void)state;
    (void)begin(1);
    now += 2 * META_PATIENCE;
    struct wishes w = poll_all();
    assert_int_equal(w.asked, 0); /* of whom? */
    feed((struct stoq_node_event){.kind = STOQ_NODE_ADD_SOURCE,
                                  .u.source = {.fetch = fetch, .peer = 2}});
    link_up(2);
    w = poll_all();
    assert_true(w.asked != 0);
    stop();
}

/* It says Hello and nothing more. */
static void a_question_has_its_time(void **state)
{
    (void)state;
    struct wishes w = begin(1);
    say_hello(w.hello, STOQ_PROTOCOL_VERSION);
    stoq_ns from = now;
    while (w.count[STOQ_NODE_CANCEL] == 0) {
        now = stoq_node_deadline(node);
        assert_true(now != STOQ_NEVER && now <= from + STOQ_NODE_META_TIMEOUT);
        w = poll_all();
    }
    assert_int_equal(now, from + STOQ_NODE_META_TIMEOUT);
    answer_status(w.cancelled, STOQ_CANCELLED);
    w = poll_all();
    assert_true(w.count[STOQ_NODE_DONE] == 1 && w.done == STOQ_TIMEOUT);
}

static void a_connection_is_made_again_a_few_times(void **state)
{
    (void)state;
    struct wishes w = begin(1);
    unsigned dials = 0;
    while (w.count[STOQ_NODE_DONE] == 0) {
        assert_true(dials < 100);
        answer_status(w.asked, STOQ_NET);
        feed((struct stoq_node_event){.kind = STOQ_NODE_LINK_DOWN,
                                      .u.link = {.peer = 1, .status = STOQ_NET}});
        w = poll_all();
        dials += w.count[STOQ_NODE_DIAL];
        if (w.count[STOQ_NODE_DIAL] != 0) {
            link_up(1);
            w = poll_all();
        }
    }
    assert_int_equal(dials, 3);
    assert_int_equal(w.done, STOQ_NET);
}

/* What sent wrong bytes once is not asked by the next fetch either, connected or not. */
static void a_liar_is_no_source_again(void **state)
{
    (void)state;
    const struct stoq_peer_id id = {{{1, 2, 3}}};
    feed((struct stoq_node_event){.kind = STOQ_NODE_PEER, .u.peer = {.peer = 1, .id = &id}});
    struct wishes w = begin(1);
    w = answer(w.asked, STOQ_META_MANIFEST, stoq_span("no manifest", 11));
    assert_int_equal(w.charged, STOQ_NODE_BAD_METADATA);
    assert_true(w.count[STOQ_NODE_DONE] == 1 && w.done == STOQ_PROOF);
    w = begin(1);
    assert_true(w.asked == 0 && w.hello == 0 && w.count[STOQ_NODE_DIAL] == 0);
    assert_true(w.count[STOQ_NODE_DONE] == 1 && w.done == STOQ_NET);
}

/* A fetch whose first question is an opening; what becomes of this answer. */
static struct wishes opened_with(const struct made *m, struct stoq_span lists)
{
    struct stoq_buf payload;
    stoq_buf_init(&payload, STOQ_META_BYTES_MAX);
    opens = true;
    struct wishes w = begin_of(&m->id, 1);
    assert_int_equal(w.asked_kind, STOQ_META_OPENING);
    const struct stoq_opening o = {.manifest = stoq_buf_span(&m->manifest), .lists = lists};
    assert_int_equal(stoq_opening_put(&o, &payload), STOQ_OK);
    w = answer(w.asked, STOQ_META_OPENING, stoq_buf_span(&payload));
    stoq_buf_release(&payload);
    return w;
}

/* One question instead of four, and what it brought is saved like the answers to those. */
static void an_opening_brings_all_of_a_small_package(void **state)
{
    (void)state;
    struct made m;
    make(&m);
    assert_int_equal(stoq_buf_add(&m.shard_list, stoq_buf_span(&m.chunk_list)), STOQ_OK);
    struct wishes w = opened_with(&m, stoq_buf_span(&m.shard_list));
    assert_int_equal(w.count[STOQ_NODE_ASK], 0);
    assert_int_equal(w.count[STOQ_NODE_SAVE_META], 3);
    assert_int_equal(w.count[STOQ_NODE_CHECK_HAVE], 1);
    assert_int_equal(w.count[STOQ_NODE_SYNC], 1);
    unmake(&m);
}

static void an_opening_brings_what_it_brings(void **state)
{
    (void)state;
    struct made m;
    make(&m);
    struct wishes w = opened_with(&m, stoq_span(NULL, 0));
    assert_int_equal(w.asked_kind, STOQ_META_SHARD_LIST);
    stop();
    w = opened_with(&m, stoq_buf_span(&m.shard_list));
    assert_int_equal(w.asked_kind, STOQ_META_CHUNK_LISTS);
    unmake(&m);
}

/* Lists that are not the manifest's are the sender's fault, each kind of wrong. */
static void an_opening_is_checked(void **state)
{
    (void)state;
    for (unsigned what = 0; what < 5; what++) {
        struct made m;
        make(&m);
        struct stoq_buf *lists = &m.shard_list;
        const size_t list_bytes = lists->n;
        assert_int_equal(stoq_buf_add(lists, stoq_buf_span(&m.chunk_list)), STOQ_OK);
        if (what == 0) {
            lists->p[0] ^= 1;
        } else if (what == 1) {
            lists->p[lists->n - 1] ^= 1;
        } else if (what == 2) {
            lists->n = list_bytes - 1;
        } else if (what == 3) {
            lists->n -= STOQ_MERKLE_CHUNK_ENTRY_BYTES;
        } else {
            assert_int_equal(stoq_buf_add(lists, stoq_span("x", 1)), STOQ_OK);
        }
        struct wishes w = opened_with(&m, stoq_buf_span(lists));
        assert_true(w.count[STOQ_NODE_CHARGE] == 1 && w.charged == STOQ_NODE_BAD_METADATA);
        assert_int_equal(w.count[STOQ_NODE_CLOSE], 1);
        assert_true(w.count[STOQ_NODE_DONE] == (what == 0 || what == 2 ? 1 : 0) ||
                    w.done == STOQ_PROOF);
        stop();
        unmake(&m);
        (void)node_teardown(NULL);
        (void)node_setup(NULL);
    }
}

/* Who is known not to answer one is not asked for it; who is not known yet and does not is asked again. */
static void an_opening_is_asked_of_those_who_know_it(void **state)
{
    (void)state;
    opens = true;
    struct wishes w = begin(1);
    assert_int_equal(w.asked_kind, STOQ_META_OPENING);
    answer_error(w.asked, STOQ_ERR_UNSUPPORTED);
    stoq_node_cookie hello = w.hello;
    w = poll_all();
    assert_int_equal(w.asked_kind, STOQ_META_MANIFEST);
    say_hello(hello, STOQ_PROTOCOL_VERSION); /* without the feature */
    w = begin(1);
    assert_int_equal(w.asked_kind, STOQ_META_MANIFEST);
}

static void link_early(stoq_peer peer)
{
    feed((struct stoq_node_event){.kind = STOQ_NODE_LINK_EARLY, .u.link = {.peer = peer}});
}

static struct wishes begin_unconnected(void)
{
    static const stoq_peer peer = 1;
    feed((struct stoq_node_event){
        .kind = STOQ_NODE_FETCH,
        .u.fetch = {.fetch = ++fetch, .id = package, .sources = &peer, .source_count = 1}});
    return poll_all();
}

/* Metadata is asked for while the peer is dialled; Hello and chunks are not. */
static void metadata_goes_with_the_first_packets(void **state)
{
    (void)state;
    opens = true;
    struct wishes w = begin_unconnected();
    assert_true(w.count[STOQ_NODE_DIAL] == 1 && w.asked == 0);
    link_early(1);
    w = poll_all();
    assert_true(w.asked_kind == STOQ_META_OPENING && w.early && w.hello == 0);
    stoq_node_cookie asked = w.asked;
    link_up(1);
    w = poll_all();
    assert_true(w.hello != 0 && w.asked == 0); /* it is on its way */
    answer_error(asked, STOQ_ERR_CONTENT_NOT_FOUND);
    w = poll_all();
    assert_true(w.count[STOQ_NODE_DONE] == 1 && w.done == STOQ_NOTFOUND);
}

/* What is not taken is asked again at once when the link is up, and nobody is blamed for it. */
static void early_data_that_is_not_taken_is_asked_again(void **state)
{
    (void)state;
    opens = true;
    (void)begin_unconnected();
    link_early(1);
    struct wishes w = poll_all();
    assert_true(w.early);
    answer_status(w.asked, STOQ_NET);
    w = poll_all();
    assert_int_equal(w.count[STOQ_NODE_ASK], 0); /* not early once more */
    link_up(1);
    w = poll_all();
    assert_true(w.asked_kind == STOQ_META_OPENING && !w.early);
    assert_int_equal(w.count[STOQ_NODE_CHARGE], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ALONE(a_source_that_stays_busy_is_given_up),
        ALONE(a_source_whose_streams_break_is_asked_ever_later),
        ALONE(an_answer_ends_a_row_of_failures),
        ALONE(it_does_not_end_while_sources_are_looked_for),
        ALONE(a_reply_is_no_longer_than_asked),
        ALONE(the_sync_waits_for_what_is_saved),
        ALONE(a_source_of_another_version_is_none),
        ALONE(another_is_asked_soon),
        ALONE(who_comes_later_is_asked_at_once),
        ALONE(a_question_has_its_time),
        ALONE(a_connection_is_made_again_a_few_times),
        ALONE(a_liar_is_no_source_again),
        ALONE(an_opening_brings_all_of_a_small_package),
        ALONE(an_opening_brings_what_it_brings),
        ALONE(an_opening_is_checked),
        ALONE(an_opening_is_asked_of_those_who_know_it),
        ALONE(metadata_goes_with_the_first_packets),
        ALONE(early_data_that_is_not_taken_is_asked_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
