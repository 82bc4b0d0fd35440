#include "sim/devices_file.h"

#include <string.h>

static const char *const tables[] = {"coil", "discrete", "input", "holding"};
static const char *const types[] = {[POINT_FLOAT] = "float32", [POINT_TENTH] = "int16", [POINT_U16] = "uint16",
                                    [POINT_U32] = "uint32",    [POINT_ENUM] = "uint16", [POINT_BOOL] = "bool"};

static const char *
protocol_of(const struct place *place)
{
    return place->line ? "modbus-rtu" : "modbus-tcp";
}

static void
put_connection(struct wbuf *out, const char *host, const struct place *place)
{
    wbuf_str(out, "    connection: {");
    if (place->line)
        wbuf_printf(out, "serial_port: \"%s\", baud_rate: %u", place->line, place->baud);
    else
        wbuf_printf(out, "host: \"%s\", port: %u%s", host, place->port, place->is_rtu ? ", framing: rtu" : "");
    wbuf_printf(out, ", unit_id: %u}\n    tags:\n", place->unit);
}

static void
put_point(struct wbuf *out, const struct plant_point *p)
{
    bool is_writable = p->table == MEMORY_HOLDING || p->table == MEMORY_COIL;

    wbuf_printf(out, "      - {id: %s, description: \"%s\", address: \"%s:%u\", data_type: %s", p->name, p->help,
                tables[p->table], plant_address(p), types[p->kind]);
    if (p->unit[0] != '\0')
        wbuf_printf(out, ", unit: \"%s\"", p->unit);
    if (p->kind == POINT_TENTH)
        wbuf_str(out, ", scale_factor: 0.1");
    if (p->kind == POINT_FLOAT || p->kind == POINT_TENTH)
        wbuf_printf(out, ", clamp_min: %.10g, clamp_max: %.10g", p->low, p->high);
    if (p->deadband > 0)
        wbuf_printf(out, ", deadband: %.10g, deadband_type: absolute", p->deadband);
    if (p->texts)
        wbuf_printf(out, ", enum: {%s}", p->texts);
    if (plant_size(p) == 2 && strcmp(p->device, "pwr") == 0)
        wbuf_str(out, ", byte_order: CDAB");
    wbuf_printf(out, ", access_mode: %s}\n", is_writable ? "readwrite" : "read");
}

void
devices_file_plant(struct wbuf *out, const char *host, const struct place places[PLANT_DEVICES])
{
    wbuf_str(out, "# The simulated bottling plant (nexus sim). Written anew at each start.\ndevices:\n");
    for (unsigned d = 0; d < PLANT_DEVICES; d++) {
        const struct plant_machine *m = &plant_machines[d];
        wbuf_printf(out, "  - id: %s\n    name: \"%s\"\n    protocol: %s\n", m->id, m->name, protocol_of(&places[d]));
        wbuf_printf(out, "    uns_prefix: %s\n    poll_interval: %s\n", m->prefix, m->poll_interval);
        put_connection(out, host, &places[d]);
        for (unsigned i = 0; i < plant_point_count; i++)
            if (strcmp(plant_points[i].device, m->key) == 0)
                put_point(out, &plant_points[i]);
    }
}

void
devices_file_load(struct wbuf *out, const char *host, const struct place *places, const struct load *load,
                  const char *poll_interval)
{
    static const char *const load_types[] = {"uint16", "float32", "uint32"};
    const char *type = load_types[load->kind];

    wbuf_str(out, "# Simulated load (nexus sim --load). Every tag counts its own reads.\ndevices:\n");
    for (unsigned d = 0; d < load->device_count; d++) {
        wbuf_printf(out, "  - id: load-%05u\n    protocol: %s\n    uns_prefix: load/d%05u\n", d,
                    protocol_of(&places[d]), d);
        wbuf_printf(out, "    poll_interval: %s\n", poll_interval);
        put_connection(out, host, &places[d]);
        for (unsigned t = 0; t < load->tag_count; t++)
            wbuf_printf(out, "      - {id: t%05u, address: \"holding:%u\", data_type: %s}\n", t,
                        load->kind == LOAD_UINT16 ? t : 2 * t, type);
    }
}
