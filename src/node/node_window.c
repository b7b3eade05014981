/*
 * The shards at hand. A window of shards slides over the package: each one's chunk list is loaded from
 * the store or asked for, checked against the shard root, compared with what the store has, and fed to
 * the swarm; when its last chunk is here it leaves the window with its list. So memory is flat however
 * large the package is. The window is an array in order of shard index, holes closed as shards leave.
 */
#include "node/node_internal.h"

#include <string.h>

/* What the swarm cannot take in for want of memory would leave it waiting for ever. */
static void tell_swarm(struct fetch *f, const struct stoq_swarm_event *ev)
{
    enum stoq_status st = stoq_swarm_feed(f->swarm, ev, f->node->now);
    if (st != STOQ_OK) {
        fetch_end(f, st);
    }
}

static bool bit(const uint8_t *bits, uint32_t i)
{
    return bits != NULL && (bits[i / 8] >> (i & 7) & 1) != 0;
}

struct shard *window_find(struct fetch *f, uint64_t index)
{
    uint32_t lo = 0;
    uint32_t hi = f->shard_count;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (f->shards[mid]->index < index) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo < f->shard_count && f->shards[lo]->index == index ? f->shards[lo] : NULL;
}

/* The shard at hand that has this chunk; NULL: none. */
static struct shard *find_chunk(struct fetch *f, uint64_t chunk)
{
    uint32_t lo = 0;
    uint32_t hi = f->shard_count;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (f->shards[mid]->first_chunk <= chunk) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    struct shard *s = lo == 0 ? NULL : f->shards[lo - 1];
    return s != NULL && chunk - s->first_chunk < s->entry.chunks ? s : NULL;
}

static void shard_free(struct fetch *f, struct shard *s)
{
    node_blob_drop(f->node, s->list);
    stoq_free(&f->node->cfg.alloc, s);
}

static void shard_leave(struct fetch *f, struct shard *s)
{
    uint32_t i = 0;
    while (f->shards[i] != s) {
        i++;
    }
    f->shard_count--;
    memmove(&f->shards[i], &f->shards[i + 1], (f->shard_count - i) * sizeof f->shards[0]);
    shard_free(f, s);
}

void window_release(struct fetch *f)
{
    while (f->shard_count > 0) {
        shard_free(f, f->shards[--f->shard_count]);
    }
    stoq_swarm_free(f->swarm);
    f->swarm = NULL;
}

enum stoq_status window_begin(struct fetch *f)
{
    struct stoq_swarm_config cfg = {.strategy = f->strategy, .alloc = f->node->cfg.alloc};
    enum stoq_status st = stoq_swarm_new(&f->swarm, &cfg, stoq_prng_next(&f->node->prng));
    for (uint32_t i = 0; st == STOQ_OK && i < f->source_count; i++) {
        struct link *l = node_link(f->node, f->sources[i].peer);
        if (f->sources[i].state == SOURCE_USABLE && l != NULL && l->hello == HELLO_KNOWN) {
            window_peer(f, &f->sources[i], l);
        }
    }
    return st;
}

void window_peer(struct fetch *f, struct source *s, const struct link *l)
{
    if (f->swarm == NULL || s->in_swarm) {
        return;
    }
    struct stoq_swarm_event ev = {.kind = STOQ_SWARM_PEER_ADD,
                                  .u.peer = {.peer = s->peer,
                                             .rtt_ns = l->rtt_ns,
                                             .ranges_max = l->said.ranges_max,
                                             .chunks_max = l->said.chunks_max}};
    enum stoq_status st = stoq_swarm_feed(f->swarm, &ev, f->node->now);
    if (st == STOQ_NOMEM) {
        fetch_end(f, st);
        return;
    }
    s->in_swarm = st == STOQ_OK;
    s->report.step = STOQ_NODE_STEP_CHUNKS;
    f->stuck = false;
}

void window_peer_gone(struct fetch *f, struct source *s)
{
    if (f->swarm != NULL && s->in_swarm) {
        struct stoq_swarm_event ev = {.kind = STOQ_SWARM_PEER_GONE, .u.peer = {.peer = s->peer}};
        tell_swarm(f, &ev);
        s->in_swarm = false;
    }
}

