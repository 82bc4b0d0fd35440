/* units_table.c -- atoms of units. Factors are the defined values: international yard and pound (1959), standard
 * gravity, steam-table calorie and Btu (1956), conventional mercury and water columns, US survey units left out. A row
 * is found by any of its names; a name stands in one row only, but for C and F: coulomb and farad with a prefix,
 * degrees without. */
#include "model/units_priv.h"

#include "base/mem.h"

/* names, dimension, n, d */
#define ATOM(names_, dim_, n_, d_, ...)                                                                                \
    {                                                                                                                  \
        .names = names_, .dim = dim_, .n = (n_), .d = (d_), __VA_ARGS__                                                \
    }
#define NAMES(...)                                                                                                     \
    {                                                                                                                  \
        __VA_ARGS__                                                                                                    \
    }
#define DIM(...)                                                                                                       \
    {                                                                                                                  \
        __VA_ARGS__                                                                                                    \
    }
#define PREFIXED .prefixes = UNIT_PREFIXED
#define OF_PI    .pi = 1

#define LEN    DIM([UNIT_M] = 1)
#define AREA   DIM([UNIT_M] = 2)
#define VOL    DIM([UNIT_M] = 3)
#define MASS   DIM([UNIT_KG] = 1)
#define TIME   DIM([UNIT_S] = 1)
#define FORCE  DIM([UNIT_KG] = 1, [UNIT_M] = 1, [UNIT_S] = -2)
#define PRES   DIM([UNIT_KG] = 1, [UNIT_M] = -1, [UNIT_S] = -2)
#define GAUGE  DIM([UNIT_KG] = 1, [UNIT_M] = -1, [UNIT_S] = -2, [UNIT_GAUGE] = 1)
#define ENERGY DIM([UNIT_KG] = 1, [UNIT_M] = 2, [UNIT_S] = -2)
#define POWER  DIM([UNIT_KG] = 1, [UNIT_M] = 2, [UNIT_S] = -3)
#define CUR    DIM([UNIT_A] = 1)
#define VOLT   DIM([UNIT_KG] = 1, [UNIT_M] = 2, [UNIT_S] = -3, [UNIT_A] = -1)
#define OHM    DIM([UNIT_KG] = 1, [UNIT_M] = 2, [UNIT_S] = -3, [UNIT_A] = -2)
#define SIE    DIM([UNIT_KG] = -1, [UNIT_M] = -2, [UNIT_S] = 3, [UNIT_A] = 2)
#define FAR    DIM([UNIT_KG] = -1, [UNIT_M] = -2, [UNIT_S] = 4, [UNIT_A] = 2)
#define HEN    DIM([UNIT_KG] = 1, [UNIT_M] = 2, [UNIT_S] = -2, [UNIT_A] = -2)
#define WB     DIM([UNIT_KG] = 1, [UNIT_M] = 2, [UNIT_S] = -2, [UNIT_A] = -1)
#define TESLA  DIM([UNIT_KG] = 1, [UNIT_S] = -2, [UNIT_A] = -1)
#define COUL   DIM([UNIT_A] = 1, [UNIT_S] = 1)
#define TEMP   DIM([UNIT_K] = 1)
#define FREQ   DIM([UNIT_ANGLE] = 1, [UNIT_S] = -1)
#define ANG    DIM([UNIT_ANGLE] = 1)
#define VEL    DIM([UNIT_M] = 1, [UNIT_S] = -1)
#define ACC    DIM([UNIT_M] = 1, [UNIT_S] = -2)
#define FLOW   DIM([UNIT_M] = 3, [UNIT_S] = -1)
#define DVIS   DIM([UNIT_KG] = 1, [UNIT_M] = -1, [UNIT_S] = -1)
#define KVIS   DIM([UNIT_M] = 2, [UNIT_S] = -1)
#define CD     DIM([UNIT_CD] = 1)
#define LUX    DIM([UNIT_CD] = 1, [UNIT_M] = -2)
#define MOL    DIM([UNIT_MOL] = 1)
#define BQ     DIM([UNIT_S] = -1)
#define SV     DIM([UNIT_M] = 2, [UNIT_S] = -2)
#define ONE    DIM([UNIT_M] = 0)
#define BIT    DIM([UNIT_BIT] = 1)
#define BPS    DIM([UNIT_BIT] = 1, [UNIT_S] = -1)
#define CNT    DIM([UNIT_COUNT] = 1)
#define CPM    DIM([UNIT_COUNT] = 1, [UNIT_S] = -1)
#define VA     DIM([UNIT_VA] = 1)
#define VAH    DIM([UNIT_VA] = 1, [UNIT_S] = 1)
#define VAR    DIM([UNIT_VAR] = 1)
#define VARH   DIM([UNIT_VAR] = 1, [UNIT_S] = 1)
#define NVOL   DIM([UNIT_M] = 3, [UNIT_NORMAL] = 1)
#define SVOL   DIM([UNIT_M] = 3, [UNIT_STANDARD] = 1)
#define SCF    DIM([UNIT_M] = 3, [UNIT_SCF] = 1)
#define SCFM   DIM([UNIT_M] = 3, [UNIT_SCF] = 1, [UNIT_S] = -1)
#define PH     DIM([UNIT_PH] = 1)
#define DB     DIM([UNIT_DB] = 1)
#define TURB   DIM([UNIT_TURBIDITY] = 1)
#define GSM    DIM([UNIT_KG] = 1, [UNIT_M] = -2)
#define TEX    DIM([UNIT_KG] = 1, [UNIT_M] = -1)

