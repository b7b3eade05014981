/* Any bytes as the file of reputations: refused, or records that are written and read back the same. */
#include "daemon/trust_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct stoq_trust *read_all(struct stoq_span bytes, enum stoq_status *status)
{
    static const struct stoq_trust_config config;
    struct stoq_trust *t;
    struct stoq_trust_file file;
    struct stoq_trust_record r;
    STOQ_ASSERT(stoq_trust_new(&t, &config, 1) == STOQ_OK);
    *status = stoq_trust_file_open(&file, bytes);
    while (*status == STOQ_OK) {
        *status = stoq_trust_file_next(&file, &r);
        if (*status == STOQ_OK) {
            enum stoq_status st = stoq_trust_restore(t, &r, 0, 1);
            STOQ_ASSERT(st == STOQ_OK || st == STOQ_RANGE);
            struct stoq_trust_record back;
            stoq_trust_record(t, &r.peer, 1, &back);
            (void)stoq_trust_score(&back, 3);
        }
    }
    return t;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum stoq_status st;
    struct stoq_buf once;
    struct stoq_buf twice;
    stoq_buf_init(&once, STOQ_TRUST_FILE_BYTES_MAX);
    stoq_buf_init(&twice, STOQ_TRUST_FILE_BYTES_MAX);
    struct stoq_trust *t = read_all(stoq_span(data, size), &st);
    STOQ_ASSERT(stoq_trust_file_encode(t, 1, 7, &once) == STOQ_OK);
    struct stoq_trust *again = read_all(stoq_buf_span(&once), &st);
    STOQ_ASSERT(st == STOQ_NOTFOUND);
    STOQ_ASSERT(stoq_trust_file_encode(again, 1, 7, &twice) == STOQ_OK);
    STOQ_ASSERT(stoq_span_eq(stoq_buf_span(&once), stoq_buf_span(&twice)));
    stoq_buf_release(&once);
    stoq_buf_release(&twice);
    stoq_trust_free(t);
    stoq_trust_free(again);
    return 0;
}
