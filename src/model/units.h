/* units.h -- engineering units: what plants write on their signs, and how one becomes another.
 *
 * A unit is written as a product of atoms with prefixes and exponents: "kPa", "m3/h", "W/(m2.K)", "ft-lb", "mm²",
 * "min-1". Spelling counts by case (mW is not MW); where no confusion is possible another case is understood as well
 * (KPA, Kw). Factors are exact fractions of the defined values (1 in = 127/5000 m), pi is kept apart. Quantities that
 * share a dimension but must not be mixed are kept apart too: gauge and absolute pressure, W and VA and var, normal
 * and standard volume, temperatures and nothing else have an offset. Pure. */
#ifndef MODEL_UNITS_H
#define MODEL_UNITS_H

#include "model/ratio.h"
#include "nexus/err.h"

enum unit_base {
    UNIT_M,
    UNIT_KG,
    UNIT_S,
    UNIT_A,
    UNIT_K,
    UNIT_MOL,
    UNIT_CD,
    UNIT_ANGLE, /* turns and radians; a frequency is turns per second */
    UNIT_BIT,
    UNIT_COUNT, /* pieces, pulses */
    UNIT_VA,    /* apparent and reactive power are no watts */
    UNIT_VAR,
    UNIT_GAUGE,    /* above the pressure of the air of the place */
    UNIT_NORMAL,   /* gas at 0 °C and 1 atm */
    UNIT_STANDARD, /* gas at 15 °C and 1 atm */
    UNIT_SCF,      /* gas at 60 °F and 1 atm */
    UNIT_PH,
    UNIT_DB,
    UNIT_TURBIDITY,
    UNIT_BASES
};

#define UNIT_TEXT_MAX 64u

struct unit {
    int8_t dim[UNIT_BASES];
    struct ratio factor; /* SI value = (value + offset) * factor */
    struct ratio offset;
};

/* NX_E_CONFIG with the near miss when the text is no unit that we know. */
NX_MUST_CHECK enum nx_err unit_parse(const char *text, struct unit *out, struct nx_note *why);

/* slope and shift of: value in `to` = value in `from` * slope + shift. Fails when one is unknown or when they measure
 * different things, and says what they measure. */
NX_MUST_CHECK enum nx_err unit_convert(const char *from, const char *to, struct ratio *slope, struct ratio *shift,
                                       struct nx_note *why);

#endif
