/*
 * Every decoder of CBOR against the same hostility. The seeds of its fuzz target that it accepts are taken
 * apart, and at every item of each the same things are tried: the same value in a longer form, an
 * indefinite length, a length or count of 4 GiB and of 2^63, the item replaced by ten thousand nested arrays,
 * by a tag, a float, null or a negative number, a map's pair twice and its pairs in another order,
 * bytes behind the end. All of it must be refused, whatever stands around it.
 */
#include "daemon/alias_record.h"
#include "daemon/content_record.h"
#include "daemon/keep_record.h"
#include "os/file.h"
#include "package/bundle.h"
#include "package/manifest.h"
#include "sign/sign.h"
#include "store/place.h"
#include "store/scrub.h"
#include "wire/frame.h"
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

static size_t begin_0(struct stoq_span seed)
{
    return 0;
}

static size_t begin_frame(struct stoq_span seed)
{
    return STOQ_FRAME_HEAD_BYTES;
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
} targets[] = {
    {"manifest_fuzz", accept_manifest, begin_0, 1},
    {"message_fuzz", accept_message, begin_frame, 8},
    {"sign_envelope_fuzz", accept_envelope, begin_0, 1},
    {"place_fuzz", accept_places, begin_0, 2},
    {"content_record_fuzz", accept_content, begin_content, 1},
    {"alias_record_fuzz", accept_alias, begin_alias, 1},
    {"keep_record_fuzz", accept_keep, begin_keep, 3},
    {"scrub_state_fuzz", accept_scrub, begin_0, 2},
    {"signed_fuzz", accept_contact, begin_0, 1},
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_decoder_refuses_all_of_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
