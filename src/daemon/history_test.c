/* Transfers in their file: what is written is read, the most of everything fits, damage costs what follows
 * it. */
#include "daemon/history.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct stoq_request a_request(uint32_t number, uint32_t runs)
{
    struct stoq_request r = {.priority = STOQ_PRIORITY_BACKGROUND,
                             .run_count = runs,
                             .chunks = 7 * number,
                             .chunks_done = 3,
                             .bytes = 1000,
                             .began_at = 1795386000 + number,
                             .took_ns = 42 * STOQ_MS};
    memset(r.id.h.b, 1, sizeof r.id.h.b);
    memset(r.source.h.b, 2, sizeof r.source.h.b);
    memset(r.destination.h.b, 3, sizeof r.destination.h.b);
    for (uint32_t i = 0; i < runs; i++) {
        r.runs[i] = (struct stoq_range){.first = 100 * i, .count = i + 1};
    }
    (void)snprintf(r.result, sizeof r.result, "%s", number % 2 == 0 ? "done" : "Timeout");
    return r;
}

static struct stoq_transfer a_transfer(uint32_t number)
{
    struct stoq_transfer t = {.number = number,
                              .is_part = true,
                              .end = 5,
                              .priority = STOQ_PRIORITY_INTERACTIVE,
                              .strategy = STOQ_SWARM_FASTEST,
                              .over = true,
                              .status = STOQ_NET,
                              .began_at = 1795386000,
                              .elapsed_ns = STOQ_SEC,
                              .bytes = 1 << 20,
                              .bytes_had = 11,
                              .bytes_from_peers = 12,
                              .bytes_wire = 13,
                              .times = {.source_ns = 1, .chunks_ns = 4},
                              .request_total = 99};
    memset(t.id.h.b, (int)number, sizeof t.id.h.b);
    (void)snprintf(t.code, sizeof t.code, "Network");
    (void)snprintf(t.why, sizeof t.why, "it broke off");
    return t;
}

static void what_is_written_is_read(void **state)
{
    struct stoq_buf bytes;
    struct stoq_history h;
    struct stoq_history_item *item = calloc(1, sizeof *item);
    struct stoq_transfer t = a_transfer(4);
    struct stoq_fetch_report_source source = {.connected = true, .bytes = 77, .held_ns = 8};
    struct stoq_request requests[2] = {a_request(1, 4), a_request(2, 0)};
    (void)state;
    (void)snprintf(source.why, sizeof source.why, "silent");
    source.addr.port = 4433;
    t.sources = &source;
    t.source_count = 1;
    t.requests = requests;
    t.request_count = 2;
    struct stoq_transfer runs = a_transfer(5);
    runs.over = false;
    runs.progress = (struct stoq_fetch_progress){
        .bytes_total = 1000, .bytes_done = 600, .bytes_from_peers = 400};
    struct stoq_request served = a_request(6, 1);
    stoq_buf_init(&bytes, STOQ_HISTORY_BYTES_MAX);
    assert_int_equal(stoq_history_begin(&bytes, 1795386400, 5), STOQ_OK);
    assert_int_equal(stoq_history_transfer(&bytes, &t), STOQ_OK);
    assert_int_equal(stoq_history_served(&bytes, &served), STOQ_OK);
    assert_int_equal(stoq_history_transfer(&bytes, &runs), STOQ_OK);

    assert_int_equal(stoq_history_open(&h, stoq_buf_span(&bytes)), STOQ_OK);
    assert_int_equal(h.written_s, 1795386400);
    assert_int_equal(h.last, 5);
    assert_int_equal(stoq_history_next(&h, item), STOQ_OK);
    const struct stoq_transfer *got = &item->transfer;
    assert_false(item->is_served);
    assert_true(got->over && !got->did_not_end && got->is_part && got->status != STOQ_OK);
    assert_int_equal(got->number, 4);
    assert_int_equal(got->end, 5);
    assert_int_equal(got->strategy, STOQ_SWARM_FASTEST);
    assert_int_equal(got->bytes_had, 11);
    assert_int_equal(got->request_total, 99);
    assert_string_equal(got->code, "Network");
    assert_string_equal(got->why, "it broke off");
    assert_int_equal(got->source_count, 1);
    assert_string_equal(got->sources[0].why, "silent");
    assert_int_equal(got->sources[0].addr.port, 4433);
    assert_int_equal(got->sources[0].bytes, 77);
    assert_int_equal(got->request_count, 2);
    assert_memory_equal(&got->requests[0], &requests[0], sizeof requests[0]);
    assert_memory_equal(&got->requests[1], &requests[1], sizeof requests[1]);
    assert_int_equal(stoq_history_next(&h, item), STOQ_OK);
    assert_true(item->is_served);
    assert_memory_equal(&item->served, &served, sizeof served);
    assert_int_equal(stoq_history_next(&h, item), STOQ_OK);
    assert_true(got->over && got->did_not_end); /* and how far it was */
    assert_int_equal(got->bytes, 1000);
    assert_int_equal(got->bytes_had, 200);
    assert_int_equal(got->bytes_from_peers, 400);
    assert_int_equal(got->source_count, 0);
    assert_int_equal(stoq_history_next(&h, item), STOQ_NOTFOUND);

    /* Cut anywhere it is no other file: what came before is there. */
    for (size_t n = 0; n < bytes.n; n++) {
        struct stoq_history part;
        enum stoq_status st = stoq_history_open(&part, stoq_span(bytes.p, n));
        unsigned whole = 0;
        while (st == STOQ_OK) {
            st = stoq_history_next(&part, item);
            whole += st == STOQ_OK;
        }
        assert_true(whole < 3);
        assert_true(st == STOQ_TRUNC || st == STOQ_NOTFOUND);
    }
    bytes.p[0] = 2;
    assert_int_equal(stoq_history_open(&h, stoq_buf_span(&bytes)), STOQ_VERSION);
    stoq_buf_release(&bytes);
    free(item);
}

