/*
 * A listener and a stranger who sends it whatever he likes: raw datagrams, first packets with frames
 * of his choosing under correct protection, and time passing. Nothing may abort, nobody may be
 * admitted, and nothing may be left when the endpoint goes.
 */
#include "net/net_internal.h"

#include "base/prng.h"
#include "os/sys.h"
#include "sign/sign.h"

#include <string.h>

#include <openssl/evp.h>

#define TAG 16
#define PACKET_MIN 1200
#define RECORDS_MAX 64
#define DATAGRAM_MAX 2048

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t salt_v1[] = {0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17,
                                  0x9a, 0xe6, 0xa4, 0xc8, 0x0c, 0xad, 0xcc, 0xbb, 0x7f, 0x0a};

/* HKDF-Expand-Label (RFC 8446 section 7.1) with an empty context. */
static void expand_label(uint8_t *out, uint8_t n, const ngtcp2_crypto_md *md, const uint8_t *secret,
                         const char *label)
{
    uint8_t info[32] = {0, n, (uint8_t)(6 + strlen(label))};
    memcpy(info + 3, "tls13 ", 6);
    memcpy(info + 9, label, strlen(label));
    STOQ_ASSERT(ngtcp2_crypto_hkdf_expand(out, n, md, secret, 32, info, 10 + strlen(label)) == 0);
}

struct keys {
    uint8_t key[16];
    uint8_t iv[12];
    uint8_t hp[16];
};

static void derive(struct keys *k, struct stoq_span dcid)
{
    ngtcp2_crypto_md md;
    uint8_t initial[32];
    uint8_t client[32];
    (void)ngtcp2_crypto_md_init(&md, (void *)(uintptr_t)EVP_sha256());
    STOQ_ASSERT(ngtcp2_crypto_hkdf_extract(initial, &md, dcid.p, dcid.n, salt_v1, sizeof salt_v1) ==
                0);
    expand_label(client, 32, &md, initial, "client in");
    expand_label(k->key, 16, &md, client, "quic key");
    expand_label(k->iv, 12, &md, client, "quic iv");
    expand_label(k->hp, 16, &md, client, "quic hp");
}

static void mask(uint8_t out[16], const uint8_t key[16], const uint8_t sample[16])
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int n = 0;
    STOQ_ASSERT(ctx != NULL && EVP_EncryptInit_ex(ctx, EVP_aes_128_ecb(), NULL, key, NULL) == 1 &&
                EVP_EncryptUpdate(ctx, out, &n, sample, 16) == 1);
    EVP_CIPHER_CTX_free(ctx);
}

/* AES-128-GCM in place: n bytes at p become n + TAG. */
static void encrypt(const struct keys *k, uint8_t packet_number, struct stoq_span header,
                    uint8_t *p, size_t n)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    uint8_t nonce[12];
    int done = 0;
    memcpy(nonce, k->iv, sizeof nonce);
    nonce[11] ^= packet_number;
    STOQ_ASSERT(ctx != NULL &&
                EVP_EncryptInit_ex(ctx, EVP_aes_128_gcm(), NULL, k->key, nonce) == 1 &&
                EVP_EncryptUpdate(ctx, NULL, &done, header.p, (int)header.n) == 1 &&
                EVP_EncryptUpdate(ctx, p, &done, p, (int)n) == 1 &&
                EVP_EncryptFinal_ex(ctx, p + n, &done) == 1 &&
                EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TAG, p + n) == 1);
    EVP_CIPHER_CTX_free(ctx);
}

/*
 * Build a first packet as any stranger can make it: frames of his choice, protected with the keys that
 * follow from the connection id in its own header (RFC 9001 section 5.2), padded to 1200 bytes or more.
 * Gets past the authentication that random bytes never pass. Its length, or 0 where it does not fit.
 */
static size_t seal_initial(uint8_t *out, size_t cap, struct stoq_span dcid, struct stoq_span scid,
                           uint8_t packet_number, struct stoq_span payload)
{
    struct stoq_wr w = stoq_wr(out, cap);
    size_t header_n = 1 + 4 + 1 + dcid.n + 1 + scid.n + 1 + 2 + 1;
    size_t body = payload.n;
    if (header_n + body + TAG < PACKET_MIN) {
        body = PACKET_MIN - header_n - TAG;
    }
    size_t length = 1 + body + TAG;
    if (length >= 1 << 14 || header_n + body + TAG > cap) {
        return 0;
    }
    static const uint8_t version[4] = {0, 0, 0, 1};
    uint8_t masked[16];
    struct keys k;
    stoq_wr_u8(&w, 0xc0); /* long, Initial, one byte of packet number */
    stoq_wr_bytes(&w, stoq_span(version, sizeof version));
    stoq_wr_u8(&w, (uint8_t)dcid.n);
    stoq_wr_bytes(&w, dcid);
    stoq_wr_u8(&w, (uint8_t)scid.n);
    stoq_wr_bytes(&w, scid);
    stoq_wr_u8(&w, 0); /* no token */
    stoq_wr_u8(&w, (uint8_t)(0x40 | length >> 8));
    stoq_wr_u8(&w, (uint8_t)length);
    stoq_wr_u8(&w, packet_number);
    STOQ_ASSERT(!w.bad && w.n == header_n);
    memset(out + header_n, 0, body);
    memcpy(out + header_n, payload.p, payload.n);
    derive(&k, dcid);
    encrypt(&k, packet_number, stoq_span(out, header_n), out + header_n, body);
    mask(masked, k.hp, out + header_n + 3); /* the sample starts 4 bytes after the packet number */
    out[0] ^= masked[0] & 0x0f;
    out[header_n - 1] ^= masked[1];
    return header_n + body + TAG;
}

