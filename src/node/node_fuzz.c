/*
 * Random events against a whole node: fetches begin and stop, links come and go, what it asked for is
 * answered rightly, wrongly, late or not in the order asked, chunks arrive or lie, others send it
 * requests. Fetches run side by side, want parts, are read in order, and the package repeats itself. Held
 * throughout: cookies are new, a fetch that began is over exactly once, a success has brought every
 * chunk that it wanted, what is said to be ready is here, who waits for a chunk waits for one that is
 * asked, what is lent stays readable until its closing event.
 */
#include "hash/hash.h"
#include "node/node_internal.h"
#include "wire/opening.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHUNKS 80
#define CHUNK_BYTES 1000u
#define PEERS 4
#define ASKED_MAX 512
#define FETCHES 3

struct asked {
    enum stoq_node_action_kind kind;
    stoq_node_cookie cookie;
    enum stoq_meta_kind meta;
    struct stoq_range shards;
    const struct stoq_merkle_chunk *chunks;
    struct stoq_range ranges[8]; /* the first few */
    uint32_t range_count;
    struct stoq_span lent;
    struct stoq_hash lent_hash;
    uint32_t hello; /* it is one */
};

struct model {
    struct stoq_node *node;
    struct stoq_rd in;
    stoq_ns now;
    stoq_node_cookie last_cookie;
    uint32_t asked_count;
    struct asked asked[ASKED_MAX];
    bool running[FETCHES];
    uint64_t first[FETCHES]; /* byte that it wants */
    uint64_t end[FETCHES];
    bool stored[CHUNKS];
    uint64_t serves;
};

/* One package, made of numbers. */
struct package {
    uint8_t manifest[1024];
    size_t manifest_bytes;
    struct stoq_package_id id;
    uint8_t shard_list[CHUNKS * STOQ_MERKLE_SHARD_ENTRY_BYTES];
    size_t shard_list_bytes;
    uint8_t lists[CHUNKS * STOQ_MERKLE_CHUNK_ENTRY_BYTES];
    size_t list_at[CHUNKS]; /* of each shard */
    size_t list_bytes;
    uint64_t shards;
    uint8_t
        opening[CHUNKS * (STOQ_MERKLE_SHARD_ENTRY_BYTES + STOQ_MERKLE_CHUNK_ENTRY_BYTES) + 1032];
    size_t opening_bytes;
};

/* Which bytes chunk i has: the last twenty are like some of the first ones. */
static uint32_t content_of(uint64_t i)
{
    return (uint32_t)(i >= 60 ? i - 40 : i);
}

static void add_shard(struct package *p, const struct stoq_merkle_closed *closed)
{
    stoq_merkle_shard_put(p->shard_list + p->shard_list_bytes, &closed->shard);
    p->shard_list_bytes += STOQ_MERKLE_SHARD_ENTRY_BYTES;
    p->list_at[p->shards] = p->list_bytes;
    memcpy(p->lists + p->list_bytes, closed->list.p, closed->list.n);
    p->list_bytes += closed->list.n;
    p->shards++;
}

/* Everything together: an opening. */
static void make_opening(struct package *p)
{
    struct stoq_buf lists;
    struct stoq_buf out;
    stoq_buf_init(&lists, sizeof p->opening);
    stoq_buf_init(&out, sizeof p->opening);
    STOQ_ASSERT(stoq_buf_add(&lists, stoq_span(p->shard_list, p->shard_list_bytes)) == STOQ_OK);
    STOQ_ASSERT(stoq_buf_add(&lists, stoq_span(p->lists, p->list_bytes)) == STOQ_OK);
    const struct stoq_opening o = {.manifest = stoq_span(p->manifest, p->manifest_bytes),
                                   .lists = stoq_buf_span(&lists)};
    STOQ_ASSERT(stoq_opening_put(&o, &out) == STOQ_OK);
    memcpy(p->opening, out.p, out.n);
    p->opening_bytes = out.n;
    stoq_buf_release(&lists);
    stoq_buf_release(&out);
}

