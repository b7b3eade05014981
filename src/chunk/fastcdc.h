#ifndef STOQ_CHUNK_FASTCDC_H
#define STOQ_CHUNK_FASTCDC_H
/*
 * FastCDC 2020 in the pair form of docs/FORMATS.md section 4: bytes in, cut points out.
 *
 * One run of bytes is cut by asking for its next chunk again and again; the chunker itself remembers
 * nothing between calls, so the same bytes give the same cuts however they were read.
 */
#include "base/bytes.h"

/* Sizes in bytes; level is the normalisation level. */
struct stoq_chunk_params {
    uint32_t min;
    uint32_t avg;
    uint32_t max;
    uint32_t level;
};

/* The sizes of profile 1 (chunk/profile.h). A package's runs come from chunk/runs.h. */
#define STOQ_CHUNK_PROFILE_1 ((struct stoq_chunk_params){16384, 65536, 262144, 2})

/* The ranges of the plumbing; besides, min <= avg <= max. */
#define STOQ_CHUNK_MIN_LO 64u
#define STOQ_CHUNK_MIN_HI (1u << 20)
#define STOQ_CHUNK_AVG_LO 256u
#define STOQ_CHUNK_AVG_HI (4u << 20)
#define STOQ_CHUNK_MAX_LO 1024u
#define STOQ_CHUNK_MAX_HI (16u << 20)
#define STOQ_CHUNK_LEVEL_HI 3u

/* A parameter outside its range: its name ("min", "avg", "max", "norm"; static storage), its value
 * and the smallest and largest value that would do, given the parameters named before it. */
struct stoq_chunk_fault {
    const char *name;
    uint32_t value;
    uint32_t lo;
    uint32_t hi;
};

/* The numbers that the rolling hash adds, one per byte value; the shifted ones are the same, shifted left
 * by one. */
struct stoq_gear {
    uint64_t plain[256];
    uint64_t shifted[256];
};

/* Read-only once initialised: may be shared between threads, copied, and needs no release. */
struct stoq_chunker {
    struct stoq_chunk_params params;
    const uint64_t *gear; /* the public numbers, unless others were set */
    const uint64_t *gear_shifted;
    uint64_t mask_strict; /* before the average */
    uint64_t mask_loose;  /* from the average on */
};

/*
 * Find the first parameter outside its range, in the order min, avg, max, norm.
 *
 * out  the fault; untouched when there is none. NULL is fine
 *
 * STOQ_OK     all four are in range
 * STOQ_RANGE  out says which is not
 */
STOQ_WARN_UNUSED enum stoq_status stoq_chunk_params_check(const struct stoq_chunk_params *params,
                                                          struct stoq_chunk_fault *out);

/*
 * Prepare a chunker.
 *
 * STOQ_OK     c is ready
 * STOQ_RANGE  a parameter is outside its range (stoq_chunk_params_check tells which); c untouched
 */
STOQ_WARN_UNUSED enum stoq_status stoq_chunker_init(struct stoq_chunker *c,
                                                    const struct stoq_chunk_params *params);

/* Numbers of one's own, for the keyed profiles: 256 u64le. Whoever knows them knows where any bytes are
 * cut, so they are as secret as the key they come from. */
#define STOQ_GEAR_BYTES 2048
void stoq_gear_init(struct stoq_gear *g, const uint8_t numbers[STOQ_GEAR_BYTES]);
/* Cut by these numbers; they are kept. */
void stoq_chunker_set_gear(struct stoq_chunker *c, const struct stoq_gear *gear);

/*
 * Length of the first chunk of a rest of a run.
 *
 * data  the bytes from the last cut on; borrowed
 * last  the run ends with data; otherwise more bytes may follow
 *
 * Returns the length, 1 .. max; 0 when data has fewer than max bytes and is not the last (ask again
 * with more), or when it is empty. At most max bytes are looked at.
 * Cost: one pass over the bytes past min. Any thread.
 * Source: Xia et al., "The Design of Fast Content-Defined Chunking for Data Deduplication Based
 * Storage Systems", IEEE TPDS 2020; masks and pair form as in docs/FORMATS.md section 4.
 */
size_t stoq_chunker_cut(const struct stoq_chunker *c, struct stoq_span data, bool last);

#endif
