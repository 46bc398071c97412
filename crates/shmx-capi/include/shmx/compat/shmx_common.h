// SPDX-License-Identifier: MIT
//
// The names of the original SHMX headers over libshmx: constants and structs of the format, and `Map`. Programs written
// against the original compile against these instead, by another include path; docs/cpp.md lists what is different.
// Include either these or the originals in one program.
#ifndef SHMX_COMMON_H
#define SHMX_COMMON_H

#if defined(_WIN32)
#error "shmx/compat is for POSIX systems; use shmx.hpp"
#endif

#include "../../shmx.h"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <fcntl.h>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

namespace shmx {

// First word of a region, version, byte order, alignments: docs/wire-format.md, section 2.
inline constexpr std::uint64_t MAGIC = 0x48494E415F53484Dull;
inline constexpr std::uint32_t VER_MAJOR = 2, VER_MINOR = 0;
inline constexpr std::uint32_t ENDIAN_TAG = 0x01020304u;
inline constexpr std::uint32_t ALIGN_STATIC = 64, ALIGN_SLOT = 64, ALIGN_TLV = 16;

// Types of records.
inline constexpr std::uint32_t TLV_STATIC_DIR = 0x1000, TLV_FRAME_STREAM = 0x2000;
inline constexpr std::uint32_t TLV_CONTROL_USER = SHMX_CONTROL_USER;

// Types of components.
inline constexpr std::uint32_t DT_BOOL = SHMX_ELEMENT_BOOL, DT_I8 = SHMX_ELEMENT_I8, DT_U8 = SHMX_ELEMENT_U8;
inline constexpr std::uint32_t DT_I16 = SHMX_ELEMENT_I16, DT_U16 = SHMX_ELEMENT_U16;
inline constexpr std::uint32_t DT_I32 = SHMX_ELEMENT_I32, DT_U32 = SHMX_ELEMENT_U32;
inline constexpr std::uint32_t DT_I64 = SHMX_ELEMENT_I64, DT_U64 = SHMX_ELEMENT_U64;
inline constexpr std::uint32_t DT_F16 = SHMX_ELEMENT_F16, DT_BF16 = SHMX_ELEMENT_BF16;
inline constexpr std::uint32_t DT_F32 = SHMX_ELEMENT_F32, DT_F64 = SHMX_ELEMENT_F64;
inline constexpr std::uint32_t LAYOUT_SOA_SCALAR = 0, LAYOUT_AOS_VECTOR = 1;

// The next multiple of a power of two.
constexpr std::uint32_t align_up(std::uint32_t value, std::uint32_t to) noexcept {
    return (value + to - 1u) & ~(to - 1u);
}

// The format's hash, byte by byte as it is defined.
inline std::uint64_t fnv1a64(const void* data, std::size_t count) noexcept {
    const auto* byte = static_cast<const unsigned char*>(data);
    std::uint64_t hash = 1469598103934665603u;
    for (const auto* end = byte + count; byte != end; ++byte) hash = (hash ^ *byte) * 1099511628211u;
    return hash;
}

// Its 32-bit form, which frames carry.
inline std::uint32_t checksum32(const void* data, std::size_t count) noexcept {
    const std::uint64_t hash = fnv1a64(data, count);
    return static_cast<std::uint32_t>(hash) ^ static_cast<std::uint32_t>(hash >> 32);
}

// Record headers, as they lie in a region.
struct TLV {
    std::uint32_t type, length;
};
struct StaticStreamDesc {
    std::uint32_t stream_id, element_type, components, layout, bytes_per_elem, reserved, name_len, extra_len;
};
struct FrameStreamTLV {
    std::uint32_t stream_id, elem_count, bytes_payload, reserved;
};

// The first 128 bytes of a region, live.
struct alignas(64) GlobalHeader {
    std::uint64_t magic;
    std::uint32_t ver_major, ver_minor, endianness;
    std::uint64_t session_id;
    std::atomic<std::uint32_t> static_gen;
    std::uint64_t static_hash;
    std::uint32_t static_offset, static_bytes_cap, static_bytes_used;
    std::uint32_t slots, slot_stride, slots_offset, frame_bytes_cap;
    std::uint32_t reader_slots, reader_slot_stride, readers_offset;
    std::uint32_t control_offset, control_per_reader, control_stride;
    std::atomic<std::uint64_t> frame_seq;
    std::atomic<std::uint32_t> write_index, readers_connected, reserve_index;
};
// What stands before a frame. Here a copy, of which the library hands out the address.
struct alignas(64) FrameHeader {
    std::uint64_t session_id_copy;
    std::atomic<std::uint64_t> frame_id;
    double sim_time;
    std::uint32_t payload_bytes, tlv_count, checksum;
    std::uint64_t reserved[2];
};
struct alignas(64) ReaderSlot {
    std::atomic<std::uint64_t> reader_id, heartbeat, last_frame_seen;
    std::atomic<std::uint32_t> in_use;
    std::uint32_t pad;
    std::uint64_t reserved[4];
};
static_assert(sizeof(TLV) == 8 && sizeof(StaticStreamDesc) == 32 && sizeof(FrameStreamTLV) == 16);
static_assert(sizeof(GlobalHeader) == 128 && sizeof(FrameHeader) == 64 && sizeof(ReaderSlot) == 64);

// A mapping of a shared-memory object by name.
class Map {
public:
    Map() = default;
    ~Map() { close(); }
    Map(const Map&) = delete;
    Map& operator=(const Map&) = delete;

