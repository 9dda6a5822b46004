//! The SQL port on a Durable Object's database.
//!
//! The `worker` crate creates a JavaScript string for a statement each time, makes six calls per value, and an
//! iterator even for statements without rows. Here strings are cached, and statements without rows are not iterated.

mod rows;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;

use ::worker::js_sys::{self, Array, JsString, Uint8Array};
use ::worker::wasm_bindgen::{JsCast, JsValue, prelude::wasm_bindgen};
use ::worker::{Error, Storage};
use serde::Serialize;

use self::rows::RawRow;
use crate::port::sql::{MAX_INTEGER, NextRow, Row, Sql, SqlError, Value, written_table};

/// The database of a Durable Object. Clones share one connection.
#[derive(Clone)]
pub struct DurableSql {
    database: Database,
    storage: TransactionalStorage,
    billed: Rc<Meter>,
}

/// The rows that Cloudflare bills.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BilledRows {
    /// Rows that statements have read.
    pub read: u64,
    /// Rows of tables and indexes that statements have written.
    pub written: u64,
    /// The same for each table, with its indexes.
    pub tables: BTreeMap<Box<str>, u64>,
}

#[derive(Default)]
struct Meter {
    runs: Cell<bool>,
    read: Cell<u64>,
    /// By table.
    written: RefCell<BTreeMap<Box<str>, u64>>,
}

#[wasm_bindgen(wasm_bindgen = ::worker::wasm_bindgen, js_sys = ::worker::js_sys)]
extern "C" {
    #[derive(Clone)]
    type TransactionalStorage;

    /// `DurableObjectStorage.transactionSync`, which the `worker` crate does not bind.
    #[wasm_bindgen(method, catch, js_name = transactionSync)]
    fn transaction_sync(
        this: &TransactionalStorage,
        body: &mut dyn FnMut() -> Result<JsValue, JsValue>,
    ) -> Result<JsValue, JsValue>;

    #[derive(Clone)]
    type Database;

    #[wasm_bindgen(method, catch, js_name = exec)]
    fn run(this: &Database, statement: &JsString) -> Result<Cursor, JsValue>;

    #[wasm_bindgen(method, catch, js_name = exec)]
    fn run_with(this: &Database, statement: &JsString, value: &JsValue) -> Result<Cursor, JsValue>;

    #[wasm_bindgen(method, catch, variadic, js_name = exec)]
    fn run_with_all(this: &Database, statement: &JsString, values: &Array) -> Result<Cursor, JsValue>;

    type Cursor;

    #[wasm_bindgen(method, catch)]
    fn raw(this: &Cursor) -> Result<js_sys::Iterator, JsValue>;

    #[wasm_bindgen(method, catch, getter, js_name = rowsRead)]
    fn rows_read(this: &Cursor) -> Result<f64, JsValue>;

    #[wasm_bindgen(method, catch, getter, js_name = rowsWritten)]
    fn rows_written(this: &Cursor) -> Result<f64, JsValue>;
}

impl DurableSql {
    /// The database of the object with this storage.
    #[must_use]
    pub fn new(storage: &Storage) -> Self {
        Self {
            database: storage.sql().as_ref().unchecked_ref::<Database>().clone(),
            storage: storage.as_raw().unchecked_ref::<TransactionalStorage>().clone(),
            billed: Rc::default(),
        }
    }

    /// The rows read and written since the first call of this method. They are not counted before, because counting
    /// makes every statement slower.
    #[must_use]
    pub fn billed_rows(&self) -> BilledRows {
        self.billed.runs.set(true);
        let tables = self.billed.written.borrow().clone();
        BilledRows { read: self.billed.read.get(), written: tables.values().sum(), tables }
    }

