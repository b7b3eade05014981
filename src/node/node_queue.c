/*
 * Which fetch begins when there is room for one. What is waited for goes first, then what is normal, then
 * what is done in the background; waiting lifts a fetch by one rank in QUEUE_RANK_AGE, without end, so that
 * the oldest of any priority begins some day, whatever comes after it. A reader in order and a part of a
 * package never wait: somebody stands there, and may hold one fetch while it asks for the next.
 *
 * Nothing here wakes up by itself: room comes from a fetch that ends, and age is looked at then.
 */
#include "node/node_internal.h"

#define QUEUE_RANK_AGE (30 * STOQ_SEC)

static stoq_ns rank(const struct fetch *f)
{
    static const stoq_ns ranks[STOQ_PRIORITIES] = {[STOQ_PRIORITY_INTERACTIVE] = 0,
                                                   [STOQ_PRIORITY_NORMAL] = 1,
                                                   [STOQ_PRIORITY_BACKGROUND] = 2};
    return f->report.started_at + ranks[f->priority] * QUEUE_RANK_AGE;
}

static struct fetch *next_of(struct stoq_node *n)
{
    struct fetch *best = NULL;
    for (struct fetch *f = n->fetches; f != NULL; f = f->next) {
        if (f->over || !f->waits) {
            continue;
        }
        /* Later ones come first in the list: of equals the older one. */
        if (best == NULL || rank(f) <= rank(best)) {
            best = f;
        }
    }
    return best;
}

static bool has_room(const struct stoq_node *n)
{
    uint32_t most =
        n->cfg.fetches_running_max == 0 ? STOQ_NODE_RUNNING_MAX : n->cfg.fetches_running_max;
    return n->running < most;
}

void queue_enter(struct fetch *f, bool may_wait)
{
    f->waits = may_wait;
    if (!may_wait) {
        f->node->running++;
    }
}

void queue_leave(struct fetch *f)
{
    struct stoq_node *n = f->node;
    if (!f->waits) {
        n->running--;
        n->drive_again = true; /* one that waits may begin */
    }
}

void queue_drive(struct stoq_node *n)
{
    struct fetch *f;
    while (has_room(n) && (f = next_of(n)) != NULL) {
        f->waits = false;
        n->running++;
        fetch_start(f);
    }
}
