#ifndef STOQ_DAEMON_LIVE_H
#define STOQ_DAEMON_LIVE_H
/*
 * Reading a package that is not, or not all, here: what a reader comes to and the store lacks is brought
 * from peers while it reads, in the order of the stream, a window ahead of the reader. What came stays in
 * the store; a later fetch brings the rest.
 */
#include "daemon/engine.h"
#include "daemon/held.h"

struct stoq_host;
struct stoq_live;

/*
 * host  kept; its store is open for writing. Nothing else happens until something is missing
 * ask   which package from whom; its sources, seed and callbacks are kept until free
 *
 * STOQ_OK, STOQ_NOMEM.
 */
STOQ_WARN_UNUSED enum stoq_status stoq_live_new(struct stoq_live **out, struct stoq_host *host,
                                                const struct stoq_fetch_ask *ask,
                                                struct stoq_error *err);
/* Ends what is under way. NULL is fine; after the last of its helds. */
void stoq_live_free(struct stoq_live *live);

/* As stoq_held_open, but what is not here is brought, now and while its stream is read. The caller's to
 * close. What a fetch gives too (daemon/engine.h). */
STOQ_WARN_UNUSED enum stoq_status stoq_live_open(struct stoq_live *live, struct stoq_held **out,
                                                 struct stoq_error *err);

/* What is read next ends before this byte of the stream: nothing behind it is brought. */
void stoq_live_expect(struct stoq_live *live, uint64_t end);

/* From now on bring all of the package, in order; what is read is a by-product. *report is filled at
 * stoq_live_finish. What stoq_fetch_begin gives. */
STOQ_WARN_UNUSED enum stoq_status stoq_live_begin_all(struct stoq_live *live,
                                                      struct stoq_fetch_report *report,
                                                      struct stoq_error *err);
/* Wait until all of it is here, durable and recorded. What stoq_engine_fetch gives. */
STOQ_WARN_UNUSED enum stoq_status stoq_live_finish(struct stoq_live *live, struct stoq_error *err);

#endif
