#ifndef STOQ_DAEMON_MEND_H
#define STOQ_DAEMON_MEND_H
/*
 * Mending: find the packages that lack something, and fetch it again from whoever may have it.
 */
#include "daemon/holes.h"
#include "daemon/host.h"

/* A package or content that lacked something. */
struct stoq_mend_item {
    bool is_content;
    struct stoq_package_id id;
    struct stoq_address address;
    struct stoq_span name; /* of a package whose manifest is here; borrowed for the call */
    struct stoq_span version;
    const struct stoq_holes *holes; /* what it lacked before */
    uint64_t chunks_left;           /* what it lacks now */
    bool mended;
    const char *why; /* why not; "" when it is */
};

/* All borrowed for the call. */
struct stoq_mend_ask {
    const struct stoq_fetch_source *sources; /* asked besides those the node knows of */
    size_t source_count;
    bool offline; /* only look, ask nobody */
    void (*each)(void *user, const struct stoq_mend_item *item);
    /* A record that no package can bring back: an alias, a pin. */
    void (*lost)(void *user, const char *what);
    bool (*cancelled)(void *user);
    void *user;
};

struct stoq_mend_report {
    uint64_t packages;       /* looked at, contents included */
    uint64_t lacking;        /* of them, when it ended */
    uint64_t mended;         /* whole again */
    uint64_t chunks_missing; /* when it ended */
    uint64_t chunks_mended;
    uint64_t records_lost; /* others, see `lost` */
};

/*
 * Look through everything, mark what lacks something as not complete, and mend it. Without a source
 * it stays as it is: the rest of it is served on.
 *
 * STOQ_OK: the report says how it is; STOQ_CANCELLED, STOQ_BUSY, STOQ_IO, STOQ_NOMEM
 * Cost: an index lookup per chunk of every package.
 */
STOQ_WARN_UNUSED enum stoq_status stoq_mend(struct stoq_host *host, const struct stoq_mend_ask *ask,
                                            struct stoq_mend_report *report,
                                            struct stoq_error *err);

#endif
