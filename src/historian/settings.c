#include "historian/settings.h"

#include <ctype.h>
#include <stdlib.h>

#include "base/mem.h"

/* RFC 3986, 2.1: whatever is not unreserved. */
static void
put_encoded(struct wbuf *w, const char *text)
{
    for (; *text; text++) {
        if (isalnum((unsigned char)*text) || strchr("-._~", *text))
            wbuf_char(w, *text);
        else
            wbuf_printf(w, "%%%02X", (unsigned)(unsigned char)*text);
    }
}

/* An IPv6 address stands in brackets; the folder of a socket is encoded. */
static void
put_host(struct wbuf *w, const char *host)
{
    if (strchr(host, ':'))
        wbuf_printf(w, "[%s]", host);
    else
        put_encoded(w, host);
}

static bool
is_postgres(const char *url)
{
    return strncmp(url, "postgres", 8) == 0;
}

/* "postgres:host=..." has its values in quotes. */
static void
put_quoted(struct wbuf *w, const char *text)
{
    wbuf_char(w, '\'');
    for (; *text; text++) {
        if (*text == '\'' || *text == '\\')
            wbuf_char(w, '\\');
        wbuf_char(w, *text);
    }
    wbuf_char(w, '\'');
}

/* Puts one more parameter behind what is in w. */
static void
put_parameter(struct wbuf *w, const char *key, const char *value)
{
    bool is_uri = strstr(wbuf_cstr(w), "://");

    wbuf_printf(w, "%c%s=", !is_uri ? ' ' : strchr(wbuf_cstr(w), '?') ? '&' : '?', key);
    if (is_uri)
        put_encoded(w, value);
    else
        put_quoted(w, value);
}

static void
put_tls(struct wbuf *w, const struct historian_settings *s)
{
    static const char *const modes[] = {NULL, "disable", "require", "verify-ca", "verify-full"};
    const char *const parameters[][2] = {{"sslmode", modes[s->sslmode]},
                                         {"sslrootcert", s->ca_file},
                                         {"sslcert", s->cert_file},
                                         {"sslkey", s->key_file}};

    for (size_t i = 0; i < MEM_COUNT(parameters); i++) {
        char key[16];

        (void)snprintf(key, sizeof key, "%s=", parameters[i][0]);
        if (parameters[i][1] && parameters[i][1][0] && !strstr(wbuf_cstr(w), key))
            put_parameter(w, parameters[i][0], parameters[i][1]);
    }
}

static char *
server_url(const struct historian_settings *s)
{
    struct wbuf w = wbuf_init(0);

    wbuf_str(&w, "postgres://");
    put_encoded(&w, s->user);
    wbuf_char(&w, '@');
    put_host(&w, s->host);
    wbuf_printf(&w, ":%lld/", (long long)s->port);
    put_encoded(&w, s->database);
    return wbuf_take(&w, NULL);
}

char *
historian_settings_with_tls(const struct historian_settings *s, const char *url)
{
    struct wbuf w = wbuf_init(0);

    wbuf_str(&w, url);
    if (is_postgres(url))
        put_tls(&w, s);
    return wbuf_take(&w, NULL);
}

char *
historian_settings_url(const struct historian_settings *s)
{
    char *server, *url;

    if (s->url && s->url[0])
        return historian_settings_with_tls(s, s->url);
    if (!s->host || !s->host[0])
        return mem_strdup("sqlite:data/historian");
    server = server_url(s);
    url = historian_settings_with_tls(s, server);
    free(server);
    return url;
}

bool
historian_settings_name_a_store(const struct historian_settings *s)
{
    return (s->url && s->url[0]) || (s->host && s->host[0]);
}

char *
historian_settings_secret_url(const struct historian_settings *s)
{
    char *url = historian_settings_url(s);
    struct wbuf w = wbuf_init(0);

    if (!s->password || !is_postgres(url))
        return url;
    wbuf_str(&w, url);
    put_parameter(&w, "password", s->password);
    free(url);
    return wbuf_take(&w, NULL);
}
