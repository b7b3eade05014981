#ifndef STOQ_API_JSON_H
#define STOQ_API_JSON_H
/*
 * JSON at the edges: bounded parsing, one-line printing, arguments checked against a table of keys.
 * The one place that includes <jansson.h>; results are built with json_pack (NULL means no memory,
 * or text that is not UTF-8).
 */
#include "base/bytes.h"

#include <jansson.h>

#define STOQ_JSON_REQUEST_MAX ((size_t)STOQ_MIB)      /* bytes a local client may send */
#define STOQ_JSON_REPLY_MAX ((size_t)(64 * STOQ_MIB)) /* a listing of some 500,000 files */
#define STOQ_JSON_DEPTH_MAX 8                         /* our deepest object has 4 levels */

/*
 * One value from text, which must hold nothing else.
 *
 * STOQ_FULL       more than max bytes
 * STOQ_MALFORMED  not JSON, a key twice, or nested deeper than STOQ_JSON_DEPTH_MAX
 */
STOQ_WARN_UNUSED enum stoq_status stoq_json_parse(json_t **out, struct stoq_span text, size_t max,
                                                  struct stoq_error *err);

/* One line without its newline, or indented over several; free() it. NULL: no memory. */
char *stoq_json_line(const json_t *value);
char *stoq_json_pretty(const json_t *value);

/* obj[key] = number; the values of our formats stay under 2^63. False: no memory. */
bool stoq_json_set_u64(json_t *obj, const char *key, uint64_t value);
/* obj[key] = text as a JSON string; false: no memory or not UTF-8. */
bool stoq_json_set_text(json_t *obj, const char *key, struct stoq_span text);
/* obj[key] = path, or obj[key_b64] = its base64 form when the bytes are not UTF-8. */
bool stoq_json_set_path(json_t *obj, const char *key, struct stoq_span path);

/*
 * The path at key, or the bytes of key_b64, into out (cleared; its max holds) with a NUL after them that
 * out.n does not count. STOQ_OK; STOQ_RANGE: neither, both, not base64, or a NUL inside; STOQ_NOMEM.
 */
STOQ_WARN_UNUSED enum stoq_status stoq_json_path(const json_t *obj, const char *key,
                                                 struct stoq_buf *out, struct stoq_error *err);

enum stoq_json_kind {
    STOQ_JSON_TEXT,
    STOQ_JSON_BOOL,
    STOQ_JSON_UINT,  /* 0 .. 2^63 - 1 */
    STOQ_JSON_TEXTS, /* array of strings */
    STOQ_JSON_MAP,   /* object of strings */
};

struct stoq_json_key {
    const char *name;
    enum stoq_json_kind kind;
    bool required;
};

/* Check args against its table: an object, no other keys, each of its kind, the required ones there.
 * STOQ_RANGE with a sentence that names the key. */
STOQ_WARN_UNUSED enum stoq_status stoq_json_check(const json_t *args,
                                                  const struct stoq_json_key *keys, size_t count,
                                                  struct stoq_error *err);

/* Members of a checked object; absent gives NULL, the default, or 0. Borrowed from obj. */
const char *stoq_json_text(const json_t *obj, const char *key);
bool stoq_json_bool(const json_t *obj, const char *key, bool absent);
uint64_t stoq_json_u64(const json_t *obj, const char *key, uint64_t absent);

#endif
