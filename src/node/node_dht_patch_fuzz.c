/*
 * A holder with one record of a provider's, and a Patch out of the input. A bit of the first byte puts in
 * whose it is, others what it is of, and the signature that the provider would make of it. What the holder
 * has afterwards is signed by the provider, and is what it had where he signed nothing; every record of the
 * message is answered for. The rest of the input is also taken for a record that is rebuilt.
 */
#include "node/node_dht_internal.h"

#include "sign/object.h"
#include "wire/frame.h"

#include <string.h>

#define WALL_S UINT64_C(1800000000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ITS = 1, OF_IT = 2, SIGNED = 4, TIMELY = 8 };

static const struct stoq_hash key = {{0xab, 0xcd}};
static const struct stoq_node_dht_addr addr = {{[15] = 1, [16] = 1, [17] = 0x40}};
static struct stoq_range ranges[STOQ_REQUEST_RANGES_MAX];

static struct stoq_key *key_of(uint8_t n)
{
    const uint8_t seed[STOQ_KEY_SEED_BYTES] = {n};
    struct stoq_key *k = NULL;
    STOQ_ASSERT(stoq_key_from_seed(&k, seed) == STOQ_OK);
    return k;
}

static struct stoq_node_dht *holder_new(const struct stoq_key *own, stoq_ns now)
{
    static const uint8_t rpc_key[32] = {2};
    const struct stoq_node_dht_config cfg = {.key = own,
                                             .rules = {1, 0},
                                             .rpc_key = rpc_key,
                                             .addresses = {addr},
                                             .address_count = 1,
                                             .seed = 1,
                                             .wall_us = WALL_S * 1000000};
    struct stoq_node_dht *nd = NULL;
    STOQ_ASSERT(stoq_node_dht_new(&nd, &cfg, now) == STOQ_OK);
    return nd;
}

/* Sign a body as the provider; the item replaces what out has. */
static struct stoq_signed sign(const struct stoq_key *by, struct stoq_span body,
                               struct stoq_buf *out)
{
    struct stoq_signed s;
    stoq_buf_clear(out);
    STOQ_ASSERT(stoq_object_sign(by, STOQ_SIGN_LOCATION, body, out) == STOQ_OK);
    struct stoq_span items = stoq_buf_span(out);
    STOQ_ASSERT(stoq_signed_next(&items, &s));
    return s;
}

static bool answer(struct stoq_node_dht *nd, const struct stoq_message *m, struct stoq_buf *out,
                   struct stoq_message *reply, stoq_ns now)
{
    const struct stoq_node_dht_from from = {
        .addr = addr, .proven = true, .room = STOQ_FRAME_BYTES_MAX};
    stoq_buf_clear(out);
    return stoq_node_dht_answer(nd, m, &from, out, now) == STOQ_OK &&
           stoq_message_decode(
               stoq_span(out->p + STOQ_FRAME_HEAD_BYTES, out->n - STOQ_FRAME_HEAD_BYTES), ranges,
               reply) == STOQ_OK;
}

static struct stoq_dht_record *held(struct stoq_node_dht *nd, stoq_ns now)
{
    struct stoq_dht_record *r[2];
    STOQ_ASSERT(stoq_dht_held(stoq_node_dht_core(nd), &key, now, r, 2) == 1);
    return r[0];
}

struct bufs {
    struct stoq_buf body;
    struct stoq_buf item;
    struct stoq_buf reply;
};

static void leave(struct stoq_node_dht *nd, const struct stoq_key *by, struct bufs *b, stoq_ns now)
{
    const struct stoq_contact rec = {.spki = stoq_key_spki(by),
                                     .addresses = stoq_span(&addr, sizeof addr),
                                     .sequence = WALL_S * 1000000,
                                     .issued_at_s = WALL_S,
                                     .ttl_s = 3600,
                                     .has_key = true,
                                     .key = key,
                                     .value = stoq_span_str("word")};
    struct stoq_message m = {.type = STOQ_MSG_STORE};
    struct stoq_message reply;
    STOQ_ASSERT(stoq_contact_encode(&rec, &b->body) == STOQ_OK);
    m.u.store.record = sign(by, stoq_buf_span(&b->body), &b->item);
    STOQ_ASSERT(answer(nd, &m, &b->reply, &reply, now) && reply.type == STOQ_MSG_STORE);
}

