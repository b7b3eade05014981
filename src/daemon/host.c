#include "daemon/host_internal.h"

#include "daemon/engine_dht.h"
#include "daemon/keeper.h"
#include "daemon/local.h"
#include "daemon/replicator.h"
#include "daemon/scrubber.h"
#include "os/cond.h"
#include "os/file.h"
#include "os/sys.h"
#include "store/gc.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LISTEN_PORT = 4477, WAIT_SLICE_MS = 100, NETWORK_KEY_BYTES = 32 };

void stoq_host_log(struct stoq_host *host, enum stoq_log_level level, const char *fmt, ...)
{
    char line[1024];
    pthread_mutex_lock(&host->lock);
    enum stoq_log_level limit = host->config.log_level;
    pthread_mutex_unlock(&host->lock);
    limit = limit > host->cfg.log_level_min ? limit : host->cfg.log_level_min;
    if (host->cfg.log == NULL || level > limit) {
        return;
    }
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    host->cfg.log(host->cfg.log_user, level, line);
}

static void log_line(void *user, const char *line)
{
    stoq_host_log(user, STOQ_LOG_INFO, "%s", line);
}

/* The configuration file, or the defaults where none was named and none is there. */
static enum stoq_status load_config(const struct stoq_home *home, struct stoq_config *out,
                                    struct stoq_error *err)
{
    enum stoq_status st = stoq_config_load(out, home->config_file, err);
    if (st == STOQ_NOTFOUND && !home->config_named) {
        stoq_config_init(out);
        return STOQ_OK;
    }
    return st;
}

static void init_sync(struct stoq_host *host)
{
    stoq_cond_init(&host->content_free);
    pthread_mutex_init(&host->lock, NULL);
    pthread_mutex_init(&host->record_lock, NULL);
    pthread_mutex_init(&host->opening, NULL);
}

enum stoq_status stoq_host_new(struct stoq_host **out, const struct stoq_host_config *cfg,
                               struct stoq_error *err)
{
    STOQ_ASSERT(cfg->listen_count <= STOQ_NET_LISTEN_MAX);
    struct stoq_host *host = calloc(1, sizeof *host);
    if (host == NULL) {
        return stoq_fail(err, STOQ_NOMEM, 0, "no memory for the node");
    }
    host->cfg = *cfg;
    host->home = *cfg->home;
    if (cfg->listen_count > 0) {
        memcpy(host->listen, cfg->listen, cfg->listen_count * sizeof cfg->listen[0]);
    }
    host->started_at = stoq_now();
    enum stoq_status st = load_config(&host->home, &host->config, err);
    if (st != STOQ_OK) {
        free(host);
        return st;
    }
    host->reading.at = stoq_wall_seconds();
    if (host->config.store_dir[0] != '\0') {
        memcpy(host->home.store_dir, host->config.store_dir, sizeof host->home.store_dir);
    }
    init_sync(host);
    if (stoq_scrubber_new(&host->scrubber, host) != STOQ_OK ||
        stoq_keeper_new(&host->keeper, host) != STOQ_OK ||
        stoq_replicator_new(&host->replicator, host) != STOQ_OK) {
        (void)stoq_host_free(host, 0, NULL);
        return stoq_fail(err, STOQ_NOMEM, 0, "no memory for the node");
    }
    *out = host;
    return STOQ_OK;
}

/* On a full disk what was put and not synced is lost. Nobody was told that it is kept: every operation syncs
 * before it says that it is done, and the one that met the full disk has said so. */
static enum stoq_status close_store(struct stoq_host *host, struct stoq_error *err)
{
    struct stoq_error why = {0};
    enum stoq_status st = stoq_store_close(host->store, &why);
    if (st == STOQ_FULL) {
        if (host->cfg.daemon) { /* a command has just said so */
            stoq_host_log(host, STOQ_LOG_QUIET, "what was refused for want of room is not kept: %s",
                          why.text);
        }
        return STOQ_OK;
    }
    if (st != STOQ_OK && err != NULL) {
        *err = why;
    }
    return st;
}

enum stoq_status stoq_host_free(struct stoq_host *host, stoq_ns drain, struct stoq_error *err)
{
    enum stoq_status st = STOQ_OK;
    if (host == NULL) {
        return STOQ_OK;
    }
    /* Workers of the engine use the store to the end, and the store calls these two. */
    stoq_scrubber_stop(host->scrubber);
    stoq_keeper_stop(host->keeper);
    stoq_replicator_stop(host->replicator); /* its pulls end with it */
    stoq_engine_stop(host->engine, drain);
    if (host->store != NULL) {
        st = close_store(host, err);
    }
    stoq_scrubber_free(host->scrubber);
    stoq_keeper_free(host->keeper);
    stoq_replicator_free(host->replicator);
    stoq_key_free(host->key);
    pthread_cond_destroy(&host->content_free);
    pthread_mutex_destroy(&host->lock);
    pthread_mutex_destroy(&host->record_lock);
    pthread_mutex_destroy(&host->opening);
    free(host);
    return st;
}

