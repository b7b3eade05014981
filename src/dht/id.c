#include "dht/id.h"

#include "hash/hash.h"

static const char id_context[] = "stoq node id v1";

struct stoq_hash stoq_dht_node_id(const struct stoq_dht_rules *rules,
                                  const struct stoq_peer_id *peer, uint64_t nonce)
{
    uint8_t epoch_le[8];
    uint8_t nonce_le[8];
    stoq_le64_put(epoch_le, rules->epoch);
    stoq_le64_put(nonce_le, nonce);
    const struct stoq_span parts[] = {
        stoq_span_str(id_context), stoq_span(epoch_le, sizeof epoch_le),
        stoq_span(peer->h.b, sizeof peer->h.b), stoq_span(nonce_le, sizeof nonce_le)};
    return stoq_hash_blake3_parts(parts, STOQ_COUNT(parts));
}

bool stoq_dht_id_earned(const struct stoq_dht_rules *rules, const struct stoq_hash *id)
{
    static const struct stoq_hash zero = {{0}};
    struct stoq_hash h = stoq_hash_blake3(stoq_span(id->b, sizeof id->b));
    return stoq_dht_common_bits(&h, &zero) >= rules->work_bits;
}

bool stoq_dht_search_run(struct stoq_dht_search *s, uint32_t tries)
{
    for (uint32_t i = 0; i < tries; i++) {
        s->id = stoq_dht_node_id(&s->rules, &s->peer, s->nonce);
        if (stoq_dht_id_earned(&s->rules, &s->id)) {
            return true;
        }
        s->nonce++;
    }
    return false;
}

struct stoq_hash stoq_dht_key(const struct stoq_package_id *package)
{
    struct stoq_hash key;
    stoq_hash_derive("stoq location v1", stoq_span(package->h.b, sizeof package->h.b), key.b,
                     sizeof key.b);
    return key;
}

int stoq_dht_nearer(const struct stoq_hash *target, const struct stoq_hash *a,
                    const struct stoq_hash *b)
{
    for (size_t i = 0; i < sizeof target->b; i++) {
        int d = (a->b[i] ^ target->b[i]) - (b->b[i] ^ target->b[i]);
        if (d != 0) {
            return d;
        }
    }
    return 0;
}

static uint64_t first_bytes(const struct stoq_hash *h)
{
    uint64_t v = 0;
    for (size_t i = 0; i < 8; i++) {
        v = v << 8 | h->b[i];
    }
    return v;
}

uint64_t stoq_dht_distance(const struct stoq_hash *a, const struct stoq_hash *b)
{
    return first_bytes(a) ^ first_bytes(b);
}

unsigned stoq_dht_common_bits(const struct stoq_hash *a, const struct stoq_hash *b)
{
    for (unsigned i = 0; i < sizeof a->b; i++) {
        unsigned d = a->b[i] ^ b->b[i];
        if (d != 0) {
            return i * 8 + (unsigned)__builtin_clz(d) - 24;
        }
    }
    return STOQ_DHT_ID_BITS;
}
