#include "cmd.h"

#include "base/bytes.h"

#include <malloc.h>

/*
 * What is freed goes back to the system. By itself glibc raises the size from which memory is mapped, once
 * such memory is freed, up to 32 MiB: buffers of half a megabyte then come from heaps of which only the end
 * can be given back, and a daemon keeps most of what its largest fetch took. A fixed size ends that; few
 * heaps, because what one thread takes another one gives back here.
 */
static void bound_heaps(void)
{
    (void)mallopt(M_MMAP_THRESHOLD, (int)(256 * STOQ_KIB));
    (void)mallopt(M_TRIM_THRESHOLD, (int)(2 * STOQ_MIB));
    (void)mallopt(M_ARENA_MAX, 2);
}

int main(int argc, char **argv)
{
    struct cmd cmd = {0};
    int exit_code = STOQ_EXIT_OK;
    bound_heaps();
    if (cmd_parse(&cmd, argc, argv, &exit_code)) {
        exit_code = cmd.row->run(&cmd);
    }
    cmd_release(&cmd);
    return exit_code;
}
