#include "model/units_priv.h"

#include "base/mem.h"
#include "base/num.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static struct line
line_between(const char *from, const char *to)
{
    struct ratio slope, shift;
    struct nx_note why = {0};

    if (unit_convert(from, to, &slope, &shift, &why) != NX_OK)
        fail_msg("%s -> %s: %s", from, to, why.text);
    return line_make(slope, shift);
}

static void
check(const char *from, double value, const char *to, double want)
{
    struct line l = line_between(from, to);
    double got = line_forth(&l, value);

    if (got != want)
        fail_msg("%.17g %s is %.17g %s, expected %.17g", value, from, got, to, want);
}

/* Values of the definitions: to the last bit. */
static void
defined_values_are_exact(void **state)
{
    static const struct {
        const char *from;
        double value;
        const char *to;
        double want;
    } rows[] = {
        {"°C", 100, "°F", 212},
        {"degC", -40, "degF", -40},
        {"°C", 25, "K", 298.15},
        {"K", 273.15, "°C", 0},
        {"°F", 32, "°C", 0},
        {"°F", 98.6, "°C", 37},
        {"°R", 491.67, "°F", 32},
        {"bar", 1, "kPa", 100},
        {"mbar", 1013.25, "atm", 1},
        {"psi", 1, "Pa", 6894.75729316836133672},
        {"atm", 1, "Torr", 760},
        {"mmH2O", 1, "Pa", 9.80665},
        {"inH2O", 1, "Pa", 249.08891},
        {"psig", 100, "barg", 6.89475729316836133672},
        {"in", 1, "mm", 25.4},
        {"mi", 1, "km", 1.609344},
        {"ft", 1, "in", 12},
        {"mil", 1, "µm", 25.4},
        {"gal", 1, "L", 3.785411784},
        {"bbl", 1, "gal", 42},
        {"m3/h", 3.6, "l/s", 1},
        {"m³/h", 1, "l/min", 1000.0 / 60},
        {"gpm", 1, "l/min", 3.785411784},
        {"cfm", 1, "m3/h", 1.69901079552},
        {"lb", 1, "kg", 0.45359237},
        {"t/h", 1, "kg/h", 1000},
        {"kg/m3", 1, "g/cm3", 0.001},
        {"kWh", 1, "MJ", 3.6},
        {"Btu", 1, "J", 1055.05585262},
        {"Wh", 1, "kJ", 3.6},
        {"kcal/h", 860, "kW", 860 * 4184.0 / 3600000},
        {"PS", 1, "W", 735.49875},
        {"TR", 1, "BTU/h", 12000},
        {"Ah", 1, "coulomb", 3600},
        {"mA", 20, "A", 0.02},
        {"uS/cm", 1, "S/m", 0.0001},
        {"kvarh", 1, "varh", 1000},
        {"rpm", 60, "Hz", 1},
        {"Hz", 50, "1/min", 3000},
        {"rev", 1, "°", 360},
        {"km/h", 36, "m/s", 10},
        {"kn", 1, "km/h", 1.852},
        {"gn", 1, "m/s2", 9.80665},
        {"cP", 1, "mPa.s", 1},
        {"cSt", 1, "mm2/s", 1},
        {"%", 12.5, "1", 0.125},
        {"ppm", 10000, "%", 1},
        {"KiB", 1, "B", 1024},
        {"Mbps", 1, "kbit/s", 1000},
        {"min", 90, "h", 1.5},
        {"d", 1, "s", 86400},
        {"l/100km", 5, "L/km", 0.05},
        {"W/(m2.K)", 2, "W/m2/K", 2},
        {"kg.m/s2", 3, "N", 3},
        {"s-1", 3, "/s", 3},
        {"Nm3/h", 60, "Nm3/min", 1},
        {"mg/Nm3", 1, "g/Nm3", 0.001},
        {"kgf/cm2", 1, "bar", 0.980665},
        {"N/mm2", 1, "MPa", 1},
        {"ft-lb", 1, "N.m", 1.3558179483314004},
        {"Δ°C", 5, "Δ°F", 9},
        {"kJ/kg/°C", 1, "kJ/kg/K", 1},
    };

    (void)state;
    for (size_t i = 0; i < MEM_COUNT(rows); i++)
        check(rows[i].from, rows[i].value, rows[i].to, rows[i].want);
}

static void
pi_is_near(void **state)
{
    struct line l = line_between("rpm", "rad/s"), back = line_between("rad", "deg");

    (void)state;
    assert_true(fabs(line_forth(&l, 30) - 3.141592653589793) < 1e-15);
    assert_true(fabs(line_forth(&back, 3.141592653589793) - 180) < 1e-13);
    struct line none = line_between("rad/s", "rad/s");
    assert_true(line_is_identity(&none));
}

