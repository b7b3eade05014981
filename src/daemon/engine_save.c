/* The engine's small files: encoded by the network thread, written by a worker, one at a time each. */
#include "daemon/engine_internal.h"

#include "os/file.h"

#include <stdlib.h>

struct saving {
    struct stoq_job job; /* first */
    struct stoq_engine *engine;
    const char *path;
    bool *under_way;
    struct stoq_buf bytes;
    struct stoq_error err;
    enum stoq_status status;
};

static void work(struct stoq_job *job)
{
    struct saving *s = (struct saving *)job;
    s->status = stoq_file_replace(s->path, stoq_buf_span(&s->bytes), 0600, &s->err);
}

static void done(struct stoq_job *job)
{
    struct saving *s = (struct saving *)job;
    engine_job_done(s->engine);
    *s->under_way = false;
    if (s->status != STOQ_OK) {
        engine_log(s->engine, "%s", s->err.text);
    }
    stoq_buf_release(&s->bytes);
    free(s);
}

bool engine_save(struct stoq_engine *e, const char *path, struct stoq_buf *bytes, bool *under_way)
{
    struct saving *s = calloc(1, sizeof *s);
    if (s != NULL) {
        *s = (struct saving){.job = {.work = work, .done = done},
                             .engine = e,
                             .path = path,
                             .under_way = under_way,
                             .bytes = *bytes};
        if (engine_run(e, &s->job) == STOQ_OK) {
            *under_way = true;
            return true;
        }
        free(s);
    }
    stoq_buf_release(bytes);
    return false;
}

void engine_save_now(struct stoq_engine *e, const char *path, struct stoq_buf *bytes)
{
    struct stoq_error err;
    if (stoq_file_replace(path, stoq_buf_span(bytes), 0600, &err) != STOQ_OK) {
        engine_log(e, "%s", err.text);
    }
    stoq_buf_release(bytes);
}
