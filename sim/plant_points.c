/* plant_points.c -- the register map of the demo plant: points to cells and back. */
#include "base/mem.h"
#include "sim/plant.h"
#include "sim/plant_priv.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

const struct plant_machine plant_machines[PLANT_DEVICES] = {
    [PLANT_RAW] = {"raw", "raw-water", "Raw water tank and pump skid", "acme/bottling/utilities/raw-water", "1s"},
    [PLANT_MIX] = {"mix", "mixer", "Mixer and carbonator", "acme/bottling/process/mixer", "1s"},
    [PLANT_CIP] = {"cip", "cip", "Cleaning in place", "acme/bottling/process/cip", "2s"},
    [PLANT_FIL] = {"fil", "filler", "Filler", "acme/bottling/line1/filler", "500ms"},
    [PLANT_CAP] = {"cap", "capper", "Capper", "acme/bottling/line1/capper", "500ms"},
    [PLANT_LAB] = {"lab", "labeller", "Labeller", "acme/bottling/line1/labeller", "1s"},
    [PLANT_PAK] = {"pak", "packer", "Packer and palletizer", "acme/bottling/line1/packer", "1s"},
    [PLANT_AIR] = {"air", "compressor", "Air compressor", "acme/bottling/utilities/compressor", "1s"},
    [PLANT_CHL] = {"chl", "chiller", "Glycol chiller", "acme/bottling/utilities/chiller", "2s"},
    [PLANT_PWR] = {"pwr", "energy-meter", "Main energy meter", "acme/bottling/utilities/energy-meter", "1s"},
};

const struct plant_point plant_points[] = {
#define ROW(device, name, table, kind, unit, low, high, deadband, help, texts)                                         \
    {#device,                                                                                                          \
     #name,                                                                                                            \
     MEMORY_##table,                                                                                                   \
     POINT_##kind,                                                                                                     \
     unit,                                                                                                             \
     low,                                                                                                              \
     high,                                                                                                             \
     deadband,                                                                                                         \
     help,                                                                                                             \
     texts,                                                                                                            \
     offsetof(struct plant, device##_##name)},
    PLANT_POINTS(ROW)
#undef ROW
};
const unsigned plant_point_count = MEM_COUNT(plant_points);

uint32_t
plant_size(const struct plant_point *point)
{
    return point->kind == POINT_FLOAT || point->kind == POINT_U32 ? 2 : 1;
}

uint32_t
plant_address(const struct plant_point *point)
{
    uint32_t at = 0;

    for (const struct plant_point *q = plant_points; q < point; q++)
        if (q->table == point->table && strcmp(q->device, point->device) == 0)
            at += plant_size(q);
    return at;
}

/* Bytes of the main meter lie low word first, as many meters have it: the demo shows byte_order. */
static bool
is_swapped(const struct plant_point *point)
{
    return strcmp(point->device, "pwr") == 0;
}

static void
swap(uint16_t *cells)
{
    uint16_t t = cells[0];

    cells[0] = cells[1];
    cells[1] = t;
}

static double *
member(struct plant *p, const struct plant_point *point)
{
    return (double *)(void *)((char *)p + point->offset);
}

static void
put_point(struct plant *p, const struct plant_point *point, uint16_t *cells)
{
    double v = *member(p, point);

    switch (point->kind) {
    case POINT_FLOAT:
        memory_put_float(cells, (float)v);
        break;
    case POINT_TENTH:
        cells[0] = (uint16_t)(int16_t)lround(v * 10);
        break;
    case POINT_U32:
        memory_put_u32(cells, (uint32_t)v);
        break;
    default:
        cells[0] = (uint16_t)v;
    }
    if (plant_size(point) == 2 && is_swapped(point))
        swap(cells);
}

static void
get_point(struct plant *p, const struct plant_point *point, const uint16_t *cells)
{
    uint16_t copy[2] = {cells[0], plant_size(point) == 2 ? cells[1] : 0};
    double v;

    if (plant_size(point) == 2 && is_swapped(point))
        swap(copy);
    switch (point->kind) {
    case POINT_FLOAT:
        v = (double)memory_get_float(copy);
        break;
    case POINT_TENTH:
        v = (int16_t)copy[0] / 10.0;
        break;
    case POINT_U32:
        v = memory_get_u32(copy);
        break;
    default:
        v = copy[0];
    }
    if (isfinite(v))
        *member(p, point) = fmin(fmax(v, point->low), point->high);
}

static enum plant_device
device_of(const struct plant_point *point)
{
    unsigned d = 0;

    while (strcmp(plant_machines[d].key, point->device) != 0)
        d++;
    return (enum plant_device)d;
}

/* What a client may not write keeps its value: a set point out of bounds is taken as the bound, as a PLC does. */
static void
after_write(void *arg, struct memory *m, enum memory_table table, uint32_t start, uint32_t n)
{
    struct plant *p = arg;

    for (unsigned i = 0; i < plant_point_count; i++) {
        const struct plant_point *point = &plant_points[i];
        uint32_t at = plant_address(point);
        if (point->table != table || &p->memories[device_of(point)] != m || at >= start + n ||
            at + plant_size(point) <= start)
            continue;
        get_point(p, point, m->cells[table] + at);
        put_point(p, point, m->cells[table] + at);
    }
}

void
plant_map_init(struct plant *p)
{
    uint32_t counts[PLANT_DEVICES][MEMORY_TABLES] = {0};

    for (unsigned i = 0; i < plant_point_count; i++)
        counts[device_of(&plant_points[i])][plant_points[i].table] += plant_size(&plant_points[i]);
    for (unsigned d = 0; d < PLANT_DEVICES; d++) {
        memory_init(&p->memories[d], counts[d]);
        p->memories[d].after_write = after_write;
        p->memories[d].arg = p;
    }
}

void
plant_map_renew(struct plant *p)
{
    uint32_t next[PLANT_DEVICES][MEMORY_TABLES] = {0};

    for (unsigned i = 0; i < plant_point_count; i++) {
        const struct plant_point *point = &plant_points[i];
        enum plant_device d = device_of(point);
        put_point(p, point, p->memories[d].cells[point->table] + next[d][point->table]);
        next[d][point->table] += plant_size(point);
    }
}