    /// Starts a statement; one without rows is then complete.
    fn run(&self, statement: &str, values: &[Value<'_>]) -> Result<Cursor, SqlError> {
        let statement = interned(statement);
        let cursor = match values {
            [] => self.database.run(&statement),
            [value] => self.database.run_with(&statement, &bound(value)?),
            values => {
                let array = Array::new();
                for value in values {
                    array.push(&bound(value)?);
                }
                self.database.run_with_all(&statement, &array)
            }
        };
        cursor.map_err(statement_error)
    }

    fn bill(&self, statement: &str, cursor: &Cursor) {
        if !self.billed.runs.get() {
            return;
        }
        let count = |counted: Result<f64, JsValue>| counted.map_or(0, whole);
        self.billed.read.set(self.billed.read.get().saturating_add(count(cursor.rows_read())));
        let written = count(cursor.rows_written());
        if written > 0 {
            let table = written_table(statement).unwrap_or("others");
            let mut tables = self.billed.written.borrow_mut();
            let rows = tables.entry(table.into()).or_default();
            *rows = rows.saturating_add(written);
        }
    }
}

impl Sql for DurableSql {
    fn query(
        &self,
        statement: &str,
        values: &[Value<'_>],
        each: &mut dyn FnMut(&Row<'_>) -> NextRow,
    ) -> Result<(), SqlError> {
        let cursor = self.run(statement, values)?;
        let rows = cursor.raw().map_err(statement_error)?;
        let mut row = RawRow::default();
        loop {
            let next = rows.next().map_err(statement_error)?;
            if next.done() {
                break;
            }
            row.read(next.value().unchecked_ref())?;
            if each(&Row::new(&row))? == ControlFlow::Break(()) {
                break;
            }
        }
        self.bill(statement, &cursor);
        Ok(())
    }

    fn execute(&self, statement: &str, values: &[Value<'_>]) -> Result<(), SqlError> {
        let cursor = self.run(statement, values)?;
        self.bill(statement, &cursor);
        Ok(())
    }

    fn batch(&self, statements: &str) -> Result<(), SqlError> {
        let cursor = self.database.run(&statements.into()).map_err(statement_error)?;
        self.bill(statements, &cursor);
        Ok(())
    }

    fn metered<T>(&self, body: impl FnOnce() -> T) -> (T, u64) {
        let counted = self.billed.runs.replace(true);
        let before = self.billed.read.get();
        let value = body();
        self.billed.runs.set(counted);
        (value, self.billed.read.get().saturating_sub(before))
    }

    fn transaction<T, E: From<SqlError>>(&self, body: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let mut body = Some(body);
        let mut outcome = None;
        // Captured whole: the closure must be unwind safe, which references to its parts are not.
        let mut captured = AssertUnwindSafe((&mut body, &mut outcome));
        let mut run = move || -> Result<JsValue, JsValue> {
            let captured = &mut captured;
            let Some(body) = captured.0.0.take() else {
                return Err(JsValue::from_str("a transaction's body ran twice"));
            };
            let result = body();
            // Throwing is how `transactionSync` is told to roll back.
            let signal =
                if result.is_ok() { Ok(JsValue::UNDEFINED) } else { Err(JsValue::from_str("rolled back")) };
            *captured.0.1 = Some(result);
            signal
        };
        let committed = self.storage.transaction_sync(&mut run);
        match (outcome, committed) {
            (Some(Err(error)), _) => Err(error),
            (Some(Ok(value)), Ok(_)) => Ok(value),
            (_, Err(error)) => Err(SqlError::Statement(format!("{:?}", Error::from(error))).into()),
            (None, Ok(_)) => Err(SqlError::Statement("the transaction did not run".to_owned()).into()),
        }
    }
}

/// How many statements are kept as JavaScript strings: more than an engine has, since those for filters vary.
const INTERNED_STATEMENTS: usize = 256;

thread_local! {
    static INTERNED: RefCell<HashMap<Box<str>, JsString>> = RefCell::default();
}

/// The statement as JavaScript's string, which is made once.
fn interned(statement: &str) -> JsString {
    INTERNED.with(|interned| {
        let Ok(mut interned) = interned.try_borrow_mut() else { return statement.into() };
        if let Some(string) = interned.get(statement) {
            return string.clone();
        }
        if interned.len() >= INTERNED_STATEMENTS {
            interned.clear();
        }
        let string = JsString::from(statement);
        interned.insert(statement.into(), string.clone());
        string
    })
}

fn bound(value: &Value<'_>) -> Result<JsValue, SqlError> {
    Ok(match value {
        Value::Null => JsValue::NULL,
        Value::Integer(integer) if !(-MAX_INTEGER..=MAX_INTEGER).contains(integer) => {
            return Err(SqlError::IntegerRange(*integer));
        }
        #[expect(clippy::cast_precision_loss, reason = "integers within ±2^53 are exact")]
        Value::Integer(integer) => JsValue::from_f64(*integer as f64),
        Value::Real(real) => JsValue::from_f64(*real),
        Value::Text(text) => JsValue::from_str(text),
        Value::Blob(bytes) => Uint8Array::new_from_slice(bytes).into(),
    })
}

/// A count that JavaScript gave.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "what is below zero becomes zero"
)]
const fn whole(count: f64) -> u64 {
    count as u64
}

fn statement_error(error: JsValue) -> SqlError {
    SqlError::Statement(Error::from(error).to_string())
}
