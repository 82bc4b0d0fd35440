/* plant.c -- the physics. Each machine is one function of the state of all; units are those of plant_points.h. */
#include "sim/plant.h"

#include "base/num.h"
#include "sim/plant_priv.h"

#include <math.h>
#include <string.h>

enum { STOPPED, STARTING, RUNNING, STARVED, BLOCKED, FAULT, CLEANING };

#define TANK_M3      60.0
#define MIXER_L      8000.0
#define BUFFER_MAX   600.0
#define PACK         6.0
#define PACKS_PALLET 84

static double
noise(struct plant *p, double amplitude)
{
    return (num_random_unit(&p->seed) * 2 - 1) * amplitude;
}

/* First-order lag towards target. */
static void
follow(double *v, double target, double tau_s, double dt)
{
    *v += (target - *v) * (1 - exp(-dt / tau_s));
}

static double
limit(double v, double low, double high)
{
    return fmin(fmax(v, low), high);
}

static void
step_raw_water(struct plant *p, double dt)
{
    double demand = limit((p->raw_level_sp - p->raw_level) * 8, 0, 100);

    p->raw_pump1_state = demand > 2;
    follow(&p->raw_pump1_speed, p->raw_pump1_state > 0 ? fmax(demand, 30) : 0, 4, dt);
    p->raw_pump2_state = p->raw_pump2_enable > 0 && demand > 70;
    follow(&p->raw_pump2_speed, p->raw_pump2_state > 0 ? demand : 0, 4, dt);
    p->raw_pump1_current = p->raw_pump1_speed > 1 ? 4 + 0.28 * p->raw_pump1_speed + noise(p, 0.15) : 0;
    follow(&p->raw_inflow, 0.4 * (p->raw_pump1_speed + p->raw_pump2_speed), 2, dt);
    p->raw_outflow = (p->mix_water_flow * 0.06) + p->cip_flow + noise(p, 0.05);
    p->raw_outflow = fmax(p->raw_outflow, 0);
    p->raw_volume = limit(p->raw_volume + (p->raw_inflow - p->raw_outflow) * dt / 3600, 0, TANK_M3);
    p->raw_level = p->raw_volume / TANK_M3 * 100;
    follow(&p->raw_pressure, 2 + 0.035 * (p->raw_pump1_speed + p->raw_pump2_speed) + noise(p, 0.03), 3, dt);
    follow(&p->raw_temperature, 11 + 2 * sin(p->time_s / 7200), 600, dt);
    follow(&p->raw_turbidity, 0.3 + p->raw_inflow * 0.008 + noise(p, 0.1), 60, dt);
    follow(&p->raw_chlorine, 0.45 + noise(p, 0.1), 90, dt);
    p->pump1_s += p->raw_pump1_state > 0 ? dt : 0;
    p->raw_pump1_hours = 12043 + floor(p->pump1_s / 3600);
    p->raw_total += p->raw_inflow * dt / 3.6;
    p->raw_level_low = p->raw_level < 15;
    p->raw_level_high = p->raw_level > 95;
}

static void
step_mixer(struct plant *p, double dt)
{
    static const double brix_of[] = {0, 0.1, 8.5, 10.6};
    double brix = brix_of[(int)limit(p->mix_recipe, 1, 3)], out = p->fil_speed * p->fil_volume_sp / 1000;
    bool is_on = p->mix_enable > 0 && p->cip_phase < 1 && p->raw_level > 2;
    double wanted = is_on ? limit((75 - p->mix_level) * 60, 0, 800) : 0;

    follow(&p->mix_syrup_flow, wanted * brix / 65, 5, dt);
    follow(&p->mix_water_flow, wanted * (1 - brix / 65), 4, dt);
    p->mix_level =
        limit(p->mix_level + (p->mix_water_flow + p->mix_syrup_flow - out) * dt / 60 / MIXER_L * 100, 0, 100);
    follow(&p->mix_brix, brix + noise(p, 0.15), 120, dt);
    follow(&p->mix_co2, p->mix_co2_sp + noise(p, 0.1), 90, dt);
    follow(&p->mix_conductivity, 0.4 + brix * 0.12 + noise(p, 0.02), 60, dt);
    follow(&p->mix_temperature, fmax(p->mix_temperature_sp, p->chl_supply_temperature + 1) + noise(p, 0.2), 180, dt);
    follow(&p->mix_agitator_speed, is_on ? 120 : 0, 6, dt);
    p->mix_agitator_current = p->mix_agitator_speed > 1 ? 6 + p->mix_level * 0.06 + noise(p, 0.2) : 0;
    p->mix_state = p->cip_phase >= 1 ? CLEANING : !is_on ? STOPPED : wanted > 1 ? RUNNING : BLOCKED;
    p->mix_deviation = fabs(p->mix_brix - brix) > 0.5;
}

