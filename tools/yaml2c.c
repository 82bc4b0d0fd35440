/* yaml2c -- turns a YAML file into C source that holds it as JSON: yaml2c FILE.yaml OUT.c SYMBOL
 *
 * Runs at build time, so that the service carries its API description and needs no file of it. */
#include "conf/conf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int
write_source(const char *path, const char *symbol, const char *text)
{
    FILE *out = fopen(path, "w");

    if (!out)
        return 1;
    (void)fprintf(out, "#include <stddef.h>\nextern const unsigned char %s[];\nextern const size_t %s_len;\n", symbol,
                  symbol);
    (void)fprintf(out, "const unsigned char %s[] = {", symbol);
    for (size_t i = 0; text[i]; i++)
        (void)fprintf(out, "%s%u,", i % 24 == 0 ? "\n" : "", (unsigned)(unsigned char)text[i]);
    (void)fprintf(out, "0};\nconst size_t %s_len = %zu;\n", symbol, strlen(text));
    return fclose(out) == 0 ? 0 : 1;
}

int
main(int argc, char **argv)
{
    struct arena a = {0};
    struct conf_node *root = NULL;
    struct nx_note why = {0};
    json_t *json;
    char *text;
    int rc;

    if (argc != 4) {
        (void)fprintf(stderr, "usage: yaml2c FILE.yaml OUT.c SYMBOL\n");
        return 2;
    }
    if (conf_read_yaml(&a, argv[1], &root, &why) != NX_OK) {
        (void)fprintf(stderr, "yaml2c: %s\n", why.text);
        return 1;
    }
    json = conf_to_json(root);
    text = json_dumps(json, JSON_COMPACT);
    rc = write_source(argv[2], argv[3], text);
    if (rc != 0)
        (void)fprintf(stderr, "yaml2c: cannot write %s\n", argv[2]);
    free(text);
    json_decref(json);
    arena_free(&a);
    return rc;
}
