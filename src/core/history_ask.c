/* history_ask.c -- from the words of a request to a question. */
#include "core/history.h"

#include "base/mem.h"
#include "base/num.h"
#include "base/timefmt.h"

#include <stdlib.h>
#include <strings.h>

#define COLUMN_TAGS_MAX   64
#define ROW_TAGS_MAX      1000
#define COLUMN_POINTS_MAX 100000
#define ROW_POINTS_MAX    1000000000
#define POINTS_DEFAULT    1000

const char *const history_fn_words[] = {"raw", "minmax", "avg", "last", "twa", "lttb", NULL};
const char *const history_resolution_words[] = {"auto", "raw", "1m", "1h", "1d", NULL};
static const char *const fill_words[] = {"none", "null", "previous", "linear", NULL};
static const char *const time_words[] = {"rfc3339", "ms", "us", NULL};
static const char *const format_words[] = {"json", "csv", "ndjson", "binary", "parquet", NULL};
static const struct history_format *const formats[] = {&history_json, &history_csv, &history_ndjson, &history_binary,
                                                       &history_parquet};

/* --- words ------------------------------------------------------------------------------------------------------ */

static bool
choose(const char *text, const char *const *words, unsigned *out)
{
    for (unsigned i = 0; words[i]; i++) {
        if (strcmp(text, words[i]) == 0) {
            *out = i;
            return true;
        }
    }
    return false;
}

static bool
read_time(const char *text, int64_t *out)
{
    int64_t ms = 0;

    if (num_i64(slice_str(text), &ms) && ms > -9000000000000 && ms < 9000000000000) {
        *out = ms * 1000;
        return true;
    }
    return timefmt_parse(slice_str(text), out);
}

static bool
read_from(const char *text, struct history_ask *ask)
{
    return read_time(text, &ask->from_us);
}

static bool
read_to(const char *text, struct history_ask *ask)
{
    return read_time(text, &ask->to_us);
}

static bool
read_points(const char *text, struct history_ask *ask)
{
    int64_t n = 0;

    if (!num_i64(slice_str(text), &n) || n < 1 || n > ROW_POINTS_MAX)
        return false;
    ask->max_points = (uint32_t)n;
    return true;
}

static bool
read_download(const char *text, struct history_ask *ask)
{
    return num_bool(slice_str(text), &ask->is_download);
}

static void
set_fn(struct history_ask *ask, unsigned i)
{
    ask->fn = (enum history_fn)i;
}

static void
set_fill(struct history_ask *ask, unsigned i)
{
    ask->fill = (enum history_fill)i;
}

static void
set_resolution(struct history_ask *ask, unsigned i)
{
    ask->resolution = (enum history_resolution)i;
}

static void
set_format(struct history_ask *ask, unsigned i)
{
    ask->format = formats[i];
}

static void
set_time(struct history_ask *ask, unsigned i)
{
    ask->time = (enum history_time)i;
}

enum word {
    WORD_FROM,
    WORD_TO,
    WORD_FN,
    WORD_POINTS,
    WORD_FILL,
    WORD_RESOLUTION,
    WORD_FORMAT,
    WORD_TIME,
    WORD_DOWNLOAD,
    WORD_COUNT
};

/* Either a text that read() understands, or one of some words. */
static const struct {
    const char *name, *rule;
    bool (*read)(const char *text, struct history_ask *ask);
    const char *const *words;
    void (*set)(struct history_ask *ask, unsigned i);
} rows[WORD_COUNT] = {
    [WORD_FROM] = {"from", "from is a time: RFC 3339, or milliseconds since 1970", read_from, NULL, NULL},
    [WORD_TO] = {"to", "to is a time: RFC 3339, or milliseconds since 1970", read_to, NULL, NULL},
    [WORD_FN] = {"fn", NULL, NULL, history_fn_words, set_fn},
    [WORD_POINTS] = {"max_points", "max_points is a number from 1 to 1000000000", read_points, NULL, NULL},
    [WORD_FILL] = {"fill", NULL, NULL, fill_words, set_fill},
    [WORD_RESOLUTION] = {"resolution", NULL, NULL, history_resolution_words, set_resolution},
    [WORD_FORMAT] = {"format", NULL, NULL, format_words, set_format},
    [WORD_TIME] = {"time", NULL, NULL, time_words, set_time},
    [WORD_DOWNLOAD] = {"download", "download is true or false", read_download, NULL, NULL},
};

const char *const history_ask_members[] = {"tags",       "from",   "to",   "fn",       "max_points", "fill",
                                           "resolution", "format", "time", "download", NULL};

/* --- faults: a parameter or a member ------------------------------------------------------------------------------ */

