/*
 * A compressed name is followed backwards only: each pointer must lead before the name or part that holds
 * it, so that no chain of them comes round, and at most STOQ_DNS_JUMPS_MAX are followed. What we write is
 * not compressed: the longest answer of ours is some 700 bytes, and the readers of both ends stay simple.
 */
#include "discover/dns.h"

#include <string.h>

#define HEAD_BYTES 12

static uint16_t be16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
}

bool stoq_dns_name(struct stoq_dns_name *out, const char *const labels[])
{
    size_t n = 0;
    out->n = 0;
    for (size_t i = 0; labels[i] != NULL; i++) {
        size_t len = strlen(labels[i]);
        if (len == 0 || len > STOQ_DNS_LABEL_MAX || n + 1 + len + 1 > sizeof out->b) {
            return false;
        }
        out->b[n] = (uint8_t)len;
        memcpy(out->b + n + 1, labels[i], len);
        n += 1 + len;
    }
    out->b[n++] = 0;
    out->n = n;
    return true;
}

/* Lengths are under 64, so that they are no letters. */
bool stoq_dns_same(const struct stoq_dns_name *a, const struct stoq_dns_name *b)
{
    if (a->n != b->n) {
        return false;
    }
    for (size_t i = 0; i < a->n; i++) {
        if (lower(a->b[i]) != lower(b->b[i])) {
            return false;
        }
    }
    return true;
}

enum stoq_status stoq_dns_open(struct stoq_dns_rd *r, struct stoq_span msg)
{
    *r = (struct stoq_dns_rd){.msg = msg, .at = HEAD_BYTES};
    if (msg.n < HEAD_BYTES) {
        r->bad = true;
        return STOQ_MALFORMED;
    }
    r->id = be16(msg.p);
    r->flags = be16(msg.p + 2);
    for (size_t i = 0; i < STOQ_DNS_SECTIONS; i++) {
        r->left[i] = be16(msg.p + 4 + 2 * i);
    }
    return STOQ_OK;
}

/* The name at *at, which is moved past it; false: malformed. */
static bool read_name(struct stoq_span msg, size_t *at, struct stoq_dns_name *out)
{
    size_t from = *at;
    size_t before = *at; /* pointers lead before this */
    bool jumped = false;
    out->n = 0;
    for (unsigned jumps = 0; from < msg.n;) {
        uint8_t len = msg.p[from];
        if (len >= 0xc0) {
            size_t to = from + 1 < msg.n ? (size_t)(len & 0x3f) << 8 | msg.p[from + 1] : msg.n;
            if (to >= before || ++jumps > STOQ_DNS_JUMPS_MAX) {
                return false;
            }
            *at = jumped ? *at : from + 2;
            jumped = true;
            from = before = to;
            continue;
        }
        if (len > STOQ_DNS_LABEL_MAX || from + 1 + len > msg.n ||
            out->n + 1 + len > sizeof out->b) {
            return false;
        }
        memcpy(out->b + out->n, msg.p + from, 1 + (size_t)len);
        out->n += 1 + (size_t)len;
        from += 1 + (size_t)len;
        if (len == 0) {
            *at = jumped ? *at : from;
            return true;
        }
    }
    return false;
}

static bool read_numbers(struct stoq_dns_rd *r, struct stoq_dns_entry *out, size_t *rdata_n)
{
    bool record = out->section != STOQ_DNS_QUESTION;
    size_t n = record ? 10 : 4;
    if (r->msg.n - r->at < n) {
        return false;
    }
    const uint8_t *p = r->msg.p + r->at;
    out->type = be16(p);
    out->class = be16(p + 2) & 0x7fff;
    out->top = p[2] >> 7;
    if (record) {
        out->ttl = (uint32_t)be16(p + 4) << 16 | be16(p + 6);
        *rdata_n = be16(p + 8);
    }
    r->at += n;
    return *rdata_n <= r->msg.n - r->at;
}

/* The rdata of n bytes at r->at, with the name of a PTR or SRV spelled out. */
static bool read_rdata(struct stoq_dns_rd *r, struct stoq_dns_entry *out, size_t n)
{
    struct stoq_span inside = {r->msg.p, r->at + n}; /* a name ends where its record does */
    size_t fixed = n;
    fixed = out->type == STOQ_DNS_PTR ? 0 : fixed;
    fixed = out->type == STOQ_DNS_SRV ? 6 : fixed;
    out->long_rdata = fixed > sizeof out->rdata;
    if (fixed > n) {
        return false;
    }
    if (!out->long_rdata) {
        memcpy(out->rdata, r->msg.p + r->at, fixed);
        out->rdata_n = fixed;
    }
    if (fixed < n) {
        struct stoq_dns_name name;
        size_t at = r->at + fixed;
        if (!read_name(inside, &at, &name) || at != inside.n) {
            return false;
        }
        memcpy(out->rdata + fixed, name.b, name.n);
        out->rdata_n += name.n;
    }
    r->at += n;
    return true;
}

bool stoq_dns_next(struct stoq_dns_rd *r, struct stoq_dns_entry *out)
{
    size_t section = 0;
    size_t rdata_n = 0;
    while (section < STOQ_DNS_SECTIONS && r->left[section] == 0) {
        section++;
    }
    if (r->bad || section == STOQ_DNS_SECTIONS || r->entries == STOQ_DNS_ENTRIES_MAX) {
        return false;
    }
    r->left[section]--;
    r->entries++;
    out->section = (enum stoq_dns_section)section;
    out->ttl = 0;
    out->rdata_n = 0;
    out->long_rdata = false;
    r->bad = !read_name(r->msg, &r->at, &out->name) || !read_numbers(r, out, &rdata_n) ||
             (section != STOQ_DNS_QUESTION && !read_rdata(r, out, rdata_n));
    return !r->bad;
}

static void put16(struct stoq_wr *w, unsigned v)
{
    stoq_wr_u8(w, (uint8_t)(v >> 8));
    stoq_wr_u8(w, (uint8_t)v);
}

void stoq_dns_begin(struct stoq_dns_wr *m, uint8_t *p, size_t cap, uint16_t id, uint16_t flags)
{
    *m = (struct stoq_dns_wr){.w = stoq_wr(p, cap)};
    put16(&m->w, id);
    put16(&m->w, flags);
    for (size_t i = 0; i < STOQ_DNS_SECTIONS; i++) {
        put16(&m->w, 0);
    }
}

bool stoq_dns_put(struct stoq_dns_wr *m, const struct stoq_dns_entry *e)
{
    struct stoq_wr w = m->w;
    stoq_wr_bytes(&w, stoq_span(e->name.b, e->name.n));
    put16(&w, e->type);
    put16(&w, e->class | (e->top ? 0x8000U : 0));
    if (e->section != STOQ_DNS_QUESTION) {
        put16(&w, e->ttl >> 16);
        put16(&w, e->ttl & 0xffff);
        put16(&w, (unsigned)e->rdata_n);
        stoq_wr_bytes(&w, stoq_span(e->rdata, e->rdata_n));
    }
    if (w.bad) {
        return false;
    }
    m->w = w;
    m->count[e->section]++;
    return true;
}

void stoq_dns_end(struct stoq_dns_wr *m)
{
    for (size_t i = 0; i < STOQ_DNS_SECTIONS && !m->w.bad; i++) {
        m->w.p[4 + 2 * i] = (uint8_t)(m->count[i] >> 8);
        m->w.p[5 + 2 * i] = (uint8_t)m->count[i];
    }
}
