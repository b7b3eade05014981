#include "node/node_internal.h"

#include <string.h>

struct blob *node_blob(struct stoq_node *n, struct stoq_span bytes)
{
    struct blob *b = stoq_alloc(&n->cfg.alloc, 1, sizeof *b + bytes.n);
    if (b != NULL) {
        b->refs = 1;
        b->n = bytes.n;
        if (bytes.n > 0) {
            memcpy(b->p, bytes.p, bytes.n);
        }
    }
    return b;
}

void node_blob_drop(struct stoq_node *n, struct blob *b)
{
    if (b != NULL && --b->refs == 0) {
        stoq_free(&n->cfg.alloc, b);
    }
}

struct stoq_span node_blob_span(const struct blob *b)
{
    return b == NULL ? stoq_span(NULL, 0) : stoq_span(b->p, b->n);
}

struct out *node_out(struct stoq_node *n, enum stoq_node_action_kind kind)
{
    struct out *o = stoq_alloc(&n->cfg.alloc, 1, sizeof *o);
    if (o == NULL) {
        n->retry_at = n->now + NOMEM_RETRY;
        return NULL;
    }
    o->action.kind = kind;
    *n->out_last = o;
    n->out_last = &o->next;
    return o;
}

void node_out_free(struct stoq_node *n, struct out *o)
{
    stoq_free(&n->cfg.alloc, o->ranges);
    stoq_free(&n->cfg.alloc, o->hashes);
    stoq_free(&n->cfg.alloc, o->report);
    stoq_free(&n->cfg.alloc, o);
}

static bool is_reply(enum stoq_node_action_kind kind)
{
    return kind == STOQ_NODE_SEND || kind == STOQ_NODE_SERVE_META || kind == STOQ_NODE_SERVE_CHUNKS;
}

bool node_out_pop(struct stoq_node *n, struct stoq_node_action *action)
{
    if (n->taken != NULL) {
        node_out_free(n, n->taken);
        n->taken = NULL;
    }
    struct out *o = n->out_first;
    if (o == NULL) {
        return false;
    }
    n->out_first = o->next;
    if (n->out_first == NULL) {
        n->out_last = &n->out_first;
    }
    if (is_reply(o->action.kind)) {
        bool is_send = o->action.kind == STOQ_NODE_SEND;
        struct link *l = node_link(n, is_send ? o->action.u.send.peer : o->action.u.serve.peer);
        n->replies--;
        if (l != NULL && l->replies > 0) { /* it may have gone and come meanwhile */
            l->replies--;
        }
    }
    n->taken = o;
    *action = o->action;
    return true;
}

struct pending *node_pending(struct stoq_node *n, enum pending_kind kind, struct fetch *f)
{
    struct pending *p = stoq_alloc(&n->cfg.alloc, 1, sizeof *p);
    if (p == NULL) {
        n->retry_at = n->now + NOMEM_RETRY;
        return NULL;
    }
    p->kind = kind;
    p->fetch = f;
    p->peer = STOQ_PEER_NONE;
    p->deadline = STOQ_NEVER;
    p->other_at = STOQ_NEVER;
    p->cookie = ++n->last_cookie;
    if (stoq_map_put(&n->pending, (struct stoq_map_key){p->cookie, 0}, p) != STOQ_OK) {
        stoq_free(&n->cfg.alloc, p);
        n->retry_at = n->now + NOMEM_RETRY;
        return NULL;
    }
    p->next = n->pending_first;
    if (p->next != NULL) {
        p->next->prev = p;
    }
    n->pending_first = p;
    return p;
}

struct pending *node_pending_find(struct stoq_node *n, stoq_node_cookie cookie)
{
    return stoq_map_get(&n->pending, (struct stoq_map_key){cookie, 0});
}

void node_pending_close(struct stoq_node *n, struct pending *p)
{
    (void)stoq_map_remove(&n->pending, (struct stoq_map_key){p->cookie, 0});
    if (p->next != NULL) {
        p->next->prev = p->prev;
    }
    if (p->prev != NULL) {
        p->prev->next = p->next;
    } else {
        n->pending_first = p->next;
    }
    node_blob_drop(n, p->blob);
    stoq_free(&n->cfg.alloc, p->chunks);
    stoq_free(&n->cfg.alloc, p->ranges);
    stoq_free(&n->cfg.alloc, p);
}

void node_pending_cancel(struct stoq_node *n, struct pending *p)
{
    bool an_ask = p->kind == PENDING_HELLO || p->kind == PENDING_META || p->kind == PENDING_CHUNKS;
    p->deadline = STOQ_NEVER;
    if (!an_ask || p->cancelled) {
        return;
    }
    struct out *o = node_out(n, STOQ_NODE_CANCEL);
    if (o != NULL) { /* without memory it runs on to no effect */
        p->cancelled = true;
        o->action.u.cancel = (struct stoq_node_cancel){.peer = p->peer, .cookie = p->cookie};
    }
}
