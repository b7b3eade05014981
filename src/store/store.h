#ifndef STOQ_STORE_STORE_H
#define STOQ_STORE_STORE_H
/*
 * The content-addressed store: typed records in append-only segments, the log of truth, and an LMDB
 * index that is only a projection of it (docs/FORMATS.md section 9).
 *
 * Every call blocks and may be made from any thread; none belongs on a network thread. What was
 * put is readable at once and durable after the next stoq_store_sync that returns STOQ_OK, never
 * before. One process writes at a time (flock); read-only handles of other processes run beside it
 * and see what was synced. A process opens a given store once, and after it has forked into the background:
 * a writing store has a thread.
 *
 * Errors: err may be NULL everywhere. Common to all calls and not repeated below: STOQ_NOMEM,
 * STOQ_IO (the file system or the index failed), STOQ_RANGE (a key, type or length outside its
 * range).
 */
#include "base/bytes.h"

/* Record types (docs/FORMATS.md section 9). */
enum stoq_record_type {
    STOQ_RECORD_CHUNK = 1,      /* key: chunk hash */
    STOQ_RECORD_MANIFEST = 2,   /* key: package id */
    STOQ_RECORD_SHARD_LIST = 3, /* key: package root */
    STOQ_RECORD_CHUNK_LIST = 4, /* key: shard root */
    STOQ_RECORD_SIGNATURE = 5,  /* key: package id, then key id */
    STOQ_RECORD_RECEIPT = 6,    /* key: package id, then the holder's peer id */
    STOQ_RECORD_PIN = 7,
    STOQ_RECORD_ROOT = 8,
    STOQ_RECORD_LEASE = 9,
    STOQ_RECORD_TOMBSTONE = 10, /* written by stoq_store_delete alone */
    STOQ_RECORD_ALIAS = 11,
    STOQ_RECORD_IN_PLACE = 12, /* key: chunk hash; see store/place.h */
    STOQ_RECORD_POINTER = 13,
    STOQ_RECORD_TRUST = 14,
    STOQ_RECORD_PACKAGE = 15, /* key: package id */
    STOQ_RECORD_CONTENT = 16,
    STOQ_RECORD_TRANSFER = 17, /* key: package id; see daemon/unfinished.h */
};
#define STOQ_RECORD_TYPES 18 /* types are 1 .. STOQ_RECORD_TYPES - 1 */

/* Caps: a key's is the format's. A chunk's is FORMATS section 4. The others hold the shard list of
 * a package of a million shards, some 11 TiB. */
#define STOQ_RECORD_KEY_MAX 64
#define STOQ_CHUNK_BYTES_MAX ((uint32_t)262144)
#define STOQ_RECORD_BYTES_MAX ((uint32_t)(48 * STOQ_MIB))

/* A record's form on disk, and on the wire: the payload travels as it is stored. */
struct stoq_stored {
    uint32_t raw_len;    /* bytes of the payload once decompressed */
    uint32_t stored_len; /* bytes as stored; equal to raw_len unless compressed */
    uint8_t flags;       /* STOQ_STORED_ZSTD or 0 */
};
#define STOQ_STORED_ZSTD 1      /* the stored form is one zstd frame */
#define STOQ_STORE_LEVEL_AUTO 0 /* as codec.c finds best for its time */
#define STOQ_STORE_LEVEL_MAX                                                                       \
    19 /* of zstd; above it packs no better in chunks and takes more memory */

/* How to put and how to read; OR them. */
enum stoq_store_flags {
    STOQ_STORE_OVERWRITE = 1, /* put: write although the key is there; the newest record wins */
    STOQ_STORE_VERIFY = 2,    /* chunks: BLAKE3 of the raw bytes must equal the key */
    /* read: what the system remembers of the record's place is dropped first, so that the bytes come
     * from the disk, where its file system allows that; what is not synced is in memory all the same */
    STOQ_STORE_FROM_DISK = 4,
    /* put: nobody here is expected to read it soon. Once it is durable the system may forget it, and of what
     * was put so no more stays in its memory than passing_bytes */
    STOQ_STORE_PASSING = 8,
};

