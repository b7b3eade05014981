/*
 * What others send. A question is answered to all, so that every cache on the link learns from it; to one
 * asker alone in two cases: it asks as if we were a name server, from another port than 5353 (RFC 6762
 * section 6.7), or it says that this will do and all heard it lately anyway (section 5.4). Such answers go to
 * addresses of the link's own networks only, at STOQ_DNSSD_UNICAST_PER_S in all: nobody aims them elsewhere.
 *
 * An asker says which answers it has (known answers, section 7.1), in further messages too when the first
 * says that it was cut off (section 7.2): those that wait are taken back then.
 */
#include "discover/dnssd_internal.h"

#include <string.h>

#define MDNS_PORT 5353
#define SHARED_DELAY (20 * STOQ_MS) /* and up to as much as the next more */
#define SHARED_DELAY_MORE (100 * STOQ_MS)
#define MORE_DELAY (400 * STOQ_MS) /* likewise: known answers come in further messages */
#define MORE_DELAY_MORE (100 * STOQ_MS)
#define PROBE_ANSWER_GAP (250 * STOQ_MS)
#define LOSER_WAIT STOQ_SEC
#define RIVALS_MAX 8 /* records of one probe for one of our names */

struct heard {
    struct stoq_dnssd *d;
    struct stoq_dnssd_link *l;
    const struct stoq_dnssd_from *from;
    struct stoq_dns_rd in;
    stoq_ns now;
};

/* Records under one of our names, as tie-breaking compares them (section 8.2): by type, then rdata. */
struct rivals {
    size_t n;
    struct rival {
        uint16_t type;
        size_t n;
        uint8_t rdata[STOQ_DNS_RDATA_MAX];
    } r[RIVALS_MAX];
    bool foreign; /* at least one is not ours */
};

static struct stoq_dnssd_link *link_of(struct stoq_dnssd *d, unsigned index)
{
    for (size_t i = 0; i < d->link_count; i++) {
        if (d->link[i].place.index == index) {
            return &d->link[i];
        }
    }
    return NULL;
}

static uint64_t hash_of(const struct stoq_dnssd_from *from)
{
    uint64_t h = from->port | 1U << 16;
    for (size_t i = 0; i < sizeof from->ip; i++) {
        h = (h ^ from->ip[i]) * UINT64_C(0x100000001b3);
    }
    return h != 0 ? h : 1;
}

static bool has(const struct stoq_dnssd *d, const struct stoq_dnssd_link *l,
                enum stoq_dnssd_record record)
{
    struct stoq_dns_entry scratch;
    return dnssd_rdata(d, l, record, 0, &scratch);
}

/* What answers a question about the host. */
static unsigned host_answers(const struct heard *h, uint16_t type)
{
    unsigned out = 0;
    bool any = type == STOQ_DNS_ANY;
    if ((any || type == STOQ_DNS_A) && has(h->d, h->l, STOQ_DNSSD_A)) {
        out |= DNSSD_BIT(STOQ_DNSSD_A);
    }
    if ((any || type == STOQ_DNS_AAAA) && has(h->d, h->l, STOQ_DNSSD_AAAA)) {
        out |= DNSSD_BIT(STOQ_DNSSD_AAAA);
    }
    return out != 0 ? out : DNSSD_BIT(STOQ_DNSSD_NSEC_HOST);
}

static unsigned answers(const struct heard *h, const struct stoq_dns_entry *q)
{
    const struct stoq_dnssd *d = h->d;
    bool any = q->type == STOQ_DNS_ANY;
    if (q->class != STOQ_DNS_IN && q->class != STOQ_DNS_CLASS_ANY) {
        return 0;
    }
    if (stoq_dns_same(&q->name, &d->host)) {
        return host_answers(h, q->type);
    }
    if (stoq_dns_same(&q->name, &d->instance)) {
        unsigned out = any || q->type == STOQ_DNS_SRV ? DNSSD_BIT(STOQ_DNSSD_SRV) : 0;
        out |= any || q->type == STOQ_DNS_TXT ? DNSSD_BIT(STOQ_DNSSD_TXT) : 0;
        return out != 0 ? out : DNSSD_BIT(STOQ_DNSSD_NSEC_INSTANCE);
    }
    if (!any && q->type != STOQ_DNS_PTR) {
        return 0;
    }
    if (stoq_dns_same(&q->name, &d->type)) {
        return DNSSD_BIT(STOQ_DNSSD_PTR);
    }
    return stoq_dns_same(&q->name, &d->services) ? DNSSD_BIT(STOQ_DNSSD_SERVICES) : 0;
}

/* The set that is known whole to whoever sent this answer along; addresses may be several, and are told. */
static unsigned known(const struct stoq_dnssd *d, const struct stoq_dns_entry *e)
{
    enum stoq_dnssd_record record = dnssd_set_of(d, e);
    bool one = record <= STOQ_DNSSD_TXT;
    return one && e->ttl >= dnssd_ttl_of(record) / 2 && dnssd_is_ours(d, record, e)
               ? DNSSD_BIT(record)
               : 0;
}

