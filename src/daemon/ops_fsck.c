/* fsck: all of the store read again. */
#include "daemon/ops_internal.h"

#include "os/sys.h"

#define PROBLEMS_TOLD 100

static void add_problem(void *user, const char *what)
{
    json_t *list = user;
    if (json_array_size(list) < PROBLEMS_TOLD) {
        (void)json_array_append_new(list, json_string(what));
    }
}

enum stoq_status op_fsck(struct stoq_host *host, const json_t *args, struct stoq_op_io *io,
                         json_t **result, struct stoq_error *err)
{
    struct stoq_store_fsck_report r;
    json_t *list = json_array();
    stoq_ns began = stoq_now();
    enum stoq_status st = stoq_store_fsck(stoq_host_store(host), add_problem, list, &r, err);
    if (st != STOQ_OK) {
        json_decref(list);
        return st;
    }
    uint64_t us = (stoq_now() - began) / 1000;
    *result = json_pack("{s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:f}", "sound",
                        (int)(r.problems == 0), "segments", (json_int_t)r.segments, "records",
                        (json_int_t)r.records, "bytes", (json_int_t)r.bytes, "damaged",
                        (json_int_t)r.damaged, "harmless", (json_int_t)r.harmless, "live",
                        (json_int_t)r.live, "lost", (json_int_t)r.lost, "problems",
                        (json_int_t)r.problems, "problem", list, "seconds", (double)us / 1e6);
    return STOQ_OK;
}