static void all_that_is_kept_fits(void **state)
{
    static struct stoq_fetch_report_source sources[STOQ_FETCH_SOURCES_MAX];
    static struct stoq_request requests[STOQ_TRANSFER_REQUESTS_KEPT];
    struct stoq_buf bytes;
    struct stoq_transfer t = a_transfer(UINT32_MAX);
    (void)state;
    for (size_t i = 0; i < STOQ_COUNT(sources); i++) {
        struct stoq_fetch_report_source *s = &sources[i];
        *s = (struct stoq_fetch_report_source){.connected = true,
                                               .bytes = INT64_MAX,
                                               .bytes_stored = INT64_MAX,
                                               .chunks = INT64_MAX,
                                               .ready_ns = INT64_MAX,
                                               .held_ns = INT64_MAX,
                                               .cap_here_bytes_per_s = INT64_MAX,
                                               .cap_there_bytes_per_s = INT64_MAX};
        memset(s->why, 'x', sizeof s->why - 1);
        memset(s->group, 'x', sizeof s->group - 1);
    }
    for (size_t i = 0; i < STOQ_COUNT(requests); i++) {
        struct stoq_request *r = &requests[i];
        *r = a_request(1, STOQ_REQUEST_RUNS_KEPT);
        r->bytes = INT64_MAX;
        r->took_ns = INT64_MAX;
        memset(r->result, 'x', sizeof r->result - 1);
        for (uint32_t k = 0; k < r->run_count; k++) {
            r->runs[k] = (struct stoq_range){.first = UINT64_MAX, .count = UINT32_MAX};
        }
    }
    memset(t.why, 'x', sizeof t.why - 1);
    t.sources = sources;
    t.source_count = STOQ_COUNT(sources);
    t.requests = requests;
    t.request_count = STOQ_COUNT(requests);
    stoq_buf_init(&bytes, STOQ_HISTORY_BYTES_MAX);
    assert_int_equal(stoq_history_begin(&bytes, UINT64_MAX, UINT32_MAX), STOQ_OK);
    for (int i = 0; i < STOQ_TRANSFERS_KEPT; i++) {
        assert_int_equal(stoq_history_transfer(&bytes, &t), STOQ_OK);
    }
    for (int i = 0; i < STOQ_SERVED_KEPT; i++) {
        assert_int_equal(stoq_history_served(&bytes, &requests[0]), STOQ_OK);
    }
    size_t n = bytes.n;
    t.request_count++; /* one more than is kept */
    assert_int_equal(stoq_history_transfer(&bytes, &t), STOQ_RANGE);
    assert_int_equal(bytes.n, n);
    stoq_buf_release(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(all_that_is_kept_fits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
