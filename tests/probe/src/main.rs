//! Serves the probe natively.

fn main() -> std::process::ExitCode {
    probe::main()
}
