/*
 * The shards at hand. A window of shards slides over the package, or over the part of it that is wanted:
 * each one's chunk list is loaded from the store or asked for, checked against the shard root, compared
 * with what the store has, and fed to the swarm as far as the reader wants it now; when the last chunk
 * that is wanted of it is here it leaves the window with its list. So memory is flat however large the
 * package is. The window is an array in order of shard index, holes closed as shards leave.
 */
#include "node/node_internal.h"

#include <string.h>

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

struct shard *window_find_chunk(struct fetch *f, uint64_t chunk)
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

struct stoq_merkle_chunk window_chunk_at(const struct shard *s, uint32_t i)
{
    return stoq_merkle_chunk_at(node_blob_span(s->list), i);
}

static void shard_free(struct shard *s)
{
    struct stoq_node *n = s->fetch->node;
    node_blob_drop(n, s->list);
    stoq_free(&n->cfg.alloc, s->places);
    stoq_free(&n->cfg.alloc, s);
}

void window_leave(struct shard *s)
{
    struct fetch *f = s->fetch;
    uint32_t i = 0;
    while (f->shards[i] != s) {
        i++;
    }
    f->shard_count--;
    memmove(&f->shards[i], &f->shards[i + 1], (f->shard_count - i) * sizeof f->shards[0]);
    shard_free(s);
}

void window_release(struct fetch *f)
{
    while (f->shard_count > 0) {
        shard_free(f->shards[--f->shard_count]);
    }
    stoq_swarm_free(f->swarm);
    f->swarm = NULL;
}

static struct stoq_merkle_shard entry_at(const struct fetch *f, uint64_t shard)
{
    return stoq_merkle_shard_at(node_blob_span(f->shard_list), (size_t)shard);
}

/* Find the shards that hold the bytes wanted. */
static void place_part(struct fetch *f)
{
    while (f->next_shard < f->root.shards &&
           f->next_byte + entry_at(f, f->next_shard).bytes <= f->first) {
        f->next_byte += entry_at(f, f->next_shard).bytes;
        f->next_chunk += entry_at(f, f->next_shard).chunks;
        f->next_shard++;
    }
    f->end_shard = f->next_shard;
    for (uint64_t at = f->next_byte; at < f->end && f->end_shard < f->root.shards;) {
        at += entry_at(f, f->end_shard).bytes;
        f->end_shard++;
    }
}

enum stoq_status window_begin(struct fetch *f)
{
    struct stoq_swarm_config cfg = {.strategy = f->strategy, .alloc = f->node->cfg.alloc};
    enum stoq_status st = stoq_swarm_new(&f->swarm, &cfg, stoq_prng_next(&f->node->prng));
    for (uint32_t i = 0; st == STOQ_OK && i < f->source_count; i++) {
        struct link *l = node_link(f->node, f->sources[i].peer);
        if (f->sources[i].state == SOURCE_USABLE && l != NULL && l->hello == HELLO_KNOWN) {
            swarm_peer(f, &f->sources[i], l);
        }
    }
    place_part(f);
    return st;
}

