#include "daemon/dht_file.h"

#include "wire/form.h"

#define VERSION 1
#define BITS_MAX 64

static const struct stoq_field fields[] = {
    {1, STOQ_IS_CONST(VERSION, STOQ_VERSION)},
    {2, STOQ_IS_UINT(struct stoq_dht_file, epoch, 0, UINT64_MAX)},
    {3, STOQ_IS_UINT(struct stoq_dht_file, bits, 0, BITS_MAX)},
    {4, STOQ_IS_UINT(struct stoq_dht_file, nonce, 0, UINT64_MAX)},
    {5, STOQ_IS_HASH(struct stoq_dht_file, sweep_at)},
    {6, STOQ_IS_BYTES(struct stoq_dht_file, contacts, 0, STOQ_DHT_FILE_BYTES_MAX)},
};
static const struct stoq_form form = STOQ_FORM(fields);
#define ALL (STOQ_KEY(1) | STOQ_KEY(2) | STOQ_KEY(3) | STOQ_KEY(4) | STOQ_KEY(5) | STOQ_KEY(6))

enum stoq_status stoq_dht_file_encode(const struct stoq_dht_file *file, struct stoq_buf *out)
{
    return stoq_form_encode(&form, file, ALL, out);
}

enum stoq_status stoq_dht_file_decode(struct stoq_dht_file *out, struct stoq_span bytes)
{
    struct stoq_dht_file file = {0};
    enum stoq_status st =
        bytes.n > STOQ_DHT_FILE_BYTES_MAX ? STOQ_MALFORMED : stoq_form_decode(&form, bytes, &file);
    if (st == STOQ_OK) {
        *out = file;
    }
    return st;
}
