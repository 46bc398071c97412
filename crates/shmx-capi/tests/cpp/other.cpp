// The second unit of `features`; with ORIGINAL the original's headers beside ours, in one program.
#ifdef ORIGINAL
#include "shmx_client.h"
#include "shmx_inspector.h"
#include "shmx_server.h"
#endif
#include <shmx.hpp>

constexpr shmxx::Stream<std::uint64_t> TICK{1, "tick"};

std::uint64_t newest_tick(shmxx::Client& client);

std::uint64_t newest_tick(shmxx::Client& client) {
#ifdef ORIGINAL
    shmx::Client none;
    shmx::FrameView view;
    if (none.latest(view)) return 0;
#endif
    return client.latest().value().value(TICK).value();
}
