#include "app/postgres.h"

#include "app/broker.h"
#include "app/secret.h"
#include "base/file.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define NAME         "nexus" /* of the user and the database */
#define OUTPUT_MAX   2048
#define INSTALL_HINT "apt-get install postgresql, or name a server of your own: database.host"

/* --- other programs --- */

/* Another user sees no folder of ours: the way to the cluster must be open to it, the cluster itself is its own. */
static void
become(const char *user)
{
    const struct passwd *pw = *user ? getpwnam(user) : NULL;

    if (!*user)
        return;
    if (!pw || setgroups(0, NULL) != 0 || setgid(pw->pw_gid) != 0 || setuid(pw->pw_uid) != 0)
        _exit(126);
}

static void
run_child(const struct postgres_info *pg, const char *const *argv, int in, int out)
{
    (void)dup2(in, STDIN_FILENO);
    (void)dup2(out, STDOUT_FILENO);
    (void)dup2(out, STDERR_FILENO);
    become(pg->user);
    if (chdir("/") == 0)
        (void)execv(argv[0], (char *const *)argv);
    _exit(127);
}

static void
read_output(int fd, char *text)
{
    size_t len = 0;
    ssize_t n;
    char rest[512] = "";

    while ((n = read(fd, len < OUTPUT_MAX ? text + len : rest, len < OUTPUT_MAX ? OUTPUT_MAX - len : sizeof rest)) > 0)
        len += len < OUTPUT_MAX ? (size_t)n : 0;
    text[len < OUTPUT_MAX ? len : OUTPUT_MAX] = '\0';
}

/* The end of what a program said, which is where the reason stands. */
static const char *
tail_of(char *text)
{
    size_t len = strlen(text);

    while (len > 0 && text[len - 1] == '\n')
        text[--len] = '\0';
    return len > 160 ? text + len - 160 : text;
}

/* Runs a program to its end with input as its standard input. */
static enum nx_err
run(const struct postgres_info *pg, const char *const *argv, const char *input, struct nx_note *why)
{
    const struct passwd *pw = pg->user[0] ? getpwnam(pg->user) : NULL;
    int in[2], out[2], status = 0;
    char text[OUTPUT_MAX + 1] = "";
    pid_t pid;

    if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0)
        return nx_fail_errno(why, NX_OK, errno, "cannot start %s", argv[0]);
    if (pw && fchown(in[0], pw->pw_uid, pw->pw_gid) != 0) /* so that it may open it again, as /dev/stdin */
        return nx_fail_errno(why, NX_OK, errno, "cannot start %s", argv[0]);
    pid = fork();
    if (pid == 0)
        run_child(pg, argv, in[0], out[1]);
    (void)close(in[0]);
    (void)close(out[1]);
    if (pid > 0 && write(in[1], input, strlen(input)) < 0 && errno != EPIPE)
        (void)kill(pid, SIGKILL);
    (void)close(in[1]);
    read_output(out[0], text);
    (void)close(out[0]);
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        return nx_fail_errno(why, NX_OK, errno, "cannot run %s", argv[0]);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0
               ? NX_OK
               : nx_fail(why, NX_E_INTERNAL, "%s failed: %s", argv[0], tail_of(text));
}

/* --- finding the programs --- */

/* "15", the version that the cluster was made with; empty: there is none. */
static void
cluster_version(const struct postgres_info *pg, char *out, size_t cap)
{
    char *path = mem_printf("%s/PG_VERSION", pg->cluster_dir), *text = NULL;

    out[0] = '\0';
    if (file_read(path, 64, &text, NULL, NULL) == NX_OK)
        (void)snprintf(out, cap, "%.*s", (int)strcspn(text, "\n"), text);
    free(text);
    free(path);
}

/* Debian's place; the newest version, or the one that the cluster needs. */
static enum nx_err
find_program(struct postgres_info *pg, struct nx_note *why)
{
    char version[16], pattern[64];
    unsigned long best = 0;
    glob_t found;

    cluster_version(pg, version, sizeof version);
    (void)snprintf(pattern, sizeof pattern, "/usr/lib/postgresql/%s/bin/postgres", version[0] ? version : "*");
    if (glob(pattern, 0, NULL, &found) == 0) {
        for (size_t i = 0; i < found.gl_pathc; i++) {
            unsigned long number = strtoul(found.gl_pathv[i] + strlen("/usr/lib/postgresql/"), NULL, 10);

            if (number > best)
                (void)snprintf(pg->program_path, sizeof pg->program_path, "%s", found.gl_pathv[i]);
            best = number > best ? number : best;
        }
        globfree(&found);
    }
    if (best > 0)
        return NX_OK;
    if (version[0])
        return nx_fail(why, NX_E_NOT_FOUND,
                       "%s was made by PostgreSQL %s, which is not installed: apt-get install postgresql-%s",
                       pg->cluster_dir, version, version);
    return nx_fail(why, NX_E_NOT_FOUND, "PostgreSQL is not installed: " INSTALL_HINT);
}

/* --- the cluster --- */

