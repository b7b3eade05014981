/*
 * The life of a link, after RFC 6762 section 8: a draw from 0 to 250 ms, three probes 250 ms apart that ask
 * whether somebody has our names, two announcements a second apart; then it only answers. A record is
 * multicast on a link once a second at most (section 6), however many ask, and four times while somebody else
 * claims its name.
 *
 * Somebody with other records under our names while we probe: the next names, "NAME (2)" and so on. After
 * that: we probe again, and yield if they stay. Fifteen such events within ten seconds, and we wait five
 * seconds before each further try. Names are made of the key, so that this is the work of a copied home, or
 * of somebody hostile, who can keep any name of multicast DNS away: the beacons do not mind.
 */
#include "discover/dnssd_internal.h"

#include <string.h>

#define PROBES 3
#define PROBE_GAP (250 * STOQ_MS)
#define ANNOUNCEMENTS 2
#define ANNOUNCE_GAP STOQ_SEC
#define AGAIN_GAP STOQ_SEC
#define SEND_AGAIN STOQ_SEC /* after the link took nothing; news of it come sooner */
#define CONFLICTS_WITHIN (10 * STOQ_SEC)
#define CONFLICTS_WAIT (5 * STOQ_SEC)

static bool copy_label(char out[STOQ_DNSSD_LABEL_MAX + 1], const char *label)
{
    size_t n = strlen(label);
    if (n == 0 || n > STOQ_DNSSD_LABEL_MAX) {
        return false;
    }
    memcpy(out, label, n + 1);
    return true;
}

enum stoq_status stoq_dnssd_init(struct stoq_dnssd *d, const struct stoq_dnssd_config *cfg)
{
    static const char *const services[] = {"_services", "_dns-sd", "_udp", "local", NULL};
    static const char *const type[] = {"_stoq", "_udp", "local", NULL};
    memset(d, 0, sizeof *d);
    d->prng = stoq_prng(cfg->seed);
    d->port = cfg->port;
    d->name_number = 1;
    if (cfg->txt.n == 0 || cfg->txt.n > sizeof d->txt ||
        !copy_label(d->instance_label, cfg->instance) || !copy_label(d->host_label, cfg->host) ||
        !stoq_dns_name(&d->services, services) || !stoq_dns_name(&d->type, type) ||
        !dnssd_rename(d)) {
        return STOQ_RANGE;
    }
    memcpy(d->txt, cfg->txt.p, cfg->txt.n);
    d->txt_n = cfg->txt.n;
    return STOQ_OK;
}

void dnssd_restart(struct stoq_dnssd *d, struct stoq_dnssd_link *l, stoq_ns wait, stoq_ns now)
{
    l->state = STOQ_DNSSD_PROBING;
    l->step = 0;
    l->next_at = now + wait + stoq_prng_below(&d->prng, PROBE_GAP);
    l->pending = 0;
    l->pending_at = STOQ_NEVER;
}

static bool same_place(const struct stoq_dnssd_place *a, const struct stoq_dnssd_place *b)
{
    if (a->index != b->index || a->addr_count != b->addr_count) {
        return false;
    }
    for (size_t i = 0; i < a->addr_count; i++) {
        if (a->addr[i].bits != b->addr[i].bits ||
            memcmp(a->addr[i].ip, b->addr[i].ip, sizeof a->addr[i].ip) != 0) {
            return false;
        }
    }
    return true;
}

static void keep_link(struct stoq_dnssd *d, const struct stoq_dnssd_link *known, stoq_ns now)
{
    struct stoq_dnssd_link *l = &d->link[d->link_count++];
    *l = *known;
    if (l->failed) {
        l->failed = false;
        l->next_at = now;
    }
}

