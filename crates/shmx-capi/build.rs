//! Gives the shared library its versioned name.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // cargo-c sets its own.
    let by_cargo_c = std::env::var_os("CARGO_FEATURE_CAPI").is_some();
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux") && !by_cargo_c {
        println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libshmx.so.0");
    }
}
