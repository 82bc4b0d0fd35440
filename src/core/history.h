/* history.h -- questions about stored values: how they are read, answered as a stream, and written in each format.
 *
 * A format is a table of functions that append to a buffer; history_stream.c moves the buffer to the client and stops
 * the reading when nobody takes it. Worker threads. */
#ifndef CORE_HISTORY_H
#define CORE_HISTORY_H

#include "core/api.h"
#include "historian/historian.h"

enum history_time { HISTORY_TIME_RFC3339, HISTORY_TIME_MS, HISTORY_TIME_US };

struct history_ask {
    const char **tags; /* as they stood in the request; with its memory */
    unsigned tag_count;
    int64_t from_us, to_us;
    enum history_fn fn;
    uint32_t max_points; /* per tag; HISTORY_NO_LIMIT: all of them */
    enum history_fill fill;
    enum history_resolution resolution;
    const struct history_format *format;
    enum history_time time; /* of CSV and NDJSON */
    bool is_download;
};

/* Words of the API, by enum; end with NULL. */
extern const char *const history_fn_words[], *const history_resolution_words[];

/* history_ask.c: reads the question from the query, or the body. false: has answered. */
bool history_ask_query(struct http_req *req, struct history_ask *out);
bool history_ask_body(struct http_req *req, const json_t *body, struct history_ask *out);
/* Every member that the body may have; ends with NULL. */
extern const char *const history_ask_members[];

/* history_stream.c: answers. Another reader may be in *reader afterwards, or none. false: it did not do as it should.
 */
bool history_answer(struct http_req *req, struct core *core, struct reader *reader, const struct history_ask *ask);

/* --- formats --- */

/* One of the tags of the question while its rows are written. */
struct history_topic {
    unsigned index;                 /* in the question */
    const char *tag, *topic, *unit; /* unit "" when there is none */
};

struct history_format {
    const char *name, *content_type, *suffix;
    /* Columns of one tag are kept until its end and are bounded; a fault stands in the document. Else rows leave as
     * they come, and a fault cuts the answer off. */
    bool is_columns;
    bool has_times; /* times are written as the question wants them */

    /* What the document begins with goes to out, which stays until close(). */
    void *(*open)(const struct history_ask *ask, struct wbuf *out);
    void (*begin)(void *state, const struct history_topic *topic);
    /* false: takes no more of this topic. */
    bool (*row)(void *state, const struct history_row *row);
    /* fault: NULL, or why there is nothing (only with is_columns). */
    void (*end)(void *state, const struct history_summary *summary, const char *fault);
    void (*finish)(void *state);
    void (*close)(void *state);
};
extern const struct history_format history_json, history_csv, history_ndjson, history_binary, history_parquet;

/* A value as JSON has it; null when the quality is bad. */
void history_put_value(struct wbuf *w, const struct history_row *row);
/* Does the row say what its tag was worth? */
bool history_has_value(const struct history_row *row);
/* A text value as valid UTF-8: borrowed from v or scratch until the next call. */
struct slice history_text(const struct nx_value *v, struct wbuf *scratch);
/* Numbers and truth values as the nearest double; true when it is the number exactly. Other values are 0 and false. */
bool history_exact_double(const struct nx_value *v, double *out);

#endif
