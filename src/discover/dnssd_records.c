/*
 * Lifetimes are those RFC 6762 section 10 recommends: 120 s for what holds a host's name or address, 75
 * minutes for the rest. Unique records carry the cache-flush bit (section 10.2) except in probes and to
 * those who ask as if we were a name server, who get short lifetimes too (section 6.7).
 *
 * The host label is ours, made of the key, not the machine's: two responders on one machine (avahi beside
 * us) would else answer for one name with different addresses, and the link learns nothing it could not see.
 */
#include "discover/dnssd_internal.h"

#include <stdio.h>
#include <string.h>

#define HOST_TTL 120
#define OTHER_TTL 4500
#define LEGACY_TTL_MAX 10

static void label(char out[STOQ_DNS_LABEL_MAX + 1], const char *base, const char *before,
                  unsigned number, const char *after)
{
    if (number > 1) {
        (void)snprintf(out, STOQ_DNS_LABEL_MAX + 1, "%s%s%u%s", base, before, number, after);
    } else {
        (void)snprintf(out, STOQ_DNS_LABEL_MAX + 1, "%s", base);
    }
}

bool dnssd_rename(struct stoq_dnssd *d)
{
    char instance[STOQ_DNS_LABEL_MAX + 1];
    char host[STOQ_DNS_LABEL_MAX + 1];
    if (d->name_number > STOQ_DNSSD_NAMES_MAX) {
        return false;
    }
    label(instance, d->instance_label, " (", d->name_number, ")");
    label(host, d->host_label, "-", d->name_number, "");
    const char *const of_instance[] = {instance, "_stoq", "_udp", "local", NULL};
    const char *const of_host[] = {host, "local", NULL};
    return stoq_dns_name(&d->instance, of_instance) && stoq_dns_name(&d->host, of_host);
}

const struct stoq_dns_name *dnssd_name_of(const struct stoq_dnssd *d, enum stoq_dnssd_record record)
{
    switch (record) {
    case STOQ_DNSSD_SERVICES:
        return &d->services;
    case STOQ_DNSSD_PTR:
        return &d->type;
    case STOQ_DNSSD_SRV:
    case STOQ_DNSSD_TXT:
    case STOQ_DNSSD_NSEC_INSTANCE:
        return &d->instance;
    default:
        return &d->host;
    }
}

static const struct {
    uint16_t type;
    uint16_t ttl;
} set[STOQ_DNSSD_RECORDS] = {
    [STOQ_DNSSD_SERVICES] = {STOQ_DNS_PTR, OTHER_TTL},
    [STOQ_DNSSD_PTR] = {STOQ_DNS_PTR, OTHER_TTL},
    [STOQ_DNSSD_SRV] = {STOQ_DNS_SRV, HOST_TTL},
    [STOQ_DNSSD_TXT] = {STOQ_DNS_TXT, OTHER_TTL},
    [STOQ_DNSSD_A] = {STOQ_DNS_A, HOST_TTL},
    [STOQ_DNSSD_AAAA] = {STOQ_DNS_AAAA, HOST_TTL},
    [STOQ_DNSSD_NSEC_INSTANCE] = {STOQ_DNS_NSEC, OTHER_TTL},
    [STOQ_DNSSD_NSEC_HOST] = {STOQ_DNS_NSEC, HOST_TTL},
};

uint16_t dnssd_type_of(enum stoq_dnssd_record record)
{
    return set[record].type;
}

uint32_t dnssd_ttl_of(enum stoq_dnssd_record record)
{
    return set[record].ttl;
}

static void set_rdata(struct stoq_dns_entry *e, const void *p, size_t n)
{
    memcpy(e->rdata + e->rdata_n, p, n);
    e->rdata_n += n;
}

static bool is_v4(const uint8_t ip[16])
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    return memcmp(ip, mapped, sizeof mapped) == 0;
}

static bool address(const struct stoq_dnssd_link *l, bool v4, size_t i, struct stoq_dns_entry *e)
{
    for (size_t k = 0; k < l->place.addr_count; k++) {
        const uint8_t *ip = l->place.addr[k].ip;
        if (is_v4(ip) == v4 && i-- == 0) {
            set_rdata(e, v4 ? ip + 12 : ip, v4 ? 4 : 16);
            return true;
        }
    }
    return false;
}

