/*
 * Every decoder of CBOR against the same hostility, and the length fields of the formats that are no CBOR.
 * The seeds of its fuzz target that it accepts are taken apart, and at every item of each the same things are
 * tried: the same value in a longer form, an indefinite length, a length or count of 4 GiB and of 2^63, the
 * item replaced by ten thousand nested arrays, by a tag, a float, null or a negative number, a map's pair
 * twice and its pairs in another order, bytes behind the end. All of it must be refused, whatever stands
 * around it.
 */
#include "daemon/alias_record.h"
#include "daemon/content_record.h"
#include "daemon/have.h"
#include "daemon/history.h"
#include "daemon/keep_record.h"
#include "daemon/known.h"
#include "daemon/trust_file.h"
#include "hash/hash.h"
#include "merkle/proof.h"
#include "merkle/run.h"
#include "os/file.h"
#include "package/bundle.h"
#include "package/list_parts.h"
#include "package/manifest.h"
#include "package/pointer.h"
#include "package/proof_file.h"
#include "package/table.h"
#include "sign/sign.h"
#include "store/place.h"
#include "store/scrub.h"
#include "wire/frame.h"
#include "wire/items.h"
#include "wire/message.h"
#include "wire/signed.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SEED_BYTES_MAX ((size_t)1 << 20)
#define NESTED 10000

/* A decoder: does it accept bytes behind this prefix, which is not CBOR (a record's key)? */
typedef bool accept_fn(struct stoq_span prefix, struct stoq_span cbor);
/* Where the CBOR of a seed begins; SIZE_MAX: it is no seed. */
typedef size_t begin_fn(struct stoq_span seed);

static bool accept_manifest(struct stoq_span prefix, struct stoq_span s)
{
    static struct stoq_manifest m;
    return stoq_manifest_decode(s, &m) == STOQ_OK;
}

static bool accept_pointer(struct stoq_span prefix, struct stoq_span s)
{
    struct stoq_pointer p;
    return stoq_pointer_decode(s, &p) == STOQ_OK;
}

static bool accept_message(struct stoq_span prefix, struct stoq_span s)
{
    static struct stoq_range ranges[STOQ_REQUEST_RANGES_MAX];
    struct stoq_message m;
    return stoq_message_decode(s, ranges, &m) == STOQ_OK;
}

static bool accept_envelope(struct stoq_span prefix, struct stoq_span s)
{
    struct stoq_envelope e;
    return stoq_envelope_decode(&e, s) == STOQ_OK;
}

static bool accept_places(struct stoq_span prefix, struct stoq_span s)
{
    struct stoq_places p;
    struct stoq_place one;
    enum stoq_status st = stoq_places_begin(&p, s);
    while (st == STOQ_OK) {
        st = stoq_places_next(&p, &one);
    }
    return st == STOQ_NOTFOUND;
}

static bool accept_content(struct stoq_span prefix, struct stoq_span s)
{
    struct stoq_content c;
    return stoq_content_decode(prefix, s, &c) == STOQ_OK;
}

static bool accept_alias(struct stoq_span prefix, struct stoq_span s)
{
    static struct stoq_alias a;
    return stoq_alias_decode(prefix, s, &a) == STOQ_OK;
}

static bool accept_keep(struct stoq_span prefix, struct stoq_span s)
{
    struct stoq_keep k;
    enum stoq_record_type type = (enum stoq_record_type)(STOQ_RECORD_PIN + prefix.p[0] % 3);
    return stoq_keep_decode(type, stoq_span(prefix.p + 2, prefix.n - 2), s, &k) == STOQ_OK;
}

static bool accept_scrub(struct stoq_span prefix, struct stoq_span s)
{
    struct stoq_scrub_state state;
    return stoq_scrub_state_decode(s, &state) == STOQ_OK;
}

static bool accept_contact(struct stoq_span prefix, struct stoq_span s)
{
    struct stoq_contact c;
    struct stoq_receipt r;
    return stoq_contact_decode(s, &c) == STOQ_OK || stoq_receipt_decode(s, &r) == STOQ_OK;
}

