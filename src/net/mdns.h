#ifndef STOQ_NET_MDNS_H
#define STOQ_NET_MDNS_H
/*
 * The sockets of multicast DNS: datagrams to 224.0.0.251 and ff02::fb, port 5353, in and out of each link.
 * What they mean, and what is answered, is src/discover/dnssd.h's. All on the loop's thread.
 */
#include "net/addr.h"
#include "net/links.h"
#include "os/loop.h"

#define STOQ_MDNS_PORT 5353
#define STOQ_MDNS_LINKS_MAX 16            /* an IPv6 socket each */
#define STOQ_MDNS_HOST_DATAGRAMS_PER_S 50 /* of one address, looked at; twice that at once */
#define STOQ_MDNS_DATAGRAMS_PER_S 1000    /* of all: some 2 us each */
#define STOQ_MDNS_DATAGRAM_MAX 9000       /* RFC 6762 section 17 */

struct stoq_mdns;

struct stoq_mdns_config {
    struct stoq_loop *loop;
    const struct stoq_links *links; /* kept */
    bool v4;
    bool v6;
    /* A datagram that came to the group on this link, our own included. */
    void (*heard)(void *user, unsigned index, const struct stoq_addr *from,
                  struct stoq_span datagram);
    void *user;
};

/* STOQ_OK; STOQ_IO: the port is another program's that does not share it; STOQ_NOMEM. */
STOQ_WARN_UNUSED enum stoq_status stoq_mdns_new(struct stoq_mdns **out,
                                                const struct stoq_mdns_config *cfg,
                                                struct stoq_error *err);
void stoq_mdns_free(struct stoq_mdns *m); /* NULL is fine */
void stoq_mdns_links_changed(struct stoq_mdns *m);
/* To the group on one link, over each family that has an address there; did one take it? */
bool stoq_mdns_send(struct stoq_mdns *m, unsigned index, struct stoq_span datagram);
/* To one host of that link. */
void stoq_mdns_answer(struct stoq_mdns *m, unsigned index, const struct stoq_addr *to,
                      struct stoq_span datagram);
uint64_t stoq_mdns_throttled(const struct stoq_mdns *m); /* datagrams not looked at */

#endif