static void on_damaged(void *user)
{
    struct stoq_host *host = user;
    stoq_scrubber_wake(host->scrubber);
}

static enum stoq_status open_store(struct stoq_host *host, bool make, struct stoq_error *err)
{
    struct stoq_store_config cfg = {
        .dir = host->home.store_dir,
        .create = make,
        .read_only = !make,
        .notice = log_line,
        .damaged = on_damaged,
        .notice_user = host,
        .zstd_level = host->config.zstd_level,
        .quota_bytes = host->config.quota_bytes,
        .make_room = stoq_keeper_make_room,
        .make_room_user = host->keeper,
    };
    enum stoq_status st = stoq_store_open(&host->store, &cfg, err);
    if (st == STOQ_NOTFOUND && !make) {
        return stoq_fail_code(err, STOQ_NOTFOUND, "HomeMissing",
                              "no store at %.300s yet; 'stoq init' or a publish makes one",
                              host->home.store_dir);
    }
    if (st == STOQ_BUSY && err != NULL) {
        err->code = "StoreBusy";
    }
    if (st == STOQ_MALFORMED && err != NULL) {
        err->code = "StoreDamaged";
    }
    host->store_writable = make;
    return st;
}

/* A first start leaves the commented configuration behind, so that there is something to edit. */
static enum stoq_status write_template(struct stoq_host *host, struct stoq_error *err)
{
    if (host->home.config_named || access(host->home.config_file, F_OK) == 0) {
        return STOQ_OK;
    }
    struct stoq_buf text;
    stoq_buf_init(&text, STOQ_CONFIG_BYTES_MAX);
    enum stoq_status st = stoq_config_template(&text);
    st = st == STOQ_OK ? stoq_file_replace(host->home.config_file, stoq_buf_span(&text), 0600, err)
                       : stoq_fail(err, st, 0, "no memory for the configuration's template");
    stoq_buf_release(&text);
    return st;
}

static enum stoq_status open_all(struct stoq_host *host, bool make, struct stoq_error *err)
{
    enum stoq_status st = STOQ_OK;
    STOQ_ASSERT(host->store == NULL || host->store_writable || !make);
    if (make && host->store == NULL) {
        st = stoq_home_make(&host->home, err);
    }
    if (st == STOQ_OK && host->store == NULL) {
        st = open_store(host, make, err);
    }
    if (st == STOQ_OK && make && host->key == NULL) {
        st = stoq_home_key_or_new(&host->home, &host->key, err);
    }
    return st == STOQ_OK && make ? write_template(host, err) : st;
}

enum stoq_status stoq_host_open(struct stoq_host *host, bool make, struct stoq_error *err)
{
    pthread_mutex_lock(&host->opening);
    enum stoq_status st = open_all(host, make, err);
    pthread_mutex_unlock(&host->opening);
    return st;
}

static size_t pick_listen(struct stoq_host *host, struct stoq_addr *out)
{
    const struct stoq_config *c = &host->config;
    if (!host->cfg.daemon) {
        return 0;
    }
    if (c->client) {
        stoq_host_log(host, STOQ_LOG_INFO, "transport.mode is client: nothing is listened on");
        return 0;
    }
    if (host->cfg.listen_count > 0) {
        memcpy(out, host->listen, host->cfg.listen_count * sizeof *out);
        return host->cfg.listen_count;
    }
    if (c->listen_count > 0) {
        memcpy(out, c->listen, c->listen_count * sizeof *out);
        return c->listen_count;
    }
    out[0] = (struct stoq_addr){.port = LISTEN_PORT}; /* [::], IPv4 included */
    return 1;
}

/* limits.open_files, in a daemon: other programs that link libstoq keep their own. */
static enum stoq_status set_open_files(struct stoq_host *host, struct stoq_error *err)
{
    if (!host->cfg.daemon || host->config.open_files_max == 0) {
        return STOQ_OK;
    }
    enum stoq_status st = stoq_open_files_limit(host->config.open_files_max, err);
    if (st == STOQ_RANGE && err != NULL) {
        err->code = "ConfigInvalid";
    }
    return st;
}