static bool accept_proof(struct stoq_span prefix, struct stoq_span s)
{
    static struct stoq_merkle_proof p;
    return stoq_merkle_proof_decode(s, &p) == STOQ_OK;
}

static bool accept_run(struct stoq_span prefix, struct stoq_span s)
{
    static struct stoq_merkle_run run;
    return stoq_merkle_run_decode(s, &run) == STOQ_OK;
}

static bool accept_known(struct stoq_span prefix, struct stoq_span s)
{
    struct stoq_known *k;
    assert_int_equal(stoq_known_new(&k, 1), STOQ_OK);
    enum stoq_status st = stoq_known_decode(k, s);
    stoq_known_free(k);
    return st == STOQ_OK;
}

static bool accept_trust(struct stoq_span prefix, struct stoq_span s)
{
    struct stoq_trust_file file;
    struct stoq_trust_record r;
    enum stoq_status st = stoq_trust_file_open(&file, s);
    while (st == STOQ_OK) {
        st = stoq_trust_file_next(&file, &r);
    }
    return st == STOQ_NOTFOUND;
}

static bool accept_history(struct stoq_span prefix, struct stoq_span s)
{
    static struct stoq_history_item item;
    struct stoq_history h;
    enum stoq_status st = stoq_history_open(&h, s);
    while (st == STOQ_OK) {
        st = stoq_history_next(&h, &item);
    }
    return st == STOQ_NOTFOUND;
}

static bool accept_entry(struct stoq_span prefix, struct stoq_span s)
{
    struct stoq_bundle_entry e;
    return stoq_bundle_entry_decode(s, &e) == STOQ_OK;
}

/* A file table, as a manifest would promise it that was made of these very bytes. */
static bool accept_table(struct stoq_span prefix, struct stoq_span s)
{
    static struct stoq_table_reader r;
    struct stoq_entry e;
    uint64_t entries = 0;
    uint64_t bytes = s.n;
    enum stoq_status st = STOQ_OK;
    stoq_table_reader_init(&r, s.n, UINT64_MAX, UINT64_MAX);
    struct stoq_span in = s;
    while (stoq_table_reader_next(&r, &in, &e) == STOQ_OK) {
        entries++;
        bytes += e.size;
    }
    stoq_table_reader_init(&r, s.n, entries, bytes);
    while (st == STOQ_OK) {
        st = stoq_table_reader_next(&r, &s, &e);
    }
    return st == STOQ_NOTFOUND;
}

static size_t begin_0(struct stoq_span seed)
{
    return 0;
}

static size_t begin_frame(struct stoq_span seed)
{
    return STOQ_FRAME_HEAD_BYTES;
}

/* Behind what the fuzz target takes for the manifest's promise. */
static size_t begin_table(struct stoq_span seed)
{
    return 9;
}

/* The first record behind a bundle's header is an entry of its index, with a package id as key. */
static size_t begin_entry(struct stoq_span seed)
{
    return STOQ_BUNDLE_HEADER_BYTES + STOQ_BUNDLE_HEAD_BYTES + sizeof(struct stoq_package_id);
}

static size_t begin_content(struct stoq_span seed)
{
    return STOQ_CONTENT_KEY_BYTES;
}

static size_t begin_alias(struct stoq_span seed)
{
    return STOQ_ALIAS_KEY_BYTES;
}

static size_t begin_keep(struct stoq_span seed)
{
    return seed.n < 2 ? SIZE_MAX : 2 + (size_t)seed.p[1];
}

