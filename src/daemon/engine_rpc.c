/*
 * Datagrams without a connection. Each side's static key is made of its identity key, so there is no
 * second file to lose and a peer that learned it once keeps it; the identity key signs it, and Hello
 * carries both. Answered are Ping and what the DHT takes; everything else is refused, a Store without a
 * return-path token for that, before anything is looked at.
 */
#include "daemon/engine_internal.h"

#include "hash/hash.h"
#include "os/sys.h"
#include "wire/cbor.h"

#include <string.h>

enum stoq_status engine_rpc_offer(struct stoq_engine *e, struct stoq_node_config *cfg,
                                  struct stoq_error *err)
{
    if (e->cfg.client || e->cfg.connections_only) {
        return STOQ_OK;
    }
    struct stoq_span key = stoq_span(stoq_net_rpc_key(e->net), STOQ_NET_RPC_KEY_BYTES);
    struct stoq_hash object = stoq_hash_blake3(key);
    enum stoq_status st = stoq_sign(e->cfg.key, STOQ_SIGN_RPC_KEY, &object, &e->rpc_proof);
    if (st != STOQ_OK) {
        return stoq_fail(err, st, 0, "cannot sign the key of datagrams");
    }
    cfg->rpc_key = key;
    cfg->rpc_proof = stoq_buf_span(&e->rpc_proof);
    return STOQ_OK;
}

/* Is the key signed by the very peer that is connected? */
static bool is_its(const struct peer *p, const struct stoq_msg_hello *hello)
{
    struct stoq_envelope envelope;
    struct stoq_key_id signer;
    struct stoq_hash object = stoq_hash_blake3(hello->rpc_key);
    if (stoq_envelope_decode(&envelope, hello->rpc_proof) != STOQ_OK) {
        return false;
    }
    struct stoq_peer_id id = stoq_spki_peer_id(envelope.spki);
    return stoq_hash_eq(&id.h, &p->id.h) &&
           stoq_sign_verify(hello->rpc_proof, STOQ_SIGN_RPC_KEY, &object, &signer) == STOQ_OK;
}

void engine_rpc_learn(struct stoq_engine *e, const struct peer *p,
                      const struct stoq_msg_hello *hello)
{
    struct stoq_known_peer known = {.id = p->id, .seen_s = stoq_wall_seconds(), .has_rpc = true};
    const struct stoq_known_peer *before = stoq_known_find(e->known, &p->id);
    if (hello->rpc_key.n != sizeof known.rpc ||
        (before != NULL && before->has_rpc &&
         memcmp(before->rpc, hello->rpc_key.p, sizeof known.rpc) == 0)) {
        return;
    }
    if (!is_its(p, hello)) {
        char name[16];
        engine_log(e, "%s.. shows a key for datagrams that it has not signed",
                   engine_peer_name(p, name));
        return;
    }
    memcpy(known.rpc, hello->rpc_key.p, sizeof known.rpc);
    if (stoq_known_note(e->known, &known) == STOQ_OK) {
        e->known_changed = true;
    }
}

static struct stoq_message error_to(const struct stoq_message *request, enum stoq_error_code code,
                                    const char *text)
{
    return (struct stoq_message){.type = STOQ_MSG_ERROR,
                                 .request_id = request->request_id,
                                 .u.error = {.code = code, .text = stoq_span_str(text)}};
}

static struct stoq_message reply_to(struct stoq_engine *e, const struct stoq_net_rpc_in *in)
{
    struct stoq_message request = {0};
    enum stoq_status st = stoq_message_decode(in->message, e->ranges, &request);
    if (st == STOQ_MALFORMED) {
        return error_to(&request, STOQ_ERR_MALFORMED, "not a request");
    }
    if (st == STOQ_OK && request.type == STOQ_MSG_PING) {
        return (struct stoq_message){.type = STOQ_MSG_PING, .request_id = request.request_id};
    }
    bool leaves = request.type == STOQ_MSG_STORE || request.type == STOQ_MSG_RENEW ||
                  request.type == STOQ_MSG_PATCH;
    if (leaves && !in->proven) {
        return error_to(&request, STOQ_ERR_REFUSED, "this needs the token of an earlier reply");
    }
    return error_to(&request, STOQ_ERR_UNSUPPORTED, "not in a datagram");
}

/* Append the reply's frame; false: say nothing. */
static bool put_reply(struct stoq_engine *e, const struct stoq_net_rpc_in *in,
                      struct stoq_buf *frame)
{
    struct stoq_message request = {0};
    if (stoq_message_decode(in->message, e->ranges, &request) == STOQ_OK &&
        engine_dht_is_request(&request) &&
        engine_dht_answer(e, &request, NULL, &in->from, in->proven, in->room, frame)) {
        return true;
    }
    struct stoq_message reply = reply_to(e, in);
    return stoq_message_encode(&reply, frame) == STOQ_OK;
}

size_t engine_rpc(void *user, const struct stoq_net_rpc_in *in, uint8_t *out, size_t cap)
{
    struct stoq_engine *e = user;
    struct stoq_buf frame;
    size_t n = 0;
    stoq_buf_init(&frame, cap + STOQ_FRAME_HEAD_BYTES);
    if (!e->draining && put_reply(e, in, &frame)) {
        n = frame.n - STOQ_FRAME_HEAD_BYTES;
        memcpy(out, frame.p + STOQ_FRAME_HEAD_BYTES, n);
    }
    stoq_buf_release(&frame);
    return n;
}
