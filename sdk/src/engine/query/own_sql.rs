//! Statements on the author's own tables (`my_…`), which share a database with the SDK's tables.

use std::ops::ControlFlow;

use openagents_host::sql::{Row, Value as SqlValue};
use openagents_host::{Sql, SqlError};
use serde_json::Value;

use super::{MAX_ROWS, bound};

/// The prefix of the author's tables.
const PREFIX: &str = "my_";

/// Runs one statement and returns its rows, each a list of columns.
pub(super) fn run<S: Sql>(sql: &S, statement: &str, values: &[Value]) -> Result<Vec<Vec<Value>>, SqlError> {
    check(sql, statement)?;
    let values = values.iter().map(bound).collect::<Result<Vec<_>, _>>()?;
    let mut rows = Vec::new();
    sql.query(statement, &values, &mut |row| {
        rows.push((0..row.count()).map(|index| column(row, index)).collect::<Result<_, _>>()?);
        Ok(if rows.len() < MAX_ROWS { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    Ok(rows)
}

fn column(row: &Row<'_>, index: usize) -> Result<Value, SqlError> {
    Ok(match row.value(index)? {
        SqlValue::Null => Value::Null,
        SqlValue::Integer(integer) => integer.into(),
        SqlValue::Real(real) => real.into(),
        SqlValue::Text(text) => text.into(),
        SqlValue::Blob(_) => {
            return Err(SqlError::Statement(format!(
                "column {index} holds bytes, which JSON cannot represent: select `hex()` of it"
            )));
        }
    })
}

/// Rejects statements that could touch the SDK's tables. The author is trusted; this prevents mistakes that would
/// destroy stored jobs.
fn check<S: Sql>(sql: &S, statement: &str) -> Result<(), SqlError> {
    let refuse = |reason: String| Err(SqlError::Statement(reason));
    let words = words(statement);
    let word = |index: usize| words.get(index).map_or("", String::as_str);
    match word(0) {
        "select" | "insert" | "update" | "delete" | "replace" | "with" => {}
        "create" | "drop" | "alter" => {
            let skipped = ["unique", "table", "index", "view", "if", "not", "exists"];
            let name = words.iter().skip(1).find(|word| !skipped.contains(&word.as_str()));
            if !name.is_some_and(|name| name.starts_with(PREFIX)) {
                return refuse(format!(
                    "the names of an agent's tables and indexes must begin with `{PREFIX}`"
                ));
            }
        }
        other => {
            return refuse(format!(
                "a statement must begin with select, insert, update, delete, replace, with, create, drop or alter, not `{other}`"
            ));
        }
    }
    let tables = sql.rows::<(String,)>("SELECT lower(name) FROM sqlite_master WHERE type = 'table'", &[])?;
    let theirs = |word: &&String| {
        word.starts_with("sqlite_")
            || word.starts_with("_cf_")
            || tables.iter().any(|(table,)| table == *word && !table.starts_with(PREFIX))
    };
    match words.iter().find(theirs) {
        Some(word) => refuse(format!(
            "`{word}` is a table of the SDK; the names of an agent's tables must begin with `{PREFIX}`"
        )),
        None => Ok(()),
    }
}

/// The identifiers and keywords of a statement in lower case, without literals and comments.
fn words(statement: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = statement.chars().peekable();
    while let Some(char) = rest.next() {
        match char {
            '\'' => while rest.next().is_some_and(|char| char != '\'') {},
            '-' if rest.peek() == Some(&'-') => while rest.next().is_some_and(|char| char != '\n') {},
            '/' if rest.peek() == Some(&'*') => {
                let mut last = ' ';
                rest.next();
                for char in rest.by_ref() {
                    if last == '*' && char == '/' {
                        break;
                    }
                    last = char;
                }
            }
            // A quoted identifier counts as an identifier.
            char if char.is_alphanumeric() || char == '_' => {
                let mut word = String::from(char);
                while let Some(next) =
                    rest.next_if(|next| next.is_alphanumeric() || *next == '_' || *next == '$')
                {
                    word.push(next);
                }
                words.push(word.to_lowercase());
            }
            _ => {}
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use openagents_host::Sql;
    use openagents_host::native::Sqlite;
    use serde_json::json;

    use super::{run, words};

    fn database() -> Sqlite {
        let sql = Sqlite::in_memory().unwrap();
        sql.batch("CREATE TABLE job (id INTEGER); INSERT INTO job VALUES (1);").unwrap();
        sql
    }

    #[test]
    fn keeps_tables_of_the_authors_own() {
        let sql = database();
        run(&sql, "CREATE TABLE IF NOT EXISTS my_words (word TEXT, count INTEGER, share REAL)", &[]).unwrap();
        run(&sql, "INSERT INTO my_words VALUES (?, ?, ?)", &[json!("it's a job"), json!(2), json!(0.5)])
            .unwrap();
        run(&sql, "INSERT INTO my_words VALUES ('a job', NULL, 1) -- job", &[]).unwrap();
        let rows = run(&sql, "SELECT * FROM my_words ORDER BY count DESC", &[]).unwrap();
        assert_eq!(json!(rows), json!([["it's a job", 2, 0.5], ["a job", null, 1.0]]));
    }

    #[test]
    fn refuses_to_touch_the_tables_of_the_sdk() {
        let sql = database();
        for statement in [
            "DELETE FROM job",
            "DELETE FROM \"job\"",
            "DELETE FROM [JOB]",
            "SELECT 1 FROM my_a, job",
            "DROP TABLE job",
            "CREATE TABLE words (word TEXT)",
            "CREATE TRIGGER my_trigger AFTER INSERT ON job BEGIN SELECT 1; END",
            "SELECT * FROM sqlite_master",
            "PRAGMA journal_mode = OFF",
            "SELECT '' FROM/**/job",
            "",
        ] {
            assert!(run(&sql, statement, &[]).is_err(), "{statement}");
        }
    }

    #[test]
    fn reads_the_words_of_a_statement() {
        assert_eq!(
            words("SELECT a.b, 'c d''e' /* f */ FROM \"My_T\" -- g"),
            ["select", "a", "b", "from", "my_t"]
        );
    }
}
