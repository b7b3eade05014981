#include "cmd.h"

int main(int argc, char **argv)
{
    struct cmd cmd = {0};
    int exit_code = STOQ_EXIT_OK;
    if (cmd_parse(&cmd, argc, argv, &exit_code)) {
        exit_code = cmd.row->run(&cmd);
    }
    cmd_release(&cmd);
    return exit_code;
}
