/* login.c -- getting in: the TLS that is demanded where nothing is said about it, and what a refusal means. */
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "historian/postgres/pg.h"

/* --- what is demanded --- */

static bool
is_here(struct slice host)
{
    static const char *const names[] = {"", "localhost", "::1"};

    if (host.len > 0 && (host.p[0] == '/' || host.p[0] == '@')) /* sockets */
        return true;
    for (size_t i = 0; i < MEM_COUNT(names); i++)
        if (slice_eq_str(host, names[i]))
            return true;
    if (host.len < 4 || memcmp(host.p, "127.", 4) != 0)
        return false;
    for (size_t i = 4; i < host.len; i++)
        if (!strchr("0123456789.", host.p[i]))
            return false;
    return true;
}

/* Several hosts are divided by commas. */
static bool
are_here(const char *hosts)
{
    for (size_t n;; hosts += n + 1) {
        n = strcspn(hosts, ",");
        if (!is_here(slice(hosts, n)))
            return false;
        if (!hosts[n])
            return true;
    }
}

static const char *
or_env(const char *value, const char *name)
{
    return value && *value ? value : getenv(name);
}

static bool
has_own_authority(void)
{
    const char *home = getenv("HOME");
    char *path = mem_printf("%s/.postgresql/root.crt", home ? home : "");
    bool is_there = access(path, R_OK) == 0;

    free(path);
    return is_there;
}

/* Where the distributions keep theirs. libpq finds them by itself from version 16 on only. */
static const char *
authorities_of_system(void)
{
    static const char *const places[] = {"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt",
                                         "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem"};
    const char *named = getenv("SSL_CERT_FILE");

    if (named && *named)
        return named;
    for (size_t i = 0; i < MEM_COUNT(places); i++)
        if (access(places[i], R_OK) == 0)
            return places[i];
    return NULL;
}

struct pg_tls
pg_tls_demand(const struct pg_tls_said *said)
{
    const char *address = or_env(said->hostaddr, "PGHOSTADDR"), *host = or_env(said->host, "PGHOST");
    const char *mode = or_env(said->mode, "PGSSLMODE"), *authority = or_env(said->authority, "PGSSLROOTCERT");
    struct pg_tls tls = {0};

    address = address && *address ? address : host ? host : "";
    if (!mode && (authority || !are_here(address)))
        mode = tls.mode = "verify-full";
    if (mode && strncmp(mode, "verify-", 7) == 0 && !authority && !has_own_authority())
        tls.authority = authorities_of_system();
    return tls;
}

/* --- refusals --- */

/* NULL: it is not about TLS. */
static const char *
remedy_of(const char *text)
{
    static const char *const table[][2] = {
        {"server does not support SSL",
         "the server has no TLS: give it a certificate and ssl = on, or, in a network that "
         "you trust, set database.sslmode: disable"},
        {"certificate verify failed", "its certificate is not of the authority in database.ca_file"},
        {"does not match host name", "write database.host as the server's certificate has it"},
        {"root certificate file", "set database.ca_file to the certificate of the server's authority"},
        {"private key file", "check database.cert_file and database.key_file, which only its owner may read"},
        {"certificate file", "check database.cert_file"},
        {"valid client certificate", "set database.cert_file and database.key_file"},
        {"certificate required", "set database.cert_file and database.key_file"},
        {"unknown ca", "the server does not know the authority of database.cert_file"},
        {"certificate authentication failed", "database.cert_file is for another user than database.user"},
        {"no encryption", "the server wants TLS: set database.sslmode: verify-full"},
        {"SSL", "check database.sslmode and the certificate of the server"},
    };

    for (size_t i = 0; i < MEM_COUNT(table); i++)
        if (strstr(text, table[i][0]))
            return table[i][1];
    return NULL;
}

/* "FATAL:  28P01: password authentication failed": libpq has no field for the state of a refused connection. */
static enum nx_err
state_of_refusal(const char **text)
{
    const char *at = strstr(*text, ":  ");
    char state[6] = {0};

    if (!at || strlen(at) <= 9 || at[8] != ':')
        return NX_OK;
    memcpy(state, at + 3, 5);
    *text = at + 10;
    return pg_err_of_state(state);
}

/* A name may have several addresses, and there may be an attempt with TLS and one without: a line each. The first that
 * a server has said, or that is about TLS, tells most. free() it. */
static char *
telling_line(const char *message)
{
    char *best = NULL, *line;
    int most = -1;

    for (size_t n; *message; message += n + (message[n] == '\n')) {
        n = strcspn(message, "\n");
        line = mem_strndup(message, n);
        const char *text = line;
        int telling = state_of_refusal(&text) != NX_OK ? 2 : remedy_of(line) ? 1 : 0;

        if (telling > most) {
            free(best);
            best = line;
            most = telling;
        } else {
            free(line);
        }
    }
    return best ? best : mem_strdup("no connection");
}

enum nx_err
pg_refusal(const char *message, char **out)
{
    char *line = telling_line(message);
    const char *text = line, *remedy = remedy_of(line), *failed = strstr(line, " failed: ");
    enum nx_err err = state_of_refusal(&text);

    if (err == NX_OK)
        err = remedy ? NX_E_TLS : NX_E_OFFLINE;
    if (remedy && text == line && failed) /* before it: once more the address */
        text = failed + strlen(" failed: ");
    *out = mem_printf("%s%s%s", text, remedy ? "; " : "", remedy ? remedy : "");
    free(line);
    return err;
}
