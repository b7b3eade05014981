#ifndef STOQ_DAEMON_OPS_INTERNAL_H
#define STOQ_DAEMON_OPS_INTERNAL_H
/* The operations, one function each, and what they share. */
#include "daemon/host.h"
#include "daemon/local.h"
#include "daemon/ops.h"
#include "daemon/source.h"
#include "hash/hash.h"
#include "os/feed.h"
#include "os/outfile.h"
#include "peers/peers.h"

#define OP_PATH_MAX ((size_t)4096)
#define OP_TIMEOUT_S_MAX ((uint64_t)(30 * 24 * 3600))
#define OP_WAIT_NS (10 * STOQ_SEC) /* for a removal, or for it to end */

stoq_op_fn op_publish;
stoq_op_fn op_get;
stoq_op_fn op_ls;
stoq_op_fn op_info;
stoq_op_fn op_manifest;
stoq_op_fn op_cat;
stoq_op_fn op_verify;
stoq_op_fn op_rm;
stoq_op_fn op_gc;
stoq_op_fn op_pin;
stoq_op_fn op_unpin;
stoq_op_fn op_pins;
stoq_op_fn op_root_set;
stoq_op_fn op_root_rm;
stoq_op_fn op_roots;
stoq_op_fn op_lease;
stoq_op_fn op_lease_end;
stoq_op_fn op_leases;
stoq_op_fn op_alias;
stoq_op_fn op_find;
stoq_op_fn op_get_file;
stoq_op_fn op_store_put;
stoq_op_fn op_store_get;
stoq_op_fn op_store_verify;
stoq_op_fn op_store_rm;
stoq_op_fn op_store_ls;
stoq_op_fn op_store_stats;
stoq_op_fn op_fsck;
stoq_op_fn op_scrub;
stoq_op_fn op_export;
stoq_op_fn op_import;
stoq_op_fn op_bundle;
stoq_op_fn op_have;
stoq_op_fn op_ping;
stoq_op_fn op_join;
stoq_op_fn op_announce;
stoq_op_fn op_providers;
stoq_op_fn op_dht;
stoq_op_fn op_dht_table;
stoq_op_fn op_dht_lookup;
stoq_op_fn op_prove;
stoq_op_fn op_limit;
stoq_op_fn op_peers;
stoq_op_fn op_topology;
stoq_op_fn op_peers_select;
stoq_op_fn op_transfers;
stoq_op_fn op_why;
stoq_op_fn op_peers_why;
stoq_op_fn op_distribute;
stoq_op_fn op_track;
stoq_op_fn op_status;
stoq_op_fn op_doctor;
stoq_op_fn op_stop;

/* The "id" argument. */
STOQ_WARN_UNUSED enum stoq_status op_id(const json_t *args, struct stoq_package_id *out,
                                        struct stoq_error *err);

/* The same, or a name of a release, which is looked up among these sources and wherever else names are; *name
 * has the pointer then, else its n is 0. */
struct stoq_pointer_kept;
STOQ_WARN_UNUSED enum stoq_status op_id_or_name(struct stoq_host *host, const json_t *args,
                                                const struct stoq_fetch_source *sources,
                                                size_t source_count, struct stoq_op_io *io,
                                                struct stoq_package_id *out,
                                                struct stoq_pointer_kept *name,
                                                struct stoq_error *err);

/* The "from" argument, else the configuration's static peers, there may be none, and *lan: neighbours as
 * well. */
STOQ_WARN_UNUSED enum stoq_status op_sources(struct stoq_host *host, const json_t *args,
                                             struct stoq_fetch_source out[STOQ_FETCH_SOURCES_MAX],
                                             size_t *count, bool *lan, struct stoq_error *err);
/* Tell how far a fetch is. */
void op_fetch_progress(struct stoq_op_io *io, const struct stoq_fetch_progress *p);

/* The "aliases" argument: algorithms that files can be known by, each once, STOQ_HASH_MANY_MAX at most.
 * STOQ_OK, also without any; STOQ_RANGE. */
