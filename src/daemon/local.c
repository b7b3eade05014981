#include "daemon/local.h"

#include <stdlib.h>
#include <string.h>

#include "os/sys.h"
#include "sign/sign.h"
#include "wire/form.h"

#define ID_BYTES 32
#define SIGNATURE_KEY_BYTES 64 /* package id, key id */
#define RECORD_BYTES_MAX 64    /* of a package record's CBOR */
/* Keys gathered in memory at once: 2^22 packages or signatures. */
#define KEYS_MAX ((size_t)256 << 20)

static struct stoq_span id_key(const struct stoq_package_id *id)
{
    return stoq_span(id->h.b, ID_BYTES);
}

/* All keys of one record type, joined; they come in order. */
struct keys {
    struct stoq_buf joined;
    size_t key_bytes;
    enum stoq_status status;
};

static bool gather_key(void *user, struct stoq_span key, struct stoq_stored info)
{
    struct keys *k = user;
    (void)info;
    if (key.n == k->key_bytes) {
        k->status = stoq_buf_add(&k->joined, key);
    }
    return k->status == STOQ_OK;
}

/* Gather the keys of a type; release with stoq_buf_release(&k->joined) in any case. */
static enum stoq_status gather(struct stoq_store *store, enum stoq_record_type type,
                               size_t key_bytes, struct keys *k, struct stoq_error *err)
{
    *k = (struct keys){.key_bytes = key_bytes, .status = STOQ_OK};
    stoq_buf_init(&k->joined, KEYS_MAX);
    enum stoq_status st = stoq_store_each(store, type, gather_key, k, err);
    if (st == STOQ_OK && k->status != STOQ_OK) {
        st = stoq_fail(err, k->status, 0, "too many packages for one list");
    }
    return st;
}

/* The envelope is of this package, good, and under its own signer's key: record it. */
static bool signature_is_good(struct stoq_store *store, const uint8_t *key,
                              struct stoq_buf *scratch, struct stoq_key_id *out)
{
    struct stoq_hash id;
    struct stoq_key_id signer;
    memcpy(id.b, key, ID_BYTES);
    struct stoq_span k = stoq_span(key, SIGNATURE_KEY_BYTES);
    if (stoq_store_read(store, STOQ_RECORD_SIGNATURE, k, 0, scratch, NULL) != STOQ_OK ||
        stoq_sign_verify(stoq_buf_span(scratch), STOQ_SIGN_PACKAGE, &id, &signer) != STOQ_OK ||
        memcmp(signer.h.b, key + ID_BYTES, ID_BYTES) != 0) {
        return false;
    }
    *out = signer;
    return true;
}

/* Among gathered signature keys: STOQ_OK and whose, STOQ_NOTFOUND, STOQ_PROOF. */
static enum stoq_status find_signer(struct stoq_store *store, const struct keys *signatures,
                                    const struct stoq_package_id *id, struct stoq_key_id *out)
{
    const uint8_t *keys = signatures->joined.p;
    size_t lo = 0;
    size_t hi = signatures->joined.n / SIGNATURE_KEY_BYTES;
    size_t count = hi;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (memcmp(keys + mid * SIGNATURE_KEY_BYTES, id->h.b, ID_BYTES) < 0) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    enum stoq_status st = STOQ_NOTFOUND;
    struct stoq_buf scratch;
    stoq_buf_init(&scratch, STOQ_ENVELOPE_MAX);
    for (; lo < count && st != STOQ_OK; lo++) {
        const uint8_t *key = keys + lo * SIGNATURE_KEY_BYTES;
        if (memcmp(key, id->h.b, ID_BYTES) != 0) {
            break;
        }
        st = signature_is_good(store, key, &scratch, out) ? STOQ_OK : STOQ_PROOF;
    }
    stoq_buf_release(&scratch);
    return st;
}

enum stoq_status stoq_local_signer(struct stoq_store *store, const struct stoq_package_id *id,
                                   struct stoq_key_id *out, struct stoq_error *err)
{
    struct keys signatures;
    enum stoq_status st =
        gather(store, STOQ_RECORD_SIGNATURE, SIGNATURE_KEY_BYTES, &signatures, err);
    if (st == STOQ_OK) {
        st = find_signer(store, &signatures, id, out);
        if (st != STOQ_OK) {
            (void)stoq_fail(err, st, 0, "%s",
                            st == STOQ_NOTFOUND ? "unsigned" : "no signature here is good");
        }
    }
    stoq_buf_release(&signatures.joined);
    return st;
}

/* The package record. */
static const struct stoq_field facts_fields[] = {
    {1, STOQ_IS_UINT(struct stoq_local_facts, added_at, 0, UINT64_MAX)},
    {2, STOQ_IS_BOOL(struct stoq_local_facts, complete)},
    {3, STOQ_IS_TRUE(struct stoq_local_facts, made_here)},
};
static const struct stoq_form facts_form = STOQ_FORM(facts_fields);

enum stoq_status stoq_local_facts(struct stoq_store *store, const struct stoq_package_id *id,
                                  struct stoq_local_facts *out, struct stoq_error *err)
{
    struct stoq_buf b;
    *out = (struct stoq_local_facts){.added_at = 0};
    stoq_buf_init(&b, RECORD_BYTES_MAX);
    enum stoq_status st = stoq_store_read(store, STOQ_RECORD_PACKAGE, id_key(id), 0, &b, err);
    if (st == STOQ_OK && stoq_form_decode(&facts_form, stoq_buf_span(&b), out) != STOQ_OK) {
        st = stoq_fail_code(err, STOQ_PROOF, "IntegrityCheckFailed",
                            "the package's record here is damaged");
    }
    stoq_buf_release(&b);
    return st;
}

