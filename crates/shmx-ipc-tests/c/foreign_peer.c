/* A peer in C that shares no code with the rest: what a program written against the C++ headers does, no more. It knows
 * the base format (docs/wire-format.md, sections 1 to 10 without the parts marked X) and none of the extension.
 *
 *   foreign_peer serve NAME         creates the region, publishes about every millisecond, answers control messages
 *   foreign_peer read NAME N COUNT  attaches, reads N different frames, sends COUNT control messages
 *   foreign_peer hold NAME          opens the region and keeps it open
 *   foreign_peer attach NAME        attaches and shows no further sign of life
 *
 * Prints `ready ...` and `result ...` lines of key=value, and ends when its input does. Frames and messages have the
 * bytes that src/frames.rs describes. Builds for Windows and for POSIX systems, 32 and 64 bits wide. */
#include <inttypes.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef _WIN32
#include <windows.h>
#else
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#endif

enum { HEADER = 128, FRAME_HEADER = 64, READER = 64, READER_SLOTS = 4, SLOTS = 4, RING = 1001 };
static const uint64_t MAGIC = UINT64_C(0x48494E415F53484D), SEED = 1;

static _Noreturn void fail(const char *what) {
#ifdef _WIN32
    fprintf(stderr, "foreign_peer: %s (error %lu)\n", what, GetLastError());
#else
    perror(what);
#endif
    exit(1);
}

/* ---------------------------------------------------------------------------------------------- the system's part */

static atomic_bool stop;

#ifdef _WIN32
static wchar_t wide[512];

static const wchar_t *wide_name(const char *name) {
    if (!MultiByteToWideChar(CP_UTF8, 0, name, -1, wide, 512)) fail("convert the name");
    return wide;
}

static uint8_t *create_object(const char *name, uint32_t len) {
    HANDLE h = CreateFileMappingW(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE, 0, len, wide_name(name));
    if (!h) fail("CreateFileMappingW");
    uint8_t *base = MapViewOfFile(h, FILE_MAP_ALL_ACCESS, 0, 0, len);
    if (!base) fail("MapViewOfFile");
    return base; /* the handle stays open with the process */
}

static uint8_t *open_object(const char *name, uint32_t (*len_of)(const uint8_t *)) {
    HANDLE h = OpenFileMappingW(FILE_MAP_ALL_ACCESS, FALSE, wide_name(name));
    if (!h) fail("OpenFileMappingW");
    uint8_t *head = MapViewOfFile(h, FILE_MAP_ALL_ACCESS, 0, 0, HEADER);
    if (!head) fail("MapViewOfFile of the header");
    uint32_t len = len_of(head);
    UnmapViewOfFile(head);
    uint8_t *base = MapViewOfFile(h, FILE_MAP_ALL_ACCESS, 0, 0, len);
    if (!base) fail("MapViewOfFile");
    return base;
}

static uint64_t ticks(void) {
    LARGE_INTEGER f, c;
    QueryPerformanceFrequency(&f);
    QueryPerformanceCounter(&c);
    uint64_t q = (uint64_t)f.QuadPart, n = (uint64_t)c.QuadPart;
    return n / q * 1000000000u + n % q * 1000000000u / q;
}

static void pause_ms(unsigned ms) { Sleep(ms); }

static DWORD WINAPI watch_input(LPVOID unused) {
    (void)unused;
    while (getchar() != EOF) {}
    atomic_store(&stop, true);
    return 0;
}

static void start_watching(void) {
    if (!CreateThread(NULL, 0, watch_input, NULL, 0, NULL)) fail("CreateThread");
}

/* The command line in UTF-8; that of main is in the system's code page. */
static char **utf8_arguments(int *argc) {
    wchar_t **w = CommandLineToArgvW(GetCommandLineW(), argc);
    char **out = calloc((size_t)*argc + 1, sizeof *out);
    if (!w || !out) fail("the command line");
    for (int i = 0; i < *argc; i++) {
        int n = WideCharToMultiByte(CP_UTF8, 0, w[i], -1, NULL, 0, NULL, NULL);
        if (!(out[i] = malloc((size_t)n))) fail("the command line");
        WideCharToMultiByte(CP_UTF8, 0, w[i], -1, out[i], n, NULL, NULL);
    }
    return out;
}
#else
static char path[512];

