/* Full disks and failing ones. */
#include "store/store_testing.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define N 100000

/* Fails a step from its `skip`-th time on, `times` times, with `error`. */
struct fault {
    enum stoq_durable_step step;
    int skip;
    int times;
    int error;
    int met;
};

static int fail_step(void *user, enum stoq_durable_step step)
{
    struct fault *f = user;
    int nth = __atomic_fetch_add(&f->met, step == f->step ? 1 : 0, __ATOMIC_SEQ_CST);
    return step == f->step && nth >= f->skip && nth < f->skip + f->times ? f->error : 0;
}

static void set_fault(struct stoq_scratch *t, struct fault *f)
{
    (void)pthread_mutex_lock(&t->s->log.lock);
    t->s->fault = (struct stoq_durable_fault){f == NULL ? NULL : fail_step, f};
    (void)pthread_mutex_unlock(&t->s->log.lock);
}

static void put_range(struct stoq_scratch *t, uint64_t from, uint64_t to)
{
    for (uint64_t i = from; i < to; i++) {
        assert_true(stoq_scratch_put(t, N, i, false));
    }
}

static void expect_range(struct stoq_scratch *t, uint64_t from, uint64_t to)
{
    for (uint64_t i = from; i < to; i++) {
        assert_true(stoq_scratch_has(t, N, i, false));
        assert_int_equal(stoq_scratch_read(t, N, i, false), STOQ_OK);
    }
}

/* Put until it fails; the number accepted. */
static uint64_t put_until_full(struct stoq_scratch *t, uint64_t from, enum stoq_status want)
{
    for (uint64_t i = from;; i++) {
        bool is_new;
        enum stoq_status st = stoq_scratch_try_put(t, N, i, false, &is_new);
        if (st != STOQ_OK) {
            assert_int_equal(st, want);
            assert_false(is_new);
            assert_false(stoq_scratch_has(t, N, i, false));
            return i;
        }
        assert_true(i < from + 2000);
    }
}

static void check_full_and_back(struct stoq_scratch *t, uint64_t accepted)
{
    expect_range(t, 0, accepted); /* all that was accepted is still served */
    assert_int_equal(stoq_store_sync(t->s, &t->err), STOQ_FULL);
    assert_true(strlen(t->err.text) > 0);
    assert_int_equal(stoq_store_sync(t->s, NULL), STOQ_FULL);
    bool is_new;
    assert_int_equal(stoq_scratch_try_put(t, N, 5000, false, &is_new), STOQ_FULL);
    assert_int_equal(stoq_scratch_try_put(t, N, 0, false, &is_new), STOQ_OK); /* here already */
    assert_false(is_new);
}

static void a_full_disk_refuses_and_serves(void **state)
{
    struct stoq_scratch *t = *state;
    struct fault f = {STOQ_DURABLE_SEGMENT_WRITE, 8, 1 << 30, ENOSPC, 0};
    stoq_scratch_open(t);
    put_range(t, 0, 20);
    assert_int_equal(stoq_store_sync(t->s, NULL), STOQ_OK);
    set_fault(t, &f);
    uint64_t accepted = put_until_full(t, 20, STOQ_FULL);
    check_full_and_back(t, accepted);
    set_fault(t, NULL);
    put_range(t, accepted, accepted + 50); /* room again: a put finds out by itself */
    assert_int_equal(stoq_store_sync(t->s, NULL), STOQ_OK);
    stoq_scratch_close(t);
    stoq_scratch_open(t);
    assert_string_equal(t->notice, "");
    expect_range(t, 0, accepted + 50);
}

static void a_file_size_limit_is_a_full_disk(void **state)
{
    struct stoq_scratch *t = *state;
    stoq_scratch_open(t);
    put_range(t, 0, 20);
    assert_int_equal(stoq_store_sync(t->s, NULL), STOQ_OK);
    struct rlimit old;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    struct rlimit low = {5 * STOQ_MIB, old.rlim_max};
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    struct sigaction handler;
    assert_int_equal(sigaction(SIGXFSZ, &ignore, &handler), 0);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
    uint64_t accepted = put_until_full(t, 20, STOQ_FULL);
    check_full_and_back(t, accepted);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_int_equal(stoq_store_sync(t->s, NULL), STOQ_OK);
    assert_int_equal(sigaction(SIGXFSZ, &handler, NULL), 0);
    stoq_scratch_close(t);
    stoq_scratch_open(t);
    expect_range(t, 0, accepted);
}

