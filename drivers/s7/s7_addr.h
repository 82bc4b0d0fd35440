/* s7_addr.h -- address text of an S7 tag and what it means in the CPU. Pure.
 *
 *   DB1.DBX4.3  DB1.DBB4  DB1.DBW4  DB1.DBD4  DB1.DBL4     classic: bit, 1, 2, 4 and 8 bytes
 *   M0.3  MB4  MW4  MD4   I, E inputs   Q, A outputs        the other areas, English and German letters
 *   T5  C5  Z5                                              timer, counter
 *   DB1,X4.3  DB1,REAL4  DB1,R4  DB1,INT4.10  DB1,S4.30     nodes7: letter or name of the type; number of elements or
 *                                                           length of the string behind the last dot; also MR4, MDI4
 *   %DB1.DBX4.3:BOOL  %DB1:4.0:REAL[3]  %MW4:INT            PLC4X; the % may be left out
 *
 * ":TYPE" names the type anywhere; without it (and without a nodes7 letter) it follows from width and data_type.
 * "STRING[30]", "STRING(30)", "CHAR[8]" with data_type string: one text. "[n]" behind any other type: an array, of
 * which spec.element names one element. German and English, upper and lower case, blanks around: all the same.
 *
 * The canonical text of an address is the classic place with its type: "DB1.DBD4:REAL", "M0.3", "DB1.DBB4:STRING[30]".
 */
#ifndef S7_ADDR_H
#define S7_ADDR_H

#include "nexus/driver.h"
#include "s7_codec.h"
#include "s7_type.h"

struct s7_addr {
    uint8_t area;      /* enum s7_area */
    uint8_t type;      /* enum s7_type */
    uint8_t data_type; /* enum nx_data_type */
    uint8_t bit;       /* of a BOOL */
    uint16_t db;       /* 0 outside of data blocks */
    uint16_t chars;    /* of a text */
    uint16_t bytes;    /* in the CPU, the head of a text included */
    uint32_t start;    /* byte, or number of the timer or counter */
};

/* Settings of a tag. */
extern const struct nx_param s7_tag_params[];

nx_addr_parse_f s7_addr_parse;

/* "DB1.DBB4-9", "M4", "T5": a range of bytes (or one timer or counter) for a person; at most S7_RANGE_TEXT bytes. */
#define S7_RANGE_TEXT 32
void s7_range_text(char text[S7_RANGE_TEXT], unsigned area, unsigned db, uint32_t start, uint32_t bytes);
/* The same of an address, as in its canonical text but without the type. */
void s7_addr_text(char text[S7_RANGE_TEXT], const struct s7_addr *addr);
/* The canonical text. */
void s7_addr_canonical(char canonical[NX_CANONICAL_MAX], const struct s7_addr *addr);

#endif