static void make_package(struct package *p)
{
    struct stoq_merkle *tree = NULL;
    struct stoq_merkle_config cfg = {.chunk_bytes_max = STOQ_MERKLE_CHUNK_BYTES_MAX};
    struct stoq_merkle_closed closed;
    struct stoq_merkle_root root;
    bool is_closed;
    STOQ_ASSERT(stoq_merkle_new(&tree, &cfg) == STOQ_OK);
    for (uint32_t i = 0; i < CHUNKS; i++) {
        struct stoq_merkle_chunk chunk = {.bytes = CHUNK_BYTES};
        chunk.hash.b[1] = (uint8_t)content_of(i);
        chunk.hash.b[0] = i == 39 ? 0 : 1; /* it closes a shard */
        STOQ_ASSERT(stoq_merkle_add(tree, &chunk, &closed, &is_closed) == STOQ_OK);
        if (is_closed) {
            add_shard(p, &closed);
        }
    }
    stoq_merkle_finish(tree, &closed, &is_closed, &root);
    if (is_closed) {
        add_shard(p, &closed);
    }
    stoq_merkle_free(tree);
    struct stoq_manifest *m = calloc(1, sizeof *m);
    STOQ_ASSERT(m != NULL);
    *m = (struct stoq_manifest){.name = stoq_span_str("f"),
                                .version = stoq_span_str("1"),
                                .profile = STOQ_PROFILE_1,
                                .table_bytes = 1000,
                                .entries = 1,
                                .shards = root.shards,
                                .chunks = root.chunks,
                                .bytes = root.bytes,
                                .root = root.hash};
    struct stoq_buf out;
    stoq_buf_init(&out, sizeof p->manifest);
    STOQ_ASSERT(stoq_manifest_encode(m, &out) == STOQ_OK);
    memcpy(p->manifest, out.p, out.n);
    p->manifest_bytes = out.n;
    p->id = stoq_manifest_id(stoq_buf_span(&out));
    stoq_buf_release(&out);
    free(m);
    make_opening(p);
}

static void note(struct model *m, struct asked a)
{
    STOQ_ASSERT(a.cookie > m->last_cookie);
    m->last_cookie = a.cookie;
    if (a.lent.n > 0) {
        a.lent_hash = stoq_hash_blake3(a.lent);
    }
    STOQ_ASSERT(m->asked_count < ASKED_MAX);
    m->asked[m->asked_count++] = a;
}

static void note_chunks(struct model *m, const struct stoq_node_ask_chunks *want)
{
    struct asked a = {.kind = STOQ_NODE_ASK_CHUNKS,
                      .cookie = want->cookie,
                      .chunks = want->chunks,
                      .lent = stoq_span(want->chunks, want->chunk_count * sizeof *want->chunks)};
    uint32_t n = 0;
    for (uint32_t r = 0; r < want->range_count; r++) {
        for (uint32_t k = 0; k < want->ranges[r].count; k++) {
            uint64_t index = want->ranges[r].first + k;
            STOQ_ASSERT(index < CHUNKS && want->chunks[n].hash.b[1] == content_of(index));
            n++;
        }
    }
    STOQ_ASSERT(n == want->chunk_count);
    a.range_count = want->range_count < 8 ? want->range_count : 8;
    memcpy(a.ranges, want->ranges, a.range_count * sizeof a.ranges[0]);
    note(m, a);
}

static void done(struct model *m, const struct stoq_node_done *d)
{
    STOQ_ASSERT(d->fetch < FETCHES && m->running[d->fetch]);
    m->running[d->fetch] = false;
    if (d->report->status == STOQ_OK) {
        uint64_t first = m->first[d->fetch] / CHUNK_BYTES;
        uint64_t end = (m->end[d->fetch] + CHUNK_BYTES - 1) / CHUNK_BYTES;
        uint64_t count = m->end[d->fetch] > m->first[d->fetch] ? end - first : 0;
        STOQ_ASSERT(d->report->chunks_had + d->report->chunks_from_peers +
                        d->report->chunks_shared ==
                    count);
        for (uint64_t i = first; i < first + count; i++) {
            STOQ_ASSERT(m->stored[content_of(i)]);
        }
    }
}