/* Which types a name has, as a bitmap (RFC 4034 section 4.1.2): block 0, since ours are all under 256. */
static void types_of(const struct stoq_dnssd *d, const struct stoq_dnssd_link *l, bool host,
                     struct stoq_dns_entry *e)
{
    struct stoq_dns_entry scratch = {.rdata_n = 0};
    uint8_t map[2 + 8] = {0, 0};
    uint8_t used = 0;
    const unsigned host_types[] = {STOQ_DNS_A, STOQ_DNS_AAAA};
    const unsigned instance_types[] = {STOQ_DNS_TXT, STOQ_DNS_SRV};
    for (size_t i = 0; i < 2; i++) {
        unsigned type = host ? host_types[i] : instance_types[i];
        if (host && !address(l, i == 0, 0, &scratch)) {
            continue;
        }
        map[2 + type / 8] |= (uint8_t)(0x80U >> type % 8);
        used = (uint8_t)(type / 8 + 1);
    }
    map[1] = used;
    const struct stoq_dns_name *name = host ? &d->host : &d->instance;
    set_rdata(e, name->b, name->n);
    set_rdata(e, map, used > 0 ? 2 + (size_t)used : 0);
}

static void service(const struct stoq_dnssd *d, struct stoq_dns_entry *e)
{
    const uint8_t head[6] = {0, 0, 0, 0, (uint8_t)(d->port >> 8), (uint8_t)d->port};
    set_rdata(e, head, sizeof head);
    set_rdata(e, d->host.b, d->host.n);
}

bool dnssd_rdata(const struct stoq_dnssd *d, const struct stoq_dnssd_link *l,
                 enum stoq_dnssd_record record, size_t i, struct stoq_dns_entry *e)
{
    e->rdata_n = 0;
    if (record == STOQ_DNSSD_A || record == STOQ_DNSSD_AAAA) {
        return address(l, record == STOQ_DNSSD_A, i, e);
    }
    if (i > 0) {
        return false;
    }
    switch (record) {
    case STOQ_DNSSD_SERVICES:
        set_rdata(e, d->type.b, d->type.n);
        break;
    case STOQ_DNSSD_PTR:
        set_rdata(e, d->instance.b, d->instance.n);
        break;
    case STOQ_DNSSD_SRV:
        service(d, e);
        break;
    case STOQ_DNSSD_TXT:
        set_rdata(e, d->txt, d->txt_n);
        break;
    default:
        types_of(d, l, record == STOQ_DNSSD_NSEC_HOST, e);
        break;
    }
    return true;
}

/* Names in rdata are compared as bytes: whoever changes the case of ours has not copied it. */
bool dnssd_is_ours(const struct stoq_dnssd *d, enum stoq_dnssd_record record,
                   const struct stoq_dns_entry *e)
{
    struct stoq_dns_entry own;
    for (size_t k = 0; k < d->link_count; k++) {
        for (size_t i = 0; dnssd_rdata(d, &d->link[k], record, i, &own); i++) {
            if (!e->long_rdata && own.rdata_n == e->rdata_n &&
                memcmp(own.rdata, e->rdata, own.rdata_n) == 0) {
                return true;
            }
        }
    }
    return false;
}

enum stoq_dnssd_record dnssd_set_of(const struct stoq_dnssd *d, const struct stoq_dns_entry *e)
{
    unsigned record = 0;
    while (record < STOQ_DNSSD_RECORDS &&
           (e->type != set[record].type || e->class != STOQ_DNS_IN ||
            !stoq_dns_same(&e->name, dnssd_name_of(d, (enum stoq_dnssd_record)record)))) {
        record++;
    }
    return (enum stoq_dnssd_record)record;
}

unsigned dnssd_additional(unsigned answers)
{
    unsigned more = 0;
    if ((answers & DNSSD_BIT(STOQ_DNSSD_PTR)) != 0) {
        more |= DNSSD_INSTANCE | DNSSD_ADDRS;
    }
    if ((answers & DNSSD_BIT(STOQ_DNSSD_SRV)) != 0) {
        more |= DNSSD_ADDRS;
    }
    if ((answers & (DNSSD_BIT(STOQ_DNSSD_A) | DNSSD_BIT(STOQ_DNSSD_AAAA))) != 0) {
        more |= DNSSD_ADDRS;
    }
    return more & ~answers;
}