    [[nodiscard]] bool create(std::string_view name, std::size_t bytes) noexcept {
        return take(name, O_CREAT | O_RDWR) && grow(bytes) && map(bytes);
    }
    [[nodiscard]] bool open(std::string_view name, std::size_t bytes) noexcept {
        return take(name, O_RDWR) && map(bytes);
    }
    // Not in the original: for who only looks.
    [[nodiscard]] bool open_read_only(std::string_view name, std::size_t bytes) noexcept {
        return take(name, O_RDONLY) && map(bytes);
    }
    [[nodiscard]] bool remap(std::size_t bytes) noexcept { return fd_ >= 0 && map(bytes); }
    void close() noexcept {
        unmap();
        if (fd_ >= 0) ::close(std::exchange(fd_, -1));
    }
    [[nodiscard]] std::uint8_t* data() const noexcept { return base_; }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }

private:
    bool take(std::string_view name, int flags) noexcept {
        close();
        std::string path;
        if (name.empty() || name.front() != '/') path += '/';
        path += name;
        protection_ = flags == O_RDONLY ? PROT_READ : PROT_READ | PROT_WRITE;
        fd_ = ::shm_open(path.c_str(), flags, 0666);
        return fd_ >= 0;
    }
    bool grow(std::size_t bytes) noexcept {
        if (::ftruncate(fd_, static_cast<off_t>(bytes)) == 0) return true;
        close();
        return false;
    }
    // Never more than the object has: touching what is past its end would be a signal.
    bool map(std::size_t bytes) noexcept {
        unmap();
        struct stat found{};
        void* at = MAP_FAILED;
        if (bytes > 0 && ::fstat(fd_, &found) == 0 && static_cast<std::uint64_t>(found.st_size) >= bytes) {
            at = ::mmap(nullptr, bytes, protection_, MAP_SHARED, fd_, 0);
        }
        if (at == MAP_FAILED) {
            close();
            return false;
        }
        base_ = static_cast<std::uint8_t*>(at);
        size_ = bytes;
        return true;
    }
    void unmap() noexcept {
        if (base_) ::munmap(std::exchange(base_, nullptr), size_);
        size_ = 0;
    }

    std::uint8_t* base_ = nullptr;
    std::size_t size_ = 0;
    int fd_ = -1;
    int protection_ = PROT_READ | PROT_WRITE;
};

// What the classes share. Not in the original.
namespace compat {

template <class T>
[[nodiscard]] T sized() noexcept {
    T value{};
    value.size = sizeof(T);
    return value;
}

inline void fill(FrameHeader& to, const shmx_view& view) noexcept {
    to.session_id_copy = view.session_id;
    to.frame_id.store(view.frame_id, std::memory_order_relaxed);
    to.sim_time = view.sim_time;
    to.payload_bytes = static_cast<std::uint32_t>(view.bytes);
    to.tlv_count = view.tlv_count;
    to.checksum = view.checksum;
}

// The header of the region of this session, mapped beside the library's own mapping.
[[nodiscard]] inline GlobalHeader* header_of(Map& map, const std::string& name, const shmx_region& region,
                                             bool write) noexcept {
    const bool mapped = write ? map.open(name, region.total_bytes) : map.open_read_only(name, region.total_bytes);
    auto* header = reinterpret_cast<GlobalHeader*>(map.data());
    // The name may lead to another region by now.
    if (mapped && header->session_id == region.session_id) return header;
    map.close();
    return nullptr;
}

// Walks over the streams of a payload: `each(id, data, bytes, elements)`.
template <class Each>
void streams(const std::uint8_t* payload, std::uint32_t bytes, Each each) {
    std::size_t at = 0;
    while (payload && at + sizeof(TLV) <= bytes) {
        TLV record{};
        std::memcpy(&record, payload + at, sizeof record);
        const std::size_t left = bytes - at - sizeof record;
        if (record.length > left) return;
        if (record.type == TLV_FRAME_STREAM) {
            FrameStreamTLV stream{};
            if (record.length < sizeof stream) return;
            std::memcpy(&stream, payload + at + sizeof record, sizeof stream);
            if (stream.bytes_payload > left - sizeof stream) return;
            each(stream.stream_id, payload + at + sizeof record + sizeof stream, stream.bytes_payload,
                 stream.elem_count);
        }
        at += (sizeof record + std::size_t{record.length} + 15u) & ~std::size_t{15u};
    }
}

// Each stream of a directory, which is freed.
template <class Each>
void directory(shmx_directory* directory, Each each) {
    const std::size_t count = shmx_directory_count(directory);
    for (std::size_t i = 0; i < count; ++i) {
        auto info = sized<shmx_stream_info>();
        if (shmx_directory_at(directory, i, &info) != SHMX_STATUS_OK) break;
        const auto* extra = static_cast<const std::uint8_t*>(info.extra);
        each(info, std::string(static_cast<const char*>(info.name), info.name_bytes),
             std::vector<std::uint8_t>(extra, extra + info.extra_bytes));
    }
    shmx_directory_free(&directory);
}

// All reader slots.
template <class H, class Call>
[[nodiscard]] std::vector<shmx_reader> readers(H* handle, Call call) {
    std::size_t count = 0;
    std::vector<shmx_reader> all;
    if (call(handle, nullptr, sizeof(shmx_reader), 0, &count) != SHMX_STATUS_OK) return all;
    all.resize(count);
    if (call(handle, all.data(), sizeof(shmx_reader), all.size(), &count) != SHMX_STATUS_OK) all.clear();
    return all;
}

} // namespace compat
} // namespace shmx
#endif // SHMX_COMMON_H
