//! The `shmx` command.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    shmx_cli::main()
}
