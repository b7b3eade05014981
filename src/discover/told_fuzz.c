/*
 * Random announcements, renewals, returns and times against a naive model of what was told: a list in the
 * order of taking, from which whatever is over is removed at each step. Verdicts, counts and what is named
 * for a package, in its order, must be the same. The first byte draws caps so low that a few steps meet them:
 * both lists are looked through at every step (told_test fills it up to its real caps).
 */
#include "discover/told.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CAP_MAX 32u
#define CAP_PEER_MAX 8u
#define AT_ONCE 5
#define NAMED_MAX 8

struct model {
    struct stoq_told *t;
    struct stoq_rd in;
    stoq_ns now;
    struct stoq_told_caps caps;
    struct stoq_told_item list[CAP_MAX];
    size_t count;
};

static struct stoq_told_item item_of(uint8_t peer, unsigned package)
{
    struct stoq_told_item k = {.peer = {{{peer}}}};
    k.id.h.b[0] = (uint8_t)package;
    k.id.h.b[1] = (uint8_t)(package >> 8);
    return k;
}

static void drop(struct model *m, size_t i)
{
    m->count--;
    memmove(&m->list[i], &m->list[i + 1], (m->count - i) * sizeof m->list[0]);
}

static void forget_what_is_over(struct model *m)
{
    for (size_t i = m->count; i-- > 0;) {
        if (m->list[i].until <= m->now) {
            drop(m, i);
        }
    }
}

static bool is_of(const struct stoq_told_item *a, const struct stoq_told_item *b)
{
    return a->peer.h.b[0] == b->peer.h.b[0] && memcmp(a->id.h.b, b->id.h.b, 2) == 0;
}

static enum stoq_told_verdict model_take(struct model *m, const struct stoq_told_item *item)
{
    size_t of_peer = 0;
    for (size_t i = 0; i < m->count; i++) {
        const struct stoq_told_item *had = &m->list[i];
        of_peer += had->peer.h.b[0] == item->peer.h.b[0];
        if (!is_of(had, item)) {
            continue;
        }
        if (had->sequence == item->sequence && had->digest == item->digest) {
            return STOQ_TOLD_SAME;
        }
        if (item->sequence <= had->sequence) {
            return STOQ_TOLD_STALE;
        }
        drop(m, i);
        m->list[m->count++] = *item;
        return STOQ_TOLD_WANTED;
    }
    if (m->count == m->caps.all || of_peer == m->caps.of_peer) {
        return STOQ_TOLD_FULL;
    }
    m->list[m->count++] = *item;
    return STOQ_TOLD_WANTED;
}

static void take(struct model *m, const struct stoq_told_item *item)
{
    enum stoq_told_verdict judged = stoq_told_judge(m->t, item, m->now);
    STOQ_ASSERT(stoq_told_take(m->t, item, m->now) == judged);
    STOQ_ASSERT(model_take(m, item) == judged);
}

/* It is kept until later than now, as the messages' time to live says. */
static void tell(struct model *m)
{
    uint8_t who = stoq_rd_u8(&m->in);
    uint8_t how = stoq_rd_u8(&m->in);
    struct stoq_told_item k = item_of(who & 7, who >> 3);
    k.sequence = how & 7;
    k.digest = how >> 3 & 1;
    k.gone = (how & 0x10) != 0;
    k.has_addr = (how & 0x20) != 0;
    k.until = m->now + (1 + (stoq_ns)(how >> 6) * 100) * STOQ_SEC;
    take(m, &k);
}

static void tell_many(struct model *m)
{
    uint8_t peer = stoq_rd_u8(&m->in);
    unsigned first = stoq_rd_u8(&m->in);
    for (unsigned i = 0; i < AT_ONCE; i++) {
        struct stoq_told_item k = item_of(peer, first + i);
        k.until = m->now + 300 * STOQ_SEC;
        take(m, &k);
    }
}

static void ask(struct model *m)
{
    struct stoq_told_item out[NAMED_MAX];
    struct stoq_told_item want = item_of(0, stoq_rd_u8(&m->in));
    size_t n = stoq_told_of(m->t, &want.id, m->now, out, NAMED_MAX);
    size_t at = 0;
    for (size_t i = m->count; i-- > 0 && at < NAMED_MAX;) {
        const struct stoq_told_item *k = &m->list[i];
        if (!k->gone && memcmp(k->id.h.b, want.id.h.b, 2) == 0) {
            STOQ_ASSERT(at < n && is_of(&out[at], k) && out[at].sequence == k->sequence &&
                        out[at].until == k->until && out[at].has_addr == k->has_addr);
            at++;
        }
    }
    STOQ_ASSERT(at == n);
}

static void step(struct model *m)
{
    uint8_t op = stoq_rd_u8(&m->in);
    if (op < 160) {
        tell(m);
    } else if (op < 220) {
        ask(m);
    } else if (op < 250) {
        m->now += (stoq_ns)stoq_rd_u8(&m->in) * STOQ_SEC;
    } else {
        tell_many(m);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct model m;
    m.in = stoq_rd(stoq_span(data, size));
    m.now = 0;
    m.count = 0;
    uint8_t drawn = stoq_rd_u8(&m.in);
    m.caps.all = 1 + drawn / CAP_PEER_MAX;
    m.caps.of_peer = 1 + drawn % CAP_PEER_MAX;
    m.t = stoq_told_new(m.caps);
    STOQ_ASSERT(m.t != NULL);
    while (!m.in.bad && m.in.n > 0) {
        step(&m);
        forget_what_is_over(&m);
        size_t holding = 0;
        for (size_t i = 0; i < m.count; i++) {
            holding += !m.list[i].gone;
        }
        STOQ_ASSERT(stoq_told_count(m.t, m.now) == holding);
    }
    stoq_told_free(m.t);
    return 0;
}
