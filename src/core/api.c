#include "core/api.h"

#include "base/mem.h"
#include "base/num.h"
#include "base/timefmt.h"

#include <ctype.h>
#include <openssl/evp.h>
#include <stdio.h>

/* --- failures -------------------------------------------------------------------------------------------------- */

/* "/a/b: text" -> pointer and text; false when the text does not begin with a place. */
static bool
split_place(const char *text, char *pointer, size_t cap, const char **rest)
{
    const char *colon = strstr(text, ": ");

    if (text[0] != '/' || !colon || (size_t)(colon - text) >= cap)
        return false;
    (void)snprintf(pointer, cap, "%.*s", (int)(colon - text), text);
    *rest = colon + 2;
    return true;
}

static const char *
strip_prefix(const char *pointer, const char *prefix)
{
    size_t len = prefix ? strlen(prefix) : 0;

    if (len > 0 && strncmp(pointer, prefix, len) == 0)
        pointer += len;
    return strcmp(pointer, "/") == 0 ? "" : pointer;
}

static void
add_suggestion(json_t *error, const char *text)
{
    static const char lead[] = "Did you mean '";
    const char *from = strstr(text, lead);
    const char *to = from ? strchr(from + sizeof lead - 1, '\'') : NULL;

    if (to)
        json_object_set_new(error, "suggestion",
                            json_stringn(from + sizeof lead - 1, (size_t)(to - from) - (sizeof lead - 1)));
}

json_t *
api_field_error(const struct nx_note *why, const char *strip)
{
    char pointer[256] = "";
    const char *text = why->text;
    bool is_unknown, is_missing;
    json_t *error;

    (void)split_place(why->text, pointer, sizeof pointer, &text);
    is_unknown = strncmp(text, "unknown key", 11) == 0;
    is_missing = strstr(text, "is missing") != NULL;
    error = json_pack("{s:s, s:s, s:s}", "pointer", strip_prefix(pointer, strip), "code",
                      is_unknown   ? "unknown_member"
                      : is_missing ? "missing"
                                   : "invalid",
                      "detail", text);
    if (error)
        add_suggestion(error, text);
    return error;
}

static bool
is_about_a_document(enum nx_err err)
{
    return nx_err_class(err) == NX_CLASS_CONFIG || err == NX_E_VALUE || err == NX_E_RANGE;
}

void
api_fail(struct http_req *req, enum nx_err err, const struct nx_note *why, const char *strip)
{
    struct http_problem problem = {.status = 422, .code = "validation_failed", .title = "The request is not valid"};

    if (!is_about_a_document(err)) {
        http_respond_err(req, err, NULL, why);
        return;
    }
    problem.errors = json_array();
    json_array_append_new(problem.errors, api_field_error(why, strip));
    problem.detail = json_string_value(json_object_get(json_array_get(problem.errors, 0), "detail"));
    problem.fixes[0] = "Correct the members listed in errors and send the request again.";
    http_respond_problem(req, &problem);
}

void
api_fail_field(struct http_req *req, const char *pointer, const char *code, const char *detail)
{
    http_respond_problem(req, &(struct http_problem){
                                  .status = 422,
                                  .code = "validation_failed",
                                  .title = "The request is not valid",
                                  .detail = detail,
                                  .errors = json_pack("[{s:s, s:s, s:s}]", "pointer", pointer, "code", code, "detail",
                                                      detail),
                              });
}

void
api_fail_param(struct http_req *req, const char *name, const char *detail)
{
    http_respond_problem(req, &(struct http_problem){
                                  .status = 400,
                                  .code = "bad_parameter",
                                  .title = "A query parameter is not valid",
                                  .detail = detail,
                                  .errors = json_pack("[{s:s, s:s, s:s}]", "pointer", name, "code", "invalid", "detail",
                                                      detail),
                              });
}

struct store_tx *
api_begin(struct http_req *req, struct core *core, enum store_access access)
{
    struct store_tx *tx = NULL;
    struct nx_note why = {0};
    enum nx_err err = store_begin(core->store, access, &tx, &why);

    if (err != NX_OK)
        http_respond_problem(req, &(struct http_problem){.status = 503,
                                                         .code = "store_unavailable",
                                                         .detail = why.text,
                                                         .cause_layer = "storage"});
    return tx;
}

/* --- bodies ------------------------------------------------------------------------------------------------------ */

