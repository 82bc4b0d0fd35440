#include "sim/s7_load.h"

#include "base/mem.h"
#include "sim/bytes.h"

#include <stdlib.h>

#define TAGS_PER_DB 8000u
#define SLOTS       31u

/* Only values that are read whole move on. */
static void
count_reals(void *arg, struct s7sim_block *block, uint32_t start, uint32_t n)
{
    (void)arg;
    for (uint32_t at = (start + 3) / 4 * 4; at + 4 <= start + n; at += 4)
        put_real(block->bytes + at, get_real(block->bytes + at) + 1);
}

static void
count_ints(void *arg, struct s7sim_block *block, uint32_t start, uint32_t n)
{
    (void)arg;
    for (uint32_t at = (start + 1) / 2 * 2; at + 2 <= start + n; at += 2)
        put16(block->bytes + at, (get16(block->bytes + at) + 1) & 0x7FFF);
}

static void
cpu_init(struct s7sim_cpu *cpu, const struct s7sim_load *l, unsigned place)
{
    unsigned size = l->is_int ? 2 : 4, dbs = (l->tag_count + TAGS_PER_DB - 1) / TAGS_PER_DB;

    cpu->conf.rack = place / SLOTS;
    cpu->conf.slot = 1 + place % SLOTS;
    s7sim_memory_init(&cpu->memory, dbs, (dbs > 1 ? TAGS_PER_DB : l->tag_count) * size, 0);
    cpu->memory.before_read = l->is_int ? count_ints : count_reals;
}

void
s7sim_load_init(struct s7sim_load *l, unsigned cpus, unsigned tags, bool is_int, const struct s7sim_cpu_conf *limits)
{
    *l = (struct s7sim_load){.cpu_count = cpus, .tag_count = tags, .is_int = is_int};
    l->cpus = mem_calloc(cpus, sizeof *l->cpus);
    for (unsigned i = 0; i < cpus; i++) {
        l->cpus[i].conf = *limits;
        cpu_init(&l->cpus[i], l, i % S7_LOAD_PER_PORT);
    }
}

void
s7sim_load_fini(struct s7sim_load *l)
{
    for (unsigned i = 0; i < l->cpu_count; i++)
        s7sim_memory_fini(&l->cpus[i].memory);
    free(l->cpus);
    *l = (struct s7sim_load){0};
}

static void
put_tag(struct wbuf *out, const struct s7sim_load *l, unsigned t)
{
    unsigned db = 1 + t / TAGS_PER_DB, at = t % TAGS_PER_DB;

    if (l->is_int)
        wbuf_printf(out, "      - {id: t%05u, address: \"DB%u.DBW%u:INT\", data_type: int16}\n", t, db, 2 * at);
    else
        wbuf_printf(out, "      - {id: t%05u, address: \"DB%u.DBD%u:REAL\", data_type: float32}\n", t, db, 4 * at);
}

void
s7sim_load_devices(struct wbuf *out, const struct s7sim_load *l, const char *host, const uint16_t *ports,
                   const char *poll_interval)
{
    wbuf_str(out, "# Simulated load (nexus sim --s7-load). Every tag counts its own reads.\ndevices:\n");
    for (unsigned i = 0; i < l->cpu_count; i++) {
        const struct s7sim_cpu_conf *c = &l->cpus[i].conf;
        wbuf_printf(out, "  - id: s7-%05u\n    protocol: s7\n    uns_prefix: load/s%05u\n", i, i);
        wbuf_printf(out, "    poll_interval: %s\n", poll_interval);
        wbuf_printf(out, "    connection: {host: \"%s\", port: %u, rack: %u, slot: %u}\n    tags:\n", host,
                    ports[i / S7_LOAD_PER_PORT], c->rack, c->slot);
        for (unsigned t = 0; t < l->tag_count; t++)
            put_tag(out, l, t);
    }
}
