#include "app/secret.h"

#include "base/file.h"

#include <openssl/evp.h>
#include <openssl/rand.h>

#include <unistd.h>

enum { SECRET_BYTES = 24, SECRET_CHARS = SECRET_BYTES / 3 * 4 };

static enum nx_err
write_secret(const char *path, struct nx_note *why)
{
    uint8_t raw[SECRET_BYTES];
    char text[SECRET_CHARS + 1];

    if (RAND_bytes(raw, sizeof raw) != 1)
        return nx_fail(why, NX_E_INTERNAL, "the system gives no random numbers for %s", path);
    (void)EVP_EncodeBlock((unsigned char *)text, raw, sizeof raw);
    for (unsigned i = 0; i < SECRET_CHARS; i++)
        text[i] = text[i] == '+' ? '-' : text[i] == '/' ? '_' : text[i];
    return file_write(path, slice(text, SECRET_CHARS), 0600, why);
}

enum nx_err
secret_of(const char *path, char **out, struct nx_note *why)
{
    enum nx_err err = NX_OK;

    *out = NULL;
    if (access(path, F_OK) != 0)
        err = write_secret(path, why);
    if (!err)
        err = file_read_secret(path, out, why);
    if (!err && !**out)
        err = nx_fail(
            why, NX_E_CONFIG,
            "%s is empty: restore it from a backup (a password for the broker is made anew when the file is removed)",
            path);
    return err;
}
