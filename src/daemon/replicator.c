/*
 * One entry per offer, known by its peer, package, first shard and nonce:
 *
 *      WAITING -> AT_WORK -> KEPT, with its receipt     an offer repeated sends the receipt again
 *                        \-> FAILED, with an error      an offer repeated is answered with that
 *
 * The engine asks on its own thread whether an offer is taken; everything else happens on threads of
 * ours. What is over stays for REMEMBERED, or until its place is needed. How much room the disk has is
 * looked up on our threads too, since a disk may take its time: at the start, after every offer, and when
 * an offer finds the figure older than DISK_FRESH. It is judged by the figure there is; what is promised is
 * counted apart, and who was told yes by an old one is told when the disk is full.
 */
#include "daemon/replicator.h"

#include "daemon/held.h"
#include "daemon/host.h"
#include "daemon/keep.h"
#include "daemon/local.h"
#include "daemon/reread.h"
#include "daemon/scrubber.h"
#include "daemon/verify.h"
#include "os/sys.h"
#include "replica/accept.h"
#include "sign/object.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

/* At most; most of the time they wait, for the network or for a sync that they share. */
#define THREADS 32u
#define TABLE_MAX (2 * STOQ_REPLICA_OFFERS_MAX) /* those taken, and as many that are over */
#define REMEMBERED (600 * STOQ_SEC)
#define RECEIPT_BYTES_MAX ((size_t)STOQ_SIGNED_BODY_MAX + STOQ_SIGNED_SIGNATURE_MAX + 16)
#define DISK_FRESH (10 * STOQ_SEC)
#define LOCK_WAIT (60 * STOQ_SEC)                /* for a removal that is running */
#define KEEP_SECONDS_MAX ((uint64_t)366 * 86400) /* that is promised at most */

enum entry_state {
    ENTRY_WAITING,
    ENTRY_AT_WORK,
    ENTRY_KEPT,
    ENTRY_FAILED,
};

struct entry {
    struct entry *next;
    struct stoq_offer offer;
    enum entry_state state;
    bool send;        /* KEPT: the receipt is to be sent once more */
    stoq_ns ended_at; /* KEPT, FAILED */
    uint64_t code;    /* FAILED */
    struct stoq_error why;
    struct stoq_buf receipt; /* KEPT: [body, signature] */
};

struct stoq_replicator {
    struct stoq_host *host;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t changed;
    struct entry *first; /* in the order of the offers */
    struct entry **last;
    size_t count;
    uint64_t promised_bytes; /* of those waiting and at work */
    uint64_t disk_bytes;     /* free, disk_at; UINT64_MAX: not known */
    stoq_ns disk_at;
    bool disk_wanted; /* a thread is to look */
    struct stoq_replicator_status status;
    atomic_bool stopping;
    bool started;
    pthread_t thread[THREADS]; /* as many as were needed at a time */
    size_t thread_count;
    size_t idle;
};

enum stoq_status stoq_replicator_new(struct stoq_replicator **out, struct stoq_host *host)
{
    struct stoq_replicator *r = calloc(1, sizeof *r);
    if (r == NULL) {
        return STOQ_NOMEM;
    }
    r->host = host;
    r->last = &r->first;
    r->disk_bytes = UINT64_MAX;
    (void)pthread_mutex_init(&r->lock, NULL);
    (void)pthread_cond_init(&r->changed, NULL);
    *out = r;
    return STOQ_OK;
}

void stoq_replicator_stop(struct stoq_replicator *r)
{
    if (r == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&r->lock);
    atomic_store(&r->stopping, true);
    (void)pthread_cond_broadcast(&r->changed);
    (void)pthread_mutex_unlock(&r->lock);
    for (size_t i = 0; i < r->thread_count; i++) {
        (void)pthread_join(r->thread[i], NULL);
    }
    r->thread_count = 0;
}

