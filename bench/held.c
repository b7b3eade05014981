/*
 * How much of a new version somebody with the old one holds already, by profile and by the size T from
 * which a file or an archive's member is a run of its own. Each side is a file or a directory, cut
 * as `stoq publish` would cut it, file table included. One "name value unit" per line:
 *
 *     held OLD NEW
 *     held OLD NEW T MIN AVERAGE MAX LEVEL   profile 2 with other sizes
 *
 *     profile1_T16384_held 21.30 %           bytes of NEW in chunks that OLD has too
 *     profile1_T16384_chunks 171 chunks      of NEW
 */
#include "chunk/runs.h"
#include "daemon/tree_entry.h"
#include "hash/hash.h"
#include "os/tree_read.h"
#include "package/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A package stream in memory and the sizes of its parts, the table's first. */
struct stream {
    uint8_t *p;
    size_t n;
    uint64_t *part_bytes;
    size_t part_count;
};

struct chunks {
    struct stoq_hash *hash;
    uint32_t *bytes;
    size_t count;
    size_t cap;
};

static void check(enum stoq_status st, const struct stoq_error *err)
{
    if (st != STOQ_OK) {
        (void)fprintf(stderr, "held: %s\n", err->text);
        exit(1);
    }
}

static void *make(size_t n)
{
    void *p = calloc(1, n + 1);
    STOQ_ASSERT(p != NULL);
    return p;
}

static struct stoq_buf table_of(const struct stoq_tree *tree)
{
    struct stoq_table_writer w;
    struct stoq_buf table;
    stoq_buf_init(&table, SIZE_MAX);
    stoq_table_writer_init(&w);
    for (size_t i = 0; i < stoq_tree_count(tree); i++) {
        struct stoq_tree_entry e = stoq_tree_at(tree, i);
        const struct stoq_entry entry = stoq_tree_table_entry(&e);
        STOQ_ASSERT(stoq_table_writer_add(&w, &entry, &table) == STOQ_OK);
    }
    return table;
}

static void read_contents(struct stream *s, struct stoq_tree *tree)
{
    struct stoq_error err;
    for (size_t i = 0; i < stoq_tree_count(tree); i++) {
        struct stoq_tree_entry e = stoq_tree_at(tree, i);
        if (stoq_tree_is_file(&e)) {
            int fd;
            check(stoq_tree_open(tree, i, &fd, &err), &err);
            check(stoq_tree_read(tree, i, fd, s->p + s->n, (size_t)e.size, 0, &err), &err);
            check(stoq_tree_close(tree, i, fd, &err), &err);
            s->n += (size_t)e.size;
            s->part_bytes[s->part_count++] = e.size;
        }
    }
}

static struct stream read_stream(const char *path)
{
    struct stoq_tree *tree;
    struct stoq_error err;
    check(stoq_tree_list(&tree, path, NULL, NULL, &err), &err);
    struct stoq_buf table = table_of(tree);
    size_t n = table.n;
    for (size_t i = 0; i < stoq_tree_count(tree); i++) {
        n += (size_t)stoq_tree_at(tree, i).size;
    }
    struct stream s = {make(n), table.n, make((stoq_tree_count(tree) + 1) * sizeof *s.part_bytes),
                       1};
    memcpy(s.p, table.p, table.n);
    s.part_bytes[0] = table.n;
    read_contents(&s, tree);
    stoq_buf_release(&table);
    stoq_tree_free(tree);
    return s;
}

static void add_chunk(struct chunks *c, struct stoq_span bytes)
{
    if (c->count == c->cap) {
        c->cap = c->cap * 2 + 1024;
        c->hash = realloc(c->hash, c->cap * sizeof *c->hash);
        c->bytes = realloc(c->bytes, c->cap * sizeof *c->bytes);
        STOQ_ASSERT(c->hash != NULL && c->bytes != NULL);
    }
    c->hash[c->count] = stoq_hash_blake3(bytes);
    c->bytes[c->count++] = (uint32_t)bytes.n;
}

/* Cut the run that begins at *at. */
static void cut_run(const struct stream *s, const struct stoq_chunker *chunker, uint64_t run_bytes,
                    size_t *at, struct chunks *out)
{
    struct stoq_span run = stoq_span(s->p + *at, (size_t)run_bytes);
    while (run.n > 0) {
        size_t n = stoq_chunker_cut(chunker, run, true);
        add_chunk(out, stoq_span(run.p, n));
        run = stoq_span(run.p + n, run.n - n);
    }
    *at += (size_t)run_bytes;
}

