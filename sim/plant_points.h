/* plant_points.h -- every point of the demo plant, once: P(device, name, table, kind, unit, low, high, deadband, help,
 * texts). The list makes the members of struct plant (device_name), the register map and the devices.yaml. low and high
 * bound what can be written; texts names the states of an ENUM.
 *
 * Tables: INPUT and DISCRETE are measured, HOLDING and COIL can be written. Kinds: FLOAT two registers, TENTH a signed
 * register in tenths, U16, U32 two registers, ENUM a register, BOOL a bit. Registers follow each other in this order.
 */
#ifndef SIM_PLANT_POINTS_H
#define SIM_PLANT_POINTS_H

#define STATES_MACHINE "0: stopped, 1: starting, 2: running, 3: starved, 4: blocked, 5: fault, 6: cleaning"
#define STATES_PUMP    "0: stopped, 1: running, 2: fault"
#define STATES_CIP     "0: idle, 1: pre-rinse, 2: caustic, 3: rinse, 4: acid, 5: final rinse"
#define STATES_RECIPE  "1: still water, 2: lemonade, 3: cola"
#define STATES_FAULT   "0: none, 1: jam, 2: no material, 3: guard open, 4: overload"

#define POINTS_RAW(P)                                                                                                  \
    P(raw, level, INPUT, FLOAT, "%", 0, 100, 0.1, "Level of the raw water tank", NULL)                                 \
    P(raw, volume, INPUT, FLOAT, "m³", 0, 60, 0.05, "Volume in the raw water tank", NULL)                              \
    P(raw, inflow, INPUT, FLOAT, "m³/h", 0, 80, 0.1, "Flow from the well", NULL)                                       \
    P(raw, outflow, INPUT, FLOAT, "m³/h", 0, 80, 0.1, "Flow to the process", NULL)                                     \
    P(raw, pressure, INPUT, FLOAT, "bar", 0, 10, 0.02, "Discharge pressure of the pump skid", NULL)                    \
    P(raw, temperature, INPUT, TENTH, "°C", 0, 40, 0.1, "Water temperature", NULL)                                     \
    P(raw, turbidity, INPUT, FLOAT, "NTU", 0, 5, 0.01, "Turbidity after the filter", NULL)                             \
    P(raw, chlorine, INPUT, FLOAT, "mg/l", 0, 2, 0.01, "Free chlorine", NULL)                                          \
    P(raw, pump1_state, INPUT, ENUM, "", 0, 2, 0, "Well pump 1", STATES_PUMP)                                          \
    P(raw, pump1_speed, INPUT, TENTH, "%", 0, 100, 0.5, "Speed of well pump 1", NULL)                                  \
    P(raw, pump1_current, INPUT, TENTH, "A", 0, 60, 0.2, "Motor current of well pump 1", NULL)                         \
    P(raw, pump1_hours, INPUT, U32, "h", 0, 1e6, 0, "Running hours of well pump 1", NULL)                              \
    P(raw, pump2_state, INPUT, ENUM, "", 0, 2, 0, "Well pump 2", STATES_PUMP)                                          \
    P(raw, pump2_speed, INPUT, TENTH, "%", 0, 100, 0.5, "Speed of well pump 2", NULL)                                  \
    P(raw, total, INPUT, U32, "l", 0, 4e9, 0, "Water taken from the well", NULL)                                       \
    P(raw, level_sp, HOLDING, FLOAT, "%", 10, 95, 0, "Level set point", NULL)                                          \
    P(raw, pump2_enable, COIL, BOOL, "", 0, 1, 0, "Well pump 2 may help", NULL)                                        \
    P(raw, level_low, DISCRETE, BOOL, "", 0, 1, 0, "Alarm: level below 15 %", NULL)                                    \
    P(raw, level_high, DISCRETE, BOOL, "", 0, 1, 0, "Alarm: level above 95 %", NULL)

