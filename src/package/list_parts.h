#ifndef STOQ_PACKAGE_LIST_PARTS_H
#define STOQ_PACKAGE_LIST_PARTS_H
/*
 * A chunk list told by parts of other chunk lists that the receiver has (docs/FORMATS.md section 11,
 * record type 34): where one chunk of a shard changed, a line instead of the whole list.
 */
#include "base/bytes.h"

#define STOQ_LIST_PARTS_BASES_MAX 32

/* Building. The entries are a chunk list's, 36 bytes each. */
struct stoq_list_parts_writer {
    struct stoq_buf bases; /* roots */
    struct stoq_buf parts;
};

void stoq_list_parts_writer_init(struct stoq_list_parts_writer *w);
void stoq_list_parts_writer_release(struct stoq_list_parts_writer *w);
void stoq_list_parts_writer_clear(struct stoq_list_parts_writer *w);
/* The next `count` entries are those from `first` on of the list of the shard with this root. False:
 * no room for one more base, nothing was added. STOQ_NOMEM shows at the end. */
bool stoq_list_parts_writer_copy(struct stoq_list_parts_writer *w, const struct stoq_hash *base,
                                 size_t first, size_t count);
/* The next entries are these. */
void stoq_list_parts_writer_put(struct stoq_list_parts_writer *w, struct stoq_span entries);
/* The payload, appended to out. STOQ_OK; STOQ_RANGE: it has no base, or too many entries; STOQ_FULL,
 * STOQ_NOMEM. */
STOQ_WARN_UNUSED enum stoq_status stoq_list_parts_writer_end(struct stoq_list_parts_writer *w,
                                                             struct stoq_buf *out);

/* Number of bases, 1 .. STOQ_LIST_PARTS_BASES_MAX; 0: the payload breaks the format. */
size_t stoq_list_parts_base_count(struct stoq_span payload);
struct stoq_hash stoq_list_parts_base(struct stoq_span payload,
                                      size_t i); /* i must be less (asserted) */

/*
 * Put a list together.
 *
 * bases  the chunk lists of the bases, in their order
 * out    the list is appended
 *
 * STOQ_OK         whether it is the shard's list is the caller's to check
 * STOQ_MALFORMED  it breaks the format, or names entries that a base does not have
 * STOQ_NOMEM
 */
STOQ_WARN_UNUSED enum stoq_status stoq_list_parts_join(struct stoq_span payload,
                                                       const struct stoq_span *bases,
                                                       struct stoq_buf *out);

#endif
