#ifndef STOQ_DAEMON_OPS_H
#define STOQ_DAEMON_OPS_H
/*
 * What a user can ask of a node: one table of operations with JSON arguments and one JSON result. The
 * API server runs them inside the daemon, the command line runs the same ones in its own process when
 * no daemon is there: the results have the same keys either way. Keys are documented in docs/CLI.md.
 */
#include "api/json.h"

struct stoq_host; /* daemon/host.h: home, configuration, key, store, engine */

/* Where an operation's output goes while it runs. Members may be NULL. Called on the operation's thread;
 * calls may block, and progress may drop what comes too fast. */
struct stoq_op_io {
    void *user;
    /* One event object, borrowed: {"type":"progress","phase":...,"bytes":...,"bytes_total":...} */
    void (*progress)(void *user, const json_t *event);
    /* Verified bytes of a data operation, in order, borrowed. Failure ends the operation with it. */
    enum stoq_status (*data)(void *user, struct stoq_span bytes);
    /* The one who asked went away or was interrupted: return STOQ_CANCELLED soon, keep what is done. */
    bool (*cancelled)(void *user);
};

/* args were checked against the operation's keys; *result is a new reference, set on STOQ_OK only
 * (NULL there means no memory). */
typedef enum stoq_status stoq_op_fn(struct stoq_host *host, const json_t *args,
                                    struct stoq_op_io *io, json_t **result, struct stoq_error *err);

enum stoq_op_flag {
    STOQ_OP_WRITES = 1,      /* changes the store: needs its writer lock; makes a missing home */
    STOQ_OP_DATA = 2,        /* hands out content */
    STOQ_OP_DAEMON_ONLY = 4, /* makes sense only in a running daemon */
    STOQ_OP_NO_STORE = 8,    /* works without a store */
    STOQ_OP_BARE = 32,       /* opens what it needs itself */
    STOQ_OP_MAY_FETCH = 16,  /* brings what is not here from peers, when any are known */
};

struct stoq_op {
    const char *name;
    stoq_op_fn *fn;
    unsigned flags;
    const struct stoq_json_key *keys;
    size_t key_count;
};

/* With these arguments the operation's output is content, not a result. */
bool stoq_op_streams(const struct stoq_op *op, const json_t *args);

/* NULL: no such operation. */
const struct stoq_op *stoq_op_find(const char *name);
/* The i-th operation, NULL past the last. */
const struct stoq_op *stoq_op_at(size_t i);

/*
 * Check args, open what the operation needs, run it. *result is set on STOQ_OK and is not NULL then.
 * Anything an operation can return, plus STOQ_RANGE for arguments, STOQ_NET with code DaemonNotRunning
 * for a daemon-only operation in another process.
 */
STOQ_WARN_UNUSED enum stoq_status stoq_op_run(struct stoq_host *host, const struct stoq_op *op,
                                              const json_t *args, struct stoq_op_io *io,
                                              json_t **result, struct stoq_error *err);

#endif
