#include "wire/frame.h"

void stoq_frame_init(struct stoq_frame *f)
{
    stoq_buf_init(&f->buf, STOQ_FRAME_HEAD_BYTES + STOQ_FRAME_BYTES_MAX);
    f->failed = STOQ_OK;
}

void stoq_frame_release(struct stoq_frame *f)
{
    stoq_buf_release(&f->buf);
    f->failed = STOQ_OK;
}

void stoq_frame_clear(struct stoq_frame *f)
{
    stoq_buf_clear(&f->buf);
    f->failed = STOQ_OK;
}

/* Move bytes from the front of *in until the frame has goal of them. */
static enum stoq_status fill(struct stoq_frame *f, struct stoq_span *in, size_t goal)
{
    size_t want = goal > f->buf.n ? goal - f->buf.n : 0;
    size_t n = want < in->n ? want : in->n;
    enum stoq_status st = stoq_buf_add(&f->buf, stoq_span(in->p, n));
    if (st != STOQ_OK) {
        return st;
    }
    if (n > 0) {
        in->p += n;
        in->n -= n;
    }
    return n == want ? STOQ_OK : STOQ_TRUNC;
}

enum stoq_status stoq_frame_take(struct stoq_frame *f, struct stoq_span *in, struct stoq_span *out)
{
    if (f->failed != STOQ_OK) {
        return f->failed;
    }
    enum stoq_status st = fill(f, in, STOQ_FRAME_HEAD_BYTES);
    if (st != STOQ_OK) {
        return st;
    }
    uint32_t n = stoq_le32(f->buf.p);
    if (n == 0 || n > STOQ_FRAME_BYTES_MAX) {
        f->failed = STOQ_MALFORMED;
        return f->failed;
    }
    st = fill(f, in, STOQ_FRAME_HEAD_BYTES + (size_t)n);
    if (st == STOQ_OK) {
        *out = stoq_span(f->buf.p + STOQ_FRAME_HEAD_BYTES, n);
    }
    return st;
}
