/* Caps on bandwidth, and who has what of it. */
#include "daemon/ops_internal.h"

#include "daemon/share_words.h"
#include "wire/bech32m.h"

#include <stdlib.h>

static json_t *rate_or_null(uint64_t rate)
{
    return rate > 0 ? json_integer((json_int_t)rate) : json_null();
}

static json_t *classes_to_json(const struct stoq_engine_budget *b)
{
    json_t *classes = json_array();
    for (int c = 0; c < STOQ_PRIORITIES; c++) {
        uint64_t up = b->class_rate[STOQ_QOS_UP][c];
        uint64_t down = b->class_rate[STOQ_QOS_DOWN][c];
        if (up > 0 || down > 0) {
            (void)json_array_append_new(classes,
                                        json_pack("{s:s, s:o, s:o}", "class",
                                                  stoq_priority_str((enum stoq_priority)c), "up",
                                                  rate_or_null(up), "down", rate_or_null(down)));
        }
    }
    return classes;
}

static json_t *windows_to_json(const struct stoq_engine_budget *b)
{
    static const char *const names[STOQ_QOS_DIRS] = {"up", "down"};
    char text[STOQ_BETWEEN_TEXT_MAX];
    json_t *windows = json_array();
    for (size_t i = 0; i < b->window_count; i++) {
        const struct stoq_qos_window *w = &b->windows[i];
        json_t *o = json_pack("{s:s, s:b}", "between", stoq_between_put(text, w), "now",
                              (int)b->window_holds[i]);
        for (int dir = 0; dir < STOQ_QOS_DIRS; dir++) {
            if (w->set[dir]) {
                (void)json_object_set_new(o, names[dir], rate_or_null(w->rate_bytes_per_s[dir]));
            }
        }
        (void)json_array_append_new(windows, o);
    }
    return windows;
}

static json_t *peers_to_json(const struct stoq_engine_budget *b)
{
    char peer[STOQ_ID_TEXT_CAP];
    json_t *peers = json_array();
    for (size_t i = 0; i < b->peer_count; i++) {
        stoq_peer_id_put(peer, &b->peers[i].peer);
        (void)json_array_append_new(peers,
                                    json_pack("{s:s, s:o, s:o}", "peer", peer, "up",
                                              rate_or_null(b->peers[i].rate[STOQ_QOS_UP]), "down",
                                              rate_or_null(b->peers[i].rate[STOQ_QOS_DOWN])));
    }
    return peers;
}

static json_t *flows_to_json(const struct stoq_engine_budget *b)
{
    char peer[STOQ_ID_TEXT_CAP];
    char id[STOQ_ID_TEXT_CAP];
    json_t *flows = json_array();
    for (size_t i = 0; i < b->flow_count; i++) {
        const struct stoq_engine_flow *f = &b->flows[i];
        stoq_peer_id_put(peer, &f->view.peer);
        stoq_package_id_put(id, &f->id);
        json_t *transfer = f->fetch != 0 ? json_integer((json_int_t)f->fetch) : json_null();
        (void)json_array_append_new(
            flows,
            json_pack("{s:o, s:s, s:s, s:s, s:s, s:I, s:I, s:I}", "transfer", transfer, "id", id,
                      "peer", peer, "direction", f->view.dir == STOQ_QOS_UP ? "up" : "down",
                      "class", stoq_priority_str(f->view.priority), "requested",
                      (json_int_t)f->view.wanted, "granted", (json_int_t)f->view.granted, "rate",
                      (json_int_t)f->view.rate_bytes_per_s));
    }
    return flows;
}

static json_t *to_json(const struct stoq_engine_budget *b)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "up", rate_or_null(b->rate[STOQ_QOS_UP]),
                     "down", rate_or_null(b->rate[STOQ_QOS_DOWN]), "classes", classes_to_json(b),
                     "windows", windows_to_json(b), "peers", peers_to_json(b), "allocations",
                     flows_to_json(b));
}

struct limits {
    struct stoq_qos_whose whose;
    struct stoq_peer_id peer;
    bool set[STOQ_QOS_DIRS];
    uint64_t rate[STOQ_QOS_DIRS];
};

