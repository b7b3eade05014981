/* The map of the network as this daemon sees it: who is where, how far, in which state; the nearest first. */
#include "daemon/ops_internal.h"

#include "wire/bech32m.h"

#include <stdlib.h>
#include <string.h>

struct spot {
    struct stoq_peers_view view;
    struct stoq_addr addr;
    bool has_addr;
    bool is_remembered; /* of another time: nothing was heard of it since this daemon started */
    uint64_t seen_s;    /* then: when it was last connected, since 1970 */
};

struct map {
    struct spot *v;
    size_t count;
    size_t cap;
    bool failed;
};

static struct spot *add(struct map *m)
{
    if (m->count == m->cap) {
        size_t cap = m->cap == 0 ? 64 : 2 * m->cap;
        struct spot *v = realloc(m->v, cap * sizeof *v);
        if (v == NULL) {
            m->failed = true;
            return NULL;
        }
        m->v = v;
        m->cap = cap;
    }
    m->v[m->count] = (struct spot){.seen_s = 0};
    return &m->v[m->count++];
}

static void add_known(void *user, const struct stoq_peers_view *v,
                      const struct stoq_node_standing *standing, const struct stoq_addr *addr)
{
    struct spot *s = add(user);
    (void)standing;
    if (s != NULL) {
        s->view = *v;
        s->has_addr = addr != NULL;
        s->addr = addr != NULL ? *addr : s->addr;
    }
}

static bool has(const struct map *m, const struct stoq_peer_id *id)
{
    for (size_t i = 0; i < m->count; i++) {
        if (stoq_hash_eq(&m->v[i].view.id.h, &id->h)) {
            return true;
        }
    }
    return false;
}

static void add_remembered(void *user, const struct stoq_known_peer *p)
{
    struct map *m = user;
    struct spot *s = has(m, &p->id) ? NULL : add(m);
    if (s != NULL) {
        s->view.id = p->id;
        s->view.rtt_ns = (stoq_ns)p->min_rtt_us * 1000;
        s->view.rtt_latest_ns = s->view.rtt_ns;
        s->is_remembered = true;
        s->seen_s = p->seen_s;
        s->has_addr = p->has_addr;
        s->addr = stoq_addr_get(p->addr);
    }
}

/* The nearest first, those of whom no round trip is known last. */
static int by_distance(const void *a, const void *b)
{
    const struct spot *x = a;
    const struct spot *y = b;
    stoq_ns dx = x->view.rtt_ns == 0 ? STOQ_NEVER : x->view.rtt_ns;
    stoq_ns dy = y->view.rtt_ns == 0 ? STOQ_NEVER : y->view.rtt_ns;
    if (dx != dy) {
        return dx < dy ? -1 : 1;
    }
    return memcmp(x->view.id.h.b, y->view.id.h.b, sizeof x->view.id.h.b);
}

static json_t *text_or_null(const char *text)
{
    return text[0] != '\0' ? json_string(text) : json_null();
}

static json_t *ms_or_null(stoq_ns ns)
{
    uint64_t us = ns / 1000;
    return ns == 0 ? json_null() : json_real((double)us / 1e3);
}

static json_t *to_json(const struct spot *s)
{
    char peer[STOQ_ID_TEXT_CAP];
    char addr[STOQ_ADDR_TEXT_MAX];
    const struct stoq_peers_view *v = &s->view;
    stoq_peer_id_put(peer, &v->id);
    json_t *o = json_pack(
        "{s:s, s:o, s:s, s:o, s:o, s:o, s:I, s:o, s:o, s:o, s:o, s:o, s:o}", "peer", peer, "addr",
        s->has_addr ? json_string(stoq_addr_format(&s->addr, addr)) : json_null(), "state",
        s->is_remembered ? "remembered" : stoq_peers_state_str(v->state), "rtt_ms",
        ms_or_null(v->rtt_ns), "rtt_latest_ms", ms_or_null(v->rtt_latest_ns), "rtt_seconds",
        v->rtt_ns == 0 || s->is_remembered ? json_null() : op_seconds(v->rtt_age_ns), "rtt_changes",
        (json_int_t)v->rtt_changes, "host", text_or_null(v->place.host), "site",
        text_or_null(v->place.site), "rack", text_or_null(v->place.rack), "region",
        text_or_null(v->place.region), "subnet", text_or_null(v->subnet), "domain",
        text_or_null(v->domain));
    if (o != NULL && s->is_remembered) {
        (void)stoq_json_set_u64(o, "seen_at", s->seen_s);
    } else if (o != NULL) {
        (void)json_object_set_new(o, "state_seconds", op_seconds(v->state_age_ns));
    }
    return o;
}

enum stoq_status op_topology(struct stoq_host *host, const json_t *args, struct stoq_op_io *io,
                             json_t **result, struct stoq_error *err)
{
    struct map m = {0};
    struct stoq_engine *engine = stoq_host_engine(host);
    if (stoq_engine_standing(engine, add_known, &m) != STOQ_OK ||
        stoq_engine_remembered(engine, add_remembered, &m) != STOQ_OK || m.failed) {
        free(m.v);
        return stoq_fail(err, STOQ_NOMEM, 0, "no memory for the map of peers");
    }
    if (m.count > 0) {
        qsort(m.v, m.count, sizeof m.v[0], by_distance);
    }
    json_t *list = json_array();
    for (size_t i = 0; i < m.count; i++) {
        (void)json_array_append_new(list, to_json(&m.v[i]));
    }
    free(m.v);
    *result = json_pack("{s:o}", "topology", list);
    return STOQ_OK;
}