struct stoq_store_config {
    const char *dir;        /* the store's directory; borrowed for the call */
    bool create;            /* make it when it is not there */
    bool read_only;         /* no lock, no recovery, no puts; works beside a running writer */
    uint64_t segment_bytes; /* 0: 256 MiB; 64 KiB .. 2 GiB */
    uint64_t map_bytes;     /* address space of the index; 0: 64 GiB (no memory, no disk) */
    /* Of new records: STOQ_STORE_LEVEL_AUTO; -1: never compress; 1 .. STOQ_STORE_LEVEL_MAX. */
    int zstd_level;
    /* The most bytes that segment files may have together; 0: no limit. A sixteenth of it or 512 MiB,
     * whichever
     * is less, is kept free of new content, for deletions and for collections; segments are smaller. */
    uint64_t quota_bytes;
    uint64_t passing_bytes; /* see STOQ_STORE_PASSING; 0: a sixteenth of the machine's memory */
    /* New content of some bytes finds no room below the quota: make some, and say whether to try
     * again. Called
     * from the putter's thread without a lock; NULL: it is refused at once. */
    bool (*make_room)(void *user, uint64_t bytes);
    void *make_room_user;
    /* A sentence for the operator (recovered tail, index rebuilt, record quarantined); NULL:
     * dropped. Called from any of the store's threads, never while the store holds a lock. */
    void (*notice)(void *user, const char *text);
    /* A record was found damaged and is in quarantine now. NULL: dropped. As notice. */
    void (*damaged)(void *user);
    void *notice_user; /* of both */
};

#define STOQ_QUOTA_BYTES_MIN ((uint64_t)(8 * STOQ_MIB)) /* a smaller one would be all reserve */

struct stoq_store;

/*
 * Open, recover what a crash left, and take the writer's lock. A missing or damaged index is
 * rebuilt from the segments (a notice says so); records of an unindexed tail are kept when they
 * are whole (chunks: by their hash), a torn end is cut off the last segment.
 *
 * STOQ_OK        *out is the store; stoq_store_close ends it
 * STOQ_NOTFOUND  no store in dir and create is false
 * STOQ_BUSY      another process writes; the sentence names its pid
 * STOQ_VERSION   the store is of a newer format; nothing was touched
 * STOQ_MALFORMED dir holds something else, or read_only and the index is damaged
 * STOQ_FULL      no space to create or recover
 */
STOQ_WARN_UNUSED enum stoq_status stoq_store_open(struct stoq_store **out,
                                                  const struct stoq_store_config *cfg,
                                                  struct stoq_error *err);

/* Sync what is pending, end the threads, free. The status is the sync's: anything but STOQ_OK says
 * that what was put since the last good sync may be lost. NULL is fine. No other call may be
 * running. A handle for reading only that met damage opens the store for writing for a moment, where
 * nobody else writes, to put it into quarantine. */
enum stoq_status stoq_store_close(struct stoq_store *s, struct stoq_error *err);

/*
 * Is the record here and readable (pending ones are; quarantined ones are not)?
 * False on any failure too: a "have" is never claimed without cause.
 */
bool stoq_store_has(struct stoq_store *s, enum stoq_record_type type, struct stoq_span key);

/*
 * The same for key_count keys of 32 bytes each, joined in keys.
 *
 * out  (key_count + 7) / 8 bytes; bit i & 7 of out[i / 8] is set when key i is here
 *
 * STOQ_OK, or a failure, and then out is all zero
 */
STOQ_WARN_UNUSED enum stoq_status stoq_store_has_many(struct stoq_store *s,
                                                      enum stoq_record_type type,
                                                      struct stoq_span keys, size_t key_count,
                                                      uint8_t *out, struct stoq_error *err);

/*
 * The lengths of a record without its bytes. STOQ_OK; STOQ_NOTFOUND, also when quarantined.
 * Cost: one index lookup.
 */
STOQ_WARN_UNUSED enum stoq_status stoq_store_stat(struct stoq_store *s, enum stoq_record_type type,
                                                  struct stoq_span key, struct stoq_stored *out,
                                                  struct stoq_error *err);

/*
 * Read a record's payload, decompressed, its checksum checked.
 *
 * flags  STOQ_STORE_VERIFY, STOQ_STORE_FROM_DISK or 0
 * out    cleared, then filled; its max must allow raw_len
 *
 * STOQ_OK
 * STOQ_NOTFOUND  no such record (code ContentNotFound, ChunkNotFound for a chunk)
 * STOQ_PROOF     the record is damaged (code IntegrityCheckFailed): it is quarantined, so `has`
 *                denies it and a put writes it anew; the sentence tells where it lies
 */