static enum stoq_status take_args(struct limits *l, const json_t *args, struct stoq_error *err)
{
    const char *peer = stoq_json_text(args, "peer");
    const char *class = stoq_json_text(args, "class");
    const char *between = stoq_json_text(args, "between");
    l->set[STOQ_QOS_UP] = json_object_get(args, "up") != NULL;
    l->set[STOQ_QOS_DOWN] = json_object_get(args, "down") != NULL;
    l->rate[STOQ_QOS_UP] = stoq_json_u64(args, "up", 0);
    l->rate[STOQ_QOS_DOWN] = stoq_json_u64(args, "down", 0);
    if ((peer != NULL) + (class != NULL) + (between != NULL) > 1) {
        return stoq_fail(err, STOQ_RANGE, 0, "a cap is of a peer, of a class or of a time of day");
    }
    if (peer != NULL && stoq_peer_id_get(&l->peer, stoq_span_str(peer)) != STOQ_OK) {
        return stoq_fail_code(err, STOQ_RANGE, "InvalidId", "'%.80s' is not a peer id", peer);
    }
    if (class != NULL && !stoq_priority_parse(class, &l->whose.priority)) {
        return stoq_fail(err, STOQ_RANGE, 0, "'%.40s' is not interactive, normal or background",
                         class);
    }
    l->whose.scope = peer != NULL ? STOQ_QOS_PEER : class != NULL ? STOQ_QOS_CLASS : STOQ_QOS_ALL;
    l->whose.peer = &l->peer;
    return STOQ_OK;
}

/* Neither direction set takes the window away. */
static enum stoq_status set_window(struct stoq_engine *e, const struct limits *l,
                                   const char *between, struct stoq_error *err)
{
    struct stoq_qos_window w = {0};
    if (!stoq_between_parse(between, &w)) {
        return stoq_fail(err, STOQ_RANGE, 0, "'%.40s' is not a time of day, as in 08:00-18:00",
                         between);
    }
    for (int dir = 0; dir < STOQ_QOS_DIRS; dir++) {
        w.set[dir] = l->set[dir];
        w.rate_bytes_per_s[dir] = l->rate[dir];
    }
    enum stoq_status st = stoq_engine_window(e, &w);
    return st == STOQ_OK ? st
                         : stoq_fail(err, st, 0,
                                     "the limit is not set: at most %u times of day "
                                     "have one",
                                     STOQ_QOS_WINDOWS_MAX);
}

static enum stoq_status set_limits(struct stoq_host *host, const json_t *args,
                                   struct stoq_error *err)
{
    struct limits l = {0};
    struct stoq_engine *e = stoq_host_engine(host);
    const char *between = stoq_json_text(args, "between");
    enum stoq_status st = take_args(&l, args, err);
    if (st != STOQ_OK || between != NULL) {
        return st != STOQ_OK ? st : set_window(e, &l, between, err);
    }
    st = stoq_engine_limit(e, &l.whose, l.set[STOQ_QOS_UP] ? &l.rate[STOQ_QOS_UP] : NULL,
                           l.set[STOQ_QOS_DOWN] ? &l.rate[STOQ_QOS_DOWN] : NULL);
    return st == STOQ_OK ? st
                         : stoq_fail(err, st, 0, "the limit is not set: at most %u peers have one",
                                     STOQ_QOS_PEERS_MAX);
}

enum stoq_status op_limit(struct stoq_host *host, const json_t *args, struct stoq_op_io *io,
                          json_t **result, struct stoq_error *err)
{
    enum stoq_status st = set_limits(host, args, err);
    struct stoq_engine_budget *b = st == STOQ_OK ? malloc(sizeof *b) : NULL;
    if (b == NULL) {
        return st != STOQ_OK ? st : stoq_fail(err, STOQ_NOMEM, 0, "no memory for the limits");
    }
    stoq_engine_budget(stoq_host_engine(host), b);
    *result = to_json(b);
    free(b);
    return STOQ_OK;
}
