// SPDX-License-Identifier: MIT
//
// `shmx::Inspector` of the original headers, over libshmx. See shmx_common.h and docs/cpp.md.
#ifndef SHMX_INSPECTOR_H
#define SHMX_INSPECTOR_H
#include "shmx_common.h"

namespace shmx {

struct InspectLayout {
    std::uint32_t static_offset, static_used, static_cap;
    std::uint32_t readers_offset, reader_stride, reader_slots;
    std::uint32_t control_offset, control_stride, control_per_reader;
    std::uint32_t slots_offset, slot_stride, slots;
    std::uint32_t frame_bytes_cap;
};
struct InspectReader {
    std::uint64_t reader_id, heartbeat, last_frame_seen;
    bool in_use;
};
struct InspectDirEntry {
    std::uint32_t stream_id, element_type, components, layout, bytes_per_elem;
    std::string name;
    std::vector<std::uint8_t> extra;
};
// A copy of a frame: valid until the same call is made for the same slot, or `close`.
struct InspectFrameView {
    const FrameHeader* fh;
    const std::uint8_t* payload;
    std::uint32_t bytes;
    bool checksum_ok;
};
struct InspectSlotView {
    std::uint32_t index;
    InspectFrameView view;
};
struct InspectControlMsg {
    std::uint64_t reader_id;
    std::uint32_t type;
    std::vector<std::uint8_t> data;
};
struct InspectItem {
    const void* ptr;
    std::uint32_t bytes;
    std::uint32_t elem_count;
};

class Inspector {
public:
    Inspector() = default;
    ~Inspector() { close(); }
    Inspector(const Inspector&) = delete;
    Inspector& operator=(const Inspector&) = delete;

    bool open(const std::string& name) {
        close();
        if (shmx_inspector_open(name.c_str(), &inspector_) != SHMX_STATUS_OK) return false;
        auto region = compat::sized<shmx_region>();
        if (shmx_inspector_region(inspector_, &region) == SHMX_STATUS_OK &&
            compat::header_of(map_, name, region, false)) {
            count_ = region.slots;
            slots_ = std::make_unique<Kept[]>(count_);
            return true;
        }
        close();
        return false;
    }

    void close() {
        slots_.reset();
        latest_.end();
        shmx_inspector_free(&inspector_);
        map_.close();
    }

    const GlobalHeader* header() const { return reinterpret_cast<const GlobalHeader*>(map_.data()); }

    InspectLayout layout() const {
        const GlobalHeader* h = header();
        if (!h) return {};
        return {h->static_offset,      h->static_bytes_used, h->static_bytes_cap, h->readers_offset,
                h->reader_slot_stride, h->reader_slots,      h->control_offset,   h->control_stride,
                h->control_per_reader, h->slots_offset,      h->slot_stride,      h->slots,
                h->frame_bytes_cap};
    }

    std::vector<InspectReader> snapshot_readers() const {
        std::vector<InspectReader> all;
        for (const auto& r : compat::readers(inspector_, shmx_inspector_readers)) {
            all.push_back({r.reader_id, r.heartbeat, r.last_frame_seen, r.in_use != 0u});
        }
        return all;
    }

    std::vector<InspectDirEntry> decode_static_dir() const {
        std::vector<InspectDirEntry> all;
        shmx_directory* directory = nullptr;
        if (shmx_inspector_directory(inspector_, &directory) != SHMX_STATUS_OK) return all;
        compat::directory(directory,
                          [&all](const shmx_stream_info& s, std::string name, std::vector<std::uint8_t> extra) {
                              all.push_back({s.stream_id, s.element_type, s.components, s.layout_code, s.bytes_per_elem,
                                             std::move(name), std::move(extra)});
                          });
        return all;
    }

    bool latest(InspectFrameView& out) const {
        shmx_frame* frame = nullptr;
        return inspector_ && shmx_inspector_latest(inspector_, &frame) == SHMX_STATUS_OK && latest_.show(frame, out);
    }

    bool slot_view(std::uint32_t slot, InspectFrameView& out) const {
        if (!inspector_ || slot >= count_) return false;
        shmx_frame* frame = nullptr;
        return shmx_inspector_slot(inspector_, slot, nullptr, &frame) == SHMX_STATUS_OK && frame &&
               slots_[slot].show(frame, out);
    }

    std::vector<InspectSlotView> list_slots() const {
        std::vector<InspectSlotView> all;
        const std::uint32_t count = inspector_ ? count_ : 0u;
        for (std::uint32_t i = 0; i < count; ++i) {
            InspectFrameView view{};
            if (slot_view(i, view)) all.push_back({i, view});
        }
        return all;
    }

    static bool decode_frame(const InspectFrameView& fv, std::vector<std::pair<std::uint32_t, InspectItem>>& streams) {
        streams.clear();
        compat::streams(fv.payload, fv.bytes,
                        [&](std::uint32_t id, const void* data, std::uint32_t bytes, std::uint32_t count) {
                            streams.emplace_back(id, InspectItem{data, bytes, count});
                        });
        return true;
    }

    std::vector<InspectControlMsg> peek_control(std::uint32_t reader_index, std::uint32_t max_msgs) const {
        std::vector<InspectControlMsg> all;
        shmx_messages* messages = nullptr;
        if (!inspector_ || shmx_inspector_peek(inspector_, reader_index, &messages) != SHMX_STATUS_OK) return all;
        const auto readers = compat::readers(inspector_, shmx_inspector_readers);
        const std::uint64_t id = reader_index < readers.size() ? readers[reader_index].reader_id : 0u;
        auto message = compat::sized<shmx_message>();
        for (std::size_t i = 0; i < max_msgs && shmx_messages_at(messages, i, &message) == SHMX_STATUS_OK; ++i) {
            const auto* data = static_cast<const std::uint8_t*>(message.data);
            all.push_back({id, message.message_type, {data, data + message.bytes}});
        }
        shmx_messages_free(&messages);
        return all;
    }

private:
    // A frame that views lead to.
    struct Kept {
        shmx_frame* frame = nullptr;
        FrameHeader header{};

        ~Kept() { end(); }
        void end() { shmx_frame_free(&frame); }
        bool show(shmx_frame* found, InspectFrameView& out) {
            end();
            frame = found;
            auto view = compat::sized<shmx_view>();
            if (shmx_frame_view(frame, &view) != SHMX_STATUS_OK) return false;
            compat::fill(header, view);
            out = {&header, static_cast<const std::uint8_t*>(view.payload), static_cast<std::uint32_t>(view.bytes),
                   view.checksum_state != SHMX_CHECKSUM_STATE_MISMATCH};
            return true;
        }
    };

    shmx_inspector* inspector_ = nullptr;
    std::unique_ptr<Kept[]> slots_;
    // As checked when it was opened; any process can write the header.
    std::uint32_t count_ = 0;
    mutable Kept latest_;
    Map map_;
};

} // namespace shmx
#endif