static enum stoq_status bad_network_key(const char *path, const char *why, struct stoq_error *err)
{
    return stoq_fail_code(err, STOQ_MALFORMED, "KeyInvalid", "network.key: %.300s: %s", path, why);
}

/* network.key: its digits, or the file that holds them. */
static enum stoq_status load_network_key(const char *text, uint8_t out[NETWORK_KEY_BYTES],
                                         struct stoq_error *err)
{
    struct stat info;
    struct stoq_buf file;
    if (text[0] != '/') {
        bool ok = stoq_hex_get(out, NETWORK_KEY_BYTES, text);
        return ok ? STOQ_OK : bad_network_key("value", "not 64 hexadecimal digits", err);
    }
    if (stat(text, &info) != 0) {
        return stoq_fail(err, STOQ_IO, errno, "network.key: %.300s", text);
    }
    if ((info.st_mode & 077) != 0) {
        return bad_network_key(text, "others may read it; make its mode 0600", err);
    }
    stoq_buf_init(&file, 2 * NETWORK_KEY_BYTES + 2);
    enum stoq_status st = stoq_file_read(text, file.max, &file, err);
    char digits[2 * NETWORK_KEY_BYTES + 1] = "";
    if (st == STOQ_OK && file.n >= sizeof digits - 1) {
        memcpy(digits, file.p, sizeof digits - 1);
    }
    bool rest_blank = file.n < sizeof digits || file.p[sizeof digits - 1] == '\n';
    stoq_key_wipe(file.p, file.n);
    stoq_buf_release(&file);
    if (st == STOQ_OK && (!rest_blank || !stoq_hex_get(out, NETWORK_KEY_BYTES, digits))) {
        st = bad_network_key(text, "not 64 hexadecimal digits and an end of line", err);
    }
    stoq_key_wipe(digits, sizeof digits);
    return st;
}

static enum stoq_status start_engine(struct stoq_host *host, struct stoq_error *err)
{
    struct stoq_addr listen[STOQ_NET_LISTEN_MAX];
    struct stoq_engine_config cfg = {
        .store = host->store,
        .key = host->key,
        .listen = listen,
        .listen_count = pick_listen(host, listen),
        .mode = host->config.encryption,
        .cc = host->config.congestion,
        .packet_bytes_max = host->config.packet_bytes_max,
        .workers = host->config.workers,
        .net_threads = host->config.net_threads,
        .client = host->config.client,
        .raw = host->config.raw,
        .early_data = host->config.early_data,
        .connections_only = host->config.connections_only,
        .idle_timeout_ns = host->config.idle_s * STOQ_SEC,
        .limits = host->config.limits,
        .known_file = host->home.peers_file,
        .trust_file = host->home.trust_file,
        .history_file = host->cfg.daemon ? host->home.history_file : NULL,
        .trust = host->config.trust,
        .up_bytes_per_s = host->config.up_bytes_per_s,
        .down_bytes_per_s = host->config.down_bytes_per_s,
        .windows = host->config.windows,
        .window_count = host->config.window_count,
        .fetches_running_max = host->config.fetches_running_max,
        .lan = host->cfg.daemon && stoq_host_lan(host),
        .dns_sd = host->config.dns_sd,
        .exchange = host->cfg.daemon && stoq_host_exchange(host),
        .allow = host->config.allow,
        .allow_count = host->config.allow_count,
        .dht = {.on = stoq_host_dht(host),
                .work_bits = host->config.dht_bits,
                .holders = host->config.dht_holders,
                .signed_s = (uint32_t)host->config.dht_signed_s,
                .file = host->home.dht_file},
        .offered = host->cfg.daemon && !host->config.client ? stoq_replicator_offered : NULL,
        .offered_user = host->replicator,
        .log = log_line,
        .log_user = host,
    };
    memcpy(cfg.site, host->config.site, sizeof cfg.site);
    memcpy(cfg.class_bytes_per_s, host->config.class_bytes_per_s, sizeof cfg.class_bytes_per_s);
    uint8_t network_key[NETWORK_KEY_BYTES];
    enum stoq_status st = set_open_files(host, err);
    if (st == STOQ_OK && host->config.network_key[0] != '\0') {
        st = load_network_key(host->config.network_key, network_key, err);
        cfg.network_key = network_key;
    }
    if (st == STOQ_OK) {
        st = stoq_engine_start(&host->engine, &cfg, err);
    }
    stoq_key_wipe(network_key, sizeof network_key);
    if (st == STOQ_OK && host->cfg.daemon) {
        stoq_engine_contact(host->engine, host->config.bootstrap, host->config.bootstrap_count);
    }
    if (st == STOQ_OK) {
        host_begin_dht(host);
    }
    return st;
}