static void
next_cip_phase(struct plant *p)
{
    static const double length_s[] = {0, 60, 180, 60, 120, 90};

    p->cip_phase = p->cip_phase >= 5 ? 0 : p->cip_phase + 1;
    if (p->cip_phase < 1)
        p->cip_cycles++;
    p->cip_left_s = length_s[(int)p->cip_phase];
}

static void
step_cip(struct plant *p, double dt)
{
    bool is_hot, is_dosed;

    if (p->cip_start > 0 && p->cip_phase < 1)
        next_cip_phase(p);
    p->cip_start = 0;
    p->cip_left_s -= dt;
    if (p->cip_phase >= 1 && p->cip_left_s <= 0)
        next_cip_phase(p);
    is_dosed = fabs(p->cip_phase - 2) < 0.5 || fabs(p->cip_phase - 4) < 0.5;
    is_hot = p->cip_phase >= 1 && is_dosed;
    p->cip_remaining = p->cip_phase >= 1 ? ceil(fmax(p->cip_left_s, 0)) : 0;
    follow(&p->cip_flow, p->cip_phase >= 1 ? 18 + noise(p, 0.3) : 0, 5, dt);
    follow(&p->cip_supply_temperature, is_hot ? p->cip_temperature_sp : 22, 40, dt);
    follow(&p->cip_return_temperature, p->cip_supply_temperature - (is_hot ? 4 : 0.5), 30, dt);
    follow(&p->cip_conductivity, is_dosed ? 72 + noise(p, 1) : 0.6, 20, dt);
    if (is_dosed && p->cip_phase < 3)
        p->cip_caustic_level -= 0.02 * dt;
    else if (is_dosed)
        p->cip_acid_level -= 0.02 * dt;
    if (p->cip_phase < 1) { /* topped up between programmes */
        p->cip_caustic_level = fmin(p->cip_caustic_level + 0.01 * dt, 92);
        p->cip_acid_level = fmin(p->cip_acid_level + 0.01 * dt, 90);
    }
    p->cip_low_chemicals = p->cip_caustic_level < 10 || p->cip_acid_level < 10;
}

/* The filler jams about every ten minutes for some 20 seconds. */
static double
filler_state(struct plant *p, double dt)
{
    if (p->stop_left_s > 0) {
        p->stop_left_s -= dt;
        return FAULT;
    }
    if (p->cip_phase >= 1)
        return CLEANING;
    if (p->fil_enable < 1 || p->fil_speed_sp < 1)
        return STOPPED;
    if (p->mix_level < 5 || p->air_pressure < 5)
        return STARVED;
    if (p->buffer >= BUFFER_MAX)
        return BLOCKED;
    if (p->fil_speed > 50 && num_random_unit(&p->seed) < dt / 600) {
        p->stop_left_s = 10 + 25 * num_random_unit(&p->seed);
        p->fil_fault_code = 1 + floor(num_random_unit(&p->seed) * 4);
        return FAULT;
    }
    return p->fil_speed < 0.9 * p->fil_speed_sp ? STARTING : RUNNING;
}

