#ifndef STOQ_H
#define STOQ_H
/*
 * libstoq: publish, fetch, verify and serve packages from another program.
 *
 * A session is one home (key, store, configuration) held open by this process; only one process writes
 * to a home at a time, so use either a session or a daemon on it. A session's functions may be called
 * from any thread; publishing and fetching may run side by side. Text is UTF-8, sizes are bytes. Every
 * function returns enum stoq_result, whose values are the exit codes of the command line; on anything
 * but STOQ_RESULT_OK a struct stoq_failure (NULL is fine) holds the error's name and one sentence.
 */
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define STOQ_API __attribute__((visibility("default")))

/* Holds every id and contact below with its NUL. */
#define STOQ_ID_SIZE 72
#define STOQ_CONTACT_SIZE 160

enum stoq_result {
    STOQ_RESULT_OK = 0,
    STOQ_RESULT_FAILED = 1,
    STOQ_RESULT_USAGE = 2, /* an argument is wrong */
    STOQ_RESULT_NOT_FOUND = 3,
    STOQ_RESULT_INTEGRITY = 4,   /* bytes do not match their hash, proof or signature */
    STOQ_RESULT_NETWORK = 5,     /* unreachable, refused or timed out */
    STOQ_RESULT_CANCELLED = 130, /* an event callback asked for it */
};

struct stoq_failure {
    enum stoq_result result;
    char code[48];     /* "ContentNotFound", ...: docs/CLI.md lists them */
    char message[512]; /* one sentence */
};

/* How far an operation is. Borrowed for the call. */
struct stoq_event {
    const char *phase; /* "publish", "fetch", "extract", "verify" */
    uint64_t bytes;
    uint64_t bytes_total;      /* 0: not known yet */
    uint64_t bytes_from_peers; /* fetch */
    uint32_t sources;          /* fetch: connected now */
};

/* Zero it, then set what is wanted. All borrowed for the call but on_event and user, which are kept. */
struct stoq_session_options {
    const char *home; /* directory; NULL: STOQ_HOME, else the XDG directories */
    /* "[::]:4433", ...: serve others from these addresses; NULL: dial only */
    const char *const *listen;
    size_t listen_count;
    /* Called about ten times a second on the thread that runs an operation. Anything but 0 stops the
     * operation: it returns STOQ_RESULT_CANCELLED and keeps what is verified. */
    int (*on_event)(void *user, const struct stoq_event *event);
    void *user;
};

struct stoq_session;

/* The program's version, as `stoq --version` has it. */
STOQ_API const char *stoq_version(void);

/* Open a home, making what is missing, and begin to serve where listen asks for it. */
STOQ_API enum stoq_result stoq_session_open(struct stoq_session **out,
                                            const struct stoq_session_options *options,
                                            struct stoq_failure *failure);
/* Let replies under way finish (a few seconds at most), make everything durable, close. NULL is fine. */
STOQ_API void stoq_session_close(struct stoq_session *session);

/* How others reach this session: "peer1...@[ADDRESS]:PORT" of its first address into out, of
 * STOQ_CONTACT_SIZE bytes. STOQ_RESULT_NOT_FOUND when it does not listen. */
STOQ_API enum stoq_result stoq_session_contact(struct stoq_session *session, char *out);

struct stoq_published {
    char id[STOQ_ID_SIZE];
    uint64_t bytes; /* of the package stream */
    uint64_t chunks;
    uint64_t bytes_new; /* that the store did not have */
};
/* Publish a file or directory, signed with the home's key; durable on return. */
STOQ_API enum stoq_result stoq_session_publish(struct stoq_session *session, const char *path,
                                               const char *name, const char *version,
                                               struct stoq_published *out,
                                               struct stoq_failure *failure);

struct stoq_fetched {
    uint64_t bytes; /* of the package stream */
    uint64_t chunks;
    uint64_t bytes_from_peers;
    uint64_t bytes_had; /* that the store had before */
    double seconds;
    char signed_by[STOQ_ID_SIZE]; /* key id; "" when unsigned */
};
/*
 * Fetch a package, verified and durable on return.
 *
 * id       "stoq1..."
 * sources  source_count contacts "peer1...@ADDRESS:PORT"; none: the configuration's static peers
 * output   directory to write the tree to, which must not exist; NULL: fill the store only
 */
STOQ_API enum stoq_result stoq_session_fetch(struct stoq_session *session, const char *id,
                                             const char *const *sources, size_t source_count,
                                             const char *output, struct stoq_fetched *out,
                                             struct stoq_failure *failure);

struct stoq_verified {
    int merkle_valid;
    int signature_valid; /* an unsigned package is not valid here */
    int consensus_valid;
    int overall_valid;
};
/* Read a package again, all of it. STOQ_RESULT_INTEGRITY when overall_valid is 0; out is filled then
 * too. */
STOQ_API enum stoq_result stoq_session_verify(struct stoq_session *session, const char *id,
                                              struct stoq_verified *out,
                                              struct stoq_failure *failure);

#ifdef __cplusplus
}
#endif

#endif
