/*
 * Background yields: while replies of that class are under way the paths they take are looked at some twenty
 * times a second, and the transport is told how fast they may be. The rule is the bandwidth core's
 * (src/qos/qos_yield.h). Figures of connections on other threads are asked for with each look and used with
 * the next one.
 */
#include "daemon/engine_internal.h"

#define LATE (STOQ_QOS_YIELD_EVERY / 5)   /* this thread was kept from running */
#define UNSEEN (4 * STOQ_QOS_YIELD_EVERY) /* as long as a path may go without a look for that */

/* One look per connection, whatever the number of its replies. What a thread that had to wait for a core
 * measures is its own delay and not the path's: it looks again. */
static void look(struct stoq_engine *e, const struct inbound *in, bool is_late, stoq_ns now)
{
    struct peer *p = in->peer;
    struct stoq_net_info info;
    if (is_late && p->yield_conn == in->conn && now - p->yielded_at < UNSEEN) {
        return;
    }
    if (p->yielded_at == now || !stoq_net_info(e->net, in->conn, &info)) {
        return;
    }
    if (p->yield_conn != in->conn) {
        p->yield = (struct stoq_qos_yield){0};
        p->yield_conn = in->conn;
    }
    p->yielded_at = now;
    const struct stoq_qos_path path = {.rtt_ns = info.late_rtt_ns,
                                       .sent_bytes = info.bytes_sent,
                                       .lost_bytes = info.bytes_lost,
                                       .yielding_bytes = info.background_bytes};
    stoq_net_background_rate(e->net, in->conn, stoq_qos_yield(&p->yield, &path, now));
}

void engine_yield_run(struct stoq_engine *e, stoq_ns now)
{
    size_t at = 0;
    const struct inbound *in;
    if (e->yielding == 0 || now < e->yield_at) {
        return;
    }
    bool is_late = now - e->yield_at > LATE;
    e->yield_at = now + STOQ_QOS_YIELD_EVERY;
    while ((in = stoq_map_next(&e->streams, &at)) != NULL) {
        if (in->yields && !in->over) {
            look(e, in, is_late, now);
        }
    }
    stoq_net_refresh(e->net);
}

stoq_ns engine_yield_deadline(const struct stoq_engine *e)
{
    return e->yielding > 0 ? e->yield_at : STOQ_NEVER;
}

void engine_yield_begin(struct inbound *in)
{
    struct stoq_engine *e = in->engine;
    in->yields = true;
    if (e->yielding++ == 0) {
        stoq_net_refresh(e->net);
        e->yield_at = stoq_now(); /* at once: nothing of it has left */
    }
}

void engine_yield_end(struct inbound *in)
{
    if (in->yields) {
        in->yields = false;
        in->engine->yielding--;
    }
}
