/* batch_priv.h -- the numbers of the batch record, shared by its writer and its reader (docs/formats/batch.md). */
#ifndef MODEL_BATCH_PRIV_H
#define MODEL_BATCH_PRIV_H

#include "model/batch.h"

#define BATCH_MAGIC       0x4258584Eu /* "NXXB" */
#define BATCH_VERSION     1u
#define BATCH_FLAG_ZSTD   0x01u
#define BATCH_FLAG_GAP    0x02u
#define BATCH_FLAGS_KNOWN 0x03u

#define BATCH_HEAD_BYTES  40u /* up to the gateway's name */
#define BATCH_CRC_BYTES   4u
#define BATCH_GATEWAY_MAX 64u

/* How a column of 64-bit numbers is written. */
enum batch_column {
    BATCH_COLUMN_DELTAS = 0, /* one zigzag difference a point */
    BATCH_COLUMN_RUNS = 1,   /* {zigzag difference, length} a run of equal numbers */
};

static inline uint64_t
batch_zigzag(int64_t v)
{
    return (uint64_t)v << 1 ^ (uint64_t)(v >> 63);
}

static inline int64_t
batch_unzigzag(uint64_t z)
{
    return (int64_t)(z >> 1 ^ (0 - (z & 1)));
}

#endif
