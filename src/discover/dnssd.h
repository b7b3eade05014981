#ifndef STOQ_DISCOVER_DNSSD_H
#define STOQ_DISCOVER_DNSSD_H
/*
 * The announcement of a daemon that standard tools see (avahi-browse, dns-sd, zeroconf): a responder of
 * multicast DNS (RFC 6762) for one service of DNS-SD (RFC 6763), "_stoq._udp.local". It answers and announces
 * and looks for nobody; what is found on a link comes from beacons (neighbours.h). Datagrams and links come
 * in, datagrams go out; see dnssd.c for the timing. No allocation.
 */
#include "base/bytes.h"
#include "base/prng.h"
#include "discover/dns.h"

#define STOQ_DNSSD_LINKS_MAX 16     /* announced on; more are left out */
#define STOQ_DNSSD_ADDRS_MAX 6      /* told of per link */
#define STOQ_DNSSD_LABEL_MAX 40     /* bytes of the instance and host labels given */
#define STOQ_DNSSD_TXT_MAX 255      /* bytes of the TXT record */
#define STOQ_DNSSD_MESSAGE_MAX 1232 /* what we send: fits the smallest IPv6 packet */
#define STOQ_DNSSD_LEGACY_MAX 512   /* ... to those that ask as if we were a name server */
#define STOQ_DNSSD_UNICAST_PER_S 20 /* answers to one asker alone, of all links */
#define STOQ_DNSSD_NAMES_MAX 50     /* tried when others have ours; then it stays silent */

/* The sets of records we answer with, as bits. */
enum stoq_dnssd_record {
    STOQ_DNSSD_SERVICES, /* _services._dns-sd._udp: PTR to the type; others give it too */
    STOQ_DNSSD_PTR,      /* the type: PTR to the instance */
    STOQ_DNSSD_SRV,      /* the instance: port and host */
    STOQ_DNSSD_TXT,      /* the instance: who it is */
    STOQ_DNSSD_A,        /* the host's addresses on this link */
    STOQ_DNSSD_AAAA,
    STOQ_DNSSD_NSEC_INSTANCE, /* the instance has no other types, so nobody waits for them */
    STOQ_DNSSD_NSEC_HOST,
    STOQ_DNSSD_RECORDS,
};

struct stoq_dnssd_addr {
    uint8_t ip[16]; /* IPv4 mapped */
    uint8_t bits;   /* of its network's prefix, counted in these 16 bytes */
};
struct stoq_dnssd_place {
    unsigned index; /* the shell's name of the link */
    size_t addr_count;
    struct stoq_dnssd_addr addr[STOQ_DNSSD_ADDRS_MAX];
};

struct stoq_dnssd_config {
    const char *instance; /* what people see; 1 to STOQ_DNSSD_LABEL_MAX bytes */
    const char *host;     /* letters, digits, hyphens; likewise. Not the machine's own name */
    uint16_t port;
    struct stoq_span txt; /* strings with their lengths, 1 to STOQ_DNSSD_TXT_MAX bytes; copied */
    uint64_t seed;
};

enum stoq_dnssd_state {
    STOQ_DNSSD_PROBING,    /* is the name free? (RFC 6762 section 8.1) */
    STOQ_DNSSD_ANNOUNCING, /* section 8.3 */
    STOQ_DNSSD_STEADY,
    STOQ_DNSSD_SILENT, /* no name was free */
};

struct stoq_dnssd_link {
    struct stoq_dnssd_place place;
    enum stoq_dnssd_state state;
    unsigned step; /* probes or announcements sent */
    stoq_ns next_at;
    unsigned pending; /* records to be multicast at pending_at */
    stoq_ns pending_at;
    uint64_t pending_from;               /* who alone asked for them; 0: several */
    stoq_ns free_at[STOQ_DNSSD_RECORDS]; /* multicast again from then on */
    stoq_ns said_at[STOQ_DNSSD_RECORDS]; /* multicast last; 0: never */
    bool failed;                         /* the last probe could not be sent */
    bool left;                           /* its goodbye is sent */
};

struct stoq_dnssd_stats {
    uint64_t queries;    /* that asked for something of ours */
    uint64_t sent;       /* datagrams */
    uint64_t refused;    /* malformed */
    uint64_t renamed;    /* somebody else had the name */
    uint64_t unanswered; /* unicast answers over their rate, or to another network */
};

struct stoq_dnssd {
    char instance_label[STOQ_DNSSD_LABEL_MAX + 1];
    char host_label[STOQ_DNSSD_LABEL_MAX + 1];
    struct stoq_dns_name services;
    struct stoq_dns_name type;
    struct stoq_dns_name instance; /* as it is called now */
    struct stoq_dns_name host;
    uint16_t port;
    uint8_t txt[STOQ_DNSSD_TXT_MAX];
    size_t txt_n;
    struct stoq_prng prng;
    unsigned name_number;    /* 1: as configured */
    stoq_ns conflict_at[15]; /* the last ones, a ring (RFC 6762 section 8.1) */
    size_t conflicts;
    bool leaving;
    stoq_ns unicast_full_at;
    struct stoq_dnssd_link link[STOQ_DNSSD_LINKS_MAX];
    size_t link_count;
    struct stoq_dnssd_stats stats;
    struct stoq_dns_entry entry; /* being read or written */
    uint8_t message[STOQ_DNSSD_MESSAGE_MAX];
};

/* STOQ_OK; STOQ_RANGE: a label or the TXT record is empty or too long. */
STOQ_WARN_UNUSED enum stoq_status stoq_dnssd_init(struct stoq_dnssd *d,
                                                  const struct stoq_dnssd_config *cfg);

/* The links there are now: a new one, and one whose addresses are others, begins anew. */
void stoq_dnssd_places(struct stoq_dnssd *d, const struct stoq_dnssd_place *places, size_t count,
                       stoq_ns now);

struct stoq_dnssd_from {
    uint8_t ip[16]; /* IPv4 mapped */
    uint16_t port;
};
/*
 * A datagram that came to the group on a link. Returns the bytes of an answer to be sent to where it came
 * from, in d->message, or 0: there is none for it alone.
 */
size_t stoq_dnssd_heard(struct stoq_dnssd *d, unsigned index, const struct stoq_dnssd_from *from,
                        struct stoq_span datagram, stoq_ns now);

/* Is something to be sent to the group? True: these bytes of d->message, on that link; it counts as sent
 * unless stoq_dnssd_unsent says so at once. */
bool stoq_dnssd_due(struct stoq_dnssd *d, stoq_ns now, unsigned *index, size_t *n);
/* The link took nothing (its address is not usable yet): a probe or announcement is tried again. */
void stoq_dnssd_unsent(struct stoq_dnssd *d, unsigned index, stoq_ns now);
stoq_ns stoq_dnssd_deadline(const struct stoq_dnssd *d);

/* Say goodbye on every link: due gives it, and nothing else from then on. */
void stoq_dnssd_leave(struct stoq_dnssd *d);
/* How many links know of us, and the name. */
size_t stoq_dnssd_announced(const struct stoq_dnssd *d);
const char *stoq_dnssd_name(const struct stoq_dnssd *d, char out[STOQ_DNS_LABEL_MAX + 1]);

#endif
