#include "node/node_alone_harness.h"

struct stoq_node *node;
stoq_ns now;
bool saves_wait;
bool opens;
stoq_node_cookie saves[8];
unsigned save_count;
const struct stoq_package_id package = {{{7}}};

int node_setup_with(const struct stoq_node_config *cfg)
{
    now = STOQ_SEC;
    saves_wait = false;
    opens = false;
    save_count = 0;
    assert_int_equal(stoq_node_new(&node, cfg, 1), STOQ_OK);
    return 0;
}

int node_setup(void **state)
{
    (void)state;
    return node_setup_with(&(struct stoq_node_config){.agent = stoq_span_str("test")});
}

int node_teardown(void **state)
{
    (void)state;
    stoq_node_free(node);
    return 0;
}

void feed(struct stoq_node_event ev)
{
    assert_int_equal(stoq_node_feed(node, &ev, now), STOQ_OK);
}

void answer_error(stoq_node_cookie cookie, enum stoq_error_code code)
{
    struct stoq_message msg = {.type = STOQ_MSG_ERROR, .request_id = cookie};
    msg.u.error.code = code;
    feed(
        (struct stoq_node_event){.kind = STOQ_NODE_REPLY, .u.reply = {cookie, STOQ_OK, &msg, {0}}});
}

void answer_status(stoq_node_cookie cookie, enum stoq_status status)
{
    feed((struct stoq_node_event){.kind = STOQ_NODE_REPLY, .u.reply = {cookie, status, NULL, {0}}});
}

struct wishes answer(stoq_node_cookie cookie, enum stoq_meta_kind kind, struct stoq_span payload)
{
    struct stoq_message msg = {.type = STOQ_MSG_RESPONSE, .request_id = cookie};
    msg.u.response.kind = kind;
    msg.u.response.payload_bytes = payload.n;
    feed((struct stoq_node_event){.kind = STOQ_NODE_REPLY,
                                  .u.reply = {cookie, STOQ_OK, &msg, payload}});
    return poll_all();
}

static void see_ask(const struct stoq_node_ask *ask, struct wishes *w)
{
    if (ask->msg->type == STOQ_MSG_HELLO) {
        w->hello = ask->cookie;
    } else if (ask->msg->u.metadata_query.kind == STOQ_META_SIGNATURES) {
        answer_error(ask->cookie, STOQ_ERR_CONTENT_NOT_FOUND);
    } else if (ask->msg->u.metadata_query.kind == STOQ_META_OPENING && !opens) {
        answer_error(ask->cookie, STOQ_ERR_UNSUPPORTED);
    } else {
        w->asked = ask->cookie;
        w->asked_kind = ask->msg->u.metadata_query.kind;
        w->early = ask->early;
    }
    if (ask->msg->type == STOQ_MSG_METADATA_QUERY &&
        ask->msg->u.metadata_query.kind == STOQ_META_CHUNK_LISTS) {
        assert_true(w->list_count < STOQ_COUNT(w->lists));
        w->lists[w->list_count++] =
            (struct asked_lists){ask->cookie, ask->peer, ask->msg->u.metadata_query.shards};
    }
}

/* The store: of a package it has no lists and all chunks. */
static void see_store(const struct stoq_node_action *a)
{
    static uint8_t all[STOQ_MERKLE_SHARD_CHUNKS_MAX / 8];
    memset(all, 0xff, sizeof all);
    if (a->kind == STOQ_NODE_LOAD_META) {
        feed((struct stoq_node_event){.kind = STOQ_NODE_LOADED,
                                      .u.loaded = {a->u.meta.cookie, STOQ_NOTFOUND, {0}}});
    } else if (a->kind == STOQ_NODE_CHECK_HAVE) {
        feed((struct stoq_node_event){.kind = STOQ_NODE_HAVE, .u.have = {a->u.check.cookie, all}});
    } else if (a->kind == STOQ_NODE_SAVE_META && !saves_wait) {
        feed((struct stoq_node_event){.kind = STOQ_NODE_SAVED,
                                      .u.ended = {a->u.meta.cookie, STOQ_OK}});
    } else if (a->kind == STOQ_NODE_SAVE_META) {
        assert_true(save_count < STOQ_COUNT(saves));
        saves[save_count++] = a->u.meta.cookie;
    }
}

struct wishes poll_all(void)
{
    struct wishes w = {.done = STOQ_OK};
    struct stoq_node_action a;
    while (stoq_node_poll(node, now, &a)) {
        w.count[a.kind]++;
        if (a.kind == STOQ_NODE_ASK) {
            see_ask(&a.u.ask, &w);
        } else if (a.kind == STOQ_NODE_SEND && a.u.send.msg->type == STOQ_MSG_ERROR) {
            w.error = a.u.send.msg->u.error.code;
        } else if (a.kind == STOQ_NODE_CHARGE) {
            w.charged = a.u.charge.why;
        } else if (a.kind == STOQ_NODE_CANCEL) {
            w.cancelled = a.u.cancel.cookie;
        } else if (a.kind == STOQ_NODE_DONE) {
            w.done = a.u.done.report->status;
            for (uint32_t i = 0; i < a.u.done.report->source_count && i < 2; i++) {
                w.source_status[i] = a.u.done.report->sources[i].status;
            }
        } else {
            see_store(&a);
        }
    }
    return w;
}

void link_up(stoq_peer peer)
{
    feed((struct stoq_node_event){.kind = STOQ_NODE_LINK_UP, .u.link = {.peer = peer}});
}

struct stoq_package_id make_manifest(struct stoq_buf *out, const struct stoq_merkle_root *root)
{
    struct stoq_manifest manifest = {.name = stoq_span_str("test"),
                                     .version = stoq_span_str("1"),
                                     .profile = STOQ_PROFILE_1,
                                     .table_bytes = 100,
                                     .entries = 1,
                                     .shards = root->shards,
                                     .chunks = root->chunks,
                                     .bytes = root->bytes,
                                     .root = root->hash};
    stoq_buf_init(out, STOQ_MANIFEST_BYTES_MAX);
    assert_int_equal(stoq_manifest_encode(&manifest, out), STOQ_OK);
    return stoq_manifest_id(stoq_buf_span(out));
}