/* In a child, on a tmpfs of 12 MiB in its own mount namespace; 77: may not mount. */
static int on_small_disk(struct stoq_scratch *t)
{
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("tmpfs", t->dir, "tmpfs", 0, "size=12m") != 0) {
        return 77;
    }
    stoq_scratch_open(t);
    uint64_t accepted = put_until_full(t, 0, STOQ_FULL);
    assert_int_equal(stoq_store_sync(t->s, &t->err), STOQ_FULL);
    expect_range(t, 0, accepted);
    (void)stoq_store_close(t->s, NULL);
    stoq_scratch_open(t); /* what was never acknowledged may be gone, but nothing is false */
    for (uint64_t i = 0; i < accepted; i++) {
        enum stoq_status st = stoq_scratch_read(t, N, i, false);
        assert_true(st == STOQ_OK || st == STOQ_NOTFOUND);
        assert_int_equal(stoq_scratch_has(t, N, i, false), st == STOQ_OK);
    }
    (void)stoq_store_close(t->s, NULL);
    return 0;
}

static void a_small_disk_fills_up(void **state)
{
    pid_t pid = fork();
    if (pid == 0) {
        _exit(on_small_disk(*state));
    }
    int how;
    assert_int_equal(waitpid(pid, &how, 0), pid);
    if (WIFEXITED(how) && WEXITSTATUS(how) == 77) {
        print_message("# no tmpfs can be mounted here: not run\n");
        return; /* cmocka's skip() reads as a failure to TAP readers */
    }
    assert_int_equal(how, 0);
}

static uint32_t segment_of(struct stoq_scratch *t, uint64_t seed)
{
    uint8_t *own;
    struct stoq_hash h;
    (void)stoq_scratch_chunk(N, seed, false, &own, &h);
    free(own);
    struct stoq_entry e;
    assert_int_equal(stoq_index_get(t->s->index, STOQ_RECORD_CHUNK, stoq_span(h.b, 32), &e, NULL),
                     STOQ_OK);
    return e.segment;
}

static void a_failed_fdatasync_is_made_good(void **state)
{
    struct stoq_scratch *t = *state;
    struct fault f = {STOQ_DURABLE_SEGMENT_FDATASYNC, 0, 1, EIO, 0};
    stoq_scratch_open(t);
    put_range(t, 0, 20);
    assert_int_equal(stoq_store_sync(t->s, NULL), STOQ_OK);
    put_range(t, 20, 40);
    set_fault(t, &f);
    assert_int_equal(stoq_store_sync(t->s, NULL), STOQ_OK);
    assert_non_null(strstr(t->notice, "written anew"));
    put_range(t, 40, 60);
    assert_int_equal(stoq_store_sync(t->s, NULL), STOQ_OK);
    assert_int_equal(segment_of(t, 19), 1);
    assert_int_equal(segment_of(t, 20), 2); /* never the same segment again */
    assert_int_equal(segment_of(t, 59), 2);
    struct stoq_store_stats stats;
    assert_int_equal(stoq_store_stats(t->s, &stats, NULL), STOQ_OK);
    assert_int_equal(stats.fsync_failures, 1);
    assert_int_equal(stats.type[STOQ_RECORD_CHUNK].records, 60);
    expect_range(t, 0, 60);
    stoq_scratch_close(t);
    struct stoq_store_config cfg = stoq_scratch_config(t);
    struct stoq_store_rebuild_report report;
    assert_int_equal(stoq_store_rebuild(&cfg, &report, NULL), STOQ_OK);
    assert_int_equal(report.live, 60);
    stoq_scratch_open(t);
    expect_range(t, 0, 60);
}

/* The first fdatasync fails, then `step` of each rewrite, until the fault is lifted. */
struct double_fault {
    enum stoq_durable_step step;
    bool first_done;
};

static int fail_doubly(void *user, enum stoq_durable_step step)
{
    struct double_fault *f = user;
    if (!f->first_done) {
        f->first_done = step == STOQ_DURABLE_SEGMENT_FDATASYNC;
        return f->first_done ? EIO : 0;
    }
    return step == f->step ? EIO : 0;
}