/* Say where the static peers stand; those of before stand nowhere, unless they are among them. */
static void place_peers(struct stoq_host *host, const struct stoq_config *before)
{
    static const struct stoq_peers_place nowhere;
    struct stoq_config *c = malloc(sizeof *c);
    if (c == NULL || host->engine == NULL) {
        free(c);
        return; /* selections then know less of them */
    }
    stoq_host_config(host, c);
    for (size_t i = 0; before != NULL && i < before->peer_count; i++) {
        stoq_engine_place(host->engine, &before->peers[i].peer, &nowhere);
    }
    for (size_t i = 0; i < c->peer_count; i++) {
        stoq_engine_place(host->engine, &c->peers[i].peer, &c->peer_places[i]);
    }
    free(c);
}

enum stoq_status stoq_host_start(struct stoq_host *host, struct stoq_error *err)
{
    pthread_mutex_lock(&host->opening);
    enum stoq_status st = open_all(host, true, err);
    if (st == STOQ_OK && host->engine == NULL) {
        st = start_engine(host, err);
        if (st == STOQ_OK) {
            place_peers(host, NULL);
        }
    }
    if (st == STOQ_OK && host->cfg.daemon) {
        st = stoq_scrubber_start(host->scrubber, err);
        st = st == STOQ_OK ? stoq_keeper_start(host->keeper, err) : st;
    }
    if (st == STOQ_OK && host->cfg.daemon && !host->config.client) {
        stoq_replicator_start(host->replicator);
    }
    pthread_mutex_unlock(&host->opening);
    return st;
}

/* What else the next start would refuse, and what it would change. */
static enum stoq_status look_ahead(const struct stoq_host *host, const struct stoq_config *fresh,
                                   char waits[STOQ_HOST_WAITS_BYTES], struct stoq_error *err)
{
    const char *key;
    size_t n = 0;
    size_t at = 0;
    waits[0] = '\0';
    while ((key = stoq_config_waits(&host->config, fresh, &at)) != NULL) {
        int more = snprintf(waits + n, STOQ_HOST_WAITS_BYTES - n, "%s%s", n > 0 ? ", " : "", key);
        n += more > 0 && n + (size_t)more < STOQ_HOST_WAITS_BYTES ? (size_t)more : 0;
    }
    if (fresh->network_key[0] == '\0') {
        return STOQ_OK;
    }
    uint8_t network_key[NETWORK_KEY_BYTES];
    enum stoq_status st = load_network_key(fresh->network_key, network_key, err);
    stoq_key_wipe(network_key, sizeof network_key);
    return st;
}

enum stoq_status stoq_host_reload(struct stoq_host *host, struct stoq_error *err)
{
    struct stoq_config *fresh = malloc(sizeof *fresh);
    if (fresh == NULL) {
        return stoq_fail(err, STOQ_NOMEM, 0, "no memory for the configuration");
    }
    char waits[STOQ_HOST_WAITS_BYTES];
    /* A file that is gone is a mistake: whoever wants every default has an empty one. */
    enum stoq_status st = stoq_config_load(fresh, host->home.config_file, err);
    st = st == STOQ_OK ? look_ahead(host, fresh, waits, err) : st;
    struct stoq_config *before = malloc(sizeof *before);
    if (before != NULL) {
        stoq_host_config(host, before);
    }
    pthread_mutex_lock(&host->lock);
    host->reading.failed = st != STOQ_OK;
    if (st == STOQ_OK) {
        host->reading.at = stoq_wall_seconds();
        memcpy(host->reading.waits, waits, sizeof waits);
        memcpy(host->config.peers, fresh->peers, sizeof fresh->peers);
        memcpy(host->config.peer_places, fresh->peer_places, sizeof fresh->peer_places);
        host->config.peer_count = fresh->peer_count;
        host->config.log_level = fresh->log_level;
        host->config.accept = fresh->accept;
        host->config.quota_high_percent = fresh->quota_high_percent;
        host->config.quota_low_percent = fresh->quota_low_percent;
        host->config.gc_rate_bytes_per_s = fresh->gc_rate_bytes_per_s;
        host->config.gc_garbage_percent = fresh->gc_garbage_percent;
    } else {
        (void)snprintf(host->reading.why, sizeof host->reading.why, "%s", err->text);
    }
    pthread_mutex_unlock(&host->lock);
    if (st == STOQ_OK) {
        place_peers(host, before);
    }
    free(before);
    free(fresh);
    return st;
}

