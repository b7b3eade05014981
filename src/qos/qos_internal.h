#ifndef STOQ_QOS_QOS_INTERNAL_H
#define STOQ_QOS_QOS_INTERNAL_H
/*
 * Buckets, parties (peers), groups and flows. qos.c owns their lives, qos_share.c who is next.
 */
#include "qos/qos.h"

struct qos_bucket {
    uint64_t rate; /* 0: no cap */
    int64_t credit;
    uint64_t rest; /* millionths of a byte */
    stoq_ns at;
};

/* Bytes over slots of half a second. */
struct qos_meter {
    stoq_ns at;
    uint64_t bytes;
    uint64_t rate_bytes_per_s;
};

/* A peer while it has flows or caps. */
struct qos_party {
    struct stoq_peer_id peer;
    struct qos_bucket cap[STOQ_QOS_DIRS];
    uint32_t flows;
};

/* Who shares, first: those who are waited for, and background. */
enum qos_band {
    QOS_FOREGROUND,
    QOS_BACKGROUND,
    QOS_BANDS,
};

/* Start-time fair queueing: who was given least since it began to want, by its weight, is next. */
struct qos_turn {
    uint64_t given; /* bytes over weight, from where the others were when it began */
    uint32_t waiting;
};

/* Flows that are one to the others of their band. */
struct qos_group {
    enum stoq_qos_dir dir;
    enum stoq_priority priority;
    uint64_t number;
    struct qos_turn turn;
    uint32_t flows;
};

struct qos_flow {
    struct qos_party *party; /* NULL: free */
    struct qos_group *group;
    uint64_t transfer;
    void *user;
    uint64_t wanted;
    uint64_t granted;
    uint64_t place; /* among the group's flows: lowest first */
    struct qos_meter meter;
};

struct stoq_qos {
    struct stoq_alloc alloc;
    struct qos_bucket all[STOQ_QOS_DIRS];
    struct qos_bucket of_class[STOQ_QOS_DIRS][STOQ_PRIORITIES];
    uint64_t base[STOQ_QOS_DIRS]; /* of all together, outside windows */
    struct stoq_qos_window window[STOQ_QOS_WINDOWS_MAX];
    size_t window_count;
    unsigned minute; /* STOQ_QOS_DAY_MINUTES: not told */
    struct qos_turn band[STOQ_QOS_DIRS][QOS_BANDS];
    uint64_t band_now[STOQ_QOS_DIRS];             /* where a band that begins to want begins */
    uint64_t group_now[STOQ_QOS_DIRS][QOS_BANDS]; /* likewise a group */
    uint64_t place;
    struct qos_party **parties;
    size_t party_count;
    size_t party_room;
    size_t capped;
    struct qos_group **groups;
    size_t group_count;
    size_t group_room;
    struct qos_flow *flows;
    size_t flow_count; /* places used so far */
    size_t flow_room;
    size_t waiting;
    uint32_t waiting_class[STOQ_QOS_DIRS][STOQ_PRIORITIES];
    stoq_ns now;
};

/* qos_bucket.c */
void qos_bucket_set(struct qos_bucket *b, uint64_t rate, stoq_ns now);
void qos_bucket_fill(struct qos_bucket *b, stoq_ns now);
/* When it is not empty; now: it is not, or has no cap. Filled at now. */
stoq_ns qos_bucket_open_at(const struct qos_bucket *b, stoq_ns now);
void qos_meter_add(struct qos_meter *m, uint64_t bytes, stoq_ns now);
uint64_t qos_meter_rate(const struct qos_meter *m, stoq_ns now);

/* qos_window.c */
/* Let the buckets of all together have what holds at this time of day. */
void qos_apply_windows(struct stoq_qos *q, stoq_ns now);

/* qos_share.c */
static inline enum qos_band qos_band_of(enum stoq_priority priority)
{
    return priority == STOQ_PRIORITY_BACKGROUND ? QOS_BACKGROUND : QOS_FOREGROUND;
}
void qos_stop_waiting(struct stoq_qos *q, struct qos_flow *f);

#endif