/* Bring the next shard into the window and look for its list in the store, unless it is here. */
static enum stoq_status shard_enter(struct fetch *f)
{
    struct shard *s = stoq_alloc(&f->node->cfg.alloc, 1, sizeof *s);
    if (s == NULL) {
        return STOQ_NOMEM;
    }
    s->fetch = f;
    s->index = f->next_shard;
    s->first_byte = f->next_byte;
    s->first_chunk = f->next_chunk;
    s->entry = entry_at(f, s->index);
    s->state = SHARD_LOADING;
    enum stoq_status st = f->chunk_lists != NULL
                              ? STOQ_OK
                              : meta_load(f, STOQ_META_CHUNK_LISTS, s->entry.root, s->index);
    if (st != STOQ_OK) {
        stoq_free(&f->node->cfg.alloc, s);
        return st;
    }
    f->shards[f->shard_count++] = s;
    f->loads += f->chunk_lists == NULL ? 1 : 0;
    f->next_shard++;
    f->next_chunk += s->entry.chunks;
    f->next_byte += s->entry.bytes;
    if (f->chunk_lists != NULL) {
        struct stoq_span lists = node_blob_span(f->chunk_lists);
        window_list(f, s->index,
                    stoq_span(lists.p + s->first_chunk * STOQ_MERKLE_CHUNK_ENTRY_BYTES,
                              (size_t)s->entry.chunks * STOQ_MERKLE_CHUNK_ENTRY_BYTES),
                    false, &st);
    }
    return st;
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

/* How many lists one query asks a source for. With many sources most may be fetching it too: nobody has all
 * lists, and each is asked for one until it has brought some. */
static uint32_t lists_max(const struct fetch *f, struct source *s)
{
    if (s->lists_max == 0) {
        s->lists_max = f->source_count > FEW_SOURCES ? 1 : LISTS_PER_QUERY;
    }
    return s->lists_max;
}

/* Ask for the list of the i-th shard at hand, and for those behind it as far as the source may have them.
 * How many; 0: nobody can be asked now. */
static uint32_t ask_run(struct fetch *f, uint32_t i)
{
    bool early;
    struct source *s = fetch_source_pick(f, &early);
    if (s == NULL) {
        return 0;
    }
    struct stoq_range r = {f->shards[i]->index, 0};
    uint64_t bytes = 0;
    uint32_t most = lists_max(f, s);
    for (; i < f->shard_count && r.count < most && f->shards[i]->state == SHARD_WANTED &&
           f->shards[i]->index == r.first + r.count;
         i++) {
        bytes += f->shards[i]->entry.chunks * STOQ_MERKLE_CHUNK_ENTRY_BYTES;
        r.count++;
    }
    if (!meta_ask_lists(f, s, early, r, bytes)) {
        return 0;
    }
    f->queries++;
    window_asked(f, r, true);
    return r.count;
}

static bool lacks_lists(const struct fetch *f)
{
    for (uint32_t i = 0; i < f->shard_count; i++) {
        if (f->shards[i]->state == SHARD_WANTED) {
            return true;
        }
    }
    return false;
}

/* Ask for the lists that the store lacks, neighbours together. Of many who fetch the same each begins at
 * another one, and soon has something for the others. */
static void ask_lists(struct fetch *f)
{
    if (f->queries == LIST_QUERIES_MAX || !lacks_lists(f)) {
        return;
    }
    bool in_order = f->source_count <= FEW_SOURCES || f->strategy == STOQ_SWARM_SEQUENTIAL;
    uint32_t at =
        in_order ? 0 : (uint32_t)stoq_prng_below(&f->node->prng, (uint64_t)f->shard_count);
    for (uint32_t k = 0; k < f->shard_count && f->queries < LIST_QUERIES_MAX;) {
        uint32_t i = (at + k) % f->shard_count;
        uint32_t asked = f->shards[i]->state == SHARD_WANTED ? ask_run(f, i) : 1;
        if (asked == 0) {
            return;
        }
        k += asked;
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
    p->arrivals = n->arrivals;
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

/* Which of its chunks hold bytes that are wanted, and where the first of them begins. */
static void bound(const struct fetch *f, struct shard *s)
{
    uint64_t at = s->first_byte;
    uint32_t n = (uint32_t)s->entry.chunks;
    while (s->lo < n && at + window_chunk_at(s, s->lo).bytes <= f->first) {
        at += window_chunk_at(s, s->lo).bytes;
        s->lo++;
    }
    s->fed = s->ready = s->hi = s->lo;
    s->fed_byte = s->ready_byte = at;
    while (s->hi < n && at < f->end) {
        at += window_chunk_at(s, s->hi).bytes;
        s->hi++;
    }
}

static void note_came(struct shard *s, uint32_t i, uint32_t bytes)
{
    s->fetch->report.chunks_shared++;
    s->fetch->report.bytes_shared += bytes;
    node_bit_set(s->got, i);
}

/* Note what of the shard is here, by the store's word or because it came since the store was asked. */
static void note_had(struct fetch *f, struct shard *s, const uint8_t *bits)
{
    for (uint32_t i = s->lo; i < s->hi; i++) {
        const struct stoq_merkle_chunk chunk = window_chunk_at(s, i);
        if (node_bit(bits, i)) {
            f->report.chunks_had++;
            f->report.bytes_had += chunk.bytes;
            node_bit_set(s->got, i);
        } else if (share_came(f->node, &chunk.hash, s->arrivals)) {
            note_came(s, i, chunk.bytes);
        } else {
            s->left++;
        }
    }
}

/* Give the swarm a run of chunks; what it has no room for is owed to it. */
static void give(struct fetch *f, struct shard *s, uint32_t from, uint32_t n,
                 const uint32_t *lengths, const uint8_t *have)
{
    struct stoq_swarm_event ev = {
        .kind = STOQ_SWARM_ADD,
        .u.add = {.chunks = {s->first_chunk + from, n}, .lengths = lengths, .have = have}};
    enum stoq_status st = stoq_swarm_feed(f->swarm, &ev, f->node->now);
    if (st != STOQ_OK && st != STOQ_FULL) {
        fetch_end(f, st);
        return;
    }
    for (uint32_t i = 0; i < n; i++) {
        bool is_wanted = !node_bit(have, i);
        if (is_wanted && st == STOQ_FULL && !node_bit(s->owed, from + i)) {
            node_bit_set(s->owed, from + i);
            s->owed_count++;
            f->owed++;
        } else if (st == STOQ_OK && node_bit(s->owed, from + i)) {
            s->owed[(from + i) / 8] &= (uint8_t) ~(1u << ((from + i) & 7));
            s->owed_count--;
            f->owed--;
        }
    }
}

/* Feed the next run: up to a chunk that another fetch brings, or to what is not wanted yet. */
static void feed_run(struct fetch *f, struct shard *s)
{
    uint32_t lengths[STOQ_MERKLE_SHARD_CHUNKS_MAX];
    uint8_t have[STOQ_MERKLE_SHARD_CHUNKS_MAX / 8] = {0};
    uint32_t from = s->fed;
    uint32_t n = 0;
    uint32_t asked = 0;
    bool ends = false;
    bool waited = f->strategy == STOQ_SWARM_SEQUENTIAL; /* for the reader, since the have-check */
    while (!ends && s->fed < s->hi && s->fed_byte < f->until) {
        uint32_t i = s->fed++;
        const struct stoq_merkle_chunk chunk = window_chunk_at(s, i);
        enum place_state state = PLACE_TWIN;
        lengths[n] = chunk.bytes;
        s->fed_byte += chunk.bytes;
        if (waited && !node_bit(s->got, i) && share_came(f->node, &chunk.hash, s->arrivals)) {
            note_came(s, i, chunk.bytes);
            s->left--;
        } else if (!node_bit(s->got, i)) {
            state = share_enter(s, i);
        }
        ends = state == PLACE_FOLLOWS;
        if (state == PLACE_ASKED) {
            asked++;
        } else if (!ends) {
            node_bit_set(have, n);
        }
        n += ends ? 0 : 1;
    }
    if (asked > 0) {
        give(f, s, from, n, lengths, have);
    }
}

/* Feed what is wanted now. False: the shard was complete and is gone. */
static bool feed(struct fetch *f, struct shard *s)
{
    while (!f->over && s->fed < s->hi && s->fed_byte < f->until) {
        feed_run(f, s);
    }
    if (s->left > 0 || f->over) {
        return true;
    }
    window_leave(s);
    return false;
}

/* Give the swarm what it is owed of a shard, in runs. */
static void pay(struct fetch *f, struct shard *s)
{
    static const uint8_t none[STOQ_MERKLE_SHARD_CHUNKS_MAX / 8];
    uint32_t lengths[STOQ_MERKLE_SHARD_CHUNKS_MAX];
    for (uint32_t i = s->lo; i < s->hi && s->owed_count > 0 && !f->over;) {
        uint32_t n = 0;
        while (i + n < s->hi && node_bit(s->owed, i + n)) {
            lengths[n] = window_chunk_at(s, i + n).bytes;
            n++;
        }
        uint32_t owed = s->owed_count;
        if (n > 0) {
            give(f, s, i, n, lengths, none);
        }
        if (n > 0 && s->owed_count == owed) {
            return; /* no room now */
        }
        i += n > 0 ? n : 1;
    }
}

/* In order means that no shard is fed before those in front of it are known. */
static bool is_its_turn(const struct fetch *f, const struct shard *s)
{
    bool is_known = true;
    for (uint32_t i = 0; is_known && f->shards[i] != s && f->strategy == STOQ_SWARM_SEQUENTIAL;
         i++) {
        is_known = f->shards[i]->state == SHARD_OPEN;
    }
    return is_known;
}

void window_have(struct fetch *f, const struct pending *p, const uint8_t *bits)
{
    struct shard *s = window_find(f, p->shard);
    if (s == NULL || s->state != SHARD_LISTED) {
        return;
    }
    s->arrivals = p->arrivals;
    bound(f, s);
    note_had(f, s, bits);
    s->state = SHARD_OPEN;
    if (s->left > 0) {
        s->places = stoq_alloc(&f->node->cfg.alloc, s->left, sizeof *s->places);
        if (s->places == NULL) {
            fetch_end(f, STOQ_NOMEM);
            return;
        }
    }
    if (is_its_turn(f, s) && feed(f, s)) {
        have_opened(f, s);
    }
}

/* The first byte wanted that is not here. Positions only move on. */
uint64_t window_ready(struct fetch *f)
{
    uint64_t at = f->next_byte > f->first ? f->next_byte : f->first;
    if (f->shard_count > 0) {
        struct shard *s = f->shards[0];
        at = s->first_byte > f->first ? s->first_byte : f->first;
        if (s->state == SHARD_OPEN) {
            while (s->ready < s->hi && node_bit(s->got, s->ready)) {
                s->ready_byte += window_chunk_at(s, s->ready).bytes;
                s->ready++;
            }
            at = s->ready_byte > f->first ? s->ready_byte : f->first;
        }
    }
    return at < f->end ? at : f->end;
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
    while (st == STOQ_OK && f->next_shard < f->end_shard && f->next_byte < f->until &&
           f->loads < LOADS_MAX && f->shard_count < STOQ_NODE_WINDOW_SHARDS &&
           expected + STOQ_MERKLE_SHARD_CHUNKS_MAX <= room) {
        st = shard_enter(f);
        expected += st == STOQ_OK ? f->shards[f->shard_count - 1]->entry.chunks : 0;
    }
    return st;
}

static bool all_fed(const struct fetch *f)
{
    for (uint32_t i = 0; i < f->shard_count; i++) {
        if (f->shards[i]->state != SHARD_OPEN || f->shards[i]->fed < f->shards[i]->hi) {
            return false;
        }
    }
    return f->next_shard == f->end_shard && f->follows == 0 && f->owed == 0;
}

void window_drive(struct fetch *f)
{
    enum stoq_status st = fill(f);
    if (st != STOQ_OK) {
        fetch_end(f, st);
        return;
    }
    ask_lists(f);
    for (uint32_t i = 0; i < f->shard_count && !f->over;) {
        struct shard *s = f->shards[i];
        bool stays = s->state != SHARD_OPEN || !is_its_turn(f, s) || feed(f, s);
        if (stays && s->owed_count > 0) {
            pay(f, s);
        }
        i += stays ? 1 : 0;
    }
    if (!f->swarm_ended && all_fed(f)) {
        struct stoq_swarm_event ev = {.kind = STOQ_SWARM_ADD_END};
        f->swarm_ended = stoq_swarm_feed(f->swarm, &ev, f->node->now) == STOQ_OK;
    }
    swarm_drive(f);
}
