/* The network thread's sign of life, as the watchdog asks for it. */
#include "daemon/engine_internal.h"
#include "os/tree_read.h"

#include <fcntl.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

struct busy {
    struct stoq_engine *engine;
    sem_t begun;
    sem_t may_end;
};

static void stay(struct stoq_engine *e, void *arg)
{
    struct busy *b = arg;
    (void)e;
    sem_post(&b->begun);
    while (sem_wait(&b->may_end) != 0) {
    }
}

static void *keep_busy(void *arg)
{
    struct busy *b = arg;
    engine_call(b->engine, stay, b);
    return NULL;
}

static void nothing(struct stoq_engine *e, void *arg)
{
    (void)e;
    (void)arg;
}

static void beat_stops_with_the_thread(void **state)
{
    static const uint8_t seed[STOQ_KEY_SEED_BYTES] = {4};
    char dir[] = "/tmp/stoq-beat-XXXXXX";
    struct stoq_engine_config cfg = {0};
    struct stoq_store *store;
    struct stoq_key *key;
    struct stoq_error err;
    struct busy b = {0};
    pthread_t thread;
    (void)state;
    assert_non_null(mkdtemp(dir));
    assert_int_equal(stoq_key_from_seed(&key, seed), STOQ_OK);
    struct stoq_store_config sc = {.dir = dir, .create = true};
    assert_int_equal(stoq_store_open(&store, &sc, &err), STOQ_OK);
    cfg.store = store;
    cfg.key = key;
    assert_int_equal(stoq_engine_start(&b.engine, &cfg, &err), STOQ_OK);

    for (int i = 0; i < 3; i++) {
        assert_true(stoq_engine_beat(b.engine));
        engine_call(b.engine, nothing, NULL); /* behind the beat: it is given when this is over */
    }
    sem_init(&b.begun, 0, 0);
    sem_init(&b.may_end, 0, 0);
    assert_int_equal(pthread_create(&thread, NULL, keep_busy, &b), 0);
    while (sem_wait(&b.begun) != 0) {
    }
    assert_true(stoq_engine_beat(b.engine)); /* the one before was given */
    assert_false(stoq_engine_beat(b.engine));
    assert_false(stoq_engine_beat(b.engine));
    sem_post(&b.may_end);
    pthread_join(thread, NULL);
    engine_call(b.engine, nothing, NULL);
    assert_true(stoq_engine_beat(b.engine));

    stoq_engine_stop(b.engine, 0);
    assert_int_equal(stoq_store_close(store, &err), STOQ_OK);
    stoq_key_free(key);
    sem_destroy(&b.begun);
    sem_destroy(&b.may_end);
    assert_int_equal(stoq_tree_remove(AT_FDCWD, dir, NULL), STOQ_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(beat_stops_with_the_thread)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