static const char *posix_name(const char *name) {
    snprintf(path, sizeof path, "%s%s", name[0] == '/' ? "" : "/", name);
    return path;
}

static uint8_t *map(int fd, size_t len) {
    void *base = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (base == MAP_FAILED) fail("mmap");
    return base;
}

static uint8_t *create_object(const char *name, uint32_t len) {
    int fd = shm_open(posix_name(name), O_CREAT | O_RDWR, 0666);
    if (fd < 0) fail("shm_open");
    if (ftruncate(fd, len)) fail("ftruncate");
    return map(fd, len);
}

static uint8_t *open_object(const char *name, uint32_t (*len_of)(const uint8_t *)) {
    int fd = shm_open(posix_name(name), O_RDWR, 0666);
    if (fd < 0) fail("shm_open");
    uint8_t *head = map(fd, HEADER);
    uint32_t len = len_of(head);
    munmap(head, HEADER);
    return map(fd, len);
}

static uint64_t ticks(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void pause_ms(unsigned ms) { nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000L}, NULL); }

static void *watch_input(void *unused) {
    while (getchar() != EOF) {}
    atomic_store(&stop, true);
    return unused;
}

static void start_watching(void) {
    pthread_t t;
    if (pthread_create(&t, NULL, watch_input, NULL)) fail("pthread_create");
}
#endif

/* ---------------------------------------------------------------------------------------- shared words, by offset */

static uint8_t *base;

static _Atomic uint32_t *w32(uint32_t at) { return (_Atomic uint32_t *)(base + at); }
static _Atomic uint64_t *w64(uint32_t at) { return (_Atomic uint64_t *)(base + at); }
static uint32_t get32(uint32_t at) { return atomic_load_explicit(w32(at), memory_order_acquire); }
static uint64_t get64(uint32_t at) { return atomic_load_explicit(w64(at), memory_order_acquire); }
static void put32(uint32_t at, uint32_t v) { atomic_store_explicit(w32(at), v, memory_order_release); }
static void put64(uint32_t at, uint64_t v) { atomic_store_explicit(w64(at), v, memory_order_release); }

/* The header's fields. */
enum {
    H_MAJOR = 8, H_ENDIAN = 16, H_SESSION = 24, H_STATIC_GEN = 32, H_STATIC_HASH = 40, H_STATIC_OFFSET = 48,
    H_STATIC_CAP = 52, H_STATIC_USED = 56, H_SLOTS = 60, H_SLOT_STRIDE = 64, H_SLOTS_OFFSET = 68, H_FRAME_CAP = 72,
    H_READER_SLOTS = 76, H_READER_STRIDE = 80, H_READERS_OFFSET = 84, H_CONTROL_OFFSET = 88, H_RING = 92,
    H_CONTROL_STRIDE = 96, H_FRAME_SEQ = 104, H_WRITE_INDEX = 112, H_CONNECTED = 116, H_RESERVE = 120
};

static uint32_t up(uint32_t n, uint32_t to) { return (n + to - 1) / to * to; }

static uint64_t hash(const uint8_t *p, size_t n) {
    uint64_t h = UINT64_C(1469598103934665603);
    while (n--) h = (h ^ *p++) * UINT64_C(1099511628211);
    return h;
}

static uint32_t checksum(const uint8_t *p, size_t n) {
    uint64_t h = hash(p, n);
    return (uint32_t)(h >> 32) ^ (uint32_t)h;
}

/* ------------------------------------------------------------------------------------- contents, as src/frames.rs */

