/* mqtt_probe.c -- our MQTT client on a real loop, moved by lines on standard input, for tests against real brokers.
 *
 *   mqtt_probe HOST PORT [key=value]...      version=3|5 id= user= password= ca= clean=1 expiry= keepalive= window=
 *                                            receive_max= will_topic= will= hold=1 (acknowledge only on "ack")
 *   sub FILTER QOS | unsub FILTER | pub QOS RETAIN TOPIC TEXT | flood QOS TOPIC COUNT BYTES | ack | auto |
 *   expect COUNT | stop | stop-with-will
 *
 * Each event is one line of JSON on standard output. */
#include "base/mem.h"
#include "base/wbuf.h"
#include "mqtt/mqtt.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { TOKENS_MAX = 65536, SHOWN_BYTES = 200 };

struct probe {
    struct loop *loop;
    struct mqtt *m;
    bool hold;
    uint64_t tokens[TOKENS_MAX]; /* received and not acknowledged */
    size_t token_count;
    char topic[256]; /* of the flood */
    uint8_t *payload;
    size_t payload_len;
    uint64_t to_send, done, wanted_done; /* of the flood */
    uint8_t qos;
    uint64_t expected, received; /* quiet counting after "expect" */
    uint64_t started_ns;
    clock_t started_cpu;
};

static void
print(struct wbuf *w)
{
    wbuf_char(w, '\n');
    struct slice s = wbuf_slice_of(w);
    if (write(STDOUT_FILENO, s.p, s.len) < 0)
        exit(1);
    wbuf_free(w);
}

static void
begin_timing(struct probe *p)
{
    p->started_ns = loop_now_ns(p->loop);
    p->started_cpu = clock();
}

static void
print_rate(struct probe *p, const char *event, uint64_t count)
{
    struct wbuf w = wbuf_init(0);

    wbuf_printf(&w, "{\"event\":\"%s\",\"count\":%llu,\"seconds\":%.4f,\"cpu_seconds\":%.4f}", event,
                (unsigned long long)count, (double)(loop_now_ns(p->loop) - p->started_ns) / 1e9,
                (double)(clock() - p->started_cpu) / CLOCKS_PER_SEC);
    print(&w);
}

/* --- events --- */

static void
on_state(void *arg, enum mqtt_state state, bool session_present, const struct nx_note *why)
{
    static const char *const names[] = {"stopped", "connecting", "online", "waiting"};
    struct probe *p = arg;
    struct wbuf w = wbuf_init(0);

    wbuf_printf(&w, "{\"event\":\"%s\",\"session_present\":%s,\"error\":\"%s\",\"why\":", names[state],
                session_present ? "true" : "false", why ? nx_err_name(why->err) : "");
    wbuf_json_string(&w, slice_str(why ? why->text : ""));
    wbuf_char(&w, '}');
    print(&w);
    if (state == MQTT_STOPPED)
        loop_stop(p->loop);
}

static void
on_warning(void *arg, const struct nx_note *why)
{
    struct wbuf w = wbuf_init(0);

    (void)arg;
    wbuf_str(&w, "{\"event\":\"warning\",\"why\":");
    wbuf_json_string(&w, slice_str(why->text));
    wbuf_char(&w, '}');
    print(&w);
}

static void
print_message(const struct mqtt_message *msg)
{
    struct wbuf w = wbuf_init(0);

    wbuf_str(&w, "{\"event\":\"message\",\"topic\":");
    wbuf_json_string(&w, msg->topic);
    wbuf_printf(&w, ",\"qos\":%u,\"retain\":%s,\"dup\":%s,\"bytes\":%zu,\"text\":", msg->qos,
                msg->retain ? "true" : "false", msg->dup ? "true" : "false", msg->payload.len);
    wbuf_json_string(&w, slice(msg->payload.p, msg->payload.len < SHOWN_BYTES ? msg->payload.len : SHOWN_BYTES));
    wbuf_char(&w, '}');
    print(&w);
}

static void
on_message(void *arg, const struct mqtt_message *msg)
{
    struct probe *p = arg;

    if (p->hold && msg->token && p->token_count < TOKENS_MAX)
        p->tokens[p->token_count++] = msg->token;
    if (!p->hold)
        mqtt_ack(p->m, msg->token);
    if (p->expected == 0) {
        print_message(msg);
        return;
    }
    if (p->received++ == 0)
        begin_timing(p);
    if (p->received == p->expected)
        print_rate(p, "expected", p->received);
}

static void
on_done(void *arg, enum nx_err err)
{
    struct wbuf w = wbuf_init(0);

    (void)arg;
    wbuf_printf(&w, "{\"event\":\"done\",\"error\":\"%s\"}", err ? nx_err_name(err) : "");
    print(&w);
}

static void
on_flood_done(void *arg, enum nx_err err)
{
    struct probe *p = arg;

    if (!err && ++p->done == p->wanted_done)
        print_rate(p, "flooded", p->done);
}

static void
pump_flood(void *arg)
{
    struct probe *p = arg;

    while (p->to_send) {
        struct mqtt_publication pub = {.topic = slice_str(p->topic),
                                       .payload = slice(p->payload, p->payload_len),
                                       .qos = p->qos};

        if (mqtt_publish(p->m, &pub, on_flood_done, p))
            return; /* on_ready comes back */
        p->to_send--;
    }
}

