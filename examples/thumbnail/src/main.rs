//! Serves the agent natively. On Cloudflare the library is the program.

fn main() -> std::process::ExitCode {
    thumbnail::main()
}
