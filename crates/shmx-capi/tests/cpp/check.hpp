// What the C++ test programs share.
#ifndef CHECK_HPP
#define CHECK_HPP
#include <cstdio>
#include <cstdlib>
#include <shmx.hpp>

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            std::fprintf(stderr, "%s:%d: %s (%s)\n", __FILE__, __LINE__, #condition, shmx_last_error());               \
            std::exit(1);                                                                                              \
        }                                                                                                              \
    } while (0)
#endif
