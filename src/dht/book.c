#include "dht/book.h"

#include "hash/hash.h"

#include <stdlib.h>
#include <string.h>

struct page {
    struct stoq_dht_about about;
    uint32_t holds; /* 0: free */
    uint32_t next;  /* among the free ones */
};

struct stoq_dht_book {
    struct page *pages; /* page 0 is nobody's */
    uint32_t capacity;
    uint32_t used; /* numbers given out so far, 0 among them */
    uint32_t count;
    uint32_t max;
    uint32_t free_first;
    struct stoq_map by_id; /* node id -> number, as a pointer */
    void (*drop)(void *user, void *data);
    void *user;
};

enum stoq_status stoq_dht_book_new(struct stoq_dht_book **out, uint32_t max, uint64_t seed,
                                   void (*drop)(void *user, void *data), void *user)
{
    struct stoq_dht_book *book = calloc(1, sizeof *book);
    if (book == NULL) {
        return STOQ_NOMEM;
    }
    *book = (struct stoq_dht_book){.used = 1, .max = max, .drop = drop, .user = user};
    stoq_map_init(&book->by_id, seed);
    *out = book;
    return STOQ_OK;
}

static void page_empty(struct stoq_dht_book *book, struct page *page)
{
    if (book->drop != NULL) {
        book->drop(book->user, page->about.data);
    }
    page->about.data = NULL;
}

void stoq_dht_book_free(struct stoq_dht_book *book)
{
    if (book == NULL) {
        return;
    }
    for (uint32_t i = 1; i < book->used; i++) {
        if (book->pages[i].holds > 0) {
            page_empty(book, &book->pages[i]);
        }
    }
    stoq_map_release(&book->by_id);
    free(book->pages);
    free(book);
}

/* 128 bits of a hash name it: whoever finds two ids that agree in them has done 2^64 work for nothing. */
static struct stoq_map_key key_of(const struct stoq_hash *id)
{
    return (struct stoq_map_key){stoq_le64(id->b), stoq_le64(id->b + 8)};
}

stoq_contact_no stoq_dht_book_find(const struct stoq_dht_book *book, const struct stoq_hash *id)
{
    return (stoq_contact_no)(uintptr_t)stoq_map_get(&book->by_id, key_of(id));
}

static enum stoq_status grow(struct stoq_dht_book *book)
{
    uint32_t capacity = book->capacity == 0 ? 64 : book->capacity * 2;
    struct page *pages = realloc(book->pages, capacity * sizeof *pages);
    if (pages == NULL) {
        return STOQ_NOMEM;
    }
    memset(pages + book->capacity, 0, (capacity - book->capacity) * sizeof *pages);
    book->pages = pages;
    book->capacity = capacity;
    return STOQ_OK;
}

enum stoq_status stoq_dht_book_add(struct stoq_dht_book *book, const struct stoq_dht_about *about,
                                   stoq_contact_no *out)
{
    if (stoq_dht_book_find(book, &about->id) != 0) {
        return STOQ_EXISTS;
    }
    if (book->count >= book->max) {
        return STOQ_FULL;
    }
    uint32_t no = book->free_first;
    if (no == 0) {
        if (book->used >= book->capacity && grow(book) != STOQ_OK) {
            return STOQ_NOMEM;
        }
        no = book->used;
    }
    if (stoq_map_put(&book->by_id, key_of(&about->id), (void *)(uintptr_t)no) != STOQ_OK) {
        return STOQ_NOMEM;
    }
    if (no == book->free_first) {
        book->free_first = book->pages[no].next;
    } else {
        book->used++;
    }
    book->pages[no] = (struct page){.about = *about, .holds = 1};
    book->count++;
    *out = no;
    return STOQ_OK;
}

static struct page *page_of(const struct stoq_dht_book *book, stoq_contact_no contact)
{
    STOQ_ASSERT(contact > 0 && contact < book->used && book->pages[contact].holds > 0);
    return &book->pages[contact];
}

