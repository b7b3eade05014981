/* What the node knows of peers, copied on the network thread and told on the caller's. */
#include "daemon/engine_internal.h"

#include <stdlib.h>

struct known {
    struct stoq_peers_view view;
    struct stoq_node_standing standing;
    struct stoq_addr addr;
    bool has_addr;
};

struct known_list {
    struct known *v;
    size_t count;
};

static void take_known(struct stoq_engine *e, void *arg)
{
    struct known_list *list = arg;
    const struct stoq_peers *peers = stoq_node_peers(e->node);
    size_t n = stoq_peers_count(peers);
    list->v = calloc(n + 1, sizeof *list->v);
    if (list->v == NULL) {
        return;
    }
    for (size_t i = 0; i < n; i++) {
        struct known *k = &list->v[i];
        (void)stoq_peers_at(peers, i, stoq_now(), &k->view);
        stoq_node_standing(e->node, &k->view.id, stoq_now(), &k->standing);
        const struct peer *p = engine_peer_find(e, &k->view.id);
        if (p != NULL) {
            k->addr = p->addr;
            k->has_addr = true;
        }
    }
    list->count = n;
}

enum stoq_status stoq_engine_standing(struct stoq_engine *e,
                                      void (*fn)(void *user, const struct stoq_peers_view *peer,
                                                 const struct stoq_node_standing *standing,
                                                 const struct stoq_addr *addr),
                                      void *user)
{
    struct known_list list = {0};
    engine_call(e, take_known, &list);
    if (list.v == NULL) {
        return STOQ_NOMEM;
    }
    for (size_t i = 0; i < list.count; i++) {
        fn(user, &list.v[i].view, &list.v[i].standing, list.v[i].has_addr ? &list.v[i].addr : NULL);
    }
    free(list.v);
    return STOQ_OK;
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
