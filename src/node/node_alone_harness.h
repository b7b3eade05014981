#ifndef STOQ_NODE_NODE_ALONE_HARNESS_H
#define STOQ_NODE_NODE_ALONE_HARNESS_H
/*
 * One node alone, fed by hand, for the rules that worlds of honest and lying nodes do not come upon. Its
 * store lacks all metadata and has all chunks. A test program has one node at a time.
 */
#include "node/node_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

extern struct stoq_node *node;
extern stoq_ns now;     /* the tests move it */
extern bool saves_wait; /* else the store is done with a save at once */
extern bool opens;      /* openings are the test's to answer; else peers do not know them */
extern stoq_node_cookie saves[8]; /* those that wait */
extern unsigned save_count;
extern const struct stoq_package_id package; /* some package */

/* What the node wants done now, by kind; of asks the last one. */
struct wishes {
    unsigned count[STOQ_NODE_SERVE_CHUNKS + 1];
    stoq_node_cookie asked; /* of the last ASK for metadata but signatures */
    enum stoq_meta_kind asked_kind;
    bool early; /* that one may go with the first packets */
    struct asked_lists {
        stoq_node_cookie cookie;
        stoq_peer peer;
        struct stoq_range shards;
    } lists[8]; /* all ASKs for chunk lists */
    unsigned list_count;
    stoq_node_cookie cancelled;
    stoq_node_cookie hello; /* of the last ASK of Hello */
    uint64_t error;         /* code of the last Error sent */
    enum stoq_node_why charged;
    enum stoq_status done;
    enum stoq_status source_status[2]; /* of DONE's report */
};

int node_setup(void **state);
int node_setup_with(const struct stoq_node_config *cfg);
int node_teardown(void **state);
#define ALONE(test) cmocka_unit_test_setup_teardown(test, node_setup, node_teardown)

/* Must be taken in. */
void feed(struct stoq_node_event ev);
/* Poll until nothing more is wanted now. Signatures are always answered with "not found". */
struct wishes poll_all(void);
void link_up(stoq_peer peer);
/* The reply to an ask of ours: an Error message; none, for this reason. */
void answer_error(stoq_node_cookie cookie, enum stoq_error_code code);
void answer_status(stoq_node_cookie cookie, enum stoq_status status);
/* The reply brings this; then poll_all. */
struct wishes answer(stoq_node_cookie cookie, enum stoq_meta_kind kind, struct stoq_span payload);
/* The manifest of a package with this root, into an uninitialised buf; its id. */
struct stoq_package_id make_manifest(struct stoq_buf *out, const struct stoq_merkle_root *root);

#endif
