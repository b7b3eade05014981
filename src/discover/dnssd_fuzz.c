/*
 * Datagrams as anybody on the link can send them, to a responder that has links and runs. The first byte of
 * each piece says how it comes and how much time passes. Whatever it is, what we say stays a message that we
 * read ourselves, of at most the size we promise, and at most so often.
 */
#include "discover/dnssd.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct model {
    struct stoq_dnssd d;
    stoq_ns now;
    unsigned multicasts[2]; /* datagrams of this second, by link */
    stoq_ns second;
};

static void check_message(struct model *m, size_t n)
{
    static struct stoq_dns_entry e;
    struct stoq_dns_rd r;
    STOQ_ASSERT(n <= STOQ_DNSSD_MESSAGE_MAX);
    STOQ_ASSERT(stoq_dns_open(&r, stoq_span(m->d.message, n)) == STOQ_OK);
    while (stoq_dns_next(&r, &e)) {
        STOQ_ASSERT(!e.long_rdata);
    }
    STOQ_ASSERT(!r.bad && r.at == n);
}

/* A record once a second, and four times where its name is claimed: so many datagrams at most. */
static void drain(struct model *m)
{
    unsigned index;
    size_t n;
    for (unsigned sent = 0; stoq_dnssd_due(&m->d, m->now, &index, &n); sent++) {
        STOQ_ASSERT(sent < 8);
        check_message(m, n);
        if (m->now >= m->second + STOQ_SEC) {
            m->second = m->now;
            memset(m->multicasts, 0, sizeof m->multicasts);
        }
        STOQ_ASSERT(++m->multicasts[index - 1] <= 4 * STOQ_DNSSD_RECORDS + 8);
    }
}

static void place(struct model *m, unsigned what)
{
    struct stoq_dnssd_place places[2] = {
        {.index = 1,
         .addr_count = 2,
         .addr = {{.ip = {0xfe, 0x80, [15] = 1}, .bits = 64},
                  {.ip = {[10] = 0xff, [11] = 0xff, [12] = 10, [15] = (uint8_t)(what + 1)},
                   .bits = 120}}},
        {.index = 2, .addr_count = 1, .addr = {{.ip = {0xfe, 0x80, [15] = 2}, .bits = 64}}}};
    stoq_dnssd_places(&m->d, places, what % 3 == 0 ? 1 : 2, m->now);
}

static void piece(struct model *m, struct stoq_rd *in)
{
    uint8_t how = stoq_rd_u8(in);
    uint16_t n = stoq_rd_u16(in);
    m->now += (stoq_ns)(how >> 3) * 16 * STOQ_MS;
    drain(m);
    if ((how & 7) == 7) {
        place(m, n);
        return;
    }
    struct stoq_dnssd_from from = {.ip = {0xfe, 0x80, [15] = how}, .port = how & 1 ? 5353 : 40000};
    struct stoq_span datagram = stoq_rd_bytes(in, n < in->n ? n : in->n);
    size_t answer = stoq_dnssd_heard(&m->d, 1 + (how >> 1 & 1), &from, datagram, m->now);
    if (answer > 0) {
        check_message(m, answer);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t txt[] = {9, 't', 'x', 't', 'v', 'e', 'r', 's', '=', '1'};
    static struct model m;
    struct stoq_rd in = stoq_rd(stoq_span(data, size));
    struct stoq_dnssd_config cfg = {.instance = "stoq abcdefghij",
                                    .host = "stoq-abcdefghij",
                                    .port = 4477,
                                    .txt = stoq_span(txt, sizeof txt)};
    memset(&m, 0, sizeof m);
    STOQ_ASSERT(stoq_dnssd_init(&m.d, &cfg) == STOQ_OK);
    m.now = STOQ_SEC;
    place(&m, 1);
    for (unsigned i = 0; i < 8; i++) { /* past probes and announcements */
        m.now += STOQ_SEC / 2;
        drain(&m);
    }
    while (in.n > 0) {
        piece(&m, &in);
    }
    m.now += 10 * STOQ_SEC;
    drain(&m);
    stoq_dnssd_leave(&m.d);
    drain(&m);
    return 0;
}
