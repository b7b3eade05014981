#ifndef STOQ_NET_ADDR_H
#define STOQ_NET_ADDR_H
/*
 * Socket addresses in one form: IPv6, with IPv4 as its mapped range (::ffff:a.b.c.d), so that two
 * equal addresses are equal bytes. Text is numeric only: "[::1]:4433", "[fe80::1%2]:4433",
 * "192.0.2.1:4433". Never resolves names.
 */
#include "base/bytes.h"

#include <netinet/in.h>

struct stoq_addr {
    uint8_t ip[16]; /* network order */
    uint16_t port;  /* host order */
    uint16_t zero;
    uint32_t scope; /* interface index of a link-local address, else 0 */
};

#define STOQ_ADDR_TEXT_MAX 72 /* bytes of the longest text, with its NUL */

/* Parse text of s.n bytes. A port is required unless default_port is not 0. STOQ_OK; STOQ_MALFORMED:
 * not a numeric address with port; out is unchanged then. */
STOQ_WARN_UNUSED enum stoq_status stoq_addr_parse(struct stoq_addr *out, struct stoq_span text,
                                                  uint16_t default_port);
/* Write the text form; returns out, so that it can stand in an argument list. */
const char *stoq_addr_format(const struct stoq_addr *addr, char out[STOQ_ADDR_TEXT_MAX]);
bool stoq_addr_eq(const struct stoq_addr *a, const struct stoq_addr *b);
/* A total order: <0, 0, >0. */
int stoq_addr_cmp(const struct stoq_addr *a, const struct stoq_addr *b);

bool stoq_addr_is_v4(const struct stoq_addr *addr);
/* The unspecified address of either family. */
bool stoq_addr_is_any(const struct stoq_addr *addr);
bool stoq_addr_is_loopback(const struct stoq_addr *addr);
bool stoq_addr_is_link_local(const struct stoq_addr *addr);
/* Who shares a fate and a budget: the /48 of an IPv6 address, which is what a site gets and may fill with
 * any addresses it likes; the /24 of an IPv4 one. */
uint64_t stoq_addr_prefix(const struct stoq_addr *addr);

/* To and from the 18 bytes of records: 16 of the address, u16le port. A link-local one loses its link. */
#define STOQ_ADDR_BYTES 18
void stoq_addr_put(const struct stoq_addr *addr, uint8_t out[STOQ_ADDR_BYTES]);
struct stoq_addr stoq_addr_get(const uint8_t bytes[STOQ_ADDR_BYTES]);

/* To and from the kernel's form; IPv4 becomes and may come as mapped IPv6 or AF_INET. */
struct sockaddr_in6 stoq_addr_to_in6(const struct stoq_addr *addr);
/* STOQ_MALFORMED: another family or too short. */
STOQ_WARN_UNUSED enum stoq_status stoq_addr_from_sockaddr(struct stoq_addr *out,
                                                          const struct sockaddr *sa, size_t sa_len);

#endif
