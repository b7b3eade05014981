/* Metadata where many fetch the same: who has them sends each to some, and those to the others. */
#include "node/node_alone_harness.h"

#define SOURCES 9u
#define SHARDS_MAX 128

/* ---- who is asked ---- */

static stoq_ns queue_ns; /* what waits for the line meanwhile */

/* What the query comes to: 0, or an error's code. */
static uint64_t asks(stoq_peer peer, enum stoq_meta_kind kind, uint64_t shard, uint32_t count)
{
    static stoq_stream stream;
    struct stoq_message msg = {
        .type = STOQ_MSG_METADATA_QUERY,
        .request_id = ++stream,
        .u.metadata_query = {.id = package, .kind = kind, .shards = {shard, count}}};
    feed((struct stoq_node_event){
        .kind = STOQ_NODE_INBOUND,
        .u.inbound = {peer, stream, &msg, .queue_bytes = 1 << 20, .queue_ns = queue_ns}});
    struct wishes w = poll_all();
    assert_int_equal(w.count[STOQ_NODE_SERVE_META], w.error == 0 ? 1 : 0);
    if (w.error == 0) {
        feed((struct stoq_node_event){.kind = STOQ_NODE_SERVED, .u.served = {peer, stream, 1}});
    }
    return w.error;
}

static void a_list_goes_to_one_first(void **state)
{
    (void)state;
    for (stoq_peer p = 1; p <= 3; p++) {
        link_up(p);
    }
    queue_ns = SPREAD_META_QUEUE;
    assert_int_equal(asks(1, STOQ_META_CHUNK_LISTS, 7, 1), 0);
    assert_int_equal(asks(2, STOQ_META_CHUNK_LISTS, 7, 1), STOQ_ERR_BUSY);
    assert_int_equal(asks(1, STOQ_META_CHUNK_LISTS, 7, 1), 0); /* it may have lost it */
    assert_int_equal(asks(2, STOQ_META_CHUNK_LISTS, 8, 1), 0);
    assert_int_equal(asks(1, STOQ_META_CHUNK_LISTS, 7, 3), 0); /* the third is new */
    assert_int_equal(asks(3, STOQ_META_CHUNK_LISTS, 7, 3), STOQ_ERR_BUSY);
    /* Nor do the kinds stand for one another; what each has of its own is always said. */
    assert_int_equal(asks(3, STOQ_META_OPENING, 0, 0), 0);
    assert_int_equal(asks(3, STOQ_META_SHARD_LIST, 0, 0), 0);
    assert_int_equal(asks(2, STOQ_META_OPENING, 0, 0), STOQ_ERR_BUSY);
    assert_int_equal(asks(3, STOQ_META_HAVE_CHUNKS, 0, 9), 0);
    assert_int_equal(asks(2, STOQ_META_HAVE_CHUNKS, 0, 9), 0);
    queue_ns = SPREAD_META_QUEUE - 1; /* the line has time */
    assert_int_equal(asks(2, STOQ_META_CHUNK_LISTS, 7, 1), 0);
}

/* Who is sent to others in vain gets it in the end, however long the queue is. */
static void nobody_is_sent_away_for_ever(void **state)
{
    (void)state;
    link_up(1);
    link_up(2);
    queue_ns = SPREAD_META_QUEUE;
    for (uint64_t shard = 0; shard < 3; shard++) {
        assert_int_equal(asks(1, STOQ_META_CHUNK_LISTS, shard, 1), 0);
        stoq_ns since = now;
        while (asks(2, STOQ_META_CHUNK_LISTS, shard, 1) == STOQ_ERR_BUSY) {
            now += BUSY_RETRY;
            assert_true(now - since <= SPREAD_META_WAIT);
        }
        assert_true(now - since == SPREAD_META_WAIT);
    }
    /* What was sent to somebody long ago is sent again. */
    now += SPREAD_FOR + 1;
    link_up(3);
    assert_int_equal(asks(3, STOQ_META_CHUNK_LISTS, 0, 1), 0);
}

/* ---- who asks ---- */

/* A package of many shards. */
struct many {
    struct stoq_package_id id;
    struct stoq_buf manifest;
    struct stoq_buf shard_list;
    struct stoq_buf lists;
    size_t at[SHARDS_MAX + 1]; /* where each shard's list begins, and the end */
    uint32_t shards;
};

static void take_closed(struct many *m, const struct stoq_merkle_closed *closed)
{
    uint8_t entry[STOQ_MERKLE_SHARD_ENTRY_BYTES];
    stoq_merkle_shard_put(entry, &closed->shard);
    assert_true(m->shards < SHARDS_MAX);
    assert_int_equal(stoq_buf_add(&m->shard_list, stoq_span(entry, sizeof entry)), STOQ_OK);
    assert_int_equal(stoq_buf_add(&m->lists, closed->list), STOQ_OK);
    m->at[++m->shards] = m->lists.n;
}

