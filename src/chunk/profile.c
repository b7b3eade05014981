#include "chunk/profile.h"

const struct stoq_chunk_profile *stoq_chunk_profile(uint64_t code)
{
    static const struct stoq_chunk_profile profiles[] = {
        {STOQ_PROFILE_1, {16384, 65536, 262144, 2}, 16384, false, false},
        {STOQ_PROFILE_2, {8192, 32768, 131072, 1}, 8192, true, false},
        {STOQ_PROFILE_1K, {16384, 65536, 262144, 2}, 16384, false, true},
        {STOQ_PROFILE_2K, {8192, 32768, 131072, 1}, 8192, true, true},
    };
    for (size_t i = 0; i < STOQ_COUNT(profiles); i++) {
        if (profiles[i].code == code) {
            return &profiles[i];
        }
    }
    return NULL;
}
