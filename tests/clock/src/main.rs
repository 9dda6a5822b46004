//! Serves the clock natively.

fn main() -> std::process::ExitCode {
    clock::main()
}