void stoq_dnssd_places(struct stoq_dnssd *d, const struct stoq_dnssd_place *places, size_t count,
                       stoq_ns now)
{
    struct stoq_dnssd_link before[STOQ_DNSSD_LINKS_MAX];
    size_t before_count = d->link_count;
    bool silent = d->name_number > STOQ_DNSSD_NAMES_MAX;
    memcpy(before, d->link, sizeof before);
    d->link_count = 0;
    for (size_t i = 0; i < count && d->link_count < STOQ_DNSSD_LINKS_MAX; i++) {
        size_t k = 0;
        while (k < before_count && !same_place(&before[k].place, &places[i])) {
            k++;
        }
        if (k < before_count) {
            keep_link(d, &before[k], now);
        } else if (places[i].addr_count > 0) {
            struct stoq_dnssd_link *l = &d->link[d->link_count++];
            *l = (struct stoq_dnssd_link){.place = places[i]};
            dnssd_restart(d, l, 0, now);
            l->state = silent ? STOQ_DNSSD_SILENT : l->state;
        }
    }
}

/* How long to wait before the next try, now that there was one more conflict. */
static stoq_ns conflict_wait(struct stoq_dnssd *d, stoq_ns now)
{
    stoq_ns *slot = &d->conflict_at[d->conflicts % STOQ_COUNT(d->conflict_at)];
    bool many = d->conflicts >= STOQ_COUNT(d->conflict_at) && now < *slot + CONFLICTS_WITHIN;
    *slot = now;
    d->conflicts++;
    return many ? CONFLICTS_WAIT : 0;
}

static void take_next_name(struct stoq_dnssd *d, stoq_ns wait, stoq_ns now)
{
    d->name_number++;
    d->stats.renamed++;
    bool found = dnssd_rename(d);
    for (size_t i = 0; i < d->link_count; i++) {
        dnssd_restart(d, &d->link[i], wait, now);
        d->link[i].state = found ? STOQ_DNSSD_PROBING : STOQ_DNSSD_SILENT;
    }
}

void dnssd_conflict(struct stoq_dnssd *d, struct stoq_dnssd_link *l, stoq_ns now)
{
    stoq_ns wait = conflict_wait(d, now);
    if (l->state == STOQ_DNSSD_PROBING) {
        take_next_name(d, wait, now);
    } else {
        dnssd_restart(d, l, wait, now);
    }
}

void dnssd_want(struct stoq_dnssd_link *l, unsigned records, stoq_ns at, uint64_t from)
{
    if (records == 0) {
        return;
    }
    bool first = l->pending == 0;
    l->pending |= records;
    l->pending_at = first || at < l->pending_at ? at : l->pending_at;
    l->pending_from = first || l->pending_from == from ? from : 0;
}

static void mark_said(struct stoq_dnssd_link *l, unsigned records, stoq_ns now)
{
    for (unsigned k = 0; k < STOQ_DNSSD_RECORDS; k++) {
        if ((records & DNSSD_BIT(k)) != 0) {
            l->free_at[k] = now + AGAIN_GAP;
            l->said_at[k] = now;
        }
    }
}

/* Of those that wait, what may be multicast now; the rest waits on. */
static unsigned take_pending(struct stoq_dnssd_link *l, stoq_ns now)
{
    unsigned records = 0;
    stoq_ns next = STOQ_NEVER;
    for (unsigned k = 0; k < STOQ_DNSSD_RECORDS; k++) {
        if ((l->pending & DNSSD_BIT(k)) == 0) {
            continue;
        }
        if (l->free_at[k] <= now) {
            records |= DNSSD_BIT(k);
        } else {
            next = l->free_at[k] < next ? l->free_at[k] : next;
        }
    }
    l->pending &= ~records;
    l->pending_at = next;
    return records;
}

