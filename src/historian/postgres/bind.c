/* bind.c -- numbers, times and texts in PostgreSQL's binary formats: arguments, COPY rows, results. Pure. */
#include <assert.h>
#include <stdio.h>
#include <time.h>

#include "base/rbuf.h"
#include "historian/postgres/pg.h"

/* Times count from 2000-01-01. */
#define EPOCH_US (INT64_C(946684800) * 1000000)
#define FIRST_US (INT64_C(-2208988800) * 1000000) /* 1900 */
#define LAST_US  (INT64_C(7258118400) * 1000000)  /* 2200 */

struct pg_args
pg_args_init(void)
{
    return (struct pg_args){.bytes = wbuf_init(0)};
}

void
pg_args_free(struct pg_args *a)
{
    wbuf_free(&a->bytes);
    *a = pg_args_init();
}

void
pg_args_reset(struct pg_args *a)
{
    wbuf_reset(&a->bytes);
    a->count = 0;
}

static void
begin(struct pg_args *a)
{
    assert(a->count < PG_MAX_ARGS);
    a->at[a->count] = a->bytes.len;
}

static void
end(struct pg_args *a)
{
    a->len[a->count] = (int)(a->bytes.len - a->at[a->count]);
    a->count++;
}

void
pg_arg_i32(struct pg_args *a, int32_t v)
{
    begin(a);
    wbuf_be32(&a->bytes, (uint32_t)v);
    end(a);
}

void
pg_arg_i64(struct pg_args *a, int64_t v)
{
    begin(a);
    wbuf_be64(&a->bytes, (uint64_t)v);
    end(a);
}

void
pg_arg_time(struct pg_args *a, int64_t time_us)
{
    pg_arg_i64(a, time_us - EPOCH_US);
}

void
pg_arg_text(struct pg_args *a, struct slice text)
{
    begin(a);
    wbuf_slice(&a->bytes, text);
    end(a);
}

void
pg_array_begin(struct pg_args *a, Oid element, size_t n, bool has_null)
{
    begin(a);
    wbuf_be32(&a->bytes, n > 0);
    wbuf_be32(&a->bytes, has_null);
    wbuf_be32(&a->bytes, element);
    if (n == 0)
        return;
    wbuf_be32(&a->bytes, (uint32_t)n);
    wbuf_be32(&a->bytes, 1);
}

void
pg_array_end(struct pg_args *a)
{
    end(a);
}

void
pg_put_null(struct wbuf *w)
{
    wbuf_be32(w, UINT32_MAX);
}

void
pg_put_i16(struct wbuf *w, int v)
{
    wbuf_be32(w, 2);
    wbuf_be16(w, (uint16_t)v);
}

void
pg_put_i32(struct wbuf *w, int32_t v)
{
    wbuf_be32(w, 4);
    wbuf_be32(w, (uint32_t)v);
}

void
pg_put_i64(struct wbuf *w, int64_t v)
{
    wbuf_be32(w, 8);
    wbuf_be64(w, (uint64_t)v);
}

void
pg_put_f64(struct wbuf *w, double v)
{
    uint64_t u;

    memcpy(&u, &v, sizeof u);
    wbuf_be32(w, 8);
    wbuf_be64(w, u);
}

void
pg_put_bool(struct wbuf *w, bool v)
{
    wbuf_be32(w, 1);
    wbuf_u8(w, v);
}

void
pg_put_text(struct wbuf *w, struct slice text)
{
    wbuf_be32(w, (uint32_t)text.len);
    wbuf_slice(w, text);
}

void
pg_put_time(struct wbuf *w, int64_t time_us)
{
    pg_put_i64(w, time_us - EPOCH_US);
}

/* --- results --- */

static struct rbuf
field(const PGresult *r, int row, int col)
{
    return rbuf_init(slice(PQgetvalue(r, row, col), (size_t)PQgetlength(r, row, col)));
}

bool
pg_is_null(const PGresult *r, int row, int col)
{
    return PQgetisnull(r, row, col);
}

int32_t
pg_i32(const PGresult *r, int row, int col)
{
    struct rbuf b = field(r, row, col);

    return rbuf_left(&b) == 2 ? (int16_t)rbuf_be16(&b) : (int32_t)rbuf_be32(&b);
}

int64_t
pg_i64(const PGresult *r, int row, int col)
{
    struct rbuf b = field(r, row, col);

    return (int64_t)rbuf_be64(&b);
}

double
pg_f64(const PGresult *r, int row, int col)
{
    uint64_t u = (uint64_t)pg_i64(r, row, col);
    double d;

    memcpy(&d, &u, sizeof d);
    return d;
}

bool
pg_bool(const PGresult *r, int row, int col)
{
    struct rbuf b = field(r, row, col);

    return rbuf_u8(&b);
}

int64_t
pg_time(const PGresult *r, int row, int col)
{
    return pg_is_null(r, row, col) ? 0 : pg_i64(r, row, col) + EPOCH_US;
}

struct slice
pg_text(const PGresult *r, int row, int col)
{
    return slice(PQgetvalue(r, row, col), (size_t)PQgetlength(r, row, col));
}

const char *
pg_literal(int64_t time_us, char *buf)
{
    int64_t us = time_us < FIRST_US ? FIRST_US : time_us > LAST_US ? LAST_US : time_us;
    int64_t part = us % 1000000 < 0 ? us % 1000000 + 1000000 : us % 1000000;
    time_t t = (time_t)((us - part) / 1000000);
    struct tm tm;

    (void)gmtime_r(&t, &tm);
    (void)snprintf(buf, PG_TIME_CAP, "'%04d-%02d-%02d %02d:%02d:%02d.%06d+00'", tm.tm_year + 1900, tm.tm_mon + 1,
                   tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int)part);
    return buf;
}