static bool
fail_unknown_member(struct http_req *req, const char *key, const char *const *members)
{
    size_t n = 0;
    const char *near;
    char pointer[160], detail[256];
    json_t *error;

    while (members[n])
        n++;
    near = num_near_miss(key, members, n);
    (void)snprintf(pointer, sizeof pointer, "/%.128s", key);
    (void)snprintf(detail, sizeof detail, "there is no member \"%.64s\"%s%s%s", key, near ? ": did you mean \"" : "",
                   near ? near : "", near ? "\"?" : "");
    error = json_pack("{s:s, s:s, s:s}", "pointer", pointer, "code", "unknown_member", "detail", detail);
    if (near)
        json_object_set_new(error, "suggestion", json_string(near));
    http_respond_problem(req, &(struct http_problem){.status = 422,
                                                     .code = "validation_failed",
                                                     .title = "The request is not valid",
                                                     .detail = detail,
                                                     .errors = json_pack("[o]", error)});
    return false;
}

static bool
check_members(struct http_req *req, json_t *body, const char *const *members)
{
    const char *key;
    json_t *value;

    json_object_foreach (body, key, value) {
        unsigned i = 0;

        while (members[i] && strcmp(members[i], key) != 0)
            i++;
        if (!members[i])
            return fail_unknown_member(req, key, members);
    }
    return true;
}

json_t *
api_body(struct http_req *req, const char *const *members)
{
    json_t *body = http_json_body(req);

    if (!body)
        return NULL;
    if (!json_is_object(body)) {
        api_fail_field(req, "", "invalid", "the body is one JSON object");
        return NULL;
    }
    return !members || check_members(req, body, members) ? body : NULL;
}

const char *
api_text(struct http_req *req, const json_t *body, const char *member, size_t max)
{
    const json_t *value = json_object_get(body, member);
    char pointer[64], detail[128];

    if (json_is_string(value) && json_string_length(value) >= 1 && json_string_length(value) <= max)
        return json_string_value(value);
    (void)snprintf(pointer, sizeof pointer, "/%s", member);
    (void)snprintf(detail, sizeof detail, "%s is a text of 1 to %zu bytes", member, max);
    api_fail_field(req, pointer, value ? "invalid" : "missing", detail);
    return NULL;
}

json_t *
api_merge_patch(const json_t *target, const json_t *patch)
{
    json_t *result;
    const char *key;
    json_t *value;

    if (!json_is_object(patch))
        return json_deep_copy(patch);
    result = json_is_object(target) ? json_deep_copy(target) : json_object();
    json_object_foreach ((json_t *)patch, key, value) {
        if (json_is_null(value))
            json_object_del(result, key);
        else
            json_object_set_new(result, key, api_merge_patch(json_object_get(result, key), value));
    }
    return result;
}

/* --- versions ------------------------------------------------------------------------------------------------------
 */

void
api_etag(uint64_t version, char out[API_ETAG_CAP])
{
    (void)snprintf(out, API_ETAG_CAP, "\"%llu\"", (unsigned long long)version);
}

bool
api_etag_is(const char *etag, uint64_t version)
{
    char present[API_ETAG_CAP];

    api_etag(version, present);
    return strcmp(etag, "*") == 0 || strcmp(etag, present) == 0 ||
           (strlen(etag) + 2 == strlen(present) && strncmp(etag, present + 1, strlen(etag)) == 0);
}

bool
api_if_match(struct http_req *req, uint64_t version)
{
    const char *etag = http_header(req, "if-match");
    char present[API_ETAG_CAP];

    if (etag && api_etag_is(etag, version))
        return true;
    api_etag(version, present);
    if (!etag)
        http_respond_problem(req,
                             &(struct http_problem){.status = 428,
                                                    .code = "if_match_required",
                                                    .title = "If-Match is required",
                                                    .detail = "send the etag that you last read as If-Match, so that"
                                                              " nobody's change is overwritten unseen"});
    else
        http_respond_problem(
            req, &(struct http_problem){.status = 412,
                                        .code = "changed_meanwhile",
                                        .title = "Somebody else has changed it",
                                        .detail = "the settings were changed since you read them",
                                        .current_etag = present,
                                        .fixes = {"Read it again, look at what has changed, then save again."}});
    return false;
}

/* --- pages ----------------------------------------------------------------------------------------------------------
 */

