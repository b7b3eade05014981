#ifndef STOQ_DAEMON_CONFIG_H
#define STOQ_DAEMON_CONFIG_H
/*
 * The configuration file: INI, every key known, every error with file, line and key (docs/CLI.md,
 * "Configuration"). Keys stand in their section or are written dotted: `[store]` and `dir =`, or
 * `store.dir =`.
 */
#include "daemon/engine.h"
#include "replica/accept.h"

#define STOQ_CONFIG_BYTES_MAX ((size_t)STOQ_MIB)
#define STOQ_CONFIG_PATH_MAX 4096
#define STOQ_CONFIG_KEYS_MAX 64

enum stoq_log_level { STOQ_LOG_QUIET, STOQ_LOG_INFO, STOQ_LOG_DEBUG };

#define STOQ_CONFIG_BOOTSTRAP_MAX 16

struct stoq_config {
    struct stoq_addr listen[STOQ_NET_LISTEN_MAX];
    size_t listen_count;
    struct stoq_fetch_source peers[STOQ_FETCH_SOURCES_MAX]; /* static peers: sources of every get */
    struct stoq_peers_place peer_places[STOQ_FETCH_SOURCES_MAX];
    size_t peer_count;
    struct stoq_fetch_source
        bootstrap[STOQ_CONFIG_BOOTSTRAP_MAX]; /* dialled when a daemon starts */
    size_t bootstrap_count;
    struct stoq_peer_id allow[STOQ_ALLOW_MAX]; /* the only peers; none: everybody */
    size_t allow_count;
    char site[STOQ_PEERS_LABEL_MAX + 1];  /* ours; "": not known */
    bool lan;                             /* LAN discovery */
    bool dns_sd;                          /* and an announcement that other programs see */
    bool exchange;                        /* peers tell each other of peers */
    bool dht;                             /* take part in the DHT */
    bool dht_announce;                    /* what is here whole is announced there */
    unsigned dht_bits;                    /* of work in a node id */
    unsigned dht_holders;                 /* of a record */
    uint64_t dht_signed_s;                /* what records of ours are signed for */
    enum stoq_replica_policy accept;      /* whose offers are kept */
    char store_dir[STOQ_CONFIG_PATH_MAX]; /* "": the home's */
    uint64_t scrub_rate_bytes_per_s;      /* of passes in the background; 0: no limit */
    uint64_t quota_bytes;                 /* of segments; 0: none */
    int zstd_level;                       /* of new chunks, as the store takes it */
    unsigned quota_high_percent;          /* fuller than this: make room ... */
    unsigned quota_low_percent;           /* ... down to this */
    uint64_t gc_rate_bytes_per_s;         /* of collections in the background; 0: no limit */
    unsigned gc_garbage_percent;          /* so much dead: collect */
    uint64_t scrub_every_s; /* from the end of a pass to the next; 0: none by itself */
    char
        network_key[STOQ_CONFIG_PATH_MAX]; /* 64 hexadecimal digits or an absolute path; "": none */
    bool client;                           /* serves nobody, announces nothing */
    bool raw;                              /* chunks travel unpacked */
    bool early_data;
    bool connections_only; /* neither sends nor answers sealed datagrams */
    uint64_t idle_s;       /* 0: the transport's default */
    enum stoq_net_mode encryption;
    enum stoq_net_cc congestion;
    uint16_t packet_bytes_max;        /* 0: the engine's default, as the two below */
    struct stoq_engine_limits limits; /* likewise, each of them */
    struct stoq_trust_config trust;   /* 0: the core's default */
    uint64_t up_bytes_per_s;          /* 0: no cap */
    uint64_t down_bytes_per_s;
    uint64_t class_bytes_per_s[STOQ_QOS_DIRS][STOQ_PRIORITIES]; /* likewise */
    struct stoq_qos_window windows[STOQ_QOS_WINDOWS_MAX];
    size_t window_count;
    uint32_t fetches_running_max; /* 0: the engine's default */
    unsigned workers;
    unsigned net_threads;
    uint64_t open_files_max; /* 0: as the process was started */
    unsigned api_connections_max;
    enum stoq_log_level log_level;
    uint64_t said[STOQ_CONFIG_KEYS_MAX]; /* of each key a digest of its values; 0: left out */
};

/* Every value its default. */
void stoq_config_init(struct stoq_config *c);

/*
 * Read text as a configuration file; name stands for it in messages. *out is filled on STOQ_OK only.
 * STOQ_MALFORMED with code ConfigInvalid: "name:line: key: reason".
 */
STOQ_WARN_UNUSED enum stoq_status stoq_config_parse(struct stoq_config *out, const char *name,
                                                    struct stoq_span text, struct stoq_error *err);

/* The next key, from the *at-th on, which counts from a daemon's next start and says another thing in
 * after than in before; NULL: no more. */
const char *stoq_config_waits(const struct stoq_config *before, const struct stoq_config *after,
                              size_t *at);

/* Read a file. Also STOQ_NOTFOUND: no such file; STOQ_FULL: over STOQ_CONFIG_BYTES_MAX; STOQ_IO. */
STOQ_WARN_UNUSED enum stoq_status stoq_config_load(struct stoq_config *out, const char *path,
                                                   struct stoq_error *err);

/* Append what `stoq init` writes: every key, commented out, with its default. STOQ_OK, STOQ_FULL,
 * STOQ_NOMEM. */
STOQ_WARN_UNUSED enum stoq_status stoq_config_template(struct stoq_buf *out);

#endif
