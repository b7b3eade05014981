/* Where we can be reached: what we listen on, or what our interfaces have where we listen on all. */
#include "daemon/engine_internal.h"

#include <ifaddrs.h>
#include <net/if.h>

struct list {
    struct stoq_addr *out;
    size_t count;
    size_t max;
};

static void add(struct list *l, const struct stoq_addr *a)
{
    if (l->count < l->max && !stoq_addr_is_link_local(a)) {
        l->out[l->count++] = *a;
    }
}

/* Those of the interfaces that are up. */
static void add_interfaces(struct list *l, uint16_t port, bool loopback)
{
    struct ifaddrs *all;
    if (getifaddrs(&all) != 0) {
        return;
    }
    for (const struct ifaddrs *i = all; i != NULL; i = i->ifa_next) {
        struct stoq_addr a;
        if (i->ifa_addr == NULL || (i->ifa_flags & IFF_UP) == 0 ||
            stoq_addr_from_sockaddr(&a, i->ifa_addr, sizeof(struct sockaddr_in6)) != STOQ_OK) {
            continue;
        }
        a.port = port;
        if (stoq_addr_is_loopback(&a) == loopback) {
            add(l, &a);
        }
    }
    freeifaddrs(all);
}

size_t engine_own_addresses(const struct stoq_engine *e, struct stoq_addr *out, size_t max)
{
    struct list l = {.out = out, .max = max};
    struct stoq_addr a;
    uint16_t any_port = 0;
    for (size_t i = 0; stoq_engine_local_addr(e, i, &a); i++) {
        if (stoq_addr_is_any(&a)) {
            any_port = a.port;
        } else {
            add(&l, &a);
        }
    }
    if (any_port != 0) {
        add_interfaces(&l, any_port, false);
        if (l.count == 0) {
            add_interfaces(&l, any_port, true);
        }
    }
    return l.count;
}
