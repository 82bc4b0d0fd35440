/* The demo plant over a simulated shift, and the devices files as the gateway reads them. */
#include "base/mem.h"
#include "model/device.h"
#include "sim/devices_file.h"
#include "sim/load.h"
#include "sim/plant.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct plant *
plant_new(uint64_t seed)
{
    struct plant *p = mem_alloc(sizeof *p);

    plant_init(p, seed);
    return p;
}

static void
plant_free(struct plant *p)
{
    plant_fini(p);
    free(p);
}

static void
run(struct plant *p, unsigned seconds)
{
    for (unsigned i = 0; i < seconds * 10; i++)
        plant_step(p, 0.1);
}

static double
value_of(const struct plant *p, const struct plant_point *point)
{
    double v;

    memcpy(&v, (const char *)p + point->offset, sizeof v);
    return v;
}

static void
stays_within_its_ranges_for_a_shift(void **state)
{
    struct plant *p = plant_new(7);

    (void)state;
    for (unsigned minute = 0; minute < 8 * 60; minute++) {
        run(p, 60);
        for (unsigned i = 0; i < plant_point_count; i++) {
            double v = value_of(p, &plant_points[i]);
            if (!(v >= plant_points[i].low - 1e-9 && v <= plant_points[i].high + 1e-9))
                fail_msg("%s.%s is %g after %u minutes", plant_points[i].device, plant_points[i].name, v, minute);
        }
    }
    plant_free(p);
}

static void
makes_bottles(void **state)
{
    struct plant *p = plant_new(1);
    double bottles = p->fil_bottles, packs = p->pak_packs, energy = p->pwr_energy, water = p->raw_total;

    (void)state;
    run(p, 3600);
    assert_true(p->fil_bottles - bottles > 18000 && p->fil_bottles - bottles < 24000);
    assert_true((p->pak_packs - packs) * 6 > 17000);
    assert_true(p->pwr_energy - energy > 100 && p->pwr_energy - energy < 320);
    assert_true(p->raw_total - water > 5000);
    assert_true(p->fil_rejects > 2391);
    plant_free(p);
}

static const struct plant_point *
point_of(const char *device, const char *name)
{
    for (unsigned i = 0; i < plant_point_count; i++)
        if (strcmp(plant_points[i].device, device) == 0 && strcmp(plant_points[i].name, name) == 0)
            return &plant_points[i];
    fail_msg("no point %s.%s", device, name);
    return NULL;
}

/* As a client does it: cells, then the hook. */
static void
write_cells(struct plant *p, enum plant_device d, const struct plant_point *point, const uint16_t *cells)
{
    struct memory *m = &p->memories[d];

    memcpy(m->cells[point->table] + plant_address(point), cells, plant_size(point) * sizeof *cells);
    m->after_write(m->arg, m, point->table, plant_address(point), plant_size(point));
}

static void
set_points_act_and_are_bounded(void **state)
{
    struct plant *p = plant_new(3);
    const struct plant_point *sp = point_of("fil", "speed_sp"), *enable = point_of("air", "enable");
    uint16_t cells[2], off[1] = {0};

    (void)state;
    memory_put_float(cells, 200);
    write_cells(p, PLANT_FIL, sp, cells);
    run(p, 120);
    assert_true(p->fil_speed < 210);
    memory_put_float(cells, 10000);
    write_cells(p, PLANT_FIL, sp, cells);
    assert_true(p->fil_speed_sp <= 500);
    assert_true(memory_get_float(p->memories[PLANT_FIL].cells[MEMORY_HOLDING] + plant_address(sp)) <= 500);
    write_cells(p, PLANT_AIR, enable, off);
    run(p, 600); /* without air the filler starves */
    assert_true(p->air_pressure < 5.5 && p->air_pressure_low > 0);
    assert_true(p->fil_speed < 1);
    plant_free(p);
}

static void
cleaning_runs_through_its_phases(void **state)
{
    struct plant *p = plant_new(5);
    const struct plant_point *start = point_of("cip", "start");
    uint16_t on[1] = {1};
    double cycles = p->cip_cycles, hottest = 0;

    (void)state;
    write_cells(p, PLANT_CIP, start, on);
    run(p, 10);
    assert_true(p->cip_phase > 0.5 && p->fil_state > 5.5);
    for (unsigned i = 0; i < 60; i++) {
        run(p, 10);
        hottest = p->cip_supply_temperature > hottest ? p->cip_supply_temperature : hottest;
    }
    assert_true(p->cip_phase < 0.5 && p->cip_cycles > cycles);
    assert_true(hottest > 70);
    plant_free(p);
}

