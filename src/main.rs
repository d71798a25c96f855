//! The `bench` program: everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    bench::cli::main()
}