#define POINTS_MIX(P)                                                                                                  \
    P(mix, level, INPUT, FLOAT, "%", 0, 100, 0.1, "Level of the mixing tank", NULL)                                    \
    P(mix, temperature, INPUT, FLOAT, "°C", 0, 60, 0.05, "Product temperature", NULL)                                  \
    P(mix, brix, INPUT, FLOAT, "°Bx", 0, 20, 0.02, "Sugar content", NULL)                                              \
    P(mix, co2, INPUT, FLOAT, "g/l", 0, 10, 0.02, "Carbon dioxide content", NULL)                                      \
    P(mix, conductivity, INPUT, FLOAT, "mS/cm", 0, 5, 0.01, "Conductivity", NULL)                                      \
    P(mix, water_flow, INPUT, FLOAT, "l/min", 0, 1000, 1, "Water dosed", NULL)                                         \
    P(mix, syrup_flow, INPUT, FLOAT, "l/min", 0, 200, 0.5, "Syrup dosed", NULL)                                        \
    P(mix, agitator_speed, INPUT, TENTH, "1/min", 0, 300, 1, "Agitator speed", NULL)                                   \
    P(mix, agitator_current, INPUT, TENTH, "A", 0, 30, 0.1, "Agitator motor current", NULL)                            \
    P(mix, state, INPUT, ENUM, "", 0, 6, 0, "State of the mixer", STATES_MACHINE)                                      \
    P(mix, recipe, HOLDING, ENUM, "", 1, 3, 0, "Recipe", STATES_RECIPE)                                                \
    P(mix, temperature_sp, HOLDING, FLOAT, "°C", 2, 30, 0, "Temperature set point", NULL)                              \
    P(mix, co2_sp, HOLDING, FLOAT, "g/l", 0, 9, 0, "Carbon dioxide set point", NULL)                                   \
    P(mix, enable, COIL, BOOL, "", 0, 1, 0, "Mixer enabled", NULL)                                                     \
    P(mix, deviation, DISCRETE, BOOL, "", 0, 1, 0, "Alarm: sugar content off recipe", NULL)

#define POINTS_CIP(P)                                                                                                  \
    P(cip, phase, INPUT, ENUM, "", 0, 5, 0, "Phase of the cleaning programme", STATES_CIP)                             \
    P(cip, remaining, INPUT, U16, "s", 0, 65535, 0, "Time left in the phase", NULL)                                    \
    P(cip, flow, INPUT, FLOAT, "m³/h", 0, 30, 0.1, "Flow", NULL)                                                       \
    P(cip, supply_temperature, INPUT, FLOAT, "°C", 0, 95, 0.1, "Supply temperature", NULL)                             \
    P(cip, return_temperature, INPUT, FLOAT, "°C", 0, 95, 0.1, "Return temperature", NULL)                             \
    P(cip, conductivity, INPUT, FLOAT, "mS/cm", 0, 120, 0.2, "Return conductivity", NULL)                              \
    P(cip, caustic_level, INPUT, FLOAT, "%", 0, 100, 0.1, "Caustic tank", NULL)                                        \
    P(cip, acid_level, INPUT, FLOAT, "%", 0, 100, 0.1, "Acid tank", NULL)                                              \
    P(cip, cycles, INPUT, U32, "", 0, 4e9, 0, "Cleaning programmes completed", NULL)                                   \
    P(cip, temperature_sp, HOLDING, TENTH, "°C", 40, 85, 0, "Supply temperature set point", NULL)                      \
    P(cip, start, COIL, BOOL, "", 0, 1, 0, "Start cleaning; resets itself", NULL)                                      \
    P(cip, low_chemicals, DISCRETE, BOOL, "", 0, 1, 0, "Alarm: caustic or acid below 10 %", NULL)

