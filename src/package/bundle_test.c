/* The vectors of docs/FORMATS.md section 11, and every way in which a bundle can be wrong. */
#include "package/bundle.h"

#include "tests/vectors.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "hash/hash.h"

struct outcome {
    enum stoq_status status;
    uint64_t offset;
    char fault[96];
    unsigned seen[STOQ_BUNDLE_SAW_END + 1];
    size_t used;
};

static struct stoq_buf had; /* the list that the receiver of the vector `parts` has */
static struct stoq_hash had_root;

static void load_had(void)
{
    struct vectors v;
    stoq_buf_init(&had, STOQ_MIB);
    vectors_open(&v, "bundles");
    while (vectors_next(&v)) {
        if (vectors_is(&v, "list")) {
            had_root = vectors_hash(&v, 1);
            assert_int_equal(stoq_buf_add(&had, vectors_bytes(&v, 2)), STOQ_OK);
        }
    }
    vectors_close(&v);
    assert_true(had.n > 0);
}

/* Read all of it, each piece in memory of its exact size. */
static struct outcome read_all(struct stoq_span in)
{
    struct outcome o = {.status = STOQ_OK};
    struct stoq_bundle_reader *r;
    assert_int_equal(stoq_bundle_reader_new(&r), STOQ_OK);
    size_t want;
    while (o.status == STOQ_OK && (want = stoq_bundle_reader_want(r)) > 0) {
        if (want > in.n - o.used) {
            o.status = STOQ_TRUNC;
            break;
        }
        uint8_t *piece = malloc(want);
        struct stoq_bundle_event event;
        assert_non_null(piece);
        memcpy(piece, in.p + o.used, want);
        o.used += want;
        o.status = stoq_bundle_reader_feed(r, stoq_span(piece, want), &event);
        while (o.status == STOQ_OK && event.kind == STOQ_BUNDLE_WANTS_CHUNK_LIST) {
            bool right = memcmp(event.key.p, had_root.b, sizeof had_root.b) == 0;
            o.seen[event.kind]++;
            o.status = stoq_bundle_reader_give(r, right ? stoq_buf_span(&had) : stoq_span(NULL, 0),
                                               &event);
        }
        o.seen[event.kind]++;
        if (event.kind == STOQ_BUNDLE_SAW_CHUNK && event.flags == 0) {
            struct stoq_hash h = stoq_hash_blake3(event.stored);
            assert_memory_equal(event.key.p, h.b, sizeof h.b);
        }
        free(piece);
    }
    o.offset = stoq_bundle_reader_offset(r);
    (void)snprintf(o.fault, sizeof o.fault, "%s", stoq_bundle_reader_fault(r));
    stoq_bundle_reader_free(r);
    return o;
}

/* A bundle in memory that is edited and made formally right again. */
struct draft {
    uint8_t p[16384];
    size_t n;
};

static void load(struct draft *d, const char *name)
{
    struct vectors v;
    d->n = 0;
    vectors_open(&v, "bundles");
    while (vectors_next(&v)) {
        if (vectors_is(&v, "bundle") && strcmp(vectors_str(&v, 1), name) == 0) {
            struct stoq_span s = vectors_bytes(&v, 2);
            assert_true(s.n <= sizeof d->p);
            memcpy(d->p, s.p, s.n);
            d->n = s.n;
        }
    }
    vectors_close(&v);
    assert_true(d->n > 0);
}

/* Bytes of the record at p. */
static size_t record_n(const uint8_t *p)
{
    return STOQ_BUNDLE_HEAD_BYTES + p[6] + stoq_le32(p + 12);
}

/* The number'th record of a type. */
static uint8_t *find(struct draft *d, uint8_t type, int number)
{
    for (size_t at = STOQ_BUNDLE_HEADER_BYTES; at < d->n; at += record_n(d->p + at)) {
        if (d->p[at + 4] == type && number-- == 0) {
            return d->p + at;
        }
    }
    fail();
    return NULL;
}

static void mend_record(uint8_t *p)
{
    const struct stoq_span parts[] = {
        stoq_span(p, 16),
        stoq_span(p + STOQ_BUNDLE_HEAD_BYTES, record_n(p) - STOQ_BUNDLE_HEAD_BYTES)};
    stoq_le64_put(p + 16, stoq_hash_xxh3_64_parts(parts, 2));
}

static void mend_header(struct draft *d)
{
    stoq_le64_put(d->p + 16, d->n);
    stoq_le64_put(d->p + 56, stoq_hash_xxh3_64(stoq_span(d->p, 56)));
}

