#ifndef STOQ_BASE_IP_H
#define STOQ_BASE_IP_H
/*
 * What an IP address is good for, and for whom. Addresses are 16 bytes in network order, IPv4 mapped.
 */
#include "base/bytes.h"

enum stoq_ip_scope {
    STOQ_IP_NOWHERE, /* unspecified, multicast, broadcast, of ranges nobody is given */
    STOQ_IP_LOOPBACK,
    STOQ_IP_LINK, /* link-local: means nothing without the link */
    STOQ_IP_PRIVATE,
    STOQ_IP_PUBLIC,
};

enum stoq_ip_scope stoq_ip_scope(const uint8_t ip[16]);
/* Of a private address the block it is drawn from: 10/8, 172.16/12, 192.168/16, 100.64/10, or the /48 of a
 * unique local one. 0: not a private address. */
uint64_t stoq_ip_block(const uint8_t ip[16]);
/* Of a public address the IPv4 /24 or IPv6 /48, as a number of its own. 0: not a public address. */
uint64_t stoq_ip_subnet(const uint8_t ip[16]);

#endif
