#ifndef STOQ_DAEMON_SCRUBBER_H
#define STOQ_DAEMON_SCRUBBER_H
/*
 * When the store is read again and by whom: passes in the background of a daemon, within a budget, and
 * passes that somebody waits for; and what is mended when damage is met. A pass that was interrupted goes
 * on where it stood, in another process too.
 */
#include "daemon/mend.h"
#include "store/scrub.h"

struct stoq_scrubber;

/* Sources remembered of one package. */
#define STOQ_SCRUBBER_SOURCES_MAX 8

/* Nothing runs yet; host is kept. STOQ_OK, STOQ_NOMEM. */
STOQ_WARN_UNUSED enum stoq_status stoq_scrubber_new(struct stoq_scrubber **out,
                                                    struct stoq_host *host);
/* End its thread; the pass under way is kept for later. It may still be called by the store's users, and
 * does nothing more. NULL is fine. */
void stoq_scrubber_stop(struct stoq_scrubber *s);
/* Stops it; the store is closed. NULL is fine. */
void stoq_scrubber_free(struct stoq_scrubber *s);
/* Begin to work in the background, once the host is open. STOQ_OK, STOQ_NOMEM. */
STOQ_WARN_UNUSED enum stoq_status stoq_scrubber_start(struct stoq_scrubber *s,
                                                      struct stoq_error *err);

/* Damage was met: mend it soon. Any thread, does not block. */
void stoq_scrubber_wake(struct stoq_scrubber *s);

/* Who had a package when it was fetched; the last 256 packages' are kept. Any thread. */
void stoq_scrubber_remember(struct stoq_scrubber *s, const struct stoq_package_id *id,
                            const struct stoq_fetch_source *sources, size_t count);
/* At most STOQ_SCRUBBER_SOURCES_MAX to out; how many. */
size_t stoq_scrubber_sources(struct stoq_scrubber *s, const struct stoq_package_id *id,
                             struct stoq_fetch_source *out);

struct stoq_scrubber_status {
    bool running; /* a pass is being read now */
    struct stoq_scrub_state state;
    uint64_t bytes_total; /* that a pass reads of segments */
    uint64_t next_at;     /* seconds since 1970: when the next pass begins; 0: never by itself */
    uint64_t rate_bytes_per_s;      /* of passes in the background */
    struct stoq_mend_report mended; /* how the last look ended; all zero: none yet */
    uint64_t chunks_mended;         /* since the start */
};
/* Any thread. STOQ_OK, STOQ_IO. */
STOQ_WARN_UNUSED enum stoq_status stoq_scrubber_status(struct stoq_scrubber *s,
                                                       struct stoq_scrubber_status *out,
                                                       struct stoq_error *err);

/* A pass that the caller waits for. All borrowed for the call. */
struct stoq_scrubber_ask {
    bool anew;                 /* from the first byte, whatever stands */
    uint64_t rate_bytes_per_s; /* 0: as fast as it goes */
    struct stoq_mend_ask mend; /* its user and cancelled serve the whole pass */
    void (*found)(void *user, bool lost, const char *what);
    void (*progress)(void *user, uint64_t bytes_done, uint64_t bytes_total);
};

/*
 * Read the rest of the pass under way, or a whole one, then mend. The background rests meanwhile.
 *
 * counts  of the whole pass, with what was read before this call
 *
 * STOQ_OK: it ran to its end; STOQ_CANCELLED: the next goes on there; STOQ_BUSY: another one is waited
 * for; STOQ_IO, STOQ_NOMEM, STOQ_FULL
 */
STOQ_WARN_UNUSED enum stoq_status stoq_scrubber_pass(struct stoq_scrubber *s,
                                                     const struct stoq_scrubber_ask *ask,
                                                     struct stoq_scrub_counts *counts,
                                                     struct stoq_mend_report *report,
                                                     struct stoq_error *err);

#endif
