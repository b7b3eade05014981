/*
 * A fetch is the repair: it asks the store for each chunk of the package, and what is in quarantine or
 * gone it takes from the first source that has it, verified like any other; a put of a record in
 * quarantine writes it anew and so lifts it. So mending is to find the packages with holes and to fetch
 * them again. A package that shares the chunk is whole again without a fetch of its own.
 *
 * Sources: those named, those that a get of this package named since the start, the configuration's peers,
 * whoever is connected, and neighbours on the link.
 */
#include "daemon/mend.h"

#include "daemon/content.h"
#include "daemon/local.h"
#include "daemon/scrubber.h"
#include "daemon/verify.h"
#include "os/sys.h"
#include "store/scrub.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WAIT_NS (10 * STOQ_SEC) /* for a removal under way */
#define IDS_BYTES_MAX ((size_t)256 << 20)

struct mending {
    struct stoq_host *host;
    struct stoq_store *store;
    const struct stoq_mend_ask *ask;
    struct stoq_mend_report *report;
    struct stoq_buf packages;     /* ids, joined */
    struct stoq_buf unsigned_now; /* ids of packages that lost a signature, joined */
    struct stoq_holes holes;
    struct stoq_fetch_source sources[STOQ_FETCH_SOURCES_MAX];
    size_t source_count;
    struct stoq_fetch_report fetch;
    struct stoq_manifest manifest;
    struct stoq_buf manifest_bytes;
    enum stoq_status gathered;
};

static bool gather_id(void *user, struct stoq_span key, struct stoq_stored info)
{
    struct mending *m = user;
    if (key.n == 32) {
        m->gathered = stoq_buf_add(&m->packages, key);
    }
    return m->gathered == STOQ_OK;
}

static bool gather_lost_id(void *user, struct stoq_span key)
{
    return gather_id(user, key, (struct stoq_stored){0});
}

static bool gather_signature(void *user, struct stoq_span key)
{
    struct mending *m = user;
    if (key.n == 64) {
        m->gathered = stoq_buf_add(&m->unsigned_now, stoq_span(key.p, 32));
    }
    return m->gathered == STOQ_OK;
}

static bool lost_signature(const struct mending *m, const struct stoq_package_id *id)
{
    for (size_t at = 0; at < m->unsigned_now.n; at += 32) {
        if (memcmp(m->unsigned_now.p + at, id->h.b, 32) == 0) {
            return true;
        }
    }
    return false;
}

static void add_source(struct mending *m, const struct stoq_fetch_source *source)
{
    for (size_t i = 0; i < m->source_count; i++) {
        if (memcmp(&m->sources[i].peer, &source->peer, sizeof source->peer) == 0) {
            return;
        }
    }
    if (m->source_count < STOQ_FETCH_SOURCES_MAX) {
        m->sources[m->source_count++] = *source;
    }
}

static void add_connected(void *user, const struct stoq_engine_peer *p)
{
    if (p->net.opened) {
        add_source(user, &(struct stoq_fetch_source){.peer = p->net.peer, .addr = p->net.addr});
    }
}

static void find_sources(struct mending *m, const struct stoq_package_id *id)
{
    m->source_count = 0;
    for (size_t i = 0; i < m->ask->source_count; i++) {
        add_source(m, &m->ask->sources[i]);
    }
    struct stoq_fetch_source known[STOQ_SCRUBBER_SOURCES_MAX];
    size_t n = stoq_scrubber_sources(stoq_host_scrubber(m->host), id, known);
    for (size_t i = 0; i < n; i++) {
        add_source(m, &known[i]);
    }
    struct stoq_config *config = malloc(sizeof *config);
    if (config != NULL) {
        stoq_host_config(m->host, config);
        for (size_t i = 0; i < config->peer_count; i++) {
            add_source(m, &config->peers[i]);
        }
    }
    free(config);
    if (stoq_host_engine(m->host) != NULL) {
        enum stoq_status st = stoq_engine_peers(stoq_host_engine(m->host), add_connected, m);
        (void)st; /* without memory for the list there are fewer sources */
    }
}

static bool is_cancelled(const struct mending *m)
{
    return m->ask->cancelled != NULL && m->ask->cancelled(m->ask->user);
}

