//! The one way a component's tables come to be and change.

use super::{Sql, SqlError, values};

/// Why a component's tables could not be brought up to date.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SchemaError {
    /// The data was written by a later release.
    #[error(
        "the {component} data has schema version {found}, and this program knows versions up to {known}: \
         run the newer release that wrote it, or start with another data folder"
    )]
    Newer {
        /// Whose tables.
        component: &'static str,
        /// The version in the database.
        found: u32,
        /// The latest version this program knows.
        known: u32,
    },
    /// A step failed; the database stays at the version before it.
    #[error("the {component} data could not be brought to schema version {version}: {error}")]
    Step {
        /// Whose tables.
        component: &'static str,
        /// The version that the step leads to.
        version: u32,
        /// What the database said.
        error: SqlError,
    },
    /// The version could not be read.
    #[error("the schema version could not be read: {0}")]
    Sql(#[from] SqlError),
}

/// Brings a component's tables to the version that this program knows, one transaction a step.
///
/// Step *n* (counted from 1) leads to version *n*; steps that have been released never change.
///
/// # Errors
/// When the data is newer than the program, or a step fails.
pub fn migrate<S: Sql>(sql: &S, component: &'static str, steps: &[&str]) -> Result<(), SchemaError> {
    sql.batch(
        "CREATE TABLE IF NOT EXISTS schema_version (
            component TEXT PRIMARY KEY,
            version INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID",
    )?;
    let found = sql
        .first::<(u32,)>("SELECT version FROM schema_version WHERE component = ?", values![component])?
        .map_or(0, |(version,)| version);
    let known = u32::try_from(steps.len()).unwrap_or(u32::MAX);
    if found > known {
        return Err(SchemaError::Newer { component, found, known });
    }
    for (version, step) in (1_u32..).zip(steps).skip_while(|(version, _)| *version <= found) {
        sql.transaction(|| {
            sql.batch(step)?;
            sql.execute(
                "INSERT INTO schema_version (component, version) VALUES (?, ?)
                 ON CONFLICT (component) DO UPDATE SET version = excluded.version",
                values![component, version],
            )
        })
        .map_err(|error| SchemaError::Step { component, version, error })?;
    }
    Ok(())
}
