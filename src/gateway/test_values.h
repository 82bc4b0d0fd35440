/* test_values.h -- initialisers of values for the tables of tests. */
#ifndef GATEWAY_TEST_VALUES_H
#define GATEWAY_TEST_VALUES_H

#include "nexus/value.h"

#define B(n)                                                                                                           \
    {                                                                                                                  \
        .type = NX_TYPE_BOOL, .b = (n)                                                                                 \
    }
#define I(n)                                                                                                           \
    {                                                                                                                  \
        .type = NX_TYPE_INT, .i = (n)                                                                                  \
    }
#define U(n)                                                                                                           \
    {                                                                                                                  \
        .type = NX_TYPE_UINT, .u = (n)                                                                                 \
    }
#define D(n)                                                                                                           \
    {                                                                                                                  \
        .type = NX_TYPE_DOUBLE, .d = (n)                                                                               \
    }
#define S(t)                                                                                                           \
    {                                                                                                                  \
        .type = NX_TYPE_STRING, .len = sizeof(t) - 1, .s = (t)                                                         \
    }
#define NONE                                                                                                           \
    {                                                                                                                  \
        .type = NX_TYPE_NONE                                                                                           \
    }

#endif