static const struct target {
    const char *corpus;
    accept_fn *accept;
    begin_fn *begin;
    unsigned seeds_min;
    bool is_one_item; /* what follows the first item is another format */
} targets[] = {
    {"manifest_fuzz", accept_manifest, begin_0, 1, false},
    {"message_fuzz", accept_message, begin_frame, 29, false},
    {"sign_envelope_fuzz", accept_envelope, begin_0, 1, false},
    {"place_fuzz", accept_places, begin_0, 2, false},
    {"content_record_fuzz", accept_content, begin_content, 1, false},
    {"alias_record_fuzz", accept_alias, begin_alias, 1, false},
    {"keep_record_fuzz", accept_keep, begin_keep, 3, false},
    {"scrub_state_fuzz", accept_scrub, begin_0, 2, false},
    {"signed_fuzz", accept_contact, begin_0, 3, false},
    {"merkle_proof_fuzz", accept_proof, begin_0, 6, false},
    {"merkle_run_fuzz", accept_run, begin_0, 7, false},
    {"known_fuzz", accept_known, begin_0, 1, false},
    {"trust_file_fuzz", accept_trust, begin_0, 1, false},
    {"history_fuzz", accept_history, begin_0, 1, false},
    {"bundle_fuzz", accept_entry, begin_entry, 3, true},
    {"table_fuzz", accept_table, begin_table, 2, false},
    {"pointer_fuzz", accept_pointer, begin_0, 3, false},
};

/* One item's head. */
struct head {
    unsigned major;
    uint64_t value;
    size_t bytes; /* of the head */
};

static struct head head_at(struct stoq_span s, size_t at)
{
    struct head h = {.major = s.p[at] >> 5, .value = s.p[at] & 31u, .bytes = 1};
    if (h.value >= 24) {
        size_t more = (size_t)1 << (h.value - 24);
        h.value = 0;
        for (size_t i = 1; i <= more; i++) {
            h.value = h.value << 8 | s.p[at + i];
        }
        h.bytes += more;
    }
    return h;
}

/* Where the item at an offset ends. The seed is well-formed: its decoder said so. */
static size_t end_of(struct stoq_span s, size_t at)
{
    uint64_t left = 1;
    while (left > 0) {
        struct head h = head_at(s, at);
        at += h.bytes + (h.major == 2 || h.major == 3 ? (size_t)h.value : 0);
        left += h.major == 4 ? h.value : h.major == 5 ? 2 * h.value : 0;
        left--;
    }
    return at;
}

struct trial {
    const struct target *target;
    struct stoq_span prefix;
    struct stoq_span seed;
    struct stoq_buf out;
    unsigned tried;
};

static void add(struct trial *t, const void *p, size_t n)
{
    assert_int_equal(stoq_buf_add(&t->out, stoq_span(p, n)), STOQ_OK);
}

/* The seed with bytes from..to replaced must be refused. */
static void refuse(struct trial *t, size_t from, size_t to, const void *p, size_t n,
                   const char *what)
{
    stoq_buf_clear(&t->out);
    add(t, t->seed.p, from);
    add(t, p, n);
    add(t, t->seed.p + to, t->seed.n - to);
    t->tried++;
    if (t->target->accept(t->prefix, stoq_buf_span(&t->out))) {
        fail_msg("%s accepts %s at byte %zu of %zu", t->target->corpus, what, from, t->seed.n);
    }
}

static size_t put_head(uint8_t out[9], unsigned major, uint64_t value, size_t more)
{
    out[0] = (uint8_t)(major << 5 | (more == 1 ? 24 : more == 2 ? 25 : more == 4 ? 26 : 27));
    for (size_t i = 0; i < more; i++) {
        out[1 + i] = (uint8_t)(value >> (8 * (more - 1 - i)));
    }
    return 1 + more;
}

static void try_lengths(struct trial *t, size_t at, struct head h)
{
    uint8_t p[9];
    for (size_t more = h.bytes == 1 ? 1 : 2 * (h.bytes - 1); more <= 8; more *= 2) {
        refuse(t, at, at + h.bytes, p, put_head(p, h.major, h.value, more), "a longer form");
    }
    if (h.major >= 2 && h.major <= 5) {
        refuse(t, at, at + h.bytes, p, put_head(p, h.major, UINT32_MAX, 4), "4 GiB of length");
        refuse(t, at, at + h.bytes, p, put_head(p, h.major, (uint64_t)1 << 63, 8),
               "2^63 of length");
        refuse(t, at, at + h.bytes, p, put_head(p, h.major, UINT64_MAX, 8), "2^64 - 1 of length");
    }
}

