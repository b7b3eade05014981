#ifndef STOQ_DISCOVER_DNSSD_INTERNAL_H
#define STOQ_DISCOVER_DNSSD_INTERNAL_H
/*
 * Inside the responder:
 *   dnssd.c          links, timing: probes, announcements, answers that wait, goodbyes
 *   dnssd_records.c  our records: names, contents, which message holds which
 *   dnssd_heard.c    what others send: questions, known answers, conflicts
 */
#include "discover/dnssd.h"

#define DNSSD_BIT(record) (1U << (record))
#define DNSSD_SHARED (DNSSD_BIT(STOQ_DNSSD_SERVICES) | DNSSD_BIT(STOQ_DNSSD_PTR))
#define DNSSD_ADDRS                                                                                \
    (DNSSD_BIT(STOQ_DNSSD_A) | DNSSD_BIT(STOQ_DNSSD_AAAA) | DNSSD_BIT(STOQ_DNSSD_NSEC_HOST))
#define DNSSD_INSTANCE                                                                             \
    (DNSSD_BIT(STOQ_DNSSD_SRV) | DNSSD_BIT(STOQ_DNSSD_TXT) | DNSSD_BIT(STOQ_DNSSD_NSEC_INSTANCE))
#define DNSSD_ALL (DNSSD_SHARED | DNSSD_INSTANCE | DNSSD_ADDRS)

/* dnssd_records.c */
/* Build the names that name_number asks for; false: none is left. */
bool dnssd_rename(struct stoq_dnssd *d);
const struct stoq_dns_name *dnssd_name_of(const struct stoq_dnssd *d,
                                          enum stoq_dnssd_record record);
uint16_t dnssd_type_of(enum stoq_dnssd_record record);
uint32_t dnssd_ttl_of(enum stoq_dnssd_record record);
/* The i-th record of a set on this link, its rdata into e; false: there is no such. */
bool dnssd_rdata(const struct stoq_dnssd *d, const struct stoq_dnssd_link *l,
                 enum stoq_dnssd_record record, size_t i, struct stoq_dns_entry *e);
/* Is e, name and rdata, one of the records of that set on any of our links? */
bool dnssd_is_ours(const struct stoq_dnssd *d, enum stoq_dnssd_record record,
                   const struct stoq_dns_entry *e);
/* Which set e would belong to, by name and type; STOQ_DNSSD_RECORDS: none. */
enum stoq_dnssd_record dnssd_set_of(const struct stoq_dnssd *d, const struct stoq_dns_entry *e);
/* What goes along with these answers (RFC 6763 section 12). */
unsigned dnssd_additional(unsigned answers);

enum dnssd_message { DNSSD_PROBE, DNSSD_MULTICAST, DNSSD_GOODBYE };
/* A message to the group with these records, into d->message; its bytes. */
size_t dnssd_write(struct stoq_dnssd *d, const struct stoq_dnssd_link *l, enum dnssd_message kind,
                   unsigned records);
/* An answer to one asker: legacy, with the question repeated, or of multicast DNS (question NULL). */
size_t dnssd_write_alone(struct stoq_dnssd *d, const struct stoq_dnssd_link *l, uint16_t id,
                         const struct stoq_dns_entry *question, unsigned records);

/* dnssd.c */
/* Somebody else has one of our names on this link: another name, or probe again. */
void dnssd_conflict(struct stoq_dnssd *d, struct stoq_dnssd_link *l, stoq_ns now);
void dnssd_restart(struct stoq_dnssd *d, struct stoq_dnssd_link *l, stoq_ns wait, stoq_ns now);
/* Have records multicast at that time, as soon as each may be again; from: who asks, 0: nobody alone. */
void dnssd_want(struct stoq_dnssd_link *l, unsigned records, stoq_ns at, uint64_t from);

#endif
