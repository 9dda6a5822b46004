//! The table that a statement writes.

/// The table that an `INSERT`, `UPDATE` or `DELETE` writes; `None` for other statements.
#[must_use]
pub fn written_table(statement: &str) -> Option<&str> {
    let mut words = statement.split_ascii_whitespace();
    let before_table = match words.next()? {
        "UPDATE" => return words.next(),
        "INSERT" | "REPLACE" => "INTO",
        "DELETE" => "FROM",
        _ => return None,
    };
    words.find(|word| *word == before_table)?;
    words.next()
}

#[cfg(test)]
mod tests {
    use super::written_table;

    #[test]
    fn finds_the_table_after_the_verb() {
        for (statement, table) in [
            ("INSERT INTO job (id) VALUES (?)", Some("job")),
            ("INSERT OR FAIL INTO tag (key) SELECT unhex(value) FROM json_each(?)", Some("tag")),
            ("UPDATE job SET state = 'queued' WHERE id = ?", Some("job")),
            ("DELETE FROM outbox\n WHERE entry = ? RETURNING relay", Some("outbox")),
            ("SELECT * FROM job", None),
            ("", None),
        ] {
            assert_eq!(written_table(statement), table, "{statement}");
        }
    }
}
