//! Schema migrations: numbered steps, recorded in the database with a fingerprint of their texts and the release that
//! ran them.

use sha2::{Digest, Sha256};

use super::{Sql, SqlError, values};

/// The release of this program. All crates of the workspace are released together.
const RELEASE: &str = env!("CARGO_PKG_VERSION");

/// Why a component's tables could not be migrated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SchemaError {
    /// The data was written by a later release.
    #[error(
        "the {component} data has schema version {found}, and this program, of OpenAgents {RELEASE}, knows versions up \
         to {known}: run {}, or start with another data folder",
        needed(release.as_deref())
    )]
    Newer {
        /// The component that the tables belong to.
        component: &'static str,
        /// The version in the database.
        found: u32,
        /// The latest version that this program knows.
        known: u32,
        /// The release that migrated the data to that version and can open it, or `None` if it is not recorded.
        release: Option<String>,
    },
    /// The tables were created by other steps than those of this program.
    #[error(
        "the {component} data has other tables than this program works with: run the release that wrote it, \
         or start with another data folder; `relay export` of that release and `relay import` of this one carry \
         over a relay's events"
    )]
    Different {
        /// The component that the tables belong to.
        component: &'static str,
    },
    /// A step failed; the database stays at the version before it.
    #[error("the {component} data could not be migrated to schema version {version}: {error}")]
    Step {
        /// The component that the tables belong to.
        component: &'static str,
        /// The version that the step leads to.
        version: u32,
        /// The database's error.
        error: SqlError,
    },
    /// The version could not be read.
    #[error("the schema version could not be read: {0}")]
    Sql(#[from] SqlError),
}

impl SchemaError {
    /// What strangers may be told: which release is needed, but no error text of the database.
    #[must_use]
    pub fn public_message(&self) -> String {
        match self {
            Self::Newer { .. } | Self::Different { .. } => self.to_string(),
            Self::Step { .. } | Self::Sql(_) => "the database failed; the log has the reason".to_owned(),
        }
    }
}

/// Which program can open the data.
fn needed(release: Option<&str>) -> String {
    match release {
        // A build between two releases has the version of the earlier one.
        Some(RELEASE) => format!("a later build of OpenAgents {RELEASE}"),
        Some(release) => format!("OpenAgents {release} or later"),
        None => "the newer release that wrote it".to_owned(),
    }
}

/// Migrates a component's tables to the version of this program, with one transaction per step.
///
/// Step *n* (starting at 1) leads to version *n*; released steps never change. Tables created by other steps are not
/// touched, because statements that meet unexpected columns fail or do damage.
///
/// # Errors
/// When the data is newer than the program, was created by other steps, or a step fails.
pub fn migrate<S: Sql>(sql: &S, component: &'static str, steps: &[&str]) -> Result<(), SchemaError> {
    sql.batch(
        "CREATE TABLE IF NOT EXISTS schema_version (
            component TEXT PRIMARY KEY,
            version INTEGER NOT NULL,
            fingerprint BLOB NOT NULL
        ) STRICT, WITHOUT ROWID",
    )?;
    let applied = sql.first::<(u32, Vec<u8>)>(
        "SELECT version, fingerprint FROM schema_version WHERE component = ?",
        values![component],
    );
    let applied = match applied {
        Err(_) if !has_fingerprints(sql)? => return Err(SchemaError::Different { component }),
        applied => applied?,
    };
    let found = applied.as_ref().map_or(0, |(version, _)| *version);
    let known = u32::try_from(steps.len()).unwrap_or(u32::MAX);
    if found > known {
        return Err(SchemaError::Newer { component, found, known, release: applied_by(sql, component)? });
    }
    let mut fingerprint = Fingerprint::default();
    let mut numbered = (1_u32..).zip(steps).peekable();
    while let Some((_, step)) = numbered.next_if(|(version, _)| *version <= found) {
        fingerprint.add(step);
    }
    if applied.is_some_and(|(_, applied)| applied != fingerprint.bytes()) {
        return Err(SchemaError::Different { component });
    }
    for (version, step) in numbered {
        fingerprint.add(step);
        sql.transaction(|| {
            sql.batch(step)?;
            sql.execute(
                "INSERT INTO schema_version (component, version, fingerprint) VALUES (?, ?, ?)
                 ON CONFLICT (component) DO UPDATE SET version = excluded.version, fingerprint = excluded.fingerprint",
                values![component, version, fingerprint.bytes().as_slice()],
            )?;
            record_release(sql, component)
        })
        .map_err(|error| SchemaError::Step { component, version, error })?;
    }
    Ok(())
}

/// Records that this release ran the last step, so that earlier releases can name it.
///
/// This is a separate table because existing databases have a `schema_version` without such a column. They get the table
/// with their next step.
fn record_release<S: Sql>(sql: &S, component: &'static str) -> Result<(), SqlError> {
    sql.batch(
        "CREATE TABLE IF NOT EXISTS schema_release (
            component TEXT PRIMARY KEY,
            release TEXT NOT NULL
        ) STRICT, WITHOUT ROWID",
    )?;
    sql.execute(
        "INSERT INTO schema_release (component, release) VALUES (?, ?)
         ON CONFLICT (component) DO UPDATE SET release = excluded.release",
        values![component, RELEASE],
    )
}

/// The release that ran the last step, if it is recorded.
fn applied_by<S: Sql>(sql: &S, component: &'static str) -> Result<Option<String>, SqlError> {
    let table = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'schema_release'";
    if sql.first::<(u32,)>(table, &[])?.is_none() {
        return Ok(None);
    }
    let release = "SELECT release FROM schema_release WHERE component = ?";
    Ok(sql.first::<(String,)>(release, values![component])?.map(|(release,)| release))
}

/// Whether the database records fingerprints of the steps, and not only their number.
fn has_fingerprints<S: Sql>(sql: &S) -> Result<bool, SqlError> {
    let table = "SELECT 1 FROM sqlite_master WHERE name = 'schema_version' AND instr(sql, 'fingerprint') > 0";
    Ok(sql.first::<(u32,)>(table, &[])?.is_some())
}

/// The fingerprint of a list of steps: the SHA-256 of their texts, ignoring differences in white space.
#[derive(Default)]
struct Fingerprint(Sha256);

impl Fingerprint {
    fn add(&mut self, step: &str) {
        for word in step.split_ascii_whitespace() {
            self.0.update(word);
            self.0.update(" ");
        }
        self.0.update(";");
    }

    fn bytes(&self) -> [u8; 32] {
        self.0.clone().finalize().into()
    }
}
