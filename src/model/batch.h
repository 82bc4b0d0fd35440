/* batch.h -- batch messages and spool records: many points of one gateway in one self-contained binary record.
 *
 * Layout in docs/formats/batch.md, vectors in tests/vectors/batch. Header {magic, version, flags, gateway, epoch,
 * lane, sequence, count, base time}, dictionary of the series used (front-coded topics), columns of series index, time
 * delta, quality, value; optional zstd over dictionary and columns; CRC-32C at the end. Any record decodes alone. Pure.
 */
#ifndef MODEL_BATCH_H
#define MODEL_BATCH_H

#include "base/arena.h"
#include "base/wbuf.h"
#include "model/point.h"
#include "nexus/err.h"

#define BATCH_MAX_POINTS 65536u
#define BATCH_MAX_BYTES  (8u << 20) /* of a record, and of its dictionary and columns before compression */
#define BATCH_MAX_TEXT   (8u << 20) /* of the texts of its dictionary */

struct batch_header {
    struct slice gateway; /* 1..64 bytes */
    uint64_t epoch;       /* epoch and seq are below 2^63: they stand in JSON acknowledgements, too */
    uint8_t lane;
    uint64_t seq;
};

/* A gap record: points that were dropped on purpose. Travels as a batch with no points. */
struct batch_gap {
    uint64_t from_seq, to_seq, points;
    int64_t from_us, to_us;
    enum nx_err cause;
};

/* --- writing: an encoder gathers points, then writes them as one record --- */
struct batch_writer;
struct batch_writer *batch_writer_new(void);
void batch_writer_free(struct batch_writer **bw);
/* Adds a point of a series. key is the caller's own dense small number for the series (tag index): the writer maps it
 * to the record's dictionary without hashing; series' text must stay valid until batch_writer_finish(). String values
 * are copied. A double that is not finite is kept as a bad point (NX_Q_SENSOR_FAILURE). false: full. */
bool batch_writer_add(struct batch_writer *bw, uint32_t key, const struct series *series, const struct point *p);
uint32_t batch_writer_count(const struct batch_writer *bw);
size_t batch_writer_bytes(const struct batch_writer *bw); /* estimate before compression */
/* Appends the record to out and empties the writer. compress: zstd level 1 when it makes it smaller. */
NX_MUST_CHECK enum nx_err batch_writer_finish(struct batch_writer *bw, const struct batch_header *hdr, bool compress,
                                              struct wbuf *out);
NX_MUST_CHECK enum nx_err batch_encode_gap(const struct batch_header *hdr, const struct batch_gap *gap,
                                           struct wbuf *out);

/* --- reading --- */
struct batch {
    struct batch_header hdr;
    uint32_t series_count, point_count;
    const struct series *series; /* [series_count] */
    const struct point *points;  /* [point_count], .series indexes series; in the order of writing */
    bool is_gap;
    struct batch_gap gap;
};
/* Decodes into memory of a; slices point into data or a. NX_E_PROTO/NX_E_CORRUPT/NX_E_TOO_LARGE/NX_E_UNSUPPORTED
 * (newer version) with a note. Never reads past data, never allocates more than the stated maxima allow. */
NX_MUST_CHECK enum nx_err batch_decode(struct slice data, struct arena *a, struct batch *out, struct nx_note *why);
/* Only the header and how many points there are (0 for a gap), without checking the rest; for routing. */
NX_MUST_CHECK enum nx_err batch_peek(struct slice data, struct batch_header *hdr, uint32_t *points,
                                     struct nx_note *why);

/* --- acknowledgements: {"epoch":..,"lane":..,"committed":[[from,to],...]} --- */
struct batch_range {
    uint64_t from, to; /* inclusive */
};
#define BATCH_ACK_RANGES 256
struct batch_ack {
    uint64_t epoch;
    uint8_t lane;
    unsigned count;
    struct batch_range committed[BATCH_ACK_RANGES];
};
/* At most 64 KiB and BATCH_ACK_RANGES ranges are read: NX_E_TOO_LARGE. */
void batch_ack_encode(struct wbuf *w, const struct batch_ack *ack);
NX_MUST_CHECK enum nx_err batch_ack_decode(struct slice payload, struct batch_ack *out, struct nx_note *why);

#endif