static int rival_cmp(const struct rival *a, const struct rival *b)
{
    if (a->type != b->type) {
        return a->type < b->type ? -1 : 1;
    }
    return stoq_span_cmp(stoq_span(a->rdata, a->n), stoq_span(b->rdata, b->n));
}

/* Keep them in order; more than there is room for cannot be ours, and is left out. */
static void rival_add(struct rivals *to, uint16_t type, const struct stoq_dns_entry *e)
{
    struct rival r = {.type = type, .n = e->rdata_n};
    memcpy(r.rdata, e->rdata, e->rdata_n);
    if (to->n == RIVALS_MAX) {
        return;
    }
    size_t i = to->n++;
    while (i > 0 && rival_cmp(&r, &to->r[i - 1]) < 0) {
        to->r[i] = to->r[i - 1];
        i--;
    }
    to->r[i] = r;
}

static void own_records(const struct heard *h, bool host, struct rivals *out)
{
    static const enum stoq_dnssd_record records[2][2] = {{STOQ_DNSSD_TXT, STOQ_DNSSD_SRV},
                                                         {STOQ_DNSSD_A, STOQ_DNSSD_AAAA}};
    struct stoq_dns_entry e;
    for (size_t k = 0; k < 2; k++) {
        enum stoq_dnssd_record record = records[host][k];
        for (size_t i = 0; dnssd_rdata(h->d, h->l, record, i, &e); i++) {
            rival_add(out, dnssd_type_of(record), &e);
        }
    }
}

/* Do they win the name? Pairwise, then the longer list; the same records are no rivals. */
static bool rivals_win(const struct rivals *theirs, const struct rivals *ours)
{
    for (size_t i = 0; i < theirs->n && i < ours->n; i++) {
        int c = rival_cmp(&theirs->r[i], &ours->r[i]);
        if (c != 0) {
            return c > 0;
        }
    }
    return theirs->n > ours->n;
}

/* Records of a probe. */
static void note_rival(const struct heard *h, const struct stoq_dns_entry *e, struct rivals both[2])
{
    bool host = stoq_dns_same(&e->name, &h->d->host);
    if ((!host && !stoq_dns_same(&e->name, &h->d->instance)) || e->class != STOQ_DNS_IN ||
        e->long_rdata) {
        return;
    }
    enum stoq_dnssd_record record = dnssd_set_of(h->d, e);
    both[host].foreign =
        both[host].foreign || record == STOQ_DNSSD_RECORDS || !dnssd_is_ours(h->d, record, e);
    rival_add(&both[host], e->type, e);
}

static void contest(const struct heard *h, const struct rivals both[2])
{
    for (size_t i = 0; i < 2 && h->l->state == STOQ_DNSSD_PROBING; i++) {
        struct rivals ours = {.n = 0};
        own_records(h, i == 1, &ours);
        if (both[i].foreign && rivals_win(&both[i], &ours)) {
            dnssd_restart(h->d, h->l, LOSER_WAIT, h->now);
            return;
        }
    }
}

struct query {
    unsigned records;               /* of ours that answer it */
    unsigned known;                 /* of those, what the asker has */
    bool alone;                     /* each question says that a unicast answer will do */
    bool probe;                     /* it claims names itself */
    struct stoq_dns_entry question; /* the first that is for us */
    struct rivals rivals[2];        /* of the instance, of the host */
};

static void read_query(struct heard *h, struct query *q)
{
    struct stoq_dns_entry *e = &h->d->entry;
    q->alone = true;
    while (stoq_dns_next(&h->in, e)) {
        if (e->section == STOQ_DNS_QUESTION) {
            unsigned found = answers(h, e);
            if (found != 0 && q->records == 0) {
                q->question = *e;
            }
            q->alone = q->alone && (found == 0 || e->top);
            q->records |= found;
        } else if (e->section == STOQ_DNS_ANSWER) {
            q->known |= known(h->d, e);
        } else if (e->section == STOQ_DNS_AUTHORITY) {
            q->probe = true;
            note_rival(h, e, q->rivals);
        }
    }
}

static bool in_prefix(const struct stoq_dnssd_addr *net, const uint8_t ip[16])
{
    size_t bytes = net->bits / 8;
    unsigned rest = net->bits % 8;
    return memcmp(net->ip, ip, bytes) == 0 &&
           (rest == 0 || (net->ip[bytes] ^ ip[bytes]) >> (8 - rest) == 0);
}

/* May an answer go to it alone? Takes a token. */
static bool may_answer_alone(struct heard *h)
{
    const stoq_ns token = STOQ_SEC / STOQ_DNSSD_UNICAST_PER_S;
    struct stoq_dnssd *d = h->d;
    bool near = false;
    for (size_t i = 0; i < h->l->place.addr_count; i++) {
        near = near || in_prefix(&h->l->place.addr[i], h->from->ip);
    }
    stoq_ns at = d->unicast_full_at > h->now ? d->unicast_full_at : h->now;
    if (!near || at + token > h->now + STOQ_SEC) {
        d->stats.unanswered++;
        return false;
    }
    d->unicast_full_at = at + token;
    return true;
}

