/*
 * A peer that takes every offer and has nothing: it answers with a receipt at once.
 *
 * usage: receipt_liar WHAT     prints PEER@ADDRESS and waits to be offered something, until killed; prints
 *                              what its receipt was answered
 *   WHAT  whole    all of it is as it should be: who has nothing and lies cannot be told by its receipt
 *         forged   its signature has one bit changed
 *         stolen   another's receipt, signed by that one; it ends when that was answered
 *         less     it tells of fewer bytes than were offered
 *         part     of one shard, where the package was offered
 */
#include "net/net.h"
#include "os/loop.h"
#include "os/sys.h"
#include "sign/object.h"
#include "wire/bech32m.h"
#include "wire/message.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STREAMS 16
#define ITEM_MAX 1024

struct liar {
    struct stoq_loop *loop;
    struct stoq_net *net;
    struct stoq_key *key;
    const char *what;
    uint64_t asked;
    struct incoming {
        stoq_net_stream stream;
        struct stoq_frame frame;
        bool is_open;
    } in[STREAMS];
};

static struct stoq_key *key_of(const char *what, uint8_t n)
{
    uint8_t seed[STOQ_KEY_SEED_BYTES] = {17, (uint8_t)what[0], n};
    struct stoq_key *key;
    STOQ_ASSERT(stoq_key_from_seed(&key, seed) == STOQ_OK);
    return key;
}

static bool lies(const struct liar *l, const char *what)
{
    return strcmp(l->what, what) == 0;
}

static void send_message(struct liar *l, stoq_net_conn conn, stoq_net_stream stream,
                         const struct stoq_message *msg)
{
    struct stoq_buf out;
    stoq_buf_init(&out, STOQ_FRAME_BYTES_MAX + STOQ_FRAME_HEAD_BYTES);
    STOQ_ASSERT(stoq_message_encode(msg, &out) == STOQ_OK);
    STOQ_ASSERT(stoq_net_write_copy(l->net, conn, stream, stoq_buf_span(&out), true) == STOQ_OK);
    stoq_buf_release(&out);
}

static void send_receipt(struct liar *l, stoq_net_conn conn, const struct stoq_msg_offer *offer)
{
    struct stoq_key *other = key_of(l->what, 1);
    const struct stoq_key *signer = lies(l, "stolen") ? other : l->key;
    struct stoq_receipt receipt = {.id = offer->id,
                                   .spki = stoq_key_spki(signer),
                                   .first_shard = offer->first_shard,
                                   .shard_count = lies(l, "part") ? 1 : offer->shard_count,
                                   .bytes = offer->bytes - lies(l, "less"),
                                   .verified_at_s = stoq_wall_seconds()};
    struct stoq_message msg = {.type = STOQ_MSG_RECEIPT, .request_id = ++l->asked};
    struct stoq_buf body;
    struct stoq_buf item;
    stoq_net_stream stream;
    memcpy(receipt.nonce, offer->nonce, sizeof receipt.nonce);
    stoq_buf_init(&body, STOQ_SIGNED_BODY_MAX);
    stoq_buf_init(&item, ITEM_MAX);
    STOQ_ASSERT(stoq_receipt_encode(&receipt, &body) == STOQ_OK);
    STOQ_ASSERT(stoq_object_sign(signer, STOQ_SIGN_RECEIPT, stoq_buf_span(&body), &item) ==
                STOQ_OK);
    item.p[item.n - 1] ^= lies(l, "forged");
    struct stoq_span items = stoq_buf_span(&item);
    STOQ_ASSERT(stoq_signed_next(&items, &msg.u.receipt.receipt));
    STOQ_ASSERT(stoq_net_stream_open(l->net, conn, &stream) == STOQ_OK);
    send_message(l, conn, stream, &msg);
    stoq_buf_release(&body);
    stoq_buf_release(&item);
    stoq_key_free(other);
}