static struct chunks cut(const struct stream *s, const struct stoq_chunk_profile *profile)
{
    struct chunks c = {NULL, NULL, 0, 0};
    struct stoq_chunker chunker;
    struct stoq_runs runs;
    size_t at = 0;
    size_t part_at = 0;
    uint64_t ended;
    STOQ_ASSERT(stoq_chunker_init(&chunker, &profile->params) == STOQ_OK);
    stoq_runs_init(&runs, profile);
    for (size_t i = 0; i < s->part_count; i++) {
        enum stoq_run_part part = i == 0 ? STOQ_RUN_TABLE : STOQ_RUN_FILE;
        STOQ_ASSERT(stoq_runs_add(&runs, part, s->part_bytes[i], &ended) == STOQ_OK);
        cut_run(s, &chunker, ended, &at, &c);
        struct stoq_span left = stoq_span(s->p + part_at, (size_t)s->part_bytes[i]);
        while (left.n > 0) {
            size_t n = stoq_runs_take(&runs, left, &ended);
            cut_run(s, &chunker, ended, &at, &c);
            left = stoq_span(left.p + n, left.n - n);
        }
        part_at += (size_t)s->part_bytes[i];
    }
    cut_run(s, &chunker, stoq_runs_finish(&runs), &at, &c);
    STOQ_ASSERT(at == s->n);
    return c;
}

static int compare(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct stoq_hash));
}

static void show(const struct stream *old, const struct stream *new,
                 const struct stoq_chunk_profile *profile)
{
    struct chunks a = cut(old, profile);
    struct chunks b = cut(new, profile);
    uint64_t held = 0;
    qsort(a.hash, a.count, sizeof *a.hash, compare);
    for (size_t i = 0; i < b.count; i++) {
        if (bsearch(&b.hash[i], a.hash, a.count, sizeof *a.hash, compare) != NULL) {
            held += b.bytes[i];
        }
    }
    (void)printf("profile%u_T%llu_held %.2f %%\n", profile->code,
                 (unsigned long long)profile->run_bytes_min, 100.0 * (double)held / (double)new->n);
    (void)printf("profile%u_T%llu_chunks %zu chunks\n", profile->code,
                 (unsigned long long)profile->run_bytes_min, b.count);
    free(a.hash);
    free(a.bytes);
    free(b.hash);
    free(b.bytes);
}

static uint32_t number(const char *text)
{
    char *end;
    unsigned long v = strtoul(text, &end, 10);
    if (*end != '\0' || v == 0 || v > UINT32_MAX) {
        (void)fprintf(stderr, "held: not a size: %s\n", text);
        exit(2);
    }
    return (uint32_t)v;
}

static uint32_t level(const char *text)
{
    return strcmp(text, "0") == 0 ? 0 : number(text);
}

/* Each profile with its own T and others. */
static void show_profiles(const struct stream *old, const struct stream *new)
{
    for (uint32_t code = STOQ_PROFILE_1; code <= STOQ_PROFILE_2; code++) {
        for (uint64_t t = 4096; t <= 32768; t *= 2) {
            struct stoq_chunk_profile profile = *stoq_chunk_profile(code);
            profile.run_bytes_min = t;
            show(old, new, &profile);
        }
    }
}

int main(int argc, char **argv)
{
    if (argc != 3 && argc != 8) {
        (void)fprintf(stderr, "usage: held OLD NEW [T MIN AVERAGE MAX LEVEL]\n");
        return 2;
    }
    struct stream old = read_stream(argv[1]);
    struct stream new = read_stream(argv[2]);
    if (argc == 3) {
        show_profiles(&old, &new);
    } else {
        const struct stoq_chunk_profile profile = {
            STOQ_PROFILE_2,
            {number(argv[4]), number(argv[5]), number(argv[6]), level(argv[7])},
            number(argv[3]),
            true,
            false};
        show(&old, &new, &profile);
    }
    free(old.p);
    free(old.part_bytes);
    free(new.p);
    free(new.part_bytes);
    return 0;
}