static void try_indefinite(struct trial *t, size_t at, struct head h)
{
    struct stoq_buf b;
    if (h.major < 2 || h.major > 5) {
        return;
    }
    size_t end = end_of(t->seed, at);
    uint8_t first = (uint8_t)(h.major << 5 | 31);
    uint8_t last = 0xff;
    stoq_buf_init(&b, 2 * SEED_BYTES_MAX);
    assert_int_equal(stoq_buf_add(&b, stoq_span(&first, 1)), STOQ_OK);
    if (h.major <= 3) { /* of one definite chunk */
        assert_int_equal(stoq_buf_add(&b, stoq_span(t->seed.p + at, end - at)), STOQ_OK);
    } else {
        assert_int_equal(stoq_buf_add(&b, stoq_span(t->seed.p + at + h.bytes, end - at - h.bytes)),
                         STOQ_OK);
    }
    assert_int_equal(stoq_buf_add(&b, stoq_span(&last, 1)), STOQ_OK);
    refuse(t, at, end, b.p, b.n, "an indefinite length");
    stoq_buf_release(&b);
}

static void try_others(struct trial *t, size_t at)
{
    static uint8_t nested[NESTED + 1];
    size_t end = end_of(t->seed, at);
    memset(nested, 0x81, NESTED);
    refuse(t, at, end, nested, sizeof nested, "ten thousand arrays in one another");
    memset(nested, 0xa1, NESTED);
    refuse(t, at, end, nested, sizeof nested, "maps as keys of one another");
    refuse(t, at, at, "\xc1", 1, "a tag");
    refuse(t, at, end, "\xf9\x3c\x00", 3, "a float");
    refuse(t, at, end, "\xf6", 1, "null");
    refuse(t, at, end, "\xf7", 1, "undefined");
    refuse(t, at, end, "\x20", 1, "a negative number");
    refuse(t, at, end, "\xff", 1, "a break");
    refuse(t, at, end, "\x1c", 1, "a reserved head");
}

static void try_pairs(struct trial *t, size_t at, struct head h)
{
    if (h.major != 5 || h.value < 1 || h.value >= 22 || h.bytes != 1) {
        return;
    }
    size_t first = at + 1;
    size_t second = end_of(t->seed, end_of(t->seed, first));
    struct stoq_buf b;
    stoq_buf_init(&b, 2 * SEED_BYTES_MAX);
    uint8_t more = (uint8_t)(t->seed.p[at] + 1);
    assert_int_equal(stoq_buf_add(&b, stoq_span(&more, 1)), STOQ_OK);
    assert_int_equal(stoq_buf_add(&b, stoq_span(t->seed.p + first, second - first)), STOQ_OK);
    refuse(t, at, first, b.p, b.n, "a pair twice");
    if (h.value >= 2) {
        size_t third = end_of(t->seed, end_of(t->seed, second));
        stoq_buf_clear(&b);
        assert_int_equal(stoq_buf_add(&b, stoq_span(t->seed.p + second, third - second)), STOQ_OK);
        assert_int_equal(stoq_buf_add(&b, stoq_span(t->seed.p + first, second - first)), STOQ_OK);
        refuse(t, first, third, b.p, b.n, "keys in another order");
    }
    stoq_buf_release(&b);
}

static void try_seed(struct trial *t)
{
    size_t at = 0;
    while (at < t->seed.n) {
        struct head h = head_at(t->seed, at);
        try_lengths(t, at, h);
        try_indefinite(t, at, h);
        try_others(t, at);
        try_pairs(t, at, h);
        at += h.bytes + (h.major == 2 || h.major == 3 ? (size_t)h.value : 0);
    }
    refuse(t, t->seed.n, t->seed.n, "\0", 1, "a byte behind its end");
}

