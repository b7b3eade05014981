/*
 * Two tables of what was seen: one is filled, the other is what was filled before. When the first is full or
 * has been filled for twice the window the other is emptied and takes its place. So each is remembered for
 * twice the window (it may be made a window ahead of our clock, and good for another), and where more come
 * than fit, for less: then what is older than anything still remembered is no longer taken, which costs those
 * whose clocks are late, not the promise. The same floor stands at the beginning, when nothing is remembered.
 *
 * A Bloom filter would be smaller and could not tell a sender's own repetition, which must be answered, from
 * a copy that comes from elsewhere.
 */
#include "net/replay.h"

#include <stdlib.h>
#include <string.h>

enum stoq_status net_replay_init(struct net_replay *r, size_t half, uint64_t now_ms)
{
    STOQ_ASSERT(half > 0 && (half & (half - 1)) == 0);
    *r = (struct net_replay){.now.since_ms = now_ms, .slots = 2 * half, .floor_ms = now_ms};
    r->now.v = calloc(r->slots, sizeof *r->now.v);
    r->before.v = calloc(r->slots, sizeof *r->before.v);
    return r->now.v == NULL || r->before.v == NULL ? STOQ_NOMEM : STOQ_OK;
}

void net_replay_release(struct net_replay *r)
{
    free(r->now.v);
    free(r->before.v);
    *r = (struct net_replay){0};
}

/* Its slot, or the empty one where it would be: there always is one. */
static struct net_replay_entry *find(const struct net_replay *r, const struct net_replay_half *h,
                                     uint64_t tag)
{
    size_t at = tag & (r->slots - 1);
    while (h->v[at].tag != 0 && h->v[at].tag != tag) {
        at = (at + 1) & (r->slots - 1);
    }
    return &h->v[at];
}

static void turn_over(struct net_replay *r, uint64_t now_ms)
{
    struct net_replay_half old = r->before;
    if (old.count > 0) {
        r->floor_ms = old.newest_ms + 1 > r->floor_ms ? old.newest_ms + 1 : r->floor_ms;
        memset(old.v, 0, r->slots * sizeof *old.v);
    }
    r->before = r->now;
    r->now = (struct net_replay_half){.v = old.v, .since_ms = now_ms};
}

static void remember(struct net_replay *r, const struct net_replay_entry *e, uint64_t made_ms)
{
    if (r->now.count >= r->slots / 2 || e->seen_ms >= r->now.since_ms + 2 * NET_REPLAY_WINDOW_MS) {
        turn_over(r, e->seen_ms);
    }
    *find(r, &r->now, e->tag) = *e;
    r->now.count++;
    r->now.newest_ms = made_ms > r->now.newest_ms ? made_ms : r->now.newest_ms;
}

enum net_replay_answer net_replay_take(struct net_replay *r, uint64_t tag, uint64_t from,
                                       uint64_t made_ms, uint64_t now_ms)
{
    struct net_replay_entry e = {.tag = tag == 0 ? 1 : tag, .from = from, .seen_ms = now_ms};
    if (made_ms + NET_REPLAY_WINDOW_MS < now_ms || made_ms > now_ms + NET_REPLAY_WINDOW_MS ||
        made_ms < r->floor_ms) {
        return NET_REPLAY_CLOCK;
    }
    const struct net_replay_entry *known = find(r, &r->now, e.tag);
    known = known->tag == 0 ? find(r, &r->before, e.tag) : known;
    if (known->tag != 0) {
        bool again = known->from == from && now_ms <= known->seen_ms + NET_REPLAY_AGAIN_MS;
        return again ? NET_REPLAY_FRESH : NET_REPLAY_COPY;
    }
    remember(r, &e, made_ms);
    return NET_REPLAY_FRESH;
}
