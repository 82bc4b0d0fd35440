/* modbus_probe.c -- the Modbus drivers on a real loop, against a real server, without a gateway around them.
 *
 *   modbus_probe key=value...           settings of the connection: host, port, unit_id, ...; protocol=modbus-tcp as
 *                                       the first, timeout_ms=2000 as the last
 *
 * Reads commands from standard input until its end, then carries them out in order:
 *   read ADDRESS TYPE [key=value...]    neighbouring reads are one read list
 *   write ADDRESS TYPE VALUE [key=value...]
 *   again N                             repeats the read list above N times
 * Prints for each tag "ADDRESS good VALUE" or "ADDRESS bad ERROR: reason", for each write "ADDRESS written" or
 * "ADDRESS failed ERROR: reason", at the end "learned TEXT" when the driver did, and "requests N splits N exceptions N
 * stale N". Exit code 0 when it could
 * connect. This is a whole host of include/nexus/driver.h, for any driver: no scheduling, no retry. */
#include "base/arena.h"
#include "base/mem.h"
#include "base/num.h"
#include "base/wbuf.h"
#include "conf/conf.h"
#include "loop/loop.h"
#include "nexus/driver.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define ITEMS_MAX 20000

struct nx_stream {
    struct stream *st;
    struct nx_link *link;
    const struct nx_stream_ops *ops;
    void *arg;
};

struct nx_timer {
    struct loop_timer t;
    struct nx_link *link;
    nx_timer_cb *cb;
    void *arg;
};

/* One command: a tag to read or a write. */
struct command {
    char verb; /* 'r', 'w', 'a' */
    const char *address;
    const void *addr;
    unsigned long again;
    struct nx_value value;
};

struct nx_link {
    struct loop *loop;
    void *state;
    struct nx_dev *dev;
};

/* The only device of the link, and all else. */
struct nx_dev {
    const struct nx_driver *driver;
    struct nx_link link;
    struct arena arena;
    void *state;
    char *learned;
    bool has_failed;
    uint64_t timeout_ms, counters[NX_COUNTERS];
    struct loop_timer deadline;
    struct command *commands;
    size_t command_count, next;
    struct nx_read rd;
    struct arena plan;
    size_t rd_first; /* command of the first item */
    unsigned long again;
    bool *is_set;
    struct nx_write wr;
};

static void run_next(struct nx_dev *dev);

/* --- what the driver may call --- */

void *
nx_link_state(struct nx_link *link)
{
    return link->state;
}

struct nx_dev *
nx_link_first_dev(struct nx_link *link)
{
    return link->dev;
}

void *
nx_dev_state(struct nx_dev *dev)
{
    return dev->state;
}

struct nx_link *
nx_link_of(struct nx_dev *dev)
{
    return &dev->link;
}

void *
nx_dev_alloc(struct nx_dev *dev, size_t size)
{
    return arena_alloc(&dev->arena, size);
}

uint64_t
nx_now_ms(struct nx_link *link)
{
    return link->loop ? loop_now_ms(link->loop) : 0;
}

static void
start(void *arg)
{
    run_next(arg);
}

void
nx_link_up(struct nx_link *link)
{
    loop_defer(link->loop, start, link->dev);
}

static void
close_link(void *arg)
{
    struct nx_link *link = arg;

    link->dev->driver->close(link);
}

void
nx_link_down(struct nx_link *link, enum nx_err err, const struct nx_note *why)
{
    printf("link down %s: %s\n", nx_err_name(err), why ? why->text : nx_err_text(err));
    link->dev->has_failed = true;
    loop_defer(link->loop, close_link, link);
}

void
nx_closed(struct nx_link *link)
{
    loop_timer_stop(&link->dev->deadline);
    loop_stop(link->loop);
}

void
nx_learned(struct nx_dev *dev, const char *text)
{
    free(dev->learned);
    dev->learned = mem_strdup(text);
}

