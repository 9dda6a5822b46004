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
    u64::try_from(file.as_raw_fd()).is_ok_and(|descriptor| is_reserved(descriptor, limit))
}

#[cfg(unix)]
fn is_reserved(descriptor: u64, limit: u64) -> bool {
    descriptor >= limit.saturating_sub(RESERVED.min(limit / 4))
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

    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    use super::{is_among_the_last, is_reserved, limit, raise_limit};

    #[test]
    fn raises_the_limit_as_far_as_allowed() {
        let maximum = getrlimit(Resource::Nofile).maximum;
        // As many systems set it. It may be raised already.
        let usual = maximum.map_or(1_024, |maximum| maximum.min(1_024));
        setrlimit(Resource::Nofile, Rlimit { current: Some(usual), maximum }).unwrap();
        assert_eq!(limit(), Some(usual));
        raise_limit();
        assert_eq!(limit(), maximum);
        assert!(!is_among_the_last(&File::open("/dev/null").unwrap()));
    }

    #[test]
    fn the_last_descriptors_are_reserved_and_no_more_than_a_quarter() {
        for (limit, first) in [(1_024, 896), (128, 96), (100_000, 99_872)] {
            assert!(is_reserved(first, limit) && is_reserved(limit - 1, limit), "{limit}");
            assert!(!is_reserved(first - 1, limit), "{limit}");
        }
    }
}