static void
step_filler(struct plant *p, double dt)
{
    bool is_on;
    double made;

    p->fil_state = filler_state(p, dt);
    is_on = p->fil_state > STOPPED && p->fil_state < STARVED;
    follow(&p->fil_speed, is_on ? p->fil_speed_sp : 0, is_on ? 6 : 1.5, dt);
    if (!is_on && p->fil_speed < 0.5)
        p->fil_speed = 0;
    made = p->fil_speed / 60 * dt;
    p->fil_bottles += made * 0.998;
    p->fil_rejects += made * 0.002;
    p->buffer = limit(p->buffer + made, 0, BUFFER_MAX);
    if (p->fil_state < FAULT)
        p->fil_fault_code = 0;
    p->fil_fault = p->fil_state > BLOCKED && p->fil_state < CLEANING;
    p->fil_guard_closed = !(p->fil_fault > 0 && p->fil_fault_code > 2 && p->fil_fault_code < 4);
    follow(&p->fil_bowl_level, p->mix_level > 5 ? 65 + noise(p, 3) : 5, 8, dt);
    follow(&p->fil_bowl_pressure, 2.2 + 0.35 * p->mix_co2 + noise(p, 0.05), 6, dt);
    follow(&p->fil_product_temperature, p->mix_temperature + 0.8, 60, dt);
    follow(&p->fil_fill_volume, p->fil_volume_sp + noise(p, 2.5), 3, dt);
    p->fil_main_current = p->fil_speed > 1 ? 12 + 0.06 * p->fil_speed + noise(p, 0.4) : 0;
    follow(&p->fil_vibration, 0.3 + p->fil_speed * 0.006 + noise(p, 0.2), 4, dt);
}

/* Capper and labeller sit on the filler's starwheel: they run with it while they have material. */
static double
coupled_state(const struct plant *p, double enable, double material)
{
    if (enable < 1)
        return STOPPED;
    if (material < 0.5)
        return STARVED;
    return p->fil_speed > 1 ? RUNNING : STARVED;
}

static void
step_capper(struct plant *p, double dt)
{
    double made;

    p->cap_state = coupled_state(p, p->cap_enable, p->cap_hopper_level);
    follow(&p->cap_speed, p->cap_state < STARVED && p->cap_state > STOPPED ? p->fil_speed : 0, 1, dt);
    made = p->cap_speed / 60 * dt;
    p->cap_caps += made;
    p->cap_rejects += made * 0.001;
    p->cap_hopper_level -= made / 12000 * 100;
    if (p->cap_hopper_level < 8 && num_random_unit(&p->seed) < dt / 30) /* somebody fills it up */
        p->cap_hopper_level = 100;
    follow(&p->cap_torque, p->cap_speed > 1 ? p->cap_torque_sp + noise(p, 0.1) : 0, 2, dt);
    p->cap_current = p->cap_speed > 1 ? 5 + 0.02 * p->cap_speed + noise(p, 0.2) : 0;
    p->cap_hopper_low = p->cap_hopper_level < 10;
}

static void
step_labeller(struct plant *p, double dt)
{
    double made;

    p->lab_state = coupled_state(p, p->lab_enable, p->lab_reel_left);
    follow(&p->lab_speed, p->lab_state < STARVED && p->lab_state > STOPPED ? p->cap_speed : 0, 1, dt);
    made = p->lab_speed / 60 * dt;
    p->lab_labels += made;
    p->lab_rejects += made * 0.0015;
    p->lab_reel_left -= made / 20000 * 100;
    if (p->lab_reel_left < 3 && num_random_unit(&p->seed) < dt / 30)
        p->lab_reel_left = 100;
    follow(&p->lab_glue_temperature, p->lab_enable > 0 ? p->lab_glue_sp + noise(p, 1) : 25, 90, dt);
    follow(&p->lab_position_error, noise(p, 0.6), 5, dt);
    p->lab_reel_low = p->lab_reel_left < 5;
}

