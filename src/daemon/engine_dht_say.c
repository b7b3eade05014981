/*
 * What records of ours say besides where we are: release pointers, sealed. They are kept here by key, since a
 * record is signed anew again and again by the network thread, which reads no store.
 */
#include "daemon/engine_dht_internal.h"

#include <stdlib.h>

static struct stoq_map_key map_key(const struct stoq_hash *key)
{
    return (struct stoq_map_key){stoq_le64(key->b), stoq_le64(key->b + 8)};
}

struct stoq_span dht_said(void *user, const struct stoq_hash *key)
{
    const struct engine_dht *ed = user;
    const struct said *s = stoq_map_get(&ed->said, map_key(key));
    return s == NULL ? stoq_span(NULL, 0) : stoq_span(s->bytes, s->n);
}

void dht_said_release(struct engine_dht *ed)
{
    struct said *s;
    size_t at = 0;
    while ((s = stoq_map_next(&ed->said, &at)) != NULL) {
        free(s);
    }
    stoq_map_release(&ed->said);
}

struct saying {
    struct stoq_hash key;
    struct stoq_span value;
    enum stoq_status status;
};

static enum stoq_status put(struct engine_dht *ed, const struct saying *w)
{
    struct said *old = stoq_map_get(&ed->said, map_key(&w->key));
    if (old == NULL && ed->said.count >= DHT_SAID_MAX) {
        return STOQ_FULL;
    }
    struct said *s = malloc(sizeof *s + w->value.n);
    if (s == NULL || stoq_map_put(&ed->said, map_key(&w->key), s) != STOQ_OK) {
        free(s);
        return STOQ_NOMEM;
    }
    free(old);
    s->n = (uint32_t)w->value.n;
    memcpy(s->bytes, w->value.p, w->value.n);
    return STOQ_OK;
}

static void run_say(struct stoq_engine *e, void *arg)
{
    struct saying *w = arg;
    struct engine_dht *ed = e->dht;
    if (ed == NULL || e->draining) {
        return;
    }
    if (w->value.n == 0) {
        free(stoq_map_remove(&ed->said, map_key(&w->key)));
        dht_withdraw(ed, &w->key);
        return;
    }
    struct stoq_span had = dht_said(ed, &w->key);
    bool same = stoq_span_eq(had, w->value);
    w->status = same ? STOQ_OK : put(ed, w);
    if (w->status == STOQ_OK && had.n > 0 && !same && ed->nd != NULL) {
        dht_announce(ed, &w->key, true); /* the record that is out says something else */
    } else if (w->status == STOQ_OK) {
        dht_announce_early(ed, &w->key);
    }
}

enum stoq_status stoq_engine_dht_say(struct stoq_engine *e, const struct stoq_hash *key,
                                     struct stoq_span value)
{
    struct saying w = {.key = *key, .value = value};
    engine_call(e, run_say, &w);
    return w.status;
}