static void act(struct model *m, const struct stoq_node_action *a)
{
    switch (a->kind) {
    case STOQ_NODE_ASK:
        note(m, (struct asked){.kind = a->kind,
                               .cookie = a->u.ask.cookie,
                               .meta = a->u.ask.msg->u.metadata_query.kind,
                               .shards = a->u.ask.msg->u.metadata_query.shards,
                               .hello = a->u.ask.msg->type == STOQ_MSG_HELLO});
        break;
    case STOQ_NODE_ASK_CHUNKS:
        note_chunks(m, &a->u.ask_chunks);
        break;
    case STOQ_NODE_LOAD_META:
    case STOQ_NODE_SAVE_META:
        note(m, (struct asked){.kind = a->kind,
                               .cookie = a->u.meta.cookie,
                               .meta = a->u.meta.kind,
                               .lent = a->u.meta.bytes});
        break;
    case STOQ_NODE_CHECK_HAVE:
        note(m, (struct asked){
                    .kind = a->kind, .cookie = a->u.check.cookie, .lent = a->u.check.chunk_list});
        break;
    case STOQ_NODE_SYNC:
        note(m, (struct asked){.kind = a->kind, .cookie = a->u.sync.cookie});
        break;
    case STOQ_NODE_SAVE_PACKAGE:
        note(m, (struct asked){.kind = a->kind, .cookie = a->u.package.cookie});
        break;
    case STOQ_NODE_DONE:
        done(m, &a->u.done);
        break;
    case STOQ_NODE_SERVE_META:
    case STOQ_NODE_SERVE_CHUNKS:
        m->serves++;
        break;
    case STOQ_NODE_DIAL:
    case STOQ_NODE_CANCEL:
    case STOQ_NODE_CHARGE:
    case STOQ_NODE_CLOSE:
    case STOQ_NODE_SEND:
        break;
    }
}

/* What is said to be ready is here. */
static void check_ready(const struct model *m, stoq_fetch_id fetch)
{
    uint64_t ready;
    if (!m->running[fetch] || !stoq_node_fetch_ready(m->node, fetch, &ready)) {
        return;
    }
    STOQ_ASSERT(ready >= m->first[fetch] && ready <= m->end[fetch]);
    bool is_any = ready > m->first[fetch];
    for (uint64_t i = m->first[fetch] / CHUNK_BYTES; is_any && i * CHUNK_BYTES < ready; i++) {
        STOQ_ASSERT(m->stored[content_of(i)]);
    }
}

static void drain(struct model *m)
{
    struct stoq_node_action a;
    uint32_t steps = 0;
    while (m->asked_count < ASKED_MAX - 4 && stoq_node_poll(m->node, m->now, &a)) {
        STOQ_ASSERT(++steps < 20000);
        act(m, &a);
    }
    share_check(m->node);
    for (stoq_fetch_id i = 0; i < FETCHES; i++) {
        check_ready(m, i);
    }
}

static void feed(struct model *m, const struct stoq_node_event *ev)
{
    enum stoq_status st = stoq_node_feed(m->node, ev, m->now);
    STOQ_ASSERT(st == STOQ_OK || st == STOQ_EXISTS || st == STOQ_FULL);
}

/* The right payload for a query, or a piece of it. */
static struct stoq_span payload_of(const struct package *p, const struct asked *a)
{
    switch (a->meta) {
    case STOQ_META_MANIFEST:
        return stoq_span(p->manifest, p->manifest_bytes);
    case STOQ_META_OPENING:
        return stoq_span(p->opening, p->opening_bytes);
    case STOQ_META_SHARD_LIST:
        return stoq_span(p->shard_list, p->shard_list_bytes);
    case STOQ_META_CHUNK_LISTS:
        if (a->shards.first + a->shards.count <= p->shards) {
            size_t from = p->list_at[a->shards.first];
            size_t to = a->shards.first + a->shards.count == p->shards
                            ? p->list_bytes
                            : p->list_at[a->shards.first + a->shards.count];
            return stoq_span(p->lists + from, to - from);
        }
        break;
    default:
        break;
    }
    return stoq_span(NULL, 0);
}