static void many_make(struct many *m)
{
    const struct stoq_merkle_config cfg = {.chunk_bytes_max = STOQ_MERKLE_CHUNK_BYTES_MAX};
    struct stoq_merkle *tree;
    struct stoq_merkle_closed closed;
    struct stoq_merkle_root root;
    bool is_closed;
    *m = (struct many){.shards = 0};
    stoq_buf_init(&m->shard_list, SHARDS_MAX * STOQ_MERKLE_SHARD_ENTRY_BYTES);
    stoq_buf_init(&m->lists, STOQ_META_BYTES_MAX);
    assert_int_equal(stoq_merkle_new(&tree, &cfg), STOQ_OK);
    for (uint32_t i = 0; i < 12 * STOQ_MERKLE_SHARD_CHUNKS_MAX; i++) {
        struct stoq_merkle_chunk chunk = {.bytes = 100};
        stoq_le32_put(chunk.hash.b, i * 2654435761u);
        assert_int_equal(stoq_merkle_add(tree, &chunk, &closed, &is_closed), STOQ_OK);
        if (is_closed) {
            take_closed(m, &closed);
        }
    }
    stoq_merkle_finish(tree, &closed, &is_closed, &root);
    if (is_closed) {
        take_closed(m, &closed);
    }
    stoq_merkle_free(tree);
    assert_true(m->shards >= LIST_QUERIES_MAX + LISTS_PER_QUERY);
    m->id = make_manifest(&m->manifest, &root);
}

static void many_release(struct many *m)
{
    stoq_buf_release(&m->manifest);
    stoq_buf_release(&m->shard_list);
    stoq_buf_release(&m->lists);
}

/* A fetch of it from so many sources, as far as its first questions for lists. */
static struct wishes fetch_many(const struct many *m, uint32_t sources)
{
    stoq_peer peers[SOURCES];
    for (uint32_t i = 0; i < sources; i++) {
        peers[i] = i + 1;
        link_up(peers[i]);
    }
    feed((struct stoq_node_event){
        .kind = STOQ_NODE_FETCH,
        .u.fetch = {.fetch = 1, .id = m->id, .sources = peers, .source_count = sources}});
    struct wishes w = poll_all();
    w = answer(w.asked, STOQ_META_MANIFEST, stoq_buf_span(&m->manifest));
    return answer(w.asked, STOQ_META_SHARD_LIST, stoq_buf_span(&m->shard_list));
}

static struct wishes give(const struct many *m, const struct asked_lists *q)
{
    size_t from = m->at[q->shards.first];
    size_t to = m->at[q->shards.first + q->shards.count];
    return answer(q->cookie, STOQ_META_CHUNK_LISTS, stoq_span(m->lists.p + from, to - from));
}

/* Of many sources each is asked for a single list; who has it is asked for more next, who lacks it is asked
 * again, not at once. */
static void of_many_each_is_asked_for_one_list(void **state)
{
    (void)state;
    struct many m;
    struct asked_lists open[LIST_QUERIES_MAX];
    many_make(&m);
    struct wishes w = fetch_many(&m, SOURCES);
    assert_int_equal(w.list_count, LIST_QUERIES_MAX);
    memcpy(open, w.lists, sizeof open);
    stoq_peer good = open[0].peer;
    for (unsigned i = 1; i < LIST_QUERIES_MAX; i++) {
        assert_true(open[i].shards.count == 1 && open[i].peer != good);
    }
    /* All others lack it, each once, until only that one is asked. */
    unsigned refused = 0;
    for (unsigned i = 1; i < LIST_QUERIES_MAX;) {
        if (open[i].peer == good) {
            i++;
            continue;
        }
        answer_error(open[i].cookie,
                     refused++ % 2 == 0 ? STOQ_ERR_CONTENT_NOT_FOUND : STOQ_ERR_BUSY);
        w = poll_all();
        assert_int_equal(w.list_count, 1);
        open[i] = w.lists[0];
    }
    assert_in_range(refused, SOURCES - 1, SOURCES + 2); /* one may have been asked for two */
    uint32_t most = 0;
    for (unsigned i = 0; i < 3; i++) {
        w = give(&m, &open[i]);
        assert_true(w.list_count == 1 && w.lists[0].peer == good);
        open[i] = w.lists[0];
        most = open[i].shards.count > most ? open[i].shards.count : most;
    }
    assert_in_range(most, 2, 8);
    now += BUSY_RETRY;
    struct asked_lists next = open[3];
    for (unsigned i = 0; next.peer == good; i++) { /* its turn may come once more */
        assert_true(i < 2);
        w = give(&m, &next);
        assert_int_equal(w.list_count, 1);
        next = w.lists[0];
    }
    assert_int_equal(next.shards.count, 1);
    many_release(&m);
}

/* Few sources most likely have all of it. */
static void of_few_one_is_asked_for_many(void **state)
{
    (void)state;
    struct many m;
    many_make(&m);
    struct wishes w = fetch_many(&m, 2);
    /* The store says of one after the other that it lacks it: the first ones are asked for one by one. */
    assert_true(w.list_count == LIST_QUERIES_MAX && w.lists[0].shards.first == 0);
    w = give(&m, &w.lists[0]);
    assert_int_equal(w.list_count, 1);
    assert_int_equal(w.lists[0].shards.count, LISTS_PER_QUERY);
    many_release(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ALONE(a_list_goes_to_one_first),
        ALONE(nobody_is_sent_away_for_ever),
        ALONE(of_many_each_is_asked_for_one_list),
        ALONE(of_few_one_is_asked_for_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
