#include "daemon/receipts.h"

#include "sign/object.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct stoq_key *key;
static struct stoq_package_id id = {{{1}}};

static void append(struct stoq_buf *items, struct stoq_receipt r, const struct stoq_key *signer)
{
    struct stoq_buf body;
    stoq_buf_init(&body, STOQ_SIGNED_BODY_MAX);
    r.spki = stoq_key_spki(key);
    assert_int_equal(stoq_receipt_encode(&r, &body), STOQ_OK);
    assert_int_equal(stoq_object_sign(signer, STOQ_SIGN_RECEIPT, stoq_buf_span(&body), items),
                     STOQ_OK);
    stoq_buf_release(&body);
}

static struct stoq_holding read_all(const struct stoq_buf *items)
{
    struct stoq_peer_id peer = stoq_key_peer_id(key);
    struct stoq_holding h;
    stoq_receipts_read(stoq_buf_span(items), &id, &peer, &h);
    return h;
}

static void receipts_add_up_without_gaps(void **state)
{
    (void)state;
    struct stoq_buf items;
    stoq_buf_init(&items, 65536);
    append(&items,
           (struct stoq_receipt){
               .id = id, .shard_count = 256, .bytes = 10, .verified_at_s = 5, .keep_until_s = 90},
           key);
    append(&items,
           (struct stoq_receipt){.id = id,
                                 .first_shard = 256,
                                 .shard_count = 2,
                                 .bytes = 3,
                                 .verified_at_s = 7,
                                 .keep_until_s = 80},
           key);
    struct stoq_holding h = read_all(&items);
    assert_true(h.valid);
    assert_int_equal(h.bytes, 13);
    assert_int_equal(h.shard_count, 258);
    assert_int_equal(h.verified_at_s, 7);
    assert_int_equal(h.keep_until_s, 80);
    append(&items,
           (struct stoq_receipt){.id = id, .first_shard = 259, .shard_count = 1, .bytes = 1}, key);
    assert_false(read_all(&items).valid);
    stoq_buf_clear(&items);
    append(&items, (struct stoq_receipt){.id = id, .bytes = 13}, key);
    assert_true(read_all(&items).valid);
    append(&items, (struct stoq_receipt){.id = id, .bytes = 13}, key); /* all of it, twice */
    assert_false(read_all(&items).valid);
    stoq_buf_release(&items);
}

static void what_does_not_hold_is_told(void **state)
{
    (void)state;
    const uint8_t seed[STOQ_KEY_SEED_BYTES] = {2};
    struct stoq_key *other;
    struct stoq_buf items;
    assert_int_equal(stoq_key_from_seed(&other, seed), STOQ_OK);
    stoq_buf_init(&items, 65536);
    struct stoq_holding h = read_all(&items);
    assert_false(h.valid);
    assert_string_equal(h.why, "the record is damaged");
    append(&items, (struct stoq_receipt){.id = id, .bytes = 13}, other);
    h = read_all(&items);
    assert_string_equal(h.why, "its signature does not verify");
    stoq_buf_clear(&items);
    append(&items, (struct stoq_receipt){.id = {{{9}}}, .bytes = 13}, key);
    h = read_all(&items);
    assert_string_equal(h.why, "it is of another peer or package");
    stoq_buf_clear(&items);
    append(&items, (struct stoq_receipt){.id = id, .bytes = 13}, key);
    items.n--;
    assert_false(read_all(&items).valid);
    items.n++;
    for (size_t i = 0; i < items.n; i++) { /* no byte of it may be another */
        items.p[i] ^= 1;
        assert_false(read_all(&items).valid);
        items.p[i] ^= 1;
    }
    assert_true(read_all(&items).valid);
    stoq_key_free(other);
    stoq_buf_release(&items);
}

static int make_key(void **state)
{
    const uint8_t seed[STOQ_KEY_SEED_BYTES] = {1};
    (void)state;
    return stoq_key_from_seed(&key, seed) == STOQ_OK ? 0 : -1;
}

static int free_key(void **state)
{
    (void)state;
    stoq_key_free(key);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(receipts_add_up_without_gaps),
        cmocka_unit_test(what_does_not_hold_is_told),
    };
    return cmocka_run_group_tests(tests, make_key, free_key);
}