STOQ_WARN_UNUSED enum stoq_status op_alias_algs(const json_t *args, enum stoq_hash_alg *out,
                                                size_t *count, struct stoq_error *err);

/* Seconds with microseconds. */
json_t *op_seconds(uint64_t ns);
/* A key id, or null when it is absent. */
json_t *op_key_id(bool present, const struct stoq_key_id *id);

struct stoq_holes;
/* o["paths"]: the files that lack something, as far as they are named. */
void op_add_paths(json_t *o, const struct stoq_holes *h);

/* How far the scrubbing of the store is; NULL: no memory. */
json_t *op_scrub_status(struct stoq_host *host);
/* What is known of every peer, as an array of objects; *list is a new reference. */
STOQ_WARN_UNUSED enum stoq_status op_standing(struct stoq_host *host, json_t **list,
                                              struct stoq_error *err);

/* The arguments "kind" (else replication), "number" and "text" as a selection; text is borrowed from
 * args. */
STOQ_WARN_UNUSED enum stoq_status op_selection(const json_t *args, struct stoq_peers_selection *out,
                                               struct stoq_error *err);
/* Judge the peers known by it: the list of op_standing, to be let go whatever comes, and the verdicts on it
 * with the "rule". "name" of the arguments names it in messages. */
STOQ_WARN_UNUSED enum stoq_status op_select(struct stoq_host *host, const json_t *args,
                                            const struct stoq_peers_selection *sel, json_t **list,
                                            json_t **verdicts, struct stoq_error *err);

/* A placement's candidates that were asked, as an array of objects. */
json_t *op_replicas(const struct stoq_placement *p);

/* Nested calls to io that check for missing members. */
void op_progress(struct stoq_op_io *io, json_t *event); /* takes event; NULL is fine */
bool op_cancelled(void *io);                            /* a struct stoq_op_io */

/* Bytes that an operation takes: the file at "path", or what the command feeds at "input". */
struct op_input {
    struct stoq_op_io *io; /* set before open */
    struct stoq_buf path;
    int fd; /* of a file; -1: intake */
    struct stoq_intake intake;
    uint64_t bytes_total; /* 0: not known */
};

/* Do the arguments name a feed? */
bool op_input_is_fed(const json_t *args);
/* close must follow, whatever the outcome. STOQ_NOTFOUND, STOQ_IO, STOQ_RANGE: no regular file, or
 * neither of the arguments. */
STOQ_WARN_UNUSED enum stoq_status op_input_open(struct op_input *in, const json_t *args,
                                                struct stoq_error *err);
void op_input_close(struct op_input *in);
/* Up to n bytes; *got 0: the end. user is a struct op_input. STOQ_IO, STOQ_CANCELLED, STOQ_TRUNC: the
 * giver went away. */
STOQ_WARN_UNUSED enum stoq_status op_input_read(void *user, uint8_t *p, size_t n, size_t *got,
                                                struct stoq_error *err);

/* Where an operation's file goes: a new file that appears when it is whole, or the stream. */
struct op_output {
    struct stoq_op_io *io; /* set before open */
    struct stoq_buf path;
    struct stoq_outfile *file; /* NULL: the stream */
};

/* As the arguments "output" or "stream" say. close must follow, whatever the outcome. As
 * stoq_outfile_new; STOQ_RANGE: neither of them. */
STOQ_WARN_UNUSED enum stoq_status op_output_open(struct op_output *o, const json_t *args,
                                                 struct stoq_error *err);
void op_output_close(struct op_output *o);
/* user is a struct op_output. STOQ_FULL, STOQ_IO, and what the stream's reader makes of it. */
STOQ_WARN_UNUSED enum stoq_status op_output_write(void *user, struct stoq_span bytes,
                                                  struct stoq_error *err);
/* Make the file appear, and name it in the result. As stoq_outfile_commit. */
STOQ_WARN_UNUSED enum stoq_status op_output_end(struct op_output *o, json_t *result,
                                                struct stoq_error *err);

#endif
