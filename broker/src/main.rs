//! The `warren` program: a broker node and the commands around it.

use std::process::ExitCode;

fn main() -> ExitCode {
    warren::cli::main()
}
