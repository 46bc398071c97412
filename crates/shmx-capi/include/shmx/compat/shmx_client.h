// SPDX-License-Identifier: MIT
//
// `shmx::Client` of the original headers, over libshmx. See shmx_common.h and docs/cpp.md.
#ifndef SHMX_CLIENT_H
#define SHMX_CLIENT_H
#include "shmx_common.h"

namespace shmx {

struct StaticStreamInfo {
    std::uint32_t id, elem_type, components, layout, bytes_per_elem;
    std::string name;
    std::vector<std::uint8_t> extra;
};
struct StaticState {
    std::uint64_t session_id, static_hash;
    std::uint32_t static_gen, payload_bytes;
    std::vector<StaticStreamInfo> dir;
};
// A frame that stays whole until the next `latest` or `close`.
struct FrameView {
    const FrameHeader* fh{};
    const std::uint8_t* payload{};
    std::uint32_t bytes{};
    bool session_mismatch{};
    std::uint32_t checksum_mismatch{};
};
struct DecodedItem {
    const void* ptr;
    std::uint32_t bytes, elem_count;
};
struct DecodedFrame {
    std::vector<std::pair<std::uint32_t, DecodedItem>> streams;
};

class Client {
public:
    Client() = default;
    ~Client() { close(); }
    Client(const Client&) = delete;
    Client& operator=(const Client&) = delete;

    // False also where the server is known to be gone.
    [[nodiscard]] bool open(const std::string& name) {
        close();
        auto options = compat::sized<shmx_client_options>();
        options.flags = SHMX_CLIENT_SLOT_OPTIONAL;
        if (shmx_client_open(name.c_str(), &options, &client_) != SHMX_STATUS_OK) return false;
        name_ = name;
        if (map_header()) return true;
        close();
        return false;
    }

    void close() noexcept {
        shmx_client_free(&client_);
        map_.close();
    }

    [[nodiscard]] GlobalHeader* header() noexcept { return reinterpret_cast<GlobalHeader*>(map_.data()); }

    [[nodiscard]] bool refresh_static(StaticState& out) {
        shmx_directory* directory = nullptr;
        if (!client_ || !in_this_session([&] { return shmx_client_directory(client_, &directory); })) return false;
        const void* data = nullptr;
        std::size_t bytes = 0;
        (void)shmx_directory_raw(directory, &out.session_id, &out.static_gen, &data, &bytes);
        out.static_hash = bytes ? fnv1a64(data, bytes) : header()->static_hash;
        out.payload_bytes = static_cast<std::uint32_t>(bytes);
        out.dir.clear();
        compat::directory(directory,
                          [&out](const shmx_stream_info& s, std::string name, std::vector<std::uint8_t> extra) {
                              out.dir.push_back({s.stream_id, s.element_type, s.components, s.layout_code,
                                                 s.bytes_per_elem, std::move(name), std::move(extra)});
                          });
        return true;
    }

    // A frame with a wrong checksum is told of and not handed out.
    [[nodiscard]] bool latest(FrameView& out) {
        auto view = compat::sized<shmx_view>();
        if (!client_) return false;
        if (!in_this_session([&] { return status_ = shmx_client_latest(client_, &view); })) {
            if (status_ == SHMX_STATUS_CHECKSUM) out = FrameView{nullptr, nullptr, 0u, false, 1u};
            return false;
        }
        compat::fill(frame_, view);
        out = FrameView{&frame_, static_cast<const std::uint8_t*>(view.payload), static_cast<std::uint32_t>(view.bytes),
                        false, 0u};
        return true;
    }

    [[nodiscard]] static bool decode(const FrameView& fv, DecodedFrame& df) {
        df.streams.clear();
        compat::streams(fv.payload, fv.bytes,
                        [&df](std::uint32_t id, const void* data, std::uint32_t bytes, std::uint32_t count) {
                            df.streams.emplace_back(id, DecodedItem{data, bytes, count});
                        });
        return true;
    }

    [[nodiscard]] bool control_send(std::uint32_t tlv_type, const void* data, std::uint32_t bytes) {
        return client_ && in_this_session([&] { return shmx_client_send(client_, tlv_type, data, bytes); });
    }

private:
    bool map_header() {
        auto region = compat::sized<shmx_region>();
        return shmx_client_region(client_, &region) == SHMX_STATUS_OK && compat::header_of(map_, name_, region, true);
    }
    // A server of the original begins anew in the same memory, and its readers go on: so do these.
    template <class Call>
    bool in_this_session(Call call) {
        shmx_status status = call();
        if (status == SHMX_STATUS_SESSION && shmx_client_reopen(client_) == SHMX_STATUS_OK && map_header())
            status = call();
        return status == SHMX_STATUS_OK;
    }

    shmx_client* client_ = nullptr;
    shmx_status status_ = SHMX_STATUS_OK;
    FrameHeader frame_{};
    std::string name_;
    Map map_;
};

} // namespace shmx
#endif // SHMX_CLIENT_H
