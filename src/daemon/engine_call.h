#ifndef STOQ_DAEMON_ENGINE_CALL_H
#define STOQ_DAEMON_ENGINE_CALL_H
/* What the network thread does for other threads: a call, what takes a while, a list to be told. */
#include "base/bytes.h"

#include <pthread.h>

struct stoq_engine;

/* Run fn on the network thread and wait for it; any other thread. */
void engine_call(struct stoq_engine *e, void (*fn)(struct stoq_engine *e, void *arg), void *arg);

/* Something that its caller waits for; the first member of what it is about. */
struct engine_wait {
    struct engine_wait *next; /* of its list; the network thread's */
    uint64_t number;          /* its name in that list */
    enum stoq_status status;  /* once it is done */
    pthread_mutex_t lock;     /* guards what follows */
    pthread_cond_t changed;
    bool news; /* there is something for the caller to look at */
    bool done;
};
struct engine_waits {
    struct engine_wait *first;
    uint64_t last; /* number given */
};

/* The caller's side. */
void engine_wait_init(struct engine_wait *w);
void engine_wait_release(struct engine_wait *w);
/* True: done. False: a tenth of a second has passed, or there are news, which are taken. */
bool engine_wait_some(struct engine_wait *w, bool *news);
struct engine_patience {
    stoq_ns timeout_ns;
    bool (*cancelled)(void *user); /* NULL: never */
    void *user;
    /* On the network thread: it is to end; it may have. */
    void (*stop)(struct stoq_engine *e, void *w);
};
/* Wait until it is done. True: its time was over; without time left it is stopped before it is waited for. */
bool engine_wait_watch(struct stoq_engine *e, struct engine_wait *w,
                       const struct engine_patience *how);

/* The network thread's side. */
void engine_wait_add(struct engine_waits *list, struct engine_wait *w);
void *engine_wait_find(const struct engine_waits *list, uint64_t number); /* NULL: over */
bool engine_wait_is_open(const struct engine_waits *list, const struct engine_wait *w);
void engine_wait_news(struct engine_wait *w); /* with its lock held */
/* Out of its list, and done: it is the caller's again. */
void engine_wait_end(struct engine_waits *list, struct engine_wait *w, enum stoq_status status);

/* Items copied on the network thread. */
struct engine_list {
    void *v;
    size_t item_bytes;
    size_t count;
    size_t room;
};
/* Room for n items, all zero. False: no memory. */
bool engine_list_room(struct engine_list *list, size_t n);
/*
 * Tell a list on the caller's thread: take, on the network thread, is given a struct engine_list to make room
 * in and to fill; tell is called for each item. STOQ_OK, STOQ_NOMEM.
 */
STOQ_WARN_UNUSED enum stoq_status engine_list_tell(struct stoq_engine *e, size_t item_bytes,
                                                   void (*take)(struct stoq_engine *e, void *list),
                                                   void (*tell)(void *user, const void *item),
                                                   void *user);

#endif