static void
other_cases_are_understood_where_they_are_clear(void **state)
{
    struct unit u;

    (void)state;
    check("KPA", 1, "kPa", 1);
    check("KW", 1, "kW", 1);
    assert_int_equal(unit_parse("Kg/H", &u, NULL), NX_E_CONFIG); /* hour or henry? */
    check("MBAR", 1, "Mbar", 1);                                 /* a prefix of another size is never assumed */
    assert_int_equal(unit_parse("mpa", &u, NULL), NX_E_CONFIG);
    check("mW", 1e9, "MW", 1);
}

static void
what_differs_is_refused(void **state)
{
    static const struct {
        const char *from, *to, *word;
    } rows[] = {
        {"bar", "m", "cannot be converted"},
        {"bar", "barg", "air pressure of the place"},
        {"kW", "kVA", "cannot be converted"},
        {"kVA", "kvar", "cannot be converted"},
        {"Nm3/h", "Sm3/h", "reference conditions"},
        {"°C", "kPaa", "m-1.kg.s-2"},
        {"%", "kg", "a plain number"},
        {"bra", "kPa", "Did you mean"},
        {"bar", "kPax", "unknown unit"},
        {"bar", "", "1 to 64"},
        {"m//s", "m/s", "unknown unit"},
        {"m)", "m", "unknown unit"},
        {"((((((((((m))))))))))", "m", "unknown unit"},
        {"m9.m9.m9.m9.m9.m9.m9.m9", "m", "unknown unit"},
        {"m0", "m", "unknown unit"},
    };

    (void)state;
    for (size_t i = 0; i < MEM_COUNT(rows); i++) {
        struct ratio slope, shift;
        struct nx_note why = {0};

        assert_int_equal(unit_convert(rows[i].from, rows[i].to, &slope, &shift, &why), NX_E_CONFIG);
        if (!strstr(why.text, rows[i].word))
            fail_msg("%s -> %s: %s", rows[i].from, rows[i].to, why.text);
    }
}

/* Each name of the table reads as its own row, and goes to the SI value and back. */
static void
every_name_of_the_table_reads(void **state)
{
    unsigned names = 0;

    (void)state;
    for (unsigned i = 0; i < unit_atom_count; i++) {
        const struct unit_atom *a = &unit_atoms[i];

        for (size_t k = 0; k < UNIT_NAMES && a->names[k]; k++, names++) {
            struct unit u;

            if (a->prefixes == UNIT_ONLY_PREFIXED)
                continue;
            assert_int_equal(unit_parse(a->names[k], &u, NULL), NX_OK);
            if (memcmp(u.dim, a->dim, sizeof u.dim) != 0 || u.factor.n * a->d != u.factor.d * a->n)
                fail_msg("%s reads as something else", a->names[k]);
        }
    }
    assert_true(names > 500);
}

/* Any scale that people write and any unit: one fraction forth is the same one back. */
static void
lines_come_back(void **state)
{
    static const char *const units[][2] = {{"°C", "°F"}, {"psi", "bar"}, {"rpm", "rad/s"}, {"hp", "kW"}, {"m", "m"}};
    uint64_t rng = 7;

    (void)state;
    for (int round = 0; round < 20000; round++) {
        struct ratio slope, shift;
        double scale = (double)(1 + num_random(&rng) % 100000) / pow(10, (double)(num_random(&rng) % 7));
        double offset = (double)(int64_t)(num_random(&rng) % 2000) - 1000;

        assert_int_equal(unit_convert(units[round % 5][0], units[round % 5][1], &slope, &shift, NULL), NX_OK);
        struct ratio s = ratio_mul(ratio_of_decimal(scale), slope);
        struct ratio o = ratio_add(ratio_mul(ratio_of_decimal(offset), slope), shift);
        struct line l = line_make(s, o);
        double x = (double)(int32_t)num_random(&rng), y = line_forth(&l, x);
        if (nearbyint(line_back(&l, y)) != x)
            fail_msg("round %d: %.17g -> %.17g -> %.17g", round, x, y, line_back(&l, y));
    }
}

static void
decimals_are_fractions(void **state)
{
    static const struct {
        double v;
        int64_t n, d;
    } rows[] = {{0.1, 1, 10}, {-0.25, -1, 4},          {0, 0, 1}, {1e-6, 1, 1000000}, {1.5e10, 15000000000, 1},
                {3, 3, 1},    {9.80665, 196133, 20000}};

    (void)state;
    for (size_t i = 0; i < MEM_COUNT(rows); i++) {
        struct ratio r = ratio_of_decimal(rows[i].v);
        assert_true(r.n == rows[i].n && r.d == rows[i].d);
    }
    struct ratio huge = ratio_of_decimal(1e300), tiny = ratio_mul(huge, ratio_of_decimal(1e-300));
    assert_true(huge.d == 0 && (double)huge.approx == 1e300);
    assert_true(fabs((double)tiny.approx - 1) < 1e-15);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defined_values_are_exact),
        cmocka_unit_test(pi_is_near),
        cmocka_unit_test(other_cases_are_understood_where_they_are_clear),
        cmocka_unit_test(what_differs_is_refused),
        cmocka_unit_test(every_name_of_the_table_reads),
        cmocka_unit_test(lines_come_back),
        cmocka_unit_test(decimals_are_fractions),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
