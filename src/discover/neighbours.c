/*
 * Three ASKs at 0, 0.2 and 0.8 s after the beginning, since a link that has just come up loses some;
 * then a HERE every 20 to 24 s. Whoever hears an ASK answers HERE within 80 ms, drawn at random so that
 * a full room does not answer at once, and at most ten times a second however many ask. So a newcomer
 * knows everybody after one exchange and is known at once: its ASK says where it serves.
 *
 * Of two beacons of one peer the one with the higher sequence is believed when they name different
 * addresses, so that a recorded one, played back from elsewhere, moves nobody. From the same address an
 * older one is only a sign of life. A link-local IPv6 address is kept over another one as long as it is
 * heard: it works without any configuration.
 */
#include "discover/neighbours.h"

#include <string.h>

#define BURST 3
static const stoq_ns burst_gap[BURST] = {0, 200 * STOQ_MS, 600 * STOQ_MS};
#define ANSWER_WITHIN (80 * STOQ_MS)
#define ASK_AGAIN (300 * STOQ_MS)

void stoq_neighbours_init(struct stoq_neighbours *nb, const struct stoq_neighbours_config *cfg,
                          stoq_ns now)
{
    memset(nb, 0, sizeof *nb);
    nb->cfg = *cfg;
    nb->prng = stoq_prng(cfg->seed);
    nb->answer_at = STOQ_NEVER;
    stoq_neighbours_restart(nb, now);
}

void stoq_neighbours_restart(struct stoq_neighbours *nb, stoq_ns now)
{
    nb->burst_left = BURST;
    nb->next_at = now;
}

void stoq_neighbours_ask(struct stoq_neighbours *nb, stoq_ns now)
{
    if (nb->burst_left > 0 || (nb->sent && now < nb->sent_at + ASK_AGAIN)) {
        return;
    }
    nb->burst_left = 1;
    nb->next_at = now;
}

static stoq_ns period(struct stoq_neighbours *nb)
{
    return STOQ_BEACON_PERIOD + stoq_prng_below(&nb->prng, STOQ_BEACON_PERIOD / 5);
}

bool stoq_neighbours_due(struct stoq_neighbours *nb, stoq_ns now, enum stoq_beacon_kind *kind)
{
    bool planned = now >= nb->next_at;
    bool answer = now >= nb->answer_at;
    if (!planned && !answer) {
        return false;
    }
    if (nb->sent && now < nb->sent_at + STOQ_BEACON_GAP) {
        return false;
    }
    *kind = STOQ_BEACON_HERE;
    if (planned && nb->burst_left > 0) {
        *kind = STOQ_BEACON_ASK;
        nb->burst_left--;
        nb->next_at = now + (nb->burst_left > 0 ? burst_gap[BURST - nb->burst_left] : period(nb));
    } else if (planned) {
        nb->next_at = now + period(nb);
    }
    nb->answer_at = STOQ_NEVER;
    if (!nb->cfg.serving && *kind != STOQ_BEACON_ASK) {
        return false;
    }
    nb->sent = true;
    nb->sent_at = now;
    return true;
}

stoq_ns stoq_neighbours_deadline(const struct stoq_neighbours *nb)
{
    stoq_ns at = nb->next_at < nb->answer_at ? nb->next_at : nb->answer_at;
    stoq_ns free_at = nb->sent ? nb->sent_at + STOQ_BEACON_GAP : 0;
    return at > free_at ? at : free_at;
}

static bool is_over(const struct stoq_neighbour *n, stoq_ns now)
{
    return now >= n->heard_at + STOQ_NEIGHBOUR_TTL;
}

static struct stoq_neighbour *find(struct stoq_neighbours *nb, const struct stoq_peer_id *peer)
{
    for (size_t i = 0; i < nb->count; i++) {
        if (stoq_hash_eq(&nb->known[i].peer.h, &peer->h)) {
            return &nb->known[i];
        }
    }
    return NULL;
}

static void drop(struct stoq_neighbours *nb, struct stoq_neighbour *n)
{
    size_t i = (size_t)(n - nb->known);
    memmove(n, n + 1, (nb->count - i - 1) * sizeof *n);
    nb->count--;
}