static void entry_free(struct entry *e)
{
    stoq_buf_release(&e->receipt);
    free(e);
}

void stoq_replicator_free(struct stoq_replicator *r)
{
    if (r == NULL) {
        return;
    }
    stoq_replicator_stop(r);
    while (r->first != NULL) {
        struct entry *e = r->first;
        r->first = e->next;
        entry_free(e);
    }
    (void)pthread_cond_destroy(&r->changed);
    (void)pthread_mutex_destroy(&r->lock);
    free(r);
}

void stoq_replicator_status(struct stoq_replicator *r, struct stoq_replicator_status *out)
{
    (void)pthread_mutex_lock(&r->lock);
    *out = r->status;
    (void)pthread_mutex_unlock(&r->lock);
}

static bool is_over(const struct entry *e)
{
    return e->state == ENTRY_KEPT || e->state == ENTRY_FAILED;
}

/* Forget what was over long ago; and one more where there is no room. lock held. */
static void forget(struct stoq_replicator *r, stoq_ns now)
{
    struct entry **at = &r->first;
    while (*at != NULL) {
        struct entry *e = *at;
        bool idle = is_over(e) && !e->send;
        if (idle && (r->count >= TABLE_MAX || now - e->ended_at > REMEMBERED)) {
            *at = e->next;
            r->count--;
            entry_free(e);
        } else {
            at = &e->next;
        }
    }
    r->last = at;
}

static struct entry *find(struct stoq_replicator *r, const struct stoq_offer *o)
{
    struct entry *e = r->first;
    while (e != NULL &&
           (memcmp(e->offer.nonce, o->nonce, sizeof o->nonce) != 0 ||
            !stoq_hash_eq(&e->offer.peer.h, &o->peer.h) ||
            !stoq_hash_eq(&e->offer.id.h, &o->id.h) || e->offer.first_shard != o->first_shard)) {
        e = e->next;
    }
    return e;
}

static bool names(const struct stoq_fetch_source *list, size_t n, const struct stoq_peer_id *peer)
{
    for (size_t i = 0; i < n; i++) {
        if (stoq_hash_eq(&list[i].peer.h, &peer->h)) {
            return true;
        }
    }
    return false;
}

/* What the configuration says of this peer. */
static void look_at_policy(struct stoq_host *host, struct stoq_replica_offer *o,
                           const struct stoq_peer_id *peer)
{
    struct stoq_config *c = malloc(sizeof *c);
    o->policy = STOQ_REPLICA_ACCEPT_NONE;
    if (c != NULL) {
        stoq_host_config(host, c);
        o->policy = c->accept;
        o->is_known =
            names(c->peers, c->peer_count, peer) || names(c->bootstrap, c->bootstrap_count, peer);
    }
    free(c);
}

static void look_at_room(struct stoq_host *host, struct stoq_replica_offer *o)
{
    struct stoq_store_room room;
    stoq_store_room(stoq_host_store(host), &room);
    o->free_bytes_quota = UINT64_MAX;
    if (room.quota_bytes > 0) {
        o->free_bytes_quota =
            room.content_bytes_max > room.used_bytes ? room.content_bytes_max - room.used_bytes : 0;
    }
}

/* Not on the engine's thread. lock held; released and taken again. */
static void look_at_disk(struct stoq_replicator *r)
{
    struct statvfs fs;
    r->disk_wanted = false;
    (void)pthread_mutex_unlock(&r->lock);
    bool known = statvfs(stoq_host_home(r->host)->store_dir, &fs) == 0;
    (void)pthread_mutex_lock(&r->lock);
    r->disk_bytes = known ? (uint64_t)fs.f_bavail * fs.f_frsize : UINT64_MAX;
    r->disk_at = stoq_now();
}

