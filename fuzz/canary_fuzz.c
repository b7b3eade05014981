/*
 * The canary: a target with a planted bug, behind two bytes that are not in its corpus. Both ways of
 * fuzzing must find it: the replay with mutations (its test is one that should fail) and libFuzzer
 * (tools/fuzz). If it lives, the others were not really fuzzed either.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size >= 2 && data[0] == 'c' && data[1] >= 0x80) {
        abort();
    }
    return 0;
}
