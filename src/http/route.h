/* route.h -- which row of the table serves a path. Pure. */
#ifndef HTTP_ROUTE_H
#define HTTP_ROUTE_H

#include "http/http.h"

#define ROUTE_MAX_PARAMS 8

struct route_param {
    struct slice name;  /* in the pattern */
    struct slice value; /* in the path */
};

struct route_match {
    const struct http_route *route; /* NULL: none with this method */
    unsigned allowed;               /* bit per enum http_method that the path knows; 0: no such path */
    unsigned param_count;
    struct route_param params[ROUTE_MAX_PARAMS];
};

/* Finds the row for method and path among routes (ends with path NULL). Of several patterns the one wins whose literals
 * come first. HEAD is served by GET rows. */
void route_find(const struct http_route *routes, enum http_method method, const char *path, struct route_match *out);
/* One pattern against one path. */
bool route_matches(const char *pattern, const char *path, struct route_match *out);
/* "GET, HEAD, POST" for the Allow header. */
void route_allow(unsigned allowed, struct wbuf *out);

#endif
