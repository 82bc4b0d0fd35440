#include "http/json.h"

static void
print_string(const char *text, size_t len, struct wbuf *out)
{
    wbuf_json_string(out, slice(text, len));
}

static void
print_object(const json_t *json, struct wbuf *out)
{
    const char *key;
    json_t *value;
    char separator = '{';

    json_object_foreach ((json_t *)json, key, value) {
        wbuf_char(out, separator);
        print_string(key, strlen(key), out);
        wbuf_char(out, ':');
        json_print(value, out);
        separator = ',';
    }
    wbuf_str(out, separator == '{' ? "{}" : "}");
}

static void
print_array(const json_t *json, struct wbuf *out)
{
    size_t i;
    json_t *value;

    wbuf_char(out, '[');
    json_array_foreach (json, i, value) {
        if (i > 0)
            wbuf_char(out, ',');
        json_print(value, out);
    }
    wbuf_char(out, ']');
}

void
json_print(const json_t *json, struct wbuf *out)
{
    switch (json ? json_typeof(json) : JSON_NULL) {
    case JSON_OBJECT:
        print_object(json, out);
        break;
    case JSON_ARRAY:
        print_array(json, out);
        break;
    case JSON_STRING:
        print_string(json_string_value(json), json_string_length(json), out);
        break;
    case JSON_INTEGER:
        wbuf_i64(out, json_integer_value(json));
        break;
    case JSON_REAL:
        wbuf_double(out, json_real_value(json));
        break;
    case JSON_TRUE:
        wbuf_str(out, "true");
        break;
    case JSON_FALSE:
        wbuf_str(out, "false");
        break;
    case JSON_NULL:
        wbuf_str(out, "null");
        break;
    }
}
