#include "store/codec.h"
#include "store/segment.h"

#include "os/file.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/*
 * Any bytes as a segment. Decoders must stay inside them; a record that is accepted must be
 * written back as the same bytes; a scan must go through the file from end to end, each byte once,
 * whatever is in it; a stored form must unpack to what it says or not at all.
 */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_record(const struct stoq_record *rec, struct stoq_span bytes)
{
    uint8_t *again = malloc(bytes.n);
    STOQ_ASSERT(again != NULL);
    stoq_record_encode(again, rec);
    STOQ_ASSERT(stoq_span_eq(stoq_span(again, bytes.n), bytes));
    free(again);
    struct stoq_buf out;
    stoq_buf_init(&out, STOQ_CHUNK_BYTES_MAX);
    if (stoq_store_decode(rec->info, rec->stored, STOQ_CHUNK_BYTES_MAX, &out, NULL) == STOQ_OK) {
        STOQ_ASSERT(out.n == rec->info.raw_len);
    } else {
        STOQ_ASSERT(out.n == 0);
    }
    STOQ_ASSERT(out.cap <= STOQ_CHUNK_BYTES_MAX);
    stoq_buf_release(&out);
}

static void check_memory(struct stoq_span in)
{
    struct stoq_segment_header header;
    if (stoq_segment_header_decode(in, &header) == STOQ_OK) {
        uint8_t again[STOQ_SEGMENT_HEADER_BYTES];
        stoq_segment_header_encode(again, &header);
        STOQ_ASSERT(stoq_span_eq(stoq_span(again, sizeof again), stoq_span(in.p, sizeof again)));
    }
    struct stoq_record rec;
    if (stoq_record_decode(in, &rec) == STOQ_OK) {
        uint64_t n = stoq_record_bytes(rec.key.n, rec.info.stored_len);
        STOQ_ASSERT(n <= in.n);
        check_record(&rec, stoq_span(in.p, (size_t)n));
    }
}

static void check_scan(int fd, size_t size, struct stoq_codec *codec)
{
    struct stoq_scan scan;
    STOQ_ASSERT(stoq_scan_init(&scan, fd, 0, 1, codec) == STOQ_OK);
    uint64_t at = 0;
    for (;;) {
        struct stoq_scan_item item;
        STOQ_ASSERT(stoq_scan_next(&scan, &item) == STOQ_OK);
        STOQ_ASSERT(item.offset == at);
        if (item.kind == STOQ_SCAN_END) {
            break;
        }
        STOQ_ASSERT(item.bytes > 0);
        if (item.kind == STOQ_SCAN_RECORD) {
            STOQ_ASSERT(stoq_record_shape_ok(item.rec.type, item.rec.key.n, item.rec.info));
        }
        at += item.bytes;
    }
    STOQ_ASSERT(at == size);
    stoq_scan_release(&scan);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct stoq_codec *codec;
    STOQ_ASSERT(stoq_codec_new(&codec, 3) == STOQ_OK);
    check_memory(stoq_span(data, size));
    int fd = memfd_create("segment", MFD_CLOEXEC);
    STOQ_ASSERT(fd >= 0);
    STOQ_ASSERT(stoq_file_pwrite_all(fd, stoq_span(data, size), 0) == STOQ_OK);
    check_scan(fd, size, codec);
    (void)close(fd);
    stoq_codec_free(codec);
    return 0;
}
