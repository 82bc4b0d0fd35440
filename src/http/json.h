/* json.h -- prints JSON compactly, with the shortest digits that give the same number back: 0.2, where jansson prints
 * 0.20000000000000001. Any thread. As deep as the value: bodies from outside are at most 64 levels deep. */
#ifndef HTTP_JSON_H
#define HTTP_JSON_H

#include "base/wbuf.h"

#include <jansson.h>

/* NULL prints null. */
void json_print(const json_t *json, struct wbuf *out);

#endif
