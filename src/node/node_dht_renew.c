/*
 * Renewals: one signature of the provider's over the time, the holder and the digests of many records. A
 * sealed datagram tells its receiver nothing of who sent it, so the signature does; the holder's name in it
 * is why another can do nothing with it, and the time why it is of no use later.
 */
#include "node/node_dht_internal.h"

#include "sign/object.h"

_Static_assert(STOQ_DHT_RENEW_MAX == STOQ_RENEWAL_MAX, "what the core says in one fits a message");

bool node_dht_renew_message(struct stoq_node_dht *nd, stoq_contact_no to,
                            const struct stoq_dht_renewal *renewal)
{
    uint8_t digests[STOQ_RENEWAL_MAX * STOQ_RENEWAL_DIGEST_BYTES];
    struct stoq_renewal rec = {.spki = stoq_key_spki(nd->cfg.key),
                               .holder = node_dht_card(nd, to)->peer,
                               .issued_at_s = renewal->issued_at_s,
                               .digests = {digests, renewal->count * STOQ_RENEWAL_DIGEST_BYTES}};
    struct stoq_buf body;
    for (uint32_t i = 0; i < renewal->count; i++) {
        stoq_le64_put(digests + (size_t)i * STOQ_RENEWAL_DIGEST_BYTES, renewal->digests[i]);
    }
    stoq_buf_clear(&nd->more);
    stoq_buf_init(&body, STOQ_SIGNED_BODY_MAX);
    nd->msg = (struct stoq_message){.type = STOQ_MSG_RENEW};
    bool good = stoq_renewal_encode(&rec, &body) == STOQ_OK &&
                stoq_object_sign(nd->cfg.key, STOQ_SIGN_RENEWAL, stoq_buf_span(&body), &nd->more) ==
                    STOQ_OK;
    stoq_buf_release(&body);
    struct stoq_span items = stoq_buf_span(&nd->more);
    return good && stoq_signed_next(&items, &nd->msg.u.renew.renewal);
}

bool node_dht_is_unsupported(const struct stoq_message *reply)
{
    return reply != NULL && reply->type == STOQ_MSG_ERROR &&
           reply->u.error.code == STOQ_ERR_UNSUPPORTED;
}

void node_dht_kept_reply(const struct stoq_span *kept, uint32_t count, struct stoq_dht_reply *out)
{
    if (kept == NULL || kept->n != count) {
        out->outcome = STOQ_DHT_BROKEN;
        return;
    }
    out->kept = kept->p;
    out->kept_count = count;
}

void node_dht_renew_reply(struct stoq_node_dht *nd, stoq_contact_no from,
                          const struct stoq_dht_renewal *renewal, const struct stoq_message *reply,
                          struct stoq_dht_reply *out)
{
    if (node_dht_is_unsupported(reply)) {
        node_dht_card(nd, from)->plain = true;
        out->outcome = STOQ_DHT_DONE; /* it answers, and keeps none by that */
    } else if (out->outcome == STOQ_DHT_DONE) {
        bool fits = reply != NULL && reply->type == STOQ_MSG_RENEW && reply->u.renew.is_answer;
        node_dht_kept_reply(fits ? &reply->u.renew.kept : NULL, renewal->count, out);
    }
}

struct stoq_dht_renewal *node_dht_renewal(const struct stoq_node_dht *nd,
                                          const struct stoq_signed *s, bool *to_us)
{
    struct stoq_renewal rec;
    struct stoq_buf item;
    struct stoq_dht_renewal *r = NULL;
    stoq_buf_init(&item, STOQ_SIGNED_BODY_MAX + STOQ_SIGNED_SIGNATURE_MAX + 16);
    if (stoq_renewal_decode(s->body, &rec) == STOQ_OK && stoq_signed_put(s, &item) == STOQ_OK) {
        r = stoq_dht_renewal_new(stoq_buf_span(&item));
    }
    stoq_buf_release(&item);
    if (r == NULL) {
        return NULL;
    }
    *to_us = stoq_hash_eq(&rec.holder.h, &nd->peer.h);
    r->publisher = stoq_spki_peer_id(rec.spki);
    r->issued_at_s = rec.issued_at_s;
    r->count = (uint32_t)(rec.digests.n / STOQ_RENEWAL_DIGEST_BYTES);
    for (uint32_t i = 0; i < r->count; i++) {
        r->digests[i] = stoq_le64(rec.digests.p + (size_t)i * STOQ_RENEWAL_DIGEST_BYTES);
    }
    return r;
}

bool node_dht_renewal_signed(const struct stoq_dht_renewal *r)
{
    struct stoq_span items = stoq_span(r->bytes, r->n);
    struct stoq_signed s;
    struct stoq_renewal rec;
    return stoq_signed_next(&items, &s) && stoq_renewal_decode(s.body, &rec) == STOQ_OK &&
           stoq_object_check(&s, STOQ_SIGN_RENEWAL, rec.spki) == STOQ_OK;
}
