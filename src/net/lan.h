#ifndef STOQ_NET_LAN_H
#define STOQ_NET_LAN_H
/*
 * The sockets of LAN discovery: beacons out of every link that carries multicast, and beacons in. When to
 * send and whom to believe is src/discover's.
 *
 * All on the loop's thread.
 */
#include "net/addr.h"
#include "net/beacon.h"
#include "net/links.h"
#include "os/loop.h"

/* docs/PROTOCOL.md: UDP, to ff12::7374:6f71 and 239.255.115.113, hop limit 1. */
#define STOQ_LAN_PORT 4478
#define STOQ_LAN_HOST_BEACONS_PER_S 8 /* of one address, verified; twice that at once */
#define STOQ_LAN_BEACONS_PER_S 500    /* of all */

struct stoq_key;
struct stoq_lan;

struct stoq_lan_config {
    struct stoq_loop *loop;
    const struct stoq_links *links; /* kept */
    const struct stoq_key *key;     /* kept */
    uint16_t port;                  /* where we serve; 0: nobody */
    /* Of a private network, kept: the key under which ours are sealed (NULL: it is none), and open_count
     * keys, one behind the other, under which others' are. */
    const uint8_t *seal_key;
    const uint8_t *open_keys;
    size_t open_count;
    /* A verified beacon, our own included; from has the peer's port, or 0. */
    void (*heard)(void *user, const struct stoq_beacon *b, const struct stoq_addr *from);
    void *user;
};

/* STOQ_OK; STOQ_IO: no socket of either family; STOQ_NOMEM. */
STOQ_WARN_UNUSED enum stoq_status stoq_lan_new(struct stoq_lan **out,
                                               const struct stoq_lan_config *cfg,
                                               struct stoq_error *err);
void stoq_lan_free(struct stoq_lan *lan); /* NULL is fine */
void stoq_lan_links_changed(struct stoq_lan *lan);
/* Send a beacon out of every link; how many took it. */
size_t stoq_lan_send(struct stoq_lan *lan, uint8_t kind);
/* How many links took none of the last: their addresses are not usable yet. */
size_t stoq_lan_unready(const struct stoq_lan *lan);
/* Can somebody be reached at this address, as far as that goes? */
bool stoq_lan_reaches(const struct stoq_lan *lan, const struct stoq_addr *addr);

struct stoq_lan_stats {
    uint64_t sent;
    uint64_t heard; /* verified */
    uint64_t
        refused; /* malformed, forged, of another version; in a private network of strangers, or copies */
    uint64_t throttled; /* not looked at */
};
void stoq_lan_stats(const struct stoq_lan *lan, struct stoq_lan_stats *out);

#endif
