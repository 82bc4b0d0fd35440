/* modbus_addr.h -- address text of a Modbus tag and what it means on the wire. Pure.
 *
 *   40001  400001        Modicon number, 5 or 6 digits: first digit is the table (0 coil, 1 discrete, 3 input,
 *                        4 holding), the rest counts from 1. 40001 is wire address 0. Always, whatever address_base.
 *   holding:100  hr100   table and number; also input: ir, coil: c, discrete: di. The number is the wire address
 *                        (address_base zero_based, the default) or counts from 1 (one_based). 0x.. is hexadecimal.
 *   100                  the same with the table taken from register_type.
 *   ....3                bit 3 of a register, 0 is the lowest; data type bool.
 *   ....[10]             an array of ten. Elements follow each other: registers by the size of the type, bits by one.
 *
 * The canonical text is always table and wire address: "holding:0", "holding:0.3". */
#ifndef MODBUS_ADDR_H
#define MODBUS_ADDR_H

#include "nexus/driver.h"

enum modbus_table { MODBUS_COIL, MODBUS_DISCRETE, MODBUS_INPUT, MODBUS_HOLDING, MODBUS_TABLES };

/* How the bytes of a value lie in its registers, against big-endian ("ABCD", "ABCDEFGH"). */
enum {
    MODBUS_SWAP_BYTES = 1,  /* the two bytes of each register */
    MODBUS_SWAP_WORDS = 2,  /* the two registers of each pair */
    MODBUS_SWAP_DWORDS = 4, /* the two pairs of a 64-bit value */
};

#define MODBUS_NO_BIT (-1)

/* How a register is written: the smallest function that does it (6 or 16), always 16, or 23, which reads back. */
enum modbus_write_with { MODBUS_WRITE_AUTO, MODBUS_WRITE_MULTIPLE, MODBUS_WRITE_READ };

struct modbus_addr {
    uint8_t table; /* enum modbus_table */
    uint8_t type;  /* enum nx_data_type */
    uint8_t order; /* MODBUS_SWAP_... */
    int8_t bit;    /* 0..15, or MODBUS_NO_BIT */
    uint16_t start;
    uint16_t count; /* registers, or 1 for a coil or discrete input */
    bool is_bcd;
    uint8_t write_with; /* enum modbus_write_with */
};

/* Settings of a tag. */
extern const struct nx_param modbus_tag_params[];

nx_addr_parse_f modbus_addr_parse;

/* "coil", "discrete", "input", "holding". */
const char *modbus_table_name(unsigned table);
/* The Modicon number of a wire address, for people: holding 0 -> 40001, holding 20000 -> 420001. */
uint32_t modbus_addr_modicon(unsigned table, unsigned start);

static inline bool
modbus_table_is_bits(unsigned table)
{
    return table <= MODBUS_DISCRETE;
}

#endif