/* Fetch what the package lacks. why is empty on STOQ_OK. */
static enum stoq_status fetch(struct mending *m, const struct stoq_package_id *id,
                              struct stoq_error *why)
{
    if (m->ask->offline) {
        return stoq_fail(why, STOQ_NET, 0, "nobody was asked");
    }
    find_sources(m, id);
    bool lan = stoq_host_lan(m->host);
    if (m->source_count == 0 && !lan) {
        return stoq_fail(why, STOQ_NET, 0, "no source is known");
    }
    enum stoq_status st = stoq_host_start(m->host, why);
    if (st != STOQ_OK) {
        return st;
    }
    const struct stoq_fetch_ask ask = {.id = *id,
                                       .sources = m->sources,
                                       .source_count = m->source_count,
                                       .lan = lan,
                                       .priority = STOQ_PRIORITY_BACKGROUND,
                                       .cancelled = m->ask->cancelled,
                                       .user = m->ask->user};
    return stoq_engine_fetch(stoq_host_engine(m->host), &ask, &m->fetch, why);
}

static void read_names(struct mending *m, const struct stoq_package_id *id,
                       struct stoq_mend_item *item)
{
    if (stoq_store_read(m->store, STOQ_RECORD_MANIFEST, stoq_span(id->h.b, 32), 0,
                        &m->manifest_bytes, NULL) == STOQ_OK &&
        stoq_manifest_decode(stoq_buf_span(&m->manifest_bytes), &m->manifest) == STOQ_OK) {
        item->name = m->manifest.name;
        item->version = m->manifest.version;
    }
}

/* The package lacks something, or one of its records does. */
static enum stoq_status mend_package(struct mending *m, const struct stoq_package_id *id,
                                     struct stoq_error *err)
{
    struct stoq_error why = {0};
    struct stoq_holes after;
    stoq_holes_init(&after);
    enum stoq_status st = stoq_local_set_complete(m->store, id, false, err);
    if (st == STOQ_OK) {
        st = stoq_store_sync(m->store, err);
    }
    if (st != STOQ_OK) {
        return st;
    }
    struct stoq_mend_item item = {.id = *id, .holes = &m->holes, .why = ""};
    enum stoq_status fetched = fetch(m, id, &why);
    st = stoq_holes_of_package(m->store, id, NULL, NULL, &after, err);
    item.chunks_left = after.chunks;
    item.mended = st == STOQ_OK && fetched == STOQ_OK && !stoq_holes_any(&after);
    item.why = item.mended ? "" : why.text;
    stoq_holes_release(&after);
    if (st != STOQ_OK) {
        return st;
    }
    m->report->mended += item.mended;
    m->report->lacking += !item.mended;
    m->report->chunks_missing += item.chunks_left;
    if (m->holes.chunks > item.chunks_left) {
        m->report->chunks_mended += m->holes.chunks - item.chunks_left;
    }
    read_names(m, id, &item);
    if (m->ask->each != NULL) {
        m->ask->each(m->ask->user, &item);
    }
    return fetched == STOQ_CANCELLED && is_cancelled(m) ? STOQ_CANCELLED : STOQ_OK;
}

/* Nothing is missing any more of a package that was marked: say that it is whole. */
static enum stoq_status readmit(struct mending *m, const struct stoq_package_id *id,
                                struct stoq_error *err)
{
    const struct stoq_verify_ask ask = {
        .id = *id, .cancelled = m->ask->cancelled, .user = m->ask->user};
    struct stoq_error ignored;
    if (stoq_verify_secondary(m->store, &ask, &ignored) != STOQ_OK) {
        return STOQ_OK;
    }
    enum stoq_status st = stoq_local_set_complete(m->store, id, true, err);
    return st == STOQ_OK ? stoq_store_sync(m->store, err) : st;
}

static enum stoq_status look_at_package(struct mending *m, const struct stoq_package_id *id,
                                        struct stoq_error *err)
{
    m->report->packages++;
    enum stoq_status st =
        stoq_holes_of_package(m->store, id, m->ask->cancelled, m->ask->user, &m->holes, err);
    if (st == STOQ_VERSION) {
        return STOQ_OK; /* nothing this program can tell of */
    }
    if (st != STOQ_OK) {
        return st;
    }
    if (stoq_holes_any(&m->holes) || lost_signature(m, id)) {
        return mend_package(m, id, err);
    }
    return stoq_local_has(m->store, id) ? STOQ_OK : readmit(m, id, err);
}

static enum stoq_status each_package(struct mending *m, struct stoq_error *err)
{
    enum stoq_status st = STOQ_OK;
    for (size_t at = 0; st == STOQ_OK && at < m->packages.n; at += 32) {
        struct stoq_package_id id;
        memcpy(id.h.b, m->packages.p + at, 32);
        /* A removal meanwhile would be undone by a fetch. */
        st = stoq_host_content_begin(m->host, false, WAIT_NS, m->ask->cancelled, m->ask->user, err);
        if (st != STOQ_OK) {
            return st;
        }
        if (stoq_store_has(m->store, STOQ_RECORD_MANIFEST, stoq_span(id.h.b, 32)) ||
            stoq_store_has(m->store, STOQ_RECORD_PACKAGE, stoq_span(id.h.b, 32))) {
            st = look_at_package(m, &id, err);
        }
        stoq_host_content_end(m->host, false);
    }
    return st;
}

