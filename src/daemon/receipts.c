#include "daemon/receipts.h"

#include "sign/object.h"

#include <stdio.h>
#include <string.h>

#define KEY_BYTES 64

static void key_of(uint8_t out[KEY_BYTES], const struct stoq_package_id *id,
                   const struct stoq_peer_id *peer)
{
    memcpy(out, id->h.b, sizeof id->h.b);
    memcpy(out + sizeof id->h.b, peer->h.b, sizeof peer->h.b);
}

/* Take one receipt in; NULL, or what is wrong with it. */
static const char *take(struct stoq_holding *h, const struct stoq_signed *item,
                        const struct stoq_package_id *id)
{
    struct stoq_receipt r;
    if (stoq_receipt_decode(item->body, &r) != STOQ_OK) {
        return "it is no receipt";
    }
    struct stoq_peer_id holder = stoq_spki_peer_id(r.spki);
    if (!stoq_hash_eq(&holder.h, &h->peer.h) || !stoq_hash_eq(&r.id.h, &id->h)) {
        return "it is of another peer or package";
    }
    if (stoq_object_check(item, STOQ_SIGN_RECEIPT, r.spki) != STOQ_OK) {
        return "its signature does not verify";
    }
    bool follows = r.shard_count == 0 ? h->receipts == 0
                                      : r.first_shard == h->shard_count &&
                                            (h->receipts == 0 || h->shard_count > 0);
    if (!follows || r.bytes > UINT64_MAX - h->bytes) {
        return "receipts for some shards are missing";
    }
    h->bytes += r.bytes;
    h->shard_count += r.shard_count;
    h->verified_at_s = r.verified_at_s > h->verified_at_s ? r.verified_at_s : h->verified_at_s;
    h->keep_until_s =
        h->receipts == 0 || r.keep_until_s < h->keep_until_s ? r.keep_until_s : h->keep_until_s;
    h->receipts++;
    return NULL;
}

void stoq_receipts_read(struct stoq_span items, const struct stoq_package_id *id,
                        const struct stoq_peer_id *peer, struct stoq_holding *out)
{
    struct stoq_signed item;
    const char *why = NULL;
    *out = (struct stoq_holding){.peer = *peer};
    while (why == NULL && stoq_signed_next(&items, &item)) {
        why = take(out, &item, id);
    }
    if (why == NULL && (items.n > 0 || out->receipts == 0)) {
        why = "the record is damaged";
    }
    out->valid = why == NULL;
    (void)snprintf(out->why, sizeof out->why, "%s", why == NULL ? "" : why);
}

enum stoq_status stoq_receipts_put(struct stoq_store *store, const struct stoq_package_id *id,
                                   const struct stoq_peer_id *peer, struct stoq_span items,
                                   struct stoq_error *err)
{
    uint8_t key[KEY_BYTES];
    key_of(key, id, peer);
    return stoq_store_put(store, STOQ_RECORD_RECEIPT, stoq_span(key, sizeof key),
                          STOQ_STORE_OVERWRITE, items, NULL, err);
}

struct listing {
    struct stoq_store *store;
    const struct stoq_package_id *id;
    void (*each)(void *user, const struct stoq_holding *h);
    void *user;
    struct stoq_buf items;
};

static bool list_one(void *user, struct stoq_span key, struct stoq_stored info)
{
    struct listing *l = user;
    struct stoq_peer_id peer;
    struct stoq_holding h;
    struct stoq_error err;
    if (key.n != KEY_BYTES) {
        return true;
    }
    memcpy(peer.h.b, key.p + KEY_BYTES / 2, sizeof peer.h.b);
    if (stoq_store_read(l->store, STOQ_RECORD_RECEIPT, key, 0, &l->items, &err) != STOQ_OK) {
        stoq_buf_clear(&l->items); /* told as a damaged record */
    }
    stoq_receipts_read(stoq_buf_span(&l->items), l->id, &peer, &h);
    l->each(l->user, &h);
    return true;
}

enum stoq_status stoq_receipts_each(struct stoq_store *store, const struct stoq_package_id *id,
                                    void (*each)(void *user, const struct stoq_holding *h),
                                    void *user, struct stoq_error *err)
{
    struct listing l = {.store = store, .id = id, .each = each, .user = user};
    stoq_buf_init(&l.items, STOQ_RECEIPTS_BYTES_MAX);
    enum stoq_status st = stoq_store_each_under(
        store, STOQ_RECORD_RECEIPT, stoq_span(id->h.b, sizeof id->h.b), list_one, &l, err);
    stoq_buf_release(&l.items);
    return st;
}
