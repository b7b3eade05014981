/*
 * A peer that tells another whom it knows, and lies about it.
 *
 * usage: exchange_liar id                      prints its peer id
 *        exchange_liar tell ADDRESS PORT WHAT  dials ADDRESS and sends one PeerExchange with a record for
 *                                              [::1]:PORT, then another; prints what each was answered
 *   WHAT  honest   the record is signed by whom it is about
 *         forged   its signature has one bit changed
 *         stolen   signed by the liar's key, about another's
 *         expired  of yesterday
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

#define ASKS 2
#define ITEM_MAX 1024

struct liar {
    struct stoq_loop *loop;
    struct stoq_net *net;
    const struct stoq_key *key;
    const char *what;
    uint16_t port;
    stoq_net_conn conn;
    stoq_net_stream stream;
    unsigned asked;
    bool done;
    struct stoq_frame frame;
};

static struct stoq_key *key_of(uint8_t n)
{
    uint8_t seed[STOQ_KEY_SEED_BYTES] = {13, n};
    struct stoq_key *key;
    STOQ_ASSERT(stoq_key_from_seed(&key, seed) == STOQ_OK);
    return key;
}

static void make_record(const struct liar *l, struct stoq_buf *item)
{
    uint8_t addr[STOQ_CONTACT_ADDRESS_BYTES] = {
        [15] = 1, [16] = (uint8_t)l->port, [17] = (uint8_t)(l->port >> 8)};
    /* A peer of its own for each kind, so that none stands in another's way. */
    struct stoq_key *about = key_of((uint8_t)l->what[0]);
    bool is_old = strcmp(l->what, "expired") == 0;
    struct stoq_contact rec = {.spki = stoq_key_spki(about),
                               .addresses = stoq_span(addr, sizeof addr),
                               .sequence = 1,
                               .issued_at_s = stoq_wall_seconds() - (is_old ? 90000 : 0),
                               .ttl_s = 3600};
    struct stoq_key *signer =
        strcmp(l->what, "stolen") == 0 ? key_of(0) : key_of((uint8_t)l->what[0]);
    struct stoq_buf body;
    stoq_buf_init(&body, STOQ_SIGNED_BODY_MAX);
    STOQ_ASSERT(stoq_contact_encode(&rec, &body) == STOQ_OK);
    STOQ_ASSERT(stoq_object_sign(signer, STOQ_SIGN_EXCHANGE, stoq_buf_span(&body), item) ==
                STOQ_OK);
    if (strcmp(l->what, "forged") == 0) {
        item->p[item->n - 1] ^= 1;
    }
    stoq_buf_release(&body);
    stoq_key_free(signer);
    stoq_key_free(about);
}

static void send_message(struct liar *l, const struct stoq_message *msg)
{
    struct stoq_buf out;
    stoq_buf_init(&out, STOQ_FRAME_BYTES_MAX + STOQ_FRAME_HEAD_BYTES);
    STOQ_ASSERT(stoq_message_encode(msg, &out) == STOQ_OK);
    STOQ_ASSERT(stoq_net_stream_open(l->net, l->conn, &l->stream) == STOQ_OK);
    STOQ_ASSERT(stoq_net_write_copy(l->net, l->conn, l->stream, stoq_buf_span(&out), true) ==
                STOQ_OK);
    stoq_buf_release(&out);
}

static void tell(struct liar *l)
{
    struct stoq_buf item;
    stoq_buf_init(&item, ITEM_MAX);
    make_record(l, &item);
    struct stoq_message msg = {.type = STOQ_MSG_PEER_EXCHANGE,
                               .request_id = ++l->asked,
                               .u.peer_exchange = {.want = 50, .peers = {1, stoq_buf_span(&item)}}};
    send_message(l, &msg);
    stoq_buf_release(&item);
}

static void on_opened(void *user, stoq_net_conn conn, const struct stoq_net_opened *info)
{
    struct liar *l = user;
    (void)info;
    l->conn = conn;
    tell(l);
}

static void on_closed(void *user, stoq_net_conn conn, const struct stoq_net_closed *info)
{
    struct liar *l = user;
    (void)conn;
    if (!l->done) {
        printf("closed: %s\n", info->text);
        stoq_loop_stop(l->loop);
    }
}

static void on_data(void *user, stoq_net_conn conn, stoq_net_stream stream, struct stoq_span bytes,
                    bool fin)
{
    static struct stoq_range ranges[STOQ_REQUEST_RANGES_MAX];
    struct liar *l = user;
    struct stoq_message msg;
    struct stoq_span cbor;
    (void)fin;
    stoq_net_consumed(l->net, conn, stream, bytes.n);
    if (stream != l->stream || stoq_frame_take(&l->frame, &bytes, &cbor) != STOQ_OK) {
        return;
    }
    STOQ_ASSERT(stoq_message_decode(cbor, ranges, &msg) == STOQ_OK);
    printf("%s\n", msg.type == STOQ_MSG_ERROR ? stoq_error_code_name(msg.u.error.code)
                                              : stoq_message_name(msg.type));
    if (l->asked < ASKS) {
        stoq_frame_clear(&l->frame);
        tell(l);
    } else {
        l->done = true;
        stoq_loop_stop(l->loop);
    }
}

static void on_stream(void *user, stoq_net_conn conn, stoq_net_stream stream)
{
    (void)user;
    (void)conn;
    (void)stream;
}

static int run(struct liar *l, const char *to)
{
    struct stoq_net_dial dial = {0};
    struct stoq_error err;
    struct stoq_net_config cfg = {
        .loop = l->loop,
        .key = l->key,
        .user = l,
        .cb = {.opened = on_opened, .closed = on_closed, .stream = on_stream, .data = on_data}};
    if (stoq_net_new(&l->net, &cfg, &err) != STOQ_OK) {
        fprintf(stderr, "exchange_liar: %s\n", err.text);
        return 2;
    }
    if (stoq_addr_parse(&dial.addr, stoq_span_str(to), 0) != STOQ_OK ||
        stoq_net_dial(l->net, &dial, &l->conn) != STOQ_OK) {
        fprintf(stderr, "exchange_liar: cannot dial %s\n", to);
        return 2;
    }
    stoq_frame_init(&l->frame);
    stoq_loop_run(l->loop);
    stoq_frame_release(&l->frame);
    return l->done ? 0 : 1;
}

int main(int argc, char **argv)
{
    struct stoq_key *key = key_of(0);
    int code = 2;
    if (argc == 2 && strcmp(argv[1], "id") == 0) {
        char text[STOQ_ID_TEXT_CAP];
        struct stoq_peer_id id = stoq_key_peer_id(key);
        stoq_peer_id_put(text, &id);
        code = puts(text) < 0;
    } else if (argc == 5 && strcmp(argv[1], "tell") == 0) {
        struct liar l = {.key = key, .what = argv[4], .port = (uint16_t)strtoul(argv[3], NULL, 10)};
        STOQ_ASSERT(stoq_loop_new(&l.loop, NULL) == STOQ_OK);
        code = run(&l, argv[2]);
        stoq_net_free(l.net);
        stoq_loop_free(l.loop);
    } else {
        fprintf(stderr, "usage: exchange_liar id | exchange_liar tell ADDRESS PORT WHAT\n");
    }
    stoq_key_free(key);
    return code;
}
