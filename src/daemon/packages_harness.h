#ifndef STOQ_DAEMON_PACKAGES_HARNESS_H
#define STOQ_DAEMON_PACKAGES_HARNESS_H
/*
 * What the tests of packages share: a scratch folder with a store in it, files of drawn bytes, a publish
 * and the ways to look at what came of it. A test program has one of each at a time; whatever is asserted
 * in here fails the test that called.
 */
#include "daemon/publish.h"
#include "daemon/verify.h"
#include "sign/sign.h"
#include "store/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

extern char scratch[64]; /* the folder */
extern int scratch_fd;   /* the same, open */
/* Of scratch/store; a test may change it between two openings. */
extern struct stoq_store_config store_cfg;
extern struct stoq_store *store; /* NULL: none is open */
extern struct stoq_error err;    /* of the last call that took it */

/* A scratch folder with an empty folder `in`; with_store: and an open store. The teardown takes all away. */
int scratch_setup(void **state);
int scratch_setup_with_store(void **state);
int scratch_teardown(void **state);
#define WITH_STORE(test)                                                                           \
    cmocka_unit_test_setup_teardown(test, scratch_setup_with_store, scratch_teardown)

/* The path of a name below the scratch folder; the last eight are kept. */
const char *at(const char *name);

/* Open store_cfg's store as `store`; close it. */
void open_store(void);
void close_store(void);
/* One more store, below the scratch folder; the caller closes it. */
struct stoq_store *open_store_at(const char *name);

/* n bytes that follow from the seed; the caller frees them. */
uint8_t *draw_bytes(size_t n, uint64_t seed);
/* The same bytes, behind those in b. */
void add_random(struct stoq_buf *b, size_t n, uint64_t seed);
/* A member of a tar archive with n such bytes: its header, they, zeros up to a block. */
void add_member(struct stoq_buf *b, size_t n, uint64_t seed);

/* Files and folders below the scratch folder. */
void make_dir(const char *name);
void put_bytes(const char *name, const void *p, size_t n, mode_t mode);
void put_file(const char *name, struct stoq_span bytes);
void put_random(const char *name, size_t n, uint64_t seed);
/* Bytes that compress. */
void put_words(const char *name, size_t n, uint64_t seed);
/* Something of everything below in/: names, kinds, sizes on both sides of what counts as small. */
void make_tree(void);
/* The same names, kinds and contents. */
void compare_trees(const char *one, const char *other);

/* An ask for that tree as hello 1.0. */
struct stoq_publish_ask ask_for(const char *path);
/* Must succeed. */
struct stoq_publish_report publish(const struct stoq_publish_ask *ask);
enum stoq_status extract_to(const struct stoq_package_id *id, const char *out);
/* Must end; what it found is in the report. */
struct stoq_verify_report verify(const struct stoq_package_id *id);
bool same_id(const struct stoq_package_id *a, const struct stoq_package_id *b);
/* The signing key that 32 of this byte are the seed of. */
struct stoq_key *test_key(uint8_t seed);
/* The store's counts after a sync, and how many records of a type it has. */
struct stoq_store_stats stats_now(void);
uint64_t records_of(enum stoq_record_type type);
/* How many packages a listing shows; each must be complete and dated. */
int packages_listed(void);

/* Sinks into the struct stoq_buf that user is. */
enum stoq_status keep_bytes(void *user, struct stoq_span bytes);
enum stoq_status keep_written(void *user, struct stoq_span bytes, struct stoq_error *why);
/* For .cancelled. */
bool stop_at_once(void *user);

#endif
