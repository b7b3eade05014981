/*
 * The verdicts. What is damaged is counted, not fatal: the verdict says how much is wrong and where it
 * begins. The reading is in verify_chunks.c.
 */
#include "daemon/verify.h"

#include <stdio.h>
#include <string.h>

#include "daemon/local.h"
#include "daemon/verify_internal.h"
#include "os/sys.h"

struct verify {
    struct stoq_store *store;
    const struct stoq_verify_ask *ask;
    struct stoq_verify_report *report;
    struct stoq_held *held;
};

static bool is_fault(enum stoq_status st)
{
    return st == STOQ_NOTFOUND || st == STOQ_PROOF;
}

static enum stoq_status ignore_entry(void *user, const struct stoq_entry *entry, uint64_t offset,
                                     struct stoq_error *err)
{
    (void)user;
    (void)entry;
    (void)offset;
    (void)err;
    return STOQ_OK;
}

static void say(struct stoq_verdict *verdict, bool valid, const char *why)
{
    size_t n = strnlen(why, sizeof verdict->why - 1);
    while (n > 0 && (why[n] & 0xc0) == 0x80) {
        n--; /* not inside a character */
    }
    verdict->valid = valid;
    memcpy(verdict->why, why, n);
    verdict->why[n] = 0;
}

/* The digest that was made of the stream, or none, against the manifest's. */
static void judge_secondary(struct verify *v, const struct stoq_digest *got)
{
    struct stoq_verify_report *r = v->report;
    const struct stoq_manifest *m = stoq_held_manifest(v->held);
    r->has_secondary = m->secondary_algorithm != STOQ_HASH_NONE;
    if (!r->has_secondary) {
        return;
    }
    const char *name = stoq_hash_alg_name(stoq_hash_alg_code(m->secondary_algorithm));
    char why[sizeof r->secondary.why];
    bool valid =
        got->alg != STOQ_HASH_NONE && stoq_span_eq(stoq_digest_span(got), m->secondary_digest);
    (void)snprintf(why, sizeof why,
                   got->alg == STOQ_HASH_NONE ? "%s: not checked, the content is damaged"
                   : valid                    ? "%s: the whole content has the manifest's digest"
                                              : "%s: the content's is not the manifest's",
                   name);
    say(&r->secondary, valid, why);
}

static enum stoq_status check_content(struct verify *v, struct stoq_error *err)
{
    struct stoq_verify_report *r = v->report;
    const struct stoq_manifest *m = stoq_held_manifest(v->held);
    struct stoq_digest digest;
    r->chunks = m->chunks;
    r->bytes = m->bytes;
    enum stoq_status st = stoq_verify_chunks(
        v->held, v->store, v->ask, stoq_hash_alg_code(m->secondary_algorithm), r, &digest, err);
    if (st != STOQ_OK) {
        return st;
    }
    judge_secondary(v, &digest);
    if (r->chunks_bad + r->chunks_missing > 0) {
        char text[200 + sizeof r->first_why];
        (void)snprintf(
            text, sizeof text,
            "%llu chunks are damaged and %llu are not here, the first of them chunk %llu: %s",
            (unsigned long long)r->chunks_bad, (unsigned long long)r->chunks_missing,
            (unsigned long long)r->first_fault, r->first_why);
        say(&r->merkle, false, text);
        return STOQ_OK;
    }
    st = stoq_held_each_entry(v->held, ignore_entry, NULL, err);
    if (st == STOQ_MALFORMED || is_fault(st)) {
        say(&r->merkle, false, "the file table breaks the format, as it was published");
        return STOQ_OK;
    }
    if (st == STOQ_OK) {
        say(&r->merkle, true, "manifest, lists, file table and every chunk belong to the id");
    }
    return st;
}

