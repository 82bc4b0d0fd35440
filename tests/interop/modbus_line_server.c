/* modbus_line_server.c -- an RTU server of libmodbus on a serial line.
 *
 *   modbus_line_server DEVICE [UNIT]
 *
 * 1000 elements in each table: holding register r holds r, input register r holds 7 * r, every third coil and discrete
 * input is on. Prints "open" when it listens; ends when it is killed or the line is gone. */
#include <errno.h>
#include <modbus.h>
#include <stdio.h>
#include <stdlib.h>

#define ELEMENTS 1000

static modbus_mapping_t *
make_map(void)
{
    modbus_mapping_t *m = modbus_mapping_new(ELEMENTS, ELEMENTS, ELEMENTS, ELEMENTS);

    for (int i = 0; m && i < ELEMENTS; i++) {
        m->tab_registers[i] = (uint16_t)i;
        m->tab_input_registers[i] = (uint16_t)(7 * i);
        m->tab_bits[i] = m->tab_input_bits[i] = i % 3 == 0;
    }
    return m;
}

int
main(int argc, char **argv)
{
    uint8_t query[MODBUS_RTU_MAX_ADU_LENGTH];
    modbus_t *ctx = argc > 1 ? modbus_new_rtu(argv[1], 115200, 'N', 8, 1) : NULL;
    modbus_mapping_t *map = make_map();

    if (!ctx || !map || modbus_set_slave(ctx, argc > 2 ? (int)strtol(argv[2], NULL, 10) : 1) < 0 ||
        modbus_connect(ctx) < 0) {
        fprintf(stderr, "modbus_line_server: %s\n", modbus_strerror(errno));
        return 1;
    }
    printf("open\n");
    fflush(stdout);
    for (;;) {
        int n = modbus_receive(ctx, query);
        if (n > 0)
            (void)modbus_reply(ctx, query, n, map);
        else if (n < 0 && errno == EIO)
            return 0;
    }
}
