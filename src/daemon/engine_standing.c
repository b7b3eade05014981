/* What the node knows of peers, copied on the network thread and told on the caller's. */
#include "daemon/engine_internal.h"

struct known {
    struct stoq_peers_view view;
    struct stoq_node_standing standing;
    struct stoq_addr addr;
    bool has_addr;
};

static void take_known(struct stoq_engine *e, void *arg)
{
    struct engine_list *list = arg;
    const struct stoq_peers *peers = stoq_node_peers(e->node);
    if (!engine_list_room(list, stoq_peers_count(peers))) {
        return;
    }
    struct known *k = list->v;
    for (; list->count < list->room; list->count++, k++) {
        (void)stoq_peers_at(peers, list->count, stoq_now(), &k->view);
        stoq_node_standing(e->node, &k->view.id, stoq_now(), &k->standing);
        const struct peer *p = engine_peer_find(e, &k->view.id);
        if (p != NULL) { /* where it was seen, else where it is said to be */
            k->addr = p->addr.port == 0 && p->addr_count > 0 ? p->addrs[0] : p->addr;
            k->has_addr = k->addr.port != 0;
        }
    }
}

struct known_tale {
    void (*fn)(void *user, const struct stoq_peers_view *peer,
               const struct stoq_node_standing *standing, const struct stoq_addr *addr);
    void *user;
};

static void tell_known(void *arg, const void *item)
{
    const struct known_tale *tale = arg;
    const struct known *k = item;
    tale->fn(tale->user, &k->view, &k->standing, k->has_addr ? &k->addr : NULL);
}

enum stoq_status stoq_engine_standing(struct stoq_engine *e,
                                      void (*fn)(void *user, const struct stoq_peers_view *peer,
                                                 const struct stoq_node_standing *standing,
                                                 const struct stoq_addr *addr),
                                      void *user)
{
    struct known_tale tale = {fn, user};
    return engine_list_tell(e, sizeof(struct known), take_known, tell_known, &tale);
}

static void tell_rtt(void *user, const struct stoq_net_info *info)
{
    struct stoq_engine *e = user;
    const struct peer *p = stoq_map_get(&e->conns, (struct stoq_map_key){info->conn, 0});
    if (p != NULL && p->conn == info->conn && p->state == PEER_UP) {
        struct stoq_node_event ev = {.kind = STOQ_NODE_RTT,
                                     .u.link = {.peer = p->number, .rtt_ns = info->srtt_ns}};
        (void)engine_feed(e, &ev);
    }
}

stoq_ns engine_rtts_deadline(const struct stoq_engine *e)
{
    return e->conns.count > 0 ? e->rtts_at : STOQ_NEVER;
}

void engine_rtts_run(struct stoq_engine *e, stoq_ns now)
{
    if (now >= engine_rtts_deadline(e)) {
        e->rtts_at = now + ENGINE_RTTS;
        stoq_net_each(e->net, tell_rtt, e);
    }
}

static void take_place(struct stoq_engine *e, void *arg)
{
    const struct stoq_node_event *ev = arg;
    (void)engine_feed(e, ev);
}

void stoq_engine_place(struct stoq_engine *e, const struct stoq_peer_id *peer,
                       const struct stoq_peers_place *place)
{
    struct stoq_node_event ev = {.kind = STOQ_NODE_PLACE, .u.place = {.id = peer, .place = place}};
    engine_call(e, take_place, &ev);
}