static const struct mqtt_ops OPS = {on_state, on_message, pump_flood, on_warning};

/* --- commands --- */

static void
command_flood(struct probe *p, unsigned qos, const char *topic, unsigned long count, size_t bytes)
{
    snprintf(p->topic, sizeof p->topic, "%s", topic);
    free(p->payload);
    p->payload = mem_alloc(bytes);
    memset(p->payload, 'x', bytes);
    p->payload_len = bytes;
    p->qos = (uint8_t)qos;
    p->to_send = p->wanted_done = count;
    p->done = 0;
    begin_timing(p);
    pump_flood(p);
}

static void
command_pub(struct probe *p, unsigned qos, unsigned retain, const char *topic, const char *text)
{
    struct mqtt_publication pub = {.topic = slice_str(topic),
                                   .payload = slice_str(text),
                                   .qos = (uint8_t)qos,
                                   .retain = retain};
    enum nx_err err = mqtt_publish(p->m, &pub, on_done, p);

    if (err)
        on_done(p, err);
}

static void
command_ack(struct probe *p)
{
    for (size_t i = 0; i < p->token_count; i++)
        mqtt_ack(p->m, p->tokens[i]);
    p->token_count = 0;
}

static void
obey(struct probe *p, const char *line)
{
    char name[32] = "", topic[256], text[4096] = "";
    unsigned qos, retain;
    unsigned long count;
    size_t bytes;

    (void)sscanf(line, "%31s", name);
    if (sscanf(line, "sub %255s %u", topic, &qos) == 2)
        mqtt_subscribe(p->m, topic, (uint8_t)qos);
    else if (sscanf(line, "unsub %255s", topic) == 1)
        mqtt_unsubscribe(p->m, topic);
    else if (sscanf(line, "pub %u %u %255s %4095[^\n]", &qos, &retain, topic, text) >= 3)
        command_pub(p, qos, retain, topic, text);
    else if (sscanf(line, "flood %u %255s %lu %zu", &qos, topic, &count, &bytes) == 4)
        command_flood(p, qos, topic, count, bytes);
    else if (sscanf(line, "expect %lu", &count) == 1)
        p->expected = count, p->received = 0;
    else if (strcmp(name, "ack") == 0)
        command_ack(p);
    else if (strcmp(name, "auto") == 0)
        p->hold = false;
    else
        mqtt_stop(p->m, strcmp(name, "stop-with-will") == 0);
}

struct line {
    struct probe *probe;
    char *text;
};

static void
on_line(void *arg)
{
    struct line *l = arg;

    obey(l->probe, l->text);
    free(l->text);
    free(l);
}

static void *
read_lines(void *arg)
{
    char *text = NULL;
    size_t cap = 0;

    while (getline(&text, &cap, stdin) > 0) {
        struct line *l = mem_alloc(sizeof *l);

        *l = (struct line){.probe = arg, .text = mem_strdup(text)};
        loop_post(l->probe->loop, on_line, l);
    }
    free(text);
    return NULL;
}

/* --- start --- */

static const char *
option(int argc, char **argv, const char *key)
{
    size_t len = strlen(key);

    for (int i = 3; i < argc; i++)
        if (strncmp(argv[i], key, len) == 0 && argv[i][len] == '=')
            return argv[i] + len + 1;
    return NULL;
}

static unsigned
number(int argc, char **argv, const char *key, unsigned otherwise)
{
    const char *text = option(argc, argv, key);

    return text ? (unsigned)strtoul(text, NULL, 10) : otherwise;
}

int
main(int argc, char **argv)
{
    static struct probe p;
    pthread_t reader;

    if (argc < 3)
        return 2;
    struct stream_tls tls = {.ca_file = option(argc, argv, "ca")};
    struct mqtt_conf conf = {
        .host = argv[1],
        .port = (uint16_t)strtoul(argv[2], NULL, 10),
        .tls = tls.ca_file ? &tls : NULL,
        .version = number(argc, argv, "version", 5) == 5 ? MQTT_V5 : MQTT_V311,
        .client_id = option(argc, argv, "id"),
        .username = option(argc, argv, "user"),
        .password = option(argc, argv, "password"),
        .clean_start = number(argc, argv, "clean", 0),
        .session_expiry_s = number(argc, argv, "expiry", 0),
        .keepalive_s = (uint16_t)number(argc, argv, "keepalive", 5),
        .window = (uint16_t)number(argc, argv, "window", 0),
        .receive_max = (uint16_t)number(argc, argv, "receive_max", 0),
        .backoff_min_ms = 50,
        .backoff_max_ms = 500,
        .will = {.topic = option(argc, argv, "will_topic"), .payload = slice_str(option(argc, argv, "will")), .qos = 1},
    };
    p.loop = loop_new();
    p.hold = number(argc, argv, "hold", 0);
    p.m = mqtt_new(p.loop, &conf, &OPS, &p);
    mqtt_start(p.m);
    if (pthread_create(&reader, NULL, read_lines, &p) != 0)
        return 1;
    loop_run(p.loop);
    /* The reader waits for more lines; it ends with the process, and loop_post() must stay possible until then. */
    exit(0);
}