/* Were they all multicast within a quarter of their lifetime? */
static bool heard_lately(const struct heard *h, unsigned records)
{
    for (unsigned k = 0; k < STOQ_DNSSD_RECORDS; k++) {
        stoq_ns quarter = dnssd_ttl_of((enum stoq_dnssd_record)k) * STOQ_SEC / 4;
        if ((records & DNSSD_BIT(k)) != 0 &&
            (h->l->said_at[k] == 0 || h->now > h->l->said_at[k] + quarter)) {
            return false;
        }
    }
    return true;
}

/* An answer to all: at once where nobody else can have it, else after a draw, that not all speak at once. */
static void answer_all(struct heard *h, const struct query *q, unsigned records)
{
    struct stoq_prng *draw = &h->d->prng;
    stoq_ns wait = 0;
    if ((h->in.flags & STOQ_DNS_TRUNCATED) != 0) {
        wait = MORE_DELAY + stoq_prng_below(draw, MORE_DELAY_MORE);
    } else if (!q->probe && (records & DNSSD_SHARED) != 0) {
        wait = SHARED_DELAY + stoq_prng_below(draw, SHARED_DELAY_MORE);
    }
    for (unsigned k = 0; q->probe && k < STOQ_DNSSD_RECORDS; k++) {
        if ((records & DNSSD_BIT(k)) != 0 && h->l->said_at[k] != 0) {
            h->l->free_at[k] = h->l->said_at[k] + PROBE_ANSWER_GAP; /* a name is defended in time */
        }
    }
    dnssd_want(h->l, records, h->now + wait, hash_of(h->from));
}

static size_t take_query(struct heard *h)
{
    struct query q = {.records = 0};
    bool legacy = h->from->port != MDNS_PORT;
    read_query(h, &q);
    if (h->l->state == STOQ_DNSSD_PROBING) {
        contest(h, q.rivals);
        return 0;
    }
    if (h->l->pending_from == hash_of(h->from)) {
        h->l->pending &= ~q.known;
    }
    unsigned records = q.records & ~q.known;
    h->d->stats.queries += q.records != 0;
    if (records == 0) {
        return 0;
    }
    if (legacy || (q.alone && !q.probe && heard_lately(h, records))) {
        return may_answer_alone(h)
                   ? dnssd_write_alone(h->d, h->l, h->in.id, legacy ? &q.question : NULL, records)
                   : 0;
    }
    answer_all(h, &q, records);
    return 0;
}

/* One record of a response; false: our names or links are others now, and the rest is not looked at. */
static bool take_record(struct heard *h, const struct stoq_dns_entry *e)
{
    enum stoq_dnssd_record record = dnssd_set_of(h->d, e);
    bool at_work = h->l->state != STOQ_DNSSD_PROBING;
    if (record == STOQ_DNSSD_RECORDS || dnssd_type_of(record) == STOQ_DNS_NSEC) {
        return true;
    }
    if (dnssd_is_ours(h->d, record, e)) {
        bool short_lived = e->ttl < dnssd_ttl_of(record) / 2;
        if (short_lived && at_work && record != STOQ_DNSSD_SERVICES) {
            dnssd_want(h->l, DNSSD_BIT(record), h->now,
                       0); /* said by others, and wrong: section 6.6 */
        } else if (!short_lived && record == STOQ_DNSSD_SERVICES) {
            h->l->pending &= ~DNSSD_BIT(record); /* another gave the same answer: section 7.4 */
        }
        return true;
    }
    if ((DNSSD_BIT(record) & DNSSD_SHARED) != 0 || e->ttl == 0) {
        return true;
    }
    dnssd_conflict(h->d, h->l, h->now);
    return false;
}

static void take_response(struct heard *h)
{
    struct stoq_dns_entry *e = &h->d->entry;
    while (h->from->port == MDNS_PORT && stoq_dns_next(&h->in, e)) {
        bool record = e->section == STOQ_DNS_ANSWER || e->section == STOQ_DNS_ADDITIONAL;
        if (record && !take_record(h, e)) {
            return;
        }
    }
}

size_t stoq_dnssd_heard(struct stoq_dnssd *d, unsigned index, const struct stoq_dnssd_from *from,
                        struct stoq_span datagram, stoq_ns now)
{
    struct heard h = {.d = d, .l = link_of(d, index), .from = from, .now = now};
    size_t n = 0;
    if (h.l == NULL || h.l->state == STOQ_DNSSD_SILENT || d->leaving) {
        return 0;
    }
    if (stoq_dns_open(&h.in, datagram) != STOQ_OK) {
        d->stats.refused++;
        return 0;
    }
    if ((h.in.flags & (STOQ_DNS_OPCODE | STOQ_DNS_RCODE)) != 0) {
        return 0; /* RFC 6762 sections 18.3 and 18.11 */
    }
    if ((h.in.flags & STOQ_DNS_RESPONSE) != 0) {
        take_response(&h);
    } else {
        n = take_query(&h);
    }
    d->stats.refused += h.in.bad;
    return n;
}
