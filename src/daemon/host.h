#ifndef STOQ_DAEMON_HOST_H
#define STOQ_DAEMON_HOST_H
/*
 * A node's belongings in one process: home, configuration, key, store, engine. The daemon opens all of
 * them at its start and runs many operations at once; a command without a daemon opens what its one
 * operation needs.
 */
#include "daemon/config.h"
#include "daemon/home.h"
#include "sign/sign.h"
#include "store/store.h"

#include <pthread.h>

struct stoq_keeper;
struct stoq_host;
struct stoq_replicator;
struct stoq_scrubber;

struct stoq_host_config {
    const struct stoq_home *home; /* borrowed for the call */
    /* A line for the operator, without newline; any thread. NULL: dropped. */
    void (*log)(void *user, enum stoq_log_level level, const char *line);
    void *log_user;
    enum stoq_log_level log_level_min; /* the log says at least this much, whatever is configured */
    bool lan; /* LAN discovery may be used, when the configuration says so too */
    /* Only in a daemon: addresses that take the place of the configuration's `listen`, and what `stop`
     * calls (any thread; must not block). */
    bool daemon;
    const struct stoq_addr *listen;
    size_t listen_count;
    void (*stop)(void *user);
    void *stop_user;
};

/* Read the configuration; nothing else is opened. STOQ_OK, STOQ_NOMEM, STOQ_MALFORMED (ConfigInvalid),
 * STOQ_IO, STOQ_NOTFOUND: the file --config names is missing. */
STOQ_WARN_UNUSED enum stoq_status stoq_host_new(struct stoq_host **out,
                                                const struct stoq_host_config *cfg,
                                                struct stoq_error *err);
/* End the engine (replies under way get drain), sync and close the store. NULL is fine. The status is
 * the store's: anything but STOQ_OK says that what an operation called done may be lost. A full disk is none:
 * what did not fit was refused, and is logged. */
enum stoq_status stoq_host_free(struct stoq_host *host, stoq_ns drain, struct stoq_error *err);

/*
 * Open what is not open yet; any thread. With make the home, store and key are made where missing and
 * the store is opened for writing. STOQ_OK; STOQ_NOTFOUND (HomeMissing): nothing here and make is false;
 * STOQ_BUSY (StoreBusy); what stoq_store_open and stoq_home_key give.
 */
STOQ_WARN_UNUSED enum stoq_status stoq_host_open(struct stoq_host *host, bool make,
                                                 struct stoq_error *err);
/* Also start the engine. */
STOQ_WARN_UNUSED enum stoq_status stoq_host_start(struct stoq_host *host, struct stoq_error *err);

/* Read the configuration again. Static peers and the log level change at once, other keys with the next
 * start. On an error the old one stays, and stoq_host_reading tells of it. */
STOQ_WARN_UNUSED enum stoq_status stoq_host_reload(struct stoq_host *host, struct stoq_error *err);

#define STOQ_HOST_WAITS_BYTES 1024

/* What the last reading of the configuration file said. */
struct stoq_host_reading {
    uint64_t at;   /* seconds since 1970, of the one that holds */
    bool failed;   /* a later one was refused: the configuration before it holds */
    char why[512]; /* "FILE:LINE: KEY: reason" */
    char waits
        [STOQ_HOST_WAITS_BYTES]; /* keys that say another thing than at the start and count from the next,
                                        * with commas between them; "": none */
};
void stoq_host_reading(struct stoq_host *host, struct stoq_host_reading *out);

/* NULL while not open. */
struct stoq_store *stoq_host_store(struct stoq_host *host);
const struct stoq_key *stoq_host_key(struct stoq_host *host);
struct stoq_engine *stoq_host_engine(struct stoq_host *host);
/* Never NULL; in a daemon it works in the background. */
struct stoq_keeper *stoq_host_keeper(struct stoq_host *host);
struct stoq_scrubber *stoq_host_scrubber(struct stoq_host *host);
struct stoq_replicator *stoq_host_replicator(struct stoq_host *host);
const struct stoq_home *stoq_host_home(const struct stoq_host *host);
/* A copy, since a reload may change it meanwhile. */
void stoq_host_config(struct stoq_host *host, struct stoq_config *out);
size_t stoq_host_peer_count(struct stoq_host *host); /* static peers of the configuration */
bool stoq_host_may_write(struct stoq_host *host);    /* the store is open, for writing */
/* Is LAN discovery to be used? */
bool stoq_host_lan(struct stoq_host *host);
/* Peers that others tell of or that are remembered are to be used, and a daemon tells of them. */
bool stoq_host_exchange(struct stoq_host *host);
/* The DHT is to be asked, when somebody there is known. */
bool stoq_host_dht(struct stoq_host *host);
/* The package is here whole, or is gone (its names too): tell the DHT, where that is wanted. */
void stoq_host_announce(struct stoq_host *host, const struct stoq_package_id *id, bool here);
/* It has come or gone just now: tell connected peers too. */
void stoq_host_tell(struct stoq_host *host, const struct stoq_package_id *id, bool here);
/* There is a pointer under this key: likewise. */
void stoq_host_announce_name(struct stoq_host *host, const struct stoq_hash *key);
bool stoq_host_is_daemon(const struct stoq_host *host);
stoq_ns stoq_host_started_at(const struct stoq_host *host);
void stoq_host_log(struct stoq_host *host, enum stoq_log_level level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Ask the daemon's main thread to end. */
void stoq_host_request_stop(struct stoq_host *host);

/* What operations that read, change and write one record hold meanwhile. */
pthread_mutex_t *stoq_host_record_lock(struct stoq_host *host);

/*
 * Operations that add content run beside one another; a removal runs alone, since it may take chunks that
 * an addition counts on. alone waits up to timeout, asking cancelled (may be NULL) now and then.
 * STOQ_OK: stoq_host_content_end must follow; STOQ_BUSY; STOQ_CANCELLED.
 */
STOQ_WARN_UNUSED enum stoq_status stoq_host_content_begin(struct stoq_host *host, bool alone,
                                                          stoq_ns timeout,
                                                          bool (*cancelled)(void *user), void *user,
                                                          struct stoq_error *err);
void stoq_host_content_end(struct stoq_host *host, bool alone);

#endif
