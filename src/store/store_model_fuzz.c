#include "store/gc.h"
#include "store/store_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/scratch.h"

/*
 * The input is a list of operations on a store and on a naive model of it, an array of 32 keys:
 * put, overwrite, delete, read, has, sync, close and open again, rebuild, collect. They must agree after
 * each, and all of them after a rebuild.
 */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define KEYS 32
#define OPERATIONS_MAX 48

struct model {
    bool here[KEYS];
    uint8_t tag[KEYS]; /* what the value is made of */
    uint16_t n[KEYS];
};

struct both {
    struct stoq_store *s;
    struct stoq_store_config cfg;
    struct model m;
};

/* A key is of one of two types, and of one of two lengths. */
static enum stoq_record_type type_of(unsigned k)
{
    return k % 2 == 0 ? STOQ_RECORD_ALIAS : STOQ_RECORD_POINTER;
}

static struct stoq_span key_of(unsigned k, uint8_t buf[33])
{
    memset(buf, (int)(k / 4), 33);
    return stoq_span(buf, k % 4 < 2 ? 32 : 33);
}

/* Half of the values compress. */
static struct stoq_span value_of(uint8_t tag, uint16_t n, uint8_t *buf)
{
    uint32_t x = tag;
    for (size_t i = 0; i < n; i++) {
        x = x * 1103515245u + 12345u;
        buf[i] = tag % 2 == 0 ? tag : (uint8_t)(x >> 16);
    }
    return stoq_span(buf, n);
}

static void compare(struct both *b, unsigned k)
{
    uint8_t key[33];
    static uint8_t want[65536];
    struct stoq_buf out;
    stoq_buf_init(&out, 65536);
    STOQ_ASSERT(stoq_store_has(b->s, type_of(k), key_of(k, key)) == b->m.here[k]);
    enum stoq_status st = stoq_store_read(b->s, type_of(k), key_of(k, key), 0, &out, NULL);
    STOQ_ASSERT(st == (b->m.here[k] ? STOQ_OK : STOQ_NOTFOUND));
    if (st == STOQ_OK) {
        STOQ_ASSERT(stoq_span_eq(stoq_buf_span(&out), value_of(b->m.tag[k], b->m.n[k], want)));
    }
    stoq_buf_release(&out);
}

static void reopen(struct both *b, bool rebuild)
{
    STOQ_ASSERT(stoq_store_close(b->s, NULL) == STOQ_OK);
    if (rebuild) {
        struct stoq_store_rebuild_report report;
        STOQ_ASSERT(stoq_store_rebuild(&b->cfg, &report, NULL) == STOQ_OK);
        STOQ_ASSERT(report.quarantined == 0 && report.torn_bytes == 0);
    }
    STOQ_ASSERT(stoq_store_open(&b->s, &b->cfg, NULL) == STOQ_OK);
}

static void put(struct both *b, unsigned k, uint8_t tag, uint16_t n, bool overwrite)
{
    uint8_t key[33];
    static uint8_t value[65536];
    bool is_new;
    STOQ_ASSERT(stoq_store_put(b->s, type_of(k), key_of(k, key),
                               overwrite ? STOQ_STORE_OVERWRITE : 0, value_of(tag, n, value),
                               &is_new, NULL) == STOQ_OK);
    STOQ_ASSERT(is_new == (overwrite || !b->m.here[k]));
    if (is_new) {
        b->m.here[k] = true;
        b->m.tag[k] = tag;
        b->m.n[k] = n;
    }
}

/* Everything that is dead goes; a dry run says before how much. */
static void collect(struct both *b, uint8_t percent)
{
    struct stoq_gc_report would;
    struct stoq_gc_report r;
    struct stoq_gc_ask ask = {.dry_run = true, .dead_percent_min = 1 + percent % 50u};
    STOQ_ASSERT(stoq_store_gc(b->s, &ask, &would, NULL) == STOQ_OK);
    ask.dry_run = false;
    STOQ_ASSERT(stoq_store_gc(b->s, &ask, &r, NULL) == STOQ_OK);
    STOQ_ASSERT(r.bytes_freed == would.bytes_freed && r.segments == would.segments);
    STOQ_ASSERT(r.bytes_copied == would.bytes_copied && r.records == 0 && r.lost == 0);
    for (unsigned k = 0; k < KEYS; k++) {
        compare(b, k);
    }
}

static void operate(struct both *b, const uint8_t op[4])
{
    unsigned k = op[1] % KEYS;
    uint16_t n = (uint16_t)(op[3] * op[3]);
    uint8_t key[33];
    switch (op[0] % 16) {
    case 0:
        STOQ_ASSERT(stoq_store_sync(b->s, NULL) == STOQ_OK);
        break;
    case 1:
        reopen(b, op[1] % 4 == 0);
        break;
    case 2:
    case 3:
    case 4:
        STOQ_ASSERT(stoq_store_delete(b->s, type_of(k), key_of(k, key), NULL) ==
                    (b->m.here[k] ? STOQ_OK : STOQ_NOTFOUND));
        b->m.here[k] = false;
        break;
    case 5:
        collect(b, op[2]);
        break;
    case 6:
        put(b, k, op[2], n, true);
        break;
    default:
        put(b, k, op[2], n, false);
        break;
    }
    compare(b, k);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char dir[] = "/dev/shm/stoq-model-XXXXXX";
    if (mkdtemp(dir) == NULL) {
        (void)snprintf(dir, sizeof dir, "/tmp/stoq-model-XXXXXX");
        STOQ_ASSERT(mkdtemp(dir) != NULL);
    }
    struct both b = {
        .cfg = {.dir = dir, .create = true, .segment_bytes = 64 * STOQ_KIB, .zstd_level = 1}};
    STOQ_ASSERT(stoq_store_open(&b.s, &b.cfg, NULL) == STOQ_OK);
    for (size_t i = 0; i + 4 <= size && i < 4 * OPERATIONS_MAX; i += 4) {
        operate(&b, data + i);
    }
    reopen(&b, true);
    for (unsigned k = 0; k < KEYS; k++) {
        compare(&b, k);
    }
    STOQ_ASSERT(stoq_store_close(b.s, NULL) == STOQ_OK);
    STOQ_ASSERT(scratch_remove(dir));
    return 0;
}
