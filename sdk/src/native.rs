//! The native host: one process with a relay and the agent.
