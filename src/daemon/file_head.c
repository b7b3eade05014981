#include "daemon/file_head.h"

void stoq_file_head_put(struct stoq_cbor_wr *w, uint64_t version, uint64_t wall_s)
{
    stoq_cbor_put_uint(w, version);
    stoq_cbor_put_uint(w, wall_s);
}

enum stoq_status stoq_file_head_get(struct stoq_cbor_rd *r, uint64_t version, uint64_t *written_s)
{
    uint64_t is = stoq_cbor_rd_uint(r);
    if (r->status == STOQ_OK && is != version) {
        return is > version ? STOQ_VERSION : STOQ_MALFORMED;
    }
    *written_s = stoq_cbor_rd_uint(r);
    return r->status;
}