struct asking {
    struct http_req *req;
    struct history_ask *ask;
    const char *text[WORD_COUNT]; /* NULL: absent */
    bool is_body;
};

static bool
fault(const struct asking *x, const char *name, const char *detail)
{
    if (x->is_body)
        api_fail_field(x->req, arena_printf(http_arena(x->req), "/%s", name), "invalid", detail);
    else
        api_fail_param(x->req, name, detail);
    return false;
}

/* "fn is raw, minmax or avg" */
static const char *
rule_of(struct arena *a, enum word w)
{
    struct wbuf out = wbuf_init(0);
    const char *text;

    if (rows[w].rule)
        return rows[w].rule;
    wbuf_printf(&out, "%s is ", rows[w].name);
    for (unsigned i = 0; rows[w].words[i]; i++)
        wbuf_printf(&out, "%s%s", i == 0 ? "" : rows[w].words[i + 1] ? ", " : " or ", rows[w].words[i]);
    text = arena_strdup(a, wbuf_cstr(&out));
    wbuf_free(&out);
    return text;
}

static bool
read_word(const struct asking *x, enum word w)
{
    const char *text = x->text[w];
    unsigned i = 0;

    if (!text)
        return true;
    if (!rows[w].words) {
        if (!rows[w].read(text, x->ask))
            return fault(x, rows[w].name, rule_of(http_arena(x->req), w));
        return true;
    }
    if (!choose(text, rows[w].words, &i))
        return fault(x, rows[w].name, rule_of(http_arena(x->req), w));
    rows[w].set(x->ask, i);
    return true;
}

/* --- the format that the client can read ---------------------------------------------------------------------------
 */

/* How well a range of an Accept header ("text/csv", "text/" "*", "*" "/" "*") fits a type: 0 not at all. */
static unsigned
fit_of(struct slice range, const char *type)
{
    size_t len = strcspn(type, ";"), major = strcspn(type, "/");

    if (range.len == len && strncasecmp((const char *)range.p, type, len) == 0)
        return 3;
    if (range.len == major + 2 && strncasecmp((const char *)range.p, type, major + 1) == 0 && range.p[major + 1] == '*')
        return 2;
    return slice_eq_str(range, "*/*") ? 1 : 0;
}

static struct slice
trim(struct slice s)
{
    while (s.len > 0 && (s.p[0] == ' ' || s.p[0] == '\t'))
        s = slice_skip(s, 1);
    while (s.len > 0 && (s.p[s.len - 1] == ' ' || s.p[s.len - 1] == '\t'))
        s.len--;
    return s;
}

/* Cuts the part before the separator off the front. */
static struct slice
next_part(struct slice *rest, char separator)
{
    size_t n = 0;
    struct slice part;

    while (n < rest->len && rest->p[n] != (uint8_t)separator)
        n++;
    part = trim(slice(rest->p, n));
    *rest = slice_skip(*rest, n + 1);
    return part;
}

static double
weight_of(struct slice parameters)
{
    double q = 1;

    while (parameters.len > 0) {
        struct slice p = next_part(&parameters, ';');

        if (p.len > 2 && (p.p[0] == 'q' || p.p[0] == 'Q') && p.p[1] == '=' && !num_double(slice_skip(p, 2), &q))
            return 0;
    }
    return q;
}

/* RFC 9110, 12.5.1: the range that fits best decides. */
static double
weight_for(const char *accept, const char *type)
{
    struct slice rest = slice_str(accept);
    unsigned best = 0;
    double weight = 0;

    while (rest.len > 0) {
        struct slice item = next_part(&rest, ',');
        unsigned fit = fit_of(next_part(&item, ';'), type);

        if (fit <= best)
            continue;
        best = fit;
        weight = weight_of(item);
    }
    return weight;
}

static bool
choose_format(struct http_req *req, struct history_ask *ask)
{
    const char *accept = http_header(req, "accept");
    double best = 0;

    if (!ask->format && (!accept || !*accept))
        ask->format = &history_json;
    for (size_t i = 0; !ask->format && i < MEM_COUNT(formats); i++)
        best =
            weight_for(accept, formats[i]->content_type) > best ? weight_for(accept, formats[i]->content_type) : best;
    for (size_t i = 0; best > 0 && !ask->format && i < MEM_COUNT(formats); i++)
        if (weight_for(accept, formats[i]->content_type) == best)
            ask->format = formats[i];
    if (ask->format)
        return true;
    http_respond_problem(
        req, &(struct http_problem){.status = 406,
                                    .code = "not_acceptable",
                                    .title = "No such format",
                                    .detail = "history comes as application/json, text/csv, application/x-ndjson,"
                                              " application/vnd.nexus.columns or application/vnd.apache.parquet",
                                    .fixes = {"Name the format with format=, or accept one of these types."}});
    return false;
}

