#include "sim/s7_control.h"

#include "base/mem.h"
#include "base/num.h"

#include <string.h>

#define WORDS_MAX 8u

/* The words of a line; a command is called with those behind its name. */
struct words {
    unsigned n;
    char *w[WORDS_MAX];
};

static struct words
split(char *line)
{
    struct words words = {0};
    char *rest = NULL;

    for (char *w = strtok_r(line, " \t\r\n", &rest); w && words.n < WORDS_MAX; w = strtok_r(NULL, " \t\r\n", &rest))
        words.w[words.n++] = w;
    return words;
}

static bool
number(const char *text, uint64_t max, unsigned *out)
{
    uint64_t v;

    if (!num_u64(slice_str(text), &v) || v > max)
        return false;
    *out = (unsigned)v;
    return true;
}

static bool
on_off(const char *text, bool *out)
{
    return num_bool(slice_str(text), out);
}

/* --- commands: false when a word cannot be --- */

static bool
do_fault(struct s7sim_control *c, char **w, struct wbuf *answer)
{
    (void)answer;
    return s7sim_faults_set(c->faults, w[0], w[1]);
}

static bool
do_drawn(struct s7sim_control *c, char **w, struct wbuf *answer)
{
    static const char *const names[] = {
#define NAME(name, text) text,
        S7_FAULTS(NAME)
#undef NAME
            "good",
    };

    (void)w;
    for (unsigned i = 0; i <= S7_FAULT_KINDS; i++)
        wbuf_printf(answer, " %s %llu", names[i], (unsigned long long)c->faults->drawn[i]);
    return true;
}

static void
mark_db(struct s7sim_block *b, const char *word)
{
    b->refusal = strcmp(word, "protected") == 0 ? 0x03 : strcmp(word, "optimized") == 0 ? 0x05 : 0;
    b->is_read_only = strcmp(word, "readonly") == 0;
}

static bool
is_mark(const char *word)
{
    static const char *const marks[] = {"protected", "optimized", "readonly", "plain"};

    for (unsigned i = 0; i < MEM_COUNT(marks); i++)
        if (strcmp(word, marks[i]) == 0)
            return true;
    return false;
}

static bool
do_db(struct s7sim_control *c, char **w, struct wbuf *answer)
{
    unsigned db, size = c->db_bytes;

    (void)answer;
    if (!number(w[0], c->cpus[0].memory.db_count, &db) || db == 0)
        return false;
    if (!is_mark(w[1]) && strcmp(w[1], "full") != 0 && !number(w[1], c->db_bytes, &size))
        return false;
    for (unsigned i = 0; i < c->cpu_count; i++) {
        if (is_mark(w[1]))
            mark_db(&c->cpus[i].memory.dbs[db - 1], w[1]);
        else
            s7sim_memory_resize(&c->cpus[i].memory, db, size);
    }
    return true;
}

static bool
do_hole(struct s7sim_control *c, char **w, struct wbuf *answer)
{
    unsigned db, first, last, code;

    (void)answer;
    if (!number(w[0], UINT16_MAX, &db) || !number(w[1], S7_BLOCK_MAX, &first) || !number(w[2], S7_BLOCK_MAX, &last) ||
        !number(w[3], 0xFE, &code))
        return false;
    for (unsigned i = 0; i < c->cpu_count; i++)
        c->cpus[i].hole = (struct s7sim_hole){db, first, last, (uint8_t)code};
    return true;
}

static bool
do_put_get(struct s7sim_control *c, char **w, struct wbuf *answer)
{
    bool is_on = false;

    (void)answer;
    if (!on_off(w[0], &is_on))
        return false;
    for (unsigned i = 0; i < c->cpu_count; i++)
        c->cpus[i].conf.is_put_get_off = !is_on;
    return true;
}

static bool
do_password(struct s7sim_control *c, char **w, struct wbuf *answer)
{
    bool is_on = false;

    (void)answer;
    if (!on_off(w[0], &is_on))
        return false;
    for (unsigned i = 0; i < c->cpu_count; i++)
        c->cpus[i].conf.needs_password = is_on;
    return true;
}

static bool
set_limit(struct s7sim_control *c, const char *text, unsigned min, unsigned max, size_t offset)
{
    unsigned v;

    if (!number(text, max, &v) || v < min)
        return false;
    for (unsigned i = 0; i < c->cpu_count; i++)
        *(unsigned *)(void *)((char *)&c->cpus[i].conf + offset) = v;
    return true;
}

static bool
do_pdu(struct s7sim_control *c, char **w, struct wbuf *answer)
{
    (void)answer;
    return set_limit(c, w[0], S7_PDU_MIN, S7_PDU_MAX, offsetof(struct s7sim_cpu_conf, pdu_bytes));
}

static bool
do_jobs(struct s7sim_control *c, char **w, struct wbuf *answer)
{
    (void)answer;
    return set_limit(c, w[0], 1, UINT16_MAX, offsetof(struct s7sim_cpu_conf, jobs_max));
}

