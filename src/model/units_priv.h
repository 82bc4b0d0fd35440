/* units_priv.h -- the table of units, and its reader. */
#ifndef MODEL_UNITS_PRIV_H
#define MODEL_UNITS_PRIV_H

#include "model/units.h"

#define UNIT_NAMES 14

enum unit_prefixes {
    UNIT_PLAIN,    /* no prefix */
    UNIT_PREFIXED, /* k, M, m, ... may stand in front */
    UNIT_ONLY_PREFIXED,
};

/* One atom. SI value = (value + offset_n / offset_d) * n / d * pi^pi */
struct unit_atom {
    const char *names[UNIT_NAMES]; /* the symbol first; ends with NULL */
    int8_t dim[UNIT_BASES];
    int64_t n, d;
    int pi;
    enum unit_prefixes prefixes;
    int32_t offset_n, offset_d; /* 0, 0: none */
};

extern const struct unit_atom unit_atoms[];
extern const unsigned unit_atom_count;

#endif