static bool
limit_read(struct http_req *req, uint32_t *limit)
{
    const char *text = http_query(req, "limit");
    int64_t n = 100;

    if (text && (!num_i64(slice_str(text), &n) || n < 1 || n > 1000)) {
        api_fail_param(req, "limit", "limit is a number from 1 to 1000");
        return false;
    }
    *limit = (uint32_t)n;
    return true;
}

/* A cursor is the key of the last item as base64 of "part\npart". */
static bool
cursor_decode(struct http_req *req, const char *text, unsigned parts, struct api_page *out)
{
    size_t len = strlen(text);
    char *plain = arena_alloc(http_arena(req), len + 1);
    int n = len > 0 && len <= 2048 && len % 4 == 0
                ? EVP_DecodeBlock((unsigned char *)plain, (const unsigned char *)text, (int)len)
                : -1;
    char *newline;

    if (n < 0)
        return false;
    plain[n] = '\0'; /* padding decodes to NUL bytes, which end the text as well */
    newline = strchr(plain, '\n');
    if ((newline != NULL) != (parts == 2))
        return false;
    if (newline)
        *newline = '\0';
    out->cursor[0] = plain;
    out->cursor[1] = newline ? newline + 1 : NULL;
    return true;
}

bool
api_page_read(struct http_req *req, unsigned parts, struct api_page *out)
{
    const char *cursor = http_query(req, "cursor");

    *out = (struct api_page){0};
    if (!limit_read(req, &out->limit))
        return false;
    if (!cursor || !*cursor || cursor_decode(req, cursor, parts, out))
        return true;
    api_fail_param(req, "cursor", "cursor is not one that this list has given: start again without it");
    return false;
}

static char *
cursor_encode(struct arena *a, const char *const *key)
{
    char *plain = key[1] ? arena_printf(a, "%s\n%s", key[0], key[1]) : arena_strdup(a, key[0]);
    size_t len = strlen(plain);
    char *text = arena_alloc(a, (len + 2) / 3 * 4 + 1);

    (void)EVP_EncodeBlock((unsigned char *)text, (const unsigned char *)plain, (int)len);
    return text;
}

static void
put_url_encoded(struct wbuf *w, const char *text)
{
    for (; *text; text++) {
        if (strchr("-._~", *text) || isalnum((unsigned char)*text))
            wbuf_char(w, *text);
        else
            wbuf_printf(w, "%%%02X", (unsigned)(unsigned char)*text);
    }
}

static void
set_next_link(struct http_req *req, const char *cursor)
{
    static const char *const kept[] = {"limit", "q", "protocol", "enabled", "device", "filter"};
    struct wbuf w = wbuf_init(16384);

    wbuf_printf(&w, "<%s?cursor=", http_path(req));
    put_url_encoded(&w, cursor);
    for (unsigned i = 0; i < MEM_COUNT(kept); i++) {
        const char *value = http_query(req, kept[i]);

        if (!value)
            continue;
        wbuf_printf(&w, "&%s=", kept[i]);
        put_url_encoded(&w, value);
    }
    wbuf_str(&w, ">; rel=\"next\"");
    http_set_header(req, "Link", wbuf_cstr(&w));
    wbuf_free(&w);
}

void
api_page_answer(struct http_req *req, json_t *items, const char *const *key)
{
    char *cursor = key ? cursor_encode(http_arena(req), key) : NULL;

    if (cursor)
        set_next_link(req, cursor);
    http_respond_json(req, 200,
                      json_pack("{s:o, s:o}", "items", items, "next_cursor",
                                cursor ? json_string(cursor) : json_null()));
}

int
api_bool_param(struct http_req *req, const char *name)
{
    const char *text = http_query(req, name);
    bool value = false;

    if (!text)
        return -1;
    if (!num_bool(slice_str(text), &value)) {
        api_fail_param(req, name, "this parameter is true or false");
        return -2;
    }
    return value;
}

/* --- values ----------------------------------------------------------------------------------------------------------
 */

json_t *
api_value(const struct nx_value *value, uint16_t quality)
{
    return nx_quality_is_bad(quality) ? json_null() : value_json(value);
}

json_t *
api_time(int64_t time_us)
{
    char text[TIMEFMT_CAP];

    return time_us > 0 ? json_string(timefmt_rfc3339(time_us, text)) : json_null();
}