static void
step_packer(struct plant *p, double dt)
{
    bool is_on = p->pak_enable > 0 && p->buffer > 1 && p->pak_oven_temperature > p->pak_oven_sp - 25;
    double made;

    p->pak_state = p->pak_enable < 1 ? STOPPED : is_on ? RUNNING : p->buffer > 1 ? STARTING : STARVED;
    follow(&p->pak_speed, is_on ? limit(p->buffer, 20, 75) : 0, 5, dt);
    made = fmin(p->pak_speed / 60 * dt, p->buffer / PACK);
    p->buffer -= made * PACK;
    p->pak_packs += made;
    p->pak_pallets = floor(p->pak_packs / PACKS_PALLET);
    p->pak_layer = fmod(floor(p->pak_packs), PACKS_PALLET);
    p->pak_film_left -= made / 3000 * 100;
    if (p->pak_film_left < 2)
        p->pak_film_left = 100;
    follow(&p->pak_oven_temperature, p->pak_enable > 0 ? p->pak_oven_sp + noise(p, 2) : 25, 120, dt);
    follow(&p->pak_conveyor_speed, is_on ? 12 + p->pak_speed * 0.4 : 0, 2, dt);
    p->pak_film_low = p->pak_film_left < 8;
}

static void
step_compressor(struct plant *p, double dt)
{
    double use = 90 + p->fil_speed * 0.6 + p->pak_speed * 2 + noise(p, 8);
    double demand = p->air_enable > 0 ? limit((p->air_pressure_sp - p->air_pressure) * 60 + 45, 0, 100) : 0;

    follow(&p->air_load, demand, 5, dt);
    p->air_flow = p->air_load * 8;
    p->air_pressure = limit(p->air_pressure + (p->air_flow - use) * dt / 6000, 0, 11);
    p->air_state = p->air_enable < 1 ? STOPPED : RUNNING;
    p->air_power = p->air_load > 1 ? 9 + p->air_load * 0.8 + noise(p, 0.5) : 0;
    follow(&p->air_outlet_temperature, 30 + p->air_load * 0.5, 120, dt);
    follow(&p->air_oil_temperature, 35 + p->air_load * 0.45, 200, dt);
    follow(&p->air_dew_point, 3 + p->air_load * 0.02 + noise(p, 0.5), 60, dt);
    p->air_s += p->air_load > 1 ? dt : 0;
    p->air_hours = 30871 + floor(p->air_s / 3600);
    p->air_pressure_low = p->air_pressure < 5.5;
}

static void
step_chiller(struct plant *p, double dt)
{
    double heat = 40 + p->fil_speed * 0.35 + fmax(p->mix_water_flow * 0.1, 0);
    bool is_on = p->chl_enable > 0;

    follow(&p->chl_ambient, 16 + 6 * sin(p->time_s / 13750), 900, dt);
    follow(&p->chl_supply_temperature, (is_on ? p->chl_supply_sp : p->chl_ambient) + noise(p, 0.1), 240, dt);
    follow(&p->chl_flow, is_on ? 42 + noise(p, 0.4) : 8, 10, dt);
    follow(&p->chl_return_temperature, p->chl_supply_temperature + heat / (p->chl_flow + 1) * 0.95, 60, dt);
    p->chl_cooling_power = p->chl_flow * 1.05 * fmax(p->chl_return_temperature - p->chl_supply_temperature, 0);
    p->chl_power = is_on ? 8 + p->chl_cooling_power / 3.6 + noise(p, 0.4) : 0;
    follow(&p->chl_suction_pressure, is_on ? 3.1 + noise(p, 0.1) : 6, 15, dt);
    follow(&p->chl_discharge_pressure, is_on ? 11 + p->chl_ambient * 0.2 : 6, 15, dt);
    p->chl_state = is_on ? RUNNING : STOPPED;
    p->chl_warm = p->chl_supply_temperature > p->chl_supply_sp + 5;
}

