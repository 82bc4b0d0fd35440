/* cli_plan.c -- a read plan for people: the sum, the requests, and the tags that get less than they ask for. */
#include "app/cli.h"

#include "base/mem.h"

#include <stdlib.h>

#define SHORT_FALL 1.1 /* of the interval that is asked for: less is jitter */

/* "250 ms", "1.5 s"; "-" when nobody knows. */
static void
put_ms(struct wbuf *out, const json_t *ms)
{
    double x = json_number_value(ms);

    if (!json_is_number(ms))
        wbuf_str(out, "-");
    else if (x >= 1000)
        wbuf_printf(out, "%.4g s", x / 1000);
    else
        wbuf_printf(out, "%.3g ms", x);
}

static void
ms_cell(struct cli_table *t, const json_t *ms)
{
    struct wbuf w = wbuf_init(0);

    put_ms(&w, ms);
    cli_table_text(t, wbuf_cstr(&w));
    wbuf_free(&w);
}

static long long
count_at(const json_t *object, const char *key)
{
    return (long long)json_integer_value(cli_at(object, key));
}

static void
put_summary(struct wbuf *out, const json_t *plan)
{
    const json_t *cycle = cli_at(plan, "cycle");

    wbuf_printf(out, "%s (%s, %s): %lld requests, %lld bytes out, %lld bytes in, %lld of them in gaps, %lld holes\n",
                cli_text_at(plan, "device_id"), cli_text_at(plan, "protocol"),
                json_is_true(cli_at(plan, "is_connected")) ? "connected" : "not connected", count_at(cycle, "requests"),
                count_at(cycle, "bytes_out"), count_at(cycle, "bytes_in"), count_at(cycle, "gap_bytes"),
                count_at(cycle, "holes"));
    wbuf_str(out, "one cycle: predicted ");
    put_ms(out, cli_at(cycle, "predicted_ms"));
    wbuf_str(out, ", achieved ");
    put_ms(out, cli_at(cycle, "achieved_ms"));
    wbuf_char(out, '\n');
}

static void
add_request(struct cli_table *t, const json_t *list, const json_t *rq)
{
    ms_cell(t, cli_at(list, "interval_ms"));
    ms_cell(t, cli_at(list, "achieved_interval_ms"));
    cli_table_json(t, cli_at(list, "priority"));
    cli_table_json(t, cli_at(rq, "text"));
    cli_table_json(t, cli_at(rq, "bytes_out"));
    cli_table_json(t, cli_at(rq, "bytes_in"));
    cli_table_json(t, cli_at(rq, "gap_bytes"));
    cli_table_printf(t, "%zu", json_array_size(cli_at(rq, "tags")));
    cli_table_json(t, cli_at(rq, "hole"));
}

static struct cli_table *
request_table(const json_t *plan)
{
    static const char *const titles[] = {">every", ">achieved", "priority", "request", ">out",
                                         ">in",    ">gap",      ">tags",    "hole",    NULL};
    struct cli_table *t = cli_table_new(titles);
    size_t i, j;
    json_t *list, *rq;

    json_array_foreach (cli_at(plan, "lists"), i, list)
        json_array_foreach (cli_at(list, "requests"), j, rq)
            add_request(t, list, rq);
    return t;
}

static bool
falls_short(const json_t *tag)
{
    const json_t *asked = cli_at(tag, "interval_ms"), *achieved = cli_at(tag, "achieved_interval_ms");

    return json_is_string(cli_at(tag, "hole")) || (json_is_number(asked) && json_is_number(achieved) &&
                                                   json_number_value(achieved) > json_number_value(asked) * SHORT_FALL);
}

static struct cli_table *
short_table(const json_t *plan, size_t *count)
{
    static const char *const titles[] = {"tag", "address", ">asked for", ">achieved", "reason", NULL};
    struct cli_table *t = cli_table_new(titles);
    size_t i;
    json_t *tag;

    *count = 0;
    json_array_foreach (cli_at(plan, "tags"), i, tag) {
        if (!falls_short(tag))
            continue;
        cli_table_json(t, cli_at(tag, "id"));
        cli_table_json(t, cli_at(tag, "address"));
        ms_cell(t, cli_at(tag, "interval_ms"));
        ms_cell(t, cli_at(tag, "achieved_interval_ms"));
        cli_table_text(t, json_is_string(cli_at(tag, "hole")) ? cli_text_at(tag, "hole")
                                                              : "the device or the line is too slow");
        ++*count;
    }
    return t;
}

int
cli_plan_print(const struct cli *cli, const json_t *plan, struct wbuf *out)
{
    struct cli_table *requests = request_table(plan), *shorts;
    size_t count;

    put_summary(out, plan);
    wbuf_char(out, '\n');
    cli_table_print(requests, out, cli->is_color);
    shorts = short_table(plan, &count);
    if (count > 0) {
        wbuf_printf(out, "\n%zu of %zu tags get less than they ask for:\n", count,
                    json_array_size(cli_at(plan, "tags")));
        cli_table_print(shorts, out, cli->is_color);
    } else if (json_is_true(cli_at(plan, "is_connected"))) {
        wbuf_str(out, "\nall tags are read as often as they ask for\n");
    }
    cli_table_free(&requests);
    cli_table_free(&shorts);
    return EXIT_OK;
}

static int
show(struct cli *cli, const json_t *plan)
{
    struct wbuf out = wbuf_init(0);
    int code;

    if (cli->format > CLI_AS_TABLE) {
        struct cli_table *t = request_table(plan);
        return cli_show(cli, plan, &t);
    }
    (void)cli_plan_print(cli, plan, &out);
    (void)fwrite(wbuf_cstr(&out), 1, out.len, stdout);
    code = cli_output_close(stdout, NULL);
    wbuf_free(&out);
    return code;
}

int
cli_plan(struct cli *cli)
{
    char *path = cli_path("/devices/", cli->operands[0], ":plan", NULL);
    json_t *plan;
    int code = cli_call(cli->http, "GET", path, NULL, &plan);

    if (code == EXIT_OK)
        code = show(cli, plan);
    json_decref(plan);
    free(path);
    return code;
}