void stoq_host_reading(struct stoq_host *host, struct stoq_host_reading *out)
{
    pthread_mutex_lock(&host->lock);
    *out = host->reading;
    pthread_mutex_unlock(&host->lock);
}

struct stoq_store *stoq_host_store(struct stoq_host *host)
{
    return host->store;
}

const struct stoq_key *stoq_host_key(struct stoq_host *host)
{
    return host->key;
}

struct stoq_engine *stoq_host_engine(struct stoq_host *host)
{
    return host->engine;
}

struct stoq_keeper *stoq_host_keeper(struct stoq_host *host)
{
    return host->keeper;
}

struct stoq_scrubber *stoq_host_scrubber(struct stoq_host *host)
{
    return host->scrubber;
}

struct stoq_replicator *stoq_host_replicator(struct stoq_host *host)
{
    return host->replicator;
}

const struct stoq_home *stoq_host_home(const struct stoq_host *host)
{
    return &host->home;
}

void stoq_host_config(struct stoq_host *host, struct stoq_config *out)
{
    pthread_mutex_lock(&host->lock);
    *out = host->config;
    pthread_mutex_unlock(&host->lock);
}

bool stoq_host_dht(struct stoq_host *host)
{
    pthread_mutex_lock(&host->lock);
    bool on = host->config.dht;
    pthread_mutex_unlock(&host->lock);
    return on;
}

bool stoq_host_lan(struct stoq_host *host)
{
    pthread_mutex_lock(&host->lock);
    bool on = host->cfg.lan && host->config.lan;
    pthread_mutex_unlock(&host->lock);
    return on;
}

bool stoq_host_exchange(struct stoq_host *host)
{
    pthread_mutex_lock(&host->lock);
    bool on = host->config.exchange;
    pthread_mutex_unlock(&host->lock);
    return on;
}

pthread_mutex_t *stoq_host_record_lock(struct stoq_host *host)
{
    return &host->record_lock;
}

size_t stoq_host_peer_count(struct stoq_host *host)
{
    pthread_mutex_lock(&host->lock);
    size_t n = host->config.peer_count;
    pthread_mutex_unlock(&host->lock);
    return n;
}

bool stoq_host_may_write(struct stoq_host *host)
{
    pthread_mutex_lock(&host->opening);
    bool may = host->store != NULL && host->store_writable;
    pthread_mutex_unlock(&host->opening);
    return may;
}

bool stoq_host_is_daemon(const struct stoq_host *host)
{
    return host->cfg.daemon;
}

stoq_ns stoq_host_started_at(const struct stoq_host *host)
{
    return host->started_at;
}

void stoq_host_request_stop(struct stoq_host *host)
{
    if (host->cfg.stop != NULL) {
        host->cfg.stop(host->cfg.stop_user);
    }
}

static void wait_a_slice(struct stoq_host *host)
{
    (void)stoq_cond_wait_until(&host->content_free, &host->lock,
                               stoq_now() + WAIT_SLICE_MS * STOQ_MS);
}

enum stoq_status stoq_host_content_begin(struct stoq_host *host, bool alone, stoq_ns timeout,
                                         bool (*cancelled)(void *user), void *user,
                                         struct stoq_error *err)
{
    stoq_ns limit = stoq_now() + timeout;
    enum stoq_status st = STOQ_OK;
    pthread_mutex_lock(&host->lock);
    while (host->removing || (alone && host->adding > 0)) {
        if (cancelled != NULL && cancelled(user)) {
            st = stoq_fail(err, STOQ_CANCELLED, 0, "interrupted");
            break;
        }
        if (stoq_now() >= limit) {
            st = stoq_fail(err, STOQ_BUSY, 0, "a %s is running; try again later",
                           host->removing ? "removal" : "publish or get");
            break;
        }
        wait_a_slice(host);
    }
    if (st == STOQ_OK && alone) {
        host->removing = true;
    } else if (st == STOQ_OK && host->adding++ == 0 && host->store != NULL) {
        host->add_number = stoq_store_add_begin(host->store);
        host->adds_told = true;
    }
    pthread_mutex_unlock(&host->lock);
    return st;
}

void stoq_host_content_end(struct stoq_host *host, bool alone)
{
    pthread_mutex_lock(&host->lock);
    if (alone) {
        host->removing = false;
    } else if (--host->adding == 0 && host->adds_told) {
        stoq_store_add_end(host->store, host->add_number);
        host->adds_told = false;
    }
    pthread_cond_broadcast(&host->content_free);
    pthread_mutex_unlock(&host->lock);
    stoq_keeper_wake(host->keeper);
}