/* Bring the next shard into the window and look for its list in the store. */
static enum stoq_status shard_enter(struct fetch *f)
{
    struct shard *s = stoq_alloc(&f->node->cfg.alloc, 1, sizeof *s);
    if (s == NULL) {
        return STOQ_NOMEM;
    }
    s->index = f->next_shard;
    s->first_chunk = f->next_chunk;
    s->entry = stoq_merkle_shard_at(node_blob_span(f->shard_list), (size_t)s->index);
    s->left = (uint32_t)s->entry.chunks;
    s->state = SHARD_LOADING;
    enum stoq_status st = meta_load(f, STOQ_META_CHUNK_LISTS, s->entry.root, s->index);
    if (st != STOQ_OK) {
        stoq_free(&f->node->cfg.alloc, s);
        return st;
    }
    f->shards[f->shard_count++] = s;
    f->loads++;
    f->next_shard++;
    f->next_chunk += s->entry.chunks;
    return STOQ_OK;
}

void window_list_missing(struct fetch *f, uint64_t shard)
{
    struct shard *s = window_find(f, shard);
    if (s != NULL && s->state == SHARD_LOADING) {
        s->state = SHARD_WANTED;
    }
}

void window_asked(struct fetch *f, struct stoq_range shards, bool asked)
{
    for (uint32_t i = 0; i < shards.count; i++) {
        struct shard *s = window_find(f, shards.first + i);
        if (s != NULL && s->state == (asked ? SHARD_WANTED : SHARD_ASKED)) {
            s->state = asked ? SHARD_ASKED : SHARD_WANTED;
        }
    }
}

/* Ask for the lists that the store lacks, neighbours together. */
static void ask_lists(struct fetch *f)
{
    for (uint32_t i = 0; i < f->shard_count && f->queries < LIST_QUERIES_MAX;) {
        struct shard *s = f->shards[i];
        if (s->state != SHARD_WANTED) {
            i++;
            continue;
        }
        struct stoq_range r = {s->index, 0};
        uint64_t bytes = 0;
        while (i < f->shard_count && r.count < LISTS_PER_QUERY &&
               f->shards[i]->state == SHARD_WANTED && f->shards[i]->index == r.first + r.count) {
            bytes += f->shards[i]->entry.chunks * STOQ_MERKLE_CHUNK_ENTRY_BYTES;
            r.count++;
            i++;
        }
        if (!meta_ask(f, STOQ_META_CHUNK_LISTS, r, bytes)) {
            return;
        }
        f->queries++;
        window_asked(f, r, true);
    }
}

static enum stoq_status check_have(struct fetch *f, struct shard *s)
{
    struct stoq_node *n = f->node;
    struct pending *p = node_pending(n, PENDING_HAVE, f);
    struct out *o = p == NULL ? NULL : node_out(n, STOQ_NODE_CHECK_HAVE);
    if (o == NULL) {
        if (p != NULL) {
            node_pending_close(n, p);
        }
        return STOQ_NOMEM;
    }
    p->shard = s->index;
    p->blob = s->list;
    s->list->refs++;
    o->action.u.check = (struct stoq_node_check){.cookie = p->cookie,
                                                 .fetch = f->id,
                                                 .chunk_list = node_blob_span(s->list),
                                                 .chunk_count = (uint32_t)s->entry.chunks};
    return STOQ_OK;
}

void window_list(struct fetch *f, uint64_t shard, struct stoq_span list, bool from_store,
                 enum stoq_status *status)
{
    struct shard *s = window_find(f, shard);
    if (s == NULL || s->list != NULL) {
        return; /* come twice */
    }
    *status = stoq_merkle_check_chunk_list(&s->entry, STOQ_MERKLE_CHUNK_BYTES_MAX, list);
    if (*status != STOQ_OK) {
        return;
    }
    s->list = node_blob(f->node, list);
    enum stoq_status st = s->list == NULL ? STOQ_NOMEM : check_have(f, s);
    if (st == STOQ_OK && from_store) {
        f->report.shards_known++;
    } else if (st == STOQ_OK) {
        st = meta_save(f, STOQ_META_CHUNK_LISTS, s->entry.root, NULL, s->list);
    }
    s->state = SHARD_LISTED;
    if (st != STOQ_OK) {
        fetch_end(f, st);
    }
}

