//! A database that records its statements, and fails on command.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;

use openagents_host::native::Sqlite;
use openagents_host::sql::{NextRow, Value};
use openagents_host::{Sql, SqlError};

#[derive(Clone)]
pub(super) struct Probe {
    sql: Sqlite,
    statements: Rc<RefCell<BTreeSet<String>>>,
    /// How many statements were run.
    count: Rc<Cell<u64>>,
    /// How many rows were read.
    rows: Rc<Cell<u64>>,
    /// How many statements still succeed before one fails.
    until_failure: Rc<Cell<Option<u32>>>,
}

impl Probe {
    pub(super) fn new() -> Self {
        let sql = Sqlite::in_memory().unwrap();
        Self {
            sql,
            statements: Rc::default(),
            count: Rc::default(),
            rows: Rc::default(),
            until_failure: Rc::default(),
        }
    }

    /// Makes one statement fail, after this many successful ones.
    pub(super) fn fail_after(&self, statements: u32) {
        self.until_failure.set(Some(statements));
    }

    /// Whether the requested failure has not occurred yet; cancels it.
    pub(super) fn heal(&self) -> bool {
        self.until_failure.take().is_some()
    }

    /// How many statements were run so far.
    pub(super) fn statements_run(&self) -> u64 {
        self.count.get()
    }

    /// How many rows were read so far.
    pub(super) fn rows_read(&self) -> u64 {
        self.rows.get()
    }

    pub(super) fn statements(&self) -> BTreeSet<String> {
        self.statements.borrow().clone()
    }
}

impl Sql for Probe {
    fn query(
        &self,
        statement: &str,
        values: &[Value<'_>],
        each: &mut dyn FnMut(&openagents_host::sql::Row<'_>) -> NextRow,
    ) -> Result<(), SqlError> {
        self.statements.borrow_mut().insert(statement.to_owned());
        self.count.set(self.count.get() + 1);
        match self.until_failure.get() {
            Some(0) => {
                self.until_failure.set(None);
                return Err(SqlError::Statement("database or disk is full".to_owned()));
            }
            Some(left) => self.until_failure.set(Some(left - 1)),
            None => {}
        }
        self.sql.query(statement, values, &mut |row| {
            self.rows.set(self.rows.get() + 1);
            each(row)
        })
    }

    fn batch(&self, statements: &str) -> Result<(), SqlError> {
        self.sql.batch(statements)
    }

    fn transaction<T, E: From<SqlError>>(&self, body: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        self.sql.transaction(body)
    }

    fn metered<T>(&self, body: impl FnOnce() -> T) -> (T, u64) {
        self.sql.metered(body)
    }
}

impl Probe {
    /// Changes the database without the engine.
    pub(super) fn damage(&self, statement: &str) {
        self.sql.batch(statement).unwrap();
    }
}
