#ifndef STOQ_STORE_STORE_INTERNAL_H
#define STOQ_STORE_STORE_INTERNAL_H
/*
 * The store's inside: the log (blocks in memory on their way to segments, the pending records, the
 * sync thread) and what its files share. Locks: log.lock is never held across I/O or a call into
 * the index that writes; the index's and the caches' own locks nest inside it.
 */
#include "store/behind.h"
#include "store/codec.h"
#include "store/pending.h"
#include "store/segment.h"
#include "store/touch.h"
#include "store/use_table.h"

#include <pthread.h>

/* A block is what one pwrite takes. */
#define STOQ_BLOCK_BYTES ((size_t)(1 * STOQ_MIB))
/* Blocks live until they are synced, for a failed fdatasync can only be made good from memory. At
 * the cap puts wait; from the trigger on the sync thread works. */
#define STOQ_UNSYNCED_BYTES_MAX ((size_t)(12 * STOQ_MIB))
#define STOQ_UNSYNCED_BYTES_TRIGGER ((size_t)(6 * STOQ_MIB))
/* Pending records are committed to the index at a sync, and when they are many or long ago: this
 * bounds memory and what a recovery has to scan. */
#define STOQ_PENDING_MAX 32768
#define STOQ_PENDING_TRIGGER 16384
#define STOQ_COMMIT_BYTES_TRIGGER (512 * STOQ_MIB)
/* Entries of one index transaction: at worst each dirties a 4 KiB page, in memory until its end. */
#define STOQ_COMMIT_BATCH 4096

/* A segment that is being written. */
struct stoq_segment_file {
    uint32_t number;
    int fd;
    bool is_new;   /* its name is not durable yet */
    unsigned refs; /* blocks, and one while it is the active one */
};

enum stoq_block_state {
    STOQ_BLOCK_OPEN,   /* takes records */
    STOQ_BLOCK_SEALED, /* complete once fillers is 0, then whoever sees it writes it */
    STOQ_BLOCK_WRITING,
    STOQ_BLOCK_WRITTEN, /* in the page cache */
};

struct stoq_block {
    struct stoq_segment_file *file;
    uint64_t offset;
    size_t n;
    size_t cap;
    uint8_t *p;
    unsigned fillers; /* putters still copying */
    unsigned readers; /* copying out; the last one frees a retired block */
    bool retired;
    bool passing; /* all of its records are */
    enum stoq_block_state state;
    uint64_t last_sequence;
    struct stoq_block *next;
};

struct stoq_log {
    pthread_mutex_t lock;
    pthread_cond_t work;    /* for the sync thread */
    pthread_cond_t changed; /* for everybody else */

    struct stoq_segment_file *active; /* NULL: the next record begins a segment */
    uint64_t active_end;              /* offset of the next record in it */
    uint64_t used_bytes;              /* of all segments, what is not written yet included */
    uint32_t next_segment;
    uint64_t next_sequence;

    struct stoq_block *first; /* unsynced, oldest first; the last may be open */
    struct stoq_block *last;
    size_t retained_bytes;    /* capacities of these */
    size_t written_bytes;     /* of those WRITTEN */
    struct stoq_block *spare; /* for reuse: fresh memory costs a page fault per 4 KiB */
    size_t spare_count;

    struct stoq_pending_set pending;
    struct stoq_pending *volatile_from; /* oldest pending record whose block is set */
    uint64_t commit_count;
    uint64_t bytes_since_commit;
    uint64_t durable_sequence;   /* all up to it are on disk */
    uint64_t committed_sequence; /* and in the index */

    uint64_t wanted_sequence; /* somebody waits for this one to be committed */
    bool round_wanted;        /* a round is wanted whatever the sequences say */
    bool room_wanted;
    bool stopping;
    bool salvaging; /* appends wait */
    bool homeless;  /* the unsynced blocks' segment is given up */
    bool stuck;     /* the last round failed with `failure` */
    struct stoq_error failure;
    uint64_t rounds_begun;
    uint64_t rounds_failed; /* number of the last one that failed */
    uint64_t rounds_done;
};

struct stoq_store {
    char *dir;
    bool read_only;
    uint64_t segment_bytes;
    uint64_t map_bytes;
    void (*notice)(void *user, const char *text);
    void (*damaged)(void *user);
    void *notice_user;
    int dir_fd;
    int segments_fd;
    int lock_fd;
    uint8_t id[STOQ_STORE_ID_BYTES];
    struct stoq_index *index;
    struct stoq_segment_cache *cache;
    struct stoq_codec *codec;
    struct stoq_durable_fault fault;
    struct stoq_log log;
    struct stoq_behind behind; /* the sync thread's */
    struct stoq_touch touch;
    struct stoq_use_table uses;
    uint64_t quota_bytes; /* 0: none */
    uint64_t quota_reserve;
    bool (*make_room)(void *user, uint64_t bytes);
    void *make_room_user;
    _Atomic bool collecting;
    bool thread_running;
    pthread_t thread;
    struct stoq_store_stats stats;  /* the "since open" half; log.lock */
    struct stoq_suspects *suspects; /* of a handle for reading only; NULL: none; log.lock */
};

