#ifndef STOQ_DAEMON_ENGINE_DNSSD_H
#define STOQ_DAEMON_ENGINE_DNSSD_H
/*
 * Our announcement by DNS-SD (docs/PROTOCOL.md section 20), a part of LAN discovery in the engine. On the
 * network thread.
 */
#include "daemon/engine.h"
#include "net/links.h"

struct engine_dnssd;

/* Where peers can be answered: a socket that takes what comes to any address. */
struct engine_lan_port {
    uint16_t port; /* 0: there is none */
    bool v4;
    bool v6;
};

/* Begin. STOQ_OK; STOQ_IO: another program has the port for itself; STOQ_NOMEM. */
STOQ_WARN_UNUSED enum stoq_status engine_dnssd_new(struct engine_dnssd **out, struct stoq_engine *e,
                                                   const struct stoq_links *links,
                                                   const struct engine_lan_port *at,
                                                   struct stoq_error *err);
void engine_dnssd_links_changed(struct engine_dnssd *ed); /* NULL is fine, in all of these */
void engine_dnssd_leave(struct engine_dnssd *ed);         /* say goodbye */
void engine_dnssd_free(struct engine_dnssd *ed);
void engine_dnssd_status(const struct engine_dnssd *ed, struct stoq_engine_dnssd *out);

#endif
