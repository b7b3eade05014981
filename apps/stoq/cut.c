#include "cut.h"

#include <stdlib.h>
#include <string.h>

/*
 * The buffer holds some times the longest chunk. While it has that much, chunks are cut from it; when
 * it has less, the rest moves to its start and the reading goes on. So the bytes moved are few, and
 * how the input arrives changes nothing.
 */

/* A number past 32 bits is past every range, and is told as such by the check of the ranges. */
static bool read_option(const struct cmd *cmd, const char *name, uint32_t *out)
{
    const char *text = cmd_value(cmd, name);
    uint64_t v = *out;
    if (text != NULL && strlen(text) > 10 && strspn(text, "0123456789") == strlen(text)) {
        v = UINT32_MAX;
    } else if (!cmd_value_u64(cmd, name, 0, UINT64_MAX, &v)) {
        return false;
    }
    *out = v < UINT32_MAX ? (uint32_t)v : UINT32_MAX;
    return true;
}

/* Which other size raised the lower bound, if one did. */
static const char *bound_by(const struct stoq_chunk_fault *fault)
{
    if (strcmp(fault->name, "avg") == 0 && fault->lo > STOQ_CHUNK_AVG_LO) {
        return ", where it must not be under --min";
    }
    if (strcmp(fault->name, "max") == 0 && fault->lo > STOQ_CHUNK_MAX_LO) {
        return ", where it must not be under --avg";
    }
    return "";
}

bool cut_options(const struct cmd *cmd, struct stoq_chunk_params *out)
{
    *out = STOQ_CHUNK_PROFILE_1;
    if (!read_option(cmd, "min", &out->min) || !read_option(cmd, "avg", &out->avg) ||
        !read_option(cmd, "max", &out->max) || !read_option(cmd, "norm", &out->level)) {
        return false;
    }
    struct stoq_chunk_fault fault;
    if (stoq_chunk_params_check(out, &fault) == STOQ_OK) {
        return true;
    }
    const char *text = cmd_value(cmd, fault.name);
    char value[16];
    (void)snprintf(value, sizeof value, "%u", fault.value);
    (void)cmd_usage(cmd, "--%s %s is outside %u..%u%s", fault.name, text != NULL ? text : value,
                    fault.lo, fault.hi, bound_by(&fault));
    return false;
}

enum stoq_status cut_open(struct cut *c, const char *path, const struct stoq_chunk_params *params,
                          struct stoq_error *err)
{
    *c = (struct cut){.in = {-1, path}};
    STOQ_ASSERT(stoq_chunker_init(&c->chunker, params) == STOQ_OK);
    c->cap = (size_t)params->max * 2 + INPUT_READ_BYTES;
    c->buf = malloc(c->cap);
    if (c->buf == NULL) {
        return stoq_fail(err, STOQ_NOMEM, 0, "no memory to read %s", path);
    }
    enum stoq_status st = input_open(&c->in, path, err);
    if (st != STOQ_OK) {
        cut_close(c);
    }
    return st;
}

void cut_close(struct cut *c)
{
    input_close(&c->in);
    free(c->buf);
    c->buf = NULL;
}

static enum stoq_status refill(struct cut *c, struct stoq_error *err)
{
    size_t left = c->end - c->begin;
    memmove(c->buf, c->buf + c->begin, left);
    size_t got;
    enum stoq_status st = input_read(&c->in, c->buf + left, c->cap - left, &got, err);
    c->begin = 0;
    c->end = left + got;
    c->at_end = c->end < c->cap;
    return st;
}

enum stoq_status cut_next(struct cut *c, struct stoq_span *out, struct stoq_error *err)
{
    if (!c->at_end && c->end - c->begin < c->chunker.params.max) {
        enum stoq_status st = refill(c, err);
        if (st != STOQ_OK) {
            return st;
        }
    }
    struct stoq_span rest = stoq_span(c->buf + c->begin, c->end - c->begin);
    size_t n = stoq_chunker_cut(&c->chunker, rest, c->at_end);
    if (n == 0) {
        return STOQ_NOTFOUND;
    }
    *out = stoq_span(rest.p, n);
    c->begin += n;
    return STOQ_OK;
}
