/*
 * jansson parses recursively to a depth fixed at its build (2048), so depth is counted before it sees
 * the text: one pass over the bytes that knows strings and escapes and nothing else. Text that is not
 * JSON may be counted wrongly; jansson refuses it right after.
 */
#include "api/json.h"

#include <stdlib.h>
#include <string.h>

static unsigned depth_of(struct stoq_span text)
{
    unsigned depth = 0;
    unsigned deepest = 0;
    bool quoted = false;
    for (size_t i = 0; i < text.n; i++) {
        uint8_t c = text.p[i];
        if (quoted) {
            if (c == '\\') {
                i++;
            } else if (c == '"') {
                quoted = false;
            }
        } else if (c == '"') {
            quoted = true;
        } else if (c == '[' || c == '{') {
            depth++;
            deepest = depth > deepest ? depth : deepest;
        } else if ((c == ']' || c == '}') && depth > 0) {
            depth--;
        }
    }
    return deepest;
}

enum stoq_status stoq_json_parse(json_t **out, struct stoq_span text, size_t max,
                                 struct stoq_error *err)
{
    if (text.n > max) {
        return stoq_fail(err, STOQ_FULL, 0, "JSON of %zu bytes is over the limit of %zu", text.n,
                         max);
    }
    unsigned depth = depth_of(text);
    if (depth > STOQ_JSON_DEPTH_MAX) {
        return stoq_fail(err, STOQ_MALFORMED, 0, "JSON is nested %u deep, the limit is %d", depth,
                         STOQ_JSON_DEPTH_MAX);
    }
    json_error_t why;
    json_t *value =
        json_loadb((const char *)text.p, text.n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &why);
    if (value == NULL) {
        return stoq_fail(err, STOQ_MALFORMED, 0, "not JSON at line %d, column %d: %s", why.line,
                         why.column, why.text);
    }
    *out = value;
    return STOQ_OK;
}

char *stoq_json_line(const json_t *value)
{
    return json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
}

char *stoq_json_pretty(const json_t *value)
{
    return json_dumps(value, JSON_INDENT(2) | JSON_ENCODE_ANY);
}

bool stoq_json_set_u64(json_t *obj, const char *key, uint64_t value)
{
    STOQ_ASSERT(value <= INT64_MAX);
    return json_object_set_new(obj, key, json_integer((json_int_t)value)) == 0;
}

bool stoq_json_set_text(json_t *obj, const char *key, struct stoq_span text)
{
    return json_object_set_new(obj, key, json_stringn((const char *)text.p, text.n)) == 0;
}

static char *base64(struct stoq_span s)
{
    static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char *out = malloc((s.n + 2) / 3 * 4 + 1);
    if (out == NULL) {
        return NULL;
    }
    char *w = out;
    for (size_t i = 0; i < s.n; i += 3) {
        size_t have = s.n - i < 3 ? s.n - i : 3;
        uint32_t v = (uint32_t)s.p[i] << 16;
        v |= have > 1 ? (uint32_t)s.p[i + 1] << 8 : 0;
        v |= have > 2 ? (uint32_t)s.p[i + 2] : 0;
        *w++ = digit[v >> 18];
        *w++ = digit[v >> 12 & 63];
        *w++ = have > 1 ? digit[v >> 6 & 63] : '=';
        *w++ = have > 2 ? digit[v & 63] : '=';
    }
    *w = '\0';
    return out;
}

bool stoq_json_set_path(json_t *obj, const char *key, struct stoq_span path)
{
    if (stoq_json_set_text(obj, key, path)) {
        return true;
    }
    char name[64];
    int n = snprintf(name, sizeof name, "%s_b64", key);
    STOQ_ASSERT(n > 0 && (size_t)n < sizeof name);
    char *text = base64(path);
    if (text == NULL) {
        return false;
    }
    bool ok = json_object_set_new(obj, name, json_string(text)) == 0;
    free(text);
    return ok;
}

static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    return c == '+' ? 62 : (c == '/' ? 63 : -1);
}