static void a_dying_disk_is_an_error_until_it_recovers(void **state)
{
    static const enum stoq_durable_step steps[] = {
        STOQ_DURABLE_SEGMENT_CREATE, STOQ_DURABLE_SEGMENT_WRITE, STOQ_DURABLE_SEGMENT_FDATASYNC,
        STOQ_DURABLE_SEGMENT_DIRSYNC, STOQ_DURABLE_REWRITE_READBACK};
    struct stoq_scratch *t = *state;
    stoq_scratch_open(t);
    uint64_t at = 0;
    for (size_t i = 0; i < STOQ_COUNT(steps); i++) {
        put_range(t, at, at + 15);
        struct double_fault f = {steps[i], false};
        (void)pthread_mutex_lock(&t->s->log.lock);
        t->s->fault = (struct stoq_durable_fault){fail_doubly, &f};
        (void)pthread_mutex_unlock(&t->s->log.lock);
        assert_int_equal(stoq_store_sync(t->s, &t->err), STOQ_IO);
        assert_int_equal(stoq_store_sync(t->s, NULL), STOQ_IO);
        bool is_new;
        assert_int_equal(stoq_scratch_try_put(t, N, 9999, false, &is_new), STOQ_IO);
        expect_range(t, 0, at + 15);
        set_fault(t, NULL);
        assert_int_equal(stoq_store_sync(t->s, NULL), STOQ_OK);
        at += 15;
    }
    stoq_scratch_close(t);
    stoq_scratch_open(t);
    assert_string_equal(t->notice, "");
    expect_range(t, 0, at);
}

static void a_failed_index_commit_is_tried_again(void **state)
{
    struct stoq_scratch *t = *state;
    struct fault f = {STOQ_DURABLE_INDEX_COMMIT, 0, 1, ENOSPC, 0};
    stoq_scratch_open(t);
    put_range(t, 0, 5);
    set_fault(t, &f);
    assert_int_equal(stoq_store_sync(t->s, &t->err), STOQ_FULL);
    expect_range(t, 0, 5);
    put_range(t, 5, 6);
    assert_int_equal(stoq_store_sync(t->s, &t->err), STOQ_OK);
    expect_range(t, 0, 6);
    set_fault(t, NULL);
}

/* Many records are applied in stretches of keys, the mark moves with the last of them: of a commit that broke
 * off in between nothing is lost, and nothing counted twice. */
static void a_commit_that_breaks_off_is_made_good(void **state)
{
    struct stoq_scratch *t = *state;
    struct fault f = {STOQ_DURABLE_INDEX_COMMIT, 1, 1 << 30, EIO, 0};
    const uint64_t n = STOQ_COMMIT_BATCH + 1000;
    struct stoq_store_stats stats;
    stoq_scratch_open(t);
    set_fault(t, &f);
    for (uint64_t i = 0; i < n; i++) {
        assert_true(stoq_scratch_put(t, 100, i, false));
    }
    assert_int_equal(stoq_store_sync(t->s, &t->err), STOQ_IO);
    assert_int_equal(f.met, 2);
    assert_int_equal(stoq_store_stats(t->s, &stats, &t->err), STOQ_OK);
    assert_int_equal(stats.type[STOQ_RECORD_CHUNK].records, STOQ_COMMIT_BATCH);
    for (uint64_t i = 0; i < n; i += 97) {
        assert_int_equal(stoq_scratch_read(t, 100, i, false), STOQ_OK);
    }
    assert_int_equal(stoq_store_close(t->s, &t->err), STOQ_IO);
    t->s = NULL;
    stoq_scratch_open(t);
    char want[64];
    (void)snprintf(want, sizeof want, "recovered %llu records", (unsigned long long)n);
    assert_non_null(strstr(t->notice, want));
    for (uint64_t i = 0; i < n; i++) {
        assert_int_equal(stoq_scratch_read(t, 100, i, false), STOQ_OK);
    }
    assert_int_equal(stoq_store_stats(t->s, &stats, &t->err), STOQ_OK);
    assert_int_equal(stats.type[STOQ_RECORD_CHUNK].records, n);
}

static void no_segment_no_put(void **state)
{
    struct stoq_scratch *t = *state;
    struct fault f = {STOQ_DURABLE_SEGMENT_CREATE, 0, 1, ENOSPC, 0};
    stoq_scratch_open(t);
    set_fault(t, &f);
    bool is_new;
    assert_int_equal(stoq_scratch_try_put(t, N, 0, false, &is_new), STOQ_FULL);
    assert_false(stoq_scratch_has(t, N, 0, false));
    put_range(t, 0, 1);
    set_fault(t, NULL);
}