static void draw(void *user, void *p, size_t n)
{
    struct stoq_prng *r = user;
    for (size_t i = 0; i < n; i++) {
        ((uint8_t *)p)[i] = (uint8_t)stoq_prng_next(r);
    }
}

static void swallow(void *user, const struct net_out *out, const uint8_t *p)
{
    size_t *sent = user;
    (void)p;
    STOQ_ASSERT(out->n > 0 && out->segment > 0);
    *sent += out->n;
}

static void on_opened(void *user, stoq_net_conn conn, const struct stoq_net_opened *info)
{
    (void)user;
    (void)conn;
    (void)info;
    STOQ_ASSERT(false); /* without a key exchange nobody gets in */
}

static void on_closed(void *user, stoq_net_conn conn, const struct stoq_net_closed *info)
{
    (void)user;
    (void)conn;
    (void)info;
    STOQ_ASSERT(false); /* it follows only opened */
}

static void on_refused(void *user, const struct stoq_net_closed *info)
{
    (void)user;
    STOQ_ASSERT(info->text != NULL && strlen(info->text) < STOQ_NET_CLOSE_TEXT_MAX);
}

static void on_data(void *user, stoq_net_conn conn, stoq_net_stream stream, struct stoq_span bytes,
                    bool fin)
{
    (void)user;
    (void)conn;
    (void)stream;
    (void)bytes;
    (void)fin;
    STOQ_ASSERT(false);
}

static struct stoq_net *listener_new(struct stoq_loop *loop, const struct stoq_key *key,
                                     struct stoq_prng *prng)
{
    struct stoq_addr addr;
    struct stoq_net *net;
    STOQ_ASSERT(stoq_addr_parse(&addr, stoq_span_str("[::1]:0"), 0) == STOQ_OK);
    struct stoq_net_config cfg = {
        .loop = loop,
        .key = key,
        .cb = {.opened = on_opened, .closed = on_closed, .refused = on_refused, .data = on_data},
        .listen = &addr,
        .listen_count = 1,
        .handshakes_max = 16,
        .entropy = draw,
        .entropy_user = prng,
    };
    STOQ_ASSERT(stoq_net_new(&net, &cfg, NULL) == STOQ_OK);
    return net;
}

static void deliver(struct stoq_net *net, const uint8_t *p, size_t n, uint8_t from)
{
    struct net_datagram d = {.p = p, .n = n, .segment = n, .to = net->listeners[0].socket.local};
    d.from = d.to;
    d.from.port = (uint16_t)(1000 + from % 4);
    if (n > 0) {
        net_receive(net, &net->listeners[0].socket, &d);
    }
    net_flush_all(net);
}

/* One record of the input; false: it ends. */
static bool step(struct stoq_net *net, struct stoq_rd *r)
{
    static const uint8_t ids[4][20] = {"aaaaaaaa", "bbbbbbbbbbbb", "ccccccccccccccccccc",
                                       "ddddddddd"};
    uint8_t packet[DATAGRAM_MAX];
    uint8_t kind = stoq_rd_u8(r);
    uint8_t from = stoq_rd_u8(r);
    if (kind % 4 == 3) {
        net->now += (stoq_ns)stoq_rd_u8(r) * 20 * STOQ_MS;
        net_run_deadlines(net);
        net_flush_all(net);
        return !r->bad;
    }
    uint16_t want = stoq_rd_u16(r) % 1400;
    struct stoq_span body = stoq_rd_bytes(r, want < r->n ? want : r->n);
    if (r->bad) {
        return false;
    }
    if (kind % 4 == 0) {
        deliver(net, body.p, body.n, from);
        return true;
    }
    struct stoq_span dcid = stoq_span(ids[from % 4], 8 + (size_t)(kind >> 2) % 13);
    size_t n = seal_initial(packet, sizeof packet, dcid, stoq_span(ids[0], from >> 4),
                            (uint8_t)(kind >> 4), body);
    deliver(net, packet, n, from);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t seed[STOQ_KEY_SEED_BYTES] = {7};
    struct stoq_prng prng = stoq_prng(size);
    struct stoq_rd r = stoq_rd(stoq_span(data, size));
    struct stoq_loop *loop;
    struct stoq_key *key;
    size_t sent = 0;
    STOQ_ASSERT(stoq_loop_new(&loop, NULL) == STOQ_OK && stoq_key_from_seed(&key, seed) == STOQ_OK);
    struct stoq_net *net = listener_new(loop, key, &prng);
    net->tx.sink = swallow;
    net->tx.sink_user = &sent;
    for (int i = 0; i < RECORDS_MAX && r.n > 0 && step(net, &r); i++) {
        STOQ_ASSERT(net->guard->open <= 16);
    }
    net->now += 60 * STOQ_SEC;
    net_run_deadlines(net);
    net_flush_all(net);
    STOQ_ASSERT(net->live == 0 && net->guard->open == 0);
    STOQ_ASSERT(sent <= 3 * net->stats.bytes_received); /* no amplifier */
    stoq_net_free(net);
    stoq_key_free(key);
    stoq_loop_free(loop);
    return 0;
}