/* Standard alphabet with padding, nothing else. */
static enum stoq_status base64_add(const char *text, struct stoq_buf *out)
{
    size_t n = strlen(text);
    if (n % 4 != 0) {
        return STOQ_RANGE;
    }
    for (size_t i = 0; i < n; i += 4) {
        bool last = i + 4 == n;
        size_t pad = last && text[i + 3] == '=' ? (text[i + 2] == '=' ? 2 : 1) : 0;
        uint32_t v = 0;
        for (size_t k = 0; k < 4; k++) {
            int d = k + pad >= 4 ? 0 : base64_value(text[i + k]);
            if (d < 0) {
                return STOQ_RANGE;
            }
            v = v << 6 | (uint32_t)d;
        }
        uint8_t b[3] = {(uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};
        enum stoq_status st = stoq_buf_add(out, stoq_span(b, 3 - pad));
        if (st != STOQ_OK) {
            return st;
        }
    }
    return STOQ_OK;
}

enum stoq_status stoq_json_path(const json_t *obj, const char *key, struct stoq_buf *out,
                                struct stoq_error *err)
{
    char name[64];
    int n = snprintf(name, sizeof name, "%s_b64", key);
    STOQ_ASSERT(n > 0 && (size_t)n < sizeof name);
    const char *text = stoq_json_text(obj, key);
    const char *coded = stoq_json_text(obj, name);
    if ((text == NULL) == (coded == NULL)) {
        return stoq_fail(err, STOQ_RANGE, 0, "argument '%s' is missing%s", key,
                         text != NULL ? ", or given twice" : "");
    }
    stoq_buf_clear(out);
    enum stoq_status st =
        text != NULL ? stoq_buf_add(out, stoq_span_str(text)) : base64_add(coded, out);
    if (st == STOQ_RANGE || (st == STOQ_OK && out->n > 0 && memchr(out->p, 0, out->n) != NULL)) {
        return stoq_fail(err, STOQ_RANGE, 0, "argument '%s' is not base64 of a path", name);
    }
    if (st == STOQ_OK) {
        st = stoq_buf_reserve(out, 1);
    }
    if (st != STOQ_OK) {
        return stoq_fail(err, st == STOQ_FULL ? STOQ_RANGE : st, 0, "argument '%s' is too long",
                         key);
    }
    out->p[out->n] = '\0';
    return STOQ_OK;
}

static bool all_text(const json_t *value)
{
    size_t i;
    const json_t *item;
    const char *key;
    if (json_is_array(value)) {
        json_array_foreach (value, i, item) {
            if (!json_is_string(item)) {
                return false;
            }
        }
        return true;
    }
    json_object_foreach ((json_t *)(uintptr_t)value, key, item) {
        if (!json_is_string(item)) {
            return false;
        }
    }
    return true;
}

static bool is_kind(const json_t *value, enum stoq_json_kind kind)
{
    switch (kind) {
    case STOQ_JSON_TEXT:
        return json_is_string(value) &&
               strlen(json_string_value(value)) == json_string_length(value);
    case STOQ_JSON_BOOL:
        return json_is_boolean(value);
    case STOQ_JSON_UINT:
        return json_is_integer(value) && json_integer_value(value) >= 0;
    case STOQ_JSON_TEXTS:
        return json_is_array(value) && all_text(value);
    case STOQ_JSON_MAP:
        return json_is_object(value) && all_text(value);
    }
    return false;
}

static const char *kind_name(enum stoq_json_kind kind)
{
    static const char *const name[] = {"a string", "true or false", "a number from 0",
                                       "an array of strings", "an object of strings"};
    return name[kind];
}

static const struct stoq_json_key *key_find(const struct stoq_json_key *keys, size_t count,
                                            const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(keys[i].name, name) == 0) {
            return &keys[i];
        }
    }
    return NULL;
}

enum stoq_status stoq_json_check(const json_t *args, const struct stoq_json_key *keys, size_t count,
                                 struct stoq_error *err)
{
    if (!json_is_object(args)) {
        return stoq_fail(err, STOQ_RANGE, 0, "arguments must be a JSON object");
    }
    const char *name;
    const json_t *value;
    json_object_foreach ((json_t *)(uintptr_t)args, name, value) {
        const struct stoq_json_key *key = key_find(keys, count, name);
        if (key == NULL) {
            return stoq_fail(err, STOQ_RANGE, 0, "unknown argument '%.64s'", name);
        }
        if (!is_kind(value, key->kind)) {
            return stoq_fail(err, STOQ_RANGE, 0, "argument '%s' must be %s", name,
                             kind_name(key->kind));
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (keys[i].required && json_object_get(args, keys[i].name) == NULL) {
            return stoq_fail(err, STOQ_RANGE, 0, "argument '%s' is missing", keys[i].name);
        }
    }
    return STOQ_OK;
}

const char *stoq_json_text(const json_t *obj, const char *key)
{
    return json_string_value(json_object_get(obj, key));
}

bool stoq_json_bool(const json_t *obj, const char *key, bool absent)
{
    const json_t *value = json_object_get(obj, key);
    return value == NULL ? absent : json_is_true(value);
}

uint64_t stoq_json_u64(const json_t *obj, const char *key, uint64_t absent)
{
    const json_t *value = json_object_get(obj, key);
    return value == NULL ? absent : (uint64_t)json_integer_value(value);
}
