/* broker_probe.c -- prepares a broker like `nexus up` does: broker_probe DATA_DIR PORT. Prints what was prepared. */
#include "app/broker.h"

#include <stdio.h>
#include <stdlib.h>

int
main(int argc, char **argv)
{
    struct broker_info info;
    struct nx_note why;

    if (argc != 3)
        return 2;
    if (broker_prepare(argv[1], (uint16_t)strtoul(argv[2], NULL, 10), &info, &why)) {
        fprintf(stderr, "%s\n", why.text);
        return 1;
    }
    printf("{\"port\":%u,\"program\":\"%s\",\"config\":\"%s\",\"secrets\":\"%s\"}\n", info.port, info.program_path,
           info.config_path, info.secrets_dir);
    return 0;
}