static enum nx_err
choose_user(struct postgres_info *pg, struct nx_note *why)
{
    if (geteuid() != 0)
        return NX_OK;
    if (!getpwnam("postgres"))
        return nx_fail(why, NX_E_NOT_FOUND,
                       "PostgreSQL does not work as root and there is no user postgres: " INSTALL_HINT);
    (void)snprintf(pg->user, sizeof pg->user, "postgres");
    return NX_OK;
}

/* An empty folder that belongs to who works in it. What a making that was cut short has left is thrown away. */
static enum nx_err
make_dir(const struct postgres_info *pg, const char *dir, struct nx_note *why)
{
    const struct passwd *pw = pg->user[0] ? getpwnam(pg->user) : NULL;
    const char *const clear[] = {"/usr/bin/find", dir, "-mindepth", "1", "-delete", NULL};
    enum nx_err err = file_make_dir(dir, 0700, why);

    if (err == NX_OK && pw && chown(dir, pw->pw_uid, pw->pw_gid) != 0)
        err = nx_fail_errno(why, NX_OK, errno, "cannot give %s to the user %s", dir, pg->user);
    return err == NX_OK ? run(pg, clear, "", why) : err;
}

/* Folders above, which are ours alone, let the other user through but show it nothing. */
static enum nx_err
open_the_way(const struct postgres_info *pg, const char *data_dir, struct nx_note *why)
{
    const char *const probe[] = {"/usr/bin/test", "-x", data_dir, NULL};
    struct nx_note ignored;
    struct stat sb;

    if (!pg->user[0])
        return NX_OK;
    if (stat(data_dir, &sb) != 0 || chmod(data_dir, (sb.st_mode & 07777) | 0011) != 0)
        return nx_fail_errno(why, NX_OK, errno, "cannot open %s to the user %s", data_dir, pg->user);
    if (run(pg, probe, "", &ignored) != NX_OK)
        return nx_fail(why, NX_E_DENIED,
                       "the user %s, as whom PostgreSQL works, cannot reach %s: choose a --data folder whose parents "
                       "everybody may enter, such as /var/lib/nexus, or do not work as root",
                       pg->user, data_dir);
    return NX_OK;
}

/* initdb reads the password from its standard input, because the file that keeps it is not the other user's. */
static enum nx_err
init_cluster(const struct postgres_info *pg, const char *dir, const char *password, struct nx_note *why)
{
    int bin_len = (int)(strrchr(pg->program_path, '/') - pg->program_path);
    char *initdb = mem_printf("%.*s/initdb", bin_len, pg->program_path), *place = mem_printf("--pgdata=%s", dir);
    const char *const argv[] = {
        initdb, place, "-U", NAME, "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--pwfile=/dev/stdin",
        NULL};
    enum nx_err err = run(pg, argv, password, why);

    free(initdb);
    free(place);
    return err;
}

static enum nx_err
create_database(const struct postgres_info *pg, const char *dir, struct nx_note *why)
{
    const char *const argv[] = {pg->program_path, "--single", "-c", "exit_on_error=true", "-D", dir, "postgres", NULL};

    return run(pg, argv, "CREATE DATABASE " NAME "\n", why);
}

/* Made beside its place and moved there when it is whole. */
static enum nx_err
make_cluster(const struct postgres_info *pg, const char *password, struct nx_note *why)
{
    char *dir = mem_printf("%s.new", pg->cluster_dir);
    enum nx_err err = make_dir(pg, dir, why);

    if (err == NX_OK)
        err = init_cluster(pg, dir, password, why);
    if (err == NX_OK)
        err = create_database(pg, dir, why);
    if (err == NX_OK && rename(dir, pg->cluster_dir) != 0)
        err = nx_fail_errno(why, NX_OK, errno, "cannot rename %s to %s", dir, pg->cluster_dir);
    free(dir);
    return err;
}

enum nx_err
postgres_prepare(const char *data_dir, uint16_t wanted_port, struct postgres_info *out, struct nx_note *why)
{
    char *password = NULL;
    enum nx_err err;

    *out = (struct postgres_info){.port = broker_free_port(wanted_port)};
    (void)snprintf(out->cluster_dir, sizeof out->cluster_dir, "%.480s/postgres", data_dir);
    (void)snprintf(out->password_path, sizeof out->password_path, "%.480s/secrets/postgres", data_dir);
    (void)snprintf(out->url, sizeof out->url, "postgres://%s@127.0.0.1:%u/%s", NAME, out->port, NAME);
    if (out->port == 0)
        return nx_fail(why, NX_E_FULL, "no free TCP port on 127.0.0.1 for PostgreSQL");
    if (access(out->cluster_dir, F_OK) == 0 && access(out->password_path, F_OK) != 0)
        return nx_fail(why, NX_E_CONFIG,
                       "%s is gone, which holds the password of the database in %s: restore it from a backup",
                       out->password_path, out->cluster_dir);
    if ((err = choose_user(out, why)) != NX_OK || (err = find_program(out, why)) != NX_OK ||
        (err = secret_of(out->password_path, &password, why)) != NX_OK)
        return err;
    err = open_the_way(out, data_dir, why);
    if (err == NX_OK && access(out->cluster_dir, F_OK) != 0)
        err = make_cluster(out, password, why);
    free(password);
    return err;
}
