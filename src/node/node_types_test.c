/* What a node says to messages it takes no part in, and to answers where a request belongs. */
#include "node/node.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define PEER 3

struct said {
    uint64_t code;
    bool charged;
    bool serves;
};

/* The node's answer to one message of this type. */
static struct said ask(struct stoq_node *node, uint64_t type)
{
    struct said said = {0};
    struct stoq_node_action action;
    struct stoq_message msg = {.type = type, .request_id = 77};
    struct stoq_node_event ev = {.kind = STOQ_NODE_INBOUND,
                                 .u.inbound = {.peer = PEER, .stream = 5, .msg = &msg}};
    assert_int_equal(stoq_node_feed(node, &ev, STOQ_SEC), STOQ_OK);
    while (stoq_node_poll(node, STOQ_SEC, &action)) {
        said.charged = said.charged || action.kind == STOQ_NODE_CHARGE;
        said.serves = said.serves || action.kind == STOQ_NODE_SERVE_CHUNKS;
        if (action.kind == STOQ_NODE_SEND && action.u.send.msg->type == STOQ_MSG_ERROR) {
            assert_int_equal(action.u.send.msg->request_id, 77);
            said.code = action.u.send.msg->u.error.code;
        }
    }
    return said;
}

static void messages_without_a_part(void **state)
{
    struct stoq_node *node;
    struct stoq_node_action action;
    struct stoq_node_config cfg = {.agent = stoq_span_str("test")};
    struct stoq_node_event up = {.kind = STOQ_NODE_LINK_UP, .u.link = {.peer = PEER}};
    (void)state;
    assert_int_equal(stoq_node_new(&node, &cfg, 1), STOQ_OK);
    assert_int_equal(stoq_node_feed(node, &up, STOQ_SEC), STOQ_OK);
    while (stoq_node_poll(node, STOQ_SEC, &action)) {
    }
    struct said said = ask(node, STOQ_MSG_RESPONSE);
    assert_int_equal(said.code, STOQ_ERR_MALFORMED);
    assert_true(said.charged);
    for (uint64_t type = STOQ_MSG_HAVE; type <= STOQ_MSG_PATCH; type++) {
        bool is_served = type == STOQ_MSG_REQUEST || type == STOQ_MSG_PACKAGE_DOWNLOAD;
        said = ask(node, type);
        assert_int_equal(said.code, is_served ? 0 : STOQ_ERR_UNSUPPORTED);
        assert_int_equal(said.serves, is_served);
        assert_false(said.charged);
    }
    stoq_node_free(node);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(messages_without_a_part)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
