/*
 * A sequence of pairs, what it is and a map: a transfer, then its sources, then its requests; requests of
 * others stand by themselves. The structs of the engine are put into rows of plain numbers first, since
 * enums and bools of a file are numbers that have to be looked at.
 */
#include "daemon/history.h"

#include "daemon/file_head.h"
#include "wire/form.h"

#include <string.h>

#define VERSION 1

enum what { A_TRANSFER = 1, A_SOURCE, A_REQUEST, A_SERVED };
enum outcome { WENT_WELL = 1, WAS_CANCELLED, FAILED, DID_NOT_END };

/* Text of ours in an array, without its NUL; a row's max is the longest. */
static void get_chars(struct stoq_cbor_rd *r, const struct stoq_field *f, void *at, void *memory)
{
    (void)memory;
    struct stoq_span s = stoq_cbor_rd_bytes(r, f->min, f->max);
    if (s.n > 0 && memchr(s.p, '\0', s.n) != NULL) {
        stoq_cbor_rd_fail(r, STOQ_MALFORMED);
    } else if (s.n > 0) {
        memcpy(at, s.p, s.n);
    }
    ((char *)at)[r->status == STOQ_OK ? s.n : 0] = '\0';
}

static bool put_chars(struct stoq_cbor_wr *w, const struct stoq_field *f, const void *at)
{
    size_t n = strnlen(at, f->max + 1);
    stoq_cbor_put_bytes(w, stoq_span(at, n));
    return n >= f->min && n <= f->max;
}

#define IS_CHARS(T, m)                                                                             \
    STOQ_IS_OWN(T, m, char *, get_chars, put_chars, 0, STOQ_MEMBER_BYTES(T, m) - 1)
#define IS_NUMBER(T, m, hi) STOQ_IS_UINT(T, m, 1, hi), .optional = true

/* A request: pairs of first and count. */
static void get_runs(struct stoq_cbor_rd *r, const struct stoq_field *f, void *object, void *memory)
{
    struct stoq_request *out = object;
    uint64_t n = stoq_cbor_rd_array(r);
    (void)f;
    (void)memory;
    if (n % 2 != 0 || n / 2 > STOQ_REQUEST_RUNS_KEPT) {
        stoq_cbor_rd_fail(r, STOQ_MALFORMED);
    }
    for (uint64_t i = 0; r->status == STOQ_OK && i < n / 2; i++) {
        out->runs[i].first = stoq_cbor_rd_uint(r);
        out->runs[i].count = (uint32_t)stoq_cbor_rd_uint_in(r, 1, UINT32_MAX);
        out->run_count++;
    }
    stoq_cbor_rd_leave(r);
}

static bool put_runs(struct stoq_cbor_wr *w, const struct stoq_field *f, const void *object)
{
    const struct stoq_request *r = object;
    (void)f;
    if (r->run_count > STOQ_REQUEST_RUNS_KEPT) {
        return false;
    }
    stoq_cbor_put_array(w, 2 * (uint64_t)r->run_count);
    for (uint32_t i = 0; i < r->run_count; i++) {
        stoq_cbor_put_uint(w, r->runs[i].first);
        stoq_cbor_put_uint(w, r->runs[i].count);
    }
    return true;
}

static void get_priority(struct stoq_cbor_rd *r, const struct stoq_field *f, void *at, void *memory)
{
    (void)memory;
    *(enum stoq_priority *)at = (enum stoq_priority)stoq_cbor_rd_uint_in(r, f->min, f->max);
}

static bool put_priority(struct stoq_cbor_wr *w, const struct stoq_field *f, const void *at)
{
    uint64_t v = *(const enum stoq_priority *)at;
    stoq_cbor_put_uint(w, v);
    return v <= f->max;
}
#define IS_PRIORITY(T)                                                                             \
    STOQ_IS_OWN(T, priority, enum stoq_priority, get_priority, put_priority, 0, STOQ_PRIORITIES - 1)

static const struct stoq_field request_fields[] = {
    {1, STOQ_IS_HASH(struct stoq_request, id.h)},
    {2, STOQ_IS_HASH(struct stoq_request, source.h)},
    {3, STOQ_IS_HASH(struct stoq_request, destination.h)},
    {4, IS_PRIORITY(struct stoq_request)},
    {5, STOQ_IS_OWN_OF_ALL(get_runs, put_runs)},
    {6, IS_NUMBER(struct stoq_request, chunks, UINT32_MAX)},
    {7, IS_NUMBER(struct stoq_request, chunks_done, UINT32_MAX)},
    {8, IS_NUMBER(struct stoq_request, bytes, INT64_MAX)},
    {9, IS_NUMBER(struct stoq_request, began_at, INT64_MAX)},
    {10, IS_NUMBER(struct stoq_request, took_ns, INT64_MAX)},
    {11, IS_CHARS(struct stoq_request, result)},
};
static const struct stoq_form request_form = STOQ_FORM(request_fields);