static size_t step(struct stoq_dnssd *d, struct stoq_dnssd_link *l, stoq_ns now)
{
    if (l->state == STOQ_DNSSD_PROBING && l->step < PROBES) {
        l->step++;
        l->next_at = now + PROBE_GAP;
        return dnssd_write(d, l, DNSSD_PROBE,
                           DNSSD_BIT(STOQ_DNSSD_SRV) | DNSSD_BIT(STOQ_DNSSD_TXT) |
                               DNSSD_BIT(STOQ_DNSSD_A) | DNSSD_BIT(STOQ_DNSSD_AAAA));
    }
    if (l->state == STOQ_DNSSD_PROBING) {
        l->state = STOQ_DNSSD_ANNOUNCING;
        l->step = 0;
    }
    l->step++;
    l->next_at = now + ANNOUNCE_GAP;
    if (l->step == ANNOUNCEMENTS) {
        l->state = STOQ_DNSSD_STEADY;
        l->next_at = STOQ_NEVER;
    }
    l->pending = 0;
    l->pending_at = STOQ_NEVER;
    mark_said(l, DNSSD_ALL, now);
    return dnssd_write(d, l, DNSSD_MULTICAST, DNSSD_ALL);
}

static size_t goodbye(struct stoq_dnssd *d, struct stoq_dnssd_link *l)
{
    bool known = l->state == STOQ_DNSSD_STEADY || l->state == STOQ_DNSSD_ANNOUNCING;
    if (l->left || !known) {
        return 0;
    }
    l->left = true;
    /* Not the type: others may have it too. */
    return dnssd_write(d, l, DNSSD_GOODBYE, DNSSD_ALL & ~DNSSD_BIT(STOQ_DNSSD_SERVICES));
}

static size_t due_on(struct stoq_dnssd *d, struct stoq_dnssd_link *l, stoq_ns now)
{
    if (d->leaving) {
        return goodbye(d, l);
    }
    if (l->state == STOQ_DNSSD_SILENT) {
        return 0;
    }
    if (now >= l->next_at) {
        return step(d, l, now);
    }
    unsigned records = l->pending != 0 && now >= l->pending_at ? take_pending(l, now) : 0;
    if (records == 0) {
        return 0;
    }
    mark_said(l, records | dnssd_additional(records), now);
    return dnssd_write(d, l, DNSSD_MULTICAST, records);
}

bool stoq_dnssd_due(struct stoq_dnssd *d, stoq_ns now, unsigned *index, size_t *n)
{
    for (size_t i = 0; i < d->link_count; i++) {
        *n = due_on(d, &d->link[i], now);
        if (*n > 0) {
            *index = d->link[i].place.index;
            return true;
        }
    }
    return false;
}

void stoq_dnssd_unsent(struct stoq_dnssd *d, unsigned index, stoq_ns now)
{
    for (size_t i = 0; i < d->link_count; i++) {
        struct stoq_dnssd_link *l = &d->link[i];
        if (l->place.index == index && l->state == STOQ_DNSSD_PROBING && l->step > 0) {
            l->step--;
            l->next_at = now + SEND_AGAIN;
            l->failed = true;
        }
    }
}

stoq_ns stoq_dnssd_deadline(const struct stoq_dnssd *d)
{
    stoq_ns at = STOQ_NEVER;
    for (size_t i = 0; i < d->link_count && !d->leaving; i++) {
        const struct stoq_dnssd_link *l = &d->link[i];
        if (l->state != STOQ_DNSSD_SILENT) {
            at = l->next_at < at ? l->next_at : at;
            at = l->pending != 0 && l->pending_at < at ? l->pending_at : at;
        }
    }
    return at;
}

void stoq_dnssd_leave(struct stoq_dnssd *d)
{
    d->leaving = true;
}

size_t stoq_dnssd_announced(const struct stoq_dnssd *d)
{
    size_t n = 0;
    for (size_t i = 0; i < d->link_count; i++) {
        n += d->link[i].state == STOQ_DNSSD_STEADY || d->link[i].state == STOQ_DNSSD_ANNOUNCING;
    }
    return n;
}

const char *stoq_dnssd_name(const struct stoq_dnssd *d, char out[STOQ_DNS_LABEL_MAX + 1])
{
    size_t n = d->instance.b[0];
    memcpy(out, d->instance.b + 1, n);
    out[n] = '\0';
    return out;
}
