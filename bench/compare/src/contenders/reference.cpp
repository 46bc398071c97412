// The reference's server and client behind plain functions, so that the same harness drives them.
#include "src/shmx_client.h"
#include "src/shmx_server.h"

namespace {
constexpr std::uint32_t STREAM = 1;

struct Reader {
    shmx::Client client;
    shmx::FrameView view{};
    shmx::DecodedFrame decoded;
    std::uint32_t seen = 0;
};
} // namespace

extern "C" {

void* ref_server_create(const char* name, std::uint32_t slots, std::uint32_t cap) {
    auto* server = new shmx::Server();
    shmx::Server::Config config;
    config.name = name;
    config.slots = slots;
    config.static_bytes_cap = 4096;
    config.frame_bytes_cap = cap;
    config.control_per_reader = 4096;
    // U64, one component, scalar.
    if (server->create(config, {{STREAM, 9, 1, 0, 8, "payload", {}}})) return server;
    delete server;
    return nullptr;
}

void ref_server_destroy(void* server) {
    delete static_cast<shmx::Server*>(server);
}

int ref_send(void* server, const std::uint64_t* data, std::uint32_t words) {
    auto& s = *static_cast<shmx::Server*>(server);
    auto frame = s.begin_frame();
    if (!shmx::Server::append_stream(frame, STREAM, data, words, words * 8)) return 1;
    return s.publish_frame(frame, 0.0) ? 0 : 2;
}

void* ref_client_open(const char* name) {
    auto* reader = new Reader();
    if (reader->client.open(name)) return reader;
    delete reader;
    return nullptr;
}

void ref_client_close(void* reader) {
    delete static_cast<Reader*>(reader);
}

// Looks at the write index first: `latest` hashes the newest frame each time, new or not.
const std::uint64_t* ref_poll(void* reader, std::uint32_t* words) {
    auto& r = *static_cast<Reader*>(reader);
    const auto newest = r.client.header()->write_index.load(std::memory_order_acquire);
    if (newest == r.seen || !r.client.latest(r.view)) return nullptr;
    r.seen = newest;
    if (!shmx::Client::decode(r.view, r.decoded) || r.decoded.streams.empty()) return nullptr;
    const auto& item = r.decoded.streams.front().second;
    *words = item.bytes / 8;
    return reinterpret_cast<const std::uint64_t*>(item.ptr);
}
}
