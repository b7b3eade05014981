#include "daemon/trust_file.h"

#include "wire/cbor.h"

#define VERSION 1
#define NUMBERS 12

/* The record's numbers in the order of their keys, which begin at 2. */
static void numbers(const struct stoq_trust_record *r, uint64_t out[NUMBERS])
{
    out[0] = r->successful_transfers;
    out[1] = r->failed_transfers;
    out[2] = r->invalid_data_count;
    out[3] = r->timeout_count;
    out[4] = r->violations;
    out[5] = r->good;
    out[6] = r->bad;
    out[7] = r->proven;
    out[8] = r->behaviour;
    out[9] = r->allowance;
    out[10] = r->quarantines;
    out[11] = r->quarantine_ns;
}

static void set_number(struct stoq_trust_record *r, uint64_t i, uint64_t v)
{
    uint64_t *const places[NUMBERS] = {
        &r->successful_transfers,
        &r->failed_transfers,
        &r->invalid_data_count,
        &r->timeout_count,
        &r->violations,
        &r->good,
        &r->bad,
        &r->proven,
        &r->behaviour,
        &r->allowance,
        NULL,
        &r->quarantine_ns,
    };
    if (places[i] != NULL) {
        *places[i] = v;
    } else {
        r->quarantines =
            v < UINT32_MAX ? (uint32_t)v : UINT32_MAX; /* out of range: restore says so */
    }
}

static void put_record(struct stoq_cbor_wr *w, const struct stoq_trust_record *r)
{
    uint64_t v[NUMBERS];
    uint32_t count = 0;
    numbers(r, v);
    for (size_t i = 0; i < NUMBERS; i++) {
        count += v[i] != 0;
    }
    stoq_cbor_put_map(w, 1 + count);
    stoq_cbor_put_uint(w, 1);
    stoq_cbor_put_hash(w, &r->peer.h);
    for (size_t i = 0; i < NUMBERS; i++) {
        if (v[i] != 0) {
            stoq_cbor_put_uint(w, 2 + i);
            stoq_cbor_put_uint(w, v[i]);
        }
    }
}

enum stoq_status stoq_trust_file_encode(const struct stoq_trust *trust, stoq_ns now,
                                        uint64_t wall_s, struct stoq_buf *out)
{
    struct stoq_cbor_wr w = stoq_cbor_wr(out);
    struct stoq_trust_record r;
    stoq_cbor_put_uint(&w, VERSION);
    stoq_cbor_put_uint(&w, wall_s);
    for (size_t i = 0; stoq_trust_at(trust, i, now, &r); i++) {
        put_record(&w, &r);
    }
    return stoq_cbor_wr_done(&w);
}

enum stoq_status stoq_trust_file_open(struct stoq_trust_file *out, struct stoq_span bytes)
{
    struct stoq_cbor_rd r = stoq_cbor_rd(bytes);
    uint64_t version = stoq_cbor_rd_uint(&r);
    if (r.status == STOQ_OK && version != VERSION) {
        return version > VERSION ? STOQ_VERSION : STOQ_MALFORMED;
    }
    out->written_s = stoq_cbor_rd_uint(&r);
    if (r.status != STOQ_OK) {
        return r.status;
    }
    out->rest = stoq_span(r.p, r.n);
    return STOQ_OK;
}

enum stoq_status stoq_trust_file_next(struct stoq_trust_file *file, struct stoq_trust_record *out)
{
    struct stoq_cbor_rd r = stoq_cbor_rd(file->rest);
    uint64_t key;
    bool has_peer = false;
    *out = (struct stoq_trust_record){0};
    if (file->rest.n == 0) {
        return STOQ_NOTFOUND;
    }
    stoq_cbor_rd_map(&r);
    while (stoq_cbor_rd_key(&r, &key)) {
        if (key == 1) {
            out->peer.h = stoq_cbor_rd_hash(&r);
            has_peer = true;
        } else if (key >= 2 && key < 2 + NUMBERS) {
            set_number(out, key - 2, stoq_cbor_rd_uint_in(&r, 1, INT64_MAX));
        } else {
            stoq_cbor_rd_fail(&r, STOQ_MALFORMED);
        }
    }
    stoq_cbor_rd_leave(&r);
    if (r.status != STOQ_OK || !has_peer) {
        return r.status != STOQ_OK ? r.status : STOQ_MALFORMED;
    }
    file->rest = stoq_span(r.p, r.n);
    return STOQ_OK;
}
