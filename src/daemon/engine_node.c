/* The node's actions, one function call each. */
#include "daemon/engine_internal.h"

static void charge(struct stoq_engine *e, const struct stoq_node_charge *c)
{
    char name[16];
    engine_log(e, "%s.. charged: %s", engine_peer_name(engine_peer_at(e, c->peer), name),
               stoq_node_why_str(c->why));
}

/* Each of the peer's connections, not only the one we ask on: what it did may have come on another. */
static void close_link(struct stoq_engine *e, const struct stoq_node_close *c)
{
    const struct peer *p = engine_peer_at(e, c->peer);
    for (size_t i = 0; i < e->conns.capacity; i++) {
        const struct stoq_map_slot *slot = &e->conns.slots[i];
        struct stoq_net_info info;
        if (slot->value == p && stoq_net_info(e->net, slot->key.a, &info) && info.opened) {
            stoq_net_close(e->net, slot->key.a, STOQ_APP_VIOLATION, stoq_node_why_str(c->why));
        }
    }
}

static void done(struct stoq_engine *e, const struct stoq_node_done *d)
{
    struct stoq_fetch *f = engine_fetch_find(e, d->fetch);
    if (f != NULL) {
        engine_fetch_done(f, d->report);
    }
}

static void act(struct stoq_engine *e, const struct stoq_node_action *a)
{
    switch (a->kind) {
    case STOQ_NODE_DIAL:
        engine_peer_dial(e, engine_peer_at(e, a->u.dial.peer), a->u.dial.timeout_ns);
        break;
    case STOQ_NODE_ASK:
        engine_ask(e, &a->u.ask);
        break;
    case STOQ_NODE_ASK_CHUNKS:
        engine_ask_chunks(e, &a->u.ask_chunks);
        break;
    case STOQ_NODE_CANCEL:
        engine_ask_cancel(e, a->u.cancel.cookie);
        break;
    case STOQ_NODE_LOAD_META:
        engine_load_meta(e, &a->u.meta);
        break;
    case STOQ_NODE_SAVE_META:
        engine_save_meta(e, &a->u.meta);
        break;
    case STOQ_NODE_CHECK_HAVE:
        engine_check_have(e, &a->u.check);
        break;
    case STOQ_NODE_SYNC:
        engine_sync(e, a->u.sync.cookie);
        break;
    case STOQ_NODE_SAVE_PACKAGE:
        engine_save_package(e, &a->u.package);
        break;
    case STOQ_NODE_DONE:
        done(e, &a->u.done);
        break;
    case STOQ_NODE_CHARGE:
        charge(e, &a->u.charge);
        break;
    case STOQ_NODE_CLOSE:
        close_link(e, &a->u.close);
        break;
    case STOQ_NODE_SEND:
        engine_send(e, &a->u.send);
        break;
    case STOQ_NODE_SERVE_META:
        engine_serve(e, &a->u.serve, true);
        break;
    case STOQ_NODE_SERVE_CHUNKS:
        engine_serve(e, &a->u.serve, false);
        break;
    }
}

void engine_drain(struct stoq_engine *e)
{
    struct stoq_node_action a;
    while (stoq_node_poll(e->node, stoq_now(), &a)) {
        act(e, &a);
    }
}
