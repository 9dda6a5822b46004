//! Serves the relay natively. On Cloudflare the library is the program.

fn main() -> std::process::ExitCode {
    relay::main()
}