static bool
do_connections(struct s7sim_control *c, char **w, struct wbuf *answer)
{
    (void)answer;
    return set_limit(c, w[0], 0, UINT16_MAX, offsetof(struct s7sim_cpu_conf, connections_max));
}

static unsigned
area_of(const char *word)
{
    static const struct {
        const char *name;
        unsigned area;
    } areas[] = {{"I", S7_I}, {"Q", S7_Q}, {"M", S7_M}, {"DB", S7_DB}, {"T", S7_TIMERS}, {"C", S7_COUNTERS}};

    for (unsigned i = 0; i < MEM_COUNT(areas); i++)
        if (strcmp(areas[i].name, word) == 0)
            return areas[i].area;
    return 0;
}

/* The bytes that "AREA DB BYTE" names, at least n of them; NULL when there are none. */
static uint8_t *
find_bytes(const struct s7sim_cpu *cpu, char **w, unsigned n)
{
    unsigned db, at;
    struct s7sim_block *b;

    if (!number(w[1], UINT16_MAX, &db) || !number(w[2], S7_BLOCK_MAX, &at))
        return NULL;
    b = s7sim_memory_block(&cpu->memory, area_of(w[0]), db);
    return b && at + n <= b->size ? b->bytes + at : NULL;
}

static bool
do_get(struct s7sim_control *c, char **w, struct wbuf *answer)
{
    unsigned n;
    const uint8_t *p;

    if (!number(w[3], S7_BLOCK_MAX, &n))
        return false;
    p = find_bytes(&c->cpus[0], w, n);
    if (!p)
        return false;
    wbuf_char(answer, ' ');
    for (unsigned i = 0; i < n; i++)
        wbuf_printf(answer, "%02x", p[i]);
    return true;
}

static int
hex_digit(char c)
{
    const char *digits = "0123456789abcdef", *at = c ? strchr(digits, c | 0x20) : NULL;

    return at ? (int)(at - digits) : -1;
}

static bool
put_hex(uint8_t *p, const char *hex)
{
    for (; hex[0] != '\0'; hex += 2) {
        int high = hex_digit(hex[0]), low = hex_digit(hex[1]);
        if (high < 0 || low < 0)
            return false;
        *p++ = (uint8_t)(high << 4 | low);
    }
    return true;
}

static bool
do_set(struct s7sim_control *c, char **w, struct wbuf *answer)
{
    unsigned n = (unsigned)(strlen(w[3]) / 2);

    (void)answer;
    for (unsigned i = 0; i < c->cpu_count; i++) {
        uint8_t *p = strlen(w[3]) % 2 == 0 ? find_bytes(&c->cpus[i], w, n) : NULL;
        if (!p || !put_hex(p, w[3]))
            return false;
    }
    return true;
}

static bool
do_provenance(struct s7sim_control *c, char **w, struct wbuf *answer)
{
    (void)w;
    (void)answer;
    for (unsigned i = 0; i < c->cpu_count; i++)
        s7sim_memory_fill_provenance(&c->cpus[i].memory);
    return true;
}

static bool
do_stats(struct s7sim_control *c, char **w, struct wbuf *answer)
{
    const struct s7sim_cpu *cpu = &c->cpus[0];

    (void)w;
    wbuf_printf(answer, " messages %llu items %llu refused %llu connections %u", (unsigned long long)cpu->requests,
                (unsigned long long)cpu->items, (unsigned long long)cpu->refused, cpu->connections);
    return true;
}

static bool
do_drop(struct s7sim_control *c, char **w, struct wbuf *answer)
{
    (void)w;
    (void)answer;
    c->drop(c->arg);
    return true;
}

static const struct {
    const char *name;
    unsigned words;
    bool (*run)(struct s7sim_control *c, char **w, struct wbuf *answer);
} commands[] = {
    {"fault", 2, do_fault}, {"drawn", 0, do_drawn},     {"db", 2, do_db},
    {"hole", 4, do_hole},   {"put-get", 1, do_put_get}, {"password", 1, do_password},
    {"pdu", 1, do_pdu},     {"jobs", 1, do_jobs},       {"connections", 1, do_connections},
    {"get", 4, do_get},     {"set", 4, do_set},         {"provenance", 0, do_provenance},
    {"stats", 0, do_stats}, {"drop", 0, do_drop},
};

static bool
run(struct s7sim_control *c, struct words *words, struct wbuf *answer)
{
    for (unsigned i = 0; words->n > 0 && i < MEM_COUNT(commands); i++)
        if (strcmp(commands[i].name, words->w[0]) == 0 && commands[i].words == words->n - 1)
            return commands[i].run(c, words->w + 1, answer);
    return false;
}

void
s7sim_control_line(struct s7sim_control *c, char *line, struct wbuf *answer)
{
    struct words words = split(line);
    struct wbuf more = wbuf_init(0);
    bool is_done = run(c, &words, &more);

    wbuf_str(answer, is_done ? "ok" : "error: see sim/s7_control.h");
    if (is_done)
        wbuf_slice(answer, wbuf_slice_of(&more));
    wbuf_char(answer, '\n');
    wbuf_free(&more);
}
