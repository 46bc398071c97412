//! The platforms: how programs for them are built on a Debian, and what runs them.

/// What has to be known of a platform.
pub(crate) struct Platform {
    pub(super) command: &'static str,
    pub(super) triple: &'static str,
    /// Debian packages, and the programs that are there once they are installed.
    pub(super) packages: &'static [&'static str],
    pub(super) programs: &'static [&'static str],
    pub(super) linker: &'static str,
    /// Words before a program's path; empty where this machine runs it.
    pub(super) runner: &'static str,
    pub(super) rustflags: &'static str,
    /// For the peer in C.
    pub(super) cflags: &'static [&'static str],
    pub(super) exe: &'static str,
    /// Whether its programs and this machine's see each other's memory.
    pub(super) mixes: bool,
    /// This machine is one.
    pub(super) here: bool,
}

impl Platform {
    /// Whether another processor is imitated.
    pub(super) fn is_emulated(&self) -> bool {
        !self.runner.is_empty() && !self.is_wine()
    }

    pub(super) fn is_wine(&self) -> bool {
        self.runner == WINE
    }
}

pub(crate) const WINDOWS: Platform = Platform {
    command: "test-windows",
    triple: "x86_64-pc-windows-gnu",
    packages: &["wine64", "gcc-mingw-w64-x86-64-win32"],
    programs: &[WINE, "/usr/bin/x86_64-w64-mingw32-gcc"],
    linker: "x86_64-w64-mingw32-gcc",
    runner: WINE,
    rustflags: "",
    cflags: &[],
    exe: ".exe",
    mixes: false,
    here: cfg!(windows),
};

pub(crate) const ARM: Platform = Platform {
    command: "test-arm",
    triple: "aarch64-unknown-linux-gnu",
    packages: &["gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross", "qemu-user"],
    programs: &["/usr/bin/aarch64-linux-gnu-gcc", "/usr/aarch64-linux-gnu/lib/libc.so.6", "/usr/bin/qemu-aarch64"],
    linker: "aarch64-linux-gnu-gcc",
    runner: "/usr/bin/qemu-aarch64 -L /usr/aarch64-linux-gnu",
    rustflags: "",
    cflags: &["-pthread"],
    exe: "",
    mixes: true,
    here: cfg!(all(target_os = "linux", target_arch = "aarch64")),
};

pub(crate) const X86: Platform = Platform {
    command: "test-32bit",
    triple: "i686-unknown-linux-gnu",
    packages: &["gcc-i686-linux-gnu", "libc6-dev-i386-cross"],
    programs: &["/usr/bin/i686-linux-gnu-gcc", "/usr/i686-linux-gnu/lib/ld-linux.so.2"],
    linker: "i686-linux-gnu-gcc",
    runner: "",
    // This machine's own places for 32-bit libraries may be empty.
    rustflags: "-Clink-arg=-Wl,--dynamic-linker=/usr/i686-linux-gnu/lib/ld-linux.so.2 \
                -Clink-arg=-Wl,-rpath,/usr/i686-linux-gnu/lib",
    cflags: &[
        "-pthread",
        "-march=i686",
        "-msse2",
        "-Wl,--dynamic-linker=/usr/i686-linux-gnu/lib/ld-linux.so.2",
        "-Wl,-rpath,/usr/i686-linux-gnu/lib",
    ],
    exe: "",
    mixes: true,
    here: cfg!(all(target_os = "linux", target_arch = "x86")),
};

pub(super) const WINE: &str = "/usr/lib/wine/wine64";
