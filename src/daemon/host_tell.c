/* What others are told of our packages: connected peers at once, the DHT by and by, and names with them. */
#include "daemon/engine_dht.h"
#include "daemon/host_internal.h"
#include "daemon/local.h"
#include "daemon/pointers.h"

#include <stdlib.h>

static bool announce_one(void *user, const struct stoq_local_package *p)
{
    if (p->complete) {
        stoq_host_announce(user, &p->id, true);
    }
    return true;
}

static bool announces(struct stoq_host *host)
{
    pthread_mutex_lock(&host->lock);
    bool wanted = host->cfg.daemon && host->config.dht_announce && !host->config.client &&
                  host->engine != NULL;
    pthread_mutex_unlock(&host->lock);
    return wanted;
}

/* Tell the DHT what the store says of a name now. */
static void say_pointer(void *user, const struct stoq_hash *key)
{
    struct stoq_host *host = user;
    struct stoq_buf sealed;
    stoq_buf_init(&sealed, STOQ_POINTER_SEALED_MAX);
    enum stoq_status st = stoq_pointers_sealed(host->store, key, &sealed);
    if (st == STOQ_OK || st == STOQ_NOTFOUND) {
        st = stoq_engine_dht_say(host->engine, key, stoq_buf_span(&sealed));
    }
    if (st != STOQ_OK) {
        stoq_host_log(host, STOQ_LOG_INFO, "a name is not announced: %s", stoq_status_str(st));
    }
    stoq_buf_release(&sealed);
}

/* Packages of before, and the ways in. */
void host_begin_dht(struct stoq_host *host)
{
    struct stoq_error err = {0};
    if (!stoq_host_dht(host)) {
        return;
    }
    if (announces(host) &&
        stoq_local_each(host->store, announce_one, host, NULL, &err) != STOQ_OK) {
        stoq_host_log(host, STOQ_LOG_INFO, "not all packages are announced: %s", err.text);
    }
    if (announces(host) &&
        stoq_pointers_each(host->store, NULL, say_pointer, host, &err) != STOQ_OK) {
        stoq_host_log(host, STOQ_LOG_INFO, "not all names are announced: %s", err.text);
    }
    for (size_t i = 0; i < host->config.bootstrap_count; i++) {
        stoq_engine_dht_join(host->engine, &host->config.bootstrap[i]);
    }
}

/* Connected peers are told what has come. */
static void tell_peers(struct stoq_host *host, const struct stoq_package_id *id)
{
    struct stoq_manifest *m = malloc(sizeof *m);
    struct stoq_buf bytes;
    stoq_buf_init(&bytes, STOQ_MANIFEST_BYTES_MAX);
    if (m != NULL &&
        stoq_store_read(host->store, STOQ_RECORD_MANIFEST, stoq_span(id->h.b, sizeof id->h.b), 0,
                        &bytes, NULL) == STOQ_OK &&
        stoq_manifest_decode(stoq_buf_span(&bytes), m) == STOQ_OK) {
        stoq_engine_tell_here(host->engine, id, m);
    }
    stoq_buf_release(&bytes);
    free(m);
}

void stoq_host_tell(struct stoq_host *host, const struct stoq_package_id *id, bool here)
{
    if (host->cfg.daemon && host->engine != NULL && here) {
        tell_peers(host, id);
    } else if (host->cfg.daemon && host->engine != NULL) {
        stoq_engine_tell_gone(host->engine, id);
    }
    stoq_host_announce(host, id, here);
}

void stoq_host_announce(struct stoq_host *host, const struct stoq_package_id *id, bool here)
{
    struct stoq_error err;
    if (here && announces(host)) {
        (void)!stoq_engine_dht_announce(host->engine, id, NULL, NULL, NULL, NULL);
    }
    if (here || host->engine == NULL) {
        return;
    }
    stoq_engine_dht_withdraw(host->engine, id);
    if (stoq_pointers_each(host->store, id, say_pointer, host, &err) != STOQ_OK) {
        stoq_host_log(host, STOQ_LOG_INFO, "its names are not taken back: %s", err.text);
    }
}

void stoq_host_announce_name(struct stoq_host *host, const struct stoq_hash *key)
{
    if (announces(host)) {
        say_pointer(host, key);
    }
}