static void answer_ask(struct model *m, const struct package *p, const struct asked *a, uint8_t how)
{
    struct stoq_message msg = {.type = STOQ_MSG_RESPONSE, .u.response = {.kind = a->meta}};
    struct stoq_node_event ev = {.kind = STOQ_NODE_REPLY,
                                 .u.reply = {a->cookie, STOQ_OK, &msg, payload_of(p, a)}};
    if (a->hello != 0) {
        msg = (struct stoq_message){
            .type = STOQ_MSG_HELLO,
            .u.hello = {
                1, {how == 20 ? 2u : 1u}, 0, stoq_span_str("x"), 1u + how, 1u + how, 65536}};
    }
    if (how >= 200) {
        msg = (struct stoq_message){.type = STOQ_MSG_ERROR, .u.error = {.code = how - 199u}};
    } else if (how >= 180) {
        ev.u.reply.status = (enum stoq_status) - (how % 13 + 1);
    } else if (how >= 160) {
        ev.u.reply.payload.n /= 2;
    }
    feed(m, &ev);
}

/* One chunk of a request comes, well or not. */
static void chunk(struct model *m, const struct asked *a, uint8_t how)
{
    const struct stoq_range *r = &a->ranges[how % a->range_count];
    uint64_t index = r->first + how / 8 % r->count;
    struct stoq_node_event ev = {
        .kind = STOQ_NODE_CHUNK,
        .u.chunk = {.cookie = a->cookie, .index = index, .wire_bytes = 1016, .is_new = true}};
    if (how == 255) {
        ev.u.chunk.status = STOQ_PROOF;
    } else if (how >= 250) {
        ev.u.chunk.status = STOQ_NOTFOUND;
    } else {
        m->stored[content_of(index)] = true;
    }
    feed(m, &ev);
}

static void all_chunks(struct model *m, const struct asked *a)
{
    for (uint32_t r = 0; r < a->range_count; r++) {
        for (uint32_t k = 0; k < a->ranges[r].count; k++) {
            struct stoq_node_event ev = {.kind = STOQ_NODE_CHUNK,
                                         .u.chunk = {.cookie = a->cookie,
                                                     .index = a->ranges[r].first + k,
                                                     .wire_bytes = 1016}};
            m->stored[content_of(a->ranges[r].first + k)] = true;
            feed(m, &ev);
        }
    }
}

static void close_asked(struct model *m, const struct package *p, struct asked a, uint8_t how)
{
    struct stoq_node_event ev = {.kind = STOQ_NODE_SAVED, .u.ended = {a.cookie, STOQ_OK}};
    uint8_t have[CHUNKS / 8] = {0};
    switch (a.kind) {
    case STOQ_NODE_ASK:
        answer_ask(m, p, &a, how);
        return;
    case STOQ_NODE_ASK_CHUNKS:
        if (how < 100) {
            all_chunks(m, &a);
        }
        ev.kind = STOQ_NODE_ASK_ENDED;
        ev.u.ended.status = how < 180 ? STOQ_OK : (enum stoq_status) - (how % 15);
        break;
    case STOQ_NODE_LOAD_META:
        ev.kind = STOQ_NODE_LOADED;
        ev.u.loaded = (struct stoq_node_loaded){a.cookie, how < 128 ? STOQ_NOTFOUND : STOQ_OK,
                                                payload_of(p, &a)};
        break;
    case STOQ_NODE_CHECK_HAVE:
        for (uint32_t i = 0; i < a.lent.n / 36; i++) {
            uint32_t index = a.lent.p[36 * i + 1];
            bool is_here = m->stored[index] && how < 250;
            have[i / 8] |= (uint8_t)((is_here ? 1u : 0u) << (i & 7));
        }
        ev.kind = STOQ_NODE_HAVE;
        ev.u.have = (struct stoq_node_have){a.cookie, have};
        break;
    default:
        ev.u.ended.status = how < 250 ? STOQ_OK : STOQ_FULL;
    }
    feed(m, &ev);
}