/* Header, checksums and the last hash fit again. */
static void mend(struct draft *d)
{
    mend_header(d);
    for (size_t at = STOQ_BUNDLE_HEADER_BYTES; at < d->n; at += record_n(d->p + at)) {
        if (d->p[at + 4] == STOQ_BUNDLE_END) {
            struct stoq_hash h = stoq_hash_blake3(stoq_span(d->p, at));
            memcpy(d->p + at + STOQ_BUNDLE_HEAD_BYTES, h.b, sizeof h.b);
        }
        mend_record(d->p + at);
    }
}

static void cut_out(struct draft *d, const uint8_t *p, size_t n)
{
    size_t at = (size_t)(p - d->p);
    memmove(d->p + at, d->p + at + n, d->n - at - n);
    d->n -= n;
}

static void put_in(struct draft *d, const uint8_t *before, const void *bytes, size_t n)
{
    uint8_t copy[4096];
    size_t at = (size_t)(before - d->p);
    assert_true(n <= sizeof copy && d->n + n <= sizeof d->p);
    memcpy(copy, bytes, n);
    memmove(d->p + at + n, d->p + at, d->n - at);
    memcpy(d->p + at, copy, n);
    d->n += n;
}

static void refused(struct draft *d, enum stoq_status status, const char *words)
{
    struct outcome o = read_all(stoq_span(d->p, d->n));
    if (o.status != status || strstr(o.fault, words) == NULL) {
        print_error("%d, at %llu: %s\n", o.status, (unsigned long long)o.offset, o.fault);
    }
    assert_int_equal(o.status, status);
    assert_non_null(strstr(o.fault, words));
    assert_true(o.offset <= d->n);
}

static void bundles_of_the_vectors_are_read(void **state)
{
    static const struct {
        const char *name;
        unsigned packages, signatures, lists, chunks;
    } want[] = {{"one", 1, 1, 1, 2},
                {"several", 3, 1, 2, 4},
                {"assumed", 1, 0, 0, 0},
                {"parts", 1, 0, 1, 1}};
    (void)state;
    struct draft d;
    for (size_t i = 0; i < STOQ_COUNT(want); i++) {
        load(&d, want[i].name);
        struct outcome o = read_all(stoq_span(d.p, d.n));
        assert_int_equal(o.status, STOQ_OK);
        assert_int_equal(o.used, d.n);
        assert_int_equal(o.seen[STOQ_BUNDLE_SAW_HEADER], 1);
        assert_int_equal(o.seen[STOQ_BUNDLE_SAW_ENTRY], want[i].packages);
        assert_int_equal(o.seen[STOQ_BUNDLE_SAW_MANIFEST], want[i].packages);
        assert_int_equal(o.seen[STOQ_BUNDLE_SAW_SHARD_LIST], want[i].packages);
        assert_int_equal(o.seen[STOQ_BUNDLE_SAW_PACKAGE_END], want[i].packages);
        assert_int_equal(o.seen[STOQ_BUNDLE_SAW_SIGNATURE], want[i].signatures);
        assert_int_equal(o.seen[STOQ_BUNDLE_SAW_CHUNK_LIST], want[i].lists);
        assert_int_equal(o.seen[STOQ_BUNDLE_SAW_CHUNK], want[i].chunks);
        assert_int_equal(o.seen[STOQ_BUNDLE_SAW_END], 1);
    }
}

