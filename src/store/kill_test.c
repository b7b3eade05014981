/*
 * kill -9 at random moments. A child writes and says on a pipe what a sync has acknowledged; it is
 * killed; the next child must find all of that, verified, and whatever else it finds must be whole.
 */
#include "store/store_testing.h"

#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define N 50000
#define ROUNDS 25 /* STOQ_KILL_ROUNDS in the environment: as many instead */
#define PER_SYNC 8

/* Chunks 0 .. are written in order; *acked tells how many are durable. Never returns. */
static void write_until_killed(struct stoq_scratch *t, uint64_t from, int ack)
{
    struct stoq_store_config cfg = stoq_scratch_config(t);
    cfg.segment_bytes = 2 * STOQ_MIB;
    if (stoq_store_open(&t->s, &cfg, &t->err) != STOQ_OK) {
        (void)fprintf(stderr, "# %s\n", t->err.text);
        _exit(1);
    }
    for (uint64_t i = from;; i++) {
        bool is_new;
        if (stoq_scratch_try_put(t, N, i, i % 3 == 0, &is_new) != STOQ_OK) {
            _exit(2);
        }
        if (i % PER_SYNC == PER_SYNC - 1) {
            uint64_t durable = i + 1;
            if (stoq_store_sync(t->s, NULL) != STOQ_OK ||
                write(ack, &durable, sizeof durable) != (ssize_t)sizeof durable) {
                _exit(3);
            }
        }
    }
}

/* Let a child write, kill it after a while; how many chunks are acknowledged then. */
static uint64_t write_and_kill(struct stoq_scratch *t, uint64_t acked, stoq_ns after)
{
    int ack[2];
    assert_int_equal(pipe(ack), 0);
    pid_t pid = fork();
    if (pid == 0) {
        (void)close(ack[0]);
        write_until_killed(t, acked, ack[1]);
    }
    (void)close(ack[1]);
    struct timespec ts = {0, (long)after};
    (void)nanosleep(&ts, NULL);
    (void)kill(pid, SIGKILL);
    uint64_t n;
    while (read(ack[0], &n, sizeof n) == (ssize_t)sizeof n) {
        acked = n;
    }
    (void)close(ack[0]);
    int how;
    assert_int_equal(waitpid(pid, &how, 0), pid);
    assert_true(WIFSIGNALED(how));
    return acked;
}

static void what_was_acknowledged_survives(void **state)
{
    struct stoq_scratch *t = *state;
    struct stoq_prng r = stoq_prng(7);
    uint64_t acked = 0;
    const char *wanted = getenv("STOQ_KILL_ROUNDS");
    int rounds = wanted == NULL ? ROUNDS : (int)strtol(wanted, NULL, 10);
    uint64_t most_ms = 60; /* until a kill; more while nothing is durable by then */
    for (int round = 0; round < rounds; round++) {
        acked = write_and_kill(t, acked, STOQ_MS * (1 + stoq_prng_below(&r, most_ms)));
        most_ms = acked == 0 && most_ms < 900 ? most_ms + 60 : most_ms;
        stoq_scratch_open(t);
        for (uint64_t i = 0; i < acked; i++) {
            assert_true(stoq_scratch_has(t, N, i, i % 3 == 0));
        }
        uint64_t from = acked > 100 ? acked - 100 : 0;
        for (uint64_t i = from; i < acked + 3 * PER_SYNC; i++) {
            enum stoq_status st = stoq_scratch_read(t, N, i, i % 3 == 0);
            assert_true(st == STOQ_OK || (i >= acked && st == STOQ_NOTFOUND));
        }
        stoq_scratch_close(t);
    }
    print_message("# %llu chunks survived %d kills\n", (unsigned long long)acked, rounds);
    assert_true(acked > 0);
    struct stoq_store_config cfg = stoq_scratch_config(t);
    struct stoq_store_rebuild_report report;
    assert_int_equal(stoq_store_rebuild(&cfg, &report, &t->err), STOQ_OK);
    assert_int_equal(report.quarantined, 0);
    assert_true(report.live >= acked);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STOQ_SCRATCH_TEST(what_was_acknowledged_survives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