struct source_row {
    struct stoq_peer_id peer;
    uint8_t addr[STOQ_ADDR_BYTES];
    bool connected;
    char group[STOQ_MEMBER_BYTES(struct stoq_fetch_report_source, group)];
    char why[STOQ_MEMBER_BYTES(struct stoq_fetch_report_source, why)];
    uint64_t bytes;
    uint64_t bytes_stored;
    uint64_t chunks;
    uint64_t ready_ns;
    uint64_t held_ns;
    uint64_t cap_here;
    uint64_t cap_there;
};

#define SOURCE_NUMBER(m) IS_NUMBER(struct source_row, m, INT64_MAX)
static const struct stoq_field source_fields[] = {
    {1, STOQ_IS_HASH(struct source_row, peer.h)},
    {2, STOQ_IS_ARRAY(struct source_row, addr)},
    {3, STOQ_IS_TRUE(struct source_row, connected)},
    {4, IS_CHARS(struct source_row, group)},
    {5, IS_CHARS(struct source_row, why)},
    {6, SOURCE_NUMBER(bytes)},
    {7, SOURCE_NUMBER(bytes_stored)},
    {8, SOURCE_NUMBER(chunks)},
    {9, SOURCE_NUMBER(ready_ns)},
    {10, SOURCE_NUMBER(held_ns)},
    {11, SOURCE_NUMBER(cap_here)},
    {12, SOURCE_NUMBER(cap_there)},
};
static const struct stoq_form source_form = STOQ_FORM(source_fields);

struct transfer_row {
    uint32_t number;
    struct stoq_package_id id;
    bool is_part;
    uint64_t first;
    uint64_t end;
    enum stoq_priority priority;
    uint8_t strategy;
    uint8_t outcome;
    uint64_t began_at;
    uint64_t elapsed_ns;
    char code[STOQ_MEMBER_BYTES(struct stoq_transfer, code)];
    char why[STOQ_MEMBER_BYTES(struct stoq_transfer, why)];
    uint64_t bytes;
    uint64_t bytes_had;
    uint64_t bytes_from_seed;
    uint64_t bytes_from_peers;
    uint64_t bytes_wire;
    uint64_t source_ns;
    uint64_t manifest_ns;
    uint64_t shard_list_ns;
    uint64_t chunks_ns;
    uint64_t request_total;
};

#define TRANSFER_NUMBER(m) IS_NUMBER(struct transfer_row, m, INT64_MAX)
static const struct stoq_field transfer_fields[] = {
    {1, STOQ_IS_UINT(struct transfer_row, number, 1, UINT32_MAX)},
    {2, STOQ_IS_HASH(struct transfer_row, id.h)},
    {3, IS_PRIORITY(struct transfer_row)},
    {4, STOQ_IS_UINT(struct transfer_row, strategy, 0, STOQ_SWARM_FASTEST)},
    {5, STOQ_IS_UINT(struct transfer_row, outcome, WENT_WELL, DID_NOT_END)},
    {6, TRANSFER_NUMBER(began_at)},
    {7, TRANSFER_NUMBER(elapsed_ns)},
    {8, IS_CHARS(struct transfer_row, code)},
    {9, IS_CHARS(struct transfer_row, why)},
    {10, TRANSFER_NUMBER(bytes)},
    {11, TRANSFER_NUMBER(bytes_had)},
    {12, TRANSFER_NUMBER(bytes_from_seed)},
    {13, TRANSFER_NUMBER(bytes_from_peers)},
    {14, TRANSFER_NUMBER(bytes_wire)},
    {15, TRANSFER_NUMBER(source_ns)},
    {16, TRANSFER_NUMBER(manifest_ns)},
    {17, TRANSFER_NUMBER(shard_list_ns)},
    {18, TRANSFER_NUMBER(chunks_ns)},
    {19, TRANSFER_NUMBER(request_total)},
    {20, STOQ_IS_UINT(struct transfer_row, first, 0, UINT64_MAX),
     STOQ_SETS(struct transfer_row, is_part)},
    {21, STOQ_IS_UINT(struct transfer_row, end, 0, UINT64_MAX),
     STOQ_SETS(struct transfer_row, is_part)},
};
static const struct stoq_form transfer_form = STOQ_FORM(transfer_fields);

static enum outcome outcome_of(const struct stoq_transfer *t)
{
    if (!t->over || t->did_not_end) {
        return DID_NOT_END;
    }
    if (t->status == STOQ_OK) {
        return WENT_WELL;
    }
    return t->status == STOQ_CANCELLED ? WAS_CANCELLED : FAILED;
}

