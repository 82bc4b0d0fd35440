/* password.c -- argon2id hashes, two at a time. */
#include "auth/auth.h"

#include <argon2.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>

/* OWASP's minimum for argon2id; 19 MiB a hash is also why only two run at a time. */
#define MEMORY_KIB 19456u
#define PASSES     2u
#define LANES      1u
#define SALT_BYTES 16u
#define HASH_BYTES 32u
#define AT_A_TIME  2u
#define SHORTEST   8u
#define LONGEST    1024u

static sem_t slots;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void
init_slots(void)
{
    (void)sem_init(&slots, 0, AT_A_TIME);
}

static void
enter(void)
{
    (void)pthread_once(&once, init_slots);
    while (sem_wait(&slots) != 0)
        ; /* interrupted by a signal */
}

static void
leave(void)
{
    (void)sem_post(&slots);
}

enum nx_err
auth_password_hash(const char *password, char out[AUTH_HASH_CAP], struct nx_note *why)
{
    uint8_t salt[SALT_BYTES];
    size_t len = strlen(password);

    if (len < SHORTEST)
        return nx_fail(why, NX_E_VALUE, "the password is too short: at least %u characters", SHORTEST);
    if (len > LONGEST)
        return nx_fail(why, NX_E_VALUE, "the password is too long: at most %u bytes", LONGEST);
    if (RAND_bytes(salt, sizeof salt) != 1)
        abort(); /* without random numbers nothing here is safe */
    enter();
    int rc = argon2id_hash_encoded(PASSES, MEMORY_KIB, LANES, password, len, salt, sizeof salt, HASH_BYTES, out,
                                   AUTH_HASH_CAP);
    leave();
    return rc == ARGON2_OK ? NX_OK
                           : nx_fail(why, NX_E_INTERNAL, "cannot hash the password: %s", argon2_error_message(rc));
}

bool
auth_password_verify(const char *hash, const char *password)
{
    /* A valid encoding that no password is meant to match: unknown users cost the same time as known ones. */
    static const char nobody[] = "$argon2id$v=19$m=19456,t=2,p=1$bm8gc2FsdCBmb3Igbm9ib2R5$"
                                 "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    size_t len = strlen(password);

    if (len > LONGEST)
        return false;
    enter();
    int rc = argon2id_verify(hash ? hash : nobody, password, len);
    leave();
    return hash && rc == ARGON2_OK;
}