void *
nx_read_alloc(struct nx_read *rd, size_t size)
{
    return arena_alloc(&rd->op.dev->plan, size);
}

void
nx_read_reset(struct nx_read *rd)
{
    arena_free(&rd->op.dev->plan);
    rd->plan = NULL;
}

static void
print_value(const struct nx_value *v)
{
    switch (v->type) {
    case NX_TYPE_BOOL:
        printf("%s", v->b ? "true" : "false");
        break;
    case NX_TYPE_INT:
        printf("%" PRId64, v->i);
        break;
    case NX_TYPE_UINT:
        printf("%" PRIu64, v->u);
        break;
    case NX_TYPE_DOUBLE:
        printf("%.17g", v->d);
        break;
    case NX_TYPE_STRING:
        printf("'%.*s'", (int)v->len, v->s);
        break;
    case NX_TYPE_NONE:
        printf("none");
        break;
    }
}

static const char *
item_address(const struct nx_read *rd, uint32_t i)
{
    const struct nx_dev *dev = rd->op.dev;

    return dev->commands[dev->rd_first + i].address;
}

void
nx_read_value(struct nx_read *rd, uint32_t i, const struct nx_value *value, uint16_t quality, int64_t source_us)
{
    (void)source_us;
    rd->op.dev->is_set[i] = true;
    if (!nx_quality_is_good(quality)) {
        printf("%s bad quality %u\n", item_address(rd, i), quality);
        return;
    }
    printf("%s good ", item_address(rd, i));
    print_value(value);
    printf("\n");
}

void
nx_read_failed(struct nx_read *rd, uint32_t i, enum nx_err err, const struct nx_note *why)
{
    rd->op.dev->is_set[i] = true;
    printf("%s bad %s: %s\n", item_address(rd, i), nx_err_name(err), why ? why->text : "");
}

void
nx_browse_node(struct nx_op *op, const char *path, enum nx_data_type type, const char *description)
{
    (void)op;
    (void)path;
    (void)type;
    (void)description;
}

void
nx_plan_add(struct nx_plan *plan, const struct nx_plan_request *rq)
{
    (void)plan;
    (void)rq;
}

static void on_deadline(struct loop_timer *t, void *arg);

void
nx_op_alive(struct nx_op *op)
{
    struct nx_dev *dev = op->dev;

    loop_timer_start(dev->link.loop, &dev->deadline, dev->timeout_ms, 0, on_deadline, dev);
}

void
nx_op_rests(struct nx_op *op)
{
    loop_timer_stop(&op->dev->deadline);
}

void
nx_op_done(struct nx_op *op, enum nx_err err, const struct nx_note *why)
{
    struct nx_dev *dev = op->dev;
    const char *text = why ? why->text : nx_err_text(err);

    loop_timer_stop(&dev->deadline);
    if (op->kind == NX_OP_WRITE) {
        const char *address = dev->commands[dev->next - 1].address;
        if (err == NX_OK)
            printf("%s written\n", address);
        else
            printf("%s failed %s: %s\n", address, nx_err_name(err), text);
    } else {
        for (uint32_t i = 0; i < dev->rd.item_count; i++)
            if (!dev->is_set[i])
                printf("%s bad %s: %s\n", item_address(&dev->rd, i), nx_err_name(err), text);
    }
    loop_defer(dev->link.loop, start, dev);
}

static void
on_open(void *arg)
{
    struct nx_stream *s = arg;

    s->ops->on_open(s->arg);
}

static void
on_data(void *arg, struct slice data)
{
    struct nx_stream *s = arg;

    s->ops->on_data(s->arg, data.p, data.len);
}

static void
on_down(void *arg, enum nx_err err, const struct nx_note *why)
{
    struct nx_stream *s = arg;

    s->ops->on_down(s->arg, err, why);
}

static const struct stream_ops stream_calls = {.on_open = on_open, .on_data = on_data, .on_down = on_down};