void window_have(struct fetch *f, uint64_t shard, const uint8_t *bits)
{
    struct shard *s = window_find(f, shard);
    if (s == NULL || s->state != SHARD_LISTED) {
        return;
    }
    uint32_t lengths[STOQ_MERKLE_SHARD_CHUNKS_MAX];
    uint32_t n = (uint32_t)s->entry.chunks;
    for (uint32_t i = 0; i < n; i++) {
        lengths[i] = stoq_merkle_chunk_at(node_blob_span(s->list), i).bytes;
        if (bit(bits, i)) {
            s->got[i / 8] |= (uint8_t)(1u << (i & 7));
            s->left--;
            f->report.chunks_had++;
            f->report.bytes_had += lengths[i];
        }
    }
    if (s->left == 0) {
        shard_leave(f, s);
        return;
    }
    struct stoq_swarm_event ev = {
        .kind = STOQ_SWARM_ADD,
        .u.add = {.chunks = {s->first_chunk, n}, .lengths = lengths, .have = s->got}};
    enum stoq_status st = stoq_swarm_feed(f->swarm, &ev, f->node->now);
    s->state = SHARD_OPEN;
    if (st != STOQ_OK) {
        fetch_end(f, st);
    }
}

static enum stoq_node_why why_of(enum stoq_swarm_why why)
{
    switch (why) {
    case STOQ_SWARM_BAD_CHUNK:
        return STOQ_NODE_BAD_CHUNK;
    case STOQ_SWARM_BAD_REPLY:
        return STOQ_NODE_BAD_REPLY;
    default:
        return STOQ_NODE_STALLED;
    }
}

/* Fill in what the shell needs to check each chunk of a request. */
static bool request_chunks(struct fetch *f, struct pending *p,
                           const struct stoq_swarm_request *want)
{
    uint32_t at = 0;
    for (uint32_t i = 0; i < want->range_count; i++) {
        p->ranges[i] = want->ranges[i];
        for (uint32_t k = 0; k < want->ranges[i].count; k++) {
            uint64_t chunk = want->ranges[i].first + k;
            struct shard *s = find_chunk(f, chunk);
            if (s == NULL || s->list == NULL || at == want->chunk_count) {
                return false;
            }
            p->chunks[at++] =
                stoq_merkle_chunk_at(node_blob_span(s->list), (size_t)(chunk - s->first_chunk));
        }
    }
    return at == want->chunk_count;
}

static enum stoq_status request(struct fetch *f, const struct stoq_swarm_request *want)
{
    struct stoq_node *n = f->node;
    struct pending *p = node_pending(n, PENDING_CHUNKS, f);
    if (p == NULL) {
        return STOQ_NOMEM;
    }
    p->peer = want->peer;
    p->swarm_cookie = want->cookie;
    p->chunk_count = want->chunk_count;
    p->chunks = stoq_alloc(&n->cfg.alloc, want->chunk_count, sizeof *p->chunks);
    p->ranges = stoq_alloc(&n->cfg.alloc, want->range_count, sizeof *p->ranges);
    if (p->chunks == NULL || p->ranges == NULL) {
        node_pending_close(n, p);
        return STOQ_NOMEM;
    }
    STOQ_ASSERT(request_chunks(f, p, want)); /* the swarm knows only what the window gave it */
    struct out *o = node_out(n, STOQ_NODE_ASK_CHUNKS);
    if (o == NULL) {
        node_pending_close(n, p);
        return STOQ_NOMEM;
    }
    o->action.u.ask_chunks = (struct stoq_node_ask_chunks){.peer = want->peer,
                                                           .cookie = p->cookie,
                                                           .id = f->package,
                                                           .ranges = p->ranges,
                                                           .range_count = want->range_count,
                                                           .chunks = p->chunks,
                                                           .chunk_count = want->chunk_count,
                                                           .bytes = want->bytes,
                                                           .want_proofs = n->cfg.want_proofs};
    return STOQ_OK;
}

