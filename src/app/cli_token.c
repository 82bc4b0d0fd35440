/* cli_token.c -- who asks: tokens from an option, the environment or a file; `nexus login`, `nexus logout`.
 *
 * The file of `nexus login` has {url, access_token, refresh_token}: an access token lives for minutes and is renewed by
 * cli_http.c. Any other text in a token file is the access token itself. Files that others can read are refused. */
#include "app/cli.h"

#include "base/file.h"
#include "base/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#define PASSWORD_MAX 1024

void
cli_token_free(struct cli_token *t)
{
    free(t->url);
    free(t->access);
    free(t->refresh);
    free(t->path);
    *t = (struct cli_token){0};
}

char *
cli_token_path(const struct cli *cli)
{
    const char *given = cli->option[CLI_TOKEN_FILE] ? cli->option[CLI_TOKEN_FILE] : getenv("NEXUS_TOKEN_FILE");
    const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");

    if (given && *given)
        return mem_strdup(given);
    if (config && config[0] == '/')
        return mem_printf("%s/nexus/token.json", config);
    return mem_printf("%s/.config/nexus/token.json", home ? home : "");
}

static char *
copy_of(const json_t *doc, const char *key)
{
    const char *text = json_string_value(json_object_get(doc, key));

    return text ? mem_strdup(text) : NULL;
}

static void
read_text(const char *text, struct cli_token *out)
{
    json_t *doc = json_loads(text, 0, NULL);

    if (json_is_object(doc)) {
        out->url = copy_of(doc, "url");
        out->access = copy_of(doc, "access_token");
        out->refresh = copy_of(doc, "refresh_token");
    } else {
        out->access = mem_strdup(text);
    }
    json_decref(doc);
}

static int
read_file(const struct cli *cli, struct cli_token *out)
{
    bool is_asked_for = cli->option[CLI_TOKEN_FILE] || getenv("NEXUS_TOKEN_FILE");
    struct nx_note why = {0};
    char *text = NULL;

    out->path = cli_token_path(cli);
    if (!is_asked_for && access(out->path, F_OK) != 0)
        return EXIT_OK; /* nobody has logged in: the API will say so where it matters */
    if (file_read_secret(out->path, &text, &why) != NX_OK) {
        cli_token_free(out);
        return cli_fail(EXIT_FAILED, "%s", why.text);
    }
    read_text(text, out);
    free(text);
    return EXIT_OK;
}

int
cli_token_read(const struct cli *cli, struct cli_token *out)
{
    const char *token = cli->option[CLI_TOKEN];

    *out = (struct cli_token){0};
    if (!token && !cli->option[CLI_TOKEN_FILE])
        token = getenv("NEXUS_TOKEN");
    if (!token || !*token)
        return read_file(cli, out);
    out->access = mem_strdup(token);
    return EXIT_OK;
}

static enum nx_err
make_folder(const char *path, struct nx_note *why)
{
    const char *slash = strrchr(path, '/');
    char *folder = slash && slash > path ? mem_strndup(path, (size_t)(slash - path)) : NULL;
    enum nx_err err = folder ? file_make_dir(folder, 0700, why) : NX_OK;

    free(folder);
    return err;
}

int
cli_token_write(const char *path, const char *url, const json_t *pair)
{
    json_t *doc = json_pack("{s:s, s:O?, s:O?}", "url", url, "access_token", json_object_get(pair, "access_token"),
                            "refresh_token", json_object_get(pair, "refresh_token"));
    char *text = json_dumps(doc, JSON_INDENT(2));
    struct nx_note why = {0};
    enum nx_err err = make_folder(path, &why);

    if (err == NX_OK)
        err = file_write(path, slice_str(text ? text : ""), 0600, &why);
    free(text);
    json_decref(doc);
    return err == NX_OK ? EXIT_OK : cli_fail(EXIT_FAILED, "%s", why.text);
}

/* --- login, logout --- */

static bool
read_line(char *out, size_t cap)
{
    if (!fgets(out, (int)cap, stdin))
        return false;
    out[strcspn(out, "\r\n")] = '\0';
    return true;
}

static char *
ask_password(const char *username)
{
    char text[PASSWORD_MAX + 2];
    struct termios old, mute;
    bool is_tty = tcgetattr(STDIN_FILENO, &old) == 0, is_read;

    if (is_tty) {
        (void)fprintf(stderr, "Password of %s: ", username);
        mute = old;
        mute.c_lflag &= ~(tcflag_t)ECHO;
        (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &mute);
    }
    is_read = read_line(text, sizeof text);
    if (is_tty) {
        (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &old);
        (void)fputc('\n', stderr);
    }
    return is_read ? mem_strdup(text) : NULL;
}

static char *
password_of(const struct cli *cli, const char *username)
{
    const char *path = cli->option[CLI_PASSWORD_FILE];
    struct nx_note why = {0};
    char *text = NULL;

    if (!path)
        text = ask_password(username);
    else if (file_read_secret(path, &text, &why) != NX_OK)
        (void)cli_fail(EXIT_FAILED, "%s", why.text);
    return text;
}

static int
store(const struct cli *cli, const json_t *pair)
{
    char *path = cli_token_path(cli);
    int code = cli_token_write(path, cli_http_url(cli->http), pair);

    if (code == EXIT_OK)
        (void)fprintf(stderr, "Logged in at %s; the token is in %s.\n", cli_http_url(cli->http), path);
    free(path);
    return code;
}

static int
login(struct cli *cli)
{
    const char *username = cli->option[CLI_USERNAME] ? cli->option[CLI_USERNAME] : getenv("USER");
    char *password = username ? password_of(cli, username) : NULL;
    json_t *body, *pair = NULL;
    int code;

    if (!username || !password)
        return cli_fail(EXIT_USAGE, username ? "a password is needed" : "--username is needed");
    body = json_pack("{s:s, s:s}", "username", username, "password", password);
    code = body ? cli_call(cli->http, "POST", "/auth/login", body, &pair)
                : cli_fail(EXIT_USAGE, "user name and password are text in UTF-8");
    if (code == EXIT_OK)
        code = store(cli, pair);
    json_decref(pair);
    json_decref(body);
    free(password);
    return code;
}

static int
logout(struct cli *cli)
{
    char *path = cli_token_path(cli);
    int code = cli_call(cli->http, "POST", "/auth/logout", NULL, NULL);

    if (code == EXIT_OK && unlink(path) != 0 && errno != ENOENT)
        code = cli_fail(EXIT_FAILED, "%s cannot be removed: %s", path, strerror(errno));
    free(path);
    return code;
}

int
command_login(int argc, char **argv)
{
    static const struct cli_verb verb = {
        .name = "login",
        .operands = "",
        .help = "Logs in and keeps a token for the other commands; it is renewed by itself. Without a terminal the "
                "password\n"
                "is the first line of standard input.",
        .examples = "  nexus login --url https://plant.example --username anna\n"
                    "  nexus login --username robot --password-file /etc/nexus/robot-password\n",
        .options = CLI_BIT(USERNAME) | CLI_BIT(PASSWORD_FILE),
        .run = login};

    return cli_main_verb(&verb, argc, argv);
}

int
command_logout(int argc, char **argv)
{
    static const struct cli_verb verb = {.name = "logout",
                                         .operands = "",
                                         .help = "Ends the session of `nexus login` and removes its token.",
                                         .run = logout};

    return cli_main_verb(&verb, argc, argv);
}