/* --- the whole question --------------------------------------------------------------------------------------------
 */

static bool
check_points(const struct asking *x)
{
    struct history_ask *ask = x->ask;
    bool is_open = !ask->format->is_columns && ask->fn == HISTORY_RAW;

    if (ask->max_points == 0)
        ask->max_points = is_open ? HISTORY_NO_LIMIT : POINTS_DEFAULT;
    else if (!is_open && ask->max_points > COLUMN_POINTS_MAX)
        return fault(x, "max_points",
                     "max_points is a number from 1 to 100000, but for fn=raw as csv, ndjson, binary or parquet");
    return true;
}

static bool
check(const struct asking *x)
{
    const struct history_ask *ask = x->ask;

    if (!x->text[WORD_FROM])
        return fault(x, "from", rule_of(http_arena(x->req), WORD_FROM));
    if (ask->from_us >= ask->to_us)
        return fault(x, "from", "from lies before to");
    if (ask->fill != HISTORY_FILL_NONE && ask->fn != HISTORY_AVG && ask->fn != HISTORY_LAST && ask->fn != HISTORY_TWA)
        return fault(x, "fill", "fill is for avg, last and twa: only they have a row for each bucket");
    if (x->text[WORD_TIME] && !ask->format->has_times)
        return fault(x, "time", "time is for csv and ndjson: the times of the other formats are fixed");
    return check_points(x);
}

static bool
read_words(const struct asking *x)
{
    *x->ask = (struct history_ask){.fn = HISTORY_MINMAX, .to_us = core_now_us()};
    for (unsigned w = 0; w < WORD_COUNT; w++)
        if (!read_word(x, (enum word)w))
            return false;
    return choose_format(x->req, x->ask) && check(x);
}

static unsigned
tags_max(const struct history_ask *ask)
{
    return ask->format->is_columns ? COLUMN_TAGS_MAX : ROW_TAGS_MAX;
}

static const char *
tags_rule(struct asking *x)
{
    return arena_printf(http_arena(x->req), "tags is a list of 1 to %u topics or device/tag ids%s", tags_max(x->ask),
                        x->is_body ? "" : ", separated by commas");
}

static bool
read_tag_list(struct asking *x)
{
    const char *given = http_query(x->req, "tags");
    char *save = NULL, *text = arena_strdup(http_arena(x->req), given ? given : "");
    unsigned max = tags_max(x->ask);

    x->ask->tags = arena_alloc(http_arena(x->req), max * sizeof *x->ask->tags);
    for (char *tag = strtok_r(text, ",", &save); tag; tag = strtok_r(NULL, ",", &save)) {
        if (x->ask->tag_count == max)
            return fault(x, "tags", tags_rule(x));
        x->ask->tags[x->ask->tag_count++] = tag;
    }
    return x->ask->tag_count > 0 || fault(x, "tags", tags_rule(x));
}

static bool
read_tag_array(struct asking *x, const json_t *tags)
{
    size_t i;
    json_t *tag;

    if (json_array_size(tags) == 0 || json_array_size(tags) > tags_max(x->ask))
        return fault(x, "tags", tags_rule(x));
    x->ask->tags = arena_alloc(http_arena(x->req), json_array_size(tags) * sizeof *x->ask->tags);
    json_array_foreach (tags, i, tag) {
        if (!json_is_string(tag) || json_string_length(tag) == 0)
            return fault(x, arena_printf(http_arena(x->req), "tags/%zu", i), "a tag is a text");
        x->ask->tags[x->ask->tag_count++] = json_string_value(tag);
    }
    return true;
}

bool
history_ask_query(struct http_req *req, struct history_ask *out)
{
    struct asking x = {.req = req, .ask = out};

    for (unsigned w = 0; w < WORD_COUNT; w++)
        x.text[w] = http_query(req, rows[w].name);
    return read_words(&x) && read_tag_list(&x);
}

/* Numbers, booleans and texts alike; NULL when absent. */
static const char *
text_of(struct http_req *req, const json_t *value)
{
    if (json_is_integer(value))
        return arena_printf(http_arena(req), "%lld", (long long)json_integer_value(value));
    if (json_is_boolean(value))
        return json_is_true(value) ? "true" : "false";
    return value && !json_is_string(value) ? "?" : json_string_value(value);
}

bool
history_ask_body(struct http_req *req, const json_t *body, struct history_ask *out)
{
    struct asking x = {.req = req, .ask = out, .is_body = true};

    for (unsigned w = 0; w < WORD_COUNT; w++)
        x.text[w] = text_of(req, json_object_get(body, rows[w].name));
    return read_words(&x) && read_tag_array(&x, json_object_get(body, "tags"));
}