static void cancel(struct fetch *f, stoq_swarm_cookie cookie)
{
    for (struct pending *p = f->node->pending_first; p != NULL; p = p->next) {
        if (p->fetch == f && p->kind == PENDING_CHUNKS && p->swarm_cookie == cookie) {
            node_pending_cancel(f->node, p);
            return;
        }
    }
}

static void charge(struct fetch *f, const struct stoq_swarm_charge *c)
{
    bool grave = c->why != STOQ_SWARM_STALLED;
    node_charge(f->node, c->peer, why_of(c->why), grave);
    struct source *s = fetch_source(f, c->peer);
    if (grave && s != NULL) {
        s->in_swarm = false; /* it has dropped the peer itself */
        fetch_source_fail(f, s, c->why == STOQ_SWARM_BAD_CHUNK ? STOQ_PROOF : STOQ_MALFORMED);
    }
}

static bool may_get_more(const struct source *s)
{
    return s->in_swarm && s->said_missing && !s->said_damaged;
}

/* Nobody in the swarm can supply what is wanted. Those that it gave up have failed; those that only lack
 * chunks may be fetching them themselves, and are asked again until nothing has come for a while. */
static void stuck(struct fetch *f)
{
    bool may_help = false;
    for (uint32_t i = 0; i < f->source_count && !f->over; i++) {
        struct source *s = &f->sources[i];
        struct stoq_swarm_peer_stats stats;
        if (s->in_swarm && stoq_swarm_peer_stats(f->swarm, s->peer, &stats) && !stats.usable) {
            fetch_source_fail(f, s, s->last_status == STOQ_OK ? STOQ_TIMEOUT : s->last_status);
        }
        may_help = may_help || may_get_more(s);
    }
    if (f->stuck_until == 0) {
        f->stuck_until = f->node->now + STOQ_NODE_STUCK_TIMEOUT;
    }
    f->stuck = true;
    f->look_at = f->node->now + (may_help ? LOOK_AGAIN : 0);
}

bool window_look_again(struct fetch *f)
{
    bool may_help = false;
    f->look_at = f->node->now + LOOK_AGAIN;
    for (uint32_t i = 0; i < f->source_count && !f->over; i++) {
        struct source *s = &f->sources[i];
        const struct link *l = node_link(f->node, s->peer);
        if (may_get_more(s) && l != NULL) {
            window_peer_gone(f, s);
            window_peer(f, s, l);
            may_help = true;
        }
    }
    return may_help;
}

static void swarm_act(struct fetch *f, const struct stoq_swarm_action *a)
{
    enum stoq_status st = STOQ_OK;
    switch (a->kind) {
    case STOQ_SWARM_REQUEST:
        st = request(f, &a->u.request);
        break;
    case STOQ_SWARM_CANCEL:
        cancel(f, a->u.cancel.cookie);
        break;
    case STOQ_SWARM_CHARGE:
        charge(f, &a->u.charge);
        break;
    case STOQ_SWARM_NEED_MORE:
        break; /* the window is filled after every event anyway */
    case STOQ_SWARM_DONE:
        f->swarm_done = true;
        break;
    case STOQ_SWARM_STUCK:
        stuck(f);
        break;
    }
    if (st != STOQ_OK) {
        fetch_end(f, st);
    }
}

/* How many chunks the shards on their way into the swarm will bring. */
static uint64_t coming(const struct fetch *f)
{
    uint64_t n = 0;
    for (uint32_t i = f->shard_count; i-- > 0 && f->shards[i]->state != SHARD_OPEN;) {
        n += f->shards[i]->entry.chunks;
    }
    return n;
}

static enum stoq_status fill(struct fetch *f)
{
    enum stoq_status st = STOQ_OK;
    uint64_t room = stoq_swarm_room(f->swarm);
    uint64_t expected = coming(f);
    while (st == STOQ_OK && f->next_shard < f->root.shards && f->loads < LOADS_MAX &&
           f->shard_count < STOQ_NODE_WINDOW_SHARDS &&
           expected + STOQ_MERKLE_SHARD_CHUNKS_MAX <= room) {
        st = shard_enter(f);
        expected += st == STOQ_OK ? f->shards[f->shard_count - 1]->entry.chunks : 0;
    }
    return st;
}

