/*
 * Peers that are remembered. The table is the network thread's; its file is read before that thread
 * starts, written by a worker while it runs, at most once a minute, and once more when it has ended. What
 * a crash takes is learned again.
 */
#include "daemon/engine_internal.h"

#include "os/file.h"
#include "os/sys.h"

#include <stdlib.h>
#include <string.h>

static void forget_old(struct stoq_engine *e)
{
    uint64_t now_s = stoq_wall_seconds();
    (void)stoq_known_forget(e->known, now_s > STOQ_KNOWN_AGE_S ? now_s - STOQ_KNOWN_AGE_S : 0);
}

static enum stoq_status read_file(struct stoq_engine *e)
{
    struct stoq_buf bytes;
    struct stoq_error err = {0};
    stoq_buf_init(&bytes, STOQ_KNOWN_BYTES_MAX);
    enum stoq_status st = stoq_file_read(e->cfg.known_file, STOQ_KNOWN_BYTES_MAX, &bytes, &err);
    if (st == STOQ_OK) {
        st = stoq_known_decode(e->known, stoq_buf_span(&bytes));
        if (st != STOQ_OK) {
            engine_log(e, "%.300s: %s; %zu peers remembered of it", e->cfg.known_file,
                       stoq_status_str(st), stoq_known_count(e->known));
        }
        forget_old(e);
    } else if (st != STOQ_NOTFOUND) {
        engine_log(e, "%s", err.text);
    }
    stoq_buf_release(&bytes);
    return st == STOQ_NOMEM ? st : STOQ_OK;
}

enum stoq_status engine_known_open(struct stoq_engine *e, uint64_t seed, struct stoq_error *err)
{
    enum stoq_status st = stoq_known_new(&e->known, seed);
    if (st == STOQ_OK && e->cfg.known_file != NULL) {
        st = read_file(e);
    }
    return st == STOQ_OK ? st : stoq_fail(err, st, 0, "no memory for the peers remembered");
}

static enum stoq_status encode(const struct stoq_engine *e, struct stoq_buf *bytes)
{
    stoq_buf_init(bytes, STOQ_KNOWN_BYTES_MAX);
    return stoq_known_encode(e->known, bytes);
}

/* What may not be written is not due: a deadline that has passed and that nobody meets spins the loop. */
stoq_ns engine_known_deadline(const struct stoq_engine *e)
{
    bool may = e->known_changed && !e->known_saving && e->cfg.known_file != NULL && !e->draining;
    return may ? e->known_save_at : STOQ_NEVER;
}

void engine_known_save(struct stoq_engine *e, stoq_ns now)
{
    struct stoq_buf bytes;
    if (now < engine_known_deadline(e)) {
        return;
    }
    e->known_save_at = now + ENGINE_KNOWN_SAVE;
    forget_old(e);
    if (encode(e, &bytes) != STOQ_OK) {
        stoq_buf_release(&bytes); /* later, then */
    } else if (engine_save(e, e->cfg.known_file, &bytes, &e->known_saving)) {
        e->known_changed = false;
    }
}

void engine_known_close(struct stoq_engine *e)
{
    struct stoq_buf bytes;
    if (e->known != NULL && e->known_changed && e->cfg.known_file != NULL) {
        if (encode(e, &bytes) == STOQ_OK) {
            engine_save_now(e, e->cfg.known_file, &bytes);
        } else {
            stoq_buf_release(&bytes);
        }
    }
    stoq_known_free(e->known);
    e->known = NULL;
}

void engine_known_seen(struct stoq_engine *e, const struct stoq_peer_id *id, stoq_ns min_rtt_ns)
{
    stoq_ns us = (min_rtt_ns + 999) / 1000;
    struct stoq_known_peer p = {.id = *id,
                                .seen_s = stoq_wall_seconds(),
                                .min_rtt_us = us < UINT32_MAX ? (uint32_t)us : UINT32_MAX};
    if (stoq_known_note(e->known, &p) == STOQ_OK) {
        e->known_changed = true;
    }
}

void engine_known_at(struct stoq_engine *e, const struct stoq_peer_id *id,
                     const struct stoq_addr *addr)
{
    struct stoq_known_peer p = {.id = *id, .seen_s = stoq_wall_seconds()};
    const struct stoq_known_peer *before = stoq_known_find(e->known, id);
    if (stoq_addr_is_link_local(addr)) {
        return; /* without its link it says nothing */
    }
    p.has_addr = true;
    stoq_addr_put(addr, p.addr);
    if (before != NULL && before->has_addr && memcmp(before->addr, p.addr, sizeof p.addr) == 0) {
        return;
    }
    if (stoq_known_note(e->known, &p) == STOQ_OK) {
        e->known_changed = true;
    }
}

size_t engine_known_sources(const struct stoq_engine *e, struct stoq_fetch_source *out, size_t max)
{
    struct stoq_known_peer recent[ENGINE_KNOWN_SOURCES_MAX];
    size_t n =
        stoq_known_recent(e->known, recent, max < STOQ_COUNT(recent) ? max : STOQ_COUNT(recent));
    for (size_t i = 0; i < n; i++) {
        out[i] =
            (struct stoq_fetch_source){.peer = recent[i].id, .addr = stoq_addr_get(recent[i].addr)};
    }
    return n;
}

stoq_ns engine_known_rtt(const struct stoq_engine *e, const struct stoq_peer_id *id)
{
    const struct stoq_known_peer *p = stoq_known_find(e->known, id);
    return p == NULL ? 0 : (stoq_ns)p->min_rtt_us * 1000;
}

struct snapshot {
    struct stoq_known_peer *list;
    size_t count;
};

static void take_remembered(struct stoq_engine *e, void *arg)
{
    struct snapshot *s = arg;
    s->count = stoq_known_count(e->known);
    s->list = calloc(s->count + 1, sizeof *s->list);
    for (size_t i = 0; s->list != NULL && i < s->count; i++) {
        s->list[i] = *stoq_known_at(e->known, i);
    }
}

enum stoq_status stoq_engine_remembered(struct stoq_engine *e,
                                        void (*fn)(void *user, const struct stoq_known_peer *peer),
                                        void *user)
{
    struct snapshot s = {0};
    engine_call(e, take_remembered, &s);
    if (s.list == NULL) {
        return STOQ_NOMEM;
    }
    for (size_t i = 0; i < s.count; i++) {
        fn(user, &s.list[i]);
    }
    free(s.list);
    return STOQ_OK;
}
