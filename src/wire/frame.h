#ifndef STOQ_WIRE_FRAME_H
#define STOQ_WIRE_FRAME_H
/*
 * Frames on a stream (docs/PROTOCOL.md section 4): u32le length, then that many bytes of CBOR.
 */
#include "base/bytes.h"

#define STOQ_FRAME_HEAD_BYTES 4
#define STOQ_FRAME_BYTES_MAX 65536 /* of the CBOR alone; a ChunkRequest of 4096 ranges fits */

/*
 * Collects one frame from a stream that arrives in pieces. init: empty. Memory grows with what has
 * arrived, never with what the length promises.
 */
struct stoq_frame {
    struct stoq_buf buf;
    enum stoq_status failed; /* STOQ_MALFORMED, once it was */
};

void stoq_frame_init(struct stoq_frame *f);
void stoq_frame_release(struct stoq_frame *f);
/* Ready for the next frame; memory is kept. */
void stoq_frame_clear(struct stoq_frame *f);

/*
 * Take bytes from the front of *in, which is moved past them.
 *
 * out  the frame's CBOR when it is complete; borrowed from f until clear or release. *in then starts
 *      with what follows the frame: the payload
 *
 * STOQ_OK         complete
 * STOQ_TRUNC      all of *in is taken and the frame goes on
 * STOQ_MALFORMED  its length is 0 or over STOQ_FRAME_BYTES_MAX; so from then on
 * STOQ_NOMEM      *in is not moved
 */
STOQ_WARN_UNUSED enum stoq_status stoq_frame_take(struct stoq_frame *f, struct stoq_span *in,
                                                  struct stoq_span *out);

#endif
