#ifndef STOQ_CHUNK_PROFILE_H
#define STOQ_CHUNK_PROFILE_H
/*
 * The chunking profiles of docs/FORMATS.md section 4: the sizes of chunks and the rules of runs that a
 * number in a manifest stands for. Only a publisher follows them; whoever fetches takes any chunks.
 */
#include "chunk/fastcdc.h"

/* Codes in a manifest. */
#define STOQ_PROFILE_1 1u   /* FastCDC in runs of files */
#define STOQ_PROFILE_2 2u   /* smaller chunks, and runs of the large members of tar archives too */
#define STOQ_PROFILE_1K 17u /* profiles 1 and 2 with numbers made of a secret key */
#define STOQ_PROFILE_2K 18u
/* Of whoever asks for none. */
#define STOQ_PROFILE_DEFAULT STOQ_PROFILE_2

struct stoq_chunk_profile {
    uint32_t code;
    struct stoq_chunk_params params;
    uint64_t run_bytes_min; /* T: a file or member of this many bytes or more is a run of its own */
    bool scans_tar;
    bool is_keyed; /* the chunker needs a gear of a key */
};

/* What a code stands for, static storage; NULL for a code that this program does not speak. */
const struct stoq_chunk_profile *stoq_chunk_profile(uint64_t code);

#endif
