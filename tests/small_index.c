/*
 * Preloaded into the program under test, this keeps the address space of its index small: valgrind has no
 * room for 64 GiB.
 */
#include <dlfcn.h>
#include <stddef.h>

#include <lmdb.h>

#define MOST ((size_t)1 << 30)

int mdb_env_set_mapsize(MDB_env *env, size_t size)
{
    int (*real)(MDB_env *, size_t);
    *(void **)&real = dlsym(RTLD_NEXT, "mdb_env_set_mapsize");
    return real(env, size < MOST ? size : MOST);
}
