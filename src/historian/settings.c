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

char *
historian_settings_url(const struct historian_settings *s)
{
    struct wbuf w = wbuf_init(0);

    if (s->url && s->url[0])
        return mem_strdup(s->url);
    if (!s->host || !s->host[0])
        return mem_strdup("sqlite:data/historian");
    wbuf_str(&w, "postgres://");
    put_encoded(&w, s->user);
    wbuf_char(&w, '@');
    put_host(&w, s->host);
    wbuf_printf(&w, ":%lld/", (long long)s->port);
    put_encoded(&w, s->database);
    return wbuf_take(&w, NULL);
}

bool
historian_settings_name_a_store(const struct historian_settings *s)
{
    return (s->url && s->url[0]) || (s->host && s->host[0]);
}

char *
historian_settings_secret_url(const struct historian_settings *s)
{
    char *url = historian_settings_url(s), *text;
    struct wbuf w = wbuf_init(0);

    if (!s->password || strncmp(url, "postgres", 8) != 0 || !strstr(url, "://"))
        return url;
    wbuf_printf(&w, "%s%cpassword=", url, strchr(url, '?') ? '&' : '?');
    put_encoded(&w, s->password);
    text = wbuf_take(&w, NULL);
    free(url);
    return text;
}
