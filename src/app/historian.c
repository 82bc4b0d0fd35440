/* historian.c -- `nexus historian stats|verify|migrate`: the store itself, without any service. */
#include "app/historian.h"

#include "base/mem.h"
#include "base/timefmt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "usage: nexus historian stats  [STORE] [-o json]   what is stored\n"
    "       nexus historian verify [STORE]             read everything and check it\n"
    "       nexus historian migrate [--from URL] --to URL\n"
    "                                                  copy every value to another store\n"
    "\n"
    "  --url URL       sqlite:<directory>, postgres://user@host/database\n"
    "  --data DIR      the folder of `nexus up`: sqlite:DIR/history\n"
    "  --config FILE   its historian.url or database.host (the default of `nexus ingest` without one)\n"
    "  --set KEY=VALUE over it\n";

struct options {
    const char *url, *data, *config, *from, *to, *output, *help;
    const char **sets;
};

/* --- which store --- */

static const struct conf_row rows[] = {HISTORIAN_SETTINGS_ROWS(0), CONF_ROW_END};

/* All that any service accepts: sections as a whole, but for the one that is ours. free() the list, texts in a. */
static const char **
foreign_keys(struct arena *a)
{
    struct role role = role_ingest;

    role.rows = rows;
    const char **keys = role_foreign_keys(&role);
    for (size_t i = 0; keys[i]; i++)
        if (strncmp(keys[i], "historian.", 10) != 0 && strncmp(keys[i], "database.", 9) != 0)
            keys[i] = arena_strndup(a, keys[i], strcspn(keys[i], "."));
    return keys;
}

enum nx_err
historian_read_settings(const char *config, const char **sets, char **url, bool *is_named, struct nx_note *why)
{
    struct historian_settings s = {0};
    struct arena a = {0};
    struct conf *conf;
    enum nx_err err;

    const char **foreign = foreign_keys(&a);
    struct conf_source src = {.path = config, .overrides = sets, .foreign = foreign};
    err = conf_load(&conf, &src, rows, &s, why);
    *url = err == NX_OK ? historian_settings_secret_url(&s) : NULL;
    *is_named = err == NX_OK && historian_settings_name_a_store(&s);
    conf_free(&conf);
    free(foreign);
    arena_free(&a);
    return err;
}

/* free() it; NULL: has complained. */
static char *
store_url(const struct options *o, const char *url)
{
    struct nx_note why = {0};
    bool is_named;
    char *text;

    if (url || o->url)
        return mem_strdup(url ? url : o->url);
    if (o->data)
        return mem_printf("sqlite:%s/history", o->data);
    if (historian_read_settings(o->config, o->sets, &text, &is_named, &why) != NX_OK)
        (void)command_failed(NX_E_CONFIG, &why);
    return text;
}

struct historian *
historian_of(const char *url, enum historian_role role, int *code)
{
    struct historian_conf conf = {.url = url, .role = role};
    struct historian *h = NULL;
    struct nx_note why = {0};
    enum nx_err err = historian_open(&h, &conf, &why);

    *code = err == NX_OK ? EXIT_OK : command_failed(err, &why);
    return h;
}

/* --- stats --- */

static void
put_time(json_t *doc, const char *key, int64_t time_us)
{
    char text[TIMEFMT_CAP];

    if (time_us == 0)
        json_object_set_new(doc, key, json_null());
    else
        json_object_set_new(doc, key, json_string(timefmt_rfc3339(time_us, text)));
}

static json_t *
stats_doc(const struct historian_stats *s)
{
    json_t *doc = json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "backend", s->backend, "series",
                            (json_int_t)s->series, "points", (json_int_t)s->points, "unsealed_points",
                            (json_int_t)s->unsealed_points, "duplicate_points", (json_int_t)s->duplicate_points,
                            "quarantined_points", (json_int_t)s->quarantined_points, "damaged_files",
                            (json_int_t)s->damaged_files, "bytes", (json_int_t)s->bytes);

    put_time(doc, "first", s->first_us);
    put_time(doc, "last", s->last_us);
    if (s->points > 0)
        json_object_set_new(doc, "bytes_per_point", json_real((double)s->bytes / (double)s->points));
    return doc;
}