/* One file of a corpus; true when it was a seed. */
static bool try_file(const struct target *target, const char *path, unsigned *tried)
{
    struct stoq_buf bytes;
    stoq_buf_init(&bytes, SEED_BYTES_MAX);
    assert_int_equal(stoq_file_read(path, SEED_BYTES_MAX, &bytes, NULL), STOQ_OK);
    size_t begin = target->begin(stoq_buf_span(&bytes));
    struct trial t = {.target = target};
    bool is_seed = false;
    if (begin < bytes.n && bytes.n < 20000) {
        t.prefix = stoq_span(bytes.p, begin);
        t.seed = stoq_span(bytes.p + begin, bytes.n - begin);
        if (target->is_one_item) {
            t.seed.n = end_of(t.seed, 0);
        }
        is_seed = target->accept(t.prefix, t.seed);
    }
    if (is_seed) {
        stoq_buf_init(&t.out, 2 * SEED_BYTES_MAX);
        try_seed(&t);
        stoq_buf_release(&t.out);
        *tried += t.tried;
    }
    stoq_buf_release(&bytes);
    return is_seed;
}

static void every_decoder_refuses_all_of_it(void **state)
{
    (void)state;
    for (size_t i = 0; i < STOQ_COUNT(targets); i++) {
        char dir[128];
        unsigned seeds = 0;
        unsigned tried = 0;
        (void)snprintf(dir, sizeof dir, "fuzz/corpus/%s", targets[i].corpus);
        DIR *d = opendir(dir);
        assert_non_null(d);
        const struct dirent *e;
        while ((e = readdir(d)) != NULL) {
            char path[512];
            if (e->d_name[0] != '.') {
                (void)snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
                seeds += try_file(&targets[i], path, &tried);
            }
        }
        (void)closedir(d);
        print_message("# %s: %u seeds, %u refusals\n", targets[i].corpus, seeds, tried);
        assert_true(seeds >= targets[i].seeds_min);
    }
}

/* Of the formats that are no CBOR, every field that tells a length or a count: where it is, in which good
 * input, and whether it is refused before anything is done on its word. (A bundle's own length may be
 * anything: it is compared with where the bundle ends.) */
struct length {
    const char *what;
    const char *path;
    size_t skip; /* of the file */
    size_t at;   /* of the rest */
    size_t bytes;
    bool (*accept)(uint8_t *p, size_t n);
};

/* More bytes are wanted only behind a length that can be. */
static bool accept_frame(uint8_t *p, size_t n)
{
    struct stoq_frame f;
    struct stoq_span in = stoq_span(p, n);
    struct stoq_span cbor;
    stoq_frame_init(&f);
    enum stoq_status st = stoq_frame_take(&f, &in, &cbor);
    stoq_frame_release(&f);
    return st != STOQ_MALFORMED;
}

static bool accept_item(uint8_t *p, size_t n)
{
    struct stoq_item item;
    return n >= STOQ_ITEM_HEAD_BYTES && stoq_item_head_get(p, &item) == STOQ_OK;
}

static bool accept_have(uint8_t *p, size_t n)
{
    struct stoq_have *have;
    struct stoq_hash h = stoq_hash_blake3(stoq_span(p, n - sizeof h.b));
    memcpy(p + n - sizeof h.b, h.b, sizeof h.b);
    assert_int_equal(stoq_have_new(&have, NULL), STOQ_OK);
    enum stoq_status st = stoq_have_parse(have, stoq_span(p, n), NULL);
    stoq_have_free(have);
    return st == STOQ_OK;
}

static bool accept_proof_file(uint8_t *p, size_t n)
{
    struct stoq_proof_file head;
    return stoq_proof_file_decode(stoq_span(p, n), &head) == STOQ_OK;
}

static bool accept_parts(uint8_t *p, size_t n)
{
    static uint8_t list[STOQ_MERKLE_SHARD_CHUNKS_MAX * STOQ_MERKLE_CHUNK_ENTRY_BYTES];
    struct stoq_span bases[STOQ_LIST_PARTS_BASES_MAX];
    struct stoq_buf out;
    for (size_t i = 0; i < STOQ_COUNT(bases); i++) {
        bases[i] = stoq_span(list, sizeof list);
    }
    stoq_buf_init(&out, sizeof list);
    enum stoq_status st = stoq_list_parts_join(stoq_span(p, n), bases, &out);
    stoq_buf_release(&out);
    return st == STOQ_OK;
}

