/*
 * A peer that is ours in all but its key exchange: X25519 alone, which no mode accepts.
 *
 * usage: odd_peer listen          prints PEER@ADDRESS and waits to be dialled, until killed
 *        odd_peer dial ADDRESS    dials; prints how that ended and exits 0 when it was refused
 */
#include "net/net_internal.h"

#include "os/loop.h"
#include "sign/sign.h"
#include "wire/bech32m.h"

#include <stdio.h>
#include <string.h>

struct odd {
    struct stoq_loop *loop;
    bool let_in;
};

static void on_opened(void *user, stoq_net_conn conn, const struct stoq_net_opened *info)
{
    struct odd *o = user;
    (void)conn;
    o->let_in = true;
    printf("let in with %s\n", info->group);
    stoq_loop_stop(o->loop);
}

static void on_closed(void *user, stoq_net_conn conn, const struct stoq_net_closed *info)
{
    struct odd *o = user;
    (void)conn;
    printf("%s\n", info->text);
    stoq_loop_stop(o->loop);
}

static void on_data(void *user, stoq_net_conn conn, stoq_net_stream stream, struct stoq_span bytes,
                    bool fin)
{
    (void)user;
    (void)conn;
    (void)stream;
    (void)bytes;
    (void)fin;
}

static int run(struct stoq_net *net, struct odd *o, const struct stoq_key *key, const char *to)
{
    struct stoq_addr addr;
    char text[STOQ_ADDR_TEXT_MAX];
    if (to == NULL) {
        char peer[STOQ_ID_TEXT_CAP];
        struct stoq_peer_id id = stoq_key_peer_id(key);
        STOQ_ASSERT(stoq_net_local_addr(net, 0, &addr));
        stoq_peer_id_put(peer, &id);
        printf("%s@%s\n", peer, stoq_addr_format(&addr, text));
        (void)fflush(stdout);
    } else {
        stoq_net_conn conn;
        struct stoq_net_dial dial = {0};
        if (stoq_addr_parse(&dial.addr, stoq_span_str(to), 0) != STOQ_OK ||
            stoq_net_dial(net, &dial, &conn) != STOQ_OK) {
            fprintf(stderr, "odd_peer: cannot dial %s\n", to);
            return 2;
        }
    }
    stoq_loop_run(o->loop);
    return o->let_in ? 1 : 0;
}

int main(int argc, char **argv)
{
    static const uint8_t seed[STOQ_KEY_SEED_BYTES] = {25, 5, 19};
    bool dials = argc == 3 && strcmp(argv[1], "dial") == 0;
    if (!dials && (argc != 2 || strcmp(argv[1], "listen") != 0)) {
        fprintf(stderr, "usage: odd_peer listen | odd_peer dial ADDRESS\n");
        return 2;
    }
    struct odd o = {0};
    struct stoq_key *key;
    struct stoq_net *net;
    struct stoq_addr addr;
    struct stoq_error err;
    STOQ_ASSERT(stoq_key_from_seed(&key, seed) == STOQ_OK &&
                stoq_loop_new(&o.loop, NULL) == STOQ_OK);
    STOQ_ASSERT(stoq_addr_parse(&addr, stoq_span_str("[::1]:0"), 0) == STOQ_OK);
    struct stoq_net_config cfg = {
        .loop = o.loop,
        .key = key,
        .user = &o,
        .cb = {.opened = on_opened, .closed = on_closed, .data = on_data},
        .listen = &addr,
        .listen_count = dials ? 0 : 1,
    };
    if (stoq_net_new(&net, &cfg, &err) != STOQ_OK) {
        fprintf(stderr, "odd_peer: %s\n", err.text);
        return 2;
    }
    STOQ_ASSERT(SSL_CTX_set1_groups_list(net->tls.ctx, "X25519") == 1);
    int code = run(net, &o, key, dials ? argv[2] : NULL);
    stoq_net_free(net);
    stoq_loop_free(o.loop);
    stoq_key_free(key);
    return code;
}
