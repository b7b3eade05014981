#ifndef STOQ_DAEMON_HOST_INTERNAL_H
#define STOQ_DAEMON_HOST_INTERNAL_H
/* A host's inside: host.c is its life, host_tell.c what others are told of its packages. */
#include "daemon/host.h"

#include <pthread.h>

struct stoq_host {
    struct stoq_host_config cfg;
    struct stoq_home home;
    struct stoq_addr listen[STOQ_NET_LISTEN_MAX]; /* copied from cfg */
    struct stoq_config config;                    /* under lock: a reload replaces it */
    struct stoq_host_reading reading;             /* under lock */
    struct stoq_key *key;
    struct stoq_store *store;
    bool store_writable;
    struct stoq_engine *engine;
    struct stoq_scrubber *scrubber;
    struct stoq_keeper *keeper;
    struct stoq_replicator *replicator;
    stoq_ns started_at;
    pthread_mutex_t opening; /* held while something is opened; never inside lock */
    pthread_mutex_t lock;
    pthread_mutex_t record_lock;
    pthread_cond_t content_free;
    unsigned adding;     /* operations that add content */
    unsigned add_number; /* the store's, while there are any: adds_told */
    bool adds_told;
    bool removing;
};

/* host_tell.c */
/* Packages of before are announced, and the ways into the DHT gone. */
void host_begin_dht(struct stoq_host *host);

#endif
