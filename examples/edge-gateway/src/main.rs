//! Serves relay, agent and gateway natively. On Cloudflare the library is the program.

fn main() -> std::process::ExitCode {
    edge_gateway::main()
}