static void row_of_transfer(struct transfer_row *row, const struct stoq_transfer *t)
{
    *row = (struct transfer_row){.number = t->number,
                                 .id = t->id,
                                 .is_part = t->is_part,
                                 .first = t->first,
                                 .end = t->end,
                                 .priority = t->priority,
                                 .strategy = (uint8_t)t->strategy,
                                 .outcome = (uint8_t)outcome_of(t),
                                 .began_at = t->began_at,
                                 .elapsed_ns = t->elapsed_ns,
                                 .bytes = t->bytes,
                                 .bytes_had = t->bytes_had,
                                 .bytes_from_seed = t->bytes_from_seed,
                                 .bytes_from_peers = t->bytes_from_peers,
                                 .bytes_wire = t->bytes_wire,
                                 .source_ns = t->times.source_ns,
                                 .manifest_ns = t->times.manifest_ns,
                                 .shard_list_ns = t->times.shard_list_ns,
                                 .chunks_ns = t->times.chunks_ns,
                                 .request_total = t->request_total};
    memcpy(row->code, t->code, sizeof row->code);
    memcpy(row->why, t->why, sizeof row->why);
    if (!t->over) {
        const struct stoq_fetch_progress *p = &t->progress;
        row->bytes = p->bytes_total;
        row->bytes_from_peers = p->bytes_from_peers;
        row->bytes_had =
            p->bytes_done > p->bytes_from_peers ? p->bytes_done - p->bytes_from_peers : 0;
    }
}

static void transfer_of_row(struct stoq_transfer *t, const struct transfer_row *row)
{
    static const enum stoq_status status[] = {
        [WENT_WELL] = STOQ_OK,
        [WAS_CANCELLED] = STOQ_CANCELLED,
        [FAILED] = STOQ_IO, /* which failure, code tells */
        [DID_NOT_END] = STOQ_CANCELLED,
    };
    *t = (struct stoq_transfer){.number = row->number,
                                .id = row->id,
                                .is_part = row->is_part,
                                .first = row->first,
                                .end = row->end,
                                .priority = row->priority,
                                .strategy = (enum stoq_swarm_strategy)row->strategy,
                                .over = true,
                                .did_not_end = row->outcome == DID_NOT_END,
                                .began_at = row->began_at,
                                .elapsed_ns = row->elapsed_ns,
                                .status = status[row->outcome],
                                .bytes = row->bytes,
                                .bytes_had = row->bytes_had,
                                .bytes_from_seed = row->bytes_from_seed,
                                .bytes_from_peers = row->bytes_from_peers,
                                .bytes_wire = row->bytes_wire,
                                .times = {.source_ns = row->source_ns,
                                          .manifest_ns = row->manifest_ns,
                                          .shard_list_ns = row->shard_list_ns,
                                          .chunks_ns = row->chunks_ns},
                                .request_total = row->request_total};
    memcpy(t->code, row->code, sizeof t->code);
    memcpy(t->why, row->why, sizeof t->why);
}

static void row_of_source(struct source_row *row, const struct stoq_fetch_report_source *s)
{
    *row = (struct source_row){.peer = s->peer,
                               .connected = s->connected,
                               .bytes = s->bytes,
                               .bytes_stored = s->bytes_stored,
                               .chunks = s->chunks,
                               .ready_ns = s->ready_ns,
                               .held_ns = s->held_ns,
                               .cap_here = s->cap_here_bytes_per_s,
                               .cap_there = s->cap_there_bytes_per_s};
    stoq_addr_put(&s->addr, row->addr);
    memcpy(row->group, s->group, sizeof row->group);
    memcpy(row->why, s->why, sizeof row->why);
}

static void source_of_row(struct stoq_fetch_report_source *s, const struct source_row *row)
{
    *s = (struct stoq_fetch_report_source){.peer = row->peer,
                                           .addr = stoq_addr_get(row->addr),
                                           .connected = row->connected,
                                           .bytes = row->bytes,
                                           .bytes_stored = row->bytes_stored,
                                           .chunks = row->chunks,
                                           .ready_ns = row->ready_ns,
                                           .held_ns = row->held_ns,
                                           .cap_here_bytes_per_s = row->cap_here,
                                           .cap_there_bytes_per_s = row->cap_there};
    memcpy(s->group, row->group, sizeof s->group);
    memcpy(s->why, row->why, sizeof s->why);
}

static bool put(struct stoq_cbor_wr *w, enum what what, const struct stoq_form *form,
                const void *object)
{
    uint32_t keys = stoq_form_keys(form, object);
    stoq_cbor_put_uint(w, what);
    return stoq_form_put(w, form, object, keys);
}