static void
print_doc(const json_t *doc, bool is_json)
{
    const char *key;
    json_t *value;

    if (is_json) {
        (void)json_dumpf(doc, stdout, JSON_INDENT(2));
        (void)putchar('\n');
        return;
    }
    json_object_foreach ((json_t *)doc, key, value) {
        if (json_is_string(value))
            (void)printf("%-20s %s\n", key, json_string_value(value));
        else if (json_is_integer(value))
            (void)printf("%-20s %lld\n", key, (long long)json_integer_value(value));
        else if (json_is_real(value))
            (void)printf("%-20s %.2f\n", key, json_real_value(value));
        else
            (void)printf("%-20s -\n", key);
    }
}

static int
show_stats(const struct options *o, const char *url)
{
    struct historian_stats stats = {0};
    struct nx_note why = {0};
    enum nx_err err;
    int code;
    struct historian *h = historian_of(url, HISTORIAN_READER, &code);

    if (!h)
        return code;
    err = historian_stats_of(h, &stats, &why);
    if (err == NX_OK) {
        json_t *doc = stats_doc(&stats);

        print_doc(doc, o->output && strcmp(o->output, "json") == 0);
        json_decref(doc);
    }
    historian_close(&h);
    return err == NX_OK ? EXIT_OK : command_failed(err, &why);
}

/* --- verify --- */

static void
print_finding(void *arg, const struct historian_finding *f)
{
    (void)arg;
    (void)printf("%s: %s%s%s\n    remedy: %s\n", f->place, f->topic, f->topic[0] ? ": " : "", f->what, f->remedy);
}

static int
verify(const struct options *o, const char *url)
{
    struct historian_verified done;
    struct nx_note why = {0};
    enum nx_err err;
    int code;
    struct historian *h = historian_of(url, HISTORIAN_READER, &code);

    (void)o;
    if (!h)
        return code;
    err = historian_verify(h, print_finding, NULL, NULL, &done, &why);
    historian_close(&h);
    if (err != NX_OK)
        return command_failed(err, &why);
    (void)printf("%llu series, %llu values, %llu rollups: ", (unsigned long long)done.series,
                 (unsigned long long)done.points, (unsigned long long)done.rollups);
    if (done.findings == 0)
        (void)printf("all of it is sound\n");
    else
        (void)printf("%llu things are wrong\n", (unsigned long long)done.findings);
    return done.findings == 0 ? EXIT_OK : EXIT_FAILED;
}

/* --- the command --- */

static int
bad_usage(void)
{
    (void)fputs(usage, stderr);
    return EXIT_USAGE;
}

static int
with_store(const struct options *o, int (*run)(const struct options *o, const char *url))
{
    char *url = store_url(o, NULL);
    int code = url ? run(o, url) : EXIT_FAILED;

    free(url);
    return code;
}

static int
migrate(const struct options *o, const char *from)
{
    return historian_migrate(from, o->to);
}

static int
run_verb(const char *verb, struct options *o)
{
    if (strcmp(verb, "stats") == 0)
        return with_store(o, show_stats);
    if (strcmp(verb, "verify") == 0)
        return with_store(o, verify);
    if (strcmp(verb, "migrate") != 0 || !o->to)
        return bad_usage();
    if (o->from)
        o->url = o->from;
    return with_store(o, migrate);
}

int
command_historian(int argc, char **argv)
{
    struct options o = {0};
    const struct option_spec specs[] = {{.name = "url", .value = &o.url},
                                        {.name = "data", .value = &o.data},
                                        {.name = "config", .value = &o.config},
                                        {.name = "set", .list = &o.sets},
                                        {.name = "from", .value = &o.from},
                                        {.name = "to", .value = &o.to},
                                        {.name = "output", .letter = 'o', .value = &o.output},
                                        {.name = "help", .letter = 'h', .value = &o.help, .is_flag = true},
                                        {0}};
    int code;

    if (!options_read(&argc, argv, specs))
        return EXIT_USAGE;
    if (o.help) {
        (void)fputs(usage, stdout);
        code = EXIT_OK;
    } else {
        code = argc == 2 ? run_verb(argv[1], &o) : bad_usage();
    }
    free(o.sets);
    return code;
}
