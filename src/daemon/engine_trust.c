/*
 * Reputation over restarts. The node decides; its records are read before the network thread starts,
 * written by a worker soon after they changed, and once more at the end. The clock of the node does not
 * outlive the process, so the file says when it was written and the records decay by the time since.
 */
#include "daemon/engine_internal.h"

#include "daemon/trust_file.h"
#include "os/file.h"
#include "os/sys.h"

#include <stdio.h>

#define SAVE_EVERY (5 * STOQ_SEC)
#define PASSED_MAX_S ((uint64_t)366 * 86400)

static void take_records(struct stoq_engine *e, struct stoq_span bytes)
{
    struct stoq_trust_file file;
    struct stoq_trust_record r;
    enum stoq_status st = stoq_trust_file_open(&file, bytes);
    uint64_t now_s = stoq_wall_seconds();
    uint64_t passed_s = st == STOQ_OK && now_s > file.written_s ? now_s - file.written_s : 0;
    passed_s = passed_s < PASSED_MAX_S ? passed_s : PASSED_MAX_S;
    while (st == STOQ_OK) {
        st = stoq_trust_file_next(&file, &r);
        struct stoq_node_event ev = {.kind = STOQ_NODE_TRUST,
                                     .u.trust = {.record = &r, .passed_ns = passed_s * STOQ_SEC}};
        if (st == STOQ_OK) {
            (void)engine_feed(e, &ev);
        }
    }
    if (st != STOQ_NOTFOUND) {
        engine_log(e, "%.300s: %s; the rest of it is forgotten", e->cfg.trust_file,
                   stoq_status_str(st));
    }
}

void engine_trust_open(struct stoq_engine *e)
{
    struct stoq_buf bytes;
    struct stoq_error err = {0};
    if (e->cfg.trust_file == NULL) {
        return;
    }
    stoq_buf_init(&bytes, STOQ_TRUST_FILE_BYTES_MAX);
    enum stoq_status st =
        stoq_file_read(e->cfg.trust_file, STOQ_TRUST_FILE_BYTES_MAX, &bytes, &err);
    if (st == STOQ_OK) {
        take_records(e, stoq_buf_span(&bytes));
    } else if (st != STOQ_NOTFOUND) {
        engine_log(e, "%s", err.text);
    }
    stoq_buf_release(&bytes);
    e->trust_saved = stoq_trust_changes(stoq_node_trust(e->node));
}

static enum stoq_status encode(const struct stoq_engine *e, struct stoq_buf *bytes)
{
    stoq_buf_init(bytes, STOQ_TRUST_FILE_BYTES_MAX);
    return stoq_trust_file_encode(stoq_node_trust(e->node), stoq_now(), stoq_wall_seconds(), bytes);
}

void engine_trust_save(struct stoq_engine *e, stoq_ns now)
{
    struct stoq_buf bytes;
    uint64_t changes = stoq_trust_changes(stoq_node_trust(e->node));
    if (changes == e->trust_saved || e->trust_saving || e->cfg.trust_file == NULL || e->draining ||
        now < e->trust_save_at) {
        return;
    }
    e->trust_save_at = now + SAVE_EVERY;
    if (encode(e, &bytes) != STOQ_OK) {
        stoq_buf_release(&bytes); /* later, then */
    } else if (engine_save(e, e->cfg.trust_file, &bytes, &e->trust_saving)) {
        e->trust_saved = changes;
    }
}

void engine_trust_close(struct stoq_engine *e)
{
    struct stoq_buf bytes;
    if (e->node == NULL || e->cfg.trust_file == NULL ||
        stoq_trust_changes(stoq_node_trust(e->node)) == e->trust_saved) {
        return;
    }
    if (encode(e, &bytes) == STOQ_OK) {
        engine_save_now(e, e->cfg.trust_file, &bytes);
    } else {
        stoq_buf_release(&bytes);
    }
}

void engine_trust_check(struct stoq_engine *e, struct peer *p)
{
    struct stoq_node_standing s;
    struct stoq_node_event ev = {.kind = STOQ_NODE_PEER,
                                 .u.peer = {.peer = p->number, .id = &p->id}};
    (void)engine_feed(e, &ev);
    stoq_node_standing(e->node, &p->id, stoq_now(), &s);
    if (s.is_cut && s.record.quarantine_ns > 0) {
        (void)snprintf(p->why, sizeof p->why,
                       "cut off for another %llu min: bytes it sent did not have their hash",
                       (unsigned long long)(s.record.quarantine_ns / (60 * STOQ_SEC) + 1));
    } else if (s.is_cut) {
        (void)snprintf(p->why, sizeof p->why, "cut off: it broke the protocol too often");
    }
}

struct trust_call {
    const struct stoq_peer_id *peer;
    struct stoq_node_standing *out;
};

static void take_standing(struct stoq_engine *e, void *arg)
{
    struct trust_call *c = arg;
    stoq_node_standing(e->node, c->peer, stoq_now(), c->out);
}

void stoq_engine_trust(struct stoq_engine *e, const struct stoq_peer_id *peer,
                       struct stoq_node_standing *out)
{
    engine_call(e, take_standing, &(struct trust_call){peer, out});
}

static void forgive(struct stoq_engine *e, void *arg)
{
    struct stoq_trust_record nothing = {.peer = *(const struct stoq_peer_id *)arg};
    struct stoq_node_event ev = {.kind = STOQ_NODE_TRUST, .u.trust = {.record = &nothing}};
    (void)engine_feed(e, &ev);
}

void stoq_engine_forgive(struct stoq_engine *e, const struct stoq_peer_id *peer)
{
    struct stoq_peer_id id = *peer;
    engine_call(e, forgive, &id);
}
