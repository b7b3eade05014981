#include "replica/accept.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* A peer that is known, with room for what it offers. */
static struct stoq_replica_offer welcome(void)
{
    return (struct stoq_replica_offer){.is_known = true,
                                       .bytes = 100 * STOQ_MIB,
                                       .free_bytes_quota = UINT64_MAX,
                                       .free_bytes_disk = STOQ_GIB};
}

static void policy_decides_first(void **state)
{
    (void)state;
    struct stoq_replica_offer o = welcome();
    assert_int_equal(stoq_replica_judge(&o), STOQ_REPLICA_TAKE);
    o.is_known = false;
    o.free_bytes_disk = 0;
    assert_int_equal(stoq_replica_judge(&o), STOQ_REPLICA_BY_POLICY);
    o.policy = STOQ_REPLICA_ACCEPT_ALL;
    assert_int_equal(stoq_replica_judge(&o), STOQ_REPLICA_NO_DISK);
    o.free_bytes_disk = STOQ_GIB;
    assert_int_equal(stoq_replica_judge(&o), STOQ_REPLICA_TAKE);
    o.policy = STOQ_REPLICA_ACCEPT_NONE;
    o.is_known = true;
    o.is_here = true;
    assert_int_equal(stoq_replica_judge(&o), STOQ_REPLICA_BY_POLICY);
}

static void room_is_counted_with_what_was_promised(void **state)
{
    (void)state;
    struct stoq_replica_offer o = welcome();
    o.free_bytes_quota = 150 * STOQ_MIB;
    assert_int_equal(stoq_replica_judge(&o), STOQ_REPLICA_TAKE);
    o.promised_bytes = 50 * STOQ_MIB;
    assert_int_equal(stoq_replica_judge(&o), STOQ_REPLICA_TAKE);
    o.promised_bytes++;
    assert_int_equal(stoq_replica_judge(&o), STOQ_REPLICA_NO_QUOTA);
    o.free_bytes_quota = UINT64_MAX;
    o.free_bytes_disk = STOQ_REPLICA_DISK_RESERVE + o.bytes + o.promised_bytes;
    assert_int_equal(stoq_replica_judge(&o), STOQ_REPLICA_TAKE);
    o.free_bytes_disk--;
    assert_int_equal(stoq_replica_judge(&o), STOQ_REPLICA_NO_DISK);
    o.bytes = UINT64_MAX; /* no sum wraps */
    assert_int_equal(stoq_replica_judge(&o), STOQ_REPLICA_NO_DISK);
    o.is_here = true;
    assert_int_equal(stoq_replica_judge(&o), STOQ_REPLICA_TAKE);
}

static void offers_are_capped(void **state)
{
    (void)state;
    struct stoq_replica_offer o = welcome();
    o.taken = STOQ_REPLICA_OFFERS_MAX - 1;
    o.taken_peer = STOQ_REPLICA_OFFERS_PEER_MAX - 1;
    assert_int_equal(stoq_replica_judge(&o), STOQ_REPLICA_TAKE);
    o.taken_peer++;
    assert_int_equal(stoq_replica_judge(&o), STOQ_REPLICA_TOO_MANY);
    o.taken_peer = 0;
    o.taken++;
    assert_int_equal(stoq_replica_judge(&o), STOQ_REPLICA_TOO_MANY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(policy_decides_first),
        cmocka_unit_test(room_is_counted_with_what_was_promised),
        cmocka_unit_test(offers_are_capped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