#define POINTS_FIL(P)                                                                                                  \
    P(fil, state, INPUT, ENUM, "", 0, 6, 0, "State of the filler", STATES_MACHINE)                                     \
    P(fil, fault_code, INPUT, ENUM, "", 0, 4, 0, "Cause of the last stop", STATES_FAULT)                               \
    P(fil, speed, INPUT, FLOAT, "1/min", 0, 600, 0.5, "Bottles filled per minute", NULL)                               \
    P(fil, bowl_level, INPUT, FLOAT, "%", 0, 100, 0.2, "Level in the filler bowl", NULL)                               \
    P(fil, bowl_pressure, INPUT, FLOAT, "bar", 0, 8, 0.02, "Pressure in the filler bowl", NULL)                        \
    P(fil, product_temperature, INPUT, FLOAT, "°C", 0, 40, 0.05, "Product temperature at the filler", NULL)            \
    P(fil, fill_volume, INPUT, FLOAT, "ml", 0, 600, 0.1, "Mean volume of the last bottles", NULL)                      \
    P(fil, bottles, INPUT, U32, "", 0, 4e9, 0, "Good bottles", NULL)                                                   \
    P(fil, rejects, INPUT, U32, "", 0, 4e9, 0, "Rejected bottles", NULL)                                               \
    P(fil, main_current, INPUT, TENTH, "A", 0, 100, 0.2, "Main drive current", NULL)                                   \
    P(fil, vibration, INPUT, FLOAT, "mm/s", 0, 20, 0.02, "Vibration of the main bearing", NULL)                        \
    P(fil, speed_sp, HOLDING, FLOAT, "1/min", 0, 500, 0, "Speed set point", NULL)                                      \
    P(fil, volume_sp, HOLDING, TENTH, "ml", 200, 550, 0, "Fill volume set point", NULL)                                \
    P(fil, enable, COIL, BOOL, "", 0, 1, 0, "Filler enabled", NULL)                                                    \
    P(fil, guard_closed, DISCRETE, BOOL, "", 0, 1, 0, "Guard doors closed", NULL)                                      \
    P(fil, fault, DISCRETE, BOOL, "", 0, 1, 0, "Alarm: filler stopped by a fault", NULL)

#define POINTS_CAP(P)                                                                                                  \
    P(cap, state, INPUT, ENUM, "", 0, 6, 0, "State of the capper", STATES_MACHINE)                                     \
    P(cap, speed, INPUT, FLOAT, "1/min", 0, 600, 0.5, "Caps per minute", NULL)                                         \
    P(cap, torque, INPUT, FLOAT, "Nm", 0, 5, 0.01, "Mean closing torque", NULL)                                        \
    P(cap, hopper_level, INPUT, FLOAT, "%", 0, 100, 0.2, "Caps in the hopper", NULL)                                   \
    P(cap, caps, INPUT, U32, "", 0, 4e9, 0, "Bottles closed", NULL)                                                    \
    P(cap, rejects, INPUT, U32, "", 0, 4e9, 0, "Bottles with a bad cap", NULL)                                         \
    P(cap, current, INPUT, TENTH, "A", 0, 50, 0.1, "Drive current", NULL)                                              \
    P(cap, torque_sp, HOLDING, FLOAT, "Nm", 0.5, 3, 0, "Closing torque set point", NULL)                               \
    P(cap, enable, COIL, BOOL, "", 0, 1, 0, "Capper enabled", NULL)                                                    \
    P(cap, hopper_low, DISCRETE, BOOL, "", 0, 1, 0, "Alarm: few caps left", NULL)

