// SPDX-License-Identifier: MIT
//
// `shmx::Server` of the original headers, over libshmx. See shmx_common.h and docs/cpp.md.
#ifndef SHMX_SERVER_H
#define SHMX_SERVER_H
#include "shmx_common.h"

#include <mutex>

namespace shmx {

struct StaticStream {
    std::uint32_t stream_id, element_type, components, layout, bytes_per_elem;
    std::string name_utf8;
    std::vector<std::uint8_t> extra;
};

class Server {
public:
    struct Config {
        std::string name;
        std::uint32_t slots{3}, reader_slots{16};
        std::uint32_t static_bytes_cap{0}, frame_bytes_cap{0};
        std::uint32_t control_per_reader{0};
    };
    struct ControlMsg {
        std::uint64_t reader_id;
        std::uint32_t type;
        std::vector<std::uint8_t> data;
    };
    // A frame under construction.
    struct FrameMap {
        FrameHeader* fh;
        std::uint8_t* payload;
        std::uint32_t capacity, slot, tlv_count, used;
        std::uint32_t seq;
    };
    struct ReaderInfo {
        std::uint64_t reader_id, heartbeat, last_frame_seen;
        bool in_use;
    };

    Server() = default;
    ~Server() { destroy(); }
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;

    // False also where a live server has the name, which the original would take over.
    [[nodiscard]] bool create(const Config& cfg, const std::vector<StaticStream>& streams) {
        destroy();
        if (cfg.name.empty() || cfg.slots == 0u || cfg.frame_bytes_cap == 0u) return false;
        const std::vector<std::uint8_t> directory = records(streams);
        if (cfg.static_bytes_cap != 0u && directory.size() > cfg.static_bytes_cap) return false;
        auto options = compat::sized<shmx_server_options>();
        options.flags = SHMX_SERVER_REPLACE;
        options.slots = cfg.slots;
        options.frame_bytes = cfg.frame_bytes_cap;
        options.reader_slots = or_none(cfg.reader_slots);
        options.control_bytes = or_none(cfg.control_per_reader);
        options.directory_bytes = or_none(cfg.static_bytes_cap);
        options.directory = directory.data();
        options.directory_used = directory.size();
        if (shmx_server_create(cfg.name.c_str(), &options, &server_) != SHMX_STATUS_OK) return false;
        auto region = compat::sized<shmx_region>();
        if (shmx_server_region(server_, &region) == SHMX_STATUS_OK) {
            header_ = compat::header_of(map_, cfg.name, region, true);
        }
        if (!header_) {
            destroy();
            return false;
        }
        capacity_ = region.frame_bytes;
        session_id_ = region.session_id;
        slots_ = region.slots;
        rooms_ = std::make_unique<Room[]>(slots_);
        return true;
    }

    void destroy() noexcept {
        const std::lock_guard<std::mutex> lock(mutex_);
        shmx_server_free(&server_);
        header_ = nullptr;
        rooms_.reset();
        map_.close();
    }

    // False for bytes that are no whole records: they would hide what is appended later.
    [[nodiscard]] bool write_static_append(const void* data, std::uint32_t bytes) const {
        if (!server_) return false;
        if (!data || bytes == 0u) return true;
        const std::lock_guard<std::mutex> lock(mutex_);
        return shmx_server_append_records(server_, data, bytes) == SHMX_STATUS_OK;
    }

    // In memory of this object: a frame that is never published costs nothing.
    [[nodiscard]] FrameMap begin_frame() const {
        if (!server_) return {};
        const std::lock_guard<std::mutex> lock(mutex_);
        const std::uint32_t slot = sequence_++ % slots_;
        if (!rooms_[slot].payload) rooms_[slot].payload = std::make_unique<std::uint64_t[]>((capacity_ + 7u) / 8u);
        auto* payload = reinterpret_cast<std::uint8_t*>(rooms_[slot].payload.get());
        return FrameMap{&rooms_[slot].header, payload, capacity_, slot, 0u, 0u, sequence_};
    }

    static bool append_stream(FrameMap& fm, std::uint32_t stream_id, const void* data, std::uint32_t elem_count,
                              std::uint32_t elem_bytes_total) {
        if (!fm.fh || !fm.payload || !data) return false;
        const std::uint64_t used = sizeof(TLV) + sizeof(FrameStreamTLV) + std::uint64_t{elem_bytes_total};
        const std::uint64_t need = (used + ALIGN_TLV - 1u) & ~std::uint64_t{ALIGN_TLV - 1u};
        if (fm.used + need > fm.capacity) return false;
        std::uint8_t* at = fm.payload + fm.used;
        const TLV record{TLV_FRAME_STREAM, static_cast<std::uint32_t>(sizeof(FrameStreamTLV)) + elem_bytes_total};
        const FrameStreamTLV stream{stream_id, elem_count, elem_bytes_total, 0u};
        std::memcpy(at, &record, sizeof record);
        std::memcpy(at + sizeof record, &stream, sizeof stream);
        std::memcpy(at + sizeof record + sizeof stream, data, elem_bytes_total);
        std::memset(at + used, 0, static_cast<std::size_t>(need - used));
        fm.used += static_cast<std::uint32_t>(need);
        fm.tlv_count += 1u;
        return true;
    }