static void drop_expired(struct stoq_neighbours *nb, stoq_ns now)
{
    for (size_t i = nb->count; i > 0; i--) {
        if (is_over(&nb->known[i - 1], now)) {
            drop(nb, &nb->known[i - 1]);
        }
    }
}

/* Room for one more of this host; false: the table or the host's share is full. */
static bool make_room(struct stoq_neighbours *nb, uint64_t host, stoq_ns now)
{
    size_t same = 0;
    drop_expired(nb, now);
    for (size_t i = 0; i < nb->count; i++) {
        same += nb->known[i].host == host;
    }
    return nb->count < STOQ_NEIGHBOURS_MAX && same < STOQ_NEIGHBOURS_HOST_MAX;
}

static bool may_move(const struct stoq_neighbour *n, const struct stoq_beacon_heard *heard,
                     stoq_ns now)
{
    if (is_over(n, now)) {
        return true;
    }
    bool quiet = now >= n->heard_at + STOQ_BEACON_PERIOD + STOQ_BEACON_PERIOD / 4;
    return heard->sequence >= n->sequence && (quiet || heard->link_local > n->link_local);
}

static enum stoq_neighbour_news keep(struct stoq_neighbours *nb,
                                     const struct stoq_beacon_heard *heard, stoq_ns now)
{
    struct stoq_neighbour *n = find(nb, &heard->peer);
    enum stoq_neighbour_news news = STOQ_NEIGHBOUR_NOTHING;
    if (n == NULL) {
        if (!make_room(nb, heard->host, now)) {
            return STOQ_NEIGHBOUR_NOTHING;
        }
        n = &nb->known[nb->count++];
        *n = (struct stoq_neighbour){.peer = heard->peer, .first_at = now};
        news = STOQ_NEIGHBOUR_NEW;
    } else if (memcmp(&n->addr, heard->addr, sizeof n->addr) != 0) {
        if (!may_move(n, heard, now)) {
            return STOQ_NEIGHBOUR_NOTHING;
        }
        news = STOQ_NEIGHBOUR_NEW;
    } else if (is_over(n, now)) {
        news = STOQ_NEIGHBOUR_NEW;
    }
    n->addr = *heard->addr;
    n->host = heard->host;
    n->link_local = heard->link_local;
    n->sequence = heard->sequence > n->sequence ? heard->sequence : n->sequence;
    n->heard_at = now;
    return news;
}

/* Only the peer itself can say so, and only now: what was said before its last beacon is old. */
static enum stoq_neighbour_news take_leave(struct stoq_neighbours *nb,
                                           const struct stoq_beacon_heard *heard)
{
    struct stoq_neighbour *n = find(nb, &heard->peer);
    if (n == NULL || heard->sequence <= n->sequence) {
        return STOQ_NEIGHBOUR_NOTHING;
    }
    drop(nb, n);
    return STOQ_NEIGHBOUR_GONE;
}

enum stoq_neighbour_news stoq_neighbours_heard(struct stoq_neighbours *nb,
                                               const struct stoq_beacon_heard *heard, stoq_ns now)
{
    if (stoq_hash_eq(&heard->peer.h, &nb->cfg.self.h)) {
        return STOQ_NEIGHBOUR_NOTHING;
    }
    if (heard->kind == STOQ_BEACON_BYE) {
        return take_leave(nb, heard);
    }
    if (heard->kind == STOQ_BEACON_ASK && nb->cfg.serving && nb->answer_at == STOQ_NEVER) {
        nb->answer_at = now + stoq_prng_below(&nb->prng, ANSWER_WITHIN);
    }
    return heard->addr == NULL ? STOQ_NEIGHBOUR_NOTHING : keep(nb, heard, now);
}

size_t stoq_neighbours_list(struct stoq_neighbours *nb, stoq_ns now, struct stoq_neighbour *out,
                            size_t out_max)
{
    drop_expired(nb, now);
    size_t n = nb->count < out_max ? nb->count : out_max;
    for (size_t i = 0; i < n; i++) {
        out[i] = nb->known[nb->count - 1 - i];
    }
    return n;
}