static bool all_fed(const struct fetch *f)
{
    for (uint32_t i = 0; i < f->shard_count; i++) {
        if (f->shards[i]->state != SHARD_OPEN) {
            return false;
        }
    }
    return f->next_shard == f->root.shards;
}

void window_drive(struct fetch *f)
{
    enum stoq_status st = fill(f);
    if (st != STOQ_OK) {
        fetch_end(f, st);
        return;
    }
    ask_lists(f);
    if (!f->swarm_ended && all_fed(f)) {
        struct stoq_swarm_event ev = {.kind = STOQ_SWARM_ADD_END};
        f->swarm_ended = stoq_swarm_feed(f->swarm, &ev, f->node->now) == STOQ_OK;
    }
    struct stoq_swarm_action a;
    while (!f->over && stoq_swarm_poll(f->swarm, f->node->now, &a)) {
        swarm_act(f, &a);
    }
}

static void count_chunk(struct fetch *f, struct pending *p, const struct stoq_node_chunk *c,
                        struct shard *s)
{
    struct source *src = fetch_source(f, p->peer);
    uint32_t i = (uint32_t)(c->index - s->first_chunk);
    uint32_t bytes = stoq_merkle_chunk_at(node_blob_span(s->list), i).bytes;
    if (bit(s->got, i)) {
        f->report.bytes_duplicate += bytes;
        return;
    }
    s->got[i / 8] |= (uint8_t)(1u << (i & 7));
    s->left--;
    f->report.chunks_from_peers++;
    f->report.bytes_from_peers += bytes;
    f->report.bytes_new += c->is_new ? bytes : 0;
    f->stuck_until = f->stuck ? f->node->now + STOQ_NODE_STUCK_TIMEOUT : 0;
    if (src != NULL) {
        src->last_status = STOQ_OK;
        src->report.chunks++;
        src->report.bytes += bytes;
    }
}

void window_chunk(struct fetch *f, struct pending *p, const struct stoq_node_chunk *c)
{
    struct source *src = fetch_source(f, p->peer);
    f->report.bytes_wire += c->wire_bytes;
    if (src != NULL) {
        src->report.wire_bytes += c->wire_bytes;
        src->said_missing = src->said_missing || c->status == STOQ_NOTFOUND;
        src->said_damaged = src->said_damaged || c->damaged;
    }
    struct stoq_swarm_event ev = {
        .u.chunk = {
            .cookie = p->swarm_cookie, .index = c->index, .bytes = c->wire_bytes, .peer = p->peer}};
    struct shard *s = find_chunk(f, c->index);
    switch (c->status) {
    case STOQ_OK:
        ev.kind = STOQ_SWARM_CHUNK_OK;
        if (s != NULL && s->list != NULL) {
            count_chunk(f, p, c, s);
        } else {
            f->report.bytes_duplicate += c->wire_bytes;
        }
        break;
    case STOQ_PROOF:
        ev.kind = STOQ_SWARM_CHUNK_BAD;
        break;
    case STOQ_NOTFOUND:
        ev.kind = STOQ_SWARM_CHUNK_MISSING;
        break;
    default:
        fetch_end(f, c->status);
        return;
    }
    tell_swarm(f, &ev);
    if (s != NULL && s->left == 0) {
        shard_leave(f, s);
    }
}

void window_ended(struct fetch *f, struct pending *p, enum stoq_status status)
{
    struct stoq_swarm_event ev = {
        .kind = STOQ_SWARM_REQUEST_ENDED,
        .u.ended = {.cookie = p->swarm_cookie,
                    .status = p->cancelled && status != STOQ_OK ? STOQ_CANCELLED : status}};
    struct source *s = fetch_source(f, p->peer);
    if (s != NULL && s->report.status == STOQ_OK && status == STOQ_NOTFOUND) {
        s->said_missing = true;
    }
    if (s != NULL && status != STOQ_OK && !p->cancelled) {
        s->last_status = status;
    }
    tell_swarm(f, &ev);
}

void window_progress(struct fetch *f, struct pending *p, uint64_t bytes)
{
    struct stoq_swarm_event ev = {.kind = STOQ_SWARM_PROGRESS,
                                  .u.progress = {.cookie = p->swarm_cookie, .bytes = bytes}};
    tell_swarm(f, &ev);
}