/* lock held. */
static void count_taken(const struct stoq_replicator *r, struct stoq_replica_offer *o,
                        const struct stoq_peer_id *peer)
{
    o->free_bytes_disk = r->disk_bytes;
    o->promised_bytes = r->promised_bytes;
    o->taken = (uint32_t)(r->status.waiting + r->status.at_work);
    for (const struct entry *e = r->first; e != NULL; e = e->next) {
        o->taken_peer += !is_over(e) && stoq_hash_eq(&e->offer.peer.h, &peer->h);
    }
}

static uint64_t code_of(enum stoq_replica_verdict v)
{
    static const uint64_t code[] = {
        [STOQ_REPLICA_TAKE] = 0,
        [STOQ_REPLICA_BY_POLICY] = STOQ_ERR_REFUSED,
        [STOQ_REPLICA_NO_QUOTA] = STOQ_ERR_QUOTA_REACHED,
        [STOQ_REPLICA_NO_DISK] = STOQ_ERR_DISK_FULL,
        [STOQ_REPLICA_TOO_MANY] = STOQ_ERR_BUSY,
    };
    return code[v];
}

static void *replicator_thread(void *user);

/* Let a thread look, a new one where fewer are idle than are needed. False: there is none. lock held. */
static bool wake_one(struct stoq_replicator *r)
{
    bool enough = r->idle > 0 && r->idle >= r->status.waiting;
    if (!enough && r->started && !atomic_load(&r->stopping) && r->thread_count < THREADS &&
        pthread_create(&r->thread[r->thread_count], NULL, replicator_thread, r) == 0) {
        r->thread_count++;
    }
    (void)pthread_cond_signal(&r->changed);
    return r->thread_count > 0 || !r->started;
}

/* lock held. */
static void begin_waiting(struct stoq_replicator *r, struct entry *e)
{
    e->state = ENTRY_WAITING;
    r->status.waiting++;
    r->promised_bytes += e->offer.bytes;
}

/* An offer that is known: how it stands. lock held. */
static uint64_t again(struct stoq_replicator *r, struct entry *e, struct stoq_error *why)
{
    if (e->state == ENTRY_FAILED && e->code == STOQ_ERR_BUSY) {
        begin_waiting(r, e); /* its source was lost, or a removal ran: tried anew */
        return wake_one(r) ? 0 : STOQ_ERR_BUSY;
    }
    if (e->state == ENTRY_FAILED) {
        *why = e->why;
        return e->code;
    }
    e->send = e->state == ENTRY_KEPT;
    bool at_work = e->state == ENTRY_AT_WORK;
    return at_work || wake_one(r) ? 0 : STOQ_ERR_BUSY;
}

/* lock held. */
static uint64_t take(struct stoq_replicator *r, const struct stoq_offer *offer)
{
    struct entry *e = calloc(1, sizeof *e);
    if (e == NULL) {
        return STOQ_ERR_BUSY;
    }
    e->offer = *offer;
    stoq_buf_init(&e->receipt, RECEIPT_BYTES_MAX);
    *r->last = e;
    r->last = &e->next;
    r->count++;
    begin_waiting(r, e);
    return wake_one(r) ? 0 : STOQ_ERR_BUSY;
}

uint64_t stoq_replicator_offered(void *user, const struct stoq_offer *offer, struct stoq_error *why)
{
    struct stoq_replicator *r = user;
    struct stoq_replica_offer o = {.bytes = offer->bytes};
    look_at_policy(r->host, &o, &offer->peer);
    look_at_room(r->host, &o);
    (void)pthread_mutex_lock(&r->lock);
    if (stoq_now() - r->disk_at > DISK_FRESH) {
        r->disk_wanted = true;
        (void)wake_one(r); /* without a thread it stays as it is */
    }
    forget(r, stoq_now());
    struct entry *e = find(r, offer);
    uint64_t code = STOQ_ERR_BUSY;
    if (e != NULL) {
        code = again(r, e, why);
    } else if (!atomic_load(&r->stopping) && r->count < TABLE_MAX) {
        count_taken(r, &o, &offer->peer);
        enum stoq_replica_verdict v = stoq_replica_judge(&o);
        if (v == STOQ_REPLICA_NO_QUOTA || v == STOQ_REPLICA_NO_DISK) {
            o.is_here = stoq_local_has(stoq_host_store(r->host), &offer->id);
            v = stoq_replica_judge(&o);
        }
        code = v == STOQ_REPLICA_TAKE ? take(r, offer) : code_of(v);
        (void)stoq_fail(why, STOQ_BUSY, 0, "%s", stoq_replica_verdict_str(v));
        r->status.refused += code != 0;
    }
    (void)pthread_mutex_unlock(&r->lock);
    return code;
}