/* Something that was asked for gets its closing event, or a piece of news. */
static void answer(struct model *m, const struct package *p, bool is_news)
{
    uint32_t i = stoq_rd_u8(&m->in);
    uint8_t how = stoq_rd_u8(&m->in);
    if (m->asked_count == 0) {
        return;
    }
    i = i % m->asked_count;
    struct asked a = m->asked[i];
    if (is_news && a.kind == STOQ_NODE_ASK_CHUNKS) {
        chunk(m, &a, how);
        return;
    }
    if (a.lent.n > 0) {
        struct stoq_hash now = stoq_hash_blake3(a.lent);
        STOQ_ASSERT(stoq_hash_eq(&now, &a.lent_hash));
    }
    m->asked_count--;
    memmove(m->asked + i, m->asked + i + 1, (m->asked_count - i) * sizeof m->asked[0]);
    close_asked(m, p, a, how);
}

/* All of it, or a part, at once or as a reader gets on. */
static void choose_part(struct model *m, struct stoq_node_fetch *f)
{
    uint8_t how = stoq_rd_u8(&m->in);
    uint64_t first = 0;
    uint64_t end = (uint64_t)CHUNKS * CHUNK_BYTES;
    f->is_part = (how & 1) != 0;
    if (f->is_part) {
        f->first = (uint64_t)stoq_rd_u8(&m->in) * 317;
        f->end = f->first + (uint64_t)stoq_rd_u8(&m->in) * 317;
        end = f->end < end ? f->end : end;
        first = f->first;
        if (first >= end) {
            first = 0;
            end = 0;
        }
    }
    if ((how & 2) != 0) {
        f->strategy = STOQ_SWARM_SEQUENTIAL;
        f->until = 1 + f->first + how * 50u;
    }
    if (!m->running[f->fetch]) {
        m->first[f->fetch] = first;
        m->end[f->fetch] = end;
    }
}

static void user_event(struct model *m, const struct package *p)
{
    uint8_t what = stoq_rd_u8(&m->in);
    stoq_fetch_id fetch = what % FETCHES;
    static const stoq_peer sources[] = {0, 1, 2, 3};
    struct stoq_node_event ev = {.kind = STOQ_NODE_STOP, .u.stop = {fetch}};
    if (what < 200) {
        ev = (struct stoq_node_event){
            .kind = STOQ_NODE_FETCH,
            .u.fetch = {
                .fetch = fetch, .id = p->id, .sources = sources, .source_count = what / 40u}};
        ev.u.fetch.priority = (enum stoq_priority)(what % STOQ_PRIORITIES);
        ev.u.fetch.strategy = (enum stoq_swarm_strategy)(what % (STOQ_SWARM_FASTEST + 1));
        ev.u.fetch.id.h.b[3] ^= what == 199 ? 1 : 0;
        ev.u.fetch.more = what % 16 == 5;
        choose_part(m, &ev.u.fetch);
        m->running[fetch] = true;
    } else if (what < 210) {
        ev = (struct stoq_node_event){.kind = STOQ_NODE_WANT,
                                      .u.want = {fetch, stoq_rd_u8(&m->in) * 400u}};
    } else if (what < 225) {
        ev = (struct stoq_node_event){.kind = STOQ_NODE_ADD_SOURCE,
                                      .u.source = {fetch, what % PEERS}};
    } else if (what < 235) {
        ev.kind = STOQ_NODE_NO_MORE;
    }
    feed(m, &ev);
}

