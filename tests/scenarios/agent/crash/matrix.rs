//! The table of what requests got, by state and host.

use std::fmt::Write as _;
use std::fs;
use std::sync::{Mutex, PoisonError};

use openagents_tests::server::{Host, repository};

/// A row, a column, and what the request got.
type Filled = (&'static str, String, Result<String, String>);

static CELLS: Mutex<Vec<Filled>> = Mutex::new(Vec::new());

/// Records one cell.
pub(super) fn fill(row: &'static str, host: Host, crash: &str, outcome: Result<String, String>) {
    let column = format!("{}, {crash}", host.name());
    CELLS.lock().unwrap_or_else(PoisonError::into_inner).push((row, column, outcome));
}

/// Prints the table, if it has any cells, and writes it to the file if requested.
pub(crate) fn report() {
    let cells = CELLS.lock().unwrap_or_else(PoisonError::into_inner);
    if cells.is_empty() {
        return;
    }
    let table = table(&cells);
    println!("\n{table}");
    if std::env::var("OPENAGENTS_WRITE_MATRIX").is_ok_and(|value| value == "1") {
        let path = repository().join("docs/crash-matrix.md");
        if let Err(error) = fs::write(&path, format!("{INTRODUCTION}{table}")) {
            eprintln!("{} cannot be written: {error}", path.display());
        }
    }
}

const INTRODUCTION: &str = "\
# What a request gets when something dies

Made by `OPENAGENTS_WRITE_MATRIX=1 cargo test -p openagents-tests --test scenarios -- crash::`; the scenarios are in
`tests/scenarios/agent/crash.rs`.

A row is the state of a job, a column what dies at that moment: the whole process, by `kill -9`, or the memory of a Durable
Object. In every cell the relay then has exactly one last word for the request, a result or an error, also after a while and
after the request was sent again. The job is of an exclusive handler that counts in the agent's state, so its result says how
often the state was changed, and by which attempt; the state itself is asked as well, and agrees.

";

/// A Markdown table with a line for each row and a column for each host and type of crash.
fn table(cells: &[Filled]) -> String {
    let mut columns: Vec<&str> = cells.iter().map(|(_, column, _)| column.as_str()).collect();
    columns.sort_unstable();
    columns.dedup();
    let order = super::ROWS.iter().map(|(row, _)| *row);
    let mut rows: Vec<&str> = order.filter(|row| cells.iter().any(|cell| cell.0 == *row)).collect();
    let others: Vec<&str> = cells.iter().map(|cell| cell.0).filter(|row| !rows.contains(row)).collect();
    for row in others {
        if !rows.contains(&row) {
            rows.push(row);
        }
    }
    let mut table = format!(
        "| crash when the job is | {} |\n|---{}|\n",
        columns.join(" | "),
        "|---".repeat(columns.len())
    );
    for row in rows {
        let _ = write!(table, "| {row} |");
        for column in &columns {
            let cell = cells.iter().find(|cell| cell.0 == row && cell.1 == *column);
            let text = match cell {
                Some((_, _, Ok(text))) => text.as_str(),
                Some((_, _, Err(_))) => "**FAILED**",
                None => "–",
            };
            let _ = write!(table, " {text} |");
        }
        table.push('\n');
    }
    table
}