static bool look_at_content(void *user, const struct stoq_content *c)
{
    struct mending *m = user;
    m->report->packages++;
    m->gathered =
        stoq_holes_of_content(m->store, c, m->ask->cancelled, m->ask->user, &m->holes, NULL);
    if (m->gathered != STOQ_OK || !stoq_holes_any(&m->holes)) {
        return m->gathered == STOQ_OK;
    }
    const struct stoq_mend_item item = {.is_content = true,
                                        .address = c->address,
                                        .holes = &m->holes,
                                        .chunks_left = m->holes.chunks,
                                        .why = "only a put of the same bytes brings it back"};
    m->report->lacking++;
    m->report->chunks_missing += m->holes.chunks;
    if (m->ask->each != NULL) {
        m->ask->each(m->ask->user, &item);
    }
    return true;
}

static bool tell_lost(void *user, struct stoq_span key)
{
    struct mending *m = user;
    char hex[2 * STOQ_RECORD_KEY_MAX + 1];
    char text[256];
    m->report->records_lost++;
    stoq_hex_put(hex, key);
    (void)snprintf(text, sizeof text, "a small record is lost, key %s", hex);
    if (m->ask->lost != NULL) {
        m->ask->lost(m->ask->user, text);
    }
    return true;
}

/* Records that no fetch brings: told until they are written anew or deleted. */
static enum stoq_status each_other(struct mending *m, struct stoq_error *err)
{
    static const enum stoq_record_type type[] = {
        STOQ_RECORD_PIN,   STOQ_RECORD_ROOT,    STOQ_RECORD_LEASE,  STOQ_RECORD_ALIAS,
        STOQ_RECORD_TRUST, STOQ_RECORD_CONTENT, STOQ_RECORD_RECEIPT};
    enum stoq_status st = STOQ_OK;
    for (size_t i = 0; st == STOQ_OK && i < STOQ_COUNT(type); i++) {
        st = stoq_store_each_lost(m->store, type[i], tell_lost, m, err);
    }
    return st;
}

static enum stoq_status gather(struct mending *m, struct stoq_error *err)
{
    enum stoq_status st = stoq_store_each(m->store, STOQ_RECORD_PACKAGE, gather_id, m, err);
    if (st == STOQ_OK) {
        st = stoq_store_each_lost(m->store, STOQ_RECORD_PACKAGE, gather_lost_id, m, err);
    }
    if (st == STOQ_OK) {
        st = stoq_store_each_lost(m->store, STOQ_RECORD_SIGNATURE, gather_signature, m, err);
    }
    if (st == STOQ_OK && m->gathered != STOQ_OK) {
        st = stoq_fail(err, m->gathered, 0, "too many packages to look through");
    }
    return st;
}

enum stoq_status stoq_mend(struct stoq_host *host, const struct stoq_mend_ask *ask,
                           struct stoq_mend_report *report, struct stoq_error *err)
{
    struct mending *m = calloc(1, sizeof *m);
    memset(report, 0, sizeof *report);
    if (m == NULL) {
        return stoq_fail(err, STOQ_NOMEM, 0, "no memory to look for what is missing");
    }
    m->host = host;
    m->store = stoq_host_store(host);
    m->ask = ask;
    m->report = report;
    stoq_buf_init(&m->packages, IDS_BYTES_MAX);
    stoq_buf_init(&m->unsigned_now, IDS_BYTES_MAX);
    stoq_buf_init(&m->manifest_bytes, STOQ_MANIFEST_BYTES_MAX);
    stoq_holes_init(&m->holes);
    enum stoq_status st = gather(m, err);
    if (st == STOQ_OK) {
        st = each_package(m, err);
    }
    if (st == STOQ_OK) {
        st = stoq_content_each(m->store, look_at_content, m, NULL, err);
    }
    if (st == STOQ_OK && m->gathered != STOQ_OK) {
        st = stoq_fail(err, m->gathered, 0, "look for what is missing: %s",
                       stoq_status_str(m->gathered));
    }
    if (st == STOQ_OK) {
        st = each_other(m, err);
    }
    stoq_holes_release(&m->holes);
    stoq_buf_release(&m->packages);
    stoq_buf_release(&m->unsigned_now);
    stoq_buf_release(&m->manifest_bytes);
    free(m);
    return st;
}