struct nx_stream *
nx_stream_tcp(struct nx_link *link, const char *host, uint16_t port, const struct nx_stream_ops *ops, void *arg)
{
    struct stream_conf conf = {.host = host, .port = port};
    struct nx_stream *s = mem_alloc(sizeof *s);

    *s = (struct nx_stream){.link = link, .ops = ops, .arg = arg};
    s->st = stream_open(link->loop, &conf, &stream_calls, s);
    return s;
}

struct nx_stream *
nx_stream_serial(struct nx_link *link, const struct nx_serial *serial, const struct nx_stream_ops *ops, void *arg)
{
    struct serial_conf conf = {
        .path = serial->path,
        .baud_rate = serial->baud_rate,
        .data_bits = serial->data_bits,
        .stop_bits = serial->stop_bits,
        .parity = serial->parity == NX_PARITY_EVEN  ? SERIAL_PARITY_EVEN
                  : serial->parity == NX_PARITY_ODD ? SERIAL_PARITY_ODD
                                                    : SERIAL_PARITY_NONE,
        .rs485 = serial->rs485 == NX_RS485_KERNEL ? RS485_KERNEL
                 : serial->rs485 == NX_RS485_RTS  ? RS485_RTS
                                                  : RS485_OFF,
        .rts_delay_us = serial->rts_delay_us,
    };
    struct nx_stream *s = mem_alloc(sizeof *s);

    *s = (struct nx_stream){.link = link, .ops = ops, .arg = arg};
    s->st = stream_open_serial(link->loop, &conf, &stream_calls, s);
    return s;
}

enum nx_err
nx_stream_write(struct nx_stream *s, const uint8_t *p, size_t len)
{
    return stream_write(s->st, slice(p, len));
}

void
nx_stream_close(struct nx_stream **s)
{
    stream_close(&(*s)->st, false);
    loop_defer((*s)->link->loop, free, *s);
    *s = NULL;
}

static void
on_timer(struct loop_timer *t, void *arg)
{
    struct nx_timer *mine = arg;

    (void)t;
    mine->cb(mine->arg);
}

struct nx_timer *
nx_timer_new(struct nx_link *link, nx_timer_cb *cb, void *arg)
{
    struct nx_timer *t = mem_alloc(sizeof *t);

    t->link = link;
    t->cb = cb;
    t->arg = arg;
    return t;
}

void
nx_timer_start(struct nx_timer *t, uint64_t delay_ms)
{
    loop_timer_start(t->link->loop, &t->t, delay_ms, 0, on_timer, t);
}

void
nx_timer_stop(struct nx_timer *t)
{
    loop_timer_stop(&t->t);
}

void
nx_timer_free(struct nx_timer **t)
{
    loop_timer_stop(&(*t)->t);
    free(*t);
    *t = NULL;
}

void
nx_log(struct nx_link *link, enum nx_log_level level, const char *fmt, ...)
{
    va_list ap;

    (void)link;
    (void)level;
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
}

void
nx_count(struct nx_dev *dev, enum nx_counter counter, uint64_t add)
{
    dev->counters[counter] += add;
}

void
nx_count_link(struct nx_link *link, enum nx_counter counter, uint64_t add)
{
    link->dev->counters[counter] += add;
}

/* --- commands --- */

static void
on_deadline(struct loop_timer *t, void *arg)
{
    struct nx_dev *dev = arg;
    struct nx_op *op = dev->commands[dev->next - 1].verb == 'w' ? &dev->wr.op : &dev->rd.op;

    (void)t;
    dev->driver->cancel(dev, op, NX_E_TIMEOUT);
}

static void
begin_read(struct nx_dev *dev)
{
    memset(dev->is_set, 0, ITEMS_MAX * sizeof *dev->is_set);
    dev->driver->read(dev, &dev->rd);
}