static void a_closing_store_reports_its_loss(void **state)
{
    struct stoq_scratch *t = *state;
    struct fault f = {STOQ_DURABLE_SEGMENT_WRITE, 0, 1 << 30, ENOSPC, 0};
    stoq_scratch_open(t);
    set_fault(t, &f);
    put_range(t, 0, 3);
    assert_int_equal(stoq_store_close(t->s, &t->err), STOQ_FULL);
    t->s = NULL;
    stoq_scratch_open(t);
    for (uint64_t i = 0; i < 3; i++) {
        enum stoq_status st = stoq_scratch_read(t, N, i, false);
        assert_true(st == STOQ_OK || st == STOQ_NOTFOUND); /* half of a block was written */
    }
}

/* A disk that said "written" and kept something else. */
static void a_rewrite_is_read_back(void **state)
{
    struct stoq_scratch *t = *state;
    char path[256];
    (void)snprintf(path, sizeof path, "%s/bytes", t->dir);
    uint8_t *p = malloc(20000);
    assert_non_null(p);
    struct stoq_span s = stoq_scratch_bytes(p, 20000, 1, false);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, s.p, s.n, 8), 20000);
    assert_int_equal(fsync(fd), 0);
    const struct stoq_durable_fault none = {0};
    assert_int_equal(stoq_durable_readback(&none, path, s, 8), 0);
    p[13000] ^= 1;
    assert_int_equal(stoq_durable_readback(&none, path, s, 8), EIO);
    p[13000] ^= 1;
    assert_int_equal(ftruncate(fd, 20000), 0);
    assert_int_equal(stoq_durable_readback(&none, path, s, 8), EIO);
    (void)close(fd);
    free(p);
}

struct slow_disk {
    int flushes;
    int commits;
};

static int be_slow(void *user, enum stoq_durable_step step)
{
    struct slow_disk *d = user;
    struct timespec nap = {.tv_nsec = (long)(2 * STOQ_MS)};
    if (step == STOQ_DURABLE_SEGMENT_FDATASYNC) {
        __atomic_fetch_add(&d->flushes, 1, __ATOMIC_SEQ_CST);
        (void)nanosleep(&nap, NULL);
    } else if (step == STOQ_DURABLE_INDEX_COMMIT) {
        __atomic_fetch_add(&d->commits, 1, __ATOMIC_SEQ_CST);
    }
    return 0;
}

/* Puts that wait for the disk want their blocks written, not the index: it would be written anew for every
 * few megabytes, a page for each record. */
static void waiting_for_room_commits_nothing(void **state)
{
    struct stoq_scratch *t = *state;
    struct slow_disk d = {0};
    stoq_scratch_open(t);
    (void)pthread_mutex_lock(&t->s->log.lock);
    t->s->fault = (struct stoq_durable_fault){be_slow, &d};
    (void)pthread_mutex_unlock(&t->s->log.lock);
    put_range(t, 0, 64 * STOQ_MIB / N);
    assert_true(__atomic_load_n(&d.flushes, __ATOMIC_SEQ_CST) >= 4);
    assert_int_equal(__atomic_load_n(&d.commits, __ATOMIC_SEQ_CST), 0);
    assert_int_equal(stoq_store_sync(t->s, &t->err), STOQ_OK);
    assert_true(d.commits >= 1);
    set_fault(t, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STOQ_SCRATCH_TEST(a_full_disk_refuses_and_serves),
        STOQ_SCRATCH_TEST(a_file_size_limit_is_a_full_disk),
        STOQ_SCRATCH_TEST(a_small_disk_fills_up),
        STOQ_SCRATCH_TEST(a_failed_fdatasync_is_made_good),
        STOQ_SCRATCH_TEST(a_dying_disk_is_an_error_until_it_recovers),
        STOQ_SCRATCH_TEST(a_rewrite_is_read_back),
        STOQ_SCRATCH_TEST(a_failed_index_commit_is_tried_again),
        STOQ_SCRATCH_TEST(a_commit_that_breaks_off_is_made_good),
        STOQ_SCRATCH_TEST(no_segment_no_put),
        STOQ_SCRATCH_TEST(waiting_for_room_commits_nothing),
        STOQ_SCRATCH_TEST(a_closing_store_reports_its_loss),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
