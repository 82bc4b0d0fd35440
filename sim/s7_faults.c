#include "sim/s7_faults.h"

#include "base/mem.h"
#include "base/num.h"

#include <string.h>

#define LATE_MS 1000u

static const char *const kind_names[] = {
#define NAME(name, text) text,
    S7_FAULTS(NAME)
#undef NAME
};

/* --- settings --- */

struct number {
    const char *name;
    unsigned max;
    size_t offset;
};

#define NUMBER(name, max, member)                                                                                      \
    {                                                                                                                  \
        name, max, offsetof(struct s7sim_faults, member)                                                               \
    }
static const struct number numbers[] = {
    NUMBER("fault-rate", S7_RATE_MAX, rate), NUMBER("delay-ms", 3600000, delay_ms),
    NUMBER("late-ms", 3600000, late_ms),     NUMBER("coalesce-ms", 60000, coalesce_ms),
    NUMBER("tpdu-bytes", 1024, tpdu_bytes),
};

static bool
set_number(struct s7sim_faults *f, const char *name, const char *value, bool *is_ok)
{
    uint64_t v;

    for (unsigned i = 0; i < MEM_COUNT(numbers); i++) {
        if (strcmp(numbers[i].name, name) != 0)
            continue;
        *is_ok = num_u64(slice_str(value), &v) && v <= numbers[i].max;
        if (*is_ok)
            *(unsigned *)(void *)((char *)f + numbers[i].offset) = (unsigned)v;
        return true;
    }
    return false;
}

static bool
set_kind(struct s7sim_faults *f, const char *name, const char *value, bool *is_ok)
{
    bool is_on;

    for (unsigned i = 0; i < S7_FAULT_KINDS; i++) {
        if (strcmp(kind_names[i], name) != 0)
            continue;
        *is_ok = num_bool(slice_str(value), &is_on);
        if (!*is_ok)
            return true;
        f->kinds = is_on ? f->kinds | 1u << i : f->kinds & ~(1u << i);
        if (is_on && f->rate == 0)
            f->rate = S7_RATE_MAX;
        return true;
    }
    return false;
}

static bool
set_flag(struct s7sim_faults *f, const char *name, const char *value)
{
    struct {
        const char *name;
        bool *flag;
    } flags[] = {{"split", &f->is_split}, {"refuse", &f->is_refusing}, {"half-open", &f->is_half_open}};

    for (unsigned i = 0; i < MEM_COUNT(flags); i++)
        if (strcmp(flags[i].name, name) == 0)
            return num_bool(slice_str(value), flags[i].flag);
    return false;
}

bool
s7sim_faults_set(struct s7sim_faults *f, const char *name, const char *value)
{
    bool is_ok = false;

    if (strcmp(name, "none") == 0) {
        *f = (struct s7sim_faults){.seed = f->seed};
        return true;
    }
    if (strcmp(name, "seed") == 0)
        return num_u64(slice_str(value), &f->seed) && f->seed != 0;
    if (set_number(f, name, value, &is_ok) || set_kind(f, name, value, &is_ok))
        return is_ok;
    return set_flag(f, name, value);
}

/* --- replies --- */

static uint64_t
draw(struct s7sim_faults *f)
{
    if (f->seed == 0)
        f->seed = 1;
    return num_random(&f->seed) >> 11;
}

enum s7sim_fault
s7sim_faults_draw(struct s7sim_faults *f)
{
    unsigned n, kind = S7_FAULT_NONE;

    if (f->kinds == 0)
        return S7_FAULT_NONE;
    if (draw(f) % S7_RATE_MAX < f->rate) {
        n = (unsigned)(draw(f) % (unsigned)__builtin_popcount(f->kinds));
        for (kind = 0; (f->kinds >> kind & 1) == 0 || n-- > 0; kind++)
            ;
    }
    f->drawn[kind]++;
    return kind;
}

static size_t
garbage(struct s7sim_faults *f, uint8_t *message, size_t len)
{
    for (size_t i = 0; i < len; i++)
        message[i] = (uint8_t)draw(f);
    return len;
}

size_t
s7sim_faults_spoil(struct s7sim_faults *f, enum s7sim_fault kind, uint8_t *message, size_t len)
{
    switch (kind) {
    case S7_FAULT_GARBAGE:
        return garbage(f, message, len);
    case S7_FAULT_CUT:
        return len / 2;
    case S7_FAULT_WRONG_REF:
        message[4] ^= 0x12;
        return len;
    case S7_FAULT_COUNT:
        if (len > 13)
            message[13]++;
        return len;
    default:
        return len;
    }
}

unsigned
s7sim_faults_late_ms(const struct s7sim_faults *f)
{
    return f->late_ms > 0 ? f->late_ms : LATE_MS;
}