/* --- common.c --- */

/* Tell the operator. No lock held. */
void stoq_store_say(const struct stoq_store *s, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* "chunk", "manifest", ... for sentences. */
const char *stoq_record_type_str(uint8_t type);
/* STOQ_OK or STOQ_RANGE for what a caller may name. */
enum stoq_status stoq_store_check_key(uint8_t type, struct stoq_span key, struct stoq_error *err);

/* --- block.c: memory on its way to a segment. log.lock held by the caller throughout. --- */

/* Find room for a record of n bytes: segments may have limit bytes in all. May release the lock while
 * it waits
 * or writes. STOQ_OK; STOQ_FULL (QuotaReached: *over_quota), STOQ_IO, STOQ_NOMEM: nothing taken. */
enum stoq_status stoq_block_room(struct stoq_store *s, size_t n, uint64_t limit, bool *over_quota,
                                 struct stoq_error *err);
/* Take n bytes of the room just found. Does not release the lock, cannot fail. */
struct stoq_block *stoq_block_take(struct stoq_store *s, size_t n, uint64_t *offset);
/* A putter has filled its bytes; writes the block if it was the last of a sealed one. */
void stoq_block_filled(struct stoq_store *s, struct stoq_block *b);
/* No more records into the open block, if there is one. */
void stoq_block_seal(struct stoq_store *s);
/* Write a sealed block without fillers (lock released meanwhile). 0 or an errno; then it is sealed
 * still. */
int stoq_block_write(struct stoq_store *s, struct stoq_block *b);
/* The first block of the queue is durable: out of the queue, its memory kept or freed. */
void stoq_block_retire_first(struct stoq_store *s);
void stoq_block_unread(struct stoq_store *s, struct stoq_block *b);
/* Free blocks kept for reuse but for `keep`. */
void stoq_block_trim(struct stoq_store *s, size_t keep);
void stoq_segment_file_unref(struct stoq_segment_file *f);
/* Begin the next segment as the active one. The old active one is let go. 0 or an errno. */
int stoq_block_next_segment(struct stoq_store *s);
/* Remember why nothing can be written. Returns the status. */
enum stoq_status stoq_log_stick(struct stoq_store *s, int sys_errno, const char *what);

/* --- quota.c --- */

#define STOQ_SEGMENT_BYTES_MIN (64 * STOQ_KIB)
/* Before the store is opened: its quota (0: none), which bounds the size of segments too. */
void stoq_quota_init(struct stoq_store *s, uint64_t quota_bytes);
/* What the segments have. Nothing is on its way to them. */
STOQ_WARN_UNUSED enum stoq_status stoq_quota_count(struct stoq_store *s, struct stoq_error *err);
/* The most bytes that segments may have after a record of this type was added. */
uint64_t stoq_quota_limit(const struct stoq_store *s, uint8_t type);
/* Are there n bytes more below the limit? log.lock held. */
bool stoq_quota_has(const struct stoq_store *s, uint64_t n, uint64_t limit);
enum stoq_status stoq_quota_fail(const struct stoq_store *s, struct stoq_error *err);
/* n bytes of a collection's; false: they do not fit. No lock held, as below. */
bool stoq_quota_take(struct stoq_store *s, uint64_t n);
/* n bytes of segments are gone. */
void stoq_quota_give(struct stoq_store *s, uint64_t n);

/* --- roll.c --- */

/*
 * Have the log go on in a new segment, and the index's mark with it: what was written before lies in lower
 * segments, all of it indexed. `reserve` numbers below the new segment's are left free; *first is
 * the lowest of them. STOQ_OK; STOQ_FULL, STOQ_IO, STOQ_NOMEM: the log may have rolled, the mark has not.
 */
STOQ_WARN_UNUSED enum stoq_status stoq_log_roll(struct stoq_store *s, uint32_t reserve,
                                                uint32_t *first, struct stoq_error *err);

/* --- put.c --- */

/* Delete this very record, unless somebody counts on it; *gone tells. STOQ_OK; STOQ_FULL, STOQ_IO. */
STOQ_WARN_UNUSED enum stoq_status stoq_store_delete_untouched(struct stoq_store *s,
                                                              const struct stoq_entry *e,
                                                              bool *gone, struct stoq_error *err);

/* --- sync.c --- */

STOQ_WARN_UNUSED enum stoq_status stoq_sync_start(struct stoq_store *s, struct stoq_error *err);
void stoq_sync_stop(struct stoq_store *s);
/* Have a round begin now and wait for it. log.lock held; released meanwhile. */
enum stoq_status stoq_sync_round_now(struct stoq_store *s, struct stoq_error *err);

/* --- salvage.c --- */

/* After a failed fdatasync (or a failed try at this): everything unsynced anew into a new segment.
 * STOQ_OK: durable there. log.lock held; released meanwhile. */
enum stoq_status stoq_salvage(struct stoq_store *s);
/* All blocks up to and including last are durable: retire them, let their records know. */
void stoq_sync_retire_through(struct stoq_store *s, const struct stoq_block *last);

/* --- recover.c --- */

/* Index what lies behind the mark; cut a torn end; set up the log to append. */
STOQ_WARN_UNUSED enum stoq_status stoq_recover_tail(struct stoq_store *s, struct stoq_error *err);

/* --- rebuild.c --- */

/* Build the index anew and put it in place; s->index is closed before, open after. */
STOQ_WARN_UNUSED enum stoq_status stoq_recover_rebuild(struct stoq_store *s,
                                                       struct stoq_store_rebuild_report *report,
                                                       struct stoq_error *err);

/* --- read.c --- */

enum stoq_where {
    STOQ_WHERE_NOWHERE, /* none, deleted */
    STOQ_WHERE_MEMORY,  /* in a block, which is pinned until stoq_store_unfind */
    STOQ_WHERE_DISK,
};
struct stoq_found {
    enum stoq_where where;
    struct stoq_entry e; /* may be quarantined */
    struct stoq_block *block;
    const uint8_t *stored; /* in memory: the stored payload */
    uint64_t commit_count; /* of the log, when the pending records were looked through */
};
/* Find a record, pending ones first. STOQ_OK, STOQ_IO. */
STOQ_WARN_UNUSED enum stoq_status stoq_store_find(struct stoq_store *s, uint8_t type,
                                                  struct stoq_span key, struct stoq_found *out,
                                                  struct stoq_error *err);
void stoq_store_unfind(struct stoq_store *s, struct stoq_found *found);

/* The stored payload of a record into out, and its entry; damage is quarantined. A quarantined in-place
 * source is read all the same. Results as stoq_store_read_stored. */
STOQ_WARN_UNUSED enum stoq_status stoq_store_load(struct stoq_store *s, uint8_t type,
                                                  struct stoq_span key, struct stoq_stored *info,
                                                  struct stoq_buf *out, struct stoq_entry *where,
                                                  struct stoq_error *err);
/* Let the index say that a record is not to be promised to anybody. No lock held. */
void stoq_store_mark_quarantined(struct stoq_store *s, const struct stoq_entry *e);

/* --- suspects.c --- */

#define STOQ_SUSPECTS_MAX 64 /* more are found again by the next reader */
/* Keep what a handle for reading only found damaged. No lock held. */
void stoq_suspect_note(struct stoq_store *s, const struct stoq_entry *e);
/* Put them into quarantine through a handle of their own, if one is to be had; taken, NULL is fine. */
void stoq_suspects_mark(const struct stoq_store_config *cfg, struct stoq_suspects *suspects);

/* --- put.c --- */

/* Write the tombstone of id (a type and the key of what it deletes), unless that record is here. The
 * tombstone before it may be damaged. Results as stoq_store_delete. */
STOQ_WARN_UNUSED enum stoq_status stoq_store_entomb(struct stoq_store *s, struct stoq_span id,
                                                    struct stoq_error *err);

/* Write a record's payload anew at the log's end, unless it was written or deleted since e was read.
 * Results as stoq_store_put. */
STOQ_WARN_UNUSED enum stoq_status stoq_store_put_anew(struct stoq_store *s,
                                                      const struct stoq_entry *e,
                                                      struct stoq_stored info,
                                                      struct stoq_span stored,
                                                      struct stoq_error *err);

/* --- place.c --- */

/* The length of a chunk that is in place. STOQ_OK; anything else: it is not. */
STOQ_WARN_UNUSED enum stoq_status stoq_places_stat(struct stoq_store *s, struct stoq_span key,
                                                   struct stoq_stored *out);
/* Read a chunk from where it is and compare it with its hash. *here false: no record says where, err is
 * untouched. STOQ_OK: *info and out; STOQ_PROOF: other bytes are there now; STOQ_NOTFOUND: none can be
 * read (both code SourceChanged); STOQ_NOMEM, STOQ_FULL. */
STOQ_WARN_UNUSED enum stoq_status stoq_places_read(struct stoq_store *s, struct stoq_span key,
                                                   struct stoq_stored *info, struct stoq_buf *out,
                                                   bool *here, struct stoq_error *err);

#endif
