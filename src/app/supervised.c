/* supervised.c -- `nexus supervised PROGRAM ARG...`: becomes PROGRAM, and ends with the supervisor.
 *
 * A child of `nexus up` must not outlive it: a gateway left behind would poll the plant twice. The kernel sends SIGTERM
 * when the parent dies, also by kill -9; the setting survives exec. */
#include "app/command.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

int
command_supervised(int argc, char **argv)
{
    if (argc < 2) {
        (void)fprintf(stderr, "usage: nexus supervised PROGRAM ARG...\n");
        return EXIT_USAGE;
    }
    (void)setpgid(0, 0); /* Ctrl-C reaches the supervisor alone, which stops its children in order */
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() == 1) /* the supervisor died before we asked */
        return EXIT_FAILED;
    (void)execvp(argv[1], argv + 1);
    (void)fprintf(stderr, "nexus: cannot start %s: %s\n", argv[1], strerror(errno));
    return EXIT_FAILED;
}