/* All reads that follow each other. */
static void
take_reads(struct nx_dev *dev)
{
    struct nx_read_item *items = arena_alloc(&dev->arena, ITEMS_MAX * sizeof *items);
    uint32_t n = 0;

    arena_free(&dev->plan);
    dev->rd_first = dev->next;
    while (dev->next < dev->command_count && dev->commands[dev->next].verb == 'r') {
        items[n] = (struct nx_read_item){dev->commands[dev->next].addr, n};
        n++;
        dev->next++;
    }
    dev->rd = (struct nx_read){.op = {.kind = NX_OP_READ, .dev = dev}, .items = items, .item_count = n};
}

static void
run_next(struct nx_dev *dev)
{
    struct command *c = &dev->commands[dev->next];

    if (dev->has_failed)
        return;
    if (dev->again > 0) {
        dev->again--;
        begin_read(dev);
    } else if (dev->next == dev->command_count) {
        dev->driver->close(&dev->link);
    } else if (c->verb == 'r') {
        take_reads(dev);
        begin_read(dev);
    } else if (c->verb == 'a') {
        dev->next++;
        dev->again = c->again;
        run_next(dev);
    } else {
        dev->next++;
        dev->wr = (struct nx_write){.op = {.kind = NX_OP_WRITE, .dev = dev}, .addr = c->addr, .value = c->value};
        dev->driver->write(dev, &dev->wr);
    }
}

/* --- reading the script --- */

static void
die(const char *what, const char *why)
{
    fprintf(stderr, "modbus_probe: %s: %s\n", what, why);
    exit(2);
}

/* "key=value" texts to settings, by way of the real reader. */
static struct nx_settings *
settings_of(struct nx_dev *dev, const struct nx_param *params, char **pairs, int n)
{
    struct wbuf yaml = wbuf_init(0);
    struct conf_node *root;
    struct nx_settings *s = NULL;
    struct nx_note why;

    wbuf_str(&yaml, "{");
    for (int i = 0; i < n; i++) {
        char *eq = strchr(pairs[i], '=');
        if (!eq)
            die(pairs[i], "key=value expected");
        wbuf_printf(&yaml, "%s%.*s: '%s'", i ? ", " : "", (int)(eq - pairs[i]), pairs[i], eq + 1);
    }
    wbuf_str(&yaml, "}");
    if (conf_parse_yaml(&dev->arena, slice(yaml.p, yaml.len), "settings", &root, &why) != NX_OK ||
        conf_settings(&dev->arena, params, root, NULL, &s, &why) != NX_OK)
        die("settings", why.text);
    wbuf_free(&yaml);
    return s;
}

static enum nx_data_type
type_of(const char *text)
{
    static const char *const names[] = {"bool",   "int8",  "uint8",  "int16",   "uint16",  "int32",
                                        "uint32", "int64", "uint64", "float32", "float64", "string"};

    for (unsigned i = 0; i < MEM_COUNT(names); i++)
        if (strcmp(names[i], text) == 0)
            return (enum nx_data_type)i;
    die(text, "unknown type");
    return NX_DT_COUNT;
}

static struct nx_value
value_of(enum nx_data_type type, const char *text)
{
    struct slice s = slice_str(text);
    struct nx_value v = nx_value_string(text, s.len);
    bool b;
    int64_t i;
    uint64_t u;
    double d;

    if (type == NX_DT_BOOL && num_bool(s, &b))
        v = nx_value_bool(b);
    else if (type != NX_DT_STRING && num_i64(s, &i))
        v = nx_value_int(i);
    else if (type != NX_DT_STRING && num_u64(s, &u))
        v = nx_value_uint(u);
    else if (type != NX_DT_STRING && num_double(s, &d))
        v = nx_value_double(d);
    return v;
}

