//! The limit of open files (file descriptors) of this process: each connection takes one.

/// How many files this process may have open; `None` where there is no limit or none is known.
#[must_use]
pub fn limit() -> Option<u64> {
    #[cfg(unix)]
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    #[cfg(not(unix))]
    let limit = None;
    limit
}

/// Raises the limit as far as the system allows without privileges: often it is only 1,024.
pub fn raise_limit() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let limit = getrlimit(Resource::Nofile);
        let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
        // macOS refuses "unlimited"; then the limit stays as it is.
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            tracing::warn!(%error, ?limit, "the limit of open files could not be raised");
        }
    }
}

/// Whether `file` has one of the last descriptors: the system always assigns the lowest free number.
#[cfg(unix)]
#[must_use]
pub fn is_among_the_last(file: &impl std::os::fd::AsRawFd) -> bool {
    let Some(limit) = limit() else { return false };
    let reserved = RESERVED.min(limit / 4);
    u64::try_from(file.as_raw_fd()).is_ok_and(|descriptor| descriptor >= limit.saturating_sub(reserved))
}

/// Whether `file` has one of the last descriptors. Not known on this system.
#[cfg(not(unix))]
#[must_use]
pub fn is_among_the_last<T>(_file: &T) -> bool {
    false
}

/// How many descriptors are kept for databases and outgoing connections.
#[cfg(unix)]
const RESERVED: u64 = 128;

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::{is_among_the_last, limit, raise_limit};

    #[test]
    fn raises_the_limit_as_far_as_allowed() {
        raise_limit();
        assert_eq!(limit(), rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum);
        assert!(!is_among_the_last(&File::open("/dev/null").unwrap()));
    }
}