bool stoq_local_has(struct stoq_store *store, const struct stoq_package_id *id)
{
    struct stoq_local_facts facts;
    return stoq_local_facts(store, id, &facts, NULL) == STOQ_OK && facts.complete;
}

enum stoq_status stoq_local_record(struct stoq_store *store, const struct stoq_package_id *id,
                                   const struct stoq_local_facts *facts, struct stoq_error *err)
{
    struct stoq_buf b;
    stoq_buf_init(&b, RECORD_BYTES_MAX);
    enum stoq_status st =
        stoq_form_encode(&facts_form, facts, stoq_form_keys(&facts_form, facts), &b);
    if (st != STOQ_OK) {
        st = stoq_fail(err, st, 0, "no memory for the package's record");
    } else {
        st = stoq_store_put(store, STOQ_RECORD_PACKAGE, id_key(id), STOQ_STORE_OVERWRITE,
                            stoq_buf_span(&b), NULL, err);
    }
    stoq_buf_release(&b);
    return st;
}

enum stoq_status stoq_local_set_complete(struct stoq_store *store, const struct stoq_package_id *id,
                                         bool complete, struct stoq_error *err)
{
    struct stoq_local_facts facts;
    if (stoq_local_facts(store, id, &facts, NULL) != STOQ_OK) {
        facts = (struct stoq_local_facts){.added_at = stoq_wall_seconds()};
    } else if (facts.complete == complete) {
        return STOQ_OK;
    }
    facts.complete = complete;
    return stoq_local_record(store, id, &facts, err);
}

/* Manifest and what is decoded from it, reused from package to package. */
struct reading {
    struct stoq_store *store;
    struct stoq_buf bytes;
    struct stoq_manifest manifest;
    struct keys signatures;
};

static enum stoq_status read_package(struct reading *r, const struct stoq_package_id *id,
                                     struct stoq_local_package *out, struct stoq_error *err)
{
    *out = (struct stoq_local_package){.id = *id, .manifest = &r->manifest};
    struct stoq_local_facts facts = {0};
    enum stoq_status st = stoq_local_facts(r->store, id, &facts, err);
    out->added_at = facts.added_at;
    out->complete = facts.complete;
    if (st == STOQ_OK) {
        st = stoq_store_read(r->store, STOQ_RECORD_MANIFEST, id_key(id), 0, &r->bytes, err);
    }
    if (st != STOQ_OK) {
        return st;
    }
    struct stoq_span bytes = stoq_buf_span(&r->bytes);
    struct stoq_package_id got = stoq_manifest_id(bytes);
    if (!stoq_hash_eq(&got.h, &id->h) || stoq_manifest_decode(bytes, &r->manifest) != STOQ_OK) {
        return stoq_fail_code(err, STOQ_PROOF, "IntegrityCheckFailed",
                              "the stored manifest is not this package's");
    }
    out->is_signed = find_signer(r->store, &r->signatures, id, &out->signer) == STOQ_OK;
    return STOQ_OK;
}

/* Ready to read packages; NULL: err says why. */
static struct reading *reading_new(struct stoq_store *store, enum stoq_status *st,
                                   struct stoq_error *err)
{
    struct reading *r = calloc(1, sizeof *r);
    if (r == NULL) {
        *st = stoq_fail(err, STOQ_NOMEM, 0, "no memory to list packages");
        return NULL;
    }
    r->store = store;
    stoq_buf_init(&r->bytes, STOQ_MANIFEST_BYTES_MAX);
    *st = gather(store, STOQ_RECORD_SIGNATURE, SIGNATURE_KEY_BYTES, &r->signatures, err);
    return r;
}

static void reading_free(struct reading *r)
{
    if (r != NULL) {
        stoq_buf_release(&r->bytes);
        stoq_buf_release(&r->signatures.joined);
        free(r);
    }
}

enum stoq_status stoq_local_each(struct stoq_store *store,
                                 bool (*each)(void *user, const struct stoq_local_package *p),
                                 void *user, uint64_t *damaged, struct stoq_error *err)
{
    uint64_t bad = 0;
    struct keys packages = {.status = STOQ_OK};
    enum stoq_status st;
    struct reading *r = reading_new(store, &st, err);
    if (st == STOQ_OK) {
        st = gather(store, STOQ_RECORD_PACKAGE, ID_BYTES, &packages, err);
    }
    for (size_t at = 0; st == STOQ_OK && at < packages.joined.n; at += ID_BYTES) {
        struct stoq_local_package p;
        struct stoq_package_id id;
        memcpy(id.h.b, packages.joined.p + at, ID_BYTES);
        enum stoq_status got = read_package(r, &id, &p, NULL);
        if (got == STOQ_OK && !each(user, &p)) {
            break;
        }
        bad += got != STOQ_OK && got != STOQ_NOTFOUND;
    }
    if (damaged != NULL) {
        *damaged = bad;
    }
    stoq_buf_release(&packages.joined);
    reading_free(r);
    return st;
}

enum stoq_status stoq_local_info(struct stoq_store *store, const struct stoq_package_id *id,
                                 bool (*each)(void *user, const struct stoq_local_package *p),
                                 void *user, struct stoq_error *err)
{
    enum stoq_status st;
    struct stoq_local_package p;
    struct reading *r = reading_new(store, &st, err);
    if (st == STOQ_OK) {
        st = read_package(r, id, &p, err);
    }
    if (st == STOQ_OK) {
        (void)each(user, &p);
    }
    reading_free(r);
    return st;
}
