#ifndef STOQ_NET_LINKS_H
#define STOQ_NET_LINKS_H
/*
 * The links that carry multicast, and word when one comes, goes or has an address that it had not, for LAN
 * discovery. All on the loop's thread.
 */
#include "net/addr.h"
#include "os/loop.h"

#define STOQ_LINKS_MAX 64
#define STOQ_LINK_ADDRS_MAX 8 /* of one link; more are not listed */

struct stoq_link {
    unsigned index; /* the kernel's */
    bool v4;
    bool v6;
    size_t addr_count;
    struct stoq_link_addr {
        struct stoq_addr addr; /* port 0 */
        uint8_t bits;          /* of its prefix, counted in the 16 bytes of addr.ip */
    } addr[STOQ_LINK_ADDRS_MAX];
};

struct stoq_links;

/* changed: something is different, or the kernel tells of an address, which is how one that was being
 * checked for duplicates becomes usable. STOQ_OK, STOQ_NOMEM, STOQ_IO. */
STOQ_WARN_UNUSED enum stoq_status stoq_links_new(struct stoq_links **out, struct stoq_loop *loop,
                                                 void (*changed)(void *user), void *user,
                                                 struct stoq_error *err);
void stoq_links_free(struct stoq_links *links); /* NULL is fine */
/* As they were at the last look; borrowed until the next. */
const struct stoq_link *stoq_links_list(const struct stoq_links *links, size_t *count);

#endif
