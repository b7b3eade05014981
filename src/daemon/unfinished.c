#include "daemon/unfinished.h"

#include <string.h>

#include "daemon/source.h"

#define LINE_MAX (STOQ_ID_TEXT_CAP + 1 + STOQ_ADDR_TEXT_MAX + 1)
#define RECORD_BYTES_MAX ((size_t)STOQ_FETCH_SOURCES_MAX * LINE_MAX)

static struct stoq_span key_of(const struct stoq_package_id *id)
{
    return stoq_span(id->h.b, sizeof id->h.b);
}

static enum stoq_status read_record(struct stoq_store *store, const struct stoq_package_id *id,
                                    struct stoq_buf *out)
{
    stoq_buf_init(out, RECORD_BYTES_MAX);
    return stoq_store_read(store, STOQ_RECORD_TRANSFER, key_of(id), 0, out, NULL);
}

/* PEER@ADDRESS and a newline. */
static enum stoq_status add_line(struct stoq_buf *out, const struct stoq_fetch_source *source)
{
    char peer[STOQ_ID_TEXT_CAP];
    char addr[STOQ_ADDR_TEXT_MAX];
    stoq_peer_id_put(peer, &source->peer);
    enum stoq_status st = stoq_buf_add(out, stoq_span_str(peer));
    if (st == STOQ_OK) {
        st = stoq_buf_add(out, stoq_span("@", 1));
    }
    if (st == STOQ_OK) {
        st = stoq_buf_add(out, stoq_span_str(stoq_addr_format(&source->addr, addr)));
    }
    return st == STOQ_OK ? stoq_buf_add(out, stoq_span("\n", 1)) : st;
}

void stoq_unfinished_note(struct stoq_store *store, const struct stoq_package_id *id,
                          const struct stoq_fetch_source *sources, size_t count)
{
    struct stoq_buf fresh;
    struct stoq_buf old;
    enum stoq_status st = STOQ_OK;
    stoq_buf_init(&fresh, RECORD_BYTES_MAX);
    for (size_t i = 0; i < count && st == STOQ_OK; i++) {
        st = add_line(&fresh, &sources[i]);
    }
    bool is_same = read_record(store, id, &old) == STOQ_OK &&
                   stoq_span_eq(stoq_buf_span(&old), stoq_buf_span(&fresh));
    if (st == STOQ_OK && !is_same) {
        st = stoq_store_put(store, STOQ_RECORD_TRANSFER, key_of(id), STOQ_STORE_OVERWRITE,
                            stoq_buf_span(&fresh), NULL, NULL);
        st = st == STOQ_OK ? stoq_store_sync(store, NULL) : st;
    }
    (void)st;
    stoq_buf_release(&fresh);
    stoq_buf_release(&old);
}

static bool is_among(const struct stoq_fetch_source *list, size_t count,
                     const struct stoq_peer_id *peer)
{
    size_t i = 0;
    while (i < count && !stoq_hash_eq(&list[i].peer.h, &peer->h)) {
        i++;
    }
    return i < count;
}

size_t stoq_unfinished_sources(struct stoq_store *store, const struct stoq_package_id *id,
                               struct stoq_fetch_source out[STOQ_FETCH_SOURCES_MAX], size_t count)
{
    struct stoq_buf record;
    enum stoq_status st = read_record(store, id, &record);
    struct stoq_span rest = stoq_buf_span(&record);
    while (st == STOQ_OK && rest.n > 0 && count < STOQ_FETCH_SOURCES_MAX) {
        char line[LINE_MAX];
        const uint8_t *end = memchr(rest.p, '\n', rest.n);
        size_t n = end == NULL ? rest.n : (size_t)(end - rest.p);
        if (n < sizeof line) {
            struct stoq_fetch_source source;
            memcpy(line, rest.p, n);
            line[n] = '\0';
            if (stoq_source_parse(&source, line, NULL) == STOQ_OK &&
                !is_among(out, count, &source.peer)) {
                out[count++] = source;
            }
        }
        n += end != NULL;
        rest = stoq_span(rest.p + n, rest.n - n);
    }
    stoq_buf_release(&record);
    return count;
}

void stoq_unfinished_end(struct stoq_store *store, const struct stoq_package_id *id,
                         enum stoq_status status)
{
    bool may_go_on = status == STOQ_CANCELLED || status == STOQ_TIMEOUT || status == STOQ_NET ||
                     status == STOQ_FULL || status == STOQ_IO || status == STOQ_NOMEM ||
                     status == STOQ_BUSY;
    if (!may_go_on && stoq_store_has(store, STOQ_RECORD_TRANSFER, key_of(id))) {
        enum stoq_status st = stoq_store_delete(store, STOQ_RECORD_TRANSFER, key_of(id), NULL);
        (void)st; /* it stays until a collection */
    }
}