static void every_flipped_bit_and_cut_is_seen(void **state)
{
    (void)state;
    static const char *const names[] = {"several", "parts"};
    struct draft d;
    for (size_t i = 0; i < STOQ_COUNT(names); i++) {
        load(&d, names[i]);
        for (size_t bit = 0; bit < 8 * d.n; bit++) {
            d.p[bit / 8] ^= (uint8_t)(1u << bit % 8);
            struct outcome o = read_all(stoq_span(d.p, d.n));
            assert_true(o.status == STOQ_MALFORMED || o.status == STOQ_PROOF);
            assert_true(o.fault[0] != 0);
            d.p[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        for (size_t n = 0; n < d.n; n++) {
            assert_int_equal(read_all(stoq_span(d.p, n)).status, STOQ_TRUNC);
        }
    }
}

/* Parts of lists that the receiver has: a wrong one, none, or other parts make no shard. */
static void parts_are_held_to_the_root(void **state)
{
    (void)state;
    struct draft d;
    load(&d, "parts");
    uint8_t *p = find(&d, STOQ_BUNDLE_CHUNK_PARTS, 0) + STOQ_BUNDLE_HEAD_BYTES + 32;
    p[1] ^= 1; /* another base: the receiver gives nothing */
    mend(&d);
    refused(&d, STOQ_MALFORMED, "parts of a chunk list that break");
    load(&d, "parts");
    p[33 + 2] ^= 1; /* another first entry */
    mend(&d);
    refused(&d, STOQ_PROOF, "does not lead to its shard's root");
    load(&d, "parts");
    p[33 + 4] = 200; /* more than the base has */
    mend(&d);
    refused(&d, STOQ_MALFORMED, "parts of a chunk list that break");
    for (int count = 0; count < 256; count += count == 0 ? 33 : 100) {
        load(&d, "parts");
        p[0] = (uint8_t)count;
        mend(&d);
        refused(&d, STOQ_MALFORMED, "parts of a chunk list that break");
    }
    had.p[0] ^= 1; /* what the receiver has is damaged */
    load(&d, "parts");
    refused(&d, STOQ_PROOF, "does not lead to its shard's root");
    had.p[0] ^= 1;
    load(&d, "parts");
    put_in(&d, find(&d, STOQ_BUNDLE_CHUNK_PARTS, 0), find(&d, STOQ_BUNDLE_CHUNK_PARTS, 0),
           record_n(find(&d, STOQ_BUNDLE_CHUNK_PARTS, 0)));
    mend(&d);
    refused(&d, STOQ_MALFORMED, "of no shard");
}

static void what_is_written_is_what_the_vectors_say(void **state)
{
    (void)state;
    struct draft d;
    load(&d, "several");
    struct stoq_bundle_header h;
    uint8_t got[STOQ_BUNDLE_HEADER_BYTES];
    assert_int_equal(stoq_bundle_header_decode(d.p, &h), STOQ_OK);
    stoq_bundle_header_encode(got, &h);
    assert_memory_equal(got, d.p, sizeof got);
    for (size_t at = STOQ_BUNDLE_HEADER_BYTES; at < d.n; at += record_n(d.p + at)) {
        uint8_t head[STOQ_BUNDLE_HEAD_BYTES + STOQ_BUNDLE_KEY_MAX];
        const uint8_t *p = d.p + at;
        const struct stoq_bundle_record rec = {
            .type = p[4],
            .flags = p[5],
            .raw_len = stoq_le32(p + 8),
            .key = stoq_span(p + STOQ_BUNDLE_HEAD_BYTES, p[6]),
            .stored = stoq_span(p + STOQ_BUNDLE_HEAD_BYTES + p[6], stoq_le32(p + 12))};
        size_t n = stoq_bundle_record_head(head, &rec);
        assert_int_equal(n, STOQ_BUNDLE_HEAD_BYTES + p[6]);
        assert_memory_equal(head, p, n);
        if (rec.type == STOQ_BUNDLE_ENTRY) {
            struct stoq_bundle_entry e;
            struct stoq_buf again;
            stoq_buf_init(&again, STOQ_BUNDLE_ENTRY_BYTES_MAX);
            assert_int_equal(stoq_bundle_entry_decode(rec.stored, &e), STOQ_OK);
            assert_int_equal(stoq_bundle_entry_encode(&e, &again), STOQ_OK);
            assert_true(stoq_span_eq(stoq_buf_span(&again), rec.stored));
            stoq_buf_release(&again);
        }
    }
}

static void headers_are_refused(void **state)
{
    (void)state;
    struct draft d;
    load(&d, "one");
    stoq_le32_put(d.p + 8, 2);
    mend_header(&d);
    refused(&d, STOQ_VERSION, "newer format");
    static const size_t field[] = {12, 16, 24, 32, 48};
    for (size_t i = 0; i < STOQ_COUNT(field); i++) {
        load(&d, "one");
        memset(d.p + field[i], 0xff, field[i] == 12 ? 4 : 8);
        stoq_le64_put(d.p + 56, stoq_hash_xxh3_64(stoq_span(d.p, 56)));
        refused(&d, STOQ_MALFORMED, "not a bundle");
    }
    load(&d, "one");
    stoq_le32_put(d.p + 12, 0);
    mend_header(&d);
    refused(&d, STOQ_MALFORMED, "not a bundle");
    static const size_t count[] = {24, 32, 40};
    for (size_t i = 0; i < STOQ_COUNT(count); i++) {
        load(&d, "one");
        stoq_le64_put(d.p + count[i], stoq_le64(d.p + count[i]) + 1);
        mend(&d);
        refused(&d, STOQ_MALFORMED, "the header counts other chunks");
    }
}

static const uint8_t types[] = {
    STOQ_BUNDLE_CHUNK, STOQ_BUNDLE_MANIFEST,    STOQ_BUNDLE_SHARD_LIST, STOQ_BUNDLE_CHUNK_LIST,
    STOQ_BUNDLE_ENTRY, STOQ_BUNDLE_PACKAGE_END, STOQ_BUNDLE_END,        STOQ_BUNDLE_SIGNATURE};

static void records_stand_in_their_order(void **state)
{
    (void)state;
    struct draft d;
    for (size_t i = 0; i < STOQ_COUNT(types); i++) {
        for (size_t k = 0; k < STOQ_COUNT(types); k++) {
            /* A copy of the one before the other: only a second signature is fine. */
            load(&d, "one");
            uint8_t *from = find(&d, types[i], 0);
            bool fine = types[i] == STOQ_BUNDLE_SIGNATURE &&
                        (types[k] == STOQ_BUNDLE_SIGNATURE || types[k] == STOQ_BUNDLE_SHARD_LIST);
            put_in(&d, find(&d, types[k], 0), from, record_n(from));
            mend(&d);
            assert_true((read_all(stoq_span(d.p, d.n)).status == STOQ_OK) == fine);
        }
        load(&d, "one");
        uint8_t *gone = find(&d, types[i], 0);
        cut_out(&d, gone, record_n(gone));
        mend(&d);
        assert_true((read_all(stoq_span(d.p, d.n)).status == STOQ_OK) ==
                    (types[i] == STOQ_BUNDLE_SIGNATURE));
    }
    load(&d, "one");
    find(&d, STOQ_BUNDLE_SIGNATURE, 0)[4] = 6;
    mend(&d);
    refused(&d, STOQ_MALFORMED, "a type that no bundle has");
    load(&d, "several");
    uint8_t *second = find(&d, STOQ_BUNDLE_MANIFEST, 1);
    cut_out(&d, second, record_n(second));
    mend(&d);
    refused(&d, STOQ_MALFORMED, "may not stand");
}

static void lengths_are_judged_before_they_are_read(void **state)
{
    (void)state;
    struct draft d;
    for (size_t i = 0; i < STOQ_COUNT(types); i++) {
        load(&d, "one");
        uint8_t *p = find(&d, types[i], 0);
        stoq_le32_put(p + 8, UINT32_MAX);
        stoq_le32_put(p + 12, UINT32_MAX);
        refused(&d, STOQ_MALFORMED, "lengths or flags");
        load(&d, "one");
        find(&d, types[i], 0)[6] ^= 1;
        refused(&d, STOQ_MALFORMED, "lengths or flags");
        load(&d, "one");
        find(&d, types[i], 0)[7] = 1;
        refused(&d, STOQ_MALFORMED, "no record begins");
        load(&d, "one");
        find(&d, types[i], 0)[5] = types[i] == STOQ_BUNDLE_CHUNK ? 2 : 1;
        refused(&d, STOQ_MALFORMED, "lengths or flags");
    }
    load(&d, "one"); /* packed, and no shorter for it */
    find(&d, STOQ_BUNDLE_CHUNK, 1)[5] = 1;
    refused(&d, STOQ_MALFORMED, "lengths or flags");
    load(&d, "one"); /* a record that reaches behind the end */
    stoq_le64_put(d.p + 16, d.n - 1);
    stoq_le64_put(d.p + 56, stoq_hash_xxh3_64(stoq_span(d.p, 56)));
    refused(&d, STOQ_MALFORMED, "ends elsewhere");
    load(&d, "one"); /* an end before the end */
    stoq_le64_put(d.p + 16, d.n + 1);
    stoq_le64_put(d.p + 56, stoq_hash_xxh3_64(stoq_span(d.p, 56)));
    refused(&d, STOQ_MALFORMED, "ends elsewhere");
}

/* Bytes that are formally right, and not what they say they are. */
static void nothing_is_taken_on_trust(void **state)
{
    static const struct {
        uint8_t type;
        size_t at; /* into the key or payload, which is flipped */
        enum stoq_status status;
        const char *words;
    } lies[] = {
        {STOQ_BUNDLE_ENTRY, 0, STOQ_MALFORMED, "an entry of the index"},
        {STOQ_BUNDLE_ENTRY, 32, STOQ_MALFORMED, "an entry of the index"},
        {STOQ_BUNDLE_MANIFEST, 0, STOQ_MALFORMED, "not the index's next"},
        {STOQ_BUNDLE_MANIFEST, 40, STOQ_PROOF, "does not hash to its package id"},
        {STOQ_BUNDLE_SIGNATURE, 0, STOQ_MALFORMED, "a signature of another package"},
        {STOQ_BUNDLE_SHARD_LIST, 0, STOQ_PROOF, "does not lead to the manifest's root"},
        {STOQ_BUNDLE_SHARD_LIST, 33, STOQ_PROOF, "does not lead to the manifest's root"},
        {STOQ_BUNDLE_CHUNK_LIST, 0, STOQ_MALFORMED, "of no shard"},
        {STOQ_BUNDLE_CHUNK_LIST, 33, STOQ_PROOF, "does not lead to its shard's root"},
        {STOQ_BUNDLE_CHUNK, 0, STOQ_MALFORMED, "does not name next"},
        {STOQ_BUNDLE_PACKAGE_END, 0, STOQ_MALFORMED, "the end of another package"},
    };
    (void)state;
    struct draft d;
    for (size_t i = 0; i < STOQ_COUNT(lies); i++) {
        load(&d, "one");
        find(&d, lies[i].type, 0)[STOQ_BUNDLE_HEAD_BYTES + lies[i].at] ^= 1;
        mend(&d);
        refused(&d, lies[i].status, lies[i].words);
    }
    load(&d, "one"); /* the last hash, with its own checksum right */
    uint8_t *end = find(&d, STOQ_BUNDLE_END, 0);
    end[STOQ_BUNDLE_HEAD_BYTES] ^= 1;
    mend_record(end);
    refused(&d, STOQ_PROOF, "the hash of the whole");
    load(&d, "one"); /* a checksum */
    find(&d, STOQ_BUNDLE_CHUNK, 1)[17] ^= 1;
    refused(&d, STOQ_PROOF, "bytes were damaged");
    load(&d, "one"); /* a chunk of another length, which the hash of its bytes would not show */
    uint8_t *chunk = find(&d, STOQ_BUNDLE_CHUNK, 1);
    stoq_le32_put(chunk + 8, stoq_le32(chunk + 8) - 1);
    stoq_le32_put(chunk + 12, stoq_le32(chunk + 12) - 1);
    cut_out(&d, chunk + record_n(chunk), 1);
    mend(&d);
    refused(&d, STOQ_MALFORMED, "another length");
    load(&d, "one"); /* the second chunk first */
    uint8_t *first = find(&d, STOQ_BUNDLE_CHUNK, 0);
    uint8_t copy[256];
    size_t n = record_n(first);
    memcpy(copy, first, n);
    cut_out(&d, first, n);
    put_in(&d, find(&d, STOQ_BUNDLE_PACKAGE_END, 0), copy, n);
    mend(&d);
    refused(&d, STOQ_MALFORMED, "does not name next");
}

/* The index's claims are compared with what came. */
static void the_index_is_held_to_its_word(void **state)
{
    (void)state;
    struct draft d;
    load(&d, "one");
    uint8_t *p = find(&d, STOQ_BUNDLE_ENTRY, 0);
    p[STOQ_BUNDLE_HEAD_BYTES + 32 + 39] ^= 1; /* a letter of the name */
    mend(&d);
    refused(&d, STOQ_MALFORMED, "not what the index says");
    load(&d, "one");
    p = find(&d, STOQ_BUNDLE_ENTRY, 0);
    p[record_n(p) - 5] ^= 1; /* key 6, a small number: chunk records that follow */
    assert_int_equal(p[record_n(p) - 6], 6);
    mend(&d);
    refused(&d, STOQ_MALFORMED, "not what the index says");
    load(&d, "one");
    p = find(&d, STOQ_BUNDLE_ENTRY, 0);
    p[record_n(p) - 1] =
        1; /* key 8: the receiver's store has to see to it, but the sum must be right */
    mend(&d);
    refused(&d, STOQ_MALFORMED, "the header counts other chunks");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bundles_of_the_vectors_are_read),
        cmocka_unit_test(every_flipped_bit_and_cut_is_seen),
        cmocka_unit_test(what_is_written_is_what_the_vectors_say),
        cmocka_unit_test(parts_are_held_to_the_root),
        cmocka_unit_test(headers_are_refused),
        cmocka_unit_test(records_stand_in_their_order),
        cmocka_unit_test(lengths_are_judged_before_they_are_read),
        cmocka_unit_test(nothing_is_taken_on_trust),
        cmocka_unit_test(the_index_is_held_to_its_word),
    };
    load_had();
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    stoq_buf_release(&had);
    return rc;
}
