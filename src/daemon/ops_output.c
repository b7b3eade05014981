/* What an operation writes: a new file, or the stream. */
#include "daemon/ops_internal.h"

enum stoq_status op_output_open(struct op_output *o, const json_t *args, struct stoq_error *err)
{
    stoq_buf_init(&o->path, OP_PATH_MAX);
    if (stoq_json_bool(args, "stream", false)) {
        return STOQ_OK;
    }
    enum stoq_status st = stoq_json_path(args, "output", &o->path, err);
    return st == STOQ_OK ? stoq_outfile_new(&o->file, (const char *)o->path.p, err) : st;
}

void op_output_close(struct op_output *o)
{
    stoq_outfile_free(o->file);
    stoq_buf_release(&o->path);
}

enum stoq_status op_output_write(void *user, struct stoq_span bytes, struct stoq_error *err)
{
    struct op_output *o = user;
    if (o->file != NULL) {
        return stoq_outfile_write(o->file, bytes, err);
    }
    enum stoq_status st = o->io->data(o->io->user, bytes);
    return st == STOQ_OK ? st : stoq_fail(err, st, 0, "the output went away");
}

enum stoq_status op_output_end(struct op_output *o, json_t *result, struct stoq_error *err)
{
    if (o->file == NULL) {
        return STOQ_OK;
    }
    (void)stoq_json_set_path(result, "output", stoq_buf_span(&o->path));
    return stoq_outfile_commit(o->file, err);
}