#define POINTS_LAB(P)                                                                                                  \
    P(lab, state, INPUT, ENUM, "", 0, 6, 0, "State of the labeller", STATES_MACHINE)                                   \
    P(lab, speed, INPUT, FLOAT, "1/min", 0, 600, 0.5, "Labels per minute", NULL)                                       \
    P(lab, labels, INPUT, U32, "", 0, 4e9, 0, "Labels applied", NULL)                                                  \
    P(lab, rejects, INPUT, U32, "", 0, 4e9, 0, "Bottles with a bad label", NULL)                                       \
    P(lab, reel_left, INPUT, FLOAT, "%", 0, 100, 0.2, "Labels left on the reel", NULL)                                 \
    P(lab, glue_temperature, INPUT, TENTH, "°C", 0, 200, 0.5, "Glue temperature", NULL)                                \
    P(lab, position_error, INPUT, FLOAT, "mm", -5, 5, 0.02, "Mean label position error", NULL)                         \
    P(lab, glue_sp, HOLDING, TENTH, "°C", 100, 170, 0, "Glue temperature set point", NULL)                             \
    P(lab, enable, COIL, BOOL, "", 0, 1, 0, "Labeller enabled", NULL)                                                  \
    P(lab, reel_low, DISCRETE, BOOL, "", 0, 1, 0, "Alarm: reel nearly empty", NULL)

#define POINTS_PAK(P)                                                                                                  \
    P(pak, state, INPUT, ENUM, "", 0, 6, 0, "State of the packer", STATES_MACHINE)                                     \
    P(pak, speed, INPUT, FLOAT, "1/min", 0, 100, 0.1, "Packs per minute", NULL)                                        \
    P(pak, packs, INPUT, U32, "", 0, 4e9, 0, "Packs of six", NULL)                                                     \
    P(pak, pallets, INPUT, U32, "", 0, 4e9, 0, "Pallets of 84 packs", NULL)                                            \
    P(pak, layer, INPUT, U16, "", 0, 84, 0, "Packs on the pallet", NULL)                                               \
    P(pak, oven_temperature, INPUT, FLOAT, "°C", 0, 250, 0.3, "Shrink oven temperature", NULL)                         \
    P(pak, film_left, INPUT, FLOAT, "%", 0, 100, 0.2, "Film left on the reel", NULL)                                   \
    P(pak, conveyor_speed, INPUT, TENTH, "m/min", 0, 80, 0.2, "Conveyor speed", NULL)                                  \
    P(pak, oven_sp, HOLDING, TENTH, "°C", 120, 220, 0, "Oven temperature set point", NULL)                             \
    P(pak, enable, COIL, BOOL, "", 0, 1, 0, "Packer enabled", NULL)                                                    \
    P(pak, film_low, DISCRETE, BOOL, "", 0, 1, 0, "Alarm: film nearly empty", NULL)

#define POINTS_AIR(P)                                                                                                  \
    P(air, state, INPUT, ENUM, "", 0, 6, 0, "State of the compressor", STATES_MACHINE)                                 \
    P(air, pressure, INPUT, FLOAT, "bar", 0, 12, 0.02, "Network pressure", NULL)                                       \
    P(air, flow, INPUT, FLOAT, "m³/h", 0, 900, 1, "Air delivered", NULL)                                               \
    P(air, outlet_temperature, INPUT, FLOAT, "°C", 0, 120, 0.2, "Outlet temperature", NULL)                            \
    P(air, oil_temperature, INPUT, FLOAT, "°C", 0, 120, 0.2, "Oil temperature", NULL)                                  \
    P(air, dew_point, INPUT, TENTH, "°C", -60, 30, 0.2, "Pressure dew point", NULL)                                    \
    P(air, load, INPUT, TENTH, "%", 0, 100, 0.5, "Load", NULL)                                                         \
    P(air, power, INPUT, FLOAT, "kW", 0, 150, 0.2, "Electric power", NULL)                                             \
    P(air, hours, INPUT, U32, "h", 0, 1e6, 0, "Running hours", NULL)                                                   \
    P(air, pressure_sp, HOLDING, FLOAT, "bar", 5, 9, 0, "Pressure set point", NULL)                                    \
    P(air, enable, COIL, BOOL, "", 0, 1, 0, "Compressor enabled", NULL)                                                \
    P(air, pressure_low, DISCRETE, BOOL, "", 0, 1, 0, "Alarm: pressure below 5.5 bar", NULL)