static uint64_t mix(uint64_t z) {
    z += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

static uint32_t len_of(uint64_t seed, uint64_t number, uint32_t max) {
    return (uint32_t)(mix(seed ^ mix(number)) % ((uint64_t)max + 1));
}

static void fill(uint64_t seed, uint64_t number, uint8_t *out, uint32_t n) {
    uint64_t start = mix((seed << 32 | seed >> 32) ^ number);
    for (uint32_t i = 0; i < n; i++) out[i] = (uint8_t)(mix(start + i / 8) >> (i % 8 * 8));
}

static uint8_t scratch[1 << 16];

static bool matches(uint64_t seed, uint64_t number, const uint8_t *p, uint32_t n) {
    fill(seed, number, scratch, n);
    return memcmp(scratch, p, n) == 0;
}

static void store(uint8_t *p, uint32_t v) { memcpy(p, &v, 4); }
static uint32_t load(const uint8_t *p) { uint32_t v; memcpy(&v, p, 4); return v; }

/* ------------------------------------------------------------------------------------------------------ the server */

static const uint32_t MAX_LEN = 3000;

static uint32_t entry(uint32_t at, uint32_t id, uint32_t type, uint32_t size, const char *name) {
    uint32_t fields[8] = {id, type, 1, 0, size, 0, (uint32_t)strlen(name), 0};
    uint32_t body = sizeof fields + fields[6];
    store(base + at, 0x1000);
    store(base + at + 4, body);
    memcpy(base + at + 8, fields, sizeof fields);
    memcpy(base + at + 8 + sizeof fields, name, fields[6]);
    return at + up(8 + body, 16);
}

static uint32_t stream(uint8_t *payload, uint32_t at, uint32_t id, uint32_t count, uint32_t bytes) {
    uint32_t fields[6] = {0x2000, 16 + bytes, id, count, bytes, 0};
    memcpy(payload + at, fields, sizeof fields);
    return at + (uint32_t)sizeof fields;
}

static void publish(uint64_t number) {
    uint32_t seq = atomic_fetch_add(w32(H_RESERVE), 1) + 1;
    uint32_t slot = get32(H_SLOTS_OFFSET) + (seq - 1) % SLOTS * get32(H_SLOT_STRIDE);
    uint8_t *payload = base + slot + FRAME_HEADER;
    uint64_t head[2] = {number, MAX_LEN};
    uint32_t len = len_of(SEED, number, MAX_LEN);
    memcpy(payload + stream(payload, 0, 1, 2, sizeof head), head, sizeof head);
    uint32_t at = up(24 + sizeof head, 16);
    fill(SEED, number, payload + stream(payload, at, 2, len, len), len);
    uint32_t total = at + up(24 + len, 16);
    double sim_time = (double)number;
    uint64_t session = get64(H_SESSION), id = atomic_fetch_add(w64(H_FRAME_SEQ), 1) + 1;
    memcpy(base + slot, &session, 8);
    memcpy(base + slot + 16, &sim_time, 8);
    store(base + slot + 24, total);
    store(base + slot + 28, 2);
    store(base + slot + 32, checksum(payload, total));
    atomic_thread_fence(memory_order_release);
    put64(slot + 8, id);
    put32(H_WRITE_INDEX, seq);
}

static uint64_t messages, wrong;
static uint32_t expected_type[READER_SLOTS];

/* Takes what waits in the ring of reader slot i. */
static void poll_ring(uint32_t i) {
    uint32_t ring = get32(H_CONTROL_OFFSET) + i * get32(H_CONTROL_STRIDE), usable = RING - 16;
    uint64_t r = get64(ring), w = get64(ring + 8);
    while (r != w) {
        uint32_t at = (uint32_t)(r % usable), left = usable - at;
        uint8_t *p = base + ring + 16 + at;
        if (left < 8) { r += left; continue; }
        uint32_t type = load(p), len = load(p + 4), step = up(8 + len, 16);
        if (type == 0) { r += step > left ? left : step; continue; }
        if (step > left || step > w - r) { wrong++; r = w; break; }
        uint32_t number = expected_type[i]++, longest = usable / 16 * 16 - 8;
        bool good = type == 0x3000 + number && len == len_of(SEED ^ 0x55, number, longest)
            && matches(SEED, number, p + 8, len);
        messages++;
        wrong += !good;
        r += step;
    }
    put64(ring, r);
}

static int serve(const char *name) {
    uint32_t reader_at = HEADER + up(4096, 64), control_at = reader_at + READER_SLOTS * READER;
    uint32_t slots_at = control_at + READER_SLOTS * up(RING, 64), cap = 4096;
    uint32_t len = slots_at + SLOTS * (FRAME_HEADER + cap);
    base = create_object(name, len);
    memset(base, 0, len);
    put64(H_SESSION, ticks() | 1);
    const uint32_t fields[][2] = {
        {H_MAJOR, 2}, {H_ENDIAN, 0x01020304}, {H_STATIC_OFFSET, HEADER}, {H_STATIC_CAP, 4096}, {H_SLOTS, SLOTS},
        {H_SLOT_STRIDE, FRAME_HEADER + cap}, {H_SLOTS_OFFSET, slots_at}, {H_FRAME_CAP, cap},
        {H_READER_SLOTS, READER_SLOTS}, {H_READER_STRIDE, READER}, {H_READERS_OFFSET, reader_at},
        {H_CONTROL_OFFSET, control_at}, {H_RING, RING}, {H_CONTROL_STRIDE, up(RING, 64)},
    };
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) put32(fields[i][0], fields[i][1]);
    uint32_t end = entry(entry(HEADER, 1, 9, 8, "number"), 2, 3, 1, "data");
    put32(H_STATIC_USED, end - HEADER);
    put64(H_STATIC_HASH, hash(base + HEADER, end - HEADER));
    put32(H_STATIC_GEN, 1);
    put64(0, MAGIC);
    printf("ready session=%" PRIu64 " ticks=%" PRIu64 "\n", get64(H_SESSION), ticks());
    fflush(stdout);
    uint64_t number = 0;
    while (!atomic_load(&stop)) {
        publish(number++);
        for (uint32_t i = 0; i < READER_SLOTS; i++) poll_ring(i);
        pause_ms(1);
    }
    for (uint32_t i = 0; i < READER_SLOTS; i++) poll_ring(i);
    printf("result published=%" PRIu64 " messages=%" PRIu64 " wrong=%" PRIu64 " connected=%" PRIu32 "\n", number,
        messages, wrong, get32(H_CONNECTED));
    return 0;
}

