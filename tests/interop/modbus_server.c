/* modbus_server.c -- a Modbus TCP server of libmodbus, moved by lines on its standard input.
 *
 *   modbus_server [PORT [ELEMENTS]]     127.0.0.1; port 0 (default): a free one. Each table has ELEMENTS (65536).
 *
 * It prints "port N" when it listens. Then, one line each (tables: hr ir co di; numbers decimal or 0x..):
 *   set TABLE ADDRESS VALUE...          sets elements, prints "ok"
 *   get TABLE ADDRESS [COUNT]           prints "TABLE ADDRESS VALUE..."
 *   count                               prints "requests N"
 *   drop                                closes every connection, prints "ok"
 *   quit                                or end of input: exits
 * Every write of a client is printed as "write FC ADDRESS COUNT" after it was carried out. */
#include <arpa/inet.h>
#include <errno.h>
#include <modbus.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <unistd.h>

struct rig {
    modbus_t *ctx;
    modbus_mapping_t *map;
    int listener;
    fd_set conns;
    int max_fd;
    unsigned long requests;
};

struct cells {
    uint16_t *words;
    uint8_t *bits;
    int count;
};

static struct cells
cells_of(const struct rig *r, const char *table)
{
    const modbus_mapping_t *m = r->map;

    if (strcmp(table, "hr") == 0)
        return (struct cells){m->tab_registers, NULL, m->nb_registers};
    if (strcmp(table, "ir") == 0)
        return (struct cells){m->tab_input_registers, NULL, m->nb_input_registers};
    if (strcmp(table, "co") == 0)
        return (struct cells){NULL, m->tab_bits, m->nb_bits};
    if (strcmp(table, "di") == 0)
        return (struct cells){NULL, m->tab_input_bits, m->nb_input_bits};
    return (struct cells){NULL, NULL, 0};
}

static unsigned
cell_get(const struct cells *c, long at)
{
    if (c->words)
        return c->words[at];
    return c->bits ? c->bits[at] : 0;
}

static void
cell_set(const struct cells *c, long at, long value)
{
    if (c->words)
        c->words[at] = (uint16_t)value;
    else if (c->bits)
        c->bits[at] = value != 0;
}

static void
do_set(const struct cells *c, long at, char *rest)
{
    for (char *word = strtok(rest, " "); word; word = strtok(NULL, " "), at++) {
        if (at < 0 || at >= c->count) {
            printf("error: outside the table\n");
            return;
        }
        cell_set(c, at, strtol(word, NULL, 0));
    }
    printf("ok\n");
}

static void
do_get(const struct cells *c, const char *table, long at, const char *rest)
{
    long n = *rest ? strtol(rest, NULL, 0) : 1;

    if (at < 0 || n < 1 || at + n > c->count) {
        printf("error: outside the table\n");
        return;
    }
    printf("%s %ld", table, at);
    for (long i = at; i < at + n; i++)
        printf(" %u", cell_get(c, i));
    printf("\n");
}

static void
drop_all(struct rig *r)
{
    for (int fd = 0; fd <= r->max_fd; fd++) {
        if (!FD_ISSET(fd, &r->conns))
            continue;
        FD_CLR(fd, &r->conns);
        close(fd);
    }
}

static void
do_line(struct rig *r, char *line)
{
    char *verb = strtok(line, " \n"), *table = strtok(NULL, " \n"), *at = strtok(NULL, " \n"),
         *rest = strtok(NULL, "\n"), none[1] = "";
    struct cells c;

    if (!verb)
        return;
    if (strcmp(verb, "quit") == 0)
        exit(0);
    if (strcmp(verb, "count") == 0) {
        printf("requests %lu\n", r->requests);
        return;
    }
    if (strcmp(verb, "drop") == 0) {
        drop_all(r);
        printf("ok\n");
        return;
    }
    c = table ? cells_of(r, table) : (struct cells){NULL, NULL, 0};
    if (c.count == 0 || !at)
        printf("error: use set|get hr|ir|co|di ADDRESS ...\n");
    else if (strcmp(verb, "set") == 0)
        do_set(&c, strtol(at, NULL, 0), rest ? rest : none);
    else
        do_get(&c, table, strtol(at, NULL, 0), rest ? rest : none);
}

/* Lines are read with read(2): what stdio buffers, select() does not see. */
static void
on_input(struct rig *r)
{
    static char buf[65536];
    static size_t len;
    ssize_t n = read(STDIN_FILENO, buf + len, sizeof buf - 1 - len);
    char *end;

    if (n <= 0)
        exit(0);
    len += (size_t)n;
    buf[len] = '\0';
    while ((end = strchr(buf, '\n')) != NULL) {
        *end = '\0';
        do_line(r, buf);
        len -= (size_t)(end + 1 - buf);
        memmove(buf, end + 1, len + 1);
    }
}

static void
on_connection(struct rig *r)
{
    int fd = accept(r->listener, NULL, NULL);

    if (fd < 0)
        return;
    FD_SET(fd, &r->conns);
    if (fd > r->max_fd)
        r->max_fd = fd;
}

static void
on_request(struct rig *r, int fd)
{
    uint8_t query[MODBUS_TCP_MAX_ADU_LENGTH];
    int n;

    modbus_set_socket(r->ctx, fd);
    n = modbus_receive(r->ctx, query);
    if (n < 0) {
        FD_CLR(fd, &r->conns);
        close(fd);
        return;
    }
    r->requests++;
    if (modbus_reply(r->ctx, query, n, r->map) >= 0 && (query[7] == 5 || query[7] == 6 || query[7] >= 15))
        printf("write %u %u %u\n", query[7], (unsigned)query[8] << 8 | query[9],
               query[7] == 15 || query[7] == 16 ? (unsigned)query[10] << 8 | query[11] : 1u);
}

static int
port_of(int fd)
{
    struct sockaddr_in addr = {0};
    socklen_t len = sizeof addr;

    return getsockname(fd, (struct sockaddr *)&addr, &len) == 0 ? ntohs(addr.sin_port) : -1;
}

int
main(int argc, char **argv)
{
    struct rig r = {.max_fd = 0};
    int elements = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 65536;

    setvbuf(stdout, NULL, _IOLBF, 0);
    r.ctx = modbus_new_tcp("127.0.0.1", argc > 1 ? (int)strtol(argv[1], NULL, 10) : 0);
    r.map = modbus_mapping_new(elements, elements, elements, elements);
    r.listener = r.ctx ? modbus_tcp_listen(r.ctx, 16) : -1;
    if (!r.map || r.listener < 0) {
        fprintf(stderr, "modbus_server: %s\n", modbus_strerror(errno));
        return 1;
    }
    FD_ZERO(&r.conns);
    r.max_fd = r.listener;
    printf("port %d\n", port_of(r.listener));
    for (;;) {
        fd_set ready = r.conns;
        FD_SET(STDIN_FILENO, &ready);
        FD_SET(r.listener, &ready);
        if (select(r.max_fd + 1, &ready, NULL, NULL, NULL) < 0)
            return 1;
        if (FD_ISSET(STDIN_FILENO, &ready))
            on_input(&r);
        if (FD_ISSET(r.listener, &ready))
            on_connection(&r);
        for (int fd = 0; fd <= r.max_fd; fd++)
            if (fd != STDIN_FILENO && fd != r.listener && FD_ISSET(fd, &ready) && FD_ISSET(fd, &r.conns))
                on_request(&r, fd);
    }
}