/* One offer at work. */
struct work {
    struct stoq_replicator *r;
    struct stoq_host *host;
    struct stoq_offer offer;
    struct stoq_fetch_source source;
    struct stoq_fetch_report report;
    uint64_t bytes; /* of the shards in question */
    uint64_t keep_until_s;
};

static bool is_stopping(void *user)
{
    const struct work *w = user;
    return atomic_load(&w->r->stopping);
}

/* Bytes first .. end - 1 of the package, or all of it. */
static enum stoq_status pull(struct work *w, bool is_part, uint64_t first, uint64_t end,
                             struct stoq_error *err)
{
    struct stoq_fetch_ask ask = {.id = w->offer.id,
                                 .sources = &w->source,
                                 .source_count = 1,
                                 .is_part = is_part,
                                 .first = first,
                                 .end = end,
                                 .passing = true, /* it is read again from the disk */
                                 .cancelled = is_stopping,
                                 .user = w};
    return stoq_engine_fetch(stoq_host_engine(w->host), &ask, &w->report, err);
}

/* What the offer names must be in the package, and have the bytes that room was judged for. */
static enum stoq_status find_span(struct work *w, struct stoq_reread_span *span,
                                  struct stoq_error *err)
{
    struct stoq_held *held = NULL;
    enum stoq_status st = stoq_held_open(&held, stoq_host_store(w->host), &w->offer.id, err);
    if (st == STOQ_OK) {
        st = stoq_reread_span(held, w->offer.first_shard, w->offer.shard_count, span, err);
    }
    stoq_held_close(held);
    if (st == STOQ_OK && span->end - span->first != w->offer.bytes) {
        st = stoq_fail(err, STOQ_RANGE, 0, "%llu bytes were offered, it has %llu",
                       (unsigned long long)w->offer.bytes,
                       (unsigned long long)(span->end - span->first));
    }
    return st;
}

static enum stoq_status bring(struct work *w, struct stoq_reread_span *span, struct stoq_error *err)
{
    bool whole = stoq_local_has(stoq_host_store(w->host), &w->offer.id);
    enum stoq_status st = whole ? STOQ_OK : pull(w, true, 0, 0, err);
    if (st == STOQ_OK) {
        st = find_span(w, span, err);
    }
    if (st == STOQ_OK && !whole) {
        /* The last shards complete the package, which is recorded then. */
        st = pull(w, !span->is_last, span->first, span->end, err);
    }
    if (st == STOQ_OK && span->is_last) {
        const struct stoq_verify_ask ask = {.id = w->offer.id, .cancelled = is_stopping, .user = w};
        st = stoq_verify_secondary(stoq_host_store(w->host), &ask, err);
    } else if (st == STOQ_OK) {
        st = stoq_store_sync(stoq_host_store(w->host), err);
    }
    if (st == STOQ_OK) {
        stoq_scrubber_remember(stoq_host_scrubber(w->host), &w->offer.id, &w->source, 1);
    }
    return st;
}