/* ------------------------------------------------------------------------------------------------------ the reader */

static uint32_t whole_len(const uint8_t *head) {
    uint64_t magic;
    memcpy(&magic, head, 8);
    if (magic != MAGIC || load(head + H_MAJOR) != 2 || load(head + H_MAJOR + 4) != 0
        || load(head + H_ENDIAN) != 0x01020304) {
        fprintf(stderr, "foreign_peer: not a region\n");
        exit(1);
    }
    return load(head + H_SLOTS_OFFSET) + load(head + H_SLOTS) * load(head + H_SLOT_STRIDE);
}

static uint32_t attach(uint32_t *slot) {
    for (uint32_t i = 0; i < get32(H_READER_SLOTS); i++) {
        uint32_t at = get32(H_READERS_OFFSET) + i * get32(H_READER_STRIDE), is_free = 0;
        if (!atomic_compare_exchange_strong(w32(at + 24), &is_free, 1)) continue;
        put64(at, ticks() ^ (uint64_t)(uintptr_t)&slot);
        put64(at + 8, ticks());
        atomic_fetch_add(w32(H_CONNECTED), 1);
        *slot = at;
        return i;
    }
    fprintf(stderr, "foreign_peer: no free reader slot\n");
    exit(1);
}

static void detach(uint32_t slot) {
    put64(slot, 0);
    put64(slot + 8, 0);
    put64(slot + 16, 0);
    put32(slot + 24, 0);
    atomic_fetch_sub(w32(H_CONNECTED), 1);
}

/* Sends one message; false while the ring is full. */
static bool send_message(uint32_t ring, uint32_t cap, uint32_t type, const uint8_t *body, uint32_t len) {
    uint32_t usable = cap - 16, need = up(8 + len, 16);
    uint64_t r = get64(ring), w = get64(ring + 8);
    if (w + need - r > usable) return false;
    uint32_t left = usable - (uint32_t)(w % usable);
    if (need > left) {
        if (w + left - r > usable) return false;
        if (left >= 8) {
            store(base + ring + 16 + w % usable, 0);
            store(base + ring + 16 + w % usable + 4, left - 8);
        }
        w += left;
        if (left >= 8) put64(ring + 8, w);
        if (w + need - r > usable) return false;
    }
    uint8_t *p = base + ring + 16 + w % usable;
    store(p, type);
    store(p + 4, len);
    memcpy(p + 8, body, len);
    put64(ring + 8, w + need);
    return true;
}

static uint8_t copy[1 << 16];