struct style {
    enum stoq_dns_section section;
    bool flush;
    uint32_t ttl_max;
};

/* Append sets of records, as many as fit. */
static void put_sets(struct stoq_dnssd *d, const struct stoq_dnssd_link *l, struct stoq_dns_wr *m,
                     unsigned records, const struct style *style)
{
    struct stoq_dns_entry *e = &d->entry;
    for (unsigned k = 0; k < STOQ_DNSSD_RECORDS; k++) {
        enum stoq_dnssd_record record = (enum stoq_dnssd_record)k;
        if ((records & DNSSD_BIT(k)) == 0) {
            continue;
        }
        e->section = style->section;
        e->name = *dnssd_name_of(d, record);
        e->type = set[k].type;
        e->class = STOQ_DNS_IN;
        e->top = style->flush && (DNSSD_BIT(k) & DNSSD_SHARED) == 0;
        e->ttl = set[k].ttl < style->ttl_max ? set[k].ttl : style->ttl_max;
        for (size_t i = 0; dnssd_rdata(d, l, record, i, e) && stoq_dns_put(m, e); i++) {
        }
    }
}

static void put_probe_questions(struct stoq_dnssd *d, struct stoq_dns_wr *m)
{
    const struct stoq_dns_name *names[] = {&d->instance, &d->host};
    for (size_t i = 0; i < STOQ_COUNT(names); i++) {
        d->entry.section = STOQ_DNS_QUESTION;
        d->entry.name = *names[i];
        d->entry.type = STOQ_DNS_ANY;
        d->entry.class = STOQ_DNS_IN;
        d->entry.top =
            false; /* answers to all: 5353 may be shared, and one sharer alone would hear */
        (void)stoq_dns_put(m, &d->entry);
    }
}

size_t dnssd_write(struct stoq_dnssd *d, const struct stoq_dnssd_link *l, enum dnssd_message kind,
                   unsigned records)
{
    struct stoq_dns_wr m;
    bool probe = kind == DNSSD_PROBE;
    stoq_dns_begin(&m, d->message, sizeof d->message, 0,
                   probe ? 0 : STOQ_DNS_RESPONSE | STOQ_DNS_AUTHORITATIVE);
    struct style style = {.section = probe ? STOQ_DNS_AUTHORITY : STOQ_DNS_ANSWER,
                          .flush = !probe,
                          .ttl_max = kind == DNSSD_GOODBYE ? 0 : OTHER_TTL};
    if (probe) {
        put_probe_questions(d, &m);
    }
    put_sets(d, l, &m, records, &style);
    if (kind == DNSSD_MULTICAST) {
        style.section = STOQ_DNS_ADDITIONAL;
        put_sets(d, l, &m, dnssd_additional(records), &style);
    }
    stoq_dns_end(&m);
    d->stats.sent++;
    return m.w.n;
}

size_t dnssd_write_alone(struct stoq_dnssd *d, const struct stoq_dnssd_link *l, uint16_t id,
                         const struct stoq_dns_entry *question, unsigned records)
{
    struct stoq_dns_wr m;
    bool legacy = question != NULL;
    struct style style = {.section = STOQ_DNS_ANSWER,
                          .flush = !legacy,
                          .ttl_max = legacy ? LEGACY_TTL_MAX : OTHER_TTL};
    stoq_dns_begin(&m, d->message, legacy ? STOQ_DNSSD_LEGACY_MAX : sizeof d->message,
                   legacy ? id : 0, STOQ_DNS_RESPONSE | STOQ_DNS_AUTHORITATIVE);
    if (legacy) {
        (void)stoq_dns_put(&m, question);
    }
    put_sets(d, l, &m, records, &style);
    style.section = STOQ_DNS_ADDITIONAL;
    put_sets(d, l, &m, dnssd_additional(records), &style);
    stoq_dns_end(&m);
    d->stats.sent++;
    return m.w.n;
}
