/*
 * Patches: records of one provider that say what they said, with a new sequence, time and signature. The
 * holder puts sequence and time into the record that it has and offers what comes out of that to its core
 * as if it had been brought whole: the provider has signed every byte of it, or it is refused. So nothing
 * here is believed, and the digest only says which record is meant.
 */
#include "node/node_dht_internal.h"

#include <string.h>

_Static_assert(STOQ_DHT_PATCH_MAX == STOQ_PATCH_MAX, "what the core gives in one fits a message");
_Static_assert(STOQ_DHT_PATCH_BUSY == STOQ_PATCH_BUSY, "an answer's bytes are the core's");

bool node_dht_patch_message(struct stoq_node_dht *nd, const struct stoq_dht_patch *patch)
{
    struct stoq_msg_patch *m = &nd->msg.u.patch;
    nd->msg = (struct stoq_message){.type = STOQ_MSG_PATCH};
    stoq_buf_clear(&nd->more);
    for (uint32_t i = 0; i < patch->count; i++) {
        struct stoq_signed s = node_dht_record_parts(patch->records[i]);
        uint8_t digest[STOQ_RENEWAL_DIGEST_BYTES];
        stoq_le64_put(digest, patch->before[i]);
        if (s.signature.n != STOQ_PATCH_SIGNATURE_BYTES ||
            stoq_buf_add(&nd->more, stoq_span(digest, sizeof digest)) != STOQ_OK ||
            stoq_buf_add(&nd->more, s.signature) != STOQ_OK) {
            return false;
        }
    }
    m->provider = nd->peer;
    m->sequence = patch->records[0]->sequence;
    m->issued_at_s = patch->records[0]->issued_at_s;
    m->patches = stoq_buf_span(&nd->more);
    return true;
}

void node_dht_patch_reply(struct stoq_node_dht *nd, stoq_contact_no from,
                          const struct stoq_dht_patch *patch, const struct stoq_message *reply,
                          struct stoq_dht_reply *out)
{
    if (node_dht_is_unsupported(reply)) {
        node_dht_card(nd, from)->whole = true;
        out->outcome = STOQ_DHT_DONE; /* it answers, and takes none by that */
    } else if (out->outcome == STOQ_DHT_DONE) {
        bool fits = reply != NULL && reply->type == STOQ_MSG_PATCH && reply->u.patch.is_answer;
        node_dht_kept_reply(fits ? &reply->u.patch.kept : NULL, patch->count, out);
    }
}

enum stoq_status node_dht_rebuild(const struct stoq_dht_record *base, uint64_t sequence,
                                  uint64_t issued_at_s, struct stoq_buf *out)
{
    struct stoq_signed s = node_dht_record_parts(base);
    struct stoq_contact rec;
    enum stoq_status st = stoq_contact_decode(s.body, &rec);
    if (st == STOQ_OK) {
        rec.sequence = sequence;
        rec.issued_at_s = issued_at_s;
        stoq_buf_clear(out);
        st = stoq_contact_encode(&rec, out);
    }
    return st;
}

/* One of a Patch: nd->stored. */
static void take_one(struct stoq_node_dht *nd, const struct stoq_msg_patch *m, const uint8_t *patch,
                     const struct stoq_node_dht_from *from, stoq_ns now)
{
    bool proven = from->peer != NULL || from->proven;
    struct stoq_dht_record *base;
    struct stoq_buf body;
    nd->stored = stoq_dht_base(nd->core, &m->provider, stoq_le64(patch), proven, now, &base);
    if (base == NULL) {
        nd->stored = nd->stored == STOQ_DHT_DONE ? STOQ_DHT_STALE : nd->stored;
        return;
    }
    struct stoq_signed s = {
        .signature = {patch + STOQ_RENEWAL_DIGEST_BYTES, STOQ_PATCH_SIGNATURE_BYTES}};
    stoq_buf_init(&body, STOQ_SIGNED_BODY_MAX);
    if (node_dht_rebuild(base, m->sequence, m->issued_at_s, &body) == STOQ_OK) {
        s.body = stoq_buf_span(&body);
        node_dht_offer(nd, &s, from, true, now);
    } else {
        nd->stored = STOQ_DHT_BUSY;
    }
    stoq_buf_release(&body);
}

enum stoq_status node_dht_answer_patch(struct stoq_node_dht *nd, const struct stoq_message *request,
                                       const struct stoq_node_dht_from *from, stoq_ns now)
{
    const struct stoq_msg_patch *m = &request->u.patch;
    struct stoq_message answer = {.type = STOQ_MSG_PATCH, .request_id = request->request_id};
    uint8_t kept[STOQ_PATCH_MAX] = {0};
    size_t count = m->patches.n / STOQ_PATCH_BYTES;
    size_t i = 0;
    do {
        take_one(nd, m, m->patches.p + i * STOQ_PATCH_BYTES, from, now);
        kept[i++] = stoq_dht_patch_kept(nd->stored, nd->stored_ttl_s);
        /* A forged one costs a signature check, as in a Store: there is no second one. */
    } while (nd->stored != STOQ_DHT_REJECTED && nd->stored != STOQ_DHT_REFUSED && i < count);
    answer.u.patch = (struct stoq_msg_patch){.is_answer = true, .kept = stoq_span(kept, count)};
    if (nd->stored == STOQ_DHT_REFUSED) {
        answer = node_dht_refusal(request, nd->stored);
    }
    return stoq_message_encode(&answer, nd->answer);
}
