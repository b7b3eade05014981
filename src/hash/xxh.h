#ifndef STOQ_HASH_XXH_H
#define STOQ_HASH_XXH_H
/*
 * xxHash as this machine runs it best. The library is built for the least of its architecture's
 * processors; where it brings its own choice at run time (x86: AVX2, AVX-512), XXH3's functions are
 * those that choose.
 */
#define XXH_STATIC_LINKING_ONLY /* the streaming state on the stack: its layout is in this part */
#include <xxhash.h>
#ifdef STOQ_XXH_DISPATCH
#include <xxh_x86dispatch.h> /* renames them */
#endif

#endif
