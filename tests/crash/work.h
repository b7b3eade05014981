#ifndef STOQ_CRASH_WORK_H
#define STOQ_CRASH_WORK_H
/* The workloads whose logs the campaign takes apart. */
#include "keys.h"

struct crash_work {
    const char *name;
    /* Work on the store dir/store; false: it failed, and said why on standard error. */
    bool (*run)(const struct crash_keys *keys, const char *dir);
};

extern const struct crash_work crash_works[];
extern const unsigned crash_work_count;

#endif