static void
step_meter(struct plant *p, double dt)
{
    double kw = 35 + p->air_power + p->chl_power + 0.4 * p->raw_pump1_current + 0.5 * p->fil_main_current +
                p->mix_agitator_current * 0.6 + (p->pak_enable > 0 ? 28 : 2) + (p->lab_enable > 0 ? 3 : 0) +
                (p->cip_phase >= 1 ? 45 : 0) + noise(p, 0.8);
    double phi = 0.92 + noise(p, 0.004);

    p->pwr_power = kw;
    p->pwr_power_factor = phi;
    p->pwr_reactive_power = kw * sqrt(1 - phi * phi) / phi;
    follow(&p->pwr_voltage_l1, 230.8 + noise(p, 1), 3, dt);
    follow(&p->pwr_voltage_l2, 231.3 + noise(p, 1), 3, dt);
    follow(&p->pwr_voltage_l3, 229.9 + noise(p, 1), 3, dt);
    p->pwr_current_l1 = kw * 1000 / 3 / p->pwr_voltage_l1 / phi * 1.02;
    p->pwr_current_l2 = kw * 1000 / 3 / p->pwr_voltage_l2 / phi;
    p->pwr_current_l3 = kw * 1000 / 3 / p->pwr_voltage_l3 / phi * 0.98;
    follow(&p->pwr_frequency, 50 + noise(p, 0.02), 5, dt);
    p->pwr_energy += kw * dt / 3600;
    follow(&p->pwr_demand_15min, kw, 900, dt);
    p->pwr_over_demand = p->pwr_demand_15min > p->pwr_demand_limit;
}

/* A plant in the middle of a shift. */
static void
set_start(struct plant *p)
{
    p->raw_volume = 42;
    p->raw_level = 70;
    p->raw_level_sp = 75;
    p->raw_pump2_enable = 1;
    p->raw_temperature = 11;
    p->raw_total = 83200411;
    p->mix_level = 70;
    p->mix_recipe = 2;
    p->mix_brix = 8.5;
    p->mix_co2 = p->mix_co2_sp = 6.2;
    p->mix_temperature = p->mix_temperature_sp = 6;
    p->mix_enable = p->fil_enable = p->cap_enable = p->lab_enable = p->pak_enable = p->air_enable = p->chl_enable = 1;
    p->cip_caustic_level = 88;
    p->cip_acid_level = 84;
    p->cip_cycles = 412;
    p->cip_supply_temperature = p->cip_return_temperature = 22;
    p->cip_temperature_sp = 78;
    p->fil_speed_sp = 400;
    p->fil_speed = 380;
    p->fil_volume_sp = p->fil_fill_volume = 500;
    p->fil_bottles = 1204310;
    p->fil_rejects = 2391;
    p->fil_product_temperature = 7;
    p->cap_hopper_level = 83;
    p->cap_torque_sp = 1.6;
    p->cap_caps = 1203900;
    p->lab_reel_left = 61;
    p->lab_labels = 1203700;
    p->lab_glue_temperature = p->lab_glue_sp = 145;
    p->pak_packs = 200512;
    p->pak_film_left = 55;
    p->pak_oven_temperature = p->pak_oven_sp = 175;
    p->air_pressure = p->air_pressure_sp = 7;
    p->air_outlet_temperature = p->air_oil_temperature = 65;
    p->chl_supply_temperature = p->chl_supply_sp = 1;
    p->chl_return_temperature = 5;
    p->chl_ambient = 16;
    p->chl_flow = 42;
    p->pwr_voltage_l1 = p->pwr_voltage_l2 = p->pwr_voltage_l3 = 230;
    p->pwr_frequency = 50;
    p->pwr_energy = 918340;
    p->pwr_demand_15min = 190;
    p->pwr_demand_limit = 320;
}

void
plant_step(struct plant *p, double dt_s)
{
    p->time_s += dt_s;
    step_raw_water(p, dt_s);
    step_mixer(p, dt_s);
    step_cip(p, dt_s);
    step_filler(p, dt_s);
    step_capper(p, dt_s);
    step_labeller(p, dt_s);
    step_packer(p, dt_s);
    step_compressor(p, dt_s);
    step_chiller(p, dt_s);
    step_meter(p, dt_s);
    plant_map_renew(p);
}

void
plant_init(struct plant *p, uint64_t seed)
{
    *p = (struct plant){.seed = seed ? seed : 1};
    set_start(p);
    plant_map_init(p);
    plant_step(p, 0.1);
}

void
plant_fini(struct plant *p)
{
    for (unsigned d = 0; d < PLANT_DEVICES; d++)
        memory_fini(&p->memories[d]);
}