const struct stoq_dht_about *stoq_dht_book_get(const struct stoq_dht_book *book,
                                               stoq_contact_no contact)
{
    return &page_of(book, contact)->about;
}

void stoq_dht_book_regroup(struct stoq_dht_book *book, stoq_contact_no contact, uint64_t group)
{
    page_of(book, contact)->about.group = group;
}

void stoq_dht_book_hold(struct stoq_dht_book *book, stoq_contact_no contact)
{
    page_of(book, contact)->holds++;
}

void stoq_dht_book_drop(struct stoq_dht_book *book, stoq_contact_no contact)
{
    if (contact == 0) {
        return;
    }
    struct page *page = page_of(book, contact);
    if (--page->holds > 0) {
        return;
    }
    (void)stoq_map_remove(&book->by_id, key_of(&page->about.id));
    page_empty(book, page);
    page->next = book->free_first;
    book->free_first = contact;
    book->count--;
}

uint32_t stoq_dht_book_count(const struct stoq_dht_book *book)
{
    return book->count;
}

struct stoq_dht_record *stoq_dht_record_new(struct stoq_span bytes)
{
    struct stoq_dht_record *record = calloc(1, sizeof *record + bytes.n);
    if (record == NULL || bytes.n > UINT32_MAX) {
        free(record);
        return NULL;
    }
    record->holds = 1;
    record->n = (uint32_t)bytes.n;
    if (bytes.n > 0) {
        memcpy(record->bytes, bytes.p, bytes.n);
    }
    record->digest = stoq_le64(stoq_hash_blake3(bytes).b);
    return record;
}

struct stoq_dht_record *stoq_dht_record_hold(struct stoq_dht_record *record)
{
    record->holds++;
    return record;
}

void stoq_dht_record_drop(struct stoq_dht_record *record)
{
    if (record != NULL && --record->holds == 0) {
        free(record);
    }
}

struct stoq_dht_renewal *stoq_dht_renewal_new(struct stoq_span bytes)
{
    struct stoq_dht_renewal *renewal = calloc(1, sizeof *renewal + bytes.n);
    if (renewal == NULL || bytes.n > UINT32_MAX) {
        free(renewal);
        return NULL;
    }
    renewal->holds = 1;
    renewal->n = (uint32_t)bytes.n;
    if (bytes.n > 0) {
        memcpy(renewal->bytes, bytes.p, bytes.n);
    }
    return renewal;
}

struct stoq_dht_renewal *stoq_dht_renewal_hold(struct stoq_dht_renewal *renewal)
{
    renewal->holds++;
    return renewal;
}

void stoq_dht_renewal_drop(struct stoq_dht_renewal *renewal)
{
    if (renewal != NULL && --renewal->holds == 0) {
        free(renewal);
    }
}

struct stoq_dht_patch *stoq_dht_patch_new(void)
{
    struct stoq_dht_patch *patch = calloc(1, sizeof *patch);
    if (patch != NULL) {
        patch->holds = 1;
    }
    return patch;
}

void stoq_dht_patch_add(struct stoq_dht_patch *patch, uint64_t before,
                        struct stoq_dht_record *record)
{
    STOQ_ASSERT(patch->count < STOQ_DHT_PATCH_MAX);
    patch->before[patch->count] = before;
    patch->records[patch->count++] = stoq_dht_record_hold(record);
}

struct stoq_dht_patch *stoq_dht_patch_hold(struct stoq_dht_patch *patch)
{
    patch->holds++;
    return patch;
}

void stoq_dht_patch_drop(struct stoq_dht_patch *patch)
{
    if (patch == NULL || --patch->holds > 0) {
        return;
    }
    for (uint32_t i = 0; i < patch->count; i++) {
        stoq_dht_record_drop(patch->records[i]);
    }
    free(patch);
}
