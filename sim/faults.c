#include "sim/faults.h"

#include "base/mem.h"
#include "base/num.h"

#include <stddef.h>
#include <string.h>

#define HOUR_MS 3600000u

static const struct {
    const char *text, *help;
} kinds[FAULT_KINDS] = {
#define ROW(name, text, help) {text, help},
    FAULTS(ROW)
#undef ROW
};

#define AT(member) offsetof(struct faults, member)

static const struct setting {
    const char *name, *argument; /* argument NULL: on or off */
    size_t offset;
    unsigned max;
    const char *help;
} settings[] = {
    {"fault-rate", "PERMILLE", AT(rate), 1000, "so many replies suffer one of the faults above (1000)"},
    {"late-ms", "MS", AT(late_ms), HOUR_MS, "how late late replies are (1000)"},
    {"delay-ms", "MS", AT(delay_ms), HOUR_MS, "before every reply"},
    {"jitter-ms", "MS", AT(jitter_ms), HOUR_MS, "up to so much more before every reply"},
    {"refuse", NULL, AT(is_refusing), 1, "closes connections at once"},
    {"half-open", NULL, AT(is_half_open), 1, "takes connections and never reads them"},
    {"stop-after", "N", AT(stop_after), 1u << 30, "a connection is not read any more after N requests"},
    {"max-conns", "N", AT(max_conns), UINT16_MAX, "more connections to a port are closed at once"},
    {"max-regs", "N", AT(max_regs), UINT16_MAX, "exception 3 for requests of more registers"},
    {"exception", "REG", AT(exception_reg), FAULT_NO_REG, "exception 2 for requests that touch this wire address"},
    {"vanish", "REG", AT(vanish_reg), FAULT_NO_REG, "exception 2 from this wire address on"},
    {"move", "N", AT(move), UINT16_MAX, "registers move up by N, the first N are missing"},
};

#define DEAD_ROW (FAULT_KINDS + MEM_COUNT(settings))

void
faults_init(struct faults *f, uint64_t seed)
{
    *f = (struct faults){.rate = 1000,
                         .late_ms = 1000,
                         .exception_reg = FAULT_NO_REG,
                         .vanish_reg = FAULT_NO_REG,
                         .seed = seed ? seed : 1};
}

bool
faults_describe(unsigned i, const char **name, const char **argument, const char **help)
{
    *argument = NULL;
    if (i < FAULT_KINDS) {
        *name = kinds[i].text;
        *help = kinds[i].help;
    } else if (i < DEAD_ROW) {
        *name = settings[i - FAULT_KINDS].name;
        *argument = settings[i - FAULT_KINDS].argument;
        *help = settings[i - FAULT_KINDS].help;
    } else if (i == DEAD_ROW) {
        *name = "dead-unit";
        *argument = "N[,M]";
        *help = "these units never answer";
    } else {
        return false;
    }
    return true;
}

static bool
set_dead(struct faults *f, const char *list)
{
    uint32_t dead[8] = {0};

    for (const char *at = list; *at != '\0';) {
        size_t len = strcspn(at, ",");
        uint64_t unit;

        if (!num_u64(slice(at, len), &unit) || unit > 255)
            return false;
        dead[unit / 32] |= 1u << unit % 32;
        at += len + (at[len] == ',');
    }
    memcpy(f->dead, dead, sizeof dead);
    return true;
}

static bool
set_number(struct faults *f, const struct setting *s, const char *value)
{
    unsigned *member = (unsigned *)(void *)((char *)f + s->offset);
    uint64_t v;
    bool is_on = true;

    if (!s->argument) {
        if (value && !num_bool(slice_str(value), &is_on))
            return false;
        *member = is_on;
        return true;
    }
    if (!value || !num_u64(slice_str(value), &v) || v > s->max)
        return false;
    *member = (unsigned)v;
    return true;
}

static bool
set_kind(struct faults *f, unsigned kind, const char *value)
{
    bool is_on = true;

    if (value && !num_bool(slice_str(value), &is_on))
        return false;
    f->kinds = is_on ? f->kinds | 1u << kind : f->kinds & ~(1u << kind);
    return true;
}

/* All but what was counted. */
static void
clear(struct faults *f)
{
    struct faults old = *f;

    faults_init(f, old.seed);
    memcpy(f->drawn, old.drawn, sizeof f->drawn);
}

bool
faults_set(struct faults *f, const char *name, const char *value)
{
    if (strcmp(name, "none") == 0) {
        clear(f);
        return true;
    }
    if (strcmp(name, "dead-unit") == 0)
        return set_dead(f, value ? value : "");
    for (unsigned i = 0; i < FAULT_KINDS; i++)
        if (strcmp(kinds[i].text, name) == 0)
            return set_kind(f, i, value);
    for (size_t i = 0; i < MEM_COUNT(settings); i++)
        if (strcmp(settings[i].name, name) == 0)
            return set_number(f, &settings[i], value);
    return false;
}

unsigned
faults_random(struct faults *f, unsigned n)
{
    return (unsigned)(num_random(&f->seed) % n);
}

static enum fault
nth_kind(unsigned kinds_left, unsigned n)
{
    for (enum fault kind = 0; kind < FAULT_KINDS; kind++)
        if (kinds_left & 1u << kind && n-- == 0)
            return kind;
    return FAULT_NONE;
}

enum fault
faults_draw(struct faults *f, unsigned possible)
{
    unsigned choice = f->kinds & possible;
    enum fault kind = FAULT_NONE;

    if (choice && faults_random(f, 1000) < f->rate)
        kind = nth_kind(choice, faults_random(f, (unsigned)__builtin_popcount(choice)));
    f->drawn[kind]++;
    return kind;
}

bool
faults_spare_replies(const struct faults *f)
{
    return f->kinds == 0 && f->delay_ms == 0 && f->jitter_ms == 0;
}

bool
faults_unit_is_dead(const struct faults *f, unsigned unit)
{
    return f->dead[unit / 32 % 8] >> unit % 32 & 1;
}