static void
add_command(struct nx_dev *dev, char **words, int n)
{
    struct command *c = &dev->commands[dev->command_count++];
    bool is_write = strcmp(words[0], "write") == 0;
    int fixed = is_write ? 4 : 3;
    struct nx_addr_info info;
    struct nx_note why;

    if (strcmp(words[0], "again") == 0 && n == 2) {
        *c = (struct command){.verb = 'a', .again = strtoul(words[1], NULL, 10)};
        return;
    }
    if (n < fixed)
        die(words[0], "too few words");
    *c = (struct command){.verb = is_write ? 'w' : 'r', .address = arena_strdup(&dev->arena, words[1])};
    struct nx_addr_spec spec = {.address = c->address,
                                .data_type = type_of(words[2]),
                                .settings = settings_of(dev, dev->driver->tag_params, words + fixed, n - fixed)};
    void *addr = arena_alloc(&dev->arena, dev->driver->addr_size);
    if (dev->driver->addr_parse(&spec, addr, &info, &why) != NX_OK)
        die(words[1], why.text);
    c->addr = addr;
    if (is_write)
        c->value = value_of(spec.data_type, arena_strdup(&dev->arena, words[3]));
}

static void
read_script(struct nx_dev *dev)
{
    char line[1024], *words[16];

    dev->commands = mem_calloc(ITEMS_MAX + 1, sizeof *dev->commands);
    while (dev->command_count < ITEMS_MAX && fgets(line, sizeof line, stdin)) {
        int n = 0;
        for (char *w = strtok(line, " \n"); w && n < 16; w = strtok(NULL, " \n"))
            words[n++] = w;
        if (n > 0)
            add_command(dev, words, n);
    }
}

static const struct nx_driver *
find_driver(const char *name)
{
    for (size_t i = 0; nx_drivers[i]; i++)
        if (strcmp(nx_drivers[i]->name, name) == 0)
            return nx_drivers[i];
    die(name, "no such protocol");
    return NULL;
}

static void
free_device(struct nx_dev *dev)
{
    arena_free(&dev->plan);
    arena_free(&dev->arena);
    free(dev->commands);
    free(dev->is_set);
    free(dev->learned);
    free(dev->link.state);
    free(dev->state);
    free(dev);
}

static void
run(struct nx_dev *dev, const struct nx_settings *settings)
{
    struct nx_note why;

    dev->link.loop = loop_new();
    if (dev->driver->attach(dev, settings, NULL, &why) != NX_OK)
        die("attach", why.text);
    if (dev->driver->open(&dev->link, settings, &why) != NX_OK)
        die("open", why.text);
    loop_run(dev->link.loop);
    loop_free(&dev->link.loop);
    if (dev->learned)
        printf("learned %s\n", dev->learned);
    printf("requests %" PRIu64 " splits %" PRIu64 " exceptions %" PRIu64 " stale %" PRIu64 "\n",
           dev->counters[NX_COUNT_REQUESTS], dev->counters[NX_COUNT_SPLITS], dev->counters[NX_COUNT_EXCEPTIONS],
           dev->counters[NX_COUNT_STALE_REPLIES]);
}

int
main(int argc, char **argv)
{
    struct nx_dev *dev = mem_alloc(sizeof *dev);
    const char *protocol = "modbus-tcp";
    struct nx_settings *settings;
    bool has_failed;

    setvbuf(stdout, NULL, _IOFBF, 1 << 16);
    dev->timeout_ms = 2000;
    if (argc > 1 && strncmp(argv[argc - 1], "timeout_ms=", 11) == 0)
        dev->timeout_ms = strtoul(argv[--argc] + 11, NULL, 10);
    if (argc > 1 && strncmp(argv[1], "protocol=", 9) == 0) {
        protocol = argv[1] + 9;
        argc--;
        argv++;
    }
    dev->driver = find_driver(protocol);
    dev->link.dev = dev;
    dev->state = mem_alloc(dev->driver->dev_size);
    dev->link.state = mem_alloc(dev->driver->link_size);
    dev->is_set = mem_calloc(ITEMS_MAX, sizeof *dev->is_set);
    settings = settings_of(dev, dev->driver->params, argv + 1, argc - 1);
    read_script(dev);
    run(dev, settings);
    has_failed = dev->has_failed;
    free_device(dev);
    return has_failed;
}