static void on_message(struct liar *l, stoq_net_conn conn, stoq_net_stream stream,
                       const struct stoq_message *msg)
{
    struct stoq_message reply = {.type = STOQ_MSG_ERROR,
                                 .request_id = msg->request_id,
                                 .u.error = {.code = STOQ_ERR_UNSUPPORTED}};
    switch (msg->type) {
    case STOQ_MSG_HELLO:
        reply.type = STOQ_MSG_HELLO;
        reply.u.hello = msg->u.hello; /* whatever it can */
        reply.u.hello.features = STOQ_FEATURE_OFFERS;
        reply.u.hello.rpc_key = reply.u.hello.rpc_proof = stoq_span(NULL, 0);
        break;
    case STOQ_MSG_OFFER:
        reply.type = STOQ_MSG_RESPONSE;
        reply.u.response = (struct stoq_msg_response){.kind = STOQ_META_ACCEPTED};
        break;
    case STOQ_MSG_ERROR:
    case STOQ_MSG_RESPONSE: /* what our receipt was answered */
        printf("%s\n",
               msg->type == STOQ_MSG_ERROR ? stoq_error_code_name(msg->u.error.code) : "taken");
        (void)fflush(stdout);
        if (lies(l, "stolen")) {
            stoq_loop_stop(l->loop); /* else its own is waited for */
        }
        return;
    default:
        break;
    }
    send_message(l, conn, stream, &reply);
    if (msg->type == STOQ_MSG_OFFER) {
        send_receipt(l, conn, &msg->u.offer);
    }
}

static struct incoming *incoming(struct liar *l, stoq_net_stream stream)
{
    struct incoming *free_one = NULL;
    for (size_t i = 0; i < STREAMS; i++) {
        if (l->in[i].is_open && l->in[i].stream == stream) {
            return &l->in[i];
        }
        free_one = l->in[i].is_open ? free_one : &l->in[i];
    }
    STOQ_ASSERT(free_one != NULL);
    free_one->stream = stream;
    free_one->is_open = true;
    stoq_frame_init(&free_one->frame);
    return free_one;
}

static void on_data(void *user, stoq_net_conn conn, stoq_net_stream stream, struct stoq_span bytes,
                    bool fin)
{
    static struct stoq_range ranges[STOQ_REQUEST_RANGES_MAX];
    struct liar *l = user;
    struct stoq_message msg;
    struct stoq_span cbor;
    struct incoming *in = incoming(l, stream);
    stoq_net_consumed(l->net, conn, stream, bytes.n);
    if (stoq_frame_take(&in->frame, &bytes, &cbor) == STOQ_OK) {
        STOQ_ASSERT(stoq_message_decode(cbor, ranges, &msg) == STOQ_OK);
        on_message(l, conn, stream, &msg);
        stoq_frame_clear(&in->frame);
    }
    if (fin) {
        stoq_frame_release(&in->frame);
        in->is_open = false;
    }
}

static void on_opened(void *user, stoq_net_conn conn, const struct stoq_net_opened *info)
{
    (void)user;
    (void)conn;
    (void)info;
}

static void on_closed(void *user, stoq_net_conn conn, const struct stoq_net_closed *info)
{
    (void)user;
    (void)conn;
    (void)info;
}

static void on_stream(void *user, stoq_net_conn conn, stoq_net_stream stream)
{
    (void)user;
    (void)conn;
    (void)stream;
}

static int run(struct liar *l)
{
    struct stoq_addr addr;
    struct stoq_error err;
    char peer[STOQ_ID_TEXT_CAP];
    char text[STOQ_ADDR_TEXT_MAX];
    STOQ_ASSERT(stoq_addr_parse(&addr, stoq_span_str("[::1]:0"), 0) == STOQ_OK);
    struct stoq_net_config cfg = {
        .loop = l->loop,
        .key = l->key,
        .user = l,
        .cb = {.opened = on_opened, .closed = on_closed, .stream = on_stream, .data = on_data},
        .listen = &addr,
        .listen_count = 1};
    if (stoq_net_new(&l->net, &cfg, &err) != STOQ_OK) {
        fprintf(stderr, "receipt_liar: %s\n", err.text);
        return 2;
    }
    struct stoq_peer_id id = stoq_key_peer_id(l->key);
    STOQ_ASSERT(stoq_net_local_addr(l->net, 0, &addr));
    stoq_peer_id_put(peer, &id);
    printf("%s@%s\n", peer, stoq_addr_format(&addr, text));
    (void)fflush(stdout);
    stoq_loop_run(l->loop);
    return 0;
}

int main(int argc, char **argv)
{
    static struct liar l;
    if (argc != 2) {
        fprintf(stderr, "usage: receipt_liar WHAT\n");
        return 2;
    }
    l.what = argv[1];
    l.key = key_of(l.what, 0);
    STOQ_ASSERT(stoq_loop_new(&l.loop, NULL) == STOQ_OK);
    int code = run(&l);
    stoq_net_free(l.net);
    stoq_loop_free(l.loop);
    stoq_key_free(l.key);
    return code;
}