enum stoq_status stoq_history_begin(struct stoq_buf *out, uint64_t wall_s, uint32_t last)
{
    struct stoq_cbor_wr w = stoq_cbor_wr(out);
    stoq_file_head_put(&w, VERSION, wall_s);
    stoq_cbor_put_uint(&w, last);
    return stoq_cbor_wr_done(&w);
}

static enum stoq_status put_done(struct stoq_cbor_wr *w, bool fits, struct stoq_buf *out,
                                 size_t before)
{
    enum stoq_status st = fits ? stoq_cbor_wr_done(w) : STOQ_RANGE;
    if (st != STOQ_OK) {
        out->n = before;
    }
    return st;
}

enum stoq_status stoq_history_transfer(struct stoq_buf *out, const struct stoq_transfer *t)
{
    size_t before = out->n;
    struct stoq_cbor_wr w = stoq_cbor_wr(out);
    struct transfer_row row;
    struct source_row source;
    row_of_transfer(&row, t);
    bool fits = t->source_count <= STOQ_FETCH_SOURCES_MAX &&
                t->request_count <= STOQ_TRANSFER_REQUESTS_KEPT &&
                put(&w, A_TRANSFER, &transfer_form, &row);
    for (size_t i = 0; fits && i < t->source_count; i++) {
        row_of_source(&source, &t->sources[i]);
        fits = put(&w, A_SOURCE, &source_form, &source);
    }
    for (size_t i = 0; fits && i < t->request_count; i++) {
        fits = put(&w, A_REQUEST, &request_form, &t->requests[i]);
    }
    return put_done(&w, fits, out, before);
}

enum stoq_status stoq_history_served(struct stoq_buf *out, const struct stoq_request *r)
{
    size_t before = out->n;
    struct stoq_cbor_wr w = stoq_cbor_wr(out);
    return put_done(&w, put(&w, A_SERVED, &request_form, r), out, before);
}

enum stoq_status stoq_history_open(struct stoq_history *out, struct stoq_span bytes)
{
    struct stoq_cbor_rd r = stoq_cbor_rd(bytes);
    enum stoq_status st = stoq_file_head_get(&r, VERSION, &out->written_s);
    if (st != STOQ_OK) {
        return st;
    }
    out->last = (uint32_t)stoq_cbor_rd_uint_in(&r, 0, UINT32_MAX);
    if (r.status != STOQ_OK) {
        return r.status;
    }
    out->rest = stoq_span(r.p, r.n);
    return STOQ_OK;
}

/* The parts of the transfer that was read, until something else stands next. */
static enum stoq_status next_part(struct stoq_cbor_rd *r, uint64_t what,
                                  struct stoq_history_item *out)
{
    struct stoq_transfer *t = &out->transfer;
    struct source_row source = {0};
    if (what == A_SOURCE && t->source_count < STOQ_COUNT(out->sources)) {
        (void)stoq_form_get(r, &source_form, &source, NULL);
        source_of_row(&out->sources[t->source_count++], &source);
    } else if (what == A_REQUEST && t->request_count < STOQ_COUNT(out->requests)) {
        struct stoq_request *request = &out->requests[t->request_count++];
        *request = (struct stoq_request){0};
        (void)stoq_form_get(r, &request_form, request, NULL);
    } else {
        return STOQ_MALFORMED;
    }
    return r->status;
}

enum stoq_status stoq_history_next(struct stoq_history *h, struct stoq_history_item *out)
{
    struct stoq_cbor_rd r = stoq_cbor_rd(h->rest);
    struct transfer_row row = {0};
    if (h->rest.n == 0) {
        return STOQ_NOTFOUND;
    }
    uint64_t what = stoq_cbor_rd_uint(&r);
    out->is_served = what == A_SERVED;
    if (out->is_served) {
        out->served = (struct stoq_request){0};
        (void)stoq_form_get(&r, &request_form, &out->served, NULL);
    } else if (r.status == STOQ_OK && what != A_TRANSFER) {
        return STOQ_MALFORMED;
    } else {
        (void)stoq_form_get(&r, &transfer_form, &row, NULL);
    }
    enum stoq_status st = r.status;
    h->rest = stoq_span(r.p, r.n);
    if (st == STOQ_OK && !out->is_served) {
        transfer_of_row(&out->transfer, &row);
    }
    while (st == STOQ_OK && !out->is_served && h->rest.n > 0) {
        r = stoq_cbor_rd(h->rest);
        what = stoq_cbor_rd_uint(&r);
        if (r.status == STOQ_OK && (what == A_TRANSFER || what == A_SERVED)) {
            break;
        }
        st = r.status == STOQ_OK ? next_part(&r, what, out) : r.status;
        h->rest = stoq_span(r.p, r.n);
    }
    out->transfer.sources = out->sources;
    out->transfer.requests = out->requests;
    return st;
}
