/* config.c -- `nexus config check FILE`, `nexus config explain KEY`, `nexus config sample ROLE`. */
#include "app/command.h"

#include "base/mem.h"
#include "model/device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TARGET_BYTES 65536u /* larger than any service's struct of settings */

/* Every section that any role reads: a file is checked against all of them together. */
static enum nx_err
load_role(const struct role *role, const struct conf_source *src, struct conf **out, void **target, struct nx_note *why)
{
    struct conf_source own = *src;

    const char **foreign = role_foreign_keys(role);
    own.foreign = foreign;
    *target = mem_alloc(TARGET_BYTES);
    enum nx_err err = conf_load(out, &own, role->rows, *target, why);
    free(foreign);
    return err;
}

struct device_report {
    unsigned good, bad;
};

static void
good_device(void *arg, struct device *d)
{
    struct device_report *r = arg;

    r->good++;
    device_unref(&d);
}

static void
bad_device(void *arg, const char *id, const struct nx_note *why)
{
    struct device_report *r = arg;

    r->bad++;
    (void)fprintf(stderr, "%s: %s\n", id ? id : "device", why->text);
}

static int
check_devices(const struct conf_node *root, const char *path)
{
    static const struct device_list_ops ops = {.each = good_device, .bad = bad_device};
    struct device_options opt = {.uns_root = "uns", .default_interval_ms = 1000, .drivers = nx_drivers};
    struct device_report report = {0};
    struct nx_note why;
    enum nx_err err = device_read_list(&opt, root, &ops, &report, &why);

    if (err != NX_OK)
        return command_failed(err, &why);
    (void)printf("%s: %u devices are good, %u are not\n", path, report.good, report.bad);
    return report.bad ? EXIT_FAILED : EXIT_OK;
}

static int
check_settings(const char *path)
{
    struct conf_source src = {.path = path};
    struct nx_note why;

    for (size_t i = 0; roles[i]; i++) {
        struct conf *conf;
        void *target;
        enum nx_err err = load_role(roles[i], &src, &conf, &target, &why);

        conf_free(&conf);
        free(target);
        if (err != NX_OK)
            return command_failed(err, &why);
    }
    (void)printf("%s: good\n", path);
    return EXIT_OK;
}

/* A file with a `devices` list is a device file, anything else holds settings. */
static int
check(const char *path)
{
    struct arena a = {0};
    struct conf_node *root;
    struct nx_note why;
    enum nx_err err = conf_read_yaml(&a, path, &root, &why);
    int code = err != NX_OK                                                                ? command_failed(err, &why)
               : conf_get(root, "devices") && conf_get(root, "devices")->kind == CONF_LIST ? check_devices(root, path)
                                                                                           : check_settings(path);

    arena_free(&a);
    return code;
}

static int
explain(const char *key, const struct conf_source *src)
{
    struct nx_note why = {0};
    bool is_found = false;
    enum nx_err err = NX_OK;

    for (size_t i = 0; roles[i]; i++) {
        struct wbuf out = wbuf_init(0);
        struct conf *conf;
        void *target;

        err = load_role(roles[i], src, &conf, &target, &why);
        if (err == NX_OK && conf_explain(conf, key, &out, &why) == NX_OK) {
            (void)printf("nexus %s: %s", roles[i]->name, wbuf_cstr(&out));
            is_found = true;
        }
        conf_free(&conf);
        free(target);
        wbuf_free(&out);
        if (err != NX_OK)
            break;
    }
    if (err == NX_OK && !is_found)
        err = NX_E_NOT_FOUND;
    return err == NX_OK ? EXIT_OK : command_failed(err, &why);
}

static int
sample(const char *name)
{
    for (size_t i = 0; roles[i]; i++) {
        if (strcmp(roles[i]->name, name) != 0)
            continue;
        struct wbuf out = wbuf_init(0);
        conf_print_sample(roles[i]->rows, &out);
        (void)fputs(wbuf_cstr(&out), stdout);
        wbuf_free(&out);
        return EXIT_OK;
    }
    (void)fprintf(stderr, "nexus: '%s' is none of gateway, ingest, core\n", name);
    return EXIT_NOT_FOUND;
}

static int
run_verb(const char *verb, const char *operand, const struct conf_source *src)
{
    if (strcmp(verb, "check") == 0)
        return check(operand);
    if (strcmp(verb, "explain") == 0)
        return explain(operand, src);
    if (strcmp(verb, "sample") == 0)
        return sample(operand);
    (void)fprintf(stderr, "usage: nexus config check FILE\n"
                          "       nexus config explain KEY [--config FILE] [--set KEY=VALUE]...\n"
                          "       nexus config sample gateway|ingest|core\n");
    return EXIT_USAGE;
}

int
command_config(int argc, char **argv)
{
    const char *config = NULL, **sets = NULL;
    const struct option_spec specs[] = {{.name = "config", .value = &config}, {.name = "set", .list = &sets}, {0}};

    if (!options_read(&argc, argv, specs))
        return EXIT_USAGE;
    int code =
        run_verb(argc == 3 ? argv[1] : "", argv[argc - 1], &(struct conf_source){.path = config, .overrides = sets});
    free(sets);
    return code;
}