/* A lease until then, where one is wanted and the package is whole; an older one that is longer stays. */
static enum stoq_status promise(struct work *w, bool is_whole, struct stoq_error *err)
{
    uint64_t now = stoq_wall_seconds();
    struct stoq_keep k = {.type = STOQ_RECORD_LEASE,
                          .subject = stoq_subject_of_package(&w->offer.id),
                          .since = now,
                          .expires_at = w->offer.keep_until_s};
    struct stoq_keep old;
    if (w->offer.keep_until_s <= now || !is_whole) {
        return STOQ_OK;
    }
    if (k.expires_at > now + KEEP_SECONDS_MAX) {
        k.expires_at = now + KEEP_SECONDS_MAX;
    }
    enum stoq_status st = STOQ_OK;
    pthread_mutex_lock(stoq_host_record_lock(w->host));
    if (stoq_keep_get(stoq_host_store(w->host), k.type, stoq_keep_key(&k), &old, NULL) != STOQ_OK ||
        old.expires_at < k.expires_at) {
        st = stoq_keep_put(stoq_host_store(w->host), &k, err);
    }
    pthread_mutex_unlock(stoq_host_record_lock(w->host));
    w->keep_until_s = st == STOQ_OK ? k.expires_at : 0;
    return st;
}

static enum stoq_status sign(const struct work *w, struct stoq_buf *out, struct stoq_error *err)
{
    const struct stoq_key *key = stoq_host_key(w->host);
    struct stoq_receipt receipt = {.id = w->offer.id,
                                   .spki = stoq_key_spki(key),
                                   .first_shard = w->offer.first_shard,
                                   .shard_count = w->offer.shard_count,
                                   .bytes = w->bytes,
                                   .verified_at_s = stoq_wall_seconds(),
                                   .keep_until_s = w->keep_until_s};
    struct stoq_buf body;
    memcpy(receipt.nonce, w->offer.nonce, sizeof receipt.nonce);
    stoq_buf_init(&body, STOQ_SIGNED_BODY_MAX);
    enum stoq_status st = stoq_receipt_encode(&receipt, &body);
    if (st == STOQ_OK) {
        st = stoq_object_sign(key, STOQ_SIGN_RECEIPT, stoq_buf_span(&body), out);
    }
    stoq_buf_release(&body);
    return st == STOQ_OK ? st : stoq_fail(err, st, 0, "sign a receipt");
}

static enum stoq_status keep(struct work *w, struct stoq_buf *receipt, struct stoq_error *err)
{
    struct stoq_reread_span span;
    enum stoq_status st = bring(w, &span, err);
    if (st == STOQ_OK) {
        const struct stoq_reread_ask ask = {
            .id = w->offer.id, .span = span, .cancelled = is_stopping, .user = w};
        st = stoq_reread(stoq_host_store(w->host), &ask, err);
    }
    if (st == STOQ_OK) {
        w->bytes = span.end - span.first;
        st = promise(w, span.is_last, err);
    }
    return st == STOQ_OK ? sign(w, receipt, err) : st;
}

static uint64_t error_code(const struct stoq_error *err)
{
    const char *code = err->code != NULL ? err->code : "";
    if (strcmp(code, "QuotaReached") == 0) {
        return STOQ_ERR_QUOTA_REACHED;
    }
    switch (err->status) {
    case STOQ_FULL:
        return STOQ_ERR_DISK_FULL;
    case STOQ_PROOF:
        return STOQ_ERR_INTEGRITY_CHECK_FAILED;
    case STOQ_RANGE:
        return STOQ_ERR_REFUSED;
    case STOQ_NOTFOUND:
        return STOQ_ERR_CONTENT_NOT_FOUND;
    case STOQ_BUSY:
    case STOQ_CANCELLED:
    case STOQ_NET:
    case STOQ_TIMEOUT:
        return STOQ_ERR_BUSY;
    default:
        return STOQ_ERR_INTERNAL;
    }
}

