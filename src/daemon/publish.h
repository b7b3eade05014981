#ifndef STOQ_DAEMON_PUBLISH_H
#define STOQ_DAEMON_PUBLISH_H
/*
 * Publish: a file or a directory becomes a package of the local store.
 */
#include "daemon/input.h"
#include "hash/many.h"
#include "package/manifest.h"
#include "package/private.h"
#include "sign/sign.h"
#include "store/store.h"

#include <pthread.h>

#define STOQ_PUBLISH_READ_BYTES_MAX ((size_t)16 << 20)
#define STOQ_PUBLISH_THREADS_MAX 64

/* How far a publish is. bytes_total is 0 while the directory is still being walked. */
struct stoq_publish_progress {
    uint64_t entries;     /* found so far, all of them once bytes_total is known */
    uint64_t bytes_total; /* of the package stream */
    uint64_t bytes_done;  /* read, cut and handed to the store */
};

/* Zero means the default in brackets. All borrowed for the call. */
struct stoq_publish_ask {
    const char *path; /* a directory or a regular file; a symbolic link here is followed */
    /* In the place of path: the bytes of the package's one file, called on the caller's thread. NULL:
     * path. The file is called entry, which is one component of a path [name], and is not executable.
     * Memory is flat: a list that would make it grow goes to a nameless file in scratch_dir. */
    const struct stoq_input *input;
    const char *entry;
    const char *scratch_dir;
    const char *name;
    const char *version;
    const char *description; /* NULL: none, as license */
    const char *license;
    const struct stoq_manifest_annotation *annotations;
    size_t annotation_count;
    const struct stoq_manifest_dependency *dependencies;
    size_t dependency_count;
    bool in_place;              /* refer to the files where they are instead of storing them */
    const struct stoq_key *key; /* signs the package; NULL: unsigned */
    /* The key signs that this name and version are this package, too (daemon/pointers.h); held meanwhile.
     * NULL: it does not. */
    pthread_mutex_t *pointers;
    bool is_newest; /* and the newest release of the name, though a later version was published */
    /* Make every file known by these digests too (daemon/alias.h): fit ones, each once. With
     * threads each algorithm has one more. */
    enum stoq_hash_alg aliases[STOQ_HASH_MANY_MAX];
    size_t alias_count;
    unsigned profile; /* a code of chunk/profile.h, 1 or 2 [STOQ_PROFILE_DEFAULT] */
    /* Cut by the numbers of this key: profile 1k or 2k instead of 1 or 2. NULL: no private package. */
    const struct stoq_private_key *private_key;
    size_t read_bytes; /* bytes asked of one read, 1 .. STOQ_PUBLISH_READ_BYTES_MAX [1 MiB] */
    unsigned threads;  /* that hash, compress and store [one per processor, at most 8] */
    bool is_strict;    /* refuse what would be warned of */
    /* sha3-256, sha256 or sha512 of the whole stream goes into the manifest (and so the id); with
     * threads made on one more [none] */
    enum stoq_hash_alg secondary;
    /* Both are called on the caller's thread, about ten times a second. NULL: none. */
    void (*progress)(void *user, const struct stoq_publish_progress *p);
    bool (*cancelled)(void *user); /* true: stop */
    /* One sentence: names that some file systems take for one (package/names.h). NULL: none. */
    void (*warning)(void *user, const char *text);
    void *user;
};

struct stoq_publish_report {
    struct stoq_package_id id;
    bool existed; /* this very package was here, complete, before */
    uint64_t entries;
    uint64_t files; /* regular ones */
    uint64_t table_bytes;
    uint64_t bytes; /* of the package stream: the table and all contents */
    uint64_t chunks;
    uint64_t shards;
    uint64_t chunks_new;          /* the store did not have */
    uint64_t bytes_new;           /* their bytes */
    uint64_t bytes_stored;        /* the same as they lie on disk, after compression */
    uint64_t bytes_in_place;      /* of the stream, that are referred to and not stored */
    struct stoq_digest secondary; /* STOQ_HASH_NONE: none was asked for */
    uint64_t aliases;             /* records that make files known by other digests */
    uint64_t warnings;            /* given, or that would have been */
    bool is_signed;
    struct stoq_key_id signer; /* when signed */
    bool is_named;             /* a release pointer says which package it is */
    bool is_newest;            /* and that it is the newest release of the name */
    uint64_t elapsed_ns;       /* until everything was durable */
};

/*
 * Walk the input, cut it, store it, and write its manifest. The id depends on the files, their names
 * and executable bits, on the profile and on what ask names, and on nothing else: not on threads, read
 * sizes, times, owners, umask, locale or the order a directory is read in; bytes from an input give the
 * id of a file of that name that holds them. Every input byte is read once. Memory is flat but for the
 * list of paths (some 150 bytes per entry).
 *
 * STOQ_OK         durable: a crash after this loses nothing of it
 * STOQ_RANGE      a name, version, profile, ... that the format does not allow, or an input that is
 *                 neither a directory nor a regular file, or an input to be kept in place; the sentence
 *                 says which and why
 * STOQ_NOTFOUND   no such input
 * STOQ_IO         something in it cannot be read or is a device, socket or pipe (the path is named),
 *                 or the store's disk failed
 * STOQ_MALFORMED  is_strict and there is something to warn of (NamesCollide); nothing was stored
 * STOQ_BUSY       a file changed while it was read; the path is named
 * STOQ_FULL       no room in the store
 * STOQ_CANCELLED, STOQ_NOMEM, and what the input's read returned
 * After a failure the store holds at most chunks that no package refers to.
 */
STOQ_WARN_UNUSED enum stoq_status stoq_publish(struct stoq_store *store,
                                               const struct stoq_publish_ask *ask,
                                               struct stoq_publish_report *report,
                                               struct stoq_error *err);

#endif
