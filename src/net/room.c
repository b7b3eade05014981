#include "net/room.h"

void net_room_init(struct net_room *r, size_t connections_max, size_t prefix_max,
                   uint64_t memory_max, uint64_t seed)
{
    *r = (struct net_room){
        .connections_max = connections_max, .prefix_max = prefix_max, .memory_max = memory_max};
    STOQ_ASSERT(pthread_mutex_init(&r->lock, NULL) == 0);
    stoq_map_init(&r->prefixes, seed);
}

void net_room_release(struct net_room *r)
{
    STOQ_ASSERT(atomic_load(&r->live) == 0 && atomic_load(&r->held) == 0 && r->prefixes.count == 0);
    stoq_map_release(&r->prefixes);
    pthread_mutex_destroy(&r->lock);
}

void net_room_shut(struct net_room *r)
{
    pthread_mutex_lock(&r->lock);
    r->connections_max = 0;
    pthread_mutex_unlock(&r->lock);
}

/* Under the lock. */
static size_t prefix_count(const struct net_room *r, uint64_t prefix)
{
    return (uintptr_t)stoq_map_get(&r->prefixes, (struct stoq_map_key){prefix, 0});
}

/* Likewise. */
static enum net_room_answer take(struct net_room *r)
{
    if (atomic_load_explicit(&r->live, memory_order_relaxed) >= r->connections_max) {
        return NET_ROOM_CONNECTIONS;
    }
    atomic_fetch_add_explicit(&r->live, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&r->held, 1, memory_order_relaxed);
    return NET_ROOM_TAKEN;
}

enum net_room_answer net_room_enter(struct net_room *r)
{
    pthread_mutex_lock(&r->lock);
    enum net_room_answer answer = take(r);
    pthread_mutex_unlock(&r->lock);
    return answer;
}

enum net_room_answer net_room_admit(struct net_room *r, uint64_t prefix, uint64_t bytes)
{
    enum net_room_answer answer;
    pthread_mutex_lock(&r->lock);
    if (prefix_count(r, prefix) >= r->prefix_max) {
        answer = NET_ROOM_PREFIX;
    } else if (net_room_bytes(r) + bytes >= r->memory_max) {
        answer = NET_ROOM_MEMORY;
    } else {
        answer = take(r);
    }
    pthread_mutex_unlock(&r->lock);
    return answer;
}

bool net_room_settle(struct net_room *r, uint64_t prefix)
{
    pthread_mutex_lock(&r->lock);
    size_t count = prefix_count(r, prefix);
    bool room =
        count < r->prefix_max && stoq_map_put(&r->prefixes, (struct stoq_map_key){prefix, 0},
                                              (void *)(uintptr_t)(count + 1)) == STOQ_OK;
    pthread_mutex_unlock(&r->lock);
    return room;
}

void net_room_unsettle(struct net_room *r, uint64_t prefix)
{
    struct stoq_map_key key = {prefix, 0};
    pthread_mutex_lock(&r->lock);
    size_t count = prefix_count(r, prefix);
    STOQ_ASSERT(count > 0);
    if (count == 1) {
        (void)stoq_map_remove(&r->prefixes, key);
    } else {
        STOQ_ASSERT(stoq_map_put(&r->prefixes, key, (void *)(uintptr_t)(count - 1)) == STOQ_OK);
    }
    pthread_mutex_unlock(&r->lock);
}

void net_room_leave(struct net_room *r)
{
    STOQ_ASSERT(atomic_fetch_sub_explicit(&r->live, 1, memory_order_relaxed) > 0);
}

void net_room_forget(struct net_room *r)
{
    STOQ_ASSERT(atomic_fetch_sub_explicit(&r->held, 1, memory_order_relaxed) > 0);
}

uint64_t net_room_bytes(const struct net_room *r)
{
    return atomic_load_explicit(&r->held, memory_order_relaxed) * NET_CONN_BYTES;
}

size_t net_room_prefix_most(struct net_room *r)
{
    size_t most = 0;
    pthread_mutex_lock(&r->lock);
    size_t at = 0;
    const void *count;
    while ((count = stoq_map_next(&r->prefixes, &at)) != NULL) {
        most = (uintptr_t)count > most ? (uintptr_t)count : most;
    }
    pthread_mutex_unlock(&r->lock);
    return most;
}