    // False for a frame without streams, and while readers hold every slot: that frame is skipped.
    [[nodiscard]] bool publish_frame(FrameMap& fm, double sim_time) const {
        if (!fm.fh || fm.used > fm.capacity) return false;
        const std::lock_guard<std::mutex> lock(mutex_);
        std::uint64_t id = 0;
        const shmx_status status =
            shmx_server_publish_records(server_, sim_time, fm.payload, fm.used, fm.tlv_count, &id);
        if (status != SHMX_STATUS_OK) return false;
        fm.fh->session_id_copy = session_id_;
        fm.fh->sim_time = sim_time;
        fm.fh->payload_bytes = fm.used;
        fm.fh->tlv_count = fm.tlv_count;
        fm.fh->frame_id.store(id, std::memory_order_release);
        return true;
    }

    [[nodiscard]] std::vector<ReaderInfo> snapshot_readers() const {
        const std::lock_guard<std::mutex> lock(mutex_);
        std::vector<ReaderInfo> all;
        for (const auto& r : compat::readers(server_, shmx_server_readers)) {
            all.push_back({r.reader_id, r.heartbeat, r.last_frame_seen, r.in_use != 0u});
        }
        return all;
    }

    [[nodiscard]] bool poll_control(std::vector<ControlMsg>& out, std::uint32_t max_msgs) const {
        out.clear();
        const std::lock_guard<std::mutex> lock(mutex_);
        shmx_messages* messages = nullptr;
        if (!server_ || shmx_server_poll(server_, max_msgs, &messages) != SHMX_STATUS_OK) return false;
        auto message = compat::sized<shmx_message>();
        for (std::size_t i = 0; shmx_messages_at(messages, i, &message) == SHMX_STATUS_OK; ++i) {
            const auto* data = static_cast<const std::uint8_t*>(message.data);
            out.push_back({message.reader_id, message.message_type, {data, data + message.bytes}});
        }
        std::uint32_t damaged = 0;
        const bool whole = shmx_messages_damaged(messages, 0, &damaged, nullptr) != SHMX_STATUS_OK;
        shmx_messages_free(&messages);
        return whole;
    }

    [[nodiscard]] const GlobalHeader* header() const noexcept { return header_; }
    [[nodiscard]] std::uint8_t* static_ptr() const noexcept {
        return header_ ? map_.data() + header_->static_offset : nullptr;
    }
    [[nodiscard]] std::uint32_t static_used() const noexcept { return header_ ? header_->static_bytes_used : 0u; }
    [[nodiscard]] std::uint32_t readers_connected() const noexcept {
        return header_ ? header_->readers_connected.load(std::memory_order_acquire) : 0u;
    }

    // Readers that hold a liveness lock are never stale; those that died are freed whatever the time.
    [[nodiscard]] bool reap_stale_readers(std::uint64_t now_ticks, std::uint64_t timeout_ticks) const {
        if (!server_) return false;
        const std::lock_guard<std::mutex> lock(mutex_);
        const std::uint64_t now = shmx_now();
        std::uint64_t timeout = timeout_ticks;
        if (now >= now_ticks) {
            timeout += now - now_ticks;
            if (timeout < timeout_ticks) timeout = SHMX_FOREVER - 1u;
        } else {
            timeout -= now_ticks - now < timeout ? now_ticks - now : timeout;
        }
        std::size_t count = 0;
        return shmx_server_reap(server_, timeout, &count) == SHMX_STATUS_OK && count > 0;
    }

private:
    // What a frame is made in.
    struct Room {
        FrameHeader header{};
        std::unique_ptr<std::uint64_t[]> payload;
    };

    static std::uint32_t or_none(std::uint32_t value) noexcept { return value == 0u ? SHMX_NONE : value; }

    static std::vector<std::uint8_t> records(const std::vector<StaticStream>& streams) {
        std::vector<std::uint8_t> all;
        const auto put = [&all](const void* data, std::size_t bytes) {
            const auto* from = static_cast<const std::uint8_t*>(data);
            all.insert(all.end(), from, from + bytes);
        };
        for (const StaticStream& s : streams) {
            const auto name = static_cast<std::uint32_t>(s.name_utf8.size());
            const auto extra = static_cast<std::uint32_t>(s.extra.size());
            const StaticStreamDesc desc{s.stream_id, s.element_type, s.components, s.layout, s.bytes_per_elem,
                                        0u,          name,           extra};
            const TLV record{TLV_STATIC_DIR, static_cast<std::uint32_t>(sizeof desc) + name + extra};
            put(&record, sizeof record);
            put(&desc, sizeof desc);
            put(s.name_utf8.data(), name);
            put(s.extra.data(), extra);
            all.resize((all.size() + 15u) & ~std::size_t{15u});
        }
        return all;
    }

    mutable std::mutex mutex_;
    mutable std::uint32_t sequence_ = 0;
    shmx_server* server_ = nullptr;
    GlobalHeader* header_ = nullptr;
    mutable std::unique_ptr<Room[]> rooms_;
    std::uint64_t session_id_ = 0;
    std::uint32_t capacity_ = 0, slots_ = 1;
    Map map_;
};

} // namespace shmx
#endif // SHMX_SERVER_H