static void
points_do_not_overlap(void **state)
{
    struct plant *p = plant_new(1);

    (void)state;
    assert_true(plant_point_count >= 120);
    for (unsigned i = 0; i < plant_point_count; i++)
        for (unsigned j = i + 1; j < plant_point_count; j++) {
            const struct plant_point *a = &plant_points[i], *b = &plant_points[j];
            if (strcmp(a->device, b->device) == 0 && a->table == b->table)
                assert_true(plant_address(a) + plant_size(a) <= plant_address(b));
        }
    plant_free(p);
}

/* --- devices files --- */

struct tally {
    unsigned devices, tags, bad;
};

static void
each(void *arg, struct device *d)
{
    struct tally *t = arg;

    t->devices++;
    t->tags += d->tag_count;
    device_unref(&d);
}

static void
bad(void *arg, const char *device_id, const struct nx_note *why)
{
    struct tally *t = arg;

    t->bad++;
    print_message("%s: %s\n", device_id, why->text);
}

static struct tally
read_back(const struct wbuf *file)
{
    const struct device_options options = {.uns_root = "uns", .default_interval_ms = 1000, .drivers = nx_drivers};
    const struct device_list_ops ops = {each, bad};
    struct arena arena = {0};
    struct conf_node *root;
    struct tally t = {0};
    struct nx_note why = {0};

    if (conf_parse_yaml(&arena, slice(file->p, file->len), "devices.yaml", &root, &why) != NX_OK ||
        device_read_list(&options, root, &ops, &t, &why) != NX_OK)
        fail_msg("%s", why.text);
    arena_free(&arena);
    return t;
}

static void
the_gateway_reads_the_plant(void **state)
{
    struct place places[PLANT_DEVICES];
    struct wbuf file = wbuf_init(0);
    struct tally t;

    (void)state;
    for (unsigned i = 0; i < PLANT_DEVICES; i++)
        places[i] = (struct place){.port = (uint16_t)(5020 + i), .unit = 1};
    devices_file_plant(&file, "127.0.0.1", places);
    t = read_back(&file);
    assert_int_equal(t.bad, 0);
    assert_int_equal(t.devices, PLANT_DEVICES);
    assert_int_equal(t.tags, plant_point_count);
    wbuf_free(&file);
}

static void
the_gateway_reads_the_load(void **state)
{
    struct place places[3] = {{.port = 1, .unit = 1},
                              {.port = 1, .unit = 2, .is_rtu = true},
                              {.line = "/dev/ttyS9", .unit = 3, .baud = 9600}};
    struct wbuf file = wbuf_init(0);
    struct load load;
    struct tally t;

    (void)state;
    load_init(&load, 3, 200, LOAD_FLOAT32);
    devices_file_load(&file, "127.0.0.1", places, &load, "250ms");
    t = read_back(&file);
    assert_int_equal(t.bad, 0);
    assert_int_equal(t.devices, 3);
    assert_int_equal(t.tags, 600);
    wbuf_free(&file);
    load_fini(&load);
}

static void
load_counts_whole_values_only(void **state)
{
    struct load load;
    struct memory *m;

    (void)state;
    load_init(&load, 1, 4, LOAD_FLOAT32);
    m = &load.memories[0];
    m->before_read(NULL, m, MEMORY_HOLDING, 0, 8);
    m->before_read(NULL, m, MEMORY_HOLDING, 1, 4); /* half of 0, all of 1, half of 2 */
    assert_true(memory_get_float(m->cells[MEMORY_HOLDING]) < 1.5f);
    assert_true(memory_get_float(m->cells[MEMORY_HOLDING] + 2) > 1.5f);
    assert_true(memory_get_float(m->cells[MEMORY_HOLDING] + 4) < 1.5f);
    load_fini(&load);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stays_within_its_ranges_for_a_shift),
        cmocka_unit_test(makes_bottles),
        cmocka_unit_test(set_points_act_and_are_bounded),
        cmocka_unit_test(cleaning_runs_through_its_phases),
        cmocka_unit_test(points_do_not_overlap),
        cmocka_unit_test(the_gateway_reads_the_plant),
        cmocka_unit_test(the_gateway_reads_the_load),
        cmocka_unit_test(load_counts_whole_values_only),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