/* The message as the flags would have it; true: the provider has signed the first of it. */
static bool arrange(unsigned flags, struct stoq_msg_patch *m, const struct stoq_dht_record *r,
                    const struct stoq_key *by, uint8_t *patches, struct bufs *b)
{
    memcpy(patches, m->patches.p, m->patches.n);
    m->patches.p = patches;
    m->provider = (flags & ITS) != 0 ? stoq_key_peer_id(by) : m->provider;
    if ((flags & TIMELY) != 0) {
        m->issued_at_s = WALL_S + m->issued_at_s % 300;
    }
    if ((flags & OF_IT) != 0) {
        stoq_le64_put(patches, r->digest);
    }
    if ((flags & SIGNED) == 0) {
        return false;
    }
    STOQ_ASSERT(node_dht_rebuild(r, m->sequence, m->issued_at_s, &b->body) == STOQ_OK);
    struct stoq_signed s = sign(by, stoq_buf_span(&b->body), &b->item);
    memcpy(patches + STOQ_RENEWAL_DIGEST_BYTES, s.signature.p, STOQ_PATCH_SIGNATURE_BYTES);
    return true;
}

static void patch(unsigned flags, const struct stoq_message *from, struct bufs *b)
{
    struct stoq_message m = *from;
    stoq_ns now = STOQ_SEC;
    struct stoq_key *own = key_of(1);
    struct stoq_key *by = key_of(2);
    struct stoq_node_dht *nd = holder_new(own, now);
    uint8_t patches[STOQ_PATCH_MAX * STOQ_PATCH_BYTES];
    struct stoq_message reply;
    leave(nd, by, b, now);
    uint64_t before = held(nd, now)->digest;
    uint64_t was = held(nd, now)->sequence;
    bool is_signed = arrange(flags, &m.u.patch, held(nd, now), by, patches, b);
    size_t count = m.u.patch.patches.n / STOQ_PATCH_BYTES;
    STOQ_ASSERT(answer(nd, &m, &b->reply, &reply, now));
    STOQ_ASSERT(reply.type == STOQ_MSG_PATCH && reply.u.patch.kept.n == count);
    const struct stoq_dht_record *r = held(nd, now);
    STOQ_ASSERT(node_dht_record_signed(r) && r->sequence >= was && r->ttl_s == 3600);
    STOQ_ASSERT(is_signed || r->digest == before);
    bool right = is_signed && (flags & ITS) != 0 && (flags & OF_IT) != 0 && (flags & TIMELY) != 0;
    STOQ_ASSERT(!right || m.u.patch.sequence <= was || r->sequence == m.u.patch.sequence);
    stoq_node_dht_free(nd);
    stoq_key_free(own);
    stoq_key_free(by);
}

/* Whatever is taken for a record: what is made out of it is one, and says the same. */
static void rebuild(struct stoq_span bytes, struct bufs *b)
{
    struct stoq_dht_record *r = stoq_dht_record_new(bytes);
    struct stoq_contact was;
    struct stoq_contact rec;
    STOQ_ASSERT(r != NULL);
    if (node_dht_rebuild(r, 7, 9, &b->body) == STOQ_OK) {
        STOQ_ASSERT(stoq_contact_decode(stoq_buf_span(&b->body), &rec) == STOQ_OK);
        STOQ_ASSERT(stoq_contact_decode(node_dht_record_parts(r).body, &was) == STOQ_OK);
        STOQ_ASSERT(rec.sequence == 7 && rec.issued_at_s == 9 && rec.ttl_s == was.ttl_s);
        STOQ_ASSERT(stoq_span_eq(rec.addresses, was.addresses) &&
                    stoq_span_eq(rec.value, was.value) && stoq_span_eq(rec.spki, was.spki));
    }
    stoq_dht_record_drop(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct stoq_message m;
    struct bufs b;
    if (size == 0) {
        return 0;
    }
    struct stoq_span in = stoq_span(data + 1, size - 1);
    stoq_buf_init(&b.body, STOQ_SIGNED_BODY_MAX);
    stoq_buf_init(&b.item, STOQ_SIGNED_BODY_MAX + STOQ_SIGNED_SIGNATURE_MAX + 16);
    stoq_buf_init(&b.reply, STOQ_FRAME_BYTES_MAX + STOQ_FRAME_HEAD_BYTES);
    if (stoq_message_decode(in, ranges, &m) == STOQ_OK && m.type == STOQ_MSG_PATCH &&
        !m.u.patch.is_answer) {
        patch(data[0], &m, &b);
    }
    rebuild(in, &b);
    stoq_buf_release(&b.body);
    stoq_buf_release(&b.item);
    stoq_buf_release(&b.reply);
    return 0;
}