static enum stoq_status check_signature(struct verify *v, struct stoq_error *err)
{
    struct stoq_verify_report *r = v->report;
    enum stoq_status st = stoq_local_signer(v->store, &v->ask->id, &r->signer, err);
    switch (st) {
    case STOQ_OK:
        say(&r->signature, true, "signed by the key named; whether to trust it is your choice");
        return STOQ_OK;
    case STOQ_NOTFOUND:
        say(&r->signature, false, "unsigned");
        return STOQ_OK;
    case STOQ_PROOF:
        say(&r->signature, false, "there are signatures here and none of them is good");
        return STOQ_OK;
    default:
        return st;
    }
}

static void conclude(struct verify *v)
{
    struct stoq_verify_report *r = v->report;
    say(&r->consensus, false, "no witness log is asked about packages");
    bool unsigned_is_fine =
        !v->ask->signature_required && strcmp(r->signature.why, "unsigned") == 0;
    if (!r->merkle.valid) {
        r->overall = r->merkle;
    } else if (r->has_secondary && !r->secondary.valid) {
        r->overall = r->secondary;
    } else if (!r->signature.valid && !unsigned_is_fine) {
        r->overall = r->signature;
    } else {
        say(&r->overall, true,
            r->signature.valid ? "content and signature are good" : "content is good; unsigned");
    }
}

enum stoq_status stoq_verify(struct stoq_store *store, const struct stoq_verify_ask *ask,
                             struct stoq_verify_report *report, struct stoq_error *err)
{
    stoq_ns began = stoq_now();
    struct stoq_error why = {0};
    struct verify v = {.store = store, .ask = ask, .report = report};
    memset(report, 0, sizeof *report);
    if (!stoq_store_has(store, STOQ_RECORD_MANIFEST, stoq_span(ask->id.h.b, 32)) &&
        !stoq_store_has(store, STOQ_RECORD_PACKAGE, stoq_span(ask->id.h.b, 32))) {
        return stoq_fail_code(err, STOQ_NOTFOUND, "ContentNotFound", "no such package here");
    }
    enum stoq_status st = stoq_held_open(&v.held, store, &ask->id, &why);
    if (is_fault(st)) {
        say(&report->merkle, false, why.text);
        st = STOQ_OK;
    } else if (st == STOQ_OK) {
        st = check_content(&v, err);
    } else if (err != NULL) {
        *err = why;
    }
    if (st == STOQ_OK) {
        st = check_signature(&v, err);
    }
    if (st == STOQ_OK) {
        conclude(&v);
    }
    stoq_held_close(v.held);
    report->elapsed_ns = stoq_now() - began;
    return st;
}

/* Its bytes are what the tree says and not what the manifest says: whoever made it lied. */
static enum stoq_status refuse_package(struct stoq_store *store, const struct stoq_package_id *id,
                                       const struct stoq_verdict *why, struct stoq_error *err)
{
    enum stoq_status st = stoq_local_set_complete(store, id, false, err);
    if (st == STOQ_OK) {
        st = stoq_store_sync(store, err);
    }
    return st != STOQ_OK ? st
                         : stoq_fail_code(err, STOQ_PROOF, "IntegrityCheckFailed", "%s", why->why);
}

enum stoq_status stoq_verify_secondary(struct stoq_store *store, const struct stoq_verify_ask *ask,
                                       struct stoq_error *err)
{
    struct stoq_held *held;
    struct stoq_verify_report report;
    enum stoq_status st = stoq_held_open(&held, store, &ask->id, err);
    if (st != STOQ_OK) {
        return st;
    }
    bool has_one = stoq_held_manifest(held)->secondary_algorithm != STOQ_HASH_NONE;
    stoq_held_close(held);
    if (!has_one) {
        return STOQ_OK;
    }
    st = stoq_verify(store, ask, &report, err);
    if (st != STOQ_OK || (report.merkle.valid && report.secondary.valid)) {
        return st;
    }
    return refuse_package(store, &ask->id, report.merkle.valid ? &report.secondary : &report.merkle,
                          err);
}