static bool accept_stored(uint8_t *p, size_t n)
{
    struct stoq_stored info = {
        .raw_len = stoq_le32(p + 1), .stored_len = (uint32_t)n - 5, .flags = p[0]};
    struct stoq_buf out;
    stoq_buf_init(&out, STOQ_CHUNK_BYTES_MAX);
    enum stoq_status st =
        stoq_store_decode(info, stoq_span(p + 5, n - 5), STOQ_CHUNK_BYTES_MAX, &out, NULL);
    stoq_buf_release(&out);
    return st == STOQ_OK;
}

/* Header and the first record's head, with their sums made right: is the record's payload waited for? */
static bool accept_bundle(uint8_t *p, size_t n)
{
    struct stoq_bundle_reader *r;
    struct stoq_bundle_event event;
    stoq_le64_put(p + 56, stoq_hash_xxh3_64(stoq_span(p, 56)));
    assert_int_equal(stoq_bundle_reader_new(&r), STOQ_OK);
    enum stoq_status st = stoq_bundle_reader_feed(r, stoq_span(p, 64), &event);
    if (st == STOQ_OK) {
        size_t want = stoq_bundle_reader_want(r);
        assert_true(want <= n - 64);
        st = stoq_bundle_reader_feed(r, stoq_span(p + 64, want), &event);
    }
    assert_true(stoq_bundle_reader_want(r) <= STOQ_BUNDLE_PAYLOAD_MAX + STOQ_BUNDLE_KEY_MAX);
    stoq_bundle_reader_free(r);
    return st == STOQ_OK;
}

static const struct length lengths[] = {
    {"a frame's", "message_fuzz/ping", 0, 0, 4, accept_frame},
    {"an item's stored bytes", "items_fuzz/raw", 37, 4, 4, accept_item},
    {"an item's raw bytes", "items_fuzz/raw", 37, 8, 4, accept_item},
    {"an item's proof bytes", "items_fuzz/raw", 37, 12, 4, accept_item},
    {"a have-list's shards", "have_fuzz/have-5", 0, 16, 8, accept_have},
    {"a have-list's chunks", "have_fuzz/have-5", 0, 24, 8, accept_have},
    {"a proof file's manifest bytes", "proof_file_fuzz/file-2", 0, 12, 4, accept_proof_file},
    {"a proof file's proof bytes", "proof_file_fuzz/file-2", 0, 16, 4, accept_proof_file},
    {"a proof file's data bytes", "proof_file_fuzz/file-2", 0, 24, 8, accept_proof_file},
    {"a list's bases", "list_parts_fuzz/copy", 0, 0, 1, accept_parts},
    {"a part's first entry", "list_parts_fuzz/copy", 0, 67, 2, accept_parts},
    {"a part's entries", "list_parts_fuzz/copy", 0, 69, 2, accept_parts},
    {"a literal part's entries", "list_parts_fuzz/copy", 0, 75, 2, accept_parts},
    {"a frame of zstd unpacked", "codec_fuzz/frame", 0, 1, 4, accept_stored},
    {"raw bytes unpacked", "codec_fuzz/raw", 0, 1, 4, accept_stored},
    {"a bundle's packages", "bundle_fuzz/one", 0, 12, 4, accept_bundle},
    {"a bundle's chunks", "bundle_fuzz/one", 0, 24, 8, accept_bundle},
    {"a bundle's stored bytes", "bundle_fuzz/one", 0, 32, 8, accept_bundle},
    {"a bundle record's key", "bundle_fuzz/one", 0, 70, 1, accept_bundle},
    {"a bundle record's raw bytes", "bundle_fuzz/one", 0, 72, 4, accept_bundle},
    {"a bundle record's stored bytes", "bundle_fuzz/one", 0, 76, 4, accept_bundle},
};

