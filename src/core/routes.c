/* routes.c -- the route table of the core, made from routes.def. */
#include "base/mem.h"
#include "core/core_priv.h"
#include "core/handlers.h"

struct row {
    const char *path, *short_path; /* below /api/v1 and below /api; short_path NULL for others */
    const char *method_name, *operation;
    struct http_route route; /* without path */
};

#define ROUTE(m, h, w, p, bytes)                                                                                       \
    {                                                                                                                  \
        HTTP_##m, NULL, h, HTTP_ON_##w, bytes, PERM_##p                                                                \
    }

static const struct row rows[] = {
#define API(m, path, op, h, w, p, bytes)  {"/api/v1" path, "/api" path, #m, op, ROUTE(m, h, w, p, bytes)},
#define ROOT(m, path, op, h, w, p, bytes) {path, NULL, #m, op, ROUTE(m, h, w, p, bytes)},
#include "core/routes.def"
#undef API
#undef ROOT
};

struct http_route *
routes_make(void)
{
    struct http_route *routes = mem_calloc(2 * MEM_COUNT(rows) + 1, sizeof *routes);
    size_t n = 0;

    for (size_t i = 0; i < MEM_COUNT(rows); i++) {
        routes[n] = rows[i].route;
        routes[n++].path = rows[i].path;
        if (!rows[i].short_path)
            continue;
        routes[n] = rows[i].route;
        routes[n++].path = rows[i].short_path;
    }
    return routes;
}

static json_t *
row_json(const char *method, const char *path, enum permission p, const char *operation)
{
    return json_pack("{s:s, s:s, s:s, s:s}", "method", method, "path", path, "permission", permission_name(p),
                     "operation", operation);
}

json_t *
routes_json(void)
{
    json_t *all = json_array();

    for (size_t i = 0; i < MEM_COUNT(rows); i++)
        json_array_append_new(all, row_json(rows[i].method_name, rows[i].path,
                                            (enum permission)rows[i].route.permission, rows[i].operation));
    json_array_append_new(all, row_json("GET", core_ws_ops.path, PERM_LIVE_READ, "openLive"));
    return all;
}