STOQ_WARN_UNUSED enum stoq_status stoq_store_read(struct stoq_store *s, enum stoq_record_type type,
                                                  struct stoq_span key, unsigned flags,
                                                  struct stoq_buf *out, struct stoq_error *err);

/* Read the stored form, to be sent as it is: *info and out (cleared first). Results as above;
 * with STOQ_STORE_VERIFY a compressed chunk is decompressed once to be hashed. */
STOQ_WARN_UNUSED enum stoq_status stoq_store_read_stored(
    struct stoq_store *s, enum stoq_record_type type, struct stoq_span key, unsigned flags,
    struct stoq_stored *info, struct stoq_buf *out, struct stoq_error *err);

/*
 * Decompress a stored form that came from elsewhere. Needs no open store.
 *
 * info     as received: raw_len 0 .. raw_max, stored_len = stored.n
 * raw_max  the most the caller accepts, STOQ_CHUNK_BYTES_MAX for a chunk
 * out      cleared, then exactly info.raw_len bytes
 *
 * STOQ_OK
 * STOQ_MALFORMED  lengths or flags that cannot be, more than one frame, or a frame that unpacks to
 *                 anything but raw_len bytes; never more than raw_len bytes are written (no bombs)
 */
STOQ_WARN_UNUSED enum stoq_status stoq_store_decode(struct stoq_stored info,
                                                    struct stoq_span stored, uint32_t raw_max,
                                                    struct stoq_buf *out, struct stoq_error *err);

/*
 * Add a record. Compressed where a probe says it pays, before any lock is taken. A key that is here
 * already is not written again (*is_new false), unless STOQ_STORE_OVERWRITE.
 *
 * flags   STOQ_STORE_OVERWRITE, STOQ_STORE_VERIFY, STOQ_STORE_PASSING or 0
 * is_new  may be NULL
 *
 * STOQ_OK     accepted: readable now, durable after a sync
 * STOQ_FULL   no space, or (code QuotaReached) the quota is used up: nothing was added; reads go on, a later
 *             put tries again
 * STOQ_PROOF  STOQ_STORE_VERIFY and the bytes are not the key's: nothing was added
 * STOQ_RANGE  also for a read-only store
 * Blocks while 16 MiB wait for the disk.
 */
STOQ_WARN_UNUSED enum stoq_status stoq_store_put(struct stoq_store *s, enum stoq_record_type type,
                                                 struct stoq_span key, unsigned flags,
                                                 struct stoq_span payload, bool *is_new,
                                                 struct stoq_error *err);

/* Add a record in its stored form, as a peer sent it. The frame is decompressed only for
 * STOQ_STORE_VERIFY; without it the caller has done so (stoq_store_decode) and compared the hash.
 * Results as above, and STOQ_MALFORMED: lengths or flags that cannot be. */
STOQ_WARN_UNUSED enum stoq_status stoq_store_put_stored(
    struct stoq_store *s, enum stoq_record_type type, struct stoq_span key, unsigned flags,
    struct stoq_stored info, struct stoq_span stored, bool *is_new, struct stoq_error *err);

/* Delete: a tombstone, which survives a rebuild. STOQ_OK; STOQ_NOTFOUND; STOQ_FULL. Durable after
 * a sync. */
STOQ_WARN_UNUSED enum stoq_status stoq_store_delete(struct stoq_store *s,
                                                    enum stoq_record_type type,
                                                    struct stoq_span key, struct stoq_error *err);

/*
 * Make everything that was put or deleted before this call durable and indexed: pwrite, fdatasync
 * of the segments, fsync of the directory when one is new, index commit. Concurrent callers share
 * one. Puts go on meanwhile.
 *
 * STOQ_OK    all of it will be there after a crash
 * STOQ_FULL  no space; STOQ_IO: the disk failed. Not durable yet, still readable, kept in memory;
 *            the next sync or put tries again
 * A failed fdatasync is never repeated: the segment is sealed at its last good byte, what followed
 * is written anew from memory to the next segment and read back from the disk itself.
 */
STOQ_WARN_UNUSED enum stoq_status stoq_store_sync(struct stoq_store *s, struct stoq_error *err);

/*
 * Call each for every record of a type, in key order, until it returns false. What is pending is
 * synced first if it can be. Records that come or go meanwhile may or may not be seen; each may
 * call the store.
 */
STOQ_WARN_UNUSED enum stoq_status stoq_store_each(struct stoq_store *s, enum stoq_record_type type,
                                                  bool (*each)(void *user, struct stoq_span key,
                                                               struct stoq_stored info),
                                                  void *user, struct stoq_error *err);

