/* supervised.c -- `nexus supervised [--user NAME] [--interrupt] PROGRAM ARG...`: becomes PROGRAM, and ends with the
 * supervisor.
 *
 * A child of `nexus up` must not outlive it: a gateway left behind would poll the plant twice. The kernel sends SIGTERM
 * (SIGINT with --interrupt) when the parent dies, also by kill -9; the setting survives exec. */
#include "app/command.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

static bool
become(const char *user)
{
    const struct passwd *pw = getpwnam(user);

    return pw && setgroups(0, NULL) == 0 && setgid(pw->pw_gid) == 0 && setuid(pw->pw_uid) == 0;
}

int
command_supervised(int argc, char **argv)
{
    int end_with = SIGTERM;

    if (argc > 3 && strcmp(argv[1], "--user") == 0) {
        if (!become(argv[2])) {
            (void)fprintf(stderr, "nexus: cannot become the user %s: %s\n", argv[2], strerror(errno));
            return EXIT_FAILED;
        }
        argc -= 2;
        argv += 2;
    }
    if (argc > 2 && strcmp(argv[1], "--interrupt") == 0) {
        end_with = SIGINT;
        argc--;
        argv++;
    }
    if (argc < 2) {
        (void)fprintf(stderr, "usage: nexus supervised PROGRAM ARG...\n");
        return EXIT_USAGE;
    }
    (void)setpgid(0, 0); /* Ctrl-C reaches the supervisor alone, which stops its children in order */
    (void)prctl(PR_SET_PDEATHSIG, end_with); /* a change of the user would clear it */
    if (getppid() == 1)                      /* the supervisor died before we asked */
        return EXIT_FAILED;
    (void)execvp(argv[1], argv + 1);
    (void)fprintf(stderr, "nexus: cannot start %s: %s\n", argv[1], strerror(errno));
    return EXIT_FAILED;
}