static void link_event(struct model *m)
{
    uint8_t what = stoq_rd_u8(&m->in);
    struct stoq_node_event ev = {
        .kind = what < 160 ? STOQ_NODE_LINK_UP : STOQ_NODE_LINK_DOWN,
        .u.link = {.peer = what % PEERS, .rtt_ns = what * STOQ_MS, .status = STOQ_NET}};
    feed(m, &ev);
}

static void inbound(struct model *m, const struct package *p)
{
    uint8_t what = stoq_rd_u8(&m->in);
    const struct stoq_range range = {0, 3};
    struct stoq_message msg = {.type = what % 9, .request_id = what};
    struct stoq_node_event ev = {.kind = STOQ_NODE_INBOUND,
                                 .u.inbound = {what % PEERS, what, &msg}};
    if (msg.type == STOQ_MSG_HELLO) {
        msg.u.hello = (struct stoq_msg_hello){.version_count = 1,
                                              .versions = {1},
                                              .agent = stoq_span_str("x"),
                                              .ranges_max = 5,
                                              .chunks_max = 5,
                                              .frame_bytes_max = 65536};
    } else if (msg.type == STOQ_MSG_METADATA_QUERY) {
        msg.u.metadata_query = (struct stoq_msg_metadata_query){p->id, STOQ_META_MANIFEST, {0, 0}};
    } else if (msg.type == STOQ_MSG_CHUNK_REQUEST) {
        msg.u.chunk_request =
            (struct stoq_msg_chunk_request){p->id, &range, 1, 3, false, STOQ_PRIORITY_NORMAL};
    } else if (msg.type == 0) {
        ev = (struct stoq_node_event){
            .kind = STOQ_NODE_INBOUND_BAD,
            .u.bad = {what % PEERS, what, 0, what < 128 ? STOQ_MALFORMED : STOQ_VERSION}};
    }
    feed(m, &ev);
    if (what > 200 && m->serves > 0) {
        m->serves--;
        ev = (struct stoq_node_event){.kind = STOQ_NODE_SERVED, .u.served = {what % PEERS, 1, 9}};
        feed(m, &ev);
    }
}

/* Whatever is still running ends when it is told to. */
static void stop_all(struct model *m)
{
    for (stoq_fetch_id i = 0; i < FETCHES; i++) {
        struct stoq_node_event ev = {.kind = STOQ_NODE_STOP, .u.stop = {i}};
        feed(m, &ev);
    }
    m->asked_count = 0; /* their closing events never come: freeing must do without */
    drain(m);
    for (stoq_fetch_id i = 0; i < FETCHES; i++) {
        STOQ_ASSERT(!m->running[i]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size > 2048) {
        return 0;
    }
    static struct model m;
    static struct package p;
    if (p.shards == 0) {
        make_package(&p);
    }
    struct stoq_node_config cfg = {
        .agent = stoq_span_str("fuzz"), .serves_link_max = 2, .fetches_running_max = 2};
    memset(&m, 0, sizeof m);
    m.in = stoq_rd(stoq_span(data, size));
    m.now = STOQ_SEC;
    STOQ_ASSERT(stoq_node_new(&m.node, &cfg, 1) == STOQ_OK);
    while (m.in.n > 0) {
        uint8_t op = stoq_rd_u8(&m.in);
        m.now += (stoq_ns)(op >> 5) * 150 * STOQ_MS;
        switch (op & 15) {
        case 0:
            user_event(&m, &p);
            break;
        case 1:
        case 2:
            link_event(&m);
            break;
        case 3:
            inbound(&m, &p);
            break;
        case 4:
        case 5:
            answer(&m, &p, true);
            break;
        case 6:
            m.now = stoq_node_deadline(m.node) != STOQ_NEVER ? stoq_node_deadline(m.node) : m.now;
            break;
        default:
            answer(&m, &p, false);
        }
        drain(&m);
    }
    stop_all(&m);
    stoq_node_free(m.node);
    return 0;
}