#define POINTS_CHL(P)                                                                                                  \
    P(chl, state, INPUT, ENUM, "", 0, 6, 0, "State of the chiller", STATES_MACHINE)                                    \
    P(chl, supply_temperature, INPUT, FLOAT, "°C", -10, 40, 0.05, "Glycol supply", NULL)                               \
    P(chl, return_temperature, INPUT, FLOAT, "°C", -10, 40, 0.05, "Glycol return", NULL)                               \
    P(chl, flow, INPUT, FLOAT, "m³/h", 0, 100, 0.2, "Glycol flow", NULL)                                               \
    P(chl, cooling_power, INPUT, FLOAT, "kW", 0, 400, 1, "Cooling power", NULL)                                        \
    P(chl, power, INPUT, FLOAT, "kW", 0, 150, 0.3, "Electric power", NULL)                                             \
    P(chl, suction_pressure, INPUT, TENTH, "bar", 0, 10, 0.1, "Suction pressure", NULL)                                \
    P(chl, discharge_pressure, INPUT, TENTH, "bar", 0, 30, 0.1, "Discharge pressure", NULL)                            \
    P(chl, ambient, INPUT, TENTH, "°C", -20, 50, 0.1, "Outside temperature", NULL)                                     \
    P(chl, supply_sp, HOLDING, FLOAT, "°C", -4, 10, 0, "Supply set point", NULL)                                       \
    P(chl, enable, COIL, BOOL, "", 0, 1, 0, "Chiller enabled", NULL)                                                   \
    P(chl, warm, DISCRETE, BOOL, "", 0, 1, 0, "Alarm: supply 5 °C above set point", NULL)

#define POINTS_PWR(P)                                                                                                  \
    P(pwr, voltage_l1, INPUT, FLOAT, "V", 0, 300, 0.2, "Voltage L1", NULL)                                             \
    P(pwr, voltage_l2, INPUT, FLOAT, "V", 0, 300, 0.2, "Voltage L2", NULL)                                             \
    P(pwr, voltage_l3, INPUT, FLOAT, "V", 0, 300, 0.2, "Voltage L3", NULL)                                             \
    P(pwr, current_l1, INPUT, FLOAT, "A", 0, 2000, 1, "Current L1", NULL)                                              \
    P(pwr, current_l2, INPUT, FLOAT, "A", 0, 2000, 1, "Current L2", NULL)                                              \
    P(pwr, current_l3, INPUT, FLOAT, "A", 0, 2000, 1, "Current L3", NULL)                                              \
    P(pwr, power, INPUT, FLOAT, "kW", 0, 1000, 0.5, "Active power", NULL)                                              \
    P(pwr, reactive_power, INPUT, FLOAT, "kvar", -500, 500, 0.5, "Reactive power", NULL)                               \
    P(pwr, power_factor, INPUT, FLOAT, "", -1, 1, 0.002, "Power factor", NULL)                                         \
    P(pwr, frequency, INPUT, FLOAT, "Hz", 45, 55, 0.005, "Mains frequency", NULL)                                      \
    P(pwr, energy, INPUT, FLOAT, "kWh", 0, 1e9, 0.1, "Active energy", NULL)                                            \
    P(pwr, demand_15min, INPUT, FLOAT, "kW", 0, 1000, 0.5, "Mean power of 15 minutes", NULL)                           \
    P(pwr, demand_limit, HOLDING, FLOAT, "kW", 50, 1000, 0, "Demand limit", NULL)                                      \
    P(pwr, over_demand, DISCRETE, BOOL, "", 0, 1, 0, "Alarm: demand above the limit", NULL)

#define PLANT_POINTS(P)                                                                                                \
    POINTS_RAW(P)                                                                                                      \
    POINTS_MIX(P)                                                                                                      \
    POINTS_CIP(P) POINTS_FIL(P) POINTS_CAP(P) POINTS_LAB(P) POINTS_PAK(P) POINTS_AIR(P) POINTS_CHL(P) POINTS_PWR(P)

#endif