const struct unit_atom unit_atoms[] = {
    /* Length, area, volume */
    ATOM(NAMES("m", "meter", "metre", "meters", "metres", "mtr"), LEN, 1, 1, PREFIXED),
    ATOM(NAMES("in", "inch", "inches", "\"", "″", "[in_i]"), LEN, 127, 5000, .pi = 0),
    ATOM(NAMES("ft", "foot", "feet", "'", "[ft_i]"), LEN, 381, 1250, .pi = 0),
    ATOM(NAMES("yd", "yard", "yards", "[yd_i]"), LEN, 1143, 1250, .pi = 0),
    ATOM(NAMES("mi", "mile", "miles", "[mi_i]"), LEN, 201168, 125, .pi = 0),
    ATOM(NAMES("nmi", "NM", "[nmi_i]"), LEN, 1852, 1, .pi = 0),
    ATOM(NAMES("mil", "mils", "thou", "[mil_i]"), LEN, 127, 5000000, .pi = 0),
    ATOM(NAMES("micron", "microns"), LEN, 1, 1000000, .pi = 0),
    ATOM(NAMES("Å", "angstrom", "Ao"), LEN, 1, 10000000000, .pi = 0),
    ATOM(NAMES("ha", "hectare", "har"), AREA, 10000, 1, .pi = 0),
    ATOM(NAMES("acre", "acres", "ac", "[acr_us]"), AREA, 316160658, 78125, .pi = 0),
    ATOM(NAMES("sqm", "qm"), AREA, 1, 1, .pi = 0),
    ATOM(NAMES("sqft", "sq.ft", "sf"), AREA, 145161, 1562500, .pi = 0),
    ATOM(NAMES("sqin", "sq.in"), AREA, 16129, 25000000, .pi = 0),
    ATOM(NAMES("L", "l", "liter", "litre", "liters", "litres", "ltr", "Ltr", "lt"), VOL, 1, 1000, PREFIXED),
    ATOM(NAMES("cc", "ccm"), VOL, 1, 1000000, .pi = 0),
    ATOM(NAMES("cbm", "CBM", "cum"), VOL, 1, 1, .pi = 0),
    ATOM(NAMES("gal", "gallon", "gallons", "USgal", "gal_us", "[gal_us]", "GAL"), VOL, 473176473, 125000000000,
         .pi = 0),
    ATOM(NAMES("gal_uk", "impgal", "igal", "UKgal", "[gal_br]"), VOL, 454609, 100000000, .pi = 0),
    ATOM(NAMES("qt", "quart", "[qt_us]"), VOL, 473176473, 500000000000, .pi = 0),
    ATOM(NAMES("pt", "pint", "[pt_us]"), VOL, 473176473, 1000000000000, .pi = 0),
    ATOM(NAMES("floz", "fl.oz", "[foz_us]"), VOL, 473176473, 16000000000000, .pi = 0),
    ATOM(NAMES("bbl", "barrel", "barrels", "[bbl_us]", "BBL"), VOL, 9936705933, 62500000000, .pi = 0),
    ATOM(NAMES("cuft", "cu.ft", "cf", "[cft_i]"), VOL, 55306341, 1953125000, .pi = 0),
    ATOM(NAMES("cuin", "cu.in", "[cin_i]"), VOL, 2048383, 125000000000, .pi = 0),
    ATOM(NAMES("Nm3", "m3N", "m3(n)", "Nm3n", "NCM"), NVOL, 1, 1, .pi = 0),
    ATOM(NAMES("Nl", "NL", "lN", "ln"), NVOL, 1, 1000, .pi = 0),
    ATOM(NAMES("Nml", "NmL"), NVOL, 1, 1000000, .pi = 0),
    ATOM(NAMES("Sm3", "m3S", "SCM", "m3(s)"), SVOL, 1, 1, .pi = 0),
    ATOM(NAMES("Sl", "SL"), SVOL, 1, 1000, .pi = 0),
    ATOM(NAMES("scf", "SCF"), SCF, 55306341, 1953125000, .pi = 0),
    /* Flow */
    ATOM(NAMES("gpm", "GPM", "usgpm", "USGPM", "gal/min"), FLOW, 157725491, 2500000000000, .pi = 0),
    ATOM(NAMES("gph", "GPH"), FLOW, 157725491, 150000000000000, .pi = 0),
    ATOM(NAMES("gpd", "GPD"), FLOW, 157725491, 3600000000000000, .pi = 0),
    ATOM(NAMES("mgd", "MGD"), FLOW, 157725491, 3600000000, .pi = 0),
    ATOM(NAMES("igpm", "IGPM", "impgpm"), FLOW, 454609, 6000000000, .pi = 0),
    ATOM(NAMES("lpm", "LPM", "l/min"), FLOW, 1, 60000, .pi = 0),
    ATOM(NAMES("lph", "LPH"), FLOW, 1, 3600000, .pi = 0),
    ATOM(NAMES("lps", "LPS"), FLOW, 1, 1000, .pi = 0),
    ATOM(NAMES("cmh", "CMH", "cbm/h"), FLOW, 1, 3600, .pi = 0),
    ATOM(NAMES("cfm", "CFM", "ft3/min"), FLOW, 18435447, 39062500000, .pi = 0),
    ATOM(NAMES("cfh", "CFH"), FLOW, 6145149, 781250000000, .pi = 0),
    ATOM(NAMES("cfs", "CFS", "cusec"), FLOW, 55306341, 1953125000, .pi = 0),
    ATOM(NAMES("bpd", "BPD", "bbl/d"), FLOW, 1104078437, 600000000000000, .pi = 0),
    ATOM(NAMES("scfm", "SCFM"), SCFM, 18435447, 39062500000, .pi = 0),
    ATOM(NAMES("scfh", "SCFH"), SCFM, 6145149, 781250000000, .pi = 0),
    ATOM(NAMES("scfd", "SCFD"), SCFM, 2048383, 6250000000000, .pi = 0),
    /* Mass */
    ATOM(NAMES("g", "gram", "grams", "gm", "gramme"), MASS, 1, 1000, PREFIXED),
    ATOM(NAMES("t", "tonne", "tonnes", "mt", "MT", "to"), MASS, 1000, 1, PREFIXED),
    ATOM(NAMES("lb", "lbs", "lbm", "pound", "pounds", "[lb_av]"), MASS, 45359237, 100000000, .pi = 0),
    ATOM(NAMES("klb", "klbs"), MASS, 45359237, 100000, .pi = 0),
    ATOM(NAMES("oz", "ounce", "ounces", "[oz_av]"), MASS, 45359237, 1600000000, .pi = 0),
    ATOM(NAMES("gr", "grain", "grains", "[gr]"), MASS, 6479891, 100000000000, .pi = 0),
    ATOM(NAMES("ton_us", "ston", "tn.sh", "shortton", "[ston_av]"), MASS, 45359237, 50000, .pi = 0),
    ATOM(NAMES("ton_uk", "lton", "longton", "[lton_av]"), MASS, 317514659, 312500, .pi = 0),
    ATOM(NAMES("ct", "carat", "carats"), MASS, 1, 5000, .pi = 0),
    ATOM(NAMES("dt", "dz"), MASS, 100, 1, .pi = 0),
    ATOM(NAMES("gsm"), GSM, 1, 1000, .pi = 0),
    ATOM(NAMES("tex"), TEX, 1, 1000000, PREFIXED),
    ATOM(NAMES("den", "denier"), TEX, 1, 9000000, .pi = 0),
    /* Time, frequency, angle */
    ATOM(NAMES("s", "sec", "second", "seconds", "secs"), TIME, 1, 1, PREFIXED),
    ATOM(NAMES("min", "minute", "minutes", "mins", "Min", "MIN"), TIME, 60, 1, .pi = 0),
    ATOM(NAMES("h", "hr", "hour", "hours", "hrs", "Std"), TIME, 3600, 1, .pi = 0),
    ATOM(NAMES("d", "day", "days", "Tag"), TIME, 86400, 1, .pi = 0),
    ATOM(NAMES("wk", "week", "weeks"), TIME, 604800, 1, .pi = 0),
    ATOM(NAMES("a", "yr", "year", "years", "ann"), TIME, 31557600, 1, .pi = 0),
    ATOM(NAMES("Hz", "hertz", "Hertz", "cps", "rps", "rev/s", "r/s", "U/s", "1/s", "s-1", "/s"), FREQ, 2, 1, PREFIXED,
         OF_PI),
    ATOM(NAMES("rpm", "RPM", "r/min", "rev/min", "U/min", "1/min", "min-1", "/min", "upm", "UPM", "tr/min", "u/min"),
         FREQ, 1, 30, OF_PI),
    ATOM(NAMES("rph", "r/h", "1/h", "h-1", "/h"), FREQ, 1, 1800, OF_PI),
    ATOM(NAMES("rad", "radian", "radians"), ANG, 1, 1, PREFIXED),
    ATOM(NAMES("°", "deg", "degree", "degrees"), ANG, 1, 180, OF_PI),
    ATOM(NAMES("rev", "turn", "turns", "revolution", "revolutions", "Umdr"), ANG, 2, 1, OF_PI),
    ATOM(NAMES("gon", "grad"), ANG, 1, 200, OF_PI),
    ATOM(NAMES("arcmin"), ANG, 1, 10800, OF_PI),
    ATOM(NAMES("arcsec"), ANG, 1, 648000, OF_PI),
    ATOM(NAMES("sr", "steradian"), ONE, 1, 1, .pi = 0),
    /* Speed, acceleration */
    ATOM(NAMES("kn", "knot", "knots", "kts", "[kn_i]"), VEL, 463, 900, .pi = 0),
    ATOM(NAMES("mph", "MPH", "mi/h"), VEL, 1397, 3125, .pi = 0),
    ATOM(NAMES("km/h", "kmh", "kph", "KPH", "KMH"), VEL, 5, 18, .pi = 0),
    ATOM(NAMES("fpm", "FPM"), VEL, 127, 25000, .pi = 0),
    ATOM(NAMES("fps", "FPS"), VEL, 381, 1250, .pi = 0),
    ATOM(NAMES("ips", "IPS"), VEL, 127, 5000, .pi = 0),
    ATOM(NAMES("mpm"), VEL, 1, 60, .pi = 0),
    ATOM(NAMES("gn", "g_n", "gee", "[g]"), ACC, 196133, 20000, .pi = 0),
    ATOM(NAMES("Galileo"), ACC, 1, 100, .pi = 0),
    /* Force, pressure */
    ATOM(NAMES("N", "newton", "newtons"), FORCE, 1, 1, PREFIXED),
    ATOM(NAMES("kgf", "kp", "kG"), FORCE, 196133, 20000, .pi = 0),
    ATOM(NAMES("gf", "pond"), FORCE, 196133, 20000000, .pi = 0),
    ATOM(NAMES("tf", "Mp"), FORCE, 196133, 20, .pi = 0),
    ATOM(NAMES("lbf", "[lbf_av]", "lb-f"), FORCE, 8896443230521, 2000000000000, .pi = 0),
    ATOM(NAMES("klbf", "kip", "kips"), FORCE, 8896443230521, 2000000000, .pi = 0),
    ATOM(NAMES("ozf"), FORCE, 8896443230521, 32000000000000, .pi = 0),
    ATOM(NAMES("dyn", "dyne"), FORCE, 1, 100000, PREFIXED),
    ATOM(NAMES("Pa", "pascal", "Paa", "Pa(a)", "PaA"), PRES, 1, 1, PREFIXED),
    ATOM(NAMES("bar", "bars", "bara", "bar(a)", "barA", "bar_a", "barabs"), PRES, 100000, 1, PREFIXED),
    ATOM(NAMES("psi", "psia", "PSI", "PSIA", "psi(a)", "lb/in2", "lbs/in2", "[psi]"), PRES, 8896443230521, 1290320000,
         .pi = 0),
    ATOM(NAMES("ksi", "kpsi"), PRES, 8896443230521, 1290320, .pi = 0),
    ATOM(NAMES("psf", "lb/ft2"), PRES, 8896443230521, 185806080000, .pi = 0),
    ATOM(NAMES("atm", "ATM"), PRES, 101325, 1, .pi = 0),
    ATOM(NAMES("at", "ata", "kg/cm2", "kgf/cm2", "kp/cm2", "att"), PRES, 196133, 2, .pi = 0),
    ATOM(NAMES("Torr", "torr"), PRES, 20265, 152, PREFIXED),
    ATOM(NAMES("mmHg", "mm[Hg]", "m[Hg]", "mmhg"), PRES, 26664477483, 200000000, .pi = 0),
    ATOM(NAMES("cmHg", "cm[Hg]"), PRES, 26664477483, 20000000, .pi = 0),
    ATOM(NAMES("inHg", "in[Hg]", "[in_i'Hg]", "\"Hg", "inhg"), PRES, 3386388640341, 1000000000, .pi = 0),
    ATOM(NAMES("mmH2O", "mmWC", "mmWS", "mmWG", "mm[H2O]", "mmCA", "mmh2o", "mmH₂O"), PRES, 196133, 20000, .pi = 0),
    ATOM(NAMES("cmH2O", "cmWC", "cmWS", "cm[H2O]", "cmh2o"), PRES, 196133, 2000, .pi = 0),
    ATOM(NAMES("mH2O", "mWC", "mWS", "mCE", "mca", "m[H2O]", "mwc"), PRES, 196133, 20, .pi = 0),
    ATOM(NAMES("inH2O", "inWC", "\"H2O", "inWG", "iwc", "iwg", "in[H2O]", "\"WC", "\"wc", "inh2o", "wc", "[in_i'H2O]"),
         PRES, 24908891, 100000, .pi = 0),
    ATOM(NAMES("ftH2O", "ft[H2O]", "fth2o"), PRES, 74726673, 25000, .pi = 0),
    ATOM(NAMES("Pag", "Pa(g)", "PaG", "Pa_g"), GAUGE, 1, 1, PREFIXED),
    ATOM(NAMES("barg", "bar(g)", "barG", "bar_g", "barü", "barÜ", "atü"), GAUGE, 100000, 1, PREFIXED),
    ATOM(NAMES("psig", "PSIG", "psi(g)", "psiG", "psi_g"), GAUGE, 8896443230521, 1290320000, .pi = 0),
    /* Energy, torque, power */
    ATOM(NAMES("J", "joule", "joules"), ENERGY, 1, 1, PREFIXED),
    ATOM(NAMES("Wh", "watthour"), ENERGY, 3600, 1, PREFIXED),
    ATOM(NAMES("Ws"), ENERGY, 1, 1, PREFIXED),
    ATOM(NAMES("cal", "[cal]", "cal_th"), ENERGY, 523, 125, PREFIXED),
    ATOM(NAMES("cal_IT", "[cal_IT]"), ENERGY, 10467, 2500, PREFIXED),
    ATOM(NAMES("erg"), ENERGY, 1, 10000000, .pi = 0),
    ATOM(NAMES("Btu", "BTU", "btu", "[Btu]", "BTU_IT", "Btu_IT", "[Btu_IT]"), ENERGY, 52752792631, 50000000, .pi = 0),
    ATOM(NAMES("kBtu", "kBTU"), ENERGY, 52752792631, 50000, .pi = 0),
    ATOM(NAMES("MMBtu", "MMBTU", "mmBTU", "mmbtu"), ENERGY, 52752792631, 50, .pi = 0),
    ATOM(NAMES("thm", "therm", "therms"), ENERGY, 52752792631, 500, .pi = 0),
    ATOM(NAMES("toe"), ENERGY, 41868000000, 1, .pi = 0),
    ATOM(NAMES("Nm", "N-m", "newtonmeter"), ENERGY, 1, 1, PREFIXED),
    ATOM(NAMES("kgfm", "kgf-m", "kgf.m", "kpm", "kgm"), ENERGY, 196133, 20000, .pi = 0),
    ATOM(NAMES("ft.lbf", "ft-lbf", "ft-lb", "ftlb", "lbf-ft", "lb-ft", "lbf.ft", "ft*lbf", "lbft", "ftlbf", "lbfft",
               "ft.lb"),
         ENERGY, 3389544870828501, 2500000000000000, .pi = 0),
    ATOM(NAMES("in.lbf", "in-lbf", "in-lb", "inlb", "lbf-in", "lb-in", "lbf.in", "lbfin", "in.lb"), ENERGY,
         1129848290276167, 10000000000000000, .pi = 0),
    ATOM(NAMES("ozf.in", "oz-in", "ozf-in"), ENERGY, 1129848290276167, 160000000000000000, .pi = 0),
    ATOM(NAMES("W", "watt", "watts"), POWER, 1, 1, PREFIXED),
    ATOM(NAMES("hp", "HP", "[HP]", "horsepower", "bhp", "BHP"), POWER, 37284993579113511, 50000000000000, .pi = 0),
    ATOM(NAMES("PS", "CV", "hpM", "hp(M)", "ch", "pk", "hp_m"), POWER, 588399, 800, .pi = 0),
    ATOM(NAMES("hpE", "hp(E)", "hp_e"), POWER, 746, 1, .pi = 0),
    ATOM(NAMES("TR", "RT", "tonref", "ton_r", "TonRefr"), POWER, 52752792631, 15000000, .pi = 0),
    ATOM(NAMES("BTUh", "Btuh", "BTUH", "btuh"), POWER, 52752792631, 180000000000, .pi = 0),
    ATOM(NAMES("MBH", "MBTUH", "kBTUh"), POWER, 52752792631, 180000000, .pi = 0),
    ATOM(NAMES("VA", "VoltAmpere"), VA, 1, 1, PREFIXED),
    ATOM(NAMES("VAh"), VAH, 3600, 1, PREFIXED),
    ATOM(NAMES("var", "VAr", "VAR", "Var"), VAR, 1, 1, PREFIXED),
    ATOM(NAMES("varh", "VArh", "VARh", "Varh"), VARH, 3600, 1, PREFIXED),
    /* Electricity and light */
    ATOM(NAMES("A", "amp", "amps", "ampere", "Amp", "Aac", "Adc", "AAC", "ADC", "Arms"), CUR, 1, 1, PREFIXED),
    ATOM(NAMES("V", "volt", "volts", "Volt", "Vac", "Vdc", "VAC", "VDC", "Vrms", "Vpp"), VOLT, 1, 1, PREFIXED),
    ATOM(NAMES("Ohm", "ohm", "ohms", "Ω", "OHM"), OHM, 1, 1, PREFIXED),
    ATOM(NAMES("S", "siemens", "mho", "Siemens"), SIE, 1, 1, PREFIXED),
    ATOM(NAMES("F"), FAR, 1, 1, .prefixes = UNIT_ONLY_PREFIXED),
    ATOM(NAMES("farad"), FAR, 1, 1, PREFIXED),
    ATOM(NAMES("H", "henry"), HEN, 1, 1, PREFIXED),
    ATOM(NAMES("Wb", "weber"), WB, 1, 1, PREFIXED),
    ATOM(NAMES("T", "tesla"), TESLA, 1, 1, PREFIXED),
    ATOM(NAMES("Gs", "gauss", "Gauss"), TESLA, 1, 10000, PREFIXED),
    ATOM(NAMES("C"), COUL, 1, 1, .prefixes = UNIT_ONLY_PREFIXED),
    ATOM(NAMES("coulomb"), COUL, 1, 1, PREFIXED),
    ATOM(NAMES("Ah", "Amph"), COUL, 3600, 1, PREFIXED),
    ATOM(NAMES("cd", "candela"), CD, 1, 1, PREFIXED),
    ATOM(NAMES("lm", "lumen"), CD, 1, 1, PREFIXED),
    ATOM(NAMES("lx", "lux", "Lux"), LUX, 1, 1, PREFIXED),
    /* Temperature */
    ATOM(NAMES("K", "kelvin", "Kelvin", "degK", "°K"), TEMP, 1, 1, PREFIXED),
    ATOM(NAMES("°C", "degC", "Cel", "celsius", "Celsius", "C", "oC", "ºC", "DegC", "grdC", "DEGC", "degc"), TEMP, 1, 1,
         .offset_n = 5463, .offset_d = 20),
    ATOM(NAMES("°F", "degF", "[degF]", "F", "fahrenheit", "Fahrenheit", "oF", "ºF", "DegF", "DEGF", "degf"), TEMP, 5, 9,
         .offset_n = 45967, .offset_d = 100),
    ATOM(NAMES("°R", "degR", "rankine", "Rankine", "[degR]"), TEMP, 5, 9, .pi = 0),
    ATOM(NAMES("ΔK", "dK", "deltaK", "delta_K", "Δ°C", "delta_degC", "deltaC", "K(diff)", "°C(diff)"), TEMP, 1, 1,
         .pi = 0),
    ATOM(NAMES("Δ°F", "delta_degF", "deltaF", "ΔF", "°F(diff)"), TEMP, 5, 9, .pi = 0),
    /* Viscosity, radiation, substance */
    ATOM(NAMES("P", "poise"), DVIS, 1, 10, PREFIXED),
    ATOM(NAMES("St", "stokes", "Stokes"), KVIS, 1, 10000, PREFIXED),
    ATOM(NAMES("mol", "mole"), MOL, 1, 1, PREFIXED),
    ATOM(NAMES("Bq", "becquerel"), BQ, 1, 1, PREFIXED),
    ATOM(NAMES("Ci", "curie"), BQ, 37000000000, 1, PREFIXED),
    ATOM(NAMES("Sv", "sievert"), SV, 1, 1, PREFIXED),
    ATOM(NAMES("Gy", "gray"), SV, 1, 1, PREFIXED),
    ATOM(NAMES("rem"), SV, 1, 100, PREFIXED),
    /* Numbers */
    ATOM(NAMES("%", "percent", "pct", "Prozent", "%RH", "%rH", "%rF", "%vol", "vol%", "wt%", "%LEL", "%O2", "%w/w"),
         ONE, 1, 100, .pi = 0),
    ATOM(NAMES("%v/v", "Vol%", "Vol.-%", "Gew%", "RH", "%r.F.", "RH%", "rH", "pct."), ONE, 1, 100, .pi = 0),
    ATOM(NAMES("‰", "permille", "promille", "o/oo"), ONE, 1, 1000, .pi = 0),
    ATOM(NAMES("ppm", "ppmv", "ppmw", "[ppm]", "ppmV", "PPM"), ONE, 1, 1000000, .pi = 0),
    ATOM(NAMES("ppb", "ppbv", "ppbw", "[ppb]", "PPB"), ONE, 1, 1000000000, .pi = 0),
    ATOM(NAMES("ppt", "pptv", "[ppt]"), ONE, 1, 1000000000000, .pi = 0),
    ATOM(NAMES("1", "ratio", "pu", "p.u.", "fraction", "none", "unity"), ONE, 1, 1, .pi = 0),
    ATOM(NAMES("pcs", "pc", "pieces", "piece", "Stk", "St.", "Stück", "ea", "count", "counts", "cnt", "units",
               "pulses"),
         CNT, 1, 1, .pi = 0),
    ATOM(NAMES("imp", "Imp", "parts", "items", "bottles", "cans", "cycles"), CNT, 1, 1, .pi = 0),
    ATOM(NAMES("ppmin", "pcs/min"), CPM, 1, 60, .pi = 0),
    ATOM(NAMES("bit", "bits"), BIT, 1, 1, PREFIXED),
    ATOM(NAMES("B", "byte", "bytes", "Byte"), BIT, 8, 1, PREFIXED),
    ATOM(NAMES("KiB", "Ki"), BIT, 8192, 1, .pi = 0),
    ATOM(NAMES("MiB", "Mi"), BIT, 8388608, 1, .pi = 0),
    ATOM(NAMES("GiB", "Gi"), BIT, 8589934592, 1, .pi = 0),
    ATOM(NAMES("TiB", "Ti"), BIT, 8796093022208, 1, .pi = 0),
    ATOM(NAMES("bps", "bit/s", "baud"), BPS, 1, 1, PREFIXED),
    ATOM(NAMES("Bps"), BPS, 8, 1, PREFIXED),
    ATOM(NAMES("pH", "PH", "ph", "[pH]"), PH, 1, 1, .pi = 0),
    ATOM(NAMES("dB", "dB(A)", "dBA"), DB, 1, 1, .pi = 0),
    ATOM(NAMES("NTU", "FNU", "TE/F", "FTU"), TURB, 1, 1, .pi = 0),
};
const unsigned unit_atom_count = MEM_COUNT(unit_atoms);