static void send_receipt(struct stoq_replicator *r, const struct stoq_peer_id *peer,
                         struct stoq_span items)
{
    struct stoq_signed receipt;
    if (stoq_signed_next(&items, &receipt)) {
        enum stoq_status st = stoq_engine_receipt(stoq_host_engine(r->host), peer, &receipt);
        (void)st; /* without a connection: it is asked for again */
    }
}

/* lock held; released and taken again. */
static void work_on(struct stoq_replicator *r, struct entry *e)
{
    struct work *w = calloc(1, sizeof *w);
    struct stoq_buf receipt;
    struct stoq_error err = {.status = STOQ_NOMEM};
    stoq_buf_init(&receipt, RECEIPT_BYTES_MAX);
    e->state = ENTRY_AT_WORK;
    r->status.waiting--;
    r->status.at_work++;
    (void)pthread_mutex_unlock(&r->lock);
    enum stoq_status st = w == NULL ? STOQ_NOMEM : STOQ_OK;
    if (st == STOQ_OK) {
        *w = (struct work){.r = r,
                           .host = r->host,
                           .offer = e->offer,
                           .source = {.peer = e->offer.peer, .addr = e->offer.addr}};
        st = stoq_host_content_begin(r->host, false, LOCK_WAIT, is_stopping, w, &err);
    }
    if (st == STOQ_OK) {
        st = keep(w, &receipt, &err);
        stoq_host_content_end(r->host, false);
    }
    if (st == STOQ_OK) {
        send_receipt(r, &e->offer.peer, stoq_buf_span(&receipt));
    } else if (st != STOQ_CANCELLED) {
        stoq_host_log(r->host, STOQ_LOG_INFO, "an offer came to nothing: %.400s", err.text);
    }
    free(w);
    (void)pthread_mutex_lock(&r->lock);
    r->promised_bytes -= e->offer.bytes;
    r->status.at_work--;
    r->status.kept += st == STOQ_OK;
    r->status.bytes_kept += st == STOQ_OK ? e->offer.bytes : 0;
    r->status.failed += st != STOQ_OK;
    e->state = st == STOQ_OK ? ENTRY_KEPT : ENTRY_FAILED;
    e->ended_at = stoq_now();
    e->receipt = receipt;
    e->code = error_code(&err);
    e->why = err;
}

/* Send a receipt once more. lock held; released and taken again. */
static void send_again(struct stoq_replicator *r, struct entry *e)
{
    struct stoq_buf copy;
    struct stoq_peer_id peer = e->offer.peer;
    e->send = false;
    stoq_buf_init(&copy, RECEIPT_BYTES_MAX);
    enum stoq_status st = stoq_buf_add(&copy, stoq_buf_span(&e->receipt));
    (void)pthread_mutex_unlock(&r->lock);
    if (st == STOQ_OK) {
        send_receipt(r, &peer, stoq_buf_span(&copy));
    }
    stoq_buf_release(&copy);
    (void)pthread_mutex_lock(&r->lock);
}

static void *replicator_thread(void *user)
{
    struct stoq_replicator *r = user;
    (void)pthread_mutex_lock(&r->lock);
    while (!atomic_load(&r->stopping)) {
        struct entry *e = r->first;
        while (e != NULL && e->state != ENTRY_WAITING && !e->send) {
            e = e->next;
        }
        if (r->disk_wanted) {
            look_at_disk(r);
        } else if (e == NULL) {
            r->idle++;
            (void)pthread_cond_wait(&r->changed, &r->lock);
            r->idle--;
        } else if (e->send) {
            send_again(r, e);
        } else {
            work_on(r, e);
            look_at_disk(r);
        }
    }
    (void)pthread_mutex_unlock(&r->lock);
    return NULL;
}

void stoq_replicator_start(struct stoq_replicator *r)
{
    (void)pthread_mutex_lock(&r->lock);
    r->started = true;
    look_at_disk(r);
    if (r->status.waiting > 0) {
        (void)wake_one(r);
    }
    (void)pthread_mutex_unlock(&r->lock);
}
