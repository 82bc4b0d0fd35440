/* history_value.c -- what every format needs to know of a value. */
#include "core/history.h"

#include <math.h>

#include "base/utf8.h"

#define EXACT_MAX (INT64_C(1) << 53)

bool
history_has_value(const struct history_row *row)
{
    const struct nx_value *v = &row->value;

    return !nx_quality_is_bad(row->quality) && v->type != NX_TYPE_NONE && (v->type != NX_TYPE_DOUBLE || isfinite(v->d));
}

bool
history_exact_double(const struct nx_value *v, double *out)
{
    *out = 0;
    switch (v->type) {
    case NX_TYPE_BOOL:
        *out = v->b;
        return true;
    case NX_TYPE_INT:
        *out = (double)v->i;
        return v->i >= -EXACT_MAX && v->i <= EXACT_MAX;
    case NX_TYPE_UINT:
        *out = (double)v->u;
        return v->u <= (uint64_t)EXACT_MAX;
    case NX_TYPE_DOUBLE:
        *out = v->d;
        return true;
    case NX_TYPE_STRING:
    case NX_TYPE_NONE:
        break;
    }
    return false;
}

struct slice
history_text(const struct nx_value *v, struct wbuf *scratch)
{
    struct slice s = slice(v->s, v->len);

    if (utf8_is_valid(s))
        return s;
    wbuf_reset(scratch);
    while (s.len > 0) {
        size_t step = utf8_step(s);

        if (step == 0)
            wbuf_str(scratch, "\xEF\xBF\xBD");
        else
            wbuf_bytes(scratch, s.p, step);
        s = slice_skip(s, step ? step : 1);
    }
    return wbuf_slice_of(scratch);
}

void
history_put_value(struct wbuf *w, const struct history_row *row)
{
    const struct nx_value *v = &row->value;

    if (!history_has_value(row))
        wbuf_str(w, "null");
    else if (v->type == NX_TYPE_BOOL)
        wbuf_str(w, v->b ? "true" : "false");
    else if (v->type == NX_TYPE_INT)
        wbuf_i64(w, v->i);
    else if (v->type == NX_TYPE_UINT)
        wbuf_u64(w, v->u);
    else if (v->type == NX_TYPE_DOUBLE)
        wbuf_double(w, v->d);
    else
        wbuf_json_string(w, slice(v->s, v->len));
}
