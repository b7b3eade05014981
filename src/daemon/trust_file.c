#include "daemon/trust_file.h"

#include "daemon/file_head.h"
#include "wire/form.h"

#define VERSION 1

#define IS_NUMBER(m, max) STOQ_IS_UINT(struct stoq_trust_record, m, 1, max), .optional = true
static const struct stoq_field record_fields[] = {
    {1, STOQ_IS_HASH(struct stoq_trust_record, peer.h)},
    {2, IS_NUMBER(successful_transfers, INT64_MAX)},
    {3, IS_NUMBER(failed_transfers, INT64_MAX)},
    {4, IS_NUMBER(invalid_data_count, INT64_MAX)},
    {5, IS_NUMBER(timeout_count, INT64_MAX)},
    {6, IS_NUMBER(violations, INT64_MAX)},
    {7, IS_NUMBER(good, INT64_MAX)},
    {8, IS_NUMBER(bad, INT64_MAX)},
    {9, IS_NUMBER(proven, INT64_MAX)},
    {10, IS_NUMBER(behaviour, INT64_MAX)},
    {11, IS_NUMBER(allowance, INT64_MAX)},
    {12, IS_NUMBER(quarantines, UINT32_MAX)},
    {13, IS_NUMBER(quarantine_ns, INT64_MAX)},
};
static const struct stoq_form record_form = STOQ_FORM(record_fields);

enum stoq_status stoq_trust_file_encode(const struct stoq_trust *trust, stoq_ns now,
                                        uint64_t wall_s, struct stoq_buf *out)
{
    struct stoq_cbor_wr w = stoq_cbor_wr(out);
    struct stoq_trust_record r;
    bool fits = true;
    stoq_file_head_put(&w, VERSION, wall_s);
    for (size_t i = 0; stoq_trust_at(trust, i, now, &r); i++) {
        fits = stoq_form_put(&w, &record_form, &r, stoq_form_keys(&record_form, &r)) && fits;
    }
    STOQ_ASSERT(fits);
    return stoq_cbor_wr_done(&w);
}

enum stoq_status stoq_trust_file_open(struct stoq_trust_file *out, struct stoq_span bytes)
{
    struct stoq_cbor_rd r = stoq_cbor_rd(bytes);
    enum stoq_status st = stoq_file_head_get(&r, VERSION, &out->written_s);
    if (st == STOQ_OK) {
        out->rest = stoq_span(r.p, r.n);
    }
    return st;
}

enum stoq_status stoq_trust_file_next(struct stoq_trust_file *file, struct stoq_trust_record *out)
{
    struct stoq_cbor_rd r = stoq_cbor_rd(file->rest);
    *out = (struct stoq_trust_record){0};
    if (file->rest.n == 0) {
        return STOQ_NOTFOUND;
    }
    (void)stoq_form_get(&r, &record_form, out, NULL);
    if (r.status != STOQ_OK) {
        return r.status;
    }
    file->rest = stoq_span(r.p, r.n);
    return STOQ_OK;
}
