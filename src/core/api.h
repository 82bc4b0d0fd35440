/* api.h -- what the handlers of all resources share: answering failures, versions, pages, patches. Worker threads. */
#ifndef CORE_API_H
#define CORE_API_H

#include "core/core_priv.h"

/* --- failures --- */
/* Answers with the status of err. Texts of documents ("/tags/0/address: ...") become errors[] with the JSON pointer;
 * strip (may be NULL) is cut from its front. */
void api_fail(struct http_req *req, enum nx_err err, const struct nx_note *why, const char *strip);
/* 422 for one member of the body. */
void api_fail_field(struct http_req *req, const char *pointer, const char *code, const char *detail);
/* 400 for a query parameter. */
void api_fail_param(struct http_req *req, const char *name, const char *detail);
/* {pointer, code, detail, suggestion?} of a note; new reference. */
json_t *api_field_error(const struct nx_note *why, const char *strip);
/* Begins a transaction; NULL when it has answered. */
struct store_tx *api_begin(struct http_req *req, struct core *core, enum store_access access);

/* --- bodies --- */
/* The body as a JSON object with only these members (NULL-terminated); NULL when it has answered. Borrowed. */
json_t *api_body(struct http_req *req, const char *const *members);
/* A text member of 1..max bytes; NULL when it has answered. */
const char *api_text(struct http_req *req, const json_t *body, const char *member, size_t max);
/* RFC 7396; new reference. */
json_t *api_merge_patch(const json_t *target, const json_t *patch);

/* --- versions --- */
#define API_ETAG_CAP 32
void api_etag(uint64_t version, char out[API_ETAG_CAP]); /* with quotes */
/* Compares If-Match with the present version; false when it has answered 428 or 412. */
bool api_if_match(struct http_req *req, uint64_t version);
bool api_etag_is(const char *etag, uint64_t version);

/* --- pages --- */
struct api_page {
    uint32_t limit;
    const char *cursor[2]; /* parts of the key behind which the page starts; NULL: from the start */
};
/* Reads limit and cursor (of so many parts); false when it has answered 400. */
bool api_page_read(struct http_req *req, unsigned parts, struct api_page *out);
/* Answers {items, next_cursor}; key (parts texts, NULL-terminated) names the last item when there may be more, else
 * NULL. */
void api_page_answer(struct http_req *req, json_t *items, const char *const *key);

/* "?enabled=true" and the like: -1 absent, -2 when it has answered 400. */
int api_bool_param(struct http_req *req, const char *name);

/* --- users --- */
#define PASSWORD_MAX 256
bool username_is_valid(const char *name);
/* Lock-out of an account from this address: false when it has answered 429. */
bool auth_may_try(struct http_req *req, struct core *core, const char *account);
void auth_tried(struct http_req *req, struct core *core, const char *account, bool is_right);
#define USERNAME_RULE "a user name begins with a letter or digit and has letters, digits, . _ @ -"

/* --- values --- */
json_t *api_value(const struct nx_value *value, uint16_t quality);
json_t *api_time(int64_t time_us);

#endif
