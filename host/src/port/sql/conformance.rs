//! The conformance tests of the SQL port, which each host runs on its own database.

use std::ops::ControlFlow;

use super::{MAX_INTEGER, SchemaError, Sql, SqlError, migrate, values};

/// The result of a case: a message if it fails.
pub type CaseResult = Result<(), String>;

/// A case: its name, and a function that runs on an empty database.
pub type Case<S> = (&'static str, fn(&S) -> CaseResult);

macro_rules! cases {
    ($($(#[$doc:meta])* fn $name:ident($sql:ident) $body:block)*) => {
        $($(#[$doc])* fn $name<S: Sql>($sql: &S) -> CaseResult $body)*

        /// All cases, each for an empty database.
        #[must_use]
        pub fn cases<S: Sql>() -> Vec<Case<S>> {
            vec![$((stringify!($name), $name::<S>)),*]
        }

        /// Creates a `#[test]` for every case. `$open` returns a guard and an empty database.
        #[cfg(test)]
        macro_rules! stamp {
            ($open:expr) => {
                $(#[test]
                fn $name() {
                    let run = $crate::port::sql::conformance::cases().into_iter().find(|(name, _)| *name == stringify!($name));
                    let (_guard, sql) = $open;
                    run.map_or_else(|| Err("no such case".into()), |(_, run)| run(&sql)).unwrap();
                })*
            };
        }
        #[cfg(test)]
        pub(crate) use stamp;
    };
}

cases! {
    fn gives_back_values_as_they_were_stored(sql) {
        check(sql.batch("CREATE TABLE t (i INTEGER, r REAL, s TEXT, b BLOB) STRICT"))?;
        for (integer, real, text, bytes) in [
            (0, 0.5, "", &[][..]),
            (MAX_INTEGER, -1.25, "é \u{0} \u{1F980} '\"", &[0, 255, 1][..]),
            (-MAX_INTEGER, 1e300, "x", &[7][..]),
        ] {
            check(sql.execute("DELETE FROM t", &[]))?;
            check(sql.execute("INSERT INTO t VALUES (?, ?, ?, ?)", values![integer, real, text, bytes]))?;
            let row: Option<(i64, f64, String, Vec<u8>)> = check(sql.first("SELECT i, r, s, b FROM t", &[]))?;
            equal(row, Some((integer, real, text.to_owned(), bytes.to_vec())))?;
            let kinds: Option<(String,)> = check(sql.first("SELECT typeof(i) || typeof(s) || typeof(b) FROM t", &[]))?;
            equal(kinds, Some(("integertextblob".to_owned(),)))?;
        }
        check(sql.execute("INSERT INTO t VALUES (?, ?, ?, ?)", values![None::<i64>, None::<f64>, None::<&str>, None::<&[u8]>]))?;
        let nulls: Option<(Option<i64>, Option<String>)> = check(sql.first("SELECT i, s FROM t WHERE i IS NULL", &[]))?;
        equal(nulls, Some((None, None)))
    }

    fn binds_integers_as_a_durable_object_does(sql) {
        let kind: Option<(String,)> = check(sql.first("SELECT typeof(?)", values![5_i64]))?;
        equal(kind, Some(("real".to_owned(),)))
    }

    fn finds_integers_by_equality_range_and_limit(sql) {
        check(sql.batch("CREATE TABLE t (i INTEGER PRIMARY KEY) STRICT; INSERT INTO t VALUES (1), (2), (3), (4)"))?;
        let equal_to: Vec<(i64,)> = check(sql.rows("SELECT i FROM t WHERE i = ?", values![3_i64]))?;
        equal(equal_to, vec![(3,)])?;
        let range: Vec<(i64,)> = check(sql.rows("SELECT i FROM t WHERE i >= ? ORDER BY i DESC LIMIT ?", values![2_i64, 2_i64]))?;
        equal(range, vec![(4,), (3,)])
    }

    fn refuses_integers_that_would_be_rounded(sql) {
        equal(sql.execute("SELECT ?", values![MAX_INTEGER + 1]), Err(SqlError::IntegerRange(MAX_INTEGER + 1)))?;
        equal(sql.execute("SELECT ?", values![i64::MIN]), Err(SqlError::IntegerRange(i64::MIN)))
    }

    fn names_the_column_that_holds_something_else(sql) {
        let wrong: Result<Option<(i64, i64)>, _> = sql.first("SELECT 1, 'a'", &[]);
        equal(wrong, Err(SqlError::Column { index: 1, expected: "an integer", found: "text" }))
    }

    fn finds_any_number_of_values_in_one_json_list(sql) {
        check(sql.batch("CREATE TABLE t (b BLOB PRIMARY KEY) STRICT, WITHOUT ROWID"))?;
        check(sql.execute("INSERT INTO t VALUES (?)", values![&[0xab_u8, 0x01][..]]))?;
        let list = format!("[{}\"ab01\"]", "\"00\",".repeat(5_000));
        let found: Vec<(Vec<u8>,)> = check(sql.rows("SELECT b FROM t WHERE b IN (SELECT unhex(value) FROM json_each(?))", values![list.as_str()]))?;
        equal(found, vec![(vec![0xab, 0x01],)])
    }

    fn tells_by_returning_whether_a_row_was_written(sql) {
        check(sql.batch("CREATE TABLE t (i INTEGER PRIMARY KEY) STRICT"))?;
        let insert = "INSERT INTO t VALUES (?) ON CONFLICT DO NOTHING RETURNING i";
        equal(check(sql.first::<(i64,)>(insert, values![1_i64]))?, Some((1,)))?;
        equal(check(sql.first::<(i64,)>(insert, values![1_i64]))?, None)
    }

    fn stops_reading_when_told(sql) {
        let mut seen = Vec::new();
        check(sql.query("SELECT value FROM json_each('[1,2,3]')", &[], &mut |row| {
            seen.push(row.column::<i64>(0)?);
            Ok(if seen.len() == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        }))?;
        equal(seen, vec![1, 2])
    }

    fn reports_a_statement_that_fails(sql) {
        refused(sql.execute("SELEC 1", &[]))?;
        refused(sql.execute("SELECT * FROM nowhere", &[]))?;
        check(sql.batch("CREATE TABLE t (i INTEGER PRIMARY KEY) STRICT; INSERT INTO t VALUES (1)"))?;
        refused(sql.execute("INSERT INTO t VALUES (1)", &[]))?;
        refused(sql.execute("INSERT INTO t VALUES ('text')", &[]))?;
        // An error in the middle of the rows ends the query.
        refused(sql.rows::<(i64,)>("SELECT CASE value WHEN 2 THEN json('{') ELSE value END FROM json_each('[1,2,3]')", &[]))
    }

    fn keeps_what_a_transaction_wrote(sql) {
        check(sql.batch("CREATE TABLE t (i INTEGER) STRICT"))?;
        let value: Result<i32, SqlError> = sql.transaction(|| {
            sql.execute("INSERT INTO t VALUES (1)", &[])?;
            Ok(7)
        });
        equal(value, Ok(7))?;
        count(sql, 1)
    }

    fn undoes_a_transaction_that_fails(sql) {
        check(sql.batch("CREATE TABLE t (i INTEGER) STRICT"))?;
        let failed: Result<(), Failure> = sql.transaction(|| {
            sql.execute("INSERT INTO t VALUES (1)", &[])?;
            Err(Failure::Own)
        });
        equal(failed, Err(Failure::Own))?;
        let failed: Result<(), Failure> = sql.transaction(|| {
            sql.execute("INSERT INTO t VALUES (1)", &[])?;
            Ok(sql.execute("INSERT INTO t VALUES ('text')", &[])?)
        });
        equal(matches!(failed, Err(Failure::Sql(_))), true)?;
        count(sql, 0)
    }

    fn undoes_only_the_inner_transaction(sql) {
        check(sql.batch("CREATE TABLE t (i INTEGER) STRICT"))?;
        check(sql.transaction(|| {
            sql.execute("INSERT INTO t VALUES (1)", &[])?;
            let inner: Result<(), Failure> = sql.transaction(|| {
                sql.execute("INSERT INTO t VALUES (2)", &[])?;
                Err(Failure::Own)
            });
            assert_inner(&inner)?;
            sql.transaction(|| sql.execute("INSERT INTO t VALUES (3)", &[]))
        }))?;
        let rows: Vec<(i64,)> = check(sql.rows("SELECT i FROM t ORDER BY i", &[]))?;
        equal(rows, vec![(1,), (3,)])
    }

    fn refuses_what_a_durable_object_refuses(sql) {
        check(sql.batch("CREATE TABLE t (i INTEGER) STRICT"))?;
        let many = |n: usize| format!("SELECT 1 IN ({})", vec!["?"; n].join(","));
        let numbers = |n: usize| vec![super::Value::Integer(1); n];
        check(sql.execute(&many(100), &numbers(100)))?;
        refused(sql.execute(&many(101), &numbers(101)))?;
        check(sql.execute(&["SELECT 1"; 5].join(" UNION ALL "), &[]))?;
        refused(sql.execute(&["SELECT 1"; 6].join(" UNION ALL "), &[]))?;
        refused(sql.execute(&format!("SELECT {}1{}", "(1+".repeat(101), ")".repeat(101)), &[]))?;
        refused(sql.execute(&format!("SELECT 'a' LIKE '{}'", "a".repeat(51)), &[]))?;
        for statement in [
            "BEGIN", "SAVEPOINT s", "COMMIT", "PRAGMA user_version", "PRAGMA journal_mode = DELETE", "CREATE TEMP TABLE x (i INTEGER)",
            "ATTACH ':memory:' AS other", "VACUUM", "SELECT sqlite_version()",
        ] {
            refused(sql.execute(statement, &[])).map_err(|error| format!("{statement}: {error}"))?;
        }
        Ok(())
    }

    fn migrates_step_by_step_and_once(sql) {
        let first = "CREATE TABLE a (i INTEGER) STRICT; INSERT INTO a VALUES (1)";
        let second = "CREATE TABLE b (i INTEGER) STRICT; INSERT INTO b SELECT i + 1 FROM a";
        check(migrate(sql, "test", &[first]))?;
        check(migrate(sql, "test", &[first]))?;
        check(migrate(sql, "test", &[first, second]))?;
        check(migrate(sql, "another", &["CREATE TABLE c (i INTEGER) STRICT"]))?;
        equal(check(sql.rows::<(i64,)>("SELECT i FROM b", &[]))?, vec![(2,)])
    }

    fn leaves_the_data_as_it_was_when_a_step_fails(sql) {
        let good = "CREATE TABLE t (i INTEGER) STRICT";
        let failed = migrate(sql, "test", &[good, "INSERT INTO t VALUES (1); INSERT INTO nowhere VALUES (1)"]);
        equal(matches!(failed, Err(SchemaError::Step { version: 2, .. })), true)?;
        count(sql, 0)?;
        check(migrate(sql, "test", &[good, "INSERT INTO t VALUES (1)"]))?;
        count(sql, 1)
    }

    fn refuses_data_of_a_newer_release(sql) {
        check(migrate(sql, "test", &["CREATE TABLE t (i INTEGER) STRICT", "SELECT 1"]))?;
        let refused = |release: Option<&str>| {
            let Err(error) = migrate(sql, "test", &["CREATE TABLE t (i INTEGER) STRICT"]) else {
                return Err("it was opened".to_owned());
            };
            let release = release.map(str::to_owned);
            equal(&error, &SchemaError::Newer { component: "test", found: 2, known: 1, release })?;
            Ok(error.to_string())
        };
        let own = env!("CARGO_PKG_VERSION");
        contains(&refused(Some(own))?, &format!("run a later build of OpenAgents {own}, or"))?;
        check(sql.batch("UPDATE schema_release SET release = '9.8.7'"))?;
        contains(&refused(Some("9.8.7"))?, "run OpenAgents 9.8.7 or later, or")?;
        check(sql.batch("DELETE FROM schema_release"))?;
        refused(None)?;
        check(sql.batch("DROP TABLE schema_release"))?;
        contains(&refused(None)?, "run the newer release that wrote it, or")
    }

    fn records_the_release_that_made_the_last_step(sql) {
        let [first, second] = ["CREATE TABLE t (i INTEGER) STRICT", "CREATE TABLE u (i INTEGER) STRICT"];
        let recorded = || {
            let all = "SELECT group_concat(component || ' ' || release) FROM schema_release";
            check(sql.first::<(Option<String>,)>(all, &[])).map(|row| row.and_then(|(all,)| all).unwrap_or_default())
        };
        let own = env!("CARGO_PKG_VERSION");
        check(migrate(sql, "test", &[first]))?;
        check(migrate(sql, "another", &["SELECT 1"]))?;
        equal(recorded()?, format!("another {own},test {own}"))?;
        // Opening alone changes nothing; a step does.
        check(sql.batch("UPDATE schema_release SET release = '0.0.1'"))?;
        check(migrate(sql, "test", &[first]))?;
        equal(recorded()?, "another 0.0.1,test 0.0.1".to_owned())?;
        check(migrate(sql, "test", &[first, second]))?;
        equal(recorded()?, format!("another 0.0.1,test {own}"))?;
        // Data of the time before there was such a table.
        check(sql.batch("DROP TABLE schema_release"))?;
        check(migrate(sql, "test", &[first, second]))?;
        check(migrate(sql, "test", &[first, second, "SELECT 1"]))?;
        equal(recorded()?, format!("test {own}"))
    }

    fn refuses_tables_that_other_steps_made(sql) {
        let [first, second] = ["CREATE TABLE t (i INTEGER) STRICT", "CREATE TABLE u (i INTEGER) STRICT"];
        check(migrate(sql, "test", &[first]))?;
        let different = Err(SchemaError::Different { component: "test" });
        let other = "CREATE TABLE t (i INTEGER, j INTEGER) STRICT";
        equal(migrate(sql, "test", &[other]), different.clone())?;
        equal(migrate(sql, "test", &[other, second]), different.clone())?;
        check(migrate(sql, "another", &["CREATE TABLE v (i INTEGER) STRICT"]))?;
        // Only the layout of the text differs.
        check(migrate(sql, "test", &["CREATE TABLE t\n    (i  INTEGER) STRICT\n"]))?;
        check(migrate(sql, "test", &[first, second]))?;
        equal(migrate(sql, "test", &[first, other]), different.clone())?;
        equal(migrate(sql, "test", &[second, first]), different.clone())?;
        // A database that records only the number of its steps cannot be identified.
        check(sql.batch("DROP TABLE schema_version; CREATE TABLE schema_version (component TEXT PRIMARY KEY, version INTEGER NOT NULL) STRICT"))?;
        equal(migrate(sql, "test", &[first, second]), different)?;
        let tables = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name IN ('t', 'u', 'v')";
        equal(check(sql.first::<(i64,)>(tables, &[]))?, Some((3,)))
    }
}

#[derive(Debug, PartialEq)]
enum Failure {
    Own,
    Sql(SqlError),
}

impl From<SqlError> for Failure {
    fn from(error: SqlError) -> Self {
        Self::Sql(error)
    }
}

fn assert_inner(inner: &Result<(), Failure>) -> Result<(), SqlError> {
    match inner {
        Err(Failure::Own) => Ok(()),
        other => Err(SqlError::Statement(format!("the inner transaction returned {other:?}"))),
    }
}

fn check<T, E: std::fmt::Display>(result: Result<T, E>) -> Result<T, String> {
    result.map_err(|error| error.to_string())
}

#[expect(clippy::needless_pass_by_value, reason = "reads better at its many callers")]
fn equal<T: PartialEq + std::fmt::Debug>(found: T, expected: T) -> CaseResult {
    if found == expected { Ok(()) } else { Err(format!("expected {expected:?}, found {found:?}")) }
}

fn contains(text: &str, expected: &str) -> CaseResult {
    if text.contains(expected) { Ok(()) } else { Err(format!("expected {expected:?} in {text:?}")) }
}

fn refused<T: std::fmt::Debug>(result: Result<T, SqlError>) -> CaseResult {
    match result {
        Err(SqlError::Statement(message)) if !message.is_empty() => Ok(()),
        other => Err(format!("expected the statement to be refused, found {other:?}")),
    }
}

fn count<S: Sql>(sql: &S, expected: i64) -> CaseResult {
    equal(check(sql.first::<(i64,)>("SELECT count(*) FROM t", &[]))?, Some((expected,)))
}
