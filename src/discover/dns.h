#ifndef STOQ_DISCOVER_DNS_H
#define STOQ_DISCOVER_DNS_H
/*
 * DNS messages as multicast DNS has them: RFC 1035 section 4 with the two top bits of RFC 6762 sections 5.4
 * and 10.2. Reading takes what others send, compressed names included; writing spells names out. Pure:
 * memory in, memory out, no allocation.
 */
#include "base/bytes.h"

#define STOQ_DNS_NAME_MAX 255     /* RFC 1035 section 2.3.4 */
#define STOQ_DNS_LABEL_MAX 63     /* likewise */
#define STOQ_DNS_JUMPS_MAX 16     /* pointers in one name: nobody makes us hop through a packet */
#define STOQ_DNS_ENTRIES_MAX 512  /* questions and records looked at of one message */
#define STOQ_DNS_RDATA_MAX 512    /* kept of a record; a longer one is none of ours */
#define STOQ_DNS_MESSAGE_MAX 9000 /* RFC 6762 section 17 */

enum stoq_dns_type {
    STOQ_DNS_A = 1,
    STOQ_DNS_PTR = 12,
    STOQ_DNS_TXT = 16,
    STOQ_DNS_AAAA = 28,
    STOQ_DNS_SRV = 33,
    STOQ_DNS_NSEC = 47,
    STOQ_DNS_ANY = 255,
};
#define STOQ_DNS_IN 1
#define STOQ_DNS_CLASS_ANY 255

#define STOQ_DNS_RESPONSE 0x8000
#define STOQ_DNS_OPCODE 0x7800
#define STOQ_DNS_AUTHORITATIVE 0x0400
#define STOQ_DNS_TRUNCATED 0x0200
#define STOQ_DNS_RCODE 0x000f

/* A name as on the wire: labels with their lengths, the empty one last. n is 0 before it is built. */
struct stoq_dns_name {
    uint8_t b[STOQ_DNS_NAME_MAX];
    size_t n;
};

/* Build a name from labels; NULL ends them. False: a label is empty or too long, or all are. */
bool stoq_dns_name(struct stoq_dns_name *out, const char *const labels[]);
/* Are they the same name? ASCII letters have no case (RFC 1035 section 2.3.3). */
bool stoq_dns_same(const struct stoq_dns_name *a, const struct stoq_dns_name *b);

enum stoq_dns_section {
    STOQ_DNS_QUESTION,
    STOQ_DNS_ANSWER,
    STOQ_DNS_AUTHORITY,
    STOQ_DNS_ADDITIONAL,
    STOQ_DNS_SECTIONS,
};

/* A question (no ttl, no rdata) or a record. */
struct stoq_dns_entry {
    enum stoq_dns_section section;
    struct stoq_dns_name name;
    uint16_t type;
    uint16_t class; /* without its top bit */
    bool top;       /* a question: a unicast answer will do; a record: it replaces others */
    uint32_t ttl;   /* seconds */
    size_t rdata_n; /* names inside (PTR, SRV) spelled out */
    uint8_t rdata[STOQ_DNS_RDATA_MAX];
    bool long_rdata; /* it was longer than that: rdata_n is 0 */
};

struct stoq_dns_rd {
    struct stoq_span msg; /* borrowed */
    size_t at;
    uint16_t id;
    uint16_t flags;
    uint16_t left[STOQ_DNS_SECTIONS];
    unsigned entries; /* read so far */
    bool bad;         /* malformed from here on */
};

/* Read the head. STOQ_OK, STOQ_MALFORMED: not even that. */
STOQ_WARN_UNUSED enum stoq_status stoq_dns_open(struct stoq_dns_rd *r, struct stoq_span msg);
/* The next question or record. False: there is none, the message is malformed from here on (bad), or
 * STOQ_DNS_ENTRIES_MAX were read. At most some 300 bytes are looked at for each. */
bool stoq_dns_next(struct stoq_dns_rd *r, struct stoq_dns_entry *out);

/* The writer: a head with no entries, then questions and records, section after section. */
struct stoq_dns_wr {
    struct stoq_wr w;
    uint16_t count[STOQ_DNS_SECTIONS];
};
void stoq_dns_begin(struct stoq_dns_wr *m, uint8_t *p, size_t cap, uint16_t id, uint16_t flags);
/* Append one; only section, name, type, class, top, ttl and rdata are looked at. False: it does not fit, and
 * nothing is written. */
bool stoq_dns_put(struct stoq_dns_wr *m, const struct stoq_dns_entry *e);
/* Write the counts into the head; the message is w.p, w.n. */
void stoq_dns_end(struct stoq_dns_wr *m);

#endif
