#include "model/point.h"

#include "base/mem.h"
#include "base/num.h"

#include <ctype.h>
#include <jansson.h>
#include <strings.h>

struct quality_name {
    const char *word;
    uint16_t quality;
};

/* The first seven are the words of the contract; the others are read, never written. */
static const struct quality_name names[] = {
    {"good", NX_Q_GOOD},
    {"uncertain", NX_Q_UNCERTAIN},
    {"bad", NX_Q_BAD},
    {"not_connected", NX_Q_NOT_CONNECTED},
    {"config_error", NX_Q_CONFIG_ERROR},
    {"device_failure", NX_Q_DEVICE_FAILURE},
    {"timeout", NX_Q_TIMEOUT},
    {"sensor_failure", NX_Q_SENSOR_FAILURE},
    {"last_known", NX_Q_LAST_KNOWN},
    {"comm_failure", NX_Q_TIMEOUT},
    {"out_of_service", NX_Q_OUT_OF_SERVICE},
    {"stale", NX_Q_LAST_KNOWN},
    {"ok", NX_Q_GOOD},
};

const char *
quality_word(uint16_t quality)
{
    if (nx_quality_is_good(quality))
        return "good";
    if (!nx_quality_is_bad(quality))
        return "uncertain";
    switch (quality & 0xFCu) { /* the lowest two bits say which limit was met */
    case NX_Q_NOT_CONNECTED:
        return "not_connected";
    case NX_Q_CONFIG_ERROR:
        return "config_error";
    case NX_Q_DEVICE_FAILURE:
    case NX_Q_SENSOR_FAILURE:
        return "device_failure";
    case NX_Q_TIMEOUT:
        return "timeout";
    default:
        return "bad";
    }
}

static bool
word_eq(struct slice text, const char *word)
{
    size_t i;

    for (i = 0; i < text.len && word[i]; i++) {
        int c = tolower(text.p[i]);

        if (c != word[i] && !(word[i] == '_' && (c == '-' || c == ' ')))
            return false;
    }
    return i == text.len && !word[i];
}

bool
quality_parse(struct slice text, uint16_t *out)
{
    uint64_t number;

    for (size_t i = 0; i < MEM_COUNT(names); i++) {
        if (word_eq(text, names[i].word)) {
            *out = names[i].quality;
            return true;
        }
    }
    if (!text.len || !isdigit(text.p[0]) || !num_u64(text, &number) || number > UINT16_MAX)
        return false;
    *out = (uint16_t)number;
    return true;
}

uint16_t
quality_from_err(enum nx_err err)
{
    switch (err) {
    case NX_OK:
        return NX_Q_GOOD;
    case NX_E_TIMEOUT:
    case NX_E_BUSY:
    case NX_E_IO:
        return NX_Q_TIMEOUT;
    case NX_E_REFUSED:
    case NX_E_UNREACHABLE:
    case NX_E_RESOLVE:
    case NX_E_CLOSED:
    case NX_E_OFFLINE:
    case NX_E_TLS:
    case NX_E_AUTH:
        return NX_Q_NOT_CONNECTED;
    case NX_E_PROTO:
    case NX_E_DEVICE:
        return NX_Q_DEVICE_FAILURE;
    case NX_E_ADDRESS:
    case NX_E_UNSUPPORTED:
    case NX_E_CONFIG:
    case NX_E_NOT_FOUND:
    case NX_E_DENIED:
        return NX_Q_CONFIG_ERROR;
    case NX_E_VALUE:
    case NX_E_RANGE:
        return NX_Q_SENSOR_FAILURE;
    default:
        return NX_Q_BAD;
    }
}

bool
value_eq(const struct nx_value *a, const struct nx_value *b)
{
    if (a->type != b->type)
        return false;
    switch (a->type) {
    case NX_TYPE_NONE:
        return true;
    case NX_TYPE_BOOL:
        return a->b == b->b;
    case NX_TYPE_INT:
        return a->i == b->i;
    case NX_TYPE_UINT:
        return a->u == b->u;
    case NX_TYPE_DOUBLE:
        return a->d == b->d;
    case NX_TYPE_STRING:
        return slice_eq(slice(a->s, a->len), slice(b->s, b->len));
    }
    return false;
}

bool
value_as_double(const struct nx_value *v, double *out)
{
    switch (v->type) {
    case NX_TYPE_BOOL:
        *out = v->b ? 1 : 0;
        return true;
    case NX_TYPE_INT:
        *out = (double)v->i;
        return true;
    case NX_TYPE_UINT:
        *out = (double)v->u;
        return true;
    case NX_TYPE_DOUBLE:
        *out = v->d;
        return true;
    case NX_TYPE_NONE:
    case NX_TYPE_STRING:
        break;
    }
    return false;
}

json_t *
value_json(const struct nx_value *v)
{
    switch (v->type) {
    case NX_TYPE_BOOL:
        return json_boolean(v->b);
    case NX_TYPE_INT:
        return json_integer(v->i);
    case NX_TYPE_UINT:
        return v->u <= INT64_MAX ? json_integer((json_int_t)v->u) : json_real((double)v->u);
    case NX_TYPE_DOUBLE:
        return json_real(v->d);
    case NX_TYPE_STRING:
        return json_stringn(v->s, v->len);
    case NX_TYPE_NONE:
        break;
    }
    return json_null();
}