static void try_length(const struct length *l, struct stoq_span good)
{
    uint8_t *p = malloc(good.n);
    assert_non_null(p);
    /* All ones, the highest bit alone, all but the highest bit. */
    static const uint8_t fills[][2] = {{0xff, 0xff}, {0x00, 0x80}, {0xff, 0x7f}};
    for (size_t i = 0; i < STOQ_COUNT(fills); i++) {
        memcpy(p, good.p, good.n);
        memset(p + l->at, fills[i][0], l->bytes);
        p[l->at + l->bytes - 1] = fills[i][1];
        if (l->accept(p, good.n)) {
            fail_msg("%s: %02x...%02x is accepted", l->what, fills[i][0], fills[i][1]);
        }
    }
    memcpy(p, good.p, good.n);
    if (!l->accept(p, good.n)) {
        fail_msg("%s: the good one is refused", l->what);
    }
    free(p);
}

static void no_length_is_believed(void **state)
{
    (void)state;
    for (size_t i = 0; i < STOQ_COUNT(lengths); i++) {
        char path[128];
        struct stoq_buf bytes;
        (void)snprintf(path, sizeof path, "fuzz/corpus/%s", lengths[i].path);
        stoq_buf_init(&bytes, SEED_BYTES_MAX);
        assert_int_equal(stoq_file_read(path, SEED_BYTES_MAX, &bytes, NULL), STOQ_OK);
        try_length(&lengths[i], stoq_span(bytes.p + lengths[i].skip, bytes.n - lengths[i].skip));
        stoq_buf_release(&bytes);
    }
}

/* Nor is what a frame says about itself: a bomb stops where the chunk's length was. */
static void no_frame_unpacks_past_its_length(void **state)
{
    (void)state;
    static const char *const names[] = {"bomb", "two_frames", "frame_says_less", "skippable",
                                        "other_flag"};
    for (size_t i = 0; i < STOQ_COUNT(names); i++) {
        char path[128];
        struct stoq_buf bytes;
        (void)snprintf(path, sizeof path, "fuzz/corpus/codec_fuzz/%s", names[i]);
        stoq_buf_init(&bytes, SEED_BYTES_MAX);
        assert_int_equal(stoq_file_read(path, SEED_BYTES_MAX, &bytes, NULL), STOQ_OK);
        if (accept_stored(bytes.p, bytes.n)) {
            fail_msg("%s is unpacked", names[i]);
        }
        stoq_buf_release(&bytes);
    }
}

/* Every message a peer can send is among the seeds above. */
static void every_message_has_a_seed(void **state)
{
    (void)state;
    bool seen[32] = {false};
    DIR *d = opendir("fuzz/corpus/message_fuzz");
    assert_non_null(d);
    const struct dirent *e;
    while ((e = readdir(d)) != NULL) {
        static struct stoq_range ranges[STOQ_REQUEST_RANGES_MAX];
        char path[512];
        struct stoq_buf bytes;
        struct stoq_message m;
        (void)snprintf(path, sizeof path, "fuzz/corpus/message_fuzz/%s", e->d_name);
        stoq_buf_init(&bytes, SEED_BYTES_MAX);
        if (e->d_name[0] != '.' && stoq_file_read(path, SEED_BYTES_MAX, &bytes, NULL) == STOQ_OK &&
            bytes.n > 4 &&
            stoq_message_decode(stoq_span(bytes.p + 4, bytes.n - 4), ranges, &m) == STOQ_OK &&
            m.type < STOQ_COUNT(seen)) {
            seen[m.type] = true;
        }
        stoq_buf_release(&bytes);
    }
    (void)closedir(d);
    for (uint64_t type = 1; strcmp(stoq_message_name(type), "Unknown") != 0; type++) {
        if (!seen[type]) {
            fail_msg("no seed for %s", stoq_message_name(type));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_decoder_refuses_all_of_it),
        cmocka_unit_test(every_message_has_a_seed),
        cmocka_unit_test(no_length_is_believed),
        cmocka_unit_test(no_frame_unpacks_past_its_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
