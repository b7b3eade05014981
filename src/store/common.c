#include "store/store_internal.h"

#include <stdarg.h>
#include <stdio.h>

void stoq_store_say(const struct stoq_store *s, const char *fmt, ...)
{
    if (s->notice == NULL) {
        return;
    }
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    s->notice(s->notice_user, text);
}

const char *stoq_record_type_str(uint8_t type)
{
    static const char *const name[STOQ_RECORD_TYPES] = {
        [STOQ_RECORD_CHUNK] = "chunk",
        [STOQ_RECORD_MANIFEST] = "manifest",
        [STOQ_RECORD_SHARD_LIST] = "shard list",
        [STOQ_RECORD_CHUNK_LIST] = "chunk list",
        [STOQ_RECORD_SIGNATURE] = "signature",
        [STOQ_RECORD_RECEIPT] = "receipt",
        [STOQ_RECORD_PIN] = "pin",
        [STOQ_RECORD_ROOT] = "named root",
        [STOQ_RECORD_LEASE] = "lease",
        [STOQ_RECORD_TOMBSTONE] = "tombstone",
        [STOQ_RECORD_ALIAS] = "alias",
        [STOQ_RECORD_IN_PLACE] = "in-place source",
        [STOQ_RECORD_POINTER] = "pointer",
        [STOQ_RECORD_TRUST] = "trust state",
        [STOQ_RECORD_PACKAGE] = "package",
        [STOQ_RECORD_CONTENT] = "content",
        [STOQ_RECORD_TRANSFER] = "transfer",
    };
    return type < STOQ_RECORD_TYPES && name[type] != NULL ? name[type] : "record";
}

enum stoq_status stoq_store_check_key(uint8_t type, struct stoq_span key, struct stoq_error *err)
{
    if (type == 0 || type >= STOQ_RECORD_TYPES || type == STOQ_RECORD_TOMBSTONE) {
        return stoq_fail(err, STOQ_RANGE, 0, "%u is no type of record to name", (unsigned)type);
    }
    if (key.n == 0 || key.n > STOQ_RECORD_KEY_MAX) {
        return stoq_fail(err, STOQ_RANGE, 0, "a key of %zu bytes; 1 to %d are possible", key.n,
                         STOQ_RECORD_KEY_MAX);
    }
    return STOQ_OK;
}
