#include "store/scrub.h"

#include "os/file.h"
#include "wire/cbor.h"

#include <string.h>

#define STATE_VERSION 1
#define STATE_BYTES_MAX ((size_t)1024)
#define COUNT_FIELDS 7

const char *stoq_scrub_phase_str(enum stoq_scrub_phase phase)
{
    static const char *const name[] = {"idle", "segments", "places", "promises"};
    return (size_t)phase < STOQ_COUNT(name) ? name[phase] : "idle";
}

static void put_counts(struct stoq_cbor_wr *w, const struct stoq_scrub_counts *c)
{
    stoq_cbor_put_array(w, COUNT_FIELDS);
    stoq_cbor_put_uint(w, c->bytes);
    stoq_cbor_put_uint(w, c->records);
    stoq_cbor_put_uint(w, c->places);
    stoq_cbor_put_uint(w, c->damaged);
    stoq_cbor_put_uint(w, c->harmless);
    stoq_cbor_put_uint(w, c->lost);
    stoq_cbor_put_uint(w, c->healed);
}

static void take_counts(struct stoq_cbor_rd *r, struct stoq_scrub_counts *c)
{
    if (stoq_cbor_rd_array(r) != COUNT_FIELDS) {
        stoq_cbor_rd_fail(r, STOQ_MALFORMED);
        return;
    }
    c->bytes = stoq_cbor_rd_uint(r);
    c->records = stoq_cbor_rd_uint(r);
    c->places = stoq_cbor_rd_uint(r);
    c->damaged = stoq_cbor_rd_uint(r);
    c->harmless = stoq_cbor_rd_uint(r);
    c->lost = stoq_cbor_rd_uint(r);
    c->healed = stoq_cbor_rd_uint(r);
    stoq_cbor_rd_leave(r);
}

enum stoq_status stoq_scrub_state_encode(const struct stoq_scrub_state *s, struct stoq_buf *out)
{
    struct stoq_cbor_wr w = stoq_cbor_wr(out);
    stoq_cbor_put_array(&w, 10);
    stoq_cbor_put_uint(&w, STATE_VERSION);
    stoq_cbor_put_uint(&w, s->pass);
    stoq_cbor_put_uint(&w, (uint64_t)s->phase);
    stoq_cbor_put_uint(&w, s->segment);
    stoq_cbor_put_uint(&w, s->offset);
    stoq_cbor_put_bytes(&w, stoq_span(s->key, s->has_key ? sizeof s->key : 0));
    stoq_cbor_put_uint(&w, s->began_at);
    stoq_cbor_put_uint(&w, s->finished_at);
    put_counts(&w, &s->counts);
    put_counts(&w, &s->last);
    return stoq_cbor_wr_done(&w);
}

enum stoq_status stoq_scrub_state_decode(struct stoq_span bytes, struct stoq_scrub_state *out)
{
    memset(out, 0, sizeof *out);
    if (bytes.n > STATE_BYTES_MAX) {
        return STOQ_MALFORMED;
    }
    struct stoq_cbor_rd r = stoq_cbor_rd(bytes);
    uint64_t items = stoq_cbor_rd_array(&r);
    uint64_t version = stoq_cbor_rd_uint(&r);
    if (r.status == STOQ_OK && version > STATE_VERSION) {
        return STOQ_VERSION;
    }
    if (r.status == STOQ_OK && (items != 10 || version != STATE_VERSION)) {
        return STOQ_MALFORMED;
    }
    out->pass = stoq_cbor_rd_uint(&r);
    out->phase = (enum stoq_scrub_phase)stoq_cbor_rd_uint_in(&r, 0, STOQ_SCRUB_PROMISES);
    out->segment = (uint32_t)stoq_cbor_rd_uint_in(&r, 0, UINT32_MAX);
    out->offset = stoq_cbor_rd_uint_in(&r, 0, UINT32_MAX);
    struct stoq_span key = stoq_cbor_rd_bytes(&r, 0, sizeof out->key);
    out->began_at = stoq_cbor_rd_uint(&r);
    out->finished_at = stoq_cbor_rd_uint(&r);
    take_counts(&r, &out->counts);
    take_counts(&r, &out->last);
    stoq_cbor_rd_leave(&r);
    enum stoq_status st = stoq_cbor_rd_done(&r);
    if (st == STOQ_OK && key.n != 0 && key.n != sizeof out->key) {
        st = STOQ_MALFORMED;
    }
    if (st != STOQ_OK) {
        memset(out, 0, sizeof *out);
        return st;
    }
    out->has_key = key.n > 0;
    if (out->has_key) {
        memcpy(out->key, key.p, key.n);
    }
    return STOQ_OK;
}

enum stoq_status stoq_scrub_load(const char *dir, struct stoq_scrub_state *out,
                                 struct stoq_error *err)
{
    char path[4096];
    struct stoq_buf bytes;
    memset(out, 0, sizeof *out);
    if (stoq_file_join(path, sizeof path, dir, "scrub") != STOQ_OK) {
        return stoq_fail(err, STOQ_IO, 0, "the path %s is too long", dir);
    }
    stoq_buf_init(&bytes, STATE_BYTES_MAX);
    enum stoq_status st = stoq_file_read(path, STATE_BYTES_MAX, &bytes, err);
    if (st == STOQ_FULL ||
        (st == STOQ_OK && stoq_scrub_state_decode(stoq_buf_span(&bytes), out) != STOQ_OK)) {
        st = stoq_fail(err, STOQ_NOTFOUND, 0, "%s is not a scrub's state", path);
    }
    stoq_buf_release(&bytes);
    return st;
}

enum stoq_status stoq_scrub_save(const char *dir, const struct stoq_scrub_state *state,
                                 struct stoq_error *err)
{
    char path[4096];
    struct stoq_buf bytes;
    if (stoq_file_join(path, sizeof path, dir, "scrub") != STOQ_OK) {
        return stoq_fail(err, STOQ_IO, 0, "the path %s is too long", dir);
    }
    stoq_buf_init(&bytes, STATE_BYTES_MAX);
    enum stoq_status st = stoq_scrub_state_encode(state, &bytes);
    st = st == STOQ_OK ? stoq_file_replace(path, stoq_buf_span(&bytes), 0600, err)
                       : stoq_fail(err, st, 0, "no memory for a scrub's state");
    stoq_buf_release(&bytes);
    return st;
}