/* The newest frame, checked byte for byte on a private copy: 1 good, 0 none or overtaken, -1 wrong. */
static int read_newest(uint64_t *id) {
    uint32_t newest = get32(H_WRITE_INDEX);
    if (newest == 0) return 0;
    uint32_t slot = get32(H_SLOTS_OFFSET) + (newest - 1) % get32(H_SLOTS) * get32(H_SLOT_STRIDE);
    uint32_t len = get32(slot + 24), sum = get32(slot + 32);
    *id = get64(slot + 8);
    uint64_t session = get64(slot), sim_time = get64(slot + 16);
    if (len == 0 || len > get32(H_FRAME_CAP) || len > sizeof copy || session != get64(H_SESSION)) return 0;
    memcpy(copy, base + slot + FRAME_HEADER, len);
    if (checksum(copy, len) != sum || get64(slot + 8) != *id || get64(slot + 16) != sim_time) return 0;
    uint64_t head[2];
    double time;
    memcpy(head, copy + 24, sizeof head);
    memcpy(&time, &sim_time, 8);
    uint32_t data = len_of(SEED, head[0], (uint32_t)head[1]);
    bool good = load(copy) == 0x2000 && load(copy + 8) == 1 && load(copy + 12) == 2 && load(copy + 48) == 0x2000
        && load(copy + 56) == 2 && load(copy + 64) == data && time == (double)head[0]
        && matches(SEED, head[0], copy + 72, data);
    return good ? 1 : -1;
}

static int read_frames(const char *name, uint64_t want, uint32_t count) {
    base = open_object(name, whole_len);
    uint32_t slot, index = attach(&slot);
    uint32_t used = get32(H_STATIC_USED);
    bool directory = hash(base + get32(H_STATIC_OFFSET), used) == get64(H_STATIC_HASH);
    printf("ready index=%" PRIu32 " directory=%d ticks=%" PRIu64 "\n", index, directory, ticks());
    fflush(stdout);
    uint32_t cap = get32(H_RING), ring = get32(H_CONTROL_OFFSET) + index * get32(H_CONTROL_STRIDE), sent = 0;
    uint32_t longest = (cap - 16) / 16 * 16 - 8;
    static uint8_t body[1 << 16];
    uint64_t seen = 0, bad = 0, last = 0, patience = UINT64_C(50000000000), end = ticks() + patience;
    while ((seen < want || sent < count) && ticks() < end && !atomic_load(&stop)) {
        uint64_t id = 0;
        int found = read_newest(&id);
        if (found < 0) bad++;
        if (found > 0 && id != last) {
            bad += id < last;
            last = id;
            seen++;
            if (seen <= want) end = ticks() + patience;
            put64(slot + 16, id);
            put64(slot + 8, ticks());
        }
        if (sent < count) {
            uint32_t len = len_of(SEED ^ 0x55, sent, longest);
            fill(SEED, sent, body, len);
            if (send_message(ring, cap, 0x3000 + sent, body, len)) {
                sent++;
                end = ticks() + patience;
            }
        }
        if (found <= 0 || seen >= want) pause_ms(1);
    }
    printf("result seen=%" PRIu64 " wrong=%" PRIu64 " sent=%" PRIu32 "\n", seen, bad, sent);
    fflush(stdout);
    while (!atomic_load(&stop)) pause_ms(1);
    detach(slot);
    return 0;
}

int main(int argc, char **argv) {
#ifdef _WIN32
    argv = utf8_arguments(&argc);
#endif
    start_watching();
    if (argc == 3 && !strcmp(argv[1], "serve")) return serve(argv[2]);
    if (argc == 5 && !strcmp(argv[1], "read")) {
        return read_frames(argv[2], strtoull(argv[3], NULL, 10), (uint32_t)strtoul(argv[4], NULL, 10));
    }
    if (argc == 3 && (!strcmp(argv[1], "hold") || !strcmp(argv[1], "attach"))) {
        uint32_t slot, index = 0;
        base = open_object(argv[2], whole_len);
        if (argv[1][0] == 'a') index = attach(&slot);
        printf("ready index=%" PRIu32 " bits=%u\n", index, (unsigned)sizeof(void *) * 8);
        fflush(stdout);
        while (!atomic_load(&stop)) pause_ms(1);
        return 0;
    }
    fprintf(stderr, "usage: foreign_peer serve|hold|attach NAME, or read NAME FRAMES MESSAGES\n");
    return 2;
}
