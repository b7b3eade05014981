#include "daemon/manifest_json.h"

#include "hash/hash.h"
#include "wire/bech32m.h"

#include <string.h>

static bool set_optional(json_t *obj, const char *key, struct stoq_span text)
{
    return text.n == 0 || stoq_json_set_text(obj, key, text);
}

static bool set_hex(json_t *obj, const char *key, struct stoq_span bytes)
{
    char hex[2 * STOQ_DIGEST_MAX + 1];
    STOQ_ASSERT(bytes.n <= STOQ_DIGEST_MAX);
    stoq_hex_put(hex, bytes);
    return stoq_json_set_text(obj, key, stoq_span_str(hex));
}

static bool set_annotations(json_t *obj, const struct stoq_manifest *m)
{
    bool ok = true;
    json_t *map = json_object();
    if (m->annotation_count == 0) {
        json_decref(map);
        return true;
    }
    for (size_t i = 0; i < m->annotation_count; i++) {
        char key[STOQ_MANIFEST_ANNOTATION_KEY_MAX + 1];
        struct stoq_span k = m->annotations[i].key;
        memcpy(key, k.p, k.n);
        key[k.n] = '\0';
        ok &= stoq_json_set_text(map, key, m->annotations[i].value);
    }
    return json_object_set_new(obj, "annotations", map) == 0 && ok;
}

static bool set_dependencies(json_t *obj, const struct stoq_manifest *m)
{
    bool ok = true;
    json_t *list = json_array();
    for (size_t i = 0; i < m->dependency_count; i++) {
        const struct stoq_manifest_dependency *d = &m->dependencies[i];
        json_t *o = json_object();
        ok &= stoq_json_set_text(o, "name", d->name);
        ok &= stoq_json_set_text(o, "requirement", d->requirement);
        if (d->has_id) {
            char id[STOQ_ID_TEXT_CAP];
            stoq_package_id_put(id, &d->id);
            ok &= stoq_json_set_text(o, "id", stoq_span_str(id));
        }
        ok &= json_array_append_new(list, o) == 0;
    }
    return json_object_set_new(obj, "dependencies", list) == 0 && ok;
}

static bool set_secondary(json_t *obj, const struct stoq_manifest *m)
{
    const char *name = stoq_hash_alg_name(stoq_hash_alg_code(m->secondary_algorithm));
    if (m->secondary_algorithm == 0 || name == NULL) {
        return true;
    }
    json_t *o = json_pack("{s:s}", "algorithm", name);
    bool ok = o != NULL && set_hex(o, "digest", m->secondary_digest);
    return json_object_set_new(obj, "secondary", o) == 0 && ok;
}

bool stoq_manifest_to_json(json_t *obj, const struct stoq_manifest *m)
{
    bool ok = obj != NULL;
    ok = ok && stoq_json_set_text(obj, "name", m->name);
    ok = ok && stoq_json_set_text(obj, "version", m->version);
    ok = ok && set_optional(obj, "description", m->description);
    ok = ok && set_optional(obj, "license", m->license);
    ok = ok && set_annotations(obj, m);
    ok = ok && set_dependencies(obj, m);
    ok = ok && stoq_json_set_u64(obj, "profile", m->profile);
    ok = ok && set_secondary(obj, m);
    ok = ok && stoq_json_set_u64(obj, "entries", m->entries);
    ok = ok && stoq_json_set_u64(obj, "table_bytes", m->table_bytes);
    ok = ok && stoq_json_set_u64(obj, "bytes", m->bytes);
    ok = ok && stoq_json_set_u64(obj, "chunks", m->chunks);
    ok = ok && stoq_json_set_u64(obj, "shards", m->shards);
    return ok && set_hex(obj, "root", stoq_span(m->root.b, sizeof m->root.b));
}
