/* uns_api.c -- latest values by topic. */
#include "core/api.h"
#include "core/handlers.h"

static json_t *
show(const struct live_point *p)
{
    json_t *shown = json_pack("{s:s, s:o, s:i, s:o}", "topic", p->topic, "value", api_value(&p->value, p->quality),
                              "quality", (int)p->quality, "timestamp", api_time(p->time_us));

    if (p->unit)
        json_object_set_new(shown, "unit", json_string(p->unit));
    if (p->tag)
        json_object_set_new(shown, "tag", json_string(p->tag));
    return shown;
}

void
uns_values(struct http_req *req, void *arg)
{
    struct core *core = arg;
    const char *filter = http_query(req, "filter") ? http_query(req, "filter") : "#";
    struct api_page page;
    struct live_point *rows;
    json_t *items;
    size_t n, shown;

    if (!mqtt_filter_is_valid(slice_str(filter))) {
        api_fail_param(req, "filter", "filter is an MQTT topic filter: + alone between slashes, # alone at the end");
        return;
    }
    if (!api_page_read(req, 1, &page))
        return;
    rows = arena_alloc(http_arena(req), (page.limit + 1) * sizeof *rows);
    n = live_list(core->live, filter, page.cursor[0], page.limit + 1, http_arena(req), rows);
    shown = n > page.limit ? page.limit : n;
    items = json_array();
    for (size_t i = 0; i < shown; i++)
        json_array_append_new(items, show(&rows[i]));
    api_page_answer(req, items, n > shown ? (const char *const[]){rows[shown - 1].topic, NULL} : NULL);
}
