/* Offers and receipts of others: whether they are taken is the host's or the placement's affair. */
#include "daemon/engine_internal.h"

#include <string.h>

/* code 0: taken in. */
static void answer(struct inbound *in, uint64_t request_id, uint64_t code, const char *text)
{
    struct stoq_message msg = {.type = STOQ_MSG_RESPONSE,
                               .request_id = request_id,
                               .u.response = {.kind = STOQ_META_ACCEPTED}};
    if (code != 0) {
        struct stoq_span words = stoq_span_str(text);
        words.n = words.n < STOQ_ERROR_TEXT_MAX ? words.n : STOQ_ERROR_TEXT_MAX;
        msg = (struct stoq_message){.type = STOQ_MSG_ERROR,
                                    .request_id = request_id,
                                    .u.error = {.code = code, .text = words}};
        in->engine->requests_refused++;
    }
    engine_send(in->engine, &(struct stoq_node_send){
                                .peer = in->peer->number, .stream = in->number, .msg = &msg});
}

void engine_offer_in(struct inbound *in, const struct stoq_message *msg)
{
    const struct stoq_msg_offer *m = &msg->u.offer;
    struct stoq_engine *e = in->engine;
    struct stoq_error why = {.text = ""};
    struct stoq_offer offer = {.peer = in->peer->id,
                               .addr = in->peer->addr,
                               .id = m->id,
                               .first_shard = m->first_shard,
                               .shard_count = m->shard_count,
                               .bytes = m->bytes,
                               .keep_until_s = m->keep_until_s};
    memcpy(offer.nonce, m->nonce, sizeof offer.nonce);
    answer(in, msg->request_id, e->cfg.offered(e->cfg.offered_user, &offer, &why), why.text);
}

void engine_receipt_in(struct inbound *in, const struct stoq_message *msg)
{
    const struct stoq_signed *item = &msg->u.receipt.receipt;
    struct stoq_receipt receipt;
    if (stoq_receipt_decode(item->body, &receipt) != STOQ_OK) {
        answer(in, msg->request_id, STOQ_ERR_MALFORMED, "not a receipt");
        return;
    }
    struct stoq_peer_id holder = stoq_spki_peer_id(receipt.spki);
    if (!stoq_hash_eq(&holder.h, &in->peer->id.h)) {
        answer(in, msg->request_id, STOQ_ERR_SIGNATURE_REJECTED, "the receipt of another peer");
        return;
    }
    uint64_t code = engine_placements_receipt(in->engine, in->peer, &receipt, item);
    answer(in, msg->request_id, code,
           code == STOQ_ERR_REFUSED ? "nothing was offered so, or it is settled"
                                    : "the receipt does not hold");
}

struct sending {
    const struct stoq_peer_id *peer;
    const struct stoq_signed *receipt;
    enum stoq_status status;
};

/* A refusal tells that the offer is settled; nothing is to be done about it. */
static void on_answer(struct ask *a)
{
    (void)a;
}

static void send_receipt(struct stoq_engine *e, void *arg)
{
    struct sending *s = arg;
    struct stoq_message msg = {.type = STOQ_MSG_RECEIPT, .u.receipt = {.receipt = *s->receipt}};
    struct peer *p = engine_peer_find(e, s->peer);
    s->status = STOQ_NET;
    if (p != NULL && p->state == PEER_UP && !e->draining) {
        s->status = engine_ask_own(e, p, &msg, 0, on_answer, 0) != 0 ? STOQ_OK : STOQ_NOMEM;
    }
}

enum stoq_status stoq_engine_receipt(struct stoq_engine *e, const struct stoq_peer_id *peer,
                                     const struct stoq_signed *receipt)
{
    struct sending s = {.peer = peer, .receipt = receipt};
    engine_call(e, send_receipt, &s);
    return s.status;
}
