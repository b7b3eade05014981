/*
 * One fetch at a time follows the reader. When the reader comes to a chunk that the store lacks, a fetch
 * of the part from there to the end of what is expected begins; from then on the reader's position pulls
 * that fetch along, a window ahead that starts small, since most readers want little, and doubles each
 * time the reader has used half of it. A chunk that is damaged here is brought like one that is missing.
 *
 * Nobody is asked anything while the reader finds what it needs in the store.
 */
#include "daemon/live.h"

#include <stdlib.h>

#include "daemon/host.h"
#include "os/sys.h"

#define AHEAD_FIRST ((uint64_t)1 << 20)
#define AHEAD_MAX ((uint64_t)64 << 20)
#define LOCK_WAIT (10 * STOQ_SEC)

struct stoq_live {
    struct stoq_host *host;
    struct stoq_fetch_ask ask;
    struct stoq_fetch_report own; /* of parts */
    struct stoq_fetch *fetch;     /* under way; NULL: none */
    bool is_all;
    bool is_adding; /* holds the right to add content */
    bool is_dirty;  /* something came that is not synced */
    stoq_ns limit;  /* for all of it; STOQ_NEVER: none */
    uint64_t end;   /* what is read next ends here */
    uint64_t until; /* how far the fetch may go */
    uint64_t ahead;
    uint64_t looked_at; /* the byte of the last chunk that was said to be here without waiting */
};

enum stoq_status stoq_live_new(struct stoq_live **out, struct stoq_host *host,
                               const struct stoq_fetch_ask *ask, struct stoq_error *err)
{
    struct stoq_live *l = calloc(1, sizeof *l);
    if (l == NULL) {
        return stoq_fail(err, STOQ_NOMEM, 0, "no memory to read from peers");
    }
    l->host = host;
    l->ask = *ask;
    l->limit = ask->timeout_ns == 0 ? STOQ_NEVER : stoq_now() + ask->timeout_ns;
    l->end = UINT64_MAX;
    l->ahead = AHEAD_FIRST;
    l->looked_at = UINT64_MAX;
    *out = l;
    return STOQ_OK;
}

/* End the fetch under way; how it went matters to nobody. */
static void leave(struct stoq_live *l)
{
    struct stoq_error ignored;
    if (l->fetch != NULL) {
        (void)stoq_fetch_end(l->fetch, true, &ignored);
        l->fetch = NULL;
    }
}

void stoq_live_free(struct stoq_live *l)
{
    struct stoq_error ignored;
    if (l == NULL) {
        return;
    }
    leave(l);
    if (l->is_dirty && stoq_store_sync(stoq_host_store(l->host), &ignored) != STOQ_OK) {
        /* Nothing was promised: what is not durable is fetched again. */
        stoq_host_log(l->host, STOQ_LOG_INFO, "sync after reading: %s", ignored.text);
    }
    if (l->is_adding) {
        stoq_host_content_end(l->host, false);
    }
    free(l);
}

static enum stoq_status begin(struct stoq_live *l, struct stoq_fetch_report *report,
                              struct stoq_error *err)
{
    enum stoq_status st = stoq_host_start(l->host, err);
    stoq_ns now = stoq_now();
    if (l->limit != STOQ_NEVER) {
        l->ask.timeout_ns = l->limit > now ? l->limit - now : 1;
    }
    if (st == STOQ_OK && !l->is_adding) {
        st = stoq_host_content_begin(l->host, false, LOCK_WAIT, l->ask.cancelled, l->ask.user, err);
        l->is_adding = st == STOQ_OK;
    }
    if (st == STOQ_OK) {
        l->is_dirty = true;
        st = stoq_fetch_begin(stoq_host_engine(l->host), &l->ask, report, &l->fetch, err);
    }
    return st;
}

static enum stoq_status begin_part(struct stoq_live *l, uint64_t first, struct stoq_error *err)
{
    leave(l);
    l->ask.is_part = true;
    l->ask.first = first;
    l->ask.end = l->end;
    l->until = first + l->ahead;
    l->ask.until = l->until;
    return begin(l, &l->own, err);
}

/* The reader is there: keep the fetch a window ahead of it. */
static void pull(struct stoq_live *l, uint64_t offset)
{
    if (l->fetch != NULL && offset + l->ahead / 2 > l->until) {
        l->ahead = l->ahead < AHEAD_MAX ? l->ahead * 2 : AHEAD_MAX;
        l->until = offset + l->ahead;
        stoq_fetch_want(l->fetch, l->until);
    }
}

static enum stoq_status bring(void *user, uint64_t offset, bool is_missing, struct stoq_error *err)
{
    struct stoq_live *l = user;
    enum stoq_status st = STOQ_OK;
    pull(l, offset);
    if (!is_missing) {
        return STOQ_OK;
    }
    bool covered =
        l->fetch != NULL && (l->is_all || (offset >= l->ask.first && offset < l->ask.end));
    bool is_ready = covered && stoq_fetch_ready(l->fetch) > offset;
    if (is_ready && l->looked_at != offset) {
        l->looked_at = offset; /* it came since the reader looked */
        return STOQ_OK;
    }
    covered = covered && !is_ready;
    if (!covered && l->is_all) {
        /* It was here when the fetch looked and is not any more: that fetch cannot end well. */
        return stoq_fail_code(err, STOQ_PROOF, "IntegrityCheckFailed",
                              "a chunk that was here has become damaged: get it again");
    }
    if (!covered) {
        st = begin_part(l, offset, err);
    }
    if (st == STOQ_OK) {
        st = stoq_fetch_wait(l->fetch, offset, l->until, err);
    }
    /* A reader that paused for long has lost its connections, some times: begin anew where it is. */
    if (st == STOQ_NET && covered && !l->is_all && offset > l->ask.first) {
        st = begin_part(l, offset, err);
        if (st == STOQ_OK) {
            st = stoq_fetch_wait(l->fetch, offset, l->until, err);
        }
    }
    return st;
}

enum stoq_status stoq_live_open(struct stoq_live *l, struct stoq_held **out, struct stoq_error *err)
{
    struct stoq_store *store = stoq_host_store(l->host);
    enum stoq_status st = stoq_held_open(out, store, &l->ask.id, err);
    if (st == STOQ_NOTFOUND || st == STOQ_PROOF) {
        l->end = 0;
        st = begin_part(l, 0, err);
        if (st == STOQ_OK) {
            st = stoq_fetch_end(l->fetch, false, err);
            l->fetch = NULL;
        }
        if (st == STOQ_OK) {
            st = stoq_held_open(out, store, &l->ask.id, err);
        }
    }
    if (st == STOQ_OK) {
        l->end = stoq_held_manifest(*out)->bytes;
        stoq_stream_set_bring(stoq_held_stream(*out), bring, l);
    }
    return st;
}

void stoq_live_expect(struct stoq_live *l, uint64_t end)
{
    if (end != l->end) {
        l->end = end;
        l->ahead = AHEAD_FIRST;
    }
}

enum stoq_status stoq_live_begin_all(struct stoq_live *l, struct stoq_fetch_report *report,
                                     struct stoq_error *err)
{
    leave(l);
    l->is_all = true;
    l->ask.is_part = false;
    l->until = l->ahead;
    l->ask.until = l->until;
    return begin(l, report, err);
}

enum stoq_status stoq_live_finish(struct stoq_live *l, struct stoq_error *err)
{
    enum stoq_status st = stoq_fetch_end(l->fetch, false, err);
    l->fetch = NULL;
    l->is_dirty = l->is_dirty && st != STOQ_OK;
    return st;
}
