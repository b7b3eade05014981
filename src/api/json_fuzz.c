/* Any bytes as a request's body: refused, or a value within the limits that prints and reads back. */
#include "api/json.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct stoq_json_key keys[] = {
    {"path", STOQ_JSON_TEXT, false},  {"path_b64", STOQ_JSON_TEXT, false},
    {"from", STOQ_JSON_TEXTS, true},  {"notes", STOQ_JSON_MAP, false},
    {"limit", STOQ_JSON_UINT, false}, {"sign", STOQ_JSON_BOOL, false},
};

/* NOLINTNEXTLINE(misc-no-recursion): what nests deeper than allowed never gets here */
static unsigned depth_of(const json_t *v)
{
    unsigned deepest = 0;
    size_t i;
    const char *key;
    const json_t *item;
    json_array_foreach (v, i, item) {
        unsigned d = depth_of(item);
        deepest = d > deepest ? d : deepest;
    }
    json_object_foreach ((json_t *)(uintptr_t)v, key, item) {
        unsigned d = depth_of(item);
        deepest = d > deepest ? d : deepest;
    }
    return deepest + (json_is_array(v) || json_is_object(v) ? 1 : 0);
}

static void check_args(const json_t *v)
{
    struct stoq_error err;
    struct stoq_buf path;
    stoq_buf_init(&path, 4096);
    if (stoq_json_check(v, keys, STOQ_COUNT(keys), &err) == STOQ_OK) {
        STOQ_ASSERT(json_is_array(json_object_get(v, "from")));
        (void)stoq_json_u64(v, "limit", 0);
        if (stoq_json_path(v, "path", &path, &err) == STOQ_OK) {
            STOQ_ASSERT(path.n == strlen((const char *)path.p));
        }
    } else {
        STOQ_ASSERT(err.status == STOQ_RANGE && err.text[0] != '\0');
    }
    stoq_buf_release(&path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct stoq_error err;
    json_t *v = NULL;
    json_t *again = NULL;
    if (stoq_json_parse(&v, stoq_span(data, size), 65536, &err) != STOQ_OK) {
        STOQ_ASSERT(err.text[0] != '\0');
        return 0;
    }
    STOQ_ASSERT(depth_of(v) <= STOQ_JSON_DEPTH_MAX);
    check_args(v);
    char *line = stoq_json_line(v);
    if (line != NULL) {
        STOQ_ASSERT(strchr(line, '\n') == NULL);
        STOQ_ASSERT(stoq_json_parse(&again, stoq_span_str(line), STOQ_JSON_REQUEST_MAX, &err) ==
                    STOQ_OK);
        STOQ_ASSERT(json_equal(v, again));
    }
    free(line);
    json_decref(again);
    json_decref(v);
    return 0;
}