/* The same for the keys that begin with prefix and are longer. Cost: those records alone. STOQ_RANGE:
 * no key is that long. */
STOQ_WARN_UNUSED enum stoq_status stoq_store_each_under(
    struct stoq_store *s, enum stoq_record_type type, struct stoq_span prefix,
    bool (*each)(void *user, struct stoq_span key, struct stoq_stored info), void *user,
    struct stoq_error *err);

/* Call each for the records of a type that are quarantined: known by key, not readable, in no listing above.
 * Results likewise. */
STOQ_WARN_UNUSED enum stoq_status stoq_store_each_lost(
    struct stoq_store *s, enum stoq_record_type type,
    bool (*each)(void *user, struct stoq_span key), void *user, struct stoq_error *err);
/* How many there are. */
STOQ_WARN_UNUSED enum stoq_status stoq_store_count_quarantined(struct stoq_store *s,
                                                               enum stoq_record_type type,
                                                               uint64_t *count,
                                                               struct stoq_error *err);

struct stoq_store_stats {
    /* What is indexed, by type. */
    struct stoq_store_type_stats {
        uint64_t records;
        uint64_t raw_bytes;
        uint64_t stored_bytes;
    } type[STOQ_RECORD_TYPES];
    uint64_t segment_count;
    uint64_t segment_bytes; /* bytes of the segment files, live or not */
    uint64_t index_bytes;
    /* Since open. */
    uint64_t dedup_hits;       /* puts of records that were here already */
    uint64_t dedup_bytes;      /* their raw bytes */
    uint64_t zstd_saved_bytes; /* raw minus stored of records added */
    uint64_t compressions;     /* calls of the compressor */
    uint64_t appended_bytes;   /* written to segments, headers included */
    uint64_t syncs;            /* fdatasync rounds */
    uint64_t fsync_failures;
    uint64_t quarantined;     /* damaged records met */
    uint64_t forgotten_bytes; /* of STOQ_STORE_PASSING, that the system was told to forget */
};

STOQ_WARN_UNUSED enum stoq_status stoq_store_stats(struct stoq_store *s,
                                                   struct stoq_store_stats *out,
                                                   struct stoq_error *err);

/* How full it is. */
struct stoq_store_room {
    uint64_t used_bytes;        /* of segments, what is not yet written included */
    uint64_t quota_bytes;       /* 0: none */
    uint64_t content_bytes_max; /* new content is refused beyond; UINT64_MAX: never */
};
void stoq_store_room(struct stoq_store *s, struct stoq_store_room *out);

struct stoq_store_rebuild_report {
    uint64_t segments;
    uint64_t records;     /* read and whole */
    uint64_t live;        /* in the index now */
    uint64_t quarantined; /* damaged, skipped */
    uint64_t torn_bytes;  /* cut off the last segment's end */
};

/*
 * Make the index anew from the segments alone, under the writer's lock. The store must not be open.
 * Nothing is lost that the segments hold, nothing deleted comes back.
 *
 * report  may be NULL. Results as stoq_store_open.
 */
STOQ_WARN_UNUSED enum stoq_status stoq_store_rebuild(const struct stoq_store_config *cfg,
                                                     struct stoq_store_rebuild_report *report,
                                                     struct stoq_error *err);

struct stoq_store_fsck_report {
    uint64_t segments;
    uint64_t records;  /* whole ones, live or not */
    uint64_t bytes;    /* read of segments */
    uint64_t damaged;  /* places in segments, live or not */
    uint64_t harmless; /* of these: nothing is promised there, compaction drops them */
    uint64_t live;     /* records that the index promises, each read */
    uint64_t lost;     /* of these: cannot be had; quarantined now */
    uint64_t problems; /* what is lost, damaged headers, damaged places that are not harmless */
};

/*
 * Read everything: each record of each segment by checksum, each chunk by its hash, each promise of
 * the index. Works beside puts and reads. each is called with a sentence for every problem, and for what
 * is harmless.
 *
 * STOQ_OK: it ran, report->problems says how it is; STOQ_IO, STOQ_NOMEM, STOQ_FULL: it could not
 */
STOQ_WARN_UNUSED enum stoq_status stoq_store_fsck(struct stoq_store *s,
                                                  void (*each)(void *user, const char *what),
                                                  void *user, struct stoq_store_fsck_report *report,
                                                  struct stoq_error *err);

#endif
